//! What streams and consumers may be called.

use super::error::ApiError;

/// The longest name, in bytes.
pub const MAX_NAME: usize = 255;

fn has_separator(name: &str) -> bool {
    name.contains(['/', '\\'])
}

/// Whether this can be the name of a stream or of a consumer.
pub fn is_valid_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && !has_separator(name) && !has_special(name)
}

fn has_special(name: &str) -> bool {
    name.contains(['.', '*', '>', ' ', '\t', '\r', '\n', '\x0c'])
}

/// Checks the name of a stream that is to be made or changed.
///
/// # Errors
/// 10128 for path separators, 10052 for what else is wrong.
pub fn check_stream_name(name: &str) -> Result<(), ApiError> {
    if has_separator(name) {
        return Err(ApiError::STREAM_NAME_CONTAINS_PATH_SEPARATORS);
    }
    if name.len() > MAX_NAME {
        return Err(ApiError::stream_invalid_config(
            "stream name is too long, maximum allowed is 255",
        ));
    }
    if !is_valid_name(name) {
        return Err(ApiError::stream_invalid_config(
            r"stream name is required and can not contain '.', '*', '>', '\', '/'",
        ));
    }
    Ok(())
}

/// Checks the name of a consumer that is to be made or changed.
///
/// # Errors
/// 10127 for path separators, 10102 for length, 10052 for what else is wrong.
pub fn check_consumer_name(name: &str) -> Result<(), ApiError> {
    if has_separator(name) {
        return Err(ApiError::CONSUMER_NAME_CONTAINS_PATH_SEPARATORS);
    }
    if name.is_empty() || has_special(name) {
        return Err(ApiError::stream_invalid_config(
            r"consumer name can not contain '.', '*', '>', '\', '/'",
        ));
    }
    if name.len() > MAX_NAME {
        return Err(ApiError::consumer_name_too_long(MAX_NAME));
    }
    Ok(())
}

/// The longest name of a priority group, in bytes.
const MAX_GROUP_NAME: usize = 16;

/// Checks the name of a priority group.
///
/// # Errors
/// 10161 when there is none, 10162 when no group can be called so.
pub(super) fn check_group_name(name: &str) -> Result<(), ApiError> {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"/_=-".contains(byte);
    if name.is_empty() {
        return Err(ApiError::CONSUMER_EMPTY_GROUP_NAME);
    }
    if name.len() > MAX_GROUP_NAME || !name.as_bytes().iter().all(is_letter) {
        return Err(ApiError::CONSUMER_INVALID_GROUP_NAME);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_refused_with_the_error_of_their_place() {
        for good in ["a", "ORDERS_1", "ä", "$x", &"x".repeat(255)] {
            assert_eq!(check_stream_name(good), Ok(()), "{good}");
            assert_eq!(check_consumer_name(good), Ok(()), "{good}");
        }
        for (bad, stream, consumer) in [
            ("", 10052, 10052),
            ("a.b", 10052, 10052),
            ("a b", 10052, 10052),
            ("a*", 10052, 10052),
            ("a/b", 10128, 10127),
            ("a\\b", 10128, 10127),
            (&"x".repeat(256), 10052, 10102),
        ] {
            let code = |checked: Result<(), ApiError>| checked.map_err(|error| error.err_code);
            assert_eq!(code(check_stream_name(bad)), Err(stream), "{bad}");
            assert_eq!(code(check_consumer_name(bad)), Err(consumer), "{bad}");
            assert!(!is_valid_name(bad), "{bad}");
        }
    }
}
