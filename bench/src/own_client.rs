//! The same work through `midge-client`, to see what the client adds to the
//! bare load: each case here has a like without it.

use std::io;
use std::panic::resume_unwind;
use std::thread;
use std::time::{Duration, Instant};

use midge_client::{Client, Options, Subscription};

use crate::figures::{Metric, Sample};
use crate::flow::{Audience, Flow};
use crate::histogram::Histogram;
use crate::meter::{self, Meter};
use crate::proc;
use crate::server::Server;
use crate::traffic::{SUBJECT, payload};

const SERVICE: &str = "svc.echo";

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(20);

/// Messages between two looks at the clock and at how far others are.
const BATCH: u64 = 256;

/// Says to a subscriber that nothing follows.
const HAS_READ_ALL: &str = "bench.end";

/// What is done through the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    /// Publish messages of this size, with nobody listening.
    Publish(usize),
    /// Publish messages of this size and take them.
    PublishAndTake(usize),
    /// Ask one question at a time.
    Request,
    /// Have so many connections, each of which has asked and heard something.
    Connect(usize),
}

/// Does it for so long.
pub(crate) fn run(server: &Server, job: Job, duration: Duration) -> io::Result<Sample> {
    let mut sample = match job {
        // Its memory is the client's own.
        Job::Connect(count) => return connections(server, count),
        Job::Publish(size) => publish(server, size, duration),
        Job::PublishAndTake(size) => publish_and_take(server, size, duration),
        Job::Request => request(server, duration),
    }?;
    meter::add_memory(&mut sample, server.pid())?;
    Ok(sample)
}

fn connect(server: &Server) -> io::Result<Client> {
    let options = Options {
        reconnects: false,
        ..Options::default()
    };
    Client::connect(&format!("127.0.0.1:{}", server.port()), options).map_err(io::Error::other)
}

/// How long clients are left alone before their memory is read.
const SETTLE: Duration = Duration::from_millis(200);

/// What each client takes of this process, threads included.
fn connections(server: &Server, count: usize) -> io::Result<Sample> {
    let used = |_| -> io::Result<(Client, Subscription)> {
        let client = connect(server)?;
        let mut messages = client
            .subscribe(&client.new_inbox())
            .map_err(io::Error::other)?;
        client
            .publish(messages.subject(), "hello")
            .and_then(|()| messages.next_timeout(PATIENCE))
            .map_err(io::Error::other)?;
        Ok((client, messages))
    };
    // What is made once and for all is not to be counted.
    let first = used(0)?;
    let meter = Meter::start(server.pid())?;
    let before = proc::memory(std::process::id())?.resident;
    let held = (0..count).map(used).collect::<io::Result<Vec<_>>>()?;
    let mut sample = meter.stop()?.sample(count as u64);
    thread::sleep(SETTLE);
    let resident = proc::memory(std::process::id())?.resident;
    drop((first, held));
    sample.insert(Metric::Resident, resident as f64);
    let grown = resident.saturating_sub(before);
    sample.insert(Metric::BytesEach, grown as f64 / count as f64);
    Ok(sample)
}

fn publish(server: &Server, size: usize, duration: Duration) -> io::Result<Sample> {
    let client = connect(server)?;
    let meter = Meter::start(server.pid())?;
    let messages = publish_all(&client, size, duration, |_| Ok(()))?;
    Ok(meter.stop()?.sample(messages))
}

/// Publishes until the time is over and the server has all of it.
fn publish_all(
    client: &Client,
    size: usize,
    duration: Duration,
    before: impl Fn(u64) -> io::Result<()>,
) -> io::Result<u64> {
    let payload = payload(size);
    let deadline = Instant::now() + duration;
    let mut messages = 0;
    while Instant::now() < deadline {
        before(BATCH * size as u64)?;
        for _ in 0..BATCH {
            client
                .publish(SUBJECT, &payload)
                .map_err(io::Error::other)?;
        }
        messages += BATCH;
    }
    client.flush(PATIENCE).map_err(io::Error::other)?;
    Ok(messages)
}

fn publish_and_take(server: &Server, size: usize, duration: Duration) -> io::Result<Sample> {
    let (publisher, subscriber) = (connect(server)?, connect(server)?);
    let mut messages = subscriber.subscribe(">").map_err(io::Error::other)?;
    subscriber.flush(PATIENCE).map_err(io::Error::other)?;
    let flow = Flow::new(1, Audience::Each);
    let meter = Meter::start(server.pid())?;
    let (published, taken) = thread::scope(|scope| {
        let taking = scope.spawn(|| {
            let (mut count, mut bytes) = (0, 0);
            while let Ok(message) = messages.next_timeout(PATIENCE) {
                if message.subject() == HAS_READ_ALL {
                    break;
                }
                count += 1;
                bytes += message.payload().len() as u64;
                if count % BATCH == 0 {
                    flow.received(0, bytes);
                }
            }
            count
        });
        let published = publish_all(&publisher, size, duration, |bytes| flow.reserve(bytes));
        let ended = publisher.publish(HAS_READ_ALL, "");
        let taken = taking.join().unwrap_or_else(|panic| resume_unwind(panic));
        (ended.map_err(io::Error::other).and(published), taken)
    });
    let published = published?;
    if published != taken {
        let lost = format!("{published} messages were published and {taken} taken");
        return Err(io::Error::other(lost));
    }
    Ok(meter.stop()?.sample(taken))
}

fn request(server: &Server, duration: Duration) -> io::Result<Sample> {
    let (requester, responder) = (connect(server)?, connect(server)?);
    let questions = responder.subscribe(SERVICE).map_err(io::Error::other)?;
    responder.flush(PATIENCE).map_err(io::Error::other)?;
    let meter = Meter::start(server.pid())?;
    let times = thread::scope(|scope| {
        let answering = scope.spawn(|| {
            for question in questions {
                // Who asks notices if it does not come.
                let _ = responder.respond(&question, question.payload());
            }
        });
        let times = ask_all(&requester, duration);
        responder.close();
        answering
            .join()
            .unwrap_or_else(|panic| resume_unwind(panic));
        times
    })?;
    let mut sample = meter.stop()?.sample(times.total());
    sample.insert(Metric::P50, times.micros(0.5));
    sample.insert(Metric::P99, times.micros(0.99));
    sample.insert(Metric::P999, times.micros(0.999));
    Ok(sample)
}

fn ask_all(requester: &Client, duration: Duration) -> io::Result<Histogram> {
    let payload = payload(16);
    let mut times = Histogram::new();
    let deadline = Instant::now() + duration;
    loop {
        let begun = Instant::now();
        if begun >= deadline {
            return Ok(times);
        }
        requester
            .request(SERVICE, &payload, Some(PATIENCE))
            .map_err(io::Error::other)?;
        times.record(begun.elapsed());
    }
}
