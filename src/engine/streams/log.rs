//! The messages of a stream: an append-only log with holes.
//!
//! The log knows where every message lies and which are gone, counts them,
//! and says what has to be written. It does not know why a message is
//! removed. Blocks that are on the disk may be absent from memory; who needs
//! one is told its key and comes back when it has been given.

use super::block::{BLOCK_LEN_MAX, Block, OpenBlock, Record};
use super::block_row;
use super::deletes::Deletes;
use super::presence::Presence;
use super::subjects::{Entry, Subjects};
use super::summary::accounted_len;
use super::tuning::StreamsTuning;
use crate::ids::{Seq, StreamId};
use crate::order::put_in_order;
use crate::storage::{BlockKey, RowKey, Write};
use midge_api::Timestamp;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What is known of a block without reading it.
#[derive(Debug)]
pub(super) struct BlockMeta {
    pub(super) first: Seq,
    pub(super) last: Seq,
    pub(super) live: u32,
    /// What its live messages count for.
    pub(super) bytes: u64,
    pub(super) first_time: Timestamp,
    pub(super) last_time: Timestamp,
    pub(super) deletes: Deletes,
    pub(super) presence: Presence,
    pub(super) has_message_ids: bool,
    /// Nothing is due in it before this; `None` if nothing ever is.
    pub(super) due: Option<Timestamp>,
    /// What its messages are due for instead of what they say, by their place.
    #[allow(clippy::box_collection)] // Few blocks have any; the box keeps the rest small.
    pub(super) put_off: Option<Box<BTreeMap<u64, Timestamp>>>,
    /// It differs from what the store has been handed.
    pub(super) contents_dirty: bool,
    /// What lies beside it does: its deletes, when something is due.
    pub(super) deletes_dirty: bool,
    /// The store has, or has been handed, a block of this key.
    pub(super) is_stored: bool,
    pub(super) resident: Option<Block>,
}

impl BlockMeta {
    pub(super) fn is_live(&self, seq: Seq) -> bool {
        seq >= self.first && seq <= self.last && !self.deletes.contains(seq.0 - self.first.0)
    }

    /// The first live message from `seq` on.
    pub(super) fn next_live(&self, seq: Seq) -> Option<Seq> {
        let place = seq.0.saturating_sub(self.first.0);
        let next = Seq(self.first.0 + self.deletes.next_absent(place));
        (next <= self.last).then_some(next)
    }
}

#[derive(Debug)]
pub(crate) struct Log {
    pub(super) stream: StreamId,
    pub(super) tuning: StreamsTuning,
    /// Kept in memory alone.
    pub(super) is_volatile: bool,
    /// What is written from here on, the store is to compress.
    pub(super) is_compressed: bool,
    pub(super) blocks: VecDeque<BlockMeta>,
    /// The block that was found last, which is likely the next one's too.
    pub(super) found: Cell<usize>,
    /// What the last block is being filled in.
    pub(super) open: Option<OpenBlock>,
    /// Bytes that have come for blocks since what has changed was last taken.
    gathered: usize,
    /// How many may come until it is taken again, by how many have.
    expected: usize,
    /// Subjects of the block that is open, or was last: each once, or once more
    /// whenever it came back after its last message had gone.
    open_hashes: Vec<u64>,
    /// The first sequence of that.
    hashes_of: Seq,
    pub(crate) subjects: Subjects,
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) first: Seq,
    pub(super) last: Seq,
    pub(super) last_time: Timestamp,
    /// Everything up to here is safe.
    pub(super) durable: Seq,
    /// Messages that turned out to be damaged, and their bytes as far as
    /// known.
    pub(crate) lost: u64,
    /// The blocks in which something is due, soonest first.
    pub(super) dues: BTreeSet<(Timestamp, Seq)>,
    /// Something is due sooner than when it was last asked.
    pub(crate) is_due_sooner: bool,
    /// Blocks with rows or contents to be written.
    pub(super) dirty: Vec<Seq>,
    /// Blocks that the store has and should forget.
    pub(super) forgotten: Vec<Seq>,
    /// Blocks that came into memory since somebody asked.
    pub(super) arrived: Vec<BlockKey>,
}

impl Log {
    pub(crate) fn new(stream: StreamId, is_volatile: bool, subjects: Subjects) -> Self {
        Log {
            stream,
            tuning: StreamsTuning::default(),
            is_volatile,
            is_compressed: false,
            blocks: VecDeque::new(),
            found: Cell::default(),
            open: None,
            gathered: 0,
            expected: 0,
            open_hashes: Vec::new(),
            hashes_of: Seq(0),
            subjects,
            messages: 0,
            bytes: 0,
            first: Seq(1),
            last: Seq(0),
            last_time: Timestamp::default(),
            durable: Seq(0),
            lost: 0,
            dues: BTreeSet::new(),
            is_due_sooner: false,
            dirty: Vec::new(),
            forgotten: Vec::new(),
            arrived: Vec::new(),
        }
    }

