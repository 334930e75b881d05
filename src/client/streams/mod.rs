//! Streams: messages that a server keeps, and that are asked for.
//!
//! This module owns the client's side of the stream API (`$JS.API`): making
//! and looking at streams and consumers, publishing with an answer that the
//! message is stored, taking messages and acknowledging them, and the
//! key-value buckets that are made of streams. What it says on the wire is
//! what other NATS clients say, so it works with midge and nats-server alike
//! and beside those clients.
//!
//! Nothing here has a thread: what has to be done while messages come, such as
//! asking for more, is done by whoever waits for them.
//!
//! ```no_run
//! use midge_client::streams::{ConsumerConfig, StreamConfig};
//! use midge_client::{Client, Options, Publish};
//!
//! let client = Client::connect("127.0.0.1:4222", Options::default())?;
//! let streams = client.streams();
//! streams.create_stream(&StreamConfig {
//!     name: "ORDERS".into(),
//!     subjects: vec!["orders.>".into()],
//!     ..Default::default()
//! })?;
//! let ack = streams.publish(&Publish::new("orders.new", "17 pears"))?;
//! println!("stored as number {}", ack.seq);
//!
//! streams.create_consumer("ORDERS", &ConsumerConfig::durable("packer"))?;
//! let packer = streams.consumer("ORDERS", "packer")?;
//! for message in packer.messages(Default::default())? {
//!     let message = message?;
//!     println!("{}: {}", message.subject(), String::from_utf8_lossy(message.payload()));
//!     message.ack()?;
//! }
//! # Ok::<(), midge_client::Error>(())
//! ```

mod api;
mod consumer;
mod consumers;
#[cfg(test)]
mod fake_server_tests;
mod fetch;
mod info;
pub mod kv;
mod management;
mod messages;
mod ordered;
mod pub_ack;
mod publish;
mod publisher;
mod pull_status;
mod stored;
mod stream_message;
mod window;

pub use api::{Streams, StreamsOptions};
pub use consumer::Consumer;
pub use fetch::{End, Fetch, FetchOptions};
pub use info::{ConsumerInfo, StreamInfo};
pub use management::Purge;
pub use messages::{Messages, PullOptions};
pub use midge_api::{
    AckPolicy, ApiError, Compression, ConsumerConfig, ConsumerLimits, DeliverPolicy, Discard,
    PersistMode, Placement, ReplayPolicy, Republish, Retention, SequenceInfo, Storage,
    StreamConfig, StreamSource, StreamState, SubjectTransform,
};
pub use midge_proto::{JsonWriter, Nanos, Timestamp};
pub use ordered::{Ordered, OrderedOptions, Start};
pub use pub_ack::PubAck;
pub use publisher::{Pending, Publisher, PublisherOptions};
pub use stored::StoredMessage;
pub use stream_message::{Metadata, StreamMessage};
pub use window::Failure;
