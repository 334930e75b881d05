//! How much memory there is left, when a ceiling is set.
//!
//! The engine cannot see memory; it is told, once a turn, and divides what is
//! left: the less there is, the less may wait for one client, so that those
//! who are furthest behind are cut before anybody else is touched. Where even
//! that leaves too little, nothing that would stay for long is taken in: messages
//! for streams, new streams and consumers. Connections and subscriptions are for
//! a while longer, so that who publishes cannot keep out who comes to make room.
//! What takes things out, acks, deletes and deliveries, goes on.

use crate::limits::Limits;

/// What may wait for one client is at least this: with less, a client that
/// reads would be cut for what one turn brought it.
const SHARE_MIN: usize = 16 * 1024;

/// What may wait for one client, in bytes. Each message looks at it, so it is
/// there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// With more it is cut.
    pub(crate) max: usize,
    /// From so much on its publishers are held back. With a ceiling on memory it
    /// is little, since what is left is soon used up and a reader that only
    /// paused shall not be cut for it.
    pub(crate) stall: usize,
}

/// See the module's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes that may wait for one client, whatever its limits are.
    share: usize,
    /// There is too little left to take in what would stay for long.
    is_short: bool,
    /// There is too little left even for clients.
    is_spent: bool,
}

impl Room {
    /// No ceiling is set.
    pub const BOUNDLESS: Room = Room {
        share: usize::MAX,
        is_short: false,
        is_spent: false,
    };

    /// What is left of `whole` bytes when so many are in use.
    pub fn of(whole: usize, used: usize) -> Room {
        // With half of what is left for each, n readers that have stopped take
        // n of n + 2 parts of three quarters together, and their publishers
        // are held back long before it is short.
        let left = (whole / 4 * 3).saturating_sub(used);
        Room {
            share: (left / 2).max(SHARE_MIN),
            is_short: used > whole / 8 * 7,
            is_spent: used > whole / 16 * 15,
        }
    }

    /// What may wait for one client, given what the limits say.
    pub(crate) fn waiting(self, limits: &Limits) -> Waiting {
        // The largest message fits, with its line, where payloads may be as long.
        let max = limits
            .max_pending
            .saturating_add(limits.frame.max_control_line);
        Waiting {
            max: max.min(self.share),
            stall: limits.stall_pending().min(self.share / 4),
        }
    }

    /// There is too little left to take in what would stay for long.
    pub fn is_short(self) -> bool {
        self.is_short
    }

    /// There is too little left even for connections and subscriptions.
    pub(crate) fn is_spent(self) -> bool {
        self.is_spent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_less_there_is_left_the_less_may_wait() {
        let limits = |max_pending| Limits {
            max_pending,
            ..Limits::default()
        };
        let mut before = Room::of(1 << 26, 0);
        assert!(!before.is_short());
        assert_eq!(before.waiting(&limits(1 << 20)).max, (1 << 20) + 4096);
        for used in (0..=1 << 26).step_by(1 << 20) {
            let room = Room::of(1 << 26, used);
            assert!(room.share <= before.share && room.share >= SHARE_MIN);
            assert_eq!(room.is_short(), used > (1 << 26) / 8 * 7);
            assert_eq!(room.is_spent(), used > (1 << 26) / 16 * 15);
            before = room;
        }
        let boundless = limits(usize::MAX);
        let least = Waiting {
            max: SHARE_MIN,
            stall: SHARE_MIN / 4,
        };
        assert_eq!(Room::of(10, 20).waiting(&boundless), least);
        assert_eq!(Room::BOUNDLESS.waiting(&boundless).max, usize::MAX);
    }
}
