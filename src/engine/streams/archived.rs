//! How a consumer goes into the archive of its stream and comes out of it.
//!
//! The archive has room for what nats-server knows: positions, what is not
//! acknowledged, and how often that was delivered. What a consumer of ours has
//! put off, as it comes back from the dead or waits for its key, goes in as
//! unacknowledged, long since: so it is delivered again. What it has seen
//! ahead of its turn is seen once more.

use super::consumer::Consumer;
use super::position::{Cursor, Position};
use super::unacked::Unacked;
use crate::ids::{DeliverySeq, Seq};
use midge_api::Timestamp;
use midge_api::snapshot::{ArchivedConsumer, ArchivedPending};

/// Bytes of what is told of a message that is not acknowledged, and of one
/// that was delivered again, less numbers that differ; and of a time and a
/// count at most.
const PENDING_LEN: usize = r#""":{"Sequence":,"Timestamp":},"#.len();
const REDELIVERED_LEN: usize = r#""":,"#.len();
const TIME_LEN: usize = 20;
const COUNT_LEN: usize = 10;

fn digits(number: u64) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

impl Consumer {
    /// Bytes that it takes in an archive of messages up to `end`, at most,
    /// besides its configuration. Takes no longer for many messages.
    pub(super) fn archived_len_max(&self, end: Seq) -> usize {
        let cursor = &self.cursor;
        let seq = digits(end.0);
        let pending = PENDING_LEN + seq + digits(cursor.delivered.delivery.0) + TIME_LEN;
        let redelivered = REDELIVERED_LEN + seq + COUNT_LEN;
        (cursor.unacked.len() + cursor.picks.len()) * pending
            + cursor.redeliveries.len() * redelivered
    }

    /// How far it has come among the messages up to `end`.
    pub(super) fn archived(&self, end: Seq) -> ArchivedConsumer {
        let cursor = &self.cursor;
        let position = |at: Position| (at.delivery.0, at.seq.min(end).0);
        let mut archived = ArchivedConsumer {
            config: self.config.clone(),
            delivered: position(cursor.delivered),
            ack_floor: position(cursor.ack_floor),
            ..ArchivedConsumer::default()
        };
        if !self.wants_acks() {
            return archived;
        }
        let unacked = cursor.unacked.iter().take_while(|(seq, _)| *seq <= end);
        archived
            .pending
            .extend(unacked.map(|(seq, unacked)| ArchivedPending {
                seq: seq.0,
                delivery: unacked.delivery.0,
                time: unacked.delivered_at,
            }));
        let put_off = cursor.picks.range(..=cursor.delivered.seq.min(end));
        archived.pending.extend(put_off.map(|seq| ArchivedPending {
            seq: seq.0,
            delivery: cursor.delivered.delivery.0,
            time: Timestamp(0),
        }));
        let counts = cursor.redeliveries.range(..=end);
        archived
            .redelivered
            .extend(counts.map(|(seq, count)| (seq.0, u64::from(*count))));
        archived
    }
}

/// Where a consumer goes on in a stream that ends with `last`. An archive may
/// say that it was further: what will have those sequences is to be delivered.
pub(super) fn cursor_of(archived: &ArchivedConsumer, last: Seq, wants_acks: bool) -> Cursor {
    let position = |(delivery, seq): (u64, u64), max: Position| Position {
        delivery: DeliverySeq(delivery).min(max.delivery),
        seq: Seq(seq).min(max.seq),
    };
    let end = Position {
        delivery: DeliverySeq(u64::MAX >> 1),
        seq: last,
    };
    let delivered = position(archived.delivered, end);
    let mut cursor = Cursor {
        delivered,
        ack_floor: position(archived.ack_floor, delivered),
        ..Cursor::default()
    };
    if !wants_acks {
        cursor.ack_floor = delivered;
        return cursor;
    }
    let floor = cursor.ack_floor.seq;
    for pending in &archived.pending {
        let seq = Seq(pending.seq);
        if seq > floor && seq <= delivered.seq {
            let delivery = DeliverySeq(pending.delivery).min(delivered.delivery);
            let unacked = Unacked::stored(delivery, pending.time);
            cursor.unacked.insert(seq, unacked);
        }
    }
    for (seq, count) in &archived.redelivered {
        let seq = Seq(*seq);
        if cursor.unacked.contains(seq) {
            let count = u32::try_from(*count).unwrap_or(u32::MAX >> 1);
            cursor.redeliveries.insert(seq, count);
        }
    }
    cursor
}

