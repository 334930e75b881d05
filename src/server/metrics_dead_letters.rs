//! The part of `/metrics` that is about dead letters and what leads to them.

use crate::metrics::{Page, labels};
use crate::metrics_streams::{CONSUMERS_NOTE, Shown};
use midge_engine::{StreamsTotals, StreamsView};

pub(crate) fn about(
    streams: StreamsView<'_>,
    totals: &StreamsTotals,
    consumers: &[Shown<'_>],
    page: &mut Page,
) {
    let age = streams.oldest_dead_letter_age().unwrap_or_default();
    page.families(
        "gauge midge_dead_letters Messages in the stream DLQ.\n\
         gauge midge_dead_letters_oldest_age_seconds How long the oldest message in the stream \
         DLQ has been there, 0 if there is none.\n\
         counter midge_dead_letters_redriven_total Dead letters sent back since the start.\n\
         counter midge_dead_letters_overflow_total Messages dropped by streams that became dead \
         letters.\n\
         counter midge_dead_letters_lost_total Messages dropped by streams that should have \
         become dead letters and could not.",
        &[
            totals.dead_letters as f64,
            age.as_secs_f64(),
            totals.redriven_total as f64,
            totals.overflow_total as f64,
            totals.overflow_lost_total as f64,
        ],
    );
    about_deaths(consumers, page);
    about_each_consumer(consumers, page);
    about_depth(streams, consumers, page);
}

fn about_deaths(consumers: &[Shown<'_>], page: &mut Page) {
    let name = "midge_consumer_dead_letters_total";
    let help = format!("Messages that have died with it since the start. {CONSUMERS_NOTE}");
    page.family("counter", name, &help);
    for shown in consumers {
        let (max_deliver, terminated) = shown.consumer.dead_totals();
        for (reason, count) in [("max_deliver", max_deliver), ("terminated", terminated)] {
            let (stream, consumer) = (shown.info.stream_name, shown.info.name);
            let pairs = [
                ("stream", stream),
                ("consumer", consumer),
                ("reason", reason),
            ];
            page.sample(name, &labels(&pairs), count as f64);
        }
    }
}

fn about_each_consumer(consumers: &[Shown<'_>], page: &mut Page) {
    let values = |shown: &Shown<'_>| {
        let consumer = &shown.consumer;
        vec![
            consumer.burials_refused_total() as f64,
            consumer.redriven_total() as f64,
            consumer.held() as f64,
            consumer.parked_keys() as f64,
            f64::from(u8::from(consumer.is_tripped())),
        ]
    };
    page.table(
        "counter midge_consumer_dead_letters_refused_total Tries to store a dead letter that were \
         refused; its message stays pending\n\
         counter midge_consumer_redriven_total Dead letters sent back to it since the start\n\
         gauge midge_consumer_held Messages that wait for another of their key, or for their turn \
         by priority\n\
         gauge midge_consumer_parked_keys Keys that wait for a dead message\n\
         gauge midge_consumer_breaker_open 1 while its breaker pauses it",
        CONSUMERS_NOTE,
        &Shown::rows(consumers, &values),
    );
}

fn about_depth(streams: StreamsView<'_>, consumers: &[Shown<'_>], page: &mut Page) {
    // Absent rather than wrong.
    let Some(depths) = streams.dead_letters_by_consumer() else {
        return;
    };
    let values = |shown: &Shown<'_>| {
        let account = shown.consumer.account_name();
        let key = [account, shown.info.stream_name, shown.info.name].map(str::to_owned);
        vec![depths.get(&key).copied().unwrap_or(0) as f64]
    };
    page.table(
        "gauge midge_consumer_dead_letters Messages of it in the stream DLQ, absent if they have \
         over 10000 subjects",
        CONSUMERS_NOTE,
        &Shown::rows(consumers, &values),
    );
}
