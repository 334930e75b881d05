//! What a client is told about its connection.

use std::net::Ipv4Addr;
use std::sync::atomic::Ordering::Relaxed;
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

/// Long enough for an answer from a busy machine: the client gives up at the third ping when the
/// first two are unanswered.
const PING_INTERVAL: Duration = Duration::from_millis(250);

#[tokio::test]
async fn an_idle_connection_is_kept_up_by_pings() {
    let server = Server::start().await;
    let (options, mut events) = Events::of(ConnectOptions::new().ping_interval(PING_INTERVAL));
    let client = server.connect_with(options).await;
    events.until(Event::Connected).await;
    settle(&client).await;
    let statistics = client.statistics();
    let written = || statistics.out_bytes.load(Relaxed);

    // Pings are all that an idle client writes, but for its own answer to one of the server.
    let six_pings = 6 * "PING\r\n".len() as u64;
    let enough = written() + six_pings;
    let deadline = Instant::now() + PATIENCE;
    while written() < enough {
        assert!(Instant::now() < deadline, "the client stopped to ping");
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(events.so_far(), []);
}

#[tokio::test]
async fn a_server_that_hangs_is_left() {
    let server = Server::start().await;
    let (options, mut events) = Events::of(
        ConnectOptions::new()
            .ping_interval(PING_INTERVAL)
            .connection_timeout(Duration::from_millis(500))
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
