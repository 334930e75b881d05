//! Messages that are published later, or again and again.

use crate::stream_util::{Dir, End, Message};
use crate::util::{Client, PATIENCE};
use midge_api::Timestamp;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const FAR: &str = "@at 2099-01-01T00:00:00Z";

/// Publishes with headers; the error code if it is refused, else 0.
#[track_caller]
fn refusal(client: &mut Client, subject: &str, headers: &str) -> u64 {
    let ack = client.ask_with(subject, headers, "x").json();
    ack["error"]["err_code"].as_u64().unwrap_or(0)
}

/// The headers of a schedule, and more.
fn headers(pattern: &str, target: &str, more: &str) -> String {
    format!("Nats-Schedule: {pattern}\r\nNats-Schedule-Target: {target}\r\n{more}")
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

/// This much after the last full second.
fn soon(after: Duration) -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let at = Duration::from_secs(now.as_secs()) + after;
    (UNIX_EPOCH + at).into()
}

fn at(time: Timestamp) -> String {
    format!("@at {time}")
}

/// A stream of schedules and their targets, and who hears of these.
fn stream(client: &mut Client, more: &str) {
    let config = format!("\"allow_msg_schedules\":true,\"allow_msg_ttl\":true{more}");
    client.make_stream("S", "s.>\",\"t.>", &config);
    client.make_durable("S", "d", "\"filter_subject\":\"t.>\"");
}

/// The next message on a target.
#[track_caller]
fn next(client: &mut Client) -> Message {
    let request = "{\"batch\":1,\"expires\":20000000000}";
    let message = client.ask("$JS.API.CONSUMER.MSG.NEXT.S.d", request);
    client.confirm(message.ack(), "");
    message
}

#[track_caller]
fn until_gone(client: &mut Client, seq: u64) {
    let deadline = Instant::now() + PATIENCE;
    while client.stored("S", seq).is_ok() {
        assert!(Instant::now() < deadline, "{seq} stays");
        std::thread::yield_now();
    }
}

#[test]
fn what_is_wrong_with_a_schedule_is_told_as_nats_server_does() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    stream(&mut client, "");
    client.make_stream("N", "n.>", "");
    let schedules = "\"allow_msg_schedules\":true";
    client.make_stream("X", "x.>", schedules);
    for (pattern, code) in [
        (FAR, 0),
        ("@every 1s", 0),
        ("0 0 0 1 JAN-Mar SUN,tue", 0),
        ("@every 999ms", 10189),
        ("0 0 * * *", 10189),
        ("0 0 0 30 2 *", 10189),
        ("bad", 10189),
        ("", 0),
    ] {
        let headers = headers(pattern, "t.a", "");
        assert_eq!(refusal(&mut client, "s.a", &headers), code, "{pattern}");
        let code = if pattern.is_empty() { 0 } else { 10188 };
        assert_eq!(refusal(&mut client, "n.a", &headers), code, "{pattern}");
    }
    for target in ["", "s.a", "t.*", "t.>", "q.z", "t. b", "t..b", ">"] {
        let headers = headers(FAR, target, "");
        assert_eq!(refusal(&mut client, "s.a", &headers), 10190, "{target}");
    }
    for (more, code, without_ttls) in [
        ("Nats-Schedule-TTL: 1m", 0, 10166),
        ("Nats-Schedule-TTL: never", 0, 10166),
        ("Nats-Schedule-TTL: 0", 10191, 10191),
        ("Nats-Schedule-TTL: 500ms", 10191, 10191),
        ("Nats-Schedule-TTL:", 0, 0),
        ("Nats-Schedule-Rollup: sub", 0, 0),
        ("Nats-Schedule-Rollup: SUB", 10192, 10192),
        ("Nats-Schedule-Rollup: all", 10192, 10192),
        ("Nats-Schedule-Source: t.src", 0, 10203),
        ("Nats-Schedule-Source: t.*", 10203, 10203),
        ("Nats-Schedule-Source: q.other", 10203, 10203),
        ("Nats-Schedule-Source: s.a", 10203, 10203),
        ("Nats-Schedule-Source: t.a", 10203, 10203),
        ("Nats-Rollup: SUB", 0, 0),
        ("Nats-Rollup: all", 10192, 10192),
        ("Nats-Schedule-Next: x", 10212, 10212),
        ("Nats-Schedule-Next: purge", 10212, 10212),
        ("Nats-Scheduler: s.q", 10212, 10212),
        ("Nats-Schedule-Time-Zone: UTC", 10189, 10189),
        ("Nats-Schedule-Time-Zone:", 10223, 10223),
        ("Nats-Schedule-Time-Zone: +02:00", 10223, 10223),
        ("Nats-Schedule-Time-Zone: utc", 10223, 10223),
        ("Nats-Schedule-Time-Zone: ../passwd", 10223, 10223),
    ] {
        let asked = headers(FAR, "t.a", &format!("{more}\r\n"));
        assert_eq!(refusal(&mut client, "s.a", &asked), code, "{more}");
        let asked = headers(FAR, "x.t", &format!("{more}\r\n"));
        assert_eq!(refusal(&mut client, "x.a", &asked), without_ttls, "{more}");
    }
    for (pattern, target, more, code) in [
        ("bad", "", "", 10189),
        ("bad", "", "Nats-Expected-Last-Sequence: 99\r\n", 10071),
        (FAR, "", "Nats-Schedule-TTL: x\r\n", 10191),
        (FAR, "", "Nats-Schedule-Source: t.*\r\n", 10190),
        (FAR, "", "Nats-Schedule-Rollup: x\r\n", 10192),
        (
            FAR,
            "t.a",
            "Nats-Schedule-TTL: x\r\nNats-Schedule-Next: x\r\n",
            10191,
        ),
        ("bad", "t.a", "Nats-Schedule-Time-Zone: x/x\r\n", 10223),
    ] {
        let headers = headers(pattern, target, more);
        assert_eq!(refusal(&mut client, "s.a", &headers), code, "{headers}");
    }
}

