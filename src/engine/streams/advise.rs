//! What is published about streams for those who watch.

use super::effects::Note;
use super::request::Request;
use super::streams::Streams;
use crate::engine::Engine;
use crate::feed::Outgoing;
use crate::ids::{AccountId, ConsumerId, DeliverySeq, Seq, StreamId};
use crate::outbox::Outbox;
use midge_api::advisory::{ClientInfo, Delivery, Event};
use midge_api::{Nanos, Timestamp};
use std::sync::Arc;

const AUDIT_SUBJECT: &[u8] = b"$JS.EVENT.ADVISORY.API";

impl Streams {
    /// Publishes an event, if anybody listens.
    pub(super) fn publish_event<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        account: AccountId,
        event: &Event<'_>,
        out: &mut O,
    ) {
        let mut subject = Vec::new();
        event.write_subject(&mut subject);
        if !engine.is_heard(account, &subject) {
            return;
        }
        let id = engine.news_id();
        let body = event.to_json(&id, self.wall, &self.config.domain);
        let message = Outgoing {
            account,
            subject: &subject,
            reply: None,
            payload: &body,
            header_len: 0,
        };
        engine.send_out(&subject, &message, out);
    }

    /// Publishes what became of a message with a consumer.
    pub(super) fn advise<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        stream_id: StreamId,
        id: ConsumerId,
        note: &Note,
        out: &mut O,
    ) {
        let Some(stream) = self.streams.get(&stream_id) else {
            return;
        };
        let Some(consumer) = stream.consumers.get(&id) else {
            return;
        };
        let account = stream.account;
        let account_name = stream.account_name.clone();
        let until = consumer.config.pause_until;
        let (stream, consumer) = (stream.config.name.clone(), consumer.config.name.clone());
        let about = |delivery: DeliverySeq, seq: Seq, deliveries: u32| Delivery {
            stream: &stream,
            consumer: &consumer,
            consumer_seq: delivery.0,
            stream_seq: seq.0,
            deliveries: u64::from(deliveries),
        };
        let event = match note {
            Note::MaxDeliveries { seq, deliveries } => {
                Event::MaxDeliver(about(DeliverySeq(0), *seq, *deliveries))
            }
            Note::Naked {
                delivery,
                seq,
                deliveries,
            } => Event::Nak(about(*delivery, *seq, *deliveries)),
            Note::Terminated {
                delivery,
                seq,
                deliveries,
                reason,
            } => Event::Terminated(about(*delivery, *seq, *deliveries), reason),
            Note::Resumed => Event::Pause {
                stream: &stream,
                consumer: &consumer,
                is_paused: false,
                until,
            },
            Note::Pinned { group, id } => Event::Pinned {
                account: &account_name,
                stream: &stream,
                consumer: &consumer,
                group,
                id,
            },
            Note::Unpinned { group, reason } => Event::Unpinned {
                account: &account_name,
                stream: &stream,
                consumer: &consumer,
                group,
                reason,
            },
            Note::Acked {
                delivery,
                seq,
                deliveries,
                after_ns,
            } => Event::Ack(about(*delivery, *seq, *deliveries), Nanos(*after_ns)),
        };
        self.publish_event(engine, account, &event, out);
    }

    /// Publishes a request with its answer, if anybody listens.
    pub(super) fn audit<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        request: &Request,
        response: &[u8],
        out: &mut O,
    ) {
        let account = request.from.account;
        if !engine.is_heard(account, AUDIT_SUBJECT) {
            return;
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (subject, body) = (text(&request.subject), text(request.body()));
        let response = text(response);
        let asker = self.asker(engine, request);
        let server = self.config.server_id.clone();
        let event = Event::ApiAudit {
            server: &server,
            client: asker.info(),
            subject: &subject,
            request: &body,
            response: &response,
        };
        self.publish_event(engine, account, &event, out);
    }

    /// Who has asked.
    pub(super) fn asker(&self, engine: &Engine, request: &Request) -> Asker {
        let mut asker = Asker {
            account: self.tenants[request.from.account].name.clone(),
            ..Asker::default()
        };
        let conn = request.from.conn;
        let Some(session) = conn.and_then(|conn| engine.sessions.get(conn)) else {
            return asker;
        };
        asker.rtt = Nanos(session.rtt().map_or(0, |rtt| rtt.as_nanos() as i64));
        let account = session.account();
        if account != request.from.account {
            // Who offers a service hears which account asks, not who in it.
            let asks = self.tenants[account].name.clone();
            asker.service = std::mem::replace(&mut asker.account, asks);
            return asker;
        }
        asker.host = session.peer().ip().to_string();
        let options = session.options();
        asker.name.clone_from(&options.name);
        asker.lang.clone_from(&options.lang);
        asker.version.clone_from(&options.version);
        asker.user.push_str(session.user_name());
        asker.id = session.client_id();
        asker.start = self.wall;
        asker
    }
}

/// Who has asked, for as long as it takes to do what they want.
#[derive(Debug, Default)]
pub(super) struct Asker {
    account: Arc<str>,
    /// The account whose streams they are, if it is another.
    service: Arc<str>,
    host: String,
    name: String,
    lang: String,
    version: String,
    user: String,
    id: u64,
    rtt: Nanos,
    start: Timestamp,
}

impl Asker {
    pub(super) fn info(&self) -> ClientInfo<'_> {
        ClientInfo {
            start: self.start,
            host: &self.host,
            id: self.id,
            account: &self.account,
            service: &self.service,
            user: &self.user,
            name: &self.name,
            lang: &self.lang,
            version: &self.version,
            rtt: self.rtt,
        }
    }
}
