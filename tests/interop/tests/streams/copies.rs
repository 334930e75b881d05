//! Mirrors and sources, transforms, republishing, counters and batches.

use async_nats::HeaderMap;
use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::{AckPolicy, push};
use async_nats::jetstream::stream::{
    Config, Republish, RetentionPolicy, Source, Stream, StreamConsumerSource, SubjectTransform,
};
use futures::StreamExt;
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;

use super::{on, put, started, until};
use crate::harness::PATIENCE;

fn source(name: &str) -> Source {
    Source {
        name: name.to_owned(),
        ..Source::default()
    }
}

async fn filled(stream: &Stream, count: u64) {
    let messages = || async { stream.get_info().await.unwrap().state.messages };
    assert_eq!(until(messages, |found| *found == count).await, count);
}

#[tokio::test]
async fn a_mirror_and_a_source_follow_their_origin() {
    let (_server, js) = started().await;
    js.create_stream(on("O", &["o.>"])).await.unwrap();
    let mirror = Config {
        mirror: Some(source("O")),
        ..on("M", &[])
    };
    let mirror = js.create_stream(mirror).await.unwrap();
    let some = Config {
        sources: Some(vec![Source {
            filter_subject: Some("o.a".to_owned()),
            ..source("O")
        }]),
        ..on("S", &[])
    };
    let some = js.create_stream(some).await.unwrap();
    for number in 0..10 {
        let subject = if number % 2 == 0 { "o.b" } else { "o.a" };
        put(&js, subject, &number.to_string()).await;
    }
    filled(&mirror, 10).await;
    filled(&some, 5).await;
    let info = mirror.get_info().await.unwrap();
    assert_eq!(
        info.mirror.map(|origin| (origin.name, origin.lag)),
        Some(("O".to_owned(), 0))
    );
    assert_eq!(&*mirror.get_raw_message(7).await.unwrap().payload, b"6");
    let copy = some.get_raw_message(2).await.unwrap();
    assert_eq!(&*copy.payload, b"3");
    let from = copy.headers.get("Nats-Stream-Source").unwrap();
    assert_eq!(from.as_str(), "O 4 o.a > o.a");
}

#[tokio::test]
async fn a_work_queue_is_emptied_through_a_consumer() {
    let (_server, js) = started().await;
    let queue = Config {
        retention: RetentionPolicy::WorkQueue,
        ..on("O", &["o.>"])
    };
    let queue = js.create_stream(queue).await.unwrap();
    let consumer = push::Config {
        durable_name: Some("c".to_owned()),
        deliver_subject: "d".to_owned(),
        ack_policy: AckPolicy::FlowControl,
        flow_control: true,
        idle_heartbeat: Duration::from_secs(1),
        max_ack_pending: 100,
        max_deliver: -1,
        ..push::Config::default()
    };
    let mut consumer = queue.create_consumer(consumer).await.unwrap();
    let config = Config {
        sources: Some(vec![Source {
            consumer: Some(StreamConsumerSource::new("c", "d")),
            ..source("O")
        }]),
        ..on("S", &[])
    };
    let copies = js.create_stream(config.clone()).await.unwrap();
    assert_eq!(copies.cached_info().config.sources, config.sources);
    for number in 0..10 {
        put(&js, "o.a", &number.to_string()).await;
    }
    filled(&copies, 10).await;
    filled(&queue, 0).await;
    let info = consumer.info().await.unwrap();
    assert_eq!(info.ack_floor.stream_sequence, 10);
    assert_eq!((info.num_ack_pending, info.num_pending), (0, 0));
    let copy = copies.get_raw_message(3).await.unwrap();
    let from = copy.headers.get("Nats-Stream-Source").unwrap();
    assert_eq!(from.as_str(), "O:C=k1i3jIye 3 > > o.a");
}

#[tokio::test]
async fn subjects_change_and_messages_are_published_again() {
    let (_server, js) = started().await;
    let config = Config {
        subject_transform: Some(SubjectTransform {
            source: "r.*".to_owned(),
            destination: "n.{{left(1,2)}}".to_owned(),
        }),
        republish: Some(Republish {
            source: "n.>".to_owned(),
            destination: "again.>".to_owned(),
            headers_only: false,
        }),
        ..on("R", &["r.*"])
    };
    js.create_stream(config).await.unwrap();
    let mut heard = js.client().subscribe("again.>").await.unwrap();
    put(&js, "r.abc", "x").await;
    let again = timeout(PATIENCE, heard.next()).await.unwrap().unwrap();
    assert_eq!((&*again.subject, &*again.payload), ("again.ab", &b"x"[..]));
    let headers = again.headers.unwrap();
    assert_eq!(headers.get("Nats-Stream").unwrap().as_str(), "R");
    assert_eq!(headers.get("Nats-Sequence").unwrap().as_str(), "1");
}

/// What is answered to an empty message with these headers; nothing is null.
async fn ask(js: &Context, subject: &'static str, fields: &[(&str, &str)]) -> Value {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.insert(*name, *value);
    }
    let client = js.client();
    let answer = client.request_with_headers(subject, headers, "".into());
    let answer = answer.await.unwrap();
    match answer.payload.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(&answer.payload).unwrap(),
    }
}

#[tokio::test]
async fn counters_count_also_in_batches() {
    let (_server, js) = started().await;
    let config = Config {
        allow_message_counter: true,
        allow_atomic_publish: true,
        ..on("C", &["c.>"])
    };
    let stream = js.create_stream(config).await.unwrap();
    assert_eq!(ask(&js, "c.a", &[("Nats-Incr", "5")]).await["val"], "5");
    assert_eq!(ask(&js, "c.a", &[("Nats-Incr", "-7")]).await["val"], "-2");
    let one = [("Nats-Incr", "1"), ("Nats-Batch-Id", "b")];
    let first = [&one[..], &[("Nats-Batch-Sequence", "1")]].concat();
    assert_eq!(ask(&js, "c.a", &first).await, Value::Null);
    // Nothing of it is there before all of it is.
    assert_eq!(stream.get_info().await.unwrap().state.messages, 2);
    let last = [("Nats-Batch-Sequence", "2"), ("Nats-Batch-Commit", "1")];
    let answer = ask(&js, "c.a", &[&one[..], &last].concat()).await;
    assert_eq!((&answer["seq"], &answer["count"]), (&4.into(), &2.into()));
    let total = stream.get_raw_message(4).await.unwrap();
    assert_eq!(&*total.payload, br#"{"val":"0"}"#);
}
