//! Where a consumer stands.

use super::attempts::Attempts;
use super::parked::Parked;
use super::unacked::UnackedMap;
use crate::ids::{DeliverySeq, Seq};
use midge_api::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// A point in a consumer's way: how many deliveries, and up to which message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) delivery: DeliverySeq,
    pub(crate) seq: Seq,
}

/// What a consumer has to remember over a restart.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cursor {
    pub(crate) delivered: Position,
    pub(crate) ack_floor: Position,
    pub(crate) unacked: UnackedMap,
    /// Deliveries after the first, of messages delivered more than once.
    pub(crate) redeliveries: BTreeMap<Seq, u32>,
    /// Messages behind the delivered ones that need no delivery any more.
    pub(crate) ahead: BTreeSet<Seq>,
    /// Messages that come before what follows the delivered ones: those it
    /// starts with, those it has passed over, and those that were sent back.
    pub(crate) picks: BTreeSet<Seq>,
    /// Everything up to here was looked at; what is behind the last delivery
    /// was not meant for it, or is among the picks. Nobody is shown this.
    pub(crate) scanned: Seq,
    /// How often messages were sent back from among the dead.
    pub(crate) redrives: BTreeMap<Seq, u32>,
    /// What became of the deliveries so far.
    pub(crate) attempts: Attempts,
    /// Keys that wait for a dead message.
    pub(crate) parked: Parked,
    /// The breaker has paused the consumer, until this time.
    pub(crate) tripped_until: Option<Timestamp>,
    /// Messages are not delivered in the order of their sequences.
    pub(crate) is_unordered: bool,
    /// What is not waited for any more is told in `freed`.
    pub(crate) tells_freed: bool,
    /// Messages that were settled, until somebody takes note.
    pub(crate) freed: Vec<Seq>,
}

impl Cursor {
    /// The first message that it has not passed.
    pub(crate) fn next_seq(&self) -> Seq {
        self.delivered.seq.max(self.scanned).next()
    }

    /// How often a message has been delivered.
    pub(crate) fn deliveries(&self, seq: Seq) -> u32 {
        1 + self.redeliveries.get(&seq).copied().unwrap_or(0)
    }

    /// Takes note that a message needs no ack any more, for whatever reason.
    /// False if it needed none.
    pub(crate) fn settle(&mut self, seq: Seq) -> bool {
        let Some(unacked) = self.unacked.remove(seq) else {
            return false;
        };
        self.redeliveries.remove(&seq);
        self.forget(seq);
        self.raise_floor(unacked.delivery, seq);
        true
    }

    /// A message is not waited for any more: so is its story.
    fn forget(&mut self, seq: Seq) {
        if !self.attempts.is_empty() {
            self.attempts.forget(seq);
        }
        if !self.redrives.is_empty() {
            self.redrives.remove(&seq);
        }
        if self.tells_freed {
            self.freed.push(seq);
        }
    }

    /// A pick is gone. False if it was none.
    pub(crate) fn drop_pick(&mut self, seq: Seq) -> bool {
        let was_there = self.picks.remove(&seq);
        if was_there && self.is_unordered {
            // The floor may have waited for it.
            self.raise_floor(self.ack_floor.delivery, seq);
        }
        was_there
    }

    /// The first message up to the last delivered one that is not settled.
    fn first_open(&self) -> Option<Seq> {
        let unacked = self.unacked.first();
        let pick = self.picks.first().copied();
        let pick = pick.filter(|pick| *pick <= self.delivered.seq);
        [unacked, pick].into_iter().flatten().min()
    }

    /// Takes note of an ack for a message and all before it. What it settled
    /// is told in order.
    pub(crate) fn settle_all(
        &mut self,
        delivery: DeliverySeq,
        seq: Seq,
        mut told: impl FnMut(Seq),
    ) -> bool {
        if seq <= self.ack_floor.seq || seq > self.delivered.seq {
            // It may have been sent back from among the dead.
            let is_settled = self.is_unordered && self.settle(seq);
            if is_settled {
                told(seq);
            }
            return is_settled;
        }
        // The floor counts first deliveries, whichever this ack is of.
        let delivery = self
            .unacked
            .get(seq)
            .map_or(delivery, |unacked| unacked.delivery)
            // A client may say anything.
            .min(self.delivered.delivery);
        while let Some((settled, _)) = self.unacked.pop_to(seq) {
            self.redeliveries.remove(&settled);
            self.forget(settled);
            told(settled);
        }
        self.ack_floor = if self.unacked.is_empty() && seq < self.delivered.seq {
            self.delivered
        } else {
            Position { delivery, seq }
        };
        self.forget_below_floor();
        true
    }

    /// Does not wait for acks of messages that are not there any more.
    pub(crate) fn settle_gone(&mut self, is_live: impl Fn(Seq) -> bool) {
        let gone = self.unacked.seqs().filter(|seq| !is_live(*seq));
        for seq in gone.collect::<Vec<_>>() {
            self.settle(seq);
        }
    }

