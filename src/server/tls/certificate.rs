//! As much of a certificate as has to be known beside what rustls checks: when
//! it ends, and its key.
//!
//! A certificate is DER: things within things, each with a tag and a length.
//! What is read here has passed rustls, or is our own.

use rustls::pki_types::CertificateDer;

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const LONG_TIME: u8 = 0x18;

/// What there is to know.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Certificate<'a> {
    /// When it ends, in seconds since 1970.
    pub(crate) not_after: Option<i64>,
    /// The public key with what kind it is, as pinning hashes it.
    pub(crate) public_key: &'a [u8],
}

/// Takes the thing at the front: its tag, what is in it, and all of it.
fn take<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8], &'a [u8])> {
    let whole = *rest;
    let (tag, first) = (*whole.first()?, *whole.get(1)?);
    let (length, head) = match first {
        0..=0x7f => (usize::from(first), 2),
        0x81..=0x84 => {
            let count = usize::from(first & 0x7f);
            let digits = whole.get(2..2 + count)?;
            let length = digits
                .iter()
                .fold(0, |sum, digit| sum << 8 | usize::from(*digit));
            (length, 2 + count)
        }
        _ => return None,
    };
    let end = head.checked_add(length)?;
    let inside = whole.get(head..end)?;
    *rest = whole.get(end..)?;
    Some((tag, inside, whole.get(..end)?))
}

fn take_tagged<'a>(rest: &mut &'a [u8], wanted: u8) -> Option<&'a [u8]> {
    take(rest)
        .filter(|(tag, ..)| *tag == wanted)
        .map(|(_, inside, _)| inside)
}

impl<'a> Certificate<'a> {
    /// Reads one; `None` if it is none.
    pub(crate) fn read(der: &'a CertificateDer<'_>) -> Option<Certificate<'a>> {
        let mut rest: &[u8] = der;
        let mut outside = take_tagged(&mut rest, SEQUENCE)?;
        let mut body = take_tagged(&mut outside, SEQUENCE)?;
        let (tag, ..) = take(&mut body)?;
        // The version may be left out.
        if tag == 0xa0 {
            take(&mut body)?;
        }
        let _algorithm = take_tagged(&mut body, SEQUENCE)?;
        let _issuer = take_tagged(&mut body, SEQUENCE)?;
        let mut validity = take_tagged(&mut body, SEQUENCE)?;
        take(&mut validity)?;
        let (kind, time, _) = take(&mut validity)?;
        let _subject = take_tagged(&mut body, SEQUENCE)?;
        let (_, _, public_key) = take(&mut body)?;
        Some(Certificate {
            not_after: read_time(kind, time),
            public_key,
        })
    }
}

/// `YYMMDDhhmmssZ`, or with a year of four digits.
fn read_time(kind: u8, text: &[u8]) -> Option<i64> {
    let digits = text.strip_suffix(b"Z")?;
    let mut numbers = digits.chunks(2).map(two_digits);
    let mut next = || numbers.next().flatten();
    let year = match kind {
        UTC_TIME => match next()? {
            year @ 0..50 => 2000 + year,
            year => 1900 + year,
        },
        LONG_TIME => next()? * 100 + next()?,
        _ => return None,
    };
    let (month, day) = (next()?, next()?);
    let (hour, minute, second) = (next()?, next()?, next()?);
    Some(days(year, month, day)? * 86_400 + hour * 3600 + minute * 60 + second)
}

fn two_digits(pair: &[u8]) -> Option<i64> {
    std::str::from_utf8(pair).ok()?.parse().ok()
}

/// Days from 1970 to a date.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // A year begins in March here, so that the leap day is its last.
    let (year, month) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let in_year = (153 * month + 2) / 5 + day - 1;
    Some(year * 365 + leap_days + in_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_both_forms() {
        for (kind, text, wanted) in [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "361120000607Z", Some(2_110_752_367)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (LONG_TIME, "20500101000000Z", Some(2_524_608_000)),
            (LONG_TIME, "20000229120000Z", Some(951_825_600)),
            (UTC_TIME, "701301000000Z", None),
            (UTC_TIME, "70010100000", None),
            (0, "700101000000Z", None),
        ] {
            assert_eq!(read_time(kind, text.as_bytes()), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_cut_off_is_no_certificate() {
        for bytes in [
            &[][..],
            &[0x30],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[0x30, 2, 0x30],
        ] {
            let der = CertificateDer::from(bytes);
            assert_eq!(Certificate::read(&der), None);
        }
    }
}
