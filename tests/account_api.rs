//! The stream API of an account that another has imported, under its own names.

use crate::stream_util::Dir;
use crate::util::{Client, File, Server};

/// The account with the streams, and what another imports of it.
fn conf(streams: &str, more: &str, imports: &[&str]) -> String {
    let imports: Vec<String> = imports
        .iter()
        .map(|import| {
            let (subject, to) = import.split_once(" to ").unwrap_or((import, import));
            format!("{{ service: {{ account: A, subject: {subject:?} }}, to: {to:?} }}")
        })
        .collect();
    format!(
        r#"jetstream {{ {more} }}
        accounts {{
          A {{
            users: [ {{ user: a, password: p }} ], jetstream: enabled
            exports: [
              {{ service: "$JS.API.>", response_type: stream }}
              {{ service: "$JS.cellar.API.>", response_type: stream }}
              {{ service: "$JS.ACK.>" }}
              {{ service: "put.>" }}
              {{ stream: "deliver.>" }}
            ]
          }}
          C {{
            users: [ {{ user: c, password: p }} ], jetstream: {streams}
            imports: [
              {}
              {{ stream: {{ account: A, subject: "deliver.>" }} }}
            ]
          }}
        }}"#,
        imports.join("\n")
    )
}

fn serve(dir: &Dir, conf: &str) -> (Server, File) {
    let file = File::new("account-api", conf);
    let server = dir.serve_with(&["--config", file.path()]);
    (server, file)
}

