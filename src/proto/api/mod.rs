//! The stream API as data: what requests ask, what answers say.
//!
//! Owns the JSON of `$JS.API.…` and its neighbours: configurations with their
//! defaults and rules, errors with their numbers, acks, advisories. Everything
//! here is a function of its arguments; what a request does to a stream, and
//! rules that need to know other streams or consumers, are the engine's.

mod consumer_config;
mod error;
pub mod json;
mod stream_config;
mod stream_source;
mod timestamp;
mod word;

pub use consumer_config::{
    AckPolicy, ConsumerAction, ConsumerConfig, CreateConsumerRequest, DeliverPolicy,
    PriorityPolicy, ReplayPolicy,
};
pub use error::ApiError;
pub use json::JsonWriter;
pub use stream_config::{
    Compression, ConsumerLimits, Discard, PersistMode, Placement, Retention, Storage, StreamConfig,
};
pub use stream_source::{
    ExternalStream, Republish, SourceConsumer, StreamSource, SubjectTransform,
};
pub use timestamp::{Nanos, Timestamp};

/// The level of the API that is spoken, as `_nats.level` tells it. Levels
/// start at 1; at 0 nothing is said of them.
pub const API_LEVEL: u32 = 0;
