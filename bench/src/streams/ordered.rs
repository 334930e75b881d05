//! Order by key: workers share what is stored on many subjects, and whether
//! those of one subject come in order, one at a time, is looked at while they
//! are taken.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use crate::connection::Connection;
use crate::figures::Sample;
use crate::meter::Meter;
use crate::server::Server;
use crate::streams::SIZE;
use crate::streams::api::{STREAM, subjects_of};
use crate::streams::publisher::preload_to;
use crate::streams::pull::{DONE, Taker, Taking};
use crate::streams::scan::{number, unexpected};
use crate::streams::shop::{self, Shop};
use crate::streams::store;
use crate::streams::take::{self, EXPLICIT};

/// How many messages a worker asks for at once.
const BATCH: u64 = 64;
/// What a consumer has that keeps the order within each subject.
const BY_SUBJECT: &str = "\"metadata\":{\"midge.order_key\":\"subject\"}";

/// What is taken, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    /// How many messages.
    pub(crate) count: u64,
    /// On how many subjects, which took turns.
    pub(crate) keys: usize,
    /// Whether the consumer keeps the order within each.
    pub(crate) kept: bool,
}

/// Shares among workers what was stored before.
pub(crate) fn run(server: &Server, order: Order, duration: Duration) -> io::Result<Sample> {
    let mut api = store::open(server, false)?;
    let limit = take::loading(duration);
    let count = preload_to(server, STREAM, SIZE, order.keys, order.count, limit)?;
    api.create_consumer(&match order.kept {
        true => format!("{EXPLICIT},{BY_SUBJECT}"),
        false => EXPLICIT.to_owned(),
    })?;
    let keys = Keys::new(order.keys, count, order.kept);
    let workers = shop::hired(server)?;
    let shop = Shop::stocked(count);
    let meter = Meter::start(server.pid())?;
    let outcome = thread::scope(|scope| {
        for (id, worker) in workers.iter().enumerate() {
            let (shop, keys) = (&shop, &keys);
            scope.spawn(move || shop.work(|taken| work(worker, keys, id, taken)));
        }
        let outcome = shop.drain().and_then(|count| {
            api.await_consumed(count)?;
            Ok(meter.stop()?.sample(count))
        });
        shop.close(&workers);
        outcome
    });
    // If somebody failed, that explains why the rest did.
    shop.outcome()?;
    let sample = outcome?;
    api.expect_stored(server, count)?;
    take::with_memory(sample, server)
}

/// A worker, who takes until the connection is shut.
fn work(connection: &Connection, keys: &Keys, id: usize, taken: &AtomicU64) -> io::Result<()> {
    let taking = Taking {
        batch: BATCH,
        verb: DONE,
        answered: false,
        count: None,
    };
    Taker::new(connection, taking, SIZE, id)?
        .watched(Hand::new(keys))
        .run(taken)
}

/// What all workers together have had.
struct Keys {
    /// How every subject begins.
    root: Vec<u8>,
    /// For each key the last sequence that came, times two, and one more while
    /// it is not acknowledged.
    last: Vec<AtomicU64>,
    /// Whether each may only come after the one before it was acknowledged.
    kept: bool,
    /// A bit for each sequence that has come.
    seen: Vec<AtomicU64>,
}

impl Keys {
    fn new(keys: usize, count: u64, kept: bool) -> Self {
        let zeros = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
        Keys {
            root: format!("{}.", subjects_of(STREAM)).into_bytes(),
            last: zeros(keys),
            kept,
            seen: zeros(count as usize / 64 + 1),
        }
    }

    /// Which key the subject has.
    fn key(&self, subject: &[u8]) -> Option<usize> {
        let key = number(subject.strip_prefix(self.root.as_slice())?)?;
        (key < self.last.len()).then_some(key)
    }
}

/// The part of one worker in it.
pub(crate) struct Hand<'a> {
    keys: &'a Keys,
    /// The keys of what has come and is not acknowledged.
    held: Vec<usize>,
}

impl<'a> Hand<'a> {
    fn new(keys: &'a Keys) -> Self {
        Hand {
            keys,
            held: Vec::new(),
        }
    }

    /// Accounts for a message that has come.
    pub(crate) fn take(&mut self, subject: &[u8], sequence: u64) -> io::Result<()> {
        let key = self.keys.key(subject).ok_or_else(|| unexpected(subject))?;
        let bit = 1 << (sequence % 64);
        let word = self.keys.seen.get(sequence as usize / 64);
        let before = word.ok_or_else(|| unexpected(subject))?;
        if before.fetch_or(bit, SeqCst) & bit != 0 {
            return Err(io::Error::other(format!("message {sequence} came twice")));
        }
        if !self.keys.kept {
            return Ok(());
        }
        let before = self.keys.last[key].swap(sequence * 2 + 1, SeqCst);
        if before % 2 == 1 || before / 2 >= sequence {
            let text = subject.escape_ascii();
            return Err(io::Error::other(format!(
                "message {sequence} of {text} came {} message {}",
                if before % 2 == 1 { "beside" } else { "after" },
                before / 2
            )));
        }
        self.held.push(key);
        Ok(())
    }

    /// Whatever has come is about to be acknowledged.
    pub(crate) fn let_go(&mut self) {
        for key in self.held.drain(..) {
            self.keys.last[key].fetch_and(!1, SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_off_subjects() {
        let keys = Keys::new(10, 1, true);
        assert_eq!(keys.key(b"bench.0"), Some(0));
        assert_eq!(keys.key(b"bench.9"), Some(9));
        for subject in ["bench.10", "bench.", "bench.1.2", "other.1", ""] {
            assert_eq!(keys.key(subject.as_bytes()), None, "{subject}");
        }
    }

    #[test]
    fn within_a_key_one_comes_after_the_other() {
        let keys = Keys::new(2, 200, true);
        let (mut one, mut other) = (Hand::new(&keys), Hand::new(&keys));
        one.take(b"bench.0", 1).unwrap();
        other.take(b"bench.1", 2).unwrap();
        one.let_go();
        other.take(b"bench.0", 3).unwrap();
        other.let_go();
        let again = one.take(b"bench.0", 3).unwrap_err();
        assert_eq!(again.to_string(), "message 3 came twice");
        one.take(b"bench.0", 100).unwrap();
        let beside = other.take(b"bench.0", 101).unwrap_err();
        let text = "message 101 of bench.0 came beside message 100";
        assert_eq!(beside.to_string(), text);
        one.take(b"bench.1", 80).unwrap();
        one.let_go();
        let after = other.take(b"bench.1", 60).unwrap_err();
        let text = "message 60 of bench.1 came after message 80";
        assert_eq!(after.to_string(), text);
    }

    #[test]
    fn without_order_nothing_may_come_twice() {
        let keys = Keys::new(1, 10, false);
        let mut hand = Hand::new(&keys);
        hand.take(b"bench.0", 9).unwrap();
        hand.take(b"bench.0", 8).unwrap();
        assert!(hand.take(b"bench.0", 9).is_err());
        assert!(hand.take(b"bench.0", 64 * 7).is_err());
    }
}
