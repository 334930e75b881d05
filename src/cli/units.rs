//! Sizes and durations as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A number of bytes: `4096`, `64KB`, `64KiB`, `1MB`.
///
/// As in NATS's configuration, `KB` and `KiB` are both 1024; `K` alone is 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(usize);

/// A length of time: `500ms`, `10s`, `2m`, `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period(Duration);

impl From<Size> for usize {
    fn from(size: Size) -> usize {
        size.0
    }
}

impl From<Period> for Duration {
    fn from(period: Period) -> Duration {
        period.0
    }
}

/// What is wrong with a size or a duration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UnitError {
    /// Not a size.
    Size(String),
    /// Not a duration.
    Period(String),
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnitError::Size(text) => {
                write!(f, "\"{text}\" is not a size; write bytes, or 64KB, or 1MB")
            }
            UnitError::Period(text) => {
                write!(
                    f,
                    "\"{text}\" is not a duration; write 500ms, or 10s, or 2m"
                )
            }
        }
    }
}

impl std::error::Error for UnitError {}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let bad = || UnitError::Size(text.into());
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: usize = number.parse().map_err(|_| bad())?;
        let factor: usize = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" => 1000,
            "m" => 1000 * 1000,
            "g" => 1000 * 1000 * 1000,
            "kb" | "kib" | "ki" => 1 << 10,
            "mb" | "mib" | "mi" => 1 << 20,
            "gb" | "gib" | "gi" => 1 << 30,
            _ => return Err(bad()),
        };
        number.checked_mul(factor).map(Size).ok_or_else(bad)
    }
}

impl FromStr for Period {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        humantime::parse_duration(text)
            .map(Period)
            .map_err(|_| UnitError::Period(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_a_unit() {
        for (text, want) in [
            ("0", 0),
            ("4096", 4096),
            ("1K", 1000),
            ("64KB", 65536),
            ("64KiB", 65536),
            ("1mb", 1 << 20),
            ("2 GiB", 2 << 30),
        ] {
            assert_eq!(text.parse(), Ok(Size(want)), "{text}");
        }
        for text in [
            "",
            "MB",
            "1.5MB",
            "-1",
            "1XB",
            "99999999999999999999",
            "99999999999999GB",
        ] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!("500ms".parse(), Ok(Period(Duration::from_millis(500))));
        assert_eq!("1h30m".parse(), Ok(Period(Duration::from_secs(5400))));
        for text in ["", "10", "fast", "-1s"] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }
}
