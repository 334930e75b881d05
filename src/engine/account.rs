//! An account: a space of subjects that only its own sessions see.
//!
//! It owns the subscriptions and the index over them. A session reaches
//! subjects only through the account it is in.

use crate::ConnId;
use crate::accounts::{AccountConfig, ClientLimits};
use crate::ids::{StreamId, SubId};
use crate::match_cache::MatchCache;
use crate::session::{Session, Traffic};
use crate::shrink::Shrink;
use crate::small_bytes::SmallBytes;
use crate::stats::{AccountStats, RouterStats};
use crate::trie::{NodeId, Place, Trie};
use slab::Slab;
use std::sync::Arc;

/// What the client calls its subscription; mostly a small number.
pub(crate) type Sid = SmallBytes<14>;

/// Where what a subscription matches goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sink {
    /// To the session of the connection with this index.
    Session(u32),
    /// Into a stream.
    Stream(StreamId),
    /// To the stream API.
    Api,
    /// To a stream's messages, to be read without a consumer.
    DirectGet(StreamId),
    /// To a consumer, as a pull request.
    Pull,
    /// To a consumer, as an ack.
    Ack,
    /// To a consumer, as an answer to flow control.
    FlowControl,
    /// To a backup that is made, as an ack of a part of it.
    Snapshot(u32),
    /// To a backup that is taken, as a part of it.
    Restore(u32),
    /// To whoever looks after the store.
    Maintenance,
    /// Into another account, by the import at this place.
    Import(u32),
    /// To a requester in another account.
    WayBack,
    /// To the stream API, which the server's domain stands before.
    Domain,
    /// To whoever knows about the server itself.
    System,
}

impl Sink {
    /// Whether it leads into another account, or elsewhere in the same one.
    pub(crate) fn crosses(self) -> bool {
        matches!(self, Sink::Import(_) | Sink::WayBack | Sink::Domain)
    }
}

/// The interest of one client, or of a part of the server, in one filter.
#[derive(Debug)]
pub(crate) struct Subscription {
    place: Place,
    pub(crate) sink: Sink,
    /// Messages delivered since it was made.
    pub(crate) delivered: u64,
    /// It ends when this many were delivered; 0 for never.
    pub(crate) max: u64,
    pub(crate) sid: Sid,
    /// Its client may not see all that it matches.
    pub(crate) is_filtered: bool,
    pub(crate) queue: Option<Arc<[u8]>>,
}

#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) name: Arc<str>,
    pub(crate) limits: ClientLimits,
    /// Sessions that are in it; each knows its place here.
    pub(crate) members: Vec<ConnId>,
    /// What passed through those that have left it.
    departed: Traffic,
    slow_consumers: u64,
    trie: Trie,
    cache: MatchCache,
    pub(crate) subs: Slab<Subscription>,
    shrink: Shrink,
    inserts: u64,
    removes: u64,
    /// Subscriptions of the server's own that are always there, which nobody
    /// wants to see counted.
    pub(crate) uncounted: usize,
    /// What the streams always listen on.
    pub(crate) of_streams: usize,
}

/// What a published subject leads to. The nodes stay valid as long as no
/// subscription comes or goes, which the borrow sees to.
pub(crate) struct Matched<'a> {
    pub(crate) nodes: &'a [NodeId],
    pub(crate) trie: &'a Trie,
    pub(crate) subs: &'a mut Slab<Subscription>,
}

impl Account {
    pub(crate) fn new(config: &AccountConfig, seed: u64) -> Self {
        Account {
            name: config.name.as_str().into(),
            limits: config.limits,
            members: Vec::new(),
            departed: Traffic::default(),
            slow_consumers: 0,
            trie: Trie::new(seed),
            cache: MatchCache::new(seed),
            subs: Slab::new(),
            shrink: Shrink::default(),
            inserts: 0,
            removes: 0,
            uncounted: 0,
            of_streams: 0,
        }
    }

    /// Listens for what clients ask of the server itself.
    pub(crate) fn hear_questions(&mut self, filter: &[u8]) {
        self.subscribe(Sink::System, filter, None, b"");
        self.inserts -= 1;
        self.uncounted += 1;
    }

