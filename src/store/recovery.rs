//! Getting out of a damaged file what is whole in it.
//!
//! Where redb looks at all pages before it opens a file, one that is damaged
//! keeps it from opening any. Here the file is shown to redb with a header that
//! says that it was closed, and read only: then nothing is looked at but what
//! is read, and what is read carries checksums of ours.

use crate::aside::look_at;
use crate::config::StoreConfig;
use crate::error::StoreError;
use crate::head::JOURNAL_AT;
use crate::layout::{
    BLOCKS, Definition, Key, ROWS, mend_row, open_row, parse_row_key, row_key, seal_row,
};
use crate::maintenance::Nothing;
use crate::medium::{Medium, NAME, RedbPart};
use crate::replay::{gather, read_round};
use crate::store::{Store, boxed, contain, parse};
use crate::tables::{Tables, read_block};
use crate::verify::next_block;
use log::warn;
use midge_engine::{Batch, RowKey, Write, summarize};
use redb::{
    BackendError, Builder, ConcurrencyMode, ReadOnlyDatabase, ReadOnlyTable, ReadableDatabase,
    ReadableTableMetadata, StorageBackend,
};
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

/// Bytes that are copied in one transaction.
pub(crate) const COPIED_AT_ONCE: usize = 4 << 20;

// redb's header, from its description of file format 3.
const PAGE_LEN: u64 = 4096;
const HEAD_LEN: usize = 32;
const FLAGS: usize = 9;
/// Which of the two commits is the last; the other flags tell how it was
/// made and how the file was left.
const IS_SECOND: u8 = 1;
const REGION_HEADER_PAGES: usize = 16;
const REGION_PAGES: usize = 20;
const FULL_REGIONS: usize = 24;
const TRAILING_PAGES: usize = 28;

/// What was got out of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Rows that were copied, those made anew among them.
    pub rows: u64,
    /// Rows that were damaged.
    pub damaged_rows: u64,
    /// Summaries that were made anew.
    pub remade_summaries: u64,
    /// Blocks that were copied.
    pub blocks: u64,
    /// Records in them that are whole.
    pub records: u64,
    /// Records in them that are not.
    pub lost_records: u64,
    /// Batches that were only in the journal.
    pub journaled: u64,
    /// All rows, blocks and batches could be found. If not, there may have
    /// been more.
    pub is_complete: bool,
}

/// Copies what is whole in a file to a new one. The file stays as it is; no
/// server may have it open, and there must be none under the other name.
///
/// The last batch before a crash may be there in part.
pub fn recover(from: &Path, to: &Path) -> Result<Recovered, StoreError> {
    let medium = open_medium(from)?;
    if to.exists() {
        return Err(StoreError::io(
            to,
            "make",
            io::ErrorKind::AlreadyExists.into(),
        ));
    }
    let recovered = recover_into(from, &medium, to);
    if recovered.is_err() {
        // There was none, and what is there now is of no use.
        let _ = std::fs::remove_file(to);
    }
    recovered
}

fn recover_into(from: &Path, medium: &Arc<Medium>, to: &Path) -> Result<Recovered, StoreError> {
    let found = match open_as_found(from, medium) {
        Ok(found) => Some(found),
        Err(error) => {
            warn!("{error}; only what is in its journal can be had");
            None
        }
    };
    let store = Store::open(&StoreConfig::new(to), &mut Nothing)?;
    let mut recovered = Recovered::default();
    let mut is_complete = false;
    if let Some(found) = &found {
        let rows = copy(found, from, &store, ROWS, &mut |key, stored| {
            let is_whole = parse_row_key(key).is_none()
                || open_row(key, stored).is_some()
                || mend_row(key, stored).is_some();
            recovered.damaged_rows += u64::from(!is_whole);
        });
        let blocks = copy(found, from, &store, BLOCKS, &mut |_, _| {});
        is_complete = is_all(rows)? & is_all(blocks)?;
        store.rewrite_rows()?;
    }
    let (journaled, is_all) = journaled(found.as_ref(), medium, from, &store)?;
    recovered.journaled = journaled;
    recovered.is_complete = is_complete && is_all;
    summaries(&store, &mut recovered)?;
    recovered.rows = contain(to, "read", || {
        let rows = store.snapshot()?.open_table(ROWS).map_err(boxed)?;
        rows.len().map_err(boxed)
    })?;
    store.close()?;
    Ok(recovered)
}

/// Whether a table was copied as a whole; what cannot be read of it is no
/// reason to do without the rest.
fn is_all(copied: Result<bool, StoreError>) -> Result<bool, StoreError> {
    match copied {
        Err(error @ StoreError::Damaged { .. }) => {
            warn!("{error}");
            Ok(false)
        }
        other => other,
    }
}

