//! Points and lengths of time as NATS writes them in JSON.

use midge_engine::Time;
use midge_proto::Timestamp;
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

    /// The wall's time at the engine's time.
    pub(crate) fn wall(&self, time: Time) -> Timestamp {
        let since_start = time.since(Time::default());
        Timestamp::from(self.origin_wall + since_start)
    }
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
