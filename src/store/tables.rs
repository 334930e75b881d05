//! Writes to the tables, and reading a block from them.

use crate::changes::Changes;
use crate::layout::{
    BLOCKS, Found, Key, PART_HEAD_LEN, Part, Parts, ROWS, SHORT_LEN, cut, parse_part_key,
    part_head, part_key, parts_of_stream, row_key, rows_of, seal_row,
};
use crate::packed::{self, PACKED_LEN_MAX};
use crate::store::boxed;
use bytes::Bytes;
use midge_engine::{BlockKey, RowKey, StreamId, is_to_be_compressed, summarize};
use redb::{ReadTransaction, StorageError, Table, TableError, WriteTransaction};

type Stored<'a> = Table<'a, &'static Key, &'static [u8]>;

/// Both tables, for one transaction.
pub(crate) struct Tables<'a> {
    rows: Stored<'a>,
    blocks: Stored<'a>,
}

impl<'a> Tables<'a> {
    pub(crate) fn open(transaction: &'a WriteTransaction) -> Result<Self, Box<redb::Error>> {
        Ok(Tables {
            rows: transaction.open_table(ROWS).map_err(boxed)?,
            blocks: transaction.open_table(BLOCKS).map_err(boxed)?,
        })
    }

    pub(crate) fn apply(
        &mut self,
        changes: &Changes,
        pause: &dyn Fn(),
    ) -> Result<(), StorageError> {
        for stream in changes.removed() {
            self.remove_stream(stream)?;
        }
        for (key, block) in changes.blocks() {
            match block {
                Some(block) => put_block(&mut self.blocks, key, block.bytes())?,
                None => remove_block(&mut self.blocks, key)?,
            }
            let summary = block.and_then(|block| summarize(&block.block(key)));
            self.row(RowKey::Summary(key), summary.as_deref())?;
            pause();
        }
        for (key, value) in changes.rows() {
            self.row(key, value)?;
        }
        Ok(())
    }

    fn row(&mut self, key: RowKey, value: Option<&[u8]>) -> Result<(), StorageError> {
        let key = row_key(key);
        match value {
            Some(value) => self.rows.insert(&key, &seal_row(&key, value)[..])?,
            None => self.rows.remove(&key)?,
        };
        Ok(())
    }

    fn remove_stream(&mut self, stream: StreamId) -> Result<(), StorageError> {
        let (first, last) = rows_of(stream);
        self.rows
            .retain_in::<&Key, _>(&first..=&last, |_, _| false)?;
        let (first, last) = parts_of_stream(stream);
        self.blocks
            .retain_in::<&Key, _>(&first..=&last, |_, _| false)
    }
}

/// A block is compressed here and nowhere else, once it leaves the journal:
/// nobody waits for it but who waits for the checkpoint.
fn put_block(blocks: &mut Stored<'_>, key: BlockKey, bytes: &Bytes) -> Result<(), StorageError> {
    let is_packed =
        is_to_be_compressed(bytes) && bytes.len() > SHORT_LEN && bytes.len() <= PACKED_LEN_MAX;
    match is_packed.then(|| packed::pack(bytes)).flatten() {
        Some(packed) => put_parts(blocks, key, &packed, true),
        None => put_parts(blocks, key, bytes, false),
    }
}

fn put_parts(
    blocks: &mut Stored<'_>,
    key: BlockKey,
    bytes: &[u8],
    is_packed: bool,
) -> Result<(), StorageError> {
    let count = cut(bytes.len(), is_packed).count();
    let mut had = 0;
    for (part, range) in cut(bytes.len(), is_packed).enumerate() {
        let mut stored = Vec::with_capacity(PART_HEAD_LEN + range.len());
        stored.extend_from_slice(&part_head(count, is_packed));
        stored.extend_from_slice(&bytes[range]);
        let before = blocks.insert(&part_key(key, part as u16), &stored[..])?;
        if part == 0 {
            had = before.map_or(0, |before| parts_said(before.value()));
        }
    }
    if had > count {
        remove_parts(blocks, key, count)?;
    }
    Ok(())
}

/// How many parts a block may have by what its first part says: all, if that
/// is damaged or the block compressed.
fn parts_said(stored: &[u8]) -> usize {
    match Part::read(stored) {
        Some(part) if !part.is_packed => part.count,
        _ => usize::MAX,
    }
}

fn remove_block(blocks: &mut Stored<'_>, key: BlockKey) -> Result<(), StorageError> {
    let had = match blocks.remove(&part_key(key, 0))? {
        Some(before) => parts_said(before.value()),
        // Its first part may have been lost.
        None => usize::MAX,
    };
    if had > 1 {
        remove_parts(blocks, key, 1)?;
    }
    Ok(())
}

fn remove_parts(blocks: &mut Stored<'_>, key: BlockKey, from: usize) -> Result<(), StorageError> {
    let (first, last) = (part_key(key, from as u16), part_key(key, u16::MAX));
    blocks.retain_in::<&Key, _>(&first..=&last, |_, _| false)
}

/// A block as it lies in the tables.
pub(crate) fn read_block(
    snapshot: &ReadTransaction,
    key: BlockKey,
) -> Result<Option<Found>, Box<redb::Error>> {
    let blocks = match snapshot.open_table(BLOCKS) {
        Ok(blocks) => blocks,
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(boxed(error)),
    };
    let mut found = Parts::default();
    let (first, last) = (part_key(key, 0), part_key(key, u16::MAX));
    for entry in blocks.range::<&Key>(&first..=&last).map_err(boxed)? {
        let (stored_under, stored) = entry.map_err(boxed)?;
        let (_, part) = parse_part_key(stored_under.value());
        found.push(part, stored.value());
    }
    Ok(found.finish())
}
