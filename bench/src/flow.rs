//! How far the publishers may run ahead of the subscribers.
//!
//! Every server cuts a subscriber for whom too much is pending, and a
//! publisher that only writes outruns any of them. So the bytes in flight are
//! bounded, by the same bound for every server. A publisher that reaches it
//! sleeps, for it shares two cores with the server, and is woken when half of
//! it has arrived.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::connection::PATIENCE;

/// The most bytes of messages between publishers and the slowest subscriber.
const WINDOW: u64 = 4 << 20;

/// How long nothing may arrive while something is in flight. Less than the
/// patience of a socket, for this error says more.
const STALL: Duration = Duration::from_secs(PATIENCE.as_secs() / 2);

/// Nobody waits for any level.
const NEVER: u64 = u64::MAX;

/// Who gets a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Every subscriber.
    Each,
    /// One of them, whichever the server picks.
    One,
}

/// The shared account of bytes sent and received in one run.
pub(crate) struct Flow {
    audience: Audience,
    /// Bytes that subscribers must get, for all that was handed to the server
    /// or is about to be.
    sent: AtomicU64,
    /// Bytes that each subscriber got.
    received: Vec<AtomicU64>,
    /// The least level of [`Flow::delivered`] that somebody waits for. A
    /// waiter sets it and then looks at the level; a subscriber raises the
    /// level and then looks at it. So one of them always sees the other.
    wake_at: AtomicU64,
    /// The first thing that went wrong.
    failure: Mutex<Option<String>>,
    turn: Condvar,
}

impl Flow {
    /// An account for that many subscribers.
    pub(crate) fn new(subscribers: usize, audience: Audience) -> Self {
        Flow {
            audience,
            sent: AtomicU64::new(0),
            received: (0..subscribers).map(|_| AtomicU64::new(0)).collect(),
            wake_at: AtomicU64::new(NEVER),
            failure: Mutex::new(None),
            turn: Condvar::new(),
        }
    }

    /// Announces bytes about to be sent and waits until they may be.
    ///
    /// They are announced first, so that a subscriber never appears to have
    /// more than was sent. With several publishers waiting, the one that
    /// announced first waits for less than is in flight, as long as one write
    /// is less than half of the window: so some publisher always proceeds.
    pub(crate) fn reserve(&self, bytes: u64) -> io::Result<()> {
        debug_assert!(bytes < WINDOW / 2);
        let sent = self.sent.fetch_add(bytes, SeqCst) + bytes;
        if sent.saturating_sub(self.delivered()) <= WINDOW {
            return Ok(());
        }
        self.wait_for(sent - WINDOW / 2)
    }

    /// Says that the subscriber has received so many bytes by now.
    pub(crate) fn received(&self, subscriber: usize, bytes: u64) {
        self.received[subscriber].store(bytes, SeqCst);
        if self.delivered() >= self.wake_at.load(SeqCst) {
            let _held = self.lock();
            self.wake_at.store(NEVER, SeqCst);
            self.turn.notify_all();
        }
    }

    /// Says that the run has failed, and wakes everyone who waits.
    pub(crate) fn fail(&self, error: &io::Error) {
        self.lock().get_or_insert_with(|| error.to_string());
        self.turn.notify_all();
    }

    /// Waits until everything sent has arrived.
    pub(crate) fn drain(&self) -> io::Result<()> {
        self.wait_for(self.sent.load(SeqCst))
    }

    /// Whether nothing has failed and everybody got exactly what was sent.
    pub(crate) fn outcome(&self) -> io::Result<()> {
        if let Some(failure) = &*self.lock() {
            return Err(io::Error::other(failure.clone()));
        }
        let sent = self.sent.load(SeqCst);
        let mut received = self.received.iter().map(|bytes| bytes.load(SeqCst));
        let exact = match self.audience {
            Audience::Each => received.all(|bytes| bytes == sent),
            Audience::One => received.sum::<u64>() == sent,
        };
        if exact {
            Ok(())
        } else {
            Err(io::Error::other("more arrived than was sent"))
        }
    }

    /// How many bytes count as arrived: those that the slowest has, or those
    /// that all have together. With no subscribers everything has.
    fn delivered(&self) -> u64 {
        let received = self.received.iter().map(|bytes| bytes.load(SeqCst));
        if self.received.is_empty() {
            return NEVER;
        }
        match self.audience {
            Audience::Each => received.min().unwrap_or(NEVER),
            Audience::One => received.sum(),
        }
    }

    fn wait_for(&self, level: u64) -> io::Result<()> {
        let mut failure = self.lock();
        let mut last = self.delivered();
        let mut moved = Instant::now();
        loop {
            if let Some(failure) = &*failure {
                return Err(io::Error::other(failure.clone()));
            }
            self.wake_at.fetch_min(level, SeqCst);
            let delivered = self.delivered();
            if delivered >= level {
                return Ok(());
            }
            if delivered != last {
                (last, moved) = (delivered, Instant::now());
            } else if moved.elapsed() > STALL {
                return Err(self.stalled(delivered));
            }
            // The limit is only for noticing that nothing moves any more.
            let limit = Duration::from_millis(100);
            let woken = self.turn.wait_timeout(failure, limit);
            failure = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn stalled(&self, delivered: u64) -> io::Error {
        let sent = self.sent.load(SeqCst);
        io::Error::other(format!(
            "messages lost: {delivered} of {sent} bytes arrived, and no more for {} s",
            STALL.as_secs()
        ))
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    #[test]
    fn a_publisher_waits_for_the_slowest() {
        let flow = Flow::new(2, Audience::Each);
        for _ in 0..4 {
            flow.reserve(WINDOW / 4).unwrap();
        }
        let through = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                flow.reserve(1).unwrap();
                through.store(true, SeqCst);
            });
            flow.received(0, WINDOW);
            thread::sleep(Duration::from_millis(20));
            assert!(!through.load(SeqCst));
            flow.received(1, WINDOW / 2 + 1);
        });
        assert!(through.load(SeqCst));
        assert!(flow.outcome().is_err());
    }

    #[test]
    fn a_queue_counts_together() {
        let flow = Flow::new(2, Audience::One);
        flow.reserve(10).unwrap();
        flow.received(0, 4);
        flow.received(1, 6);
        flow.drain().unwrap();
        flow.outcome().unwrap();
    }

    #[test]
    fn a_failure_wakes_a_waiting_publisher() {
        let flow = Flow::new(1, Audience::Each);
        for _ in 0..4 {
            flow.reserve(WINDOW / 4).unwrap();
        }
        thread::scope(|scope| {
            let waiting = scope.spawn(|| flow.reserve(1));
            flow.fail(&io::Error::other("cut"));
            let error = waiting.join().unwrap().unwrap_err();
            assert_eq!(error.to_string(), "cut");
        });
    }
}
