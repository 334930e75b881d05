//! What may enter a stream.
//!
//! A message is checked against what it asks for itself and against the
//! stream's rules, in the order in which nats-server does, as clients see
//! which refusal comes first.

use super::expectations::{Expectations, Rollup, number};
use super::filter::Filter;
use super::lifetime::Lifetime;
use super::log_read::NeedBlock;
use super::rewritten::Rewritten;
use super::schedules::Scheduling;
use super::stream::Stream;
use super::summary::accounted_len;
use crate::ids::Seq;
use midge_api::{ApiError, Discard, Retention, Timestamp};
use midge_proto::headers::kept_of;

/// Header blocks may not be longer than this, as their length is stored in
/// two bytes.
pub(super) const HEADER_LEN_MAX: usize = u16::MAX as usize;

/// The same for subjects.
pub(super) const SUBJECT_LEN_MAX: usize = u16::MAX as usize;

/// The longest message that can be stored, subject and header block included:
/// a little under what the store takes as one block.
pub(super) const STORED_LEN_MAX: usize = 64 * 1024 * 1024 - 256 * 1024;

/// A message on its way into a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Incoming<'a> {
    pub(crate) subject: &'a [u8],
    /// Header block and body.
    pub(crate) payload: &'a [u8],
    pub(crate) header_len: usize,
}

impl Incoming<'_> {
    /// What follows the header block.
    pub(super) fn body(&self) -> &[u8] {
        self.payload.get(self.header_len..).unwrap_or_default()
    }

    /// What it counts as in a stream.
    pub(super) fn accounted_len(&self, is_volatile: bool) -> u64 {
        accounted_len(
            is_volatile,
            self.subject.len(),
            self.payload.len(),
            self.header_len > 0,
        )
    }
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// It has this sequence; nobody may want it, in which case it is not kept.
    New(Seq),
    /// It was there already, under this sequence.
    Duplicate(Seq),
}

/// What the headers of a message have led to.
pub(super) enum Checked {
    New,
    Duplicate(Seq),
}

/// What messages would add that are stored before one, in the same batch.
#[derive(Debug, Default)]
pub(super) struct Staged {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    /// Messages of its subject.
    pub(super) of_subject: u64,
}

impl Stream {
    /// Stores a message if everything it asks for holds.
    pub(crate) fn store(
        &mut self,
        message: Incoming<'_>,
        wall: Timestamp,
    ) -> Result<Stored, ApiError> {
        self.check_subject(message.subject)?;
        self.check_size(message)?;
        let header = &message.payload[..message.header_len];
        if header.is_empty() {
            self.check_room(message, false, &Staged::default())?;
            return Ok(Stored::New(self.admit(message, None, None, None, wall)));
        }
        let asked = Expectations::read(header);
        if let Checked::Duplicate(seq) = self.check_asked(&asked, message, wall)? {
            return Ok(Stored::Duplicate(seq));
        }
        self.check_room(message, asked.rollup.is_some(), &Staged::default())?;
        Ok(Stored::New(self.store_checked(message, &asked, wall)))
    }

    /// Stores a message of which everything was checked.
    pub(super) fn store_checked(
        &mut self,
        message: Incoming<'_>,
        asked: &Expectations<'_>,
        wall: Timestamp,
    ) -> Seq {
        let header = &message.payload[..message.header_len];
        let cleaned = kept_of(header).map(|kept| Rewritten::of(kept, message.body()));
        let message = message.rewritten(cleaned.as_ref());
        let mut lifetime = asked.lifetime().unwrap_or(Lifetime::Unlimited);
        let lasting = self.with_lasting_ttl(&mut lifetime, message);
        let message = message.rewritten(lasting.as_ref());
        let due = lifetime.due(self.time_of_next(wall));
        let rollup = asked.rollup().unwrap_or_default();
        let scheduling = match asked.is_scheduling {
            true => self
                .check_schedule(asked, message, wall)
                .unwrap_or_default(),
            false => Scheduling::Nothing,
        };
        match scheduling {
            Scheduling::Nothing => self.admit(message, rollup, asked.msg_id, due, wall),
            other => self.admit_scheduling(other, message, rollup, asked.msg_id, due, wall),
        }
    }

    /// What the next message is stored with as its time, which never goes back
    /// within a stream, whatever the clock does.
    pub(super) fn time_of_next(&self, wall: Timestamp) -> Timestamp {
        wall.max(self.log.last_time())
    }

    /// Stores a copy of a message of another stream: what its headers ask for
    /// was meant for that.
    pub(crate) fn store_copy(
        &mut self,
        message: Incoming<'_>,
        wall: Timestamp,
    ) -> Result<Stored, ApiError> {
        if self.config.sealed {
            return Err(ApiError::STREAM_SEALED);
        }
        // It may have been made from what somebody else has written.
        let is_subject = midge_proto::count_tokens(message.subject).is_some()
            && !midge_proto::has_blank(message.subject)
            && message.subject.len() <= SUBJECT_LEN_MAX;
        if !is_subject {
            return Err(ApiError::stream_store_failed("subject can not be stored"));
        }
        if self.config.retention == Retention::Interest && !self.is_wanted(message.subject) {
            return Err(ApiError::stream_store_failed("no consumer wants it"));
        }
        self.check_size(message)?;
        self.check_room(message, false, &Staged::default())?;
        let seq = self.admit(message, None, None, None, wall);
        self.publishers.add(seq, None);
        Ok(Stored::New(seq))
    }

