//! Whole configurations as people write them for nats-server, which takes each
//! of these as well; see tests/conf.

use crate::util::{Client, Server};

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
