//! Sources and mirrors that copy through a consumer of their origin
//! (`consumer`), as with nats-server 2.14.0.

use crate::stream_util::{Dir, End, base64};
use crate::util::{Client, PATIENCE};
use serde_json::Value;
use std::time::Instant;

const POLICY: &str = "\"ack_policy\":\"flow_control\",\"deliver_subject\":\"d\"";

/// Makes the stream `S` that copies `O` through the consumer `c`.
#[track_caller]
fn copy(client: &mut Client) -> Value {
    let body = format!("{{\"name\":\"S\",\"sources\":[{}]}}", source("c", ""));
    client.api("STREAM.CREATE.S", body)
}

fn source(consumer: &str, more: &str) -> String {
    let consumer = format!("{{\"name\":\"{consumer}\",\"deliver_subject\":\"d\"}}");
    format!("{{\"name\":\"O\",\"consumer\":{consumer}{more}}}")
}

fn make_consumer(client: &mut Client, more: &str) {
    client.make_durable("O", "c", &format!("{POLICY},\"max_ack_pending\":100{more}"));
}

/// What `c` has delivered, by number and sequence; its floor, and what is out
/// and what is to come.
#[track_caller]
fn standing(client: &mut Client) -> [u64; 6] {
    let info = client.api("CONSUMER.INFO.O.c", "");
    let number = |value: &Value| value.as_u64().expect("a number");
    let (had, floor) = (&info["delivered"], &info["ack_floor"]);
    [
        &had["consumer_seq"],
        &had["stream_seq"],
        &floor["consumer_seq"],
        &floor["stream_seq"],
        &info["num_ack_pending"],
        &info["num_pending"],
    ]
    .map(number)
}

#[track_caller]
fn wait_standing(client: &mut Client, wanted: [u64; 6]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = standing(client);
        if found == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{found:?}, not {wanted:?}");
        std::thread::yield_now();
    }
}

/// What `S` has: bodies, as the API spells them.
#[track_caller]
fn bodies(client: &mut Client) -> Vec<String> {
    let last = client.state("S")["last_seq"].as_u64().expect("a number");
    let body = |seq| client.stored("S", seq).ok();
    let found: Vec<Value> = (1..=last).filter_map(body).collect();
    let text = |message: &Value| message["data"].as_str().unwrap_or_default().to_owned();
    found.iter().map(text).collect()
}

fn spelt(bodies: &[&str]) -> Vec<String> {
    bodies.iter().map(|body| base64(body.as_bytes())).collect()
}

fn listener(server: &crate::util::Server) -> Client {
    let mut listener = server.client();
    listener.send("SUB d 1\r\nPING\r\n");
    listener.expect("PONG\r\n");
    listener
}

#[test]
fn a_work_queue_is_drained_through_a_consumer() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("O", "o.>", "\"retention\":\"workqueue\"");
    for body in ["1", "2", "3"] {
        client.store("o.a", body);
    }
    make_consumer(&mut client, "");
    copy(&mut client);
    let mut listener = listener(&server);
    client.wait_messages("S", 3);
    client.store("o.b", "4");
    client.wait_messages("S", 4);
    client.wait_messages("O", 0);
    assert_eq!(bodies(&mut client), spelt(&["1", "2", "3", "4"]));
    assert_eq!(standing(&mut client), [4, 4, 4, 4, 0, 0]);
    let info = client.api("CONSUMER.INFO.O.c", "");
    assert_eq!(info["push_bound"], true, "{info}");
    let told = client.stored("S", 4).unwrap()["hdrs"].clone();
    let header = "NATS/1.0\r\nNats-Stream-Source: O:C=k1i3jIye 4 > > o.b\r\n\r\n";
    assert_eq!(told, base64(header.as_bytes()));
    let told = client.api("STREAM.INFO.S", "")["sources"][0].clone();
    assert_eq!((&told["name"], &told["lag"]), (&"O".into(), &0.into()));
    // Who listens where the consumer delivers to gets nothing, and may not
    // be led elsewhere.
    let elsewhere = "{\"stream_name\":\"O\",\"config\":{\"durable_name\":\"c\",\
         \"ack_policy\":\"flow_control\",\"deliver_subject\":\"e\",\"max_ack_pending\":100}}";
    assert_eq!(client.api_error("CONSUMER.CREATE.O.c", elsewhere), 10013);
    listener.send("PING\r\n");
    listener.expect("PONG\r\n");
}

