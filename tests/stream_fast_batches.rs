//! Batches whose messages are stored as they come. The answers are those of
//! nats-server 2.15.1.

use crate::stream_util::{Dir, End, base64};
use crate::util::{Client, Server};

const BATCHED: &str = "\"allow_batched\":true";

/// A publisher of batches, which hears everything about them.
struct Publisher {
    client: Client,
    subject: &'static str,
    /// What it asks for: messages from one acknowledgement to the next, and
    /// whether there may be gaps.
    flow: u64,
    mode: &'static str,
}

impl Publisher {
    fn new(server: &Server, subject: &'static str, flow: u64, mode: &'static str) -> Self {
        let mut client = server.client();
        client.send("SUB _I.> i\r\n");
        Publisher {
            client,
            subject,
            flow,
            mode,
        }
    }

    fn reply(&self, batch: &str, place: u64, operation: u8) -> String {
        let Publisher { flow, mode, .. } = self;
        format!("_I.x.{batch}.{flow}.{mode}.{place}.{operation}.$FI")
    }

    fn send_with(&mut self, batch: &str, place: u64, operation: u8, headers: &str) {
        let reply = self.reply(batch, place, operation);
        self.client
            .publish(self.subject, Some(&reply), headers, "x");
    }

    fn send(&mut self, batch: &str, place: u64, operation: u8) {
        self.send_with(batch, place, operation, "");
    }

    /// The next word of a batch, which is about this message.
    #[track_caller]
    fn hear(&mut self, batch: &str, place: u64, operation: u8) -> String {
        let message = self.client.message();
        assert_eq!(message.subject, self.reply(batch, place, operation));
        message.text()
    }

    /// Sends a message that is answered with these.
    #[track_caller]
    fn expect_with(
        &mut self,
        (batch, place, operation): (&str, u64, u8),
        headers: &str,
        wanted: &[&str],
    ) {
        self.send_with(batch, place, operation, headers);
        for wanted in wanted {
            assert_eq!(self.hear(batch, place, operation), *wanted);
        }
        self.client.sync();
    }

    #[track_caller]
    fn expect(&mut self, sent: (&str, u64, u8), wanted: &[&str]) {
        self.expect_with(sent, "", wanted);
    }

    #[track_caller]
    fn expect_code(&mut self, (batch, place, operation): (&str, u64, u8), wanted: u64) {
        self.send(batch, place, operation);
        let answer = self.hear(batch, place, operation);
        let json: serde_json::Value = serde_json::from_str(&answer).expect(&answer);
        assert_eq!(json["error"]["err_code"], wanted, "{answer}");
        self.client.sync();
    }
}

const UNKNOWN: &str = r#"{"error":{"code":400,"err_code":10208,"description":"batch publish ID unknown"},"stream":"B","seq":0}"#;

