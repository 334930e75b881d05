//! A client: the handle that everything is done with.

use crate::deadline::Deadline;
use crate::events::Events;
use crate::outbox::FRAME_EXTRA;
use crate::outgoing::{SUBJECT_MAX, check_subject};
use crate::queue::Queue;
use crate::shared::{Route, Shared, write_sub, write_unsub};
use crate::sync::lock;
use crate::url::Url;
use crate::{Error, Message, Options, Publish, ServerInfo, Stats, Subscription};
use crate::{handshake, reader, writer};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

/// Room for the threads' own needs, which are few. The pages that are never
/// touched cost nothing.
const STACK_SIZE: usize = 256 * 1024;

/// Servers that a client may know.
const URLS_MAX: usize = 32;

/// A connection to a server, made again whenever it breaks.
///
/// Clones are the same client, and any thread may use any of them. When the
/// last one and all its subscriptions are dropped the connection is closed;
/// [`drain`](Client::drain) before that makes sure that the server has
/// everything.
#[derive(Debug, Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

/// Closes the client when nobody has it any more.
#[derive(Debug)]
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close(None);
    }
}

impl Client {
    /// Connects to a server: `nats://[user:pass@]host[:4222]` or `host:port`.
    /// Of several, with commas between them, the first one that answers is
    /// taken, and the others are for when it breaks.
    ///
    /// # Errors
    /// Those of the last server, if all fail: [`Error::Url`],
    /// [`Error::Connect`], [`Error::Refused`], [`Error::Protocol`],
    /// [`Error::Hangup`], [`Error::Timeout`], [`Error::Tls`]. With
    /// [`Options::connects_later`] only the first. [`Error::Option`],
    /// [`Error::Thread`].
    pub fn connect(urls: &str, options: Options) -> Result<Client, Error> {
        let urls = parse_urls(urls)?;
        options.check()?;
        let mut first = Err(Error::Url("it names no server"));
        if !options.connects_later {
            for url in &urls {
                first = handshake::establish(url, &options);
                if first.is_ok() {
                    break;
                }
            }
        }
        let first = match first {
            Ok(established) => Some(established),
            Err(_) if options.connects_later => None,
            Err(error) => return Err(error),
        };
        let shared = Arc::new(Shared::new(urls, options));
        let (for_reader, for_writer) = (shared.clone(), shared.clone());
        let has_first = first.is_some();
        // From here on it is closed by being dropped.
        let client = Client {
            handle: Arc::new(Handle(shared)),
        };
        spawn("midge-read", move || reader::run(&for_reader, first))?;
        spawn("midge-write", move || writer::run(&for_writer))?;
        if has_first {
            client.shared().wait_connected();
        }
        Ok(client)
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.handle.0
    }

    /// The server's: `host:port`. While there is no connection, the last one's.
    pub fn address(&self) -> Arc<str> {
        self.shared().address()
    }

    /// What the server says of itself. Empty before the first connection.
    pub fn info(&self) -> Arc<ServerInfo> {
        self.shared().info()
    }

    /// Whether there is a connection now, as far as is known.
    pub fn is_connected(&self) -> bool {
        self.shared().is_connected()
    }

    /// What was done so far.
    pub fn stats(&self) -> Stats {
        let shared = self.shared();
        let (published, published_bytes) = shared.outbox.published();
        Stats {
            published,
            published_bytes,
            ..shared.counters.read()
        }
    }

    /// What happens to the connection. There is one queue of events: each goes
    /// to one of those who ask for them.
    pub fn events(&self) -> Events {
        Events(self.shared().events.clone())
    }

    /// A subject that nobody else knows of, for answers.
    pub fn new_inbox(&self) -> String {
        self.shared().new_inbox()
    }

    /// Publishes a message. The server does not say whether it was of use; a
    /// stream does, to who publishes through `Streams` (feature `streams`).
    ///
    /// It is sent a moment later, together with what comes meanwhile. While
    /// there is no connection it waits for one, up to
    /// [`Options::buffer_bytes_max`].
    ///
    /// # Errors
    /// [`Error::Subject`], [`Error::TooLong`], [`Error::Full`],
    /// [`Error::Closed`]; [`Error::Timeout`] if the server takes nothing for
    /// too long.
    pub fn publish(
        &self,
        subject: &str,
        payload: &(impl AsRef<[u8]> + ?Sized),
    ) -> Result<(), Error> {
        self.send(&Publish::new(subject, payload))
    }

