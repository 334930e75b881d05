//! A disk for tests, in memory: its power can be cut at any operation, it can
//! fail, fill up, and flip bits. There are two files on it, a store's and its
//! journal; their operations are counted together.
//!
//! What was written and not synced when the power goes may have reached the
//! platter or not, whole or torn, in any order, of each file on its own; the
//! seed decides. A disk
//! outlives the store that is open on it, as a real one would.

use redb::StorageBackend;
use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a disk writes as a whole. redb asks for less: single bytes.
const SECTOR_LEN: usize = 512;
/// What a file system gives a file at a time.
const PAGE_LEN: u64 = 4096;

/// The disk. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct FaultDisk {
    state: Arc<Mutex<State>>,
}

/// Which of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Which {
    Store,
    Journal,
}

/// A file on the disk.
#[derive(Default)]
struct Platter {
    /// What is on it for certain.
    durable: Vec<u8>,
    /// What reads see.
    image: Vec<u8>,
    pending: Vec<Change>,
    is_open: bool,
}

struct State {
    store: Platter,
    journal: Platter,
    random: u64,
    operations: u64,
    cut_at: Option<u64>,
    fail_from: Option<u64>,
    fail_to: u64,
    fail_with: io::ErrorKind,
    capacity: Option<u64>,
    /// Pages that the files have room for.
    pages: BTreeSet<(Which, u64)>,
    /// The most there have been.
    peak: u64,
    is_off: bool,
}

enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("len", &self.store.image.len())
            .field("operations", &self.operations)
            .finish_non_exhaustive()
    }
}

