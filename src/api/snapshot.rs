//! Backups of one stream in nats-server's form: what their requests ask, what
//! those are answered, and the parts of the archive that are JSON.

use super::consumer_config::ConsumerConfig;
use super::error::ApiError;
use super::info::{StreamInfo, StreamState};
use super::json::{self, Known, Strictness};
use super::metadata::Notes;
use super::requests::is_empty;
use super::responses::{ResponseKind, end, start};
use super::stream_config::StreamConfig;
use midge_proto::JsonWriter;
use midge_proto::Timestamp;
use serde_json::Value;

/// Bytes in a chunk, unless the request says otherwise: as much, at least and
/// at most.
const CHUNK_LEN: i64 = 128 * 1024;
const CHUNK_LEN_MIN: i64 = 1024;
const CHUNK_LEN_MAX: i64 = 1024 * 1024;

/// Bytes of chunks that may be on their way, unless the request asks for less.
const WINDOW_LEN: i64 = 8 * 1024 * 1024;

/// Asks for a backup of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotRequest {
    /// Where it is to be sent.
    pub deliver_subject: String,
    /// Leave the consumers out.
    pub no_consumers: bool,
    /// Bytes in each message but the last.
    pub chunk_len: usize,
    /// Bytes that may be on their way. One chunk always may.
    pub window_len: usize,
}

impl SnapshotRequest {
    /// Reads the request.
    ///
    /// # Errors
    /// 10025 when this is not JSON, or has a key or a value that is none of
    /// ours; 10015 when it names no subject to send to.
    pub fn from_json(body: &[u8], strict: Strictness) -> Result<SnapshotRequest, ApiError> {
        let mut deliver_subject = String::new();
        let mut no_consumers = false;
        let (mut chunk_len, mut window_len) = (0, 0);
        json::read(body, strict, &mut |key, value| {
            match key {
                "deliver_subject" => deliver_subject = json::string(key, value)?,
                "no_consumers" => no_consumers = json::boolean(key, &value)?,
                "chunk_size" => chunk_len = json::int(key, &value)?,
                "window_size" => window_len = json::int(key, &value)?,
                // Every record is looked at in any case.
                "jsck" => _ = json::boolean(key, &value)?,
                _ => return Ok(Known::No),
            }
            Ok(Known::Yes)
        })?;
        let to = deliver_subject.as_bytes();
        if !midge_proto::is_literal(to) || midge_proto::has_blank(to) {
            return Err(ApiError::SNAPSHOT_DELIVER_SUBJECT_INVALID);
        }
        let or = |asked: i64, unasked: i64| if asked == 0 { unasked } else { asked };
        let chunk_len = or(chunk_len, CHUNK_LEN).clamp(CHUNK_LEN_MIN, CHUNK_LEN_MAX);
        let window_len = or(window_len, WINDOW_LEN).clamp(0, WINDOW_LEN);
        Ok(SnapshotRequest {
            deliver_subject,
            no_consumers,
            chunk_len: chunk_len as usize,
            window_len: window_len as usize,
        })
    }
}

/// Whether a request to make or to take a backup says nothing.
///
/// # Errors
/// 10003 if so.
pub fn expect_body(body: &[u8]) -> Result<(), ApiError> {
    if is_empty(body) {
        Err(ApiError::BAD_REQUEST)
    } else {
        Ok(())
    }
}

/// Reads what a restore is to make: the configuration. What the stream held is
/// in the archive, too, so that in the request it need not be right.
///
/// # Errors
/// 10025 when this is not JSON, or has a key or a value that is none of ours.
pub fn restored_config(body: &[u8], strict: Strictness) -> Result<StreamConfig, ApiError> {
    let mut config = StreamConfig::default();
    json::read(body, strict, &mut |key, value| {
        match key {
            "config" => config = StreamConfig::from_request(value, strict)?,
            "state" => _ = read_state(value, strict)?,
            _ => return Ok(Known::No),
        }
        Ok(Known::Yes)
    })?;
    Ok(config)
}

/// What `state.json` tells that is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ArchivedState {
    /// The last sequence, whether that message is there or not.
    pub last_seq: u64,
    /// When that was stored.
    pub last_ts: Timestamp,
    /// The consumers that follow.
    pub consumers: u64,
}

impl ArchivedState {
    /// Reads it.
    ///
    /// # Errors
    /// 10025 when this is not JSON, or has a value that is none of ours.
    pub fn from_json(body: &[u8]) -> Result<ArchivedState, ApiError> {
        read_state(parse(body)?, Strictness::Lenient)
    }
}

fn parse(body: &[u8]) -> Result<Value, ApiError> {
    let text = String::from_utf8_lossy(body);
    json::parse(&text).map_err(|error| ApiError::invalid_json(error.to_string()))
}

