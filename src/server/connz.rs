//! `/connz`: the connections, those that are and those that were.

use crate::closed_ring::ClosedConnection;
use crate::http::Response;
use crate::monitor::{Made, View, begin_page, end_page};
use crate::query::{Query, refusal};
use crate::subsz::{self, LIMIT_MAX as SUBSCRIPTIONS_MAX, SubscriptionDetail, TESTED_MAX};
use crate::timestamp::uptime;
use crate::tls;
use midge_engine::{AccountId, Session, Time, Traffic, in_order};
use midge_proto::{JsonWriter, Nanos};
use std::cmp::Ordering;
use std::time::Duration;

/// Connections shown when the query names no limit.
const LIMIT_DEFAULT: usize = 1024;

/// Connections shown at most, whatever the query says: the page is made on
/// the event loop, and each takes some four microseconds. Who wants more asks
/// again, with `offset`.
const LIMIT_MAX: usize = 4096;

/// A connection to be shown, and what it is sorted by.
enum Row<'a> {
    Open(&'a Session, usize),
    Closed(&'a ClosedConnection),
}

impl Row<'_> {
    fn cid(&self) -> u64 {
        match self {
            Row::Open(session, _) => session.client_id(),
            Row::Closed(closed) => closed.client_id,
        }
    }

    fn account(&self) -> AccountId {
        match self {
            Row::Open(session, _) => session.account(),
            Row::Closed(closed) => closed.account,
        }
    }

    fn traffic(&self) -> Traffic {
        match self {
            Row::Open(session, _) => session.traffic(),
            Row::Closed(closed) => closed.traffic,
        }
    }

    fn started(&self) -> Time {
        match self {
            Row::Open(session, _) => session.started(),
            Row::Closed(closed) => closed.started,
        }
    }

    fn last_activity(&self) -> Time {
        match self {
            Row::Open(session, _) => session.last_activity(),
            Row::Closed(closed) => closed.last_activity,
        }
    }

    fn stopped(&self) -> Option<Time> {
        match self {
            Row::Open(..) => None,
            Row::Closed(closed) => Some(closed.stopped),
        }
    }

    fn reason(&self) -> Option<&'static str> {
        match self {
            Row::Open(..) => None,
            Row::Closed(closed) => Some(closed.reason.as_str()),
        }
    }

    fn pending_bytes(&self) -> usize {
        match self {
            Row::Open(_, pending) => *pending,
            Row::Closed(closed) => closed.pending_bytes,
        }
    }

    fn subscriptions(&self) -> usize {
        match self {
            Row::Open(session, _) => session.subscription_count(),
            Row::Closed(_) => 0,
        }
    }

    fn rtt(&self) -> Duration {
        match self {
            Row::Open(session, _) => session.rtt(),
            Row::Closed(closed) => closed.rtt,
        }
        .unwrap_or_default()
    }

    fn user(&self) -> &str {
        match self {
            Row::Open(session, _) => session.user_name(),
            Row::Closed(closed) => &closed.user,
        }
    }
}

/// Which connections are shown, and what of them.
struct Options<'a> {
    offset: usize,
    limit: usize,
    /// Only this one.
    cid: Option<u64>,
    with_open: bool,
    with_closed: bool,
    sort: &'a str,
    // Only those of whom this is true, unless it is empty.
    user: &'a str,
    account: &'a str,
    filter_subject: &'a str,
    mqtt_client: &'a str,
    /// The subjects of their subscriptions.
    with_subjects: bool,
    /// All about their subscriptions.
    with_subscriptions: bool,
    /// Who they are.
    with_user: bool,
}

impl<'a> Options<'a> {
    fn read(query: &'a Query) -> Result<Self, Response> {
        let state = query.text("state");
        let (with_open, with_closed) = match state.to_ascii_lowercase().as_str() {
            "" | "open" => (true, false),
            "closed" => (false, true),
            "any" | "all" => (true, true),
            _ => return Err(refusal(format!("Error decoding state for {state}"))),
        };
        let with_subscriptions = query.text("subs").eq_ignore_ascii_case("detail");
        let sort = query.text("sort");
        if with_open && matches!(sort, "stop" | "reason") {
            return Err(refusal(format!(
                "sort by {sort} only valid on closed connections"
            )));
        }
        Ok(Options {
            offset: query.count("offset")?,
            limit: query.limit(LIMIT_DEFAULT, LIMIT_MAX)?,
            cid: query.id("cid")?,
            with_open,
            with_closed,
            sort,
            user: query.text("user"),
            account: query.text("acc"),
            filter_subject: query.text("filter_subject"),
            mqtt_client: query.text("mqtt_client"),
            with_subjects: !with_subscriptions && query.flag("subs")?,
            with_subscriptions,
            with_user: query.flag("auth")?,
        })
    }