    /// Gives a message up: it is not delivered again and not acknowledged.
    /// The floor stays until later messages are settled.
    pub(crate) fn give_up(&mut self, seq: Seq) -> bool {
        let was_open = self.unacked.remove(seq).is_some();
        self.forget(seq);
        was_open
    }

    fn raise_floor(&mut self, delivery: DeliverySeq, seq: Seq) {
        if self.is_unordered {
            self.ack_floor = match self.first_open() {
                None => self.delivered,
                Some(first) => Position {
                    // The lowest one open would have to be looked for.
                    delivery: self.ack_floor.delivery,
                    seq: self.ack_floor.seq.max(first.prev()),
                },
            };
        } else if self.unacked.is_empty() {
            self.ack_floor = self.delivered;
        } else if delivery.0 == self.ack_floor.delivery.0 + 1 {
            self.ack_floor = Position { delivery, seq };
            if let Some((next, unacked)) = self.unacked.after(seq) {
                self.ack_floor = Position {
                    delivery: DeliverySeq(unacked.delivery.0.saturating_sub(1)),
                    seq: next.prev(),
                };
            }
        }
        self.forget_below_floor();
    }

    fn forget_below_floor(&mut self) {
        let floor = self.ack_floor.seq;
        while let Some(entry) = self.redeliveries.first_entry() {
            // What was sent back may lie below.
            if *entry.key() > floor || self.unacked.contains(*entry.key()) {
                return;
            }
            entry.remove();
        }
    }

    /// Nothing before `first` will come any more, nor be acknowledged.
    pub(crate) fn pass(&mut self, first: Seq) {
        self.delivered.seq = self.delivered.seq.max(first.prev());
        if self.ack_floor.seq < first.prev() {
            while let Some((seq, gone)) = self.unacked.pop_to(first.prev()) {
                self.ack_floor.delivery = self.ack_floor.delivery.max(gone.delivery);
                self.forget(seq);
            }
            self.ack_floor.seq = first.prev();
        }
        if self.unacked.is_empty() && self.first_open().is_none() {
            self.ack_floor = self.delivered;
        }
        self.forget_below_floor();
    }
}

#[cfg(test)]
mod tests {
    use super::super::unacked::Unacked;
    use super::*;

    fn cursor(deliveries: u64) -> Cursor {
        let mut cursor = Cursor::default();
        for number in 1..=deliveries {
            cursor.delivered = Position {
                delivery: DeliverySeq(number),
                seq: Seq(number * 10),
            };
            let unacked = Unacked::stored(DeliverySeq(number), Timestamp(0));
            cursor.unacked.insert(Seq(number * 10), unacked);
        }
        cursor
    }

    fn floor(cursor: &Cursor) -> (u64, u64) {
        (cursor.ack_floor.delivery.0, cursor.ack_floor.seq.0)
    }

    #[test]
    fn the_floor_is_no_later_delivery_than_there_was() {
        let mut cursor = cursor(3);
        assert!(cursor.give_up(Seq(20)));
        // What is not waited for has the number that the client tells.
        assert!(cursor.settle_all(DeliverySeq(u64::MAX), Seq(20), |_| {}));
        assert_eq!(floor(&cursor), (3, 20));
        assert!(cursor.settle(Seq(30)));
        assert_eq!(floor(&cursor), (3, 30));
    }

    #[test]
    fn the_floor_rises_over_what_is_settled_without_a_gap() {
        let mut cursor = cursor(4);
        assert!(cursor.settle(Seq(20)));
        assert_eq!(floor(&cursor), (0, 0));
        assert!(cursor.settle(Seq(10)));
        assert_eq!(floor(&cursor), (2, 29));
        assert!(!cursor.settle(Seq(10)));
        cursor.settle(Seq(40));
        assert_eq!(floor(&cursor), (2, 29));
        cursor.settle(Seq(30));
        assert_eq!(floor(&cursor), (4, 40));
    }

    #[test]
    fn the_floor_jumps_over_what_was_given_up() {
        let mut cursor = cursor(3);
        cursor.redeliveries.insert(Seq(10), 4);
        assert!(cursor.give_up(Seq(10)));
        cursor.settle(Seq(20));
        assert_eq!(floor(&cursor), (0, 0));
        cursor.settle(Seq(30));
        assert_eq!(floor(&cursor), (3, 30));
        assert!(cursor.redeliveries.is_empty());
    }

    #[test]
    fn an_ack_for_all_settles_what_came_before() {
        let mut cursor = cursor(4);
        let mut settled = Vec::new();
        assert!(cursor.settle_all(DeliverySeq(3), Seq(30), |seq| settled.push(seq.0)));
        assert_eq!(settled, [10, 20, 30]);
        assert_eq!(floor(&cursor), (3, 30));
        assert!(!cursor.settle_all(DeliverySeq(2), Seq(20), |_| panic!("nothing")));
    }
}
