//! Writes that are durable when they return.
//!
//! A sync waits for all that was written to the file, so also for what a
//! checkpoint is writing elsewhere in it; here a write waits for itself alone.
//! Where the file system can, it goes past the page cache, which nobody reads the
//! journal from: that spares half of what the processor has to do for it.
//!
//! For that, pages are written as a whole. What is behind the bytes in their last
//! page becomes zeros, so it must not be needed any more.

use crate::medium::PAGE_LEN;
#[cfg(target_os = "linux")]
use rustix::fs::OFlags;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What is kept of the memory after a long write.
const MEMORY_LEN_KEPT: usize = 256 << 10;

const PAGE: usize = PAGE_LEN as usize;

/// A file that is written in this way.
pub(crate) struct Durable {
    file: File,
    /// How the page cache is passed by, if it is.
    direct: Option<Direct>,
}

/// What a write of whole pages needs.
#[derive(Default)]
struct Direct {
    /// Where the last write ended, and what its last page holds up to there.
    end: u64,
    page: Vec<u8>,
}

/// Bytes to be written, which lie in their first page as they are to in the file's:
/// so they can go past the page cache from where they are.
pub(crate) struct Paged {
    /// They end it.
    memory: Vec<u8>,
    from: usize,
}

impl Paged {
    /// About so many bytes for this place. The memory is used, and can be had back.
    pub(crate) fn new(mut memory: Vec<u8>, at: u64, len: usize) -> Paged {
        memory.clear();
        // To the beginning of a page, in that up to the bytes, and to the end of
        // their last.
        memory.reserve(len + 3 * PAGE);
        let from = before_page(&memory) + in_page(at);
        put_zeros(&mut memory, from);
        Paged { memory, from }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.memory[self.from..]
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.from..]
    }

    pub(crate) fn len(&self) -> usize {
        self.memory.len() - self.from
    }

    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.memory.extend_from_slice(bytes);
    }

    /// Zeros up to this length, if it is shorter.
    pub(crate) fn extend_to(&mut self, len: usize) {
        let missing = len.saturating_sub(self.len());
        put_zeros(&mut self.memory, missing);
    }

    /// No more than so many bytes.
    fn cut(&mut self, len: usize) {
        self.memory.truncate(self.from + len);
    }

    /// The memory, to be used again.
    pub(crate) fn into_memory(mut self) -> Vec<u8> {
        self.memory.clear();
        self.memory.shrink_to(MEMORY_LEN_KEPT);
        self.memory
    }

    /// Whether the memory is still what it was made for: it may have had to grow,
    /// and another place have been found.
    fn is_for(&self, at: u64) -> bool {
        let Some(begin) = self.from.checked_sub(in_page(at)) else {
            return false;
        };
        let len = (in_page(at) + self.len()).next_multiple_of(PAGE);
        let address = self.memory.as_ptr().addr() + begin;
        address.is_multiple_of(PAGE) && begin + len <= self.memory.capacity()
    }

    /// Whole pages: `before` is what the first one begins with, and zeros are what
    /// the last one ends with.
    fn pages(&mut self, before: &[u8]) -> &[u8] {
        let begin = self.from - before.len();
        self.memory[begin..self.from].copy_from_slice(before);
        let len = (self.memory.len() - begin).next_multiple_of(PAGE);
        let missing = begin + len - self.memory.len();
        put_zeros(&mut self.memory, missing);
        &self.memory[begin..]
    }
}

impl fmt::Debug for Durable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Durable").finish_non_exhaustive()
    }
}

