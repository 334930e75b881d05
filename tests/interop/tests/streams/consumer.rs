//! Consumers: where they start, what they pick, how they are made, changed, listed and dropped.

use std::time::{Duration, Instant};

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, ReplayPolicy};
use async_nats::jetstream::stream::Stream;
use futures::TryStreamExt;
use time::OffsetDateTime;
use tokio::time::sleep;

use crate::harness;

use super::{
    consumer, durable, fetch, fetch_now, fill, on, put, refused, rest, sequences, started, texts,
};

/// A stream of nine messages on the subjects log.a, log.b and log.c in turn.
async fn log(js: &Context) -> Stream {
    let stream = js.create_stream(on("LOG", &["log.>"])).await.unwrap();
    for number in 0..9 {
        let subject = ["log.a", "log.b", "log.c"][number % 3];
        put(js, subject, &number.to_string()).await;
    }
    stream
}

/// The sequences that a new consumer delivers first.
async fn read(stream: &Stream, config: Config) -> Vec<u64> {
    let reader = consumer(
        stream,
        Config {
            ack_policy: AckPolicy::None,
            ..config
        },
    )
    .await;
    sequences(&fetch_now(&reader, 100).await)
}

fn from(deliver_policy: DeliverPolicy) -> Config {
    Config {
        deliver_policy,
        ..Default::default()
    }
}

