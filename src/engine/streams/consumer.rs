//! A consumer: a cursor over a stream, and who waits for its messages.
//!
//! It decides what is to be delivered next, keeps what was delivered until it
//! is settled, and says when something is due. It sends nothing: the streams
//! ask it for the next message, deliver that, and tell it so.

use super::clients::Clients;
use super::deaths::{Death, Deaths};
use super::effects::{Effects, Note, Status};
use super::filter::Filter;
use super::flow_control::FlowControl;
use super::log::Log;
use super::log_read::{NeedBlock, Search};
use super::lookahead::{Look, Lookahead};
use super::pace::RATE_BURST;
use super::position::{Cursor, Position};
use super::priority::Pin;
use super::pulls::Pulls;
use super::recall::Counting;
use super::unacked::Unacked;
use crate::ids::{AccountId, ConsumerId, DeliverySeq, Seq, StreamId};
use crate::{ConnId, Time};
use midge_api::{
    AckPolicy, ConsumerConfig, ConsumerOptions, Ended, Nanos, PriorityPolicy, Timestamp,
};
use std::collections::VecDeque;
use std::time::Duration;

/// A message that is never late: longer than a server runs.
const ACK_WAIT_ENDLESS: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// What can be delivered next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// This message; so many deliveries with this one.
    Message { seq: Seq, deliveries: u32 },
    /// Nothing yet: ask again after others had their turn.
    Again,
    /// Nothing now, but more will come by itself.
    Later,
    /// Nothing: it has seen all there is.
    Dry,
    /// Nothing until something is acknowledged.
    Full,
}

#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) id: ConsumerId,
    /// The account of its stream.
    pub(crate) account: AccountId,
    pub(crate) config: ConsumerConfig,
    /// What its metadata ask for.
    pub(crate) options: ConsumerOptions,
    /// Its name was given to it: its configuration is shown without one.
    pub(crate) is_unnamed: bool,
    pub(crate) created: Timestamp,
    pub(crate) filter: Filter,
    pub(crate) cursor: Cursor,
    /// Messages it has not seen yet.
    pub(crate) pending: u64,
    /// They are still being counted; until then nothing is delivered.
    pub(crate) counting: Option<Counting>,
    /// Messages to be delivered again, in their turn.
    pub(super) redeliver: VecDeque<Seq>,
    /// What it has looked at ahead, if its options ask for that.
    pub(super) lookahead: Option<Box<Lookahead>>,
    /// Messages that die with it, in their turn.
    pub(super) dying: VecDeque<Death>,
    /// What is known of those that have.
    pub(crate) deaths: Deaths,
    pub(crate) pulls: Pulls,
    /// The puller that is served, if that is one.
    pub(super) pin: Option<Box<Pin>>,
    /// Somebody listens where it delivers to.
    pub(crate) is_bound: bool,
    /// The stream that takes its messages, in place of who listens there.
    pub(super) copier: Option<StreamId>,
    pub(crate) flow: Option<FlowControl>,
    pub(crate) heartbeat_due: Option<Time>,
    /// No unacknowledged message is due before this.
    pub(super) ack_due: Option<Time>,
    /// Nothing may be delivered before this: the stream's own pace is
    /// replayed, or the rate is limited.
    pub(crate) not_before: Option<Time>,
    /// It pauses, and is to be told of when that ends.
    pub(super) is_pausing: bool,
    /// Messages in a row after which its receiver was far behind.
    pub(crate) rests: u32,
    /// When all that was sent would be through, at the rate it is limited to.
    pub(super) paid_until: Option<Time>,
    /// Bytes that it may be ahead of its rate: a longest message.
    pub(super) rate_burst: usize,
    /// Messages up to this one are replayed at the pace they came in.
    pub(crate) replay_until: Seq,
    pub(crate) replayed_time: Option<Timestamp>,
    /// Messages up to this one may have been delivered before the server
    /// started, unknown to it.
    pub(crate) forgotten_until: Seq,
    /// The block that it delivered from last.
    pub(crate) block: Option<Seq>,
    /// When somebody last used it.
    pub(crate) last_used: Time,
    pub(crate) last_delivered: Option<Timestamp>,
    pub(crate) last_acked: Option<Timestamp>,
    /// Totals for monitoring.
    pub(crate) redelivered_total: u64,
    pub(crate) acked_total: u64,
    /// When its timer is set for.
    pub(crate) timer_due: Option<Time>,
    /// It is in the queue of those that may have something to deliver.
    pub(crate) is_ready: bool,
    /// Its cursor differs from what is stored.
    pub(crate) is_dirty: bool,
    /// `$JS.ACK.<stream>.<name>.`
    pub(crate) ack_prefix: Vec<u8>,
    pub(crate) subscriptions: Vec<crate::ids::SubId>,
}