    /// Publishes a message with all that belongs to it.
    ///
    /// # Errors
    /// As [`publish`](Client::publish), and [`Error::Header`].
    pub fn send(&self, message: &Publish<'_>) -> Result<(), Error> {
        message.check()?;
        let shared = self.shared();
        let len = message.len();
        if len > PAYLOAD_CHECKED {
            check_length(len, shared.info().payload_max_bytes)?;
        }
        shared.outbox.publish(message)
    }

    /// Answers a message.
    ///
    /// # Errors
    /// [`Error::NoReply`] if it asks for no answer, and those of
    /// [`publish`](Client::publish).
    pub fn respond(
        &self,
        message: &Message,
        payload: &(impl AsRef<[u8]> + ?Sized),
    ) -> Result<(), Error> {
        if message.reply().is_empty() {
            return Err(Error::NoReply);
        }
        self.publish(message.reply(), payload)
    }

    /// Asks, and waits for the first answer: for so long, or else for
    /// [`Options::timeout`].
    ///
    /// # Errors
    /// [`Error::Timeout`]; [`Error::NoResponders`] if nobody listens;
    /// [`Error::Lost`] if the connection broke; and those of
    /// [`publish`](Client::publish).
    pub fn request(
        &self,
        subject: &str,
        payload: &(impl AsRef<[u8]> + ?Sized),
        timeout: Option<Duration>,
    ) -> Result<Message, Error> {
        self.ask(&Publish::new(subject, payload), timeout)
    }

    /// Asks with a message and all that belongs to it; its reply subject is
    /// replaced.
    ///
    /// # Errors
    /// As [`request`](Client::request).
    pub fn ask(&self, message: &Publish<'_>, timeout: Option<Duration>) -> Result<Message, Error> {
        let shared = self.shared();
        let deadline = Deadline::after(timeout.unwrap_or(shared.options.timeout));
        check_subject(message.subject)?;
        let ticket = shared.requests.open(&shared.outbox)?;
        self.send(&message.reply(&ticket.reply))?;
        shared.outbox.flush();
        let answer = ticket.wait(&deadline)?;
        if answer.is_no_responders() {
            return Err(Error::NoResponders(message.subject.to_owned()));
        }
        Ok(answer)
    }

    /// Asks, and takes all answers that come.
    ///
    /// # Errors
    /// As [`publish`](Client::publish). That nobody listens ends the answers.
    pub fn request_many(&self, message: &Publish<'_>, until: Until) -> Result<Replies, Error> {
        check_subject(message.subject)?;
        let inbox = self.new_inbox();
        let subscription = self.subscribe(&inbox)?;
        self.send(&message.reply(&inbox))?;
        self.shared().outbox.flush();
        Ok(Replies {
            subscription,
            deadline: Deadline::after(until.timeout),
            stall: until.stall,
            left: until.messages_max,
            is_first: true,
        })
    }

    /// Subscribes to a subject; `*` stands for one token, `>` at the end for
    /// any more.
    ///
    /// # Errors
    /// [`Error::Filter`], [`Error::Closed`]; [`Error::Timeout`] if the server
    /// takes nothing for too long.
    pub fn subscribe(&self, subject: &str) -> Result<Subscription, Error> {
        self.add(subject, None, self.shared().options.queue_bytes_max)
    }

    /// Subscribes as a member of a queue group, of which one gets each
    /// message.
    ///
    /// # Errors
    /// As [`subscribe`](Client::subscribe).
    pub fn queue_subscribe(&self, subject: &str, group: &str) -> Result<Subscription, Error> {
        self.add(subject, Some(group), self.shared().options.queue_bytes_max)
    }

    /// Subscribes to answers of which no more can come than were asked for, so
    /// that none of them need be dropped.
    #[cfg(feature = "streams")]
    pub(crate) fn subscribe_bounded(&self, subject: &str) -> Result<Subscription, Error> {
        self.add(subject, None, usize::MAX)
    }

