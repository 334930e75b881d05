//! `/connz`: the connections, those that are and those that were.

use crate::closed_ring::ClosedConnection;
use crate::http::{Request, Response, Status};
use crate::monitor::{View, begin_page, end_page};
use crate::subsz::{self, LIMIT_MAX as SUBSCRIPTIONS_MAX, SubscriptionDetail};
use crate::timestamp::{go_duration, uptime};
use midge_engine::{Session, Time, Traffic};
use midge_proto::JsonWriter;
use std::cmp::Ordering;
use std::time::Duration;

/// Connections shown when the query names no limit.
const LIMIT_DEFAULT: usize = 1024;

/// Connections shown at most, whatever the query says: the page is made on
/// the event loop.
const LIMIT_MAX: usize = 10_000;

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
            Row::Open(session, _) => &session.options().user,
            Row::Closed(closed) => &closed.user,
        }
    }
}

pub(crate) fn page(view: &View<'_>, request: &Request) -> Response {
    match try_page(view, request) {
        Ok(page) | Err(page) => page,
    }
}

fn try_page(view: &View<'_>, request: &Request) -> Result<Response, Response> {
    let offset = number(request, "offset", 0)?;
    let limit = number(request, "limit", LIMIT_DEFAULT)?.clamp(1, LIMIT_MAX);
    let cid = match number(request, "cid", 0)? {
        0 => None,
        cid => Some(cid as u64),
    };
    let (with_open, with_closed) = match request.get("state").unwrap_or("open") {
        "" | "open" => (true, false),
        "closed" => (false, true),
        "any" | "all" => (true, true),
        other => return Err(refusal(format!("Error decoding state for {other}"))),
    };
    let mut rows: Vec<Row<'_>> = Vec::new();
    if with_open {
        rows.extend(view.engine.sessions().map(|session| {
            let connection = view.connections.get(session.conn());
            let pending = connection.map_or(0, |connection| connection.output.len());
            Row::Open(session, pending)
        }));
    }
    if with_closed {
        rows.extend(view.connections.closed_ring.iter().map(Row::Closed));
    }
    if let Some(user) = request.get("user") {
        rows.retain(|row| row.user() == user);
    }
    if let Some(account) = request.get("acc") {
        rows.retain(|_| account == view.engine.account_name());
    }
    if let Some(cid) = cid {
        rows.retain(|row| row.cid() == cid);
    }
    let with_open_only = with_open && !with_closed;
    sort(
        &mut rows,
        request.get("sort").unwrap_or("cid"),
        with_open_only,
    )?;
    let total = rows.len();
    let detail = Detail {
        names: matches!(request.get("subs"), Some("1" | "true")),
        subscriptions: request.get("subs") == Some("detail"),
        auth: matches!(request.get("auth"), Some("1" | "true")),
    };
    let mut budget = SUBSCRIPTIONS_MAX;
    let shown = rows.get(offset..).unwrap_or_default();
    let shown = &shown[..shown.len().min(limit)];
    let mut json = begin_page(view);
    for (key, value) in [
        ("num_connections", shown.len()),
        ("total", total),
        ("offset", offset),
        ("limit", limit),
    ] {
        json.uint_field(key, value as u64);
    }
    json.key("connections");
    json.open_array();
    for row in shown {
        json.open_object();
        describe(&mut json, view, row);
        write_detail(&mut json, view, row, &detail, &mut budget);
        json.close_object();
    }
    json.close_array();
    Ok(end_page(json))
}

/// Sorts as asked: counts and ages with the largest first, as the one who
/// looks is after the busiest.
fn sort(rows: &mut [Row<'_>], by: &str, open_only: bool) -> Result<(), Response> {
    if open_only && matches!(by, "stop" | "reason") {
        return Err(refusal(format!(
            "sort by {by} only valid on closed connections"
        )));
    }
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
    // Through a pointer: the sorting code is large, and this is one of it.
    rows.sort_by(order);
    Ok(())
}

/// What else to show of each connection.
struct Detail {
    names: bool,
    subscriptions: bool,
    auth: bool,
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
    json.string_field("start", &view.timestamp(row.started()));
    json.string_field("last_activity", &view.timestamp(row.last_activity()));
    if let Some(at) = row.stopped() {
        json.string_field("stop", &view.timestamp(at));
    }
    if let Some(reason) = row.reason() {
        json.string_field("reason", reason);
    }
    let end = row.stopped().unwrap_or(view.now);
    json.string_field("rtt", &go_duration(row.rtt()));
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
}

/// What is shown of a connection when it is asked for.
fn write_detail(
    json: &mut JsonWriter,
    view: &View<'_>,
    row: &Row<'_>,
    detail: &Detail,
    budget: &mut usize,
) {
    if detail.auth {
        json.string_unless_empty("authorized_user", row.user());
        json.string_field("account", view.engine.account_name());
    }
    let Row::Open(session, _) = row else {
        return;
    };
    if detail.subscriptions {
        json.key("subscriptions_list_detail");
        subsz::write_list(json, &subscriptions_of(view, session, budget));
    } else if detail.names {
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
    let account = view.engine.account_name();
    let list: Vec<_> = view
        .engine
        .subscriptions(session)
        .take(*budget)
        .map(|sub| SubscriptionDetail::new(account, session.client_id(), &sub))
        .collect();
    *budget -= list.len();
    list
}

/// A whole number of the query.
pub(crate) fn number(request: &Request, name: &str, default: usize) -> Result<usize, Response> {
    match request.get(name) {
        None | Some("") => Ok(default),
        Some(text) => text.parse().map_err(|_| {
            refusal(format!(
                "Error decoding int for '{name}': \"{text}\" is no number"
            ))
        }),
    }
}

fn refusal(text: String) -> Response {
    Response::text(Status::BadRequest, text)
}
