//! Requests that are about consumers.

use super::api_streams::page;
use super::consumer::Consumer;
use super::position::Cursor;
use super::request::{Answered, Held, Outcome, Progress, Request, Route};
use super::start;
use super::stream::Stream;
use super::streams::Streams;
use crate::Time;
use crate::account::Sink;
use crate::engine::{Engine, Timer};
use crate::ids::{AccountId, ConsumerId, StreamId};
use crate::outbox::Outbox;
use midge_api::advisory::{Action, Event};
use midge_api::responses::{self, LIST_LIMIT, NAMES_LIMIT, ResponseKind};
use midge_api::{
    AckPolicy, ApiError, ConsumerAction, ConsumerConfig, ConsumerInfo, ConsumerPageRequest,
    CreateConsumerRequest, CreateForm, DeliverPolicy, Nanos, PauseRequest, ReplayPolicy, Retention,
    SequenceInfo, Timestamp, check_consumer_name, expect_empty, metadata,
};
use std::borrow::Cow;

/// Length of the names that unnamed consumers are given.
const NAME_LEN: usize = 8;

impl Streams {
    pub(super) fn create_consumer<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        route: &Route,
        request: &mut Request,
        now: Time,
        out: &mut O,
    ) -> Outcome {
        let mut asked = CreateConsumerRequest::from_json(request.body(), self.config.strictness)?;
        asked.settle(&route.stream, form_of(route))?;
        let id = self
            .id_of(request.from.account, &route.stream)
            .ok_or(ApiError::STREAM_NOT_FOUND)?;
        let (max_consumers, max_ack_pending) = self.consumer_limits(request.from.account);
        let max_batch = self.config.limits.max_request_batch;
        let Some(stream) = self.streams.get_mut(&id) else {
            return Err(ApiError::STREAM_NOT_FOUND.into());
        };
        asked.config.limit_batch(max_batch, asked.pedantic)?;
        check_config(&mut asked, stream, max_ack_pending)?;
        let existing = stream.consumers_by_name.get(&asked.config.name).copied();
        let named = existing.and_then(|id| stream.consumers.get(&id));
        let is_durable = named.map_or(asked.config.is_durable(), |named| named.is_durable());
        asked.config.fill_threshold(is_durable);
        match (asked.action, existing) {
            (ConsumerAction::Update, None) => return Err(ApiError::CONSUMER_DOES_NOT_EXIST.into()),
            (action, Some(consumer)) => {
                return self.update_consumer(engine, (id, consumer), asked, action, now);
            }
            _ => {}
        }
        let count = stream.consumers.len() as u64;
        if max_consumers.is_some_and(|max| count >= max) {
            return Err(ApiError::MAXIMUM_CONSUMERS_LIMIT.into());
        }
        check_limits(stream, &asked, None)?;
        let is_unnamed = asked.config.name.is_empty();
        if is_unnamed {
            asked.config.name = engine.rng.name(NAME_LEN);
        }
        let times = (now, self.wall);
        let consumer_id = stream.add_consumer(asked.config, times, &mut request.progress)?;
        if let Some(consumer) = stream.consumers.get_mut(&consumer_id) {
            consumer.is_unnamed = is_unnamed;
        }
        self.open_consumer(engine, id, consumer_id);
        self.attach_if_asked(id, consumer_id);
        if self.is_stored(id, consumer_id) {
            self.consumer_rows.push((id, consumer_id));
            self.changed(id);
        }
        let stream_name = route.stream.as_str();
        let name = self.streams[&id].consumers[&consumer_id]
            .config
            .name
            .clone();
        let event = Event::Consumer {
            stream: stream_name,
            consumer: &name,
            action: Action::Create,
        };
        self.publish_event(engine, request.from.account, &event, out);
        if self.streams[&id].consumers[&consumer_id].is_paused(self.wall) {
            self.tell_pause(engine, id, consumer_id, out);
        }
        // Deliveries follow the answer: the queue is worked off later.
        self.make_ready(id, consumer_id);
        self.arm(engine, id, consumer_id);
        let info = self.consumer_info_of(engine, id, consumer_id);
        Ok(Answered::WhenSafe(responses::consumer_created(&info)))
    }

    /// Whether a consumer outlives the server.
    pub(super) fn is_stored(&self, stream: StreamId, id: ConsumerId) -> bool {
        self.streams.get(&stream).is_some_and(|stream| {
            !stream.is_volatile()
                && stream
                    .consumers
                    .get(&id)
                    .is_some_and(|consumer| !consumer.config.mem_storage)
        })
    }

    /// Makes the subjects of a consumer lead to it.
    pub(super) fn open_consumer(
        &mut self,
        engine: &mut Engine,
        stream_id: StreamId,
        id: ConsumerId,
    ) {
        let Some(stream) = self.streams.get_mut(&stream_id) else {
            return;
        };
        let Some(consumer) = stream.consumers.get_mut(&id) else {
            return;
        };
        let names = format!("{}.{}", stream.config.name, consumer.config.name);
        let mut filters = Vec::new();
        if consumer.wants_acks() && !consumer.is_acked_by_flow() {
            filters.push((Sink::Ack, format!("$JS.ACK.{names}.*.*.*.*.*")));
        }
        if consumer.is_push() {
            consumer.is_bound = is_bound(engine, consumer);
            if consumer.config.idle_heartbeat.0 > 0 {
                let beat = super::consumer::duration(consumer.config.idle_heartbeat);
                consumer.heartbeat_due = Some(consumer.last_used + beat);
            }
            if consumer.config.flow_control {
                filters.push((Sink::FlowControl, format!("$JS.FC.{names}.>")));
            }
            self.push_consumers += 1;
        }
        // A push consumer answers too: that it is one.
        filters.push((Sink::Pull, format!("$JS.API.CONSUMER.MSG.NEXT.{names}")));
        for (sink, filter) in filters {
            let sub = engine.listen(stream.account, sink, filter.as_bytes());
            consumer.subscriptions.push(sub);
        }
    }

    #[allow(clippy::too_many_arguments)] // The request, taken apart.
    fn update_consumer(
        &mut self,
        engine: &mut Engine,
        (stream_id, id): (StreamId, ConsumerId),
        mut asked: CreateConsumerRequest,
        action: ConsumerAction,
        now: Time,
    ) -> Outcome {
        let Some(stream) = self.streams.get_mut(&stream_id) else {
            return Err(ApiError::STREAM_NOT_FOUND.into());
        };
        let Some(consumer) = stream.consumers.get(&id) else {
            return Err(ApiError::CONSUMER_NOT_FOUND.into());
        };
        let mut same = asked.config.clone();
        same.pause_until = consumer.config.pause_until;
        if same == consumer.config {
            self.start_over_if_sourcing(engine, (stream_id, id), now);
            let info = self.consumer_info_of(engine, stream_id, id);
            return Ok(Answered::WhenSafe(responses::consumer_created(&info)));
        }
        if action == ConsumerAction::Create {
            return Err(ApiError::CONSUMER_ALREADY_EXISTS.into());
        }
        if consumer.is_push()
            && consumer.config.deliver_subject != asked.config.deliver_subject
            && !asked.config.deliver_subject.is_empty()
            && is_bound(engine, consumer)
        {
            return Err(ApiError::CONSUMER_NAME_EXIST.into());
        }
        consumer.config.check_update(&mut asked.config)?;
        check_limits(stream, &asked, Some(id))?;
        let filter_changed = consumer.config.filter_subject != asked.config.filter_subject
            || consumer.config.filter_subjects != asked.config.filter_subjects;
        self.close_consumer(engine, stream_id, id);
        let Some(stream) = self.streams.get_mut(&stream_id) else {
            return Err(ApiError::STREAM_NOT_FOUND.into());
        };
        if let Some(consumer) = stream.consumers.get_mut(&id) {
            let waits = |config: &ConsumerConfig| (config.ack_wait, config.backoff.clone());
            let waited = waits(&consumer.config);
            consumer.configure(asked.config);
            consumer.last_used = now;
            if waits(&consumer.config) != waited {
                // The new wait is for what was delivered before, too.
                consumer.resume(now, self.wall);
            }
            if filter_changed {
                consumer.filter_changed();
            }
        }
        if filter_changed {
            self.recount_consumer(stream_id, id);
        }
        self.open_consumer(engine, stream_id, id);
        self.attach_if_asked(stream_id, id);
        if self.is_stored(stream_id, id) {
            self.consumer_rows.push((stream_id, id));
            self.changed(stream_id);
        }
        self.start_over_if_sourcing(engine, (stream_id, id), now);
        self.make_ready(stream_id, id);
        self.arm(engine, stream_id, id);
        let info = self.consumer_info_of(engine, stream_id, id);
        Ok(Answered::WhenSafe(responses::consumer_created(&info)))
    }

    /// Takes the subjects of a consumer away, and its timer.
    pub(super) fn close_consumer(&mut self, engine: &mut Engine, stream: StreamId, id: ConsumerId) {
        let consumer = self.consumer_mut(stream, id);
        let Some(consumer) = consumer else {
            return;
        };
        for sub in consumer.subscriptions.drain(..) {
            engine.accounts[consumer.account].unsubscribe(sub);
        }
        let key = Timer::Consumer(stream, id);
        engine.timers.disarm(&mut consumer.timer_due, key);
        if consumer.is_push() {
            self.push_consumers -= 1;
        }
    }

    /// Removes a consumer, for whatever reason.
    pub(super) fn remove_consumer<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        stream_id: StreamId,
        id: ConsumerId,
        out: &mut O,
    ) {
        self.end_pulls(engine, stream_id, id, false, out);
        self.close_consumer(engine, stream_id, id);
        let is_stored = self.is_stored(stream_id, id);
        let Some(stream) = self.streams.get_mut(&stream_id) else {
            return;
        };
        let Some(consumer) = stream.consumers.remove(&id) else {
            return;
        };
        stream.consumers_by_name.remove(&consumer.config.name);
        stream.sweep_again();
        if stream.sweep.is_some() {
            self.advance_later(stream_id);
        }
        if is_stored {
            self.forget_consumer(stream_id, id);
        }
        let name = self.streams[&stream_id].config.name.clone();
        let event = Event::Consumer {
            stream: &name,
            consumer: &consumer.config.name,
            action: Action::Delete,
        };
        self.publish_event(engine, consumer.account, &event, out);
    }

    /// The consumer that a request names.
    pub(super) fn named(
        &self,
        account: AccountId,
        stream: &str,
        consumer: &str,
    ) -> Result<(StreamId, ConsumerId), ApiError> {
        let id = self
            .id_of(account, stream)
            .ok_or(ApiError::STREAM_NOT_FOUND)?;
        let consumers = &self.streams[&id].consumers_by_name;
        let consumer = consumers.get(consumer);
        Ok((id, *consumer.ok_or(ApiError::CONSUMER_NOT_FOUND)?))
    }

    pub(super) fn delete_consumer_by_request<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        stream: &str,
        consumer: &str,
        request: &Request,
        out: &mut O,
    ) -> Outcome {
        expect_empty(request.body())?;
        let (stream, id) = self.named(request.from.account, stream, consumer)?;
        self.remove_consumer(engine, stream, id, out);
        let body = responses::success(ResponseKind::ConsumerDelete);
        Ok(Answered::WhenSafe(body))
    }

    pub(super) fn consumer_info(
        &mut self,
        engine: &mut Engine,
        stream: &str,
        consumer: &str,
        request: &Request,
    ) -> Outcome {
        expect_empty(request.body())?;
        let (stream, id) = self.named(request.from.account, stream, consumer)?;
        let named = self.streams.get_mut(&stream);
        if let Some(consumer) = named.and_then(|stream| stream.consumers.get_mut(&id)) {
            // Only requests that somebody waits for are told of.
            super::pull_request::drop_unheard(engine, consumer);
        }
        let info = self.consumer_info_of(engine, stream, id);
        Ok(Answered::Now(responses::consumer_info(&info)))
    }

    pub(super) fn consumer_names(&self, stream: &str, request: &Request) -> Outcome {
        let asked = ConsumerPageRequest::from_json(request.body(), self.config.strictness)?;
        let id = self
            .id_of(request.from.account, stream)
            .ok_or(ApiError::STREAM_NOT_FOUND)?;
        let names = &self.streams[&id].consumers_by_name;
        let page = page(names.len(), asked.offset, NAMES_LIMIT);
        let shown = names.keys().skip(page.offset).take(page.limit);
        let body = responses::consumer_names(page, shown.map(String::as_str));
        Ok(Answered::Now(body))
    }

    pub(super) fn consumer_list(
        &mut self,
        engine: &mut Engine,
        stream: &str,
        request: &Request,
    ) -> Outcome {
        let asked = ConsumerPageRequest::from_json(request.body(), self.config.strictness)?;
        let id = self
            .id_of(request.from.account, stream)
            .ok_or(ApiError::STREAM_NOT_FOUND)?;
        let names = &self.streams[&id].consumers_by_name;
        let page = page(names.len(), asked.offset, LIST_LIMIT);
        let ids = names.values().skip(page.offset).take(page.limit);
        let infos: Vec<_> = ids
            .map(|consumer| self.consumer_info_of(engine, id, *consumer))
            .collect();
        Ok(Answered::Now(responses::consumer_list(page, infos)))
    }

    /// What is told of a consumer.
    pub(super) fn consumer_info_of<'a>(
        &'a self,
        engine: &mut Engine,
        stream: StreamId,
        id: ConsumerId,
    ) -> ConsumerInfo<'a> {
        let stream = &self.streams[&stream];
        let consumer = &stream.consumers[&id];
        let is_bound = is_bound(engine, consumer);
        info(stream, consumer, self.wall, is_bound)
    }

    pub(super) fn pause_consumer<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        stream: &str,
        consumer: &str,
        request: &Request,
        now: Time,
        out: &mut O,
    ) -> Outcome {
        let asked = PauseRequest::from_json(request.body(), self.config.strictness)?;
        let (stream_id, id) = self.named(request.from.account, stream, consumer)?;
        let wall = self.wall;
        let until = asked.pause_until.filter(|until| until.is_set());
        let left = until.map_or(Nanos(0), |until| until.since(wall));
        let mut is_news = false;
        if let Some(consumer) = self.consumer_mut(stream_id, id) {
            is_news = consumer.config.pause_until != until;
            consumer.config.pause_until = until;
            consumer.not_before = None;
            consumer.is_pausing = false;
            consumer.time_pause(now, wall);
        }
        if self.is_stored(stream_id, id) {
            self.consumer_rows.push((stream_id, id));
            self.changed(stream_id);
        }
        let pause = until.map(|until| (until, left));
        if is_news {
            self.tell_pause(engine, stream_id, id, out);
        }
        self.make_ready(stream_id, id);
        self.arm(engine, stream_id, id);
        Ok(Answered::WhenSafe(responses::consumer_paused(pause)))
    }

    /// Publishes whether a consumer pauses.
    fn tell_pause<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        stream_id: StreamId,
        id: ConsumerId,
        out: &mut O,
    ) {
        let stream = &self.streams[&stream_id];
        let Some(consumer) = stream.consumers.get(&id) else {
            return;
        };
        let until = consumer.config.pause_until;
        let is_paused = consumer.is_paused(self.wall);
        let account = consumer.account;
        let (stream, consumer) = (stream.name().to_owned(), consumer.name().to_owned());
        let event = Event::Pause {
            stream: &stream,
            consumer: &consumer,
            is_paused,
            until,
        };
        self.publish_event(engine, account, &event, out);
    }
}

