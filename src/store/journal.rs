//! The journal: the part of the file in which batches become durable.
//!
//! Making a batch durable in redb's tables takes a page for each leaf that it
//! touches, those above, and a header: fifteen scattered writes of 4 KiB and
//! more, and two syncs, for one small message. Here the batch is put behind the
//! one before, which is one write of a page. What the journal holds is also kept
//! in memory ([`Changes`](crate::changes::Changes)) and brought into the
//! tables by a checkpoint, after which the journal begins a new round from its
//! start. If a checkpoint is made while others go on, the new round begins behind
//! the old one, whose room is free once its checkpoint is complete: then the
//! journal is a ring. The room is written with zeros when the file is made and
//! never given back, so that a sync has no place on the disk to make durable as
//! well.
//!
//! This file knows where records go; what is in one is `record.rs`'s, and
//! when a checkpoint is due `commit.rs`'s.

use crate::changes::{Changes, Kept};
use crate::durable::Paged;
use crate::error::StoreError;
use crate::head::JOURNAL_AT;
use crate::medium::{Medium, PAGE_LEN};
use crate::record::{ALIGN, Name, Record, Writer};
use midge_engine::{BlockKey, REOPEN_LEN, in_order};
use std::path::Path;
use std::sync::Arc;

/// Memory of blocks that are remembered once they are in the tables, of those
/// that the engine may go on with. As a rule they are the engine's
/// own; a block that is not remembered is journaled as a whole once.
const TAILS_LEN_MAX: usize = 2 << 20;

/// A checkpoint beside which others go on begins once the round takes this, or half
/// of the journal if that is more: it is worth its pages then, and who stores
/// without a pause fills the other half in the time that it takes. At three quarters
/// who stores had to wait for the end of each, a third of the time in all.
const ROUND_WORTH_LEN: usize = 1 << 20;

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
    /// Where the round begins.
    begin: usize,
    /// Where the first record lies that may not be in the tables: of this round,
    /// or of the one before while its checkpoint is made.
    kept_from: usize,
    /// What the round's first record is to say: how many the one before has,
    /// whose checkpoint was not complete when this one began.
    follows: Option<u32>,
    /// A commit failed: nothing is known until the store is opened again.
    pub(crate) is_broken: bool,
    /// Blocks in the tables that the engine is likely to go on with.
    tails: Changes,
    /// What the record before was put into.
    memory: Vec<u8>,
}

