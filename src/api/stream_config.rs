//! How a stream is set up, as clients send it and servers show it.
//!
//! This file knows the fields, their order and which of them are left out
//! when empty; what values make sense is the business of `stream_check`.

use super::error::ApiError;
use super::json::{self, Known, Strictness};
use super::metadata::{self, Notes};
use super::stream_source::{Republish, StreamSource, SubjectTransform};
use super::word::words;
use midge_proto::JsonWriter;
use midge_proto::Nanos;
use serde_json::Value;
use std::collections::BTreeMap;

words! {
    /// When a stored message may go.
    pub enum Retention {
        /// When a limit says so.
        #[default]
        Limits = "limits",
        /// Once every consumer has acknowledged it.
        Interest = "interest",
        /// Once its consumer has acknowledged it.
        WorkQueue = "workqueue",
    }
}

words! {
    /// What gives way when a limit is reached.
    pub enum Discard {
        /// The oldest messages.
        #[default]
        Old = "old",
        /// The new message, which is refused.
        New = "new",
    }
}

words! {
    /// Where messages are kept.
    pub enum Storage {
        /// On disk.
        #[default]
        File = "file",
        /// In memory, until the server ends.
        Memory = "memory",
    }
}

words! {
    /// How stored blocks are packed.
    pub enum Compression {
        /// As they are.
        #[default]
        None = "none",
        /// With S2.
        S2 = "s2",
    }
}

words! {
    /// When a stored message counts as stored.
    pub enum PersistMode {
        /// Before it is acknowledged.
        #[default]
        Default = "default",
        /// At some time.
        Async = "async",
    }
}

/// Where in a cluster a stream should live; kept and shown, nothing more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placement {
    /// The cluster's name.
    pub cluster: String,
    /// What its servers should be tagged with.
    pub tags: Vec<String>,
    /// The server that should lead; refused in a configuration.
    pub preferred: String,
}

/// What the consumers of a stream get when they say nothing, and may not exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConsumerLimits {
    /// How long a consumer may be idle; zero is no limit.
    pub inactive_threshold: Nanos,
    /// How many messages may be unacknowledged; zero is no limit.
    pub max_ack_pending: i64,
}

/// The configuration of a stream.
///
/// The default is that of an empty request, with no limit filled in yet; see
/// [`check`](StreamConfig::check).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamConfig {
    /// The stream's name.
    pub name: String,
    /// For people.
    pub description: String,
    /// The subjects it stores.
    pub subjects: Vec<String>,
    /// When a stored message may go.
    pub retention: Retention,
    /// The most consumers; -1 is no limit, here and in what follows.
    pub max_consumers: i64,
    /// The most messages.
    pub max_msgs: i64,
    /// The most bytes.
    pub max_bytes: i64,
    /// The oldest a message may get; zero is no limit.
    pub max_age: Nanos,
    /// The most messages of one subject.
    pub max_msgs_per_subject: i64,
    /// The longest message, headers included.
    pub max_msg_size: i32,
    /// What gives way when a limit is reached.
    pub discard: Discard,
    /// Where messages are kept.
    pub storage: Storage,
    /// How many servers keep a copy.
    pub num_replicas: i64,
    /// Publishers get no answer.
    pub no_ack: bool,
    /// How long message ids are remembered.
    pub duplicate_window: Nanos,
    /// Where in a cluster it should live.
    pub placement: Option<Placement>,
    /// The stream this is a copy of.
    pub mirror: Option<Box<StreamSource>>,
    /// The streams this one copies from.
    pub sources: Vec<StreamSource>,
    /// How stored blocks are packed.
    pub compression: Compression,
    /// The sequence of the first message; zero is one.
    pub first_seq: u64,
    /// How subjects change on the way in.
    pub subject_transform: Option<SubjectTransform>,
    /// Where stored messages are published again.
    pub republish: Option<Republish>,
    /// Messages can be read without a consumer by anybody.
    pub allow_direct: bool,
    /// The same for a mirror, on behalf of its origin.
    pub mirror_direct: bool,
    /// `discard` new holds for the limit of one subject too.
    pub discard_new_per_subject: bool,
    /// Nothing may be stored or removed any more.
    pub sealed: bool,
    /// Messages cannot be deleted through the API.
    pub deny_delete: bool,
    /// The stream cannot be purged through the API.
    pub deny_purge: bool,
    /// A message may replace the earlier ones by a header.
    pub allow_rollup_hdrs: bool,
    /// What its consumers get and may not exceed.
    pub consumer_limits: ConsumerLimits,
    /// A message may say how long it lives.
    pub allow_msg_ttl: bool,
    /// How long a marker stays where a subject's last message expired.
    pub subject_delete_marker_ttl: Nanos,
    /// Messages are counters.
    pub allow_msg_counter: bool,
    /// Messages may be published in batches of which all or none are stored.
    pub allow_atomic: bool,
    /// A message may say when it is to be published.
    pub allow_msg_schedules: bool,
    /// When a stored message counts as stored.
    pub persist_mode: PersistMode,
    /// Messages may be published in batches that are stored as they come.
    pub allow_batched: bool,
    /// Whatever else clients want to keep with it.
    pub metadata: BTreeMap<String, String>,
}

