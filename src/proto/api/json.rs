//! JSON as the API speaks it: an appending writer and a forgiving reader.
//!
//! The writer puts out the same bytes as nats-server, escapes included, so
//! that answers can be compared literally. The reader follows Go's rules:
//! keys match whatever their case, `null` is the same as an absent key, and a
//! key nobody knows is an error, unless the request is one that is read
//! leniently.

use super::error::ApiError;
use super::timestamp::{Nanos, Timestamp};
use crate::encode::Decimal;
use serde_json::{Map, Value};
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

    /// A key with a time.
    pub fn time_field(&mut self, key: &str, value: Timestamp) {
        self.key(key);
        value.write_json(self);
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

/// Whether this is one JSON object.
pub fn is_object(text: &[u8]) -> bool {
    text.first() == Some(&b'{') && serde_json::from_slice::<Value>(text).is_ok()
}

/// Whether keys nobody knows are errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// They are, as the admin API has it.
    Strict,
    /// They are passed over.
    Lenient,
}

/// Whether a key was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    Yes,
    No,
}

/// What is called for each key: the key in lower case, and its value.
pub(crate) type OnField<'a> = &'a mut dyn FnMut(&str, Value) -> Result<Known, ApiError>;

/// Reads any JSON.
///
/// # Errors
/// That of the first byte that is none.
// The reader is large; there is one for all who read.
#[inline(never)]
pub fn parse(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(text)
}

/// Reads one JSON object, key by key.
///
/// No text at all is an object without keys.
///
/// # Errors
/// `invalid JSON` when this is not an object, and whatever `on_field` says.
pub(crate) fn read(json: &[u8], strict: Strictness, on_field: OnField<'_>) -> Result<(), ApiError> {
    // Blanks are no error to the strict reader of nats-server either.
    let is_blank = json.trim_ascii().is_empty();
    if json.is_empty() || (is_blank && strict == Strictness::Strict) {
        return Ok(());
    }
    // As nats-server does, read what is not UTF-8 with replacements.
    let text = String::from_utf8_lossy(json);
    let value = parse(&text).map_err(|error| {
        ApiError::invalid_json(if error.is_eof() {
            "unexpected end of JSON input".to_owned()
        } else {
            error.to_string()
        })
    })?;
    if value.is_null() {
        return Ok(());
    }
    read_value("request", value, strict, on_field)
}

/// Reads the value of `key`, which has to be an object.
pub(crate) fn read_value(
    key: &str,
    value: Value,
    strict: Strictness,
    on_field: OnField<'_>,
) -> Result<(), ApiError> {
    for (name, value) in object(key, value)? {
        if value.is_null() {
            continue;
        }
        let known = on_field(&name.to_ascii_lowercase(), value)?;
        if known == Known::No && strict == Strictness::Strict {
            return Err(ApiError::invalid_json(format!(
                "json: unknown field {name:?}"
            )));
        }
    }
    Ok(())
}

/// The error for a value of another type than its key asks for.
pub(crate) fn wrong_type(key: &str, value: &Value, wanted: &str) -> ApiError {
    let kind = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(number) => format!("number {number}"),
        Value::String(_) => "string".to_owned(),
        Value::Array(_) => "array".to_owned(),
        Value::Object(_) => "object".to_owned(),
    };
    ApiError::invalid_json(format!(
        "json: cannot unmarshal {kind} into field {key} of type {wanted}"
    ))
}

pub(crate) fn object(key: &str, value: Value) -> Result<Map<String, Value>, ApiError> {
    match value {
        Value::Object(map) => Ok(map),
        other => Err(wrong_type(key, &other, "object")),
    }
}

pub(crate) fn string(key: &str, value: Value) -> Result<String, ApiError> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(wrong_type(key, &other, "string")),
    }
}

pub(crate) fn boolean(key: &str, value: &Value) -> Result<bool, ApiError> {
    value
        .as_bool()
        .ok_or_else(|| wrong_type(key, value, "bool"))
}

pub(crate) fn int(key: &str, value: &Value) -> Result<i64, ApiError> {
    value
        .as_i64()
        .ok_or_else(|| wrong_type(key, value, "int64"))
}

pub(crate) fn int32(key: &str, value: &Value) -> Result<i32, ApiError> {
    int(key, value)?
        .try_into()
        .map_err(|_| wrong_type(key, value, "int32"))
}

pub(crate) fn uint(key: &str, value: &Value) -> Result<u64, ApiError> {
    value
        .as_u64()
        .ok_or_else(|| wrong_type(key, value, "uint64"))
}

/// How many to skip; less than none is none.
pub(crate) fn offset(key: &str, value: &Value) -> Result<usize, ApiError> {
    int(key, value).map(|count| usize::try_from(count).unwrap_or(0))
}

pub(crate) fn nanos(key: &str, value: &Value) -> Result<Nanos, ApiError> {
    value
        .as_i64()
        .map(Nanos)
        .ok_or_else(|| wrong_type(key, value, "time.Duration"))
}

pub(crate) fn time(key: &str, value: &Value) -> Result<Timestamp, ApiError> {
    let Value::String(text) = value else {
        return Err(ApiError::invalid_json(
            "Time.UnmarshalJSON: input is not a JSON string",
        ));
    };
    Timestamp::parse(text).ok_or_else(|| {
        ApiError::invalid_json(format!("parsing time {text:?} of {key}: not RFC 3339"))
    })
}

/// One of a few words.
pub(crate) fn word<T>(value: &Value, from_word: fn(&str) -> Option<T>) -> Result<T, ApiError> {
    value.as_str().and_then(from_word).ok_or_else(|| {
        let text = value.to_string();
        ApiError::invalid_json(format!("can not unmarshal {text:?}"))
    })
}

pub(crate) fn array(key: &str, value: Value) -> Result<Vec<Value>, ApiError> {
    match value {
        Value::Array(values) => Ok(values),
        other => Err(wrong_type(key, &other, "array")),
    }
}

/// An array of strings; a `null` among them is an empty one.
pub(crate) fn strings(key: &str, value: Value) -> Result<Vec<String>, ApiError> {
    array(key, value)?
        .into_iter()
        .map(|value| match value {
            Value::Null => Ok(String::new()),
            other => string(key, other),
        })
        .collect()
}

pub(crate) fn map(key: &str, value: Value) -> Result<BTreeMap<String, String>, ApiError> {
    object(key, value)?
        .into_iter()
        .map(|(name, value)| match value {
            Value::Null => Ok((name, String::new())),
            other => string(key, other).map(|value| (name, value)),
        })
        .collect()
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
        }
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