    /// The connections that are asked for.
    fn rows<'v>(&self, view: &View<'v>) -> Vec<Row<'v>> {
        let mut rows = Vec::new();
        // None of the clients speaks MQTT.
        if !self.mqtt_client.is_empty() {
            return rows;
        }
        // A client sees its own account only, so the rest is left out first.
        let account = view.engine.account_named(self.account);
        let is_in = |one| self.account.is_empty() || Some(one) == account;
        let accounts = view.engine.accounts();
        for account in accounts.filter(|one| self.with_open && is_in(*one)) {
            let sessions = view.engine.sessions_of(account);
            rows.extend(sessions.map(|session| {
                let connection = view.connections.get(session.conn());
                let pending = connection.map_or(0, |connection| connection.output.len());
                Row::Open(session, pending)
            }));
        }
        if self.with_closed {
            let closed = view.connections.closed_ring.iter();
            let closed = closed.filter(|closed| is_in(closed.account));
            rows.extend(closed.map(Row::Closed));
        }
        if self.cid.is_some() || !self.user.is_empty() {
            rows.retain(|row| {
                self.cid.is_none_or(|cid| row.cid() == cid)
                    && (self.user.is_empty() || row.user() == self.user)
            });
        }
        if !self.filter_subject.is_empty() {
            let mut budget = TESTED_MAX;
            let filter = self.filter_subject.as_bytes();
            rows.retain(|row| listens(view, row, filter, &mut budget));
        }
        rows
    }
}

/// Whether a client has a subscription that may receive what the filter
/// stands for.
fn listens(view: &View<'_>, row: &Row<'_>, filter: &[u8], budget: &mut usize) -> bool {
    let Row::Open(session, _) = row else {
        return false;
    };
    let mut subscriptions = view.engine.subscriptions(session);
    subscriptions.any(|sub| {
        let is_looked_at = *budget > 0;
        *budget = budget.saturating_sub(1);
        is_looked_at && midge_proto::subjects_collide(&sub.subject(), filter)
    })
}

pub(crate) fn page(view: &View<'_>, query: &Query) -> Made {
    let options = Options::read(query)?;
    let rows = options.rows(view);
    let rows = sorted(&rows, options.sort)?;
    let shown = rows.get(options.offset..).unwrap_or_default();
    let shown = &shown[..shown.len().min(options.limit)];
    let mut json = begin_page(view);
    for (key, value) in [
        ("num_connections", shown.len()),
        ("total", rows.len()),
        ("offset", options.offset),
        ("limit", options.limit),
    ] {
        json.uint_field(key, value as u64);
    }
    json.key("connections");
    json.open_array();
    let mut budget = SUBSCRIPTIONS_MAX;
    for row in shown {
        json.open_object();
        describe(&mut json, view, row);
        write_detail(&mut json, view, row, &options, &mut budget);
        json.close_object();
    }
    json.close_array();
    Ok(end_page(json))
}

