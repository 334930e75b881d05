//! The ways back from a service in one account to its requester in another.
//!
//! A request that crosses into another account gets a reply subject of the
//! server's own, `_R_.` and a word that nobody can guess. What is published
//! there goes to the subject that the requester named, in its account; from
//! other accounts than the service's nothing does.

use crate::Time;
use crate::ids::AccountId;
use crate::imports::Answers;
use crate::recent::Recent;
use foldhash::fast::FixedState;
use std::time::Duration;

/// What such reply subjects begin with, and the filter over them.
pub(crate) const PREFIX: &[u8; 4] = b"_R_.";
pub(crate) const FILTER: &[u8] = b"_R_.>";

/// Ways that are open at a time; with more, the oldest is closed. Each takes
/// some 250 bytes and the subject that the requester named, which may be as
/// long as a line.
const OPEN_MAX: usize = 65_536;

/// How long a way stays open for one who does not answer, and after each
/// answer where several may come. nats-server waits as long.
const OPEN_FOR: Duration = Duration::from_secs(120);

/// Where an answer goes that is given later.
#[derive(Debug, Clone)]
pub(crate) struct ReplyTo {
    pub(crate) account: AccountId,
    pub(crate) subject: Box<[u8]>,
}

impl ReplyTo {
    pub(crate) fn new(account: AccountId, subject: &[u8]) -> Self {
        ReplyTo {
            account,
            subject: subject.into(),
        }
    }
}

#[derive(Debug)]
struct Way {
    /// The account that the request went to.
    from: AccountId,
    to: ReplyTo,
    answers: Answers,
    until: Time,
}

#[derive(Debug)]
pub(crate) struct WaysBack(Recent<Way>);

impl WaysBack {
    pub(crate) fn new(hasher: &FixedState) -> Self {
        WaysBack(Recent::new(OPEN_MAX, hasher))
    }

    /// Opens a way from a subject, which nobody has had before, in the account
    /// that the request goes to.
    pub(crate) fn open(
        &mut self,
        (from, subject): (AccountId, &[u8]),
        to: ReplyTo,
        answers: Answers,
        now: Time,
    ) {
        while self.0.oldest().is_some_and(|way| way.until <= now) {
            self.0.forget_oldest();
        }
        let until = now + OPEN_FOR;
        let way = Way {
            from,
            to,
            answers,
            until,
        };
        self.0.insert(subject, way);
    }

    /// Where an answer goes. An empty one is the last, and so is the first
    /// where one is all that may come.
    pub(crate) fn take(
        &mut self,
        from: (AccountId, &[u8]),
        is_empty: bool,
        now: Time,
    ) -> Option<ReplyTo> {
        self.get(from, now)?;
        let (_, subject) = from;
        let mut way = self.0.remove(subject)?;
        if way.answers == Answers::One || is_empty {
            return Some(way.to);
        }
        let to = way.to.clone();
        way.until = now + OPEN_FOR;
        self.0.insert(subject, way);
        Some(to)
    }

    /// Where an answer would go.
    pub(crate) fn get(&self, (from, subject): (AccountId, &[u8]), now: Time) -> Option<&ReplyTo> {
        let way = self.0.get(subject)?;
        (way.from == from && way.until > now).then_some(&way.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A subject in the account that requests go to.
    fn service(subject: &[u8]) -> (AccountId, &[u8]) {
        (AccountId(2), subject)
    }

    fn ways(count: usize, answers: Answers) -> WaysBack {
        let mut ways = WaysBack::new(&FixedState::default());
        for number in 0..count {
            let to = ReplyTo::new(AccountId::GLOBAL, b"inbox");
            ways.open(service(&number.to_le_bytes()), to, answers, Time::default());
        }
        ways
    }

    #[test]
    fn ways_close_with_the_last_answer_or_with_time() {
        let (subject, now) = (0usize.to_le_bytes(), Time::default());
        let mut one = ways(1, Answers::One);
        assert!(one.take(service(&subject), false, now).is_some());
        assert!(one.take(service(&subject), false, now).is_none());
        let mut several = ways(1, Answers::Several);
        let later = now + OPEN_FOR / 2;
        assert!(several.take(service(&subject), false, later).is_some());
        let much_later = later + OPEN_FOR / 2 + OPEN_FOR / 4;
        assert!(several.get(service(&subject), much_later).is_some());
        assert!(several.take(service(&subject), true, much_later).is_some());
        assert!(several.take(service(&subject), false, much_later).is_none());
        let mut late = ways(1, Answers::One);
        assert!(
            late.take(service(&subject), false, now + OPEN_FOR)
                .is_none()
        );
    }

    #[test]
    fn the_oldest_way_is_closed_for_one_too_many() {
        let mut ways = ways(OPEN_MAX + 1, Answers::One);
        let (first, second) = (0usize.to_le_bytes(), 1usize.to_le_bytes());
        assert!(ways.take(service(&first), false, Time::default()).is_none());
        assert!(
            ways.take(service(&second), false, Time::default())
                .is_some()
        );
    }

    #[test]
    fn what_is_answered_takes_no_room_from_what_is_not() {
        let (mut ways, now) = (ways(1, Answers::One), Time::default());
        for number in 1..=OPEN_MAX {
            let to = ReplyTo::new(AccountId::GLOBAL, b"inbox");
            ways.open(service(&number.to_le_bytes()), to, Answers::One, now);
            assert!(
                ways.take(service(&number.to_le_bytes()), false, now)
                    .is_some()
            );
        }
        assert!(
            ways.take(service(&0usize.to_le_bytes()), false, now)
                .is_some()
        );
    }

    #[test]
    fn only_the_account_that_was_asked_can_answer() {
        let (mut ways, now) = (ways(1, Answers::One), Time::default());
        let subject = 0usize.to_le_bytes();
        let forged = (AccountId(3), &subject[..]);
        assert!(ways.get(forged, now).is_none());
        assert!(ways.take(forged, false, now).is_none());
        assert!(ways.take(service(&subject), false, now).is_some());
    }
}
