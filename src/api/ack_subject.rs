//! The subjects that acks and flow control answers are sent to.
//!
//! They carry all that a client is told about a delivery, and all that the
//! server needs to know to take the ack. There are two forms; the short one is
//! sent, both are understood.

use midge_proto::Timestamp;
use midge_proto::encode::{DIGITS_ROOM, digits_before};
use midge_proto::{first_word, tokens};

/// What all ack subjects begin with.
pub const ACK_PREFIX: &[u8] = b"$JS.ACK.";
/// What all flow control subjects begin with.
pub const FLOW_CONTROL_PREFIX: &[u8] = b"$JS.FC.";

/// What one delivery is told and acknowledged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AckSubject<'a> {
    /// The stream.
    pub stream: &'a [u8],
    /// The consumer.
    pub consumer: &'a [u8],
    /// How often the message was delivered, this time included.
    pub delivered: u64,
    /// Its sequence in the stream.
    pub stream_seq: u64,
    /// The number of this delivery.
    pub consumer_seq: u64,
    /// When it was stored.
    pub time: Timestamp,
    /// How many are left for the consumer.
    pub pending: u64,
}

/// Where a flow control answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowControlSubject<'a> {
    /// The stream.
    pub stream: &'a [u8],
    /// The consumer.
    pub consumer: &'a [u8],
    /// Which request is answered.
    pub token: &'a [u8],
}

impl<'a> AckSubject<'a> {
    /// Reads a subject of either form.
    // Each ack has one, so this is for its caller to build, as all of the kind.
    #[inline]
    pub fn parse(subject: &'a [u8]) -> Option<AckSubject<'a>> {
        let rest = subject.strip_prefix(ACK_PREFIX)?;
        let mut fields = [&b""[..]; 9];
        let mut count = 0;
        for token in tokens(rest) {
            if let Some(field) = fields.get_mut(count) {
                *field = token;
            }
            count += 1;
        }
        let short = match count {
            7 => &fields[..7],
            // A domain and the hash of an account stand before the stream,
            // and there may be more at the end.
            9.. => &fields[2..],
            _ => return None,
        };
        let [
            stream,
            consumer,
            delivered,
            stream_seq,
            consumer_seq,
            stored,
            pending,
        ] = *short
        else {
            return None;
        };
        if stream.is_empty() || consumer.is_empty() {
            return None;
        }
        Some(AckSubject {
            stream,
            consumer,
            // As in nats-server: what is not a number is one that is never
            // reached, and only the message's own counts.
            delivered: number(delivered).unwrap_or(u64::MAX),
            stream_seq: number(stream_seq)?,
            consumer_seq: number(consumer_seq).unwrap_or(u64::MAX),
            time: time(stored)?,
            pending: number(pending)?,
        })
    }

    /// Reads what stands behind the names in the short form, as far as it says
    /// which delivery is meant: names, time and what was left are not in the
    /// result. `None` says nothing about the subject: it has to go to
    /// [`AckSubject::parse`], which takes every form.
    #[inline]
    pub fn parse_tail(tail: &[u8]) -> Option<AckSubject<'static>> {
        let (delivered, rest) = leading_number(tail)?;
        let (stream_seq, rest) = leading_number(rest.strip_prefix(b".")?)?;
        let (consumer_seq, rest) = leading_number(rest.strip_prefix(b".")?)?;
        let rest = behind_number(rest.strip_prefix(b".")?)?;
        let rest = behind_number(rest.strip_prefix(b".")?)?;
        rest.is_empty().then_some(AckSubject {
            stream: b"",
            consumer: b"",
            delivered,
            stream_seq,
            consumer_seq,
            time: Timestamp(0),
            pending: 0,
        })
    }

    /// Appends the short form.
    pub fn write(&self, out: &mut Vec<u8>) {
        write_ack_prefix(out, self.stream, self.consumer);
        self.write_tail(out);
    }

    /// Appends the long form. Without a domain, `_` stands for it.
    pub fn write_long(&self, out: &mut Vec<u8>, domain: &[u8], account_hash: &[u8]) {
        out.extend_from_slice(ACK_PREFIX);
        push_token(out, if domain.is_empty() { b"_" } else { domain });
        push_token(out, account_hash);
        push_token(out, self.stream);
        push_token(out, self.consumer);
        self.write_tail(out);
    }

