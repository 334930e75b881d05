//! Between the engine's streams and the store's threads.
//!
//! The engine says what is to be written and read; this hands it to the
//! threads when they are free and brings back what they have to tell. It
//! never waits for them but at the very end.

use crate::config::Config;
use crate::connections::Connections;
use crate::event_loop::EventLoop;
use crate::identity::entropy;
use crate::memory::cache_bytes;
use crate::offline::{self, count};
use crate::server::{Shared, StartError};
use midge_api::Timestamp;
use midge_api::json::Strictness;
use midge_engine::{
    Block, BlockKey, Engine, Maintenance, RowKey, Seq, StoredStreams, StreamId, StreamsConfig,
    StreamsTuning,
};
use midge_store::{
    Damage, DamageKind, Event, Opened, Store, StoreConfig, StoreError, StoreHandle, StoreStats,
    VerifyReport,
};
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// How long a stopping server waits for its last batch. What a client was
/// promised is safe already; this is for what it was not promised yet.
const LAST_BATCH: Duration = Duration::from_secs(10);

/// How often it looks whether that is done.
const LAST_BATCH_POLL: Duration = Duration::from_millis(1);

/// A batch that is not full waits for the next turn if it is known that more
/// will come in that, but for so many turns at most: less than a millisecond.
const WAITS_MAX: u32 = 3;

/// Damaged blocks that are reported one by one.
const KNOWN_DAMAGE_MAX: usize = 1000;

/// Damaged things that are named in the log at once; the rest is counted.
const DAMAGE_LOGGED_MAX: usize = 20;

/// What parts of a ceiling on memory the caches get, at most: redb's and that
/// of blocks one each, and what waits for the disk, which is there up to five
/// times, one of these.
const CACHE_PART: usize = 8;
const UNCOMMITTED_PART: usize = 32;

const BUSY: &[u8] = b"{\"type\":\"io.midge.api.v1.verify_response\",\"error\":{\"code\":409,\
    \"description\":\"another look is under way\"}}";

/// The store's side of the event loop.
pub(crate) struct Disk {
    handle: StoreHandle<StoredStreams>,
    path: PathBuf,
    events: Vec<Event<StoredStreams>>,
    /// Blocks to be read, once the reader takes more.
    wanted: VecDeque<BlockKey>,
    /// Turns that the next batch has waited for more.
    waits: u32,
    /// The time zones are being read, or were.
    pub(crate) has_asked_for_zones: bool,
    /// Blocks whose damage was reported, so that it is only once.
    known_damage: Vec<BlockKey>,
}

