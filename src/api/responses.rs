//! What requests of the API are answered.
//!
//! Every answer begins with its type, and an error may stand in the answer to
//! any request, beside the zeroes that clients expect in some of them.

use super::error::ApiError;
use super::info::{AccountInfo, ConsumerInfo, StreamInfo};
use super::metadata::Notes;
use super::word::words;
use midge_proto::JsonWriter;
use midge_proto::{Nanos, Timestamp};

words! {
    /// The type of an answer.
    pub enum ResponseKind {
        /// To `INFO`.
        #[default]
        AccountInfo = "io.nats.jetstream.api.v1.account_info_response",
        /// To `STREAM.CREATE`.
        StreamCreate = "io.nats.jetstream.api.v1.stream_create_response",
        /// To `STREAM.UPDATE`.
        StreamUpdate = "io.nats.jetstream.api.v1.stream_update_response",
        /// To `STREAM.INFO`.
        StreamInfo = "io.nats.jetstream.api.v1.stream_info_response",
        /// To `STREAM.NAMES`.
        StreamNames = "io.nats.jetstream.api.v1.stream_names_response",
        /// To `STREAM.LIST`.
        StreamList = "io.nats.jetstream.api.v1.stream_list_response",
        /// To `STREAM.DELETE`.
        StreamDelete = "io.nats.jetstream.api.v1.stream_delete_response",
        /// To `STREAM.PURGE`.
        StreamPurge = "io.nats.jetstream.api.v1.stream_purge_response",
        /// To `STREAM.MSG.GET`.
        MessageGet = "io.nats.jetstream.api.v1.stream_msg_get_response",
        /// To `STREAM.MSG.DELETE`.
        MessageDelete = "io.nats.jetstream.api.v1.stream_msg_delete_response",
        /// To `STREAM.SNAPSHOT`.
        StreamSnapshot = "io.nats.jetstream.api.v1.stream_snapshot_response",
        /// To `STREAM.RESTORE`.
        StreamRestore = "io.nats.jetstream.api.v1.stream_restore_response",
        /// To `STREAM.LEADER.STEPDOWN`.
        StreamStepDown = "io.nats.jetstream.api.v1.stream_leader_stepdown_response",
        /// To `STREAM.PEER.REMOVE`.
        StreamRemovePeer = "io.nats.jetstream.api.v1.stream_remove_peer_response",
        /// To `STREAM.PEER.EVACUATE`.
        StreamEvacuatePeer = "io.nats.jetstream.api.v1.stream_evacuate_peer_response",
        /// To `STREAM.CANCEL_MOVE`.
        StreamCancelMove = "io.nats.jetstream.api.v1.stream_cancel_move_response",
        /// To `CONSUMER.CREATE` and `CONSUMER.DURABLE.CREATE`.
        ConsumerCreate = "io.nats.jetstream.api.v1.consumer_create_response",
        /// To `CONSUMER.NAMES`.
        ConsumerNames = "io.nats.jetstream.api.v1.consumer_names_response",
        /// To `CONSUMER.LIST`.
        ConsumerList = "io.nats.jetstream.api.v1.consumer_list_response",
        /// To `CONSUMER.INFO`.
        ConsumerInfo = "io.nats.jetstream.api.v1.consumer_info_response",
        /// To `CONSUMER.DELETE`.
        ConsumerDelete = "io.nats.jetstream.api.v1.consumer_delete_response",
        /// To `CONSUMER.PAUSE`.
        ConsumerPause = "io.nats.jetstream.api.v1.consumer_pause_response",
        /// To `CONSUMER.UNPIN`.
        ConsumerUnpin = "io.nats.jetstream.api.v1.consumer_unpin_response",
        /// To `CONSUMER.RESET`.
        ConsumerReset = "io.nats.jetstream.api.v1.consumer_reset_response",
        /// To `CONSUMER.LEADER.STEPDOWN`.
        ConsumerStepDown = "io.nats.jetstream.api.v1.consumer_leader_stepdown_response",
    }
}

