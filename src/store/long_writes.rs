//! Long writes to the tables, gathered until a sync and made past the page cache.
//!
//! redb writes the blocks of a checkpoint one by one, in no order, and syncs. Left
//! to the page cache, all of them would go to the disk in that one moment, and a
//! batch that comes to the journal meanwhile would wait behind megabytes. Sorted
//! they are a few long writes, each of which waits for the one before: so a batch
//! waits for one of them at most, and the processor has half as much to do.
//!
//! What is short, an inner node for example, is left to the page cache, which
//! makes one write of many. So is everything where the system or the file system
//! has no other way.

use crate::durable::before_page;
#[cfg(target_os = "linux")]
use crate::durable::open_direct;
use crate::medium::{Meter, PAGE_LEN};
use redb::StorageBackend;
use std::fmt;
use std::fs::File;
use std::io;
#[cfg(target_os = "linux")]
use std::io::IoSlice;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The shortest write that is worth it.
const LEN_MIN: usize = 32 << 10;

/// The most that is gathered; what comes behind it has those before written first.
/// The memory stays, so it is less than a whole checkpoint: of most of one the
/// pieces that follow on each other are found as well.
const ROOM_LEN: usize = 2 << 20;

/// What is written at once. With half of that there are twice as many waits, with
/// twice as much a batch waits longer.
const WRITE_LEN_MAX: u64 = 512 << 10;

const PAGE: usize = PAGE_LEN as usize;

/// What is to be written to a file.
pub(crate) struct LongWrites {
    /// Nothing if it goes through the backend after all.
    file: Option<File>,
    len_min: usize,
    /// Held while something is taken or written, and taken before the pieces. Who
    /// reads the tables may be made to write pages as well, if redb's cache is full
    /// of them: beside a checkpoint, which may be writing what was gathered.
    gate: Mutex<()>,
    pieces: RwLock<Pieces>,
}

/// What was gathered; who reads looks whether it is among that.
#[derive(Default)]
struct Pieces {
    /// Longer by a page than what it has to hold, which begins at an address that
    /// is a multiple of one. Nothing before the first write.
    room: Vec<u8>,
    used: usize,
    /// In the order of the file.
    pieces: Vec<Piece>,
}

/// Bytes of the room, and where in the file they belong.
#[derive(Clone, Copy)]
struct Piece {
    at: u64,
    from: usize,
    len: usize,
}

impl fmt::Debug for LongWrites {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LongWrites").finish_non_exhaustive()
    }
}

