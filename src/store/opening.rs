//! Opening: whose file is it, which format, and what rows are in it.

use crate::changes::Changes;
use crate::error::StoreError;
use crate::layout::{
    BLOCKS, FORMAT, FORMAT_ROW, Key, META, NEW_ROWS, ROWS, mend_row, open_row, parse_row_key,
    read_number, row_key, seal_row,
};
use crate::medium::{Medium, RedbPart};
use crate::store::{Source, Store, boxed, contain, parse};
use crate::tables::read_block;
use log::{info, warn};
use midge_engine::{RowKey, RowSink, in_order, summarize};
use redb::{
    Builder, Database, DatabaseError, ReadTransaction, ReadableDatabase, ReadableTable,
    StorageError, TableHandle,
};
use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What was found when a store was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Opened {
    /// Rows that were handed to the sink.
    pub rows: u64,
    /// Rows whose checksum was wrong, those that were put right or made anew
    /// among them.
    pub damaged_rows: u64,
    /// Summaries that were made anew from their blocks.
    pub remade_summaries: u64,
    /// Rows under keys that mean nothing.
    pub unknown_rows: u64,
    /// The file had not been closed and had to be walked.
    pub was_repaired: bool,
    /// Batches that are only in the journal.
    pub replayed: u64,
    /// Batches in the journal that had been reported durable and are damaged,
    /// as far as can be told.
    pub lost_batches: u64,
}

/// Opens the file and sees to its format.
pub(crate) fn open_database(
    source: &Source,
    medium: &Arc<Medium>,
) -> Result<(Database, bool), StoreError> {
    let path = &source.config.path;
    let was_repaired = Arc::new(AtomicBool::new(false));
    let mut builder = Builder::new();
    builder.set_cache_size(source.config.cache_bytes);
    builder.set_repair_callback({
        let was_repaired = Arc::clone(&was_repaired);
        let path = path.clone();
        move |session| {
            if !was_repaired.swap(true, Ordering::Relaxed) {
                info!("{} was not closed, checking all of it", path.display());
            }
            info!("checked {:.0} %", session.progress() * 100.0);
        }
    });
    let part = RedbPart(Arc::clone(medium));
    let created = contain(path, "open", || Ok(builder.create_with_backend(part)))?;
    let db = created.map_err(|error| opening_error(path, error))?;
    check_format(path, &db)?;
    Ok((db, was_repaired.load(Ordering::Relaxed)))
}

fn opening_error(path: &Path, error: DatabaseError) -> StoreError {
    match error {
        // What redb says of a file that does not begin with its name.
        DatabaseError::Storage(StorageError::Io(source))
            if source.kind() == io::ErrorKind::InvalidData =>
        {
            StoreError::Damaged {
                path: path.to_owned(),
                doing: "open",
                what: "its tables do not begin like redb's".to_owned(),
            }
        }
        other => StoreError::from_redb(path, "open", other.into()),
    }
}

fn check_format(path: &Path, db: &Database) -> Result<(), StoreError> {
    match contain(path, "open", || read_format(db))? {
        Format::Known(FORMAT) => Ok(()),
        Format::Known(found) if found > FORMAT => Err(StoreError::Newer {
            path: path.to_owned(),
            found,
            known: FORMAT,
        }),
        Format::Known(found) => {
            info!("{}: format {found} becomes {FORMAT}", path.display());
            contain(path, "upgrade", || upgrade(db, found))
        }
        Format::Empty => contain(path, "begin", || upgrade(db, FORMAT)),
        Format::Foreign => Err(StoreError::NotAStore {
            path: path.to_owned(),
            why: "it is another program's redb file",
        }),
    }
}

enum Format {
    Known(u64),
    /// A file without tables: new, or the power went before the first commit.
    Empty,
    Foreign,
}

