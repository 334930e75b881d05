//! How messages die with a consumer.
//!
//! A message that is not to be delivered again stays unacknowledged, marked
//! as dying, until its dead letter is stored; that and the consumer's step
//! past it are one batch. So it is pending or dead after any crash, and never
//! neither. What is decided here is who dies; the burial is in `bury`.

use super::clients::Clients;
use super::consumer::Consumer;
use super::effects::{Effects, Note};
use super::lookahead::Lookahead;
use super::position::Cursor;
use crate::ConnId;
use crate::ids::{DeliverySeq, Seq};
use midge_api::{Attempt, ConsumerOptions, DeadLetters, Ended, Nanos, Timestamp};
use std::collections::VecDeque;

/// Why a message is dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It was delivered as often as it may be.
    MaxDeliver,
    /// A client has terminated it.
    Terminated {
        delivery: DeliverySeq,
        deliveries: u32,
        reason: String,
    },
}

/// A message that is dying.
#[derive(Debug)]
pub(crate) struct Death {
    pub(crate) seq: Seq,
    pub(crate) cause: Cause,
    /// Its delivery was forgotten with a crash: it lies ahead of the cursor.
    pub(crate) is_ahead: bool,
    /// Who is to be told that it is done.
    pub(crate) reply: Option<Box<[u8]>>,
}

/// What is known of messages that have died with a consumer.
#[derive(Debug, Default)]
pub(crate) struct Deaths {
    /// Totals since the start.
    pub(crate) max_deliver_total: u64,
    pub(crate) terminated_total: u64,
    /// Messages that were sent back to it, since the start.
    pub(crate) redriven_total: u64,
    /// Letters that could not be stored, each time that was tried.
    pub(crate) refused_total: u64,
    /// Messages whose letters could not be stored.
    pub(super) refused: VecDeque<Death>,
    /// When messages died, as far back as the breaker looks.
    recent: VecDeque<Timestamp>,
    /// A job will go on with those that are dying.
    pub(super) is_waiting: bool,
}

/// Messages that may be dying when one of them is terminated once more: who
/// repeats itself then gets no answer, which would have to be kept.
const DYING_MAX: usize = 4096;

/// Keys that a consumer can have parked: they are written with its cursor,
/// a dozen bytes each. When there are more, messages do not die any more.
const PARKED_MAX: usize = 4096;

/// A pause that somebody has to end, in nanoseconds: a hundred years.
const ENDLESS: Nanos = Nanos(100 * 365 * 24 * 3600 * 1_000_000_000);

impl Consumer {
    /// Takes the options that its metadata ask for; they were checked.
    pub(super) fn configure_options(&mut self) {
        let options = ConsumerOptions::read(&self.config).unwrap_or_default();
        let sorts =
            |options: &ConsumerOptions| (options.order_key.clone(), options.priority.clone());
        if sorts(&options) != sorts(&self.options) {
            self.lookahead = Lookahead::new(&options, self.created.0.unsigned_abs());
            self.cursor.tells_freed = self.lookahead.is_some();
            if let Some(lookahead) = &mut self.lookahead {
                lookahead.restart(&mut self.cursor);
            }
        }
        if !options.park_key && self.options.park_key {
            self.unpark_all();
        }
        self.options = options;
    }

    /// Goes on where it was before a restart, or starts.
    pub(super) fn begin_at(&mut self, cursor: Cursor) {
        self.cursor = cursor;
        if let Some(lookahead) = &mut self.lookahead {
            lookahead.restart(&mut self.cursor);
        }
    }

    /// Whatever those who are dying have waited for: they are tried again.
    pub(super) fn gather_dying(&mut self) {
        self.deaths.is_waiting = false;
        self.dying.append(&mut self.deaths.refused);
    }

    /// Whether what dies with it is kept.
    pub(crate) fn buries(&self) -> bool {
        self.options.dead_letters != DeadLetters::Off
    }

    /// Takes note of how a delivery ended, for the letter that may come of it.
    pub(super) fn attempted(
        &mut self,
        seq: Seq,
        ended: Ended,
        reason: &str,
        to: Option<ConnId>,
        wall: Timestamp,
        clients: Clients<'_>,
    ) {
        if !self.buries() {
            return;
        }
        let Some(unacked) = self.cursor.unacked.get(seq) else {
            return;
        };
        if unacked.is_dying {
            return;
        }
        let number = self.cursor.deliveries(seq);
        let last = self.cursor.attempts.of(seq).last();
        let is_told = last.is_some_and(|last| last.number == number);
        if is_told && ended != Ended::Terminated {
            // It was refused, and has waited for its time since.
            return;
        }
        let (client_id, client) = to.or(unacked.to).map_or((0, ""), |conn| clients.who(conn));
        let attempt = Attempt {
            number,
            time: unacked.delivered_at,
            after: wall.since(unacked.delivered_at),
            ended,
            client_id,
            client: client.into(),
            reason: reason.into(),
        };
        self.cursor.attempts.add(seq, attempt);
        self.is_dirty = true;
    }

    /// A message was delivered as often as it may be, and nothing came of it.
    pub(super) fn exhausted(&mut self, seq: Seq, effects: &mut Effects) {
        if self.buries() && self.options.on_max_deliver {
            self.die(seq, Cause::MaxDeliver, None, effects);
        } else {
            self.give_up(seq, effects);
        }
    }

