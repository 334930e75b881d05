//! Messages without end: asks for more before there are none.
//!
//! Whoever waits for a message also looks whether the request still lives. A
//! server shows by heartbeats that it does; after two that did not come, and
//! after every break of the connection, it is asked anew.

use super::consumer::{Consumer, Request};
use super::pull_status::PullStatus;
use super::stream_message::StreamMessage;
use crate::deadline::Deadline;
use crate::{Error, Message, Subscription};
use std::time::{Duration, Instant};

/// Nobody is asked for signs of life more often than that: a pause of the
/// network is none of the server.
const HEARTBEAT_MIN: Duration = Duration::from_millis(50);

/// How long to wait before a server that was not ready is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// How to keep asking a consumer for messages.
#[derive(Debug, Clone, Copy)]
pub struct PullOptions {
    /// Messages that are on their way or wait here, at most. A consumer's
    /// `max_ack_pending` may allow less: then more come as these are
    /// acknowledged.
    pub batch: u64,
    /// How long one request lives.
    pub expires: Duration,
    /// How often the server shows that it is there while no messages come; at
    /// most half of `expires`. Twice as long without anything, and it is asked
    /// again.
    pub heartbeat: Duration,
    /// More are asked for when so many are still to come; `None` is half of
    /// `batch`.
    pub threshold: Option<u64>,
}

impl Default for PullOptions {
    fn default() -> Self {
        PullOptions {
            batch: 500,
            expires: Duration::from_secs(30),
            heartbeat: Duration::from_secs(5),
            threshold: None,
        }
    }
}

/// The messages of a consumer, as they come.
///
/// The iterator waits for each. It goes on when the connection breaks or the
/// server is away for a while, and ends, after the error that says why, when
/// nothing can come any more: the consumer or its stream was deleted, the
/// client was closed, or the server refuses the requests. Messages that are
/// here and not taken when it is dropped are delivered again once the
/// consumer's `ack_wait` is over.
#[derive(Debug)]
pub struct Messages {
    consumer: Consumer,
    options: PullOptions,
    inbox: Subscription,
    /// Messages that requests have still to bring.
    outstanding: u64,
    /// When something came from the consumer, or it was asked.
    heard: Instant,
    /// Do not ask before.
    not_before: Option<Instant>,
    /// A break ends it: whoever has it begins anew.
    ends_at_breaks: bool,
    /// The number of the last delivery.
    last_delivery: u64,
    has_ended: bool,
}

impl Consumer {
    /// Asks for messages, again and again.
    ///
    /// ```no_run
    /// # let client = midge_client::Client::connect("127.0.0.1", Default::default())?;
    /// let packer = client.streams().consumer("ORDERS", "packer")?;
    /// for message in packer.messages(Default::default())? {
    ///     let message = message?;
    ///     println!("{}", message.subject());
    ///     message.ack()?;
    /// }
    /// # Ok::<(), midge_client::Error>(())
    /// ```
    ///
    /// # Errors
    /// What [`Client::subscribe`](crate::Client::subscribe) has. That the
    /// consumer is not there is told by the first message.
    pub fn messages(&self, options: PullOptions) -> Result<Messages, Error> {
        Ok(Messages {
            consumer: self.clone(),
            options,
            inbox: self.inbox()?,
            outstanding: 0,
            heard: Instant::now(),
            not_before: None,
            ends_at_breaks: false,
            last_delivery: 0,
            has_ended: false,
        })
    }
}

impl Messages {
    /// Ends with [`Error::Lost`] where it would ask again after messages may
    /// have been lost.
    pub(super) fn ending_at_breaks(mut self) -> Self {
        self.ends_at_breaks = true;
        self
    }