    /// Appends what differs from delivery to delivery; see
    /// [`write_ack_prefix`] for what does not.
    pub fn write_tail(&self, out: &mut Vec<u8>) {
        const ROOM: usize = 5 * DIGITS_ROOM;
        let mut bytes = [0; ROOM];
        // From its end, so that no number has to be measured before.
        let mut start = digits_before(&mut bytes, ROOM, self.pending) - 1;
        bytes[start] = b'.';
        start = digits_before(&mut bytes, start, self.time.0.unsigned_abs());
        if self.time.0 < 0 {
            start -= 1;
            bytes[start] = b'-';
        }
        for number in [self.consumer_seq, self.stream_seq, self.delivered] {
            start -= 1;
            bytes[start] = b'.';
            start = digits_before(&mut bytes, start, number);
        }
        out.extend_from_slice(&bytes[start..]);
    }
}

/// Appends `$JS.ACK.<stream>.<consumer>.`, which is the same for all
/// deliveries of a consumer.
pub fn write_ack_prefix(out: &mut Vec<u8>, stream: &[u8], consumer: &[u8]) {
    out.extend_from_slice(ACK_PREFIX);
    push_token(out, stream);
    push_token(out, consumer);
}

impl<'a> FlowControlSubject<'a> {
    /// Reads a subject of either form.
    pub fn parse(subject: &'a [u8]) -> Option<FlowControlSubject<'a>> {
        let rest = subject.strip_prefix(FLOW_CONTROL_PREFIX)?;
        let mut fields = tokens(rest);
        match tokens(rest).count() {
            3 => {}
            5 => {
                fields.nth(1);
            }
            _ => return None,
        }
        Some(FlowControlSubject {
            stream: fields.next()?,
            consumer: fields.next()?,
            token: fields.next()?,
        })
    }

    /// Appends the short form.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(FLOW_CONTROL_PREFIX);
        push_token(out, self.stream);
        push_token(out, self.consumer);
        out.extend_from_slice(self.token);
    }
}

fn push_token(out: &mut Vec<u8>, token: &[u8]) {
    out.extend_from_slice(token);
    out.push(b'.');
}

/// Digits, and nothing but digits.
#[inline]
fn number(token: &[u8]) -> Option<u64> {
    let (number, rest) = leading_number(token)?;
    rest.is_empty().then_some(number)
}

/// The number that a text begins with, and what follows it. Looks at eight
/// digits at a time: an ack has forty.
#[inline]
fn leading_number(text: &[u8]) -> Option<(u64, &[u8])> {
    const POWERS: [u64; 9] = [
        1,
        10,
        100,
        1_000,
        10_000,
        100_000,
        1_000_000,
        10_000_000,
        100_000_000,
    ];
    let mut value = 0_u64;
    let mut rest = text;
    loop {
        let (count, word) = leading_digits(rest);
        if count > 0 {
            let digits = word << (64 - 8 * count);
            value = value
                .checked_mul(POWERS[count])?
                .checked_add(eight_digits(digits))?;
            rest = &rest[count..];
        }
        if count < 8 {
            return (rest.len() < text.len()).then_some((value, rest));
        }
    }
}

/// What follows the number that a text begins with, if it is a time or less;
/// there are more such, which have to be read.
#[inline]
fn behind_number(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text;
    loop {
        let (count, _) = leading_digits(rest);
        rest = &rest[count..];
        if count < 8 {
            break;
        }
    }
    match text.len() - rest.len() {
        1..=18 => Some(rest),
        19 if text[0] < b'9' => Some(rest),
        _ => None,
    }
}

/// How many digits a text begins with, up to eight, and what they are worth:
/// the first in the lowest byte.
#[inline]
fn leading_digits(text: &[u8]) -> (usize, u64) {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let word = first_word(text) ^ (u64::from(b'0') * EACH);
    // Sets the top bit of the first byte that is no digit; the bits of later
    // bytes may be wrong and are not looked at.
    let others = (word.wrapping_add((0x80 - 10) * EACH) | word) & (0x80 * EACH);
    ((others.trailing_zeros() / 8) as usize, word)
}

/// The number of which a word has the digits, the first in its lowest byte:
/// makes pairs of them, fours of these and one number of both.
#[inline]
fn eight_digits(digits: u64) -> u64 {
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    (fours * 10_000 + (fours >> 32)) & 0xffff_ffff
}

