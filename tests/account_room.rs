//! Room that an account has for what comes to its streams by other ways than
//! a publish: copies, schedules, batches, backups.

use crate::stream_util::Dir;
use crate::util::{Client, File, PATIENCE, Server};
use std::time::{Instant, SystemTime};

const CONF: &str = r#"
accounts {
  A { users: [ { user: a, password: p } ], jetstream { max_file: 1000, max_mem: 400 } }
  B { users: [ { user: b, password: p } ], jetstream: enabled }
}
"#;

/// About what is left when three of them are stored.
const BODY_LEN: usize = 300;

fn serve(dir: &Dir) -> (Server, File) {
    let file = File::new("account-room", CONF);
    let server = dir.serve_with(&["--config", file.path(), "--http-port", "0"]);
    (server, file)
}

fn code(client: &mut Client, subject: &str, headers: &str, body: &str) -> u64 {
    let answer = client.ask_with(subject, headers, body).json();
    answer["error"]["err_code"].as_u64().unwrap_or(0)
}

/// Takes room until there is none for so much.
fn fill(client: &mut Client, subject: &str, body: &str) {
    while code(client, subject, "", body) == 0 {}
    assert_eq!(code(client, subject, "", body), 10002);
}

fn until(mut holds: impl FnMut() -> bool, what: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn copies_wait_until_their_account_has_room() {
    let dir = Dir::new();
    let (server, _file) = serve(&dir);
    let mut a = server.enter("a", "p");
    a.make_stream("O", "o", "\"storage\":\"memory\"");
    a.make_stream("F", "f", "");
    let body = "x".repeat(BODY_LEN);
    fill(&mut a, "f", &body);
    for (name, more) in [
        ("M", "\"mirror\":{\"name\":\"O\"}"),
        ("S", "\"sources\":[{\"name\":\"O\"}]"),
    ] {
        a.api(
            &format!("STREAM.CREATE.{name}"),
            format!("{{\"name\":\"{name}\",{more}}}"),
        );
    }
    a.store("o", &body);
    assert_eq!(a.state("M")["messages"], 0);
    assert_eq!(a.state("S")["messages"], 0);
    a.api("STREAM.PURGE.F", "");
    a.wait_messages("M", 1);
    a.wait_messages("S", 1);
    let used = a.api("INFO", "")["storage"].as_u64().unwrap();
    assert!(used > 2 * BODY_LEN as u64, "{used}");
    // They count: there is no room for one more.
    a.store("f", &body[..100]);
    assert_eq!(code(&mut a, "f", "", &body), 10002);
}

#[test]
fn a_schedule_waits_until_its_account_has_room() {
    let dir = Dir::new();
    let (server, _file) = serve(&dir);
    let mut a = server.enter("a", "p");
    a.make_stream("T", "s.>\",\"t.>", "\"allow_msg_schedules\":true");
    a.make_stream("F", "f", "");
    let now: midge_api::Timestamp = SystemTime::now().into();
    let at = now.after(midge_api::Nanos(1_500_000_000));
    let headers = format!("Nats-Schedule: @at {at}\r\nNats-Schedule-Target: t.x\r\n");
    assert_eq!(code(&mut a, "s.x", &headers, &"x".repeat(200)), 0);
    fill(&mut a, "f", &"x".repeat(100));
    until(
        || midge_api::Timestamp::from(SystemTime::now()) > at.after(midge_api::Nanos(300_000_000)),
        "time passes",
    );
    assert_eq!(a.stored("T", 2), Err(10037));
    assert!(a.stored("T", 1).is_ok(), "it is not lost");
    a.api("STREAM.PURGE.F", "");
    until(|| a.stored("T", 2).is_ok(), "it comes when there is room");
    assert_eq!(a.stored("T", 1), Err(10037));
    // And counts.
    let used = |a: &mut Client| a.api("INFO", "")["storage"].as_u64().unwrap();
    fill(&mut a, "f", &"x".repeat(100));
    assert!(used(&mut a) <= 1000);
    assert!(used(&mut a) > 1000 - 250);
}

#[test]
fn what_is_too_long_is_not_published_by_a_schedule() {
    let dir = Dir::new();
    let (server, _file) = serve(&dir);
    let mut b = server.enter("b", "p");
    let more = "\"allow_msg_schedules\":true,\"max_msg_size\":150";
    b.make_stream("T", "s.>\",\"t.>", more);
    b.store("t.long", "x".repeat(150));
    b.store("t.short", "x");
    let now: midge_api::Timestamp = SystemTime::now().into();
    for which in ["long", "short"] {
        let headers = format!(
            "Nats-Schedule: @at {now}\r\nNats-Schedule-Target: t.x\r\n\
             Nats-Schedule-Source: t.{which}\r\n"
        );
        assert_eq!(code(&mut b, &format!("s.{which}"), &headers, ""), 0);
    }
    b.make_durable("T", "c", "\"filter_subject\":\"t.x\"");
    let next = b.next("T", "c");
    assert_eq!(next.text(), "x");
    // It is still there for who looks why nothing came.
    assert!(b.stored("T", 3).is_ok());
    assert_eq!(b.stored("T", 4), Err(10037));
}

#[test]
fn a_batch_is_stored_where_its_account_has_room_for_all() {
    let dir = Dir::new();
    let (server, _file) = serve(&dir);
    let mut a = server.enter("a", "p");
    a.make_stream("F", "f", "\"allow_atomic\":true");
    let body = "x".repeat(BODY_LEN);
    let send = |a: &mut Client, seq: u64, more: &str| {
        let headers = format!("Nats-Batch-Id: k\r\nNats-Batch-Sequence: {seq}\r\n{more}");
        a.ask_with("f", &headers, &body)
    };
    for seq in 1..=2 {
        assert!(send(&mut a, seq, "").body.is_empty());
    }
    let answer = send(&mut a, 3, "Nats-Batch-Commit: 1\r\n").json();
    assert_eq!(answer["error"]["err_code"], 10002);
    assert_eq!(a.state("F")["last_seq"], 0);
    assert!(send(&mut a, 1, "").body.is_empty());
    let answer = send(&mut a, 2, "Nats-Batch-Commit: 1\r\n").json();
    assert_eq!(answer["count"], 2, "{answer}");
    assert_eq!(code(&mut a, "f", "", &body), 10002);
}

#[test]
fn a_counter_counts_as_what_it_has_come_to() {
    let dir = Dir::new();
    let (server, _file) = serve(&dir);
    let mut a = server.enter("a", "p");
    a.make_stream("C", "c.>", "\"allow_msg_counter\":true");
    let long = "9".repeat(80);
    while code(&mut a, "c.x", &format!("Nats-Incr: {long}\r\n"), "") == 0 {}
    let used = a.api("INFO", "")["storage"].as_u64().unwrap();
    // The last may go beyond it by the digits that were made here.
    assert!((700..1100).contains(&used), "{used}");
}

/// What counters come to is longer than what their messages say.
#[test]
fn counters_of_a_batch_find_room_for_what_they_come_to() {
    let dir = Dir::new();
    let (server, _file) = serve(&dir);
    let mut a = server.enter("a", "p");
    a.make_stream(
        "C",
        "c.>",
        "\"allow_msg_counter\":true,\"allow_atomic\":true",
    );
    let long = "9".repeat(200);
    let send = |a: &mut Client, seq: u64, more: &str| {
        let headers = format!("Nats-Batch-Id: k\r\nNats-Batch-Sequence: {seq}\r\n{more}");
        a.ask_with("c.x", &headers, "")
    };
    let first = format!("Nats-Incr: {long}\r\n");
    send(&mut a, 1, &first);
    for seq in 2..=3 {
        send(&mut a, seq, "Nats-Incr: 1\r\n");
    }
    let answer = send(&mut a, 4, "Nats-Incr: 1\r\nNats-Batch-Commit: 1\r\n").json();
    assert_eq!(answer["error"]["err_code"], 10002, "{answer}");
    assert_eq!(a.state("C")["last_seq"], 0);
    send(&mut a, 1, &first);
    let answer = send(&mut a, 2, "Nats-Incr: 1\r\nNats-Batch-Commit: 1\r\n").json();
    assert_eq!(answer["count"], 2, "{answer}");
}

#[test]
fn a_restored_stream_takes_its_room() {
    let dir = Dir::new();
    let (server, _file) = serve(&dir);
    let mut a = server.enter("a", "p");
    a.make_stream("F", "f", "");
    let body = "x".repeat(BODY_LEN);
    a.store("f", &body);
    a.store("f", &body);
    a.send("SUB _S.1 snap\r\n");
    a.api("STREAM.SNAPSHOT.F", "{\"deliver_subject\":\"_S.1\"}");
    let mut archive = Vec::new();
    loop {
        let part = a.message();
        if part.body.is_empty() {
            break;
        }
        archive.extend_from_slice(&part.body);
        if let Some(reply) = &part.reply {
            a.publish(reply, None, "", "");
        }
    }
    a.send("UNSUB snap\r\n");
    let config = a.api("STREAM.INFO.F", "")["config"].clone();
    let restore = |a: &mut Client| {
        let asked = format!("{{\"config\":{config},\"state\":{{}}}}");
        let answer = a.api("STREAM.RESTORE.F", asked);
        let to = answer["deliver_subject"].as_str().expect("text").to_owned();
        a.ask(&to, &archive);
        a.ask(&to, "").json()
    };
    a.api("STREAM.DELETE.F", "");
    assert_eq!(restore(&mut a)["state"]["messages"], 2);
    a.store("f", &body);
    assert_eq!(code(&mut a, "f", "", &body), 10002);
    // Nor does it come where there is no room.
    a.api("STREAM.DELETE.F", "");
    a.make_stream("G", "g", "");
    a.store("g", &body);
    a.store("g", &body);
    let refused = restore(&mut a);
    assert_eq!(refused["error"]["err_code"], 10062, "{refused}");
    assert_eq!(a.api_error("STREAM.INFO.F", ""), 10059);
}
