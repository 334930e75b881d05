//! Taking in a backup of a stream in nats-server's form.
//!
//! The archive comes in chunks, each of which is answered when it was read,
//! which takes turns however small it is: what it expands to is what counts.
//! An empty one ends it. The stream that is filled meanwhile belongs to nobody
//! and has no name: its full blocks are written and leave the memory, and on
//! the disk a row says that it is half. Only when all of it is safe is it
//! made known, in one batch with its row, its consumers and the rest; if there
//! is a stream of its name by then, that one stays. Whatever ends a restore
//! before takes the half stream with it; one that a crash has left is removed
//! at the next start.

use super::advise::Asker;
use super::answers::OnFailure;
use super::api_streams::{STREAMS_MAX, state_at};
use super::archive::ArchiveReader;
use super::numbered::Numbered;
use super::request::{Answered, Outcome, Request};
use super::restored::{Reading, Stage};
use super::rows;
use super::s2::{S2Error, S2Reader};
use super::stream::Stream;
use super::streams::{Health, Job, Streams};
use crate::Time;
use crate::account::Sink;
use crate::engine::Engine;
use crate::ids::{AccountId, Seq, StreamId, SubId};
use crate::outbox::Outbox;
use crate::storage::{RowKey, Write};
use midge_api::advisory::{Action, Event, Transfer, TransferEnd};
use midge_api::responses::{self, ResponseKind};
use midge_api::snapshot::{self, ArchivedState};
use midge_api::{ApiError, StreamConfig, StreamInfo, Timestamp, check_stream_name};
use std::borrow::Cow;
use std::time::Duration;

/// Restores that may be under way at a time: each holds what has come of a
/// message, and of a chunk of the compression.
const RUNNING_MAX: usize = 4;

/// Restores that are known, with those that have failed: these hold nothing
/// and say so to chunks that still come.
const KNOWN_MAX: usize = 16;

/// How long one is kept for a client that sends nothing.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Bytes that are read before others have their turn.
const TURN_LEN: usize = 1024 * 1024;

/// Bytes that may wait to be read. Who waits for answers never has so many on
/// their way.
const INPUT_MAX: usize = 16 * 1024 * 1024;

/// Answers that may be owed for what waits.
const REPLIES_MAX: usize = 16 * 1024;

/// Length of the word in the subject of the chunks that nobody can guess.
const WORD_LEN: usize = 22;

/// One that is under way.
struct Restore {
    account: AccountId,
    name: String,
    asker: Asker,
    begun: Timestamp,
    subscription: SubId,
    /// What is being filled, unless it has failed.
    filled: Result<Box<Stream>, ApiError>,
    input: S2Reader,
    archive: ArchiveReader,
    stage: Stage,
    state: ArchivedState,
    /// When the first message was stored.
    first_time: Option<Timestamp>,
    /// Bytes that have come.
    bytes: u64,
    /// Who waits for a chunk to be read, and for the end.
    replies: Vec<Vec<u8>>,
    closing: Option<Option<Vec<u8>>>,
    /// It goes on in the next turn, or once something is on the disk.
    is_queued: bool,
    /// The disk knows of it, and which batch was the last with something of
    /// it.
    is_on_disk: bool,
    last_batch: u64,
    /// When it is given up.
    due: Time,
}

/// All that are under way.
#[derive(Default)]
pub(super) struct Restores {
    by_id: Numbered<u32, Restore>,
    last_id: u32,
    /// Those that go on in the next turn.
    again: Vec<u32>,
}

impl Restores {
    pub(super) fn has_work(&self) -> bool {
        !self.again.is_empty()
    }

    /// When one is to be given up.
    pub(super) fn due(&self) -> Option<Time> {
        self.by_id.iter().map(|(_, restore)| restore.due).min()
    }

