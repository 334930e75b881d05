//! Batches of messages of which all are stored, or none. The answers are
//! those of nats-server 2.15.1.

use crate::stream_util::{Dir, End, Message};
use crate::util::{Client, File};

const ATOMIC: &str = "\"allow_atomic\":true";

#[track_caller]
fn send(client: &mut Client, subject: &str, id: &str, seq: u64, more: &str) -> Message {
    let headers = format!("Nats-Batch-Id: {id}\r\nNats-Batch-Sequence: {seq}\r\n{more}");
    let body = if more.contains("eob") { "" } else { "x" };
    client.ask_with(subject, &headers, body)
}

/// A message of a batch that is not its last.
#[track_caller]
fn stage(client: &mut Client, subject: &str, id: &str, seq: u64, more: &str) {
    let answer = send(client, subject, id, seq, more);
    assert!(
        answer.body.is_empty() && answer.header.is_empty(),
        "{answer:?}"
    );
}

/// The last message of a batch, which is answered with this.
#[track_caller]
fn commit(client: &mut Client, subject: &str, id: &str, seq: u64, more: &str) -> String {
    let more = format!("Nats-Batch-Commit: 1\r\n{more}");
    send(client, subject, id, seq, &more).text()
}

#[track_caller]
fn code(answer: &str) -> u64 {
    let json: serde_json::Value = serde_json::from_str(answer).expect(answer);
    json["error"]["err_code"].as_u64().expect(answer)
}

#[test]
fn a_batch_is_stored_as_a_whole() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("A", "a.>", ATOMIC);
    stage(&mut client, "a.1", "b", 1, "");
    client.store("a.x", "between");
    stage(&mut client, "a.1", "b", 2, "");
    assert_eq!(client.state("A")["messages"], 1);
    let answer = commit(&mut client, "a.2", "b", 3, "");
    assert_eq!(answer, r#"{"stream":"A","seq":4,"batch":"b","count":3}"#);
    stage(&mut client, "a.1", "e", 1, "");
    let answer = send(&mut client, "a.1", "e", 2, "Nats-Batch-Commit: eob\r\n");
    assert_eq!(
        answer.text(),
        r#"{"stream":"A","seq":5,"batch":"e","count":1}"#
    );
    let headers = client.stored("A", 2).unwrap()["hdrs"]
        .as_str()
        .unwrap()
        .to_owned();
    let wanted = "NATS/1.0\r\nNats-Batch-Id: b\r\nNats-Batch-Sequence: 1\r\n\r\n";
    assert_eq!(headers, crate::stream_util::base64(wanted.as_bytes()));
    let headers = client.stored("A", 5).unwrap()["hdrs"]
        .as_str()
        .unwrap()
        .to_owned();
    let wanted = "NATS/1.0\r\nNats-Batch-Id: e\r\nNats-Batch-Sequence: 1\r\n\
                  Nats-Batch-Commit: 1\r\n\r\n";
    assert_eq!(headers, crate::stream_util::base64(wanted.as_bytes()));
    let alone = commit(&mut client, "a.2", &"x".repeat(64), 1, "");
    assert!(alone.ends_with("\"count\":1}"), "{alone}");
    // Without a name it is a message like any other.
    assert_eq!(client.store_with("a.1", "Nats-Batch-Id: \r\n", "x"), 7);
}

