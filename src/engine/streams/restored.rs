//! What an archive holds becomes part of a stream.

use super::api_consumers::check_limits;
use super::archive::{self, Entry};
use super::archived::cursor_of;
use super::consumer::Consumer;
use super::expectations::Expectations;
use super::stream::Stream;
use crate::Time;
use crate::ids::{ConsumerId, Seq};
use midge_api::snapshot::{ArchivedConsumer, ArchivedState};
use midge_api::{ApiError, CreateConsumerRequest, Timestamp, check_consumer_name};

/// Sequences that are believed: what comes after needs some, too.
const SEQ_MAX: u64 = 1 << 62;

/// What comes next in an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    State,
    Consumers(u64),
    Messages,
    Ended,
}

/// What adds up while entries are read.
pub(super) struct Reading<'a> {
    pub(super) stream: &'a mut Stream,
    pub(super) stage: &'a mut Stage,
    pub(super) state: &'a mut ArchivedState,
    pub(super) first_time: &'a mut Option<Timestamp>,
    pub(super) wall: Timestamp,
    /// Bytes of messages.
    pub(super) len: usize,
}

impl Reading<'_> {
    pub(super) fn take(
        &mut self,
        entry: &Entry<'_>,
        limits: (Option<u64>, Option<i64>),
        now: Time,
    ) -> Result<(), ApiError> {
        let refused = |why: &str| Err(ApiError::stream_restore(why));
        match *self.stage {
            Stage::State if entry.name != archive::STATE => {
                return refused("expected state.json first");
            }
            Stage::State => {
                let state = ArchivedState::from_json(entry.payload).map_err(|error| {
                    ApiError::stream_restore(format!("error in state.json: {}", error.description))
                })?;
                if state.last_seq > SEQ_MAX {
                    return refused("error in state.json: the last sequence is too high");
                }
                *self.state = state;
                *self.stage = Stage::Consumers(state.consumers);
            }
            Stage::Consumers(left) if left > 0 => {
                add_consumer(self.stream, entry, Seq(self.state.last_seq), limits, now)?;
                *self.stage = Stage::Consumers(left - 1);
            }
            Stage::Consumers(_) | Stage::Messages if entry.is_end() => *self.stage = Stage::Ended,
            Stage::Consumers(_) | Stage::Messages => {
                add_message(self.stream, entry, self.wall)?;
                self.first_time.get_or_insert(self.stream.log.last_time());
                self.len += entry.name.len() + entry.payload.len();
                *self.stage = Stage::Messages;
            }
            // Nothing behind the end is looked at.
            Stage::Ended => {}
        }
        Ok(())
    }
}

/// Adds a message under its own sequence. Times never fall in a stream, nor are
/// they in the future: whatever the archive says, it is brought between that
/// of the message before and `wall`.
fn add_message(stream: &mut Stream, entry: &Entry<'_>, wall: Timestamp) -> Result<(), ApiError> {
    let Entry { name, seq, .. } = *entry;
    let refused = |why: &str| {
        let text = format!("message sequence {seq} {why}");
        Err(ApiError::stream_restore(text))
    };
    if seq == 0 {
        return Err(ApiError::stream_restore("expected message sequence"));
    }
    if seq <= stream.log.last().0 {
        return refused("out of order");
    }
    if seq > SEQ_MAX {
        return refused("is too high");
    }
    if midge_proto::count_tokens(name).is_none() || midge_proto::has_blank(name) {
        return refused("has a subject that can not be stored");
    }
    let header = &entry.payload[..entry.header_len];
    let is_header = header.starts_with(b"NATS/1.0") && header.ends_with(b"\r\n\r\n");
    if !header.is_empty() && !is_header {
        return refused("has headers that are none");
    }
    let asked = Expectations::read(header);
    let has_id = asked.msg_id.is_some();
    let time = entry.time.min(wall).max(stream.log.last_time());
    let due = stream.due_of(&asked, header, time);
    let payload = entry.payload;
    let log = &mut stream.log;
    log.skip_to(Seq(seq - 1));
    log.append(time, name, payload, entry.header_len, has_id, due);
    stream.restored_copy(header);
    for consumer in stream.consumers.values_mut() {
        consumer.stored(Seq(seq), name);
    }
    Ok(())
}

