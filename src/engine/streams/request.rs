//! Requests of the stream API, from the subject to the one who answers.
//!
//! A request that needs a block which is not in memory is put aside and
//! handled again, from its start, when the block is there. What it has done
//! until then it remembers in its [`Progress`].

use super::answers::OnFailure;
use super::block::Record;
use super::intake::Incoming;
use super::log_read::NeedBlock;
use super::removal::Removal;
use super::streams::{Health, Job, Streams};
use crate::Time;
use crate::account::Sink;
use crate::engine::Engine;
use crate::ids::{AccountId, Seq};
use crate::outbox::Outbox;
use crate::publish::Origin;
use midge_api::responses::{self, ResponseKind};
use midge_api::{ApiError, DlqError, DlqKind, JsonWriter, PubAck};
use midge_proto::API_LEVEL;
use midge_proto::headers::{HeaderBlock, name};

const API_PREFIX: &[u8] = b"$JS.API.";

/// What a request has done before it had to wait.
#[derive(Debug, Default)]
pub(super) enum Progress {
    #[default]
    Nothing,
    /// A purge that is under way.
    Purge(Removal),
    /// Messages of a new consumer, counted up to a sequence.
    Count { at: Seq, count: u64 },
    /// A walk over dead letters: where it is, where it ends, how many were
    /// meant, and what is to be told of them.
    Letters {
        at: Seq,
        end: Seq,
        count: u64,
        told: JsonWriter,
    },
    /// A walk over messages for a direct get.
    Batch(Batch),
}

/// How far a direct get of several messages has come.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Batch {
    pub(super) sent: u64,
    pub(super) bytes: u64,
    /// The last that was sent.
    pub(super) last: Seq,
    /// No need to look at this and what is before it.
    pub(super) passed: Seq,
}

impl Batch {
    /// Where a request is, or starts.
    pub(super) fn of(request: &Request) -> Batch {
        match request.progress {
            Progress::Batch(batch) => batch,
            _ => Batch::default(),
        }
    }

    /// A message was sent.
    pub(super) fn add(&mut self, record: &Record<'_>) {
        self.sent += 1;
        self.bytes += (record.payload.len() + record.subject.len()) as u64;
        self.last = record.seq;
        self.passed = record.seq;
    }
}

/// A request that is being handled.
#[derive(Debug)]
pub(crate) struct Request {
    pub(super) sink: Sink,
    pub(super) from: Origin,
    pub(super) subject: Vec<u8>,
    pub(super) reply: Option<Vec<u8>>,
    pub(super) payload: Vec<u8>,
    pub(super) header_len: usize,
    pub(super) progress: Progress,
}

impl Request {
    pub(super) fn new(
        sink: Sink,
        from: Origin,
        message: Incoming<'_>,
        reply: Option<&[u8]>,
    ) -> Self {
        Request {
            sink,
            from,
            subject: message.subject.to_vec(),
            reply: reply.map(<[u8]>::to_vec),
            payload: message.payload.to_vec(),
            header_len: message.header_len,
            progress: Progress::Nothing,
        }
    }

    /// Stands in for one that was moved away.
    pub(super) fn empty() -> Self {
        Request {
            sink: Sink::Api,
            from: Origin {
                account: AccountId::GLOBAL,
                conn: None,
            },
            subject: Vec::new(),
            reply: None,
            payload: Vec::new(),
            header_len: 0,
            progress: Progress::Nothing,
        }
    }

    pub(super) fn header(&self) -> &[u8] {
        &self.payload[..self.header_len]
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.payload[self.header_len..]
    }
}

/// How a request ended.
pub(super) enum Answered {
    /// With this, at once: it says nothing that a crash could take back.
    Now(Vec<u8>),
    /// With this, once all that was done is safe.
    WhenSafe(Vec<u8>),
    /// Without an answer.
    Silence,
}

/// Why a request has no answer yet.
pub(super) enum Held {
    Refused(ApiError),
    /// A block is needed first.
    Block(NeedBlock),
    /// It goes on in the next turn.
    Again,
    /// It goes on when the zones are known that schedules may name.
    Zones,
}

impl From<ApiError> for Held {
    fn from(error: ApiError) -> Self {
        Held::Refused(error)
    }
}

impl From<NeedBlock> for Held {
    fn from(need: NeedBlock) -> Self {
        Held::Block(need)
    }
}

