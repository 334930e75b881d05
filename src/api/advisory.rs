//! What is told to whoever listens for events.
//!
//! Every event has a type, an id that no other event has, and a time, all of
//! which the caller brings. The body is for the subject of the same event.

use super::info::StreamState;
use midge_proto::JsonWriter;
use midge_proto::{Nanos, Timestamp};

/// What all subjects of events begin with.
pub const EVENT_PREFIX: &str = "$JS.EVENT.";

/// What happened to a stream or a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It was made.
    Create,
    /// It was changed.
    Modify,
    /// It was deleted.
    Delete,
}

impl Action {
    fn as_str(self) -> &'static str {
        match self {
            Action::Create => "create",
            Action::Modify => "modify",
            Action::Delete => "delete",
        }
    }

    fn in_subject(self) -> &'static str {
        match self {
            Action::Create => "CREATED",
            Action::Modify => "UPDATED",
            Action::Delete => "DELETED",
        }
    }
}

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientInfo<'a> {
    /// When it connected.
    pub start: Timestamp,
    /// Where it comes from.
    pub host: &'a str,
    /// The number of its connection.
    pub id: u64,
    /// Its account.
    pub account: &'a str,
    /// The account that it has asked, if that is another, which is not told of the
    /// client itself; empty is none.
    pub service: &'a str,
    /// Its user; empty is none.
    pub user: &'a str,
    /// What it calls itself; empty is nothing.
    pub name: &'a str,
    /// Its language; empty is unknown.
    pub lang: &'a str,
    /// Its version; empty is unknown.
    pub version: &'a str,
    /// How long a ping takes; zero is unknown.
    pub rtt: Nanos,
}

/// A delivery that an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The consumer.
    pub consumer: &'a str,
    /// The number of the delivery.
    pub consumer_seq: u64,
    /// The message.
    pub stream_seq: u64,
    /// How often the message was delivered.
    pub deliveries: u64,
}

/// A backup of a stream, made or taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer<'a> {
    /// The stream.
    pub stream: &'a str,
    /// It is made, not taken.
    pub is_snapshot: bool,
    /// Who asked.
    pub client: ClientInfo<'a>,
    /// The server's id.
    pub server: &'a str,
}

/// How a backup went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransferEnd<'a> {
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// What was taken; zero is not told.
    pub bytes: u64,
    /// Why it was given up; empty is that it was not.
    pub error: &'a str,
}