    fn add(
        &self,
        subject: &str,
        group: Option<&str>,
        queue_bytes_max: usize,
    ) -> Result<Subscription, Error> {
        check_filter(subject)?;
        if let Some(group) = group
            && (group.is_empty() || midge_proto::has_blank(group.as_bytes()))
        {
            return Err(Error::Filter(group.to_owned()));
        }
        let shared = self.shared();
        if shared.is_closed() {
            return Err(Error::Closed);
        }
        let route = Arc::new(Route {
            subject: subject.to_owned(),
            group: group.map(str::to_owned),
            queue: Queue::new(queue_bytes_max),
            is_leaving: AtomicBool::new(false),
        });
        let sid = shared.next_sid();
        lock(&shared.routes).insert(sid, route.clone());
        // Dropped, it is taken back.
        let subscription = Subscription::new(self.clone(), sid, route);
        let room = subject.len() + group.map_or(0, str::len) + FRAME_EXTRA;
        shared
            .outbox
            .tell(room, |out| write_sub(out, subject, group, sid))?;
        Ok(subscription)
    }

    /// Waits until the server has read everything that was sent so far, and
    /// everything that it has sent before is here.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::Lost`] if the connection broke meanwhile,
    /// [`Error::Closed`].
    pub fn flush(&self, timeout: Duration) -> Result<(), Error> {
        self.shared().flush(&Deadline::after(timeout))
    }

    /// Ends in good order: subscriptions get what is under way and nothing
    /// more, everything published reaches the server, then the client is
    /// closed. What subscriptions have can still be taken.
    ///
    /// # Errors
    /// As [`flush`](Client::flush); it is closed all the same.
    pub fn drain(&self, timeout: Duration) -> Result<(), Error> {
        let shared = self.shared();
        let deadline = Deadline::after(timeout);
        let sids: Vec<u64> = lock(&shared.routes).keys().copied().collect();
        let ended = sids.iter().try_for_each(|&sid| {
            shared
                .outbox
                .tell(FRAME_EXTRA, |out| write_unsub(out, sid, None))
        });
        let done = ended.and_then(|()| shared.flush(&deadline));
        shared.close(None);
        done
    }

    /// Closes the connection. What was published before is written, but
    /// nobody waits for the server to read it; see [`drain`](Client::drain).
    pub fn close(&self) {
        self.shared().close(None);
    }
}

/// When enough answers have come to [`Client::request_many`]; the first that
/// holds ends them.
#[derive(Debug, Clone, Copy)]
pub struct Until {
    /// After so long in all.
    pub timeout: Duration,
    /// When none has come for so long after the first one.
    pub stall: Option<Duration>,
    /// When so many have come.
    pub messages_max: Option<u64>,
}

/// The answers to [`Client::request_many`].
#[derive(Debug)]
pub struct Replies {
    subscription: Subscription,
    deadline: Deadline,
    stall: Option<Duration>,
    left: Option<u64>,
    is_first: bool,
}

impl Iterator for Replies {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        if self.left == Some(0) {
            return None;
        }
        let left = self.deadline.left()?;
        let wait = match self.stall {
            Some(stall) if !self.is_first => stall.min(left),
            _ => left,
        };
        let message = self.subscription.next_timeout(wait).ok()?;
        if self.is_first && message.is_no_responders() {
            self.left = Some(0);
            return None;
        }
        self.is_first = false;
        self.left = self.left.map(|left| left - 1);
        Some(message)
    }
}

/// Any server takes messages up to this length, in bytes.
const PAYLOAD_CHECKED: usize = 1024;

/// A server that has not said anything takes everything, for all we know.
fn check_length(bytes: usize, bytes_max: usize) -> Result<(), Error> {
    if bytes_max > 0 && bytes > bytes_max {
        return Err(Error::TooLong { bytes, bytes_max });
    }
    Ok(())
}

fn check_filter(subject: &str) -> Result<(), Error> {
    let bytes = subject.as_bytes();
    let is_short = bytes.len() <= SUBJECT_MAX;
    if is_short && midge_proto::is_valid_filter(bytes) && !midge_proto::has_blank(bytes) {
        Ok(())
    } else {
        Err(Error::Filter(subject.to_owned()))
    }
}

fn parse_urls(urls: &str) -> Result<Vec<Url>, Error> {
    let urls: Vec<Url> = urls
        .split(',')
        .map(|url| Url::parse(url.trim()))
        .collect::<Result<_, _>>()?;
    if urls.len() > URLS_MAX {
        return Err(Error::Url("it names more than 32 servers"));
    }
    Ok(urls)
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let thread = thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK_SIZE)
        .spawn(run);
    thread.map(drop).map_err(Error::Thread)
}
