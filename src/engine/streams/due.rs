//! What time and the coming and going of listeners do to streams.

use super::api_consumers::is_bound;
use super::api_streams::listen;
use super::clients::Clients;
use super::consumer::duration;
use super::effects::Effects;
use super::flow_answers::ask_flow;
use super::recovery::StoredStreams;
use super::streams::{Health, Streams};
use super::tenant::Tenant;
use super::zone::Zones;
use crate::Time;
use crate::account::Sink;
use crate::accounts::Accounts;
use crate::engine::{Engine, Timer};
use crate::ids::{AccountId, ConsumerId, StreamId};
use crate::maintenance;
use crate::outbox::Outbox;
use midge_proto::headers::{HeaderWriter, name as names};
use std::sync::Arc;
use std::time::Duration;

/// After the disk was full publishers to files are refused for so long: whoever
/// publishes without a pause would fill it again before anybody can make room.
const FULL_PAUSE: Duration = Duration::from_secs(2);

impl Streams {
    /// Starts to listen, with what was stored.
    pub(crate) fn enable(&mut self, engine: &mut Engine, recovery: StoredStreams, now: Time) {
        self.find_bounds();
        for (account, tenant) in self.tenants.iter() {
            listen_in(engine, account, tenant);
        }
        let accounts = engine.config.accounts.clone();
        self.offer_api(engine, &accounts);
        self.adopt(engine, recovery, now);
    }

    /// What accounts may use has changed, and some may have come.
    pub(crate) fn set_limits(&mut self, engine: &mut Engine, accounts: &Accounts) {
        let known = self.tenants.iter().count();
        self.tenants.extend(accounts, Tenant::new);
        for (account, tenant) in self.tenants.iter().skip(known) {
            listen_in(engine, account, tenant);
        }
        self.change_limits(accounts);
        self.offer_api(engine, accounts);
    }

    /// Makes the API hear its requests. Accounts that may have no streams are told
    /// so, but where requests are another account's to answer: clients go by the
    /// first answer.
    fn offer_api(&mut self, engine: &mut Engine, accounts: &Accounts) {
        for (account, tenant) in self.tenants.iter_mut() {
            if tenant.limits.is_none() && accounts.is_api_imported(account) {
                for sub in tenant.api.drain(..) {
                    engine.unlisten(account, sub);
                }
            } else if tenant.api.is_empty() {
                let api = engine.listen(account, Sink::Api, b"$JS.API.>");
                tenant.api.push(api);
                if self.config.domain.is_empty() {
                    continue;
                }
                tenant.api.extend(IN_DOMAIN.map(|known| {
                    let filter = format!("$JS.{}.API.{known}", self.config.domain);
                    engine.listen(account, Sink::Domain, filter.as_bytes())
                }));
            }
        }
    }

    /// Takes over streams from the disk.
    fn adopt(&mut self, engine: &mut Engine, mut recovery: StoredStreams, now: Time) {
        recovery.finish();
        self.damaged_rows += recovery.damaged.len() as u64;
        self.last_stream = self.last_stream.max(recovery.last_stream);
        self.unserved.clear();
        for mut stream in std::mem::take(&mut recovery.streams) {
            let id = stream.id;
            let Some(account) = self.home_of(&stream) else {
                let account = stream.account_name.to_string();
                *self.unserved.entry(account).or_default() += 1;
                continue;
            };
            stream.settle_in(account, &self.config);
            let names = &mut self.tenants[account].by_name;
            names.insert(stream.config.name.clone(), id);
            self.streams.insert(id, Box::new(stream));
            self.recount(id);
            self.take_over(engine, id, now);
        }
        self.copy_again();
        if !recovery.half.is_empty() {
            self.removed.append(&mut recovery.half);
            self.is_urgent = true;
        }
    }

    /// A stream that comes from the disk, or from a backup, begins its work.
    /// What its consumers have to come is known, or is being counted.
    pub(super) fn take_over(&mut self, engine: &mut Engine, id: StreamId, now: Time) {
        let wall = self.wall;
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        // What was still to be trimmed is not stored.
        stream.limit_subjects_again();
        listen(engine, stream);
        let consumers: Vec<ConsumerId> = stream.consumers.keys().copied().collect();
        for consumer in stream.consumers.values_mut() {
            consumer.account = stream.account;
            consumer.last_used = now;
            consumer.resume(now, wall);
            consumer.forgotten_until = stream.log.last();
        }
        for consumer in consumers {
            self.open_consumer(engine, id, consumer);
            self.make_ready(id, consumer);
            self.arm(engine, id, consumer);
        }
        self.recall_ids(id);
        self.advance_later(id);
    }

