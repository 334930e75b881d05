//! The subjects of a stream: how many messages each has, and where.
//!
//! Answers "the last message of this subject" and "how many match this
//! filter" without looking at a block. A stream that limits messages per
//! subject keeps the places of all of them, so that the oldest can be dropped
//! at once; any other keeps the ends only.

use crate::ids::Seq;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use slab::Slab;
use std::collections::VecDeque;
use std::hash::BuildHasher;

/// A subject's place in its stream's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SubjectId(u32);

/// One message of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) seq: Seq,
    /// What it counts for in the stream's bytes.
    pub(crate) size: u32,
}

#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) name: Box<[u8]>,
    /// Messages there are.
    pub(crate) count: u64,
    /// The first message is this or a later one.
    pub(crate) first: Seq,
    /// The last message; an earlier one if `last_is_exact` does not hold.
    pub(crate) last: Entry,
    pub(crate) last_is_exact: bool,
    /// All messages but the last, oldest first, if the stream keeps them.
    #[allow(clippy::box_collection)] // Few subjects have any; the box keeps the rest small.
    earlier: Option<Box<VecDeque<Entry>>>,
}

impl Subject {
    /// The oldest message, if it is known.
    pub(crate) fn oldest(&self) -> Option<Entry> {
        match &self.earlier {
            Some(earlier) => Some(earlier.front().copied().unwrap_or(self.last)),
            None if self.count == 1 => Some(self.last),
            None => None,
        }
    }

    /// What is known of one of its messages.
    pub(crate) fn entry(&self, seq: Seq) -> Option<Entry> {
        if self.last.seq == seq {
            return Some(self.last);
        }
        let earlier = self.earlier.as_ref()?;
        let place = earlier.binary_search_by_key(&seq, |entry| entry.seq).ok()?;
        earlier.get(place).copied()
    }
}

/// What is known of a subject that was added to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Added {
    pub(crate) hash: u64,
    /// The message that was its last, if that is there and known.
    pub(crate) before: Option<Seq>,
}

#[derive(Debug)]
pub(crate) struct Subjects {
    table: HashTable<SubjectId>,
    slots: Slab<Subject>,
    hasher: FixedState,
    keeps_all: bool,
    /// The subject that was last added to, which is likely the next one too, and
    /// its hash.
    recent: Option<(SubjectId, u64)>,
}

impl Subjects {
    /// `keeps_all` is for streams that limit the messages of a subject to
    /// more than one.
    pub(crate) fn new(hash_seed: u64, keeps_all: bool) -> Self {
        Subjects {
            table: HashTable::new(),
            slots: Slab::new(),
            hasher: FixedState::with_seed(hash_seed),
            keeps_all,
            recent: None,
        }
    }

