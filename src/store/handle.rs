//! What an event loop holds of a store: nothing in it waits for a disk.
//!
//! Batches go to the writer thread, two at most, so that the one after grows
//! while they are being synced. Blocks are asked for by key and come back
//! as events. The loop is woken once events wait for it, from whichever
//! thread made them.

use crate::commit::Commit;
use crate::error::StoreError;
use crate::opening::Opened;
use crate::reader::{self, BackupState, ReaderState};
use crate::stats::{Counters, StoreStats};
use crate::store::{Source, Store};
use crate::verify::VerifyReport;
use crate::writer::{self, WriterState};
use bytes::Bytes;
use log::error;
use midge_engine::{Batch, Block, BlockKey, RowSink};
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, JoinHandle};

/// Blocks that may be asked for and not yet taken by the loop. Each is a
/// little under 64 KiB as a rule, so that this many are 2 MB; a consumer
/// reads a few ahead.
pub const LOADS_MAX: usize = 32;

/// Batches that are in hand or wait: the next one begins as soon as the one
/// before has ended. More would only keep them from growing.
pub const BATCHES_MAX: usize = 2;

/// Something that the event loop is told.
#[derive(Debug)]
pub enum Event<S> {
    /// The batch in hand is durable.
    Committed(Commit),
    /// The store failed: at the batch in hand, of which it is unknown whether
    /// it became durable, or, if there was none, while reading. One that waited
    /// has gone as well. Batches are refused until [`Event::Reopened`] is taken.
    Failed(StoreError),
    /// The store is open again, and this is what is in it.
    Reopened(S, Opened),
    /// A block that was asked for; nothing if there is none under the key.
    Loaded {
        /// The key that was asked for.
        key: BlockKey,
        /// What is durable under it, damaged records left out.
        block: Option<Block>,
    },
    /// A block could not be read.
    LoadFailed {
        /// The key that was asked for.
        key: BlockKey,
        /// Why not.
        error: StoreError,
    },
    /// A backup has begun: it holds every batch of which
    /// [`Event::Committed`] was told before, and none of the later ones.
    BackupBegun(u64),
    /// The next bytes of a backup, or why there are no more. Fewer than were
    /// asked for are the last.
    Chunk {
        /// The number of the backup.
        id: u64,
        /// The bytes.
        result: Result<Bytes, StoreError>,
    },
    /// A look at everything has ended.
    Verified(VerifyReport),
}

/// A batch that was not taken, given back.
#[derive(Debug)]
pub struct Refused {
    /// The batch.
    pub batch: Batch,
    /// Why it was not taken.
    pub why: WhyRefused,
}

/// Why a batch was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyRefused {
    /// [`BATCHES_MAX`] are on their way.
    Busy,
    /// The store failed and is not open again yet.
    Failed,
    /// A block in it is longer than [`crate::STORED_BLOCK_LEN_MAX`].
    TooLong,
}

impl fmt::Display for WhyRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WhyRefused::Busy => "two batches are on their way already",
            WhyRefused::Failed => "the store failed and is not open again yet",
            WhyRefused::TooLong => "a block in the batch is too long to be stored",
        })
    }
}

/// What the threads and the handle share.
pub(crate) struct Shared<S> {
    /// Empty while the store has failed. The threads hold it to read from
    /// while they use it, so that neither waits for the other.
    pub(crate) store: RwLock<Option<Store>>,
    pub(crate) source: Source,
    pub(crate) counters: Counters,
    pub(crate) writer: Mutex<WriterState>,
    pub(crate) writer_wakes: Condvar,
    pub(crate) reader: Mutex<ReaderState>,
    pub(crate) reader_wakes: Condvar,
    events: Mutex<Vec<Event<S>>>,
    wake: Box<dyn Fn() + Send + Sync>,
    /// Makes what takes the rows in when the store is opened again.
    pub(crate) sink: Box<dyn Fn() -> S + Send + Sync>,
}

impl<S> Shared<S> {
    pub(crate) fn report(&self, event: Event<S>) {
        lock(&self.events).push(event);
        (self.wake)();
    }
}

/// A lock, whatever befell its last holder: what these guard is whole between
/// any two statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A store with its threads.
///
/// `S` takes the rows in when the store has to be opened again.
///
/// Dropping it is like [`StoreHandle::stop`] without the last events.
pub struct StoreHandle<S> {
    shared: Arc<Shared<S>>,
    threads: Vec<JoinHandle<()>>,
}

impl<S: RowSink + Send + 'static> StoreHandle<S> {
    /// Starts the threads of a store. `wake` is called, on one of them, each
    /// time there is something to take; it should be quick. `sink` makes what
    /// takes the rows in when the store has to be opened again.
    pub fn start(
        store: Store,
        sink: impl Fn() -> S + Send + Sync + 'static,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let opened = *store.opened();
        let shared = Arc::new(Shared {
            source: store.source().clone(),
            store: RwLock::new(Some(store)),
            counters: Counters::default(),
            writer: Mutex::default(),
            writer_wakes: Condvar::new(),
            reader: Mutex::default(),
            reader_wakes: Condvar::new(),
            events: Mutex::default(),
            wake: Box::new(wake),
            sink: Box::new(sink),
        });
        shared.counters.opened(&opened);
        let mut handle = StoreHandle {
            shared,
            threads: Vec::new(),
        };
        let shared = Arc::clone(&handle.shared);
        handle.threads.push(
            thread::Builder::new()
                .name("store-writer".into())
                .spawn(move || or_abort(|| writer::run(&shared)))?,
        );
        let shared = Arc::clone(&handle.shared);
        handle.threads.push(
            thread::Builder::new()
                .name("store-reader".into())
                .spawn(move || or_abort(|| reader::run(&shared)))?,
        );
        Ok(handle)
    }
}

