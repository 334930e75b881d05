//! How rows and blocks lie in the file, to the byte. `README.md` has the same
//! as tables.
//!
//! All tables are of one type: what redb does with one is compiled for each
//! type anew, and is a tenth of the program. Keys are of one length and in the
//! order of their bytes, so that redb needs no offsets for them and a stream is
//! a range. A row carries a checksum that covers its key; a block's records
//! carry their own, which do as well. How a block is compressed is `packed.rs`'s.

use crate::mend::flipped_bit;
use crate::packed::{self, PACKED_LEN_MAX};
use bytes::Bytes;
use midge_engine::{BLOCK_LEN_MAX, BlockKey, ConsumerId, RowKey, Seq, StreamId};
use redb::TableDefinition;
use std::ops::Range;

/// The version of what this file describes. In 1 no block was compressed; in 2
/// no round of the journal began before the one before was in the tables.
pub(crate) const FORMAT: u64 = 3;

/// The longest of them is that of a part: stream, first sequence, part.
pub(crate) const KEY_LEN: usize = 14;

/// A key of any table.
pub(crate) type Key = [u8; KEY_LEN];

/// Any table, by its name.
pub(crate) type Definition = TableDefinition<'static, &'static Key, &'static [u8]>;

pub(crate) const META: Definition = TableDefinition::new("meta");
pub(crate) const ROWS: Definition = TableDefinition::new("rows");
/// What becomes the rows when they are written anew.
pub(crate) const NEW_ROWS: Definition = TableDefinition::new("rows being written");
pub(crate) const BLOCKS: Definition = TableDefinition::new("blocks");

/// The row of the meta table that holds [`FORMAT`].
pub(crate) const FORMAT_ROW: Key = *b"format\0\0\0\0\0\0\0\0";

/// The row that holds the round of the journal whose records come on top of
/// what the tables hold.
pub(crate) const ROUND_ROW: Key = *b"round\0\0\0\0\0\0\0\0\0";

/// What stands before a part's bytes: how many parts the block has.
pub(crate) const PART_HEAD_LEN: usize = 2;

/// The bytes of a block in one part. With the two before them, the key and
/// what redb adds, that fills a page of 64 KiB and leaves some over: what
/// passes it would cost 128 KiB.
pub(crate) const PART_LEN: usize = 65_400;

/// redb gives a value pages of this length, as many as the next power of two.
const PAGE_LEN: usize = 4096;

/// What of them is not for a part's bytes.
const BESIDE_LEN: usize = 16 * PAGE_LEN - PART_LEN;

/// A block that is not longer takes a page, compressed or not.
pub(crate) const SHORT_LEN: usize = PAGE_LEN - BESIDE_LEN;

/// Beside the number of parts: the block lies there compressed. Two of these
/// bits will do, and one does not say it: so that one that flips costs nothing.
const IS_PACKED: u16 = 0b111 << 13;

const _: () = assert!(BLOCK_LEN_MAX <= PART_LEN, "an ordinary block is one part");

/// Parts of the largest block. A block holds one message at least, so this
/// bounds a message: to 65 MB, which is more than a payload may have.
pub(crate) const PARTS_MAX: usize = 1024;

/// The longest block that is stored.
pub const STORED_BLOCK_LEN_MAX: usize = PARTS_MAX * PART_LEN;

const CRC_LEN: usize = 4;

const STREAM: u8 = 0;
const CONSUMER: u8 = 1;
const CURSOR: u8 = 2;
const DELETES: u8 = 3;
pub(crate) const SUMMARY: u8 = 4;

/// The number that a row of the meta table holds, if it is one.
pub(crate) fn read_number(stored: &[u8]) -> Option<u64> {
    stored.try_into().map(u64::from_le_bytes).ok()
}

/// The bytes of a row's key: stream, kind, number, a zero.
pub(crate) fn row_key(key: RowKey) -> Key {
    let (kind, number) = match key {
        RowKey::Stream(_) => (STREAM, 0),
        RowKey::Consumer(_, ConsumerId(id)) => (CONSUMER, u64::from(id)),
        RowKey::Cursor(_, ConsumerId(id)) => (CURSOR, u64::from(id)),
        RowKey::Deletes(block) => (DELETES, block.first.0),
        RowKey::Summary(block) => (SUMMARY, block.first.0),
    };
    row_key_of(key.stream(), kind, number)
}

