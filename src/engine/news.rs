//! What happens to clients, for those in the system account who listen.
//!
//! The engine notes it; the words are those of whoever has the clock. While
//! nobody listens there nothing is noted, and what nobody comes to tell in
//! time is left out and counted.

use crate::account::Account;
use crate::engine::Engine;
use crate::ids::AccountId;
use crate::outbox::{CloseReason, Outbox};
use crate::session::Session;
use crate::{ConnId, Time};
use std::collections::VecDeque;

/// News that may wait; a turn of the loop lets in a good deal fewer clients.
const WAITING_MAX: usize = 512;

/// Length of the id that each piece of news has.
const ID_LEN: usize = 22;

/// Something that has happened.
#[derive(Debug)]
pub enum News {
    /// A client has entered an account.
    Entered(ConnId),
    /// A client is gone.
    Left(Box<Session>, CloseReason),
}

/// What is still to be told.
#[derive(Debug, Default)]
pub(crate) struct Untold {
    waiting: VecDeque<News>,
    left_out: u64,
}

impl Untold {
    fn push(&mut self, news: News) -> bool {
        let has_room = self.waiting.len() < WAITING_MAX;
        if has_room {
            self.waiting.push_back(news);
        } else {
            self.left_out += 1;
        }
        has_room
    }
}

impl Engine {
    /// Whether anybody is subscribed to anything in the system account.
    pub fn has_listeners(&self) -> bool {
        self.accounts[AccountId::SYSTEM].subscription_count() > 0
    }

    pub(crate) fn note_entry(&mut self, conn: ConnId) {
        if self.has_listeners()
            && let Some(session) = self.sessions.get_mut(conn)
        {
            session.entry_untold = self.untold.push(News::Entered(conn));
        }
    }

    pub(crate) fn note_end(&mut self, session: Box<Session>, reason: CloseReason) {
        if self.has_listeners() {
            self.untold.push(News::Left(session, reason));
        }
    }

    /// Whether there are news.
    pub fn has_news(&self) -> bool {
        !self.untold.waiting.is_empty()
    }

    /// The oldest news. A client that is gone already is not told to have
    /// entered before its end is: [`Session::is_entry_untold`].
    pub fn take_news(&mut self) -> Option<News> {
        loop {
            let news = self.untold.waiting.pop_front()?;
            let News::Entered(conn) = news else {
                return Some(news);
            };
            if let Some(session) = self.sessions.get_mut(conn) {
                session.entry_untold = false;
                return Some(news);
            }
        }
    }

    /// How many news were left out since this was last asked.
    pub fn take_left_out(&mut self) -> u64 {
        std::mem::take(&mut self.untold.left_out)
    }

    /// A name for a piece of news that no other has.
    pub fn news_id(&mut self) -> String {
        self.rng.name(ID_LEN)
    }

    /// Whether anybody would get news on this subject.
    pub fn is_awaited(&mut self, subject: &str) -> bool {
        self.is_heard(AccountId::SYSTEM, subject.as_bytes())
    }

    /// Tells those who listen in the system account.
    pub fn tell_news<O: Outbox>(&mut self, now: Time, subject: &str, body: &[u8], out: &mut O) {
        self.answer(AccountId::SYSTEM, subject.as_bytes(), body, out);
        self.feed_internal(now, out);
        self.clean_up(out);
    }
}

impl Account {
    /// Subscriptions beside those that are always there.
    fn subscription_count(&self) -> usize {
        self.subs.len() - self.uncounted - self.of_streams
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_has_a_bound_and_the_rest_is_counted() {
        let mut untold = Untold::default();
        let conn = ConnId {
            index: 1,
            generation: 1,
        };
        let kept = (0..WAITING_MAX + 3).filter(|_| untold.push(News::Entered(conn)));
        assert_eq!(kept.count(), WAITING_MAX);
        assert_eq!((untold.waiting.len(), untold.left_out), (WAITING_MAX, 3));
    }
}