#[test]
fn the_consumer_says_what_is_copied() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("O", "o.>", "");
    for (subject, body) in [
        ("o.a", "1"),
        ("o.b", "2"),
        ("o.a", "3"),
        ("o.b", "4"),
        ("o.a", "5"),
    ] {
        client.store(subject, body);
    }
    let more = ",\"filter_subject\":\"o.a\",\"headers_only\":true,\
         \"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":2";
    make_consumer(&mut client, more);
    copy(&mut client);
    client.wait_messages("S", 2);
    let copied = client.stored("S", 1).unwrap();
    let header = "NATS/1.0\r\nNats-Msg-Size: 1\r\n\
         Nats-Stream-Source: O:C=k1i3jIye 3 > > o.a\r\n\r\n";
    assert_eq!(copied["hdrs"], base64(header.as_bytes()));
    assert!(copied["data"].is_null(), "{copied}");
    assert_eq!(standing(&mut client), [2, 5, 2, 5, 0, 0]);
    // A mirror has the sequences of its origin; subjects may change.
    client.make_durable(
        "O",
        "m",
        &format!("{POLICY},\"max_ack_pending\":100,\"deliver_policy\":\"last_per_subject\",\"filter_subject\":\"o.>\""),
    );
    let transforms = ",\"subject_transforms\":[{\"src\":\"o.*\",\"dest\":\"n.$1\"}]";
    let body = format!("{{\"name\":\"M\",\"mirror\":{}}}", source("m", transforms));
    client.api("STREAM.CREATE.M", body);
    client.wait_messages("M", 2);
    for (seq, subject) in [(4, "n.b"), (5, "n.a")] {
        let copied = client.stored("M", seq).unwrap();
        assert_eq!(copied["subject"], subject);
        assert_eq!(copied["data"], base64(seq.to_string().as_bytes()));
    }
    client.store("o.c", "6");
    client.wait_messages("M", 3);
}

#[test]
fn a_copy_waits_for_a_consumer_that_it_can_take() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("O", "o.>", "\"retention\":\"interest\"");
    copy(&mut client);
    // A consumer is what keeps messages here, not who waits for one.
    client.store("o.a", "lost");
    assert_eq!(client.state("O")["messages"], 0);
    let told = |client: &mut Client| client.api("STREAM.INFO.S", "")["sources"][0].clone();
    let waits = r#"{"name":"O","lag":0,"active":-1}"#;
    let waits: Value = serde_json::from_str(waits).unwrap();
    assert_eq!(told(&mut client), waits);
    client.make_durable("O", "c", "\"deliver_subject\":\"d\"");
    client.store("o.a", "1");
    let error = &told(&mut client)["error"];
    assert_eq!(error["err_code"], 10217, "{error}");
    let body = format!("{{\"name\":\"M\",\"mirror\":{}}}", source("c", ""));
    client.api("STREAM.CREATE.M", body);
    let error = &client.api("STREAM.INFO.M", "")["mirror"]["error"];
    assert_eq!(error["err_code"], 10214, "{error}");
    client.api("STREAM.DELETE.M", "");
    // Nor is one taken that delivers elsewhere.
    client.api("CONSUMER.DELETE.O.c", "");
    client.make_durable(
        "O",
        "c",
        "\"ack_policy\":\"flow_control\",\"deliver_subject\":\"e\",\"max_ack_pending\":100",
    );
    client.store("o.a", "2");
    assert_eq!(standing(&mut client), [0, 2, 0, 2, 0, 1]);
    assert_eq!(client.state("S")["messages"], 0);
    let pause = "{\"pause_until\":\"2099-01-01T00:00:00Z\"}";
    client.api("CONSUMER.PAUSE.O.c", pause);
    make_consumer(&mut client, "");
    client.store("o.a", "3");
    let info = client.api("CONSUMER.INFO.O.c", "");
    assert_eq!(
        (&info["paused"], &info["push_bound"]),
        (&true.into(), &true.into())
    );
    assert_eq!(told(&mut client)["lag"], 2);
    assert_eq!(client.state("S")["messages"], 0);
    client.api("CONSUMER.PAUSE.O.c", "{}");
    client.wait_messages("S", 2);
    assert_eq!(bodies(&mut client), spelt(&["2", "3"]));
    client.wait_messages("O", 0);
}

#[test]
fn nothing_is_copied_twice_by_a_consumer_that_begins_again() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("O", "o.>", "");
    copy(&mut client);
    make_consumer(&mut client, "");
    for body in ["1", "2", "3"] {
        client.store("o.a", body);
    }
    client.wait_messages("S", 3);
    client.api("CONSUMER.RESET.O.c", "{\"seq\":2}");
    wait_standing(&mut client, [2, 3, 2, 3, 0, 0]);
    client.api("CONSUMER.DELETE.O.c", "");
    client.store("o.a", "4");
    make_consumer(&mut client, "");
    client.wait_messages("S", 4);
    assert_eq!(standing(&mut client), [4, 4, 4, 4, 0, 0]);
    // A new origin of the same name has new messages.
    client.api("STREAM.DELETE.O", "");
    client.make_stream("O", "o.>", "");
    client.store("o.a", "5");
    make_consumer(&mut client, "");
    client.wait_messages("S", 5);
    assert_eq!(bodies(&mut client), spelt(&["1", "2", "3", "4", "5"]));
}

