//! Reply subjects that a client may answer to, though nothing else allows it.
//!
//! A user with `allow_responses` may publish to the reply subject of each
//! message that has come, so many times and for so long. What has run out is
//! forgotten when room is needed.

use crate::Time;
use crate::permissions::Responses;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::collections::VecDeque;

/// Reply subjects that are remembered of one client. With more, the oldest
/// can not be answered any more.
const REPLIES_MAX: usize = 4096;

#[derive(Debug)]
pub(crate) struct Replies {
    open: HashMap<Box<[u8]>, Permit, FixedState>,
    /// The oldest first; some may be gone already.
    order: VecDeque<Box<[u8]>>,
}

#[derive(Debug)]
struct Permit {
    left: Option<u32>,
    until: Option<Time>,
}

impl Replies {
    /// The seed keeps publishers from choosing subjects that collide.
    pub(crate) fn new(hasher: &FixedState) -> Self {
        Replies {
            open: HashMap::with_hasher(hasher.clone()),
            order: VecDeque::new(),
        }
    }

    /// A message came that asks for an answer.
    pub(crate) fn note(&mut self, reply: &[u8], rules: Responses, now: Time) {
        let permit = Permit {
            left: rules.max,
            until: rules.expires.map(|expires| now + expires),
        };
        if self.open.insert(reply.into(), permit).is_some() {
            return;
        }
        self.order.push_back(reply.into());
        while self.order.len() > REPLIES_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.open.remove(&oldest);
            }
        }
    }

    /// Whether an answer may go there now. If so, it is one less.
    pub(crate) fn take(&mut self, subject: &[u8], now: Time) -> bool {
        let Some(permit) = self.open.get_mut(subject) else {
            return false;
        };
        if permit.until.is_some_and(|until| until < now) {
            self.open.remove(subject);
            return false;
        }
        match &mut permit.left {
            None => return true,
            Some(left) => *left -= 1,
        }
        if permit.left == Some(0) {
            self.open.remove(subject);
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
}
