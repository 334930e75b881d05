//! The part of `/metrics` that is about streams, consumers and the store.
//!
//! A series for each stream and consumer, up to a bound: the first by name
//! are shown, and `midge_streams` and `midge_consumers` tell how many there
//! are. All comes from memory; the page is made on the event loop.

use crate::metrics::{Page, escape};
use crate::metrics_dead_letters;
use crate::monitor::View;
use midge_api::{ConsumerInfo, StreamState};
use midge_engine::{ConsumerView, StreamView, StreamsTotals};
use midge_store::{Histogram, StoreStats};
use std::fmt::Display;
use std::time::Duration;

/// Streams with series of their own, the first by name.
const STREAMS_MAX: usize = 1000;

/// Consumers with series of their own, the first by stream and name.
pub(crate) const CONSUMERS_MAX: usize = 1000;

pub(crate) fn about_streams(view: &View<'_>, page: &mut Page) {
    let (Some(streams), Some(totals)) = (view.engine.streams(), view.engine.streams_totals())
    else {
        return;
    };
    about_all(&totals, page);
    let streams_view = streams;
    let streams = streams.by_name(0, STREAMS_MAX);
    let consumers: Vec<Shown<'_>> = streams
        .iter()
        .flat_map(|stream| stream.consumers())
        .take(CONSUMERS_MAX)
        .map(Shown::new)
        .collect();
    about_each_stream(&streams, page);
    about_each_consumer(&consumers, page);
    metrics_dead_letters::about(streams_view, &totals, &consumers, page);
    if let Some(disk) = view.disk {
        about_store(&disk.stats(), page);
    }
}

fn about_all(totals: &StreamsTotals, page: &mut Page) {
    let is_available = u8::from(totals.is_available);
    page.gauge("midge_streams", "Streams now.", totals.streams);
    page.gauge(
        "midge_consumers",
        "Consumers of all streams now.",
        totals.consumers,
    );
    page.gauge(
        "midge_store_available",
        "1 while the store works, 0 after it has failed until it is open again.",
        is_available,
    );
    for (name, help, value) in [
        (
            "midge_streams_stored_messages_total",
            "Messages stored in any stream.",
            totals.stored_total,
        ),
        (
            "midge_streams_api_requests_total",
            "Requests of the stream API.",
            totals.api_total,
        ),
        (
            "midge_streams_api_errors_total",
            "Requests of the stream API that were refused.",
            totals.api_errors,
        ),
    ] {
        page.counter(name, help, value);
    }
}

fn about_each_stream(streams: &[StreamView<'_>], page: &mut Page) {
    let shown: Vec<(String, StreamState, u64)> = streams
        .iter()
        .map(|stream| {
            let labels = format!("{{stream=\"{}\"}}", escape(stream.name()));
            (labels, stream.state(), stream.lost())
        })
        .collect();
    type Figure = fn(&StreamState) -> u64;
    let figures: [(&str, &str, Figure); 6] = [
        ("messages", "Messages", |state| state.messages),
        ("bytes", "Bytes of the messages", |state| state.bytes),
        ("first_seq", "The first sequence", |state| state.first_seq),
        ("last_seq", "The last sequence", |state| state.last_seq),
        ("subjects", "Different subjects", |state| state.num_subjects),
        ("consumers", "Consumers", |state| state.consumer_count),
    ];
    for (name, what, figure) in figures {
        let name = family(page, "stream", name, what, STREAMS_MAX);
        for (labels, state, _) in &shown {
            page.sample(&format!("{name}{labels}"), figure(state));
        }
    }
    let what = "Messages found damaged";
    let name = family(page, "stream", "lost", what, STREAMS_MAX);
    for (labels, _, lost) in &shown {
        page.sample(&format!("{name}{labels}"), lost);
    }
}

/// A consumer on the page.
pub(crate) struct Shown<'a> {
    pub(crate) labels: String,
    pub(crate) consumer: ConsumerView<'a>,
    pub(crate) info: ConsumerInfo<'a>,
}

impl<'a> Shown<'a> {
    fn new(consumer: ConsumerView<'a>) -> Self {
        let info = consumer.info();
        let (stream, name) = (escape(info.stream_name), escape(info.name));
        Shown {
            labels: format!("{{stream=\"{stream}\",consumer=\"{name}\"}}"),
            consumer,
            info,
        }
    }
}