/// Something that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A request of the API was answered.
    ApiAudit {
        /// The server's id.
        server: &'a str,
        /// Who asked.
        client: ClientInfo<'a>,
        /// Where.
        subject: &'a str,
        /// What.
        request: &'a str,
        /// The answer.
        response: &'a str,
    },
    /// A stream was made, changed or deleted.
    Stream {
        /// The stream.
        stream: &'a str,
        /// Which.
        action: Action,
    },
    /// A backup of a stream begins; of one that is made it is told what the
    /// stream holds.
    TransferBegun(Transfer<'a>, Option<&'a StreamState>),
    /// A backup of a stream is over.
    TransferEnded(Transfer<'a>, TransferEnd<'a>),
    /// A consumer was made or deleted.
    Consumer {
        /// The stream.
        stream: &'a str,
        /// The consumer.
        consumer: &'a str,
        /// Which.
        action: Action,
    },
    /// A consumer pauses, or goes on.
    Pause {
        /// The stream.
        stream: &'a str,
        /// The consumer.
        consumer: &'a str,
        /// Whether it does.
        is_paused: bool,
        /// Until when it does, or did.
        until: Option<Timestamp>,
    },
    /// A puller of a priority group is served alone from now on.
    Pinned {
        /// The account.
        account: &'a str,
        /// The stream.
        stream: &'a str,
        /// The consumer.
        consumer: &'a str,
        /// The group.
        group: &'a str,
        /// The puller's pin.
        id: &'a str,
    },
    /// It is not any more.
    Unpinned {
        /// The account.
        account: &'a str,
        /// The stream.
        stream: &'a str,
        /// The consumer.
        consumer: &'a str,
        /// The group.
        group: &'a str,
        /// Why: `admin` or `timeout`.
        reason: &'a str,
    },
    /// A batch that was not whole is forgotten.
    BatchAbandoned {
        /// The stream.
        stream: &'a str,
        /// What the batch is called.
        batch: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// A message was delivered as often as it may be. The delivery's own
    /// number is not told.
    MaxDeliver(Delivery<'a>),
    /// A message was not taken.
    Nak(Delivery<'a>),
    /// A message was given up; the reason may be empty.
    Terminated(Delivery<'a>, &'a str),
    /// A message was acknowledged after this time.
    Ack(Delivery<'a>, Nanos),
}

impl Event<'_> {
    /// The type.
    pub fn kind(&self) -> &'static str {
        match self {
            Event::ApiAudit { .. } => "io.nats.jetstream.advisory.v1.api_audit",
            Event::Stream { .. } => "io.nats.jetstream.advisory.v1.stream_action",
            Event::BatchAbandoned { .. } => "io.nats.jetstream.advisory.v1.stream_batch_abandoned",
            Event::TransferBegun(of, _) if of.is_snapshot => {
                "io.nats.jetstream.advisory.v1.snapshot_create"
            }
            Event::TransferBegun(..) => "io.nats.jetstream.advisory.v1.restore_create",
            Event::TransferEnded(of, _) if of.is_snapshot => {
                "io.nats.jetstream.advisory.v1.snapshot_complete"
            }
            Event::TransferEnded(..) => "io.nats.jetstream.advisory.v1.restore_complete",
            Event::Consumer { .. } => "io.nats.jetstream.advisory.v1.consumer_action",
            Event::Pause { .. } => "io.nats.jetstream.advisory.v1.consumer_pause",
            Event::Pinned { .. } => "io.nats.jetstream.advisory.v1.consumer_group_pinned",
            Event::Unpinned { .. } => "io.nats.jetstream.advisory.v1.consumer_group_unpinned",
            Event::MaxDeliver(_) => "io.nats.jetstream.advisory.v1.max_deliver",
            Event::Nak(_) => "io.nats.jetstream.advisory.v1.nak",
            Event::Terminated(..) => "io.nats.jetstream.advisory.v1.terminated",
            Event::Ack(..) => "io.nats.jetstream.metric.v1.consumer_ack",
        }
    }

    /// Appends the subject.
    pub fn write_subject(&self, out: &mut Vec<u8>) {
        let (middle, stream, consumer) = match *self {
            Event::ApiAudit { .. } => ("ADVISORY.API", "", ""),
            Event::Stream { stream, .. } => ("ADVISORY.STREAM.", stream, ""),
            Event::BatchAbandoned { stream, .. } => ("ADVISORY.STREAM.BATCH_ABANDONED", stream, ""),
            Event::TransferBegun(of, _) | Event::TransferEnded(of, _) => {
                ("ADVISORY.STREAM.", of.stream, "")
            }
            Event::Consumer {
                stream, consumer, ..
            } => ("ADVISORY.CONSUMER.", stream, consumer),
            Event::Pause {
                stream, consumer, ..
            } => ("ADVISORY.CONSUMER.PAUSE", stream, consumer),
            Event::Pinned {
                stream, consumer, ..
            } => ("ADVISORY.CONSUMER.PINNED", stream, consumer),
            Event::Unpinned {
                stream, consumer, ..
            } => ("ADVISORY.CONSUMER.UNPINNED", stream, consumer),
            Event::MaxDeliver(of) => ("ADVISORY.CONSUMER.MAX_DELIVERIES", of.stream, of.consumer),
            Event::Nak(of) => ("ADVISORY.CONSUMER.MSG_NAKED", of.stream, of.consumer),
            Event::Terminated(of, _) => {
                ("ADVISORY.CONSUMER.MSG_TERMINATED", of.stream, of.consumer)
            }
            Event::Ack(of, _) => ("METRIC.CONSUMER.ACK", of.stream, of.consumer),
        };
        let action = match *self {
            Event::Stream { action, .. } | Event::Consumer { action, .. } => action.in_subject(),
            Event::TransferBegun(of, _) if of.is_snapshot => "SNAPSHOT_CREATE",
            Event::TransferBegun(..) => "RESTORE_CREATE",
            Event::TransferEnded(of, _) if of.is_snapshot => "SNAPSHOT_COMPLETE",
            Event::TransferEnded(..) => "RESTORE_COMPLETE",
            _ => "",
        };
        for part in [EVENT_PREFIX, middle, action] {
            out.extend_from_slice(part.as_bytes());
        }
        for name in [stream, consumer]
            .into_iter()
            .filter(|name| !name.is_empty())
        {
            out.push(b'.');
            out.extend_from_slice(name.as_bytes());
        }
    }

    /// The body.
    /// Where it happened ends it, if there is a domain.
    pub fn to_json(&self, id: &str, timestamp: Timestamp, domain: &str) -> Vec<u8> {
        let mut json = JsonWriter::new();
        json.open_object();
        json.string_field("type", self.kind());
        json.string_field("id", id);
        json.time_field("timestamp", timestamp);
        self.write_fields(&mut json);
        json.string_unless_empty("domain", domain);
        json.close_object();
        json.into_bytes()
    }

    fn write_fields(&self, json: &mut JsonWriter) {
        match *self {
            Event::ApiAudit {
                server,
                client,
                subject,
                request,
                response,
            } => {
                json.string_field("server", server);
                json.key("client");
                client.write_json(json, server);
                json.string_field("subject", subject);
                json.string_unless_empty("request", request);
                json.string_field("response", response);
            }
            Event::Stream { stream, action } => {
                json.string_field("stream", stream);
                json.string_field("action", action.as_str());
            }
            Event::BatchAbandoned {
                stream,
                batch,
                reason,
            } => {
                json.string_field("stream", stream);
                json.string_field("batch", batch);
                json.string_field("reason", reason);
            }
            Event::TransferBegun(of, state) => {
                json.string_field("stream", of.stream);
                if let Some(state) = state {
                    json.key("state");
                    state.write_json(json);
                }
                json.key("client");
                of.client.write_json(json, of.server);
            }
            Event::TransferEnded(of, how) => {
                json.string_field("stream", of.stream);
                json.time_field("start", how.start);
                json.time_field("end", how.end);
                json.uint_unless_zero("bytes", how.bytes);
                json.key("client");
                of.client.write_json(json, of.server);
                json.string_unless_empty("error", how.error);
            }
            Event::Consumer {
                stream,
                consumer,
                action,
            } => {
                write_names(json, stream, consumer);
                json.string_field("action", action.as_str());
            }
            Event::Pause {
                stream,
                consumer,
                is_paused,
                until,
            } => {
                write_names(json, stream, consumer);
                json.bool_field("paused", is_paused);
                json.time_field("pause_until", until.unwrap_or_default());
            }
            Event::Pinned {
                account,
                stream,
                consumer,
                group,
                id,
            } => {
                json.string_field("account", account);
                write_names(json, stream, consumer);
                json.string_field("group", group);
                json.string_field("pinned_id", id);
            }
            Event::Unpinned {
                account,
                stream,
                consumer,
                group,
                reason,
            } => {
                json.string_field("account", account);
                write_names(json, stream, consumer);
                json.string_field("group", group);
                json.string_field("reason", reason);
            }
            Event::MaxDeliver(of) => {
                write_names(json, of.stream, of.consumer);
                json.uint_field("stream_seq", of.stream_seq);
                json.uint_field("deliveries", of.deliveries);
            }
            Event::Nak(of) => of.write_fields(json, None),
            Event::Terminated(of, reason) => {
                of.write_fields(json, None);
                json.string_unless_empty("reason", reason);
            }
            Event::Ack(of, time) => of.write_fields(json, Some(time)),
        }
    }
}

fn write_names(json: &mut JsonWriter, stream: &str, consumer: &str) {
    json.string_field("stream", stream);
    json.string_field("consumer", consumer);
}

impl Delivery<'_> {
    fn write_fields(&self, json: &mut JsonWriter, ack_time: Option<Nanos>) {
        write_names(json, self.stream, self.consumer);
        json.uint_field("consumer_seq", self.consumer_seq);
        json.uint_field("stream_seq", self.stream_seq);
        if let Some(time) = ack_time {
            json.int_field("ack_time", time.0);
        }
        json.uint_field("deliveries", self.deliveries);
    }
}

impl ClientInfo<'_> {
    fn write_json(&self, json: &mut JsonWriter, server: &str) {
        json.open_object();
        if self.start.is_set() {
            json.time_field("start", self.start);
        }
        json.string_unless_empty("host", self.host);
        json.uint_unless_zero("id", self.id);
        json.string_field("acc", self.account);
        json.string_unless_empty("svc", self.service);
        json.string_unless_empty("user", self.user);
        json.string_unless_empty("name", self.name);
        json.string_unless_empty("lang", self.lang);
        json.string_unless_empty("ver", self.version);
        json.int_unless_zero("rtt", self.rtt.0);
        json.string_field("server", server);
        if self.service.is_empty() {
            json.string_field("kind", "Client");
            json.string_field("client_type", "nats");
        }
        json.close_object();
    }
}
