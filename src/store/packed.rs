//! The compressed form of a block. `README.md` has it to the byte.
//!
//! A block is compressed in groups, each by itself and with a checksum of its
//! own, so that damage costs no more than the group it hits; one flipped bit
//! is put right and costs nothing. What does not become shorter stays as it
//! is. Memory for what comes out is taken group by group, as they are found:
//! a damaged length cannot ask for more.

use crate::mend::flipped_bit;
use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};
use std::borrow::Cow;

/// Bytes of a block that are compressed together: twice as many would make a
/// thirtieth less of them, and cost twice as much where they are damaged.
pub(crate) const GROUP_LEN: usize = 16 << 10;

/// A longer block, which is one message, is not compressed: both forms are in
/// memory at a time.
pub(crate) const PACKED_LEN_MAX: usize = 4 << 20;

const CRC_LEN: usize = 4;
/// What says how long the block is.
const LEN_LEN: usize = 4;
/// What says how long a group is as it lies there.
const GROUP_HEAD_LEN: usize = 2;

const _: () = assert!(
    GROUP_LEN <= u16::MAX as usize,
    "a group's length is 2 bytes"
);

/// A block's compressed form, if that is shorter by an eighth at least: less
/// is not worth having to expand it.
pub(crate) fn pack(block: &[u8]) -> Option<Vec<u8>> {
    let mut packed = Vec::with_capacity(block.len() / 2);
    packed.extend_from_slice(&(block.len() as u32).to_le_bytes());
    seal(&mut packed, 0);
    let lens_at = packed.len();
    let lens_len = GROUP_HEAD_LEN * block.len().div_ceil(GROUP_LEN);
    packed.resize(lens_at + lens_len + CRC_LEN, 0);
    let mut room = vec![0; get_maximum_output_size(GROUP_LEN)];
    let mut check = vec![0; GROUP_LEN];
    for (number, group) in block.chunks(GROUP_LEN).enumerate() {
        let bytes = compress(group, &mut room, &mut check).unwrap_or(group);
        let len_at = lens_at + GROUP_HEAD_LEN * number;
        packed[len_at..len_at + GROUP_HEAD_LEN]
            .copy_from_slice(&(bytes.len() as u16).to_le_bytes());
        let at = packed.len();
        packed.extend_from_slice(bytes);
        seal(&mut packed, at);
    }
    let (lens, behind) = packed[lens_at..].split_at_mut(lens_len);
    behind[..CRC_LEN].copy_from_slice(&crc32c::crc32c(lens).to_le_bytes());
    (packed.len() < block.len() - block.len() / 8).then_some(packed)
}

/// Puts a checksum behind what was put from here on.
fn seal(packed: &mut Vec<u8>, from: usize) {
    let crc = crc32c::crc32c(&packed[from..]);
    packed.extend_from_slice(&crc.to_le_bytes());
}

/// A group, compressed, if that makes it shorter. It is the only copy from
/// here on: so it is seen first that the group comes back.
fn compress<'a>(group: &[u8], room: &'a mut [u8], check: &mut [u8]) -> Option<&'a [u8]> {
    // That it is not longer lets the compiler leave out what is for long input.
    let group = group.get(..group.len().min(GROUP_LEN))?;
    let len = compress_into(group, room).ok()?;
    let bytes = room.get(..len).filter(|bytes| bytes.len() < group.len())?;
    let check = &mut check[..group.len()];
    (decompress_into(bytes, check).is_ok() && check == group).then_some(bytes)
}

/// A block that was compressed.
#[derive(Debug, Default)]
pub(crate) struct Expanded {
    pub(crate) bytes: Vec<u8>,
    /// Nothing of it was damaged, or it could be put right.
    pub(crate) is_whole: bool,
    /// Bits that had flipped and were put right.
    pub(crate) mended: u32,
}

