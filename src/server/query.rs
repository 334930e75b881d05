//! What a page is asked to show: names and values, read as nats-server reads
//! them, and its words for those that cannot be read.

use crate::http::{Response, Status};

/// Names and values.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads what follows the question mark of an address.
    pub(crate) fn parse(text: &str) -> Query {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let read = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        };
        Query(pairs.map(read).collect())
    }

    /// Reads options as they are asked for with a message: an object of JSON
    /// with names that differ a little, or nothing at all.
    ///
    /// # Errors
    /// What is wrong with the JSON.
    pub(crate) fn from_json(body: &[u8]) -> Result<Query, String> {
        let mut query = Query::default();
        if body.trim_ascii().is_empty() {
            return Ok(query);
        }
        let text = String::from_utf8_lossy(body);
        let fields = midge_api::parse_flat(&text).map_err(|error| error.to_string())?;
        for (key, value) in fields {
            let name = match (key.as_str(), value.as_str()) {
                ("subscriptions_detail", "true") => {
                    query.set("subs", "detail");
                    continue;
                }
                ("subscriptions", _) => "subs",
                ("include_unused", _) => "unused",
                ("direct_consumer", _) => "direct-consumers",
                ("leader_only", _) => "leader-only",
                ("stream_leader_only", _) => "stream-leader-only",
                ("consumer", "true" | "false") => "consumers",
                ("account", _) => {
                    query.put("acc", &value);
                    "account"
                }
                ("state", "0") => continue,
                ("state", "1") => {
                    query.put("state", "closed");
                    continue;
                }
                ("state", "2") => {
                    query.put("state", "any");
                    continue;
                }
                (key, _) => key,
            };
            query.put(name, &value);
        }
        Ok(query)
    }

    /// Adds a value; the first of a name counts.
    fn put(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    /// Sets a value, whatever there was of this name.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.0.insert(0, (name.to_owned(), value.to_owned()));
    }

    /// A value by its name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A value by its name; empty is as good as none.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// A switch, spelled as Go's booleans are.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Response> {
        match self.text(name) {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            text => Err(undecoded("boolean", name, "ParseBool", text, false)),
        }
    }

    /// A number of things to pass over or to show; none is asked for with less
    /// than nothing as well as with no number.
    pub(crate) fn count(&self, name: &str) -> Result<usize, Response> {
        let text = self.text(name);
        if text.is_empty() {
            return Ok(0);
        }
        match text.parse::<i64>() {
            Ok(number) => Ok(usize::try_from(number).unwrap_or(0)),
            Err(_) => Err(undecoded("int", name, "Atoi", text, true)),
        }
    }

    /// How many to show: as many as asked for, up to a bound.
    pub(crate) fn limit(&self, default: usize, max: usize) -> Result<usize, Response> {
        match self.count("limit")? {
            0 => Ok(default),
            limit => Ok(limit.min(max)),
        }
    }

    /// The number of something; `None` for nothing certain.
    pub(crate) fn id(&self, name: &str) -> Result<Option<u64>, Response> {
        let text = self.text(name);
        if text.is_empty() {
            return Ok(None);
        }
        let id = text.parse::<u64>().ok();
        let id = id.ok_or_else(|| undecoded("uint64", name, "ParseUint", text, true))?;
        Ok(Some(id).filter(|id| *id > 0))
    }
}

/// The page cannot be made as asked for.
pub(crate) fn refusal(why: impl Into<String>) -> Response {
    Response::text(Status::BadRequest, why)
}

fn undecoded(kind: &str, name: &str, by: &str, text: &str, is_number: bool) -> Response {
    let is_too_large = is_number && text.bytes().all(|byte| byte.is_ascii_digit());
    let why = if is_too_large {
        "value out of range"
    } else {
        "invalid syntax"
    };
    refusal(format!(
        "Error decoding {kind} for '{name}': strconv.{by}: parsing {text:?}: {why}"
    ))
}

/// Undoes percent encoding; what is not encoded properly stays as it is.
pub(crate) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = after;
                }
                _ => bytes.push(b'%'),
            },
            (b'+', _) => bytes.push(b' '),
            _ => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_read_as_go_reads_them() {
        let query = Query::parse("subs=1&name=a%20b+c&x&n=-3&big=18446744073709551615&on=T");
        assert_eq!(query.get("name"), Some("a b c"));
        assert_eq!((query.get("x"), query.get("y")), (Some(""), None));
        assert_eq!(query.count("n").ok(), Some(0));
        assert_eq!(query.id("big").ok(), Some(Some(u64::MAX)));
        assert_eq!(query.flag("on").ok(), Some(true));
        assert_eq!(query.flag("x").ok(), Some(false));
    }

    #[test]
    fn options_in_json_are_those_of_the_pages() {
        let read = |json: &str| Query::from_json(json.as_bytes()).expect(json);
        let query = read(r#"{"subscriptions":true,"limit":3,"acc":"A","state":1}"#);
        assert_eq!(query.flag("subs").ok(), Some(true));
        assert_eq!(query.count("limit").ok(), Some(3));
        assert_eq!((query.text("acc"), query.text("state")), ("A", "closed"));
        let query = read(r#"{"account":"A","consumer":true,"leader_only":true,"accounts":["x"]}"#);
        assert_eq!((query.text("acc"), query.text("account")), ("A", "A"));
        assert_eq!(query.flag("consumers").ok(), Some(true));
        assert_eq!(query.flag("leader-only").ok(), Some(true));
        assert_eq!(query.text("accounts"), "");
        let query = read(r#"{"consumer":"c","subscriptions_detail":true,"subscriptions":true}"#);
        assert_eq!(
            (query.text("consumer"), query.text("subs")),
            ("c", "detail")
        );
        assert_eq!(read(" ").text("x"), "");
        assert!(Query::from_json(b"{").is_err() && Query::from_json(b"[]").is_err());
    }

    #[test]
    fn what_cannot_be_read_is_named_in_words_that_tools_know() {
        let query = Query::parse("limit=x&offset=99999999999999999999&subs=yes&cid=-1");
        let body = |refused: Option<Response>| {
            String::from_utf8(refused.expect("refused").body).expect("text")
        };
        for (refused, words) in [
            (
                query.count("limit").err(),
                r#"Error decoding int for 'limit': strconv.Atoi: parsing "x": invalid syntax"#,
            ),
            (
                query.count("offset").err(),
                "Error decoding int for 'offset': strconv.Atoi: \
                 parsing \"99999999999999999999\": value out of range",
            ),
            (
                query.flag("subs").err(),
                r#"Error decoding boolean for 'subs': strconv.ParseBool: parsing "yes": invalid syntax"#,
            ),
            (
                query.id("cid").err(),
                r#"Error decoding uint64 for 'cid': strconv.ParseUint: parsing "-1": invalid syntax"#,
            ),
        ] {
            assert_eq!(body(refused), words);
        }
    }
}
