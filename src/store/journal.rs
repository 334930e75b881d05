//! The journal: a second file, in which small batches become durable.
//!
//! Making a batch durable in redb's file takes a page for each leaf that it
//! touches, those above, and a header: ten scattered writes of 4 KiB and more
//! for one small message. Here the batch is put behind the one before, which
//! is one write of a page and one sync. What the journal holds is also kept
//! in memory ([`Changes`](crate::changes::Changes)) and brought into redb's
//! file by a checkpoint, after which the journal begins a new round from its
//! start. The room is written with zeros before it is used and never given
//! back, so that a sync has no length to make durable as well.
//!
//! This file knows where records go; what is in one is `record.rs`'s, and
//! when a checkpoint is due `commit.rs`'s.

use crate::error::StoreError;
use crate::medium::Meter;
use crate::record::{ALIGN, Name, Record};
use bytes::Bytes;
use midge_engine::{Batch, BlockKey, Write};
use redb::StorageBackend;
use std::cmp::Ordering::{Equal, Greater, Less};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What the journal's file begins with.
const MAGIC: [u8; 8] = *b"mdgJrnl1";
/// Magic, file, checksum.
const HEADER_LEN: usize = 20;
/// Where the records begin: the header has its page alone, so that no write
/// of a record can harm it.
pub(crate) const START: u64 = 4096;
/// The journal grows by this much at a time: what a growing commit writes in
/// zeros takes a card a few milliseconds.
const GROW_LEN: u64 = 256 << 10;
/// A journal is read as a whole, and no longer one than this: sixteen times
/// what it may have by default.
const READ_LEN_MAX: u64 = 64 << 20;

/// A block that is longer is not remembered once it is in the tables: the
/// engine goes on with those only that are shorter than 16 000 bytes.
const TAIL_LEN_MAX: usize = 16 << 10;
/// Bytes of such blocks that are remembered. As a rule they are the engine's
/// own; a block that is not remembered is journaled as a whole once.
const TAILS_LEN_MAX: usize = 1 << 20;

/// Opens the journal: makes one if told to, else only one that is there.
pub(crate) type JournalOpener =
    Arc<dyn Fn(bool) -> io::Result<Option<Box<dyn StorageBackend>>> + Send + Sync>;

/// Where the journal of a store is.
pub(crate) fn journal_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".journal");
    name.into()
}

/// The journal's file, with everything counted.
#[derive(Debug)]
pub(crate) struct JournalFile {
    backend: Box<dyn StorageBackend>,
    meter: Arc<Meter>,
    len: u64,
}

/// What stands where a journal should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// It is this file's.
    Ours,
    /// It is another's.
    Foreign,
    /// Something else, or it is damaged.
    Unreadable,
}

impl JournalFile {
    pub(crate) fn new(backend: Box<dyn StorageBackend>, meter: Arc<Meter>) -> io::Result<Self> {
        let len = backend.len()?;
        meter.len.store(len, Ordering::Relaxed);
        Ok(JournalFile {
            backend,
            meter,
            len,
        })
    }

    /// Everything in it, up to a bound.
    pub(crate) fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.len.min(READ_LEN_MAX) as usize];
        self.backend.read(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Makes it this file's, if it is not yet.
    fn claim(&mut self, file: u64) -> io::Result<()> {
        if self.len >= START {
            let mut header = [0; HEADER_LEN];
            self.backend.read(0, &mut header)?;
            if whose(&header, file) == Header::Ours {
                return Ok(());
            }
        }
        let mut page = vec![0; START as usize];
        page[..HEADER_LEN].copy_from_slice(&header(file));
        self.write(0, &page)?;
        self.sync()
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.meter.writes.fetch_add(1, Ordering::Relaxed);
        self.meter
            .written
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.backend.write(at, bytes)?;
        self.len = self.len.max(at + bytes.len() as u64);
        self.meter.len.store(self.len, Ordering::Relaxed);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.meter.syncs.fetch_add(1, Ordering::Relaxed);
        self.backend.sync_data()
    }
}

