//! Every request of the stream API: what it is answered, and what refused.

use crate::stream_util::Dir;
use crate::util::{Client, Server};
use serde_json::json;

fn with_stream(dir: &Dir, more: &str) -> (Server, Client) {
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s.>", more);
    (server, client)
}

/// A refusal: number and text.
#[track_caller]
fn refusal(client: &mut Client, words: &str, body: &str) -> (u64, String) {
    let answer = client.ask(&format!("$JS.API.{words}"), body).json();
    let error = &answer["error"];
    let text = error["description"].as_str().unwrap_or_default();
    let code = error["err_code"].as_u64();
    (
        code.unwrap_or_else(|| panic!("{words} {body}: {answer}")),
        text.to_owned(),
    )
}

#[test]
fn an_account_tells_what_it_uses() {
    let dir = Dir::new();
    let (_server, mut client) = with_stream(&dir, "");
    client.make_durable("S", "c", "");
    client.store("s.x", "body");
    let info = client.api("INFO", "");
    assert_eq!(
        info["type"],
        "io.nats.jetstream.api.v1.account_info_response"
    );
    assert_eq!(
        (&info["streams"], &info["consumers"]),
        (&1.into(), &1.into())
    );
    // 30 for a message, its subject and its body.
    assert_eq!((&info["storage"], &info["memory"]), (&37.into(), &0.into()));
    assert_eq!(info["limits"]["max_streams"], -1);
    // The stream and the consumer; who asks is not counted yet.
    assert_eq!(info["api"]["total"], 2);
    assert_eq!(client.api("INFO", "")["api"]["total"], 3);
}

