//! The index from subjects to subscriptions.
//!
//! A tree of tokens: a node for each prefix of each filter in use. Literal
//! children of all nodes live in one hash table keyed by (parent, token), so
//! a node with a hundred thousand children is searched like one with two and
//! a node without children costs nothing for them. `*` and `>` children are
//! fields of their own, which keeps a published token that happens to read
//! `*` from matching them.
//!
//! The trie knows subscriptions only by id; who they belong to and what they
//! are called is the account's business.

use crate::ids::SubId;
use crate::shrink::Shrink;
use crate::small_bytes::SmallBytes;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use memchr::memchr;
use midge_proto::count_tokens;
use slab::Slab;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

/// A token this long or shorter needs no heap block; 22 is the length of the
/// random tokens that clients put in their inboxes.
type Token = SmallBytes<22>;

/// A node: the end of some prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeId(u32);

const ROOT: NodeId = NodeId(0);

impl NodeId {
    fn new(index: usize) -> Self {
        debug_assert!(u32::try_from(index).is_ok());
        NodeId(index as u32)
    }

    fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Debug)]
struct Node {
    parent: NodeId,
    token: Token,
    /// The child for `*`.
    star: Option<NodeIdNonRoot>,
    /// The child for `>`.
    full_wildcard: Option<NodeIdNonRoot>,
    /// How many literal children there are.
    literal_children: u32,
    /// Subscriptions without a queue group.
    plain: SubList,
    /// Subscriptions by queue group, sorted by its name.
    #[allow(clippy::box_collection)] // Few nodes have any; the box keeps the rest small.
    queues: Option<Box<Vec<QueueGroup>>>,
}

/// A node id that is not the root's, which leaves a value for "none".
type NodeIdNonRoot = std::num::NonZeroU32;

fn non_root(id: NodeId) -> Option<NodeIdNonRoot> {
    NodeIdNonRoot::new(id.0)
}

impl Node {
    fn new(parent: NodeId, token: &[u8]) -> Self {
        Node {
            parent,
            token: Token::new(token),
            star: None,
            full_wildcard: None,
            literal_children: 0,
            plain: SubList::Empty,
            queues: None,
        }
    }

    #[inline]
    fn queues(&self) -> &[QueueGroup] {
        match &self.queues {
            Some(groups) => groups,
            None => &[],
        }
    }

    fn has_subscriptions(&self) -> bool {
        !self.plain.as_slice().is_empty() || self.queues.is_some()
    }

    fn has_children(&self) -> bool {
        self.literal_children > 0 || self.star.is_some() || self.full_wildcard.is_some()
    }
}

/// The subscriptions of one filter: nearly always one.
#[derive(Debug)]
enum SubList {
    Empty,
    One(SubId),
    #[allow(clippy::box_collection)] // A thin pointer: most nodes hold one id or none.
    Many(Box<Vec<SubId>>),
}

impl SubList {
    #[inline]
    fn as_slice(&self) -> &[SubId] {
        match self {
            SubList::Empty => &[],
            SubList::One(id) => std::slice::from_ref(id),
            SubList::Many(ids) => ids,
        }
    }

    /// Adds an id and returns its position.
    fn push(&mut self, id: SubId) -> usize {
        match self {
            SubList::Empty => {
                *self = SubList::One(id);
                0
            }
            SubList::One(first) => {
                *self = SubList::Many(Box::new(vec![*first, id]));
                1
            }
            SubList::Many(ids) => {
                ids.push(id);
                ids.len() - 1
            }
        }
    }

    /// Takes out the id at `position`; the one that takes its place is returned.
    fn remove(&mut self, position: usize) -> Option<SubId> {
        match self {
            SubList::Empty => None,
            SubList::One(_) => {
                *self = SubList::Empty;
                None
            }
            SubList::Many(ids) => {
                ids.swap_remove(position);
                let moved = ids.get(position).copied();
                if let [last] = ids[..] {
                    *self = SubList::One(last);
                }
                moved
            }
        }
    }
}

/// The members of one queue group under one filter.
#[derive(Debug)]
pub(crate) struct QueueGroup {
    pub(crate) name: Arc<[u8]>,
    pub(crate) members: Vec<SubId>,
}

/// Where a subscription sits, for taking it out again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) node: NodeId,
    pub(crate) position: u32,
}

