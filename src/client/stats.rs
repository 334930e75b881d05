//! What a client has done so far.

use std::sync::atomic::{AtomicU64, Ordering};

/// Figures of one client since it was made, over all its connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Messages that came for subscriptions and requests.
    pub received: u64,
    /// Their bytes: subjects, headers and payloads.
    pub received_bytes: u64,
    /// Messages that were published; some may still wait to be sent.
    pub published: u64,
    /// Their bytes: headers and payloads.
    pub published_bytes: u64,
    /// Messages that were dropped because nobody took them from their
    /// subscription in time.
    pub dropped: u64,
    /// Connections that were made after the first one.
    pub reconnects: u64,
}

/// The figures of what comes. What goes is counted where it is written.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) received: AtomicU64,
    pub(crate) received_bytes: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) connections: AtomicU64,
}

/// Counts some more. Nothing hangs on the order in which others see it.
pub(crate) fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn read(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            received: read(&self.received),
            received_bytes: read(&self.received_bytes),
            dropped: read(&self.dropped),
            reconnects: read(&self.connections).saturating_sub(1),
            ..Stats::default()
        }
    }
}
