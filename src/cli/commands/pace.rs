//! How fast: so many a second, a minute, an hour.

use crate::failure::Failure;
use std::time::{Duration, Instant};

/// When something may be done again.
#[derive(Debug)]
pub(crate) struct Pace {
    /// None: at once.
    interval: Option<Duration>,
    next: Instant,
}

impl Pace {
    /// Reads `100`, `100/s`, `6/m`, `1/h`; without a rate there is no waiting.
    pub(crate) fn parse(rate: Option<&str>) -> Result<Pace, Failure> {
        Ok(Pace {
            interval: rate.map(interval).transpose()?,
            next: Instant::now(),
        })
    }

    /// Waits for the next turn. Turns that were missed come at once.
    pub(crate) fn wait(&mut self) {
        let Some(interval) = self.interval else {
            return;
        };
        let left = self.next.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            std::thread::sleep(left);
        }
        self.next += interval;
    }
}

fn interval(rate: &str) -> Result<Duration, Failure> {
    let bad = || {
        Failure::usage(format!(
            "rate: \"{rate}\" is not a rate; write 100 (a second), or 6/m, or 1/h"
        ))
    };
    let (count, unit) = rate.split_once('/').unwrap_or((rate, "s"));
    let count: u32 = count.parse().map_err(|_| bad())?;
    let span = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(bad()),
    };
    Duration::from_secs(span).checked_div(count).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_a_unit_or_are_a_second() {
        for (rate, millis) in [
            ("1", 1000),
            ("100", 10),
            ("4/s", 250),
            ("6/m", 10_000),
            ("1/h", 3_600_000),
        ] {
            assert_eq!(
                interval(rate).unwrap(),
                Duration::from_millis(millis),
                "{rate}"
            );
        }
        for rate in ["", "0", "-1", "x", "1/d", "1/", "/s", "1.5"] {
            assert!(interval(rate).is_err(), "{rate}");
        }
    }
}
