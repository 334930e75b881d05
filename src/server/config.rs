//! What a server is told at its start.

use crate::memory::MEMORY_MIN;
use crate::reload::ReadAgain;
use crate::tls::Handshakes;
use midge_engine::{Accounts, Auth, Limits};
use std::fmt;
#[cfg(feature = "streams")]
use std::path::PathBuf;
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
    /// The file that streams are kept in; without one there are none.
    #[cfg(feature = "streams")]
    pub store: Option<PathBuf>,
    /// The domain by which the stream API is reached as well; empty is none.
    pub domain: String,
    /// Requests of the stream API may have keys that nobody knows.
    pub is_lenient: bool,
    /// What the streams of all accounts may use together.
    pub stream_limits: midge_api::ServerLimits,
    /// The name shown to clients; the server's id if empty.
    pub name: String,
    /// The certificate that clients see; without one there is no TLS.
    #[cfg(feature = "tls")]
    pub tls: Option<crate::TlsConfig>,
    /// Clients may do without TLS where there is some.
    pub allow_non_tls: bool,
    /// Monitoring pages are served over TLS.
    pub https: bool,
    /// What a client may ask for.
    pub limits: Limits,
    /// Who may enter.
    pub auth: Auth,
    /// The accounts that clients are in.
    pub accounts: Accounts,
    /// How long a client may take nothing of what waits for it.
    pub write_deadline: Duration,
    /// How long a server in lame duck mode takes to let go of its clients.
    pub lame_duck_duration: Duration,
    /// How long it waits before it starts to.
    pub lame_duck_grace: Duration,
    /// How long a batch of what is stored waits for more before it is written,
    /// unless so much has gathered that waiting gains nothing. Up to a second.
    pub commit_linger: Duration,
    /// How many bytes of memory the process may use; as much as it needs, if
    /// nothing is said. Takes [`Config::allocated`].
    pub memory: Option<usize>,
    /// How many bytes are allocated now. Asked in every turn of the loop: it
    /// should be a counter that the program's allocator keeps.
    pub allocated: Option<fn() -> usize>,
    /// Stop on SIGINT and SIGTERM, enter lame duck mode on SIGUSR2. A program
    /// that embeds a server may want its signals for itself.
    pub handle_signals: bool,
    /// Reads the configuration again when SIGHUP or [`crate::Handle::reload`]
    /// asks for it, if that can be done.
    pub reload: Option<ReadAgain>,
}

/// Where streams are kept if nothing else is said: in the working directory.
#[cfg(feature = "streams")]
pub const STORE_DEFAULT: &str = "midge.redb";

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
            #[cfg(feature = "streams")]
            store: Some(STORE_DEFAULT.into()),
            domain: String::new(),
            is_lenient: false,
            stream_limits: midge_api::ServerLimits::default(),
            name: String::new(),
            #[cfg(feature = "tls")]
            tls: None,
            allow_non_tls: false,
            https: false,
            limits: Limits::default(),
            auth: Auth::default(),
            accounts: Accounts::default(),
            write_deadline: Duration::from_secs(10),
            lame_duck_duration: Duration::from_secs(120),
            lame_duck_grace: Duration::from_secs(10),
            commit_linger: Duration::ZERO,
            memory: None,
            allocated: None,
            handle_signals: false,
            reload: None,
        }
    }
}

/// The longest `commit_linger`: whoever stores something waits for so long for
/// every acknowledgement.
pub(crate) const COMMIT_LINGER_MAX: Duration = Duration::from_secs(1);

/// The largest `max_payload`. A payload is held in memory whole, and its size
/// is written with nine digits at most.
pub const MAX_PAYLOAD_MAX: usize = 256 * 1024 * 1024;

/// The largest `max_control_line`. A line is held in memory for every client
/// that is in the middle of one.
pub const MAX_CONTROL_LINE_MAX: usize = 1024 * 1024;

