//! `/varz`: the server at a glance.

use crate::http::Response;
use crate::jsz;
use crate::monitor::{View, begin_page, end_page, float_field};
use crate::process::cores;
use crate::{timestamp, tls};
use midge_engine::AccountId;
use midge_proto::{JsonWriter, TlsOffer};

/// What tools expect an object for, and what is not here.
const ABSENT: [&str; 5] = ["cluster", "gateway", "leaf", "mqtt", "websocket"];

/// The page. Durations are in nanoseconds, but for `auth_timeout`, which is
/// in seconds; monitoring tools read it so.
pub(crate) fn page(view: &View<'_>) -> Response {
    let mut json = begin_page(view);
    write_server(&mut json, view);
    write_limits(&mut json, view);
    write_addresses(&mut json, view);
    write_usage(&mut json, view);
    write_traffic(&mut json, view);
    json.key("http_req_stats");
    json.open_object();
    for (path, count) in view.monitor.requests() {
        json.uint_field(path, *count);
    }
    json.close_object();
    json.key("jetstream");
    jsz::write_varz(&mut json, view);
    for key in ABSENT {
        json.key(key);
        json.open_object();
        json.close_object();
    }
    end_page(json)
}

fn write_server(json: &mut JsonWriter, view: &View<'_>) {
    let info = view.engine.info();
    json.string_field("server_name", &info.server_name);
    json.string_field("version", midge_proto::NATS_VERSION);
    json.string_field("midge_version", env!("CARGO_PKG_VERSION"));
    json.uint_field("proto", info.proto.into());
    json.string_field("host", &info.host);
    json.uint_field("port", info.port.into());
    json.flag("auth_required", info.auth_required);
    json.flag("tls_required", info.tls == TlsOffer::Required);
    json.flag("tls_verify", info.tls_verify);
    tls::write_varz(json, view.handshakes);
}

fn write_limits(json: &mut JsonWriter, view: &View<'_>) {
    let limits = view.engine.limits();
    let ping_interval = limits.ping_interval.as_nanos() as u64;
    for (key, value) in [
        ("max_connections", limits.max_connections as u64),
        ("max_payload", limits.frame.max_payload as u64),
        ("max_control_line", limits.frame.max_control_line as u64),
        ("max_pending", limits.max_pending as u64),
        ("ping_interval", ping_interval),
        ("ping_max", limits.ping_max.into()),
        ("write_deadline", view.monitor.write_deadline_nanos),
    ] {
        json.uint_field(key, value);
    }
    json.uint_unless_zero("max_subscriptions", limits.max_subscriptions as u64);
    float_field(json, "auth_timeout", limits.auth_timeout.as_secs_f64());
}

fn write_addresses(json: &mut JsonWriter, view: &View<'_>) {
    let http = view.monitor.http_address;
    let host = http.map_or_else(String::new, |address| address.ip().to_string());
    json.string_field("http_host", &host);
    json.string_field("http_base_path", "");
    let port = http.map_or(0, |address| address.port().into());
    let (http, https) = match view.monitor.is_https {
        false => (port, 0),
        true => (0, port),
    };
    json.uint_field("http_port", http);
    json.uint_field("https_port", https);
}

fn write_usage(json: &mut JsonWriter, view: &View<'_>) {
    let monitor = view.monitor;
    let started = view.timestamp(monitor.started);
    json.time_field("start", started);
    json.time_field("config_load_time", started);
    json.string_field("config_digest", "");
    json.string_field(
        "system_account",
        view.engine.account_name(AccountId::SYSTEM),
    );
    json.string_field("uptime", &timestamp::uptime(view.now - monitor.started));
    json.uint_field("mem", monitor.usage().resident_bytes);
    json.uint_field("cores", cores());
    float_field(json, "cpu", (monitor.cpu_percent() * 10.0).round() / 10.0);
}

fn write_traffic(json: &mut JsonWriter, view: &View<'_>) {
    let stats = view.engine.stats();
    let subscriptions = view.engine.router_stats().subscriptions;
    for (key, value) in [
        ("connections", view.engine.session_count() as u64),
        ("total_connections", stats.total_connections),
        ("routes", 0),
        ("remotes", 0),
        ("leafnodes", 0),
        ("in_msgs", stats.in_msgs),
        ("in_bytes", stats.in_bytes),
        ("in_client_msgs", stats.in_msgs),
        ("in_client_bytes", stats.in_bytes),
        ("out_msgs", stats.out_msgs),
        ("out_bytes", stats.out_bytes),
        ("out_client_msgs", stats.out_msgs),
        ("out_client_bytes", stats.out_bytes),
        ("slow_consumers", stats.slow_consumers()),
        ("stale_connections", stats.stale_connections),
        ("stalled_clients", stats.stalls),
        ("subscriptions", subscriptions as u64),
    ] {
        json.uint_field(key, value);
    }
    by_kind(json, "slow_consumer_stats", stats.slow_consumers());
    by_kind(json, "stale_connection_stats", stats.stale_connections);
}

/// A count by kind of connection. There are only clients here.
fn by_kind(json: &mut JsonWriter, key: &str, clients: u64) {
    json.key(key);
    json.open_object();
    json.uint_field("clients", clients);
    for kind in ["routes", "gateways", "leafs"] {
        json.uint_field(kind, 0);
    }
    json.close_object();
}
