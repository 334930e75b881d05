//! A model of what a store holds, workloads, and blocks built from the
//! description of their format.

use bytes::Bytes;
use midge_engine::{
    Batch, Block, BlockKey, ConsumerId, RowKey, RowSink, Seq, StreamId, Write, summarize,
};
use midge_store::fault::FaultDisk;
use midge_store::{Store, StoreConfig, StoreError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Which seed to start from; `MIDGE_STORE_SEED` replays a run.
pub(crate) fn seeds(count: u64) -> std::ops::Range<u64> {
    match std::env::var("MIDGE_STORE_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("MIDGE_STORE_SEED is a number");
            seed..seed + 1
        }
        Err(_) => 1..1 + count,
    }
}

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// A directory of its own, gone when dropped.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("midge-store-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        TempDir(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("streams.redb")
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn key(stream: u32, first: u64) -> BlockKey {
    BlockKey {
        stream: StreamId(stream),
        first: Seq(first),
    }
}

/// A block of records with these payload lengths, as the engine would write
/// it, made from what `README.md` says of blocks.
pub(crate) fn block(key: BlockKey, lens: &[usize], fill: u8) -> Bytes {
    let head = [
        &b"mdgB"[..],
        &key.stream.0.to_le_bytes(),
        &key.first.0.to_le_bytes(),
        &(lens.len() as u32).to_le_bytes(),
    ]
    .concat();
    let mut bytes = head.clone();
    bytes.extend(crc32c::crc32c(&head).to_le_bytes());
    let seed = [&key.stream.0.to_le_bytes()[..], &key.first.0.to_le_bytes()].concat();
    for (place, len) in lens.iter().enumerate() {
        let subject = format!("test.{}", place % 3);
        let record = [
            &(*len as u32).to_le_bytes()[..],
            &(place as u32).to_le_bytes(),
            &(subject.len() as u16).to_le_bytes(),
            &0u16.to_le_bytes(),
            &(1_700_000_000_000_000_000 + place as i64).to_le_bytes(),
            subject.as_bytes(),
            &body(*len, fill),
        ]
        .concat();
        let crc = crc32c::crc32c_append(crc32c::crc32c(&seed), &record);
        bytes.extend(crc.to_le_bytes());
        bytes.extend(record);
    }
    bytes.into()
}

/// Long ones are half of what cannot be compressed.
fn body(len: usize, fill: u8) -> Vec<u8> {
    let mut body = vec![fill; len];
    if len > 1000 {
        let mut random = Random(fill.into());
        for run in body.chunks_mut(16).step_by(2) {
            run.fill_with(|| random.below(256) as u8);
        }
    }
    body
}

/// The same block, of a stream whose blocks are to be compressed.
pub(crate) fn to_be_compressed(block: &Bytes) -> Bytes {
    let mut bytes = block.to_vec();
    bytes[19] |= 0x80;
    let crc = crc32c::crc32c(&bytes[..20]);
    bytes[20..24].copy_from_slice(&crc.to_le_bytes());
    bytes.into()
}

/// The writes for a block and its summary.
pub(crate) fn put(key: BlockKey, bytes: &Bytes) -> Vec<Write> {
    vec![Write::PutBlock(Block::parse(key, bytes.clone()))]
}

pub(crate) fn summary(key: BlockKey, bytes: &Bytes) -> Vec<u8> {
    summarize(&Block::parse(key, bytes.clone())).expect("not empty")
}

/// What a store should hold.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) rows: BTreeMap<(StreamId, RowKey), Vec<u8>>,
    pub(crate) blocks: BTreeMap<BlockKey, Bytes>,
    pub(crate) damaged: Vec<RowKey>,
}

