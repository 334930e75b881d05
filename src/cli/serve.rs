//! `midge serve`: run a server.

use crate::EXIT_USAGE;
use crate::allocator::allocated;
use crate::logging::{self, Logging};
use crate::signs::{Signs, Wanted};
use argh::FromArgs;
use log::LevelFilter;
use midge_server::{
    Auth, Config, ConfigError, LogDetail, ReadAgain, Reading, Server, Settings, read_config,
};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// run a server (what midge does without a command)
#[derive(FromArgs, Clone)]
#[argh(
    subcommand,
    name = "serve",
    note = "Sizes are bytes or carry a unit: 64KB, 1MB. Durations carry one: 500ms,
10s, 2m.",
    example = "midge --store /var/lib/midge.redb --http-port 8222
midge serve --host 0.0.0.0 --user joe --pass secret"
)]
pub(crate) struct Serve {
    /// file to configure it by; options go before what is in it
    #[argh(option, short = 'c')]
    config: Option<String>,

    /// only look whether the configuration is in order
    #[argh(switch)]
    check: bool,

    /// address to listen on (default: 127.0.0.1)
    #[argh(option, short = 'a')]
    host: Option<String>,

    /// port to listen on, 0 for any free one (default: 4222)
    #[argh(option, short = 'p')]
    port: Option<String>,

    /// serve monitoring pages on this port, 0 for any free one (default: off)
    #[argh(option, short = 'm')]
    http_port: Option<String>,

    /// address for monitoring pages (default: that of --host)
    #[argh(option)]
    http_host: Option<String>,

    /// file that streams are kept in (default: midge.redb)
    #[cfg(feature = "streams")]
    #[argh(option, short = 's')]
    store: Option<String>,

    /// keep no streams
    #[cfg(feature = "streams")]
    #[argh(switch)]
    no_store: bool,

    /// name that clients see (default: a random id)
    #[argh(option, short = 'n')]
    name: Option<String>,

    /// user that clients must give, with --pass
    #[argh(option)]
    user: Option<String>,

    /// password that clients must give, with --user
    #[argh(option)]
    pass: Option<String>,

    /// token that clients must give
    #[argh(option)]
    auth: Option<String>,

    /// encrypt, with --tlscert and --tlskey
    #[cfg(feature = "tls")]
    #[argh(switch)]
    tls: bool,

    /// file with the certificate that clients see, in PEM
    #[cfg(feature = "tls")]
    #[argh(option)]
    tlscert: Option<String>,

    /// file with its key, in PEM
    #[cfg(feature = "tls")]
    #[argh(option)]
    tlskey: Option<String>,

    /// clients have to show a certificate, with --tlscacert
    #[cfg(feature = "tls")]
    #[argh(switch)]
    tlsverify: bool,

    /// file with what clients' certificates have to come from, in PEM
    #[cfg(feature = "tls")]
    #[argh(option)]
    tlscacert: Option<String>,

    /// longest control line (default: 4096)
    #[argh(option)]
    max_control_line: Option<String>,

    /// longest message, headers included (default: 1MB)
    #[argh(option)]
    max_payload: Option<String>,

    /// bytes that may wait for one client before it is cut as a slow consumer
    /// (default: 64MB)
    #[argh(option)]
    max_pending: Option<String>,

    /// memory that the process may use (default: as much as it needs)
    #[argh(option)]
    memory: Option<String>,

    /// clients at a time (default: 65536)
    #[argh(option)]
    max_connections: Option<String>,

    /// subscriptions of one client, 0 for no limit (default: 0)
    #[argh(option)]
    max_subscriptions: Option<String>,

    /// tokens in the subject of a subscription, 0 for no limit (default: 0)
    #[argh(option)]
    max_subject_tokens: Option<String>,

    /// how long a client may take nothing of what waits for it (default: 10s)
    #[argh(option)]
    write_deadline: Option<String>,

    /// how often an idle client is pinged (default: 2m)
    #[argh(option)]
    ping_interval: Option<String>,

    /// unanswered pings before a client is cut (default: 2)
    #[argh(option)]
    ping_max: Option<String>,

    /// how long a client may take to give its credentials (default: 2s)
    #[argh(option)]
    auth_timeout: Option<String>,

    /// how long lame duck mode takes to let go of all clients (default: 2m)
    #[argh(option)]
    lame_duck_duration: Option<String>,

