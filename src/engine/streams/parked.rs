//! Keys that wait for a dead message.

use crate::ids::Seq;
use std::collections::BTreeMap;

/// Which messages have parked which keys; found by either.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parked {
    by_seq: BTreeMap<Seq, u64>,
    /// How many messages have parked a key.
    keys: BTreeMap<u64, u32>,
}

impl Parked {
    pub(crate) fn is_empty(&self) -> bool {
        self.by_seq.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_seq.len()
    }

    /// Whether this message has parked its key.
    pub(crate) fn has(&self, seq: Seq) -> bool {
        self.by_seq.contains_key(&seq)
    }

    /// Whether a key waits.
    pub(crate) fn holds(&self, key: u64) -> bool {
        self.keys.contains_key(&key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Seq, u64)> + '_ {
        self.by_seq.iter().map(|(seq, key)| (*seq, *key))
    }

    pub(crate) fn add(&mut self, seq: Seq, key: u64) {
        self.remove(seq);
        self.by_seq.insert(seq, key);
        *self.keys.entry(key).or_insert(0) += 1;
    }

    /// Its key does not wait for this message any more. Returns the key.
    pub(crate) fn remove(&mut self, seq: Seq) -> Option<u64> {
        let key = self.by_seq.remove(&seq)?;
        if let Some(count) = self.keys.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.keys.remove(&key);
            }
        }
        Some(key)
    }
}