#[inline]
fn time(token: &[u8]) -> Option<Timestamp> {
    let (negative, digits) = match token.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, token),
    };
    let nanos = i64::try_from(number(digits)?).ok()?;
    Some(Timestamp(if negative { -nanos } else { nanos }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SEEN: &[u8] = b"$JS.ACK.EV.c.1.1.1.1795347172583441793.3";

    fn seen() -> AckSubject<'static> {
        AckSubject {
            stream: b"EV",
            consumer: b"c",
            delivered: 1,
            stream_seq: 1,
            consumer_seq: 1,
            time: Timestamp(1_795_347_172_583_441_793),
            pending: 3,
        }
    }

    /// What is read of a tail.
    fn without_rest(subject: AckSubject<'_>) -> AckSubject<'_> {
        AckSubject {
            stream: b"",
            consumer: b"",
            time: Timestamp(0),
            pending: 0,
            ..subject
        }
    }

    #[test]
    fn both_forms_are_read() {
        assert_eq!(AckSubject::parse(SEEN), Some(seen()));
        for subject in [
            "$JS.ACK._.AbCd1234.EV.c.1.1.1.1795347172583441793.3",
            "$JS.ACK.edge.AbCd1234.EV.c.1.1.1.1795347172583441793.3.random",
        ] {
            assert_eq!(
                AckSubject::parse(subject.as_bytes()),
                Some(seen()),
                "{subject}"
            );
        }
        for subject in [
            "",
            "$JS.ACK.",
            "$JS.ACK.EV.c.1.1.1.1795347172583441793",
            "$JS.ACK.EV.c.1.1.1.1795347172583441793.3.4",
            "$JS.ACK.EV.c.1.-1.1.1795347172583441793.3",
            "$JS.ACK.EV.c.1.99999999999999999999.1.1795347172583441793.3",
            "$JS.ACK..c.1.1.1.1.3",
            "$JS.FC.EV.c.1.1.1.1.3",
        ] {
            assert_eq!(AckSubject::parse(subject.as_bytes()), None, "{subject}");
        }
    }

    #[test]
    fn only_the_sequence_of_the_message_has_to_be_a_number() {
        let ack = AckSubject::parse(b"$JS.ACK.EV.c.x.1.y.1795347172583441793.3");
        let numbers = ack.map(|ack| (ack.delivered, ack.stream_seq, ack.consumer_seq));
        assert_eq!(numbers, Some((u64::MAX, 1, u64::MAX)));
    }

    #[test]
    fn both_forms_are_written() {
        let mut out = Vec::new();
        seen().write(&mut out);
        assert_eq!(out, SEEN);
        out.clear();
        seen().write_long(&mut out, b"", b"AbCd1234");
        assert_eq!(out, b"$JS.ACK._.AbCd1234.EV.c.1.1.1.1795347172583441793.3");
    }

    #[test]
    fn flow_control_goes_both_ways() {
        let subject = FlowControlSubject {
            stream: b"S",
            consumer: b"c",
            token: b"x1",
        };
        let mut out = Vec::new();
        subject.write(&mut out);
        assert_eq!(out, b"$JS.FC.S.c.x1");
        for text in ["$JS.FC.S.c.x1", "$JS.FC.d.hash.S.c.x1"] {
            assert_eq!(FlowControlSubject::parse(text.as_bytes()), Some(subject));
        }
        assert_eq!(FlowControlSubject::parse(b"$JS.FC.S.c"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(tail in "[0-9a-z.-]{0,60}") {
            let _ = AckSubject::parse(format!("$JS.ACK.{tail}").as_bytes());
            let _ = FlowControlSubject::parse(format!("$JS.FC.{tail}").as_bytes());
            let _ = AckSubject::parse(tail.as_bytes());
        }

        #[test]
        fn a_tail_says_the_same_as_the_subject(tail in "([0-9]{1,20}\\.){4}[0-9]{1,20}|[0-9.x-]{5,60}") {
            let subject = format!("$JS.ACK.S.c.{tail}");
            if let Some(read) = AckSubject::parse_tail(tail.as_bytes()) {
                let whole = AckSubject::parse(subject.as_bytes());
                prop_assert_eq!(whole.map(without_rest), Some(read));
            }
        }

        #[test]
        fn numbers_are_read(text in "[0-9]{0,24}", behind in "|[.x:/\u{80}é][0-9]{0,9}") {
            let whole = format!("{text}{behind}");
            let want = text.parse::<u64>().ok().map(|number| (number, behind.as_bytes()));
            prop_assert_eq!(leading_number(whole.as_bytes()), want);
        }

        #[test]
        fn what_is_written_is_read(
            delivered: u64, stream_seq: u64, consumer_seq: u64, time in -9_i64..i64::MAX, pending: u64,
        ) {
            let subject = AckSubject {
                stream: b"S", consumer: b"c", delivered, stream_seq, consumer_seq,
                time: Timestamp(time), pending,
            };
            let mut out = Vec::new();
            subject.write(&mut out);
            prop_assert_eq!(AckSubject::parse(&out), Some(subject));
            out.clear();
            subject.write_tail(&mut out);
            if (0..9_000_000_000_000_000_000).contains(&time) && pending < 9_000_000_000_000_000_000 {
                prop_assert_eq!(AckSubject::parse_tail(&out), Some(without_rest(subject)));
            }
        }
    }
}
