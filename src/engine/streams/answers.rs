//! Answers that wait for what they promise to be safe.

use crate::ids::{AccountId, Seq, StreamId};
use midge_api::PubAckTail;

/// What is said if it does not become safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnFailure<'a> {
    /// The PubAck of a stream says so.
    PubAck,
    /// One of this stream says so in place of an answer that names none.
    PubAckOf(&'a str),
    /// The answer to a request says so.
    Api,
    /// Nothing: the one who waits asks again.
    Silence,
}

/// An answer that can leave.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) account: AccountId,
    /// Where to.
    pub(crate) reply: &'a [u8],
    /// Header block and body.
    pub(crate) payload: &'a [u8],
    pub(crate) header_len: usize,
    /// What to say if what it promises failed.
    pub(crate) on_failure: OnFailure<'a>,
    /// The same as receivers get it, if it is a PubAck that is spelled already.
    pub(crate) tail: Option<&'a PubAckTail<'a>>,
}

/// Answers with the subjects they go to, in order, in one piece of memory.
///
/// Most are PubAcks that have nothing but the stream, which is kept once for all
/// that come one after the other, and a sequence.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    bytes: Vec<u8>,
    count: usize,
    /// The stream of the last such PubAck.
    acks_of: Option<StreamId>,
}

/// What each begins with.
const HEAD_LEN: usize = 15;

/// What it is: an answer, by what is said if it fails.
const PUB_ACK: u8 = 0;
const API: u8 = 1;
const SILENCE: u8 = 2;
const PUB_ACK_OF: u8 = 3;
/// A PubAck of which only the sequence is kept.
const SEQUENCE: u8 = 4;
/// No answer, but what those behind it begin with.
const ACK_HEAD: u8 = 5;

impl Answers {
    /// Adds an answer; `body` writes it.
    #[inline]
    pub(crate) fn push(
        &mut self,
        account: AccountId,
        reply: &[u8],
        on_failure: OnFailure<'_>,
        body: impl FnOnce(&mut Vec<u8>),
    ) {
        self.push_message(account, reply, on_failure, |bytes| {
            body(bytes);
            0
        });
    }

    /// Adds the PubAck of a message that was stored at `seq`. Those of a stream
    /// all begin the same.
    #[inline]
    pub(crate) fn push_ack(
        &mut self,
        (stream, ack_head): (StreamId, &[u8]),
        account: AccountId,
        reply: &[u8],
        seq: Seq,
    ) {
        if self.acks_of != Some(stream) {
            self.acks_of = Some(stream);
            let len = ack_head.len() as u64;
            let head = head(0, len, account, ACK_HEAD);
            self.bytes.extend_from_slice(&head);
            self.bytes.extend_from_slice(ack_head);
        }
        let head = head(reply.len(), seq.0, account, SEQUENCE);
        self.bytes.extend_from_slice(&head);
        self.bytes.extend_from_slice(reply);
        self.count += 1;
    }

    /// Adds a message; `payload` writes it and tells how long its header block
    /// is.
    #[inline]
    pub(crate) fn push_message(
        &mut self,
        account: AccountId,
        reply: &[u8],
        on_failure: OnFailure<'_>,
        payload: impl FnOnce(&mut Vec<u8>) -> usize,
    ) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; HEAD_LEN]);
        self.bytes.extend_from_slice(reply);
        if let OnFailure::PubAckOf(stream) = on_failure {
            self.bytes.extend_from_slice(stream.as_bytes());
        }
        let body_start = self.bytes.len();
        let mut header_len = payload(&mut self.bytes);
        let body_len = self.bytes.len() - body_start;
        let kind = match on_failure {
            OnFailure::PubAck => PUB_ACK,
            OnFailure::Api => API,
            OnFailure::Silence => SILENCE,
            OnFailure::PubAckOf(stream) => {
                debug_assert_eq!(header_len, 0, "the place is free for the name's length");
                header_len = stream.len();
                PUB_ACK_OF
            }
        };
        let number = (header_len as u64) << 32 | body_len as u64;
        let head = head(reply.len(), number, account, kind);
        self.bytes[start..start + HEAD_LEN].copy_from_slice(&head);
        self.count += 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Tells of each, in order.
    pub(crate) fn each(&self, mut told: impl FnMut(&Answer<'_>)) {
        let mut acks = PubAckTail::new(b"");
        let mut rest = &self.bytes[..];
        while let Some((head, tail)) = rest.split_first_chunk::<HEAD_LEN>() {
            let [l0, l1, l2, l3, number @ .., a0, a1, kind] = *head;
            let reply_len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
            let number = u64::from_le_bytes(number);
            let account = AccountId(u16::from_le_bytes([a0, a1]));
            let (reply, tail) = tail.split_at(reply_len);
            rest = match kind {
                SEQUENCE => {
                    acks.set(number);
                    told(&Answer {
                        account,
                        reply,
                        payload: acks.payload(),
                        header_len: 0,
                        on_failure: OnFailure::PubAck,
                        tail: Some(&acks),
                    });
                    tail
                }
                ACK_HEAD => {
                    let (ack_head, tail) = tail.split_at(number as usize);
                    acks = PubAckTail::new(ack_head);
                    tail
                }
                kind => {
                    let (last_len, body_len) = ((number >> 32) as usize, number as u32 as usize);
                    let (header_len, name_len) = match kind {
                        PUB_ACK_OF => (0, last_len),
                        _ => (last_len, 0),
                    };
                    let (name, tail) = tail.split_at(name_len);
                    let (payload, tail) = tail.split_at(body_len);
                    let on_failure = match kind {
                        PUB_ACK => OnFailure::PubAck,
                        API => OnFailure::Api,
                        SILENCE => OnFailure::Silence,
                        _ => OnFailure::PubAckOf(std::str::from_utf8(name).unwrap_or_default()),
                    };
                    told(&Answer {
                        account,
                        reply,
                        payload,
                        header_len,
                        on_failure,
                        tail: None,
                    });
                    tail
                }
            };
        }
    }

    /// Empties it, keeping a reasonable part of its memory.
    pub(crate) fn clear(&mut self) {
        const KEPT: usize = 256 * 1024;
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
        self.count = 0;
        self.acks_of = None;
    }
}

