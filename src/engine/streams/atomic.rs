//! Batches of messages of which all are stored, or none.
//!
//! What has come of a batch is kept in memory until its last message is
//! there. Then all of it is checked against the stream as it is, and stored
//! in one turn, which is one commit: after any crash there is all of it or
//! nothing.

use super::counters::Counted;
use super::expectations::{Expectations, Rollup, number};
use super::fast_ingest::without_level;
use super::intake::{Checked, Incoming, Staged, Stored};
use super::internal::Internal;
use super::request::wants_higher_level;
use super::rewritten::Rewritten;
use super::stream::Stream;
use super::streams::Streams;
use super::take_in::acknowledge;
use crate::Time;
use crate::account::Sink;
use crate::engine::{Engine, Timer};
use crate::ids::{Seq, StreamId};
use crate::outbox::Outbox;
use crate::publish::Origin;
use bytes::Bytes;
use midge_api::advisory::Event;
use midge_api::{ApiError, Timestamp};
use midge_proto::encode::Decimal;
use midge_proto::escape;
use midge_proto::headers::{HeaderBlock, HeaderWriter, name};
use std::collections::{BTreeMap, BTreeSet};

/// The longest name of a batch.
pub(super) const ID_LEN_MAX: usize = 64;

/// Bytes that may wait in batches, of all streams together. Some publishers
/// with large batches at a time; more would be memory that nobody has asked
/// the disk for.
const BATCHED_LEN_MAX: usize = 32 * 1024 * 1024;

/// Bytes that the messages of a batch may come to when counters make them
/// longer: as many as may wait.
const COUNTED_LEN_MAX: usize = BATCHED_LEN_MAX;

/// Subjects that are looked at for the filters of a batch, all of them once for
/// each. That takes a fraction of a second, in which nothing else is done. One
/// filter is always looked for, as it is for a message outside of a batch.
const LOOKED_AT_MAX: usize = 2_000_000;

/// What a message that waits costs beside its bytes.
const MESSAGE_COST: usize = 256;

/// A stream's batches that are not whole.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    open: BTreeMap<Box<[u8]>, Box<Batch>>,
    due: Option<Time>,
}

#[derive(Debug, Default)]
struct Batch {
    messages: Vec<Internal>,
    len: usize,
    due: Time,
}

/// What a message says of its batch.
struct Place<'a> {
    id: &'a [u8],
    seq: u64,
    /// It is the last, and whether it is stored itself.
    commit: Option<bool>,
}

impl<'a> Place<'a> {
    fn read(id: &'a [u8], header: &'a [u8]) -> Result<Place<'a>, ApiError> {
        if id.len() > ID_LEN_MAX {
            return Err(ApiError::ATOMIC_PUBLISH_INVALID_BATCH_ID);
        }
        let header = HeaderBlock::new(header);
        let seq = header.get(name::BATCH_SEQUENCE).and_then(number);
        let commit = match header.get(name::BATCH_COMMIT) {
            None => None,
            Some(b"1") => Some(true),
            Some(b"eob") => Some(false),
            Some(_) => return Err(ApiError::ATOMIC_PUBLISH_INVALID_BATCH_COMMIT),
        };
        Ok(Place {
            id,
            seq: seq.ok_or(ApiError::ATOMIC_PUBLISH_MISSING_SEQ)?,
            commit,
        })
    }
}

