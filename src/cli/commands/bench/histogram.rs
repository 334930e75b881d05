//! A histogram of durations in fixed memory: every octave is cut into equal
//! buckets, so a quantile is wrong by less than one part in 64. The bench
//! beside the workspace has it as well.

use std::time::Duration;

/// Buckets to an octave, as a power of two.
const FINE: u32 = 6;
const SIZE: usize = ((64 - FINE as usize) + 1) << FINE;

/// Counts durations, nanosecond by nanosecond below 64 ns and to within 1.6 %
/// above.
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    /// An empty histogram.
    pub(crate) fn new() -> Self {
        Histogram {
            counts: vec![0; SIZE],
            total: 0,
        }
    }

    /// Counts one duration.
    pub(crate) fn record(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(bucket(nanos)) {
            *count += 1;
            self.total += 1;
        }
    }

    /// Counts what another one has counted.
    pub(crate) fn merge(&mut self, other: &Histogram) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
    }

    /// How many durations were counted.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The duration which the fraction `part` of all does not exceed, in
    /// microseconds; zero when nothing was counted.
    pub(crate) fn micros(&self, part: f64) -> f64 {
        let rank = ((self.total as f64 * part).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return lowest(index) as f64 / 1000.0;
            }
        }
        0.0
    }
}

/// Values below `2^FINE` have a bucket each; above, the leading bit picks the
/// octave and the `FINE` bits after it pick the bucket.
fn bucket(nanos: u64) -> usize {
    let Some(octave) = nanos
        .checked_ilog2()
        .and_then(|bits| bits.checked_sub(FINE))
    else {
        return nanos as usize;
    };
    ((octave as usize) << FINE) + (nanos >> octave) as usize
}

/// The smallest value that falls into the bucket.
fn lowest(index: usize) -> u64 {
    let octave = (index >> FINE).saturating_sub(1);
    ((index - (octave << FINE)) as u64) << octave
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_narrow_and_in_range() {
        for nanos in (0..64).chain([64, 127, 128, 1000, 65_537, u64::MAX]) {
            let low = lowest(bucket(nanos));
            assert!(low <= nanos && nanos - low <= nanos / 64, "{nanos} {low}");
        }
        assert!(bucket(u64::MAX) < SIZE);
    }

    #[test]
    fn quantiles_are_by_rank() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.micros(0.5), 0.0);
        for micros in 1..=1000 {
            histogram.record(Duration::from_micros(micros));
        }
        for (part, exact) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0)] {
            let found = histogram.micros(part);
            assert!((exact * 0.98..=exact).contains(&found), "{part} {found}");
        }
    }
}
