//! Reading a backup: is it whole, and is what it holds as it was written?
//!
//! Bytes come in pieces of any length, from a server or a file, and what is
//! held of them is one entry, or the parts of one block. A backup that is cut
//! short, longer than it says, or not the bytes that were written is refused
//! at the first place that shows it. Damage that was in the store when the
//! backup was made is no reason to refuse it; it is in the report.

use crate::backup::{COUNTS_LEN, Counts, END, MAGIC, PART, ROW, VALUE_LEN_MAX};
use crate::layout::{KEY_LEN, Key, Parts, open_row, parse_part_key, parse_row_key};
use crate::verify::VerifyReport;
use midge_engine::{BlockKey, RowSink};
use std::fmt;

const TIME_LEN: usize = 8;
const CRC_LEN: usize = 4;
const HEAD_LEN: usize = MAGIC.len() + TIME_LEN + CRC_LEN;

/// Why bytes are no backup that could be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupError {
    /// They begin differently.
    NotABackup,
    /// A later version has made them.
    Newer,
    /// They are not what was written; the place is that of the entry, in
    /// bytes from the beginning.
    Damaged(u64),
    /// They end before the backup does.
    CutShort(u64),
    /// They go on after its end.
    TooLong(u64),
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BackupError::NotABackup => f.write_str("it is no backup of midge"),
            BackupError::Newer => {
                f.write_str("a newer midge has made it, and is needed to read it")
            }
            BackupError::Damaged(at) => {
                write!(
                    f,
                    "it is damaged: from byte {at} on it is not what was written"
                )
            }
            BackupError::CutShort(at) => write!(f, "it is cut short: it ends at byte {at}"),
            BackupError::TooLong(at) => {
                write!(f, "it is damaged: something follows its end at byte {at}")
            }
        }
    }
}

impl std::error::Error for BackupError {}

/// A row or a part of a block, as it lay in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry<'a> {
    Row(&'a Key, &'a [u8]),
    Part(&'a Key, &'a [u8]),
}

/// How far a look at a backup has come.
#[derive(Debug, Default)]
pub struct BackupLook {
    report: VerifyReport,
    /// When it was made, in ns since 1970 UTC.
    taken: u64,
    place: Place,
    /// Bytes that came, up to what is held.
    at: u64,
    held: Vec<u8>,
    crc: u32,
    counts: Counts,
    last_row: Option<Key>,
    last_part: Option<Key>,
    /// The block whose parts come.
    block: Option<(BlockKey, Parts)>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Head,
    Entries,
    End,
}

impl BackupLook {
    /// Looks at the next bytes. Rows that are whole go to the sink, which may
    /// know more about them.
    ///
    /// # Errors
    /// [`BackupError`], as soon as it shows. Nothing comes after that.
    pub fn look(&mut self, bytes: &[u8], sink: &mut dyn RowSink) -> Result<(), BackupError> {
        self.each(bytes, &mut |entry| {
            if let Entry::Row(key, stored) = entry
                && let Some(known) = parse_row_key(key)
                && let Some(value) = open_row(key, stored)
            {
                sink.row(known, value);
            }
        })
    }

