//! The parser against everything that can be said, cut anywhere.

use midge_proto::{Command, Needed, ParseError, ParseLimits, Parsed, encode, parse, parse_publish};
use proptest::prelude::*;

const LIMITS: ParseLimits = ParseLimits {
    max_control_line: 200,
    max_payload: 1000,
};

/// What a run of the parser over a whole input came to.
#[derive(Debug, PartialEq)]
struct Outcome {
    commands: Vec<String>,
    fault: Option<ParseError>,
}

/// Feeds the input in pieces, keeping unfinished frames as a connection does.
fn feed(pieces: &[&[u8]]) -> Outcome {
    let mut outcome = Outcome {
        commands: Vec::new(),
        fault: None,
    };
    let mut buffer: Vec<u8> = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            if buffer.is_empty() {
                break;
            }
            match parse(&buffer, &LIMITS) {
                Ok(Parsed::Whole { command, used }) => {
                    outcome.commands.push(format!("{command:?}"));
                    buffer.drain(..used);
                }
                Ok(Parsed::Partial(needed)) => {
                    if let Needed::Bytes(total) = needed {
                        assert!(
                            total > buffer.len(),
                            "a partial frame needs more than it has"
                        );
                    } else {
                        assert!(!buffer.contains(&b'\n'), "a whole line is not waited for");
                    }
                    break;
                }
                Err(error) => {
                    outcome.fault = Some(error);
                    return outcome;
                }
            }
        }
    }
    outcome
}

/// Conversations as they happen, with faults at the end of some.
const CONVERSATIONS: [&str; 9] = [
    "CONNECT {\"verbose\":false}\r\nPING\r\nSUB a.* q 12\r\nPUB a.b reply 5\r\nhello\r\nUNSUB 12 3\r\nPONG\r\n",
    "HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\nHPUB a r 12 12\r\nNATS/1.0\r\n\r\n\r\nPUB x 0\r\n\r\n",
    "+OK\r\nINFO {}\r\nping\nPUB\ta\t 02\r\nhi\r\n",
    "HELP\nSEND a b c\nASK a.b what now\n",
    "PUB a 5\r\nhel\r\nlo\r\n",
    "PUB a 2\r\nhixx",
    "SUB a b c d\r\nPING\r\n",
    "PING\r\nPUB a 1001\r\n",
    "PING\r\nNONSENSE\r\n",
];

#[test]
fn conversations_cut_at_every_byte_mean_the_same() {
    for text in CONVERSATIONS {
        let text = text.as_bytes();
        let whole = feed(&[text]);
        for at in 0..=text.len() {
            let (front, back) = text.split_at(at);
            let cut = feed(&[front, back]);
            assert_eq!(cut.commands, whole.commands, "cut at {at}");
            assert_eq!(
                cut.fault.map(|error| error.fault),
                whole.fault.map(|error| error.fault),
                "cut at {at}"
            );
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        let drip = feed(&bytes);
        assert_eq!(drip.commands, whole.commands);
        assert_eq!(
            drip.fault.map(|error| error.fault),
            whole.fault.map(|error| error.fault)
        );
    }
}

fn word() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![4 => b'!'..=b'~', 1 => 0x80..=0xffu8], 1..30)
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..200)
}

#[derive(Debug, Clone)]
struct Message {
    subject: Vec<u8>,
    reply: Option<Vec<u8>>,
    header_len: Option<usize>,
    payload: Vec<u8>,
}

fn message() -> impl Strategy<Value = Message> {
    (
        word(),
        prop::option::of(word()),
        prop::option::of(0..50usize),
        body(),
    )
        .prop_map(|(subject, reply, header_len, payload)| Message {
            subject,
            reply,
            header_len: header_len.map(|len| len.min(payload.len())),
            payload,
        })
}

impl Message {
    /// The frame as a client sends it.
    fn frame(&self, blank: &str) -> Vec<u8> {
        let mut frame = Vec::new();
        frame.extend_from_slice(if self.header_len.is_some() {
            b"HPUB"
        } else {
            b"PUB"
        });
        let header = self.header_len.map(|len| len.to_string().into_bytes());
        let size = self.payload.len().to_string().into_bytes();
        for word in [
            Some(&self.subject),
            self.reply.as_ref(),
            header.as_ref(),
            Some(&size),
        ]
        .into_iter()
        .flatten()
        {
            frame.extend_from_slice(blank.as_bytes());
            frame.extend_from_slice(word);
        }
        frame.extend_from_slice(b"\r\n");
        frame.extend_from_slice(&self.payload);
        frame.extend_from_slice(b"\r\n");
        frame
    }
}

proptest! {
    /// What is spelled is what is read; what is passed on spells the same.
    #[test]
    fn messages_survive_the_wire(message in message(), blank in prop_oneof![Just(" "), Just("\t"), Just("  ")]) {
        let frame = message.frame(blank);
        let Ok(Parsed::Whole { command: Command::Publish(publish), used }) = parse(&frame, &LIMITS) else {
            panic!("{frame:?}");
        };
        prop_assert_eq!(used, frame.len());
        prop_assert_eq!(publish.subject, &message.subject[..]);
        prop_assert_eq!(publish.reply, message.reply.as_deref());
        prop_assert_eq!(publish.header.map(|header| header.len), message.header_len);
        prop_assert_eq!(publish.payload, &message.payload[..]);
        // The tail is there exactly when it can be passed on as it is.
        let mut spelled = Vec::new();
        encode::message_tail(&mut spelled, publish.reply, publish.header.map(|h| h.digits), publish.size_digits, publish.payload);
        prop_assert_eq!(publish.tail, (blank == " ").then_some(&spelled[..]));
    }

    /// The fast path says nothing that the whole parser does not say.
    #[test]
    fn the_common_form_is_read_alike(message in message(), noise in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3), cut in any::<prop::sample::Index>()) {
        let mut frame = message.frame(" ");
        for (at, byte) in noise {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        frame.truncate(cut.index(frame.len() + 1));
        if let Some((publish, used)) = parse_publish(&frame, &LIMITS) {
            prop_assert_eq!(parse(&frame, &LIMITS), Ok(Parsed::Whole { command: Command::Publish(publish), used }));
        }
    }

    /// The fast path takes what programs send.
    #[test]
    fn the_common_form_is_taken(message in message()) {
        let frame = message.frame(" ");
        let is_plain = message.header_len.is_none();
        prop_assert_eq!(parse_publish(&frame, &LIMITS).is_some(), is_plain);
    }

    /// Any bytes, cut anywhere, come to the same commands.
    #[test]
    fn noise_cut_anywhere_means_the_same(
        words in prop::collection::vec(prop_oneof![
            3 => prop::sample::select(vec!["PUB ", "SUB ", "HPUB ", "UNSUB ", "PING", "CONNECT {}", "a", " ", "2", "\r\n", "\n", "SEND ", "hi"]).prop_map(|word| word.as_bytes().to_vec()),
            1 => prop::collection::vec(any::<u8>(), 0..5),
        ], 0..40),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
    ) {
        let bytes = words.concat();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.sort_unstable();
        let mut pieces = Vec::new();
        let mut start = 0;
        for cut in at {
            pieces.push(&bytes[start..cut]);
            start = cut;
        }
        pieces.push(&bytes[start..]);
        let whole = feed(&[&bytes]);
        let cut = feed(&pieces);
        prop_assert_eq!(&cut.commands, &whole.commands);
        prop_assert_eq!(cut.fault.map(|error| error.fault), whole.fault.map(|error| error.fault));
    }
}
