//! Sending dead letters back.
//!
//! A letter goes back to the one consumer it died with, as long as that and
//! the message are there; else it is published to its subject again. Either
//! is done in the turn in which it leaves the dead, and so in the same batch:
//! after any crash it is there or here, and never both.
//!
//! A redrive is a walk that goes on with every commit, so that it is never
//! further ahead of the disk than one step, and pauses to keep its rate. It
//! stops when what it has sent back dies again: then the fault is still
//! there. It is not kept over a restart; what it has not sent is still dead.

use super::answers::OnFailure;
use super::api_dlq::{Walk, answer};
use super::block::Record;
use super::intake::{HEADER_LEN_MAX, Incoming};
use super::numbered::Numbered;
use super::request::{Answered, Held, Outcome, Request};
use super::streams::{Health, Job, Streams};
use crate::Time;
use crate::engine::Engine;
use crate::ids::{AccountId, ConsumerId, Seq, StreamId};
use crate::outbox::Outbox;
use midge_api::{
    DeadLetter, DlqAction, DlqError, DlqKind, DlqRequest, midge_header, original_header,
    original_message,
};
use midge_proto::headers::HeaderWriter;
use std::collections::BTreeSet;
use std::time::Duration;

/// Redrives that may be under way at a time.
const RUNNING_MAX: usize = 16;

/// Redrives that have ended and can still be asked about.
const ENDED_MAX: usize = 16;

/// Letters that are sent back before the disk is waited for.
const STEP_MAX: u64 = 256;

/// Letters that are looked at before others have their turn.
const STEP_LOOKS_MAX: u32 = 1000;

/// What a rate is told for.
const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Done,
    Stopped,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Done => "done",
            State::Stopped => "stopped",
        }
    }
}

/// One that was asked for.
#[derive(Debug)]
struct Redrive {
    account: AccountId,
    asked: DlqRequest,
    state: State,
    at: Seq,
    /// Where it ends: what dies after its beginning is not its business.
    end: Seq,
    matched: u64,
    to_consumer: u64,
    to_subject: u64,
    failed: u64,
    died: u64,
    why: String,
    /// Who waits for its end.
    reply: Option<Vec<u8>>,
    /// When the next letter is due, at its rate.
    next: Option<Time>,
    /// When it goes on, if it rests.
    due: Option<Time>,
    /// Who it has sent letters back to.
    consumers: BTreeSet<(StreamId, ConsumerId)>,
}

/// All that are under way, and the last that were.
#[derive(Debug, Default)]
pub(crate) struct Redrives {
    by_id: Numbered<u64, Redrive>,
    last_id: u64,
    /// Those that go on in the next turn.
    pub(super) again: Vec<u64>,
    /// Letters sent back since the start.
    pub(crate) total: u64,
}

impl Redrive {
    fn sent(&self) -> u64 {
        self.to_consumer + self.to_subject
    }

    /// The next letter may be sent so much later; `due` is set if that is not
    /// now.
    fn pace(&mut self, now: Time) {
        if self.asked.rate == 0 || self.asked.dry_run {
            return;
        }
        let interval = SECOND / u32::try_from(self.asked.rate).unwrap_or(u32::MAX);
        // What could not be sent in time is made up for.
        let next = self.next.unwrap_or(now) + interval;
        self.next = Some(next);
        self.due = (next > now).then_some(next);
    }
}

/// Where a letter went.
enum Back {
    Consumer(StreamId, ConsumerId),
    Subject,
}

/// Whether a letter is the copy of this message, and not of one that had its
/// sequence in an earlier stream of that name.
fn is_copy(record: &Record<'_>, letter: &DeadLetter<'_>, message: &Record<'_>) -> bool {
    let (header, body) = original_message(record.header(), record.body());
    message.subject == letter.subject
        && message.body() == body
        && original_header(message.header()) == original_header(&header)
}

impl Redrives {
    /// When one that rests goes on.
    pub(super) fn due(&self) -> Option<Time> {
        self.by_id
            .iter()
            .filter_map(|(_, redrive)| redrive.due)
            .min()
    }

