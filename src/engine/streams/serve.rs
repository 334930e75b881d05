//! Delivering to consumers.
//!
//! A consumer that may have something to deliver is in the queue of the
//! ready. In its turn it delivers a bounded number of messages and goes to
//! the end of the queue if there is more.

use super::api_dlq::LOOKS_MAX;
use super::block::Record;
use super::consumer::{Consumer, Next, duration};
use super::effects::{Effects, Status};
use super::flow_answers::ask_flow;
use super::log::Log;
use super::log_read::NeedBlock;
use super::priority::send_pinned;
use super::streams::{Job, Streams};
use crate::Time;
use crate::engine::{Engine, Timer};
use crate::feed::Outgoing;
use crate::ids::{AccountId, ConsumerId, StreamId};
use crate::outbox::Outbox;
use crate::publish::Routed;
use crate::storage::BlockKey;
use midge_api::{AckSubject, PriorityPolicy, ReplayPolicy, Timestamp};
use midge_proto::headers::{HeaderWriter, name as names};
use std::time::Duration;

/// Bytes that a consumer delivers in one turn.
const DELIVERED_BYTES_MAX: usize = 1024 * 1024;

/// A consumer whose receiver is far behind rests this long, and twice as long
/// each time that it still is, so that who reads slowly what it has asked for
/// is not cut for it.
const REST: Duration = Duration::from_millis(5);

/// How often the rest is doubled at most: to 320 ms.
const RESTS_MAX: u32 = 6;

/// How a consumer's turn ended.
enum Turn {
    /// There may be more right now.
    More,
    /// Nothing until something happens.
    Idle,
    Need(NeedBlock),
}

impl Streams {
    /// Puts a consumer into the queue of those that may have something.
    pub(crate) fn make_ready(&mut self, stream: StreamId, id: ConsumerId) {
        let consumer = self.consumer_mut(stream, id);
        if let Some(consumer) = consumer
            && !consumer.is_ready
            && consumer.has_receiver()
        {
            consumer.is_ready = true;
            self.ready.push_back((stream, id));
        }
    }

    /// New messages may be seen by the consumers of a stream.
    pub(crate) fn wake_consumers(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        for consumer in stream.consumers.values_mut() {
            if !consumer.is_ready && consumer.has_receiver() && consumer.pending > 0 {
                consumer.is_ready = true;
                self.ready.push_back((id, consumer.id));
            }
        }
    }

    /// Messages of a stream are gone: those who do not wait for others are to
    /// be told if there is nothing left for them.
    pub(crate) fn wake_receivers(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get(&id) else {
            return;
        };
        let consumers: Vec<ConsumerId> = stream.consumers.keys().copied().collect();
        for consumer in consumers {
            self.make_ready(id, consumer);
        }
    }

    /// Whether there is work that does not wait for anything.
    pub(crate) fn has_work(&self) -> bool {
        !self.ready.is_empty()
            || !self.advancing.is_empty()
            || !self.copying.is_empty()
            || !self.again.is_empty()
            || !self.burying.is_empty()
            || !self.redrives.again.is_empty()
            || self.snapshots.has_work()
            || self.restores.has_work()
            || !self.told.is_empty()
            || self.interest_changed
    }

    /// Does what does not wait for anything: removals, deliveries.
    pub(crate) fn work<O: Outbox>(&mut self, engine: &mut Engine, now: Time, out: &mut O) {
        if std::mem::take(&mut self.interest_changed) {
            self.check_interest(engine, now);
        }
        self.retry(engine, now, out);
        self.redrive_due(engine, now, out);
        self.snapshots_due(engine, now, out);
        self.restores_due(engine, now, out);
        self.advance(engine, now, out);
        self.copy_all(engine, now, out);
        for id in std::mem::take(&mut self.told) {
            self.tell_effects(engine, id, now, out);
        }
        self.looks_left = LOOKS_MAX;
        for request in std::mem::take(&mut self.again) {
            self.handle(engine, request, now, out);
        }
        for _ in 0..self.burying.len() {
            if let Some((stream, id)) = self.burying.pop_front() {
                self.bury(engine, stream, id, now, out);
            }
        }
        for _ in 0..self.ready.len() {
            let Some((stream, id)) = self.ready.pop_front() else {
                return;
            };
            self.serve(engine, stream, id, now, out);
        }
        self.shrink_cache();
    }

