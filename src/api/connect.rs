//! What a client says of itself in CONNECT.

use crate::json;
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;

/// The options of a session.
///
/// The defaults are those of a session before its CONNECT: a person on a
/// bare socket gets verbose answers and pedantic checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectOptions {
    /// Answer `+OK` to each command.
    pub verbose: bool,
    /// Check the subjects of publishes.
    pub pedantic: bool,
    /// Deliver a session's own messages to its own subscriptions.
    pub echo: bool,
    /// The client sends and understands header blocks.
    pub headers: bool,
    /// Tell a requester at once when nobody listens.
    pub no_responders: bool,
    /// 0, or 1 when the client takes INFO at any time.
    pub protocol: i64,
    /// What the client is called; shown in monitoring.
    pub name: String,
    /// The client's language; shown in monitoring.
    pub lang: String,
    /// The client's version; shown in monitoring.
    pub version: String,
    /// User name.
    pub user: String,
    /// Password.
    pub pass: String,
    /// Token, in place of user and password.
    pub auth_token: String,
    /// Public key of the user.
    pub nkey: String,
    /// Signature of INFO's nonce, by that key's other half.
    pub sig: String,
    /// The client asked for an account of its choosing, which nobody may.
    pub asks_for_account: bool,
    /// The user came without anything to prove it: it may be a token that was
    /// put there.
    pub user_is_bare: bool,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        ConnectOptions {
            verbose: true,
            pedantic: true,
            echo: true,
            headers: false,
            no_responders: false,
            protocol: 0,
            name: String::new(),
            lang: String::new(),
            version: String::new(),
            user: String::new(),
            pass: String::new(),
            auth_token: String::new(),
            nkey: String::new(),
            sig: String::new(),
            asks_for_account: false,
            user_is_bare: false,
        }
    }
}

/// Why the JSON of a CONNECT was not taken.
#[derive(Debug)]
pub enum ConnectError {
    /// Not JSON.
    Json(serde_json::Error),
    /// JSON, but not an object.
    NoObject,
    /// A known key with a value of the wrong type.
    WrongType {
        /// The key as the client spelled it.
        key: String,
        /// What belongs there.
        expected: &'static str,
    },
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Json(error) => write!(f, "connect: {error}"),
            ConnectError::NoObject => f.write_str("connect: not a JSON object"),
            ConnectError::WrongType { key, expected } => {
                write!(f, "connect: \"{key}\" must be {expected}")
            }
        }
    }
}

impl std::error::Error for ConnectError {}

impl ConnectOptions {
    /// Takes over what the JSON says; what it does not name stays as it was.
    ///
    /// Keys match whatever their case, `null` changes nothing and unknown
    /// keys are ignored, because nats-server reads them so and clients lean
    /// on it.
    ///
    /// # Errors
    /// [`ConnectError`] when this is not an object or a known key has a value
    /// of the wrong type. The options are then half taken over and the
    /// session has to end.
    pub fn apply(&mut self, json: &[u8]) -> Result<(), ConnectError> {
        // Names with stray bytes are shown with replacement characters
        // rather than refused.
        let text: Cow<'_, str> = String::from_utf8_lossy(json);
        let keys = match json::parse(&text).map_err(ConnectError::Json)? {
            Value::Null => return Ok(()),
            Value::Object(keys) => keys,
            _ => return Err(ConnectError::NoObject),
        };
        for (key, value) in keys {
            if !value.is_null() {
                self.apply_key(key, value)?;
            }
        }
        Ok(())
    }

    /// Lets go of what nobody needs once it has been looked at.
    pub fn forget_secrets(&mut self) {
        let has_proof = !self.pass.is_empty() || !self.sig.is_empty();
        self.user_is_bare = !has_proof;
        self.pass = String::new();
        self.auth_token = String::new();
        self.sig = String::new();
    }

    fn apply_key(&mut self, key: String, value: Value) -> Result<(), ConnectError> {
        match key.to_ascii_lowercase().as_str() {
            "verbose" => self.verbose = boolean(key, &value)?,
            "pedantic" => self.pedantic = boolean(key, &value)?,
            "echo" => self.echo = boolean(key, &value)?,
            "headers" => self.headers = boolean(key, &value)?,
            "no_responders" => self.no_responders = boolean(key, &value)?,
            "protocol" => self.protocol = integer(key, &value)?,
            "name" => self.name = string(key, value)?,
            "lang" => self.lang = string(key, value)?,
            "version" => self.version = string(key, value)?,
            "user" => self.user = string(key, value)?,
            "pass" => self.pass = string(key, value)?,
            "auth_token" => self.auth_token = string(key, value)?,
            "account" => self.asks_for_account |= !string(key, value)?.is_empty(),
            "new_account" => self.asks_for_account |= boolean(key, &value)?,
            "tls_required" => drop(boolean(key, &value)?),
            "nkey" => self.nkey = string(key, value)?,
            "sig" => self.sig = string(key, value)?,
            "jwt" => drop(string(key, value)?),
            _ => {}
        }
        Ok(())
    }
}

fn boolean(key: String, value: &Value) -> Result<bool, ConnectError> {
    value.as_bool().ok_or(ConnectError::WrongType {
        key,
        expected: "true or false",
    })
}

fn integer(key: String, value: &Value) -> Result<i64, ConnectError> {
    value.as_i64().ok_or(ConnectError::WrongType {
        key,
        expected: "a whole number",
    })
}

fn string(key: String, value: Value) -> Result<String, ConnectError> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(ConnectError::WrongType {
            key,
            expected: "a string",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(json: &str) -> ConnectOptions {
        let mut options = ConnectOptions::default();
        options.apply(json.as_bytes()).expect(json);
        options
    }

    #[test]
    fn absent_keys_keep_their_values() {
        assert_eq!(applied("{}"), ConnectOptions::default());
        assert_eq!(applied("null"), ConnectOptions::default());
        assert_eq!(
            applied(r#"{"verbose":null,"tags":[1]}"#),
            ConnectOptions::default()
        );
        let mut options = applied(r#"{"verbose":false,"name":"a"}"#);
        options.apply(br#"{"pedantic":false}"#).expect("second");
        assert!(!options.verbose && !options.pedantic && options.echo);
        assert_eq!(options.name, "a");
    }

    #[test]
    fn keys_match_in_any_case_and_the_last_wins() {
        assert!(!applied(r#"{"VERBOSE":false}"#).verbose);
        assert_eq!(applied(r#"{"lang":"x","lang":"y"}"#).lang, "y");
    }

    #[test]
    fn wrong_types_are_errors() {
        for json in [
            "",
            "[]",
            "1",
            "{",
            r#"{"verbose":false} x"#,
            r#"{"verbose":"yes"}"#,
            r#"{"protocol":1.0}"#,
            r#"{"name":1}"#,
            r#"{"pass":1}"#,
            r#"{"jwt":{}}"#,
        ] {
            assert!(
                ConnectOptions::default().apply(json.as_bytes()).is_err(),
                "{json}"
            );
        }
    }

    #[test]
    fn stray_bytes_in_a_name_are_replaced() {
        let mut options = ConnectOptions::default();
        options.apply(b"{\"name\":\"a\xff\"}").expect("lossy");
        assert_eq!(options.name, "a\u{fffd}");
    }
}
