//! A file that is only looked at, and never written.
//!
//! redb opens no file without writing to it, and what the journal holds has to
//! come into the tables before it can be read there. Here all that is kept in
//! memory, beside the file: so a damaged one stays what it was for whoever looks
//! next, and one on a full disk or on a disk that is read only can be looked at.

use crate::medium::Disk;
use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

const PAGE_LEN: usize = 4096;

/// Bytes that are kept beside a file: the largest journal, and as much for what
/// the tables are changed by for it.
const KEPT_BYTES_MAX: usize = 256 << 20;

/// The file, and what would be written to it.
#[derive(Debug)]
pub(crate) struct Aside {
    file: FileBackend,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    pages: BTreeMap<u64, Box<[u8]>>,
    /// As far as the file counts: less once it would have been made shorter.
    file_len: u64,
    len: u64,
}

/// Opens a file that is there, to look at it.
pub(crate) fn look_at(path: &Path) -> io::Result<Disk> {
    let aside: Box<dyn StorageBackend> = Box::new(Aside::open(path)?);
    Ok(Disk::from(aside))
}

impl Aside {
    fn open(path: &Path) -> io::Result<Aside> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Aside {
            file: FileBackend::new(file).map_err(io::Error::other)?,
            kept: Mutex::new(Kept {
                pages: BTreeMap::new(),
                file_len: len,
                len,
            }),
        })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the file has there, and zeros behind it.
    fn read_file(&self, file_len: u64, at: u64, out: &mut [u8]) -> io::Result<()> {
        let there = file_len.saturating_sub(at).min(out.len() as u64) as usize;
        let (there, behind) = out.split_at_mut(there);
        behind.fill(0);
        match there.is_empty() {
            true => Ok(()),
            false => self.file.read(at, there),
        }
    }
}

/// The pages that a range touches: of each its number, where in it the range
/// begins, and where in the range that is.
fn pages(at: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let place = at + done as u64;
        let within = (place % PAGE_LEN as u64) as usize;
        let take = (PAGE_LEN - within).min(len - done);
        let begin = done;
        done += take;
        (take > 0).then_some((place / PAGE_LEN as u64, within, begin, take))
    })
}

impl StorageBackend for Aside {
    fn len(&self) -> io::Result<u64> {
        Ok(self.kept().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let kept = self.kept();
        if kept.len < offset.saturating_add(out.len() as u64) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read_file(kept.file_len, offset, out)?;
        for (page, within, begin, take) in pages(offset, out.len()) {
            if let Some(bytes) = kept.pages.get(&page) {
                out[begin..begin + take].copy_from_slice(&bytes[within..within + take]);
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut kept = self.kept();
        // What is cut off is zeros if it comes back.
        drop(kept.pages.split_off(&len.div_ceil(PAGE_LEN as u64)));
        if let Some(last) = kept.pages.get_mut(&(len / PAGE_LEN as u64)) {
            last[(len % PAGE_LEN as u64) as usize..].fill(0);
        }
        kept.file_len = kept.file_len.min(len);
        kept.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut kept = self.kept();
        for (page, within, begin, take) in pages(offset, data.len()) {
            if !kept.pages.contains_key(&page) {
                if kept.pages.len() * PAGE_LEN >= KEPT_BYTES_MAX {
                    let why = "looking at it takes more memory than there may be";
                    return Err(io::Error::other(why));
                }
                let mut bytes = vec![0; PAGE_LEN];
                self.read_file(kept.file_len, page * PAGE_LEN as u64, &mut bytes)?;
                kept.pages.insert(page, bytes.into());
            }
            if let Some(bytes) = kept.pages.get_mut(&page) {
                bytes[within..within + take].copy_from_slice(&data[begin..begin + take]);
            }
        }
        kept.len = kept.len.max(offset + data.len() as u64);
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        // Others may look as well; who writes has it alone.
        self.file.try_lock_shared_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_the_file_stays() {
        let name = format!("midge-aside-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let content: Vec<u8> = (0..10_000u32).map(|n| n as u8).collect();
        std::fs::write(&path, &content).expect("writes");
        let aside = Aside::open(&path).expect("opens");
        let mut wanted = content.clone();
        let write = |wanted: &mut Vec<u8>, at: usize, len: usize| {
            aside.write(at as u64, &vec![0xee; len]).expect("kept");
            wanted.resize(wanted.len().max(at + len), 0);
            wanted[at..at + len].fill(0xee);
        };
        let resize = |wanted: &mut Vec<u8>, len: usize| {
            aside.set_len(len as u64).expect("kept");
            wanted.resize(len, 0);
        };
        let check = |wanted: &[u8]| {
            assert_eq!(aside.len().ok(), Some(wanted.len() as u64));
            let mut read = vec![1; wanted.len()];
            aside.read(0, &mut read).expect("reads");
            assert!(read == wanted);
            let mut beyond = vec![0; wanted.len() + 1];
            assert!(aside.read(0, &mut beyond).is_err());
        };
        check(&wanted);
        for (at, len) in [(0, 1), (4095, 2), (8000, 5000), (4096, 4096), (20_000, 0)] {
            write(&mut wanted, at, len);
            check(&wanted);
        }
        for len in [30_000, 12_500, 12_288, 9_000, 9_500, 100, 16_384] {
            resize(&mut wanted, len);
            check(&wanted);
        }
        assert_eq!(std::fs::read(&path).expect("reads"), content);
        std::fs::remove_file(&path).expect("is removed");
    }
}
