//! Streams as a client meets them: publishing, reading back, their API.

use crate::stream_util::Dir;
use crate::util::{Client, Server};

#[test]
fn the_first_message_of_a_stream_is_acknowledged_with_its_place() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.send("SUB _I.* 1\r\n");
    client.send(
        "PUB $JS.API.STREAM.CREATE.ORDERS _I.1 41\r\n\
         {\"name\":\"ORDERS\",\"subjects\":[\"orders.>\"]}\r\n",
    );
    let created = client.message();
    assert_eq!(created.subject, "_I.1");
    let created = created.json();
    assert_eq!(
        created["type"],
        "io.nats.jetstream.api.v1.stream_create_response"
    );
    assert_eq!(created["did_create"], true);
    assert_eq!(created["config"]["subjects"][0], "orders.>");
    assert_eq!(created["state"]["last_seq"], 0);
    client.send("PUB orders.new _I.2 5\r\nhello\r\n");
    client.expect("MSG _I.2 1 27\r\n{\"stream\":\"ORDERS\",\"seq\":1}\r\n");
    client.send("PUB orders.new _I.3 5\r\nagain\r\n");
    client.expect("MSG _I.3 1 27\r\n{\"stream\":\"ORDERS\",\"seq\":2}\r\n");
    let state = client.state("ORDERS");
    assert_eq!(
        (&state["messages"], &state["first_seq"]),
        (&2.into(), &1.into())
    );
    let message = client.stored("ORDERS", 1).unwrap();
    assert_eq!(
        (&message["subject"], &message["data"]),
        (&"orders.new".into(), &"aGVsbG8=".into())
    );
}

#[test]
fn subscribers_hear_what_a_stream_keeps() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s.>", "");
    client.send("SUB s.* 7\r\nSUB _I 1\r\nPUB s.a _I 1\r\nx\r\n");
    client.expect("MSG s.a 7 _I 1\r\nx\r\nMSG _I 1 22\r\n{\"stream\":\"S\",\"seq\":1}\r\n");
}

#[test]
fn without_a_stream_a_publisher_is_told_that_nobody_is_there() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.send("SUB _I 1\r\nPUB orders.new _I 5\r\nhello\r\n");
    client.expect("HMSG _I 1 42 42\r\nNATS/1.0 503\r\nNats-Subject: orders.new\r\n\r\n\r\n");
    // The same for one that was there.
    client.make_stream("ORDERS", "orders.>", "");
    client.store("orders.new", "x");
    client.api("STREAM.DELETE.ORDERS", "");
    client.send("PUB orders.new _I 5\r\nhello\r\n");
    client.expect("HMSG _I 1 42 42\r\nNATS/1.0 503\r\nNats-Subject: orders.new\r\n\r\n\r\n");
}

#[test]
fn a_server_without_a_store_says_so() {
    let server = Server::start_with(&["--no-store"]);
    let mut client = server.client();
    assert!(
        !client.info.contains("\"jetstream\":true"),
        "{}",
        client.info
    );
    client.send("SUB _I 1\r\nPUB $JS.API.INFO _I 0\r\n\r\n");
    client.expect("HMSG _I 1 44 44\r\nNATS/1.0 503\r\nNats-Subject: $JS.API.INFO\r\n\r\n\r\n");
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    assert!(
        client.info.contains("\"jetstream\":true"),
        "{}",
        client.info
    );
    let info = client.api("INFO", "");
    assert_eq!(info["streams"], 0);
}

#[test]
fn a_deleted_stream_leaves_its_name_and_its_subjects_to_the_next() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("A", "a.>", "");
    client.make_durable("A", "d", "");
    for seq in 1..=3 {
        assert_eq!(client.store("a.x", "old"), seq);
    }
    assert_eq!(
        client.api_error("STREAM.CREATE.B", "{\"name\":\"B\",\"subjects\":[\"a.x\"]}"),
        10065
    );
    client.api("STREAM.DELETE.A", "");
    assert_eq!(client.api_error("STREAM.INFO.A", ""), 10059);
    assert_eq!(client.api_error("CONSUMER.INFO.A.d", ""), 10059);
    client.make_stream("B", "a.x", "");
    client.make_stream("A", "other", "");
    assert_eq!(client.store("a.x", "new"), 1);
    assert_eq!(client.store("other", "new"), 1);
    assert_eq!(client.api_error("CONSUMER.INFO.A.d", ""), 10014);
}

