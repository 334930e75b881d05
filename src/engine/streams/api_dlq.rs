//! Requests that are about dead letters.
//!
//! A walk over the letters looks at so many in a turn, and waits for a block
//! where one is missing; what it has found until then it keeps.

use super::answers::OnFailure;
use super::filter::Filter;
use super::log_read::Search;
use super::request::{Answered, Held, Outcome, Progress, Request};
use super::streams::{Health, Streams};
use crate::Time;
use crate::engine::Engine;
use crate::ids::{AccountId, ConsumerId, Seq, StreamId};
use crate::outbox::Outbox;
use midge_api::{
    ApiError, DLQ_STREAM, DeadLetter, DlqError, DlqKind, DlqRequest, JsonWriter, is_object,
    midge_header, original_message,
};
use midge_proto::headers::HeaderBlock;

/// Letters that are listed at a time, if nothing is said, and at most.
const LIST_LIMIT: u64 = 100;
const LIST_LIMIT_MAX: u64 = 1000;

/// Bytes of a list, about: longer than any client takes as one message it
/// must not be.
const LIST_LEN_MAX: usize = 512 * 1024;

/// Letters that all requests together look at or remove in one turn: a
/// millisecond or two.
pub(super) const LOOKS_MAX: u32 = 2000;

/// What a request costs beside the letters that it looks at, in those.
const REQUEST_COST: u32 = 16;

/// Requests that may wait for their turn.
const WAITING_MAX: usize = 4096;

/// No end but that of the stream.
pub(super) const SEQ_MAX: Seq = Seq(u64::MAX);

/// What a walk over letters has met.
pub(super) enum Walk {
    /// One that is meant.
    Letter(Seq),
    /// No more.
    End,
}

