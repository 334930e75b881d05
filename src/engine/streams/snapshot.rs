//! Sending a backup of a stream in nats-server's form.
//!
//! What is sent is what the stream held when it was asked: its state, its
//! consumers, and its messages, less those that are removed before their
//! turn. They are read block by block, the consumers one by one; what waits to
//! be sent is a chunk and a message, or a consumer. Chunks are acknowledged, and no more are on their way than the
//! window holds. Who subscribes only when the answer has come is waited for,
//! as nats-server does and its tools expect.

use super::advise::Asker;
use super::archive::{self, Entry};
use super::log_read::NeedBlock;
use super::numbered::Numbered;
use super::request::{Answered, Outcome, Request};
use super::s2;
use super::stream::Stream;
use super::streams::{Job, Streams};
use crate::Time;
use crate::account::Sink;
use crate::engine::Engine;
use crate::feed::Outgoing;
use crate::ids::{AccountId, ConsumerId, Seq, StreamId, SubId};
use crate::outbox::Outbox;
use bytes::{Buf, BytesMut};
use midge_api::advisory::{Event, Transfer, TransferEnd};
use midge_api::snapshot::{self, SnapshotRequest};
use midge_api::{ApiError, JsonWriter, StreamState, Timestamp};
use midge_proto::headers::HeaderWriter;
use std::time::Duration;

/// Backups that may be under way at a time: each holds up to a chunk and a
/// longest message or consumer, and reads blocks that others may want to stay.
const RUNNING_MAX: usize = 16;

/// Bytes that one sends before others have their turn.
const TURN_LEN: usize = 1024 * 1024;

/// How long the receiver may take to subscribe.
const INTEREST_WAIT: Duration = Duration::from_secs(2);

/// How often is looked whether it has, or whether the disk has all messages.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How long the receiver may take to acknowledge something when the window is
/// full.
const FLOW_WAIT: Duration = Duration::from_secs(5);

/// Length of the word in the subject of the acks that nobody can guess.
const WORD_LEN: usize = 22;

/// Bytes that a consumer's configuration is taken to have when a backup is
/// asked for: more than its metadata may have.
const CONFIG_LEN: usize = 256 * 1024;

/// What comes next in the archive.
#[derive(Debug)]
enum Stage {
    State(Box<StreamState>),
    /// This consumer, or the next that is there; and how many.
    Consumers(ConsumerId, u64),
    Messages,
    Ended,
}

/// What makes one go on. Acks only count unless it is they that are waited
/// for, so that many of them are no more than one turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pause {
    /// Its next turn.
    Queued,
    /// A block that is being read.
    Parked,
    /// An ack, or this time.
    Until(Time),
}

/// One that is under way.
#[derive(Debug)]
struct Snapshot {
    account: AccountId,
    stream: StreamId,
    name: String,
    asked: SnapshotRequest,
    asker: Asker,
    begun: Timestamp,
    /// `$JS.SNAPSHOT.ACK.<stream>.<word>`
    ack_prefix: String,
    subscription: SubId,
    /// Somebody has subscribed.
    is_heard: bool,
    /// The next message, and the last.
    at: Seq,
    end: Seq,
    /// What is not in chunks of S2 yet, and what is.
    raw: Vec<u8>,
    framed: BytesMut,
    stage: Stage,
    /// Chunks sent that were to be acknowledged, and bytes of those that were
    /// not.
    chunks: u64,
    unacked: usize,
    /// When it is given up if nothing happens.
    deadline: Time,
    pause: Pause,
}

/// How a turn of one ends.
enum Turn {
    More,
    /// Nothing to do before this, unless an ack comes.
    Wait(Time),
    Need(NeedBlock),
    Over(Ending),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Complete,
    NoInterest,
    NoFlow,
    Deleted,
    ConsumerDeleted,
    ConsumerTooLong,
    Failed,
}

impl Ending {
    /// The status that the receiver is told, and what is told of it elsewhere.
    fn told(self) -> (u16, &'static str, &'static str) {
        match self {
            Ending::Complete => (204, "", ""),
            Ending::NoInterest => (408, "No Interest", "no interest"),
            Ending::NoFlow => (408, "No Flow Response", "no flow response"),
            Ending::Deleted => (500, "Stream Deleted", "stream deleted"),
            Ending::ConsumerDeleted => (500, "Consumer Deleted", "consumer deleted"),
            Ending::ConsumerTooLong => (500, "Consumer Too Long", "consumer too long"),
            Ending::Failed => (500, "Store Unavailable", "store unavailable"),
        }
    }
}

