//! What a stream answers to who publishes into it.

use super::api::{parse, text, uint};
use crate::{Error, Message};
use serde_json::Value;
use std::sync::Arc;

/// A message is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PubAck {
    /// The stream that has it.
    pub stream: Arc<str>,
    /// Its sequence there.
    pub seq: u64,
    /// It was stored before, under that sequence: a message with the same
    /// `Nats-Msg-Id`.
    pub is_duplicate: bool,
}

impl PubAck {
    /// Reads the answer to a message. `known` is the stream of the answer
    /// before, which is most often the same.
    pub(super) fn read(
        answer: &Message,
        subject: &str,
        known: &mut Arc<str>,
    ) -> Result<PubAck, Error> {
        if answer.is_no_responders() {
            return Err(Error::NoResponders(subject.to_owned()));
        }
        if let Some((stream, seq, is_duplicate)) = read_usual(answer.payload()) {
            if **known != *stream {
                *known = stream.into();
            }
            return Ok(PubAck {
                stream: known.clone(),
                seq,
                is_duplicate,
            });
        }
        let answer = parse(answer.payload())?;
        let stream = text(&answer, "stream");
        if stream.is_empty() {
            return Err(Error::Protocol("who answers is no stream"));
        }
        Ok(PubAck {
            stream: stream.into(),
            seq: uint(&answer, "seq"),
            is_duplicate: answer.get("duplicate").and_then(Value::as_bool) == Some(true),
        })
    }
}

/// Reads the answer as servers nearly always write it; anything else takes a
/// reader of JSON, and this gives nothing.
fn read_usual(answer: &[u8]) -> Option<(&str, u64, bool)> {
    let rest = answer.strip_prefix(b"{\"stream\":\"")?;
    let (stream, rest) = rest.split_at_checked(memchr::memchr(b'"', rest)?)?;
    if stream.contains(&b'\\') {
        return None;
    }
    let rest = rest.strip_prefix(b"\",\"seq\":")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = rest.split_at_checked(digits)?;
    let is_duplicate = match rest {
        b"}" => false,
        b",\"duplicate\": true}" | b",\"duplicate\":true}" => true,
        _ => return None,
    };
    let seq = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((std::str::from_utf8(stream).ok()?, seq, is_duplicate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Delivery;

    fn read(payload: &str) -> Result<PubAck, Error> {
        let message = Message::from_delivery(&Delivery {
            sid: 1,
            subject: b"r",
            reply: b"",
            header: b"",
            payload: payload.as_bytes(),
        });
        PubAck::read(&message, "s", &mut "".into())
    }

    #[test]
    fn answers_are_read_whatever_they_look_like() {
        for (payload, stream, seq, is_duplicate) in [
            (r#"{"stream":"S","seq":3}"#, "S", 3, false),
            (r#"{"stream":"S","seq":3,"duplicate": true}"#, "S", 3, true),
            (r#"{"stream":"S","domain":"D","seq":3}"#, "S", 3, false),
            (r#"{"seq":3, "stream":"a\"b","val":"7"}"#, "a\"b", 3, false),
            (
                r#"{"stream":"S","seq":18446744073709551615}"#,
                "S",
                u64::MAX,
                false,
            ),
        ] {
            let ack = read(payload).expect(payload);
            assert_eq!(
                (&*ack.stream, ack.seq, ack.is_duplicate),
                (stream, seq, is_duplicate),
                "{payload}"
            );
        }
    }

    #[test]
    fn what_is_no_answer_of_a_stream_is_an_error() {
        let refused = r#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 4"},"stream":"S","seq":0}"#;
        match read(refused) {
            Err(Error::Api(error)) => {
                assert_eq!((error.code, error.err_code), (400, 10071));
                assert_eq!(error.description, "wrong last sequence: 4");
            }
            other => panic!("{other:?}"),
        }
        for payload in ["", "hello", "{}", "[1]", r#"{"stream":"S","seq":}"#] {
            assert!(
                matches!(read(payload), Err(Error::Protocol(_))),
                "{payload}"
            );
        }
    }
}
