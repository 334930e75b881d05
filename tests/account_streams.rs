//! Streams of several accounts in one server, and what each may take.

use crate::stream_util::Dir;
use crate::util::{Client, File, Server};
use serde_json::json;

const CONF: &str = r#"
accounts {
  A {
    users: [ { user: a, password: p } ], jetstream: enabled
    exports: [
      { service: "$JS.API.>", response_type: stream }
      { service: "$JS.ACK.>" }
      { service: "put.>" }
      { stream: "deliver.>" }
    ]
  }
  B { users: [ { user: b, password: p } ], jetstream: enabled }
  C {
    users: [ { user: c, password: p } ]
    imports: [
      { service: { account: A, subject: "$JS.API.>" }, to: "A.API.>" }
      { service: { account: A, subject: "$JS.ACK.>" } }
      { service: { account: A, subject: "put.>" } }
      { stream: { account: A, subject: "deliver.>" } }
    ]
  }
  SYS { users: [ { user: s, password: p } ] }
}
system_account: SYS
"#;

const SMALL: &str = r#"
accounts {
  A {
    users: [ { user: a, password: p } ]
    jetstream {
      max_mem: 500, max_file: 1000, max_streams: 3, max_consumers: 1, max_ack_pending: 5
      memory_max_stream_bytes: 400, store_max_stream_bytes: 900
    }
  }
}
"#;

/// Has the server read another configuration, and waits until it goes by that.
fn reload(server: &Server, file: &File, conf: &str, client: &mut Client, max_file: i64) {
    std::fs::write(file.path(), conf).unwrap();
    server.signal("HUP");
    while client.api("INFO", "")["limits"]["max_storage"] != max_file {}
}

fn serve(dir: &Dir, conf: &str) -> (Server, File) {
    let file = File::new("account-streams", conf);
    let server = dir.serve_with(&["--config", file.path(), "--http-port", "0"]);
    (server, file)
}

#[test]
fn streams_of_one_name_are_two_in_two_accounts() {
    let dir = Dir::new();
    let (server, _file) = serve(&dir, CONF);
    let (mut a, mut b) = (server.enter("a", "p"), server.enter("b", "p"));
    for client in [&mut a, &mut b] {
        client.make_stream("ORDERS", "orders.>", "");
        client.make_durable("ORDERS", "work", "");
    }
    assert_eq!(a.store("orders.1", "of a"), 1);
    assert_eq!(a.store("orders.1", "of a"), 2);
    assert_eq!(b.store("orders.1", "of b"), 1);
    assert_eq!(b.next("ORDERS", "work").text(), "of b");
    assert!(b.next_now("ORDERS", "work").is_none());
    let ack = a.next("ORDERS", "work");
    // What b says of it is of its own message.
    b.confirm(ack.ack(), "+ACK");
    let info = a.api("CONSUMER.INFO.ORDERS.work", "");
    assert_eq!(info["num_ack_pending"], 1);
    for (client, messages) in [(&mut a, 2), (&mut b, 1)] {
        assert_eq!(client.state("ORDERS")["messages"], messages);
        let info = client.api("INFO", "");
        assert_eq!(
            (&info["streams"], &info["consumers"]),
            (&json!(1), &json!(1))
        );
        assert_eq!(client.api("STREAM.NAMES", "")["total"], 1);
    }
    b.api("STREAM.DELETE.ORDERS", "");
    assert_eq!(b.api_error("STREAM.INFO.ORDERS", ""), 10059);
    assert_eq!(a.state("ORDERS")["messages"], 2);
    let jsz = server.json("/jsz?accounts=1&streams=1");
    assert_eq!(jsz["accounts"], 2);
    let named = |name: &str| {
        let all = jsz["account_details"].as_array().unwrap().clone();
        all.into_iter().find(|one| one["name"] == name).unwrap()
    };
    assert_eq!(named("A")["stream_detail"][0]["state"]["messages"], 2);
    assert_eq!(named("B")["stream_detail"], json!([]));
    let (_, metrics) = server.get("/metrics");
    let series = "midge_stream_messages{account=\"A\",stream=\"ORDERS\"} 2\n";
    assert!(metrics.contains(series), "{metrics}");
}

