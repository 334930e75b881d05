//! All streams, and what is between them and the disk.
//!
//! Changes gather in memory; [`Streams::take_batch`] makes one batch of them
//! when the store is free, and what was promised to clients leaves when that
//! batch has become durable. Nobody waits for the disk: work that needs a
//! block which is not in memory is put aside until it has been read.

use super::answers::{Answers, OnFailure};
use super::api_dlq::LOOKS_MAX;
use super::attached::Attached;
use super::clients::Departed;
use super::consumer::Consumer;
use super::effects::Effects;
use super::redrive::Redrives;
use super::request::Request;
use super::restore::Restores;
use super::rows;
use super::snapshot::Snapshots;
use super::stream::Stream;
use super::tenant::{Tenant, Used};
use super::tuning::StreamsTuning;
use super::zone::Zones;
use crate::Time;
use crate::account::Sink;
use crate::accounts::ByAccount;
use crate::engine::Engine;
use crate::ids::{AccountId, ConsumerId, Seq, StreamId};
use crate::message_trace::MetStream;
use crate::outbox::Outbox;
use crate::storage::{Batch, BlockKey, RowKey, Write};
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use midge_api::json::Strictness;
use midge_api::{DlqError, DlqKind, ServerLimits, Timestamp};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// A change of a cursor that nobody waits for is stored this late, together
/// with those that follow: a slow consumer must not cost a commit a message.
const CURSOR_LINGER: Duration = Duration::from_millis(100);

/// What a message or an answer that waits takes beside its bytes.
const WAITING_COST: usize = 96;

/// Work that needs a block.
pub(super) enum Job {
    /// A consumer may have something to deliver.
    Serve(StreamId, ConsumerId),
    /// A stream has messages to remove.
    Advance(StreamId),
    /// A request is to be answered.
    Request(Box<Request>),
    /// What lies before a consumer is to be counted.
    Count(StreamId, ConsumerId),
    /// Message ids are to be read.
    Recall(StreamId),
    /// Messages have died with a consumer.
    Bury(StreamId, ConsumerId),
    /// Dead letters are to be sent back.
    Redrive(u64),
    /// Messages for a stream wait for what it holds.
    Publish(StreamId),
    /// A stream may copy more.
    Copy(StreamId),
    /// A backup of a stream goes on.
    Snapshot(u32),
    /// What is restored is safe so far.
    Restore(u32),
}

/// Why the streams do not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Good,
    /// The store failed; what is in memory is not what is on the disk.
    Failed,
}

/// A batch that is on its way to the disk.
pub(super) struct InFlight {
    answers: Answers,
    /// What becomes durable with it.
    ends: Vec<(StreamId, Seq)>,
    jobs: Vec<Job>,
}

/// What the streams are told at the start.
#[derive(Debug, Clone)]
pub struct StreamsConfig {
    /// Keeps publishers from choosing subjects that collide.
    pub hash_seed: u64,
    /// The server's name, for those who ask who answers.
    pub server_name: String,
    /// The server's id.
    pub server_id: String,
    /// The domain by which the stream API is reached as well, as
    /// `$JS.<domain>.API`; empty is none.
    pub domain: String,
    /// Whether keys that nobody knows are errors in requests.
    pub strictness: Strictness,
    /// What all streams may use together.
    pub limits: ServerLimits,
    /// How much is kept and done at a time.
    pub tuning: StreamsTuning,
    /// The zones that schedules may name, if they are known yet: see
    /// [`crate::Engine::wants_zones`].
    pub zones: Option<Arc<Zones>>,
}

