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
use crate::rng::Rng;
use crate::{ConnId, Time};
use midge_api::{Ack, AckSubject, Ended, NextRequest, Retention, Timestamp};

/// Messages that an ack settles for which room is kept: one may settle a million.
const SETTLED_KEPT: usize = 64;

/// What an ack leads to outside its consumer.
#[derive(Default)]
pub(super) struct Applied<'a> {
    /// There may be something to deliver.
    pub(super) wakes: bool,
    /// It asks for more.
    pub(super) next: Option<Box<Result<NextRequest, String>>>,
    /// Where that goes, or an answer; none if it gets none, or when the message
    /// is buried.
    pub(super) reply: Option<&'a [u8]>,
    /// An answer need not wait for the disk.
    pub(super) is_safe: bool,
    /// Nothing is due sooner than before.
    pub(super) is_timed: bool,
}

/// Who sent an ack, and where an answer is to go.
#[derive(Clone, Copy)]
struct Acker<'r, 'c> {
    conn: Option<ConnId>,
    reply: Option<&'r [u8]>,
    clients: Clients<'c>,
}

impl Consumer {
    /// Whether this ack is one of those that are reported.
    #[inline(never)]
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
        self.cursor.unacked.contains(seq)
    }

    /// Takes an ack for what it has delivered, or will.
    // Each ack comes here, and nothing else.
    #[inline(always)]
    fn take_ack<'a>(
        &mut self,
        body: &[u8],
        subject: &AckSubject<'_>,
        (now, wall): (Time, Timestamp),
        mut acker: Acker<'a, '_>,
        rng: &mut Rng,
        effects: &mut Effects,
    ) -> Applied<'a> {
        self.last_used = now;
        let seq = Seq(subject.stream_seq);
        let is_known = !self.is_ahead(seq);
        let said = parse(body);
        let delivered_at = match self.config.sample_freq.is_empty() {
            true => None,
            false => self.cursor.unacked.get(seq),
        };
        let delivered_at = delivered_at.map(|unacked| unacked.delivered_at);
        // What it has not delivered, or delivered before a power cut undid
        // that, will come: its ack cannot be confirmed.
        let settles = matches!(said, Ack::Ack | Ack::Term { .. });
        acker.reply = acker.reply.filter(|_| is_known || !settles);
        let is_terminated = matches!(said, Ack::Term { .. });
        let mut applied = self.apply(&said, subject, is_known, (now, wall), acker, effects);
        // Its key may be free now.
        applied.wakes |= self.lookahead.is_some();
        applied.is_timed = matches!(said, Ack::Ack);
        if !effects.settled.is_empty()
            && !is_terminated
            && let Some(delivered_at) = delivered_at
            && self.is_sampled(|| rng.below(100))
        {
            effects.notes.push(acked(subject, delivered_at, wall));
        }
        applied
    }

    /// Does what an ack says. One for a message that is still to come settles
    /// nothing.
    #[inline(always)]
    fn apply<'a>(
        &mut self,
        said: &Ack,
        ack: &AckSubject<'_>,
        is_known: bool,
        (now, wall): (Time, Timestamp),
        acker: Acker<'a, '_>,
        effects: &mut Effects,
    ) -> Applied<'a> {
        let (seq, delivery) = (Seq(ack.stream_seq), DeliverySeq(ack.consumer_seq));
        let mut applied = Applied {
            reply: acker.reply,
            ..Applied::default()
        };
        match said {
            Ack::Ack | Ack::Term { .. } if !is_known => {}
            Ack::Ack => applied.wakes = self.ack(delivery, seq, wall, effects),
            Ack::Next(request) => {
                if is_known {
                    self.ack(delivery, seq, wall, effects);
                }
                applied.next = Some(request.clone());
            }
            Ack::Nak { delay, reason } => {
                let delay = delay.map(duration);
                let reason = reason.as_deref().unwrap_or_default();
                if ack.delivered >= u64::from(self.cursor.deliveries(seq)) {
                    self.attempted(seq, Ended::Nak, reason, acker.conn, wall, acker.clients);
                }
                self.nak(delivery, seq, ack.delivered as u32, delay, now, effects);
                applied.wakes = delay.is_none() || effects.has_deaths;
            }
            Ack::Progress => self.progress(seq, now, wall),
            // The message is gone, or settled: others before it are not to die
            // with it, even where an ack means all of them.
            Ack::Term { .. } if self.buries_terminated() && !self.has_out(seq) => {}
            Ack::Term { reason } => {
                let reason = reason.clone().unwrap_or_default();
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
                    applied.reply = None;
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

    /// What an ack says, and of whom, if it is for the consumer that took the
    /// last one.
    fn next_acked(
        &self,
        account: AccountId,
        subject: &[u8],
    ) -> Option<((StreamId, ConsumerId), AckSubject<'static>)> {
        let (stream, consumer) = self.last_acked;
        let stream = self.streams.get(&stream)?;
        let consumer = stream.consumers.get(&consumer)?;
        let (prefix, tail) = subject.split_at_checked(consumer.ack_prefix.len())?;
        if prefix != consumer.ack_prefix || stream.account != account {
            return None;
        }
        Some((self.last_acked, AckSubject::parse_tail(tail)?))
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
        let (ids, ack) = match self.next_acked(from.account, message.subject) {
            Some(known) => known,
            None => {
                let Some(ack) = AckSubject::parse(message.subject) else {
                    return true;
                };
                let Some(ids) = self.find_consumer(from.account, ack.stream, ack.consumer) else {
                    return false;
                };
                (ids, ack)
            }
        };
        self.last_acked = ids;
        let (stream_id, id) = ids;
        let Some(stream) = self.streams.get_mut(&stream_id) else {
            return false;
        };
        let is_volatile = stream.is_volatile();
        if self.health != Health::Good && !is_volatile {
            // What it is for is to be read from the disk again.
            return true;
        }
        let Some(consumer) = stream.consumers.get_mut(&id) else {
            return false;
        };
        if !consumer.wants_acks() || consumer.is_acked_by_flow() {
            return false;
        }
        if consumer.may_have_had(Seq(ack.stream_seq)) {
            self.take_late_ack(engine, (stream_id, id), message, &ack, reply, now, out);
            return true;
        }
        let acker = Acker {
            conn: from.conn,
            reply,
            clients: Clients {
                sessions: &engine.sessions,
                departed: &self.departed,
            },
        };
        let (body, at) = (message.body(), (now, self.wall));
        let effects = &mut self.effects;
        let mut applied = consumer.take_ack(body, &ack, at, acker, &mut engine.rng, effects);
        let is_kept = !is_volatile && !consumer.config.mem_storage;
        applied.is_safe = !is_kept || (!consumer.is_dirty && self.in_flight.is_empty());
        let is_due = stream.is_dirty && self.cursors_due.is_some();
        if stream.config.retention == Retention::Limits {
            // Nothing leaves the stream for it.
            effects.settled.clear();
            effects.settled.shrink_to(SETTLED_KEPT);
        }
        if consumer.is_dirty && !is_due {
            self.cursor_changed(stream_id, now);
        }
        self.after_ack(engine, ids, applied, now, out);
        true
    }

    /// Does what an ack leads to, and its effects.
    pub(super) fn after_ack<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        (stream, id): (StreamId, ConsumerId),
        applied: Applied<'_>,
        now: Time,
        out: &mut O,
    ) {
        match (applied.next, applied.reply) {
            (_, None) => {}
            (Some(request), Some(reply)) => {
                let request = *request;
                let pull = PullRequest { request, reply };
                self.pull(engine, stream, id, pull, now, out);
            }
            (None, Some(reply)) if applied.is_safe => {
                engine.answer(self.account_of(stream), reply, b"", out);
            }
            (None, Some(reply)) => {
                let account = self.account_of(stream);
                self.answer(account, reply, OnFailure::Silence, |_| {});
            }
        }
        if !self.effects.is_empty() {
            let effects = std::mem::take(&mut self.effects);
            self.carry_out(engine, stream, id, effects, now, out);
        }
        if applied.wakes {
            self.make_ready(stream, id);
        }
        if !applied.is_timed {
            self.arm(engine, stream, id);
        }
    }
}
