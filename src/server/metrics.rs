//! `/metrics`: totals and levels in Prometheus's text format.

use crate::http::{Response, Status};
use crate::monitor::View;
use std::fmt::{Display, Write};

pub(crate) fn page(view: &View<'_>) -> Response {
    let stats = view.engine.stats();
    let router = view.engine.router_stats();
    let usage = view.usage;
    let mut page = Page(String::with_capacity(8 * 1024));
    let info = view.engine.info();
    page.family("midge_info", "gauge", "Which server this is.");
    let name = escape(&info.server_name);
    page.sample(
        &format!(
            "midge_info{{version=\"{}\",nats_version=\"{}\",server_name=\"{name}\"}}",
            env!("CARGO_PKG_VERSION"),
            info.version
        ),
        1,
    );
    let uptime = (view.now - view.monitor.started).as_secs_f64();
    page.gauge("midge_uptime_seconds", "Time since the start.", uptime);
    page.gauge(
        "midge_connections",
        "Client connections now.",
        view.engine.session_count(),
    );
    page.counter(
        "midge_connections_total",
        "Client connections ever.",
        stats.total_connections,
    );
    page.gauge(
        "midge_subscriptions",
        "Subscriptions now.",
        router.subscriptions,
    );
    page.counter(
        "midge_subscriptions_made_total",
        "Subscriptions ever made.",
        router.inserts,
    );
    page.counter(
        "midge_messages_in_total",
        "Messages published.",
        stats.in_msgs,
    );
    page.counter(
        "midge_bytes_in_total",
        "Payload bytes published.",
        stats.in_bytes,
    );
    page.counter(
        "midge_messages_out_total",
        "Messages delivered.",
        stats.out_msgs,
    );
    page.counter(
        "midge_bytes_out_total",
        "Payload bytes delivered.",
        stats.out_bytes,
    );
    page.family(
        "midge_slow_consumers_total",
        "counter",
        "Connections cut for reading too slowly.",
    );
    page.sample(
        "midge_slow_consumers_total{reason=\"pending_bytes\"}",
        stats.slow_consumers_pending,
    );
    page.sample(
        "midge_slow_consumers_total{reason=\"write_deadline\"}",
        stats.slow_consumers_deadline,
    );
    page.counter(
        "midge_stale_connections_total",
        "Connections cut for leaving pings unanswered.",
        stats.stale_connections,
    );
    page.counter(
        "midge_auth_errors_total",
        "Credentials refused or missing.",
        stats.auth_errors,
    );
    page.counter(
        "midge_publisher_stalls_total",
        "Times a publisher was held back for a slow reader.",
        stats.stalls,
    );
    page.counter(
        "midge_route_lookups_total",
        "Subjects looked up.",
        router.lookups,
    );
    page.counter(
        "midge_route_cache_hits_total",
        "Look-ups whose match was remembered.",
        router.cache_hits,
    );
    page.counter(
        "process_cpu_seconds_total",
        "Processor time, user and system.",
        usage.cpu.as_secs_f64(),
    );
    page.gauge(
        "process_resident_memory_bytes",
        "Resident memory.",
        usage.resident_bytes,
    );
    page.gauge("process_open_fds", "Open descriptors.", usage.open_files);
    Response {
        status: Status::Ok,
        content_type: "text/plain; version=0.0.4; charset=utf-8",
        body: page.0.into_bytes(),
    }
}

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, series: &str, value: impl Display) {
        let _ = writeln!(self.0, "{series} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, value);
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "counter", help);
        self.sample(name, value);
    }
}

/// A label's value, with what would end it escaped.
fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