impl Disk {
    /// Opens the file and gives the engine the streams that are in it.
    fn open(
        path: &Path,
        server: &Config,
        shared: Arc<Shared>,
        engine: &mut Engine,
        connections: &mut Connections,
    ) -> Result<Self, StartError> {
        let begun = Instant::now();
        let memory = server.memory;
        let hash_seed = entropy();
        let mut stored = StoredStreams::new(hash_seed);
        let mut config = StoreConfig::new(path);
        config.cache_bytes = cache_bytes(memory, config.cache_bytes, CACHE_PART);
        if path
            .parent()
            .is_none_or(|parent| parent.as_os_str().is_empty())
        {
            config.path = Path::new(".").join(path);
        }
        let store = Store::open(&config, &mut stored).map_err(StartError::Store)?;
        let opened = *store.opened();
        log_damaged_rows(path, &stored);
        if opened.damaged_rows > 0
            && let Err(error) = store.rewrite_rows()
        {
            log::warn!("{error}; what is damaged stays in the file");
        }
        let has_schedules = stored.has_schedules();
        let info = engine.info();
        let streams = StreamsConfig {
            hash_seed,
            server_name: info.server_name.clone(),
            server_id: info.server_id.clone(),
            domain: server.domain.clone(),
            strictness: if server.is_lenient {
                Strictness::Lenient
            } else {
                Strictness::Strict
            },
            limits: server.stream_limits,
            tuning: tuning(memory, server.commit_linger),
            zones: has_schedules.then(|| Arc::new(crate::zones::read())),
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
                log_damage(engine, key, block.as_ref());
                engine.loaded(now, key, block, connections);
            }
        }
        log_opened(path, engine, &opened, begun.elapsed());
        for (account, streams) in engine.unserved_streams() {
            log::warn!(
                "account {account} has {} here and may have none now; they are kept and not served",
                count(streams as u64, "stream")
            );
        }
        let handle = StoreHandle::start(
            store,
            move || StoredStreams::new(hash_seed),
            move || shared.wake(),
        )
        .map_err(StartError::EventLoop)?;
        Ok(Disk {
            handle,
            path: config.path,
            events: Vec::new(),
            wanted: VecDeque::new(),
            waits: 0,
            has_asked_for_zones: false,
            known_damage: Vec::new(),
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
                    engine.store_failed(now, error.is_full(), connections);
                }
                Event::Reopened(stored, _) => {
                    log::warn!("the store is open again, streams are available");
                    engine.recovered(now, stored, connections);
                }
                Event::Loaded { key, block } => {
                    self.log_damage_once(engine, key, block.as_ref());
                    engine.loaded(now, key, block, connections);
                }
                Event::LoadFailed { key, error } => {
                    log::error!(
                        "stream {}: cannot read the messages from sequence {} on: {error}",
                        name_of(engine, key.stream),
                        key.first
                    );
                    engine.load_failed(now, key, connections);
                }
                Event::BackupBegun(id) => engine.backup_begun(now, id, connections),
                Event::Chunk { id, result } => {
                    let result = result.map_err(|error| error.to_string());
                    engine.backup_chunk(now, id, result, connections);
                }
                Event::Verified(report) => {
                    log_report(engine, &report);
                    let answer = offline::to_json(&report, |id| engine.stream_name(id));
                    engine.maintained(now, &answer, connections);
                }
            }
        }
        self.events = events;
    }

    /// Names what is damaged in a block that was read, once.
    fn log_damage_once(&mut self, engine: &Engine, key: BlockKey, block: Option<&Block>) {
        if block.is_some_and(|block| midge_store::damage_in(block).is_none()) {
            return;
        }
        let known = &mut self.known_damage;
        if known.len() < KNOWN_DAMAGE_MAX && !known.contains(&key) {
            known.push(key);
            log_damage(engine, key, block);
        }
    }

    /// Hands the threads what the engine has for them.
    fn hand_over(&mut self, engine: &mut Engine, connections: &mut Connections, more: bool) {
        let now = connections.now;
        let may_wait = more && self.waits < WAITS_MAX && !engine.has_full_batch();
        self.waits = if may_wait { self.waits + 1 } else { 0 };
        while !may_wait && let Some(batch) = engine.take_batch(now) {
            if batch.writes.is_empty() && engine.batches_in_flight() == 1 {
                engine.committed(now, connections);
            } else if let Err(refused) = self.handle.submit(batch) {
                log::error!("the store takes no batch: {}", refused.why);
                engine.store_failed(now, false, connections);
            }
        }
        while let Some(wish) = engine.take_maintenance() {
            self.maintain(wish, engine, connections);
        }
        self.wanted.extend(engine.take_wanted_blocks());
        while let Some(key) = self.wanted.front() {
            if !self.handle.load(*key) {
                break;
            }
            self.wanted.pop_front();
        }
    }

    /// Has the threads look after what is stored.
    fn maintain(&mut self, wish: Maintenance, engine: &mut Engine, connections: &mut Connections) {
        let now = connections.now;
        let unavailable = || Err(StoreError::Unavailable.to_string());
        match wish {
            Maintenance::Verify => {
                if !self.handle.verify() {
                    // Somebody asked the handle without asking the engine.
                    engine.maintained(now, BUSY, connections);
                }
            }
            Maintenance::BeginBackup(id) => {
                if !self.handle.begin_backup(id) {
                    engine.backup_chunk(now, id, unavailable(), connections);
                }
            }
            Maintenance::NextChunk(id, len) => {
                if !self.handle.next_chunk(id, len) {
                    engine.backup_chunk(now, id, unavailable(), connections);
                }
            }
            Maintenance::EndBackup => self.handle.end_backup(),
        }
    }

    /// Writes what there is and waits until it is safe.
    fn settle(&mut self, engine: &mut Engine, connections: &mut Connections) {
        let mut left = LAST_BATCH;
        engine.hurry();
        loop {
            self.hand_over(engine, connections, false);
            if engine.is_settled() || left.is_zero() || self.handle.is_failed() {
                return;
            }
            std::thread::sleep(LAST_BATCH_POLL);
            left = left.saturating_sub(LAST_BATCH_POLL);
            self.bring(engine, connections);
        }
    }
}