fn read_format(db: &Database) -> Result<Format, Box<redb::Error>> {
    let snapshot = db.begin_read().map_err(boxed)?;
    let mut tables = snapshot.list_tables().map_err(boxed)?;
    if !tables.any(|table| table.name() == META.name()) {
        let mut tables = snapshot.list_tables().map_err(boxed)?;
        return Ok(match tables.next() {
            None => Format::Empty,
            Some(_) => Format::Foreign,
        });
    }
    let meta = snapshot.open_table(META).map_err(boxed)?;
    let found = meta.get(&FORMAT_ROW).map_err(boxed)?;
    let found = found.and_then(|found| read_number(found.value()));
    Ok(found.map_or(Format::Foreign, Format::Known))
}

/// Brings a file to the present format, in one transaction: all or nothing.
/// A step for each format that there was goes here, from the oldest on.
fn upgrade(db: &Database, _from: u64) -> Result<(), Box<redb::Error>> {
    let mut transaction = db.begin_write().map_err(boxed)?;
    transaction.set_quick_repair(true);
    transaction.open_table(ROWS).map_err(boxed)?;
    transaction.open_table(BLOCKS).map_err(boxed)?;
    let mut meta = transaction.open_table(META).map_err(boxed)?;
    let format = FORMAT.to_le_bytes();
    meta.insert(&FORMAT_ROW, &format[..]).map_err(boxed)?;
    drop(meta);
    transaction.commit().map_err(boxed)
}

/// Hands all rows to the sink: those of the tables, and on top of them what
/// is only in the journal. Blocks are read only where a summary is damaged.
pub(crate) fn read_rows(store: &Store, sink: &mut dyn RowSink) -> Result<Opened, StoreError> {
    let mut rows = Rows {
        sink,
        opened: Opened::default(),
    };
    contain(store.path(), "read", || {
        rows.read(&store.snapshot()?, &store.pending().fresh)
    })?;
    let opened = rows.opened;
    if opened.unknown_rows > 0 {
        warn!(
            "{}: {} rows have keys that mean nothing and were left alone",
            store.path().display(),
            opened.unknown_rows
        );
    }
    Ok(opened)
}

struct Rows<'a> {
    sink: &'a mut dyn RowSink,
    opened: Opened,
}

impl Rows<'_> {
    fn read(
        &mut self,
        snapshot: &ReadTransaction,
        pending: &Changes,
    ) -> Result<(), Box<redb::Error>> {
        let rows = pending
            .rows()
            .map(|(key, value)| (key, value.map(Cow::Borrowed)));
        let summaries = pending.blocks().map(|(key, block)| {
            let summary = block.and_then(|block| summarize(&block.block(key)));
            (RowKey::Summary(key), summary.map(Cow::Owned))
        });
        let journaled = rows.chain(summaries);
        let mut journaled: Vec<_> = journaled
            .map(|(key, value)| (row_key(key), key, value))
            .collect();
        let order = in_order(journaled.len(), &|a, b| journaled[a].0.cmp(&journaled[b].0));
        let take = |at: usize| {
            let (bytes, key, value) = &mut journaled[at];
            (*bytes, *key, value.take())
        };
        let mut journaled = order.into_iter().map(take).peekable();
        let rows = snapshot.open_table(ROWS).map_err(boxed)?;
        for entry in rows.iter().map_err(boxed)? {
            let (stored_under, stored) = entry.map_err(boxed)?;
            let (bytes, stored) = (stored_under.value(), stored.value());
            let Some(row) = self.check(bytes, stored) else {
                // Its key is not to be believed either.
                match parse_row_key(bytes) {
                    None => self.opened.unknown_rows += 1,
                    Some(key) if is_newer(pending, key) => self.opened.damaged_rows += 1,
                    Some(key) => self.damaged(snapshot, pending, key)?,
                }
                continue;
            };
            while let Some((_, key, value)) = journaled.next_if(|(newer, ..)| *newer < row.0) {
                self.journaled(key, value);
            }
            match parse_row_key(&row.0) {
                None => self.opened.unknown_rows += 1,
                Some(key) if is_newer(pending, key) => {}
                Some(key) => {
                    self.opened.rows += 1;
                    self.sink.row(key, &row.1);
                }
            }
        }
        for (_, key, value) in journaled {
            self.journaled(key, value);
        }
        Ok(())
    }

    /// A row as it was written, if that can be told.
    fn check<'b>(&mut self, key: &Key, stored: &'b [u8]) -> Option<(Key, Cow<'b, [u8]>)> {
        if let Some(value) = open_row(key, stored) {
            return Some((*key, Cow::Borrowed(value)));
        }
        let (key, value) = mend_row(key, stored)?;
        warn!(
            "a bit of a row had flipped and was put right: {:?}",
            parse_row_key(&key)
        );
        self.opened.damaged_rows += 1;
        Some((key, Cow::Owned(value)))
    }

    fn journaled(&mut self, key: RowKey, value: Option<Cow<'_, [u8]>>) {
        if let Some(value) = value {
            self.opened.rows += 1;
            self.sink.row(key, &value);
        }
    }

    fn damaged(
        &mut self,
        snapshot: &ReadTransaction,
        pending: &Changes,
        key: RowKey,
    ) -> Result<(), Box<redb::Error>> {
        self.opened.damaged_rows += 1;
        match remake(snapshot, pending, key)? {
            Some(value) => {
                self.opened.rows += 1;
                self.opened.remade_summaries += 1;
                self.sink.row(key, &value);
            }
            None => {
                warn!("a row is damaged: {key:?}");
                self.sink.damaged(key);
            }
        }
        Ok(())
    }
}

