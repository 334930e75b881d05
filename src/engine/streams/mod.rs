//! Streams: messages that are kept.
//!
//! [`streams`] holds all of them and stands between them and the disk;
//! [`stream`] is one, a [`log`] of [`block`]s with rules; [`consumer`] is a
//! cursor over it. Nothing here reads, writes, waits or knows the time.

mod acks;
mod advise;
mod answers;
mod api_consumers;
mod api_dlq;
mod api_messages;
mod api_streams;
mod attempts;
mod block;
mod breaker;
mod bury;
mod clients;
mod consumer;
mod consumer_acks;
mod consumer_told;
mod deaths;
mod dedupe;
mod deletes;
mod due;
mod effects;
mod expectations;
mod filter;
mod flow_control;
mod intake;
mod internal;
mod late_acks;
mod loads;
mod log;
mod log_read;
mod log_recover;
mod log_remove;
mod lookahead;
mod overflow;
mod pace;
mod parked;
mod position;
mod presence;
mod publishers;
mod pull_request;
mod pulls;
mod recall;
mod recovery;
mod redrive;
mod removal;
mod request;
mod rows;
mod serve;
mod start;
mod stream;
#[allow(clippy::module_inception)] // The streams, all together.
mod streams;
mod subjects;
mod summary;
mod take_in;
mod tenant;
mod tuning;
mod varint;
mod view;
mod why;

pub use block::{BLOCK_LEN_MAX, BLOCK_SEQS_MAX, Block, Record};
pub(crate) use intake::Incoming;
pub(crate) use internal::Internal;
pub use recovery::StoredStreams;
pub(crate) use stream::Stream;
pub(crate) use streams::Streams;
pub use streams::StreamsConfig;
pub use summary::summarize;
pub(crate) use take_in::is_addressed;
pub(crate) use tenant::Tenant;
pub use tuning::{REOPEN_LEN, StreamsTuning};
pub use view::{ConsumerView, StreamView, StreamsView};
