//! The one form that most of a busy server's input has.

use crate::encode::CRLF;
use crate::parse::{ParseLimits, Publish, size};

/// Reads a PUB from the front of `input` if it is whole and written as
/// programs write it: `PUB a.b 5`, `PUB a.b reply 5`. Returns it with the
/// bytes it took.
///
/// `None` says nothing about the input: it has to go to [`parse`](crate::parse()), which
/// takes every form and finds every fault. This exists because most of what a
/// busy server reads is this one form.
#[inline]
pub fn parse_publish<'a>(input: &'a [u8], limits: &ParseLimits) -> Option<(Publish<'a>, usize)> {
    const VERB: &[u8; 4] = b"PUB ";
    if input.first_chunk() != Some(VERB) {
        return None;
    }
    let subject_end = word_end(input, VERB.len());
    let tail_at = subject_end + 1;
    let second_end = word_end(input, tail_at);
    let mut size_at = tail_at;
    let mut line_end = second_end;
    let mut reply = None;
    if *input.get(second_end)? == b' ' {
        reply = Some(&input[tail_at..second_end]);
        size_at = second_end + 1;
        line_end = word_end(input, size_at);
    }
    let size_digits = input.get(size_at..line_end)?;
    let payload_len = size(size_digits)?;
    let payload_at = line_end + CRLF.len();
    let payload_end = payload_at + payload_len;
    let used = payload_end + CRLF.len();
    let is_usual = input[subject_end] == b' '
        && subject_end > VERB.len()
        && reply != Some(b"")
        && input.get(line_end..payload_at)? == CRLF
        && input.get(payload_end..used)? == CRLF
        && line_end - VERB.len() <= limits.max_control_line
        && payload_len <= limits.max_payload;
    if !is_usual {
        return None;
    }
    let publish = Publish {
        subject: &input[VERB.len()..subject_end],
        reply,
        header: None,
        payload: &input[payload_at..payload_end],
        size_digits,
        tail: Some(&input[tail_at..used]),
    };
    Some((publish, used))
}

/// Where the word that starts at `at` ends: at the first blank or control
/// character, or at the end of the input. Looks at eight bytes at a time.
#[inline]
fn word_end(input: &[u8], at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const ABOVE_BLANK: u64 = (b' ' as u64 + 1) * ONES;
    let mut at = at;
    while let Some(chunk) = input.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        // Sets the top bit of the first byte that is not above a blank; the
        // bits of later bytes may be wrong and are not looked at.
        let blanks = word.wrapping_sub(ABOVE_BLANK) & !word & (0x80 * ONES);
        if blanks != 0 {
            return at + (blanks.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while input.get(at).is_some_and(|byte| *byte > b' ') {
        at += 1;
    }
    at.min(input.len())
}