impl FaultDisk {
    /// An empty disk.
    pub fn new(seed: u64) -> Self {
        let state = State {
            store: Platter::default(),
            journal: Platter::default(),
            random: seed | 1,
            operations: 0,
            cut_at: None,
            fail_from: None,
            fail_to: 0,
            fail_with: io::ErrorKind::Other,
            capacity: None,
            pages: BTreeSet::new(),
            peak: 0,
            is_off: false,
        };
        FaultDisk {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// A disk that holds this store and this journal, which there is none of
    /// if it is empty.
    pub fn holding(seed: u64, store: Vec<u8>, journal: Vec<u8>) -> Self {
        let disk = FaultDisk::new(seed);
        let mut state = disk.state();
        state.store.durable.clone_from(&store);
        state.store.image = store;
        state.journal.durable.clone_from(&journal);
        state.journal.image = journal;
        drop(state);
        disk
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What [`crate::Store::open_with_backend`] takes.
    pub fn opener(
        &self,
    ) -> impl Fn() -> io::Result<Box<dyn StorageBackend>> + Send + Sync + 'static {
        let disk = self.clone();
        move || disk.open(Which::Store)
    }

    /// What it takes for the journal, which is there once it has a byte.
    pub fn journal_opener(
        &self,
    ) -> impl Fn(bool) -> io::Result<Option<Box<dyn StorageBackend>>> + Send + Sync + 'static {
        let disk = self.clone();
        move |make| {
            if !make && disk.journal().is_empty() {
                return Ok(None);
            }
            disk.open(Which::Journal).map(Some)
        }
    }

    fn open(&self, which: Which) -> io::Result<Box<dyn StorageBackend>> {
        let mut state = self.state();
        let file = state.file(which);
        if std::mem::replace(&mut file.is_open, true) {
            return Err(io::Error::other("this file is open already"));
        }
        Ok(Box::new(Backend(self.clone(), which)))
    }

    /// Writes, syncs and changes of length so far.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// The power goes at this operation: it and all later ones fail, reads as
    /// well.
    pub fn cut_at(&self, operation: u64) {
        self.state().cut_at = Some(operation);
    }

    /// These operations fail.
    pub fn fail(&self, operations: std::ops::Range<u64>, with: io::ErrorKind) {
        let mut state = self.state();
        state.fail_from = Some(operations.start);
        state.fail_to = operations.end;
        state.fail_with = with;
    }

    /// The disk has room for this many bytes. Like most file systems it makes
    /// room for a page when that is first written, whatever the length.
    pub fn set_capacity(&self, bytes: u64) {
        self.state().capacity = Some(bytes);
    }

    /// Nothing fails from here on.
    pub fn heal(&self) {
        let mut state = self.state();
        state.capacity = None;
        state.fail_from = None;
    }

    /// The most room that the file has taken, in bytes.
    pub fn peak(&self) -> u64 {
        self.state().peak * PAGE_LEN
    }

    /// What reads of the store see.
    pub fn image(&self) -> Vec<u8> {
        self.state().store.image.clone()
    }

    /// What reads of its journal see.
    pub fn journal(&self) -> Vec<u8> {
        self.state().journal.image.clone()
    }

    /// The power comes back. Of what was not synced, what reached the platter
    /// is chosen by the seed.
    pub fn power_on(&self) {
        let mut guard = self.state();
        let state = &mut *guard;
        for file in [&mut state.store, &mut state.journal] {
            file.power_on(&mut state.random);
        }
        state.is_off = false;
        state.cut_at = None;
    }
}

impl Platter {
    fn power_on(&mut self, random: &mut u64) {
        let pending = std::mem::take(&mut self.pending);
        let image = &mut self.durable;
        let mode = next(random) % 5;
        let stop = match mode {
            // All up to some point, the last of it torn: a disk that keeps
            // the order.
            0 => next(random) as usize % (pending.len() + 1),
            _ => pending.len(),
        };
        for change in pending.iter().take(stop) {
            match change {
                Change::Length(len) if mode == 4 || !chance(random, 8) => {
                    image.resize(*len as usize, 0);
                }
                Change::Length(_) => {}
                Change::Write(offset, bytes) => {
                    keep(image, *offset as usize, bytes, mode, random);
                }
            }
        }
        if mode == 0
            && let Some(Change::Write(offset, bytes)) = pending.get(stop)
        {
            let len = next(random) as usize % (bytes.len() + 1);
            put(image, *offset as usize, &bytes[..len]);
        }
        self.image.clone_from(&self.durable);
        self.is_open = false;
    }
}

/// What of one write reached the platter.
fn keep(image: &mut Vec<u8>, offset: usize, bytes: &[u8], mode: u64, random: &mut u64) {
    match mode {
        // Nothing.
        1 => {}
        // Whole writes, any of them.
        2 if chance(random, 2) => {}
        // Sectors, any of them.
        3 => {
            for (index, sector) in bytes.chunks(SECTOR_LEN).enumerate() {
                if chance(random, 2) {
                    put(image, offset + index * SECTOR_LEN, sector);
                }
            }
        }
        // All but few.
        4 if chance(random, 16) => {}
        _ => put(image, offset, bytes),
    }
}

fn put(image: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if image.len() < end {
        image.resize(end, 0);
    }
    image[offset..end].copy_from_slice(bytes);
}

fn chance(random: &mut u64, of: u64) -> bool {
    next(random).is_multiple_of(of)
}

/// SplitMix64.
fn next(random: &mut u64) -> u64 {
    *random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *random;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[derive(Debug)]
struct Backend(FaultDisk, Which);

impl State {
    fn file(&mut self, which: Which) -> &mut Platter {
        match which {
            Which::Store => &mut self.store,
            Which::Journal => &mut self.journal,
        }
    }

    /// Counts an operation and sees whether it may happen.
    fn operation(&mut self) -> io::Result<()> {
        let number = self.operations;
        self.operations += 1;
        if self.is_off || self.cut_at.is_some_and(|at| number >= at) {
            self.is_off = true;
            return Err(io::Error::other("the power is off"));
        }
        if self
            .fail_from
            .is_some_and(|from| (from..self.fail_to).contains(&number))
        {
            return Err(io::Error::new(self.fail_with, "as the test wants it"));
        }
        Ok(())
    }

    fn make_room(&mut self, which: Which, offset: u64, len: u64) -> io::Result<()> {
        for page in offset / PAGE_LEN..(offset + len).div_ceil(PAGE_LEN) {
            if self.pages.contains(&(which, page)) {
                continue;
            }
            let taken = self.pages.len() as u64 + 1;
            if self
                .capacity
                .is_some_and(|capacity| taken * PAGE_LEN > capacity)
            {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.pages.insert((which, page));
            self.peak = self.peak.max(taken);
        }
        Ok(())
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.state().file(self.1).image.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.0.state();
        if state.is_off {
            return Err(io::Error::other("the power is off"));
        }
        let found = state
            .file(self.1)
            .image
            .get(offset as usize..)
            .and_then(|rest| rest.get(..out.len()))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.0.state();
        state.operation()?;
        let end = len.div_ceil(PAGE_LEN);
        let which = self.1;
        state.pages.retain(|(of, page)| *of != which || *page < end);
        let file = state.file(which);
        file.image.resize(len as usize, 0);
        file.pending.push(Change::Length(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.0.state();
        state.operation()?;
        let file = state.file(self.1);
        for change in std::mem::take(&mut file.pending) {
            match change {
                Change::Write(offset, bytes) => put(&mut file.durable, offset as usize, &bytes),
                Change::Length(len) => file.durable.resize(len as usize, 0),
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.0.state();
        state.operation()?;
        state.make_room(self.1, offset, data.len() as u64)?;
        let file = state.file(self.1);
        put(&mut file.image, offset as usize, data);
        file.pending.push(Change::Write(offset, data.to_vec()));
        Ok(())
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.0.state().file(self.1).is_open = false;
    }
}
