//! Consumers that other streams copy through.
//!
//! A source or a mirror may name a consumer of its origin: what that would
//! deliver is copied, and each copy is its ack. Only a consumer that pushes to
//! where the source says, and is acknowledged by flow control, is taken. While
//! it is attached nothing is sent to who listens there, and no heartbeat: all
//! happens in here, and position, copy and cursor are in one batch.

use super::consumer::{Consumer, Next};
use super::copies::{Copying, Pause, STEP_LEN_MAX, STEP_MAX};
use super::effects::Effects;
use super::stream::Stream;
use super::streams::{Health, Streams};
use crate::Time;
use crate::engine::Engine;
use crate::ids::{AccountId, ConsumerId, StreamId};
use crate::outbox::Outbox;
use midge_api::ApiError;

/// A consumer and its stream.
type Of = (StreamId, ConsumerId);

/// The same, and which stream copies through it.
pub(super) type Attached = (Of, StreamId);

impl Copying {
    /// The consumer that it names, whether or not that can be taken.
    fn named<'a>(&self, origin: &'a Stream) -> Option<&'a Consumer> {
        origin.consumer(&self.source.consumer.as_ref()?.name)
    }

    /// Whether it may copy through a consumer of that name.
    fn takes(&self, consumer: &Consumer) -> bool {
        let config = &consumer.config;
        let wanted = self.source.consumer.as_ref();
        consumer.is_acked_by_flow()
            && config.deliver_group.is_empty()
            && wanted.is_some_and(|wanted| wanted.deliver_subject == config.deliver_subject)
    }
}

impl Streams {
    /// The consumer that a stream copies through, if it is there and can be
    /// taken.
    fn find_attached(&self, account: AccountId, copying: &Copying) -> Option<&Consumer> {
        let origin = self.by_name(account, &copying.source.name)?;
        copying
            .named(origin)
            .filter(|consumer| copying.takes(consumer))
    }

    /// Finds out which consumers are copied through. Of two streams that name
    /// one consumer the older has it.
    pub(super) fn attach_consumers(&mut self) {
        let mut found: Vec<Attached> = Vec::new();
        for stream in self.streams.values() {
            for copying in &stream.copies {
                if copying.source.consumer.is_some()
                    && let Some(origin) = self.id_of(stream.account, &copying.source.name)
                    && let Some(consumer) = self.find_attached(stream.account, copying)
                {
                    found.push(((origin, consumer.id), stream.id));
                }
            }
        }
        let before = std::mem::take(&mut self.attached);
        for ((stream, id), _) in &before {
            if let Some(consumer) = self.consumer_mut(*stream, *id) {
                consumer.copier = None;
            }
        }
        for ((stream, id), copier) in &found {
            if let Some(consumer) = self.consumer_mut(*stream, *id)
                && consumer.copier.is_none()
            {
                consumer.copier = Some(*copier);
                consumer.is_bound = true;
                if let Some(flow) = &mut consumer.flow {
                    // Nobody will answer what was asked.
                    flow.reset();
                }
            }
        }
        self.attached = found;
        for ((stream, id), _) in before {
            let consumer = self.consumer_mut(stream, id);
            if consumer.is_some_and(|consumer| consumer.copier.is_none()) {
                // It pushes again, if somebody listens there.
                self.interest_changed = true;
                self.make_ready(stream, id);
            }
        }
    }

    /// The same when a consumer is new or has changed.
    pub(super) fn attach_if_asked(&mut self, stream: StreamId, id: ConsumerId) {
        let is_attached = self.attached.iter().any(|(of, _)| *of == (stream, id));
        let consumer = self.consumer_mut(stream, id);
        if is_attached || consumer.is_some_and(|consumer| consumer.is_acked_by_flow()) {
            self.attach_consumers();
        }
    }

