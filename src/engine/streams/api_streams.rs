//! Requests that are about streams.

use super::filter::Filter;
use super::log_read::NeedBlock;
use super::removal::{Progress as RemovalProgress, Removal};
use super::request::{Answered, Held, Outcome, Progress, Request};
use super::stream::Stream;
use super::streams::Streams;
use crate::Time;
use crate::account::Sink;
use crate::engine::{Engine, Timer};
use crate::ids::{AccountId, Seq, StreamId};
use crate::order::in_order;
use crate::outbox::Outbox;
use midge_api::advisory::{Action, Event};
use midge_api::responses::{self, LIST_LIMIT, NAMES_LIMIT, Page, SUBJECTS_LIMIT};
use midge_api::{
    AccountInfo, ApiError, LostMessages, PageRequest, PurgeRequest, Retention, StreamConfig,
    StreamInfo, StreamInfoRequest, StreamState, Timestamp, check_stream_name, expect_empty,
    metadata,
};
use std::borrow::Cow;

/// Streams there may be. Each costs a few kilobytes and some rows; the number
/// is far above what one machine is used for.
pub(super) const STREAMS_MAX: usize = 100_000;

/// Deleted sequences that are listed one by one.
const DELETED_LISTED_MAX: usize = 1_000_000;

/// Subjects of which some overlap means that a stream would store what the
/// server says itself.
const RESERVED: [&str; 3] = ["$JS.>", "$JSC.>", "$NRG.>"];

impl Streams {
    pub(super) fn account_info(&self, request: &Request) -> Answered {
        let info = AccountInfo {
            domain: &self.config.domain,
            ..self.info_of_account(request.from.account)
        };
        Answered::Now(responses::account_info(&info))
    }