#[test]
fn a_stream_is_made_once() {
    let dir = Dir::new();
    let (_server, mut client) = with_stream(&dir, "");
    let body = r#"{"name":"S","subjects":["s.>"]}"#;
    let again = client.api("STREAM.CREATE.S", body);
    assert_eq!(
        again["type"],
        "io.nats.jetstream.api.v1.stream_create_response"
    );
    assert_eq!(again["did_create"], true);
    for (words, body, code) in [
        (
            "S",
            r#"{"name":"S","subjects":["s.>"],"max_msgs":5}"#,
            10058,
        ),
        ("T", r#"{"name":"U","subjects":["t"]}"#, 10056),
        ("T", r#"{"name":"T","subjects":["s.x"]}"#, 10065),
        (
            "T",
            r#"{"name":"T","subjects":["t"],"num_replicas":3}"#,
            10074,
        ),
        ("T/U", r#"{"name":"T/U","subjects":["t"]}"#, 10128),
        ("T", "{", 10025),
    ] {
        let words = format!("STREAM.CREATE.{words}");
        assert_eq!(client.api_error(&words, body), code, "{body}");
    }
}

#[test]
fn a_stream_is_updated_where_it_may_be() {
    let dir = Dir::new();
    let (_server, mut client) = with_stream(&dir, "");
    let updated = client.api(
        "STREAM.UPDATE.S",
        r#"{"name":"S","subjects":["s.>","t"],"max_msgs":5}"#,
    );
    assert_eq!(
        updated["type"],
        "io.nats.jetstream.api.v1.stream_update_response"
    );
    assert_eq!(updated["config"]["max_msgs"], 5);
    assert!(updated.get("did_create").is_none());
    let memory = r#"{"name":"S","subjects":["s.>"],"storage":"memory"}"#;
    assert_eq!(
        refusal(&mut client, "STREAM.UPDATE.S", memory),
        (
            10052,
            "stream configuration update can not change storage type".to_owned()
        )
    );
    let (none, other) = (r#"{"name":"N","subjects":["n"]}"#, r#"{"name":"T"}"#);
    assert_eq!(client.api_error("STREAM.UPDATE.N", none), 10059);
    assert_eq!(client.api_error("STREAM.UPDATE.S", other), 10056);
}

#[test]
fn streams_are_listed_and_named() {
    let dir = Dir::new();
    let (_server, mut client) = with_stream(&dir, "");
    client.make_stream("A", "a", "");
    let names = client.api("STREAM.NAMES", "");
    assert_eq!(
        names["type"],
        "io.nats.jetstream.api.v1.stream_names_response"
    );
    assert_eq!(names["streams"], json!(["A", "S"]));
    let page = ["total", "offset", "limit"].map(|field| names[field].as_u64());
    assert_eq!(page, [Some(2), Some(0), Some(1024)]);
    assert_eq!(
        client.api("STREAM.NAMES", r#"{"subject":"s.*.x"}"#)["streams"],
        json!(["S"])
    );
    let none = client.api("STREAM.NAMES", r#"{"subject":"z"}"#);
    assert!(
        none["streams"].is_null() && none.get("streams").is_some(),
        "{none}"
    );
    let list = client.api("STREAM.LIST", r#"{"offset":1}"#);
    assert_eq!(
        list["type"],
        "io.nats.jetstream.api.v1.stream_list_response"
    );
    assert_eq!((&list["total"], &list["limit"]), (&2.into(), &256.into()));
    assert_eq!(list["streams"][0]["config"]["name"], "S");
    assert_eq!(
        client.api("STREAM.LIST", r#"{"subject":"z"}"#)["streams"],
        json!([])
    );
}

#[test]
fn a_stream_tells_its_subjects_and_its_gaps() {
    let dir = Dir::new();
    let (_server, mut client) = with_stream(&dir, "");
    for subject in ["s.a", "s.b", "s.a", "s.c"] {
        client.store(subject, "x");
    }
    client.api("STREAM.MSG.DELETE.S", r#"{"seq":2}"#);
    let info = client.api(
        "STREAM.INFO.S",
        r#"{"deleted_details":true,"subjects_filter":"s.>"}"#,
    );
    assert_eq!(
        info["type"],
        "io.nats.jetstream.api.v1.stream_info_response"
    );
    assert_eq!(info["state"]["deleted"], json!([2]));
    assert_eq!(info["state"]["subjects"], json!({"s.a": 2, "s.c": 1}));
    assert_eq!(
        (&info["total"], &info["limit"]),
        (&2.into(), &100_000.into())
    );
    assert_eq!(client.api_error("STREAM.INFO.N", ""), 10059);
}

#[test]
fn a_stream_is_purged_by_subject_sequence_and_number() {
    let dir = Dir::new();
    let (_server, mut client) = with_stream(&dir, "");
    for number in 0..10 {
        client.store(if number % 2 == 0 { "s.a" } else { "s.b" }, "x");
    }
    let purge =
        |client: &mut Client, body: &str| client.api("STREAM.PURGE.S", body)["purged"].clone();
    assert_eq!(purge(&mut client, r#"{"filter":"s.a","keep":4}"#), 1);
    assert_eq!(purge(&mut client, r#"{"seq":4}"#), 2);
    assert_eq!(purge(&mut client, r#"{"filter":"s.b"}"#), 4);
    assert_eq!(purge(&mut client, r#"{"keep":1}"#), 2);
    assert_eq!(purge(&mut client, ""), 1);
    assert_eq!(
        client.api_error("STREAM.PURGE.S", r#"{"seq":1,"keep":1}"#),
        10003
    );
    let refused = client.ask("$JS.API.STREAM.PURGE.N", "").json();
    assert_eq!(
        (&refused["error"]["err_code"], &refused["purged"]),
        (&10059.into(), &0.into())
    );
    client.api(
        "STREAM.UPDATE.S",
        r#"{"name":"S","subjects":["s.>"],"deny_purge":true,"deny_delete":true}"#,
    );
    client.store("s.a", "x");
    assert_eq!(client.api_error("STREAM.PURGE.S", ""), 10110);
    assert_eq!(
        client.api_error("STREAM.MSG.DELETE.S", r#"{"seq":11}"#),
        10057
    );
}

#[test]
fn a_stream_is_deleted() {
    let dir = Dir::new();
    let (_server, mut client) = with_stream(&dir, "");
    assert_eq!(client.api_error("STREAM.DELETE.S", r#"{"x":1}"#), 10038);
    let answer = client.ask("$JS.API.STREAM.DELETE.S", "{}");
    assert_eq!(
        answer.text(),
        r#"{"type":"io.nats.jetstream.api.v1.stream_delete_response","success":true}"#
    );
    assert_eq!(client.api_error("STREAM.DELETE.S", ""), 10059);
}

#[test]
fn a_message_is_asked_for_in_one_way() {
    let dir = Dir::new();
    let (_server, mut client) = with_stream(&dir, "");
    client.store_with("s.a", "A: b\r\n", "one");
    client.store("s.b", "");
    let get =
        |client: &mut Client, body: &str| client.api("STREAM.MSG.GET.S", body)["message"].clone();
    let first = get(&mut client, r#"{"seq":1}"#);
    let (data, headers) = ("b25l", "TkFUUy8xLjANCkE6IGINCg0K");
    assert_eq!(
        (&first["subject"], &first["data"]),
        (&"s.a".into(), &data.into())
    );
    assert_eq!(
        (&first["seq"], &first["hdrs"]),
        (&1.into(), &headers.into())
    );
    let second = get(&mut client, r#"{"last_by_subj":"s.b"}"#);
    assert!(
        second.get("data").is_none() && second.get("hdrs").is_none(),
        "{second}"
    );
    assert_eq!(
        get(&mut client, r#"{"next_by_subj":"s.>","seq":2}"#)["seq"],
        2
    );
    assert_eq!(get(&mut client, r#"{"next_by_subj":"s.*"}"#)["seq"], 1);
    for (body, code) in [
        ("", 10003),
        ("{}", 10003),
        (r#"{"seq":1,"last_by_subj":"s.a"}"#, 10003),
        (r#"{"seq":1,"batch":2}"#, 10003),
        (r#"{"multi_last":["s.a"]}"#, 10003),
        (r#"{"seq":9}"#, 10037),
        (r#"{"last_by_subj":"s.z"}"#, 10037),
    ] {
        assert_eq!(client.api_error("STREAM.MSG.GET.S", body), code, "{body}");
    }
    for (body, code) in [("", 10003), (r#"{"seq":9}"#, 10057)] {
        assert_eq!(
            client.api_error("STREAM.MSG.DELETE.S", body),
            code,
            "{body}"
        );
    }
}

#[test]
fn a_direct_get_says_what_is_wrong_in_its_status() {
    let dir = Dir::new();
    let (_server, mut client) = with_stream(&dir, r#""allow_direct":true"#);
    client.make_stream("N", "n", "");
    client.store("s.a", "one");
    for (body, line) in [
        ("", "408 Empty Request"),
        ("x", "408 Malformed Request"),
        (r#"{"seq":1,"last_by_subj":"s.a"}"#, "408 Bad Request"),
        (r#"{"seq":7}"#, "404 Message Not Found"),
        (r#"{"multi_last":["z"]}"#, "404 No Results"),
    ] {
        let answer = client.ask("$JS.API.DIRECT.GET.S", body);
        assert_eq!(answer.header, format!("NATS/1.0 {line}\r\n\r\n"), "{body}");
    }
    let level = "Nats-Required-Api-Level: 99\r\n";
    let answer = client.ask_with("$JS.API.DIRECT.GET.S", level, r#"{"seq":1}"#);
    assert_eq!(answer.header, "NATS/1.0 412 Required Api Level\r\n\r\n");
    let bare = client.ask("$JS.API.DIRECT.GET.S", r#"{"seq":1,"no_hdr":true}"#);
    assert_eq!((bare.header.as_str(), bare.text().as_str()), ("", "one"));
    // Who does not offer it is not there to ask.
    let nobody = client.ask("$JS.API.DIRECT.GET.N", r#"{"seq":1}"#);
    assert!(nobody.header.starts_with("NATS/1.0 503\r\n"), "{nobody:?}");
}

/// The last of each subject and batches are answered in order, and to their
/// end, while others publish.
#[test]
fn batches_are_whole_while_others_publish() {
    let dir = Dir::new();
    let (server, mut client) = with_stream(&dir, r#""allow_direct":true"#);
    for number in 0..200 {
        client.publish(&format!("s.{}", number % 50), None, "", "old");
    }
    client.sync();
    let mut writer = server.client();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = stop.clone();
    let writing = std::thread::spawn(move || {
        let mut number = 0;
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            writer.store(&format!("s.{}", number % 50), "new");
            number += 1;
        }
    });
    client.send("SUB _B b\r\n");
    let number = |header: &str, name: &str| -> u64 {
        let value = header.lines().find_map(|line| line.strip_prefix(name));
        value
            .unwrap_or_else(|| panic!("{name} {header}"))
            .parse()
            .expect("a number")
    };
    for round in 0..20 {
        let body = if round % 2 == 0 {
            r#"{"multi_last":["s.>"],"batch":50}"#
        } else {
            r#"{"seq":1,"next_by_subj":"s.>","batch":100}"#
        };
        client.publish("$JS.API.DIRECT.GET.S", Some("_B"), "", body);
        let (mut last, mut subjects) = (0, std::collections::BTreeSet::new());
        loop {
            let message = client.message();
            if message.header.starts_with("NATS/1.0 204 EOB\r\n") {
                assert_eq!(number(&message.header, "Nats-Last-Sequence: "), last);
                break;
            }
            let seq = number(&message.header, "Nats-Sequence: ");
            assert_eq!(number(&message.header, "Nats-Last-Sequence: "), last);
            assert!(seq > last, "in the order of their sequences");
            last = seq;
            subjects.insert(
                message
                    .header
                    .lines()
                    .find(|line| line.starts_with("Nats-Subject: "))
                    .map(str::to_owned),
            );
        }
        assert_eq!(subjects.len(), 50, "each subject once");
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writing.join().expect("it could write");
}

#[test]
fn a_consumer_is_made_in_three_ways() {
    let dir = Dir::new();
    let (_server, mut client) = with_stream(&dir, "");
    let body = |config: &str| format!(r#"{{"stream_name":"S","config":{{{config}}}}}"#);
    let made = client.api("CONSUMER.CREATE.S", body(""));
    assert_eq!(
        made["type"],
        "io.nats.jetstream.api.v1.consumer_create_response"
    );
    assert_eq!(made["name"].as_str().map(str::len), Some(8));
    assert_eq!(made["config"]["inactive_threshold"], 5_000_000_000_u64);
    let durable = r#""durable_name":"d""#;
    let old = client.api("CONSUMER.DURABLE.CREATE.S.d", body(durable));
    assert_eq!(
        (&old["name"], &old["config"]["name"]),
        (&"d".into(), &"d".into())
    );
    let filtered = r#""name":"f","filter_subject":"s.a""#;
    client.api("CONSUMER.CREATE.S.f.s.a", body(filtered));
    for (words, config, code) in [
        ("CREATE.S", durable, 10020),
        ("CREATE.N", "", 10056),
        ("CREATE.S.e", durable, 10017),
        ("CREATE.S.f.s.b", filtered, 10131),
        (
            "CREATE.S.f.s.a",
            r#""name":"f","filter_subjects":["s.a","s.b"]"#,
            10137,
        ),
        ("CREATE.S.a/b", r#""name":"a/b""#, 10127),
        ("DURABLE.CREATE.S.d", "", 10018),
        ("DURABLE.CREATE.S.e", durable, 10017),
    ] {
        let words = format!("CONSUMER.{words}");
        assert_eq!(client.api_error(&words, body(config)), code, "{words}");
    }
    let missing = r#"{"stream_name":"N","config":{}}"#;
    assert_eq!(client.api_error("CONSUMER.CREATE.N", missing), 10059);
    let with = |action: &str, name: &str, more: &str| {
        format!(
            r#"{{"stream_name":"S","action":"{action}","config":{{"durable_name":"{name}"{more}}}}}"#
        )
    };
    client.api("CONSUMER.CREATE.S.n", with("create", "n", ""));
    client.api("CONSUMER.CREATE.S.n", with("create", "n", ""));
    let other = with("create", "n", r#","description":"x""#);
    assert_eq!(client.api_error("CONSUMER.CREATE.S.n", other), 10148);
    let update = with("update", "m", "");
    assert_eq!(client.api_error("CONSUMER.CREATE.S.m", update), 10149);
}

#[test]
fn consumers_are_listed_told_and_deleted() {
    let dir = Dir::new();
    let (_server, mut client) = with_stream(&dir, "");
    client.make_durable("S", "b", "");
    client.make_durable("S", "a", "");
    let names = client.api("CONSUMER.NAMES.S", "");
    assert_eq!(
        names["type"],
        "io.nats.jetstream.api.v1.consumer_names_response"
    );
    assert_eq!(
        (&names["consumers"], &names["limit"]),
        (&json!(["a", "b"]), &1024.into())
    );
    let list = client.api("CONSUMER.LIST.S", r#"{"offset":1}"#);
    assert_eq!(
        list["type"],
        "io.nats.jetstream.api.v1.consumer_list_response"
    );
    assert_eq!(
        (&list["consumers"][0]["name"], &list["total"]),
        (&"b".into(), &2.into())
    );
    let info = client.api("CONSUMER.INFO.S.a", "");
    assert_eq!(
        info["type"],
        "io.nats.jetstream.api.v1.consumer_info_response"
    );
    for number in [
        "num_ack_pending",
        "num_redelivered",
        "num_waiting",
        "num_pending",
    ] {
        assert_eq!(info[number], 0, "{number}");
    }
    assert_eq!(client.api_error("CONSUMER.INFO.S.a", "x"), 10038);
    assert_eq!(client.api_error("CONSUMER.INFO.S.z", ""), 10014);
    let deleted = client.ask("$JS.API.CONSUMER.DELETE.S.a", "");
    assert_eq!(
        deleted.text(),
        r#"{"type":"io.nats.jetstream.api.v1.consumer_delete_response","success":true}"#
    );
    assert_eq!(client.api_error("CONSUMER.DELETE.S.a", ""), 10014);
    let none = client.ask("$JS.API.CONSUMER.NAMES.N", "").json();
    assert_eq!(
        (&none["error"]["err_code"], &none["consumers"]),
        (&10059.into(), &json!([]))
    );
    for words in [
        "CONSUMER.LIST.N",
        "CONSUMER.INFO.N.a",
        "CONSUMER.DELETE.N.a",
    ] {
        assert_eq!(client.api_error(words, ""), 10059, "{words}");
    }
}

#[test]
fn what_is_for_clusters_is_refused_or_left_alone() {
    let dir = Dir::new();
    let (_server, mut client) = with_stream(&dir, "");
    client.make_durable("S", "c", "");
    for words in [
        "STREAM.LEADER.STEPDOWN.S",
        "CONSUMER.LEADER.STEPDOWN.S.c",
        "STREAM.PEER.REMOVE.S",
        "STREAM.CANCEL_MOVE.S",
    ] {
        let answer = client.ask(&format!("$JS.API.{words}"), "").json();
        assert_eq!(answer["error"]["code"], 503, "{words}");
    }
    client.send("SUB _X x\r\n");
    for words in [
        "META.LEADER.STEPDOWN",
        "SERVER.REMOVE",
        "ACCOUNT.PURGE.A",
        "STREAM.TEMPLATE.NAMES",
        "STREAM.INFO.A.B",
        "NOTHING",
    ] {
        client.publish(&format!("$JS.API.{words}"), Some("_X"), "", "");
    }
    // Neither an answer nor a word that nobody is there.
    assert_eq!(client.sync(), "");
}

#[test]
fn a_request_may_name_the_level_it_needs() {
    let dir = Dir::new();
    let (_server, mut client) = with_stream(&dir, "");
    client.make_durable("S", "c", "");
    for level in ["99", "x"] {
        for words in [
            "INFO",
            "STREAM.CREATE.S",
            "STREAM.UPDATE.S",
            "STREAM.NAMES",
            "STREAM.LIST",
            "STREAM.INFO.S",
            "STREAM.DELETE.S",
            "STREAM.PURGE.S",
            "STREAM.MSG.GET.S",
            "STREAM.MSG.DELETE.S",
            "CONSUMER.CREATE.S",
            "CONSUMER.NAMES.S",
            "CONSUMER.LIST.S",
            "CONSUMER.INFO.S.c",
            "CONSUMER.DELETE.S.c",
            "CONSUMER.PAUSE.S.c",
            "CONSUMER.UNPIN.S.c",
            "CONSUMER.RESET.S.c",
        ] {
            let header = format!("Nats-Required-Api-Level: {level}\r\n");
            let answer = client
                .ask_with(&format!("$JS.API.{words}"), &header, "")
                .json();
            let error = &answer["error"];
            assert_eq!(
                (&error["err_code"], &error["code"]),
                (&10185.into(), &412.into()),
                "{words}"
            );
        }
        let header = format!("Nats-Required-Api-Level: {level}\r\n");
        let answer = client.ask_with("$JS.API.CONSUMER.MSG.NEXT.S.c", &header, "1");
        assert_eq!(answer.header, "NATS/1.0 412 Required Api Level\r\n\r\n");
    }
    for level in ["0", "-1", ""] {
        let header = format!("Nats-Required-Api-Level: {level}\r\n");
        let answer = client.ask_with("$JS.API.INFO", &header, "").json();
        assert_eq!(answer["streams"], 1, "{level:?}");
    }
}

/// Also in what a configuration is made of.
#[test]
fn a_key_nobody_knows_is_an_error() {
    let dir = Dir::new();
    let (_server, mut client) = with_stream(&dir, "");
    let text = "invalid JSON: json: unknown field \"Bogus\"";
    let config = |more: &str| format!(r#"{{"name":"T","subjects":["t"],{more}}}"#);
    for (words, body) in [
        ("STREAM.CREATE.T", config(r#""Bogus":1"#)),
        (
            "STREAM.CREATE.T",
            config(r#""mirror":{"name":"S","Bogus":1}"#),
        ),
        (
            "STREAM.CREATE.T",
            config(r#""sources":[{"name":"S","external":{"Bogus":1}}]"#),
        ),
        (
            "STREAM.CREATE.T",
            config(r#""sources":[{"subject_transforms":[{"Bogus":1}]}]"#),
        ),
        ("STREAM.CREATE.T", config(r#""placement":{"Bogus":1}"#)),
        ("STREAM.CREATE.T", config(r#""republish":{"Bogus":1}"#)),
        (
            "STREAM.CREATE.T",
            config(r#""subject_transform":{"Bogus":1}"#),
        ),
        (
            "STREAM.CREATE.T",
            config(r#""consumer_limits":{"Bogus":1}"#),
        ),
        ("STREAM.UPDATE.S", r#"{"name":"S","Bogus":1}"#.to_owned()),
        (
            "CONSUMER.CREATE.S.n",
            r#"{"stream_name":"S","Bogus":1}"#.to_owned(),
        ),
        (
            "CONSUMER.CREATE.S.n",
            r#"{"stream_name":"S","config":{"Bogus":1}}"#.to_owned(),
        ),
        ("STREAM.NAMES", r#"{"Bogus":1}"#.to_owned()),
        ("STREAM.LIST", r#"{"Bogus":1}"#.to_owned()),
        ("STREAM.INFO.S", r#"{"Bogus":1}"#.to_owned()),
        ("STREAM.PURGE.S", r#"{"Bogus":1}"#.to_owned()),
        ("STREAM.MSG.GET.S", r#"{"Bogus":1}"#.to_owned()),
        ("STREAM.MSG.DELETE.S", r#"{"Bogus":1}"#.to_owned()),
        ("CONSUMER.NAMES.S", r#"{"Bogus":1}"#.to_owned()),
        ("CONSUMER.LIST.S", r#"{"Bogus":1}"#.to_owned()),
        ("CONSUMER.PAUSE.S.n", r#"{"Bogus":1}"#.to_owned()),
    ] {
        assert_eq!(
            refusal(&mut client, words, &body),
            (10025, text.to_owned()),
            "{words} {body}"
        );
    }
}

#[test]
fn a_server_that_is_not_strict_passes_over_what_nobody_knows() {
    let dir = Dir::new();
    let file = dir.path().join("midge.conf");
    std::fs::write(&file, "jetstream { strict: false }").expect("it can be written");
    let server = dir.serve_with(&["--config", file.to_str().expect("a name")]);
    let mut client = server.client();
    let unknown = "\"Bogus\":1,\"consumer_limits\":{\"Bogus\":{}}";
    client.make_stream("S", "s.>", unknown);
    client.make_durable("S", "c", "\"Bogus\":[]");
    for words in [
        "STREAM.NAMES",
        "STREAM.LIST",
        "STREAM.INFO.S",
        "STREAM.PURGE.S",
        "CONSUMER.NAMES.S",
        "CONSUMER.LIST.S",
        "CONSUMER.PAUSE.S.c",
    ] {
        client.api(words, "{\"Bogus\":1}");
    }
    assert_eq!(
        client.api_error("STREAM.MSG.GET.S", "{\"seq\":1,\"Bogus\":1}"),
        10037
    );
    // What has the wrong type is an error as ever.
    assert_eq!(
        client.api_error("STREAM.PURGE.S", "{\"keep\":\"x\"}"),
        10025
    );
}
