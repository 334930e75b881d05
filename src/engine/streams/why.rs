//! What became of a message: `WHY` for people, `$MIDGE.API.WHY` for programs.
//!
//! It is told from what is kept anyway: the message, each consumer's cursor
//! with the deliveries that failed, and the dead letters. What was settled
//! without trouble has left no trace but that.

use super::api_dlq::{SEQ_MAX, Walk, answer, take_letters};
use super::clients::Clients;
use super::consumer::Consumer;
use super::request::{Answered, Held, Outcome, Progress, Request};
use super::stream::Stream;
use super::streams::Streams;
use crate::Time;
use crate::engine::Engine;
use crate::ids::{Seq, StreamId};
use midge_api::{
    Attempt, DLQ_STREAM, DeadLetter, DeadLetters, DlqError, DlqFilter, DlqKind, DlqRequest,
    JsonWriter, Nanos, Timestamp, midge_header,
};
use midge_proto::headers::HeaderBlock;
use std::fmt::Write;

/// Dead letters that are told of one message.
const LETTERS_MAX: u64 = 100;

/// Consumers that are told of.
const CONSUMERS_MAX: usize = 1000;

/// Where a message stands with a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It is still to be delivered.
    Pending,
    /// It waits for its key, or for its turn.
    Held,
    /// It was delivered and its ack is waited for.
    Delivered,
    /// It is to be delivered again.
    Redelivering,
    /// It will not be, and its letter could not be stored yet.
    Dying,
    /// It will not be, and no letter was wanted.
    GivenUp,
    /// It is among the dead.
    Dead,
    /// It is not there any more, and was not dealt with.
    Gone,
    /// It is dealt with.
    Settled,
    /// It is not meant for it.
    Unwanted,
}

impl Standing {
    fn as_str(self) -> &'static str {
        match self {
            Standing::Pending => "pending",
            Standing::Held => "held",
            Standing::Delivered => "delivered",
            Standing::Redelivering => "redelivering",
            Standing::Dying => "dying",
            Standing::GivenUp => "given_up",
            Standing::Dead => "dead",
            Standing::Gone => "gone",
            Standing::Settled => "settled",
            Standing::Unwanted => "unwanted",
        }
    }
}

impl Consumer {
    fn standing(&self, seq: Seq, subject: Option<&[u8]>) -> Standing {
        if let Some(unacked) = self.cursor.unacked.get(seq) {
            return match (unacked.is_dying, unacked.is_queued) {
                (true, _) => Standing::Dying,
                (_, true) => Standing::Redelivering,
                _ => Standing::Delivered,
            };
        }
        let is_meant = subject.is_none_or(|subject| self.filter.matches(subject));
        if self.cursor.picks.contains(&seq) {
            return if self.lookahead.is_some() {
                Standing::Held
            } else {
                Standing::Pending
            };
        }
        match () {
            () if !is_meant => Standing::Unwanted,
            () if self.cursor.ahead.contains(&seq) => Standing::Settled,
            () if self.is_ahead(seq) => Standing::Pending,
            () if self.cursor.redeliveries.contains_key(&seq) => Standing::GivenUp,
            () => Standing::Settled,
        }
    }
}

/// One consumer's part of the story.
struct Part<'a> {
    consumer: &'a Consumer,
    standing: Standing,
    seq: Seq,
    now: Time,
    clients: Clients<'a>,
}

