//! Each limit, at it and past it.

use crate::util::{CONNECT, Server, midge};

#[test]
fn a_control_line_may_have_4096_bytes_of_argument() {
    let server = Server::start();
    let mut client = server.connect();
    client.send(format!("SUB   {} 1\r\n", "a".repeat(4094)));
    client.expect("+OK\r\n");
    client.send(format!("SUB {} 1\r\n", "a".repeat(4095)));
    client.expect_end("-ERR 'maximum control line exceeded'\r\n");
    let mut client = server.connect();
    client.send(format!("CONNECT {{\"name\":\"{}\"}}\r\n", "a".repeat(4096)));
    client.expect_end("-ERR 'maximum control line exceeded'\r\n");
    // The line need not end for it to be too long.
    let mut client = server.connect();
    client.send(format!("PUB {}", "a".repeat(4200)));
    client.expect_end("-ERR 'maximum control line exceeded'\r\n");
    let mut client = server.connect();
    client.send(format!("PUB {}", " ".repeat(70_000)));
    client.expect_end("-ERR 'maximum control line exceeded'\r\n");
}

#[test]
fn the_control_line_limit_is_a_flag() {
    let server = Server::start_with(&["--max-control-line", "64"]);
    let mut client = server.connect();
    client.send(format!("SUB {} 1\r\n", "a".repeat(62)));
    client.expect("+OK\r\n");
    client.send(format!("SUB {} 1\r\n", "a".repeat(63)));
    client.expect_end("-ERR 'maximum control line exceeded'\r\n");
}

#[test]
fn too_large_a_payload_is_refused_before_it_comes() {
    let server = Server::start();
    let mut client = server.connect();
    client.send(format!("{CONNECT}PUB a 1048577\r\n"));
    client.expect_end("-ERR 'Maximum Payload Violation'\r\n");
    // Also when the client keeps sending: the words must not be lost.
    let server = Server::start_with(&["--max-payload", "64KB"]);
    let mut client = server.connect();
    client.send(format!("{CONNECT}PUB a 1048576\r\n"));
    client.try_send(vec![b'x'; 1_048_576]);
    client.expect_end("-ERR 'Maximum Payload Violation'\r\n");
}

#[test]
fn subscriptions_are_limited_by_connection() {
    let server = Server::start_with(&["--max-subscriptions", "2", "--max-subject-tokens", "3"]);
    let mut client = server.client();
    client.send("SUB a 1\r\nSUB a.b.c.d 9\r\nSUB b 2\r\nSUB c 3\r\nSUB a 1\r\n");
    client.expect(
        "-ERR 'Permissions Violation for Subscription to \"a.b.c.d\", too many tokens'\r\n",
    );
    client.expect(
        "-ERR 'maximum subscriptions exceeded'\r\n-ERR 'maximum subscriptions exceeded'\r\n",
    );
    client.send("UNSUB 1\r\nSUB c 3\r\nPUB c 0\r\n\r\n");
    client.expect("MSG c 3 0\r\n\r\n");
}

#[test]
fn connections_are_limited_and_the_next_is_told() {
    let server = Server::start_with(&["--max-connections", "2"]);
    let (first, _second) = (server.client(), server.client());
    let mut third = server.connect();
    third.expect_end("-ERR 'maximum connections exceeded'\r\n");
    drop(first);
    // Its place is free as soon as the server has noticed.
    loop {
        let mut next = server.connect();
        next.try_send("PING\r\n");
        if next.line() == "PONG" {
            break;
        }
    }
}

#[test]
fn running_out_of_descriptors_costs_only_those_who_wait() {
    let mut command = std::process::Command::new("sh");
    let midge = midge();
    // A store takes descriptors too.
    let no_store = if cfg!(feature = "streams") {
        "--no-store"
    } else {
        ""
    };
    command.args([
        "-c",
        &format!("ulimit -n 24; exec {midge} --port 0 {no_store}"),
    ]);
    let server = Server::spawn(command);
    let mut first = server.client();
    let mut waiting = Vec::new();
    for _ in 0..40 {
        waiting.push(std::net::TcpStream::connect(server.address).unwrap());
    }
    first.sync();
    drop(waiting);
    // Those who gave up make room, and new ones are served again.
    let mut next = server.client();
    next.sync();
    first.sync();
    assert_eq!(
        server.log().matches("cannot accept").count(),
        1,
        "{}",
        server.log()
    );
}

#[test]
fn a_wrong_flag_is_explained() {
    for (args, words) in [
        (
            &["--max-payload", "lots"][..],
            "--max-payload takes a number",
        ),
        (
            &["--ping-interval", "fast"],
            "--ping-interval takes a duration",
        ),
        (&["--user", "u"], "--user and --pass go together"),
        (&["--auth", "t", "--user", "u"], "--auth goes without"),
        (&["--max-pending", "1KB"], "--max-pending must be at least"),
        (&["--ping-interval", "0s"], "--ping-interval must be"),
        (&["--max-payload", "2GB"], "--max-payload must be"),
        (
            &["--max-control-line", "18446744073709551549"],
            "--max-control-line must be",
        ),
        (&["--max-connections", "0"], "--max-connections must be"),
        (&["--no-such-flag"], "--no-such-flag"),
        (&["no-such-command"], "no-such-command"),
    ] {
        let output = std::process::Command::new(midge())
            .args(args)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
        assert!(text.contains(words), "{args:?}: {text}");
    }
}
