//! Answers that wait for what they promise to be safe.

use crate::ids::AccountId;

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

/// Answers with the subjects they go to, in order, in one piece of memory.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    bytes: Vec<u8>,
    count: usize,
}

const HEAD_LEN: usize = 15;

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
        let mut header_len = payload(&mut self.bytes) as u32;
        let body_len = (self.bytes.len() - body_start) as u32;
        let head = &mut self.bytes[start..start + HEAD_LEN];
        head[..4].copy_from_slice(&(reply.len() as u32).to_le_bytes());
        head[4..8].copy_from_slice(&body_len.to_le_bytes());
        head[8] = match on_failure {
            OnFailure::PubAck => 0,
            OnFailure::Api => 1,
            OnFailure::Silence => 2,
            OnFailure::PubAckOf(stream) => {
                debug_assert_eq!(header_len, 0, "the place is free for the name's length");
                header_len = stream.len() as u32;
                3
            }
        };
        head[9..11].copy_from_slice(&account.0.to_le_bytes());
        head[11..].copy_from_slice(&header_len.to_le_bytes());
        self.count += 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Tells of each: the account, where to, header block and body, how long
    /// the former is, and what to say if it failed.
    pub(crate) fn each(&self, mut told: impl FnMut(AccountId, &[u8], &[u8], usize, OnFailure<'_>)) {
        let mut rest = &self.bytes[..];
        while let Some((head, tail)) = rest.split_at_checked(HEAD_LEN) {
            let reply_len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
            let body_len = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
            let account = AccountId(u16::from_le_bytes([head[9], head[10]]));
            let last_len = u32::from_le_bytes([head[11], head[12], head[13], head[14]]) as usize;
            let (header_len, name_len) = match head[8] {
                3 => (0, last_len),
                _ => (last_len, 0),
            };
            let (reply, tail) = tail.split_at(reply_len);
            let (name, tail) = tail.split_at(name_len);
            let on_failure = match head[8] {
                0 => OnFailure::PubAck,
                1 => OnFailure::Api,
                2 => OnFailure::Silence,
                _ => OnFailure::PubAckOf(std::str::from_utf8(name).unwrap_or_default()),
            };
            let (body, tail) = tail.split_at(body_len);
            told(account, reply, body, header_len, on_failure);
            rest = tail;
        }
    }

    /// Empties it, keeping a reasonable part of its memory.
    pub(crate) fn clear(&mut self) {
        const KEPT: usize = 256 * 1024;
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        answers.each(|account, reply, body, header_len, on_failure| {
            told.push((
                account,
                reply.to_vec(),
                body.to_vec(),
                header_len,
                format!("{on_failure:?}"),
            ));
        });
        let wanted = [
            (AccountId::GLOBAL, "a", "one", 0, "PubAck"),
            (AccountId::SYSTEM, "bb", "", 0, "Silence"),
            (AccountId::GLOBAL, "d", "told", 0, "PubAckOf(\"S\")"),
            (AccountId::GLOBAL, "c", "hb", 1, "Silence"),
        ];
        let wanted = wanted.map(|(account, reply, body, header_len, on_failure)| {
            let (reply, body) = (reply.as_bytes().to_vec(), body.as_bytes().to_vec());
            (account, reply, body, header_len, on_failure.to_owned())
        });
        assert_eq!(told, wanted);
    }
}