#[test]
fn messages_are_read_back_without_a_consumer() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("D", "d.>", "\"allow_direct\":true");
    client.make_stream("N", "n.>", "");
    client.store("d.a", "one");
    client.store_with("d.b", "Shape: round\r\n", "two");
    client.store("d.a", "three");
    let last = client.ask("$JS.API.DIRECT.GET.D.d.a", "");
    assert_eq!(last.text(), "three");
    assert!(
        last.header
            .starts_with("NATS/1.0\r\nNats-Stream: D\r\nNats-Subject: d.a\r\n"),
        "{last:?}"
    );
    assert!(last.header.contains("Nats-Sequence: 3\r\n"), "{last:?}");
    let second = client.ask("$JS.API.DIRECT.GET.D", "{\"seq\":2}");
    assert!(
        second
            .header
            .starts_with("NATS/1.0\r\nShape: round\r\nNats-Stream: D\r\n"),
        "{second:?}"
    );
    let none = client.ask("$JS.API.DIRECT.GET.D.d.none", "");
    assert_eq!(none.header, "NATS/1.0 404 Message Not Found\r\n\r\n");
    let refused = client.ask("$JS.API.DIRECT.GET.N.n.a", "");
    assert!(
        refused.header.starts_with("NATS/1.0 503\r\n"),
        "{refused:?}"
    );
    // A batch, in one go.
    client.send("SUB _B b\r\n");
    client.publish(
        "$JS.API.DIRECT.GET.D",
        Some("_B"),
        "",
        "{\"seq\":1,\"batch\":10}",
    );
    for (seq, body) in [(1, "one"), (2, "two"), (3, "three")] {
        let message = client.message();
        assert_eq!(message.text(), body);
        assert!(
            message
                .header
                .contains(&format!("Nats-Sequence: {seq}\r\n")),
            "{message:?}"
        );
        assert!(
            message
                .header
                .contains(&format!("Nats-Num-Pending: {}\r\n", 3 - seq)),
            "{message:?}"
        );
    }
    assert!(client.message().header.starts_with("NATS/1.0 204 EOB\r\n"));
}

#[test]
fn a_message_that_is_deleted_is_gone_and_its_place_stays_empty() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s", "");
    for body in ["a", "b", "c"] {
        client.store("s", body);
    }
    client.api("STREAM.MSG.DELETE.S", "{\"seq\":2}");
    assert_eq!(client.stored("S", 2), Err(10037));
    assert_eq!(client.store("s", "d"), 4);
    let state = client.state("S");
    assert_eq!(
        (&state["messages"], &state["num_deleted"]),
        (&3.into(), &1.into())
    );
    assert_eq!(client.api("STREAM.PURGE.S", "")["purged"], 3);
    assert_eq!(client.store("s", "e"), 5);
    let state = client.state("S");
    assert_eq!(
        (&state["messages"], &state["first_seq"]),
        (&1.into(), &5.into())
    );
}

#[test]
fn a_message_id_is_stored_once() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s", "");
    let id = "Nats-Msg-Id: order-1\r\n";
    assert_eq!(client.store_with("s", id, "a"), 1);
    let again = client.ask_with("s", id, "a");
    assert_eq!(
        again.text(),
        "{\"stream\":\"S\",\"seq\":1,\"duplicate\": true}"
    );
    assert_eq!(client.store("s", "b"), 2);
}

#[test]
fn an_expectation_that_does_not_hold_refuses_the_message() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s.>", "");
    client.store("s.a", "1");
    let refused = client.ask_with("s.a", "Nats-Expected-Last-Sequence: 7\r\n", "2");
    assert_eq!(
        refused.text(),
        "{\"error\":{\"code\":400,\"err_code\":10071,\"description\":\"wrong last sequence: 1\"},\
         \"stream\":\"S\",\"seq\":0}"
    );
    let taken = "Nats-Expected-Last-Subject-Sequence: 0\r\n";
    assert_eq!(client.store_with("s.b", taken, "first"), 2);
    assert_eq!(
        client.ask_with("s.b", taken, "x").json()["error"]["err_code"],
        10071
    );
}

