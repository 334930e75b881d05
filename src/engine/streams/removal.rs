//! What must leave a stream, and why.
//!
//! A removal needs to know what it removes, and so the block it lies in. What
//! is in memory goes at once; the rest goes as its blocks come in.

use super::consumer::Consumer;
use super::copies::Follower;
use super::effects::Effects;
use super::filter::Filter;
use super::log_read::NeedBlock;
use super::overflow::Dropped;
use super::stream::Stream;
use super::streams::{Job, Streams};
use crate::Time;
use crate::engine::{Engine, Timer};
use crate::ids::{ConsumerId, Seq, StreamId};
use crate::outbox::Outbox;
use crate::timers::Timers;
use midge_api::{Discard, Retention};
use std::collections::BTreeMap;

/// A purge can make a stream go on with a sequence up to this one.
const SKIPPED_MAX: u64 = 1 << 62;

/// The removal of what a filter means, up to some message.
#[derive(Debug, Clone)]
pub(crate) struct Removal {
    /// Everything before this is done.
    pub(crate) at: Seq,
    pub(crate) to: Seq,
    pub(crate) filter: Filter,
    /// How many are still to go.
    pub(crate) left: u64,
    pub(crate) removed: u64,
    /// Somebody asked for it: consumers are not told of single messages.
    pub(crate) is_purge: bool,
}

/// How far things have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Done,
    /// There is more to do, in the next turn.
    More,
}

impl Stream {
    /// Removes a message and tells the consumers.
    pub(crate) fn remove(&mut self, seq: Seq) -> Result<bool, NeedBlock> {
        let (consumers, effects) = (&mut self.consumers, &mut self.effects);
        self.row_dirty = true;
        self.log.remove(seq, &mut |seq, subject| {
            tell_removed(consumers, effects, false, seq, subject);
        })
    }

    /// Removes the oldest messages of a subject but for so many. Where they
    /// are not known, they go later.
    pub(super) fn trim_subject(&mut self, subject: &[u8], kept: u64, is_purge: bool) {
        while let Some(id) = self.log.subjects.find(subject) {
            let state = self.log.subjects.by_id(id);
            if state.count <= kept {
                return;
            }
            let oldest = state.oldest();
            if !is_purge && self.keeps(Dropped::Discarded) {
                self.overfull.insert(subject.into());
                return;
            }
            let Some(oldest) = oldest else {
                let state = self.log.subjects.by_id(id);
                let surplus = state.count - kept;
                let to = state.last.seq.prev();
                if self.config.max_msgs_per_subject == kept as i64 && !is_purge {
                    self.overfull.insert(subject.into());
                } else {
                    self.removals.push_back(Removal {
                        at: self.log.first(),
                        to,
                        filter: Filter::exactly(subject),
                        left: surplus,
                        removed: 0,
                        is_purge,
                    });
                }
                return;
            };
            let (consumers, effects) = (&mut self.consumers, &mut self.effects);
            self.log.remove_known(id, oldest, &mut |seq, subject| {
                tell_removed(consumers, effects, is_purge, seq, subject);
            });
        }
    }

    /// Removes everything up to a sequence, as soon as can be.
    pub(super) fn purge_later(&mut self, to: Seq, filter: Filter) {
        self.removals.push_back(Removal {
            at: self.log.first(),
            to,
            filter,
            left: u64::MAX,
            removed: 0,
            is_purge: true,
        });
    }

    /// Takes a removal further.
    pub(crate) fn step_removal(&mut self, removal: &mut Removal) -> Result<Progress, NeedBlock> {
        let (consumers, effects) = (&mut self.consumers, &mut self.effects);
        self.row_dirty = true;
        let is_purge = removal.is_purge;
        let (removed, at) = self.log.remove_matching(
            removal.at,
            removal.to,
            &removal.filter,
            removal.left.min(self.log.tuning.removals),
            &mut |seq, subject| tell_removed(consumers, effects, is_purge, seq, subject),
        );
        removal.removed += removed;
        removal.left -= removed;
        match at? {
            Some(at) if removal.left > 0 => {
                removal.at = at;
                Ok(Progress::More)
            }
            _ => Ok(Progress::Done),
        }
    }

    /// Whether [`Stream::advance`] may have something to do.
    pub(crate) fn has_removals(&self) -> bool {
        !self.removals.is_empty()
            || !self.overfull.is_empty()
            || !self.released.is_empty()
            || self.sweep.is_some()
            || self.is_over_limits()
    }

