//! How long ago something was.

use midge_proto::api::Timestamp;
use std::fmt::Write;
use std::time::SystemTime;

/// Appends to a time how long ago it was: `2026-11-22T17:15:29Z, 3m ago`.
/// What is no time stays as it is.
pub(crate) fn with_age(time: &mut String) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    push_age(time, now.map_or(0, |since| since.as_nanos() as i64));
}

fn push_age(time: &mut String, now: i64) {
    if let Some(then) = Timestamp::parse(time).and_then(Timestamp::get) {
        let age = now.saturating_sub(then.0).max(0) as u64;
        time.push_str(", ");
        push_span(time, age / 1_000_000);
        time.push_str(" ago");
    }
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
    fn a_time_is_shown_with_its_age() {
        let now = 1_577_836_800_500_000_000 + 180_000_000_000;
        let show = |time: &str| {
            let mut time = time.to_owned();
            push_age(&mut time, now);
            time
        };
        let time = "2020-01-01T00:00:00.5Z";
        assert_eq!(show(time), format!("{time}, 3m ago"));
        // A clock that is behind sees no future.
        let time = "2021-01-01T00:00:00Z";
        assert_eq!(show(time), format!("{time}, 0ms ago"));
        assert_eq!(show("-"), "-");
    }
}
