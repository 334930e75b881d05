//! A stream's messages in order, without a gap, for one reader.
//!
//! They come from a consumer that is made for it, keeps nothing on disk and
//! takes no acks. When a delivery is missing, or one may be, the consumer is
//! left to its end and another one begins behind the last message that was
//! taken.

use super::api::Streams;
use super::messages::{Messages, PullOptions};
use super::stream_message::StreamMessage;
use crate::deadline::Deadline;
use crate::{Error, Publish};
use midge_api::{AckPolicy, ConsumerAction, ConsumerConfig, DeliverPolicy, ReplayPolicy};
use midge_proto::{Nanos, Timestamp};
use std::time::Duration;

/// How long the server keeps a consumer that nobody asks any more. The next
/// message makes another one.
const INACTIVE_MAX: Nanos = Nanos::from_secs(60);

/// How long to wait before a consumer is made that could not be made before.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// Where an [`Ordered`] begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Start {
    /// At the first message.
    #[default]
    First,
    /// At the last message.
    Last,
    /// At the last message of each subject. After a break it goes on with all
    /// that came since.
    LastPerSubject,
    /// Behind the last message.
    New,
    /// At this sequence.
    Seq(u64),
    /// At the first message that was stored then or later.
    Time(Timestamp),
}

/// What an [`Ordered`] reads.
#[derive(Debug, Clone, Default)]
pub struct OrderedOptions {
    /// Where it begins.
    pub start: Start,
    /// Subjects with or without wildcards; none is all.
    pub filters: Vec<String>,
    /// Leave payloads out; their length is in the header `Nats-Msg-Size`.
    pub headers_only: bool,
    /// As fast as the messages were published, rather than at once.
    pub replays: bool,
    /// How it asks for messages.
    pub pull: PullOptions,
}

/// The messages of a stream in order, each once, as long as it is asked.
///
/// The iterator waits for each message and survives broken connections and
/// servers that are away for a while. It ends, after the error that says why,
/// when nothing can come any more. The messages need no acks.
///
/// ```no_run
/// # use midge_client::streams::OrderedOptions;
/// # let client = midge_client::Client::connect("127.0.0.1", Default::default())?;
/// let orders = client.streams().ordered("ORDERS", OrderedOptions::default())?;
/// for message in orders {
///     let message = message?;
///     println!("{}: {}", message.metadata().stream_seq, message.subject());
///     if message.metadata().pending == 0 {
///         break; // all that there is now
///     }
/// }
/// # Ok::<(), midge_client::Error>(())
/// ```
#[derive(Debug)]
pub struct Ordered {
    streams: Streams,
    stream: String,
    options: OrderedOptions,
    /// Nothing while there is no consumer.
    messages: Option<Messages>,
    /// The consumer's name.
    name: String,
    /// The last sequence that needs not come again; nothing if nobody knows.
    last_seq: Option<u64>,
    /// The number of the consumer's last delivery.
    last_delivery: u64,
    initial: u64,
    /// Messages that the consumer had still to send when it last said so.
    pending: u64,
    has_ended: bool,
}

impl Streams {
    /// Reads a stream in order, from wherever it is asked.
    ///
    /// # Errors
    /// [`Error::Api`] with [`ApiError::STREAM_NOT_FOUND`](super::ApiError::STREAM_NOT_FOUND), or if it cannot be
    /// read so; and what [`Streams::api`] has.
    pub fn ordered(&self, stream: &str, options: OrderedOptions) -> Result<Ordered, Error> {
        let mut ordered = Ordered {
            streams: self.clone(),
            stream: stream.to_owned(),
            options,
            messages: None,
            name: String::new(),
            last_seq: None,
            last_delivery: 0,
            initial: 0,
            pending: 0,
            has_ended: false,
        };
        ordered.begin()?;
        ordered.initial = ordered.pending;
        Ok(ordered)
    }
}

impl Ordered {
    /// Messages that were there when it began. Once so many have come, or one
    /// of which `pending` is zero, what comes is new.
    pub fn initial(&self) -> u64 {
        self.initial
    }

    /// Messages that are still to come, as far as is known: there were so many
    /// when the one before was sent. Zero is the end of what there is.
    pub fn pending(&self) -> u64 {
        self.pending
    }

