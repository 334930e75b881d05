//! When something is due in a log.
//!
//! A record that has a time says so itself; of a block it is known when the
//! first of its messages is due, or a time before that. That is stored beside
//! the block, so that a start reads none, and nothing is kept for a message.

use super::block::Record;
use super::log::{BlockMeta, Log};
use super::log_read::NeedBlock;
use crate::ids::Seq;
use midge_api::Timestamp;

/// A time that does not come: the message asks never to be removed for its
/// age.
pub(crate) const NEVER: Timestamp = Timestamp(i64::MAX);

/// When something is to be done about a record.
fn due_of(meta: &BlockMeta, record: &Record<'_>) -> Option<Timestamp> {
    let place = record.seq.0 - meta.first.0;
    let put_off = meta
        .put_off
        .as_ref()
        .and_then(|put_off| put_off.get(&place));
    put_off.copied().or(record.due).filter(|due| *due != NEVER)
}

/// A block, and what is due in it since when.
pub(crate) type DueInBlock = (Seq, Vec<(Seq, Timestamp)>);

impl Log {
    /// When something is due, or a time before that.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.dues.first().map(|(due, _)| *due)
    }

    /// The message that was appended last is due then.
    pub(super) fn due_in_last(&mut self, due: Timestamp) {
        let Some(index) = self.blocks.len().checked_sub(1) else {
            return;
        };
        let is_first = self.blocks[index].due.is_none_or(|first| due < first);
        if due == NEVER || !is_first {
            return;
        }
        self.is_due_sooner |= self.next_due().is_none_or(|next| due < next);
        self.set_due(index, Some(due));
    }

    /// Takes note of when something is first due in a block.
    pub(super) fn set_due(&mut self, index: usize, due: Option<Timestamp>) {
        let Some(meta) = self.blocks.get_mut(index) else {
            return;
        };
        if meta.due == due {
            return;
        }
        if let Some(before) = meta.due {
            self.dues.remove(&(before, meta.first));
        }
        if let Some(due) = due {
            self.dues.insert((due, meta.first));
        }
        meta.due = due;
        if !meta.deletes_dirty {
            meta.deletes_dirty = true;
            self.dirty.push(meta.first);
        }
    }

    /// The block in which something is due first, and what is due in it by
    /// `time`; nothing if nothing is due anywhere.
    pub(crate) fn due_by(&self, time: Timestamp) -> Result<Option<DueInBlock>, NeedBlock> {
        let Some((due, first)) = self.dues.first() else {
            return Ok(None);
        };
        if *due > time {
            return Ok(None);
        }
        let mut found = Vec::new();
        if let Some(index) = self.block_of(*first) {
            self.each_due(index, |seq, due| {
                if due <= time {
                    found.push((seq, due));
                }
            })?;
        }
        Ok(Some((*first, found)))
    }

    /// Whether the block of a message may hold something that is due before this
    /// time of another block; of two with the same time the older one is before.
    pub(crate) fn is_due_before(&self, seq: Seq, due: Timestamp, block: Seq) -> bool {
        let meta = self.block_of(seq).map(|index| &self.blocks[index]);
        meta.is_some_and(|meta| {
            meta.first != block && meta.due.is_some_and(|at| (at, meta.first) < (due, block))
        })
    }

    /// Something is to be done about a message at another time than it says.
    pub(crate) fn put_off(&mut self, seq: Seq, due: Timestamp) {
        let index = self.block_of(seq);
        let Some(meta) = index.and_then(|index| self.blocks.get_mut(index)) else {
            return;
        };
        let put_off = meta.put_off.get_or_insert_default();
        put_off.insert(seq.0 - meta.first.0, due);
        if !meta.deletes_dirty {
            meta.deletes_dirty = true;
            self.dirty.push(meta.first);
        }
    }

    /// Finds out when something is first due in a block that is in memory.
    pub(crate) fn look_for_due(&mut self, first: Seq) {
        let Some(index) = self.block_of(first) else {
            return;
        };
        if self.blocks[index].first != first {
            return;
        }
        let mut next: Option<Timestamp> = None;
        let looked = self.each_due(index, |_, due| {
            next = Some(next.map_or(due, |next| next.min(due)));
        });
        if looked.is_err() {
            return;
        }
        self.set_due(index, next);
        let meta = &mut self.blocks[index];
        if let Some(put_off) = &mut meta.put_off {
            put_off.retain(|place, _| !meta.deletes.contains(*place));
            if put_off.is_empty() {
                meta.put_off = None;
            }
        }
    }

    /// Tells of the messages of a block that are due at some time.
    fn each_due(
        &self,
        index: usize,
        mut each: impl FnMut(Seq, Timestamp),
    ) -> Result<(), NeedBlock> {
        let meta: &BlockMeta = &self.blocks[index];
        let mut at = meta.first;
        while let Some(seq) = meta.next_live(at) {
            if let Some(record) = self.record(index, seq)?
                && let Some(due) = due_of(meta, &record)
            {
                each(seq, due);
            }
            at = seq.next();
        }
        Ok(())
    }
}
