//! `CONSUMER.RESET`: a consumer starts over.

use crate::stream_util::{Dir, End, Message};
use crate::util::{Client, Server};
use serde_json::Value;

/// A server with a stream S of the messages m1 to m5, and a consumer c.
fn with_messages(dir: &Dir, more: &str) -> (Server, Client) {
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s.>", "");
    for number in 1..=5 {
        client.store("s.x", format!("m{number}"));
    }
    client.make_durable("S", "c", more);
    (server, client)
}

fn places(info: &Value) -> [u64; 6] {
    let number = |value: &Value| value.as_u64().expect("a number");
    [
        number(&info["delivered"]["consumer_seq"]),
        number(&info["delivered"]["stream_seq"]),
        number(&info["ack_floor"]["consumer_seq"]),
        number(&info["ack_floor"]["stream_seq"]),
        number(&info["num_ack_pending"]),
        number(&info["num_pending"]),
    ]
}

/// Has m1 to m4 delivered, m2 twice, and m1 and m3 acknowledged.
fn begin(client: &mut Client) -> Vec<Message> {
    let got: Vec<Message> = (0..4).map(|_| client.next("S", "c")).collect();
    client.confirm(got[0].ack(), "");
    client.confirm(got[2].ack(), "");
    client.confirm(got[1].ack(), "-NAK");
    assert_eq!(client.next("S", "c").told().0, 2);
    got
}

#[test]
fn a_consumer_starts_over_at_its_floor() {
    let dir = Dir::new();
    let (_server, mut client) = with_messages(&dir, "");
    let old = begin(&mut client);
    let answer = client.api("CONSUMER.RESET.S.c", "");
    assert_eq!(
        answer["type"],
        "io.nats.jetstream.api.v1.consumer_reset_response"
    );
    assert_eq!(
        (&answer["name"], &answer["reset_seq"]),
        (&"c".into(), &2.into())
    );
    assert_eq!(places(&answer), [0, 1, 0, 1, 0, 4]);
    assert_eq!(answer["num_redelivered"], 0);
    assert!(answer["delivered"].get("last_active").is_none());
    // As if for the first time, with numbers from 1 on.
    let again = client.next("S", "c");
    assert_eq!((again.text().as_str(), again.told()), ("m2", (1, 2, 1, 3)));
    // An old ack is one for what is out now, and nothing for what is to come.
    client.publish(old[3].ack(), None, "", "+ACK");
    client.confirm(old[1].ack(), "+ACK");
    let third = client.next("S", "c");
    assert_eq!((third.text().as_str(), third.told()), ("m3", (1, 3, 2, 2)));
    let info = client.api("CONSUMER.INFO.S.c", "");
    assert_eq!(places(&info), [2, 3, 1, 2, 1, 2]);
}

#[test]
fn a_consumer_starts_over_at_a_message() {
    let dir = Dir::new();
    let (_server, mut client) = with_messages(&dir, "");
    begin(&mut client);
    for (body, to, pending) in [
        ("{\"seq\":3}", 3, 3),
        ("{\"seq\":100}", 100, 0),
        ("{\"seq\":1,\"unknown\":1}", 1, 5),
        ("{}", 1, 5),
    ] {
        let answer = client.api("CONSUMER.RESET.S.c", body);
        assert_eq!(answer["reset_seq"], to, "{body}");
        assert_eq!(
            places(&answer),
            [0, to - 1, 0, to - 1, 0, pending],
            "{body}"
        );
    }
    assert_eq!(client.next("S", "c").text(), "m1");
    // It waits for what is far ahead.
    client.api("CONSUMER.RESET.S.c", "{\"seq\":7}");
    client.store("s.x", "m6");
    assert_eq!(client.next_now("S", "c"), None);
    client.store("s.x", "m7");
    assert_eq!(client.next("S", "c").text(), "m7");
}

#[test]
fn who_waits_is_served_after_a_reset() {
    let dir = Dir::new();
    let (server, mut client) = with_messages(&dir, "");
    for _ in 0..5 {
        client.next("S", "c");
    }
    client.listen_for_pulls();
    client.pull("S", "c", "1");
    client.sync();
    server.client().api("CONSUMER.RESET.S.c", "{\"seq\":4}");
    assert_eq!(client.message().text(), "m4");
}

