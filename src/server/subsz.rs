//! `/subsz`: routing, and on request the subscriptions.

use crate::monitor::{Made, View, begin_page, end_page, float_field};
use crate::query::{Query, refusal};
use midge_engine::{AccountId, RouterStats, Session, SubscriptionInfo};
use midge_proto::JsonWriter;

/// Subscriptions shown when the query names no limit.
const LIMIT_DEFAULT: usize = 1024;

/// Subscriptions shown at most, whatever the query says: the page is made on
/// the event loop.
pub(crate) const LIMIT_MAX: usize = 10_000;

/// Subscriptions compared with a subject at most, for the same reason.
pub(crate) const TESTED_MAX: usize = 100_000;

/// One subscription in a list.
#[derive(Debug)]
pub(crate) struct SubscriptionDetail {
    pub(crate) account: String,
    pub(crate) subject: String,
    pub(crate) qgroup: Option<String>,
    pub(crate) sid: String,
    pub(crate) msgs: u64,
    pub(crate) max: u64,
    pub(crate) cid: u64,
}

impl SubscriptionDetail {
    pub(crate) fn new(account: &str, cid: u64, sub: &SubscriptionInfo<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        SubscriptionDetail {
            account: account.to_owned(),
            subject: text(&sub.subject()),
            qgroup: sub.queue().map(text),
            sid: text(sub.sid()),
            msgs: sub.delivered(),
            max: sub.max(),
            cid,
        }
    }
}

pub(crate) fn page(view: &View<'_>, query: &Query) -> Made {
    let (offset, limit) = (
        query.count("offset")?,
        query.limit(LIMIT_DEFAULT, LIMIT_MAX)?,
    );
    let (account, test) = (query.text("acc"), query.text("test"));
    if !test.is_empty() && !midge_proto::is_literal(test.as_bytes()) {
        return Err(refusal(format!(
            "invalid test subject, must be valid publish subject: {test}"
        )));
    }
    let only = view.engine.account_named(account);
    let is_known = account.is_empty() || only.is_some();
    let wants_list = query.flag("subs")? && is_known;
    let (total, list) = match wants_list {
        true => list(view, only, test, offset, limit),
        false => (0, Vec::new()),
    };
    let mut json = begin_page(view);
    write_stats(
        &mut json,
        &match only {
            Some(account) => view.engine.account_stats(account).router,
            None if is_known => view.engine.router_stats(),
            None => RouterStats::default(),
        },
    );
    for (key, value) in [("total", total), ("offset", offset), ("limit", limit)] {
        json.uint_field(key, value as u64);
    }
    if wants_list {
        json.key("subscriptions_list");
        write_list(&mut json, &list, true);
    }
    Ok(end_page(json))
}

/// What the router counts.
pub(crate) fn write_stats(json: &mut JsonWriter, stats: &RouterStats) {
    for (key, value) in [
        ("num_subscriptions", stats.subscriptions as u64),
        ("num_cache", stats.cached as u64),
        ("num_inserts", stats.inserts),
        ("num_removes", stats.removes),
        ("num_matches", stats.lookups),
        ("max_fanout", stats.max_fanout),
    ] {
        json.uint_field(key, value);
    }
    let each = |part: u64| part as f64 / stats.lookups.max(1) as f64;
    float_field(json, "cache_hit_rate", each(stats.cache_hits));
    float_field(json, "avg_fanout", each(stats.deliveries));
}

/// An array of subscriptions, each with its account or without.
pub(crate) fn write_list(json: &mut JsonWriter, list: &[SubscriptionDetail], with_account: bool) {
    json.open_array();
    for sub in list {
        json.open_object();
        if with_account {
            json.string_field("account", &sub.account);
            json.string_field("account_tag", &sub.account);
        }
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

/// Whether a session is in an account, if one is named.
fn is_in(session: &Session, account: Option<AccountId>) -> bool {
    account.is_none_or(|account| session.account() == account)
}

/// The subscriptions from `offset` on that would receive the subject `test`,
/// or all if that is empty; and how many there are in all.
fn list(
    view: &View<'_>,
    only: Option<AccountId>,
    test: &str,
    offset: usize,
    limit: usize,
) -> (usize, Vec<SubscriptionDetail>) {
    let mut total = 0;
    let mut tested = 0;
    let mut shown = Vec::new();
    let mut sessions = view.engine.sessions();
    while let Some(session) = sessions.find(|session| is_in(session, only)) {
        let count = session.subscription_count();
        let is_beside = total + count <= offset || shown.len() == limit;
        if test.is_empty() && is_beside {
            total += count;
            continue;
        }
        for sub in view.engine.subscriptions(session) {
            if !test.is_empty() {
                tested += 1;
                if tested > TESTED_MAX {
                    return (total, shown);
                }
                if !midge_proto::matches(&sub.subject(), test.as_bytes()) {
                    continue;
                }
            }
            if total >= offset && shown.len() < limit {
                let account = view.engine.account_name(session.account());
                shown.push(SubscriptionDetail::new(account, session.client_id(), &sub));
            }
            total += 1;
        }
    }
    (total, shown)
}