impl Durable {
    /// The same file as the one given, opened once more; so it is told of errors
    /// by itself. Nothing if the path has come to name another, or where such a
    /// write may promise less than a sync.
    #[cfg(target_os = "linux")]
    pub(crate) fn open(path: &Path, file: &File) -> io::Result<Option<Durable>> {
        let (again, direct) = match open_direct(path, file, OFlags::DSYNC)? {
            Some(again) => (Some(again), Some(Direct::default())),
            None => (open_again(path, file, OFlags::DSYNC)?, None),
        };
        Ok(again.map(|file| Durable { file, direct }))
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn open(_: &Path, _: &File) -> io::Result<Option<Durable>> {
        Ok(None)
    }

    /// Writes bytes. `read` reads what the file holds, which is asked for the
    /// beginning of a page that was not written last.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] if the file system does not write in this
    /// way after all, in which case another will do.
    pub(crate) fn write(
        &mut self,
        at: u64,
        bytes: &mut Paged,
        read: impl FnOnce(u64, &mut [u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let Some(direct) = &mut self.direct else {
            return self.file.write_all_at(bytes.bytes(), at);
        };
        let begin = at - in_page(at) as u64;
        // Should something fail, it is not known what the page holds.
        if std::mem::take(&mut direct.end) != at {
            direct.page.resize(in_page(at), 0);
            read(begin, &mut direct.page)?;
        }
        if !bytes.is_for(at) {
            let mut moved = Paged::new(Vec::new(), at, bytes.len());
            moved.extend(bytes.bytes());
            *bytes = moved;
        }
        let len = bytes.len();
        let end = in_page(at) + len;
        let pages = bytes.pages(&direct.page);
        let written = self.file.write_all_at(pages, begin);
        if written.is_ok() {
            direct.page.clear();
            direct.page.extend_from_slice(&pages[end - end % PAGE..end]);
            direct.end = at + len as u64;
        }
        bytes.cut(len);
        written
    }
}

/// A file opened once more to write to it past the page cache. Nothing if the path
/// has come to name another, or where that cannot be.
#[cfg(target_os = "linux")]
pub(crate) fn open_direct(path: &Path, file: &File, flags: OFlags) -> io::Result<Option<File>> {
    // In a larger page of the cache would lie what is written in both ways.
    if rustix::param::page_size() > PAGE {
        return Ok(None);
    }
    match open_again(path, file, flags | OFlags::DIRECT) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(None),
        opened => opened,
    }
}

#[cfg(target_os = "linux")]
fn open_again(path: &Path, file: &File, flags: OFlags) -> io::Result<Option<File>> {
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(flags.bits() as i32);
    let again = options.open(path)?;
    let (here, there) = (file.metadata()?, again.metadata()?);
    let is_same = (here.dev(), here.ino()) == (there.dev(), there.ino());
    Ok(is_same.then_some(again))
}

/// How far into its page a place in a file is.
fn in_page(at: u64) -> usize {
    (at % PAGE_LEN) as usize
}

/// Puts zeros behind what is there. What `resize` makes of itself here, where the
/// program is to be small, goes byte by byte: a hundredth of what storing takes.
fn put_zeros(memory: &mut Vec<u8>, mut len: usize) {
    let page = [0; PAGE];
    while len > 0 {
        let part = len.min(PAGE);
        memory.extend_from_slice(&page[..part]);
        len -= part;
    }
}

/// How many bytes of a buffer come before an address that is a multiple of a page.
pub(crate) fn before_page(buffer: &[u8]) -> usize {
    buffer.as_ptr().addr().wrapping_neg() % PAGE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_lies_behind_what_was_there() {
        let path = std::env::temp_dir().join(format!("midge-durable-{}", std::process::id()));
        let mut wanted = vec![7; 20 * PAGE];
        std::fs::write(&path, &wanted).unwrap();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        let mut at = 2 * PAGE;
        let mut memory = Vec::new();
        // Each opened anew has to see what the one before has written.
        for lens in [
            [4 * PAGE, 4000, 60],
            [PAGE, 9000, 8],
            [3 * PAGE + 1, 100, 7],
        ] {
            let Some(mut durable) = Durable::open(&path, &file).unwrap() else {
                return;
            };
            let is_direct = durable.direct.is_some();
            for (number, len) in lens.into_iter().enumerate() {
                let bytes = vec![len as u8 | 1; len];
                let read = |at, out: &mut [u8]| file.read_exact_at(out, at);
                // The first has to grow, the second was meant for another place, the
                // third goes on in the page where that has ended.
                let (place, room) = [(at, 0), (at + 8, len), (at, len)][number];
                let mut paged = Paged::new(memory, place as u64, room);
                paged.extend(&bytes);
                durable.write(at as u64, &mut paged, read).unwrap();
                memory = paged.into_memory();
                wanted[at..at + len].copy_from_slice(&bytes);
                at += len;
                if is_direct {
                    wanted[at..at.next_multiple_of(PAGE)].fill(0);
                }
                assert!(std::fs::read(&path).unwrap() == wanted, "{len} up to {at}");
            }
        }
        std::fs::remove_file(&path).unwrap();
    }
}
