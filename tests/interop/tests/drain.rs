//! Drains: nothing new, but all that is under way.

use std::time::Instant;

use async_nats::{ConnectOptions, Event, PublishErrorKind, RequestErrorKind};

use crate::harness::{Events, PATIENCE, Server, assert_ended, next_text, settle};

#[tokio::test]
async fn a_drained_subscription_ends_after_what_has_come() {
    let server = Server::start().await;
    let client = server.connect().await;
    let mut drained = client.subscribe("work").await.unwrap();
    let mut other = client.subscribe("other").await.unwrap();
    for number in 0..100 {
        let text = number.to_string();
        client.publish("work", text.into()).await.unwrap();
    }
    settle(&client).await;

    drained.drain().await.unwrap();

    for number in 0..100 {
        assert_eq!(next_text(&mut drained).await, number.to_string());
    }
    assert_ended(&mut drained).await;
    let answer = client.request("work", "anyone?".into()).await;
    assert_eq!(answer.unwrap_err().kind(), RequestErrorKind::NoResponders);
    // The connection and its other subscriptions go on.
    client.publish("other", "still here".into()).await.unwrap();
    assert_eq!(next_text(&mut other).await, "still here");
}

#[tokio::test]
async fn a_drained_queue_member_leaves_nothing_undone() {
    const JOBS: usize = 500;
    let server = Server::start().await;
    let publisher = server.connect().await;
    let (staying, leaving) = (server.connect().await, server.connect().await);
    let mut stays = staying.queue_subscribe("jobs", "w".into()).await.unwrap();
    let mut leaves = leaving.queue_subscribe("jobs", "w".into()).await.unwrap();
    settle(&staying).await;
    settle(&leaving).await;

    let publish = async |from: usize| {
        for number in from..from + JOBS {
            let text = number.to_string();
            publisher.publish("jobs", text.into()).await.unwrap();
        }
        settle(&publisher).await;
    };
    publish(0).await;
    // What the leaving member has been given is with its client before it says goodbye.
    settle(&leaving).await;
    leaves.drain().await.unwrap();
    settle(&leaving).await;
    publish(JOBS).await;

    let mut done = Vec::new();
    while let Some(message) = futures::StreamExt::next(&mut leaves).await {
        done.push(message.payload);
    }
    assert!(!done.is_empty() && done.len() < JOBS, "{}", done.len());
    for _ in done.len()..2 * JOBS {
        done.push(next_text(&mut stays).await.into());
    }
    let mut numbers: Vec<usize> = done
        .iter()
        .map(|payload| std::str::from_utf8(payload).unwrap().parse().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..2 * JOBS).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_drained_client_delivers_both_ways_and_closes() {
    let server = Server::start().await;
    let (options, mut events) = Events::of(ConnectOptions::new());
    let client = server.connect_with(options).await;
    let other = server.connect().await;
    let mut at_other = other.subscribe("out").await.unwrap();
    settle(&other).await;
    let mut at_client = client.subscribe("in").await.unwrap();
    for number in 0..100 {
        let text = number.to_string();
        client.publish("in", text.into()).await.unwrap();
    }
    settle(&client).await;

    for number in 0..100 {
        let text = number.to_string();
        client.publish("out", text.into()).await.unwrap();
    }
    client.drain().await.unwrap();

    for number in 0..100 {
        assert_eq!(next_text(&mut at_client).await, number.to_string());
        assert_eq!(next_text(&mut at_other).await, number.to_string());
    }
    assert_ended(&mut at_client).await;
    events.until(Event::Draining).await;
    let before_closed = events.until(Event::Closed).await;
    assert_eq!(before_closed, [], "closed without a disconnect or an error");

    // The handler task that has reported the end still has to go.
    let deadline = Instant::now() + PATIENCE;
    let refused = loop {
        match client.publish("out", "too late".into()).await {
            Err(error) => break error,
            Ok(()) => assert!(Instant::now() < deadline, "a closed client still publishes"),
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(refused.kind(), PublishErrorKind::Send);
}
