//! Blocks: runs of messages as they lie on the disk and in memory.
//!
//! A block is a header and records, one behind the other. It is written once
//! and read as it is: what is delivered are slices of it. Each record has a
//! checksum of its own, so that damage costs the record it hits and no other;
//! the checksum also covers the block's key, so that a block in the wrong
//! place holds no valid record. Which records have been deleted since is
//! kept elsewhere.
//!
//! All numbers are little-endian.
//!
//! | header | bytes | |
//! |---|---|---|
//! | 0 | 4 | `mdgB` |
//! | 4 | 4 | stream |
//! | 8 | 8 | first sequence, as in the key |
//! | 16 | 4 | number of records; its highest bit says that the store is to compress the block |
//! | 20 | 4 | CRC-32C of the 20 bytes before |
//!
//! | record | bytes | |
//! |---|---|---|
//! | 0 | 4 | CRC-32C of stream, first sequence and everything from byte 4 on |
//! | 4 | 4 | payload length, header block included |
//! | 8 | 4 | sequence, counted from the block's first; its highest bit says that there is a time at which something is due |
//! | 12 | 2 | subject length |
//! | 14 | 2 | header block length |
//! | 16 | 8 | time stored, in ns since 1970 UTC |
//! | 24 | 8 | if something is due: when, in ns since 1970 UTC |
//! | 24 or 32 | | subject, header block, body |

use crate::ids::Seq;
use crate::storage::BlockKey;
use bytes::Bytes;
use midge_api::Timestamp;
use std::sync::Arc;

const MAGIC: [u8; 4] = *b"mdgB";
pub(crate) const HEADER_LEN: usize = 24;
pub(crate) const RECORD_HEADER_LEN: usize = 24;

/// A block is closed before it grows past this. redb rounds a value up to a
/// power of two, so that a little under one wastes the least.
pub const BLOCK_LEN_MAX: usize = 65_000;

/// Sequences in one block, deleted ones included: bounds the tables that are
/// kept for it.
pub const BLOCK_SEQS_MAX: u64 = 4096;

/// How many times its own length a damaged block is searched for the records
/// behind the damage, before the rest counts as lost: a payload made of false
/// records must not keep the reader busy.
const SEARCH_FACTOR: usize = 64;

/// Beside the number of records: the store is to compress the block.
const IS_COMPRESSED: u32 = 1 << 31;

/// A guess at how long a record is, to have about as much room for their
/// places as will be needed.
const USUAL_RECORD_LEN: usize = 128;

/// No record for this sequence.
const ABSENT: u32 = u32::MAX;

/// Beside a record's place: it says when something is due.
const HAS_DUE: u32 = 1 << 31;

/// What that takes.
const DUE_LEN: usize = 8;

/// One stored message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its place in the stream.
    pub seq: Seq,
    /// When it was stored.
    pub time: Timestamp,
    /// What it was published to.
    pub subject: &'a [u8],
    /// The header block, empty if there is none, and the body.
    pub payload: &'a [u8],
    /// How much of the payload is the header block.
    pub header_len: usize,
    /// When something is to be done about it that its headers ask for, which
    /// may be never.
    pub due: Option<Timestamp>,
}

impl<'a> Record<'a> {
    /// The header block; empty if there is none.
    pub fn header(&self) -> &'a [u8] {
        &self.payload[..self.header_len]
    }

    /// The payload without the header block.
    pub fn body(&self) -> &'a [u8] {
        &self.payload[self.header_len..]
    }

    /// The bytes that a record of this message takes in a block.
    pub fn stored_len(&self) -> usize {
        let due_len = if self.due.is_some() { DUE_LEN } else { 0 };
        RECORD_HEADER_LEN + due_len + self.subject.len() + self.payload.len()
    }
}

/// A block that is being filled.
#[derive(Debug)]
pub(crate) struct OpenBlock {
    key: BlockKey,
    seed: u32,
    is_compressed: bool,
    bytes: Vec<u8>,
    offsets: Vec<u32>,
    records: u32,
    origin: Arc<()>,
}