pub(crate) fn row_key_of(StreamId(stream): StreamId, kind: u8, number: u64) -> Key {
    let mut bytes = [0; KEY_LEN];
    bytes[..4].copy_from_slice(&stream.to_be_bytes());
    bytes[4] = kind;
    bytes[5..13].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// The key that these bytes are, if they are one.
pub(crate) fn parse_row_key(bytes: &Key) -> Option<RowKey> {
    let [a, b, c, d, kind, number @ .., 0] = *bytes else {
        return None;
    };
    let stream = StreamId(u32::from_be_bytes([a, b, c, d]));
    let number = u64::from_be_bytes(number);
    let consumer = || u32::try_from(number).ok().map(ConsumerId);
    let block = BlockKey {
        stream,
        first: Seq(number),
    };
    match kind {
        STREAM if number == 0 => Some(RowKey::Stream(stream)),
        CONSUMER => Some(RowKey::Consumer(stream, consumer()?)),
        CURSOR => Some(RowKey::Cursor(stream, consumer()?)),
        DELETES => Some(RowKey::Deletes(block)),
        SUMMARY => Some(RowKey::Summary(block)),
        _ => None,
    }
}

/// All that a row's table may hold of a stream, first and last.
pub(crate) fn rows_of(stream: StreamId) -> (Key, Key) {
    (
        row_key_of(stream, 0, 0),
        row_key_of(stream, u8::MAX, u64::MAX),
    )
}

fn row_crc(key: &Key, value: &[u8]) -> [u8; CRC_LEN] {
    crc32c::crc32c_append(crc32c::crc32c(key), value).to_le_bytes()
}

/// What is stored for a row: its value and the checksum over both.
pub(crate) fn seal_row(key: &Key, value: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(value.len() + CRC_LEN);
    stored.extend_from_slice(value);
    stored.extend_from_slice(&row_crc(key, value));
    stored
}

/// A row's value, if it is what was written under this key.
pub(crate) fn open_row<'a>(key: &Key, stored: &'a [u8]) -> Option<&'a [u8]> {
    let (value, crc) = stored.split_at_checked(stored.len().checked_sub(CRC_LEN)?)?;
    (row_crc(key, value) == crc).then_some(value)
}

/// A row that is longer is not mended: with its length the chance grows that
/// other damage passes for one bit.
const MENDED_LEN_MAX: usize = 4096;

/// A row as it was before a bit of it flipped, in its key, its value or its
/// checksum, if that is what has happened to it. That another row's damage
/// passes for it is a chance of one in a hundred thousand.
pub(crate) fn mend_row(key: &Key, stored: &[u8]) -> Option<(Key, Vec<u8>)> {
    if stored.len() > MENDED_LEN_MAX {
        return None;
    }
    let (value, crc) = stored.split_last_chunk()?;
    let difference = u32::from_le_bytes(row_crc(key, value)) ^ u32::from_le_bytes(*crc);
    let bit = flipped_bit(KEY_LEN + value.len(), difference)?;
    let (mut key, mut value) = (*key, value.to_vec());
    // Or it is in the checksum.
    if let Some(byte) = key.iter_mut().chain(&mut value).nth(bit / 8) {
        *byte ^= 1 << (bit % 8);
    }
    Some((key, value))
}

/// The key of a part of a block.
pub(crate) fn part_key(key: BlockKey, part: u16) -> Key {
    let mut bytes = [0; KEY_LEN];
    bytes[..4].copy_from_slice(&key.stream.0.to_be_bytes());
    bytes[4..12].copy_from_slice(&key.first.0.to_be_bytes());
    bytes[12..].copy_from_slice(&part.to_be_bytes());
    bytes
}

/// The block and the part that these bytes name; all bytes name one.
pub(crate) fn parse_part_key(bytes: &Key) -> (BlockKey, u16) {
    let [a, b, c, d, first @ .., high, low] = *bytes;
    let mut number = [0; 8];
    number.copy_from_slice(&first);
    let key = BlockKey {
        stream: StreamId(u32::from_be_bytes([a, b, c, d])),
        first: Seq(u64::from_be_bytes(number)),
    };
    (key, u16::from_be_bytes([high, low]))
}

