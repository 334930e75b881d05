//! What keys and buckets may be called.

use crate::Error;

/// Checks the name of a bucket: one token of a subject, and a part of a
/// stream's name.
///
/// # Errors
/// [`Error::Key`] if it has anything but letters, digits, `_` and `-`.
pub fn check_bucket(name: &str) -> Result<(), Error> {
    let is_name = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if is_name && !name.is_empty() {
        Ok(())
    } else {
        Err(Error::Key(name.to_owned()))
    }
}

fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-/_=".contains(&byte)
}

/// Checks a key: the end of a subject, without wildcards.
///
/// # Errors
/// [`Error::Key`] if a token is empty or has anything but letters, digits and
/// `-/_=`.
pub fn check_key(key: &str) -> Result<(), Error> {
    let is_token = |token: &str| !token.is_empty() && token.bytes().all(is_key_byte);
    if key.split('.').all(is_token) {
        Ok(())
    } else {
        Err(Error::Key(key.to_owned()))
    }
}

/// A filter is a key in which tokens may be `*`, and the last one `>`.
pub(super) fn check_filter(filter: &str) -> Result<(), Error> {
    let body = match filter.strip_suffix('>') {
        Some("") => return Ok(()),
        Some(body) => body.strip_suffix('.').unwrap_or(">"),
        None => filter,
    };
    let is_token =
        |token: &str| token == "*" || (!token.is_empty() && token.bytes().all(is_key_byte));
    if body.split('.').all(is_token) {
        Ok(())
    } else {
        Err(Error::Key(filter.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ends_of_subjects() {
        for good in ["a", "a.b", "A-b_c=d/e.1", "-", "/"] {
            assert!(
                check_key(good).is_ok() && check_filter(good).is_ok(),
                "{good}"
            );
        }
        for bad in ["", ".", "a.", ".a", "a..b", "a b", "ä", "a\n", "$a", "a,b"] {
            assert!(
                check_key(bad).is_err() && check_filter(bad).is_err(),
                "{bad:?}"
            );
        }
        for filter in ["*", ">", "a.*", "a.>", "*.b.*", "*.>"] {
            assert!(
                check_key(filter).is_err() && check_filter(filter).is_ok(),
                "{filter}"
            );
        }
        for bad in [">.a", "a>", "a.>.b", "a*", "**", ">>", ".>"] {
            assert!(check_filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn buckets_are_one_token() {
        for (name, is_name) in [
            ("lamps", true),
            ("A_b-1", true),
            ("", false),
            ("a.b", false),
            ("a b", false),
            ("a/b", false),
            ("*", false),
        ] {
            assert_eq!(check_bucket(name).is_ok(), is_name, "{name}");
        }
    }
}
