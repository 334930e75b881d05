//! Message headers, and the status line that only servers and services send.

use async_nats::{HeaderMap, StatusCode};

use crate::harness::{Server, assert_quiet, next, settle};
use crate::raw::Raw;

#[tokio::test]
async fn headers_arrive_with_all_their_values() {
    let server = Server::start().await;
    let (sender, receiver) = (server.connect().await, server.connect().await);
    let mut letters = receiver.subscribe("letters").await.unwrap();
    settle(&receiver).await;

    let mut headers = HeaderMap::new();
    headers.insert("Single", "one");
    headers.append("Multi", "first");
    headers.append("Multi", "second");
    headers.append("Multi", "third");
    headers.insert("Nats-Msg-Id", "an id: with colons, and spaces");
    headers.insert("Sprache", "grüße ☕");
    // Names differ by case alone, and a server must not fold them.
    headers.insert("single", "lower");
    sender
        .publish_with_reply_and_headers("letters", "answers", headers.clone(), "hello".into())
        .await
        .unwrap();

    let message = next(&mut letters).await;
    assert_eq!(message.payload, "hello");
    assert_eq!(message.reply.as_deref(), Some("answers"));
    assert_eq!(message.status, None);
    let got = message.headers.expect("headers");
    assert_eq!(got, headers);
    let multi: Vec<_> = got.get_all("Multi").map(|value| value.as_str()).collect();
    assert_eq!(multi, ["first", "second", "third"]);
}

#[tokio::test]
async fn headers_need_no_payload() {
    let server = Server::start().await;
    let client = server.connect().await;
    let mut letters = client.subscribe("letters").await.unwrap();

    let mut headers = HeaderMap::new();
    headers.insert("Only", "this");
    client
        .publish_with_headers("letters", headers.clone(), "".into())
        .await
        .unwrap();

    let message = next(&mut letters).await;
    assert!(message.payload.is_empty());
    assert_eq!(message.headers, Some(headers));
}

#[tokio::test]
async fn large_headers_arrive_unharmed() {
    let server = Server::start().await;
    let (sender, receiver) = (server.connect().await, server.connect().await);
    let mut letters = receiver.subscribe("letters").await.unwrap();
    settle(&receiver).await;

    let mut headers = HeaderMap::new();
    for number in 0..500 {
        headers.insert(format!("Key-{number}"), "v".repeat(number));
    }
    sender
        .publish_with_headers("letters", headers.clone(), "hello".into())
        .await
        .unwrap();

    let message = next(&mut letters).await;
    assert_eq!(message.payload, "hello");
    assert_eq!(message.headers, Some(headers));
}

#[tokio::test]
async fn requests_and_replies_carry_headers() {
    let server = Server::start().await;
    let (asking, answering) = (server.connect().await, server.connect().await);
    let mut requests = answering.subscribe("service").await.unwrap();
    settle(&answering).await;
    let mut question = HeaderMap::new();
    question.insert("Asked-By", "me");
    let mut answer = HeaderMap::new();
    answer.insert("Nats-Service-Error", "not today");
    answer.insert("Nats-Service-Error-Code", "503");

    let service = async {
        let request = next(&mut requests).await;
        assert_eq!(request.headers.as_ref(), Some(&question));
        answering
            .publish_with_headers(request.reply.unwrap(), answer.clone(), "".into())
            .await
            .unwrap();
    };
    let (reply, ()) = tokio::join!(
        asking.request_with_headers("service", question.clone(), "please".into()),
        service
    );

    assert_eq!(reply.unwrap().headers, Some(answer));
}

#[tokio::test]
async fn a_status_line_is_passed_on() {
    let server = Server::start().await;
    let client = server.connect().await;
    let mut statuses = client.subscribe("status").await.unwrap();
    settle(&client).await;
    // The clients send no status of their own, yet services and gateways do.
    let mut sender = Raw::connect(&server, r#","headers":true"#).await;

    for (headers, payload) in [
        ("NATS/1.0 404 No Messages\r\n\r\n", ""),
        ("NATS/1.0 100 Idle Heartbeat\r\nLast: 7\r\n\r\n", "hi"),
        ("NATS/1.0 503\r\n\r\n", ""),
    ] {
        let (length, total) = (headers.len(), headers.len() + payload.len());
        sender
            .send(format!(
                "HPUB status {length} {total}\r\n{headers}{payload}\r\n"
            ))
            .await;
    }

    let message = next(&mut statuses).await;
    assert_eq!(message.status, Some(StatusCode::NOT_FOUND));
    assert_eq!(message.description.as_deref(), Some("No Messages"));

    let message = next(&mut statuses).await;
    assert_eq!(message.status, Some(StatusCode::IDLE_HEARTBEAT));
    assert_eq!(message.description.as_deref(), Some("Idle Heartbeat"));
    assert_eq!(message.payload, "hi");
    let headers = message.headers.expect("headers");
    assert_eq!(headers.get("Last").map(|value| value.as_str()), Some("7"));

    let message = next(&mut statuses).await;
    assert_eq!(message.status, Some(StatusCode::NO_RESPONDERS));
}

#[tokio::test]
async fn a_client_without_headers_gets_the_payload_alone() {
    let server = Server::start().await;
    let client = server.connect().await;
    let mut old = Raw::connect(&server, r#","headers":false"#).await;
    old.send("SUB letters 7\r\n").await;
    old.settle().await;
    let mut letters = client.subscribe("letters").await.unwrap();

    let mut headers = HeaderMap::new();
    headers.insert("Key", "value");
    client
        .publish_with_headers("letters", headers.clone(), "hello".into())
        .await
        .unwrap();

    assert_eq!(old.answer().await.as_deref(), Some("MSG letters 7 5"));
    assert_eq!(old.answer().await.as_deref(), Some("hello"));
    assert_eq!(next(&mut letters).await.headers, Some(headers));
    settle(&client).await;
    assert_quiet(&mut letters);
}
