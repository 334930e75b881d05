//! The thread that writes.
//!
//! It takes one batch at a time. When enough has gathered in the journal it has
//! that brought into the tables by a thread that lives as long as this takes,
//! and goes on with batches meanwhile: on two cores a publisher would wait for a
//! quarter of the time otherwise. When no batch has come for a while it does that
//! itself, if it is much; and when the file fails it lets go of it and tries to
//! open it again.

use crate::error::StoreError;
use crate::handle::{Event, Shared, lock};
use crate::reader::BackupState;
use crate::store::Store;
use log::{error, info, warn};
use midge_engine::{Batch, RowSink};
use std::collections::VecDeque;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// How far a checkpoint stands back behind the other threads: a tenth of what they
/// get of a processor that is busy. Who publishes faster than it comes to its end
/// waits for it, which frees the processor.
#[cfg(target_os = "linux")]
const CHECKPOINT_NICENESS: i32 = 10;

/// What the handle and the writer tell each other.
#[derive(Debug, Default)]
pub(crate) struct WriterState {
    /// The batches that are next.
    pub(crate) queue: VecDeque<Batch>,
    /// A batch is in hand.
    pub(crate) is_busy: bool,
    /// Batches are refused.
    pub(crate) is_failed: bool,
    /// A backup is to begin.
    pub(crate) backup: Option<u64>,
    /// The reader met an error, after which redb may take no more writes.
    pub(crate) is_suspect: bool,
    pub(crate) stop: bool,
}

enum Work {
    Batch(Batch),
    /// Between two batches, so that each is in it wholly or not at all.
    Backup(u64),
    /// Nothing has come for a while.
    Idle,
    /// Something may be wrong: a commit that changes nothing tells.
    Look,
    Stop,
}

pub(crate) fn run<S: RowSink + Send>(shared: &Shared<S>) {
    thread::scope(|scope| {
        let mut checkpoint = Checkpoint {
            shared,
            scope,
            under_way: None,
        };
        loop {
            let is_settled = checkpoint.under_way.is_none()
                && with_store(shared, |store| Ok(store.is_settled())).unwrap_or(true);
            let result = match next(shared, is_settled) {
                Work::Batch(batch) => commit(shared, &batch).and_then(|()| checkpoint.see_to()),
                Work::Backup(id) => begin_backup(shared, id),
                Work::Idle => checkpoint.end().and_then(|()| settle_much(shared)),
                Work::Look => checkpoint.end().and_then(|()| settle(shared)),
                Work::Stop => return close(shared, checkpoint.end()),
            };
            if let Err(error) = result {
                let failed = &shared.counters.failed_commits;
                failed.fetch_add(1, Ordering::Relaxed);
                // What befell a checkpoint is why others fail.
                fail(shared, checkpoint.end().err().unwrap_or(error));
                if !reopen(shared) {
                    return;
                }
            }
        }
    });
}

/// The checkpoint that is made beside the batches, if there is one.
struct Checkpoint<'scope, 'env, S> {
    shared: &'env Shared<S>,
    scope: &'scope Scope<'scope, 'env>,
    under_way: Option<ScopedJoinHandle<'scope, Result<(), StoreError>>>,
}

impl<S: Send> Checkpoint<'_, '_, S> {
    /// Hears of the one that has ended, and begins the next if it is due.
    fn see_to(&mut self) -> Result<(), StoreError> {
        if self
            .under_way
            .as_ref()
            .is_some_and(|one| !one.is_finished())
        {
            return Ok(());
        }
        self.end()?;
        let shared = self.shared;
        let begun = |store: &Store| store.is_checkpoint_due() && store.begin_checkpoint();
        if !with_store(shared, |store| Ok(begun(store)))? {
            return Ok(());
        }
        let builder = thread::Builder::new().name("store-checkpoint".into());
        let end = move || {
            step_back();
            with_store(shared, Store::end_checkpoint_aside)
        };
        match builder.spawn_scoped(self.scope, end) {
            Ok(one) => self.under_way = Some(one),
            // There may be no thread to be had; the batches can wait.
            Err(_) => with_store(shared, Store::end_checkpoint)?,
        }
        Ok(())
    }

