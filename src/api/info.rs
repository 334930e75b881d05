//! What the API tells about the account, its streams and their consumers.
//!
//! These are views: they borrow what is long and copy what is short, so that
//! a list of many costs little.

use super::consumer_config::ConsumerConfig;
use super::error::ApiError;
use super::metadata::Notes;
use super::stream_config::StreamConfig;
use super::stream_source::StreamSource;
use midge_proto::JsonWriter;
use midge_proto::{Nanos, Timestamp};
use std::borrow::Cow;
use std::time::Duration;

/// What a stream holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamState {
    /// How many messages.
    pub messages: u64,
    /// How many bytes they take.
    pub bytes: u64,
    /// The first sequence.
    pub first_seq: u64,
    /// When that was stored.
    pub first_ts: Timestamp,
    /// The last sequence.
    pub last_seq: u64,
    /// When that was stored.
    pub last_ts: Timestamp,
    /// How many subjects.
    pub num_subjects: u64,
    /// How many messages of each subject, when that was asked for.
    pub subjects: Vec<(String, u64)>,
    /// How many sequences are missing between the first and the last.
    pub num_deleted: u64,
    /// Which ones, when that was asked for.
    pub deleted: Vec<u64>,
    /// What cannot be read any more.
    pub lost: Option<LostMessages>,
    /// How many consumers.
    pub consumer_count: u64,
}

/// Messages that were stored and are damaged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LostMessages {
    /// Their sequences.
    pub msgs: Vec<u64>,
    /// How many bytes they took.
    pub bytes: u64,
}

/// A stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo<'a> {
    /// How it is set up.
    pub config: Cow<'a, StreamConfig>,
    /// When it was made.
    pub created: Timestamp,
    /// What it holds.
    pub state: Cow<'a, StreamState>,
    /// The server's domain; empty is none.
    pub domain: &'a str,
    /// The server's name, in answers to info requests; empty is unsaid.
    pub leader: &'a str,
    /// What it copies; one if it is a mirror.
    pub copies: Vec<SourceInfo<'a>>,
    /// When this was so.
    pub ts: Timestamp,
}

/// How far a copy of a stream has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceInfo<'a> {
    /// What is copied.
    pub source: &'a StreamSource,
    /// Messages that are still to come.
    pub lag: u64,
    /// How long ago the last came, if one did.
    pub active: Option<Nanos>,
    /// Why nothing comes, if that is known.
    pub error: Option<&'static ApiError>,
}

/// How far a consumer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SequenceInfo {
    /// Counted in its own deliveries.
    pub consumer_seq: u64,
    /// Counted in the stream.
    pub stream_seq: u64,
    /// When it last went on.
    pub last_active: Timestamp,
}

/// A consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerInfo<'a> {
    /// Its stream.
    pub stream_name: &'a str,
    /// Its name.
    pub name: &'a str,
    /// When it was made.
    pub created: Timestamp,
    /// How it is set up.
    pub config: Cow<'a, ConsumerConfig>,
    /// The last delivery.
    pub delivered: SequenceInfo,
    /// All up to here is acknowledged.
    pub ack_floor: SequenceInfo,
    /// Delivered and not acknowledged.
    pub num_ack_pending: u64,
    /// Delivered more than once and not acknowledged.
    pub num_redelivered: u64,
    /// Pull requests waiting.
    pub num_waiting: u64,
    /// Not delivered yet.
    pub num_pending: u64,
    /// Somebody listens where it delivers to.
    pub push_bound: bool,
    /// How long it still pauses, if it does.
    pub paused: Option<Nanos>,
    /// When this was so.
    pub ts: Timestamp,
    /// Its first priority group, if it has one.
    pub priority_group: Option<PriorityGroupInfo<'a>>,
}

/// A priority group of a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriorityGroupInfo<'a> {
    /// Its name.
    pub group: &'a str,
    /// The pin of the puller that is served; empty is none.
    pub pinned_client_id: &'a str,
    /// When that was pinned.
    pub pinned_ts: Timestamp,
}

