//! How a consumer is set up, as clients send it and servers show it.
//!
//! This file knows the fields, their order and which of them are left out
//! when empty; what values make sense is the business of `consumer_check`.

use super::error::ApiError;
use super::json::{self, Known, Strictness};
use super::metadata::{self, Notes};
use super::word::words;
use midge_proto::JsonWriter;
use midge_proto::{Nanos, Timestamp};
use serde_json::Value;
use std::collections::BTreeMap;

words! {
    /// Where in the stream a consumer starts.
    pub enum DeliverPolicy {
        /// At the first message.
        #[default]
        All = "all",
        /// At the last message.
        Last = "last",
        /// After the last message.
        New = "new",
        /// At `opt_start_seq`.
        ByStartSequence = "by_start_sequence",
        /// At `opt_start_time`.
        ByStartTime = "by_start_time",
        /// At the last message of each subject.
        LastPerSubject = "last_per_subject",
    }
}

words! {
    /// What a consumer's acks mean.
    pub enum AckPolicy {
        /// There are none.
        #[default]
        None = "none",
        /// One is for its message and all before.
        All = "all",
        /// One is for its message alone.
        Explicit = "explicit",
        /// Flow control answers stand for acks; for mirrors.
        FlowControl = "flow_control",
    }
}

words! {
    /// How fast messages are delivered.
    pub enum ReplayPolicy {
        /// As fast as they go.
        #[default]
        Instant = "instant",
        /// As fast as they came.
        Original = "original",
    }
}

words! {
    /// Who of several pullers is served.
    pub enum PriorityPolicy {
        /// All alike.
        #[default]
        None = "none",
        /// Some only when much is waiting.
        Overflow = "overflow",
        /// One, until it goes away.
        PinnedClient = "pinned_client",
        /// Those with the lowest number first.
        Prioritized = "prioritized",
    }
}

words! {
    /// What a request for a consumer is meant to do.
    pub enum ConsumerAction {
        /// Make it or change it.
        #[default]
        CreateOrUpdate = "",
        /// Make it, or find it just so.
        Create = "create",
        /// Change it.
        Update = "update",
    }
}

/// The configuration of a consumer.
///
/// The default is that of an empty request, with no default filled in yet;
/// see [`check`](ConsumerConfig::check).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConsumerConfig {
    /// Its name, if it is to outlive its users.
    pub durable_name: String,
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// Where it starts.
    pub deliver_policy: DeliverPolicy,
    /// The sequence to start at; zero is unset.
    pub opt_start_seq: u64,
    /// The time to start at.
    pub opt_start_time: Option<Timestamp>,
    /// What its acks mean.
    pub ack_policy: AckPolicy,
    /// How long an ack may take.
    pub ack_wait: Nanos,
    /// How often a message is delivered; -1 is no limit.
    pub max_deliver: i64,
    /// How long each ack may take, in place of `ack_wait`.
    pub backoff: Vec<Nanos>,
    /// The subjects it takes; empty is all.
    pub filter_subject: String,
    /// The subjects it takes, when there are several.
    pub filter_subjects: Vec<String>,
    /// How fast it delivers.
    pub replay_policy: ReplayPolicy,
    /// The most bits a second; zero is no limit.
    pub rate_limit_bps: u64,
    /// The share of acks that is reported: `50` or `50%`.
    pub sample_freq: String,
    /// The most pull requests waiting.
    pub max_waiting: i64,
    /// The most messages unacknowledged; -1 is no limit.
    pub max_ack_pending: i64,
    /// The receiver says when it can take more.
    pub flow_control: bool,
    /// Leave payloads out.
    pub headers_only: bool,
    /// The most messages a pull request may ask for; zero is no limit.
    pub max_batch: i64,
    /// The longest a pull request may wait; zero is no limit.
    pub max_expires: Nanos,
    /// The most bytes a pull request may ask for; zero is no limit.
    pub max_bytes: i64,
    /// Where it delivers to, if it is pushed.
    pub deliver_subject: String,
    /// The queue group it delivers to.
    pub deliver_group: String,
    /// How often it shows that it lives when idle.
    pub idle_heartbeat: Nanos,
    /// How long it lives without use; zero is for ever.
    pub inactive_threshold: Nanos,
    /// How many servers keep a copy; zero is as many as the stream.
    pub num_replicas: i64,
    /// Keep its state in memory.
    pub mem_storage: bool,
    /// It serves a mirror; not for clients.
    pub direct: bool,
    /// It serves a source; not for clients.
    pub sourcing: bool,
    /// Whatever else clients want to keep with it.
    pub metadata: BTreeMap<String, String>,
    /// Deliver nothing until then.
    pub pause_until: Option<Timestamp>,
    /// The groups its pullers may be in.
    pub priority_groups: Vec<String>,
    /// Who of several pullers is served.
    pub priority_policy: PriorityPolicy,
    /// How long a pinned puller may be idle.
    pub priority_timeout: Nanos,
}