impl OpenBlock {
    /// With room for `len` bytes, if it is likely that so many will come.
    pub(crate) fn new(key: BlockKey, len: usize, is_compressed: bool) -> Self {
        let mut bytes = Vec::with_capacity(len);
        write_header(&mut bytes, key);
        OpenBlock {
            key,
            seed: seed(key),
            is_compressed,
            bytes,
            offsets: Vec::with_capacity(len / USUAL_RECORD_LEN),
            records: 0,
            origin: Arc::default(),
        }
    }

    /// Goes on with a block that was closed, at the price of a copy. It is
    /// likely that `len` bytes more will come.
    pub(crate) fn reopen(block: &Block, len: usize, is_compressed: bool) -> Self {
        let mut bytes = Vec::with_capacity((block.bytes.len() + len).min(BLOCK_LEN_MAX));
        bytes.extend_from_slice(&block.bytes);
        let mut offsets = Vec::with_capacity(block.offsets.len() + len / USUAL_RECORD_LEN);
        offsets.extend_from_slice(&block.offsets);
        OpenBlock {
            key: block.key,
            seed: seed(block.key),
            is_compressed,
            bytes,
            offsets,
            records: block.present() as u32,
            origin: Arc::clone(&block.origin),
        }
    }

    /// Whether a message may be put behind the others.
    pub(crate) fn has_room(&self, record: &Record<'_>, len_max: usize) -> bool {
        self.records == 0
            || (self.bytes.len() + record.stored_len() <= len_max
                && record.seq.0 - self.key.first.0 < BLOCK_SEQS_MAX)
    }

    /// Puts a message behind the others. Its sequence must be higher than
    /// theirs.
    pub(crate) fn append(&mut self, record: &Record<'_>) {
        let place = record.seq.0 - self.key.first.0;
        debug_assert!(place >= self.offsets.len() as u64, "sequences grow");
        self.offsets.resize(place as usize, ABSENT);
        self.offsets.push(self.bytes.len() as u32);
        self.records += 1;
        let start = self.bytes.len();
        self.bytes.reserve(record.stored_len());
        let mut head = [0; RECORD_HEADER_LEN];
        head[4..8].copy_from_slice(&(record.payload.len() as u32).to_le_bytes());
        let flag = if record.due.is_some() { HAS_DUE } else { 0 };
        head[8..12].copy_from_slice(&(place as u32 | flag).to_le_bytes());
        head[12..14].copy_from_slice(&(record.subject.len() as u16).to_le_bytes());
        head[14..16].copy_from_slice(&(record.header_len as u16).to_le_bytes());
        head[16..24].copy_from_slice(&record.time.0.to_le_bytes());
        self.bytes.extend_from_slice(&head);
        if let Some(due) = record.due {
            self.bytes.extend_from_slice(&due.0.to_le_bytes());
        }
        self.bytes.extend_from_slice(record.subject);
        self.bytes.extend_from_slice(record.payload);
        let crc = crc32c::crc32c_append(self.seed, &self.bytes[start + 4..]);
        self.bytes[start..start + 4].copy_from_slice(&crc.to_le_bytes());
    }

    pub(crate) fn get(&self, seq: Seq) -> Option<Record<'_>> {
        record_at(&self.bytes, &self.offsets, self.key.first, seq)
    }

    /// Closes the block.
    pub(crate) fn close(mut self) -> Block {
        seal_header(&mut self.bytes, self.records, self.is_compressed);
        // What is kept should not hold twice the memory that it needs.
        if self.bytes.capacity() > self.bytes.len() / 2 * 3 {
            self.bytes.shrink_to_fit();
        }
        Block {
            key: self.key,
            bytes: self.bytes.into(),
            offsets: self.offsets.into(),
            origin: self.origin,
        }
    }
}

