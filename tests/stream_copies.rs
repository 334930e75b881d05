//! Mirrors and sources. What is copied, and what is refused, is as with
//! nats-server 2.15.1, but for the stream's id that its 2.15 adds to
//! `Nats-Stream-Source`.

use crate::stream_util::{Dir, End, base64};
use crate::util::Client;
use serde_json::Value;

/// Makes a stream that copies others.
#[track_caller]
fn make(client: &mut Client, name: &str, more: &str) -> Value {
    let body = format!("{{\"name\":\"{name}\",{more}}}");
    client.api(&format!("STREAM.CREATE.{name}"), body)
}

/// A stored message: subject, headers and body.
#[track_caller]
fn message(client: &mut Client, stream: &str, seq: u64) -> (String, String, String) {
    let message = client.stored(stream, seq).expect("it is there");
    let text = |key: &str| message[key].as_str().unwrap_or_default().to_owned();
    (text("subject"), text("hdrs"), text("data"))
}

fn copied(subject: &str, headers: &str, body: &str) -> (String, String, String) {
    let block = match headers {
        "" => String::new(),
        headers => base64(format!("NATS/1.0\r\n{headers}\r\n").as_bytes()),
    };
    (subject.to_owned(), block, base64(body.as_bytes()))
}

#[test]
fn a_mirror_of_what_is_not_there_says_so() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    let own = "\"mirror\":{\"name\":\"O\"},\"mirror_direct\":true";
    assert_eq!(make(&mut client, "M", own)["config"]["mirror_direct"], true);
    let told = client.api("STREAM.INFO.M", "");
    let wanted = r#"{"code":404,"err_code":10059,"description":"stream not found"}"#;
    let wanted: serde_json::Value = serde_json::from_str(wanted).unwrap();
    assert_eq!(told["mirror"]["error"], wanted);
    client.make_stream("O", "o.>", "");
    client.store("o.1", "x");
    client.wait_messages("M", 1);
    assert!(client.api("STREAM.INFO.M", "")["mirror"]["error"].is_null());
    // It is read directly as its origin is, whatever it asks for itself.
    let own = own.to_owned() + ",\"subject_transform\":{\"src\":\"o.*\",\"dest\":\"n.$1\"}";
    assert_eq!(
        make(&mut client, "N", &own)["config"]["mirror_direct"],
        false
    );
    client.wait_messages("N", 1);
    assert_eq!(message(&mut client, "N", 1), copied("n.1", "", "x"));
}

#[test]
fn a_mirror_has_the_sequences_and_times_of_its_origin() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("O", "o.>", "\"allow_direct\":true");
    for seq in 0..5 {
        let headers = format!("A: {seq}\r\nNats-Expected-Last-Sequence: {seq}\r\n");
        client.store_with(&format!("o.{}", seq % 2), &headers, format!("m{seq}"));
    }
    client.api("STREAM.MSG.DELETE.O", "{\"seq\":3}");
    let made = make(&mut client, "M", "\"mirror\":{\"name\":\"O\"}");
    assert_eq!(made["config"]["mirror_direct"], true);
    assert_eq!(made["mirror"]["active"], -1);
    assert!(made["config"]["subjects"].is_null());
    client.wait_messages("M", 4);
    let state = client.state("M");
    let ends = (
        &state["first_seq"],
        &state["last_seq"],
        &state["num_deleted"],
    );
    assert_eq!(ends, (&1.into(), &5.into(), &1.into()));
    assert_eq!(
        message(&mut client, "M", 2),
        copied("o.1", "A: 1\r\n", "m1")
    );
    let time = |client: &mut Client, stream| client.stored(stream, 4).unwrap()["time"].clone();
    assert_eq!(time(&mut client, "M"), time(&mut client, "O"));
    // What is new comes at once; what is deleted later stays.
    client.api("STREAM.PURGE.O", "");
    client.store("o.1", "after");
    client.wait_messages("M", 5);
    let info = client.api("STREAM.INFO.M", "");
    assert_eq!(
        (&info["mirror"]["name"], &info["mirror"]["lag"]),
        (&"O".into(), &0.into())
    );
    assert!(info["mirror"]["active"].as_i64().unwrap() >= 0, "{info}");
    // Nobody publishes to it but its origin, until it is no mirror any more.
    // It answers for its origin where that does not.
    let direct = |client: &mut Client| {
        let answer = client.ask("$JS.API.DIRECT.GET.O", "{\"last_by_subj\":\"o.1\"}");
        let line = answer.header.lines().nth(1).unwrap_or_default().to_owned();
        (line, answer.text())
    };
    assert_eq!(
        direct(&mut client),
        ("Nats-Stream: O".into(), "after".into())
    );
    client.api("STREAM.DELETE.O", "");
    assert_eq!(
        direct(&mut client),
        ("Nats-Stream: M".into(), "after".into())
    );
    let update = |more: &str| format!("{{\"name\":\"M\"{more}}}");
    for (more, code) in [
        (",\"mirror\":{\"name\":\"O\"},\"subjects\":[\"m\"]", 10034),
        (",\"mirror\":{\"name\":\"O\",\"opt_start_seq\":3}", 10055),
    ] {
        assert_eq!(client.api_error("STREAM.UPDATE.M", update(more)), code);
    }
    client.api("STREAM.UPDATE.M", update(",\"subjects\":[\"m\"]"));
    assert_eq!(client.store("m", "own"), 7);
}