/// A batch that has failed: the error, and what is told of it.
struct Failed(ApiError, Option<&'static str>);

impl From<ApiError> for Failed {
    fn from(error: ApiError) -> Self {
        Failed(error, None)
    }
}

impl Streams {
    /// A message of a batch; `id` is what the batch is called.
    #[allow(clippy::too_many_arguments)] // The message and the world, once.
    pub(super) fn publish_batched<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        id: StreamId,
        batch_id: &[u8],
        from: Origin,
        message: Incoming<'_>,
        reply: Option<&[u8]>,
        out: &mut O,
    ) {
        let header = &message.payload[..message.header_len];
        let done = Place::read(batch_id, header)
            .map_err(Failed::from)
            .and_then(|place| self.step_batch(engine, id, &place, from, message, reply, out));
        if let Err(Failed(error, told)) = done {
            let stream = self.streams.get(&id);
            let is_missing = stream.is_some_and(|stream| stream.missing.is_some());
            let is_size = error == ApiError::STREAM_MESSAGE_EXCEEDS_MAXIMUM;
            if !is_size && !is_missing {
                self.abandon(engine, id, batch_id, told, out);
            }
            self.refuse_publish(engine, id, &error, from, message, reply, out);
        }
        self.arm_batches(engine, id);
    }

    #[allow(clippy::too_many_arguments)] // The message and the world, once.
    fn step_batch<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        id: StreamId,
        place: &Place<'_>,
        from: Origin,
        message: Incoming<'_>,
        reply: Option<&[u8]>,
        out: &mut O,
    ) -> Result<(), Failed> {
        let limits = self.config.limits.batches;
        let Some(stream) = self.streams.get_mut(&id) else {
            return Ok(());
        };
        let is_stored = place.commit != Some(false);
        if place.seq > limits.max_messages + u64::from(!is_stored) {
            let error = ApiError::atomic_publish_too_large_batch(limits.max_messages);
            return Err(Failed(error, Some("large")));
        }
        stream.check_size(message)?;
        stream
            .batches
            .check_known(place, limits.max_inflight_per_stream)?;
        if wants_higher_level(&message.payload[..message.header_len]) {
            return Err(Failed(ApiError::REQUIRED_API_LEVEL, Some("unsupported")));
        }
        stream.batches.check_next(place)?;
        if is_stored {
            let len = message.subject.len() + message.payload.len() + MESSAGE_COST;
            if self.batched_len + len > BATCHED_LEN_MAX {
                return Err(Failed(ApiError::INSUFFICIENT_RESOURCES, Some("large")));
            }
            self.batched_len += len;
            let due = engine.latest + limits.timeout;
            stream.batches.add(id, place.id, from, message, len, due);
        }
        if place.commit.is_none() {
            if let Some(reply) = reply.filter(|_| !stream.config.no_ack) {
                engine.answer(from.account, reply, b"", out);
            }
            return Ok(());
        }
        let Some(mut batch) = stream.batches.open.remove(place.id) else {
            return Ok(());
        };
        if !is_stored {
            batch.mark_last();
        }
        let checked = stream.check_batch(&batch.messages, self.wall);
        let checked = checked.and_then(|counted| {
            let len_of = |is_volatile| batch.accounted_len(&counted, is_volatile);
            match self.has_room_for_all(id, &len_of) {
                true => Ok(counted),
                false => Err(ApiError::ACCOUNT_RESOURCES_EXCEEDED.into()),
            }
        });
        match checked {
            Ok(counted) => {
                self.batched_len -= batch.len;
                self.store_batch(engine, id, place.id, &batch, &counted, from, reply, out);
                Ok(())
            }
            Err(failed) => {
                self.keep_batch(id, place.id, batch, is_stored);
                Err(failed)
            }
        }
    }

    /// A batch could not be stored. If that is for want of a block its last
    /// message comes again; else it is abandoned in a moment.
    fn keep_batch(&mut self, id: StreamId, batch_id: &[u8], mut batch: Box<Batch>, has_last: bool) {
        if has_last && let Some(last) = batch.messages.pop() {
            let len = last.subject.len() + last.payload.len() + MESSAGE_COST;
            batch.len -= len;
            self.batched_len -= len;
        }
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.batches.open.insert(batch_id.into(), batch);
        }
    }

    /// Stores what was checked, and tells who has ended the batch.
    #[allow(clippy::too_many_arguments)] // The batch and the world, once.
    fn store_batch<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        id: StreamId,
        batch_id: &[u8],
        batch: &Batch,
        counted: &[Counted],
        from: Origin,
        reply: Option<&[u8]>,
        out: &mut O,
    ) {
        let wall = self.wall;
        let (mut len, mut last) = (0, Seq(0));
        for (place, message) in batch.messages.iter().enumerate() {
            let Some(stream) = self.streams.get_mut(&id) else {
                return;
            };
            let counted = counted.get(place).map(|counted| &counted.message);
            let incoming = message.incoming().rewritten(counted);
            // It was looked for when the batch was checked.
            let before = stream.seq_before(incoming.subject).unwrap_or_default();
            let header = &incoming.payload[..incoming.header_len];
            let asked = Expectations::read(header);
            last = stream.store_checked(incoming, &asked, wall);
            stream.publishers.add(last, message.origin.conn);
            self.count_in(id, incoming);
            len += incoming.subject.len() + incoming.payload.len();
            len += self.republish(engine, id, last, before, out);
        }
        let more = batch_fields(batch_id, batch.messages.len() as u64);
        let Some(stream) = self.streams.get(&id) else {
            return;
        };
        let (answers, scratch) = (&mut self.answers, &mut self.scratch);
        let stored = Stored::New(last);
        len += acknowledge(
            stream, answers, scratch, engine, stored, &more, from, reply, out,
        );
        self.after_store(id, len);
    }

    /// Forgets a batch, and tells those who watch if there was one.
    fn abandon<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        id: StreamId,
        batch_id: &[u8],
        reason: Option<&'static str>,
        out: &mut O,
    ) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if let Some(batch) = stream.batches.open.remove(batch_id) {
            self.batched_len -= batch.len;
        } else if !matches!(reason, Some("incomplete" | "unsupported")) {
            return;
        }
        let (account, stream) = (stream.account, stream.config.name.clone());
        if let Some(reason) = reason {
            let event = Event::BatchAbandoned {
                stream: &stream,
                batch: &String::from_utf8_lossy(batch_id),
                reason,
            };
            self.publish_event(engine, account, &event, out);
        }
    }

    /// A stream's batches may have waited for too long.
    pub(crate) fn batches_due<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        id: StreamId,
        now: Time,
        out: &mut O,
    ) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.batches.due = None;
        let idle = stream.batches.open.iter();
        let idle: Vec<Box<[u8]>> = idle
            .filter(|(_, batch)| batch.due <= now)
            .map(|(batch_id, _)| batch_id.clone())
            .collect();
        for batch_id in idle {
            self.abandon(engine, id, &batch_id, Some("timeout"), out);
        }
        self.arm_batches(engine, id);
    }

    /// Has the timer of a stream's batches be that of the first.
    fn arm_batches(&mut self, engine: &mut Engine, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let batches = &mut stream.batches;
        let due = batches.open.values().map(|batch| batch.due).min();
        match due {
            // One that waits less long is armed again when it is due.
            Some(due) if batches.due.is_none_or(|armed| armed > due) => {
                engine.timers.arm(&mut batches.due, due, Timer::Batches(id));
            }
            Some(_) => {}
            None => engine.timers.disarm(&mut batches.due, Timer::Batches(id)),
        }
    }

    /// Forgets the batches of a stream that goes, or does not take any more.
    pub(super) fn forget_batches(&mut self, engine: &mut Engine, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id) {
            let open = std::mem::take(&mut stream.batches.open);
            self.batched_len -= open.values().map(|batch| batch.len).sum::<usize>();
        }
        self.arm_batches(engine, id);
    }
}

