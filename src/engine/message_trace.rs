//! Message tracing: who gets a message, told on a subject that it names itself.
//!
//! A trace owns what a message has met on its way: it is asked for by headers,
//! gathered while the message is routed, and sent when that is done. What
//! streams send on account of the message is not part of it. Other accounts are
//! shown as far as they allow it, and only for this server. Packed traces are
//! refused: who accepts them gets a plain one.

use crate::account::{Account, Sink};
use crate::engine::{Engine, Flow};
use crate::ids::{AccountId, SubId};
use crate::imports::{Beyond, CROSSINGS_MAX, Crossing, ImportKind};
use crate::outbox::Outbox;
use crate::publish::{Origin, Routed, is_reserved_subject, refusal};
use crate::session::Session;
use crate::trace_headers::{Header, lift};
use crate::{ConnId, Time};
use midge_proto::encode::Decimal;
use midge_proto::{HeaderSize, JsonWriter, Nanos, Publish, Timestamp, WireError};
use std::ops::Range;

/// Where the trace goes.
const DEST: &[u8] = b"Nats-Trace-Dest";

/// Stands for a destination where a message was traced already.
const DISABLED: &[u8] = b"trace disabled";

/// The message is not to be delivered.
const ONLY: &[u8] = b"Nats-Trace-Only";

/// Servers used to name the account that a message comes from; what has it is
/// not traced.
const ORIGIN_ACCOUNT: &[u8] = b"Nats-Trace-Origin-Account";

const ACCEPT_ENCODING: &[u8] = b"Accept-Encoding";

/// The header block of a trace that might have been packed.
const NOT_PACKED: &[u8] = b"NATS/1.0\r\nContent-Encoding: identity\r\n\r\n";

/// A field that says yes if it is there.
const NO_INTEREST: &str = "nointerest";

/// What nats-server calls a client.
const CLIENT: u64 = 0;

/// Why a receiver does not get a message.
pub(crate) mod why {
    pub(crate) const NO_ECHO: &str = "Not delivered because of no echo";
    pub(crate) const DENIED: &str = "Not delivered because subscription denies this subject";
    pub(crate) const CLOSED: &str = "Not delivered because client is closed";
    pub(crate) const EXCEEDED: &str = "Not delivered because auto-unsubscribe exceeded";
}

