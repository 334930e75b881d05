//! What a publisher into a stream is answered.
//!
//! There is one for every stored message, so it is written straight into the
//! output.

use super::error::ApiError;
use midge_proto::encode::Decimal;
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
        let mut out = Vec::new();
        PubAck::write_error(&mut out, "RS", &ApiError::STREAM_NOT_MATCH);
        assert_eq!(
            String::from_utf8_lossy(&out),
            r#"{"error":{"code":400,"err_code":10060,"description":"expected stream does not match"},"stream":"RS","seq":0}"#
        );
    }
}
