//! The NATS text protocol, as bytes in and bytes out.
//!
//! This crate owns the grammar: how a client's bytes become a [`Command`],
//! how the server's lines are written, what a valid subject is, and what
//! INFO says. [`headers`] reads and writes header blocks. It has no sockets, no
//! state between calls and no opinion about what a command does; that is the
//! engine's business. What is said in JSON beyond INFO is the crate `midge-api`'s.

#![forbid(unsafe_code)]

pub mod encode;
pub mod headers;
mod info;
mod json_writer;
mod parse;
mod parse_publish;
mod subject;
mod timestamp;
mod wire_error;

pub use info::{API_LEVEL, NATS_VERSION, ServerInfo, TlsOffer};
pub use json_writer::{JsonWriter, escape, from_base64};
pub use parse::{
    Command, Fault, HeaderSize, Needed, ParseError, ParseLimits, Parsed, Publish, Verb, parse,
};
pub use parse_publish::parse_publish;
pub use subject::{
    Tokens, begins_with, count_tokens, first_word, has_blank, is_literal, is_subset,
    is_valid_filter, matches, subjects_collide, tokens,
};
pub use timestamp::{Nanos, Timestamp, civil_from_days, days_from_civil};
pub use wire_error::WireError;
