//! A look at everything that is stored.
//!
//! Rows and blocks are walked in the order of their keys, a slice at a time.
//! Each slice has a snapshot of its own, so that a server can look while it
//! writes: what is compared with each other is read from the same one.

use crate::error::StoreError;
use crate::layout::{
    BLOCKS, Found, Key, ROWS, SUMMARY, open_row, parse_part_key, parse_row_key, part_key,
    parts_of_stream, row_key, row_key_of,
};
use crate::store::{Store, boxed, contain};
use crate::tables::read_block;
use midge_engine::{Block, BlockKey, RowKey, Seq, StreamId, summarize};
use redb::{ReadTransaction, ReadableTableMetadata};
use std::fmt;
use std::ops::Bound;

/// Damage that is listed; the rest is only counted.
pub const DAMAGE_LISTED_MAX: usize = 1000;

/// Blocks looked at in one slice: some 10 ms from a slow card, which is how
/// much longer a reader may wait.
const BLOCKS_A_SLICE: usize = 8;
/// Rows looked at in one slice.
const ROWS_A_SLICE: usize = 512;

/// What a look at everything found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Rows that were looked at.
    pub rows: u64,
    /// Blocks that were looked at.
    pub blocks: u64,
    /// Records that are whole.
    pub records: u64,
    /// Bytes of the blocks.
    pub bytes: u64,
    /// How many things are damaged.
    pub damaged: u64,
    /// The first [`DAMAGE_LISTED_MAX`] of them.
    pub damage: Vec<Damage>,
    /// Whether the pages of the file are sound, if that was looked at: it
    /// takes a file that no server has open.
    pub pages_are_sound: Option<bool>,
    /// Why the look ended early, if it did.
    pub stopped_by: Option<String>,
}

impl VerifyReport {
    /// Everything was looked at and is as it was written.
    pub fn is_sound(&self) -> bool {
        self.damaged == 0 && self.pages_are_sound != Some(false) && self.stopped_by.is_none()
    }

    /// Looks at a row; gives its key, if that means something.
    pub(crate) fn row(&mut self, bytes: &Key, stored: &[u8]) -> Option<RowKey> {
        self.rows += 1;
        let Some(key) = parse_row_key(bytes) else {
            let stream = StreamId(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
            self.add(stream, (Seq(0), Seq(0)), DamageKind::UnknownRow);
            return None;
        };
        let sequences = match key {
            RowKey::Deletes(block) | RowKey::Summary(block) => (block.first, block.first),
            _ => (Seq(0), Seq(0)),
        };
        if open_row(bytes, stored).is_none() {
            self.add(key.stream(), sequences, DamageKind::Row(key));
        }
        Some(key)
    }

    /// Looks at a block; gives it, and says whether nothing of it is damaged.
    pub(crate) fn block(&mut self, key: BlockKey, found: Found) -> (Block, bool) {
        let (is_whole, mended) = (found.is_whole, found.mended);
        let block = &Block::parse(key, found.bytes);
        self.blocks += 1;
        self.bytes += block.bytes().len() as u64;
        let present = block.present();
        self.records += present as u64;
        let stream = block.key().stream;
        let lost = block
            .written()
            .map(|written| written.saturating_sub(present) as u64);
        let sequences = missing(block, lost.unwrap_or(0));
        if mended > 0 {
            let sequences = (block.key().first, block.last());
            self.add(stream, sequences, DamageKind::FlippedBits(mended));
        }
        if !is_whole {
            self.add(stream, sequences, DamageKind::MissingBytes);
        }
        match lost {
            None => self.add(stream, sequences, DamageKind::Header),
            Some(0) => {}
            Some(count) => self.add(stream, sequences, DamageKind::Records(count)),
        }
        let is_complete = is_whole && lost == Some(0);
        (block.clone(), is_complete)
    }

    fn add(&mut self, stream: StreamId, sequences: (Seq, Seq), kind: DamageKind) {
        self.damaged += 1;
        if self.damage.len() < DAMAGE_LISTED_MAX {
            self.damage.push(Damage {
                stream,
                first: sequences.0,
                last: sequences.1,
                kind,
            });
        }
    }
}

/// Something that is not as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// The stream that it belongs to.
    pub stream: StreamId,
    /// The first sequence that may be affected; 0 if it is not about some.
    pub first: Seq,
    /// The last.
    pub last: Seq,
    /// What it is.
    pub kind: DamageKind,
}

