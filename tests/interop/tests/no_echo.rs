//! Clients that asked not to hear themselves.

use async_nats::{Client, ConnectOptions, RequestErrorKind};

use crate::harness::{Server, assert_quiet, next_text, settle};

/// Waits for the server without the echo that `settle` needs: it answers for a missing responder.
async fn settle_without_echo(client: &Client) {
    let answer = client.request("nobody.here", "".into()).await;
    assert_eq!(answer.unwrap_err().kind(), RequestErrorKind::NoResponders);
}

#[tokio::test]
async fn a_client_without_echo_hears_only_others() {
    let server = Server::start().await;
    let deaf = server.connect_with(ConnectOptions::new().no_echo()).await;
    let other = server.connect().await;
    let mut at_deaf = deaf.subscribe("talk").await.unwrap();
    let mut at_other = other.subscribe("talk").await.unwrap();
    settle_without_echo(&deaf).await;
    settle(&other).await;

    deaf.publish("talk", "own".into()).await.unwrap();
    settle_without_echo(&deaf).await;
    other.publish("talk", "other".into()).await.unwrap();

    assert_eq!(next_text(&mut at_deaf).await, "other");
    assert_eq!(next_text(&mut at_other).await, "own");
    assert_eq!(next_text(&mut at_other).await, "other");
    settle_without_echo(&deaf).await;
    assert_quiet(&mut at_deaf);
}

#[tokio::test]
async fn a_client_without_echo_is_no_responder_to_itself() {
    let server = Server::start().await;
    let deaf = server.connect_with(ConnectOptions::new().no_echo()).await;
    let mut service = deaf.subscribe("service").await.unwrap();

    let answer = deaf.request("service", "anyone?".into()).await;

    assert_eq!(answer.unwrap_err().kind(), RequestErrorKind::NoResponders);
    assert_quiet(&mut service);
}

#[tokio::test]
async fn a_queue_group_passes_over_the_member_without_echo() {
    let server = Server::start().await;
    let deaf = server.connect_with(ConnectOptions::new().no_echo()).await;
    let other = server.connect().await;
    let mut at_deaf = deaf.queue_subscribe("jobs", "w".into()).await.unwrap();
    let mut at_other = other.queue_subscribe("jobs", "w".into()).await.unwrap();
    settle_without_echo(&deaf).await;
    settle(&other).await;

    for number in 0..50 {
        let text = number.to_string();
        deaf.publish("jobs", text.into()).await.unwrap();
    }

    for number in 0..50 {
        assert_eq!(next_text(&mut at_other).await, number.to_string());
    }
    settle_without_echo(&deaf).await;
    assert_quiet(&mut at_deaf);
}
