//! Servers that are stopped or killed and come back: what was stored is still there.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull, push};
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, RetentionPolicy};
use futures::future::join_all;
use time::OffsetDateTime;
use tokio::time::sleep;

use crate::harness;

use super::{
    How, Restarts, consumer, durable, ends_that_keep_all, fetch, fetch_now, fill, next_good, on,
    orders, put, refused, sequences, take, texts, until,
};

const ENDS: [How; 2] = [How::Stop, How::Kill];

#[tokio::test]
async fn streams_come_back_as_they_were() {
    for how in ENDS {
        let mut at = Restarts::started().await;
        let config = Config {
            max_messages: 50,
            description: Some("kept".to_owned()),
            allow_direct: true,
            ..on("ORDERS", &["orders.*"])
        };
        let mut stream = at.js.create_stream(config).await.unwrap();
        fill(&at.js, "orders.a", 0..100).await;
        let before = stream.info().await.unwrap().clone();
        at.restart(how).await;
        let after = stream.info().await.unwrap().clone();
        assert_eq!(
            (after.created, after.config),
            (before.created, before.config)
        );
        assert_eq!(after.state.messages, before.state.messages);
        assert_eq!(after.state.bytes, before.state.bytes);
        assert_eq!(after.state.first_sequence, before.state.first_sequence);
        assert_eq!(after.state.first_timestamp, before.state.first_timestamp);
        assert_eq!(after.state.last_timestamp, before.state.last_timestamp);
        assert_eq!(stream.direct_get(99).await.unwrap().payload, "98");
        assert_eq!(put(&at.js, "orders.a", "").await, 101);
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_there() {
    for how in ENDS {
        let mut at = Restarts::started().await;
        let stream = orders(&at.js, 0).await;
        let js = at.js.clone();
        let publisher = tokio::spawn(async move {
            let mut acked = HashMap::new();
            let mut number = 0;
            while acked.len() < 3000 {
                let mut window = Vec::new();
                for _ in 0..50 {
                    let text = number.to_string();
                    number += 1;
                    let sent = js.publish("orders.a", text.clone().into()).await;
                    window.extend(sent.ok().map(|sent| (text, sent)));
                }
                // Those that fail were neither kept nor refused for certain.
                let acks = window.into_iter().map(|(text, sent)| async {
                    let ack = tokio::time::timeout(Duration::from_secs(1), sent.into_future());
                    Some((ack.await.ok()?.ok()?.sequence, text))
                });
                acked.extend(join_all(acks).await.into_iter().flatten());
            }
            acked
        });
        for count in [500, 1500] {
            let halfway = |info: &Result<async_nats::jetstream::stream::Info, _>| {
                info.as_ref().is_ok_and(|info| info.state.messages > count)
            };
            let _ = until(|| stream.get_info(), halfway).await;
            at.restart(how).await;
        }
        let acked = publisher.await.unwrap();
        let last = stream.get_info().await.unwrap().state.last_sequence;
        let config = pull::Config {
            ack_policy: AckPolicy::None,
            ..Default::default()
        };
        let reader = consumer(&stream, config).await;
        let mut kept = HashMap::new();
        while !kept.contains_key(&last) {
            let got = fetch_now(&reader, 1000).await;
            kept.extend(sequences(&got).into_iter().zip(texts(&got)));
        }
        for (sequence, text) in acked {
            assert_eq!(kept.get(&sequence), Some(&text));
        }
    }
}

#[tokio::test]
async fn a_duplicate_is_known_across_a_restart() {
    for how in ENDS {
        let mut at = Restarts::started().await;
        orders(&at.js, 0).await;
        let publish = |message: PublishMessage| at.js.send_publish("orders.a", message);
        let once = || PublishMessage::build().message_id("a");
        publish(once()).await.unwrap().await.unwrap();
        at.restart(how).await;
        let publish = |message: PublishMessage| at.js.send_publish("orders.a", message);
        let ack = publish(once()).await.unwrap().await.unwrap();
        assert_eq!((ack.sequence, ack.duplicate), (1, true));
        let late = PublishMessage::build().expected_last_sequence(0);
        let error = publish(late).await.unwrap().await.unwrap_err();
        assert_eq!(error.kind(), PublishErrorKind::WrongLastSequence);
        let next = PublishMessage::build().expected_last_message_id("a");
        assert_eq!(publish(next).await.unwrap().await.unwrap().sequence, 2);
    }
}

#[tokio::test]
async fn a_consumer_comes_back_as_it_was() {
    for &how in ends_that_keep_all() {
        let mut at = Restarts::started().await;
        let stream = orders(&at.js, 10).await;
        let reader = consumer(&stream, durable("reader")).await;
        let got = fetch(&reader, 6).await;
        for index in [0, 1, 3] {
            got[index].double_ack().await.unwrap();
        }
        let before = reader.get_info().await.unwrap();
        at.restart(how).await;
        let after = reader.get_info().await.unwrap();
        assert_eq!(
            (after.created, after.config),
            (before.created, before.config)
        );
        assert_eq!(
            (
                after.delivered.stream_sequence,
                after.ack_floor.stream_sequence
            ),
            (6, 2)
        );
        assert_eq!(
            (
                after.delivered.consumer_sequence,
                after.ack_floor.consumer_sequence
            ),
            (6, 2)
        );
        assert_eq!((after.num_ack_pending, after.num_pending), (3, 4));
        assert_eq!(sequences(&fetch(&reader, 4).await), [7, 8, 9, 10]);
        got[2].double_ack().await.unwrap();
        assert_eq!(
            reader.get_info().await.unwrap().ack_floor.stream_sequence,
            4
        );
    }
}

#[tokio::test]
async fn an_unacknowledged_message_comes_again_after_a_restart() {
    for &how in ends_that_keep_all() {
        let mut at = Restarts::started().await;
        let stream = orders(&at.js, 3).await;
        let ack_wait = Duration::from_secs(1);
        let reader = consumer(
            &stream,
            pull::Config {
                ack_wait,
                ..durable("reader")
            },
        )
        .await;
        fetch(&reader, 3).await[1].double_ack().await.unwrap();
        at.restart(how).await;
        let again = fetch(&reader, 2).await;
        assert_eq!(sequences(&again), [1, 3]);
        assert!(
            again
                .iter()
                .all(|message| message.info().unwrap().delivered == 2)
        );
    }
}

#[tokio::test]
async fn a_confirmed_job_stays_done() {
    for &how in ends_that_keep_all() {
        let mut at = Restarts::started().await;
        let config = Config {
            retention: RetentionPolicy::WorkQueue,
            ..on("JOBS", &["jobs"])
        };
        let mut stream = at.js.create_stream(config).await.unwrap();
        fill(&at.js, "jobs", 0..20).await;
        let worker = consumer(&stream, durable("worker")).await;
        for job in fetch(&worker, 12).await {
            job.double_ack().await.unwrap();
        }
        at.restart(how).await;
        assert!(sequences(&fetch(&worker, 8).await).into_iter().eq(13..=20));
        assert_eq!(stream.info().await.unwrap().state.messages, 8);
    }
}

#[tokio::test]
async fn a_reader_starts_anywhere_after_a_restart() {
    let mut at = Restarts::started().await;
    let stream = orders(&at.js, 5).await;
    sleep(Duration::from_millis(10)).await;
    let start_time = OffsetDateTime::now_utc();
    fill(&at.js, "orders.a", 5..10).await;
    at.restart(How::Kill).await;
    for (deliver_policy, first) in [
        (DeliverPolicy::ByStartSequence { start_sequence: 4 }, 4),
        (DeliverPolicy::ByStartTime { start_time }, 6),
        (DeliverPolicy::Last, 10),
        (DeliverPolicy::All, 1),
    ] {
        let config = pull::Config {
            deliver_policy,
            ..Default::default()
        };
        let reader = consumer(&stream, config).await;
        assert!(
            sequences(&fetch_now(&reader, 100).await)
                .into_iter()
                .eq(first..=10)
        );
    }
}

#[tokio::test]
async fn a_stream_of_messages_goes_on() {
    for &how in ends_that_keep_all() {
        let mut at = Restarts::started().await;
        let stream = orders(&at.js, 3).await;
        let reader = consumer(&stream, durable("reader")).await;
        let messages = reader.stream().heartbeat(Duration::from_millis(500));
        let mut messages = messages.messages().await.unwrap();
        for message in take(&mut messages, 3).await {
            message.double_ack().await.unwrap();
        }
        at.restart(how).await;
        fill(&at.js, "orders.a", 3..5).await;
        let got = [
            next_good(&mut messages).await,
            next_good(&mut messages).await,
        ];
        assert_eq!(texts(&got), ["3", "4"]);
    }
}

#[tokio::test]
async fn a_push_consumer_goes_on() {
    for &how in ends_that_keep_all() {
        let mut at = Restarts::started().await;
        let stream = orders(&at.js, 3).await;
        let config = push::Config {
            durable_name: Some("reader".to_owned()),
            deliver_subject: "here".to_owned(),
            ..Default::default()
        };
        let reader = stream.create_consumer(config).await.unwrap();
        let mut messages = reader.messages().await.unwrap();
        for message in take(&mut messages, 3).await {
            message.double_ack().await.unwrap();
        }
        at.restart(how).await;
        fill(&at.js, "orders.a", 3..5).await;
        assert_eq!(texts(&take(&mut messages, 2).await), ["3", "4"]);
    }
}

#[tokio::test]
async fn an_ordered_consumer_misses_nothing() {
    let mut at = Restarts::started().await;
    let stream = orders(&at.js, 300).await;
    let config = push::OrderedConfig {
        deliver_subject: at.js.client().new_inbox(),
        ..Default::default()
    };
    let reader = stream.create_consumer(config).await.unwrap();
    let mut messages = reader.messages().await.unwrap();
    let mut seen: BTreeSet<u64> = sequences(&take(&mut messages, 100).await)
        .into_iter()
        .collect();
    at.restart(How::Kill).await;
    fill(&at.js, "orders.a", 300..400).await;
    while seen.len() < 400 {
        seen.insert(
            next_good(&mut messages)
                .await
                .info()
                .unwrap()
                .stream_sequence,
        );
    }
    assert!(seen.into_iter().eq(1..=400));
}

#[tokio::test]
async fn a_waiting_request_is_told_that_the_server_goes() {
    let mut at = Restarts::started().await;
    let stream = orders(&at.js, 0).await;
    let reader = consumer(&stream, durable("reader")).await;
    let client = at.js.client();
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.unwrap();
    let request = pull::BatchConfig {
        batch: 1,
        expires: Some(Duration::from_secs(20)),
        ..Default::default()
    };
    reader.request_batch(request, inbox.into()).await.unwrap();
    let _ = until(
        || reader.get_info(),
        |info| info.as_ref().unwrap().num_waiting == 1,
    )
    .await;
    at.server.stop().await;
    let farewell = harness::next(&mut answers).await;
    assert_eq!(farewell.description.as_deref(), Some("Server Shutdown"));
}

#[tokio::test]
async fn purged_and_deleted_stay_so() {
    let how = *ends_that_keep_all().last().unwrap();
    let mut at = Restarts::started().await;
    let mut stream = orders(&at.js, 10).await;
    stream.purge().sequence(4).await.unwrap();
    stream.delete_message(6).await.unwrap();
    consumer(&stream, durable("gone")).await;
    stream.delete_consumer("gone").await.unwrap();
    at.restart(how).await;
    let state = stream.info().await.unwrap().state.clone();
    assert_eq!(
        (state.messages, state.first_sequence, state.last_sequence),
        (6, 4, 10)
    );
    refused(stream.consumer_info("gone").await, 10014);
    stream.purge().await.unwrap();
    at.restart(how).await;
    assert_eq!(put(&at.js, "orders.a", "").await, 11);
}
