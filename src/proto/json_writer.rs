//! Appends JSON to a buffer.
//!
//! It puts out the same bytes as nats-server, escapes included, so that
//! answers can be compared literally.

use crate::encode::Decimal;
use std::collections::BTreeMap;
use std::fmt::{self, Write};

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends JSON to a buffer. Commas are its business, nesting is the caller's.
#[derive(Debug, Default)]
pub struct JsonWriter {
    out: Vec<u8>,
}

impl JsonWriter {
    /// Starts with an empty buffer.
    pub fn new() -> Self {
        JsonWriter::default()
    }

    /// The text so far.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// The text so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.out
    }

    /// The length of the text so far.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// A comma, unless nothing stands before in this object or array.
    fn separate(&mut self) {
        if !matches!(self.out.last(), None | Some(b'{' | b'[' | b':')) {
            self.out.push(b',');
        }
    }

    /// `{`
    pub fn open_object(&mut self) {
        self.separate();
        self.out.push(b'{');
    }

    /// `}`
    pub fn close_object(&mut self) {
        self.out.push(b'}');
    }

    /// `[`
    pub fn open_array(&mut self) {
        self.separate();
        self.out.push(b'[');
    }

    /// `]`
    pub fn close_array(&mut self) {
        self.out.push(b']');
    }

    /// `"key":`
    pub fn key(&mut self, key: &str) {
        self.string(key);
        self.out.push(b':');
    }

    /// A string.
    pub fn string(&mut self, text: &str) {
        self.separate();
        self.out.push(b'"');
        escape(&mut self.out, text);
        self.out.push(b'"');
    }

    /// A string that consists of what `value` displays.
    pub fn display(&mut self, value: &dyn fmt::Display) {
        self.separate();
        self.out.push(b'"');
        // Writing to a Vec cannot fail.
        let _ = write!(Escaped(&mut self.out), "{value}");
        self.out.push(b'"');
    }

    /// A string that holds these bytes in base64.
    pub fn base64(&mut self, bytes: &[u8]) {
        self.separate();
        self.out.push(b'"');
        for group in bytes.chunks(3) {
            let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            for place in 0..4 {
                self.out.push(if place <= group.len() {
                    BASE64[(bits >> (18 - 6 * place) & 63) as usize]
                } else {
                    b'='
                });
            }
        }
        self.out.push(b'"');
    }

    /// A whole number.
    pub fn int(&mut self, value: i64) {
        if value < 0 {
            self.separate();
            self.out.push(b'-');
            self.digits(value.unsigned_abs());
        } else {
            self.uint(value.unsigned_abs());
        }
    }

    /// A whole number that is never negative.
    pub fn uint(&mut self, value: u64) {
        self.separate();
        self.digits(value);
    }

    fn digits(&mut self, value: u64) {
        self.out
            .extend_from_slice(Decimal::from_u64(value).as_bytes());
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, value: bool) {
        self.raw(if value { b"true" } else { b"false" });
    }

    /// A value that is JSON already.
    pub fn raw(&mut self, json: &[u8]) {
        self.separate();
        self.out.extend_from_slice(json);
    }

    /// A key with a string.
    pub fn string_field(&mut self, key: &str, value: &str) {
        self.key(key);
        self.string(value);
    }

    /// A key with a string, unless that is empty.
    pub fn string_unless_empty(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.string_field(key, value);
        }
    }

    /// A key with a number.
    pub fn int_field(&mut self, key: &str, value: i64) {
        self.key(key);
        self.int(value);
    }

    /// A key with a number, unless that is zero.
    pub fn int_unless_zero(&mut self, key: &str, value: i64) {
        if value != 0 {
            self.int_field(key, value);
        }
    }

    /// A key with a number.
    pub fn uint_field(&mut self, key: &str, value: u64) {
        self.key(key);
        self.uint(value);
    }

    /// A key with a number, unless that is zero.
    pub fn uint_unless_zero(&mut self, key: &str, value: u64) {
        if value != 0 {
            self.uint_field(key, value);
        }
    }

    /// A key with `true` or `false`.
    pub fn bool_field(&mut self, key: &str, value: bool) {
        self.key(key);
        self.boolean(value);
    }

    /// A key with `true`, or nothing.
    pub fn flag(&mut self, key: &str, value: bool) {
        if value {
            self.bool_field(key, true);
        }
    }

    /// A key with an array of strings, unless that is empty.
    pub fn strings_unless_empty(&mut self, key: &str, values: &[String]) {
        if values.is_empty() {
            return;
        }
        self.key(key);
        self.open_array();
        for value in values {
            self.string(value);
        }
        self.close_array();
    }

    /// A key with an object of strings, unless that is empty.
    pub fn map_unless_empty(&mut self, key: &str, values: &BTreeMap<String, String>) {
        if values.is_empty() {
            return;
        }
        self.key(key);
        self.open_object();
        for (name, value) in values {
            self.string_field(name, value);
        }
        self.close_object();
    }
}

