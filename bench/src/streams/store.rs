//! Storing as fast as the server acknowledges, and what that costs: time,
//! processor, writes, space, memory.

use std::io;
use std::thread;
use std::time::Duration;

use crate::figures::{Metric, Sample};
use crate::meter::{self, Meter};
use crate::proc;
use crate::server::Server;
use crate::streams::SIZE;
use crate::streams::api::{Api, STREAM, Setup};
use crate::streams::publisher::{Load, Publisher, preload};
use crate::wire::Dialect;

/// How long a server is left alone before its writes are read.
const SETTLE: Duration = Duration::from_millis(100);
/// The same before its memory is.
const REST: Duration = Duration::from_millis(500);
/// How long filling a store may take.
const FILLING: Duration = Duration::from_secs(600);

/// Connects and makes the ordinary stream, or one that acknowledges early.
pub(crate) fn open(server: &Server, early: bool) -> io::Result<Api> {
    prepare(
        server,
        STREAM,
        Setup {
            work_queue: false,
            early,
        },
    )
}

/// Connects and makes the stream.
pub(crate) fn prepare(server: &Server, stream: &'static str, setup: Setup) -> io::Result<Api> {
    let mut api = Api::open_on(server, stream)?;
    if server.dialect() == Dialect::Nats {
        api.create_stream(setup)?;
    }
    Ok(api)
}

/// Stores for `duration`, beside a consumer that takes nothing if there is one.
pub(crate) fn run(
    server: &Server,
    load: Load,
    early: bool,
    consumer: Option<&str>,
    duration: Duration,
) -> io::Result<Sample> {
    let mut api = open(server, early)?;
    if let Some(consumer) = consumer {
        api.create_consumer(consumer)?;
    }
    let mut publisher = Publisher::open(server, load, 0)?;
    let written = proc::written(server.pid())?;
    let meter = Meter::start(server.pid())?;
    publisher.run_for(duration)?;
    let stored = publisher.acked();
    let mut sample = meter.stop()?.sample(stored);
    api.expect_stored(server, stored)?;
    if consumer.is_some() {
        api.expect_pending(stored)?;
    }

    thread::sleep(SETTLE);
    let written = proc::written(server.pid())? - written;
    let bytes = stored as f64 * load.size as f64;
    let occupied = server.folder().occupied()? as f64;
    sample.insert(Metric::SpaceRatio, occupied / bytes);
    // A filesystem that counts nothing is not one that writes nothing.
    if written > 0 {
        sample.insert(Metric::WrittenEach, written as f64 / stored as f64);
    }
    meter::add_memory(&mut sample, server.pid())?;
    Ok(sample)
}

/// The memory of a server that has stored `count` messages.
pub(crate) fn filled(server: &Server, count: u64) -> io::Result<Sample> {
    let mut api = open(server, false)?;
    let stored = preload(server, SIZE, count, FILLING)?;
    api.expect_stored(server, count.max(stored))?;
    thread::sleep(REST);
    let resident = proc::memory(server.pid())?.resident as f64;
    Ok(Sample::from([(Metric::Value, resident / 1e6)]))
}
