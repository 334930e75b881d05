//! Schedules in the manner of crontab, with seconds: `0 30 8 * * mon-fri`.
//!
//! What is taken is what nats-server takes, whose readers come from the same
//! family: lists, ranges, steps, `?` for `*`, the first three letters of
//! months and days. Where the day of the month and that of the week are both
//! restricted, one of them is enough.

use super::zone::Zone;
use super::zone_rule::weekday;
use midge_proto::{civil_from_days, days_from_civil};

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// The known words, and what they stand for.
const WORDS: [(&str, &str); 7] = [
    ("@yearly", "0 0 0 1 1 *"),
    ("@annually", "0 0 0 1 1 *"),
    ("@monthly", "0 0 0 1 * *"),
    ("@weekly", "0 0 0 * * 0"),
    ("@daily", "0 0 0 * * *"),
    ("@midnight", "0 0 0 * * *"),
    ("@hourly", "0 0 * * * *"),
];

const DAY: i64 = 86_400;
const HOUR: i64 = 3600;

/// A date that does not come within so many years is one that does not exist.
const YEARS_MAX: i64 = 5;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cron {
    /// Bits of the numbers that are meant.
    seconds: u64,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// A day of the month or of the week is enough.
    is_either: bool,
}

impl Cron {
    pub(super) fn parse(text: &str) -> Option<Cron> {
        let known = WORDS.iter().find(|(word, _)| *word == text);
        let text = known.map_or(text, |(_, stands_for)| stands_for);
        let mut fields = text.split_whitespace();
        let mut field = |min: u32, max: u32, names: &[&str]| {
            let text = fields.next()?;
            read_field(text, min, max, names)
        };
        let seconds = field(0, 59, &[])?.0;
        let minutes = field(0, 59, &[])?.0;
        let hours = field(0, 23, &[])?.0;
        let (days, any_day) = field(1, 31, &[])?;
        let months = field(1, 12, &MONTHS)?.0;
        let (weekdays, any_weekday) = field(0, 6, &DAYS)?;
        let cron = Cron {
            seconds,
            minutes,
            hours,
            days,
            months,
            weekdays,
            is_either: !any_day && !any_weekday,
        };
        fields.next().is_none().then_some(cron)
    }

    /// The first time after `after`, both in seconds since 1970. `None` if none
    /// comes.
    pub(super) fn next(&self, after: i64, zone: &Zone) -> Option<i64> {
        let mut at = after + 1;
        let end = after + YEARS_MAX * 366 * DAY;
        while at < end {
            let local = at + zone.offset(at);
            let (days, second) = (local.div_euclid(DAY), local.rem_euclid(DAY));
            let (hour, minute) = (second / HOUR, second / 60 % 60);
            let (year, month, day) = civil_from_days(days);
            if !has(self.months, month) {
                at = begin_of(days_from_civil(year, month + 1, 1), at, zone);
            } else if !self.is_day(day, weekday(days)) {
                at = begin_of(days + 1, at, zone);
            } else if !has(self.hours, hour) {
                at += HOUR - second % HOUR;
            } else if !has(self.minutes, minute) {
                at += 60 - second % 60;
            } else if !has(self.seconds, second % 60) {
                at += 1;
            } else {
                return Some(at);
            }
        }
        None
    }

    fn is_day(&self, day: i64, weekday: i64) -> bool {
        let (is_day, is_weekday) = (has(self.days, day), has(self.weekdays, weekday));
        match self.is_either {
            true => is_day || is_weekday,
            false => is_day && is_weekday,
        }
    }
}

fn has(bits: u64, number: i64) -> bool {
    bits >> number & 1 != 0
}

/// When a day begins by a zone's clock, which is after `at`.
fn begin_of(day: i64, at: i64, zone: &Zone) -> i64 {
    let midnight = day * DAY;
    let guess = midnight - zone.offset(at);
    let begin = midnight - zone.offset(guess);
    // Where the clock is changed at midnight that may not exist.
    if begin > at { begin } else { at + HOUR }
}

/// The numbers that a field means, as bits, and whether it leaves open which.
fn read_field(text: &str, min: u32, max: u32, names: &[&str]) -> Option<(u64, bool)> {
    let (mut bits, mut is_open) = (0, false);
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<u32>().ok()?)),
            None => (part, None),
        };
        let (low, high) = match range.split_once('-') {
            Some((low, high)) => (low, Some(high)),
            None => (range, None),
        };
        let (from, mut to);
        if matches!(low, "*" | "?") {
            (from, to) = (min, max);
            is_open |= step.is_none_or(|step| step <= 1);
        } else {
            from = read_number(low, names)?;
            to = high.map_or(Some(from), |high| read_number(high, names))?;
        }
        if high.is_none() && step.is_some() {
            to = max;
        }
        let step = step.unwrap_or(1);
        if from < min || to > max || from > to || step == 0 {
            return None;
        }
        let mut number = from;
        while number <= to {
            bits |= 1 << number;
            number = number.checked_add(step)?;
        }
    }
    Some((bits, is_open))
}

