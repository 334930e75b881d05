//! Garbage, half frames and coming and going, by the thousand: the server
//! stays up, serves everybody else, and does not grow.
//!
//! `MIDGE_FLOOD_SECONDS` sets how long each lasts; the default suits every day.

use crate::util::{Client, Dice, Server};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// What a server may grow by under a flood, in KiB: buffers that are kept for
/// reuse, and what the allocator holds back.
const GROWTH_KIB_MAX: u64 = 4 * 1024;

fn flood_time() -> Duration {
    let seconds = std::env::var("MIDGE_FLOOD_SECONDS").ok();
    Duration::from_secs(seconds.and_then(|text| text.parse().ok()).unwrap_or(2))
}

/// Lets `wave` run until the time is over, and looks at the memory after the
/// first tenth and at the end.
fn flood(name: &str, mut wave: impl FnMut(&Server, &mut Dice)) {
    let server = Server::start_with(&["--http-port", "0"]);
    let mut dice = Dice::new(0x5eed_0000 + name.len() as u64);
    let mut witness = server.client();
    witness.send("SUB still.here 1\r\n");
    witness.sync();
    let start = Instant::now();
    let mut settled_kib = None;
    while start.elapsed() < flood_time() {
        wave(&server, &mut dice);
        witness.send("PUB still.here 2\r\nok\r\n");
        // A ping may come in between.
        while witness.line() != "MSG still.here 1 2" {}
        assert_eq!(witness.line(), "ok");
        if settled_kib.is_none() && start.elapsed() > flood_time() / 10 {
            settled_kib = Some(server.anonymous_kib());
        }
    }
    server.wait_json("/varz", |varz| {
        varz["connections"] == 1 && varz["subscriptions"] == 1
    });
    let (before, after) = (
        settled_kib.expect("time has passed"),
        server.anonymous_kib(),
    );
    println!("{name}: {before} KiB, then {after} KiB");
    assert!(
        after < before + GROWTH_KIB_MAX,
        "{name}: {before} KiB grew to {after} KiB"
    );
}

/// Sends without caring whether the server still listens, and hears it out.
fn splash(server: &Server, bytes: &[u8]) {
    let Ok(mut stream) = TcpStream::connect(server.address) else {
        return;
    };
    stream
        .set_read_timeout(Some(Duration::from_millis(1)))
        .unwrap();
    let _ = stream.write_all(bytes);
    let _ = stream.read(&mut [0; 4096]);
}

#[test]
fn garbage() {
    const WORDS: [&str; 16] = [
        "PUB", "HPUB", "SUB", "UNSUB", "CONNECT", "PING", "PONG", "+OK", "-ERR", "SEND", "ASK",
        "a.b", ">", "*", "12", "{}",
    ];
    flood("garbage", |server, dice| {
        for _ in 0..20 {
            let mut bytes = Vec::new();
            for _ in 0..dice.below(60) {
                match dice.below(6) {
                    0 => bytes.extend((0..dice.below(40)).map(|_| dice.next() as u8)),
                    1 => bytes.extend_from_slice(b"\r\n"),
                    2 => bytes.push(b'\n'),
                    3 => bytes.push(b' '),
                    _ => bytes.extend_from_slice(WORDS[dice.below(WORDS.len())].as_bytes()),
                }
            }
            splash(server, &bytes);
        }
    });
}

#[test]
fn half_frames() {
    flood("half frames", |server, dice| {
        let mut held = Vec::new();
        for _ in 0..20 {
            let mut client = Client::connect(server.address);
            let size = dice.below(1_000_000);
            client.send(format!("SUB x{size} 1\r\nPUB x{size} {size}\r\n"));
            client.send(vec![b'x'; dice.below(size.min(100_000) + 1)]);
            held.push(client);
        }
    });
}

#[test]
fn coming_and_going() {
    flood("coming and going", |server, dice| {
        let mut held: Vec<Client> = Vec::new();
        for _ in 0..50 {
            let mut client = server.client();
            let n = dice.below(1000);
            client.send(format!(
                "SUB go.{n} 1\r\nSUB go.* q 2\r\nPUB go.{n} 3\r\nabc\r\n"
            ));
            if dice.below(2) == 0 {
                client.sync();
            }
            held.push(client);
            if held.len() > 10 {
                let gone = dice.below(held.len());
                held.swap_remove(gone);
            }
        }
    });
}

#[test]
fn one_that_floods_does_not_starve_one_that_asks() {
    let server = Server::start();
    let address = server.address;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = stop.clone();
    let flooder = std::thread::spawn(move || {
        let mut client = Client::connect(address);
        client.send(crate::util::CONNECT);
        let burst = "PUB flood 16\r\n0123456789abcdef\r\n".repeat(2000);
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            client.send(&burst);
        }
    });
    let mut quiet = server.client();
    quiet.sync();
    let start = Instant::now();
    for _ in 0..200 {
        quiet.sync();
    }
    let elapsed = start.elapsed();
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    flooder.join().unwrap();
    // A round trip waits for one read of the flood, not for the flood.
    assert!(
        elapsed < Duration::from_secs(10),
        "200 round trips took {elapsed:?}"
    );
}

#[test]
fn a_wide_fan_out_does_not_hold_up_one_that_asks() {
    const SUBSCRIPTIONS: usize = 2000;
    const MESSAGES: usize = 3000;
    let server = Server::start_with(&["--http-port", "0"]);
    let mut reader = server.client();
    let lines: String = (0..SUBSCRIPTIONS)
        .map(|sid| format!("SUB f {sid}\r\n"))
        .collect();
    reader.send(lines);
    reader.sync();
    let round: usize = (0..SUBSCRIPTIONS)
        .map(|sid| format!("MSG f {sid} 0\r\n\r\n").len())
        .sum();
    let reading = std::thread::spawn(move || {
        let mut buffer = vec![0; 256 * 1024];
        let mut left = round * MESSAGES;
        while left > 0 {
            let count = reader.stream.read(&mut buffer).expect("it goes on");
            assert!(count > 0, "the reader was cut with {left} bytes to come");
            // A ping may be among it.
            left = left.saturating_sub(count);
        }
    });
    let mut quiet = server.client();
    quiet.sync();
    let mut writer = server.client();
    writer.send("PUB f 0\r\n\r\n".repeat(MESSAGES));
    while server.json("/varz")["in_msgs"] == 0 {}
    quiet.sync();
    let done = server.json("/varz")["in_msgs"].as_u64().unwrap();
    assert!(done < MESSAGES as u64, "the answer came after all the work");
    reading.join().unwrap();
}

#[test]
fn messages_for_nobody_do_not_hold_up_one_that_asks() {
    // The publisher mutes its own subscriptions: each message looks at all of
    // them and goes to none.
    const MESSAGES: usize = 3000;
    for queue in ["", "g "] {
        let server = Server::start_with(&["--http-port", "0"]);
        let mut muted = server.connect();
        muted.send("CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":false}\r\n");
        let lines: String = (0..3000)
            .map(|sid| format!("SUB q {queue}{sid}\r\n"))
            .collect();
        muted.send(lines);
        muted.sync();
        let mut quiet = server.client();
        quiet.sync();
        muted.send("PUB q 0\r\n\r\n".repeat(MESSAGES));
        while server.json("/varz")["in_msgs"] == 0 {}
        quiet.sync();
        let done = server.json("/varz")["in_msgs"].as_u64().unwrap();
        assert!(done < MESSAGES as u64, "the answer came after all the work");
    }
}
