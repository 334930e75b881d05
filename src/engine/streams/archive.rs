//! The archive that nats-server 2.15 and later makes of a stream.
//!
//! `NATSARC1`, then entries one behind the other, then five zeros. Numbers
//! are those of [`varint`]. First comes `state.json`; then the consumers that
//! it counts, as `consumers/` and their names; then the messages, in order.
//! Only messages have a sequence. What is gone between them is not mentioned.
//!
//! | entry | |
//! |---|---|
//! | five numbers | length of the name or subject, time (signed), sequence, length of the header block, length of the body |
//! | bytes | name or subject, header block, body |
//!
//! The backups of earlier servers are another thing: a tar of their files,
//! with everything that was ever done to those. They are known, and refused.

use super::intake::{HEADER_LEN_MAX, STORED_LEN_MAX, SUBJECT_LEN_MAX};
use super::varint::{self, Reader};
use bytes::{Buf, BytesMut};
use midge_api::Timestamp;
use std::fmt;

/// What an archive begins with.
pub(super) const MAGIC: &[u8; 8] = b"NATSARC1";

/// What the files that lie first in an older backup are called.
const OLD_BEGINNINGS: [&[u8; 8]; 2] = [b"PaxHeade", b"meta.inf"];

/// What stands first.
pub(super) const STATE: &[u8] = b"state.json";

/// What the names of consumers stand behind.
pub(super) const CONSUMER: &[u8] = b"consumers/";

/// Bytes of JSON in one entry: 100 000 unacknowledged messages of a consumer.
/// Reading it takes several times that. No more is written, either.
pub(super) const JSON_LEN_MAX: usize = 8 * 1024 * 1024;

/// Five numbers take no more.
const HEAD_LEN_MAX: usize = 50;

/// Something in an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// What it is called, or the subject of a message.
    pub(super) name: &'a [u8],
    pub(super) time: Timestamp,
    /// The message's; 0 for what is none.
    pub(super) seq: u64,
    /// Header block and body.
    pub(super) payload: &'a [u8],
    pub(super) header_len: usize,
}

impl Entry<'_> {
    /// Whether this is the end of the archive.
    pub(super) fn is_end(&self) -> bool {
        self.seq == 0 && self.name.is_empty() && self.payload.is_empty() && self.time.0 == 0
    }
}

/// Why something is no archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ArchiveError {
    Old,
    Unknown,
    Number,
    TooLong(u64),
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArchiveError::Old => f.write_str(
                "this is a backup of a nats-server before 2.15, which only nats-server reads",
            ),
            ArchiveError::Unknown => f.write_str("this is no archive of a stream"),
            ArchiveError::Number => f.write_str("a number in the archive is damaged"),
            ArchiveError::TooLong(seq) => write!(f, "the entry of sequence {seq} is too long"),
        }
    }
}

/// Appends an entry.
pub(super) fn put(out: &mut Vec<u8>, entry: &Entry<'_>) {
    varint::put(out, entry.name.len() as u64);
    varint::put_signed(out, entry.time.0);
    varint::put(out, entry.seq);
    varint::put(out, entry.header_len as u64);
    varint::put(out, (entry.payload.len() - entry.header_len) as u64);
    out.extend_from_slice(entry.name);
    out.extend_from_slice(entry.payload);
}

/// Appends the end.
pub(super) fn put_end(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; 5]);
}

/// The numbers that an entry begins with.
struct Head {
    len: usize,
    name_len: usize,
    time: Timestamp,
    seq: u64,
    header_len: usize,
    body_len: usize,
}

impl Head {
    /// `None` if it has not come.
    fn read(bytes: &[u8]) -> Result<Option<Head>, ArchiveError> {
        let mut reader = Reader::new(bytes);
        let mut numbers = [0; 5];
        for (place, number) in numbers.iter_mut().enumerate() {
            let read = match place {
                1 => reader.signed().map(|time| time as u64),
                _ => reader.number(),
            };
            match read {
                Some(read) => *number = read,
                None if bytes.len() < HEAD_LEN_MAX => return Ok(None),
                None => return Err(ArchiveError::Number),
            }
        }
        let [name_len, time, seq, header_len, body_len] = numbers;
        let fits = |len: u64, max: usize| usize::try_from(len).ok().filter(|len| *len <= max);
        let body_max = if seq == 0 {
            JSON_LEN_MAX
        } else {
            STORED_LEN_MAX
        };
        let too_long = ArchiveError::TooLong(seq);
        Ok(Some(Head {
            len: reader.taken_from(bytes),
            name_len: fits(name_len, SUBJECT_LEN_MAX).ok_or(too_long)?,
            time: Timestamp(time as i64),
            seq,
            header_len: fits(header_len, HEADER_LEN_MAX).ok_or(too_long)?,
            body_len: fits(body_len, body_max).ok_or(too_long)?,
        }))
    }

