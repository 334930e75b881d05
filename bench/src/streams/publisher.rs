//! Storing messages with a window: so many may be on their way without an
//! acknowledgement, and as acknowledgements come, as many more are sent.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::connection::Connection;
use crate::server::Server;
use crate::streams::acks::Acks;
use crate::streams::api::{STREAM, subjects_of};
use crate::traffic::{Cycle, payload};
use crate::wire::{Dialect, Message};

/// The window for what only has to be there.
const WIDE: u64 = 1000;

/// The least part of the window that is sent anew, so that a server which
/// acknowledges one by one is not fed one by one.
const PART: u64 = 8;

/// How often somebody asks who may send nothing at the moment.
const ASK_EVERY: Duration = Duration::from_micros(200);

/// What is stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// The size of a payload.
    pub(crate) size: usize,
    /// How many messages may be unacknowledged.
    pub(crate) window: u64,
    /// How many subjects take turns.
    pub(crate) subjects: usize,
}

/// One connection that stores.
pub(crate) struct Publisher {
    connection: Connection,
    cycle: Cycle,
    window: u64,
    acks: Acks,
    sent: u64,
}

impl Publisher {
    /// Connects, and makes every byte that will be sent. The number tells
    /// publishers on one server apart.
    pub(crate) fn open(server: &Server, load: Load, number: usize) -> io::Result<Self> {
        Self::open_to(server, STREAM, load, number)
    }

    /// The same to a stream of another name.
    pub(crate) fn open_to(
        server: &Server,
        stream: &str,
        load: Load,
        number: usize,
    ) -> io::Result<Self> {
        let dialect = server.dialect();
        let root = subjects_of(stream);
        let inbox = format!("_INBOX.bench.ack{number}");
        let connection = Connection::open(server.port(), dialect)?;
        if dialect == Dialect::Nats {
            connection.subscribe(&inbox, "", 1)?;
        }
        let payload = payload(load.size);
        let count = load.subjects.max(2 * load.window as usize).max(16);
        let cycle = Cycle::new(count, |out, index| {
            let subject = match dialect {
                Dialect::Nats => format!("{root}.{}", index % load.subjects),
                _ => stream.to_owned(),
            };
            let message = Message {
                subject: &subject,
                reply: &inbox,
                payload: &payload,
            };
            dialect.store(out, message);
        });
        Ok(Publisher {
            connection,
            cycle,
            window: load.window,
            acks: Acks::new(dialect, stream),
            sent: 0,
        })
    }

    /// How many messages were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// How many of them were acknowledged.
    pub(crate) fn acked(&self) -> u64 {
        self.acks.counted()
    }

    /// Sends until `budget`, told how many messages were sent, grants none for
    /// ever, and waits for every acknowledgement.
    pub(crate) fn run(&mut self, mut budget: impl FnMut(u64) -> Option<u64>) -> io::Result<()> {
        let mut buffer = vec![0; 256 * 1024];
        let mut open = true;
        loop {
            let in_flight = self.sent - self.acked();
            let room = self.window - in_flight;
            if open && (in_flight == 0 || room >= (self.window / PART).max(1)) {
                match budget(self.sent) {
                    Some(most) => self.send(most.min(room))?,
                    None => open = false,
                }
            }
            if self.sent == self.acked() {
                if !open {
                    return Ok(());
                }
                thread::sleep(ASK_EVERY);
                continue;
            }
            let count = self.connection.receive(&mut buffer)?;
            if count == 0 {
                return Err(io::Error::other("the server closed the connection"));
            }
            self.acks.take(&buffer[..count])?;
            if self.acked() > self.sent {
                return Err(io::Error::other("more was acknowledged than was sent"));
            }
        }
    }

    /// Sends as long as the time lasts.
    pub(crate) fn run_for(&mut self, duration: Duration) -> io::Result<()> {
        let deadline = Instant::now() + duration;
        self.run(|_| (Instant::now() < deadline).then_some(u64::MAX))
    }

    fn send(&mut self, count: u64) -> io::Result<()> {
        let mut left = count as usize;
        while left > 0 {
            let first = (self.sent % self.cycle.len() as u64) as usize;
            let end = (first + left).min(self.cycle.len());
            self.connection.send(self.cycle.frames(first..end))?;
            self.sent += (end - first) as u64;
            left -= end - first;
        }
        Ok(())
    }
}

/// Stores `count` messages of that size, or as many as are stored within the
/// limit, and returns how many those are.
pub(crate) fn preload(
    server: &Server,
    size: usize,
    count: u64,
    limit: Duration,
) -> io::Result<u64> {
    preload_to(server, STREAM, size, 1, count, limit)
}

/// The same to a stream of another name, on subjects that take turns.
pub(crate) fn preload_to(
    server: &Server,
    stream: &str,
    size: usize,
    subjects: usize,
    count: u64,
    limit: Duration,
) -> io::Result<u64> {
    let load = Load {
        size,
        window: WIDE,
        subjects,
    };
    let mut publisher = Publisher::open_to(server, stream, load, 0)?;
    let begun = Instant::now();
    publisher.run(|sent| (sent < count && begun.elapsed() < limit).then(|| count - sent))?;
    Ok(publisher.acked())
}
