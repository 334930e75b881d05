//! Priority groups on the wire: who of several pullers is served. Texts, order
//! and advisories are those that nats-server was seen to send.

use crate::stream_util::{Dir, Message};
use crate::util::{Client, Server};
use serde_json::Value;

/// A server with a stream S on s.> and a consumer c with a group g.
fn with_group(dir: &Dir, policy: &str, more: &str) -> (Server, Client) {
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s.>", "");
    client.make_durable(
        "S",
        "c",
        &format!("\"priority_policy\":\"{policy}\",\"priority_groups\":[\"g\"]{more}"),
    );
    for inbox in ["a", "b"] {
        client.send(format!("SUB {inbox} {inbox}\r\n"));
    }
    (server, client)
}

fn pull(client: &mut Client, inbox: &str, body: &str) {
    client.publish("$JS.API.CONSUMER.MSG.NEXT.S.c", Some(inbox), "", body);
}

/// The pin that a message carries.
#[track_caller]
fn pin_of(message: &Message) -> String {
    let lines = message.header.lines();
    let pin = lines
        .filter_map(|line| line.strip_prefix("Nats-Pin-Id: "))
        .next_back();
    let pin = pin.unwrap_or_else(|| panic!("no pin: {message:?}"));
    assert_eq!(pin.len(), 22, "{message:?}");
    pin.to_owned()
}

#[track_caller]
fn refused(client: &mut Client, body: &str, line: &str) {
    let answer = client.ask("$JS.API.CONSUMER.MSG.NEXT.S.c", body);
    assert_eq!(answer.header, format!("NATS/1.0 {line}\r\n\r\n"), "{body}");
}

#[track_caller]
fn group(client: &mut Client) -> Value {
    client.api("CONSUMER.INFO.S.c", "")["priority_groups"][0].clone()
}

