//! Accounts: what is published in one is seen in no other, but for what they
//! export and import.

use crate::util::{Client, File, Server, midge};
use std::process::Command;

/// Two accounts that offer things to each other, and one that gets nothing.
const CONF: &str = r#"
accounts {
  A {
    users: [ { user: a, password: p } ]
    exports: [
      { stream: "news.>" }
      { stream: "secret.*", accounts: [B] }
      { service: "ask.*" }
      { service: "swap.*.*" }
      { service: many, response_type: stream }
    ]
  }
  B {
    users: [ { user: b, password: p } ]
    imports: [
      { stream: { account: A, subject: "news.*" }, prefix: from.a }
      { stream: { account: A, subject: "secret.*" }, to: "told.*" }
      { service: { account: A, subject: "ask.*" }, to: "a.ask.*" }
      { service: { account: A, subject: "swap.*.*" }, to: "swap.$2.$1" }
      { service: { account: A, subject: many } }
    ]
    exports: [ { service: "a.ask.>", accounts: C } ]
  }
  C {
    users: [
      { user: c, password: p }
      { user: mute, password: p, permissions { publish: { deny: "b.>" } } }
    ]
    imports: [ { service: { account: B, subject: "a.ask.>" }, to: "b.ask.>" } ]
  }
  SYS { users: [ { user: s, password: p } ] }
}
system_account: SYS
no_auth_user: c
"#;

fn server(conf: &str) -> (Server, File) {
    let file = File::new("accounts", conf);
    let server = Server::start_with(&["--config", file.path()]);
    (server, file)
}

/// The subject behind the sid in a MSG or HMSG line.
fn reply_of(line: &str) -> String {
    line.split(' ').nth(3).expect("a reply").to_owned()
}

#[test]
fn each_account_has_subjects_and_queue_groups_of_its_own() {
    let (server, _file) = server(CONF);
    let (mut a, mut b, mut s) = (
        server.enter("a", "p"),
        server.enter("b", "p"),
        server.enter("s", "p"),
    );
    let mut guest = server.client();
    for client in [&mut a, &mut b, &mut s, &mut guest] {
        client.send("SUB > 1\r\nSUB x g 2\r\n");
        client.sync();
    }
    a.send("PUB x 1\r\na\r\n");
    let mut said = a.sync();
    for line in ["MSG x 1 1\r\na\r\n", "MSG x 2 1\r\na\r\n"] {
        assert!(said.contains(line), "{said}");
        said = said.replacen(line, "", 1);
    }
    assert_eq!(said, "");
    for client in [&mut b, &mut s, &mut guest] {
        assert_eq!(client.sync(), "");
    }
    // The one that nobody named is in the account of its user.
    let mut c = server.enter("c", "p");
    c.send("PUB x 1\r\nc\r\n");
    c.sync();
    guest.expect("MSG x 1 1\r\nc\r\nMSG x 2 1\r\nc\r\n");
}

#[test]
fn a_connect_that_leads_elsewhere_leaves_the_subscriptions_behind() {
    let (server, _file) = server(CONF);
    let mut client = server.connect();
    client.send("SUB x 1\r\nCONNECT {\"verbose\":false,\"user\":\"a\",\"pass\":\"p\"}\r\n");
    client.sync();
    let mut c = server.enter("c", "p");
    c.send("PUB x 1\r\nc\r\n");
    c.sync();
    client.send("PUB x 1\r\na\r\n");
    assert_eq!(client.sync(), "");
    client.send("SUB x 1\r\nPUB x 1\r\na\r\n");
    assert_eq!(client.sync(), "MSG x 1 1\r\na\r\n");
}