    /// The next message; waits for it until the time is over. When nobody
    /// takes the requests the server is asked whether the consumer is still
    /// there, and that may take as long as an answer may take on top
    /// ([`StreamsOptions::timeout`](super::StreamsOptions::timeout)).
    ///
    /// # Errors
    /// [`Error::Timeout`]: it goes on, and can be asked again. Any other error
    /// ends it: [`Error::Api`] if the consumer or its stream is not there any
    /// more, [`Error::Status`] if the server refuses the requests,
    /// [`Error::Closed`] if the client was closed, or it has ended before.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<StreamMessage, Error> {
        self.next_before(&Deadline::after(timeout))
    }

    /// The next message, if it is here already.
    ///
    /// # Errors
    /// Those that end it, as of [`next_timeout`](Messages::next_timeout).
    pub fn try_next(&mut self) -> Result<Option<StreamMessage>, Error> {
        match self.next_timeout(Duration::ZERO) {
            Err(Error::Timeout) => Ok(None),
            next => next.map(Some),
        }
    }

    /// Messages that are here and were not taken yet.
    pub fn len(&self) -> usize {
        self.inbox.len()
    }

    /// Whether no message is here.
    pub fn is_empty(&self) -> bool {
        self.inbox.is_empty()
    }

    pub(super) fn next_before(&mut self, deadline: &Deadline) -> Result<StreamMessage, Error> {
        if self.has_ended {
            return Err(Error::Closed);
        }
        let next = self.advance(deadline);
        self.has_ended = !matches!(next, Ok(_) | Err(Error::Timeout));
        next
    }

    fn advance(&mut self, deadline: &Deadline) -> Result<StreamMessage, Error> {
        loop {
            self.ask_for_more()?;
            let silent_at = self.heard.checked_add(self.heartbeat() * 2);
            let due = self.not_before.or(silent_at);
            match self.inbox.next_before(&deadline.or(due)) {
                Ok(message) => {
                    self.heard = Instant::now();
                    if let Some(message) = self.take_in(message)? {
                        return Ok(message);
                    }
                }
                Err(Error::Timeout) => {
                    deadline.left().ok_or(Error::Timeout)?;
                    self.look()?;
                }
                // The server has forgotten what it was asked for.
                Err(Error::Lost) if !self.ends_at_breaks => self.forget(None),
                Err(error) => return Err(error),
            }
        }
    }

    fn heartbeat(&self) -> Duration {
        let heartbeat = self.options.heartbeat.min(self.options.expires / 2);
        heartbeat.max(HEARTBEAT_MIN)
    }

    fn ask_for_more(&mut self) -> Result<(), Error> {
        let batch = self.options.batch.max(1);
        let threshold = self.options.threshold.unwrap_or(batch / 2);
        let is_early = self.not_before.is_some_and(|time| Instant::now() < time);
        if self.outstanding > threshold.min(batch - 1) || is_early {
            return Ok(());
        }
        self.not_before = None;
        let request = Request {
            batch: batch - self.outstanding,
            bytes_max: 0,
            expires: Some(self.options.expires),
            heartbeat: self.heartbeat(),
        };
        match self.consumer.request(&self.inbox, request) {
            Ok(()) => {
                self.outstanding = batch;
                self.heard = Instant::now();
                Ok(())
            }
            Err(error) if error.is_passing() => {
                self.forget(Some(ASK_AGAIN));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// What was asked for does not come any more: asks anew, at once or after
    /// a while.
    fn forget(&mut self, pause: Option<Duration>) {
        self.outstanding = 0;
        self.not_before = pause.and_then(|pause| Instant::now().checked_add(pause));
    }

    /// Nothing came for too long, or a pause is over.
    fn look(&mut self) -> Result<(), Error> {
        if self.not_before.is_some() || self.heard.elapsed() < self.heartbeat() * 2 {
            return Ok(());
        }
        self.heard = Instant::now();
        if !self.consumer.streams.client.is_connected() {
            // It is told when there is a connection.
            return Ok(());
        }
        if self.ends_at_breaks {
            return Err(Error::Lost);
        }
        self.ask_whether_it_lives()
    }

    /// Asks anew, unless the consumer is gone.
    fn ask_whether_it_lives(&mut self) -> Result<(), Error> {
        match self.consumer.info() {
            Ok(_) => self.forget(None),
            Err(error) if error.is_passing() => self.forget(Some(ASK_AGAIN)),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// A message of the stream, or what the server says in place of one.
    fn take_in(&mut self, message: Message) -> Result<Option<StreamMessage>, Error> {
        match PullStatus::read(&message) {
            None => {
                self.outstanding = self.outstanding.saturating_sub(1);
                let client = &self.consumer.streams.client;
                let message = StreamMessage::new(client, message)?;
                if self.ends_at_breaks {
                    self.last_delivery = message.metadata().consumer_seq;
                }
                return Ok(Some(message));
            }
            Some(PullStatus::Beat(delivery)) => {
                if self.ends_at_breaks && delivery > Some(self.last_delivery) {
                    return Err(Error::Lost);
                }
            }
            Some(PullStatus::Ended(_, left)) => {
                let left = left.unwrap_or(self.outstanding);
                self.outstanding = self.outstanding.saturating_sub(left);
            }
            Some(PullStatus::Unheard) => {
                self.ask_whether_it_lives()?;
                // It is there and takes nothing: it may be about to start.
                self.forget(Some(ASK_AGAIN));
            }
            Some(PullStatus::Failed(error)) if error.is_passing() => {
                self.forget(Some(ASK_AGAIN));
            }
            Some(PullStatus::Failed(error)) => return Err(error),
        }
        Ok(None)
    }
}

impl Iterator for Messages {
    type Item = Result<StreamMessage, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        Some(self.next_before(&Deadline::never()))
    }
}