/// What is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DamageKind {
    /// A row's checksum is wrong.
    Row(RowKey),
    /// A row's key means nothing.
    UnknownRow,
    /// A block's header is damaged, and with it the number of its records.
    Header,
    /// Bytes of a block are missing.
    MissingBytes,
    /// So many bits of a compressed block have flipped. They are put right
    /// when it is read.
    FlippedBits(u32),
    /// So many records of a block are not what was written.
    Records(u64),
    /// A summary says something else than its block.
    SummaryDiffers,
    /// A block has no summary.
    SummaryMissing,
    /// A summary has no block.
    BlockMissing,
}

impl fmt::Display for DamageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DamageKind::Row(RowKey::Stream(_)) => f.write_str("the row of the stream is damaged"),
            DamageKind::Row(RowKey::Consumer(_, id)) => {
                write!(f, "the row of consumer {} is damaged", id.0)
            }
            DamageKind::Row(RowKey::Cursor(_, id)) => {
                write!(f, "the position of consumer {} is damaged", id.0)
            }
            DamageKind::Row(RowKey::Deletes(_)) => f.write_str("a list of deletes is damaged"),
            DamageKind::Row(RowKey::Summary(_)) => f.write_str("a summary is damaged"),
            DamageKind::UnknownRow => f.write_str("a row has a key that means nothing"),
            DamageKind::Header => f.write_str("the header of a block is damaged"),
            DamageKind::MissingBytes => f.write_str("a part of a block is missing"),
            DamageKind::FlippedBits(_) => {
                f.write_str("a bit of a block has flipped, which is put right when it is read")
            }
            DamageKind::Records(1) => f.write_str("a record is damaged"),
            DamageKind::Records(count) => write!(f, "{count} records are damaged"),
            DamageKind::SummaryDiffers => {
                f.write_str("a summary says something else than its block")
            }
            DamageKind::SummaryMissing => f.write_str("a block has no summary"),
            DamageKind::BlockMissing => f.write_str("a summary has no block"),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream {}", self.stream.0)?;
        if self.first == self.last && self.first != Seq(0) {
            write!(f, ", sequence {}", self.first)?;
        } else if self.last != Seq(0) {
            write!(f, ", sequences {} to {}", self.first, self.last)?;
        }
        write!(f, ": {}", self.kind)
    }
}

/// How far a look has come.
#[derive(Debug, Clone, Default)]
pub(crate) struct Walk {
    pub(crate) report: VerifyReport,
    place: Place,
    /// Rows and parts of blocks that were looked at.
    done: u64,
    /// The last stream that had a summary, and whether it has a block.
    has_blocks: Option<(StreamId, bool)>,
}

#[derive(Debug, Clone, Copy, Default)]
enum Place {
    #[default]
    Start,
    Rows(Key),
    /// Rows are done, and so are the blocks up to this.
    Blocks(Option<BlockKey>),
    End,
}

impl Store {
    /// Looks at everything at once.
    pub fn verify(&self) -> Result<VerifyReport, StoreError> {
        self.verify_telling(&mut |_| {})
    }

    /// The same, telling how much of [`Store::stored`] is done.
    pub(crate) fn verify_telling(
        &self,
        told: &mut dyn FnMut(u64),
    ) -> Result<VerifyReport, StoreError> {
        let mut walk = Walk::default();
        while !self.verify_slice(&mut walk)? {
            told(walk.done);
        }
        Ok(walk.report)
    }

    /// How many rows and parts of blocks the tables hold.
    pub(crate) fn stored(&self) -> Result<u64, StoreError> {
        self.bring_in()?;
        contain(self.path(), "read", || {
            let snapshot = self.snapshot()?;
            let rows = snapshot.open_table(ROWS).map_err(boxed)?.len();
            let parts = snapshot.open_table(BLOCKS).map_err(boxed)?.len();
            Ok(rows.map_err(boxed)? + parts.map_err(boxed)?)
        })
    }