    fn serve<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        stream_id: StreamId,
        id: ConsumerId,
        now: Time,
        out: &mut O,
    ) {
        let wall = self.wall;
        let Some(stream) = self.streams.get_mut(&stream_id) else {
            return;
        };
        let Some(consumer) = stream.consumers.get_mut(&id) else {
            return;
        };
        consumer.is_ready = false;
        if let Some(copier) = consumer.copier {
            return self.copy_later(copier);
        }
        consumer.set_rate_burst(stream.config.max_msg_size);
        let mut effects = Effects::default();
        let log = &stream.log;
        let scratch = &mut self.scratch;
        let turn = deliver(engine, consumer, log, now, wall, &mut effects, scratch, out);
        let is_dirty = consumer.is_dirty;
        let block = log.block_start(consumer.next_seq());
        let ahead: Vec<BlockKey> = if block == consumer.block {
            Vec::new()
        } else {
            consumer.block = block;
            log.ahead(consumer.next_seq()).collect()
        };
        match turn {
            Turn::More => {
                if consumer.has_receiver() {
                    consumer.is_ready = true;
                    self.ready.push_back((stream_id, id));
                }
            }
            Turn::Idle => {}
            Turn::Need(need) => self.park(need, Job::Serve(stream_id, id)),
        }
        for key in ahead {
            self.want(key);
        }
        self.arm(engine, stream_id, id);
        if is_dirty {
            self.cursor_changed(stream_id, now);
        }
        self.carry_out(engine, stream_id, id, effects, now, out);
    }

    /// Sets a consumer's timer for when it is due, if that is sooner than it
    /// is set for.
    pub(crate) fn arm(&mut self, engine: &mut Engine, stream: StreamId, id: ConsumerId) {
        let consumer = self.consumer_mut(stream, id);
        let Some(consumer) = consumer else {
            return;
        };
        let Some(due) = consumer.next_due() else {
            return;
        };
        if consumer.timer_due.is_none_or(|armed| armed > due) {
            let key = Timer::Consumer(stream, id);
            engine.timers.arm(&mut consumer.timer_due, due, key);
        }
    }

    /// Sends what a consumer's step has led to, and lets go of the messages
    /// it is through with.
    pub(crate) fn carry_out<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        stream_id: StreamId,
        id: ConsumerId,
        effects: Effects,
        now: Time,
        out: &mut O,
    ) {
        let account = self.account_of(stream_id);
        for (to, status) in &effects.statuses {
            send_status(engine, account, to, status, out);
        }
        for note in &effects.notes {
            self.advise(engine, stream_id, id, note, out);
        }
        if effects.has_deaths {
            self.bury(engine, stream_id, id, now, out);
        }
        if effects.settled.is_empty() {
            return;
        }
        let Some(stream) = self.streams.get_mut(&stream_id) else {
            return;
        };
        if stream.config.retention == midge_api::Retention::Limits {
            return;
        }
        let mut is_waiting = false;
        for seq in effects.settled {
            if stream.release(seq).is_err() {
                stream.released.insert(seq);
                stream.row_dirty = true;
                is_waiting = true;
            }
        }
        if is_waiting {
            self.advance_later(stream_id);
        }
        self.cursor_changed(stream_id, now);
        self.tell_effects(engine, stream_id, now, out);
    }

    /// Sends what removals have led to.
    pub(crate) fn tell_effects<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        stream_id: StreamId,
        now: Time,
        out: &mut O,
    ) {
        let Some(stream) = self.streams.get_mut(&stream_id) else {
            return;
        };
        if stream.effects.is_empty() {
            return;
        }
        let wall = self.wall;
        for (id, effects) in std::mem::take(&mut stream.effects) {
            if effects.is_cleared
                && let Some(consumer) = self
                    .streams
                    .get_mut(&stream_id)
                    .and_then(|stream| stream.consumers.get_mut(&id))
            {
                // It counts as settled, as an ack would.
                consumer.last_acked = Some(wall);
            }
            self.carry_out(engine, stream_id, id, effects, now, out);
            self.make_ready(stream_id, id);
        }
    }
}

impl Consumer {
    /// Whether somebody is there to deliver to.
    pub(crate) fn has_receiver(&self) -> bool {
        if self.is_push() {
            self.is_bound && !self.flow.as_ref().is_some_and(|flow| flow.is_full())
        } else {
            !self.pulls.is_empty()
        }
    }

    /// Writes the subject that the next delivery is acknowledged by.
    /// What all of them begin with is there already.
    fn write_ack_reply(&self, record: &Record<'_>, deliveries: u32, subject: &mut Vec<u8>) {
        subject.truncate(self.ack_prefix.len());
        let ack = AckSubject {
            // Both stand in the prefix.
            stream: b"",
            consumer: b"",
            delivered: u64::from(deliveries),
            stream_seq: record.seq.0,
            consumer_seq: self.cursor.delivered.delivery.0 + 1,
            time: record.time,
            pending: self.pending - u64::from(deliveries == 1 && self.pending > 0),
        };
        ack.write_tail(subject);
    }

