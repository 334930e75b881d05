//! What other streams have added to a counter: the header
//! `Nats-Counter-Sources`.

use super::json;
use midge_proto::JsonWriter;
use serde_json::Value;
use std::collections::BTreeMap;

/// The last value of each counter that was added to one, by its stream and
/// its subject there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CounterSources(BTreeMap<String, BTreeMap<String, String>>);

impl CounterSources {
    /// Reads the value of the header; `None` if it is something else.
    pub fn read(header: &[u8]) -> Option<CounterSources> {
        let found = match json::parse(std::str::from_utf8(header).ok()?).ok()? {
            Value::Object(found) => found,
            Value::Null => return Some(CounterSources::default()),
            _ => return None,
        };
        let mut sources = BTreeMap::new();
        for (stream, subjects) in found {
            let subjects = match subjects {
                Value::Null => BTreeMap::new(),
                other => json::map("", other).ok()?,
            };
            sources.insert(stream, subjects);
        }
        Some(CounterSources(sources))
    }

    /// Whether nothing came from elsewhere.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes the value of a counter and returns the one before.
    pub fn replace(&mut self, stream: &str, subject: &str, value: &str) -> Option<String> {
        let subjects = self.0.entry(stream.to_owned()).or_default();
        subjects.insert(subject.to_owned(), value.to_owned())
    }

    /// The header's value.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = JsonWriter::new();
        json.open_object();
        for (stream, subjects) in &self.0 {
            json.key(stream);
            json.open_object();
            for (subject, value) in subjects {
                json.string_field(subject, value);
            }
            json.close_object();
        }
        json.close_object();
        json.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_in_order() {
        let text = br#"{"b":{"y":"-1"},"a":{"<":"2","":"3"},"c":null}"#;
        let mut sources = CounterSources::read(text).unwrap();
        assert_eq!(sources.replace("b", "x", "5"), None);
        assert_eq!(sources.replace("b", "y", "6").as_deref(), Some("-1"));
        let text = sources.to_json();
        let wanted = r#"{"a":{"":"3","\u003c":"2"},"b":{"x":"5","y":"6"},"c":{}}"#;
        assert_eq!(String::from_utf8(text.clone()).unwrap(), wanted);
        assert_eq!(CounterSources::read(&text), Some(sources));
    }

    #[test]
    fn what_is_something_else() {
        for text in [
            "",
            "x",
            "[]",
            "1",
            "{\"a\":1}",
            "{\"a\":{\"b\":1}}",
            "\u{0}",
        ] {
            assert_eq!(CounterSources::read(text.as_bytes()), None, "{text}");
        }
        for text in ["{}", "null", " { } "] {
            assert!(CounterSources::read(text.as_bytes()).unwrap().is_empty());
        }
    }
}
