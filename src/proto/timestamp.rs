//! Points in time and spans of time, as the API spells them.
//!
//! Both are counts of nanoseconds. A point in time travels as RFC 3339 text,
//! a span as a bare number; errors and statuses show a span as Go prints it.
//! Nobody here asks what time it is.

use crate::JsonWriter;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nanoseconds since the start of 1970, UTC.
///
/// Reaches from 1677 to 2262. What lies beyond becomes the nearest end, and
/// Go's zero time, the year 1, is read and written as [`Timestamp::UNSET`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// A span of time in nanoseconds. Zero often stands for "not set".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Nanos(pub i64);

const SECOND: i64 = 1_000_000_000;
const DAY_SECONDS: i64 = 86_400;

impl Timestamp {
    /// No time at all: `0001-01-01T00:00:00Z`, Go's zero time.
    pub const UNSET: Timestamp = Timestamp(i64::MIN);

    /// Whether this is a time.
    pub fn is_set(self) -> bool {
        self != Timestamp::UNSET
    }

    /// The time, or nothing for [`Timestamp::UNSET`].
    pub fn get(self) -> Option<Timestamp> {
        self.is_set().then_some(self)
    }

    /// This much later; stays within what can be told.
    #[must_use]
    pub fn after(self, span: Nanos) -> Timestamp {
        Timestamp(self.0.saturating_add(span.0))
    }

    /// How long from `earlier` to this.
    pub fn since(self, earlier: Timestamp) -> Nanos {
        Nanos(self.0.saturating_sub(earlier.0))
    }

    /// Reads RFC 3339: any offset, any number of fraction digits of which
    /// nine count. Nothing if this is no such time.
    pub fn parse(text: &str) -> Option<Timestamp> {
        let mut rest = Digits(text.as_bytes());
        let year = rest.number(4)?;
        rest.byte(b"-")?;
        let month = rest.number(2)?;
        rest.byte(b"-")?;
        let day = rest.number(2)?;
        rest.byte(b"T")?;
        let hour = rest.number(2)?;
        rest.byte(b":")?;
        let minute = rest.number(2)?;
        rest.byte(b":")?;
        let second = rest.number(2)?;
        let fraction = rest.fraction()?;
        let offset = rest.offset()?;
        let valid = (1..=12).contains(&month)
            && (1..=days_of(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60
            && rest.0.is_empty();
        if !valid {
            return None;
        }
        let seconds =
            days_from_civil(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second
                - offset;
        if seconds == YEAR_ONE && fraction == 0 {
            return Some(Timestamp::UNSET);
        }
        let nanos = i128::from(seconds) * i128::from(SECOND) + i128::from(fraction);
        // The lowest number is taken by "unset".
        let nanos = nanos.clamp(i128::from(i64::MIN) + 1, i128::from(i64::MAX));
        i64::try_from(nanos).ok().map(Timestamp)
    }

    /// Appends it as a JSON string.
    pub fn write_json(self, json: &mut JsonWriter) {
        json.display(&self);
    }
}

/// The start of the year 1, in seconds.
const YEAR_ONE: i64 = -62_135_596_800;

impl Default for Timestamp {
    fn default() -> Self {
        Timestamp::UNSET
    }
}

/// RFC 3339 with as many fraction digits as it takes, as Go prints it.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_set() {
            return f.write_str("0001-01-01T00:00:00Z");
        }
        let seconds = self.0.div_euclid(SECOND);
        let (year, month, day) = civil_from_days(seconds.div_euclid(DAY_SECONDS));
        let clock = seconds.rem_euclid(DAY_SECONDS);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
            clock / 3600,
            clock / 60 % 60,
            clock % 60
        )?;
        let mut fraction = self.0.rem_euclid(SECOND);
        if fraction != 0 {
            let mut width = 9;
            while fraction % 10 == 0 {
                fraction /= 10;
                width -= 1;
            }
            write!(f, ".{fraction:0width$}")?;
        }
        f.write_str("Z")
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Timestamp {
        match time.duration_since(UNIX_EPOCH) {
            Ok(span) => Timestamp(Nanos::from(span).0),
            Err(before) => Timestamp(Nanos::from(before.duration()).0.saturating_neg()),
        }
    }
}

impl From<Timestamp> for SystemTime {
    /// [`Timestamp::UNSET`] becomes the earliest time that can be told.
    fn from(time: Timestamp) -> SystemTime {
        let span = Duration::from_nanos(time.0.unsigned_abs());
        let found = if time.0 < 0 {
            UNIX_EPOCH.checked_sub(span)
        } else {
            UNIX_EPOCH.checked_add(span)
        };
        found.unwrap_or(UNIX_EPOCH)
    }
}

