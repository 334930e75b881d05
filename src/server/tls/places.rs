//! Who is at a handshake, and who waits for one.
//!
//! Of those that have begun there is a limit. The others wait in the order in
//! which they connected, nobody overtakes them, and who leaves is forgotten:
//! the list is never longer than there are connections.

use midge_engine::ConnId;
use std::collections::BTreeSet;

/// Handshakes that have begun, at a time: each may hold some ten kilobytes.
/// With a client's answer a tenth of a second away these are 2500 a second,
/// more than one core can sign.
const HANDSHAKES_MAX: usize = 256;

#[derive(Default)]
pub(super) struct Places {
    taken: usize,
    /// Generations come first, because they grow with each connection.
    waiting: BTreeSet<(u32, ConnId)>,
}

impl Places {
    /// Handshakes that have begun and are not over.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// Takes a place; false if there is none, or others wait for one. The
    /// connection waits then.
    pub(super) fn take(&mut self, id: ConnId) -> bool {
        let is_free = self.taken < HANDSHAKES_MAX && self.waiting.is_empty();
        if is_free {
            self.taken += 1;
        } else {
            self.waiting.insert((id.generation, id));
        }
        is_free
    }

    /// Gives a free place to whoever waits the longest.
    pub(super) fn give(&mut self) -> Option<ConnId> {
        if !self.can_give() {
            return None;
        }
        let (_, id) = self.waiting.pop_first()?;
        self.taken += 1;
        Some(id)
    }

    /// Somebody waits, and needs not.
    pub(super) fn can_give(&self) -> bool {
        self.taken < HANDSHAKES_MAX && !self.waiting.is_empty()
    }

    /// A handshake is over, however it went.
    pub(super) fn free(&mut self) {
        self.taken = self.taken.saturating_sub(1);
    }

    /// A connection waits no longer; false if it did not.
    pub(super) fn forget(&mut self, id: ConnId) -> bool {
        self.waiting.remove(&(id.generation, id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Later ones have lower indices, as where places in the table are used again.
    fn conn(number: u32) -> ConnId {
        ConnId {
            index: 10_000 - number,
            generation: number,
        }
    }

    fn full() -> Places {
        let mut places = Places::default();
        for number in 0..HANDSHAKES_MAX as u32 {
            assert!(places.take(conn(number)));
        }
        places
    }

    #[test]
    fn who_waits_is_overtaken_by_nobody() {
        let mut places = full();
        assert!(!places.take(conn(1000)));
        assert!(!places.take(conn(1001)));
        assert_eq!(places.give(), None);
        places.free();
        assert!(!places.take(conn(1002)), "others were there before");
        assert_eq!(places.give(), Some(conn(1000)));
        assert_eq!(places.give(), None, "there was one place");
        places.free();
        places.free();
        assert_eq!(places.give(), Some(conn(1001)));
        assert_eq!(places.give(), Some(conn(1002)));
        assert_eq!(places.taken(), HANDSHAKES_MAX);
    }

    #[test]
    fn who_leaves_takes_no_place() {
        let mut places = full();
        for number in 1000..9000 {
            assert!(!places.take(conn(number)));
        }
        for number in 1000..8999 {
            assert!(places.forget(conn(number)));
        }
        assert!(!places.forget(conn(1000)));
        assert_eq!(places.waiting.len(), 1);
        for _ in 0..HANDSHAKES_MAX {
            places.free();
        }
        assert!(places.can_give(), "though nobody is left to make room");
        assert_eq!(places.give(), Some(conn(8999)));
        assert!(!places.can_give());
        assert!(places.take(conn(9001)));
    }
}
