//! Pauses of consumers, and what a consumer allows a request.

use crate::stream_util::{Dir, End};
use crate::util::{Client, Server};
use std::time::{SystemTime, UNIX_EPOCH};

/// A time so far from now, as the API writes it.
fn after(millis: i64) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock");
    let nanos = now.as_nanos() as i64 + millis * 1_000_000;
    midge_proto::Timestamp(nanos).to_string()
}

fn with_stream(dir: &Dir) -> (Server, Client) {
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s.>", "");
    client.store("s.x", "1");
    (server, client)
}

#[track_caller]
fn pause(client: &mut Client, until: &str) -> serde_json::Value {
    client.api(
        "CONSUMER.PAUSE.S.c",
        format!("{{\"pause_until\":\"{until}\"}}"),
    )
}

#[test]
fn a_paused_consumer_delivers_nothing_until_it_is_resumed() {
    let dir = Dir::new();
    let (_server, mut client) = with_stream(&dir);
    client.make_durable("S", "c", "");
    client.send("SUB $JS.EVENT.ADVISORY.CONSUMER.PAUSE.S.c adv\r\n");
    client.listen_for_pulls();
    let until = after(600_000);
    // The advisory is there before the answer or after it.
    let body = format!("{{\"pause_until\":\"{until}\"}}");
    client.publish("$JS.API.CONSUMER.PAUSE.S.c", Some("_P"), "", &body);
    let (mut answer, mut event) = (client.message(), client.message());
    if answer.sid == "adv" {
        std::mem::swap(&mut answer, &mut event);
    }
    let answer = answer.json();
    assert_eq!(
        (&answer["paused"], &answer["pause_until"]),
        (&true.into(), &until.clone().into())
    );
    assert!(
        answer["pause_remaining"]
            .as_i64()
            .is_some_and(|left| left > 590_000_000_000)
    );
    let event = event.json();
    assert_eq!(
        (&event["paused"], &event["pause_until"]),
        (&true.into(), &until.clone().into())
    );
    let info = client.api("CONSUMER.INFO.S.c", "");
    assert_eq!(
        (&info["paused"], &info["config"]["pause_until"]),
        (&true.into(), &until.clone().into())
    );
    assert_eq!(client.next_now("S", "c"), None);
    // Once more the same is no news, nor is an update.
    pause(&mut client, &until);
    // Who waits meanwhile is shown that it lives, and served afterwards.
    client.pull(
        "S",
        "c",
        "{\"batch\":1,\"expires\":20000000000,\"idle_heartbeat\":100000000}",
    );
    assert!(
        client
            .message()
            .header
            .starts_with("NATS/1.0 100 Idle Heartbeat\r\n")
    );
    client.publish("$JS.API.CONSUMER.PAUSE.S.c", None, "", "");
    let mut got = Vec::new();
    while got.len() < 2 {
        let message = client.message();
        if !message.header.starts_with("NATS/1.0 100") {
            got.push(message);
        }
    }
    got.sort_by_key(|message| message.sid.clone());
    let event = got[0].json();
    assert_eq!(
        (&event["paused"], &event["pause_until"]),
        (&false.into(), &"0001-01-01T00:00:00Z".into())
    );
    assert_eq!(got[1].text(), "1");
    assert!(client.api("CONSUMER.INFO.S.c", "").get("paused").is_none());
}

#[test]
fn a_pause_ends_by_itself_and_that_is_told() {
    let dir = Dir::new();
    let (_server, mut client) = with_stream(&dir);
    client.send("SUB $JS.EVENT.ADVISORY.CONSUMER.PAUSE.S.c adv\r\n");
    client.listen_for_pulls();
    let until = after(1_000);
    let body = format!(
        "{{\"stream_name\":\"S\",\"config\":{{\"durable_name\":\"c\",\"ack_policy\":\"explicit\",\
         \"pause_until\":\"{until}\"}}}}"
    );
    client.publish("$JS.API.CONSUMER.CREATE.S.c", Some("_P"), "", body);
    client.pull("S", "c", "1");
    let mut got = [0; 4].map(|_| client.message());
    got[..2].sort_by_key(|message| message.sid.clone());
    got[2..].sort_by_key(|message| message.sid.clone());
    assert_eq!(got[0].json()["paused"], true);
    assert_eq!(got[1].json()["config"]["pause_until"], until);
    let event = got[2].json();
    assert_eq!(
        (&event["paused"], &event["pause_until"]),
        (&false.into(), &until.into())
    );
    assert_eq!(got[3].text(), "1");
}

