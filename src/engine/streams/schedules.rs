//! Messages that are published again by a schedule.
//!
//! Such a message stays in its stream and is the schedule: it can be read,
//! replaced and deleted like any other. Its block knows when it is due
//! ([`super::log_due`]). Then what it asks for is stored under its target, and
//! in the same turn, which is the same batch, it is removed or put off until
//! its next time: after a crash it has been published or will be, and not
//! twice. Of the times that were missed while the server was down, one is made
//! up for.

use super::expectations::{Expectations, Rollup};
use super::intake::{HEADER_LEN_MAX, Incoming};
use super::lifetime::Lifetime;
use super::log_due::NEVER;
use super::log_read::NeedBlock;
use super::rewritten::Rewritten;
use super::schedule::Schedule;
use super::stream::Stream;
use super::zone::Zones;
use crate::ids::Seq;
use midge_api::{ApiError, Nanos, Timestamp};
use midge_proto::headers::{self, HeaderBlock, HeaderWriter, name};
use std::sync::Arc;

/// Room for the headers that a message gets when it is published, beside its
/// subject.
const ADDED_LEN: usize = 256;

/// How long a message waits before it is tried again, where its account has no
/// room for it.
const ROOM_PAUSE: Nanos = Nanos::from_secs(1);

/// What `Nats-Schedule-Next` says where there is no next time, and what a
/// client says who ends a schedule.
const PURGE: &[u8] = b"purge";

/// What a message has to do with schedules.
#[derive(Debug, Default)]
pub(super) enum Scheduling {
    #[default]
    Nothing,
    /// It is one, and due then.
    Due(Timestamp),
    /// It ends this one, if there is one.
    End(Option<Seq>),
}

/// The headers of a message that is a schedule, or ends one.
#[derive(Default)]
struct Asked<'a> {
    pattern: &'a [u8],
    /// An empty one is not the same as none.
    zone: Option<&'a [u8]>,
    target: &'a [u8],
    source: &'a [u8],
    ttl: &'a [u8],
    rollup: &'a [u8],
    next: &'a [u8],
    scheduler: &'a [u8],
    /// How long the schedule itself lives.
    own_ttl: &'a [u8],
}

impl<'a> Asked<'a> {
    fn read(header: &'a [u8]) -> Self {
        let mut asked = Asked::default();
        for (key, value) in HeaderBlock::new(header).iter() {
            let place = match key {
                _ if key == name::SCHEDULE => &mut asked.pattern,
                _ if key == name::SCHEDULE_TARGET => &mut asked.target,
                _ if key == name::SCHEDULE_SOURCE => &mut asked.source,
                _ if key == name::SCHEDULE_TTL => &mut asked.ttl,
                _ if key == name::SCHEDULE_ROLLUP => &mut asked.rollup,
                _ if key == name::SCHEDULE_NEXT => &mut asked.next,
                _ if key == name::SCHEDULER => &mut asked.scheduler,
                _ if key == name::TTL => &mut asked.own_ttl,
                _ => {
                    if key == name::SCHEDULE_TIME_ZONE {
                        asked.zone.get_or_insert(value);
                    }
                    continue;
                }
            };
            if place.is_empty() {
                *place = value;
            }
        }
        asked
    }

    /// When the schedule itself goes, if it was stored at `time`.
    fn end(&self, time: Timestamp) -> Timestamp {
        let lifetime = Lifetime::read(self.own_ttl);
        lifetime
            .and_then(|lifetime| lifetime.due(time))
            .unwrap_or(NEVER)
    }
}

/// What is published when a schedule is due.
struct Shot {
    target: Vec<u8>,
    made: Rewritten,
    rollup: Option<Rollup>,
    lifetime: Lifetime,
    /// When the schedule is due again.
    next: Option<Timestamp>,
}

