//! Requests for single messages, and reading a stream without a consumer.

use super::filter::Filter;
use super::log::Log;
use super::log_read::{NeedBlock, Search};
use super::request::{Answered, Batch, Held, Outcome, Progress, Request, wants_higher_level};
use super::streams::{Health, Job, Streams};
use crate::Time;
use crate::engine::Engine;
use crate::feed::Outgoing;
use crate::ids::{AccountId, Seq, StreamId};
use crate::order::put_in_order;
use crate::outbox::Outbox;
use crate::streams::block::Record;
use midge_api::responses::{self, ResponseKind, StoredMessage};
use midge_api::{ApiError, DeleteMessageRequest, DirectGetError, GetRequest};
use midge_proto::headers::{HeaderWriter, name as names};

/// Subjects that one request may ask the last messages of.
const MULTI_LAST_MAX: usize = 1024;

/// Bytes that a batch may take unless it says less: what a client that does
/// not read may have waiting.
const BATCH_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What requests to read a stream directly begin with.
const DIRECT_GET_PREFIX: &[u8] = b"$JS.API.DIRECT.GET.";

/// The stream that a direct get names, and what is asked of it.
fn asked_directly(request: &Request) -> (String, Result<GetRequest, DirectGetError>) {
    let named = request.subject.strip_prefix(DIRECT_GET_PREFIX);
    let named = String::from_utf8_lossy(named.unwrap_or_default());
    match named.split_once('.') {
        Some((name, subject)) => (
            name.to_owned(),
            GetRequest::for_subject(request.body(), subject),
        ),
        None => (named.into_owned(), GetRequest::for_direct(request.body())),
    }
}

impl Streams {
    pub(super) fn get_message(&mut self, stream: &str, request: &Request) -> Outcome {
        let asked = GetRequest::for_message(request.body(), self.config.strictness)?;
        let id = self
            .id_of(request.from.account, stream)
            .ok_or(ApiError::STREAM_NOT_FOUND)?;
        let Some(stream) = self.streams.get_mut(&id) else {
            return Err(ApiError::STREAM_NOT_FOUND.into());
        };
        let Some(seq) = find(&mut stream.log, &asked)? else {
            return Err(ApiError::NO_MESSAGE_FOUND.into());
        };
        let Some(record) = stream.log.get(seq)? else {
            return Err(ApiError::NO_MESSAGE_FOUND.into());
        };
        let subject = String::from_utf8_lossy(record.subject);
        let body = responses::message(&StoredMessage {
            subject: &subject,
            seq: seq.0,
            headers: if asked.no_hdr { b"" } else { record.header() },
            data: record.body(),
            time: record.time,
        });
        // What a power cut could still take back is not shown.
        if seq > stream.log.durable() {
            return Ok(Answered::WhenSafe(body));
        }
        Ok(Answered::Now(body))
    }

