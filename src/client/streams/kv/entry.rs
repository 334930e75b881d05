//! What a bucket knows of a key at one revision.

use crate::HeaderBlock;
use crate::streams::{StoredMessage, StreamMessage};
use midge_proto::Timestamp;
use midge_proto::headers::name;

/// The header of what is no value.
pub(super) const OPERATION: &str = "KV-Operation";
pub(super) const DELETE: &str = "DEL";
pub(super) const PURGE: &str = "PURGE";

/// What was done to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// It was set.
    Put,
    /// It was deleted; its history is kept. Values that became too old leave
    /// this too where a server notes that.
    Delete,
    /// It was deleted with its history.
    Purge,
}

/// A key as it was set, or deleted, once.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Its value; empty where it was deleted.
    pub value: Vec<u8>,
    /// The number of this change: the sequence in the bucket's stream. It
    /// counts the changes of all keys.
    pub revision: u64,
    /// When that was.
    pub created: Timestamp,
    /// What was done.
    pub operation: Operation,
    /// How many changes there are after this one of those that were asked for,
    /// as far as was known when it was sent. Zero for a key by itself.
    pub delta: u64,
}

impl Entry {
    pub(super) fn from_stored(key: &str, message: StoredMessage) -> Entry {
        Entry {
            key: key.to_owned(),
            revision: message.seq,
            created: message.time,
            operation: operation(message.headers()),
            delta: 0,
            value: message.payload,
        }
    }

    pub(super) fn from_delivered(key: &str, message: &StreamMessage) -> Entry {
        let told = message.metadata();
        Entry {
            key: key.to_owned(),
            value: message.payload().to_vec(),
            revision: told.stream_seq,
            created: told.time,
            operation: operation(message.headers()),
            delta: told.pending,
        }
    }

    /// Whether this is a value, and not the mark of a deleted key.
    pub fn is_value(&self) -> bool {
        self.operation == Operation::Put
    }
}

fn operation(headers: HeaderBlock<'_>) -> Operation {
    let said = headers.get(OPERATION.as_bytes());
    if said == Some(DELETE.as_bytes()) {
        return Operation::Delete;
    }
    if said == Some(PURGE.as_bytes()) {
        return Operation::Purge;
    }
    // What a server leaves itself.
    match headers.get(name::MARKER_REASON) {
        None => Operation::Put,
        Some(b"Purge") => Operation::Purge,
        Some(_) => Operation::Delete,
    }
}
