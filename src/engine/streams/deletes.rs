//! Which messages of a block are gone.

use super::varint::{self, Reader};

/// A set of places in a block. A run of deleted places at the front, which is
/// what acks and age leave behind, costs nothing.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Deletes {
    /// All places before this are in the set.
    floor: u32,
    /// The places from 0 on, a bit each.
    words: Vec<u64>,
}

impl Deletes {
    #[inline]
    pub(crate) fn contains(&self, place: u64) -> bool {
        place < u64::from(self.floor)
            || self
                .words
                .get((place / 64) as usize)
                .is_some_and(|word| word >> (place % 64) & 1 != 0)
    }

    /// Adds a place; false if it was there.
    pub(crate) fn add(&mut self, place: u64) -> bool {
        if self.contains(place) {
            return false;
        }
        if place == u64::from(self.floor) {
            self.floor += 1;
            while self
                .words
                .get((self.floor / 64) as usize)
                .is_some_and(|word| word >> (self.floor % 64) & 1 != 0)
            {
                self.floor += 1;
            }
            return true;
        }
        let word = (place / 64) as usize;
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (place % 64);
        true
    }

    /// The first place from `place` on that is not in the set.
    pub(crate) fn next_absent(&self, place: u64) -> u64 {
        let mut at = place.max(u64::from(self.floor));
        while let Some(word) = self.words.get((at / 64) as usize) {
            let free = !(word >> (at % 64)) & (u64::MAX >> (at % 64));
            if free != 0 {
                return at + u64::from(free.trailing_zeros());
            }
            at = (at / 64 + 1) * 64;
        }
        at
    }

    /// Appends the floor, then the words from there on, each but the first
    /// whole ones of the floor.
    pub(crate) fn write(&self, row: &mut Vec<u8>) {
        varint::put(row, u64::from(self.floor));
        let skipped = (self.floor / 64) as usize;
        for word in self.words.iter().skip(skipped) {
            row.extend_from_slice(&word.to_le_bytes());
        }
    }

    /// Reads it from what is left of a row.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let floor = reader.small()?;
        if u64::from(floor) > super::block::BLOCK_SEQS_MAX {
            return None;
        }
        let mut words = vec![0; (floor / 64) as usize];
        while !reader.is_empty() {
            let bytes = reader.take(8)?;
            words.push(u64::from_le_bytes(bytes.try_into().ok()?));
        }
        if words.iter().all(|word| *word == 0) {
            words.clear();
        }
        Some(Deletes { floor, words })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_a_set(places in prop::collection::vec(0..300u64, 0..200)) {
            let mut deletes = Deletes::default();
            let mut model = BTreeSet::new();
            for place in places {
                prop_assert_eq!(deletes.add(place), model.insert(place));
            }
            let mut row = Vec::new();
            deletes.write(&mut row);
            let read = Deletes::read(&mut Reader::new(&row)).expect("whole");
            for place in 0..400 {
                prop_assert_eq!(deletes.contains(place), model.contains(&place));
                prop_assert_eq!(read.contains(place), model.contains(&place));
                let next = (place..).find(|place| !model.contains(place)).unwrap();
                prop_assert_eq!(deletes.next_absent(place), next);
                prop_assert_eq!(read.next_absent(place), next);
            }
        }
    }
}
