//! Logs each line of the protocol, as nats-server does, for who looks at what
//! a client says.
//!
//! It is slow and only done at the level `trace`. The secrets in a CONNECT do
//! not get into the log.

use memchr::memchr;
use midge_api::json::parse_flat;
use midge_engine::{ConnId, Engine, Session};
use midge_proto::JsonWriter;
use std::collections::HashMap;
use std::fmt::Write;

/// What is logged of a line or of a payload, in bytes.
const SHOWN_MAX: usize = 4096;

/// Texts in a CONNECT that everybody may know.
const TEXTS: [&str; 3] = ["name", "lang", "version"];

/// Its switches and numbers.
const SWITCHES: [&str; 7] = [
    "verbose",
    "pedantic",
    "echo",
    "headers",
    "no_responders",
    "protocol",
    "tls_required",
];

/// What else it says whose name alone is shown. Any other key may be a misspelt
/// one of these, or the secret itself.
const HIDDEN: [&str; 6] = ["user", "pass", "auth_token", "nkey", "sig", "jwt"];

/// Whether each line is to be logged.
#[inline(always)]
pub(crate) fn is_on() -> bool {
    log::max_level() == log::LevelFilter::Trace
}

/// What the log calls each client that it has shown something of. Nobody is in
/// here while lines are not logged.
#[derive(Debug, Default)]
pub(crate) struct TracedNames(HashMap<ConnId, String>);

impl TracedNames {
    /// A client has sent a command.
    #[cold]
    pub(crate) fn received(&mut self, engine: &Engine, conn: ConnId, frame: &[u8]) {
        let Some(session) = engine.session(conn) else {
            return;
        };
        let name = self.0.entry(session.conn()).or_default();
        *name = name_of(session, engine.account_name(session.account()));
        let (line, payload) = first_line(frame);
        let text = line_text(line);
        let is_connect = text
            .get(..7)
            .is_some_and(|verb| verb.eq_ignore_ascii_case("CONNECT"));
        let text = match is_connect {
            true => connect_text(line.get(7..).unwrap_or_default()),
            false => text,
        };
        log::trace!("{name} - <<- [{text}]");
        let payload = payload.strip_suffix(b"\r\n").unwrap_or(payload);
        if !payload.is_empty() {
            log::trace!("{name} - <<- MSG_PAYLOAD: [{:?}]", beginning(payload));
        }
    }

    /// A client is sent a line that is no message.
    #[cold]
    pub(crate) fn sent_line(&self, conn: ConnId, line: &[u8]) {
        if let Some(name) = self.0.get(&conn) {
            let (line, _) = first_line(line);
            log::trace!("{name} - ->> [{}]", line_text(line));
        }
    }

    /// A client is sent a message.
    #[cold]
    pub(crate) fn sent(
        &self,
        conn: ConnId,
        has_header: bool,
        subject: &[u8],
        sid: &[u8],
        tail: &[u8],
    ) {
        let Some(name) = self.0.get(&conn) else {
            return;
        };
        let verb = if has_header { "HMSG" } else { "MSG" };
        let (subject, sid) = (line_text(subject), line_text(sid));
        let (rest, payload) = first_line(tail);
        let payload = payload.strip_suffix(b"\r\n").unwrap_or(payload);
        log::trace!(
            "{name} - ->> [{verb} {subject} {sid} {}]",
            line_text(rest).trim_start()
        );
        if !payload.is_empty() {
            log::trace!("{name} - ->> MSG_PAYLOAD: [{:?}]", beginning(payload));
        }
    }

    /// A client has gone.
    pub(crate) fn forget(&mut self, conn: ConnId) {
        self.0.remove(&conn);
    }
}

/// The first line without its end, and what is behind that.
fn first_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr(b'\n', bytes).unwrap_or(bytes.len());
    let line = bytes.get(..end).unwrap_or_default();
    (
        line.trim_ascii_end(),
        bytes.get(end + 1..).unwrap_or_default(),
    )
}

/// The beginning of some bytes, as text.
fn beginning(bytes: &[u8]) -> String {
    let cut = bytes.get(..SHOWN_MAX).unwrap_or(bytes);
    String::from_utf8_lossy(cut).into_owned()
}

/// The same on one line, whatever is in it.
fn line_text(bytes: &[u8]) -> String {
    beginning(bytes).replace(char::is_control, "?")
}

/// Where a client comes from, its number and what it has said of itself.
fn name_of(session: &Session, account: &str) -> String {
    let options = session.options();
    let mut name = format!("{} - cid:{}", session.peer(), session.client_id());
    if !options.lang.is_empty() || !options.name.is_empty() {
        let about = format!("v{}:{}:{}", options.version, options.lang, options.name);
        // Writing to a String cannot fail.
        let _ = write!(name, " - {about:?}");
    }
    let user = session.user_name();
    if !user.is_empty() {
        let _ = write!(name, " - {:?}", format!("{account}/user:{user}"));
    }
    name
}

/// A CONNECT without what only its client and the server may know: nothing of
/// one that cannot be read.
fn connect_text(json: &[u8]) -> String {
    let said = std::str::from_utf8(json).ok();
    let Some(said) = said.and_then(|text| parse_flat(text).ok()) else {
        return "CONNECT [REDACTED]".to_owned();
    };
    let mut shown = JsonWriter::new();
    shown.open_object();
    for (key, value) in said {
        let is_any_of = |keys: &[&str]| keys.iter().any(|known| key.eq_ignore_ascii_case(known));
        let is_switch = matches!(&*value, "true" | "false" | "0" | "1");
        if is_any_of(&TEXTS) {
            shown.string_field(&key, &value);
        } else if is_switch && is_any_of(&SWITCHES) {
            shown.key(&key);
            shown.raw(value.as_bytes());
        } else if is_any_of(&HIDDEN) {
            shown.string_field(&key, "[REDACTED]");
        }
    }
    shown.close_object();
    format!("CONNECT {}", line_text(&shown.into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_show() {
        const NONE: &str = "CONNECT [REDACTED]";
        for (said, shown) in [
            (
                r#"{"user":"u","pass":"se\"c,r}et","name":"n","protocol":1}"#,
                r#"CONNECT {"name":"n","pass":"[REDACTED]","protocol":1,"user":"[REDACTED]"}"#,
            ),
            (
                r#"{"auth_token" : "t" , "SIG":"s", "pass":{"a":["x"]}, "echo":true}"#,
                r#"CONNECT {"SIG":"[REDACTED]","auth_token":"[REDACTED]","echo":true}"#,
            ),
            (
                r#"{"pasword":"x","x":1,"verbose":"x","lang":{"pass":"x"}}"#,
                "CONNECT {}",
            ),
            (r#"{"p\u0061ss":"x"}"#, r#"CONNECT {"pass":"[REDACTED]"}"#),
            (r#"{"pass":"cut o"#, NONE),
            (r#"{"pass":"x"} x"#, NONE),
            (r#""x""#, NONE),
            ("x", NONE),
            ("{}", "CONNECT {}"),
        ] {
            assert_eq!(connect_text(said.as_bytes()), shown);
        }
        assert_eq!(connect_text(b"\xff"), NONE);
    }

    #[test]
    fn a_frame_is_a_line_and_what_is_behind_it() {
        assert_eq!(
            first_line(b"PUB a 2\r\nhi\r\n"),
            (&b"PUB a 2"[..], &b"hi\r\n"[..])
        );
        assert_eq!(first_line(b"PING"), (&b"PING"[..], &b""[..]));
    }
}