fn read_state(value: Value, strict: Strictness) -> Result<ArchivedState, ApiError> {
    let mut state = ArchivedState::default();
    json::read_value("state", value, strict, &mut |key, value| {
        match key {
            "last_seq" => state.last_seq = json::uint(key, &value)?,
            "last_ts" => state.last_ts = json::time(key, &value)?,
            "consumer_count" => state.consumers = json::uint(key, &value)?,
            "messages" | "bytes" | "first_seq" | "first_ts" | "num_subjects" | "subjects"
            | "num_deleted" | "deleted" | "lost" => {}
            _ => return Ok(Known::No),
        }
        Ok(Known::Yes)
    })?;
    Ok(state)
}

/// A message that a consumer has delivered and that is not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchivedPending {
    /// The message.
    pub seq: u64,
    /// The number of its first delivery.
    pub delivery: u64,
    /// When it was last delivered.
    pub time: Timestamp,
}

/// A consumer with how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArchivedConsumer {
    /// How it is set up.
    pub config: ConsumerConfig,
    /// Its last delivery: the number of it, and the message.
    pub delivered: (u64, u64),
    /// Up to where all is acknowledged, in the same way.
    pub ack_floor: (u64, u64),
    /// What is not acknowledged.
    pub pending: Vec<ArchivedPending>,
    /// Messages delivered more than once, and how often after the first time.
    pub redelivered: Vec<(u64, u64)>,
}

impl ArchivedConsumer {
    /// Appends it as JSON.
    pub fn write_json(&self, json: &mut JsonWriter) {
        json.open_object();
        json.key("config");
        self.config.write_json(Notes::Required, json);
        json.key("state");
        json.open_object();
        for (key, (delivery, seq)) in [("delivered", self.delivered), ("ack_floor", self.ack_floor)]
        {
            json.key(key);
            json.open_object();
            json.uint_field("consumer_seq", delivery);
            json.uint_field("stream_seq", seq);
            json.close_object();
        }
        if !self.pending.is_empty() {
            json.key("pending");
            json.open_object();
            for pending in &self.pending {
                json.key(&pending.seq.to_string());
                json.open_object();
                json.uint_field("Sequence", pending.delivery);
                json.int_field("Timestamp", pending.time.0);
                json.close_object();
            }
            json.close_object();
        }
        if !self.redelivered.is_empty() {
            json.key("redelivered");
            json.open_object();
            for (seq, count) in &self.redelivered {
                json.uint_field(&seq.to_string(), *count);
            }
            json.close_object();
        }
        json.close_object();
        json.close_object();
    }

    /// Reads it.
    ///
    /// # Errors
    /// 10025 when this is not JSON, or has a configuration with a key or a
    /// value that is none of ours.
    pub fn from_json(body: &[u8]) -> Result<ArchivedConsumer, ApiError> {
        let mut consumer = ArchivedConsumer::default();
        let (mut has_config, mut has_state) = (false, false);
        json::read_value(
            "consumer",
            parse(body)?,
            Strictness::Lenient,
            &mut |key, value| {
                match key {
                    "config" => {
                        consumer.config =
                            ConsumerConfig::from_value(key, value, Strictness::Strict)?;
                        has_config = true;
                    }
                    "state" => {
                        consumer.read_state(value)?;
                        has_state = true;
                    }
                    _ => return Ok(Known::No),
                }
                Ok(Known::Yes)
            },
        )?;
        match (has_config, has_state) {
            (false, _) => Err(ApiError::invalid_json("config is missing")),
            (_, false) => Err(ApiError::invalid_json("state is missing")),
            _ => Ok(consumer),
        }
    }

    fn read_state(&mut self, value: Value) -> Result<(), ApiError> {
        json::read_value("state", value, Strictness::Lenient, &mut |key, value| {
            match key {
                "delivered" => self.delivered = position(key, value)?,
                "ack_floor" => self.ack_floor = position(key, value)?,
                "pending" => {
                    for (seq, value) in json::object(key, value)? {
                        self.pending.push(pending(number(&seq)?, value)?);
                    }
                }
                "redelivered" => {
                    for (seq, value) in json::object(key, value)? {
                        let count = json::uint(key, &value)?;
                        self.redelivered.push((number(&seq)?, count));
                    }
                }
                _ => return Ok(Known::No),
            }
            Ok(Known::Yes)
        })
    }
}

fn number(text: &str) -> Result<u64, ApiError> {
    text.parse()
        .map_err(|_| ApiError::invalid_json(format!("{text:?} is no sequence")))
}

fn position(key: &str, value: Value) -> Result<(u64, u64), ApiError> {
    let (mut delivery, mut seq) = (0, 0);
    json::read_value(key, value, Strictness::Lenient, &mut |key, value| {
        match key {
            "consumer_seq" => delivery = json::uint(key, &value)?,
            "stream_seq" => seq = json::uint(key, &value)?,
            _ => return Ok(Known::No),
        }
        Ok(Known::Yes)
    })?;
    Ok((delivery, seq))
}

