//! Message tracing: who gets a message, told where its headers say.

use crate::util::{Client, File, Server};
use serde_json::{Value, json};

/// Sends a message with these headers, each with its line end.
fn publish(client: &mut Client, subject: &str, headers: &str, body: &str) {
    let block = format!("NATS/1.0\r\n{headers}\r\n");
    let (len, total) = (block.len(), block.len() + body.len());
    client.send(format!("HPUB {subject} {len} {total}\r\n{block}{body}\r\n"));
}

/// The next trace, which comes without headers and before anything else, with
/// names in place of what differs from run to run.
#[track_caller]
fn trace(client: &mut Client) -> Value {
    let line = client.line();
    let words: Vec<&str> = line.split(' ').collect();
    assert!(words[0] == "MSG" && words.len() == 4, "no trace: {line}");
    let len = words[3].parse().expect("a size");
    let mut told: Value = serde_json::from_slice(&client.bytes(len)).expect("JSON");
    client.expect("\r\n");
    for event in told["events"].as_array_mut().expect("events") {
        let event = event.as_object_mut().expect("an event");
        let at = event.remove("ts").expect("a time");
        let at = at.as_str().expect("text");
        assert!(at.starts_with("20") && at.ends_with('Z'), "{at}");
        event.remove("cid");
    }
    told
}

/// The same without what the first event says, which is alike in most.
#[track_caller]
fn ways(client: &mut Client) -> Vec<Value> {
    let told = trace(client);
    let events = told["events"].as_array().expect("events");
    assert_eq!(events[0]["type"], "in", "{told}");
    events[1..].to_vec()
}

/// A client of this name.
fn named(server: &Server, name: &str) -> Client {
    let mut client = server.connect();
    client.send(format!(
        "CONNECT {{\"verbose\":false,\"headers\":true,\"no_responders\":true,\"name\":\"{name}\"}}\r\n"
    ));
    assert_eq!(client.sync(), "");
    client
}

#[track_caller]
fn subscribe(client: &mut Client, what: &str) {
    client.send(format!("SUB {what} 1\r\n"));
    assert_eq!(client.sync(), "");
}

fn egress(name: &str, filter: &str) -> Value {
    json!({"type": "eg", "kind": 0, "name": name, "sub": filter})
}

const DEST: &str = "Nats-Trace-Dest: tr\r\n";

const ONLY: &str = "Nats-Trace-Dest: tr\r\nNats-Trace-Only: true\r\n";

#[test]
fn all_receivers_are_told() {
    let server = Server::start();
    let (mut watcher, mut publisher) = (server.client(), named(&server, "p"));
    subscribe(&mut watcher, "tr");
    let (mut plain, mut member) = (named(&server, "plain"), named(&server, "member"));
    subscribe(&mut plain, "s.*");
    subscribe(&mut member, "s.> group");
    let headers = "b: 1\r\nA:\t<two> \r\nEmpty:\r\nb: 3\r\nNats-Trace-Dest: tr\r\n";
    publish(&mut publisher, "s.x", headers, "body");
    let told = trace(&mut watcher);
    let keys: Vec<&String> = told.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["events", "request", "server"]);
    let request = json!({
        "header": {"A": ["<two>"], "Nats-Trace-Dest": ["tr"], "b": ["1", "3"]},
        "msgsize": "NATS/1.0\r\n\r\nbody".len() + headers.len(),
    });
    assert_eq!(told["request"], request);
    let mut of_group = egress("member", "s.>");
    of_group["queue"] = json!("group");
    let first = json!({"type": "in", "kind": 0, "name": "p", "acc": "$G", "subj": "s.x"});
    let events = json!([first, egress("plain", "s.*"), of_group]);
    assert_eq!(told["events"], events);
    let server_info = &told["server"];
    assert!(
        publisher
            .info
            .contains(server_info["id"].as_str().expect("an id"))
    );
    assert_eq!(server_info["seq"], 1);
    let got = format!(
        "HMSG s.x 1 {} {}\r\n",
        headers.len() + 12,
        headers.len() + 16
    );
    for client in [&mut plain, &mut member] {
        client.expect(&got);
        client.expect(format!("NATS/1.0\r\n{headers}\r\nbody\r\n"));
    }
    publish(&mut publisher, "s.y", DEST, "");
    assert_eq!(trace(&mut watcher)["server"]["seq"], 2);
}

