//! Taking messages from a pull consumer and acknowledging them, on one
//! connection. The messages are checked as they come: the payload, that none
//! comes twice, and with one taker that they come in order.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use crate::connection::Connection;
use crate::streams::api::{CONSUMER, STREAM};
use crate::streams::ordered::Hand;
use crate::streams::scan::{Frame, Inbound, find, number, unexpected};
use crate::traffic::payload;

/// The subscription that messages come to.
const SID: &[u8] = b"1";
/// The subscription that answers to acknowledgements come to.
const ANSWERS: &[u8] = b"2";

/// What a request may wait: longer than any case takes.
const EXPIRES_NS: u64 = 600_000_000_000;

/// How many acknowledgements may wait for their answers when more messages
/// are asked for.
const UNANSWERED: u64 = 1000;

/// Says that a message is done with.
pub(crate) const DONE: &str = "+ACK";
/// Says that nobody ever will be.
pub(crate) const HOPELESS: &str = "+TERM";

/// How messages are taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taking {
    /// How many are asked for at once.
    pub(crate) batch: u64,
    /// How a message is acknowledged.
    pub(crate) verb: &'static str,
    /// Whether the server answers acknowledgements.
    pub(crate) answered: bool,
    /// How many to take, if there is an end to them. There is only one taker
    /// then, and it gets them in order.
    pub(crate) count: Option<u64>,
}

/// Checks deliveries and writes acknowledgements.
pub(crate) struct Tally {
    payload: Vec<u8>,
    /// How the subject of an acknowledgement begins.
    prefix: Vec<u8>,
    /// What follows that subject.
    ack: Vec<u8>,
    /// The stream sequence that comes next, where that is known.
    next: Option<u64>,
    /// What is to be sent.
    pub(crate) out: Vec<u8>,
    /// How many messages have come.
    pub(crate) taken: u64,
}

impl Tally {
    /// Of messages of that size from that stream, which are acknowledged unless
    /// `ack` is empty.
    pub(crate) fn new(stream: &str, size: usize, ack: &str, ordered: bool) -> Self {
        Tally {
            payload: payload(size),
            prefix: format!("$JS.ACK.{stream}.{CONSUMER}.").into_bytes(),
            ack: ack.into(),
            next: ordered.then_some(1),
            out: Vec::new(),
            taken: 0,
        }
    }

    /// Accounts for a message and returns its sequence.
    pub(crate) fn take(&mut self, reply: &[u8], body: &[u8]) -> io::Result<u64> {
        let place = reply
            .strip_prefix(self.prefix.as_slice())
            .and_then(delivery)
            .ok_or_else(|| unexpected(reply))?;
        if body != self.payload {
            return Err(io::Error::other("a message came with a wrong payload"));
        }
        if place.deliveries != 1 {
            return Err(io::Error::other("a message came again"));
        }
        if let Some(next) = &mut self.next {
            if place.sequence != *next {
                return Err(io::Error::other(format!(
                    "message {} came where {next} was due",
                    place.sequence
                )));
            }
            *next += 1;
        }
        self.taken += 1;
        if !self.ack.is_empty() {
            self.out.extend_from_slice(b"PUB ");
            self.out.extend_from_slice(reply);
            self.out.extend_from_slice(&self.ack);
        }
        Ok(place.sequence)
    }

    /// Sends what is to be sent.
    pub(crate) fn flush(&mut self, connection: &Connection) -> io::Result<()> {
        if !self.out.is_empty() {
            connection.send(&self.out)?;
            self.out.clear();
        }
        Ok(())
    }
}

/// What the subject of an acknowledgement tells.
#[derive(Debug, PartialEq)]
struct Delivery {
    deliveries: u64,
    sequence: u64,
}

/// Reads the two tokens after stream and consumer.
fn delivery(tokens: &[u8]) -> Option<Delivery> {
    let end = find(b'.', tokens)?;
    let rest = &tokens[end + 1..];
    Some(Delivery {
        deliveries: number(&tokens[..end])? as u64,
        sequence: number(&rest[..find(b'.', rest)?])? as u64,
    })
}

/// One who takes messages.
pub(crate) struct Taker<'a> {
    connection: &'a Connection,
    inbound: Inbound,
    tally: Tally,
    taking: Taking,
    request: Vec<u8>,
    /// Who looks at the order within each key.
    hand: Option<Hand<'a>>,
    /// Messages asked for that have not come.
    due: u64,
    /// Acknowledgements that have not been answered.
    unanswered: u64,
}

