//! `/jsz`: streams and their consumers.
//!
//! The page is made on the event loop from what is in memory. It is bounded
//! twice: by the streams of one page, which `limit` and `offset` choose by
//! name, and by its length. A page that ends early for its length ends behind
//! a whole stream, so that who goes on at `offset` plus what was shown misses
//! none; only of a stream that fills a page by itself consumers are left out.
//! In nats-server `limit` and `offset` count accounts, of which there are few.

use crate::http::Response;
use crate::monitor::{Made, View, begin_page, end_page};
use crate::query::{Query, refusal};
use midge_api::json::Strictness;
use midge_api::{JsonWriter, ServerLimits};
use midge_engine::StreamsTotals;
use midge_proto::API_LEVEL;

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
struct Options<'a> {
    account: bool,
    /// Of this account alone.
    only: &'a str,
    streams: bool,
    consumers: bool,
    config: bool,
    raft: bool,
    offset: usize,
    limit: usize,
}

impl<'a> Options<'a> {
    fn read(view: &View<'_>, query: &'a Query) -> Result<Self, Response> {
        // There is one server, which leads everything.
        for ignored in ["leader-only", "stream-leader-only", "direct-consumers"] {
            query.flag(ignored)?;
        }
        let consumers = query.flag("consumers")?;
        let streams = query.flag("streams")? || consumers;
        let only = query.text("acc");
        let is_known = view.engine.account_named(only).is_some();
        let wants_accounts = query.flag("accounts")? || streams || is_known;
        Ok(Options {
            account: wants_accounts && (is_known || only.is_empty()),
            only,
            streams,
            consumers,
            config: query.flag("config")?,
            raft: query.flag("raft")?,
            offset: query.count("offset")?,
            limit: query.limit(LIMIT_DEFAULT, LIMIT_MAX)?,
        })
    }
}

pub(crate) fn page(view: &View<'_>, query: &Query) -> Made {
    let options = Options::read(view, query)?;
    let mut json = begin_page(view);
    write(view, &options, &mut json);
    Ok(end_page(json))
}

/// One account that has streams, by itself.
pub(crate) fn of_account(view: &View<'_>, query: &Query) -> Made {
    let options = Options::read(view, query)?;
    #[cfg_attr(not(feature = "streams"), allow(unused_mut))]
    let mut json = JsonWriter::new();
    #[cfg(feature = "streams")]
    if let Some(streams) = view.engine.streams() {
        details::write_accounts(view, &options, &streams, &mut json);
    }
    match json.is_empty() {
        true => Err(refusal(format!(
            "account {:?} not jetstream enabled",
            options.only
        ))),
        false => Ok(Response::json(json.into_bytes())),
    }
}

fn write(view: &View<'_>, options: &Options<'_>, json: &mut JsonWriter) {
    let totals = view.engine.streams_totals();
    let sums = totals.unwrap_or_default();
    write_stats(json, totals.as_ref());
    json.flag("disabled", totals.is_none());
    json.key("config");
    write_config(json, view);
    json.uint_field("streams", sums.streams);
    json.uint_field("consumers", sums.consumers);
    if options.raft && totals.is_some() {
        json.uint_field("streams_leader", sums.streams);
        json.uint_field("consumers_leader", sums.consumers);
    }
    json.uint_field("messages", sums.messages);
    json.uint_field("bytes", sums.memory + sums.storage);
    #[cfg(feature = "streams")]
    if options.account {
        details::write(view, options, json);
    }
    json.uint_field("total", sums.accounts);
}

/// What `/varz` says of streams.
pub(crate) fn write_varz(json: &mut JsonWriter, view: &View<'_>) {
    json.open_object();
    if let Some(totals) = view.engine.streams_totals() {
        json.key("config");
        write_config(json, view);
        json.key("stats");
        json.open_object();
        write_stats(json, Some(&totals));
        json.close_object();
    }
    json.close_object();
}

