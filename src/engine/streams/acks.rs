//! Acks, as consumers' clients send them.

use super::answers::OnFailure;
use super::clients::Clients;
use super::consumer::{Consumer, duration};
use super::deaths::Cause;
use super::effects::{Effects, Note};
use super::intake::Incoming;
use super::pull_request::PullRequest;
use super::streams::{Health, Streams};
use crate::engine::Engine;
use crate::ids::{AccountId, ConsumerId, DeliverySeq, Seq, StreamId};
use crate::outbox::Outbox;
use crate::publish::Origin;
use crate::{ConnId, Time};
use midge_api::{Ack, AckSubject, Ended, FlowControlSubject, NextRequest, Timestamp};

/// What an ack leads to outside its consumer.
#[derive(Default)]
struct Applied {
    /// There may be something to deliver.
    wakes: bool,
    /// It asks for more.
    next: Option<Result<NextRequest, String>>,
    /// It is answered when the message is buried.
    is_answered_later: bool,
}

/// Who sent an ack, and where an answer is to go.
#[derive(Clone, Copy)]
struct Acker<'a> {
    conn: Option<ConnId>,
    reply: Option<&'a [u8]>,
    clients: Clients<'a>,
}

impl Consumer {
    /// Whether this ack is one of those that are reported.
    fn is_sampled(&self, percentile: impl FnOnce() -> usize) -> bool {
        let percent = self.config.sample_percent() as usize;
        percent > 0 && percentile() < percent
    }

    /// Whether what a client terminates becomes a dead letter.
    pub(super) fn buries_terminated(&self) -> bool {
        self.buries() && self.options.on_term
    }

    /// Whether it was delivered and is not settled.
    fn has_out(&self, seq: Seq) -> bool {
        self.cursor.unacked.contains_key(&seq)
    }

    /// Does what an ack says. One for a message that is still to come settles
    /// nothing.
    fn apply(
        &mut self,
        said: Ack,
        ack: &AckSubject<'_>,
        is_known: bool,
        (now, wall): (Time, Timestamp),
        acker: Acker<'_>,
        effects: &mut Effects,
    ) -> Applied {
        let (seq, delivery) = (Seq(ack.stream_seq), DeliverySeq(ack.consumer_seq));
        let mut applied = Applied::default();
        match said {
            Ack::Ack | Ack::Term { .. } if !is_known => {}
            Ack::Ack => applied.wakes = self.ack(delivery, seq, wall, effects),
            Ack::Next(request) => {
                if is_known {
                    self.ack(delivery, seq, wall, effects);
                }
                applied.next = Some(request);
            }
            Ack::Nak { delay, reason } => {
                let delay = delay.map(duration);
                let reason = reason.unwrap_or_default();
                if ack.delivered >= u64::from(self.cursor.deliveries(seq)) {
                    self.attempted(seq, Ended::Nak, &reason, acker.conn, wall, acker.clients);
                }
                self.nak(delivery, seq, ack.delivered as u32, delay, now, effects);
                applied.wakes = delay.is_none() || effects.has_deaths;
            }
            Ack::Progress => self.progress(seq, now, wall),
            // The message is gone, or settled: others before it are not to die
            // with it, even where an ack means all of them.
            Ack::Term { .. } if self.buries_terminated() && !self.has_out(seq) => {}
            Ack::Term { reason } => {
                let reason = reason.unwrap_or_default();
                applied.wakes = true;
                if self.buries_terminated() {
                    self.attempted(
                        seq,
                        Ended::Terminated,
                        &reason,
                        acker.conn,
                        wall,
                        acker.clients,
                    );
                    let deliveries = self.cursor.deliveries(seq);
                    let cause = Cause::Terminated {
                        delivery,
                        deliveries,
                        reason,
                    };
                    self.die(seq, cause, acker.reply.map(Into::into), effects);
                    applied.is_answered_later = true;
                } else {
                    self.terminate(delivery, seq, reason, wall, effects);
                }
            }
            Ack::Unknown => {}
        }
        applied
    }
}

/// What an ack says; nearly all are plain.
#[inline]
fn parse(body: &[u8]) -> Ack {
    if body.is_empty() || body == b"+ACK" {
        Ack::Ack
    } else {
        Ack::parse(body)
    }
}

/// What is told of an ack that is reported.
fn acked(ack: &AckSubject<'_>, delivered_at: Timestamp, wall: Timestamp) -> Note {
    Note::Acked {
        delivery: DeliverySeq(ack.consumer_seq),
        seq: Seq(ack.stream_seq),
        deliveries: ack.delivered as u32,
        after_ns: wall.since(delivered_at).0,
    }
}

