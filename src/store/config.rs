//! What a store is told when it is opened.

use std::path::PathBuf;
use std::time::Duration;

/// Pages of the tables that may be kept in memory. The server keeps what it
/// delivers itself; here are the inner nodes of the two trees, of which a
/// gigabyte of streams has less than a megabyte, and what a checkpoint is
/// about to write: 4 MiB and what belongs to it have to fit into half of this,
/// or some pages are written twice.
pub const CACHE_BYTES: usize = 12 << 20;

/// So long no batch comes before the tables get what the journal holds, if
/// that is much.
pub const IDLE_PAUSE: Duration = Duration::from_secs(1);

/// The pause before the first attempt to open a file again that failed.
pub const RETRY_FIRST: Duration = Duration::from_secs(1);

/// The pause between attempts doubles up to this.
pub const RETRY_MAX: Duration = Duration::from_secs(30);

/// The room for the journal, which is made with the file. Once half of it is used
/// up, what is in it is brought into the tables: after some four thousand small
/// messages one at a time, or ten thousand in large batches.
pub const JOURNAL_BYTES: usize = 4 << 20;

/// Where a store is and how it behaves.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// The file. It is made if there is none; its directory is not.
    pub path: PathBuf,
    /// [`CACHE_BYTES`] unless set.
    pub cache_bytes: usize,
    /// [`JOURNAL_BYTES`] unless set. It counts when the file is made. With 0
    /// there is no journal, and every batch is committed to the tables.
    pub journal_bytes: usize,
    /// [`IDLE_PAUSE`] unless set.
    pub idle_pause: Duration,
    /// [`RETRY_FIRST`] unless set.
    pub retry_first: Duration,
    /// [`RETRY_MAX`] unless set.
    pub retry_max: Duration,
}

impl StoreConfig {
    /// A store in this file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        StoreConfig {
            path: path.into(),
            cache_bytes: CACHE_BYTES,
            journal_bytes: JOURNAL_BYTES,
            idle_pause: IDLE_PAUSE,
            retry_first: RETRY_FIRST,
            retry_max: RETRY_MAX,
        }
    }
}
