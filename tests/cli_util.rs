//! What the tests of the command line share: a server with a store, and
//! running `midge` to its end.

use crate::stream_util::Dir;
use crate::util::{Server, midge};
use serde_json::Value;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

/// A command line for a server. There are blanks between its words; what
/// stands in single quotes is one word.
pub(crate) fn command(url: &str, args: &str) -> Command {
    let mut words: Vec<String> = Vec::new();
    for (place, part) in args.split('\'').enumerate() {
        if place % 2 == 1 {
            words.push(part.to_owned());
        } else if !args.contains('\'') {
            words.extend(part.split(' ').map(str::to_owned));
        } else {
            words.extend(part.split_ascii_whitespace().map(str::to_owned));
        }
    }
    let mut command = Command::new(midge());
    command.args(words).env("MIDGE_URL", url);
    command
}

/// How it ended, what it said, what it complained of.
#[track_caller]
pub(crate) fn run(url: &str, args: &str) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command(url, args).stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = status.code().expect("it ends by itself");
    (code, text(stdout), text(stderr))
}

/// A server with a store, and what to reach it by.
pub(crate) fn served() -> (Dir, Server, String) {
    let dir = Dir::new();
    let server = dir.serve();
    let url = format!("nats://{}", server.address);
    (dir, server, url)
}

/// What a command says that does what it should.
#[track_caller]
pub(crate) fn done(url: &str, args: &str) -> String {
    let (code, out, said) = run(url, args);
    assert_eq!((code, said.as_str()), (0, ""), "{args}: {out}");
    out
}

#[track_caller]
pub(crate) fn done_json(url: &str, args: &str) -> Value {
    let out = done(url, &format!("{args} --json"));
    assert_eq!(out.lines().count(), 1, "{args}: {out}");
    serde_json::from_str(&out).expect("JSON")
}

/// A command that is refused, with these words.
#[track_caller]
pub(crate) fn refused(url: &str, args: &str, code: i32, words: &str) {
    let (ended, out, said) = run(url, args);
    assert_eq!((ended, out.as_str()), (code, ""), "{args}: {said}");
    assert!(said.contains(words), "{args}: {said}");
}

/// A server that can be started again where it was: its port is none that
/// others are given by chance.
pub(crate) fn serve_at(dir: &Dir, port: u16) -> Server {
    let mut command = Command::new(midge());
    command.args(["--store", &dir.store(), "--port", &port.to_string()]);
    Server::spawn(command)
}

/// A port for [`serve_at`]: free, and below those that the kernel gives out.
pub(crate) fn lasting_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + (std::process::id() % 10_000) as u16 + number;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
