//! What is read and written: one file, with everything counted.
//!
//! It has two parts, the journal's and redb's, each of which sees its own.

use crate::durable::{Durable, Paged};
use crate::error::{StoreError, is_full};
use crate::head::{Found, Head, JOURNAL_AT};
use crate::journal::scan;
use crate::long_writes::LongWrites;
use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// redb's part, if it is shorter than this, holds nothing but zeros behind its
/// first page, and does not bear redb's name yet, was being made when the
/// power went. redb begins with a megabyte or two.
const UNFINISHED_LEN_MAX: u64 = 4 << 20;
/// redb's first page; of it only the header is written while a file is made.
pub(crate) const PAGE_LEN: u64 = 4096;
/// What redb's part begins with; written last when one is made.
pub(crate) const NAME: [u8; 9] = *b"redb\x1A\x0A\xA9\x0D\x0A";
const SCAN_LEN: usize = 64 << 10;

/// Opens a file anew, or a test's disk.
pub(crate) type Opener = Arc<dyn Fn() -> io::Result<Disk> + Send + Sync>;

/// What bytes are written to.
#[derive(Debug)]
pub(crate) struct Disk {
    backend: Box<dyn StorageBackend>,
    /// The same file, where it can be written durably.
    durable: Option<Durable>,
    /// What is to be written to it at length.
    long_writes: Option<LongWrites>,
}

impl From<Box<dyn StorageBackend>> for Disk {
    fn from(backend: Box<dyn StorageBackend>) -> Self {
        Disk {
            backend,
            durable: None,
            long_writes: None,
        }
    }
}

#[cfg(feature = "test-backend")]
impl Disk {
    /// A disk for which more is gathered than for another, so that it is tested.
    pub(crate) fn gathering(backend: Box<dyn StorageBackend>) -> Self {
        Disk {
            long_writes: Some(LongWrites::through_backend()),
            ..Disk::from(backend)
        }
    }
}

/// What went through a medium. Kept over reopening.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    pub(crate) written: AtomicU64,
    /// How much of that went to the journal.
    pub(crate) journaled: AtomicU64,
    pub(crate) writes: AtomicU64,
    pub(crate) syncs: AtomicU64,
    /// The length of the file.
    pub(crate) len: AtomicU64,
    /// What was written and not synced since: offset and length.
    unsynced: Mutex<Vec<(u64, usize)>>,
}

impl Meter {
    /// Takes note of a write, behind it: a sync at the same time may not have met it.
    pub(crate) fn wrote(&self, at: u64, len: usize) {
        self.unsynced().push((at, len));
    }

    fn unsynced(&self) -> MutexGuard<'_, Vec<(u64, usize)>> {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file, open, and this process the only one that has it.
#[derive(Debug)]
pub(crate) struct Medium {
    backend: Box<dyn StorageBackend>,
    /// Nothing where a write and a sync have to do. Held for a write.
    durable: Mutex<Option<Durable>>,
    long_writes: Option<LongWrites>,
    leaves_processor: AtomicBool,
    meter: Arc<Meter>,
    /// Held for a sync; true once one has failed. The kernel tells of what it
    /// could not write once, and who syncs next would take it for written.
    has_failed: Mutex<bool>,
    head: Head,
}

impl Medium {
    /// Sees whose file it is, and makes it ours if it is empty, with so much
    /// room for its journal.
    pub(crate) fn open(
        path: &Path,
        disk: Disk,
        meter: Arc<Meter>,
        journal_bytes: usize,
    ) -> Result<Arc<Medium>, StoreError> {
        let Disk {
            backend,
            durable,
            long_writes,
        } = disk;
        let io_error = |source| StoreError::io(path, "open", source);
        // redb's locks are of the whole file or of nothing; ours comes before
        // anything is looked at.
        match backend.try_lock_range(Bound::Unbounded, Bound::Unbounded) {
            Ok(false) => return Err(StoreError::InUse(path.to_owned())),
            Ok(true) | Err(BackendError::Unsupported) => {}
            Err(BackendError::Io(error)) => return Err(io_error(error)),
            Err(error) => return Err(io_error(io::Error::other(format!("{error:?}")))),
        }
        write_again(&*backend, &meter).map_err(io_error)?;
        let len = backend.len().map_err(io_error)?;
        let mut pages = vec![0; len.min(JOURNAL_AT) as usize];
        read_what_can_be(&*backend, 0, &mut pages).map_err(io_error)?;
        let not_ours = |why| StoreError::NotAStore {
            path: path.to_owned(),
            why,
        };
        let head = match Head::find(&pages) {
            // There is nothing else in it yet.
            Found::Head(_) | Found::Nothing if len <= JOURNAL_AT => Head::new(journal_bytes),
            Found::Head(head) => head,
            Found::Nothing => return Err(not_ours("its head is damaged")),
            Found::Foreign(why) => return Err(not_ours(why)),
        };
        let medium = Medium {
            backend,
            durable: Mutex::new(durable),
            long_writes,
            leaves_processor: AtomicBool::new(false),
            meter,
            has_failed: Mutex::default(),
            head,
        };
        if len < head.tables_at {
            let is_begun = medium.is_zero(JOURNAL_AT, len).map_err(io_error)?;
            if !is_begun {
                return Err(damaged(path, "it ends before its tables begin"));
            }
            medium.begin(len).map_err(io_error)?;
        } else if medium.has_no_tables().map_err(io_error)? {
            if medium.has_records().map_err(io_error)? {
                return Err(damaged(path, "its tables are gone"));
            }
            medium.backend.set_len(head.tables_at).map_err(io_error)?;
        }
        Ok(Arc::new(medium))
    }

