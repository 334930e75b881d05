//! Subjects and the filters that match them.
//!
//! A subject is a run of tokens joined by dots. In a filter the token `*`
//! stands for any one token and a last token `>` for one or more. Any other
//! byte may stand in a token; `a*b` is a token like any other.

/// The tokens of a subject, empty ones included.
pub type Tokens<'a> = std::slice::Split<'a, u8, fn(&u8) -> bool>;

/// Splits a subject at its dots.
#[inline]
pub fn tokens(subject: &[u8]) -> Tokens<'_> {
    subject.split(is_dot as fn(&u8) -> bool)
}

#[inline]
fn is_dot(byte: &u8) -> bool {
    *byte == b'.'
}

/// How many tokens a subject has; `None` if one of them is empty. Looks at
/// eight bytes at a time.
pub fn count_tokens(subject: &[u8]) -> Option<usize> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const LOW: u64 = 0x7f * EACH;
    if matches!(subject.last(), None | Some(b'.')) {
        return None;
    }
    // A token must not begin with a dot, so the first one counts as behind one.
    let (mut rest, mut before, mut count) = (subject, 0x80, 1);
    while !rest.is_empty() {
        let others = first_word(rest) ^ (u64::from(b'.') * EACH);
        // The top bit of each byte that is a dot.
        let dots = !(((others & LOW) + LOW) | others | LOW);
        if dots & (dots << 8 | before) != 0 {
            return None;
        }
        before = dots >> 56;
        // Sums them up in the highest byte.
        count += (dots >> 7).wrapping_mul(EACH) >> 56;
        rest = rest.get(8..).unwrap_or_default();
    }
    Some(count as usize)
}

