//! More than a server can store or deliver at once: it holds back and does
//! not grow.

use crate::stream_util::Dir;
use crate::util::Client;
use std::io::Write;

/// What a server may hold under a flood, in KiB: the blocks that are kept in
/// memory, a batch that is being written, one that gathers, and the pages of
/// the store, beside itself and what the allocator holds back.
const RESIDENT_KIB_MAX: u64 = 120 * 1024;

#[test]
fn a_publisher_is_held_back_by_the_disk() {
    const MESSAGES: usize = 24_000;
    const SIZE: usize = 8 * 1024;
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s", "");
    client.send("SUB _I 1\r\n");
    let mut writer = client.stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        let body = "x".repeat(SIZE);
        let frame = format!("PUB s _I {SIZE}\r\n{body}\r\n");
        for _ in 0..MESSAGES {
            writer.write_all(frame.as_bytes()).expect("midge reads");
        }
    });
    let mut resident = 0;
    for seq in 1..=MESSAGES {
        // A ping stays unanswered: the other half is busy with a message.
        let mut line = client.line();
        while line == "PING" {
            line = client.line();
        }
        assert!(line.starts_with("MSG _I 1 "), "{line}");
        assert_eq!(client.line(), format!("{{\"stream\":\"S\",\"seq\":{seq}}}"));
        if seq % 500 == 0 {
            resident = resident.max(server.resident_kib());
        }
    }
    writing.join().unwrap();
    println!(
        "{} MB stored with {resident} KiB at most",
        MESSAGES * SIZE / 1_000_000
    );
    assert!(resident < RESIDENT_KIB_MAX, "{resident} KiB");
    assert_eq!(client.state("S")["messages"], MESSAGES);
}

#[test]
fn many_publishers_are_held_back_together() {
    const PUBLISHERS: usize = 20;
    const MESSAGES: usize = 200;
    const SIZE: usize = 32 * 1024;
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s", "");
    let address = server.address;
    let threads: Vec<_> = (0..PUBLISHERS)
        .map(|who| {
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                client.send(crate::util::CONNECT);
                client.send(format!("SUB _I{who} 1\r\n"));
                let body = "y".repeat(SIZE);
                client.send(format!("PUB s _I{who} {SIZE}\r\n{body}\r\n").repeat(MESSAGES));
                for _ in 0..MESSAGES {
                    let ack = client.message().json();
                    assert!(ack["seq"].as_u64().is_some_and(|seq| seq > 0), "{ack}");
                }
            })
        })
        .collect();
    let mut resident = 0;
    while !threads.iter().all(std::thread::JoinHandle::is_finished) {
        resident = resident.max(server.resident_kib());
        client.sync();
    }
    for thread in threads {
        thread.join().unwrap();
    }
    println!(
        "{} MB stored with {resident} KiB at most",
        PUBLISHERS * MESSAGES * SIZE / 1_000_000
    );
    assert!(resident < RESIDENT_KIB_MAX, "{resident} KiB");
    assert_eq!(client.state("S")["messages"], PUBLISHERS * MESSAGES);
}

#[test]
fn a_reader_that_does_not_read_its_batch_costs_no_more_than_its_limit() {
    const MESSAGES: usize = 1500;
    const SIZE: usize = 64 * 1024;
    let dir = Dir::new();
    let server = dir.serve_with(&[
        "--max-pending",
        "8MB",
        "--write-deadline",
        "5m",
        "--http-port",
        "0",
    ]);
    let mut writer = server.client();
    writer.make_stream("S", "s", "");
    writer.make_durable("S", "d", "\"max_ack_pending\":-1");
    let body = "z".repeat(SIZE);
    writer.send("SUB _I 1\r\n");
    for _ in 0..MESSAGES / 50 {
        writer.send(format!("PUB s _I {SIZE}\r\n{body}\r\n").repeat(50));
        for _ in 0..50 {
            writer.message();
        }
    }
    // It asks for everything and reads nothing.
    let mut slow = server.client();
    slow.listen_for_pulls();
    slow.pull(
        "S",
        "d",
        &format!("{{\"batch\":{MESSAGES},\"expires\":60000000000}}"),
    );
    let mut resident = 0;
    for _ in 0..500 {
        writer.sync();
        resident = resident.max(server.resident_kib());
    }
    println!(
        "{} MB asked for with {resident} KiB at most",
        MESSAGES * SIZE / 1_000_000
    );
    assert!(resident < RESIDENT_KIB_MAX, "{resident} KiB");
    // It was not cut for what it has asked for itself, and once it reads it
    // gets all of it, in order.
    for seq in 1..=MESSAGES as u64 {
        let message = slow.message();
        assert_eq!(message.sequence(), seq);
        assert_eq!(message.body.len(), SIZE);
    }
    assert_eq!(server.json("/varz")["slow_consumers"], 0);
}

/// All pairs of a list are compared, and nobody else is served meanwhile.
#[test]
fn lists_that_are_too_long_are_refused() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    let listed = |count: usize, what: &dyn Fn(usize) -> String| {
        (0..count).map(what).collect::<Vec<_>>().join(",")
    };
    let subject = |number: usize| format!("\"s.{number}\"");
    let stream = |count| {
        format!(
            "{{\"name\":\"S\",\"subjects\":[{}]}}",
            listed(count, &subject)
        )
    };
    assert_eq!(client.api_error("STREAM.CREATE.S", stream(1025)), 10052);
    client.api("STREAM.CREATE.S", stream(1024));
    let filters = |count| {
        format!(
            "{{\"stream_name\":\"S\",\"config\":{{\"name\":\"c\",\"filter_subjects\":[{}]}}}}",
            listed(count, &subject)
        )
    };
    assert_eq!(
        client.api_error("CONSUMER.CREATE.S.c", filters(1025)),
        10052
    );
    client.api("CONSUMER.CREATE.S.c", filters(1024));
    let source = |number| format!("{{\"name\":\"S\",\"filter_subject\":\"s.{number}\"}}");
    let sources = format!("{{\"name\":\"T\",\"sources\":[{}]}}", listed(1025, &source));
    assert_eq!(client.api_error("STREAM.CREATE.T", sources), 10052);
    let rule = |number| format!("{{\"src\":\"s.{number}\",\"dest\":\"t.{number}\"}}");
    let rules = format!(
        "{{\"name\":\"T\",\"sources\":[{{\"name\":\"S\",\"subject_transforms\":[{}]}}]}}",
        listed(1025, &rule)
    );
    assert_eq!(client.api_error("STREAM.CREATE.T", rules), 10052);
}
