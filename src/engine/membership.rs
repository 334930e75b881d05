//! Who is in which account, and what comes of it.

use crate::ConnId;
use crate::account::Sink;
use crate::engine::Engine;
use crate::ids::{AccountId, SubId};
use crate::session::Session;
use crate::stats::AccountStats;

impl Engine {
    /// Makes a part of the server listen.
    pub(crate) fn listen(&mut self, account: AccountId, sink: Sink, filter: &[u8]) -> SubId {
        let account = &mut self.accounts[account];
        account.of_streams += usize::from(is_always_there(sink));
        account.subscribe(sink, filter, None, b"")
    }

    /// Ends what [`Engine::listen`] has begun.
    pub(crate) fn unlisten(&mut self, account: AccountId, sub: SubId) {
        let account = &mut self.accounts[account];
        let ended = account.unsubscribe(sub);
        account.of_streams -= usize::from(is_always_there(ended.sink));
    }

    /// Takes a session, which has no subscriptions, into the account of its
    /// user; false if there are as many in it as there may be.
    pub(crate) fn enter_account(&mut self, conn: ConnId, id: AccountId) -> bool {
        let Some(session) = self.sessions.get_mut(conn) else {
            return false;
        };
        let (before, place) = (session.account, session.place);
        session.account = id;
        self.part(before, place);
        let account = &mut self.accounts[id];
        if let Some(session) = self.sessions.get_mut(conn) {
            account.join(session);
        }
        let max = account.limits.max_connections;
        max.is_none_or(|max| account.members.len() <= max)
    }

    /// Takes whoever has this place out of those of an account.
    pub(crate) fn part(&mut self, account: AccountId, place: usize) {
        let members = &mut self.accounts[account].members;
        members.swap_remove(place);
        // The last one has the place now.
        let moved = members.get(place);
        if let Some(moved) = moved.and_then(|conn| self.sessions.get_mut(*conn)) {
            moved.place = place;
        }
    }

    /// All accounts, `$G` and the system account first.
    pub fn accounts(&self) -> impl Iterator<Item = AccountId> {
        self.accounts.iter().map(|(id, _)| id)
    }

    /// Whether an account may have streams, and streams are offered.
    pub fn has_streams_in(&self, account: AccountId) -> bool {
        self.has_streams() && self.config.accounts[account].streams.is_some()
    }

    /// The sessions of an account, in no particular order.
    pub fn sessions_of(&self, account: AccountId) -> impl Iterator<Item = &Session> {
        let members = self.accounts[account].members.iter();
        members.filter_map(|conn| self.sessions.get(*conn))
    }

    /// What passes through an account.
    pub fn account_stats(&self, account: AccountId) -> AccountStats {
        let mut stats = self.accounts[account].past_stats();
        for session in self.sessions_of(account) {
            stats.traffic.add(session.traffic);
        }
        stats
    }

    /// What passes through each of all accounts: one look at every session,
    /// however many accounts there are.
    pub fn all_account_stats(&self) -> Vec<(AccountId, AccountStats)> {
        let past = self.accounts.iter();
        let mut all: Vec<_> = past.map(|(id, one)| (id, one.past_stats())).collect();
        for session in self.sessions.iter() {
            if let Some((_, stats)) = all.get_mut(usize::from(session.account.0)) {
                stats.traffic.add(session.traffic);
            }
        }
        all
    }

    /// Accounts that somebody is in.
    pub fn active_accounts(&self) -> usize {
        let accounts = self.accounts.iter();
        accounts.filter(|(_, one)| !one.members.is_empty()).count()
    }

    /// What an account is called.
    pub fn account_name(&self, account: AccountId) -> &str {
        &self.accounts[account].name
    }

    /// The account of this name.
    pub fn account_named(&self, name: &str) -> Option<AccountId> {
        self.config.accounts.named(name)
    }
}

/// Whether such subscriptions are among those that streams have in every account.
fn is_always_there(sink: Sink) -> bool {
    matches!(sink, Sink::Api | Sink::Maintenance)
}
