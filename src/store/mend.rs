//! Finding a flipped bit by a checksum.
//!
//! What one bit changes of a CRC depends on nothing but how far it is from the
//! end: so the difference between two checksums names the bit, and no other
//! bit in what is stored here makes the same. That damage of another kind
//! passes for one bit is a chance of one in 30 000 for 16 KiB; whoever mends
//! something has to have another look at it.

/// CRC-32C's, reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The bit that has flipped in `len` bytes, or in the checksum that lies behind
/// them, little-endian, if one has: counted from the first byte's lowest.
/// `difference` is what the bits of the two checksums differ by.
pub(crate) fn flipped_bit(len: usize, difference: u32) -> Option<usize> {
    if difference.is_power_of_two() {
        return Some(8 * len + difference.trailing_zeros() as usize);
    }
    let mut made = 1;
    (0..8 * len).rev().find(|_| {
        made = (made >> 1) ^ (POLYNOMIAL * (made & 1));
        made == difference
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_is_found() {
        let bytes: Vec<u8> = (0..600).map(|at| (at * 7) as u8).collect();
        let right = crc32c::crc32c(&bytes);
        for bit in 0..8 * bytes.len() {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let difference = crc32c::crc32c(&flipped) ^ right;
            assert_eq!(flipped_bit(bytes.len(), difference), Some(bit));
        }
        for bit in 0..32 {
            assert_eq!(flipped_bit(600, 1 << bit), Some(8 * 600 + bit));
        }
    }

    #[test]
    fn two_bits_are_not_taken_for_one() {
        let bytes = [0x5a; 600];
        let right = crc32c::crc32c(&bytes);
        for (one, other) in [(0, 1), (3, 4000), (100, 599 * 8), (4798, 4799)] {
            let mut flipped = bytes;
            flipped[one / 8] ^= 1 << (one % 8);
            flipped[other / 8] ^= 1 << (other % 8);
            assert_eq!(flipped_bit(600, crc32c::crc32c(&flipped) ^ right), None);
        }
        assert_eq!(flipped_bit(600, 0), None);
    }
}
