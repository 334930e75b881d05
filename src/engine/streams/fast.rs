//! Where a message stands in a batch that is stored as it comes, and how often
//! its publisher hears of it.
//!
//! All that a message says of its batch is in the subject it is to be answered
//! at: `<inbox>.<batch>.<flow>.<ok|fail>.<place>.<operation>.$FI`.

use super::atomic::ID_LEN_MAX;
use super::expectations::number;
use super::intake::Stored;
use crate::Time;
use crate::ids::Seq;
use midge_api::{ApiError, BatchFlow};

/// What the subject for answers ends in.
const SUFFIX: &[u8] = b".$FI";

/// Publishers of a stream share this many messages from one acknowledgement
/// to the next, as they do with nats-server.
const UNACKED_MAX: u64 = 500;

/// Messages from one acknowledgement to the next where nothing is asked for.
const UNACKED_DEFAULT: u64 = 10;

/// Places are what nats-server can count.
const PLACE_MAX: u64 = i64::MAX as u64;

/// Whether a message is part of such a batch.
#[inline]
pub(super) fn is_fast(reply: Option<&[u8]>) -> bool {
    reply.is_some_and(|reply| reply.ends_with(SUFFIX))
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Store,
    /// It is stored as the last.
    Commit,
    /// It is not stored, and ends the batch.
    End,
    /// It is not stored, and asks how far the batch is.
    Ping,
}

/// What a message says of its batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) id: &'a [u8],
    /// From 1 on.
    pub(super) seq: u64,
    pub(super) operation: Operation,
    /// An acknowledgement is wanted after so many messages.
    flow: u64,
    /// Messages may be missing.
    allows_gaps: bool,
}

impl<'a> Place<'a> {
    pub(super) fn read(reply: &'a [u8]) -> Result<Place<'a>, ApiError> {
        let place = Place::find(reply).ok_or(ApiError::BATCH_PUBLISH_INVALID_PATTERN)?;
        match place.id.len() > ID_LEN_MAX {
            true => Err(ApiError::BATCH_PUBLISH_INVALID_BATCH_ID),
            false => Ok(place),
        }
    }

    fn find(reply: &'a [u8]) -> Option<Place<'a>> {
        let mut tokens = reply.strip_suffix(SUFFIX)?.rsplit(|byte| *byte == b'.');
        let operation = number(tokens.next()?)?;
        let seq = number(tokens.next()?).filter(|seq| (1..=PLACE_MAX).contains(seq))?;
        let allows_gaps = match tokens.next()? {
            b"ok" => true,
            b"fail" => false,
            _ => return None,
        };
        let flow = number(tokens.next()?).filter(|flow| *flow > 0);
        let id = tokens.next()?;
        tokens.next()?;
        let operation = match (operation, seq) {
            (0, 1) => Operation::Store,
            (1, 2..) => Operation::Store,
            (2, _) => Operation::Commit,
            (3, 2..) => Operation::End,
            (4, _) => Operation::Ping,
            _ => return None,
        };
        Some(Place {
            id,
            seq,
            operation,
            flow: flow.unwrap_or(UNACKED_DEFAULT),
            allows_gaps,
        })
    }

    /// Whether a batch can begin with it.
    pub(super) fn is_first(&self) -> bool {
        self.seq == 1 && self.operation != Operation::Ping
    }
}

/// How a message follows those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrival {
    /// The place that was to come, and the one that came instead.
    pub(super) gap: Option<(u64, u64)>,
    /// It is not taken any more, and the batch ends.
    pub(super) is_last: bool,
}

/// A batch that is not at its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct FastBatch {
    /// The place that came last, stored or not.
    last: u64,
    /// The message of it that was stored last.
    stored: Seq,
    allows_gaps: bool,
    /// Its publisher was told so far.
    acked: u64,
    /// It is told again after so many messages.
    unacked: u16,
    /// What its publisher has asked for, or less.
    unacked_max: u16,
    /// When it has waited for too long.
    pub(super) due: Time,
}

impl FastBatch {
    /// A batch that begins with this message, beside others or alone. Beside
    /// others it begins slowly.
    pub(super) fn new(place: &Place<'_>, is_alone: bool, due: Time) -> FastBatch {
        let unacked_max = place.flow.min(UNACKED_MAX) as u16;
        FastBatch {
            last: 0,
            stored: Seq(0),
            allows_gaps: place.allows_gaps,
            acked: 0,
            unacked: if is_alone { unacked_max } else { 1 },
            unacked_max,
            due,
        }
    }

