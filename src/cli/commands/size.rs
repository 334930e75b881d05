//! How large something is, for people.

use std::fmt::Write;

/// Appends a number of bytes in a unit that fits: 512 B, 1.5 KB, 3 GB. As in
/// what people write, a KB has 1024 bytes.
pub(crate) fn push_size(out: &mut String, bytes: u64) {
    push_scaled(out, bytes, 1024, &[" B", " KB", " MB", " GB", " TB"]);
}

#[allow(dead_code)] // For midge top, which comes next.
/// Appends a count that has little room: 950, 1.5k, 20M.
pub(crate) fn push_count(out: &mut String, count: u64) {
    push_scaled(out, count, 1000, &["", "k", "M", "G", "T"]);
}

/// Appends a number with one digit behind the point where it is small enough
/// for that to matter.
fn push_scaled(out: &mut String, number: u64, step: u64, units: &[&str]) {
    let (mut tenths, mut place) = (number.saturating_mul(10), 0);
    while tenths >= step * 10 && place + 1 < units.len() {
        tenths /= step;
        place += 1;
    }
    let unit = units.get(place).copied().unwrap_or_default();
    // Writing to a string cannot fail.
    let _ = match tenths {
        tenths if tenths < 100 && !tenths.is_multiple_of(10) => {
            write!(out, "{}.{}{unit}", tenths / 10, tenths % 10)
        }
        tenths => write!(out, "{}{unit}", tenths / 10),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_fits() {
        for (bytes, wanted) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KB"),
            (1536, "1.5 KB"),
            (20_000, "19 KB"),
            (1 << 30, "1 GB"),
            (5 << 50, "5120 TB"),
            (u64::MAX, "1677721 TB"),
        ] {
            let mut out = String::new();
            push_size(&mut out, bytes);
            assert_eq!(out, wanted);
        }
        let mut out = String::new();
        push_count(&mut out, 999);
        push_count(&mut out, 1500);
        push_count(&mut out, 20_000_000);
        assert_eq!(out, "9991.5k20M");
    }
}