#[test]
fn a_stream_is_seen_where_it_is_imported() {
    let (server, _file) = server(CONF);
    let (mut a, mut b, mut c) = (
        server.enter("a", "p"),
        server.enter("b", "p"),
        server.enter("c", "p"),
    );
    for client in [&mut b, &mut c] {
        client.send("SUB > 1\r\nSUB told.* g 2\r\nSUB told.* g 3\r\n");
        client.sync();
    }
    a.send("PUB news.sport re.ply 2\r\nhi\r\nPUB news.sport.x 2\r\nno\r\nPUB other 2\r\nno\r\n");
    a.sync();
    assert_eq!(b.sync(), "MSG from.a.news.sport 1 re.ply 2\r\nhi\r\n");
    a.send("HPUB secret.x 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
    a.sync();
    let said = b.sync();
    assert_eq!(said.matches("HMSG told.x ").count(), 2, "{said}");
    assert_eq!(c.sync(), "");
    // What comes in does not go back.
    b.send("PUB told.x 0\r\n\r\nPUB from.a.news.x 0\r\n\r\n");
    b.sync();
    a.send("SUB > 1\r\n");
    assert_eq!(a.sync(), "");
}

#[test]
fn a_stream_that_only_others_hear_has_listeners() {
    let (server, _file) = server(CONF);
    let (mut a, mut b) = (server.enter("a", "p"), server.enter("b", "p"));
    a.send("SUB _INBOX.1 9\r\nPUB news.x _INBOX.1 0\r\n\r\n");
    assert!(a.sync().contains("503"));
    b.send("SUB from.a.> 1\r\n");
    b.sync();
    a.send("PUB news.x _INBOX.1 0\r\n\r\n");
    assert_eq!(a.sync(), "");
}

#[test]
fn a_service_answers_to_the_account_that_asks() {
    let (server, _file) = server(CONF);
    let (mut a, mut b) = (server.enter("a", "p"), server.enter("b", "p"));
    b.send("SUB _INBOX.> 9\r\nPUB a.ask.time _INBOX.1 1\r\n?\r\n");
    assert_eq!(
        b.sync(),
        "HMSG _INBOX.1 9 42 42\r\nNATS/1.0 503\r\nNats-Subject: a.ask.time\r\n\r\n\r\n"
    );
    a.send("SUB ask.* 1\r\nSUB swap.> 2\r\n");
    a.sync();
    b.send("PUB a.ask.time _INBOX.2 1\r\n?\r\n");
    assert_eq!(b.sync(), "");
    let line = a.line();
    assert!(line.starts_with("HMSG ask.time 1 _R_."), "{line}");
    let reply = reply_of(&line);
    a.expect("NATS/1.0\r\nNats-Request-Info: {\"acc\":\"B\",\"rtt\":");
    assert!(a.sync().ends_with("}\r\n\r\n?\r\n"));
    a.send(format!(
        "PUB {reply} 4\r\nnoon\r\nPUB {reply} 5\r\nagain\r\n"
    ));
    a.sync();
    assert_eq!(b.sync(), "MSG _INBOX.2 9 4\r\nnoon\r\n");
    // The way back is closed; who asks there is told so.
    a.send(format!("SUB _INBOX.> 8\r\nPUB {reply} _INBOX.3 0\r\n\r\n"));
    assert!(a.sync().starts_with("HMSG _INBOX.3 8 "));
    // Without a reply it is a message.
    b.send("PUB swap.x.y 1\r\n!\r\n");
    b.sync();
    assert!(a.line().starts_with("HMSG swap.y.x 2 "));
}

#[test]
fn who_asks_cannot_pretend_to_be_of_another_account() {
    let (server, _file) = server(CONF);
    let (mut a, mut b) = (server.enter("a", "p"), server.enter("b", "p"));
    a.send("SUB ask.* 1\r\n");
    a.sync();
    let header = "NATS/1.0\r\nNats-Request-Info: {\"acc\":\"A\"}\r\nX: y\r\n\r\n";
    let len = header.len();
    b.send(format!("HPUB a.ask.x {len} {len}\r\n{header}\r\n"));
    b.sync();
    a.line();
    a.expect("NATS/1.0\r\nX: y\r\nNats-Request-Info: {\"acc\":\"B\",");
}

#[test]
fn a_service_may_answer_more_than_once_and_ask_back() {
    let (server, _file) = server(CONF);
    let (mut a, mut b) = (server.enter("a", "p"), server.enter("b", "p"));
    a.send("SUB many 1\r\nSUB back 2\r\n");
    a.sync();
    b.send("SUB _INBOX.> 9\r\nPUB many _INBOX.1 0\r\n\r\n");
    b.sync();
    let reply = reply_of(&a.line());
    a.sync();
    for body in ["1", "2", "", "late"] {
        a.send(format!("PUB {reply} {}\r\n{body}\r\n", body.len()));
    }
    a.sync();
    let told = "MSG _INBOX.1 9 1\r\n1\r\nMSG _INBOX.1 9 1\r\n2\r\nMSG _INBOX.1 9 0\r\n\r\n";
    assert_eq!(b.sync(), told);
    b.send("PUB many _INBOX.2 0\r\n\r\n");
    b.sync();
    let reply = reply_of(&a.line());
    a.sync();
    a.send(format!("PUB {reply} back 2\r\nwh\r\n"));
    a.sync();
    let line = b.line();
    assert!(line.starts_with("MSG _INBOX.2 9 _R_."), "{line}");
    b.send(format!("PUB {} 4\r\nthis\r\n", reply_of(&line)));
    b.sync();
    assert_eq!(a.sync(), "MSG back 2 4\r\nthis\r\n");
}

#[test]
fn a_service_is_reached_through_a_third_account() {
    let (server, _file) = server(CONF);
    let (mut a, mut c) = (server.enter("a", "p"), server.enter("c", "p"));
    c.send("SUB _INBOX.> 9\r\nPUB b.ask.x _INBOX.1 0\r\n\r\n");
    assert!(c.sync().contains("Nats-Subject: b.ask.x\r\n"));
    a.send("SUB ask.x 1\r\n");
    a.sync();
    c.send("PUB b.ask.x _INBOX.2 0\r\n\r\n");
    assert_eq!(c.sync(), "");
    let reply = reply_of(&a.line());
    let said = a.sync();
    assert!(
        said.contains("Nats-Request-Info: {\"acc\":\"C\","),
        "{said}"
    );
    a.send(format!("PUB {reply} 2\r\nok\r\n"));
    a.sync();
    assert_eq!(c.sync(), "MSG _INBOX.2 9 2\r\nok\r\n");
    // Permissions are about the subjects of one's own account.
    let mut mute = server.enter("mute", "p");
    mute.send("PUB b.ask.x 0\r\n\r\n");
    assert_eq!(
        mute.sync(),
        "-ERR 'Permissions Violation for Publish to \"b.ask.x\"'\r\n"
    );
}

#[test]
fn nobody_names_a_way_back_as_a_reply() {
    let (server, _file) = server(CONF);
    let mut b = server.enter("b", "p");
    b.send("PUB many _R_.x 0\r\n\r\n");
    assert_eq!(
        b.sync(),
        "-ERR 'Permissions Violation for Publish with Reply of \"_R_.x\"'\r\n"
    );
}

#[test]
fn only_the_account_that_was_asked_answers() {
    let (server, _file) = server(CONF);
    let (mut a, mut b, mut c) = (
        server.enter("a", "p"),
        server.enter("b", "p"),
        server.enter("c", "p"),
    );
    a.send("SUB ask.* 1\r\n");
    a.sync();
    b.send("SUB _INBOX.> 9\r\nPUB a.ask.time _INBOX.1 0\r\n\r\n");
    b.sync();
    let reply = reply_of(&a.line());
    a.sync();
    // The requester's own account is none of those, either.
    for forger in [&mut c, &mut b] {
        forger.send(format!("SUB told 1\r\nPUB {reply} told 6\r\nforged\r\n"));
        let heard = forger.sync();
        assert!(heard.starts_with("HMSG told 1 "), "{heard}");
        assert!(heard.contains("NATS/1.0 503\r\n"), "{heard}");
    }
    assert_eq!(b.sync(), "");
    a.send(format!("PUB {reply} 4\r\nnoon\r\n"));
    a.sync();
    assert_eq!(b.sync(), "MSG _INBOX.1 9 4\r\nnoon\r\n");
}

#[test]
fn what_clients_may_ask_for_is_limited_by_account() {
    let (server, _file) = server(
        "accounts { A { users: [{user: a, password: p}]
           limits { max_connections: 1, max_subscriptions: 2, max_payload: 10 } }
         B { users: [{user: b, password: p}] } }",
    );
    let mut a = server.enter("a", "p");
    let mut second = server.connect();
    second.send("CONNECT {\"user\":\"a\",\"pass\":\"p\"}\r\n");
    second.expect_end("-ERR 'maximum account active connections exceeded'\r\n");
    a.send("SUB a 1\r\nSUB b 2\r\nSUB c 3\r\n");
    assert_eq!(a.sync(), "-ERR 'maximum subscriptions exceeded'\r\n");
    a.send("PUB x 11\r\n");
    a.expect_end("-ERR 'Maximum Payload Violation'\r\n");
    let mut b = server.enter("b", "p");
    b.send("SUB a 1\r\nSUB b 2\r\nSUB c 3\r\nPUB x 11\r\n12345678901\r\n");
    assert_eq!(b.sync(), "");
    // The place is free again.
    server.enter("a", "p");
}

