//! Requests: replies, nobody there, too late, and a thousand at once.

use std::time::{Duration, Instant};

use async_nats::{Client, ConnectOptions, Request, RequestErrorKind};
use futures::StreamExt;
use futures::future::{join_all, try_join_all};

use crate::harness::{PATIENCE, Server, assert_quiet, next, settle};

/// Answers every request on a subject with its payload in upper case.
async fn start_shouting(client: &Client, subject: &str) {
    let mut requests = client.subscribe(subject.to_owned()).await.unwrap();
    settle(client).await;
    let client = client.clone();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let reply_to = request.reply.expect("a reply subject");
            let answer = request.payload.to_ascii_uppercase();
            client.publish(reply_to, answer.into()).await.unwrap();
        }
    });
}

#[tokio::test]
async fn a_request_gets_its_reply() {
    let server = Server::start().await;
    let (asking, answering) = (server.connect().await, server.connect().await);
    start_shouting(&answering, "shout.*").await;

    for word in ["hello", "again"] {
        let reply = asking.request("shout.it", word.into()).await.unwrap();
        assert_eq!(reply.payload, word.to_uppercase());
        assert_eq!(reply.status, None);
    }
}

#[tokio::test]
async fn a_request_with_its_own_inbox_gets_its_reply() {
    let server = Server::start().await;
    let (asking, answering) = (server.connect().await, server.connect().await);
    start_shouting(&answering, "shout").await;

    let inbox = asking.new_inbox();
    let request = Request::new().payload("hello".into()).inbox(inbox.clone());
    let reply = asking.send_request("shout", request).await.unwrap();

    assert_eq!(reply.payload, "HELLO");
    assert_eq!(reply.subject.as_str(), inbox);
}

#[tokio::test]
async fn the_inbox_prefix_is_the_clients_choice() {
    let server = Server::start().await;
    let answering = server.connect().await;
    start_shouting(&answering, "shout").await;
    let options = ConnectOptions::new().custom_inbox_prefix("_MY.BOX");
    let asking = server.connect_with(options).await;

    let reply = asking.request("shout", "hello".into()).await.unwrap();

    assert_eq!(reply.payload, "HELLO");
    assert!(reply.subject.starts_with("_MY.BOX."), "{}", reply.subject);
}

#[tokio::test]
async fn nobody_there_is_told_at_once() {
    let server = Server::start().await;
    let client = server.connect().await;
    let asked = Instant::now();

    let muxed = client.request("nobody", "anyone?".into()).await;
    assert_eq!(muxed.unwrap_err().kind(), RequestErrorKind::NoResponders);

    let request = Request::new().inbox(client.new_inbox());
    let own_inbox = client.send_request("nobody", request).await;
    assert_eq!(
        own_inbox.unwrap_err().kind(),
        RequestErrorKind::NoResponders
    );

    let default_timeout = client.timeout().expect("requests have a timeout");
    assert!(asked.elapsed() < default_timeout);
}

#[tokio::test]
async fn the_no_responders_message_is_a_bare_status() {
    let server = Server::start().await;
    let client = server.connect().await;
    let inbox = client.new_inbox();
    let mut replies = client.subscribe(inbox.clone()).await.unwrap();

    client
        .publish_with_reply("nobody", inbox.clone(), "anyone?".into())
        .await
        .unwrap();

    let message = next(&mut replies).await;
    assert_eq!(message.subject.as_str(), inbox);
    assert_eq!(message.status, Some(async_nats::StatusCode::NO_RESPONDERS));
    assert_eq!(message.reply, None);
    assert!(message.payload.is_empty());
}

#[tokio::test]
async fn a_publish_without_reply_to_nobody_is_no_error() {
    let server = Server::start().await;
    let client = server.connect().await;
    let mut everything = client.subscribe("_INBOX.>").await.unwrap();

    client.publish("nobody", "anyone?".into()).await.unwrap();
    settle(&client).await;

    // Only the echo of the settling itself, no status from the server.
    assert_eq!(next(&mut everything).await.payload, "settled");
    assert_quiet(&mut everything);
}

