//! Finding messages in a log.

use super::block::{Block, Record};
use super::filter::Filter;
use super::log::{BlockMeta, Log};
use super::subjects::{Entry, Subject};
use super::summary::accounted_len;
use crate::ids::Seq;
use crate::storage::BlockKey;
use midge_api::Timestamp;

/// Blocks asked for ahead of a consumer that reads from the disk, so that it
/// finds the next one there.
const READ_AHEAD: usize = 8;

/// The block is not in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NeedBlock(pub(crate) BlockKey);

/// What a search came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Search {
    /// This message is one.
    Found(Seq),
    /// There is none up to the end.
    Nothing,
    /// None yet; go on from here later.
    Pause(Seq),
}

impl Log {
    /// The block whose sequences reach up to this one: the last that starts
    /// at or before it.
    pub(super) fn block_of(&self, seq: Seq) -> Option<usize> {
        if self.is_in_found(seq) {
            return Some(self.found.get());
        }
        // What is stored is asked of the last one.
        let last = self.blocks.len().checked_sub(1)?;
        if self.blocks[last].first <= seq {
            return Some(last);
        }
        let behind = self.blocks.partition_point(|meta| meta.first <= seq);
        let index = behind.checked_sub(1)?;
        self.found.set(index);
        Some(index)
    }

    /// The first block that holds sequences from this one on.
    pub(super) fn block_from(&self, seq: Seq) -> usize {
        if self.is_in_found(seq) {
            return self.found.get();
        }
        let index = self.blocks.partition_point(|meta| meta.last < seq);
        self.found.set(index);
        index
    }

    /// Whether the block that was found last holds this sequence, wherever that
    /// was: blocks may have come and gone since.
    fn is_in_found(&self, seq: Seq) -> bool {
        let meta = self.blocks.get(self.found.get());
        meta.is_some_and(|meta| meta.first <= seq && seq <= meta.last)
    }

    pub(super) fn key(&self, meta: &BlockMeta) -> BlockKey {
        BlockKey {
            stream: self.stream,
            first: meta.first,
        }
    }

    /// Whether a message is there.
    pub(crate) fn is_live(&self, seq: Seq) -> bool {
        self.block_of(seq)
            .is_some_and(|index| self.blocks[index].is_live(seq))
    }

    /// The first message from `seq` on.
    pub(crate) fn next_live(&self, seq: Seq) -> Option<Seq> {
        let from = self.block_from(seq).min(self.blocks.len());
        self.blocks
            .range(from..)
            .find_map(|meta| meta.next_live(seq.max(meta.first)))
    }

