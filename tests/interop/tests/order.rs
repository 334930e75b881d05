//! The one promise on order: what one publisher sends, a subscription gets in that order.

use async_nats::Client;
use futures::future::join_all;

use crate::harness::{Server, assert_quiet, next, settle};

const PUBLISHERS: usize = 8;
const EACH: usize = 1000;

async fn publish_numbered(client: &Client, publisher: usize) {
    for number in 0..EACH {
        let subject = format!("order.{publisher}.{}", number % 3);
        let text = format!("{publisher} {number}");
        client.publish(subject, text.into()).await.unwrap();
        // Lets the others in between, so that the streams truly mix.
        if number % 7 == 0 {
            client.flush().await.unwrap();
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn interleaved_publishers_each_keep_their_order() {
    let server = Server::start().await;
    let receivers = [server.connect().await, server.connect().await];
    let mut subscribers = Vec::new();
    for receiver in &receivers {
        subscribers.push(receiver.subscribe("order.>").await.unwrap());
        settle(receiver).await;
    }
    let clients = join_all((0..PUBLISHERS).map(|_| server.connect())).await;

    let publishing = clients
        .iter()
        .enumerate()
        .map(|(publisher, client)| publish_numbered(client, publisher));
    join_all(publishing).await;

    for (receiver, subscriber) in receivers.iter().zip(&mut subscribers) {
        let mut expected = [0; PUBLISHERS];
        for _ in 0..PUBLISHERS * EACH {
            let message = next(subscriber).await;
            let text = std::str::from_utf8(&message.payload).unwrap();
            let (publisher, number) = text.split_once(' ').unwrap();
            let publisher: usize = publisher.parse().unwrap();
            assert_eq!(
                number.parse(),
                Ok(expected[publisher]),
                "publisher {publisher}"
            );
            expected[publisher] += 1;
        }
        assert_eq!(expected, [EACH; PUBLISHERS]);
        settle(receiver).await;
        assert_quiet(subscriber);
    }
}
