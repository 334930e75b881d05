//! Whole configurations as people write them for nats-server, which takes each
//! of these as well; see tests/conf.

use crate::util::{Client, File, Server};

fn server(name: &str) -> Server {
    let path = format!("{}/tests/conf/{name}", env!("CARGO_MANIFEST_DIR"));
    let server =
        Server::start_with(&["--config", &path, "--host", "127.0.0.1", "--http-port", "0"]);
    let log = server.log();
    assert!(!log.contains("[WRN]"), "{log}");
    server
}

/// Enters and says something; what comes back before the PONG.
fn say(server: &Server, credentials: &str, words: &str) -> String {
    let mut client: Client = server.connect();
    client.send(format!(
        "CONNECT {{\"verbose\":false{credentials}}}\r\n{words}"
    ));
    client.sync()
}

fn named(user: &str, pass: &str) -> String {
    format!(",\"user\":\"{user}\",\"pass\":\"{pass}\"")
}

#[test]
fn one_user() {
    let server = server("one_user.conf");
    let info = server.connect().info;
    assert!(info.contains("\"server_name\":\"greenhouse-1\""), "{info}");
    assert!(info.contains("\"max_payload\":262144"), "{info}");
    assert_eq!(say(&server, &named("greenhouse", "tomato"), ""), "");
    let mut wrong = server.connect();
    wrong.send("CONNECT {\"user\":\"greenhouse\",\"pass\":\"potato\"}\r\n");
    wrong.expect_end("-ERR 'Authorization Violation'\r\n");
    let varz = server.json("/varz");
    assert_eq!(
        (&varz["auth_timeout"], &varz["max_connections"]),
        (&1.5.into(), &100.into())
    );
}

#[test]
fn sensors() {
    let server = server("sensors.conf");
    for (user, pass, allowed, denied) in [
        (
            "roof",
            "roof-secret",
            "PUB readings.roof.heat 0\r\n\r\nSUB _INBOX.> 1\r\n",
            "readings.>",
        ),
        (
            "cellar",
            "cellar secret",
            "PUB alive.cellar 0\r\n\r\n",
            "alive.>",
        ),
        (
            "service",
            "s",
            "PUB orders.new 0\r\n\r\nSUB work pool 1\r\n",
            "work",
        ),
        (
            "visitor",
            "visitor",
            "PUB SANDBOX.x 0\r\n\r\nSUB PUBLIC.x 1\r\n",
            "SANDBOX.x",
        ),
    ] {
        assert_eq!(say(&server, &named(user, pass), allowed), "", "{user}");
        let said = say(&server, &named(user, pass), &format!("SUB {denied} 2\r\n"));
        assert!(
            said.starts_with("-ERR 'Permissions Violation"),
            "{user}: {said}"
        );
    }
    assert_eq!(
        say(
            &server,
            &named("operator", "s3cr3t"),
            "SUB > 1\r\nPUB a 0\r\n\r\n"
        ),
        "MSG a 1 0\r\n\r\n"
    );
}

#[test]
fn keys() {
    let server = server("keys.conf");
    let info = server.connect().info;
    assert!(
        info.contains("\"nonce\":\"") && !info.contains("auth_required"),
        "{info}"
    );
    assert_eq!(say(&server, "", "SUB public.x 1\r\n"), "");
    let said = say(&server, "", "PUB public.x 0\r\n\r\n");
    assert_eq!(
        said,
        "-ERR 'Permissions Violation for Publish to \"public.x\"'\r\n"
    );
}

#[cfg(feature = "streams")]
#[test]
fn streams() {
    let server = server("streams.conf");
    assert_eq!(say(&server, ",\"auth_token\":\"a-long-token\"", ""), "");
    let varz = server.json("/varz");
    assert_eq!(varz["max_control_line"], 8192);
    assert_eq!(varz["max_pending"], 128 << 20);
}

