//! Deadlines, soonest first.

use crate::Time;
use std::collections::BTreeSet;

/// A set of things that are due at some time, each at most once per time.
///
/// An ordered tree rather than a wheel: it has nothing to turn when nothing
/// is due, and a timer that is no longer wanted leaves at once, so that
/// clients that come and go leave nothing behind.
#[derive(Debug)]
pub struct Timers<K> {
    due: BTreeSet<(Time, K)>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Timers {
            due: BTreeSet::new(),
        }
    }
}

impl<K: Ord + Copy> Timers<K> {
    /// Arms a timer, in place of the one armed for `old`.
    pub fn arm(&mut self, old: &mut Option<Time>, at: Time, key: K) {
        self.disarm(old, key);
        *old = Some(at);
        self.due.insert((at, key));
    }

    /// Forgets the timer armed for `old`, if there is one.
    pub fn disarm(&mut self, old: &mut Option<Time>, key: K) {
        if let Some(at) = old.take() {
            let was_armed = self.due.remove(&(at, key));
            debug_assert!(was_armed, "an armed timer is in the set");
        }
    }

    /// When the next timer is due.
    pub fn next_deadline(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes out a timer that is due. Its owner has to clear what it
    /// remembers of it.
    pub fn pop_due(&mut self, now: Time) -> Option<K> {
        if self.next_deadline()? > now {
            return None;
        }
        self.due.pop_first().map(|(_, key)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(ms: u64) -> Time {
        Time::since_origin(Duration::from_millis(ms))
    }

    #[test]
    fn timers_fire_in_order_and_only_when_due() {
        let mut timers = Timers::default();
        let (mut a, mut b) = (None, None);
        timers.arm(&mut a, at(20), 'a');
        timers.arm(&mut b, at(10), 'b');
        assert_eq!(timers.next_deadline(), Some(at(10)));
        assert_eq!(timers.pop_due(at(9)), None);
        assert_eq!(timers.pop_due(at(30)), Some('b'));
        assert_eq!(timers.pop_due(at(30)), Some('a'));
        assert_eq!(timers.pop_due(at(30)), None);
    }

    #[test]
    fn rearming_leaves_nothing_behind() {
        let mut timers = Timers::default();
        let mut armed = None;
        for ms in 0..1000 {
            timers.arm(&mut armed, at(ms), 'x');
        }
        assert_eq!(timers.due.len(), 1);
        timers.disarm(&mut armed, 'x');
        assert_eq!(timers.next_deadline(), None);
    }
}
