//! The ways to end a subscription. Each is checked on the server too: a request on the subject
//! must find nobody, since the client alone would hide messages that still come.

use async_nats::{Client, RequestErrorKind};

use crate::harness::{Server, assert_ended, assert_quiet, next_text, settle};

async fn assert_nobody_listens(client: &Client, subject: &str) {
    let answer = client.request(subject.to_owned(), "anyone?".into()).await;
    assert_eq!(answer.unwrap_err().kind(), RequestErrorKind::NoResponders);
}

#[tokio::test]
async fn unsubscribe_ends_one_subscription_only() {
    let server = Server::start().await;
    let client = server.connect().await;
    let mut leaves = client.subscribe("news").await.unwrap();
    let mut stays = client.subscribe("news").await.unwrap();

    client.publish("news", "first".into()).await.unwrap();
    settle(&client).await;
    leaves.unsubscribe().await.unwrap();
    client.publish("news", "second".into()).await.unwrap();

    assert_eq!(next_text(&mut leaves).await, "first");
    assert_ended(&mut leaves).await;
    assert_eq!(next_text(&mut stays).await, "first");
    assert_eq!(next_text(&mut stays).await, "second");
    settle(&client).await;
    assert_quiet(&mut stays);

    stays.unsubscribe().await.unwrap();
    assert_nobody_listens(&client, "news").await;
}

#[tokio::test]
async fn dropping_a_subscriber_unsubscribes() {
    let server = Server::start().await;
    let client = server.connect().await;
    let subscriber = client.subscribe("dropped").await.unwrap();
    settle(&client).await;
    drop(subscriber);
    assert_nobody_listens(&client, "dropped").await;
}

#[tokio::test]
async fn unsubscribe_after_counts_on_both_sides() {
    let server = Server::start().await;
    let (sender, receiver) = (server.connect().await, server.connect().await);
    let mut three = receiver.subscribe("limited").await.unwrap();
    three.unsubscribe_after(3).await.unwrap();
    settle(&receiver).await;

    for number in 1..=5 {
        let text = number.to_string();
        sender.publish("limited", text.into()).await.unwrap();
    }

    for number in 1..=3 {
        assert_eq!(next_text(&mut three).await, number.to_string());
    }
    assert_ended(&mut three).await;
    // The client sends no UNSUB once the count is full: the server has to count itself.
    assert_nobody_listens(&sender, "limited").await;
}

#[tokio::test]
async fn unsubscribe_after_includes_what_came_before() {
    let server = Server::start().await;
    let client = server.connect().await;
    let mut four = client.subscribe("limited").await.unwrap();
    for text in ["one", "two"] {
        client.publish("limited", text.into()).await.unwrap();
    }
    settle(&client).await;

    four.unsubscribe_after(4).await.unwrap();
    for text in ["three", "four", "five"] {
        client.publish("limited", text.into()).await.unwrap();
    }

    for text in ["one", "two", "three", "four"] {
        assert_eq!(next_text(&mut four).await, text);
    }
    assert_ended(&mut four).await;
    assert_nobody_listens(&client, "limited").await;
}

#[tokio::test]
async fn unsubscribe_after_a_count_already_reached_is_immediate() {
    let server = Server::start().await;
    let client = server.connect().await;
    let mut two = client.subscribe("limited").await.unwrap();
    for text in ["one", "two"] {
        client.publish("limited", text.into()).await.unwrap();
    }
    settle(&client).await;

    two.unsubscribe_after(2).await.unwrap();
    assert_eq!(next_text(&mut two).await, "one");
    assert_eq!(next_text(&mut two).await, "two");
    assert_ended(&mut two).await;
    assert_nobody_listens(&client, "limited").await;
}
