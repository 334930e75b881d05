//! A file while it is made.
//!
//! Until it is complete it lies beside its place, called `.partial`: what has
//! the name can be used. Whoever makes one holds a lock on it, so of two that
//! are to have one name the second is refused, and what one that was ended has
//! left behind is in nobody's way.

use crate::error::StoreError;
use crate::medium::Opener;
use redb::{StorageBackend, backends::FileBackend};
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file that has not got its name yet. Dropped before that it is removed: it
/// is of no use.
#[derive(Debug)]
pub struct Partial {
    file: File,
    path: PathBuf,
    to: PathBuf,
    is_done: bool,
}

impl Partial {
    /// An empty file, for its owner alone.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if there is something where it is to be,
    /// [`StoreError::InUse`] if somebody else makes one for the same place, and
    /// [`StoreError::Io`].
    pub fn make(to: &Path) -> Result<Partial, StoreError> {
        Partial::refuse_if_there(to)?;
        let mut path = to.as_os_str().to_owned();
        path.push(".partial");
        let path = PathBuf::from(path);
        let failed = |error| StoreError::io(&path, "make", error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.mode(0o600).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse(path)),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // Whoever had the lock may have finished the file since it was opened,
        // or removed it.
        Partial::refuse_if_there(to)?;
        if !is_called(&file, &path).map_err(failed)? {
            return Err(StoreError::InUse(path));
        }
        file.set_len(0).map_err(failed)?;
        Ok(Partial {
            file,
            path,
            to: to.to_owned(),
            is_done: false,
        })
    }

    /// Nothing, unless something is there.
    ///
    /// # Errors
    /// [`StoreError::Exists`].
    pub fn refuse_if_there(to: &Path) -> Result<(), StoreError> {
        match to.symlink_metadata() {
            Ok(_) => Err(StoreError::Exists(to.to_owned())),
            Err(_) => Ok(()),
        }
    }

    /// What to write to.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// What it is called until it is complete.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How a store opens it.
    pub(crate) fn opener(&self) -> Result<Opener, StoreError> {
        let failed = |error| StoreError::io(&self.path, "make", error);
        let file = self.file.try_clone().map_err(failed)?;
        Ok(Arc::new(move || {
            let file = FileBackend::new(file.try_clone()?).map_err(io::Error::other)?;
            let held: Box<dyn StorageBackend> = Box::new(Held(file));
            Ok(held.into())
        }))
    }

    /// Gives it its name, for good.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if something has come to be there, and
    /// [`StoreError::Io`].
    pub fn finish(mut self) -> Result<(), StoreError> {
        let to = std::mem::take(&mut self.to);
        let failed = |error| StoreError::io(&to, "make", error);
        self.file.sync_all().map_err(failed)?;
        Partial::refuse_if_there(&to)?;
        std::fs::rename(&self.path, &to).map_err(failed)?;
        self.is_done = true;
        let directory = to.parent().filter(|path| !path.as_os_str().is_empty());
        let directory = File::open(directory.unwrap_or(Path::new("."))).map_err(failed)?;
        directory.sync_all().map_err(failed)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_done {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn is_called(file: &File, path: &Path) -> io::Result<bool> {
    let found = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        found => found?,
    };
    let file = file.metadata()?;
    Ok((file.dev(), file.ino()) == (found.dev(), found.ino()))
}

/// The file of a store that takes no lock and lets none go: there is one on it
/// for longer than the store is open.
#[derive(Debug)]
struct Held(FileBackend);

impl StorageBackend for Held {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}
