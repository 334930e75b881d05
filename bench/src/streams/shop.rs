//! Workers who share what is stored, while it is being stored or afterwards:
//! what was taken, whether that is all, and who failed first.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::connection::{Connection, PATIENCE};
use crate::server::Server;
use crate::streams::publisher::Publisher;

/// How many workers there are.
const WORKERS: usize = 8;
/// How many messages publishers may be ahead of workers.
const AHEAD: u64 = 10_000;
/// How often it is looked whether all is done.
pub(crate) const LOOK_EVERY: Duration = Duration::from_micros(500);

/// The connections of the workers.
pub(crate) fn hired(server: &Server) -> io::Result<Vec<Connection>> {
    (0..WORKERS)
        .map(|_| Connection::open(server.port(), server.dialect()))
        .collect()
}

/// What publishers and workers know of each other.
#[derive(Default)]
pub(crate) struct Shop {
    published: AtomicU64,
    taken: AtomicU64,
    closing: AtomicBool,
    failure: Mutex<Option<String>>,
}

impl Shop {
    /// One with so much in it that was published before.
    pub(crate) fn stocked(count: u64) -> Self {
        Shop {
            published: AtomicU64::new(count),
            ..Shop::default()
        }
    }

    /// A worker's thread, until its connection is shut: `take` counts what it
    /// takes.
    pub(crate) fn work(&self, take: impl FnOnce(&AtomicU64) -> io::Result<()>) {
        let outcome = take(&self.taken);
        if !self.closing.load(SeqCst) {
            self.noted(outcome);
        }
    }

    /// A publisher's thread, until the time is over.
    pub(crate) fn fill(&self, publisher: &mut Publisher, duration: Duration) {
        self.noted(self.publish(publisher, duration));
    }

    fn publish(&self, publisher: &mut Publisher, duration: Duration) -> io::Result<()> {
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
    pub(crate) fn drain(&self) -> io::Result<u64> {
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

    /// Sends the workers home.
    pub(crate) fn close(&self, workers: &[Connection]) {
        self.closing.store(true, SeqCst);
        workers.iter().for_each(Connection::shut);
    }

    /// Keeps the first failure.
    fn noted(&self, result: io::Result<()>) {
        if let Err(error) = result {
            self.lock().get_or_insert_with(|| error.to_string());
        }
    }

    /// The first failure, if there is one.
    pub(crate) fn outcome(&self) -> io::Result<()> {
        match &*self.lock() {
            Some(failure) => Err(io::Error::other(failure.clone())),
            None => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