    /// Whether a message of this subject may be stored at all.
    pub(super) fn check_subject(&self, subject: &[u8]) -> Result<(), ApiError> {
        if self.config.sealed {
            return Err(ApiError::STREAM_SEALED);
        }
        // One that was stored just now can be. A token may be a wildcard, which is a
        // name like others here.
        let is_sound =
            self.log.subjects.is_recent(subject) || midge_proto::count_tokens(subject).is_some();
        if !is_sound || subject.len() > SUBJECT_LEN_MAX {
            return Err(ApiError::stream_store_failed("subject can not be stored"));
        }
        Ok(())
    }

    /// Stores a message that was checked and has room. Under interest
    /// retention nobody may want it, in which case it is not kept.
    pub(super) fn admit(
        &mut self,
        message: Incoming<'_>,
        rollup: Option<Rollup>,
        msg_id: Option<&[u8]>,
        due: Option<Timestamp>,
        wall: Timestamp,
    ) -> Seq {
        if self.config.retention == Retention::Interest && !self.is_wanted(message.subject) {
            let seq = self.log.last().next();
            self.log.skip_to(seq);
            self.log.set_last_time(self.time_of_next(wall));
            self.remember(msg_id, seq, wall);
            self.row_dirty = true;
            return seq;
        }
        let time = self.time_of_next(wall);
        let has_id = msg_id.is_some();
        let (subject, payload) = (message.subject, message.payload);
        let seq = self
            .log
            .append(time, subject, payload, message.header_len, has_id, due);
        self.row_dirty = true;
        self.remember(msg_id, seq, wall);
        if !self.consumers.is_empty() {
            for consumer in self.consumers.values_mut() {
                consumer.stored(seq, subject);
            }
        }
        if let Some(rollup) = rollup {
            self.roll_up(rollup, seq, subject);
        }
        if self.config.max_msgs_per_subject > 0 {
            self.trim_subject(subject, self.config.max_msgs_per_subject as u64, false);
        }
        seq
    }

    /// Checks what a message asks for by its headers.
    pub(super) fn check_asked(
        &mut self,
        asked: &Expectations<'_>,
        message: Incoming<'_>,
        wall: Timestamp,
    ) -> Result<Checked, ApiError> {
        self.check_expectations(asked, message)?;
        if asked.is_scheduling {
            self.check_schedule(asked, message, wall)?;
        }
        if let Some(seq) = self.duplicate_of(asked, wall)? {
            return Ok(Checked::Duplicate(seq));
        }
        self.check_last_msg_id(asked)?;
        let is_allowed = self.config.allow_rollup_hdrs && !self.config.deny_purge;
        if asked.rollup.is_some() && !is_allowed {
            return Err(ApiError::stream_rollup_failed("rollup not permitted"));
        }
        asked.rollup()?;
        asked.lifetime()?;
        Ok(Checked::New)
    }

    /// The message that a message is a duplicate of.
    pub(super) fn duplicate_of(
        &mut self,
        asked: &Expectations<'_>,
        wall: Timestamp,
    ) -> Result<Option<Seq>, ApiError> {
        let Some(id) = asked.msg_id else {
            return Ok(None);
        };
        if !self.recalling.is_empty() {
            // Whether it is one cannot be told yet.
            return Err(ApiError::CLUSTER_NOT_AVAIL);
        }
        self.dedupe.expire(wall, self.config.duplicate_window);
        Ok(self.dedupe.get(id))
    }

    fn remember(&mut self, msg_id: Option<&[u8]>, seq: Seq, wall: Timestamp) {
        self.last_stored = Some(seq);
        if let Some(id) = msg_id {
            self.dedupe.add(id, seq, wall);
        }
    }

    fn check_expectations(
        &mut self,
        asked: &Expectations<'_>,
        message: Incoming<'_>,
    ) -> Result<(), ApiError> {
        self.check_enabled(asked)?;
        asked.check_features(self.config.name.as_bytes(), self.config.allow_msg_ttl)?;
        if let Some(expected) = asked.last_subject_seq {
            let subject = asked.last_subject.unwrap_or(message.subject);
            let last = match asked.last_known {
                Some(last) => last,
                None => self.last_seq_of(subject)?,
            };
            if number(expected) != Some(last.0) {
                return Err(ApiError::stream_wrong_last_sequence(last));
            }
        } else if asked.last_subject.is_some() {
            return Err(ApiError::STREAM_EXPECTED_LAST_SEQ_PER_SUBJECT_INVALID);
        }
        if let Some(expected) = asked.last_seq
            && number(expected) != Some(self.log.last().0)
        {
            return Err(ApiError::stream_wrong_last_sequence(self.log.last()));
        }
        Ok(())
    }

