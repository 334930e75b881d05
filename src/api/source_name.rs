//! What a source is called in the header `Nats-Stream-Source` of its copies.
//!
//! The name of its stream, and for one that copies through a consumer a hash
//! of that consumer's name, as nats-server writes it: eight digits to the base
//! 62, one of each of the first bytes of its SHA-256. So streams that were
//! backed up there go on here with what they had.

use super::stream_source::StreamSource;

/// Characters of a hash.
const HASH_LEN: usize = 8;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Bytes that SHA-256 takes at once.
const BLOCK_LEN: usize = 64;

/// The first 32 bits of the fractions of the square roots of the first 8
/// primes.
const START: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The same of the cube roots of the first 64.
const ROUNDS: [u32; 64] = [
    0x428a_2f98,
    0x7137_4491,
    0xb5c0_fbcf,
    0xe9b5_dba5,
    0x3956_c25b,
    0x59f1_11f1,
    0x923f_82a4,
    0xab1c_5ed5,
    0xd807_aa98,
    0x1283_5b01,
    0x2431_85be,
    0x550c_7dc3,
    0x72be_5d74,
    0x80de_b1fe,
    0x9bdc_06a7,
    0xc19b_f174,
    0xe49b_69c1,
    0xefbe_4786,
    0x0fc1_9dc6,
    0x240c_a1cc,
    0x2de9_2c6f,
    0x4a74_84aa,
    0x5cb0_a9dc,
    0x76f9_88da,
    0x983e_5152,
    0xa831_c66d,
    0xb003_27c8,
    0xbf59_7fc7,
    0xc6e0_0bf3,
    0xd5a7_9147,
    0x06ca_6351,
    0x1429_2967,
    0x27b7_0a85,
    0x2e1b_2138,
    0x4d2c_6dfc,
    0x5338_0d13,
    0x650a_7354,
    0x766a_0abb,
    0x81c2_c92e,
    0x9272_2c85,
    0xa2bf_e8a1,
    0xa81a_664b,
    0xc24b_8b70,
    0xc76c_51a3,
    0xd192_e819,
    0xd699_0624,
    0xf40e_3585,
    0x106a_a070,
    0x19a4_c116,
    0x1e37_6c08,
    0x2748_774c,
    0x34b0_bcb5,
    0x391c_0cb3,
    0x4ed8_aa4a,
    0x5b9c_ca4f,
    0x682e_6ff3,
    0x748f_82ee,
    0x78a5_636f,
    0x84c8_7814,
    0x8cc7_0208,
    0x90be_fffa,
    0xa450_6ceb,
    0xbef9_a3f7,
    0xc671_78f2,
];

impl StreamSource {
    /// What its copies say that they come from.
    pub fn told_name(&self) -> String {
        match &self.consumer {
            None => self.name.clone(),
            Some(consumer) => [&self.name, ":C=", &short_hash(&consumer.name)].concat(),
        }
    }
}

fn short_hash(text: &str) -> String {
    let digest = sha256(text.as_bytes());
    let bytes = digest.iter().flat_map(|word| word.to_be_bytes());
    let digits = bytes.take(HASH_LEN);
    digits
        .map(|byte| char::from(DIGITS[usize::from(byte) % DIGITS.len()]))
        .collect()
}

/// For names: all of the text is copied.
fn sha256(text: &[u8]) -> [u32; 8] {
    let mut padded = text.to_vec();
    padded.push(0x80);
    // The length in bits ends the last block.
    let len = (padded.len() + 8).next_multiple_of(BLOCK_LEN);
    padded.resize(len - 8, 0);
    padded.extend_from_slice(&(text.len() as u64 * 8).to_be_bytes());
    let mut state = START;
    for block in padded.chunks_exact(BLOCK_LEN) {
        take_block(&mut state, block);
    }
    state
}

fn take_block(state: &mut [u32; 8], block: &[u8]) {
    let mut words = [0; 64];
    for (word, bytes) in words.iter_mut().zip(block.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    for at in 16..words.len() {
        let (early, late) = (words[at - 15], words[at - 2]);
        let early = early.rotate_right(7) ^ early.rotate_right(18) ^ (early >> 3);
        let late = late.rotate_right(17) ^ late.rotate_right(19) ^ (late >> 10);
        let sum = early.wrapping_add(late);
        words[at] = sum.wrapping_add(words[at - 16]).wrapping_add(words[at - 7]);
    }
    let mut mixed = *state;
    for (word, round) in words.iter().zip(ROUNDS) {
        let [a, b, c, d, e, f, g, h] = mixed;
        let spread = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let chosen = (e & f) ^ (!e & g);
        let new = [spread, chosen, round, *word].into_iter();
        let new = new.fold(h, u32::wrapping_add);
        let spread = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let most = (a & b) ^ (a & c) ^ (b & c);
        let top = new.wrapping_add(spread).wrapping_add(most);
        mixed = [top, a, b, c, d.wrapping_add(new), e, f, g];
    }
    for (word, mixed) in state.iter_mut().zip(mixed) {
        *word = word.wrapping_add(mixed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SourceConsumer;

    #[test]
    fn hashes_are_those_of_the_standard() {
        let hex = |text: &str| -> String {
            let digest = sha256(text.as_bytes());
            digest.iter().map(|word| format!("{word:08x}")).collect()
        };
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hex(""), empty);
        // The lengths at which the padding takes a block of its own.
        let ends = [
            (
                55,
                "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318",
            ),
            (
                56,
                "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a",
            ),
            (
                64,
                "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb",
            ),
        ];
        for (len, wanted) in ends {
            assert_eq!(hex(&"a".repeat(len)), wanted, "{len}");
        }
    }

    #[test]
    fn a_source_is_told_by_its_consumer() {
        let mut source = StreamSource {
            name: "O".to_owned(),
            ..StreamSource::default()
        };
        assert_eq!(source.told_name(), "O");
        source.consumer = Some(SourceConsumer {
            name: "c".to_owned(),
            deliver_subject: "d".to_owned(),
        });
        // As nats-server 2.14.0 has it.
        assert_eq!(source.told_name(), "O:C=k1i3jIye");
    }
}
