//! Publishing again what was stored.
//!
//! Who receives such a message may take it for stored. So it leaves with the
//! commit, as the PubAck does, and just before it.

use super::answers::OnFailure;
use super::stream::Stream;
use super::streams::Streams;
use crate::engine::Engine;
use crate::ids::{Seq, StreamId};
use crate::outbox::Outbox;
use midge_proto::headers::{HeaderWriter, name};

impl Streams {
    /// Publishes a message again, if its stream does that. `before` is the
    /// last sequence that its subject had. Returns how many bytes wait for the
    /// disk.
    pub(super) fn republish<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        id: StreamId,
        seq: Seq,
        before: Seq,
        out: &mut O,
    ) -> usize {
        let Some(stream) = self.streams.get(&id) else {
            return 0;
        };
        let Some(republish) = &stream.features.republish else {
            return 0;
        };
        let Ok(Some(record)) = stream.log.get(seq) else {
            // Nobody wants it, so that it is not kept.
            return 0;
        };
        let mut random = |bound| engine.rng.below(bound);
        let Some(subject) = republish.transform.apply(record.subject, &mut random) else {
            return 0;
        };
        if !midge_proto::is_literal(&subject) {
            return 0;
        }
        self.scratch.clear();
        let header_len = write(stream, seq, before, &mut self.scratch);
        let account = stream.account;
        if stream.acks_at_once() {
            engine.send_plain(account, &subject, &self.scratch, header_len, out);
            return 0;
        }
        let payload = &self.scratch;
        self.answers
            .push_message(account, &subject, OnFailure::Silence, |bytes| {
                bytes.extend_from_slice(payload);
                header_len
            });
        self.is_urgent = true;
        subject.len() + payload.len()
    }
}

/// Writes the message as it is published again. Returns how long its header
/// block is.
fn write(stream: &Stream, seq: Seq, before: Seq, bytes: &mut Vec<u8>) -> usize {
    let Ok(Some(record)) = stream.log.get(seq) else {
        return 0;
    };
    let republish = stream.features.republish.as_ref();
    let headers_only = republish.is_some_and(|republish| republish.headers_only);
    let mut header = HeaderWriter::from_block(bytes, record.header())
        .header(name::STREAM, stream.config.name.as_bytes())
        .header(name::SUBJECT, record.subject)
        .number(name::SEQUENCE, seq.0)
        .time(name::TIME_STAMP, record.time)
        .number(name::LAST_SEQUENCE, before.0);
    if headers_only {
        header = header.number(name::MSG_SIZE, record.body().len() as u64);
    }
    header.finish();
    let header_len = bytes.len();
    if !headers_only {
        bytes.extend_from_slice(record.body());
    }
    header_len
}
