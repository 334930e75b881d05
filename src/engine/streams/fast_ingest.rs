//! Batches whose messages are stored as they come.
//!
//! A publisher with much to store says where in its batch a message stands
//! ([`super::fast`]), and is answered now and then instead of each time. What
//! is acknowledged is safe, as with any message: those answers wait for the
//! disk. Word of a gap or an error promises nothing and leaves at once. A batch
//! is known in memory only; after a restart its publisher is told that it is
//! not, and what was stored stays.

use super::answers::OnFailure;
use super::atomic::batch_fields;
use super::expectations::Expectations;
use super::fast::{FastBatch, Operation, Place};
use super::intake::{Incoming, Stored};
use super::request::wants_higher_level;
use super::rewritten::Rewritten;
use super::streams::Streams;
use crate::Time;
use crate::engine::{Engine, Timer};
use crate::ids::{Seq, StreamId};
use crate::outbox::Outbox;
use crate::publish::Origin;
use midge_api::{ApiError, BatchFlow, PubAck};
use midge_proto::headers::{HeaderBlock, name, without};

/// Batches of a stream, and of all streams together, that are not at their
/// end: those of nats-server.
const OPEN_MAX: usize = 1000;
const OPEN_TOTAL_MAX: usize = 50_000;

/// A stream's batches that are not at their end.
#[derive(Debug, Default)]
pub(crate) struct FastBatches {
    /// In the order of their names. One that begins or ends moves others, and
    /// all messages between need only be looked up.
    open: Vec<(Box<[u8]>, FastBatch)>,
    /// When the first of them may have waited for too long; some have not, as
    /// this is not moved with every message.
    due: Option<Time>,
}

/// A message of a batch, with where its publisher hears of it.
#[derive(Clone, Copy)]
struct Step<'a> {
    stream: StreamId,
    place: Place<'a>,
    from: Origin,
    reply: &'a [u8],
}

/// How a batch ends.
enum End {
    /// With the messages up to some place.
    Counted,
    /// With one message, which was stored before.
    Duplicate(Seq),
    /// With its only message, which was not stored.
    Refused(ApiError),
}

