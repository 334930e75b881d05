//! Payloads up to the limit that the server announces, and one byte more.

use async_nats::{HeaderMap, PublishErrorKind, RequestErrorKind};
use bytes::Bytes;

use crate::harness::{Server, assert_quiet, next, settle};
use crate::raw::Raw;

const MEBIBYTE: usize = 1024 * 1024;

/// Bytes that differ from message to message and repeat at no power of two.
fn pattern(length: usize, seed: usize) -> Bytes {
    Bytes::from_iter((0..length).map(|index| ((index + seed) % 251) as u8))
}

#[tokio::test]
async fn the_limit_is_a_mebibyte_and_announced() {
    let server = Server::start().await;
    let client = server.connect().await;
    assert_eq!(client.server_info().max_payload, MEBIBYTE);
    assert_eq!(client.max_payload(), MEBIBYTE);
}

#[tokio::test]
async fn payloads_of_exactly_the_limit_pass_unharmed() {
    let server = Server::start().await;
    let (sender, receiver) = (server.connect().await, server.connect().await);
    let mut blobs = receiver.subscribe("blobs").await.unwrap();
    settle(&receiver).await;

    for seed in 0..16 {
        let blob = pattern(MEBIBYTE, seed);
        sender.publish("blobs", blob).await.unwrap();
    }
    for seed in 0..16 {
        let blob = next(&mut blobs).await.payload;
        assert!(
            blob == pattern(MEBIBYTE, seed),
            "payload {seed} came changed"
        );
    }
}

#[tokio::test]
async fn a_request_and_its_reply_may_fill_the_limit() {
    let server = Server::start().await;
    let (asking, answering) = (server.connect().await, server.connect().await);
    let mut requests = answering.subscribe("blobs").await.unwrap();
    settle(&answering).await;

    let service = async {
        let request = next(&mut requests).await;
        answering
            .publish(request.reply.unwrap(), request.payload)
            .await
            .unwrap();
    };
    let (reply, ()) = tokio::join!(asking.request("blobs", pattern(MEBIBYTE, 3)), service);
    assert!(
        reply.unwrap().payload == pattern(MEBIBYTE, 3),
        "the reply came changed"
    );
}

#[tokio::test]
async fn headers_count_towards_the_limit() {
    let server = Server::start().await;
    let client = server.connect().await;
    let mut blobs = client.subscribe("blobs").await.unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("Key", "value");
    let room = MEBIBYTE - "NATS/1.0\r\nKey: value\r\n\r\n".len();

    let fits = pattern(room, 5);
    client
        .publish_with_headers("blobs", headers.clone(), fits.clone())
        .await
        .unwrap();
    let too_large = client
        .publish_with_headers("blobs", headers.clone(), pattern(room + 1, 5))
        .await;

    assert_eq!(
        too_large.unwrap_err().kind(),
        PublishErrorKind::MaxPayloadExceeded
    );
    let message = next(&mut blobs).await;
    assert_eq!(message.headers, Some(headers));
    assert!(message.payload == fits, "the payload came changed");
}

#[tokio::test]
async fn one_byte_more_is_refused_by_the_client() {
    let server = Server::start().await;
    let client = server.connect().await;
    let mut blobs = client.subscribe("blobs").await.unwrap();

    let published = client.publish("blobs", pattern(MEBIBYTE + 1, 0)).await;
    assert_eq!(
        published.unwrap_err().kind(),
        PublishErrorKind::MaxPayloadExceeded
    );
    let requested = client.request("blobs", pattern(MEBIBYTE + 1, 0)).await;
    assert_eq!(
        requested.unwrap_err().kind(),
        RequestErrorKind::MaxPayloadExceeded
    );

    settle(&client).await;
    assert_quiet(&mut blobs);
}

#[tokio::test]
async fn one_byte_more_is_refused_by_the_server() {
    let server = Server::start().await;
    let client = server.connect().await;
    let mut blobs = client.subscribe("blobs").await.unwrap();
    settle(&client).await;
    let mut careless = Raw::connect(&server, "").await;

    careless
        .send(format!("PUB blobs {}\r\n", MEBIBYTE + 1))
        .await;

    assert_eq!(
        careless.answer().await.as_deref(),
        Some("-ERR 'Maximum Payload Violation'")
    );
    assert_eq!(careless.answer().await, None, "the connection is closed");
    settle(&client).await;
    assert_quiet(&mut blobs);
}