impl LongWrites {
    /// For the file given, which is opened once more. Nothing if the path has come
    /// to name another, or where there is no such way to write.
    #[cfg(target_os = "linux")]
    pub(crate) fn open(path: &Path, file: &File) -> io::Result<Option<LongWrites>> {
        let direct = open_direct(path, file, rustix::fs::OFlags::empty())?;
        Ok(direct.map(|file| LongWrites {
            file: Some(file),
            len_min: LEN_MIN,
            gate: Mutex::default(),
            pieces: RwLock::default(),
        }))
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn open(_: &Path, _: &File) -> io::Result<Option<LongWrites>> {
        Ok(None)
    }

    /// For a test's disk: two pages are gathered as well, and all goes through the
    /// backend.
    #[cfg(feature = "test-backend")]
    pub(crate) fn through_backend() -> LongWrites {
        LongWrites {
            file: None,
            len_min: 2 * PAGE,
            gate: Mutex::default(),
            pieces: RwLock::default(),
        }
    }

    fn gate(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pieces(&self) -> RwLockReadGuard<'_, Pieces> {
        self.pieces.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn pieces_mut(&self) -> RwLockWriteGuard<'_, Pieces> {
        self.pieces.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a write, if it is one to be gathered. What was gathered before is
    /// written if there is no room, or if this is newer than some of it.
    pub(crate) fn take(
        &self,
        backend: &dyn StorageBackend,
        meter: &Meter,
        at: u64,
        bytes: &[u8],
    ) -> io::Result<bool> {
        let is_whole = at.is_multiple_of(PAGE_LEN) && bytes.len().is_multiple_of(PAGE);
        let is_for_us = is_whole && (self.len_min..=ROOM_LEN).contains(&bytes.len());
        let _gate = self.gate();
        let pieces = self.pieces();
        let has_room = !is_for_us || pieces.used + bytes.len() <= ROOM_LEN;
        let is_newer = pieces.touching(at, bytes.len()).next().is_some();
        drop(pieces);
        if is_newer || !has_room {
            self.write_all(backend, meter)?;
        }
        if is_for_us {
            self.pieces_mut().add(at, bytes);
        }
        Ok(is_for_us)
    }

    /// Sees that these bytes can be read from the file.
    pub(crate) fn give_way(
        &self,
        backend: &dyn StorageBackend,
        meter: &Meter,
        at: u64,
        len: usize,
    ) -> io::Result<()> {
        // Let go of here: writing takes it as well.
        let is_here = self.pieces().touching(at, len).next().is_some();
        match is_here {
            true => self.write(backend, meter),
            false => Ok(()),
        }
    }

    /// Writes what was gathered.
    pub(crate) fn write(&self, backend: &dyn StorageBackend, meter: &Meter) -> io::Result<()> {
        let _gate = self.gate();
        self.write_all(backend, meter)
    }

    /// The same for who has the gate.
    fn write_all(&self, backend: &dyn StorageBackend, meter: &Meter) -> io::Result<()> {
        let pieces = self.pieces();
        let mut left = &pieces.pieces[..];
        while !left.is_empty() {
            let (run, others) = left.split_at(run_of(left));
            // What cannot be written in this way is written in the other, which
            // tells what is wrong if that cannot be either.
            let direct = self.file.as_ref();
            let written = direct.map_or(0, |file| write_direct(file, &pieces.room, run));
            let written = pieces.write_rest(backend, run, written);
            for piece in run {
                meter.wrote(piece.at, piece.len);
            }
            written?;
            left = others;
        }
        drop(pieces);
        let mut pieces = self.pieces_mut();
        pieces.pieces.clear();
        pieces.used = 0;
        Ok(())
    }
}

impl Piece {
    fn end(&self) -> u64 {
        self.at + self.len as u64
    }
}

impl Pieces {
    fn touching(&self, at: u64, len: usize) -> impl Iterator<Item = &Piece> {
        let end = at + len as u64;
        let pieces = self.pieces.iter();
        pieces.filter(move |piece| piece.at < end && at < piece.end())
    }

    fn add(&mut self, at: u64, bytes: &[u8]) {
        if self.room.is_empty() {
            self.room = vec![0; ROOM_LEN + PAGE];
        }
        let (from, len) = (before_page(&self.room) + self.used, bytes.len());
        self.room[from..from + len].copy_from_slice(bytes);
        self.used += len;
        let place = self.pieces.partition_point(|piece| piece.at < at);
        self.pieces.insert(place, Piece { at, from, len });
    }

    /// Writes what is behind so many bytes of a run through the page cache.
    fn write_rest(
        &self,
        backend: &dyn StorageBackend,
        run: &[Piece],
        mut written: usize,
    ) -> io::Result<()> {
        for piece in run {
            let skip = written.min(piece.len);
            written -= skip;
            if skip < piece.len {
                let rest = &self.room[piece.from + skip..piece.from + piece.len];
                backend.write(piece.at + skip as u64, rest)?;
            }
        }
        Ok(())
    }
}

/// How many of these pieces follow on each other and make one write.
fn run_of(pieces: &[Piece]) -> usize {
    let len_with = |last: &Piece| last.end() - pieces[0].at;
    let pairs = pieces.windows(2);
    let following =
        pairs.take_while(|pair| pair[0].end() == pair[1].at && len_with(&pair[1]) <= WRITE_LEN_MAX);
    1 + following.count()
}

/// Writes a run past the page cache, as much of it as can be, and tells how much.
#[cfg(target_os = "linux")]
fn write_direct(file: &File, room: &[u8], run: &[Piece]) -> usize {
    let slices: Vec<IoSlice<'_>> = run
        .iter()
        .map(|piece| IoSlice::new(&room[piece.from..piece.from + piece.len]))
        .collect();
    rustix::io::pwritev(file, &slices, run[0].at).unwrap_or(0)
}

#[cfg(not(target_os = "linux"))]
fn write_direct(_: &File, _: &[u8], _: &[Piece]) -> usize {
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use redb::backends::FileBackend;
    use std::fs::OpenOptions;
    use std::sync::atomic::{AtomicBool, Ordering};

    const LEN: usize = 3 << 20;

    /// Numbers that look random, the same each time.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, bound: usize) -> usize {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1);
            (self.0 >> 33) as usize % bound
        }
    }

