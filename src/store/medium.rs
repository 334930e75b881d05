//! What redb reads and writes: a file, with everything counted.

use crate::error::StoreError;
use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A file shorter than this that holds nothing but zeros behind its first
/// page, and not yet redb's name, was being made when the power went. redb
/// begins with a file of a megabyte or two.
const UNFINISHED_LEN_MAX: u64 = 4 << 20;
/// redb's first page; of it only the header is written while a file is made.
const PAGE_LEN: u64 = 4096;
/// What a redb file begins with; written last when one is made.
const NAME: [u8; 9] = *b"redb\x1A\x0A\xA9\x0D\x0A";
const SCAN_LEN: usize = 64 << 10;

/// Makes a backend: a file opened anew, or a test's disk.
pub(crate) type Opener = Arc<dyn Fn() -> io::Result<Box<dyn StorageBackend>> + Send + Sync>;

/// What went through a medium. Kept over reopening.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    pub(crate) written: AtomicU64,
    pub(crate) writes: AtomicU64,
    pub(crate) syncs: AtomicU64,
    /// The length of the file.
    pub(crate) len: AtomicU64,
    /// What was written and not synced since: offset and length.
    unsynced: Mutex<Vec<(u64, usize)>>,
}

impl Meter {
    fn unsynced(&self) -> MutexGuard<'_, Vec<(u64, usize)>> {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(crate) struct Medium {
    backend: Box<dyn StorageBackend>,
    meter: Arc<Meter>,
    is_looked_at: AtomicBool,
}

impl Medium {
    pub(crate) fn new(backend: Box<dyn StorageBackend>, meter: Arc<Meter>) -> Self {
        Medium {
            backend,
            meter,
            is_looked_at: AtomicBool::new(false),
        }
    }

    /// Writes again what a sync that failed may have left in memory only.
    ///
    /// Linux counts a page as written once it has reported that it could not
    /// write it. Who opens the file then sees a commit that is not on the
    /// disk, and the next sync that succeeds says nothing about it.
    fn write_again(&self, len: u64) -> io::Result<()> {
        let ranges = std::mem::take(&mut *self.meter.unsynced());
        if ranges.is_empty() {
            return Ok(());
        }
        let mut result = Ok(());
        for (offset, length) in &ranges {
            if offset.saturating_add(*length as u64) > len || result.is_err() {
                continue;
            }
            let mut bytes = vec![0; *length];
            result = self
                .backend
                .read(*offset, &mut bytes)
                .and_then(|()| self.backend.write(*offset, &bytes));
        }
        let result = result.and_then(|()| self.backend.sync_data());
        if result.is_err() {
            *self.meter.unsynced() = ranges;
        }
        result
    }

    /// Whether making this file was cut short, so that nothing is lost by
    /// beginning again.
    fn is_unfinished(&self, len: u64) -> io::Result<bool> {
        if len == 0 || len > UNFINISHED_LEN_MAX {
            return Ok(false);
        }
        let mut name = [0; NAME.len()];
        let named = NAME.len().min(len as usize);
        self.backend.read(0, &mut name[..named])?;
        // It may have been written in part.
        let is_begun = name
            .iter()
            .zip(NAME)
            .all(|(is, to_be)| *is == 0 || *is == to_be);
        let mut at = PAGE_LEN.min(len);
        let mut all_zero = is_begun && name != NAME;
        let mut buffer = vec![0; SCAN_LEN];
        while all_zero && at < len {
            let take = SCAN_LEN.min((len - at) as usize);
            self.backend.read(at, &mut buffer[..take])?;
            all_zero = buffer[..take].iter().all(|byte| *byte == 0);
            at += take as u64;
        }
        Ok(all_zero)
    }
}

impl StorageBackend for Medium {
    fn len(&self) -> io::Result<u64> {
        let mut len = self.backend.len()?;
        // redb asks for this first, with the lock in its hands.
        if !self.is_looked_at.swap(true, Ordering::Relaxed) {
            self.write_again(len)?;
            if self.is_unfinished(len)? {
                self.backend.set_len(0)?;
                len = 0;
            }
        }
        self.meter.len.store(len, Ordering::Relaxed);
        Ok(len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.backend.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.backend.set_len(len)?;
        self.meter.len.store(len, Ordering::Relaxed);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.meter.syncs.fetch_add(1, Ordering::Relaxed);
        self.backend.sync_data()?;
        self.meter.unsynced().clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.meter.writes.fetch_add(1, Ordering::Relaxed);
        self.meter
            .written
            .fetch_add(data.len() as u64, Ordering::Relaxed);
        self.meter.unsynced().push((offset, data.len()));
        self.backend.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.backend.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.backend.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.query_lock_range(start, end)
    }
}

/// Opens the file, or makes an empty one that is there after a power cut.
pub(crate) fn open_file(path: &Path) -> io::Result<Box<dyn StorageBackend>> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    let file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => create_file(path, &mut options)?,
        other => other?,
    };
    let backend = FileBackend::new(file).map_err(io::Error::other)?;
    Ok(Box::new(backend))
}

/// Streams hold what others sent: the file is for its owner.
fn create_file(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    options.create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let file = options.open(path)?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // The directory's entry must be as durable as what the file will hold.
    #[cfg(unix)]
    File::open(parent)?.sync_all()?;
    Ok(file)
}

/// Says what is wrong with a path that redb would only say less of.
pub(crate) fn check_path(path: &Path) -> Result<(), StoreError> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(StoreError::NotAStore {
            path: path.to_owned(),
            why: "it is a directory",
        }),
        Ok(found) if !found.is_file() => Err(StoreError::NotAStore {
            path: path.to_owned(),
            why: "it is not a regular file",
        }),
        _ => Ok(()),
    }
}
