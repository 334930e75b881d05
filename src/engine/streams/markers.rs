//! Delete markers: what a stream leaves behind where the last message of a
//! subject has gone for its age, so that those who watch the subject hear of
//! it.
//!
//! A marker is stored in the turn in which the message goes, which is the
//! same batch. It has a lifetime of its own, and nothing is left behind for a
//! marker.

use super::expectations::Rollup;
use super::intake::{Incoming, Staged};
use super::lifetime::Lifetime;
use super::log_read::NeedBlock;
use super::rewritten::Rewritten;
use super::stream::Stream;
use super::streams::Streams;
use crate::engine::Engine;
use crate::ids::{Seq, StreamId};
use crate::outbox::Outbox;
use midge_api::{Nanos, Timestamp};
use midge_proto::headers::{self, HeaderBlock, HeaderWriter, name};
use std::num::NonZeroI64;

const SECOND: i64 = 1_000_000_000;

impl Stream {
    /// How long markers live here, in seconds, if there are to be any.
    fn marker_secs(&self) -> Option<NonZeroI64> {
        NonZeroI64::new(self.config.subject_delete_marker_ttl.0 / SECOND)
    }

    /// The subject of a message that is about to go, if it is to leave a
    /// marker there.
    pub(super) fn marked_subject(&self, seq: Seq) -> Result<Option<Box<[u8]>>, NeedBlock> {
        if self.marker_secs().is_none() || self.config.sealed {
            return Ok(None);
        }
        let Some(record) = self.log.get(seq)? else {
            return Ok(None);
        };
        let subject = self.log.subjects.get(record.subject);
        let is_last = subject.is_some_and(|subject| subject.count == 1);
        Ok((is_last && !is_marker(record.header())).then(|| record.subject.into()))
    }

    /// Whether a message in this block has to stay until a marker has gone that is
    /// all else that its subject holds. After a pause what is due is found block by
    /// block: the message would go before the marker, and neither would leave one.
    pub(super) fn goes_after_marker(
        &self,
        seq: Seq,
        due: Timestamp,
        block: Seq,
    ) -> Result<bool, NeedBlock> {
        if self.marker_secs().is_none() {
            return Ok(false);
        }
        let record = self.log.get(seq)?;
        let subject = record.and_then(|record| self.log.subjects.get(record.subject));
        let Some(subject) = subject.filter(|subject| subject.count == 2 && subject.first < seq)
        else {
            return Ok(false);
        };
        // A marker is the first of its subject, and known to be.
        if !self.log.is_due_before(subject.first, due, block) {
            return Ok(false);
        }
        let first = self.log.get(subject.first)?;
        Ok(first
            .is_some_and(|record| *record.subject == *subject.name && is_marker(record.header())))
    }

    /// Whether messages may come to it by themselves.
    pub(super) fn leaves(&self) -> bool {
        self.config.allow_msg_schedules || self.marker_secs().is_some()
    }

    /// Leaves a marker. Where it finds no room, or nobody who wants it, there
    /// is none.
    pub(super) fn leave_marker(&mut self, subject: &[u8], wall: Timestamp) {
        let Some(secs) = self.marker_secs() else {
            return;
        };
        let ttl = Nanos::from_secs(secs.get()).to_string();
        let mut payload = Vec::new();
        HeaderWriter::new(&mut payload)
            .header(name::MARKER_REASON, b"MaxAge")
            .header(name::TTL, ttl.as_bytes())
            .header(name::ROLLUP, b"sub")
            .finish();
        let marker = Incoming {
            subject,
            header_len: payload.len(),
            payload: &payload,
        };
        let due = Lifetime::Secs(secs).due(self.time_of_next(wall));
        self.leave(marker, None, due, wall);
    }

    /// Stores a message that nobody has sent, if there is room.
    pub(super) fn leave(
        &mut self,
        message: Incoming<'_>,
        rollup: Option<Rollup>,
        due: Option<Timestamp>,
        wall: Timestamp,
    ) {
        let subject = self.log.subjects.get(message.subject);
        let before = subject.map_or(Seq(0), |subject| subject.last.seq);
        let room = self.check_room(message, rollup.is_some(), &Staged::default());
        let size = message.accounted_len(self.is_volatile());
        if room.is_err() || size > self.room_left {
            return;
        }
        self.room_left -= size;
        self.left_count += 1;
        self.left_size += size;
        self.left_len += (message.subject.len() + message.payload.len()) as u64;
        let seq = self.admit(message, rollup, None, due, wall);
        self.publishers.add(seq, None);
        if self.features.republish.is_some() {
            self.left.push((seq, before));
        }
    }

    /// A message must not go before a marker of its subject would, where there
    /// may be older ones to come to light: what it is stored as then.
    pub(super) fn with_lasting_ttl(
        &self,
        lifetime: &mut Lifetime,
        message: Incoming<'_>,
    ) -> Option<Rewritten> {
        let least = self.marker_secs()?;
        let Lifetime::Secs(secs) = *lifetime else {
            return None;
        };
        if secs >= least || self.config.max_msgs_per_subject == 1 {
            return None;
        }
        *lifetime = Lifetime::Secs(least);
        let (header, body) = message.payload.split_at(message.header_len);
        let rest = headers::without(header, &|found| found == name::TTL);
        let mut payload = Vec::with_capacity(message.payload.len());
        HeaderWriter::from_block(&mut payload, &rest)
            .number(name::TTL, least.get().unsigned_abs())
            .finish();
        Some(Rewritten::of(payload, body))
    }
}

impl Streams {
    /// Sees to what follows from messages that nobody has sent.
    pub(super) fn after_leaving<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        id: StreamId,
        out: &mut O,
    ) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let count = std::mem::take(&mut stream.left_count);
        let size = std::mem::take(&mut stream.left_size);
        self.count_in_len(id, count, size);
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let left = std::mem::take(&mut stream.left);
        let mut len = std::mem::take(&mut stream.left_len) as usize;
        for (seq, before) in left {
            len += self.republish(engine, id, seq, before, out);
        }
        self.after_store(id, len);
    }
}

/// Whether a message stands for one that is gone: a marker, or the purge of a
/// key.
fn is_marker(header: &[u8]) -> bool {
    let headers = HeaderBlock::new(header);
    headers.get(name::MARKER_REASON).is_some()
        || headers
            .get(b"KV-Operation")
            .is_some_and(|what| what == b"PURGE")
}