    /// Appends what has been filled: full blocks.
    pub(super) fn take_writes(&mut self, batch: u64, writes: &mut Vec<Write>) {
        for (_, restore) in self.by_id.iter_mut() {
            let Ok(stream) = &mut restore.filled else {
                continue;
            };
            let before = writes.len();
            stream.log.take_full(writes);
            if writes.len() == before {
                continue;
            }
            restore.last_batch = batch;
            if !std::mem::replace(&mut restore.is_on_disk, true) {
                let row = rows::HALF_STREAM.to_vec();
                writes.push(Write::PutRow(RowKey::Stream(stream.id), row));
            }
        }
    }
}

impl Restore {
    fn of<'a>(&'a self, server: &'a str) -> Transfer<'a> {
        Transfer {
            stream: &self.name,
            is_snapshot: false,
            client: self.asker.info(),
            server,
        }
    }

    /// What was sent has been read, or is refused.
    fn answer_chunks<O: Outbox>(&mut self, engine: &mut Engine, out: &mut O) {
        let refusal = self.filled.as_ref().err();
        let refusal = refusal.map(|error| responses::error(ResponseKind::StreamCreate, error));
        for reply in self.replies.drain(..) {
            let body = refusal.as_deref().unwrap_or_default();
            engine.answer(self.account, &reply, body, out);
        }
    }

    /// Whether more waits than is read for anybody.
    fn is_overfull(&self) -> bool {
        self.input.waiting() > INPUT_MAX || self.replies.len() >= REPLIES_MAX
    }

    /// Whether all that has come is all that there is.
    fn check_end(&self) -> Result<(), ApiError> {
        if !self.input.is_whole() {
            Err(ApiError::stream_restore(S2Error::Corrupt))
        } else if self.stage != Stage::Ended {
            Err(ApiError::stream_restore("EOF"))
        } else {
            Ok(())
        }
    }
}

