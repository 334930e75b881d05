//! How a batch lies in the journal, to the byte. `README.md` has the same as
//! tables.
//!
//! A record says which file and which round it is of and which batch of the
//! round it holds, and a checksum covers all of it: what is left of earlier
//! rounds, of another file, or of a write that was cut short is not taken for
//! one. A block that has grown is written as its new header and what was put
//! behind it, since the engine writes its last block again with each batch.

use crate::changes::{Changes, Kept};
use crate::durable::Paged;
use crate::layout::{KEY_LEN, Key, STORED_BLOCK_LEN_MAX, parse_row_key, row_key};
use midge_engine::{Batch, BlockKey, RowKey, Seq, StreamId, Write};

/// Checksum, length of the body, file, round, number, writes.
const HEAD_LEN: usize = 32;
/// Where records begin: so that behind damage they can be looked for.
pub(crate) const ALIGN: usize = 8;
/// The header of a block, which is all that changes of what is there when a
/// block grows.
pub(crate) const BLOCK_HEAD_LEN: usize = 24;

const BLOCK: u8 = 0;
const GROWN_BLOCK: u8 = 1;
const NO_BLOCK: u8 = 2;
const ROW: u8 = 3;
const NO_ROW: u8 = 4;
const NO_STREAM: u8 = 5;
const FOLLOWS: u8 = 6;

/// What a write takes beside its bytes, at most.
const WRITE_LEN_MAX: usize = 1 + 12 + 8 + BLOCK_HEAD_LEN;

/// Which record: of which file, of which of its rounds, and which of those,
/// from 0 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) file: u64,
    pub(crate) round: u64,
    pub(crate) number: u32,
}

/// A record begun, for writes to be put into.
pub(crate) struct Writer {
    bytes: Paged,
    writes: u32,
}

impl Writer {
    /// Put into this memory.
    pub(crate) fn new(mut bytes: Paged) -> Self {
        bytes.extend_to(HEAD_LEN);
        Writer { bytes, writes: 0 }
    }

    /// Says how many records the round before has, of which nothing may be in
    /// the tables yet. It is the first write of a round's first record.
    pub(crate) fn follows(&mut self, count: u32) {
        self.begin(FOLLOWS);
        self.bytes.extend(&count.to_le_bytes());
    }

    /// Puts changes in. `base` gives a block as a reader of the record will
    /// have it.
    pub(crate) fn put<'a>(
        &mut self,
        changes: &'a Changes,
        before: &Changes,
        base: impl Fn(BlockKey) -> Option<&'a Kept>,
    ) {
        for stream in changes.removed() {
            self.begin(NO_STREAM);
            self.bytes.extend(&stream.0.to_le_bytes());
        }
        for (key, block) in changes.blocks() {
            match block {
                None => self.block_key(NO_BLOCK, key),
                Some(block) => {
                    let base = base(key).filter(|_| !changes.is_removed(key.stream));
                    self.block(key, block, base);
                }
            }
        }
        for (key, value) in changes.rows() {
            match value {
                None => self.row_key(NO_ROW, key),
                Some(value) => {
                    if changes.is_removed(key.stream()) || !before.has_row(key, value) {
                        self.row_key(ROW, key);
                        self.long(value);
                    }
                }
            }
        }
    }

    fn begin(&mut self, kind: u8) {
        self.bytes.extend(&[kind]);
        self.writes += 1;
    }

    fn long(&mut self, bytes: &[u8]) {
        self.bytes.extend(&(bytes.len() as u32).to_le_bytes());
        self.bytes.extend(bytes);
    }

    fn block_key(&mut self, kind: u8, key: BlockKey) {
        self.begin(kind);
        self.bytes.extend(&key.stream.0.to_le_bytes());
        self.bytes.extend(&key.first.0.to_le_bytes());
    }

    fn row_key(&mut self, kind: u8, key: RowKey) {
        self.begin(kind);
        self.bytes.extend(&row_key(key));
    }

    fn block(&mut self, key: BlockKey, block: &Kept, base: Option<&Kept>) {
        let bytes = block.bytes();
        let base = base.filter(|base| continues(base, block) || has_grown(base.bytes(), bytes));
        match base.map(Kept::bytes) {
            Some(base) if base == bytes => {}
            Some(base) => {
                self.block_key(GROWN_BLOCK, key);
                self.bytes.extend(&(base.len() as u32).to_le_bytes());
                self.bytes.extend(&bytes[..BLOCK_HEAD_LEN]);
                self.long(&bytes[base.len()..]);
            }
            None => {
                self.block_key(BLOCK, key);
                self.long(bytes);
            }
        }
    }

    /// The record, complete.
    pub(crate) fn seal(mut self, name: Name) -> Paged {
        let body = (self.bytes.len() - HEAD_LEN) as u32;
        let len = self.bytes.len().next_multiple_of(ALIGN);
        self.bytes.extend_to(len);
        let bytes = self.bytes.bytes_mut();
        bytes[4..8].copy_from_slice(&body.to_le_bytes());
        bytes[8..16].copy_from_slice(&name.file.to_le_bytes());
        bytes[16..24].copy_from_slice(&name.round.to_le_bytes());
        bytes[24..28].copy_from_slice(&name.number.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.writes.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[4..]);
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
        self.bytes
    }
}

