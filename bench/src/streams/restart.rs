//! How long a server with a full store takes to be there again, after it was
//! asked to end and after it was killed while storing.
//!
//! There are two moments: the first byte, and the right answer to a question
//! about the stream.

use std::io;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::figures::{Metric, Sample, median};
use crate::peer::Peer;
use crate::proc;
use crate::server::Server;
use crate::streams::SMALL;
use crate::streams::api::Api;
use crate::streams::publisher::{Load, Publisher, preload};
use crate::streams::store;

/// How long making the store may take.
const FILLING: Duration = Duration::from_secs(3600);
/// How long a server may talk without having its stream.
const PATIENCE: Duration = Duration::from_secs(300);
const ASK_EVERY: Duration = Duration::from_millis(1);

/// Stores `count` messages and ends and kills the server `times` each.
pub(crate) fn run(
    peer: &Peer,
    server: Server,
    count: u64,
    times: usize,
    duration: Duration,
) -> io::Result<Sample> {
    let mut api = store::open(&server, false)?;
    let mut stored = preload(&server, SMALL, count, FILLING)?;
    api.expect_stored(&server, stored)?;
    let folder = Arc::clone(server.folder());
    let mut server = server;
    let mut samples = Vec::new();
    for _ in 0..times {
        let mut sample = Sample::new();
        let stopping = server.stop()?;
        sample.insert(Metric::Stopping, millis(stopping));
        sample.insert(Metric::Occupied, folder.occupied()? as f64);
        server = Server::start_again(peer, Arc::clone(&folder))?;
        let (found, ready) = ready(&server)?;
        if found != stored {
            return Err(io::Error::other(format!(
                "wrong: {stored} messages were stored before a clean stop, {found} are there"
            )));
        }
        sample.insert(Metric::CleanFirst, millis(server.start_time()));
        sample.insert(Metric::CleanReady, millis(ready));
        let memory = proc::memory(server.pid())?;
        sample.insert(Metric::Resident, memory.resident as f64);

        let (sent, acked) = kill_under_load(server, duration)?;
        server = Server::start_again(peer, Arc::clone(&folder))?;
        let (found, ready) = self::ready(&server)?;
        let lost = (stored + acked).saturating_sub(found);
        if found > stored + sent || (lost > 0 && peer.kind().syncs()) {
            return Err(io::Error::other(format!(
                "wrong: after a kill {found} messages are there, and {stored} were before, \
                 {sent} were sent since and {acked} acknowledged"
            )));
        }
        sample.insert(Metric::KilledFirst, millis(server.start_time()));
        sample.insert(Metric::KilledReady, millis(ready));
        sample.insert(Metric::Lost, lost as f64);
        stored = found;
        samples.push(sample);
    }
    Ok(median(&samples))
}

/// Stores until the server is killed; returns how many messages were sent to
/// it and how many of them acknowledged.
fn kill_under_load(server: Server, duration: Duration) -> io::Result<(u64, u64)> {
    let load = Load {
        size: SMALL,
        window: 1000,
        subjects: 1,
    };
    let mut publisher = Publisher::open(&server, load, 0)?;
    let pid = server.pid();
    thread::scope(|scope| {
        let storing = scope.spawn(|| publisher.run(|_| Some(u64::MAX)));
        thread::sleep(duration.min(Duration::from_millis(500)));
        let alive = proc::is_alive(pid) && !storing.is_finished();
        drop(server);
        let cut = storing.join().unwrap_or_else(|panic| resume_unwind(panic));
        match (alive, cut) {
            (true, Err(_)) => Ok(()),
            (_, Err(error)) => Err(error),
            (_, Ok(())) => Err(io::Error::other("the server was not killed")),
        }
    })?;
    Ok((publisher.sent(), publisher.acked()))
}

/// Asks until the server knows its stream, and returns how many messages that
/// has and how long after the start it was.
fn ready(server: &Server) -> io::Result<(u64, Duration)> {
    let begun = Instant::now();
    loop {
        // A NATS server says that nobody answers until its streams are there.
        match Api::open(server).and_then(|mut api| api.stored(server)) {
            Ok(found) => return Ok((found, server.since_spawned())),
            Err(error) if begun.elapsed() > PATIENCE => return Err(error),
            Err(_) => thread::sleep(ASK_EVERY),
        }
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
