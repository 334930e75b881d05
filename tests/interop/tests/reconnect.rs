//! A server that goes away and comes back on the same port.

use std::time::Duration;

use async_nats::connection::State;
use async_nats::{ClientError, ConnectErrorKind, ConnectOptions, Event};
use futures::StreamExt;

use crate::harness::{Events, Server, assert_ended, assert_quiet, next, next_text, settle};

/// Dials again at once and forever: the default grows to seconds.
fn impatient() -> ConnectOptions {
    ConnectOptions::new().reconnect_delay_callback(|_| Duration::from_millis(10))
}

#[tokio::test]
async fn subscriptions_come_back_after_a_restart() {
    let mut server = Server::start().await;
    let (options, mut events) = Events::of(impatient());
    let client = server.connect_with(options).await;
    events.until(Event::Connected).await;
    let mut plain = client.subscribe("plain").await.unwrap();
    let mut wild = client.subscribe("*").await.unwrap();
    let mut member = client.queue_subscribe("plain", "w".into()).await.unwrap();
    let mut gone = client.subscribe("plain").await.unwrap();
    gone.unsubscribe().await.unwrap();
    client.publish("plain", "before".into()).await.unwrap();
    for subscriber in [&mut plain, &mut wild, &mut member] {
        assert_eq!(next_text(subscriber).await, "before");
    }
    let first_server = client.server_info().server_id;

    server.stop().await;
    events.until(Event::Disconnected).await;
    assert_eq!(client.connection_state(), State::Disconnected);
    server.start_again().await;
    events.until(Event::Connected).await;
    assert_eq!(client.connection_state(), State::Connected);
    settle(&client).await;

    let other = server.connect().await;
    other.publish("plain", "after".into()).await.unwrap();
    for subscriber in [&mut plain, &mut wild, &mut member] {
        assert_eq!(next_text(subscriber).await, "after");
    }
    settle(&client).await;
    for subscriber in [&mut plain, &mut wild, &mut member] {
        assert_quiet(subscriber);
    }
    assert_ended(&mut gone).await;
    assert_ne!(
        client.server_info().server_id,
        first_server,
        "a new server has a new id"
    );
}

#[tokio::test]
async fn a_killed_server_is_noticed_and_its_successor_found() {
    let mut server = Server::start().await;
    let (options, mut events) = Events::of(impatient());
    let client = server.connect_with(options).await;
    let mut news = client.subscribe("news").await.unwrap();
    settle(&client).await;

    for round in ["first", "second", "third"] {
        server.kill();
        events.until(Event::Disconnected).await;
        server.start_again().await;
        events.until(Event::Connected).await;
        client.publish("news", round.into()).await.unwrap();
        assert_eq!(next_text(&mut news).await, round);
    }
}

#[tokio::test]
async fn messages_published_meanwhile_are_sent_afterwards() {
    let mut server = Server::start().await;
    let (options, mut events) = Events::of(impatient());
    let client = server.connect_with(options).await;
    let mut news = client.subscribe("news").await.unwrap();
    settle(&client).await;

    server.stop().await;
    events.until(Event::Disconnected).await;
    for number in 0..100 {
        let text = number.to_string();
        client.publish("news", text.into()).await.unwrap();
    }
    server.start_again().await;

    for number in 0..100 {
        assert_eq!(next_text(&mut news).await, number.to_string());
    }
}

#[tokio::test]
async fn requests_work_after_a_restart() {
    let mut server = Server::start().await;
    let (asking_options, mut asking_events) = Events::of(impatient());
    let (answering_options, mut answering_events) = Events::of(impatient());
    let asking = server.connect_with(asking_options).await;
    let answering = server.connect_with(answering_options).await;
    let mut requests = answering.subscribe("service").await.unwrap();
    settle(&answering).await;
    let service = answering.clone();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let reply_to = request.reply.unwrap();
            service.publish(reply_to, request.payload).await.unwrap();
        }
    });
    let reply = asking.request("service", "before".into()).await.unwrap();
    assert_eq!(reply.payload, "before");

    server.stop().await;
    asking_events.until(Event::Disconnected).await;
    answering_events.until(Event::Disconnected).await;
    server.start_again().await;
    asking_events.until(Event::Connected).await;
    answering_events.until(Event::Connected).await;
    settle(&answering).await;

    let reply = asking.request("service", "after".into()).await.unwrap();
    assert_eq!(reply.payload, "after");
}

#[tokio::test]
async fn the_rest_of_a_limited_subscription_survives_a_restart() {
    let mut server = Server::start().await;
    let (options, mut events) = Events::of(impatient());
    let client = server.connect_with(options).await;
    let mut three = client.subscribe("limited").await.unwrap();
    three.unsubscribe_after(3).await.unwrap();
    client.publish("limited", "one".into()).await.unwrap();
    assert_eq!(next_text(&mut three).await, "one");

    server.stop().await;
    events.until(Event::Disconnected).await;
    server.start_again().await;
    for text in ["two", "three", "four"] {
        client.publish("limited", text.into()).await.unwrap();
    }

    assert_eq!(next_text(&mut three).await, "two");
    assert_eq!(next_text(&mut three).await, "three");
    assert_ended(&mut three).await;
}

#[tokio::test]
async fn a_forced_reconnect_keeps_the_subscriptions() {
    let server = Server::start().await;
    let (options, mut events) = Events::of(impatient());
    let client = server.connect_with(options).await;
    events.until(Event::Connected).await;
    let mut news = client.subscribe("news").await.unwrap();
    settle(&client).await;
    let first_id = client.server_info().client_id;

    client.force_reconnect().await.unwrap();
    events.until(Event::Disconnected).await;
    events.until(Event::Connected).await;
    settle(&client).await;

    let other = server.connect().await;
    other.publish("news", "again".into()).await.unwrap();
    assert_eq!(next(&mut news).await.payload, "again");
    assert_ne!(client.server_info().client_id, first_id);
}

#[tokio::test]
async fn a_client_gives_up_after_its_last_attempt() {
    let mut server = Server::start().await;
    let (options, mut events) = Events::of(impatient().max_reconnects(3));
    let client = server.connect_with(options).await;
    let mut news = client.subscribe("news").await.unwrap();
    settle(&client).await;

    server.stop().await;

    events.until(Event::Disconnected).await;
    events
        .until(Event::ClientError(ClientError::MaxReconnects))
        .await;
    assert_ended(&mut news).await;
}

#[tokio::test]
async fn a_client_may_wait_for_its_first_server() {
    let mut server = Server::start().await;
    server.stop().await;
    let refused = ConnectOptions::new().connect(server.url()).await;
    assert_eq!(refused.unwrap_err().kind(), ConnectErrorKind::Io);

    let client = server
        .connect_with(impatient().retry_on_initial_connect())
        .await;
    let mut news = client.subscribe("news").await.unwrap();
    client.publish("news", "early".into()).await.unwrap();
    server.start_again().await;

    assert_eq!(next_text(&mut news).await, "early");
}
