//! The rule by which a zone's clock goes on to be changed, as POSIX spells it
//! in `TZ`: `CET-1CEST,M3.5.0,M10.5.0/3`.

use midge_proto::{civil_from_days, days_from_civil};

const DAY: i64 = 86_400;
const HOUR: i64 = 3600;

/// When clocks change where nothing else is said: at two in the morning.
const USUAL_TIME: i64 = 2 * HOUR;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// Seconds ahead of UTC.
    standard: i64,
    summer: Option<Summer>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Summer {
    offset: i64,
    begin: Change,
    end: Change,
}

/// A point in each year.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    day: Day,
    /// Seconds after the day's begin, by the clock that goes then.
    time: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Day {
    /// From 1, leap days not counted.
    Julian(i64),
    /// From 0.
    OfYear(i64),
    /// Of a month, in a week of it (5 is the last), a day from Sunday.
    OfWeek { month: i64, week: i64, day: i64 },
}

impl Rule {
    pub(super) fn parse(text: &[u8]) -> Option<Rule> {
        let mut rest = Text(text);
        rest.name()?;
        let standard = -rest.span(24)?;
        if rest.0.is_empty() {
            return Some(Rule {
                standard,
                summer: None,
            });
        }
        rest.name()?;
        let offset = match rest.0.first() {
            Some(b',') => standard + HOUR,
            _ => -rest.span(24)?,
        };
        let begin = rest.change()?;
        let end = rest.change()?;
        let summer = Some(Summer { offset, begin, end });
        rest.0.is_empty().then_some(Rule { standard, summer })
    }

    /// How many seconds the clock is ahead of UTC at a time, in seconds since
    /// 1970.
    pub(super) fn offset(&self, at: i64) -> i64 {
        let Some(summer) = &self.summer else {
            return self.standard;
        };
        let (year, _, _) = civil_from_days((at + self.standard).div_euclid(DAY));
        let begin = summer.begin.of(year) - self.standard;
        let end = summer.end.of(year) - summer.offset;
        let is_summer = if begin < end {
            (begin..end).contains(&at)
        } else {
            !(end..begin).contains(&at)
        };
        if is_summer {
            summer.offset
        } else {
            self.standard
        }
    }
}

impl Change {
    /// When it is in a year, in seconds of the clock that goes then.
    fn of(&self, year: i64) -> i64 {
        let new_year = days_from_civil(year, 1, 1);
        let day = match self.day {
            Day::Julian(day) => {
                let leap_day = days_from_civil(year, 3, 1) - new_year - 59;
                new_year + day - 1 + if day > 59 { leap_day } else { 0 }
            }
            Day::OfYear(day) => new_year + day,
            Day::OfWeek { month, week, day } => {
                let first = days_from_civil(year, month, 1);
                let next_month = days_from_civil(year, month + 1, 1);
                let mut found = first + (day - weekday(first)).rem_euclid(7) + (week - 1) * 7;
                while found >= next_month {
                    found -= 7;
                }
                found
            }
        };
        day * DAY + self.time
    }
}

/// The day of the week, from Sunday, of a day since 1970.
pub(super) fn weekday(days: i64) -> i64 {
    (days + 4).rem_euclid(7)
}

struct Text<'a>(&'a [u8]);

