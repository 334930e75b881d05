//! The file, on the caller's thread.

use crate::changes::Changes;
use crate::config::StoreConfig;
use crate::error::StoreError;
use crate::journal::{Journal, JournalOpener, journal_path};
use crate::medium::{Meter, Opener, check_path, open_file};
use crate::opening::{self, Opened};
use crate::replay;
use crate::stats::{Counters, StoreStats};
use crate::tables::read_block;
use bytes::Bytes;
use log::{debug, warn};
use midge_engine::{Block, BlockKey, RowSink, Write};
use redb::{Database, ReadTransaction, ReadableDatabase, WriteTransaction};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

/// A store, open.
///
/// Dropping it is like [`Store::close`] without the chance to hear of errors.
#[derive(Debug)]
pub struct Store {
    /// There until it is closed.
    db: Option<Database>,
    /// Held by whoever commits, for as long as that takes.
    pub(crate) journal: Mutex<Journal>,
    /// What is durable and not in the tables. Held for moments only.
    pub(crate) pending: Mutex<Arc<Changes>>,
    source: Source,
    opened: Opened,
}

/// Where a store comes from, and how to get it again.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) config: StoreConfig,
    pub(crate) opener: Opener,
    pub(crate) meter: Arc<Meter>,
    pub(crate) journal_opener: JournalOpener,
    pub(crate) journal_meter: Arc<Meter>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.config.fmt(f)
    }
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
            journal_opener: journal_opener(&config.path),
            journal_meter: Arc::default(),
        };
        source.open(sink)
    }

    /// Opens a store on a test's disk.
    #[cfg(feature = "test-backend")]
    #[doc(hidden)]
    pub fn open_with_backend(
        config: &StoreConfig,
        opener: impl Fn() -> std::io::Result<Box<dyn redb::StorageBackend>> + Send + Sync + 'static,
        journal: impl Fn(bool) -> std::io::Result<Option<Box<dyn redb::StorageBackend>>>
        + Send
        + Sync
        + 'static,
        sink: &mut dyn RowSink,
    ) -> Result<Store, StoreError> {
        let source = Source {
            config: config.clone(),
            opener: Arc::new(opener),
            meter: Arc::default(),
            journal_opener: Arc::new(journal),
            journal_meter: Arc::default(),
        };
        source.open(sink)
    }

    /// What was found when the store was opened.
    pub fn opened(&self) -> &Opened {
        &self.opened
    }

    /// What has been written since the start; the rest of the figures is the
    /// handle's.
    pub fn stats(&self) -> StoreStats {
        let source = &self.source;
        Counters::default().read(&source.meter, &source.journal_meter)
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    pub(crate) fn path(&self) -> &Path {
        &self.source.config.path
    }

    /// Reads a block from what is durable now; `None` if there is none under
    /// this key.
    pub fn load(&self, key: BlockKey) -> Result<Option<Loaded>, StoreError> {
        // In this order: what a checkpoint takes from the one is in the other
        // before.
        let pending = self.with_pending(|pending| pending.block(key).map(|bytes| bytes.cloned()));
        let found = match pending {
            Some(bytes) => bytes.map(|bytes| (bytes, true)),
            None => contain(self.path(), "read", || read_block(&self.snapshot()?, key))?,
        };
        Ok(found.map(|(bytes, is_whole)| parse(key, bytes, is_whole)))
    }

    pub(crate) fn begin_write(&self) -> Result<WriteTransaction, Box<redb::Error>> {
        self.db()?.begin_write().map_err(boxed)
    }

    pub(crate) fn snapshot(&self) -> Result<ReadTransaction, Box<redb::Error>> {
        self.db()?.begin_read().map_err(boxed)
    }

    fn db(&self) -> Result<&Database, Box<redb::Error>> {
        self.db
            .as_ref()
            .ok_or_else(|| Box::new(redb::Error::DatabaseClosed))
    }

    pub(crate) fn database_mut(&mut self) -> Result<&mut Database, Box<redb::Error>> {
        self.db
            .as_mut()
            .ok_or_else(|| Box::new(redb::Error::DatabaseClosed))
    }

    /// Lets go of the file, ready for a quick start and complete without its
    /// journal.
    pub fn close(mut self) -> Result<(), StoreError> {
        let finished = self.finish();
        let closed = match self.db.take() {
            Some(db) => contain(self.path(), "close", || db.close().map_err(boxed)),
            None => Ok(()),
        };
        finished.and(closed)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if self.db.is_some()
            && let Err(error) = self.finish()
        {
            warn!("{error}");
        }
    }
}

impl Source {
    pub(crate) fn open(&self, sink: &mut dyn RowSink) -> Result<Store, StoreError> {
        check_path(&self.config.path)?;
        let (db, was_repaired) = opening::open_database(self)?;
        let (mut journal, replayed) = replay::replay(&db, self)?;
        journal.is_plain = was_repaired && replayed.batches == 0;
        let mut store = Store {
            db: Some(db),
            journal: Mutex::new(journal),
            pending: Mutex::default(),
            source: self.clone(),
            opened: Opened::default(),
        };
        store.opened = opening::read_rows(&store, sink)?;
        store.opened.was_repaired = was_repaired;
        store.opened.replayed = replayed.batches;
        store.opened.lost_batches = replayed.lost;
        Ok(store)
    }

    /// Bytes written so far, to both files.
    pub(crate) fn written(&self) -> u64 {
        let both = [&self.meter, &self.journal_meter];
        both.map(|meter| meter.written.load(Ordering::Relaxed))
            .iter()
            .sum()
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

/// Opens the journal of a real file.
pub(crate) fn journal_opener(path: &Path) -> JournalOpener {
    let path = journal_path(path);
    Arc::new(move |make| {
        if !make && !path.try_exists()? {
            return Ok(None);
        }
        open_file(&path).map(Some)
    })
}

/// redb's error is large; a box keeps the way back short.
pub(crate) fn boxed(error: impl Into<redb::Error>) -> Box<redb::Error> {
    Box::new(error.into())
}

pub(crate) fn is_too_long(write: &Write) -> bool {
    matches!(write, Write::PutBlock(_, bytes) if bytes.len() > crate::STORED_BLOCK_LEN_MAX)
}

pub(crate) fn len_of(write: &Write) -> u64 {
    match write {
        Write::PutBlock(_, bytes) => bytes.len() as u64,
        Write::PutRow(_, value) => value.len() as u64,
        Write::RemoveBlock(_) | Write::RemoveRow(_) | Write::RemoveStream(_) => 0,
    }
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