/// A figure of a consumer.
pub(crate) type Figure = fn(&Shown<'_>) -> u64;

/// A family with a series for each consumer: its name, what it counts, and
/// how.
pub(crate) fn figures_of_each(
    consumers: &[Shown<'_>],
    figures: &[(&str, &str, Figure)],
    page: &mut Page,
) {
    for (name, what, figure) in figures {
        let name = family(page, "consumer", name, what, CONSUMERS_MAX);
        for shown in consumers {
            page.sample(&format!("{name}{}", shown.labels), figure(shown));
        }
    }
}

fn about_each_consumer(consumers: &[Shown<'_>], page: &mut Page) {
    let figures: [(&str, &str, Figure); 8] = [
        ("pending", "Messages not delivered yet", |shown| {
            shown.info.num_pending
        }),
        (
            "ack_pending",
            "Messages delivered, not acknowledged",
            |shown| shown.info.num_ack_pending,
        ),
        (
            "redelivered",
            "Messages delivered more than once, not acknowledged",
            |shown| shown.info.num_redelivered,
        ),
        ("waiting_pulls", "Pull requests waiting", |shown| {
            shown.info.num_waiting
        }),
        ("paused", "1 while it is paused", |shown| {
            u64::from(shown.info.paused.is_some())
        }),
        (
            "deliveries_total",
            "Deliveries, those before the start included",
            |shown| shown.consumer.delivered_total(),
        ),
        (
            "redeliveries_total",
            "Deliveries that were not the first of their message, since the start",
            |shown| shown.consumer.redelivered_total(),
        ),
        (
            "acks_total",
            "Messages acknowledged since the start",
            |shown| shown.consumer.acked_total(),
        ),
    ];
    figures_of_each(consumers, &figures, page);
    type Age = fn(&ConsumerView<'_>) -> Option<Duration>;
    let ages: [(&str, &str, Age, bool); 2] = [
        (
            "oldest_unacked_age_seconds",
            "Age of the oldest delivery that is not acknowledged, 0 if there is none",
            |consumer| consumer.oldest_unacked_age(),
            true,
        ),
        (
            "oldest_undelivered_age_seconds",
            "Age of the oldest message not delivered yet, \
             absent where it would have to be searched for",
            |consumer| consumer.oldest_undelivered_age(),
            false,
        ),
    ];
    for (name, what, age, is_always_known) in ages {
        let name = family(page, "consumer", name, what, CONSUMERS_MAX);
        for shown in consumers {
            let is_known = is_always_known || shown.info.num_pending == 0;
            let age = age(&shown.consumer).or(is_known.then_some(Duration::ZERO));
            if let Some(age) = age {
                page.sample(&format!("{name}{}", shown.labels), age.as_secs_f64());
            }
        }
    }
}

/// Begins a family with a series for each of the first so many; returns its
/// name.
pub(crate) fn family(page: &mut Page, of: &str, name: &str, what: &str, max: usize) -> String {
    let name = format!("midge_{of}_{name}");
    let kind = if name.ends_with("_total") {
        "counter"
    } else {
        "gauge"
    };
    page.family(
        &name,
        kind,
        &format!("{what}. Of the first {max} {of}s by name."),
    );
    name
}

fn about_store(stats: &StoreStats, page: &mut Page) {
    let counters = [
        ("commits", "Batches that became durable.", stats.commits),
        (
            "failed_commits",
            "Batches that did not.",
            stats.failed_commits,
        ),
        (
            "written_bytes",
            "Bytes written to the file.",
            stats.written_bytes,
        ),
        ("writes", "Calls that wrote to the file.", stats.writes),
        ("syncs", "Calls that waited for the disk.", stats.syncs),
        ("loads", "Blocks read from the file.", stats.loads),
        (
            "failed_loads",
            "Blocks that could not be read.",
            stats.failed_loads,
        ),
        (
            "damaged_records",
            "Messages found damaged while reading blocks.",
            stats.damaged_records,
        ),
        (
            "reopened",
            "Times the file was opened again after it had failed.",
            stats.reopened,
        ),
    ];
    for (name, help, value) in counters {
        page.counter(&format!("midge_store_{name}_total"), help, value);
    }
    page.gauge(
        "midge_store_damaged_rows",
        "Rows found damaged at the start.",
        stats.damaged_rows,
    );
    page.gauge(
        "midge_store_file_bytes",
        "Length of the file.",
        stats.file_bytes,
    );
    let seconds = |micros: u64| micros as f64 / 1e6;
    let bytes = |bytes: u64| bytes;
    histogram(
        page,
        "midge_store_commit_seconds",
        "How long a batch took to become durable.",
        &stats.commit_micros,
        seconds,
    );
    histogram(
        page,
        "midge_store_batch_bytes",
        "What a batch held.",
        &stats.batch_bytes,
        bytes,
    );
    histogram(
        page,
        "midge_store_load_seconds",
        "How long a block took to be read, without its wait for others.",
        &stats.load_micros,
        seconds,
    );
}

fn histogram<T: Display>(
    page: &mut Page,
    name: &str,
    help: &str,
    histogram: &Histogram,
    unit: impl Fn(u64) -> T,
) {
    page.family(name, "histogram", help);
    let mut below = 0;
    for (bound, count) in histogram.bounds.iter().zip(&histogram.counts) {
        below += count;
        page.sample(&format!("{name}_bucket{{le=\"{}\"}}", unit(*bound)), below);
    }
    let count = histogram.count();
    page.sample(&format!("{name}_bucket{{le=\"+Inf\"}}"), count);
    page.sample(&format!("{name}_sum"), unit(histogram.sum));
    page.sample(&format!("{name}_count"), count);
}
