//! The broker without I/O.
//!
//! The [`Engine`] owns sessions, subscriptions, routing and the timers of
//! both. It is driven by *(now, connection, command)* and writes to an
//! [`Outbox`]; it has no socket, thread, clock or randomness of its own, so
//! a test can run a day of it in a moment and run it again from a seed.

mod account;
mod auth;
mod engine;
mod feed;
mod ids;
mod keepalive;
mod limits;
mod maintenance;
mod match_cache;
mod outbox;
mod person;
mod publish;
mod rng;
mod session;
mod sessions;
mod small_bytes;
mod stats;
mod storage;
mod streams;
mod subscribe;
mod time;
mod timers;
mod trie;

pub use auth::Auth;
pub use engine::{Engine, EngineConfig, Flow, Recovery, SubscriptionInfo};
pub use ids::{ConnId, ConsumerId, DeliverySeq, Seq, StreamId};
pub use limits::Limits;
pub use maintenance::Maintenance;
pub use outbox::{CloseReason, Delivery, Outbox, Tail};
pub use session::{Session, Traffic};
pub use stats::{EngineStats, RouterStats};
pub use storage::{Batch, BlockKey, RowKey, RowSink, Write};
pub use streams::{
    BLOCK_LEN_MAX, BLOCK_SEQS_MAX, Block, Record, StoredStreams, StreamsConfig, StreamsTuning,
    summarize,
};
pub use time::Time;
pub use timers::Timers;