#[test]
fn without_users_elsewhere_only_the_system_account_needs_a_password() {
    let (server, _kept) = server("accounts { $SYS { users: [{user: s, password: p}] } }");
    let mut guest = server.client();
    guest.send("SUB > 1\r\n");
    assert_eq!(guest.sync(), "");
    let mut s = server.enter("s", "p");
    s.send("PUB x 0\r\n\r\n");
    s.sync();
    assert_eq!(guest.sync(), "");
    server.signal("HUP");
    server.wait_log("Reloaded: 0 clients let go");
    let mut wrong = server.connect();
    wrong.send("CONNECT {\"user\":\"s\",\"pass\":\"q\"}\r\n");
    wrong.expect_end("-ERR 'Authorization Violation'\r\n");
}

#[test]
fn what_is_imported_changes_with_a_reload() {
    let (server, file) = server(CONF);
    let (mut a, mut b) = (server.enter("a", "p"), server.enter("b", "p"));
    b.send("SUB > 1\r\n");
    b.sync();
    std::fs::write(file.path(), CONF.replace("prefix: from.a", "prefix: new")).unwrap();
    server.signal("HUP");
    server.wait_log("Reloaded: 0 clients let go");
    a.send("PUB news.x 2\r\nhi\r\n");
    a.sync();
    assert_eq!(b.sync(), "MSG new.news.x 1 2\r\nhi\r\n");
    std::fs::write(file.path(), "accounts { A {} }").unwrap();
    server.signal("HUP");
    server.wait_log("nothing has changed: accounts cannot go");
    a.send("PUB news.x 2\r\nhi\r\n");
    a.sync();
    assert_eq!(b.sync(), "MSG new.news.x 1 2\r\nhi\r\n");
}

