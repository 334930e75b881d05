//! Header blocks: reading one where it lies, and writing one.
//!
//! A block is `NATS/1.0`, perhaps a status, then a line for each header and an
//! empty line. Names are compared as they are, upper and lower case apart, as
//! nats-server does. Nothing here allocates but the buffer that is written to.

use crate::Timestamp;
use crate::encode::{CRLF, Decimal};
use memchr::{memchr, memmem};

/// What every block begins with.
pub const VERSION: &[u8] = b"NATS/1.0";

/// The names of headers that mean something to a stream.
pub mod name {
    /// Of a publish: the id that tells duplicates.
    pub const MSG_ID: &[u8] = b"Nats-Msg-Id";
    /// Of a publish: the stream has to be this one.
    pub const EXPECTED_STREAM: &[u8] = b"Nats-Expected-Stream";
    /// Of a publish: the stream's last sequence has to be this.
    pub const EXPECTED_LAST_SEQ: &[u8] = b"Nats-Expected-Last-Sequence";
    /// Of a publish: the subject's last sequence has to be this.
    pub const EXPECTED_LAST_SUBJECT_SEQ: &[u8] = b"Nats-Expected-Last-Subject-Sequence";
    /// Of a publish: the subject that the former is about.
    pub const EXPECTED_LAST_SUBJECT_SEQ_SUBJECT: &[u8] =
        b"Nats-Expected-Last-Subject-Sequence-Subject";
    /// Of a publish: the id of the stream's last message has to be this.
    pub const EXPECTED_LAST_MSG_ID: &[u8] = b"Nats-Expected-Last-Msg-Id";
    /// Of a publish: it replaces what its subject, or the stream, held.
    pub const ROLLUP: &[u8] = b"Nats-Rollup";
    /// Of a publish: how long it lives.
    pub const TTL: &[u8] = b"Nats-TTL";
    /// Of a publish: what to add to a counter.
    pub const INCR: &[u8] = b"Nats-Incr";
    /// Of a publish: when to publish it.
    pub const SCHEDULE: &[u8] = b"Nats-Schedule";
    /// Of a publish: where to publish it.
    pub const SCHEDULE_TARGET: &[u8] = b"Nats-Schedule-Target";
    /// Of a publish: how long that lives.
    pub const SCHEDULE_TTL: &[u8] = b"Nats-Schedule-TTL";
    /// Of a publish: where its body comes from.
    pub const SCHEDULE_SOURCE: &[u8] = b"Nats-Schedule-Source";
    /// Of a publish: what it replaces.
    pub const SCHEDULE_ROLLUP: &[u8] = b"Nats-Schedule-Rollup";
    /// Of a publish: where the clock stands.
    pub const SCHEDULE_TIME_ZONE: &[u8] = b"Nats-Schedule-Time-Zone";
    /// Of a message by schedule: the subject of the schedule.
    pub const SCHEDULER: &[u8] = b"Nats-Scheduler";
    /// Of a message by schedule: when the next one comes.
    pub const SCHEDULE_NEXT: &[u8] = b"Nats-Schedule-Next";
    /// Of a counter's message: what other streams have added.
    pub const COUNTER_SOURCES: &[u8] = b"Nats-Counter-Sources";
    /// Of a publish in a batch: which one.
    pub const BATCH_ID: &[u8] = b"Nats-Batch-Id";
    /// Of a publish in a batch: its place.
    pub const BATCH_SEQUENCE: &[u8] = b"Nats-Batch-Sequence";
    /// Of a publish in a batch: it is the last.
    pub const BATCH_COMMIT: &[u8] = b"Nats-Batch-Commit";
    /// Of a request: the least level of the API.
    pub const REQUIRED_API_LEVEL: &[u8] = b"Nats-Required-Api-Level";
    /// Of a delete marker: what made it.
    pub const MARKER_REASON: &[u8] = b"Nats-Marker-Reason";
    /// Of a copied message: where it comes from.
    pub const STREAM_SOURCE: &[u8] = b"Nats-Stream-Source";
    /// Of a stored message that is sent: its stream.
    pub const STREAM: &[u8] = b"Nats-Stream";
    /// Of a stored message that is sent: its subject.
    pub const SUBJECT: &[u8] = b"Nats-Subject";
    /// Of a stored message that is sent: its sequence.
    pub const SEQUENCE: &[u8] = b"Nats-Sequence";
    /// Of a stored message that is sent: when it was stored.
    pub const TIME_STAMP: &[u8] = b"Nats-Time-Stamp";
    /// Of a stored message that is sent: the sequence before.
    pub const LAST_SEQUENCE: &[u8] = b"Nats-Last-Sequence";
    /// Of a batch of stored messages: how many come after.
    pub const NUM_PENDING: &[u8] = b"Nats-Num-Pending";
    /// Of a batch of stored messages: the sequence it was read at.
    pub const UP_TO_SEQUENCE: &[u8] = b"Nats-UpTo-Sequence";
    /// Of a message without its payload: how long that is.
    pub const MSG_SIZE: &[u8] = b"Nats-Msg-Size";
    /// Of a status: messages that a pull request still asked for.
    pub const PENDING_MESSAGES: &[u8] = b"Nats-Pending-Messages";
    /// Of a status: bytes that a pull request still asked for.
    pub const PENDING_BYTES: &[u8] = b"Nats-Pending-Bytes";
    /// Of a heartbeat: the last delivery's consumer sequence.
    pub const LAST_CONSUMER: &[u8] = b"Nats-Last-Consumer";
    /// Of a heartbeat: the last delivery's stream sequence.
    pub const LAST_STREAM: &[u8] = b"Nats-Last-Stream";
    /// Of a heartbeat: the flow control request that waits for an answer.
    pub const CONSUMER_STALLED: &[u8] = b"Nats-Consumer-Stalled";
    /// Of a delivery to a pinned client: its pin.
    pub const PIN_ID: &[u8] = b"Nats-Pin-Id";
}

