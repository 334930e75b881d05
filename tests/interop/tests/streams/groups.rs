//! Priority groups, and consumers that pause and start over.

use std::time::Duration;

use async_nats::jetstream::consumer::PriorityPolicy;
use async_nats::jetstream::consumer::pull::Config;
use futures::StreamExt;
use time::OffsetDateTime;
use tokio::time::timeout;

use super::{consumer, durable, fetch, fetch_now, next, orders, put, rest, sequences, started};

const SHORT: Duration = Duration::from_millis(300);

fn in_group(policy: PriorityPolicy) -> Config {
    Config {
        priority_groups: vec!["g".to_owned()],
        priority_policy: policy,
        ..durable("reader")
    }
}

#[tokio::test]
async fn one_client_is_pinned_until_it_is_unpinned() {
    let (_server, js) = started().await;
    let stream = orders(&js, 0).await;
    let mut reader = consumer(&stream, in_group(PriorityPolicy::PinnedClient)).await;
    let pull = || {
        reader
            .stream()
            .group("g")
            .max_messages_per_batch(5)
            .messages()
    };
    let mut first = pull().await.unwrap();
    let mut second = pull().await.unwrap();
    put(&js, "orders.a", "0").await;
    let one = tokio::select! {
        message = next(&mut first) => (1, message),
        message = next(&mut second) => (2, message),
    };
    one.1.ack().await.unwrap();
    let (pinned, other) = match one.0 {
        1 => (&mut first, &mut second),
        _ => (&mut second, &mut first),
    };
    // More than it has asked for at a time.
    for number in 1..12 {
        put(&js, "orders.a", &number.to_string()).await;
        next(pinned).await.ack().await.unwrap();
    }
    assert!(
        timeout(SHORT, other.next()).await.is_err(),
        "the other is on standby"
    );
    stream.unpin_consumer("reader", "g").await.unwrap();
    put(&js, "orders.a", "12").await;
    assert_eq!(&*next(other).await.payload, b"12");
    drop((first, second));
    let info = reader.info().await.unwrap();
    assert_eq!(info.delivered.consumer_sequence, 13);
}

#[tokio::test]
async fn an_overflow_is_served_when_much_is_pending() {
    let (_server, js) = started().await;
    let stream = orders(&js, 2).await;
    let reader = consumer(&stream, in_group(PriorityPolicy::Overflow)).await;
    let ask = |min: usize| {
        let batch = reader.batch().max_messages(1).expires(SHORT);
        batch.group("g").min_pending(min).messages()
    };
    assert!(rest(ask(3).await.unwrap()).await.is_empty());
    put(&js, "orders.a", "2").await;
    assert_eq!(sequences(&rest(ask(3).await.unwrap()).await), [1]);
    assert!(rest(ask(3).await.unwrap()).await.is_empty());
    assert_eq!(sequences(&rest(ask(1).await.unwrap()).await), [2]);
}

#[tokio::test]
async fn the_lowest_priority_is_served_first() {
    let (_server, js) = started().await;
    let stream = orders(&js, 0).await;
    let reader = consumer(&stream, in_group(PriorityPolicy::Prioritized)).await;
    let pull = |priority| {
        let pull = reader.stream().group("g").priority(priority);
        pull.max_messages_per_batch(5).messages()
    };
    let mut late = pull(9).await.unwrap();
    // They ask when they are asked.
    assert!(timeout(SHORT, late.next()).await.is_err());
    let mut early = pull(0).await.unwrap();
    assert!(timeout(SHORT, early.next()).await.is_err());
    for number in 0..3 {
        put(&js, "orders.a", &number.to_string()).await;
        next(&mut early).await.ack().await.unwrap();
    }
    drop(early);
    put(&js, "orders.a", "3").await;
    assert_eq!(&*next(&mut late).await.payload, b"3");
}

#[tokio::test]
async fn a_consumer_starts_over() {
    let (_server, js) = started().await;
    let stream = orders(&js, 5).await;
    let mut reader = consumer(&stream, durable("reader")).await;
    fetch(&reader, 5).await[0].ack().await.unwrap();
    let reset = reader.reset(None).await.unwrap();
    assert_eq!((reset.reset_seq, reset.info.num_pending), (2, 4));
    assert_eq!(sequences(&fetch(&reader, 4).await), [2, 3, 4, 5]);
    let reset = reader.reset(Some(4)).await.unwrap();
    assert_eq!((reset.reset_seq, reset.info.num_ack_pending), (4, 0));
    assert_eq!(sequences(&fetch(&reader, 2).await), [4, 5]);
}

#[tokio::test]
async fn a_consumer_pauses_and_goes_on() {
    let (_server, js) = started().await;
    let stream = orders(&js, 1).await;
    let mut reader = consumer(&stream, durable("reader")).await;
    let until = OffsetDateTime::now_utc() + Duration::from_secs(600);
    let paused = stream.pause_consumer("reader", until).await.unwrap();
    assert!(paused.paused);
    assert!(fetch_now(&reader, 1).await.is_empty());
    assert!(reader.info().await.unwrap().paused);
    assert!(!stream.resume_consumer("reader").await.unwrap().paused);
    assert_eq!(sequences(&fetch(&reader, 1).await), [1]);
}
