//! A stream: a log with rules about what may enter and what must leave.

use super::atomic::Batches;
use super::consumer::Consumer;
use super::copies::{Copying, Follower};
use super::dedupe::Dedupe;
use super::effects::Effects;
use super::fast_ingest::FastBatches;
use super::features::Features;
use super::internal::Internal;
use super::log::Log;
use super::overflow::Overflow;
use super::publishers::Publishers;
use super::removal::Removal;
use super::streams::StreamsConfig;
use super::subjects::Subjects;
use super::zone::Zones;
use crate::ids::{AccountId, ConsumerId, Seq, StreamId};
use crate::storage::BlockKey;
use midge_api::{PubAck, Storage, StreamConfig, Timestamp};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub(crate) struct Stream {
    pub(crate) id: StreamId,
    pub(crate) account: AccountId,
    /// What its account is called, which is what the disk knows of it.
    pub(crate) account_name: Arc<str>,
    pub(crate) config: StreamConfig,
    /// The same as the disk has it: each batch brings that the stream's row.
    pub(super) config_json: Box<[u8]>,
    /// What its PubAcks begin with.
    pub(crate) ack_head: Vec<u8>,
    pub(crate) created: Timestamp,
    pub(crate) log: Log,
    pub(crate) dedupe: Dedupe,
    pub(crate) consumers: BTreeMap<ConsumerId, Box<Consumer>>,
    pub(crate) consumers_by_name: BTreeMap<String, ConsumerId>,
    pub(crate) next_consumer: u32,
    /// Subjects with more messages than they may have, of which it is not
    /// known which is the oldest.
    pub(super) overfull: BTreeSet<Box<[u8]>>,
    /// Removals that are under way.
    pub(super) removals: VecDeque<Removal>,
    /// Messages whose consumers are through with them, in blocks that are not
    /// in memory.
    pub(crate) released: BTreeSet<Seq>,
    /// Blocks whose message ids are still to be read.
    pub(crate) recalling: VecDeque<BlockKey>,
    /// What it drops is to be kept.
    pub(super) keeps_overflow: bool,
    /// Its configuration asks for more than to store what comes.
    pub(super) features: Features,
    /// Messages for it that wait for what it holds, in the order in which
    /// they came.
    pub(super) waiting: VecDeque<Internal>,
    /// Batches of which messages are still to come.
    pub(crate) batches: Batches,
    /// Batches that are stored as they come and are not at their end.
    pub(super) fast: FastBatches,
    /// What it copies from other streams.
    pub(crate) copies: Vec<Copying>,
    /// Who copies it.
    pub(super) followers: Vec<Follower>,
    /// A message cannot just be stored: there are features or messages that
    /// wait.
    pub(super) is_special: bool,
    /// Who published the last messages.
    pub(crate) publishers: Publishers,
    /// Messages that were dropped and are to become dead letters.
    pub(super) overflowed: Overflow,
    /// What consumers were told while messages were removed.
    pub(crate) effects: Vec<(ConsumerId, Effects)>,
    pub(crate) expiry_due: Option<crate::Time>,
    /// It is known when the next message is too old.
    pub(super) is_aging: bool,
    /// What was stored by schedules, and in place of what has gone, and is
    /// still to be published again: with the last sequence of its subject
    /// before.
    pub(super) left: Vec<(Seq, Seq)>,
    /// Bytes of such messages since they were last counted.
    pub(super) left_len: u64,
    /// How many they are, and what they count as in their account.
    pub(super) left_count: u64,
    pub(super) left_size: u64,
    /// What its account still has room for, where something is about to be
    /// left.
    pub(super) room_left: u64,
    /// The zones that its schedules may name, if it has any.
    pub(super) zones: Option<Arc<Zones>>,
    /// The messages before this one ask never to grow too old.
    pub(super) aged_to: Seq,
    /// A block that a publisher's expectation could not be checked without.
    pub(super) missing: Option<BlockKey>,
    /// The message that was stored last, or was not since it is in memory.
    pub(super) last_stored: Option<Seq>,
    /// It was neither written to nor purged since it is in memory.
    pub(crate) is_untouched: bool,
    pub(crate) is_dirty: bool,
    pub(crate) row_dirty: bool,
    pub(crate) subscriptions: Vec<crate::ids::SubId>,
    /// The sequences that may still be held for consumers that are gone:
    /// from this one on.
    pub(crate) sweep: Option<Seq>,
}

impl Stream {
    pub(crate) fn new(
        id: StreamId,
        account_name: Arc<str>,
        config: StreamConfig,
        created: Timestamp,
        hash_seed: u64,
    ) -> Self {
        let keeps_all = config.max_msgs_per_subject > 1;
        let is_volatile = config.storage == Storage::Memory;
        let mut log = Log::new(id, is_volatile, Subjects::new(hash_seed, keeps_all));
        log.skip_to(Seq(config.first_seq.saturating_sub(1)));
        let mut stream = Stream {
            id,
            account: AccountId::GLOBAL,
            account_name,
            ack_head: PubAck::head(&config.name, ""),
            config,
            config_json: Box::default(),
            created,
            log,
            dedupe: Dedupe::new(hash_seed),
            consumers: BTreeMap::new(),
            consumers_by_name: BTreeMap::new(),
            next_consumer: 0,
            overfull: BTreeSet::new(),
            removals: VecDeque::new(),
            released: BTreeSet::new(),
            recalling: VecDeque::new(),
            keeps_overflow: false,
            features: Features::default(),
            waiting: VecDeque::new(),
            batches: Batches::default(),
            fast: FastBatches::default(),
            copies: Vec::new(),
            followers: Vec::new(),
            is_special: false,
            publishers: Publishers::default(),
            overflowed: Overflow::default(),
            effects: Vec::new(),
            expiry_due: None,
            is_aging: false,
            left: Vec::new(),
            left_len: 0,
            left_count: 0,
            left_size: 0,
            room_left: u64::MAX,
            zones: None,
            aged_to: Seq(0),
            missing: None,
            last_stored: None,
            is_untouched: true,
            is_dirty: true,
            row_dirty: true,
            subscriptions: Vec::new(),
            sweep: None,
        };
        stream.configured();
        stream
    }

    /// Takes its place in an account of this server.
    pub(crate) fn settle_in(&mut self, account: AccountId, config: &StreamsConfig) {
        self.account = account;
        self.ack_head = PubAck::head(&self.config.name, &config.domain);
        self.log.tuning = config.tuning;
        self.zones = config.zones.clone();
    }

    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    pub(crate) fn is_volatile(&self) -> bool {
        self.config.storage == Storage::Memory
    }

    pub(crate) fn consumer(&self, name: &str) -> Option<&Consumer> {
        let id = self.consumers_by_name.get(name)?;
        self.consumers.get(id).map(|consumer| &**consumer)
    }
}