/// What became of an insert.
#[derive(Debug)]
pub(crate) struct Inserted {
    pub(crate) place: Place,
    /// The group's shared name, for a queue subscription.
    pub(crate) queue: Option<Arc<[u8]>>,
    /// The filter had no subscriptions before: matches may have changed.
    pub(crate) is_new_filter: bool,
}

/// What became of a removal.
#[derive(Debug)]
pub(crate) struct Removed {
    /// This subscription now sits at the removed one's position.
    pub(crate) moved: Option<SubId>,
    /// The filter, if it has no subscriptions left: matches have changed.
    pub(crate) emptied_filter: Option<Vec<u8>>,
}

/// A literal child in the table, with its hash so that growing the table
/// touches no node.
#[derive(Debug, Clone, Copy)]
struct Child {
    hash: u32,
    node: NodeId,
}

#[derive(Debug)]
pub(crate) struct Trie {
    nodes: Slab<Node>,
    shrink: Shrink,
    literals: HashTable<Child>,
    hasher: FixedState,
    /// Branches still to be walked; kept to spare an allocation a look-up.
    branches: Vec<(NodeId, usize)>,
}

impl Trie {
    /// The seed keeps clients from choosing tokens that collide.
    pub(crate) fn new(seed: u64) -> Self {
        let mut nodes = Slab::new();
        let root = nodes.insert(Node::new(ROOT, b""));
        debug_assert_eq!(root, ROOT.index());
        Trie {
            nodes,
            shrink: Shrink::default(),
            literals: HashTable::new(),
            hasher: FixedState::with_seed(seed),
            branches: Vec::new(),
        }
    }

    /// Adds a subscription for a valid filter.
    pub(crate) fn insert(&mut self, filter: &[u8], queue: Option<&[u8]>, id: SubId) -> Inserted {
        let mut at = ROOT;
        for token in midge_proto::tokens(filter) {
            at = self.child_or_insert(at, token);
        }
        let node = &mut self.nodes[at.index()];
        let is_new_filter = !node.has_subscriptions();
        let (position, queue) = match queue {
            None => (node.plain.push(id), None),
            Some(name) => {
                let groups = node.queues.get_or_insert_default();
                let index = match find_group(groups, name) {
                    Ok(index) => index,
                    Err(index) => {
                        let group = QueueGroup {
                            name: name.into(),
                            members: Vec::with_capacity(1),
                        };
                        groups.insert(index, group);
                        index
                    }
                };
                let group = &mut groups[index];
                group.members.push(id);
                (group.members.len() - 1, Some(group.name.clone()))
            }
        };
        Inserted {
            place: Place {
                node: at,
                position: position as u32,
            },
            queue,
            is_new_filter,
        }
    }

    /// Takes a subscription out.
    pub(crate) fn remove(&mut self, place: Place, queue: Option<&[u8]>) -> Removed {
        let node = &mut self.nodes[place.node.index()];
        let position = place.position as usize;
        let moved = match (queue, &mut node.queues) {
            (Some(name), Some(groups)) => {
                let mut moved = None;
                if let Ok(index) = find_group(groups, name) {
                    let members = &mut groups[index].members;
                    members.swap_remove(position);
                    moved = members.get(position).copied();
                    if members.is_empty() {
                        groups.remove(index);
                    }
                } else {
                    debug_assert!(false, "a queue subscription has its group");
                }
                if groups.is_empty() {
                    node.queues = None;
                }
                moved
            }
            _ => node.plain.remove(position),
        };
        let is_empty = !node.has_subscriptions();
        let emptied_filter = is_empty.then(|| self.filter(place.node));
        if is_empty {
            self.prune(place.node);
        }
        Removed {
            moved,
            emptied_filter,
        }
    }

    /// Appends the nodes whose filters match a published subject and that
    /// have subscriptions. A subject with an empty token matches nothing.
    pub(crate) fn find(&mut self, subject: &[u8], found: &mut Vec<NodeId>) {
        self.find_all(subject, subject.len(), found);
    }