pub(super) type Outcome = Result<Answered, Held>;

impl Streams {
    /// Handles a request, or puts it aside.
    pub(crate) fn handle<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        mut request: Request,
        now: Time,
        out: &mut O,
    ) {
        if let Sink::DirectGet(stream) = request.sink {
            match self.direct_get(engine, stream, &mut request, out) {
                Err(Held::Block(need)) => self.set_aside(engine, need, request, out),
                Err(Held::Again) => self.again.push(request),
                _ => {}
            }
            return;
        }
        if request.sink == Sink::Ack {
            let message = Incoming {
                subject: &request.subject,
                payload: &request.payload,
                header_len: request.header_len,
            };
            let reply = request.reply.as_deref();
            self.take_ack(engine, request.from, message, reply, now, out);
            return;
        }
        if request.sink == Sink::Maintenance {
            return self.handle_dlq(engine, request, now, out);
        }
        let Some(route) = Route::find(&request.subject) else {
            return;
        };
        let outcome = if self.tenants[request.from.account].limits.is_none() {
            Err(ApiError::NOT_ENABLED_FOR_ACCOUNT.into())
        } else if self.health != Health::Good {
            Err(ApiError::CLUSTER_NOT_AVAIL.into())
        } else {
            self.dispatch(engine, &route.clone(), &mut request, now, out)
        };
        let (body, when_safe) = match outcome {
            Ok(Answered::Now(body)) => (body, false),
            Ok(Answered::WhenSafe(body)) => (body, true),
            Ok(Answered::Silence) => return,
            Err(Held::Refused(error)) => {
                self.tenants[request.from.account].api_errors += 1;
                (responses::error(route.kind, &error), false)
            }
            Err(Held::Block(need)) => return self.set_aside(engine, need, request, out),
            Err(Held::Again) => return self.again.push(request),
            Err(Held::Zones) => return self.want_zones.push(request),
        };
        // After it was handled: who asks for the count is not in it.
        self.tenants[request.from.account].api_total += 1;
        // Reading messages is no administration, and a reset is a consumer's
        // own business.
        if !matches!(
            route.kind,
            ResponseKind::MessageGet | ResponseKind::ConsumerReset
        ) {
            self.audit(engine, &request, &body, out);
        }
        let Some(reply) = &request.reply else {
            return;
        };
        if when_safe && !self.is_settled() {
            self.answer(request.from.account, reply, OnFailure::Api, |bytes| {
                bytes.extend_from_slice(&body)
            });
        } else {
            engine.answer(request.from.account, reply, &body, out);
        }
    }

    pub(super) fn set_aside<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        need: NeedBlock,
        request: Request,
        out: &mut O,
    ) {
        if self.has_room_to_park() {
            return self.park(need, Job::Request(Box::new(request)));
        }
        self.refuse(engine, &request, out);
    }

    /// There is no room, or no way, to find out what was asked.
    pub(super) fn refuse<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        request: &Request,
        out: &mut O,
    ) {
        // Whatever answers an ack is taken for its confirmation.
        let reply = request.reply.as_ref().filter(|_| request.sink != Sink::Ack);
        let Some(reply) = reply else {
            return;
        };
        let account = request.from.account;
        if let Some(route) = Route::find(&request.subject) {
            let body = responses::error(route.kind, &ApiError::INSUFFICIENT_RESOURCES);
            engine.answer(account, reply, &body, out);
        } else if let Some(kind) = DlqKind::of_subject(&request.subject) {
            let body = kind.refusal(&DlqError::Unavailable.into());
            engine.answer(account, reply, &body, out);
        } else {
            super::api_messages::unavailable(engine, account, reply, out);
        }
    }

    fn dispatch<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        route: &Route,
        request: &mut Request,
        now: Time,
        out: &mut O,
    ) -> Outcome {
        use ResponseKind as Kind;
        let (stream, consumer) = (route.stream.as_str(), route.consumer.as_str());
        let is_new = matches!(
            route.kind,
            Kind::StreamCreate | Kind::StreamRestore | Kind::ConsumerCreate
        );
        match route.kind {
            // Whatever level such a request asks for.
            Kind::StreamStepDown
            | Kind::StreamRemovePeer
            | Kind::StreamEvacuatePeer
            | Kind::StreamCancelMove
            | Kind::ConsumerStepDown => Err(ApiError::CLUSTER_REQUIRED.into()),
            _ if wants_higher_level(request.header()) => Err(ApiError::REQUIRED_API_LEVEL.into()),
            _ if is_new && engine.room.is_short() => Err(ApiError::INSUFFICIENT_RESOURCES.into()),
            Kind::AccountInfo => Ok(self.account_info(request)),
            Kind::StreamCreate => self.create_stream(engine, stream, request, now, out),
            Kind::StreamUpdate => self.update_stream(engine, stream, request, now, out),
            Kind::StreamInfo => self.stream_info(stream, request),
            Kind::StreamNames => self.stream_names(request),
            Kind::StreamList => self.stream_list(request),
            Kind::StreamDelete => self.delete_stream(engine, stream, request, out),
            Kind::StreamPurge => self.purge(engine, stream, request, now, out),
            Kind::MessageGet => self.get_message(stream, request),
            Kind::MessageDelete => self.delete_message(engine, stream, request, now, out),
            Kind::ConsumerCreate => self.create_consumer(engine, route, request, now, out),
            Kind::ConsumerNames => self.consumer_names(stream, request),
            Kind::ConsumerList => self.consumer_list(engine, stream, request),
            Kind::ConsumerInfo => self.consumer_info(engine, stream, consumer, request),
            Kind::ConsumerDelete => {
                self.delete_consumer_by_request(engine, stream, consumer, request, out)
            }
            Kind::ConsumerPause => self.pause_consumer(engine, stream, consumer, request, now, out),
            Kind::ConsumerUnpin => self.unpin_consumer(engine, stream, consumer, request, out),
            Kind::StreamSnapshot => self.begin_snapshot(engine, stream, request, now, out),
            Kind::StreamRestore => self.begin_restore(engine, stream, request, now, out),
            Kind::ConsumerReset => self.reset_consumer(engine, (stream, consumer), request, now),
        }
    }
}