impl Part<'_> {
    fn write_json(&self, json: &mut JsonWriter) {
        let cursor = &self.consumer.cursor;
        json.open_object();
        json.string_field("name", self.consumer.name());
        json.string_field("state", self.standing.as_str());
        if let Some(unacked) = cursor.unacked.get(self.seq) {
            json.uint_field("deliveries", u64::from(cursor.deliveries(self.seq)));
            json.time_field("delivered_at", unacked.delivered_at);
            if let Some(conn) = unacked.to {
                let (id, name) = self.clients.who(conn);
                json.string_unless_empty("client", name);
                json.uint_unless_zero("client_id", id);
            }
            if !unacked.is_queued {
                let due = unacked.due.since(self.now).as_millis();
                json.uint_field("due_ms", u64::try_from(due).unwrap_or(u64::MAX));
            }
        }
        let redrives = cursor.redrives.get(&self.seq).copied().unwrap_or(0);
        json.uint_unless_zero("redrives", u64::from(redrives));
        json.flag("parks_key", cursor.parked.has(self.seq));
        let mut attempts = cursor.attempts.of(self.seq).peekable();
        if attempts.peek().is_some() {
            json.key("attempts");
            json.open_array();
            attempts.for_each(|attempt| attempt.write_json(json));
            json.close_array();
        }
        json.close_object();
    }

    fn write_text(&self, text: &mut String) {
        let cursor = &self.consumer.cursor;
        let state = self.standing.as_str().replace('_', " ");
        let _ = write!(text, "{}: {state}", self.consumer.name());
        if let Some(unacked) = cursor.unacked.get(self.seq) {
            let deliveries = cursor.deliveries(self.seq);
            let _ = write!(
                text,
                ", {deliveries} deliveries, the last {}",
                unacked.delivered_at
            );
            if let Some(conn) = unacked.to {
                let (id, name) = self.clients.who(conn);
                let _ = write!(text, " to {}", client(name, id));
            }
            if !unacked.is_queued {
                let due = unacked.due.since(self.now).as_millis();
                let _ = write!(text, ", its time is up in {due} ms");
            }
        }
        if let Some(redrives) = cursor.redrives.get(&self.seq) {
            let _ = write!(text, ", sent back {redrives} times");
        }
        if cursor.parked.has(self.seq) {
            text.push_str(", its key waits");
        }
        text.push_str("\r\n");
        for attempt in cursor.attempts.of(self.seq) {
            write_attempt(attempt, text);
        }
    }
}

fn write_attempt(attempt: &Attempt, text: &mut String) {
    let _ = write!(
        text,
        "  {}. {} {}: {} after {}",
        attempt.number,
        attempt.time,
        client(&attempt.client, attempt.client_id),
        attempt.ended.as_str(),
        attempt.after,
    );
    if !attempt.reason.is_empty() {
        let _ = write!(text, ": {}", attempt.reason.escape_debug());
    }
    text.push_str("\r\n");
}

fn client(name: &str, id: u64) -> String {
    match (name, id) {
        ("", 0) => "a client that is not known any more".to_owned(),
        ("", id) => format!("client {id}"),
        (name, id) => format!("{} (client {id})", name.escape_debug()),
    }
}

/// What is known of the message itself.
struct Facts {
    state: &'static str,
    subject: Option<Vec<u8>>,
    time: Timestamp,
    size: usize,
}

impl Stream {
    fn facts(&self, seq: Seq) -> Result<Facts, Held> {
        let record = self.log.get(seq)?;
        let state = match &record {
            Some(_) => "stored",
            None if seq > self.log.last() || seq == Seq(0) => "never",
            None => "removed",
        };
        Ok(Facts {
            state,
            subject: record.as_ref().map(|record| record.subject.to_vec()),
            time: record
                .as_ref()
                .map_or(Timestamp::UNSET, |record| record.time),
            size: record.map_or(0, |record| record.payload.len()),
        })
    }
}

