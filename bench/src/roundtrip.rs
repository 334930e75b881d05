//! Request and reply: one requester, one responder, and a fixed number of
//! requests in flight. With one in flight it is the time of a round trip and
//! nothing else.

use std::collections::VecDeque;
use std::io;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use crate::connection::Connection;
use crate::figures::{Metric, Sample};
use crate::histogram::Histogram;
use crate::ledger::Ledger;
use crate::meter::{self, Meter};
use crate::server::Server;
use crate::traffic::{Cycle, payload};
use crate::wire::{Dialect, Message};

/// The most requests that may be in flight.
const MOST: usize = 64;
const SIZE: usize = 16;
const SERVICE: &str = "svc.echo";
const INBOX: &str = "_INBOX.bench.1";

/// The frames of both directions, on both sides of the server.
struct Frames {
    request: Cycle,
    request_delivered: Cycle,
    reply: Cycle,
    reply_delivered: Cycle,
}

impl Frames {
    fn new(dialect: Dialect) -> Self {
        let payload = payload(SIZE);
        let request = Message {
            subject: SERVICE,
            reply: INBOX,
            payload: &payload,
        };
        let reply = Message {
            subject: INBOX,
            reply: "",
            payload: &payload,
        };
        Frames {
            request: Cycle::new(MOST, |out, _| dialect.publish(out, request)),
            request_delivered: Cycle::new(MOST, |out, _| dialect.deliver(out, request, 1)),
            reply: Cycle::new(MOST, |out, _| dialect.publish(out, reply)),
            reply_delivered: Cycle::new(MOST, |out, _| dialect.deliver(out, reply, 1)),
        }
    }
}

/// Sends requests for `duration`, `in_flight` of them at any time.
pub(crate) fn run(server: &Server, in_flight: usize, duration: Duration) -> io::Result<Sample> {
    let frames = Frames::new(server.dialect());
    let responder = Connection::open(server.port(), server.dialect())?;
    responder.subscribe(SERVICE, "", 1)?;
    let requester = Connection::open(server.port(), server.dialect())?;
    requester.subscribe(INBOX, "", 1)?;

    let done = AtomicBool::new(false);
    let meter = Meter::start(server.pid())?;
    let (asked, answered) = thread::scope(|scope| {
        let responding = scope.spawn(|| respond(&responder, &frames, &done));
        let asked = request(&requester, &frames, in_flight, duration)
            .and_then(|times| Ok((times, meter.stop()?)));
        done.store(true, SeqCst);
        responder.shut();
        (asked, responding.join())
    });
    // If the responder was cut, that explains why the requester got nothing.
    answered.unwrap_or_else(|panic| resume_unwind(panic))?;
    let (times, reading) = asked?;

    let mut sample = reading.sample(times.total());
    sample.insert(Metric::P50, times.micros(0.5));
    sample.insert(Metric::P99, times.micros(0.99));
    sample.insert(Metric::P999, times.micros(0.999));
    meter::add_memory(&mut sample, server.pid())?;
    Ok(sample)
}

/// The requester: a new request for each reply, until the time is over.
fn request(
    connection: &Connection,
    frames: &Frames,
    in_flight: usize,
    duration: Duration,
) -> io::Result<Histogram> {
    let mut times = Histogram::new();
    let mut ledger = Ledger::new(&frames.reply_delivered, b"");
    let mut buffer = vec![0; 64 * 1024];
    // Replies come in the order of the requests: there is one responder, and
    // the server keeps the order of each publisher.
    let mut begun: VecDeque<Instant> = VecDeque::new();
    let deadline = Instant::now() + duration;
    let mut due = in_flight;
    loop {
        let now = Instant::now();
        if now < deadline && due > 0 {
            begun.extend(std::iter::repeat_n(now, due));
            connection.send(frames.request.first(due))?;
        } else if begun.is_empty() {
            return Ok(times);
        }
        due = take(connection, &mut ledger, &mut buffer)?;
        let now = Instant::now();
        for begun in begun.drain(..due.min(begun.len())) {
            times.record(now - begun);
        }
    }
}

/// The responder: a reply for each request, until the connection ends.
fn respond(connection: &Connection, frames: &Frames, done: &AtomicBool) -> io::Result<()> {
    let mut ledger = Ledger::new(&frames.request_delivered, b"");
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match take(connection, &mut ledger, &mut buffer) {
            Ok(requests) => connection.send(frames.reply.first(requests))?,
            Err(_) if done.load(SeqCst) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Reads once and returns how many messages that completed.
fn take(connection: &Connection, ledger: &mut Ledger<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let before = ledger.messages();
    let count = connection.receive(buffer)?;
    if count == 0 {
        return Err(ledger.cut());
    }
    ledger.take(&buffer[..count])?;
    Ok((ledger.messages() - before) as usize)
}