#[test]
fn a_batch_with_a_fault_leaves_nothing() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("A", "a.>", &format!("{ATOMIC},\"allow_rollup_hdrs\":true"));
    client.store_with("a.1", "Nats-Msg-Id: old\r\n", "x");
    let subject_seq = |seq: u64| format!("Nats-Expected-Last-Subject-Sequence: {seq}\r\n");
    let last_seq = |seq: u64| format!("Nats-Expected-Last-Sequence: {seq}\r\n");
    let id = |id: &str| format!("Nats-Msg-Id: {id}\r\n");
    let text = |text: &str| text.to_owned();
    for (place, (first, second, wanted)) in [
        (id("old"), text(""), 10201),
        (id("m"), id("m"), 10201),
        (text("Nats-Expected-Last-Msg-Id: old\r\n"), text(""), 10177),
        (last_seq(2), text(""), 10071),
        (text(""), last_seq(1), 10071),
        (text(""), last_seq(2), 10164),
        (subject_seq(7), text(""), 10071),
        (text(""), subject_seq(1), 10164),
        (text("Nats-Expected-Stream: Z\r\n"), text(""), 10060),
        (text(""), text("Nats-Rollup: sub\r\n"), 10111),
        (text("Nats-Rollup: xx\r\n"), text(""), 10111),
        (text("Nats-Incr: 1\r\n"), text(""), 10168),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("f{place}");
        stage(&mut client, "a.1", &name, 1, &first);
        stage(&mut client, "a.1", &name, 2, &second);
        let answer = commit(&mut client, "a.2", &name, 3, "");
        assert_eq!(code(&answer), wanted, "{first} {second}: {answer}");
        assert_eq!(client.state("A")["last_seq"], 1);
        let again = commit(&mut client, "a.2", &name, 3, "");
        assert_eq!(code(&again), 10176, "it is forgotten");
    }
    stage(&mut client, "a.1", "good", 1, &last_seq(1));
    stage(&mut client, "a.2", "good", 2, &subject_seq(0));
    let answer = commit(&mut client, "a.1", "good", 3, "");
    assert_eq!(answer, r#"{"stream":"A","seq":4,"batch":"good","count":3}"#);
}

#[test]
fn what_does_not_fit_a_batch_ends_it() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    let mut watcher = server.client();
    watcher.send("SUB $JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.> 1\r\n");
    watcher.sync();
    client.make_stream("A", "a.>", ATOMIC);
    client.make_stream("D", "d.>", "");
    let mut told = |batch: &str, reason: &str| {
        let event = watcher.message().json();
        assert_eq!(
            event["type"],
            "io.nats.jetstream.advisory.v1.stream_batch_abandoned"
        );
        assert_eq!(
            (&event["batch"], &event["reason"]),
            (&batch.into(), &reason.into())
        );
        assert_eq!(event["stream"], "A");
    };
    let refused = |client: &mut Client, subject: &str, headers: &str| {
        let answer = client.ask_with(subject, headers, "x").text();
        code(&answer)
    };
    let with_id = |more: &str| format!("Nats-Batch-Id: i\r\n{more}");
    assert_eq!(
        refused(&mut client, "d.a", &with_id("Nats-Batch-Sequence: 1\r\n")),
        10174
    );
    for (more, wanted) in [
        ("", 10175),
        ("Nats-Batch-Sequence: x\r\n", 10175),
        ("Nats-Batch-Sequence: 2\r\n", 10176),
        ("Nats-Batch-Sequence: 1\r\nNats-Batch-Commit: 0\r\n", 10200),
        ("Nats-Batch-Sequence: 1\r\nNats-Batch-Commit: \r\n", 10200),
    ] {
        assert_eq!(
            refused(&mut client, "a.1", &with_id(more)),
            wanted,
            "{more}"
        );
    }
    let long = format!(
        "Nats-Batch-Id: {}\r\nNats-Batch-Sequence: 1\r\n",
        "x".repeat(65)
    );
    assert_eq!(refused(&mut client, "a.1", &long), 10179);
    for seq in [1, 3] {
        stage(&mut client, "a.1", "gap", 1, "");
        assert_eq!(
            code(&send(&mut client, "a.1", "gap", seq, "").text()),
            10176
        );
        told("gap", "incomplete");
    }
    let answer = send(&mut client, "a.1", "none", 1, "Nats-Batch-Commit: eob\r\n");
    assert_eq!(code(&answer.text()), 10176);
    told("none", "incomplete");
    // A level that no server has yet.
    let newer = "Nats-Required-Api-Level: 99\r\n";
    stage(
        &mut client,
        "a.1",
        "new",
        1,
        "Nats-Required-Api-Level: 0\r\n",
    );
    assert_eq!(
        code(&send(&mut client, "a.1", "new", 2, newer).text()),
        10185
    );
    told("new", "unsupported");
    assert_eq!(
        code(&send(&mut client, "a.1", "fresh", 1, newer).text()),
        10185
    );
    told("fresh", "unsupported");
    assert_eq!(
        code(&send(&mut client, "a.1", "fresh", 2, newer).text()),
        10176
    );
    for seq in 1..=1000 {
        let headers = format!("Nats-Batch-Id: L\r\nNats-Batch-Sequence: {seq}\r\n");
        client.publish("a.1", None, &headers, "x");
    }
    let answer = send(&mut client, "a.1", "L", 1001, "").text();
    assert!(
        answer.contains("atomic publish batch is too large: 1000"),
        "{answer}"
    );
    told("L", "large");
    for open in 0..50 {
        stage(&mut client, "a.1", &format!("o{open}"), 1, "");
    }
    assert_eq!(code(&send(&mut client, "a.1", "o50", 1, "").text()), 10210);
    let answer = commit(&mut client, "a.1", "o7", 2, "");
    assert_eq!(answer, r#"{"stream":"A","seq":2,"batch":"o7","count":2}"#);
    assert!(commit(&mut client, "a.1", "o50", 1, "").contains("\"seq\":3"));
}