fn header(file: u64) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[..8].copy_from_slice(&MAGIC);
    header[8..16].copy_from_slice(&file.to_le_bytes());
    let crc = crc32c::crc32c(&header[..16]);
    header[16..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// Whose journal these bytes are.
pub(crate) fn whose(bytes: &[u8], file: u64) -> Header {
    let Some(found) = bytes.get(..HEADER_LEN) else {
        return Header::Unreadable;
    };
    if found == header(file) {
        return Header::Ours;
    }
    let mut id = [0; 8];
    id.copy_from_slice(&found[8..16]);
    match header(u64::from_le_bytes(id)) == found {
        true => Header::Foreign,
        false => Header::Unreadable,
    }
}

/// The journal of a store that is open: where it has got to.
#[derive(Debug)]
pub(crate) struct Journal {
    file: Option<JournalFile>,
    name: Name,
    /// Which record of the round is next.
    number: u32,
    /// Where it goes.
    at: u64,
    /// redb's file says that there may be records.
    pub(crate) is_announced: bool,
    /// The last commit of redb's file did not write down which pages are
    /// free: after a crash the file would have to be walked.
    pub(crate) is_plain: bool,
    /// A commit failed: nothing is known until the store is opened again.
    pub(crate) is_broken: bool,
    tails: Tails,
}

impl Journal {
    pub(crate) fn new(file: Option<JournalFile>, name: Name, is_announced: bool) -> Self {
        Journal {
            file,
            name,
            number: 0,
            at: START,
            is_announced,
            is_plain: false,
            is_broken: false,
            tails: Tails::default(),
        }
    }

    pub(crate) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    pub(crate) fn name(&self) -> Name {
        self.name
    }

    pub(crate) fn has_room(&self, len: usize, limit: usize) -> bool {
        self.at + len as u64 <= limit as u64
    }

    /// Sees to a file for the records of this store.
    pub(crate) fn make(
        &mut self,
        path: &Path,
        opener: &JournalOpener,
        meter: &Arc<Meter>,
    ) -> Result<(), StoreError> {
        let made = (|| {
            let mut file = match self.file.take() {
                Some(file) => file,
                None => {
                    let backend = opener(true)?.ok_or(io::ErrorKind::NotFound)?;
                    JournalFile::new(backend, Arc::clone(meter))?
                }
            };
            file.claim(self.name.file)?;
            Ok(file)
        })();
        self.file = Some(made.map_err(|source| journal_error(path, "make", source))?);
        Ok(())
    }

    /// Makes a record durable behind the last one.
    pub(crate) fn append(
        &mut self,
        path: &Path,
        mut record: Vec<u8>,
        limit: usize,
    ) -> Result<(), StoreError> {
        let len = record.len() as u64;
        let appended = match &mut self.file {
            None => Err(io::ErrorKind::NotFound.into()),
            Some(file) => {
                let end = self.at + len;
                if end > file.len {
                    let grown = (file.len + GROW_LEN).min(limit as u64).max(end);
                    record.resize((grown - self.at) as usize, 0);
                }
                file.write(self.at, &record).and_then(|()| file.sync())
            }
        };
        appended.map_err(|source| journal_error(path, "write to", source))?;
        self.number += 1;
        self.at += len;
        Ok(())
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// All that the round holds is in redb's file, and with it that it waits
    /// for the next one.
    pub(crate) fn next_round(&mut self) {
        self.name.round += 1;
        self.number = 0;
        self.at = START;
    }

    /// A block as it is in the tables, if it is remembered.
    pub(crate) fn tail(&self, key: BlockKey) -> Option<&Bytes> {
        self.tails.blocks.get(&key)
    }

    /// Remembers the short ones of the blocks that a checkpoint has written,
    /// in place of those before.
    pub(crate) fn remember<'a>(
        &mut self,
        blocks: impl Iterator<Item = (BlockKey, &'a Bytes)>,
        batch: &Batch,
    ) {
        self.tails = Tails::default();
        for (key, bytes) in blocks {
            self.tails.put(key, bytes);
        }
        for write in &batch.writes {
            match write {
                Write::PutBlock(key, bytes) => self.tails.put(*key, bytes),
                Write::RemoveBlock(key) => self.tails.remove(*key),
                Write::RemoveStream(stream) => {
                    let tails = &mut self.tails;
                    tails.blocks.retain(|key, _| key.stream != *stream);
                    tails.len = tails.blocks.values().map(Bytes::len).sum();
                }
                Write::PutRow(..) | Write::RemoveRow(_) => {}
            }
        }
    }

    pub(crate) fn forget(&mut self) {
        self.tails = Tails::default();
    }
}

/// Blocks in the tables that the engine is likely to go on with.
#[derive(Debug, Default)]
struct Tails {
    blocks: BTreeMap<BlockKey, Bytes>,
    len: usize,
}

impl Tails {
    fn put(&mut self, key: BlockKey, bytes: &Bytes) {
        self.remove(key);
        if bytes.len() <= TAIL_LEN_MAX && self.len + bytes.len() <= TAILS_LEN_MAX {
            self.len += bytes.len();
            self.blocks.insert(key, bytes.clone());
        }
    }

    fn remove(&mut self, key: BlockKey) {
        self.len -= self.blocks.remove(&key).map_or(0, |bytes| bytes.len());
    }
}

pub(crate) fn journal_error(path: &Path, doing: &'static str, source: io::Error) -> StoreError {
    StoreError::Io {
        path: journal_path(path),
        doing,
        source,
    }
}

/// What a journal holds of a round.
#[derive(Debug, Default)]
pub(crate) struct Found<'a> {
    /// Its records, from the first on without a gap.
    pub(crate) records: Vec<Record<'a>>,
    /// Batches that were durable and are lost: a record is damaged, and later
    /// ones are there; or there are some of a later round, so that redb's
    /// file is not what it was.
    pub(crate) lost: u64,
}

/// Finds the records of a round in a journal's bytes.
pub(crate) fn scan(bytes: &[u8], name: Name) -> Found<'_> {
    let mut found = Found::default();
    let mut at = START as usize;
    while let Some(record) = bytes
        .get(at..)
        .and_then(|rest| Record::read(rest, name.file))
        && (record.round, record.number as usize) == (name.round, found.records.len())
    {
        at += record.len;
        found.records.push(record);
    }
    // A record that was cut short is the last: the one behind it is begun
    // when it is durable, and a round when the one before is in redb's file.
    let read = found.records.len() as u64;
    let mut behind = 0;
    let mut later = 0;
    while at < bytes.len() {
        if let Some(record) = Record::read(&bytes[at..], name.file) {
            let number = u64::from(record.number) + 1;
            match record.round.cmp(&name.round) {
                Less => {}
                Equal => behind = number.saturating_sub(read).max(behind),
                Greater => later += 1,
            }
        }
        at += ALIGN;
    }
    found.lost = behind + later;
    found
}

