//! `midge bench`: that it measures, and leaves nothing behind.

use crate::cli_util::{command, done, done_json, refused, run, served};
use crate::util::Server;
use serde_json::json;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

#[test]
fn what_is_sent_is_counted() {
    let server = Server::start();
    let url = &server.address.to_string();
    for (args, key, count) in [
        ("bench pub --messages 1000 --size 0", "published", 1000),
        ("bench pub --messages 1001 --clients 3", "published", 1001),
        ("bench pubsub --messages 900 --clients 2", "received", 1800),
        (
            "bench pubsub --messages 50 --window 1 --size 4",
            "received",
            50,
        ),
        ("bench request --messages 100 --clients 2", "answered", 100),
    ] {
        let told = done_json(url, args);
        assert_eq!(told[key], count, "{args}: {told}");
        assert!(told["elapsed_us"].as_u64() > Some(0), "{args}: {told}");
        let rate = format!("{key}_per_s");
        assert!(told[rate].as_u64() > Some(0), "{args}: {told}");
        let has_times = args.contains("request") || args.contains("clients 2");
        assert_eq!(told["latency_ns"]["p99.9"].is_u64(), has_times, "{told}");
    }
    let text = done(url, "bench request --duration 50ms");
    for words in [
        "1 client, ",
        " ms, 128 bytes",
        "answered ",
        "/s, ",
        " p99.9 ",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn what_is_dropped_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        // Those who take come before those who publish.
        let taker: Arc<Mutex<Option<Taker>>> = Arc::default();
        for stream in listener.incoming() {
            let taker = taker.clone();
            std::thread::spawn(move || drop_the_first(stream.unwrap(), &taker));
        }
    });
    for window in [1, 1000] {
        let args = format!("bench pubsub --messages 10 --size 8 --window {window} --json");
        let (code, out, said) = run(&url, &args);
        assert_eq!((code, said.as_str()), (1, "9 of 10 came\n"));
        let told: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(told["published"], 10, "{told}");
    }
}

/// Where messages go, and the number of the subscription.
type Taker = (TcpStream, String);

/// Serves a connection as far as the measuring needs it: it hands on all but
/// the first message.
fn drop_the_first(stream: TcpStream, taker: &Mutex<Option<Taker>>) {
    let mut writer = stream.try_clone().unwrap();
    let mut lines = BufReader::new(stream);
    writer
        .write_all(b"INFO {\"max_payload\":1000,\"headers\":true}\r\n")
        .unwrap();
    let (mut line, mut count) = (Vec::new(), 0);
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line).unwrap_or(0) == 0 {
            return;
        }
        if line.starts_with(b"PING") {
            // It may be gone already.
            let _ = writer.write_all(b"PONG\r\n");
        } else if line.starts_with(b"SUB ") {
            let line = String::from_utf8_lossy(&line);
            let number = line.trim().rsplit(' ').next().unwrap().to_owned();
            *taker.lock().unwrap() = Some((writer.try_clone().unwrap(), number));
        } else if line.starts_with(b"PUB ") {
            let subject = String::from_utf8_lossy(&line);
            let subject = subject.split(' ').nth(1).unwrap().to_owned();
            let mut payload = [0; 10];
            lines.read_exact(&mut payload).unwrap();
            count += 1;
            if count > 1 {
                let mut taker = taker.lock().unwrap();
                let (to, number) = taker.as_mut().unwrap();
                let mut message = format!("MSG {subject} {number} 8\r\n").into_bytes();
                message.extend_from_slice(&payload);
                to.write_all(&message).unwrap();
            }
        }
    }
}

#[test]
fn others_are_listened_to() {
    let server = Server::start();
    let url = &server.address.to_string();
    let mut child = command(url, "bench sub --subject b --messages 100 --json")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut line).unwrap();
    assert_eq!(line, "waiting for messages on b\n");
    done(url, "bench pub --subject b --messages 100");
    let output = child.wait_with_output().unwrap();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["received"], 100);
    refused(
        url,
        "bench request --subject none",
        1,
        "nobody listens to none",
    );
}

#[test]
fn streams_are_made_and_removed() {
    let (_dir, _server, url) = &served();
    for (args, key, count) in [
        ("bench stream-pub --messages 500", "stored", 500),
        (
            "bench stream-pub --messages 20 --window 1 --clients 2",
            "stored",
            20,
        ),
        ("bench stream-pub --messages 100 --memory", "stored", 100),
        ("bench pull --messages 700 --clients 2", "pulled", 700),
    ] {
        let told = done_json(url, args);
        assert_eq!(told[key], count, "{args}: {told}");
        let left = done_json(url, "req $JS.API.STREAM.NAMES x");
        let left: serde_json::Value =
            serde_json::from_str(left["payload"].as_str().unwrap()).unwrap();
        assert_eq!(left["streams"], json!(null), "{args}");
    }
    let server = Server::start();
    let url = &server.address.to_string();
    refused(url, "bench stream-pub", 1, "nobody listens to $JS.API");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let server = Server::start();
    let url = &server.address.to_string();
    for (args, words) in [
        ("bench", "midge bench does one of these: pub sub pubsub"),
        ("bench pub --clients 2000", "2000 clients are too many"),
        ("bench pub --size 2MB", "the server takes 1048576"),
        ("bench pub --window 3", "there is no --window here"),
        ("bench pub --subject a.*", "cannot publish to \"a.*\""),
    ] {
        refused(url, args, 2, words);
    }
}
