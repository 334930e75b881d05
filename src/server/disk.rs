//! Between the engine's streams and the store's threads.
//!
//! The engine says what is to be written and read; this hands it to the
//! threads when they are free and brings back what they have to tell. It
//! never waits for them but at the very end.

use crate::config::Config;
use crate::connections::Connections;
use crate::event_loop::EventLoop;
use crate::identity::entropy;
use crate::server::{Shared, StartError};
use midge_engine::{BlockKey, Engine, StoredStreams, StreamsConfig};
use midge_proto::api::Timestamp;
use midge_store::{Event, Store, StoreConfig, StoreHandle, StoreStats};
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How long a stopping server waits for its last batch. What a client was
/// promised is safe already; this is for what it was not promised yet.
const LAST_BATCH: Duration = Duration::from_secs(10);

/// How often it looks whether that is done.
const LAST_BATCH_POLL: Duration = Duration::from_millis(1);

/// The store's side of the event loop.
pub(crate) struct Disk {
    handle: StoreHandle<StoredStreams>,
    path: PathBuf,
    events: Vec<Event<StoredStreams>>,
    /// Blocks to be read, once the reader takes more.
    wanted: VecDeque<BlockKey>,
}

impl Disk {
    /// Opens the file and gives the engine the streams that are in it.
    fn open(
        path: &Path,
        shared: Arc<Shared>,
        engine: &mut Engine,
        connections: &mut Connections,
    ) -> Result<Self, StartError> {
        let hash_seed = entropy();
        let mut stored = StoredStreams::new(hash_seed);
        let mut config = StoreConfig::new(path);
        if path
            .parent()
            .is_none_or(|parent| parent.as_os_str().is_empty())
        {
            config.path = Path::new(".").join(path);
        }
        let store = Store::open(&config, &mut stored).map_err(StartError::Store)?;
        if stored.damaged() > 0 {
            log::error!(
                "{}: {} rows are damaged; what they told of is not served",
                path.display(),
                stored.damaged()
            );
        }
        log::info!("{} streams in {}", stored.streams(), path.display());
        let info = engine.info();
        let streams = StreamsConfig {
            hash_seed,
            server_name: info.server_name.clone(),
            server_id: info.server_id.clone(),
        };
        let now = connections.now;
        engine.enable_streams(streams, stored, now, wall());
        // What the streams have to read before they can serve, such as the
        // message ids of the last minutes.
        loop {
            let wanted = engine.take_wanted_blocks();
            if wanted.is_empty() {
                break;
            }
            for key in wanted {
                let loaded = store.load(key).map_err(StartError::Store)?;
                let block = loaded.map(|loaded| loaded.block);
                engine.loaded(now, key, block, connections);
            }
        }
        let handle =
            StoreHandle::start(store, move || shared.wake()).map_err(StartError::EventLoop)?;
        Ok(Disk {
            handle,
            path: config.path,
            events: Vec::new(),
            wanted: VecDeque::new(),
        })
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn stats(&self) -> StoreStats {
        self.handle.stats()
    }

    /// Brings the engine what the threads have to tell.
    fn bring(&mut self, engine: &mut Engine, connections: &mut Connections) {
        let now = connections.now;
        let mut events = std::mem::take(&mut self.events);
        self.handle.take_events(&mut events);
        for event in events.drain(..) {
            match event {
                Event::Committed(_) => engine.committed(now, connections),
                Event::Failed(error) => {
                    log::error!(
                        "{error}; streams are not available until the store can be opened again"
                    );
                    self.wanted.clear();
                    engine.store_failed(now, connections);
                }
                Event::Reopened(stored, _) => {
                    log::warn!("the store is open again, streams are available");
                    engine.recovered(now, stored, connections);
                }
                Event::Loaded { key, block } => engine.loaded(now, key, block, connections),
                Event::LoadFailed { key, error } => {
                    log::error!(
                        "cannot read block {} of stream {}: {error}",
                        key.first,
                        key.stream.0
                    );
                    engine.load_failed(now, key, connections);
                }
                Event::Verified(_) => {}
            }
        }
        self.events = events;
    }

    /// Hands the threads what the engine has for them.
    fn hand_over(&mut self, engine: &mut Engine, connections: &mut Connections) {
        let now = connections.now;
        while let Some(batch) = engine.take_batch(now) {
            if batch.writes.is_empty() {
                engine.committed(now, connections);
            } else if let Err(refused) = self.handle.submit(batch) {
                log::error!("the store takes no batch: {}", refused.why);
                engine.store_failed(now, connections);
            }
        }
        self.wanted.extend(engine.take_wanted_blocks());
        while let Some(key) = self.wanted.front() {
            if !self.handle.load(*key) {
                break;
            }
            self.wanted.pop_front();
        }
    }

    /// Writes what there is and waits until it is safe.
    fn settle(&mut self, engine: &mut Engine, connections: &mut Connections) {
        let mut left = LAST_BATCH;
        engine.hurry();
        loop {
            self.hand_over(engine, connections);
            if engine.is_settled() || left.is_zero() || self.handle.is_failed() {
                return;
            }
            std::thread::sleep(LAST_BATCH_POLL);
            left = left.saturating_sub(LAST_BATCH_POLL);
            self.bring(engine, connections);
        }
    }
}

/// Opens the file that the configuration names, if it names one.
pub(crate) fn open_configured(
    config: &Config,
    shared: &Arc<Shared>,
    engine: &mut Engine,
    connections: &mut Connections,
) -> Result<Option<Disk>, StartError> {
    let Some(path) = &config.store else {
        return Ok(None);
    };
    Disk::open(path, shared.clone(), engine, connections).map(Some)
}

impl EventLoop {
    /// Tells the engine what the wall clock says.
    pub(crate) fn tell_wall(&mut self) {
        self.engine.set_wall(wall());
    }

    /// Takes in what the store's threads have done.
    pub(crate) fn completions(&mut self) {
        if let Some(disk) = &mut self.disk {
            disk.bring(&mut self.engine, &mut self.connections);
        }
    }

    /// Gives the store's threads work, if they are free.
    pub(crate) fn hand_to_store(&mut self) {
        if let Some(disk) = &mut self.disk {
            disk.hand_over(&mut self.engine, &mut self.connections);
        }
    }

    /// Makes everything safe, before sessions end.
    pub(crate) fn settle_store(&mut self) {
        self.engine.shut_down_streams(&mut self.connections);
        if let Some(disk) = &mut self.disk {
            disk.settle(&mut self.engine, &mut self.connections);
        }
    }

    /// Closes the file.
    pub(crate) fn close_store(&mut self) -> io::Result<()> {
        if let Some(disk) = self.disk.take() {
            disk.handle.stop();
        }
        Ok(())
    }
}

/// What the wall clock says.
fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| {
        i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
    }))
}