#[test]
fn what_a_listener_has_not_acknowledged_is_copied() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    let mut listener = listener(&server);
    client.make_stream("O", "o.>", "");
    make_consumer(&mut client, "");
    client.store("o.a", "1");
    assert_eq!(listener.message().text(), "1");
    copy(&mut client);
    client.wait_messages("S", 1);
    wait_standing(&mut client, [1, 1, 1, 1, 0, 0]);
    client.store("o.a", "2");
    client.wait_messages("S", 2);
    // It goes on where it was when no stream copies through it any more.
    client.api("STREAM.DELETE.S", "");
    client.store("o.a", "3");
    let next = loop {
        let message = listener.message();
        if !message.header.starts_with("NATS/1.0 100 ") {
            break message;
        }
    };
    assert_eq!(next.text(), "3");
    assert_eq!(standing(&mut client), [3, 3, 2, 2, 1, 0]);
}

#[test]
fn each_message_is_copied_once_through_a_consumer_whatever_ends_the_server() {
    for end in End::BOTH {
        let dir = Dir::new();
        let mut server = dir.serve();
        let mut client = server.client();
        client.make_stream("O", "o.>", "\"retention\":\"workqueue\"");
        make_consumer(&mut client, "");
        copy(&mut client);
        for round in 0..3 {
            for number in 0..500 {
                client.publish("o.a", None, "", format!("{round}.{number}"));
            }
            client.sync();
            end.bring(server);
            server = dir.serve();
            client = server.client();
        }
        let last = client.store("o.a", "last");
        client.wait_messages("S", last);
        client.wait_messages("O", 0);
        let mut found = bodies(&mut client);
        assert_eq!(found.last(), Some(&base64(b"last")));
        let count = found.len();
        found.sort_unstable();
        found.dedup();
        assert_eq!((found.len(), count as u64), (count, last));
        let [delivered, seq, floor, floor_seq, out, pending] = standing(&mut client);
        assert_eq!((delivered, floor, out, pending), (last, last, 0, 0));
        assert_eq!((seq, floor_seq), (last, last));
    }
}

#[test]
fn what_no_consumer_can_be_is_refused() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("O", "o.>", "");
    let named = |name: &str, to: &str| {
        format!(
            "{{\"name\":\"O\",\"consumer\":{{\"name\":\"{name}\",\"deliver_subject\":\"{to}\"}}}}"
        )
    };
    let mut wrong = vec!["{\"name\":\"O\",\"consumer\":{}}".to_owned()];
    for (name, to) in [
        ("c", ""),
        ("", "d"),
        ("a b", "d"),
        ("a.b", "d"),
        ("a/b", "d"),
        ("c", "d.*"),
        ("c", "d..e"),
        ("c", "d e"),
    ] {
        wrong.push(named(name, to));
    }
    for more in [
        ",\"opt_start_seq\":3",
        ",\"opt_start_time\":\"2020-01-01T00:00:00Z\"",
        ",\"filter_subject\":\"o.a\"",
    ] {
        wrong.push(source("c", more));
    }
    for wrong in wrong {
        let body = format!("{{\"name\":\"X\",\"sources\":[{wrong}]}}");
        assert_eq!(client.api_error("STREAM.CREATE.X", body), 10215, "{wrong}");
        let body = format!("{{\"name\":\"X\",\"mirror\":{wrong}}}");
        assert_eq!(client.api_error("STREAM.CREATE.X", body), 10213, "{wrong}");
    }
    let (one, other) = (source("c", ""), named("c", "e"));
    let changed = source(
        "c",
        ",\"subject_transforms\":[{\"src\":\"o.a\",\"dest\":\"p\"}]",
    );
    for (sources, code) in [
        (format!("{one},{one}"), 10140),
        (format!("{one},{other}"), 10140),
        (format!("{one},{changed}"), 10216),
    ] {
        let body = format!("{{\"name\":\"X\",\"sources\":[{sources}]}}");
        assert_eq!(client.api_error("STREAM.CREATE.X", body), code, "{sources}");
    }
    let sources = format!("{one},{},{{\"name\":\"O\"}}", source("c2", ""));
    let body = format!("{{\"name\":\"X\",\"sources\":[{sources}]}}");
    client.api("STREAM.CREATE.X", body);
    let body = format!("{{\"name\":\"X\",\"sources\":[{}]}}", named("c", ">"));
    assert_eq!(client.api_error("STREAM.UPDATE.X", body), 10215);
}