/// What the streams of all accounts may use together, and what each of them
/// may ask for; 0 is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServerLimits {
    /// Bytes in memory.
    pub max_memory: u64,
    /// Bytes on disk.
    pub max_storage: u64,
    /// Unacknowledged messages of a consumer.
    pub max_ack_pending: i64,
    /// Messages that a request may ask a consumer for.
    pub max_request_batch: i64,
    /// How long the ids of messages are remembered.
    pub duplicate_window: Nanos,
    /// What batches may ask for.
    pub batches: BatchLimits,
}

/// What batches of messages may ask for. The defaults are nats-server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// How long one waits for its next message.
    pub timeout: Duration,
    /// Messages of one that is stored as a whole.
    pub max_messages: u64,
    /// Those of a stream at a time that are to be stored as a whole.
    pub max_inflight_per_stream: usize,
}

impl Default for BatchLimits {
    fn default() -> Self {
        BatchLimits {
            timeout: Duration::from_secs(10),
            max_messages: 1000,
            max_inflight_per_stream: 50,
        }
    }
}

/// What an account may use; -1 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountLimits {
    /// Bytes in memory.
    pub max_memory: i64,
    /// Bytes on disk.
    pub max_storage: i64,
    /// Streams.
    pub max_streams: i64,
    /// Consumers of a stream.
    pub max_consumers: i64,
    /// Unacknowledged messages of a consumer.
    pub max_ack_pending: i64,
    /// Bytes of one stream in memory.
    pub memory_max_stream_bytes: i64,
    /// Bytes of one stream on disk.
    pub storage_max_stream_bytes: i64,
    /// Streams have to say how big they get.
    pub max_bytes_required: bool,
}

impl Default for AccountLimits {
    fn default() -> Self {
        AccountLimits {
            max_memory: -1,
            max_storage: -1,
            max_streams: -1,
            max_consumers: -1,
            max_ack_pending: -1,
            memory_max_stream_bytes: -1,
            storage_max_stream_bytes: -1,
            max_bytes_required: false,
        }
    }
}

/// What an account uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AccountInfo<'a> {
    /// Bytes in memory.
    pub memory: u64,
    /// Bytes on disk.
    pub storage: u64,
    /// Bytes set aside in memory.
    pub reserved_memory: u64,
    /// Bytes set aside on disk.
    pub reserved_storage: u64,
    /// Streams.
    pub streams: u64,
    /// Consumers.
    pub consumers: u64,
    /// What it may use.
    pub limits: AccountLimits,
    /// The server's domain; empty is none.
    pub domain: &'a str,
    /// The level of the API; not told when zero.
    pub api_level: u32,
    /// How many API requests there were.
    pub api_total: u64,
    /// How many of them failed.
    pub api_errors: u64,
    /// How many are waiting.
    pub api_inflight: u64,
}

impl StreamState {
    /// Appends it as JSON.
    pub fn write_json(&self, json: &mut JsonWriter) {
        json.open_object();
        json.uint_field("messages", self.messages);
        json.uint_field("bytes", self.bytes);
        json.uint_field("first_seq", self.first_seq);
        json.time_field("first_ts", self.first_ts);
        json.uint_field("last_seq", self.last_seq);
        json.time_field("last_ts", self.last_ts);
        json.uint_unless_zero("num_subjects", self.num_subjects);
        if !self.subjects.is_empty() {
            json.key("subjects");
            json.open_object();
            for (subject, count) in &self.subjects {
                json.uint_field(subject, *count);
            }
            json.close_object();
        }
        json.uint_unless_zero("num_deleted", self.num_deleted);
        if !self.deleted.is_empty() {
            uints(json, "deleted", &self.deleted);
        }
        if let Some(lost) = &self.lost {
            json.key("lost");
            json.open_object();
            uints(json, "msgs", &lost.msgs);
            json.uint_field("bytes", lost.bytes);
            json.close_object();
        }
        json.uint_field("consumer_count", self.consumer_count);
        json.close_object();
    }
}

fn uints(json: &mut JsonWriter, key: &str, values: &[u64]) {
    json.key(key);
    json.open_array();
    for &value in values {
        json.uint(value);
    }
    json.close_array();
}