    pub(super) fn create_stream<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        name: &str,
        request: &Request,
        now: Time,
        out: &mut O,
    ) -> Outcome {
        let (mut config, is_pedantic) =
            StreamConfig::from_json(request.body(), self.config.strictness)?;
        if config.name != name {
            return Err(ApiError::STREAM_MISMATCH.into());
        }
        check_stream_name(&config.name)?;
        metadata::strip_server_metadata(&mut config.metadata);
        config.limit_duplicates(self.config.limits.duplicate_window, is_pedantic)?;
        config.check(is_pedantic)?;
        let account = request.from.account;
        self.take_over_from_origin(account, &mut config);
        if let Some(id) = self.id_of(account, name) {
            let existing = &self.streams[&id];
            let mut same = existing.config.clone();
            metadata::strip_server_metadata(&mut same.metadata);
            if same != config {
                return Err(ApiError::STREAM_NAME_EXIST.into());
            }
            let info = self.info_of(id, None, "")?;
            return Ok(Answered::WhenSafe(responses::stream_created(&info)));
        }
        self.check_account_limits(account, &config, None)?;
        if self.streams.len() >= STREAMS_MAX {
            return Err(ApiError::MAXIMUM_STREAMS_LIMIT.into());
        }
        self.check_overlap(account, &config, None)?;
        self.check_zones(&config)?;
        self.check_cycle(account, &config)?;
        let id = self.open_stream(engine, account, config, out);
        let _ = now;
        let info = self.info_of(id, None, "")?;
        Ok(Answered::WhenSafe(responses::stream_created(&info)))
    }

    /// Makes a stream of a configuration that was checked.
    pub(super) fn open_stream<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        account: AccountId,
        config: StreamConfig,
        out: &mut O,
    ) -> StreamId {
        let id = StreamId(self.last_stream.0 + 1);
        let hash_seed = self.config.hash_seed ^ u64::from(id.0);
        let name = config.name.clone();
        let account_name = self.tenants[account].name.clone();
        let mut stream = Stream::new(id, account_name, config, self.wall, hash_seed);
        stream.settle_in(account, &self.config);
        listen(engine, &mut stream);
        self.add_stream(stream);
        self.copy_again();
        let event = Event::Stream {
            stream: &name,
            action: Action::Create,
        };
        self.publish_event(engine, account, &event, out);
        id
    }

    pub(super) fn update_stream<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        name: &str,
        request: &Request,
        now: Time,
        out: &mut O,
    ) -> Outcome {
        let (mut config, is_pedantic) =
            StreamConfig::from_json(request.body(), self.config.strictness)?;
        check_stream_name(&config.name)?;
        if config.name != name {
            return Err(ApiError::STREAM_MISMATCH.into());
        }
        let account = request.from.account;
        let Some(id) = self.id_of(account, name) else {
            config.check_alone(is_pedantic)?;
            return Err(ApiError::STREAM_NOT_FOUND.into());
        };
        metadata::strip_server_metadata(&mut config.metadata);
        let old = self.streams[&id].config.clone();
        config.limit_duplicates(self.config.limits.duplicate_window, is_pedantic)?;
        old.check_update(&mut config, is_pedantic)?;
        self.check_account_limits(account, &config, Some(id))?;
        self.check_overlap(account, &config, Some(id))?;
        self.check_zones(&config)?;
        self.check_cycle(account, &config)?;
        self.take_over_from_origin(account, &mut config);
        let zones = self.config.zones.clone();
        let Some(stream) = self.streams.get_mut(&id) else {
            return Err(ApiError::STREAM_NOT_FOUND.into());
        };
        check_consumer_limits(stream, &config)?;
        stream.config = config;
        stream.zones = zones;
        stream.configured();
        stream.row_dirty = true;
        listen_again(engine, stream, &old);
        let takes_batches = stream.config.allow_atomic;
        let takes_fast = stream.config.allow_batched;
        if stream.config.retention == Retention::Interest && old.retention != Retention::Interest {
            // What its consumers are through with has no use any more.
            stream.sweep_again();
        }
        if stream.config.max_age != old.max_age {
            super::removal::set_expiry(stream, &mut engine.timers, None);
        }
        let subjects_change = stream.config.max_msgs_per_subject != old.max_msgs_per_subject;
        if old.allow_atomic && !takes_batches {
            self.forget_batches(engine, id);
        }
        if old.allow_batched && !takes_fast {
            self.forget_fast(engine, id);
        }
        self.changed(id);
        self.advance_later(id);
        self.advance(engine, now, out);
        if subjects_change && let Some(stream) = self.streams.get_mut(&id) {
            // Only now, as the order decides which messages are left.
            stream.limit_subjects_again();
            self.advance_later(id);
            self.advance(engine, now, out);
        }
        self.tell_effects(engine, id, now, out);
        self.copy_again();
        let event = Event::Stream {
            stream: name,
            action: Action::Modify,
        };
        self.publish_event(engine, account, &event, out);
        let info = self.info_of(id, None, "")?;
        Ok(Answered::WhenSafe(responses::stream_updated(&info)))
    }

    /// Before there are schedules it has to be known which zones there are.
    pub(super) fn check_zones(&self, config: &StreamConfig) -> Result<(), Held> {
        match config.allow_msg_schedules && self.config.zones.is_none() {
            true => Err(Held::Zones),
            false => Ok(()),
        }
    }

    /// A stream may not take subjects that another one has, or that the
    /// server itself publishes to.
    pub(super) fn check_overlap(
        &self,
        account: AccountId,
        config: &StreamConfig,
        own: Option<StreamId>,
    ) -> Result<(), ApiError> {
        let collide = midge_proto::subjects_collide;
        for subject in &config.subjects {
            let is_reserved = RESERVED
                .iter()
                .any(|reserved| collide(reserved.as_bytes(), subject.as_bytes()));
            let is_event = midge_proto::is_subset(subject.as_bytes(), b"$JS.EVENT.>");
            if is_reserved && !is_event && !config.no_ack {
                return Err(ApiError::stream_invalid_config(
                    "subjects that overlap with jetstream api require no-ack to be true",
                ));
            }
        }
        let others = self.streams_of(account);
        let others = others.filter(|other| Some(other.id) != own);
        for other in others {
            for theirs in &other.config.subjects {
                if config
                    .subjects
                    .iter()
                    .any(|ours| collide(ours.as_bytes(), theirs.as_bytes()))
                {
                    return Err(ApiError::STREAM_SUBJECT_OVERLAP);
                }
            }
        }
        Ok(())
    }

    pub(super) fn delete_stream<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        name: &str,
        request: &Request,
        out: &mut O,
    ) -> Outcome {
        expect_empty(request.body())?;
        let account = request.from.account;
        let id = self
            .id_of(account, name)
            .ok_or(ApiError::STREAM_NOT_FOUND)?;
        let consumers: Vec<_> = self.streams[&id].consumers.keys().copied().collect();
        for consumer in consumers {
            self.remove_consumer(engine, id, consumer, out);
        }
        self.refuse_waiting(engine, id, &ApiError::STREAM_NOT_FOUND, out);
        self.forget_batches(engine, id);
        self.forget_fast(engine, id);
        let Some(mut stream) = self.streams.remove(&id) else {
            return Err(ApiError::STREAM_NOT_FOUND.into());
        };
        self.tenants[account].by_name.remove(name);
        unlisten(engine, &mut stream);
        engine
            .timers
            .disarm(&mut stream.expiry_due, Timer::Stream(id));
        self.forget_stream(&stream);
        self.find_followers();
        self.tenants[account].count_again();
        self.used.count_again();
        let event = Event::Stream {
            stream: name,
            action: Action::Delete,
        };
        self.publish_event(engine, account, &event, out);
        let body = responses::success(responses::ResponseKind::StreamDelete);
        Ok(Answered::WhenSafe(body))
    }

    pub(super) fn stream_info(&mut self, name: &str, request: &Request) -> Outcome {
        let asked = StreamInfoRequest::from_json(request.body(), self.config.strictness)?;
        let account = request.from.account;
        let id = self
            .id_of(account, name)
            .ok_or(ApiError::STREAM_NOT_FOUND)?;
        let mut page = Page::default();
        let mut subjects = Vec::new();
        if !asked.subjects_filter.is_empty() {
            let filter = Filter::new([asked.subjects_filter.as_bytes()]);
            let all = self.streams[&id].log.subjects.iter();
            let found: Vec<_> = all.filter(|state| filter.matches(&state.name)).collect();
            if !found.is_empty() {
                page = Page {
                    total: found.len(),
                    offset: asked.offset,
                    limit: SUBJECTS_LIMIT,
                };
            }
            let order = in_order(found.len(), &|a, b| found[a].name.cmp(&found[b].name));
            let shown = order.iter().skip(page.offset).take(SUBJECTS_LIMIT);
            subjects.extend(shown.map(|at| {
                let name = String::from_utf8_lossy(&found[*at].name);
                (name.into_owned(), found[*at].count)
            }));
        }
        let leader = self.config.server_name.clone();
        let mut info = self.info_of(id, Some(&asked), &leader)?;
        info.state.to_mut().subjects = subjects;
        Ok(Answered::Now(responses::stream_info(&info, page)))
    }

    /// What is told of a stream. Needs the first block, for its time.
    pub(super) fn info_of<'a>(
        &'a self,
        id: StreamId,
        asked: Option<&StreamInfoRequest>,
        leader: &'a str,
    ) -> Result<StreamInfo<'a>, Held> {
        let stream = &self.streams[&id];
        let mut state = state_of(stream)?;
        if asked.is_some_and(|asked| asked.deleted_details) {
            let gaps = stream.log.gaps(DELETED_LISTED_MAX);
            state.deleted = gaps.into_iter().map(|seq| seq.0).collect();
        }
        Ok(StreamInfo {
            config: Cow::Borrowed(&stream.config),
            created: stream.created,
            state: Cow::Owned(state),
            domain: &self.config.domain,
            leader,
            copies: self.copies_of(stream),
            ts: self.wall,
        })
    }

    pub(super) fn stream_names(&self, request: &Request) -> Outcome {
        let asked = PageRequest::from_json(request.body(), self.config.strictness)?;
        let names = self.matching_streams(request.from.account, &asked.subject);
        let page = page(names.len(), asked.offset, NAMES_LIMIT);
        let shown = names.iter().skip(page.offset).take(page.limit);
        let body = responses::stream_names(page, shown.map(|stream| stream.name()));
        Ok(Answered::Now(body))
    }

    pub(super) fn stream_list(&self, request: &Request) -> Outcome {
        let asked = PageRequest::from_json(request.body(), self.config.strictness)?;
        let streams = self.matching_streams(request.from.account, &asked.subject);
        let page = page(streams.len(), asked.offset, LIST_LIMIT);
        let infos = streams
            .iter()
            .skip(page.offset)
            .take(page.limit)
            .map(|stream| self.info_of(stream.id, None, ""))
            .collect::<Result<Vec<_>, Held>>()?;
        Ok(Answered::Now(responses::stream_list(page, infos)))
    }

    /// The streams whose subjects collide with one, by name.
    fn matching_streams(&self, account: AccountId, subject: &str) -> Vec<&Stream> {
        self.streams_of(account)
            .filter(|stream| {
                subject.is_empty()
                    || stream.config.subjects.iter().any(|own| {
                        midge_proto::subjects_collide(own.as_bytes(), subject.as_bytes())
                    })
            })
            .collect()
    }

    pub(super) fn purge<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        name: &str,
        request: &mut Request,
        now: Time,
        out: &mut O,
    ) -> Outcome {
        let asked = PurgeRequest::from_json(request.body(), self.config.strictness)?;
        let account = request.from.account;
        let id = self
            .id_of(account, name)
            .ok_or(ApiError::STREAM_NOT_FOUND)?;
        let Some(stream) = self.streams.get_mut(&id) else {
            return Err(ApiError::STREAM_NOT_FOUND.into());
        };
        if stream.config.sealed {
            return Err(ApiError::STREAM_SEALED.into());
        }
        if stream.config.deny_purge {
            return Err(ApiError::stream_purge_failed("stream purge not permitted").into());
        }
        let filter = Filter::new([asked.filter.as_bytes()]);
        stream.is_untouched &= !filter.is_all() || asked.keep > 0;
        if filter.is_all() && asked.seq == 0 && asked.keep == 0 {
            let purged = stream.purge_all();
            self.changed(id);
            self.wake_receivers(id);
            self.tell_effects(engine, id, now, out);
            return Ok(Answered::WhenSafe(responses::purged(purged)));
        }
        let mut removal = match std::mem::take(&mut request.progress) {
            Progress::Purge(removal) => removal,
            _ => plan_purge(stream, &asked, filter),
        };
        let step = if removal.left == 0 {
            Ok(RemovalProgress::Done)
        } else {
            stream.step_removal(&mut removal)
        };
        if step == Ok(RemovalProgress::Done) {
            if removal.filter.is_all() && asked.seq > 0 {
                // What is before the sequence is never to come, either.
                stream.skip_before(Seq(asked.seq));
            }
            stream.consumers_purged(&removal.filter);
        }
        self.changed(id);
        self.wake_receivers(id);
        self.tell_effects(engine, id, now, out);
        match step {
            Ok(RemovalProgress::Done) => Ok(Answered::WhenSafe(responses::purged(removal.removed))),
            Ok(RemovalProgress::More) => {
                request.progress = Progress::Purge(removal);
                Err(Held::Again)
            }
            Err(need) => {
                request.progress = Progress::Purge(removal);
                Err(need.into())
            }
        }
    }
}

