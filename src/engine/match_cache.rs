//! Remembers which filters matched recent subjects.
//!
//! What is remembered are nodes of the trie, not subscriptions: a
//! subscription that joins or leaves a filter which others still use changes
//! nothing here. Only when a filter appears or disappears are matches stale:
//! a literal one spoils its own subject, a wildcard spoils all.

use crate::trie::{NodeId, Trie};
use crate::ways_back;
use foldhash::fast::FixedState;
use memchr::{memchr_iter, memrchr};
use midge_proto::{begins_with, count_tokens};
use std::hash::BuildHasher;

/// Subjects remembered. Enough for the subjects that are busy at one time;
/// at about 100 bytes each the table stays out of the way of the data.
const SLOTS: usize = 1024;

/// A match of more filters than this is not worth its memory here: sending to
/// that many costs far more than finding them.
const NODES_MAX: usize = 64;

/// Subjects longer than this are not remembered, to bound the table's memory.
const SUBJECT_LEN_MAX: usize = 256;

#[derive(Debug, Default)]
struct Slot {
    /// The generation the match belongs to; older ones are stale.
    generation: u64,
    subject: Vec<u8>,
    nodes: Vec<NodeId>,
}

impl Slot {
    #[inline]
    fn holds(&self, generation: u64, subject: &[u8]) -> bool {
        self.generation == generation && self.subject == subject
    }
}

/// The slots that a subject may be in: its own, and the one beside that, in
/// which the last but one is kept of two that share their own.
fn both_slots(index: usize) -> [usize; 2] {
    [index, other_slot(index)]
}

fn other_slot(index: usize) -> usize {
    index ^ 1
}

/// Below this, and below those of the ways back, a subject's last token is one
/// request's own.
const INBOXES: &[u8; 7] = b"_INBOX.";

/// Below this, behind stream and consumer, all tokens are one message's own.
const ACKS: &[u8; 8] = b"$JS.ACK.";
const ACK_TOKENS: usize = 9;
const ACK_NAME_TOKENS: usize = 4;

/// Families remembered: those of clients that ask or acknowledge at one time.
const FAMILY_SLOTS: usize = 256;

/// Subjects of which none comes twice, so that remembering one is of no use.
/// They have a name, what they begin with, in common, and as long as the rest
/// makes no difference they match the same.
#[derive(Debug, Default)]
struct Family {
    slot: Slot,
    /// How many tokens a subject has behind the name.
    own_tokens: usize,
    is_same_for_all: bool,
}

/// The name of the family that a subject is of.
fn family_name(subject: &[u8]) -> Option<&[u8]> {
    let name = if begins_with(subject, INBOXES) || begins_with(subject, ways_back::PREFIX) {
        let dot = memrchr(b'.', subject)?;
        (dot + 1 < subject.len()).then_some(dot)?
    } else if begins_with(subject, ACKS) {
        ack_name(subject)?
    } else {
        return None;
    };
    (name <= SUBJECT_LEN_MAX).then(|| &subject[..name])
}

/// Where the name ends in the subject of an ack, if it has all its tokens.
fn ack_name(subject: &[u8]) -> Option<usize> {
    let name = memchr_iter(b'.', subject).nth(ACK_NAME_TOKENS - 1)?;
    (count_tokens(subject) == Some(ACK_TOKENS)).then_some(name)
}

#[derive(Debug)]
pub(crate) struct MatchCache {
    slots: Vec<Slot>,
    /// Starts above the default of a slot, which is therefore stale.
    generation: u64,
    hasher: FixedState,
    /// The slot of the last match, which is likely the next one's too.
    last: usize,
    families: Vec<Family>,
    last_family: usize,
    /// The last match that was not worth a slot.
    unslotted: Vec<NodeId>,
    pub(crate) lookups: u64,
    pub(crate) hits: u64,
}

impl MatchCache {
    pub(crate) fn new(seed: u64) -> Self {
        MatchCache {
            slots: Vec::new(),
            generation: 1,
            hasher: FixedState::with_seed(seed),
            last: 0,
            families: Vec::new(),
            last_family: 0,
            unslotted: Vec::new(),
            lookups: 0,
            hits: 0,
        }
    }

    /// The nodes of `trie` that match `subject`.
    #[inline(always)]
    pub(crate) fn find(&mut self, trie: &mut Trie, subject: &[u8]) -> &[NodeId] {
        self.lookups += 1;
        if self.holds(self.last, subject) {
            self.hits += 1;
            return &self.slots[self.last].nodes;
        }
        if matches!(subject.first(), Some(b'_' | b'$'))
            && let Some(index) = self.family(trie, subject)
        {
            self.hits += 1;
            return &self.families[index].slot.nodes;
        }
        self.find_slot(trie, subject)
    }