/// Whether anything in a journal's bytes was written for this file.
pub(crate) fn has_traces(bytes: &[u8], file: u64) -> bool {
    bytes
        .get(START as usize..)
        .unwrap_or(&[])
        .windows(crate::record::HEAD_LEN)
        .step_by(ALIGN)
        .any(|bytes| Record::is_of(bytes, file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::Changes;
    use crate::record::Writer;
    use midge_engine::{RowKey, StreamId};

    const NAME: Name = Name { file: 5, round: 9 };

    fn journal(records: impl IntoIterator<Item = (u64, u32, usize)>) -> Vec<u8> {
        let mut bytes = vec![0; START as usize];
        bytes[..HEADER_LEN].copy_from_slice(&header(NAME.file));
        for (round, number, len) in records {
            let mut changes = Changes::default();
            changes.set_row(RowKey::Stream(StreamId(1)), Some(vec![7; len]));
            let mut writer = Writer::new();
            writer.put(&changes, &Changes::default(), |_| None);
            bytes.extend(writer.seal(Name { round, ..NAME }, number));
        }
        bytes.extend([0; 1000]);
        bytes
    }

    fn counts(bytes: &[u8]) -> (usize, u64) {
        let found = scan(bytes, NAME);
        (found.records.len(), found.lost)
    }

    #[test]
    fn a_header_says_whose_it_is() {
        let mut bytes = journal([]);
        assert_eq!(whose(&bytes, 5), Header::Ours);
        assert_eq!(whose(&bytes, 6), Header::Foreign);
        bytes[3] ^= 1;
        assert_eq!(whose(&bytes, 5), Header::Unreadable);
        assert_eq!(whose(b"", 5), Header::Unreadable);
    }

    #[test]
    fn only_the_round_is_read_and_only_in_order() {
        assert_eq!(counts(&journal([])), (0, 0));
        assert_eq!(counts(&journal([(9, 0, 50), (9, 1, 3)])), (2, 0));
        // Left from the round before.
        assert_eq!(counts(&journal([(9, 0, 50), (8, 1, 3), (8, 2, 3)])), (1, 0));
        // redb's file is older than what was journaled.
        assert_eq!(
            counts(&journal([(10, 0, 50), (10, 1, 3), (9, 2, 3)])),
            (0, 5)
        );
        assert_eq!(counts(&journal([(9, 0, 50), (10, 1, 3)])), (1, 1));
        assert!(has_traces(&journal([(8, 0, 3)]), 5));
        assert!(!has_traces(&journal([(8, 0, 3)]), 6) && !has_traces(b"", 5));
    }

    #[test]
    fn what_is_behind_a_damaged_record_is_counted_and_not_taken() {
        let lens = [50, 3, 90, 7, 20];
        let records = || (0..5).map(|number| (9, number, lens[number as usize]));
        let whole = journal(records());
        let mut at = START as usize;
        for number in 0..5 {
            let mut damaged = whole.clone();
            damaged[at + 40] ^= 4;
            let lost = if number == 4 { 0 } else { 5 - number as u64 };
            assert_eq!(counts(&damaged), (number, lost), "record {number}");
            at += Record::read(&whole[at..], NAME.file).expect("whole").len;
        }
    }
}
