//! A guess at which subjects a block holds.

/// A Bloom filter over the subjects of a block: who looks for one subject
/// passes over the blocks that cannot hold it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Presence {
    words: Box<[u64]>,
}

/// Bits for each different subject: with two probes about 5 % false hits.
const BITS_PER_SUBJECT: usize = 8;

impl Presence {
    /// Of the subjects with these hashes, in any order. It takes more room if
    /// there are some twice.
    pub(crate) fn new(hashes: &[u64]) -> Self {
        let words = (hashes.len() * BITS_PER_SUBJECT).div_ceil(64).max(1);
        let mut presence = Presence {
            words: vec![0; words.next_power_of_two()].into(),
        };
        for hash in hashes {
            for bit in presence.bits(*hash) {
                presence.words[bit / 64] |= 1 << (bit % 64);
            }
        }
        presence
    }

    /// Whether a subject of this hash may be there. Says yes while nothing is
    /// known.
    pub(crate) fn may_hold(&self, hash: u64) -> bool {
        self.words.is_empty()
            || self
                .bits(hash)
                .iter()
                .all(|bit| self.words[bit / 64] >> (bit % 64) & 1 != 0)
    }

    fn bits(&self, hash: u64) -> [usize; 2] {
        let mask = self.words.len() * 64 - 1;
        [hash as usize & mask, (hash >> 32) as usize & mask]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_found_and_little_else() {
        let spread = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let hashes: Vec<u64> = (0..400).map(spread).collect();
        let presence = Presence::new(&hashes);
        assert!((0..400).all(|n| presence.may_hold(spread(n))));
        let wrong = (400..10_400)
            .filter(|n| presence.may_hold(spread(*n)))
            .count();
        assert!(wrong < 1_500, "{wrong}");
        assert!(Presence::default().may_hold(1));
    }
}