fn pending(seq: u64, value: Value) -> Result<ArchivedPending, ApiError> {
    let mut pending = ArchivedPending {
        seq,
        delivery: 0,
        time: Timestamp(0),
    };
    json::read_value("pending", value, Strictness::Lenient, &mut |key, value| {
        match key {
            "sequence" => pending.delivery = json::uint(key, &value)?,
            "timestamp" => pending.time = Timestamp(json::int(key, &value)?),
            _ => return Ok(Known::No),
        }
        Ok(Known::Yes)
    })?;
    Ok(pending)
}

/// The answer to a request for a backup.
pub fn snapshot_begun(config: &StreamConfig, state: &StreamState) -> Vec<u8> {
    let mut json = start(ResponseKind::StreamSnapshot);
    json.key("config");
    config.write_json(Notes::Required, &mut json);
    json.key("state");
    state.write_json(&mut json);
    end(json)
}

/// The answer to a request to restore: where the archive is to be sent.
pub fn restore_begun(deliver_subject: &str) -> Vec<u8> {
    let mut json = start(ResponseKind::StreamRestore);
    json.string_field("deliver_subject", deliver_subject);
    end(json)
}

/// The answer to the end of an archive.
pub fn restored(info: &StreamInfo<'_>) -> Vec<u8> {
    let mut json = start(ResponseKind::StreamCreate);
    info.write_fields(Notes::All, &mut json);
    end(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(body: &str) -> Result<SnapshotRequest, u16> {
        SnapshotRequest::from_json(body.as_bytes(), Strictness::Strict)
            .map_err(|error| error.err_code)
    }

    #[test]
    fn lengths_have_bounds() {
        for (body, chunk_len, window_len) in [
            ("", 131_072, 8_388_608),
            (",\"chunk_size\":10,\"window_size\":10", 1024, 10),
            (",\"chunk_size\":-1,\"window_size\":-1", 1024, 0),
            (
                ",\"chunk_size\":5000000,\"window_size\":1000000000",
                1_048_576,
                8_388_608,
            ),
        ] {
            let read = asked(&format!("{{\"deliver_subject\":\"d\"{body}}}")).expect(body);
            assert_eq!((read.chunk_len, read.window_len), (chunk_len, window_len));
        }
        assert_eq!(asked("{\"deliver_subject\":\"d.*\"}"), Err(10015));
        assert_eq!(asked("{\"jsck\":true}"), Err(10015));
        assert_eq!(asked("{\"deliver_subject\":\"d\",\"foo\":1}"), Err(10025));
    }

    #[test]
    fn a_consumer_is_told_as_nats_server_does() {
        let text = r#"{"config":{"durable_name":"c","name":"c","deliver_policy":"all","ack_policy":"explicit","ack_wait":30000000000,"max_deliver":-1,"replay_policy":"instant","max_waiting":512,"max_ack_pending":1000,"num_replicas":0,"metadata":{"_nats.req.level":"0"}},"state":{"delivered":{"consumer_seq":5,"stream_seq":7},"ack_floor":{"consumer_seq":0,"stream_seq":2},"pending":{"3":{"Sequence":1,"Timestamp":1795403316261527043},"4":{"Sequence":2,"Timestamp":1795403316261654433}},"redelivered":{"3":1}}}"#;
        let consumer = ArchivedConsumer::from_json(text.as_bytes()).expect("whole");
        assert_eq!(consumer.delivered, (5, 7));
        assert_eq!(consumer.redelivered, [(3, 1)]);
        assert_eq!(consumer.pending.len(), 2);
        let mut json = JsonWriter::new();
        consumer.write_json(&mut json);
        assert_eq!(String::from_utf8_lossy(&json.into_bytes()), text);
        for damaged in [
            "",
            "{",
            "{}",
            "{\"config\":{},\"state\":{\"pending\":{\"x\":{}}}}",
            "{\"config\":{\"a\":1},\"state\":{}}",
        ] {
            assert!(
                ArchivedConsumer::from_json(damaged.as_bytes()).is_err(),
                "{damaged}"
            );
        }
    }

    #[test]
    fn a_restore_says_what_it_is_to_make() {
        let config = restored_config(
            br#"{"config":{"name":"S"},"state":{"messages":3}}"#,
            Strictness::Strict,
        );
        assert_eq!(config.expect("is known").name, "S");
        for body in [
            r#"{"state":{"foo":1}}"#,
            r#"{"config":{"foo":1}}"#,
            r#"{"x":1}"#,
        ] {
            let error = restored_config(body.as_bytes(), Strictness::Strict).expect_err(body);
            assert_eq!(error.err_code, 10025);
        }
    }
}