#[test]
fn a_pause_outlives_the_server_and_ends_in_time() {
    for end in End::BOTH {
        let dir = Dir::new();
        let (server, mut client) = with_stream(&dir);
        client.make_durable("S", "c", "");
        client.make_durable("S", "long", "");
        let until = after(1_500);
        pause(&mut client, &until);
        let long = after(600_000);
        client.api(
            "CONSUMER.PAUSE.S.long",
            format!("{{\"pause_until\":\"{long}\"}}"),
        );
        end.bring(server);
        let server = dir.serve();
        let mut client = server.client();
        let info = client.api("CONSUMER.INFO.S.long", "");
        assert_eq!(
            (&info["paused"], &info["config"]["pause_until"]),
            (&true.into(), &long.into())
        );
        assert_eq!(client.next_now("S", "long"), None);
        assert_eq!(client.next("S", "c").text(), "1");
        assert!(after(0) >= until, "it has waited");
    }
}

#[test]
fn a_pushed_consumer_beats_while_it_pauses() {
    let dir = Dir::new();
    let (server, mut client) = with_stream(&dir);
    client.send("SUB to.me me\r\n");
    let more = format!(
        "\"deliver_subject\":\"to.me\",\"idle_heartbeat\":100000000,\"pause_until\":\"{}\"",
        after(600_000)
    );
    client.sync();
    server.client().make_durable("S", "c", &more);
    for _ in 0..2 {
        let beat = client.message();
        assert_eq!(
            beat.header,
            "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 0\r\nNats-Last-Stream: 0\r\n\r\n"
        );
    }
}

#[test]
fn a_pause_that_is_over_is_none() {
    let dir = Dir::new();
    let (_server, mut client) = with_stream(&dir);
    client.make_durable("S", "c", "");
    let past = after(-5_000);
    let answer = pause(&mut client, &past);
    assert_eq!(
        (&answer["paused"], &answer["pause_until"]),
        (&false.into(), &past.into())
    );
    assert!(answer.get("pause_remaining").is_none());
    assert_eq!(client.next("S", "c").text(), "1");
    assert_eq!(client.api_error("CONSUMER.PAUSE.S.x", ""), 10014);
    assert_eq!(client.api_error("CONSUMER.PAUSE.X.c", ""), 10059);
    assert_eq!(
        client.api_error("CONSUMER.PAUSE.S.c", "{\"pause_until\":\"x\"}"),
        10025
    );
    assert_eq!(
        client.api_error("CONSUMER.PAUSE.S.c", "{\"until\":\"x\"}"),
        10025
    );
}

/// `max_batch`, `max_expires` and `max_bytes` of a consumer.
#[test]
fn a_request_asks_for_no_more_than_its_consumer_allows() {
    let dir = Dir::new();
    let (_server, mut client) = with_stream(&dir);
    client.make_durable(
        "S",
        "c",
        "\"max_batch\":5,\"max_expires\":2000000000,\"max_bytes\":1000",
    );
    for (body, line) in [
        ("6", "409 Exceeded MaxRequestBatch of 5"),
        (
            "{\"batch\":6,\"max_bytes\":2000}",
            "409 Exceeded MaxRequestBatch of 5",
        ),
        (
            "{\"batch\":5,\"expires\":3000000000}",
            "409 Exceeded MaxRequestExpires of 2s",
        ),
        (
            "{\"batch\":1,\"max_bytes\":1001}",
            "409 Exceeded MaxRequestMaxBytes of 1000",
        ),
        (
            "{\"batch\":1,\"expires\":1500000000,\"idle_heartbeat\":800000000}",
            "400 Bad Request - heartbeat value too large",
        ),
    ] {
        let answer = client.ask("$JS.API.CONSUMER.MSG.NEXT.S.c", body);
        assert_eq!(answer.header, format!("NATS/1.0 {line}\r\n\r\n"), "{body}");
    }
    let message = client.ask(
        "$JS.API.CONSUMER.MSG.NEXT.S.c",
        "{\"batch\":5,\"expires\":2000000000,\"max_bytes\":1000}",
    );
    assert_eq!(message.text(), "1");
    let body = "{\"stream_name\":\"S\",\"config\":{\"name\":\"n\",\"max_expires\":999999}}";
    assert_eq!(client.api_error("CONSUMER.CREATE.S.n", body), 10115);
}