#[test]
fn what_is_only_traced_reaches_nobody() {
    let server = Server::start();
    let (mut watcher, mut publisher) = (server.client(), named(&server, "p"));
    subscribe(&mut watcher, "tr");
    let mut receiver = named(&server, "r");
    receiver.send("SUB s.* 1\r\nUNSUB 1 5\r\n");
    assert_eq!(receiver.sync(), "");
    for yes in ["1", "true", "ON", " True "] {
        let headers = format!("Nats-Trace-Dest: tr\r\nNats-Trace-Only: {yes}\r\n");
        publish(&mut publisher, "s.x", &headers, "no");
        assert_eq!(ways(&mut watcher), [egress("r", "s.*")], "{yes}");
    }
    assert_eq!(receiver.sync(), "");
    // It did not count, either.
    for no in [
        "yes",
        "0",
        "false",
        "",
        "true\r\nNats-Trace-Dest: trace disabled",
    ] {
        let headers = format!("Nats-Trace-Only: {no}\r\nNats-Trace-Dest: tr\r\n");
        publish(&mut publisher, "s.x", &headers, no);
        let got = receiver.line();
        assert!(got.starts_with("HMSG s.x 1 "), "{no}: {got}");
        let len = got.rsplit(' ').next().and_then(|len| len.parse().ok());
        receiver.bytes(len.expect("a size"));
        receiver.expect("\r\n");
        if !no.contains("disabled") {
            assert_eq!(ways(&mut watcher), [egress("r", "s.*")], "{no}");
        }
    }
    publish(&mut publisher, "s.x", DEST, "over");
    assert_eq!(ways(&mut watcher), [json!(null); 0]);
}

/// Names are told by case, and the block has to be one of headers alone.
#[test]
fn what_does_not_ask_is_not_traced() {
    let server = Server::start();
    let mut client = server.client();
    client.send("SUB > 1\r\n");
    for block in [
        "NATS/1.0\r\nnats-trace-dest: tr\r\nNats-Trace-Only: 1\r\n\r\n",
        "NATS/1.0\r\nNats-Trace-Only: 1\r\n\r\n",
        "NATS/1.0\r\nX-Nats-Trace-Dest: tr\r\n\r\n",
        "NATS/1.0\r\nNats-Trace-Dest : tr\r\n\r\n",
        "NATS/1.0\r\nNats-Trace-Dest:\r\n\r\n",
        "NATS/1.0\r\nA: 1\nNats-Trace-Dest: tr\r\n\r\n",
        "NATS/1.0\r\nno header\r\nNats-Trace-Dest: tr\r\n\r\n",
        "NATS/1.0 503\r\nNats-Trace-Dest: tr\r\n\r\n",
        "NATS/1.0\r\nNats-Trace-Dest: tr.*\r\n\r\n",
        "NATS/1.0\r\nNats-Trace-Dest: tr..a\r\n\r\n",
        "NATS/1.0\r\nNats-Trace-Dest: t r\r\n\r\n",
        "NATS/1.0\r\nNats-Trace-Dest: trace disabled\r\nNats-Trace-Only: 1\r\n\r\n",
        "NATS/1.0\r\nNats-Trace-Dest: tr\r\nNats-Trace-Origin-Account: A\r\n\r\n",
    ] {
        let len = block.len();
        client.send(format!("HPUB s {len} {len}\r\n{block}\r\n"));
        assert_eq!(
            client.sync(),
            format!("HMSG s 1 {len} {len}\r\n{block}\r\n")
        );
    }
    // What was only to be traced and cannot be is dropped.
    for more in ["", "Nats-Trace-Origin-Account: A\r\n"] {
        let dest = if more.is_empty() { "tr.*" } else { "tr" };
        let headers = format!("Nats-Trace-Dest: {dest}\r\nNats-Trace-Only: 1\r\n{more}");
        publish(&mut client, "s", &headers, "");
        assert_eq!(client.sync(), "");
    }
}

