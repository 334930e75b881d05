//! What the engine asks of a disk, and what it is told.
//!
//! The engine never waits for storage. It hands out a [`Batch`] of writes,
//! which must become durable as a whole or not at all, and is told when that
//! has happened; it names blocks that it wants to read and is given them
//! later. What a row or a block holds is the engine's business; the store
//! keeps them under their keys, guards rows with a checksum of its own and
//! leaves blocks, whose records carry theirs, as they are.

use crate::ids::{ConsumerId, Seq, StreamId};
use crate::streams::Block;

/// Names a block: a run of messages of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockKey {
    /// The stream.
    pub stream: StreamId,
    /// The sequence of the first message that the block was made for.
    pub first: Seq,
}

/// Names a row: everything small that is stored.
///
/// The rows of a stream are read in the order of the variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowKey {
    /// The stream itself: its configuration and counters.
    Stream(StreamId),
    /// A consumer and its configuration.
    Consumer(StreamId, ConsumerId),
    /// How far a consumer has come.
    Cursor(StreamId, ConsumerId),
    /// Which messages of a block are gone.
    Deletes(BlockKey),
    /// What a block holds, so that it need not be read at the start. The
    /// store makes it from the block ([`summarize`](crate::summarize)), and
    /// lets it go with it.
    Summary(BlockKey),
}

impl RowKey {
    /// The stream that the row belongs to.
    pub fn stream(self) -> StreamId {
        match self {
            RowKey::Stream(stream)
            | RowKey::Consumer(stream, _)
            | RowKey::Cursor(stream, _)
            | RowKey::Deletes(BlockKey { stream, .. })
            | RowKey::Summary(BlockKey { stream, .. }) => stream,
        }
    }
}

/// One change to what is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Stores a block and its summary, in place of those of the same key.
    PutBlock(Block),
    /// Forgets a block and its summary.
    RemoveBlock(BlockKey),
    /// Stores a row, in place of one of the same key.
    PutRow(RowKey, Vec<u8>),
    /// Forgets a row, if there is one.
    RemoveRow(RowKey),
    /// Forgets all blocks and rows of a stream.
    RemoveStream(StreamId),
}

/// Writes that become durable together, in this order, or not at all.
#[derive(Debug, Default)]
pub struct Batch {
    /// The changes.
    pub writes: Vec<Write>,
}

/// Takes in what was stored, row by row in the order of the keys.
pub trait RowSink {
    /// A row whose checksum is right.
    fn row(&mut self, key: RowKey, value: &[u8]);

    /// A row that was damaged. A damaged summary is made anew from its block
    /// and comes as a row; only where the block is gone as well does it come
    /// here.
    fn damaged(&mut self, key: RowKey);
}
