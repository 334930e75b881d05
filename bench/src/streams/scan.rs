//! Finding the frames in what a NATS server sends. Bodies are stepped over by
//! their length; of a line only its end and the ends of its words are sought,
//! so that the generator stays far cheaper than the server.

use std::io;

use crate::connection::Connection;

/// What is read at once, and so the least that a buffer holds.
const READ: usize = 256 * 1024;

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Where the byte first occurs: eight bytes a step.
pub(crate) fn find(byte: u8, bytes: &[u8]) -> Option<usize> {
    let pattern = LOW * u64::from(byte);
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        // A byte that is now zero is one that was sought. Its borrow may mark
        // bytes after it, never before.
        let word = u64::from_le_bytes(*word) ^ pattern;
        let marks = word.wrapping_sub(LOW) & !word & HIGH;
        if marks != 0 {
            return Some(index * 8 + marks.trailing_zeros() as usize / 8);
        }
    }
    let at = rest.iter().position(|other| *other == byte)?;
    Some(words.len() * 8 + at)
}

/// One thing that the server said.
#[derive(Debug, PartialEq)]
pub(crate) enum Frame<'a> {
    /// A message, or a status, which is a header and no more.
    Message {
        /// The subject.
        subject: &'a [u8],
        /// The subject for an answer, empty for none.
        reply: &'a [u8],
        /// The id of the subscription.
        sid: &'a [u8],
        /// The header block, empty for none.
        header: &'a [u8],
        /// The body.
        body: &'a [u8],
    },
    /// The server wants to see us alive.
    Ping,
    /// The answer to our PING.
    Pong,
}

/// What has been read and not yet been looked at.
pub(crate) struct Inbound {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Inbound {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Inbound {
            buffer: vec![0; 2 * READ],
            start: 0,
            end: 0,
        }
    }

    /// Reads once.
    pub(crate) fn fill(&mut self, connection: &Connection) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.buffer.len() - self.end < READ {
            self.buffer.resize(self.buffer.len() + READ, 0);
        }
        let count = connection.receive(&mut self.buffer[self.end..])?;
        if count == 0 {
            return Err(io::Error::other("the server closed the connection"));
        }
        self.end += count;
        Ok(())
    }

    /// What is there.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Has looked at the first `count` bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
    }

    /// The next frame, if it is whole.
    pub(crate) fn next(&mut self) -> io::Result<Option<Frame<'_>>> {
        let Some((line, length)) = line_of(&self.buffer[self.start..self.end]) else {
            return Ok(None);
        };
        let head = Head::parse(line).ok_or_else(|| unexpected(line))?;
        let whole = match head {
            Head::Message { total, .. } => length + total + 2,
            Head::Ping | Head::Pong => length,
        };
        if self.end - self.start < whole {
            return Ok(None);
        }
        let frame = &self.buffer[self.start..self.start + whole];
        self.start += whole;
        Ok(Some(head.frame(&frame[length..])))
    }
}

/// A line without its end, and its length with it.
pub(crate) fn line_of(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = find(b'\n', bytes)?;
    Some((
        bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]),
        end + 1,
    ))
}

/// The error for something that should not have been said.
pub(crate) fn unexpected(line: &[u8]) -> io::Error {
    let text = line[..line.len().min(200)].escape_ascii();
    io::Error::other(format!("the server says \"{text}\""))
}

/// The first line of a frame.
enum Head<'a> {
    Message {
        subject: &'a [u8],
        sid: &'a [u8],
        reply: &'a [u8],
        /// Bytes of header, and of header and body.
        header: usize,
        total: usize,
    },
    Ping,
    Pong,
}

impl<'a> Head<'a> {
    fn parse(line: &'a [u8]) -> Option<Head<'a>> {
        let (words, with_header) = match line {
            b"PING" => return Some(Head::Ping),
            b"PONG" => return Some(Head::Pong),
            _ => match line.strip_prefix(b"MSG ") {
                Some(words) => (words, false),
                None => (line.strip_prefix(b"HMSG ")?, true),
            },
        };
        let (subject, words) = first_word(words)?;
        let (sid, words) = first_word(words)?;
        let (words, total) = last_number(words)?;
        let (words, header) = match with_header {
            true => last_number(words)?,
            false => (words, 0),
        };
        (header <= total).then_some(Head::Message {
            subject,
            sid,
            reply: words,
            header,
            total,
        })
    }

    /// The frame whose bytes after the line these are.
    fn frame(self, rest: &'a [u8]) -> Frame<'a> {
        match self {
            Head::Message {
                subject,
                sid,
                reply,
                header,
                total,
            } => Frame::Message {
                subject,
                reply,
                sid,
                header: &rest[..header],
                body: &rest[header..total],
            },
            Head::Ping => Frame::Ping,
            Head::Pong => Frame::Pong,
        }
    }
}

fn first_word(words: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = find(b' ', words)?;
    Some((&words[..end], &words[end + 1..]))
}

/// Splits the number at the end off the words before it.
fn last_number(words: &[u8]) -> Option<(&[u8], usize)> {
    let start = words.iter().rposition(|byte| *byte == b' ');
    let digits = &words[start.map_or(0, |start| start + 1)..];
    Some((&words[..start.unwrap_or(0)], number(digits)?))
}

/// The number which the digits are, if they are.
pub(crate) fn number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0usize, |sum, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        sum.checked_mul(10)?.checked_add(usize::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbound(text: &[u8]) -> Inbound {
        let mut inbound = Inbound::new();
        inbound.buffer[..text.len()].copy_from_slice(text);
        inbound.end = text.len();
        inbound
    }

    #[test]
    fn the_first_is_found_wherever_it_is() {
        for length in 0..40 {
            for at in 0..length {
                let mut bytes = vec![b'\t'; length];
                assert_eq!(find(b'\n', &bytes), None);
                bytes[at..].fill(b'\n');
                assert_eq!(find(b'\n', &bytes), Some(at), "{length}");
            }
        }
    }

    #[test]
    fn frames_are_cut_out() {
        let text = b"PING\r\nMSG a.b 7 r.s 2\r\nhi\r\nHMSG a 7 12 14\r\nNATS/1.0\r\n\r\nyo\r\nMSG a 7 0\r\n\r\n";
        let mut inbound = inbound(text);
        assert_eq!(inbound.next().unwrap(), Some(Frame::Ping));
        let message = |subject, reply, header, body| {
            Some(Frame::Message {
                subject,
                reply,
                sid: b"7",
                header,
                body,
            })
        };
        let plain = message(b"a.b", b"r.s", b"", b"hi");
        assert_eq!(inbound.next().unwrap(), plain);
        let with_header = message(b"a", b"", b"NATS/1.0\r\n\r\n", b"yo");
        assert_eq!(inbound.next().unwrap(), with_header);
        assert_eq!(inbound.next().unwrap(), message(b"a", b"", b"", b""));
        assert_eq!(inbound.next().unwrap(), None);
    }

    #[test]
    fn what_is_not_whole_waits() {
        let text = b"MSG a.b 7 2\r\nhi\r\n";
        for length in 0..text.len() {
            let mut inbound = inbound(&text[..length]);
            assert_eq!(inbound.next().unwrap(), None, "{length}");
            assert_eq!(inbound.bytes().len(), length);
        }
    }

    #[test]
    fn errors_are_errors() {
        for text in ["-ERR 'x'\r\n", "MSG a\r\n", "HMSG a 1 9 2\r\n"] {
            assert!(inbound(text.as_bytes()).next().is_err(), "{text}");
        }
    }
}
