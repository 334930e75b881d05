//! Consumers that start over.
//!
//! A reset takes back what was delivered from a message on: it is delivered
//! as if for the first time, and acks of the old deliveries mean nothing. Its
//! whole state is the cursor, which is one row: after a crash it is the old or
//! the new one. What was promised about messages before the new start holds:
//! those that were sent back from among the dead are still to come, and those
//! that are dying still become dead letters.

use super::consumer::Consumer;
use super::position::{Cursor, Position};
use super::request::{Answered, Held, Outcome, Request};
use super::streams::Streams;
use crate::Time;
use crate::engine::Engine;
use crate::ids::{ConsumerId, DeliverySeq, Seq, StreamId};
use midge_api::{ApiError, DeliverPolicy, ResetRequest, Timestamp, responses};

impl Streams {
    pub(super) fn reset_consumer(
        &mut self,
        engine: &mut Engine,
        (stream, consumer): (&str, &str),
        request: &Request,
        now: Time,
    ) -> Outcome {
        // As in nats-server nobody answers for a consumer that is not there,
        // and what nobody hears the answer to is not done.
        let Ok((stream_id, id)) = self.named(request.from.account, stream, consumer) else {
            return Ok(Answered::Silence);
        };
        if request.reply.is_none() {
            return Ok(Answered::Silence);
        }
        let asked = ResetRequest::from_json(request.body())?;
        let Some(stream) = self.streams.get_mut(&stream_id) else {
            return Ok(Answered::Silence);
        };
        let Some(consumer) = stream.consumers.get_mut(&id) else {
            return Ok(Answered::Silence);
        };
        let first_since = |time| stream.log.first_since(time).map_err(Held::from);
        let to = consumer.reset_to(Seq(asked.seq), first_since)?;
        self.start_over(engine, (stream_id, id), to, now);
        let info = self.consumer_info_of(engine, stream_id, id);
        Ok(Answered::WhenSafe(responses::consumer_reset(&info, to.0)))
    }

    /// Who asks once more for a consumer that is `sourcing` has lost count of
    /// what came and gets again what is above the floor.
    pub(super) fn start_over_if_sourcing(
        &mut self,
        engine: &mut Engine,
        of: (StreamId, ConsumerId),
        now: Time,
    ) {
        let consumer = self.consumer_mut(of.0, of.1);
        if let Some(consumer) = consumer.filter(|consumer| consumer.config.sourcing) {
            let to = consumer.cursor.ack_floor.seq.next();
            self.start_over(engine, of, to, now);
        }
    }

    pub(super) fn start_over(
        &mut self,
        engine: &mut Engine,
        (stream_id, id): (StreamId, ConsumerId),
        to: Seq,
        now: Time,
    ) {
        let Some(stream) = self.streams.get_mut(&stream_id) else {
            return;
        };
        let Some(consumer) = stream.consumers.get_mut(&id) else {
            return;
        };
        consumer.reset(to);
        consumer.last_used = now;
        // It may not want any more what it is past now.
        stream.sweep_again();
        if stream.sweep.is_some() {
            self.advance_later(stream_id);
        }
        self.recount_consumer(stream_id, id);
        self.changed(stream_id);
        self.make_ready(stream_id, id);
        self.arm(engine, stream_id, id);
    }
}

impl Consumer {
    /// The message it starts over at: that of this sequence, or the first
    /// after its floor if that is 0.
    fn reset_to(
        &self,
        seq: Seq,
        first_since: impl FnOnce(Timestamp) -> Result<Seq, Held>,
    ) -> Result<Seq, Held> {
        if seq == Seq(0) {
            return Ok(self.cursor.ack_floor.seq.next());
        }
        let refusal = match self.config.deliver_policy {
            DeliverPolicy::All => None,
            DeliverPolicy::ByStartSequence => {
                (seq.0 < self.config.opt_start_seq).then_some("below start seq")
            }
            DeliverPolicy::ByStartTime => {
                let start = self.config.opt_start_time.unwrap_or(Timestamp::UNSET);
                (seq < first_since(start)?).then_some("below start time")
            }
            _ => Some("not allowed"),
        };
        refusal.map_or(Ok(seq), |text| {
            Err(ApiError::consumer_invalid_reset(text).into())
        })
    }

    /// Starts over at a message.
    fn reset(&mut self, to: Seq) {
        if self.next_seq() > self.replay_until {
            // What was replayed once comes at once now.
            self.replay_until = Seq(0);
        }
        for dying in [&mut self.dying, &mut self.deaths.refused] {
            dying.retain(|death| death.seq < to);
        }
        let is_selective = self.config.deliver_policy == DeliverPolicy::LastPerSubject;
        let cursor = std::mem::take(&mut self.cursor).reset(to, is_selective);
        self.begin_at(cursor);
        if let Some(flow) = &mut self.flow {
            // Answers to old questions are about old deliveries.
            flow.reset();
        }
        self.redeliver.clear();
        self.ack_due = None;
        self.forgotten_until = Seq(0);
        self.replayed_time = None;
        self.last_delivered = None;
        self.last_acked = None;
        self.is_dirty = true;
    }
}