fn read_number(text: &str, names: &[&str]) -> Option<u32> {
    let named = names
        .iter()
        .position(|name| name.eq_ignore_ascii_case(text));
    match named {
        // Months count from 1, days from 0.
        Some(place) => u32::try_from(place + usize::from(names.len() == MONTHS.len())).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use midge_api::Timestamp;

    fn times(text: &str, after: &str, zone: &Zone, count: usize) -> Vec<String> {
        let cron = Cron::parse(text).unwrap_or_else(|| panic!("{text}"));
        let mut at = Timestamp::parse(after).expect("a time").0 / 1_000_000_000;
        let mut times = Vec::new();
        while times.len() < count
            && let Some(next) = cron.next(at, zone)
        {
            times.push(Timestamp(next * 1_000_000_000).to_string());
            at = next;
        }
        times
    }

    #[test]
    fn what_nats_server_takes_is_taken() {
        for good in [
            "@hourly",
            "@daily",
            "@midnight",
            "@weekly",
            "@monthly",
            "@yearly",
            "@annually",
            "0 0 0 1 1 *",
            "*/5 * * * * *",
            "0/5 * * * * *",
            "1-5/2 * * * * *",
            "0 0 0 1 JAN-Mar SUN,tue",
            "? ? ? ? ? ?",
            "0 0 0 29 2 *",
            "1, * * * * *",
            ",1 * * * * *",
            "*/100 * * * * *",
            "1/100 * * * * *",
            "*-5 * * * * *",
            " 0  0 0\t1 1 * ",
            "00 000 0 1 1 *",
            "+1 * * * * *",
            "0 0 0 * * mon-fri",
            "0 0 0 * 1-12/3 *",
        ] {
            assert!(Cron::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "@reboot",
            "@HOURLY",
            "@hourly ",
            "0 0 * * *",
            "5-1 * * * * *",
            "60 * * * * *",
            "0 60 * * * *",
            "0 0 24 * * *",
            "0 0 0 0 * *",
            "0 0 0 32 * *",
            "0 0 0 1 13 *",
            "0 0 0 1 0 *",
            "0 0 0 1 1 7",
            "0 0 0 1 january *",
            "0 0 0 L * *",
            "*/0 * * * * *",
            "1-*/2 * * * * *",
            "0 0 0 1 1 * 2030",
            "1-2-3 * * * * *",
            "1/2/3 * * * * *",
            "mon * * * * *",
            "0 0 0 mon * *",
            "0 0 0 * mon *",
            "0 0 0 * * jan",
            "0 0 0 * * fri-mon",
            "TZ=UTC 0 0 0 1 1 *",
            "-1 * * * * *",
        ] {
            assert!(Cron::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn times_come_in_their_order() {
        let utc = Zone::default();
        for (text, after, want) in [
            (
                "*/20 * * * * *",
                "2026-11-23T03:20:15Z",
                [
                    "2026-11-23T03:20:20Z",
                    "2026-11-23T03:20:40Z",
                    "2026-11-23T03:21:00Z",
                ],
            ),
            (
                "0 30 8 * * mon-fri",
                "2026-11-26T08:30:00Z",
                [
                    "2026-11-27T08:30:00Z",
                    "2026-11-30T08:30:00Z",
                    "2026-12-01T08:30:00Z",
                ],
            ),
            (
                "@monthly",
                "2026-11-01T00:00:00Z",
                [
                    "2026-12-01T00:00:00Z",
                    "2027-01-01T00:00:00Z",
                    "2027-02-01T00:00:00Z",
                ],
            ),
            (
                "0 0 0 31 * *",
                "2026-11-01T00:00:00Z",
                [
                    "2026-12-31T00:00:00Z",
                    "2027-01-31T00:00:00Z",
                    "2027-03-31T00:00:00Z",
                ],
            ),
            // The 13th, and each Friday.
            (
                "0 0 0 13 * fri",
                "2026-11-12T00:00:00Z",
                [
                    "2026-11-13T00:00:00Z",
                    "2026-11-20T00:00:00Z",
                    "2026-11-27T00:00:00Z",
                ],
            ),
            (
                "59 59 23 * * *",
                "2027-12-30T23:59:59Z",
                [
                    "2027-12-31T23:59:59Z",
                    "2028-01-01T23:59:59Z",
                    "2028-01-02T23:59:59Z",
                ],
            ),
        ] {
            assert_eq!(times(text, after, &utc, 3), want, "{text}");
        }
        assert_eq!(
            times("0 0 0 29 2 *", "2026-01-01T00:00:00Z", &utc, 1),
            ["2028-02-29T00:00:00Z"]
        );
        for never in ["0 0 0 31 2 *", "0 0 0 30 feb *", ", * * * * *"] {
            assert!(
                times(never, "2026-01-01T00:00:00Z", &utc, 1).is_empty(),
                "{never}"
            );
        }
    }

    #[test]
    fn clocks_that_are_changed_skip_an_hour_or_have_it_twice() {
        // Without changes that are listed: what holds is the rule.
        let mut file = b"TZif2".to_vec();
        file.resize(44, 0);
        file[39] = 1;
        file.extend_from_slice(&[0; 6]);
        let mut again = file.clone();
        file.append(&mut again);
        file.extend_from_slice(b"\nCET-1CEST,M3.5.0,M10.5.0/3\n");
        let zone = Zone::parse(&file).expect("it is whole");
        let half_past_two = times("0 30 2 * * *", "2031-03-28T12:00:00Z", &zone, 2);
        assert_eq!(
            half_past_two,
            ["2031-03-29T01:30:00Z", "2031-03-31T00:30:00Z"]
        );
        let half_past_two = times("0 30 2 * * *", "2031-10-25T12:00:00Z", &zone, 3);
        assert_eq!(
            half_past_two,
            [
                "2031-10-26T00:30:00Z",
                "2031-10-26T01:30:00Z",
                "2031-10-27T01:30:00Z"
            ]
        );
        let midnight = times("@daily", "2031-03-29T12:00:00Z", &zone, 3);
        assert_eq!(
            midnight,
            [
                "2031-03-29T23:00:00Z",
                "2031-03-30T22:00:00Z",
                "2031-03-31T22:00:00Z"
            ]
        );
    }
}
