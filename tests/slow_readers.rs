//! Readers that fall behind, and everybody else.

use crate::util::{Client, Server};
use std::io::Read;
use std::time::{Duration, Instant};

/// A client that is subscribed to `a`.
fn subscriber(server: &Server) -> Client {
    let mut client = server.client();
    client.send("SUB a 1\r\n");
    assert_eq!(client.sync(), "");
    client
}

/// Publishes until the server has cut somebody.
fn publish_until_cut(server: &Server, writer: &mut Client, field: &str) {
    let body = "x".repeat(60_000);
    for _ in 0..100_000 {
        writer.send(format!("PUB a 60000\r\n{body}\r\n"));
        writer.sync();
        if server.json("/varz")[field].as_u64() > Some(0) {
            return;
        }
    }
    panic!("nobody was cut");
}

#[test]
fn a_reader_is_cut_at_its_limit_and_the_others_get_everything() {
    let server = Server::start_with(&["--max-pending", "4MB", "--http-port", "0"]);
    let mut slow = subscriber(&server);
    let mut quick = subscriber(&server);
    let quick_address = server.address;
    let reader = std::thread::spawn(move || {
        let mut count = 0u64;
        loop {
            match quick.line().as_str() {
                "MSG a 1 60000" => {
                    quick.line();
                    count += 1;
                }
                "MSG a 1 4" => return (count, quick),
                line => panic!("{quick_address}: {line}"),
            }
        }
    });
    let mut writer = server.client();
    publish_until_cut(&server, &mut writer, "slow_consumers");
    let published = server.json("/varz")["in_msgs"].as_u64().unwrap();
    writer.send("PUB a 4\r\ndone\r\n");
    let (count, quick) = reader.join().unwrap();
    assert_eq!(count, published, "the quick reader got every message");
    // The slow one gets what had been written, and no word of farewell.
    let heard = slow.rest();
    assert!(!String::from_utf8_lossy(&heard).contains("-ERR"));
    let closed = server.json("/connz?state=closed");
    assert_eq!(
        closed["connections"][0]["reason"],
        "Slow Consumer (Pending Bytes)"
    );
    assert_eq!(server.json("/varz")["slow_consumer_stats"]["clients"], 1);
    drop(quick);
}

#[test]
fn a_reader_that_takes_nothing_is_cut_at_the_deadline() {
    let server = Server::start_with(&["--write-deadline", "100ms", "--http-port", "0"]);
    let _slow = subscriber(&server);
    let mut writer = server.client();
    publish_until_cut(&server, &mut writer, "slow_consumers");
    let closed = server.json("/connz?state=closed");
    assert_eq!(
        closed["connections"][0]["reason"],
        "Slow Consumer (Write Deadline)"
    );
}

#[test]
fn a_publisher_is_held_back_before_its_reader_is_cut() {
    let server = Server::start_with(&["--max-pending", "8MB", "--http-port", "0"]);
    let mut slow = subscriber(&server);
    let mut writer = server.client();
    publish_until_cut(&server, &mut writer, "stalled_clients");
    assert_eq!(server.json("/varz")["slow_consumers"], 0);
    // It still gets all of it.
    let published = server.json("/varz")["in_msgs"].as_u64().unwrap();
    for _ in 0..published {
        assert_eq!(slow.line(), "MSG a 1 60000");
        slow.line();
    }
}

#[test]
fn answers_count_against_the_limit_too() {
    let server = Server::start_with(&["--max-pending", "2MB", "--http-port", "0"]);
    let mut deaf = server.connect();
    let pings = "PING\r\n".repeat(10_000);
    for _ in 0..10_000 {
        deaf.try_send(&pings);
        if server.json("/varz")["slow_consumers"] == 1 {
            server.client().sync();
            return;
        }
    }
    panic!("it was never cut");
}

#[test]
fn a_reader_that_blocked_once_and_caught_up_is_left_alone() {
    let deadline = Duration::from_millis(300);
    let server = Server::start_with(&["--write-deadline", "300ms", "--http-port", "0"]);
    let mut reader = subscriber(&server);
    let mut writer = server.client();
    let body = "x".repeat(60_000);
    let mut published = 0;
    while server.json("/connz?sort=pending")["connections"][0]["pending_bytes"] == 0 {
        writer.send(format!("PUB a 60000\r\n{body}\r\n"));
        writer.sync();
        published += 1;
    }
    for _ in 0..published {
        assert_eq!(reader.line(), "MSG a 1 60000");
        reader.line();
    }
    let caught_up = Instant::now();
    while caught_up.elapsed() < deadline * 3 {
        server.json("/varz");
    }
    reader.sync();
}

#[test]
fn a_reader_that_is_slow_but_steady_outlives_the_deadline() {
    let deadline = Duration::from_millis(300);
    let server = Server::start_with(&["--write-deadline", "300ms", "--http-port", "0"]);
    let mut reader = subscriber(&server);
    let mut writer = server.client();
    let body = "x".repeat(1_000_000);
    for _ in 0..40 {
        writer.send(format!("PUB a 1000000\r\n{body}\r\n"));
    }
    writer.sync();
    // Small reads with a monitoring request between them: slower than what
    // waits, but never silent for the deadline.
    let start = Instant::now();
    let mut chunk = vec![0; 16 * 1024];
    let mut left: usize = 39_000_000;
    while start.elapsed() < deadline * 4 && left > chunk.len() {
        reader.stream.read_exact(&mut chunk).expect("it is there");
        left -= chunk.len();
        server.json("/varz");
    }
    assert_eq!(server.json("/varz")["slow_consumers"], 0);
}
