//! The part of `/metrics` that is about streams, consumers and the store.
//!
//! A series for each stream and consumer, up to a bound: the first by name
//! are shown, and `midge_streams` and `midge_consumers` tell how many there
//! are. All comes from memory; the page is made on the event loop.

use crate::metrics::{Page, labels};
use crate::metrics_dead_letters;
use crate::monitor::View;
use midge_api::ConsumerInfo;
use midge_engine::{ConsumerView, StreamView, StreamsTotals};
use midge_store::{Histogram, StoreStats};
use std::time::Duration;

/// Streams with series of their own, the first by name.
const STREAMS_MAX: usize = 1000;

/// Consumers with series of their own, the first by stream and name.
const CONSUMERS_MAX: usize = 1000;

const STREAMS_NOTE: &str = "Of the first 1000 streams by name.";
pub(crate) const CONSUMERS_NOTE: &str = "Of the first 1000 consumers by name.";

pub(crate) fn about_streams(view: &View<'_>, page: &mut Page) {
    let (Some(streams), Some(totals)) = (view.engine.streams(), view.engine.streams_totals())
    else {
        return;
    };
    about_all(&totals, page);
    let shown = streams.by_name(0, STREAMS_MAX);
    let consumers: Vec<Shown<'_>> = shown
        .iter()
        .flat_map(|stream| stream.consumers())
        .take(CONSUMERS_MAX)
        .map(Shown::new)
        .collect();
    about_each_stream(&shown, page);
    about_each_consumer(&consumers, page);
    metrics_dead_letters::about(streams, &totals, &consumers, page);
    if let Some(disk) = view.disk {
        about_store(&disk.stats(), totals.stored_total, page);
    }
}

fn about_all(totals: &StreamsTotals, page: &mut Page) {
    page.families(
        "gauge midge_streams Streams now.\n\
         gauge midge_consumers Consumers of all streams now.\n\
         gauge midge_store_available 1 while the store works, 0 after it has failed until it is \
         open again.\n\
         counter midge_streams_stored_messages_total Messages stored in any stream.\n\
         counter midge_streams_api_requests_total Requests of the stream API.\n\
         counter midge_streams_api_errors_total Requests of the stream API that were refused.",
        &[
            totals.streams as f64,
            totals.consumers as f64,
            f64::from(u8::from(totals.is_available)),
            totals.stored_total as f64,
            totals.api_total as f64,
            totals.api_errors as f64,
        ],
    );
}

fn about_each_stream(streams: &[StreamView<'_>], page: &mut Page) {
    let names = streams
        .iter()
        .map(|stream| labels_in(stream.account_name(), &[("stream", stream.name())]));
    let names: Vec<String> = names.collect();
    let row = |stream: &StreamView<'_>| {
        let state = stream.state();
        let figures = [
            state.messages,
            state.bytes,
            state.first_seq,
            state.last_seq,
            state.num_subjects,
            state.consumer_count,
            stream.lost(),
        ];
        figures.map(|figure| figure as f64).to_vec()
    };
    let rows: Vec<(&str, Vec<f64>)> = names
        .iter()
        .map(String::as_str)
        .zip(streams.iter().map(row))
        .collect();
    page.table(
        "gauge midge_stream_messages Messages\n\
         gauge midge_stream_bytes Bytes of the messages\n\
         gauge midge_stream_first_seq The first sequence\n\
         gauge midge_stream_last_seq The last sequence\n\
         gauge midge_stream_subjects Different subjects\n\
         gauge midge_stream_consumers Consumers\n\
         gauge midge_stream_lost Messages found damaged",
        STREAMS_NOTE,
        &rows,
    );
}

/// Labels, with the account before them where that is not `$G`: series stay what
/// they are when accounts are set up.
fn labels_in(account: &str, pairs: &[(&str, &str)]) -> String {
    if account == "$G" {
        return labels(pairs);
    }
    let mut all = vec![("account", account)];
    all.extend_from_slice(pairs);
    labels(&all)
}

/// A consumer on the page.
pub(crate) struct Shown<'a> {
    labels: String,
    pub(crate) consumer: ConsumerView<'a>,
    pub(crate) info: ConsumerInfo<'a>,
}

impl<'a> Shown<'a> {
    fn new(consumer: ConsumerView<'a>) -> Self {
        let info = consumer.info();
        Shown {
            labels: labels_in(
                consumer.account_name(),
                &[("stream", info.stream_name), ("consumer", info.name)],
            ),
            consumer,
            info,
        }
    }