    /// Makes what comes before the tables: the head, and the journal in zeros,
    /// so that a record has its place on the disk before it is written, also
    /// when the disk is full.
    fn begin(&self, len: u64) -> io::Result<()> {
        if len <= JOURNAL_AT {
            self.write(0, &self.head.pages())?;
            self.sync()?;
        }
        // A little at a time: what is freed of a large piece stays with the
        // process. They are synced with redb's first page.
        let zeros = vec![0; SCAN_LEN];
        let mut at = JOURNAL_AT;
        while at < self.head.tables_at {
            let take = SCAN_LEN.min((self.head.tables_at - at) as usize);
            self.write(at, &zeros[..take])?;
            at += take as u64;
        }
        Ok(())
    }

    pub(crate) fn head(&self) -> Head {
        self.head
    }

    fn count(&self, at: u64, len: usize) {
        let len = len as u64;
        self.meter.writes.fetch_add(1, Ordering::Relaxed);
        self.meter.written.fetch_add(len, Ordering::Relaxed);
        if at < self.head.tables_at {
            self.meter.journaled.fetch_add(len, Ordering::Relaxed);
        }
    }

    pub(crate) fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.count(at, bytes.len());
        let written = self.backend.write(at, bytes);
        self.meter.wrote(at, bytes.len());
        written
    }

    /// Writes to the tables, at the latest with the next sync of theirs.
    fn write_table(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        if let Some(long_writes) = &self.long_writes
            && long_writes.take(&*self.backend, &self.meter, at, bytes)?
        {
            self.count(at, bytes.len());
            self.pause();
            return Ok(());
        }
        self.write(at, bytes)
    }

    fn read_table(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        if let Some(long_writes) = &self.long_writes {
            long_writes.give_way(&*self.backend, &self.meter, at, out.len())?;
        }
        self.backend.read(at, out)
    }

    fn write_gathered(&self) -> io::Result<()> {
        match &self.long_writes {
            Some(long_writes) => long_writes.write(&*self.backend, &self.meter),
            None => Ok(()),
        }
    }

    /// Leaves the processor to others from here on between the pieces of what is
    /// written to the tables, or not any more.
    pub(crate) fn leave_processor(&self, is_left: bool) {
        self.leaves_processor.store(is_left, Ordering::Relaxed);
    }

    /// A piece is done. There are dozens in a checkpoint, and who waits for the
    /// processor would wait for all of them where the system does not take it away.
    pub(crate) fn pause(&self) {
        if self.leaves_processor.load(Ordering::Relaxed) {
            thread::yield_now();
        }
    }