impl Consumer {
    /// A consumer that starts behind `passed`.
    pub(crate) fn new(
        id: ConsumerId,
        stream: &str,
        config: ConsumerConfig,
        created: Timestamp,
        now: Time,
    ) -> Self {
        let mut ack_prefix = Vec::new();
        for part in ["$JS.ACK.", stream, ".", &config.name, "."] {
            ack_prefix.extend_from_slice(part.as_bytes());
        }
        let mut consumer = Consumer {
            id,
            account: AccountId::GLOBAL,
            is_unnamed: false,
            created,
            filter: Filter::all(),
            cursor: Cursor::default(),
            pending: 0,
            counting: None,
            redeliver: VecDeque::new(),
            lookahead: None,
            dying: VecDeque::new(),
            deaths: Deaths::default(),
            pulls: Pulls::default(),
            pin: None,
            is_bound: false,
            copier: None,
            flow: None,
            heartbeat_due: None,
            ack_due: None,
            not_before: None,
            is_pausing: false,
            rests: 0,
            paid_until: None,
            rate_burst: RATE_BURST,
            replay_until: Seq(0),
            replayed_time: None,
            forgotten_until: Seq(0),
            block: None,
            last_used: now,
            last_delivered: None,
            last_acked: None,
            redelivered_total: 0,
            acked_total: 0,
            timer_due: None,
            is_ready: false,
            is_dirty: true,
            ack_prefix,
            subscriptions: Vec::new(),
            config: ConsumerConfig::default(),
            options: ConsumerOptions::default(),
        };
        consumer.configure(config);
        consumer
    }

    /// Takes a configuration that was checked.
    pub(crate) fn configure(&mut self, config: ConsumerConfig) {
        let filters: Vec<&[u8]> = if config.filter_subject.is_empty() {
            config
                .filter_subjects
                .iter()
                .map(String::as_bytes)
                .collect()
        } else {
            vec![config.filter_subject.as_bytes()]
        };
        self.filter = Filter::new(filters);
        if config.flow_control && self.flow.is_none() {
            self.flow = Some(FlowControl::new());
        }
        if config.priority_policy != PriorityPolicy::PinnedClient {
            self.pin = None;
        }
        self.config = config;
        self.configure_options();
    }

    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    pub(crate) fn is_push(&self) -> bool {
        !self.config.deliver_subject.is_empty()
    }

    pub(crate) fn is_durable(&self) -> bool {
        !self.config.durable_name.is_empty()
    }

    pub(crate) fn wants_acks(&self) -> bool {
        self.config.ack_policy != AckPolicy::None
    }

    /// What acknowledges its messages are answers to flow control.
    pub(super) fn is_acked_by_flow(&self) -> bool {
        self.config.ack_policy == AckPolicy::FlowControl
    }

    pub(crate) fn is_paused(&self, wall: Timestamp) -> bool {
        self.config.pause_until.is_some_and(|until| until > wall)
    }

    /// The first message that it has not passed.
    pub(crate) fn next_seq(&self) -> Seq {
        self.cursor.next_seq()
    }

