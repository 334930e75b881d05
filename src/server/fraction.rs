//! Numbers with a fraction, as pages show them.
//!
//! std finds the shortest digits that are read as the same number again. That is
//! 12 KB of program, and of a time or a share nobody wants more than these.

use std::fmt;

/// Digits behind the point: those of a nanosecond.
const DIGITS: usize = 9;

/// A number that is not negative, of which nine digits behind the point are
/// shown at most.
pub(crate) struct Fraction(pub(crate) f64);

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = 10u64.pow(DIGITS as u32);
        let part = (self.0.fract() * unit as f64).round() as u64;
        let whole = (self.0 as u64).saturating_add(part / unit);
        write!(f, "{whole}")?;
        match part % unit {
            0 => Ok(()),
            part => {
                let digits = format!("{part:0DIGITS$}");
                write!(f, ".{}", digits.trim_end_matches('0'))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_std_as_far_as_they_go() {
        for number in [
            0.0,
            1.0,
            0.5,
            2.0,
            0.000_005,
            0.1,
            99.9,
            1e-9,
            12.000_000_001,
            9_007_199_254_740_991.0,
        ] {
            assert_eq!(Fraction(number).to_string(), number.to_string());
        }
    }

    #[test]
    fn further_digits_are_rounded_away() {
        for (number, shown) in [
            (1.0 / 3.0, "0.333333333"),
            (2.0 / 3.0, "0.666666667"),
            (1e-10, "0"),
            (6.999_999_999_9, "7"),
            (0.1 + 0.2, "0.3"),
        ] {
            assert_eq!(Fraction(number).to_string(), shown);
        }
    }
}