/// Makes what the other account looks at.
fn fill(server: &Server) -> Client {
    let mut a = server.enter("a", "p");
    a.make_stream("S", "put.>", r#""allow_direct":true"#);
    a.make_durable("S", "d", "");
    for body in ["one", "two"] {
        a.store("put.x", body);
    }
    a
}

/// All that is answered at once: the streams that it names, or the error's
/// code, or the status.
fn answers(client: &mut Client, subject: &str) -> Vec<String> {
    client.send(format!(
        "SUB _INBOX.all all\r\nPUB {subject} _INBOX.all 0\r\n\r\nUNSUB all\r\n"
    ));
    let all = client.sync();
    let bodies = all.split("MSG _INBOX.all all ").skip(1);
    let told = bodies.map(|answer| {
        let (line, rest) = answer.split_once("\r\n").unwrap();
        if let Some(status) = rest.strip_prefix("NATS/1.0 ") {
            return status[..3].to_owned();
        }
        let len: usize = line.parse().unwrap();
        let json: serde_json::Value = serde_json::from_str(&rest[..len]).unwrap();
        let config = &json["config"]["name"];
        match (&json["error"]["err_code"], &json["streams"]) {
            (serde_json::Value::Null, streams) if streams.is_null() => config.to_string(),
            (serde_json::Value::Null, streams) => streams.to_string(),
            (code, _) => code.to_string(),
        }
    });
    told.collect()
}

/// Every row: what is asked, and all that is answered.
#[track_caller]
fn check(client: &mut Client, rows: &[(&str, &[&str])]) {
    for (words, wanted) in rows {
        assert_eq!(answers(client, words), *wanted, "{words}");
    }
}

#[test]
fn who_imports_the_api_is_answered_once() {
    let dir = Dir::new();
    let imports = ["$JS.API.>", "$JS.ACK.>", "put.>"];
    let (server, _file) = serve(&dir, &conf("disabled", "", &imports));
    let _a = fill(&server);
    let mut c = server.enter("c", "p");
    check(
        &mut c,
        &[
            ("$JS.API.INFO", &["1"]),
            ("$JS.API.STREAM.NAMES", &[r#"["S"]"#]),
            ("$JS.API.STREAM.INFO.S", &[r#""S""#]),
            ("$JS.API.STREAM.INFO.T", &["10059"]),
            ("$JS.API.DIRECT.GET.T", &["503"]),
            ("$JS.API.CONSUMER.MSG.NEXT.S.none", &["503"]),
            ("$JS.API.NOPE", &[]),
        ],
    );
    // A client has all that it needs.
    c.make_stream("T", "deliver.t", "");
    assert_eq!(c.ask("$JS.API.DIRECT.GET.S.put.x", "").text(), "two");
    let message = c.next("S", "d");
    assert_eq!(message.text(), "one");
    c.confirm(message.ack(), "");
    let info = c.api("CONSUMER.INFO.S.d", "");
    assert_eq!(info["ack_floor"]["stream_seq"], 1);
    c.send("SUB deliver.me push\r\n");
    let push = r#"{"stream_name":"S","config":{"deliver_subject":"deliver.me","name":"p"}}"#;
    c.send(format!(
        "PUB $JS.API.CONSUMER.CREATE.S.p {}\r\n{push}\r\n",
        push.len()
    ));
    assert_eq!(
        (c.message().text(), c.message().text()),
        ("one".into(), "two".into())
    );
}

/// An account that is asked hears of the account that asks, and not of its clients.
#[test]
fn who_is_asked_is_told_which_account_asks() {
    let dir = Dir::new();
    let (server, _file) = serve(&dir, &conf("disabled", "", &["$JS.API.>"]));
    let mut a = fill(&server);
    a.send("SUB $JS.EVENT.ADVISORY.API audit\r\n");
    a.sync();
    let mut c = server.enter("c", "p");
    let mut audited = |client: &mut Client, words: &str| {
        client.api(words, "");
        let mut told = a.message().json()["client"].take();
        assert!(told["server"].is_string(), "{told}");
        let told = told.as_object_mut().unwrap();
        // What is known once it was pinged, and what each server has of its own.
        told.retain(|key, _| !["rtt", "server"].contains(&&**key));
        serde_json::Value::from(std::mem::take(told))
    };
    let by_c = audited(&mut c, "STREAM.NAMES");
    assert_eq!(by_c, serde_json::json!({"acc": "C", "svc": "A"}));
    let mut other = server.enter("a", "p");
    let by_a = audited(&mut other, "STREAM.NAMES");
    assert_eq!(
        (&by_a["acc"], &by_a["user"], &by_a["svc"]),
        (&"A".into(), &"a".into(), &serde_json::Value::Null)
    );
}

/// Who imports a part with INFO has that part, who imports one without has a refusal
/// beside it; both as with nats-server.
#[test]
fn a_part_of_the_api_is_all_there_is_where_info_is_in_it() {
    let dir = Dir::new();
    let part = ["$JS.API.STREAM.INFO.S", "$JS.API.DIRECT.GET.S"];
    let (server, file) = serve(&dir, &conf("disabled", "", &part));
    let _a = fill(&server);
    let mut c = server.enter("c", "p");
    check(
        &mut c,
        &[
            ("$JS.API.INFO", &["10039"]),
            ("$JS.API.STREAM.INFO.S", &["10039", r#""S""#]),
            ("$JS.API.STREAM.NAMES", &["10039"]),
        ],
    );
    let with_info = [
        (&["$JS.API.INFO"], "1"),
        (&["$JS.API.*"], "1"),
        // By other names it is nothing to the account's own.
        (&["$JS.API.INFO to other.INFO"], "10039"),
    ];
    for (more, info) in with_info {
        let mut imports = part.to_vec();
        imports.extend(more);
        file.replace(&conf("disabled", "", &imports));
        server.signal("HUP");
        let (names, only) = match info {
            "1" => ("503", &[r#""S""#][..]),
            _ => ("10039", &["10039", r#""S""#][..]),
        };
        while answers(&mut c, "$JS.API.INFO") != [info] {}
        check(
            &mut c,
            &[
                ("$JS.API.STREAM.NAMES", &[names]),
                ("$JS.API.STREAM.INFO.S", only),
            ],
        );
    }
}

#[test]
fn an_account_with_streams_keeps_its_api() {
    let dir = Dir::new();
    let (server, _file) = serve(
        &dir,
        &conf("enabled", "", &["$JS.API.INFO", "$JS.API.STREAM.INFO.S"]),
    );
    let _a = fill(&server);
    let mut c = server.enter("c", "p");
    c.make_stream("OWN", "own", "");
    check(
        &mut c,
        &[
            ("$JS.API.INFO", &["1", "1"]),
            ("$JS.API.STREAM.NAMES", &[r#"["OWN"]"#]),
            ("$JS.API.STREAM.INFO.S", &["10059", r#""S""#]),
        ],
    );
}

/// The domain's name is one for what an account has itself, and for nothing where it
/// leaves its API to another.
#[test]
fn the_domain_leads_to_no_other_account() {
    let dir = Dir::new();
    let domain = "domain: cellar";
    let by_domain = ["$JS.cellar.API.>"];
    let (server, file) = serve(&dir, &conf("enabled", domain, &by_domain));
    let _a = fill(&server);
    let mut c = server.enter("c", "p");
    check(
        &mut c,
        &[
            ("$JS.cellar.API.STREAM.INFO.S", &["10059"]),
            ("$JS.cellar.API.DIRECT.GET.S", &["503"]),
        ],
    );
    drop((server, file));
    let (server, file) = serve(&dir, &conf("disabled", domain, &["$JS.API.>"]));
    let mut c = server.enter("c", "p");
    check(
        &mut c,
        &[
            ("$JS.cellar.API.INFO", &["503"]),
            ("$JS.API.STREAM.NAMES", &[r#"["S"]"#]),
        ],
    );
    let both = ["$JS.API.>", "$JS.cellar.API.>"];
    file.replace(&conf("disabled", domain, &both));
    server.signal("HUP");
    while answers(&mut c, "$JS.cellar.API.INFO") != ["1"] {}
    file.replace(&conf("disabled", domain, &by_domain));
    server.signal("HUP");
    while answers(&mut c, "$JS.cellar.API.INFO") != ["10039"] {}
}
