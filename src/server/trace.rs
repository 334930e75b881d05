//! Logs each line of the protocol, as nats-server does, for who looks at what
//! a client says.
//!
//! It is slow and only done at the level `trace`. The secrets in a CONNECT do
//! not get into the log.

use memchr::memchr;
use midge_engine::{ConnId, Engine, Session};
use std::collections::HashMap;
use std::fmt::Write;

/// What is logged of a line or of a payload, in bytes.
const SHOWN_MAX: usize = 4096;

/// The values in a CONNECT that only its client and the server may know. A
/// token that says who its client is lets nobody else in without its key, but
/// nobody needs it either.
const SECRETS: [&str; 4] = ["\"pass\"", "\"auth_token\"", "\"sig\"", "\"jwt\""];

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
        let text = if is_connect {
            without_secrets(&text)
        } else {
            text
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
    if !options.user.is_empty() {
        let _ = write!(name, " - {:?}", format!("{account}/user:{}", options.user));
    }
    name
}

/// The JSON of a CONNECT, with the text of each secret replaced.
fn without_secrets(line: &str) -> String {
    // A name that is spelled with escapes would not be found.
    if line.contains("\\u") {
        return "CONNECT [REDACTED]".to_owned();
    }
    let mut out = String::new();
    let mut rest = line;
    let find = |rest: &str| {
        let lower = rest.to_ascii_lowercase();
        let ends = SECRETS
            .iter()
            .filter_map(|secret| Some(lower.find(secret)? + secret.len()));
        ends.min()
    };
    while let Some(end) = find(rest) {
        let (before, after) = rest.split_at(end);
        let value = after.trim_start_matches([' ', '\t', ':']);
        out.push_str(before);
        out.push_str(":\"[REDACTED]\"");
        rest = after_value(value);
    }
    out + rest
}

/// What is behind a value: a string, or anything up to a comma or the end of
/// an object.
fn after_value(text: &str) -> &str {
    let mut is_string = false;
    let mut is_escaped = false;
    for (at, letter) in text.char_indices() {
        match letter {
            '"' if !is_escaped && is_string => return &text[at + 1..],
            '"' if !is_escaped => is_string = true,
            ',' | '}' if !is_string => return &text[at..],
            _ => {}
        }
        is_escaped = is_string && letter == '\\' && !is_escaped;
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_show() {
        for (said, shown) in [
            (
                r#"CONNECT {"user":"u","pass":"se\"c,r}et","name":"n"}"#,
                r#"CONNECT {"user":"u","pass":"[REDACTED]","name":"n"}"#,
            ),
            (
                r#"CONNECT {"auth_token" : "t" , "sig":"s","pass":17}"#,
                r#"CONNECT {"auth_token":"[REDACTED]" , "sig":"[REDACTED]","pass":"[REDACTED]"}"#,
            ),
            (
                r#"CONNECT {"pass":"cut o"#,
                r#"CONNECT {"pass":"[REDACTED]""#,
            ),
            (
                r#"CONNECT {"PASS":"x"}"#,
                r#"CONNECT {"PASS":"[REDACTED]"}"#,
            ),
            (r#"CONNECT {"p\u0061ss":"x"}"#, "CONNECT [REDACTED]"),
            ("CONNECT {}", "CONNECT {}"),
        ] {
            assert_eq!(without_secrets(said), shown);
        }
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