#[test]
fn a_source_says_where_its_messages_come_from() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("O", "o.>", "\"allow_atomic\":true");
    make(&mut client, "S", "\"sources\":[{\"name\":\"O\"}]");
    let more = "\"sources\":[{\"name\":\"O\",\"filter_subject\":\"o.1\"}],\
         \"duplicate_window\":100000000000,\
         \"subject_transform\":{\"src\":\"o.*\",\"dest\":\"w.$1\"}";
    make(&mut client, "F", more);
    let more = "\"sources\":[{\"name\":\"O\",\"subject_transforms\":[\
         {\"src\":\"o.0\",\"dest\":\"p.0\"},{\"src\":\"o.2\",\"dest\":\"\"}]}]";
    make(&mut client, "T", more);
    let batch = "Nats-Batch-Id: b\r\nNats-Batch-Sequence: 1\r\nNats-Batch-Commit: 1\r\n\
         Nats-Msg-Id: i1\r\n";
    client.store_with("o.1", batch, "x");
    client.store("o.0", "y");
    client.store_with("o.2", "X: y\r\n", "z");
    client.wait_messages("S", 3);
    client.wait_messages("F", 1);
    client.wait_messages("T", 2);
    let source = |told: &str| format!("Nats-Stream-Source: {told}\r\n");
    let first = format!("Nats-Msg-Id: i1\r\n{}", source("O 1 > > o.1"));
    assert_eq!(message(&mut client, "S", 1), copied("o.1", &first, "x"));
    let third = format!("X: y\r\n{}", source("O 3 > > o.2"));
    assert_eq!(message(&mut client, "S", 3), copied("o.2", &third, "z"));
    let filtered = format!("Nats-Msg-Id: i1\r\n{}", source("O 1 o.1 > o.1"));
    assert_eq!(message(&mut client, "F", 1), copied("w.1", &filtered, "x"));
    let changed = source("O 2 o.0\x0co.2 p.0\x0c> o.0");
    assert_eq!(message(&mut client, "T", 1), copied("p.0", &changed, "y"));
    let sources = &client.api("STREAM.INFO.T", "")["sources"][0];
    assert_eq!(
        (&sources["name"], &sources["lag"]),
        (&"O".into(), &0.into())
    );
    assert_eq!(sources["subject_transforms"][0]["dest"], "p.0");
}

#[test]
fn copies_begin_where_they_are_told() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("O", "o.>", "");
    for seq in 1..=6 {
        client.store("o.a", format!("{seq}"));
    }
    let time = client.stored("O", 5).unwrap()["time"].clone();
    let more = |start: &str| format!("\"sources\":[{{\"name\":\"O\",{start}}}]");
    make(&mut client, "A", &more("\"opt_start_seq\":4"));
    make(
        &mut client,
        "B",
        &more(&format!("\"opt_start_time\":{time}")),
    );
    make(
        &mut client,
        "M",
        "\"mirror\":{\"name\":\"O\",\"opt_start_seq\":3}",
    );
    client.wait_messages("A", 3);
    client.wait_messages("B", 2);
    client.wait_messages("M", 4);
    assert_eq!(client.state("M")["first_seq"], 3);
    // Its origin may come later, go, and come again.
    make(&mut client, "L", "\"sources\":[{\"name\":\"LATE\"}]");
    for round in 1..=2 {
        client.make_stream("LATE", "late", "");
        client.store("late", "x");
        client.wait_messages("L", round);
        client.api("STREAM.DELETE.LATE", "");
    }
}

