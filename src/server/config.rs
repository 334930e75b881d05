//! What a server is told at its start.

use midge_engine::{Auth, Limits};
use std::time::Duration;

/// Everything that can be set. The defaults are those of the `midge` command.
#[derive(Clone)]
pub struct Config {
    /// The address to listen on: a number or a name.
    pub host: String,
    /// The port to listen on; 0 for any that is free.
    pub port: u16,
    /// Where to serve monitoring pages, if anywhere.
    pub http: Option<HttpConfig>,
    /// The name shown to clients; the server's id if empty.
    pub name: String,
    /// What a client may ask for.
    pub limits: Limits,
    /// Who may enter.
    pub auth: Auth,
    /// How long a client may take nothing of what waits for it.
    pub write_deadline: Duration,
    /// How long a server in lame duck mode takes to let go of its clients.
    pub lame_duck_duration: Duration,
    /// How long it waits before it starts to.
    pub lame_duck_grace: Duration,
    /// Stop on SIGINT and SIGTERM, enter lame duck mode on SIGUSR2. A program
    /// that embeds a server may want its signals for itself.
    pub handle_signals: bool,
}

/// Where monitoring pages are served.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// The address to listen on: a number or a name.
    pub host: String,
    /// The port to listen on; 0 for any that is free.
    pub port: u16,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            host: "127.0.0.1".into(),
            port: 4222,
            http: None,
            name: String::new(),
            limits: Limits::default(),
            auth: Auth::default(),
            write_deadline: Duration::from_secs(10),
            lame_duck_duration: Duration::from_secs(120),
            lame_duck_grace: Duration::from_secs(10),
            handle_signals: false,
        }
    }
}
