//! One request for messages, until it ends.

use super::consumer::{Consumer, Request};
use super::pull_status::PullStatus;
use super::stream_message::StreamMessage;
use crate::deadline::Deadline;
use crate::{Error, Subscription};
use std::time::Duration;

/// What to ask a consumer for, once.
#[derive(Debug, Clone, Copy)]
pub struct FetchOptions {
    /// At most so many messages.
    pub batch: u64,
    /// At most so many bytes, as the server counts them: subjects and headers
    /// included. Zero is no bound. A message that is longer by itself is never
    /// sent then.
    pub bytes_max: u64,
    /// How long to wait for them; `None` takes what is there and does not
    /// wait.
    pub expires: Option<Duration>,
}

impl Default for FetchOptions {
    /// Waits five seconds for up to a hundred messages.
    fn default() -> Self {
        FetchOptions {
            batch: 100,
            bytes_max: 0,
            expires: Some(Duration::from_secs(5)),
        }
    }
}

/// How a request for messages ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// As many messages came as were asked for.
    Complete,
    /// There are no more, and it was not to wait.
    NoMessages,
    /// Its time was over.
    Expired,
    /// The next message would be more bytes than were asked for.
    Bytes,
}

/// The messages of one request, as they come.
///
/// The iterator ends with the request; [`end`](Fetch::end) tells how. A
/// request that fails gives an error as the last one.
#[derive(Debug)]
pub struct Fetch {
    consumer: Consumer,
    inbox: Subscription,
    /// Messages that may still come.
    left: u64,
    deadline: Deadline,
    end: Option<End>,
    has_failed: bool,
}

impl Consumer {
    /// Asks for messages, once.
    ///
    /// ```no_run
    /// # use midge_client::streams::FetchOptions;
    /// # let client = midge_client::Client::connect("127.0.0.1", Default::default())?;
    /// let packer = client.streams().consumer("ORDERS", "packer")?;
    /// for message in packer.fetch(FetchOptions { batch: 10, ..Default::default() })? {
    ///     message?.ack()?;
    /// }
    /// # Ok::<(), midge_client::Error>(())
    /// ```
    ///
    /// # Errors
    /// What [`Client::subscribe`](crate::Client::subscribe) and
    /// [`Client::send`](crate::Client::send) have.
    pub fn fetch(&self, options: FetchOptions) -> Result<Fetch, Error> {
        let inbox = self.inbox()?;
        // The server says when it is over; one that does not is given up.
        let grace = self.streams.timeout;
        let span = options.expires.unwrap_or_default().saturating_add(grace);
        self.request(
            &inbox,
            Request {
                batch: options.batch,
                bytes_max: options.bytes_max,
                expires: options.expires,
                heartbeat: Duration::ZERO,
            },
        )?;
        Ok(Fetch {
            consumer: self.clone(),
            inbox,
            left: options.batch.max(1),
            deadline: Deadline::after(span),
            end: None,
            has_failed: false,
        })
    }
}

impl Fetch {
    /// How the request ended, once it has and did not fail.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// The next message; nothing once the request has ended.
    fn advance(&mut self) -> Result<Option<StreamMessage>, Error> {
        loop {
            if self.left == 0 {
                self.end.get_or_insert(End::Complete);
                return Ok(None);
            }
            let message = self.inbox.next_before(&self.deadline)?;
            match PullStatus::read(&message) {
                None => {
                    self.left -= 1;
                    let client = &self.consumer.streams.client;
                    return StreamMessage::new(client, message).map(Some);
                }
                Some(PullStatus::Beat(_)) => {}
                Some(PullStatus::Ended(end, _)) => {
                    self.left = 0;
                    self.end = Some(end);
                }
                Some(PullStatus::Unheard) => return Err(self.consumer.unheard()),
                Some(PullStatus::Failed(error)) => return Err(error),
            }
        }
    }
}

impl Iterator for Fetch {
    type Item = Result<StreamMessage, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        let next = self.advance();
        self.has_failed = next.is_err();
        next.transpose()
    }
}