/// Consumers that are there have to keep to new limits, too.
fn check_consumer_limits(stream: &Stream, config: &StreamConfig) -> Result<(), ApiError> {
    let limits = &config.consumer_limits;
    if *limits == stream.config.consumer_limits {
        return Ok(());
    }
    let (pending, threshold) = (limits.max_ack_pending, limits.inactive_threshold);
    let names: Vec<&str> = stream
        .consumers
        .values()
        .filter(|consumer| {
            let config = &consumer.config;
            (pending > 0 && !(0..=pending).contains(&config.max_ack_pending))
                || (threshold.0 > 0
                    && (config.inactive_threshold.is_zero()
                        || config.inactive_threshold > threshold))
        })
        .map(|consumer| consumer.name())
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(ApiError::stream_update_failed(format!(
        "change to limits violates consumers: {}",
        names.join(", ")
    )))
}

fn plan_purge(stream: &Stream, asked: &PurgeRequest, filter: Filter) -> Removal {
    let log = &stream.log;
    let mut to = log.last();
    let mut left = u64::MAX;
    if asked.seq > 0 {
        to = Seq(asked.seq - 1);
    }
    if asked.keep > 0 {
        let count = if filter.is_all() {
            log.messages()
        } else {
            let meant = log
                .subjects
                .iter()
                .filter(|subject| filter.matches(&subject.name));
            meant.map(|subject| subject.count).sum()
        };
        left = count.saturating_sub(asked.keep);
    }
    Removal {
        at: log.first(),
        to,
        filter,
        left,
        removed: 0,
        is_purge: true,
    }
}

