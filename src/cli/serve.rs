//! `midge serve`: run a server.

use crate::units::{Period, Size};
use crate::{EXIT_USAGE, logging};
use argh::FromArgs;
use log::LevelFilter;
use midge_server::{Auth, Config, HttpConfig, Server};
#[cfg(feature = "streams")]
use std::path::PathBuf;
use std::process::ExitCode;

/// run a server (what midge does without a command)
#[derive(FromArgs)]
#[argh(
    subcommand,
    name = "serve",
    note = "Sizes are bytes or carry a unit: 64KB, 1MB. Durations carry one: 500ms,
10s, 2m.",
    example = "midge --store /var/lib/midge.redb --http-port 8222
midge serve --host 0.0.0.0 --user joe --pass secret"
)]
pub(crate) struct Serve {
    /// address to listen on (default: 127.0.0.1)
    #[argh(option, short = 'a', default = "Config::default().host")]
    host: String,

    /// port to listen on, 0 for any free one (default: 4222)
    #[argh(option, short = 'p', default = "Config::default().port")]
    port: u16,

    /// serve monitoring pages on this port, 0 for any free one (default: off)
    #[argh(option, short = 'm')]
    http_port: Option<u16>,

    /// address for monitoring pages (default: that of --host)
    #[argh(option)]
    http_host: Option<String>,

    /// file that streams are kept in (default: midge.redb)
    #[cfg(feature = "streams")]
    #[argh(option, short = 's')]
    store: Option<PathBuf>,

    /// keep no streams
    #[cfg(feature = "streams")]
    #[argh(switch)]
    no_store: bool,

    /// name that clients see (default: a random id)
    #[argh(option, short = 'n', default = "String::new()")]
    name: String,

    /// user that clients must give, with --pass
    #[argh(option)]
    user: Option<String>,

    /// password that clients must give, with --user
    #[argh(option)]
    pass: Option<String>,

    /// token that clients must give
    #[argh(option)]
    auth: Option<String>,

    /// longest control line (default: 4096)
    #[argh(option)]
    max_control_line: Option<Size>,

    /// longest message, headers included (default: 1MB)
    #[argh(option)]
    max_payload: Option<Size>,

    /// bytes that may wait for one client before it is cut as a slow consumer
    /// (default: 64MB)
    #[argh(option)]
    max_pending: Option<Size>,

    /// clients at a time (default: 65536)
    #[argh(option)]
    max_connections: Option<usize>,

    /// subscriptions of one client, 0 for no limit (default: 0)
    #[argh(option)]
    max_subscriptions: Option<usize>,

    /// tokens in the subject of a subscription, 0 for no limit (default: 0)
    #[argh(option)]
    max_subject_tokens: Option<usize>,

    /// how long a client may take nothing of what waits for it (default: 10s)
    #[argh(option)]
    write_deadline: Option<Period>,

    /// how often an idle client is pinged (default: 2m)
    #[argh(option)]
    ping_interval: Option<Period>,

    /// unanswered pings before a client is cut (default: 2)
    #[argh(option)]
    ping_max: Option<u32>,

    /// how long a client may take to give its credentials (default: 2s)
    #[argh(option)]
    auth_timeout: Option<Period>,

    /// how long lame duck mode takes to let go of all clients (default: 2m)
    #[argh(option)]
    lame_duck_duration: Option<Period>,

    /// how long lame duck mode waits before it starts to (default: 10s)
    #[argh(option)]
    lame_duck_grace: Option<Period>,

    /// log what happens to each connection
    #[argh(switch, short = 'D')]
    debug: bool,
}

impl Serve {
    pub(crate) fn run(self) -> ExitCode {
        logging::start(if self.debug {
            LevelFilter::Debug
        } else {
            LevelFilter::Info
        });
        let config = match self.into_config() {
            Ok(config) => config,
            Err(error) => {
                eprintln!("{error}\nrun midge serve --help for what there is");
                return ExitCode::from(EXIT_USAGE);
            }
        };
        let served = Server::bind(config)
            .map_err(|error| error.to_string())
            .and_then(|server| {
                server
                    .run()
                    .map_err(|error| format!("cannot poll: {error}"))
            });
        match served {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                log::error!("{error}");
                ExitCode::FAILURE
            }
        }
    }

    fn into_config(self) -> Result<Config, String> {
        let auth = match (self.auth, self.user, self.pass) {
            (None, None, None) => Auth::default(),
            (Some(token), None, None) => Auth::token(token),
            (None, Some(user), Some(pass)) => Auth::user(user, pass),
            (Some(_), ..) => return Err("--auth goes without --user and --pass".into()),
            (None, ..) => return Err("--user and --pass go together".into()),
        };
        let mut config = Config {
            http: self.http_port.map(|port| HttpConfig {
                host: self.http_host.unwrap_or_else(|| self.host.clone()),
                port,
            }),
            host: self.host,
            port: self.port,
            name: self.name,
            auth,
            handle_signals: true,
            ..Config::default()
        };
        #[cfg(feature = "streams")]
        match (self.store, self.no_store) {
            (Some(_), true) => return Err("--store goes without --no-store".into()),
            (Some(path), false) => config.store = Some(path),
            (None, true) => config.store = None,
            (None, false) => {}
        }
        let limits = &mut config.limits;
        set(&mut limits.frame.max_control_line, self.max_control_line);
        set(&mut limits.frame.max_payload, self.max_payload);
        set(&mut limits.max_pending, self.max_pending);
        set(&mut limits.max_connections, self.max_connections);
        set(&mut limits.max_subscriptions, self.max_subscriptions);
        set(&mut limits.max_subject_tokens, self.max_subject_tokens);
        set(&mut limits.ping_interval, self.ping_interval);
        set(&mut limits.ping_max, self.ping_max);
        set(&mut limits.auth_timeout, self.auth_timeout);
        set(&mut config.write_deadline, self.write_deadline);
        set(&mut config.lame_duck_duration, self.lame_duck_duration);
        set(&mut config.lame_duck_grace, self.lame_duck_grace);
        // The settings go by the names of their flags, but for the dashes.
        config
            .check()
            .map_err(|error| format!("--{}", error.to_string().replace('_', "-")))?;
        Ok(config)
    }
}

fn set<T>(target: &mut T, value: Option<impl Into<T>>) {
    if let Some(value) = value {
        *target = value.into();
    }
}