/// Whether a block is an earlier one with something behind it and the engine
/// knows that: a block need not be compared for each message that is put behind.
fn continues(from: &Kept, to: &Kept) -> bool {
    let (Kept::Block(from), Kept::Block(to)) = (from, to) else {
        return false;
    };
    let is_known = to.continues(from);
    debug_assert!(!is_known || has_grown(from.bytes(), to.bytes()));
    is_known
}

/// The same by its bytes.
fn has_grown(from: &[u8], to: &[u8]) -> bool {
    from.len() >= BLOCK_HEAD_LEN
        && to.len() >= from.len()
        && from[BLOCK_HEAD_LEN..] == to[BLOCK_HEAD_LEN..from.len()]
}

/// About what a batch's record takes, found without looking into its bytes:
/// more if a block has not grown but changed. `base` gives the length of a
/// block as it was.
pub(crate) fn len_about(batch: &Batch, base: impl Fn(BlockKey) -> usize) -> usize {
    let mut len = HEAD_LEN + ALIGN;
    for write in &batch.writes {
        len += WRITE_LEN_MAX;
        len += match write {
            Write::PutBlock(block) => block.bytes().len().saturating_sub(base(block.key())),
            Write::PutRow(_, value) => value.len(),
            Write::RemoveBlock(_) | Write::RemoveRow(_) | Write::RemoveStream(_) => 0,
        };
    }
    len
}

/// A record that is whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    pub(crate) name: Name,
    /// Where it was found.
    pub(crate) at: usize,
    /// Where the next one may begin, from the beginning of this one.
    pub(crate) len: usize,
    writes: u32,
    body: &'a [u8],
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + 8)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

impl<'a> Record<'a> {
    /// The record that these bytes begin with, if it is whole and of this
    /// file.
    pub(crate) fn read(bytes: &'a [u8], file: u64) -> Option<Self> {
        (u64_at(bytes, 8)? == file).then_some(())?;
        let body_len = u32_at(bytes, 4)? as usize;
        let len = HEAD_LEN.checked_add(body_len)?;
        let padded = len.checked_next_multiple_of(ALIGN)?;
        let whole = bytes.get(..padded)?;
        (crc32c::crc32c(&whole[4..]) == u32_at(whole, 0)?).then_some(())?;
        Some(Record {
            name: Name {
                file,
                round: u64_at(whole, 16)?,
                number: u32_at(whole, 24)?,
            },
            at: 0,
            len: padded,
            writes: u32_at(whole, 28)?,
            body: &whole[HEAD_LEN..len],
        })
    }

    /// How many records the round before has, if it says so.
    pub(crate) fn follows(&self) -> Option<u32> {
        let (kind, count) = self.body.split_first()?;
        (*kind == FOLLOWS).then(|| u32_at(count, 0))?
    }

    /// The writes in it, in their order; `None` if it holds what this program
    /// does not know.
    pub(crate) fn writes(&self) -> Option<Vec<Journaled<'a>>> {
        let mut rest = Rest(self.body);
        // A write takes 5 bytes at least.
        let most = self.body.len() / 5;
        let mut writes = Vec::with_capacity(most.min(self.writes as usize));
        for _ in 0..self.writes {
            writes.push(rest.write()?);
        }
        rest.0.is_empty().then_some(writes)
    }
}

