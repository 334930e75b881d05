//! The journal: the part of the file in which batches become durable.
//!
//! Making a batch durable in redb's tables takes a page for each leaf that it
//! touches, those above, and a header: fifteen scattered writes of 4 KiB and
//! more, and two syncs, for one small message. Here the batch is put behind the one before, which
//! is one write of a page and one sync. What the journal holds is also kept
//! in memory ([`Changes`](crate::changes::Changes)) and brought into the
//! tables by a checkpoint, after which the journal begins a new round from its
//! start. The room is written with zeros when the file is made and never given
//! back, so that a sync has no place on the disk to make durable as well.
//!
//! This file knows where records go; what is in one is `record.rs`'s, and
//! when a checkpoint is due `commit.rs`'s.

use crate::changes::Changes;
use crate::error::StoreError;
use crate::head::JOURNAL_AT;
use crate::medium::Medium;
use crate::record::{ALIGN, Name, Record};
use bytes::Bytes;
use midge_engine::{BlockKey, REOPEN_LEN, in_order};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Bytes of blocks that are remembered once they are in the tables, of those
/// that the engine may go on with. As a rule they are the engine's
/// own; a block that is not remembered is journaled as a whole once.
const TAILS_LEN_MAX: usize = 2 << 20;

/// Where a record goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) round: u64,
    /// Which record of the round.
    pub(crate) number: u32,
    /// From where the records begin.
    pub(crate) at: usize,
}

/// The journal of a store that is open: where it has got to.
#[derive(Debug)]
pub(crate) struct Journal {
    medium: Arc<Medium>,
    next: Place,
    /// A commit failed: nothing is known until the store is opened again.
    pub(crate) is_broken: bool,
    tails: Tails,
}

impl Journal {
    pub(crate) fn new(medium: Arc<Medium>, next: Place) -> Self {
        Journal {
            medium,
            next,
            is_broken: false,
            tails: Tails::default(),
        }
    }

    /// What the next record is called.
    pub(crate) fn next_name(&self) -> Name {
        Name {
            file: self.medium.head().id,
            round: self.next.round,
            number: self.next.number,
        }
    }

    pub(crate) fn has_room(&self, len: usize) -> bool {
        self.next.at + len <= self.medium.head().journal_len()
    }

    /// Makes a record durable behind the last one.
    pub(crate) fn append(&mut self, path: &Path, record: &[u8]) -> Result<(), StoreError> {
        assert!(self.has_room(record.len()), "the tables begin behind it");
        let end = self.next.at + record.len();
        let at = JOURNAL_AT + self.next.at as u64;
        let written = self.medium.write(at, record);
        let synced = written.and_then(|()| self.medium.sync());
        synced.map_err(|source| StoreError::io(path, "write to", source))?;
        self.next.number += 1;
        self.next.at = end;
        Ok(())
    }

    /// All that the round holds is in the tables, and with it that they wait
    /// for the next one.
    pub(crate) fn next_round(&mut self) {
        self.next = Place {
            round: self.next.round + 1,
            ..Place::default()
        };
    }

    /// A block as it is in the tables, if it is remembered.
    pub(crate) fn tail(&self, key: BlockKey) -> Option<&Bytes> {
        self.tails.blocks.get(&key)
    }

    /// Remembers the short ones of the blocks that a checkpoint has written,
    /// in place of those before.
    pub(crate) fn remember(&mut self, written: &Changes) {
        self.tails = Tails::default();
        for (key, block) in written.blocks() {
            if let Some(block) = block {
                self.tails.put(key, block.bytes());
            }
        }
    }

    pub(crate) fn forget(&mut self) {
        self.tails = Tails::default();
    }
}

/// Blocks in the tables that the engine is likely to go on with.
#[derive(Debug, Default)]
struct Tails {
    blocks: BTreeMap<BlockKey, Bytes>,
    len: usize,
}

impl Tails {
    fn put(&mut self, key: BlockKey, bytes: &Bytes) {
        if bytes.len() <= REOPEN_LEN && self.len + bytes.len() <= TAILS_LEN_MAX {
            self.len += bytes.len();
            self.blocks.insert(key, bytes.clone());
        }
    }
}

/// What a journal holds that is not in the tables.
#[derive(Debug, Default)]
pub(crate) struct Found<'a> {
    /// Its records, in the order in which they were written.
    pub(crate) records: Vec<Record<'a>>,
    /// Batches that were durable and are damaged, as far as can be told.
    pub(crate) lost: u64,
}

