//! Publishing into streams: acknowledgements, expectations, duplicates, roll-ups.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::stream::Config;
use bytes::Bytes;
use futures::future::join_all;

use crate::harness;

use super::{consumer, context, durable, fetch, fill, on, orders, put, refused, started, until};

async fn send(
    js: &Context,
    subject: &str,
    message: PublishMessage,
) -> Result<PublishAck, PublishError> {
    js.send_publish(subject.to_owned(), message).await?.await
}

fn message() -> PublishMessage {
    PublishMessage::build()
}

#[tokio::test]
async fn each_publish_is_acknowledged_with_its_sequence() {
    let (_server, js) = started().await;
    orders(&js, 0).await;
    for number in 1..4 {
        let ack = send(&js, "orders.a", message()).await.unwrap();
        assert_eq!(
            (ack.stream.as_str(), ack.sequence, ack.duplicate),
            ("ORDERS", number, false)
        );
    }
}

#[tokio::test]
async fn thousands_on_their_way_are_all_acknowledged_in_order() {
    let (_server, js) = started().await;
    let stream = orders(&js, 0).await;
    let acks = fill(&js, "orders.a", 0..5000).await;
    assert!(acks.iter().map(|ack| ack.sequence).eq(1..=5000));
    for sequence in [1, 2500, 5000] {
        let text = (sequence - 1).to_string();
        assert_eq!(
            stream.get_raw_message(sequence).await.unwrap().payload,
            text
        );
    }
}

#[tokio::test]
async fn a_publish_without_a_stream_fails_at_once() {
    let (_server, js) = started().await;
    let error = send(&js, "nobody.listens", message()).await.unwrap_err();
    assert_eq!(error.kind(), PublishErrorKind::StreamNotFound);
}

#[tokio::test]
async fn subscribers_get_what_a_stream_keeps() {
    let (_server, js) = started().await;
    let stream = orders(&js, 0).await;
    let mut live = js.client().subscribe("orders.*").await.unwrap();
    put(&js, "orders.a", "both").await;
    assert_eq!(harness::next_text(&mut live).await, "both");
    js.client()
        .publish("orders.b", "plain".into())
        .await
        .unwrap();
    let _ = until(
        || stream.get_info(),
        |info| info.as_ref().unwrap().state.messages == 2,
    )
    .await;
    assert_eq!(stream.get_raw_message(2).await.unwrap().payload, "plain");
}

#[tokio::test]
async fn messages_of_the_largest_size_are_kept() {
    let (_server, js) = started().await;
    let stream = orders(&js, 0).await;
    let limit = js.client().server_info().max_payload;
    let payload: Bytes = (0..limit).map(|index| (index % 251) as u8).collect();
    for _ in 0..3 {
        send(&js, "orders.a", message().payload(payload.clone()))
            .await
            .unwrap();
    }
    assert_eq!(stream.get_raw_message(2).await.unwrap().payload, payload);
    let reader = consumer(&stream, durable("reader")).await;
    for message in fetch(&reader, 3).await {
        assert_eq!(message.payload, payload);
    }
}

#[tokio::test]
async fn headers_are_kept() {
    let (_server, js) = started().await;
    let stream = orders(&js, 0).await;
    let coloured = message()
        .header("Colour", "red")
        .header("Empty", "")
        .payload("body".into());
    send(&js, "orders.a", coloured.message_id("one"))
        .await
        .unwrap();
    let reader = consumer(&stream, durable("reader")).await;
    let got = fetch(&reader, 1).await.remove(0);
    let headers = got.headers.as_ref().unwrap();
    assert_eq!(headers.get("Colour").unwrap().as_str(), "red");
    assert_eq!(headers.get("Empty").unwrap().as_str(), "");
    assert_eq!(headers.get("Nats-Msg-Id").unwrap().as_str(), "one");
    assert_eq!(headers.len(), 3);
    assert_eq!(got.payload, "body");
}

#[tokio::test]
async fn a_duplicate_is_told_and_not_kept() {
    let (_server, js) = started().await;
    let mut stream = orders(&js, 0).await;
    let first = send(&js, "orders.a", message().message_id("a"))
        .await
        .unwrap();
    send(&js, "orders.a", message().message_id("b"))
        .await
        .unwrap();
    let again = send(&js, "orders.b", message().message_id("a"))
        .await
        .unwrap();
    assert_eq!((first.sequence, first.duplicate), (1, false));
    assert_eq!((again.sequence, again.duplicate), (1, true));
    assert_eq!(stream.info().await.unwrap().state.messages, 2);
}