#[test]
fn a_consumer_starts_over_no_earlier_than_it_may() {
    let dir = Dir::new();
    let (_server, mut client) = with_messages(&dir, "");
    let start = "\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":3";
    client.make_durable("S", "seq", start);
    let start = "\"deliver_policy\":\"by_start_time\",\"opt_start_time\":\"2099-01-01T00:00:00Z\"";
    client.make_durable("S", "time", start);
    client.make_durable("S", "new", "\"deliver_policy\":\"new\"");
    client.make_durable("S", "last", "\"deliver_policy\":\"last\"");
    for (consumer, text) in [
        ("seq", "invalid reset: below start seq"),
        ("time", "invalid reset: below start time"),
        ("new", "invalid reset: not allowed"),
        ("last", "invalid reset: not allowed"),
    ] {
        let words = format!("$JS.API.CONSUMER.RESET.S.{consumer}");
        let refusal = client.ask(&words, "{\"seq\":2}").json();
        let error = &refusal["error"];
        assert_eq!(
            (&error["err_code"], &error["code"]),
            (&10204.into(), &400.into())
        );
        assert_eq!(
            (&error["description"], &refusal["reset_seq"]),
            (&text.into(), &0.into())
        );
        client.api(&format!("CONSUMER.RESET.S.{consumer}"), "");
    }
    assert_eq!(
        client.api("CONSUMER.RESET.S.seq", "{\"seq\":4}")["reset_seq"],
        4
    );
    for body in ["x", "{\"seq\":\"x\"}", "[]"] {
        assert_eq!(
            client.api_error("CONSUMER.RESET.S.c", body),
            10025,
            "{body}"
        );
    }
    let level = "Nats-Required-Api-Level: 99\r\n";
    let refusal = client
        .ask_with("$JS.API.CONSUMER.RESET.S.c", level, "")
        .json();
    assert_eq!(refusal["error"]["err_code"], 10185);
}

/// Nobody answers for a consumer that is not there, and what nobody would
/// hear of is not done.
#[test]
fn a_reset_without_a_consumer_or_without_a_reply_is_nothing() {
    let dir = Dir::new();
    let (_server, mut client) = with_messages(&dir, "");
    client.next("S", "c");
    client.send("SUB _X x\r\n");
    for words in ["S.nobody", "NONE.c"] {
        client.publish(
            &format!("$JS.API.CONSUMER.RESET.{words}"),
            Some("_X"),
            "",
            "",
        );
    }
    client.publish("$JS.API.CONSUMER.RESET.S.c", None, "", "");
    assert_eq!(client.sync(), "");
    let info = client.api("CONSUMER.INFO.S.c", "");
    assert_eq!(places(&info), [1, 1, 0, 0, 1, 4]);
}

#[test]
fn a_reset_outlives_the_server() {
    for end in End::BOTH {
        let dir = Dir::new();
        let (server, mut client) = with_messages(&dir, "");
        let old = begin(&mut client);
        client.api("CONSUMER.RESET.S.c", "{\"seq\":2}");
        end.bring(server);
        let server = dir.serve();
        let mut client = server.client();
        let info = client.api("CONSUMER.INFO.S.c", "");
        assert_eq!(places(&info), [0, 1, 0, 1, 0, 4], "{end:?}");
        assert_eq!(client.next("S", "c").told(), (1, 2, 1, 3));
        drop(old);
    }
}

#[test]
fn a_pushed_consumer_starts_over_at_once() {
    let dir = Dir::new();
    let (server, mut client) = with_messages(&dir, "");
    client.send("SUB to.me me\r\n");
    client.sync();
    let mut other = server.client();
    other.make_durable("S", "p", "\"deliver_subject\":\"to.me\"");
    for number in 1..=5 {
        assert_eq!(client.message().text(), format!("m{number}"));
    }
    other.api("CONSUMER.RESET.S.p", "{\"seq\":4}");
    for (number, delivery) in [(4, 1), (5, 2)] {
        let message = client.message();
        assert_eq!(message.told(), (1, number, delivery, 5 - number));
    }
}

#[test]
fn an_interest_stream_lets_go_of_what_a_reset_passes() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("I", "i.>", "\"retention\":\"interest\"");
    client.make_durable("I", "c", "");
    for number in 1..=5 {
        client.store("i.x", format!("m{number}"));
    }
    client.next("I", "c");
    client.api("CONSUMER.RESET.I.c", "{\"seq\":4}");
    while client.state("I")["first_seq"] != 4 {}
    assert_eq!(client.state("I")["messages"], 2);
    // It is no way back to them.
    assert_eq!(
        client.api("CONSUMER.RESET.I.c", "{\"seq\":1}")["num_pending"],
        2
    );
    assert_eq!(client.next("I", "c").sequence(), 4);
}

/// What has died is delivered again like the rest, its attempts are counted
/// anew, and keys that have waited for it go on with it.
#[test]
fn the_dead_and_their_keys_start_over_too() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s.>", "");
    let options = "\"max_deliver\":1,\"metadata\":{\"midge.order_key\":\"subject\",\"midge.park_key\":\"true\"}";
    client.make_durable("S", "c", options);
    for text in ["a1", "a2"] {
        client.store("s.a", text);
    }
    client.store("s.b", "b1");
    let first = client.next("S", "c");
    client.confirm(first.ack(), "-NAK");
    while client.ask("$MIDGE.API.DLQ.LIST", "{}").json()["total"] != 1 {}
    // Its key waits; the other goes on.
    assert_eq!(client.next("S", "c").text(), "b1");
    assert_eq!(client.next_now("S", "c"), None);
    client.api("CONSUMER.RESET.S.c", "{\"seq\":1}");
    let again = client.next("S", "c");
    assert_eq!((again.text().as_str(), again.told().0), ("a1", 1));
    assert_eq!(client.next("S", "c").text(), "b1");
    assert_eq!(client.next_now("S", "c"), None);
    client.confirm(again.ack(), "+ACK");
    assert_eq!(client.next("S", "c").text(), "a2");
}