impl Streams {
    pub(super) fn why(
        &mut self,
        engine: &mut Engine,
        asked: &DlqRequest,
        request: &mut Request,
        budget: &mut u32,
        now: Time,
    ) -> Outcome {
        let name = &asked.filter.stream;
        let seq = Seq(asked.filter.seq);
        let id = self.id_of(request.from.account, name);
        let stream = id.and_then(|id| self.streams.get(&id));
        let stream = stream.ok_or(Held::Refused(DlqError::NoSuchStream.into()))?;
        let only = &asked.filter.consumer;
        if !only.is_empty() && stream.consumer(only).is_none() {
            return Err(Held::Refused(DlqError::NoSuchConsumer.into()));
        }
        let facts = stream.facts(seq)?;
        let letters = self.letters_of(engine, stream, asked, request, budget)?;
        let clients = Clients {
            sessions: &engine.sessions,
            departed: &self.departed,
        };
        let names = stream.consumers_by_name.keys();
        let names = names.filter(|name| only.is_empty() || *name == only);
        // Nobody has had anything to do with what never was.
        let names = names.filter(|_| facts.state != "never");
        let part = |name: &String| {
            let consumer = stream.consumer(name)?;
            Some(Part {
                consumer,
                standing: self.standing(consumer, seq, &facts, &letters),
                seq,
                now,
                clients,
            })
        };
        let parts: Vec<Part<'_>> = names.take(CONSUMERS_MAX).filter_map(part).collect();
        let publisher = stream.publishers.of(seq).filter(|_| facts.state != "never");
        let publisher = publisher.map(|conn| clients.who(conn));
        let body = if asked.text {
            self.story(stream, seq, &facts, publisher, &parts, &letters)
        } else {
            self.report(stream, seq, &facts, publisher, &parts, &letters)
        };
        Ok(Answered::Now(body))
    }

    /// Where a message stands with a consumer, given what has died.
    fn standing(
        &self,
        consumer: &Consumer,
        seq: Seq,
        facts: &Facts,
        letters: &[(StreamId, Seq)],
    ) -> Standing {
        let standing = match consumer.standing(seq, facts.subject.as_deref()) {
            Standing::Pending | Standing::Held if facts.subject.is_none() => Standing::Gone,
            standing => standing,
        };
        let is_settled = matches!(standing, Standing::Settled | Standing::Gone);
        let name = consumer.name();
        if is_settled && letters.iter().any(|letter| self.is_of(letter, name)) {
            return Standing::Dead;
        }
        standing
    }

