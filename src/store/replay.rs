//! Opening: what the journal holds that the tables do not.
//!
//! The tables say which round they wait for, so that a record is taken once
//! or not at all, whatever the power did.

use crate::changes::{Changes, Kept};
use crate::error::StoreError;
use crate::journal::{Place, scan};
use crate::layout::{META, ROUND_ROW, read_number};
use crate::medium::Medium;
use crate::record::{BLOCK_HEAD_LEN, Journaled, Record};
use crate::store::{boxed, contain};
use crate::tables::read_block;
use bytes::{Bytes, BytesMut};
use log::{error, info, warn};
use midge_engine::BlockKey;
use redb::{Database, ReadTransaction, ReadableDatabase};
use std::path::Path;

/// What was found in a journal.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    /// What the batches in it come to.
    pub(crate) changes: Changes,
    /// Batches that are in the journal only.
    pub(crate) batches: u64,
    /// Batches that were durable and are damaged.
    pub(crate) lost: u64,
    /// Where the next one goes.
    pub(crate) next: Place,
    /// Where the first of them lies.
    pub(crate) kept_from: usize,
}

/// Finds what is in the journal and not in the tables.
///
/// It is not brought there: that takes room, and a full disk is no reason for
/// not opening a store.
pub(crate) fn replay(path: &Path, db: &Database, medium: &Medium) -> Result<Replayed, StoreError> {
    let snapshot = contain(path, "open", || db.begin_read().map_err(boxed))?;
    let round = contain(path, "open", || read_round(&snapshot))?;
    gather(path, medium, round, &snapshot)
}

/// The round whose records come on top of what the tables hold.
pub(crate) fn read_round(snapshot: &ReadTransaction) -> Result<u64, Box<redb::Error>> {
    let meta = snapshot.open_table(META).map_err(boxed)?;
    let round = meta.get(&ROUND_ROW).map_err(boxed)?;
    let round = round.and_then(|round| read_number(round.value()));
    Ok(round.unwrap_or(0))
}

/// What the records from a round on come to. The snapshot has the blocks that
/// they say have grown.
pub(crate) fn gather(
    path: &Path,
    medium: &Medium,
    round: u64,
    snapshot: &ReadTransaction,
) -> Result<Replayed, StoreError> {
    let head = medium.head();
    // What a process that was killed has written may be nowhere but in the
    // machine's memory yet: what is made of it must not be ahead of the disk.
    let read = medium.sync().and_then(|()| medium.read_journal());
    let bytes = read.map_err(|error| StoreError::io(path, "read", error))?;
    let found = scan(&bytes, head.id, round);
    let mut replayed = Replayed {
        lost: found.lost,
        next: found.next(round),
        kept_from: found.first_at(),
        ..Replayed::default()
    };
    for record in &found.records {
        let taken = contain(path, "read", || {
            take(record, &mut replayed.changes, |key| {
                Ok(read_block(snapshot, key)?.map(|found| found.bytes))
            })
        })?;
        if !taken {
            return Err(StoreError::Damaged {
                path: path.to_owned(),
                doing: "read",
                what: "a batch in its journal is of a kind that this program does not know"
                    .to_owned(),
            });
        }
        replayed.batches += 1;
    }
    if replayed.batches > 0 {
        info!(
            "{}: {} batches in the journal",
            path.display(),
            replayed.batches
        );
    }
    if replayed.lost > 0 {
        error!(
            "{}: damage in the journal; {} batches or more that were durable are lost",
            path.display(),
            replayed.lost
        );
    }
    Ok(replayed)
}

/// Does to the changes what a record says. False if it cannot be understood.
fn take(
    record: &Record<'_>,
    changes: &mut Changes,
    stored: impl Fn(BlockKey) -> Result<Option<Bytes>, Box<redb::Error>>,
) -> Result<bool, Box<redb::Error>> {
    let Some(writes) = record.writes() else {
        return Ok(false);
    };
    for write in writes {
        match write {
            Journaled::Block(key, bytes) => {
                let bytes = Bytes::copy_from_slice(bytes);
                changes.set_block(key, Some(Kept::Bytes(bytes)));
            }
            Journaled::GrownBlock(key, len, head, behind) => {
                let before = match changes.block(key) {
                    Some(block) => block.map(|block| block.bytes().clone()),
                    None => stored(key)?,
                };
                let bytes = grow(key, before.unwrap_or_default(), len, head, behind);
                changes.set_block(key, Some(Kept::Bytes(bytes)));
            }
            Journaled::NoBlock(key) => changes.set_block(key, None),
            Journaled::Row(key, value) => changes.set_row(key, Some(value.to_vec())),
            Journaled::NoRow(key) => changes.set_row(key, None),
            Journaled::NoStream(stream) => changes.remove_stream(stream),
            // Seen to where records are counted.
            Journaled::Follows(_) => {}
        }
    }
    Ok(true)
}

/// A block with its new header and what was put behind it. Where the block is
/// not what it was, zeros keep the place: no record is made of them.
fn grow(key: BlockKey, before: Bytes, len: usize, head: &[u8], behind: &[u8]) -> Bytes {
    if before.len() != len {
        warn!(
            "stream {}, block from sequence {}: {} bytes where there were {len}",
            key.stream.0,
            key.first,
            before.len()
        );
    }
    let mut bytes = BytesMut::with_capacity(len + behind.len());
    bytes.extend_from_slice(&before[..before.len().min(len)]);
    bytes.resize(len.max(BLOCK_HEAD_LEN), 0);
    bytes[..BLOCK_HEAD_LEN].copy_from_slice(head);
    bytes.extend_from_slice(behind);
    bytes.freeze()
}