impl StreamInfo<'_> {
    /// Appends its fields to an object that is open.
    pub(super) fn write_fields(&self, notes: Notes, json: &mut JsonWriter) {
        json.key("config");
        self.config.write_json(notes, json);
        json.time_field("created", self.created);
        json.key("state");
        self.state.write_json(json);
        json.string_unless_empty("domain", self.domain);
        if !self.leader.is_empty() {
            json.key("cluster");
            json.open_object();
            json.string_field("leader", self.leader);
            json.close_object();
        }
        match &self.copies[..] {
            [] => {}
            [mirror] if self.config.mirror.is_some() => {
                json.key("mirror");
                mirror.write_json(json);
            }
            sources => {
                json.key("sources");
                json.open_array();
                for source in sources {
                    source.write_json(json);
                }
                json.close_array();
            }
        }
        json.time_field("ts", self.ts);
    }
}

impl SourceInfo<'_> {
    fn write_json(&self, json: &mut JsonWriter) {
        json.open_object();
        json.string_field("name", &self.source.name);
        json.uint_field("lag", self.lag);
        json.int_field("active", self.active.map_or(-1, |active| active.0));
        if let Some(error) = self.error {
            json.key("error");
            error.write_json(json);
        }
        self.source.write_filters(json);
        json.close_object();
    }
}

impl SequenceInfo {
    fn write_json(self, json: &mut JsonWriter) {
        json.open_object();
        json.uint_field("consumer_seq", self.consumer_seq);
        json.uint_field("stream_seq", self.stream_seq);
        if self.last_active.is_set() {
            json.time_field("last_active", self.last_active);
        }
        json.close_object();
    }
}

impl ConsumerInfo<'_> {
    /// Appends its fields to an object that is open, with its configuration,
    /// which has these notes, or without.
    pub fn write_fields(&self, config: Option<Notes>, json: &mut JsonWriter) {
        json.string_field("stream_name", self.stream_name);
        json.string_field("name", self.name);
        json.time_field("created", self.created);
        if let Some(notes) = config {
            json.key("config");
            self.config.write_json(notes, json);
        }
        json.key("delivered");
        self.delivered.write_json(json);
        json.key("ack_floor");
        self.ack_floor.write_json(json);
        json.uint_field("num_ack_pending", self.num_ack_pending);
        json.uint_field("num_redelivered", self.num_redelivered);
        json.uint_field("num_waiting", self.num_waiting);
        json.uint_field("num_pending", self.num_pending);
        json.flag("push_bound", self.push_bound);
        if let Some(remaining) = self.paused {
            json.bool_field("paused", true);
            json.int_unless_zero("pause_remaining", remaining.0);
        }
        json.time_field("ts", self.ts);
        let Some(group) = &self.priority_group else {
            return;
        };
        json.key("priority_groups");
        json.open_array();
        json.open_object();
        json.string_field("group", group.group);
        json.string_unless_empty("pinned_client_id", group.pinned_client_id);
        json.time_field("pinned_ts", group.pinned_ts);
        json.close_object();
        json.close_array();
    }
}

impl AccountInfo<'_> {
    /// Appends its fields to an object that is open.
    pub(super) fn write_fields(&self, json: &mut JsonWriter) {
        json.uint_field("memory", self.memory);
        json.uint_field("storage", self.storage);
        json.uint_field("reserved_memory", self.reserved_memory);
        json.uint_field("reserved_storage", self.reserved_storage);
        json.uint_field("streams", self.streams);
        json.uint_field("consumers", self.consumers);
        json.key("limits");
        self.limits.write_json(json);
        json.string_unless_empty("domain", self.domain);
        json.key("api");
        json.open_object();
        json.uint_unless_zero("level", u64::from(self.api_level));
        json.uint_field("total", self.api_total);
        json.uint_field("errors", self.api_errors);
        json.uint_unless_zero("inflight", self.api_inflight);
        json.close_object();
    }
}

impl AccountLimits {
    fn write_json(&self, json: &mut JsonWriter) {
        json.open_object();
        json.int_field("max_memory", self.max_memory);
        json.int_field("max_storage", self.max_storage);
        json.int_field("max_streams", self.max_streams);
        json.int_field("max_consumers", self.max_consumers);
        json.int_field("max_ack_pending", self.max_ack_pending);
        json.int_field("memory_max_stream_bytes", self.memory_max_stream_bytes);
        json.int_field("storage_max_stream_bytes", self.storage_max_stream_bytes);
        json.bool_field("max_bytes_required", self.max_bytes_required);
        json.close_object();
    }
}
