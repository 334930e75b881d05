//! How long a message lives, where its publisher says so.

use super::expectations::number;
use super::log_due::NEVER;
use midge_api::{Nanos, Timestamp};
use std::num::NonZeroI64;

const SECOND: i64 = 1_000_000_000;

/// What the header `Nats-TTL` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// As long as the stream keeps it.
    Unlimited,
    /// So many seconds, and no longer.
    Secs(NonZeroI64),
    /// It does not grow too old for the stream, either.
    Endless,
}

impl Lifetime {
    /// Reads the value of the header: whole seconds, a span as Go writes it of
    /// at least one second, or `never`. `None` if it is none of these.
    pub(crate) fn read(value: &[u8]) -> Option<Lifetime> {
        if value.eq_ignore_ascii_case(b"never") {
            return Some(Lifetime::Endless);
        }
        if value == b"0" {
            return None;
        }
        let secs = match number(value) {
            Some(secs) => i64::try_from(secs).ok()?,
            None => {
                let span = Nanos::parse(std::str::from_utf8(value).ok()?)?;
                Some(span.0 / SECOND).filter(|secs| *secs > 0)?
            }
        };
        Some(NonZeroI64::new(secs).map_or(Lifetime::Unlimited, Lifetime::Secs))
    }

    /// When a message that is stored at `time` is due to go.
    pub(crate) fn due(self, time: Timestamp) -> Option<Timestamp> {
        match self {
            Lifetime::Unlimited => None,
            Lifetime::Endless => Some(NEVER),
            Lifetime::Secs(secs) => {
                let due = time.0.saturating_add(secs.get().saturating_mul(SECOND));
                Some(Timestamp(due.min(NEVER.0 - 1)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_read_as_nats_server_does() {
        let secs = |secs| NonZeroI64::new(secs).map(Lifetime::Secs);
        for (text, want) in [
            ("1", secs(1)),
            ("01", secs(1)),
            ("9223372036854775807", secs(i64::MAX)),
            ("1s", secs(1)),
            ("1m30s", secs(90)),
            ("1500ms", secs(1)),
            ("1.5s", secs(1)),
            ("00", Some(Lifetime::Unlimited)),
            ("never", Some(Lifetime::Endless)),
            ("NEVER", Some(Lifetime::Endless)),
        ] {
            assert_eq!(Lifetime::read(text.as_bytes()), want, "{text}");
        }
        for bad in [
            "0",
            "0s",
            "500ms",
            "1.5",
            "-1",
            "-5s",
            "+5",
            "5 ",
            "abc",
            "1x",
            "9223372036854775808",
        ] {
            assert_eq!(Lifetime::read(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn what_is_very_far_off_is_not_never() {
        let due = |text: &[u8]| Lifetime::read(text).expect("good").due(Timestamp(5));
        assert_eq!(due(b"2"), Some(Timestamp(2_000_000_005)));
        assert_eq!(due(b"never"), Some(NEVER));
        assert_eq!(due(b"9223372036854775807"), Some(Timestamp(i64::MAX - 1)));
    }
}