/// A request to make or change a consumer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CreateConsumerRequest {
    /// The stream; has to be that of the request's subject.
    pub stream_name: String,
    /// The consumer.
    pub config: ConsumerConfig,
    /// What is meant by it.
    pub action: ConsumerAction,
    /// Adjusting the configuration silently is not wanted.
    pub pedantic: bool,
}

impl CreateConsumerRequest {
    /// Reads the request.
    ///
    /// # Errors
    /// 10025 when this is not JSON, or has a key or a value that is none of ours.
    pub fn from_json(body: &[u8], strict: Strictness) -> Result<CreateConsumerRequest, ApiError> {
        let mut request = CreateConsumerRequest::default();
        json::read(body, strict, &mut |key, value| {
            match key {
                "stream_name" => request.stream_name = json::string(key, value)?,
                "config" => request.config = ConsumerConfig::from_value(key, value, strict)?,
                "action" => request.action = json::word(&value, ConsumerAction::from_word)?,
                "pedantic" => request.pedantic = json::boolean(key, &value)?,
                _ => return Ok(Known::No),
            }
            Ok(Known::Yes)
        })?;
        Ok(request)
    }
}

impl ConsumerConfig {
    /// One that outlives its users, of whom each asks for messages and
    /// acknowledges every one of them. The rest is up to the server.
    pub fn durable(name: &str) -> ConsumerConfig {
        ConsumerConfig {
            durable_name: name.to_owned(),
            ack_policy: AckPolicy::Explicit,
            ..ConsumerConfig::default()
        }
    }

    /// Reads a configuration by itself, as [`to_json`](ConsumerConfig::to_json)
    /// writes it.
    ///
    /// # Errors
    /// 10025 when this is not JSON, or has a key or a value that is none of ours.
    pub fn from_json(body: &[u8]) -> Result<ConsumerConfig, ApiError> {
        let mut config = ConsumerConfig::default();
        json::read(body, Strictness::Strict, &mut |key, value| {
            config.set(key, value)
        })?;
        Ok(config)
    }

    /// Reads a configuration that a server shows, which may be newer than
    /// this: keys nobody knows are passed over.
    ///
    /// # Errors
    /// 10025 when this is no object, or has a value that is none of ours.
    pub fn from_answer(value: Value) -> Result<ConsumerConfig, ApiError> {
        ConsumerConfig::from_value("config", value, Strictness::Lenient)
    }

    pub(super) fn from_value(
        key: &str,
        value: Value,
        strict: Strictness,
    ) -> Result<ConsumerConfig, ApiError> {
        let mut config = ConsumerConfig::default();
        json::read_value(key, value, strict, &mut |key, value| config.set(key, value))?;
        Ok(config)
    }

    fn set(&mut self, key: &str, value: Value) -> Result<Known, ApiError> {
        match key {
            "durable_name" => self.durable_name = json::string(key, value)?,
            "name" => self.name = json::string(key, value)?,
            "description" => self.description = json::string(key, value)?,
            "deliver_policy" => {
                self.deliver_policy = json::word(&value, |word| match word {
                    // What the zero value is called in Go.
                    "undefined" => Some(DeliverPolicy::All),
                    _ => DeliverPolicy::from_word(word),
                })?;
            }
            "opt_start_seq" => self.opt_start_seq = json::uint(key, &value)?,
            "opt_start_time" => self.opt_start_time = Some(json::time(key, &value)?),
            "ack_policy" => self.ack_policy = json::word(&value, AckPolicy::from_word)?,
            "ack_wait" => self.ack_wait = json::nanos(key, &value)?,
            "max_deliver" => self.max_deliver = json::int(key, &value)?,
            "backoff" => {
                self.backoff = json::array(key, value)?
                    .iter()
                    .map(|step| json::nanos(key, step))
                    .collect::<Result<_, _>>()?;
            }
            "filter_subject" => self.filter_subject = json::string(key, value)?,
            "filter_subjects" => self.filter_subjects = json::strings(key, value)?,
            "replay_policy" => self.replay_policy = json::word(&value, ReplayPolicy::from_word)?,
            "rate_limit_bps" => self.rate_limit_bps = json::uint(key, &value)?,
            "sample_freq" => self.sample_freq = json::string(key, value)?,
            "max_waiting" => self.max_waiting = json::int(key, &value)?,
            "max_ack_pending" => self.max_ack_pending = json::int(key, &value)?,
            "flow_control" => self.flow_control = json::boolean(key, &value)?,
            "headers_only" => self.headers_only = json::boolean(key, &value)?,
            "max_batch" => self.max_batch = json::int(key, &value)?,
            "max_expires" => self.max_expires = json::nanos(key, &value)?,
            "max_bytes" => self.max_bytes = json::int(key, &value)?,
            "deliver_subject" => self.deliver_subject = json::string(key, value)?,
            "deliver_group" => self.deliver_group = json::string(key, value)?,
            "idle_heartbeat" => self.idle_heartbeat = json::nanos(key, &value)?,
            _ => return self.set_rest(key, value),
        }
        Ok(Known::Yes)
    }

