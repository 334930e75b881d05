//! Requests for messages.

use super::consumer::duration;
use super::effects::{Effects, Status};
use super::intake::Incoming;
use super::priority;
use super::pulls::Pull;
use super::serve::send_status;
use super::streams::Streams;
use crate::Time;
use crate::engine::Engine;
use crate::ids::{AccountId, ConsumerId, StreamId};
use crate::outbox::Outbox;
use midge_api::{ConsumerConfig, Nanos, NextRequest};
use midge_proto::headers::HeaderWriter;

const NEXT_PREFIX: &[u8] = b"$JS.API.CONSUMER.MSG.NEXT.";

/// A wait shorter than this is over before anything can be looked for.
const SHORTEST_WAIT: Nanos = Nanos(10_000);

/// A request, taken apart, and where its messages go.
pub(super) struct PullRequest<'a> {
    pub(super) request: Result<NextRequest, String>,
    pub(super) reply: &'a [u8],
}

impl Streams {
    /// A request on a consumer's own subject.
    pub(super) fn take_pull<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        account: AccountId,
        message: Incoming<'_>,
        reply: Option<&[u8]>,
        now: Time,
        out: &mut O,
    ) {
        let Some(reply) = reply else {
            return;
        };
        let names = message
            .subject
            .strip_prefix(NEXT_PREFIX)
            .unwrap_or_default();
        let mut tokens = midge_proto::tokens(names);
        let (Some(stream), Some(consumer)) = (tokens.next(), tokens.next()) else {
            return;
        };
        let Some((stream, id)) = self.find_consumer(account, stream, consumer) else {
            return;
        };
        let header = &message.payload[..message.header_len];
        if super::request::wants_higher_level(header) {
            return refuse(engine, account, reply, 412, "Required Api Level", out);
        }
        let body = message.body();
        let request = NextRequest::parse(body);
        self.pull(engine, stream, id, PullRequest { request, reply }, now, out);
    }

    /// Puts a request into the queue of its consumer, if it may wait there.
    pub(super) fn pull<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        stream_id: StreamId,
        id: ConsumerId,
        pull: PullRequest<'_>,
        now: Time,
        out: &mut O,
    ) {
        let reply = pull.reply;
        let consumer = self.consumer_mut(stream_id, id);
        let Some(consumer) = consumer else {
            return;
        };
        let account = consumer.account;
        if consumer.is_push() {
            return refuse(engine, account, reply, 409, "Consumer is push based", out);
        }
        let mut request = match pull.request {
            Ok(request) => request,
            Err(text) => {
                return refuse(engine, account, reply, 400, &text, out);
            }
        };
        if let Some(text) = exceeded(&consumer.config, &request) {
            return refuse(engine, account, reply, 409, &text, out);
        }
        let pin = consumer.pin.as_deref();
        let claim = match priority::claim(&consumer.config, pin, &mut request) {
            Ok(claim) => claim,
            Err((code, text)) => return refuse(engine, account, reply, code, text, out),
        };
        consumer.heard_of(claim.as_deref(), now);
        consumer.last_used = now;
        let mut effects = Effects::default();
        consumer.expire_pulls(now, &mut effects);
        if consumer.pulls.len() as i64 >= config_max_waiting(consumer.config.max_waiting) {
            drop_unheard(engine, consumer);
        }
        let is_full =
            consumer.pulls.len() as i64 >= config_max_waiting(consumer.config.max_waiting);
        let to_come = consumer.pending + consumer.redeliver_len() as u64;
        let refusal = if request.no_wait && to_come == 0 && request.expires.0 == 0 {
            Some((404, "No Messages"))
        } else if request.no_wait && to_come > 0 && to_come < consumer.pulls.wanted() {
            Some((408, "Requests Pending"))
        } else if is_full {
            Some((409, "Exceeded MaxWaiting"))
        } else {
            None
        };
        if let Some((code, text)) = refusal {
            // One that beats is told by the beats that do not come.
            if code != 409 || request.idle_heartbeat.0 == 0 {
                refuse(engine, account, reply, code, text, out);
            }
        } else if request.expires.0 != 0 && request.expires < SHORTEST_WAIT {
            let status = Status::RequestTimeout {
                wanted: request.batch,
                bytes_left: request.max_bytes,
            };
            effects.statuses.push((reply.into(), status));
        } else if engine.is_heard(account, reply) {
            let rank = priority::rank(consumer.config.priority_policy, &request);
            let waiting = waiting(&request, reply, now);
            consumer.pulls.push(Pull {
                rank,
                claim,
                ..waiting
            });
            self.make_ready(stream_id, id);
        }
        for (to, status) in &effects.statuses {
            send_status(engine, account, to, status, out);
        }
        self.arm(engine, stream_id, id);
    }

    /// Tells everybody who waits at a consumer that it ends.
    pub(super) fn end_pulls<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        stream: StreamId,
        id: ConsumerId,
        is_shutdown: bool,
        out: &mut O,
    ) {
        let consumer = self.consumer_mut(stream, id);
        let Some(consumer) = consumer else {
            return;
        };
        let account = consumer.account;
        for pull in consumer.pulls.take(|_| true) {
            let status = if is_shutdown {
                Status::ServerShutdown {
                    wanted: pull.wanted,
                    bytes_left: pull.bytes_left,
                }
            } else {
                Status::ConsumerDeleted
            };
            send_status(engine, account, &pull.reply, &status, out);
        }
    }
}

/// What a request asks for beyond what its consumer allows.
fn exceeded(config: &ConsumerConfig, request: &NextRequest) -> Option<String> {
    let (batch, expires, bytes) = (config.max_batch, config.max_expires, config.max_bytes);
    if batch > 0 && request.batch > batch {
        Some(format!("Exceeded MaxRequestBatch of {batch}"))
    } else if expires.0 > 0 && request.expires > expires {
        Some(format!("Exceeded MaxRequestExpires of {expires}"))
    } else if bytes > 0 && request.max_bytes > bytes {
        Some(format!("Exceeded MaxRequestMaxBytes of {bytes}"))
    } else {
        None
    }
}

/// A request that may wait.
fn waiting(request: &NextRequest, reply: &[u8], now: Time) -> Pull {
    let heartbeat = (request.idle_heartbeat.0 > 0).then(|| duration(request.idle_heartbeat));
    Pull {
        reply: reply.into(),
        wanted: request.batch,
        got: 0,
        bytes_left: request.max_bytes,
        no_wait: request.no_wait,
        expires: (request.expires.0 > 0).then(|| now + duration(request.expires)),
        heartbeat,
        heartbeat_due: heartbeat.map(|heartbeat| now + heartbeat),
        rank: 0,
        claim: None,
    }
}

fn config_max_waiting(max_waiting: i64) -> i64 {
    if max_waiting > 0 {
        max_waiting
    } else {
        i64::MAX
    }
}

/// Makes room by dropping requests that nobody would hear the answer to.
pub(super) fn drop_unheard(engine: &mut Engine, consumer: &mut super::consumer::Consumer) {
    let account = consumer.account;
    consumer
        .pulls
        .take(|pull| !engine.is_heard(account, &pull.reply));
}

fn refuse<O: Outbox>(
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
