//! The check of everything a subscriber receives against what it must receive.
//!
//! The bytes are known in advance (see [`Cycle`]), so nothing is parsed: the
//! position in the expected stream is counted on, and the end of every read
//! is compared with what belongs there. A byte lost, added or out of order
//! anywhere before shifts the stream, and the payload is such that a shifted
//! stream differs. The first frame is compared whole, and so is the last one.
//!
//! Two things may stand between frames: a PING from the server, which is
//! passed over, and the answer to our own last question, which ends the stream.

use std::io;

use crate::traffic::Cycle;
use crate::wire::NATS_PING;

/// Every read has at least this much of its end compared.
const WINDOW: usize = 4096;

/// The account of one subscriber.
pub(crate) struct Ledger<'a> {
    expected: &'a Cycle,
    /// The compared part of a read: no less than a frame, so that whatever
    /// the last reads were, all of the last frame was compared.
    window: usize,
    position: u64,
    /// What is left to come of a line between frames that has begun.
    line: &'a [u8],
    /// The line after which nothing may follow.
    last: &'a [u8],
    ended: bool,
}

impl<'a> Ledger<'a> {
    /// An account of a stream which repeats `expected` until `last` comes;
    /// an empty `last` never does.
    pub(crate) fn new(expected: &'a Cycle, last: &'a [u8]) -> Self {
        Ledger {
            expected,
            window: expected.longest().max(WINDOW),
            position: 0,
            line: b"",
            last,
            ended: false,
        }
    }

    /// How many bytes of frames have come.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// How many whole messages have come.
    pub(crate) fn messages(&self) -> u64 {
        self.expected.frames_in(self.position)
    }

    /// Whether the last line has come.
    pub(crate) fn ended(&self) -> bool {
        self.ended && self.line.is_empty()
    }

    /// Accounts for the bytes of one read.
    pub(crate) fn take(&mut self, read: &[u8]) -> io::Result<()> {
        let mut rest = self.pass_line(read)?;
        while !rest.is_empty() {
            if self.looks_right(rest) {
                self.position += rest.len() as u64;
                return Ok(());
            }
            let agreeing = self.expected.agreeing(self.position, rest);
            self.position += agreeing as u64;
            rest = &rest[agreeing..];
            self.begin_line(rest)?;
            rest = self.pass_line(rest)?;
        }
        Ok(())
    }

    fn looks_right(&self, rest: &[u8]) -> bool {
        if self.ended {
            return false;
        }
        let skipped = if self.position < self.window as u64 {
            0
        } else {
            rest.len().saturating_sub(self.window)
        };
        let window = &rest[skipped..];
        let at = self.position + skipped as u64;
        self.expected.agreeing(at, window) == window.len()
    }

    /// The stream has left the expected one before `rest`: finds the line that
    /// came in place of a frame. Frame and line may share their first bytes,
    /// and then those were taken for the frame's and are given back.
    fn begin_line(&mut self, rest: &[u8]) -> io::Result<()> {
        let shared = self.expected.frame_before(self.position);
        for line in [self.last, NATS_PING] {
            let Some(line_rest) = line.strip_prefix(shared) else {
                continue;
            };
            let count = line_rest.len().min(rest.len());
            if count > 0 && line_rest[..count] == rest[..count] && !self.ended {
                self.position -= shared.len() as u64;
                self.line = line_rest;
                self.ended = line == self.last;
                return Ok(());
            }
        }
        let found = rest[..rest.len().min(80)].escape_ascii();
        Err(io::Error::other(format!(
            "after {} messages the stream is wrong: found \"{found}\"",
            self.messages()
        )))
    }

    /// Takes what `read` holds of the line that has begun.
    fn pass_line<'r>(&mut self, read: &'r [u8]) -> io::Result<&'r [u8]> {
        let count = self.line.len().min(read.len());
        let (line, line_rest) = self.line.split_at(count);
        if line != &read[..count] {
            return Err(io::Error::other("a line between messages is cut short"));
        }
        self.line = line_rest;
        Ok(&read[count..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::payload;
    use crate::wire::{Dialect, Message};

    fn cycle(dialect: Dialect, size: usize) -> Cycle {
        let payload = payload(size);
        Cycle::new(3, |out, _| {
            let message = Message {
                subject: "a.b",
                reply: "",
                payload: &payload,
            };
            dialect.deliver(out, message, 1);
        })
    }

    /// Feeds the stream in pieces of every small size.
    fn fed(expected: &Cycle, last: &[u8], stream: &[u8]) -> Vec<Result<(u64, bool), String>> {
        let sizes = (1..50).chain([stream.len()]);
        sizes
            .map(|size| {
                let mut ledger = Ledger::new(expected, last);
                for piece in stream.chunks(size) {
                    ledger.take(piece).map_err(|error| error.to_string())?;
                }
                Ok((ledger.messages(), ledger.ended()))
            })
            .collect()
    }

    #[test]
    fn pings_are_passed_over_and_the_answer_ends() {
        let nats = cycle(Dialect::Nats, 16);
        let frame = nats.first(1);
        let stream = [frame, frame, NATS_PING, frame, NATS_PING, b"PONG\r\n"].concat();
        for outcome in fed(&nats, b"PONG\r\n", &stream) {
            assert_eq!(outcome, Ok((3, true)));
        }
    }

    #[test]
    fn an_answer_may_begin_like_a_frame() {
        let resp = cycle(Dialect::Resp, 16);
        let answer = Dialect::Resp.subscriber_check().unwrap().answer;
        let stream = [resp.first(3), answer].concat();
        for outcome in fed(&resp, answer, &stream) {
            assert_eq!(outcome, Ok((3, true)));
        }
    }

    #[test]
    fn every_loss_addition_and_change_is_found() {
        let nats = cycle(Dialect::Nats, 40);
        let good = nats.first(3);
        for at in 0..good.len() {
            let mut lost = good.to_vec();
            lost.remove(at);
            let mut changed = good.to_vec();
            changed[at] ^= 1;
            let mut added = good.to_vec();
            added.insert(at, b'z');
            for stream in [lost, changed, added] {
                let stream = [&stream[..], b"PONG\r\n"].concat();
                for outcome in fed(&nats, b"PONG\r\n", &stream) {
                    assert!(outcome.is_err(), "{at} {outcome:?}");
                }
            }
        }
    }

    #[test]
    fn nothing_may_follow_the_answer() {
        let nats = cycle(Dialect::Nats, 16);
        let stream = [nats.first(1), b"PONG\r\n", nats.first(1)].concat();
        for outcome in fed(&nats, b"PONG\r\n", &stream) {
            assert!(outcome.is_err());
        }
    }

    #[test]
    fn an_error_is_quoted() {
        let nats = cycle(Dialect::Nats, 16);
        let stream = [nats.first(2), b"-ERR 'Stale Connection'\r\n"].concat();
        let mut ledger = Ledger::new(&nats, b"");
        let error = ledger.take(&stream).unwrap_err().to_string();
        assert!(error.contains("after 2 messages"), "{error}");
        assert!(error.contains("Stale Connection"), "{error}");
    }
}
