//! What the server adds to the metadata of streams and consumers.
//!
//! nats-server tells clients its version and the level of its API there, and
//! which level an asset asks for. None of it is kept here: the last follows
//! from the configuration, the others from the program.

use midge_proto::{API_LEVEL, JsonWriter, NATS_VERSION};
use std::collections::BTreeMap;

/// The level that an asset asks for.
const REQUIRED_LEVEL: &str = "_nats.req.level";
/// The level of the server's API.
const SERVER_LEVEL: &str = "_nats.level";
/// The server's version.
const SERVER_VERSION: &str = "_nats.ver";

/// Which of the server's notes stand among the metadata of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notes {
    /// None: as clients write it, and as it is stored.
    None,
    /// The level it asks for: in lists, backups and on monitoring pages.
    Required,
    /// That and who answers: in answers about one stream or consumer.
    All,
}

/// Removes what only the server may say, when a client sent it.
pub fn strip_server_metadata(metadata: &mut BTreeMap<String, String>) {
    for key in [REQUIRED_LEVEL, SERVER_LEVEL, SERVER_VERSION] {
        metadata.remove(key);
    }
}

/// Appends a field with the metadata and the server's notes, unless there is
/// nothing to tell.
pub(super) fn write(
    metadata: &BTreeMap<String, String>,
    required: u32,
    notes: Notes,
    json: &mut JsonWriter,
) {
    if notes == Notes::None {
        return json.map_unless_empty("metadata", metadata);
    }
    let mut shown = metadata.clone();
    shown.insert(REQUIRED_LEVEL.to_owned(), required.to_string());
    if notes == Notes::All {
        shown.insert(SERVER_LEVEL.to_owned(), API_LEVEL.to_string());
        shown.insert(SERVER_VERSION.to_owned(), NATS_VERSION.to_owned());
    }
    json.map_unless_empty("metadata", &shown);
}

/// What keys and values take, in bytes, with the level that nats-server keeps
/// among them.
pub(super) fn size(metadata: &BTreeMap<String, String>) -> usize {
    metadata
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum::<usize>()
        + REQUIRED_LEVEL.len()
        + "0".len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    fn written(metadata: &BTreeMap<String, String>, notes: Notes) -> String {
        let mut json = JsonWriter::new();
        json.open_object();
        write(metadata, 2, notes, &mut json);
        json.close_object();
        String::from_utf8(json.into_bytes()).unwrap()
    }

    #[test]
    fn the_server_has_the_last_word_on_its_keys() {
        let mut metadata = map(&[
            ("_nats.ver", "1"),
            ("_nats.foo", "1"),
            ("_nats.level", "9"),
            ("_nats.req.level", "7"),
        ]);
        strip_server_metadata(&mut metadata);
        assert_eq!(metadata, map(&[("_nats.foo", "1")]));
        assert_eq!(size(&metadata), 26);
    }

    #[test]
    fn notes_stand_where_they_are_asked_for() {
        let metadata = map(&[("A", "b"), ("_nats.x", "1")]);
        assert_eq!(
            written(&metadata, Notes::None),
            r#"{"metadata":{"A":"b","_nats.x":"1"}}"#
        );
        assert_eq!(
            written(&metadata, Notes::Required),
            r#"{"metadata":{"A":"b","_nats.req.level":"2","_nats.x":"1"}}"#
        );
        assert_eq!(
            written(&map(&[]), Notes::All),
            r#"{"metadata":{"_nats.level":"4","_nats.req.level":"2","_nats.ver":"2.14.0"}}"#
        );
        assert_eq!(written(&map(&[]), Notes::None), "{}");
    }
}