    fn is_as_if_written_at_once(path: &Path, open: impl Fn(&File) -> Option<LongWrites>) {
        let mut wanted = vec![1; LEN];
        std::fs::write(path, &wanted).unwrap();
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file = file.unwrap();
        let Some(gathered) = open(&file) else {
            return;
        };
        let backend = FileBackend::new(file).unwrap();
        let (meter, mut dice) = (Meter::default(), Dice(7));
        for round in 0..600 {
            let pages = 1 + dice.below(40);
            let mut at = PAGE * dice.below(LEN / PAGE - pages);
            let mut len = PAGE * pages;
            if round % 5 == 0 {
                // Not what is gathered.
                (at, len) = (at + 3, 100);
            }
            let bytes = vec![round as u8; len];
            if !gathered.take(&backend, &meter, at as u64, &bytes).unwrap() {
                backend.write(at as u64, &bytes).unwrap();
            }
            wanted[at..at + len].fill(round as u8);
            let (at, len) = (dice.below(LEN - 200_000), dice.below(200_000));
            let mut seen = vec![0; len];
            gathered.give_way(&backend, &meter, at as u64, len).unwrap();
            backend.read(at as u64, &mut seen).unwrap();
            assert!(seen == wanted[at..at + len], "round {round}");
            if dice.below(50) == 0 {
                gathered.write(&backend, &meter).unwrap();
                assert!(std::fs::read(path).unwrap() == wanted, "round {round}");
            }
        }
        gathered.write(&backend, &meter).unwrap();
        assert!(std::fs::read(path).unwrap() == wanted);
    }

    #[test]
    fn what_is_gathered_is_read_and_comes_into_the_file() {
        let path = std::env::temp_dir().join(format!("midge-long-writes-{}", std::process::id()));
        is_as_if_written_at_once(&path, |file| LongWrites::open(&path, file).unwrap());
        // As where the file system does not write in this way after all: the file
        // can only be read.
        is_as_if_written_at_once(&path, |_| {
            Some(LongWrites {
                file: Some(File::open(&path).unwrap()),
                len_min: LEN_MIN,
                gate: Mutex::default(),
                pieces: RwLock::default(),
            })
        });
        is_as_if_written_at_once(&path, |_| Some(LongWrites::through_backend()));
        std::fs::remove_file(&path).unwrap();
    }

    /// redb has who reads write pages, too, and believes them written.
    #[test]
    fn what_comes_while_others_are_written_is_not_forgotten_with_them() {
        const COUNT: usize = 20_000;
        let path = std::env::temp_dir().join(format!("midge-beside-{}", std::process::id()));
        let len = 2 * PAGE;
        std::fs::write(&path, vec![0; 64 * len]).unwrap();
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let backend = FileBackend::new(file.unwrap()).unwrap();
        let (gathered, meter) = (LongWrites::through_backend(), Meter::default());
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    gathered.write(&backend, &meter).unwrap();
                }
            });
            for number in 0..COUNT {
                let at = (number % 64 * len) as u64;
                let bytes = vec![number as u8; len];
                assert!(gathered.take(&backend, &meter, at, &bytes).unwrap());
                let mut seen = vec![0; len];
                gathered.give_way(&backend, &meter, at, len).unwrap();
                backend.read(at, &mut seen).unwrap();
                if seen != bytes {
                    is_over.store(true, Ordering::Relaxed);
                    panic!("number {number} is lost");
                }
            }
            is_over.store(true, Ordering::Relaxed);
        });
        std::fs::remove_file(&path).unwrap();
    }
}
