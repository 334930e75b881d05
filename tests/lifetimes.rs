//! Messages that say how long they live, and the markers that are left behind
//! for them.

use crate::stream_util::{Dir, End, Message};
use crate::util::{Client, PATIENCE};
use std::time::{Duration, Instant};

const DISABLED: u64 = 10166;
const INVALID: u64 = 10165;

/// Publishes with headers; the error code if it is refused, else 0.
#[track_caller]
fn refusal(client: &mut Client, subject: &str, headers: &str) -> u64 {
    let ack = client.ask_with(subject, headers, "x").json();
    ack["error"]["err_code"].as_u64().unwrap_or(0)
}

/// Waits until a message is gone.
#[track_caller]
fn until_gone(client: &mut Client, stream: &str, seq: u64) {
    let deadline = Instant::now() + PATIENCE;
    while client.stored(stream, seq).is_ok() {
        assert!(Instant::now() < deadline, "{seq} of {stream} stays");
        std::thread::yield_now();
    }
}

/// The sequences that are there.
fn left(client: &mut Client, stream: &str) -> Vec<u64> {
    let last = client.state(stream)["last_seq"].as_u64().unwrap();
    (1..=last)
        .filter(|seq| client.stored(stream, *seq).is_ok())
        .collect()
}

fn marker(ttl: &str) -> String {
    format!("NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: {ttl}\r\nNats-Rollup: sub\r\n\r\n")
}

#[test]
fn a_lifetime_is_seconds_or_a_span_or_never() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s.>", "\"allow_msg_ttl\":true");
    client.make_stream("N", "n.>", "");
    for good in [
        "1",
        "01",
        "never",
        "NEVER",
        "1s",
        "1m30s",
        "1500ms",
        "1h",
        "99999999999",
    ] {
        let header = format!("Nats-TTL: {good}\r\n");
        assert_eq!(refusal(&mut client, "s.a", &header), 0, "{good}");
        assert_eq!(refusal(&mut client, "n.a", &header), DISABLED, "{good}");
    }
    for none in ["", "00"] {
        let header = format!("Nats-TTL: {none}\r\n");
        assert_eq!(refusal(&mut client, "n.a", &header), 0, "{none:?}");
    }
    for bad in ["0", "0s", "500ms", "1.5", "-1", "-5s", "+5", "5 ", "abc"] {
        let header = format!("Nats-TTL: {bad}\r\n");
        assert_eq!(refusal(&mut client, "s.a", &header), INVALID, "{bad}");
        assert_eq!(refusal(&mut client, "n.a", &header), INVALID, "{bad}");
    }
}

#[test]
fn a_lifetime_that_cannot_be_read_is_told_of_last() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s.>", "\"allow_msg_ttl\":true");
    client.make_stream("N", "n.>", "");
    client.store_with("s.a", "Nats-Msg-Id: 1\r\n", "");
    for (header, code) in [
        ("Nats-Expected-Stream: Q", 10060),
        ("Nats-Expected-Last-Subject-Sequence: 55", 10071),
        ("Nats-Expected-Last-Subject-Sequence-Subject: s.a", 10193),
        ("Nats-Expected-Last-Sequence: 55", 10071),
        ("Nats-Expected-Last-Msg-Id: zz", 10070),
        ("Nats-Rollup: sub", 10111),
        ("Nats-Msg-Id: 1", 0),
    ] {
        let headers = format!("Nats-TTL: abc\r\n{header}\r\n");
        assert_eq!(refusal(&mut client, "s.a", &headers), code, "{header}");
        let headers = format!("Nats-TTL: 1\r\n{header}\r\n");
        let before = if code == 10060 { code } else { DISABLED };
        assert_eq!(refusal(&mut client, "n.a", &headers), before, "{header}");
    }
}

#[test]
fn a_message_goes_when_it_has_lived_as_long_as_it_was_to() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    for storage in ["file", "memory"] {
        let config = format!("\"allow_msg_ttl\":true,\"storage\":\"{storage}\"");
        client.make_stream("S", "s.>", &config);
        let start = Instant::now();
        for ttl in ["1h", "1", "never", "2s", "00"] {
            client.store_with("s.a", &format!("Nats-TTL: {ttl}\r\n"), ttl);
        }
        until_gone(&mut client, "S", 2);
        assert!(start.elapsed() >= Duration::from_secs(1));
        assert_eq!(left(&mut client, "S"), [1, 3, 4, 5]);
        until_gone(&mut client, "S", 4);
        assert!(start.elapsed() >= Duration::from_secs(2));
        assert_eq!(left(&mut client, "S"), [1, 3, 5]);
        let last = client.stored("S", 5).unwrap();
        assert_eq!(last["subject"], "s.a");
        client.api("STREAM.DELETE.S", "");
    }
}

