//! `/metrics`: totals and levels in Prometheus's text format.

use crate::fraction::Fraction;
use crate::http::{Response, Status};
use crate::monitor::View;
use crate::process::open_files;
use crate::tls;
use crate::turn::TURN_MICROS;
use std::fmt::Write;

/// Where a page starts in size: it never shrinks below this.
const PAGE_SIZE: usize = 4 * 1024;

pub(crate) fn page(view: &View<'_>) -> Response {
    let mut page = Page(String::with_capacity(PAGE_SIZE));
    about_server(view, &mut page);
    about_traffic(view, &mut page);
    about_trouble(view, &mut page);
    tls::about(view.handshakes, &mut page);
    about_loop(view, &mut page);
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
    let labels = labels(&[
        ("version", env!("CARGO_PKG_VERSION")),
        ("nats_version", midge_proto::NATS_VERSION),
        ("server_name", &info.server_name),
    ]);
    page.family("gauge", "midge_info", "Which server this is.");
    page.sample("midge_info", &labels, 1.0);
    let uptime = view.now - view.monitor.started;
    page.families(
        "gauge midge_uptime_seconds Time since the start.",
        &[uptime.as_secs_f64()],
    );
}

fn about_traffic(view: &View<'_>, page: &mut Page) {
    let stats = view.engine.stats();
    let router = view.engine.router_stats();
    page.families(
        "gauge midge_connections Client connections now.\n\
         gauge midge_subscriptions Subscriptions now.\n\
         counter midge_connections_total Client connections ever.\n\
         counter midge_subscriptions_made_total Subscriptions ever made.\n\
         counter midge_messages_in_total Messages published.\n\
         counter midge_bytes_in_total Payload bytes published.\n\
         counter midge_messages_out_total Messages delivered.\n\
         counter midge_bytes_out_total Payload bytes delivered.\n\
         counter midge_route_lookups_total Subjects looked up.\n\
         counter midge_route_cache_hits_total Look-ups whose match was remembered.",
        &[
            view.engine.session_count() as f64,
            router.subscriptions as f64,
            stats.total_connections as f64,
            router.inserts as f64,
            stats.in_msgs as f64,
            stats.in_bytes as f64,
            stats.out_msgs as f64,
            stats.out_bytes as f64,
            router.lookups as f64,
            router.cache_hits as f64,
        ],
    );
}

fn about_trouble(view: &View<'_>, page: &mut Page) {
    let stats = view.engine.stats();
    let slow = "midge_slow_consumers_total";
    page.family("counter", slow, "Connections cut for reading too slowly.");
    for (reason, count) in [
        ("pending_bytes", stats.slow_consumers_pending),
        ("write_deadline", stats.slow_consumers_deadline),
    ] {
        page.sample(slow, &labels(&[("reason", reason)]), count as f64);
    }
    let refused = "midge_auth_errors_total";
    page.family("counter", refused, "Clients that were not let in.");
    for (reason, count) in [
        ("violation", stats.auth_violations),
        ("timeout", stats.auth_timeouts),
        ("throttled", stats.auth_throttled),
    ] {
        page.sample(refused, &labels(&[("reason", reason)]), count as f64);
    }
    page.families(
        "counter midge_stale_connections_total Connections cut for leaving pings unanswered.\n\
         counter midge_publisher_stalls_total Times a publisher was held back for a slow reader.",
        &[stats.stale_connections as f64, stats.stalls as f64],
    );
}

/// While a turn of the loop lasts, everybody else waits.
fn about_loop(view: &View<'_>, page: &mut Page) {
    let turn = view.turn;
    page.histogram(
        "midge_loop_turn_seconds",
        "How long turns of the event loop took, for which everybody else had to wait.",
        &TURN_MICROS,
        &turn.counts,
        turn.total.as_secs_f64(),
        1e6,
    );
    let slow = "midge_loop_slow_turns_total";
    let help = "Turns of over 100 ms, by the part that took most of them.";
    page.family("counter", slow, help);
    for (part, count) in turn.slow() {
        page.sample(slow, &labels(&[("part", part.name())]), count as f64);
    }
}

