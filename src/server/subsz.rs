//! `/subsz`: routing, and on request the subscriptions.

use crate::connz::number;
use crate::http::{Request, Response};
use crate::monitor::{View, json_page};
use midge_engine::SubscriptionInfo;
use serde::Serialize;
use serde_json::json;

/// Subscriptions shown when the query names no limit.
const LIMIT_DEFAULT: usize = 1024;

/// Subscriptions shown at most, whatever the query says: the page is made on
/// the event loop.
pub(crate) const LIMIT_MAX: usize = 10_000;

/// Subscriptions compared with `test=` at most, for the same reason.
const TESTED_MAX: usize = 100_000;

/// One subscription in a list.
#[derive(Debug, Serialize)]
pub(crate) struct SubscriptionDetail {
    pub(crate) account: &'static str,
    pub(crate) subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) qgroup: Option<String>,
    pub(crate) sid: String,
    pub(crate) msgs: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) max: u64,
    pub(crate) cid: u64,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
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
    let mut page = json!({
        "server_id": view.engine.info().server_id,
        "now": view.timestamp(view.now),
        "num_subscriptions": stats.subscriptions,
        "num_cache": stats.cached,
        "num_inserts": stats.inserts,
        "num_removes": stats.removes,
        "num_matches": stats.lookups,
        "cache_hit_rate": ratio(stats.cache_hits, stats.lookups),
        "max_fanout": stats.max_fanout,
        "avg_fanout": ratio(stats.deliveries, stats.lookups),
        "total": 0,
        "offset": offset,
        "limit": limit,
    });
    if matches!(request.get("subs"), Some("1" | "true" | "detail")) {
        let (total, list) = list(view, request.get("test"), offset, limit);
        page["total"] = json!(total);
        page["subscriptions_list"] = json!(list);
    }
    json_page(&page)
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
