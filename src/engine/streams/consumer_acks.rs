//! What a consumer makes of acks.

use super::consumer::Consumer;
use super::effects::{Effects, Note};
use crate::Time;
use crate::ids::{DeliverySeq, Seq};
use midge_api::{AckPolicy, Timestamp};
use std::time::Duration;

impl Consumer {
    /// A message was processed.
    pub(crate) fn ack(
        &mut self,
        delivery: DeliverySeq,
        seq: Seq,
        wall: Timestamp,
        effects: &mut Effects,
    ) -> bool {
        let was_full = self.is_full();
        let before = effects.settled.len();
        match self.config.ack_policy {
            AckPolicy::All | AckPolicy::FlowControl => {
                self.cursor
                    .settle_all(delivery, seq, |seq| effects.settled.push(seq));
            }
            _ => {
                if self.cursor.settle(seq) {
                    effects.settled.push(seq);
                }
            }
        }
        let settled = (effects.settled.len() - before) as u64;
        if settled > 0 {
            if !self.cursor.parked.is_empty() {
                // What was sent back has been dealt with: its key goes on.
                for seq in effects.settled.get(before..).unwrap_or_default() {
                    self.unpark(*seq);
                }
            }
            self.is_dirty = true;
            self.acked_total += settled;
        }
        if settled > 0 || self.config.ack_policy == AckPolicy::Explicit {
            self.last_acked = Some(wall);
        }
        was_full
    }

    pub(crate) fn is_full(&self) -> bool {
        let max = self.config.max_ack_pending;
        max > 0 && self.cursor.unacked.len() as u64 >= max as u64
    }

    /// A message is to be delivered again, now or after a delay; unless it
    /// was as often as it may be, and is to be buried.
    pub(crate) fn nak(
        &mut self,
        delivery: DeliverySeq,
        seq: Seq,
        deliveries: u32,
        delay: Option<Duration>,
        now: Time,
        effects: &mut Effects,
    ) {
        let is_last = self.buries() && self.options.on_max_deliver && self.is_exhausted(seq);
        if is_last && deliveries < self.cursor.deliveries(seq) {
            // It is about an earlier delivery: somebody else works on it now.
            return;
        }
        let unacked = self.cursor.unacked.get_mut(seq);
        let Some(unacked) = unacked.filter(|unacked| !unacked.is_dying) else {
            return;
        };
        effects.notes.push(Note::Naked {
            delivery,
            seq,
            deliveries,
        });
        match delay {
            _ if is_last => self.exhausted(seq, effects),
            Some(delay) => {
                unacked.is_queued = false;
                unacked.due = now + delay;
                let due = unacked.due;
                self.ack_due = Some(self.ack_due.map_or(due, |armed| armed.min(due)));
            }
            None => self.queue(seq),
        }
        self.is_dirty = true;
    }

    /// A message is still being worked on.
    pub(crate) fn progress(&mut self, seq: Seq, now: Time, wall: Timestamp) {
        let wait = self.ack_wait(self.cursor.deliveries(seq));
        if let Some(unacked) = self.cursor.unacked.get_mut(seq) {
            unacked.due = now + wait;
            unacked.delivered_at = wall;
            self.is_dirty = true;
        }
    }

    /// A message is not to be delivered again: to the cursor an ack.
    pub(crate) fn terminate(
        &mut self,
        delivery: DeliverySeq,
        seq: Seq,
        reason: String,
        wall: Timestamp,
        effects: &mut Effects,
    ) {
        let deliveries = self.cursor.deliveries(seq);
        let is_ours = self.cursor.unacked.contains(seq);
        let acked = self.acked_total;
        self.ack(delivery, seq, wall, effects);
        self.acked_total = acked;
        if is_ours && !self.cursor.unacked.contains(seq) {
            effects.notes.push(Note::Terminated {
                delivery,
                seq,
                deliveries,
                reason,
            });
        }
    }
}
