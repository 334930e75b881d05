//! `midge serve`: run a server.

use crate::allocator::allocated;
use crate::arguments::Arguments;
use crate::command::{Action, Command};
use crate::failure::Failure;
use crate::logging::{self, Logging};
use crate::output;
use crate::program_pages;
use crate::signs::{Signs, Wanted};
use log::LevelFilter;
use midge_conf::{LogDetail, Settings, read_config};
use midge_server::{Auth, Config, ConfigError, ReadAgain, Reading, Server};
use std::path::Path;
use std::sync::Arc;

pub(crate) const COMMAND: Command = Command {
    name: "serve",
    about: "run a server (what midge does without a command)",
    actions: &[Action {
        name: "",
        places: "",
        about: "Run a server, which is what midge does without a command.",
        options: &[
            "  -c, --config FILE      file to configure it by; options go before it
  --check                only look whether the configuration is in order
  -a, --host ADDRESS     address to listen on (default: 127.0.0.1)
  -p, --port PORT        port to listen on, 0 for any free one (default: 4222)
  -m, --http-port PORT   serve monitoring pages on this port, 0 for any free one
                         (default: off)
  --http-host ADDRESS    address for monitoring pages (default: that of --host)",
            #[cfg(feature = "streams")]
            "  -s, --store FILE       file that streams are kept in (default: midge.redb)
  --no-store             keep no streams
  --commit-linger TIME   how long a batch waits for more, to spare a slow card
                         (default: 0s)",
            "  -n, --name NAME        name that clients see (default: a random id)
  --user NAME            user that clients must give, with --pass
  --pass TEXT            password that clients must give, with --user
  --auth TEXT            token that clients must give",
            #[cfg(feature = "tls")]
            "  --tls                  encrypt, with --tlscert and --tlskey
  --tlscert FILE         the certificate that clients see, in PEM
  --tlskey FILE          its key, in PEM
  --tlsverify            clients have to show a certificate, with --tlscacert
  --tlscacert FILE       what clients' certificates have to come from, in PEM",
            "  --max-control-line BYTES
                         longest control line (default: 4096)
  --max-payload BYTES    longest message, headers included (default: 1MB)
  --max-pending BYTES    what may wait for one client before it is cut as a slow
                         consumer (default: 64MB)
  --memory BYTES         memory that the process may use (default: as much as it
                         needs)
  --max-connections COUNT
                         clients at a time (default: 65536)
  --max-subscriptions COUNT
                         subscriptions of one client, 0 for no limit
                         (default: 0)
  --max-subject-tokens COUNT
                         tokens in the subject of a subscription, 0 for no limit
                         (default: 0)
  --write-deadline TIME  how long a client may take nothing of what waits for it
                         (default: 10s)
  --ping-interval TIME   how often an idle client is pinged (default: 2m)
  --ping-max COUNT       unanswered pings before a client is cut (default: 2)
  --auth-timeout TIME    how long a client may take to give its credentials
                         (default: 2s)
  --lame-duck-duration TIME
                         how long lame duck mode takes to let go of all clients
                         (default: 2m)
  --lame-duck-grace TIME
                         how long lame duck mode waits before it starts to
                         (default: 10s)
  -D, --debug            log what happens to each connection
  --log-format FORMAT    what a line of the log is: text or json (default: text)
  --help                 show this

BYTES may carry a unit, 64KB or 1MB; a TIME does: 500ms, 10s, 2m.",
        ],
        example: "midge serve --store /var/lib/midge.redb --http-port 8222
midge serve --host 0.0.0.0 --user joe --pass secret",
        run: start,
    }],
};

/// Options that have a key in a configuration file, which is called as they
/// are, but for the dashes. The key says what is wrong with a value.
const WITH_KEY: &str = "host port http-port name max-control-line max-payload max-pending memory \
    max-connections max-subscriptions max-subject-tokens write-deadline ping-interval ping-max \
    commit-linger auth-timeout lame-duck-duration lame-duck-grace log-format \
    tls tlscert tlskey tlsverify tlscacert";

fn start(arguments: &Arguments) -> Result<(), Failure> {
    let settings = settings(arguments)
        .map_err(|error| Failure::usage(error).but("midge serve --help shows what there is"))?;
    if arguments.has("check") {
        for warning in &settings.warnings {
            output::warn(warning);
        }
        return settings.config.check_files().map_err(Failure::usage);
    }
    let again = arguments.clone();
    let read: ReadSettings = Box::new(move || self::settings(&again));
    serve(settings, arguments.has("config").then_some(read))
}