impl Batches {
    /// Whether a batch is open, or may be begun with this message.
    fn check_known(&self, place: &Place<'_>, open_max: usize) -> Result<(), ApiError> {
        if self.open.contains_key(place.id) {
            Ok(())
        } else if place.seq != 1 {
            Err(ApiError::ATOMIC_PUBLISH_INCOMPLETE_BATCH)
        } else if self.open.len() >= open_max {
            Err(ApiError::ATOMIC_PUBLISH_TOO_MANY_INFLIGHT)
        } else {
            Ok(())
        }
    }

    /// Whether a message is the next of its batch, or the first of a new one.
    fn check_next(&self, place: &Place<'_>) -> Result<(), Failed> {
        let incomplete = ApiError::ATOMIC_PUBLISH_INCOMPLETE_BATCH;
        let is_next = match self.open.get(place.id) {
            Some(batch) => place.seq == batch.messages.len() as u64 + 1,
            // Nothing is to be stored.
            None => place.commit != Some(false),
        };
        match is_next {
            true => Ok(()),
            false => Err(Failed(incomplete, Some("incomplete"))),
        }
    }

    fn add(
        &mut self,
        stream: StreamId,
        id: &[u8],
        from: Origin,
        message: Incoming<'_>,
        len: usize,
        due: Time,
    ) {
        let batch = self.open.entry(id.into()).or_default();
        batch.due = due;
        batch.len += len;
        let (payload, header_len) = match without_level(message) {
            Some(changed) => (changed.payload.into(), changed.header_len),
            None => (Bytes::copy_from_slice(message.payload), message.header_len),
        };
        batch.messages.push(Internal {
            origin: from,
            sink: Sink::Stream(stream),
            subject: message.subject.into(),
            reply: None,
            payload,
            header_len,
        });
    }
}

