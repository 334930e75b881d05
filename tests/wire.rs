//! The protocol, conversation by conversation, as nats-server 2.15.1 was seen
//! to hold it.

use crate::util::{CONNECT, Server};

/// How a conversation leaves the connection.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Open,
    Closed,
}
use Then::{Closed, Open};

#[track_caller]
fn converse(server: &Server, said: &str, heard: &str, then: Then) {
    let mut client = server.connect();
    client.send(said);
    match then {
        Open => {
            client.expect(heard);
            assert_eq!(
                client.sync().replace(&client.info, ""),
                "",
                "after {said:?}"
            );
        }
        Closed => client.expect_end(heard),
    }
}

#[test]
fn faults_close_with_the_words_that_clients_know_or_silently() {
    let server = Server::start();
    let unknown = "-ERR 'Unknown Protocol Operation'\r\n";
    for said in [
        "FOO\r\n",
        "\r\n",
        " PING\r\n",
        "PIN\r\n",
        "PUB\r\n",
        "SUB\r\n",
        "UNSUB\r\n",
        "PUBa 0\r\n",
        "A+ x\r\n",
        "L+ x\r\n",
        "R+ x\r\n",
        "MSG a 1 0\r\n\r\n",
        "-ERR\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "\x16\x03\x01\x02",
    ] {
        converse(&server, said, unknown, Closed);
    }
    for said in [
        "PUB \r\n",
        "PUB a\r\n",
        "PUB a b c 2\r\n",
        "PUB a -1\r\n",
        "PUB a +2\r\n",
        "PUB a 2x\r\n",
        "PUB a 9999999999\r\n",
        "PUB a 000000000002\r\n",
        "PUB a 0\r\r\n\r\n",
        "SUB a\r\n",
        "SUB   \r\n",
        "SUB a b c d\r\n",
        "UNSUB \r\n",
        "UNSUB 1 2 3\r\n",
        "CONNECT\r\n",
        "CONNECT \r\n",
        "INFO\r\n",
        "-ERR 'x'\r\n",
        "HPUB a 2 2\r\nhi\r\n",
    ] {
        converse(&server, said, "", Closed);
    }
    for said in [
        "HPUB a 3 2\r\n",
        "HPUB a 2\r\n",
        "HPUB a r x 14 15\r\n",
        "HPUB a 99999999999 5\r\n",
    ] {
        converse(&server, &format!("{CONNECT}{said}"), "", Closed);
    }
}

#[test]
fn payloads_end_in_cr_lf_and_nothing_else() {
    let server = Server::start();
    let unknown = "-ERR 'Unknown Protocol Operation'\r\n";
    for payload in ["hixx\r\n", "hi\n.", "hi\r.", "h\r\n\r\n"] {
        converse(
            &server,
            &format!("{CONNECT}PUB a 2\r\n{payload}"),
            unknown,
            Closed,
        );
    }
    converse(&server, "PUB a 0\r\n\n.", unknown, Closed);
    converse(
        &server,
        &format!("{CONNECT}SUB a 1\r\nPUB a 2\nhi\r\n"),
        "MSG a 1 2\r\nhi\r\n",
        Open,
    );
}

#[test]
fn control_lines_are_read_leniently() {
    let server = Server::start();
    for said in [
        "SUB  a   1\r\n",
        "SUB a\t1\r\n",
        "SUB a 1 \r\n",
        "sub a 1\r\n",
        "SuB a q 1\r\n",
        "SUB a\r 1\r\n",
        "SUB a 1\n",
        "SUB a 1\r\r\n",
        "UNSUB 1 abc\r\n",
        "unsub\t1\r\n",
        "CONNECT{}\r\n",
        "CONNECT  {}  \r\n",
        "connect {}\r\n",
        "PUB a 0\r\n\r\n",
        "pub a \t 0 \r\n\r\n",
    ] {
        converse(&server, said, "+OK\r\n", Open);
    }
    for said in [
        "PING\r\n",
        "PINGX\r\n",
        "ping foo\r\n",
        "PING\n",
        "PING\r\r\n",
    ] {
        converse(&server, said, "PONG\r\n", Open);
    }
    for said in [
        "+OK\r\n",
        "+OKxyz\r\n",
        "INFO {}\r\n",
        "PONG\r\n",
        "pong x\r\n",
    ] {
        converse(&server, said, "", Open);
    }
}

