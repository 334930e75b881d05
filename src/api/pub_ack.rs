//! What a publisher into a stream is answered.
//!
//! There is one for every stored message, so it is written straight into the
//! output.

use super::error::ApiError;
use midge_proto::encode::{CRLF, Decimal};
use midge_proto::{JsonWriter, escape};

/// A message is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PubAck<'a> {
    /// What answers of the stream begin with: [`PubAck::head`].
    pub head: &'a [u8],
    /// The message's sequence.
    pub seq: u64,
    /// It was stored before, under that sequence.
    pub duplicate: bool,
    /// Fields that only some streams have, each with a comma before it.
    pub more: &'a [u8],
}

impl PubAck<'_> {
    /// What all answers of a stream begin with; an empty domain is none.
    pub fn head(stream: &str, domain: &str) -> Vec<u8> {
        let mut out = b"{\"stream\":\"".to_vec();
        escape(&mut out, stream);
        if !domain.is_empty() {
            out.extend_from_slice(b"\",\"domain\":\"");
            escape(&mut out, domain);
        }
        out.extend_from_slice(b"\",\"seq\":");
        out
    }

    /// Appends the answer.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.head);
        out.extend_from_slice(Decimal::from_u64(self.seq).as_bytes());
        if self.duplicate {
            // With this blank, as nats-server has it.
            out.extend_from_slice(b",\"duplicate\": true");
        }
        out.extend_from_slice(self.more);
        out.push(b'}');
    }

    /// Appends the answer to a message that is not stored.
    pub fn write_error(out: &mut Vec<u8>, stream: &str, error: &ApiError) {
        let mut json = JsonWriter::new();
        json.open_object();
        json.key("error");
        error.write_json(&mut json);
        json.string_field("stream", stream);
        json.uint_field("seq", 0);
        json.close_object();
        out.extend_from_slice(&json.into_bytes());
    }
}

/// PubAcks of one stream, one after the other, each as it stands in a message
/// behind the subscription. Only the sequence differs between them, so nothing
/// else is written for each.
#[derive(Debug)]
pub struct PubAckTail<'a> {
    head: &'a [u8],
    bytes: Vec<u8>,
    /// Where the answer is.
    payload_at: usize,
    seq: u64,
    /// Digits that it has.
    digits: usize,
}

impl<'a> PubAckTail<'a> {
    /// For answers that begin with this.
    pub fn new(head: &'a [u8]) -> Self {
        PubAckTail {
            head,
            bytes: Vec::new(),
            payload_at: 0,
            seq: 0,
            digits: 0,
        }
    }

    /// Makes it that of a message that was stored at `seq`.
    #[inline]
    pub fn set(&mut self, seq: u64) {
        // Most differ from the one before in the last digit alone.
        let is_next = self.seq.checked_add(1) == Some(seq);
        self.seq = seq;
        let seq_end = self.payload_at + self.head.len() + self.digits;
        match self.bytes.get_mut(seq_end.saturating_sub(1)) {
            Some(digit @ b'0'..=b'8') if is_next => *digit += 1,
            _ => self.spell(),
        }
    }

    #[inline(never)]
    fn spell(&mut self) {
        let seq = Decimal::from_u64(self.seq);
        let digits = seq.as_bytes();
        let size = Decimal::new(self.head.len() + digits.len() + b"}".len());
        self.digits = digits.len();
        self.payload_at = size.as_bytes().len() + CRLF.len();
        self.bytes.clear();
        for part in [size.as_bytes(), CRLF, self.head, digits, b"}", CRLF] {
            self.bytes.extend_from_slice(part);
        }
    }

    /// All of it.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How long the answer is, in digits.
    #[inline]
    pub fn size_digits(&self) -> &[u8] {
        &self.bytes[..self.payload_at.saturating_sub(CRLF.len())]
    }

    /// The answer.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        let end = self.bytes.len().saturating_sub(CRLF.len());
        &self.bytes[self.payload_at..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_spelled_as_seen_on_the_wire() {
        let head = PubAck::head("RS", "");
        let quoted = PubAck::head("a\"b", "D");
        let ack = PubAck {
            head: &head,
            seq: 3,
            duplicate: false,
            more: b"",
        };
        for (ack, want) in [
            (ack, r#"{"stream":"RS","seq":3}"#),
            (
                PubAck {
                    duplicate: true,
                    ..ack
                },
                r#"{"stream":"RS","seq":3,"duplicate": true}"#,
            ),
            (
                PubAck {
                    head: &quoted,
                    ..ack
                },
                r#"{"stream":"a\"b","domain":"D","seq":3}"#,
            ),
            (
                PubAck {
                    more: br#","val":"7""#,
                    ..ack
                },
                r#"{"stream":"RS","seq":3,"val":"7"}"#,
            ),
        ] {
            let mut out = Vec::new();
            ack.write(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), want);
        }
        let mut tail = PubAckTail::new(&head);
        for seq in [0, 1, 8, 9, 10, 11, 12, 12, 199, 200, 123_456, 7, 9, 8] {
            let mut payload = Vec::new();
            PubAck { seq, ..ack }.write(&mut payload);
            tail.set(seq);
            assert_eq!(tail.payload(), payload);
            let size = payload.len().to_string();
            assert_eq!(tail.size_digits(), size.as_bytes());
            let whole = [size.as_bytes(), &payload].join(CRLF);
            assert_eq!(tail.bytes(), [&whole[..], CRLF].concat());
        }
        let mut out = Vec::new();
        PubAck::write_error(&mut out, "RS", &ApiError::STREAM_NOT_MATCH);
        assert_eq!(
            String::from_utf8_lossy(&out),
            r#"{"error":{"code":400,"err_code":10060,"description":"expected stream does not match"},"stream":"RS","seq":0}"#
        );
    }
}