    /// The same for a subject that is not the last one again.
    fn find_slot(&mut self, trie: &mut Trie, subject: &[u8]) -> &[NodeId] {
        let index = self.slot_index(subject);
        let mut both = both_slots(index).into_iter();
        let Some(index) = both.find(|index| self.holds(*index, subject)) else {
            return self.walk(trie, subject, index);
        };
        self.hits += 1;
        self.last = index;
        &self.slots[index].nodes
    }

    /// Where it stands what all of a family match, if they do.
    fn family(&mut self, trie: &mut Trie, subject: &[u8]) -> Option<usize> {
        if !self.is_of_last_family(subject) {
            let name = family_name(subject)?;
            self.last_family = self.hash(name) % FAMILY_SLOTS;
            let family = self.families.get(self.last_family);
            if !family.is_some_and(|family| family.slot.holds(self.generation, name)) {
                self.learn_family(trie, subject, name);
            }
        }
        let family = &self.families[self.last_family];
        family.is_same_for_all.then_some(self.last_family)
    }

    #[cold]
    fn learn_family(&mut self, trie: &mut Trie, subject: &[u8], name: &[u8]) {
        if self.families.is_empty() {
            self.families.resize_with(FAMILY_SLOTS, Family::default);
        }
        let family = &mut self.families[self.last_family];
        let slot = &mut family.slot;
        slot.generation = self.generation;
        slot.subject.clear();
        slot.subject.extend_from_slice(name);
        slot.nodes.clear();
        family.own_tokens = match name.starts_with(ACKS) {
            true => ACK_TOKENS - ACK_NAME_TOKENS,
            false => 1,
        };
        let is_same_for_all = trie.find_all(subject, name.len(), &mut slot.nodes);
        family.is_same_for_all = is_same_for_all && slot.nodes.len() <= NODES_MAX;
        if !family.is_same_for_all {
            slot.nodes = Vec::new();
        }
    }

    /// Whether it has the name that the one before had, and no more tokens
    /// behind it than a family's have. Where a name ends need not be looked for
    /// then.
    fn is_of_last_family(&self, subject: &[u8]) -> bool {
        let Some(family) = self.families.get(self.last_family) else {
            return false;
        };
        let Slot {
            generation,
            subject: name,
            ..
        } = &family.slot;
        if *generation != self.generation || subject.get(name.len()) != Some(&b'.') {
            return false;
        }
        let (start, own) = (&subject[..name.len()], &subject[name.len() + 1..]);
        start == name && count_tokens(own) == Some(family.own_tokens)
    }

    #[inline]
    fn holds(&self, index: usize, subject: &[u8]) -> bool {
        let slot = self.slots.get(index);
        slot.is_some_and(|slot| slot.holds(self.generation, subject))
    }

    #[cold]
    fn walk(&mut self, trie: &mut Trie, subject: &[u8], index: usize) -> &[NodeId] {
        let mut nodes = std::mem::take(&mut self.unslotted);
        nodes.clear();
        trie.find(subject, &mut nodes);
        self.unslotted = nodes;
        if self.unslotted.len() > NODES_MAX || subject.len() > SUBJECT_LEN_MAX {
            return &self.unslotted;
        }
        if self.slots.is_empty() {
            // Made on first use: a server nobody talks to stays small.
            self.slots.resize_with(SLOTS, Slot::default);
        }
        if self.slots[index].generation == self.generation {
            // The one that is there moves over.
            self.slots.swap(index, other_slot(index));
        }
        let slot = &mut self.slots[index];
        slot.generation = self.generation;
        slot.subject.clear();
        slot.subject.extend_from_slice(subject);
        slot.nodes.clear();
        slot.nodes.extend_from_slice(&self.unslotted);
        &slot.nodes
    }

    /// A filter has appeared or disappeared.
    pub(crate) fn filter_changed(&mut self, filter: &[u8]) {
        if !midge_proto::is_literal(filter) {
            self.generation += 1;
            return;
        }
        if let Some(name) = family_name(filter) {
            let index = self.hash(name) % FAMILY_SLOTS;
            if let Some(family) = self.families.get_mut(index) {
                family.slot.generation = 0;
            }
        }
        for index in both_slots(self.slot_index(filter)) {
            if let Some(slot) = self.slots.get_mut(index)
                && slot.subject == filter
            {
                slot.generation = 0;
            }
        }
    }

    /// How many subjects are remembered.
    pub(crate) fn len(&self) -> usize {
        let current = |slot: &&Slot| slot.generation == self.generation;
        self.slots.iter().filter(current).count()
    }

    #[inline]
    fn slot_index(&self, subject: &[u8]) -> usize {
        self.hash(subject) % SLOTS
    }

    #[inline]
    fn hash(&self, subject: &[u8]) -> usize {
        self.hasher.hash_one(subject) as usize
    }
}