    /// What is told to programs.
    fn report(
        &self,
        stream: &Stream,
        seq: Seq,
        facts: &Facts,
        publisher: Option<(u64, &str)>,
        parts: &[Part<'_>],
        letters: &[(StreamId, Seq)],
    ) -> Vec<u8> {
        let mut json = answer(DlqKind::Why);
        json.string_field("stream", stream.name());
        json.uint_field("seq", seq.0);
        json.string_field("state", facts.state);
        if let Some(subject) = &facts.subject {
            json.string_field("subject", &String::from_utf8_lossy(subject));
            json.time_field("time", facts.time);
            json.uint_field("size", facts.size as u64);
        }
        if let Some((id, name)) = publisher {
            json.string_unless_empty("publisher", name);
            json.uint_unless_zero("publisher_id", id);
        }
        json.key("consumers");
        json.open_array();
        parts.iter().for_each(|part| part.write_json(&mut json));
        json.close_array();
        json.key("dead_letters");
        json.open_array();
        for (dlq, seq) in letters {
            self.tell_letter(*dlq, *seq, &mut json);
        }
        json.close_array();
        json.close_object();
        json.into_bytes()
    }

    /// Whether a letter, which is in memory, died with this consumer.
    fn is_of(&self, (dlq, seq): &(StreamId, Seq), consumer: &str) -> bool {
        let stream = self.streams.get(dlq);
        let record = stream.and_then(|stream| stream.log.get(*seq).ok().flatten());
        let letter = record.and_then(|record| DeadLetter::read(record.header()));
        letter.is_some_and(|letter| letter.consumer == consumer)
    }

    /// The dead letters of a message: in the streams where its consumers'
    /// letters go.
    fn letters_of(
        &self,
        engine: &mut Engine,
        stream: &Stream,
        asked: &DlqRequest,
        request: &mut Request,
        budget: &mut u32,
    ) -> Result<Vec<(StreamId, Seq)>, Held> {
        let mut dlqs: Vec<StreamId> = self.id_of(stream.account, DLQ_STREAM).into_iter().collect();
        for consumer in stream.consumers.values() {
            if let DeadLetters::To(subject) = &consumer.options.dead_letters
                && let Some(id) = engine.accounts[stream.account].stream_on(subject.as_bytes())
                && !dlqs.contains(&id)
            {
                dlqs.push(id);
            }
        }
        let wanted = DlqRequest {
            filter: DlqFilter {
                stream: stream.name().to_owned(),
                consumer: asked.filter.consumer.clone(),
                source_seq: asked.filter.seq,
                ..DlqFilter::default()
            },
            ..asked.clone()
        };
        // The whole walk begins anew after a pause, but for where it was.
        let (from, passed, _) = take_letters(request, Seq(0));
        let mut letters = Vec::new();
        for (place, dlq) in dlqs.into_iter().enumerate() {
            let place = place as u64;
            if place < passed {
                continue;
            }
            let mut at = if place == passed { from } else { Seq(0) };
            loop {
                match self.next_letter(dlq, &wanted, SEQ_MAX, &mut at, budget) {
                    Ok(Walk::Letter(seq)) => letters.push((dlq, seq)),
                    Ok(Walk::End) => break,
                    Err(held) if letters.is_empty() => {
                        request.progress = Progress::Letters {
                            at,
                            end: SEQ_MAX,
                            count: place,
                            told: JsonWriter::new(),
                        };
                        return Err(held);
                    }
                    // Those that were found are told; there is hardly more.
                    Err(_) => return Ok(letters),
                }
                if letters.len() as u64 >= LETTERS_MAX {
                    return Ok(letters);
                }
            }
        }
        Ok(letters)
    }

    /// The same for people.
    fn story(
        &self,
        stream: &Stream,
        seq: Seq,
        facts: &Facts,
        publisher: Option<(u64, &str)>,
        parts: &[Part<'_>],
        letters: &[(StreamId, Seq)],
    ) -> Vec<u8> {
        let mut text = format!("{} {seq}: ", stream.name());
        match &facts.subject {
            Some(subject) => {
                let _ = write!(
                    text,
                    "{}, {} bytes, stored {} ({} ago)",
                    String::from_utf8_lossy(subject).escape_debug(),
                    facts.size,
                    facts.time,
                    age(self.wall, facts.time),
                );
            }
            None if facts.state == "never" => text.push_str("there was none yet"),
            None => text.push_str("it is not in the stream any more"),
        }
        if let Some((id, name)) = publisher {
            let _ = write!(text, ", published by {}", client(name, id));
        }
        text.push_str("\r\n");
        for part in parts {
            part.write_text(&mut text);
        }
        for (dlq, seq) in letters {
            let Some(stream) = self.streams.get(dlq) else {
                continue;
            };
            let Ok(Some(record)) = stream.log.get(*seq) else {
                continue;
            };
            let Some(letter) = DeadLetter::read(record.header()) else {
                continue;
            };
            let _ = write!(
                text,
                "dead since {}: {} {seq}, {} after {} deliveries",
                record.time,
                stream.name(),
                letter.reason.escape_debug(),
                letter.deliveries,
            );
            if !letter.consumer.is_empty() {
                let _ = write!(text, " to {}", letter.consumer.escape_debug());
            }
            if letter.redrives > 0 {
                let _ = write!(text, ", had been sent back {} times", letter.redrives);
            }
            text.push_str("\r\n");
            for (name, value) in HeaderBlock::new(record.header()) {
                if name == midge_header::ATTEMPT {
                    let _ = write!(text, "  {}\r\n", printable(value));
                }
            }
        }
        text.into_bytes()
    }
}

/// What anybody may have written, without what could drive a terminal.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let chars = text.chars();
    chars
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect()
}

/// In whole seconds: more would be noise.
fn age(now: Timestamp, then: Timestamp) -> Nanos {
    let age = now.since(then).0.max(0);
    Nanos(age - age % 1_000_000_000)
}
