//! Subjects that messages are stored under: a token may be a wildcard, which is
//! a name like any other there.

use crate::stream_util::{Dir, End};
use crate::util::{Client, Server};
use serde_json::{Value, json};

/// A server with the stream `S` of `s.>`.
fn start(dir: &Dir, more: &str) -> (Server, Client) {
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s.>", more);
    (server, client)
}

/// How many messages each subject of a stream has.
fn subjects(client: &mut Client, stream: &str) -> Value {
    let info = client.api(
        &format!("STREAM.INFO.{stream}"),
        r#"{"subjects_filter":">"}"#,
    );
    info["state"]["subjects"].clone()
}

#[test]
fn a_subject_may_have_wildcards_for_tokens() {
    let dir = Dir::new();
    let (server, mut client) = start(&dir, "\"allow_direct\":true");
    for (place, subject) in ["s.*", "s.>", "s.*.b", "s.a", "s.a.b"].iter().enumerate() {
        assert_eq!(client.store(subject, *subject), place as u64 + 1);
    }
    assert_eq!(client.stored("S", 1).unwrap()["subject"], "s.*");
    // Who reads by such a subject reads by a filter.
    let last = client.ask("$JS.API.DIRECT.GET.S.s.*", "");
    assert_eq!(last.text(), "s.a");
    let expected = |seq: u64| format!("Nats-Expected-Last-Subject-Sequence: {seq}\r\n");
    let refused = client.ask_with("s.*", &expected(1), "x").json();
    assert_eq!(refused["error"]["description"], "wrong last sequence: 4");
    assert_eq!(client.store_with("s.*", &expected(4), "x"), 6);
    let all = json!({"s.*": 2, "s.>": 1, "s.*.b": 1, "s.a": 1, "s.a.b": 1});
    assert_eq!(subjects(&mut client, "S"), all);
    End::Killed.bring(server);
    let server = dir.serve();
    let mut client = server.client();
    assert_eq!(subjects(&mut client, "S"), all);
    client.make_durable("S", "d", "\"filter_subject\":\"s.*\"");
    let taken: Vec<String> = (0..4).map(|_| client.next("S", "d").text()).collect();
    assert_eq!(taken, ["s.*", "s.>", "s.a", "x"]);
    client.api("STREAM.PURGE.S", r#"{"filter":"s.*"}"#);
    assert_eq!(subjects(&mut client, "S"), json!({"s.*.b": 1, "s.a.b": 1}));
}

/// It is a filter for nobody but who asks: its limit takes nothing from others.
#[test]
fn the_limit_of_a_subject_with_wildcards_is_its_own() {
    for storage in ["file", "memory"] {
        let dir = Dir::new();
        let (_server, mut client) = start(&dir, &format!("\"storage\":\"{storage}\""));
        let rest = ["s.*"; 9];
        for subject in ["s.*", "s.a", "s.>", "s.a"].iter().chain(&rest) {
            client.store(subject, "x");
        }
        let limit = format!(
            r#"{{"name":"S","subjects":["s.>"],"storage":"{storage}","max_msgs_per_subject":5}}"#
        );
        client.api("STREAM.UPDATE.S", limit);
        client.wait_messages("S", 8);
        let five = json!({"s.*": 5, "s.>": 1, "s.a": 2});
        assert_eq!(subjects(&mut client, "S"), five);
        for _ in 0..3 {
            client.store("s.*", "x");
        }
        client.wait_messages("S", 8);
        assert_eq!(subjects(&mut client, "S"), five);
    }
}

/// nats.py's `purge("k.*")` of a bucket is a message that takes the place of all that
/// its subject covers.
#[test]
fn a_rollup_takes_the_place_of_what_its_subject_covers() {
    for storage in ["file", "memory"] {
        let dir = Dir::new();
        let more = format!("\"storage\":\"{storage}\",\"allow_rollup_hdrs\":true");
        let (_server, mut client) = start(&dir, &more);
        for subject in ["s.a", "s.b", "s.*", "s.a.b", "s.a"] {
            client.store(subject, "x");
        }
        assert_eq!(client.store_with("s.*", "Nats-Rollup: sub\r\n", "new"), 6);
        client.wait_messages("S", 2);
        let left = json!({"s.*": 1, "s.a.b": 1});
        assert_eq!(subjects(&mut client, "S"), left);
        assert_eq!(client.stored("S", 6).unwrap()["data"], "bmV3");
    }
}

#[test]
fn a_schedule_has_one_subject() {
    let dir = Dir::new();
    let (_server, mut client) = start(&dir, "\"allow_msg_schedules\":true");
    client.store("s.a", "kept");
    let schedule = "Nats-Schedule: @every 1h\r\nNats-Schedule-Target: s.t\r\n";
    let refused = client.ask_with("s.*", schedule, "x").json();
    assert_eq!(refused["error"]["err_code"], 10077, "{refused}");
    assert_eq!(subjects(&mut client, "S"), json!({"s.a": 1}));
}