/// How many names a page holds.
pub const NAMES_LIMIT: usize = 1024;
/// How many infos a page holds.
pub const LIST_LIMIT: usize = 256;
/// How many subjects a page of a stream's info holds.
pub const SUBJECTS_LIMIT: usize = 100_000;

/// Where a page stands in its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Page {
    /// How long the list is.
    pub total: usize,
    /// How many stand before this page.
    pub offset: usize,
    /// How many a page holds.
    pub limit: usize,
}

/// A message as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredMessage<'a> {
    /// Its subject.
    pub subject: &'a str,
    /// Its sequence.
    pub seq: u64,
    /// Its header block; empty is none.
    pub headers: &'a [u8],
    /// Its payload.
    pub data: &'a [u8],
    /// When it was stored.
    pub time: Timestamp,
}

pub(super) fn start(kind: ResponseKind) -> JsonWriter {
    let mut json = JsonWriter::new();
    json.open_object();
    json.string_field("type", kind.as_str());
    json
}

pub(super) fn end(mut json: JsonWriter) -> Vec<u8> {
    json.close_object();
    json.into_bytes()
}

impl Page {
    fn write_fields(self, json: &mut JsonWriter) {
        for (key, value) in [
            ("total", self.total),
            ("offset", self.offset),
            ("limit", self.limit),
        ] {
            json.uint_field(key, value as u64);
        }
    }
}

/// The answer to a request that failed.
pub fn error(kind: ResponseKind, error: &ApiError) -> Vec<u8> {
    let mut json = start(kind);
    json.key("error");
    error.write_json(&mut json);
    let list = match kind {
        ResponseKind::StreamInfo => Some(None),
        ResponseKind::StreamNames => Some(Some(("streams", "null"))),
        ResponseKind::StreamList => Some(Some(("streams", "[]"))),
        ResponseKind::ConsumerNames | ResponseKind::ConsumerList => Some(Some(("consumers", "[]"))),
        _ => None,
    };
    if let Some(list) = list {
        Page::default().write_fields(&mut json);
        if let Some((key, nothing)) = list {
            json.key(key);
            json.raw(nothing.as_bytes());
        }
    }
    match kind {
        ResponseKind::StreamPurge => json.uint_field("purged", 0),
        ResponseKind::StreamRestore => json.string_field("deliver_subject", ""),
        ResponseKind::ConsumerPause => write_pause(&mut json, None),
        ResponseKind::ConsumerReset => json.uint_field("reset_seq", 0),
        _ => {}
    }
    end(json)
}

/// The answer to a request that has nothing to tell but that it worked.
pub fn success(kind: ResponseKind) -> Vec<u8> {
    let mut json = start(kind);
    if kind != ResponseKind::ConsumerUnpin {
        json.bool_field("success", true);
    }
    end(json)
}

/// The answer to a purge.
pub fn purged(count: u64) -> Vec<u8> {
    let mut json = start(ResponseKind::StreamPurge);
    json.bool_field("success", true);
    json.uint_field("purged", count);
    end(json)
}

/// The answer to a request for the account.
pub fn account_info(info: &AccountInfo<'_>) -> Vec<u8> {
    let mut json = start(ResponseKind::AccountInfo);
    info.write_fields(&mut json);
    end(json)
}

/// The answer to the creation of a stream, new or not.
pub fn stream_created(info: &StreamInfo<'_>) -> Vec<u8> {
    let mut json = start(ResponseKind::StreamCreate);
    info.write_fields(Notes::All, &mut json);
    json.bool_field("did_create", true);
    end(json)
}

/// The answer to the update of a stream.
pub fn stream_updated(info: &StreamInfo<'_>) -> Vec<u8> {
    let mut json = start(ResponseKind::StreamUpdate);
    info.write_fields(Notes::All, &mut json);
    end(json)
}

/// The answer to a request for a stream. The page is that of its subjects.
pub fn stream_info(info: &StreamInfo<'_>, page: Page) -> Vec<u8> {
    let mut json = start(ResponseKind::StreamInfo);
    page.write_fields(&mut json);
    info.write_fields(Notes::All, &mut json);
    end(json)
}

