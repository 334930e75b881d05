//! Messages of one key one after the other, over any number of workers.

use crate::dead_letters::ours;
use crate::stream_util::{Dir, End};
use crate::util::Client;
use serde_json::{Value, json};

fn ordered(client: &mut Client, by: &str, more: &str) {
    ordered_with(client, &json!({"midge.order_key": by}), more);
}

fn ordered_with(client: &mut Client, options: &Value, more: &str) {
    client.make_stream("S", "s.>", "");
    client.make_durable("S", "w", &format!("\"metadata\":{options}{more}"));
}

#[test]
fn one_message_of_a_key_is_out_at_a_time() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    ordered(&mut client, "subject", "");
    for (subject, body) in [("s.a", "a1"), ("s.a", "a2"), ("s.b", "b1"), ("s.a", "a3")] {
        client.store(subject, body);
    }
    let a1 = client.next("S", "w");
    let b1 = client.next("S", "w");
    assert_eq!((a1.text().as_str(), b1.text().as_str()), ("a1", "b1"));
    assert_eq!(client.next_now("S", "w"), None, "a waits for its ack");
    assert_eq!(client.api("CONSUMER.INFO.S.w", "")["num_pending"], 2);
    // A failing message holds back its own key only.
    client.confirm(a1.ack(), "-NAK {\"delay\":300000000}");
    client.confirm(b1.ack(), "");
    client.store("s.b", "b2");
    let b2 = client.next("S", "w");
    assert_eq!(b2.text(), "b2");
    let again = client.next("S", "w");
    assert_eq!((again.text().as_str(), again.told().0), ("a1", 2));
    client.confirm(again.ack(), "");
    let a2 = client.next("S", "w");
    assert_eq!(a2.text(), "a2");
    assert_eq!(client.next_now("S", "w"), None);
    client.confirm(a2.ack(), "");
    assert_eq!(client.next("S", "w").text(), "a3");
}

#[test]
fn keys_are_words_or_headers_too() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    ordered(&mut client, "token:2", "");
    client.make_durable(
        "S",
        "h",
        "\"metadata\":{\"midge.order_key\":\"header:Order\"}",
    );
    for (subject, order, body) in [("s.a.1", 7, "1"), ("s.a.2", 8, "2"), ("s.b.1", 7, "3")] {
        client.store_with(subject, &format!("Order: {order}\r\n"), body);
    }
    let mut out = |consumer: &str| {
        let mut bodies = Vec::new();
        while let Some(message) = client.next_now("S", consumer) {
            bodies.push(message.text());
        }
        bodies
    };
    assert_eq!(out("w"), ["1", "3"]);
    assert_eq!(out("h"), ["1", "2"]);
}

#[test]
fn order_holds_over_a_restart() {
    for end in End::BOTH {
        let dir = Dir::new();
        let server = dir.serve();
        let mut client = server.client();
        ordered(&mut client, "subject", ",\"ack_wait\":60000000000");
        for body in ["a1", "a2", "a3"] {
            client.store("s.a", body);
            client.store(&format!("s.{body}"), body);
        }
        let a1 = client.next("S", "w");
        for other in ["a1", "a2", "a3"] {
            let message = client.next("S", "w");
            assert_eq!(message.subject, format!("s.{other}"));
            client.confirm(message.ack(), "");
        }
        end.bring(server);
        let server = dir.serve();
        let mut client = server.client();
        assert_eq!(client.api("CONSUMER.INFO.S.w", "")["num_pending"], 2);
        assert_eq!(client.next_now("S", "w"), None, "{end:?}: a1 is still out");
        client.confirm(a1.ack(), "");
        for body in ["a2", "a3"] {
            let message = client.next("S", "w");
            assert_eq!(message.text(), body, "{end:?}");
            client.confirm(message.ack(), "");
        }
        assert_eq!(client.next_now("S", "w"), None);
        let info = client.api("CONSUMER.INFO.S.w", "");
        assert_eq!(info["ack_floor"]["stream_seq"], 6, "{info}");
    }
}

#[test]
fn many_keys_take_turns() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    ordered(&mut client, "subject", "");
    for number in 0..200 {
        client.store("s.hot", number.to_string());
    }
    client.store("s.cold", "cold");
    // A key of which much waits does not keep another back for long.
    for turn in 0.. {
        assert!(turn < 10, "the cold key does not get its turn");
        let message = client.next("S", "w");
        client.confirm(message.ack(), "");
        if message.subject == "s.cold" {
            break;
        }
    }
}