impl From<Duration> for Nanos {
    /// 292 years at most.
    fn from(span: Duration) -> Nanos {
        Nanos(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX))
    }
}

impl From<Nanos> for Duration {
    /// Less than nothing becomes nothing.
    fn from(span: Nanos) -> Duration {
        Duration::from_nanos(span.0.max(0).unsigned_abs())
    }
}

impl JsonWriter {
    /// A key with a time.
    pub fn time_field(&mut self, key: &str, value: Timestamp) {
        self.key(key);
        value.write_json(self);
    }
}

impl Nanos {
    /// Nothing, which in a configuration means "not set".
    pub const ZERO: Nanos = Nanos(0);

    /// So many milliseconds.
    pub const fn from_millis(count: i64) -> Nanos {
        Nanos(count.saturating_mul(1_000_000))
    }

    /// So many seconds.
    pub const fn from_secs(count: i64) -> Nanos {
        Nanos(count.saturating_mul(SECOND))
    }

    /// Reads a duration as Go does: `1h2m3.5s`, `500ms`, `-1.5h`, `0`.
    /// Nothing if this is no such text, or too long a span.
    pub fn parse(text: &str) -> Option<Nanos> {
        let (negative, text) = match text.as_bytes() {
            [b'-', ..] => (true, &text[1..]),
            [b'+', ..] => (false, &text[1..]),
            _ => (false, text),
        };
        if text == "0" {
            return Some(Nanos::ZERO);
        }
        let mut rest = text;
        let mut total: i64 = 0;
        if rest.is_empty() {
            return None;
        }
        while !rest.is_empty() {
            let unit_at = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let (number, tail) = rest.split_at(unit_at);
            let unit_end = tail
                .find(|c: char| c.is_ascii_digit() || c == '.')
                .unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(unit_end);
            total = total.checked_add(scaled(number, unit_nanos(unit)?)?)?;
            rest = tail;
        }
        Some(Nanos(if negative { -total } else { total }))
    }

    /// Whether this is zero.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }
}

fn unit_nanos(unit: &str) -> Option<i64> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => SECOND,
        "m" => 60 * SECOND,
        "h" => 3600 * SECOND,
        _ => return None,
    })
}

/// A number with or without a fraction, times `unit`.
fn scaled(number: &str, unit: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: i64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let mut total = i128::from(whole) * i128::from(unit);
    let mut place = i128::from(unit) * 1_000_000_000;
    let mut part = 0;
    for digit in fraction.bytes().take(18) {
        place /= 10;
        part += i128::from(digit - b'0') * place;
    }
    total += part / 1_000_000_000;
    i64::try_from(total).ok()
}

/// As Go prints a duration: `1h2m3.5s`, `1m30s`, `1.5ms`, `0s`.
impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let second = SECOND as u64;
        match total {
            0 => return f.write_str("0s"),
            1..1_000 => return write!(f, "{total}ns"),
            1_000..1_000_000 => return decimal(f, total, 1_000, "µs"),
            1_000_000..1_000_000_000 => return decimal(f, total, 1_000_000, "ms"),
            _ => {}
        }
        let minutes = total / second / 60;
        if minutes >= 60 {
            write!(f, "{}h", minutes / 60)?;
        }
        if minutes > 0 {
            write!(f, "{}m", minutes % 60)?;
        }
        decimal(f, total % (60 * second), second, "s")
    }
}

/// Writes `value / unit` with the fraction digits it takes.
fn decimal(f: &mut fmt::Formatter<'_>, value: u64, unit: u64, suffix: &str) -> fmt::Result {
    write!(f, "{}", value / unit)?;
    let (mut fraction, mut place) = (value % unit, unit);
    if fraction != 0 {
        f.write_str(".")?;
    }
    while fraction != 0 {
        place /= 10;
        write!(f, "{}", fraction / place)?;
        fraction %= place;
    }
    f.write_str(suffix)
}

/// Text that is read from the front.
struct Digits<'a>(&'a [u8]);

