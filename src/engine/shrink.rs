//! When tables give memory back.
//!
//! A table grows with what is put in and keeps its places when that is taken
//! out again: after one client with a million subscriptions has left, they
//! would stay for good. Giving them back takes a walk over the whole table,
//! so it is done only when a good part of it was removed since the last one.

/// Tables of fewer places than this keep them.
const PLACES_KEPT: usize = 1024;

/// Counts removals from a table, to know when to shrink it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shrink {
    removals: usize,
}

impl Shrink {
    /// Something was removed from a table that has now so many entries in so
    /// many places. True if it should give back what it does not need.
    #[inline]
    pub(crate) fn is_due(&mut self, len: usize, capacity: usize) -> bool {
        self.removals += 1;
        let is_due = capacity > PLACES_KEPT && len < capacity / 4 && self.removals > capacity / 4;
        if is_due {
            self.removals = 0;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_shrinks_seldom_and_only_when_it_is_mostly_empty() {
        let mut shrink = Shrink::default();
        assert!(!(0..PLACES_KEPT).any(|_| shrink.is_due(0, PLACES_KEPT)));
        let mut shrink = Shrink::default();
        let due = (0..10_000).rev().filter(|len| shrink.is_due(*len, 10_000));
        assert_eq!(due.count(), 1);
    }
}