    /// The last sequence of a subject, or of all that a filter covers; 0 if
    /// there is none.
    pub(super) fn last_seq_of(&mut self, subject: &[u8]) -> Result<Seq, ApiError> {
        if midge_proto::is_literal(subject) {
            return match self.log.last_of(subject) {
                Ok(last) => Ok(last.map_or(Seq(0), |entry| entry.seq)),
                Err(NeedBlock(key)) => {
                    // Who tries again shall be answered.
                    self.missing = Some(key);
                    Err(ApiError::STREAM_EXPECTED_LAST_SEQ_PER_SUBJECT_NOT_READY)
                }
            };
        }
        let last = self
            .log
            .subjects
            .iter()
            .filter(|entry| midge_proto::matches(subject, &entry.name))
            .map(|entry| entry.last.seq)
            .max();
        Ok(last.unwrap_or_default())
    }

    fn check_last_msg_id(&self, asked: &Expectations<'_>) -> Result<(), ApiError> {
        let Some(expected) = asked.last_msg_id else {
            return Ok(());
        };
        // Only if the last message has an id is it the last id.
        let last_stored = self.last_stored.unwrap_or(self.log.last());
        let last = match self.dedupe.last() {
            Some((id, seq)) if seq == last_stored => id,
            _ => b"",
        };
        if last == expected {
            return Ok(());
        }
        Err(ApiError::stream_wrong_last_msg_id(String::from_utf8_lossy(
            last,
        )))
    }

    pub(super) fn check_size(&self, message: Incoming<'_>) -> Result<(), ApiError> {
        let max = self.config.max_msg_size;
        if message.subject.len() + message.payload.len() > STORED_LEN_MAX {
            return Err(ApiError::STREAM_MESSAGE_EXCEEDS_MAXIMUM);
        }
        if max >= 0 && message.payload.len() as u64 > max as u64 {
            return Err(ApiError::STREAM_MESSAGE_EXCEEDS_MAXIMUM);
        }
        if message.header_len > HEADER_LEN_MAX {
            return Err(ApiError::STREAM_HEADER_EXCEEDS_MAXIMUM);
        }
        Ok(())
    }

    /// Whether somebody would get the next message of a subject.
    pub(super) fn is_wanted(&self, subject: &[u8]) -> bool {
        let next = self.log.last().next();
        self.consumers
            .values()
            .any(|consumer| consumer.filter.matches(subject))
            || self
                .followers
                .iter()
                .any(|follower| follower.wants(next, subject))
    }

    /// Under `discard: new` a message that does not fit is refused. Returns
    /// whether it takes the place of another.
    pub(super) fn check_room(
        &self,
        message: Incoming<'_>,
        is_rollup: bool,
        staged: &Staged,
    ) -> Result<bool, ApiError> {
        let config = &self.config;
        if config.discard != Discard::New {
            return Ok(false);
        }
        if config.retention == Retention::Interest && !self.is_wanted(message.subject) {
            return Ok(false);
        }
        let size = message.accounted_len(self.is_volatile());
        let mut replaced = None;
        let subject = self.log.subjects.get(message.subject);
        let count = subject.map_or(0, |subject| subject.count) + staged.of_subject;
        if config.max_msgs_per_subject > 0 && count >= config.max_msgs_per_subject as u64 {
            // A rollup takes the place of what is there.
            if config.discard_new_per_subject && !is_rollup {
                return Err(ApiError::stream_store_failed(
                    "maximum messages per subject exceeded",
                ));
            }
            let oldest = subject.and_then(|subject| subject.oldest());
            replaced = Some(oldest.map_or(0, |entry| u64::from(entry.size)));
        }
        if config.max_msgs > 0
            && self.log.messages() + staged.messages >= config.max_msgs as u64
            && replaced.is_none()
        {
            return Err(ApiError::stream_store_failed("maximum messages exceeded"));
        }
        if config.max_bytes > 0
            && self.log.bytes() + staged.bytes + size > config.max_bytes as u64
            && replaced.is_none_or(|freed| freed < size)
        {
            return Err(ApiError::stream_store_failed("maximum bytes exceeded"));
        }
        Ok(replaced.is_some())
    }

    /// A message replaces those before it.
    fn roll_up(&mut self, rollup: Rollup, seq: Seq, subject: &[u8]) {
        match rollup {
            // As a filter otherwise: nats.py purges all keys that a wildcard covers so.
            Rollup::Subject
                if self.log.subjects.keeps_all() && midge_proto::is_literal(subject) =>
            {
                self.trim_subject(subject, 1, true);
                self.consumers_purged(&Filter::new([subject]));
            }
            // Not left to the limit, which may change before it is done.
            Rollup::Subject => self.purge_later(seq.prev(), Filter::new([subject])),
            Rollup::All => self.purge_later(seq.prev(), Filter::all()),
        }
    }
}
