//! When a message is to be published again, as its header `Nats-Schedule`
//! says: once, after each span of time, or in the manner of crontab.

use super::cron::Cron;
use super::zone::{Zone, Zones};
use midge_api::{ApiError, Nanos, Timestamp};

const SECOND: i64 = 1_000_000_000;

#[derive(Debug)]
pub(super) enum Schedule<'a> {
    At(Timestamp),
    Every(Nanos),
    Cron { cron: Cron, zone: &'a Zone },
}

impl<'a> Schedule<'a> {
    /// Reads a pattern, and the name of the zone if one is given.
    ///
    /// # Errors
    /// 10223 for a zone that is not known here, 10189 for what is no pattern,
    /// or none that has a zone.
    pub(super) fn read(
        pattern: &[u8],
        zone: Option<&[u8]>,
        zones: &'a Zones,
    ) -> Result<Schedule<'a>, ApiError> {
        let name = zone.map_or(Ok("UTC"), std::str::from_utf8);
        let found = name.ok().and_then(|name| zones.get(name));
        let found = found.ok_or(ApiError::MESSAGE_SCHEDULES_TIME_ZONE_INVALID)?;
        let schedule = std::str::from_utf8(pattern).ok().and_then(|pattern| {
            if let Some(at) = pattern.strip_prefix("@at ") {
                return Timestamp::parse(at).map(Schedule::At);
            }
            if let Some(span) = pattern.strip_prefix("@every ") {
                let span = Nanos::parse(span).filter(|span| span.0 >= SECOND)?;
                return Some(Schedule::Every(span));
            }
            let cron = Cron::parse(pattern)?;
            Some(Schedule::Cron { cron, zone: found })
        });
        match schedule {
            Some(Schedule::At(_) | Schedule::Every(_)) if zone.is_some() => None,
            other => other,
        }
        .ok_or(ApiError::MESSAGE_SCHEDULES_PATTERN_INVALID)
    }

    /// When the message is first to be published that was stored at `time`.
    /// `None` if that time never comes.
    pub(super) fn first(&self, time: Timestamp) -> Option<Timestamp> {
        match self {
            Schedule::At(at) => Some(*at),
            _ => self.next(time, time),
        }
    }

    /// When it is to be published the next time, after it was for the time
    /// `due`. What was missed is not made up for.
    pub(super) fn next(&self, due: Timestamp, now: Timestamp) -> Option<Timestamp> {
        match self {
            Schedule::At(_) => None,
            Schedule::Every(span) => {
                let next = rounded(due).after(*span);
                Some(if next < now {
                    rounded(now).after(*span)
                } else {
                    next
                })
            }
            Schedule::Cron { cron, zone } => {
                let next = cron.next(due.max(now).0.div_euclid(SECOND), zone)?;
                Some(Timestamp(next.saturating_mul(SECOND)))
            }
        }
    }

    /// A time as the clocks of its zone show it.
    pub(super) fn show(&self, time: Timestamp) -> String {
        let offset = match self {
            Schedule::Cron { zone, .. } => zone.offset(time.0.div_euclid(SECOND)),
            _ => 0,
        };
        let mut text = time.after(Nanos::from_secs(offset)).to_string();
        if offset != 0 {
            let sign = if offset < 0 { '-' } else { '+' };
            let minutes = offset.abs() / 60;
            text.pop();
            text += &format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60);
        }
        text
    }
}

/// To the nearest second.
fn rounded(time: Timestamp) -> Timestamp {
    let half = time.0.saturating_add(SECOND / 2);
    Timestamp(half.div_euclid(SECOND).saturating_mul(SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("a time")
    }

    fn first(pattern: &str, zone: Option<&str>) -> Result<String, u16> {
        let zones = Zones::new(Vec::new());
        let zone = zone.map(str::as_bytes);
        let schedule = Schedule::read(pattern.as_bytes(), zone, &zones);
        let schedule = schedule.map_err(|error| error.err_code)?;
        let first = schedule.first(time("2026-11-23T03:20:15.71Z"));
        Ok(first.map_or("never".to_owned(), |first| first.to_string()))
    }

    #[test]
    fn patterns_are_those_of_nats_server() {
        for (pattern, want) in [
            ("@at 2099-01-01T00:00:00Z", "2099-01-01T00:00:00Z"),
            ("@at 2099-01-01T00:00:00.5+02:00", "2098-12-31T22:00:00.5Z"),
            ("@at 2009-01-01T00:00:00Z", "2009-01-01T00:00:00Z"),
            ("@every 1500ms", "2026-11-23T03:20:17.5Z"),
            ("@every 1h", "2026-11-23T04:20:16Z"),
            ("@hourly", "2026-11-23T04:00:00Z"),
            ("*/2 * * * * *", "2026-11-23T03:20:16Z"),
            ("0 0 0 30 2 *", "never"),
        ] {
            assert_eq!(first(pattern, None).as_deref(), Ok(want), "{pattern}");
        }
        for bad in [
            "",
            "bad",
            "@at",
            "@at ",
            "@AT 2099-01-01T00:00:00Z",
            "@at 2099-01-01 00:00:00Z",
            "@every",
            "@every 1",
            "@every 999ms",
            "@every -1h",
            "@every 1d",
            "@every  1h",
            "@reboot",
        ] {
            assert_eq!(first(bad, None), Err(10189), "{bad}");
        }
        assert!(first("@hourly", Some("UTC")).is_ok());
        assert_eq!(first("@every 1h", Some("UTC")), Err(10189));
        for zone in ["", "utc", "+02:00", "Nope/Zone"] {
            assert_eq!(first("bad", Some(zone)), Err(10223), "{zone}");
        }
    }

    #[test]
    fn no_time_is_too_far_away_to_be_reckoned_with() {
        let every = Schedule::Every(Nanos::from_secs(1));
        for (time, want) in [
            (i64::MIN, i64::MIN + SECOND),
            (i64::MAX, i64::MAX),
            (0, SECOND),
        ] {
            assert_eq!(every.first(Timestamp(time)), Some(Timestamp(want)));
        }
    }

    #[test]
    fn what_was_missed_is_not_made_up_for() {
        let zones = Zones::new(Vec::new());
        let next = |pattern: &str, due: &str, now: &str| {
            let schedule = Schedule::read(pattern.as_bytes(), None, &zones).expect("good");
            schedule
                .next(time(due), time(now))
                .map(|next| schedule.show(next))
        };
        let (due, soon) = ("2026-11-23T03:20:17.5Z", "2026-11-23T03:20:17.53Z");
        let late = "2026-11-23T03:20:26.203Z";
        for (pattern, now, want) in [
            ("@every 1500ms", soon, Some("2026-11-23T03:20:19.5Z")),
            ("@every 1500ms", late, Some("2026-11-23T03:20:27.5Z")),
            ("*/2 * * * * *", soon, Some("2026-11-23T03:20:18Z")),
            ("*/2 * * * * *", late, Some("2026-11-23T03:20:28Z")),
            ("@at 2026-11-23T03:20:17.5Z", late, None),
        ] {
            assert_eq!(next(pattern, due, now).as_deref(), want, "{pattern} {now}");
        }
    }
}