    /// A message; `None` if it is gone, was never there, or is damaged.
    pub(crate) fn get(&self, seq: Seq) -> Result<Option<Record<'_>>, NeedBlock> {
        let Some(index) = self.block_of(seq) else {
            return Ok(None);
        };
        let meta = &self.blocks[index];
        if !meta.is_live(seq) {
            return Ok(None);
        }
        self.record(index, seq)
    }

    pub(super) fn record(&self, index: usize, seq: Seq) -> Result<Option<Record<'_>>, NeedBlock> {
        if index + 1 == self.blocks.len()
            && let Some(open) = &self.open
        {
            return Ok(open.get(seq));
        }
        let meta = &self.blocks[index];
        match &meta.resident {
            Some(block) => Ok(block.get(seq)),
            None => Err(NeedBlock(self.key(meta))),
        }
    }

    /// The first message from `from` on, `to` included, that the filter
    /// means.
    pub(crate) fn next_match(
        &self,
        from: Seq,
        to: Seq,
        filter: &Filter,
    ) -> Result<Search, NeedBlock> {
        let mut at = from.max(self.first);
        if let Some([literal]) = filter.literals() {
            let Some(subject) = self.subjects.get(literal) else {
                return Ok(Search::Nothing);
            };
            at = at.max(subject.first);
            if subject.last_is_exact && subject.last.seq < at {
                return Ok(Search::Nothing);
            }
        }
        let hashes = filter.literals().map(|literals| {
            let hashes = literals.iter().map(|literal| self.subjects.hash(literal));
            hashes.collect::<Vec<_>>()
        });
        let mut budget = self.tuning.search;
        let mut index = self.block_from(at);
        while let Some(meta) = self.blocks.get(index) {
            if meta.first > to {
                break;
            }
            let may_hold = hashes
                .as_ref()
                .is_none_or(|hashes| hashes.iter().any(|hash| meta.presence.may_hold(*hash)));
            if may_hold {
                at = at.max(meta.first);
                while let Some(seq) = meta.next_live(at) {
                    if seq > to {
                        return Ok(Search::Nothing);
                    }
                    if filter.is_all() {
                        return Ok(Search::Found(seq));
                    }
                    if let Some(record) = self.record(index, seq)?
                        && filter.matches(record.subject)
                    {
                        return Ok(Search::Found(seq));
                    }
                    at = seq.next();
                    budget -= 1;
                    if budget == 0 {
                        return Ok(Search::Pause(at));
                    }
                }
            }
            index += 1;
            // Passing over a block costs little, but there may be many.
            budget = budget.saturating_sub(1);
            if budget == 0 {
                return Ok(Search::Pause(meta.last.next()));
            }
        }
        Ok(Search::Nothing)
    }

    /// The last message up to `to` that the filter means.
    pub(crate) fn last_match(&self, to: Seq, filter: &Filter) -> Result<Option<Seq>, NeedBlock> {
        let hashes = filter.literals().map(|literals| {
            let hashes = literals.iter().map(|literal| self.subjects.hash(literal));
            hashes.collect::<Vec<_>>()
        });
        let Some(mut index) = self.block_of(to) else {
            return Ok(None);
        };
        loop {
            let meta = &self.blocks[index];
            let may_hold = hashes
                .as_ref()
                .is_none_or(|hashes| hashes.iter().any(|hash| meta.presence.may_hold(*hash)));
            if may_hold && meta.live > 0 {
                let mut at = meta.last.min(to);
                while at >= meta.first {
                    if meta.is_live(at)
                        && (filter.is_all()
                            || self
                                .record(index, at)?
                                .is_some_and(|record| filter.matches(record.subject)))
                    {
                        return Ok(Some(at));
                    }
                    if at == meta.first {
                        break;
                    }
                    at = at.prev();
                }
            }
            match index.checked_sub(1) {
                Some(before) => index = before,
                None => return Ok(None),
            }
        }
    }

    /// What lies before the newest `count` messages up to `last` that the
    /// filter means.
    pub(crate) fn before_newest(
        &self,
        last: Seq,
        count: u64,
        filter: &Filter,
    ) -> Result<Seq, NeedBlock> {
        let mut at = last.next();
        for _ in 0..count {
            match self.last_match(at.prev(), filter)? {
                Some(seq) => at = seq,
                None => return Ok(Seq(0)),
            }
        }
        Ok(at.prev())
    }

    /// The last message of a subject.
    pub(crate) fn last_of(&mut self, subject: &[u8]) -> Result<Option<Entry>, NeedBlock> {
        let Some(id) = self.subjects.find(subject) else {
            return Ok(None);
        };
        let Subject {
            last,
            last_is_exact,
            ..
        } = *self.subjects.by_id(id);
        if last_is_exact {
            return Ok(Some(last));
        }
        let found = self.last_match(last.seq, &Filter::exactly(subject))?;
        let entry = match found {
            Some(seq) => self
                .get(seq)?
                .map(|record| entry_of(self.is_volatile, &record)),
            None => None,
        };
        self.subjects.correct_last(id, entry);
        Ok(entry)
    }

    /// The first message stored at `time` or later; the next one to come if
    /// there is none.
    pub(crate) fn first_since(&self, time: Timestamp) -> Result<Seq, NeedBlock> {
        let index = self.blocks.partition_point(|meta| meta.last_time < time);
        let Some(meta) = self.blocks.get(index) else {
            return Ok(self.last.next());
        };
        let mut at = meta.first;
        while let Some(seq) = meta.next_live(at) {
            if self
                .record(index, seq)?
                .is_none_or(|record| record.time >= time)
            {
                return Ok(seq);
            }
            at = seq.next();
        }
        let next = self
            .blocks
            .get(index + 1)
            .and_then(|next| next.next_live(next.first));
        Ok(next.unwrap_or(self.last.next()))
    }

    /// How many messages there are from `from` on.
    pub(crate) fn count_from(&self, from: Seq) -> u64 {
        if from <= self.first {
            return self.messages;
        }
        let index = self.block_from(from);
        let whole = self.blocks.range((index + 1).min(self.blocks.len())..);
        let mut count: u64 = whole.map(|meta| u64::from(meta.live)).sum();
        if let Some(meta) = self.blocks.get(index) {
            if from <= meta.first {
                count += u64::from(meta.live);
            } else {
                let mut at = from;
                while let Some(seq) = meta.next_live(at) {
                    count += 1;
                    at = seq.next();
                }
            }
        }
        count
    }

    /// Tells of the sequences between the first and the last message that are
    /// gone.
    pub(crate) fn gaps(&self, max: usize) -> Vec<Seq> {
        let mut gaps = Vec::new();
        let mut expected = self.first;
        for meta in &self.blocks {
            let mut at = meta.first;
            while let Some(seq) = meta.next_live(at) {
                while expected < seq {
                    if gaps.len() == max {
                        return gaps;
                    }
                    gaps.push(expected);
                    expected = expected.next();
                }
                expected = seq.next();
                at = expected;
            }
        }
        while self.messages > 0 && expected <= self.last && gaps.len() < max {
            gaps.push(expected);
            expected = expected.next();
        }
        gaps
    }

    /// The blocks behind the one that holds `seq`, as far as they are not in
    /// memory and should soon be.
    pub(crate) fn ahead(&self, seq: Seq) -> impl Iterator<Item = BlockKey> + '_ {
        let next = self.block_of(seq).map_or(0, |index| index + 1);
        self.blocks
            .range(next.min(self.blocks.len())..)
            .take(READ_AHEAD)
            .filter(|meta| meta.resident.is_none() && meta.last <= self.durable)
            .map(|meta| self.key(meta))
    }

    /// The first sequence of the block that holds `seq`.
    pub(crate) fn block_start(&self, seq: Seq) -> Option<Seq> {
        self.block_of(seq).map(|index| self.blocks[index].first)
    }

    /// Takes in a block that was asked for.
    pub(crate) fn adopt(&mut self, block: Option<Block>, key: BlockKey) {
        let Some(index) = self.block_of(key.first) else {
            return;
        };
        let meta = &mut self.blocks[index];
        if meta.first != key.first || meta.resident.is_some() {
            return;
        }
        let block = block.unwrap_or_else(|| Block::parse(key, bytes::Bytes::new()));
        // What should be there and is not was damaged.
        let mut lost = Vec::new();
        if !block.is_whole_to(meta.last) {
            let mut at = meta.first;
            while let Some(seq) = meta.next_live(at) {
                if block.get(seq).is_none() {
                    lost.push(seq);
                }
                at = seq.next();
            }
        }
        meta.resident = Some(block);
        self.arrived.push(key);
        if !lost.is_empty() {
            self.drop_lost(index, &lost);
        }
    }

    /// Lets a block go from memory, if the store can give it back.
    pub(crate) fn evict(&mut self, first: Seq) -> usize {
        let durable = self.durable;
        let is_volatile = self.is_volatile;
        let Some(index) = self.block_of(first) else {
            return 0;
        };
        let meta = &mut self.blocks[index];
        if is_volatile || meta.first != first || meta.contents_dirty || meta.last > durable {
            return 0;
        }
        meta.resident.take().map_or(0, |block| block.bytes().len())
    }

    /// Whether blocks came into memory that nobody was told of.
    pub(crate) fn has_arrived(&self) -> bool {
        !self.arrived.is_empty()
    }

    /// The blocks that came into memory since the last call.
    pub(crate) fn take_arrived(&mut self) -> std::vec::Drain<'_, BlockKey> {
        self.arrived.drain(..)
    }

    /// Whether there is a block of this key.
    pub(crate) fn has_block(&self, first: Seq) -> bool {
        let index = self.block_of(first);
        index.is_some_and(|index| self.blocks[index].first == first)
    }

    /// How much of a block is in memory.
    pub(crate) fn resident_len(&self, first: Seq) -> usize {
        self.block_of(first)
            .map(|index| &self.blocks[index])
            .filter(|meta| meta.first == first)
            .and_then(|meta| meta.resident.as_ref())
            .map_or(0, |block| block.bytes().len())
    }

    /// Whether a message lies in this block.
    pub(crate) fn is_in(&self, key: BlockKey, seq: Seq) -> bool {
        self.block_of(seq)
            .is_some_and(|index| self.blocks[index].first == key.first)
    }
}

pub(super) fn entry_of(is_volatile: bool, record: &Record<'_>) -> Entry {
    let size = accounted_len(
        is_volatile,
        record.subject.len(),
        record.payload.len(),
        record.header_len > 0,
    );
    Entry {
        seq: record.seq,
        size: u32::try_from(size).unwrap_or(u32::MAX),
    }
}