/// Reads base64, as [`JsonWriter::base64`] writes it.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => break,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Some(out)
}

/// Appends the inside of a JSON string, escaped as Go escapes it.
pub fn escape(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let special = match byte {
            b'"' | b'\\' | b'<' | b'>' | b'&' | 0..0x20 => true,
            // The first byte of U+2028 and U+2029, which Go escapes too.
            0xe2 => matches!(bytes.get(at + 1..at + 3), Some([0x80, 0xa8 | 0xa9])),
            _ => false,
        };
        if !special {
            continue;
        }
        out.extend_from_slice(bytes.get(copied..at).unwrap_or_default());
        copied = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            0xe2 => {
                out.extend_from_slice(b"\\u202");
                out.push(HEX[usize::from(bytes[at + 2] & 15)]);
                copied = at + 3;
            }
            _ => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
        }
    }
    out.extend_from_slice(bytes.get(copied..).unwrap_or_default());
}

/// Takes formatted text and escapes it on the way.
struct Escaped<'a>(&'a mut Vec<u8>);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(self.0, text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_stand_between_and_nowhere_else() {
        let mut json = JsonWriter::new();
        json.open_object();
        json.int_field("a", -1);
        json.key("b");
        json.open_array();
        json.open_object();
        json.close_object();
        json.string("{");
        json.string(":");
        json.uint(7);
        json.close_array();
        json.key("c");
        json.open_object();
        json.close_object();
        json.flag("d", false);
        json.flag("e", true);
        json.close_object();
        assert_eq!(
            String::from_utf8_lossy(&json.into_bytes()),
            r#"{"a":-1,"b":[{},"{",":",7],"c":{},"e":true}"#
        );
    }

    #[test]
    fn base64_is_padded() {
        for (bytes, want) in [
            ("", ""),
            ("x", "eA=="),
            ("hi", "aGk="),
            ("abc", "YWJj"),
            ("hello", "aGVsbG8="),
            ("\u{ff}\u{fe}??", "w7/Dvj8/"),
        ] {
            let mut json = JsonWriter::new();
            json.base64(bytes.as_bytes());
            assert_eq!(json.into_bytes(), format!("\"{want}\"").into_bytes());
            assert_eq!(from_base64(want).as_deref(), Some(bytes.as_bytes()));
        }
        assert_eq!(from_base64("a b"), None);
    }

    #[test]
    fn strings_are_escaped_as_go_does() {
        let mut out = Vec::new();
        escape(&mut out, "a\"\\\n\r\t\u{1}<>&ä\u{2028}\u{2030}\u{7f}");
        assert_eq!(
            String::from_utf8_lossy(&out),
            "a\\\"\\\\\\n\\r\\t\\u0001\\u003c\\u003e\\u0026ä\\u2028\u{2030}\u{7f}"
        );
    }
}
