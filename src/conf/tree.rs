//! A configuration file taken apart: keys, values, and where they stand.

use std::fmt;
use std::sync::Arc;

/// Where something stands in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: Arc<str>,
    pub(crate) line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// What is wrong with a file, and where. In a box, since nearly every line that
/// reads a value may come to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfError(Box<(Place, String)>);

impl ConfError {
    pub(crate) fn new(place: &Place, what: impl Into<String>) -> Self {
        ConfError(Box::new((place.clone(), what.into())))
    }

    /// What is wrong, without the place.
    pub(crate) fn what(&self) -> &str {
        &self.0.1
    }
}

impl fmt::Display for ConfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.0, self.0.1)
    }
}

impl std::error::Error for ConfError {}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) value: Value,
    pub(crate) place: Place,
    /// Something else stands for it, so that it need mean nothing itself.
    pub(crate) is_variable: bool,
}

/// Keys whose value may be a secret, also where it is written as it should not
/// be. The names are in lower case.
const SECRET_KEYS: [&str; 8] = [
    "pass",
    "password",
    "token",
    "nkey",
    "user",
    "username",
    "users",
    "authorization",
];

/// Whether what stands behind a key is nothing to be shown.
pub(crate) fn is_secret(key: &str) -> bool {
    SECRET_KEYS
        .iter()
        .any(|secret| key.eq_ignore_ascii_case(secret))
}

/// A value as it is written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// A word, or something in quotes. Whether it is a number, or yes or no,
    /// is for its key to say: a password may look like either.
    Text(String),
    /// `[…]`
    List(Vec<(Value, Place)>),
    /// `{…}`
    Block(Vec<Entry>),
}

impl Value {
    /// What this is called in an error.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "a word",
            Value::List(_) => "a list",
            Value::Block(_) => "a block",
        }
    }
}
