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
    if let Some(reply) = reply {
        out.extend_from_slice(reply);
        out.push(b' ');
    }
    if let Some(digits) = header_digits {
        out.extend_from_slice(digits);
        out.push(b' ');
    }
    out.extend_from_slice(size_digits);
    out.extend_from_slice(CRLF);
    out.extend_from_slice(payload);
    out.extend_from_slice(CRLF);
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
    digits: [u8; DIGITS_ROOM],
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
        let mut digits = [0; DIGITS_ROOM];
        let start = digits_before(&mut digits, DIGITS_ROOM, value);
        Decimal { digits, start }
    }

    /// The digits.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.digits[self.start..]
    }
}

/// The bytes that [`digits_before`] needs: digits are written by eights.
pub const DIGITS_ROOM: usize = 24;

/// Writes the digits of a number, without leading zeros, so that they end
/// before `end`, and returns where they begin. What is further before them, up
/// to [`DIGITS_ROOM`] from the end, may be anything then.
///
/// # Panics
/// If there is less room than that.
#[inline]
pub fn digits_before(bytes: &mut [u8], end: usize, value: u64) -> usize {
    const MODULUS: u64 = 100_000_000;
    let mut put = |end: usize, digits: u64| {
        let text = digits | u64::from_le_bytes([b'0'; 8]);
        bytes[end - 8..end].copy_from_slice(&text.to_le_bytes());
    };
    let (mut rest, mut end) = (value, end);
    while rest >= MODULUS {
        put(end, eight_digits(rest % MODULUS));
        rest /= MODULUS;
        end -= 8;
    }
    let digits = eight_digits(rest);
    put(end, digits);
    // Of a zero the last digit stays.
    end - 8 + (digits.trailing_zeros() as usize / 8).min(7)
}

/// The eight digits of a number, the first in the lowest byte: takes it apart
/// into two numbers of four, these into four of two, and those into digits,
/// all at once.
#[inline]
fn eight_digits(value: u64) -> u64 {
    let fours = (value / 10_000) | ((value % 10_000) << 32);
    // Divides by 100, and then by 10, what is smaller than the square of that.
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = hundreds | ((fours - 100 * hundreds) << 16);
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((twos - 10 * tens) << 8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn decimals_are_as_others_write_them(value: u64, shift in 0..64u32) {
            for value in [value >> shift, 10u64.pow(shift % 20), 10u64.pow(shift % 20) - 1] {
                let decimal = Decimal::from_u64(value);
                prop_assert_eq!(std::str::from_utf8(decimal.as_bytes()), Ok(&*value.to_string()));
            }
        }
    }
}
