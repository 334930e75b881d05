//! What a server says of itself in INFO.
//!
//! INFO is JSON. This client can do without the machinery for all of JSON, so
//! it looks for the few keys that it needs, in the outermost object, and
//! passes over everything else. What is no JSON has no such keys.

/// What is known of the server on the other side.
///
/// A key that the server does not send is empty, zero or false.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// Names this run of the server.
    pub server_id: String,
    /// Names the server to people.
    pub server_name: String,
    /// Its version.
    pub version: String,
    /// The server's number for this connection.
    pub client_id: u64,
    /// The longest message that it takes, headers included, in bytes.
    pub payload_max_bytes: usize,
    /// It takes headers.
    pub has_headers: bool,
    /// It keeps streams.
    pub has_streams: bool,
    /// It takes nobody without credentials.
    pub wants_credentials: bool,
    /// It takes TLS alone.
    pub wants_tls: bool,
    /// It takes TLS as well.
    pub offers_tls: bool,
    /// It is about to leave; a client should look for another one.
    pub is_lame_duck: bool,
}

impl ServerInfo {
    /// Reads the JSON of an INFO line.
    pub(crate) fn parse(json: &[u8]) -> ServerInfo {
        let mut info = ServerInfo::default();
        let text = String::from_utf8_lossy(json);
        let mut rest = text.trim_start();
        let Some(inside) = rest.strip_prefix('{') else {
            return info;
        };
        rest = inside;
        while let Some((key, value, after)) = entry(rest) {
            info.take(&key, value);
            rest = after;
        }
        info
    }

    fn take(&mut self, key: &str, value: &str) {
        let text = || string(value).map(|(text, _)| text).unwrap_or_default();
        let is_true = value == "true";
        match key {
            "server_id" => self.server_id = text(),
            "server_name" => self.server_name = text(),
            "version" => self.version = text(),
            "client_id" => self.client_id = value.parse().unwrap_or_default(),
            "max_payload" => self.payload_max_bytes = value.parse().unwrap_or_default(),
            "headers" => self.has_headers = is_true,
            "jetstream" => self.has_streams = is_true,
            "auth_required" => self.wants_credentials = is_true,
            "tls_required" => self.wants_tls = is_true,
            "tls_available" => self.offers_tls = is_true,
            "ldm" => self.is_lame_duck = is_true,
            _ => {}
        }
    }
}

/// The next key, its value as it is written, and what comes behind.
fn entry(rest: &str) -> Option<(String, &str, &str)> {
    let rest = rest.trim_start_matches([',', ' ', '\t', '\r', '\n']);
    let (key, rest) = string(rest)?;
    let rest = rest.trim_start().strip_prefix(':')?.trim_start();
    let end = value_len(rest)?;
    let (value, after) = rest.split_at(end);
    Some((key, value.trim_end(), after))
}

/// How long the value is that this begins with.
fn value_len(rest: &str) -> Option<usize> {
    let (mut depth, mut at) = (0usize, 0);
    let bytes = rest.as_bytes();
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let (_, after) = string(rest.get(at..)?)?;
                at = rest.len() - after.len();
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth > 0 => depth -= 1,
            b'}' | b',' if depth == 0 => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// The string that this begins with, and what comes behind it.
fn string(rest: &str) -> Option<(String, &str)> {
    let rest = rest.strip_prefix('"')?;
    let mut text = String::new();
    let mut chars = rest.chars();
    loop {
        match chars.next()? {
            '"' => return Some((text, chars.as_str())),
            '\\' => match chars.next()? {
                'n' => text.push('\n'),
                't' => text.push('\t'),
                'u' => {
                    let digits = chars.as_str().get(..4)?;
                    let code = u32::from_str_radix(digits, 16).ok()?;
                    // Half of a pair is no character.
                    text.push(char::from_u32(code).unwrap_or('\u{fffd}'));
                    chars = chars.as_str().get(4..)?.chars();
                }
                other => text.push(other),
            },
            char => text.push(char),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_that_count_are_found() {
        let info = ServerInfo::parse(
            br#"{"server_id":"N\"1\u00e4","x":{"version":"no","y":[1,"}"]},"version":"2.10.0",
            "headers":true,"max_payload":1048576,"client_id":7,"jetstream" : true ,"ldm":false}"#,
        );
        let wanted = ServerInfo {
            server_id: "N\"1ä".into(),
            version: "2.10.0".into(),
            has_headers: true,
            payload_max_bytes: 1_048_576,
            client_id: 7,
            has_streams: true,
            ..ServerInfo::default()
        };
        assert_eq!(info, wanted);
    }

    #[test]
    fn what_is_no_json_says_nothing() {
        for text in [
            "",
            "{",
            "{}",
            "[]",
            "{\"headers\"",
            "{\"headers\":",
            "{\"headers\":true",
            "{\"version\":\"a",
            "{\"version\":\"\\u12\"}",
            "{version:1}",
            "{\"max_payload\":-1}",
        ] {
            assert_eq!(
                ServerInfo::parse(text.as_bytes()),
                ServerInfo::default(),
                "{text}"
            );
        }
    }
}
