//! The framing of S2, the compression that nats-server's backups are in.
//!
//! What is written is not compressed: chunks that hold bytes as they are,
//! each with its checksum, which every reader takes. What is read may be
//! compressed. A chunk is read when all of it has come, and its length and
//! what it expands to are bounded, so that nothing that is sent can take more
//! memory than that.
//!
//! | chunk | bytes | |
//! |---|---|---|
//! | 0 | 1 | kind: 0 compressed, 1 as it is, 0x80 to 0xfe nothing of interest, 0xff the beginning of a stream |
//! | 1 | 3 | length of what follows, little-endian |
//! | 4 | 4 | for kinds 0 and 1: CRC-32C of the bytes meant, rotated by 15 bits to the right, plus 0xa282ead8 |
//! | 8 | | for kind 0: how many bytes it expands to (seven bits a byte, least first), then literals and copies |

use super::varint::Reader;
use bytes::{Buf, BufMut, BytesMut};
use std::fmt;

/// What a stream begins with.
pub(super) const BEGINNING: &[u8; 10] = b"\xff\x06\x00\x00S2sTwO";

/// Bytes in a chunk that is written: the most that all readers take.
pub(super) const CHUNK_LEN: usize = 64 * 1024;

/// Bytes that a chunk may expand to: the most that writers make.
const EXPANDED_MAX: usize = 4 * 1024 * 1024;

/// Bytes of a chunk that is read. What cannot be compressed grows a little.
const STORED_MAX: usize = EXPANDED_MAX + EXPANDED_MAX / 8;

const HEAD_LEN: usize = 4;
const CHECKSUM_LEN: usize = 4;
const COMPRESSED: u8 = 0;
const PLAIN: u8 = 1;
const BEGINNING_KIND: u8 = 0xff;
const FIRST_SKIPPABLE: u8 = 0x80;

/// Why something is no S2 stream, in nats-server's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum S2Error {
    Corrupt,
    Checksum,
}

impl fmt::Display for S2Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            S2Error::Corrupt => "s2: corrupt input",
            S2Error::Checksum => "s2: corrupt input, crc mismatch",
        })
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