impl Stream {
    /// Adds a consumer of this configuration, where it is to start.
    fn add_consumer(
        &mut self,
        config: ConsumerConfig,
        (now, wall): (Time, Timestamp),
        progress: &mut Progress,
    ) -> Result<ConsumerId, Held> {
        let id = ConsumerId(self.next_consumer);
        let mut consumer = Consumer::new(id, self.name(), config, wall, now);
        consumer.account = self.account;
        let (config, filter) = (&consumer.config, &consumer.filter);
        let start = start::find(config, filter, &mut self.log, progress)?;
        self.next_consumer += 1;
        self.row_dirty = true;
        let mut cursor = Cursor {
            // What lies between them is not meant for it.
            scanned: start.picks.last().copied().unwrap_or_default(),
            picks: start.picks,
            ..Cursor::default()
        };
        cursor.delivered.seq = start.passed;
        cursor.ack_floor.seq = start.passed;
        consumer.begin_at(cursor);
        consumer.pending = start.pending;
        consumer.time_pause(now, wall);
        if consumer.config.replay_policy == ReplayPolicy::Original {
            consumer.replay_until = self.log.last();
        }
        let name = consumer.config.name.clone();
        self.consumers_by_name.insert(name, id);
        self.consumers.insert(id, Box::new(consumer));
        Ok(id)
    }
}