#[test]
fn groups_and_policy_have_to_go_together() {
    let dir = Dir::new();
    let (_server, mut client) = with_group(&dir, "overflow", "");
    for (fields, code) in [
        (r#""priority_policy":"overflow""#, 10159),
        (r#""priority_groups":["a"]"#, 10196),
        (r#""priority_groups":["a"],"deliver_subject":"x""#, 10196),
        (r#""priority_timeout":1000000000"#, 10197),
        (
            r#""priority_policy":"overflow","priority_groups":[""]"#,
            10161,
        ),
        (
            r#""priority_policy":"overflow","priority_groups":["a b"]"#,
            10162,
        ),
        (
            r#""priority_policy":"overflow","priority_groups":["12345678901234567"]"#,
            10162,
        ),
        (
            r#""priority_policy":"overflow","priority_groups":["aA0-_/=)+"]"#,
            10162,
        ),
        (
            r#""priority_policy":"overflow","deliver_subject":"x""#,
            10178,
        ),
    ] {
        let body = format!(
            "{{\"stream_name\":\"S\",\"config\":{{\"name\":\"n\",\"ack_policy\":\"explicit\",{fields}}}}}"
        );
        assert_eq!(
            client.api_error("CONSUMER.CREATE.S.n", body),
            code,
            "{fields}"
        );
    }
    let body = r#"{"stream_name":"S","config":{"name":"n","priority_policy":"bogus"}}"#;
    let refusal = client.ask("$JS.API.CONSUMER.CREATE.S.n", body).json();
    assert_eq!(
        refusal["error"]["description"],
        "invalid JSON: unknown priority policy: \"bogus\""
    );
}

#[test]
fn a_group_is_told_with_its_consumer() {
    let dir = Dir::new();
    let (_server, mut client) = with_group(&dir, "pinned_client", "");
    let info = client.api("CONSUMER.INFO.S.c", "");
    assert_eq!(info["config"]["priority_timeout"], 120_000_000_000_u64);
    let nobody = serde_json::json!({"group": "g", "pinned_ts": "0001-01-01T00:00:00Z"});
    assert_eq!(info["priority_groups"], serde_json::json!([nobody]));
    // Policy and groups may change, and the stream's plain consumers tell none.
    client.make_durable(
        "S",
        "c",
        "\"priority_policy\":\"prioritized\",\"priority_groups\":[\"h\",\"i\"]",
    );
    assert_eq!(group(&mut client)["group"], "h");
    client.make_durable("S", "c", "");
    assert!(
        client
            .api("CONSUMER.INFO.S.c", "")
            .get("priority_groups")
            .is_none()
    );
}

#[test]
fn requests_have_to_fit_the_policy() {
    let dir = Dir::new();
    let (_server, mut client) = with_group(&dir, "overflow", "");
    let missing = "400 Bad Request - Priority Group missing";
    refused(&mut client, "{}", missing);
    refused(&mut client, "{\"batch\":1}", missing);
    refused(
        &mut client,
        "{\"group\":\"x\"}",
        "400 Bad Request - Invalid Priority Group",
    );
    refused(
        &mut client,
        "{\"group\":\"g\",\"id\":\"x\"}",
        "400 Bad Request - Not a Pinned Client Priority consumer",
    );
    refused(
        &mut client,
        "{\"group\":\"g\",\"priority\":10}",
        "400 Bad Request - Priority must be between 0 and 9",
    );
    client.make_durable("S", "c", "");
    refused(
        &mut client,
        "{\"min_pending\":1,\"id\":\"x\"}",
        "400 Bad Request - Not a Overflow Priority consumer",
    );
}

#[test]
fn an_overflow_puller_is_served_when_much_is_pending() {
    let dir = Dir::new();
    let (_server, mut client) = with_group(&dir, "overflow", "");
    pull(
        &mut client,
        "b",
        "{\"batch\":2,\"group\":\"g\",\"min_pending\":3}",
    );
    client.store("s.x", "1");
    client.store("s.x", "2");
    assert_eq!(client.sync(), "");
    // Who does not wait is told that there is nothing for it.
    refused(
        &mut client,
        "{\"group\":\"g\",\"min_pending\":3,\"no_wait\":true}",
        "404 No Messages",
    );
    // The third is one too many for nobody: it is served until two are left.
    client.publish("s.x", None, "", "3");
    let overflow = client.message();
    assert_eq!(
        (overflow.sid.as_str(), overflow.text().as_str()),
        ("b", "1")
    );
    assert_eq!(client.sync(), "");
    // Who asks for no bound gets the rest.
    pull(&mut client, "a", "{\"batch\":2,\"group\":\"g\"}");
    for text in ["2", "3"] {
        let message = client.message();
        assert_eq!((message.sid.as_str(), message.text().as_str()), ("a", text));
    }
}

#[test]
fn an_overflow_puller_is_served_when_much_is_unacknowledged() {
    let dir = Dir::new();
    let (_server, mut client) = with_group(&dir, "overflow", "");
    for text in ["1", "2", "3"] {
        client.store("s.x", text);
    }
    pull(
        &mut client,
        "b",
        "{\"batch\":1,\"group\":\"g\",\"min_ack_pending\":2}",
    );
    pull(&mut client, "a", "{\"batch\":2,\"group\":\"g\"}");
    for (inbox, text) in [("a", "1"), ("a", "2"), ("b", "3")] {
        let message = client.message();
        assert_eq!(
            (message.sid.as_str(), message.text().as_str()),
            (inbox, text)
        );
    }
}

#[test]
fn the_lowest_priority_is_served_first() {
    let dir = Dir::new();
    let (_server, mut client) = with_group(&dir, "prioritized", "");
    client.send("SUB c c\r\nSUB d d\r\n");
    // One that says nothing stands behind all others.
    pull(&mut client, "d", "1");
    pull(
        &mut client,
        "c",
        "{\"batch\":1,\"group\":\"g\",\"priority\":9}",
    );
    pull(&mut client, "a", "{\"batch\":2,\"group\":\"g\"}");
    pull(
        &mut client,
        "b",
        "{\"batch\":2,\"group\":\"g\",\"priority\":0}",
    );
    for inbox in ["a", "b", "a", "b", "c", "d"] {
        client.publish("s.x", None, "", inbox);
        let message = client.message();
        assert_eq!(message.sid, inbox);
    }
}

#[test]
fn one_client_is_pinned_and_served_alone() {
    let dir = Dir::new();
    let (server, mut client) = with_group(&dir, "pinned_client", "");
    let mut watcher = server.client();
    watcher.send("SUB $JS.EVENT.ADVISORY.CONSUMER.*.S.c adv\r\n");
    watcher.sync();
    pull(&mut client, "a", "{\"batch\":2,\"group\":\"g\"}");
    pull(&mut client, "b", "{\"batch\":9,\"group\":\"g\"}");
    client.publish("s.x", None, "", "1");
    let first = client.message();
    assert_eq!(first.sid, "a");
    let pin = pin_of(&first);
    let told = watcher.message();
    assert_eq!(told.subject, "$JS.EVENT.ADVISORY.CONSUMER.PINNED.S.c");
    let event = told.json();
    assert_eq!(
        event["type"],
        "io.nats.jetstream.advisory.v1.consumer_group_pinned"
    );
    let fields = ["account", "stream", "consumer", "group", "pinned_id"];
    let values = fields.map(|field| event[field].as_str().unwrap_or_default());
    assert_eq!(values, ["$G", "S", "c", "g", &pin]);
    let group_now = group(&mut client);
    assert_eq!(group_now["pinned_client_id"], pin.as_str());
    assert_ne!(group_now["pinned_ts"], "0001-01-01T00:00:00Z");
    // Its second message, too, and after the stored headers; then it waits for
    // the pinned one, whoever else asks.
    client.publish("s.x", None, "A: b\r\n", "2");
    let second = client.message();
    assert_eq!(
        second.header,
        format!("NATS/1.0\r\nA: b\r\nNats-Pin-Id: {pin}\r\n\r\n")
    );
    assert_eq!(second.sid, "a");
    client.store("s.x", "3");
    assert_eq!(client.sync(), "");
    refused(
        &mut client,
        "{\"group\":\"g\",\"id\":\"x\"}",
        "423 Nats-Pin-Id mismatch",
    );
    pull(
        &mut client,
        "a",
        &format!("{{\"batch\":1,\"group\":\"g\",\"id\":\"{pin}\"}}"),
    );
    let third = client.message();
    assert_eq!((third.sid.as_str(), pin_of(&third)), ("a", pin));
}

#[test]
fn an_unpinned_client_is_followed_by_another() {
    let dir = Dir::new();
    let (server, mut client) = with_group(&dir, "pinned_client", "");
    let mut watcher = server.client();
    watcher.send("SUB $JS.EVENT.ADVISORY.CONSUMER.UNPINNED.S.c adv\r\n");
    watcher.sync();
    pull(&mut client, "a", "{\"batch\":9,\"group\":\"g\"}");
    client.publish("s.x", None, "", "1");
    let pin = pin_of(&client.message());
    pull(&mut client, "b", "{\"batch\":9,\"group\":\"g\"}");
    let answer = client.ask("$JS.API.CONSUMER.UNPIN.S.c", "{\"group\":\"g\"}");
    assert_eq!(
        answer.text(),
        r#"{"type":"io.nats.jetstream.api.v1.consumer_unpin_response"}"#
    );
    let event = watcher.message().json();
    assert_eq!(
        event["type"],
        "io.nats.jetstream.advisory.v1.consumer_group_unpinned"
    );
    assert_eq!(
        (&event["group"], &event["reason"]),
        (&"g".into(), &"admin".into())
    );
    assert!(group(&mut client).get("pinned_client_id").is_none());
    client.publish("s.x", None, "", "2");
    // Who still waits with the old pin is told that it is none.
    let (mut told, mut served) = (client.message(), client.message());
    if told.sid == "b" {
        std::mem::swap(&mut told, &mut served);
    }
    assert_eq!(
        told.header,
        "NATS/1.0 423 Nats-Wrong-Pin-Id\r\nNats-Pending-Messages: 8\r\nNats-Pending-Bytes: 0\r\n\r\n"
    );
    assert_eq!((told.sid.as_str(), served.sid.as_str()), ("a", "b"));
    assert_ne!(pin_of(&served), pin);
}

#[test]
fn a_pinned_client_that_falls_silent_is_unpinned() {
    let dir = Dir::new();
    let (_server, mut client) =
        with_group(&dir, "pinned_client", ",\"priority_timeout\":200000000");
    client.send("SUB $JS.EVENT.ADVISORY.CONSUMER.UNPINNED.S.c adv\r\n");
    pull(&mut client, "a", "{\"batch\":1,\"group\":\"g\"}");
    client.publish("s.x", None, "", "1");
    let pin = pin_of(&client.message());
    pull(&mut client, "b", "{\"batch\":1,\"group\":\"g\"}");
    client.publish("s.x", None, "", "2");
    let (mut event, mut served) = (client.message(), client.message());
    if event.sid == "b" {
        std::mem::swap(&mut event, &mut served);
    }
    assert_eq!(event.json()["reason"], "timeout");
    assert_eq!((served.sid.as_str(), served.text().as_str()), ("b", "2"));
    assert_ne!(pin_of(&served), pin);
}

/// As with nats-server, where a pin is memory.
#[test]
fn a_pin_does_not_outlive_the_server() {
    let dir = Dir::new();
    let (server, mut client) = with_group(&dir, "pinned_client", "");
    pull(&mut client, "a", "{\"batch\":1,\"group\":\"g\"}");
    client.publish("s.x", None, "", "1");
    let first = client.message();
    let pin = pin_of(&first);
    client.confirm(first.ack(), "");
    crate::stream_util::End::Killed.bring(server);
    let server = dir.serve();
    let mut client = server.client();
    client.send("SUB a a\r\n");
    assert!(group(&mut client).get("pinned_client_id").is_none());
    // The old pin is taken, and found to be none when there is a message.
    pull(
        &mut client,
        "a",
        &format!("{{\"batch\":1,\"group\":\"g\",\"id\":\"{pin}\"}}"),
    );
    client.publish("s.x", None, "", "2");
    assert!(
        client
            .message()
            .header
            .starts_with("NATS/1.0 423 Nats-Wrong-Pin-Id\r\n")
    );
    pull(&mut client, "a", "{\"batch\":1,\"group\":\"g\"}");
    let next = client.message();
    assert_eq!(next.text(), "2");
    assert_ne!(pin_of(&next), pin);
}

/// Which is what tools do that know nothing of groups.
#[test]
fn a_plain_request_is_served_while_nobody_is_pinned() {
    let dir = Dir::new();
    let (_server, mut client) = with_group(&dir, "pinned_client", "");
    client.store("s.x", "1");
    pull(&mut client, "b", "1");
    let plain = client.message();
    assert_eq!(plain.header, "NATS/1.0\r\nNats-Pin-Id: \r\n\r\n");
    assert!(group(&mut client).get("pinned_client_id").is_none());
    // Then it waits.
    pull(&mut client, "a", "{\"batch\":1,\"group\":\"g\"}");
    client.publish("s.x", None, "", "2");
    assert_eq!(client.message().sid, "a");
    pull(&mut client, "b", "1");
    client.store("s.x", "3");
    assert_eq!(client.sync(), "");
}

#[test]
fn an_unpin_names_a_group_of_the_consumer() {
    let dir = Dir::new();
    let (_server, mut client) = with_group(&dir, "overflow", "");
    let text = |client: &mut Client, place: &str, body: &str| {
        let answer = client
            .ask(&format!("$JS.API.CONSUMER.UNPIN.{place}"), body)
            .json();
        answer["error"]["description"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let unspecified = "invalid JSON: consumer group not specified";
    assert_eq!(text(&mut client, "S.c", "{}"), unspecified);
    let empty = "invalid JSON: unexpected end of JSON input";
    assert_eq!(text(&mut client, "S.c", ""), empty);
    assert_eq!(
        client.api_error("CONSUMER.UNPIN.S.c", "{\"group\":\"a b\"}"),
        10162
    );
    assert_eq!(
        client.api_error("CONSUMER.UNPIN.S.c", "{\"group\":\"x\",\"y\":1}"),
        10160
    );
    assert_eq!(
        client.api_error("CONSUMER.UNPIN.S.x", "{\"group\":\"g\"}"),
        10014
    );
    assert_eq!(
        client.api_error("CONSUMER.UNPIN.X.c", "{\"group\":\"g\"}"),
        10059
    );
    assert_eq!(text(&mut client, "S.c", "{\"group\":\"g\",\"y\":1}"), "");
}

/// Of two who do not want to wait the second is told that the first will get
/// what there is.
#[test]
fn a_request_that_would_find_nothing_left_is_told_so() {
    let dir = Dir::new();
    let (_server, mut client) = with_group(&dir, "overflow", "");
    client.store("s.x", "1");
    pull(
        &mut client,
        "a",
        "{\"batch\":5,\"group\":\"g\",\"min_pending\":5}",
    );
    refused(
        &mut client,
        "{\"group\":\"g\",\"no_wait\":true}",
        "408 Requests Pending",
    );
}