pub(crate) struct Streams {
    pub(super) config: StreamsConfig,
    pub(crate) streams: BTreeMap<StreamId, Box<Stream>>,
    /// What each account has of them.
    pub(crate) tenants: ByAccount<Tenant>,
    /// The bytes of some account have a bound.
    pub(super) has_bounds: bool,
    /// What the streams of all accounts take.
    pub(super) used: Used,
    pub(super) last_stream: StreamId,
    /// Streams that are stored and not served, as their accounts may have
    /// none now: how many, by account.
    pub(crate) unserved: BTreeMap<String, usize>,
    /// The wall clock, as it was last told.
    pub(crate) wall: Timestamp,
    pub(crate) health: Health,
    /// The store has failed for want of room on the disk.
    pub(crate) is_disk_full: bool,
    /// That was so: until then it is for those who take something away.
    pub(crate) room_due: Time,
    /// Where the message at hand goes.
    pub(crate) hits: Vec<Sink>,
    // Towards the disk.
    /// Removed streams whose data the store still has.
    pub(super) removed: Vec<StreamId>,
    pub(super) removed_consumers: Vec<(StreamId, ConsumerId)>,
    /// Consumers whose configuration is to be written.
    pub(super) consumer_rows: Vec<(StreamId, ConsumerId)>,
    pub(super) dirty: Vec<StreamId>,
    /// Somebody waits for the next batch.
    pub(super) is_urgent: bool,
    pub(super) cursors_due: Option<Time>,
    /// Somebody waits for the next batch, which waits until then for more.
    pub(super) lingers_until: Option<Time>,
    pub(super) answers: Answers,
    /// None, but their memory.
    spare_answers: Answers,
    /// Work that waits for the next batch.
    pub(super) waiting_commit: Vec<Job>,
    /// Batches on their way to the disk, the oldest first.
    pub(super) in_flight: VecDeque<InFlight>,
    /// How many were taken.
    pub(super) batches: u64,
    /// Bytes stored since the last of them was taken.
    pub(super) uncommitted: u64,
    // From the disk.
    pub(super) wanted: Vec<BlockKey>,
    pub(super) loading: HashSet<BlockKey, FixedState>,
    pub(super) parked: HashMap<BlockKey, Vec<Job>, FixedState>,
    pub(super) parked_requests: usize,
    /// Bytes of the messages that wait for what their streams hold.
    pub(super) waiting_len: usize,
    /// Bytes of the messages of batches that are not whole.
    pub(super) batched_len: usize,
    /// Batches that are stored as they come, of all streams.
    pub(super) fast_open: usize,
    /// Work whose block could not be read, and when that is tried again.
    pub(super) failed_jobs: Vec<Job>,
    pub(super) retry_due: Option<Time>,
    /// The blocks in memory with their lengths, oldest first.
    pub(super) cache: VecDeque<(BlockKey, usize)>,
    pub(super) cache_len: usize,
    // Towards consumers.
    pub(super) ready: VecDeque<(StreamId, ConsumerId)>,
    pub(super) advancing: VecDeque<StreamId>,
    /// Streams that may copy something.
    pub(super) copying: VecDeque<StreamId>,
    /// Consumers that streams copy through.
    pub(super) attached: Vec<Attached>,
    /// Streams whose consumers are to hear of removals.
    pub(super) told: Vec<StreamId>,
    /// Requests that wait for zones to be known.
    pub(crate) want_zones: Vec<Request>,
    /// Requests that go on in the next turn.
    pub(super) again: Vec<Request>,
    /// Dead letters that requests may still look at in this turn.
    pub(super) looks_left: u32,
    /// Consumers with messages that have died.
    pub(super) burying: VecDeque<(StreamId, ConsumerId)>,
    /// Redrives that are under way, and the last that were.
    pub(super) redrives: Redrives,
    /// Backups of streams that are made and taken in nats-server's form.
    pub(super) snapshots: Snapshots,
    pub(super) restores: Restores,
    /// Clients that went last.
    pub(crate) departed: Departed,
    pub(crate) push_consumers: usize,
    pub(crate) interest_changed: bool,
    // Totals.
    pub(crate) damaged_rows: u64,
    pub(crate) stored_total: u64,
    /// Messages that streams have dropped and that should have become dead
    /// letters, but were not taken.
    pub(crate) overflow_lost_total: u64,
    /// Those that became some.
    pub(crate) overflow_total: u64,
    pub(super) scratch: Vec<u8>,
    /// The consumer that took the last ack, which is likely the next one's too.
    pub(super) last_acked: (StreamId, ConsumerId),
    /// What the ack that is being taken leads to; empty between them.
    pub(super) effects: Effects,
    /// What becomes of the message that is being taken in, if that is traced.
    pub(super) traced: Option<MetStream>,
}

