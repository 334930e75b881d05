//! What was delivered and is not acknowledged.

use crate::ConnId;
use crate::Time;
use crate::ids::{DeliverySeq, Seq};
use crate::shrink::Shrink;
use midge_api::Timestamp;
use std::collections::VecDeque;

/// Places that a consumer keeps of which nothing is unacknowledged: there may be
/// many such consumers, and 1000 places take 48 KB.
const PLACES_KEPT: usize = 64;

/// A message that was delivered and is not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unacked {
    /// The number of its first delivery.
    pub(crate) delivery: DeliverySeq,
    /// When it was last delivered, by the wall clock: what is kept.
    pub(crate) delivered_at: Timestamp,
    /// When it is to be delivered again.
    pub(crate) due: Time,
    /// It is in the queue for that already, or is dying.
    pub(crate) is_queued: bool,
    /// It will not be delivered again, and is to be a dead letter.
    pub(crate) is_dying: bool,
    /// Who it was last delivered to, if that is known.
    pub(crate) to: Option<ConnId>,
}

impl Unacked {
    /// One that was read: when it is due depends on its consumer.
    pub(crate) fn stored(delivery: DeliverySeq, delivered_at: Timestamp) -> Self {
        Unacked {
            delivery,
            delivered_at,
            due: Time::default(),
            is_queued: false,
            is_dying: false,
            to: None,
        }
    }
}

/// Unacknowledged messages by their sequences.
///
/// Nearly all come in order, and go about as they came. So they stand in a
/// ring: one that comes is put at its end, and one that goes leaves its place
/// empty until it is the first or the last, or too many are.
#[derive(Debug, Clone, Default)]
pub(crate) struct UnackedMap {
    /// In order; the first place and the last are not empty.
    ring: VecDeque<(Seq, Option<Unacked>)>,
    len: usize,
    shrink: Shrink,
}

impl UnackedMap {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where a message stands, or would.
    fn find(&self, seq: Seq) -> Result<usize, usize> {
        let first = self.ring.front().map_or(seq, |(first, _)| *first);
        // Where no sequence was left out, this is its place.
        let guess = seq.0.wrapping_sub(first.0) as usize;
        if self.ring.get(guess).is_some_and(|(found, _)| *found == seq) {
            return Ok(guess);
        }
        self.ring.binary_search_by_key(&seq, |(found, _)| *found)
    }

    pub(crate) fn get(&self, seq: Seq) -> Option<&Unacked> {
        self.ring[self.find(seq).ok()?].1.as_ref()
    }

    pub(crate) fn get_mut(&mut self, seq: Seq) -> Option<&mut Unacked> {
        let at = self.find(seq).ok()?;
        self.ring[at].1.as_mut()
    }

    pub(crate) fn contains(&self, seq: Seq) -> bool {
        self.get(seq).is_some()
    }

    /// Puts one in, in place of what was there for its message.
    pub(crate) fn insert(&mut self, seq: Seq, unacked: Unacked) {
        if self.ring.back().is_none_or(|(last, _)| *last < seq) {
            self.ring.push_back((seq, Some(unacked)));
            self.len += 1;
            return;
        }
        match self.find(seq) {
            Ok(at) => {
                let before = self.ring[at].1.replace(unacked);
                self.len += usize::from(before.is_none());
            }
            Err(at) => {
                self.ring.insert(at, (seq, Some(unacked)));
                self.len += 1;
            }
        }
    }

    pub(crate) fn remove(&mut self, seq: Seq) -> Option<Unacked> {
        let at = self.find(seq).ok()?;
        let removed = self.ring[at].1.take()?;
        self.len -= 1;
        if at == 0 {
            while let Some((_, None)) = self.ring.front() {
                self.ring.pop_front();
            }
        } else if at + 1 == self.ring.len() {
            while let Some((_, None)) = self.ring.back() {
                self.ring.pop_back();
            }
        }
        if self.ring.len() / 2 > self.len {
            // Seldom enough for the walk to be paid for by what has left.
            self.ring.retain(|(_, unacked)| unacked.is_some());
        }
        if self.ring.is_empty() {
            self.ring.shrink_to(PLACES_KEPT);
        } else if self.shrink.is_due(self.len, self.ring.capacity()) {
            self.ring.shrink_to(self.len * 2);
        }
        Some(removed)
    }

    /// Takes out the first one, if it is not behind `seq`.
    pub(crate) fn pop_to(&mut self, seq: Seq) -> Option<(Seq, Unacked)> {
        let first = self.first().filter(|first| *first <= seq)?;
        Some((first, self.remove(first)?))
    }

    pub(crate) fn first(&self) -> Option<Seq> {
        self.ring.front().map(|(seq, _)| *seq)
    }

    /// The first one behind `seq`.
    pub(crate) fn after(&self, seq: Seq) -> Option<(Seq, &Unacked)> {
        match self.ring.front() {
            Some(first) if first.0 > seq => live(first),
            _ => {
                let from = self.ring.partition_point(|(found, _)| *found <= seq);
                self.ring.range(from..).find_map(live)
            }
        }
    }

    /// All of them in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Seq, &Unacked)> {
        self.ring.iter().filter_map(live)
    }

    pub(crate) fn seqs(&self) -> impl Iterator<Item = Seq> {
        self.iter().map(|(seq, _)| seq)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Unacked> {
        self.iter().map(|(_, unacked)| unacked)
    }
}

fn live((seq, unacked): &(Seq, Option<Unacked>)) -> Option<(Seq, &Unacked)> {
    Some((*seq, unacked.as_ref()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn unacked(number: u64) -> Unacked {
        Unacked::stored(DeliverySeq(number), Timestamp(0))
    }

    proptest! {
        #[test]
        fn it_is_an_ordered_map(steps in prop::collection::vec((0..5u8, 0..40u64), 0..400)) {
            let (mut map, mut model) = (UnackedMap::default(), BTreeMap::new());
            for (number, (step, seq)) in steps.into_iter().enumerate() {
                let (seq, one) = (Seq(seq), unacked(number as u64));
                match step {
                    0 | 1 => {
                        map.insert(seq, one);
                        model.insert(seq, one);
                    }
                    2 | 3 => prop_assert_eq!(map.remove(seq), model.remove(&seq)),
                    _ => {
                        let first = model.first_entry().filter(|entry| *entry.key() <= seq);
                        prop_assert_eq!(map.pop_to(seq), first.map(|entry| entry.remove_entry()));
                    }
                }
                prop_assert_eq!(map.get(seq), model.get(&seq));
                prop_assert_eq!(map.len(), model.len());
                prop_assert_eq!(map.first(), model.keys().next().copied());
                let after = model.range(seq.next()..).next();
                prop_assert_eq!(map.after(seq), after.map(|(seq, one)| (*seq, one)));
                prop_assert!(map.iter().eq(model.iter().map(|(seq, one)| (*seq, one))));
                prop_assert!(map.ring.len() <= 2 * model.len() + 1);
            }
        }
    }

    #[test]
    fn what_was_there_once_takes_no_memory() {
        let mut map = UnackedMap::default();
        for seq in 0..100_000 {
            map.insert(Seq(seq), unacked(seq));
        }
        for seq in 0..99_000 {
            map.remove(Seq(seq));
        }
        assert!(map.len() == 1000 && map.ring.capacity() < 50_000);
        for seq in 99_000..100_000 {
            map.remove(Seq(seq));
        }
        assert!(map.is_empty() && map.ring.capacity() <= PLACES_KEPT);
    }
}
