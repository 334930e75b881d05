//! Storing and taking through `midge-client`, to see what the client adds to
//! the bare load of `store` and `take`.

use std::io;
use std::time::{Duration, Instant};

use midge_client::streams::{PublisherOptions, PullOptions};
use midge_client::{Client, Options, Publish};

use crate::figures::Sample;
use crate::meter::{self, Meter};
use crate::server::Server;
use crate::streams::SIZE;
use crate::streams::api::{CONSUMER, STREAM, subjects_of};
use crate::streams::publisher::{Load, preload};
use crate::streams::store;
use crate::streams::take::{BATCH, EXPLICIT, loading};
use crate::traffic::payload;

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(20);

/// Messages between two looks at the clock.
const RUN: u64 = 64;

fn connect(server: &Server) -> io::Result<Client> {
    let options = Options {
        reconnects: false,
        ..Options::default()
    };
    Client::connect(&format!("127.0.0.1:{}", server.port()), options).map_err(io::Error::other)
}

/// Stores for `duration`.
pub(crate) fn store(server: &Server, load: Load, duration: Duration) -> io::Result<Sample> {
    let mut api = store::open(server, false)?;
    let options = PublisherOptions {
        window_max: load.window as usize,
        ..PublisherOptions::default()
    };
    let streams = connect(server)?.streams();
    let publisher = streams.publisher(options).map_err(io::Error::other)?;
    let subject = format!("{}.0", subjects_of(STREAM));
    let payload = payload(load.size);
    let message = Publish::new(&subject, &payload);
    let meter = Meter::start(server.pid())?;
    let deadline = Instant::now() + duration;
    let mut stored = 0;
    while Instant::now() < deadline {
        for _ in 0..RUN {
            publisher.publish(&message).map_err(io::Error::other)?;
        }
        stored += RUN;
    }
    publisher.flush(PATIENCE).map_err(io::Error::other)?;
    let mut sample = meter.stop()?.sample(stored);
    api.expect_stored(server, stored)?;
    meter::add_memory(&mut sample, server.pid())?;
    Ok(sample)
}

/// Pulls and acknowledges what was stored before.
pub(crate) fn pull(server: &Server, count: u64, duration: Duration) -> io::Result<Sample> {
    let mut api = store::open(server, false)?;
    let count = preload(server, SIZE, count, loading(duration))?;
    api.create_consumer(EXPLICIT)?;
    let streams = connect(server)?.streams();
    let taker = streams
        .consumer(STREAM, CONSUMER)
        .map_err(io::Error::other)?;
    let options = PullOptions {
        batch: BATCH,
        threshold: Some(BATCH / 10),
        ..PullOptions::default()
    };
    let meter = Meter::start(server.pid())?;
    let mut messages = taker.messages(options).map_err(io::Error::other)?;
    for _ in 0..count {
        messages
            .next_timeout(PATIENCE)
            .and_then(|message| message.ack())
            .map_err(io::Error::other)?;
    }
    api.await_consumed(count)?;
    let mut sample = meter.stop()?.sample(count);
    api.expect_stored(server, count)?;
    meter::add_memory(&mut sample, server.pid())?;
    Ok(sample)
}