impl Streams {
    pub(crate) fn new(config: StreamsConfig, tenants: ByAccount<Tenant>) -> Self {
        let hasher = FixedState::with_seed(config.hash_seed.rotate_left(2));
        Streams {
            config,
            streams: BTreeMap::new(),
            has_bounds: false,
            used: Used::UNKNOWN,
            tenants,
            last_stream: StreamId(0),
            unserved: BTreeMap::new(),
            wall: Timestamp(0),
            health: Health::Good,
            is_disk_full: false,
            room_due: Time::default(),
            hits: Vec::new(),
            removed: Vec::new(),
            removed_consumers: Vec::new(),
            consumer_rows: Vec::new(),
            dirty: Vec::new(),
            is_urgent: false,
            cursors_due: None,
            lingers_until: None,
            answers: Answers::default(),
            spare_answers: Answers::default(),
            waiting_commit: Vec::new(),
            in_flight: VecDeque::new(),
            batches: 0,
            uncommitted: 0,
            wanted: Vec::new(),
            loading: HashSet::with_hasher(hasher.clone()),
            parked: HashMap::with_hasher(hasher),
            parked_requests: 0,
            waiting_len: 0,
            batched_len: 0,
            fast_open: 0,
            failed_jobs: Vec::new(),
            retry_due: None,
            cache: VecDeque::new(),
            cache_len: 0,
            ready: VecDeque::new(),
            advancing: VecDeque::new(),
            copying: VecDeque::new(),
            attached: Vec::new(),
            told: Vec::new(),
            want_zones: Vec::new(),
            again: Vec::new(),
            looks_left: LOOKS_MAX,
            burying: VecDeque::new(),
            redrives: Redrives::default(),
            snapshots: Snapshots::default(),
            restores: Restores::default(),
            departed: Departed::default(),
            push_consumers: 0,
            interest_changed: false,
            damaged_rows: 0,
            stored_total: 0,
            overflow_lost_total: 0,
            overflow_total: 0,
            scratch: Vec::new(),
            last_acked: (StreamId(0), ConsumerId(0)),
            effects: Effects::default(),
            traced: None,
        }
    }

    pub(crate) fn by_name(&self, account: AccountId, name: &str) -> Option<&Stream> {
        let id = self.id_of(account, name)?;
        self.streams.get(&id).map(|stream| &**stream)
    }

    pub(super) fn id_of(&self, account: AccountId, name: &str) -> Option<StreamId> {
        self.tenants[account].by_name.get(name).copied()
    }

    /// The account of a stream.
    pub(super) fn account_of(&self, stream: StreamId) -> AccountId {
        let stream = self.streams.get(&stream);
        stream.map_or(AccountId::GLOBAL, |stream| stream.account)
    }

    /// A consumer, while it and its stream are there.
    pub(super) fn consumer_mut(
        &mut self,
        stream: StreamId,
        id: ConsumerId,
    ) -> Option<&mut Consumer> {
        let consumers = &mut self.streams.get_mut(&stream)?.consumers;
        consumers.get_mut(&id).map(|consumer| &mut **consumer)
    }

    // Towards the disk.

    /// A stream has changes for the store that somebody waits for.
    pub(super) fn changed(&mut self, id: StreamId) {
        self.is_urgent |= self.mark_dirty(id);
    }

    /// A cursor has changed, which can wait a little.
    pub(super) fn cursor_changed(&mut self, id: StreamId, now: Time) {
        if self.mark_dirty(id) && self.cursors_due.is_none() {
            self.cursors_due = Some(now + CURSOR_LINGER);
        }
    }

    /// False for a stream that the disk has nothing to do with.
    fn mark_dirty(&mut self, id: StreamId) -> bool {
        let Some(stream) = self.streams.get_mut(&id) else {
            return false;
        };
        self.tenants[stream.account].count_again();
        self.used.count_again();
        if stream.is_volatile() {
            return false;
        }
        if !stream.is_dirty {
            stream.is_dirty = true;
            self.dirty.push(id);
        }
        true
    }

    /// So much more waits for the disk.
    pub(super) fn stored_bytes(&mut self, len: usize) {
        self.uncommitted += (len + WAITING_COST) as u64;
    }

    /// Bytes that are worth a batch have gathered.
    pub(crate) fn has_full_batch(&self) -> bool {
        self.uncommitted >= self.config.tuning.full_batch_len
    }

    /// How many batches are on their way to the disk.
    pub(crate) fn batches_in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Those who store should wait until the disk has caught up.
    pub(crate) fn is_congested(&self) -> bool {
        self.uncommitted > self.config.tuning.uncommitted_max
    }

