//! A backup of a running server, and what is made of it: with the real
//! program, while clients work, and when something is in the way.

use crate::store_files::with_a_damaged_order;
use crate::stream_util::Dir;
use crate::util::{Client, PATIENCE, Server, midge};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

const PUBLISHERS: u64 = 3;

fn command(server: SocketAddr, args: &[&str]) -> Command {
    let mut command = Command::new(midge());
    command.args(args).env("MIDGE_URL", server.to_string());
    command
}

/// How it ended, what it said, what it complained of.
fn run(server: SocketAddr, args: &[&str]) -> (i32, String, String) {
    let output = command(server, args).output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().expect("it ends by itself");
    (code, text(&output.stdout), text(&output.stderr))
}

fn path(dir: &Dir, name: &str) -> String {
    dir.path().join(name).to_str().unwrap().to_owned()
}

fn restore(file: &str) -> Dir {
    let other = Dir::new();
    let nowhere = "127.0.0.1:1".parse().unwrap();
    let (code, said, wrong) = run(nowhere, &["restore", file, "--store", &other.store()]);
    assert_eq!(code, 0, "{said}{wrong}");
    let (code, said, wrong) = run(nowhere, &["verify", "--store", &other.store()]);
    assert_eq!(code, 0, "{said}{wrong}");
    other
}

/// Clients that go on until they are told to end.
struct Work {
    end: Arc<AtomicBool>,
    /// How many each has done, and knows that they are done.
    done: Vec<Arc<AtomicU64>>,
    threads: Vec<JoinHandle<()>>,
}

impl Work {
    fn begin(address: SocketAddr) -> Work {
        let mut work = Work {
            end: Arc::default(),
            done: Vec::new(),
            threads: Vec::new(),
        };
        for publisher in 0..PUBLISHERS {
            work.add(address, move |client, number| {
                client.store(&format!("s.{publisher}"), number.to_string());
            });
        }
        // An order is taken in and dealt with: the odd ones well.
        work.add(address, |client, number| {
            client.store("w", number.to_string());
            let message = client.next("W", "worker");
            assert_eq!(message.text(), number.to_string());
            let word = if number % 2 == 1 { "+ACK" } else { "+TERM no" };
            client.confirm(message.ack(), word);
        });
        work
    }

    fn add(&mut self, address: SocketAddr, act: impl Fn(&mut Client, u64) + Send + 'static) {
        let (end, done) = (Arc::clone(&self.end), Arc::new(AtomicU64::new(0)));
        self.done.push(Arc::clone(&done));
        self.threads.push(std::thread::spawn(move || {
            let mut client = Client::connect(address);
            client.send(crate::util::CONNECT);
            for number in 1.. {
                if end.load(Ordering::Relaxed) {
                    return;
                }
                act(&mut client, number);
                done.store(number, Ordering::SeqCst);
            }
        }));
    }

    fn counts(&self) -> Vec<u64> {
        let count = |done: &Arc<AtomicU64>| done.load(Ordering::SeqCst);
        self.done.iter().map(count).collect()
    }

    /// Until each has done so much more.
    fn wait(&self, more: u64) {
        let before = self.counts();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = self.counts();
            if before.iter().zip(&now).all(|(old, new)| new - old >= more) {
                return;
            }
            assert!(Instant::now() < deadline, "{before:?}, then {now:?}");
            std::thread::yield_now();
        }
    }

    fn stop(self) -> Vec<u64> {
        self.end.store(true, Ordering::Relaxed);
        let counts = self.done.clone();
        for thread in self.threads {
            thread.join().expect("nothing went wrong");
        }
        let count = |done: &Arc<AtomicU64>| done.load(Ordering::SeqCst);
        counts.iter().map(count).collect()
    }
}

#[test]
fn a_backup_while_clients_work_is_one_moment_of_it() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s.*", "");
    client.make_stream("W", "w", "\"retention\":\"workqueue\"");
    client.make_durable("W", "worker", "\"max_deliver\":5");
    let work = Work::begin(server.address);
    work.wait(30);
    let mut taken = Vec::new();
    for name in ["a", "b", "c"] {
        let file = path(&dir, name);
        let before = work.counts();
        let (code, said, wrong) = run(server.address, &["backup", &file]);
        assert_eq!((code, wrong.as_str()), (0, ""), "{said}");
        assert!(said.contains("everything is as it was written"), "{said}");
        taken.push((file, before));
        work.wait(20);
    }
    let after = work.stop();
    for (file, before) in taken {
        let other = restore(&file);
        look(&other, &before, &after);
    }
}