/// Whether somebody listens where a push consumer delivers to.
pub(super) fn is_bound(engine: &mut Engine, consumer: &Consumer) -> bool {
    let group = consumer.config.deliver_group.as_bytes();
    let group = (!group.is_empty()).then_some(group);
    let subject = consumer.config.deliver_subject.as_bytes();
    // The API listens there itself, to requests.
    let is_api = subject.starts_with(b"$JS.API.");
    let mut is_heard = || !is_api && engine.has_interest(consumer.account, subject, group);
    consumer.is_push() && (consumer.copier.is_some() || is_heard())
}

/// How a consumer is asked for, by the subject of the request.
fn form_of(route: &Route) -> CreateForm<'_> {
    let filter = (!route.rest.is_empty()).then_some(route.rest.as_str());
    let name = route.consumer.as_str();
    match (name.is_empty(), route.is_durable) {
        (true, _) => CreateForm::Unnamed,
        (false, true) => CreateForm::Durable { name },
        (false, false) => CreateForm::Named { name, filter },
    }
}

/// Checks what is asked for, and fills in what is not said. `max_ack_pending` is
/// what the account allows.
fn check_config(
    asked: &mut CreateConsumerRequest,
    stream: &Stream,
    max_ack_pending: Option<i64>,
) -> Result<(), ApiError> {
    if !asked.config.name.is_empty() {
        check_consumer_name(&asked.config.name)?;
    }
    metadata::strip_server_metadata(&mut asked.config.metadata);
    let is_unsaid = asked.config.max_ack_pending == 0;
    asked.config.check(&stream.config, asked.pedantic)?;
    if let Some(max) = max_ack_pending.filter(|max| asked.config.max_ack_pending > *max) {
        if !is_unsaid {
            return Err(ApiError::consumer_max_pending_ack_excess(max));
        }
        asked.config.max_ack_pending = max;
    }
    Ok(())
}

