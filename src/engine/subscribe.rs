//! SUB and UNSUB.

use crate::account::Sink;
use crate::engine::{Engine, Flow};
use crate::ids::SubId;
use crate::permissions::Verdict;
use crate::{ConnId, Outbox};
use midge_proto::WireError;

impl Engine {
    pub(crate) fn subscribe<O: Outbox>(
        &mut self,
        conn: ConnId,
        subject: &[u8],
        queue: Option<&[u8]>,
        sid: &[u8],
        out: &mut O,
    ) -> Flow {
        let tokens_max = self.config.limits.max_subject_tokens;
        let verdict = self.judge(conn, subject, queue);
        let refusal = if verdict == Verdict::Denied {
            Some(WireError::SubscriptionViolation(subject, queue))
        } else if tokens_max > 0 && midge_proto::tokens(subject).count() > tokens_max {
            Some(WireError::TooManyTokens(subject))
        } else if self.room.is_spent() || self.is_at_subscription_limit(conn) {
            Some(WireError::MaximumSubscriptions)
        } else if self.subscription_of(conn, sid).is_some() {
            // The first subscription of this name stays, and nobody is told.
            None
        } else if !midge_proto::is_valid_filter(subject) {
            Some(WireError::InvalidSubject)
        } else {
            self.add_subscription(conn, subject, queue, sid, verdict == Verdict::Filtered);
            None
        };
        match refusal {
            Some(error) => self.refuse(conn, error, out),
            None => self.confirm(conn, out),
        }
    }

    fn judge(&self, conn: ConnId, subject: &[u8], queue: Option<&[u8]>) -> Verdict {
        let session = self.sessions.get(conn);
        match session.and_then(|session| session.bounds.as_ref()) {
            Some(bounds) => bounds.permissions.judge(subject, queue),
            None => Verdict::Allowed,
        }
    }

    pub(crate) fn is_at_subscription_limit(&self, conn: ConnId) -> bool {
        self.sessions.get(conn).is_some_and(|session| {
            let own = self.accounts[session.account].limits.max_subscriptions;
            let max = own.unwrap_or(self.config.limits.max_subscriptions);
            max > 0 && session.subscription_count() >= max
        })
    }

    /// Makes a subscription for a valid filter and a sid that is free.
    pub(crate) fn add_subscription(
        &mut self,
        conn: ConnId,
        filter: &[u8],
        queue: Option<&[u8]>,
        sid: &[u8],
        is_filtered: bool,
    ) -> Option<SubId> {
        let session = self.sessions.get_mut(conn)?;
        let account = &mut self.accounts[session.account];
        let id = account.subscribe(Sink::Session(conn.index), filter, queue, sid);
        account.subs[id.index()].is_filtered = is_filtered;
        session.add_subscription(account, &self.sid_hasher, id);
        self.interest_changed();
        Some(id)
    }

    pub(crate) fn unsubscribe<O: Outbox>(
        &mut self,
        conn: ConnId,
        sid: &[u8],
        max: u64,
        out: &mut O,
    ) -> Flow {
        if let Some(id) = self.subscription_of(conn, sid)
            && let Some(session) = self.sessions.get(conn)
        {
            let sub = &mut self.accounts[session.account].subs[id.index()];
            sub.max = max;
            if sub.delivered >= max {
                self.remove_subscription(conn, id);
            }
        }
        self.confirm(conn, out)
    }

    pub(crate) fn subscription_of(&self, conn: ConnId, sid: &[u8]) -> Option<SubId> {
        let session = self.sessions.get(conn)?;
        session.subscription(&self.accounts[session.account], &self.sid_hasher, sid)
    }

    pub(crate) fn remove_subscription(&mut self, conn: ConnId, id: SubId) {
        if let Some(session) = self.sessions.get_mut(conn) {
            let account = &mut self.accounts[session.account];
            session.remove_subscription(account, &self.sid_hasher, id);
            account.unsubscribe(id);
        }
        self.interest_changed();
    }
}