/// Compares what was restored with what was done before the backup, and what
/// had been done at the end.
fn look(dir: &Dir, before: &[u64], after: &[u64]) {
    let server = dir.serve();
    let mut client = server.client();
    let mut of = [0; PUBLISHERS as usize];
    let last = client.state("S")["last_seq"].as_u64().unwrap();
    for seq in 1..=last {
        let message = client.stored("S", seq).expect("none is missing");
        let subject = message["subject"].as_str().unwrap();
        let publisher: usize = subject[2..].parse().unwrap();
        of[publisher] += 1;
        assert_eq!(data(&message), of[publisher].to_string(), "in their order");
    }
    for (publisher, count) in of.iter().enumerate() {
        assert!(*count >= before[publisher], "{publisher}: {count}");
        assert!(*count <= after[publisher] + 1, "{publisher}: {count}");
    }
    let worked = before[PUBLISHERS as usize];
    let last = client.state("W")["last_seq"].as_u64().unwrap();
    assert!(last >= worked);
    let mut dead = Vec::new();
    for seq in 1..=client.state("DLQ")["last_seq"].as_u64().unwrap() {
        let letter = client.stored("DLQ", seq).expect("none is missing");
        dead.push(data(&letter).parse::<u64>().unwrap());
    }
    for seq in 1..=last {
        let waits = client.stored("W", seq).is_ok();
        let deaths = dead.iter().filter(|dead| **dead == seq).count();
        assert_eq!(waits, waits && seq > worked, "{seq} was dealt with");
        if seq % 2 == 0 {
            assert_eq!(deaths + usize::from(waits), 1, "{seq}: either or");
        } else {
            assert_eq!(deaths, 0, "{seq}");
        }
    }
    // And all of it goes on.
    let next = client.store("w", "new");
    assert_eq!(next, last + 1);
    while client.next("W", "worker").text() != "new" {}
    assert_eq!(client.store("s.0", "new"), client.state("S")["last_seq"]);
}

fn data(message: &Value) -> String {
    let data = message["data"].as_str().and_then(midge_proto::from_base64);
    String::from_utf8(data.unwrap_or_default()).unwrap()
}

/// A server with so many messages of 100 kB.
fn filled(dir: &Dir, count: usize) -> Server {
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s", "");
    let body = "x".repeat(100_000);
    for _ in 0..count {
        client.store("s", &body);
    }
    server
}

#[test]
fn a_server_that_is_killed_leaves_no_backup() {
    let dir = Dir::new();
    let server = filled(&dir, 300);
    let file = path(&dir, "file");
    let partial = format!("{file}.partial");
    let child = command(server.address, &["backup", &file])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    while std::fs::metadata(&partial).map_or(0, |found| found.len()) == 0 {
        assert!(Instant::now() < deadline, "it does not begin");
    }
    server.signal("KILL");
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&server.address.to_string()), "{said}");
    assert!(!Path::new(&file).exists() && !Path::new(&partial).exists());
    drop(server);
    // The server's file has taken no harm.
    let server = dir.serve();
    let (code, said, wrong) = run(server.address, &["backup", &file]);
    assert_eq!(code, 0, "{said}{wrong}");
    assert!(said.contains("300 messages"), "{said}");
}