#[test]
fn what_cannot_be_copied_is_refused() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("O", "o.>", "");
    let mut refused = |more: &str, code: u64, text: &str| {
        let body = format!("{{\"name\":\"X\",{more}}}");
        let answer = client.ask("$JS.API.STREAM.CREATE.X", body).json();
        let error = &answer["error"];
        assert_eq!(
            (&error["err_code"], &error["description"]),
            (&code.into(), &text.into())
        );
    };
    let mirror = |more: &str| format!("\"mirror\":{{\"name\":\"O\"}},{more}");
    for (more, code, text) in [
        (
            "\"subjects\":[\"x\"]",
            10034,
            "stream mirrors can not contain subjects",
        ),
        (
            "\"sources\":[{\"name\":\"O\"}]",
            10031,
            "stream mirrors can not also contain other sources",
        ),
        (
            "\"first_seq\":3",
            10143,
            "stream mirrors can not have first sequence configured",
        ),
        (
            "\"allow_msg_counter\":true",
            10173,
            "stream mirrors can not also calculate counters",
        ),
        (
            "\"allow_atomic\":true",
            10198,
            "stream mirrors can not also use atomic publishing",
        ),
    ] {
        refused(&mirror(more), code, text);
    }
    for (source, code, text) in [
        ("\"name\":\"a.b\"", 10141, "sourced stream name is invalid"),
        ("\"name\":\"X\"", 10052, "detected cycle"),
        (
            "\"name\":\"O\",\"filter_subject\":\"o..\"",
            10049,
            "subject filter 'o..' for the source: invalid subject",
        ),
        (
            "\"name\":\"O\",\"filter_subject\":\"o.1\",\"subject_transforms\":[{\"src\":\"o.1\",\"dest\":\"p\"}]",
            10144,
            "source with multiple subject transforms cannot also have a single subject filter",
        ),
        (
            "\"name\":\"O\",\"subject_transforms\":[{\"src\":\"o.*\",\"dest\":\"p.$1\"},{\"src\":\"o.1\",\"dest\":\"q\"}]",
            10147,
            "source filters can not overlap",
        ),
        (
            "\"name\":\"O\",\"subject_transforms\":[{\"src\":\"o..\",\"dest\":\"p\"}]",
            10145,
            "source transform source: invalid subject o..",
        ),
        (
            "\"name\":\"O\",\"subject_transforms\":[{\"src\":\"o.*\",\"dest\":\"p.$3\"}]",
            10146,
            "source transform: invalid mapping destination: wildcard index out of range in $3: [3]",
        ),
        (
            "\"name\":\"O\",\"external\":{\"api\":\"$JS.x.API\",\"deliver\":\"d\"}",
            10052,
            "source with external is not supported",
        ),
        (
            "\"name\":\"O\"},{\"name\":\"O\"",
            10140,
            "duplicate source configuration detected",
        ),
    ] {
        refused(&format!("\"sources\":[{{{source}}}]"), code, text);
    }
    make(&mut client, "A", "\"sources\":[{\"name\":\"B\"}]");
    let body = "{\"name\":\"B\",\"mirror\":{\"name\":\"A\"}}";
    assert_eq!(client.api_error("STREAM.CREATE.B", body), 10052, "a cycle");
}

#[test]
fn each_message_is_copied_once_whatever_ends_the_server() {
    for end in End::BOTH {
        let dir = Dir::new();
        let server = dir.serve();
        let mut client = server.client();
        client.make_stream("O", "o.>", "");
        client.make_stream("P", "p.>", "");
        let sources = "\"sources\":[{\"name\":\"O\",\"filter_subject\":\"o.a\"},{\"name\":\"P\"}]";
        make(&mut client, "S", sources);
        make(&mut client, "M", "\"mirror\":{\"name\":\"O\"}");
        for number in 0..1500 {
            let subject = ["o.a", "o.b", "p.a"][number % 3];
            client.publish(subject, None, "", format!("{number}"));
        }
        client.sync();
        end.bring(server);
        let server = dir.serve();
        let mut client = server.client();
        let count = |client: &mut Client, stream: &str| {
            client.state(stream)["messages"].as_u64().expect("a number")
        };
        let (origin, other) = (count(&mut client, "O"), count(&mut client, "P"));
        client.wait_messages("M", origin);
        client.wait_messages("S", origin.div_ceil(2) + other);
        client.store("o.a", "more");
        client.store("p.a", "more");
        client.wait_messages("M", origin + 1);
        client.wait_messages("S", origin.div_ceil(2) + other + 2);
        client.make_durable("S", "all", "\"max_ack_pending\":-1");
        let mut seen = std::collections::BTreeSet::new();
        while let Some(next) = client.next_now("S", "all") {
            assert!(
                next.text() == "more" || seen.insert(next.text()),
                "{next:?}"
            );
        }
    }
}