    /// Those that have rested.
    pub(super) fn take_due(&mut self, now: Time) -> Vec<u64> {
        let rested = self.by_id.iter_mut().filter_map(|(id, redrive)| {
            let due = redrive.due.take_if(|due| *due <= now);
            due.map(|_| id)
        });
        rested.collect()
    }

    /// Those that are under way end here. Returns who waits for their ends.
    pub(super) fn stop_all(&mut self, why: &str) -> Vec<(AccountId, Vec<u8>)> {
        let mut waiting = Vec::new();
        for (_, redrive) in self.by_id.iter_mut() {
            if redrive.state == State::Running {
                redrive.state = State::Stopped;
                redrive.due = None;
                why.clone_into(&mut redrive.why);
                let account = redrive.account;
                waiting.extend(redrive.reply.take().map(|reply| (account, reply)));
            }
        }
        waiting
    }

    fn running(&self) -> usize {
        let states = self.by_id.iter().map(|(_, redrive)| redrive.state);
        states.filter(|state| *state == State::Running).count()
    }

    fn add(&mut self, redrive: Redrive) -> u64 {
        while self.by_id.len() - self.running() > ENDED_MAX {
            let is_ended = |redrive: &Redrive| redrive.state != State::Running;
            let ended = self.by_id.iter().find(|(_, redrive)| is_ended(redrive));
            let Some(id) = ended.map(|(id, _)| id) else {
                break;
            };
            self.by_id.remove(id);
        }
        self.last_id += 1;
        self.by_id.insert(self.last_id, Box::new(redrive));
        self.last_id
    }

    fn tell(&self, account: AccountId, id: u64) -> Option<Vec<u8>> {
        let redrive = self.by_id.get(id);
        let redrive = redrive.filter(|redrive| redrive.account == account)?;
        let mut json = answer(DlqKind::Redrive);
        json.uint_field("id", id);
        json.string_field("state", redrive.state.as_str());
        json.uint_field("matched", redrive.matched);
        json.uint_field("redriven", redrive.sent());
        json.uint_field("to_consumer", redrive.to_consumer);
        json.uint_field("to_subject", redrive.to_subject);
        json.uint_field("failed", redrive.failed);
        json.uint_field("died", redrive.died);
        json.string_unless_empty("why", &redrive.why);
        json.close_object();
        Some(json.into_bytes())
    }
}

impl Streams {
    /// A message that was sent back has died again.
    pub(super) fn died_again(&mut self, stream: StreamId, consumer: ConsumerId) {
        for (_, redrive) in self.redrives.by_id.iter_mut() {
            // Who got what was published again is not known.
            let may_be_its = redrive.to_subject > 0;
            if may_be_its || redrive.consumers.contains(&(stream, consumer)) {
                redrive.died += 1;
            }
        }
    }