impl Found<'_> {
    /// Where to go on: behind them, as if there had been no damage.
    pub(crate) fn next(&self, round: u64) -> Place {
        let place = |record: &Record<'_>| Place {
            round: record.name.round,
            number: record.name.number + 1,
            at: record.at + record.len,
        };
        self.records.last().map_or(
            Place {
                round,
                ..Place::default()
            },
            place,
        )
    }
}

/// Finds the records in a journal's bytes from a round on.
///
/// A record that was cut short is the last: the one behind it is begun when
/// it is durable. So where a record is missing and later ones are there, it
/// is damaged. They are taken nevertheless: each holds the newest state of
/// what it touches, and what was put behind a block goes where it belongs.
/// Records of a later round than the tables wait for are there if redb has
/// gone back by a commit, of which the last was damaged.
pub(crate) fn scan(bytes: &[u8], file: u64, round: u64) -> Found<'_> {
    let mut records = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match Record::read(&bytes[at..], file) {
            Some(mut record) => {
                record.at = at;
                at += record.len;
                if record.name.round >= round {
                    records.push(record);
                }
            }
            None => at += ALIGN,
        }
    }
    let name = |at: usize| (records[at].name.round, records[at].name.number);
    let order = in_order(records.len(), &|a, b| name(a).cmp(&name(b)));
    let records: Vec<Record<'_>> = order.into_iter().map(|at| records[at]).collect();
    let mut lost = 0;
    let mut expected = (round, 0);
    for record in &records {
        let name = record.name;
        if name.round > expected.0 {
            // However many there were, their places are taken by now.
            lost += name.round - expected.0;
            expected = (name.round, 0);
        }
        lost += u64::from(name.number.saturating_sub(expected.1));
        expected.1 = name.number + 1;
    }
    Found { records, lost }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Writer;
    use midge_engine::{RowKey, StreamId};

    const FILE: u64 = 5;

    fn journal(records: impl IntoIterator<Item = (u64, u32, usize)>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (round, number, len) in records {
            let mut changes = Changes::default();
            changes.set_row(RowKey::Stream(StreamId(1)), Some(vec![7; len]));
            let mut writer = Writer::new();
            writer.put(&changes, &Changes::default(), |_| None);
            bytes.extend(writer.seal(Name {
                file: FILE,
                round,
                number,
            }));
        }
        bytes.extend([0; 1000]);
        bytes
    }

    fn found(bytes: &[u8]) -> (Vec<(u64, u32)>, u64) {
        let found = scan(bytes, FILE, 9);
        let names = found.records.iter().map(|record| record.name);
        let names = names.map(|name| (name.round, name.number)).collect();
        (names, found.lost)
    }

    #[test]
    fn earlier_rounds_are_not_read() {
        assert_eq!(found(&journal([])), (vec![], 0));
        let next = |bytes: &[u8]| scan(bytes, FILE, 9).next(9);
        assert_eq!((next(&journal([])).round, next(&journal([])).at), (9, 0));
        let two = journal([(9, 0, 50), (9, 1, 3)]);
        assert_eq!(found(&two), (vec![(9, 0), (9, 1)], 0));
        assert_eq!(next(&two).at, two.len() - 1000);
        assert_eq!((next(&two).round, next(&two).number), (9, 2));
        assert_eq!(scan(&two, FILE + 1, 9).records.len(), 0);
        // Left from the round before.
        let left = journal([(9, 0, 50), (8, 1, 3), (8, 2, 3)]);
        assert_eq!(found(&left), (vec![(9, 0)], 0));
    }

    #[test]
    fn what_redb_has_gone_back_behind_is_taken_and_told() {
        let later = journal([(10, 0, 50), (10, 1, 3), (9, 2, 3)]);
        assert_eq!(found(&later), (vec![(9, 2), (10, 0), (10, 1)], 3));
    }

    #[test]
    fn a_damaged_record_is_missed_and_those_behind_it_are_taken() {
        let lens = [50, 3, 90, 7, 20];
        let whole = journal((0..5).map(|number| (9, number, lens[number as usize])));
        let mut at = 0;
        for number in 0..5 {
            let mut damaged = whole.clone();
            damaged[at + 40] ^= 4;
            let left = (0..5).filter(|left| *left != number);
            let left = left.map(|left| (9, left)).collect();
            // The last might have been cut short.
            assert_eq!(found(&damaged), (left, u64::from(number < 4)));
            at += Record::read(&whole[at..], FILE).expect("whole").len;
        }
    }
}