    /// Whether who sent the message at hand has to wait for the disk. Who
    /// stores does first; acks and requests go on for longer, since consumers
    /// are what empties streams, but what they are answered waits as well.
    pub(crate) fn is_holding(&self) -> bool {
        if !self.is_congested() {
            return false;
        }
        let stores = self.hits.iter().any(|sink| match sink {
            Sink::Stream(id) => self
                .streams
                .get(id)
                .is_some_and(|stream| !stream.is_volatile()),
            Sink::Restore(_) => true,
            _ => false,
        });
        stores || self.uncommitted > 2 * self.config.tuning.uncommitted_max
    }

    pub(super) fn forget_stream(&mut self, stream: &Stream) {
        if !stream.is_volatile() {
            self.removed.push(stream.id);
            self.is_urgent = true;
        }
        // A new stream starts dirty without being in the list.
        self.dirty.retain(|id| *id != stream.id);
    }

    pub(super) fn forget_consumer(&mut self, stream: StreamId, consumer: ConsumerId) {
        self.removed_consumers.push((stream, consumer));
        self.consumer_rows.retain(|row| *row != (stream, consumer));
        self.changed(stream);
    }

    /// A stream that was just made.
    pub(super) fn add_stream(&mut self, stream: Stream) {
        let id = stream.id;
        self.last_stream = self.last_stream.max(id);
        let names = &mut self.tenants[stream.account].by_name;
        names.insert(stream.config.name.clone(), id);
        if !stream.is_volatile() {
            self.dirty.push(id);
            self.is_urgent = true;
        }
        self.streams.insert(id, Box::new(stream));
    }

    /// Sends an answer once everything that was done so far is safe.
    pub(super) fn answer(
        &mut self,
        account: AccountId,
        reply: &[u8],
        on_failure: OnFailure<'_>,
        body: impl FnOnce(&mut Vec<u8>),
    ) {
        self.is_urgent = true;
        self.stored_bytes(reply.len());
        self.answers.push(account, reply, on_failure, body);
    }

    /// Puts work aside until everything that was done so far is safe.
    pub(super) fn wait_for_commit(&mut self, job: Job) {
        self.is_urgent = true;
        self.waiting_commit.push(job);
    }

    /// Whether something is on its way to the disk, or has to go there.
    pub(crate) fn is_settled(&self) -> bool {
        self.in_flight.is_empty()
            && self.dirty.is_empty()
            && self.removed.is_empty()
            && self.answers.is_empty()
    }

    /// What is to be written, if the store is free and something is due; or
    /// what has gathered while one batch is on its way, if that is much. The
    /// caller has to call [`Streams::committed`] when it has become durable.
    pub(crate) fn take_batch(&mut self, now: Time) -> Option<Batch> {
        if self.is_urgent && self.lingers_until.is_none() {
            self.lingers_until = Some(now + self.config.tuning.commit_linger);
        }
        let is_past = |due: Option<Time>| due.is_some_and(|due| due <= now);
        let is_full = self.is_urgent && self.has_full_batch();
        let is_due = match self.in_flight.len() {
            0 => is_full || is_past(self.lingers_until) || is_past(self.cursors_due),
            1 => is_full,
            _ => false,
        };
        if !is_due || self.health != Health::Good {
            return None;
        }
        self.is_urgent = false;
        self.lingers_until = None;
        self.cursors_due = None;
        self.uncommitted = 0;
        let mut batch = Batch::default();
        let writes = &mut batch.writes;
        for id in self.removed.drain(..) {
            writes.push(Write::RemoveStream(id));
        }
        for (stream, id) in self.removed_consumers.drain(..) {
            writes.push(Write::RemoveRow(RowKey::Consumer(stream, id)));
            writes.push(Write::RemoveRow(RowKey::Cursor(stream, id)));
        }
        for (stream, id) in self.consumer_rows.drain(..) {
            let Some(stream) = self
                .streams
                .get(&stream)
                .filter(|stream| !stream.is_volatile())
            else {
                continue;
            };
            if let Some(consumer) = stream.consumers.get(&id) {
                let key = RowKey::Consumer(stream.id, id);
                writes.push(Write::PutRow(key, rows::write_consumer(consumer)));
            }
        }
        self.batches += 1;
        self.restores.take_writes(self.batches, writes);
        let mut ends = Vec::new();
        let dirty = std::mem::take(&mut self.dirty);
        for id in &dirty {
            if let Some(stream) = self.streams.get_mut(id) {
                stream.take_writes(writes);
                ends.push((*id, stream.log.last()));
            }
        }
        for id in dirty {
            self.arrived(id);
        }
        let spare_answers = std::mem::take(&mut self.spare_answers);
        self.in_flight.push_back(InFlight {
            answers: std::mem::replace(&mut self.answers, spare_answers),
            ends,
            jobs: std::mem::take(&mut self.waiting_commit),
        });
        Some(batch)
    }

