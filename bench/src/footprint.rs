//! What a server occupies: idle, for each connection, for each subscription;
//! and how long it takes to be there at all.

use std::io;
use std::thread;
use std::time::Duration;

use crate::connection::Connection;
use crate::crowd;
use crate::figures::{Metric, Sample};
use crate::meter::{self, Meter};
use crate::peer::Peer;
use crate::proc;
use crate::server::Server;

/// How long a server is left alone before its memory is read.
const SETTLE: Duration = Duration::from_millis(200);

/// The time from spawning the server to the first byte it says.
pub(crate) fn start(server: &Server) -> Sample {
    Sample::from([(Metric::Value, server.start_time().as_secs_f64() * 1e3)])
}

/// The memory of a server which has served one connection.
pub(crate) fn idle(server: &Server) -> io::Result<Sample> {
    let resident = settled(server)?;
    Ok(Sample::from([(Metric::Value, megabytes(resident))]))
}

/// The size of the server's file.
pub(crate) fn file_size(peer: &Peer) -> io::Result<Sample> {
    let size = std::fs::metadata(peer.program())?.len();
    Ok(Sample::from([(Metric::Value, megabytes(size as f64))]))
}

/// The memory of `count` connections which have said hello and nothing else.
pub(crate) fn connections(server: &Server, count: usize) -> io::Result<Sample> {
    let before = settled(server)?;
    let meter = Meter::start(server.pid())?;
    let held = (0..count)
        .map(|_| Connection::open(server.port(), server.dialect()))
        .collect::<io::Result<Vec<_>>>()?;
    let mut sample = meter.stop()?.sample(count as u64);
    thread::sleep(SETTLE);
    meter::add_memory(&mut sample, server.pid())?;
    drop(held);
    Ok(per_item(sample, before, count))
}

/// The memory of `count` subscriptions on one connection.
pub(crate) fn subscriptions(server: &Server, count: usize) -> io::Result<Sample> {
    let frames = crowd::frames(server.dialect(), count);
    let connection = Connection::open(server.port(), server.dialect())?;
    let before = settled(server)?;
    let meter = Meter::start(server.pid())?;
    crowd::join(&connection, server.dialect(), &frames)?;
    let mut sample = meter.stop()?.sample(count as u64);
    thread::sleep(SETTLE);
    meter::add_memory(&mut sample, server.pid())?;
    Ok(per_item(sample, before, count))
}

/// The resident memory once a first connection has warmed the server up.
fn settled(server: &Server) -> io::Result<f64> {
    drop(Connection::open(server.port(), server.dialect())?);
    thread::sleep(SETTLE);
    Ok(proc::memory(server.pid())?.resident as f64)
}

fn per_item(mut sample: Sample, before: f64, count: usize) -> Sample {
    let after = sample.get(&Metric::Resident).copied().unwrap_or(before);
    sample.insert(Metric::BytesEach, (after - before) / count as f64);
    sample
}

fn megabytes(bytes: f64) -> f64 {
    bytes / 1e6
}
