//! A backup: what the tables hold at one moment, as a run of bytes.
//!
//! Owns the snapshot that the bytes are made from, and their form, which
//! `README.md` has to the byte. Rows and parts of blocks are passed on as they
//! lie in the tables, damaged ones too, with the checksums that they have:
//! who takes the backup looks at them (`backup_look.rs`).
//!
//! The snapshot keeps redb from using again what is given up meanwhile, so it
//! is let go of as soon as all is read, or by whoever holds the backup.

use crate::error::StoreError;
use crate::layout::{BLOCKS, Definition, Key, ROWS};
use crate::store::{Store, boxed, contain};
use crate::verify::out_of_order;
use bytes::Bytes;
use redb::ReadTransaction;
use std::ops::Bound;
use std::path::PathBuf;
use std::time::SystemTime;

/// What every backup begins with; the last byte counts the versions. In 1 no
/// block was compressed.
pub(crate) const MAGIC: [u8; 8] = *b"mdgBack2";

/// The kinds of entries.
pub(crate) const ROW: u8 = 1;
pub(crate) const PART: u8 = 2;
pub(crate) const END: u8 = 3;

/// How many rows, parts and bytes of both there were.
pub(crate) const COUNTS_LEN: usize = 24;

/// A longer value is not written and not read: a length that is damaged must
/// not make a reader wait for, and hold, the rest of the file. As long as a
/// block may be, which no part and no row comes near.
pub(crate) const VALUE_LEN_MAX: usize = crate::STORED_BLOCK_LEN_MAX;

/// A backup that is being taken.
pub struct Backup {
    path: PathBuf,
    /// None once all is read.
    snapshot: Option<ReadTransaction>,
    place: Place,
    /// Of all bytes so far that are no checksums.
    crc: u32,
    /// Made and not handed out yet: a chunk and an entry at most.
    made: Vec<u8>,
    counts: Counts,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) rows: u64,
    pub(crate) parts: u64,
    pub(crate) bytes: u64,
}

/// The last that was read.
enum Place {
    Rows(Option<Key>),
    Parts(Option<Key>),
    End,
}

impl Store {
    /// Begins a backup of what is durable now. What is only in the journal is
    /// brought into the tables before.
    pub fn backup(&self) -> Result<Backup, StoreError> {
        self.bring_in()?;
        let snapshot = contain(self.path(), "read", || self.snapshot())?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let taken = now.map_or(0, |now| now.as_nanos() as u64);
        let mut backup = Backup {
            path: self.path().to_owned(),
            snapshot: Some(snapshot),
            place: Place::Rows(None),
            crc: 0,
            made: Vec::new(),
            counts: Counts::default(),
        };
        backup.put(&[&MAGIC, &taken.to_le_bytes()]);
        Ok(backup)
    }
}

impl Backup {
    /// The next bytes: `len` of them, or fewer at the end, and none after it.
    ///
    /// # Errors
    /// As for reading a store. A backup that failed cannot be gone on with.
    pub fn next(&mut self, len: usize) -> Result<Bytes, StoreError> {
        let path = self.path.clone();
        contain(&path, "read", || self.fill(len))?;
        let rest = self.made.split_off(len.min(self.made.len()));
        Ok(std::mem::replace(&mut self.made, rest).into())
    }

    fn fill(&mut self, len: usize) -> Result<(), Box<redb::Error>> {
        while self.made.len() < len
            && let Some(snapshot) = self.snapshot.take()
        {
            self.place = match self.place {
                Place::Rows(last) => match self.entries(&snapshot, ROWS, ROW, last, len)? {
                    Some(last) => Place::Rows(Some(last)),
                    None => Place::Parts(None),
                },
                Place::Parts(last) => match self.entries(&snapshot, BLOCKS, PART, last, len)? {
                    Some(last) => Place::Parts(Some(last)),
                    None => Place::End,
                },
                Place::End => {
                    self.end();
                    return Ok(());
                }
            };
            self.snapshot = Some(snapshot);
        }
        Ok(())
    }

    /// Puts what a table holds behind `last`, until there is enough. Gives
    /// the last key that was put, or nothing at the table's end.
    fn entries(
        &mut self,
        snapshot: &ReadTransaction,
        table: Definition,
        kind: u8,
        last: Option<Key>,
        enough: usize,
    ) -> Result<Option<Key>, Box<redb::Error>> {
        let table = snapshot.open_table(table).map_err(boxed)?;
        let from = last.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut before = last;
        for entry in table
            .range::<&Key>((from, Bound::Unbounded))
            .map_err(boxed)?
        {
            let (key, value) = entry.map_err(boxed)?;
            let (key, value) = (*key.value(), value.value());
            // On a damaged page a walk might never end.
            if before.is_some_and(|before| key <= before) || value.len() > VALUE_LEN_MAX {
                return Err(out_of_order());
            }
            self.counts.bytes += value.len() as u64;
            match kind {
                ROW => self.counts.rows += 1,
                _ => self.counts.parts += 1,
            }
            self.put(&[&[kind], &key, &(value.len() as u32).to_le_bytes(), value]);
            before = Some(key);
            if self.made.len() >= enough {
                return Ok(before);
            }
        }
        Ok(None)
    }

    fn end(&mut self) {
        let Counts { rows, parts, bytes } = self.counts;
        let [rows, parts, bytes] = [rows, parts, bytes].map(u64::to_le_bytes);
        let len = (COUNTS_LEN as u32).to_le_bytes();
        self.put(&[&[END], &len, &rows, &parts, &bytes]);
    }

    /// Puts bytes and the checksum of all up to here.
    fn put(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.crc = crc32c::crc32c_append(self.crc, part);
            self.made.extend_from_slice(part);
        }
        self.made.extend_from_slice(&self.crc.to_le_bytes());
    }
}

impl std::fmt::Debug for Backup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backup")
            .field("path", &self.path)
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}
