//! `midge dlq` and `midge why` against a server that says what a test tells
//! it to: what they ask, what they show, how they end.

use crate::cli_util::{command, run};
use crate::util::{PATIENCE, Server};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

/// What is asked for, with what, and the answer.
type Told = (&'static str, Value, Value);

/// A server for one connection that is asked just this.
struct Fake {
    url: String,
    thread: JoinHandle<()>,
}

impl Fake {
    fn tell(told: Vec<Told>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            serve(BufReader::new(stream), told);
        });
        Fake { url, thread }
    }

    /// Everything was asked for as told.
    fn end(self) {
        self.thread.join().expect("the server has no complaint");
    }
}

fn serve(mut peer: BufReader<TcpStream>, told: Vec<Told>) {
    peer.get_mut().write_all(b"INFO {}\r\n").unwrap();
    assert!(line(&mut peer).starts_with("CONNECT {"));
    assert_eq!(line(&mut peer), "PING");
    peer.get_mut().write_all(b"PONG\r\n").unwrap();
    assert!(line(&mut peer).starts_with("SUB _INBOX."));
    for (subject, wanted, answer) in told {
        let frame = line(&mut peer);
        let words: Vec<&str> = frame.split(' ').collect();
        assert_eq!(words[1], format!("$MIDGE.API.{subject}"));
        let mut body = vec![0; words[3].parse::<usize>().unwrap() + 2];
        peer.read_exact(&mut body).unwrap();
        let asked: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(asked, wanted, "{subject}");
        let answer = answer.to_string();
        let (reply, size) = (words[2], answer.len());
        peer.get_mut().write_all(b"PING\r\n").unwrap();
        assert_eq!(line(&mut peer), "PONG");
        let frame = format!("MSG {reply} 1 {size}\r\n{answer}\r\n");
        peer.get_mut().write_all(frame.as_bytes()).unwrap();
    }
    assert_eq!(line(&mut peer), "", "nothing more is asked for");
}

fn line(peer: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    peer.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

fn letter(seq: u64) -> Value {
    json!({
        "seq": seq, "time": "2020-01-01T00:00:00Z", "stream": "ORDERS", "consumer": "billing",
        "subject": "orders.1", "source_seq": 7, "deliveries": 3, "reason": "max_deliver",
        "redrives": 0, "size": 12,
    })
}

fn redrive(state: &str, redriven: u64, failed: u64) -> Value {
    json!({
        "type": "io.midge.api.v1.dlq_redrive_response", "id": 3, "state": state, "matched": 9,
        "redriven": redriven, "to_consumer": redriven, "to_subject": 0, "failed": failed,
        "died": 0,
    })
}

#[test]
fn what_makes_no_sense_is_refused_before_anybody_is_asked() {
    for (args, words) in [
        (
            "dlq",
            "midge dlq does one of these: ls show redrive drop unpark",
        ),
        ("dlq --server x:1", "midge dlq does one of these: ls"),
        ("dlq lst", "midge dlq has no \"lst\": did you mean ls?"),
        ("dql ls", "there is no midge dql: did you mean dlq?"),
        (
            "subscribe x",
            "there is no midge subscribe; there is serve, ",
        ),
        ("dlq why S 1", "midge dlq has no \"why\""),
        ("dlq ls --rate 1", "there is no --rate here"),
        ("dlq ls --older-than soon", "\"soon\" is not a duration"),
        ("dlq show", "a seq is missing"),
        ("dlq drop", "drop needs a filter, or --all"),
        (
            "dlq drop --dlq D --limit 3",
            "drop needs a filter, or --all",
        ),
        ("dlq drop --all --stream S", "--all goes without a filter"),
        ("dlq drop --stream ", "stream says nothing"),
        ("dlq redrive --stop", "--stop needs --id"),
        (
            "dlq redrive --id 1 --rate 5",
            "--id goes with --stop and nothing else",
        ),
        ("why ORDERS", "a seq is missing"),
        ("why ORDERS seven", "\"seven\" is not a number"),
    ] {
        let (code, out, said) = run("nats://127.0.0.1:1", args);
        assert_eq!((code, out.as_str()), (2, ""), "{args}: {said}");
        assert!(said.contains(words), "{args}: {said}");
    }
}

#[test]
fn every_help_has_an_example() {
    for (args, example) in [
        ("dlq --help", "midge dlq redrive --consumer billing"),
        (
            "dlq --server x --help",
            "midge dlq redrive --consumer billing",
        ),
        ("dlq -h", "midge dlq redrive --consumer billing"),
        ("dlq redrive --help", "midge dlq redrive --id 1 --stop"),
        ("help dlq ls", "midge dlq ls --stream ORDERS"),
        ("help", "\n  dlq               dead letters"),
        ("--help", "\n  dlq               dead letters"),
        ("why --help", "midge why ORDERS 7"),
        ("why ORDERS 7 --help", "midge why ORDERS 7"),
    ] {
        let (code, out, said) = run("nats://127.0.0.1:1", args);
        assert_eq!((code, said.as_str()), (0, ""), "{args}");
        assert!(out.contains(example), "{args}: {out}");
    }
}

#[test]
fn without_a_server_it_says_which_and_how_to_name_another() {
    for (args, words) in [
        ("dlq ls", "127.0.0.1:1: cannot connect: "),
        (
            "why S 1 --server joe:secret@127.0.0.1:2",
            "127.0.0.1:2: cannot connect: ",
        ),
        ("dlq show 1 --server http://x", "tls:// are known"),
    ] {
        let (code, _, said) = run("nats://joe:secret@127.0.0.1:1", args);
        assert_eq!(code, 2, "{args}: {said}");
        assert!(said.contains(words), "{args}: {said}");
        assert!(said.contains("--server or MIDGE_URL"), "{args}: {said}");
        assert!(!said.contains("secret"), "{args}: {said}");
    }
    let server = Server::start_with(&["--user", "joe", "--pass", "x"]);
    let (code, _, said) = run(&format!("joe:y@{}", server.address), "dlq ls");
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("Authorization Violation"), "{said}");
}