fn filtered(filter: &str) -> Config {
    Config {
        filter_subject: filter.to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_new_consumer_shows_its_configuration_with_defaults() {
    let (_server, js) = started().await;
    let stream = log(&js).await;
    let reader = consumer(&stream, durable("reader")).await;
    let info = reader.cached_info();
    assert_eq!(
        (info.stream_name.as_str(), info.name.as_str()),
        ("LOG", "reader")
    );
    let config = &info.config;
    assert_eq!(config.durable_name.as_deref(), Some("reader"));
    assert_eq!(config.ack_policy, AckPolicy::Explicit);
    assert_eq!(config.deliver_policy, DeliverPolicy::All);
    assert_eq!(config.ack_wait, Duration::from_secs(30));
    assert_eq!(
        (
            config.max_deliver,
            config.max_ack_pending,
            config.max_waiting
        ),
        (-1, 1000, 512)
    );
    assert_eq!(
        (info.num_pending, info.num_ack_pending, info.num_waiting),
        (9, 0, 0)
    );
    assert_eq!(
        (
            info.delivered.stream_sequence,
            info.ack_floor.stream_sequence
        ),
        (0, 0)
    );
}

#[tokio::test]
async fn a_configuration_comes_back_as_it_was_given() {
    let (_server, js) = started().await;
    let stream = log(&js).await;
    let given = Config {
        name: Some("reader".to_owned()),
        description: Some("reads".to_owned()),
        ack_wait: Duration::from_millis(7500),
        max_deliver: 5,
        filter_subjects: vec!["log.a".to_owned(), "log.b".to_owned()],
        sample_frequency: 50,
        max_waiting: 10,
        max_ack_pending: 20,
        headers_only: true,
        max_batch: 5,
        max_bytes: 1000,
        max_expires: Duration::from_secs(2),
        inactive_threshold: Duration::from_secs(60),
        memory_storage: true,
        backoff: vec![Duration::from_millis(7500), Duration::from_secs(10)],
        ..durable("reader")
    };
    consumer(&stream, given.clone()).await;
    let reader: PullConsumer = stream.get_consumer("reader").await.unwrap();
    let config = &reader.cached_info().config;
    assert_eq!(config.description, given.description);
    assert_eq!(
        (config.ack_wait, &config.backoff),
        (given.ack_wait, &given.backoff)
    );
    assert_eq!(config.filter_subjects, given.filter_subjects);
    assert_eq!((config.max_deliver, config.sample_frequency), (5, 50));
    assert_eq!((config.max_waiting, config.max_ack_pending), (10, 20));
    assert_eq!((config.max_batch, config.max_bytes), (5, 1000));
    assert_eq!(config.max_expires, given.max_expires);
    assert_eq!(config.inactive_threshold, given.inactive_threshold);
    assert!(config.headers_only && config.memory_storage);
}

#[tokio::test]
async fn a_consumer_may_start_anywhere() {
    let (_server, js) = started().await;
    let stream = log(&js).await;
    let start_time = stream.get_raw_message(3).await.unwrap().time;
    for (config, expected) in [
        (from(DeliverPolicy::All), (1..=9).collect()),
        (from(DeliverPolicy::Last), vec![9]),
        (from(DeliverPolicy::New), vec![]),
        (
            from(DeliverPolicy::ByStartSequence { start_sequence: 6 }),
            (6..=9).collect(),
        ),
        (
            from(DeliverPolicy::ByStartTime { start_time }),
            (3..=9).collect(),
        ),
        (
            Config {
                deliver_policy: DeliverPolicy::LastPerSubject,
                ..filtered("log.*")
            },
            vec![7, 8, 9],
        ),
        (
            Config {
                deliver_policy: DeliverPolicy::Last,
                ..filtered("log.a")
            },
            vec![7],
        ),
    ] {
        assert_eq!(read(&stream, config.clone()).await, expected, "{config:?}");
    }
    refused(
        stream
            .create_consumer(from(DeliverPolicy::LastPerSubject))
            .await,
        10094,
    );
}

#[tokio::test]
async fn a_consumer_may_start_with_what_comes_next() {
    let (_server, js) = started().await;
    let stream = log(&js).await;
    let next = consumer(&stream, from(DeliverPolicy::New)).await;
    let policy = DeliverPolicy::ByStartSequence { start_sequence: 11 };
    let later = consumer(&stream, from(policy)).await;
    fill(&js, "log.a", 0..3).await;
    assert_eq!(sequences(&fetch(&next, 3).await), [10, 11, 12]);
    assert_eq!(sequences(&fetch(&later, 2).await), [11, 12]);
}

#[tokio::test]
async fn a_consumer_may_filter() {
    let (_server, js) = started().await;
    let stream = log(&js).await;
    let many = |filters: &[&str]| Config {
        filter_subjects: filters.iter().map(ToString::to_string).collect(),
        ..Default::default()
    };
    assert_eq!(read(&stream, filtered("log.b")).await, [2, 5, 8]);
    assert_eq!(
        read(&stream, many(&["log.a", "log.c"])).await,
        [1, 3, 4, 6, 7, 9]
    );
    assert!(read(&stream, filtered("log.x")).await.is_empty());
    refused(
        stream.create_consumer(many(&["log.a", "log.*"])).await,
        10138,
    );
    refused(stream.create_consumer(many(&["log.a", ""])).await, 10139);
    let both = Config {
        filter_subject: "log.a".to_owned(),
        ..many(&["log.b"])
    };
    refused(stream.create_consumer(both).await, 10136);

    let reader = consumer(&stream, filtered("log.b")).await;
    assert_eq!(reader.cached_info().num_pending, 3);
    put(&js, "log.a", "").await;
    assert_eq!(reader.get_info().await.unwrap().num_pending, 3);
    assert_eq!(fetch(&reader, 1).await[0].info().unwrap().pending, 2);
}

#[tokio::test]
async fn headers_may_come_alone() {
    let (_server, js) = started().await;
    let stream = log(&js).await;
    put(&js, "log.a", "twelve bytes").await;
    let config = Config {
        headers_only: true,
        ..from(DeliverPolicy::Last)
    };
    let reader = consumer(&stream, config).await;
    let message = fetch(&reader, 1).await.remove(0);
    assert_eq!(message.payload, "");
    let headers = message.headers.as_ref().unwrap();
    assert_eq!(headers.get("Nats-Msg-Size").unwrap().as_str(), "12");
}

#[tokio::test]
async fn a_replay_may_keep_the_original_pace() {
    let (_server, js) = started().await;
    let stream = js.create_stream(on("PACED", &["paced"])).await.unwrap();
    for number in 0..3 {
        put(&js, "paced", &number.to_string()).await;
        // The gaps are what is replayed.
        sleep(Duration::from_millis(200)).await;
    }
    let config = Config {
        replay_policy: ReplayPolicy::Original,
        ..durable("reader")
    };
    let reader = consumer(&stream, config).await;
    let started = Instant::now();
    assert_eq!(texts(&fetch(&reader, 3).await), ["0", "1", "2"]);
    assert!(started.elapsed() > Duration::from_millis(300));
}

#[tokio::test]
async fn an_update_changes_what_may_change() {
    let (_server, js) = started().await;
    let stream = log(&js).await;
    let first = consumer(
        &stream,
        Config {
            max_ack_pending: 5,
            ..durable("reader")
        },
    )
    .await;
    fetch(&first, 5).await;
    let wider = Config {
        max_ack_pending: 7,
        ..durable("reader")
    };
    let updated = stream.update_consumer(wider.clone()).await.unwrap();
    assert_eq!(updated.cached_info().created, first.cached_info().created);
    assert_eq!(sequences(&fetch(&updated, 2).await), [6, 7]);

    refused(
        stream.create_consumer_strict(durable("reader")).await,
        10148,
    );
    stream.create_consumer_strict(wider).await.unwrap();
    refused(stream.update_consumer(durable("missing")).await, 10149);
    let other = Config {
        deliver_policy: DeliverPolicy::New,
        ..durable("reader")
    };
    refused(stream.update_consumer(other).await, 10012);
}

#[tokio::test]
async fn consumers_are_listed_found_and_deleted() {
    let (_server, js) = started().await;
    let mut stream = log(&js).await;
    let expected: Vec<String> = (0..300)
        .map(|number| format!("reader-{number:03}"))
        .collect();
    for name in &expected {
        stream
            .get_or_create_consumer(name, durable(name))
            .await
            .unwrap();
    }
    let mut names: Vec<String> = stream.consumer_names().try_collect().await.unwrap();
    names.sort();
    assert_eq!(names, expected);
    let infos: Vec<_> = stream.consumers().try_collect().await.unwrap();
    assert_eq!(infos.len(), 300);
    assert_eq!(stream.info().await.unwrap().state.consumer_count, 300);
    assert!(stream.delete_consumer("reader-007").await.unwrap().success);
    refused(stream.consumer_info("reader-007").await, 10014);
    refused(stream.delete_consumer("reader-007").await, 10014);
}

#[tokio::test]
async fn a_consumer_nobody_uses_goes_away() {
    let (_server, js) = started().await;
    let stream = log(&js).await;
    let subject = "$JS.EVENT.ADVISORY.CONSUMER.DELETED.LOG.brief";
    let mut advisories = js.client().subscribe(subject).await.unwrap();
    let threshold = Duration::from_millis(300);
    consumer(
        &stream,
        Config {
            inactive_threshold: threshold,
            ..durable("brief")
        },
    )
    .await;
    harness::next(&mut advisories).await;
    refused(stream.consumer_info("brief").await, 10014);
    let ephemeral = consumer(&stream, Config::default()).await;
    let default = ephemeral.cached_info().config.inactive_threshold;
    assert_eq!(default, Duration::from_secs(5));
}

#[tokio::test]
async fn a_paused_consumer_delivers_nothing_until_resumed() {
    let (_server, js) = started().await;
    let stream = log(&js).await;
    let reader = consumer(&stream, durable("reader")).await;
    let until = OffsetDateTime::now_utc() + Duration::from_secs(3600);
    assert!(stream.pause_consumer("reader", until).await.unwrap().paused);
    assert!(reader.get_info().await.unwrap().paused);
    let batch = reader
        .batch()
        .max_messages(1)
        .expires(Duration::from_millis(300));
    assert!(rest(batch.messages().await.unwrap()).await.is_empty());
    assert!(!stream.resume_consumer("reader").await.unwrap().paused);
    assert_eq!(sequences(&fetch(&reader, 1).await), [1]);
}