    pub(super) fn delete_message<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        name: &str,
        request: &Request,
        now: Time,
        out: &mut O,
    ) -> Outcome {
        let asked = DeleteMessageRequest::from_json(request.body(), self.config.strictness)?;
        let id = self
            .id_of(request.from.account, name)
            .ok_or(ApiError::STREAM_NOT_FOUND)?;
        let Some(stream) = self.streams.get_mut(&id) else {
            return Err(ApiError::STREAM_NOT_FOUND.into());
        };
        if stream.config.sealed {
            return Err(ApiError::STREAM_SEALED.into());
        }
        if stream.config.deny_delete {
            return Err(ApiError::stream_msg_delete_failed("message delete not permitted").into());
        }
        let seq = Seq(asked.seq);
        if !stream.remove(seq)? {
            return Err(no_such_message(&stream.log, seq).into());
        }
        self.changed(id);
        self.wake_receivers(id);
        self.tell_effects(engine, id, now, out);
        Ok(Answered::WhenSafe(responses::success(
            ResponseKind::MessageDelete,
        )))
    }

    /// Whether another stream, of this name, answers what `id` is asked: a
    /// mirror may answer for its origin, but need not while that is there.
    fn answers_itself(&self, id: StreamId, name: &str) -> bool {
        let Some(stream) = self.streams.get(&id) else {
            return false;
        };
        let origin = self.by_name(stream.account, name);
        origin.is_some_and(|origin| origin.id != id && origin.config.allow_direct)
    }

    /// Reads a stream directly. The answers are messages and statuses, not
    /// JSON.
    pub(super) fn direct_get<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        id: StreamId,
        request: &mut Request,
        out: &mut O,
    ) -> Result<(), Held> {
        let Some(reply) = request.reply.clone() else {
            return Ok(());
        };
        let account = request.from.account;
        if wants_higher_level(request.header()) {
            status(engine, account, &reply, 412, "Required Api Level", out);
            return Ok(());
        }
        if self.health != Health::Good {
            unavailable(engine, account, &reply, out);
            return Ok(());
        }
        let is_settled = self.is_settled();
        let (name, asked) = asked_directly(request);
        if self.answers_itself(id, &name) {
            return Ok(());
        }
        let Some(stream) = self.streams.get_mut(&id) else {
            return Ok(());
        };
        let asked = match asked {
            Ok(asked) => asked,
            Err(error) => {
                refuse(engine, account, &reply, error, out);
                return Ok(());
            }
        };
        if !stream.is_volatile() && stream.log.durable() < stream.log.last() && !is_settled {
            // It may be after what a power cut could still take back.
            if !self.has_room_to_wait() {
                unavailable(engine, account, &reply, out);
                return Ok(());
            }
            let moved = std::mem::replace(request, Request::empty());
            self.wait_for_commit(Job::Request(Box::new(moved)));
            return Ok(());
        }
        if !asked.multi_last.is_empty() {
            return self.get_multi_last(engine, id, request, &asked, &reply, out);
        }
        if asked.batch != 0 {
            return self.get_batch(engine, id, request, &asked, &reply, out);
        }
        let Some(seq) = find(&mut stream.log, &asked)? else {
            status(engine, account, &reply, 404, "Message Not Found", out);
            return Ok(());
        };
        match stream.log.get(seq)? {
            Some(record) => {
                let shown = Shown {
                    account: request.from.account,
                    stream: &stream.config.name,
                    no_hdr: asked.no_hdr,
                    pending: None,
                };
                show(engine, &reply, &record, &shown, out);
            }
            None => status(engine, account, &reply, 404, "Message Not Found", out),
        }
        Ok(())
    }

    fn get_batch<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        id: StreamId,
        request: &mut Request,
        asked: &GetRequest,
        reply: &[u8],
        out: &mut O,
    ) -> Result<(), Held> {
        let account = request.from.account;
        let Some(stream) = self.streams.get_mut(&id) else {
            return Ok(());
        };
        let log = &stream.log;
        let filter = Filter::new([asked.next_by_subj.as_bytes()]);
        let mut done = Batch::of(request);
        let start = match asked.start_time {
            Some(time) => log.first_since(time)?,
            None => Seq(asked.seq.max(1)),
        };
        let max_bytes = bytes_max(asked);
        // Less than one is none: such a request counts.
        let batch = u64::try_from(asked.batch).unwrap_or(0);
        let stop = done.sent + log.tuning.batch;
        let mut pending = count_from(log, start.max(done.passed.next()), &filter)?;
        while done.sent < batch && done.bytes < max_bytes {
            // Whatever interrupts it, it goes on here.
            request.progress = Progress::Batch(done);
            if done.sent == stop {
                return Err(Held::Again);
            }
            if !engine.is_heard(request.from.account, reply) {
                return Ok(());
            }
            let from = start.max(done.passed.next());
            let seq = match log.next_match(from, log.last(), &filter)? {
                Search::Found(seq) => seq,
                Search::Nothing => break,
                Search::Pause(seq) => {
                    done.passed = seq.prev();
                    request.progress = Progress::Batch(done);
                    return Err(Held::Again);
                }
            };
            let Some(record) = log.get(seq)? else {
                break;
            };
            pending = pending.saturating_sub(1);
            let shown = Shown {
                account: request.from.account,
                stream: &stream.config.name,
                no_hdr: asked.no_hdr,
                pending: Some((pending, done.last)),
            };
            show(engine, reply, &record, &shown, out);
            done.add(&record);
        }
        if done.sent == 0 && (batch > 0 || pending == 0) {
            status(engine, account, reply, 404, "Message Not Found", out);
        } else {
            end_of_batch(engine, account, reply, (pending, done.last), None, out);
        }
        Ok(())
    }

    fn get_multi_last<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        id: StreamId,
        request: &mut Request,
        asked: &GetRequest,
        reply: &[u8],
        out: &mut O,
    ) -> Result<(), Held> {
        let account = request.from.account;
        let Some(stream) = self.streams.get_mut(&id) else {
            return Ok(());
        };
        let log = &mut stream.log;
        let up_to = match asked.up_to_time {
            Some(time) => log.first_since(time)?.prev(),
            None if asked.up_to_seq > 0 => Seq(asked.up_to_seq),
            None => log.last(),
        };
        let Some(mut seqs) = last_of_each(log, &asked.multi_last, up_to)? else {
            status(engine, account, reply, 413, "Too Many Results", out);
            return Ok(());
        };
        if seqs.is_empty() {
            status(engine, account, reply, 404, "No Results", out);
            return Ok(());
        }
        seqs.retain(|seq| seq.0 >= asked.seq);
        let mut done = Batch::of(request);
        let batch = if asked.batch > 0 {
            asked.batch as u64
        } else {
            u64::MAX
        };
        let max_bytes = bytes_max(asked);
        for (place, seq) in seqs.iter().enumerate().skip(done.sent as usize) {
            if done.sent == batch || done.bytes >= max_bytes {
                break;
            }
            let record = match stream.log.get(*seq) {
                Ok(Some(record)) => record,
                Ok(None) => continue,
                Err(need) => {
                    request.progress = Progress::Batch(done);
                    return Err(need.into());
                }
            };
            let shown = Shown {
                account: request.from.account,
                stream: &stream.config.name,
                no_hdr: asked.no_hdr,
                pending: Some(((seqs.len() - place - 1) as u64, done.last)),
            };
            show(engine, reply, &record, &shown, out);
            done.add(&record);
        }
        let pending = seqs.len() as u64 - done.sent;
        end_of_batch(
            engine,
            account,
            reply,
            (pending, done.last),
            Some(up_to),
            out,
        );
        Ok(())
    }
}