/// Without one of its threads a server would look alive and answer nobody who
/// stores something: it had better be started again.
fn or_abort(run: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(run)).is_err() {
        error!("a thread of the store panicked");
        std::process::abort();
    }
}

impl<S> StoreHandle<S> {
    /// Whether the store failed and [`Event::Reopened`] has not been taken yet.
    pub fn is_failed(&self) -> bool {
        lock(&self.shared.writer).is_failed
    }

    /// Hands a batch to the writer, which answers with [`Event::Committed`]
    /// or [`Event::Failed`], one after the other. [`BATCHES_MAX`] may be on
    /// their way.
    ///
    /// # Errors
    /// The batch comes back if it cannot be taken now.
    pub fn submit(&self, batch: Batch) -> Result<(), Refused> {
        let refused = |batch, why| Err(Refused { batch, why });
        if batch.writes.iter().any(crate::store::is_too_long) {
            return refused(batch, WhyRefused::TooLong);
        }
        let mut state = lock(&self.shared.writer);
        if state.is_failed {
            return refused(batch, WhyRefused::Failed);
        }
        if state.queue.len() + usize::from(state.is_busy) >= BATCHES_MAX {
            return refused(batch, WhyRefused::Busy);
        }
        state.queue.push_back(batch);
        drop(state);
        self.shared.writer_wakes.notify_one();
        Ok(())
    }

    /// Asks for a block, which comes as [`Event::Loaded`] or
    /// [`Event::LoadFailed`], in the order of asking. False if [`LOADS_MAX`]
    /// are on their way: ask again once some were taken.
    ///
    /// What comes is what was durable at some moment after this call.
    #[must_use]
    pub fn load(&self, key: BlockKey) -> bool {
        let mut state = lock(&self.shared.reader);
        if state.out >= LOADS_MAX {
            return false;
        }
        state.out += 1;
        state.queue.push_back(key);
        drop(state);
        self.shared.reader_wakes.notify_one();
        true
    }

    /// Looks at everything that is stored, a little at a time between the
    /// blocks that are asked for, and reports [`Event::Verified`]. False if
    /// that is being done already.
    #[must_use]
    pub fn verify(&self) -> bool {
        let mut state = lock(&self.shared.reader);
        if state.verify.is_some() {
            return false;
        }
        state.verify = Some(Box::default());
        drop(state);
        self.shared.reader_wakes.notify_one();
        true
    }

    /// Begins a backup under a number of the caller's choice, in place of one
    /// that was under way; [`Event::BackupBegun`] tells. False while the store
    /// has failed; and if it fails before it has begun, there is none.
    #[must_use]
    pub fn begin_backup(&self, id: u64) -> bool {
        let mut state = lock(&self.shared.writer);
        if state.is_failed {
            return false;
        }
        state.backup = Some(id);
        lock(&self.shared.reader).backup = BackupState {
            id: Some(id),
            ..BackupState::default()
        };
        drop(state);
        self.shared.writer_wakes.notify_one();
        true
    }

    /// Asks for the next `len` bytes of a backup that has begun, which come
    /// as [`Event::Chunk`]. False if it is not the one under way.
    #[must_use]
    pub fn next_chunk(&self, id: u64, len: usize) -> bool {
        let mut state = lock(&self.shared.reader);
        if state.backup.id != Some(id) {
            return false;
        }
        state.backup.wanted.push_back(len);
        drop(state);
        self.shared.reader_wakes.notify_one();
        true
    }

    /// Lets go of the backup that is under way, if there is one.
    pub fn end_backup(&self) {
        lock(&self.shared.writer).backup = None;
        lock(&self.shared.reader).backup = BackupState::default();
    }

    /// Moves what there is to tell behind what is in `events`.
    pub fn take_events(&self, events: &mut Vec<Event<S>>) {
        let before = events.len();
        events.append(&mut lock(&self.shared.events));
        let loads = events[before..]
            .iter()
            .filter(|event| is_load(event))
            .count();
        if loads > 0 {
            lock(&self.shared.reader).out -= loads;
        }
        let last = events[before..]
            .iter()
            .rfind(|event| matches!(event, Event::Failed(_) | Event::Reopened(..)));
        if matches!(last, Some(Event::Reopened(..))) {
            lock(&self.shared.writer).is_failed = false;
        }
    }

    /// What has been done since the start.
    pub fn stats(&self) -> StoreStats {
        self.shared.counters.read(&self.shared.source.meter)
    }

    /// Ends: makes the batches that were taken durable, brings them into
    /// the tables, and closes the file. What was asked for and not yet read is
    /// not. Waits for all that, and gives the events that were not taken.
    pub fn stop(mut self) -> Vec<Event<S>> {
        self.join();
        let mut events = Vec::new();
        self.take_events(&mut events);
        events
    }
}

fn is_load<S>(event: &Event<S>) -> bool {
    matches!(event, Event::Loaded { .. } | Event::LoadFailed { .. })
}

impl<S> StoreHandle<S> {
    fn join(&mut self) {
        lock(&self.shared.reader).stop = true;
        self.shared.reader_wakes.notify_one();
        lock(&self.shared.writer).stop = true;
        self.shared.writer_wakes.notify_one();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl<S> Drop for StoreHandle<S> {
    fn drop(&mut self) {
        self.join();
    }
}

impl<S> fmt::Debug for StoreHandle<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreHandle")
            .field("path", &self.shared.source.config.path)
            .finish_non_exhaustive()
    }
}

impl Counters {
    pub(crate) fn opened(&self, opened: &Opened) {
        self.damaged_rows
            .fetch_add(opened.damaged_rows, Ordering::Relaxed);
    }
}