    /// A turn of a copy through a consumer.
    pub(super) fn copy_attached<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        id: StreamId,
        copying: &mut Copying,
        now: Time,
        out: &mut O,
    ) -> Pause {
        let account = self.account_of(id);
        let Some(origin) = self.id_of(account, &copying.source.name) else {
            return Pause::End;
        };
        let consumer = self.find_attached(account, copying);
        let Some(consumer) = consumer.filter(|consumer| consumer.copier == Some(id)) else {
            return Pause::End;
        };
        let of = (origin, consumer.id);
        let floor = consumer.cursor.ack_floor.seq;
        if !consumer.cursor.unacked.is_empty() {
            // It has pushed to somebody who will not answer any more.
            self.start_over(engine, of, floor.next(), now);
        }
        let mut len_left = STEP_LEN_MAX;
        let mut pause = Pause::Turn;
        for _ in 0..STEP_MAX {
            match self.copy_next(engine, id, copying, of, now, out) {
                Ok(len) if len < len_left => len_left -= len,
                Ok(_) => break,
                Err(found) => {
                    pause = found;
                    break;
                }
            }
        }
        self.cursor_changed(origin, now);
        self.arm(engine, of.0, of.1);
        pause
    }

    /// Copies the next message of a consumer, and tells how long it was.
    fn copy_next<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        id: StreamId,
        copying: &mut Copying,
        of: Of,
        now: Time,
        out: &mut O,
    ) -> Result<usize, Pause> {
        let own_last = self.may_copy(id)?.log.last();
        let wall = self.wall;
        let Some(origin) = self.streams.get_mut(&of.0) else {
            return Err(Pause::End);
        };
        if self.health != Health::Good && !origin.is_volatile() {
            return Err(Pause::End);
        }
        if origin.id != copying.origin {
            copying.begin(origin, own_last).map_err(Pause::Block)?;
        }
        let max_msg_size = origin.config.max_msg_size;
        let Some(consumer) = origin.consumers.get_mut(&of.1) else {
            return Err(Pause::End);
        };
        consumer.set_rate_burst(max_msg_size);
        let mut effects = Effects::default();
        let next = consumer.next(&origin.log, now, wall, &mut effects);
        let (seq, deliveries) = match next.map_err(Pause::Block)? {
            Next::Message { seq, deliveries } => (seq, deliveries),
            Next::Again => return Err(Pause::Turn),
            Next::Later | Next::Dry | Next::Full => return Err(Pause::End),
        };
        let Some(record) = origin.log.get(seq).map_err(Pause::Block)? else {
            return Err(Pause::Turn);
        };
        let (time, len) = (record.time, record.payload.len());
        if consumer.holds_back(seq, time, now) {
            return Err(Pause::End);
        }
        let headers_only = consumer.config.headers_only;
        // Who has reset the consumer, or made it again, gets nothing twice.
        if seq > copying.at {
            let mut random = |bound| engine.rng.below(bound);
            let copied = copying.copy_of(origin, seq, headers_only, &mut random);
            if let Some(copied) = copied.map_err(Pause::Block)? {
                self.store_copied(engine, id, copying, copied, out)?;
                copying.active = Some(wall);
            }
            copying.at = seq;
        }
        if let Some(consumer) = self.consumer_mut(of.0, of.1) {
            let delivery = consumer.delivered(seq, deliveries, now, wall, None, &mut effects);
            consumer.ack(delivery, seq, wall, &mut effects);
            consumer.pace(seq, time, len, now);
        }
        self.carry_out(engine, of.0, of.1, effects, now, out);
        Ok(len)
    }

    /// What a copy through a consumer has to come, and what keeps it from
    /// that.
    pub(super) fn told_of_attached(
        &self,
        stream: &Stream,
        copying: &Copying,
    ) -> (u64, Option<&'static ApiError>) {
        let origin = self.by_name(stream.account, &copying.source.name);
        match origin.and_then(|origin| copying.named(origin)) {
            None => (0, None),
            Some(consumer) if consumer.is_acked_by_flow() => (consumer.pending, None),
            Some(_) if copying.is_mirror => (0, Some(&ApiError::MIRROR_CONSUMER_REQUIRES_ACK_FC)),
            Some(_) => (0, Some(&ApiError::SOURCE_CONSUMER_REQUIRES_ACK_FC)),
        }
    }
}
