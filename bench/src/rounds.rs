//! The order of the measurements: for each case, round by round, every server
//! in turn. What else the machine does then falls on all of them alike.

use std::io;

use crate::cases::Case;
use crate::figures::{self, Metric, Sample};
use crate::options::Options;
use crate::peer::{Kind, Peer};

/// What came of one case on one server.
pub(crate) struct Outcome<'a> {
    /// The case.
    pub(crate) case: &'a Case,
    /// The server.
    pub(crate) kind: Kind,
    /// The medians; absent where the server has no such thing or failed.
    pub(crate) figures: Option<Sample>,
    /// What went wrong, round by round.
    pub(crate) failures: Vec<String>,
}

/// Starts every server once, to know that it can be started and which it is.
pub(crate) fn versions(peers: &mut [Peer]) -> io::Result<Vec<String>> {
    let mut versions = Vec::new();
    for peer in peers {
        let version = peer.look()?;
        // The same program set otherwise has the same version.
        if peer.kind() == peer.kind().plain() {
            versions.push(version);
        }
    }
    Ok(versions)
}

/// Measures every case on every server and reports progress on stderr.
pub(crate) fn play<'a>(peers: &[Peer], cases: &'a [Case], options: &Options) -> Vec<Outcome<'a>> {
    let mut outcomes = Vec::new();
    for case in cases {
        let mut samples: Vec<Vec<Sample>> = peers.iter().map(|_| Vec::new()).collect();
        let mut failures: Vec<Vec<String>> = peers.iter().map(|_| Vec::new()).collect();
        for round in 1..=case.rounds(options.rounds) {
            for (index, peer) in peers.iter().enumerate() {
                if !case.fits(peer) {
                    continue;
                }
                let name = peer.kind().name();
                match case.measure(peer, options.duration) {
                    Ok(sample) => {
                        eprintln!("{} round {round} {name}: {}", case.name, brief(&sample));
                        samples[index].push(sample);
                    }
                    Err(error) => {
                        let text = format!("{} round {round} {name}: {error}", case.name);
                        eprintln!("failed: {text}");
                        failures[index].push(text);
                    }
                }
            }
        }
        for ((peer, samples), failures) in peers.iter().zip(samples).zip(failures) {
            if !case.fits(peer) && !case.shows_lack(peer.kind()) {
                continue;
            }
            // Rounds that went well must not hide one that did not.
            let whole = failures.is_empty() && !samples.is_empty();
            outcomes.push(Outcome {
                case,
                kind: peer.kind(),
                figures: whole.then(|| figures::median(&samples)),
                failures,
            });
        }
    }
    outcomes
}

/// The figure to watch while a run goes on.
fn brief(sample: &Sample) -> String {
    let shown = [
        (Metric::Value, 1.0, ""),
        (Metric::CleanReady, 1.0, " ms"),
        (Metric::P50, 1.0, " µs"),
        (Metric::BytesEach, 1.0, " B each"),
        (Metric::Rate, 1e3, " k/s"),
    ];
    shown
        .iter()
        .find_map(|(metric, divisor, unit)| {
            let value = sample.get(metric)? / divisor;
            Some(format!("{value:.2}{unit}"))
        })
        .unwrap_or_default()
}
