//! Dead letters: what is added to a message that died with a consumer.
//!
//! The message keeps its headers and its payload; the facts stand beside them
//! in headers whose names begin with `Midge-`.

use midge_proto::JsonWriter;
use midge_proto::headers::{HeaderBlock, HeaderWriter};
use midge_proto::{Nanos, Timestamp};

/// The names of the headers that are added.
pub mod midge_header {
    /// What all of them begin with.
    pub const PREFIX: &[u8] = b"Midge-";
    /// The stream that the message was in.
    pub const STREAM: &[u8] = b"Midge-Stream";
    /// The consumer that it died with; none if the stream has dropped it.
    pub const CONSUMER: &[u8] = b"Midge-Consumer";
    /// Its sequence in that stream.
    pub const SEQUENCE: &[u8] = b"Midge-Sequence";
    /// Its subject.
    pub const SUBJECT: &[u8] = b"Midge-Subject";
    /// How often it was delivered.
    pub const DELIVERIES: &[u8] = b"Midge-Deliveries";
    /// Why it is dead: `max_deliver`, `terminated`, `terminated: <reason>`,
    /// `expired` or `discarded`.
    pub const REASON: &[u8] = b"Midge-Reason";
    /// One delivery, as JSON.
    pub const ATTEMPT: &[u8] = b"Midge-Attempt";
    /// How often it had been sent back before.
    pub const REDRIVES: &[u8] = b"Midge-Redrives";
    /// So many bytes at the start of the body are the original header block,
    /// which had left no room for these.
    pub const HEADER_LENGTH: &[u8] = b"Midge-Header-Length";
}

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Nothing was heard of it in time.
    Timeout,
    /// The client has refused it.
    Nak,
    /// The client has terminated it.
    Terminated,
    /// Nothing was heard of it in time, and the client was gone by then.
    Disconnect,
}

impl Ended {
    /// All of them, in the order of [`Ended::number`].
    const ALL: [Ended; 4] = [
        Ended::Timeout,
        Ended::Nak,
        Ended::Terminated,
        Ended::Disconnect,
    ];

    /// As it is told.
    pub fn as_str(self) -> &'static str {
        match self {
            Ended::Timeout => "timeout",
            Ended::Nak => "nak",
            Ended::Terminated => "terminated",
            Ended::Disconnect => "disconnect",
        }
    }

    /// As it is stored.
    pub fn number(self) -> u64 {
        self as u64
    }

    /// From what was stored.
    pub fn from_number(number: u64) -> Option<Ended> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }
}

/// One delivery of a message that was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Which delivery, from 1 on.
    pub number: u32,
    /// When it was delivered.
    pub time: Timestamp,
    /// How long after that it ended.
    pub after: Nanos,
    /// How it ended.
    pub ended: Ended,
    /// The number that INFO told the client it was delivered to; 0 if that is
    /// not known any more.
    pub client_id: u64,
    /// What the client calls itself, if it does.
    pub client: Box<str>,
    /// Why, if the client has said so.
    pub reason: Box<str>,
}

impl Attempt {
    /// Appends it as an object.
    pub fn write_json(&self, json: &mut JsonWriter) {
        json.open_object();
        json.uint_field("n", u64::from(self.number));
        json.time_field("time", self.time);
        json.string_unless_empty("client", &self.client);
        json.uint_unless_zero("client_id", self.client_id);
        json.string_field("ended", self.ended.as_str());
        json.int_field("after_ms", self.after.0 / 1_000_000);
        json.string_unless_empty("reason", &self.reason);
        json.close_object();
    }

    /// Adds it to a header block that is being written.
    #[must_use]
    pub fn write_header<'a>(&self, writer: HeaderWriter<'a>) -> HeaderWriter<'a> {
        let mut json = JsonWriter::new();
        self.write_json(&mut json);
        writer.header(midge_header::ATTEMPT, &json.into_bytes())
    }
}

/// The facts of a dead letter, as its headers tell them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadLetter<'a> {
    /// The stream that the message was in.
    pub stream: &'a str,
    /// The consumer that it died with; empty if the stream has dropped it.
    pub consumer: &'a str,
    /// Its subject.
    pub subject: &'a [u8],
    /// Its sequence in that stream.
    pub source_seq: u64,
    /// How often it was delivered.
    pub deliveries: u64,
    /// Why it is dead.
    pub reason: &'a str,
    /// How often it had been sent back before.
    pub redrives: u64,
}