    fn set_rest(&mut self, key: &str, value: Value) -> Result<Known, ApiError> {
        match key {
            "inactive_threshold" => self.inactive_threshold = json::nanos(key, &value)?,
            "num_replicas" => self.num_replicas = json::int(key, &value)?,
            "mem_storage" => self.mem_storage = json::boolean(key, &value)?,
            "direct" => self.direct = json::boolean(key, &value)?,
            "sourcing" => self.sourcing = json::boolean(key, &value)?,
            "metadata" => self.metadata = json::map(key, value)?,
            "pause_until" => self.pause_until = json::time(key, &value)?.get(),
            "priority_groups" => self.priority_groups = json::strings(key, value)?,
            "priority_policy" => {
                let policy = value.as_str().and_then(PriorityPolicy::from_word);
                let unknown = || format!("unknown priority policy: {value}");
                self.priority_policy = policy.ok_or_else(|| ApiError::invalid_json(unknown()))?;
            }
            "priority_timeout" => self.priority_timeout = json::nanos(key, &value)?,
            _ => return Ok(Known::No),
        }
        Ok(Known::Yes)
    }

    /// Appends it as a JSON object.
    pub fn write_json(&self, notes: Notes, json: &mut JsonWriter) {
        json.open_object();
        json.string_unless_empty("durable_name", &self.durable_name);
        json.string_unless_empty("name", &self.name);
        json.string_unless_empty("description", &self.description);
        json.string_field("deliver_policy", self.deliver_policy.as_str());
        json.uint_unless_zero("opt_start_seq", self.opt_start_seq);
        if let Some(time) = self.opt_start_time {
            json.time_field("opt_start_time", time);
        }
        json.string_field("ack_policy", self.ack_policy.as_str());
        json.int_unless_zero("ack_wait", self.ack_wait.0);
        json.int_unless_zero("max_deliver", self.max_deliver);
        if !self.backoff.is_empty() {
            json.key("backoff");
            json.open_array();
            for step in &self.backoff {
                json.int(step.0);
            }
            json.close_array();
        }
        json.string_unless_empty("filter_subject", &self.filter_subject);
        json.strings_unless_empty("filter_subjects", &self.filter_subjects);
        json.string_field("replay_policy", self.replay_policy.as_str());
        json.uint_unless_zero("rate_limit_bps", self.rate_limit_bps);
        json.string_unless_empty("sample_freq", &self.sample_freq);
        json.int_unless_zero("max_waiting", self.max_waiting);
        json.int_unless_zero("max_ack_pending", self.max_ack_pending);
        json.flag("flow_control", self.flow_control);
        json.flag("headers_only", self.headers_only);
        json.int_unless_zero("max_batch", self.max_batch);
        json.int_unless_zero("max_expires", self.max_expires.0);
        json.int_unless_zero("max_bytes", self.max_bytes);
        self.write_rest(notes, json);
        json.close_object();
    }

    fn write_rest(&self, notes: Notes, json: &mut JsonWriter) {
        json.string_unless_empty("deliver_subject", &self.deliver_subject);
        json.string_unless_empty("deliver_group", &self.deliver_group);
        json.int_unless_zero("idle_heartbeat", self.idle_heartbeat.0);
        json.int_unless_zero("inactive_threshold", self.inactive_threshold.0);
        json.int_field("num_replicas", self.num_replicas);
        json.flag("mem_storage", self.mem_storage);
        json.flag("direct", self.direct);
        json.flag("sourcing", self.sourcing);
        metadata::write(&self.metadata, self.required_level(), notes, json);
        if let Some(time) = self.pause_until {
            json.time_field("pause_until", time);
        }
        json.strings_unless_empty("priority_groups", &self.priority_groups);
        if self.priority_policy != PriorityPolicy::None {
            json.string_field("priority_policy", self.priority_policy.as_str());
        }
        json.int_unless_zero("priority_timeout", self.priority_timeout.0);
    }

    /// The least level of the API that has all it asks for.
    fn required_level(&self) -> u32 {
        if self.ack_policy == AckPolicy::FlowControl {
            return 4;
        }
        let first = self.pause_until.is_some()
            || self.priority_policy != PriorityPolicy::None
            || self.priority_timeout.0 != 0
            || !self.priority_groups.is_empty();
        u32::from(first)
    }

    /// The JSON text, which [`from_json`](ConsumerConfig::from_json) reads again.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = JsonWriter::new();
        self.write_json(Notes::None, &mut json);
        json.into_bytes()
    }

    /// Whether its users ask for messages, rather than getting them sent.
    pub fn is_pull(&self) -> bool {
        self.deliver_subject.is_empty()
    }

    /// Whether it outlives its users.
    pub fn is_durable(&self) -> bool {
        !self.durable_name.is_empty()
    }

    /// All filters, whether there is one or several. None means everything.
    pub fn filters(&self) -> impl Iterator<Item = &str> {
        let single = (!self.filter_subject.is_empty()).then_some(self.filter_subject.as_str());
        single
            .into_iter()
            .chain(self.filter_subjects.iter().map(String::as_str))
    }
}
