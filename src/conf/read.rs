//! Values as settings want them: each reader takes a value as it is written
//! and says, with the place, what it expected instead.

use super::tree::{ConfError, Entry, Place, Value, is_secret};
use std::time::Duration;

/// A value that is to be read, what it is called, and where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: &'a Value,
    pub(crate) place: &'a Place,
    /// Its value is used elsewhere.
    pub(crate) is_variable: bool,
}

impl<'a> From<&'a Entry> for Item<'a> {
    fn from(entry: &'a Entry) -> Self {
        Item {
            name: &entry.key,
            value: &entry.value,
            place: &entry.place,
            is_variable: entry.is_variable,
        }
    }
}

impl<'a> Item<'a> {
    /// That something else is expected here.
    pub(crate) fn wrong(&self, expected: &str) -> ConfError {
        let found = match self.value {
            Value::Text(text) if !is_secret(self.name) => format!("\"{text}\""),
            other => other.kind().to_owned(),
        };
        let name = self.name;
        ConfError::new(self.place, format!("{name} takes {expected}, not {found}"))
    }

    /// Refuses a key that is not known where it says what somebody may do: passed
    /// over, it could let in whom it should not. One whose value is used elsewhere
    /// is no misspelt one.
    pub(crate) fn refuse_misspelt(&self) -> Result<(), ConfError> {
        if self.is_variable {
            return Ok(());
        }
        let what = format!("\"{}\" is not known here", self.name);
        Err(ConfError::new(self.place, what))
    }

    pub(crate) fn text(&self) -> Result<String, ConfError> {
        match self.value {
            Value::Text(text) => Ok(text.clone()),
            _ => Err(self.wrong("a word")),
        }
    }

    pub(crate) fn flag(&self) -> Result<bool, ConfError> {
        let text = self.text().unwrap_or_default();
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Ok(true),
            "false" | "no" | "off" => Ok(false),
            _ => Err(self.wrong("true or false")),
        }
    }

    /// Whether something is there, in words.
    pub(crate) fn is_enabled(&self) -> Result<bool, ConfError> {
        let text = self.text().unwrap_or_default();
        match text.to_ascii_lowercase().as_str() {
            "enabled" | "enable" => Ok(true),
            "disabled" | "disable" => Ok(false),
            _ => self
                .flag()
                .map_err(|_| self.wrong("enabled or disabled, or a block in braces")),
        }
    }

    /// A whole number in a range.
    pub(crate) fn number(&self, least: i64, most: i64) -> Result<i64, ConfError> {
        self.parsed(parse_number)
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| self.wrong(&format!("a number from {least} to {most}")))
    }

    /// A number of bytes or of things; what NATS calls "no limit", -1 or 0, is
    /// `None`.
    pub(crate) fn limit(&self) -> Result<Option<usize>, ConfError> {
        match self.parsed(parse_number) {
            None => Err(self.wrong("a number, such as 1024 or 64MB")),
            Some(-1 | 0) => Ok(None),
            Some(number) => match usize::try_from(number) {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(self.wrong("a number that is not negative")),
            },
        }
    }

    /// A length of time: `2m`, `1h30m`, or a number of seconds, such as `0.5`.
    pub(crate) fn duration(&self) -> Result<Duration, ConfError> {
        let seconds = |text: &str| scaled(text, 1_000_000_000);
        let duration = match self.parsed(seconds) {
            Some(nanos) => Some(Duration::from_nanos(nanos)),
            None => self.parsed(parse_duration),
        };
        duration.ok_or_else(|| self.wrong("a duration, such as 500ms, 10s or 2m"))
    }

    fn parsed<T>(&self, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        match self.value {
            Value::Text(text) => parse(text),
            _ => None,
        }
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
                    is_variable: false,
                })
                .collect(),
            _ => vec![*self],
        }
    }
}

/// Reads a whole number, perhaps with a size behind it: `k` is 1000, `kb`, `ki` and
/// `kib` are 1024.
fn parse_number(word: &str) -> Option<i64> {
    let signs = usize::from(word.starts_with('-'));
    let digits = word
        .bytes()
        .skip(signs)
        .take_while(u8::is_ascii_digit)
        .count();
    if digits == 0 {
        return None;
    }
    let (number, unit) = word.split_at_checked(signs + digits)?;
    // What is too large for a number is too large for whatever asks.
    let largest = if signs == 0 { i64::MAX } else { i64::MIN };
    let read = |digits: &str| digits.parse::<i64>().unwrap_or(largest);
    let unit = unit.to_ascii_lowercase();
    let mut letters = unit.chars();
    let power = match letters.next() {
        None => return Some(read(number)),
        Some('k') => 1,
        Some('m') => 2,
        Some('g') => 3,
        Some('t') => 4,
        Some('p') => 5,
        Some('e') => 6,
        Some(_) => return None,
    };
    let base: i64 = match letters.as_str() {
        "" => 1000,
        "b" | "i" | "ib" => 1024,
        _ => return None,
    };
    Some(read(number).saturating_mul(base.saturating_pow(power)))
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

    #[test]
    fn numbers_may_have_sizes_behind_them() {
        for (text, number) in [
            ("-1", Some(-1)),
            ("007", Some(7)),
            ("1k", Some(1000)),
            ("1kb", Some(1024)),
            ("1KiB", Some(1024)),
            ("64MB", Some(64 << 20)),
            ("2gi", Some(2 << 30)),
            ("1T", Some(1_000_000_000_000)),
            ("9999999999999999999", Some(i64::MAX)),
            ("9999999E", Some(i64::MAX)),
            ("1.5", None),
            ("9e9", None),
            ("k", None),
            ("", None),
        ] {
            assert_eq!(parse_number(text), number, "{text}");
        }
    }
}