impl Digits<'_> {
    /// Takes one byte, which has to be among `allowed`.
    fn byte(&mut self, allowed: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        allowed.contains(first).then(|| {
            self.0 = rest;
            *first
        })
    }

    /// Takes a number of exactly this many digits.
    fn number(&mut self, digits: usize) -> Option<i64> {
        let mut value = 0;
        for _ in 0..digits {
            value = value * 10 + i64::from(self.byte(b"0123456789")? - b'0');
        }
        Some(value)
    }

    /// Takes `.5` and the like, if there is one, as nanoseconds.
    fn fraction(&mut self) -> Option<i64> {
        if self.byte(b".,").is_none() {
            return Some(0);
        }
        let mut place = SECOND;
        let mut value = 0;
        let mut count = 0;
        while let Some(digit) = self.byte(b"0123456789") {
            place /= 10;
            value += i64::from(digit - b'0') * place;
            count += 1;
        }
        (count > 0).then_some(value)
    }

    /// Takes `Z` or `+01:00`, as seconds east.
    fn offset(&mut self) -> Option<i64> {
        let sign = match self.byte(b"Z+-")? {
            b'Z' => return Some(0),
            b'-' => -1,
            _ => 1,
        };
        let hours = self.number(2)?;
        self.byte(b":")?;
        let minutes = self.number(2)?;
        (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
    }
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

// Years are counted from March, so that the leap day is the last one, and in
// eras of 400 years, all of which have the same number of days.
const ERA_DAYS: i64 = 146_097;
/// From the first of March of the year 0 to the start of 1970.
const EPOCH_SHIFT: i64 = 719_468;

/// The days from the start of 1970 to a date, month and day from 1.
pub fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * ERA_DAYS + day_of_era - EPOCH_SHIFT
}

/// The date so many days after the start of 1970: year, month and day.
pub fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + EPOCH_SHIFT;
    let era = days.div_euclid(ERA_DAYS);
    let day_of_era = days.rem_euclid(ERA_DAYS);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = (shifted_month + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_and_print_as_go_does() {
        for (text, nanos) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-22T06:15:29.888404536Z", 1_795_328_129_888_404_536),
            ("2020-01-01T00:00:00.5Z", 1_577_836_800_500_000_000),
            ("2024-02-29T23:59:59Z", 1_709_251_199_000_000_000),
            ("1969-12-31T23:59:59.999999999Z", -1),
        ] {
            assert_eq!(Timestamp::parse(text), Some(Timestamp(nanos)), "{text}");
            assert_eq!(Timestamp(nanos).to_string(), text);
        }
    }

    #[test]
    fn offsets_and_long_fractions_are_read() {
        let half = Some(Timestamp(1_577_836_800_500_000_000));
        for text in [
            "2020-01-01T01:00:00.5+01:00",
            "2019-12-31T18:30:00.500-05:30",
            "2020-01-01T00:00:00.5000000009Z",
        ] {
            assert_eq!(Timestamp::parse(text), half, "{text}");
        }
        for text in [
            "",
            "x",
            "2020-01-01",
            "2020-13-01T00:00:00Z",
            "2021-02-29T00:00:00Z",
            "2020-01-01T24:00:00Z",
            "2020-01-01T00:00:00",
            "2020-01-01T00:00:00.Z",
            "2020-01-01T00:00:00Zx",
            "2020-01-01T00:00:00+1:00",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_zero_time_is_unset() {
        assert_eq!(
            Timestamp::parse("0001-01-01T00:00:00Z"),
            Some(Timestamp::UNSET)
        );
        assert_eq!(Timestamp::UNSET.to_string(), "0001-01-01T00:00:00Z");
        assert_eq!(Timestamp::UNSET.get(), None);
        let far = Timestamp::parse("9999-01-01T00:00:00Z");
        assert_eq!(far, Some(Timestamp(i64::MAX)));
        assert_eq!(
            Timestamp::parse("0002-01-01T00:00:00Z"),
            Some(Timestamp(i64::MIN + 1))
        );
    }

    #[test]
    fn the_standard_librarys_times_go_there_and_back() {
        for nanos in [0, 1, -1, 1_795_328_129_888_404_536, i64::MAX] {
            let time = SystemTime::from(Timestamp(nanos));
            assert_eq!(Timestamp::from(time), Timestamp(nanos));
        }
        assert_eq!(Nanos::from(Duration::from_millis(3)), Nanos::from_millis(3));
        assert_eq!(Nanos::from(Duration::MAX), Nanos(i64::MAX));
        assert_eq!(Duration::from(Nanos(-1)), Duration::ZERO);
    }

    #[test]
    fn spans_print_as_go_does() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (100_000_000, "100ms"),
            (1_500_000_000, "1.5s"),
            (2_000_000_000, "2s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
            (3_723_004_000_000, "1h2m3.004s"),
            (-2_000_000_000, "-2s"),
        ] {
            assert_eq!(Nanos(nanos).to_string(), text);
            assert_eq!(Nanos::parse(text), Some(Nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn spans_are_read_as_go_does() {
        for (text, nanos) in [
            ("0", 0),
            (".5s", 500_000_000),
            ("1.h", 3_600_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("+1us", 1_000),
        ] {
            assert_eq!(Nanos::parse(text), Some(Nanos(nanos)), "{text}");
        }
        for text in [
            "", "-", "1", "s", ".s", "1.2.3s", "1 s", "1d", "1s ", "9999999h",
        ] {
            assert_eq!(Nanos::parse(text), None, "{text}");
        }
    }
}