/// The last message up to `up_to` of each subject that a filter means, in
/// order; nothing if there are too many.
fn last_of_each(log: &mut Log, filters: &[String], up_to: Seq) -> Result<Option<Vec<Seq>>, Held> {
    let filters = filters.iter().filter(|filter| !filter.is_empty());
    if filters.clone().next().is_none() {
        return Ok(Some(Vec::new()));
    }
    let filter = Filter::new(filters.map(String::as_bytes));
    let subjects: Vec<Box<[u8]>> = log
        .subjects
        .iter()
        .filter(|subject| subject.first <= up_to && filter.matches(&subject.name))
        .map(|subject| subject.name.clone())
        .take(MULTI_LAST_MAX + 1)
        .collect();
    if subjects.len() > MULTI_LAST_MAX {
        return Ok(None);
    }
    let mut seqs = Vec::new();
    for subject in subjects {
        let last = log.last_of(&subject)?.map(|entry| entry.seq);
        seqs.extend(match last {
            Some(seq) if seq > up_to => log.last_match(up_to, &Filter::exactly(&subject))?,
            other => other,
        });
    }
    put_in_order(&mut seqs);
    Ok(Some(seqs))
}

/// Why there is no message to be deleted. For what lies outside of a stream
/// that is in a file nats-server has words of their own.
fn no_such_message(log: &Log, seq: Seq) -> ApiError {
    if log.is_volatile() || (seq >= log.first() && seq <= log.last()) {
        ApiError::sequence_not_found(seq)
    } else if seq > log.last() {
        ApiError::stream_msg_delete_failed("stream store EOF")
    } else {
        ApiError::stream_msg_delete_failed("no message found")
    }
}

