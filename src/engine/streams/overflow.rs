//! Keeping what a stream drops.
//!
//! A stream that asks for it has copies made of what leaves it for want of
//! room, and of what a work queue's age limit takes before anybody has
//! acknowledged it. The copies are stored in the turn in which the messages
//! go, so that both are in one batch.

use super::bury::{copy_of, redrives_of, subject_of};
use super::filter::Filter;
use super::intake::Incoming;
use super::log_read::{NeedBlock, Search};
use super::stream::Stream;
use super::streams::Streams;
use crate::engine::Engine;
use crate::ids::{Seq, StreamId};
use crate::outbox::Outbox;
use midge_api::{Attempt, DeadLetter, Retention};

/// Bytes of copies that are made before they are stored.
const COPIES_LEN_MAX: usize = 1024 * 1024;

/// Why a message is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dropped {
    /// There was no room.
    Discarded,
    /// It was too old.
    Expired,
}

/// Copies that are still to be stored.
#[derive(Debug, Default)]
pub(crate) struct Overflow {
    copies: Vec<Copy>,
    /// The bytes of their payloads.
    len: usize,
}

impl Overflow {
    pub(crate) fn is_empty(&self) -> bool {
        self.copies.is_empty()
    }
}

/// The copy of a message that was dropped.
#[derive(Debug)]
struct Copy {
    subject: Vec<u8>,
    payload: Vec<u8>,
    header_len: usize,
}

impl Stream {
    /// Whether what it drops for this is to be kept.
    pub(super) fn keeps(&self, dropped: Dropped) -> bool {
        let is_meant = match dropped {
            Dropped::Discarded => true,
            Dropped::Expired => self.config.retention == Retention::WorkQueue,
        };
        self.keeps_overflow && is_meant
    }

    /// Whether the copies that were made should be stored first.
    pub(super) fn has_copied_enough(&self) -> bool {
        self.overflowed.len > COPIES_LEN_MAX
    }

    /// Copies a message that is about to be dropped.
    pub(super) fn copy_dropped(&mut self, seq: Seq, dropped: Dropped) -> Result<(), NeedBlock> {
        let Some(record) = self.log.get(seq)? else {
            return Ok(());
        };
        let is_queue = self.config.retention == Retention::WorkQueue;
        let mut consumers = self.consumers.values();
        let consumer =
            consumers.find(|consumer| is_queue && consumer.filter.matches(record.subject));
        let cursor = consumer.map(|consumer| &consumer.cursor);
        let out = cursor.filter(|cursor| cursor.unacked.contains(seq));
        let attempts = cursor
            .into_iter()
            .flat_map(|cursor| cursor.attempts.of(seq));
        let attempts: Vec<&Attempt> = attempts.collect();
        let letter = DeadLetter {
            stream: &self.config.name,
            consumer: consumer.map_or("", |consumer| consumer.name()),
            subject: record.subject,
            source_seq: seq.0,
            deliveries: out.map_or(0, |cursor| u64::from(cursor.deliveries(seq))),
            reason: match dropped {
                Dropped::Discarded => "discarded",
                Dropped::Expired => "expired",
            },
            redrives: redrives_of(&record, cursor),
        };
        let (payload, header_len) = copy_of(&record, &letter, &attempts);
        let subject = subject_of(&letter);
        self.overflowed.len += payload.len();
        self.overflowed.copies.push(Copy {
            subject,
            payload,
            header_len,
        });
        Ok(())
    }

    /// Copies and removes the oldest messages of a subject that has too many.
    /// Returns whether it is through.
    pub(super) fn drop_oldest_of(&mut self, subject: &[u8], kept: u64) -> Result<bool, NeedBlock> {
        let filter = Filter::exactly(subject);
        let mut at = Seq(0);
        while let Some(state) = self.log.subjects.get(subject)
            && state.count > kept
        {
            if self.has_copied_enough() {
                return Ok(false);
            }
            // Where its first one is may not be known exactly.
            at = at.max(state.first);
            let mut to = state.last.seq;
            if self.log.lost > 0 {
                // What was lost may be counted: the newest are to stay.
                to = self.log.before_newest(to, kept, &filter)?;
            }
            match self.log.next_match(at, to, &filter)? {
                Search::Found(seq) => {
                    self.copy_dropped(seq, Dropped::Discarded)?;
                    self.remove(seq)?;
                    at = seq.next();
                }
                Search::Pause(seq) => at = seq,
                Search::Nothing => break,
            }
        }
        Ok(true)
    }
}

impl Streams {
    /// Stores the copies of what a stream has dropped.
    pub(super) fn bury_overflow<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        id: StreamId,
        out: &mut O,
    ) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let account = stream.account;
        for copy in std::mem::take(&mut stream.overflowed).copies {
            let message = Incoming {
                subject: &copy.subject,
                payload: &copy.payload,
                header_len: copy.header_len,
            };
            // What is dropped from among the dead is gone.
            let stored = match self.dlq_for(engine, account, &copy.subject, out) {
                Some(target) if target == id => continue,
                Some(target) => self.store_letter(engine, target, message, out).is_ok(),
                None => false,
            };
            if stored {
                self.overflow_total += 1;
            } else {
                self.overflow_lost_total += 1;
            }
        }
    }
}
