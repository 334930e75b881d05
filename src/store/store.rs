//! The file, on the caller's thread.

use crate::config::StoreConfig;
use crate::error::StoreError;
use crate::layout::{
    BLOCKS, PART_HEAD_LEN, PART_KEY_LEN, PART_LEN, Parts, ROW_KEY_LEN, ROWS, parse_part_key,
    part_key, parts, parts_of_stream, read_part, row_key, rows_of, seal_row,
};
use crate::medium::{Meter, Opener, check_path, open_file};
use crate::opening::{self, Opened};
use bytes::Bytes;
use log::debug;
use midge_engine::{Batch, Block, BlockKey, RowSink, Write};
use redb::{Database, ReadTransaction, ReadableDatabase, Table, TableError, WriteTransaction};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A store, open.
///
/// Dropping it is like [`Store::close`] without the chance to hear of errors.
#[derive(Debug)]
pub struct Store {
    db: Database,
    source: Source,
    opened: Opened,
}

/// Where a store comes from, and how to get it again.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) config: StoreConfig,
    pub(crate) opener: Opener,
    pub(crate) meter: Arc<Meter>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.config.fmt(f)
    }
}

/// What a commit took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Commit {
    /// From taking the batch to being told that it is durable.
    pub duration: Duration,
    /// What the batch held: the bytes of its blocks and rows.
    pub batch_bytes: u64,
    /// What was written to the file for it.
    pub written_bytes: u64,
}

/// A block that was read.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The block, with its damaged records left out.
    pub block: Block,
    /// Records that were written and are not there now. At least one if a
    /// part of the block is missing or its header is damaged.
    pub lost: u64,
}

impl Store {
    /// Opens a store, or makes one, and hands its rows to the sink in the
    /// order of their keys.
    ///
    /// After a stop that was not clean this may walk the whole file, at some
    /// 2.5 s a gigabyte; after an idle pause or a clean stop it reads the
    /// rows and no block.
    pub fn open(config: &StoreConfig, sink: &mut dyn RowSink) -> Result<Store, StoreError> {
        let path = config.path.clone();
        let source = Source {
            config: config.clone(),
            opener: Arc::new(move || open_file(&path)),
            meter: Arc::default(),
        };
        source.open(sink)
    }

    /// Opens a store on a test's disk.
    #[cfg(feature = "test-backend")]
    #[doc(hidden)]
    pub fn open_with_backend(
        config: &StoreConfig,
        opener: impl Fn() -> std::io::Result<Box<dyn redb::StorageBackend>> + Send + Sync + 'static,
        sink: &mut dyn RowSink,
    ) -> Result<Store, StoreError> {
        let source = Source {
            config: config.clone(),
            opener: Arc::new(opener),
            meter: Arc::default(),
        };
        source.open(sink)
    }

    /// What was found when the store was opened.
    pub fn opened(&self) -> &Opened {
        &self.opened
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    pub(crate) fn path(&self) -> &Path {
        &self.source.config.path
    }

    /// Makes a batch durable as a whole. After an error nothing is known:
    /// the store must be opened again to see whether the batch is there.
    pub fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        if let Some(Write::PutBlock(key, bytes)) = batch.writes.iter().find(|w| is_too_long(w)) {
            return Err(StoreError::TooLong {
                key: *key,
                len: bytes.len(),
            });
        }
        let begun = Instant::now();
        let written = self.source.meter.written.load(Ordering::Relaxed);
        self.commit_writes(batch, false)?;
        Ok(Commit {
            duration: begun.elapsed(),
            batch_bytes: batch.writes.iter().map(len_of).sum(),
            written_bytes: self.source.meter.written.load(Ordering::Relaxed) - written,
        })
    }

    /// Writes down which pages are free, so that the file can be opened
    /// without walking it, whatever happens until the next batch.
    pub fn settle(&self) -> Result<(), StoreError> {
        self.commit_writes(&Batch::default(), true)
    }

