//! The ceiling on memory.
//!
//! Owns what is done about it: it looks at what is allocated once a turn, and
//! whenever a good deal was queued within one; tells the engine how much is
//! left; and when nearly nothing is, cuts the clients that hold the most,
//! waiting to be sent to them or received in part. Caches are bounded at the
//! start instead, by shares of the ceiling.

use crate::Config;
use crate::event_loop::EventLoop;
use midge_engine::{CloseReason, ConnId, Room, Time};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// How much memory the process may use, and how to find out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ceiling {
    bytes: usize,
    allocated: fn() -> usize,
}

/// The smallest ceiling: below this the program and what it needs to work at
/// all leave nothing for clients.
pub(crate) const MEMORY_MIN: usize = 32 * 1024 * 1024;

/// What the process takes beside what it allocates: the program itself, stacks,
/// and tables of the allocator.
const PROCESS_BYTES: usize = 6 * 1024 * 1024;

/// The ceiling bounds what is resident, and pieces that are free but too small
/// for what is wanted are resident too: up to a quarter, so far as was seen.
const ALLOCATED_OF_RESIDENT: (usize, usize) = (3, 4);

/// Clients are cut only while they hold such a part of the whole together: with
/// less it is not they who use it up, and cutting them brings little.
const HELD_PART: usize = 8;

/// Clients cut at a time, so that a turn stays short.
const CUTS_MAX: usize = 64;

/// Looking for who holds much takes a look at everybody. When there was nobody,
/// the next look is this much later.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Under a flood there may be too little and enough again hundreds of times a second:
/// the log says so this often at most.
const TELL_AGAIN: Duration = Duration::from_secs(10);

/// What a cache may hold that would hold `usual` bytes if there were no
/// ceiling: at most such a part of it.
#[cfg(feature = "streams")]
pub(crate) fn cache_bytes(ceiling: Option<usize>, usual: usize, part: usize) -> usize {
    ceiling.map_or(usual, |bytes| usual.min(bytes / part))
}

/// What the loop knows about its ceiling.
pub(crate) struct Memory {
    ceiling: Option<Ceiling>,
    /// No look for who holds much before then.
    look_due: Time,
    /// Clients that were cut.
    pub(crate) cut_total: u64,
    /// The log says that there is too little.
    is_told: bool,
    /// It does not say so again before then.
    tell_due: Time,
}

impl Memory {
    pub(crate) fn new(config: &Config) -> Self {
        let both = config.memory.zip(config.allocated);
        Memory {
            ceiling: both.map(|(bytes, allocated)| Ceiling { bytes, allocated }),
            look_due: Time::default(),
            cut_total: 0,
            is_told: false,
            tell_due: Time::default(),
        }
    }

    /// The ceiling and what is allocated, if there is a ceiling.
    pub(crate) fn figures(&self) -> Option<(usize, usize)> {
        let ceiling = self.ceiling?;
        Some((ceiling.bytes, (ceiling.allocated)()))
    }

    /// Bytes that may be allocated.
    fn whole(&self) -> Option<usize> {
        let (part, of) = ALLOCATED_OF_RESIDENT;
        Some(self.ceiling?.bytes.saturating_sub(PROCESS_BYTES) / of * part)
    }

    /// Whether there is too little, if the log is to say that now.
    fn news(&mut self, is_short: bool, now: Time) -> Option<bool> {
        if is_short == self.is_told || (is_short && now < self.tell_due) {
            return None;
        }
        self.is_told = is_short;
        if is_short {
            self.tell_due = now + TELL_AGAIN;
        }
        Some(is_short)
    }

    fn room(&self) -> Option<Room> {
        Some(Room::of(self.whole()?, (self.ceiling?.allocated)()))
    }
}

/// What all hold together, and those who hold the most of it, the greatest
/// first: no more than are cut at a time.
fn largest(all: impl Iterator<Item = (usize, ConnId)>) -> (usize, Vec<(usize, ConnId)>) {
    let mut total = 0;
    let mut most = BinaryHeap::with_capacity(CUTS_MAX + 1);
    for (held, id) in all {
        total += held;
        if held > 0 {
            most.push(Reverse((held, id)));
        }
        if most.len() > CUTS_MAX {
            most.pop();
        }
    }
    let most = most.into_sorted_vec().into_iter();
    (total, most.map(|Reverse(one)| one).collect())
}

impl EventLoop {
    /// Keeps what is allocated below the ceiling.
    pub(crate) fn mind_memory(&mut self) {
        let Some(room) = self.memory.room() else {
            return;
        };
        let room = if room.is_short() {
            self.make_room(room)
        } else {
            room
        };
        match self.memory.news(room.is_short(), self.connections.now) {
            Some(true) => log::warn!("memory is used up: nothing more is taken in"),
            Some(false) => log::info!("there is memory again"),
            None => {}
        }
        self.engine.set_room(room);
    }

    /// Cuts those who hold the most until there is enough, or they hold little
    /// together.
    fn make_room(&mut self, mut room: Room) -> Room {
        let now = self.connections.now;
        if now < self.memory.look_due {
            return room;
        }
        let enough = self.memory.whole().unwrap_or_default() / HELD_PART;
        let (mut held, holders) = largest(self.connections.held());
        for (bytes, id) in holders {
            if held <= enough {
                break;
            }
            self.cut(id);
            held -= bytes;
            room = self.memory.room().unwrap_or(room);
            if !room.is_short() {
                return room;
            }
        }
        if held <= enough {
            self.memory.look_due = now + LOOK_AGAIN;
        }
        room
    }

    fn cut(&mut self, id: ConnId) {
        self.memory.cut_total += 1;
        self.close(id, CloseReason::MemoryUsedUp);
        self.connections.kill(id);
        if let Some(connection) = self.connections.get_mut(id) {
            connection.forget_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_not_flooded() {
        let mut memory = Memory::new(&Config::default());
        let at = |secs| Time::default() + Duration::from_secs(secs);
        assert_eq!(memory.news(false, at(0)), None);
        assert_eq!(memory.news(true, at(1)), Some(true));
        assert_eq!(memory.news(true, at(2)), None);
        assert_eq!(memory.news(false, at(3)), Some(false));
        assert_eq!(
            (memory.news(true, at(4)), memory.news(false, at(5))),
            (None, None)
        );
        assert_eq!(memory.news(true, at(11)), Some(true));
    }

    #[test]
    fn the_greatest_are_found_in_one_look() {
        let conn = |index| ConnId {
            index,
            generation: 0,
        };
        // All sizes once, in no order; those who hold nothing are not cut.
        let all = (0..1009).map(|number| ((number * 17) % 1009, conn(number as u32)));
        let (total, most) = largest(all.chain([(0, conn(2000))]));
        assert_eq!(total, 1008 * 1009 / 2);
        let sizes: Vec<usize> = most.iter().map(|(held, _)| *held).collect();
        let wanted: Vec<usize> = (0..CUTS_MAX).map(|rank| 1008 - rank).collect();
        assert_eq!(sizes, wanted);
        assert!(
            most.iter()
                .all(|(held, id)| id.index as usize * 17 % 1009 == *held)
        );
        assert_eq!(largest([(0, conn(1))].into_iter()), (0, vec![]));
    }
}