#[test]
fn a_refusal_is_passed_on_with_its_number() {
    for args in ["dlq show 5", "dlq show 5 --json"] {
        let error = json!({"type": "io.midge.api.v1.dlq_show_response",
            "error": {"code": 404, "err_code": 20003, "description": "no such dead letter"}});
        let fake = Fake::tell(vec![("DLQ.SHOW", json!({"seq": 5}), error.clone())]);
        let (code, out, said) = run(&fake.url, args);
        assert_eq!((code, said.as_str()), (1, "no such dead letter (20003)\n"));
        if args.ends_with("--json") {
            assert_eq!(out, format!("{error}\n"));
        }
        fake.end();
    }
}

#[test]
fn letters_are_listed_page_by_page() {
    let page = |from: u64, limit: u64, next: u64| {
        let asked = json!({"stream": "ORDERS", "from_seq": from, "limit": limit});
        let letters = [letter(from), letter(from + 1)];
        let answer = json!({"total": 9, "letters": letters, "next_seq": next});
        ("DLQ.LIST", asked, answer)
    };
    let fake = Fake::tell(vec![page(4, 3, 6), page(6, 1, 9)]);
    let (code, out, _) = run(&fake.url, "dlq ls --stream ORDERS --from-seq 4 --limit 3");
    assert_eq!(code, 0);
    assert!(out.starts_with("SEQ  TIME"), "{out}");
    assert!(out.contains("\n4    2020-01-01T00:00:00Z, "), "{out}");
    assert!(out.contains("d ago  ORDERS  7           billing"), "{out}");
    assert!(
        out.contains("there are more: --from-seq 9 goes on"),
        "{out}"
    );
    fake.end();
    // A server that sends in circles is not followed.
    let fake = Fake::tell(vec![page(0, 1000, 6), page(6, 1000, 6)]);
    let (code, out, _) = run(&fake.url, "dlq ls --stream ORDERS --limit 0 --json");
    assert_eq!((code, out.lines().count()), (0, 2), "{out}");
    fake.end();
}

#[test]
fn a_letter_is_shown_with_its_attempts_and_its_data() {
    let answer = json!({
        "type": "io.midge.api.v1.dlq_show_response", "letter": letter(1),
        "attempts": [{"n": 1, "time": "2020-01-01T00:00:00Z", "client": "w", "client_id": 7,
            "ended": "nak", "after_ms": 12, "reason": "db down"}],
        "hdrs": "TkFUUy8xLjANCkE6IGINCg0K", "data": "aGVsbG8=",
    });
    let asked = json!({"seq": 1, "dlq": "D"});
    let fake = Fake::tell(vec![("DLQ.SHOW", asked.clone(), answer.clone())]);
    let (code, out, _) = run(&fake.url, "dlq show 1 --dlq D");
    assert_eq!(code, 0);
    for words in [
        "w #7",
        "nak",
        "12ms",
        "db down",
        "\nhdrs\nNATS/1.0\nA: b\n",
        "\ndata\nhello\n",
    ] {
        assert!(out.contains(words), "{words:?}: {out}");
    }
    fake.end();
    let fake = Fake::tell(vec![("DLQ.SHOW", asked, answer.clone())]);
    let (_, out, _) = run(&fake.url, "dlq show 1 --dlq D --json");
    assert_eq!(out, format!("{answer}\n"), "as it came");
    fake.end();
}

