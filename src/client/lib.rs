//! A small blocking client of NATS servers.
//!
//! This crate owns the client's side of a connection: finding the server,
//! introducing itself, asking and being answered, every wait with an end. It
//! keeps no thread, so pings are answered while it waits for something and at
//! no other time; it does not reconnect, and it speaks no TLS.
//!
//! ```no_run
//! use midge_client::{Client, Options};
//!
//! let mut client = Client::connect("nats://127.0.0.1:4222", Options::default())?;
//! let answer = client.request("time.now", b"in UTC please", None)?;
//! println!("{}", String::from_utf8_lossy(answer.payload()));
//! # Ok::<(), midge_client::Error>(())
//! ```

mod client;
#[cfg(test)]
mod client_tests;
mod error;
mod frame;
mod message;
mod url;

pub use client::{Client, Options, TIMEOUT_DEFAULT};
pub use error::Error;
pub use message::Message;
pub use url::PORT_DEFAULT;