    /// The same, showing each entry.
    pub(crate) fn each(
        &mut self,
        bytes: &[u8],
        show: &mut dyn FnMut(Entry<'_>),
    ) -> Result<(), BackupError> {
        self.held.extend_from_slice(bytes);
        let held = std::mem::take(&mut self.held);
        let mut used = 0;
        while let Some(len) = self.next(&held[used..], show)? {
            used += len;
            self.at += len as u64;
        }
        self.held = held;
        self.held.drain(..used);
        Ok(())
    }

    /// Whether the end has come.
    pub fn is_over(&self) -> bool {
        self.place == Place::End
    }

    /// When the backup was made, in ns since 1970 UTC.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// What was found, now that there are no more bytes.
    ///
    /// # Errors
    /// [`BackupError::CutShort`].
    pub fn finish(mut self) -> Result<VerifyReport, BackupError> {
        let end = self.at + self.held.len() as u64;
        if !self.is_over() {
            return Err(BackupError::CutShort(end));
        }
        self.end_block();
        Ok(self.report)
    }

    /// Takes the next entry, if all of it is there; gives its length.
    fn next(
        &mut self,
        bytes: &[u8],
        show: &mut dyn FnMut(Entry<'_>),
    ) -> Result<Option<usize>, BackupError> {
        match self.place {
            Place::Head => self.head(bytes),
            Place::Entries => self.entry(bytes, show),
            Place::End if bytes.is_empty() => Ok(None),
            Place::End => Err(BackupError::TooLong(self.at)),
        }
    }

    fn head(&mut self, bytes: &[u8]) -> Result<Option<usize>, BackupError> {
        let (name, version) = MAGIC.split_at(MAGIC.len() - 1);
        let begun = bytes.len().min(name.len());
        if bytes[..begun] != name[..begun] {
            return Err(BackupError::NotABackup);
        }
        let Some((head, crc)) = bytes
            .get(..HEAD_LEN)
            .and_then(|head| head.split_last_chunk())
        else {
            return Ok(None);
        };
        self.check(head, crc)?;
        if !(b'1'..=version[0]).contains(&head[name.len()]) {
            return Err(BackupError::Newer);
        }
        self.taken = number(&head[MAGIC.len()..]);
        self.place = Place::Entries;
        Ok(Some(HEAD_LEN))
    }

    fn entry(
        &mut self,
        bytes: &[u8],
        show: &mut dyn FnMut(Entry<'_>),
    ) -> Result<Option<usize>, BackupError> {
        let Some(kind) = bytes.first() else {
            return Ok(None);
        };
        let key_len = match *kind {
            ROW | PART => KEY_LEN,
            END => 0,
            _ => return Err(BackupError::Damaged(self.at)),
        };
        let begin = 1 + key_len + size_of::<u32>();
        let Some((_, len)) = bytes.get(..begin).and_then(|head| head.split_last_chunk()) else {
            return Ok(None);
        };
        let len = u32::from_le_bytes(*len) as usize;
        if len > VALUE_LEN_MAX {
            return Err(BackupError::Damaged(self.at));
        }
        let end = begin + len + CRC_LEN;
        let Some((entry, crc)) = bytes.get(..end).and_then(|entry| entry.split_last_chunk()) else {
            return Ok(None);
        };
        self.check(entry, crc)?;
        let (key, value) = (&entry[1..1 + key_len], &entry[begin..]);
        let is_right = match key.try_into() {
            Ok(key) if *kind == ROW => self.row(key, value, show),
            Ok(key) => self.part(key, value, show),
            Err(_) => self.end(value),
        };
        is_right
            .then_some(Some(end))
            .ok_or(BackupError::Damaged(self.at))
    }

    fn check(&mut self, bytes: &[u8], crc: &[u8; CRC_LEN]) -> Result<(), BackupError> {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        if self.crc.to_le_bytes() == *crc {
            Ok(())
        } else {
            Err(BackupError::Damaged(self.at))
        }
    }

    /// False where it cannot be: rows come in their order, before the blocks.
    fn row(&mut self, key: &Key, stored: &[u8], show: &mut dyn FnMut(Entry<'_>)) -> bool {
        if self.last_row.is_some_and(|last| *key <= last) || self.last_part.is_some() {
            return false;
        }
        self.last_row = Some(*key);
        self.counts.rows += 1;
        self.counts.bytes += stored.len() as u64;
        self.report.row(key, stored);
        show(Entry::Row(key, stored));
        true
    }

    /// False where it cannot be: parts come in their order.
    fn part(&mut self, key: &Key, stored: &[u8], show: &mut dyn FnMut(Entry<'_>)) -> bool {
        if self.last_part.is_some_and(|last| *key <= last) {
            return false;
        }
        self.last_part = Some(*key);
        self.counts.parts += 1;
        self.counts.bytes += stored.len() as u64;
        let (block, part) = parse_part_key(key);
        if self.block.as_ref().is_some_and(|(of, _)| *of != block) {
            self.end_block();
        }
        let (_, parts) = self.block.get_or_insert_with(|| (block, Parts::default()));
        parts.push(part, stored);
        show(Entry::Part(key, stored));
        true
    }

    /// Looks at a block whose parts are all there.
    fn end_block(&mut self) {
        if let Some((key, parts)) = self.block.take()
            && let Some(found) = parts.finish()
        {
            self.report.block(key, found);
        }
    }

    /// False if something else was counted than what came.
    fn end(&mut self, counts: &[u8]) -> bool {
        let Counts { rows, parts, bytes } = self.counts;
        let came = [rows, parts, bytes].map(u64::to_le_bytes);
        self.place = Place::End;
        counts.len() == COUNTS_LEN && counts == came.as_flattened()
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes
        .first_chunk()
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