    pub(crate) fn is_volatile(&self) -> bool {
        self.is_volatile
    }

    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The first message; the next one to come if there is none.
    pub(crate) fn first(&self) -> Seq {
        self.first
    }

    /// The highest sequence given out.
    pub(crate) fn last(&self) -> Seq {
        self.last
    }

    pub(crate) fn last_time(&self) -> Timestamp {
        self.last_time
    }

    /// What may be shown to consumers ends here.
    pub(crate) fn durable(&self) -> Seq {
        if self.is_volatile {
            self.last
        } else {
            self.durable
        }
    }

    /// A batch with everything up to here has become durable.
    pub(crate) fn committed(&mut self, up_to: Seq) {
        self.durable = self.durable.max(up_to);
    }

    /// Gives out no sequence up to this one any more.
    pub(crate) fn skip_to(&mut self, last: Seq) {
        if last > self.last {
            self.last = last;
            if self.messages == 0 {
                self.first = last.next();
            }
        }
    }

    pub(crate) fn set_last_time(&mut self, time: Timestamp) {
        self.last_time = time;
    }

    // Writing.

    /// Stores a message behind all others.
    pub(crate) fn append(
        &mut self,
        time: Timestamp,
        subject: &[u8],
        payload: &[u8],
        header_len: usize,
        has_message_id: bool,
        due: Option<Timestamp>,
    ) -> Seq {
        let record = Record {
            seq: self.last.next(),
            time,
            subject,
            payload,
            header_len,
            due,
        };
        let seq = record.seq;
        self.open_for(&record);
        if let Some(open) = &mut self.open {
            open.append(&record);
            self.gathered += record.stored_len();
        }
        let size = accounted_len(
            self.is_volatile,
            subject.len(),
            payload.len(),
            header_len > 0,
        );
        let entry = Entry {
            seq,
            size: u32::try_from(size).unwrap_or(u32::MAX),
        };
        let added = self.subjects.add(subject, entry);
        // Of one that has a message in the block already it is there.
        if added.before.is_none_or(|before| before < self.hashes_of)
            && self.open_hashes.last() != Some(&added.hash)
        {
            self.open_hashes.push(added.hash);
        }
        if let Some(meta) = self.blocks.back_mut() {
            // Skipped sequences inside a block count as deleted.
            for place in meta.last.0 + 1 - meta.first.0..seq.0 - meta.first.0 {
                meta.deletes_dirty |= meta.deletes.add(place);
            }
            meta.last = seq;
            meta.live += 1;
            meta.bytes += size;
            meta.last_time = time;
            meta.has_message_ids |= has_message_id;
        }
        if let Some(due) = due {
            self.due_in_last(due);
        }
        if self.messages == 0 {
            self.first = seq;
        }
        self.messages += 1;
        self.bytes += size;
        self.last = seq;
        self.last_time = time;
        seq
    }

    /// Sees to an open block that has room for a message.
    fn open_for(&mut self, record: &Record<'_>) {
        if self
            .open
            .as_ref()
            .is_some_and(|open| open.has_room(record, self.tuning.block_len))
        {
            return;
        }
        let was_full = self.open.is_some();
        self.close_open();
        if let Some(meta) = self.blocks.back_mut()
            && !self.is_volatile
            && let Some(block) = &meta.resident
            && block.bytes().len() + record.stored_len() <= self.tuning.reopen_len
            && record.seq.0 - meta.first.0 < super::block::BLOCK_SEQS_MAX
        {
            let open = OpenBlock::reopen(block, self.expected, self.is_compressed);
            if open.has_room(record, self.tuning.block_len) {
                if self.hashes_of != meta.first {
                    self.hashes_of = meta.first;
                    self.open_hashes = block
                        .records()
                        .map(|record| self.subjects.hash(record.subject))
                        .collect();
                    put_in_order(&mut self.open_hashes);
                }
                self.open = Some(open);
                // It will hold more than was known.
                meta.presence = Presence::default();
                meta.contents_dirty = true;
                self.dirty.push(meta.first);
                return;
            }
        }
        // A stream that has just filled one will likely fill the next.
        let len = match was_full {
            true => BLOCK_LEN_MAX,
            false => self.expected,
        };
        let key = BlockKey {
            stream: self.stream,
            first: record.seq,
        };
        self.open = Some(OpenBlock::new(key, len, self.is_compressed));
        self.open_hashes.clear();
        self.hashes_of = record.seq;
        self.dirty.push(record.seq);
        self.blocks.push_back(BlockMeta {
            first: record.seq,
            last: record.seq.prev(),
            live: 0,
            bytes: 0,
            first_time: record.time,
            last_time: record.time,
            deletes: Deletes::default(),
            presence: Presence::default(),
            has_message_ids: false,
            due: None,
            put_off: None,
            contents_dirty: true,
            deletes_dirty: false,
            is_stored: false,
            resident: None,
        });
    }

