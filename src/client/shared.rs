//! What a client's threads share.
//!
//! Three kinds of threads meet here: those that publish and take messages, the
//! one that reads (`reader.rs`) and the one that writes what others left in
//! the outbox and asks the server now and then whether it is there
//! (`writer.rs`). Locks are taken in the order of the fields, one inside the
//! other only where it says so.

use crate::deadline::Deadline;
use crate::events::{Event, EventQueue};
use crate::handshake::Established;
use crate::info::ServerInfo;
use crate::outbox::Outbox;
use crate::queue::Queue;
use crate::requests::{MUX_SID, Requests};
use crate::stats::Counters;
use crate::stats::count;
use crate::sync::{lock, wait};
use crate::transport::Transport;
use crate::url::Url;
use crate::{Error, Options};
use midge_proto::encode::{CRLF, Decimal, PING};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// Questions to the server that may be without an answer. One more, and the
/// connection counts as broken.
const PINGS_MAX: u32 = 2;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) urls: Vec<Url>,
    status: Mutex<Status>,
    changed: Condvar,
    /// Locked inside `status`.
    pub(crate) outbox: Outbox,
    /// Locked inside `outbox` when a connection begins.
    pub(crate) routes: Mutex<Routes>,
    /// Locked inside `outbox` when a connection begins.
    pub(crate) requests: Requests,
    pub(crate) events: Arc<EventQueue>,
    pub(crate) counters: Counters,
    next_sid: AtomicU64,
    next_inbox: AtomicU64,
    /// Tells this client's inboxes from everybody else's.
    random: u64,
}

/// Where each subscription's messages go.
pub(crate) type Routes = HashMap<u64, Arc<Route>>;

/// A subscription as the server knows it.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) subject: String,
    pub(crate) group: Option<String>,
    pub(crate) queue: Queue,
    /// It was taken back, and waits for what is under way.
    pub(crate) is_leaving: AtomicBool,
}

#[derive(Debug)]
struct Status {
    phase: Phase,
    /// Counts the connections.
    epoch: u64,
    info: Arc<ServerInfo>,
    address: Arc<str>,
    /// On this connection: questions to the server, and answers.
    pings: u64,
    pongs: u64,
    /// Times that the server was asked whether it is there, since it last
    /// answered anything.
    unanswered: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    Connected,
    Closed,
}

impl Shared {
    pub(crate) fn new(urls: Vec<Url>, options: Options) -> Shared {
        // Who hashes with it, or asks it for a number, cannot foretell it.
        let random = RandomState::new().build_hasher().finish();
        let address = urls.first().map_or("", |url| url.address.as_str());
        Shared {
            status: Mutex::new(Status {
                phase: Phase::Connecting,
                epoch: 0,
                info: Arc::default(),
                address: address.into(),
                pings: 0,
                pongs: 0,
                unanswered: 0,
            }),
            changed: Condvar::new(),
            outbox: Outbox::new(options.timeout, options.buffer_bytes_max),
            routes: Mutex::default(),
            requests: Requests::new(format!("_INBOX.{random:016x}.")),
            events: Arc::default(),
            counters: Counters::default(),
            next_sid: AtomicU64::new(MUX_SID + 1),
            next_inbox: AtomicU64::new(0),
            random,
            options,
            urls,
        }
    }

    /// A number that no other subscription of this client has.
    pub(crate) fn next_sid(&self) -> u64 {
        self.next_sid.fetch_add(1, Ordering::Relaxed)
    }

    /// A subject that nobody else knows of.
    pub(crate) fn new_inbox(&self) -> String {
        let number = self.next_inbox.fetch_add(1, Ordering::Relaxed);
        format!("_INBOX.{:016x}{number:x}", self.random)
    }

    pub(crate) fn info(&self) -> Arc<ServerInfo> {
        lock(&self.status).info.clone()
    }

    pub(crate) fn address(&self) -> Arc<str> {
        lock(&self.status).address.clone()
    }

