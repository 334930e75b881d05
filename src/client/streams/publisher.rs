//! Publishing into streams without waiting for each answer.
//!
//! Up to a window of messages is on its way; who publishes more waits until
//! answers make room. All answers come to one wildcard subscription. There is
//! no thread for them: whoever waits, for room or for a message, takes them in
//! for all.

use super::api::Streams;
use super::pub_ack::PubAck;
use super::window::{Sent, Window};
use crate::deadline::Deadline;
use crate::sync::{lock, wait};
use crate::{Client, Error, Message, Publish, Subscription};
use midge_proto::encode::Decimal;
use midge_proto::headers::name;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Who waits for room waits until this part of the window is free: one
/// message in each write would be slow.
const ROOM_PART: usize = 8;

/// The largest window: 1 M messages, of which each has a place in memory.
const WINDOW_MAX: usize = 1 << 20;

/// How long answers to messages of an earlier connection are waited for. It
/// is sent again at once what was not sent whole, so they come soon or never.
const LOST_AFTER: Duration = Duration::from_secs(2);

/// How long to wait before a message for which nobody was there is sent again:
/// as long as a server takes to open a stream.
const RETRY_WAIT: Duration = Duration::from_millis(250);

/// How a [`Publisher`] works.
#[derive(Debug, Clone)]
pub struct PublisherOptions {
    /// Messages that may be without an answer; 1 to 1,048,576. Who publishes
    /// more waits.
    pub window_max: usize,
    /// How long an answer may take. `None` is that of the [`Streams`].
    pub timeout: Option<Duration>,
    /// How often a message is sent again whose answer does not come in time.
    /// Only messages with an [id](crate::Headers::message_id) are: without one
    /// they could be stored twice.
    pub retries: u32,
}

impl Default for PublisherOptions {
    fn default() -> Self {
        PublisherOptions {
            // What a stream on a slow disk takes in one commit.
            window_max: 1000,
            timeout: None,
            retries: 0,
        }
    }
}

/// Publishes into streams, many messages at a time.
///
/// Each message is answered once it is stored. Nobody has to wait for that:
/// what fails without anybody waiting is told by [`flush`](Publisher::flush),
/// which has to be the end of everything that is published.
///
/// ```no_run
/// # use midge_client::{Client, Options, Publish};
/// # use std::time::Duration;
/// # let client = Client::connect("127.0.0.1:4222", Options::default())?;
/// let publisher = client.streams().publisher(Default::default())?;
/// for number in 0..100_000 {
///     publisher.publish(&Publish::new("readings.7", &number.to_string()))?;
/// }
/// publisher.flush(Duration::from_secs(30))?;
/// # Ok::<(), midge_client::Error>(())
/// ```
#[derive(Debug)]
pub struct Publisher {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    timeout: Duration,
    retries: u32,
    state: Mutex<State>,
    /// Answers were taken in.
    changed: Condvar,
    /// Locked by whoever takes answers in, before `state`.
    answers: Mutex<Subscription>,
    /// What the reply subjects begin with, up to their last dot.
    prefix: String,
}

#[derive(Debug)]
struct State {
    window: Window,
    /// Somebody takes answers in.
    is_served: bool,
    /// The reply subject of the message before, to write the next one in.
    reply: String,
    /// The stream of the answer before.
    stream: Arc<str>,
}

/// A message on its way. Dropping it is to say that nobody waits for it: if it
/// fails, [`Publisher::flush`] tells.
#[derive(Debug)]
pub struct Pending {
    inner: Arc<Inner>,
    number: u64,
}

impl Streams {
    /// A publisher of many messages.
    ///
    /// # Errors
    /// As [`Client::subscribe`].
    pub fn publisher(&self, options: PublisherOptions) -> Result<Publisher, Error> {
        let inbox = self.client.new_inbox();
        let answers = self.client.subscribe_bounded(&format!("{inbox}.*"))?;
        let window_max = options.window_max.clamp(1, WINDOW_MAX);
        Ok(Publisher {
            inner: Arc::new(Inner {
                client: self.client.clone(),
                timeout: options.timeout.unwrap_or(self.timeout),
                retries: options.retries,
                state: Mutex::new(State {
                    window: Window::new(window_max),
                    is_served: false,
                    reply: String::new(),
                    stream: "".into(),
                }),
                changed: Condvar::new(),
                answers: Mutex::new(answers.telling_breaks()),
                prefix: format!("{inbox}."),
            }),
        })
    }
}

impl Publisher {
    /// Publishes a message; its reply subject is replaced. Waits while the
    /// window is full.
    ///
    /// # Errors
    /// [`Error::Unstored`] instead of publishing, with all failures so far,
    /// once as many messages as the window has have failed and nobody waited
    /// for them. [`Error::Full`] without a connection, and what
    /// [`Client::send`] has.
    pub fn publish(&self, message: &Publish<'_>) -> Result<Pending, Error> {
        let inner = &self.inner;
        let mut room = 1;
        let number = inner.wait_until(&Deadline::never(), |state| {
            if state.window.room() < room {
                room = state.window.size().div_ceil(ROOM_PART);
                return None;
            }
            Some(inner.send(state, message))
        })??;
        Ok(Pending {
            inner: inner.clone(),
            number,
        })
    }

