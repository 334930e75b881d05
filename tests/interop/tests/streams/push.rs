//! Push consumers: the server sends, to one subscriber, to a group, in order, at its reader's pace.

use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::push::{Config, OrderedConfig};
use async_nats::jetstream::consumer::{AckPolicy, PushConsumer};
use async_nats::jetstream::stream;
use futures::{FutureExt, StreamExt, TryStreamExt};

use crate::harness::settle;

use super::{
    context, fill, next, numbers, on, orders, put, refused, sequences, started, take, texts, until,
};

fn to(deliver_subject: &str) -> Config {
    Config {
        durable_name: Some("reader".to_owned()),
        deliver_subject: deliver_subject.to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_subscriber_gets_what_was_and_what_comes() {
    let (_server, js) = started().await;
    let stream = orders(&js, 3).await;
    let reader = stream.create_consumer(to("here")).await.unwrap();
    assert!(!reader.cached_info().push_bound);
    let mut messages = reader.messages().await.unwrap();
    fill(&js, "orders.b", 3..5).await;
    let got = take(&mut messages, 5).await;
    assert_eq!(texts(&got), numbers(0..5));
    assert_eq!(got[4].subject.as_str(), "orders.b");
    for message in &got {
        message.double_ack().await.unwrap();
    }
    let info = reader.get_info().await.unwrap();
    assert_eq!((info.num_ack_pending, info.num_pending), (0, 0));
    assert!(info.push_bound);
}

#[tokio::test]
async fn a_durable_goes_on_where_it_was() {
    let (_server, js) = started().await;
    let stream = orders(&js, 4).await;
    let reader = stream.create_consumer(to("here")).await.unwrap();
    let mut messages = reader.messages().await.unwrap();
    for message in take(&mut messages, 4).await {
        message.double_ack().await.unwrap();
    }
    drop(messages);
    let _ = until(
        || reader.get_info(),
        |info| !info.as_ref().unwrap().push_bound,
    )
    .await;
    fill(&js, "orders.a", 4..6).await;
    let reader: PushConsumer = stream.get_consumer("reader").await.unwrap();
    let mut messages = reader.messages().await.unwrap();
    assert_eq!(texts(&take(&mut messages, 2).await), ["4", "5"]);
}

#[tokio::test]
async fn an_unacknowledged_message_comes_again() {
    let (_server, js) = started().await;
    let stream = orders(&js, 1).await;
    let config = Config {
        ack_wait: Duration::from_millis(200),
        ..to("here")
    };
    let reader = stream.create_consumer(config).await.unwrap();
    let mut messages = reader.messages().await.unwrap();
    for count in 1..=3 {
        assert_eq!(next(&mut messages).await.info().unwrap().delivered, count);
    }
}

#[tokio::test]
async fn a_group_shares_the_messages() {
    let (server, js) = started().await;
    let stream = orders(&js, 0).await;
    let config = Config {
        deliver_group: Some("group".to_owned()),
        ..to("here")
    };
    let reader = stream.create_consumer(config).await.unwrap();
    let mut members = Vec::new();
    for _ in 0..3 {
        let js = context(&server).await;
        let member: PushConsumer = js
            .get_consumer_from_stream("reader", "ORDERS")
            .await
            .unwrap();
        let messages = member.messages().await.unwrap();
        settle(&js.client()).await;
        members.push((js, messages));
    }
    fill(&js, "orders.a", 0..300).await;
    let sent = |info: &Result<async_nats::jetstream::consumer::Info, _>| {
        info.as_ref()
            .is_ok_and(|info| info.delivered.stream_sequence == 300)
    };
    let _ = until(|| reader.get_info(), sent).await;
    let mut all = Vec::new();
    for (js, messages) in &mut members {
        settle(&js.client()).await;
        let waiting = || tokio::task::unconstrained(messages.next()).now_or_never();
        let share: Vec<_> = std::iter::from_fn(waiting)
            .map(|next| next.unwrap().unwrap())
            .collect();
        assert!(!share.is_empty(), "each has its share");
        all.extend(sequences(&share));
    }
    all.sort();
    assert!(all.into_iter().eq(1..=300));
}

#[tokio::test]
async fn heartbeats_and_flow_control_stay_out_of_sight() {
    let (_server, js) = started().await;
    let stream = orders(&js, 0).await;
    for _ in 0..200 {
        let ack = js
            .publish("orders.a", vec![0; 100_000].into())
            .await
            .unwrap();
        ack.await.unwrap();
    }
    let config = Config {
        flow_control: true,
        idle_heartbeat: Duration::from_millis(200),
        ack_policy: AckPolicy::None,
        ..to("here")
    };
    let reader = stream.create_consumer(config).await.unwrap();
    let mut messages = reader.messages().await.unwrap();
    let got = take(&mut messages, 200).await;
    assert!(sequences(&got).into_iter().eq(1..=200));
    let silence = tokio::time::timeout(Duration::from_millis(500), messages.next()).await;
    assert!(silence.is_err(), "a heartbeat is not a message");
    put(&js, "orders.a", "after").await;
    assert_eq!(next(&mut messages).await.payload, "after");
}

#[tokio::test]
async fn a_rate_limit_paces_the_delivery() {
    let (_server, js) = started().await;
    // As much as the largest message may come at once.
    let config = stream::Config {
        max_message_size: 2000,
        ..on("PACED", &["paced"])
    };
    let stream = js.create_stream(config).await.unwrap();
    for _ in 0..5 {
        js.publish("paced", vec![0; 1000].into())
            .await
            .unwrap()
            .await
            .unwrap();
    }
    // The other three kilobytes at eighty kilobits a second.
    let reader = stream
        .create_consumer(Config {
            rate_limit: 80_000,
            ..to("here")
        })
        .await
        .unwrap();
    let mut messages = reader.messages().await.unwrap();
    let started = Instant::now();
    take(&mut messages, 5).await;
    assert!(started.elapsed() > Duration::from_millis(200));
}

#[tokio::test]
async fn an_ordered_consumer_reads_all_in_order() {
    let (_server, js) = started().await;
    let stream = orders(&js, 3000).await;
    let config = OrderedConfig {
        deliver_subject: js.client().new_inbox(),
        ..Default::default()
    };
    let reader = stream.create_consumer(config).await.unwrap();
    let mut messages = reader.messages().await.unwrap();
    assert_eq!(texts(&take(&mut messages, 3000).await), numbers(0..3000));
}

#[tokio::test]
async fn a_consumer_without_a_subscriber_goes_away() {
    let (_server, js) = started().await;
    let stream = orders(&js, 1).await;
    let config = Config {
        durable_name: None,
        inactive_threshold: Duration::from_millis(300),
        ..to("here")
    };
    let reader = stream.create_consumer(config).await.unwrap();
    let mut messages = reader.messages().await.unwrap();
    next(&mut messages).await;
    drop(messages);
    let names = || stream.consumer_names().try_collect::<Vec<String>>();
    let _ = until(names, |names| names.as_ref().unwrap().is_empty()).await;
}

#[tokio::test]
async fn an_impossible_push_consumer_is_refused() {
    let (_server, js) = started().await;
    let stream = orders(&js, 0).await;
    let beat = Duration::from_millis(10);
    for (config, code) in [
        (to("here.*"), 10079),
        (to("orders.a"), 10081),
        (
            Config {
                max_waiting: 5,
                ..to("here")
            },
            10080,
        ),
        (
            Config {
                flow_control: true,
                ..to("here")
            },
            10108,
        ),
        (
            Config {
                idle_heartbeat: beat,
                ..to("here")
            },
            10083,
        ),
        (
            Config {
                max_deliver: 1,
                backoff: vec![beat, beat],
                ..to("here")
            },
            10116,
        ),
    ] {
        refused(stream.create_consumer(config).await, code);
    }
}