/// What a stream allows its consumers beside what each may be by itself.
pub(super) fn check_limits(
    stream: &Stream,
    asked: &CreateConsumerRequest,
    own: Option<ConsumerId>,
) -> Result<(), ApiError> {
    let max = stream.config.max_consumers;
    if own.is_none() && max > 0 && stream.consumers.len() as i64 >= max {
        return Err(ApiError::MAXIMUM_CONSUMERS_LIMIT);
    }
    if stream.config.retention != Retention::WorkQueue {
        return Ok(());
    }
    // What these are about cannot be changed later.
    let is_new = own.is_none();
    if is_new {
        asked.config.check_acks_of_work_queue()?;
    }
    let others = stream
        .consumers
        .values()
        .filter(|other| Some(other.id) != own);
    let filters: Vec<&str> = asked.config.filters().collect();
    for other in others {
        let theirs: Vec<&str> = other.config.filters().collect();
        if filters.is_empty() {
            return Err(ApiError::CONSUMER_WQ_MULTIPLE_UNFILTERED);
        }
        if theirs.is_empty() {
            return Err(ApiError::CONSUMER_WQ_CONSUMER_NOT_UNIQUE);
        }
        let collide = |ours: &&str| {
            theirs
                .iter()
                .any(|theirs| midge_proto::subjects_collide(ours.as_bytes(), theirs.as_bytes()))
        };
        if filters.iter().any(collide) {
            return Err(ApiError::CONSUMER_WQ_CONSUMER_NOT_UNIQUE);
        }
    }
    match asked.config.deliver_policy {
        DeliverPolicy::All => Ok(()),
        _ if is_new => Err(ApiError::CONSUMER_WQ_CONSUMER_NOT_DELIVER_ALL),
        _ => Ok(()),
    }
}