#[test]
fn what_is_never_to_go_is_not_too_old_for_its_stream() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    let config = "\"allow_msg_ttl\":true,\"max_age\":1000000000";
    client.make_stream("S", "s.>", config);
    for ttl in ["never", "1h", "never", "00"] {
        client.store_with("s.a", &format!("Nats-TTL: {ttl}\r\n"), "");
    }
    until_gone(&mut client, "S", 4);
    assert_eq!(left(&mut client, "S"), [1, 3]);
    client.store("s.a", "behind them");
    until_gone(&mut client, "S", 5);
    for end in End::BOTH {
        let dir = Dir::new();
        let server = dir.serve();
        let mut client = server.client();
        client.make_stream("S", "s.>", config);
        client.store_with("s.a", "Nats-TTL: never\r\n", "");
        client.store("s.a", "");
        until_gone(&mut client, "S", 2);
        end.bring(server);
        let server = dir.serve();
        let mut client = server.client();
        client.store("s.a", "");
        until_gone(&mut client, "S", 3);
        assert_eq!(left(&mut client, "S"), [1], "{end:?}");
    }
}

#[test]
fn messages_go_in_time_after_a_restart_and_though_the_server_was_down() {
    for end in End::BOTH {
        let dir = Dir::new();
        let server = dir.serve();
        let mut client = server.client();
        client.make_stream("S", "s.>", "\"allow_msg_ttl\":true");
        client.make_stream("LATER", "l.>", "\"allow_msg_ttl\":true");
        for ttl in ["1", "1h", "1", "00"] {
            client.store_with("s.a", &format!("Nats-TTL: {ttl}\r\n"), "");
            // Blocks in which some messages are gone already.
            client.store("s.b", "");
        }
        client.api("STREAM.MSG.DELETE.S", "{\"seq\":2}");
        let stored = Instant::now();
        end.bring(server);
        while stored.elapsed() < Duration::from_secs(1) {
            std::thread::yield_now();
        }
        let server = dir.serve();
        let mut client = server.client();
        // As soon as the blocks were read.
        until_gone(&mut client, "S", 1);
        until_gone(&mut client, "S", 5);
        assert_eq!(left(&mut client, "S"), [3, 4, 6, 7, 8], "{end:?}");
        let sent = Instant::now();
        client.store_with("l.a", "Nats-TTL: 2\r\n", "");
        end.bring(server);
        let server = dir.serve();
        let mut client = server.client();
        assert_eq!(left(&mut client, "LATER"), [1], "{end:?}");
        until_gone(&mut client, "LATER", 1);
        assert!(sent.elapsed() >= Duration::from_millis(1900), "{end:?}");
        assert_eq!(left(&mut client, "S"), [3, 4, 6, 7, 8], "{end:?}");
    }
}

#[test]
fn the_setting_can_be_made_later_and_stays() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s.>", "");
    let body = "{\"name\":\"S\",\"subjects\":[\"s.>\"],\"allow_msg_ttl\":true}";
    let config = client.api("STREAM.UPDATE.S", body)["config"].clone();
    assert_eq!(config["allow_msg_ttl"], true);
    client.store_with("s.a", "Nats-TTL: 1\r\n", "");
    let body = "{\"name\":\"S\",\"subjects\":[\"s.>\"]}";
    let answer = client.ask("$JS.API.STREAM.UPDATE.S", body).json();
    let error = "message TTL status can not be disabled";
    assert_eq!(answer["error"]["description"], error);
    until_gone(&mut client, "S", 1);
}

/// The next delivery of a consumer that was made for this, whose subject shows
/// what it is.
fn next(client: &mut Client, stream: &str) -> Message {
    let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.d");
    let request = "{\"batch\":1,\"expires\":20000000000}";
    let message = client.ask(&subject, request);
    client.confirm(message.ack(), "");
    message
}

#[test]
fn a_marker_is_left_where_the_last_message_of_a_subject_grows_too_old() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    for storage in ["file", "memory"] {
        let config = format!(
            "\"subject_delete_marker_ttl\":1000000000,\"max_age\":1000000000,\"storage\":\"{storage}\""
        );
        client.make_stream("S", "s.>", &config);
        client.store("s.a", "1");
        client.store("s.b", "2");
        client.store("s.b", "3");
        client.make_durable("S", "d", "\"deliver_policy\":\"new\"");
        for subject in ["s.a", "s.b"] {
            let message = next(&mut client, "S");
            assert_eq!(message.subject, subject);
            assert_eq!((message.header, message.body), (marker("1s"), Vec::new()));
        }
        // Nothing is left behind for them.
        until_gone(&mut client, "S", 4);
        until_gone(&mut client, "S", 5);
        let state = client.state("S");
        assert_eq!(
            (&state["messages"], &state["last_seq"]),
            (&0.into(), &5.into())
        );
        client.api("STREAM.DELETE.S", "");
    }
}