    /// The same. Says whether it is sure that a subject would match the same
    /// that had other tokens, as many, behind the first so many bytes.
    pub(crate) fn find_all(
        &mut self,
        subject: &[u8],
        name_len: usize,
        found: &mut Vec<NodeId>,
    ) -> bool {
        if count_tokens(subject).is_none() {
            return false;
        }
        let mut is_same_for_all = true;
        let mut branches = std::mem::take(&mut self.branches);
        branches.push((ROOT, 0));
        while let Some((start, offset)) = branches.pop() {
            let (mut at, mut rest) = (start, offset);
            loop {
                let node = &self.nodes[at.index()];
                if let Some(full_wildcard) = node.full_wildcard {
                    self.collect(NodeId(full_wildcard.get()), found);
                }
                let rest_of_subject = &subject[rest..];
                let token_len = memchr(b'.', rest_of_subject).unwrap_or(rest_of_subject.len());
                let token = &rest_of_subject[..token_len];
                let is_last = token_len == rest_of_subject.len();
                is_same_for_all &= rest <= name_len || node.literal_children == 0;
                if let Some(star) = node.star {
                    let star = NodeId(star.get());
                    if is_last {
                        self.collect(star, found);
                    } else {
                        branches.push((star, rest + token_len + 1));
                    }
                }
                let Some(child) = self.literal_child(at, token) else {
                    break;
                };
                if is_last {
                    self.collect(child, found);
                    break;
                }
                at = child;
                rest += token_len + 1;
            }
        }
        self.branches = branches;
        is_same_for_all
    }

    #[inline]
    fn collect(&self, id: NodeId, found: &mut Vec<NodeId>) {
        if self.nodes[id.index()].has_subscriptions() {
            found.push(id);
        }
    }

    /// The subscriptions of a node: those without a queue group, and the groups.
    #[inline]
    pub(crate) fn members(&self, node: NodeId) -> (&[SubId], &[QueueGroup]) {
        let node = &self.nodes[node.index()];
        (node.plain.as_slice(), node.queues())
    }

    /// The subscriptions of a node without a queue group.
    #[inline]
    pub(crate) fn plain(&self, node: NodeId) -> &[SubId] {
        self.nodes[node.index()].plain.as_slice()
    }

    /// The queue groups of a node, sorted by name.
    #[inline]
    pub(crate) fn queues(&self, node: NodeId) -> &[QueueGroup] {
        self.nodes[node.index()].queues()
    }

    /// The filter that a node stands for.
    pub(crate) fn filter(&self, node: NodeId) -> Vec<u8> {
        let mut path = Vec::new();
        let mut at = node;
        while at != ROOT {
            path.push(at);
            at = self.nodes[at.index()].parent;
        }
        let mut filter = Vec::new();
        for id in path.iter().rev() {
            if !filter.is_empty() {
                filter.push(b'.');
            }
            filter.extend_from_slice(&self.nodes[id.index()].token);
        }
        filter
    }

    #[inline]
    fn hash(&self, parent: NodeId, token: &[u8]) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u32(parent.0);
        hasher.write(token);
        // The upper half is the better mixed one.
        (hasher.finish() >> 32) as u32
    }

    fn literal_child(&self, parent: NodeId, token: &[u8]) -> Option<NodeId> {
        if self.nodes[parent.index()].literal_children == 0 {
            return None;
        }
        let hash = self.hash(parent, token);
        self.literals
            .find(spread(hash), |child| {
                self.is_child(child, hash, parent, token)
            })
            .map(|child| child.node)
    }

    fn is_child(&self, child: &Child, hash: u32, parent: NodeId, token: &[u8]) -> bool {
        child.hash == hash && {
            let node = &self.nodes[child.node.index()];
            node.parent == parent && *node.token == *token
        }
    }

    fn child_or_insert(&mut self, parent: NodeId, token: &[u8]) -> NodeId {
        let existing = match token {
            b"*" => self.nodes[parent.index()].star.map(|id| NodeId(id.get())),
            b">" => self.nodes[parent.index()]
                .full_wildcard
                .map(|id| NodeId(id.get())),
            _ => self.literal_child(parent, token),
        };
        if let Some(id) = existing {
            return id;
        }
        let id = NodeId::new(self.nodes.insert(Node::new(parent, token)));
        match token {
            b"*" => self.nodes[parent.index()].star = non_root(id),
            b">" => self.nodes[parent.index()].full_wildcard = non_root(id),
            _ => {
                let hash = self.hash(parent, token);
                let child = Child { hash, node: id };
                self.literals
                    .insert_unique(spread(hash), child, |child| spread(child.hash));
                self.nodes[parent.index()].literal_children += 1;
            }
        }
        id
    }

    /// Removes a node that nothing needs any more, and its ancestors likewise.
    fn prune(&mut self, leaf: NodeId) {
        let mut at = leaf;
        while at != ROOT {
            let node = &self.nodes[at.index()];
            if node.has_subscriptions() || node.has_children() {
                return;
            }
            let node = self.nodes.remove(at.index());
            let parent = &mut self.nodes[node.parent.index()];
            match &*node.token {
                b"*" => parent.star = None,
                b">" => parent.full_wildcard = None,
                token => {
                    parent.literal_children -= 1;
                    let hash = self.hash(node.parent, token);
                    let entry = self.literals.entry(
                        spread(hash),
                        |child| child.node == at,
                        |child| spread(child.hash),
                    );
                    match entry {
                        Entry::Occupied(entry) => drop(entry.remove()),
                        Entry::Vacant(_) => debug_assert!(false, "a literal child is in the table"),
                    }
                }
            }
            if self.shrink.is_due(self.nodes.len(), self.nodes.capacity()) {
                self.nodes.shrink_to_fit();
                self.literals.shrink_to_fit(|child| spread(child.hash));
            }
            at = node.parent;
        }
    }
}

