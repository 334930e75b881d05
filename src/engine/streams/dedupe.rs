//! The message ids that a stream has seen lately.

use crate::ids::Seq;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use midge_api::{Nanos, Timestamp};
use std::collections::VecDeque;
use std::hash::BuildHasher;

/// Ids remembered by one stream. Beyond, the oldest are forgotten before
/// their window is over, so that a flood of ids cannot take all memory: at
/// about 80 bytes each this many take 80 MB.
const IDS_MAX: usize = 1_000_000;

#[derive(Debug)]
struct Seen {
    id: Box<[u8]>,
    seq: Seq,
    time: Timestamp,
}

/// Ids with the sequences they were stored under, for as long as the window.
#[derive(Debug)]
pub(crate) struct Dedupe {
    /// In the order of their times.
    seen: VecDeque<Seen>,
    /// How many have left the front since the start: the index of an entry
    /// less this is its place in `seen`.
    left: u64,
    table: HashTable<u64>,
    hasher: FixedState,
    /// Ids forgotten before their time.
    pub(crate) overflowed: u64,
}

impl Dedupe {
    pub(crate) fn new(hash_seed: u64) -> Self {
        Dedupe {
            seen: VecDeque::new(),
            left: 0,
            table: HashTable::new(),
            hasher: FixedState::with_seed(hash_seed),
            overflowed: 0,
        }
    }

    /// The sequence that a message of this id has.
    pub(crate) fn get(&self, id: &[u8]) -> Option<Seq> {
        let index = self.table.find(self.hasher.hash_one(id), |index| {
            *self.seen[(index - self.left) as usize].id == *id
        })?;
        Some(self.seen[(index - self.left) as usize].seq)
    }

    /// The id of the message that was stored last with one.
    pub(crate) fn last(&self) -> Option<(&[u8], Seq)> {
        self.seen.back().map(|seen| (&*seen.id, seen.seq))
    }

    pub(crate) fn add(&mut self, id: &[u8], seq: Seq, time: Timestamp) {
        if self.seen.len() >= IDS_MAX {
            self.overflowed += 1;
            self.forget_first();
        }
        let index = self.left + self.seen.len() as u64;
        self.seen.push_back(Seen {
            id: id.into(),
            seq,
            time,
        });
        let (seen, left, hasher) = (&self.seen, self.left, &self.hasher);
        self.table
            .insert_unique(hasher.hash_one(id), index, |index| {
                hasher.hash_one(&*seen[(index - left) as usize].id)
            });
    }

    /// Forgets what is older than the window.
    pub(crate) fn expire(&mut self, now: Timestamp, window: Nanos) {
        while self
            .seen
            .front()
            .is_some_and(|seen| now.since(seen.time) >= window)
        {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        let Some(first) = self.seen.front() else {
            return;
        };
        let (hash, left) = (self.hasher.hash_one(&*first.id), self.left);
        if let Ok(entry) = self.table.find_entry(hash, |index| *index == left) {
            entry.remove();
        }
        self.seen.pop_front();
        self.left += 1;
        if self.seen.is_empty() {
            self.table = HashTable::new();
            self.seen = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_for_its_window() {
        let mut dedupe = Dedupe::new(7);
        for number in 0..1000i64 {
            dedupe.add(
                number.to_string().as_bytes(),
                Seq(number as u64),
                Timestamp(number),
            );
        }
        assert_eq!(dedupe.get(b"17"), Some(Seq(17)));
        dedupe.expire(Timestamp(600), Nanos(100));
        assert_eq!(dedupe.get(b"500"), None);
        assert_eq!(dedupe.get(b"501"), Some(Seq(501)));
        assert_eq!(dedupe.last(), Some((&b"999"[..], Seq(999))));
        dedupe.expire(Timestamp(10_000), Nanos(100));
        assert_eq!(dedupe.get(b"999"), None);
    }
}
