//! Headers of publishers, words of acks and statuses of pulls, each by name.

use crate::stream_util::Dir;
use crate::util::{Client, Server};

fn with_stream(dir: &Dir, more: &str) -> (Server, Client) {
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s.>", more);
    (server, client)
}

/// The error that a publish with these headers is answered.
#[track_caller]
fn refused(client: &mut Client, headers: &str) -> (u64, String) {
    let answer = client.ask_with("s.a", headers, "x").json();
    let error = &answer["error"];
    let code = error["err_code"].as_u64();
    let text = error["description"].as_str().unwrap_or_default().to_owned();
    (code.unwrap_or_else(|| panic!("{headers}: {answer}")), text)
}

#[test]
fn a_publisher_names_its_stream() {
    let dir = Dir::new();
    let (_server, mut client) = with_stream(&dir, "");
    let other = refused(&mut client, "Nats-Expected-Stream: T\r\n");
    assert_eq!(other, (10060, "expected stream does not match".to_owned()));
    assert_eq!(
        client.store_with("s.a", "Nats-Expected-Stream: S\r\n", "x"),
        1
    );
}

#[test]
fn a_publisher_knows_what_came_last() {
    let dir = Dir::new();
    let (_server, mut client) = with_stream(&dir, "");
    client.store_with("s.a", "Nats-Msg-Id: one\r\n", "x");
    client.store("s.b", "x");
    let mut expect = |headers: &str, code: u64, text: &str| {
        assert_eq!(
            refused(&mut client, headers),
            (code, text.to_owned()),
            "{headers}"
        );
    };
    expect(
        "Nats-Expected-Last-Sequence: 1\r\n",
        10071,
        "wrong last sequence: 2",
    );
    expect(
        "Nats-Expected-Last-Subject-Sequence: 2\r\n",
        10071,
        "wrong last sequence: 1",
    );
    expect(
        "Nats-Expected-Last-Subject-Sequence: 1\r\nNats-Expected-Last-Subject-Sequence-Subject: s.>\r\n",
        10071,
        "wrong last sequence: 2",
    );
    expect(
        "Nats-Expected-Last-Subject-Sequence-Subject: s.b\r\n",
        10193,
        "missing sequence for expected last sequence per subject",
    );
    expect(
        "Nats-Expected-Last-Msg-Id: one\r\n",
        10070,
        "wrong last msg ID: ",
    );
    let other = "Nats-Expected-Last-Subject-Sequence: 2\r\n\
                 Nats-Expected-Last-Subject-Sequence-Subject: s.b\r\n";
    assert_eq!(client.store_with("s.a", other, "x"), 3);
    assert_eq!(client.store_with("s.a", "Nats-Msg-Id: two\r\n", "x"), 4);
    assert_eq!(
        client.store_with("s.a", "Nats-Expected-Last-Msg-Id: two\r\n", "x"),
        5
    );
}

#[test]
fn a_rollup_replaces_a_subject_or_all() {
    let dir = Dir::new();
    let (_server, mut client) = with_stream(&dir, "\"allow_rollup_hdrs\":true");
    for subject in ["s.a", "s.a", "s.b"] {
        client.store(subject, "x");
    }
    client.store_with("s.a", "Nats-Rollup: sub\r\n", "x");
    assert_eq!(client.state("S")["messages"], 2);
    client.store_with("s.a", "Nats-Rollup: all\r\n", "x");
    assert_eq!(client.state("S")["messages"], 1);
    let invalid = refused(&mut client, "Nats-Rollup: some\r\n");
    assert_eq!(
        invalid,
        (10111, "rollup value invalid: \"some\"".to_owned())
    );
    client.make_stream("N", "n", "");
    let denied = client.ask_with("n", "Nats-Rollup: sub\r\n", "x").json();
    assert_eq!(denied["error"]["description"], "rollup not permitted");
}

#[test]
fn headers_that_a_stream_does_not_offer_are_refused() {
    let dir = Dir::new();
    let (_server, mut client) = with_stream(&dir, "");
    assert_eq!(refused(&mut client, "Nats-TTL: 5\r\n").0, 10166);
    assert_eq!(refused(&mut client, "Nats-Stream-Source: x\r\n").0, 10227);
    let long = format!("A: {}\r\n", "x".repeat(65_536));
    assert_eq!(refused(&mut client, &long).0, 10097);
}