/// Whether the journal has something newer than the tables under a key.
fn is_newer(pending: &Changes, key: RowKey) -> bool {
    pending.is_removed(key.stream())
        || pending.has_key(key)
        || matches!(key, RowKey::Summary(block) if pending.block(block).is_some())
}

/// A damaged summary made anew, if its block is there.
fn remake(
    snapshot: &ReadTransaction,
    pending: &Changes,
    key: RowKey,
) -> Result<Option<Vec<u8>>, Box<redb::Error>> {
    let RowKey::Summary(block_key) = key else {
        return Ok(None);
    };
    let block = match pending.block(block_key) {
        Some(block) => block.map(|block| block.block(block_key)),
        None => read_block(snapshot, block_key)?.map(|found| parse(block_key, found).block),
    };
    let value = block.and_then(|block| summarize(&block));
    if value.is_some() {
        warn!(
            "the summary of stream {}, block from sequence {} was damaged and is made anew",
            block_key.stream.0, block_key.first
        );
    }
    Ok(value)
}

impl Store {
    /// Writes the rows anew, those that were put right as they are to be, and
    /// without those that are lost. One whose key has changed is in the way of
    /// finding others.
    pub fn rewrite_rows(&self) -> Result<(), StoreError> {
        self.bring_in()?;
        let _tables = self.tables();
        contain(self.path(), "write to", || {
            let mut transaction = self.begin_write()?;
            transaction.set_quick_repair(true);
            let old = transaction.open_table(ROWS).map_err(boxed)?;
            let mut new = transaction.open_table(NEW_ROWS).map_err(boxed)?;
            for entry in old.iter().map_err(boxed)? {
                let (stored_under, stored) = entry.map_err(boxed)?;
                let (key, stored) = (stored_under.value(), stored.value());
                if open_row(key, stored).is_some() || parse_row_key(key).is_none() {
                    new.insert(key, stored).map_err(boxed)?;
                } else if let Some((key, value)) = mend_row(key, stored) {
                    let stored = seal_row(&key, &value);
                    new.insert(&key, &stored[..]).map_err(boxed)?;
                }
            }
            drop((old, new));
            transaction.delete_table(ROWS).map_err(boxed)?;
            transaction.rename_table(NEW_ROWS, ROWS).map_err(boxed)?;
            transaction.commit().map_err(boxed)
        })
    }
}
