//! The domain of a server: another name for its stream API.

use crate::stream_util::{Dir, End};
use crate::util::{Client, File, Server};

fn start(dir: &Dir, more: &str) -> Server {
    let store = dir.store();
    let text = format!("store: {store:?}\njetstream {{ domain: cellar }}\n{more}");
    let file = File::new("domain", &text);
    dir.serve_with(&["--config", file.path()])
}

fn tells_domain(client: &mut Client, subject: &str) -> bool {
    client.ask(subject, "").json()["domain"] == "cellar"
}

#[test]
fn the_api_is_reached_by_the_domain() {
    let dir = Dir::new();
    let server = start(&dir, "");
    let mut watcher = server.client();
    let info = watcher.info.clone();
    assert!(info.contains(r#""domain":"cellar""#), "{info}");
    watcher.send("SUB $JS.EVENT.ADVISORY.STREAM.> 1\r\n");
    watcher.sync();
    let mut client = server.client();
    let config = r#"{"name":"S","subjects":["s"]}"#;
    let made = client.ask("$JS.cellar.API.STREAM.CREATE.S", config);
    assert_eq!(made.json()["config"]["name"], "S");
    assert_eq!(watcher.message().json()["domain"], "cellar");
    assert!(tells_domain(&mut client, "$JS.cellar.API.INFO"));
    assert!(tells_domain(&mut client, "$JS.API.INFO"));
    assert!(tells_domain(&mut client, "$JS.cellar.API.STREAM.INFO.S"));
    let ack = client.ask("s", "x").text();
    assert_eq!(ack, r#"{"stream":"S","domain":"cellar","seq":1}"#);
    let config = r#"{"stream_name":"S","config":{"durable_name":"d","ack_policy":"explicit"}}"#;
    client.ask("$JS.cellar.API.CONSUMER.CREATE.S.d", config);
    let taken = client.ask("$JS.cellar.API.CONSUMER.MSG.NEXT.S.d", "1");
    assert_eq!(taken.text(), "x");
    // Nobody answers for another domain.
    let other = client.ask("$JS.attic.API.INFO", "");
    assert!(other.header.starts_with("NATS/1.0 503\r\n"), "{other:?}");
    End::Killed.bring(server);
    let server = start(&dir, "");
    let mut client = server.client();
    let ack = client.ask("s", "y").text();
    assert_eq!(ack, r#"{"stream":"S","domain":"cellar","seq":2}"#);
}

/// Clients with a domain write their buckets by it.
#[test]
fn buckets_are_written_by_the_domain() {
    let dir = Dir::new();
    let server = start(&dir, "");
    let mut client = server.client();
    for (name, subject, other) in [
        ("KV_b", "$KV.b.>", "$KV.b.k"),
        ("OBJ_o", "$OBJ.o", "$OBJ.o"),
    ] {
        let config = format!(r#"{{"name":"{name}","subjects":["{subject}"]}}"#);
        client.ask(&format!("$JS.cellar.API.STREAM.CREATE.{name}"), config);
        let mut watcher = server.client();
        watcher.send(format!("SUB {subject} 1\r\n"));
        watcher.sync();
        let ack = client.ask(&format!("$JS.cellar.API.{other}"), "v").text();
        assert_eq!(
            ack,
            format!(r#"{{"stream":"{name}","domain":"cellar","seq":1}}"#)
        );
        assert_eq!(watcher.message().subject, other);
        let info = client.ask(
            &format!("$JS.API.STREAM.INFO.{name}"),
            r#"{"subjects_filter":">"}"#,
        );
        assert_eq!(
            info.json()["state"]["subjects"],
            serde_json::json!({ other: 1 })
        );
    }
    // What nobody knows is told at once.
    for unknown in ["NOPE", "$KV", "$O.a", "STREAM"] {
        let none = client.ask(&format!("$JS.cellar.API.{unknown}"), "");
        assert!(
            none.header.starts_with("NATS/1.0 503\r\n"),
            "{unknown}: {none:?}"
        );
    }
}

/// Each account has its own API under the same name.
#[test]
fn the_domain_is_one_of_all_accounts() {
    let dir = Dir::new();
    let accounts = "accounts {
        a { users: [{user: a, pass: a}], jetstream: enabled }
        b { users: [{user: b, pass: b}], jetstream: enabled }
    }";
    let server = start(&dir, accounts);
    for name in ["a", "b"] {
        let mut client = server.enter(name, name);
        let config = format!(r#"{{"name":"{name}","subjects":["s"]}}"#);
        let made = client.ask(&format!("$JS.cellar.API.STREAM.CREATE.{name}"), config);
        assert_eq!(made.json()["config"]["name"], name, "{}", made.text());
        let names = client.ask("$JS.cellar.API.STREAM.NAMES", "").json();
        assert_eq!(names["streams"], serde_json::json!([name]));
    }
}

/// Another would leave clients that are set up for this one without an API.
#[test]
fn the_domain_stays_until_a_restart() {
    let dir = Dir::new();
    let file = File::new("domain", "jetstream { domain: cellar }");
    let server = dir.serve_with(&["--config", file.path(), "--http-port", "0"]);
    let shown = |server: &Server| server.json("/jsz")["config"]["domain"].clone();
    assert_eq!(shown(&server), "cellar");
    file.replace("jetstream { domain: attic }");
    server.signal("HUP");
    server.wait_log("jetstream cannot change while the server runs");
    server.wait_log("Reloaded: ");
    assert_eq!(shown(&server), "cellar");
    assert!(tells_domain(&mut server.client(), "$JS.cellar.API.INFO"));
}

#[test]
fn a_domain_is_one_token() {
    for wrong in ["a.b", "*", "\"a b\"", "API", "\"\""] {
        let text = format!("jetstream {{ domain: {wrong} }}\n");
        let file = File::new("no-domain", &text);
        let checked = std::process::Command::new(crate::util::midge())
            .args(["serve", "--check", "--config", file.path()])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(!checked.status.success(), "{wrong}: {said}");
        assert!(said.contains("one token of a subject"), "{wrong}: {said}");
    }
}
