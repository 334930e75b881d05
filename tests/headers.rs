//! Header blocks, for those who take them and those who don't.

use crate::util::{CONNECT, Server};

const BLOCK: &str = "NATS/1.0\r\nA: 1\r\nB: 2\r\n\r\n";

#[test]
fn clients_without_headers_get_the_body_alone() {
    let server = Server::start();
    let mut plain = server.connect();
    plain.send("CONNECT {\"verbose\":false}\r\nSUB h 1\r\n");
    plain.sync();
    let mut rich = server.client();
    rich.send("SUB h 1\r\n");
    rich.sync();
    let mut publisher = server.client();
    let total = BLOCK.len() + 5;
    publisher.send(format!(
        "HPUB h re {} {total}\r\n{BLOCK}hello\r\n",
        BLOCK.len()
    ));
    rich.expect(format!(
        "HMSG h 1 re {} {total}\r\n{BLOCK}hello\r\n",
        BLOCK.len()
    ));
    plain.expect("MSG h 1 re 5\r\nhello\r\n");
}

#[test]
fn a_large_body_is_stripped_like_a_small_one() {
    let server = Server::start();
    let mut plain = server.connect();
    plain.send("CONNECT {\"verbose\":false}\r\nSUB h 1\r\n");
    plain.sync();
    let body = "x".repeat(100_000);
    let mut publisher = server.client();
    let total = BLOCK.len() + body.len();
    for _ in 0..2 {
        publisher.send(format!(
            "HPUB h {} {total}\r\n{BLOCK}{body}\r\n",
            BLOCK.len()
        ));
        plain.expect(format!("MSG h 1 100000\r\n{body}\r\n"));
    }
}

#[test]
fn blocks_are_not_looked_into() {
    let server = Server::start();
    let mut client = server.client();
    client.send("SUB h 1\r\n");
    client.sync();
    for (said, heard) in [
        ("HPUB h 2 4\r\n!!hi\r\n", "HMSG h 1 2 4\r\n!!hi\r\n"),
        ("HPUB h 0 2\r\nhi\r\n", "MSG h 1 2\r\nhi\r\n"),
        ("HPUB h 0 0\r\n\r\n", "MSG h 1 0\r\n\r\n"),
        ("HPUB h 2 2\r\nhi\r\n", "HMSG h 1 2 2\r\nhi\r\n"),
    ] {
        client.send(said);
        client.expect(heard);
    }
}

#[test]
fn the_limit_counts_the_block() {
    let server = Server::start_with(&["--max-payload", "100"]);
    let mut client = server.connect();
    client.send(CONNECT);
    client.send("SUB h 1\r\nHPUB h 12 100\r\n");
    client.send(format!("NATS/1.0\r\n\r\n{}\r\n", "x".repeat(88)));
    client.expect("HMSG h 1 12 100\r\n");
    client.line();
    client.send("HPUB h 12 101\r\n");
    let rest = String::from_utf8(client.rest()).unwrap();
    assert!(
        rest.ends_with("-ERR 'Maximum Payload Violation'\r\n"),
        "{rest}"
    );
}
