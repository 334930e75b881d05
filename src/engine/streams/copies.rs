//! Mirrors and sources: streams that copy others of their account.
//!
//! What is copied is on the disk already, and how far a copy has come is in
//! the row of the stream that copies, which is in the same batch as what it
//! has stored. So after any crash each message is there once. A copy takes
//! bounded turns, and one when its origin has something new.

use super::expectations::number;
use super::filter::Filter;
use super::loads::RETRY_PAUSE;
use super::log_read::{NeedBlock, Search};
use super::stream::Stream;
use super::streams::{Health, Job, Streams};
use crate::Time;
use crate::engine::Engine;
use crate::ids::{AccountId, Seq, StreamId};
use crate::outbox::Outbox;
use midge_api::{
    ApiError, Retention, SourceInfo, StreamConfig, StreamSource, Timestamp, Transform,
};
use midge_proto::headers::{HeaderBlock, name};

/// Messages that one stream copies before others have their turn, and bytes.
pub(super) const STEP_MAX: u32 = 256;
pub(super) const STEP_LEN_MAX: usize = 1024 * 1024;

/// How a stream copies one other.
#[derive(Debug)]
pub(crate) struct Copying {
    pub(super) source: StreamSource,
    pub(super) is_mirror: bool,
    /// What the header of copies calls it.
    pub(super) told_name: String,
    /// Which of its stream's copies it is.
    place: usize,
    /// Which of its messages.
    filter: Filter,
    pub(super) transforms: Vec<Transform>,
    /// What the header of copies tells of filters and destinations.
    pub(super) told: String,
    /// Which stream it was that the position is one of; another may get its
    /// name.
    pub(super) origin: StreamId,
    /// Everything up to here was copied, or was not meant.
    pub(super) at: Seq,
    /// When it last copied something.
    pub(super) active: Option<Timestamp>,
}

/// One that copies a stream. Under interest retention and in work queues it
/// counts as a consumer.
#[derive(Debug)]
pub(crate) struct Follower {
    stream: StreamId,
    /// Which of that stream's copies: two may have the same filter.
    place: usize,
    pub(super) filter: Filter,
    at: Seq,
}

impl Follower {
    /// Whether it still has to copy a message.
    pub(super) fn wants(&self, seq: Seq, subject: &[u8]) -> bool {
        seq > self.at && self.filter.matches(subject)
    }
}

/// What keeps a stream from copying more.
pub(super) enum Pause {
    /// A block.
    Block(NeedBlock),
    /// The disk is behind.
    Commit,
    /// There is no room.
    Room,
    /// Others have their turn.
    Turn,
    /// It has all, or may never take more.
    End,
}

impl Copying {
    fn new(source: &StreamSource, is_mirror: bool) -> Copying {
        let transforms = &source.subject_transforms;
        let mut filters: Vec<&[u8]> = vec![source.filter_subject.as_bytes()];
        filters.extend(transforms.iter().map(|transform| transform.src.as_bytes()));
        let or_all = |text: &str| if text.is_empty() { ">" } else { text }.to_owned();
        let told = if transforms.is_empty() {
            format!("{} >", or_all(&source.filter_subject))
        } else {
            let from: Vec<String> = transforms.iter().map(|rule| or_all(&rule.src)).collect();
            let to: Vec<String> = transforms.iter().map(|rule| or_all(&rule.dest)).collect();
            format!("{} {}", from.join("\x0c"), to.join("\x0c"))
        };
        let made = transforms.iter().map(Transform::new);
        Copying {
            is_mirror,
            told_name: source.told_name(),
            place: 0,
            filter: Filter::new(filters),
            // They were checked before they came here.
            transforms: made.filter_map(Result::ok).collect(),
            told,
            origin: StreamId(0),
            at: Seq(0),
            active: None,
            source: source.clone(),
        }
    }

    /// The sequence at the origin that the header of a copy tells, if it is one
    /// of this one's.
    fn seq_told(&self, told: &[u8]) -> Option<Seq> {
        let rest = told.strip_prefix(self.told_name.as_bytes())?;
        let mut parts = rest.strip_prefix(b" ")?.splitn(2, |byte| *byte == b' ');
        let seq = parts.next().and_then(number)?;
        let subject = parts.next()?.strip_prefix(self.told.as_bytes())?;
        subject.starts_with(b" ").then_some(Seq(seq))
    }