/// Whatever an ack says, and whatever it is for, it is confirmed.
#[test]
fn every_word_of_an_ack_is_known() {
    let dir = Dir::new();
    let (_server, mut client) = with_stream(&dir, "");
    client.make_durable("S", "c", "");
    for _ in 0..6 {
        client.store("s.a", "x");
    }
    for word in ["", "+ACK", "+OK"] {
        let message = client.next("S", "c");
        client.confirm(message.ack(), word);
    }
    assert_eq!(
        client.api("CONSUMER.INFO.S.c", "")["ack_floor"]["stream_seq"],
        3
    );
    let fourth = client.next("S", "c");
    for word in [
        "-NAK 30s",
        "-NAK {\"delay\":30000000000}",
        "+WPI",
        "nonsense",
    ] {
        client.confirm(fourth.ack(), word);
    }
    assert_eq!(client.api("CONSUMER.INFO.S.c", "")["num_ack_pending"], 1);
    // Which asks for as many as a pull may.
    client.send("SUB _N n\r\n");
    client.publish(
        fourth.ack(),
        Some("_N"),
        "",
        "+NXT {\"batch\":5,\"no_wait\":true}",
    );
    assert_eq!(client.message().sequence(), 5);
    let sixth = client.message();
    assert_eq!(sixth.sequence(), 6);
    assert!(
        client
            .message()
            .header
            .starts_with("NATS/1.0 404 No Messages\r\n")
    );
    client.confirm(sixth.ack(), "+TERM because");
    client.confirm(sixth.ack(), "+TERM");
    client.confirm(fourth.ack(), "-NAK");
    let info = client.api("CONSUMER.INFO.S.c", "");
    assert_eq!(
        (&info["num_ack_pending"], &info["num_pending"]),
        (&1.into(), &0.into())
    );
    let nobody = fourth.ack().replace(".c.", ".nobody.");
    assert!(
        client
            .ask(&nobody, "+ACK")
            .header
            .starts_with("NATS/1.0 503\r\n")
    );
}

#[test]
fn a_pull_is_told_how_it_ends() {
    let dir = Dir::new();
    let (_server, mut client) = with_stream(&dir, "");
    client.make_durable("S", "c", "\"max_waiting\":1");
    client.make_durable("S", "p", "\"deliver_subject\":\"d\"");
    let next = "$JS.API.CONSUMER.MSG.NEXT.S.c";
    let line = |text: &str| format!("NATS/1.0 {text}\r\n\r\n");
    let left = |text: &str, messages: i64, bytes: i64| {
        line(&format!(
            "{text}\r\nNats-Pending-Messages: {messages}\r\nNats-Pending-Bytes: {bytes}"
        ))
    };
    let push = client.ask("$JS.API.CONSUMER.MSG.NEXT.S.p", "1");
    assert_eq!(push.header, line("409 Consumer is push based"));
    assert_eq!(
        client.ask(next, "{\"no_wait\":true}").header,
        line("404 No Messages")
    );
    let over = client.ask(next, "{\"batch\":3,\"expires\":50000000,\"max_bytes\":500}");
    assert_eq!(over.header, left("408 Request Timeout", 3, 500));
    assert!(
        client
            .ask(next, "{")
            .header
            .starts_with("NATS/1.0 400 Bad Request - ")
    );
    // One waits, and there is room for no other; who beats is not told.
    client.listen_for_pulls();
    client.pull(
        "S",
        "c",
        "{\"batch\":2,\"expires\":20000000000,\"max_bytes\":1000}",
    );
    assert_eq!(
        client.ask(next, "1").header,
        line("409 Exceeded MaxWaiting")
    );
    client.send("SUB _X x\r\n");
    let beating = "{\"batch\":1,\"expires\":20000000000,\"idle_heartbeat\":10000000000}";
    client.publish(next, Some("_X"), "", beating);
    assert_eq!(client.sync(), "");
    client.publish("s.a", None, "", "1");
    let first = client.message();
    client.publish("s.a", None, "", "2");
    let second = client.message();
    let size = |message: &crate::stream_util::Message| {
        (message.subject.len() + message.ack().len() + message.body.len()) as i64
    };
    let bytes = 1000 - size(&first) - size(&second);
    assert_eq!(
        client.message().header,
        left("409 Batch Completed", 0, bytes)
    );
    client.pull(
        "S",
        "c",
        "{\"batch\":2,\"expires\":20000000000,\"max_bytes\":10}",
    );
    client.publish("s.a", None, "", "3");
    assert_eq!(
        client.message().header,
        left("409 Message Size Exceeds MaxBytes", 2, 10)
    );
    let nobody = client.ask("$JS.API.CONSUMER.MSG.NEXT.S.nobody", "1");
    assert!(
        nobody.header.starts_with("NATS/1.0 503\r\nNats-Subject: "),
        "{nobody:?}"
    );
}

#[test]
fn who_waits_is_shown_that_its_consumer_lives() {
    let dir = Dir::new();
    let (_server, mut client) = with_stream(&dir, "");
    client.make_durable("S", "c", "");
    client.store("s.a", "1");
    client.next("S", "c");
    client.listen_for_pulls();
    client.pull(
        "S",
        "c",
        "{\"batch\":1,\"expires\":300000000,\"idle_heartbeat\":100000000}",
    );
    assert_eq!(
        client.message().header,
        "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 1\r\nNats-Last-Stream: 1\r\n\r\n"
    );
}