    /// Closes the block that is being filled.
    fn close_open(&mut self) {
        let Some(open) = self.open.take() else {
            return;
        };
        let block = open.close();
        if let Some(meta) = self.blocks.back_mut() {
            meta.presence = Presence::new(&self.open_hashes);
            meta.resident = Some(block);
            self.arrived.push(BlockKey {
                stream: self.stream,
                first: meta.first,
            });
        }
    }

    /// Appends what has changed since the last call to `writes`.
    pub(crate) fn take_writes(&mut self, writes: &mut Vec<Write>) {
        if self.is_volatile {
            self.dirty.clear();
            self.forgotten.clear();
            return;
        }
        let stream = self.stream;
        for first in self.forgotten.drain(..) {
            let key = BlockKey { stream, first };
            writes.push(Write::RemoveBlock(key));
            writes.push(Write::RemoveRow(RowKey::Deletes(key)));
        }
        self.close_open();
        // A little more than has come lately, as no two batches are the same.
        let usual = self.gathered + self.gathered / 4;
        let expected = usual.max(self.expected - self.expected / 8);
        self.expected = expected.min(BLOCK_LEN_MAX);
        self.gathered = 0;
        let mut dirty = std::mem::take(&mut self.dirty);
        put_in_order(&mut dirty);
        for first in dirty.drain(..) {
            self.write_block(first, writes);
        }
        self.dirty = dirty;
    }

    /// The same of a log that nobody reads yet: blocks that are full, which
    /// leave the memory.
    pub(crate) fn take_full(&mut self, writes: &mut Vec<Write>) {
        if self.is_volatile {
            return;
        }
        self.arrived.clear();
        let open = self.open.as_ref().and(self.blocks.back());
        let open = open.map(|meta| meta.first);
        let mut dirty = std::mem::take(&mut self.dirty);
        put_in_order(&mut dirty);
        for first in dirty {
            if Some(first) == open {
                self.dirty.push(first);
            } else if let Some(index) = self.write_block(first, writes) {
                self.blocks[index].resident = None;
            }
        }
    }

    /// All blocks that were handed out are safe.
    pub(crate) fn flushed(&mut self) {
        let mut blocks = self.blocks.iter().rev();
        if let Some(meta) = blocks.find(|meta| meta.is_stored) {
            self.durable = meta.last;
        }
    }

    /// Appends what has changed in a block, and tells which it was.
    fn write_block(&mut self, first: Seq, writes: &mut Vec<Write>) -> Option<usize> {
        let index = self.block_of(first)?;
        let stream = self.stream;
        let meta = &mut self.blocks[index];
        if meta.first != first {
            return None;
        }
        let key = BlockKey { stream, first };
        if let Some(block) = &meta.resident
            && meta.contents_dirty
        {
            meta.contents_dirty = false;
            meta.is_stored = true;
            writes.push(Write::PutBlock(block.clone()));
        }
        if std::mem::take(&mut meta.deletes_dirty) {
            writes.push(Write::PutRow(RowKey::Deletes(key), block_row::write(meta)));
        }
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Step {
        Append(u8),
        /// Removes the nth of those that there are.
        Remove(prop::sample::Index),
        Take,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (0..12u8).prop_map(Step::Append),
            4 => any::<prop::sample::Index>().prop_map(Step::Remove),
            1 => Just(Step::Take),
        ]
    }

    proptest! {
        /// However blocks are closed and gone on with, none denies a subject
        /// that it holds.
        #[test]
        fn a_block_knows_its_subjects(steps in prop::collection::vec(step(), 1..300)) {
            let mut log = Log::new(StreamId(1), false, Subjects::new(7, false));
            (log.tuning.block_len, log.tuning.reopen_len) = (400, 300);
            let mut live = Vec::new();
            for step in steps.into_iter().chain([Step::Take]) {
                match step {
                    Step::Append(subject) => {
                        let subject = format!("s.{subject}");
                        live.push(log.append(Timestamp(1), subject.as_bytes(), b"payload", 0, false, None));
                    }
                    Step::Remove(pick) if !live.is_empty() => {
                        let seq = live.swap_remove(pick.index(live.len()));
                        let removed = log.remove(seq, &mut |_, _| {});
                        prop_assert!(removed.is_ok());
                    }
                    Step::Remove(_) => {}
                    Step::Take => {
                        log.take_writes(&mut Vec::new());
                        for seq in &live {
                            let index = log.block_of(*seq).expect("is in a block");
                            let hash = match log.record(index, *seq) {
                                Ok(Some(record)) => log.subjects.hash(record.subject),
                                _ => panic!("the block is in memory"),
                            };
                            prop_assert!(log.blocks[index].presence.may_hold(hash));
                        }
                    }
                }
            }
        }
    }
}