    /// What it is to its origin.
    fn follower(&self, stream: StreamId, origin: StreamId) -> Follower {
        Follower {
            stream,
            place: self.place,
            filter: self.filter.clone(),
            at: if origin == self.origin {
                self.at
            } else {
                Seq(0)
            },
        }
    }

    /// Starts with a stream of the origin's name that it has not met before.
    pub(super) fn begin(&mut self, origin: &Stream, own_last: Seq) -> Result<(), NeedBlock> {
        let source = &self.source;
        let mut at = Seq(source.opt_start_seq.saturating_sub(1));
        if let Some(time) = source.opt_start_time
            && source.opt_start_seq == 0
        {
            at = origin.log.first_since(time)?.prev();
        }
        if self.is_mirror {
            // Its sequences are the origin's and do not go back.
            at = at.max(own_last);
        } else if self.origin == StreamId(0) {
            // What it was restored with was copied before.
            at = at.max(self.at);
        }
        (self.origin, self.at) = (origin.id, at);
        Ok(())
    }
}

impl Stream {
    /// Sees to it that it copies what its configuration says, from where it
    /// was with what was there before.
    pub(super) fn configure_copies(&mut self) {
        let config = &self.config;
        let mirror = config
            .mirror
            .iter()
            .map(|source| Copying::new(source, true));
        let sources = config.sources.iter();
        let sources = sources.map(|source| Copying::new(source, false));
        let mut before = std::mem::take(&mut self.copies);
        self.copies = mirror.chain(sources).collect();
        for (place, copying) in self.copies.iter_mut().enumerate() {
            copying.place = place;
            let same = before.iter_mut().find(|old| {
                old.is_mirror == copying.is_mirror && old.source.is_like(&copying.source)
            });
            if let Some(old) = same {
                (copying.origin, copying.at) = (old.origin, old.at);
                copying.active = old.active;
            }
        }
    }

    /// A message that it was restored with may be a copy: what it was copied
    /// from is not to be copied again.
    pub(super) fn restored_copy(&mut self, header: &[u8]) {
        if self.copies.is_empty() {
            return;
        }
        let Some(told) = HeaderBlock::new(header).get(name::STREAM_SOURCE) else {
            return;
        };
        for copying in self.copies.iter_mut().filter(|copying| !copying.is_mirror) {
            if let Some(seq) = copying.seq_told(told) {
                copying.at = copying.at.max(seq);
            }
        }
    }

    /// Notes how far a stream that copies this one has come.
    fn note_follower(&mut self, id: StreamId, copying: &Copying) {
        for follower in &mut self.followers {
            if follower.stream == id && follower.place == copying.place {
                follower.at = copying.at;
            }
        }
    }

    /// Its positions in other streams, as its row has them.
    pub(super) fn set_copied(&mut self, positions: &[(StreamId, Seq)]) {
        for (copying, (origin, at)) in self.copies.iter_mut().zip(positions) {
            (copying.origin, copying.at) = (*origin, *at);
        }
    }
}

impl Streams {
    /// Notes which streams copy which.
    pub(super) fn find_followers(&mut self) {
        let mut of_origins: Vec<(StreamId, Follower)> = Vec::new();
        for stream in self.streams.values() {
            for copying in &stream.copies {
                // Where there is a consumer between them, that is its follower.
                if copying.source.consumer.is_none()
                    && let Some(id) = self.id_of(stream.account, &copying.source.name)
                {
                    of_origins.push((id, copying.follower(stream.id, id)));
                }
            }
        }
        for stream in self.streams.values_mut() {
            stream.followers.clear();
        }
        for (origin, follower) in of_origins {
            if let Some(origin) = self.streams.get_mut(&origin) {
                origin.followers.push(follower);
            }
        }
        self.attach_consumers();
    }

    /// A stream was restored: who copied the one that it was goes on from
    /// where they were, as far as it goes.
    pub(super) fn copy_on(&mut self, origin: StreamId) {
        let Some(restored) = self.streams.get(&origin) else {
            return;
        };
        let (account, last) = (restored.account, restored.log.last());
        let name = restored.config.name.clone();
        let mut changed = Vec::new();
        for stream in self.streams.values_mut() {
            let is_near = stream.account == account;
            for copying in &mut stream.copies {
                if is_near && copying.source.name == name && copying.origin != StreamId(0) {
                    (copying.origin, copying.at) = (origin, copying.at.min(last));
                    stream.row_dirty = true;
                    changed.push(stream.id);
                }
            }
        }
        for id in changed {
            self.changed(id);
        }
        self.copy_again();
    }