#[test]
fn who_gets_nothing_is_told_with_the_reason() {
    let server = Server::start();
    let mut watcher = server.client();
    subscribe(&mut watcher, "tr");
    let mut publisher = server.connect();
    publisher.send(
        "CONNECT {\"verbose\":false,\"headers\":true,\"echo\":false,\"no_responders\":true}\r\n\
        SUB s.x 1\r\nSUB s.> group 2\r\nSUB tr 3\r\n",
    );
    publish(&mut publisher, "s.x", DEST, "");
    let why = "Not delivered because of no echo";
    let mut of_group = json!({"type": "eg", "kind": 0, "sub": "s.>", "queue": "group"});
    of_group["error"] = json!(why);
    let plain = json!({"type": "eg", "kind": 0, "sub": "s.x", "error": why});
    let wanted = [plain, of_group];
    assert_eq!(ways(&mut watcher), wanted);
    // The trace is the server's, and no echo.
    assert_eq!(ways(&mut publisher), wanted);
}

#[test]
fn nobody_is_told_and_traced() {
    let server = Server::start();
    let (mut watcher, mut publisher) = (server.client(), server.client());
    subscribe(&mut watcher, "tr");
    subscribe(&mut publisher, "inbox.*");
    for headers in [DEST, ONLY] {
        let block = format!("NATS/1.0\r\n{headers}\r\n");
        let len = block.len();
        publisher.send(format!("HPUB none inbox.a {len} {len}\r\n{block}\r\n"));
        publisher.expect("HMSG inbox.a 1 36 36\r\nNATS/1.0 503\r\nNats-Subject: none\r\n\r\n\r\n");
        assert_eq!(ways(&mut watcher), [json!(null); 0]);
    }
    // Somebody would have got it, though nobody does.
    let mut service = named(&server, "s");
    subscribe(&mut service, "some");
    let block = format!("NATS/1.0\r\n{ONLY}\r\n");
    let len = block.len();
    publisher.send(format!("HPUB some inbox.a {len} {len}\r\n{block}\r\n"));
    assert_eq!(ways(&mut watcher), [egress("s", "some")]);
    assert_eq!(publisher.sync(), "");
    assert_eq!(service.sync(), "");
}

/// Who asks for it packed is told that it is not.
#[test]
fn a_trace_is_sent_as_it_is() {
    let server = Server::start();
    let mut client = server.client();
    client.send("SUB tr 1\r\n");
    let headers = "Nats-Trace-Dest: tr\r\nAccept-Encoding: gzip\r\n";
    publish(&mut client, "s", headers, "");
    let line = client.line();
    assert!(line.starts_with("HMSG tr 1 40 "), "{line}");
    client.expect("NATS/1.0\r\nContent-Encoding: identity\r\n\r\n{\"server\":{");
}

const CONF: &str = r#"
accounts {
  A {
    users: [
      { user: a, password: p }
      { user: bound, password: p, permissions {
        publish: ["tr", "s.*"], subscribe: { deny: "s.secret" }
      } }
    ]
    exports: [
      { stream: "out.>" }
      { service: "closed" }
      { service: "open", allow_trace: true }
    ]
  }
  B {
    users: [ { user: b, password: p } ]
    imports: [
      { stream: { account: A, subject: "out.seen" }, prefix: a, allow_trace: true }
      { stream: { account: A, subject: "out.hidden" }, prefix: a }
      { service: { account: A, subject: closed } }
      { service: { account: A, subject: open }, to: b.open }
    ]
  }
}
"#;

fn with_accounts() -> (Server, File) {
    let file = File::new("trace", CONF);
    let server = Server::start_with(&["--config", file.path()]);
    (server, file)
}

#[test]
fn permissions_hold_and_are_told() {
    let (server, _file) = with_accounts();
    let (mut watcher, mut bound) = (server.enter("a", "p"), server.enter("bound", "p"));
    subscribe(&mut watcher, "tr");
    subscribe(&mut bound, "s.*");
    for headers in [DEST, ONLY] {
        publish(&mut bound, "not", headers, "");
        let told = trace(&mut watcher);
        let error = "Permissions Violation for Publish to \"not\"";
        assert_eq!(told["events"][0]["error"], error);
        assert_eq!(told["events"].as_array().map(Vec::len), Some(1));
        bound.expect("-ERR 'Permissions Violation for Publish to \"not\"'\r\n");
    }
    // The trace needs leave as well, and the message goes nowhere without.
    publish(&mut bound, "s.x", "Nats-Trace-Dest: elsewhere\r\n", "");
    bound.expect("-ERR 'Permissions Violation for Publish to \"elsewhere\"'\r\n");
    assert_eq!(bound.sync(), "");
    publish(&mut bound, "s.secret", DEST, "");
    let why = "Not delivered because subscription denies this subject";
    let wanted = json!({"type": "eg", "kind": 0, "sub": "s.*", "error": why});
    assert_eq!(ways(&mut watcher), [wanted]);
    assert_eq!(bound.sync(), "");
}

