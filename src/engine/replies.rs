//! Reply subjects that a client may answer to, though nothing else allows it.
//!
//! A user with `allow_responses` may publish to the reply subject of each
//! message that has come, so many times and for so long. What has run out is
//! forgotten when room is needed.

use crate::Time;
use crate::permissions::Responses;
use crate::recent::Recent;
use foldhash::fast::FixedState;

/// Reply subjects that are remembered of one client. With more, the oldest
/// can not be answered any more.
const REPLIES_MAX: usize = 4096;

#[derive(Debug)]
pub(crate) struct Replies(Recent<Permit>);

#[derive(Debug)]
struct Permit {
    left: Option<u32>,
    until: Option<Time>,
}

impl Replies {
    pub(crate) fn new(hasher: &FixedState) -> Self {
        Replies(Recent::new(REPLIES_MAX, hasher))
    }

    /// A message came that asks for an answer.
    pub(crate) fn note(&mut self, reply: &[u8], rules: Responses, now: Time) {
        let permit = Permit {
            left: rules.max,
            until: rules.expires.map(|expires| now + expires),
        };
        self.0.insert(reply, permit);
    }

    /// Whether an answer may go there now. If so, it is one less.
    pub(crate) fn take(&mut self, subject: &[u8], now: Time) -> bool {
        let Some(permit) = self.0.get_mut(subject) else {
            return false;
        };
        if permit.until.is_some_and(|until| until < now) {
            self.0.remove(subject);
            return false;
        }
        match &mut permit.left {
            None => return true,
            Some(left) => *left -= 1,
        }
        if permit.left == Some(0) {
            self.0.remove(subject);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn now() -> Time {
        Time::default()
    }

    fn rules(max: Option<u32>, expires: Option<u64>) -> Responses {
        Responses {
            max,
            expires: expires.map(Duration::from_secs),
        }
    }

    #[test]
    fn answers_are_counted_and_timed() {
        let mut replies = Replies::new(&FixedState::default());
        assert!(!replies.take(b"r", now()));
        replies.note(b"r", rules(Some(2), Some(10)), now());
        assert!(replies.take(b"r", now()) && replies.take(b"r", now()));
        assert!(!replies.take(b"r", now()));
        replies.note(b"r", rules(Some(2), Some(10)), now());
        assert!(!replies.take(b"r", now() + Duration::from_secs(11)));
        replies.note(b"r", rules(None, None), now());
        let late = now() + Duration::from_secs(1_000_000);
        assert!((0..9).all(|_| replies.take(b"r", late)));
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut replies = Replies::new(&FixedState::default());
        for number in 0..=REPLIES_MAX as u64 {
            replies.note(&number.to_le_bytes(), Responses::default(), now());
        }
        assert!(!replies.take(&0u64.to_le_bytes(), now()));
        assert!(replies.take(&1u64.to_le_bytes(), now()));
    }

    #[test]
    fn a_subject_may_be_answered_however_often_it_was() {
        let mut replies = Replies::new(&FixedState::default());
        let once = rules(Some(1), None);
        replies.note(b"kept", once, now());
        for number in 0..5000u64 {
            replies.note(b"r", once, now());
            assert!(replies.take(b"r", now()), "{number}");
            assert!(!replies.take(b"r", now()), "{number}");
            replies.note(&number.to_le_bytes(), once, now());
            assert!(replies.take(&number.to_le_bytes(), now()), "{number}");
        }
        assert!(replies.take(b"kept", now()));
    }
}