/// Brings over what is only in the journal. Says how many batches that were
/// and whether they were all.
fn journaled(
    found: Option<&ReadOnlyDatabase>,
    medium: &Medium,
    from: &Path,
    to: &Store,
) -> Result<(u64, bool), StoreError> {
    // What was brought into the tables already does no harm a second time: the
    // newest comes last.
    let round = found.map_or(Ok(0), |found| {
        contain(from, "read", || {
            read_round(&found.begin_read().map_err(boxed)?)
        })
    });
    let round = round.unwrap_or_else(|error| {
        warn!("{error}");
        0
    });
    let snapshot = contain(to.path(), "read", || to.snapshot())?;
    let replayed = match gather(from, medium, round, &snapshot) {
        Ok(replayed) => replayed,
        Err(error) => {
            warn!("{error}; what is in its journal stays there");
            return Ok((0, false));
        }
    };
    drop(snapshot);
    contain(to.path(), "write to", || {
        let transaction = to.begin_write()?;
        Tables::open(&transaction)?
            .apply(&replayed.changes, &|| ())
            .map_err(boxed)?;
        transaction.commit().map_err(boxed)
    })?;
    Ok((replayed.batches, replayed.lost == 0))
}

fn open_medium(path: &Path) -> Result<Arc<Medium>, StoreError> {
    let io_error = |error| StoreError::io(path, "open", error);
    let file = std::fs::metadata(path).map_err(io_error)?;
    let not_a_store = |why| StoreError::NotAStore {
        path: path.to_owned(),
        why,
    };
    if !file.is_file() {
        return Err(not_a_store("it is not a regular file"));
    }
    // Nothing is to be made of it.
    if file.len() <= JOURNAL_AT {
        return Err(not_a_store("there is nothing in it"));
    }
    let disk = look_at(path).map_err(io_error)?;
    Medium::open(path, disk, Arc::default(), 0)
}

fn open_as_found(path: &Path, medium: &Arc<Medium>) -> Result<ReadOnlyDatabase, StoreError> {
    // The last commit, or, if what names its pages is damaged, the one before.
    match open_commit(path, medium, false) {
        Err(StoreError::Damaged { .. }) => open_commit(path, medium, true),
        other => other,
    }
}

fn open_commit(
    path: &Path,
    medium: &Arc<Medium>,
    other: bool,
) -> Result<ReadOnlyDatabase, StoreError> {
    let part = Box::new(RedbPart(Arc::clone(medium)));
    let backend = AsFound::new(part, other).map_err(|error| StoreError::io(path, "open", error))?;
    contain(path, "open", || {
        Builder::new()
            .set_cache_size(crate::CACHE_BYTES)
            // As one that reads beside a writer, redb needs not know which
            // pages are free.
            .set_concurrency_mode(ConcurrencyMode::SingleWriter)
            .open_read_only_with_backend(backend)
            .map_err(boxed)
    })
}

/// Copies what is found in a table from its beginning, and, where that ends
/// at damage, from its end. Says whether it was all.
fn copy(
    found: &ReadOnlyDatabase,
    path: &Path,
    to: &Store,
    definition: Definition,
    look: &mut dyn FnMut(&Key, &[u8]),
) -> Result<bool, StoreError> {
    let table = contain(path, "read", || {
        let snapshot = found.begin_read().map_err(boxed)?;
        snapshot.open_table(definition).map_err(boxed)
    })?;
    let mut copied = Vec::new();
    let mut len = 0;
    let mut last: Option<Key> = None;
    for backwards in [false, true] {
        let reached = last;
        let from = reached.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let end = walk(
            &table,
            (from, Bound::Unbounded),
            backwards,
            &mut |key, stored| {
                if !backwards {
                    last = Some(*key);
                }
                look(key, &stored);
                len += stored.len();
                copied.push((*key, stored));
                if len < COPIED_AT_ONCE {
                    return Ok(());
                }
                len = 0;
                insert(to, definition, std::mem::take(&mut copied))
            },
        )?;
        insert(to, definition, std::mem::take(&mut copied))?;
        if end == End::OfTable && !backwards {
            return Ok(true);
        }
    }
    warn!(
        "{}: a part of its rows or blocks cannot be found",
        path.display()
    );
    Ok(false)
}

#[derive(PartialEq, Eq)]
enum End {
    OfTable,
    AtDamage,
}

/// What is done with each entry.
type Each<'a> = &'a mut dyn FnMut(&Key, Vec<u8>) -> Result<(), StoreError>;

fn walk(
    table: &ReadOnlyTable<&'static Key, &'static [u8]>,
    range: (Bound<&Key>, Bound<&Key>),
    backwards: bool,
    each: Each<'_>,
) -> Result<End, StoreError> {
    let begin = AssertUnwindSafe(|| table.range::<&Key>(range));
    let Ok(Ok(mut entries)) = catch_unwind(begin) else {
        return Ok(End::AtDamage);
    };
    loop {
        let next = catch_unwind(AssertUnwindSafe(|| {
            let entry = if backwards {
                entries.next_back()
            } else {
                entries.next()
            };
            // What an entry says of its length may be wrong as well.
            entry.map(|entry| entry.map(|(key, stored)| (*key.value(), stored.value().to_vec())))
        }));
        match next {
            Ok(Some(Ok((key, stored)))) => each(&key, stored)?,
            Ok(None) => return Ok(End::OfTable),
            Ok(Some(Err(_))) | Err(_) => return Ok(End::AtDamage),
        }
    }
}