/// What an answer begins with: how long where it goes to is; how long its body
/// and its header block are, or its sequence; the account; what it is.
#[inline]
fn head(reply_len: usize, number: u64, account: AccountId, kind: u8) -> [u8; HEAD_LEN] {
    let mut head = [0; HEAD_LEN];
    head[..4].copy_from_slice(&(reply_len as u32).to_le_bytes());
    head[4..12].copy_from_slice(&number.to_le_bytes());
    head[12..14].copy_from_slice(&account.0.to_le_bytes());
    head[14] = kind;
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use midge_api::PubAck;

    #[test]
    fn answers_come_in_order() {
        let mut answers = Answers::default();
        answers.push(AccountId::GLOBAL, b"a", OnFailure::PubAck, |body| {
            body.extend_from_slice(b"one")
        });
        answers.push(AccountId::SYSTEM, b"bb", OnFailure::Silence, |_| {});
        let named = OnFailure::PubAckOf("S");
        answers.push(AccountId::GLOBAL, b"d", named, |body| {
            body.extend_from_slice(b"told")
        });
        let mut told = Vec::new();
        answers.push_message(AccountId::GLOBAL, b"c", OnFailure::Silence, |payload| {
            payload.extend_from_slice(b"hb");
            1
        });
        let heads = [PubAck::head("R", ""), PubAck::head("SS", "")];
        for (stream, seq) in [(0, 9), (0, 10), (1, 7), (0, 8)] {
            let of = (StreamId(stream), &*heads[stream as usize]);
            answers.push_ack(of, AccountId::SYSTEM, b"e", Seq(seq));
        }
        answers.each(|answer| {
            let payload = String::from_utf8(answer.payload.to_vec()).expect("is text");
            if let Some(tail) = answer.tail {
                let whole = format!("{}\r\n{payload}\r\n", payload.len());
                assert_eq!(tail.bytes(), whole.as_bytes());
            }
            told.push((
                answer.account,
                answer.reply.to_vec(),
                payload,
                answer.header_len,
                format!("{:?}", answer.on_failure),
            ));
        });
        let ack = |body| (AccountId::SYSTEM, "e", body, 0, "PubAck");
        let wanted = [
            (AccountId::GLOBAL, "a", "one", 0, "PubAck"),
            (AccountId::SYSTEM, "bb", "", 0, "Silence"),
            (AccountId::GLOBAL, "d", "told", 0, "PubAckOf(\"S\")"),
            (AccountId::GLOBAL, "c", "hb", 1, "Silence"),
            ack(r#"{"stream":"R","seq":9}"#),
            ack(r#"{"stream":"R","seq":10}"#),
            ack(r#"{"stream":"SS","seq":7}"#),
            ack(r#"{"stream":"R","seq":8}"#),
        ];
        let wanted = wanted.map(|(account, reply, body, header_len, on_failure)| {
            let (reply, body) = (reply.as_bytes().to_vec(), body.to_owned());
            (account, reply, body, header_len, on_failure.to_owned())
        });
        assert_eq!(told, wanted);
        assert_eq!(answers.len(), 8);
    }
}