impl Text<'_> {
    fn take(&mut self, wanted: u8) -> bool {
        let rest = self.0.strip_prefix(&[wanted]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// What a clock is called then, which nobody asks.
    fn name(&mut self) -> Option<()> {
        let is_quoted = self.take(b'<');
        let is_part = |byte: &u8| match is_quoted {
            true => *byte != b'>',
            false => byte.is_ascii_alphabetic(),
        };
        let len = self.0.iter().take_while(|byte| is_part(byte)).count();
        self.0 = self.0.get(len..)?;
        (len > 0 && (!is_quoted || self.take(b'>'))).then_some(())
    }

    fn number(&mut self, max: i64) -> Option<i64> {
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit());
        let (number, rest) = self.0.split_at(digits.count());
        self.0 = rest;
        let number: i64 = std::str::from_utf8(number).ok()?.parse().ok()?;
        (number <= max).then_some(number)
    }

    /// `[+-]hh[:mm[:ss]]`, in seconds.
    fn span(&mut self, hours_max: i64) -> Option<i64> {
        let sign = if self.take(b'-') { -1 } else { 1 };
        if sign > 0 {
            self.take(b'+');
        }
        let mut span = self.number(hours_max)? * HOUR;
        for unit in [60, 1] {
            if !self.take(b':') {
                break;
            }
            span += self.number(59)? * unit;
        }
        Some(sign * span)
    }

    fn change(&mut self) -> Option<Change> {
        if !self.take(b',') {
            return None;
        }
        let day = if self.take(b'M') {
            let month = self.number(12)?;
            let week = self.take(b'.').then(|| self.number(5))??;
            let day = self.take(b'.').then(|| self.number(6))??;
            if month == 0 || week == 0 {
                return None;
            }
            Day::OfWeek { month, week, day }
        } else if self.take(b'J') {
            Day::Julian(self.number(365)?.max(1))
        } else {
            Day::OfYear(self.number(365)?)
        };
        let time = if self.take(b'/') {
            self.span(167)?
        } else {
            USUAL_TIME
        };
        Some(Change { day, time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use midge_api::Timestamp;

    fn offset(rule: &str, at: &str) -> i64 {
        let at = Timestamp::parse(at).expect("a time").0 / 1_000_000_000;
        Rule::parse(rule.as_bytes()).expect("a rule").offset(at)
    }

    #[test]
    fn clocks_are_changed_when_they_are_to_be() {
        for (rule, at, want) in [
            ("UTC0", "2026-07-01T00:00:00Z", 0),
            ("IST-5:30", "2026-07-01T00:00:00Z", 19_800),
            ("<-0330>3:30", "2026-07-01T00:00:00Z", -12_600),
            ("EST5EDT,M3.2.0,M11.1.0", "2026-03-08T06:59:59Z", -18_000),
            ("EST5EDT,M3.2.0,M11.1.0", "2026-03-08T07:00:00Z", -14_400),
            ("EST5EDT,M3.2.0,M11.1.0", "2026-11-01T05:59:59Z", -14_400),
            ("EST5EDT,M3.2.0,M11.1.0", "2026-11-01T06:00:00Z", -18_000),
            // South of the equator summer goes over the new year.
            (
                "NZST-12NZDT,M9.5.0,M4.1.0/3",
                "2027-01-01T00:00:00Z",
                46_800,
            ),
            (
                "NZST-12NZDT,M9.5.0,M4.1.0/3",
                "2026-07-01T00:00:00Z",
                43_200,
            ),
            // Ireland's winter is the exception.
            ("IST-1GMT0,M10.5.0,M3.5.0/1", "2026-07-01T00:00:00Z", 3600),
            ("IST-1GMT0,M10.5.0,M3.5.0/1", "2026-12-01T00:00:00Z", 0),
            ("A3B,J60/0,J61/0", "2028-03-01T03:00:00Z", -7200),
            ("A3B,59/0,60/0", "2028-02-29T03:00:00Z", -7200),
            (
                "<-02>2<-01>,M3.5.0/-1,M10.5.0/0",
                "2026-03-29T00:59:59Z",
                -7200,
            ),
            (
                "<-02>2<-01>,M3.5.0/-1,M10.5.0/0",
                "2026-03-29T01:00:00Z",
                -3600,
            ),
        ] {
            assert_eq!(offset(rule, at), want, "{rule} {at}");
        }
    }

    #[test]
    fn what_is_no_rule_is_none() {
        for text in [
            "",
            "CET",
            "<CET-1",
            "CET-25",
            "CET-1CEST",
            "CET-1CEST,M3.5.0",
            "CET-1CEST,M13.1.0,M1.1.0",
            "CET-1CEST,M3.5,M1.1.0",
            "CET-1CEST,M3.5.0,M10.5.0x",
        ] {
            assert_eq!(Rule::parse(text.as_bytes()), None, "{text}");
        }
    }
}
