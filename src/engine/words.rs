//! Words that nobody can guess, however many of the others they have seen.

use std::hash::{DefaultHasher, Hasher};

/// A count, hashed with a key that only this server knows. The hash is the
/// standard library's SipHash, which is made to keep its key.
pub(crate) struct Words {
    key: [u64; 2],
    count: u64,
}

impl Words {
    pub(crate) fn new(key: [u64; 2]) -> Self {
        Words { key, count: 0 }
    }

    /// The next one: 32 hexadecimal digits.
    pub(crate) fn next(&mut self) -> String {
        self.count += 1;
        format!("{:016x}{:016x}", self.half(0), self.half(1))
    }

    fn half(&self, which: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        for number in [self.key[0], self.key[1], self.count, which] {
            hasher.write_u64(number);
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_differ_by_key_count_and_half() {
        let mut words = Words::new([1, 2]);
        let (first, second) = (words.next(), words.next());
        let others = [
            second.clone(),
            Words::new([2, 2]).next(),
            Words::new([1, 3]).next(),
        ];
        assert!(first.len() == 32 && !others.contains(&first));
        assert_ne!(first[..16], first[16..]);
        assert_eq!(first, Words::new([1, 2]).next());
    }
}
