//! What a command says: results on stdout, all else on stderr.
//!
//! Owns the rule for colour: on a terminal, and unless `NO_COLOR` is set.

use crate::failure::Failure;
use midge_proto::JsonWriter;
use std::io::{self, IsTerminal, Write};

/// How a word is shown to a person. Used sparingly: what matters is in the
/// words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    /// What the eye looks for.
    Bold,
    /// What it may skip.
    Dim,
}

/// Writes bytes to stdout, at once.
pub(crate) fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|error| Failure::write(&error))
}

/// Writes text to stdout and ends its line.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let text = text.trim_end_matches('\n');
    let mut line = Vec::with_capacity(text.len() + 1);
    line.extend_from_slice(text.as_bytes());
    line.push(b'\n');
    write(&line)
}

/// Writes an object of JSON to a line of stdout.
pub(crate) fn print_json(json: JsonWriter) -> Result<(), Failure> {
    let mut line = json.into_bytes();
    line.push(b'\n');
    write(&line)
}

/// Says something on stderr. If nobody reads that, nobody needs it.
pub(crate) fn warn(words: &str) {
    let _ = writeln!(io::stderr(), "{words}");
}

/// Whether stdout shows colours.
pub(crate) fn has_colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Appends text in a colour, if there are any.
pub(crate) fn push_painted(out: &mut String, text: &str, paint: Paint, has_colour: bool) {
    if !has_colour {
        out.push_str(text);
        return;
    }
    let begin = match paint {
        Paint::Bold => "\x1b[1m",
        Paint::Dim => "\x1b[2m",
    };
    for part in [begin, text, "\x1b[0m"] {
        out.push_str(part);
    }
}
