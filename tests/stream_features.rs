//! What streams do with messages beside storing them: other subjects, and
//! publishing again. The answers are those of nats-server 2.15.1.

use crate::stream_util::{Dir, End};
use crate::util::Client;

/// The headers that say where a message was stored, without the time.
fn without_time(header: &str) -> String {
    let lines = header.split_inclusive("\r\n");
    let is_kept = |line: &&str| !line.starts_with("Nats-Time-Stamp: ");
    lines.filter(is_kept).collect()
}

/// The next message's subject, headers and body.
#[track_caller]
fn heard(client: &mut Client) -> (String, String, String) {
    let message = client.message();
    let header = without_time(&message.header);
    let text = message.text();
    (message.subject, header, text)
}

fn told(subject: &str, seq: u64, before: u64, more: &str) -> String {
    format!(
        "Nats-Stream: R\r\nNats-Subject: {subject}\r\nNats-Sequence: {seq}\r\n\
         Nats-Last-Sequence: {before}\r\n{more}\r\n"
    )
}

#[test]
fn a_transformed_message_is_checked_and_stored_under_its_new_subject() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    let transform = r#""subject_transform":{"src":"r.*","dest":"n.{{partition(10,1)}}.$1"}"#;
    client.make_stream("R", "r.>", transform);
    assert_eq!(client.store("r.abc", "x"), 1);
    assert_eq!(client.store("r.a.b", "y"), 2);
    let subject = |client: &mut Client, seq| client.stored("R", seq).unwrap()["subject"].clone();
    assert_eq!(subject(&mut client, 1), "n.1.abc");
    assert_eq!(subject(&mut client, 2), "r.a.b");
    let expected = |seq: u64| format!("Nats-Expected-Last-Subject-Sequence: {seq}\r\n");
    let refused = client.ask_with("r.abc", &expected(2), "z").json();
    assert_eq!(refused["error"]["description"], "wrong last sequence: 1");
    assert_eq!(client.store_with("r.abc", &expected(1), "z"), 3);
    // A function may leave no subject at all.
    let split = r#"{"name":"R","subjects":["r.>"],"subject_transform":{"src":"r.*","dest":"n.{{split(1,a)}}"}}"#;
    client.api("STREAM.UPDATE.R", split);
    assert_eq!(client.store("r.bac", "x"), 4);
    assert_eq!(subject(&mut client, 4), "n.b.c");
    let refused = client.ask("r.aaa", "x").json();
    assert_eq!(refused["error"]["err_code"], 10077, "{refused}");
    client.api("STREAM.UPDATE.R", r#"{"name":"R","subjects":["r.>"]}"#);
    assert_eq!(client.store("r.bac", "x"), 5);
    assert_eq!(subject(&mut client, 5), "r.bac");
}

#[test]
fn what_is_stored_is_published_again_before_its_ack() {
    for storage in ["file", "memory"] {
        let dir = Dir::new();
        let server = dir.serve();
        let mut client = server.client();
        let config = |more: &str| {
            format!(
                r#""storage":"{storage}","subject_transform":{{"src":"r.*","dest":"n.$1"}},"republish":{{"src":"n.*","dest":"rep.$1"{more}}}"#
            )
        };
        client.make_stream("R", "r.>", &config(""));
        client.send("SUB rep.> 5\r\nSUB _I 1\r\n");
        let mut publish = |subject: &str, headers: &str, body: &str| {
            client.publish(subject, Some("_I"), headers, body);
            let mut got = vec![heard(&mut client)];
            while got.last().is_some_and(|(subject, ..)| subject != "_I") {
                got.push(heard(&mut client));
            }
            got.pop();
            got
        };
        let rep = |header: String, body: &str| vec![("rep.a".to_owned(), header, body.to_owned())];
        let first = rep(format!("NATS/1.0\r\n{}", told("n.a", 1, 0, "")), "one");
        assert_eq!(publish("r.a", "", "one"), first);
        let headers = "A: b\r\nNats-Msg-Id: i1\r\n";
        let second = rep(
            format!("NATS/1.0\r\n{headers}{}", told("n.a", 2, 1, "")),
            "two",
        );
        assert_eq!(publish("r.a", headers, "two"), second);
        assert_eq!(
            publish("r.a", headers, "two"),
            [],
            "a duplicate is not stored"
        );
        assert_eq!(publish("r.b.c", "", "none"), [], "it is not meant");
        let more = r#","headers_only":true"#;
        let body = format!(r#"{{"name":"R","subjects":["r.>"],{}}}"#, config(more));
        client.api("STREAM.UPDATE.R", body);
        client.publish("r.a", Some("_I"), "", "ho");
        let (_, header, text) = heard(&mut client);
        let more = "Nats-Msg-Size: 2\r\n";
        assert_eq!(header, format!("NATS/1.0\r\n{}", told("n.a", 4, 2, more)));
        assert_eq!(text, "");
    }
}

#[test]
fn what_is_published_again_may_be_stored_by_another_stream() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("R", "r.>", r#""republish":{"dest":"rep.>"}"#);
    client.make_stream("R2", "rep.>", "");
    for seq in 1..=3 {
        assert_eq!(client.store("r.a", format!("{seq}")), seq);
    }
    client.wait_messages("R2", 3);
    let copy = client.stored("R2", 3).unwrap();
    assert_eq!(
        (&copy["subject"], &copy["data"]),
        (&"rep.r.a".into(), &"Mw==".into())
    );
}

#[test]
fn who_asks_for_the_last_of_a_subject_waits_for_the_block_it_is_in() {
    for end in End::BOTH {
        let dir = Dir::new();
        let server = dir.serve();
        let mut client = server.client();
        client.make_stream("R", "r.>", r#""republish":{"dest":"rep.>"}"#);
        for body in ["1", "2", "3"] {
            client.store("r.a", body);
        }
        client.store("r.b", "4");
        // Which is the last of its subject is not known any more.
        client.api("STREAM.MSG.DELETE.R", r#"{"seq":3}"#);
        end.bring(server);
        let server = dir.serve();
        let mut client = server.client();
        client.send("SUB rep.> 5\r\nSUB _I 1\r\n");
        let headers = "Nats-Expected-Last-Subject-Sequence: 2\r\n";
        client.publish("r.a", Some("_I"), headers, "x");
        client.publish("r.b", Some("_I"), "", "y");
        let (subject, header, _) = heard(&mut client);
        assert_eq!(subject, "rep.r.a", "{header}");
        assert!(header.ends_with(&told("r.a", 5, 2, "")), "{header}");
        assert_eq!(heard(&mut client).2, r#"{"stream":"R","seq":5}"#);
        assert_eq!(heard(&mut client).0, "rep.r.b");
        assert_eq!(heard(&mut client).2, r#"{"stream":"R","seq":6}"#);
    }
}