    /// Takes note of a message. A ping tells of the last message, so it is
    /// behind if there are others after it, and early if that one is missing.
    pub(super) fn arrive(&mut self, place: &Place<'_>) -> Arrival {
        let is_ping = place.operation == Operation::Ping;
        let (expected, came) = (self.last + 1, place.seq + u64::from(is_ping));
        let is_behind = came < expected;
        let mut arrival = Arrival {
            gap: None,
            is_last: false,
        };
        if came == expected || (is_ping && is_behind) {
            return arrival;
        }
        arrival.gap = Some((expected, came));
        arrival.is_last = is_behind || !self.allows_gaps;
        if !arrival.is_last {
            self.last = came - 1;
        }
        arrival
    }

    /// A message of it is stored, now or before.
    pub(super) fn stored(&mut self, place: &Place<'_>, stored: Stored) {
        self.last = place.seq;
        if let Stored::New(seq) = stored {
            self.stored = seq;
        }
    }

    /// A message of it cannot be stored; whether the batch goes on.
    pub(super) fn refused(&mut self, place: &Place<'_>) -> bool {
        let goes_on = self.allows_gaps && place.operation != Operation::Commit;
        if goes_on {
            self.last = place.seq;
        }
        goes_on
    }

    /// Whether nothing has come of it.
    pub(super) fn is_new(&self) -> bool {
        self.last == 0
    }

    /// Whether it is nothing without this message.
    pub(super) fn depends_on(&self, place: &Place<'_>) -> bool {
        place.seq == 1 && !self.allows_gaps
    }

    /// How many messages it had.
    pub(super) fn count(&self) -> u64 {
        self.last
    }

    /// The message of it that was stored last.
    pub(super) fn last_stored(&self) -> Seq {
        self.stored
    }

