//! A message of one stream on its way into another.
//!
//! What its headers asked for was meant for the stream that it comes from;
//! what is left of that, and what a counter makes of it, is said here. A
//! message that may never be stored is passed over, one that cannot be now
//! waits.

use super::copies::{Copying, Pause};
use super::expectations::Expectations;
use super::intake::{Checked, Incoming, Staged};
use super::log_read::NeedBlock;
use super::stream::Stream;
use super::streams::Streams;
use crate::engine::Engine;
use crate::ids::{Seq, StreamId};
use crate::outbox::Outbox;
use midge_api::Timestamp;
use midge_proto::headers::{HeaderBlock, HeaderWriter, name};

/// Headers that were meant for the origin alone.
const NOT_COPIED: [&[u8]; 2] = [b"Nats-Expected-", b"Nats-Batch-"];

/// A message that is to be stored once more.
pub(super) struct Copied {
    seq: Seq,
    time: Timestamp,
    /// Its subject at the origin.
    subject: Vec<u8>,
    /// What that becomes on the way.
    changed: Option<Vec<u8>>,
    payload: Vec<u8>,
    header_len: usize,
}

impl Copied {
    /// Bytes that were copied.
    pub(super) fn len(&self) -> usize {
        self.payload.len()
    }

    fn message(&self) -> Incoming<'_> {
        Incoming {
            subject: self.changed.as_ref().unwrap_or(&self.subject),
            payload: &self.payload,
            header_len: self.header_len,
        }
    }
}

impl Copying {
    /// A message of the origin as it is copied, without its body if only the
    /// headers are wanted.
    pub(super) fn copy_of(
        &self,
        origin: &Stream,
        seq: Seq,
        headers_only: bool,
        random: &mut dyn FnMut(usize) -> usize,
    ) -> Result<Option<Copied>, NeedBlock> {
        let Some(record) = origin.log.get(seq)? else {
            return Ok(None);
        };
        let mut changed = self.transforms.iter();
        let changed = changed.find_map(|rule| rule.apply(record.subject, random));
        let mut payload = Vec::with_capacity(record.payload.len() + 64);
        let mut header = HeaderWriter::new(&mut payload);
        let mut is_empty = true;
        for (key, value) in HeaderBlock::new(record.header()).iter() {
            let is_dropped = NOT_COPIED.iter().any(|prefix| key.starts_with(prefix))
                || (key == name::STREAM_SOURCE && !self.is_mirror);
            if !is_dropped {
                header = header.header(key, value);
                is_empty = false;
            }
        }
        if headers_only {
            header = header.number(name::MSG_SIZE, record.body().len() as u64);
            is_empty = false;
        }
        if !self.is_mirror {
            let told = format!("{} {} {} ", self.told_name, seq.0, self.told);
            let told = [told.as_bytes(), record.subject].concat();
            header = header.header(name::STREAM_SOURCE, &told);
            is_empty = false;
        }
        header.finish();
        if is_empty {
            payload.clear();
        }
        let header_len = payload.len();
        if !headers_only {
            payload.extend_from_slice(record.body());
        }
        Ok(Some(Copied {
            seq,
            time: record.time,
            subject: record.subject.to_vec(),
            changed,
            payload,
            header_len,
        }))
    }
}

impl Stream {
    /// What the headers of a copy still ask for, beside what was meant for its
    /// origin alone or is not for this stream.
    fn asked_of_copy<'a>(&self, header: &'a [u8], is_mirror: bool) -> Expectations<'a> {
        let config = &self.config;
        let read = Expectations::read(header);
        let has_lifetime = config.allow_msg_ttl && read.lifetime().is_ok();
        let may_roll_up = config.allow_rollup_hdrs && !config.deny_purge && read.rollup().is_ok();
        let knows_ids = !config.duplicate_window.is_zero();
        Expectations {
            ttl: read.ttl.filter(|_| has_lifetime),
            rollup: read.rollup.filter(|_| may_roll_up && !is_mirror),
            msg_id: read.msg_id.filter(|_| knows_ids && !is_mirror),
            ..Expectations::default()
        }
    }

    /// What becomes of a copy that was refused: it waits for the block that is
    /// missing, or else it never can be stored.
    fn wait_or_pass_over(&mut self) -> Result<(), Pause> {
        match self.missing.take() {
            Some(key) => Err(Pause::Block(NeedBlock(key))),
            None => Ok(()),
        }
    }
}

impl Streams {
    /// Stores a copy, if it may be stored.
    pub(super) fn store_copied<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        id: StreamId,
        copying: &Copying,
        mut copied: Copied,
        out: &mut O,
    ) -> Result<(), Pause> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Err(Pause::End);
        };
        let subject = copied.changed.as_ref().unwrap_or(&copied.subject);
        let mut random = |bound| engine.rng.below(bound);
        let rule = stream.features.transform.as_ref();
        let own = rule.and_then(|rule| rule.apply(subject, &mut random));
        copied.changed = own.or(copied.changed);
        if stream.config.allow_msg_counter {
            match stream.count_copied(copied.message(), &copying.source.name, &copied.subject) {
                Ok(counted) => {
                    copied.header_len = counted.message.header_len;
                    copied.payload = counted.message.payload;
                }
                Err(_) => return stream.wait_or_pass_over(),
            }
        }
        let message = copied.message();
        let is_full = engine.room.is_short() || self.is_server_full(id);
        if is_full || !self.has_room(id, message) {
            return Err(Pause::Room);
        }
        self.store_as_it_is(engine, id, copying.is_mirror, &copied, out)
    }

    /// The same for one of which all is known.
    fn store_as_it_is<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        id: StreamId,
        is_mirror: bool,
        copied: &Copied,
        out: &mut O,
    ) -> Result<(), Pause> {
        let (message, wall) = (copied.message(), self.wall);
        let Some(stream) = self.streams.get_mut(&id) else {
            return Err(Pause::End);
        };
        let fits = stream.check_subject(message.subject).is_ok();
        if !fits || stream.check_size(message).is_err() {
            // It never will be.
            return Ok(());
        }
        let header = &copied.payload[..copied.header_len];
        let asked = stream.asked_of_copy(header, is_mirror);
        match stream.check_asked(&asked, message, wall) {
            Ok(Checked::New) => {}
            Ok(Checked::Duplicate(_)) => return Ok(()),
            Err(_) => return stream.wait_or_pass_over(),
        }
        if stream
            .check_room(message, asked.rollup.is_some(), &Staged::default())
            .is_err()
        {
            return Err(Pause::Room);
        }
        let before = match stream.seq_before(message.subject) {
            Ok(before) => before,
            Err(_) => {
                let key = stream.missing.take();
                return Err(key.map_or(Pause::Room, |key| Pause::Block(NeedBlock(key))));
            }
        };
        let mut time = wall;
        if is_mirror {
            stream.log.skip_to(copied.seq.prev());
            time = copied.time;
        }
        let seq = stream.store_checked(message, &asked, time);
        stream.publishers.add(seq, None);
        self.count_in(id, message);
        let mut len = message.subject.len() + message.payload.len();
        if !is_mirror {
            len += self.republish(engine, id, seq, before, out);
        }
        self.after_store(id, len);
        Ok(())
    }
}
