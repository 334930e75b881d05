//! What a message says: from the command line or from stdin.

use super::template::{Filling, Template};
use crate::arguments::Arguments;
use crate::failure::Failure;
use std::io::{self, BufRead, IsTerminal, Read};

/// A server that does not say what it takes takes as much as NATS servers do
/// at most.
const BYTES_MAX: usize = 64 << 20;

/// Where it comes from.
#[derive(Debug)]
pub(crate) enum Payload {
    /// The command line; its gaps are filled.
    Text(Template),
    /// All of stdin, which stays as it is.
    Stdin,
    /// Each line of stdin is one.
    Lines,
    /// What was read.
    Bytes(Vec<u8>),
}

impl Payload {
    /// What the command line says of it.
    pub(crate) fn given(arguments: &Arguments) -> Result<Payload, Failure> {
        let text = arguments.text("payload");
        if arguments.has("lines") {
            return match text {
                None | Some("-") => Ok(Payload::Lines),
                Some(_) => Err(Failure::usage("--lines goes without a payload")),
            };
        }
        Ok(match text {
            Some("-") => Payload::Stdin,
            Some(text) => Payload::Text(Template::new(text)),
            None if io::stdin().is_terminal() => Payload::Bytes(Vec::new()),
            None => Payload::Stdin,
        })
    }

    /// Reads what has to be read; `bytes_max` is what the server takes.
    pub(crate) fn read(self, bytes_max: usize) -> Result<Payload, Failure> {
        if !matches!(self, Payload::Stdin) {
            return Ok(self);
        }
        let bytes_max = or_default(bytes_max);
        let mut bytes = Vec::new();
        let read = io::stdin()
            .lock()
            .take(bytes_max as u64 + 1)
            .read_to_end(&mut bytes);
        read.map_err(unreadable)?;
        match bytes.len() > bytes_max {
            true => Err(too_long(bytes_max)),
            false => Ok(Payload::Bytes(bytes)),
        }
    }

    /// Appends it, with its gaps filled.
    pub(crate) fn fill(&self, out: &mut Vec<u8>, filling: Filling<'_>) {
        match self {
            Payload::Text(template) => template.fill(out, filling),
            Payload::Bytes(bytes) => out.extend_from_slice(bytes),
            Payload::Stdin | Payload::Lines => {}
        }
    }
}

/// Reads a line without its end; false if there is none.
pub(crate) fn next_line(
    input: &mut impl BufRead,
    line: &mut Vec<u8>,
    bytes_max: usize,
) -> Result<bool, Failure> {
    let bytes_max = or_default(bytes_max);
    line.clear();
    // Room for the end as well.
    let mut input = input.take(bytes_max as u64 + 2);
    let read = input.read_until(b'\n', line).map_err(unreadable)?;
    if line.ends_with(b"\n") {
        line.pop();
        if line.ends_with(b"\r") {
            line.pop();
        }
    }
    match line.len() > bytes_max {
        true => Err(too_long(bytes_max)),
        false => Ok(read > 0),
    }
}

fn or_default(bytes_max: usize) -> usize {
    match bytes_max {
        0 => BYTES_MAX,
        bytes_max => bytes_max,
    }
}

fn unreadable(error: io::Error) -> Failure {
    Failure::refused(format!("cannot read stdin: {error}"))
}

fn too_long(bytes_max: usize) -> Failure {
    Failure::refused(format!(
        "what comes from stdin is too long; the server takes {bytes_max} bytes"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_one_by_one() {
        let mut input: &[u8] = b"a\r\n\nbcd\nend";
        let mut line = Vec::new();
        for wanted in ["a", "", "bcd", "end"] {
            assert!(next_line(&mut input, &mut line, 3).unwrap());
            assert_eq!(line, wanted.as_bytes());
        }
        assert!(!next_line(&mut input, &mut line, 3).unwrap());
        let mut input: &[u8] = b"abcd\n";
        assert!(next_line(&mut input, &mut line, 3).is_err());
    }
}