    /// Removes what has to go, until a block is missing or others should
    /// have their turn.
    pub(crate) fn advance(&mut self) -> Result<Progress, NeedBlock> {
        while let Some(mut removal) = self.removals.pop_front() {
            match self.step_removal(&mut removal) {
                Ok(Progress::Done) if removal.is_purge => self.consumers_purged(&removal.filter),
                Ok(Progress::Done) => {}
                other => {
                    self.removals.push_front(removal);
                    return other;
                }
            }
        }
        while let Some(seq) = self.released.first().copied() {
            self.release(seq)?;
            self.released.remove(&seq);
        }
        if self.trim_overfull()? == Progress::More || self.sweep()? == Progress::More {
            return Ok(Progress::More);
        }
        let mut budget = self.log.tuning.removals;
        let keeps = self.keeps(Dropped::Discarded);
        while self.is_over_limits() {
            if keeps {
                self.copy_dropped(self.log.first(), Dropped::Discarded)?;
            }
            self.remove(self.log.first())?;
            budget -= 1;
            if budget == 0 || self.has_copied_enough() {
                return Ok(Progress::More);
            }
        }
        Ok(Progress::Done)
    }

    /// Removes from an interest stream what no consumer wants.
    fn sweep(&mut self) -> Result<Progress, NeedBlock> {
        let mut budget = self.log.tuning.removals;
        while let Some(at) = self.sweep {
            let Some(seq) = self.log.next_live(at) else {
                self.sweep = None;
                self.row_dirty = true;
                break;
            };
            self.release(seq)?;
            self.sweep = Some(seq.next());
            budget -= 1;
            if budget == 0 {
                return Ok(Progress::More);
            }
        }
        Ok(Progress::Done)
    }

    /// Who wants what has changed: everything is to be looked at again.
    pub(crate) fn sweep_again(&mut self) {
        if self.config.retention == Retention::Interest {
            self.sweep = Some(self.log.first());
            self.row_dirty = true;
        }
    }

    fn is_over_limits(&self) -> bool {
        if self.config.discard == Discard::New {
            // What is stored stays when a limit is lowered.
            return false;
        }
        let (max_msgs, max_bytes) = (self.config.max_msgs, self.config.max_bytes);
        let log = &self.log;
        log.messages() > 0
            && ((max_msgs > 0 && log.messages() > max_msgs as u64)
                || (max_bytes > 0 && log.bytes() > max_bytes as u64))
    }

    fn trim_overfull(&mut self) -> Result<Progress, NeedBlock> {
        let keeps = self.keeps(Dropped::Discarded);
        while let Some(subject) = self.overfull.first().cloned() {
            let max = self.config.max_msgs_per_subject;
            if keeps && max > 0 && !self.drop_oldest_of(&subject, max as u64)? {
                return Ok(Progress::More);
            }
            let filter = Filter::exactly(&subject);
            while let Some(state) = self.log.subjects.get(&subject)
                && max > 0
                && state.count > max as u64
            {
                let (at, last) = (state.first, state.last.seq);
                let left = state.count - max as u64;
                let mut to = last.prev();
                if self.log.lost > 0 {
                    // What was lost may be counted: the newest are to stay.
                    to = self.log.before_newest(last, max as u64, &filter)?;
                }
                let mut removal = Removal {
                    at,
                    to,
                    filter: filter.clone(),
                    left,
                    removed: 0,
                    is_purge: false,
                };
                while self.step_removal(&mut removal)? == Progress::More {}
                if removal.removed == 0 {
                    break;
                }
            }
            self.overfull.remove(&subject);
        }
        Ok(Progress::Done)
    }

    /// All subjects are to be looked at again: their limit has changed.
    pub(crate) fn limit_subjects_again(&mut self) {
        let max = self.config.max_msgs_per_subject;
        if max > 0 {
            let over = self
                .log
                .subjects
                .iter()
                .filter(|state| state.count > max as u64);
            self.overfull.clear();
            self.overfull.extend(over.map(|state| state.name.clone()));
        }
    }

    /// A consumer is through with a message: it goes, if its stream keeps
    /// messages for their consumers only.
    pub(crate) fn release(&mut self, seq: Seq) -> Result<(), NeedBlock> {
        match self.config.retention {
            Retention::Limits => {}
            Retention::WorkQueue => {
                self.remove(seq)?;
            }
            Retention::Interest => {
                let Some(record) = self.log.get(seq)? else {
                    return Ok(());
                };
                let subject = record.subject;
                let is_copied = |follower: &Follower| !follower.wants(seq, subject);
                if !self.followers.iter().all(is_copied) {
                    return Ok(());
                }
                if !self
                    .consumers
                    .values()
                    .any(|consumer| consumer.wants(seq, subject))
                {
                    self.remove(seq)?;
                }
            }
        }
        Ok(())
    }

