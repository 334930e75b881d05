//! Whether those who store disturb those who do not: round trips of core
//! requests while nothing else happens, and while a stream is filled.

use std::io;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use crate::figures::{Metric, Sample};
use crate::meter;
use crate::roundtrip;
use crate::server::Server;
use crate::streams::SIZE;
use crate::streams::publisher::{Load, Publisher};
use crate::streams::store;

/// How long the flood runs before anything is measured.
const WARM_UP: Duration = Duration::from_millis(100);

/// Sends requests one at a time for `duration`, twice.
pub(crate) fn run(server: &Server, duration: Duration) -> io::Result<Sample> {
    let mut api = store::open(server, false)?;
    let load = Load {
        size: SIZE,
        window: 1000,
        subjects: 1,
    };
    let mut publisher = Publisher::open(server, load, 0)?;
    let quiet = roundtrip::run(server, 1, duration)?;

    let done = AtomicBool::new(false);
    let (flooded, stored) = thread::scope(|scope| {
        let flooding = scope.spawn(|| {
            let begun = Instant::now();
            publisher.run(|_| (!done.load(SeqCst)).then_some(u64::MAX))?;
            Ok((publisher.acked(), begun.elapsed().as_secs_f64()))
        });
        thread::sleep(WARM_UP);
        let flooded = roundtrip::run(server, 1, duration);
        done.store(true, SeqCst);
        let stored: io::Result<(u64, f64)> =
            flooding.join().unwrap_or_else(|panic| resume_unwind(panic));
        (flooded, stored)
    });
    let (mut sample, (stored, seconds)) = (flooded?, stored?);
    api.expect_stored(server, stored)?;

    let figure = |sample: &Sample, metric| sample.get(&metric).copied().unwrap_or(0.0);
    sample.insert(Metric::QuietP50, figure(&quiet, Metric::P50));
    let p99 = figure(&quiet, Metric::P99);
    sample.insert(Metric::QuietP99, p99);
    let disturbed = figure(&sample, Metric::P99);
    if p99 > 0.0 {
        sample.insert(Metric::P99Growth, disturbed / p99);
    }
    sample.insert(Metric::FloodRate, stored as f64 / seconds);
    meter::add_memory(&mut sample, server.pid())?;
    Ok(sample)
}
