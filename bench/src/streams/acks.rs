//! Counting acknowledgements of stored messages, and refusing everything
//! else. They come in the order of the messages, so a count is all they are.

use std::io;

use crate::streams::scan::{find, unexpected};
use crate::wire::Dialect;

/// What a line from the server means to somebody who stores.
#[derive(Debug, PartialEq)]
enum Line {
    Acknowledgement,
    /// Part of one, or of no matter.
    Nothing,
    Wrong,
}

/// The account of one connection.
pub(crate) struct Acks {
    dialect: Dialect,
    /// How a NATS acknowledgement begins.
    stored: Vec<u8>,
    /// What has come of a line that is not whole.
    partial: Vec<u8>,
    counted: u64,
}

impl Acks {
    /// Nothing acknowledged yet by that stream.
    pub(crate) fn new(dialect: Dialect, stream: &str) -> Self {
        Acks {
            dialect,
            stored: format!("{{\"stream\":\"{stream}\",\"seq\":").into_bytes(),
            partial: Vec::new(),
            counted: 0,
        }
    }

    /// How many messages have been acknowledged.
    pub(crate) fn counted(&self) -> u64 {
        self.counted
    }

    /// Accounts for the bytes of one read.
    pub(crate) fn take(&mut self, read: &[u8]) -> io::Result<()> {
        let mut rest = read;
        if !self.partial.is_empty() {
            let Some(end) = find(b'\n', rest) else {
                self.partial.extend_from_slice(rest);
                return Ok(());
            };
            self.partial.extend_from_slice(&rest[..=end]);
            let line = std::mem::take(&mut self.partial);
            self.line(&line[..line.len() - 1])?;
            rest = &rest[end + 1..];
        }
        while let Some(end) = find(b'\n', rest) {
            self.line(&rest[..end])?;
            rest = &rest[end + 1..];
        }
        self.partial.extend_from_slice(rest);
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match self.meaning(line) {
            Line::Acknowledgement => self.counted += 1,
            Line::Nothing => {}
            Line::Wrong => return Err(unexpected(line)),
        }
        Ok(())
    }

    fn meaning(&self, line: &[u8]) -> Line {
        let (acknowledgement, nothing) = match self.dialect {
            Dialect::Nats => (
                line.starts_with(&self.stored) && !line.ends_with(b"true}"),
                line.starts_with(b"MSG ") || line == b"PING",
            ),
            // The length of an id, and the id.
            Dialect::Resp => (
                line.first().is_some_and(u8::is_ascii_digit),
                line.starts_with(b"$") && line != b"$-1",
            ),
            Dialect::Beanstalk => (line.starts_with(b"INSERTED "), false),
            Dialect::Raw => (false, false),
        };
        match (acknowledgement, nothing) {
            (true, _) => Line::Acknowledgement,
            (false, true) => Line::Nothing,
            (false, false) => Line::Wrong,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(dialect: Dialect, text: &str) -> Vec<Option<u64>> {
        let sizes = 1..=text.len();
        sizes
            .map(|size| {
                let mut acks = Acks::new(dialect, "BENCH");
                for piece in text.as_bytes().chunks(size) {
                    acks.take(piece).ok()?;
                }
                Some(acks.counted())
            })
            .collect()
    }

    #[test]
    fn acknowledgements_are_counted_however_they_are_cut() {
        let nats = "MSG _INBOX.a 1 27\r\n{\"stream\":\"BENCH\",\"seq\":1}\r\nPING\r\n";
        for (dialect, text) in [
            (Dialect::Nats, nats),
            (Dialect::Resp, "$3\r\n1-0\r\n"),
            (Dialect::Beanstalk, "INSERTED 1\r\n"),
        ] {
            let counts = counted(dialect, &text.repeat(2));
            assert!(counts.iter().all(|count| *count == Some(2)), "{counts:?}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for (dialect, text) in [
            (
                Dialect::Nats,
                "{\"error\":{\"code\":503},\"stream\":\"BENCH\",\"seq\":0}\r\n",
            ),
            (
                Dialect::Nats,
                "{\"stream\":\"BENCH\",\"seq\":1,\"duplicate\": true}\r\n",
            ),
            (Dialect::Nats, "HMSG _INBOX.a 1 16 16\r\n"),
            (Dialect::Nats, "-ERR 'x'\r\n"),
            (Dialect::Resp, "-ERR x\r\n"),
            (Dialect::Beanstalk, "OUT_OF_MEMORY\r\n"),
        ] {
            let counts = counted(dialect, text);
            assert!(counts.iter().all(Option::is_none), "{text}");
        }
    }
}
