//! Many subscriptions and many clients.

use std::collections::HashSet;

use futures::future::join_all;

use crate::harness::{Server, assert_quiet, next, next_text, settle};

#[tokio::test]
async fn ten_thousand_subscriptions_each_get_their_message() {
    const COUNT: usize = 10_000;
    let server = Server::start().await;
    let (sender, receiver) = (server.connect().await, server.connect().await);
    let mut subscribers = Vec::new();
    for number in 0..COUNT {
        let subject = format!("sensor.{number}.state");
        subscribers.push(receiver.subscribe(subject).await.unwrap());
    }
    settle(&receiver).await;

    for number in 0..COUNT {
        let text = number.to_string();
        sender
            .publish(format!("sensor.{number}.state"), text.into())
            .await
            .unwrap();
    }
    for (number, subscriber) in subscribers.iter_mut().enumerate() {
        assert_eq!(next_text(subscriber).await, number.to_string());
    }
    settle(&receiver).await;
    subscribers.iter_mut().for_each(assert_quiet);

    // All of them gone again, and the server none the worse for it.
    drop(subscribers);
    settle(&receiver).await;
    let mut one = receiver.subscribe("sensor.*.state").await.unwrap();
    settle(&receiver).await;
    sender
        .publish("sensor.1.state", "after".into())
        .await
        .unwrap();
    assert_eq!(next_text(&mut one).await, "after");
}

#[tokio::test]
async fn one_publish_reaches_ten_thousand_subscriptions() {
    const COUNT: usize = 10_000;
    let server = Server::start().await;
    let (sender, receiver) = (server.connect().await, server.connect().await);
    let mut subscribers = Vec::new();
    for _ in 0..COUNT {
        subscribers.push(receiver.subscribe("all").await.unwrap());
    }
    settle(&receiver).await;

    sender.publish("all", "hear this".into()).await.unwrap();

    for subscriber in &mut subscribers {
        assert_eq!(next_text(subscriber).await, "hear this");
    }
    settle(&receiver).await;
    subscribers.iter_mut().for_each(assert_quiet);
}

#[tokio::test]
async fn many_clients_hear_one_and_one_hears_many() {
    const COUNT: usize = 200;
    let server = Server::start().await;
    let clients = join_all((0..COUNT).map(|_| server.connect())).await;
    let ids: HashSet<u64> = clients
        .iter()
        .map(|client| client.server_info().client_id)
        .collect();
    assert_eq!(ids.len(), COUNT, "every connection has its own id");

    let mut subscribers = Vec::new();
    for client in &clients {
        subscribers.push(client.subscribe("to.all").await.unwrap());
        settle(client).await;
    }
    let center = server.connect().await;
    for text in ["one", "two", "three"] {
        center.publish("to.all", text.into()).await.unwrap();
    }
    for subscriber in &mut subscribers {
        for text in ["one", "two", "three"] {
            assert_eq!(next_text(subscriber).await, text);
        }
    }

    let mut answers = center.subscribe("to.center").await.unwrap();
    settle(&center).await;
    for (number, client) in clients.iter().enumerate() {
        let text = number.to_string();
        client.publish("to.center", text.into()).await.unwrap();
    }
    let mut heard = HashSet::new();
    for _ in 0..COUNT {
        assert!(
            heard.insert(next(&mut answers).await.payload),
            "one came twice"
        );
    }
}

#[tokio::test]
async fn clients_may_come_and_go() {
    let server = Server::start().await;
    let receiver = server.connect().await;
    let mut visits = receiver.subscribe("visits").await.unwrap();
    settle(&receiver).await;

    for number in 0..200 {
        let visitor = server.connect().await;
        let _unused = visitor.subscribe("visits").await.unwrap();
        let text = number.to_string();
        visitor.publish("visits", text.into()).await.unwrap();
        visitor.flush().await.unwrap();
    }

    let mut heard = HashSet::new();
    for _ in 0..200 {
        assert!(
            heard.insert(next(&mut visits).await.payload),
            "one came twice"
        );
    }
}
