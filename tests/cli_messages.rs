//! `midge pub`, `sub`, `req` and `reply` with a real server: what they print
//! and how they end.

use crate::cli_util::{command, done, done_json, refused, run, served};
use crate::stream_util::Dir;
use crate::util::{PATIENCE, Server};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Instant;

/// A command that goes on until it is told to end, or has what it waits for.
struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
}

impl Running {
    /// Starts a command and waits until it says that it is ready.
    fn start(url: &str, args: &str, ready: &str) -> Running {
        let mut child = piped(command(url, args)).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut running = Running { child, stderr };
        running.wait_said(ready);
        running
    }

    #[track_caller]
    fn wait_said(&mut self, words: &str) {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            let count = self.stderr.read_line(&mut line).unwrap();
            assert!(count > 0, "it never says {words:?}");
        }
    }

    /// How it ends by itself, and what it said.
    fn end(mut self) -> (i32, String) {
        let mut out = String::new();
        let stdout = self.child.stdout.as_mut().unwrap();
        stdout.read_to_string(&mut out).unwrap();
        let status = self.child.wait().unwrap();
        (status.code().expect("it ends by itself"), out)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn piped(mut command: Command) -> Command {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs a command that reads this.
fn fed(url: &str, args: &str, input: &[u8]) -> (i32, String, String) {
    let mut command = piped(command(url, args));
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    // It need not read all of it.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().expect("it ends by itself");
    (code, text(output.stdout), text(output.stderr))
}

fn sub(url: &str, args: &str) -> Running {
    Running::start(url, &format!("sub {args}"), "subscribed to ")
}

#[test]
fn what_is_published_is_shown() {
    let server = Server::start();
    let url = &server.address.to_string();
    let people = sub(url, "greet.* --count 2");
    let json = sub(url, "greet.* --count 2 --json");
    let raw = sub(url, "greet.* --count 2 --raw --timestamps");
    let args = "pub greet.joe 'hello {{seq}}' --count 2 --header 'A: b{{Count}}' --reply answers";
    assert_eq!(done(url, args), "2 messages published, 14 bytes\n");

    let (code, out) = people.end();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(code, 0);
    assert!(lines[0].starts_with("[#1 "), "{out}");
    assert!(lines[0].ends_with("] greet.joe (reply answers)"), "{out}");
    assert_eq!(lines[1..4], ["A: b1", "", "hello 1"]);
    assert_eq!(lines[5..], ["A: b2", "", "hello 2"]);

    let (code, out) = json.end();
    let first: Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert_eq!(code, 0);
    assert_eq!(first["headers"], json!({"A": ["b1"]}));
    let said = ["subject", "reply", "payload"].map(|key| first[key].as_str().unwrap());
    assert_eq!(said, ["greet.joe", "answers", "hello 1"]);

    let (code, out) = raw.end();
    let (time, payload) = out.lines().next().unwrap().split_once(' ').unwrap();
    assert_eq!((code, payload), (0, "hello 1"));
    assert!(time.ends_with('Z') && time.len() == 24, "{out}");
}

#[test]
fn payloads_come_from_stdin_as_they_are() {
    let server = Server::start();
    let url = &server.address.to_string();
    let raw = sub(url, "in.> --count 5 --raw");
    let input = b"one {{seq}}\r\n\ntwo";
    let (code, out, _) = fed(url, "pub in.{{seq}} --lines", input);
    assert_eq!(
        (code, out.as_str()),
        (0, "3 messages published, 14 bytes\n")
    );
    assert_eq!(fed(url, "pub in.all", b"{{seq}}\n").0, 0);
    assert_eq!(fed(url, "pub in.all -", b"").0, 0);
    assert_eq!(raw.end(), (0, "one {{seq}}\n\ntwo\n{{seq}}\n\n\n".into()));

    let json = sub(url, "in.> --count 1 --json");
    assert_eq!(fed(url, "pub in.all", b"\xff\x00").0, 0);
    let told: Value = serde_json::from_str(&json.end().1).unwrap();
    assert_eq!(told["payload_base64"], "/wA=");
    let people = sub(url, "in.> --count 2");
    assert_eq!(fed(url, "pub in.all", b"\xff\x00").0, 0);
    assert_eq!(fed(url, "pub in.all", b"\x1b[2J\x07").0, 0);
    let (_, out) = people.end();
    assert!(out.contains("no text, in base64: /wA=\n"), "{out}");
    assert!(out.contains("\u{fffd}[2J\u{fffd}\n"), "{out}");
}

#[test]
fn a_rate_is_kept() {
    let server = Server::start();
    let url = &server.address.to_string();
    let start = Instant::now();
    done(url, "pub a x --count 11 --rate 100");
    assert!(start.elapsed().as_millis() >= 100, "ten waits of 10 ms");
}

#[test]
fn several_subjects_and_groups() {
    let server = Server::start();
    let url = &server.address.to_string();
    let both = sub(url, "a b.> --count 2 --raw --timeout 20s");
    let members = [
        sub(url, "a --queue g --count 1 --raw"),
        sub(url, "a --queue g --count 1 --raw"),
    ];
    done(url, "pub a '{{seq}}' --count 2");
    let mut said: Vec<String> = members.map(|member| member.end().1).into();
    said.sort();
    assert_eq!(said, ["1\n", "2\n"], "each gets one");
    assert_eq!(both.end(), (0, "1\n2\n".into()));
}

#[test]
fn waiting_ends_when_nothing_comes() {
    let server = Server::start();
    let url = &server.address.to_string();
    let (code, out, _) = run(url, "sub a --timeout 20ms");
    assert_eq!((code, out.as_str()), (0, ""));
    let (code, _, said) = run(url, "sub a --count 2 --timeout 20ms");
    assert_eq!(code, 1);
    assert!(said.ends_with("0 of 2 messages came\n"), "{said}");
}

#[test]
fn who_hangs_up_has_seen_enough() {
    let server = Server::start();
    let url = &server.address.to_string();
    let mut running = sub(url, "a --raw");
    let mut stdout = BufReader::new(running.child.stdout.take().unwrap());
    done(url, "pub a first");
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "first\n");
    drop(stdout);
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        done(url, "pub a more");
        match running.child.try_wait().unwrap() {
            Some(status) => break status,
            None => assert!(Instant::now() < deadline, "it never ends"),
        }
    };
    assert_eq!(status.code(), Some(0));
    let mut said = String::new();
    running.stderr.read_to_string(&mut said).unwrap();
    assert_eq!(said, "", "quietly");
}