/// The counters of a stream. Needs its first block, for the time of the first
/// message.
pub(super) fn state_of(stream: &Stream) -> Result<StreamState, NeedBlock> {
    let log = &stream.log;
    let first = if log.messages() == 0 {
        None
    } else {
        log.get(log.first())?
    };
    let first_ts = first.map_or(Timestamp::UNSET, |record| record.time);
    Ok(state_at(stream, first_ts))
}

/// The counters of a stream whose first message was stored at `first_ts`.
pub(super) fn state_at(stream: &Stream, first_ts: Timestamp) -> StreamState {
    let log = &stream.log;
    let (first, last) = (log.first(), log.last());
    let is_empty = log.messages() == 0;
    // A stream that never held anything and was never purged says 0, unless it
    // was made to begin somewhere.
    let is_new = is_empty && stream.is_untouched && last.0 == 0 && stream.config.first_seq != 1;
    StreamState {
        messages: log.messages(),
        bytes: log.bytes(),
        first_seq: if is_new { 0 } else { first.0 },
        first_ts,
        last_seq: last.0,
        last_ts: log.last_time(),
        num_subjects: log.subjects.len() as u64,
        subjects: Vec::new(),
        num_deleted: if is_empty {
            0
        } else {
            (last.0 + 1 - first.0).saturating_sub(log.messages())
        },
        deleted: Vec::new(),
        lost: (log.lost > 0).then(|| LostMessages {
            msgs: Vec::new(),
            bytes: 0,
        }),
        consumer_count: stream.consumers.len() as u64,
    }
}

