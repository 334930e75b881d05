//! Making a store of a backup.
//!
//! The whole backup is looked at before anything is made, and again while it
//! is copied. The store is made beside the place where it is to be, and gets
//! its name when it is complete: what has that name can be served.

use crate::backup_look::{BackupError, BackupLook, Entry};
use crate::error::StoreError;
use crate::layout::{BLOCKS, Key, ROWS};
use crate::maintenance::Told;
use crate::partial::Partial;
use crate::recovery::{COPIED_AT_ONCE, insert};
use crate::store::Store;
use crate::verify::VerifyReport;
use midge_engine::RowSink;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Bytes of a backup that are read at a time.
const READ_LEN: usize = 256 << 10;

/// Why a backup was not restored.
#[derive(Debug)]
pub enum RestoreError {
    /// The backup cannot be read.
    Read(PathBuf, io::Error),
    /// It is none that could be restored.
    Backup(PathBuf, BackupError),
    /// The store could not be made.
    Store(StoreError),
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestoreError::Read(path, error) => {
                write!(f, "cannot read {}: {error}", path.display())
            }
            RestoreError::Backup(path, error) => write!(f, "{}: {error}", path.display()),
            RestoreError::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RestoreError {}

impl From<StoreError> for RestoreError {
    fn from(error: StoreError) -> Self {
        RestoreError::Store(error)
    }
}

/// What is in a backup.
#[derive(Debug)]
pub struct Restored {
    /// What is in it, and what of that is damaged.
    pub report: VerifyReport,
    /// When it was made, in ns since 1970 UTC.
    pub taken: u64,
}

/// Looks at all of a backup and, if a place is given, makes a store there.
/// Rows go to the sink, which may know more about them. What was damaged in
/// the store that the backup was made of is so in the new one as well.
///
/// # Errors
/// [`RestoreError`]; there is no store then.
pub fn restore(
    from: &Path,
    to: Option<&Path>,
    sink: &mut dyn RowSink,
    told: Told<'_>,
) -> Result<Restored, RestoreError> {
    to.map_or(Ok(()), Partial::refuse_if_there)?;
    // Half of the work, if there are two.
    let halves = 1 + u64::from(to.is_some());
    let mut look = BackupLook::default();
    read(from, &mut |bytes, done, of| {
        told(done, of * halves);
        let looked = look.look(bytes, sink);
        looked.map_err(|error| RestoreError::Backup(from.to_owned(), error))
    })?;
    let taken = look.taken();
    let report = look
        .finish()
        .map_err(|error| RestoreError::Backup(from.to_owned(), error))?;
    if let Some(to) = to {
        let partial = Partial::make(to)?;
        make(from, &partial, told)?;
        partial.finish()?;
    }
    Ok(Restored { report, taken })
}

/// Is given a piece of a backup, and how much of how much that makes.
type Each<'a> = &'a mut dyn FnMut(&[u8], u64, u64) -> Result<(), RestoreError>;

/// Reads a file piece by piece.
fn read(path: &Path, each: Each<'_>) -> Result<(), RestoreError> {
    let failed = |error| RestoreError::Read(path.to_owned(), error);
    let mut file = File::open(path).map_err(failed)?;
    let of = file.metadata().map_err(failed)?.len();
    let mut buffer = vec![0; READ_LEN];
    let mut done = 0;
    loop {
        let len = match file.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(failed)?,
        };
        if len == 0 {
            return Ok(());
        }
        done += len as u64;
        each(&buffer[..len], done, of)?;
    }
}

fn make(from: &Path, partial: &Partial, told: Told<'_>) -> Result<(), RestoreError> {
    let store = Store::open_partial(partial)?;
    let damaged = |error| RestoreError::Backup(from.to_owned(), error);
    let mut look = BackupLook::default();
    let mut gathered = Gathered::default();
    read(from, &mut |bytes, done, of| {
        told(of + done, of * 2);
        look.each(bytes, &mut |entry| gathered.take(entry))
            .map_err(damaged)?;
        if gathered.len >= COPIED_AT_ONCE {
            gathered.write(&store)?;
        }
        Ok(())
    })?;
    gathered.write(&store)?;
    look.finish().map_err(damaged)?;
    store.close()?;
    Ok(())
}

/// What goes into the tables next.
#[derive(Default)]
struct Gathered {
    rows: Vec<(Key, Vec<u8>)>,
    parts: Vec<(Key, Vec<u8>)>,
    len: usize,
}

impl Gathered {
    fn take(&mut self, entry: Entry<'_>) {
        match entry {
            Entry::Row(key, stored) => {
                self.len += stored.len();
                self.rows.push((*key, stored.to_vec()));
            }
            Entry::Part(key, stored) => {
                self.len += stored.len();
                self.parts.push((*key, stored.to_vec()));
            }
        }
    }

    fn write(&mut self, store: &Store) -> Result<(), StoreError> {
        self.len = 0;
        insert(store, ROWS, std::mem::take(&mut self.rows))?;
        insert(store, BLOCKS, std::mem::take(&mut self.parts))
    }
}