pub(crate) fn insert(
    store: &Store,
    definition: Definition,
    entries: Vec<(Key, Vec<u8>)>,
) -> Result<(), StoreError> {
    contain(store.path(), "write to", || {
        let transaction = store.begin_write()?;
        let mut table = transaction.open_table(definition).map_err(boxed)?;
        for (key, stored) in entries {
            table.insert(&key, &stored[..]).map_err(boxed)?;
        }
        drop(table);
        transaction.commit().map_err(boxed)
    })
}

/// Counts the blocks that were copied, writes the summaries of those that have
/// none or lost records, and writes those anew in which a bit has flipped.
fn summaries(store: &Store, recovered: &mut Recovered) -> Result<(), StoreError> {
    let mut last = None;
    loop {
        let mut made = Vec::new();
        let mut mended = None;
        let next = contain(store.path(), "read", || {
            let snapshot = store.snapshot()?;
            let rows = snapshot.open_table(ROWS).map_err(boxed)?;
            let Some(key) = next_block(&snapshot, last)? else {
                return Ok(None);
            };
            let Some(found) = read_block(&snapshot, key)? else {
                return Ok(Some(key));
            };
            let is_mended = found.mended > 0;
            let loaded = parse(key, found);
            if is_mended {
                mended = Some(Write::PutBlock(loaded.block.clone()));
            }
            recovered.blocks += 1;
            recovered.records += loaded.block.present() as u64;
            recovered.lost_records += loaded.lost;
            let row = row_key(RowKey::Summary(key));
            let has_summary = rows.get(&row).map_err(boxed)?.is_some();
            if let Some(summary) = summarize(&loaded.block)
                && (!has_summary || loaded.lost > 0)
            {
                recovered.remade_summaries += 1;
                made.push((row, seal_row(&row, &summary)));
            }
            Ok(Some(key))
        })?;
        if !made.is_empty() {
            insert(store, ROWS, made)?;
        }
        if let Some(write) = mended {
            store.commit(&Batch {
                writes: vec![write],
            })?;
        }
        match next {
            Some(key) => last = Some(key),
            None => return Ok(()),
        }
    }
}

/// A file that says that it was closed, and that has zeros where it cannot be
/// read.
#[derive(Debug)]
struct AsFound {
    file: Box<dyn StorageBackend>,
    head: [u8; HEAD_LEN],
    len: u64,
}

impl AsFound {
    fn new(file: Box<dyn StorageBackend>, other: bool) -> io::Result<Self> {
        let mut head = [0; HEAD_LEN];
        let len = file.len()?;
        if len < PAGE_LEN {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.read(0, &mut head)?;
        let number = |at: usize| {
            u64::from(u32::from_le_bytes([
                head[at],
                head[at + 1],
                head[at + 2],
                head[at + 3],
            ]))
        };
        let before = number(REGION_HEADER_PAGES);
        let region = (before + number(REGION_PAGES)).max(1);
        let pages = len / PAGE_LEN - 1;
        let (full, rest) = (pages / region, pages % region);
        let trailing = rest.saturating_sub(before);
        // Whatever has become of its name: ours stands before it.
        head[..NAME.len()].copy_from_slice(&NAME);
        head[FLAGS] = (head[FLAGS] & IS_SECOND) ^ u8::from(other);
        head[FULL_REGIONS..TRAILING_PAGES].copy_from_slice(&(full as u32).to_le_bytes());
        head[TRAILING_PAGES..].copy_from_slice(&(trailing as u32).to_le_bytes());
        let rest = if trailing > 0 { rest } else { 0 };
        Ok(AsFound {
            file,
            head,
            len: PAGE_LEN * (1 + full * region + rest),
        })
    }

    fn refuse() -> io::Error {
        io::ErrorKind::ReadOnlyFilesystem.into()
    }
}

impl StorageBackend for AsFound {
    fn len(&self) -> io::Result<u64> {
        Ok(self.len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        // An error would be the end: redb reads nothing more after one.
        if self.file.read(offset, out).is_err() {
            out.fill(0);
        }
        let head = self.head.iter().skip(offset.min(HEAD_LEN as u64) as usize);
        for (byte, said) in out.iter_mut().zip(head) {
            *byte = *said;
        }
        Ok(())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(Self::refuse())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(Self::refuse())
    }

    fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(Self::refuse())
    }

    // The file is locked as a whole already.

    fn try_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn try_lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn unlock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn query_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(false)
    }
}