    /// Removes everything at once.
    pub(crate) fn purge_all(&mut self) -> u64 {
        let purged = self.log.messages();
        self.log.clear();
        self.removals.clear();
        self.overfull.clear();
        self.released.clear();
        self.row_dirty = true;
        for consumer in self.consumers.values_mut() {
            consumer.pending = 0;
        }
        self.consumers_purged(&Filter::all());
        purged
    }

    /// Gives out no sequence before this one any more.
    pub(super) fn skip_before(&mut self, seq: Seq) {
        // Somebody's slip must not use up the numbers there are.
        if seq.0 < SKIPPED_MAX {
            self.log.skip_to(seq.prev());
        }
    }

    /// After a purge: a consumer goes past what is gone, if it wanted nothing
    /// else, and does not wait for acks of it.
    pub(super) fn consumers_purged(&mut self, filter: &Filter) {
        let log = &self.log;
        let first = if filter.is_all() {
            log.first()
        } else {
            let left = log
                .subjects
                .iter()
                .filter(|state| filter.matches(&state.name));
            left.map(|state| state.first)
                .min()
                .map_or(log.last().next(), |first| first.max(log.first()))
        };
        let consumers = self.consumers.values_mut();
        for consumer in consumers.filter(|consumer| consumer.filter.collides(filter)) {
            let passed = if consumer.filter.is_within(filter) {
                first
            } else {
                log.first()
            };
            let effects = Effects {
                is_cleared: consumer.purged(passed, |seq| log.is_live(seq)),
                ..Effects::default()
            };
            if !effects.is_empty() {
                self.effects.push((consumer.id, effects));
            }
        }
    }
}

impl Streams {
    /// A stream may have something to remove, in the next turn.
    pub(super) fn advance_later(&mut self, id: StreamId) {
        if !self.advancing.contains(&id) {
            self.advancing.push_back(id);
        }
    }

    /// Takes the removals of streams further that have some.
    pub(super) fn advance<O: Outbox>(&mut self, engine: &mut Engine, now: Time, out: &mut O) {
        for _ in 0..self.advancing.len() {
            let Some(id) = self.advancing.pop_front() else {
                return;
            };
            let is_congested = self.is_congested();
            let leaves = self.streams.get(&id).is_some_and(|stream| stream.leaves());
            let room_left = leaves.then(|| self.room_left(id));
            let Some(stream) = self.streams.get_mut(&id) else {
                continue;
            };
            stream.room_left = room_left.unwrap_or(u64::MAX);
            if is_congested && (stream.keeps_overflow || stream.config.allow_msg_schedules) {
                // What it drops, or publishes, is to be written first.
                self.wait_for_commit(Job::Advance(id));
                continue;
            }
            let before = (stream.log.messages(), stream.log.last());
            let progress = stream.advance();
            let expired = match progress {
                Ok(Progress::Done) => stream.expire(now, self.wall).map(|due| {
                    set_expiry(stream, &mut engine.timers, due);
                    Progress::Done
                }),
                other => other,
            };
            if !stream.effects.is_empty() {
                self.told.push(id);
            }
            let has_changed = (stream.log.messages(), stream.log.last()) != before;
            let is_longer = stream.log.last() > before.1;
            if !stream.overflowed.is_empty() {
                self.bury_overflow(engine, id, out);
            }
            if has_changed {
                self.changed(id);
                self.copy_later(id);
                self.wake_receivers(id);
            }
            if is_longer {
                self.after_leaving(engine, id, out);
            }
            match expired {
                Ok(Progress::Done) => {}
                Ok(Progress::More) => self.advancing.push_back(id),
                Err(need) => self.park(need, Job::Advance(id)),
            }
        }
    }
}

/// Has a stream looked at when something in it will have lived its time.
pub(super) fn set_expiry(stream: &mut Stream, timers: &mut Timers<Timer>, due: Option<Time>) {
    let key = Timer::Stream(stream.id);
    match due {
        Some(due) if stream.expiry_due == Some(due) => {}
        Some(due) => timers.arm(&mut stream.expiry_due, due, key),
        None => timers.disarm(&mut stream.expiry_due, key),
    }
}

fn tell_removed(
    consumers: &mut BTreeMap<ConsumerId, Box<Consumer>>,
    told: &mut Vec<(ConsumerId, Effects)>,
    is_purge: bool,
    seq: Seq,
    subject: &[u8],
) {
    for consumer in consumers.values_mut() {
        let mut effects = Effects::default();
        consumer.removed(seq, subject, is_purge, &mut effects);
        if !effects.is_empty() {
            told.push((consumer.id, effects));
        }
    }
}
