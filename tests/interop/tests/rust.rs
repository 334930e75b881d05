//! What a user of the Rust client `async-nats` may rely on, tried against the server that
//! `MIDGE_BIN` names. One binary, so that the client is linked only once.

mod auth;
mod drain;
mod events;
mod harness;
mod headers;
mod info;
#[path = "../keys.rs"]
mod keys;
mod many;
mod no_echo;
mod order;
mod payload;
mod publish;
mod queue;
mod raw;
mod reconnect;
mod request;
mod slow_consumer;
mod streams;
mod tls;
mod unsubscribe;