#[test]
fn a_subscriber_outlives_its_server() {
    let mut command = Command::new(crate::util::midge());
    command.args(["--port", "0", "--no-store"]);
    let server = Server::spawn(command);
    let port = server.address.port();
    let url = &server.address.to_string();
    let mut running = sub(url, "a --count 1 --raw");
    drop(server);
    running.wait_said("the connection broke: ");
    let mut command = Command::new(crate::util::midge());
    command.args(["--port", &port.to_string(), "--no-store"]);
    let _server = Server::spawn(command);
    running.wait_said(&format!("connected again, to {url}"));
    // The subscription follows at once.
    let deadline = Instant::now() + PATIENCE;
    while running.child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline);
        done(url, "pub a x");
    }
    assert_eq!(running.end(), (0, "x\n".into()));
}

#[test]
fn streams_say_where_a_message_is() {
    let (_dir, _server, url) = &served();
    done(url, "stream add S --subjects s.>");
    done(url, "stream add T --subjects t.>");
    let args = "pub s.{{seq}} 'm {{seq}}' --count 3 --ack --header Nats-Msg-Id:{{seq}}";
    assert_eq!(
        done(url, args),
        "S 1\nS 2\nS 3\n3 messages published, 9 bytes\n"
    );
    let again = done(url, &format!("{args} --window 1 --json"));
    let first = "{\"stream\":\"S\",\"seq\":1,\"duplicate\":true}\n";
    assert!(again.starts_with(first), "{again}");
    assert!(
        again.ends_with("{\"published\":3,\"bytes\":9}\n"),
        "{again}"
    );
    assert!(done(url, "pub t.1 x --stream T --rate 10").starts_with("T 1\n"));
    for (args, words) in [
        (
            "pub t.1 x --stream S",
            "not stored: the server refuses: expected stream",
        ),
        ("pub u.1 x --ack", "not stored: no stream takes u.1"),
    ] {
        refused(url, args, 1, words);
    }
}