impl Batch {
    /// What its messages come to in a stream, where those of counters are
    /// stored as they were counted.
    fn accounted_len(&self, counted: &[Counted], is_volatile: bool) -> u64 {
        let all = self.messages.iter().enumerate();
        all.map(|(place, message)| {
            let counted = counted.get(place).map(|counted| &counted.message);
            let stored = message.incoming().rewritten(counted);
            stored.accounted_len(is_volatile)
        })
        .sum()
    }

    /// Has the last message say so itself, where what came after it only
    /// ended the batch.
    fn mark_last(&mut self) {
        let Some(last) = self.messages.last_mut() else {
            return;
        };
        let (header, body) = last.payload.split_at(last.header_len);
        if HeaderBlock::new(header).get(name::BATCH_COMMIT).is_some() {
            return;
        }
        let mut changed = Vec::with_capacity(last.payload.len() + 32);
        HeaderWriter::from_block(&mut changed, header)
            .header(name::BATCH_COMMIT, b"1")
            .finish();
        let changed = Rewritten::of(changed, body);
        last.header_len = changed.header_len;
        last.payload = changed.payload.into();
    }
}

/// The fields of a PubAck that tell of a batch.
pub(super) fn batch_fields(id: &[u8], count: u64) -> Vec<u8> {
    let mut fields = b",\"batch\":\"".to_vec();
    escape(&mut fields, &String::from_utf8_lossy(id));
    fields.extend_from_slice(b"\",\"count\":");
    fields.extend_from_slice(Decimal::from_u64(count).as_bytes());
    fields
}

/// What there was of a subject: messages, and the place of the last.
#[derive(Default)]
struct Seen {
    messages: u64,
    place: usize,
}

/// What the messages of a batch before one would have changed.
#[derive(Default)]
struct Before<'a> {
    staged: Staged,
    subjects: BTreeMap<&'a [u8], Seen>,
    ids: BTreeSet<&'a [u8]>,
    /// The last message that a filter means, of the stream, and how many
    /// subjects were looked at for that.
    last_of: Vec<(&'a [u8], Seq)>,
    looked_at: usize,
}

impl Before<'_> {
    /// Whether one of them is of this subject, or of one that a filter means.
    fn touches(&self, subject: &[u8]) -> bool {
        if midge_proto::is_literal(subject) {
            return self.subjects.contains_key(subject);
        }
        let mut own = self.subjects.keys();
        own.any(|own| midge_proto::matches(subject, own))
    }
}

