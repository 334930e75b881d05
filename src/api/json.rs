//! JSON as the API reads it: forgivingly.
//!
//! The reader follows Go's rules: keys match whatever their case, `null` is the
//! same as an absent key, and a key nobody knows is an error, unless the
//! request is one that is read leniently.

use super::error::ApiError;
use midge_proto::{Nanos, Timestamp};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Whether this is one JSON object.
pub fn is_object(text: &[u8]) -> bool {
    text.first() == Some(&b'{') && std::str::from_utf8(text).is_ok_and(|text| parse(text).is_ok())
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

/// Reads one JSON object for its texts, numbers and switches, each as it is
/// written; the rest is passed over.
///
/// # Errors
/// That of the first byte that is none, and that it is no object.
pub fn parse_flat(text: &str) -> Result<Vec<(String, String)>, String> {
    let Value::Object(fields) = parse(text).map_err(|error| error.to_string())? else {
        return Err("this is no object".to_owned());
    };
    let flat = fields.into_iter().filter_map(|(key, value)| match value {
        Value::String(text) => Some((key, text)),
        Value::Bool(_) | Value::Number(_) => Some((key, value.to_string())),
        _ => None,
    });
    Ok(flat.collect())
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
    let mut map = BTreeMap::new();
    for (name, value) in object(key, value)? {
        let text = match value {
            Value::Null => String::new(),
            other => string(key, other)?,
        };
        map.insert(name, text);
    }
    Ok(map)
}