#[test]
fn a_message_is_published_when_it_says() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    stream(&mut client, "");
    let due = soon(Duration::from_millis(2300));
    let more = "Nats-Schedule-TTL: 5m\r\nNats-Schedule-Rollup: sub\r\nNats-Msg-Id: i\r\n\
        Nats-TTL: 1h\r\nNats-Expected-Stream: S\r\nB: 2\r\nNats-Schedule-Foo: f\r\nNats-Foo: g\r\n";
    let asked = headers(&at(due), "t.at", more);
    assert_eq!(
        client.store_with("s.at", &format!("A: 1\r\n{asked}"), "b"),
        1
    );
    client.make_durable("S", "all", "");
    let stored = client.next("S", "all");
    let whole = format!("NATS/1.0\r\nA: 1\r\n{asked}Nats-Rollup: sub\r\n\r\n");
    assert_eq!((stored.header, &stored.body[..]), (whole, &b"b"[..]));
    let message = next(&mut client);
    assert!(now() >= due);
    assert_eq!((&message.subject[..], message.text()), ("t.at", "b".into()));
    assert_eq!(
        message.header,
        "NATS/1.0\r\nA: 1\r\nB: 2\r\nNats-Foo: g\r\nNats-Scheduler: s.at\r\n\
         Nats-Schedule-Next: purge\r\nNats-TTL: 5m\r\nNats-Rollup: sub\r\n\r\n"
    );
    assert_eq!(message.sequence(), 2);
    assert_eq!(client.state("S")["messages"], 1);
    // What should have been long ago is published at once.
    let asked = headers("@at 2009-01-01T00:00:00Z", "t.past", "");
    client.store_with("s.past", &asked, "late");
    let message = next(&mut client);
    assert_eq!(
        (&message.subject[..], message.text()),
        ("t.past", "late".into())
    );
}

#[test]
fn a_message_is_published_again_and_again() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    stream(&mut client, "");
    let asked = headers("@every 1500ms", "t.every", "A: 1\r\n");
    client.store_with("s.every", &asked, "x");
    let time_of_next = |message: &Message| {
        let (_, next) = message.header.split_once("Nats-Schedule-Next: ").unwrap();
        Timestamp::parse(next.trim_end()).unwrap()
    };
    let first = next(&mut client);
    let start = "NATS/1.0\r\nA: 1\r\nNats-Scheduler: s.every\r\nNats-Schedule-Next: ";
    assert!(first.header.starts_with(start), "{first:?}");
    let second = next(&mut client);
    assert!(now() >= time_of_next(&first));
    let between = time_of_next(&second).since(time_of_next(&first));
    assert_eq!(between.0, 2_000_000_000, "from the full second");
    client.api("STREAM.PURGE.S", "{\"filter\":\"s.every\"}");
    let zone = "Nats-Schedule-Time-Zone: UTC\r\n";
    client.store_with("s.cron", &headers("*/2 * * * * *", "t.cron", zone), "y");
    let mut message = next(&mut client);
    while message.subject == "t.every" {
        message = next(&mut client);
    }
    assert_eq!(message.subject, "t.cron");
    assert_eq!(time_of_next(&message).0 % 2_000_000_000, 0);
}

