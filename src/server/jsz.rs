//! `/jsz`: streams and their consumers.
//!
//! The page is made on the event loop from what is in memory. It is bounded
//! twice: by the streams of one page, which `limit` and `offset` choose by
//! name, and by its length. A page that ends early for its length ends behind
//! a whole stream, so that who goes on at `offset` plus what was shown misses
//! none; only of a stream that fills a page by itself consumers are left out.
//! In nats-server `limit` and `offset` count accounts, of which there is one.

use crate::connz::number;
use crate::http::{Request, Response};
use crate::monitor::{View, flag, lay_out};
use midge_engine::StreamsTotals;
use midge_proto::api::{API_LEVEL, JsonWriter};
use serde_json::{Value, json};

/// Streams shown when the query names no limit.
const LIMIT_DEFAULT: usize = 1024;

/// Streams shown at most, whatever the query says.
const LIMIT_MAX: usize = 10_000;

/// The page ends with the stream that passes this length. Laid out for people
/// it is some half longer.
#[cfg(feature = "streams")]
const LEN_MAX: usize = 2 * 1024 * 1024;

/// What to show.
#[cfg_attr(not(feature = "streams"), allow(dead_code))]
struct Options {
    account: bool,
    streams: bool,
    consumers: bool,
    config: bool,
    raft: bool,
    offset: usize,
    limit: usize,
}

impl Options {
    fn read(view: &View<'_>, request: &Request) -> Result<Self, Response> {
        // There is one server, which leads everything.
        for ignored in ["leader-only", "stream-leader-only", "direct-consumers"] {
            flag(request, ignored)?;
        }
        let consumers = flag(request, "consumers")?;
        let streams = flag(request, "streams")? || consumers;
        let is_ours = request.get("acc") == Some(view.engine.account_name());
        let is_other = request.get("acc").is_some_and(|name| !name.is_empty()) && !is_ours;
        Ok(Options {
            account: (flag(request, "accounts")? || streams || is_ours) && !is_other,
            streams,
            consumers,
            config: flag(request, "config")?,
            raft: flag(request, "raft")?,
            offset: number(request, "offset", 0)?,
            limit: number(request, "limit", LIMIT_DEFAULT)?.clamp(1, LIMIT_MAX),
        })
    }
}

pub(crate) fn page(view: &View<'_>, request: &Request) -> Response {
    match Options::read(view, request) {
        Ok(options) => {
            let mut json = JsonWriter::new();
            json.open_object();
            write(view, &options, &mut json);
            json.close_object();
            Response::json(lay_out(&json.into_bytes()))
        }
        Err(refusal) => refusal,
    }
}

fn write(view: &View<'_>, options: &Options, json: &mut JsonWriter) {
    let totals = view.engine.streams_totals();
    let sums = totals.unwrap_or_default();
    write_fields(json, &stats(totals.as_ref()));
    json.string_field("server_id", &view.engine.info().server_id);
    json.string_field("now", &view.timestamp(view.now));
    json.flag("disabled", totals.is_none());
    json.key("config");
    json.raw(config(view).to_string().as_bytes());
    json.uint_field("streams", sums.streams);
    json.uint_field("consumers", sums.consumers);
    if options.raft && totals.is_some() {
        json.uint_field("streams_leader", sums.streams);
        json.uint_field("consumers_leader", sums.consumers);
    }
    json.uint_field("messages", sums.messages);
    json.uint_field("bytes", sums.memory + sums.storage);
    if options.account && totals.is_some() {
        json.key("account_details");
        json.open_array();
        json.open_object();
        let name = view.engine.account_name();
        json.string_field("name", name);
        json.string_field("id", name);
        write_fields(json, &stats(totals.as_ref()));
        #[cfg(feature = "streams")]
        if options.streams {
            details::write(view, options, json);
        }
        json.close_object();
        json.close_array();
    }
    json.uint_field("total", u64::from(totals.is_some()));
}

fn write_fields(json: &mut JsonWriter, fields: &Value) {
    for (key, value) in fields.as_object().into_iter().flatten() {
        json.key(key);
        json.raw(value.to_string().as_bytes());
    }
}

/// What `/varz` says of streams.
pub(crate) fn varz(view: &View<'_>) -> Value {
    match view.engine.streams_totals() {
        Some(totals) => json!({ "config": config(view), "stats": stats(Some(&totals)) }),
        None => json!({}),
    }
}

/// How streams are set up. There are no limits, which is -1 as in the API.
fn config(view: &View<'_>) -> Value {
    match view.disk {
        Some(disk) => json!({
            "max_memory": -1,
            "max_storage": -1,
            "store_dir": disk.path().to_string_lossy(),
            "sync_always": true,
        }),
        None => json!({ "max_memory": 0, "max_storage": 0 }),
    }
}

fn stats(totals: Option<&StreamsTotals>) -> Value {
    let sums = totals.copied().unwrap_or_default();
    json!({
        "memory": sums.memory,
        "storage": sums.storage,
        "reserved_memory": sums.reserved_memory,
        "reserved_storage": sums.reserved_storage,
        "accounts": u64::from(totals.is_some()),
        "ha_assets": 0,
        "api": {
            "level": if totals.is_some() { API_LEVEL } else { 0 },
            "total": sums.api_total,
            "errors": sums.api_errors,
        },
    })
}

/// The streams one by one.
#[cfg(feature = "streams")]
mod details {
    use super::{LEN_MAX, Options, View};
    use midge_engine::StreamView;
    use midge_proto::api::JsonWriter;

    pub(super) fn write(view: &View<'_>, options: &Options, json: &mut JsonWriter) {
        let Some(streams) = view.engine.streams() else {
            return;
        };
        json.key("stream_detail");
        json.open_array();
        let end = options.offset.saturating_add(options.limit);
        for stream in streams.by_name(options.offset, end) {
            if json.len() > LEN_MAX {
                break;
            }
            write_stream(view, options, stream, json);
        }
        json.close_array();
    }

    fn write_stream(
        view: &View<'_>,
        options: &Options,
        stream: StreamView<'_>,
        json: &mut JsonWriter,
    ) {
        json.open_object();
        json.string_field("name", stream.name());
        json.time_field("created", stream.created());
        json.key("cluster");
        json.open_object();
        json.string_field("leader", &view.engine.info().server_name);
        json.close_object();
        if options.config {
            json.key("config");
            stream.config().write_json(json);
        }
        json.key("state");
        stream.state().write_json(json);
        if options.consumers {
            write_consumers(options, stream, json);
        }
        json.close_object();
    }

    fn write_consumers(options: &Options, stream: StreamView<'_>, json: &mut JsonWriter) {
        // One stream more than fits may be long, but not without end.
        let len_max = json.len() + LEN_MAX;
        let mut consumers = stream.consumers().peekable();
        if consumers.peek().is_none() {
            return;
        }
        json.key("consumer_detail");
        json.open_array();
        for consumer in consumers {
            if json.len() > len_max {
                break;
            }
            json.open_object();
            consumer.info().write(options.config, json);
            json.close_object();
        }
        json.close_array();
    }
}