    /// The next message; waits for it until the time is over. After a break
    /// another consumer is made, and that may take as long as an answer may
    /// take on top ([`StreamsOptions::timeout`](super::StreamsOptions::timeout)).
    ///
    /// # Errors
    /// [`Error::Timeout`]: it goes on, and can be asked again. Any other error
    /// ends it: [`Error::Api`] if the stream is not there any more,
    /// [`Error::Closed`] if the client was closed, or it has ended before.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<StreamMessage, Error> {
        self.next_before(&Deadline::after(timeout))
    }

    /// Whether it was told why nothing can come any more.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
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
            let Some(messages) = &mut self.messages else {
                self.begin_again(deadline)?;
                continue;
            };
            match messages.next_before(deadline) {
                Ok(message) => {
                    let told = message.metadata();
                    if told.consumer_seq == self.last_delivery + 1 {
                        self.last_delivery = told.consumer_seq;
                        self.last_seq = Some(told.stream_seq);
                        self.pending = told.pending;
                        return Ok(message);
                    }
                }
                Err(error @ (Error::Timeout | Error::Closed)) => return Err(error),
                // Whatever it is: the next consumer will tell if it stays.
                Err(_) => {}
            }
            self.messages = None;
        }
    }

    /// Makes another consumer, or waits a while.
    fn begin_again(&mut self, deadline: &Deadline) -> Result<(), Error> {
        if self.streams.client.is_connected() {
            match self.begin() {
                Ok(()) => return Ok(()),
                Err(error) if error.is_passing() => {}
                Err(error) => return Err(error),
            }
        }
        let left = deadline.left().ok_or(Error::Timeout)?;
        if self.streams.client.shared().pause(left.min(TRY_AGAIN)) {
            Ok(())
        } else {
            Err(Error::Closed)
        }
    }

    /// Makes a consumer.
    fn begin(&mut self) -> Result<(), Error> {
        self.leave();
        let inbox = self.streams.client.new_inbox();
        let name = inbox.rsplit('.').next().unwrap_or_default();
        let config = self.config(name);
        let info = self
            .streams
            .set_consumer(&self.stream, &config, ConsumerAction::Create)?;
        name.clone_into(&mut self.name);
        let consumer = self.streams.consumer(&self.stream, name)?;
        let messages = consumer.messages(self.options.pull)?;
        self.messages = Some(messages.ending_at_breaks());
        self.last_delivery = 0;
        self.pending = info.num_pending;
        if self.options.start == Start::New {
            // What comes from here on may not be left out.
            self.last_seq.get_or_insert(info.delivered.stream_seq);
        }
        Ok(())
    }

    fn config(&self, name: &str) -> ConsumerConfig {
        let mut config = ConsumerConfig {
            name: name.to_owned(),
            ack_policy: AckPolicy::None,
            headers_only: self.options.headers_only,
            mem_storage: true,
            num_replicas: 1,
            inactive_threshold: INACTIVE_MAX,
            ..ConsumerConfig::default()
        };
        match self.options.filters.as_slice() {
            [filter] => filter.clone_into(&mut config.filter_subject),
            filters => config.filter_subjects = filters.to_vec(),
        }
        if self.options.replays {
            config.replay_policy = ReplayPolicy::Original;
        }
        let start = match self.last_seq {
            Some(seq) => Start::Seq(seq + 1),
            None => self.options.start,
        };
        match start {
            Start::First => {}
            Start::Last => config.deliver_policy = DeliverPolicy::Last,
            Start::LastPerSubject => {
                config.deliver_policy = DeliverPolicy::LastPerSubject;
                if self.options.filters.is_empty() {
                    // Servers want to be told all.
                    config.filter_subject = ">".to_owned();
                }
            }
            Start::New => config.deliver_policy = DeliverPolicy::New,
            Start::Seq(seq) => {
                config.deliver_policy = DeliverPolicy::ByStartSequence;
                config.opt_start_seq = seq.max(1);
            }
            Start::Time(time) => {
                config.deliver_policy = DeliverPolicy::ByStartTime;
                config.opt_start_time = Some(time);
            }
        }
        config
    }

    /// Lets the consumer go, if there is one. Nobody waits for that: what the
    /// server does not hear of ends by itself.
    fn leave(&mut self) {
        self.messages = None;
        let client = &self.streams.client;
        if self.name.is_empty() || !client.is_connected() {
            return;
        }
        let subject = format!(
            "{}.CONSUMER.DELETE.{}.{}",
            self.streams.prefix, self.stream, self.name
        );
        // Servers do nothing for who wants no answer.
        let inbox = client.new_inbox();
        let _ = client.send(&Publish::new(&subject, "").reply(&inbox));
        self.name.clear();
    }
}

impl Drop for Ordered {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Iterator for Ordered {
    type Item = Result<StreamMessage, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        Some(self.next_before(&Deadline::never()))
    }
}
