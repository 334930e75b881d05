//! What an acknowledgement says.

use super::json::{self, Known, Strictness};
use super::next_request::NextRequest;
use midge_proto::Nanos;

/// The body of a message to an ack subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ack {
    /// Done.
    Ack,
    /// Not done; deliver it again, after a while if one is given.
    Nak {
        /// How long to wait; nothing is no time.
        delay: Option<Nanos>,
        /// Why, if that is said.
        reason: Option<String>,
    },
    /// Still at it.
    Progress,
    /// Done, and asks for more. Bad requests come as the text of a status.
    Next(Box<Result<NextRequest, String>>),
    /// Will never be done.
    Term {
        /// Why, if that is said.
        reason: Option<String>,
    },
    /// Nothing that is known; to be ignored.
    Unknown,
}

impl Ack {
    /// Reads the body.
    pub fn parse(body: &[u8]) -> Ack {
        match body {
            b"" | b"+ACK" | b"+OK" => Ack::Ack,
            b"+WPI" => Ack::Progress,
            _ => {
                if let Some(rest) = body.strip_prefix(b"-NAK") {
                    nak(rest)
                } else if let Some(rest) = body.strip_prefix(b"+NXT") {
                    Ack::Next(Box::new(NextRequest::parse(rest)))
                } else if let Some(rest) = body.strip_prefix(b"+TERM") {
                    let reason = String::from_utf8_lossy(rest.trim_ascii()).into_owned();
                    Ack::Term {
                        reason: (!reason.is_empty()).then_some(reason),
                    }
                } else {
                    Ack::Unknown
                }
            }
        }
    }
}

/// `{"delay":<ns>,"reason":"<text>"}` or `500ms`; anything else says nothing.
/// The reason is ours: others pass it over.
fn nak(text: &[u8]) -> Ack {
    let text = text.trim_ascii();
    let (mut delay, mut reason) = (None, None);
    if text.first() == Some(&b'{') {
        let read = json::read(text, Strictness::Lenient, &mut |key, value| {
            match key {
                "delay" => delay = Some(json::nanos(key, &value)?),
                "reason" => reason = value.as_str().map(str::to_owned),
                _ => {}
            }
            Ok(Known::Yes)
        });
        if read.is_err() {
            (delay, reason) = (None, None);
        }
    } else {
        delay = std::str::from_utf8(text).ok().and_then(Nanos::parse);
    }
    Ack::Nak {
        delay,
        reason: reason.filter(|reason| !reason.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_words_are_known() {
        let nak = |delay: Option<i64>| Ack::Nak {
            delay: delay.map(Nanos),
            reason: None,
        };
        let term = |reason: Option<&str>| Ack::Term {
            reason: reason.map(str::to_owned),
        };
        for (body, want) in [
            ("", Ack::Ack),
            ("+ACK", Ack::Ack),
            ("+OK", Ack::Ack),
            ("+WPI", Ack::Progress),
            ("+WPI ", Ack::Unknown),
            ("-NAK", nak(None)),
            ("-NAK {\"delay\":500000000}", nak(Some(500_000_000))),
            ("-NAK {\"delay\": 1, \"x\": 2}", nak(Some(1))),
            ("-NAK 500ms", nak(Some(500_000_000))),
            ("-NAK soon", nak(None)),
            ("-NAK {\"delay\":\"x\"}", nak(None)),
            (
                "-NAK {\"reason\":\"no disk\"}",
                Ack::Nak {
                    delay: None,
                    reason: Some("no disk".into()),
                },
            ),
            ("+TERM", term(None)),
            ("+TERM bad input", term(Some("bad input"))),
            ("+NXT", Ack::Next(Box::new(Ok(NextRequest::default())))),
            ("hello", Ack::Unknown),
        ] {
            assert_eq!(Ack::parse(body.as_bytes()), want, "{body}");
        }
        let next = |body: &str| match Ack::parse(body.as_bytes()) {
            Ack::Next(request) => request.expect("a good one"),
            other => panic!("{body}: {other:?}"),
        };
        assert_eq!(next("+NXT 5").batch, 5);
        let next = next("+NXT {\"batch\":3,\"no_wait\":true}");
        assert!(next.batch == 3 && next.no_wait);
    }

    proptest! {
        #[test]
        fn any_body_is_read(body in proptest::collection::vec(any::<u8>(), 0..40)) {
            Ack::parse(&body);
            Ack::parse(&[b"-NAK ", body.as_slice()].concat());
            Ack::parse(&[b"+NXT {", body.as_slice()].concat());
        }
    }
}