    pub(crate) fn keeps_all(&self) -> bool {
        self.keeps_all
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn hash(&self, subject: &[u8]) -> u64 {
        self.hasher.hash_one(subject)
    }

    /// The subject that was last added to, if it is this one.
    #[inline]
    fn recent(&self, subject: &[u8]) -> Option<(SubjectId, u64)> {
        let is_this = |(id, _): &(SubjectId, _)| *self.by_id(*id).name == *subject;
        self.recent.filter(is_this)
    }

    /// Whether this is the subject that was last added to.
    #[inline]
    pub(crate) fn is_recent(&self, subject: &[u8]) -> bool {
        self.recent(subject).is_some()
    }

    pub(crate) fn find(&self, subject: &[u8]) -> Option<SubjectId> {
        match self.recent(subject) {
            Some((id, _)) => Some(id),
            None => self.find_hashed(subject, self.hash(subject)),
        }
    }

    fn find_hashed(&self, subject: &[u8], hash: u64) -> Option<SubjectId> {
        let is_this = |id: &SubjectId| *self.by_id(*id).name == *subject;
        self.table.find(hash, is_this).copied()
    }

    pub(crate) fn get(&self, subject: &[u8]) -> Option<&Subject> {
        self.find(subject).map(|id| self.by_id(id))
    }

    pub(crate) fn by_id(&self, id: SubjectId) -> &Subject {
        &self.slots[id.0 as usize]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Subject> {
        self.slots.iter().map(|(_, subject)| subject)
    }

    /// A message has been stored behind all others of the stream.
    #[inline]
    pub(crate) fn add(&mut self, subject: &[u8], entry: Entry) -> Added {
        self.add_many(subject, 1, entry.seq, entry)
    }

    /// Messages lie behind all others: this many, from `first` to `last`.
    /// Streams that keep all are told of each.
    pub(crate) fn add_many(
        &mut self,
        subject: &[u8],
        count: u64,
        first: Seq,
        last: Entry,
    ) -> Added {
        debug_assert!(count == 1 || !self.keeps_all);
        let (id, hash) = match self.recent(subject) {
            Some((id, hash)) => (Some(id), hash),
            None => {
                let hash = self.hash(subject);
                (self.find_hashed(subject, hash), hash)
            }
        };
        if let Some(id) = id {
            let slot = &mut self.slots[id.0 as usize];
            slot.count += count;
            let before = std::mem::replace(&mut slot.last, last);
            let was_exact = std::mem::replace(&mut slot.last_is_exact, true);
            if self.keeps_all {
                slot.earlier.get_or_insert_default().push_back(before);
            }
            self.recent = Some((id, hash));
            return Added {
                hash,
                before: was_exact.then_some(before.seq),
            };
        }
        let id = SubjectId(self.slots.insert(Subject {
            name: subject.into(),
            count,
            first,
            last,
            last_is_exact: true,
            earlier: None,
        }) as u32);
        let (slots, hasher) = (&self.slots, &self.hasher);
        let hash_of = |id: &SubjectId| hasher.hash_one(&*slots[id.0 as usize].name);
        self.table.insert_unique(hash, id, hash_of);
        self.recent = Some((id, hash));
        Added { hash, before: None }
    }

    /// A message is gone.
    pub(crate) fn remove(&mut self, id: SubjectId, seq: Seq) {
        let slot = &mut self.slots[id.0 as usize];
        slot.count = slot.count.saturating_sub(1);
        if slot.count == 0 {
            self.forget(id);
            return;
        }
        if let Some(earlier) = &mut slot.earlier {
            if slot.last.seq == seq {
                if let Some(before) = earlier.pop_back() {
                    slot.last = before;
                }
            } else if let Ok(place) = earlier.binary_search_by_key(&seq, |entry| entry.seq) {
                earlier.remove(place);
            }
            if let Some(oldest) = slot.oldest() {
                slot.first = oldest.seq;
            }
            if slot
                .earlier
                .as_ref()
                .is_some_and(|earlier| earlier.is_empty())
            {
                slot.earlier = None;
            }
            return;
        }
        if slot.last.seq == seq {
            slot.last_is_exact = false;
        } else if slot.count == 1 && slot.last_is_exact {
            slot.first = slot.last.seq;
        } else if slot.first == seq {
            slot.first = seq.next();
        }
    }

    /// A message is lost, and nobody knows of which subject: where its place
    /// is kept it is found.
    pub(crate) fn strike(&mut self, seq: Seq) {
        let found = self
            .slots
            .iter()
            .find(|(_, slot)| slot.entry(seq).is_some());
        if let Some((place, _)) = found {
            self.remove(SubjectId(place as u32), seq);
        }
    }

    /// The last message was looked for and is this.
    pub(crate) fn correct_last(&mut self, id: SubjectId, last: Option<Entry>) {
        match last {
            Some(last) => {
                let slot = &mut self.slots[id.0 as usize];
                slot.last = last;
                slot.last_is_exact = true;
            }
            None => self.forget(id),
        }
    }

    fn forget(&mut self, id: SubjectId) {
        let hash = self.hash(&self.slots[id.0 as usize].name);
        if let Ok(entry) = self.table.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
        self.slots.remove(id.0 as usize);
        self.recent = None;
    }

    pub(crate) fn clear(&mut self) {
        *self = Subjects {
            hasher: self.hasher.clone(),
            ..Subjects::new(0, self.keeps_all)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: u64) -> Entry {
        Entry {
            seq: Seq(seq),
            size: seq as u32 * 10,
        }
    }

    #[test]
    fn the_oldest_is_known_where_all_are_kept() {
        let mut subjects = Subjects::new(1, true);
        for seq in [1, 4, 6] {
            subjects.add(b"a", entry(seq));
        }
        subjects.add(b"b", entry(5));
        let id = subjects.find(b"a").expect("is there");
        assert_eq!(subjects.by_id(id).oldest(), Some(entry(1)));
        subjects.remove(id, Seq(4));
        subjects.remove(id, Seq(1));
        assert_eq!(subjects.by_id(id).oldest(), Some(entry(6)));
        assert_eq!(subjects.by_id(id).count, 1);
        subjects.add(b"a", entry(9));
        subjects.remove(id, Seq(9));
        assert_eq!(subjects.by_id(id).last, entry(6));
        subjects.remove(id, Seq(6));
        assert_eq!(subjects.find(b"a"), None);
        assert_eq!(subjects.len(), 1);
    }

    #[test]
    fn the_ends_are_known_elsewhere() {
        let mut subjects = Subjects::new(1, false);
        subjects.add(b"a", entry(1));
        let id = subjects.find(b"a").expect("is there");
        assert_eq!(subjects.by_id(id).oldest(), Some(entry(1)));
        subjects.add(b"a", entry(2));
        subjects.add(b"a", entry(3));
        assert_eq!(subjects.by_id(id).oldest(), None);
        subjects.remove(id, Seq(3));
        assert!(!subjects.by_id(id).last_is_exact);
        subjects.correct_last(id, Some(entry(2)));
        assert!(subjects.by_id(id).last_is_exact);
        assert_eq!(subjects.by_id(id).count, 2);
    }
}