#[test]
fn a_copy_is_a_consumer_where_those_decide_what_is_kept() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("W", "w.>", "\"retention\":\"workqueue\"");
    client.make_stream("I", "i.>", "\"retention\":\"interest\"");
    client.store("w.a", "x");
    client.store("i.a", "nobody wants it");
    make(
        &mut client,
        "S",
        "\"sources\":[{\"name\":\"W\"},{\"name\":\"I\",\"filter_subject\":\"i.a\"}]",
    );
    client.make_durable("I", "c", "");
    client.store("w.a", "y");
    client.store("i.a", "z");
    client.wait_messages("S", 3);
    assert_eq!(client.state("W")["messages"], 0);
    assert_eq!(
        client.state("I")["messages"],
        1,
        "a consumer has still to take it"
    );
    for body in ["nobody wants it", "z"] {
        if let Some(next) = client.next_now("I", "c") {
            assert_eq!(next.text(), "z", "{body}");
            client.confirm(next.ack(), "+ACK");
        }
    }
    client.wait_messages("I", 0);
}

#[test]
fn two_copies_of_the_same_subjects_have_each_their_own_position() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("I", "i.>", "\"retention\":\"interest\"");
    let source = |to: &str| {
        format!(
            "{{\"name\":\"I\",\"subject_transforms\":[{{\"src\":\"i.>\",\"dest\":\"{to}.>\"}}]}}"
        )
    };
    let more = format!("\"sources\":[{},{}]", source("x"), source("y"));
    make(&mut client, "S", &more);
    for number in 0..50 {
        client.store("i.a", number.to_string());
    }
    client.wait_messages("S", 100);
    client.wait_messages("I", 0);
}

#[test]
fn what_is_sealed_takes_nothing_from_its_origin() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("W", "w.>", "\"retention\":\"workqueue\"");
    for storage in ["memory", "file"] {
        let config = |sealed: bool| {
            format!(
                "{{\"name\":\"S\",\"storage\":\"{storage}\",\"sealed\":{sealed},\
                 \"sources\":[{{\"name\":\"W\"}}]}}"
            )
        };
        client.api("STREAM.CREATE.S", config(false));
        client.api("STREAM.UPDATE.S", config(true));
        client.store("w.a", storage);
        // Another copy may take it, and has had its turn after the sealed one.
        make(&mut client, "T", "\"sources\":[{\"name\":\"W\"}]");
        client.wait_messages("T", 1);
        assert_eq!(client.state("S")["messages"], 0);
        client.api("STREAM.DELETE.T", "");
        client.api("STREAM.DELETE.S", "");
    }
}

#[test]
fn nothing_is_kept_for_a_copy_that_begins_later() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("I", "i.>", "\"retention\":\"interest\"");
    client.make_durable("I", "c", "");
    client.store("i.a", "1");
    client.store("i.a", "2");
    let more = "\"sources\":[{\"name\":\"I\",\"opt_start_seq\":5}]";
    make(&mut client, "S", more);
    client.api("CONSUMER.DELETE.I.c", "");
    client.wait_messages("I", 0);
    client.store("i.a", "3");
    client.store("i.a", "4");
    assert_eq!(client.state("I")["messages"], 0);
    client.store("i.a", "5");
    client.wait_messages("S", 1);
    client.wait_messages("I", 0);
    assert_eq!(message(&mut client, "S", 1).2, base64(b"5"));
}

#[test]
fn a_full_copy_goes_on_when_there_is_room() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("O", "o.>", "");
    let more = "\"sources\":[{\"name\":\"O\"}],\"retention\":\"workqueue\",\
         \"discard\":\"new\",\"max_msgs\":2";
    make(&mut client, "Q", more);
    client.make_durable("Q", "w", "");
    for body in ["1", "2", "3"] {
        client.store("o.a", body);
    }
    for body in ["1", "2", "3"] {
        let next = client.next("Q", "w");
        assert_eq!(next.text(), body);
        client.confirm(next.ack(), "+ACK");
    }
    client.wait_messages("Q", 0);
}
