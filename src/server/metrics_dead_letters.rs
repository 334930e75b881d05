//! The part of `/metrics` that is about dead letters and what leads to them.

use crate::metrics::Page;
use crate::metrics_streams::{CONSUMERS_MAX, Figure, Shown, family, figures_of_each};
use midge_engine::{StreamsTotals, StreamsView};

pub(crate) fn about(
    streams: StreamsView<'_>,
    totals: &StreamsTotals,
    consumers: &[Shown<'_>],
    page: &mut Page,
) {
    page.gauge(
        "midge_dead_letters",
        "Messages in the stream DLQ.",
        totals.dead_letters,
    );
    let age = streams.oldest_dead_letter_age().unwrap_or_default();
    page.gauge(
        "midge_dead_letters_oldest_age_seconds",
        "How long the oldest message in the stream DLQ has been there, 0 if there is none.",
        age.as_secs_f64(),
    );
    for (name, help, value) in [
        (
            "midge_dead_letters_redriven_total",
            "Dead letters sent back since the start.",
            totals.redriven_total,
        ),
        (
            "midge_dead_letters_overflow_total",
            "Messages dropped by streams that became dead letters.",
            totals.overflow_total,
        ),
        (
            "midge_dead_letters_lost_total",
            "Messages dropped by streams that should have become dead letters and could not.",
            totals.overflow_lost_total,
        ),
    ] {
        page.counter(name, help, value);
    }
    about_each_consumer(consumers, page);
    about_depth(streams, consumers, page);
}

fn about_each_consumer(consumers: &[Shown<'_>], page: &mut Page) {
    let what = "Messages that have died with it since the start";
    let name = family(page, "consumer", "dead_letters_total", what, CONSUMERS_MAX);
    for shown in consumers {
        let (max_deliver, terminated) = shown.consumer.dead_totals();
        let labels = shown.labels.trim_end_matches('}');
        for (reason, count) in [("max_deliver", max_deliver), ("terminated", terminated)] {
            page.sample(&format!("{name}{labels},reason=\"{reason}\"}}"), count);
        }
    }
    let figures: [(&str, &str, Figure); 5] = [
        (
            "dead_letters_refused_total",
            "Tries to store a dead letter that were refused; its message stays pending",
            |shown| shown.consumer.burials_refused_total(),
        ),
        (
            "redriven_total",
            "Dead letters sent back to it since the start",
            |shown| shown.consumer.redriven_total(),
        ),
        (
            "held",
            "Messages that wait for another of their key, or for their turn by priority",
            |shown| shown.consumer.held(),
        ),
        (
            "parked_keys",
            "Keys that wait for a dead message",
            |shown| shown.consumer.parked_keys(),
        ),
        ("breaker_open", "1 while its breaker pauses it", |shown| {
            u64::from(shown.consumer.is_tripped())
        }),
    ];
    figures_of_each(consumers, &figures, page);
}

fn about_depth(streams: StreamsView<'_>, consumers: &[Shown<'_>], page: &mut Page) {
    // Absent rather than wrong.
    let Some(depths) = streams.dead_letters_by_consumer() else {
        return;
    };
    let what = "Messages of it in the stream DLQ, absent if they have over 10000 subjects";
    let name = family(page, "consumer", "dead_letters", what, CONSUMERS_MAX);
    for shown in consumers {
        let key = (
            shown.info.stream_name.to_owned(),
            shown.info.name.to_owned(),
        );
        let depth = depths.get(&key).copied().unwrap_or(0);
        page.sample(&format!("{name}{}", shown.labels), depth);
    }
}