/// What is known of a message's way so far.
#[derive(Debug)]
pub(crate) struct Trace {
    /// Where the message came in; the trace goes out there.
    account: AccountId,
    /// What in the message says where to.
    dest: Range<usize>,
    /// Nothing is delivered, stored or answered.
    pub(crate) is_only: bool,
    /// The message is where nobody may be shown.
    is_hidden: bool,
    accepts_packed: bool,
    /// Receivers that a message would have had that goes to nobody.
    receivers: u64,
    /// Subscriptions that it has met since they were last told.
    met: Vec<(SubId, Option<&'static str>)>,
    /// The stream import it has come by, to be told with each receiver.
    by: Option<Vec<u8>>,
    at: Timestamp,
    request: Vec<u8>,
    events: JsonWriter,
}

/// A message, header block and all, that asks for no trace any more: instead of a
/// destination it says so.
fn silenced(payload: &[u8], dest: Range<usize>) -> Option<Vec<u8>> {
    let (before, after) = (payload.get(..dest.start)?, payload.get(dest.end..)?);
    Some([before, DISABLED, after].concat())
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// The headers and the size, as JSON.
fn write_request(headers: &[Header<'_>], len: usize) -> Vec<u8> {
    let mut json = JsonWriter::new();
    json.open_object();
    json.key("header");
    json.open_object();
    for same in headers.chunk_by(|a, b| a.name == b.name) {
        json.key(&text(same[0].name));
        json.open_array();
        for header in same {
            json.string(&text(header.value));
        }
        json.close_array();
    }
    json.close_object();
    json.uint_field("msgsize", len as u64);
    json.close_object();
    json.into_bytes()
}

impl Trace {
    /// Adds an event; of its fields those that are not empty. `client` is who it is
    /// about.
    #[inline(never)]
    fn event(&mut self, kind: &str, client: Option<&Session>, fields: &[(&str, &[u8])]) {
        let json = &mut self.events;
        json.open_object();
        json.string_field("type", kind);
        json.time_field("ts", self.at);
        if let Some(session) = client {
            json.uint_field("kind", CLIENT);
            json.uint_field("cid", session.client_id);
            json.string_unless_empty("name", &session.options.name);
        }
        for (key, value) in fields {
            match *key {
                NO_INTEREST if value.is_empty() => {}
                NO_INTEREST => json.flag(key, true),
                _ => json.string_unless_empty(key, &text(value)),
            }
        }
        json.close_object();
    }

    /// A subscription would have the message, or not, and why. Whether that is
    /// all there is to do.
    #[cold]
    #[inline(never)]
    pub(crate) fn meet(&mut self, id: SubId, why: Option<&'static str>) -> bool {
        self.met.push((id, why));
        self.receivers += u64::from(self.is_only && why.is_none() && !self.is_hidden);
        self.is_only
    }

    /// A service, which is in another account.
    fn meet_service(&mut self, account: &str, from: &[u8], to: &[u8]) {
        if self.is_hidden {
            return;
        }
        let fields = [("acc", account.as_bytes()), ("from", from), ("to", to)];
        self.event("si", None, &fields);
    }

    /// A stream, and what it has made of the message.
    pub(crate) fn meet_stream(&mut self, name: &str, met: &MetStream) {
        if self.is_hidden {
            return;
        }
        let is_unwanted: &[u8] = if met.is_unwanted { b"y" } else { b"" };
        let fields = [
            ("stream", name.as_bytes()),
            ("subject", &met.subject),
            (NO_INTEREST, is_unwanted),
            ("error", met.error.as_bytes()),
        ];
        self.event("js", None, &fields);
    }
}

/// What a stream has made of a message.
#[derive(Debug, Default)]
pub(crate) struct MetStream {
    /// It is not to be stored.
    pub(crate) is_only: bool,
    /// What it is stored by.
    pub(crate) subject: Vec<u8>,
    /// No consumer wants it, and so it is not kept.
    pub(crate) is_unwanted: bool,
    /// Why it is not stored; empty if it is.
    pub(crate) error: String,
}

impl Engine {
    /// Says what the wall's clock said at the origin of time.
    pub fn set_origin(&mut self, wall: Timestamp) {
        self.origin = wall;
    }

    /// Publishes a message with a header that may ask for a trace. `None` if it
    /// is like others after all.
    #[cold]
    #[inline(never)]
    pub(crate) fn publish_traced<O: Outbox>(
        &mut self,
        now: Time,
        conn: ConnId,
        publish: &Publish<'_>,
        out: &mut O,
    ) -> Option<Flow> {
        let headers = lift(publish.payload.get(..publish.header?.len)?)?;
        let value = |asked: &[u8]| headers.iter().find(|header| header.name == asked);
        let header = value(DEST).filter(|header| header.value != DISABLED)?;
        let dest = header.value;
        let is_only = value(ONLY).is_some_and(|only| {
            let yes: [&[u8]; 3] = [b"1", b"true", b"on"];
            yes.iter().any(|yes| only.value.eq_ignore_ascii_case(yes))
        });
        let is_traced = value(ORIGIN_ACCOUNT).is_none()
            && midge_proto::is_literal(dest)
            && !midge_proto::has_blank(dest);
        if !is_traced && !is_only {
            return None;
        }
        let len = publish.payload.len();
        let session = self.sessions.get_mut(conn)?;
        session.traffic.in_msgs += 1;
        session.traffic.in_bytes += len as u64;
        self.stats.in_msgs += 1;
        self.stats.in_bytes += len as u64;
        if !is_traced {
            return Some(Flow::Continue);
        }
        if is_reserved_subject(dest) || !session.may_publish(now, dest) {
            return Some(self.refuse(conn, WireError::PublishViolation(dest), out));
        }
        let error = refusal(session, publish, now);
        let mut trace = Trace {
            account: session.account,
            dest: header.at..header.at + dest.len(),
            is_only,
            is_hidden: false,
            accepts_packed: value(ACCEPT_ENCODING).is_some(),
            receivers: 0,
            met: Vec::new(),
            by: None,
            at: self.origin.after(Nanos::from(now.since(Time::default()))),
            request: write_request(&headers, len),
            events: JsonWriter::new(),
        };
        let account = self.accounts[session.account].name.as_bytes();
        let told = error.as_ref().map(WireError::to_string).unwrap_or_default();
        let fields = [
            ("acc", account),
            ("subj", publish.subject),
            ("error", told.as_bytes()),
        ];
        trace.event("in", Some(session), &fields);
        let trace = Box::new(trace);
        Some(match error {
            None => self.route_traced(now, conn, publish, trace, out),
            Some(error) => {
                self.send_trace(now, &trace, publish, out);
                self.refuse(conn, error, out)
            }
        })
    }

    /// Routes a message that may be published, and sends what is known of it then.
    fn route_traced<O: Outbox>(
        &mut self,
        now: Time,
        conn: ConnId,
        publish: &Publish<'_>,
        trace: Box<Trace>,
        out: &mut O,
    ) -> Flow {
        let Some(session) = self.sessions.get(conn) else {
            return Flow::Closed;
        };
        let (account, options) = (session.account, &session.options);
        let muted = if options.echo { None } else { Some(conn) };
        let no_responders = options.no_responders;
        if options.verbose || options.pedantic {
            self.talk_of(conn, publish.subject, out);
        }
        self.trace = Some(trace);
        let mut routed = self.route_respelled(account, publish.subject, publish, muted, out);
        self.tell_receivers(account);
        if !self.hits.is_empty() {
            let origin = Origin {
                account,
                conn: Some(conn),
            };
            self.reach_traced(now, origin, publish, &mut routed, out);
        }
        let Some(trace) = self.trace.take() else {
            return Flow::Continue;
        };
        if routed.receivers + trace.receivers == 0
            && no_responders
            && let Some(reply) = publish.reply
        {
            self.tell_no_responders(conn, account, reply, publish.subject, out);
        }
        routed.add(self.send_trace(now, &trace, publish, out));
        self.end_of_publish(conn, routed, out)
    }

    /// Gives a traced message to what it has met beside sessions.
    fn reach_traced<O: Outbox>(
        &mut self,
        now: Time,
        origin: Origin,
        publish: &Publish<'_>,
        routed: &mut Routed,
        out: &mut O,
    ) {
        let dest = self.trace.as_ref().map_or(0..0, |trace| trace.dest.clone());
        let Some(payload) = silenced(publish.payload, dest) else {
            return self.hits.clear();
        };
        let header_len = publish.header.map_or(0, |header| header.len);
        let body_len = publish.payload.len().saturating_sub(header_len);
        let header_len = payload.len().saturating_sub(body_len);
        let (digits, size) = (Decimal::new(header_len), Decimal::new(payload.len()));
        let silent = Publish {
            header: Some(HeaderSize {
                len: header_len,
                digits: digits.as_bytes(),
            }),
            payload: &payload,
            size_digits: size.as_bytes(),
            tail: None,
            ..*publish
        };
        let mut parts = Vec::new();
        for sink in std::mem::take(&mut self.hits) {
            if sink.crosses() {
                let is_seen = self.is_stream_import(sink);
                let crossing = Crossing {
                    origin,
                    address: publish.subject,
                    publish: if is_seen { publish } else { &silent },
                    left: CROSSINGS_MAX,
                };
                routed.add(self.cross(sink, &crossing, out));
            } else if self.passes_service(sink, origin.account, publish.subject) {
                parts.push(sink);
            }
        }
        self.hits = parts;
        if self.hits.contains(&Sink::System) {
            routed.receivers += self.take_questions(origin, &silent);
        }
        routed.held |= self.is_congested();
        let would_have = self.feed_traced(now, origin, &silent, routed, out);
        if let Some(trace) = &mut self.trace {
            trace.receivers += would_have;
        }
    }

    fn is_stream_import(&self, sink: Sink) -> bool {
        let Sink::Import(place) = sink else {
            return false;
        };
        let import = self.config.accounts.imports.get(place as usize);
        import.is_some_and(|import| import.kind == ImportKind::Stream)
    }

    /// Tells of a part of the server that is a service for others, and whether it
    /// gets the message that is traced.
    fn passes_service(&mut self, sink: Sink, account: AccountId, subject: &[u8]) -> bool {
        let to = match sink {
            Sink::System => of_account(subject, account, &self.accounts[account]),
            _ => self.is_api(sink, subject).then(|| subject.to_vec()),
        };
        let (Some(to), Some(trace)) = (to, &mut self.trace) else {
            return true;
        };
        let name = &self.accounts[AccountId::SYSTEM].name;
        trace.meet_service(name, subject, &to);
        !trace.is_only
    }

    /// The same of any part of the server, in an account that the message has
    /// crossed to.
    #[cold]
    pub(crate) fn passes_part(&mut self, sink: Sink, account: AccountId, subject: &[u8]) -> bool {
        let Sink::Stream(id) = sink else {
            return self.passes_service(sink, account, subject);
        };
        self.tell_receivers(account);
        let name = self.stream_name(id).unwrap_or_default().to_owned();
        let Some(trace) = &mut self.trace else {
            return true;
        };
        trace.tell_import(&self.accounts[account].name);
        let met = MetStream {
            subject: subject.to_vec(),
            ..MetStream::default()
        };
        trace.meet_stream(&name, &met);
        trace.receivers += u64::from(trace.is_only && !trace.is_hidden);
        !trace.is_only
    }

    /// Takes note of a message's way into another account. Returns whether it
    /// was out of sight before.
    #[cold]
    pub(crate) fn trace_crossing(
        &mut self,
        sink: Sink,
        crossing: &Crossing<'_>,
        beyond: &Beyond,
    ) -> bool {
        let import = match sink {
            Sink::Import(place) => self.config.accounts.imports.get(place as usize),
            _ => None,
        };
        let Some(trace) = &mut self.trace else {
            return false;
        };
        let was_hidden = trace.is_hidden;
        let (from, to) = (crossing.address, &beyond.address);
        if sink == Sink::Domain {
            if !was_hidden {
                trace.event("sm", None, &[("to", to)]);
            }
            return was_hidden;
        }
        if import.is_some_and(|import| import.kind == ImportKind::Stream) {
            trace.by = Some(to.clone());
        } else {
            trace.meet_service(&self.accounts[beyond.account].name, from, to);
        }
        trace.is_hidden |= !import.is_some_and(|import| import.allows_trace);
        was_hidden
    }
}

impl Trace {
    /// An import that the message has come by, if it has.
    fn tell_import(&mut self, importer: &str) {
        let Some(to) = self.by.clone() else {
            return;
        };
        let fields = [("acc", importer.as_bytes()), ("to", &to)];
        self.event("se", None, &fields);
    }
}

impl Engine {
    /// Tells of the subscriptions of an account that the message has met.
    #[cold]
    pub(crate) fn tell_receivers(&mut self, account: AccountId) {
        let Some(trace) = &mut self.trace else {
            return;
        };
        let here = &self.accounts[account];
        for (id, why) in std::mem::take(&mut trace.met) {
            trace.tell_import(&here.name);
            let sub = &here.subs[id.index()];
            let Sink::Session(index) = sub.sink else {
                continue;
            };
            let Some(session) = self.sessions.at(index).filter(|_| !trace.is_hidden) else {
                continue;
            };
            let is_elsewhere = account != trace.account;
            let name: &[u8] = match is_elsewhere {
                true => here.name.as_bytes(),
                false => b"",
            };
            let fields = [
                ("acc", name),
                ("sub", &here.filter(id)),
                ("queue", sub.queue.as_deref().unwrap_or_default()),
                ("error", why.unwrap_or_default().as_bytes()),
            ];
            trace.event("eg", Some(session), &fields);
        }
    }

    /// The message has come back from another account.
    pub(crate) fn end_crossing(&mut self, was_hidden: bool) {
        if let Some(trace) = &mut self.trace {
            trace.is_hidden = was_hidden;
            trace.by = None;
        }
    }

    /// Sends what is known of a message's way.
    fn send_trace<O: Outbox>(
        &mut self,
        now: Time,
        trace: &Trace,
        traced: &Publish<'_>,
        out: &mut O,
    ) -> Routed {
        let subject = traced.payload.get(trace.dest.clone()).unwrap_or_default();
        let mut json = JsonWriter::new();
        json.open_object();
        json.key("server");
        json.open_object();
        self.write_this_server(&mut json, trace.at);
        json.close_object();
        json.key("request");
        json.raw(&trace.request);
        json.key("events");
        json.open_array();
        json.raw(trace.events.as_bytes());
        json.close_array();
        json.close_object();
        let mut payload = Vec::new();
        if trace.accepts_packed {
            payload.extend_from_slice(NOT_PACKED);
        }
        let header_len = payload.len();
        payload.extend_from_slice(&json.into_bytes());
        let (digits, size) = (Decimal::new(header_len), Decimal::new(payload.len()));
        let publish = Publish {
            subject,
            reply: None,
            header: trace.accepts_packed.then(|| HeaderSize {
                len: header_len,
                digits: digits.as_bytes(),
            }),
            payload: &payload,
            size_digits: size.as_bytes(),
            tail: None,
        };
        let origin = Origin {
            account: trace.account,
            conn: None,
        };
        let mut routed = self.route_respelled(trace.account, subject, &publish, None, out);
        if !self.hits.is_empty() {
            routed.add(self.reach_own(origin, subject, &publish, out));
        }
        self.feed_internal(now, out);
        routed
    }

    /// Who we are and what time it is, as all that is told of the server begins.
    pub fn write_this_server(&self, json: &mut JsonWriter, at: Timestamp) {
        let info = &self.config.info;
        json.string_field("name", &info.server_name);
        json.string_field("host", &info.host);
        json.string_field("id", &info.server_id);
        json.string_field("ver", midge_proto::NATS_VERSION);
        json.flag("jetstream", info.jetstream);
        json.uint_field("flags", u64::from(info.jetstream));
        self.answers.set(self.answers.get() + 1);
        json.uint_field("seq", self.answers.get());
        json.time_field("time", at);
    }
}

/// The subject by which nats-server's system account is asked of an account what
/// its clients ask. `None` if the system account asks.
fn of_account(subject: &[u8], id: AccountId, account: &Account) -> Option<Vec<u8>> {
    let last = subject.rsplit(|byte| *byte == b'.').next()?;
    let about: &[u8] = match subject.starts_with(b"$SYS.REQ.USER.") {
        true => b"USER",
        false if id == AccountId::SYSTEM => return None,
        false => b"ACCOUNT",
    };
    let name = account.name.as_bytes();
    Some([b"$SYS.REQ", about, name, last].join(&b'.'))
}