/// What the streams keep in memory, below this ceiling, and how long a batch waits.
fn tuning(memory: Option<usize>, commit_linger: Duration) -> StreamsTuning {
    let usual = StreamsTuning::default();
    let waiting = cache_bytes(memory, usual.uncommitted_max as usize, UNCOMMITTED_PART);
    StreamsTuning {
        cache_len: cache_bytes(memory, usual.cache_len, CACHE_PART),
        uncommitted_max: waiting as u64,
        commit_linger,
        ..usual
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
    Disk::open(path, config, shared.clone(), engine, connections).map(Some)
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
            let more = self.is_feeding;
            disk.hand_over(&mut self.engine, &mut self.connections, more);
            self.release_held();
            self.ask_for_zones();
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

/// Names the messages that are damaged in a block that was read; one that is
/// not there, and should be, is damage as well.
fn log_damage(engine: &Engine, key: BlockKey, block: Option<&Block>) {
    match block {
        None if engine.has_block(key) => log::error!(
            "stream {}: the messages from sequence {} on cannot be found",
            name_of(engine, key.stream),
            key.first
        ),
        None => {}
        Some(block) => {
            if let Some(damage) = midge_store::damage_in(block) {
                let name = engine.stream_name(key.stream);
                log::error!("{}", offline::describe(&damage, name));
            }
        }
    }
}

/// A stream by its name, or by its number if it has gone.
fn name_of(engine: &Engine, id: StreamId) -> String {
    let name = engine.stream_name(id).map(str::to_owned);
    name.unwrap_or_else(|| id.0.to_string())
}

fn log_opened(path: &Path, engine: &Engine, opened: &Opened, took: Duration) {
    let (streams, messages) = engine.stored_totals();
    let took = humantime::format_duration(Duration::from_millis(took.as_millis() as u64));
    let how = match (opened.was_repaired, opened.replayed) {
        (true, _) => ", after checking all of it, as it had not been closed".to_owned(),
        (false, 0) => String::new(),
        (false, batches) => format!(", with {} from its journal", count(batches, "commit")),
    };
    log::info!(
        "Store {}: {}, {}, opened in {took}{how}",
        path.display(),
        count(streams as u64, "stream"),
        count(messages, "message")
    );
    if opened.remade_summaries > 0 {
        log::warn!(
            "damaged summaries that were made anew from the messages: {}",
            opened.remade_summaries
        );
    }
}

fn log_damaged_rows(path: &Path, stored: &StoredStreams) {
    let rows = stored.damaged_rows();
    for row in rows.iter().take(DAMAGE_LOGGED_MAX) {
        let first = match row {
            RowKey::Deletes(block) | RowKey::Summary(block) => block.first,
            _ => Seq(0),
        };
        let damage = Damage {
            stream: row.stream(),
            first,
            last: first,
            kind: DamageKind::Row(*row),
        };
        let mut names = stored.names();
        let name = names.find(|(id, _)| *id == row.stream());
        let name = name.map(|(_, name)| name);
        log::error!("{}", offline::describe(&damage, name));
    }
    if !rows.is_empty() {
        log::error!(
            "{}: damaged rows, of which what they told of is not served: {}",
            path.display(),
            rows.len()
        );
    }
}

fn log_report(engine: &Engine, report: &VerifyReport) {
    for damage in report.damage.iter().take(DAMAGE_LOGGED_MAX) {
        let name = engine.stream_name(damage.stream);
        log::error!("{}", offline::describe(damage, name));
    }
    if report.is_sound() {
        log::info!(
            "looked at {}, all is as it was written",
            count(report.records, "message")
        );
    } else if let Some(why) = &report.stopped_by {
        log::error!("the look at what is stored ended early: {why}");
    } else {
        log::error!(
            "looked at {}, {} damaged",
            count(report.records, "message"),
            report.damaged
        );
    }
}

/// What the wall clock says.
fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| {
        i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
    }))
}