    /// Looks at a little more. True when that was the last.
    pub(crate) fn verify_slice(&self, walk: &mut Walk) -> Result<bool, StoreError> {
        if matches!(walk.place, Place::Start) {
            // What is looked at is what the tables hold.
            self.bring_in()?;
        }
        contain(self.path(), "verify", || {
            let snapshot = self.snapshot()?;
            match walk.place {
                Place::Start => walk.rows(&snapshot, Bound::Unbounded),
                Place::Rows(last) => walk.rows(&snapshot, Bound::Excluded(last)),
                Place::Blocks(last) => walk.blocks(&snapshot, last),
                Place::End => Ok(()),
            }
        })?;
        Ok(matches!(walk.place, Place::End))
    }
}

impl Walk {
    fn rows(
        &mut self,
        snapshot: &ReadTransaction,
        from: Bound<Key>,
    ) -> Result<(), Box<redb::Error>> {
        let rows = snapshot.open_table(ROWS).map_err(boxed)?;
        let range = (from.as_ref(), Bound::Unbounded);
        let mut seen = 0;
        for entry in rows.range::<&Key>(range).map_err(boxed)? {
            let (stored_under, stored) = entry.map_err(boxed)?;
            let bytes = *stored_under.value();
            if matches!(&from, Bound::Excluded(last) if bytes <= *last) {
                return Err(out_of_order());
            }
            self.row(snapshot, &bytes, stored.value())?;
            seen += 1;
            if seen == ROWS_A_SLICE {
                self.place = Place::Rows(bytes);
                return Ok(());
            }
        }
        self.place = Place::Blocks(None);
        Ok(())
    }

    fn row(
        &mut self,
        snapshot: &ReadTransaction,
        bytes: &Key,
        stored: &[u8],
    ) -> Result<(), Box<redb::Error>> {
        self.done += 1;
        // Summaries are compared where the blocks are walked; here are those
        // of streams that have none.
        if let Some(RowKey::Summary(block)) = self.report.row(bytes, stored)
            && !self.has_blocks(snapshot, block.stream)?
        {
            let sequences = (block.first, block.first);
            self.report
                .add(block.stream, sequences, DamageKind::BlockMissing);
        }
        Ok(())
    }

    fn has_blocks(
        &mut self,
        snapshot: &ReadTransaction,
        stream: StreamId,
    ) -> Result<bool, Box<redb::Error>> {
        if let Some((known, has)) = self.has_blocks
            && known == stream
        {
            return Ok(has);
        }
        let blocks = snapshot.open_table(BLOCKS).map_err(boxed)?;
        let (first, last) = parts_of_stream(stream);
        let mut range = blocks.range::<&Key>(&first..=&last).map_err(boxed)?;
        let has = range.next().transpose().map_err(boxed)?.is_some();
        self.has_blocks = Some((stream, has));
        Ok(has)
    }

    fn blocks(
        &mut self,
        snapshot: &ReadTransaction,
        mut last: Option<BlockKey>,
    ) -> Result<(), Box<redb::Error>> {
        for _ in 0..BLOCKS_A_SLICE {
            let next = next_block(snapshot, last)?;
            self.orphans(snapshot, last, next)?;
            let Some(key) = next else {
                self.place = Place::End;
                return Ok(());
            };
            self.block(snapshot, key)?;
            last = Some(key);
        }
        self.place = Place::Blocks(last);
        Ok(())
    }

    /// Reports the summaries between two blocks.
    fn orphans(
        &mut self,
        snapshot: &ReadTransaction,
        before: Option<BlockKey>,
        next: Option<BlockKey>,
    ) -> Result<(), Box<redb::Error>> {
        // Behind the last block of the stream before, and in front of the
        // first of the next one.
        let same = before.is_some() && before.map(|key| key.stream) == next.map(|key| key.stream);
        if let Some(before) = before {
            let end = next.filter(|_| same).map(|key| key.first);
            self.orphans_of(snapshot, before.stream, Bound::Excluded(before.first), end)?;
        }
        if let Some(next) = next
            && !same
        {
            self.orphans_of(snapshot, next.stream, Bound::Unbounded, Some(next.first))?;
        }
        Ok(())
    }

