//! A build without streams: it says so, and the rest works.

use crate::util::Server;
use std::process::Command;

#[test]
fn it_offers_no_streams() {
    let server = Server::start_with(&["--http-port", "0"]);
    let mut client = server.client();
    assert!(!client.info.contains("jetstream"), "{}", client.info);
    client.send("SUB answer 1\r\nPUB $JS.API.INFO answer 0\r\n\r\n");
    client.expect("HMSG answer 1 ");
    assert!(client.line().contains(' '));
    client.expect("NATS/1.0 503\r\n");
    assert_eq!(server.json("/jsz")["disabled"], true);
}

#[test]
fn it_has_no_place_for_them() {
    for flag in ["--store=x", "--no-store"] {
        let midge = Command::new(env!("CARGO_BIN_EXE_midge")).arg(flag).output();
        let midge = midge.unwrap();
        assert_eq!(midge.status.code(), Some(2));
        let said = String::from_utf8_lossy(&midge.stderr).into_owned();
        assert!(said.contains("store"), "{said}");
    }
}

#[test]
fn it_has_no_commands_about_them() {
    for command in ["verify", "dlq", "why"] {
        let midge = Command::new(env!("CARGO_BIN_EXE_midge"))
            .arg(command)
            .output();
        assert_eq!(midge.unwrap().status.code(), Some(2), "{command}");
    }
}
