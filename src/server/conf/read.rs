//! Values as settings want them: each reader takes a value as it is written
//! and says, with the place, what it expected instead.

use super::tree::{ConfError, Entry, Place, Value};
use std::time::Duration;

/// A value that is to be read, what it is called, and where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: &'a Value,
    pub(crate) place: &'a Place,
}

impl<'a> From<&'a Entry> for Item<'a> {
    fn from(entry: &'a Entry) -> Self {
        Item {
            name: &entry.key,
            value: &entry.value,
            place: &entry.place,
        }
    }
}

impl<'a> Item<'a> {
    /// That something else is expected here.
    pub(crate) fn wrong(&self, expected: &str) -> ConfError {
        let found = match self.value {
            Value::Text(text) => format!("\"{text}\""),
            Value::Number(number) => number.to_string(),
            other => other.kind().to_owned(),
        };
        let name = self.name;
        ConfError::new(self.place, format!("{name} takes {expected}, not {found}"))
    }

    /// Words. A number is taken as well: a password may look like one.
    pub(crate) fn text(&self) -> Result<String, ConfError> {
        match self.value {
            Value::Text(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            Value::Flag(flag) => Ok(flag.to_string()),
            _ => Err(self.wrong("a word")),
        }
    }

    pub(crate) fn flag(&self) -> Result<bool, ConfError> {
        match self.value {
            Value::Flag(flag) => Ok(*flag),
            _ => Err(self.wrong("true or false")),
        }
    }

    /// A whole number in a range.
    pub(crate) fn number(&self, least: i64, most: i64) -> Result<i64, ConfError> {
        match self.value {
            Value::Number(number) if (least..=most).contains(number) => Ok(*number),
            _ => Err(self.wrong(&format!("a number from {least} to {most}"))),
        }
    }

    /// A number of bytes or of things; what NATS calls "no limit", -1 or 0, is
    /// `None`.
    pub(crate) fn limit(&self) -> Result<Option<usize>, ConfError> {
        match self.value {
            Value::Number(-1 | 0) => Ok(None),
            Value::Number(number) => match usize::try_from(*number) {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(self.wrong("a number that is not negative")),
            },
            _ => Err(self.wrong("a number, such as 1024 or 64MB")),
        }
    }

    /// A length of time: `2m`, `1h30m`, or a number of seconds.
    pub(crate) fn duration(&self) -> Result<Duration, ConfError> {
        let duration = match self.value {
            Value::Number(seconds) => u64::try_from(*seconds).ok().map(Duration::from_secs),
            Value::Text(text) => parse_duration(text),
            _ => None,
        };
        duration.ok_or_else(|| self.wrong("a duration, such as 500ms, 10s or 2m"))
    }

    pub(crate) fn block(&self) -> Result<&'a [Entry], ConfError> {
        match self.value {
            Value::Block(entries) => Ok(entries),
            _ => Err(self.wrong("a block in braces")),
        }
    }

    /// What a list holds; a value that is none is a list of one.
    pub(crate) fn list(&self) -> Vec<Item<'a>> {
        match self.value {
            Value::List(items) => items
                .iter()
                .map(|(value, place)| Item {
                    name: self.name,
                    value,
                    place,
                })
                .collect(),
            _ => vec![*self],
        }
    }
}

/// Reads a duration as Go writes them: numbers, each with its unit.
fn parse_duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 8] = [
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
        ("d", 86_400_000_000_000),
    ];
    let mut rest = text;
    let mut nanos = 0u64;
    while !rest.is_empty() {
        let is_unit = |char: char| !char.is_ascii_digit() && char != '.';
        let (number, tail) = rest.split_at(rest.find(is_unit)?);
        let end = tail.find(|char: char| char.is_ascii_digit());
        let (unit, tail) = tail.split_at(end.unwrap_or(tail.len()));
        let (_, size) = UNITS.iter().find(|(name, _)| *name == unit)?;
        nanos = nanos.checked_add(scaled(number, *size)?)?;
        rest = tail;
    }
    (!text.is_empty()).then(|| Duration::from_nanos(nanos))
}

/// A number, perhaps with a point, of units of this size.
fn scaled(number: &str, size: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let mut sum = whole.parse::<u64>().ok()?.checked_mul(size)?;
    let mut place = size;
    for digit in part.chars() {
        place /= 10;
        sum = sum.checked_add(u64::from(digit.to_digit(10)?) * place)?;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, millis) in [
            ("2s", 2000),
            ("300ms", 300),
            ("1h30m", 5_400_000),
            ("1.5s", 1500),
            ("2m0.5s", 120_500),
            ("1d", 86_400_000),
            ("0s", 0),
        ] {
            let wanted = Some(Duration::from_millis(millis));
            assert_eq!(parse_duration(text), wanted, "{text}");
        }
        for text in ["", "s", "2", "2x", "2 s", "-2s", "1..5s", "2s3"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