/// The file's settings, where there is one, and the options over them.
fn settings(arguments: &Arguments) -> Result<Settings, String> {
    let mut settings = match arguments.text("config") {
        Some(path) => read_config(Path::new(path), base_config())?,
        None => Settings::from(base_config()),
    };
    if arguments.has("debug") {
        settings.log = settings.log.max(LogDetail::Debug);
    }
    for option in WITH_KEY.split_ascii_whitespace() {
        let key = match option {
            "name" => "server_name".to_owned(),
            _ => option.replace('-', "_"),
        };
        match arguments.text(option) {
            // A flag.
            Some("") => settings.set(&key, "true")?,
            Some(text) => settings.set(&key, text)?,
            None => {}
        }
    }
    #[cfg(feature = "streams")]
    match (arguments.text("store"), arguments.has("no-store")) {
        (Some(_), true) => return Err("--store goes without --no-store".into()),
        (Some(path), false) => settings.config.store = Some(path.into()),
        (None, true) => settings.config.store = None,
        (None, false) => {}
    }
    let text = |name| arguments.text(name).map(str::to_owned);
    match (text("auth"), text("user"), text("pass")) {
        (None, None, None) => {}
        (Some(token), None, None) => settings.replace_auth(Auth::token(token))?,
        (None, Some(user), Some(pass)) => settings.replace_auth(Auth::user(user, pass))?,
        (Some(_), ..) => return Err("--auth goes without --user and --pass".into()),
        (None, ..) => return Err("--user and --pass go together".into()),
    }
    let config = &mut settings.config;
    if let (Some(host), Some(http)) = (text("http-host"), &mut config.http) {
        http.host = host;
    }
    check_config(config)?;
    Ok(settings)
}

/// What every way to start a server begins with.
pub(crate) fn base_config() -> Config {
    Config {
        handle_signals: true,
        allocated: Some(allocated),
        ..Config::default()
    }
}

/// What every way to start a server ends with.
pub(crate) fn check_config(config: &Config) -> Result<(), String> {
    // The settings go by the names of their flags, but for the dashes.
    config.check().map_err(|error| match error {
        ConfigError::Range { .. } => format!("--{}", error.to_string().replace('_', "-")),
        ConfigError::Auth(what) => what,
    })
}

/// Reads the settings, now or later.
pub(crate) type ReadSettings = Box<dyn Fn() -> Result<Settings, String> + Send + Sync>;

/// Serves until the end. What reads the settings anew is used when the server
/// is told to reload.
pub(crate) fn serve(mut settings: Settings, read: Option<ReadSettings>) -> Result<(), Failure> {
    let logging = Logging::start(level(&settings), &settings.log_to).map_err(Failure::refused)?;
    warn(&settings);
    settings.config.reload = read.map(|read| -> ReadAgain {
        let logging = Arc::new(logging);
        Arc::new(move || {
            let mut settings = read()?;
            let config = std::mem::take(&mut settings.config);
            let logging = logging.clone();
            let adopt = Box::new(move || {
                logging.change(level(&settings), &settings.log_to)?;
                warn(&settings);
                Ok(())
            });
            Ok(Reading { config, adopt })
        })
    });
    run(settings).map_err(|why| {
        log::error!(target: logging::FATAL, "{why}");
        Failure::told()
    })
}

fn level(settings: &Settings) -> LevelFilter {
    match settings.log {
        LogDetail::Trace => LevelFilter::Trace,
        LogDetail::Debug => LevelFilter::Debug,
        LogDetail::Plain => LevelFilter::Info,
    }
}

fn warn(settings: &Settings) {
    for warning in &settings.warnings {
        log::warn!("{warning}");
    }
}

fn run(mut settings: Settings) -> Result<(), String> {
    if let Some(folder) = settings.make_folder()? {
        log::info!("Store Directory: \"{}\"", folder.display());
    }
    let wanted = Wanted::take(&mut settings);
    let server = Server::bind(settings.config).map_err(|error| error.to_string())?;
    let _signs = Signs::leave(&wanted, &server)?;
    program_pages::give_back();
    let served = server.run();
    served.map_err(|error| format!("cannot poll: {error}"))
}