#[test]
fn a_marker_is_left_for_a_message_that_says_how_long_it_lives() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    let config = "\"subject_delete_marker_ttl\":5400000000000,\"max_msgs_per_subject\":1";
    client.make_stream("KV", "k.>", config);
    client.make_durable("KV", "d", "\"deliver_policy\":\"new\"");
    for (key, headers) in [
        ("k.marker", "Nats-Marker-Reason: foo\r\n"),
        ("k.purged", "KV-Operation: PURGE\r\nNats-Rollup: sub\r\n"),
        ("k.deleted", "KV-Operation: DEL\r\n"),
        ("k.there", ""),
    ] {
        client.store_with(key, &format!("Nats-TTL: 1\r\n{headers}"), "");
    }
    for _ in 0..4 {
        next(&mut client, "KV");
    }
    for (seq, subject) in [(5, "k.deleted"), (6, "k.there")] {
        let message = next(&mut client, "KV");
        assert_eq!((message.sequence(), &message.subject[..]), (seq, subject));
        assert_eq!(message.header, marker("1h30m0s"));
    }
    assert_eq!(left(&mut client, "KV"), [5, 6]);
}

#[test]
fn a_marker_is_left_for_what_grew_too_old_while_the_server_was_down() {
    for end in End::BOTH {
        let dir = Dir::new();
        let server = dir.serve();
        let mut client = server.client();
        client.make_stream(
            "S",
            "s.>",
            "\"subject_delete_marker_ttl\":5000000000,\"max_msgs_per_subject\":1",
        );
        client.store_with("s.a", "Nats-TTL: 1\r\n", "");
        let stored = Instant::now();
        end.bring(server);
        while stored.elapsed() < Duration::from_secs(1) {
            std::thread::yield_now();
        }
        let server = dir.serve();
        let mut client = server.client();
        client.make_durable(
            "S",
            "d",
            "\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":2",
        );
        let message = next(&mut client, "S");
        assert_eq!(
            (message.sequence(), message.header),
            (2, marker("5s")),
            "{end:?}"
        );
        end.bring(server);
        let server = dir.serve();
        let mut client = server.client();
        until_gone(&mut client, "S", 2);
        assert_eq!(client.state("S")["last_seq"], 2, "{end:?}");
    }
}

#[test]
fn no_message_goes_before_a_marker_would() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s.>", "\"subject_delete_marker_ttl\":7000000000");
    for (headers, want) in [
        (
            "A: 1\r\nNats-TTL: 1\r\nB: 2\r\n",
            "A: 1\r\nB: 2\r\nNats-TTL: 7\r\n",
        ),
        (
            "A: 1\r\nNats-TTL: 1m\r\nB: 2\r\n",
            "A: 1\r\nNats-TTL: 1m\r\nB: 2\r\n",
        ),
        ("Nats-TTL: 7s\r\n", "Nats-TTL: 7s\r\n"),
        ("Nats-TTL: 1500ms\r\n", "Nats-TTL: 7\r\n"),
        ("Nats-TTL: never\r\n", "Nats-TTL: never\r\n"),
    ] {
        let seq = client.store_with("s.a", headers, "x");
        client.make_durable(
            "S",
            "d",
            &format!("\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":{seq}"),
        );
        let message = next(&mut client, "S");
        assert_eq!(message.header, format!("NATS/1.0\r\n{want}\r\n"));
        assert_eq!(message.text(), "x");
        client.api("CONSUMER.DELETE.S.d", "");
    }
}

#[test]
fn purges_and_deletes_leave_no_marker() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    let config = "\"subject_delete_marker_ttl\":90000000000,\"max_msgs\":3";
    client.make_stream("S", "s.>", config);
    for key in ["a", "b", "c", "d"] {
        client.store(&format!("s.{key}"), "");
    }
    client.api("STREAM.MSG.DELETE.S", "{\"seq\":2}");
    client.api("STREAM.PURGE.S", "{\"filter\":\"s.c\"}");
    client.api("STREAM.PURGE.S", "");
    let state = client.state("S");
    assert_eq!(
        (&state["messages"], &state["last_seq"]),
        (&0.into(), &4.into())
    );
}
