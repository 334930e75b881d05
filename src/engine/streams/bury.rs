//! Burying messages that have died with a consumer.
//!
//! A dead letter is a copy of the message in another stream. It is appended,
//! and the consumer steps past the message, in the same turn and so in the
//! same batch: after any crash there is both or neither. If the letter cannot
//! be stored the message stays pending with its consumer, and it is tried
//! again.

use super::answers::OnFailure;
use super::api_streams::STREAMS_MAX;
use super::attempts::{ATTEMPTS_MAX, REASON_LEN_MAX, start_of};
use super::block::Record;
use super::consumer::Consumer;
use super::deaths::{Cause, Death};
use super::effects::{Effects, Note};
use super::intake::{HEADER_LEN_MAX, Incoming};
use super::loads::RETRY_PAUSE;
use super::log_read::NeedBlock;
use super::position::Cursor;
use super::stream::Stream;
use super::streams::{Health, Job, Streams};
use crate::Time;
use crate::engine::Engine;
use crate::feed::Outgoing;
use crate::ids::{AccountId, ConsumerId, StreamId};
use crate::outbox::Outbox;
use midge_api::{
    ApiError, Attempt, DLQ_STREAM, DeadLetter, DeadLetters, StreamConfig, midge_header,
    original_header,
};
use midge_proto::headers::{HeaderBlock, HeaderWriter};

/// Messages of one consumer that are buried before others have their turn:
/// that takes as long as some hundred deliveries.
const BURIALS_MAX: usize = 64;

/// What dead letters go to: this, the stream, the consumer, the subject.
const DLQ_PREFIX: &[u8] = b"$DLQ.";

/// Stands for the consumer where a stream has dropped a message that none was
/// to have.
const NO_CONSUMER: &str = "_";

/// Why a message is not buried yet.
enum Unburied {
    Need(NeedBlock),
    Refused,
}

impl From<NeedBlock> for Unburied {
    fn from(need: NeedBlock) -> Self {
        Unburied::Need(need)
    }
}

/// A dead letter, and what has to be known of its message once that is out of
/// sight.
struct Letter {
    payload: Vec<u8>,
    header_len: usize,
    /// Where the consumer wants it, if there is a stream.
    wanted: Option<Vec<u8>>,
    /// Where it goes otherwise.
    subject: Vec<u8>,
    /// What the message was in order with.
    key: Option<u64>,
    /// The message has come back from the dead before.
    was_sent_back: bool,
    /// The message is a dead letter itself.
    is_of_letter: bool,
}

impl Letter {
    fn write(stream: &Stream, consumer: &Consumer, death: &Death, record: &Record<'_>) -> Letter {
        let cursor = &consumer.cursor;
        let reason = reason_of(&death.cause);
        let deliveries = match &death.cause {
            Cause::Terminated { deliveries, .. } if death.is_ahead => *deliveries,
            _ => cursor.deliveries(death.seq),
        };
        let letter = DeadLetter {
            stream: stream.name(),
            consumer: consumer.name(),
            subject: record.subject,
            source_seq: death.seq.0,
            deliveries: u64::from(deliveries),
            reason: &reason,
            redrives: redrives_of(record, Some(cursor)),
        };
        let attempts: Vec<&Attempt> = cursor.attempts.of(death.seq).collect();
        let (payload, header_len) = copy_of(record, &letter, &attempts);
        let lookahead = consumer.lookahead.as_ref();
        Letter {
            payload,
            header_len,
            wanted: match &consumer.options.dead_letters {
                DeadLetters::To(subject) => Some(subject.clone().into_bytes()),
                DeadLetters::Kept | DeadLetters::Off => None,
            },
            subject: subject_of(&letter),
            key: lookahead.and_then(|lookahead| lookahead.key_of(record)),
            was_sent_back: letter.redrives > 0,
            is_of_letter: DeadLetter::read(record.header()).is_some(),
        }
    }
}

impl Consumer {
    /// Whether a message that has died is still waited for, or to come.
    fn is_open(&self, death: &Death) -> bool {
        let is_to_come = self.is_ahead(death.seq) && !self.cursor.ahead.contains(&death.seq);
        self.cursor.unacked.contains(death.seq) || (death.is_ahead && is_to_come)
    }
}