/// A write as it was journaled.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Journaled<'a> {
    Block(BlockKey, &'a [u8]),
    /// How long it was, its new header, what was put behind it.
    GrownBlock(BlockKey, usize, &'a [u8], &'a [u8]),
    NoBlock(BlockKey),
    Row(RowKey, &'a [u8]),
    NoRow(RowKey),
    NoStream(StreamId),
    /// How many records the round before has.
    Follows(u32),
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        u32_at(self.take(4)?, 0)
    }

    fn long(&mut self) -> Option<&'a [u8]> {
        let len = self.number()?;
        self.take(len as usize)
    }

    fn block_key(&mut self) -> Option<BlockKey> {
        Some(BlockKey {
            stream: StreamId(self.number()?),
            first: Seq(u64_at(self.take(8)?, 0)?),
        })
    }

    fn row_key(&mut self) -> Option<RowKey> {
        let bytes: &Key = self.take(KEY_LEN)?.try_into().ok()?;
        parse_row_key(bytes)
    }

    fn write(&mut self) -> Option<Journaled<'a>> {
        Some(match self.take(1)?[0] {
            BLOCK => Journaled::Block(self.block_key()?, self.long()?),
            GROWN_BLOCK => {
                let key = self.block_key()?;
                let len = self.number()? as usize;
                (len <= STORED_BLOCK_LEN_MAX).then_some(())?;
                let head = self.take(BLOCK_HEAD_LEN)?;
                Journaled::GrownBlock(key, len, head, self.long()?)
            }
            NO_BLOCK => Journaled::NoBlock(self.block_key()?),
            ROW => Journaled::Row(self.row_key()?, self.long()?),
            NO_ROW => Journaled::NoRow(self.row_key()?),
            NO_STREAM => Journaled::NoStream(StreamId(self.number()?)),
            FOLLOWS => Journaled::Follows(self.number()?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use midge_engine::Block;

    const NAME: Name = Name {
        file: 77,
        round: 3,
        number: 4,
    };

    fn key() -> BlockKey {
        BlockKey {
            stream: StreamId(1),
            first: Seq(9),
        }
    }

    fn sealed() -> (Vec<u8>, Vec<u8>) {
        let old = Kept::Bytes(vec![1; 40].into());
        let mut grown = old.bytes().to_vec();
        grown[20] = 9;
        grown.extend_from_slice(b"more");
        let batch = Batch {
            writes: vec![
                Write::RemoveStream(StreamId(5)),
                Write::PutBlock(Block::parse(key(), grown.clone().into())),
                Write::PutRow(RowKey::Stream(StreamId(1)), b"new".to_vec()),
                Write::PutRow(RowKey::Stream(StreamId(2)), b"same".to_vec()),
                Write::PutRow(RowKey::Stream(StreamId(5)), b"same".to_vec()),
                Write::RemoveRow(RowKey::Deletes(key())),
            ],
        };
        let mut before = Changes::default();
        for stream in [2, 5] {
            before.set_row(RowKey::Stream(StreamId(stream)), Some(b"same".to_vec()));
        }
        let changes = Changes::of(&batch);
        let mut writer = Writer::new(Paged::new(Vec::new(), 0, 0));
        writer.put(&changes, &before, |of| (of == key()).then_some(&old));
        let record = writer.seal(NAME);
        assert!(record.len() <= len_about(&batch, |_| old.bytes().len()));
        (record.bytes().to_vec(), grown)
    }

    #[test]
    fn a_record_comes_back() {
        let (mut bytes, grown) = sealed();
        let len = bytes.len();
        bytes.extend_from_slice(b"what is behind it");
        let record = Record::read(&bytes, NAME.file).expect("whole");
        assert_eq!((record.name, record.len), (NAME, len));
        assert_eq!(
            record.writes().expect("known"),
            [
                Journaled::NoStream(StreamId(5)),
                Journaled::GrownBlock(key(), 40, &grown[..24], b"more"),
                Journaled::Row(RowKey::Stream(StreamId(1)), b"new"),
                Journaled::Row(RowKey::Stream(StreamId(5)), b"same"),
                Journaled::NoRow(RowKey::Deletes(key())),
            ]
        );
    }

    #[test]
    fn no_other_bytes_are_a_record() {
        let (bytes, _) = sealed();
        assert!(Record::read(&bytes, 1).is_none());
        for len in 0..bytes.len() {
            assert!(Record::read(&bytes[..len], NAME.file).is_none());
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Record::read(&flipped, NAME.file).is_none(), "bit {bit}");
        }
    }

    #[test]
    fn only_what_was_put_behind_counts_as_grown() {
        let old = [1; 30];
        let mut new = vec![1; 31];
        assert!(has_grown(&old, &new) && has_grown(&old, &old));
        new[3] = 7;
        assert!(has_grown(&old, &new), "the header may change");
        new[25] = 7;
        assert!(!has_grown(&old, &new));
        assert!(!has_grown(&new, &old) && !has_grown(b"short", &new));
    }
}
