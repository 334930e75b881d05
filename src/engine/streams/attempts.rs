//! What became of the deliveries of messages that are not settled yet.
//!
//! Kept with the cursor, so that a dead letter tells its whole story, also of
//! the time before a restart. The history is bounded twice: a message keeps
//! its last deliveries, and a consumer so many bytes; what goes first is what
//! is oldest. How often a message was delivered is counted elsewhere, and
//! stays right.

use super::varint::{self, Reader};
use crate::ids::Seq;
use midge_api::{Attempt, Ended, Nanos, Timestamp};
use std::collections::{BTreeMap, VecDeque};

/// Deliveries that are remembered of one message: enough to see a pattern.
pub(crate) const ATTEMPTS_MAX: usize = 8;

/// What is kept of a client's name, in bytes.
pub(super) const CLIENT_LEN_MAX: usize = 64;

/// What is kept of a reason, in bytes: a line of text.
pub(crate) const REASON_LEN_MAX: usize = 256;

/// Bytes of history that a consumer keeps. They are written with its cursor,
/// so that a card is not worn out by a consumer of which everything fails.
const HISTORY_LEN_MAX: usize = 64 * 1024;

/// What an attempt takes beside its texts.
const ATTEMPT_COST: usize = 64;

#[derive(Debug, Clone, Default)]
pub(crate) struct Attempts {
    by_seq: BTreeMap<Seq, VecDeque<Attempt>>,
    len: usize,
}

impl Attempts {
    pub(crate) fn is_empty(&self) -> bool {
        self.by_seq.is_empty()
    }

    /// The attempts at a message, the oldest first.
    pub(crate) fn of(&self, seq: Seq) -> impl Iterator<Item = &Attempt> {
        self.by_seq.get(&seq).into_iter().flatten()
    }

    /// Takes note of one more; what is said is cut to what is kept.
    pub(crate) fn add(&mut self, seq: Seq, mut attempt: Attempt) {
        cut(&mut attempt.client, CLIENT_LEN_MAX);
        cut(&mut attempt.reason, REASON_LEN_MAX);
        self.len += cost(&attempt);
        let attempts = self.by_seq.entry(seq).or_default();
        attempts.push_back(attempt);
        if attempts.len() > ATTEMPTS_MAX
            && let Some(oldest) = attempts.pop_front()
        {
            self.len -= cost(&oldest);
        }
        while self.len > HISTORY_LEN_MAX {
            self.drop_oldest();
        }
    }

    /// The message with the lowest sequence has waited longest.
    fn drop_oldest(&mut self) {
        let Some(mut entry) = self.by_seq.first_entry() else {
            self.len = 0;
            return;
        };
        if let Some(oldest) = entry.get_mut().pop_front() {
            self.len -= cost(&oldest);
        }
        if entry.get().is_empty() {
            entry.remove();
        }
    }

    /// A message is settled.
    pub(crate) fn forget(&mut self, seq: Seq) {
        if let Some(attempts) = self.by_seq.remove(&seq) {
            self.len -= attempts.iter().map(cost).sum::<usize>();
        }
    }

    /// Appends all of it to a row.
    pub(super) fn write(&self, row: &mut Vec<u8>) {
        varint::put(row, self.by_seq.len() as u64);
        for (seq, attempts) in &self.by_seq {
            varint::put(row, seq.0);
            varint::put(row, attempts.len() as u64);
            for attempt in attempts {
                varint::put(row, u64::from(attempt.number));
                varint::put_signed(row, attempt.time.0);
                varint::put_signed(row, attempt.after.0);
                varint::put(row, attempt.ended.number());
                varint::put(row, attempt.client_id);
                varint::put_bytes(row, attempt.client.as_bytes());
                varint::put_bytes(row, attempt.reason.as_bytes());
            }
        }
    }

    /// Reads what [`Attempts::write`] wrote.
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Attempts> {
        let mut all = Attempts::default();
        for _ in 0..reader.number()? {
            let seq = Seq(reader.number()?);
            for _ in 0..reader.number()? {
                let attempt = Attempt {
                    number: reader.small()?,
                    time: Timestamp(reader.signed()?),
                    after: Nanos(reader.signed()?),
                    ended: Ended::from_number(reader.number()?)?,
                    client_id: reader.number()?,
                    client: text(reader.bytes()?),
                    reason: text(reader.bytes()?),
                };
                all.add(seq, attempt);
            }
        }
        Some(all)
    }
}

fn cost(attempt: &Attempt) -> usize {
    ATTEMPT_COST + attempt.client.len() + attempt.reason.len()
}

/// Cuts a text where a character ends.
pub(super) fn cut(text: &mut Box<str>, len_max: usize) {
    if text.len() > len_max {
        *text = start_of(text, len_max).into();
    }
}

/// As much of a text as is not longer, up to where a character ends.
pub(super) fn start_of(text: &str, len_max: usize) -> &str {
    let ends = (0..=len_max.min(text.len())).rev();
    let end = ends.into_iter().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

fn text(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(number: u32, reason: &str) -> Attempt {
        Attempt {
            number,
            time: Timestamp(i64::from(number)),
            after: Nanos(5),
            ended: Ended::Nak,
            client_id: 3,
            client: "worker".into(),
            reason: reason.into(),
        }
    }

    #[test]
    fn a_message_keeps_its_last_attempts() {
        let mut all = Attempts::default();
        for number in 1..=20 {
            all.add(Seq(7), attempt(number, "no"));
        }
        let kept: Vec<u32> = all.of(Seq(7)).map(|attempt| attempt.number).collect();
        assert_eq!(kept, (13..=20).collect::<Vec<_>>());
        let mut row = Vec::new();
        all.write(&mut row);
        let read = Attempts::read(&mut Reader::new(&row)).expect("what was written");
        assert!(read.of(Seq(7)).eq(all.of(Seq(7))));
        assert_eq!(read.len, all.len);
        all.forget(Seq(7));
        assert!(all.is_empty() && all.len == 0);
    }

    #[test]
    fn a_consumer_keeps_so_many_bytes_and_the_newest() {
        let mut all = Attempts::default();
        for seq in 1..=10_000 {
            all.add(Seq(seq), attempt(1, &"ä".repeat(400)));
        }
        assert!(all.len <= HISTORY_LEN_MAX);
        assert!(all.of(Seq(1)).next().is_none());
        let last = all.of(Seq(10_000)).next().expect("the newest");
        assert_eq!(last.reason.len(), REASON_LEN_MAX);
    }
}
