//! A disk for tests, in memory: its power can be cut at any operation, it can
//! fail, fill up, and flip bits.
//!
//! What was written and not synced when the power goes may have reached the
//! platter or not, whole or torn, in any order; the seed decides. A disk
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

struct State {
    /// What is on the platter for certain.
    durable: Vec<u8>,
    /// What reads see.
    image: Vec<u8>,
    pending: Vec<Change>,
    random: u64,
    operations: u64,
    cut_at: Option<u64>,
    fail_from: Option<u64>,
    fail_to: u64,
    fail_with: io::ErrorKind,
    capacity: Option<u64>,
    /// Pages that the file has room for.
    pages: BTreeSet<u64>,
    /// The most there have been.
    peak: u64,
    is_off: bool,
    is_open: bool,
}

enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("len", &self.image.len())
            .field("operations", &self.operations)
            .finish_non_exhaustive()
    }
}

impl FaultDisk {
    /// An empty disk.
    pub fn new(seed: u64) -> Self {
        let state = State {
            durable: Vec::new(),
            image: Vec::new(),
            pending: Vec::new(),
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
            is_open: false,
        };
        FaultDisk {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// A disk that holds this.
    pub fn holding(seed: u64, image: Vec<u8>) -> Self {
        let disk = FaultDisk::new(seed);
        let mut state = disk.state();
        state.durable.clone_from(&image);
        state.image = image;
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
        move || {
            let mut state = disk.state();
            if state.is_open {
                return Err(io::Error::other("this disk is open already"));
            }
            state.is_open = true;
            drop(state);
            Ok(Box::new(Backend(disk.clone())))
        }
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

    /// What reads see.
    pub fn image(&self) -> Vec<u8> {
        self.state().image.clone()
    }

    /// The power comes back. Of what was not synced, what reached the platter
    /// is chosen by the seed.
    pub fn power_on(&self) {
        let mut guard = self.state();
        let state = &mut *guard;
        let pending = std::mem::take(&mut state.pending);
        let mut image = std::mem::take(&mut state.durable);
        let mode = next(&mut state.random) % 5;
        let stop = match mode {
            // All up to some point, the last of it torn: a disk that keeps
            // the order.
            0 => next(&mut state.random) as usize % (pending.len() + 1),
            _ => pending.len(),
        };
        for change in pending.iter().take(stop) {
            match change {
                Change::Length(len) if mode == 4 || !chance(&mut state.random, 8) => {
                    image.resize(*len as usize, 0);
                }
                Change::Length(_) => {}
                Change::Write(offset, bytes) => {
                    keep(&mut image, *offset as usize, bytes, mode, &mut state.random);
                }
            }
        }
        if mode == 0
            && let Some(Change::Write(offset, bytes)) = pending.get(stop)
        {
            let len = next(&mut state.random) as usize % (bytes.len() + 1);
            put(&mut image, *offset as usize, &bytes[..len]);
        }
        state.image.clone_from(&image);
        state.durable = image;
        state.is_off = false;
        state.is_open = false;
        state.cut_at = None;
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
struct Backend(FaultDisk);

impl State {
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

    fn make_room(&mut self, offset: u64, len: u64) -> io::Result<()> {
        for page in offset / PAGE_LEN..(offset + len).div_ceil(PAGE_LEN) {
            if self.pages.contains(&page) {
                continue;
            }
            let taken = self.pages.len() as u64 + 1;
            if self
                .capacity
                .is_some_and(|capacity| taken * PAGE_LEN > capacity)
            {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.pages.insert(page);
            self.peak = self.peak.max(taken);
        }
        Ok(())
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.state().image.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.0.state();
        if state.is_off {
            return Err(io::Error::other("the power is off"));
        }
        let found = state
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
        state.image.resize(len as usize, 0);
        state.pages.split_off(&len.div_ceil(PAGE_LEN));
        state.pending.push(Change::Length(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut guard = self.0.state();
        guard.operation()?;
        let state = &mut *guard;
        state.pending.clear();
        state.durable.clone_from(&state.image);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.0.state();
        state.operation()?;
        state.make_room(offset, data.len() as u64)?;
        put(&mut state.image, offset as usize, data);
        state.pending.push(Change::Write(offset, data.to_vec()));
        Ok(())
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.0.state().is_open = false;
    }
}