impl Streams {
    /// Buries messages that have died with a consumer, a bounded number.
    pub(super) fn bury<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        stream: StreamId,
        id: ConsumerId,
        now: Time,
        out: &mut O,
    ) {
        if !self.can_change(stream) {
            return;
        }
        for _ in 0..BURIALS_MAX {
            let Some(consumer) = self.consumer_mut(stream, id) else {
                return;
            };
            if consumer.deaths.is_waiting {
                return;
            }
            let Some(death) = consumer.dying.pop_front() else {
                return;
            };
            if self.is_congested() {
                self.die_later(stream, id, death);
                return self.wait_for_commit(Job::Bury(stream, id));
            }
            match self.bury_one(engine, stream, id, &death, now, out) {
                Ok(()) => {
                    if let Some(reply) = death.reply {
                        let account = self.account_of(stream);
                        self.answer(account, &reply, OnFailure::Silence, |_| {});
                    }
                }
                Err(Unburied::Need(need)) => {
                    self.die_later(stream, id, death);
                    return self.park(need, Job::Bury(stream, id));
                }
                Err(Unburied::Refused) => self.refuse_burial(stream, id, death, now),
            }
        }
        if !self.burying.contains(&(stream, id)) {
            self.burying.push_back((stream, id));
        }
    }

    /// A letter cannot be stored. It is tried again later, and is in nobody's
    /// way until then.
    fn refuse_burial(&mut self, stream: StreamId, id: ConsumerId, death: Death, now: Time) {
        let Some(consumer) = self.consumer_mut(stream, id) else {
            return;
        };
        consumer.deaths.refused_total += 1;
        consumer.deaths.refused.push_back(death);
        if consumer.deaths.refused.len() == 1 {
            self.failed_jobs.push(Job::Bury(stream, id));
            self.retry_due.get_or_insert(now + RETRY_PAUSE);
        }
    }

    /// A death has to wait for a job, and those behind it.
    fn die_later(&mut self, stream: StreamId, id: ConsumerId, death: Death) {
        if let Some(consumer) = self.consumer_mut(stream, id) {
            consumer.dying.push_front(death);
            consumer.deaths.is_waiting = true;
        }
    }

    /// What a death has waited for is there.
    pub(super) fn bury_again<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        stream: StreamId,
        id: ConsumerId,
        now: Time,
        out: &mut O,
    ) {
        if let Some(consumer) = self.consumer_mut(stream, id) {
            consumer.gather_dying();
            self.bury(engine, stream, id, now, out);
        }
    }

    /// The store is open again: the jobs of streams in memory were dropped.
    pub(super) fn bury_all_again(&mut self) {
        for stream in self.streams.values_mut() {
            for consumer in stream.consumers.values_mut() {
                consumer.gather_dying();
                if !consumer.dying.is_empty() {
                    self.burying.push_back((stream.id, consumer.id));
                }
            }
        }
    }

    /// Puts one where the dead are, and the consumer past it.
    fn bury_one<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        stream_id: StreamId,
        id: ConsumerId,
        death: &Death,
        now: Time,
        out: &mut O,
    ) -> Result<(), Unburied> {
        let Some(stream) = self.streams.get(&stream_id) else {
            return Ok(());
        };
        let Some(consumer) = stream.consumers.get(&id) else {
            return Ok(());
        };
        if !consumer.is_open(death) {
            return Ok(());
        }
        let Some(record) = stream.log.get(death.seq)? else {
            // It is gone, or damaged: that was told where it was found.
            self.step_past(engine, stream_id, id, death, None, now, out);
            return Ok(());
        };
        if death.is_ahead && !consumer.filter.matches(record.subject) {
            // It will not be delivered.
            return Ok(());
        }
        if !consumer.has_room_to_park() {
            return Err(Unburied::Refused);
        }
        let letter = Letter::write(stream, consumer, death, &record);
        let account = stream.account;
        let (target, subject) = self.grave_of(engine, account, &letter, out)?;
        // In its own stream it has to be out of the way of the consumer.
        let stream = self.streams.get(&stream_id);
        let consumer = stream.and_then(|stream| stream.consumers.get(&id));
        let would_come_back = letter.is_of_letter
            || consumer.is_some_and(|consumer| consumer.filter.matches(subject));
        if target == stream_id && would_come_back {
            self.lay_down(engine, stream_id, id, death, now, out);
            return Ok(());
        }
        let message = Incoming {
            subject,
            payload: &letter.payload,
            header_len: letter.header_len,
        };
        self.store_letter(engine, target, message, out)
            .map_err(|_| Unburied::Refused)?;
        if letter.was_sent_back {
            self.died_again(stream_id, id);
        }
        self.step_past(engine, stream_id, id, death, letter.key, now, out);
        Ok(())
    }

    /// The stream that keeps a letter, and the subject it has there.
    fn grave_of<'a, O: Outbox>(
        &mut self,
        engine: &mut Engine,
        account: AccountId,
        letter: &'a Letter,
        out: &mut O,
    ) -> Result<(StreamId, &'a [u8]), Unburied> {
        if let Some(wanted) = &letter.wanted
            && let Some(target) = engine.accounts[account].stream_on(wanted)
        {
            return Ok((target, wanted));
        }
        let target = self.dlq_for(engine, account, &letter.subject, out);
        Ok((target.ok_or(Unburied::Refused)?, &letter.subject))
    }

    /// A message lies among the dead already, and stays there.
    fn lay_down<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        stream: StreamId,
        id: ConsumerId,
        death: &Death,
        now: Time,
        out: &mut O,
    ) {
        let wall = self.wall;
        if let Some(consumer) = self.consumer_mut(stream, id) {
            let mut effects = Effects::default();
            consumer.laid_down(death, wall, &mut effects);
            self.cursor_changed(stream, now);
            self.carry_out(engine, stream, id, effects, now, out);
        }
    }

    /// Whether what is done to a stream can become durable.
    fn can_change(&self, stream: StreamId) -> bool {
        let stream = self.streams.get(&stream);
        self.health == Health::Good || stream.is_some_and(|stream| stream.is_volatile())
    }

    /// Appends a dead letter to a stream, and shows it to those who listen.
    pub(super) fn store_letter<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        target: StreamId,
        message: Incoming<'_>,
        out: &mut O,
    ) -> Result<(), ApiError> {
        let wall = self.wall;
        if !self.can_change(target) {
            return Err(ApiError::CLUSTER_NOT_AVAIL);
        }
        if !self.has_room(target, message) {
            return Err(ApiError::ACCOUNT_RESOURCES_EXCEEDED);
        }
        let stream = self.streams.get_mut(&target);
        let stream = stream.ok_or(ApiError::STREAM_NOT_FOUND)?;
        let account = stream.account;
        stream.store_copy(message, wall)?;
        self.count_in(target, message);
        self.after_store(target, message.subject.len() + message.payload.len());
        let shown = Outgoing {
            account,
            subject: message.subject,
            reply: None,
            payload: message.payload,
            header_len: message.header_len,
        };
        engine.show(shown, out);
        Ok(())
    }

    /// The consumer is through with a message that is buried.
    #[allow(clippy::too_many_arguments)] // The death and the world, once.
    fn step_past<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        stream_id: StreamId,
        id: ConsumerId,
        death: &Death,
        key: Option<u64>,
        now: Time,
        out: &mut O,
    ) {
        let wall = self.wall;
        let Some(consumer) = self.consumer_mut(stream_id, id) else {
            return;
        };
        let deliveries = consumer.cursor.deliveries(death.seq);
        let trips = consumer.died(death, key, wall);
        let note = match &death.cause {
            Cause::MaxDeliver => Note::MaxDeliveries {
                seq: death.seq,
                deliveries,
            },
            Cause::Terminated {
                delivery,
                deliveries,
                reason,
            } => Note::Terminated {
                delivery: *delivery,
                seq: death.seq,
                deliveries: *deliveries,
                reason: reason.clone(),
            },
        };
        let effects = Effects {
            notes: vec![note],
            settled: vec![death.seq],
            ..Effects::default()
        };
        // With the letter, not some time later.
        self.changed(stream_id);
        self.carry_out(engine, stream_id, id, effects, now, out);
        if trips {
            self.tell_tripped(engine, stream_id, id, now, out);
        }
        // There is room for others now, and its key is free.
        self.make_ready(stream_id, id);
    }

    /// The stream that keeps a dead letter with this subject; made if there
    /// is none. `None` if there can be none.
    pub(super) fn dlq_for<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        account: AccountId,
        subject: &[u8],
        out: &mut O,
    ) -> Option<StreamId> {
        if let Some(id) = engine.accounts[account].stream_on(subject) {
            return Some(id);
        }
        // Somebody's stream of this name is meant for it as well.
        if let Some(id) = self.id_of(account, DLQ_STREAM) {
            return Some(id);
        }
        if self.health != Health::Good {
            return None;
        }
        let mut config = StreamConfig {
            name: DLQ_STREAM.to_owned(),
            description: "messages that could not be processed".to_owned(),
            subjects: vec!["$DLQ.>".to_owned()],
            allow_direct: true,
            ..StreamConfig::default()
        };
        // Where somebody's stream keeps some of them, it is the name that says
        // where the rest goes.
        if self.check_overlap(account, &config, None).is_err() {
            config.subjects = vec![DLQ_STREAM.to_owned()];
            self.check_overlap(account, &config, None).ok()?;
        }
        config.check(false).ok()?;
        self.check_account_limits(account, &config, None).ok()?;
        if self.streams.len() >= STREAMS_MAX {
            return None;
        }
        Some(self.open_stream(engine, account, config, out))
    }
}

