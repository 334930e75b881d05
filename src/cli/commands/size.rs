//! How large something is, for people.

use std::fmt::Write;

/// Appends a number of bytes in a unit that fits: 512 B, 1.5 KB, 3 GB. As in
/// what people write, a KB has 1024 bytes. One digit stands behind the point
/// where the number is small enough for that to matter.
pub(crate) fn push_size(out: &mut String, bytes: u64) {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    let (mut tenths, mut unit) = (bytes.saturating_mul(10), "B");
    for larger in UNITS {
        if tenths < 10 * 1024 {
            break;
        }
        tenths /= 1024;
        unit = larger;
    }
    // Writing to a string cannot fail.
    let _ = match tenths {
        tenths if tenths < 100 && !tenths.is_multiple_of(10) => {
            write!(out, "{}.{} {unit}", tenths / 10, tenths % 10)
        }
        tenths => write!(out, "{} {unit}", tenths / 10),
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
    }
}