/// A block that is complete. Clones share its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    key: BlockKey,
    bytes: Bytes,
    /// Where each record starts, by its sequence counted from the first.
    offsets: Arc<[u32]>,
    /// Shared by those that have grown from one another, and by no others.
    origin: Arc<()>,
}

impl Block {
    /// Reads a block. What is damaged in it is left out: records that are not
    /// what was written are absent, their neighbours are there.
    pub fn parse(key: BlockKey, bytes: Bytes) -> Block {
        let mut offsets = Vec::new();
        let seed = seed(key);
        let mut at = HEADER_LEN;
        // What looks like a record and is none costs a checksum.
        let mut search = bytes.len().saturating_mul(SEARCH_FACTOR);
        while at + RECORD_HEADER_LEN <= bytes.len() {
            match check_record(&bytes[at..], seed, &mut search) {
                Some((place, len)) => {
                    let place = place as usize;
                    // A record that lies twice would be a bug of the writer.
                    if place >= offsets.len() {
                        offsets.resize(place, ABSENT);
                        offsets.push(at as u32);
                    }
                    at += len;
                }
                // The length may be what is damaged: the next good record is
                // found by its checksum.
                None => at += 1,
            }
        }
        Block {
            key,
            bytes,
            offsets: offsets.into(),
            origin: Arc::default(),
        }
    }

    /// Its name.
    pub fn key(&self) -> BlockKey {
        self.key
    }

    /// As it is stored.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The bytes of memory that it holds on to, which its clones share.
    pub fn held(&self) -> usize {
        self.bytes.len() + size_of_val(&*self.offsets)
    }

    /// Whether it is an earlier one with something behind it, but for its
    /// header, as far as that is known without comparing them.
    pub fn continues(&self, earlier: &Block) -> bool {
        Arc::ptr_eq(&self.origin, &earlier.origin)
            && (HEADER_LEN..=self.bytes.len()).contains(&earlier.bytes.len())
    }

    /// A record, if it is there and whole.
    pub fn get(&self, seq: Seq) -> Option<Record<'_>> {
        record_at(&self.bytes, &self.offsets, self.key.first, seq)
    }

    /// The highest sequence that a record is there for.
    pub fn last(&self) -> Seq {
        Seq((self.key.first.0 + self.offsets.len() as u64).saturating_sub(1))
    }

    /// Whether there is a whole record for each sequence up to this one.
    pub(crate) fn is_whole_to(&self, last: Seq) -> bool {
        let count = last.next().0.saturating_sub(self.key.first.0);
        let offsets = usize::try_from(count).ok();
        let offsets = offsets.and_then(|count| self.offsets.get(..count));
        offsets.is_some_and(|offsets| offsets.iter().all(|at| *at != ABSENT))
    }

    /// How many records are there and whole.
    pub fn present(&self) -> usize {
        self.offsets.iter().filter(|at| **at != ABSENT).count()
    }

    /// How many records were written, if the header is whole.
    pub fn written(&self) -> Option<usize> {
        let header = self.bytes.get(..HEADER_LEN)?;
        let mut want = Vec::with_capacity(HEADER_LEN);
        write_header(&mut want, self.key);
        let (records, is_compressed) = counted(header);
        seal_header(&mut want, records, is_compressed);
        (want == header).then_some(records as usize)
    }

    /// The records that are there, in order.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let places = self.offsets.iter().zip(self.key.first.0..);
        places.filter_map(|(at, seq)| record_from(&self.bytes, *at, Seq(seq)))
    }
}

fn write_header(bytes: &mut Vec<u8>, key: BlockKey) {
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&key.stream.0.to_le_bytes());
    bytes.extend_from_slice(&key.first.0.to_le_bytes());
    bytes.extend_from_slice(&[0; 8]);
}

fn seal_header(bytes: &mut [u8], records: u32, is_compressed: bool) {
    let flag = if is_compressed { IS_COMPRESSED } else { 0 };
    bytes[16..20].copy_from_slice(&(records | flag).to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..20]);
    bytes[20..24].copy_from_slice(&crc.to_le_bytes());
}