#[test]
fn an_account_without_streams_is_told_so() {
    let dir = Dir::new();
    let (server, _file) = serve(&dir, CONF);
    for user in ["c", "s"] {
        let mut client = server.enter(user, "p");
        assert_eq!(client.api_error("INFO", ""), 10039);
        assert_eq!(
            client.api_error("STREAM.CREATE.S", r#"{"name":"S"}"#),
            10039
        );
        let answer = client.ask("$MIDGE.API.DLQ.LIST", "{}");
        assert_eq!(answer.json()["error"]["err_code"], 10039);
    }
    // One that is not there has nobody to ask.
    let mut c = server.enter("c", "p");
    c.send("SUB _INBOX.1 1\r\nPUB $JS.API.CONSUMER.MSG.NEXT.S.c _INBOX.1 0\r\n\r\n");
    assert!(c.sync().contains("503"));
}

#[test]
fn what_is_about_all_accounts_is_the_operators() {
    let dir = Dir::new();
    let (server, _file) = serve(&dir, CONF);
    let (mut a, mut s) = (server.enter("a", "p"), server.enter("s", "p"));
    for subject in ["$MIDGE.API.VERIFY", "$MIDGE.API.BACKUP"] {
        let answer = a.ask(subject, "").json();
        assert_eq!(answer["error"]["code"], 403, "{subject}");
        assert!(s.ask(subject, "").json()["error"].is_null(), "{subject}");
    }
}

#[test]
fn dead_letters_and_their_stories_stay_in_their_account() {
    let dir = Dir::new();
    let (server, _file) = serve(&dir, CONF);
    let (mut a, mut b) = (server.enter("a", "p"), server.enter("b", "p"));
    for client in [&mut a, &mut b] {
        client.make_stream("S", "s.>", "");
        client.make_durable("S", "c", "\"max_deliver\":1");
    }
    a.store("s.x", "bad");
    let message = a.next("S", "c");
    a.confirm(message.ack(), "-NAK");
    assert_eq!(a.state("DLQ")["messages"], 1);
    assert_eq!(b.api_error("STREAM.INFO.DLQ", ""), 10059);
    let count = |client: &mut Client| {
        let list = client.ask("$MIDGE.API.DLQ.LIST", "{}").json();
        list["letters"].as_array().unwrap().len()
    };
    assert_eq!((count(&mut a), count(&mut b)), (1, 0));
    let why = r#"{"stream":"S","seq":1}"#;
    let told = a.ask("$MIDGE.API.WHY", why).json();
    assert_eq!(told["consumers"][0]["state"], "dead");
    assert_eq!(b.ask("$MIDGE.API.WHY", why).json()["state"], "never");
    let redrive = a.ask("$MIDGE.API.DLQ.REDRIVE", r#"{"all":true}"#).json();
    assert_eq!(redrive["redriven"], 1, "{redrive}");
    let id = redrive["id"].as_u64().unwrap();
    let other = b.ask("$MIDGE.API.DLQ.REDRIVE", format!("{{\"id\":{id}}}"));
    assert!(!other.json()["error"].is_null());
    assert_eq!(a.next("S", "c").text(), "bad");
}

#[test]
fn streams_stay_with_their_accounts_and_wait_for_those_that_are_gone() {
    let dir = Dir::new();
    let (mut server, file) = serve(&dir, CONF);
    for user in ["a", "b"] {
        let mut client = server.enter(user, "p");
        client.make_stream("S", "s", "");
        client.make_durable("S", "c", "");
        assert_eq!(client.store("s", user), 1);
    }
    let stop = |server: &mut Server| {
        server.signal("TERM");
        assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    };
    stop(&mut server);
    drop(file);
    let (mut server, file) = serve(&dir, CONF);
    for user in ["a", "b"] {
        assert_eq!(server.enter(user, "p").next("S", "c").text(), user);
    }
    stop(&mut server);
    drop(file);
    // Without B, what is its own is there and nobody's.
    let without = "accounts { A { users: [{user: a, password: p}], jetstream: enabled } }";
    let (mut server, file) = serve(&dir, without);
    server.wait_log("account B has 1 stream here and may have none now");
    let mut a = server.enter("a", "p");
    assert_eq!(a.api("STREAM.NAMES", "")["total"], 1);
    a.make_stream("T", "t", "");
    assert_eq!(a.store("t", "new"), 1);
    stop(&mut server);
    drop(file);
    // And without any accounts, too.
    let mut server = dir.serve();
    server.wait_log("account A has 2 streams here");
    let mut client = server.client();
    assert_eq!(client.api("STREAM.NAMES", "")["total"], 0);
    client.make_stream("S", "s", "");
    stop(&mut server);
    let (server, _file) = serve(&dir, CONF);
    server.wait_log("account $G has 1 stream here");
    let mut b = server.enter("b", "p");
    assert_eq!(b.state("S")["messages"], 1);
    assert_eq!(b.api("CONSUMER.INFO.S.c", "")["num_ack_pending"], 1);
    assert_eq!(server.enter("a", "p").state("T")["messages"], 1);
}

#[test]
fn streams_are_reached_through_imports() {
    let dir = Dir::new();
    let (server, _file) = serve(&dir, CONF);
    let mut c = server.enter("c", "p");
    let api = |c: &mut Client, words: &str, body: &str| {
        let answer = c.ask(&format!("A.API.{words}"), body).json();
        assert!(answer["error"].is_null(), "{words}: {answer}");
        answer
    };
    api(
        &mut c,
        "STREAM.CREATE.S",
        r#"{"name":"S","subjects":["put.>"]}"#,
    );
    for seq in 1..=2 {
        assert_eq!(c.ask("put.x", "hello").json()["seq"], seq);
    }
    let consumer = r#"{"stream_name":"S","config":{"durable_name":"c","ack_policy":"explicit"}}"#;
    api(&mut c, "CONSUMER.DURABLE.CREATE.S.c", consumer);
    c.send("SUB _INBOX.pull.> 1\r\nPUB A.API.CONSUMER.MSG.NEXT.S.c _INBOX.pull.1 11\r\n{\"batch\":2}\r\n");
    let (first, second) = (c.message(), c.message());
    assert_eq!((&*first.subject, first.text()), ("put.x", "hello".into()));
    assert!(second.ack().starts_with("$JS.ACK.S.c.1.2."));
    c.confirm(first.ack(), "");
    let info = api(&mut c, "CONSUMER.INFO.S.c", "");
    assert_eq!(info["ack_floor"]["stream_seq"], 1);
    // A consumer that pushes knows whether anybody listens there.
    let push =
        r#"{"stream_name":"S","config":{"durable_name":"p","deliver_subject":"deliver.me"}}"#;
    let made = api(&mut c, "CONSUMER.DURABLE.CREATE.S.p", push);
    assert!(made["push_bound"].is_null());
    c.send("SUB deliver.me 2\r\n");
    assert_eq!((&*c.message().sid, &*c.message().sid), ("2", "2"));
    // In its own account there is nothing.
    assert_eq!(c.api_error("STREAM.INFO.S", ""), 10039);
}

#[test]
fn an_account_takes_what_its_limits_allow() {
    let dir = Dir::new();
    let (server, _file) = serve(&dir, SMALL);
    let mut a = server.enter("a", "p");
    let info = a.api("INFO", "");
    let limits = json!({
        "max_memory": 500, "max_storage": 1000, "max_streams": 3, "max_consumers": 1,
        "max_ack_pending": 5, "memory_max_stream_bytes": 400, "storage_max_stream_bytes": 900,
        "max_bytes_required": false,
    });
    assert_eq!(info["limits"], limits);
    let make =
        |name: &str, more: &str| format!(r#"{{"name":"{name}","subjects":["{name}"]{more}}}"#);
    for (name, more, error) in [
        ("F", "", None),
        ("M", r#","storage":"memory""#, None),
        ("X", r#","max_bytes":901"#, Some(10122)),
        ("X", r#","max_bytes":401,"storage":"memory""#, Some(10122)),
        ("X", r#","max_bytes":800"#, None),
        ("Y", "", Some(10027)),
    ] {
        let words = format!("STREAM.CREATE.{name}");
        match error {
            Some(error) => assert_eq!(a.api_error(&words, make(name, more)), error, "{more}"),
            None => drop(a.api(&words, make(name, more))),
        }
    }
    let update = make("F", r#","max_bytes":201"#);
    assert_eq!(a.api_error("STREAM.UPDATE.F", update), 10047);
    let body = "a".repeat(300);
    for _ in 0..3 {
        a.store("F", &body);
    }
    let full =
        |a: &mut Client, subject: &str| a.ask(subject, &body).json()["error"]["err_code"] == 10002;
    assert!(full(&mut a, "F") && full(&mut a, "X"));
    a.store("M", &body);
    assert!(full(&mut a, "M"));
    let info = a.api("INFO", "");
    assert_eq!(
        (&info["memory"], &info["storage"]),
        (&json!(317), &json!(993))
    );
    assert_eq!(info["reserved_storage"], 800);
    // What is gone makes room.
    a.api("STREAM.PURGE.F", r#"{"keep":2}"#);
    a.store("X", &body);
    assert!(full(&mut a, "X"));
    let consumer = |more: &str| {
        format!(
            r#"{{"stream_name":"F","config":{{"durable_name":"c","ack_policy":"explicit"{more}}}}}"#
        )
    };
    let words = "CONSUMER.DURABLE.CREATE.F.c";
    let too_many = consumer(r#","max_ack_pending":6"#);
    assert_eq!(a.api_error(words, too_many), 10121);
    let made = a.api(words, consumer(""));
    assert_eq!(made["config"]["max_ack_pending"], 5);
    let other = consumer("").replace("\"c\"", "\"d\"");
    assert_eq!(a.api_error("CONSUMER.DURABLE.CREATE.F.d", other), 10026);
}

#[test]
fn what_is_refused_takes_nothing_of_the_limit() {
    let dir = Dir::new();
    let (server, _file) = serve(&dir, SMALL);
    let mut a = server.enter("a", "p");
    a.make_stream("F", "f", r#""max_msg_size":100"#);
    for _ in 0..4 {
        let refused = a.ask("f", "a".repeat(300)).json();
        assert_eq!(refused["error"]["err_code"], 10054);
    }
    // The same once more is not stored either.
    for _ in 0..20 {
        assert_eq!(
            a.store_with("f", "NATS/1.0\r\nNats-Msg-Id: 1\r\n\r\n", "a"),
            1
        );
    }
    assert_eq!(a.store("f", "a".repeat(90)), 2);
}

#[test]
fn what_came_without_a_limit_counts_once_there_is_one() {
    let dir = Dir::new();
    let (server, file) = serve(&dir, SMALL);
    let mut a = server.enter("a", "p");
    a.make_stream("F", "f", "");
    let body = "a".repeat(300);
    a.store("f", &body);
    let boundless = SMALL.replace("max_file: 1000", "max_file: -1");
    reload(&server, &file, &boundless, &mut a, -1);
    for _ in 0..3 {
        a.store("f", &body);
    }
    reload(&server, &file, SMALL, &mut a, 1000);
    assert_eq!(a.ask("f", &body).json()["error"]["err_code"], 10002);
}