#[tokio::test]
async fn duplicates_are_known_for_their_window_only() {
    let (_server, js) = started().await;
    let brief = Duration::from_millis(200);
    let config = Config {
        duplicate_window: brief,
        ..on("ORDERS", &["orders.*"])
    };
    js.create_stream(config).await.unwrap();
    send(&js, "orders.a", message().message_id("a"))
        .await
        .unwrap();
    let again = || send(&js, "orders.a", message().message_id("a"));
    let ack = until(again, |ack| !ack.as_ref().unwrap().duplicate)
        .await
        .unwrap();
    assert_eq!(ack.sequence, 2);
}

#[tokio::test]
async fn a_publish_may_expect_what_it_follows() {
    let (_server, js) = started().await;
    let mut stream = orders(&js, 0).await;
    send(&js, "orders.a", message().expected_last_sequence(0))
        .await
        .unwrap();
    let second = message()
        .expected_stream("ORDERS")
        .expected_last_sequence(1)
        .message_id("id");
    send(&js, "orders.b", second).await.unwrap();
    send(
        &js,
        "orders.b",
        message().expected_last_message_id("id").message_id("other"),
    )
    .await
    .unwrap();
    send(&js, "orders.a", message().expected_last_subject_sequence(1))
        .await
        .unwrap();
    for (wrong, kind, code) in [
        (
            message().expected_stream("OTHER"),
            PublishErrorKind::Other,
            10060,
        ),
        (
            message().expected_last_sequence(3),
            PublishErrorKind::WrongLastSequence,
            10071,
        ),
        (
            message().expected_last_subject_sequence(1),
            PublishErrorKind::WrongLastSequence,
            10071,
        ),
        (
            message().expected_last_message_id("id"),
            PublishErrorKind::WrongLastMessageId,
            10070,
        ),
    ] {
        let error = send(&js, "orders.a", wrong).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        refused(Err::<(), _>(error), code);
    }
    assert_eq!(stream.info().await.unwrap().state.messages, 4);
}

#[tokio::test]
async fn of_many_with_the_same_expectation_one_wins() {
    let (_server, js) = started().await;
    orders(&js, 0).await;
    let attempt = || send(&js, "orders.a", message().expected_last_subject_sequence(0));
    let results = join_all((0..50).map(|_| attempt())).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for error in results.into_iter().filter_map(Result::err) {
        assert_eq!(error.kind(), PublishErrorKind::WrongLastSequence);
    }
}

#[tokio::test]
async fn a_roll_up_replaces_its_subject_or_all() {
    let (_server, js) = started().await;
    let config = Config {
        allow_rollup: true,
        ..on("ORDERS", &["orders.*"])
    };
    let mut stream = js.create_stream(config).await.unwrap();
    fill(&js, "orders.a", 0..3).await;
    fill(&js, "orders.b", 0..3).await;
    send(&js, "orders.a", message().header("Nats-Rollup", "sub"))
        .await
        .unwrap();
    assert_eq!(stream.info().await.unwrap().state.messages, 4);
    send(&js, "orders.a", message().header("Nats-Rollup", "all"))
        .await
        .unwrap();
    let state = &stream.info().await.unwrap().state;
    assert_eq!((state.messages, state.first_sequence), (1, 8));

    js.create_stream(on("PLAIN", &["plain"])).await.unwrap();
    refused(
        send(&js, "plain", message().header("Nats-Rollup", "sub")).await,
        10111,
    );
}

#[tokio::test]
async fn several_publishers_share_one_sequence() {
    let (server, js) = started().await;
    orders(&js, 0).await;
    let others = join_all((0..4).map(|_| context(&server))).await;
    let acks = join_all(others.iter().map(|other| fill(other, "orders.a", 0..500))).await;
    let mut all = Vec::new();
    for own in acks {
        assert!(
            own.is_sorted_by_key(|ack| ack.sequence),
            "each keeps its order"
        );
        all.extend(own.iter().map(|ack| ack.sequence));
    }
    all.sort();
    assert!(all.into_iter().eq(1..=2000));
}