/// Whether a request is meant for a newer server.
pub(super) fn wants_higher_level(header: &[u8]) -> bool {
    if header.is_empty() {
        return false;
    }
    let Some(level) = HeaderBlock::new(header).get(name::REQUIRED_API_LEVEL) else {
        return false;
    };
    if level.is_empty() {
        return false;
    }
    let level = std::str::from_utf8(level).ok();
    let level: Option<i64> = level.and_then(|level| level.parse().ok());
    level.is_none_or(|level| level > i64::from(API_LEVEL))
}

/// What an API subject asks for.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub(super) kind: ResponseKind,
    pub(super) stream: String,
    /// The consumer, or what else stands behind the stream.
    pub(super) consumer: String,
    /// What stands behind the consumer.
    pub(super) rest: String,
    /// `CONSUMER.DURABLE.CREATE`.
    pub(super) is_durable: bool,
}

/// The requests by their words, with how many tokens may follow.
const ROUTES: [(&str, ResponseKind, usize, usize); 26] = {
    use ResponseKind as Kind;
    [
        ("INFO", Kind::AccountInfo, 0, 0),
        ("STREAM.CREATE", Kind::StreamCreate, 1, 1),
        ("STREAM.UPDATE", Kind::StreamUpdate, 1, 1),
        ("STREAM.NAMES", Kind::StreamNames, 0, 0),
        ("STREAM.LIST", Kind::StreamList, 0, 0),
        ("STREAM.INFO", Kind::StreamInfo, 1, 1),
        ("STREAM.DELETE", Kind::StreamDelete, 1, 1),
        ("STREAM.PURGE", Kind::StreamPurge, 1, 1),
        ("STREAM.MSG.GET", Kind::MessageGet, 1, 1),
        ("STREAM.MSG.DELETE", Kind::MessageDelete, 1, 1),
        ("STREAM.SNAPSHOT", Kind::StreamSnapshot, 1, 1),
        ("STREAM.RESTORE", Kind::StreamRestore, 1, 1),
        ("STREAM.LEADER.STEPDOWN", Kind::StreamStepDown, 1, 1),
        ("STREAM.PEER.REMOVE", Kind::StreamRemovePeer, 1, 1),
        ("STREAM.PEER.EVACUATE", Kind::StreamEvacuatePeer, 1, 1),
        ("STREAM.CANCEL_MOVE", Kind::StreamCancelMove, 1, 1),
        ("CONSUMER.DURABLE.CREATE", Kind::ConsumerCreate, 2, 2),
        ("CONSUMER.CREATE", Kind::ConsumerCreate, 1, usize::MAX),
        ("CONSUMER.NAMES", Kind::ConsumerNames, 1, 1),
        ("CONSUMER.LIST", Kind::ConsumerList, 1, 1),
        ("CONSUMER.INFO", Kind::ConsumerInfo, 2, 2),
        ("CONSUMER.DELETE", Kind::ConsumerDelete, 2, 2),
        ("CONSUMER.PAUSE", Kind::ConsumerPause, 2, 2),
        ("CONSUMER.UNPIN", Kind::ConsumerUnpin, 2, 2),
        ("CONSUMER.RESET", Kind::ConsumerReset, 2, 2),
        ("CONSUMER.LEADER.STEPDOWN", Kind::ConsumerStepDown, 2, 2),
    ]
};

