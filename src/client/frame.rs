//! From a server's bytes to frames.
//!
//! The counterpart of the server's parser and much simpler: a server is
//! trusted to spell its verbs one way, but not to be a server at all, nor to
//! be modest.

use crate::Message;
use midge_proto::encode::CRLF;
use std::ops::Range;

/// The longest line: an INFO that names the servers of a large cluster has
/// some kilobytes.
pub(crate) const LINE_MAX: usize = 64 * 1024;

/// The longest message: a stored one has 64 MB at most, and base64 makes a
/// third more of it.
pub(crate) const PAYLOAD_MAX: usize = 128 * 1024 * 1024;

/// Words of a line that are looked at: as many as a message has.
const WORDS_MAX: usize = 6;

/// What a server says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// `INFO`; whether it asks for TLS.
    Info {
        wants_tls: bool,
    },
    Message(Message),
    Ping,
    Pong,
    Ok,
    /// `-ERR`, without its quotes.
    Error(String),
}

/// The first frame of the input and its length, or nothing while it is
/// unfinished.
pub(crate) fn parse(input: &[u8]) -> Result<Option<(Frame, usize)>, &'static str> {
    let window = input.get(..LINE_MAX).unwrap_or(input);
    let Some(end) = window.iter().position(|&byte| byte == b'\n') else {
        return if input.len() < LINE_MAX {
            Ok(None)
        } else {
            Err("a line without an end")
        };
    };
    let line = window.get(..end).unwrap_or_default();
    let (words, count) = split(line);
    let word = |place: usize| line.get(range(words, place)).unwrap_or_default();
    let used = end + 1;
    let has_header = word(0) == b"HMSG";
    let frame = match (word(0), count) {
        (b"PING", 1) => Frame::Ping,
        (b"PONG", 1) => Frame::Pong,
        (b"+OK", 1) => Frame::Ok,
        (b"INFO", _) => Frame::Info {
            wants_tls: contains(line, b"\"tls_required\":true"),
        },
        (b"-ERR", _) => Frame::Error(error_text(line)),
        (b"MSG", 4 | 5) | (b"HMSG", 5 | 6) => {
            let header_len = if has_header {
                size(word(count - 2))
            } else {
                Some(0)
            };
            let sizes = header_len.zip(size(word(count - 1)));
            let Some((header_len, len)) = sizes.filter(|(header, len)| header <= len) else {
                return Err("a message without a size");
            };
            if len > PAYLOAD_MAX {
                return Err("a message longer than any should be");
            }
            let end = used + len + CRLF.len();
            let Some(frame) = input.get(..end) else {
                return Ok(None);
            };
            if !frame.ends_with(CRLF) {
                return Err("a message longer than announced");
            }
            let has_reply = count == 5 + usize::from(has_header);
            let message = Message {
                frame: frame.to_vec(),
                subject: range(words, 1),
                reply: if has_reply { range(words, 3) } else { 0..0 },
                header: used..used + header_len,
                payload: used + header_len..used + len,
            };
            return Ok(Some((Frame::Message(message), end)));
        }
        _ => return Err("an unknown line"),
    };
    Ok(Some((frame, used)))
}

/// Where each word of a line begins and ends.
type Words = [(usize, usize); WORDS_MAX];

/// The first words of a line, and how many they are.
fn split(line: &[u8]) -> (Words, usize) {
    let mut words = Words::default();
    let (mut count, mut at) = (0usize, 0);
    let skip = |from: usize, blanks: bool| {
        let rest = line.get(from..).unwrap_or_default().iter();
        let is_skipped = |byte: &&u8| byte.is_ascii_whitespace() == blanks;
        from + rest.take_while(is_skipped).count()
    };
    while count <= WORDS_MAX {
        let start = skip(at, true);
        at = skip(start, false);
        if start == at {
            break;
        }
        if let Some(word) = words.get_mut(count) {
            *word = (start, at);
        }
        count += 1;
    }
    (words, count)
}

fn range(words: Words, place: usize) -> Range<usize> {
    words.get(place).map_or(0..0, |&(start, end)| start..end)
}

/// What stands behind `-ERR`, without its quotes.
fn error_text(line: &[u8]) -> String {
    let text = line.trim_ascii();
    let text = text.get(b"-ERR".len()..).unwrap_or_default().trim_ascii();
    let text = text.strip_prefix(b"'").unwrap_or(text);
    let text = text.strip_suffix(b"'").unwrap_or(text);
    String::from_utf8_lossy(text).into_owned()
}

fn size(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|part| part == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_read_and_its_end_waited_for() {
        for (text, want) in [
            ("PING\r\n", Frame::Ping),
            ("PONG\r\n", Frame::Pong),
            ("+OK\r\n", Frame::Ok),
            ("INFO {\"a\":1}\r\n", Frame::Info { wants_tls: false }),
            (
                "INFO {\"tls_required\":true}\r\n",
                Frame::Info { wants_tls: true },
            ),
            (
                "-ERR 'Stale Connection'\r\n",
                Frame::Error("Stale Connection".into()),
            ),
        ] {
            for cut in 0..text.len() {
                assert_eq!(parse(&text.as_bytes()[..cut]), Ok(None), "{}", &text[..cut]);
            }
            let more = format!("{text}PING\r\n");
            assert_eq!(
                parse(more.as_bytes()),
                Ok(Some((want, text.len()))),
                "{text}"
            );
        }
    }

    #[test]
    fn a_message_is_read_whole() {
        for (text, reply, header, payload) in [
            ("MSG a.b 1 2\r\n\r\n\r\n", "", "", "\r\n"),
            ("MSG a.b 1 r 2\r\nhi\r\n", "r", "", "hi"),
            ("HMSG\ta.b  1 3 5 \r\nHDRhi\r\n", "", "HDR", "hi"),
            ("HMSG a.b 1 r 3 3\r\nHDR\r\n", "r", "HDR", ""),
            ("MSG a.b 1 0\n\r\n", "", "", ""),
        ] {
            for cut in 0..text.len() {
                assert_eq!(parse(&text.as_bytes()[..cut]), Ok(None), "{}", &text[..cut]);
            }
            let more = format!("{text}PING\r\n");
            let Ok(Some((Frame::Message(message), used))) = parse(more.as_bytes()) else {
                panic!("{text:?} is not read");
            };
            assert_eq!(used, text.len(), "{text:?}");
            assert_eq!(message.subject(), b"a.b", "{text:?}");
            assert_eq!(message.reply(), reply.as_bytes(), "{text:?}");
            assert_eq!(message.headers().as_bytes(), header.as_bytes(), "{text:?}");
            assert_eq!(message.payload(), payload.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn what_no_server_says_is_an_error() {
        let long = "x".repeat(LINE_MAX);
        for text in [
            "HTTP/1.1 400 Bad Request\r\n",
            "\r\n",
            "MSG\r\n",
            "MSG a 1\r\n",
            "MSG a 1 r x\r\n",
            "MSG a 1 r s 1\r\n",
            "MSG a 1 1\r\nab\r\n",
            "MSG a 1 -1\r\n",
            "HMSG a 1 5\r\n",
            "HMSG a 1 5 3\r\nabc\r\n",
            "HMSG a 1 r q 1 2\r\nab\r\n",
            "MSG a 1 134217729\r\n",
            "MSG a 1 99999999999999999999\r\n",
            &long,
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