impl Streams {
    /// Handles a request about dead letters, or puts it aside.
    pub(super) fn handle_dlq<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        mut request: Request,
        now: Time,
        out: &mut O,
    ) {
        let Some(kind) = DlqKind::of_subject(&request.subject) else {
            return;
        };
        let account = request.from.account;
        let outcome = if self.tenants[account].limits.is_none() {
            Err(ApiError::NOT_ENABLED_FOR_ACCOUNT.into())
        } else if self.health == Health::Good {
            self.answer_dlq(engine, kind, &mut request, now, out)
        } else {
            Err(Held::Refused(DlqError::Unavailable.into()))
        };
        let (body, when_safe) = match outcome {
            Ok(Answered::Now(body)) => (body, false),
            Ok(Answered::WhenSafe(body)) => (body, true),
            Ok(Answered::Silence) => return,
            Err(Held::Refused(error)) => {
                let asked = DlqRequest::from_json(request.body());
                let body = if asked.is_ok_and(|asked| asked.text) {
                    format!("{}\r\n", error.description).into_bytes()
                } else {
                    kind.refusal(&error)
                };
                (body, false)
            }
            Err(Held::Block(need)) => return self.set_aside(engine, need, request, out),
            Err(Held::Again | Held::Zones) if self.again.len() < WAITING_MAX => {
                return self.again.push(request);
            }
            Err(Held::Again | Held::Zones) => (kind.refusal(&DlqError::Unavailable.into()), false),
        };
        let Some(reply) = &request.reply else {
            return;
        };
        if when_safe && !self.is_settled() {
            self.answer(account, reply, OnFailure::Api, |bytes| {
                bytes.extend_from_slice(&body)
            });
        } else {
            engine.answer(account, reply, &body, out);
        }
    }

    fn answer_dlq<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        kind: DlqKind,
        request: &mut Request,
        now: Time,
        out: &mut O,
    ) -> Outcome {
        let asked = DlqRequest::from_json(request.body())?;
        let is_gone = request
            .from
            .conn
            .is_some_and(|conn| engine.sessions.get(conn).is_none());
        if is_gone && matches!(kind, DlqKind::List | DlqKind::Show | DlqKind::Why) {
            // Nobody would hear the answer.
            return Ok(Answered::Silence);
        }
        let walks = matches!(kind, DlqKind::List | DlqKind::Drop | DlqKind::Why);
        if walks && self.looks_left == 0 {
            return Err(Held::Again);
        }
        let account = request.from.account;
        let mut budget = self.looks_left.saturating_sub(REQUEST_COST);
        let outcome = match kind {
            DlqKind::List => self.list_letters(&asked, request, &mut budget),
            DlqKind::Show => self.show_letter(account, &asked),
            DlqKind::Drop => self.drop_letters(engine, &asked, request, &mut budget, now, out),
            DlqKind::Redrive => self.redrive(engine, asked, request, &mut budget, now, out),
            DlqKind::Unpark => self.unpark_keys(account, &asked),
            DlqKind::Why => self.why(engine, &asked, request, &mut budget, now),
        };
        self.looks_left = budget;
        outcome
    }

    /// The stream that letters are asked from; `None` if none was needed yet.
    pub(super) fn dlq_of(
        &self,
        account: AccountId,
        asked: &DlqRequest,
    ) -> Result<Option<StreamId>, Held> {
        match self.id_of(account, &asked.dlq) {
            Some(id) => Ok(Some(id)),
            None if asked.dlq == DLQ_STREAM => Ok(None),
            None => Err(Held::Refused(DlqError::NoSuchDlq.into())),
        }
    }

    /// Finds the next letter from `at` to `end` that is meant. `at` moves with
    /// what was looked at. One that is not durable yet is not found.
    pub(super) fn next_letter(
        &self,
        dlq: StreamId,
        asked: &DlqRequest,
        end: Seq,
        at: &mut Seq,
        budget: &mut u32,
    ) -> Result<Walk, Held> {
        let Some(stream) = self.streams.get(&dlq) else {
            return Ok(Walk::End);
        };
        let log = &stream.log;
        let mut end = end.min(log.durable());
        if asked.filter.seq > 0 {
            *at = (*at).max(Seq(asked.filter.seq));
            end = end.min(Seq(asked.filter.seq));
        }
        loop {
            if *at > end {
                return Ok(Walk::End);
            }
            if *budget == 0 {
                return Err(Held::Again);
            }
            *budget -= 1;
            match log.next_match(*at, end, &Filter::all())? {
                Search::Nothing => return Ok(Walk::End),
                Search::Pause(seq) => *at = seq,
                Search::Found(seq) => {
                    let is_meant = log.get(seq)?.is_some_and(|record| {
                        let letter = DeadLetter::read(record.header());
                        letter.is_some_and(|letter| {
                            asked.filter.matches(&letter, seq.0, record.time, self.wall)
                        })
                    });
                    *at = seq.next();
                    if is_meant {
                        return Ok(Walk::Letter(seq));
                    }
                }
            }
        }
    }

    /// Appends what is told of a letter, which is in memory.
    pub(super) fn tell_letter(&self, dlq: StreamId, seq: Seq, told: &mut JsonWriter) {
        let stream = self.streams.get(&dlq);
        let record = stream.and_then(|stream| stream.log.get(seq).ok().flatten());
        if let Some(record) = record
            && let Some(letter) = DeadLetter::read(record.header())
        {
            letter.write_json(told, seq.0, record.time, record.body().len());
        }
    }

    fn list_letters(&self, asked: &DlqRequest, request: &mut Request, budget: &mut u32) -> Outcome {
        let limit = match asked.limit {
            0 => LIST_LIMIT,
            limit => limit.min(LIST_LIMIT_MAX),
        };
        let (mut at, mut count, mut told) = take_letters(request, Seq(asked.from_seq));
        let dlq = self.dlq_of(request.from.account, asked)?;
        let mut next_seq = 0;
        while let Some(dlq) = dlq {
            match self.next_letter(dlq, asked, SEQ_MAX, &mut at, budget) {
                Ok(Walk::Letter(seq)) if count >= limit || told.len() > LIST_LEN_MAX => {
                    next_seq = seq.0;
                    break;
                }
                Ok(Walk::Letter(seq)) => {
                    self.tell_letter(dlq, seq, &mut told);
                    count += 1;
                }
                Ok(Walk::End) => break,
                Err(held) => {
                    request.progress = Progress::Letters {
                        at,
                        end: SEQ_MAX,
                        count,
                        told,
                    };
                    return Err(held);
                }
            }
        }
        // What is not on the disk yet is not told of, so it does not count.
        let total = dlq.map_or(0, |id| {
            let log = &self.streams[&id].log;
            log.messages() - log.count_from(log.durable().next())
        });
        let mut json = answer(DlqKind::List);
        json.string_field("dlq", &asked.dlq);
        json.uint_field("total", total);
        told.close_array();
        json.key("letters");
        json.raw(&told.into_bytes());
        json.uint_field("next_seq", next_seq);
        json.close_object();
        Ok(Answered::Now(json.into_bytes()))
    }

    fn show_letter(&self, account: AccountId, asked: &DlqRequest) -> Outcome {
        let missing = || Held::Refused(DlqError::NoSuchLetter.into());
        let dlq = self.dlq_of(account, asked)?.ok_or_else(missing)?;
        let seq = Seq(asked.filter.seq);
        let stream = self.streams.get(&dlq).ok_or_else(missing)?;
        let record = stream.log.get(seq)?.ok_or_else(missing)?;
        let header = record.header();
        let letter = DeadLetter::read(header).ok_or_else(missing)?;
        let mut json = answer(DlqKind::Show);
        json.key("letter");
        letter.write_json(&mut json, seq.0, record.time, record.body().len());
        json.key("attempts");
        json.open_array();
        for (name, value) in HeaderBlock::new(header) {
            // They were written as JSON; whoever wrote others gets no say.
            if name == midge_header::ATTEMPT && is_object(value) {
                json.raw(value);
            }
        }
        json.close_array();
        let (original, body) = original_message(header, record.body());
        if !original.is_empty() {
            json.key("hdrs");
            json.base64(&original);
        }
        json.key("data");
        json.base64(body);
        json.close_object();
        Ok(Answered::Now(json.into_bytes()))
    }

    fn drop_letters<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        asked: &DlqRequest,
        request: &mut Request,
        budget: &mut u32,
        now: Time,
        out: &mut O,
    ) -> Outcome {
        if asked.filter.is_empty() && !asked.all {
            return Err(Held::Refused(DlqError::FilterMissing.into()));
        }
        let dlq = self.dlq_of(request.from.account, asked)?;
        if !asked.dry_run {
            self.check_removable(dlq)?;
        }
        // What dies while this goes on is not its business.
        let end = match request.progress {
            Progress::Letters { end, .. } => end,
            _ => dlq.map_or(Seq(0), |dlq| self.streams[&dlq].log.durable()),
        };
        let (mut at, mut count, _) = take_letters(request, Seq(0));
        while let Some(dlq) = dlq {
            if asked.limit > 0 && count >= asked.limit {
                break;
            }
            match self.next_letter(dlq, asked, end, &mut at, budget) {
                Ok(Walk::Letter(seq)) => {
                    count += 1;
                    if !asked.dry_run {
                        self.let_go(engine, dlq, seq, now, out);
                    }
                }
                Ok(Walk::End) => break,
                Err(held) => {
                    request.progress = Progress::Letters {
                        at,
                        end,
                        count,
                        told: JsonWriter::new(),
                    };
                    return Err(held);
                }
            }
        }
        let mut json = answer(DlqKind::Drop);
        json.uint_field("matched", count);
        json.uint_field("dropped", if asked.dry_run { 0 } else { count });
        json.close_object();
        Ok(Answered::WhenSafe(json.into_bytes()))
    }

    /// Drops a letter, which is in memory, and lets the key go on that waits
    /// for it.
    fn let_go<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        dlq: StreamId,
        seq: Seq,
        now: Time,
        out: &mut O,
    ) {
        let stream = self.streams.get(&dlq);
        let record = stream.and_then(|stream| stream.log.get(seq).ok().flatten());
        let letter = record.and_then(|record| DeadLetter::read(record.header()));
        if let Some(letter) = letter {
            let source_seq = Seq(letter.source_seq);
            let (stream, consumer) = (letter.stream.as_bytes(), letter.consumer.as_bytes());
            let account = self.account_of(dlq);
            if let Some((stream, id)) = self.find_consumer(account, stream, consumer)
                && self
                    .consumer_mut(stream, id)
                    .is_some_and(|consumer| consumer.unpark(source_seq))
            {
                self.keys_go_on(stream, id);
            }
        }
        self.remove_letter(engine, dlq, seq, now, out);
    }

    /// Whether letters may be taken out of a stream.
    pub(super) fn check_removable(&self, dlq: Option<StreamId>) -> Result<(), Held> {
        let stream = dlq.and_then(|dlq| self.streams.get(&dlq));
        let config = stream.map(|stream| &stream.config);
        match config {
            Some(config) if config.sealed => Err(ApiError::STREAM_SEALED.into()),
            Some(config) if config.deny_delete => {
                let text = "message delete not permitted";
                Err(ApiError::stream_msg_delete_failed(text).into())
            }
            _ => Ok(()),
        }
    }

    /// Removes a letter, which is in memory.
    pub(super) fn remove_letter<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        dlq: StreamId,
        seq: Seq,
        now: Time,
        out: &mut O,
    ) {
        let Some(stream) = self.streams.get_mut(&dlq) else {
            return;
        };
        if stream.remove(seq).is_err() {
            // Its block has left memory meanwhile.
            debug_assert!(false, "a letter that was just read is in memory");
            stream.released.insert(seq);
        }
        self.changed(dlq);
        self.tell_effects(engine, dlq, now, out);
        self.wake_receivers(dlq);
    }

    /// Keys of a consumer have been unparked.
    pub(super) fn keys_go_on(&mut self, stream: StreamId, id: ConsumerId) {
        self.changed(stream);
        self.make_ready(stream, id);
    }

    fn unpark_keys(&mut self, account: AccountId, asked: &DlqRequest) -> Outcome {
        let filter = &asked.filter;
        if self.id_of(account, &filter.stream).is_none() {
            return Err(Held::Refused(DlqError::NoSuchStream.into()));
        }
        let found = self.find_consumer(
            account,
            filter.stream.as_bytes(),
            filter.consumer.as_bytes(),
        );
        let (stream, id) = found.ok_or(Held::Refused(DlqError::NoSuchConsumer.into()))?;
        let mut count = 0;
        if let Some(consumer) = self.consumer_mut(stream, id) {
            count = match filter.source_seq {
                0 => consumer.unpark_all(),
                seq => usize::from(consumer.unpark(Seq(seq))),
            };
        }
        if count > 0 {
            self.keys_go_on(stream, id);
        }
        let mut json = answer(DlqKind::Unpark);
        json.uint_field("unparked", count as u64);
        json.close_object();
        Ok(Answered::WhenSafe(json.into_bytes()))
    }
}

/// What a walk has done so far, or its beginning.
pub(super) fn take_letters(request: &mut Request, from: Seq) -> (Seq, u64, JsonWriter) {
    match std::mem::take(&mut request.progress) {
        Progress::Letters {
            at, count, told, ..
        } => (at, count, told),
        _ => {
            let mut told = JsonWriter::new();
            told.open_array();
            (from, 0, told)
        }
    }
}

/// The beginning of an answer.
pub(super) fn answer(kind: DlqKind) -> JsonWriter {
    let mut json = JsonWriter::new();
    json.open_object();
    json.string_field("type", kind.response_type());
    json
}