    /// Adds a subscription for a valid filter.
    pub(crate) fn subscribe(
        &mut self,
        sink: Sink,
        filter: &[u8],
        queue: Option<&[u8]>,
        sid: &[u8],
    ) -> SubId {
        let entry = self.subs.vacant_entry();
        let id = SubId::new(entry.key());
        let inserted = self.trie.insert(filter, queue, id);
        entry.insert(Subscription {
            place: inserted.place,
            sink,
            delivered: 0,
            max: 0,
            sid: Sid::new(sid),
            is_filtered: false,
            queue: inserted.queue,
        });
        self.inserts += 1;
        if inserted.is_new_filter {
            self.cache.filter_changed(filter);
        }
        id
    }

    /// Takes a subscription out and returns it.
    pub(crate) fn unsubscribe(&mut self, id: SubId) -> Subscription {
        let sub = self.subs.remove(id.index());
        if self.shrink.is_due(self.subs.len(), self.subs.capacity()) {
            self.subs.shrink_to_fit();
        }
        let removed = self.trie.remove(sub.place, sub.queue.as_deref());
        if let Some(moved) = removed.moved {
            self.subs[moved.index()].place.position = sub.place.position;
        }
        if let Some(filter) = removed.emptied_filter {
            self.cache.filter_changed(&filter);
        }
        self.removes += 1;
        sub
    }

    /// Finds everybody interested in a published subject.
    // Each message comes here; a compiler that saves room would make it a call.
    #[inline(always)]
    pub(crate) fn find(&mut self, subject: &[u8]) -> Matched<'_> {
        Matched {
            nodes: self.cache.find(&mut self.trie, subject),
            trie: &self.trie,
            subs: &mut self.subs,
        }
    }

    /// Whether anybody is interested in a subject; of a queue group, if one is
    /// named, else of those that are in none.
    pub(crate) fn has_interest(&mut self, subject: &[u8], group: Option<&[u8]>) -> bool {
        let Matched { nodes, trie, .. } = self.find(subject);
        nodes.iter().any(|node| match group {
            None => !trie.plain(*node).is_empty(),
            Some(group) => trie.queues(*node).iter().any(|queue| *queue.name == *group),
        })
    }

    /// Whether anybody at all would get a message.
    pub(crate) fn is_heard(&mut self, subject: &[u8]) -> bool {
        !self.find(subject).nodes.is_empty()
    }

    /// A stream that keeps what is published on a subject.
    #[cfg(feature = "streams")]
    pub(crate) fn stream_on(&mut self, subject: &[u8]) -> Option<crate::StreamId> {
        let Matched { nodes, trie, subs } = self.find(subject);
        let plain = nodes.iter().flat_map(|node| trie.plain(*node));
        plain
            .map(|id| subs[id.index()].sink)
            .find_map(|sink| match sink {
                Sink::Stream(id) => Some(id),
                _ => None,
            })
    }

    /// The filter of a subscription.
    pub(crate) fn filter(&self, id: SubId) -> Vec<u8> {
        self.trie.filter(self.subs[id.index()].place.node)
    }

    /// A session comes.
    pub(crate) fn join(&mut self, session: &mut Session) {
        session.place = self.members.len();
        self.members.push(session.conn);
    }

    /// A session has gone for good.
    pub(crate) fn left(&mut self, session: &Session, is_slow: bool) {
        self.departed.add(session.traffic);
        self.slow_consumers += u64::from(is_slow);
    }

    /// What has passed through it, without the sessions that are in it.
    pub(crate) fn past_stats(&self) -> AccountStats {
        let mut router = RouterStats::default();
        self.add_stats(&mut router);
        AccountStats {
            sessions: self.members.len(),
            traffic: self.departed,
            slow_consumers: self.slow_consumers,
            router,
        }
    }

    /// Adds what it counts.
    pub(crate) fn add_stats(&self, stats: &mut RouterStats) {
        stats.subscriptions += self.subs.len() - self.uncounted;
        stats.cached += self.cache.len();
        stats.inserts += self.inserts;
        stats.removes += self.removes;
        stats.lookups += self.cache.lookups;
        stats.cache_hits += self.cache.hits;
    }
}

