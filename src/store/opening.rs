//! Opening: whose file is it, which format, and what rows are in it.

use crate::error::StoreError;
use crate::layout::{BLOCKS, FORMAT, FORMAT_ROW, META, ROWS, open_row, parse_row_key};
use crate::medium::{Medium, RedbPart};
use crate::store::{Source, Store, boxed, contain, parse};
use crate::tables::read_block;
use log::{info, warn};
use midge_engine::{RowKey, RowSink, summarize};
use redb::{
    Builder, Database, DatabaseError, ReadTransaction, ReadableDatabase, ReadableTable,
    StorageError, TableHandle,
};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What was found when a store was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Opened {
    /// Rows that were handed to the sink.
    pub rows: u64,
    /// Rows whose checksum was wrong, summaries that were made anew among
    /// them.
    pub damaged_rows: u64,
    /// Summaries that were made anew from their blocks.
    pub remade_summaries: u64,
    /// Rows under keys that mean nothing.
    pub unknown_rows: u64,
    /// The file had not been closed and had to be walked.
    pub was_repaired: bool,
    /// Batches that were only in the journal and are in the file now.
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
            StoreError::NotAStore {
                path: path.to_owned(),
                why: "it does not begin like one",
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
    let found = meta.get(FORMAT_ROW).map_err(boxed)?;
    Ok(found.map_or(Format::Foreign, |found| Format::Known(found.value())))
}

/// Brings a file to the present format, in one transaction: all or nothing.
/// A step for each format that there was goes here, from the oldest on.
fn upgrade(db: &Database, _from: u64) -> Result<(), Box<redb::Error>> {
    let mut transaction = db.begin_write().map_err(boxed)?;
    transaction.set_quick_repair(true);
    transaction.open_table(ROWS).map_err(boxed)?;
    transaction.open_table(BLOCKS).map_err(boxed)?;
    let mut meta = transaction.open_table(META).map_err(boxed)?;
    meta.insert(FORMAT_ROW, FORMAT).map_err(boxed)?;
    drop(meta);
    transaction.commit().map_err(boxed)
}

/// Hands all rows to the sink. Blocks are read only where a summary is
/// damaged.
pub(crate) fn read_rows(store: &Store, sink: &mut dyn RowSink) -> Result<Opened, StoreError> {
    let mut opened = Opened::default();
    contain(store.path(), "read", || {
        read_into(&store.snapshot()?, sink, &mut opened)
    })?;
    if opened.unknown_rows > 0 {
        warn!(
            "{}: {} rows have keys that mean nothing and were left alone",
            store.path().display(),
            opened.unknown_rows
        );
    }
    Ok(opened)
}

fn read_into(
    snapshot: &ReadTransaction,
    sink: &mut dyn RowSink,
    opened: &mut Opened,
) -> Result<(), Box<redb::Error>> {
    let rows = snapshot.open_table(ROWS).map_err(boxed)?;
    for entry in rows.iter().map_err(boxed)? {
        let (stored_under, stored) = entry.map_err(boxed)?;
        let Some(key) = parse_row_key(stored_under.value()) else {
            opened.unknown_rows += 1;
            continue;
        };
        if let Some(value) = open_row(stored_under.value(), stored.value()) {
            opened.rows += 1;
            sink.row(key, value);
            continue;
        }
        opened.damaged_rows += 1;
        match remake(snapshot, key)? {
            Some(value) => {
                opened.rows += 1;
                opened.remade_summaries += 1;
                sink.row(key, &value);
            }
            None => {
                warn!("a row is damaged: {key:?}");
                sink.damaged(key);
            }
        }
    }
    Ok(())
}

/// A damaged summary made anew, if its block is there.
fn remake(snapshot: &ReadTransaction, key: RowKey) -> Result<Option<Vec<u8>>, Box<redb::Error>> {
    let RowKey::Summary(block_key) = key else {
        return Ok(None);
    };
    let Some((bytes, is_whole)) = read_block(snapshot, block_key)? else {
        return Ok(None);
    };
    let value = summarize(&parse(block_key, bytes, is_whole).block);
    if value.is_some() {
        warn!(
            "the summary of stream {}, block from sequence {} was damaged and is made anew",
            block_key.stream.0, block_key.first
        );
    }
    Ok(value)
}