/// The smallest `max_control_line`: less would not hold a client's CONNECT.
pub const MAX_CONTROL_LINE_MIN: usize = 64;

/// How many messages of the largest size a ceiling on memory has to have room
/// for: one that is received, one that is stored, and some that are sent.
const MEMORY_PAYLOADS: usize = 16;

/// Why a configuration is none to serve by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigError {
    /// A setting is out of its range.
    Range {
        /// Its name.
        setting: &'static str,
        /// What it has to be.
        expected: String,
    },
    /// Who may enter is not clear; in words, without secrets.
    Auth(String),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Range { setting, expected } => write!(f, "{setting} must be {expected}"),
            ConfigError::Auth(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for ConfigError {}

fn check(is_good: bool, setting: &'static str, expected: String) -> Result<(), ConfigError> {
    match is_good {
        true => Ok(()),
        false => Err(ConfigError::Range { setting, expected }),
    }
}

impl Config {
    /// Whether there is a certificate.
    fn has_tls(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }

    /// Checks that every setting is in its range, and who may enter clear.
    ///
    /// # Errors
    /// [`ConfigError`], about the first that is not.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_sizes()?;
        self.check_tls()?;
        for (setting, period) in [
            ("ping_interval", self.limits.ping_interval),
            ("auth_timeout", self.limits.auth_timeout),
            ("write_deadline", self.write_deadline),
        ] {
            check(
                period >= Duration::from_millis(1),
                setting,
                "at least 1ms".into(),
            )?;
        }
        self.auth.check().map_err(ConfigError::Auth)
    }

    /// Checks that the certificates and keys can be read and fit one another, as
    /// a start does.
    ///
    /// # Errors
    /// What is wrong, and with which file.
    pub fn check_files(&self) -> Result<(), String> {
        Handshakes::new(self).map(drop)
    }

    fn check_sizes(&self) -> Result<(), ConfigError> {
        let limits = &self.limits;
        let (line, payload) = (limits.frame.max_control_line, limits.frame.max_payload);
        check(
            (MAX_CONTROL_LINE_MIN..=MAX_CONTROL_LINE_MAX).contains(&line),
            "max_control_line",
            format!("between {MAX_CONTROL_LINE_MIN} and {MAX_CONTROL_LINE_MAX} bytes"),
        )?;
        check(
            payload <= MAX_PAYLOAD_MAX,
            "max_payload",
            format!("at most {MAX_PAYLOAD_MAX} bytes"),
        )?;
        check(
            limits.max_pending >= payload,
            "max_pending",
            "at least max_payload".into(),
        )?;
        check(
            self.commit_linger <= COMMIT_LINGER_MAX,
            "commit_linger",
            format!("at most {} s", COMMIT_LINGER_MAX.as_secs()),
        )?;
        let memory = self.memory.unwrap_or(usize::MAX);
        check(
            memory >= MEMORY_MIN && memory / MEMORY_PAYLOADS >= payload,
            "memory",
            format!(
                "at least {} MB, and {MEMORY_PAYLOADS} times max_payload",
                MEMORY_MIN >> 20
            ),
        )?;
        check(
            self.memory.is_none() || self.allocated.is_some(),
            "memory",
            "left out where nothing counts what is allocated".into(),
        )?;
        check(
            limits.max_connections > 0,
            "max_connections",
            "at least 1".into(),
        )
    }

    fn check_tls(&self) -> Result<(), ConfigError> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            check(
                !tls.cert_file.as_os_str().is_empty() && !tls.key_file.as_os_str().is_empty(),
                "tls",
                "given a cert_file and a key_file".into(),
            )?;
            check(
                tls.timeout >= Duration::from_millis(1),
                "tls timeout",
                "at least 1ms".into(),
            )?;
        }
        check(
            !self.https || self.has_tls(),
            "https",
            "given with tls, whose certificate it shows".into(),
        )
    }
}