#[test]
fn zones_are_those_of_the_system() {
    if !std::path::Path::new("/usr/share/zoneinfo/Asia/Kolkata").exists() {
        return;
    }
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    stream(&mut client, "");
    for (zone, code) in [
        ("Asia/Kolkata", 0),
        ("Local", 0),
        ("asia/kolkata", 10223),
        ("zone.tab", 10223),
    ] {
        let more = format!("Nats-Schedule-Time-Zone: {zone}\r\n");
        let asked = headers("0 0 0 1 1 *", "t.a", &more);
        assert_eq!(refusal(&mut client, "s.a", &asked), code, "{zone}");
    }
    let more = "Nats-Schedule-Time-Zone: Asia/Kolkata\r\n";
    client.store_with("s.cron", &headers("* * * * * *", "t.cron", more), "y");
    let message = next(&mut client);
    assert!(message.header.ends_with("+05:30\r\n\r\n"), "{message:?}");
}

#[test]
fn a_schedule_publishes_the_last_message_of_its_source() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    stream(&mut client, ",\"max_msgs_per_subject\":5");
    let asked = |target: &str, source: &str| {
        let more = format!("Nats-Schedule-Source: {source}\r\nOwn: 1\r\n");
        headers("@at 2009-01-01T00:00:00Z", target, &more)
    };
    client.store("t.src", "old");
    client.store_with("t.src", "X: 1\r\nNats-TTL: 1h\r\nNats-Msg-Id: i\r\n", "new");
    next(&mut client);
    next(&mut client);
    client.store_with("s.a", &asked("t.a", "t.src"), "own");
    let message = next(&mut client);
    assert_eq!(message.text(), "new");
    let added = "Nats-Scheduler: s.a\r\nNats-Schedule-Next: purge\r\n\r\n";
    assert_eq!(message.header, format!("NATS/1.0\r\nX: 1\r\n{added}"));
    // Where that has none it is its own.
    client.store_with("s.a", &asked("t.a", "t.none"), "own");
    let message = next(&mut client);
    assert_eq!(message.text(), "own");
    assert_eq!(message.header, format!("NATS/1.0\r\nOwn: 1\r\n{added}"));
}

#[test]
fn a_schedule_is_the_last_message_of_its_subject() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    stream(&mut client, "");
    let due = at(soon(Duration::from_secs(2)));
    client.store("s.replaced", "older");
    client.store_with("s.replaced", &headers(&due, "t.old", ""), "old");
    client.store_with("s.replaced", &headers(&due, "t.new", ""), "new");
    client.store_with("s.covered", &headers(&due, "t.covered", ""), "x");
    client.store("s.covered", "plain");
    client.store_with("s.deleted", &headers(&due, "t.deleted", ""), "x");
    client.api("STREAM.MSG.DELETE.S", "{\"seq\":6}");
    let message = next(&mut client);
    assert_eq!(
        (&message.subject[..], message.text()),
        ("t.new", "new".into())
    );
    let last = at(soon(Duration::from_secs(1)));
    client.store_with("s.last", &headers(&last, "t.last", ""), "x");
    assert_eq!(next(&mut client).subject, "t.last");
    let left = client.state("S");
    assert_eq!(left["messages"], 4, "{left}");
}

#[test]
fn a_schedule_can_be_ended_by_a_message() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    stream(&mut client, "");
    client.make_stream("N", "n.>", "");
    client.store_with("s.a", &headers(FAR, "t.a", ""), "x");
    client.store("s.plain", "x");
    let ends = |next: &str, scheduler: &str| {
        format!("Nats-Schedule-Next: {next}\r\nNats-Scheduler: {scheduler}\r\n")
    };
    for (next, scheduler, code) in [
        ("purge", "t.end", 10212),
        ("purge", "s.*", 10212),
        ("purge", "", 10212),
        ("", "s.a", 10212),
        ("later", "s.a", 10212),
        ("purge", "s.plain", 10212),
        ("purge", "s.none", 0),
        ("purge", "elsewhere", 0),
        ("purge", "s.a", 0),
    ] {
        assert!(client.stored("S", 1).is_ok());
        let headers = ends(next, scheduler);
        assert_eq!(refusal(&mut client, "t.end", &headers), code, "{headers}");
    }
    assert!(client.stored("S", 1).is_err());
    assert_eq!(refusal(&mut client, "n.a", &ends("purge", "n.x")), 10188);
    assert_eq!(
        refusal(&mut client, "n.a", "Nats-Scheduler: n.x\r\n"),
        10212
    );
    // Only if it is stored.
    client.store_with("s.a", &headers(FAR, "t.a", ""), "x");
    let last = client.state("S")["last_seq"].as_u64().unwrap();
    let expected = "Nats-Expected-Last-Sequence: 1\r\n";
    let headers = ends("purge", "s.a") + expected;
    assert_eq!(refusal(&mut client, "t.end", &headers), 10071);
    assert!(client.stored("S", last).is_ok());
}