impl Cursor {
    /// What is left of it when its consumer starts over at a message. One that
    /// is selective goes on with its picks, as far as there are some.
    fn reset(mut self, to: Seq, is_selective: bool) -> Cursor {
        let at = Position {
            delivery: DeliverySeq(0),
            seq: to.prev(),
        };
        let mut new = Cursor {
            delivered: at,
            ack_floor: at,
            tripped_until: self.tripped_until,
            ..Cursor::default()
        };
        let last_pick = self.picks.last().copied().unwrap_or_default();
        if is_selective && last_pick > self.delivered.seq {
            let open = self.unacked.seqs().chain(self.picks.iter().copied());
            new.picks.extend(open.filter(|seq| *seq >= to));
            new.scanned = self.scanned.max(last_pick);
        }
        for (seq, count) in self.redrives.range(..to) {
            new.picks.insert(*seq);
            new.redrives.insert(*seq, *count);
        }
        new.is_unordered = !new.redrives.is_empty();
        for (seq, key) in self.parked.iter().filter(|(seq, _)| *seq < to) {
            new.parked.add(seq, key);
        }
        for (seq, unacked) in self.unacked.iter() {
            if unacked.is_dying && seq < to {
                new.picks.remove(&seq);
                new.unacked.insert(seq, *unacked);
                let deliveries = self.redeliveries.get(&seq);
                new.redeliveries
                    .extend(deliveries.map(|count| (seq, *count)));
            } else {
                self.attempts.forget(seq);
            }
        }
        new.attempts = self.attempts;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::super::unacked::Unacked;
    use super::*;

    fn unacked(number: u64, is_dying: bool) -> Unacked {
        Unacked {
            is_queued: is_dying,
            is_dying,
            ..Unacked::stored(DeliverySeq(number), Timestamp(0))
        }
    }

    fn cursor() -> Cursor {
        let mut cursor = Cursor {
            delivered: Position {
                delivery: DeliverySeq(9),
                seq: Seq(8),
            },
            ..Cursor::default()
        };
        for seq in [2, 4, 6, 8] {
            cursor.unacked.insert(Seq(seq), unacked(seq, seq % 4 == 0));
            cursor.redeliveries.insert(Seq(seq), 3);
        }
        cursor.ahead.insert(Seq(7));
        cursor
    }

    fn seqs<'a>(seqs: impl Iterator<Item = &'a Seq>) -> Vec<u64> {
        seqs.map(|seq| seq.0).collect()
    }

    #[test]
    fn what_was_delivered_is_forgotten_but_what_dies_before() {
        let new = cursor().reset(Seq(6), false);
        assert_eq!((new.delivered.seq, new.ack_floor.seq), (Seq(5), Seq(5)));
        assert_eq!(
            (new.delivered.delivery, new.next_seq()),
            (DeliverySeq(0), Seq(6))
        );
        assert!(new.unacked.seqs().eq([Seq(4)]));
        assert_eq!(seqs(new.redeliveries.keys()), [4]);
        assert!(new.ahead.is_empty() && new.picks.is_empty() && !new.is_unordered);
    }

    #[test]
    fn what_was_sent_back_is_still_to_come() {
        let mut cursor = cursor();
        cursor
            .redrives
            .extend([(Seq(1), 1), (Seq(2), 2), (Seq(4), 1), (Seq(6), 1)]);
        cursor.parked.add(Seq(3), 30);
        cursor.parked.add(Seq(7), 70);
        let new = cursor.reset(Seq(5), false);
        // 4 is dying: it is neither delivered nor forgotten.
        assert_eq!(seqs(new.picks.iter()), [1, 2]);
        assert!(new.unacked.seqs().eq([Seq(4)]));
        assert!(new.is_unordered);
        assert!(new.parked.holds(30) && !new.parked.holds(70));
    }

    #[test]
    fn one_that_takes_the_last_of_each_subject_goes_on_with_these() {
        let mut cursor = cursor();
        cursor.picks.extend([Seq(11), Seq(15)]);
        cursor.scanned = Seq(15);
        let new = cursor.clone().reset(Seq(2), true);
        assert_eq!(seqs(new.picks.iter()), [2, 4, 6, 8, 11, 15]);
        assert_eq!(new.next_seq(), Seq(16));
        // When they are through it takes all that follows.
        cursor.picks.clear();
        let new = cursor.reset(Seq(2), true);
        assert_eq!((new.picks.len(), new.next_seq()), (0, Seq(2)));
    }
}
