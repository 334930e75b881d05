//! The ceiling on memory: whoever would make the server grow is held back, told
//! so or cut, and the others go on.

use crate::util::{Client, Server};
use std::io::Read;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const CEILING_MB: u64 = 48;

fn server(more: &[&str]) -> Server {
    let ceiling = format!("{CEILING_MB}MB");
    Server::start_with(&[&["--memory", &ceiling, "--http-port", "0"], more].concat())
}

/// Pages of the program's file do not count: the program under test may be one
/// for debugging, which has twenty times as many.
#[track_caller]
fn assert_below_ceiling(server: &Server) {
    let used = server.anonymous_kib();
    assert!(used < CEILING_MB * 1024, "{used} KiB are in use");
}

fn metric(server: &Server, name: &str) -> u64 {
    let page = server.get("/metrics").1;
    let line = page.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.split(' ').next_back())
        .and_then(|value| value.parse().ok())
        .unwrap_or_else(|| panic!("no {name}"))
}

/// Reads and forgets until told to stop.
fn read_on(mut stream: TcpStream, is_over: Arc<AtomicBool>) -> std::thread::JoinHandle<bool> {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while !is_over.load(Ordering::Relaxed) {
            if !matches!(stream.read(&mut buffer), Ok(1..)) {
                return false;
            }
        }
        true
    })
}

#[test]
fn readers_that_stopped_are_cut_and_one_that_reads_is_not() {
    let server = server(&[]);
    let stopped: Vec<Client> = (0..40)
        .map(|_| {
            let mut client = server.client();
            client.send("SUB flood 1\r\n");
            client.sync();
            client
        })
        .collect();
    let mut reader = server.client();
    reader.send("SUB flood 1\r\n");
    reader.sync();
    let is_over = Arc::new(AtomicBool::new(false));
    let reading = read_on(reader.stream.try_clone().unwrap(), is_over.clone());
    let mut publisher = server.client();
    let message = format!("PUB flood 1024\r\n{}\r\n", "x".repeat(1024)).repeat(64);
    let slow = "midge_slow_consumers_total{reason=\"pending_bytes\"}";
    while metric(&server, slow) < stopped.len() as u64 {
        publisher.send(&message);
        assert_below_ceiling(&server);
    }
    publisher.sync();
    assert_eq!(server.json("/varz")["connections"], 2);
    is_over.store(true, Ordering::Relaxed);
    publisher.send(&message);
    assert!(reading.join().unwrap(), "who reads is not cut");
}

#[test]
fn frames_that_never_end_do_not_take_all_memory() {
    let server = server(&[]);
    let mut other = server.client();
    other.send("SUB here 1\r\n");
    other.sync();
    let half = format!("PUB x 1000000\r\n{}", "y".repeat(900_000));
    let halves: Vec<Client> = (0..80)
        .map(|_| {
            let mut client = server.client();
            client.try_send(&half);
            client
        })
        .collect();
    let cut = "midge_memory_cut_connections_total";
    while metric(&server, cut) == 0 {}
    server.wait_log("closed: Memory Used Up");
    assert_below_ceiling(&server);
    other.send("PUB here 2\r\nhi\r\n");
    other.expect("MSG here 1 2\r\nhi\r\n");
    drop(halves);
    server.wait_json("/varz", |page| page["connections"] == 1);
    other.sync();
}

#[test]
fn subscriptions_end_where_memory_does() {
    let server = server(&[]);
    let mut greedy = server.client();
    let mut made = 0;
    loop {
        let lines: String = (made..made + 1000)
            .map(|sid| format!("SUB some.quite.long.subject.{sid} {sid}\r\n"))
            .collect();
        greedy.send(lines);
        made += 1000;
        let said = greedy.sync();
        if said.contains("-ERR 'maximum subscriptions exceeded'\r\n") {
            break;
        }
        assert!(!said.contains("-ERR"), "{said}");
    }
    assert_below_ceiling(&server);
    // Nobody new is taken in either, until there is room again.
    Client::connect(server.address).expect_end("-ERR 'maximum connections exceeded'\r\n");
    let used = metric(&server, "midge_memory_allocated_bytes");
    drop(greedy);
    server.wait_json("/varz", |page| page["subscriptions"] == 0);
    let left = metric(&server, "midge_memory_allocated_bytes");
    assert!(left < used / 2, "{left} of {used} bytes are still in use");
    server.wait_log("there is memory again");
    server.client().sync();
}

#[cfg(feature = "streams")]
#[test]
fn a_stream_in_memory_refuses_what_does_not_fit() {
    let dir = crate::stream_util::Dir::new();
    let server = server(&["--store", &dir.store()]);
    let mut client = server.client();
    client.send("SUB _INBOX.* 1\r\n");
    let config = "{\"name\":\"M\",\"subjects\":[\"m\"],\"storage\":\"memory\"}";
    let ask = |client: &mut Client, subject: &str, body: &str| {
        client.send(format!(
            "PUB {subject} _INBOX.a {}\r\n{body}\r\n",
            body.len()
        ));
        client.line();
        client.line()
    };
    assert!(!ask(&mut client, "$JS.API.STREAM.CREATE.M", config).contains("error"));
    let message = format!("PUB m 4096\r\n{}\r\n", "z".repeat(4096)).repeat(100);
    let refused = loop {
        client.send(&message);
        let answer = ask(&mut client, "m", "last");
        if answer.contains("error") {
            break answer;
        }
    };
    assert!(refused.contains("\"err_code\":10023"), "{refused}");
    assert_below_ceiling(&server);
    let config = "{\"name\":\"N\",\"subjects\":[\"n\"]}";
    let refused = ask(&mut client, "$JS.API.STREAM.CREATE.N", config);
    assert!(refused.contains("\"err_code\":10023"), "{refused}");
    // Who comes to make room gets in.
    let mut operator = server.client();
    operator.send("SUB _INBOX.* 1\r\n");
    assert_eq!(operator.sync(), "");
    let purged = ask(&mut operator, "$JS.API.STREAM.PURGE.M", "");
    assert!(purged.contains("\"success\":true"), "{purged}");
    server.wait_log("there is memory again");
    assert!(!ask(&mut client, "m", "again").contains("error"));
}

#[test]
fn one_message_to_many_is_not_in_memory_for_all_of_them_at_once() {
    const READERS: usize = 1000;
    const SIZE: usize = 15_000;
    let server = Server::start_with(&[]);
    let mut readers: Vec<Client> = (0..READERS)
        .map(|_| {
            let mut client = server.client();
            client.send("SUB wide 1\r\n");
            client.sync();
            client
        })
        .collect();
    let peak_before = server.resident_peak_kib();
    let mut publisher = server.client();
    publisher.send(format!("PUB wide {SIZE}\r\n{}\r\n", "x".repeat(SIZE)));
    publisher.sync();
    let start = format!("MSG wide 1 {SIZE}\r\n");
    for reader in &mut readers {
        reader.expect(&start);
        reader.bytes(SIZE + 2);
    }
    let grown = (server.resident_peak_kib() - peak_before) * 1024;
    assert!(
        grown < (READERS * SIZE / 2) as u64,
        "{grown} bytes more at its peak"
    );
}

#[test]
fn a_ceiling_that_leaves_no_room_is_refused() {
    for (args, words) in [
        (["--memory", "8MB"], "--memory must be at least 32 MB"),
        (["--memory", "lots"], "--memory takes a number"),
    ] {
        let output = std::process::Command::new(crate::util::midge())
            .args(args)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(words), "{text}");
    }
}