impl Model {
    pub(crate) fn apply(&mut self, batch: &Batch) {
        for write in &batch.writes {
            match write {
                Write::PutBlock(block) => {
                    let (key, bytes) = (block.key(), block.bytes());
                    self.blocks.insert(key, bytes.clone());
                    let place = (key.stream, RowKey::Summary(key));
                    self.rows.insert(place, summary(key, bytes));
                }
                Write::RemoveBlock(key) => {
                    self.blocks.remove(key);
                    self.rows.remove(&(key.stream, RowKey::Summary(*key)));
                }
                Write::PutRow(key, value) => {
                    self.rows.insert((key.stream(), *key), value.clone());
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
}

impl RowSink for Model {
    fn row(&mut self, key: RowKey, value: &[u8]) {
        let place = (key.stream(), key);
        if let Some((last, _)) = self.rows.last_key_value() {
            assert!(*last < place, "rows come in order");
        }
        self.rows.insert(place, value.to_vec());
    }

    fn damaged(&mut self, key: RowKey) {
        self.damaged.push(key);
    }
}

/// Everything in a store: its rows, and the blocks of these keys.
pub(crate) fn content(
    store: &Store,
    mut rows: Model,
    keys: impl IntoIterator<Item = BlockKey>,
) -> Model {
    for key in keys {
        if let Some(loaded) = store.load(key).expect("readable") {
            assert_eq!(loaded.lost, 0, "nothing is damaged");
            rows.blocks.insert(key, loaded.block.bytes().clone());
        }
    }
    rows
}

/// Every block that a workload may name.
pub(crate) fn all_keys() -> impl Iterator<Item = BlockKey> {
    (1..=3).flat_map(|stream| (0..6).map(move |place| key(stream, 1 + place * 100)))
}

/// A batch of what the engine may ask for, small ones mostly.
pub(crate) fn random_batch(random: &mut Random) -> Batch {
    let mut writes = Vec::new();
    for _ in 0..=random.below(4) {
        let key = key(1 + random.below(3) as u32, 1 + random.below(6) * 100);
        let consumer = ConsumerId(random.below(3) as u32);
        let fill = random.below(256) as u8;
        match random.below(12) {
            0..=5 => {
                let len = match random.below(12) {
                    0 => 30_000,
                    1 => 140_000,
                    _ => 100,
                };
                let most = if len > 100 { 1 } else { 5 };
                let lens = vec![len; 1 + random.below(most) as usize];
                // The same again is a block that has grown, as a rule.
                let fill = if random.below(3) == 0 { fill } else { 7 };
                let mut bytes = block(key, &lens, fill);
                if random.below(2) == 0 {
                    bytes = to_be_compressed(&bytes);
                }
                writes.extend(put(key, &bytes));
            }
            6 => {
                writes.push(Write::RemoveBlock(key));
            }
            7 => writes.push(Write::PutRow(RowKey::Stream(key.stream), vec![fill; 90])),
            8 => writes.push(Write::PutRow(RowKey::Deletes(key), vec![fill; 9])),
            9 => writes.push(Write::PutRow(
                RowKey::Cursor(key.stream, consumer),
                vec![fill; 40],
            )),
            10 => writes.push(Write::RemoveRow(RowKey::Cursor(key.stream, consumer))),
            _ => writes.push(Write::RemoveStream(key.stream)),
        }
    }
    Batch { writes }
}

pub(crate) fn test_config() -> StoreConfig {
    StoreConfig {
        // A few batches a round.
        journal_bytes: 4096,
        idle_pause: Duration::from_millis(20),
        retry_first: Duration::from_millis(1),
        retry_max: Duration::from_millis(5),
        ..StoreConfig::new("test-disk")
    }
}

/// Opens a store on a test's disk and gives its rows.
pub(crate) fn open_on(disk: &FaultDisk) -> Result<(Store, Model), StoreError> {
    open_as(&test_config(), disk)
}

/// The same as the configuration says.
pub(crate) fn open_as(
    config: &StoreConfig,
    disk: &FaultDisk,
) -> Result<(Store, Model), StoreError> {
    let mut rows = Model::default();
    let store = Store::open_with_backend(config, disk.opener(), &mut rows)?;
    Ok((store, rows))
}

pub(crate) fn open_file(path: &Path) -> Result<(Store, Model), StoreError> {
    let mut rows = Model::default();
    let store = Store::open(&StoreConfig::new(path), &mut rows)?;
    Ok((store, rows))
}

/// redb's part of a store that nobody has open, for tests that put something
/// there.
pub(crate) fn tables(path: &Path) -> redb::Database {
    let part = TablesPart {
        file: open_bytes(path),
        at: tables_at(path),
    };
    redb::Builder::new()
        .create_with_backend(part)
        .expect("it is redb's")
}

/// Where redb's part begins, as the file's head says.
pub(crate) fn tables_at(path: &Path) -> u64 {
    let mut head = [0; 24];
    redb::StorageBackend::read(&open_bytes(path), 0, &mut head).unwrap();
    u64::from_le_bytes(head[16..].try_into().unwrap())
}

fn open_bytes(path: &Path) -> redb::backends::FileBackend {
    let mut options = std::fs::OpenOptions::new();
    let file = options.read(true).write(true).open(path).unwrap();
    redb::backends::FileBackend::new(file).unwrap()
}

#[derive(Debug)]
struct TablesPart {
    file: redb::backends::FileBackend,
    at: u64,
}

impl redb::StorageBackend for TablesPart {
    fn len(&self) -> std::io::Result<u64> {
        Ok(self.file.len()? - self.at)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.file.read(self.at + offset, out)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.file.set_len(self.at + len)
    }

    fn sync_data(&self) -> std::io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.file.write(self.at + offset, data)
    }
}
