//! From a server's bytes to frames.
//!
//! The counterpart of the server's parser and much simpler: a server is
//! trusted to spell its verbs one way, but not to be a server at all, nor to
//! be modest.

use memchr::memchr;
use midge_proto::encode::CRLF;

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
pub(crate) enum Frame<'a> {
    /// `INFO`, its JSON.
    Info(&'a [u8]),
    Message(Delivery<'a>),
    Ping,
    Pong,
    Ok,
    /// `-ERR`, without its quotes.
    Error(&'a [u8]),
}

/// A message for a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delivery<'a> {
    pub(crate) sid: u64,
    pub(crate) subject: &'a [u8],
    /// Empty if it asks for nothing.
    pub(crate) reply: &'a [u8],
    pub(crate) header: &'a [u8],
    pub(crate) payload: &'a [u8],
}

/// The first frame of the input and its length, or nothing while it is
/// unfinished.
pub(crate) fn parse(input: &[u8]) -> Result<Option<(Frame<'_>, usize)>, &'static str> {
    let window = input.get(..LINE_MAX).unwrap_or(input);
    let Some(end) = memchr(b'\n', window) else {
        return if input.len() < LINE_MAX {
            Ok(None)
        } else {
            Err("a line without an end")
        };
    };
    let line = window.get(..end).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let used = end + 1;
    if let Some(words) = line.strip_prefix(b"MSG") {
        return message(input, used, words, false);
    }
    if let Some(words) = line.strip_prefix(b"HMSG") {
        return message(input, used, words, true);
    }
    let line = line.trim_ascii();
    let frame = match line {
        b"PING" => Frame::Ping,
        b"PONG" => Frame::Pong,
        b"+OK" => Frame::Ok,
        _ => match line.split_at_checked(5) {
            Some((b"INFO ", json)) => Frame::Info(json),
            Some((b"-ERR ", words)) => Frame::Error(unquoted(words)),
            _ => return Err("an unknown line"),
        },
    };
    Ok(Some((frame, used)))
}

/// A message, of whose line the words behind its verb are given.
fn message<'a>(
    input: &'a [u8],
    used: usize,
    words: &'a [u8],
    has_header: bool,
) -> Result<Option<(Frame<'a>, usize)>, &'static str> {
    const ODD: &str = "a message without a size";
    let (words, count) = split(words);
    let word = |place: usize| words.get(place).copied().unwrap_or_default();
    let sizes = 1 + usize::from(has_header);
    let has_reply = match count.checked_sub(2 + sizes) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(ODD),
    };
    let sid = number(word(1)).ok_or("a message for no subscription")?;
    let length = number(word(count - 1)).ok_or(ODD)?;
    let header_len = match has_header {
        true => number(word(count - 2)).ok_or(ODD)?,
        false => 0,
    };
    if header_len > length {
        return Err(ODD);
    }
    if length > PAYLOAD_MAX as u64 {
        return Err("a message longer than any should be");
    }
    let end = used + length as usize;
    let Some(rest) = input.get(end..end + CRLF.len()) else {
        return Ok(None);
    };
    if rest != CRLF {
        return Err("a message longer than announced");
    }
    let split_at = used + header_len as usize;
    let delivery = Delivery {
        sid,
        subject: word(0),
        reply: if has_reply { word(2) } else { b"" },
        header: input.get(used..split_at).unwrap_or_default(),
        payload: input.get(split_at..end).unwrap_or_default(),
    };
    Ok(Some((Frame::Message(delivery), end + CRLF.len())))
}

/// The words of a line, and how many they are; one too many says enough.
fn split(line: &[u8]) -> ([&[u8]; WORDS_MAX], usize) {
    let mut words = [&b""[..]; WORDS_MAX];
    let mut count = 0;
    let mut rest = line;
    while count < WORDS_MAX {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            break;
        }
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let end = rest.iter().position(is_blank).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if let Some(place) = words.get_mut(count) {
            *place = word;
        }
        count += 1;
        rest = after;
    }
    (words, count)
}

fn unquoted(words: &[u8]) -> &[u8] {
    let words = words.trim_ascii();
    let words = words.strip_prefix(b"'").unwrap_or(words);
    words.strip_suffix(b"'").unwrap_or(words)
}

/// More digits than a size or a number has that anybody counts to.
const DIGITS_MAX: usize = 19;

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > DIGITS_MAX {
        return None;
    }
    digits.iter().try_fold(0, |number: u64, digit| {
        let digit = digit.wrapping_sub(b'0');
        (digit < 10).then(|| number * 10 + u64::from(digit))
    })
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
            ("INFO {\"a\":1}\r\n", Frame::Info(b"{\"a\":1}")),
            (
                "-ERR 'Stale Connection'\r\n",
                Frame::Error(b"Stale Connection"),
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
            assert_eq!(message.subject, b"a.b", "{text:?}");
            assert_eq!(message.reply, reply.as_bytes(), "{text:?}");
            assert_eq!(message.header, header.as_bytes(), "{text:?}");
            assert_eq!(message.payload, payload.as_bytes(), "{text:?}");
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
            "MSG a x 1\r\nb\r\n",
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
