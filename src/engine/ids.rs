//! Names for things that live in tables.

use std::fmt;

/// A connection: its place in the caller's table, and which of the
/// connections that have had that place it is.
///
/// The caller hands ids out. An id whose generation has passed names nobody,
/// so a late event can never reach the wrong client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId {
    /// The place in the table.
    pub index: u32,
    /// Tells it from all others that have had this place.
    pub generation: u32,
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.index, self.generation)
    }
}

/// An account: its place in the table of accounts, which it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(pub(crate) u16);

impl AccountId {
    /// `$G`, where those are whom nothing puts elsewhere.
    pub const GLOBAL: AccountId = AccountId(0);

    /// The one that is there for those who look after the server.
    pub const SYSTEM: AccountId = AccountId(1);
}

/// A message's place in its stream. Numbers start at 1, only grow, and are
/// never given out twice; 0 stands before the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl Seq {
    /// The one after this.
    pub fn next(self) -> Seq {
        Seq(self.0.saturating_add(1))
    }

    /// The one before this; 0 has none and stays.
    pub fn prev(self) -> Seq {
        Seq(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A delivery's place among those of its consumer: every delivery has its own,
/// also the second one of the same message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliverySeq(pub u64);

impl fmt::Display for DeliverySeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A stream, for as long as its data exist. Never given to another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u32);

/// A consumer of a stream. Never given to another of that stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerId(pub u32);

/// A subscription's place in its account's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SubId(u32);

impl SubId {
    /// The id of a place in a table.
    ///
    /// # Panics
    /// Beyond four billion subscriptions, which take 800 GB.
    pub(crate) fn new(index: usize) -> Self {
        assert!(
            u32::try_from(index).is_ok(),
            "subscription ids have 32 bits"
        );
        SubId(index as u32)
    }

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}