#[test]
fn a_key_can_wait_for_its_dead() {
    for end in End::BOTH {
        let dir = Dir::new();
        let server = dir.serve();
        let mut client = server.client();
        let options = json!({"midge.order_key": "subject", "midge.park_key": "true"});
        ordered_with(&mut client, &options, ",\"max_deliver\":1");
        for body in ["a1", "a2"] {
            client.store("s.a", body);
        }
        client.store("s.b", "b1");
        let a1 = client.next("S", "w");
        client.confirm(a1.ack(), "-NAK");
        let b1 = client.next("S", "w");
        assert_eq!(b1.text(), "b1");
        client.confirm(b1.ack(), "");
        assert_eq!(client.next_now("S", "w"), None);
        end.bring(server);
        let server = dir.serve();
        let mut client = server.client();
        assert_eq!(
            client.next_now("S", "w"),
            None,
            "{end:?}: the key is parked"
        );
        let done = ours(&mut client, "DLQ.REDRIVE", &json!({"consumer": "w"}));
        assert_eq!(done["to_consumer"], 1, "{done}");
        let back = client.next("S", "w");
        assert_eq!(back.text(), "a1");
        assert_eq!(client.next_now("S", "w"), None);
        client.confirm(back.ack(), "");
        assert_eq!(client.next("S", "w").text(), "a2", "{end:?}");
    }
}

#[test]
fn a_parked_key_goes_on_when_its_dead_are_dropped() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    let options = json!({"midge.order_key": "subject", "midge.park_key": "true"});
    ordered_with(&mut client, &options, ",\"max_deliver\":1");
    for body in ["a1", "a2", "a3"] {
        client.store("s.a", body);
    }
    let a1 = client.next("S", "w");
    client.confirm(a1.ack(), "-NAK");
    ours(&mut client, "DLQ.DROP", &json!({"source_seq": 1}));
    let a2 = client.next("S", "w");
    assert_eq!(a2.text(), "a2");
    client.confirm(a2.ack(), "+TERM");
    assert_eq!(client.next_now("S", "w"), None);
    let unparked = ours(
        &mut client,
        "DLQ.UNPARK",
        &json!({"stream": "S", "consumer": "w"}),
    );
    assert_eq!(unparked["unparked"], 1);
    assert_eq!(client.next("S", "w").text(), "a3");
}

#[test]
fn the_urgent_come_first() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    ordered_with(&mut client, &json!({"midge.priority": "header:P"}), "");
    for (level, body) in [
        ("1", "1a"),
        ("9", "9a"),
        ("", "0a"),
        ("1", "1b"),
        ("9", "9b"),
    ] {
        client.store_with("s.a", &format!("P: {level}\r\n"), body);
    }
    let mut order = Vec::new();
    while let Some(message) = client.next_now("S", "w") {
        client.confirm(message.ack(), "");
        order.push(message.text());
    }
    assert_eq!(order, ["9a", "9b", "1a", "1b", "0a"]);
    let info = client.api("CONSUMER.INFO.S.w", "");
    assert_eq!(info["ack_floor"]["stream_seq"], 5, "{info}");
    assert_eq!(info["num_pending"], 0);
}

#[test]
fn order_needs_acks_that_are_told() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s.>", "");
    let refused = client.api_error(
        "CONSUMER.CREATE.S.x",
        "{\"stream_name\":\"S\",\"config\":{\"durable_name\":\"x\",\"ack_policy\":\"all\",\
         \"metadata\":{\"midge.order_key\":\"subject\"}}}",
    );
    assert_eq!(refused, 10012);
}

#[test]
fn workers_that_are_pushed_to_keep_the_order_too() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s.>", "");
    for number in 0..20 {
        client.store("s.a", format!("a{number}"));
        client.store("s.b", format!("b{number}"));
    }
    let mut workers = [server.client(), server.client()];
    for worker in &mut workers {
        worker.send("SUB work crew 1\r\n");
        worker.sync();
    }
    let order = json!({"midge.order_key": "subject"});
    let more = format!(
        "\"deliver_subject\":\"work\",\"deliver_group\":\"crew\",\"ack_wait\":300000000,\
         \"metadata\":{order}"
    );
    client.make_durable("S", "w", &more);
    let mut done: Vec<String> = Vec::new();
    let mut turn = 0;
    while done.len() < 40 {
        turn += 1;
        let worker = &mut workers[turn % 2];
        // Who of them has one is chance: a ping tells whether this one has.
        worker.send("PING\r\n");
        loop {
            let line = worker.line();
            if line == "PONG" {
                break;
            }
            let words: Vec<&str> = line.split(' ').collect();
            let ack = words[3].to_owned();
            let body = worker.line();
            // Now and then one fails, or is forgotten.
            match (turn * 7 + done.len()) % 5 {
                0 => worker.send(format!("PUB {ack} 4\r\n-NAK\r\n")),
                1 if turn % 11 == 0 => {}
                _ => {
                    worker.send(format!("PUB {ack} 0\r\n\r\n"));
                    done.push(body);
                }
            }
        }
    }
    for key in ["a", "b"] {
        let of_key: Vec<&String> = done.iter().filter(|body| body.starts_with(key)).collect();
        let expected: Vec<String> = (0..20).map(|number| format!("{key}{number}")).collect();
        assert!(of_key.into_iter().eq(&expected), "{done:?}");
    }
}
