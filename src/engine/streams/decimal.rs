//! Sums of whole numbers of any length, as text.

use std::cmp::Ordering;

/// Digits of a sum. A header holds no more, and a message of a counter should
/// not grow much beyond what was added to it.
const DIGITS_MAX: usize = 64 * 1024;

/// A number as its sign and its digits, the first of which is no zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Number<'a> {
    is_negative: bool,
    digits: &'a [u8],
}

impl<'a> Number<'a> {
    /// Reads digits with at most one sign before them.
    pub(super) fn read(text: &'a [u8]) -> Option<Number<'a>> {
        let (is_negative, digits) = match text {
            [b'-', digits @ ..] => (true, digits),
            [b'+', digits @ ..] => (false, digits),
            digits => (false, digits),
        };
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        let digits = &digits[zeros..];
        Some(Number {
            is_negative: is_negative && !digits.is_empty(),
            digits,
        })
    }

    /// By how much it is more than another, as text; `None` if that is too
    /// long.
    pub(super) fn less(self, other: Number<'_>) -> Option<String> {
        self.add(Number {
            is_negative: !other.is_negative,
            ..other
        })
    }

    /// The sum of two as text; `None` if it is too long.
    pub(super) fn add(self, other: Number<'_>) -> Option<String> {
        let (large, small) = match magnitudes(self.digits, other.digits) {
            Ordering::Less => (other, self),
            _ => (self, other),
        };
        let is_difference = large.is_negative != small.is_negative;
        // From the end.
        let mut digits = Vec::with_capacity(large.digits.len() + 1);
        let mut small_digits = small.digits.iter().rev();
        let mut carry = 0i8;
        for digit in large.digits.iter().rev() {
            let other = small_digits.next().map_or(0, |digit| value(*digit));
            let other = if is_difference { -other } else { other };
            let sum = value(*digit) + other + carry;
            carry = sum.div_euclid(10);
            digits.push(b'0' + sum.rem_euclid(10) as u8);
        }
        if carry > 0 {
            digits.push(b'1');
        }
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        if digits.len() > DIGITS_MAX {
            return None;
        }
        if digits.is_empty() {
            digits.push(b'0');
        } else if large.is_negative {
            digits.push(b'-');
        }
        digits.reverse();
        String::from_utf8(digits).ok()
    }
}

fn value(digit: u8) -> i8 {
    (digit - b'0') as i8
}

fn magnitudes(one: &[u8], other: &[u8]) -> Ordering {
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(one: &str, other: &str) -> Option<String> {
        Number::read(one.as_bytes())?.add(Number::read(other.as_bytes())?)
    }

    #[test]
    fn what_is_a_number() {
        for text in ["", "+", "-", "--3", "1.5", "1_000", "0x10", "3 ", "abc"] {
            assert_eq!(Number::read(text.as_bytes()), None, "{text}");
        }
        for (one, other, wanted) in [
            ("-0", "+0", "0"),
            ("007", "-4", "3"),
            ("-10", "10", "0"),
            ("99", "1", "100"),
        ] {
            assert_eq!(sum(one, other).as_deref(), Some(wanted));
        }
        let long = "9".repeat(DIGITS_MAX);
        assert_eq!(sum(&long, "1"), None);
        assert_eq!(sum(&long, "0"), Some(long));
    }

    proptest! {
        #[test]
        fn sums_are_those_of_numbers(one in any::<i64>(), other in any::<i64>()) {
            let wanted = (i128::from(one) + i128::from(other)).to_string();
            prop_assert_eq!(sum(&one.to_string(), &other.to_string()), Some(wanted));
        }

        #[test]
        fn what_is_added_can_be_taken_away(one in "-?[1-9][0-9]{0,60}", other in "[1-9][0-9]{0,60}") {
            let there = sum(&one, &other).unwrap();
            prop_assert_eq!(sum(&there, &format!("-{other}")), Some(one.clone()));
            let (there, other) = (Number::read(there.as_bytes()), Number::read(other.as_bytes()));
            prop_assert_eq!(there.unwrap().less(other.unwrap()), Some(one));
        }
    }
}
