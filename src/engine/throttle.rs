//! How often one address may be wrong.
//!
//! An address has an allowance of failures, which comes back with time. Once
//! it is used up, what comes from there is refused unseen; all others go on as
//! before. The table is bounded: where it is full, who has failed least is
//! forgotten.

use crate::Time;
use core::net::IpAddr;
use std::collections::BTreeMap;
use std::time::Duration;

/// Failures that one address may have at once: more than a person mistypes, or
/// the clients of a machine whose password has changed.
const FAILURES_MAX: u32 = 16;

/// How long it takes for one of them to be forgotten. A client that tries the
/// same wrong password every other second is never shut out, nor are others at
/// its address; guessing gets 86,400 tries a day.
const FORGET_AFTER: Duration = Duration::from_secs(1);

/// Addresses that are remembered; some 60 bytes each.
const ADDRESSES_MAX: usize = 1024;

/// Who has failed lately.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    /// For each, when all is forgotten. What is in the past says nothing.
    failed: BTreeMap<Network, Time>,
}

/// The part of an address that one customer has: all of an IPv4 address, the
/// first half of an IPv6 address.
pub(crate) type Network = u64;

pub(crate) fn network(address: IpAddr) -> Network {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        // Those whose upper half is small are not in use.
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    }
}

impl Throttle {
    /// Whether an address has used up its allowance.
    pub(crate) fn is_spent(&self, address: IpAddr, now: Time) -> bool {
        let until = self.failed.get(&network(address));
        until.is_some_and(|until| until.since(now) > FORGET_AFTER * (FAILURES_MAX - 1))
    }

    /// Notes a failure.
    pub(crate) fn failed(&mut self, address: IpAddr, now: Time) {
        let network = network(address);
        if self.failed.len() >= ADDRESSES_MAX && !self.failed.contains_key(&network) {
            self.make_room(now);
        }
        let until = self.failed.entry(network).or_insert(now);
        *until = (*until).max(now) + FORGET_AFTER;
    }

    /// Forgets all that is over, and if nothing is, who has failed least.
    fn make_room(&mut self, now: Time) {
        self.failed.retain(|_, until| *until > now);
        if self.failed.len() >= ADDRESSES_MAX
            && let Some((&least, _)) = self.failed.iter().min_by_key(|(_, until)| **until)
        {
            self.failed.remove(&least);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    #[test]
    fn an_allowance_is_used_up_and_comes_back() {
        let (mut throttle, start) = (Throttle::default(), Time::default());
        let here = address("10.0.0.1");
        for _ in 0..FAILURES_MAX {
            assert!(!throttle.is_spent(here, start));
            throttle.failed(here, start);
        }
        assert!(throttle.is_spent(here, start));
        assert!(throttle.is_spent(address("::ffff:10.0.0.1"), start));
        assert!(!throttle.is_spent(address("10.0.0.2"), start));
        let later = start + FORGET_AFTER;
        assert!(!throttle.is_spent(here, later));
        throttle.failed(here, later);
        assert!(throttle.is_spent(here, later));
    }

    #[test]
    fn networks_are_what_one_customer_has() {
        let (mut throttle, now) = (Throttle::default(), Time::default());
        for last in 0..FAILURES_MAX {
            throttle.failed(address(&format!("2001:db8::{last:x}")), now);
        }
        assert!(throttle.is_spent(address("2001:db8::ffff"), now));
        assert!(!throttle.is_spent(address("2001:db8:0:1::"), now));
    }

    #[test]
    fn the_table_does_not_grow() {
        let (mut throttle, now) = (Throttle::default(), Time::default());
        let worst = address("10.0.0.1");
        for _ in 0..FAILURES_MAX {
            throttle.failed(worst, now);
        }
        for number in 0..10_000u32 {
            throttle.failed(IpAddr::V4((number + (192 << 24)).into()), now);
        }
        assert_eq!(throttle.failed.len(), ADDRESSES_MAX);
        assert!(throttle.is_spent(worst, now));
        throttle.failed(address("10.0.0.2"), now + FORGET_AFTER * 100);
        assert_eq!(throttle.failed.len(), 1);
    }
}
