//! The commands that talk to a server.
//!
//! What they share beside what all commands do: [`connection`] leads to the
//! server, [`remote`] asks it in JSON.

mod acks;
mod age;
pub(crate) mod backup;
pub(crate) mod bench;
mod block;
pub(crate) mod completions;
mod confirm;
mod connection;
pub(crate) mod consumer;
pub(crate) mod dlq;
pub(crate) mod kv;
mod kv_watch;
mod message;
mod next;
mod pace;
mod payload;
mod printer;
mod program;
pub(crate) mod publish;
mod redrive;
mod remote;
mod replay;
pub(crate) mod request;
pub(crate) mod respond;
mod sampler;
mod screen;
mod settings;
mod show;
mod size;
mod stored;
pub(crate) mod stream;
pub(crate) mod subscribe;
mod table;
mod template;
pub(crate) mod top;
pub(crate) mod why;