    /// Waits until all messages so far are stored.
    ///
    /// # Errors
    /// [`Error::Unstored`] with the messages that failed since this was asked
    /// before, but for those whose [`Pending`] somebody has;
    /// [`Error::Timeout`] if there are none, and not all answers have come.
    pub fn flush(&self, timeout: Duration) -> Result<(), Error> {
        let deadline = Deadline::after(timeout);
        let done = self
            .inner
            .wait_until(&deadline, |state| state.window.is_settled().then_some(()));
        match lock(&self.inner.state).window.take_failures() {
            failures if failures.is_empty() => done,
            failures => Err(Error::Unstored(failures)),
        }
    }
}

impl Pending {
    /// Which message this is: its publisher's first one is number 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Waits until the message is stored: at most as long as its answer may
    /// take.
    ///
    /// # Errors
    /// As [`Streams::publish`].
    pub fn wait(self) -> Result<PubAck, Error> {
        self.inner.wait_until(&Deadline::never(), |state| {
            state.window.take_result(self.number)
        })?
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        lock(&self.inner.state).window.forget(self.number);
    }
}

impl Inner {
    /// Sends the next message; its number.
    fn send(&self, state: &mut State, message: &Publish<'_>) -> Result<u64, Error> {
        let window = &mut state.window;
        if window.failures() >= window.size() {
            return Err(Error::Unstored(window.take_failures()));
        }
        let number = window.next();
        state.reply.clear();
        state.reply.push_str(&self.prefix);
        let digits = Decimal::from_u64(number);
        // Digits are ASCII.
        state
            .reply
            .push_str(std::str::from_utf8(digits.as_bytes()).unwrap_or_default());
        let message = message.reply(&state.reply);
        self.client.send(&message)?;
        let has_id = || message.header(name::MSG_ID).is_some();
        let retries = if self.retries > 0 && has_id() {
            self.retries
        } else {
            0
        };
        let frame = window.open(Sent {
            subject: message.subject,
            deadline: Instant::now().checked_add(self.timeout),
            retries,
        });
        if let Some(frame) = frame.filter(|_| retries > 0) {
            message.write(frame);
        }
        Ok(number)
    }

    /// Takes answers in, or waits for who does, until something is so.
    fn wait_until<T>(
        &self,
        deadline: &Deadline,
        mut is_so: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T, Error> {
        loop {
            let mut state = lock(&self.state);
            if let Some(found) = is_so(&mut state) {
                return Ok(found);
            }
            deadline.left().ok_or(Error::Timeout)?;
            if state.is_served {
                drop(wait(&self.changed, state, deadline));
                continue;
            }
            state.is_served = true;
            drop(state);
            self.serve(deadline);
            lock(&self.state).is_served = false;
            self.changed.notify_all();
        }
    }

    /// One round of taking answers in: all that are here, or else the next
    /// ones that come before something else has to be done.
    fn serve(&self, deadline: &Deadline) {
        let at_once = Deadline::after(Duration::ZERO);
        let mut answers = lock(&self.answers);
        let mut answer = answers.next_before(&at_once);
        if matches!(answer, Err(Error::Timeout)) {
            // Nothing is here: what is to be answered has to be sent.
            self.client.shared().outbox.flush();
            let due = self.expire();
            answer = answers.next_before(&deadline.or(due));
        }
        let mut state = lock(&self.state);
        loop {
            match answer {
                Ok(answer) => state.take_in(&self.prefix, &answer),
                Err(Error::Lost) => state.window.hurry(Instant::now() + LOST_AFTER),
                Err(Error::Closed) => return state.window.close(),
                // That was all. What is late by now is for the next round.
                Err(_) => return,
            }
            answer = answers.next_before(&at_once);
        }
    }

    /// Sends again what is late, or gives it up; when to do so again.
    fn expire(&self) -> Option<Instant> {
        let outbox = &self.client.shared().outbox;
        let send = |frame: &[u8]| outbox.push(frame.len(), |out| out.extend_from_slice(frame));
        let mut state = lock(&self.state);
        state.window.expire(Instant::now(), self.timeout, send)
    }
}

impl State {
    fn take_in(&mut self, prefix: &str, answer: &Message) {
        let number = answer.subject().strip_prefix(prefix);
        let Some(number) = number.and_then(|digits| digits.parse().ok()) else {
            return;
        };
        let Some(subject) = self.window.subject(number) else {
            return;
        };
        let result = PubAck::read(answer, subject, &mut self.stream);
        // A server that has just started may not have opened the stream yet.
        let is_early = matches!(result, Err(Error::NoResponders(_)));
        if !is_early || !self.window.postpone(number, Instant::now() + RETRY_WAIT) {
            self.window.settle(number, result);
        }
    }
}
