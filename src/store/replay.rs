//! Opening: what the journal holds that redb's file does not.
//!
//! The file says which round it waits for, so that a record is taken once or
//! not at all, whatever the power did. It also says whether there may be
//! records: then a journal that is missing is an error, since what was
//! reported durable may be in it.

use crate::changes::Changes;
use crate::error::StoreError;
use crate::journal::{
    Header, Journal, JournalFile, has_traces, journal_error, journal_path, scan, whose,
};
use crate::layout::{FORMAT_ROW, ID_ROW, JOURNAL_ROW, META, ROUND_ROW};
use crate::record::{BLOCK_HEAD_LEN, Journaled, Name, Record};
use crate::store::{Source, boxed, contain};
use crate::tables::{Tables, read_block};
use bytes::{Bytes, BytesMut};
use log::{error, info, warn};
use midge_engine::BlockKey;
use redb::{Database, ReadTransaction, ReadableDatabase};
use std::path::Path;
use std::sync::Arc;

/// What redb's file says of its journal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meta {
    pub(crate) name: Name,
    /// There may be records of the round.
    pub(crate) may_hold: bool,
}

impl Meta {
    /// Reads it; a file of an older format says nothing.
    pub(crate) fn read(snapshot: &ReadTransaction) -> Result<Option<Meta>, Box<redb::Error>> {
        let meta = snapshot.open_table(META).map_err(boxed)?;
        let number = |row| -> Result<_, Box<redb::Error>> {
            Ok(meta.get(row).map_err(boxed)?.map(|found| found.value()))
        };
        if number(FORMAT_ROW)?.is_none_or(|format| format < 2) {
            return Ok(None);
        }
        Ok(Some(Meta {
            name: Name {
                file: number(ID_ROW)?.unwrap_or(0),
                round: number(ROUND_ROW)?.unwrap_or(0),
            },
            may_hold: number(JOURNAL_ROW)?.is_some_and(|may_hold| may_hold != 0),
        }))
    }
}

/// What was found in a journal.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Replayed {
    /// Batches that were brought into the file.
    pub(crate) batches: u64,
    /// Batches that were durable and are damaged or behind damage.
    pub(crate) lost: u64,
}

/// Brings what the journal holds into the file.
pub(crate) fn replay(db: &Database, source: &Source) -> Result<(Journal, Replayed), StoreError> {
    let path = &source.config.path;
    let read = contain(path, "open", || {
        Meta::read(&db.begin_read().map_err(boxed)?)
    })?;
    let Some(meta) = read else {
        return Err(StoreError::NotAStore {
            path: path.clone(),
            why: "it says nothing of its journal",
        });
    };
    if !meta.may_hold {
        return Ok((Journal::new(None, meta.name, false), Replayed::default()));
    }
    let (file, bytes) = read_journal(source, meta)?;
    let (changes, replayed) = contain(path, "read", || {
        let snapshot = db.begin_read().map_err(boxed)?;
        Ok(gather(path, &bytes, meta.name, |key| {
            Ok(read_block(&snapshot, key)?.map(|(bytes, _)| bytes))
        }))
    })??;
    let mut journal = Journal::new(Some(file), meta.name, true);
    if replayed.batches + replayed.lost > 0 {
        contain(path, "write to", || {
            let mut transaction = db.begin_write().map_err(boxed)?;
            transaction.set_quick_repair(true);
            transaction
                .open_table(META)
                .map_err(boxed)?
                .insert(ROUND_ROW, meta.name.round + 1)
                .map_err(boxed)?;
            Tables::open(&transaction)?
                .apply_changes(&changes)
                .map_err(boxed)?;
            transaction.commit().map_err(boxed)
        })?;
        journal.next_round();
    }
    Ok((journal, replayed))
}

/// The journal's file and all that is in it.
fn read_journal(source: &Source, meta: Meta) -> Result<(JournalFile, Vec<u8>), StoreError> {
    let path = &source.config.path;
    let io_error = |error| journal_error(path, "open", error);
    let missing = |why| StoreError::JournalMissing {
        path: path.clone(),
        journal: journal_path(path),
        why,
    };
    let backend = (source.journal_opener)(false)
        .map_err(io_error)?
        .ok_or_else(|| missing("is not there"))?;
    let file = JournalFile::new(backend, Arc::clone(&source.journal_meter)).map_err(io_error)?;
    let bytes = file
        .read()
        .map_err(|error| journal_error(path, "read", error))?;
    match whose(&bytes, meta.name.file) {
        Header::Ours => {}
        _ if bytes.is_empty() => return Err(missing("is empty")),
        Header::Foreign => return Err(missing("belongs to another file")),
        Header::Unreadable if has_traces(&bytes, meta.name.file) => {
            warn!("{}: its header is damaged", journal_path(path).display());
        }
        Header::Unreadable => return Err(missing("holds something else")),
    }
    Ok((file, bytes))
}

/// What the records of a round come to. `stored` gives a block as it is in
/// the tables.
pub(crate) fn gather(
    path: &Path,
    bytes: &[u8],
    name: Name,
    stored: impl Fn(BlockKey) -> Result<Option<Bytes>, Box<redb::Error>>,
) -> Result<(Changes, Replayed), StoreError> {
    let found = scan(bytes, name);
    let mut changes = Changes::default();
    let mut replayed = Replayed {
        lost: found.lost,
        ..Replayed::default()
    };
    for record in &found.records {
        let taken = take(record, &mut changes, &stored);
        let taken = taken.map_err(|error| StoreError::from_redb(path, "read", *error))?;
        if !taken {
            return Err(StoreError::Damaged {
                path: journal_path(path),
                doing: "read",
                what: "a batch in it is of a kind that this program does not know".to_owned(),
            });
        }
        replayed.batches += 1;
    }
    let journal = journal_path(path);
    if replayed.batches > 0 {
        info!("{}: {} batches", journal.display(), replayed.batches);
    }
    if replayed.lost > 0 {
        error!(
            "{}: damage; {} batches or more that were durable are lost, and the streams are as \
             they were before them",
            journal.display(),
            replayed.lost
        );
    }
    Ok((changes, replayed))
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
                changes.set_block(key, Some(Bytes::copy_from_slice(bytes)));
            }
            Journaled::GrownBlock(key, len, head, behind) => {
                let before = match changes.block(key) {
                    Some(bytes) => bytes.cloned(),
                    None => stored(key)?,
                };
                let bytes = grow(key, before.unwrap_or_default(), len, head, behind);
                changes.set_block(key, Some(bytes));
            }
            Journaled::NoBlock(key) => changes.set_block(key, None),
            Journaled::Row(key, value) => changes.set_row(key, Some(value.to_vec())),
            Journaled::NoRow(key) => changes.set_row(key, None),
            Journaled::NoStream(stream) => changes.remove_stream(stream),
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
