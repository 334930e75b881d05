//! What is measured: how much of what, and how far it has come.

use super::super::connection::timeout;
use crate::arguments::Arguments;
use crate::failure::Failure;
use midge_client::Client;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

const DURATION_DEFAULT: Duration = Duration::from_secs(5);
const SIZE_DEFAULT: u64 = 128;
const WINDOW_DEFAULT: u64 = 1000;
/// Messages to be pulled where nothing else is said: some seconds of work.
const PULLED_DEFAULT: u64 = 100_000;

/// Connections at a time. Each has three threads, and a server of modest
/// means takes so many.
const CLIENTS_MAX: u64 = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Publish,
    Subscribe,
    Both,
    Request,
    Store,
    Pull,
}

pub(super) struct Plan {
    pub(super) mode: Mode,
    pub(super) subject: String,
    /// Of the stream that is made for it.
    pub(super) stream: String,
    pub(super) size: usize,
    pub(super) clients: u64,
    /// In all.
    pub(super) messages: Option<u64>,
    pub(super) duration: Duration,
    pub(super) window: u64,
    pub(super) timeout: Duration,
    pub(super) stop: Arc<AtomicBool>,
    start: OnceLock<Instant>,
    sent: AtomicU64,
    received: AtomicU64,
    /// Messages that were not taken by all and will not be.
    missed: AtomicU64,
    /// Publishers that have nothing more to send.
    publishers_done: AtomicU64,
    /// When the last message came, in nanoseconds since the start.
    last: AtomicU64,
}

impl Plan {
    pub(super) fn new(arguments: &Arguments, mode: Mode, client: &Client) -> Result<Plan, Failure> {
        let number = |name, usual: u64| arguments.number(name).unwrap_or(usual).max(1);
        let clients = number("clients", 1);
        if clients > CLIENTS_MAX {
            return Err(Failure::usage(format!(
                "{clients} clients are too many; {CLIENTS_MAX} is the most"
            )));
        }
        let size = arguments.number("size").unwrap_or(SIZE_DEFAULT);
        let bytes_max = client.info().payload_max_bytes as u64;
        if bytes_max > 0 && size > bytes_max {
            return Err(Failure::usage(format!(
                "{size} bytes are too long; the server takes {bytes_max}"
            )));
        }
        let inbox = client.new_inbox();
        let id = inbox.rsplit('.').next().unwrap_or_default();
        let subject = match (arguments.text("subject"), mode) {
            (Some(subject), _) => subject.to_owned(),
            (None, Mode::Subscribe) => "bench".to_owned(),
            (None, _) => format!("bench.{id}"),
        };
        let mut messages = arguments.number("messages");
        if mode == Mode::Pull {
            messages = messages.or(Some(PULLED_DEFAULT));
        }
        let duration = match messages {
            Some(_) => Duration::MAX,
            None => DURATION_DEFAULT,
        };
        Ok(Plan {
            mode,
            subject,
            stream: format!("BENCH-{id}"),
            size: size as usize,
            clients,
            messages,
            duration: arguments.duration("duration").unwrap_or(duration),
            window: number("window", WINDOW_DEFAULT),
            timeout: timeout(arguments),
            stop: Arc::default(),
            start: OnceLock::new(),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            publishers_done: AtomicU64::new(0),
            last: AtomicU64::new(0),
        })
    }

    /// What a message says.
    pub(super) fn payload(&self) -> Vec<u8> {
        vec![b'x'; self.size]
    }

    /// The time runs from here on.
    pub(super) fn begin(&self) {
        self.start.get_or_init(Instant::now);
    }

    pub(super) fn started(&self) -> Instant {
        *self.start.get_or_init(Instant::now)
    }

    /// Whether it was interrupted, or something failed.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether there is time for more. Until the first message has come to one
    /// who waits for others there is.
    pub(super) fn has_time(&self) -> bool {
        !self.is_stopped()
            && self
                .start
                .get()
                .is_none_or(|start| start.elapsed() < self.duration)
    }

    /// Takes the next of the messages to be sent, if one is left.
    pub(super) fn next_sent(&self) -> bool {
        if !self.has_time() {
            return false;
        }
        let before = self.sent.fetch_add(1, Ordering::Relaxed);
        let is_left = self.messages.is_none_or(|messages| before < messages);
        if !is_left {
            self.sent.fetch_sub(1, Ordering::Relaxed);
        }
        is_left
    }

    /// One more has come.
    pub(super) fn count_received(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
        let nanos = self.started().elapsed().as_nanos() as u64;
        self.last.fetch_max(nanos, Ordering::Relaxed);
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// A publisher has ended, and the server has all that it sent.
    pub(super) fn end_publisher(&self) {
        self.publishers_done.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether nothing more is sent to those who take.
    pub(super) fn is_sent(&self) -> bool {
        match self.mode {
            Mode::Both => self.publishers_done.load(Ordering::Relaxed) >= self.clients,
            _ => !self.has_time(),
        }
    }

    /// Messages that those who take have still to take.
    pub(super) fn behind(&self) -> u64 {
        let taken = self.received() / self.clients + self.missed.load(Ordering::Relaxed);
        self.sent().saturating_sub(taken)
    }

    /// Nobody waits any more for what is under way.
    pub(super) fn miss(&self) {
        let missed = self.sent().saturating_sub(self.received() / self.clients);
        self.missed.store(missed, Ordering::Relaxed);
    }

    /// Messages that are to come, over all who take them.
    pub(super) fn expected(&self) -> Option<u64> {
        match self.mode {
            Mode::Subscribe | Mode::Both => self
                .messages
                .map(|messages| messages.saturating_mul(self.clients)),
            _ => self.messages,
        }
    }

    /// When a part that ends now has ended: those who take know it by the last
    /// message.
    pub(super) fn ended(&self) -> Instant {
        match self.mode {
            Mode::Subscribe | Mode::Both | Mode::Pull => {
                self.started() + Duration::from_nanos(self.last.load(Ordering::Relaxed))
            }
            _ => Instant::now(),
        }
    }

    /// How much is done of how much: messages, or else milliseconds.
    pub(super) fn progress(&self) -> (u64, u64) {
        if let Some(expected) = self.expected() {
            return (self.received().max(self.sent()), expected);
        }
        let elapsed = self.start.get().map_or(Duration::ZERO, Instant::elapsed);
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        (millis(elapsed), millis(self.duration))
    }
}