#[test]
fn a_key_value_bucket_works() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream(
        "KV_b",
        "$KV.b.>",
        "\"max_msgs_per_subject\":2,\"discard\":\"new\",\"allow_rollup_hdrs\":true,\
         \"deny_delete\":true,\"allow_direct\":true",
    );
    client.store("$KV.b.color", "red");
    client.store("$KV.b.shape", "round");
    client.store("$KV.b.color", "green");
    assert_eq!(client.store("$KV.b.color", "blue"), 4);
    // Its history is two, so the first is gone.
    assert_eq!(client.stored("KV_b", 1), Err(10037));
    assert_eq!(
        client.ask("$JS.API.DIRECT.GET.KV_b.$KV.b.color", "").text(),
        "blue"
    );
    // Only who knows the last revision may change it.
    let update = |revision: u64| format!("Nats-Expected-Last-Subject-Sequence: {revision}\r\n");
    let stale = client.ask_with("$KV.b.color", &update(3), "pink").json();
    assert_eq!(stale["error"]["err_code"], 10071);
    assert_eq!(client.store_with("$KV.b.color", &update(4), "pink"), 5);
    // A watcher sees the last of each key, in order, and then what comes.
    client.api(
        "CONSUMER.CREATE.KV_b.w",
        "{\"stream_name\":\"KV_b\",\"config\":{\"name\":\"w\",\"ack_policy\":\"none\",\
         \"deliver_policy\":\"last_per_subject\",\"filter_subject\":\"$KV.b.>\",\
         \"deliver_subject\":\"_W\",\"mem_storage\":true}}",
    );
    client.send("SUB _W w\r\n");
    let first = client.message();
    assert_eq!(
        (first.subject.as_str(), first.text().as_str()),
        ("$KV.b.shape", "round")
    );
    assert_eq!(first.told(), (1, 2, 1, 1));
    let second = client.message();
    assert_eq!(
        (second.subject.as_str(), second.told()),
        ("$KV.b.color", (1, 5, 2, 0))
    );
    // A purge leaves its marker alone.
    let mut other = server.client();
    let purge = "KV-Operation: PURGE\r\nNats-Rollup: sub\r\n";
    assert_eq!(other.store_with("$KV.b.color", purge, ""), 6);
    let marker = client.message();
    assert!(
        marker.header.contains("KV-Operation: PURGE\r\n"),
        "{marker:?}"
    );
    assert_eq!(other.state("KV_b")["messages"], 2);
}

#[test]
fn messages_of_all_sizes_come_back_as_they_went() {
    let dir = Dir::new();
    let server = dir.serve_with(&["--max-payload", "8MB"]);
    let mut client = server.client();
    client.make_stream("S", "s", "");
    client.make_durable("S", "d", "");
    client.listen_for_pulls();
    let sizes = [0, 1, 65_000, 65_536, 1 << 20, 8 << 20, 3, (8 << 20) - 1];
    let body = |size: usize| -> Vec<u8> {
        (0..size)
            .map(|at| (at * 31 + size + at / 251) as u8)
            .collect()
    };
    for (seq, size) in (1..).zip(sizes) {
        assert_eq!(client.store("s", body(size)), seq);
    }
    let check = |client: &mut Client| {
        client.pull(
            "S",
            "d",
            &format!("{{\"batch\":{},\"no_wait\":true}}", sizes.len()),
        );
        for (seq, size) in (1..).zip(sizes) {
            let message = client.message();
            assert_eq!((message.sid.as_str(), message.sequence()), ("pull", seq));
            assert!(
                message.body == body(size),
                "{size} bytes came back differently"
            );
        }
    };
    check(&mut client);
    // And from the disk.
    drop(client);
    crate::stream_util::End::Killed.bring(server);
    let server = dir.serve_with(&["--max-payload", "8MB"]);
    let mut client = server.client();
    for (seq, size) in (1..).zip(sizes) {
        let subject = "$JS.API.STREAM.MSG.GET.S";
        let message = client.ask(subject, format!("{{\"seq\":{seq}}}")).json();
        // Four characters for three bytes, of those that fit into an answer.
        let data = message["message"]["data"].as_str().unwrap_or_default();
        assert_eq!(data.len(), size.div_ceil(3) * 4, "{size}");
    }
    client.listen_for_pulls();
    client.make_durable("S", "e", "");
    client.pull("S", "e", &format!("{{\"batch\":{}}}", sizes.len()));
    for size in sizes {
        assert!(
            client.message().body == body(size),
            "{size} bytes came back differently"
        );
    }
}

