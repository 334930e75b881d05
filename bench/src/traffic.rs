//! What is sent and what must come back, as bytes, made before the clock runs.
//!
//! A [`Cycle`] is a run of whole frames which is repeated without end: one
//! that is published, and the one that a subscriber must then receive. So the
//! publisher only writes, and the subscriber only compares and counts.

use std::ops::Range;

use crate::crowd;
use crate::wire::{Dialect, Message};

/// Roughly what a publisher writes at once.
const BATCH: usize = 256 * 1024;

/// The subject of every case that needs only one.
pub(crate) const SUBJECT: &str = "bench.load";

/// A run of whole frames, to be repeated.
pub(crate) struct Cycle {
    bytes: Vec<u8>,
    /// Where each frame ends.
    ends: Vec<usize>,
}

impl Cycle {
    /// `count` frames, each appended by `make`.
    pub(crate) fn new(count: usize, mut make: impl FnMut(&mut Vec<u8>, usize)) -> Self {
        let mut bytes = Vec::new();
        let ends = (0..count)
            .map(|index| {
                make(&mut bytes, index);
                bytes.len()
            })
            .collect();
        Cycle { bytes, ends }
    }

    /// The bytes of the first `frames` frames.
    pub(crate) fn first(&self, frames: usize) -> &[u8] {
        &self.bytes[self.span(&(0..frames))]
    }

    /// How many frames there are before it begins again.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of the frames.
    pub(crate) fn frames(&self, frames: Range<usize>) -> &[u8] {
        &self.bytes[self.span(&frames)]
    }

    /// Where the frames lie within the cycle.
    fn span(&self, frames: &Range<usize>) -> Range<usize> {
        let end_of = |count: usize| count.checked_sub(1).map_or(0, |last| self.ends[last]);
        end_of(frames.start)..end_of(frames.end)
    }

    /// How many whole frames the first `position` bytes of the repeated cycle
    /// hold.
    pub(crate) fn frames_in(&self, position: u64) -> u64 {
        let (turns, within) = self.split(position);
        let whole = self.ends.partition_point(|end| *end <= within);
        turns * self.ends.len() as u64 + whole as u64
    }

    /// The bytes of the frame at `position` which come before it.
    pub(crate) fn frame_before(&self, position: u64) -> &[u8] {
        let (_, within) = self.split(position);
        let whole = self.ends.partition_point(|end| *end <= within);
        let start = whole.checked_sub(1).map_or(0, |last| self.ends[last]);
        &self.bytes[start..within]
    }

    /// How many bytes of `seen` are what the cycle has at `position`.
    pub(crate) fn agreeing(&self, position: u64, seen: &[u8]) -> usize {
        let mut rest = seen;
        let (_, mut within) = self.split(position);
        while !rest.is_empty() {
            let expected = &self.bytes[within..];
            let count = expected.len().min(rest.len());
            if expected[..count] != rest[..count] {
                let same = expected.iter().zip(rest).take_while(|(a, b)| a == b);
                return seen.len() - rest.len() + same.count();
            }
            rest = &rest[count..];
            within = 0;
        }
        seen.len()
    }

    fn split(&self, position: u64) -> (u64, usize) {
        let length = self.bytes.len() as u64;
        (position / length, (position % length) as usize)
    }
}

/// A write of a publisher.
pub(crate) struct Batch {
    /// Which bytes of the published cycle.
    bytes: Range<usize>,
    /// How many messages they are.
    pub(crate) messages: u64,
    /// How many bytes a subscriber must receive for them.
    pub(crate) delivered: u64,
}

/// The two cycles, frame for frame the same messages.
pub(crate) struct Traffic {
    /// What publishers send.
    published: Cycle,
    /// What a subscriber that is meant gets.
    pub(crate) delivered: Cycle,
    /// The published cycle cut into writes.
    pub(crate) batches: Vec<Batch>,
}

impl Traffic {
    /// Messages of `size` bytes to the one subject.
    pub(crate) fn to_one_subject(dialect: Dialect, size: usize) -> Self {
        let payload = payload(size);
        let message = Message {
            subject: SUBJECT,
            reply: "",
            payload: &payload,
        };
        let mut frame = Vec::new();
        dialect.publish(&mut frame, message);
        let count = (BATCH / frame.len()).max(2);
        Traffic::from_cycles(
            Cycle::new(count, |out, _| dialect.publish(out, message)),
            Cycle::new(count, |out, _| dialect.deliver(out, message, 1)),
        )
    }