    /// Streams have come or changed: all copies look whether there is
    /// something for them.
    pub(super) fn copy_again(&mut self) {
        self.find_followers();
        let all = self.streams.values();
        let ids = all.filter(|stream| !stream.copies.is_empty());
        self.copying = ids.map(|stream| stream.id).collect();
    }

    /// A stream has something new that may be copied.
    pub(super) fn wake_followers(&mut self, origin: StreamId) {
        let Some(origin) = self.streams.get(&origin) else {
            return;
        };
        for follower in &origin.followers {
            if !self.copying.contains(&follower.stream) {
                self.copying.push_back(follower.stream);
            }
        }
    }

    /// A stream may copy what it can.
    pub(super) fn copy_later(&mut self, id: StreamId) {
        let stream = self.streams.get(&id);
        let copies = stream.is_some_and(|stream| !stream.copies.is_empty());
        if copies && !self.copying.contains(&id) {
            self.copying.push_back(id);
        }
    }

    /// Lets all streams that copy take a turn.
    pub(super) fn copy_all<O: Outbox>(&mut self, engine: &mut Engine, now: Time, out: &mut O) {
        for _ in 0..self.copying.len() {
            let Some(id) = self.copying.pop_front() else {
                return;
            };
            let Some(stream) = self.streams.get_mut(&id) else {
                continue;
            };
            let mut copies = std::mem::take(&mut stream.copies);
            for copying in &mut copies {
                let before = (copying.origin, copying.at);
                let pause = match copying.source.consumer {
                    None => self.copy(engine, id, copying, out),
                    Some(_) => self.copy_attached(engine, id, copying, now, out),
                };
                if (copying.origin, copying.at) != before
                    && let Some(stream) = self.streams.get_mut(&id)
                {
                    stream.row_dirty = true;
                    self.cursor_changed(id, now);
                }
                match pause {
                    Pause::End => {}
                    Pause::Turn if self.copying.contains(&id) => {}
                    Pause::Turn => self.copying.push_back(id),
                    Pause::Block(need) => self.park(need, Job::Copy(id)),
                    Pause::Commit => self.wait_for_commit(Job::Copy(id)),
                    Pause::Room => {
                        self.failed_jobs.push(Job::Copy(id));
                        self.retry_due.get_or_insert(now + RETRY_PAUSE);
                    }
                }
            }
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.copies = copies;
            }
        }
    }

    /// A turn of one copy.
    fn copy<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        id: StreamId,
        copying: &mut Copying,
        out: &mut O,
    ) -> Pause {
        let mut len_left = STEP_LEN_MAX;
        for _ in 0..STEP_MAX {
            let (account, own_last) = match self.may_copy(id) {
                Ok(stream) => (stream.account, stream.log.last()),
                Err(pause) => return pause,
            };
            let origin = self.id_of(account, &copying.source.name);
            let Some(origin) = origin.and_then(|origin| self.streams.get(&origin)) else {
                return Pause::End;
            };
            if origin.id != copying.origin {
                if let Err(need) = copying.begin(origin, own_last) {
                    return Pause::Block(need);
                }
                self.begun(id, copying);
                continue;
            }
            let end = origin.log.durable();
            let found = origin
                .log
                .next_match(copying.at.next(), end, &copying.filter);
            let seq = match found {
                Ok(Search::Found(seq)) => seq,
                Ok(Search::Nothing) => {
                    copying.at = copying.at.max(end);
                    return Pause::End;
                }
                Ok(Search::Pause(next)) => {
                    copying.at = next.prev();
                    return Pause::Turn;
                }
                Err(need) => return Pause::Block(need),
            };
            let mut random = |bound| engine.rng.below(bound);
            let copied = match copying.copy_of(origin, seq, false, &mut random) {
                Ok(copied) => copied,
                Err(need) => return Pause::Block(need),
            };
            if let Some(copied) = copied {
                let len = copied.len();
                if let Err(pause) = self.store_copied(engine, id, copying, copied, out) {
                    return pause;
                }
                copying.active = Some(self.wall);
                len_left = len_left.saturating_sub(len);
            }
            copying.at = seq;
            self.copied(id, copying);
            if len_left == 0 {
                break;
            }
        }
        Pause::Turn
    }

    /// A stream that copies, if it can take something now.
    pub(super) fn may_copy(&self, id: StreamId) -> Result<&Stream, Pause> {
        let stream = self.streams.get(&id).ok_or(Pause::End)?;
        let is_volatile = stream.is_volatile();
        if stream.config.sealed || (!is_volatile && self.health != Health::Good) {
            return Err(Pause::End);
        }
        if !is_volatile && self.is_congested() {
            return Err(Pause::Commit);
        }
        Ok(stream)
    }

    /// It is known where a copy begins: its origin does not keep for it what
    /// is before that.
    fn begun(&mut self, id: StreamId, copying: &Copying) {
        let Some(origin) = self.streams.get_mut(&copying.origin) else {
            return;
        };
        origin.note_follower(id, copying);
        origin.sweep_again();
        if origin.sweep.is_some() {
            self.advance_later(copying.origin);
        }
    }

    /// A message was copied: its own stream may let go of it, in the batch
    /// that has the copy.
    fn copied(&mut self, id: StreamId, copying: &Copying) {
        let Some(origin) = self.streams.get_mut(&copying.origin) else {
            return;
        };
        if origin.config.retention == Retention::Limits {
            return;
        }
        origin.note_follower(id, copying);
        // It was read just now, so its block is there.
        let is_released = origin.release(copying.at).is_ok();
        debug_assert!(is_released);
        if !origin.effects.is_empty() {
            self.told.push(copying.origin);
        }
        self.changed(copying.origin);
    }

    /// Refuses a stream that would copy itself by way of others.
    pub(super) fn check_cycle(
        &self,
        account: AccountId,
        config: &StreamConfig,
    ) -> Result<(), ApiError> {
        let origins = |config: &StreamConfig| -> Vec<String> {
            let sources = config.sources.iter();
            let all = sources.chain(config.mirror.as_deref());
            all.map(|source| source.name.clone()).collect()
        };
        let mut next = origins(config);
        let mut seen: Vec<String> = Vec::new();
        while let Some(origin) = next.pop() {
            if origin == config.name {
                return Err(ApiError::stream_invalid_config("detected cycle"));
            }
            if seen.contains(&origin) {
                continue;
            }
            if let Some(stream) = self.by_name(account, &origin) {
                next.extend(origins(&stream.config));
            }
            seen.push(origin);
        }
        Ok(())
    }

    /// What a mirror takes over from its origin.
    pub(super) fn take_over_from_origin(&self, account: AccountId, config: &mut StreamConfig) {
        if let Some(mirror) = &config.mirror
            && let Some(origin) = self.by_name(account, &mirror.name)
        {
            config.mirror_direct = origin.config.allow_direct;
        }
    }

    /// What is told of what a stream copies.
    pub(super) fn copies_of<'a>(&'a self, stream: &'a Stream) -> Vec<SourceInfo<'a>> {
        let told = |copying: &'a Copying| {
            let origin = self.by_name(stream.account, &copying.source.name);
            let begun = origin.filter(|origin| origin.id == copying.origin);
            let lag = begun.map_or(0, |origin| origin.log.count_from(copying.at.next()));
            let is_missing = origin.is_none() && copying.active.is_none();
            let (lag, error) = match copying.source.consumer {
                None => (lag, is_missing.then_some(&ApiError::STREAM_NOT_FOUND)),
                Some(_) => self.told_of_attached(stream, copying),
            };
            SourceInfo {
                source: &copying.source,
                lag,
                active: copying.active.map(|active| self.wall.since(active)),
                error,
            }
        };
        stream.copies.iter().map(told).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use midge_api::SubjectTransform;

    fn copying(destination: &str) -> Copying {
        let source = StreamSource {
            name: "O".to_owned(),
            subject_transforms: vec![SubjectTransform {
                src: "o.a".to_owned(),
                dest: destination.to_owned(),
            }],
            ..StreamSource::default()
        };
        Copying::new(&source, false)
    }

    #[test]
    fn a_copy_is_one_of_the_source_that_it_tells_whole() {
        let told = b"O 7 o.a xy o.a";
        assert_eq!(copying("xy").seq_told(told), Some(Seq(7)));
        assert_eq!(copying("x").seq_told(told), None);
        assert_eq!(copying("xyz").seq_told(told), None);
        assert_eq!(copying("xy").seq_told(b"O2 7 o.a xy o.a"), None);
        assert_eq!(copying("xy").seq_told(b"O x o.a xy o.a"), None);
    }
}