    /// Messages that were delivered more than once and are not settled.
    pub(crate) fn redelivered(&self) -> usize {
        let counts = self.cursor.redeliveries.values();
        counts.filter(|count| **count > 0).count()
    }

    /// Messages waiting to be delivered again.
    pub(crate) fn redeliver_len(&self) -> usize {
        self.redeliver.len()
    }

    // What comes next.

    /// What can be delivered next. What it finds out on the way, such as
    /// messages that were delivered too often, it takes note of.
    pub(crate) fn next(
        &mut self,
        log: &Log,
        now: Time,
        wall: Timestamp,
        effects: &mut Effects,
    ) -> Result<Next, NeedBlock> {
        if self.counting.is_some()
            || self.is_paused(wall)
            || self.not_before.is_some_and(|at| at > now)
        {
            return Ok(Next::Later);
        }
        while let Some(seq) = self.redeliver.front().copied() {
            let is_queued = self
                .cursor
                .unacked
                .get(seq)
                .is_some_and(|unacked| unacked.is_queued && !unacked.is_dying);
            if is_queued {
                if self.is_exhausted(seq) {
                    self.exhausted(seq, effects);
                } else if log.get(seq)?.is_some() {
                    let deliveries = self.cursor.deliveries(seq) + 1;
                    return Ok(Next::Message { seq, deliveries });
                } else {
                    self.cursor.settle(seq);
                    self.unpark(seq);
                    self.is_dirty = true;
                }
            }
            self.redeliver.pop_front();
        }
        let max = self.config.max_ack_pending;
        if self.wants_acks() && max > 0 && self.cursor.unacked.len() as u64 >= max as u64 {
            return Ok(Next::Full);
        }
        if self.lookahead.is_some() {
            return self.look_ahead(log);
        }
        while let Some(seq) = self.cursor.picks.first().copied() {
            if seq > log.durable() {
                return Ok(Next::Later);
            }
            if log.get(seq)?.is_some() && !self.pass_settled(seq) {
                return Ok(Next::Message { seq, deliveries: 1 });
            }
            self.cursor.picks.pop_first();
        }
        self.next_new(log)
    }

    /// The next of the messages it has looked at, those of one key one after
    /// the other.
    fn look_ahead(&mut self, log: &Log) -> Result<Next, NeedBlock> {
        let Some(lookahead) = &mut self.lookahead else {
            return Ok(Next::Dry);
        };
        let scanned = self.cursor.scanned;
        let look = lookahead.next(&mut self.cursor, &mut self.pending, log, &self.filter);
        self.is_dirty |= self.cursor.scanned != scanned;
        Ok(match look? {
            Look::Ready(seq) => Next::Message { seq, deliveries: 1 },
            Look::Again => Next::Again,
            Look::Blocked => Next::Full,
            Look::End if self.pending > 0 && log.durable() < log.last() => Next::Later,
            Look::End => {
                self.pending = 0;
                Next::Dry
            }
        })
    }

    fn next_new(&mut self, log: &Log) -> Result<Next, NeedBlock> {
        loop {
            match self.find_new(log)? {
                Next::Message { seq, .. } if self.pass_settled(seq) => {}
                next => return Ok(next),
            }
        }
    }

    fn find_new(&mut self, log: &Log) -> Result<Next, NeedBlock> {
        let end = log.durable();
        if self.next_seq() > end {
            if self.pending > 0 && end < log.last() {
                return Ok(Next::Later);
            }
            // What it had counted with and has not met was damaged.
            self.pending = 0;
            return Ok(Next::Dry);
        }
        if self.pending == 0 {
            return Ok(Next::Dry);
        }
        match log.next_match(self.next_seq(), end, &self.filter)? {
            Search::Found(seq) => Ok(Next::Message { seq, deliveries: 1 }),
            Search::Pause(seq) => {
                self.cursor.scanned = self.cursor.scanned.max(seq.prev());
                Ok(Next::Again)
            }
            Search::Nothing => {
                self.cursor.scanned = self.cursor.scanned.max(end);
                if end < log.last() {
                    return Ok(Next::Later);
                }
                // There was less than it had counted with.
                self.pending = 0;
                Ok(Next::Dry)
            }
        }
    }