    /// A row of a table for each consumer.
    pub(crate) fn rows<'s>(
        consumers: &'s [Shown<'_>],
        values: &dyn Fn(&Shown<'_>) -> Vec<f64>,
    ) -> Vec<(&'s str, Vec<f64>)> {
        let row = |shown: &'s Shown<'_>| (shown.labels.as_str(), values(shown));
        consumers.iter().map(row).collect()
    }

    /// How much waits for it, how it is worked on, and for how long.
    fn health(&self) -> Vec<f64> {
        let (info, consumer) = (&self.info, &self.consumer);
        let seconds = |age: Duration| age.as_secs_f64();
        let unacked = consumer.oldest_unacked_age().map_or(0.0, seconds);
        // Where there is nothing to search for the answer is known.
        let nothing = if info.num_pending == 0 { 0.0 } else { f64::NAN };
        let undelivered = consumer.oldest_undelivered_age().map_or(nothing, seconds);
        vec![
            info.num_pending as f64,
            info.num_ack_pending as f64,
            info.num_redelivered as f64,
            info.num_waiting as f64,
            f64::from(u8::from(info.paused.is_some())),
            consumer.delivered_total() as f64,
            consumer.redelivered_total() as f64,
            consumer.acked_total() as f64,
            unacked,
            undelivered,
        ]
    }
}

fn about_each_consumer(consumers: &[Shown<'_>], page: &mut Page) {
    page.table(
        "gauge midge_consumer_pending Messages not delivered yet\n\
         gauge midge_consumer_ack_pending Messages delivered, not acknowledged\n\
         gauge midge_consumer_redelivered Messages delivered more than once, not acknowledged\n\
         gauge midge_consumer_waiting_pulls Pull requests waiting\n\
         gauge midge_consumer_paused 1 while it is paused\n\
         counter midge_consumer_deliveries_total Deliveries, those before the start included\n\
         counter midge_consumer_redeliveries_total Deliveries that were not the first of their \
         message, since the start\n\
         counter midge_consumer_acks_total Messages acknowledged since the start\n\
         gauge midge_consumer_oldest_unacked_age_seconds Age of the oldest delivery that is not \
         acknowledged, 0 if there is none\n\
         gauge midge_consumer_oldest_undelivered_age_seconds Age of the oldest message not \
         delivered yet, absent where it would have to be searched for",
        CONSUMERS_NOTE,
        &Shown::rows(consumers, &|shown| shown.health()),
    );
}

fn about_store(stats: &StoreStats, stored: u64, page: &mut Page) {
    page.families(
        "counter midge_store_commits_total Batches that became durable.\n\
         counter midge_store_failed_commits_total Batches that did not, and checkpoints.\n\
         counter midge_store_written_bytes_total Bytes written to the file.\n\
         counter midge_store_writes_total Calls that wrote to the file.\n\
         counter midge_store_syncs_total Calls that waited for the disk.\n\
         counter midge_store_loads_total Blocks read from the file.\n\
         counter midge_store_failed_loads_total Blocks that could not be read.\n\
         counter midge_store_damaged_records_total Messages found damaged while reading blocks.\n\
         counter midge_store_reopened_total Times the file was opened again after it had failed.\n\
         gauge midge_store_damaged_rows Rows found damaged at the start.\n\
         gauge midge_store_file_bytes Length of the file.\n\
         gauge midge_store_written_bytes_per_message Bytes written to the file for each message \
         stored since the start, 0 without any.",
        &[
            stats.commits as f64,
            stats.failed_commits as f64,
            stats.written_bytes as f64,
            stats.writes as f64,
            stats.syncs as f64,
            stats.loads as f64,
            stats.failed_loads as f64,
            stats.damaged_records as f64,
            stats.reopened as f64,
            stats.damaged_rows as f64,
            stats.file_bytes as f64,
            if stored == 0 {
                0.0
            } else {
                stats.written_bytes as f64 / stored as f64
            },
        ],
    );
    let mut histogram = |name: &str, help: &str, from: &Histogram, in_unit: f64| {
        let sum = from.sum as f64 / in_unit;
        page.histogram(name, help, from.bounds, &from.counts, sum, in_unit);
    };
    histogram(
        "midge_store_commit_seconds",
        "How long a batch took to become durable.",
        &stats.commit_micros,
        1e6,
    );
    histogram(
        "midge_store_batch_bytes",
        "What a batch held.",
        &stats.batch_bytes,
        1.0,
    );
    histogram(
        "midge_store_load_seconds",
        "How long a block took to be read, without its wait for others.",
        &stats.load_micros,
        1e6,
    );
}