    fn commit_writes(&self, batch: &Batch, settle: bool) -> Result<(), StoreError> {
        contain(self.path(), "write to", || {
            let mut transaction = self.begin_write()?;
            transaction.set_quick_repair(settle);
            apply(&transaction, batch)?;
            transaction.commit().map_err(boxed)
        })
    }

    /// Reads a block from what is durable now; `None` if there is none under
    /// this key.
    pub fn load(&self, key: BlockKey) -> Result<Option<Loaded>, StoreError> {
        let found = contain(self.path(), "read", || read_block(&self.snapshot()?, key))?;
        Ok(found.map(|(bytes, is_whole)| parse(key, bytes, is_whole)))
    }

    pub(crate) fn begin_write(&self) -> Result<WriteTransaction, Box<redb::Error>> {
        self.db.begin_write().map_err(boxed)
    }

    pub(crate) fn snapshot(&self) -> Result<ReadTransaction, Box<redb::Error>> {
        self.db.begin_read().map_err(boxed)
    }

    /// Lets go of the file, ready for a quick start.
    pub fn close(self) -> Result<(), StoreError> {
        let Store { db, source, .. } = self;
        contain(&source.config.path, "close", move || {
            db.close().map_err(boxed)
        })
    }

    pub(crate) fn database_mut(&mut self) -> &mut Database {
        &mut self.db
    }
}

impl Source {
    pub(crate) fn open(&self, sink: &mut dyn RowSink) -> Result<Store, StoreError> {
        check_path(&self.config.path)?;
        let (db, was_repaired) = opening::open_database(self)?;
        let mut store = Store {
            db,
            source: self.clone(),
            opened: Opened::default(),
        };
        store.opened = opening::read_rows(&store, sink)?;
        store.opened.was_repaired = was_repaired;
        Ok(store)
    }
}

/// Does something with redb and says what became of it.
///
/// redb panics over some pages that contradict themselves. Where panics
/// unwind that is an error like others; where they abort, the process ends.
pub(crate) fn contain<T>(
    path: &Path,
    doing: &'static str,
    work: impl FnOnce() -> Result<T, Box<redb::Error>>,
) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| StoreError::from_redb(path, doing, *error)),
        Err(_) => Err(StoreError::Damaged {
            path: path.to_owned(),
            doing,
            what: "its pages contradict each other".to_owned(),
        }),
    }
}

/// redb's error is large; a box keeps the way back short.
pub(crate) fn boxed(error: impl Into<redb::Error>) -> Box<redb::Error> {
    Box::new(error.into())
}

pub(crate) fn is_too_long(write: &Write) -> bool {
    matches!(write, Write::PutBlock(_, bytes) if bytes.len() > crate::STORED_BLOCK_LEN_MAX)
}

fn len_of(write: &Write) -> u64 {
    match write {
        Write::PutBlock(_, bytes) => bytes.len() as u64,
        Write::PutRow(_, value) => value.len() as u64,
        Write::RemoveBlock(_) | Write::RemoveRow(_) | Write::RemoveStream(_) => 0,
    }
}

type Rows<'a> = Table<'a, &'static [u8; ROW_KEY_LEN], &'static [u8]>;
type Blocks<'a> = Table<'a, &'static [u8; PART_KEY_LEN], &'static [u8]>;

