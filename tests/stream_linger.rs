//! A batch that waits for more, so that a slow card is written to less often.

use crate::stream_util::Dir;
use crate::util::{Client, Server};
use std::time::{Duration, Instant};

/// Batches that became durable.
fn commits(server: &Server) -> u64 {
    let page = server.get("/metrics").1;
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix("midge_store_commits_total "));
    line.and_then(|count| count.parse().ok()).expect("a count")
}

fn serve(dir: &Dir, linger: &str) -> (Server, Client) {
    let server = dir.serve_with(&["--http-port", "0", "--commit-linger", linger]);
    let mut client = server.client();
    let stream = r#"{"name":"S","subjects":["s.>"]}"#;
    let made = client.ask("$JS.API.STREAM.CREATE.S", stream);
    assert!(made.json()["error"].is_null(), "{made:?}");
    client.send("SUB acks 1\r\n");
    (server, client)
}

#[test]
fn what_is_stored_within_the_linger_is_one_batch() {
    let dir = Dir::new();
    let (server, mut client) = serve(&dir, "400ms");
    let mut other = server.client();
    other.sync();
    let (before, begun) = (commits(&server), Instant::now());
    client.publish("s.a", Some("acks"), "", "one");
    client.sync();
    other.publish("s.b", Some("acks"), "", "two");
    other.sync();
    let seqs = [(), ()].map(|()| client.message().json()["seq"].as_u64());
    assert_eq!(seqs, [Some(1), Some(2)]);
    assert!(begun.elapsed() >= Duration::from_millis(400));
    assert_eq!(commits(&server), before + 1);
}

#[test]
fn what_is_much_does_not_wait_for_more() {
    let dir = Dir::new();
    let (server, mut client) = serve(&dir, "1s");
    let begun = Instant::now();
    client.publish("s.a", Some("acks"), "", vec![b'x'; 200_000]);
    assert_eq!(client.message().json()["seq"], 1);
    assert!(begun.elapsed() < Duration::from_secs(1));
    drop(server);
}

#[test]
fn a_stopping_server_does_not_wait_for_more() {
    let dir = Dir::new();
    let (mut server, mut client) = serve(&dir, "1s");
    let begun = Instant::now();
    client.publish("s.a", Some("acks"), "", "one");
    client.sync();
    server.signal("TERM");
    assert_eq!(client.message().json()["seq"], 1);
    assert!(begun.elapsed() < Duration::from_secs(1));
    drop(client);
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    let server = dir.serve();
    let info = server.client().ask("$JS.API.STREAM.INFO.S", "").json();
    assert_eq!(info["state"]["messages"], 1);
}

#[test]
fn too_long_a_linger_is_refused() {
    let midge = std::process::Command::new(crate::util::midge())
        .args(["--commit-linger", "2s", "--check"])
        .output()
        .unwrap();
    assert!(!midge.status.success());
    let said = String::from_utf8_lossy(&midge.stderr).into_owned();
    assert!(
        said.contains("--commit-linger must be at most 1 s"),
        "{said}"
    );
}