/// How streams are set up.
fn write_config(json: &mut JsonWriter, view: &View<'_>) {
    let rules = view.engine.stream_rules();
    // No limit is -1, as in the API.
    let limit = |most: fn(&ServerLimits) -> u64| match rules {
        None => 0,
        Some((limits, _)) if most(limits) == 0 => -1,
        Some((limits, _)) => i64::try_from(most(limits)).unwrap_or(i64::MAX),
    };
    json.open_object();
    json.int_field("max_memory", limit(|limits| limits.max_memory));
    json.int_field("max_storage", limit(|limits| limits.max_storage));
    if let Some(disk) = view.disk {
        json.string_field("store_dir", &disk.path().to_string_lossy());
        json.bool_field("sync_always", true);
    }
    let domain = &view.engine.info().domain;
    if !domain.is_empty() {
        json.string_field("domain", domain);
    }
    let is_strict = rules.is_some_and(|(_, strictness)| strictness == Strictness::Strict);
    json.flag("strict", is_strict);
    json.close_object();
}

fn write_stats(json: &mut JsonWriter, totals: Option<&StreamsTotals>) {
    let sums = totals.copied().unwrap_or_default();
    for (key, value) in [
        ("memory", sums.memory),
        ("storage", sums.storage),
        ("reserved_memory", sums.reserved_memory),
        ("reserved_storage", sums.reserved_storage),
        ("accounts", sums.accounts),
        ("ha_assets", 0),
    ] {
        json.uint_field(key, value);
    }
    json.key("api");
    json.open_object();
    let level = if totals.is_some() { API_LEVEL } else { 0 };
    json.uint_field("level", level.into());
    json.uint_field("total", sums.api_total);
    json.uint_field("errors", sums.api_errors);
    json.close_object();
}

/// The streams one by one.
#[cfg(feature = "streams")]
mod details {
    use super::{LEN_MAX, Options, View, write_stats};
    use midge_api::metadata::Notes;
    use midge_api::{AccountInfo, JsonWriter};
    use midge_engine::{StreamView, StreamsTotals, StreamsView};

    pub(super) fn write(view: &View<'_>, options: &Options<'_>, json: &mut JsonWriter) {
        let Some(streams) = view.engine.streams() else {
            return;
        };
        json.key("account_details");
        json.open_array();
        write_accounts(view, options, &streams, json);
        json.close_array();
    }

    /// An object for each account.
    pub(super) fn write_accounts(
        view: &View<'_>,
        options: &Options<'_>,
        streams: &StreamsView<'_>,
        json: &mut JsonWriter,
    ) {
        // The streams of all accounts are counted through.
        let (mut skip, mut left) = (options.offset, options.limit);
        for (account, info) in streams.accounts() {
            let name = view.engine.account_name(account);
            if !options.only.is_empty() && options.only != name {
                continue;
            }
            json.open_object();
            json.string_field("name", name);
            json.string_field("id", name);
            write_stats(json, Some(&totals_of(&info)));
            if options.streams {
                json.key("stream_detail");
                json.open_array();
                for stream in streams.of_account(account).skip(skip).take(left) {
                    if json.len() > LEN_MAX {
                        left = 0;
                        break;
                    }
                    left -= 1;
                    write_stream(view, options, stream, json);
                }
                skip = skip.saturating_sub(info.streams as usize);
                json.close_array();
            }
            json.close_object();
        }
    }

    fn totals_of(info: &AccountInfo<'_>) -> StreamsTotals {
        StreamsTotals {
            accounts: 1,
            memory: info.memory,
            storage: info.storage,
            reserved_memory: info.reserved_memory,
            reserved_storage: info.reserved_storage,
            api_total: info.api_total,
            api_errors: info.api_errors,
            ..StreamsTotals::default()
        }
    }

    fn write_stream(
        view: &View<'_>,
        options: &Options<'_>,
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
            stream.config().write_json(Notes::Required, json);
        }
        json.key("state");
        stream.state().write_json(json);
        if options.consumers {
            write_consumers(options, stream, json);
        }
        json.close_object();
    }

    fn write_consumers(options: &Options<'_>, stream: StreamView<'_>, json: &mut JsonWriter) {
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
            let notes = options.config.then_some(Notes::Required);
            consumer.info().write_fields(notes, json);
            json.close_object();
        }
        json.close_array();
    }
}
