//! Taking what is stored: by pulling, by being pushed, and by workers who
//! share it while it is being stored.

use std::io;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::connection::{Connection, PATIENCE};
use crate::figures::Sample;
use crate::meter::{self, Meter};
use crate::server::Server;
use crate::streams::SIZE;
use crate::streams::api::{Api, Setup};
use crate::streams::others::{self, Reading};
use crate::streams::publisher::{Load, Publisher, preload};
use crate::streams::pull::{Taker, Taking};
use crate::streams::store;
use crate::wire::Dialect;

/// How many messages are asked for at once by one who takes all.
const BATCH: u64 = 1000;
const WORKERS: usize = 8;
const PUBLISHERS: usize = 2;
/// How many messages publishers may be ahead of workers.
const AHEAD: u64 = 10_000;
/// How often it is looked whether all is done.
const LOOK_EVERY: Duration = Duration::from_micros(500);

/// The acknowledged messages that a consumer may have taken: beyond what is
/// ever on its way here, so that it is in nobody's way.
const EXPLICIT: &str = "\"ack_policy\":\"explicit\",\"max_ack_pending\":10000";

/// How long storing beforehand may take: a server that needs longer for all
/// has fewer to take.
fn loading(duration: Duration) -> Duration {
    duration * 10
}

/// Pulls and acknowledges what was stored before.
pub(crate) fn pull(
    server: &Server,
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
            api.create_consumer(EXPLICIT)?;
            let taking = Taking {
                batch: BATCH,
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
    let mut api = store::prepare(server, setup)?;
    match server.dialect() {
        Dialect::Nats => api.create_consumer(EXPLICIT)?,
        Dialect::Resp => others::create_group(server)?,
        Dialect::Beanstalk | Dialect::Raw => {}
    }
    let workers = (0..WORKERS)
        .map(|_| Connection::open(server.port(), server.dialect()))
        .collect::<io::Result<Vec<_>>>()?;
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
            scope.spawn(move || shop.noted(shop.work(worker, server.dialect(), batch, id)));
        }
        let filling: Vec<_> = publishers
            .iter_mut()
            .map(|publisher| scope.spawn(|| shop.noted(shop.fill(publisher, duration))))
            .collect();
        for thread in filling {
            thread.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
        let outcome = shop.drain().and_then(|count| {
            await_empty(server, &mut api, count)?;
            Ok(meter.stop()?.sample(count))
        });
        shop.closing.store(true, SeqCst);
        workers.iter().for_each(Connection::shut);
        outcome
    });
    // If somebody failed, that explains why the rest did.
    shop.outcome()?;
    with_memory(outcome?, server)
}

/// What publishers and workers know of each other.
#[derive(Default)]
struct Shop {
    published: AtomicU64,
    taken: AtomicU64,
    closing: AtomicBool,
    failure: Mutex<Option<String>>,
}

impl Shop {
    /// A worker's thread, until its connection is shut.
    fn work(
        &self,
        connection: &Connection,
        dialect: Dialect,
        batch: u64,
        id: usize,
    ) -> io::Result<()> {
        let count = None;
        let outcome = match dialect {
            Dialect::Nats => {
                let answered = false;
                let taking = Taking {
                    batch,
                    answered,
                    count,
                };
                Taker::new(connection, taking, SIZE, id)?.run(&self.taken)
            }
            Dialect::Resp => {
                let deleting = true;
                let reading = Reading {
                    batch,
                    deleting,
                    count,
                };
                let name = format!("worker{id}");
                others::redis(connection, reading, SIZE, &name, &self.taken)
            }
            Dialect::Beanstalk | Dialect::Raw => {
                others::beanstalkd(connection, batch, count, SIZE, &self.taken)
            }
        };
        match outcome {
            Err(_) if self.closing.load(SeqCst) => Ok(()),
            other => other,
        }
    }

    /// A publisher's thread, until the time is over.
    fn fill(&self, publisher: &mut Publisher, duration: Duration) -> io::Result<()> {
        let deadline = Instant::now() + duration;
        let mut counted = 0;
        publisher.run(|sent| {
            self.published.fetch_add(sent - counted, SeqCst);
            counted = sent;
            if Instant::now() >= deadline || self.outcome().is_err() {
                return None;
            }
            // Granted to each of them, so it is passed by a window or two.
            let ahead = self
                .published
                .load(SeqCst)
                .saturating_sub(self.taken.load(SeqCst));
            Some(AHEAD.saturating_sub(ahead))
        })
    }

    /// Waits until all is taken, and returns how much that is.
    fn drain(&self) -> io::Result<u64> {
        let published = self.published.load(SeqCst);
        let (mut last, mut moved) = (0, Instant::now());
        loop {
            self.outcome()?;
            let taken = self.taken.load(SeqCst);
            if taken >= published {
                return Ok(published);
            }
            if taken != last {
                (last, moved) = (taken, Instant::now());
            } else if moved.elapsed() > PATIENCE {
                return Err(io::Error::other(format!(
                    "messages lost: {taken} of {published} were taken, and then no more"
                )));
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Keeps the first failure.
    fn noted(&self, result: io::Result<()>) {
        if let Err(error) = result {
            self.lock().get_or_insert_with(|| error.to_string());
        }
    }

    fn outcome(&self) -> io::Result<()> {
        match &*self.lock() {
            Some(failure) => Err(io::Error::other(failure.clone())),
            None => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
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

fn with_memory(mut sample: Sample, server: &Server) -> io::Result<Sample> {
    meter::add_memory(&mut sample, server.pid())?;
    Ok(sample)
}