impl Stream {
    /// Checks all messages of a batch against the stream before it. Those of
    /// counters are returned as they are to be stored.
    fn check_batch(
        &mut self,
        messages: &[Internal],
        wall: Timestamp,
    ) -> Result<Vec<Counted>, Failed> {
        let mut before = Before::default();
        let mut counted: Vec<Counted> = Vec::new();
        let mut counted_len = 0;
        for (place, message) in messages.iter().enumerate() {
            let subject = &*message.subject;
            if self.config.allow_msg_counter {
                let seen = before.subjects.get(subject);
                let so_far = seen.and_then(|seen| counted.get(seen.place));
                let done = self.count(message.incoming(), so_far)?;
                counted_len += done.message.payload.len();
                if counted_len > COUNTED_LEN_MAX {
                    return Err(Failed(ApiError::INSUFFICIENT_RESOURCES, Some("large")));
                }
                counted.push(done);
            }
            let rewritten = counted.get(place).map(|counted| &counted.message);
            let incoming = message.incoming().rewritten(rewritten);
            let asked = Expectations::read(&message.payload[..message.header_len]);
            let (msg_id, is_rollup) = (asked.msg_id, asked.rollup.is_some());
            self.check_one(asked, incoming, place as u64, &mut before, wall)?;
            if msg_id.is_some_and(|id| !before.ids.insert(id)) {
                return Err(ApiError::ATOMIC_PUBLISH_CONTAINS_DUPLICATE_MESSAGE.into());
            }
            self.seq_before(subject)?;
            let seen = before.subjects.entry(subject).or_default();
            before.staged.of_subject = seen.messages;
            seen.messages += 1;
            seen.place = place;
            if !self.check_room(incoming, is_rollup, &before.staged)? {
                before.staged.messages += 1;
            }
            before.staged.bytes += incoming.accounted_len(self.is_volatile());
        }
        Ok(counted)
    }

    fn check_one<'a>(
        &mut self,
        mut asked: Expectations<'a>,
        message: Incoming<'_>,
        place: u64,
        before: &mut Before<'a>,
        wall: Timestamp,
    ) -> Result<(), ApiError> {
        self.check_subject(message.subject)?;
        self.check_size(message)?;
        if asked.last_msg_id.is_some() {
            let header = String::from_utf8_lossy(name::EXPECTED_LAST_MSG_ID);
            return Err(ApiError::atomic_publish_unsupported_header_batch(header));
        }
        // Only the first is checked against the last of the stream.
        if place > 0
            && let Some(expected) = asked.last_seq.take()
        {
            let last = self.log.last().0 + place;
            return Err(match number(expected) == Some(last) {
                true => ApiError::STREAM_WRONG_LAST_SEQUENCE_CONSTANT,
                false => ApiError::stream_wrong_last_sequence(last),
            });
        }
        if asked.last_subject_seq.is_some() {
            let subject = asked.last_subject.unwrap_or(message.subject);
            if before.touches(subject) {
                return Err(ApiError::STREAM_WRONG_LAST_SEQUENCE_CONSTANT);
            }
            let filter = asked.last_subject;
            if let Some(filter) = filter.filter(|filter| !midge_proto::is_literal(filter)) {
                asked.last_known = Some(self.last_of_filter(filter, before)?);
            }
        }
        if let Checked::Duplicate(_) = self.check_asked(&asked, message, wall)? {
            return Err(ApiError::ATOMIC_PUBLISH_CONTAINS_DUPLICATE_MESSAGE);
        }
        let is_late = match asked.rollup()? {
            Some(Rollup::Subject) => before.subjects.contains_key(message.subject),
            Some(Rollup::All) => place > 0,
            None => false,
        };
        if is_late {
            let value = String::from_utf8_lossy(asked.rollup.unwrap_or_default());
            let text = format!("batch rollup {value} invalid");
            return Err(ApiError::stream_rollup_failed(text));
        }
        Ok(())
    }
    /// The last message that a filter means, which is looked for once.
    fn last_of_filter<'a>(
        &mut self,
        filter: &'a [u8],
        before: &mut Before<'a>,
    ) -> Result<Seq, ApiError> {
        if let Some((_, last)) = before.last_of.iter().find(|(own, _)| *own == filter) {
            return Ok(*last);
        }
        let is_first = before.last_of.is_empty();
        before.looked_at += self.log.subjects.len();
        if before.looked_at > LOOKED_AT_MAX && !is_first {
            return Err(ApiError::INSUFFICIENT_RESOURCES);
        }
        let last = self.last_seq_of(filter)?;
        before.last_of.push((filter, last));
        Ok(last)
    }
}