#[test]
fn a_batch_must_fit_into_its_stream() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    let full = "\"discard\":\"new\",\"max_msgs\":2,\"max_msg_size\":200";
    client.make_stream("F", "f.>", &format!("{ATOMIC},{full}"));
    stage(&mut client, "f.1", "k", 1, "");
    stage(&mut client, "f.1", "k", 2, "");
    let answer = commit(&mut client, "f.2", "k", 3, "");
    assert!(answer.contains("maximum messages exceeded"), "{answer}");
    assert_eq!(client.state("F")["last_seq"], 0);
    // Each would fit by itself.
    let more = "\"discard\":\"new\",\"max_bytes\":300";
    client.make_stream("B", "b.>", &format!("{ATOMIC},{more}"));
    for seq in 1..=2 {
        stage(&mut client, "b.1", "k", seq, "X: y\r\n");
    }
    let answer = commit(&mut client, "b.1", "k", 3, "");
    assert!(answer.contains("maximum bytes exceeded"), "{answer}");
    assert_eq!(client.state("B")["last_seq"], 0);
    stage(&mut client, "b.1", "k", 1, "");
    let answer = commit(&mut client, "b.1", "k", 2, "");
    assert_eq!(answer, r#"{"stream":"B","seq":2,"batch":"k","count":2}"#);
    let per_subject =
        "\"discard\":\"new\",\"max_msgs_per_subject\":1,\"discard_new_per_subject\":true";
    client.make_stream("G", "g.>", &format!("{ATOMIC},{per_subject}"));
    stage(&mut client, "g.1", "k", 1, "");
    let answer = commit(&mut client, "g.1", "k", 2, "");
    assert!(
        answer.contains("maximum messages per subject exceeded"),
        "{answer}"
    );
    stage(&mut client, "g.1", "k", 1, "");
    let answer = commit(&mut client, "g.2", "k", 2, "");
    assert_eq!(answer, r#"{"stream":"G","seq":2,"batch":"k","count":2}"#);
}

#[test]
fn counters_of_a_batch_count_together() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("E", "e.>", &format!("{ATOMIC},\"allow_msg_counter\":true"));
    let send = |client: &mut Client, subject: &str, seq: u64, more: &str| {
        let headers =
            format!("Nats-Batch-Id: k\r\nNats-Batch-Sequence: {seq}\r\n{more}Nats-Incr: 5\r\n");
        client.ask_with(subject, &headers, "").text()
    };
    send(&mut client, "e.1", 1, "");
    send(&mut client, "e.1", 2, "");
    let answer = send(&mut client, "e.2", 3, "Nats-Batch-Commit: 1\r\n");
    assert_eq!(answer, r#"{"stream":"E","seq":3,"batch":"k","count":3}"#);
    let last = client.stored("E", 2).unwrap()["data"].clone();
    assert_eq!(last, crate::stream_util::base64(b"{\"val\":\"10\"}"));
}

/// Few bytes are sent, and many would be stored.
#[test]
fn counters_of_a_batch_do_not_come_to_more_than_is_bearable() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("E", "e.>", &format!("{ATOMIC},\"allow_msg_counter\":true"));
    let mut heard = |count: u64| {
        client.send("SUB _I.last i\r\nUNSUB i 1\r\n");
        for seq in 1..=count {
            let increment = match seq {
                1 => "9".repeat(60_000),
                _ => "1".to_owned(),
            };
            let commit = match seq == count {
                true => "Nats-Batch-Commit: 1\r\n",
                false => "",
            };
            let headers = format!(
                "Nats-Batch-Id: k\r\nNats-Batch-Sequence: {seq}\r\n{commit}Nats-Incr: {increment}\r\n"
            );
            let reply = (seq == count).then_some("_I.last");
            client.publish("e.1", reply, &headers, "");
        }
        client.message().text()
    };
    assert_eq!(code(&heard(600)), 10023);
    let answer = heard(3);
    assert_eq!(answer, r#"{"stream":"E","seq":3,"batch":"k","count":3}"#);
}

/// What a filter means is looked for once in a batch, and not for any number
/// of filters.
#[test]
fn filters_of_a_batch_are_looked_for_with_measure() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("A", "a.>", &format!("{ATOMIC},\"storage\":\"memory\""));
    let subjects = 4_000;
    for number in 1..=subjects {
        client.publish(&format!("a.old.{number}"), None, "", "x");
    }
    client.sync();
    // Of what each filter means this is the last.
    let send = |client: &mut Client, count: u64, filter: &dyn Fn(u64) -> (String, u64)| {
        client.send("SUB _I.last i\r\nUNSUB i 1\r\n");
        for seq in 1..=count {
            let is_last = seq == count;
            let commit = match is_last {
                true => "Nats-Batch-Commit: 1\r\n",
                false => "",
            };
            let (filter, expected) = filter(seq);
            let headers = format!(
                "Nats-Batch-Id: k\r\nNats-Batch-Sequence: {seq}\r\n{commit}\
                 Nats-Expected-Last-Subject-Sequence: {expected}\r\n\
                 Nats-Expected-Last-Subject-Sequence-Subject: {filter}\r\n"
            );
            client.publish("a.new", is_last.then_some("_I.last"), &headers, "");
        }
        client.message().text()
    };
    let wrong = |seq| (format!("a.*.{seq}"), 1);
    assert_eq!(code(&send(&mut client, 2, &wrong)), 10071);
    let many = |seq| (format!("a.*.{seq}"), seq);
    assert_eq!(code(&send(&mut client, 600, &many)), 10023);
    let answer = send(&mut client, 100, &many);
    assert!(answer.ends_with("\"count\":100}"), "{answer}");
    let same = |_| ("a.old.*".to_owned(), subjects);
    let answer = send(&mut client, 1000, &same);
    assert!(answer.ends_with("\"count\":1000}"), "{answer}");
}