    fn whole_len(&self) -> usize {
        self.len + self.name_len + self.header_len + self.body_len
    }
}

/// Takes an archive apart that comes piece by piece.
#[derive(Debug, Default)]
pub(super) struct ArchiveReader {
    input: BytesMut,
    has_begun: bool,
    /// Bytes of the entry that was told last.
    told: usize,
}

impl ArchiveReader {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// The next entry; `None` if not all of it has come.
    pub(super) fn next(&mut self) -> Result<Option<Entry<'_>>, ArchiveError> {
        self.input.advance(std::mem::take(&mut self.told));
        if !self.has_begun {
            let Some(beginning) = self.input.first_chunk::<8>() else {
                return Ok(None);
            };
            if OLD_BEGINNINGS.contains(&beginning) {
                return Err(ArchiveError::Old);
            }
            if beginning != MAGIC {
                return Err(ArchiveError::Unknown);
            }
            self.has_begun = true;
            self.input.advance(MAGIC.len());
        }
        let Some(head) = Head::read(&self.input)? else {
            return Ok(None);
        };
        let Some(whole) = self.input.get(..head.whole_len()) else {
            return Ok(None);
        };
        self.told = whole.len();
        let (name, payload) = whole[head.len..].split_at(head.name_len);
        Ok(Some(Entry {
            name,
            time: head.time,
            seq: head.seq,
            payload,
            header_len: head.header_len,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Owned = (Vec<u8>, i64, u64, Vec<u8>, usize);

    /// What comes before an error, and the error.
    fn read_on(bytes: &[u8], cut: usize) -> (Vec<Owned>, Option<ArchiveError>) {
        let mut reader = ArchiveReader::default();
        let mut all = Vec::new();
        for piece in bytes.chunks(cut) {
            reader.push(piece);
            loop {
                match reader.next() {
                    Err(error) => return (all, Some(error)),
                    Ok(None) => break,
                    Ok(Some(entry)) => {
                        let (name, payload) = (entry.name.to_vec(), entry.payload.to_vec());
                        all.push((name, entry.time.0, entry.seq, payload, entry.header_len));
                    }
                }
            }
        }
        (all, None)
    }

    fn read(bytes: &[u8], cut: usize) -> Result<Vec<Owned>, ArchiveError> {
        match read_on(bytes, cut) {
            (_, Some(error)) => Err(error),
            (all, None) => Ok(all),
        }
    }

    #[test]
    fn what_is_no_archive_says_why() {
        assert_eq!(read(b"PaxHeaders.0/meta.inf", 5), Err(ArchiveError::Old));
        assert_eq!(read(b"NATSARC2....", 50), Err(ArchiveError::Unknown));
        let mut long = MAGIC.to_vec();
        long.extend_from_slice(b"\x01\x00\x07\x00\xff\xff\xff\xff\x0f");
        assert_eq!(read(&long, 50), Err(ArchiveError::TooLong(7)));
        let endless = [&MAGIC[..], &[0xff; 60]].concat();
        assert_eq!(read(&endless, 50), Err(ArchiveError::Number));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            entries in prop::collection::vec(
                ("[a-z.]{0,20}", any::<i64>(), any::<u64>(), prop::collection::vec(any::<u8>(), 0..50), 0..9usize),
                0..20,
            ),
            cut in 1..100usize,
        ) {
            let mut bytes = MAGIC.to_vec();
            let mut wanted: Vec<Owned> = Vec::new();
            for (name, time, seq, payload, header_len) in entries {
                let header_len = header_len.min(payload.len());
                put(&mut bytes, &Entry {
                    name: name.as_bytes(),
                    time: Timestamp(time),
                    seq,
                    payload: &payload,
                    header_len,
                });
                wanted.push((name.into_bytes(), time, seq, payload, header_len));
            }
            put_end(&mut bytes);
            wanted.push((Vec::new(), 0, 0, Vec::new(), 0));
            prop_assert_eq!(read(&bytes, cut), Ok(wanted));
        }

        #[test]
        fn what_noise_is_read_as_encodes_back(
            noise in prop::collection::vec(prop_oneof![Just(0), 0..9u8, any::<u8>()], 0..200),
        ) {
            let (entries, why) = read_on(&[&MAGIC[..], &noise].concat(), 7);
            let mut bytes = MAGIC.to_vec();
            for (name, time, seq, payload, header_len) in &entries {
                put(&mut bytes, &Entry {
                    name,
                    time: Timestamp(*time),
                    seq: *seq,
                    payload,
                    header_len: *header_len,
                });
            }
            prop_assert_eq!(read(&bytes, 7), Ok(entries));
            let is_about_length = matches!(why, None | Some(ArchiveError::TooLong(_)));
            prop_assert!(is_about_length || noise.len() >= HEAD_LEN_MAX);
        }
    }
}
