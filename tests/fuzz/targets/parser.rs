//! Any bytes, whole and cut in two, come to the same commands; the fast path
//! says nothing that the whole parser does not say.

#![no_main]

use libfuzzer_sys::fuzz_target;
use midge_proto::{Command, Fault, ParseLimits, Parsed, parse, parse_publish};

const LIMITS: ParseLimits = ParseLimits {
    max_control_line: 128,
    max_payload: 512,
};

/// The commands in the pieces, as text, and the fault that ends them.
fn feed(pieces: &[&[u8]]) -> (Vec<String>, Option<Fault>) {
    let mut commands = Vec::new();
    let mut buffer: Vec<u8> = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while !buffer.is_empty() {
            let whole = parse(&buffer, &LIMITS);
            if let Some((publish, used)) = parse_publish(&buffer, &LIMITS) {
                let command = Command::Publish(publish);
                assert_eq!(whole, Ok(Parsed::Whole { command, used }));
            }
            match whole {
                Ok(Parsed::Whole { command, used }) => {
                    assert!(used <= buffer.len());
                    commands.push(format!("{command:?}"));
                    buffer.drain(..used);
                }
                Ok(Parsed::Partial(_)) => break,
                Err(error) => return (commands, Some(error.fault)),
            }
        }
    }
    (commands, None)
}

fuzz_target!(|input: &[u8]| {
    let Some((cut, bytes)) = input.split_first() else {
        return;
    };
    let (front, back) = bytes.split_at(usize::from(*cut).min(bytes.len()));
    assert_eq!(feed(&[bytes]), feed(&[front, back]));
});