/// One subscription, for monitoring.
#[derive(Debug, Clone, Copy)]
pub struct SubscriptionInfo<'a> {
    pub(crate) account: &'a Account,
    pub(crate) id: SubId,
}

impl<'a> SubscriptionInfo<'a> {
    fn sub(&self) -> &'a Subscription {
        &self.account.subs[self.id.index()]
    }

    /// The filter; put together from its tokens at each call.
    pub fn subject(&self) -> Vec<u8> {
        self.account.filter(self.id)
    }

    /// The queue group.
    pub fn queue(&self) -> Option<&'a [u8]> {
        self.sub().queue.as_deref()
    }

    /// The client's name for it.
    pub fn sid(&self) -> &'a [u8] {
        &self.sub().sid
    }

    /// Messages delivered.
    pub fn delivered(&self) -> u64 {
        self.sub().delivered
    }

    /// It ends at this many; 0 for never.
    pub fn max(&self) -> u64 {
        self.sub().max
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_subscription_fits_the_memory_budget() {
        assert!(
            size_of::<Subscription>() <= 72,
            "{}",
            size_of::<Subscription>()
        );
    }

    #[derive(Debug, Clone)]
    enum Step {
        Subscribe(String, Option<&'static str>),
        /// Ends the nth of those alive.
        Unsubscribe(usize),
        Publish(String),
    }

    fn token() -> impl Strategy<Value = &'static str> {
        prop_oneof![Just("a"), Just("b"), Just("c"), Just("*"), Just("a*")]
    }

    fn subject() -> impl Strategy<Value = String> {
        // Acks and inboxes are looked up in ways of their own.
        let prefixes = [
            "",
            "$JS.",
            "$JS.ACK.",
            "$JS.ACK.a.b.c.*.",
            "_INBOX.",
            "_R_.",
        ];
        let prefix = prop::sample::select(prefixes.to_vec());
        (prefix, prop::collection::vec(token(), 1..5))
            .prop_map(|(prefix, tokens)| prefix.to_owned() + &tokens.join("."))
    }

    fn filter() -> impl Strategy<Value = String> {
        (subject(), any::<bool>()).prop_map(|(subject, open)| {
            if open {
                format!("{subject}.>")
            } else {
                subject
            }
        })
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (filter(), prop::option::of(prop_oneof![Just("q"), Just("r")]))
                .prop_map(|(filter, queue)| Step::Subscribe(filter, queue)),
            2 => any::<usize>().prop_map(Step::Unsubscribe),
            4 => subject().prop_map(Step::Publish),
        ]
    }

    proptest! {
        /// Whatever comes and goes, a look-up finds exactly the subscriptions
        /// that a walk over all of them finds: trie and cache together.
        #[test]
        fn look_ups_agree_with_a_naive_matcher(steps in prop::collection::vec(step(), 1..120)) {
            let mut account = Account::new(&AccountConfig::new("A"), 3);
            let mut alive: Vec<(SubId, String)> = Vec::new();
            for step in steps {
                match step {
                    Step::Subscribe(filter, queue) => {
                        let id = account.subscribe(Sink::Session(0), filter.as_bytes(), queue.map(str::as_bytes), b"1");
                        alive.push((id, filter));
                    }
                    Step::Unsubscribe(pick) if !alive.is_empty() => {
                        let (id, filter) = alive.swap_remove(pick % alive.len());
                        prop_assert_eq!(account.filter(id), filter.as_bytes());
                        account.unsubscribe(id);
                    }
                    Step::Unsubscribe(_) => {}
                    Step::Publish(subject) => {
                        let matched = account.find(subject.as_bytes());
                        let mut found: Vec<SubId> = Vec::new();
                        for node in matched.nodes {
                            found.extend(matched.trie.plain(*node));
                            found.extend(matched.trie.queues(*node).iter().flat_map(|group| &group.members));
                        }
                        found.sort();
                        let mut want: Vec<SubId> = alive
                            .iter()
                            .filter(|(_, filter)| midge_proto::matches(filter.as_bytes(), subject.as_bytes()))
                            .map(|(id, _)| *id)
                            .collect();
                        want.sort();
                        prop_assert_eq!(found, want);
                    }
                }
            }
        }
    }
}