    /// Leaves a receiver that is far behind alone for a while, each time for
    /// longer.
    fn rest(&mut self, congested: bool, now: Time) {
        if !congested {
            self.rests = 0;
            return;
        }
        let rest = REST * (1 << self.rests.min(RESTS_MAX));
        self.rests += 1;
        self.not_before = Some(self.not_before.unwrap_or(now).max(now + rest));
    }

    /// Waits for the stream's own pace; true while it does.
    pub(super) fn holds_back(&mut self, seq: crate::Seq, time: Timestamp, now: Time) -> bool {
        if self.config.replay_policy != ReplayPolicy::Original || seq > self.replay_until {
            return false;
        }
        let Some(before) = self.replayed_time else {
            return false;
        };
        // Once waited for, the gap counts as passed.
        self.replayed_time = Some(time);
        let gap = duration(time.since(before));
        if gap < Duration::from_millis(1) {
            return false;
        }
        self.not_before = Some(now + gap);
        true
    }
}

#[allow(clippy::too_many_arguments)] // One call; a struct for it would only be taken apart again.
fn deliver<O: Outbox>(
    engine: &mut Engine,
    consumer: &mut Consumer,
    log: &Log,
    now: Time,
    wall: Timestamp,
    effects: &mut Effects,
    scratch: &mut Vec<u8>,
    out: &mut O,
) -> Turn {
    let mut bytes = 0;
    scratch.clear();
    scratch.extend_from_slice(&consumer.ack_prefix);
    for _ in 0..log.tuning.deliveries {
        if !consumer.has_receiver() {
            return Turn::Idle;
        }
        let (record, deliveries) = match next_record(consumer, log, now, wall, effects) {
            Ok(next) => next,
            Err(turn) => return turn,
        };
        let seq = record.seq;
        consumer.write_ack_reply(&record, deliveries, scratch);
        let mut message = Outgoing {
            account: consumer.account,
            subject: record.subject,
            reply: Some(scratch),
            payload: record.payload,
            header_len: record.header_len,
        };
        let bare;
        if consumer.config.headers_only {
            bare = without_body(&record);
            message.payload = &bare;
            message.header_len = bare.len();
        }
        let message = &message;
        let size = message_size(message);
        let to = if consumer.is_push() {
            push(engine, consumer, message, now, out)
        } else {
            let times = (now, wall);
            serve_pull(engine, consumer, message, deliveries, times, effects, out)
        };
        let Some(routed) = to else {
            // Nobody took it: it stays as it was, undelivered.
            if consumer.has_receiver() {
                consumer.run_dry(effects);
                return Turn::Idle;
            }
            continue;
        };
        consumer.delivered(seq, deliveries, now, wall, routed.receiver, effects);
        finish_pull(consumer, now, effects);
        consumer.pace(seq, record.time, size, now);
        if consumer.flow.is_some() && consumer.needs_answer(size) {
            ask_flow(engine, consumer, out);
        }
        consumer.rest(routed.congested, now);
        if consumer.not_before.is_some_and(|at| at > now) {
            return Turn::Idle;
        }
        bytes += size;
        if bytes > DELIVERED_BYTES_MAX {
            return Turn::More;
        }
    }
    Turn::More
}

/// What a consumer delivers next and how often it has by then, or how its turn
/// ends.
#[inline(always)]
fn next_record<'a>(
    consumer: &mut Consumer,
    log: &'a Log,
    now: Time,
    wall: Timestamp,
    effects: &mut Effects,
) -> Result<(Record<'a>, u32), Turn> {
    let (seq, deliveries) = match consumer.next(log, now, wall, effects) {
        Err(need) => return Err(Turn::Need(need)),
        Ok(Next::Message { seq, deliveries }) => (seq, deliveries),
        Ok(Next::Again) => return Err(Turn::More),
        Ok(Next::Later) if !consumer.is_paused(wall) => return Err(Turn::Idle),
        // Who does not want to wait is not left waiting for acks of
        // others, or for the end of a pause.
        Ok(Next::Dry | Next::Full | Next::Later) => {
            consumer.run_dry(effects);
            return Err(Turn::Idle);
        }
    };
    let record = match log.get(seq) {
        Err(need) => return Err(Turn::Need(need)),
        Ok(Some(record)) => record,
        // It turned out to be damaged: the log has taken note of it.
        Ok(None) => return Err(Turn::More),
    };
    if deliveries == 1 && consumer.holds_back(seq, record.time, now) {
        return Err(Turn::Idle);
    }
    Ok((record, deliveries))
}

/// The header block of a message whose body is left out.
fn without_body(record: &Record<'_>) -> Vec<u8> {
    let mut header = Vec::new();
    HeaderWriter::from_block(&mut header, record.header())
        .number(names::MSG_SIZE, record.body().len() as u64)
        .finish();
    header
}