fn about_process(view: &View<'_>, page: &mut Page) {
    let usage = view.monitor.usage();
    page.families(
        "counter process_cpu_seconds_total Processor time, user and system.\n\
         gauge process_resident_memory_bytes Resident memory.\n\
         gauge process_open_fds Open descriptors.",
        &[
            usage.cpu.as_secs_f64(),
            usage.resident_bytes as f64,
            open_files() as f64,
        ],
    );
    if let Some((ceiling, allocated)) = view.memory.figures() {
        page.families(
            "gauge midge_memory_ceiling_bytes What the process may use.\n\
             gauge midge_memory_allocated_bytes Memory in use.\n\
             counter midge_memory_cut_connections_total Connections cut because they held the \
             most when memory was used up.",
            &[
                ceiling as f64,
                allocated as f64,
                view.memory.cut_total as f64,
            ],
        );
    }
}

/// The page so far. All numbers are as Prometheus keeps them: whole ones are
/// exact up to 2 to the 53rd.
pub(crate) struct Page(String);

impl Page {
    /// Begins a family. The samples of a family stand together.
    pub(crate) fn family(&mut self, kind: &str, name: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// A sample of the family begun last.
    pub(crate) fn sample(&mut self, name: &str, labels: &str, value: f64) {
        let _ = writeln!(self.0, "{name}{labels} {}", Fraction(value));
    }

    /// Families of a sample each, of which every line names one: its kind, its
    /// name, what it tells.
    pub(crate) fn families(&mut self, spec: &str, values: &[f64]) {
        for ((kind, name, help), value) in read_spec(spec).zip(values) {
            self.family(kind, name, help);
            self.sample(name, "", *value);
        }
    }

    /// Families with a sample for each row; a row has its labels and a value
    /// for each family, or none where that is no number. What is told ends
    /// with `note`.
    #[cfg(feature = "streams")]
    pub(crate) fn table(&mut self, spec: &str, note: &str, rows: &[(&str, Vec<f64>)]) {
        for (place, (kind, name, help)) in read_spec(spec).enumerate() {
            self.family(kind, name, &format!("{help}. {note}"));
            for (labels, values) in rows {
                if let Some(value) = values.get(place).filter(|value| !value.is_nan()) {
                    self.sample(name, labels, *value);
                }
            }
        }
    }

    /// A histogram whose bounds are so many in a unit of the page, and whose
    /// sum is in that unit.
    pub(crate) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        bounds: &[u64],
        counts: &[u64],
        sum: f64,
        in_unit: f64,
    ) {
        self.family("histogram", name, help);
        let bucket = format!("{name}_bucket");
        let mut below = 0;
        for (place, count) in counts.iter().enumerate() {
            below += count;
            let bound = match bounds.get(place) {
                Some(bound) => Fraction(*bound as f64 / in_unit).to_string(),
                None => "+Inf".into(),
            };
            self.sample(&bucket, &labels(&[("le", &bound)]), below as f64);
        }
        self.sample(&format!("{name}_sum"), "", sum);
        self.sample(&format!("{name}_count"), "", below as f64);
    }
}

fn read_spec(spec: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    spec.lines().filter_map(|line| {
        let (kind, rest) = line.split_once(' ')?;
        let (name, help) = rest.split_once(' ')?;
        Some((kind, name, help))
    })
}

/// Labels in their braces, what would end a value escaped.
pub(crate) fn labels(pairs: &[(&str, &str)]) -> String {
    let mut out = String::from("{");
    for (name, value) in pairs {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(name);
        out.push_str("=\"");
        for letter in value.chars() {
            match letter {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                _ => out.push(letter),
            }
        }
        out.push('"');
    }
    out.push('}');
    out
}