#[test]
fn connect_applies_its_options() {
    let server = Server::start();
    for (json, heard, then) in [
        (r#"{}"#, "+OK\r\n", Open),
        (r#"null"#, "+OK\r\n", Open),
        (r#"{"verbose":null}"#, "+OK\r\n", Open),
        (r#"{"VERBOSE":false}"#, "", Open),
        (
            r#"{"lang":"x","lang":"y","verbose":false,"unheard":[1]}"#,
            "",
            Open,
        ),
        (
            r#"{"protocol":2}"#,
            "-ERR 'invalid client protocol'\r\n",
            Closed,
        ),
        (
            r#"{"protocol":-1}"#,
            "-ERR 'invalid client protocol'\r\n",
            Closed,
        ),
        (
            r#"{"no_responders":true}"#,
            "-ERR 'no responders requires headers support'\r\n",
            Closed,
        ),
        (
            r#"{"account":"x"}"#,
            "-ERR 'Authorization Violation'\r\n",
            Closed,
        ),
        (
            r#"{"new_account":true}"#,
            "-ERR 'Authorization Violation'\r\n",
            Closed,
        ),
        (r#"{"verbose":"yes"}"#, "", Closed),
        (r#"{"protocol":1.0}"#, "", Closed),
        (r#"{"name":1}"#, "", Closed),
        (r#"{"verbose":false} x"#, "", Closed),
        (r#"[]"#, "", Closed),
        (r#"{"#, "", Closed),
    ] {
        converse(&server, &format!("CONNECT {json}\r\n"), heard, then);
    }
}

#[test]
fn verbose_sessions_hear_ok_before_their_own_message() {
    let server = Server::start();
    converse(
        &server,
        "SUB a 1\r\nPUB a 2\r\nhi\r\nUNSUB 1\r\nUNSUB 9\r\n",
        "+OK\r\n+OK\r\nMSG a 1 2\r\nhi\r\n+OK\r\n+OK\r\n",
        Open,
    );
}

#[test]
fn pedantic_sessions_are_told_but_their_message_goes_out() {
    let server = Server::start();
    for subject in ["a.*", "a.>", "a..b", ".a"] {
        let heard = "-ERR 'Invalid Publish Subject'\r\n+OK\r\n";
        converse(&server, &format!("PUB {subject} 0\r\n\r\n"), heard, Open);
    }
    converse(
        &server,
        "CONNECT {\"verbose\":false}\r\nSUB > 1\r\nPUB a.* 0\r\n\r\n",
        "-ERR 'Invalid Publish Subject'\r\nMSG a.* 1 0\r\n\r\n",
        Open,
    );
}

#[test]
fn bad_subscriptions_are_refused_and_the_connection_stays() {
    let server = Server::start();
    for subject in ["a..b", ">.a", ".a", "a.", "a.>.b", "."] {
        converse(
            &server,
            &format!("SUB {subject} 1\r\n"),
            "-ERR 'Invalid Subject'\r\n",
            Open,
        );
    }
}

#[test]
fn reserved_replies_are_refused() {
    let server = Server::start();
    for reply in ["$JS.ACK.a", "_R_.a", "_GR_.a"] {
        converse(
            &server,
            &format!("{CONNECT}SUB x 1\r\nPUB x {reply} 0\r\n\r\n"),
            &format!("-ERR 'Permissions Violation for Publish with Reply of \"{reply}\"'\r\n"),
            Open,
        );
    }
    converse(
        &server,
        &format!("{CONNECT}SUB x 1\r\nPUB x _R_ 0\r\n\r\n"),
        "MSG x 1 _R_ 0\r\n\r\n",
        Open,
    );
}

#[test]
fn subjects_of_servers_are_refused() {
    let server = Server::start();
    for subject in ["_GR_.a", "$GR.x", "$NRG.x"] {
        let words = format!("Permissions Violation for Publish to \"{subject}\"");
        converse(
            &server,
            &format!("{CONNECT}SUB > 1\r\nPUB {subject} 0\r\n\r\n"),
            &format!("-ERR '{words}'\r\n"),
            Open,
        );
    }
    converse(
        &server,
        &format!("{CONNECT}SUB > 1\r\nPUB _R_.a 0\r\n\r\n"),
        "MSG _R_.a 1 0\r\n\r\n",
        Open,
    );
}

#[test]
fn sizes_are_passed_on_as_typed() {
    let server = Server::start();
    let hello = "NATS/1.0\r\n\r\n";
    converse(
        &server,
        &format!("{CONNECT}SUB a 1\r\nPUB a 002\r\nhi\r\n"),
        "MSG a 1 002\r\nhi\r\n",
        Open,
    );
    converse(
        &server,
        &format!("{CONNECT}SUB a 1\r\nHPUB a  r 012 014\r\n{hello}hi\r\n"),
        &format!("HMSG a 1 r 012 014\r\n{hello}hi\r\n"),
        Open,
    );
}

#[test]
fn the_second_info_follows_the_first_pong() {
    let server = Server::start();
    let mut client = server.connect();
    client.send("CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\nPING\r\n");
    client.expect("PONG\r\nINFO {");
    let info = client.line();
    assert!(info.contains("\"connect_info\":true"), "{info}");
    assert!(info.contains("\"remote_account\":\"$G\""), "{info}");
    client.expect("PONG\r\n");
    // Clients of protocol 0 could not tell it from an answer.
    converse(
        &server,
        "CONNECT {\"verbose\":false}\r\nPING\r\nPING\r\n",
        "PONG\r\nPONG\r\n",
        Open,
    );
}

#[test]
fn a_second_connect_starts_over() {
    let server = Server::start();
    let mut client = server.client();
    client.send("SUB a 1\r\n");
    client.send("CONNECT {\"verbose\":true}\r\n");
    client.expect("+OK\r\n");
    client.send("PUB a 0\r\n\r\n");
    client.expect("+OK\r\n");
    assert!(!client.sync().contains("MSG"));
    // What it does not name stays as it was.
    client.send("HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n");
    client.expect("+OK\r\n");
}

#[test]
fn info_names_the_server() {
    let server = Server::start_with(&["--name", "edge-7"]);
    let info: serde_json::Value =
        serde_json::from_str(&server.connect().info["INFO ".len()..]).expect("json");
    assert_eq!(info["server_name"], "edge-7");
    assert_eq!(info["port"], server.address.port());
    assert_eq!(info["max_payload"], 1_048_576);
    assert_eq!(info["headers"], true);
    assert_eq!(info["proto"], 1);
    assert_eq!(info["client_ip"], "127.0.0.1");
    assert_eq!(info["server_id"].as_str().map(str::len), Some(56));
    assert!(info["client_id"].as_u64() > Some(0));
    assert!(info.get("auth_required").is_none() && info.get("ldm").is_none());
}

#[test]
fn a_client_that_hangs_up_at_once_is_still_answered() {
    let server = Server::start();
    let mut client = server.connect();
    client.send("SUB a 1\r\nPUB a 2\r\nhi\r\nPING\r\n");
    client.shut_write();
    client.expect_end("+OK\r\n+OK\r\nMSG a 1 2\r\nhi\r\nPONG\r\n");
}
