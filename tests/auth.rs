//! Credentials, and what happens without them.

use crate::util::Server;

const VIOLATION: &str = "-ERR 'Authorization Violation'\r\n";

#[test]
fn only_the_right_user_and_password_enter() {
    let server = Server::start_with(&["--user", "u", "--pass", "p", "--http-port", "0"]);
    for json in [
        "{}",
        r#"{"user":"u"}"#,
        r#"{"user":"u","pass":"x"}"#,
        r#"{"user":"x","pass":"p"}"#,
        r#"{"auth_token":"p"}"#,
        r#"{"user":"u","pass":"x","protocol":3}"#,
    ] {
        let mut client = server.connect();
        assert!(client.info.contains("\"auth_required\":true"));
        client.send(format!("CONNECT {json}\r\n"));
        client.expect_end(VIOLATION);
    }
    let mut client = server.connect();
    client.send("CONNECT {\"user\":\"u\",\"pass\":\"p\"}\r\nSUB a 1\r\nPUB a 0\r\n\r\n");
    client.expect("+OK\r\n+OK\r\n+OK\r\nMSG a 1 0\r\n\r\n");
    assert_eq!(
        server.json("/connz?auth=1")["connections"][0]["authorized_user"],
        "u"
    );
    // Saying it again without the secret goes by the first time.
    client.send("CONNECT {}\r\n");
    client.expect("+OK\r\n");
    client.send("CONNECT {\"user\":\"u\",\"pass\":\"x\"}\r\n");
    client.expect_end(VIOLATION);
}

#[test]
fn only_the_right_token_enters() {
    let server = Server::start_with(&["--auth", "secret"]);
    let mut client = server.connect();
    client.send("CONNECT {\"auth_token\":\"secre\"}\r\n");
    client.expect_end(VIOLATION);
    let mut client = server.connect();
    client.send("CONNECT {\"auth_token\":\"secret\",\"verbose\":false}\r\n");
    client.sync();
}

#[test]
fn nothing_but_connect_is_done_before_it() {
    let server = Server::start_with(&["--user", "u", "--pass", "p"]);
    for said in [
        "HELP\n",
        "PING\r\n",
        "FOO\r\n",
        "SUB a 1\r\n",
        "PUB a 0\r\n\r\n",
        "PUB a 1000000\r\n",
        "SEND a b\n",
        "x\n",
    ] {
        let mut client = server.connect();
        client.send(said);
        client.expect_end(VIOLATION);
    }
    let mut client = server.connect();
    client.send("CONNECT\r\n");
    client.expect_end("");
}

#[test]
fn a_client_that_does_not_show_them_in_time_is_cut() {
    let server = Server::start_with(&["--auth", "t", "--auth-timeout", "50ms", "--http-port", "0"]);
    let mut client = server.connect();
    client.expect_end("-ERR 'Authentication Timeout'\r\n");
    let closed = server.json("/connz?state=closed");
    assert_eq!(closed["connections"][0]["reason"], "Authentication Timeout");
}