/// How often a message was sent back from among the dead: to the consumer,
/// or to its subject, which it tells itself.
pub(super) fn redrives_of(record: &Record<'_>, cursor: Option<&Cursor>) -> u64 {
    if let Some(redrives) = cursor.and_then(|cursor| cursor.redrives.get(&record.seq)) {
        return u64::from(*redrives);
    }
    let told = HeaderBlock::new(record.header()).get(midge_header::REDRIVES);
    told.and_then(super::expectations::number).unwrap_or(0)
}

/// `$DLQ.<stream>.<consumer>.<subject>`
pub(super) fn subject_of(letter: &DeadLetter<'_>) -> Vec<u8> {
    let consumer = if letter.consumer.is_empty() {
        NO_CONSUMER
    } else {
        letter.consumer
    };
    let mut subject = DLQ_PREFIX.to_vec();
    for part in [letter.stream.as_bytes(), consumer.as_bytes()] {
        subject.extend_from_slice(part);
        subject.push(b'.');
    }
    subject.extend_from_slice(letter.subject);
    subject
}

/// Why a message is dead, in a word or a line.
fn reason_of(cause: &Cause) -> String {
    match cause {
        Cause::MaxDeliver => "max_deliver".to_owned(),
        Cause::Terminated { reason, .. } if reason.is_empty() => "terminated".to_owned(),
        Cause::Terminated { reason, .. } => told_reason(reason),
    }
}