impl StreamConfig {
    /// Reads a request to create or update a stream: the configuration, and
    /// whether adjusting it silently is not wanted (`pedantic`).
    ///
    /// An empty body is an empty configuration.
    ///
    /// # Errors
    /// 10025 when this is not JSON, or has a key or a value that is none of ours.
    pub fn from_json(body: &[u8], strict: Strictness) -> Result<(StreamConfig, bool), ApiError> {
        let mut config = StreamConfig::default();
        let mut pedantic = false;
        json::read(body, strict, &mut |key, value| {
            if key == "pedantic" {
                pedantic = json::boolean(key, &value)?;
                return Ok(Known::Yes);
            }
            config.set(key, value, strict)
        })?;
        Ok((config, pedantic))
    }

    /// Reads a configuration that a server shows, which may be newer than
    /// this: keys nobody knows are passed over.
    ///
    /// # Errors
    /// 10025 when this is no object, or has a value that is none of ours.
    pub fn from_answer(value: Value) -> Result<StreamConfig, ApiError> {
        StreamConfig::from_request(value, Strictness::Lenient)
    }

    /// Reads a configuration that is part of a request.
    pub(super) fn from_request(value: Value, strict: Strictness) -> Result<StreamConfig, ApiError> {
        let mut config = StreamConfig::default();
        json::read_value("config", value, strict, &mut |key, value| {
            config.set(key, value, strict)
        })?;
        Ok(config)
    }

    fn set(&mut self, key: &str, value: Value, strict: Strictness) -> Result<Known, ApiError> {
        match key {
            "name" => self.name = json::string(key, value)?,
            "description" => self.description = json::string(key, value)?,
            "subjects" => self.subjects = json::strings(key, value)?,
            "retention" => self.retention = json::word(&value, Retention::from_word)?,
            "max_consumers" => self.max_consumers = json::int(key, &value)?,
            "max_msgs" => self.max_msgs = json::int(key, &value)?,
            "max_bytes" => self.max_bytes = json::int(key, &value)?,
            "max_age" => self.max_age = json::nanos(key, &value)?,
            "max_msgs_per_subject" => self.max_msgs_per_subject = json::int(key, &value)?,
            "max_msg_size" => self.max_msg_size = json::int32(key, &value)?,
            "discard" => self.discard = json::word(&value, Discard::from_word)?,
            "storage" => self.storage = json::word(&value, Storage::from_word)?,
            "num_replicas" => self.num_replicas = json::int(key, &value)?,
            "no_ack" => self.no_ack = json::boolean(key, &value)?,
            "duplicate_window" => self.duplicate_window = json::nanos(key, &value)?,
            "placement" => {
                let placement = Placement::from_value(key, value, strict)?;
                self.placement = Some(placement).filter(|asked| *asked != Placement::default());
            }
            "compression" => self.compression = compression(&value)?,
            "first_seq" => self.first_seq = json::uint(key, &value)?,
            "allow_direct" => self.allow_direct = json::boolean(key, &value)?,
            "mirror_direct" => self.mirror_direct = json::boolean(key, &value)?,
            "discard_new_per_subject" => {
                self.discard_new_per_subject = json::boolean(key, &value)?;
            }
            "sealed" => self.sealed = json::boolean(key, &value)?,
            "deny_delete" => self.deny_delete = json::boolean(key, &value)?,
            "deny_purge" => self.deny_purge = json::boolean(key, &value)?,
            "allow_rollup_hdrs" => self.allow_rollup_hdrs = json::boolean(key, &value)?,
            "consumer_limits" => {
                self.consumer_limits = ConsumerLimits::from_value(key, value, strict)?
            }
            "metadata" => self.metadata = json::map(key, value)?,
            _ => return self.set_advanced(key, value, strict),
        }
        Ok(Known::Yes)
    }

