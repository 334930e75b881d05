//! The broker without I/O.
//!
//! The [`Engine`] owns sessions, subscriptions, routing and the timers of
//! both. It is driven by *(now, connection, command)* and writes to an
//! [`Outbox`]; it has no socket, thread, clock or randomness of its own, so
//! a test can run a day of it in a moment and run it again from a seed.
//!
//! Streams are the feature `streams`, on by default. Without it a stand-in
//! takes their place and the seams lead nowhere.

#![forbid(unsafe_code)]
// The seams that lead nowhere.
#![cfg_attr(not(feature = "streams"), allow(dead_code))]

mod account;
mod accounts;
mod auth;
#[cfg(feature = "streams")]
mod backup;
mod engine;
mod entry;
#[cfg(feature = "streams")]
mod feed;
mod ids;
mod imports;
mod keepalive;
mod limits;
#[cfg(feature = "streams")]
mod maintenance;
mod mapping;
mod match_cache;
mod membership;
mod message_trace;
mod news;
mod nkey;
mod order;
mod outbox;
mod permissions;
mod person;
mod publish;
mod questions;
mod recent;
mod reload;
mod replies;
mod rng;
mod room;
mod secret;
mod secure;
mod session;
mod sessions;
mod shrink;
mod small_bytes;
mod stats;
#[cfg(feature = "streams")]
mod storage;
#[cfg(feature = "streams")]
mod streams;
#[cfg(not(feature = "streams"))]
#[path = "no_streams.rs"]
mod streams;
mod subscribe;
mod throttle;
mod time;
mod timers;
mod trace_headers;
mod trie;
mod ways_back;
mod words;

pub use account::SubscriptionInfo;
pub use accounts::{ACCOUNTS_MAX, AccountConfig, Accounts, ClientLimits};
pub use auth::{Auth, User};
pub use engine::{Engine, EngineConfig, Flow, Recovery};
pub use entry::Challenge;
pub use ids::{AccountId, ConnId, ConsumerId, DeliverySeq, Seq, StreamId};
pub use imports::{Answers, Import, ImportKind};
pub use limits::Limits;
#[cfg(feature = "streams")]
pub use maintenance::Maintenance;
pub use mapping::Mapping;
pub use news::News;
pub use nkey::PublicKey;
pub use order::in_order;
pub use outbox::{CloseReason, Delivery, Outbox, Tail};
pub use permissions::{Permissions, Responses, Rule, Rules};
pub use questions::Question;
pub use reload::Reloaded;
pub use room::Room;
pub use secret::{Password, Proof, Secret};
pub use session::{Session, Traffic};
pub use stats::{AccountStats, EngineStats, RouterStats, StreamsTotals};
#[cfg(feature = "streams")]
pub use storage::{Batch, BlockKey, RowKey, RowSink, Write};
#[cfg(feature = "streams")]
pub use streams::{
    BLOCK_LEN_MAX, BLOCK_SEQS_MAX, Block, ConsumerView, REOPEN_LEN, Record, StoredStreams,
    StreamView, StreamsConfig, StreamsTuning, StreamsView, Zone, Zones, is_to_be_compressed,
    summarize,
};
pub use time::Time;
pub use timers::Timers;