    /// how long lame duck mode waits before it starts to (default: 10s)
    #[argh(option)]
    lame_duck_grace: Option<String>,

    /// log what happens to each connection
    #[argh(switch, short = 'D')]
    debug: bool,

    /// what a line of the log is: text or json (default: text)
    #[argh(option)]
    log_format: Option<String>,
}

impl Serve {
    pub(crate) fn run(self) -> ExitCode {
        let is_check = self.check;
        let settings = match self.settings() {
            Ok(settings) => settings,
            Err(error) => {
                eprintln!("{error}\nrun midge serve --help for what there is");
                return ExitCode::from(EXIT_USAGE);
            }
        };
        if is_check {
            for warning in &settings.warnings {
                eprintln!("{warning}");
            }
            return ExitCode::SUCCESS;
        }
        let is_file = self.config.is_some();
        serve(settings, is_file.then_some(move || self.settings()))
    }

    #[cfg(feature = "tls")]
    fn set_tls(&self, settings: &mut Settings) -> Result<(), String> {
        let on = Some("true".to_owned());
        for (key, value) in [
            ("tls", on.clone().filter(|_| self.tls)),
            ("tlscert", self.tlscert.clone()),
            ("tlskey", self.tlskey.clone()),
            ("tlsverify", on.filter(|_| self.tlsverify)),
            ("tlscacert", self.tlscacert.clone()),
        ] {
            if let Some(text) = value {
                settings.set(key, &text)?;
            }
        }
        Ok(())
    }

    /// The file's settings, where there is one, and the options over them.
    fn settings(&self) -> Result<Settings, String> {
        let mut settings = match &self.config {
            Some(path) => read_config(Path::new(path), base_config())?,
            None => Settings::from(base_config()),
        };
        if self.debug {
            settings.log = settings.log.max(LogDetail::Debug);
        }
        // They go by the names of the keys in a file, but for the dashes.
        for (key, value) in [
            ("host", &self.host),
            ("port", &self.port),
            ("http_port", &self.http_port),
            ("server_name", &self.name),
            ("max_control_line", &self.max_control_line),
            ("max_payload", &self.max_payload),
            ("max_pending", &self.max_pending),
            ("memory", &self.memory),
            ("max_connections", &self.max_connections),
            ("max_subscriptions", &self.max_subscriptions),
            ("max_subject_tokens", &self.max_subject_tokens),
            ("write_deadline", &self.write_deadline),
            ("ping_interval", &self.ping_interval),
            ("ping_max", &self.ping_max),
            ("auth_timeout", &self.auth_timeout),
            ("lame_duck_duration", &self.lame_duck_duration),
            ("lame_duck_grace", &self.lame_duck_grace),
            ("log_format", &self.log_format),
        ] {
            if let Some(text) = value {
                settings.set(key, text)?;
            }
        }
        #[cfg(feature = "tls")]
        self.set_tls(&mut settings)?;
        #[cfg(feature = "streams")]
        match (&self.store, self.no_store) {
            (Some(_), true) => return Err("--store goes without --no-store".into()),
            (Some(path), false) => settings.config.store = Some(path.into()),
            (None, true) => settings.config.store = None,
            (None, false) => {}
        }
        let config = &mut settings.config;
        match (self.auth.clone(), self.user.clone(), self.pass.clone()) {
            (None, None, None) => {}
            (Some(token), None, None) => config.auth = Auth::token(token),
            (None, Some(user), Some(pass)) => config.auth = Auth::user(user, pass),
            (Some(_), ..) => return Err("--auth goes without --user and --pass".into()),
            (None, ..) => return Err("--user and --pass go together".into()),
        }
        if let (Some(host), Some(http)) = (&self.http_host, &mut config.http) {
            http.host.clone_from(host);
        }
        check_config(config)?;
        Ok(settings)
    }
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

/// Serves until the end. What reads the settings anew is used when the server
/// is told to reload.
pub(crate) fn serve<R>(mut settings: Settings, read: Option<R>) -> ExitCode
where
    R: Fn() -> Result<Settings, String> + Send + Sync + 'static,
{
    let logging = match Logging::start(level(&settings), &settings.log_to) {
        Ok(logging) => logging,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::FAILURE;
        }
    };
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
    match run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            log::error!(target: logging::FATAL, "{why}");
            ExitCode::FAILURE
        }
    }
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
    let served = server.run();
    served.map_err(|error| format!("cannot poll: {error}"))
}