impl<'a> DeadLetter<'a> {
    /// Reads a stored header block; `None` if this is no dead letter.
    pub fn read(header: &'a [u8]) -> Option<DeadLetter<'a>> {
        let mut letter = DeadLetter {
            stream: "",
            consumer: "",
            subject: b"",
            source_seq: 0,
            deliveries: 0,
            reason: "",
            redrives: 0,
        };
        for (name, value) in HeaderBlock::new(header) {
            if !name.starts_with(midge_header::PREFIX) {
                continue;
            }
            let text = || std::str::from_utf8(value).ok();
            let number = || text()?.parse().ok();
            match name {
                midge_header::STREAM => letter.stream = text()?,
                midge_header::CONSUMER => letter.consumer = text()?,
                midge_header::SEQUENCE => letter.source_seq = number()?,
                midge_header::SUBJECT => letter.subject = value,
                midge_header::DELIVERIES => letter.deliveries = number()?,
                midge_header::REASON => letter.reason = text()?,
                midge_header::REDRIVES => letter.redrives = number()?,
                _ => {}
            }
        }
        let is_whole = !letter.stream.is_empty() && letter.source_seq > 0;
        (is_whole && !letter.subject.is_empty()).then_some(letter)
    }

    /// Adds the facts to a header block that is being written.
    #[must_use]
    pub fn write_headers<'w>(&self, writer: HeaderWriter<'w>) -> HeaderWriter<'w> {
        let mut writer = writer.header(midge_header::STREAM, self.stream.as_bytes());
        if !self.consumer.is_empty() {
            writer = writer.header(midge_header::CONSUMER, self.consumer.as_bytes());
        }
        writer = writer
            .number(midge_header::SEQUENCE, self.source_seq)
            .header(midge_header::SUBJECT, self.subject)
            .number(midge_header::DELIVERIES, self.deliveries)
            .header(midge_header::REASON, self.reason.as_bytes());
        if self.redrives > 0 {
            writer = writer.number(midge_header::REDRIVES, self.redrives);
        }
        writer
    }

    /// Appends it as an object: where it lies, and the facts.
    pub fn write_json(&self, json: &mut JsonWriter, seq: u64, time: Timestamp, size: usize) {
        json.open_object();
        json.uint_field("seq", seq);
        json.time_field("time", time);
        json.string_field("stream", self.stream);
        json.string_unless_empty("consumer", self.consumer);
        json.string_field("subject", &String::from_utf8_lossy(self.subject));
        json.uint_field("source_seq", self.source_seq);
        json.uint_field("deliveries", self.deliveries);
        json.string_field("reason", self.reason);
        json.uint_field("redrives", self.redrives);
        json.uint_field("size", size as u64);
        json.close_object();
    }
}

/// What a dead letter was in its stream: the header block, empty if none, and
/// the body.
pub fn original_message<'a>(header: &[u8], body: &'a [u8]) -> (Vec<u8>, &'a [u8]) {
    let moved = HeaderBlock::new(header).get(midge_header::HEADER_LENGTH);
    let len = moved.and_then(|len| std::str::from_utf8(len).ok()?.parse().ok());
    match len.and_then(|len| body.split_at_checked(len)) {
        Some((original, body)) => (original.to_vec(), body),
        None => (original_header(header), body),
    }
}

/// A header block without what was added to it; empty if nothing else is in
/// it.
pub fn original_header(header: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut is_empty = true;
    let mut writer = HeaderWriter::new(&mut kept);
    for (name, value) in HeaderBlock::new(header) {
        if !name.starts_with(midge_header::PREFIX) {
            writer = writer.header(name, value);
            is_empty = false;
        }
    }
    writer.finish();
    if is_empty {
        kept.clear();
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const LETTER: DeadLetter<'_> = DeadLetter {
        stream: "ORDERS",
        consumer: "billing",
        subject: b"orders.7",
        source_seq: 7,
        deliveries: 3,
        reason: "terminated: no such customer",
        redrives: 0,
    };

    #[test]
    fn a_letter_is_read_as_it_is_written_and_gives_the_message_back() {
        let original = b"NATS/1.0\r\nA: b\r\n\r\n";
        let mut block = Vec::new();
        let writer = LETTER.write_headers(HeaderWriter::from_block(&mut block, original));
        let attempt = Attempt {
            number: 1,
            time: Timestamp(0),
            after: Nanos::from_millis(12),
            ended: Ended::Nak,
            client_id: 4,
            client: "worker \"1\"".into(),
            reason: "line\r\nbreak".into(),
        };
        attempt.write_header(writer).finish();
        let block_of = HeaderBlock::new(&block);
        assert!(block_of.is_valid());
        assert_eq!(DeadLetter::read(&block), Some(LETTER));
        assert_eq!(original_header(&block), original);
        let told = block_of
            .get(midge_header::ATTEMPT)
            .map(String::from_utf8_lossy);
        assert_eq!(
            told.as_deref(),
            Some(
                "{\"n\":1,\"time\":\"1970-01-01T00:00:00Z\",\"client\":\"worker \\\"1\\\"\",\
                 \"client_id\":4,\"ended\":\"nak\",\"after_ms\":12,\"reason\":\"line\\r\\nbreak\"}"
            )
        );
    }

    #[test]
    fn what_had_no_headers_has_none_again() {
        let mut block = Vec::new();
        LETTER.write_headers(HeaderWriter::new(&mut block)).finish();
        assert_eq!(original_header(&block), b"");
    }

    #[test]
    fn other_messages_are_no_letters() {
        for block in [
            "",
            "NATS/1.0\r\n\r\n",
            "NATS/1.0\r\nMidge-Stream: S\r\n\r\n",
        ] {
            assert_eq!(DeadLetter::read(block.as_bytes()), None, "{block}");
        }
    }
}