#[test]
fn a_stream_is_replayed() {
    let (_dir, _server, url) = &served();
    done(url, "stream add S --subjects s.>");
    done(url, "pub s.{{seq}} {{seq}} --count 3 --ack");
    done(url, "pub s.{{seq}} {{seq}}{{seq}} --count 2 --ack");
    for (args, wanted) in [
        ("--to-end", "1 2 3 11 22"),
        ("--count 2", "1 2"),
        ("--from-seq 4 --to-end", "11 22"),
        ("--last --count 1", "22"),
        ("--last-per-subject --to-end", "3 11 22"),
        ("--since 1h --to-end s.1", "1 11"),
        (
            "--from-time 2020-01-01T00:00:00Z --to-end s.1 s.3",
            "1 3 11",
        ),
        ("--to-end s.*", "1 2 3 11 22"),
        ("--new --to-end", ""),
        ("--timeout 100ms --from-seq 5", "22"),
        ("--from-seq 77 --to-end", ""),
    ] {
        let (code, out, said) = run(url, &format!("sub --raw --stream S {args}"));
        assert_eq!((code, said.as_str()), (0, "replaying S\n"), "{args}");
        assert_eq!(out.lines().collect::<Vec<_>>().join(" "), wanted, "{args}");
    }
    let new = Running::start(url, "sub --stream S --new --count 1", "replaying S");
    done(url, "pub s.9 x --ack");
    let (code, out) = new.end();
    assert!(code == 0 && out.contains("] s.9 (S 6)\nx\n"), "{out}");
    let (_, out, _) = run(url, "sub --stream S --last --count 1 --json");
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&told["stream"], &told["seq"]), (&json!("S"), &json!(6)));
    refused(
        url,
        "sub --stream NONE",
        1,
        "NONE: the server refuses: stream not found",
    );
}

#[test]
fn requests_are_answered() {
    let server = Server::start();
    let url = &server.address.to_string();
    let reply = |args: &str| Running::start(url, &format!("reply {args}"), "answering ");
    let text = reply("a.* '{{request}} on {{subject}}, {{seq}}' --header B:c --count 2");
    assert_eq!(done(url, "req a.x hi --raw"), "hi on a.x, 1\n");
    let answer = done_json(url, "req a.y ho");
    assert_eq!(answer["headers"], json!({"B": ["c"]}));
    assert_eq!(answer["payload"], "ho on a.y, 2");
    let told = "[#1] a.x: 2 bytes asked, 12 answered\n[#2] a.y: 2 bytes asked, 12 answered\n";
    assert_eq!(text.end(), (0, told.into()));

    let echo = reply("a --echo --count 1 --json");
    assert_eq!(fed(url, "req a --raw", b"as it is\n").1, "as it is\n\n");
    let told: Value = serde_json::from_str(&echo.end().1).unwrap();
    assert_eq!(told["answer_bytes"], 9);

    let _many = ["1", "2", "3"].map(|which| reply(&format!("many {which}")));
    let mut said: Vec<String> = done(url, "req many x --replies 3 --raw")
        .lines()
        .map(str::to_owned)
        .collect();
    said.sort();
    assert_eq!(said, ["1", "2", "3"]);
    let all = done(url, "req many x --replies 0 --timeout 300ms --raw");
    assert_eq!(all.lines().count(), 3);
    let (code, _, said) = run(url, "req many x --replies 4 --timeout 100ms");
    assert_eq!((code, said.as_str()), (1, "3 of 4 answers came\n"));
}

#[test]
fn programs_answer() {
    let server = Server::start();
    let url = &server.address.to_string();
    let reply = |args: &str| Running::start(url, &format!("reply {args}"), "answering ");
    let _sort = reply("sort --command 'sort -n; echo $MIDGE_SUBJECT'");
    assert_eq!(
        fed(url, "req sort --raw", b"3\n1\n2\n").1,
        "1\n2\n3\nsort\n\n"
    );
    let mut bad = reply("bad --command 'exit 3'");
    let (code, out, said) = run(url, "req bad x");
    assert!(out.contains("Nats-Service-Error-Code: 500\n"), "{out}");
    let words = "the service failed: the program failed: exit status: 3\n";
    assert_eq!((code, said.as_str()), (1, words));
    bad.wait_said("request 1: the program failed");
    let _slow = reply("slow --command 'exec sleep 60' --timeout 50ms");
    refused_by_service(url, "req slow x", "the program took longer than 50ms");
    // What it has started ends with it, and its pipes keep nobody waiting.
    let dir = Dir::new();
    let file = dir.path().join("pid");
    let held = format!("'sleep 60 & echo $! > {}'", file.display());
    let _held = reply(&format!("held --command {held} --timeout 300ms"));
    refused_by_service(url, "req held x", "the program took longer than 300ms");
    let pid = std::fs::read_to_string(&file).unwrap();
    let stat = format!("/proc/{}/stat", pid.trim());
    let is_gone = || std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
    let deadline = Instant::now() + PATIENCE;
    while !is_gone() {
        assert!(Instant::now() < deadline, "it lives on");
        std::thread::yield_now();
    }
    let _flood = reply("flood --command yes");
    refused_by_service(
        url,
        "req flood x",
        "the program says more than 1048576 bytes",
    );
    // One that reads nothing may get much.
    let _deaf = reply("deaf --command 'echo no'");
    assert_eq!(fed(url, "req deaf --raw", &[b'x'; 500_000]).1, "no\n\n");
}

