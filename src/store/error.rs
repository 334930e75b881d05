//! What can go wrong with a store.

use midge_engine::BlockKey;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why something could not be stored, read or opened.
#[derive(Debug)]
pub enum StoreError {
    /// Another process has the file open.
    InUse(PathBuf),
    /// There is something where the file is to be.
    Exists(PathBuf),
    /// The file holds something else. It was left as it is.
    NotAStore {
        /// The file.
        path: PathBuf,
        /// How that showed.
        why: &'static str,
    },
    /// The file was written by a later version. It was left as it is.
    Newer {
        /// The file.
        path: PathBuf,
        /// The version of its format.
        found: u64,
        /// The newest that this program knows.
        known: u64,
    },
    /// The machine refused.
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// The file's pages contradict themselves.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What does not fit.
        what: String,
    },
    /// The store failed and is not open again yet, or it is stopping.
    Unavailable,
    /// A block is longer than any can be.
    TooLong {
        /// The block.
        key: BlockKey,
        /// Its length.
        len: usize,
    },
}

impl StoreError {
    /// Whether the disk is full, which someone can do something about.
    pub fn is_full(&self) -> bool {
        matches!(self, StoreError::Io { source, .. } if is_full(source))
    }

    pub(crate) fn io(path: &Path, doing: &'static str, source: io::Error) -> Self {
        StoreError::Io {
            path: path.to_owned(),
            doing,
            source,
        }
    }

    /// What was done before has failed, and nothing is done until the file has
    /// been opened again.
    pub(crate) fn after_failure(path: &Path, doing: &'static str) -> Self {
        let source = io::Error::other("an earlier operation on the file failed");
        StoreError::io(path, doing, source)
    }

    pub(crate) fn from_redb(path: &Path, doing: &'static str, error: redb::Error) -> Self {
        match error {
            redb::Error::Io(source) => return StoreError::io(path, doing, source),
            redb::Error::PreviousIo => return StoreError::after_failure(path, doing),
            _ => {}
        }
        let path = path.to_owned();
        match error {
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
                StoreError::InUse(path)
            }
            redb::Error::TableTypeMismatch { .. } | redb::Error::TableIsMultimap(_) => {
                StoreError::Damaged {
                    path,
                    doing,
                    what: "its tables are not a store's".to_owned(),
                }
            }
            other => StoreError::Damaged {
                path,
                doing,
                what: other.to_string(),
            },
        }
    }
}

/// Whether an error says that there is no room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::InUse(path) => {
                write!(f, "{} is in use by another process", path.display())
            }
            StoreError::Exists(path) => write!(f, "{} is there already", path.display()),
            StoreError::NotAStore { path, why } => {
                write!(f, "{} is not a midge store: {why}", path.display())
            }
            StoreError::Newer { path, found, known } => write!(
                f,
                "{} has format {found}, this program knows formats up to {known}; \
                 a newer midge is needed to read it",
                path.display()
            ),
            StoreError::Io {
                path,
                doing,
                source,
            } => write!(f, "cannot {doing} {}: {source}", path.display()),
            StoreError::Damaged { path, doing, what } => {
                let path = path.display();
                write!(f, "cannot {doing} {path}: it is damaged: {what}")?;
                match *doing {
                    "open" => f.write_str("; midge recover copies what is whole in it"),
                    _ => Ok(()),
                }
            }
            StoreError::Unavailable => f.write_str("the store is not open at the moment"),
            StoreError::TooLong { key, len } => write!(
                f,
                "a block of {len} bytes is too long to be stored (stream {}, sequence {})",
                key.stream.0, key.first
            ),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StoreError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