/// How many records a header says that there are, and whether the block is to
/// be compressed.
fn counted(header: &[u8]) -> (u32, bool) {
    let said = u32::from_le_bytes([header[16], header[17], header[18], header[19]]);
    (said & !IS_COMPRESSED, said & IS_COMPRESSED != 0)
}

/// Whether the store is to compress the block of these bytes, by its header,
/// which is taken as it is.
pub fn is_to_be_compressed(block: &[u8]) -> bool {
    block.len() >= HEADER_LEN && counted(block).1
}

/// What a record's checksum starts from: the key of its block.
fn seed(key: BlockKey) -> u32 {
    let stream = crc32c::crc32c(&key.stream.0.to_le_bytes());
    crc32c::crc32c_append(stream, &key.first.0.to_le_bytes())
}

/// What stands before a record's subject.
struct Head {
    crc: u32,
    payload_len: usize,
    place: u32,
    has_due: bool,
    subject_len: usize,
    header_len: usize,
    time: i64,
}

impl Head {
    // Each message is read some times on its way, so the compiler is to see
    // that no place is outside of the bytes.
    #[inline]
    fn read(bytes: &[u8; RECORD_HEADER_LEN]) -> Self {
        let [
            c0,
            c1,
            c2,
            c3,
            p0,
            p1,
            p2,
            p3,
            n0,
            n1,
            n2,
            n3,
            s0,
            s1,
            h0,
            h1,
            time @ ..,
        ] = *bytes;
        Head {
            crc: u32::from_le_bytes([c0, c1, c2, c3]),
            payload_len: u32::from_le_bytes([p0, p1, p2, p3]) as usize,
            place: u32::from_le_bytes([n0, n1, n2, n3]) & !HAS_DUE,
            has_due: n3 & 0x80 != 0,
            subject_len: u16::from_le_bytes([s0, s1]).into(),
            header_len: u16::from_le_bytes([h0, h1]).into(),
            time: i64::from_le_bytes(time),
        }
    }
}

/// The place and length of the record that `bytes` start with, if it is whole.
fn check_record(bytes: &[u8], seed: u32, search: &mut usize) -> Option<(u32, usize)> {
    let head = Head::read(bytes.first_chunk()?);
    let due_len = if head.has_due { DUE_LEN } else { 0 };
    let len = (RECORD_HEADER_LEN + due_len + head.subject_len).checked_add(head.payload_len)?;
    if head.header_len > head.payload_len || u64::from(head.place) >= BLOCK_SEQS_MAX {
        return None;
    }
    let record = bytes.get(..len)?;
    *search = search.checked_sub(len)?;
    (crc32c::crc32c_append(seed, &record[4..]) == head.crc).then_some((head.place, len))
}

#[inline]
fn record_at<'a>(bytes: &'a [u8], offsets: &[u32], first: Seq, seq: Seq) -> Option<Record<'a>> {
    let place = usize::try_from(seq.0.checked_sub(first.0)?).ok()?;
    record_from(bytes, *offsets.get(place)?, seq)
}

