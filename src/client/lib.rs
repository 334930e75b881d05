//! A small blocking client of NATS servers.
//!
//! This crate owns the client's side of a connection: finding a server,
//! introducing itself, publishing, subscribing, asking and being answered,
//! every wait with an end, and making a broken connection again. It needs
//! sockets and threads of the standard library and no runtime: each client
//! has one thread that reads and one that writes, and takes 33 KB of memory
//! with both, on Linux; what waits in its buffers comes on top
//! ([`Options::buffer_bytes_max`], [`Options::queue_bytes_max`]).
//!
//! ```no_run
//! use midge_client::{Client, Options};
//!
//! let client = Client::connect("nats://127.0.0.1:4222", Options::default())?;
//! client.publish("greet.joe", "hello")?;
//! let answer = client.request("time.now", "in UTC please", None)?;
//! println!("{}", String::from_utf8_lossy(answer.payload()));
//! # Ok::<(), midge_client::Error>(())
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod client;
#[cfg(test)]
mod client_tests;
#[cfg(test)]
mod connection_tests;
mod deadline;
mod error;
mod events;
#[cfg(test)]
mod fake_server;
mod frame;
mod handshake;
mod info;
mod message;
mod options;
mod outbox;
mod outgoing;
mod queue;
mod reader;
mod requests;
mod shared;
mod stats;
#[cfg(feature = "streams")]
pub mod streams;
mod subscription;
mod sync;
#[cfg(feature = "tls")]
mod tls;
mod transport;
mod url;
mod writer;

pub use client::{Client, Replies, Until};
pub use error::Error;
pub use events::{Event, Events};
pub use info::ServerInfo;
pub use message::Message;
pub use midge_proto::headers::HeaderBlock;
pub use options::{Options, TIMEOUT_DEFAULT};
pub use outgoing::{Headers, Publish};
pub use stats::Stats;
pub use subscription::Subscription;
#[cfg(feature = "tls")]
pub use tls::Tls;
pub use url::PORT_DEFAULT;