/// Expands a block. What is damaged of it is other bytes, or zeros, or is
/// missing at the end.
pub(crate) fn expand(packed: &[u8]) -> Expanded {
    let mut block = Expanded {
        is_whole: true,
        ..Expanded::default()
    };
    let is_all = block.read(packed).is_some();
    block.is_whole &= is_all;
    block
}

/// A group or a head as it was found.
struct Opened<'a> {
    bytes: Cow<'a, [u8]>,
    is_right: bool,
}

impl Expanded {
    fn read(&mut self, mut rest: &[u8]) -> Option<()> {
        let len = self.right(take(&mut rest, LEN_LEN + CRC_LEN)?)?;
        let len = u32::from_le_bytes(*len.first_chunk()?) as usize;
        (len <= PACKED_LEN_MAX).then_some(())?;
        let lens_len = GROUP_HEAD_LEN * len.div_ceil(GROUP_LEN);
        let lens = self.right(take(&mut rest, lens_len + CRC_LEN)?)?;
        for (number, head) in lens.chunks_exact(GROUP_HEAD_LEN).enumerate() {
            let stored_len = usize::from(u16::from_le_bytes(*head.first_chunk()?));
            let group = self.open(take(&mut rest, stored_len + CRC_LEN)?);
            self.group(group, GROUP_LEN.min(len - number * GROUP_LEN));
        }
        rest.is_empty().then_some(())
    }

    fn group(&mut self, group: Opened<'_>, len: usize) {
        let at = self.bytes.len();
        let is_right = if group.bytes.len() == len {
            self.bytes.extend_from_slice(&group.bytes);
            true
        } else {
            // Of a damaged one that comes out which lies before the damage.
            self.bytes.resize(at + len, 0);
            decompress_into(&group.bytes, &mut self.bytes[at..]).is_ok_and(|came| came == len)
        };
        self.is_whole &= is_right && group.is_right;
    }

