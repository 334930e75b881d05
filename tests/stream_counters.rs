//! Streams of counters. The answers are those of nats-server 2.15.1.

use crate::stream_util::{Dir, End};
use crate::util::Client;

const COUNTER: &str = "\"allow_msg_counter\":true";

/// Adds to a counter and returns the whole answer.
#[track_caller]
fn add(client: &mut Client, subject: &str, headers: &str) -> String {
    client.ask_with(subject, headers, "").text()
}

fn refusal(code: u64, text: &str) -> String {
    format!(
        "{{\"error\":{{\"code\":400,\"err_code\":{code},\"description\":\"{text}\"}},\"stream\":\"K\",\"seq\":0}}"
    )
}

#[test]
fn a_counter_tells_what_it_has_come_to() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("K", "k.>", COUNTER);
    let long = "9".repeat(60);
    let sum = format!("1{}5", "0".repeat(59));
    for (seq, (increment, value)) in [
        ("1", "1"),
        ("+5", "6"),
        ("-10", "-4"),
        ("-0", "-4"),
        ("007", "3"),
        (" 3", "6"),
        (long.as_str(), sum.as_str()),
        (format!("-{long}").as_str(), "6"),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = add(&mut client, "k.a", &format!("Nats-Incr: {increment}\r\n"));
        let seq = seq + 1;
        let wanted = format!("{{\"stream\":\"K\",\"seq\":{seq},\"val\":\"{value}\"}}");
        assert_eq!(answer, wanted);
    }
    let stored = client.stored("K", 3).unwrap();
    assert_eq!(
        stored["data"], "eyJ2YWwiOiItNCJ9",
        "the body is {{\"val\":\"-4\"}}"
    );
    let once = "Nats-Incr: 1\r\nNats-Msg-Id: a\r\n";
    assert_eq!(
        add(&mut client, "k.a", once),
        r#"{"stream":"K","seq":9,"val":"7"}"#
    );
    assert_eq!(
        add(&mut client, "k.a", once),
        r#"{"stream":"K","seq":9,"duplicate": true}"#
    );
    // What other streams have added is handed on.
    let sources = "Nats-Counter-Sources: {\"x\":{\"k.a\":\"5\"}}\r\n";
    add(&mut client, "k.a", &format!("Nats-Incr: 1\r\n{sources}"));
    add(&mut client, "k.a", "Nats-Incr: 1\r\nA: b\r\n");
    let stored = client
        .ask("$JS.API.STREAM.MSG.GET.K", r#"{"seq":11}"#)
        .json();
    let headers = stored["message"]["hdrs"].as_str().unwrap().to_owned();
    let wanted = format!("NATS/1.0\r\nNats-Incr: 1\r\nA: b\r\n{sources}\r\n");
    assert_eq!(headers, crate::stream_util::base64(wanted.as_bytes()));
}

#[test]
fn what_is_no_increment_is_refused() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("K", "k.>", COUNTER);
    let invalid = refusal(10171, "message counter increment is invalid");
    let missing = refusal(10169, "message counter increment is missing");
    for text in ["1.5", "abc", "1_000", "0x10", "3 ", "--3", "+"] {
        let answer = add(&mut client, "k.a", &format!("Nats-Incr: {text}\r\n"));
        assert_eq!(answer, invalid, "{text}");
    }
    for headers in ["", "X: y\r\n", "Nats-Incr: \r\n", "nats-incr: 1\r\n"] {
        assert_eq!(add(&mut client, "k.a", headers), missing, "{headers}");
    }
    for header in [
        "Nats-Expected-Last-Sequence: 1",
        "Nats-Expected-Last-Subject-Sequence: 1",
        "Nats-Expected-Last-Msg-Id: a",
        "Nats-Expected-Stream: K",
        "Nats-Rollup: sub",
    ] {
        let headers = format!("Nats-Incr: 1\r\n{header}\r\n");
        assert_eq!(add(&mut client, "k.a", &headers), invalid, "{header}");
    }
    let payload = client.ask_with("k.a", "Nats-Incr: 1\r\n", "x").text();
    assert_eq!(payload, refusal(10170, "message counter has payload"));
    assert_eq!(client.state("K")["last_seq"], 0);
    client.make_stream("N", "n.>", "");
    for (increment, code) in [("1", 10168), ("zz", 10171)] {
        let headers = format!("Nats-Incr: {increment}\r\n");
        let answer = client.ask_with("n.a", &headers, "x").json();
        assert_eq!(answer["error"]["err_code"], code);
    }
    for (more, text) in [
        (
            "\"retention\":\"workqueue\"",
            "counter stream can only use limits retention",
        ),
        (
            "\"discard\":\"new\"",
            "counter stream cannot use discard new",
        ),
    ] {
        let body = format!("{{\"name\":\"Z\",\"subjects\":[\"z\"],{COUNTER},{more}}}");
        let answer = client.ask("$JS.API.STREAM.CREATE.Z", body).json();
        assert_eq!(answer["error"]["description"], text);
    }
    let body = "{\"name\":\"K\",\"subjects\":[\"k.>\"]}";
    let answer = client.ask("$JS.API.STREAM.UPDATE.K", body).json();
    assert_eq!(
        answer["error"]["description"],
        "stream configuration update can not change message counter setting"
    );
}

#[test]
fn counters_go_on_after_a_restart_without_an_error() {
    for end in End::BOTH {
        let dir = Dir::new();
        let server = dir.serve();
        let mut client = server.client();
        client.make_stream("K", "k.>", &format!("{COUNTER},\"max_msgs_per_subject\":1"));
        for _ in 0..3 {
            for key in 0..40 {
                add(&mut client, &format!("k.{key}"), "Nats-Incr: 2\r\n");
            }
        }
        end.bring(server);
        let server = dir.serve();
        let mut client = server.client();
        client.send("SUB _I 1\r\n");
        // Not one by one: all but the first meet those that wait.
        for _ in 0..2 {
            for key in 0..40 {
                client.publish(&format!("k.{key}"), Some("_I"), "Nats-Incr: 1\r\n", "");
            }
        }
        for round in 1..=2 {
            for key in 0..40 {
                let answer = client.message().json();
                let seq = 120 + (round - 1) * 40 + key + 1;
                assert_eq!(answer["seq"], seq, "{answer}");
                assert_eq!(answer["val"], (6 + round).to_string(), "{answer}");
            }
        }
    }
}
