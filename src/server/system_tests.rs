use super::*;
use crate::{Config, Handle, Server};
use midge_engine::{Auth, Password, Rule, Secret, User};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// A server in this process, which ends with the test.
struct Running {
    address: SocketAddr,
    handle: Handle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
    }
}

fn start() -> Running {
    let user = |name: &str, account| {
        let secret = Secret::Password(Password::from(name.to_owned()));
        let mut user = User::new(name.to_owned(), secret);
        user.account = account;
        user
    };
    let mut joe = user("joe", AccountId::GLOBAL);
    let rule = |text: &str| Rule::parse(text).expect(text);
    joe.permissions = Some(Arc::new(Permissions {
        subscribe: Rules {
            allow: Some(vec![rule(">"), rule("work pool.*")]),
            deny: vec![rule("secret")],
        },
        ..Permissions::default()
    }));
    let config = Config {
        port: 0,
        name: "here".into(),
        #[cfg(feature = "streams")]
        store: None,
        auth: Auth {
            users: vec![Arc::new(joe), Arc::new(user("root", AccountId::SYSTEM))],
            ..Auth::default()
        },
        ..Config::default()
    };
    let server = Server::bind(config).expect("it listens");
    let (address, handle) = (server.client_address(), server.handle());
    std::thread::spawn(move || server.run());
    Running { address, handle }
}

/// A client that asks.
struct Asker {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
    id: String,
}

impl Asker {
    fn new(server: &Running, user: &str) -> Asker {
        let stream = TcpStream::connect(server.address).expect("it listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a socket");
        let mut lines = BufReader::new(stream.try_clone().expect("a socket"));
        let mut info = String::new();
        lines.read_line(&mut info).expect("INFO");
        let info: Value = serde_json::from_str(&info[5..]).expect("JSON");
        let id = info["server_id"].as_str().expect("an id").to_owned();
        let mut asker = Asker { stream, lines, id };
        asker.say(&format!(
            "CONNECT {{\"verbose\":false,\"user\":\"{user}\",\"pass\":\"{user}\",\"headers\":true,\
             \"no_responders\":true}}\r\nSUB answer 1\r\n"
        ));
        asker
    }

    fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).expect("it reads");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("it writes");
        line.trim_end().to_owned()
    }

    /// The answer; nothing if nobody listens.
    fn ask(&mut self, subject: &str, body: &str) -> Option<Value> {
        self.say(&format!(
            "PUB {subject} answer {}\r\n{body}\r\n",
            body.len()
        ));
        loop {
            let line = self.line();
            if line.starts_with("HMSG") {
                let rest = [self.line(), self.line(), self.line()];
                assert!(rest[0].contains("503"), "{rest:?}");
                return None;
            }
            if line.starts_with("MSG answer") {
                return serde_json::from_str(&self.line()).expect(subject);
            }
        }
    }

    #[track_caller]
    fn data(&mut self, subject: &str, body: &str) -> Value {
        let answer = self.ask(subject, body).expect(subject);
        assert_eq!(answer["server"]["name"], "here", "{answer}");
        assert_eq!(answer["error"], Value::Null, "{answer}");
        answer["data"].clone()
    }
}