#[test]
fn a_message_over_the_streams_limit_is_refused() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s", "\"max_msg_size\":10");
    client.store("s", "0123456789");
    assert_eq!(
        client.ask("s", "0123456789a").json()["error"]["err_code"],
        10054
    );
    client.make_stream("F", "f", "\"max_msgs\":1,\"discard\":\"new\"");
    client.store("f", "x");
    let full = client.ask("f", "x").json();
    assert_eq!(
        (&full["error"]["code"], &full["error"]["err_code"]),
        (&503.into(), &10077.into())
    );
}

#[test]
fn an_old_message_goes_when_the_limit_is_reached() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s", "\"max_msgs\":3");
    for seq in 1..=5 {
        assert_eq!(client.store("s", "x"), seq);
    }
    let state = client.state("S");
    assert_eq!(
        (&state["messages"], &state["first_seq"]),
        (&3.into(), &3.into())
    );
}

/// Half frames, wrong JSON and unknown words on the subjects of the API: each
/// is answered or left alone, and the connection goes on.
#[test]
fn nonsense_to_the_api_hurts_nobody() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s", "");
    client.make_durable("S", "d", "");
    client.store("s", "x");
    let bodies: [&[u8]; 9] = [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\"x\"",
        b"{\"name\":7}",
        b"\xff\xfe\0\x01",
        b"{}}",
        b"-1",
    ];
    let words = [
        "STREAM.CREATE.X",
        "STREAM.UPDATE.S",
        "STREAM.PURGE.NONE",
        "STREAM.MSG.GET.S",
        "STREAM.MSG.DELETE.S",
        "STREAM.LIST",
        "STREAM.NAMES",
        "CONSUMER.CREATE.S",
        "CONSUMER.CREATE.S.c",
        "CONSUMER.DURABLE.CREATE.S.c",
        "CONSUMER.LIST.S",
        "CONSUMER.MSG.NEXT.S.d",
        "CONSUMER.PAUSE.S.d",
        "DIRECT.GET.S",
        "INFO",
        "NOTHING",
        "STREAM.INFO.A.B",
        "STREAM..INFO",
        "STREAM.SNAPSHOT.S",
        "STREAM.RESTORE.R",
    ];
    client.send("SUB _N n\r\n");
    for words in words {
        for body in bodies {
            client.publish(&format!("$JS.API.{words}"), Some("_N"), "", body);
        }
    }
    for ack in [
        "$JS.ACK",
        "$JS.ACK.",
        "$JS.ACK.S.d",
        "$JS.ACK.S.d.x.y.z.1.2",
        "$JS.ACK.S.d.1.99.99.0.0",
        "$JS.FC.S.d.x",
    ] {
        for body in ["", "-NAK {", "+NXT {\"batch\":", "+TERM", "?"] {
            client.publish(ack, Some("_N"), "", body);
        }
    }
    client.sync();
    // Half a request, and the end of the connection.
    for at in [10, 30, 45, 55] {
        let request =
            "PUB $JS.API.STREAM.CREATE.HALF _N 32\r\n{\"name\":\"HALF\",\"subjects\":[\"h\"]}\r\n";
        let mut half = server.client();
        half.send(&request[..at]);
        half.shut_write();
        half.rest();
    }
    let mut witness = server.client();
    assert_eq!(
        witness.api("STREAM.NAMES", "")["streams"],
        serde_json::json!(["S"])
    );
    assert_eq!(witness.state("S")["messages"], 1);
    assert_eq!(witness.store("s", "y"), 2);
}
