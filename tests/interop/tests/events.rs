//! What a client is told about its connection.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use async_nats::{ConnectOptions, Event};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::harness::{Events, PATIENCE, Server, next_text, settle};

#[tokio::test]
async fn connected_and_disconnected_are_seen() {
    let mut server = Server::start().await;
    let (options, mut events) = Events::of(ConnectOptions::new());
    let client = server.connect_with(options).await;

    assert_eq!(events.until(Event::Connected).await, []);
    settle(&client).await;
    server.stop().await;
    assert_eq!(
        events.until(Event::Disconnected).await,
        [],
        "an orderly end is no error"
    );
}

#[tokio::test]
async fn a_lame_duck_warns_and_still_serves() {
    let server = Server::start().await;
    let (options, mut events) = Events::of(ConnectOptions::new());
    let client = server.connect_with(options).await;
    let mut news = client.subscribe("news").await.unwrap();
    settle(&client).await;

    server.signal("USR2");

    assert_eq!(
        events.until(Event::LameDuckMode).await,
        [Event::Connected],
        "the warning comes before anything is cut"
    );
    client.publish("news", "still here".into()).await.unwrap();
    assert_eq!(next_text(&mut news).await, "still here");
    assert_eq!(events.so_far(), []);
}

#[tokio::test]
async fn a_lame_duck_takes_no_new_connections() {
    let server = Server::start().await;
    let (options, mut events) = Events::of(ConnectOptions::new());
    let _client = server.connect_with(options).await;

    server.signal("USR2");
    events.until(Event::LameDuckMode).await;

    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, server.port()))
        .await
        .is_ok()
    {
        assert!(Instant::now() < deadline, "still accepting");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_idle_connection_is_kept_up_by_pings() {
    let server = Server::start().await;
    let (options, mut events) =
        Events::of(ConnectOptions::new().ping_interval(Duration::from_millis(20)));
    let client = server.connect_with(options).await;
    events.until(Event::Connected).await;
    settle(&client).await;
    let statistics = client.statistics();
    let read = || {
        statistics
            .in_bytes
            .load(std::sync::atomic::Ordering::Relaxed)
    };

    // The client gives up when two pings are unanswered, so ten answers show that it need not.
    let pongs = 10 * "PONG\r\n".len() as u64;
    let enough = read() + pongs;
    let deadline = Instant::now() + PATIENCE;
    while read() < enough {
        assert!(Instant::now() < deadline, "pings go unanswered");
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(events.so_far(), []);
}

#[tokio::test]
async fn a_server_that_hangs_is_left() {
    let server = Server::start().await;
    let (options, mut events) = Events::of(
        ConnectOptions::new()
            .ping_interval(Duration::from_millis(50))
            .connection_timeout(Duration::from_millis(200))
            .reconnect_delay_callback(|_| Duration::from_millis(10)),
    );
    let client = server.connect_with(options).await;
    let mut news = client.subscribe("news").await.unwrap();
    settle(&client).await;

    server.signal("STOP");
    events.until(Event::Disconnected).await;
    server.signal("CONT");
    events.until(Event::Connected).await;

    client.publish("news", "back".into()).await.unwrap();
    assert_eq!(next_text(&mut news).await, "back");
}