/// The first eight bytes as a number, the first the lowest; zeros where there
/// are fewer.
#[inline]
pub fn first_word(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => bytes
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// Whether a subscription may be made with this: no empty token, and `>` only
/// at the end. Blanks are not looked for, as no command line can carry them.
pub fn is_valid_filter(filter: &[u8]) -> bool {
    let mut ended = false;
    for token in tokens(filter) {
        if ended || token.is_empty() {
            return false;
        }
        ended = token == b">";
    }
    true
}

/// `starts_with` for what each message is asked: in a known length it needs no
/// call.
#[inline]
pub fn begins_with<const N: usize>(subject: &[u8], start: &[u8; N]) -> bool {
    subject.first_chunk() == Some(start)
}

/// Whether this names exactly one subject: valid, and without wildcards.
pub fn is_literal(subject: &[u8]) -> bool {
    // A client asks this of each message, so it is one pass.
    let (mut len, mut last) = (0usize, 0);
    let is_sound = |len, last| len > 1 || (len == 1 && last != b'*' && last != b'>');
    for &byte in subject {
        if byte == b'.' {
            if !is_sound(len, last) {
                return false;
            }
            len = 0;
        } else {
            len += 1;
            last = byte;
        }
    }
    is_sound(len, last)
}

/// Whether `filter` covers the literal `subject`.
///
/// Both must be valid; see [`is_valid_filter`]. This walks the two side by
/// side and is meant for single tests; the router has an index for many.
pub fn matches(filter: &[u8], subject: &[u8]) -> bool {
    let mut rest = tokens(subject);
    for want in tokens(filter) {
        let Some(token) = rest.next() else {
            return false;
        };
        match want {
            b">" => return true,
            b"*" => {}
            _ if want == token => {}
            _ => return false,
        }
    }
    rest.next().is_none()
}

/// Whether a literal subject exists that both filters cover.
///
/// Both must be valid; see [`is_valid_filter`].
pub fn subjects_collide(one: &[u8], other: &[u8]) -> bool {
    let (mut left, mut right) = (tokens(one), tokens(other));
    loop {
        match (left.next(), right.next()) {
            (None, None) => return true,
            (Some(b">"), Some(_)) | (Some(_), Some(b">")) => return true,
            (Some(b"*"), Some(_)) | (Some(_), Some(b"*")) => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

/// Whether everything that `filter` covers is covered by `of` too.
///
/// Both must be valid; see [`is_valid_filter`].
pub fn is_subset(filter: &[u8], of: &[u8]) -> bool {
    let mut rest = tokens(filter);
    for want in tokens(of) {
        match (want, rest.next()) {
            (_, None) => return false,
            (b">", Some(_)) => return true,
            (_, Some(b">")) => return false,
            (b"*", Some(_)) => {}
            (_, Some(token)) if token == want => {}
            _ => return false,
        }
    }
    rest.next().is_none()
}

/// Whether this holds a byte that no subject on a command line can hold.
pub fn has_blank(subject: &[u8]) -> bool {
    subject
        .iter()
        .any(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn filters_are_checked_token_by_token() {
        for good in [
            "a", "a.b", "*", ">", "a.*", "a.>", "*.b.>", "a*b", "a>b.c", "ä.ö", "$SYS.>",
        ] {
            assert!(is_valid_filter(good.as_bytes()), "{good}");
        }
        for bad in ["", ".", "a.", ".a", "a..b", ">.a", "a.>.b"] {
            assert!(!is_valid_filter(bad.as_bytes()), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn tokens_are_counted(subject in "[a.]{0,40}|([ab-é]{0,12}\\.){0,6}[ab-é]{0,12}") {
            let is_whole = tokens(subject.as_bytes()).all(|token| !token.is_empty());
            let count = tokens(subject.as_bytes()).count();
            prop_assert_eq!(count_tokens(subject.as_bytes()), is_whole.then_some(count));
        }
    }

    #[test]
    fn literals_hold_no_wildcard_tokens() {
        for good in ["a", "a.b", "a*b", "a.b>", "**"] {
            assert!(is_literal(good.as_bytes()), "{good}");
        }
        for bad in ["*", ">", "a.*", "a.>", "a..b", ""] {
            assert!(!is_literal(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn matching_follows_the_wildcards() {
        for (filter, subject, want) in [
            ("a", "a", true),
            ("a", "b", false),
            ("a", "a.b", false),
            ("a.b", "a", false),
            ("*", "a", true),
            ("*", "a.b", false),
            (">", "a", true),
            (">", "a.b.c", true),
            ("a.>", "a", false),
            ("a.>", "a.b", true),
            ("a.*.c", "a.b.c", true),
            ("a.*.c", "a.b.d", false),
            ("*.*", "a.b", true),
            ("a*b", "a*b", true),
            ("a*b", "axb", false),
        ] {
            assert_eq!(
                matches(filter.as_bytes(), subject.as_bytes()),
                want,
                "{filter} {subject}"
            );
        }
    }

    #[test]
    fn collisions_are_found_both_ways() {
        for (one, other, want) in [
            ("a", "a", true),
            ("a", "b", false),
            ("a", "a.b", false),
            ("a.*", "a.b", true),
            ("a.*", "*.b", true),
            ("a.>", "a", false),
            ("a.>", "*.b", true),
            ("*", ">", true),
            ("a.*.c", "a.b.>", true),
            ("a.*.c", "a.b.d", false),
            ("*.x", "$JS.>", true),
        ] {
            let (left, right) = (one.as_bytes(), other.as_bytes());
            assert_eq!(subjects_collide(left, right), want, "{one} {other}");
            assert_eq!(subjects_collide(right, left), want, "{other} {one}");
        }
    }

    #[test]
    fn subsets_are_covered_as_a_whole() {
        for (filter, of, want) in [
            ("a", "a", true),
            ("a.b", "a.*", true),
            ("a.*", "a.b", false),
            ("a.*", "a.*", true),
            ("a.>", "a.*", false),
            ("a.>", "a.>", true),
            ("a.b.>", "a.>", true),
            ("a.*", "a.>", true),
            ("a", "a.>", false),
            (">", ">", true),
            ("*", ">", true),
            (">", "*", false),
            ("$JS.EVENT.>", "$JS.EVENT.>", true),
            ("$JS.>", "$JS.EVENT.>", false),
        ] {
            assert_eq!(
                is_subset(filter.as_bytes(), of.as_bytes()),
                want,
                "{filter} {of}"
            );
        }
    }
}
