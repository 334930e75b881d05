//! What the server adds to the metadata of streams and consumers.
//!
//! nats-server tells clients its version and the level of its API there, and
//! which level an asset asks for. The latter is stored with the asset, the
//! former are added to some answers only.

use std::collections::BTreeMap;

/// The level that an asset asks for; stored.
pub const REQUIRED_LEVEL: &str = "_nats.req.level";
/// The level of the server's API; in answers.
pub const SERVER_LEVEL: &str = "_nats.level";
/// The server's version; in answers.
pub const SERVER_VERSION: &str = "_nats.ver";

/// Removes what only the server may say, when a client sent it.
pub fn strip_server_metadata(metadata: &mut BTreeMap<String, String>) {
    for key in [REQUIRED_LEVEL, SERVER_LEVEL, SERVER_VERSION] {
        metadata.remove(key);
    }
}

/// Notes which level the asset asks for. A server of level 0 says nothing of
/// levels.
pub fn require_level(metadata: &mut BTreeMap<String, String>, server_level: u32, required: u32) {
    if server_level > 0 {
        metadata.insert(REQUIRED_LEVEL.to_owned(), required.to_string());
    }
}

/// The metadata with what answers to create, update and info requests add. A
/// server of level 0 adds nothing.
pub fn with_server_metadata(
    metadata: &BTreeMap<String, String>,
    server_level: u32,
    version: &str,
) -> BTreeMap<String, String> {
    let mut shown = metadata.clone();
    if server_level > 0 {
        shown.insert(SERVER_LEVEL.to_owned(), server_level.to_string());
        shown.insert(SERVER_VERSION.to_owned(), version.to_owned());
    }
    shown
}

/// What keys and values take, in bytes.
pub(super) fn size(metadata: &BTreeMap<String, String>) -> usize {
    metadata
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum()
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
        require_level(&mut metadata, 5, 0);
        assert_eq!(
            with_server_metadata(&metadata, 5, "2.15.1"),
            map(&[
                ("_nats.foo", "1"),
                ("_nats.level", "5"),
                ("_nats.req.level", "0"),
                ("_nats.ver", "2.15.1"),
            ])
        );
    }

    #[test]
    fn level_zero_says_nothing() {
        let mut metadata = map(&[("a", "b")]);
        require_level(&mut metadata, 0, 1);
        assert_eq!(metadata, map(&[("a", "b")]));
        assert_eq!(with_server_metadata(&metadata, 0, "2.10.0"), metadata);
    }
}
