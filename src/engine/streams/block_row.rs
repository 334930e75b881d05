//! What lies beside a block: what has become of its messages since it was
//! written.
//!
//! A row holds, each a number of [`varint`] unless it says otherwise: format
//! (one byte). Format 1 goes on with the deletes: all places before this are
//! gone, then a bit for each place (8 bytes for 64 of them, little-endian)
//! from the word on that holds that place. Format 2 is for blocks in which
//! something is due: when the first of it is (signed, in ns since 1970 UTC;
//! 2^63 - 1 if nothing is), messages that are due at another time than they say
//! (count, then place less the one before, and when, signed), then the deletes.

use super::deletes::Deletes;
use super::log::BlockMeta;
use super::log_due::NEVER;
use super::varint::{self, Reader};
use midge_api::Timestamp;
use std::collections::BTreeMap;

const PLAIN: u8 = 1;
const TIMED: u8 = 2;

/// A row, read.
#[derive(Debug, Default)]
pub(crate) struct BlockRow {
    pub(super) deletes: Deletes,
    pub(super) due: Option<Timestamp>,
    pub(super) put_off: BTreeMap<u64, Timestamp>,
}

impl BlockRow {
    /// For a row that was damaged: what is due in the block is to be looked
    /// for.
    pub(super) fn lost() -> Self {
        BlockRow {
            deletes: Deletes::default(),
            due: Some(Timestamp(0)),
            ..BlockRow::default()
        }
    }
}

/// The row for a block.
pub(super) fn write(meta: &BlockMeta) -> Vec<u8> {
    let mut row = Vec::new();
    if meta.due.is_none() && meta.put_off.is_none() {
        row.push(PLAIN);
    } else {
        row.push(TIMED);
        varint::put_signed(&mut row, meta.due.unwrap_or(NEVER).0);
        let put_off = meta.put_off.iter();
        varint::put(
            &mut row,
            put_off.clone().map(|put_off| put_off.len() as u64).sum(),
        );
        let mut before = 0;
        for (place, due) in put_off.flat_map(|put_off| put_off.iter()) {
            varint::put(&mut row, place - before);
            varint::put_signed(&mut row, due.0);
            before = *place;
        }
    }
    meta.deletes.write(&mut row);
    row
}

/// Reads a row. `None` if it is not what it should be.
pub(super) fn read(row: &[u8]) -> Option<BlockRow> {
    let mut reader = Reader::new(row);
    let mut beside = BlockRow::default();
    match reader.byte()? {
        PLAIN => {}
        TIMED => {
            beside.due = Some(Timestamp(reader.signed()?)).filter(|due| *due != NEVER);
            let mut place = 0u64;
            for _ in 0..reader.number()? {
                place = place.checked_add(reader.number()?)?;
                beside.put_off.insert(place, Timestamp(reader.signed()?));
            }
        }
        _ => return None,
    }
    beside.deletes = Deletes::read(&mut reader)?;
    Some(beside)
}
