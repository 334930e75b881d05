//! How long ago something was, and how long something lasts.

use midge_api::Timestamp;
use std::fmt::Write;
use std::time::{Duration, SystemTime};

/// Digits of a second that people are shown.
const DIGITS: usize = 3;

/// Appends to a time how long ago it was: `2026-11-22T17:15:29.25Z, 3m ago`.
/// What is no time stays as it is.
pub(crate) fn with_age(time: &mut String) {
    push_age(time, now().0);
}

/// What time it is.
pub(crate) fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp(now.map_or(0, |since| since.as_nanos() as i64))
}

/// What time it was so long ago.
pub(crate) fn ago(span: Duration) -> Timestamp {
    let span = i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
    Timestamp(now().0.saturating_sub(span))
}

fn push_age(time: &mut String, now: i64) {
    if let Some(then) = Timestamp::parse(time).and_then(Timestamp::get) {
        let age = now.saturating_sub(then.0).max(0) as u64;
        if let Some(point) = time.find('.')
            && let Some(end) = time.rfind('Z')
        {
            time.replace_range((point + 1 + DIGITS).min(end)..end, "");
        }
        time.push_str(", ");
        push_span(time, age / 1_000_000);
        time.push_str(" ago");
    }
}

/// What time it will be so long from now, to the second.
pub(crate) fn hence(span: Duration) -> Timestamp {
    const SECOND: i64 = 1_000_000_000;
    let span = i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
    let then = now().0.saturating_add(span).saturating_add(SECOND - 1);
    Timestamp(then - then % SECOND)
}

/// Appends a span of milliseconds in its largest unit: 250ms, 3m, 5d.
pub(crate) fn push_span(out: &mut String, millis: u64) {
    let (size, unit) = match millis {
        0..1_000 => (1, "ms"),
        1_000..60_000 => (1_000, "s"),
        60_000..3_600_000 => (60_000, "m"),
        3_600_000..86_400_000 => (3_600_000, "h"),
        _ => (86_400_000, "d"),
    };
    // Writing to a string cannot fail.
    let _ = write!(out, "{}{unit}", millis / size);
}

/// Appends a span of nanoseconds with all its units: 1m30s, 250ms, 7d.
pub(crate) fn push_exact(out: &mut String, nanos: u64) {
    const UNITS: [(u64, &str); 7] = [
        (86_400_000_000_000, "d"),
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
        (1, "ns"),
    ];
    let mut left = nanos;
    for (size, unit) in UNITS {
        if left >= size {
            let _ = write!(out, "{}{unit}", left / size);
            left %= size;
        }
    }
    if nanos == 0 {
        out.push_str("0s");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_one_unit() {
        for (millis, want) in [
            (0, "0ms"),
            (999, "999ms"),
            (1000, "1s"),
            (59_999, "59s"),
            (60_000, "1m"),
            (3_599_999, "59m"),
            (3_600_000, "1h"),
            (86_400_000, "1d"),
            (400 * 86_400_000, "400d"),
        ] {
            let mut out = String::new();
            push_span(&mut out, millis);
            assert_eq!(out, want);
        }
    }

    #[test]
    fn a_setting_has_all_its_units() {
        for (nanos, want) in [
            (0, "0s"),
            (1, "1ns"),
            (250_000_000, "250ms"),
            (90_000_000_000, "1m30s"),
            (7 * 86_400_000_000_000, "7d"),
            (86_400_000_000_001, "1d1ns"),
        ] {
            let mut out = String::new();
            push_exact(&mut out, nanos);
            assert_eq!(out, want);
        }
    }

    #[test]
    fn a_time_is_shown_with_its_age() {
        let now = 1_577_836_800_500_000_000 + 180_000_000_000;
        let show = |time: &str| {
            let mut time = time.to_owned();
            push_age(&mut time, now);
            time
        };
        let time = "2020-01-01T00:00:00.5Z";
        assert_eq!(show(time), format!("{time}, 3m ago"));
        assert_eq!(
            show("2020-01-01T00:00:00.123456789Z"),
            "2020-01-01T00:00:00.123Z, 3m ago"
        );
        // A clock that is behind sees no future.
        let time = "2021-01-01T00:00:00Z";
        assert_eq!(show(time), format!("{time}, 0ms ago"));
        assert_eq!(show("-"), "-");
    }
}