/// All parts that the table may hold of a stream, first and last.
pub(crate) fn parts_of_stream(stream: StreamId) -> (Key, Key) {
    let block = |first| BlockKey { stream, first };
    (
        part_key(block(Seq(0)), 0),
        part_key(block(Seq(u64::MAX)), u16::MAX),
    )
}

/// Where the parts begin and end of a block that takes so many bytes. An empty
/// one has one.
///
/// The parts of a compressed one fill redb's pages, or the rounding would eat a
/// good part of what was won.
pub(crate) fn cut(len: usize, is_packed: bool) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    let mut is_first = true;
    std::iter::from_fn(move || {
        let rest = len - at;
        if rest == 0 && !is_first {
            return None;
        }
        is_first = false;
        let part = if is_packed { fitting(rest) } else { rest };
        let start = at;
        at += part.min(PART_LEN);
        Some(start..at)
    })
}

/// How many of the bytes that are left go into the next part: all, if they need
/// a power of two of pages.
fn fitting(rest: usize) -> usize {
    let pages = (rest + BESIDE_LEN).div_ceil(PAGE_LEN);
    if pages.is_power_of_two() {
        rest
    } else {
        pages.next_power_of_two() / 2 * PAGE_LEN - BESIDE_LEN
    }
}

/// What stands before the bytes of each part of a block.
pub(crate) fn part_head(count: usize, is_packed: bool) -> [u8; PART_HEAD_LEN] {
    let flags = if is_packed { IS_PACKED } else { 0 };
    (count as u16 | flags).to_le_bytes()
}

/// A part of a block, as it was found.
pub(crate) struct Part<'a> {
    /// How many the block has. Nothing hangs on it in a compressed one, which
    /// knows its length.
    pub(crate) count: usize,
    pub(crate) is_packed: bool,
    bytes: &'a [u8],
}

impl<'a> Part<'a> {
    pub(crate) fn read(stored: &'a [u8]) -> Option<Self> {
        let (head, bytes) = stored.split_first_chunk()?;
        let head = u16::from_le_bytes(*head);
        let count = usize::from(head & !IS_PACKED);
        let is_packed = (head & IS_PACKED).count_ones() > 1;
        (is_packed || (1..=PARTS_MAX).contains(&count)).then_some(Part {
            count,
            is_packed,
            bytes,
        })
    }
}

/// Puts the parts of a block together as they come. Bytes that are not there
/// are zeros, which no record is made of, so that the others stay in their
/// places.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    bytes: Vec<u8>,
    /// How many parts there should be, by the first that says it.
    count: Option<usize>,
    /// The block is compressed, by the same.
    is_packed: bool,
    seen: usize,
    /// Something was not as it was written.
    is_damaged: bool,
}

/// A block as it was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) bytes: Bytes,
    /// All bytes are there.
    pub(crate) is_whole: bool,
    /// Bits that had flipped and were put right.
    pub(crate) mended: u32,
    /// How many parts there are.
    pub(crate) parts: usize,
}

impl Parts {
    pub(crate) fn push(&mut self, part: u16, stored: &[u8]) {
        let Some(read) = Part::read(stored) else {
            self.is_damaged = true;
            return;
        };
        if self.count.is_none() {
            self.is_packed = read.is_packed;
        }
        let of_all = *self.count.get_or_insert(read.count);
        let part = usize::from(part);
        if self.is_packed {
            self.push_packed(part, read.bytes);
            return;
        }
        let bytes = read.bytes;
        let is_last = part + 1 == of_all;
        if read.count != of_all
            || part >= of_all
            || bytes.len() > PART_LEN
            || (!is_last && bytes.len() != PART_LEN)
        {
            self.is_damaged = true;
            if part >= of_all || bytes.len() > PART_LEN {
                return;
            }
        }
        let start = part * PART_LEN;
        if self.bytes.is_empty() && start == 0 {
            self.bytes.reserve_exact(bytes.len());
        }
        if self.bytes.len() < start {
            self.bytes.resize(start, 0);
        }
        self.bytes.truncate(start);
        self.bytes.extend_from_slice(bytes);
        self.seen += 1;
    }