pub(super) fn page(total: usize, offset: usize, limit: usize) -> Page {
    Page {
        total,
        offset: offset.min(total),
        limit,
    }
}

/// Makes the stream's subjects, and its messages if they may be read
/// directly, lead to it.
pub(super) fn listen(engine: &mut Engine, stream: &mut Stream) {
    for subject in &stream.config.subjects {
        let sub = engine.listen(stream.account, Sink::Stream(stream.id), subject.as_bytes());
        stream.subscriptions.push(sub);
    }
    let config = &stream.config;
    let own = config.allow_direct.then_some(config.name.clone());
    let mirror = config.mirror.as_ref().filter(|_| config.mirror_direct);
    let origin = mirror.map(|mirror| mirror.name.clone());
    for name in [own, origin].into_iter().flatten() {
        let subject = format!("$JS.API.DIRECT.GET.{name}");
        for filter in [subject.clone(), format!("{subject}.>")] {
            let sub = engine.listen(
                stream.account,
                Sink::DirectGet(stream.id),
                filter.as_bytes(),
            );
            stream.subscriptions.push(sub);
        }
    }
}

/// Listens anew where that differs from what the stream was.
fn listen_again(engine: &mut Engine, stream: &mut Stream, old: &StreamConfig) {
    let new = &stream.config;
    if new.subjects != old.subjects
        || new.allow_direct != old.allow_direct
        || new.mirror_direct != old.mirror_direct
    {
        unlisten(engine, stream);
        listen(engine, stream);
    }
}

pub(super) fn unlisten(engine: &mut Engine, stream: &mut Stream) {
    for sub in stream.subscriptions.drain(..) {
        engine.accounts[stream.account].unsubscribe(sub);
    }
}
