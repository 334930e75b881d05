//! What an account has of the streams.
//!
//! Streams of all accounts share memory, batches and the disk. Names, limits
//! and counters are each account's own.

use super::intake::Incoming;
use super::stream::Stream;
use super::streams::Streams;
use crate::accounts::{AccountConfig, Accounts};
use crate::ids::{AccountId, StreamId, SubId};
use midge_api::{AccountInfo, AccountLimits, ApiError, Storage, StreamConfig};
use midge_proto::API_LEVEL;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An account, as far as streams go.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) name: Arc<str>,
    /// What it may use; `None` if it may have no streams.
    pub(super) limits: Option<AccountLimits>,
    pub(crate) by_name: BTreeMap<String, StreamId>,
    /// What the API listens on in it.
    pub(super) api: Vec<SubId>,
    pub(crate) api_total: u64,
    pub(crate) api_errors: u64,
    used: Used,
}

/// Bytes that streams take, where that has a bound. At least as much as they
/// do: what leaves is counted when the bound is met.
#[derive(Debug)]
pub(super) struct Used {
    memory: u64,
    storage: u64,
    /// Something may have left since it was counted.
    is_stale: bool,
}

impl Used {
    /// Not counted yet, so that the first message makes it.
    pub(super) const UNKNOWN: Used = Used {
        memory: u64::MAX,
        storage: u64::MAX,
        is_stale: true,
    };

    fn of(&mut self, is_volatile: bool) -> &mut u64 {
        match is_volatile {
            true => &mut self.memory,
            false => &mut self.storage,
        }
    }

    /// Something may have left.
    pub(super) fn count_again(&mut self) {
        self.is_stale = true;
    }

    /// Whether so much more is within the bound.
    fn has_room(&mut self, is_volatile: bool, len: u64, max: u64) -> bool {
        let sum = self.of(is_volatile).checked_add(len);
        sum.is_some_and(|sum| sum <= max)
    }
}

impl Tenant {
    pub(crate) fn new(config: &AccountConfig) -> Self {
        Tenant {
            name: config.name.as_str().into(),
            limits: config.streams,
            by_name: BTreeMap::new(),
            api: Vec::new(),
            api_total: 0,
            api_errors: 0,
            used: Used::UNKNOWN,
        }
    }

    /// Whether the bytes of its streams have a bound.
    pub(super) fn has_bounds(&self) -> bool {
        let limits = self.limits.unwrap_or_default();
        bound(limits.max_memory).is_some() || bound(limits.max_storage).is_some()
    }

    /// Something may have left one of its streams.
    pub(super) fn count_again(&mut self) {
        self.used.count_again();
    }
}

/// What a limit allows; -1 is no limit.
fn bound(limit: i64) -> Option<u64> {
    u64::try_from(limit).ok()
}

/// The same where 0 is no limit either.
fn positive(limit: i64) -> Option<u64> {
    bound(limit).filter(|max| *max > 0)
}

impl Streams {
    /// Accounts may use other amounts of streams from now on.
    pub(super) fn change_limits(&mut self, accounts: &Accounts) {
        for (id, account) in accounts.iter() {
            self.tenants[id].limits = account.streams;
            // What came while there was no bound was not counted.
            self.tenants[id].used = Used::UNKNOWN;
        }
        self.find_bounds();
    }

    pub(super) fn find_bounds(&mut self) {
        let mut tenants = self.tenants.iter();
        let limits = &self.config.limits;
        self.has_bounds = limits.max_memory > 0
            || limits.max_storage > 0
            || tenants.any(|(_, tenant)| tenant.has_bounds());
    }

