//! Figures for the metrics, kept in atomics: the threads add, the loop reads.

use crate::medium::Meter;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the times, in microseconds: from a fast SSD's fsync to a
/// card that is collecting garbage.
const MICROS: &[u64] = &[
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 5_000_000,
];

/// Upper bounds of the batches, in bytes: from one small message to what
/// gathers behind a slow disk.
const BYTES: &[u64] = &[
    256,
    1 << 10,
    4 << 10,
    16 << 10,
    64 << 10,
    256 << 10,
    1 << 20,
    4 << 20,
    16 << 20,
    64 << 20,
];

/// How often a figure was how large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    /// The upper bound of each bucket, inclusive, rising; behind the last one
    /// is a bucket without a bound.
    pub bounds: &'static [u64],
    /// How many fell into each bucket; one more than there are bounds.
    pub counts: Vec<u64>,
    /// All of them added up.
    pub sum: u64,
}

impl Histogram {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[derive(Debug)]
struct Buckets {
    bounds: &'static [u64],
    counts: Vec<AtomicU64>,
    sum: AtomicU64,
}

impl Buckets {
    fn new(bounds: &'static [u64]) -> Self {
        Buckets {
            bounds,
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        }
    }

    fn add(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    fn read(&self) -> Histogram {
        Histogram {
            bounds: self.bounds,
            counts: self.counts.iter().map(read).collect(),
            sum: read(&self.sum),
        }
    }
}

fn read(figure: &AtomicU64) -> u64 {
    figure.load(Ordering::Relaxed)
}

/// What a store has done since the start, all attempts to open it included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreStats {
    /// Batches that became durable.
    pub commits: u64,
    /// Batches that did not, as far as is known, and checkpoints.
    pub failed_commits: u64,
    /// Checkpoints because nothing had come for a while.
    pub settled: u64,
    /// How long batches took, in microseconds.
    pub commit_micros: Histogram,
    /// What batches held, in bytes.
    pub batch_bytes: Histogram,
    /// Bytes written to the file, for everything.
    pub written_bytes: u64,
    /// Calls that wrote them.
    pub writes: u64,
    /// Calls that waited for the disk.
    pub syncs: u64,
    /// The length of the file.
    pub file_bytes: u64,
    /// Bytes written to the journal.
    pub journaled_bytes: u64,
    /// Blocks that were asked for and read, or found not to be there.
    pub loads: u64,
    /// Blocks that could not be read.
    pub failed_loads: u64,
    /// How long reading a block took, in microseconds, without the queue.
    pub load_micros: Histogram,
    /// Rows found damaged at the start.
    pub damaged_rows: u64,
    /// Records found damaged while reading blocks; one that is read twice
    /// counts twice.
    pub damaged_records: u64,
    /// Times the file was opened again.
    pub reopened: u64,
}

#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) failed_commits: AtomicU64,
    pub(crate) settled: AtomicU64,
    pub(crate) failed_loads: AtomicU64,
    pub(crate) damaged_rows: AtomicU64,
    pub(crate) damaged_records: AtomicU64,
    pub(crate) reopened: AtomicU64,
    commit_micros: Buckets,
    batch_bytes: Buckets,
    load_micros: Buckets,
}

impl Default for Counters {
    fn default() -> Self {
        Counters {
            failed_commits: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            failed_loads: AtomicU64::new(0),
            damaged_rows: AtomicU64::new(0),
            damaged_records: AtomicU64::new(0),
            reopened: AtomicU64::new(0),
            commit_micros: Buckets::new(MICROS),
            batch_bytes: Buckets::new(BYTES),
            load_micros: Buckets::new(MICROS),
        }
    }
}

impl Counters {
    pub(crate) fn committed(&self, duration: Duration, batch_bytes: u64) {
        self.commit_micros.add(duration.as_micros() as u64);
        self.batch_bytes.add(batch_bytes);
    }

    pub(crate) fn loaded(&self, duration: Duration) {
        self.load_micros.add(duration.as_micros() as u64);
    }

    pub(crate) fn read(&self, meter: &Meter) -> StoreStats {
        let commit_micros = self.commit_micros.read();
        let load_micros = self.load_micros.read();
        StoreStats {
            commits: commit_micros.count(),
            failed_commits: read(&self.failed_commits),
            settled: read(&self.settled),
            batch_bytes: self.batch_bytes.read(),
            written_bytes: read(&meter.written),
            writes: read(&meter.writes),
            syncs: read(&meter.syncs),
            file_bytes: read(&meter.len),
            journaled_bytes: read(&meter.journaled),
            loads: load_micros.count(),
            failed_loads: read(&self.failed_loads),
            damaged_rows: read(&self.damaged_rows),
            damaged_records: read(&self.damaged_records),
            reopened: read(&self.reopened),
            commit_micros,
            load_micros,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let buckets = Buckets::new(&[10, 20]);
        for value in [0, 10, 11, 20, 21] {
            buckets.add(value);
        }
        let histogram = buckets.read();
        assert_eq!(histogram.counts, [2, 2, 1]);
        assert_eq!((histogram.count(), histogram.sum), (5, 62));
    }
}