    /// Messages of `size` bytes to random ones of the crowd's subjects. The
    /// cycle is long, so that the subjects in it are far more than a cache
    /// holds.
    pub(crate) fn to_crowd(dialect: Dialect, size: usize, crowd: usize) -> Self {
        let payload = payload(size);
        let targets = crowd::at_random(crowd, crowd.min(1 << 17));
        let subjects: Vec<String> = targets.iter().map(|n| crowd::subject(*n)).collect();
        let message = |index: usize| Message {
            subject: &subjects[index],
            reply: "",
            payload: &payload,
        };
        let count = targets.len();
        Traffic::from_cycles(
            Cycle::new(count, |out, index| dialect.publish(out, message(index))),
            Cycle::new(count, |out, index| {
                dialect.deliver(out, message(index), crowd::sid(targets[index]));
            }),
        )
    }

    fn from_cycles(published: Cycle, delivered: Cycle) -> Self {
        let mut batches = Vec::new();
        let total = published.ends.len();
        let mut first = 0;
        while first < total {
            let limit = published.span(&(0..first)).end + BATCH;
            let fitting = published.ends.partition_point(|end| *end <= limit);
            let frames = first..fitting.max(first + 1);
            first = frames.end;
            batches.push(Batch {
                bytes: published.span(&frames),
                messages: frames.len() as u64,
                delivered: delivered.span(&frames).len() as u64,
            });
        }
        Traffic {
            published,
            delivered,
            batches,
        }
    }

    /// The bytes to write for the batch.
    pub(crate) fn bytes(&self, batch: &Batch) -> &[u8] {
        &self.published.bytes[batch.bytes.clone()]
    }
}

/// Lower case letters, and not all the same, so that a stream which slipped
/// by some bytes does not look right.
pub(crate) fn payload(size: usize) -> Vec<u8> {
    (b'a'..b'x').cycle().take(size).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cycle() -> Cycle {
        // "1", "22", "333"
        Cycle::new(3, |out, index| {
            out.extend(std::iter::repeat_n(b'1' + index as u8, index + 1));
        })
    }

    #[test]
    fn frames_are_counted_across_turns() {
        let cycle = cycle();
        let counts = [0, 1, 2, 3, 5, 6, 7, 12].map(|position| cycle.frames_in(position));
        assert_eq!(counts, [0, 1, 1, 2, 2, 3, 4, 6]);
        assert_eq!(cycle.frame_before(8), b"2");
        assert_eq!(cycle.frame_before(6), b"");
        assert_eq!(cycle.first(2), b"122");
    }

    #[test]
    fn agreement_runs_past_the_end() {
        let cycle = cycle();
        assert_eq!(cycle.agreeing(4, b"33122333122"), 11);
        assert_eq!(cycle.agreeing(4, b"331223x3122"), 6);
        assert_eq!(cycle.agreeing(0, b""), 0);
    }

    #[test]
    fn batches_cover_the_cycle_in_whole_frames() {
        let traffic = Traffic::to_crowd(Dialect::Nats, 128, 10_000);
        assert!(traffic.batches.len() > 2);
        let (mut next, mut messages, mut delivered) = (0, 0, 0);
        for batch in &traffic.batches {
            assert_eq!(batch.bytes.start, next);
            assert!(batch.bytes.len() <= BATCH);
            assert!(traffic.bytes(batch).starts_with(b"PUB "));
            next = batch.bytes.end;
            messages += batch.messages;
            delivered += batch.delivered;
        }
        assert_eq!(next, traffic.published.bytes.len());
        assert_eq!(messages, 10_000);
        assert_eq!(delivered, traffic.delivered.bytes.len() as u64);
    }

    #[test]
    fn a_large_message_is_a_batch_even_so() {
        let traffic = Traffic::to_one_subject(Dialect::Nats, 1 << 20);
        assert_eq!(traffic.batches.len(), 2);
    }
}
