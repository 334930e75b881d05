//! From facts to the server's bytes.
//!
//! Everything appends to a `Vec<u8>` that the caller owns and reuses. A
//! message is made of a start, which differs by receiver, and a tail, which
//! is the same for all of them.

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

/// The longest that [`message_start`] appends beside subject and sid.
pub const MESSAGE_START_MAX: usize = b"HMSG ".len() + 2;

/// Appends the start of a `MSG` or `HMSG`: verb, subject and subscription,
/// each with its blank. What follows is a [tail](message_tail).
#[inline]
pub fn message_start(out: &mut Vec<u8>, has_header: bool, subject: &[u8], sid: &[u8]) {
    // One each, since what is copied in a known length needs no call.
    if has_header {
        out.extend_from_slice(b"HMSG ");
    } else {
        out.extend_from_slice(b"MSG ");
    }
    out.extend_from_slice(subject);
    out.push(b' ');
    out.extend_from_slice(sid);
    out.push(b' ');
}

/// Appends the rest of a `MSG` or `HMSG`: where answers go, the sizes, header
/// block and body.
pub fn message_tail(
    out: &mut Vec<u8>,
    reply: Option<&[u8]>,
    header_digits: Option<&[u8]>,
    size_digits: &[u8],
    payload: &[u8],
) {
    for word in [reply, header_digits].into_iter().flatten() {
        out.extend_from_slice(word);
        out.push(b' ');
    }
    for part in [size_digits, CRLF, payload, CRLF] {
        out.extend_from_slice(part);
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
    message_start(out, true, reply, sid);
    for part in [
        size.as_bytes(),
        b" ",
        size.as_bytes(),
        CRLF,
        STATUS,
        subject,
        END,
        CRLF,
    ] {
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
    #[inline]
    pub fn new(value: usize) -> Self {
        // No machine has wider addresses.
        Decimal::from_u64(value as u64)
    }

    /// The digits of `value`, without leading zeros.
    pub fn from_u64(value: u64) -> Self {
        let mut digits = [0; 20];
        let mut start = digits.len();
        let mut rest = value;
        // Two at a time: a division takes long, and each message has some.
        while rest >= 10 {
            start -= 2;
            let pair = (rest % 100) as u8;
            digits[start] = b'0' + pair / 10;
            digits[start + 1] = b'0' + pair % 10;
            rest /= 100;
        }
        if rest > 0 || value == 0 {
            start -= 1;
            digits[start] = b'0' + rest as u8;
        }
        Decimal { digits, start }
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
        for (value, want) in [
            (0, "0"),
            (7, "7"),
            (10, "10"),
            (usize::MAX, "18446744073709551615"),
        ] {
            assert_eq!(Decimal::new(value).as_bytes(), want.as_bytes());
        }
    }
}