    /// How far it is, and when its publisher hears of it again.
    pub(super) fn progress(&self) -> BatchFlow<'static> {
        BatchFlow::Ack {
            seq: self.acked,
            msgs: self.unacked,
        }
    }

    /// A message of it is stored; whether its publisher is to be told so far.
    /// `open` is how many batches the stream has.
    pub(super) fn advance(&mut self, seq: u64, open: usize) -> bool {
        let unacked = u64::from(self.unacked).max(1);
        let passed = seq.saturating_sub(self.acked) / unacked;
        if passed == 0 {
            return false;
        }
        self.acked += passed * unacked;
        let share = (UNACKED_MAX / open.max(1) as u64).max(1) as u16;
        let share = share.min(self.unacked_max);
        self.unacked = match self.unacked < share {
            true => self.unacked.saturating_mul(2).min(share),
            false => (self.unacked / 2).max(share),
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(reply: &str) -> Place<'_> {
        Place::read(reply.as_bytes()).expect(reply)
    }

    fn batch(flow: u64, mode: &str, is_alone: bool) -> FastBatch {
        let reply = format!("i.b.{flow}.{mode}.1.0.$FI");
        FastBatch::new(&place(&reply), is_alone, Time::default())
    }

    fn arrive(batch: &mut FastBatch, seq: u64, operation: u8) -> Arrival {
        let reply = format!("i.b.5.ok.{seq}.{operation}.$FI");
        let arrival = batch.arrive(&place(&reply));
        if !arrival.is_last && operation < 3 {
            batch.stored(&place(&reply), Stored::New(Seq(100 + seq)));
        }
        arrival
    }

    const FINE: Arrival = Arrival {
        gap: None,
        is_last: false,
    };

    #[test]
    fn a_place_is_read_from_the_end_of_the_subject() {
        let found = place("_INBOX.x.y.uuid.100.ok.7.1.$FI");
        assert_eq!((found.id, found.seq, found.flow), (&b"uuid"[..], 7, 100));
        assert_eq!(found.operation, Operation::Store);
        assert!(found.allows_gaps);
        for (reply, flow) in [("i.b.x.fail.1.0.$FI", 10), ("i.b.0.fail.1.0.$FI", 10)] {
            assert_eq!(place(reply).flow, flow, "{reply}");
        }
        for (operation, wanted) in [
            (0, Operation::Store),
            (2, Operation::Commit),
            (4, Operation::Ping),
        ] {
            let reply = format!("i.b.1.fail.1.{operation}.$FI");
            assert_eq!(place(&reply).operation, wanted);
        }
        let long = "x".repeat(64);
        assert_eq!(place(&format!("i.{long}.1.ok.1.0.$FI")).id.len(), 64);
        let reply = format!("i.x{long}.1.ok.1.0.$FI");
        let error = Place::read(reply.as_bytes()).unwrap_err();
        assert_eq!(error, ApiError::BATCH_PUBLISH_INVALID_BATCH_ID);
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for reply in [
            ".$FI",
            "i.$FI",
            "b.10.ok.1.0.$FI",
            "i.b.10.OK.1.0.$FI",
            "i.b.10.ok.0.0.$FI",
            "i.b.10.ok.-1.0.$FI",
            "i.b.10.ok.9223372036854775808.1.$FI",
            "i.b.10.ok.1.1.$FI",
            "i.b.10.ok.2.0.$FI",
            "i.b.10.ok.1.3.$FI",
            "i.b.10.ok.2.5.$FI",
            "i.b.10.ok.2..$FI",
        ] {
            let error = Place::read(reply.as_bytes()).unwrap_err();
            assert_eq!(error, ApiError::BATCH_PUBLISH_INVALID_PATTERN, "{reply}");
        }
        assert!(is_fast(Some(b"i.$FI")));
        assert!(!is_fast(Some(b"$FI")) && !is_fast(Some(b"i.$FI.x")) && !is_fast(None));
    }

    #[test]
    fn gaps_are_passed_or_end_it() {
        let gap = |expected, came, is_last| Arrival {
            gap: Some((expected, came)),
            is_last,
        };
        let mut patient = batch(5, "ok", true);
        assert_eq!(arrive(&mut patient, 1, 0), FINE);
        assert_eq!(arrive(&mut patient, 2, 1), FINE);
        assert_eq!(arrive(&mut patient, 5, 1), gap(3, 5, false));
        assert_eq!(arrive(&mut patient, 5, 4), FINE);
        assert_eq!(arrive(&mut patient, 1, 4), FINE);
        assert_eq!(arrive(&mut patient, 7, 4), gap(6, 8, false));
        assert_eq!(patient.last, 7);
        assert_eq!(arrive(&mut patient, 10, 3), gap(8, 10, false));
        assert_eq!(patient.last, 9, "the end is none of its messages");
        assert_eq!(arrive(&mut patient, 9, 1), gap(10, 9, true));
        let mut strict = batch(5, "fail", true);
        assert_eq!(arrive(&mut strict, 1, 0), FINE);
        assert_eq!(arrive(&mut strict, 3, 1), gap(2, 3, true));
        assert_eq!(arrive(&mut strict, 2, 4), gap(2, 3, true));
        assert_eq!(strict.last, 1);
    }

    #[test]
    fn what_is_not_stored_counts_if_the_batch_goes_on() {
        let mut patient = batch(5, "ok", true);
        assert!(patient.is_new());
        arrive(&mut patient, 1, 0);
        let known = place("i.b.5.ok.2.1.$FI");
        patient.stored(&known, Stored::Duplicate(Seq(7)));
        assert_eq!((patient.count(), patient.last_stored()), (2, Seq(101)));
        assert!(patient.refused(&place("i.b.5.ok.3.1.$FI")));
        assert!(!patient.refused(&place("i.b.5.ok.4.2.$FI")));
        assert_eq!((patient.count(), patient.last_stored()), (3, Seq(101)));
        let first = place("i.b.5.fail.1.0.$FI");
        let mut strict = batch(5, "fail", true);
        assert!(strict.depends_on(&first) && !patient.depends_on(&first));
        assert!(!strict.refused(&first) && strict.is_new());
    }

    /// Where a batch is acknowledged, and how far the next one is.
    fn acks(
        batch: &mut FastBatch,
        places: impl IntoIterator<Item = u64>,
        open: usize,
    ) -> Vec<(u64, u16)> {
        let mut acks = Vec::new();
        for seq in places {
            if batch.advance(seq, open) {
                acks.push((batch.acked, batch.unacked));
            }
        }
        acks
    }

    #[test]
    fn acknowledgements_come_as_often_as_with_nats_server() {
        let mut alone = batch(3, "ok", true);
        assert_eq!(acks(&mut alone, 1..8, 1), [(3, 3), (6, 3)]);
        let mut large = batch(70_000, "ok", true);
        assert_eq!(acks(&mut large, 1..1002, 1), [(500, 500), (1000, 500)]);
        let mut second = batch(100, "ok", false);
        let wanted = [
            (1, 2),
            (3, 4),
            (7, 8),
            (15, 16),
            (31, 32),
            (63, 64),
            (127, 100),
            (227, 100),
        ];
        assert_eq!(acks(&mut second, 1..300, 2), wanted);
        let mut gaps = batch(100, "ok", false);
        let wanted = [(1, 2), (7, 4), (39, 8), (95, 16), (495, 32)];
        assert_eq!(acks(&mut gaps, [1, 8, 9, 40, 100, 500], 2), wanted);
        let mut crowded = batch(1000, "ok", true);
        let wanted = [
            (500, 250),
            (750, 125),
            (875, 62),
            (937, 31),
            (968, 15),
            (983, 7),
            (990, 3),
            (993, 1),
            (994, 1),
        ];
        assert_eq!(acks(&mut crowded, 1..995, 601), wanted);
    }
}