/// Sends to the receiver of a push consumer; nothing if it is not there.
fn push<O: Outbox>(
    engine: &mut Engine,
    consumer: &mut Consumer,
    message: &Outgoing<'_>,
    now: Time,
    out: &mut O,
) -> Option<Routed> {
    // With a group it is the group that is delivered to; others who listen
    // there get it beside, as with any message.
    let to = consumer.config.deliver_subject.as_bytes();
    let routed = engine.send_out(to, message, out);
    if routed.receivers == 0 {
        consumer.is_bound = false;
        consumer.last_used = now;
        return None;
    }
    if consumer.config.idle_heartbeat.0 > 0 {
        consumer.heartbeat_due = Some(now + duration(consumer.config.idle_heartbeat));
    }
    Some(routed)
}

/// What a message counts for where bytes are counted.
fn message_size(message: &Outgoing<'_>) -> usize {
    let reply = message.reply.map_or(0, <[u8]>::len);
    message.subject.len() + reply + message.payload.len()
}

/// Sends to the first pull request that can take it; nothing if there is none.
fn serve_pull<O: Outbox>(
    engine: &mut Engine,
    consumer: &mut Consumer,
    message: &Outgoing<'_>,
    deliveries: u32,
    (now, wall): (Time, Timestamp),
    effects: &mut Effects,
    out: &mut O,
) -> Option<Routed> {
    let size = i64::try_from(message_size(message)).unwrap_or(i64::MAX);
    let is_pinning = consumer.config.priority_policy == PriorityPolicy::PinnedClient;
    while consumer.bring_forward(deliveries, now, effects) {
        let pull = consumer.pulls.front_mut()?;
        let (wanted, bytes_left) = (pull.wanted, pull.bytes_left);
        let status = if pull.is_expired(now) {
            Some(Status::RequestTimeout { wanted, bytes_left })
        } else if bytes_left > 0 && bytes_left < size {
            Some(Status::TooLarge { wanted, bytes_left })
        } else {
            None
        };
        if status.is_none() {
            let routed = if is_pinning {
                send_pinned(engine, consumer, message, (now, wall), effects, out)
            } else {
                engine.send_out(&pull.reply, message, out)
            };
            if routed.receivers > 0 {
                consumer.pulls.count_bytes(size);
                return Some(routed);
            }
        }
        // Its time is up, or nobody listens any more.
        if let Some(pull) = consumer.pulls.pop()
            && let Some(status) = status
        {
            effects.statuses.push((pull.reply, status));
        }
    }
    None
}

/// The pull request in front has got its message.
fn finish_pull(consumer: &mut Consumer, now: Time, effects: &mut Effects) {
    if consumer.is_push() {
        return;
    }
    if let Some(done) = consumer.pulls.served(now)
        && done.bytes_left > 0
    {
        let status = Status::BatchCompleted {
            wanted: done.wanted,
            bytes_left: done.bytes_left,
        };
        effects.statuses.push((done.reply, status));
    }
}

pub(super) fn send_status<O: Outbox>(
    engine: &mut Engine,
    account: AccountId,
    to: &[u8],
    status: &Status,
    out: &mut O,
) {
    let left = |wanted, bytes_left| Some((wanted, bytes_left));
    let (code, text, left) = match *status {
        Status::NoMessages => (404, "No Messages", None),
        Status::ConsumerDeleted => (409, "Consumer Deleted", None),
        Status::RequestTimeout { wanted, bytes_left } => {
            (408, "Request Timeout", left(wanted, bytes_left))
        }
        Status::TooLarge { wanted, bytes_left } => (
            409,
            "Message Size Exceeds MaxBytes",
            left(wanted, bytes_left),
        ),
        Status::BatchCompleted { wanted, bytes_left } => {
            (409, "Batch Completed", left(wanted, bytes_left))
        }
        Status::ServerShutdown { wanted, bytes_left } => {
            (409, "Server Shutdown", left(wanted, bytes_left))
        }
        Status::WrongPin { wanted, bytes_left } => {
            (423, "Nats-Wrong-Pin-Id", left(wanted, bytes_left))
        }
        Status::Heartbeat { .. } => (100, "Idle Heartbeat", None),
    };
    let mut header = Vec::new();
    let mut writer = HeaderWriter::status(&mut header, code, text);
    if let Some((wanted, bytes_left)) = left {
        writer = writer
            .header(names::PENDING_MESSAGES, wanted.to_string().as_bytes())
            .header(names::PENDING_BYTES, bytes_left.to_string().as_bytes());
    }
    if let Status::Heartbeat { delivery, seq } = *status {
        writer = writer
            .number(names::LAST_CONSUMER, delivery.0)
            .number(names::LAST_STREAM, seq.0);
    }
    writer.finish();
    engine.send_status(account, to, None, &header, out);
}
