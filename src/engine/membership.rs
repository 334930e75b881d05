//! Who is in which account, and what comes of it.

use crate::ConnId;
use crate::account::Sink;
use crate::engine::Engine;
use crate::ids::{AccountId, SubId};
use crate::stats::AccountStats;

impl Engine {
    /// Makes a part of the server listen.
    pub(crate) fn listen(&mut self, account: AccountId, sink: Sink, filter: &[u8]) -> SubId {
        self.accounts[account].subscribe(sink, filter, None, b"")
    }

    /// Takes a session, which has no subscriptions, into the account of its
    /// user; false if there are as many in it as there may be.
    pub(crate) fn enter_account(&mut self, conn: ConnId, id: AccountId) -> bool {
        let Some(session) = self.sessions.get_mut(conn) else {
            return false;
        };
        let before = std::mem::replace(&mut session.account, id);
        self.accounts[before].sessions -= 1;
        let account = &mut self.accounts[id];
        account.sessions += 1;
        let max = account.limits.max_connections;
        max.is_none_or(|max| account.sessions <= max)
    }

    /// All accounts, `$G` and the system account first.
    pub fn accounts(&self) -> impl Iterator<Item = AccountId> {
        self.accounts.iter().map(|(id, _)| id)
    }

    /// Whether an account may have streams, and streams are offered.
    pub fn has_streams_in(&self, account: AccountId) -> bool {
        self.has_streams() && self.config.accounts[account].streams.is_some()
    }

    /// What passes through an account.
    pub fn account_stats(&self, account: AccountId) -> AccountStats {
        let mut stats = self.accounts[account].past_stats();
        for session in self.sessions.iter() {
            if session.account == account {
                stats.traffic.add(session.traffic);
            }
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
        accounts.filter(|(_, one)| one.sessions > 0).count()
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
