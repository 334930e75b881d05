//! What the server says about itself, and what the client counts.

use std::sync::atomic::Ordering::Relaxed;

use async_nats::{ConnectOptions, Event, RequestErrorKind};

use crate::harness::{Events, Server, next, settle};

#[tokio::test]
async fn the_server_introduces_itself() {
    let server = Server::start().await;
    let client = server.connect().await;
    let other = server.connect().await;

    let info = client.server_info();
    assert_eq!(info.port, server.port());
    assert_eq!(info.host, "127.0.0.1");
    assert_eq!(info.client_ip, "127.0.0.1");
    assert_eq!(info.proto, 1);
    assert_eq!(info.max_payload, 1024 * 1024);
    assert!(info.headers);
    assert!(!info.auth_required);
    assert!(!info.tls_required);
    assert!(!info.jetstream);
    assert!(!info.lame_duck_mode);
    assert!(!info.server_id.is_empty());
    assert!(!info.server_name.is_empty());
    assert!(info.client_id > 0);
    let version: Vec<&str> = info.version.splitn(3, '.').collect();
    assert_eq!(
        version.len(),
        3,
        "a version of three parts, as clients parse it"
    );
    assert!(client.is_server_compatible(0, 0, 0));

    let again = other.server_info();
    assert_eq!(again.server_id, info.server_id);
    assert_ne!(again.client_id, info.client_id);
}

#[tokio::test]
async fn servers_differ_in_their_ids() {
    let (one, other) = (Server::start().await, Server::start().await);
    let ids = [
        one.connect().await.server_info().server_id,
        other.connect().await.server_info().server_id,
    ];
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn any_client_name_is_accepted() {
    let server = Server::start().await;
    let names = [
        "plain",
        "with \"quotes\", \\ and {braces: [1, 2]}",
        "línea\nnueva\tund ☕",
        &"long".repeat(200),
    ];
    for name in names {
        let (options, mut events) = Events::of(ConnectOptions::new().name(name));
        let client = server.connect_with(options).await;
        settle(&client).await;
        let mut subscription = client.subscribe("named").await.unwrap();
        client.publish("named", "hello".into()).await.unwrap();
        assert_eq!(next(&mut subscription).await.payload, "hello");
        assert_eq!(
            events.so_far(),
            [Event::Connected],
            "with the name {name:?}"
        );
    }
}

#[tokio::test]
async fn the_statistics_count_messages_and_bytes() {
    let server = Server::start().await;
    let client = server.connect().await;
    let mut numbers = client.subscribe("numbers").await.unwrap();
    settle(&client).await;
    let statistics = client.statistics();
    assert_eq!(statistics.connects.load(Relaxed), 1);
    let in_messages = statistics.in_messages.load(Relaxed);
    let out_messages = statistics.out_messages.load(Relaxed);
    let in_bytes = statistics.in_bytes.load(Relaxed);

    for _ in 0..100 {
        client
            .publish("numbers", "0123456789".into())
            .await
            .unwrap();
    }
    for _ in 0..100 {
        assert_eq!(next(&mut numbers).await.payload, "0123456789");
    }

    assert_eq!(statistics.out_messages.load(Relaxed) - out_messages, 100);
    assert_eq!(statistics.in_messages.load(Relaxed) - in_messages, 100);
    // The client numbers its subscriptions from one, so this is each message on the wire. What
    // may come besides is the server's own PING, of six bytes, or an INFO.
    let wire = 100 * "MSG numbers 1 10\r\n0123456789\r\n".len() as u64;
    let read = statistics.in_bytes.load(Relaxed) - in_bytes;
    assert!(read >= wire, "{read} bytes for {wire}");
}

#[tokio::test]
async fn a_message_for_nobody_costs_the_others_nothing() {
    let server = Server::start().await;
    let (sender, idle) = (server.connect().await, server.connect().await);
    let _elsewhere = idle.subscribe("elsewhere").await.unwrap();
    settle(&idle).await;
    let statistics = idle.statistics();
    let before = statistics.in_messages.load(Relaxed);

    for _ in 0..100 {
        sender
            .publish("numbers", "0123456789".into())
            .await
            .unwrap();
    }
    let answer = sender.request("numbers", "anyone?".into()).await;
    assert_eq!(answer.unwrap_err().kind(), RequestErrorKind::NoResponders);
    settle(&idle).await;

    let echo_of_settling = 1;
    assert_eq!(
        statistics.in_messages.load(Relaxed) - before,
        echo_of_settling
    );
}
