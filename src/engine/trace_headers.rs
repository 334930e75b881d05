//! The headers of a message that asks for a trace: whether a block may be one, and
//! what it holds as traces show it.

use memchr::{memchr, memmem};
use midge_proto::encode::CRLF;

/// What a block begins with that says nothing of its own.
const FIRST_LINE: &[u8] = b"NATS/1.0\r\n";

/// How its line begins.
const DEST_LINE: &[u8; 16] = b"Nats-Trace-Dest:";

/// Where in it the `D` is.
const RARE: usize = 11;

/// Headers that are looked at. They are put in order one by one, and nobody needs as
/// many.
const HEADERS_MAX: usize = 1024;

/// A header, and where its value lies in the block.
pub(crate) struct Header<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) at: usize,
}

/// The headers of a block as traces show them, by name: no empty ones, and a line
/// without a colon is part of the next name.
pub(crate) fn lift(block: &[u8]) -> Option<Vec<Header<'_>>> {
    let mut rest = block.strip_prefix(FIRST_LINE)?;
    let mut headers: Vec<Header<'_>> = Vec::new();
    while let Some(colon) = memchr(b':', rest).filter(|_| headers.len() < HEADERS_MAX) {
        let (name, line) = rest.split_at(colon);
        let Some(end) = memmem::find(line, CRLF) else {
            break;
        };
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let start = line[..end].iter().skip(1).take_while(|byte| is_blank(byte));
        let start = 1 + start.count();
        let mut value = line.get(start..end).unwrap_or_default();
        while let [shorter @ .., last] = value
            && is_blank(last)
        {
            value = shorter;
        }
        if !name.is_empty() && !value.is_empty() {
            let place = headers.partition_point(|other| other.name <= name);
            let at = block.len() - line.len() + start;
            headers.insert(place, Header { name, value, at });
        }
        rest = &line[end + CRLF.len()..];
    }
    Some(headers)
}

/// Whether a header block may ask for a trace. All that have headers pay for
/// this: so it looks for a letter that is in few of them.
#[inline(never)]
pub(crate) fn may_ask(block: &[u8]) -> bool {
    let mut from = FIRST_LINE.len() + RARE;
    while let Some(at) = block.get(from..).and_then(|rest| memchr(b'D', rest)) {
        let start = from + at - RARE;
        if midge_proto::begins_with(&block[start..], DEST_LINE) && block[start - 1] == b'\n' {
            return true;
        }
        from += at + 1;
    }
    false
}