#[test]
fn a_batch_is_there_after_a_restart_or_not_at_all() {
    for end in End::BOTH {
        let dir = Dir::new();
        let server = dir.serve();
        let mut client = server.client();
        client.make_stream("A", "a.>", ATOMIC);
        stage(&mut client, "a.1", "whole", 1, "");
        commit(&mut client, "a.1", "whole", 2, "");
        stage(&mut client, "a.1", "half", 1, "");
        end.bring(server);
        let server = dir.serve();
        let mut client = server.client();
        assert_eq!(client.state("A")["messages"], 2);
        // What is asked of it may lie in a block that is to be read.
        client.api("STREAM.MSG.DELETE.A", "{\"seq\":2}");
        assert_eq!(code(&commit(&mut client, "a.1", "half", 2, "")), 10176);
        stage(
            &mut client,
            "a.1",
            "next",
            1,
            "Nats-Expected-Last-Subject-Sequence: 1\r\n",
        );
        let answer = commit(&mut client, "a.1", "next", 2, "");
        assert_eq!(answer, r#"{"stream":"A","seq":4,"batch":"next","count":2}"#);
    }
}

#[test]
fn the_configuration_says_what_batches_may_ask_for() {
    let dir = Dir::new();
    let file = File::new(
        "batches",
        "jetstream { limits { batch {
           timeout: 100ms, max_msgs: 2, max_inflight_per_stream: 1, max_inflight_total: 9 } } }",
    );
    let server = dir.serve_with(&["--config", file.path()]);
    assert!(server.log().contains("\"max_inflight_total\" is not known"));
    let mut client = server.client();
    let mut watcher = server.client();
    watcher.send("SUB $JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.> 1\r\n");
    watcher.sync();
    client.make_stream("A", "a.>", ATOMIC);
    stage(&mut client, "a.a", "first", 1, "");
    let second = send(&mut client, "a.a", "second", 1, "").text();
    assert_eq!(code(&second), 10210, "one at a time");
    // Nothing follows in time.
    assert_eq!(watcher.message().json()["reason"], "timeout");
    stage(&mut client, "a.a", "third", 1, "");
    stage(&mut client, "a.a", "third", 2, "");
    assert_eq!(code(&commit(&mut client, "a.a", "third", 3, "")), 10199);
    assert_eq!(client.state("A")["messages"], 0);
}
