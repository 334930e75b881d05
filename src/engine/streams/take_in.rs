//! What a message that reaches the streams does.

use super::answers::{Answers, OnFailure};
use super::fast::is_fast;
use super::intake::{Incoming, Stored};
use super::log_read::NeedBlock;
use super::request::Request;
use super::stream::Stream;
use super::streams::{Health, Job, Streams};
use crate::Time;
use crate::account::Sink;
use crate::engine::Engine;
use crate::ids::{Seq, StreamId};
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
            Sink::Session(_) | Sink::Import(_) | Sink::WayBack | Sink::Domain => true,
            Sink::System => {
                let body = message.body();
                engine.put_question(message.subject, body, from, reply)
            }
            Sink::Stream(id) => {
                self.publish(engine, id, from, message, reply, out);
                true
            }
            Sink::Ack => self.take_ack(engine, from, message, reply, now, out),
            Sink::FlowControl => {
                self.take_flow_answer(engine, from.account, message, now, out);
                true
            }
            Sink::Maintenance if DlqKind::of_subject(message.subject).is_some() => {
                let request = Request::new(sink, from, message, reply);
                self.handle(engine, request, now, out);
                true
            }
            Sink::Maintenance => {
                let body = message.body();
                match BackupKind::of_subject(message.subject) {
                    Some(kind) => engine.ask_for_backup(kind, body, from.account, reply, now, out),
                    None => engine.ask_for_maintenance(message.subject, from.account, reply, out),
                }
                true
            }
            Sink::Snapshot(id) => {
                self.take_snapshot_ack(id, message.subject, now);
                true
            }
            Sink::Restore(id) => {
                let chunk = &message.payload[message.header_len..];
                self.take_chunk(id, chunk, reply, now);
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
        let is_disk_full = engine.latest < self.room_due;
        let is_full = self.is_server_full(id);
        let has_room = self.has_room(id, message);
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let stored = if health != Health::Good && !stream.is_volatile() {
            Err(ApiError::CLUSTER_NOT_AVAIL)
        } else if is_full || engine.room.is_short() || (is_disk_full && !stream.is_volatile()) {
            Err(ApiError::INSUFFICIENT_RESOURCES)
        } else if !has_room {
            Err(ApiError::ACCOUNT_RESOURCES_EXCEEDED)
        } else if stream.is_special || is_fast(reply) {
            return self.publish_special(engine, id, from, message, reply, out);
        } else {
            stream.store(message, wall)
        };
        match stored {
            Ok(stored) => {
                let mut is_new = false;
                if let Stored::New(seq) = stored {
                    is_new = true;
                    stream.publishers.add(seq, from.conn);
                }
                let (answers, scratch) = (&mut self.answers, &mut self.scratch);
                let answer_len = acknowledge(
                    stream, answers, scratch, engine, stored, b"", from, reply, out,
                );
                if is_new {
                    self.count_in(id, message);
                }
                let len = message.payload.len() + message.subject.len() + answer_len;
                self.after_store(id, len);
            }
            Err(error) => self.refuse_publish(engine, id, &error, from, message, reply, out),
        }
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
        let is_copied = !stream.followers.is_empty();
        let has_removals = stream.has_removals();
        let expires = stream.config.max_age.0 > 0 && !stream.is_aging;
        let is_due_sooner = stream.log.is_due_sooner;
        if has_removals || expires || is_due_sooner || !stream.effects.is_empty() {
            self.advance_later(id);
        }
        if is_volatile {
            self.wake_consumers(id);
            if is_copied {
                self.wake_followers(id);
            }
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

    /// Tells a publisher that its message was not stored; or has the message
    /// wait, if only a block is missing to say whether it can be.
    #[allow(clippy::too_many_arguments)] // The message and the world, once.
    pub(super) fn refuse_publish<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        id: StreamId,
        error: &ApiError,
        from: Origin,
        message: Incoming<'_>,
        reply: Option<&[u8]>,
        out: &mut O,
    ) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if let Some(key) = stream.missing.take() {
            if self.put_aside(id, from, message, reply) {
                return self.park(NeedBlock(key), Job::Publish(id));
            }
            self.want(key);
        }
        self.note_refused(error);
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if let Some(reply) = reply.filter(|_| !stream.config.no_ack) {
            let mut body = Vec::new();
            PubAck::write_error(&mut body, &stream.config.name, error);
            engine.answer(from.account, reply, &body, out);
        }
    }
}

impl Stream {
    /// Publishers are answered before what they sent is on the disk.
    pub(super) fn acks_at_once(&self) -> bool {
        self.is_volatile() || self.config.persist_mode == PersistMode::Async
    }
}

/// Sends a PubAck, or has it wait for the disk. `more` are fields of it that
/// only some streams have. Returns how many bytes wait.
#[allow(clippy::too_many_arguments)] // The message and the world, once.
pub(super) fn acknowledge<O: Outbox>(
    stream: &Stream,
    answers: &mut Answers,
    scratch: &mut Vec<u8>,
    engine: &mut Engine,
    stored: Stored,
    more: &[u8],
    from: Origin,
    reply: Option<&[u8]>,
    out: &mut O,
) -> usize {
    let (seq, duplicate) = match stored {
        Stored::New(seq) => (seq.0, false),
        Stored::Duplicate(seq) => (seq.0, true),
    };
    let Some(reply) = reply.filter(|_| !stream.config.no_ack) else {
        return 0;
    };
    let ack = PubAck {
        head: &stream.ack_head,
        seq,
        duplicate,
        more,
    };
    if stream.acks_at_once() {
        scratch.clear();
        ack.write(scratch);
        engine.answer(from.account, reply, scratch, out);
    } else if duplicate || !more.is_empty() {
        answers.push(from.account, reply, OnFailure::PubAck, |body| {
            ack.write(body)
        });
    } else {
        let of = (stream.id, &*stream.ack_head);
        answers.push_ack(of, from.account, reply, Seq(seq));
    }
    reply.len() + ANSWER_LEN
}

/// Whether a subject of the API names a consumer to pull from or a stream to
/// read.
pub(crate) fn is_addressed(subject: &[u8]) -> bool {
    subject.starts_with(b"$JS.API.CONSUMER.MSG.NEXT.")
        || subject.starts_with(b"$JS.API.DIRECT.GET.")
}
