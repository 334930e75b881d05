//! The server around the engine.
//!
//! This crate owns everything that touches the machine: the event loop and
//! its sockets, output queues, signals, the HTTP monitoring port, and the
//! clock that the engine is told. It is also how another program runs a
//! server inside itself:
//!
//! ```
//! use midge_server::{Config, Server};
//!
//! let config = Config { port: 0, ..Config::default() };
//! let server = Server::bind(config)?;
//! let address = server.client_address();
//! let handle = server.handle();
//! let thread = std::thread::spawn(move || server.run());
//!
//! let client = std::net::TcpStream::connect(address)?;
//! drop(client);
//!
//! handle.stop();
//! thread.join().expect("the server does not panic")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Streams are the feature `streams`, on by default. Without it there is no
//! store and none of what belongs to it.

#![forbid(unsafe_code)]

mod accept;
mod accountz;
mod buffer_pool;
mod closed_ring;
mod config;
mod connection;
mod connections;
mod connz;
#[cfg(feature = "streams")]
mod disk;
#[cfg(not(feature = "streams"))]
#[path = "no_disk.rs"]
mod disk;
mod event_loop;
mod fraction;
mod healthz;
mod helper;
mod http;
mod identity;
mod jsz;
mod lame_duck;
mod memory;
mod metrics;
#[cfg(feature = "streams")]
mod metrics_dead_letters;
#[cfg(feature = "streams")]
mod metrics_streams;
mod monitor;
mod news;
#[cfg(feature = "streams")]
pub mod offline;
mod output_queue;
mod process;
mod query;
mod receive;
mod refusals;
mod reload;
mod server;
mod service_manager;
mod signals;
mod subsz;
mod system;
mod timestamp;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;
mod trace;
mod turn;
mod varz;
#[cfg(feature = "streams")]
mod zones;

#[cfg(feature = "streams")]
pub use config::STORE_DEFAULT;
pub use config::{
    Config, ConfigError, HttpConfig, MAX_CONTROL_LINE_MAX, MAX_CONTROL_LINE_MIN, MAX_PAYLOAD_MAX,
};
pub use midge_engine::{Auth, Limits};
pub use reload::{ReadAgain, Reading};
pub use server::{Handle, Server, StartError};
#[cfg(feature = "tls")]
pub use tls::{HandshakeFirst, TlsConfig, TlsVersion, has_curve, has_suite};
