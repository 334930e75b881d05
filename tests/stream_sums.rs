//! Streams of counters that add up others. What is stored is as with
//! nats-server 2.14.0.

use crate::stream_util::{Dir, End, base64};
use crate::util::Client;
use serde_json::Value;

const COUNTER: &str = "\"allow_msg_counter\":true";

#[track_caller]
fn add(client: &mut Client, subject: &str, headers: &str) {
    let answer = client.ask_with(subject, headers, "").json();
    assert!(answer["val"].is_string(), "{answer}");
}

/// Makes a stream that adds up what others count under `X.…`, as `s.…`.
fn make_sum(client: &mut Client, name: &str, origins: &[&str]) {
    let sources: Vec<String> = origins.iter().map(|origin| source(origin)).collect();
    let more = format!(
        "{COUNTER},\"allow_direct\":true,\"sources\":[{}]",
        sources.join(",")
    );
    client.make_stream(name, "s.>", &more);
}

fn source(origin: &str) -> String {
    format!(
        "{{\"name\":\"{origin}\",\"subject_transforms\":[{{\"src\":\"{origin}.>\",\"dest\":\"s.>\"}}]}}"
    )
}

/// The headers and the body of a stored message.
#[track_caller]
fn message(client: &mut Client, stream: &str, seq: u64) -> (Value, Value) {
    let message = client.stored(stream, seq).expect("it is there");
    (message["hdrs"].clone(), message["data"].clone())
}

fn stored(headers: &str, value: &str) -> (Value, Value) {
    let block = base64(format!("NATS/1.0\r\n{headers}\r\n").as_bytes());
    let body = base64(format!("{{\"val\":\"{value}\"}}").as_bytes());
    (block.into(), body.into())
}