pub(super) fn info<'a>(
    stream: &'a Stream,
    consumer: &'a Consumer,
    wall: Timestamp,
    push_bound: bool,
) -> ConsumerInfo<'a> {
    let cursor = &consumer.cursor;
    let acks = consumer.config.ack_policy != AckPolicy::None;
    let sequence = |position: super::position::Position, active: Option<Timestamp>| SequenceInfo {
        consumer_seq: position.delivery.0,
        stream_seq: position.seq.0,
        last_active: active.unwrap_or(Timestamp::UNSET),
    };
    let mut config = Cow::Borrowed(&consumer.config);
    if consumer.is_unnamed {
        config.to_mut().name.clear();
    }
    let paused = consumer.config.pause_until.filter(|until| *until > wall);
    ConsumerInfo {
        stream_name: stream.name(),
        name: consumer.name(),
        created: consumer.created,
        config,
        delivered: sequence(cursor.delivered, consumer.last_delivered),
        ack_floor: sequence(cursor.ack_floor, consumer.last_acked),
        num_ack_pending: if acks { cursor.unacked.len() as u64 } else { 0 },
        num_redelivered: consumer.redelivered() as u64,
        num_waiting: consumer.pulls.len() as u64,
        num_pending: consumer.pending,
        push_bound,
        paused: paused.map(|until| until.since(wall)),
        ts: wall,
        priority_group: consumer.priority_group(),
    }
}

impl From<Held> for ApiError {
    fn from(held: Held) -> ApiError {
        match held {
            Held::Refused(error) => error,
            Held::Block(_) | Held::Again | Held::Zones => ApiError::CLUSTER_NOT_AVAIL,
        }
    }
}
