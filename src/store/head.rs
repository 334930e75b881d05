//! How the file begins: whose it is, and where its two parts are.
//!
//! The head is written once, when the file is made, and there twice, a page
//! apart: a flipped bit in the one leaves the other.

use std::hash::{BuildHasher, RandomState};
use std::time::SystemTime;

/// What a store begins with. The last byte is the version of what this file
/// and `journal.rs` describe; that of the tables is a row of theirs.
const MAGIC: [u8; 8] = *b"mdgStor2";
/// What files began with whose tables were of other types.
const UNRELEASED: &[u8] = b"mdgStor1";
/// Magic, id, where redb's part begins, checksum.
const LEN: usize = 28;
/// A page for each copy, so that no write of another thing can harm both.
const PAGE_LEN: usize = 4096;
/// Where the journal's records begin: behind both copies.
pub(crate) const JOURNAL_AT: u64 = 2 * PAGE_LEN as u64;
/// A longer journal is not believed in: sixteen times the default.
const JOURNAL_LEN_MAX: u64 = 64 << 20;
/// What a bare redb file begins with.
const REDB: [u8; 4] = *b"redb";

/// What the head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// What no sender of messages can guess, so that none can make one that
    /// is taken for a record of the journal.
    pub(crate) id: u64,
    /// Where the journal ends and redb's part begins.
    pub(crate) tables_at: u64,
}

/// What stands where a head should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Head(Head),
    /// The file was being made when the power went, or is empty: nothing is
    /// lost by beginning again.
    Nothing,
    /// Something else, and what.
    Foreign(&'static str),
}

impl Head {
    /// The head of a new file with room for so many bytes of journal.
    pub(crate) fn new(journal_bytes: usize) -> Self {
        let room = (journal_bytes as u64).min(JOURNAL_LEN_MAX);
        Head {
            id: RandomState::new().hash_one(SystemTime::now()),
            tables_at: JOURNAL_AT + room.next_multiple_of(PAGE_LEN as u64),
        }
    }

    /// The room for the journal's records.
    pub(crate) fn journal_len(&self) -> usize {
        (self.tables_at - JOURNAL_AT) as usize
    }

    /// Both copies.
    pub(crate) fn pages(&self) -> Vec<u8> {
        let mut pages = vec![0; JOURNAL_AT as usize];
        for page in pages.chunks_mut(PAGE_LEN) {
            page[..LEN].copy_from_slice(&self.seal());
        }
        pages
    }

    fn seal(&self) -> [u8; LEN] {
        let mut head = [0; LEN];
        head[..8].copy_from_slice(&MAGIC);
        head[8..16].copy_from_slice(&self.id.to_le_bytes());
        head[16..24].copy_from_slice(&self.tables_at.to_le_bytes());
        let crc = crc32c::crc32c(&head[..24]);
        head[24..].copy_from_slice(&crc.to_le_bytes());
        head
    }

    /// What the first [`JOURNAL_AT`] bytes of a file say, or all of a shorter
    /// one.
    pub(crate) fn find(bytes: &[u8]) -> Found {
        let pages = || bytes.chunks(PAGE_LEN);
        let copies = pages().filter_map(|page| page.get(..LEN));
        if let Some(head) = copies.into_iter().find_map(Head::read) {
            return Found::Head(head);
        }
        if bytes.starts_with(&REDB) {
            return Found::Foreign("it is a bare redb file");
        }
        if bytes.starts_with(&MAGIC[..7]) && bytes.get(7) > Some(&MAGIC[7]) {
            return Found::Foreign("a later version made it");
        }
        if bytes.starts_with(UNRELEASED) {
            return Found::Foreign("a version before the first release made it");
        }
        match pages().all(is_begun) {
            true => Found::Nothing,
            false => Found::Foreign("it does not begin like one"),
        }
    }

    fn read(copy: &[u8]) -> Option<Head> {
        let number = |at: usize| {
            let bytes = copy.get(at..at + 8)?;
            Some(u64::from_le_bytes(bytes.try_into().ok()?))
        };
        let head = Head {
            id: number(8)?,
            tables_at: number(16)?,
        };
        let is_whole = head.seal() == copy;
        let is_sane = (JOURNAL_AT..=JOURNAL_AT + JOURNAL_LEN_MAX).contains(&head.tables_at);
        (is_whole && is_sane).then_some(head)
    }
}

/// Whether a page may be what is there of one that was to get a head.
fn is_begun(page: &[u8]) -> bool {
    let (copy, rest) = page.split_at(page.len().min(LEN));
    let mut magic = copy.iter().zip(MAGIC);
    magic.all(|(is, to_be)| *is == 0 || *is == to_be) && rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_copy_will_do() {
        let head = Head::new(10_000);
        assert_eq!(head.tables_at, JOURNAL_AT + 3 * 4096);
        let pages = head.pages();
        assert_eq!(Head::find(&pages), Found::Head(head));
        for bit in 0..LEN * 8 {
            let mut flipped = pages.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::find(&flipped), Found::Head(head), "bit {bit}");
            flipped[PAGE_LEN + 20] ^= 1;
            assert!(!matches!(Head::find(&flipped), Found::Head(_)));
        }
    }

    #[test]
    fn only_zeros_are_nothing() {
        assert_eq!(Head::find(b""), Found::Nothing);
        assert_eq!(Head::find(&[0; 5000]), Found::Nothing);
        let mut torn = Head::new(0).pages();
        torn[9..LEN].fill(0);
        torn[PAGE_LEN..].fill(0);
        assert_eq!(Head::find(&torn), Found::Nothing);
        for other in [
            &b"hello"[..],
            b"redb\x1A\x0A\xA9\x0D\x0A",
            b"mdgStor3",
            b"mdgStor1",
        ] {
            assert!(matches!(Head::find(other), Found::Foreign(_)), "{other:?}");
        }
    }
}