/// Sorts as asked: counts and ages with the largest first, as the one who
/// looks is after the busiest.
fn sorted<'r, 'v>(rows: &'r [Row<'v>], by: &str) -> Result<Vec<&'r Row<'v>>, Response> {
    let order: fn(&Row<'_>, &Row<'_>) -> Ordering = match by {
        "" | "cid" => |a, b| a.cid().cmp(&b.cid()),
        "start" | "uptime" => |a, b| a.started().cmp(&b.started()),
        "subs" => |a, b| b.subscriptions().cmp(&a.subscriptions()),
        "pending" => |a, b| b.pending_bytes().cmp(&a.pending_bytes()),
        "msgs_to" => |a, b| b.traffic().out_msgs.cmp(&a.traffic().out_msgs),
        "msgs_from" => |a, b| b.traffic().in_msgs.cmp(&a.traffic().in_msgs),
        "bytes_to" => |a, b| b.traffic().out_bytes.cmp(&a.traffic().out_bytes),
        "bytes_from" => |a, b| b.traffic().in_bytes.cmp(&a.traffic().in_bytes),
        "last" => |a, b| b.last_activity().cmp(&a.last_activity()),
        "idle" => |a, b| a.last_activity().cmp(&b.last_activity()),
        "rtt" => |a, b| b.rtt().cmp(&a.rtt()),
        "stop" => |a, b| b.stopped().cmp(&a.stopped()),
        "reason" => |a, b| a.reason().cmp(&b.reason()),
        other => return Err(refusal(format!("invalid sorting option: {other}"))),
    };
    let places = in_order(rows.len(), &|a, b| order(&rows[a], &rows[b]));
    Ok(places.into_iter().map(|at| &rows[at]).collect())
}

fn describe(json: &mut JsonWriter, view: &View<'_>, row: &Row<'_>) {
    json.uint_field("cid", row.cid());
    json.string_field("kind", "Client");
    json.string_field("type", "nats");
    let (port, names) = match row {
        Row::Open(session, _) => {
            let (peer, options) = (session.peer(), session.options());
            json.string_field("ip", &peer.ip().to_string());
            (
                peer.port(),
                [&options.name, &options.lang, &options.version],
            )
        }
        Row::Closed(closed) => {
            json.string_field("ip", &closed.ip);
            (closed.port, [&closed.name, &closed.lang, &closed.version])
        }
    };
    json.uint_field("port", port.into());
    json.time_field("start", view.timestamp(row.started()));
    json.time_field("last_activity", view.timestamp(row.last_activity()));
    if let Some(at) = row.stopped() {
        json.time_field("stop", view.timestamp(at));
    }
    if let Some(reason) = row.reason() {
        json.string_field("reason", reason);
    }
    let end = row.stopped().unwrap_or(view.now);
    json.key("rtt");
    json.display(&Nanos::from(row.rtt()));
    json.string_field("uptime", &uptime(end - row.started()));
    json.string_field("idle", &uptime(end - row.last_activity()));
    let traffic = row.traffic();
    for (key, value) in [
        ("pending_bytes", row.pending_bytes() as u64),
        ("in_msgs", traffic.in_msgs),
        ("out_msgs", traffic.out_msgs),
        ("in_bytes", traffic.in_bytes),
        ("out_bytes", traffic.out_bytes),
        ("subscriptions", row.subscriptions() as u64),
    ] {
        json.uint_field(key, value);
    }
    for (key, name) in ["name", "lang", "version"].into_iter().zip(names) {
        json.string_unless_empty(key, name);
    }
    if let Row::Open(session, _) = row {
        tls::write_connz(json, view, session.conn());
    }
}

/// What is shown of a connection when it is asked for.
fn write_detail(
    json: &mut JsonWriter,
    view: &View<'_>,
    row: &Row<'_>,
    options: &Options<'_>,
    budget: &mut usize,
) {
    if options.with_user {
        let account = view.engine.account_name(row.account());
        json.string_unless_empty("authorized_user", row.user());
        if row.account() != AccountId::GLOBAL {
            json.string_field("account", account);
        }
        json.string_field("name_tag", account);
    }
    let Row::Open(session, _) = row else {
        return;
    };
    if options.with_subscriptions {
        json.key("subscriptions_list_detail");
        subsz::write_list(json, &subscriptions_of(view, session, budget), false);
    } else if options.with_subjects {
        json.key("subscriptions_list");
        json.open_array();
        for sub in subscriptions_of(view, session, budget) {
            json.string(&sub.subject);
        }
        json.close_array();
    }
}

fn subscriptions_of(
    view: &View<'_>,
    session: &Session,
    budget: &mut usize,
) -> Vec<SubscriptionDetail> {
    let account = view.engine.account_name(session.account());
    let list: Vec<_> = view
        .engine
        .subscriptions(session)
        .take(*budget)
        .map(|sub| SubscriptionDetail::new(account, session.client_id(), &sub))
        .collect();
    *budget -= list.len();
    list
}
