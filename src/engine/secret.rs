//! What only the right one knows or has, and what proves it.

use crate::nkey::PublicKey;

/// The largest cost of a bcrypt hash. Each step doubles its time: 16 takes
/// seconds, in which nobody else's password is looked at.
const BCRYPT_COST_MAX: u32 = 16;

/// The smallest cost that bcrypt has.
const BCRYPT_COST_MIN: u32 = 4;

/// The letters behind the cost: salt and hash, in bcrypt's own base 64.
const BCRYPT_LETTERS: usize = 53;

/// What a user has to show.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// The name is enough, where clients are not known otherwise.
    None,
    /// In place of a name and a password.
    Token(Password),
    /// With a name.
    Password(Password),
    /// A signature by this key's other half.
    Key(PublicKey),
}

/// A password, or what is kept of one.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// As it is.
    Plain(String),
    /// Its hash, as bcrypt writes it: `$2a$`, cost, salt and hash.
    Bcrypt(String),
}

impl From<String> for Password {
    /// What begins as bcrypt's hashes do is one.
    fn from(text: String) -> Password {
        match Password::is_hash(&text) {
            true => Password::Bcrypt(text),
            false => Password::Plain(text),
        }
    }
}

impl Password {
    /// Whether this begins as bcrypt's hashes do.
    pub fn is_hash(text: &str) -> bool {
        let bytes = text.as_bytes();
        bytes.starts_with(b"$2")
            && bytes.get(2).is_some_and(|kind| b"abxy".contains(kind))
            && bytes.get(3) == Some(&b'$')
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Password::Plain(text) if text.is_empty())
    }

    /// Checks that there is something to be shown, and that a hash is whole and can
    /// be computed in time.
    ///
    /// # Errors
    /// What is wrong, to go behind the name of whose it is.
    pub(crate) fn check(&self) -> Result<(), String> {
        let hash = match self {
            Password::Bcrypt(hash) => hash,
            // Who shows nothing would be let in.
            Password::Plain(_) if self.is_empty() => return Err("is empty".to_owned()),
            Password::Plain(_) => return Ok(()),
        };
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"./".contains(&byte);
        let (cost, letters) = hash[4..].split_once('$').unwrap_or_default();
        let is_whole = letters.len() == BCRYPT_LETTERS && letters.bytes().all(is_letter);
        match cost.parse::<u32>() {
            Ok(cost) if is_whole && cost > BCRYPT_COST_MAX => Err(format!(
                "is a bcrypt hash of cost {cost}, and {BCRYPT_COST_MAX} takes seconds already"
            )),
            Ok(cost) if is_whole && cost >= BCRYPT_COST_MIN => Ok(()),
            _ => Err("begins like a bcrypt hash and is none".to_owned()),
        }
    }
}

/// What has to hold before somebody may enter, and takes too long to find out
/// on the way. There is a secret in it, so it is never shown.
pub enum Proof {
    /// The password is the one that the bcrypt hash was made of.
    Password {
        /// What the client has shown.
        shown: String,
        /// What is kept.
        hash: String,
    },
    /// The key's other half has signed the nonce, by ed25519.
    Signature {
        /// The public key.
        key: [u8; 32],
        /// What was there to be signed.
        nonce: Box<str>,
        /// What the client has shown.
        signature: [u8; 64],
    },
}

/// Compares without stopping at the first difference: how long it takes must
/// not tell how much of a guess was right. The length may show.
pub(crate) fn same(secret: &str, guess: &str) -> bool {
    let (secret, guess) = (secret.as_bytes(), guess.as_bytes());
    let differing = secret.iter().zip(guess).fold(0, |differing, (a, b)| {
        std::hint::black_box(differing | (a ^ b))
    });
    secret.len() == guess.len() && differing == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_known_by_how_they_begin() {
        for (text, is_hash) in [
            ("$2a$11$x", true),
            ("$2b$", true),
            ("$2y$x", true),
            ("$2c$11$x", false),
            ("$2a", false),
            ("$1$abc", false),
            ("", false),
        ] {
            let password = Password::from(text.to_owned());
            assert_eq!(matches!(password, Password::Bcrypt(_)), is_hash, "{text}");
        }
    }

    #[test]
    fn a_hash_is_whole_and_not_too_dear() {
        let letters = "N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy";
        for (text, wanted) in [
            (format!("$2a$11${letters}"), ""),
            (format!("$2y$16${letters}"), ""),
            (format!("$2a$17${letters}"), "cost 17"),
            (format!("$2a$03${letters}"), "is none"),
            (format!("$2a$11${letters}x"), "is none"),
            (format!("$2a$11${}", letters.replace('o', "*")), "is none"),
            (format!("$2a$xx${letters}"), "is none"),
            ("$2a$11".to_owned(), "is none"),
            ("$2a$é".to_owned(), "is none"),
            (" ".to_owned(), ""),
            (String::new(), "is empty"),
        ] {
            let said = Password::from(text.clone())
                .check()
                .err()
                .unwrap_or_default();
            assert_eq!(said.is_empty(), wanted.is_empty(), "{text}: {said}");
            assert!(said.contains(wanted), "{text}: {said}");
        }
    }
}
