//! What an account has of the streams.
//!
//! Streams of all accounts share memory, batches and the disk. Names, limits
//! and counters are each account's own.

use super::stream::Stream;
use super::streams::Streams;
use crate::accounts::AccountConfig;
use crate::ids::{AccountId, StreamId};
use midge_api::{API_LEVEL, AccountInfo, AccountLimits};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An account, as far as streams go.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) name: Arc<str>,
    /// What it may use; `None` if it may have no streams.
    pub(super) limits: Option<AccountLimits>,
    pub(crate) by_name: BTreeMap<String, StreamId>,
    pub(crate) api_total: u64,
    pub(crate) api_errors: u64,
}

impl Tenant {
    pub(crate) fn new(config: &AccountConfig) -> Self {
        Tenant {
            name: config.name.as_str().into(),
            limits: config.streams,
            by_name: BTreeMap::new(),
            api_total: 0,
            api_errors: 0,
        }
    }
}

impl Streams {
    /// The streams of an account, by name.
    pub(crate) fn streams_of(&self, account: AccountId) -> impl Iterator<Item = &Stream> {
        let ids = self.tenants[account].by_name.values();
        ids.filter_map(|id| self.streams.get(id))
    }

    /// The account that a stream from the disk is in, if that may have
    /// streams now.
    pub(super) fn home_of(&self, stream: &Stream) -> Option<AccountId> {
        let is_home = |(_, tenant): &(AccountId, &Tenant)| {
            tenant.name == stream.account_name && tenant.limits.is_some()
        };
        self.tenants.iter().find(is_home).map(|(id, _)| id)
    }

    /// What an account may use and what it does.
    pub(crate) fn info_of_account(&self, account: AccountId) -> AccountInfo<'static> {
        let tenant = &self.tenants[account];
        let mut info = AccountInfo {
            streams: tenant.by_name.len() as u64,
            limits: tenant.limits.unwrap_or_default(),
            api_level: API_LEVEL,
            api_total: tenant.api_total,
            api_errors: tenant.api_errors,
            ..AccountInfo::default()
        };
        for stream in self.streams_of(account) {
            let reserved = u64::try_from(stream.config.max_bytes).unwrap_or(0);
            let bytes = stream.log.bytes();
            info.consumers += stream.consumers.len() as u64;
            if stream.is_volatile() {
                info.memory += bytes;
                info.reserved_memory += reserved;
            } else {
                info.storage += bytes;
                info.reserved_storage += reserved;
            }
        }
        info
    }
}