    /// Whether a stream may be made, or changed if it is there, as far as its
    /// account's limits go.
    pub(super) fn check_account_limits(
        &self,
        account: AccountId,
        config: &StreamConfig,
        own: Option<StreamId>,
    ) -> Result<(), ApiError> {
        let tenant = &self.tenants[account];
        let limits = tenant.limits.ok_or(ApiError::NOT_ENABLED_FOR_ACCOUNT)?;
        if limits.max_bytes_required && config.max_bytes <= 0 {
            return Err(ApiError::STREAM_MAX_BYTES_REQUIRED);
        }
        let asked = bound(config.max_consumers).unwrap_or(0);
        if positive(limits.max_consumers).is_some_and(|max| asked > max) {
            return Err(ApiError::MAXIMUM_CONSUMERS_LIMIT);
        }
        let is_volatile = config.storage == Storage::Memory;
        let (max, max_stream, exceeded) = match is_volatile {
            true => (
                limits.max_memory,
                limits.memory_max_stream_bytes,
                ApiError::MEMORY_RESOURCES_EXCEEDED,
            ),
            false => (
                limits.max_storage,
                limits.storage_max_stream_bytes,
                ApiError::STORAGE_RESOURCES_EXCEEDED,
            ),
        };
        let reserved = bound(config.max_bytes).unwrap_or(0);
        if positive(max_stream).is_some_and(|max| reserved > max) {
            return Err(ApiError::STREAM_MAX_STREAM_BYTES_EXCEEDED);
        }
        let count = tenant.by_name.len() as u64;
        if own.is_none() && positive(limits.max_streams).is_some_and(|max| count >= max) {
            return Err(ApiError::MAXIMUM_STREAMS_LIMIT);
        }
        let max_of_server = match is_volatile {
            true => self.config.limits.max_memory,
            false => self.config.limits.max_storage,
        };
        // A stream without a limit takes something as well.
        let least = reserved.max(1);
        let (mut of_account, mut of_all) = (least, least);
        let others = self.streams.values();
        for other in others.filter(|other| Some(other.id) != own) {
            if other.is_volatile() == is_volatile {
                let reserved = bound(other.config.max_bytes).unwrap_or(0);
                of_all = of_all.saturating_add(reserved);
                if other.account == account {
                    of_account = of_account.saturating_add(reserved);
                }
            }
        }
        let is_over_own = bound(max).is_some_and(|max| of_account > max);
        if is_over_own || (max_of_server > 0 && of_all > max_of_server) {
            return Err(exceeded);
        }
        Ok(())
    }

    /// Whether the streams of all accounts together take more than they may,
    /// as far as a stream in memory, or one on disk, is concerned.
    #[inline]
    pub(super) fn is_server_full(&mut self, id: StreamId) -> bool {
        self.has_bounds && self.is_beyond(id)
    }

    fn is_beyond(&mut self, id: StreamId) -> bool {
        let Some(stream) = self.streams.get(&id) else {
            return false;
        };
        let is_volatile = stream.is_volatile();
        let max = match is_volatile {
            true => self.config.limits.max_memory,
            false => self.config.limits.max_storage,
        };
        if max == 0 || *self.used.of(is_volatile) <= max {
            return false;
        }
        if std::mem::take(&mut self.used.is_stale) {
            let bytes_of = |is_volatile: bool| {
                let all = self.streams.values();
                let bytes = all.filter(|stream| stream.is_volatile() == is_volatile);
                bytes.map(|stream| stream.log.bytes()).sum()
            };
            (self.used.memory, self.used.storage) = (bytes_of(true), bytes_of(false));
        }
        *self.used.of(is_volatile) > max
    }

    /// Whether the limit of its account leaves room for a message in a stream.
    #[inline]
    pub(super) fn has_room(&mut self, id: StreamId, message: Incoming<'_>) -> bool {
        !self.has_bounds || self.is_in_bounds(id, &|is_volatile| message.accounted_len(is_volatile))
    }

    /// The same for messages that are stored together; `len_of` is what they
    /// come to, in memory or in a file.
    pub(super) fn has_room_for_all(&mut self, id: StreamId, len_of: &dyn Fn(bool) -> u64) -> bool {
        !self.has_bounds || self.is_in_bounds(id, len_of)
    }