#[test]
fn letters_are_dropped_and_keys_unparked() {
    let asked = json!({"reason": "expired", "age_min_ms": 86_400_000, "dry_run": true});
    let answer = json!({"matched": 3, "dropped": 0});
    let fake = Fake::tell(vec![("DLQ.DROP", asked, answer)]);
    let args = "dlq drop --reason expired --older-than 1d --dry-run";
    let done = run(&fake.url, args);
    assert_eq!(done, (0, "matched 3, dropped 0\n".into(), String::new()));
    fake.end();
    let answer = json!({"matched": 3, "dropped": 3});
    let fake = Fake::tell(vec![("DLQ.DROP", json!({"all": true}), answer)]);
    assert_eq!(run(&fake.url, "dlq drop --all").0, 0);
    fake.end();
    let asked = json!({"stream": "S", "consumer": "c", "source_seq": 7});
    let fake = Fake::tell(vec![("DLQ.UNPARK", asked, json!({"unparked": 1}))]);
    let done = run(&fake.url, "dlq unpark S c --source-seq 7");
    assert_eq!(done, (0, "unparked 1\n".into(), String::new()));
    fake.end();
}

#[test]
fn a_redrive_ends_as_the_server_says() {
    for (answer, args, wanted, words) in [
        (redrive("done", 9, 0), "", 0, ""),
        (redrive("done", 8, 1), "", 1, "some could not be sent back"),
        (
            redrive("stopped", 2, 0),
            "",
            1,
            "it stopped before all were sent back",
        ),
        (redrive("stopped", 2, 0), " --id 3 --stop", 0, ""),
    ] {
        let asked = match args {
            "" => json!({}),
            _ => json!({"id": 3, "stop": true}),
        };
        let fake = Fake::tell(vec![("DLQ.REDRIVE", asked, answer)]);
        let (code, out, said) = run(&fake.url, &format!("dlq redrive{args}"));
        assert_eq!((code, said.trim_end()), (wanted, words), "{out}");
        assert!(out.contains("id 3, "), "{out}");
        fake.end();
    }
}

#[test]
fn a_redrive_at_a_rate_is_followed_to_its_end() {
    let fake = Fake::tell(vec![
        (
            "DLQ.REDRIVE",
            json!({"consumer": "billing", "rate": 4}),
            redrive("running", 0, 0),
        ),
        ("DLQ.REDRIVE", json!({"id": 3}), redrive("running", 4, 0)),
        ("DLQ.REDRIVE", json!({"id": 3}), redrive("running", 4, 0)),
        ("DLQ.REDRIVE", json!({"id": 3}), redrive("done", 9, 0)),
    ]);
    let (code, out, said) = run(&fake.url, "dlq redrive --consumer billing --rate 4");
    assert_eq!(code, 0, "{said}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 3, "what says the same is said once: {out}");
    assert!(
        lines[1].contains("state running, matched 9, redriven 4"),
        "{out}"
    );
    assert!(
        lines[2].contains("state done, matched 9, redriven 9"),
        "{out}"
    );
    fake.end();
}

#[test]
fn a_watcher_that_leaves_says_that_the_redrive_goes_on() {
    // With Ctrl-C, and because the server went away.
    for is_interrupted in [true, false] {
        let running = redrive("running", 1, 0);
        let mut told = vec![("DLQ.REDRIVE", json!({"rate": 1}), running.clone())];
        if is_interrupted {
            // More often than the test lasts.
            told.extend(std::iter::repeat_n(
                ("DLQ.REDRIVE", json!({"id": 3}), running),
                1000,
            ));
        }
        let fake = Fake::tell(told);
        let mut child = command(&fake.url, "dlq redrive --rate 1")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        if is_interrupted {
            let mut first = [0; 5];
            child
                .stdout
                .as_mut()
                .unwrap()
                .read_exact(&mut first)
                .unwrap();
            assert_eq!(&first, b"id 3,");
            let kill = Command::new("kill")
                .args(["-INT", &child.id().to_string()])
                .status();
            assert!(kill.unwrap().success());
        }
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("redrive 3 goes on in the server"), "{said}");
        assert!(said.contains("midge dlq redrive --id 3"), "{said}");
    }
}

#[test]
fn why_tells_a_messages_life() {
    let asked = json!({"stream": "ORDERS", "seq": 7, "consumer": "billing"});
    let answer = json!({
        "type": "io.midge.api.v1.why_response", "stream": "ORDERS", "seq": 7, "state": "removed",
        "consumers": [{"name": "billing", "state": "dead", "deliveries": 3}],
        "dead_letters": [letter(4)],
    });
    let fake = Fake::tell(vec![("WHY", asked, answer)]);
    let (code, out, _) = run(&fake.url, "why ORDERS 7 billing");
    assert_eq!(code, 0);
    for words in [
        "stream ORDERS, seq 7, state removed\n",
        "billing  dead",
        "\ndead_letters\nSEQ",
    ] {
        assert!(out.contains(words), "{words:?}: {out}");
    }
    fake.end();
}

#[test]
fn what_is_no_answer_is_said() {
    // A server without a store has nothing to tell.
    let server = Server::start();
    let (code, out, said) = run(&server.address.to_string(), "why S 1");
    assert_eq!((code, out.as_str()), (1, ""), "{said}");
    let fake = Fake::tell(vec![("WHY", json!({"stream": "S", "seq": 1}), json!([]))]);
    let (code, out, _) = run(&fake.url, "why S 1");
    assert_eq!((code, out.trim()), (0, ""), "what says nothing is nothing");
    fake.end();
}
