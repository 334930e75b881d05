//! Subjects that something is known of for a while: so many at most.
//!
//! Both tables always hold the same subjects, so that what is forgotten by
//! name takes nothing of the room, and what is noted anew is the newest.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Recent<V> {
    known: HashMap<Arc<[u8]>, (u64, V), FixedState>,
    /// The oldest first, by the number that is kept beside what is known.
    order: BTreeMap<u64, Arc<[u8]>>,
    next: u64,
    max: usize,
}

impl<V> Recent<V> {
    /// The seed keeps clients from choosing subjects that collide.
    pub(crate) fn new(max: usize, hasher: &FixedState) -> Self {
        Recent {
            known: HashMap::with_hasher(hasher.clone()),
            order: BTreeMap::new(),
            next: 0,
            max,
        }
    }

    /// Notes this as the newest, in place of what was known of the subject. If
    /// there are too many, the oldest is forgotten.
    pub(crate) fn insert(&mut self, subject: &[u8], value: V) {
        self.remove(subject);
        if self.order.len() >= self.max {
            self.forget_oldest();
        }
        let subject: Arc<[u8]> = subject.into();
        self.order.insert(self.next, subject.clone());
        self.known.insert(subject, (self.next, value));
        self.next += 1;
    }

    pub(crate) fn get(&self, subject: &[u8]) -> Option<&V> {
        self.known.get(subject).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, subject: &[u8]) -> Option<&mut V> {
        self.known.get_mut(subject).map(|(_, value)| value)
    }

    pub(crate) fn remove(&mut self, subject: &[u8]) -> Option<V> {
        let (number, value) = self.known.remove(subject)?;
        self.order.remove(&number);
        Some(value)
    }

    pub(crate) fn oldest(&self) -> Option<&V> {
        let (_, subject) = self.order.first_key_value()?;
        self.get(subject)
    }

    pub(crate) fn forget_oldest(&mut self) {
        if let Some((_, subject)) = self.order.pop_first() {
            self.known.remove(&subject);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_and_what_is_removed_takes_no_room() {
        let mut recent = Recent::new(2, &FixedState::default());
        for (subject, value) in [(b"a", 1), (b"b", 2), (b"a", 3), (b"c", 4)] {
            recent.insert(subject, value);
        }
        assert_eq!((recent.get(b"a"), recent.get(b"b")), (Some(&3), None));
        assert_eq!(recent.oldest(), Some(&3));
        for value in 0..9 {
            recent.insert(b"d", value);
            assert_eq!(recent.remove(b"d"), Some(value));
            recent.insert(b"c", value);
        }
        assert_eq!((recent.known.len(), recent.order.len()), (1, 1));
        assert_eq!(recent.oldest(), recent.get(b"c"));
    }
}