#[test]
fn an_account_comes_with_a_reload() {
    let (server, file) = server(CONF);
    let (mut a, mut s) = (server.enter("a", "p"), server.enter("s", "p"));
    let more = "D {
        users: [ { user: d, password: p } ]
        imports: [ { stream: { account: A, subject: \"news.*\" } } ]
    } }\nsystem_account";
    let text = CONF.replace("}\nsystem_account", more);
    std::fs::write(file.path(), &text).unwrap();
    server.signal("HUP");
    server.wait_log("Reloaded: 0 clients let go");
    let mut d = server.enter("d", "p");
    d.send("SUB news.> 1\r\nSUB secret.> 2\r\nSUB answer 3\r\n");
    d.sync();
    a.send("PUB news.x 2\r\nhi\r\nPUB secret.x 2\r\nhi\r\n");
    a.sync();
    assert_eq!(d.sync(), "MSG news.x 1 2\r\nhi\r\n");
    // It can be asked about, and may ask.
    d.send("PUB $SYS.REQ.USER.INFO answer 0\r\n\r\n");
    assert!(d.line().starts_with("MSG answer 3 "));
    assert!(d.line().contains("\"account\":\"D\""));
    s.send("SUB answer 1\r\nPUB $SYS.REQ.ACCOUNT.D.CONNZ answer 0\r\n\r\n");
    assert!(s.line().starts_with("MSG answer 1 "));
    assert!(s.line().contains("\"num_connections\":1"));
    // Streams do not come so, nor does what would move others.
    for wrong in [
        text.replace("D {", "E { jetstream: enabled }\nD {"),
        text.replace("C {", "E {}\nC {"),
    ] {
        let before = server.log().len();
        std::fs::write(file.path(), wrong).unwrap();
        server.signal("HUP");
        while !server.log()[before..].contains("nothing has changed: accounts") {
            assert!(!server.log()[before..].contains("Reloaded"));
            std::thread::yield_now();
        }
    }
}

#[test]
fn sessions_are_counted_where_they_are() {
    let (server, _file) = server(CONF);
    let mut s = server.enter("s", "p");
    s.send("SUB answer 1\r\n");
    let mut asked = |account: &str| {
        s.send(format!(
            "PUB $SYS.REQ.ACCOUNT.{account}.CONNZ answer 0\r\n\r\n"
        ));
        s.line();
        let body: serde_json::Value = serde_json::from_str(&s.line()).expect("JSON");
        body["data"]["num_connections"].as_u64().expect("a number")
    };
    let mut members: Vec<Client> = ["a", "b", "a", "a", "b", "a"]
        .iter()
        .map(|user| server.enter(user, "p"))
        .collect();
    assert_eq!((asked("A"), asked("B")), (4, 2));
    // The last one of an account takes the place of who leaves.
    for (leaving, left) in [(0, (3, 2)), (2, (2, 2)), (0, (2, 1)), (2, (1, 1))] {
        drop(members.remove(leaving));
        while (asked("A"), asked("B")) != left {}
    }
    // A guest is another's until it says who it is.
    let mut guest = server.connect();
    guest.send("CONNECT {\"verbose\":false,\"user\":\"a\",\"pass\":\"p\"}\r\n");
    assert_eq!(guest.sync(), "");
    assert_eq!((asked("A"), asked("B"), asked("C")), (2, 1, 0));
}

#[test]
fn pages_tell_accounts_apart() {
    let file = File::new("accounts", CONF);
    let server = Server::start_with(&["--config", file.path(), "--http-port", "0"]);
    let (mut a, mut b) = (server.enter("a", "p"), server.enter("b", "p"));
    a.send("SUB x 1\r\nPUB x 2\r\nhi\r\n");
    a.sync();
    b.send("SUB y 1\r\n");
    b.sync();
    let connz = server.json("/connz?acc=A&auth=1");
    assert_eq!(connz["num_connections"], 1);
    assert_eq!(connz["connections"][0]["authorized_user"], "a");
    assert_eq!(connz["connections"][0]["account"], "A");
    let subsz = server.json("/subsz?subs=1&acc=B");
    assert_eq!(subsz["total"], 1);
    assert_eq!(subsz["subscriptions_list"][0]["account"], "B");
    let accountz = server.json("/accountz");
    assert_eq!(accountz["system_account"], "SYS");
    assert_eq!(accountz["accounts"].as_array().unwrap().len(), 5);
    let page = server.json("/accountz?acc=A");
    assert_eq!(page["account_detail"]["client_connections"], 1);
    let statistics = server.json("/accstatz?acc=A");
    let all = statistics["account_statz"].as_array().unwrap();
    assert_eq!((all.len(), &all[0]["received"]["msgs"]), (1, &1.into()));
    let all = server.json("/accstatz")["account_statz"].clone();
    let names = all.as_array().unwrap().iter().map(|one| &one["acc"]);
    assert_eq!(names.collect::<Vec<_>>(), ["A", "B"]);
    assert_eq!(all[0], statistics["account_statz"][0]);
    for (path, count) in [("/accstatz?acc=C", 0), ("/accstatz?acc=C&unused=1", 1)] {
        let found = server.json(path)["account_statz"].as_array().map(Vec::len);
        assert_eq!(found, Some(count), "{path}");
    }
    assert_eq!(server.json("/connz?acc=NO")["total"], 0);
    drop(a);
    assert_eq!(server.json("/connz?acc=B")["total"], 1);
    server.wait_json("/connz?acc=A&state=any", |page| page["total"] == 1);
    server.wait_json("/accstatz?unused=1", |page| {
        let all = page["account_statz"].as_array().unwrap();
        let a = all.iter().find(|one| one["acc"] == "A").unwrap();
        a["conns"] == 0 && a["received"]["msgs"] == 1 && a["sent"]["bytes"] == 2
    });
}

/// What a configuration is refused with; nothing if it is in order.
fn refusal(conf: &str) -> String {
    let file = File::new("refused", conf);
    let output = Command::new(midge())
        .args(["serve", "--check", "--config", file.path()])
        .output()
        .expect("midge runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        return String::new();
    }
    let place = format!("{}:", file.path());
    let at = said.find(&place).expect(&said) + place.len();
    said[at..].lines().next().unwrap_or_default().to_owned()
}

#[test]
fn accounts_that_cannot_be_are_refused_with_their_line() {
    let b = "\nB { exports: [ {service: \"x.*\"}, {stream: \"y.>\"}, {service: z, accounts: [C]} ] }\nC {} }";
    for (imports, wanted) in [
        (
            "{stream: {account: Z, subject: y.a}}",
            "3: there is no account \"Z\"",
        ),
        (
            "{stream: {account: B, subject: no}}",
            "3: account \"B\" does not export stream \"no\" to \"A\"",
        ),
        (
            "{stream: {account: B, subject: x.a}}",
            "3: account \"B\" does not export stream \"x.a\" to \"A\"",
        ),
        (
            "{service: {account: B, subject: \"x.>\"}}",
            "3: account \"B\" does not export service \"x.>\" to \"A\"",
        ),
        (
            "{service: {account: B, subject: z}}",
            "3: account \"B\" does not export service \"z\" to \"A\"",
        ),
        (
            "{service: {account: B, subject: \"x.*\"}, to: u}",
            "3: \"u\" is no other name for \"x.*\": it has to have its wildcards",
        ),
        (
            "{stream: {account: B, subject: \"y.>\"}, to: \"u.*\"}",
            "3: \"u.*\" is no other name for \"y.>\": it has to have its wildcards",
        ),
        (
            "{stream: {account: B, subject: y.a}, to: u, prefix: p}",
            "3: \"to\" and \"prefix\" both say what it is called; one is enough",
        ),
        (
            "{stream: {account: B, subject: y.a}, service: {account: B, subject: x.a}}",
            "3: it is a stream or a service, and one of them",
        ),
        (
            "{stream: {account: B}}",
            "3: stream takes an account and a subject, not a block",
        ),
        (
            "{to: x}",
            "3: imports takes a stream or a service, not a block",
        ),
        (
            "{stream: {account: B, subject: \"a..b\"}}",
            "3: subject takes a subject, not \"a..b\"",
        ),
    ] {
        let conf = format!("accounts {{\nA {{ imports: [\n{imports} ] }}{b}");
        assert_eq!(refusal(&conf), wanted, "{imports}");
    }
    for (conf, wanted) in [
        (
            "accounts { A { exports: [{service: x}], imports: [{service: {account: B, subject: x}}] },
             B { exports: [{service: x}], imports: [{service: {account: A, subject: x}}] } }",
            "1: the import of service \"x\" forms a cycle",
        ),
        (
            "accounts { A { exports: [{service: x, accounts: Q}] } }",
            "1: there is no account \"Q\"",
        ),
        (
            "accounts { A { exports: [{service: x, response_type: more}] } }",
            "1: response_type takes singleton, stream or chunked, not \"more\"",
        ),
        (
            "accounts { A { exports: [{stream: x, response_type: stream}] } }",
            "1: a stream is answered by nobody; response_type is for services",
        ),
        (
            "accounts { A { users: [{user: u, password: p}] }
             B { users: [\n{user: u, password: p}] } }",
            "3: there is a user \"u\" already",
        ),
        ("accounts { A {}, A {} }", "1: account \"A\" is there twice"),
        (
            "accounts { A {} }\nAccounts { B {} }",
            "2: accounts are there twice",
        ),
        (
            "accounts { $G {} }",
            "1: \"$G\" is there without being named: for those users in none",
        ),
        (
            "\naccounts { A {} }\nsystem_account: Q",
            "3: there is no account \"Q\"",
        ),
        (
            "accounts { S { jetstream: enabled } }\nsystem_account: S",
            "1: the system account keeps no streams",
        ),
        (
            "accounts { A { jetstream: perhaps } }",
            "1: jetstream takes enabled or disabled, or a block in braces, not \"perhaps\"",
        ),
        (
            "accounts { A { jetstream { max_streams: many } } }",
            "1: max_streams takes a number from -1 to 9223372036854775807, not \"many\"",
        ),
    ] {
        assert_eq!(refusal(conf), wanted, "{conf}");
    }
    for conf in [
        "accounts: [A, B]",
        "accounts { A {} }",
        "Accounts { S {} }\nSystem_Account: S",
        CONF,
    ] {
        assert_eq!(refusal(conf), "", "{conf}");
    }
}