fn apply(transaction: &WriteTransaction, batch: &Batch) -> Result<(), Box<redb::Error>> {
    if batch.writes.is_empty() {
        return Ok(());
    }
    let mut rows: Rows<'_> = transaction.open_table(ROWS).map_err(boxed)?;
    let mut blocks: Blocks<'_> = transaction.open_table(BLOCKS).map_err(boxed)?;
    for write in &batch.writes {
        match write {
            Write::PutBlock(key, bytes) => put_block(&mut blocks, *key, bytes).map_err(boxed)?,
            Write::RemoveBlock(key) => remove_block(&mut blocks, *key).map_err(boxed)?,
            Write::PutRow(key, value) => {
                let key = row_key(*key);
                rows.insert(&key, &seal_row(&key, value)[..])
                    .map_err(boxed)?;
            }
            Write::RemoveRow(key) => {
                rows.remove(&row_key(*key)).map_err(boxed)?;
            }
            Write::RemoveStream(stream) => {
                let (first, last) = rows_of(*stream);
                rows.retain_in::<&[u8; ROW_KEY_LEN], _>(&first..=&last, |_, _| false)
                    .map_err(boxed)?;
                let (first, last) = parts_of_stream(*stream);
                blocks
                    .retain_in::<&[u8; PART_KEY_LEN], _>(&first..=&last, |_, _| false)
                    .map_err(boxed)?;
            }
        }
    }
    Ok(())
}

fn put_block(
    blocks: &mut Blocks<'_>,
    key: BlockKey,
    bytes: &Bytes,
) -> Result<(), redb::StorageError> {
    let count = parts(bytes.len());
    let mut had = 0;
    for part in 0..count {
        let chunk = &bytes[part * PART_LEN..bytes.len().min((part + 1) * PART_LEN)];
        let mut stored = Vec::with_capacity(PART_HEAD_LEN + chunk.len());
        stored.extend_from_slice(&(count as u16).to_le_bytes());
        stored.extend_from_slice(chunk);
        let before = blocks.insert(&part_key(key, part as u16), &stored[..])?;
        if part == 0 {
            had = before.map_or(0, |before| parts_said(before.value()));
        }
    }
    if had > count {
        remove_parts(blocks, key, count)?;
    }
    Ok(())
}

/// How many parts a block may have by what its first part says: all, if that
/// is damaged.
fn parts_said(stored: &[u8]) -> usize {
    read_part(stored).map_or(usize::MAX, |(count, _)| count)
}

fn remove_block(blocks: &mut Blocks<'_>, key: BlockKey) -> Result<(), redb::StorageError> {
    let had = match blocks.remove(&part_key(key, 0))? {
        Some(before) => parts_said(before.value()),
        // Its first part may have been lost.
        None => usize::MAX,
    };
    if had > 1 {
        remove_parts(blocks, key, 1)?;
    }
    Ok(())
}

fn remove_parts(
    blocks: &mut Blocks<'_>,
    key: BlockKey,
    from: usize,
) -> Result<(), redb::StorageError> {
    let (first, last) = (part_key(key, from as u16), part_key(key, u16::MAX));
    blocks.retain_in::<&[u8; PART_KEY_LEN], _>(&first..=&last, |_, _| false)
}

/// A block's bytes and whether all of them are there.
pub(crate) fn read_block(
    snapshot: &ReadTransaction,
    key: BlockKey,
) -> Result<Option<(Bytes, bool)>, Box<redb::Error>> {
    let blocks = match snapshot.open_table(BLOCKS) {
        Ok(blocks) => blocks,
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(boxed(error)),
    };
    let mut found = Parts::default();
    let (first, last) = (part_key(key, 0), part_key(key, u16::MAX));
    for entry in blocks
        .range::<&[u8; PART_KEY_LEN]>(&first..=&last)
        .map_err(boxed)?
    {
        let (stored_under, stored) = entry.map_err(boxed)?;
        let (_, part) = parse_part_key(stored_under.value());
        found.push(part, stored.value());
    }
    Ok(found
        .finish()
        .map(|(bytes, is_whole)| (Bytes::from(bytes), is_whole)))
}

pub(crate) fn parse(key: BlockKey, bytes: Bytes, is_whole: bool) -> Loaded {
    let block = Block::parse(key, bytes);
    let present = block.present();
    let lost = match block.written() {
        Some(written) => written.saturating_sub(present).max(usize::from(!is_whole)),
        None => 1,
    };
    if lost > 0 {
        debug!(
            "stream {}, block from sequence {}: damaged, {present} records of it are whole",
            key.stream.0, key.first
        );
    }
    Loaded {
        block,
        lost: lost as u64,
    }
}