impl Journal {
    /// One that goes on behind records of which the first lies at `kept_from`.
    pub(crate) fn new(medium: Arc<Medium>, next: Place, kept_from: usize) -> Self {
        Journal {
            medium,
            next,
            begin: kept_from,
            kept_from,
            follows: None,
            is_broken: false,
            tails: Changes::default(),
            memory: Vec::new(),
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

    /// A record begun, with what it has to say of the round.
    pub(crate) fn begin_record(&mut self, len: usize) -> Writer {
        let memory = std::mem::take(&mut self.memory);
        let at = JOURNAL_AT + self.next.at as u64;
        let mut writer = Writer::new(Paged::new(memory, at, len));
        if let Some(count) = self.follows {
            writer.follows(count);
        }
        writer
    }

    /// Where a record of so many bytes goes, if there is room: behind the last,
    /// or at the journal's start.
    fn place(&self, len: usize) -> Option<usize> {
        let page = PAGE_LEN as usize;
        // Whole pages are written, and never up to the first record that is kept:
        // the two places would be one, as when there is none.
        let end = self.kept_from - self.kept_from % page;
        let is_before = |at: usize| (at + len).next_multiple_of(page) < end;
        let at = self.next.at;
        if at < self.kept_from {
            return is_before(at).then_some(at);
        }
        if at + len <= self.medium.head().journal_len() {
            return Some(at);
        }
        is_before(0).then_some(0)
    }

    /// What is left of the journal for batches that take something away, and half of
    /// it for those that add nothing: on a full disk, where no checkpoint comes to its
    /// end, the first make room.
    pub(crate) fn room_to_make_room(&self) -> usize {
        self.medium.head().journal_len() / 32
    }

    pub(crate) fn has_room(&self, len: usize) -> bool {
        self.place(len).is_some()
    }

    /// Makes a record durable behind the last one. There has to be room.
    pub(crate) fn append(&mut self, path: &Path, mut record: Paged) -> Result<(), StoreError> {
        let Some(at) = self.place(record.len()) else {
            unreachable!("the tables begin behind it, or records that are needed");
        };
        let durable = self
            .medium
            .write_durably(JOURNAL_AT + at as u64, &mut record);
        durable.map_err(|source| StoreError::io(path, "write to", source))?;
        self.next.number += 1;
        self.next.at = at + record.len();
        self.follows = None;
        self.memory = record.into_memory();
        Ok(())
    }

    /// Whether the round has come so far that a checkpoint is worth it.
    pub(crate) fn is_worth_a_checkpoint(&self) -> bool {
        let len = self.medium.head().journal_len();
        let used = match self.next.at.checked_sub(self.begin) {
            Some(used) => used,
            None => self.next.at + len - self.begin,
        };
        used >= ROUND_WORTH_LEN.max(len / 2)
    }

    /// A new round, while what the one before holds is being brought into the
    /// tables: its blocks are what the next ones have grown from.
    pub(crate) fn begin_round(&mut self, leaving: &Changes) {
        self.remember(leaving);
        self.follows = Some(self.next.number);
        self.kept_from = self.begin;
        self.begin = self.next.at;
        self.next.round += 1;
        self.next.number = 0;
    }

    /// What came before the round is in the tables.
    pub(crate) fn end_round_before(&mut self) {
        self.kept_from = self.begin;
    }

    /// All that the round holds is in the tables, and with it that they wait
    /// for the next one.
    pub(crate) fn next_round(&mut self) {
        self.next = Place {
            round: self.next.round + 1,
            ..Place::default()
        };
        (self.begin, self.kept_from) = (0, 0);
        self.follows = None;
    }

    /// A block as it is in the tables, if it is remembered.
    pub(crate) fn tail(&self, key: BlockKey) -> Option<&Kept> {
        self.tails.block(key).flatten()
    }

    /// Remembers the short ones of the blocks that a checkpoint has written,
    /// in place of those before.
    pub(crate) fn remember(&mut self, written: &Changes) {
        self.tails = Changes::default();
        for (key, block) in written.blocks() {
            if let Some(block) = block
                && block.bytes().len() <= REOPEN_LEN
                && self.tails.held() + block.held() <= TAILS_LEN_MAX
            {
                self.tails.set_block(key, Some(block.clone()));
            }
        }
    }

    /// Gives back the memory that spares work to who goes on.
    pub(crate) fn forget(&mut self) {
        self.memory = Vec::new();
        self.tails = Changes::default();
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
    /// Where the first of them lies; 0 if there is none.
    pub(crate) fn first_at(&self) -> usize {
        self.records.first().map_or(0, |record| record.at)
    }

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
/// Records of a later round than the tables wait for are there if its checkpoint
/// was not complete when the power went: then the later round says how many
/// records this one has. Or redb has gone back by a commit, of which the last was
/// damaged; then it is not known how many are missing.
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
            lost += match record.follows() {
                Some(count) if name.round == expected.0 + 1 => {
                    u64::from(count.saturating_sub(expected.1))
                }
                // The one that would have said it is counted below.
                None if name.round == expected.0 + 1 && name.number > 0 => 0,
                // However many there were, their places are taken by now.
                _ => name.round - expected.0,
            };
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
    use midge_engine::{RowKey, StreamId};

    const FILE: u64 = 5;

    fn writer(len: usize) -> Writer {
        Writer::new(Paged::new(Vec::new(), 0, len))
    }

    fn journal(records: impl IntoIterator<Item = (u64, u32, usize)>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (round, number, len) in records {
            let mut changes = Changes::default();
            changes.set_row(RowKey::Stream(StreamId(1)), Some(vec![7; len]));
            let mut writer = writer(len);
            writer.put(&changes, &Changes::default(), |_| None);
            let record = writer.seal(Name {
                file: FILE,
                round,
                number,
            });
            bytes.extend(record.bytes());
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
    fn a_round_that_began_beside_a_checkpoint_tells_how_long_the_one_before_is() {
        let old = journal([(9, 0, 50), (9, 1, 3), (9, 2, 3)]);
        let old = &old[..old.len() - 1000];
        let mut first = writer(0);
        first.follows(3);
        first.put(&Changes::default(), &Changes::default(), |_| None);
        let sealed = first.seal(Name {
            file: FILE,
            round: 10,
            number: 0,
        });
        let first = sealed.bytes();
        let new = [first, &journal([(10, 1, 20)])].concat();
        let names = |left: &[(u64, u32)]| left.to_vec();
        let all = [(9, 0), (9, 1), (9, 2), (10, 0), (10, 1)];
        // Behind the old one, or at the start of the ring before it.
        for whole in [[old, &new].concat(), [&new, old].concat()] {
            assert_eq!(found(&whole), (names(&all), 0));
            let at = |bytes: &[u8]| {
                let place = whole.windows(bytes.len()).position(|part| part == bytes);
                place.expect("it is there")
            };
            let mut last = whole.clone();
            last[at(old) + old.len() - 20] ^= 1;
            assert_eq!(found(&last), (names(&[all[0], all[1], all[3], all[4]]), 1));
            let mut told = whole.clone();
            told[at(first) + 33] ^= 1;
            assert_eq!(found(&told), (names(&[all[0], all[1], all[2], all[4]]), 1));
        }
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