impl<'a> Taker<'a> {
    /// Messages of that size. The number tells takers on one server apart.
    pub(crate) fn new(
        connection: &'a Connection,
        taking: Taking,
        size: usize,
        id: usize,
    ) -> io::Result<Self> {
        let inbox = format!("_INBOX.bench.taker{id}");
        let answers = format!("_INBOX.bench.answers{id}");
        connection.subscribe(&inbox, "", 1)?;
        connection.subscribe(&answers, "", 2)?;
        let (verb, length) = (taking.verb, taking.verb.len());
        let ack = match taking.answered {
            true => format!(" {answers} {length}\r\n{verb}\r\n"),
            false => format!(" {length}\r\n{verb}\r\n"),
        };
        Ok(Taker {
            connection,
            inbound: Inbound::new(),
            tally: Tally::new(STREAM, size, &ack, taking.count.is_some()),
            taking,
            request: request(STREAM, &inbox, taking.batch),
            hand: None,
            due: 0,
            unanswered: 0,
        })
    }

    /// Has somebody look at the order within each key.
    pub(crate) fn watched(self, hand: Hand<'a>) -> Self {
        Taker {
            hand: Some(hand),
            ..self
        }
    }

    /// Takes messages until all have come, or the connection ends, and counts
    /// in `taken` those whose acknowledgements were sent.
    pub(crate) fn run(&mut self, taken: &AtomicU64) -> io::Result<()> {
        let count = self.taking.count.unwrap_or(u64::MAX);
        loop {
            let before = self.tally.taken;
            while let Some(frame) = self.inbound.next()? {
                match frame {
                    Frame::Message {
                        subject,
                        sid: SID,
                        reply,
                        header: b"",
                        body,
                    } => {
                        let sequence = self.tally.take(reply, body)?;
                        if let Some(hand) = &mut self.hand {
                            hand.take(subject, sequence)?;
                        }
                        self.due = self.due.checked_sub(1).ok_or_else(too_many)?;
                        self.unanswered += u64::from(self.taking.answered);
                    }
                    Frame::Message {
                        sid: ANSWERS,
                        header: b"",
                        body: b"",
                        ..
                    } => self.unanswered = self.unanswered.checked_sub(1).ok_or_else(too_many)?,
                    Frame::Message { header, .. } => return Err(unexpected(header)),
                    Frame::Ping => self.tally.out.extend_from_slice(b"PONG\r\n"),
                    Frame::Pong => {}
                }
            }
            self.ask(count);
            if let Some(hand) = &mut self.hand {
                hand.let_go();
            }
            self.tally.flush(self.connection)?;
            taken.fetch_add(self.tally.taken - before, SeqCst);
            if self.tally.taken >= count && self.unanswered == 0 {
                return Ok(());
            }
            self.inbound.fill(self.connection)?;
        }
    }

    /// Asks for more when what was asked for has nearly come.
    fn ask(&mut self, count: u64) {
        let soon = self.due <= self.taking.batch / 10 && self.unanswered <= UNANSWERED;
        if soon && self.tally.taken + self.due < count {
            self.tally.out.extend_from_slice(&self.request);
            self.due += self.taking.batch;
        }
    }
}

/// The frame that asks the consumer of a stream for messages.
pub(crate) fn request(stream: &str, inbox: &str, batch: u64) -> Vec<u8> {
    let body = format!("{{\"batch\":{batch},\"expires\":{EXPIRES_NS}}}");
    let length = body.len();
    let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{CONSUMER}");
    format!("PUB {subject} {inbox} {length}\r\n{body}\r\n").into_bytes()
}

fn too_many() -> io::Error {
    io::Error::other("more came than was asked for")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_must_be_the_right_ones_in_order() {
        let mut tally = Tally::new(STREAM, 3, " 0\r\n\r\n", true);
        let taken = tally.take(b"$JS.ACK.BENCH.taker.1.1.1.0.1", b"abc");
        assert_eq!(taken.unwrap(), 1);
        assert_eq!(tally.out, b"PUB $JS.ACK.BENCH.taker.1.1.1.0.1 0\r\n\r\n");
        for (reply, body) in [
            ("$JS.ACK.BENCH.taker.1.3.2.0.1", "abc"),
            ("$JS.ACK.BENCH.taker.2.2.2.0.1", "abc"),
            ("$JS.ACK.BENCH.taker.1.2.2.0.1", "abx"),
            ("$JS.ACK.BENCH.other.1.2.2.0.1", "abc"),
            ("", "abc"),
        ] {
            let taken = tally.take(reply.as_bytes(), body.as_bytes());
            assert!(taken.is_err(), "{reply} {body}");
        }
        tally
            .take(b"$JS.ACK.BENCH.taker.1.2.2.0.1", b"abc")
            .unwrap();
        assert_eq!(tally.taken, 2);
    }
}