/// A reason as it stands in a header: one line, and not longer than is kept.
fn told_reason(reason: &str) -> String {
    let line: String = start_of(reason, REASON_LEN_MAX)
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect();
    format!("terminated: {line}")
}

/// The letter: the message with what is known of its end. Returns the length
/// of its header block too.
pub(super) fn copy_of(
    record: &Record<'_>,
    letter: &DeadLetter<'_>,
    attempts: &[&Attempt],
) -> (Vec<u8>, usize) {
    debug_assert!(attempts.len() <= ATTEMPTS_MAX);
    let mut original = std::borrow::Cow::Borrowed(record.header());
    if memchr::memmem::find(&original, midge_header::PREFIX).is_some() {
        // It was a dead letter before, in another stream.
        original = original_header(&original).into();
    }
    let mut payload = Vec::with_capacity(record.payload.len() + 512);
    let write = |payload: &mut Vec<u8>, original: &[u8], attempts: &[&Attempt], moved: usize| {
        payload.clear();
        let mut writer = letter.write_headers(HeaderWriter::from_block(payload, original));
        for attempt in attempts {
            writer = attempt.write_header(writer);
        }
        if moved > 0 {
            writer = writer.number(midge_header::HEADER_LENGTH, moved as u64);
        }
        writer.finish();
    };
    write(&mut payload, &original, attempts, 0);
    // The longest header block leaves no room for more: it goes before the
    // body then.
    let is_moved = payload.len() > HEADER_LEN_MAX;
    if is_moved {
        write(&mut payload, b"", attempts, original.len());
    }
    let header_len = payload.len();
    if is_moved {
        payload.extend_from_slice(&original);
    }
    payload.extend_from_slice(record.body());
    (payload, header_len)
}
