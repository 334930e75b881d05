//! A message for people: where it is from, its headers, what it says.

use super::table::push_clean;
use crate::output::{Paint, has_colour, push_painted};
use midge_api::JsonWriter;
use midge_proto::headers::HeaderBlock;

/// Appends a message below a line that tells where it is from.
pub(crate) fn push_message(out: &mut String, head: &str, headers: HeaderBlock<'_>, payload: &[u8]) {
    push_painted(out, head, Paint::Bold, has_colour());
    out.push('\n');
    push_body(out, headers, payload);
}

/// Appends what is below that line.
pub(crate) fn push_body(out: &mut String, headers: HeaderBlock<'_>, payload: &[u8]) {
    let start = out.len();
    for (name, value) in headers {
        for part in [name, b": ", value] {
            push_clean(out, &String::from_utf8_lossy(part));
        }
        out.push('\n');
    }
    if out.len() > start {
        out.push('\n');
    }
    push_payload(out, payload);
}

/// Appends text line by line; base64 of what is no text.
pub(crate) fn push_payload(out: &mut String, payload: &[u8]) {
    match std::str::from_utf8(payload) {
        Ok(text) => {
            for line in text.trim_end().lines() {
                // A tab only moves.
                for (place, part) in line.split('\t').enumerate() {
                    if place > 0 {
                        out.push('\t');
                    }
                    push_clean(out, part);
                }
                out.push('\n');
            }
        }
        Err(_) => {
            let mut base64 = JsonWriter::new();
            base64.base64(payload);
            out.push_str("no text, in base64: ");
            let base64 = base64.into_bytes();
            out.push_str(String::from_utf8_lossy(&base64).trim_matches('"'));
            out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_stand_between_head_and_payload() {
        let mut out = String::new();
        let block = HeaderBlock::new(b"NATS/1.0\r\nA: b\x07\r\nC:d\r\n\r\n");
        push_message(&mut out, "S 1", block, b"two\nli\tnes\r\n");
        assert_eq!(out, "S 1\nA: b\u{fffd}\nC: d\n\ntwo\nli\tnes\n");
        out.clear();
        push_message(&mut out, "S 2", HeaderBlock::new(b""), b"\xff");
        assert_eq!(out, "S 2\nno text, in base64: /w==\n");
    }
}