    pub(crate) fn is_connected(&self) -> bool {
        lock(&self.status).phase == Phase::Connected
    }

    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.status).phase == Phase::Closed
    }

    /// There is a connection: subscriptions are made on it, and what waited is
    /// sent.
    pub(crate) fn connected(&self, established: Established) -> Option<Arc<Transport>> {
        let transport = Arc::new(established.transport);
        let mut status = lock(&self.status);
        if status.phase == Phase::Closed {
            return None;
        }
        status.phase = Phase::Connected;
        status.epoch += 1;
        (status.pings, status.pongs, status.unanswered) = (0, 0, 0);
        status.info = Arc::new(established.info);
        status.address = established.address.as_str().into();
        count(&self.counters.connections, 1);
        // A server that does not say takes everything, for all we know.
        let payload_max = match status.info.payload_max_bytes {
            0 => usize::MAX,
            max => max,
        };
        let left_out = self.outbox.connect(transport.clone(), payload_max, |out| {
            self.requests.write_subscription(out);
            self.write_subscriptions(out);
        });
        drop(status);
        self.changed.notify_all();
        self.events.push(Event::Connected(established.address));
        if left_out > 0 {
            self.events.push(Event::TooLong(left_out));
        }
        Some(transport)
    }

    fn write_subscriptions(&self, out: &mut Vec<u8>) {
        for (&sid, route) in lock(&self.routes).iter() {
            if route.is_leaving.load(Ordering::Acquire) {
                continue;
            }
            write_sub(out, &route.subject, route.group.as_deref(), sid);
            if let Some(left) = route.queue.begin() {
                write_unsub(out, sid, Some(left));
            }
        }
    }

    /// Waits until the reading thread has taken the first connection over.
    pub(crate) fn wait_connected(&self) {
        let mut status = lock(&self.status);
        while status.phase == Phase::Connecting && status.epoch == 0 {
            match wait(&self.changed, status, &Deadline::never()) {
                Some(woken) => status = woken,
                None => return,
            }
        }
    }

    /// The connection broke, and why.
    pub(crate) fn disconnected(&self, why: &str) {
        let mut status = lock(&self.status);
        if status.phase == Phase::Connected {
            status.phase = Phase::Connecting;
        }
        self.outbox.disconnect();
        drop(status);
        self.changed.notify_all();
        self.requests.lose();
        self.events.push(Event::Disconnected(why.to_owned()));
    }

    /// It is over: nothing is taken any more, everybody who waits is told.
    pub(crate) fn close(&self, why: Option<String>) {
        let mut status = lock(&self.status);
        if status.phase == Phase::Closed {
            return;
        }
        status.phase = Phase::Closed;
        drop(status);
        self.outbox.finish();
        self.outbox.close();
        self.changed.notify_all();
        self.requests.close();
        for route in mem::take(&mut *lock(&self.routes)).values() {
            route.queue.end();
        }
        self.events.push(Event::Closed(why));
    }

    /// Waits a while, unless it is closed meanwhile; whether it is still open.
    pub(crate) fn pause(&self, span: Duration) -> bool {
        let deadline = Deadline::after(span);
        let mut status = lock(&self.status);
        while status.phase != Phase::Closed {
            match wait(&self.changed, status, &deadline) {
                Some(woken) => status = woken,
                None => return true,
            }
        }
        false
    }

    /// INFO came in the middle.
    pub(crate) fn informed(&self, info: ServerInfo) {
        if info.is_lame_duck {
            self.events.push(Event::LameDuck);
        }
        lock(&self.status).info = Arc::new(info);
    }

    /// The server has answered a question.
    pub(crate) fn ponged(&self) {
        let mut status = lock(&self.status);
        status.pongs = status.pings.min(status.pongs + 1);
        status.unanswered = 0;
        drop(status);
        self.changed.notify_all();
    }

    /// Asks the server whether it is there; if it did not answer before, lets
    /// go of it.
    pub(crate) fn ping(&self) {
        let mut status = lock(&self.status);
        if status.phase != Phase::Connected {
            return;
        }
        if status.unanswered >= PINGS_MAX {
            self.outbox.disconnect();
            return;
        }
        status.unanswered += 1;
        self.question(&mut status);
    }

    /// Waits until the server has read everything so far.
    pub(crate) fn flush(&self, deadline: &Deadline) -> Result<(), Error> {
        let mut status = lock(&self.status);
        while status.phase == Phase::Connecting {
            status = wait(&self.changed, status, deadline).ok_or(Error::Timeout)?;
        }
        if status.phase == Phase::Closed {
            return Err(Error::Closed);
        }
        let number = self.question(&mut status);
        let epoch = status.epoch;
        drop(status);
        self.outbox.flush();
        let mut status = lock(&self.status);
        loop {
            if status.epoch == epoch && status.pongs >= number {
                return Ok(());
            }
            match status.phase {
                Phase::Closed => return Err(Error::Closed),
                Phase::Connected if status.epoch == epoch => {}
                _ => return Err(Error::Lost),
            }
            status = wait(&self.changed, status, deadline).ok_or(Error::Timeout)?;
        }
    }

    /// Sends a PING; which one it is.
    fn question(&self, status: &mut MutexGuard<'_, Status>) -> u64 {
        self.outbox.ask(PING);
        status.pings += 1;
        status.pings
    }
}

/// Appends a SUB.
pub(crate) fn write_sub(out: &mut Vec<u8>, subject: &str, group: Option<&str>, sid: u64) {
    out.extend_from_slice(b"SUB ");
    for word in [Some(subject), group].into_iter().flatten() {
        out.extend_from_slice(word.as_bytes());
        out.push(b' ');
    }
    out.extend_from_slice(Decimal::from_u64(sid).as_bytes());
    out.extend_from_slice(CRLF);
}

/// Appends an UNSUB, now or after so many more messages.
pub(crate) fn write_unsub(out: &mut Vec<u8>, sid: u64, left: Option<u64>) {
    out.extend_from_slice(b"UNSUB ");
    out.extend_from_slice(Decimal::from_u64(sid).as_bytes());
    if let Some(left) = left {
        out.push(b' ');
        out.extend_from_slice(Decimal::from_u64(left).as_bytes());
    }
    out.extend_from_slice(CRLF);
}
