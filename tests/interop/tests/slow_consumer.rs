//! Readers that cannot keep up: in the client, and on the wire.

use async_nats::{ConnectOptions, Event};
use bytes::Bytes;

use crate::harness::{Events, Server, assert_quiet, next, next_text, settle};
use crate::raw::Raw;

#[tokio::test]
async fn the_client_reports_what_it_drops_and_stays_connected() {
    let server = Server::start().await;
    let (options, mut events) = Events::of(ConnectOptions::new().subscription_capacity(10));
    let slow = server.connect_with(options).await;
    let sender = server.connect().await;
    let mut flood = slow.subscribe("flood").await.unwrap();
    let mut trickle = slow.subscribe("trickle").await.unwrap();
    settle(&slow).await;

    for number in 0..30 {
        let text = number.to_string();
        sender.publish("flood", text.into()).await.unwrap();
    }
    sender.publish("trickle", "drop".into()).await.unwrap();
    assert_eq!(next_text(&mut trickle).await, "drop");

    // The client numbers its subscriptions from one.
    assert_eq!(
        events.until(Event::SlowConsumer(1)).await,
        [Event::Connected]
    );
    assert_eq!(events.so_far(), vec![Event::SlowConsumer(1); 19]);
    for number in 0..10 {
        assert_eq!(next_text(&mut flood).await, number.to_string());
    }
    settle(&slow).await;
    assert_quiet(&mut flood);
    sender.publish("flood", "on time".into()).await.unwrap();
    assert_eq!(next_text(&mut flood).await, "on time");
}

/// More than any server may keep for one connection, by the 64 MiB that are usual.
const FLOOD: usize = 160;
const BLOB: usize = 1024 * 1024;

#[tokio::test]
async fn a_connection_that_stops_reading_is_cut_and_holds_up_nobody() {
    let server = Server::start().await;
    let (sender, healthy) = (server.connect().await, server.connect().await);
    let mut flood = healthy.subscribe("flood").await.unwrap();
    settle(&healthy).await;
    let mut stalled = Raw::connect(&server, "").await;
    stalled.send("SUB flood 1\r\n").await;
    stalled.settle().await;

    let blob = Bytes::from(vec![b'x'; BLOB]);
    let publishing = async {
        for _ in 0..FLOOD {
            sender.publish("flood", blob.clone()).await.unwrap();
        }
    };
    let reading = async {
        for _ in 0..FLOOD {
            assert_eq!(next(&mut flood).await.payload.len(), BLOB);
        }
    };
    tokio::join!(publishing, reading);

    // What fitted into the buffers of the sockets can still be read, then comes the end.
    let read = stalled.count_to_end().await;
    assert!(
        read < FLOOD * BLOB,
        "the server kept {read} bytes for a reader that had stopped"
    );
    sender.publish("flood", "after".into()).await.unwrap();
    assert_eq!(next_text(&mut flood).await, "after");
}