impl Streams {
    pub(super) fn begin_restore<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        name: &str,
        request: &Request,
        now: Time,
        out: &mut O,
    ) -> Outcome {
        snapshot::expect_body(request.body())?;
        let mut config = snapshot::restored_config(request.body(), self.config.strictness)?;
        if config.name.is_empty() {
            name.clone_into(&mut config.name);
        }
        if config.name != name {
            return Err(ApiError::STREAM_MISMATCH.into());
        }
        check_stream_name(name)?;
        // What was sealed comes back sealed.
        let is_sealed = std::mem::take(&mut config.sealed);
        config.check(false)?;
        config.sealed = is_sealed;
        let account = request.from.account;
        self.take_over_from_origin(account, &mut config);
        self.check_restorable(account, &config)?;
        self.check_zones(&config)?;
        self.make_room_for_restore(engine, now, out)?;
        let word = engine.rng.name(WORD_LEN);
        let deliver_subject = format!("$JS.SNAPSHOT.RESTORE.{name}.{word}");
        self.restores.last_id += 1;
        let number = self.restores.last_id;
        let sink = Sink::Restore(number);
        let subscription = engine.listen(account, sink, deliver_subject.as_bytes());
        let restore = Restore {
            account,
            name: name.to_owned(),
            asker: self.asker(engine, request),
            begun: self.wall,
            subscription,
            filled: Ok(Box::new(self.nameless_stream(account, config))),
            input: S2Reader::default(),
            archive: ArchiveReader::default(),
            stage: Stage::State,
            state: ArchivedState::default(),
            first_time: None,
            bytes: 0,
            replies: Vec::new(),
            closing: None,
            is_queued: false,
            is_on_disk: false,
            last_batch: 0,
            due: now + IDLE_MAX,
        };
        let server = self.config.server_id.clone();
        let event = Event::TransferBegun(restore.of(&server), None);
        self.publish_event(engine, account, &event, out);
        self.restores.by_id.insert(number, Box::new(restore));
        Ok(Answered::Now(snapshot::restore_begun(&deliver_subject)))
    }

    /// Sees to it that there is room for one more restore: the oldest one that
    /// has failed is forgotten.
    fn make_room_for_restore<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        now: Time,
        out: &mut O,
    ) -> Result<(), ApiError> {
        let all = self.restores.by_id.iter();
        let failed: Vec<u32> = all
            .filter(|(_, restore)| restore.filled.is_err())
            .map(|(id, _)| id)
            .collect();
        let known = self.restores.by_id.len();
        if known - failed.len() >= RUNNING_MAX {
            return Err(ApiError::stream_restore("too many are under way"));
        }
        if known >= KNOWN_MAX
            && let Some(restore) = failed
                .first()
                .and_then(|id| self.restores.by_id.remove(*id))
        {
            self.end_restore(engine, restore, now, out);
        }
        Ok(())
    }

    /// A stream that only its restore knows.
    fn nameless_stream(&mut self, account: AccountId, config: StreamConfig) -> Stream {
        self.last_stream = StreamId(self.last_stream.0 + 1);
        let id = self.last_stream;
        let account_name = self.tenants[account].name.clone();
        let hash_seed = self.config.hash_seed ^ u64::from(id.0);
        let mut stream = Stream::new(id, account_name, config, self.wall, hash_seed);
        stream.settle_in(account, &self.config);
        stream
    }

    /// Whether there may be one more stream, of this configuration.
    fn check_restorable(&self, account: AccountId, config: &StreamConfig) -> Result<(), ApiError> {
        if self.id_of(account, &config.name).is_some() {
            return Err(ApiError::STREAM_NAME_EXIST_RESTORE_FAILED);
        }
        self.check_account_limits(account, config, None)?;
        if self.streams.len() >= STREAMS_MAX {
            return Err(ApiError::MAXIMUM_STREAMS_LIMIT);
        }
        self.check_cycle(account, config)?;
        self.check_overlap(account, config, None)
    }

    /// A chunk has come. It is read in the next turn.
    pub(super) fn take_chunk(&mut self, id: u32, chunk: &[u8], reply: Option<&[u8]>, now: Time) {
        let Some(restore) = self.restores.by_id.get_mut(id) else {
            return;
        };
        restore.due = now + IDLE_MAX;
        let reply = reply.map(<[u8]>::to_vec);
        if restore.closing.is_some() {
            // Nothing comes behind the end.
        } else if chunk.is_empty() {
            restore.closing = Some(reply);
        } else if !restore.is_overfull() {
            restore.bytes += chunk.len() as u64;
            restore.replies.extend(reply);
            if restore.filled.is_ok() {
                restore.input.push(chunk);
            }
        }
        if !std::mem::replace(&mut restore.is_queued, true) {
            self.restores.again.push(id);
        }
    }

    /// Those that have let others have their turn go on; those whose client
    /// has left end.
    pub(super) fn restores_due<O: Outbox>(&mut self, engine: &mut Engine, now: Time, out: &mut O) {
        for id in std::mem::take(&mut self.restores.again) {
            self.step_restore(engine, id, now, out);
        }
        let due = self.restores.by_id.iter();
        let due: Vec<u32> = due
            .filter(|(_, restore)| restore.due <= now)
            .map(|(id, _)| id)
            .collect();
        for id in due {
            if let Some(mut restore) = self.restores.by_id.remove(id) {
                self.drop_half(&mut restore, ApiError::stream_restore("timed out"));
                restore.answer_chunks(engine, out);
                self.end_restore(engine, restore, now, out);
            }
        }
    }

    /// Takes one further, until it has to wait.
    pub(super) fn step_restore<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        id: u32,
        now: Time,
        out: &mut O,
    ) {
        let Some(mut restore) = self.restores.by_id.remove(id) else {
            return;
        };
        restore.is_queued = false;
        match self.read_chunks(engine, &mut restore, now) {
            Ok(true) => {}
            Ok(false) => {
                restore.is_queued = true;
                if self.is_congested() {
                    self.wait_for_commit(Job::Restore(id));
                } else {
                    self.restores.again.push(id);
                }
                self.restores.by_id.insert(id, restore);
                return;
            }
            Err(error) => self.drop_half(&mut restore, error),
        }
        if restore.closing.is_some() && restore.filled.is_ok() {
            let done = self.batches - self.in_flight.len() as u64;
            match restore.check_end() {
                Err(error) => self.drop_half(&mut restore, error),
                // What is safe first is what is made known then.
                Ok(()) if restore.last_batch > done || self.health != Health::Good => {
                    restore.is_queued = true;
                    self.wait_for_commit(Job::Restore(id));
                    self.restores.by_id.insert(id, restore);
                    return;
                }
                Ok(()) => {}
            }
        }
        restore.answer_chunks(engine, out);
        if restore.closing.is_some() {
            self.end_restore(engine, restore, now, out);
        } else {
            self.restores.by_id.insert(id, restore);
        }
    }

    /// Reads what has come; false if there is more.
    fn read_chunks(
        &mut self,
        engine: &Engine,
        restore: &mut Restore,
        now: Time,
    ) -> Result<bool, ApiError> {
        let limits = self.consumer_limits(restore.account);
        let is_overfull = restore.is_overfull();
        let Ok(stream) = &mut restore.filled else {
            return Ok(true);
        };
        if is_overfull {
            let why = "more was sent than is read; wait for the answers";
            return Err(ApiError::stream_restore(why));
        }
        let mut reading = Reading {
            stream,
            stage: &mut restore.stage,
            state: &mut restore.state,
            first_time: &mut restore.first_time,
            wall: self.wall,
            len: 0,
        };
        let mut read = 0;
        let mut is_drained = false;
        while read < TURN_LEN && !is_drained {
            match restore.input.next().map_err(ApiError::stream_restore)? {
                Some(bytes) => {
                    read += bytes.len().max(1);
                    if *reading.stage != Stage::Ended {
                        restore.archive.push(bytes);
                    }
                }
                None => is_drained = true,
            }
            while *reading.stage != Stage::Ended
                && let Some(entry) = restore.archive.next().map_err(ApiError::stream_restore)?
            {
                reading.take(&entry, limits, now)?;
            }
        }
        let (len, is_volatile) = (reading.len, reading.stream.is_volatile());
        if len > 0 && !is_volatile {
            self.stored_bytes(len);
            self.is_urgent = true;
        }
        self.check_bytes(engine, restore)?;
        Ok(is_drained)
    }

    /// Whether there is room for what has come so far.
    fn check_bytes(&self, engine: &Engine, restore: &Restore) -> Result<(), ApiError> {
        let Ok(stream) = &restore.filled else {
            return Ok(());
        };
        if engine.room.is_short() {
            return Err(ApiError::stream_restore(ApiError::INSUFFICIENT_RESOURCES));
        }
        if !self.has_bounds {
            return Ok(());
        }
        let info = self.info_of_account(restore.account);
        let (used, max, error) = match stream.is_volatile() {
            true => (
                info.memory,
                info.limits.max_memory,
                ApiError::MEMORY_RESOURCES_EXCEEDED,
            ),
            false => (
                info.storage,
                info.limits.max_storage,
                ApiError::STORAGE_RESOURCES_EXCEEDED,
            ),
        };
        match u64::try_from(max) {
            Ok(max) if used + stream.log.bytes() > max => Err(ApiError::stream_restore(error)),
            _ => Ok(()),
        }
    }

    /// The archive has ended: makes the stream known, or says why not.
    fn end_restore<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        mut restore: Box<Restore>,
        now: Time,
        out: &mut O,
    ) {
        let account = restore.account;
        engine.accounts[account].unsubscribe(restore.subscription);
        if let Ok(stream) = &restore.filled
            && let Err(error) = self.check_restorable(account, &stream.config)
        {
            let error = match error == ApiError::STREAM_NAME_EXIST_RESTORE_FAILED {
                true => error,
                false => ApiError::stream_restore(format!("error adding stream: {error}")),
            };
            self.drop_half(&mut restore, error);
        }
        let server = self.config.server_id.clone();
        let how = TransferEnd {
            start: restore.begun,
            end: self.wall,
            bytes: restore.bytes,
            error: "",
        };
        let reply = restore.closing.take().flatten();
        let none = Err(ApiError::BAD_REQUEST);
        let result = match std::mem::replace(&mut restore.filled, none) {
            Ok(stream) => {
                let first_time = restore.first_time.unwrap_or(Timestamp::UNSET);
                let state = restore.state;
                self.count_anew(account);
                Ok(self.make_known(engine, *stream, (first_time, state), now, out))
            }
            Err(error) => Err(responses::error(ResponseKind::StreamCreate, &error)),
        };
        let event = Event::TransferEnded(restore.of(&server), how);
        self.publish_event(engine, account, &event, out);
        let Some(reply) = reply else {
            return;
        };
        match result {
            Ok(body) => self.answer(account, &reply, OnFailure::Api, |bytes| {
                bytes.extend_from_slice(&body)
            }),
            Err(body) => engine.answer(account, &reply, &body, out),
        }
    }

    /// A stream that was filled takes its place among the others. Returns what
    /// is answered once that is safe.
    fn make_known<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        mut stream: Stream,
        (first_time, state): (Timestamp, ArchivedState),
        now: Time,
        out: &mut O,
    ) -> Vec<u8> {
        let (id, account) = (stream.id, stream.account);
        let name = stream.config.name.clone();
        // The last message may be gone, but others are not to be older.
        let last_time = state.last_ts.min(self.wall).max(stream.log.last_time());
        stream.log.set_last_time(last_time);
        stream.log.skip_to(Seq(state.last_seq));
        stream.log.flushed();
        let Stream { log, consumers, .. } = &mut stream;
        for consumer in consumers.values_mut() {
            consumer.cursor.settle_gone(|seq| log.is_live(seq));
        }
        if !stream.is_volatile() {
            let ids = stream.consumers.keys();
            self.consumer_rows
                .extend(ids.map(|consumer| (id, *consumer)));
        }
        let info = StreamInfo {
            config: Cow::Borrowed(&stream.config),
            created: stream.created,
            state: Cow::Owned(state_at(&stream, first_time)),
            domain: &self.config.domain,
            leader: "",
            copies: self.copies_of(&stream),
            ts: self.wall,
        };
        let body = snapshot::restored(&info);
        self.add_stream(stream);
        self.take_over(engine, id, now);
        self.copy_on(id);
        let event = Event::Stream {
            stream: &name,
            action: Action::Create,
        };
        self.publish_event(engine, account, &event, out);
        body
    }

    /// A restore has failed: what it has filled goes. Its client is told with
    /// whatever it sends next.
    fn drop_half(&mut self, restore: &mut Restore, error: ApiError) {
        restore.input = S2Reader::default();
        restore.archive = ArchiveReader::default();
        if let Ok(stream) = std::mem::replace(&mut restore.filled, Err(error))
            && restore.is_on_disk
        {
            self.removed.push(stream.id);
            self.is_urgent = true;
        }
    }

    /// The store has failed, and with it what was written.
    pub(super) fn fail_restores<O: Outbox>(&mut self, engine: &mut Engine, now: Time, out: &mut O) {
        let ids: Vec<u32> = self.restores.by_id.iter().map(|(id, _)| id).collect();
        for id in ids {
            if let Some(mut restore) = self.restores.by_id.remove(id) {
                let error = ApiError::stream_restore(ApiError::CLUSTER_NOT_AVAIL);
                self.drop_half(&mut restore, error);
                self.restores.by_id.insert(id, restore);
            }
            self.step_restore(engine, id, now, out);
        }
    }
}