impl Streams {
    /// The consumer that an ack or a question names.
    pub(super) fn find_consumer(
        &self,
        account: AccountId,
        stream: &[u8],
        consumer: &[u8],
    ) -> Option<(StreamId, ConsumerId)> {
        let names = &self.tenants[account].by_name;
        let stream = names.get(std::str::from_utf8(stream).ok()?)?;
        let consumers = &self.streams.get(stream)?.consumers_by_name;
        let consumer = consumers.get(std::str::from_utf8(consumer).ok()?)?;
        Some((*stream, *consumer))
    }

    /// An ack. An answer that is asked for leaves once the ack is safe.
    #[allow(clippy::too_many_arguments)] // The message and the world, once.
    pub(super) fn take_ack<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        from: Origin,
        message: Incoming<'_>,
        reply: Option<&[u8]>,
        now: Time,
        out: &mut O,
    ) -> bool {
        let Some(ack) = AckSubject::parse(message.subject) else {
            return true;
        };
        let Some((stream_id, id)) = self.find_consumer(from.account, ack.stream, ack.consumer)
        else {
            return false;
        };
        let wall = self.wall;
        let health = self.health;
        let Some(stream) = self.streams.get_mut(&stream_id) else {
            return false;
        };
        let is_volatile = stream.is_volatile();
        if health != Health::Good && !is_volatile {
            // What it is for is to be read from the disk again.
            return true;
        }
        let Some(consumer) = stream.consumers.get_mut(&id) else {
            return false;
        };
        if !consumer.wants_acks() {
            return false;
        }
        if consumer.may_have_had(Seq(ack.stream_seq)) {
            self.take_late_ack(engine, (stream_id, id), message, &ack, reply, now, out);
            return true;
        }
        let body = message.payload.get(message.header_len..);
        let body = body.unwrap_or_default();
        let seq = Seq(ack.stream_seq);
        let mut effects = Effects::default();
        consumer.last_used = now;
        let is_known = !consumer.is_ahead(seq);
        let parsed = parse(body);
        let unacked = consumer.cursor.unacked.get(&seq);
        let delivered_at = unacked.map(|unacked| unacked.delivered_at);
        // What it has not delivered, or delivered before a power cut undid
        // that, will come: its ack cannot be confirmed.
        let settles = matches!(parsed, Ack::Ack | Ack::Term { .. });
        let reply = reply.filter(|_| is_known || !settles);
        let is_terminated = matches!(parsed, Ack::Term { .. });
        let clients = Clients {
            sessions: &engine.sessions,
            departed: &self.departed,
        };
        let acker = Acker {
            conn: from.conn,
            reply,
            clients,
        };
        let mut applied = consumer.apply(parsed, &ack, is_known, (now, wall), acker, &mut effects);
        let reply = reply.filter(|_| !applied.is_answered_later);
        // Its key may be free now.
        applied.wakes |= consumer.lookahead.is_some();
        if !effects.settled.is_empty()
            && !is_terminated
            && let Some(delivered_at) = delivered_at
            && consumer.is_sampled(|| engine.rng.below(100))
        {
            effects.notes.push(acked(&ack, delivered_at, wall));
        }
        let is_kept = !is_volatile && !consumer.config.mem_storage;
        let is_safe = !is_kept || (!consumer.is_dirty && self.in_flight.is_empty());
        if consumer.is_dirty {
            self.cursor_changed(stream_id, now);
        }
        match (applied.next, reply) {
            (_, None) => {}
            (Some(request), Some(reply)) => {
                let pull = PullRequest { request, reply };
                self.pull(engine, stream_id, id, pull, now, out);
            }
            (None, Some(reply)) => self.confirm_ack(engine, from.account, reply, is_safe, out),
        }
        if !effects.is_empty() {
            self.carry_out(engine, stream_id, id, effects, now, out);
        }
        if applied.wakes {
            self.make_ready(stream_id, id);
        }
        self.arm(engine, stream_id, id);
        true
    }

    /// Answers an ack: now, or once the disk has it.
    fn confirm_ack<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        account: AccountId,
        reply: &[u8],
        is_safe: bool,
        out: &mut O,
    ) {
        if is_safe {
            engine.answer(account, reply, b"", out);
        } else {
            self.answer(account, reply, OnFailure::Silence, |_| {});
        }
    }

    /// A receiver of a push consumer has come as far as it was asked about.
    pub(super) fn take_flow_answer(&mut self, account: AccountId, subject: &[u8]) {
        let Some(answer) = FlowControlSubject::parse(subject) else {
            return;
        };
        let Some((stream, id)) = self.find_consumer(account, answer.stream, answer.consumer) else {
            return;
        };
        let consumer = self.consumer_mut(stream, id);
        if let Some(consumer) = consumer
            && let Some(flow) = &mut consumer.flow
            && flow.answered(subject)
        {
            self.make_ready(stream, id);
        }
    }
}