#[test]
fn a_fast_batch_is_stored_as_it_comes() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("B", "b.>", BATCHED);
    let mut publisher = Publisher::new(&server, "b.1", 3, "fail");
    publisher.expect(("u", 1, 0), &[r#"{"type":"ack","seq":0,"msgs":3}"#]);
    publisher.expect(("u", 2, 1), &[]);
    assert_eq!(client.state("B")["messages"], 2, "it is there at once");
    publisher.expect(("u", 3, 1), &[r#"{"type":"ack","seq":3,"msgs":3}"#]);
    client.store("b.2", "between");
    publisher.expect(("u", 4, 1), &[]);
    publisher.expect(("u", 4, 4), &[r#"{"type":"ack","seq":3,"msgs":3}"#]);
    publisher.expect(
        ("u", 5, 2),
        &[r#"{"stream":"B","seq":6,"batch":"u","count":5}"#],
    );
    publisher.expect(("u", 6, 1), &[UNKNOWN]);
    publisher.expect(("e", 1, 0), &[r#"{"type":"ack","seq":0,"msgs":3}"#]);
    publisher.expect(
        ("e", 2, 3),
        &[r#"{"stream":"B","seq":7,"batch":"e","count":1}"#],
    );
    publisher.expect(
        ("one", 1, 2),
        &[r#"{"stream":"B","seq":8,"batch":"one","count":1}"#],
    );
    assert_eq!(client.state("B")["messages"], 8);
    assert!(client.stored("B", 8).unwrap()["hdrs"].is_null());
}

#[test]
fn gaps_in_a_fast_batch_are_told_and_end_it_if_they_are_to() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("B", "b.>", BATCHED);
    let start = r#"{"type":"ack","seq":0,"msgs":5}"#;
    let mut patient = Publisher::new(&server, "b.1", 5, "ok");
    patient.expect(("o", 1, 0), &[start]);
    patient.expect(("o", 4, 1), &[r#"{"type":"gap","last_seq":2,"seq":4}"#]);
    let gap = r#"{"type":"gap","last_seq":5,"seq":12}"#;
    patient.expect(("o", 12, 1), &[gap, r#"{"type":"ack","seq":10,"msgs":5}"#]);
    patient.expect(
        ("o", 3, 1),
        &[
            r#"{"type":"gap","last_seq":13,"seq":3}"#,
            r#"{"stream":"B","seq":3,"batch":"o","count":12}"#,
        ],
    );
    patient.expect(("o", 13, 1), &[UNKNOWN]);
    patient.expect(("p", 1, 0), &[start]);
    patient.expect(
        ("p", 4, 3),
        &[
            r#"{"type":"gap","last_seq":2,"seq":4}"#,
            r#"{"stream":"B","seq":4,"batch":"p","count":3}"#,
        ],
    );
    let mut strict = Publisher::new(&server, "b.1", 5, "fail");
    strict.expect(("f", 1, 0), &[start]);
    strict.expect(
        ("f", 3, 2),
        &[
            r#"{"type":"gap","last_seq":2,"seq":3}"#,
            r#"{"stream":"B","seq":5,"batch":"f","count":1}"#,
        ],
    );
    strict.expect(("f", 2, 1), &[UNKNOWN]);
    strict.expect(("g", 1, 0), &[start]);
    strict.expect(
        ("g", 2, 4),
        &[
            r#"{"type":"gap","last_seq":2,"seq":3}"#,
            r#"{"stream":"B","seq":6,"batch":"g","count":1}"#,
        ],
    );
    assert_eq!(client.state("B")["messages"], 6);
}

/// Whoever takes the first word that looks like the last takes the right one.
#[test]
fn how_a_batch_ended_is_told_before_that_it_is_over() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut publisher = Publisher::new(&server, "s.a", 10, "fail");
    publisher.client.make_stream("S", "s.>", BATCHED);
    for (place, operation) in [(1, 0), (2, 1), (4, 1), (5, 2)] {
        publisher.send("b", place, operation);
    }
    publisher.hear("b", 1, 0);
    assert!(publisher.hear("b", 4, 1).contains("gap"));
    let ended = publisher.hear("b", 4, 1);
    assert!(ended.contains("\"count\":2"), "{ended}");
    let over = publisher.hear("b", 5, 2);
    assert!(over.contains("10208"), "{over}");
}

#[test]
fn a_message_that_is_refused_ends_a_strict_batch() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("B", "b.>", &format!("{BATCHED},\"max_msg_size\":300"));
    let start = r#"{"type":"ack","seq":0,"msgs":2}"#;
    let wrong = "Nats-Expected-Last-Sequence: 99\r\n";
    let error = |last: u64| {
        format!(r#"{{"code":400,"err_code":10071,"description":"wrong last sequence: {last}"}}"#)
    };
    let told = |seq: u64, last: u64| {
        let error = error(last);
        format!(r#"{{"type":"err","seq":{seq},"error":{error}}}"#)
    };
    let mut strict = Publisher::new(&server, "b.1", 2, "fail");
    let refused = format!(r#"{{"error":{},"stream":"B","seq":0}}"#, error(0));
    strict.expect_with(("a", 1, 0), wrong, &[start, &refused]);
    strict.expect(("a", 2, 1), &[UNKNOWN]);
    strict.expect(("b", 1, 0), &[start]);
    let end = r#"{"stream":"B","seq":1,"batch":"b","count":1}"#;
    strict.expect_with(("b", 2, 1), wrong, &[&told(2, 1), end]);
    strict.expect(("b", 3, 1), &[UNKNOWN]);
    let mut patient = Publisher::new(&server, "b.1", 2, "ok");
    patient.expect_with(("c", 1, 0), wrong, &[start, &told(1, 1)]);
    patient.expect_with(("c", 2, 1), wrong, &[&told(2, 1)]);
    patient.expect(("c", 3, 1), &[r#"{"type":"ack","seq":2,"msgs":2}"#]);
    let end = r#"{"stream":"B","seq":2,"batch":"c","count":3}"#;
    patient.expect_with(("c", 4, 2), wrong, &[&told(4, 2), end]);
    // A message of a size that is never taken is none of the batch.
    patient.expect(("d", 1, 0), &[start]);
    let reply = patient.reply("d", 2, 1);
    let body = "x".repeat(301);
    patient.client.publish("b.1", Some(&reply), "", body);
    assert!(patient.hear("d", 2, 1).contains("10054"));
    let end = r#"{"stream":"B","seq":4,"batch":"d","count":2}"#;
    patient.expect(("d", 2, 2), &[end]);
}

#[test]
fn a_message_that_is_known_counts_and_is_not_stored_again() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("B", "b.>", BATCHED);
    let id = "Nats-Msg-Id: m\r\n";
    client.store_with("b.1", id, "x");
    let mut publisher = Publisher::new(&server, "b.1", 2, "fail");
    publisher.expect(("u", 1, 0), &[r#"{"type":"ack","seq":0,"msgs":2}"#]);
    let ack = r#"{"type":"ack","seq":2,"msgs":2}"#;
    let again = format!("{id}Nats-Expected-Last-Sequence: 0\r\n");
    publisher.expect_with(("u", 2, 1), &again, &[ack]);
    let end = r#"{"stream":"B","seq":2,"batch":"u","count":3}"#;
    publisher.expect_with(("u", 3, 2), id, &[end]);
    let known = r#"{"stream":"B","seq":1,"duplicate": true,"batch":"v","count":1}"#;
    publisher.expect_with(("v", 1, 2), id, &[known]);
    assert_eq!(client.state("B")["messages"], 2);
}

#[test]
fn what_is_no_fast_batch_is_refused() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("B", "b.>", BATCHED);
    client.make_stream("P", "p.>", "");
    let mut publisher = Publisher::new(&server, "b.1", 2, "maybe");
    publisher.expect_code(("u", 1, 0), 10206);
    publisher.mode = "ok";
    for sent in [(0, 0), (2, 0), (1, 1), (1, 3), (1, 5)] {
        publisher.expect_code(("u", sent.0, sent.1), 10206);
    }
    for sent in [(1, 4), (2, 1), (2, 2), (2, 3), (2, 4)] {
        publisher.expect_code(("u", sent.0, sent.1), 10208);
    }
    publisher.expect_code((&"x".repeat(65), 1, 0), 10207);
    let level = "Nats-Required-Api-Level: 99\r\n";
    let refused = r#"{"error":{"code":412,"err_code":10185,"description":"JetStream minimum api level required"},"stream":"B","seq":0}"#;
    publisher.expect_with(("u", 1, 0), level, &[refused]);
    publisher.expect_code(("u", 2, 1), 10208);
    assert_eq!(client.state("B")["last_seq"], 0);
    publisher.subject = "p.1";
    publisher.expect_code(("u", 1, 0), 10205);
    publisher.expect_code(("u", 1, 9), 10205);
    assert_eq!(client.state("P")["last_seq"], 0);
    let plain = client.ask("p.1", "x").text();
    assert_eq!(plain, r#"{"stream":"P","seq":1}"#);
}

#[test]
fn a_stream_has_so_many_fast_batches_at_a_time() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("B", "b.>", BATCHED);
    let mut publisher = Publisher::new(&server, "b.1", 500, "fail");
    for batch in 0..1000 {
        let reply = publisher.reply(&batch.to_string(), 1, 0);
        client.publish("b.1", Some(&reply), "", "x");
    }
    client.wait_messages("B", 1000);
    let mut last = String::new();
    while last != r#"{"type":"ack","seq":1,"msgs":1}"# {
        let message = publisher.client.message();
        // The last one begins slowly, and so it stays among so many.
        if message.subject == publisher.reply("999", 1, 0) {
            last = message.text();
        }
    }
    publisher.expect_code(("more", 1, 0), 10211);
    publisher.expect_code(("more", 1, 2), 10211);
    let end = r#"{"stream":"B","seq":1001,"batch":"7","count":2}"#;
    publisher.expect(("7", 2, 2), &[end]);
    let end = r#"{"stream":"B","seq":1002,"batch":"more","count":1}"#;
    publisher.expect(("more", 1, 2), &[end]);
    client.api("STREAM.DELETE.B", "");
    client.make_stream("B", "b.>", BATCHED);
    publisher.expect(("n", 1, 0), &[r#"{"type":"ack","seq":0,"msgs":500}"#]);
}

#[test]
fn fast_batches_go_with_their_stream_and_the_setting() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("B", "b.>", BATCHED);
    let start = r#"{"type":"ack","seq":0,"msgs":9}"#;
    let mut publisher = Publisher::new(&server, "b.1", 9, "ok");
    let update = |client: &mut Client, is_on: bool| {
        let body = format!("{{\"name\":\"B\",\"subjects\":[\"b.>\"],\"allow_batched\":{is_on}}}");
        client.api("STREAM.UPDATE.B", body);
    };
    publisher.expect(("u", 1, 0), &[start]);
    update(&mut client, true);
    publisher.expect(("u", 2, 1), &[]);
    update(&mut client, false);
    publisher.expect_code(("u", 3, 1), 10205);
    update(&mut client, true);
    publisher.expect(("u", 3, 1), &[UNKNOWN]);
    publisher.expect(("v", 1, 0), &[start]);
    client.api("STREAM.PURGE.B", "");
    publisher.expect(("v", 2, 1), &[]);
    client.api("STREAM.DELETE.B", "");
    client.make_stream("B", "b.>", BATCHED);
    publisher.expect(("v", 3, 1), &[UNKNOWN]);
    assert_eq!(client.state("B")["last_seq"], 0);
}

#[test]
fn other_features_hold_in_a_fast_batch() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    let start = r#"{"type":"ack","seq":0,"msgs":9}"#;
    let mut publisher = Publisher::new(&server, "c.1", 9, "ok");
    client.make_stream("C", "c.>", &format!("{BATCHED},\"allow_msg_counter\":true"));
    for (place, operation) in [(1, 0), (2, 1), (3, 2)] {
        let reply = publisher.reply("u", place, operation);
        client.publish("c.1", Some(&reply), "Nats-Incr: 5\r\n", "");
    }
    assert_eq!(publisher.hear("u", 1, 0), start);
    let end = r#"{"stream":"C","seq":3,"batch":"u","count":3}"#;
    assert_eq!(publisher.hear("u", 3, 2), end);
    let data = client.stored("C", 3).unwrap()["data"].clone();
    assert_eq!(data, base64(b"{\"val\":\"15\"}"));
    let transform = "\"subject_transform\":{\"src\":\"t.>\",\"dest\":\"t.q.>\"}";
    let memory = format!("{BATCHED},\"storage\":\"memory\",{transform}");
    client.make_stream("T", "t.>", &memory);
    publisher.subject = "t.1";
    publisher.expect_with(
        ("m", 1, 0),
        "A: b\r\nNats-Required-Api-Level: 0\r\n",
        &[start],
    );
    let end = r#"{"stream":"T","seq":2,"batch":"m","count":2}"#;
    publisher.expect(("m", 2, 2), &[end]);
    let stored = client.stored("T", 1).unwrap();
    assert_eq!(stored["subject"], "t.q.1");
    assert_eq!(stored["hdrs"], base64(b"NATS/1.0\r\nA: b\r\n\r\n"));
    let full = "\"discard\":\"new\",\"max_msgs\":1";
    client.make_stream("F", "f.>", &format!("{BATCHED},{full}"));
    publisher.subject = "f.1";
    publisher.expect(("k", 1, 0), &[start]);
    let told = r#"{"type":"err","seq":2,"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"}}"#;
    let end = r#"{"stream":"F","seq":1,"batch":"k","count":1}"#;
    publisher.expect(("k", 2, 2), &[told, end]);
}

/// What is acknowledged is there, and all before it; the batch itself is not
/// known any more.
#[test]
fn what_a_fast_batch_was_told_to_be_safe_is_there_after_a_restart() {
    for end in End::BOTH {
        let dir = Dir::new();
        let server = dir.serve();
        let mut client = server.client();
        client.make_stream("B", "b.>", BATCHED);
        let mut publisher = Publisher::new(&server, "b.1", 50, "fail");
        let mut acked = 0;
        for place in 1..=1000 {
            publisher.send("u", place, u8::from(place > 1));
        }
        while acked < 500 {
            let told = publisher.client.message().json();
            assert_eq!(told["type"], "ack", "{told}");
            acked = told["seq"].as_u64().unwrap();
        }
        end.bring(server);
        let server = dir.serve();
        let mut client = server.client();
        let state = client.state("B");
        assert!(state["messages"].as_u64().unwrap() >= acked, "{state}");
        assert_eq!(state["messages"], state["last_seq"], "{end:?}");
        let mut publisher = Publisher::new(&server, "b.1", 50, "fail");
        publisher.expect(("u", 1001, 1), &[UNKNOWN]);
        publisher.expect(("u", 1, 0), &[r#"{"type":"ack","seq":0,"msgs":50}"#]);
    }
}

/// As with nats-server 2.14.0, only what a publisher has not asked for is left
/// out.
#[test]
fn a_stream_without_acknowledgements_gives_those_that_a_batch_asks_for() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    let config = format!("{BATCHED},\"no_ack\":true");
    client.make_stream("B", "b.>", &config);
    let mut publisher = Publisher::new(&server, "b.1", 2, "ok");
    let ack = r#"{"type":"ack","seq":2,"msgs":2}"#;
    publisher.expect(("u", 1, 0), &[]);
    publisher.expect(("u", 2, 1), &[ack]);
    publisher.expect(("u", 2, 4), &[ack]);
    let gap = r#"{"type":"gap","last_seq":3,"seq":5}"#;
    let end = r#"{"stream":"B","seq":3,"batch":"u","count":5}"#;
    publisher.expect(("u", 5, 2), &[gap, end]);
    publisher.expect(("u", 6, 1), &[]);
}

/// Whether a message may be stored can depend on a block that is to be read:
/// it waits, and the batch with it.
#[test]
fn a_fast_batch_waits_for_what_its_stream_holds() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("B", "b.>", BATCHED);
    client.store("b.1", "first");
    client.store("b.1", "second");
    End::Stopped.bring(server);
    let server = dir.serve();
    let mut client = server.client();
    // What is the last of its subject now lies in a block that is not read.
    client.api("STREAM.MSG.DELETE.B", "{\"seq\":2}");
    let mut publisher = Publisher::new(&server, "b.1", 1, "fail");
    publisher.send_with("u", 1, 0, "Nats-Expected-Last-Subject-Sequence: 1\r\n");
    publisher.send("u", 2, 1);
    publisher.send("u", 3, 3);
    let one = [
        r#"{"type":"ack","seq":0,"msgs":1}"#,
        r#"{"type":"ack","seq":1,"msgs":1}"#,
    ];
    for wanted in one {
        assert_eq!(publisher.hear("u", 1, 0), wanted);
    }
    let two = publisher.hear("u", 2, 1);
    assert_eq!(two, r#"{"type":"ack","seq":2,"msgs":1}"#);
    let end = publisher.hear("u", 3, 3);
    assert_eq!(end, r#"{"stream":"B","seq":4,"batch":"u","count":2}"#);
}
