//! Acks for deliveries that the server has forgotten.
//!
//! A cursor is stored a moment after its messages have left. A server that is
//! killed in between does not know of the last deliveries; the clients do, and
//! send their acks when they have found the server again. To confirm such an
//! ack and then deliver the message again would be a promise broken, so it is
//! kept beside the cursor until the cursor has passed the message.

use super::acks::Applied;
use super::consumer::Consumer;
use super::deaths::{Cause, Death};
use super::effects::{Effects, Note};
use super::intake::Incoming;
use super::request::Request;
use super::streams::Streams;
use crate::Time;
use crate::account::Sink;
use crate::engine::Engine;
use crate::ids::{ConsumerId, DeliverySeq, Seq, StreamId};
use crate::outbox::Outbox;
use crate::publish::Origin;
use midge_api::{Ack, AckPolicy, AckSubject};

/// Messages of a consumer that may be settled ahead of its cursor. Beyond,
/// acks are not answered, and their messages come again.
const AHEAD_MAX: usize = 64 * 1024;

impl Consumer {
    /// Whether a message may have been delivered without this being known.
    pub(super) fn may_have_had(&self, seq: Seq) -> bool {
        seq <= self.forgotten_until && self.wants_acks() && self.is_ahead(seq)
    }

    /// Takes note that a message needs no delivery; false if there is no room
    /// for that.
    fn settle_ahead(&mut self, seq: Seq, effects: &mut Effects) -> bool {
        if self.cursor.ahead.contains(&seq) {
            return true;
        }
        if self.cursor.ahead.len() >= AHEAD_MAX {
            return false;
        }
        self.pass_over(seq);
        self.unpark(seq);
        self.is_dirty = true;
        self.acked_total += 1;
        effects.settled.push(seq);
        true
    }

    /// Takes note that a message is to be buried instead of delivered, if there
    /// is room for that.
    fn die_ahead(
        &mut self,
        subject: &AckSubject<'_>,
        reason: String,
        reply: Option<&[u8]>,
        effects: &mut Effects,
    ) {
        if self.cursor.ahead.len() + self.dying.len() >= AHEAD_MAX {
            return;
        }
        self.dying.push_back(Death {
            seq: Seq(subject.stream_seq),
            cause: Cause::Terminated {
                delivery: DeliverySeq(subject.consumer_seq),
                deliveries: subject.delivered as u32,
                reason,
            },
            is_ahead: true,
            reply: reply.map(Into::into),
        });
        effects.has_deaths = true;
    }

    /// Takes note that a message which is still to come need not.
    pub(super) fn pass_over(&mut self, seq: Seq) {
        self.is_dirty = true;
        self.cursor.attempts.forget(seq);
        self.cursor.redrives.remove(&seq);
        // The look ahead has found a place for its picks already.
        if let Some(lookahead) = &mut self.lookahead
            && self.cursor.drop_pick(seq)
        {
            self.pending = self.pending.saturating_sub(1);
            lookahead.removed(seq, &self.cursor);
        } else {
            self.cursor.ahead.insert(seq);
        }
    }

    /// Passes a message that was settled ahead; false if it was not.
    pub(super) fn pass_settled(&mut self, seq: Seq) -> bool {
        if !self.cursor.ahead.remove(&seq) {
            return false;
        }
        self.pending = self.pending.saturating_sub(1);
        self.cursor.delivered.seq = self.cursor.delivered.seq.max(seq);
        if self.cursor.unacked.is_empty() && !self.cursor.is_unordered {
            self.cursor.ack_floor = self.cursor.delivered;
        }
        self.is_dirty = true;
        true
    }
}

impl Streams {
    /// An ack for a message that is not known to have been delivered.
    #[allow(clippy::too_many_arguments)] // The message and the world, once.
    pub(super) fn take_late_ack<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        (stream_id, id): (StreamId, ConsumerId),
        message: Incoming<'_>,
        subject: &AckSubject<'_>,
        reply: Option<&[u8]>,
        now: Time,
        out: &mut O,
    ) {
        let Some(stream) = self.streams.get_mut(&stream_id) else {
            return;
        };
        let Some(consumer) = stream.consumers.get_mut(&id) else {
            return;
        };
        let seq = Seq(subject.stream_seq);
        let ack = Ack::parse(message.body());
        consumer.last_used = now;
        let effects = &mut self.effects;
        let is_kept = match &ack {
            // It is delivered again in any case.
            Ack::Nak { .. } | Ack::Progress | Ack::Unknown => true,
            // How many messages this is about is not known any more.
            _ if consumer.config.ack_policy == AckPolicy::All => false,
            // What it says of the dead is told when that is stored.
            Ack::Term { reason } if consumer.buries_terminated() => {
                let reason = reason.clone().unwrap_or_default();
                consumer.die_ahead(subject, reason, reply, effects);
                false
            }
            Ack::Ack | Ack::Next(_) | Ack::Term { .. } => match stream.log.get(seq) {
                Err(need) => {
                    let from = Origin {
                        account: stream.account,
                        conn: None,
                    };
                    let request = Request::new(Sink::Ack, from, message, reply);
                    return self.set_aside(engine, need, request, out);
                }
                Ok(Some(record)) if consumer.filter.matches(record.subject) => {
                    consumer.settle_ahead(seq, effects)
                }
                // It will not be delivered.
                Ok(_) => true,
            },
        };
        let mut applied = Applied::default();
        match ack {
            Ack::Next(request) => applied.next = Some(request),
            Ack::Term { reason } if !effects.settled.is_empty() => {
                effects.notes.push(Note::Terminated {
                    delivery: DeliverySeq(subject.consumer_seq),
                    seq,
                    deliveries: subject.delivered as u32,
                    reason: reason.unwrap_or_default(),
                });
            }
            _ => {}
        }
        if consumer.is_dirty {
            self.cursor_changed(stream_id, now);
        }
        // Without an answer the client knows that it may come again.
        applied.reply = reply.filter(|_| is_kept || applied.next.is_some());
        self.after_ack(engine, (stream_id, id), applied, now, out);
    }
}
