//! A disk that keeps what was committed, in two maps, and can be damaged.

use super::rng::Rng;
use bytes::Bytes;
use midge_engine::{
    Block, BlockKey, RowKey, RowSink, Seq, StoredStreams, StreamId, Write, summarize,
};
use std::collections::BTreeMap;

#[derive(Clone, Default)]
pub(super) struct Disk {
    rows: BTreeMap<(StreamId, RowKey), Vec<u8>>,
    blocks: BTreeMap<BlockKey, Bytes>,
}

impl Disk {
    pub(super) fn apply(&mut self, writes: &[Write]) {
        for write in writes {
            match write {
                Write::PutBlock(block) => {
                    let (key, bytes) = (block.key(), block.bytes().clone());
                    // What is handed over with them says the same as they do.
                    assert_eq!(*block, Block::parse(key, bytes.clone()));
                    self.blocks.insert(key, bytes);
                    if let Some(row) = summarize(block) {
                        self.rows.insert((key.stream, RowKey::Summary(key)), row);
                    }
                }
                Write::RemoveBlock(key) => {
                    self.blocks.remove(key);
                    self.rows.remove(&(key.stream, RowKey::Summary(*key)));
                }
                Write::PutRow(key, row) => {
                    self.rows.insert((key.stream(), *key), row.clone());
                }
                Write::RemoveRow(key) => {
                    self.rows.remove(&(key.stream(), *key));
                }
                Write::RemoveStream(stream) => {
                    self.rows.retain(|(of, _), _| of != stream);
                    self.blocks.retain(|key, _| key.stream != *stream);
                }
            }
        }
    }

    pub(super) fn load(&self, key: BlockKey) -> Option<Block> {
        let bytes = self.blocks.get(&key)?;
        Some(Block::parse(key, bytes.clone()))
    }

    pub(super) fn stored(&self, hash_seed: u64) -> StoredStreams {
        let mut stored = StoredStreams::new(hash_seed);
        for ((_, key), row) in &self.rows {
            stored.row(*key, row);
        }
        stored
    }

    /// What is left of all streams, in rows and blocks.
    pub(super) fn len(&self) -> usize {
        self.rows.len() + self.blocks.len()
    }

    /// Every block has its summary, and every row belongs to a stream.
    pub(super) fn check(&self) {
        for key in self.blocks.keys() {
            let summary = (key.stream, RowKey::Summary(*key));
            assert!(self.rows.contains_key(&summary), "{key:?} has no summary");
        }
        for (stream, key) in self.rows.keys() {
            let row = (*stream, RowKey::Stream(*stream));
            assert!(self.rows.contains_key(&row), "{key:?} has no stream");
            if let RowKey::Summary(block) | RowKey::Deletes(block) = key {
                assert!(self.blocks.contains_key(block), "{key:?} has no block");
            }
        }
    }

    /// Flips a bit of some block, and may make its summary anew from what is
    /// left. Returns what is lost.
    pub(super) fn damage(&mut self, rng: &mut Rng) -> Option<(StreamId, Vec<Seq>)> {
        let keys: Vec<BlockKey> = self.blocks.keys().copied().collect();
        if keys.is_empty() {
            return None;
        }
        let key = rng.pick(&keys);
        let before = self.load(key)?;
        let mut bytes = before.bytes().to_vec();
        let at = rng.below(bytes.len());
        bytes[at] ^= 1 << rng.below(8);
        self.blocks.insert(key, bytes.into());
        let after = self.load(key)?;
        let lost = before
            .records()
            .map(|record| record.seq)
            .filter(|seq| after.get(*seq).is_none())
            .collect();
        if rng.percent(30)
            && let Some(row) = summarize(&after)
        {
            self.rows.insert((key.stream, RowKey::Summary(key)), row);
        }
        Some((key.stream, lost))
    }

    /// The name of a stream, by its row: the configuration is JSON in it.
    pub(super) fn name_of(&self, stream: StreamId) -> Option<String> {
        let row = self.rows.get(&(stream, RowKey::Stream(stream)))?;
        let text = String::from_utf8_lossy(row);
        let rest = text.split_once("\"name\":\"")?.1;
        Some(rest.split_once('"')?.0.to_owned())
    }
}