    pub(super) fn redrive<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        asked: DlqRequest,
        request: &mut Request,
        budget: &mut u32,
        now: Time,
        out: &mut O,
    ) -> Outcome {
        let account = request.from.account;
        let told = |redrives: &Redrives, id: u64| {
            let body = redrives.tell(account, id);
            let body = body.ok_or(Held::Refused(DlqError::NoSuchRedrive.into()));
            body.map(Answered::Now)
        };
        match asked.action {
            DlqAction::Ask(id) => return told(&self.redrives, id),
            DlqAction::Stop(id) => {
                if let Some(redrive) = self.redrives.by_id.get_mut(id)
                    && redrive.state == State::Running
                    && redrive.account == account
                {
                    redrive.state = State::Stopped;
                    redrive.due = Some(now);
                    "it was stopped by a request".clone_into(&mut redrive.why);
                }
                return told(&self.redrives, id);
            }
            DlqAction::Begin => {}
        }
        let dlq = self.dlq_of(account, &asked)?;
        if !asked.dry_run {
            self.check_removable(dlq)?;
        }
        if self.redrives.running() >= RUNNING_MAX {
            return Err(Held::Refused(DlqError::TooManyRedrives.into()));
        }
        let is_quick = asked.rate == 0 || asked.dry_run;
        let end = dlq.map_or(Seq(0), |dlq| self.streams[&dlq].log.durable());
        let redrive = Redrive {
            account,
            at: Seq(asked.from_seq),
            asked,
            state: State::Running,
            end,
            matched: 0,
            to_consumer: 0,
            to_subject: 0,
            failed: 0,
            died: 0,
            why: String::new(),
            reply: request.reply.take_if(|_| is_quick),
            next: None,
            due: None,
            consumers: BTreeSet::new(),
        };
        let id = self.redrives.add(redrive);
        if *budget >= STEP_LOOKS_MAX {
            *budget -= STEP_LOOKS_MAX;
            self.step_redrive(engine, id, now, out);
        } else {
            self.redrives.again.push(id);
        }
        if is_quick {
            return Ok(Answered::Silence);
        }
        told(&self.redrives, id)
    }

    /// Redrives that have rested, or have let others have their turn, go on.
    pub(super) fn redrive_due<O: Outbox>(&mut self, engine: &mut Engine, now: Time, out: &mut O) {
        let mut ready = std::mem::take(&mut self.redrives.again);
        ready.extend(self.redrives.take_due(now));
        for id in ready {
            self.step_redrive(engine, id, now, out);
        }
    }

    /// Takes a redrive further, until it has to wait.
    pub(super) fn step_redrive<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        id: u64,
        now: Time,
        out: &mut O,
    ) {
        // Taken out for the step: what it does may count deaths in others.
        let Some(mut redrive) = self.redrives.by_id.remove(id) else {
            return;
        };
        let sent = redrive.sent();
        let held = self.send_back(engine, &mut redrive, now, out);
        let is_underway = redrive.sent() > sent || self.is_congested();
        match held {
            Ok(()) if redrive.state == State::Running => redrive.state = State::Done,
            Ok(()) => {}
            Err(Held::Refused(error)) => {
                redrive.state = State::Stopped;
                redrive.why = error.into_description();
            }
            Err(Held::Block(need)) => self.park(need, Job::Redrive(id)),
            Err(Held::Again) if redrive.due.is_some() => {}
            Err(Held::Again) if is_underway => self.wait_for_commit(Job::Redrive(id)),
            // There is nothing for the disk to do, but others have their turn.
            Err(Held::Again | Held::Zones) => self.redrives.again.push(id),
        }
        let reply = redrive.reply.take_if(|_| redrive.state != State::Running);
        let account = redrive.account;
        self.redrives.by_id.insert(id, redrive);
        if let (Some(reply), Some(body)) = (reply, self.redrives.tell(account, id)) {
            self.answer(account, &reply, OnFailure::Api, |bytes| {
                bytes.extend_from_slice(&body)
            });
        }
    }

    /// Sends letters back; an error if there are more.
    fn send_back<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        redrive: &mut Redrive,
        now: Time,
        out: &mut O,
    ) -> Result<(), Held> {
        let mut budget = STEP_LOOKS_MAX;
        let mut sent = 0;
        let Some(dlq) = self.dlq_of(redrive.account, &redrive.asked)? else {
            return Ok(());
        };
        while redrive.state == State::Running {
            let asked = &redrive.asked;
            if asked.limit > 0 && redrive.matched >= asked.limit {
                return Ok(());
            }
            if redrive.died >= asked.died_max && asked.died_max > 0 {
                redrive.state = State::Stopped;
                redrive.why = format!("{} of those sent back have died again", redrive.died);
                return Ok(());
            }
            if sent >= STEP_MAX || self.is_congested() {
                return Err(Held::Again);
            }
            let mut at = redrive.at;
            let seq = match self.next_letter(dlq, asked, redrive.end, &mut at, &mut budget) {
                Ok(Walk::Letter(seq)) => seq,
                Ok(Walk::End) => return Ok(()),
                Err(held) => {
                    redrive.at = at;
                    return Err(held);
                }
            };
            if !asked.dry_run {
                // Met again if its message has to be waited for.
                redrive.at = seq;
                match self.send_one_back(engine, dlq, seq, now, out)? {
                    Ok(Back::Consumer(stream, consumer)) => {
                        redrive.to_consumer += 1;
                        redrive.consumers.insert((stream, consumer));
                    }
                    Ok(Back::Subject) => redrive.to_subject += 1,
                    Err(why) => {
                        redrive.failed += 1;
                        redrive.why = why;
                    }
                }
                sent += 1;
            }
            redrive.at = at;
            redrive.matched += 1;
            redrive.pace(now);
            if redrive.due.is_some() {
                return Err(Held::Again);
            }
        }
        Ok(())
    }

    /// Sends one back, or says why it stays.
    fn send_one_back<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        dlq: StreamId,
        seq: Seq,
        now: Time,
        out: &mut O,
    ) -> Result<Result<Back, String>, Held> {
        if self.health != Health::Good {
            return Err(Held::Refused(DlqError::Unavailable.into()));
        }
        let Some(stream) = self.streams.get(&dlq) else {
            return Ok(Err("the dead-letter stream is gone".into()));
        };
        let Some(record) = stream.log.get(seq)? else {
            return Ok(Err("the letter is gone".into()));
        };
        let Some(letter) = DeadLetter::read(record.header()) else {
            return Ok(Err("that is no dead letter".into()));
        };
        let source_seq = Seq(letter.source_seq);
        let redrives = u32::try_from(letter.redrives)
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        let (stream_name, name) = (letter.stream, letter.consumer);
        let found = self.find_consumer(stream.account, stream_name.as_bytes(), name.as_bytes());
        if let Some((source, consumer)) = found {
            let stream = &self.streams[&source];
            let message = stream.log.get(source_seq)?;
            let is_there = message.is_some_and(|message| is_copy(&record, &letter, &message));
            let is_meant = stream
                .consumers
                .get(&consumer)
                .is_some_and(|consumer| consumer.filter.matches(letter.subject));
            if is_there && !is_meant {
                let subject = String::from_utf8_lossy(letter.subject);
                return Ok(Err(format!("{name} does not want {subject} any more")));
            }
            if is_there {
                self.back_to_consumer(source, consumer, source_seq, redrives);
                self.remove_letter(engine, dlq, seq, now, out);
                self.redrives.total += 1;
                return Ok(Ok(Back::Consumer(source, consumer)));
            }
        }
        let subject = letter.subject.to_vec();
        let (payload, header_len) = sent_back(&record, redrives);
        let message = Incoming {
            subject: &subject,
            payload: &payload,
            header_len,
        };
        if let Err(why) = self.back_to_subject(engine, dlq, message, out) {
            return Ok(Err(why));
        }
        if let Some((source, consumer)) = found
            && self
                .consumer_mut(source, consumer)
                .is_some_and(|consumer| consumer.unpark(source_seq))
        {
            self.keys_go_on(source, consumer);
        }
        self.remove_letter(engine, dlq, seq, now, out);
        self.redrives.total += 1;
        Ok(Ok(Back::Subject))
    }

    fn back_to_consumer(&mut self, stream: StreamId, id: ConsumerId, seq: Seq, redrives: u32) {
        if let Some(consumer) = self.consumer_mut(stream, id) {
            consumer.take_back(seq, redrives);
        }
        // With the letter's removal, not some time later.
        self.changed(stream);
        self.make_ready(stream, id);
    }

    fn back_to_subject<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        dlq: StreamId,
        message: Incoming<'_>,
        out: &mut O,
    ) -> Result<(), String> {
        let subject = String::from_utf8_lossy(message.subject).into_owned();
        let account = self.account_of(dlq);
        let Some(target) = engine.accounts[account].stream_on(message.subject) else {
            return Err(format!("no stream keeps {subject}"));
        };
        if target == dlq {
            return Err(format!("{subject} leads back to the dead"));
        }
        self.store_letter(engine, target, message, out)
            .map_err(|error| format!("{subject}: {}", error.description))
    }
}

/// The payload that a letter's message is sent back with, and the length of its
/// header block.
fn sent_back(letter: &Record<'_>, redrives: u32) -> (Vec<u8>, usize) {
    let mut payload = Vec::new();
    let (original, body) = original_message(letter.header(), letter.body());
    HeaderWriter::from_block(&mut payload, &original)
        .number(midge_header::REDRIVES, u64::from(redrives))
        .finish();
    if payload.len() > HEADER_LEN_MAX {
        // There is no room to tell how often it was sent back.
        payload = original;
    }
    let header_len = payload.len();
    payload.extend_from_slice(body);
    (payload, header_len)
}
