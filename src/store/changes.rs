//! Changes that are durable and not in the tables yet.
//!
//! What the journal holds is kept here as what it comes to: of a block that
//! was written a hundred times the last, of a stream that was removed that it
//! is gone. Whoever reads looks here first, then in the tables; a checkpoint
//! brings it all there at once.

use bytes::Bytes;
use midge_engine::{Batch, Block, BlockKey, RowKey, StreamId, Write};
use std::collections::BTreeMap;

/// What an entry takes beside its bytes, roughly: the trees' nodes and what
/// the allocator adds.
const ENTRY_LEN: usize = 96;

/// A block that was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    /// As the engine has it, which knows where its records lie.
    Block(Block),
    /// As it was journaled: what of it is whole is for a checksum of each
    /// record to say.
    Bytes(Bytes),
}

impl Kept {
    pub(crate) fn bytes(&self) -> &Bytes {
        match self {
            Kept::Block(block) => block.bytes(),
            Kept::Bytes(bytes) => bytes,
        }
    }

    /// The block, which is read if need be.
    pub(crate) fn block(&self, key: BlockKey) -> Block {
        match self {
            Kept::Block(block) => block.clone(),
            Kept::Bytes(bytes) => Block::parse(key, bytes.clone()),
        }
    }

    /// The memory that it holds on to.
    pub(crate) fn held(&self) -> usize {
        match self {
            Kept::Block(block) => block.held(),
            Kept::Bytes(bytes) => bytes.len(),
        }
    }
}

/// The changes: first these streams are removed, then the rest is put and
/// removed under its keys.
#[derive(Debug, Default, Clone)]
pub(crate) struct Changes {
    /// In order.
    removed: Vec<StreamId>,
    blocks: BTreeMap<BlockKey, Option<Kept>>,
    rows: BTreeMap<RowKey, Option<Vec<u8>>>,
    held: usize,
}

impl Changes {
    pub(crate) fn of(batch: &Batch) -> Self {
        let mut changes = Changes::default();
        for write in &batch.writes {
            match write {
                Write::PutBlock(block) => {
                    changes.set_block(block.key(), Some(Kept::Block(block.clone())));
                }
                Write::RemoveBlock(key) => changes.set_block(*key, None),
                Write::PutRow(key, value) => changes.set_row(*key, Some(value.clone())),
                Write::RemoveRow(key) => changes.set_row(*key, None),
                Write::RemoveStream(stream) => changes.remove_stream(*stream),
            }
        }
        changes
    }

    pub(crate) fn set_block(&mut self, key: BlockKey, block: Option<Kept>) {
        self.held += block.as_ref().map_or(0, Kept::held);
        match self.blocks.insert(key, block) {
            Some(before) => self.held -= before.map_or(0, |block| block.held()),
            None => self.held += ENTRY_LEN,
        }
    }

    pub(crate) fn set_row(&mut self, key: RowKey, value: Option<Vec<u8>>) {
        self.held += value.as_ref().map_or(0, Vec::len);
        match self.rows.insert(key, value) {
            Some(before) => self.held -= before.map_or(0, |value| value.len()),
            None => self.held += ENTRY_LEN,
        }
    }

    pub(crate) fn remove_stream(&mut self, stream: StreamId) {
        self.remove_streams(&[stream]);
    }

    /// Streams in order. What is left is put anew, which takes less code than
    /// taking the rest out.
    fn remove_streams(&mut self, streams: &[StreamId]) {
        if streams.is_empty() {
            return;
        }
        let is_removed = |stream: StreamId| streams.binary_search(&stream).is_ok();
        let before = std::mem::take(self);
        self.removed = before.removed;
        for stream in streams {
            if let Err(place) = self.removed.binary_search(stream) {
                self.removed.insert(place, *stream);
            }
        }
        self.held = self.removed.len() * ENTRY_LEN;
        for (key, block) in before.blocks {
            if !is_removed(key.stream) {
                self.set_block(key, block);
            }
        }
        for (key, value) in before.rows {
            if !is_removed(key.stream()) {
                self.set_row(key, value);
            }
        }
    }