    /// What lies behind a part that is missing has no place.
    fn push_packed(&mut self, part: usize, bytes: &[u8]) {
        if part == self.seen && self.bytes.len() + bytes.len() <= PACKED_LEN_MAX {
            self.bytes.extend_from_slice(bytes);
            self.seen += 1;
        }
    }

    /// The block; `None` if no part of it was there.
    pub(crate) fn finish(self) -> Option<Found> {
        if self.count.is_none() && !self.is_damaged {
            return None;
        }
        let mut found = Found {
            is_whole: !self.is_damaged && self.count == Some(self.seen),
            mended: 0,
            parts: self.seen,
            bytes: Bytes::new(),
        };
        if self.is_packed {
            let block = packed::expand(&self.bytes);
            found.is_whole = block.is_whole;
            found.mended = block.mended;
            found.bytes = block.bytes.into();
        } else {
            found.bytes = self.bytes.into();
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Vec<RowKey> {
        let mut keys = Vec::new();
        for stream in [0, 1, 255, 256, u32::MAX].map(StreamId) {
            keys.push(RowKey::Stream(stream));
            for id in [0, 1, 300, u32::MAX].map(ConsumerId) {
                keys.push(RowKey::Consumer(stream, id));
                keys.push(RowKey::Cursor(stream, id));
            }
            for first in [0, 1, 65_536, u64::MAX].map(Seq) {
                keys.push(RowKey::Deletes(BlockKey { stream, first }));
                keys.push(RowKey::Summary(BlockKey { stream, first }));
            }
        }
        keys
    }

    #[test]
    fn row_keys_come_back_and_keep_their_order_in_a_stream() {
        for key in keys() {
            assert_eq!(parse_row_key(&row_key(key)), Some(key));
            for other in keys() {
                let by_bytes = row_key(key).cmp(&row_key(other));
                assert_eq!((key.stream(), key).cmp(&(other.stream(), other)), by_bytes);
            }
        }
    }

    #[test]
    fn bytes_that_are_no_row_key_are_refused() {
        assert_eq!(parse_row_key(&row_key_of(StreamId(1), 5, 0)), None);
        assert_eq!(parse_row_key(&row_key_of(StreamId(1), STREAM, 1)), None);
        assert_eq!(
            parse_row_key(&row_key_of(StreamId(1), CURSOR, 1 << 32)),
            None
        );
    }

    #[test]
    fn a_row_is_bound_to_its_key() {
        let key = row_key(RowKey::Stream(StreamId(7)));
        let mut stored = seal_row(&key, b"value");
        assert_eq!(open_row(&key, &stored), Some(&b"value"[..]));
        let other = row_key(RowKey::Stream(StreamId(8)));
        assert_eq!(open_row(&other, &stored), None);
        stored[2] ^= 1;
        assert_eq!(open_row(&key, &stored), None);
        assert_eq!(open_row(&key, b"abc"), None);
    }

    #[test]
    fn part_keys_come_back() {
        let key = BlockKey {
            stream: StreamId(9),
            first: Seq(1 << 40),
        };
        assert_eq!(parse_part_key(&part_key(key, 513)), (key, 513));
    }

    fn stored(count: u16, bytes: &[u8]) -> Vec<u8> {
        [&count.to_le_bytes()[..], bytes].concat()
    }

    #[test]
    fn a_missing_part_is_noticed_and_its_place_kept() {
        let full = vec![7; PART_LEN];
        let mut parts = Parts::default();
        parts.push(0, &stored(3, &full));
        parts.push(2, &stored(3, b"end"));
        let found = parts.finish().expect("parts came");
        let bytes = found.bytes;
        assert!(!found.is_whole);
        assert_eq!(bytes.len(), 2 * PART_LEN + 3);
        assert!(bytes[PART_LEN..2 * PART_LEN].iter().all(|byte| *byte == 0));
        assert_eq!(&bytes[2 * PART_LEN..], b"end");
        for kept in [&[0u16][..], &[0, 1], &[1, 2], &[2]] {
            let mut parts = Parts::default();
            for part in kept {
                let bytes = if *part == 2 { &b"end"[..] } else { &full };
                parts.push(*part, &stored(3, bytes));
            }
            assert!(!parts.finish().expect("parts came").is_whole);
        }
        assert!(Parts::default().finish().is_none());
    }
}