    /// The fields that few streams use.
    fn set_advanced(
        &mut self,
        key: &str,
        value: Value,
        strict: Strictness,
    ) -> Result<Known, ApiError> {
        match key {
            "mirror" => self.mirror = Some(Box::new(StreamSource::from_value(key, value, strict)?)),
            "sources" => {
                self.sources = json::array(key, value)?
                    .into_iter()
                    .map(|source| StreamSource::from_value(key, source, strict))
                    .collect::<Result<_, _>>()?;
            }
            "subject_transform" => {
                self.subject_transform = Some(SubjectTransform::from_value(key, value, strict)?);
            }
            "republish" => self.republish = Some(Republish::from_value(key, value, strict)?),
            "allow_msg_ttl" => self.allow_msg_ttl = json::boolean(key, &value)?,
            "subject_delete_marker_ttl" => {
                self.subject_delete_marker_ttl = json::nanos(key, &value)?;
            }
            "allow_msg_counter" => self.allow_msg_counter = json::boolean(key, &value)?,
            "allow_atomic" => self.allow_atomic = json::boolean(key, &value)?,
            "allow_msg_schedules" => self.allow_msg_schedules = json::boolean(key, &value)?,
            "persist_mode" => self.persist_mode = json::word(&value, persist_mode)?,
            "allow_batched" => self.allow_batched = json::boolean(key, &value)?,
            _ => return Ok(Known::No),
        }
        Ok(Known::Yes)
    }

    /// Appends it as a JSON object.
    pub fn write_json(&self, notes: Notes, json: &mut JsonWriter) {
        json.open_object();
        json.string_field("name", &self.name);
        json.string_unless_empty("description", &self.description);
        json.strings_unless_empty("subjects", &self.subjects);
        json.string_field("retention", self.retention.as_str());
        json.int_field("max_consumers", self.max_consumers);
        json.int_field("max_msgs", self.max_msgs);
        json.int_field("max_bytes", self.max_bytes);
        json.int_field("max_age", self.max_age.0);
        json.int_field("max_msgs_per_subject", self.max_msgs_per_subject);
        json.int_unless_zero("max_msg_size", i64::from(self.max_msg_size));
        json.string_field("discard", self.discard.as_str());
        json.string_field("storage", self.storage.as_str());
        json.int_field("num_replicas", self.num_replicas);
        json.flag("no_ack", self.no_ack);
        json.int_unless_zero("duplicate_window", self.duplicate_window.0);
        if let Some(placement) = &self.placement {
            json.key("placement");
            placement.write_json(json);
        }
        if let Some(mirror) = &self.mirror {
            json.key("mirror");
            mirror.write_json(json);
        }
        if !self.sources.is_empty() {
            json.key("sources");
            json.open_array();
            for source in &self.sources {
                source.write_json(json);
            }
            json.close_array();
        }
        json.string_field("compression", self.compression.as_str());
        json.uint_unless_zero("first_seq", self.first_seq);
        self.write_rest(notes, json);
        json.close_object();
    }