    pub(super) fn is_exhausted(&self, seq: Seq) -> bool {
        let max = self.config.max_deliver;
        max > 0 && u64::from(self.cursor.deliveries(seq)) >= max as u64
    }

    /// Nothing came of so many deliveries: it is not delivered again.
    pub(super) fn give_up(&mut self, seq: Seq, effects: &mut Effects) {
        let deliveries = self.cursor.deliveries(seq);
        if self.cursor.give_up(seq) {
            self.is_dirty = true;
            // Nothing will come of it that its key could wait for.
            self.unpark(seq);
            // Told apart from messages that were never delivered again.
            self.cursor
                .redeliveries
                .entry(seq)
                .or_insert(deliveries.saturating_sub(1));
            effects.notes.push(Note::MaxDeliveries { seq, deliveries });
        }
    }

    /// A message that [`Consumer::next`] gave was sent. Returns the number of
    /// the delivery.
    pub(crate) fn delivered(
        &mut self,
        seq: Seq,
        deliveries: u32,
        now: Time,
        wall: Timestamp,
        to: Option<ConnId>,
        effects: &mut Effects,
    ) -> DeliverySeq {
        let delivery = DeliverySeq(self.cursor.delivered.delivery.0 + 1);
        self.cursor.delivered.delivery = delivery;
        self.is_dirty = true;
        self.last_delivered = Some(wall);
        if deliveries > 1 {
            self.redelivered_total += 1;
            self.redeliver.pop_front();
            *self.cursor.redeliveries.entry(seq).or_insert(0) += 1;
            let due = now + self.ack_wait(deliveries);
            if let Some(unacked) = self.cursor.unacked.get_mut(seq) {
                unacked.is_queued = false;
                unacked.delivered_at = wall;
                unacked.due = due;
                unacked.to = to;
            }
            self.ack_due = Some(self.ack_due.map_or(due, |armed| armed.min(due)));
            return delivery;
        }
        self.pending = self.pending.saturating_sub(1);
        if !self.cursor.picks.is_empty() {
            self.cursor.picks.remove(&seq);
        }
        if let Some(lookahead) = &mut self.lookahead {
            lookahead.delivered(seq);
        }
        self.cursor.delivered.seq = self.cursor.delivered.seq.max(seq);
        if self.wants_acks() {
            let due = now + self.ack_wait(1);
            let unacked = Unacked {
                delivery,
                delivered_at: wall,
                due,
                is_queued: false,
                is_dying: false,
                to,
            };
            self.cursor.unacked.insert(seq, unacked);
            self.ack_due = Some(self.ack_due.map_or(due, |armed| armed.min(due)));
        } else {
            self.cursor.ack_floor = self.cursor.delivered;
            effects.settled.push(seq);
        }
        delivery
    }

    /// How long the ack of a message may take that was delivered so often.
    pub(super) fn ack_wait(&self, deliveries: u32) -> Duration {
        if self.is_acked_by_flow() {
            return ACK_WAIT_ENDLESS;
        }
        let backoff = &self.config.backoff;
        let step = (deliveries as usize).min(backoff.len());
        let wait = step
            .checked_sub(1)
            .and_then(|step| backoff.get(step))
            .unwrap_or(&self.config.ack_wait);
        duration(*wait)
    }

    // What time does.