#[tokio::test]
async fn a_request_times_out_when_nobody_answers() {
    let server = Server::start().await;
    let (asking, silent) = (server.connect().await, server.connect().await);
    let mut requests = silent.subscribe("silence").await.unwrap();
    settle(&silent).await;
    let patience = Duration::from_millis(200);

    let asked = Instant::now();
    let request = Request::new().timeout(Some(patience));
    let answer = asking.send_request("silence", request).await;

    assert_eq!(answer.unwrap_err().kind(), RequestErrorKind::TimedOut);
    assert!(asked.elapsed() >= patience);
    assert!(asked.elapsed() < PATIENCE);

    // The reply that comes too late must not become the answer of the next request.
    let late = next(&mut requests).await.reply.unwrap();
    silent.publish(late, "late".into()).await.unwrap();
    settle(&silent).await;
    start_shouting(&silent, "shout").await;
    let reply = asking.request("shout", "in time".into()).await.unwrap();
    assert_eq!(reply.payload, "IN TIME");
}

#[tokio::test]
async fn one_of_a_queue_group_answers() {
    let server = Server::start().await;
    let asking = server.connect().await;
    let answering = join_all((0..3).map(|_| server.connect())).await;
    for (member, client) in answering.iter().enumerate() {
        let mut requests = client.queue_subscribe("who", "w".into()).await.unwrap();
        settle(client).await;
        let client = client.clone();
        tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                let name = member.to_string();
                client
                    .publish(request.reply.unwrap(), name.into())
                    .await
                    .unwrap();
            }
        });
    }
    let inbox = asking.new_inbox();
    let mut replies = asking.subscribe(inbox.clone()).await.unwrap();

    let mut answers = [0; 3];
    for _ in 0..200 {
        asking
            .publish_with_reply("who", inbox.clone(), "".into())
            .await
            .unwrap();
        let name = next(&mut replies).await.payload;
        answers[std::str::from_utf8(&name)
            .unwrap()
            .parse::<usize>()
            .unwrap()] += 1;
    }

    assert!(
        answers.iter().all(|count| *count > 0),
        "a member never answered: {answers:?}"
    );
    settle(&asking).await;
    assert_quiet(&mut replies);
}

#[tokio::test]
async fn a_closed_connection_leaves_no_responder_behind() {
    let server = Server::start().await;
    let (asking, leaving) = (server.connect().await, server.connect().await);
    let subscriber = leaving.subscribe("service").await.unwrap();
    settle(&leaving).await;
    // A drained connection closes, and this one keeps its subscriber to the end.
    leaving.drain().await.unwrap();

    let deadline = Instant::now() + PATIENCE;
    loop {
        let request = Request::new().timeout(Some(Duration::from_millis(50)));
        match asking.send_request("service", request).await {
            // Not seen to be closed yet.
            Err(error) if error.kind() == RequestErrorKind::TimedOut => {}
            Err(error) if error.kind() == RequestErrorKind::NoResponders => break,
            other => panic!("neither silence nor nobody there: {other:?}"),
        }
        assert!(Instant::now() < deadline, "the subscription is still there");
    }
    drop(subscriber);
}

#[tokio::test]
async fn a_thousand_requests_at_once_each_get_their_own_reply() {
    let server = Server::start().await;
    let (asking, answering) = (server.connect().await, server.connect().await);
    start_shouting(&answering, "shout.*").await;

    let requests = (0..1000).map(|number| {
        let asking = asking.clone();
        async move {
            let word = format!("word{number}");
            let subject = format!("shout.{number}");
            let reply = asking.request(subject, word.clone().into()).await?;
            assert_eq!(reply.payload, word.to_uppercase());
            Ok::<_, async_nats::RequestError>(())
        }
    });
    let replies = try_join_all(requests).await.expect("every reply comes");
    assert_eq!(replies.len(), 1000);
}