impl Stream {
    /// Checks what a message asks for that has a header about schedules.
    pub(super) fn check_schedule(
        &mut self,
        asked: &Expectations<'_>,
        message: Incoming<'_>,
        wall: Timestamp,
    ) -> Result<Scheduling, ApiError> {
        let header = Asked::read(&message.payload[..message.header_len]);
        let is_offered = self.config.allow_msg_schedules;
        if !is_offered && (!header.pattern.is_empty() || header.zone.is_some()) {
            return Err(ApiError::MESSAGE_SCHEDULES_DISABLED);
        }
        // It takes the place of what its subject means, which is to be itself alone.
        if !header.pattern.is_empty() && !midge_proto::is_literal(message.subject) {
            return Err(ApiError::stream_store_failed("subject can not be stored"));
        }
        let mut scheduling = Scheduling::Nothing;
        if !header.pattern.is_empty() || header.zone.is_some() {
            let zones = self.zones();
            let pattern = if header.pattern.is_empty() {
                b"@daily"
            } else {
                header.pattern
            };
            let schedule = Schedule::read(pattern, header.zone, &zones)?;
            let first = schedule.first(self.time_of_next(wall));
            let first = first.ok_or(ApiError::MESSAGE_SCHEDULES_PATTERN_INVALID)?;
            if !header.pattern.is_empty() {
                self.check_shot(&header, asked, message)?;
                scheduling = Scheduling::Due(first);
            }
        }
        if header.next.is_empty() {
            if !header.scheduler.is_empty() {
                return Err(ApiError::MESSAGE_SCHEDULES_SCHEDULER_INVALID);
            }
            return Ok(scheduling);
        }
        let ended = self.ended(&header, message.subject)?;
        Ok(match scheduling {
            Scheduling::Nothing => Scheduling::End(ended),
            other => other,
        })
    }

    /// Stores a message that is a schedule, or ends one.
    pub(super) fn admit_scheduling(
        &mut self,
        scheduling: Scheduling,
        message: Incoming<'_>,
        rollup: Option<Rollup>,
        msg_id: Option<&[u8]>,
        due: Option<Timestamp>,
        wall: Timestamp,
    ) -> Seq {
        let first = match scheduling {
            Scheduling::Due(first) => first,
            Scheduling::End(ended) => {
                let seq = self.admit(message, rollup, msg_id, due, wall);
                // Its block was there just now.
                let removed = ended.map(|ended| self.remove(ended));
                debug_assert!(!matches!(removed, Some(Err(_))));
                return seq;
            }
            Scheduling::Nothing => return self.admit(message, rollup, msg_id, due, wall),
        };
        let due = due.map_or(first, |due| due.min(first));
        if rollup.is_some() {
            return self.admit(message, rollup, msg_id, Some(due), wall);
        }
        // It replaces the one that its subject had, and says so.
        let (header, body) = message.payload.split_at(message.header_len);
        let mut changed = Vec::with_capacity(message.payload.len() + ADDED_LEN);
        HeaderWriter::from_block(&mut changed, header)
            .header(name::ROLLUP, b"sub")
            .finish();
        let changed = Rewritten::of(changed, body);
        let message = message.rewritten(Some(&changed));
        self.admit(message, Some(Rollup::Subject), msg_id, Some(due), wall)
    }

    /// When a message is due for the first time that was stored at `time`, if
    /// it is a schedule.
    pub(super) fn first_due(&self, header: &[u8], time: Timestamp) -> Option<Timestamp> {
        let asked = Asked::read(header);
        if asked.pattern.is_empty() {
            return None;
        }
        let zones = self.zones();
        let schedule = Schedule::read(asked.pattern, asked.zone, &zones).ok()?;
        schedule.first(time)
    }

    fn zones(&self) -> Arc<Zones> {
        self.zones
            .clone()
            .unwrap_or_else(|| Arc::new(Zones::new(Vec::new())))
    }

