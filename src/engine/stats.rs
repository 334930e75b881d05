//! What the engine counts.

use crate::session::Traffic;

/// Totals since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Messages published.
    pub in_msgs: u64,
    /// Payload bytes published.
    pub in_bytes: u64,
    /// Messages delivered.
    pub out_msgs: u64,
    /// Payload bytes delivered.
    pub out_bytes: u64,
    /// Sessions ever opened.
    pub total_connections: u64,
    /// Connections cut because too much waited for them.
    pub slow_consumers_pending: u64,
    /// Connections cut because they took nothing for too long.
    pub slow_consumers_deadline: u64,
    /// Connections cut because pings went unanswered.
    pub stale_connections: u64,
    /// Credentials refused.
    pub auth_violations: u64,
    /// Credentials not given in time.
    pub auth_timeouts: u64,
    /// Credentials not looked at, for there were too many.
    pub auth_throttled: u64,
    /// Times a publisher was held back for a reader.
    pub stalls: u64,
}

impl EngineStats {
    /// Clients that were not let in.
    pub fn auth_errors(&self) -> u64 {
        self.auth_violations + self.auth_timeouts + self.auth_throttled
    }

    /// Connections cut for reading too slowly.
    pub fn slow_consumers(&self) -> u64 {
        self.slow_consumers_pending + self.slow_consumers_deadline
    }
}

/// What the router counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RouterStats {
    /// Subscriptions now.
    pub subscriptions: usize,
    /// Subjects whose match is remembered now.
    pub cached: usize,
    /// Subscriptions ever made.
    pub inserts: u64,
    /// Subscriptions ever ended.
    pub removes: u64,
    /// Look-ups.
    pub lookups: u64,
    /// Look-ups that found their match remembered.
    pub cache_hits: u64,
    /// The most receivers one message had.
    pub max_fanout: u64,
    /// Deliveries, for the average fan-out.
    pub deliveries: u64,
}

/// What passes through an account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AccountStats {
    /// Sessions now.
    pub sessions: usize,
    /// Of those now and those before.
    pub traffic: Traffic,
    /// Connections cut for reading too slowly.
    pub slow_consumers: u64,
    /// What its router counts.
    pub router: RouterStats,
}

/// What all streams come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamsTotals {
    /// The store works. While it does not, only streams that are kept in
    /// memory alone are served.
    pub is_available: bool,
    /// Accounts that may have streams.
    pub accounts: u64,
    /// Streams.
    pub streams: u64,
    /// Their consumers.
    pub consumers: u64,
    /// Their messages.
    pub messages: u64,
    /// Bytes of the streams in memory.
    pub memory: u64,
    /// Bytes of the streams on the disk.
    pub storage: u64,
    /// What the streams in memory may grow to, of those with a bound.
    pub reserved_memory: u64,
    /// What the streams on the disk may grow to, of those with a bound.
    pub reserved_storage: u64,
    /// Requests of the API since the start.
    pub api_total: u64,
    /// Those of them that failed.
    pub api_errors: u64,
    /// Messages stored since the start.
    pub stored_total: u64,
    /// Dead letters now, in the stream that keeps them unless another is
    /// named.
    pub dead_letters: u64,
    /// Dead letters sent back since the start.
    pub redriven_total: u64,
    /// Messages that streams have dropped since the start and that became
    /// dead letters.
    pub overflow_total: u64,
    /// Those that should have, and could not be stored.
    pub overflow_lost_total: u64,
}
