//! `/subsz`: routing, and on request the subscriptions.

use crate::connz::number;
use crate::http::{Request, Response};
use crate::monitor::{View, begin_page, end_page, float_field};
use midge_engine::SubscriptionInfo;
use midge_proto::JsonWriter;

/// Subscriptions shown when the query names no limit.
const LIMIT_DEFAULT: usize = 1024;

/// Subscriptions shown at most, whatever the query says: the page is made on
/// the event loop.
pub(crate) const LIMIT_MAX: usize = 10_000;

/// Subscriptions compared with `test=` at most, for the same reason.
const TESTED_MAX: usize = 100_000;

/// One subscription in a list.
#[derive(Debug)]
pub(crate) struct SubscriptionDetail {
    pub(crate) account: &'static str,
    pub(crate) subject: String,
    pub(crate) qgroup: Option<String>,
    pub(crate) sid: String,
    pub(crate) msgs: u64,
    pub(crate) max: u64,
    pub(crate) cid: u64,
}

impl SubscriptionDetail {
    pub(crate) fn new(account: &'static str, cid: u64, sub: &SubscriptionInfo<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        SubscriptionDetail {
            account,
            subject: text(&sub.subject()),
            qgroup: sub.queue().map(text),
            sid: text(sub.sid()),
            msgs: sub.delivered(),
            max: sub.max(),
            cid,
        }
    }
}

pub(crate) fn page(view: &View<'_>, request: &Request) -> Response {
    let (offset, limit) = match (
        number(request, "offset", 0),
        number(request, "limit", LIMIT_DEFAULT),
    ) {
        (Ok(offset), Ok(limit)) => (offset, limit.min(LIMIT_MAX)),
        (Err(refusal), _) | (_, Err(refusal)) => return refusal,
    };
    let stats = view.engine.router_stats();
    let ratio = |part: u64, whole: u64| {
        if whole == 0 {
            0.0
        } else {
            part as f64 / whole as f64
        }
    };
    let wants_list = matches!(request.get("subs"), Some("1" | "true" | "detail"));
    let (total, list) = match wants_list {
        true => list(view, request.get("test"), offset, limit),
        false => (0, Vec::new()),
    };
    let mut json = begin_page(view);
    for (key, value) in [
        ("num_subscriptions", stats.subscriptions as u64),
        ("num_cache", stats.cached as u64),
        ("num_inserts", stats.inserts),
        ("num_removes", stats.removes),
        ("num_matches", stats.lookups),
        ("max_fanout", stats.max_fanout),
        ("total", total as u64),
        ("offset", offset as u64),
        ("limit", limit as u64),
    ] {
        json.uint_field(key, value);
    }
    let hit_rate = ratio(stats.cache_hits, stats.lookups);
    float_field(&mut json, "cache_hit_rate", hit_rate);
    let fanout = ratio(stats.deliveries, stats.lookups);
    float_field(&mut json, "avg_fanout", fanout);
    if wants_list {
        json.key("subscriptions_list");
        write_list(&mut json, &list);
    }
    end_page(json)
}

/// An array of subscriptions.
pub(crate) fn write_list(json: &mut JsonWriter, list: &[SubscriptionDetail]) {
    json.open_array();
    for sub in list {
        json.open_object();
        json.string_field("account", sub.account);
        json.string_field("subject", &sub.subject);
        if let Some(group) = &sub.qgroup {
            json.string_field("qgroup", group);
        }
        json.string_field("sid", &sub.sid);
        json.uint_field("msgs", sub.msgs);
        json.uint_unless_zero("max", sub.max);
        json.uint_field("cid", sub.cid);
        json.close_object();
    }
    json.close_array();
}

/// The subscriptions from `offset` on that would receive the subject `test`,
/// or all; and how many there are in all.
fn list(
    view: &View<'_>,
    test: Option<&str>,
    offset: usize,
    limit: usize,
) -> (usize, Vec<SubscriptionDetail>) {
    let test = test.filter(|subject| !subject.is_empty());
    let mut total = 0;
    let mut tested = 0;
    let mut shown = Vec::new();
    for session in view.engine.sessions() {
        let count = session.subscription_count();
        let is_beside = total + count <= offset || shown.len() == limit;
        if test.is_none() && is_beside {
            total += count;
            continue;
        }
        for sub in view.engine.subscriptions(session) {
            if let Some(subject) = test {
                tested += 1;
                if tested > TESTED_MAX {
                    return (total, shown);
                }
                if !midge_proto::matches(&sub.subject(), subject.as_bytes()) {
                    continue;
                }
            }
            if total >= offset && shown.len() < limit {
                let account = view.engine.account_name();
                shown.push(SubscriptionDetail::new(account, session.client_id(), &sub));
            }
            total += 1;
        }
    }
    (total, shown)
}