    /// Does to these what the newer ones say.
    pub(crate) fn absorb(&mut self, newer: Changes) {
        self.remove_streams(&newer.removed);
        for (key, block) in newer.blocks {
            self.set_block(key, block);
        }
        for (key, value) in newer.rows {
            self.set_row(key, value);
        }
    }

    /// What became of a block: how it is now, or that it is gone. Nothing if
    /// that is for the tables to say.
    pub(crate) fn block(&self, key: BlockKey) -> Option<Option<&Kept>> {
        match self.blocks.get(&key) {
            Some(block) => Some(block.as_ref()),
            None if self.is_removed(key.stream) => Some(None),
            None => None,
        }
    }

    /// Whether the row is this already.
    pub(crate) fn has_row(&self, key: RowKey, value: &[u8]) -> bool {
        matches!(self.rows.get(&key), Some(Some(held)) if held == value)
    }

    /// Whether something became of the row.
    pub(crate) fn has_key(&self, key: RowKey) -> bool {
        self.rows.contains_key(&key)
    }

    pub(crate) fn is_removed(&self, stream: StreamId) -> bool {
        self.removed.binary_search(&stream).is_ok()
    }

    pub(crate) fn removed(&self) -> impl Iterator<Item = StreamId> {
        self.removed.iter().copied()
    }

    pub(crate) fn blocks(&self) -> impl Iterator<Item = (BlockKey, Option<&Kept>)> {
        self.blocks
            .iter()
            .map(|(key, block)| (*key, block.as_ref()))
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = (RowKey, Option<&[u8]>)> {
        self.rows
            .iter()
            .map(|(key, value)| (*key, value.as_deref()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.blocks.is_empty() && self.rows.is_empty()
    }

    /// The memory that they take, more or less.
    pub(crate) fn held(&self) -> usize {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use midge_engine::{ConsumerId, Seq};

    fn key(stream: u32, first: u64) -> BlockKey {
        BlockKey {
            stream: StreamId(stream),
            first: Seq(first),
        }
    }

    fn put(key: BlockKey, bytes: &'static [u8]) -> Write {
        Write::PutBlock(Block::parse(key, Bytes::from_static(bytes)))
    }

    #[test]
    fn the_last_word_counts() {
        let row = RowKey::Cursor(StreamId(1), ConsumerId(1));
        let first = Batch {
            writes: vec![
                put(key(1, 1), b"old"),
                put(key(1, 5), b"kept"),
                put(key(2, 1), b"other"),
                Write::PutRow(row, b"row".to_vec()),
            ],
        };
        let mut changes = Changes::of(&first);
        assert!(changes.has_row(row, b"row") && !changes.has_row(row, b"other"));
        assert_eq!(changes.held(), 3 + 4 + 5 + 3 + 4 * ENTRY_LEN);
        changes.absorb(Changes::of(&Batch {
            writes: vec![
                put(key(1, 1), b"newer"),
                Write::RemoveBlock(key(2, 1)),
                Write::RemoveRow(row),
            ],
        }));
        assert_eq!(changes.held(), 5 + 4 + 4 * ENTRY_LEN);
        assert_eq!(
            changes.block(key(1, 1)).flatten().map(Kept::bytes),
            Some(&b"newer"[..].into())
        );
        assert_eq!(changes.block(key(2, 1)), Some(None));
        assert_eq!(changes.block(key(2, 2)), None);
        changes.absorb(Changes::of(&Batch {
            writes: vec![
                put(key(1, 7), b"gone again"),
                Write::RemoveStream(StreamId(1)),
                put(key(1, 9), b"new"),
            ],
        }));
        assert_eq!(changes.block(key(1, 1)), Some(None));
        assert_eq!(changes.block(key(1, 7)), Some(None));
        assert!(changes.block(key(1, 9)).flatten().is_some());
        assert_eq!(changes.held(), 3 + 3 * ENTRY_LEN);
    }
}