#[test]
fn a_sum_adds_what_is_new_at_its_sources() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("A", "A.>", &format!("{COUNTER},\"max_msgs_per_subject\":1"));
    client.make_stream("B", "B.>", COUNTER);
    // What is gone already is in what the last has come to.
    add(&mut client, "A.k", "Nats-Incr: 5\r\n");
    add(&mut client, "A.k", "Nats-Incr: 7\r\nX: y\r\n");
    make_sum(&mut client, "S", &["A", "B"]);
    client.wait_messages("S", 1);
    add(&mut client, "B.k", "Nats-Incr: -20\r\n");
    client.wait_messages("S", 2);
    add(&mut client, "s.k", "Nats-Incr: 100\r\n");
    client.api("STREAM.PURGE.A", "");
    add(&mut client, "A.k", "Nats-Incr: 1\r\n");
    client.wait_messages("S", 4);
    let from = |name: &str, seq: u64| {
        format!("Nats-Stream-Source: {name} {seq} {name}.> s.> {name}.k\r\n")
    };
    let sources = |told: &str| format!("Nats-Counter-Sources: {{{told}}}\r\n");
    let (a, b) = (r#""A":{"A.k":"12"}"#, r#""B":{"B.k":"-20"}"#);
    let both = sources(&format!("{a},{b}"));
    let after = sources(&format!(r#""A":{{"A.k":"1"}},{b}"#));
    for (seq, headers, value) in [
        (
            1,
            format!("Nats-Incr: 12\r\nX: y\r\n{}{}", from("A", 2), sources(a)),
            "12",
        ),
        (2, format!("Nats-Incr: -20\r\n{}{both}", from("B", 1)), "-8"),
        (3, format!("Nats-Incr: 100\r\n{both}"), "92"),
        // The counter at the source began anew.
        (
            4,
            format!("Nats-Incr: -11\r\n{}{after}", from("A", 3)),
            "81",
        ),
    ] {
        assert_eq!(
            message(&mut client, "S", seq),
            stored(&headers, value),
            "{seq}"
        );
    }
}

#[test]
fn a_sum_of_sums_knows_the_nearest_and_a_mirror_all() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("A", "A.>", COUNTER);
    make_sum(&mut client, "S", &["A"]);
    let sources = "\"sources\":[{\"name\":\"S\"}]";
    for (name, more) in [
        ("T", format!("{COUNTER},{sources}")),
        ("P", sources.to_owned()),
        ("M", "\"mirror\":{\"name\":\"S\"}".to_owned()),
    ] {
        let body = format!("{{\"name\":\"{name}\",{more}}}");
        client.api(&format!("STREAM.CREATE.{name}"), body);
    }
    add(&mut client, "A.k", "Nats-Incr: 3\r\n");
    for name in ["T", "P", "M"] {
        client.wait_messages(name, 1);
    }
    let first = "Nats-Stream-Source: A 1 A.> s.> A.k\r\n";
    let nearest = "Nats-Stream-Source: S 1 > > s.k\r\n";
    let of_sum = "Nats-Counter-Sources: {\"A\":{\"A.k\":\"3\"}}\r\n";
    let of_sums = "Nats-Counter-Sources: {\"S\":{\"s.k\":\"3\"}}\r\n";
    for (name, headers) in [
        ("T", format!("Nats-Incr: 3\r\n{of_sums}{nearest}")),
        // This one only keeps what comes.
        ("P", format!("Nats-Incr: 3\r\n{of_sum}{nearest}")),
        ("M", format!("Nats-Incr: 3\r\n{first}{of_sum}")),
    ] {
        assert_eq!(
            message(&mut client, name, 1),
            stored(&headers, "3"),
            "{name}"
        );
    }
}

#[test]
fn what_is_no_counter_is_passed_over() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("A", "A.>", "");
    client.make_stream("B", "B.>", COUNTER);
    make_sum(&mut client, "S", &["A", "B"]);
    client.store("A.k", "x");
    client.store("A.k", "{\"val\":\"7\"}");
    client.api("STREAM.DELETE.A", "");
    client.make_stream("A", "A.>", COUNTER);
    add(&mut client, "A.k", "Nats-Incr: 3\r\n");
    add(
        &mut client,
        "B.k",
        "Nats-Incr: 4\r\nNats-Counter-Sources: {}\r\n",
    );
    client.wait_messages("S", 2);
    assert_eq!(message(&mut client, "S", 2).1, stored("", "7").1);
    // Nor is anything added to what somebody has spoilt.
    add(
        &mut client,
        "s.o",
        "Nats-Incr: 1\r\nNats-Counter-Sources: x\r\n",
    );
    let answer = client.ask_with("s.o", "Nats-Incr: 1\r\n", "").json();
    assert_eq!(answer["error"]["err_code"], 10172);
    add(&mut client, "B.o", "Nats-Incr: 1\r\n");
    add(&mut client, "B.k", "Nats-Incr: 1\r\n");
    client.wait_messages("S", 4);
    assert_eq!(message(&mut client, "S", 4).1, stored("", "8").1);
}

#[test]
fn each_message_is_added_once_however_the_server_ends() {
    const KEYS: u64 = 7;
    const EACH: u64 = 300;
    let dir = Dir::new();
    let mut server = dir.serve();
    let mut client = server.client();
    client.make_stream("A", "A.>", COUNTER);
    client.make_stream("B", "B.>", COUNTER);
    make_sum(&mut client, "S", &["A", "B"]);
    let mut count = 0;
    for round in 0..6 {
        for number in 0..EACH {
            for origin in ["A", "B"] {
                let subject = format!("{origin}.{}", number % KEYS);
                client.publish(&subject, None, "Nats-Incr: 2\r\n", "");
            }
        }
        add(&mut client, "A.0", "Nats-Incr: 2\r\n");
        End::BOTH[round % 2].bring(server);
        server = dir.serve();
        client = server.client();
        count = client.state("A")["messages"].as_u64().unwrap();
        count += client.state("B")["messages"].as_u64().unwrap();
        if round % 3 == 2 {
            client.wait_messages("S", count);
        }
    }
    client.wait_messages("S", count);
    let mut sum = 0;
    for key in 0..KEYS {
        let body = format!("{{\"last_by_subj\":\"s.{key}\"}}");
        let total = client.ask("$JS.API.DIRECT.GET.S", body).json();
        sum += total["val"].as_str().unwrap().parse::<u64>().unwrap();
    }
    assert_eq!(sum, 2 * count);
    assert!(count >= 6 * EACH, "{count}");
}