#[test]
fn a_backup_goes_to_stdout_and_never_over_what_is_there() {
    let dir = Dir::new();
    let server = filled(&dir, 3);
    let output = command(server.address, &["backup", "-"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let file = path(&dir, "file");
    std::fs::write(&file, &output.stdout).unwrap();
    let ended = command(server.address, &["backup", "-"])
        .stdout(std::fs::File::create("/dev/full").unwrap())
        .status();
    assert_eq!(ended.unwrap().code(), Some(1), "no room is told");
    let (code, said, _) = run(server.address, &["restore", &file, "--check", "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &said["found"]["records"]), (0, &3.into()), "{said}");
    let (code, _, wrong) = run(server.address, &["backup", &file]);
    assert_eq!(code, 1);
    assert!(wrong.contains("is there already"), "{wrong}");
    // Nor does a restore, under a server or not.
    let (code, _, wrong) = run(server.address, &["restore", &file, "-s", &dir.store()]);
    assert_eq!(code, 1);
    assert!(wrong.contains("is there already"), "{wrong}");
    std::fs::write(&file, &output.stdout[..100_000]).unwrap();
    let new = path(&dir, "new");
    let (code, _, wrong) = run(server.address, &["restore", &file, "-s", &new]);
    assert_eq!(code, 1);
    assert!(
        wrong.contains("cut short: it ends at byte 100000"),
        "{wrong}"
    );
    assert!(!Path::new(&new).exists());
    let (code, _, wrong) = run(server.address, &["restore", &path(&dir, "none")]);
    assert_eq!(code, 2, "{wrong}");
}

#[test]
fn a_server_that_keeps_nothing_says_so() {
    let server = Server::start();
    let dir = Dir::new();
    let (code, _, wrong) = run(server.address, &["backup", &path(&dir, "file")]);
    assert_eq!(code, 1);
    assert!(wrong.contains("the server knows no backup"), "{wrong}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn damage_is_copied_and_told() {
    let dir = with_a_damaged_order();
    let server = dir.serve();
    let file = path(&dir, "file");
    let named = "stream ORDERS, sequence 5: a record is damaged";
    let (code, said, wrong) = run(server.address, &["backup", &file]);
    assert_eq!(code, 1, "{said}{wrong}");
    assert!(said.contains(named), "{said}");
    assert!(wrong.contains("so is the copy"), "{wrong}");
    let new = path(&dir, "new");
    let (code, said, _) = run(server.address, &["restore", &file, "-s", &new]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(named), "{said}");
    let other = Server::start_with(&["--store", &new]);
    let mut client = other.client();
    assert_eq!(client.stored("ORDERS", 5), Err(10037));
    assert!(client.stored("ORDERS", 6).is_ok());
}

#[test]
fn the_requests_work_from_any_client() {
    let dir = Dir::new();
    let server = dir.serve_with(&["--max-payload", "5000"]);
    let mut client = server.client();
    client.make_stream("S", "s", "");
    for _ in 0..20 {
        client.store("s", "x".repeat(1000));
    }
    let begun = client.ask("$MIDGE.API.BACKUP", "{}").json();
    let id = begun["id"].as_u64().expect("a number");
    assert_eq!(
        (&begun["streams"], &begun["messages"]),
        (&1.into(), &20.into())
    );
    let len = begun["chunk_bytes"].as_u64().unwrap() as usize;
    assert!((1..5000).contains(&len), "{begun}");
    let error = |client: &mut Client, subject: &str, body: &str| {
        client.ask(subject, body).json()["error"]["err_code"].as_u64()
    };
    assert_eq!(error(&mut client, "$MIDGE.API.BACKUP", ""), Some(20012));
    let next = "$MIDGE.API.BACKUP.NEXT";
    let ask = |chunk: u64| format!("{{\"id\":{id},\"chunk\":{chunk}}}");
    assert_eq!(error(&mut client, next, "{\"id\":1}"), Some(20013));
    assert_eq!(error(&mut client, next, "{\"ids\":1}"), Some(20011));
    for none in [1, u64::MAX] {
        assert_eq!(error(&mut client, next, &ask(none)), Some(20014), "{none}");
    }
    let mut bytes = Vec::new();
    for chunk in 0.. {
        let came = client.ask(next, ask(chunk));
        assert!(
            came.header.contains(&format!("Midge-Chunk: {chunk}\r\n")),
            "{came:?}"
        );
        // The answer may have been lost.
        assert_eq!(client.ask(next, ask(chunk)).body, came.body);
        if chunk > 1 {
            assert_eq!(error(&mut client, next, &ask(chunk - 2)), Some(20014));
        }
        bytes.extend_from_slice(&came.body);
        if came.body.is_empty() {
            break;
        }
    }
    let file = path(&dir, "file");
    std::fs::write(&file, &bytes).unwrap();
    let (code, said, wrong) = run(server.address, &["restore", "--check", &file]);
    assert_eq!(code, 0, "{said}{wrong}");
    // That one is done with, so there may be another, until it is stopped.
    let begun = client.ask("$MIDGE.API.BACKUP", "").json();
    let stop = format!("{{\"id\":{}}}", begun["id"]);
    let stopped = client.ask("$MIDGE.API.BACKUP.STOP", &stop).json();
    assert_eq!(stopped["id"], begun["id"], "{stopped}");
    assert_eq!(error(&mut client, next, &stop), Some(20013));
    assert_eq!(error(&mut client, next, &ask(0)), Some(20013));
}
