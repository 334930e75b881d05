//! Removing messages from a log.

use super::filter::Filter;
use super::log::Log;
use super::log_read::{NeedBlock, entry_of};
use super::subjects::{Entry, SubjectId};
use crate::ids::Seq;

/// A block of which less than this part is left is written anew without the
/// dead.
const SPARSE: u32 = 4;

impl Log {
    /// Removes a message, telling its sequence and subject before it goes.
    /// True if it was there.
    pub(crate) fn remove(
        &mut self,
        seq: Seq,
        told: &mut impl FnMut(Seq, &[u8]),
    ) -> Result<bool, NeedBlock> {
        let Some(index) = self.block_of(seq) else {
            return Ok(false);
        };
        if !self.blocks[index].is_live(seq) {
            return Ok(false);
        }
        let known = match self.record(index, seq)? {
            Some(record) => self
                .subjects
                .find(record.subject)
                .map(|id| (id, entry_of(self.is_volatile, &record))),
            None => None,
        };
        match known {
            Some((id, entry)) => self.remove_known(id, entry, told),
            None => self.drop_damaged(index, seq),
        }
        Ok(true)
    }

    /// Removes a message of which all is known without its block.
    pub(crate) fn remove_known(
        &mut self,
        id: SubjectId,
        entry: Entry,
        told: &mut impl FnMut(Seq, &[u8]),
    ) {
        let index = self.block_of(entry.seq);
        let index = index.filter(|index| self.mark_deleted(*index, entry.seq));
        let Some(index) = index else {
            // It was lost to damage, and could not be struck off then.
            self.subjects.remove(id, entry.seq);
            return;
        };
        told(entry.seq, &self.subjects.by_id(id).name);
        let size = u64::from(entry.size);
        self.bytes = self.bytes.saturating_sub(size);
        let meta = &mut self.blocks[index];
        meta.bytes = meta.bytes.saturating_sub(size);
        self.subjects.remove(id, entry.seq);
        self.settle_block(index);
    }

    /// A message that can't be read any more.
    pub(super) fn drop_damaged(&mut self, index: usize, seq: Seq) {
        if self.mark_deleted(index, seq) {
            self.lost += 1;
        }
    }

    /// A block came in without some of its messages. Their bytes do not count
    /// any more, or limits would take others for them.
    pub(super) fn drop_lost(&mut self, index: usize, lost: &[Seq]) {
        for seq in lost {
            self.drop_damaged(index, *seq);
            self.subjects.strike(*seq);
        }
        let meta = &mut self.blocks[index];
        let records = meta.resident.iter().flat_map(|block| block.records());
        let left = records
            .filter(|record| meta.is_live(record.seq))
            .map(|record| u64::from(entry_of(self.is_volatile, &record).size))
            .sum();
        let lost = std::mem::replace(&mut meta.bytes, left).saturating_sub(left);
        self.bytes = self.bytes.saturating_sub(lost);
        self.settle_block(index);
    }

    fn mark_deleted(&mut self, index: usize, seq: Seq) -> bool {
        let meta = &mut self.blocks[index];
        if seq < meta.first || seq > meta.last || !meta.deletes.add(seq.0 - meta.first.0) {
            return false;
        }
        meta.live -= 1;
        if !meta.deletes_dirty {
            meta.deletes_dirty = true;
            self.dirty.push(meta.first);
        }
        self.messages -= 1;
        true
    }

    /// After a removal: drops the block if it holds nothing more, and finds
    /// the first message again.
    fn settle_block(&mut self, index: usize) {
        if self.blocks.get(index).is_some_and(|meta| meta.live == 0) {
            self.drop_block(index);
        } else {
            self.shrink_block(index);
        }
        if self.messages == 0 {
            self.bytes = 0;
            self.first = self.last.next();
        } else if !self.is_live(self.first) {
            self.first = self.next_live(self.first).unwrap_or(self.last.next());
        }
    }

    fn drop_block(&mut self, index: usize) {
        if index + 1 == self.blocks.len() {
            self.open = None;
        }
        self.set_due(index, None);
        if let Some(meta) = self.blocks.remove(index)
            && meta.is_stored
        {
            self.forgotten.push(meta.first);
        }
    }

    /// Writes a block anew that holds little but dead messages.
    fn shrink_block(&mut self, index: usize) {
        let is_open = self.open.is_some() && index + 1 == self.blocks.len();
        let is_compressed = self.is_compressed;
        let Some(meta) = self.blocks.get_mut(index) else {
            return;
        };
        let Some(block) = &meta.resident else {
            return;
        };
        // Looked at only where the count has just become small enough.
        if is_open || block.present() as u32 / SPARSE <= meta.live {
            return;
        }
        let mut open = super::block::OpenBlock::new(block.key(), 0, is_compressed);
        for record in block.records() {
            if meta.is_live(record.seq) {
                open.append(&record);
            }
        }
        meta.resident = Some(open.close());
        meta.contents_dirty = true;
        // The row that tells what is gone has to cover the sequences that
        // the block no longer does.
        meta.deletes_dirty = true;
        self.dirty.push(meta.first);
    }

    /// Removes everything.
    pub(crate) fn clear(&mut self) {
        self.forgotten.extend(
            self.blocks
                .iter()
                .filter(|meta| meta.is_stored)
                .map(|meta| meta.first),
        );
        self.blocks.clear();
        self.dues.clear();
        self.open = None;
        self.subjects.clear();
        self.messages = 0;
        self.bytes = 0;
        self.first = self.last.next();
    }

    /// Removes messages the filter means, from `from` up to `to`, until one
    /// is met whose block is not there or `max` are gone. Returns where to go
    /// on, if it is not through.
    pub(crate) fn remove_matching(
        &mut self,
        from: Seq,
        to: Seq,
        filter: &Filter,
        max: u64,
        told: &mut impl FnMut(Seq, &[u8]),
    ) -> (u64, Result<Option<Seq>, NeedBlock>) {
        use super::log_read::Search;
        let mut removed = 0;
        let mut at = from;
        while removed < max {
            match self.next_match(at, to, filter) {
                Err(need) => return (removed, Err(need)),
                Ok(Search::Nothing) => return (removed, Ok(None)),
                Ok(Search::Pause(next)) => return (removed, Ok(Some(next))),
                Ok(Search::Found(seq)) => match self.remove(seq, told) {
                    Err(need) => return (removed, Err(need)),
                    Ok(_) => {
                        removed += 1;
                        at = seq.next();
                    }
                },
            }
        }
        (removed, Ok(Some(at)))
    }
}