impl Route {
    pub(super) fn find(subject: &[u8]) -> Option<Route> {
        let rest = std::str::from_utf8(subject.strip_prefix(API_PREFIX)?).ok()?;
        ROUTES.iter().find_map(|(words, kind, min, max)| {
            let rest = rest.strip_prefix(words)?;
            let mut names: Vec<&str> = Vec::new();
            if !rest.is_empty() {
                names.extend(rest.strip_prefix('.')?.split('.'));
            }
            if names.len() < *min || names.len() > *max || names.contains(&"") {
                return None;
            }
            let name = |place: usize| names.get(place).copied().unwrap_or_default().to_owned();
            Some(Route {
                kind: *kind,
                stream: name(0),
                consumer: name(1),
                rest: names.get(2..).unwrap_or_default().join("."),
                is_durable: words.contains("DURABLE"),
            })
        })
    }
}

/// What is said in place of an answer whose promise cannot be kept.
pub(super) fn refusal(body: &[u8], on_failure: OnFailure<'_>, refusal: &mut Vec<u8>) {
    let error = ApiError::CLUSTER_NOT_AVAIL;
    match on_failure {
        OnFailure::Silence => {}
        OnFailure::PubAck => {
            let stream = between(body, b"{\"stream\":\"");
            PubAck::write_error(refusal, &stream, &error);
        }
        OnFailure::PubAckOf(stream) => PubAck::write_error(refusal, stream, &error),
        OnFailure::Api => {
            let kind = between(body, b"{\"type\":\"");
            if let Some(kind) = DlqKind::of_response(&kind) {
                refusal.extend_from_slice(&kind.refusal(&DlqError::Unavailable.into()));
                return;
            }
            let kind = ResponseKind::from_word(&kind).unwrap_or_default();
            refusal.extend_from_slice(&responses::error(kind, &error));
        }
    }
}

/// The first string of a JSON object that begins like this.
fn between(body: &[u8], start: &[u8]) -> String {
    let rest = body.strip_prefix(start).unwrap_or_default();
    let end = memchr::memchr(b'"', rest).unwrap_or(rest.len());
    String::from_utf8_lossy(&rest[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_lead_to_what_they_ask_for() {
        let find = |subject: &str| {
            Route::find(subject.as_bytes())
                .map(|route| (route.kind, route.stream, route.consumer, route.rest))
        };
        let found = |kind, parts: [&str; 3]| {
            let [a, b, c] = parts.map(str::to_owned);
            Some((kind, a, b, c))
        };
        assert_eq!(
            find("$JS.API.INFO"),
            found(ResponseKind::AccountInfo, ["", "", ""])
        );
        assert_eq!(
            find("$JS.API.CONSUMER.CREATE.S.c.a.b.>"),
            found(ResponseKind::ConsumerCreate, ["S", "c", "a.b.>"])
        );
        assert_eq!(
            find("$JS.API.CONSUMER.DURABLE.CREATE.S.c"),
            found(ResponseKind::ConsumerCreate, ["S", "c", ""])
        );
        for unknown in [
            "$JS.API.STREAM.INFO",
            "$JS.API.STREAM.INFO.A.B",
            "$JS.API.X",
            "$JS.API.INFOX",
            "$JS.API.STREAM.INFO.",
        ] {
            assert_eq!(find(unknown), None, "{unknown}");
        }
    }
}