    /// Bytes without the checksum behind them, with a flipped bit put right.
    fn open<'a>(&mut self, sealed: &'a [u8]) -> Opened<'a> {
        let (bytes, crc) = sealed.split_last_chunk().unwrap_or((sealed, &[0; CRC_LEN]));
        let difference = crc32c::crc32c(bytes) ^ u32::from_le_bytes(*crc);
        let bytes = Cow::Borrowed(bytes);
        if difference == 0 {
            let is_right = true;
            return Opened { bytes, is_right };
        }
        let Some(bit) = flipped_bit(bytes.len(), difference) else {
            let is_right = false;
            return Opened { bytes, is_right };
        };
        self.mended += 1;
        let mut bytes = bytes.into_owned();
        if let Some(byte) = bytes.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
        }
        Opened {
            bytes: Cow::Owned(bytes),
            is_right: true,
        }
    }

    /// The same, if they are what was written.
    fn right<'a>(&mut self, sealed: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let opened = self.open(sealed);
        opened.is_right.then_some(opened.bytes)
    }
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, behind) = rest.split_at_checked(len)?;
    *rest = behind;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes with much in common, of any length.
    fn block(len: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in 0u64.. {
            if bytes.len() >= len {
                break;
            }
            let noise = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
            bytes.extend(format!("{{\"sensor\":{},\"value\":{noise}}}", number % 9).bytes());
        }
        bytes.truncate(len);
        bytes
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 7u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    /// Bytes at the same places in both.
    fn in_common(one: &[u8], other: &[u8]) -> usize {
        one.iter()
            .zip(other)
            .filter(|(one, other)| one == other)
            .count()
    }

    #[test]
    fn what_was_packed_comes_back() {
        for len in [5000, GROUP_LEN, GROUP_LEN + 1, 65_000, 1_000_000] {
            let block = block(len);
            let packed = pack(&block).expect("shorter");
            assert!(packed.len() < block.len() / 2, "{len}: {}", packed.len());
            let expanded = expand(&packed);
            assert!(expanded.bytes == block, "{len}");
            assert!(expanded.is_whole && expanded.mended == 0);
        }
    }

    #[test]
    fn what_does_not_become_shorter_stays_as_it_is() {
        assert_eq!(pack(&noise(65_000)), None);
        assert_eq!(pack(b""), None);
        // A group of it: the others make up for it.
        let mut block = block(65_000);
        block[GROUP_LEN..2 * GROUP_LEN].copy_from_slice(&noise(GROUP_LEN));
        let packed = pack(&block).expect("shorter");
        assert!(expand(&packed).bytes == block);
    }

    #[test]
    fn a_flipped_bit_costs_nothing() {
        let block = block(40_000);
        let mut packed = pack(&block).expect("shorter");
        for at in (0..40).chain((40..packed.len()).step_by(97)) {
            let bit = 1 << (at % 8);
            packed[at] ^= bit;
            let expanded = expand(&packed);
            assert!(expanded.bytes == block && expanded.is_whole, "byte {at}");
            assert_eq!(expanded.mended, 1);
            packed[at] ^= bit;
        }
    }

    #[test]
    fn more_damage_costs_the_group_that_it_hits() {
        let block = block(65_000);
        let packed = pack(&block).expect("shorter");
        let heads = LEN_LEN + CRC_LEN + 4 * GROUP_HEAD_LEN + CRC_LEN;
        for at in (heads..packed.len() - 16).step_by(501) {
            let mut damaged = packed.clone();
            damaged[at..at + 16].fill(0x99);
            let expanded = expand(&damaged);
            assert!(!expanded.is_whole, "byte {at}");
            assert_eq!(expanded.bytes.len(), block.len());
            // Two, where it hits the end of one and the beginning of the other.
            let groups = block
                .chunks(GROUP_LEN)
                .zip(expanded.bytes.chunks(GROUP_LEN));
            let whole = groups.filter(|(was, is)| was == is).count();
            assert!(whole >= 2, "byte {at}: {whole} of 4");
        }
        // The first half of a group comes out if the second is damaged.
        let mut damaged = packed.clone();
        let end = damaged.len() - CRC_LEN;
        damaged[end - 100..end].fill(0x99);
        let whole = in_common(&block, &expand(&damaged).bytes);
        assert!(whole > block.len() - 1000, "{whole}");
    }

    #[test]
    fn what_is_cut_short_is_expanded_so_far() {
        let block = block(65_000);
        let packed = pack(&block).expect("shorter");
        for len in 0..packed.len() {
            if len > 100 && len % 61 > 0 {
                continue;
            }
            let expanded = expand(&packed[..len]);
            assert!(!expanded.is_whole && block.starts_with(&expanded.bytes));
        }
        let longer = [&packed[..], b"x"].concat();
        assert!(!expand(&longer).is_whole);
    }

    /// Whatever lengths are said, no more memory is taken than bytes are there for.
    #[test]
    fn what_was_never_packed_does_no_harm() {
        let mut huge = Vec::new();
        huge.extend(u32::MAX.to_le_bytes());
        seal(&mut huge, 0);
        assert_eq!(expand(&huge).bytes.capacity(), 0);
        let mut long = Vec::new();
        long.extend((PACKED_LEN_MAX as u32).to_le_bytes());
        seal(&mut long, 0);
        let at = long.len();
        long.resize(at + GROUP_HEAD_LEN * (PACKED_LEN_MAX / GROUP_LEN), 1);
        seal(&mut long, at);
        assert_eq!(expand(&long).bytes.capacity(), 0);
        for seed in 0..2000usize {
            let bytes = noise(seed + 300);
            let mut packed = Vec::new();
            packed.extend((bytes.len() as u32 * 40).to_le_bytes());
            seal(&mut packed, 0);
            packed.extend(&bytes[seed..]);
            assert!(expand(&packed).bytes.len() <= bytes.len() * 40);
            let mut out = vec![0; 1 + seed];
            let _ = decompress_into(&bytes[seed..], &mut out);
        }
    }
}
