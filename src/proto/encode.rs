//! From facts to the server's bytes.
//!
//! Everything appends to a `Vec<u8>` that the caller owns and reuses. The
//! message encoders reserve once and then only copy: they run once per
//! delivery.

use crate::WireError;
use std::io::Write;

/// `PING`.
pub const PING: &[u8] = b"PING\r\n";
/// `PONG`.
pub const PONG: &[u8] = b"PONG\r\n";
/// `+OK`.
pub const OK: &[u8] = b"+OK\r\n";
/// What ends a line and a payload.
pub const CRLF: &[u8] = b"\r\n";

/// The first line of a `MSG` or `HMSG`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageLine<'a> {
    /// The subject that was published to.
    pub subject: &'a [u8],
    /// The receiving subscription.
    pub sid: &'a [u8],
    /// Where answers go.
    pub reply: Option<&'a [u8]>,
    /// The length of the header block, for `HMSG`.
    pub header_digits: Option<&'a [u8]>,
    /// The length of header block and body.
    pub size_digits: &'a [u8],
}

impl MessageLine<'_> {
    /// An upper bound of the encoded length.
    #[inline]
    pub fn len_max(&self) -> usize {
        const VERB_BLANKS_AND_END: usize = b"HMSG ".len() + 4 + CRLF.len();
        VERB_BLANKS_AND_END
            + self.subject.len()
            + self.sid.len()
            + self.reply.map_or(0, <[u8]>::len)
            + self.header_digits.map_or(0, <[u8]>::len)
            + self.size_digits.len()
    }

    /// Appends the line.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.header_digits.is_some() {
            b"HMSG "
        } else {
            b"MSG "
        });
        out.extend_from_slice(self.subject);
        out.push(b' ');
        out.extend_from_slice(self.sid);
        out.push(b' ');
        if let Some(reply) = self.reply {
            out.extend_from_slice(reply);
            out.push(b' ');
        }
        if let Some(digits) = self.header_digits {
            out.extend_from_slice(digits);
            out.push(b' ');
        }
        out.extend_from_slice(self.size_digits);
        out.extend_from_slice(CRLF);
    }
}

/// Appends `-ERR '<text>'`.
pub fn error(out: &mut Vec<u8>, error: WireError<'_>) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "-ERR '{error}'\r\n");
}

/// Appends `INFO <json>`.
pub fn info(out: &mut Vec<u8>, json: &[u8]) {
    out.extend_from_slice(b"INFO ");
    out.extend_from_slice(json);
    out.extend_from_slice(CRLF);
}

/// Appends the status message that tells a requester nobody listens.
pub fn no_responders(out: &mut Vec<u8>, reply: &[u8], sid: &[u8], subject: &[u8]) {
    const STATUS: &[u8] = b"NATS/1.0 503\r\nNats-Subject: ";
    const END: &[u8] = b"\r\n\r\n";
    let size = Decimal::new(STATUS.len() + subject.len() + END.len());
    MessageLine {
        subject: reply,
        sid,
        reply: None,
        header_digits: Some(size.as_bytes()),
        size_digits: size.as_bytes(),
    }
    .encode(out);
    for part in [STATUS, subject, END, CRLF] {
        out.extend_from_slice(part);
    }
}

/// A number as decimal digits, without allocating.
#[derive(Debug, Clone, Copy)]
pub struct Decimal {
    digits: [u8; 20],
    start: usize,
}

impl Decimal {
    /// The digits of `value`, without leading zeros.
    pub fn new(value: usize) -> Self {
        let mut digits = [0; 20];
        let mut start = digits.len();
        let mut rest = value;
        loop {
            start -= 1;
            digits[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                return Decimal { digits, start };
            }
        }
    }

    /// The digits.
    pub fn as_bytes(&self) -> &[u8] {
        &self.digits[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_503_counts_its_own_header() {
        let mut out = Vec::new();
        no_responders(&mut out, b"r", b"7", b"nobody");
        let want = b"HMSG r 7 38 38\r\nNATS/1.0 503\r\nNats-Subject: nobody\r\n\r\n\r\n";
        assert_eq!(out, want, "{}", String::from_utf8_lossy(&out));
    }

    #[test]
    fn decimals_have_no_leading_zeros() {
        for (value, want) in [(0, "0"), (7, "7"), (10, "10"), (usize::MAX, "18446744073709551615")] {
            assert_eq!(Decimal::new(value).as_bytes(), want.as_bytes());
        }
    }
}
