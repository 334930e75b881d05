//! Blocks and rows on a disk.
//!
//! This crate owns the file and the only threads that touch it: one that writes,
//! one that reads, and one that lives as long as a checkpoint takes. It keeps
//! what the engine hands it under the keys the engine gives, makes a
//! [`Batch`](midge_engine::Batch) durable as a whole or not at all, and
//! guards what it reads with checksums: redb does not notice a flipped bit.
//! It knows nothing of what a stream is; a summary is the one row it can
//! make anew.
//!
//! A batch is made durable in a journal at the beginning of the file, and
//! reaches redb's tables with many others; who uses the crate sees nothing of
//! that but the time it saves.
//!
//! - [`Store`] is the file: opened, read, written and closed on the caller's
//!   thread.
//! - [`StoreHandle`] is what an event loop holds: batches and wishes go in,
//!   [`Event`]s come out, nothing waits.
//! - A [`Backup`] is a copy of all that is durable at one moment, and
//!   [`restore`] makes a store of it.
//! - [`verify()`], [`compact`] and [`recover`] are for a file that no server
//!   has open.
//!
//! How the file is laid out, and what it costs to write, is in `README.md`.

#![forbid(unsafe_code)]
// See the feature in the manifest.
#![cfg(feature = "streams")]

mod aside;
mod backup;
mod backup_look;
mod changes;
mod commit;
mod config;
mod durable;
mod error;
#[cfg(feature = "test-backend")]
pub mod fault;
mod handle;
mod head;
mod journal;
mod layout;
mod long_writes;
mod maintenance;
mod medium;
mod mend;
mod opening;
mod packed;
mod partial;
mod pending;
mod reader;
mod record;
mod recovery;
mod replay;
mod restore;
mod stats;
mod store;
mod tables;
mod verify;
mod writer;

pub use backup::Backup;
pub use backup_look::{BackupError, BackupLook};
pub use commit::Commit;
pub use config::{CACHE_BYTES, IDLE_PAUSE, JOURNAL_BYTES, RETRY_FIRST, RETRY_MAX, StoreConfig};
pub use error::StoreError;
pub use handle::{BATCHES_MAX, Event, LOADS_MAX, Refused, StoreHandle, WhyRefused};
pub use layout::STORED_BLOCK_LEN_MAX;
pub use maintenance::{Compacted, Told, compact, verify, verify_into};
pub use opening::Opened;
pub use partial::Partial;
pub use recovery::{Recovered, recover};
pub use restore::{RestoreError, Restored, restore};
pub use stats::{Histogram, StoreStats};
pub use store::{Loaded, Store};
pub use verify::{DAMAGE_LISTED_MAX, Damage, DamageKind, VerifyReport, damage_in};