/// Where the group of this name is, or would be.
fn find_group(groups: &[QueueGroup], name: &[u8]) -> Result<usize, usize> {
    groups.binary_search_by(|group| (*group.name).cmp(name))
}

/// The table wants its bits at both ends of 64; we keep only 32.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(trie: &mut Trie, subject: &str) -> Vec<String> {
        let mut nodes = Vec::new();
        trie.find(subject.as_bytes(), &mut nodes);
        let mut filters: Vec<_> = nodes
            .iter()
            .map(|node| String::from_utf8(trie.filter(*node)).expect("ascii"))
            .collect();
        filters.sort();
        filters
    }

    #[test]
    fn literals_and_wildcards_are_found_together() {
        let mut trie = Trie::new(1);
        for (index, filter) in ["a.b", "a.*", "a.>", "*.b", ">", "a.b.c", "*.*.c"]
            .iter()
            .enumerate()
        {
            trie.insert(filter.as_bytes(), None, SubId::new(index));
        }
        assert_eq!(found(&mut trie, "a.b"), ["*.b", ">", "a.*", "a.>", "a.b"]);
        assert_eq!(found(&mut trie, "a.b.c"), ["*.*.c", ">", "a.>", "a.b.c"]);
        assert_eq!(found(&mut trie, "x"), [">"]);
        assert_eq!(found(&mut trie, "a..b"), Vec::<String>::new());
        assert_eq!(found(&mut trie, "a.*"), [">", "a.*", "a.>"]);
    }

    #[test]
    fn removing_everything_leaves_only_the_root() {
        let mut trie = Trie::new(1);
        let filters = ["a.b.c", "a.*.c", "a.>", "x", "*"];
        let places: Vec<_> = filters
            .iter()
            .enumerate()
            .map(|(index, filter)| {
                trie.insert(filter.as_bytes(), Some(b"q"), SubId::new(index))
                    .place
            })
            .collect();
        for place in places {
            let removed = trie.remove(place, Some(b"q"));
            assert!(removed.emptied_filter.is_some());
        }
        assert_eq!(trie.nodes.len(), 1);
        assert!(trie.literals.is_empty());
    }

    #[test]
    fn a_removed_subscription_is_replaced_by_the_last() {
        let mut trie = Trie::new(1);
        let first = trie.insert(b"a", None, SubId::new(0));
        let last = trie.insert(b"a", None, SubId::new(1));
        assert!(first.is_new_filter && !last.is_new_filter);
        let removed = trie.remove(first.place, None);
        assert_eq!(removed.moved, Some(SubId::new(1)));
        assert!(removed.emptied_filter.is_none());
        assert_eq!(trie.plain(first.place.node), [SubId::new(1)]);
    }

    #[test]
    fn a_node_fits_the_memory_budget() {
        assert!(size_of::<Node>() <= 72, "{}", size_of::<Node>());
    }
}