    /// Checks what a schedule is to publish.
    fn check_shot(
        &self,
        header: &Asked<'_>,
        asked: &Expectations<'_>,
        message: Incoming<'_>,
    ) -> Result<(), ApiError> {
        let is_own = |subject: &[u8]| {
            let mut own = self.config.subjects.iter();
            is_subject(subject) && own.any(|own| midge_proto::matches(own.as_bytes(), subject))
        };
        if !header.ttl.is_empty() && Lifetime::read(header.ttl).is_none() {
            return Err(ApiError::MESSAGE_SCHEDULES_TTL_INVALID);
        }
        if !header.ttl.is_empty() && !self.config.allow_msg_ttl {
            return Err(ApiError::MESSAGE_TTL_DISABLED);
        }
        if !matches!(header.rollup, b"" | b"sub") {
            return Err(ApiError::MESSAGE_SCHEDULES_ROLLUP_INVALID);
        }
        if !is_own(header.target) || header.target == message.subject {
            return Err(ApiError::MESSAGE_SCHEDULES_TARGET_INVALID);
        }
        let source = header.source;
        let is_other = source != message.subject && source != header.target;
        let is_good = source.is_empty() || (is_own(source) && is_other);
        if !is_good {
            return Err(ApiError::MESSAGE_SCHEDULES_SOURCE_INVALID);
        }
        if !matches!(asked.rollup(), Ok(None | Some(Rollup::Subject))) {
            return Err(ApiError::MESSAGE_SCHEDULES_ROLLUP_INVALID);
        }
        if message.header_len + message.subject.len() + ADDED_LEN > HEADER_LEN_MAX {
            return Err(ApiError::STREAM_HEADER_EXCEEDS_MAXIMUM);
        }
        Ok(())
    }

    /// The schedule that a message ends.
    fn ended(&mut self, header: &Asked<'_>, subject: &[u8]) -> Result<Option<Seq>, ApiError> {
        let scheduler = header.scheduler;
        if header.next != PURGE || !is_subject(scheduler) || scheduler == subject {
            return Err(ApiError::MESSAGE_SCHEDULES_SCHEDULER_INVALID);
        }
        if !self.config.allow_msg_schedules {
            return Err(ApiError::MESSAGE_SCHEDULES_DISABLED);
        }
        let found = self.log.last_of(scheduler).and_then(|last| match last {
            Some(last) => self.log.get(last.seq),
            None => Ok(None),
        });
        match found {
            Err(NeedBlock(key)) => {
                // Who tries again shall be answered.
                self.missing = Some(key);
                Err(ApiError::STREAM_EXPECTED_LAST_SEQ_PER_SUBJECT_NOT_READY)
            }
            Ok(None) => Ok(None),
            Ok(Some(record)) => match Asked::read(record.header()).pattern {
                b"" => Err(ApiError::MESSAGE_SCHEDULES_SCHEDULER_INVALID),
                _ => Ok(Some(record.seq)),
            },
        }
    }

    /// Whether a message asks not to grow too old, though something else is
    /// due with it.
    pub(super) fn is_endless_schedule(&self, header: &[u8]) -> bool {
        let asked = Asked::read(header);
        !asked.pattern.is_empty() && Lifetime::read(asked.own_ttl) == Some(Lifetime::Endless)
    }

    /// Sees to a schedule whose time has come. False if the message is none, or
    /// has lived its time.
    pub(super) fn publish_scheduled(
        &mut self,
        seq: Seq,
        due: Timestamp,
        wall: Timestamp,
    ) -> Result<bool, NeedBlock> {
        let Some(record) = self.log.get(seq)? else {
            return Ok(false);
        };
        let asked = Asked::read(record.header());
        let end = asked.end(record.time);
        if asked.pattern.is_empty() || end <= wall {
            return Ok(false);
        }
        let shot = match self.config.sealed {
            true => None,
            false => self.shot(seq, due, wall)?,
        };
        let Some(shot) = shot else {
            // Another message has taken its place, or none may come.
            self.log.put_off(seq, end);
            return Ok(true);
        };
        if let Some(later) = self.kept_from(&shot, end, wall) {
            self.log.put_off(seq, later);
            return Ok(true);
        }
        match shot.next {
            Some(next) => self.log.put_off(seq, next),
            None => {
                self.remove(seq)?;
            }
        }
        let message = shot.message();
        let ends = shot.lifetime.due(self.time_of_next(wall));
        self.leave(message, shot.rollup, ends, wall);
        Ok(true)
    }

