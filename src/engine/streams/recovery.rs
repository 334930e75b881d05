//! Streams as they come back from the disk.

use super::block_row::{self, BlockRow};
use super::consumer::Consumer;
use super::rows::{self, ConsumerRow, StreamRow};
use super::stream::Stream;
use crate::Time;
use crate::ids::{ConsumerId, Seq, StreamId};
use crate::storage::{BlockKey, RowKey, RowSink};
use std::collections::BTreeMap;

/// Collects rows and makes streams of them. It reads no block: what it knows
/// of them are their summaries.
#[derive(Default)]
pub struct StoredStreams {
    pub(crate) streams: Vec<Stream>,
    /// Rows that could not be used. What they told of is not served; what
    /// they lie beside is.
    pub(crate) damaged: Vec<RowKey>,
    pub(crate) last_stream: StreamId,
    /// Streams that were being restored when the server ended: they never
    /// were there.
    pub(crate) half: Vec<StreamId>,
    hash_seed: u64,
    /// What lies beside blocks whose summaries come later.
    beside: BTreeMap<Seq, Box<BlockRow>>,
    consumers: BTreeMap<ConsumerId, Box<ConsumerRow>>,
    is_open: bool,
}

impl StoredStreams {
    /// The seed keeps publishers from choosing subjects that collide.
    pub fn new(hash_seed: u64) -> Self {
        StoredStreams {
            hash_seed,
            ..StoredStreams::default()
        }
    }

    /// The rows that could not be used.
    pub fn damaged_rows(&self) -> &[RowKey] {
        &self.damaged
    }

    /// The streams and what they are called.
    pub fn names(&self) -> impl Iterator<Item = (StreamId, &str)> {
        self.streams
            .iter()
            .map(|stream| (stream.id, stream.config.name.as_str()))
    }

    /// Whether some stream has schedules, so that it has to be known which
    /// zones there are.
    pub fn has_schedules(&self) -> bool {
        let mut streams = self.streams.iter();
        streams.any(|stream| stream.config.allow_msg_schedules)
    }

    fn stream(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.streams.last_mut().filter(|stream| stream.id == id)
    }

    /// All rows of a stream were seen.
    fn close_stream(&mut self) {
        self.beside.clear();
        let without_cursor = std::mem::take(&mut self.consumers);
        if !std::mem::take(&mut self.is_open) {
            return;
        }
        let Some(stream) = self.streams.last_mut() else {
            return;
        };
        // Their cursors were damaged. Delivering everything again is better
        // than losing the consumer, or messages.
        for (id, row) in without_cursor {
            add_consumer(stream, id, *row);
        }
        // What they have looked at was there, though what tells of it be damaged.
        let scanned = stream.consumers.values();
        let scanned = scanned.map(|consumer| consumer.cursor.scanned).max();
        stream.log.skip_to(scanned.unwrap_or_default());
        stream.log.recovered();
        stream.is_dirty = false;
        stream.row_dirty = false;
    }

    /// No row is left.
    pub(crate) fn finish(&mut self) {
        self.close_stream();
    }

    fn take(&mut self, key: RowKey, value: &[u8]) -> Option<()> {
        match key {
            RowKey::Stream(id) if value == rows::HALF_STREAM => self.half.push(id),
            RowKey::Stream(id) => {
                let row = rows::read_stream(value)?;
                self.open_stream(id, row);
            }
            RowKey::Consumer(_, id) => {
                let read = rows::read_consumer(value)?;
                self.consumers.insert(id, Box::new(read));
            }
            RowKey::Cursor(stream, id) => {
                let cursor = rows::read_cursor(value)?;
                let row = self.consumers.remove(&id)?;
                let consumer = add_consumer(self.stream(stream)?, id, *row)?;
                consumer.begin_at(cursor);
                consumer.is_dirty = false;
            }
            RowKey::Deletes(BlockKey { first, .. }) => {
                let read = block_row::read(value)?;
                self.beside.insert(first, Box::new(read));
            }
            RowKey::Summary(block) => {
                let beside = self.beside.remove(&block.first).map(|beside| *beside);
                let stream = self.stream(block.stream)?;
                if !stream.log.recover_block(block, value, beside) {
                    return None;
                }
            }
        }
        Some(())
    }

    /// A row can not be used. What is due in a block is found again by
    /// reading it.
    fn lose(&mut self, key: RowKey) {
        if let RowKey::Deletes(block) = key {
            self.beside.insert(block.first, Box::new(BlockRow::lost()));
        }
        self.damaged.push(key);
    }

    fn open_stream(&mut self, id: StreamId, row: StreamRow) {
        let hash_seed = self.hash_seed ^ u64::from(id.0);
        let mut stream = Stream::new(id, row.account, row.config, row.created, hash_seed);
        stream.log.lost = row.lost;
        stream.next_consumer = row.next_consumer;
        stream.released = row.released;
        stream.sweep = row.sweep;
        stream.removals = row.removals;
        stream.aged_to = row.aged_to;
        stream.set_copied(&row.copied);
        stream.log.set_last_time(row.last_time);
        stream.log.skip_to(row.last);
        self.streams.push(stream);
        self.is_open = true;
    }
}

fn add_consumer(stream: &mut Stream, id: ConsumerId, row: ConsumerRow) -> Option<&mut Consumer> {
    let name = row.config.name.clone();
    let stream_name = &stream.config.name;
    let mut consumer = Consumer::new(id, stream_name, row.config, row.created, Time::default());
    consumer.is_unnamed = row.is_unnamed;
    stream.consumers_by_name.insert(name, id);
    stream.consumers.insert(id, Box::new(consumer));
    stream.next_consumer = stream.next_consumer.max(id.0 + 1);
    stream
        .consumers
        .get_mut(&id)
        .map(|consumer| &mut **consumer)
}

/// A damaged row is not believed to be of a stream with a higher number.
const BELIEVED_MAX: u32 = 1 << 31;

impl RowSink for StoredStreams {
    fn row(&mut self, key: RowKey, value: &[u8]) {
        if key.stream() > self.last_stream || matches!(key, RowKey::Stream(_)) {
            self.close_stream();
            self.last_stream = self.last_stream.max(key.stream());
        }
        let is_of_half = self.half.last() == Some(&key.stream());
        if !is_of_half && self.take(key, value).is_none() {
            self.lose(key);
        }
    }

    fn damaged(&mut self, key: RowKey) {
        // No other stream may get its number, unless that is damaged itself.
        if key.stream().0 < BELIEVED_MAX {
            self.last_stream = self.last_stream.max(key.stream());
        }
        self.lose(key);
    }
}