/// A header block as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderBlock<'a>(&'a [u8]);

impl<'a> HeaderBlock<'a> {
    /// Takes any bytes; what is no header is passed over.
    pub fn new(block: &'a [u8]) -> Self {
        HeaderBlock(block)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Whether it begins and ends as it should.
    pub fn is_valid(&self) -> bool {
        self.0.starts_with(VERSION) && self.0.ends_with(b"\r\n\r\n")
    }

    /// What stands on the first line after the version; empty if nothing.
    pub fn status(&self) -> &'a [u8] {
        let end = memmem::find(self.0, CRLF).unwrap_or(self.0.len());
        self.0
            .get(..end)
            .and_then(|line| line.strip_prefix(VERSION))
            .unwrap_or_default()
            .trim_ascii()
    }

    /// The value of the first header of this name.
    pub fn get(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.iter()
            .find(|&(found, _)| found == name)
            .map(|(_, value)| value)
    }

    /// All headers, in order. Blanks before a value are left out, blanks after
    /// it are part of it.
    pub fn iter(&self) -> Headers<'a> {
        let start = memmem::find(self.0, CRLF).map_or(self.0.len(), |end| end + CRLF.len());
        Headers(self.0.get(start..).unwrap_or_default())
    }
}

impl<'a> IntoIterator for HeaderBlock<'a> {
    type Item = (&'a [u8], &'a [u8]);
    type IntoIter = Headers<'a>;

    fn into_iter(self) -> Headers<'a> {
        self.iter()
    }
}

/// The headers of a block: names and values.
#[derive(Debug, Clone)]
pub struct Headers<'a>(&'a [u8]);

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.0.is_empty() {
            let end = memmem::find(self.0, CRLF).unwrap_or(self.0.len());
            let (line, rest) = self.0.split_at(end);
            self.0 = rest.get(CRLF.len()..).unwrap_or_default();
            if let Some(colon) = memchr(b':', line) {
                let (name, value) = line.split_at(colon);
                let value = value.strip_prefix(b":").unwrap_or_default();
                let blanks = value.iter().take_while(|&&byte| byte == b' ').count();
                return Some((name, value.get(blanks..).unwrap_or_default()));
            }
        }
        None
    }
}

/// What a stream keeps of a block: neither a status nor what a server noted
/// for itself; nothing if no header is left. `None` if that is all of it, as
/// with nearly every block.
pub fn kept_of(block: &[u8]) -> Option<Vec<u8>> {
    const NOTED: &[u8] = b"Nats-Request-Info:";
    let end = memmem::find(block, CRLF)?;
    let has_status = block.starts_with(VERSION) && end > VERSION.len();
    let is_noted = memmem::find(block, NOTED).is_some_and(|at| block[..at].ends_with(CRLF));
    if !has_status && !is_noted {
        return None;
    }
    let mut kept = VERSION.to_vec();
    let mut rest = block.get(end..).unwrap_or_default();
    if let Some(at) = memmem::find(rest, NOTED).filter(|_| is_noted) {
        let (before, noted) = rest.split_at(at - CRLF.len());
        kept.extend_from_slice(before);
        let line = noted.get(CRLF.len()..).unwrap_or_default();
        let end = memmem::find(line, CRLF).unwrap_or(line.len());
        rest = line.get(end..).unwrap_or_default();
    }
    kept.extend_from_slice(rest);
    if HeaderBlock::new(&kept).iter().next().is_none() {
        kept.clear();
    }
    Some(kept)
}

