//! Points and lengths of time as NATS writes them in JSON.

use midge_engine::Time;
use std::time::{Duration, Instant, SystemTime};

/// Ties the engine's clock to the wall's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    origin: Instant,
    origin_wall: SystemTime,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Clock {
            origin: Instant::now(),
            origin_wall: SystemTime::now(),
        }
    }

    /// The engine's time now. Never goes back, whatever the wall clock does.
    #[inline]
    pub(crate) fn now(&self) -> Time {
        Time::since_origin(self.origin.elapsed())
    }

    /// RFC 3339, in UTC with nanoseconds, of the engine's time.
    pub(crate) fn rfc3339(&self, time: Time) -> String {
        let since_start = time.since(Time::default());
        humantime::format_rfc3339_nanos(self.origin_wall + since_start).to_string()
    }
}

/// A duration as Go prints it: `575µs`, `1.5s`.
pub(crate) fn go_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let (unit_nanos, unit) = match nanos {
        0 => return "0s".into(),
        1..1_000 => (1, "ns"),
        1_000..1_000_000 => (1_000, "µs"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    let whole = nanos / unit_nanos;
    let rest = nanos % unit_nanos;
    if rest == 0 {
        return format!("{whole}{unit}");
    }
    let width = unit_nanos.ilog10() as usize;
    let fraction = format!("{rest:0width$}");
    format!("{whole}.{}{unit}", fraction.trim_end_matches('0'))
}

/// How long something has been there, to the second: `3d2h1m0s`.
pub(crate) fn uptime(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{seconds}s"),
        (0, _, _) => format!("{hours}h{minutes}m{seconds}s"),
        (1..365, _, _) => format!("{days}d{hours}h{minutes}m{seconds}s"),
        _ => format!("{}y{}d{hours}h{minutes}m{seconds}s", days / 365, days % 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_in_go() {
        for (nanos, want) in [
            (0, "0s"),
            (7, "7ns"),
            (575_000, "575µs"),
            (1_500_000, "1.5ms"),
            (1_000_001, "1.000001ms"),
            (2_000_000_000, "2s"),
        ] {
            assert_eq!(go_duration(Duration::from_nanos(nanos)), want);
        }
    }

    #[test]
    fn uptimes_start_at_the_largest_unit() {
        for (seconds, want) in [
            (5, "5s"),
            (65, "1m5s"),
            (3_600, "1h0m0s"),
            (90_061, "1d1h1m1s"),
            (366 * 86_400, "1y1d0h0m0s"),
        ] {
            assert_eq!(uptime(Duration::from_secs(seconds)), want);
        }
    }
}
