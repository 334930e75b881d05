//! How to connect, and what a connection may take.

use crate::Error;
use std::time::Duration;

/// How long a connection may take to come about, and an answer to come, where
/// nothing else is said: longer than a busy server takes, shorter than a
/// person's patience.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// How to connect. All has a default that fits a program on a small machine.
///
/// ```
/// use midge_client::Options;
///
/// let options = Options {
///     name: "thermometer".into(),
///     token: Some("s3cret".into()),
///     ..Options::default()
/// };
/// # let _ = options;
/// ```
#[derive(Debug, Clone)]
pub struct Options {
    /// What the server's monitoring calls this client.
    pub name: String,
    /// How long connecting to one server may take, beside the look-up of its
    /// name, and an answer for which nothing else is said. A server that takes nothing for so long is
    /// given up.
    pub timeout: Duration,
    /// Who asks, if the URL does not say.
    pub user: Option<String>,
    /// With which password, if the URL does not say.
    pub pass: Option<String>,
    /// What to show in place of user and password, if the URL does not say.
    pub token: Option<String>,
    /// Whether messages of this client go to its own subscriptions.
    pub has_echo: bool,
    /// Do not wait for the first connection, and go on trying until there is
    /// one: for a device that starts before its network does.
    pub connects_later: bool,
    /// Make a broken connection again. Without it the client is closed then.
    pub reconnects: bool,
    /// Attempts in a row, over all servers, after which the client is closed.
    /// `None` goes on for ever.
    pub attempts_max: Option<u32>,
    /// How long to wait after a first attempt in vain. It doubles with each
    /// further one, up to `reconnect_wait_max`, and up to half of it is left
    /// out at random, so that a thousand devices do not come back at once.
    pub reconnect_wait: Duration,
    /// The longest wait between two attempts.
    pub reconnect_wait_max: Duration,
    /// Bytes of messages that may wait while there is no connection; what is
    /// published then is [`Error::Full`](crate::Error::Full).
    pub buffer_bytes_max: usize,
    /// Bytes that may wait in a subscription for somebody to take them. What
    /// comes then is dropped and counted ([`Event::Slow`](crate::Event::Slow)).
    pub queue_bytes_max: usize,
    /// How often the server is asked whether it is still there. After two
    /// questions without an answer the connection counts as broken.
    pub ping_interval: Duration,
    /// Nothing goes to a server without TLS, and what that trusts. Servers
    /// that ask for TLS, and URLs with `tls://`, get it without this as well.
    #[cfg(feature = "tls")]
    pub tls: Option<crate::Tls>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            name: "midge-client".to_owned(),
            timeout: TIMEOUT_DEFAULT,
            user: None,
            pass: None,
            token: None,
            has_echo: true,
            connects_later: false,
            reconnects: true,
            attempts_max: None,
            reconnect_wait: Duration::from_millis(100),
            reconnect_wait_max: Duration::from_secs(8),
            // What other NATS clients hold as well.
            buffer_bytes_max: 8 << 20,
            // A burst of a million small messages while their reader is busy.
            queue_bytes_max: 64 << 20,
            ping_interval: Duration::from_secs(120),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl Options {
    /// A wait of no length would never be one.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.timeout.is_zero() {
            return Err(Error::Option("its timeout is zero"));
        }
        if self.ping_interval.is_zero() {
            return Err(Error::Option("its ping_interval is zero"));
        }
        if self.reconnect_wait.is_zero() || self.reconnect_wait_max.is_zero() {
            return Err(Error::Option("a wait between its attempts is zero"));
        }
        Ok(())
    }
}