    /// Waits for the one that is under way.
    fn end(&mut self) -> Result<(), StoreError> {
        let Some(under_way) = self.under_way.take() else {
            return Ok(());
        };
        // If the store is gone there is nothing to hurry.
        let _ = with_store(self.shared, |store| {
            store.hurry();
            Ok(())
        });
        match under_way.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// Lets the loop and the batches have the processor first.
#[cfg(target_os = "linux")]
fn step_back() {
    // Of this thread alone, on Linux. Where it may not be, it is as it was.
    let _ = rustix::process::setpriority_process(None, CHECKPOINT_NICENESS);
}

/// Elsewhere that would be asked for the whole process.
#[cfg(not(target_os = "linux"))]
fn step_back() {}

fn next<S>(shared: &Shared<S>, is_settled: bool) -> Work {
    let idle_from = Instant::now();
    let mut state = lock(&shared.writer);
    state.is_busy = false;
    loop {
        if let Some(id) = state.backup.take() {
            return Work::Backup(id);
        }
        if let Some(batch) = state.queue.pop_front() {
            state.is_busy = true;
            return Work::Batch(batch);
        }
        if state.stop {
            return Work::Stop;
        }
        if std::mem::take(&mut state.is_suspect) {
            return Work::Look;
        }
        state = if is_settled {
            shared
                .writer_wakes
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner)
        } else {
            let idle = idle_from.elapsed();
            let Some(rest) = left(shared.source.config.idle_pause, idle) else {
                return Work::Idle;
            };
            shared
                .writer_wakes
                .wait_timeout(state, rest)
                .unwrap_or_else(PoisonError::into_inner)
                .0
        };
    }
}

fn left(of: Duration, gone: Duration) -> Option<Duration> {
    of.checked_sub(gone).filter(|rest| !rest.is_zero())
}

fn with_store<S, T>(
    shared: &Shared<S>,
    work: impl FnOnce(&Store) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let store = shared.store.read().unwrap_or_else(PoisonError::into_inner);
    work(store.as_ref().ok_or(StoreError::Unavailable)?)
}

fn commit<S>(shared: &Shared<S>, batch: &Batch) -> Result<(), StoreError> {
    let commit = with_store(shared, |store| store.commit(batch))?;
    shared
        .counters
        .committed(commit.duration, commit.batch_bytes);
    // Idle before the loop hears of it: it will come with the next.
    lock(&shared.writer).is_busy = false;
    shared.report(Event::Committed(commit));
    Ok(())
}

/// Whoever is told of a batch that comes after this is told of this before.
fn begin_backup<S>(shared: &Shared<S>, id: u64) -> Result<(), StoreError> {
    let backup = with_store(shared, Store::backup)?;
    let mut state = lock(&shared.reader);
    if state.backup.id == Some(id) {
        state.backup.backup = Some(Box::new(backup));
    }
    drop(state);
    shared.report(Event::BackupBegun(id));
    Ok(())
}

/// Brings in what the journal holds, if that is much.
fn settle_much<S>(shared: &Shared<S>) -> Result<(), StoreError> {
    match with_store(shared, |store| Ok(store.is_settled()))? {
        true => Ok(()),
        false => settle(shared),
    }
}

fn settle<S>(shared: &Shared<S>) -> Result<(), StoreError> {
    with_store(shared, Store::settle)?;
    shared.counters.settled.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

fn take_store<S>(shared: &Shared<S>) -> Option<Store> {
    let mut store = shared.store.write().unwrap_or_else(PoisonError::into_inner);
    store.take()
}

fn close<S>(shared: &Shared<S>, checkpoint: Result<(), StoreError>) {
    let Some(store) = take_store(shared) else {
        return;
    };
    if let Err(error) = checkpoint.and(store.close()) {
        error!("{error}");
        shared.report(Event::Failed(error));
    }
}

/// Lets go of the file. A batch that waits goes the way of the one in hand:
/// it was made for a state that is not known any more.
fn fail<S>(shared: &Shared<S>, error: StoreError) {
    error!("{error}; what is stored stays unavailable until it can be opened again");
    let mut state = lock(&shared.writer);
    state.is_failed = true;
    state.is_busy = false;
    state.queue.clear();
    state.backup = None;
    drop(state);
    lock(&shared.reader).backup = BackupState::default();
    // What it says while it goes does not matter any more.
    let _ = take_store(shared).map(Store::close);
    shared.report(Event::Failed(error));
}

/// Opens the file again, if need be after many attempts. False if it is
/// time to stop.
fn reopen<S: RowSink>(shared: &Shared<S>) -> bool {
    let config = &shared.source.config;
    let mut pause = config.retry_first;
    let mut said = String::new();
    loop {
        if wait_for_stop(shared, pause) {
            return false;
        }
        pause = (pause * 2).min(config.retry_max);
        let mut sink = (shared.sink)();
        match shared.source.open(&mut sink) {
            Ok(store) => {
                info!("{} is open again", config.path.display());
                let opened = *store.opened();
                let place = &mut *shared.store.write().unwrap_or_else(PoisonError::into_inner);
                *place = Some(store);
                shared.counters.opened(&opened);
                shared.counters.reopened.fetch_add(1, Ordering::Relaxed);
                // Batches are refused until the loop has heard of it: one that
                // is made before builds on what was lost.
                lock(&shared.writer).is_suspect = false;
                shared.report(Event::Reopened(sink, opened));
                return true;
            }
            Err(error) => {
                let text = error.to_string();
                // Once is enough for what stays the same.
                if text != said {
                    warn!("{text}; trying again");
                    said = text;
                }
            }
        }
    }
}

fn wait_for_stop<S>(shared: &Shared<S>, pause: Duration) -> bool {
    let begun = Instant::now();
    let mut state = lock(&shared.writer);
    while !state.stop {
        let Some(rest) = left(pause, begun.elapsed()) else {
            return false;
        };
        state = shared
            .writer_wakes
            .wait_timeout(state, rest)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
    }
    true
}