    /// Makes all durable that was written before.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let mut has_failed = self.failed();
        if *has_failed {
            return Err(io::Error::other("what was written before may be lost"));
        }
        self.meter.syncs.fetch_add(1, Ordering::Relaxed);
        let covered = std::mem::take(&mut *self.meter.unsynced());
        let synced = self.backend.sync_data();
        if synced.is_err() {
            *has_failed = true;
            self.meter.unsynced().extend(covered);
        }
        synced
    }

    fn failed(&self) -> MutexGuard<'_, bool> {
        self.has_failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes, and returns once that is durable. What is behind it in its last page
    /// may be zeros then.
    pub(crate) fn write_durably(&self, at: u64, bytes: &mut Paged) -> io::Result<()> {
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = &mut *durable else {
            self.write(at, bytes.bytes())?;
            return self.sync();
        };
        match file.write(at, bytes, |at, out| self.backend.read(at, out)) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                *durable = None;
                drop(durable);
                self.write_durably(at, bytes)
            }
            written => {
                self.count(at, bytes.len());
                self.meter.syncs.fetch_add(1, Ordering::Relaxed);
                if written.is_err() {
                    // No sync may come in between, and take it for covered.
                    let mut has_failed = self.failed();
                    *has_failed = true;
                    self.meter.wrote(at, bytes.len());
                }
                written
            }
        }
    }

    /// Whether redb's part is not there, or making it was cut short.
    fn has_no_tables(&self) -> io::Result<bool> {
        let begin = self.head.tables_at;
        let len = self.backend.len()?.saturating_sub(begin);
        if len > UNFINISHED_LEN_MAX {
            return Ok(false);
        }
        let mut name = [0; NAME.len()];
        let named = NAME.len().min(len as usize);
        self.backend.read(begin, &mut name[..named])?;
        // It may have been written in part.
        let is_begun = name
            .iter()
            .zip(NAME)
            .all(|(is, to_be)| *is == 0 || *is == to_be);
        let behind = begin + PAGE_LEN.min(len);
        Ok(is_begun && name != NAME && self.is_zero(behind, begin + len)?)
    }

    fn is_zero(&self, mut at: u64, end: u64) -> io::Result<bool> {
        let mut buffer = vec![0; SCAN_LEN];
        while at < end {
            let take = SCAN_LEN.min((end - at) as usize);
            self.backend.read(at, &mut buffer[..take])?;
            if buffer[..take].iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            at += take as u64;
        }
        Ok(true)
    }

    /// The journal, with zeros where it cannot be read.
    pub(crate) fn read_journal(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.head.journal_len()];
        read_what_can_be(&*self.backend, JOURNAL_AT, &mut bytes)?;
        Ok(bytes)
    }

    fn has_records(&self) -> io::Result<bool> {
        let bytes = self.read_journal()?;
        Ok(!scan(&bytes, self.head.id, 0).records.is_empty())
    }
}

fn damaged(path: &Path, what: &str) -> StoreError {
    StoreError::Damaged {
        path: path.to_owned(),
        doing: "open",
        what: what.to_owned(),
    }
}

/// Reads something, page by page if not as a whole: a page that the disk does
/// not give is damage like any other, and zeros here.
fn read_what_can_be(backend: &dyn StorageBackend, at: u64, out: &mut [u8]) -> io::Result<()> {
    let Err(error) = backend.read(at, out) else {
        return Ok(());
    };
    let mut is_any_read = false;
    for (number, page) in out.chunks_mut(PAGE_LEN as usize).enumerate() {
        match backend.read(at + number as u64 * PAGE_LEN, page) {
            Ok(()) => is_any_read = true,
            Err(_) => page.fill(0),
        }
    }
    match is_any_read {
        true => Ok(()),
        false => Err(error),
    }
}

/// Writes again what a sync that failed may have left in memory only.
///
/// Linux counts a page as written once it has reported that it could not
/// write it. Who opens the file then sees a commit that is not on the disk,
/// and the next sync that succeeds says nothing about it.
fn write_again(backend: &dyn StorageBackend, meter: &Meter) -> io::Result<()> {
    let ranges = std::mem::take(&mut *meter.unsynced());
    if ranges.is_empty() {
        return Ok(());
    }
    let len = backend.len()?;
    let mut result = Ok(());
    for (offset, length) in &ranges {
        if offset.saturating_add(*length as u64) > len || result.is_err() {
            continue;
        }
        let mut bytes = vec![0; *length];
        // Of what cannot be read there is nothing to be written: it is damage that
        // shows when it is needed.
        if backend.read(*offset, &mut bytes).is_err() {
            continue;
        }
        result = backend.write(*offset, &bytes);
        // What there is no room for was not written before either.
        if matches!(&result, Err(error) if is_full(error)) {
            result = Ok(());
        }
    }
    let result = result.and_then(|()| backend.sync_data());
    if result.is_err() {
        *meter.unsynced() = ranges;
    }
    result
}

/// redb's part of the file. It is locked with the whole of it.
#[derive(Debug)]
pub(crate) struct RedbPart(pub(crate) Arc<Medium>);

impl StorageBackend for RedbPart {
    fn len(&self) -> io::Result<u64> {
        let len = self.0.backend.len()?;
        self.0.meter.len.store(len, Ordering::Relaxed);
        Ok(len.saturating_sub(self.0.head.tables_at))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_table(self.0.head.tables_at + offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.write_gathered()?;
        let len = self.0.head.tables_at + len;
        self.0.backend.set_len(len)?;
        self.0.meter.len.store(len, Ordering::Relaxed);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.write_gathered()?;
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_table(self.0.head.tables_at + offset, data)
    }
}

/// Opens the file, or makes an empty one that is there after a power cut.
pub(crate) fn open_file(path: &Path) -> io::Result<Disk> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    let file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => create_file(path, &mut options)?,
        other => other?,
    };
    let durable = Durable::open(path, &file)?;
    let long_writes = LongWrites::open(path, &file)?;
    let backend = FileBackend::new(file).map_err(io::Error::other)?;
    Ok(Disk {
        backend: Box::new(backend),
        durable,
        long_writes,
    })
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