#[test]
fn everybody_may_ask_who_they_are_and_what_their_account_does() {
    let server = start();
    let mut root = Asker::new(&server, "root");
    root.data("$SYS.REQ.USER.INFO", "");
    let mut joe = Asker::new(&server, "joe");
    let user = joe.data("$SYS.REQ.USER.INFO", "");
    assert_eq!(user["user"], "joe");
    assert_eq!(
        (&user["account"], &user["account_name"]),
        (&"$G".into(), &"$G".into())
    );
    let subscribe = &user["permissions"]["subscribe"];
    assert_eq!(subscribe["allow"], serde_json::json!([">", "work pool.*"]));
    assert_eq!(subscribe["deny"], serde_json::json!(["secret"]));
    for subject in ["$SYS.REQ.ACCOUNT.PING.CONNZ", "$SYS.REQ.SERVER.PING.CONNZ"] {
        // Other accounts do not show, whatever is asked.
        for options in ["", r#"{"acc":"$SYS","auth":true}"#] {
            let connz = joe.data(subject, options);
            assert_eq!(connz["total"], 1, "{subject} {options}: {connz}");
        }
    }
    let statistics = joe.data("$SYS.REQ.ACCOUNT.PING.STATZ", r#"{"include_unused":true}"#);
    let accounts = statistics["account_statz"].as_array().expect("a list");
    assert_eq!((accounts.len(), &accounts[0]["acc"]), (1, &"$G".into()));
    for subject in [
        "$SYS.REQ.SERVER.PING",
        "$SYS.REQ.SERVER.PING.VARZ",
        "$SYS.REQ.ACCOUNT.$SYS.CONNZ",
        "$SYS.REQ.USER.OTHER",
    ] {
        assert_eq!(joe.ask(subject, ""), None, "{subject}");
    }
}

#[test]
fn clients_of_the_system_account_may_ask_for_every_page() {
    let server = start();
    let _joe = Asker::new(&server, "joe");
    let mut root = Asker::new(&server, "root");
    let id = root.id.clone();
    let ping = root.ask("$SYS.REQ.SERVER.PING", "").expect("a server");
    assert_eq!(ping["server"]["id"], id.as_str());
    assert_eq!(ping["statsz"]["connections"], 2);
    assert_eq!(
        root.ask("$SYS.REQ.SERVER.PING.IDZ", "").expect("an id")["id"],
        id.as_str()
    );
    for page in [
        "VARZ", "CONNZ", "SUBSZ", "JSZ", "ACCOUNTZ", "ROUTEZ", "LEAFZ", "GATEWAYZ",
    ] {
        for server in ["PING", &id] {
            let data = root.data(&format!("$SYS.REQ.SERVER.{server}.{page}"), "");
            assert_eq!(data["server_id"], id.as_str(), "{page}");
        }
    }
    let health = root.data("$SYS.REQ.SERVER.PING.HEALTHZ", "");
    assert_eq!(
        health,
        serde_json::json!({"status_code": 200, "status": "ok"})
    );
    let options = r#"{"acc":"$G","subscriptions":true,"limit":1}"#;
    let connz = root.data("$SYS.REQ.SERVER.PING.CONNZ", options);
    assert_eq!(connz["connections"][0]["subscriptions_list"][0], "answer");
    let connz = root.data("$SYS.REQ.ACCOUNT.$G.CONNZ", "");
    assert_eq!(connz["total"], 1);
    let all = root.data("$SYS.REQ.ACCOUNT.PING.STATZ", "");
    assert_eq!(all["account_statz"].as_array().map(Vec::len), Some(2));
    for subject in ["$SYS.REQ.SERVER.PING.NOPE", "$SYS.REQ.SERVER.NOBODY.VARZ"] {
        assert_eq!(root.ask(subject, ""), None, "{subject}");
    }
}

#[test]
fn a_question_can_be_wrong_or_for_another_server() {
    let server = start();
    let mut root = Asker::new(&server, "root");
    let connz = "$SYS.REQ.SERVER.PING.CONNZ";
    for (options, words) in [
        ("{", "EOF"),
        (r#"{"sort":"size"}"#, "invalid sorting option: size"),
        (r#"{"limit":"x"}"#, "Error decoding int for 'limit'"),
    ] {
        let error = root.ask(connz, options).expect("an answer")["error"].clone();
        assert_eq!(error["code"], 400);
        let said = error["description"].as_str().expect("words");
        assert!(said.contains(words), "{said}");
    }
    // The next answer is the first that comes.
    for elsewhere in [r#"{"server_name":"there"}"#, r#"{"cluster":"C"}"#] {
        let len = elsewhere.len();
        root.say(&format!("PUB {connz} answer {len}\r\n{elsewhere}\r\n"));
    }
    let user = root.data("$SYS.REQ.USER.INFO", "");
    assert_eq!(
        (&user["user"], &user["account"]),
        (&"root".into(), &"$SYS".into())
    );
}

#[test]
fn questions_that_come_together_are_all_answered() {
    let server = start();
    let mut root = Asker::new(&server, "root");
    root.say(&"PUB $SYS.REQ.USER.INFO answer 0\r\n\r\n".repeat(3));
    for _ in 0..3 {
        let line = root.line();
        assert!(line.starts_with("MSG answer"), "{line}");
        root.line();
    }
}

#[test]
fn clients_of_the_system_account_may_ask_for_one_account() {
    let server = start();
    let _joe = Asker::new(&server, "joe");
    let mut root = Asker::new(&server, "root");
    let info = root.data("$SYS.REQ.ACCOUNT.$G.INFO", "");
    assert_eq!(
        (&info["account_name"], &info["client_connections"]),
        (&"$G".into(), &1.into())
    );
    for (subject, words) in [
        ("$SYS.REQ.ACCOUNT.NOPE.INFO", "Account NOPE does not exist"),
        ("$SYS.REQ.ACCOUNT.NOPE.JSZ", "account \"NOPE\" not found"),
        (
            "$SYS.REQ.ACCOUNT.$SYS.JSZ",
            "account \"$SYS\" not jetstream enabled",
        ),
    ] {
        let error = root.ask(subject, "").expect(subject)["error"].clone();
        assert_eq!(
            error,
            serde_json::json!({"code": 500, "description": words})
        );
    }
}

#[test]
fn clients_of_the_system_account_may_send_others_away() {
    let server = start();
    let mut joe = Asker::new(&server, "joe");
    let mut root = Asker::new(&server, "root");
    let order = |order: &str| format!("$SYS.REQ.SERVER.{}.{order}", joe.id);
    let (kick, leave) = (order("KICK"), order("LDM"));
    assert_eq!(joe.ask(&kick, ""), None);
    for (order, words) in [
        (&kick, "no such client or leafnode id"),
        (&leave, "no such client id"),
    ] {
        let error = root.ask(order, r#"{"cid":99}"#).expect("an answer")["error"].clone();
        assert_eq!(
            error,
            serde_json::json!({"code": 500, "description": words})
        );
    }
    joe.say("CONNECT {\"protocol\":1,\"user\":\"joe\",\"pass\":\"joe\"}\r\nPING\r\n");
    while joe.line() != "PONG" {}
    let done = root.ask(&leave, r#"{"cid":1}"#).expect("an answer");
    assert_eq!(done["error"], Value::Null);
    // The first is what follows any first PONG.
    let infos = [joe.line(), joe.line()];
    let is_asked = |info: &String| info.contains("\"ldm\":true");
    assert_eq!(
        infos.iter().map(is_asked).collect::<Vec<_>>(),
        [false, true]
    );
    let done = root.ask(&kick, r#"{"cid":1}"#).expect("an answer");
    assert_eq!(done["error"], Value::Null);
    assert_eq!(joe.line(), "");
}
