//! As much of a certificate as has to be known beside what rustls checks: when
//! it ends, its key, and whose it is.
//!
//! A certificate is DER: things within things, each with a tag and a length.
//! What is read here has passed rustls, or is our own.

use rustls::pki_types::CertificateDer;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const OCTETS: u8 = 0x04;
const UTC_TIME: u8 = 0x17;
const LONG_TIME: u8 = 0x18;
/// The extensions, in the body of a certificate.
const EXTENSIONS: u8 = 0xa3;

/// The extension that has the other names of whom it is of.
const OTHER_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
/// Their kinds, in the order in which they count.
const EMAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const URI: u8 = 0x86;

/// What the parts of a name are called in RFC 2253, and their numbers.
const ATTRIBUTES: [(&[u8], &str); 10] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 5], "SERIALNUMBER"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 9], "STREET"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x55, 4, 17], "POSTALCODE"),
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25],
        "DC",
    ),
];

/// What there is to know.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Certificate<'a> {
    /// When it ends, in seconds since 1970.
    pub(crate) not_after: Option<i64>,
    /// The public key with what kind it is, as pinning hashes it.
    pub(crate) public_key: &'a [u8],
    subject: &'a [u8],
    other_names: &'a [u8],
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
        let subject = take_tagged(&mut body, SEQUENCE)?;
        let (_, _, public_key) = take(&mut body)?;
        let mut certificate = Certificate {
            not_after: read_time(kind, time),
            public_key,
            subject,
            other_names: &[],
        };
        while let Some((tag, inside, _)) = take(&mut body) {
            if tag == EXTENSIONS {
                certificate.other_names = other_names(inside).unwrap_or_default();
            }
        }
        Some(certificate)
    }

    /// Whom it is of, the name that counts most first: mail addresses, names
    /// of hosts, URIs, and the subject as RFC 2253 writes it.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for wanted in [EMAIL, DNS, URI] {
            let mut rest = self.other_names;
            while let Some((kind, name, _)) = take(&mut rest) {
                if kind == wanted {
                    names.push(String::from_utf8_lossy(name).into_owned());
                }
            }
        }
        names.extend(self.subject_name());
        names
    }

    /// The last part first, as RFC 2253 has it.
    fn subject_name(&self) -> Option<String> {
        let mut parts = Vec::new();
        let mut rest = self.subject;
        while !rest.is_empty() {
            let mut set = take_tagged(&mut rest, SET)?;
            let mut together = Vec::new();
            while !set.is_empty() {
                let mut pair = take_tagged(&mut set, SEQUENCE)?;
                let number = take_tagged(&mut pair, OID)?;
                let (_, value, _) = take(&mut pair)?;
                let known = ATTRIBUTES.iter().find(|(known, _)| *known == number);
                // What has no name in RFC 2253 has no place in one either.
                let (_, name) = known?;
                together.push(format!("{name}={}", escaped(value)));
            }
            parts.push(together.join("+"));
        }
        parts.reverse();
        Some(parts.join(",")).filter(|name| !name.is_empty())
    }
}

/// The list of other names, out of the extensions.
fn other_names(mut rest: &[u8]) -> Option<&[u8]> {
    let mut extensions = take_tagged(&mut rest, SEQUENCE)?;
    while let Some((SEQUENCE, mut extension, _)) = take(&mut extensions) {
        if take_tagged(&mut extension, OID)? != OTHER_NAMES {
            continue;
        }
        // Whether it is critical may stand in between.
        while let Some((tag, mut inside, _)) = take(&mut extension) {
            if tag == OCTETS {
                return take_tagged(&mut inside, SEQUENCE);
            }
        }
    }
    None
}

fn escaped(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let last = text.chars().count().saturating_sub(1);
    let mut out = String::new();
    for (at, char) in text.chars().enumerate() {
        let is_special = match char {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => true,
            ' ' => at == 0 || at == last,
            '#' => at == 0,
            _ => false,
        };
        if is_special {
            out.push('\\');
        }
        out.push(char);
    }
    out
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
