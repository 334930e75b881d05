//! Which accounts there are, and what the clients of each may use.
//!
//! Two are always there: `$G`, which those are in whom nothing puts elsewhere,
//! and the system account, `$SYS` unless another is named. What a client of
//! one account does is neither seen nor felt in another.

use crate::ids::AccountId;
use crate::imports::Import;
#[cfg(feature = "streams")]
use crate::imports::ImportKind;
use midge_api::AccountLimits;
use std::ops::{Index, IndexMut};

/// The account that clients are in when nothing names another.
pub(crate) const GLOBAL: &str = "$G";

/// Accounts that there may be. Each is an index of its own; more are hardly
/// for one machine.
pub const ACCOUNTS_MAX: usize = 4096;

/// The accounts that there are: `$G`, the system account, then all others.
#[derive(Debug, Clone)]
pub struct Accounts {
    all: Vec<AccountConfig>,
    /// What they take from one another.
    pub imports: Vec<Import>,
}

/// An account as it is configured.
#[derive(Debug, Clone)]
pub struct AccountConfig {
    /// What it is called.
    pub name: String,
    /// What its clients may ask for.
    pub limits: ClientLimits,
    /// What its streams may take; `None` if it may have none.
    pub streams: Option<AccountLimits>,
}

/// Limits of an account's clients that stand in place of the server's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClientLimits {
    /// Of all of them together.
    pub max_connections: Option<usize>,
    /// Of one connection.
    pub max_subscriptions: Option<usize>,
    /// Bytes of one message.
    pub max_payload: Option<usize>,
}

/// Something that each account has one of. None ever leaves its place.
#[derive(Debug)]
pub(crate) struct ByAccount<T>(Vec<T>);

impl<T> ByAccount<T> {
    /// Makes one for each account.
    pub(crate) fn new(accounts: &Accounts, make: impl Fn(&AccountConfig) -> T) -> Self {
        ByAccount(accounts.all.iter().map(make).collect())
    }

    /// Makes one for each account that has come since.
    pub(crate) fn extend(&mut self, accounts: &Accounts, make: impl Fn(&AccountConfig) -> T) {
        let added = accounts.all.iter().skip(self.0.len());
        self.0.extend(added.map(make));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (AccountId, &T)> {
        (0..).map(AccountId).zip(&self.0)
    }

    #[cfg(feature = "streams")]
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (AccountId, &mut T)> {
        (0..).map(AccountId).zip(&mut self.0)
    }
}

impl<T> Index<AccountId> for ByAccount<T> {
    type Output = T;

    #[inline]
    fn index(&self, id: AccountId) -> &T {
        &self.0[usize::from(id.0)]
    }
}

impl<T> IndexMut<AccountId> for ByAccount<T> {
    #[inline]
    fn index_mut(&mut self, id: AccountId) -> &mut T {
        &mut self.0[usize::from(id.0)]
    }
}

impl AccountConfig {
    /// An account without limits and without streams.
    pub fn new(name: &str) -> Self {
        AccountConfig {
            name: name.to_owned(),
            limits: ClientLimits::default(),
            streams: None,
        }
    }
}

impl Index<AccountId> for Accounts {
    type Output = AccountConfig;

    fn index(&self, id: AccountId) -> &AccountConfig {
        &self.all[usize::from(id.0)]
    }
}

impl IndexMut<AccountId> for Accounts {
    fn index_mut(&mut self, id: AccountId) -> &mut AccountConfig {
        &mut self.all[usize::from(id.0)]
    }
}

impl Default for Accounts {
    /// `$G`, which may have streams, and `$SYS`, which may not.
    fn default() -> Self {
        let mut global = AccountConfig::new(GLOBAL);
        global.streams = Some(AccountLimits::default());
        Accounts {
            all: vec![global, AccountConfig::new(Accounts::SYSTEM)],
            imports: Vec::new(),
        }
    }
}

impl Accounts {
    /// What the system account is called unless another is it.
    pub const SYSTEM: &str = "$SYS";

    /// All of them, `$G` first.
    pub fn iter(&self) -> impl Iterator<Item = (AccountId, &AccountConfig)> {
        (0..).map(AccountId).zip(&self.all)
    }

    /// Whether what is about the streams of all accounts is an account's to
    /// ask for: the system account's, and `$G`'s where there is no other.
    pub(crate) fn is_operator(&self, id: AccountId) -> bool {
        id == AccountId::SYSTEM || !self.has_others()
    }

    /// Whether there are others than `$G` and the system account.
    pub fn has_others(&self) -> bool {
        self.all.len() > 2
    }

    /// Adds one, unless there are as many as there may be.
    pub fn add(&mut self, account: AccountConfig) -> Option<AccountId> {
        if self.all.len() >= ACCOUNTS_MAX {
            return None;
        }
        let id = AccountId(u16::try_from(self.all.len()).ok()?);
        self.all.push(account);
        Some(id)
    }

    /// Whether a server with these may go on with others: accounts may change
    /// what they may use and what they take from one another, but not go or move,
    /// and not begin or cease to keep streams. New ones without streams may come
    /// behind them.
    pub fn may_become(&self, others: &Accounts) -> bool {
        let Some((old, new)) = others.all.split_at_checked(self.all.len()) else {
            return false;
        };
        let kind = |account: &AccountConfig| (account.name.clone(), account.streams.is_some());
        self.all.iter().map(kind).eq(old.iter().map(kind))
            && new.iter().all(|account| account.streams.is_none())
    }

    /// Whether what an account asks the stream API first goes to another account,
    /// and so the rest as far as that has it.
    #[cfg(feature = "streams")]
    pub(crate) fn is_api_imported(&self, id: AccountId) -> bool {
        let mut imports = self.imports.iter();
        imports.any(|import| {
            import.importer == id
                && matches!(import.kind, ImportKind::Service(_))
                && midge_proto::matches(&import.filter, b"$JS.API.INFO")
        })
    }

    /// The one of this name.
    pub fn named(&self, name: &str) -> Option<AccountId> {
        let found = self.iter().find(|(_, account)| account.name == name);
        found.map(|(id, _)| id)
    }
}
