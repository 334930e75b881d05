//! What a publisher is told while a batch is stored as it comes.
//!
//! The last word on a batch is a PubAck; all else is one of these.

use super::error::ApiError;
use midge_proto::JsonWriter;

/// Word of a batch that goes on.
#[derive(Debug, Clone, Copy)]
pub enum BatchFlow<'a> {
    /// The messages up to this place in the batch are safe, but for those of
    /// which a gap or an error was told.
    Ack {
        /// The place, which begins at 1; 0 if none is safe yet.
        seq: u64,
        /// This is told again after so many messages.
        msgs: u16,
    },
    /// A message came that was not the next.
    Gap {
        /// The place that was to come.
        expected: u64,
        /// The place that came.
        seq: u64,
    },
    /// A message was not stored.
    Error {
        /// Its place.
        seq: u64,
        /// Why.
        error: &'a ApiError,
    },
}

impl BatchFlow<'_> {
    /// The body of the message that tells it.
    pub fn to_json(self) -> Vec<u8> {
        let mut json = JsonWriter::new();
        json.open_object();
        match self {
            BatchFlow::Ack { seq, msgs } => {
                json.string_field("type", "ack");
                json.uint_field("seq", seq);
                json.uint_field("msgs", msgs.into());
            }
            BatchFlow::Gap { expected, seq } => {
                json.string_field("type", "gap");
                // What is expected, though it is called the last.
                json.uint_field("last_seq", expected);
                json.uint_field("seq", seq);
            }
            BatchFlow::Error { seq, error } => {
                json.string_field("type", "err");
                json.uint_field("seq", seq);
                json.key("error");
                error.write_json(&mut json);
            }
        }
        json.close_object();
        json.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_of_a_batch_is_spelled_as_seen_on_the_wire() {
        let error = &ApiError::MESSAGE_TTL_DISABLED;
        for (told, want) in [
            (
                BatchFlow::Ack { seq: 0, msgs: 10 },
                r#"{"type":"ack","seq":0,"msgs":10}"#,
            ),
            (
                BatchFlow::Gap {
                    expected: 3,
                    seq: 7,
                },
                r#"{"type":"gap","last_seq":3,"seq":7}"#,
            ),
            (
                BatchFlow::Error { seq: 2, error },
                r#"{"type":"err","seq":2,"error":{"code":400,"err_code":10166,"description":"per-message TTL is disabled"}}"#,
            ),
        ] {
            assert_eq!(String::from_utf8_lossy(&told.to_json()), want);
        }
    }
}