/// A block without some of its headers, as they were written; empty if none is
/// left.
pub fn without(block: &[u8], drops: &dyn Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut kept = VERSION.to_vec();
    kept.extend_from_slice(CRLF);
    let mut rest = memmem::find(block, CRLF).map_or(&[][..], |end| &block[end + CRLF.len()..]);
    while let Some(end) = memmem::find(rest, CRLF) {
        let (line, after) = rest.split_at(end + CRLF.len());
        rest = after;
        let name = memchr(b':', line).map(|colon| &line[..colon]);
        if name.is_some_and(|name| !drops(name)) {
            kept.extend_from_slice(line);
        }
    }
    if kept.len() == VERSION.len() + CRLF.len() {
        return Vec::new();
    }
    kept.extend_from_slice(CRLF);
    kept
}

/// Appends a header block to a buffer, header by header.
///
/// The block is whole only after [`finish`](HeaderWriter::finish).
#[derive(Debug)]
pub struct HeaderWriter<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> HeaderWriter<'a> {
    /// Starts an empty block.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        out.extend_from_slice(VERSION);
        out.extend_from_slice(CRLF);
        HeaderWriter { out }
    }

    /// Starts with the headers of a block that is there already, or an empty
    /// one.
    pub fn from_block(out: &'a mut Vec<u8>, block: &[u8]) -> Self {
        match block.strip_suffix(CRLF) {
            Some(open) => {
                out.extend_from_slice(open);
                HeaderWriter { out }
            }
            None => HeaderWriter::new(out),
        }
    }

    /// Starts a status; it may have no text.
    pub fn status(out: &'a mut Vec<u8>, code: u16, text: &str) -> Self {
        out.extend_from_slice(VERSION);
        out.push(b' ');
        out.extend_from_slice(Decimal::new(usize::from(code)).as_bytes());
        if !text.is_empty() {
            out.push(b' ');
            out.extend_from_slice(text.as_bytes());
        }
        out.extend_from_slice(CRLF);
        HeaderWriter { out }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(self, name: &[u8], value: &[u8]) -> Self {
        for part in [name, b": ", value, CRLF] {
            self.out.extend_from_slice(part);
        }
        self
    }

    /// Adds a header with a number.
    #[must_use]
    pub fn number(self, name: &[u8], value: u64) -> Self {
        self.header(name, Decimal::from_u64(value).as_bytes())
    }

    /// Adds a header with a time.
    #[must_use]
    pub fn time(self, name: &[u8], value: Timestamp) -> Self {
        self.out.extend_from_slice(name);
        // Writing to a Vec cannot fail.
        let _ = std::io::Write::write_fmt(self.out, format_args!(": {value}\r\n"));
        self
    }

    /// Ends the block.
    pub fn finish(self) {
        self.out.extend_from_slice(CRLF);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BLOCK: &[u8] = b"NATS/1.0\r\nA: 1\r\na:2\r\nB:   x y \r\nA: 3\r\nC:\r\n\r\n";

    #[test]
    fn what_is_not_a_publishers_is_not_kept() {
        let kept = |block: &str| kept_of(block.as_bytes());
        let text = |block: &str| Some(block.as_bytes().to_vec());
        for plain in [
            "",
            "NATS/1.0\r\n\r\n",
            "NATS/1.0\r\nA: Nats-Request-Info: x\r\n\r\n",
            "x",
        ] {
            assert_eq!(kept(plain), None, "{plain}");
        }
        assert_eq!(
            kept("NATS/1.0 200 hello\r\nX: y\r\n\r\n"),
            text("NATS/1.0\r\nX: y\r\n\r\n")
        );
        assert_eq!(kept("NATS/1.0 503\r\n\r\n"), text(""));
        assert_eq!(kept("NATS/1.0\r\nNats-Request-Info: {}\r\n\r\n"), text(""));
        assert_eq!(
            kept("NATS/1.0\r\nA: b\r\nNats-Request-Info: {}\r\nC: d\r\n\r\n"),
            text("NATS/1.0\r\nA: b\r\nC: d\r\n\r\n")
        );
    }

    #[test]
    fn headers_can_be_left_out() {
        let without_a = |block: &str| without(block.as_bytes(), &|name| name == b"A");
        assert_eq!(
            without_a("NATS/1.0\r\nA: 1\r\nB:  A: 2\r\nA:3\r\nno header\r\nC:\r\n\r\n"),
            b"NATS/1.0\r\nB:  A: 2\r\nC:\r\n\r\n"
        );
        for empty in ["NATS/1.0\r\nA: 1\r\n\r\n", "NATS/1.0\r\n\r\n", "", "x"] {
            assert_eq!(without_a(empty), b"", "{empty}");
        }
    }

    #[test]
    fn headers_are_found_by_their_exact_name() {
        let block = HeaderBlock::new(BLOCK);
        assert!(block.is_valid());
        for (name, want) in [
            ("A", Some("1")),
            ("a", Some("2")),
            ("B", Some("x y ")),
            ("C", Some("")),
            ("D", None),
            ("NATS/1.0", None),
        ] {
            assert_eq!(
                block.get(name.as_bytes()),
                want.map(str::as_bytes),
                "{name}"
            );
        }
        assert_eq!(block.iter().count(), 5);
        assert_eq!(block.status(), b"");
        let status = HeaderBlock::new(b"NATS/1.0 404 No Messages\r\n\r\n");
        assert!(status.is_valid());
        assert_eq!(status.status(), b"404 No Messages");
        for bad in [
            "",
            "NATS/1.0",
            "NATS/1.0\r\n",
            "HTTP/1.0\r\n\r\n",
            "\r\n\r\n",
        ] {
            assert!(!HeaderBlock::new(bad.as_bytes()).is_valid(), "{bad:?}");
        }
    }

    #[test]
    fn blocks_are_written_as_seen_on_the_wire() {
        let mut out = Vec::new();
        HeaderWriter::from_block(&mut out, b"NATS/1.0\r\nA: b\r\n\r\n")
            .header(name::STREAM, b"D")
            .number(name::SEQUENCE, u64::MAX)
            .time(name::TIME_STAMP, Timestamp(1_795_328_129_888_404_536))
            .finish();
        assert_eq!(
            String::from_utf8_lossy(&out),
            "NATS/1.0\r\nA: b\r\nNats-Stream: D\r\nNats-Sequence: 18446744073709551615\r\n\
             Nats-Time-Stamp: 2026-11-22T06:15:29.888404536Z\r\n\r\n"
        );
        for (code, text, want) in [
            (404, "No Messages", "NATS/1.0 404 No Messages\r\n\r\n"),
            (503, "", "NATS/1.0 503\r\n\r\n"),
        ] {
            out.clear();
            HeaderWriter::status(&mut out, code, text).finish();
            assert_eq!(String::from_utf8_lossy(&out), want);
        }
        out.clear();
        HeaderWriter::from_block(&mut out, b"")
            .header(b"X", b"y")
            .finish();
        assert_eq!(out, b"NATS/1.0\r\nX: y\r\n\r\n");
        out.clear();
        HeaderWriter::status(&mut out, 408, "Request Timeout")
            .number(name::PENDING_MESSAGES, 0)
            .number(name::PENDING_BYTES, 0)
            .finish();
        assert_eq!(
            String::from_utf8_lossy(&out),
            "NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 0\r\nNats-Pending-Bytes: 0\r\n\r\n"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(block in proptest::collection::vec(
            prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b':')], 0..60)) {
            let block = HeaderBlock::new(&block);
            let _ = (block.get(b"A"), block.status(), block.is_valid());
            prop_assert!(block.iter().count() <= 60);
        }

        #[test]
        fn what_is_written_is_read(
            name in "[A-Za-z-]{1,9}",
            value in "[!-~][ -~]{0,9}",
        ) {
            let mut out = Vec::new();
            HeaderWriter::new(&mut out).header(name.as_bytes(), value.as_bytes()).finish();
            let block = HeaderBlock::new(&out);
            prop_assert!(block.is_valid());
            prop_assert_eq!(block.get(name.as_bytes()), Some(value.as_bytes()));
        }
    }
}
