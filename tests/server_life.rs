//! Starting, stopping, leaving, and the ways in which a client can be odd.

use crate::util::{PATIENCE, Server, midge};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

#[test]
fn stopping_writes_what_there_is_and_exits_with_0() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start();
        let mut reader = server.client();
        reader.send("SUB a 1\r\n");
        reader.sync();
        let mut writer = server.client();
        let body = "x".repeat(1000);
        for _ in 0..2000 {
            writer.send(format!("PUB a 1000\r\n{body}\r\n"));
        }
        writer.sync();
        server.signal(signal);
        let heard = String::from_utf8(reader.rest()).unwrap();
        assert_eq!(heard.matches("MSG a 1 1000\r\n").count(), 2000);
        assert_eq!(server.wait().code(), Some(0), "{signal}");
    }
}

#[test]
fn a_client_that_never_reads_does_not_keep_a_server_from_stopping() {
    let mut server = Server::start();
    let mut deaf = server.client();
    deaf.send("SUB a 1\r\n");
    deaf.sync();
    let mut writer = server.client();
    let body = "x".repeat(1_000_000);
    for _ in 0..20 {
        writer.send(format!("PUB a 1000000\r\n{body}\r\n"));
    }
    writer.sync();
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_slow_reader_that_is_publishing_gets_all_that_waits_for_it() {
    // Its input is unread when the server closes, which resets a socket that
    // is closed without care, and what was sent is lost.
    for signal in ["TERM", "USR2"] {
        let mut server =
            Server::start_with(&["--lame-duck-grace", "1ms", "--lame-duck-duration", "1ms"]);
        let mut reader = server.client();
        reader.send("SUB a 1\r\n");
        reader.sync();
        let mut writer = server.client();
        let body = "x".repeat(10_000);
        for _ in 0..800 {
            writer.send(format!("PUB a 10000\r\n{body}\r\n"));
        }
        writer.sync();
        let talker = reader.stream.try_clone().unwrap();
        let talking = std::thread::spawn(move || {
            let mut talker = talker;
            while talker.write_all(b"PUB elsewhere 2\r\nhi\r\n").is_ok() {}
        });
        server.signal(signal);
        let heard = reader.rest();
        let heard = String::from_utf8_lossy(&heard);
        assert_eq!(heard.matches("MSG a 1 10000\r\n").count(), 800, "{signal}");
        drop(reader);
        assert_eq!(server.wait().code(), Some(0));
        talking.join().unwrap();
    }
}

#[test]
fn a_name_cannot_forge_the_log() {
    let server = Server::start_with(&["--debug"]);
    let mut client = server.connect();
    client.send("CONNECT {\"name\":\"x\\n[1] [ERR] forged\\u001b[2J\"}\r\n");
    client.expect("+OK\r\n");
    client.send("nonsense\r\n");
    client.rest();
    while !server.log().contains("Protocol Violation") {
        std::thread::yield_now();
    }
    assert!(
        !server.log().lines().any(|line| line.starts_with("[1]")),
        "{}",
        server.log()
    );
    assert!(!server.log().contains('\u{1b}'));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut server = Server::start();
    let _client = server.client();
    server.signal("TERM");
    // The first may have been enough already.
    let _ = Command::new("kill")
        .args(["-INT", &server.pid().to_string()])
        .output();
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn hup_is_no_reason_to_end() {
    let server = Server::start();
    let mut client = server.client();
    server.signal("HUP");
    client.sync();
    client.sync();
}

#[test]
fn a_lame_duck_tells_lets_go_and_exits() {
    let mut server = Server::start_with(&[
        "--lame-duck-grace",
        "100ms",
        "--lame-duck-duration",
        "300ms",
    ]);
    let mut modern = server.connect();
    modern.send("CONNECT {\"verbose\":false,\"protocol\":1}\r\nSUB a 1\r\n");
    assert!(modern.sync().is_empty());
    modern.line();
    let mut old = server.connect();
    old.send("CONNECT {\"verbose\":false,\"protocol\":0}\r\n");
    old.sync();
    server.signal("USR2");
    let info = modern.line();
    assert!(
        info.starts_with("INFO {") && info.contains("\"ldm\":true"),
        "{info}"
    );
    assert!(
        TcpStream::connect(server.address).is_err(),
        "it takes nobody in any more"
    );
    // Those who are here are still served.
    modern.send("PUB a 0\r\n\r\n");
    modern.expect("MSG a 1 0\r\n\r\n");
    modern.expect_end("");
    old.expect_end("");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_lame_duck_without_clients_just_goes() {
    let mut server =
        Server::start_with(&["--lame-duck-grace", "10ms", "--lame-duck-duration", "1h"]);
    server.signal("USR2");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_taken_port_is_said_and_fails() {
    let server = Server::start();
    let output = Command::new(midge())
        .args(["--port", &server.address.port().to_string()])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains(&format!("cannot listen on {}", server.address)),
        "{text}"
    );
}

#[test]
fn a_host_that_is_none_is_said_and_fails() {
    let output = Command::new(midge())
        .args(["--host", "no host"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("cannot resolve host \"no host\""), "{text}");
}

#[test]
fn help_and_version_need_no_server() {
    for (args, words) in [
        (&["--help"][..], "serve"),
        (&["serve", "--help"], "--max-payload"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
    ] {
        let output = Command::new(midge()).args(args).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains(words),
            "{args:?}: {text}"
        );
    }
}

#[test]
fn a_client_that_vanishes_is_forgotten() {
    let server = Server::start_with(&["--http-port", "0"]);
    for _ in 0..20 {
        let mut client = server.client();
        client.send("SUB a 1\r\nSUB b.* q 2\r\nPUB a 100\r\nhalf of it");
        client.send("");
        drop(client);
    }
    server.wait_json("/varz", |varz| {
        varz["connections"] == 0 && varz["subscriptions"] == 0
    });
}

#[test]
fn a_reset_in_the_middle_of_a_delivery_hurts_nobody_else() {
    let server = Server::start_with(&["--http-port", "0"]);
    let mut reader = server.client();
    reader.send("SUB a 1\r\n");
    reader.sync();
    let mut victims: Vec<_> = (0..10).map(|_| server.client()).collect();
    for victim in &mut victims {
        victim.send("SUB a 1\r\n");
        victim.sync();
    }
    let mut writer = server.client();
    let body = "x".repeat(10_000);
    for round in 0..100 {
        writer.send(format!("PUB a 10000\r\n{body}\r\n"));
        if round == 50 {
            // Closing with unread bytes resets the connection.
            victims.clear();
        }
    }
    writer.sync();
    assert_eq!(reader.sync().matches("MSG a 1 10000\r\n").count(), 100);
    server.wait_json("/varz", |varz| varz["connections"] == 2);
}

#[test]
fn a_client_that_says_nothing_is_greeted_and_left_alone() {
    let server = Server::start();
    let mut silent = TcpStream::connect(server.address).unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut info = [0; 6];
    silent.read_exact(&mut info).unwrap();
    assert_eq!(&info, b"INFO {");
    server.client().sync();
}

#[test]
fn pings_go_out_and_silence_ends_the_connection() {
    let server = Server::start_with(&[
        "--ping-interval",
        "30ms",
        "--ping-max",
        "2",
        "--http-port",
        "0",
    ]);
    let mut silent = server.client();
    silent.expect_end("PING\r\nPING\r\n-ERR 'Stale Connection'\r\n");
    let varz = server.json("/varz");
    assert_eq!(varz["stale_connections"], 1);
    // Whoever answers may stay.
    let mut alive = server.client();
    for _ in 0..6 {
        alive.expect("PING\r\n");
        alive.send("PONG\r\n");
    }
}

/// The pages of the program that only the start needed are not resident any more.
#[test]
fn a_server_that_has_started_needs_little_of_the_program() {
    let server = Server::start_with(&["--http-port", "0"]);
    server.client().sync();
    let (resident, most) = (server.resident_kib(), server.resident_peak_kib());
    let of_files = resident - server.anonymous_kib();
    assert!(6 * of_files < 5 * most, "{of_files} of {most} KiB");
}