#[inline]
fn record_from(bytes: &[u8], at: u32, seq: Seq) -> Option<Record<'_>> {
    if at == ABSENT {
        return None;
    }
    let (head, rest) = bytes.get(at as usize..)?.split_first_chunk()?;
    let head = Head::read(head);
    let (due, rest) = if head.has_due {
        let (due, rest) = rest.split_first_chunk()?;
        (Some(Timestamp(i64::from_le_bytes(*due))), rest)
    } else {
        (None, rest)
    };
    let (subject, rest) = rest.split_at_checked(head.subject_len)?;
    Some(Record {
        seq,
        time: Timestamp(head.time),
        subject,
        payload: rest.get(..head.payload_len)?,
        header_len: head.header_len,
        due,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::StreamId;
    use proptest::prelude::*;

    const KEY: BlockKey = BlockKey {
        stream: StreamId(3),
        first: Seq(1000),
    };

    fn filled() -> OpenBlock {
        let mut open = OpenBlock::new(KEY, 0, false);
        for step in 0..50u64 {
            let payload = vec![step as u8; step as usize * 3];
            open.append(&Record {
                seq: Seq(1000 + step * 2),
                time: Timestamp(step as i64 * 1_000_000 - 7),
                subject: format!("s.{step}").as_bytes(),
                payload: &payload,
                header_len: step as usize,
                due: (step % 3 == 0).then_some(Timestamp(step as i64)),
            });
        }
        open
    }

    #[test]
    fn records_come_back_as_they_went_in() {
        let open = filled();
        let copy: Vec<_> = (1000..1100)
            .map(|seq| open.get(Seq(seq)).map(|r| r.payload.to_vec()))
            .collect();
        let closed = open.close();
        assert_eq!(closed.written(), Some(50));
        let read = Block::parse(KEY, closed.bytes().clone());
        assert_eq!((read.present(), read.last()), (50, Seq(1098)));
        for seq in 1000..1100 {
            let record = read.get(Seq(seq));
            assert_eq!(record, closed.get(Seq(seq)));
            assert_eq!(
                record.map(|r| r.payload.to_vec()),
                copy[seq as usize - 1000]
            );
        }
        let seventh = read.get(Seq(1014)).expect("was written");
        assert_eq!(seventh.subject, b"s.7");
        assert_eq!((seventh.header().len(), seventh.body().len()), (7, 14));
        assert_eq!(seventh.time, Timestamp(6_999_993));
        assert_eq!(seventh.due, None);
        let eighth = read.get(Seq(1012)).expect("was written");
        assert_eq!(eighth.due, Some(Timestamp(6)));
        assert_eq!(read.get(Seq(999)), None);
        assert_eq!(read.get(Seq(1100)), None);
    }

    #[test]
    fn a_block_under_another_key_holds_nothing() {
        let bytes = filled().close().bytes().clone();
        for key in [
            BlockKey {
                stream: StreamId(4),
                ..KEY
            },
            BlockKey {
                first: Seq(1001),
                ..KEY
            },
        ] {
            let read = Block::parse(key, bytes.clone());
            assert_eq!((read.present(), read.written()), (0, None));
        }
    }

    #[test]
    fn a_block_can_be_gone_on_with() {
        let before = filled().close();
        let mut open = OpenBlock::reopen(&before, 100, true);
        let record = Record {
            seq: Seq(1200),
            time: Timestamp(0),
            subject: b"late",
            payload: b"x",
            header_len: 0,
            due: None,
        };
        assert!(open.has_room(&record, BLOCK_LEN_MAX));
        open.append(&record);
        let closed = open.close();
        assert!(closed.continues(&before) && !before.continues(&closed));
        assert!(!closed.continues(&filled().close()));
        assert!(is_to_be_compressed(closed.bytes()));
        assert!(!is_to_be_compressed(filled().close().bytes()));
        let read = Block::parse(KEY, closed.bytes().clone());
        assert_eq!((read.written(), read.present()), (Some(51), 51));
        assert_eq!(read.get(Seq(1200)), Some(record));
    }

    proptest! {
        /// Whatever byte is hit, one record is gone at most, and no record
        /// says anything that was not written.
        #[test]
        fn damage_costs_one_record(at in any::<prop::sample::Index>(), bit in 0..8u8) {
            let closed = filled().close();
            let mut bytes = closed.bytes().to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let read = Block::parse(KEY, bytes.into());
            prop_assert!(read.present() >= 49);
            for record in read.records() {
                prop_assert_eq!(Some(record), closed.get(record.seq));
            }
        }

        #[test]
        fn noise_is_no_block(noise in prop::collection::vec(any::<u8>(), 0..2000)) {
            prop_assert_eq!(Block::parse(KEY, noise.into()).present(), 0);
        }
    }
}
