//! Public keys as NATS writes them: base 32 of a prefix that tells whose key
//! it is, the 32 bytes of an ed25519 key, and a checksum of both.

/// The prefix of users' keys; it makes the first letter a U.
const USER: u8 = 20 << 3;

/// Letters of a key.
const LETTERS: usize = 56;

/// The public key of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Reads a user's key; `None` if it is none, or was mistyped.
    pub fn parse(text: &str) -> Option<PublicKey> {
        let bytes = from_base32(text)?;
        let (body, sum) = bytes.split_last_chunk::<2>()?;
        let (&prefix, key) = body.split_first()?;
        if prefix != USER || u16::from_le_bytes(*sum) != crc16(body) {
            return None;
        }
        key.try_into().ok().map(PublicKey)
    }

    /// The key itself.
    pub(crate) fn bytes(&self) -> [u8; 32] {
        self.0
    }
}

fn from_base32(text: &str) -> Option<[u8; 35]> {
    if text.len() != LETTERS {
        return None;
    }
    let mut bytes = [0; 35];
    for (five, letters) in bytes.chunks_mut(5).zip(text.as_bytes().chunks(8)) {
        let mut bits = 0u64;
        for letter in letters {
            let value = match letter {
                b'A'..=b'Z' => letter - b'A',
                b'2'..=b'7' => letter - b'2' + 26,
                _ => return None,
            };
            bits = bits << 5 | u64::from(value);
        }
        five.copy_from_slice(&bits.to_be_bytes()[3..]);
    }
    Some(bytes)
}

/// The checksum called XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ u16::from(*byte) << 8, |sum, _| {
            sum << 1 ^ if sum & 0x8000 == 0 { 0 } else { 0x1021 }
        })
    })
}

/// Reads a signature: base 64, in the alphabet for URLs or the other, with or
/// without padding.
pub(crate) fn signature(text: &str) -> Option<[u8; 64]> {
    let letters = text.trim_end_matches('=');
    let standard = letters.replace('-', "+").replace('_', "/");
    midge_proto::from_base64(&standard)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";

    #[test]
    fn keys_carry_a_checksum() {
        assert!(PublicKey::parse(KEY).is_some());
        let account = format!("A{}", &KEY[1..]);
        for wrong in [
            &KEY[..55],
            &format!("{}5", &KEY[..55]),
            &KEY.replace('4', "8"),
            &KEY.to_lowercase(),
            &account,
            "",
        ] {
            assert_eq!(PublicKey::parse(wrong), None, "{wrong}");
        }
        assert_eq!(crc16(b"123456789"), 0x31c3);
    }

    #[test]
    fn signatures_come_in_two_alphabets() {
        let url = format!("{}-_Q", "A".repeat(83));
        let wanted = signature(&url).expect("64 bytes");
        for text in [
            format!("{}+/Q", "A".repeat(83)),
            format!("{}+/Q==", "A".repeat(83)),
        ] {
            assert_eq!(signature(&text), Some(wanted));
        }
        for text in ["", "AAAA", "A", &"A".repeat(85), &"A".repeat(88), "é"] {
            assert_eq!(signature(text), None, "{text}");
        }
    }
}