    /// A message is not delivered again; it is to be buried.
    pub(super) fn die(
        &mut self,
        seq: Seq,
        cause: Cause,
        reply: Option<Box<[u8]>>,
        effects: &mut Effects,
    ) {
        let Some(unacked) = self.cursor.unacked.get_mut(seq) else {
            return;
        };
        if unacked.is_dying && (reply.is_none() || self.dying.len() >= DYING_MAX) {
            return;
        }
        unacked.is_dying = true;
        unacked.is_queued = true;
        self.dying.push_back(Death {
            seq,
            cause,
            is_ahead: false,
            reply,
        });
        effects.has_deaths = true;
    }

    /// A message that dies lies among the dead already: it stays there, as
    /// with any NATS server.
    pub(super) fn laid_down(&mut self, death: &Death, wall: Timestamp, effects: &mut Effects) {
        if death.is_ahead && !self.cursor.unacked.contains(death.seq) {
            self.pass_over(death.seq);
            return;
        }
        let Cause::Terminated {
            delivery,
            deliveries,
            reason,
        } = &death.cause
        else {
            return self.give_up(death.seq, effects);
        };
        // As if it were given up: a work queue keeps it, too.
        if self.cursor.give_up(death.seq) {
            self.is_dirty = true;
            self.unpark(death.seq);
            self.last_acked = Some(wall);
            effects.notes.push(Note::Terminated {
                delivery: *delivery,
                seq: death.seq,
                deliveries: *deliveries,
                reason: reason.clone(),
            });
        }
    }

    /// Whether the key of one more dead message can be parked.
    pub(super) fn has_room_to_park(&self) -> bool {
        !self.options.park_key || self.cursor.parked.len() < PARKED_MAX
    }

    /// A message is buried: it steps past it. True if the breaker trips.
    pub(super) fn died(&mut self, death: &Death, key: Option<u64>, wall: Timestamp) -> bool {
        let seq = death.seq;
        match key.filter(|_| self.options.park_key) {
            Some(key) => self.cursor.parked.add(seq, key),
            // It is gone: there is nothing that its key could wait for.
            None => {
                self.unpark(seq);
            }
        }
        // It may have been delivered again before it could be buried.
        if !self.cursor.settle(seq) && death.is_ahead {
            self.pass_over(seq);
        }
        match death.cause {
            Cause::MaxDeliver => self.deaths.max_deliver_total += 1,
            Cause::Terminated { .. } => {
                self.deaths.terminated_total += 1;
                // To those who watch it is an ack.
                self.last_acked = Some(wall);
            }
        }
        self.is_dirty = true;
        self.trips(wall)
    }

    /// Counts a death; true if there are too many.
    fn trips(&mut self, wall: Timestamp) -> bool {
        let Some(breaker) = self.options.breaker else {
            return false;
        };
        let is_paused = self.is_paused(wall);
        let recent = &mut self.deaths.recent;
        recent.push_back(wall);
        while recent
            .front()
            .is_some_and(|died| wall.since(*died) > breaker.within)
        {
            recent.pop_front();
        }
        if recent.len() <= breaker.deaths as usize || is_paused {
            // As many as count are remembered, and one.
            while recent.len() > breaker.deaths as usize + 1 {
                recent.pop_front();
            }
            return false;
        }
        recent.clear();
        let until = wall.after(breaker.pause.unwrap_or(ENDLESS));
        self.config.pause_until = Some(until);
        self.cursor.tripped_until = Some(until);
        true
    }

    /// Whether its breaker has paused it and nobody has resumed it.
    pub(crate) fn is_tripped(&self, wall: Timestamp) -> bool {
        self.cursor.tripped_until.is_some()
            && self.cursor.tripped_until == self.config.pause_until
            && self.is_paused(wall)
    }

    /// Keys that wait for a dead message.
    pub(crate) fn parked_keys(&self) -> usize {
        self.cursor.parked.len()
    }

    /// Lets the key of a dead message go on; false if it does not wait.
    pub(crate) fn unpark(&mut self, seq: Seq) -> bool {
        let Some(key) = self.cursor.parked.remove(seq) else {
            return false;
        };
        if let Some(lookahead) = &mut self.lookahead {
            lookahead.unparked(key, &self.cursor);
        }
        self.is_dirty = true;
        true
    }

    /// Lets all keys go on. Returns how many waited.
    pub(crate) fn unpark_all(&mut self) -> usize {
        let parked: Vec<Seq> = self.cursor.parked.iter().map(|(seq, _)| seq).collect();
        for seq in &parked {
            self.unpark(*seq);
        }
        parked.len()
    }

    /// A message comes back from among the dead, unless it is still to come
    /// anyway.
    pub(crate) fn take_back(&mut self, seq: Seq, redrives: u32) {
        self.deaths.redriven_total += 1;
        self.is_dirty = true;
        self.cursor.redrives.insert(seq, redrives);
        if self.cursor.unacked.contains(seq) || self.is_ahead(seq) {
            // It may have died without its last delivery being remembered.
            self.cursor.ahead.remove(&seq);
            return;
        }
        self.cursor.picks.insert(seq);
        self.cursor.is_unordered = true;
        self.pending += 1;
        if let Some(lookahead) = &mut self.lookahead {
            lookahead.returned(seq);
        }
    }
}
