//! `/varz`: the server at a glance.

use crate::http::Response;
use crate::jsz;
use crate::monitor::{View, json_page};
use crate::timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

/// The page. Durations are in nanoseconds, but for `auth_timeout`, which is
/// in seconds; monitoring tools read it so.
#[derive(Serialize)]
struct Varz<'a> {
    server_id: &'a str,
    server_name: &'a str,
    version: &'a str,
    midge_version: &'a str,
    proto: u8,
    host: &'a str,
    port: u16,
    auth_required: bool,
    max_connections: usize,
    max_subscriptions: usize,
    max_payload: usize,
    max_control_line: usize,
    max_pending: usize,
    ping_interval: u64,
    ping_max: u32,
    auth_timeout: f64,
    write_deadline: u64,
    http_host: String,
    http_port: u16,
    https_port: u16,
    start: String,
    config_load_time: String,
    now: String,
    uptime: String,
    mem: u64,
    cores: usize,
    cpu: f64,
    connections: usize,
    total_connections: u64,
    routes: u64,
    remotes: u64,
    leafnodes: u64,
    in_msgs: u64,
    in_bytes: u64,
    out_msgs: u64,
    out_bytes: u64,
    slow_consumers: u64,
    slow_consumer_stats: ByKind,
    stale_connections: u64,
    stale_connection_stats: ByKind,
    stalled_clients: u64,
    subscriptions: usize,
    http_req_stats: &'a BTreeMap<&'static str, u64>,
    jetstream: serde_json::Value,
    cluster: Absent,
    gateway: Absent,
    leaf: Absent,
    mqtt: Absent,
    websocket: Absent,
}

/// A count by kind of connection. There are only clients here.
#[derive(Serialize)]
struct ByKind {
    clients: u64,
    routes: u64,
    gateways: u64,
    leafs: u64,
}

impl ByKind {
    fn clients(clients: u64) -> Self {
        ByKind {
            clients,
            routes: 0,
            gateways: 0,
            leafs: 0,
        }
    }
}

/// What tools expect an object for, and what is not here.
#[derive(Serialize)]
struct Absent {}

pub(crate) fn page(view: &View<'_>) -> Response {
    let info = view.engine.info();
    let limits = view.engine.limits();
    let stats = view.engine.stats();
    let monitor = view.monitor;
    let http = monitor.http_address;
    let started = view.timestamp(monitor.started);
    json_page(&Varz {
        server_id: &info.server_id,
        server_name: &info.server_name,
        version: info.version,
        midge_version: env!("CARGO_PKG_VERSION"),
        proto: info.proto,
        host: &info.host,
        port: info.port,
        auth_required: info.auth_required,
        max_connections: limits.max_connections,
        max_subscriptions: limits.max_subscriptions,
        max_payload: limits.frame.max_payload,
        max_control_line: limits.frame.max_control_line,
        max_pending: limits.max_pending,
        ping_interval: limits.ping_interval.as_nanos() as u64,
        ping_max: limits.ping_max,
        auth_timeout: limits.auth_timeout.as_secs_f64(),
        write_deadline: monitor.write_deadline_nanos,
        http_host: http.map_or_else(String::new, |address| address.ip().to_string()),
        http_port: http.map_or(0, |address| address.port()),
        https_port: 0,
        config_load_time: started.clone(),
        start: started,
        now: view.timestamp(view.now),
        uptime: timestamp::uptime(view.now - monitor.started),
        mem: monitor.usage().resident_bytes,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        cpu: (monitor.cpu_percent() * 10.0).round() / 10.0,
        connections: view.engine.session_count(),
        total_connections: stats.total_connections,
        routes: 0,
        remotes: 0,
        leafnodes: 0,
        in_msgs: stats.in_msgs,
        in_bytes: stats.in_bytes,
        out_msgs: stats.out_msgs,
        out_bytes: stats.out_bytes,
        slow_consumers: stats.slow_consumers(),
        slow_consumer_stats: ByKind::clients(stats.slow_consumers()),
        stale_connections: stats.stale_connections,
        stale_connection_stats: ByKind::clients(stats.stale_connections),
        stalled_clients: stats.stalls,
        subscriptions: view.engine.router_stats().subscriptions,
        http_req_stats: monitor.requests(),
        jetstream: jsz::varz(view),
        cluster: Absent {},
        gateway: Absent {},
        leaf: Absent {},
        mqtt: Absent {},
        websocket: Absent {},
    })
}
