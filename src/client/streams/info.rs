//! What a server says of its streams and consumers.
//!
//! It is read leniently: what a newer server has to say besides is passed
//! over, and what an older one leaves out is zero.

use super::api::{text, uint};
use crate::Error;
use midge_api::{ConsumerConfig, LostMessages, SequenceInfo, StreamConfig, StreamState};
use midge_proto::{Nanos, Timestamp};
use serde_json::Value;

/// A stream, as it was when the server was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamInfo {
    /// How it is set up, with everything that the server filled in.
    pub config: StreamConfig,
    /// When it was made.
    pub created: Timestamp,
    /// What it holds.
    pub state: StreamState,
}

/// A consumer, as it was when the server was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerInfo {
    /// Its stream.
    pub stream: String,
    /// Its name; the server chooses one where none was asked for.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// How it is set up, with everything that the server filled in.
    pub config: ConsumerConfig,
    /// The last delivery.
    pub delivered: SequenceInfo,
    /// All up to here is acknowledged.
    pub ack_floor: SequenceInfo,
    /// Messages that were delivered and not acknowledged.
    pub num_ack_pending: u64,
    /// Those of them that were delivered more than once.
    pub num_redelivered: u64,
    /// Requests for messages that wait.
    pub num_waiting: u64,
    /// Messages that were not delivered yet.
    pub num_pending: u64,
    /// How long it still delivers nothing, if it pauses.
    pub paused: Option<Nanos>,
}

impl StreamInfo {
    pub(super) fn read(mut answer: Value) -> Result<StreamInfo, Error> {
        let config = take(&mut answer, "config");
        Ok(StreamInfo {
            config: StreamConfig::from_answer(config).map_err(Error::Api)?,
            created: time(&answer, "created"),
            state: answer.get("state").map(state).unwrap_or_default(),
        })
    }
}

impl ConsumerInfo {
    pub(super) fn read(mut answer: Value) -> Result<ConsumerInfo, Error> {
        let config = take(&mut answer, "config");
        let is_paused = answer.get("paused").and_then(Value::as_bool) == Some(true);
        Ok(ConsumerInfo {
            stream: text(&answer, "stream_name"),
            name: text(&answer, "name"),
            created: time(&answer, "created"),
            config: ConsumerConfig::from_answer(config).map_err(Error::Api)?,
            delivered: sequence(&answer, "delivered"),
            ack_floor: sequence(&answer, "ack_floor"),
            num_ack_pending: uint(&answer, "num_ack_pending"),
            num_redelivered: uint(&answer, "num_redelivered"),
            num_waiting: uint(&answer, "num_waiting"),
            num_pending: uint(&answer, "num_pending"),
            paused: is_paused.then(|| nanos(&answer, "pause_remaining")),
        })
    }
}

fn take(answer: &mut Value, key: &str) -> Value {
    match answer.get_mut(key).map(Value::take) {
        Some(Value::Null) | None => Value::Object(serde_json::Map::new()),
        Some(found) => found,
    }
}

pub(super) fn nanos(value: &Value, key: &str) -> Nanos {
    Nanos(value.get(key).and_then(Value::as_i64).unwrap_or_default())
}

pub(super) fn time(value: &Value, key: &str) -> Timestamp {
    let text = value.get(key).and_then(Value::as_str);
    text.and_then(Timestamp::parse).unwrap_or_default()
}

fn uints(value: &Value, key: &str) -> Vec<u64> {
    let items = value.get(key).and_then(Value::as_array);
    let items = items.map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(Value::as_u64).collect()
}

fn sequence(value: &Value, key: &str) -> SequenceInfo {
    let Some(value) = value.get(key) else {
        return SequenceInfo::default();
    };
    SequenceInfo {
        consumer_seq: uint(value, "consumer_seq"),
        stream_seq: uint(value, "stream_seq"),
        last_active: time(value, "last_active"),
    }
}

fn state(value: &Value) -> StreamState {
    StreamState {
        messages: uint(value, "messages"),
        bytes: uint(value, "bytes"),
        first_seq: uint(value, "first_seq"),
        first_ts: time(value, "first_ts"),
        last_seq: uint(value, "last_seq"),
        last_ts: time(value, "last_ts"),
        num_subjects: uint(value, "num_subjects"),
        subjects: subjects(value),
        num_deleted: uint(value, "num_deleted"),
        deleted: uints(value, "deleted"),
        lost: value.get("lost").map(|lost| LostMessages {
            msgs: uints(lost, "msgs"),
            bytes: uint(lost, "bytes"),
        }),
        consumer_count: uint(value, "consumer_count"),
    }
}

fn subjects(value: &Value) -> Vec<(String, u64)> {
    let Some(counts) = value.get("subjects").and_then(Value::as_object) else {
        return Vec::new();
    };
    let counted = counts.iter();
    counted
        .map(|(subject, count)| (subject.clone(), count.as_u64().unwrap_or_default()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_knows_is_passed_over() {
        let answer = serde_json::json!({
            "config": {"name": "S", "subjects": ["a"], "max_msgs": -1, "brand_new": {"x": 1},
                "mirror": {"name": "M", "newer": true}, "placement": {"cluster": "c", "x": 0}},
            "created": "2026-11-22T06:15:29Z", "alternates": [],
            "state": {"messages": 2, "last_seq": 3, "deleted": [2], "novel": null,
                "subjects": {"a": 2}},
        });
        let info = StreamInfo::read(answer).expect("read");
        assert_eq!(info.config.name, "S");
        assert_eq!(info.config.max_msgs, -1);
        assert_eq!(info.config.mirror.expect("kept").name, "M");
        assert_eq!((info.state.messages, info.state.last_seq), (2, 3));
        assert_eq!(info.state.deleted, [2]);
        assert_eq!(info.state.subjects, [("a".to_owned(), 2)]);
        assert!(info.created.is_set() && !info.state.first_ts.is_set());
    }

    #[test]
    fn what_is_left_out_is_nothing() {
        let answer = serde_json::json!({"name": "c", "paused": true, "pause_remaining": 5});
        let info = ConsumerInfo::read(answer).expect("read");
        assert_eq!((info.name.as_str(), info.num_pending), ("c", 0));
        assert_eq!(info.paused, Some(Nanos(5)));
        assert_eq!(info.config, ConsumerConfig::default());
        let wrong = serde_json::json!({"config": {"ack_wait": "x"}});
        assert!(matches!(ConsumerInfo::read(wrong), Err(Error::Api(_))));
    }
}