#[cfg(test)]
mod tests {
    use super::*;
    use midge_api::{AckPolicy, ConsumerConfig};

    fn pending(seq: u64, delivery: u64) -> ArchivedPending {
        ArchivedPending {
            seq,
            delivery,
            time: Timestamp(77),
        }
    }

    #[test]
    fn a_consumer_comes_back_as_it_was() {
        let archived = ArchivedConsumer {
            config: ConsumerConfig {
                name: "c".to_owned(),
                ack_policy: AckPolicy::Explicit,
                ..ConsumerConfig::default()
            },
            delivered: (5, 7),
            ack_floor: (0, 2),
            pending: vec![pending(3, 1), pending(4, 2), pending(7, 3)],
            redelivered: vec![(3, 1)],
        };
        let config = archived.config.clone();
        let made = |last: u64| {
            let id = crate::ids::ConsumerId(1);
            let now = crate::Time::default();
            let mut consumer = Consumer::new(id, "S", config.clone(), Timestamp(0), now);
            consumer.begin_at(cursor_of(&archived, Seq(last), true));
            consumer
        };
        assert_eq!(made(9).archived(Seq(9)), archived);
        // Neither end is believed to be further than the messages go.
        for shorter in [made(4).archived(Seq(9)), made(9).archived(Seq(4))] {
            assert_eq!(shorter.delivered, (5, 4));
            assert_eq!(shorter.pending, archived.pending[..2]);
        }
    }

    #[test]
    fn what_was_put_off_is_delivered_again() {
        let config = ConsumerConfig {
            name: "c".to_owned(),
            ack_policy: AckPolicy::Explicit,
            ..ConsumerConfig::default()
        };
        let id = crate::ids::ConsumerId(1);
        let now = crate::Time::default();
        let mut consumer = Consumer::new(id, "S", config, Timestamp(0), now);
        let cursor = Cursor {
            delivered: Position {
                delivery: DeliverySeq(3),
                seq: Seq(8),
            },
            picks: [Seq(5), Seq(9)].into(),
            ..Cursor::default()
        };
        consumer.begin_at(cursor);
        let archived = consumer.archived(Seq(10));
        assert_eq!(archived.pending.len(), 1);
        assert_eq!(
            (archived.pending[0].seq, archived.pending[0].time),
            (5, Timestamp(0))
        );
    }

    #[test]
    fn how_long_it_is_at_most_is_known_beforehand() {
        let config = ConsumerConfig {
            name: "c".to_owned(),
            ack_policy: AckPolicy::Explicit,
            ..ConsumerConfig::default()
        };
        let (id, now) = (crate::ids::ConsumerId(1), crate::Time::default());
        let len_with = |count: u64| {
            let mut consumer = Consumer::new(id, "S", config.clone(), Timestamp(0), now);
            let archived = ArchivedConsumer {
                delivered: (99_000, 99_000),
                pending: (1..=count)
                    .map(|nth| ArchivedPending {
                        time: Timestamp(1_700_000_000_000_000_000),
                        ..pending(90_000 + nth, nth)
                    })
                    .collect(),
                redelivered: (1..=count).map(|nth| (90_000 + nth, nth)).collect(),
                ..ArchivedConsumer::default()
            };
            consumer.begin_at(cursor_of(&archived, Seq(99_000), true));
            let mut json = midge_api::JsonWriter::new();
            consumer.archived(Seq(99_000)).write_json(&mut json);
            (json.len(), consumer.archived_len_max(Seq(99_000)))
        };
        let (alone, nothing) = len_with(0);
        let (len, max) = len_with(5000);
        assert_eq!(nothing, 0);
        assert!(
            len - alone <= max + 50 && max < (len - alone) * 6 / 5,
            "{len} {max}"
        );
    }
}
