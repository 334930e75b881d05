//! What a message that reaches the streams does.

use super::answers::OnFailure;
use super::intake::{Incoming, Stored};
use super::request::Request;
use super::streams::{Health, Streams};
use crate::Time;
use crate::account::Sink;
use crate::engine::Engine;
use crate::ids::StreamId;
use crate::outbox::Outbox;
use crate::publish::Origin;
use midge_api::{ApiError, BackupKind, DlqKind, PersistMode, PubAck};

/// About what a waiting PubAck takes beside the subject it goes to.
const ANSWER_LEN: usize = 64;

impl Streams {
    /// Takes in a message that has met one of our subscriptions. False if it
    /// is as if nobody had listened.
    #[allow(clippy::too_many_arguments)] // The message and the world, once.
    pub(crate) fn take_in<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        now: Time,
        sink: Sink,
        from: Origin,
        message: Incoming<'_>,
        reply: Option<&[u8]>,
        out: &mut O,
    ) -> bool {
        match sink {
            Sink::Session(_) | Sink::Import(_) | Sink::WayBack => true,
            Sink::System => {
                let body = &message.payload[message.header_len..];
                engine.put_question(message.subject, body, from, reply)
            }
            Sink::Stream(id) => {
                self.publish(engine, id, from, message, reply, out);
                true
            }
            Sink::Ack => self.take_ack(engine, from, message, reply, now, out),
            Sink::FlowControl => {
                self.take_flow_answer(from.account, message.subject);
                true
            }
            Sink::Maintenance if DlqKind::of_subject(message.subject).is_some() => {
                let request = Request::new(sink, from, message, reply);
                self.handle(engine, request, now, out);
                true
            }
            Sink::Maintenance => {
                let body = &message.payload[message.header_len..];
                match BackupKind::of_subject(message.subject) {
                    Some(kind) => engine.ask_for_backup(kind, body, from.account, reply, now, out),
                    None => engine.ask_for_maintenance(message.subject, from.account, reply, out),
                }
                true
            }
            Sink::Pull => {
                self.take_pull(engine, from.account, message, reply, now, out);
                true
            }
            Sink::Api | Sink::DirectGet(_) => {
                // The API listens on everything below its prefix, but pulls
                // and direct gets go to consumers and streams that exist.
                if sink == Sink::Api && is_addressed(message.subject) {
                    return false;
                }
                let request = Request::new(sink, from, message, reply);
                self.handle(engine, request, now, out);
                true
            }
        }
    }

    /// A message for a stream.
    fn publish<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        id: StreamId,
        from: Origin,
        message: Incoming<'_>,
        reply: Option<&[u8]>,
        out: &mut O,
    ) {
        let wall = self.wall;
        let health = self.health;
        let has_room = self.has_room(id, message);
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let reply = reply.filter(|_| !stream.config.no_ack);
        let is_volatile = stream.is_volatile();
        let stored = if health != Health::Good && !is_volatile {
            Err(ApiError::CLUSTER_NOT_AVAIL)
        } else if engine.room.is_short() {
            Err(ApiError::INSUFFICIENT_RESOURCES)
        } else if has_room {
            stream.store(message, wall)
        } else {
            Err(ApiError::ACCOUNT_RESOURCES_EXCEEDED)
        };
        self.stored_total += u64::from(matches!(stored, Ok(Stored::New(_))));
        let is_async = is_volatile || stream.config.persist_mode == PersistMode::Async;
        let (seq, duplicate) = match &stored {
            Ok(Stored::New(seq)) => {
                stream.publishers.add(*seq, from.conn);
                (seq.0, false)
            }
            Ok(Stored::Duplicate(seq)) => (seq.0, true),
            Err(error) => return self.refuse_publish(engine, id, error, reply, out),
        };
        if let Some(reply) = reply {
            let ack = PubAck {
                head: &stream.ack_head,
                seq,
                duplicate,
            };
            if is_async {
                self.scratch.clear();
                ack.write(&mut self.scratch);
                engine.answer(from.account, reply, &self.scratch, out);
            } else {
                self.answers
                    .push(from.account, reply, OnFailure::PubAck, |body| {
                        ack.write(body)
                    });
            }
        }
        // The answer waits as well.
        let answer_len = reply.map_or(0, |reply| reply.len() + ANSWER_LEN);
        let len = message.payload.len() + message.subject.len() + answer_len;
        self.after_store(id, len);
    }

    /// Sees to what follows from a message that was stored: the disk, the
    /// consumers, what has to leave for it. `len` is what waits for the disk.
    pub(super) fn after_store(&mut self, id: StreamId, len: usize) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if !stream.effects.is_empty() {
            self.told.push(id);
        }
        let (is_clean, has_arrived) = (!stream.is_dirty, stream.log.has_arrived());
        let is_volatile = stream.is_volatile();
        let has_removals = stream.has_removals();
        let expires = stream.config.max_age.0 > 0 && stream.expiry_due.is_none();
        if has_removals || expires || !stream.effects.is_empty() {
            self.advance_later(id);
        }
        if is_volatile {
            self.wake_consumers(id);
        } else {
            self.stored_bytes(len);
            if is_clean {
                self.changed(id);
            }
            self.is_urgent = true;
        }
        if has_arrived {
            self.arrived(id);
        }
    }

    fn refuse_publish<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        id: StreamId,
        error: &ApiError,
        reply: Option<&[u8]>,
        out: &mut O,
    ) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if let Some(reply) = reply {
            let mut body = Vec::new();
            PubAck::write_error(&mut body, &stream.config.name, error);
            engine.answer(stream.account, reply, &body, out);
        }
        if let Some(key) = stream.missing.take() {
            self.want(key);
        }
    }
}

/// Whether a subject of the API names a consumer to pull from or a stream to
/// read.
pub(crate) fn is_addressed(subject: &[u8]) -> bool {
    subject.starts_with(b"$JS.API.CONSUMER.MSG.NEXT.")
        || subject.starts_with(b"$JS.API.DIRECT.GET.")
}
