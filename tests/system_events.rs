//! What clients of the system account hear without asking.

use crate::util::{Client, File, Server};
use serde_json::Value;

const CONF: &str = r#"
server_name: here
accounts {
  A { users: [ { user: a, password: hunter2 } ] }
  SYS { users: [ { user: s, password: hunter2 } ] }
}
system_account: SYS
lame_duck_duration: 1s
lame_duck_grace_period: 0s
"#;

fn server() -> (Server, File) {
    let file = File::new("system_events", CONF);
    let server = Server::start_with(&["--config", file.path()]);
    (server, file)
}

fn connect(user: &str, password: &str) -> String {
    format!(
        "CONNECT {{\"verbose\":false,\"name\":\"n\",\"lang\":\"raw\",\"version\":\"1\",\
        \"user\":\"{user}\",\"pass\":\"{password}\"}}\r\n"
    )
}

/// A client of the system account that listens.
fn listener(server: &Server, filter: &str) -> Client {
    let mut client = server.connect();
    client.send(connect("s", "hunter2") + &format!("SUB {filter} 1\r\n"));
    assert_eq!(client.sync(), "");
    client
}

/// The next event: its subject, with `ID` in place of the server's, and body.
fn event(client: &mut Client) -> (String, Value) {
    let line = client.line();
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(words[0], "MSG", "{line}");
    let body = client.line();
    assert!(!body.contains("hunter2"), "{body}");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    let server = if body["server"].is_object() {
        &body["server"]
    } else {
        &body
    };
    assert_eq!(server["name"], "here", "{body}");
    let id = server["id"].as_str().expect("an id");
    (words[1].replace(id, "ID"), body)
}

#[track_caller]
fn expect(client: &mut Client, wanted: &str) -> Value {
    let (subject, body) = event(client);
    assert_eq!(subject, wanted, "{body}");
    body
}

#[test]
fn who_comes_and_goes_is_told() {
    let (server, _file) = server();
    let mut system = listener(&server, "$SYS.ACCOUNT.A.>");
    let mut a = server.connect();
    a.send(connect("a", "hunter2"));
    assert_eq!(a.sync(), "");
    let counts = expect(&mut system, "$SYS.ACCOUNT.A.SERVER.CONNS");
    assert_eq!(
        counts["type"],
        "io.nats.server.advisory.v1.account_connections"
    );
    assert_eq!((&counts["acc"], &counts["conns"]), (&"A".into(), &1.into()));
    assert_eq!(counts["id"].as_str().map(str::len), Some(22));
    let came = expect(&mut system, "$SYS.ACCOUNT.A.CONNECT");
    assert_eq!(came["type"], "io.nats.server.advisory.v1.client_connect");
    assert_ne!(came["id"], counts["id"]);
    let client = &came["client"];
    for (key, value) in [
        ("host", "127.0.0.1"),
        ("acc", "A"),
        ("user", "a"),
        ("name", "n"),
        ("lang", "raw"),
        ("ver", "1"),
        ("kind", "Client"),
        ("client_type", "nats"),
    ] {
        assert_eq!(client[key], value, "{client}");
    }
    a.send("SUB x 1\r\nPUB x 2\r\nhi\r\n");
    a.expect("MSG x 1 2\r\nhi\r\n");
    drop(a);
    let counts = expect(&mut system, "$SYS.ACCOUNT.A.SERVER.CONNS");
    assert_eq!(counts["conns"], 0);
    assert_eq!(counts["sent"]["bytes"], 2);
    let gone = expect(&mut system, "$SYS.ACCOUNT.A.DISCONNECT");
    assert_eq!(gone["client"]["id"], client["id"]);
    assert!(gone["client"]["stop"].is_string() && gone["client"]["rtt"].is_u64());
    assert_eq!(gone["sent"], serde_json::json!({"msgs": 1, "bytes": 2}));
    assert_eq!(gone["received"], gone["sent"]);
    assert_eq!(gone["reason"], "Client Closed");
}

#[test]
fn a_client_that_comes_and_goes_at_once_is_told_of_twice() {
    let (server, _file) = server();
    let mut system = listener(&server, "$SYS.ACCOUNT.*.*");
    let mut a = server.connect();
    a.send(connect("a", "hunter2") + "NONSENSE\r\n");
    let came = expect(&mut system, "$SYS.ACCOUNT.A.CONNECT");
    assert_eq!(came["client"]["user"], "a");
    let gone = expect(&mut system, "$SYS.ACCOUNT.A.DISCONNECT");
    assert_eq!(gone["reason"], "Protocol Violation");
}

#[test]
fn who_is_not_let_in_is_told() {
    let (server, _file) = server();
    let mut system = listener(&server, "$SYS.>");
    let mut stranger = server.connect();
    stranger.send(connect("a", "hunter1"));
    let skip_statistics = |system: &mut Client| loop {
        let (subject, body) = event(system);
        if subject != "$SYS.SERVER.ID.STATSZ" {
            return (subject, body);
        }
    };
    for wanted in [
        "$SYS.SERVER.ID.CLIENT.AUTH.ERR",
        "$SYS.ACCOUNT.$G.DISCONNECT",
    ] {
        let (subject, body) = skip_statistics(&mut system);
        assert_eq!(subject, wanted, "{body}");
        assert_eq!(body["type"], "io.nats.server.advisory.v1.client_disconnect");
        assert_eq!(body["client"]["user"], "a");
        assert_eq!(body["reason"], "Authentication Failure");
    }
}

#[test]
fn how_the_server_does_is_told_again_and_again_while_somebody_listens() {
    let (server, _file) = server();
    let mut system = listener(&server, "$SYS.SERVER.*.STATSZ");
    for _ in 0..2 {
        let body = expect(&mut system, "$SYS.SERVER.ID.STATSZ");
        assert_eq!(body["statsz"]["connections"], 1);
    }
}

#[test]
fn that_the_server_leaves_is_told() {
    let (server, _file) = server();
    let mut system = listener(&server, "$SYS.SERVER.*.LAMEDUCK");
    let mut other = listener(&server, "$SYS.SERVER.*.SHUTDOWN");
    server.signal("USR2");
    expect(&mut system, "$SYS.SERVER.ID.LAMEDUCK");
    server.signal("TERM");
    expect(&mut other, "$SYS.SERVER.ID.SHUTDOWN");
}

#[test]
fn clients_of_other_accounts_hear_nothing() {
    let (server, _file) = server();
    let mut a = server.connect();
    a.send(connect("a", "hunter2") + "SUB $SYS.> 1\r\n");
    assert_eq!(a.sync(), "");
    let mut system = listener(&server, "$SYS.ACCOUNT.*.CONNECT");
    let mut other = server.connect();
    other.send(connect("a", "hunter2"));
    expect(&mut system, "$SYS.ACCOUNT.A.CONNECT");
    assert_eq!(a.sync(), "");
}
