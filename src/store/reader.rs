//! The thread that reads.
//!
//! It answers from a snapshot taken for each block and let go of at once: a
//! snapshot that is held keeps the writer from using the pages that it has
//! given up since. Only a backup holds its own until it is done.

use crate::backup::Backup;
use crate::error::StoreError;
use crate::handle::{Event, Shared, lock};
use crate::verify::Walk;
use log::warn;
use midge_engine::BlockKey;
use std::collections::VecDeque;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Blocks that are read before a look at everything goes on: who waits for a
/// message comes first, but a reader that always has something to read must
/// not keep it from ending.
const LOADS_BETWEEN_SLICES: usize = 8;

/// What the handle and the reader tell each other.
#[derive(Debug, Default)]
pub(crate) struct ReaderState {
    pub(crate) queue: VecDeque<BlockKey>,
    /// Blocks that were asked for and not yet taken by the loop.
    pub(crate) out: usize,
    /// How far a look at everything has come, if there is one.
    pub(crate) verify: Option<Box<Walk>>,
    pub(crate) backup: BackupState,
    pub(crate) stop: bool,
}

/// The backup that is taken, if there is one.
#[derive(Debug, Default)]
pub(crate) struct BackupState {
    /// Which one, until nobody wants it any more.
    pub(crate) id: Option<u64>,
    /// There unless it is being read from.
    pub(crate) backup: Option<Box<Backup>>,
    /// Chunks that were asked for, each of so many bytes.
    pub(crate) wanted: VecDeque<usize>,
}

enum Work {
    Load(BlockKey),
    /// The walk stays where it is, so that there is never a second one.
    Verify(Box<Walk>),
    /// The chunk of this backup that is next, of so many bytes.
    Chunk(u64, Box<Backup>, usize),
    Stop,
}

pub(crate) fn run<S>(shared: &Shared<S>) {
    let mut loads = 0;
    loop {
        match next(shared, loads) {
            Work::Load(key) => {
                loads += 1;
                load(shared, key);
            }
            Work::Verify(walk) => {
                loads = 0;
                verify(shared, walk);
            }
            Work::Chunk(id, backup, len) => {
                loads = 0;
                chunk(shared, id, backup, len);
            }
            Work::Stop => return,
        }
    }
}

fn next<S>(shared: &Shared<S>, loads: usize) -> Work {
    let mut state = lock(&shared.reader);
    loop {
        if state.stop {
            return Work::Stop;
        }
        let is_turn = loads >= LOADS_BETWEEN_SLICES || state.queue.is_empty();
        if is_turn && let Some(work) = state.backup.next() {
            return work;
        }
        if is_turn && let Some(walk) = &mut state.verify {
            return Work::Verify(std::mem::take(walk));
        }
        if let Some(key) = state.queue.pop_front() {
            return Work::Load(key);
        }
        state = shared
            .reader_wakes
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner);
    }
}

impl BackupState {
    /// Somebody waits for it, and asks for the next one later: a look at
    /// everything goes on between the two.
    fn next(&mut self) -> Option<Work> {
        let id = self.id?;
        let len = *self.wanted.front()?;
        let backup = self.backup.take()?;
        self.wanted.pop_front();
        Some(Work::Chunk(id, backup, len))
    }
}

fn chunk<S>(shared: &Shared<S>, id: u64, mut backup: Box<Backup>, len: usize) {
    let result = backup.next(len);
    match &result {
        Ok(_) => {
            let mut state = lock(&shared.reader);
            if state.backup.id == Some(id) {
                state.backup.backup = Some(backup);
            }
        }
        Err(error) => {
            warn!("backup: {error}");
            suspect(shared, error);
        }
    }
    shared.report(Event::Chunk { id, result });
}

fn load<S>(shared: &Shared<S>, key: BlockKey) {
    let begun = Instant::now();
    let store = shared.store.read().unwrap_or_else(PoisonError::into_inner);
    let result = match store.as_ref() {
        Some(store) => store.load(key),
        None => Err(StoreError::Unavailable),
    };
    drop(store);
    let event = match result {
        Ok(loaded) => {
            shared.counters.loaded(begun.elapsed());
            let lost = loaded.as_ref().map_or(0, |loaded| loaded.lost);
            shared
                .counters
                .damaged_records
                .fetch_add(lost, Ordering::Relaxed);
            let block = loaded.map(|loaded| loaded.block);
            Event::Loaded { key, block }
        }
        Err(error) => {
            shared.counters.failed_loads.fetch_add(1, Ordering::Relaxed);
            warn!(
                "stream {}, block from sequence {}: {error}",
                key.stream.0, key.first
            );
            suspect(shared, &error);
            Event::LoadFailed { key, error }
        }
    };
    shared.report(event);
}

/// After an I/O error redb refuses everything until the file is opened again,
/// which is the writer's to do.
fn suspect<S>(shared: &Shared<S>, error: &StoreError) {
    if matches!(error, StoreError::Io { .. }) {
        lock(&shared.writer).is_suspect = true;
        shared.writer_wakes.notify_one();
    }
}

fn verify<S>(shared: &Shared<S>, mut walk: Box<Walk>) {
    let store = shared.store.read().unwrap_or_else(PoisonError::into_inner);
    let is_done = match store.as_ref() {
        Some(store) => store.verify_slice(&mut walk),
        None => Err(StoreError::Unavailable),
    };
    drop(store);
    let mut state = lock(&shared.reader);
    match is_done {
        Ok(false) => {
            state.verify = Some(walk);
            return;
        }
        Ok(true) => {}
        Err(error) => {
            suspect(shared, &error);
            walk.report.stopped_by = Some(error.to_string());
        }
    }
    state.verify = None;
    drop(state);
    shared.report(Event::Verified(walk.report));
}