#[test]
fn other_accounts_are_shown_if_they_allow_it() {
    let (server, _file) = with_accounts();
    let (mut a, mut b) = (server.enter("a", "p"), server.enter("b", "p"));
    a.send("SUB tr 1\r\nSUB open 2\r\nSUB closed 3\r\n");
    b.send("SUB tr 1\r\nSUB a.out.> 2\r\nSUB inbox 3\r\n");
    assert_eq!((a.sync(), b.sync()), (String::new(), String::new()));
    let imported = |to: &str| json!({"type": "se", "acc": "B", "to": to});
    let there = |account: &str, filter: &str| json!({"type": "eg", "kind": 0, "acc": account, "sub": filter});
    for headers in [DEST, ONLY] {
        publish(&mut a, "out.seen", headers, "");
        let wanted = [imported("a.out.seen"), there("B", "a.out.>")];
        assert_eq!(ways(&mut a), wanted);
        publish(&mut a, "out.hidden", headers, "");
        assert_eq!(ways(&mut a), [imported("a.out.hidden")]);
    }
    let seen = b.sync();
    let subjects: Vec<&str> = seen
        .lines()
        .filter(|line| line.starts_with("HMSG"))
        .collect();
    assert_eq!(
        subjects,
        ["HMSG a.out.seen 2 33 33", "HMSG a.out.hidden 2 33 33"]
    );
    let asked = |from: &str, to: &str| json!({"type": "si", "acc": "A", "from": from, "to": to});
    publish(&mut b, "b.open", DEST, "");
    assert_eq!(ways(&mut b), [asked("b.open", "open"), there("A", "open")]);
    publish(&mut b, "closed", DEST, "");
    assert_eq!(ways(&mut b), [asked("closed", "closed")]);
    // The service must not have it traced into its own account.
    let got = a.sync();
    assert_eq!(
        got.matches("Nats-Trace-Dest: trace disabled\r\n").count(),
        2,
        "{got}"
    );
    assert!(!got.contains("Nats-Trace-Dest: tr\r\n"), "{got}");
    publish(&mut b, "b.open", ONLY, "");
    assert_eq!(ways(&mut b), [asked("b.open", "open"), there("A", "open")]);
    assert_eq!((a.sync(), b.sync()), (String::new(), String::new()));
}

/// What answers in the server itself is a service of another account to
/// nats-server's clients.
#[test]
fn questions_are_services() {
    let server = Server::start();
    let mut client = server.client();
    client.send("SUB tr 1\r\nSUB inbox 2\r\n");
    let asked = [json!({
        "type": "si", "acc": "$SYS", "from": "$SYS.REQ.USER.INFO", "to": "$SYS.REQ.USER.$G.INFO"
    })];
    let block = format!("NATS/1.0\r\n{ONLY}\r\n");
    let len = block.len();
    client.send(format!(
        "HPUB $SYS.REQ.USER.INFO inbox {len} {len}\r\n{block}\r\n"
    ));
    let line = client.line();
    assert!(line.starts_with("HMSG inbox 2 "), "nobody answers: {line}");
    client.expect("NATS/1.0 503\r\nNats-Subject: $SYS.REQ.USER.INFO\r\n\r\n\r\n");
    assert_eq!(ways(&mut client), asked);
    let block = format!("NATS/1.0\r\n{DEST}\r\n");
    let len = block.len();
    client.send(format!(
        "HPUB $SYS.REQ.USER.INFO inbox {len} {len}\r\n{block}\r\n"
    ));
    assert_eq!(ways(&mut client), asked);
    let line = client.line();
    assert!(line.starts_with("MSG inbox 2 "), "no answer: {line}");
}

#[cfg(feature = "streams")]
mod of_streams {
    use super::*;
    use crate::stream_util::Dir;

    /// What is told of a stream in the next trace.
    #[track_caller]
    fn stream_of(client: &mut Client) -> Value {
        let [told] = <[Value; 1]>::try_from(ways(client)).expect("one event");
        told
    }