    /// It is known now which zones there are: who waits for that goes on.
    pub(crate) fn zones_read<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        zones: Zones,
        now: Time,
        out: &mut O,
    ) {
        self.config.zones = Some(Arc::new(zones));
        for request in std::mem::take(&mut self.want_zones) {
            self.handle(engine, request, now, out);
        }
    }

    /// The store is open again: what is on the disk is what there is.
    pub(crate) fn recovered<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        recovery: StoredStreams,
        now: Time,
        out: &mut O,
    ) {
        let ids: Vec<StreamId> = self
            .streams
            .values()
            .filter(|stream| !stream.is_volatile())
            .map(|stream| stream.id)
            .collect();
        for id in ids {
            self.unload(engine, id, out);
        }
        // Those that were begun since the failure.
        self.fail_snapshots(engine, out);
        self.fail_restores(engine, now, out);
        self.forget_unwritten();
        self.health = Health::Good;
        if std::mem::take(&mut self.is_disk_full) {
            self.room_due = now + FULL_PAUSE;
        }
        self.adopt(engine, recovery, now);
        self.bury_all_again();
    }

    /// Forgets a stream in memory, not on the disk.
    fn unload<O: Outbox>(&mut self, engine: &mut Engine, id: StreamId, out: &mut O) {
        let Some(stream) = self.streams.get(&id) else {
            return;
        };
        let consumers: Vec<ConsumerId> = stream.consumers.keys().copied().collect();
        for consumer in consumers {
            self.end_pulls(engine, id, consumer, true, out);
            self.close_consumer(engine, id, consumer);
        }
        self.forget_batches(engine, id);
        self.forget_fast(engine, id);
        if let Some(mut stream) = self.streams.remove(&id) {
            super::api_streams::unlisten(engine, &mut stream);
            engine
                .timers
                .disarm(&mut stream.expiry_due, Timer::Stream(id));
            let names = &mut self.tenants[stream.account].by_name;
            names.remove(&stream.config.name);
        }
    }

    /// Tells everybody who waits that the server stops.
    pub(crate) fn shut_down<O: Outbox>(&mut self, engine: &mut Engine, out: &mut O) {
        let all: Vec<(StreamId, ConsumerId)> = self
            .streams
            .values()
            .flat_map(|stream| stream.consumers.keys().map(|id| (stream.id, *id)))
            .collect();
        for (stream, consumer) in all {
            self.end_pulls(engine, stream, consumer, true, out);
        }
    }

    /// A stream's oldest message may have come of age.
    pub(crate) fn stream_due<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        id: StreamId,
        now: Time,
        out: &mut O,
    ) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.expiry_due = None;
            self.advance_later(id);
            self.advance(engine, now, out);
        }
    }

    /// Something is due at a consumer.
    pub(crate) fn consumer_due<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        stream_id: StreamId,
        id: ConsumerId,
        now: Time,
        out: &mut O,
    ) {
        let wall = self.wall;
        let stream = self.streams.get_mut(&stream_id);
        let Some(consumer) = stream.and_then(|stream| stream.consumers.get_mut(&id)) else {
            return;
        };
        let clients = Clients {
            sessions: &engine.sessions,
            departed: &self.departed,
        };
        consumer.timer_due = None;
        let mut effects = Effects::default();
        consumer.expire_acks(now, wall, clients, &mut effects);
        consumer.expire_pulls(now, &mut effects);
        consumer.expire_pin(now, &mut effects);
        if consumer.not_before.is_some_and(|at| at <= now) {
            consumer.not_before = None;
            // The end of a pause is a matter of the wall clock, which may lag.
            consumer.time_pause(now, wall);
            consumer.end_pause(wall, &mut effects);
        }
        let beats = consumer.heartbeat_due.is_some_and(|due| due <= now);
        let is_idle = consumer.inactive_due().is_some_and(|due| due <= now);
        if consumer.is_dirty {
            self.cursor_changed(stream_id, now);
        }
        if !effects.is_empty() {
            self.carry_out(engine, stream_id, id, effects, now, out);
        }
        if beats {
            self.beat(engine, stream_id, id, now, out);
        }
        if is_idle && !self.is_in_use(engine, stream_id, id, now) {
            self.remove_consumer(engine, stream_id, id, out);
            return;
        }
        self.make_ready(stream_id, id);
        self.arm(engine, stream_id, id);
    }

    /// Whether a consumer that was not used for its time still has users.
    fn is_in_use(
        &mut self,
        engine: &mut Engine,
        stream: StreamId,
        id: ConsumerId,
        now: Time,
    ) -> bool {
        let consumer = self.consumer_mut(stream, id);
        let Some(consumer) = consumer else {
            return false;
        };
        let is_used = if consumer.is_push() {
            consumer.is_bound = is_bound(engine, consumer);
            consumer.is_bound
        } else {
            let is_heard = consumer
                .pulls
                .iter()
                .any(|pull| engine.is_heard(consumer.account, &pull.reply));
            is_heard || !consumer.cursor.unacked.is_empty()
        };
        if is_used {
            consumer.last_used = now;
        }
        is_used
    }

    /// Shows a push consumer's receiver that it lives.
    fn beat<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        stream: StreamId,
        id: ConsumerId,
        now: Time,
        out: &mut O,
    ) {
        let consumer = self.consumer_mut(stream, id);
        let Some(consumer) = consumer else {
            return;
        };
        consumer.heartbeat_due = Some(now + duration(consumer.config.idle_heartbeat));
        if !consumer.is_bound || consumer.copier.is_some() {
            return;
        }
        let mut header = Vec::new();
        let writer = HeaderWriter::status(&mut header, 100, "Idle Heartbeat")
            .number(names::LAST_CONSUMER, consumer.cursor.delivered.delivery.0)
            .number(names::LAST_STREAM, consumer.cursor.delivered.seq.0);
        match consumer.flow.as_ref().and_then(|flow| flow.asked()) {
            Some(asked) => writer.header(names::CONSUMER_STALLED, asked).finish(),
            None => writer.finish(),
        }
        let to = consumer.config.deliver_subject.clone();
        let routed = engine.send_status(consumer.account, to.as_bytes(), None, &header, out);
        if routed.receivers == 0 {
            consumer.is_bound = false;
            consumer.last_used = now;
        } else if consumer.needs_answer_at_rest() {
            ask_flow(engine, consumer, out);
        }
    }

    /// Subscriptions have come or gone: finds out who listens to push
    /// consumers.
    pub(super) fn check_interest(&mut self, engine: &mut Engine, now: Time) {
        let mut woken = Vec::new();
        for stream in self.streams.values_mut() {
            for consumer in stream
                .consumers
                .values_mut()
                .filter(|consumer| consumer.is_push())
            {
                let was_bound = consumer.is_bound;
                consumer.is_bound = is_bound(engine, consumer);
                if was_bound == consumer.is_bound {
                    continue;
                }
                consumer.last_used = now;
                if consumer.is_bound
                    && let Some(flow) = &mut consumer.flow
                {
                    flow.reset();
                }
                woken.push((stream.id, consumer.id));
            }
        }
        for (stream, id) in woken {
            self.make_ready(stream, id);
            self.arm(engine, stream, id);
        }
    }
}

/// What is heard below `$JS.<domain>.API`, as nats-server has it: what the API knows,
/// and what buckets are written by, so that clients need one prefix for all of it.
const IN_DOMAIN: [&str; 9] = [
    "INFO",
    "STREAM.>",
    "CONSUMER.>",
    "DIRECT.>",
    "META.>",
    "SERVER.>",
    "ACCOUNT.>",
    "$KV.>",
    "$OBJ.>",
];

/// Makes the streams hear what is said in an account.
fn listen_in(engine: &mut Engine, account: AccountId, tenant: &Tenant) {
    engine.listen(account, Sink::Maintenance, maintenance::FILTER);
    if tenant.limits.is_some() {
        // The long form, which names domain and account first. One for all
        // consumers: tokens that it told apart would be compared in each ack.
        engine.listen(account, Sink::Ack, b"$JS.ACK.*.*.*.*.*.*.*.*.>");
    }
}