/// The sequence that a request means.
fn find(log: &mut Log, asked: &GetRequest) -> Result<Option<Seq>, Held> {
    if !asked.last_by_subj.is_empty() {
        let subject = asked.last_by_subj.as_bytes();
        if midge_proto::is_literal(subject) {
            return Ok(log.last_of(subject)?.map(|entry| entry.seq));
        }
        return Ok(log.last_match(log.last(), &Filter::new([subject]))?);
    }
    let start = match asked.start_time {
        Some(time) => log.first_since(time)?,
        None => Seq(asked.seq),
    };
    if asked.next_by_subj.is_empty() && asked.start_time.is_none() {
        return Ok(Some(start));
    }
    let filter = Filter::new([asked.next_by_subj.as_bytes()]);
    let mut at = start;
    loop {
        match log.next_match(at, log.last(), &filter)? {
            Search::Found(seq) => return Ok(Some(seq)),
            Search::Nothing => return Ok(None),
            Search::Pause(seq) => at = seq,
        }
    }
}

/// How many messages from `from` on the filter means.
fn count_from(log: &Log, from: Seq, filter: &Filter) -> Result<u64, NeedBlock> {
    if filter.is_all() {
        return Ok(log.count_from(from));
    }
    let mut count = 0;
    let mut at = from;
    loop {
        match log.next_match(at, log.last(), filter)? {
            Search::Found(seq) => {
                count += 1;
                at = seq.next();
            }
            Search::Pause(seq) => at = seq,
            Search::Nothing => return Ok(count),
        }
    }
}

/// How a message is shown to one who reads directly.
struct Shown<'a> {
    account: AccountId,
    stream: &'a str,
    no_hdr: bool,
    /// In a batch: how many come after it, and which came before.
    pending: Option<(u64, Seq)>,
}

fn show<O: Outbox>(
    engine: &mut Engine,
    reply: &[u8],
    record: &Record<'_>,
    shown: &Shown<'_>,
    out: &mut O,
) {
    let mut payload = Vec::with_capacity(record.payload.len() + 256);
    let mut header_len = 0;
    if !shown.no_hdr {
        let writer = HeaderWriter::from_block(&mut payload, record.header())
            .header(names::STREAM, shown.stream.as_bytes())
            .header(names::SUBJECT, record.subject)
            .number(names::SEQUENCE, record.seq.0)
            .time(names::TIME_STAMP, record.time);
        match shown.pending {
            Some((pending, last)) => writer
                .number(names::NUM_PENDING, pending)
                .number(names::LAST_SEQUENCE, last.0)
                .finish(),
            None => writer.finish(),
        }
        header_len = payload.len();
    }
    payload.extend_from_slice(record.body());
    let message = Outgoing {
        account: shown.account,
        subject: reply,
        reply: None,
        payload: &payload,
        header_len,
    };
    engine.send_out(reply, &message, out);
}

fn end_of_batch<O: Outbox>(
    engine: &mut Engine,
    account: AccountId,
    reply: &[u8],
    (pending, last): (u64, Seq),
    up_to: Option<Seq>,
    out: &mut O,
) {
    let mut header = Vec::new();
    let writer = HeaderWriter::status(&mut header, 204, "EOB")
        .number(names::NUM_PENDING, pending)
        .number(names::LAST_SEQUENCE, last.0);
    match up_to {
        Some(up_to) => writer.number(names::UP_TO_SEQUENCE, up_to.0).finish(),
        None => writer.finish(),
    }
    engine.send_status(account, reply, None, &header, out);
}

fn refuse<O: Outbox>(
    engine: &mut Engine,
    account: AccountId,
    reply: &[u8],
    error: DirectGetError,
    out: &mut O,
) {
    let (code, text) = error.status();
    status(engine, account, reply, code, text, out);
}

/// Tells one who reads directly that it cannot be done now.
pub(super) fn unavailable<O: Outbox>(
    engine: &mut Engine,
    account: AccountId,
    reply: &[u8],
    out: &mut O,
) {
    status(engine, account, reply, 503, "Service Unavailable", out);
}

fn status<O: Outbox>(
    engine: &mut Engine,
    account: AccountId,
    reply: &[u8],
    code: u16,
    text: &str,
    out: &mut O,
) {
    let mut header = Vec::new();
    HeaderWriter::status(&mut header, code, text).finish();
    engine.send_status(account, reply, None, &header, out);
}

/// How many bytes end a batch. Fewer than none leave one message.
fn bytes_max(asked: &GetRequest) -> u64 {
    match asked.max_bytes {
        0 => BATCH_BYTES_MAX,
        max => u64::try_from(max).unwrap_or(1),
    }
}
