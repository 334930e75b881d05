//! What clients say in JSON: the stream API and CONNECT, as data.
//!
//! Owns the JSON of `$JS.API.…` and its neighbours: configurations with their
//! defaults and rules, errors with their numbers, acks, advisories; and
//! CONNECT as a server reads it. Everything here is a function of its
//! arguments; what a request does to a stream, and rules that need to know
//! other streams or consumers, are the engine's.
//!
//! It is a crate of its own because little of it is on a message's way: it is
//! built for size where `midge-proto` is built for speed, and a client that
//! has nothing to do with streams needs no reader of JSON.

#![forbid(unsafe_code)]

mod ack;
mod ack_subject;
pub mod advisory;
#[cfg(test)]
mod advisory_tests;
mod backup;
mod batch_flow;
mod connect;
mod consumer_check;
#[cfg(test)]
mod consumer_check_tests;
mod consumer_config;
mod counter_sources;
mod dead_letter;
mod dlq;
mod error;
mod get_request;
mod info;
pub mod json;
pub mod metadata;
mod name;
mod next_request;
mod options;
mod pub_ack;
mod requests;
pub mod responses;
#[cfg(test)]
mod responses_tests;
pub mod snapshot;
mod source_check;
mod source_name;
mod stream_check;
#[cfg(test)]
mod stream_check_tests;
mod stream_config;
mod stream_source;
mod transform;
mod word;

pub use ack::Ack;
pub use ack_subject::{
    ACK_PREFIX, AckSubject, FLOW_CONTROL_PREFIX, FlowControlSubject, write_ack_prefix,
};
pub use backup::{BackupError, BackupKind, BackupRequest, CHUNK as BACKUP_CHUNK};
pub use batch_flow::BatchFlow;
pub use connect::{ConnectError, ConnectOptions};
pub use consumer_check::CreateForm;
pub use consumer_config::{
    AckPolicy, ConsumerAction, ConsumerConfig, CreateConsumerRequest, DeliverPolicy,
    PriorityPolicy, ReplayPolicy,
};
pub use counter_sources::CounterSources;
pub use dead_letter::{
    Attempt, DeadLetter, Ended, midge_header, original_header, original_message,
};
pub use dlq::{DLQ_STREAM, DlqAction, DlqError, DlqFilter, DlqKind, DlqRequest};
pub use error::ApiError;
pub use get_request::{DirectGetError, GetRequest};
pub use info::{
    AccountInfo, AccountLimits, BatchLimits, ConsumerInfo, LostMessages, PriorityGroupInfo,
    SequenceInfo, ServerLimits, SourceInfo, StreamInfo, StreamState,
};
pub use json::{is_object, parse_flat};
pub use midge_proto::JsonWriter;
pub use midge_proto::{Nanos, Timestamp};
pub use name::{MAX_NAME, check_consumer_name, check_stream_name, is_valid_name};
pub use next_request::NextRequest;
pub use options::{Breaker, ConsumerOptions, DeadLetters, OrderKey, keeps_overflow};
pub use pub_ack::{PubAck, PubAckTail};
pub use requests::{
    ConsumerPageRequest, DeleteMessageRequest, PageRequest, PauseRequest, PurgeRequest,
    ResetRequest, StreamInfoRequest, UnpinRequest, expect_empty,
};
pub use responses::{Page, ResponseKind, StoredMessage};
pub use stream_config::{
    Compression, ConsumerLimits, Discard, PersistMode, Placement, Retention, Storage, StreamConfig,
};
pub use stream_source::{
    ExternalStream, Republish, SourceConsumer, StreamSource, SubjectTransform,
};
pub use transform::{Transform, TransformError};
