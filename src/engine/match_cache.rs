//! Remembers which filters matched recent subjects.
//!
//! What is remembered are nodes of the trie, not subscriptions: a
//! subscription that joins or leaves a filter which others still use changes
//! nothing here. Only when a filter appears or disappears are matches stale:
//! a literal one spoils its own subject, a wildcard spoils all.

use crate::trie::{NodeId, Trie, has_empty_token};
use foldhash::fast::FixedState;
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

/// Below this no subject comes twice: each is a message's own address for its
/// ack. As long as nobody tells them apart, all match the same.
const ACKS: &[u8] = b"$JS.ACK";

/// What all subjects below [`ACKS`] match.
#[derive(Debug, Default)]
struct Acks {
    /// The generation that this is of.
    generation: u64,
    is_same_for_all: bool,
    nodes: Vec<NodeId>,
}

#[derive(Debug)]
pub(crate) struct MatchCache {
    slots: Vec<Slot>,
    /// Starts above the default of a slot, which is therefore stale.
    generation: u64,
    hasher: FixedState,
    /// The slot of the last match, which is likely the next one's too.
    last: usize,
    acks: Acks,
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
            acks: Acks::default(),
            unslotted: Vec::new(),
            lookups: 0,
            hits: 0,
        }
    }

    /// The nodes of `trie` that match `subject`.
    #[inline(always)]
    pub(crate) fn find(&mut self, trie: &mut Trie, subject: &[u8]) -> &[NodeId] {
        self.lookups += 1;
        if subject.starts_with(ACKS) && self.are_acks_same(trie, subject) {
            self.hits += 1;
            return &self.acks.nodes;
        }
        if !self.holds(self.last, subject) {
            let index = self.slot_index(subject);
            if !self.holds(index, subject) {
                return self.walk(trie, subject, index);
            }
            self.last = index;
        }
        self.hits += 1;
        &self.slots[self.last].nodes
    }

    /// Whether this is one of those of which one is as good as the other.
    fn are_acks_same(&mut self, trie: &Trie, subject: &[u8]) -> bool {
        let acks = &mut self.acks;
        if acks.generation != self.generation {
            acks.generation = self.generation;
            acks.nodes.clear();
            acks.is_same_for_all = trie.find_below(ACKS, &mut acks.nodes);
        }
        let is_below = subject.get(ACKS.len()) == Some(&b'.');
        acks.is_same_for_all && is_below && !has_empty_token(subject)
    }

    #[inline]
    fn holds(&self, index: usize, subject: &[u8]) -> bool {
        self.slots
            .get(index)
            .is_some_and(|slot| slot.generation == self.generation && slot.subject == subject)
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
        if filter.starts_with(ACKS) {
            self.acks.generation = 0;
        }
        let index = self.slot_index(filter);
        if let Some(slot) = self.slots.get_mut(index)
            && slot.subject == filter
        {
            slot.generation = 0;
        }
    }

    /// How many subjects are remembered.
    pub(crate) fn len(&self) -> usize {
        let current = |slot: &&Slot| slot.generation == self.generation;
        self.slots.iter().filter(current).count()
    }

    #[inline]
    fn slot_index(&self, subject: &[u8]) -> usize {
        self.hasher.hash_one(subject) as usize % SLOTS
    }
}