#[track_caller]
fn refused_by_service(url: &str, args: &str, words: &str) {
    let (code, _, said) = run(url, args);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(words), "{said}");
}

#[test]
fn nobody_there_and_no_answer_are_told_apart() {
    let server = Server::start();
    let url = &server.address.to_string();
    let start = Instant::now();
    refused(
        url,
        "req nobody x --timeout 20s",
        1,
        "nobody listens to nobody",
    );
    refused(
        url,
        "req nobody x --replies 0 --timeout 20s",
        1,
        "nobody listens",
    );
    assert!(start.elapsed() < PATIENCE);
    let _mute = sub(url, "mute");
    refused(url, "req mute x --timeout 50ms", 1, "no answer in 50ms");
}

#[test]
fn what_makes_no_sense_is_refused_before_anybody_is_asked() {
    for (args, words) in [
        ("pub", "a subject is missing"),
        ("pub a b c", "\"c\" is too much"),
        ("pub a x --rate 1/d", "\"1/d\" is not a rate"),
        ("pub a x --header b", "\"b\" has no colon"),
        ("pub a x --lines", "--lines goes without a payload"),
        ("pub a --lines --count 2", "--count goes without --lines"),
        ("pub a x --ack --reply b", "--reply goes without --ack"),
        (
            "pub a x --headr b",
            "there is no --headr here: did you mean --header?",
        ),
        ("sub", "a subject is missing, or --stream"),
        ("sub a --last", "where to begin goes with --stream"),
        ("sub a --raw --json", "--json goes without --raw"),
        (
            "sub a --stream S --queue q",
            "--queue goes without --stream",
        ),
        ("req", "a subject is missing"),
        ("reply a x --echo", "a payload, --echo or --command"),
        ("pub a x --password p", "--password goes with --user"),
    ] {
        refused("127.0.0.1:1", args, 2, words);
    }
    let server = Server::start();
    let url = &server.address.to_string();
    for (args, words) in [
        ("pub a..b x", "cannot publish to \"a..b\""),
        ("pub a.* x", "cannot publish to \"a.*\""),
        ("pub a x --header 'b c:d'", "cannot send the header \"b c\""),
        ("sub a..b", "cannot subscribe to \"a..b\""),
        ("req a..b x", "cannot publish to"),
        (
            "sub --stream S --last --new",
            "it can begin only in one way",
        ),
        ("sub --stream S --from-time noon", "\"noon\" is not a time"),
    ] {
        refused(url, args, 2, words);
    }
    let long = "x".repeat(2 << 20);
    let (code, _, said) = fed(url, "pub a", long.as_bytes());
    assert_eq!(code, 1);
    assert!(said.contains("the server takes 1048576 bytes"), "{said}");
}

#[test]
fn who_asks_is_said_and_kept_secret() {
    let server = Server::start_with(&["--user", "joe", "--pass", "s3cret"]);
    let url = &server.address.to_string();
    done(url, "pub a x --user joe --password s3cret");
    done(&format!("nats://joe:s3cret@{url}"), "pub a x");
    let two = format!("pub a x --server 127.0.0.1:1,joe:s3cret@{url}");
    done("127.0.0.1:1", &two);
    for (from, args) in [
        (url.clone(), "pub a x --user joe --password wr0ng"),
        (format!("joe:wr0ng@{url}"), "pub a x"),
        (format!("joe:wr0ng,x@{url}"), "sub a"),
    ] {
        let (code, out, said) = run(&from, args);
        assert_eq!((code, out.as_str()), (2, ""), "{said}");
        assert!(!said.contains("wr0ng"), "{said}");
        assert!(said.contains("--server or MIDGE_URL"), "{said}");
    }
    let server = Server::start_with(&["--auth", "t0ken"]);
    done(&server.address.to_string(), "pub a x --token t0ken");
}