    fn orphans_of(
        &mut self,
        snapshot: &ReadTransaction,
        stream: StreamId,
        from: Bound<Seq>,
        end: Option<Seq>,
    ) -> Result<(), Box<redb::Error>> {
        let rows = snapshot.open_table(ROWS).map_err(boxed)?;
        let from = match from {
            Bound::Excluded(Seq(seq)) => Bound::Excluded(row_key_of(stream, SUMMARY, seq)),
            _ => Bound::Included(row_key_of(stream, SUMMARY, 0)),
        };
        let to = match end {
            Some(Seq(seq)) => Bound::Excluded(row_key_of(stream, SUMMARY, seq)),
            None => Bound::Included(row_key_of(stream, SUMMARY, u64::MAX)),
        };
        // Two blocks side by side leave nothing between them.
        if let (Bound::Excluded(from), Bound::Excluded(to)) = (&from, &to)
            && from >= to
        {
            return Ok(());
        }
        let range = (from.as_ref(), to.as_ref());
        for entry in rows.range::<&Key>(range).map_err(boxed)? {
            let (stored_under, _) = entry.map_err(boxed)?;
            if let Some(RowKey::Summary(key)) = parse_row_key(stored_under.value()) {
                self.report
                    .add(stream, (key.first, key.first), DamageKind::BlockMissing);
            }
        }
        Ok(())
    }

    fn block(&mut self, snapshot: &ReadTransaction, key: BlockKey) -> Result<(), Box<redb::Error>> {
        let Some(found) = read_block(snapshot, key)? else {
            return Ok(());
        };
        self.done += found.parts as u64;
        let (block, is_complete) = self.report.block(key, found);
        self.summary(snapshot, &block, is_complete)
    }

    fn summary(
        &mut self,
        snapshot: &ReadTransaction,
        block: &Block,
        is_complete: bool,
    ) -> Result<(), Box<redb::Error>> {
        let key = block.key();
        let bytes = row_key(RowKey::Summary(key));
        let rows = snapshot.open_table(ROWS).map_err(boxed)?;
        let sequences = (key.first, block.last().max(key.first));
        let Some(stored) = rows.get(&bytes).map_err(boxed)? else {
            self.report
                .add(key.stream, sequences, DamageKind::SummaryMissing);
            return Ok(());
        };
        // What was lost from a block its summary still knows, and a summary
        // that is damaged has been reported as a row.
        if let Some(value) = open_row(&bytes, stored.value())
            && is_complete
            && summarize(block).as_deref() != Some(value)
        {
            self.report
                .add(key.stream, sequences, DamageKind::SummaryDiffers);
        }
        Ok(())
    }
}

/// What is damaged in a block, if something is.
pub fn damage_in(block: &Block) -> Option<Damage> {
    let present = block.present();
    let written = block.written();
    let lost = written.map(|written| written.saturating_sub(present) as u64);
    let kind = match lost {
        None => DamageKind::Header,
        Some(0) => return None,
        Some(count) => DamageKind::Records(count),
    };
    let (first, last) = missing(block, lost.unwrap_or(0));
    Some(Damage {
        stream: block.key().stream,
        first,
        last,
        kind,
    })
}

/// From the first sequence of a block that is not there to the last: the
/// damage is among them, beside such as were never written. What may have
/// been behind the last that is there counts if the others are too few.
fn missing(block: &Block, lost: u64) -> (Seq, Seq) {
    let (first, last) = (block.key().first, block.last());
    let absent = |seq: &u64| block.get(Seq(*seq)).is_none();
    let inside = || (first.0..=last.0).filter(absent);
    let behind = last.next().max(first);
    if (inside().count() as u64) < lost {
        return (inside().next().map_or(behind, Seq), behind);
    }
    let lowest = inside().next().map_or(first, Seq);
    let highest = inside().next_back().map_or(last.max(first), Seq);
    (lowest, highest)
}

/// The first block behind this one.
pub(crate) fn next_block(
    snapshot: &ReadTransaction,
    last: Option<BlockKey>,
) -> Result<Option<BlockKey>, Box<redb::Error>> {
    let blocks = snapshot.open_table(BLOCKS).map_err(boxed)?;
    let from = last.map(|key| part_key(key, u16::MAX));
    let from = from.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
    let range = (from, Bound::Unbounded);
    let mut range = blocks.range::<&Key>(range).map_err(boxed)?;
    let next = range.next().transpose().map_err(boxed)?;
    let next = next.map(|(stored_under, _)| parse_part_key(stored_under.value()).0);
    // Or a walk from one to the next might never end.
    if last.is_some() && next.is_some() && next <= last {
        return Err(out_of_order());
    }
    Ok(next)
}

/// A damaged page may hold keys that belong elsewhere.
pub(crate) fn out_of_order() -> Box<redb::Error> {
    Box::new(redb::Error::Corrupted("its keys are out of order".into()))
}
