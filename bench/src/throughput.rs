//! Publishing as fast as the server takes it: one thread for each publisher
//! and each subscriber, all work that can be done beforehand done beforehand.

use std::io;
use std::panic::resume_unwind;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crate::connection::Connection;
use crate::crowd;
use crate::figures::Sample;
use crate::flow::{Audience, Flow};
use crate::ledger::Ledger;
use crate::meter::{self, Meter};
use crate::server::Server;
use crate::traffic::{SUBJECT, Traffic};

const READ_BUFFER: usize = 256 * 1024;

/// Who publishes what to whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// How many connections publish.
    pub(crate) publishers: usize,
    /// How many connections are subscribed.
    pub(crate) subscribers: usize,
    /// Whether the subscribers share the messages or get each of them.
    pub(crate) audience: Audience,
    /// The size of a message's payload.
    pub(crate) size: usize,
    /// The many other subscriptions there are.
    pub(crate) crowd: Crowd,
}

/// Subscriptions on one connection of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crowd {
    /// There are none.
    Absent,
    /// They get nothing: the cost of their mere presence.
    Idle(usize),
    /// They are what is published to, at random.
    Addressed(usize),
}

/// Everything that one run needs, connected and subscribed.
struct Stage {
    publishers: Vec<Connection>,
    subscribers: Vec<Connection>,
    /// Held for its subscriptions.
    _bystander: Option<Connection>,
    traffic: Traffic,
    flow: Flow,
    /// What the server says after the last message.
    last: &'static [u8],
}

/// Publishes for `duration` and waits until all has arrived.
pub(crate) fn run(server: &Server, shape: &Shape, duration: Duration) -> io::Result<Sample> {
    let stage = Stage::set(server, shape)?;
    let mut sample = stage.play(server, duration)?;
    meter::add_memory(&mut sample, server.pid())?;
    Ok(sample)
}

impl Stage {
    /// Connects and subscribes everybody, and makes every byte to be sent.
    fn set(server: &Server, shape: &Shape) -> io::Result<Self> {
        let dialect = server.dialect();
        let open = || Connection::open(server.port(), dialect);
        let crowded = |count: usize| -> io::Result<Connection> {
            let connection = open()?;
            crowd::join(&connection, dialect, &crowd::frames(dialect, count))?;
            Ok(connection)
        };
        let queue = match shape.audience {
            Audience::Each => "",
            Audience::One => "workers",
        };
        let subscribed = || -> io::Result<Connection> {
            let connection = open()?;
            connection.subscribe(SUBJECT, queue, 1)?;
            Ok(connection)
        };
        let published = || -> io::Result<Connection> {
            let connection = open()?;
            connection.send(dialect.hush())?;
            Ok(connection)
        };

        let (bystander, addressed) = match shape.crowd {
            Crowd::Absent => (None, None),
            Crowd::Idle(count) => (Some(crowded(count)?), None),
            Crowd::Addressed(count) => (None, Some((crowded(count)?, count))),
        };
        let (subscribers, traffic) = match addressed {
            Some((connection, count)) => (
                vec![connection],
                Traffic::to_crowd(dialect, shape.size, count),
            ),
            None => (
                (0..shape.subscribers)
                    .map(|_| subscribed())
                    .collect::<io::Result<_>>()?,
                Traffic::to_one_subject(dialect, shape.size),
            ),
        };
        Ok(Stage {
            publishers: (0..shape.publishers)
                .map(|_| published())
                .collect::<io::Result<_>>()?,
            flow: Flow::new(subscribers.len(), shape.audience),
            subscribers,
            _bystander: bystander,
            traffic,
            last: dialect.subscriber_check().map_or(b"", |check| check.answer),
        })
    }

    /// Runs the threads, from the first byte published to the last received.
    fn play(&self, server: &Server, duration: Duration) -> io::Result<Sample> {
        let meter = Meter::start(server.pid())?;
        let (reading, messages) = thread::scope(|scope| {
            let readers: Vec<_> = (0..self.subscribers.len())
                .map(|index| scope.spawn(move || self.noted(self.read_all(index))))
                .collect();
            let writers: Vec<_> = self
                .publishers
                .iter()
                .map(|publisher| {
                    scope.spawn(move || self.noted(self.write_all(server, publisher, duration)))
                })
                .collect();

            let published: u64 = writers.into_iter().map(joined).sum();
            self.noted(self.flow.drain().and_then(|()| self.flow.outcome()));
            let reading = meter.stop();
            self.end_readers(server);
            let delivered: u64 = readers.into_iter().map(joined).sum();
            let alone = self.subscribers.is_empty();
            (reading, if alone { published } else { delivered })
        });
        self.flow.outcome()?;
        Ok(reading?.sample(messages))
    }

    /// Passes a result on, and tells everybody if it is a failure.
    fn noted<T: Default>(&self, result: io::Result<T>) -> T {
        result.unwrap_or_else(|error| {
            self.flow.fail(&error);
            T::default()
        })
    }

    /// One publisher's thread; returns how many messages it sent.
    fn write_all(
        &self,
        server: &Server,
        publisher: &Connection,
        duration: Duration,
    ) -> io::Result<u64> {
        let deadline = Instant::now() + duration;
        let mut messages = 0;
        for batch in self.traffic.batches.iter().cycle() {
            self.flow.reserve(batch.delivered)?;
            publisher.send(self.traffic.bytes(batch))?;
            messages += batch.messages;
            if Instant::now() >= deadline {
                break;
            }
        }
        if let Some(check) = server.dialect().publisher_check() {
            publisher.exchange(check)?;
        }
        Ok(messages)
    }

    /// One subscriber's thread; returns how many messages it got.
    fn read_all(&self, index: usize) -> io::Result<u64> {
        let subscriber = &self.subscribers[index];
        let mut ledger = Ledger::new(&self.traffic.delivered, self.last);
        let mut buffer = vec![0; READ_BUFFER];
        loop {
            let count = subscriber.receive(&mut buffer)?;
            if count == 0 && self.last.is_empty() {
                // The relay has no last word; the end was our own doing, or
                // else the missing bytes tell.
                return Ok(ledger.messages());
            }
            if count == 0 {
                return Err(ledger.cut());
            }
            ledger.take(&buffer[..count])?;
            self.flow.received(index, ledger.position());
            if ledger.ended() {
                return Ok(ledger.messages());
            }
        }
    }

    /// Has the readers see the end of their streams: by the server's answer
    /// to a last question, or at once if something has failed.
    fn end_readers(&self, server: &Server) {
        let failed = self.flow.outcome().is_err();
        for subscriber in &self.subscribers {
            match server.dialect().subscriber_check() {
                Some(check) if !failed => self.noted(subscriber.send(check.request)),
                _ => subscriber.shut(),
            }
        }
    }
}

/// What the thread returned; its panic becomes ours.
fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}