    /// When to look at a schedule again whose message may not be stored now;
    /// one that is too long never may.
    fn kept_from(&self, shot: &Shot, end: Timestamp, wall: Timestamp) -> Option<Timestamp> {
        let message = shot.message();
        if self.check_size(message).is_err() {
            return Some(shot.next.unwrap_or(end));
        }
        let is_full = message.accounted_len(self.is_volatile()) > self.room_left;
        is_full.then(|| end.min(wall.after(ROOM_PAUSE)))
    }

    /// What a schedule publishes; `None` if it is not the last message of its
    /// subject, or cannot be read any more.
    fn shot(
        &mut self,
        seq: Seq,
        due: Timestamp,
        wall: Timestamp,
    ) -> Result<Option<Shot>, NeedBlock> {
        let zones = self.zones();
        let Some(record) = self.log.get(seq)? else {
            return Ok(None);
        };
        let last = self.log.subjects.get(record.subject);
        if last.is_none_or(|subject| subject.last.seq != seq) {
            return Ok(None);
        }
        let scheduler = record.subject.to_vec();
        let own_header = record.header().to_vec();
        let asked = Asked::read(&own_header);
        let Ok(schedule) = Schedule::read(asked.pattern, asked.zone, &zones) else {
            return Ok(None);
        };
        let next = schedule.next(due, wall);
        let end = asked.end(record.time);
        let mut body = record.body().to_vec();
        let mut header = own_header.clone();
        if !asked.source.is_empty()
            && let Some(source) = self.log.last_of(asked.source)?
            && let Some(record) = self.log.get(source.seq)?
            && record.header_len + scheduler.len() + ADDED_LEN <= HEADER_LEN_MAX
        {
            body = record.body().to_vec();
            header = record.header().to_vec();
        }
        let shown = next.map(|next| schedule.show(next));
        let mut payload = Vec::with_capacity(header.len() + body.len() + ADDED_LEN);
        let kept = headers::without(&header, &is_dropped);
        let mut writer = HeaderWriter::from_block(&mut payload, &kept)
            .header(name::SCHEDULER, &scheduler)
            .header(
                name::SCHEDULE_NEXT,
                shown.as_deref().map_or(PURGE, str::as_bytes),
            );
        if !asked.ttl.is_empty() {
            writer = writer.header(name::TTL, asked.ttl);
        }
        if !asked.rollup.is_empty() {
            writer = writer.header(name::ROLLUP, asked.rollup);
        }
        writer.finish();
        let made = Rewritten::of(payload, &body);
        let mut lifetime = Lifetime::read(asked.ttl).unwrap_or(Lifetime::Unlimited);
        let message = Incoming {
            subject: asked.target,
            payload: &made.payload,
            header_len: made.header_len,
        };
        let lasting = self.with_lasting_ttl(&mut lifetime, message);
        Ok(Some(Shot {
            target: asked.target.to_vec(),
            made: lasting.unwrap_or(made),
            rollup: (!asked.rollup.is_empty()).then_some(Rollup::Subject),
            lifetime,
            next: next.map(|next| next.min(end)),
        }))
    }
}

impl Shot {
    fn message(&self) -> Incoming<'_> {
        Incoming {
            subject: &self.target,
            payload: &self.made.payload,
            header_len: self.made.header_len,
        }
    }
}

fn is_subject(subject: &[u8]) -> bool {
    midge_proto::is_literal(subject) && !midge_proto::has_blank(subject)
}

/// A header that was meant for the server, and not for who gets what it
/// publishes.
fn is_dropped(header: &[u8]) -> bool {
    header.starts_with(b"Nats-Schedule")
        || header.starts_with(b"Nats-Expected-")
        || [name::MSG_ID, name::TTL, name::ROLLUP].contains(&header)
}