#[test]
fn plain_json() {
    let server = server("plain.json");
    assert_eq!(say(&server, &named("a", "b"), "PUB x.y 0\r\n\r\n"), "");
    let said = say(&server, &named("a", "b"), "PUB x.y.z 0\r\n\r\n");
    assert!(said.contains("Publish to \"x.y.z\""), "{said}");
    assert_eq!(say(&server, &named("c", "d"), "PUB x.y.z 0\r\n\r\n"), "");
}

/// A server by this file, and what it warns of.
fn warned(text: &str) -> (Server, String) {
    let file = File::new("warned", text);
    let server = Server::start_with(&["--config", file.path()]);
    let log = server.log().replace(file.path(), "FILE");
    (server, log)
}

#[test]
fn doors_that_are_not_there_are_passed_over() {
    let (server, log) = warned(
        "cluster { name: c, listen: \"127.0.0.1:-1\", routes: [] }
gateway { name: g, port: -1 }
leafnodes { listen: \"127.0.0.1:-1\" }
websocket { port: -1, no_tls: true }
mqtt { port: -1 }\n",
    );
    let names = ["cluster", "gateway", "leafnodes", "websocket", "mqtt"];
    for (line, name) in (1..).zip(names) {
        let words = format!("FILE:{line}: {name} is not served here");
        assert!(log.contains(&words), "{log}");
    }
    server.client().sync();
}

#[test]
fn a_user_without_a_password_enters_by_the_name() {
    let (server, log) = warned(
        "authorization { users [ { user: open }, { user: shut, pass: p }, { user: all, pass: \"\" } ] }
no_auth_user: all\n",
    );
    assert!(log.contains("user \"open\" has no password"), "{log}");
    assert!(
        !log.contains("\"all\"") && !log.contains("\"shut\""),
        "{log}"
    );
    for credentials in [
        "",
        ",\"user\":\"open\"",
        ",\"user\":\"all\"",
        &named("open", ""),
    ] {
        assert_eq!(say(&server, credentials, ""), "", "{credentials}");
    }
    for (user, pass) in [("open", "p"), ("shut", ""), ("nobody", "")] {
        let mut client = server.connect();
        client.send(format!(
            "CONNECT {{\"verbose\":false{}}}\r\n",
            named(user, pass)
        ));
        client.expect_end("-ERR 'Authorization Violation'\r\n");
    }
}

#[test]
fn variables_may_stand_where_keys_are_known() {
    let (server, _) = warned(
        "authorization {
  SERVICE = { publish: \"answers.>\", subscribe: \"ask\" }
  users: [ { user: service, word: s, password: $word, permissions: $SERVICE } ]
}\n",
    );
    let said = say(&server, &named("service", "s"), "SUB ask 1\r\nSUB b 2\r\n");
    assert_eq!(
        said,
        "-ERR 'Permissions Violation for Subscription to \"b\"'\r\n"
    );
}

#[test]
fn a_payload_may_be_as_long_as_what_may_wait() {
    let (server, _) = warned("max_payload: 200KB\nmax_pending: 200KB\n");
    let mut client = server.client();
    client.send(format!(
        "SUB a 1\r\nPUB a 204800\r\n{}\r\n",
        "x".repeat(204_800)
    ));
    client.expect(format!("MSG a 1 204800\r\n{}\r\n", "x".repeat(204_800)));
}

#[test]
fn headers_may_be_left_out() {
    let (server, _) = warned("no_header_support: true\n");
    let mut client = server.connect();
    assert!(client.info.contains("\"headers\":false"), "{}", client.info);
    client.send("CONNECT {\"verbose\":false,\"headers\":true}\r\n");
    client.sync();
    client.send("HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n");
    client.expect_end("");
    let mut client = server.connect();
    client.send("CONNECT {\"headers\":true,\"no_responders\":true}\r\n");
    client.expect_end("-ERR 'no responders requires headers support'\r\n");
}

#[cfg(feature = "tls")]
#[test]
fn tls_without_a_certificate_is_none() {
    let (server, log) = warned("tls {}\nallow_non_tls: true\n");
    assert!(log.contains("tls: there is no certificate"), "{log}");
    let mut client = server.client();
    assert!(!client.info.contains("tls"), "{}", client.info);
    client.sync();
}
