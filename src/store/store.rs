//! The file, on the caller's thread.

use crate::aside::look_at;
use crate::config::StoreConfig;
use crate::error::StoreError;
use crate::journal::Journal;
use crate::layout::Found;
use crate::maintenance::Nothing;
#[cfg(feature = "test-backend")]
use crate::medium::Disk;
use crate::medium::{Medium, Meter, Opener, check_path, open_file};
use crate::opening::{self, Opened};
use crate::partial::Partial;
use crate::pending::Pending;
use crate::replay;
use crate::stats::{Counters, StoreStats};
use crate::tables::read_block;
use log::{debug, warn};
use midge_engine::{Block, BlockKey, RowSink, Write};
use redb::{Database, ReadTransaction, ReadableDatabase, WriteTransaction};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, RwLock};

/// A store, open.
///
/// Dropping it is like ending the process: what is only in the journal stays
/// there and is found when the store is opened. [`Store::close`] brings it in.
#[derive(Debug)]
pub struct Store {
    /// There until it is closed.
    db: Option<Database>,
    /// Held by whoever commits, for as long as that takes.
    pub(crate) journal: Mutex<Journal>,
    /// What is durable and not in the tables. Held for moments only.
    pub(crate) pending: RwLock<Pending>,
    /// Held by whoever writes to the tables, for as long as that takes, and taken
    /// after the journal by who needs both; true once that has failed.
    pub(crate) tables: Mutex<bool>,
    /// The file that the journal and the tables are in.
    pub(crate) medium: Arc<Medium>,
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

/// A block that was read.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The block, with its damaged records left out.
    pub block: Block,
    /// Records that were written and are not there now. At least one if a
    /// part of the block is missing or its header is damaged.
    pub lost: u64,
}

impl Loaded {
    /// `is_whole` if all of the block's bytes are there.
    pub(crate) fn new(block: Block, is_whole: bool) -> Self {
        let present = block.present();
        let lost = match block.written() {
            Some(written) => written.saturating_sub(present).max(usize::from(!is_whole)),
            None => 1,
        };
        if lost > 0 {
            let key = block.key();
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
}

impl Store {
    /// Opens a store, or makes one, and hands its rows to the sink in the
    /// order of their keys.
    ///
    /// It reads the rows and the journal, and no block but those that the
    /// journal says have grown.
    pub fn open(config: &StoreConfig, sink: &mut dyn RowSink) -> Result<Store, StoreError> {
        let path = config.path.clone();
        let source = Source {
            config: config.clone(),
            opener: Arc::new(move || open_file(&path)),
            meter: Arc::default(),
        };
        source.open(sink)
    }

    /// Opens a store that is only looked at: its file stays as it is.
    pub(crate) fn open_aside(path: &Path, sink: &mut dyn RowSink) -> Result<Store, StoreError> {
        let config = StoreConfig::new(path);
        let path = config.path.clone();
        let source = Source {
            config,
            opener: Arc::new(move || look_at(&path)),
            meter: Arc::default(),
        };
        source.open(sink)
    }

    /// Makes a store in a file that has not got its name yet.
    pub(crate) fn open_partial(partial: &Partial) -> Result<Store, StoreError> {
        let source = Source {
            config: StoreConfig::new(partial.path()),
            opener: partial.opener()?,
            meter: Arc::default(),
        };
        source.open(&mut Nothing)
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
            opener: Arc::new(move || opener().map(Disk::gathering)),
            meter: Arc::default(),
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
        Counters::default().read(&self.source.meter)
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
        let pending = self.pending().block(key).map(|block| block.cloned());
        if let Some(block) = pending {
            return Ok(block.map(|block| Loaded::new(block.block(key), true)));
        }
        contain(self.path(), "read", || {
            let found = read_block(&self.snapshot()?, key)?;
            Ok(found.map(|found| parse(key, found)))
        })
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

    /// Lets go of the file, with nothing left in the journal.
    pub fn close(mut self) -> Result<(), StoreError> {
        let finished = self.bring_in();
        let closed = match self.db.take() {
            Some(db) => contain(self.path(), "close", || db.close().map_err(boxed)),
            None => Ok(()),
        };
        finished.and(closed)
    }
}

impl Source {
    pub(crate) fn open(&self, sink: &mut dyn RowSink) -> Result<Store, StoreError> {
        check_path(&self.config.path)?;
        let medium = self.medium()?;
        let (db, was_repaired) = opening::open_database(self, &medium)?;
        let replayed = replay::replay(&self.config.path, &db, &medium)?;
        let mut store = Store {
            db: Some(db),
            journal: Mutex::new(Journal::new(
                Arc::clone(&medium),
                replayed.next,
                replayed.kept_from,
            )),
            pending: RwLock::new(Pending::found(replayed.changes)),
            tables: Mutex::default(),
            medium,
            source: self.clone(),
            opened: Opened::default(),
        };
        // Damage is told once, and not gone on with.
        if replayed.lost > 0 {
            store.settle()?;
        }
        store.opened = opening::read_rows(&store, sink)?;
        store.opened.was_repaired = was_repaired;
        store.opened.replayed = replayed.batches;
        store.opened.lost_batches = replayed.lost;
        Ok(store)
    }

    fn medium(&self) -> Result<Arc<Medium>, StoreError> {
        let path = &self.config.path;
        let disk = (self.opener)().map_err(|source| StoreError::io(path, "open", source))?;
        let meter = Arc::clone(&self.meter);
        Medium::open(path, disk, meter, self.config.journal_bytes)
    }

    /// Bytes written so far.
    pub(crate) fn written(&self) -> u64 {
        self.meter.written.load(Ordering::Relaxed)
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
    matches!(write, Write::PutBlock(block) if block.bytes().len() > crate::STORED_BLOCK_LEN_MAX)
}

pub(crate) fn len_of(write: &Write) -> u64 {
    match write {
        Write::PutBlock(block) => block.bytes().len() as u64,
        Write::PutRow(_, value) => value.len() as u64,
        Write::RemoveBlock(_) | Write::RemoveRow(_) | Write::RemoveStream(_) => 0,
    }
}

pub(crate) fn parse(key: BlockKey, found: Found) -> Loaded {
    if found.mended > 0 {
        warn!(
            "stream {}, block from sequence {}: a bit in the file has flipped, and was put right",
            key.stream.0, key.first
        );
    }
    Loaded::new(Block::parse(key, found.bytes), found.is_whole)
}
