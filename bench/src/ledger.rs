//! The check of everything a subscriber receives against what it must receive.
//!
//! The bytes are known in advance (see [`Cycle`]), so nothing is parsed: each
//! read is compared, whole, with what belongs at its place. That is one
//! `memcmp` over two buffers which the cache holds, far below the price of the
//! read itself, and it leaves no byte unchecked.
//!
//! Two things may stand between frames: a PING from the server, which is
//! passed over, and the answer to our own last question, which ends the stream.

use std::io;

use crate::traffic::Cycle;
use crate::wire::NATS_PING;

/// The account of one subscriber.
pub(crate) struct Ledger<'a> {
    expected: &'a Cycle,
    position: u64,
    /// What has come of a line between frames, while it is not whole.
    line: Vec<u8>,
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
            position: 0,
            line: Vec::new(),
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
        self.ended
    }

    /// Accounts for the bytes of one read.
    pub(crate) fn take(&mut self, read: &[u8]) -> io::Result<()> {
        let mut rest = read;
        if !self.line.is_empty() {
            rest = self.take_line(rest)?;
        }
        while !rest.is_empty() {
            if self.ended {
                rest = self.take_line(rest)?;
                continue;
            }
            let agreeing = self.expected.agreeing(self.position, rest);
            self.position += agreeing as u64;
            rest = &rest[agreeing..];
            if rest.is_empty() {
                break;
            }
            // Frame and line may share their first bytes; those were taken
            // for the frame's and are given back.
            self.line = self.expected.frame_before(self.position).to_vec();
            self.position -= self.line.len() as u64;
            rest = self.take_line(rest)?;
        }
        Ok(())
    }

    /// The error for a connection which the server ended too early.
    pub(crate) fn cut(&self) -> io::Error {
        let messages = self.messages();
        io::Error::other(format!(
            "the server closed the connection after {messages} messages"
        ))
    }

    /// Takes what `rest` holds of a line that may stand between frames, and
    /// returns what follows it. Byte by byte, for it happens once or twice in
    /// the life of a connection.
    fn take_line<'r>(&mut self, rest: &'r [u8]) -> io::Result<&'r [u8]> {
        for (index, byte) in rest.iter().enumerate() {
            self.line.push(*byte);
            let lines = [if self.ended { NATS_PING } else { self.last }, NATS_PING];
            if !lines.iter().any(|line| line.starts_with(&self.line)) {
                return Err(self.astray(&rest[index + 1..]));
            }
            if lines.contains(&self.line.as_slice()) {
                self.ended |= self.line == self.last;
                self.line.clear();
                return Ok(&rest[index + 1..]);
            }
        }
        Ok(b"")
    }

    fn astray(&self, rest: &[u8]) -> io::Error {
        let found = [&self.line, &rest[..rest.len().min(80)]].concat();
        io::Error::other(format!(
            "after {} messages the stream is wrong: found \"{}\"",
            self.messages(),
            found.escape_ascii()
        ))
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
