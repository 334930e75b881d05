//! Answers that wait for what they promise to be safe.

use crate::ids::AccountId;

/// What is said if it does not become safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnFailure {
    /// The PubAck of a stream says so.
    PubAck,
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
        on_failure: OnFailure,
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
        on_failure: OnFailure,
        payload: impl FnOnce(&mut Vec<u8>) -> usize,
    ) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; HEAD_LEN]);
        self.bytes.extend_from_slice(reply);
        let body_start = self.bytes.len();
        let header_len = payload(&mut self.bytes) as u32;
        let body_len = (self.bytes.len() - body_start) as u32;
        let head = &mut self.bytes[start..start + HEAD_LEN];
        head[..4].copy_from_slice(&(reply.len() as u32).to_le_bytes());
        head[4..8].copy_from_slice(&body_len.to_le_bytes());
        head[8] = match on_failure {
            OnFailure::PubAck => 0,
            OnFailure::Api => 1,
            OnFailure::Silence => 2,
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
    pub(crate) fn each(&self, mut told: impl FnMut(AccountId, &[u8], &[u8], usize, OnFailure)) {
        let mut rest = &self.bytes[..];
        while let Some((head, tail)) = rest.split_at_checked(HEAD_LEN) {
            let reply_len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
            let body_len = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
            let on_failure = match head[8] {
                0 => OnFailure::PubAck,
                1 => OnFailure::Api,
                _ => OnFailure::Silence,
            };
            let account = AccountId(u16::from_le_bytes([head[9], head[10]]));
            let header_len = u32::from_le_bytes([head[11], head[12], head[13], head[14]]) as usize;
            let (reply, tail) = tail.split_at(reply_len);
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
                on_failure,
            ));
        });
        assert_eq!(
            told,
            [
                (
                    AccountId::GLOBAL,
                    b"a".to_vec(),
                    b"one".to_vec(),
                    0,
                    OnFailure::PubAck
                ),
                (
                    AccountId::SYSTEM,
                    b"bb".to_vec(),
                    b"".to_vec(),
                    0,
                    OnFailure::Silence
                ),
                (
                    AccountId::GLOBAL,
                    b"c".to_vec(),
                    b"hb".to_vec(),
                    1,
                    OnFailure::Silence
                )
            ]
        );
    }
}
