//! `/metrics`: totals and levels in Prometheus's text format.

use crate::http::{Response, Status};
use crate::monitor::View;
use std::fmt::{Display, Write};

/// Where a page starts in size: it never shrinks below this.
const PAGE_SIZE: usize = 4 * 1024;

pub(crate) fn page(view: &View<'_>) -> Response {
    let mut page = Page(String::with_capacity(PAGE_SIZE));
    about_server(view, &mut page);
    about_traffic(view, &mut page);
    about_trouble(view, &mut page);
    about_process(view, &mut page);
    #[cfg(feature = "streams")]
    crate::metrics_streams::about_streams(view, &mut page);
    Response {
        status: Status::Ok,
        content_type: "text/plain; version=0.0.4; charset=utf-8",
        body: page.0.into_bytes(),
    }
}

fn about_server(view: &View<'_>, page: &mut Page) {
    let info = view.engine.info();
    let (version, nats_version) = (env!("CARGO_PKG_VERSION"), info.version);
    let name = escape(&info.server_name);
    page.family("midge_info", "gauge", "Which server this is.");
    page.sample(
        &format!(
            "midge_info{{version=\"{version}\",nats_version=\"{nats_version}\",server_name=\"{name}\"}}"
        ),
        1,
    );
    let uptime = (view.now - view.monitor.started).as_secs_f64();
    page.gauge("midge_uptime_seconds", "Time since the start.", uptime);
}

fn about_traffic(view: &View<'_>, page: &mut Page) {
    let stats = view.engine.stats();
    let router = view.engine.router_stats();
    let connections = view.engine.session_count();
    page.gauge("midge_connections", "Client connections now.", connections);
    page.gauge(
        "midge_subscriptions",
        "Subscriptions now.",
        router.subscriptions,
    );
    for (name, help, value) in [
        (
            "midge_connections_total",
            "Client connections ever.",
            stats.total_connections,
        ),
        (
            "midge_subscriptions_made_total",
            "Subscriptions ever made.",
            router.inserts,
        ),
        (
            "midge_messages_in_total",
            "Messages published.",
            stats.in_msgs,
        ),
        (
            "midge_bytes_in_total",
            "Payload bytes published.",
            stats.in_bytes,
        ),
        (
            "midge_messages_out_total",
            "Messages delivered.",
            stats.out_msgs,
        ),
        (
            "midge_bytes_out_total",
            "Payload bytes delivered.",
            stats.out_bytes,
        ),
        (
            "midge_route_lookups_total",
            "Subjects looked up.",
            router.lookups,
        ),
        (
            "midge_route_cache_hits_total",
            "Look-ups whose match was remembered.",
            router.cache_hits,
        ),
    ] {
        page.counter(name, help, value);
    }
}

fn about_trouble(view: &View<'_>, page: &mut Page) {
    let stats = view.engine.stats();
    let slow = "midge_slow_consumers_total";
    page.family(slow, "counter", "Connections cut for reading too slowly.");
    for (reason, count) in [
        ("pending_bytes", stats.slow_consumers_pending),
        ("write_deadline", stats.slow_consumers_deadline),
    ] {
        page.sample(&format!("{slow}{{reason=\"{reason}\"}}"), count);
    }
    for (name, help, value) in [
        (
            "midge_stale_connections_total",
            "Connections cut for leaving pings unanswered.",
            stats.stale_connections,
        ),
        (
            "midge_auth_errors_total",
            "Credentials refused or missing.",
            stats.auth_errors,
        ),
        (
            "midge_publisher_stalls_total",
            "Times a publisher was held back for a slow reader.",
            stats.stalls,
        ),
    ] {
        page.counter(name, help, value);
    }
}

fn about_process(view: &View<'_>, page: &mut Page) {
    let usage = view.monitor.usage();
    let (cpu, memory) = (usage.cpu.as_secs_f64(), usage.resident_bytes);
    page.counter(
        "process_cpu_seconds_total",
        "Processor time, user and system.",
        cpu,
    );
    page.gauge("process_resident_memory_bytes", "Resident memory.", memory);
    page.gauge(
        "process_open_fds",
        "Open descriptors.",
        crate::process::open_files(),
    );
}

pub(crate) struct Page(String);

impl Page {
    pub(crate) fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    pub(crate) fn sample(&mut self, series: &str, value: impl Display) {
        let _ = writeln!(self.0, "{series} {value}");
    }

    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, value);
    }

    pub(crate) fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "counter", help);
        self.sample(name, value);
    }
}

/// A label's value, with what would end it escaped.
pub(crate) fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
