//! The figures a measurement yields, and the median over its rounds.

use std::collections::BTreeMap;

/// What a figure says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Metric {
    /// Messages, requests, connections or subscriptions a second.
    Rate,
    /// How far the rounds' rates lie apart, as a fraction of the median.
    Spread,
    /// Processor seconds of the server for a million of them.
    CpuPerMillion,
    /// Processors the server kept busy.
    ServerCores,
    /// Processors the generator kept busy.
    LoadCores,
    /// Median round trip, in microseconds.
    P50,
    /// Round trip that one in a hundred exceeds.
    P99,
    /// Round trip that one in a thousand exceeds.
    P999,
    /// Bytes resident in the end.
    Resident,
    /// The most bytes that were resident.
    Peak,
    /// Bytes resident for each connection or subscription.
    BytesEach,
    /// Bytes written to disk for each message.
    WrittenEach,
    /// Bytes of files for each byte of payload stored.
    SpaceRatio,
    /// Bytes of files.
    Occupied,
    /// The median round trip while nothing else happens.
    QuietP50,
    /// The round trip that one in a hundred exceeds meanwhile.
    QuietP99,
    /// How often as long that is while something else happens.
    P99Growth,
    /// Messages a second that the something else is.
    FloodRate,
    /// Milliseconds to end when asked to.
    Stopping,
    /// Milliseconds to the first byte after a clean stop.
    CleanFirst,
    /// Milliseconds to the right answer after a clean stop.
    CleanReady,
    /// Milliseconds to the first byte after a kill.
    KilledFirst,
    /// Milliseconds to the right answer after a kill.
    KilledReady,
    /// Acknowledged messages that a kill lost.
    Lost,
    /// The one figure of a case that has only one; its title has the unit.
    Value,
}

/// The figures of one measurement.
pub(crate) type Sample = BTreeMap<Metric, f64>;

/// The median of every figure, and the spread of the rate.
pub(crate) fn median(rounds: &[Sample]) -> Sample {
    let mut all: BTreeMap<Metric, Vec<f64>> = BTreeMap::new();
    for (metric, value) in rounds.iter().flatten() {
        all.entry(*metric).or_default().push(*value);
    }
    let mut medians = Sample::new();
    for (metric, mut values) in all {
        values.sort_by(f64::total_cmp);
        let middle = middle(&values);
        medians.insert(metric, middle);
        if metric == Metric::Rate && values.len() > 1 {
            let range = values[values.len() - 1] - values[0];
            medians.insert(Metric::Spread, range / middle);
        }
    }
    medians
}

/// The middle of sorted values, of which there is at least one.
fn middle(values: &[f64]) -> f64 {
    let half = values.len() / 2;
    if values.len().is_multiple_of(2) {
        (values[half - 1] + values[half]) / 2.0
    } else {
        values[half]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_spread() {
        let rounds = [4.0, 1.0, 2.0].map(|rate| Sample::from([(Metric::Rate, rate)]));
        let found = median(&rounds);
        assert_eq!((found[&Metric::Rate], found[&Metric::Spread]), (2.0, 1.5));
        let found = median(&rounds[..2]);
        assert_eq!(found[&Metric::Rate], 2.5);
        assert!(median(&[]).is_empty());
    }
}