    fn stored(subject: &str) -> Value {
        json!({"type": "js", "stream": "S", "subject": subject})
    }

    fn refused(error: &str) -> Value {
        json!({"type": "js", "stream": "S", "error": error})
    }

    fn start(more: &str) -> (Server, Dir, Client, Client) {
        let dir = Dir::new();
        let server = dir.serve();
        let (mut watcher, mut client) = (server.client(), server.client());
        subscribe(&mut watcher, "tr");
        client.make_stream("S", "s.>", &format!("\"storage\":\"memory\"{more}"));
        client.send("SUB inbox 1\r\n");
        (server, dir, watcher, client)
    }

    #[track_caller]
    fn messages(client: &mut Client) -> Value {
        client.api("STREAM.INFO.S", "")["state"]["messages"].clone()
    }

    #[test]
    fn streams_are_told() {
        let (_server, _dir, mut watcher, mut client) = start("");
        let ack = client.ask_with("s.a", DEST, "x").text();
        assert_eq!(ack, r#"{"stream":"S","seq":1}"#);
        assert_eq!(stream_of(&mut watcher), stored("s.a"));
        client.publish("s.b", Some("inbox"), ONLY, "x");
        assert_eq!(stream_of(&mut watcher), stored("s.b"));
        // Neither an ack nor word that nobody listens.
        assert_eq!(client.sync(), "");
        assert_eq!(messages(&mut client), 1);
        // Who reads it does not have it traced again.
        let got = client.api("STREAM.MSG.GET.S", r#"{"seq":1}"#);
        let disabled = "NATS/1.0\r\nNats-Trace-Dest: trace disabled\r\n\r\n";
        let headers = midge_proto::from_base64(got["message"]["hdrs"].as_str().expect("headers"));
        assert_eq!(headers.as_deref(), Some(disabled.as_bytes()));
        // It is no message like others but for that.
        assert_eq!(client.store("s.c", "x"), 2);
    }

    /// What would be refused is, though it is only traced.
    #[test]
    fn what_a_message_asks_for_is_looked_at() {
        let (_server, _dir, mut watcher, mut client) = start("");
        let id = "Nats-Msg-Id: 1\r\n";
        for kept in [ONLY, DEST] {
            client.publish("s.a", None, &format!("{kept}{id}"), "x");
            assert_eq!(stream_of(&mut watcher), stored("s.a"));
        }
        for again in [ONLY, DEST] {
            let ack = client.ask_with("s.a", &format!("{again}{id}"), "x");
            assert_eq!(ack.text(), r#"{"stream":"S","seq":1,"duplicate": true}"#);
            assert_eq!(stream_of(&mut watcher), refused("msgid is duplicate"));
        }
        for headers in [ONLY, DEST] {
            let headers = format!("{headers}Nats-Expected-Stream: T\r\n");
            let ack = client.ask_with("s.a", &headers, "x").json();
            assert_eq!(ack["error"]["err_code"], 10060, "{ack}");
            let error = "expected stream does not match";
            assert_eq!(stream_of(&mut watcher), refused(error));
        }
        assert_eq!(messages(&mut client), 1);
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let (_server, _dir, mut watcher, mut client) = start(r#","max_msgs":1,"discard":"new""#);
        client.store("s.a", "x");
        let ack = client.ask_with("s.a", DEST, "x").json();
        assert_eq!(ack["error"]["err_code"], 10077, "{ack}");
        let mut wanted = refused("maximum messages exceeded");
        wanted["subject"] = json!("s.a");
        assert_eq!(stream_of(&mut watcher), wanted);
    }

    #[test]
    fn a_stream_tells_what_it_makes_of_a_message() {
        let more = r#","retention":"interest","subject_transform":{"src":"s.*","dest":"t.{{wildcard(1)}}"}"#;
        let (_server, _dir, mut watcher, mut client) = start(more);
        let mut wanted = stored("t.a");
        wanted["nointerest"] = json!(true);
        for headers in [DEST, ONLY] {
            client.publish("s.a", None, headers, "x");
            assert_eq!(stream_of(&mut watcher), wanted);
        }
        client.make_durable("S", "d", "");
        client.publish("s.a", None, DEST, "x");
        assert_eq!(stream_of(&mut watcher), stored("t.a"));
        assert_eq!(messages(&mut client), 1);
    }

    /// It leaves counters and batches as they are.
    #[test]
    fn what_is_only_traced_adds_to_nothing() {
        let (_server, _dir, mut watcher, mut client) = start(r#","allow_msg_counter":true"#);
        let incr = "Nats-Incr: 2\r\n";
        client.ask_with("s.a", incr, "");
        client.publish("s.a", None, &format!("{ONLY}{incr}"), "");
        assert_eq!(stream_of(&mut watcher), stored("s.a"));
        let ack = client.ask_with("s.a", incr, "").json();
        assert_eq!(ack["val"], "4");
        let ack = client.ask_with("s.a", ONLY, "").json();
        assert_eq!(ack["error"]["err_code"], 10169, "{ack}");
        let error = "message counter increment is missing (10169)";
        assert_eq!(stream_of(&mut watcher), refused(error));

        let (_server, _dir, mut watcher, mut client) = start(r#","allow_atomic":true"#);
        let batch = |seq: u32| format!("Nats-Batch-Id: b\r\nNats-Batch-Sequence: {seq}\r\n");
        let commit = "Nats-Batch-Commit: 1\r\n";
        client.ask_with("s.a", &batch(1), "x");
        client.publish("s.a", None, &format!("{ONLY}{}{commit}", batch(2)), "x");
        assert_eq!(stream_of(&mut watcher), stored("s.a"));
        let ack = client.ask_with("s.a", &format!("{DEST}{}{commit}", batch(2)), "x");
        assert_eq!(ack.json()["count"], 2);
        assert_eq!(stream_of(&mut watcher), stored("s.a"));
        assert_eq!(messages(&mut client), 2);
    }

    /// What a stream sends for a message is no part of its way.
    #[test]
    fn what_comes_of_a_message_is_not_traced() {
        let more = r#","republish":{"src":"s.>","dest":"r.>"}"#;
        let (_server, _dir, mut watcher, mut client) = start(more);
        client.make_stream("R", "r.>", "\"storage\":\"memory\"");
        client.send("SUB r.> 7\r\n");
        client.publish("s.a", None, ONLY, "x");
        assert_eq!(stream_of(&mut watcher), stored("s.a"));
        assert_eq!(client.sync(), "");
        client.publish("s.a", None, DEST, "x");
        assert_eq!(stream_of(&mut watcher), stored("s.a"));
        let copy = client.message();
        assert!(
            copy.header.contains("Nats-Trace-Dest: trace disabled\r\n"),
            "{copy:?}"
        );
        let kept = client.api("STREAM.INFO.R", "")["state"]["messages"].clone();
        assert_eq!(kept, 1);
    }

    /// A trace may be kept in a stream.
    #[test]
    fn traces_are_stored() {
        let (_server, _dir, mut watcher, mut client) = start("");
        client.make_stream("T", "tr", "\"storage\":\"memory\"");
        client.publish("s.a", None, DEST, "x");
        assert_eq!(stream_of(&mut watcher), stored("s.a"));
        let got = client.api("STREAM.MSG.GET.T", r#"{"seq":1}"#);
        assert_eq!(got["message"]["subject"], "tr");
    }

    #[test]
    fn requests_of_the_api_are_services() {
        let (_server, _dir, mut watcher, mut client) = start("");
        client.store("s.a", "x");
        let asked = |to: &str| json!({"type": "si", "acc": "$SYS", "from": to, "to": to});
        let subject = "$JS.API.STREAM.PURGE.S";
        let none = client.ask_with(subject, ONLY, "");
        assert!(none.header.starts_with("NATS/1.0 503\r\n"), "{none:?}");
        assert_eq!(stream_of(&mut watcher), asked(subject));
        assert_eq!(messages(&mut client), 1);
        let purged = client.ask_with(subject, DEST, "").json();
        assert_eq!(purged["purged"], 1);
        assert_eq!(stream_of(&mut watcher), asked(subject));
        // What is asked of one consumer is none, and is done.
        client.make_durable("S", "d", "");
        client.store("s.a", "y");
        let got = client.ask_with("$JS.API.CONSUMER.MSG.NEXT.S.d", ONLY, "1");
        assert_eq!(got.text(), "y");
        assert_eq!(ways(&mut watcher), [json!(null); 0]);
    }
}