    fn write_rest(&self, notes: Notes, json: &mut JsonWriter) {
        if let Some(transform) = &self.subject_transform {
            json.key("subject_transform");
            transform.write_json(json);
        }
        if let Some(republish) = &self.republish {
            json.key("republish");
            republish.write_json(json);
        }
        json.bool_field("allow_direct", self.allow_direct);
        json.bool_field("mirror_direct", self.mirror_direct);
        json.flag("discard_new_per_subject", self.discard_new_per_subject);
        json.bool_field("sealed", self.sealed);
        json.bool_field("deny_delete", self.deny_delete);
        json.bool_field("deny_purge", self.deny_purge);
        json.bool_field("allow_rollup_hdrs", self.allow_rollup_hdrs);
        json.key("consumer_limits");
        self.consumer_limits.write_json(json);
        json.bool_field("allow_msg_ttl", self.allow_msg_ttl);
        json.int_unless_zero(
            "subject_delete_marker_ttl",
            self.subject_delete_marker_ttl.0,
        );
        json.flag("allow_msg_counter", self.allow_msg_counter);
        json.flag("allow_atomic", self.allow_atomic);
        json.flag("allow_msg_schedules", self.allow_msg_schedules);
        if self.persist_mode != PersistMode::Default {
            json.string_field("persist_mode", self.persist_mode.as_str());
        }
        json.flag("allow_batched", self.allow_batched);
        metadata::write(&self.metadata, self.required_level(), notes, json);
    }

    /// The least level of the API that has all it asks for.
    fn required_level(&self) -> u32 {
        let second = self.allow_msg_counter
            || self.allow_atomic
            || self.allow_msg_schedules
            || self.persist_mode == PersistMode::Async;
        if self.allow_batched {
            4
        } else if second {
            2
        } else {
            u32::from(self.allow_msg_ttl || self.subject_delete_marker_ttl.0 > 0)
        }
    }

    /// The JSON text, which [`from_json`](StreamConfig::from_json) reads again.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = JsonWriter::new();
        self.write_json(Notes::None, &mut json);
        json.into_bytes()
    }
}

/// An empty word stands for the default one here.
fn persist_mode(word: &str) -> Option<PersistMode> {
    match word {
        "" => Some(PersistMode::Default),
        other => PersistMode::from_word(other),
    }
}

/// Has an error text of its own.
fn compression(value: &Value) -> Result<Compression, ApiError> {
    value
        .as_str()
        .and_then(Compression::from_word)
        .ok_or_else(|| ApiError::invalid_json("unknown compression algorithm"))
}

impl Placement {
    fn from_value(key: &str, value: Value, strict: Strictness) -> Result<Placement, ApiError> {
        let mut placement = Placement::default();
        json::read_value(key, value, strict, &mut |key, value| {
            match key {
                "cluster" => placement.cluster = json::string(key, value)?,
                "tags" => placement.tags = json::strings(key, value)?,
                "preferred" => placement.preferred = json::string(key, value)?,
                _ => return Ok(Known::No),
            }
            Ok(Known::Yes)
        })?;
        Ok(placement)
    }

    fn write_json(&self, json: &mut JsonWriter) {
        json.open_object();
        json.string_unless_empty("cluster", &self.cluster);
        json.strings_unless_empty("tags", &self.tags);
        json.string_unless_empty("preferred", &self.preferred);
        json.close_object();
    }
}

impl ConsumerLimits {
    fn from_value(key: &str, value: Value, strict: Strictness) -> Result<ConsumerLimits, ApiError> {
        let mut limits = ConsumerLimits::default();
        json::read_value(key, value, strict, &mut |key, value| {
            match key {
                "inactive_threshold" => limits.inactive_threshold = json::nanos(key, &value)?,
                "max_ack_pending" => limits.max_ack_pending = json::int(key, &value)?,
                _ => return Ok(Known::No),
            }
            Ok(Known::Yes)
        })?;
        Ok(limits)
    }

    fn write_json(&self, json: &mut JsonWriter) {
        json.open_object();
        json.int_unless_zero("inactive_threshold", self.inactive_threshold.0);
        json.int_unless_zero("max_ack_pending", self.max_ack_pending);
        json.close_object();
    }
}