#[test]
fn a_schedule_that_has_lived_its_time_is_gone() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    stream(&mut client, "");
    client.store_with("s.a", &headers("@every 1s", "t.a", "Nats-TTL: 2\r\n"), "");
    client.store_with("s.b", &headers(FAR, "t.b", "Nats-TTL: 1\r\n"), "");
    assert_eq!(next(&mut client).subject, "t.a");
    until_gone(&mut client, 1);
    until_gone(&mut client, 2);
}

#[test]
fn what_nobody_wants_is_no_schedule() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    let config = "\"allow_msg_schedules\":true,\"retention\":\"interest\"";
    client.make_stream("I", "i.>", config);
    client.store_with("i.a", &headers("@at 2009-01-01T00:00:00Z", "i.t", ""), "");
    let state = client.state("I");
    assert_eq!(
        (&state["messages"], &state["last_seq"]),
        (&0.into(), &1.into())
    );
    // The target may be what pushes the schedule out.
    let config = "\"allow_msg_schedules\":true,\"max_msgs\":1,\"storage\":\"memory\"";
    client.make_stream("M", "m.>", config);
    client.make_durable("M", "d", "\"filter_subject\":\"m.t\"");
    client.store_with("m.a", &headers("@at 2009-01-01T00:00:00Z", "m.t", ""), "x");
    let request = "{\"batch\":1,\"expires\":20000000000}";
    let message = client.ask("$JS.API.CONSUMER.MSG.NEXT.M.d", request);
    assert_eq!(message.text(), "x");
}

#[test]
fn schedules_go_on_after_a_restart_and_each_time_is_used_once() {
    for end in End::BOTH {
        let dir = Dir::new();
        let server = dir.serve();
        let mut client = server.client();
        stream(&mut client, "");
        client.store_with(
            "s.fired",
            &headers("@at 2009-01-01T00:00:00Z", "t.fired", ""),
            "",
        );
        assert_eq!(next(&mut client).subject, "t.fired");
        client.store_with("s.hour", &headers("@every 1h", "t.hour", ""), "");
        let missed = soon(Duration::from_secs(1));
        client.store_with("s.missed", &headers(&at(missed), "t.missed", ""), "");
        client.store_with("s.often", &headers("@every 1s", "t.often", ""), "");
        let later = soon(Duration::from_secs(4));
        client.store_with("s.later", &headers(&at(later), "t.later", ""), "");
        end.bring(server);
        while now() < missed.after(midge_api::Nanos::from_secs(2)) {
            std::thread::yield_now();
        }
        let server = dir.serve();
        let mut client = server.client();
        let mut heard = Vec::new();
        loop {
            let message = next(&mut client);
            heard.push(message.subject.clone());
            if message.subject == "t.later" {
                assert!(now() >= later, "{end:?}");
                break;
            }
        }
        let count = |subject: &str| heard.iter().filter(|heard| *heard == subject).count();
        assert_eq!(
            (count("t.missed"), count("t.fired")),
            (1, 0),
            "{end:?} {heard:?}"
        );
        // What was missed is made up for by one.
        assert!((1..=4).contains(&count("t.often")), "{end:?} {heard:?}");
        assert_eq!(count("t.hour"), 0, "{end:?}");
    }
}

#[test]
fn the_setting_brings_what_it_needs_and_stays() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s.>", "");
    let body = "{\"name\":\"S\",\"subjects\":[\"s.>\"],\"allow_msg_schedules\":true}";
    let config = client.api("STREAM.UPDATE.S", body)["config"].clone();
    assert_eq!(config["allow_msg_schedules"], true);
    assert_eq!(config["allow_rollup_hdrs"], true);
    client.store_with("s.a", &headers("@at 2009-01-01T00:00:00Z", "s.t", ""), "");
    until_gone(&mut client, 1);
    let body = "{\"name\":\"S\",\"subjects\":[\"s.>\"]}";
    let answer = client.ask("$JS.API.STREAM.UPDATE.S", body).json();
    let error = "message schedules can not be disabled";
    assert_eq!(answer["error"]["description"], error);
}

#[test]
fn what_is_published_lives_at_least_as_long_as_a_marker() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    stream(&mut client, ",\"subject_delete_marker_ttl\":3600000000000");
    let past = headers(
        "@at 2001-01-01T00:00:00Z",
        "t.a",
        "Nats-Schedule-TTL: 1s\r\n",
    );
    assert_eq!(refusal(&mut client, "s.a", &past), 0);
    let message = next(&mut client);
    assert!(
        message.header.contains("Nats-TTL: 3600\r\n"),
        "{}",
        message.header
    );
}