/// The answer to a request for the names of streams.
pub fn stream_names<'a>(page: Page, names: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut json = start(ResponseKind::StreamNames);
    page.write_fields(&mut json);
    json.key("streams");
    let mut names = names.into_iter().peekable();
    if names.peek().is_none() {
        // nats-server does so here, and in no other list.
        json.raw(b"null");
    } else {
        write_names(&mut json, names);
    }
    end(json)
}

/// The answer to a request for a list of streams.
pub fn stream_list<'a>(page: Page, streams: impl IntoIterator<Item = StreamInfo<'a>>) -> Vec<u8> {
    let mut json = start(ResponseKind::StreamList);
    page.write_fields(&mut json);
    json.key("streams");
    json.open_array();
    for stream in streams {
        json.open_object();
        stream.write_fields(Notes::Required, &mut json);
        json.close_object();
    }
    json.close_array();
    end(json)
}

/// The answer to a request for a message.
pub fn message(message: &StoredMessage<'_>) -> Vec<u8> {
    let mut json = start(ResponseKind::MessageGet);
    json.key("message");
    json.open_object();
    json.string_field("subject", message.subject);
    json.uint_field("seq", message.seq);
    for (key, bytes) in [("hdrs", message.headers), ("data", message.data)] {
        if !bytes.is_empty() {
            json.key(key);
            json.base64(bytes);
        }
    }
    json.time_field("time", message.time);
    json.close_object();
    end(json)
}

/// The answer to the creation or update of a consumer.
pub fn consumer_created(info: &ConsumerInfo<'_>) -> Vec<u8> {
    consumer(ResponseKind::ConsumerCreate, info)
}

/// The answer to a request for a consumer.
pub fn consumer_info(info: &ConsumerInfo<'_>) -> Vec<u8> {
    consumer(ResponseKind::ConsumerInfo, info)
}

fn consumer(kind: ResponseKind, info: &ConsumerInfo<'_>) -> Vec<u8> {
    let mut json = start(kind);
    info.write_fields(Some(Notes::All), &mut json);
    end(json)
}

/// The answer to the reset of a consumer.
pub fn consumer_reset(info: &ConsumerInfo<'_>, reset_seq: u64) -> Vec<u8> {
    let mut json = start(ResponseKind::ConsumerReset);
    info.write_fields(Some(Notes::All), &mut json);
    json.uint_field("reset_seq", reset_seq);
    end(json)
}

/// The answer to a request for the names of consumers.
pub fn consumer_names<'a>(page: Page, names: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut json = start(ResponseKind::ConsumerNames);
    page.write_fields(&mut json);
    json.key("consumers");
    write_names(&mut json, names);
    end(json)
}

fn write_names<'a>(json: &mut JsonWriter, names: impl IntoIterator<Item = &'a str>) {
    json.open_array();
    for name in names {
        json.string(name);
    }
    json.close_array();
}

/// The answer to a request for a list of consumers.
pub fn consumer_list<'a>(
    page: Page,
    consumers: impl IntoIterator<Item = ConsumerInfo<'a>>,
) -> Vec<u8> {
    let mut json = start(ResponseKind::ConsumerList);
    page.write_fields(&mut json);
    json.key("consumers");
    json.open_array();
    for consumer in consumers {
        json.open_object();
        consumer.write_fields(Some(Notes::Required), &mut json);
        json.close_object();
    }
    json.close_array();
    end(json)
}

/// The answer to a pause: until when and for how long, or that it is over.
pub fn consumer_paused(pause: Option<(Timestamp, Nanos)>) -> Vec<u8> {
    let mut json = start(ResponseKind::ConsumerPause);
    write_pause(&mut json, pause);
    end(json)
}

fn write_pause(json: &mut JsonWriter, pause: Option<(Timestamp, Nanos)>) {
    let (until, remaining) = pause.unwrap_or_default();
    json.bool_field("paused", remaining.0 > 0);
    json.time_field("pause_until", until);
    json.int_unless_zero("pause_remaining", remaining.0.max(0));
}