    /// When something is due though nobody waits for it: a batch, or work that
    /// could not be done.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let is_free = self.in_flight.is_empty() && self.health == Health::Good;
        let batch_due = [self.cursors_due, self.lingers_until];
        let batch_due = batch_due.into_iter().flatten().min();
        let transfers = [self.snapshots.due(), self.restores.due()];
        [
            batch_due.filter(|_| is_free),
            self.retry_due,
            self.redrives.due(),
        ]
        .into_iter()
        .chain(transfers)
        .flatten()
        .min()
    }

    /// The oldest batch has become durable: what was promised leaves, and
    /// consumers may see what is in it.
    pub(crate) fn committed<O: Outbox>(&mut self, engine: &mut Engine, now: Time, out: &mut O) {
        let Some(mut done) = self.in_flight.pop_front() else {
            return;
        };
        for (id, end) in done.ends {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.log.committed(end);
                self.wake_consumers(id);
                self.wake_followers(id);
            }
        }
        done.answers.each(|answer| engine.send_answer(answer, out));
        done.answers.clear();
        self.spare_answers = done.answers;
        for job in done.jobs {
            self.run_job(engine, job, now, out);
        }
    }

    /// What was on its way has not become durable, and nothing will until the store has
    /// been opened again. Nobody was promised anything.
    pub(crate) fn failed<O: Outbox>(&mut self, engine: &mut Engine, now: Time, out: &mut O) {
        self.health = Health::Failed;
        let mut jobs = std::mem::take(&mut self.waiting_commit);
        let mut refused = Vec::new();
        for in_flight in self.in_flight.drain(..) {
            refused.push(in_flight.answers);
            jobs.extend(in_flight.jobs);
        }
        jobs.extend(self.parked.drain().flat_map(|(_, jobs)| jobs));
        refused.push(std::mem::take(&mut self.answers));
        for answers in refused {
            answers.each(|answer| {
                let mut refusal = Vec::new();
                super::request::refusal(answer.payload, answer.on_failure, &mut refusal);
                if !refusal.is_empty() {
                    engine.answer(answer.account, answer.reply, &refusal, out);
                }
            });
        }
        for (account, reply) in self.redrives.stop_all("the disk has failed") {
            let body = DlqKind::Redrive.refusal(&DlqError::Unavailable.into());
            engine.answer(account, &reply, &body, out);
        }
        self.refuse_all_waiting(engine, out);
        self.fail_snapshots(engine, out);
        self.fail_restores(engine, now, out);
        self.forget_unwritten();
        // All else begins anew with what the disk holds.
        for job in jobs {
            if let Job::Request(request) = job {
                self.handle(engine, *request, now, out);
            }
        }
    }

    /// Drops everything that was on its way to the disk or from it.
    pub(super) fn forget_unwritten(&mut self) {
        self.removed.clear();
        self.removed_consumers.clear();
        self.consumer_rows.clear();
        self.dirty.clear();
        self.in_flight.clear();
        self.waiting_commit.clear();
        self.parked.clear();
        self.parked_requests = 0;
        self.failed_jobs.clear();
        self.retry_due = None;
        self.loading.clear();
        self.wanted.clear();
        self.uncommitted = 0;
        self.is_urgent = false;
        self.lingers_until = None;
        self.cursors_due = None;
    }

    // Work that is due.

    /// How much waits for something, or for its turn.
    pub(crate) fn backlog(&self) -> usize {
        let parked: usize = self.parked.values().map(Vec::len).sum();
        let waiting = self.waiting_commit.len() + self.again.len() + self.answers.len();
        parked
            + waiting
            + self.failed_jobs.len()
            + self.loading.len()
            + self.ready.len()
            + self.advancing.len()
            + self.copying.len()
            + self.burying.len()
    }
}
