//! Publish and subscribe: what arrives, and where.

use bytes::Bytes;

use crate::harness::{Server, assert_quiet, next, next_text, settle};

#[tokio::test]
async fn a_message_arrives_as_it_was_sent() {
    let server = Server::start().await;
    let (sender, receiver) = (server.connect().await, server.connect().await);
    let mut orders = receiver.subscribe("orders.new").await.unwrap();
    settle(&receiver).await;

    sender
        .publish_with_reply("orders.new", "answers.here", "two teapots".into())
        .await
        .unwrap();

    let message = next(&mut orders).await;
    assert_eq!(message.subject.as_str(), "orders.new");
    assert_eq!(message.reply.as_deref(), Some("answers.here"));
    assert_eq!(message.payload, "two teapots");
    assert_eq!(message.headers, None);
    assert_eq!(message.status, None);
}

#[tokio::test]
async fn payloads_are_opaque() {
    let server = Server::start().await;
    let (sender, receiver) = (server.connect().await, server.connect().await);
    let mut bytes = receiver.subscribe("bytes").await.unwrap();
    settle(&receiver).await;

    let payloads = [
        Bytes::new(),
        Bytes::from_static(b"\r\n"),
        Bytes::from_static(b"\r\nPUB bytes 3\r\nbad\r\n-ERR 'no'\r\n"),
        Bytes::from_iter(0..=u8::MAX),
        Bytes::from(vec![0; 4096]),
    ];
    for payload in &payloads {
        sender.publish("bytes", payload.clone()).await.unwrap();
    }

    for payload in &payloads {
        let message = next(&mut bytes).await;
        assert_eq!(message.payload, payload);
        assert_eq!(message.reply, None);
    }
    settle(&receiver).await;
    assert_quiet(&mut bytes);
}

#[tokio::test]
async fn wildcards_match_whole_tokens() {
    let server = Server::start().await;
    let (sender, receiver) = (server.connect().await, server.connect().await);
    let published = ["a", "a.b", "a.b.c", "a.x.c", "b.b", "ab", "A.b", "a.b.c.d"];
    let expected: [(&str, &[&str]); 10] = [
        ("a", &["a"]),
        ("a.b", &["a.b"]),
        ("a.*", &["a.b"]),
        ("a.>", &["a.b", "a.b.c", "a.x.c", "a.b.c.d"]),
        ("*.b", &["a.b", "b.b", "A.b"]),
        ("*.*.c", &["a.b.c", "a.x.c"]),
        ("a.*.c", &["a.b.c", "a.x.c"]),
        ("a.*.>", &["a.b.c", "a.x.c", "a.b.c.d"]),
        ("*.b.>", &["a.b.c", "a.b.c.d"]),
        ("c.>", &[]),
    ];
    let mut subscriptions = Vec::new();
    for (pattern, subjects) in expected {
        let subscription = receiver.subscribe(pattern).await.unwrap();
        subscriptions.push((pattern, subjects, subscription));
    }
    settle(&receiver).await;

    for subject in published {
        sender.publish(subject, subject.into()).await.unwrap();
    }
    settle(&sender).await;
    settle(&receiver).await;

    for (pattern, subjects, subscription) in &mut subscriptions {
        for subject in *subjects {
            let message = next(subscription).await;
            assert_eq!(message.subject.as_str(), *subject, "matched by {pattern}");
        }
        assert_quiet(subscription);
    }
}

#[tokio::test]
async fn the_full_wildcard_sees_every_subject() {
    let server = Server::start().await;
    let (sender, receiver) = (server.connect().await, server.connect().await);
    let mut all = receiver.subscribe(">").await.unwrap();
    settle(&receiver).await;
    assert!(next(&mut all).await.subject.starts_with("_INBOX."));

    let published = ["a", "a.b.c", "UPPER.lower-1_2", "grüße.an.alle", "x.y=z/7"];
    for subject in published {
        sender.publish(subject, "".into()).await.unwrap();
    }
    for subject in published {
        assert_eq!(next(&mut all).await.subject.as_str(), subject);
    }
}

#[tokio::test]
async fn every_subscription_gets_its_own_copy() {
    let server = Server::start().await;
    let (one, other) = (server.connect().await, server.connect().await);
    let mut copies = vec![
        one.subscribe("news").await.unwrap(),
        one.subscribe("news").await.unwrap(),
        one.subscribe("*").await.unwrap(),
        other.subscribe("news").await.unwrap(),
    ];
    settle(&other).await;

    // The publisher is a subscriber too, and hears itself.
    one.publish("news", "extra".into()).await.unwrap();

    for copy in &mut copies {
        assert_eq!(next_text(copy).await, "extra");
    }
    settle(&one).await;
    settle(&other).await;
    for copy in &mut copies {
        assert_quiet(copy);
    }
}

#[tokio::test]
async fn flushed_messages_outlive_their_client() {
    let server = Server::start().await;
    let receiver = server.connect().await;
    let mut last_words = receiver.subscribe("last.words").await.unwrap();
    settle(&receiver).await;

    let sender = server.connect().await;
    for number in 0..100 {
        let text = number.to_string();
        sender.publish("last.words", text.into()).await.unwrap();
    }
    sender.flush().await.unwrap();
    drop(sender);

    for number in 0..100 {
        assert_eq!(next_text(&mut last_words).await, number.to_string());
    }
}
