//! Messages for streams whose way is told.
//!
//! One that is only traced is looked at as if it were to be stored. What it asks
//! for by its headers has to hold, and its publisher is told if it does not;
//! what it would add to is left as it is, limits and open batches with it.

use super::intake::{Checked, Incoming, Stored};
use super::stream::Stream;
use super::streams::Streams;
use super::take_in::{acknowledge, is_addressed};
use crate::Time;
use crate::account::Sink;
use crate::engine::Engine;
use crate::ids::StreamId;
use crate::message_trace::MetStream;
use crate::outbox::Outbox;
use crate::publish::{Origin, Routed};
use crate::streams::expectations::Expectations;
use midge_api::{ApiError, Retention, Timestamp};
use midge_proto::Publish;

const DUPLICATE: &str = "msgid is duplicate";

/// A message did not fit.
const NOT_STORED: u16 = 10077;

/// Errors whose numbers are left out, as nats-server does.
const WITHOUT_NUMBER: [u16; 3] = [NOT_STORED, 10060, 10111];

impl Engine {
    /// Whether a part of the server answers requests that are not made to one
    /// stream or consumer.
    pub(crate) fn is_api(&self, sink: Sink, subject: &[u8]) -> bool {
        match sink {
            Sink::Api => !is_addressed(subject),
            _ => sink == Sink::Maintenance,
        }
    }

    /// Gives a message that is traced to the parts of the server it has met.
    /// Returns how many of them would have taken it.
    pub(crate) fn feed_traced<O: Outbox>(
        &mut self,
        now: Time,
        origin: Origin,
        publish: &Publish<'_>,
        routed: &mut Routed,
        out: &mut O,
    ) -> u64 {
        let hits = std::mem::take(&mut self.hits);
        let Some(mut streams) = self.streams.take() else {
            return 0;
        };
        let trace = self.trace.take();
        let message = Incoming {
            subject: publish.subject,
            payload: publish.payload,
            header_len: publish.header.map_or(0, |header| header.len),
        };
        let is_only = trace.as_ref().is_some_and(|trace| trace.is_only);
        let mut would_have = 0;
        let mut met = Vec::new();
        for sink in hits {
            let mut is_kept_from = false;
            if let Sink::Stream(id) = sink {
                is_kept_from = is_only;
                streams.begin_traced(id, is_only);
            }
            let is_taken = streams.take_in(self, now, sink, origin, message, publish.reply, out);
            if let Sink::Stream(id) = sink {
                met.extend(streams.end_traced(id));
            }
            would_have += u64::from(is_kept_from);
            routed.receivers += u64::from(is_taken && !is_kept_from);
        }
        routed.held |= streams.is_holding();
        self.streams = Some(streams);
        self.feed_internal(now, out);
        self.trace = trace;
        if let Some(trace) = &mut self.trace {
            for (name, met) in &met {
                trace.meet_stream(name, met);
            }
        }
        would_have
    }
}

impl Streams {
    /// The next message of a stream is told of: it goes the way of messages that
    /// do more than to be stored.
    fn begin_traced(&mut self, id: StreamId, is_only: bool) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.is_special = true;
            self.traced = Some(MetStream {
                is_only,
                ..MetStream::default()
            });
        }
    }

    fn end_traced(&mut self, id: StreamId) -> Option<(String, MetStream)> {
        let met = self.traced.take()?;
        let stream = self.streams.get_mut(&id)?;
        stream.mark_special();
        Some((stream.config.name.clone(), met))
    }

    /// A message that may be traced is refused.
    pub(super) fn note_refused(&mut self, error: &ApiError) {
        if let Some(traced) = &mut self.traced {
            if error.err_code != NOT_STORED {
                traced.subject.clear();
            }
            traced.error = match WITHOUT_NUMBER.contains(&error.err_code) {
                true => error.description.to_string(),
                false => error.to_string(),
            };
        }
    }

    /// A message that may be traced was there already.
    pub(super) fn note_duplicate(&mut self) {
        if let Some(traced) = &mut self.traced {
            traced.subject.clear();
            traced.error = DUPLICATE.to_owned();
        }
    }

    /// Does with a message that is only traced what comes before it is stored.
    #[allow(clippy::too_many_arguments)] // The message and the world, once.
    pub(super) fn try_out<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        id: StreamId,
        from: Origin,
        message: Incoming<'_>,
        reply: Option<&[u8]>,
        out: &mut O,
    ) {
        let wall = self.wall;
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        match stream.try_out(message, wall) {
            Ok(Checked::New) => {}
            Ok(Checked::Duplicate(seq)) => {
                let stored = Stored::Duplicate(seq);
                let (answers, scratch) = (&mut self.answers, &mut self.scratch);
                let len = acknowledge(
                    stream, answers, scratch, engine, stored, b"", from, reply, out,
                );
                self.note_duplicate();
                self.after_store(id, len);
            }
            Err(error) => self.refuse_publish(engine, id, &error, from, message, reply, out),
        }
    }
}

impl MetStream {
    /// Takes note of what the message would be stored as. Whether that is all
    /// there is to do.
    #[cold]
    pub(super) fn note(&mut self, stream: &Stream, subject: &[u8]) -> bool {
        self.subject = subject.to_vec();
        self.is_unwanted =
            stream.config.retention == Retention::Interest && !stream.is_wanted(subject);
        self.is_only
    }
}

impl Stream {
    /// Whether a message could be stored if there is room.
    fn try_out(&mut self, message: Incoming<'_>, wall: Timestamp) -> Result<Checked, ApiError> {
        self.check_subject(message.subject)?;
        self.check_size(message)?;
        if self.config.allow_msg_counter {
            self.count(message, None)?;
        }
        let header = &message.payload[..message.header_len];
        self.check_asked(&Expectations::read(header), message, wall)
    }
}