    /// Queues what was not acknowledged in time.
    pub(crate) fn expire_acks(
        &mut self,
        now: Time,
        wall: Timestamp,
        clients: Clients<'_>,
        effects: &mut Effects,
    ) {
        if self.ack_due.is_none_or(|due| due > now) {
            return;
        }
        let late: Vec<Seq> = self
            .cursor
            .unacked
            .iter()
            .filter(|(_, unacked)| !unacked.is_queued && unacked.due <= now)
            .map(|(seq, _)| seq)
            .collect();
        for seq in late {
            let to = self.cursor.unacked.get(seq).and_then(|unacked| unacked.to);
            let ended = match to {
                Some(conn) if clients.is_gone(conn) => Ended::Disconnect,
                _ => Ended::Timeout,
            };
            self.attempted(seq, ended, "", to, wall, clients);
            if self.is_exhausted(seq) {
                self.exhausted(seq, effects);
            } else {
                self.queue(seq);
            }
        }
        self.find_ack_due();
    }

    fn find_ack_due(&mut self) {
        self.ack_due = self
            .cursor
            .unacked
            .values()
            .filter(|unacked| !unacked.is_queued)
            .map(|unacked| unacked.due)
            .min();
    }

    pub(super) fn queue(&mut self, seq: Seq) {
        if let Some(unacked) = self.cursor.unacked.get_mut(seq)
            && !unacked.is_queued
        {
            unacked.is_queued = true;
            self.redeliver.push_back(seq);
        }
    }

    /// After a restart: sets the clock of every unacknowledged message by
    /// when it was delivered.
    pub(crate) fn resume(&mut self, now: Time, wall: Timestamp) {
        self.time_pause(now, wall);
        let waits: Vec<(Seq, Duration)> = self
            .cursor
            .unacked
            .iter()
            .map(|(seq, unacked)| {
                let wait = self.ack_wait(self.cursor.deliveries(seq));
                // A clock that was set back must not make it wait longer.
                let since = duration(wall.since(unacked.delivered_at));
                (seq, wait.saturating_sub(since))
            })
            .collect();
        for (seq, wait) in waits {
            if let Some(unacked) = self.cursor.unacked.get_mut(seq) {
                unacked.due = now + wait;
            }
        }
        self.find_ack_due();
    }

    /// When something is to be done, though nobody asks.
    pub(crate) fn next_due(&self) -> Option<Time> {
        [
            self.ack_due,
            self.pulls.due(),
            self.heartbeat_due,
            self.not_before,
            self.inactive_due(),
            self.pin_due(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// When it is removed if nobody uses it.
    pub(crate) fn inactive_due(&self) -> Option<Time> {
        if self.config.inactive_threshold.0 <= 0 || (self.is_push() && self.is_bound) {
            return None;
        }
        Some(self.last_used + duration(self.config.inactive_threshold))
    }

    /// Ends pull requests whose time is up, and shows the others that it
    /// lives.
    pub(crate) fn expire_pulls(&mut self, now: Time, effects: &mut Effects) {
        for pull in self.pulls.take(|pull| pull.is_expired(now)) {
            let status = Status::RequestTimeout {
                wanted: pull.wanted,
                bytes_left: pull.bytes_left,
            };
            effects.statuses.push((pull.reply, status));
        }
        let Position { delivery, seq } = self.cursor.delivered;
        for pull in self.pulls.iter_mut() {
            if pull.heartbeat_due.is_some_and(|due| due <= now) {
                pull.heartbeat_due = pull.heartbeat.map(|heartbeat| now + heartbeat);
                let status = Status::Heartbeat { delivery, seq };
                effects.statuses.push((pull.reply.clone(), status));
            }
        }
    }

    /// Ends the requests that do not wait when there is nothing to get.
    pub(crate) fn run_dry(&mut self, effects: &mut Effects) {
        for pull in self.pulls.take(|pull| pull.is_done_when_dry()) {
            effects.statuses.push((pull.reply, Status::NoMessages));
        }
    }
}

/// A span of the API's as the engine's.
pub(crate) fn duration(nanos: Nanos) -> Duration {
    Duration::from_nanos(u64::try_from(nanos.0).unwrap_or(0))
}
