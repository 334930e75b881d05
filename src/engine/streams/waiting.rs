//! Messages for streams that do more than to store them, and messages that
//! wait.
//!
//! Whether a message may be stored can depend on one that is in a block which
//! is not in memory. Then the message waits for the block, and those behind
//! it wait for the message: publishers to one stream see their order kept,
//! and nobody sees an error that is none.

use super::counters::Counted;
use super::expectations::Expectations;
use super::fast::is_fast;
use super::intake::{Incoming, Stored};
use super::internal::Internal;
use super::stream::Stream;
use super::streams::{Health, Streams};
use super::take_in::acknowledge;
use crate::account::Sink;
use crate::engine::Engine;
use crate::ids::{Seq, StreamId};
use crate::outbox::Outbox;
use crate::publish::Origin;
use bytes::Bytes;
use midge_api::{ApiError, Timestamp};

/// Bytes of messages that may wait, of all streams: a block is read in some
/// milliseconds, in which few come. Who finds no room is told to try again.
const WAITING_LEN_MAX: usize = 16 * 1024 * 1024;

/// What a message that waits costs beside its bytes.
const WAITING_COST: usize = 256;

impl Streams {
    /// A message for a stream that does more than to store it.
    pub(super) fn publish_special<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        id: StreamId,
        from: Origin,
        message: Incoming<'_>,
        reply: Option<&[u8]>,
        out: &mut O,
    ) {
        let Some(stream) = self.streams.get(&id) else {
            return;
        };
        if stream.waiting.is_empty() {
            self.publish_now(engine, id, from, message, reply, out);
        } else if !self.put_aside(id, from, message, reply) {
            let error = ApiError::INSUFFICIENT_RESOURCES;
            self.refuse_publish(engine, id, &error, from, message, reply, out);
        }
    }

    /// The same, if nothing is before it.
    fn publish_now<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        id: StreamId,
        from: Origin,
        message: Incoming<'_>,
        reply: Option<&[u8]>,
        out: &mut O,
    ) {
        let wall = self.wall;
        // What has waited may have met a limit meanwhile.
        let has_room = self.has_room(id, message);
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if !has_room {
            let error = ApiError::ACCOUNT_RESOURCES_EXCEEDED;
            return self.refuse_publish(engine, id, &error, from, message, reply, out);
        }
        let mut random = |bound| engine.rng.below(bound);
        let transform = stream.features.transform.as_ref();
        let subject = transform.and_then(|rule| rule.apply(message.subject, &mut random));
        let changed = Incoming {
            subject: subject.as_deref().unwrap_or(message.subject),
            ..message
        };
        if let Some(traced) = &mut self.traced
            && traced.note(stream, changed.subject)
        {
            return self.try_out(engine, id, from, changed, reply, out);
        }
        if let Some(reply) = reply.filter(|reply| is_fast(Some(reply))) {
            return self.publish_fast(engine, id, from, changed, reply, out);
        }
        if stream.config.allow_atomic && changed.header_len > 0 {
            let header = &changed.payload[..changed.header_len];
            if let Some(batch) = Expectations::read(header).batch_id {
                return self.publish_batched(engine, id, batch, from, changed, reply, out);
            }
        }
        let (before, stored, counted) = match stream.store_special(changed, wall) {
            Ok(stored) => stored,
            Err(error) => {
                return self.refuse_publish(engine, id, &error, from, message, reply, out);
            }
        };
        let more = match (stored, &counted) {
            (Stored::New(_), Some(counted)) => counted.field(),
            _ => String::new(),
        };
        let mut len = changed.payload.len() + changed.subject.len();
        match stored {
            Stored::New(seq) => {
                stream.publishers.add(seq, from.conn);
                self.count_in(id, changed);
                len += self.republish(engine, id, seq, before, out);
            }
            Stored::Duplicate(_) => self.note_duplicate(),
        }
        let Some(stream) = self.streams.get(&id) else {
            return;
        };
        let (answers, scratch) = (&mut self.answers, &mut self.scratch);
        len += acknowledge(
            stream,
            answers,
            scratch,
            engine,
            stored,
            more.as_bytes(),
            from,
            reply,
            out,
        );
        self.after_store(id, len);
    }

    /// Has a message wait behind those that do; false if there is no room.
    pub(super) fn put_aside(
        &mut self,
        id: StreamId,
        from: Origin,
        message: Incoming<'_>,
        reply: Option<&[u8]>,
    ) -> bool {
        let len = message.subject.len() + message.payload.len() + WAITING_COST;
        if self.traced.as_ref().is_some_and(|traced| traced.is_only) {
            return false;
        }
        let Some(stream) = self.streams.get_mut(&id) else {
            return false;
        };
        if self.waiting_len + len > WAITING_LEN_MAX {
            return false;
        }
        self.waiting_len += len;
        stream.waiting.push_back(Internal {
            origin: from,
            sink: Sink::Stream(id),
            subject: message.subject.into(),
            reply: reply.map(Into::into),
            payload: Bytes::copy_from_slice(message.payload),
            header_len: message.header_len,
        });
        stream.is_special = true;
        true
    }

    /// What messages have waited for is there.
    pub(super) fn publish_waiting<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        id: StreamId,
        out: &mut O,
    ) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let mut waiting = std::mem::take(&mut stream.waiting);
        while let Some(message) = waiting.pop_front() {
            self.waiting_len -= message.waiting_len();
            let reply = message.reply.as_deref();
            let incoming = message.incoming();
            self.publish_now(engine, id, message.origin, incoming, reply, out);
            let Some(stream) = self.streams.get_mut(&id) else {
                return;
            };
            if !stream.waiting.is_empty() {
                // It needs one more block.
                stream.waiting.append(&mut waiting);
            }
        }
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.mark_special();
        }
    }

    /// Tells the publishers of messages that wait that they are not stored.
    pub(super) fn refuse_waiting<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        id: StreamId,
        error: &ApiError,
        out: &mut O,
    ) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let waiting = std::mem::take(&mut stream.waiting);
        stream.mark_special();
        for message in waiting {
            self.waiting_len -= message.waiting_len();
            let reply = message.reply.as_deref();
            let incoming = message.incoming();
            self.refuse_publish(engine, id, error, message.origin, incoming, reply, out);
        }
    }

    /// The same for all streams, as the disk has failed.
    pub(super) fn refuse_all_waiting<O: Outbox>(&mut self, engine: &mut Engine, out: &mut O) {
        debug_assert_eq!(self.health, Health::Failed);
        let ids: Vec<StreamId> = self
            .streams
            .values()
            .filter(|stream| !stream.waiting.is_empty())
            .map(|stream| stream.id)
            .collect();
        for id in ids {
            self.refuse_waiting(engine, id, &ApiError::CLUSTER_NOT_AVAIL, out);
        }
    }
}

impl Stream {
    /// Stores a message if it may be. Returns with it the sequence that its
    /// subject had before, and what was stored of it if that is a counter.
    pub(super) fn store_special(
        &mut self,
        message: Incoming<'_>,
        wall: Timestamp,
    ) -> Result<(Seq, Stored, Option<Counted>), ApiError> {
        let before = self.seq_before(message.subject)?;
        if !self.config.allow_msg_counter {
            return Ok((before, self.store(message, wall)?, None));
        }
        let counted = self.count(message, None)?;
        let stored = self.store(message.rewritten(Some(&counted.message)), wall)?;
        Ok((before, stored, Some(counted)))
    }

    /// The last sequence of a subject, if somebody is to be told.
    pub(super) fn seq_before(&mut self, subject: &[u8]) -> Result<Seq, ApiError> {
        match self.features.republish.is_some() {
            true => self.last_seq_of(subject),
            false => Ok(Seq(0)),
        }
    }
}

impl Internal {
    pub(super) fn incoming(&self) -> Incoming<'_> {
        Incoming {
            subject: &self.subject,
            payload: &self.payload,
            header_len: self.header_len,
        }
    }

    fn waiting_len(&self) -> usize {
        self.subject.len() + self.payload.len() + WAITING_COST
    }
}