impl Streams {
    /// A message of a batch; `reply` says which.
    #[allow(clippy::too_many_arguments)] // The message and the world, once.
    pub(super) fn publish_fast<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        id: StreamId,
        from: Origin,
        message: Incoming<'_>,
        reply: &[u8],
        out: &mut O,
    ) {
        let done = self
            .find_fast(engine, id, message, reply)
            .and_then(|(place, batch)| {
                let step = Step {
                    stream: id,
                    place,
                    from,
                    reply,
                };
                self.step_fast(engine, step, batch, message, out)
            });
        let Err(error) = done else {
            return;
        };
        let stream = self.streams.get(&id);
        if let Some(stream) = stream.filter(|stream| !stream.config.no_ack)
            && error == ApiError::BATCH_PUBLISH_UNKNOWN_BATCH_ID
            && !self.is_settled()
        {
            // How the batch ended may wait for the disk, and comes first.
            let mut body = Vec::new();
            PubAck::write_error(&mut body, &stream.config.name, &error);
            return self.promise(engine, id, from, reply, &body, out);
        }
        self.refuse_publish(engine, id, &error, from, message, Some(reply), out);
    }

    /// The batch of a message, which begins with it if there is none.
    fn find_fast<'a>(
        &mut self,
        engine: &mut Engine,
        id: StreamId,
        message: Incoming<'_>,
        reply: &'a [u8],
    ) -> Result<(Place<'a>, FastBatch), ApiError> {
        let stream = self.streams.get_mut(&id);
        let stream = stream.ok_or(ApiError::STREAM_NOT_FOUND)?;
        stream.check_subject(message.subject)?;
        stream.check_size(message)?;
        if !stream.config.allow_batched {
            return Err(ApiError::BATCH_PUBLISH_DISABLED);
        }
        let place = Place::read(reply)?;
        let fast = &mut stream.fast;
        let due = engine.latest + self.config.limits.batches.timeout;
        let found = fast.find(place.id);
        if found.is_err() {
            if !place.is_first() {
                return Err(ApiError::BATCH_PUBLISH_UNKNOWN_BATCH_ID);
            }
            if fast.open.len() >= OPEN_MAX || self.fast_open >= OPEN_TOTAL_MAX {
                return Err(ApiError::BATCH_PUBLISH_TOO_MANY_INFLIGHT);
            }
        }
        if wants_higher_level(&message.payload[..message.header_len]) {
            self.fast_open -= fast.remove(place.id);
            return Err(ApiError::REQUIRED_API_LEVEL);
        }
        match found {
            Ok(at) => {
                let mut batch = fast.open[at].1;
                batch.due = due;
                Ok((place, batch))
            }
            Err(at) => {
                let batch = FastBatch::new(&place, fast.open.is_empty(), due);
                fast.open.insert(at, (place.id.into(), batch));
                self.fast_open += 1;
                if fast.due.is_none() {
                    let timer = Timer::FastBatches(id);
                    engine.timers.arm(&mut fast.due, due, timer);
                }
                Ok((place, batch))
            }
        }
    }

    /// Does what a message asks for. An error that is returned is that of a
    /// message which is as if it had not come.
    fn step_fast<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        step: Step<'_>,
        mut batch: FastBatch,
        message: Incoming<'_>,
        out: &mut O,
    ) -> Result<(), ApiError> {
        let place = step.place;
        let is_new = batch.is_new();
        let arrival = batch.arrive(&place);
        let is_stored = matches!(place.operation, Operation::Store | Operation::Commit);
        let mut stored = None;
        if is_stored && !arrival.is_last {
            let done = self.store_fast(engine, step, message, out);
            let stream = self.streams.get(&step.stream);
            if stream.is_some_and(|stream| stream.missing.is_some()) {
                // It comes again when what is missing is there.
                return done.map(|_| ());
            }
            stored = Some(done);
        }
        if let Some((expected, seq)) = arrival.gap {
            self.tell(engine, step, BatchFlow::Gap { expected, seq }, out);
        }
        // What a batch asks for it hears from any stream, as with nats-server.
        let stream = self.streams.get(&step.stream);
        let is_answered = stream.is_some_and(|stream| !stream.config.no_ack);
        if is_new && is_answered && place.operation == Operation::Store {
            self.tell(engine, step, batch.progress(), out);
        }
        let end = match stored {
            Some(Ok(stored)) => self.stored_fast(engine, step, &mut batch, stored, out),
            Some(Err(error)) => self.refused_fast(engine, step, &mut batch, error, out),
            None if arrival.is_last || place.operation == Operation::End => Some(End::Counted),
            None => {
                self.acknowledge_fast(engine, step, &batch, out);
                None
            }
        };
        match end {
            Some(end) => self.end_fast(engine, step, &batch, end, out),
            None => self.keep_fast(step, batch),
        }
        Ok(())
    }

    fn store_fast<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        step: Step<'_>,
        message: Incoming<'_>,
        out: &mut O,
    ) -> Result<Stored, ApiError> {
        let wall = self.wall;
        let cleaned = without_level(message);
        let message = message.rewritten(cleaned.as_ref());
        let stream = self.streams.get_mut(&step.stream);
        let stream = stream.ok_or(ApiError::STREAM_NOT_FOUND)?;
        // Who publishes a batch again expects of the stream what held before.
        let asked = Expectations::read(&message.payload[..message.header_len]);
        if let Some(seq) = stream.duplicate_of(&asked, wall)? {
            return Ok(Stored::Duplicate(seq));
        }
        let (before, stored, _) = stream.store_special(message, wall)?;
        let Stored::New(seq) = stored else {
            return Ok(stored);
        };
        stream.publishers.add(seq, step.from.conn);
        self.count_in(step.stream, message);
        let mut len = message.payload.len() + message.subject.len();
        len += self.republish(engine, step.stream, seq, before, out);
        self.after_store(step.stream, len);
        Ok(stored)
    }

    /// What follows from a message that is stored.
    fn stored_fast<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        step: Step<'_>,
        batch: &mut FastBatch,
        stored: Stored,
        out: &mut O,
    ) -> Option<End> {
        let place = step.place;
        batch.stored(&place, stored);
        let end = match stored {
            Stored::Duplicate(seq) if batch.depends_on(&place) => End::Duplicate(seq),
            _ => End::Counted,
        };
        let is_commit = place.operation == Operation::Commit;
        let open = self.streams.get(&step.stream)?.fast.open.len();
        // The last one is acknowledged with all of them, unless it is known.
        let is_told = !is_commit || matches!(stored, Stored::Duplicate(_));
        if is_told && batch.advance(place.seq, open) {
            self.acknowledge_fast(engine, step, batch, out);
        }
        is_commit.then_some(end)
    }

    /// What follows from a message that cannot be stored.
    fn refused_fast<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        step: Step<'_>,
        batch: &mut FastBatch,
        error: ApiError,
        out: &mut O,
    ) -> Option<End> {
        let place = step.place;
        if batch.depends_on(&place) {
            return Some(End::Refused(error));
        }
        let told = BatchFlow::Error {
            seq: place.seq,
            error: &error,
        };
        self.tell(engine, step, told, out);
        match batch.refused(&place) {
            true => None,
            false => Some(End::Counted),
        }
    }

    /// Tells a publisher something that promises nothing.
    fn tell<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        step: Step<'_>,
        told: BatchFlow<'_>,
        out: &mut O,
    ) {
        engine.answer(step.from.account, step.reply, &told.to_json(), out);
    }

    /// Tells a publisher how far its batch is safe.
    fn acknowledge_fast<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        step: Step<'_>,
        batch: &FastBatch,
        out: &mut O,
    ) {
        self.promise(
            engine,
            step.stream,
            step.from,
            step.reply,
            &batch.progress().to_json(),
            out,
        );
    }

    /// Tells a publisher something once all that was done is safe.
    fn promise<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        id: StreamId,
        from: Origin,
        reply: &[u8],
        body: &[u8],
        out: &mut O,
    ) {
        let Some(stream) = self.streams.get(&id) else {
            return;
        };
        if stream.acks_at_once() {
            engine.answer(from.account, reply, body, out);
            return;
        }
        // The batch is not known any more when the disk is back, so that
        // whatever its publisher waits for, this ends it.
        let refused = OnFailure::PubAckOf(&stream.config.name);
        self.answers.push(from.account, reply, refused, |waiting| {
            waiting.extend_from_slice(body);
        });
        self.is_urgent = true;
        self.stored_bytes(reply.len());
    }

    fn keep_fast(&mut self, step: Step<'_>, batch: FastBatch) {
        let Some(stream) = self.streams.get_mut(&step.stream) else {
            return;
        };
        let fast = &mut stream.fast;
        if let Ok(at) = fast.find(step.place.id) {
            fast.open[at].1 = batch;
        }
    }

    /// Forgets a batch, and tells its publisher what is stored of it.
    fn end_fast<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        step: Step<'_>,
        batch: &FastBatch,
        end: End,
        out: &mut O,
    ) {
        let id = step.place.id;
        let Some(stream) = self.streams.get_mut(&step.stream) else {
            return;
        };
        self.fast_open -= stream.fast.remove(id);
        let mut body = Vec::new();
        let (seq, duplicate) = match end {
            End::Refused(error) => {
                PubAck::write_error(&mut body, &stream.config.name, &error);
                engine.answer(step.from.account, step.reply, &body, out);
                return;
            }
            End::Duplicate(seq) => (seq.0, true),
            End::Counted => (batch.last_stored().0, false),
        };
        let ack = PubAck {
            head: &stream.ack_head,
            seq,
            duplicate,
            more: &batch_fields(id, batch.count()),
        };
        ack.write(&mut body);
        self.promise(engine, step.stream, step.from, step.reply, &body, out);
    }

    /// Batches of a stream may have waited for too long. Nobody is told: who
    /// goes on with one is.
    pub(crate) fn fast_due(&mut self, engine: &mut Engine, id: StreamId, now: Time) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let fast = &mut stream.fast;
        fast.due = None;
        let before = fast.open.len();
        fast.open.retain(|(_, batch)| batch.due > now);
        self.fast_open -= before - fast.open.len();
        if let Some(due) = fast.open.iter().map(|(_, batch)| batch.due).min() {
            let timer = Timer::FastBatches(id);
            engine.timers.arm(&mut fast.due, due, timer);
        }
    }

    /// Forgets the batches of a stream that goes, or does not take any more.
    pub(super) fn forget_fast(&mut self, engine: &mut Engine, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id) {
            let fast = &mut stream.fast;
            self.fast_open -= std::mem::take(&mut fast.open).len();
            engine.timers.disarm(&mut fast.due, Timer::FastBatches(id));
        }
    }
}

impl FastBatches {
    /// Where a batch is, or would be.
    fn find(&self, id: &[u8]) -> Result<usize, usize> {
        self.open.binary_search_by(|(other, _)| (**other).cmp(id))
    }

    /// Forgets a batch; returns how many there were of it.
    fn remove(&mut self, id: &[u8]) -> usize {
        let found = self.find(id).map(|at| self.open.remove(at));
        usize::from(found.is_ok())
    }
}

/// A message of a batch without the header that was for the server, if it has
/// that.
pub(super) fn without_level(message: Incoming<'_>) -> Option<Rewritten> {
    let header = &message.payload[..message.header_len];
    if header.is_empty() {
        return None;
    }
    let level = HeaderBlock::new(header).get(name::REQUIRED_API_LEVEL);
    level.filter(|level| !level.is_empty())?;
    let kept = without(header, &|key| key == name::REQUIRED_API_LEVEL);
    Some(Rewritten::of(kept, message.body()))
}