impl Stream {
    /// When a message is due to go, or to be published again. What it has
    /// missed of that is made up for as after a restart.
    fn due_of(
        &self,
        asked: &Expectations<'_>,
        header: &[u8],
        time: Timestamp,
    ) -> Option<Timestamp> {
        let lifetime = asked.lifetime().ok().filter(|_| self.config.allow_msg_ttl);
        let end = lifetime.and_then(|lifetime| lifetime.due(time));
        let is_schedule = asked.is_scheduling && self.config.allow_msg_schedules;
        let first = is_schedule.then(|| self.first_due(header, time));
        first.flatten().into_iter().chain(end).min()
    }
}

/// Adds a consumer where it was. The limits are the account's.
fn add_consumer(
    stream: &mut Stream,
    entry: &Entry<'_>,
    last: Seq,
    limits: (Option<u64>, Option<i64>),
    now: Time,
) -> Result<(), ApiError> {
    let name = entry.name.strip_prefix(archive::CONSUMER);
    let name = name.and_then(|name| std::str::from_utf8(name).ok());
    let name = name.ok_or_else(|| ApiError::stream_restore("expected a consumer"))?;
    place_consumer(stream, name, entry, last, limits, now).map_err(|error| {
        ApiError::stream_restore(format!("failed to add consumer {name:?}: {error}"))
    })
}

fn place_consumer(
    stream: &mut Stream,
    name: &str,
    entry: &Entry<'_>,
    last: Seq,
    (max_consumers, max_ack_pending): (Option<u64>, Option<i64>),
    now: Time,
) -> Result<(), ApiError> {
    let mut archived = ArchivedConsumer::from_json(entry.payload)?;
    let config = &mut archived.config;
    check_consumer_name(name)?;
    name.clone_into(&mut config.name);
    if config.is_durable() && config.durable_name != name {
        return Err(ApiError::CONSUMER_DURABLE_NAME_NOT_MATCH_SUBJECT);
    }
    config.check(&stream.config, false)?;
    if let Some(max) = max_ack_pending {
        config.max_ack_pending = config.max_ack_pending.min(max);
    }
    config.fill_threshold(config.is_durable());
    if stream.consumers_by_name.contains_key(name) {
        return Err(ApiError::CONSUMER_NAME_EXIST);
    }
    let count = stream.consumers.len() as u64;
    if max_consumers.is_some_and(|max| count >= max) {
        return Err(ApiError::MAXIMUM_CONSUMERS_LIMIT);
    }
    let asked = CreateConsumerRequest {
        config: config.clone(),
        ..CreateConsumerRequest::default()
    };
    check_limits(stream, &asked, None)?;
    let id = ConsumerId(stream.next_consumer);
    stream.next_consumer += 1;
    let mut consumer = Consumer::new(id, stream.name(), asked.config, entry.time, now);
    let wants_acks = consumer.wants_acks();
    consumer.begin_at(cursor_of(&archived, last, wants_acks));
    stream.consumers_by_name.insert(name.to_owned(), id);
    stream.consumers.insert(id, Box::new(consumer));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::StreamId;
    use midge_api::StreamConfig;

    #[test]
    fn times_neither_fall_nor_lie_ahead() {
        let config = StreamConfig {
            name: "S".to_owned(),
            allow_msg_schedules: true,
            ..StreamConfig::default()
        };
        let made = Timestamp(0);
        let mut stream = Stream::new(StreamId(1), "$G".into(), config, made, 1);
        let wall = Timestamp(1000);
        let header = b"NATS/1.0\r\nNats-Schedule: @every 1s\r\nNats-Schedule-Target: t\r\n\r\n";
        for (seq, said, kept) in [
            (1, i64::MIN, i64::MIN),
            (2, 500, 500),
            (3, 400, 500),
            (5, i64::MAX, 1000),
            (6, 700, 1000),
        ] {
            let entry = Entry {
                name: b"s.a",
                time: Timestamp(said),
                seq,
                payload: header,
                header_len: header.len(),
            };
            add_message(&mut stream, &entry, wall).expect("it is good");
            let record = stream.log.get(Seq(seq)).expect("in memory");
            assert_eq!(record.expect("it is there").time, Timestamp(kept), "{said}");
        }
        assert_eq!(stream.log.last_time(), wall);
        assert_eq!(stream.log.first_since(Timestamp(450)), Ok(Seq(2)));
    }
}