/// All that are under way.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    by_id: Numbered<u32, Snapshot>,
    last_id: u32,
    /// Those that go on in the next turn.
    again: Vec<u32>,
}

impl Snapshots {
    pub(super) fn has_work(&self) -> bool {
        !self.again.is_empty()
    }

    /// When one is to be looked at.
    pub(super) fn due(&self) -> Option<Time> {
        let pauses = self.by_id.iter().map(|(_, snapshot)| snapshot.pause);
        let times = pauses.filter_map(|pause| match pause {
            Pause::Until(time) => Some(time),
            _ => None,
        });
        times.min()
    }

    fn take_due(&mut self, now: Time) -> Vec<u32> {
        let mut ids = std::mem::take(&mut self.again);
        let all = self.by_id.iter();
        let due = all.filter(|(_, other)| matches!(other.pause, Pause::Until(at) if at <= now));
        ids.extend(due.map(|(id, _)| id));
        ids
    }
}

impl Snapshot {
    fn of<'a>(&'a self, server: &'a str) -> Transfer<'a> {
        Transfer {
            stream: &self.name,
            is_snapshot: true,
            client: self.asker.info(),
            server,
        }
    }

    /// Appends an entry that is no message.
    fn put_json(&mut self, name: &[u8], time: Timestamp, json: &[u8]) {
        let entry = Entry {
            name,
            time,
            seq: 0,
            payload: json,
            header_len: 0,
        };
        archive::put(&mut self.raw, &entry);
    }

    fn is_complete(&self) -> bool {
        matches!(self.stage, Stage::Ended)
    }

    /// Appends a consumer as it is now, though no further than the last
    /// message; the first that is there from this one on. There are as many as
    /// were counted, unless one was deleted since and none made.
    fn put_consumer(&mut self, stream: &Stream, next: ConsumerId) -> Result<ConsumerId, Ending> {
        let mut rest = stream.consumers.range(next..);
        let (id, consumer) = rest.next().ok_or(Ending::ConsumerDeleted)?;
        let mut json = JsonWriter::new();
        consumer.archived(self.end).write_json(&mut json);
        if json.len() > archive::JSON_LEN_MAX {
            return Err(Ending::ConsumerTooLong);
        }
        let name = [archive::CONSUMER, consumer.name().as_bytes()].concat();
        self.put_json(&name, consumer.created, &json.into_bytes());
        Ok(*id)
    }

    /// Appends the next message, or the end behind the last.
    fn put_message(&mut self, stream: &Stream) -> Result<(), NeedBlock> {
        let next = stream.log.next_live(self.at);
        let Some(seq) = next.filter(|seq| *seq <= self.end) else {
            archive::put_end(&mut self.raw);
            self.stage = Stage::Ended;
            return Ok(());
        };
        if let Some(record) = stream.log.get(seq)? {
            let entry = Entry {
                name: record.subject,
                time: record.time,
                seq: seq.0,
                payload: record.payload,
                header_len: record.header_len,
            };
            archive::put(&mut self.raw, &entry);
        }
        self.at = seq.next();
        Ok(())
    }

    /// Brings what is not framed into chunks; all of it if nothing follows.
    fn frame(&mut self) {
        let is_complete = self.is_complete();
        let mut rest = &self.raw[..];
        while rest.len() >= s2::CHUNK_LEN || (is_complete && !rest.is_empty()) {
            let (chunk, tail) = rest.split_at(rest.len().min(s2::CHUNK_LEN));
            s2::put_chunk(&mut self.framed, chunk);
            rest = tail;
        }
        let framed = self.raw.len() - rest.len();
        self.raw.drain(..framed);
    }

    /// Whether the next chunk has to wait for acks.
    fn is_window_full(&self) -> bool {
        self.unacked > 0 && self.unacked + self.asked.chunk_len > self.asked.window_len
    }

    /// Sends a chunk; false if nobody listens.
    fn send_chunk<O: Outbox>(&mut self, engine: &mut Engine, out: &mut O) -> bool {
        let len = self.asked.chunk_len.min(self.framed.len());
        let is_last = self.is_complete() && len == self.framed.len();
        let reply = (!is_last).then(|| {
            self.chunks += 1;
            self.unacked += len;
            format!("{}.{len}.{}", self.ack_prefix, self.chunks)
        });
        let to = self.asked.deliver_subject.as_bytes();
        let message = Outgoing {
            account: self.account,
            subject: to,
            reply: reply.as_deref().map(str::as_bytes),
            payload: &self.framed[..len],
            header_len: 0,
        };
        let routed = engine.send_out(to, &message, out);
        self.framed.advance(len);
        routed.receivers > 0
    }
}