    /// Counts a message that was stored.
    #[inline]
    pub(super) fn count_in(&mut self, id: StreamId, message: Incoming<'_>) {
        match self.has_bounds {
            true => self.count_in_bounds(id, message),
            false => self.stored_total += 1,
        }
    }

    fn count_in_bounds(&mut self, id: StreamId, message: Incoming<'_>) {
        let mut len = 0;
        if let Some(stream) = self.streams.get(&id) {
            len = message.accounted_len(stream.is_volatile());
            if stream.config.allow_msg_counter {
                // Its body was made here.
                let subject = stream.log.subjects.get(message.subject);
                len = subject.map_or(len, |subject| u64::from(subject.last.size));
            }
        }
        self.count_in_len(id, 1, len);
    }

    /// The same for several that have come to so much.
    pub(super) fn count_in_len(&mut self, id: StreamId, messages: u64, len: u64) {
        self.stored_total += messages;
        if self.has_bounds
            && let Some(stream) = self.streams.get(&id)
        {
            let is_volatile = stream.is_volatile();
            let own = self.tenants[stream.account].used.of(is_volatile);
            *own = own.saturating_add(len);
            let all = self.used.of(is_volatile);
            *all = all.saturating_add(len);
        }
    }

    /// A stream came that was filled before.
    pub(super) fn count_anew(&mut self, account: AccountId) {
        self.tenants[account].used = Used::UNKNOWN;
        self.used = Used::UNKNOWN;
    }

    /// How much may still be stored in a stream, as far as its account goes.
    pub(super) fn room_left(&mut self, id: StreamId) -> u64 {
        let Some(stream) = self.streams.get(&id).filter(|_| self.has_bounds) else {
            return u64::MAX;
        };
        let (account, is_volatile) = (stream.account, stream.is_volatile());
        let limits = self.tenants[account].limits.unwrap_or_default();
        let max = match is_volatile {
            true => limits.max_memory,
            false => limits.max_storage,
        };
        let Some(max) = bound(max) else {
            return u64::MAX;
        };
        if std::mem::take(&mut self.tenants[account].used.is_stale) {
            self.count_used(account);
        }
        max.saturating_sub(*self.tenants[account].used.of(is_volatile))
    }

    fn count_used(&mut self, account: AccountId) {
        let info = self.info_of_account(account);
        let used = &mut self.tenants[account].used;
        (used.memory, used.storage) = (info.memory, info.storage);
    }

    /// Whether there is room for so much, which differs between a stream in
    /// memory and one on disk.
    fn is_in_bounds(&mut self, id: StreamId, len_of: &dyn Fn(bool) -> u64) -> bool {
        let Some(stream) = self.streams.get(&id) else {
            return true;
        };
        let (account, is_volatile) = (stream.account, stream.is_volatile());
        let len = len_of(is_volatile);
        let tenant = &mut self.tenants[account];
        let limits = tenant.limits.unwrap_or_default();
        let max = match is_volatile {
            true => limits.max_memory,
            false => limits.max_storage,
        };
        let Some(max) = bound(max) else {
            return true;
        };
        if tenant.used.has_room(is_volatile, len, max) {
            return true;
        }
        if !std::mem::take(&mut tenant.used.is_stale) {
            return false;
        }
        self.count_used(account);
        self.tenants[account].used.has_room(is_volatile, len, max)
    }

    /// The consumers that a stream of an account may have, and messages that
    /// each may have unacknowledged.
    pub(super) fn consumer_limits(&self, account: AccountId) -> (Option<u64>, Option<i64>) {
        let limits = self.tenants[account].limits.unwrap_or_default();
        let both = [self.config.limits.max_ack_pending, limits.max_ack_pending];
        let max_ack_pending = both.into_iter().filter(|max| *max > 0).min();
        (positive(limits.max_consumers), max_ack_pending)
    }

    /// The streams of an account, by name.
    pub(crate) fn streams_of(&self, account: AccountId) -> impl Iterator<Item = &Stream> {
        let ids = self.tenants[account].by_name.values();
        ids.filter_map(|id| self.streams.get(id).map(|stream| &**stream))
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
