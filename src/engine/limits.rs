//! How much one client may ask for.

use midge_proto::ParseLimits;
use std::time::Duration;

/// The limits and timers of sessions. The defaults are nats-server's, which
/// clients are tuned to.
#[derive(Debug, Clone)]
pub struct Limits {
    /// What a frame may measure.
    pub frame: ParseLimits,
    /// Header blocks are taken from nobody, and given to nobody.
    pub is_headerless: bool,
    /// Bytes waiting for one connection, and a line beside them, before it is cut
    /// as a slow consumer.
    pub max_pending: usize,
    /// Connections at a time.
    pub max_connections: usize,
    /// Subscriptions of one connection; 0 for no limit.
    pub max_subscriptions: usize,
    /// Tokens in the subject of a subscription; 0 for no limit.
    pub max_subject_tokens: usize,
    /// How often an idle client is pinged.
    pub ping_interval: Duration,
    /// Unanswered pings before a connection is stale.
    pub ping_max: u32,
    /// How long a client may take to CONNECT when credentials are required.
    pub auth_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            frame: ParseLimits::default(),
            is_headerless: false,
            max_pending: 64 * 1024 * 1024,
            max_connections: 65_536,
            max_subscriptions: 0,
            max_subject_tokens: 0,
            ping_interval: Duration::from_secs(120),
            ping_max: 2,
            auth_timeout: Duration::from_secs(2),
        }
    }
}

impl Limits {
    /// Bytes waiting for a connection from which its publishers are held
    /// back: three quarters of `max_pending`, so that a fast publisher slows
    /// down before its reader is cut.
    pub fn stall_pending(&self) -> usize {
        self.max_pending / 4 * 3
    }
}