impl Streams {
    pub(super) fn begin_snapshot<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        name: &str,
        request: &Request,
        now: Time,
        out: &mut O,
    ) -> Outcome {
        snapshot::expect_body(request.body())?;
        let account = request.from.account;
        let id = self
            .id_of(account, name)
            .ok_or(ApiError::STREAM_NOT_FOUND)?;
        let asked = SnapshotRequest::from_json(request.body(), self.config.strictness)?;
        if self.snapshots.by_id.len() >= RUNNING_MAX {
            return Err(ApiError::stream_snapshot("too many are under way").into());
        }
        let state = super::api_streams::state_of(&self.streams[&id])?;
        self.check_consumers_fit(id, &asked)?;
        let word = engine.rng.name(WORD_LEN);
        let ack_prefix = format!("$JS.SNAPSHOT.ACK.{name}.{word}");
        self.snapshots.last_id += 1;
        let number = self.snapshots.last_id;
        let sink = Sink::Snapshot(number);
        let subscription = engine.listen(account, sink, format!("{ack_prefix}.>").as_bytes());
        let log = &self.streams[&id].log;
        let snapshot = Snapshot {
            account,
            stream: id,
            name: name.to_owned(),
            asked,
            asker: self.asker(engine, request),
            begun: self.wall,
            ack_prefix,
            subscription,
            is_heard: false,
            at: log.first(),
            end: log.last(),
            raw: archive::MAGIC.to_vec(),
            framed: BytesMut::from(&s2::BEGINNING[..]),
            stage: Stage::State(Box::new(state.clone())),
            chunks: 0,
            unacked: 0,
            deadline: now + INTEREST_WAIT,
            // It follows the answer.
            pause: Pause::Queued,
        };
        let server = self.config.server_id.clone();
        let event = Event::TransferBegun(snapshot.of(&server), Some(&state));
        self.publish_event(engine, account, &event, out);
        self.snapshots.again.push(number);
        self.snapshots.by_id.insert(number, Box::new(snapshot));
        let body = snapshot::snapshot_begun(&self.streams[&id].config, &state);
        Ok(Answered::Now(body))
    }

    /// No more is sent than a restore takes.
    fn check_consumers_fit(&self, id: StreamId, asked: &SnapshotRequest) -> Result<(), ApiError> {
        let stream = &self.streams[&id];
        let end = stream.log.last();
        let mut consumers = stream.consumers.values();
        let max = archive::JSON_LEN_MAX - CONFIG_LEN;
        match consumers.find(|consumer| consumer.archived_len_max(end) > max) {
            Some(consumer) if !asked.no_consumers => {
                let name = consumer.name();
                let why = format!("consumer {name:?} has too many unacknowledged messages");
                Err(ApiError::stream_snapshot(why))
            }
            _ => Ok(()),
        }
    }

    /// A chunk was acknowledged: the subject says how long it was.
    pub(super) fn take_snapshot_ack(&mut self, id: u32, subject: &[u8], now: Time) {
        let Some(snapshot) = self.snapshots.by_id.get_mut(id) else {
            return;
        };
        let rest = subject.get(snapshot.ack_prefix.len() + 1..);
        let len = rest.and_then(|rest| rest.split(|byte| *byte == b'.').next());
        let len = len.and_then(super::expectations::number).unwrap_or(0);
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        snapshot.unacked = snapshot.unacked.saturating_sub(len);
        snapshot.deadline = now + FLOW_WAIT;
        if matches!(snapshot.pause, Pause::Until(_)) {
            snapshot.pause = Pause::Queued;
            self.snapshots.again.push(id);
        }
    }

    /// Those that are due go on.
    pub(super) fn snapshots_due<O: Outbox>(&mut self, engine: &mut Engine, now: Time, out: &mut O) {
        for id in self.snapshots.take_due(now) {
            self.step_snapshot(engine, id, now, out);
        }
    }

    /// Takes one further, until it has to wait.
    pub(super) fn step_snapshot<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        id: u32,
        now: Time,
        out: &mut O,
    ) {
        let Some(mut snapshot) = self.snapshots.by_id.remove(id) else {
            return;
        };
        let turn = self.send_snapshot(engine, &mut snapshot, now, out);
        snapshot.pause = match turn {
            Turn::More => {
                self.snapshots.again.push(id);
                Pause::Queued
            }
            Turn::Wait(until) => Pause::Until(until),
            Turn::Need(need) => {
                let log = self.streams.get(&snapshot.stream).map(|stream| &stream.log);
                let ahead = log.map(|log| log.ahead(snapshot.at).collect::<Vec<_>>());
                self.park(need, Job::Snapshot(id));
                for key in ahead.unwrap_or_default() {
                    self.want(key);
                }
                Pause::Parked
            }
            Turn::Over(ending) => return self.end_snapshot(engine, snapshot, ending, out),
        };
        self.snapshots.by_id.insert(id, snapshot);
    }

    fn send_snapshot<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        snapshot: &mut Snapshot,
        now: Time,
        out: &mut O,
    ) -> Turn {
        let Some(stream) = self.streams.get(&snapshot.stream) else {
            return Turn::Over(Ending::Deleted);
        };
        if stream.log.durable() < snapshot.end {
            return Turn::Wait(now + LOOK_AGAIN);
        }
        if !snapshot.is_heard {
            let to = snapshot.asked.deliver_subject.as_bytes();
            snapshot.is_heard = engine.is_heard(snapshot.account, to);
            if !snapshot.is_heard && now < snapshot.deadline {
                return Turn::Wait(now + LOOK_AGAIN);
            }
            snapshot.deadline = now + FLOW_WAIT;
        }
        let mut sent = 0;
        while sent < TURN_LEN {
            if let Err(turn) = self.fill(snapshot) {
                return turn;
            }
            if snapshot.framed.is_empty() {
                return Turn::Over(Ending::Complete);
            }
            if snapshot.is_window_full() {
                return match now < snapshot.deadline {
                    true => Turn::Wait(snapshot.deadline),
                    false => Turn::Over(Ending::NoFlow),
                };
            }
            sent += snapshot.asked.chunk_len;
            if !snapshot.send_chunk(engine, out) {
                return Turn::Over(Ending::NoInterest);
            }
            snapshot.deadline = now + FLOW_WAIT;
        }
        Turn::More
    }

    /// Sees to a whole chunk, if there is so much left.
    fn fill(&self, snapshot: &mut Snapshot) -> Result<(), Turn> {
        let Some(stream) = self.streams.get(&snapshot.stream) else {
            return Ok(());
        };
        // One byte more, so that it is known which chunk is the last.
        while snapshot.framed.len() <= snapshot.asked.chunk_len {
            match &mut snapshot.stage {
                Stage::State(state) => {
                    state.consumer_count = match snapshot.asked.no_consumers {
                        true => 0,
                        false => stream.consumers.len() as u64,
                    };
                    let count = state.consumer_count;
                    let mut json = JsonWriter::new();
                    state.write_json(&mut json);
                    snapshot.put_json(archive::STATE, self.wall, &json.into_bytes());
                    snapshot.stage = Stage::Consumers(ConsumerId(0), count);
                }
                Stage::Consumers(_, 0) => snapshot.stage = Stage::Messages,
                Stage::Consumers(next, left) => {
                    let (next, left) = (*next, *left);
                    let told = snapshot.put_consumer(stream, next).map_err(Turn::Over)?;
                    snapshot.stage = Stage::Consumers(ConsumerId(told.0 + 1), left - 1);
                }
                Stage::Messages => snapshot.put_message(stream).map_err(Turn::Need)?,
                Stage::Ended => return Ok(()),
            }
            snapshot.frame();
        }
        Ok(())
    }

    fn end_snapshot<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        snapshot: Box<Snapshot>,
        ending: Ending,
        out: &mut O,
    ) {
        engine.accounts[snapshot.account].unsubscribe(snapshot.subscription);
        let (code, text, error) = ending.told();
        let mut header = Vec::new();
        // nats-server says nothing of one that was a single message.
        if ending != Ending::Complete || snapshot.chunks > 0 {
            HeaderWriter::status(&mut header, code, text).finish();
        }
        let to = snapshot.asked.deliver_subject.as_bytes();
        engine.send_status(snapshot.account, to, None, &header, out);
        let server = self.config.server_id.clone();
        let how = TransferEnd {
            start: snapshot.begun,
            end: self.wall,
            bytes: 0,
            error,
        };
        let event = Event::TransferEnded(snapshot.of(&server), how);
        self.publish_event(engine, snapshot.account, &event, out);
    }

    /// The store has failed: what there is to read will be another thing.
    pub(super) fn fail_snapshots<O: Outbox>(&mut self, engine: &mut Engine, out: &mut O) {
        for (_, snapshot) in self.snapshots.by_id.take() {
            self.end_snapshot(engine, snapshot, Ending::Failed, out);
        }
    }
}