/// Appends a chunk with these bytes, [`CHUNK_LEN`] at most.
pub(super) fn put_chunk(out: &mut BytesMut, bytes: &[u8]) {
    debug_assert!(bytes.len() <= CHUNK_LEN, "readers take no more");
    let len = ((bytes.len() + CHECKSUM_LEN) as u32).to_le_bytes();
    out.put_u8(PLAIN);
    out.extend_from_slice(&len[..3]);
    out.extend_from_slice(&checksum(bytes).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Takes a stream apart that comes piece by piece.
#[derive(Debug, Default)]
pub(super) struct S2Reader {
    input: BytesMut,
    /// Bytes to come that are of no interest.
    skipped: usize,
    has_begun: bool,
    expanded: Vec<u8>,
}

impl S2Reader {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Bytes that have come and were not read.
    pub(super) fn waiting(&self) -> usize {
        self.input.len()
    }

    /// Whether the stream may end here.
    pub(super) fn is_whole(&self) -> bool {
        self.input.is_empty() && self.skipped == 0
    }

    /// What the next chunk holds; `None` if it has not come.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, S2Error> {
        loop {
            let skipped = self.skipped.min(self.input.len());
            self.input.advance(skipped);
            self.skipped -= skipped;
            let Some(&[kind, l0, l1, l2]) = self.input.first_chunk() else {
                return Ok(None);
            };
            let len = u32::from_le_bytes([l0, l1, l2, 0]) as usize;
            if !self.has_begun && kind != BEGINNING_KIND {
                return Err(S2Error::Corrupt);
            }
            match kind {
                COMPRESSED | PLAIN | BEGINNING_KIND => {}
                FIRST_SKIPPABLE.. => {
                    self.skipped = HEAD_LEN + len;
                    continue;
                }
                _ => return Err(S2Error::Corrupt),
            }
            if len > STORED_MAX {
                return Err(S2Error::Corrupt);
            }
            if self.input.len() < HEAD_LEN + len {
                return Ok(None);
            }
            let chunk = self.input.split_to(HEAD_LEN + len);
            if kind == BEGINNING_KIND {
                if chunk[HEAD_LEN..] != BEGINNING[HEAD_LEN..] {
                    return Err(S2Error::Corrupt);
                }
                self.has_begun = true;
                continue;
            }
            self.expanded.clear();
            expand(kind, &chunk[HEAD_LEN..], &mut self.expanded)?;
            return Ok(Some(&self.expanded));
        }
    }
}

/// Reads a chunk of data from behind its head.
fn expand(kind: u8, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), S2Error> {
    let (sum, data) = chunk.split_first_chunk().ok_or(S2Error::Corrupt)?;
    if kind == COMPRESSED {
        expand_block(data, out).ok_or(S2Error::Corrupt)?;
    } else if data.len() <= EXPANDED_MAX {
        out.extend_from_slice(data);
    } else {
        return Err(S2Error::Corrupt);
    }
    if checksum(out) == u32::from_le_bytes(*sum) {
        Ok(())
    } else {
        Err(S2Error::Checksum)
    }
}

/// Expands literals and copies; `None` if they are not what they should be.
fn expand_block(block: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut reader = Reader::new(block);
    let len = usize::try_from(reader.number()?).ok()?;
    if len > EXPANDED_MAX {
        return None;
    }
    let mut offset = 0;
    while !reader.is_empty() {
        let tag = reader.byte()?;
        let count = if tag & 3 == 0 {
            let count = literal_len(tag, &mut reader)?;
            // Refused before it is copied.
            if count > len - out.len() {
                return None;
            }
            out.extend_from_slice(reader.take(count)?);
            continue;
        } else {
            copy_len(tag, &mut reader, &mut offset)?
        };
        if count > len - out.len() || offset == 0 || offset > out.len() {
            return None;
        }
        copy(out, offset, count);
    }
    (out.len() == len).then_some(())
}

fn literal_len(tag: u8, reader: &mut Reader<'_>) -> Option<usize> {
    let small = usize::from(tag >> 2);
    match small.checked_sub(59) {
        None | Some(0) => Some(small + 1),
        Some(bytes) => little_endian(reader.take(bytes)?).checked_add(1),
    }
}

/// How much a copy copies, and from how far back: an offset of zero in its
/// short form says that it is that of the copy before.
fn copy_len(tag: u8, reader: &mut Reader<'_>, offset: &mut usize) -> Option<usize> {
    if tag & 3 > 1 {
        let bytes = if tag & 3 == 2 { 2 } else { 4 };
        *offset = little_endian(reader.take(bytes)?);
        return Some(usize::from(tag >> 2) + 1);
    }
    let short = usize::from(tag >> 5) << 8 | usize::from(reader.byte()?);
    let len = usize::from(tag >> 2 & 7);
    if short > 0 {
        *offset = short;
        return Some(len + 4);
    }
    Some(match len {
        5 => little_endian(reader.take(1)?) + 8,
        6 => little_endian(reader.take(2)?) + 4 + (1 << 8),
        7 => little_endian(reader.take(3)?) + 4 + (1 << 16),
        _ => len + 4,
    })
}

fn little_endian(bytes: &[u8]) -> usize {
    let places = bytes.iter().rev();
    places.fold(0, |sum, byte| sum << 8 | usize::from(*byte))
}

/// Appends `count` bytes from `offset` back, which may overlap with what is
/// appended.
fn copy(out: &mut Vec<u8>, offset: usize, count: usize) {
    let start = out.len() - offset;
    let mut left = count;
    while left > 0 {
        let now = left.min(out.len() - start);
        out.extend_from_within(start..start + now);
        left -= now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(pieces: &[&[u8]]) -> Result<Vec<u8>, S2Error> {
        let mut reader = S2Reader::default();
        let mut all = Vec::new();
        for piece in pieces {
            reader.push(piece);
            while let Some(bytes) = reader.next()? {
                all.extend_from_slice(bytes);
            }
        }
        assert!(reader.is_whole());
        Ok(all)
    }

    fn compressed(block: &[u8], expanded: &[u8]) -> Vec<u8> {
        let mut stream = BEGINNING.to_vec();
        stream.push(COMPRESSED);
        let len = ((block.len() + CHECKSUM_LEN) as u32).to_le_bytes();
        stream.extend_from_slice(&len[..3]);
        stream.extend_from_slice(&checksum(expanded).to_le_bytes());
        stream.extend_from_slice(block);
        stream
    }

    #[test]
    fn copies_may_overlap_and_repeat_an_offset() {
        for (block, expanded) in [
            // "ab", then ten bytes from two back.
            (&b"\x0c\x04ab\x19\x02"[..], &b"abababababab"[..]),
            // The same in two copies, the second with the offset of the first.
            (b"\x0c\x04ab\x05\x02\x05\x00", b"abababababab"),
            // A long form of each.
            (b"\x0a\x04ab\x1e\x02\x00", b"ababababab"),
            (b"\x0a\x04ab\x1f\x02\x00\x00\x00", b"ababababab"),
            // A repeat whose length has a byte of its own: 8 and 1.
            (b"\x0f\x04ab\x01\x02\x15\x00\x01", b"abababababababa"),
            // A literal whose length has a byte of its own.
            (b"\x03\xf0\x02abc", b"abc"),
        ] {
            let stream = compressed(block, expanded);
            assert_eq!(read(&[&stream]).as_deref(), Ok(expanded), "{block:?}");
        }
    }

    #[test]
    fn what_nats_server_has_compressed_is_read() {
        let stream = include_bytes!("../../../tests/files/backup-2.15.1.s2");
        let archive = read(&[&stream[..]]).expect("whole");
        assert_eq!((stream.len(), archive.len()), (2263, 8238));
        assert!(archive.starts_with(b"NATSARC1"));
        for cut in [1, 7, 500] {
            let pieces: Vec<&[u8]> = stream.chunks(cut).collect();
            assert_eq!(read(&pieces).as_ref(), Ok(&archive));
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for block in [
            // Nothing to copy from, too far back, more than was said.
            &b"\x04\x05\x00"[..],
            b"\x06\x04ab\x01\x03",
            b"\x03\x04ab\x01\x02",
            // Less than was said, and a length that ends in the middle.
            b"\x09\x04ab\x01\x02",
            b"\x04\xf4\x01",
            // 8 MiB.
            b"\x80\x80\x80\x04\x00a",
        ] {
            let stream = compressed(block, b"");
            assert_eq!(read(&[&stream]), Err(S2Error::Corrupt), "{block:?}");
        }
        let mut flipped = BytesMut::from(&BEGINNING[..]);
        put_chunk(&mut flipped, b"hello");
        *flipped.last_mut().expect("not empty") ^= 1;
        assert_eq!(read(&[&flipped]), Err(S2Error::Checksum));
        assert_eq!(read(&[b"garbage"]), Err(S2Error::Corrupt));
        assert_eq!(
            read(&[&b"\xff\x06\x00\x00sNaPpY"[..]]),
            Err(S2Error::Corrupt)
        );
    }

    proptest! {
        /// What was written comes back, however it is cut, with padding and a
        /// second beginning in between.
        #[test]
        fn what_is_written_is_read(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..10),
            cut in 1..50usize,
        ) {
            let mut stream = BytesMut::from(&BEGINNING[..]);
            for part in &parts {
                put_chunk(&mut stream, part);
                stream.extend_from_slice(b"\xfe\x03\x00\x00\x00\x00\x00");
                stream.extend_from_slice(BEGINNING);
            }
            let pieces: Vec<&[u8]> = stream.chunks(cut).collect();
            prop_assert_eq!(read(&pieces).expect("whole"), parts.concat());
        }

        #[test]
        fn noise_is_refused_without_a_panic(noise in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut out = Vec::new();
            let _ = expand_block(&noise, &mut out);
            prop_assert!(out.len() <= EXPANDED_MAX);
            let mut reader = S2Reader::default();
            reader.push(BEGINNING);
            reader.push(&noise);
            while let Ok(Some(_)) = reader.next() {}
        }
    }
}
