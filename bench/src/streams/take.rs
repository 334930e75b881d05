//! Taking what is stored: by pulling, by being pushed, and by workers who
//! share it while it is being stored.

use std::io;
use std::panic::resume_unwind;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::{Duration, Instant};

use crate::connection::{Connection, PATIENCE};
use crate::figures::Sample;
use crate::meter::{self, Meter};
use crate::server::Server;
use crate::streams::SIZE;
use crate::streams::api::{Api, STREAM, Setup};
use crate::streams::others::{self, Reading};
use crate::streams::publisher::{Load, Publisher, preload};
use crate::streams::pull::{DONE, Taker, Taking};
use crate::streams::shop::{self, LOOK_EVERY, Shop};
use crate::streams::store;
use crate::wire::Dialect;

/// How many messages are asked for at once by one who takes all.
pub(crate) const BATCH: u64 = 1000;
const PUBLISHERS: usize = 2;

/// The acknowledged messages that a consumer may have taken: beyond what is
/// ever on its way here, so that it is in nobody's way.
pub(crate) const EXPLICIT: &str = "\"ack_policy\":\"explicit\",\"max_ack_pending\":10000";

/// How long storing beforehand may take: a server that needs longer for all
/// has fewer to take.
pub(crate) fn loading(duration: Duration) -> Duration {
    duration * 10
}

/// Pulls and acknowledges what was stored before, with such a consumer.
pub(crate) fn pull(
    server: &Server,
    consumer: &str,
    answered: bool,
    count: u64,
    duration: Duration,
) -> io::Result<Sample> {
    let mut api = store::open(server, false)?;
    let count = preload(server, SIZE, count, loading(duration))?;
    let taken = AtomicU64::new(0);
    let connect = || Connection::open(server.port(), server.dialect());
    let sample = match server.dialect() {
        Dialect::Nats => {
            api.create_consumer(consumer)?;
            let taking = Taking {
                batch: BATCH,
                verb: DONE,
                answered,
                count: Some(count),
            };
            let connection = connect()?;
            let mut taker = Taker::new(&connection, taking, SIZE, 0)?;
            let meter = Meter::start(server.pid())?;
            taker.run(&taken)?;
            api.await_consumed(count)?;
            meter.stop()?.sample(count)
        }
        Dialect::Resp => {
            others::create_group(server)?;
            let connection = connect()?;
            let reading = Reading {
                batch: BATCH,
                deleting: false,
                count: Some(count),
            };
            let meter = Meter::start(server.pid())?;
            others::redis(&connection, reading, SIZE, "worker", &taken)?;
            meter.stop()?.sample(count)
        }
        Dialect::Beanstalk | Dialect::Raw => {
            let connection = connect()?;
            let meter = Meter::start(server.pid())?;
            others::beanstalkd(&connection, BATCH, Some(count), SIZE, &taken)?;
            meter.stop()?.sample(count)
        }
    };
    let left = match server.dialect() {
        Dialect::Beanstalk => 0,
        _ => count,
    };
    api.expect_stored(server, left)?;
    if server.dialect() == Dialect::Nats {
        // A message given up on would have made one of dead letters.
        api.expect_streams(1)?;
    }
    with_memory(sample, server)
}

/// Is pushed what was stored before.
pub(crate) fn push(
    server: &Server,
    acked: bool,
    count: u64,
    duration: Duration,
) -> io::Result<Sample> {
    let mut api = store::open(server, false)?;
    let count = preload(server, SIZE, count, loading(duration))?;
    let meter = Meter::start(server.pid())?;
    crate::streams::push::receive(server, &mut api, acked, SIZE, count)?;
    let sample = meter.stop()?.sample(count);
    api.expect_stored(server, count)?;
    with_memory(sample, server)
}

/// Shares work among workers while publishers make more for `duration`.
pub(crate) fn queue(server: &Server, batch: u64, duration: Duration) -> io::Result<Sample> {
    let setup = Setup {
        work_queue: true,
        early: false,
    };
    let mut api = store::prepare(server, STREAM, setup)?;
    match server.dialect() {
        Dialect::Nats => api.create_consumer(EXPLICIT)?,
        Dialect::Resp => others::create_group(server)?,
        Dialect::Beanstalk | Dialect::Raw => {}
    }
    let workers = shop::hired(server)?;
    let load = Load {
        size: SIZE,
        window: 100,
        subjects: 1,
    };
    let mut publishers = (0..PUBLISHERS)
        .map(|id| Publisher::open(server, load, id))
        .collect::<io::Result<Vec<_>>>()?;

    let shop = Shop::default();
    let meter = Meter::start(server.pid())?;
    let outcome = thread::scope(|scope| {
        for (id, worker) in workers.iter().enumerate() {
            let shop = &shop;
            let dialect = server.dialect();
            scope.spawn(move || shop.work(|taken| work(worker, dialect, batch, id, taken)));
        }
        let filling: Vec<_> = publishers
            .iter_mut()
            .map(|publisher| scope.spawn(|| shop.fill(publisher, duration)))
            .collect();
        for thread in filling {
            thread.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
        let outcome = shop.drain().and_then(|count| {
            await_empty(server, &mut api, count)?;
            Ok(meter.stop()?.sample(count))
        });
        shop.close(&workers);
        outcome
    });
    // If somebody failed, that explains why the rest did.
    shop.outcome()?;
    with_memory(outcome?, server)
}

/// A worker, who takes until the connection is shut.
fn work(
    connection: &Connection,
    dialect: Dialect,
    batch: u64,
    id: usize,
    taken: &AtomicU64,
) -> io::Result<()> {
    let count = None;
    match dialect {
        Dialect::Nats => {
            let taking = Taking {
                batch,
                verb: DONE,
                answered: false,
                count,
            };
            Taker::new(connection, taking, SIZE, id)?.run(taken)
        }
        Dialect::Resp => {
            let reading = Reading {
                batch,
                deleting: true,
                count,
            };
            let name = format!("worker{id}");
            others::redis(connection, reading, SIZE, &name, taken)
        }
        Dialect::Beanstalk | Dialect::Raw => {
            others::beanstalkd(connection, batch, count, SIZE, taken)
        }
    }
}

/// Waits until the server knows that nothing is left of `count` messages.
fn await_empty(server: &Server, api: &mut Api, count: u64) -> io::Result<()> {
    if server.dialect() == Dialect::Nats {
        api.await_consumed(count)?;
    }
    let begun = Instant::now();
    while api.stored(server)? > 0 && begun.elapsed() < PATIENCE {
        thread::sleep(LOOK_EVERY);
    }
    api.expect_stored(server, 0)
}

pub(crate) fn with_memory(mut sample: Sample, server: &Server) -> io::Result<Sample> {
    meter::add_memory(&mut sample, server.pid())?;
    Ok(sample)
}
