//! A subscription, as its owner sees it.

use crate::client::Client;
use crate::deadline::Deadline;
use crate::message::read_record;
use crate::outbox::FRAME_EXTRA;
use crate::shared::{Route, write_unsub};
use crate::sync::lock;
use crate::{Error, Message};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Messages for one subject, or for all that match a wildcard.
///
/// As an iterator it waits for each message and ends when nothing can come any
/// more: the client was closed, or the subscription was ended. It is ended
/// when it is dropped.
///
/// ```no_run
/// # use midge_client::{Client, Error, Options};
/// # use std::time::Duration;
/// let client = Client::connect("127.0.0.1:4222", Options::default())?;
/// let mut sensors = client.subscribe("sensor.*")?;
/// match sensors.next_timeout(Duration::from_secs(1)) {
///     Ok(message) => println!("{}", message.subject()),
///     Err(Error::Timeout) => println!("nothing yet"),
///     Err(error) => return Err(error),
/// }
/// for message in sensors {
///     println!("{}: {} bytes", message.subject(), message.payload().len());
/// }
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct Subscription {
    client: Client,
    sid: u64,
    route: Arc<Route>,
    /// Messages that were taken from the queue, and how far they are read.
    taken: Vec<u8>,
    read: usize,
    /// How many of them are not read.
    left: usize,
    /// The connections that were seen, if a new one is to be told.
    connections: Option<u64>,
}

impl Subscription {
    pub(crate) fn new(client: Client, sid: u64, route: Arc<Route>) -> Self {
        Subscription {
            client,
            sid,
            route,
            taken: Vec::new(),
            read: 0,
            left: 0,
            connections: None,
        }
    }

    /// Tells of each new connection, once, in place of a message:
    /// [`Error::Lost`]. What others had been asked for is forgotten then.
    #[cfg(feature = "streams")]
    pub(crate) fn telling_breaks(mut self) -> Self {
        self.connections = Some(0);
        self
    }

    /// What it subscribes to.
    pub fn subject(&self) -> &str {
        &self.route.subject
    }

    /// The next message; waits for it until the time is over.
    ///
    /// # Errors
    /// [`Error::Timeout`]; [`Error::Closed`] when nothing can come any more.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Message, Error> {
        self.next_before(&Deadline::after(timeout))
    }

    /// The next message, if it is here already.
    pub fn try_next(&mut self) -> Option<Message> {
        self.next_before(&Deadline::after(Duration::ZERO)).ok()
    }

    pub(crate) fn next_before(&mut self, deadline: &Deadline) -> Result<Message, Error> {
        loop {
            let rest = self.taken.get(self.read..).unwrap_or_default();
            if let Some((message, used)) = read_record(rest) {
                self.read += used;
                self.left = self.left.saturating_sub(1);
                return Ok(message);
            }
            self.read = 0;
            self.taken.clear();
            let connections = self.connections.as_mut();
            self.left = self
                .route
                .queue
                .take(&mut self.taken, deadline, connections)?;
        }
    }

    /// Messages that are here and were not taken yet.
    pub fn len(&self) -> usize {
        self.left + self.route.queue.len()
    }

    /// Whether no message is here.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Messages that were dropped because too many waited here.
    pub fn dropped(&self) -> u64 {
        self.route.queue.dropped()
    }

    /// Ends it once so many messages have come in all, also by itself after
    /// the connection was made anew. What has come can still be taken.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Timeout`].
    pub fn unsubscribe_after(&self, messages: u64) -> Result<(), Error> {
        match self.route.queue.end_after(messages) {
            None => self.stop(),
            Some(left) => self
                .client
                .shared()
                .outbox
                .tell(FRAME_EXTRA, |out| write_unsub(out, self.sid, Some(left))),
        }
    }

    /// Ends it after what the server has sent so far: no more comes, and
    /// everything that is under way can still be taken.
    ///
    /// # Errors
    /// [`Error::Timeout`] if the server does not confirm it in time, and what
    /// [`Client::flush`] has.
    pub fn drain(&self, timeout: Duration) -> Result<(), Error> {
        let shared = self.client.shared();
        // A connection that begins meanwhile is not to make it again.
        self.route.is_leaving.store(true, Ordering::Release);
        shared
            .outbox
            .tell(FRAME_EXTRA, |out| write_unsub(out, self.sid, None))?;
        let done = shared.flush(&Deadline::after(timeout));
        lock(&shared.routes).remove(&self.sid);
        self.route.queue.end();
        done
    }

    /// Whether it was taken back and waits for what is under way.
    #[cfg(test)]
    pub(crate) fn is_leaving(&self) -> bool {
        self.route.is_leaving.load(Ordering::Acquire)
    }

    /// Ends it; messages that were not taken are gone with it. The same as
    /// dropping it.
    pub fn unsubscribe(self) {}

    fn stop(&self) -> Result<(), Error> {
        let shared = self.client.shared();
        let is_known = lock(&shared.routes).remove(&self.sid).is_some();
        // The server knows of an end that it has come to by counting.
        if !is_known || self.route.queue.has_ended() {
            return Ok(());
        }
        self.route.queue.end();
        shared
            .outbox
            .tell(FRAME_EXTRA, |out| write_unsub(out, self.sid, None))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // If it cannot be said there is no connection, and the next one will
        // not know of this.
        let _ = self.stop();
    }
}

impl Iterator for Subscription {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        self.next_before(&Deadline::never()).ok()
    }
}
