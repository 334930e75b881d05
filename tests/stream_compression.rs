//! Streams that are compressed in the file: what is stored comes back, and
//! takes less of it.

use crate::stream_util::{Dir, End, base64};
use crate::util::Client;
use serde_json::Value;
use std::process::Command;

/// Messages of one run: more than the journal holds.
const COUNT: u64 = 20_000;
/// Messages that are under way.
const AT_ONCE: u64 = 500;

fn body(number: u64) -> String {
    let noise = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    format!(
        "{{\"number\":{number},\"device\":\"sensor-{:04}\",\"temperature\":{}.{:02},\
         \"status\":\"ok\",\"site\":\"plant-{}\",\"note\":\"{noise}\",\
         \"text\":\"as every message says it, and the next one will say it again\"}}",
        noise % 40,
        noise % 30,
        noise % 97,
        noise % 7,
    )
}

/// Stores messages with the numbers from `from` on.
fn fill(client: &mut Client, from: u64, count: u64) {
    client.send("SUB _F f\r\n");
    for begin in (from..from + count).step_by(AT_ONCE as usize) {
        let messages: String = (begin..begin + AT_ONCE)
            .map(|number| (number % 40, body(number)))
            .map(|(device, body)| format!("PUB s.{device} _F {}\r\n{body}\r\n", body.len()))
            .collect();
        client.send(messages);
        for number in begin..begin + AT_ONCE {
            assert_eq!(client.message().json()["seq"], number);
        }
    }
    client.send("UNSUB f\r\n");
}

/// What there is of some sequences, all over the stream. Of the first devices
/// so many are purged.
fn check(client: &mut Client, last: u64, purged: u64) {
    for seq in (1..=last).step_by(97).chain([last]) {
        match client.stored("S", seq) {
            Ok(stored) => {
                let body = base64(body(seq).as_bytes());
                assert_eq!(stored["data"], body, "sequence {seq}");
            }
            Err(code) => assert!(seq % 40 < purged, "sequence {seq}: {code}"),
        }
    }
}

fn run(words: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(crate::util::midge()).args(words).output();
    let output = output.unwrap();
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

/// What a store takes in which nothing is free, and what its stream says.
fn stored(compression: &str, end: End) -> (Dir, u64, Value) {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    let fields = format!("\"compression\":\"{compression}\"");
    client.make_stream("S", "s.>", &fields);
    fill(&mut client, 1, COUNT);
    let mut state = client.state("S");
    for time in ["first_ts", "last_ts"] {
        state.as_object_mut().unwrap().remove(time);
    }
    end.bring(server);
    assert_eq!(run(&["compact", "--store", &dir.store()]).0, Some(0));
    let (code, said) = run(&["verify", "--store", &dir.store()]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains(&format!("1 stream, {COUNT} messages")),
        "{said}"
    );
    let len = std::fs::metadata(dir.store()).unwrap().len();
    (dir, len, state)
}

#[test]
fn a_stream_is_compressed_and_nobody_sees_it() {
    // The journal is made with the file.
    const JOURNAL_LEN: u64 = 4 << 20;
    let (_, plain_len, plain_state) = stored("none", End::Stopped);
    for end in End::BOTH {
        let (dir, len, state) = stored("s2", end);
        assert_eq!(state, plain_state);
        assert!(
            (len - JOURNAL_LEN) * 5 < (plain_len - JOURNAL_LEN) * 2,
            "{len} bytes, {plain_len} without"
        );
        let server = dir.serve();
        let mut client = server.client();
        let info = client.api("STREAM.INFO.S", "");
        assert_eq!(info["config"]["compression"], "s2");
        check(&mut client, COUNT, 0);
        // A backup is taken of what lies there and as it lies there.
        let (backup, to) = (dir.path().join("backup"), dir.path().join("restored"));
        let (backup, to) = (backup.to_str().unwrap(), to.to_str().unwrap());
        let url = format!("nats://{}", server.address);
        assert_eq!(run(&["backup", backup, "--server", &url]).0, Some(0));
        End::Stopped.bring(server);
        assert!(std::fs::metadata(backup).unwrap().len() * 5 < plain_len * 2);
        assert_eq!(run(&["restore", backup, "--store", to]).0, Some(0));
        std::fs::rename(to, dir.store()).unwrap();
        let server = dir.serve();
        check(&mut server.client(), COUNT, 0);
    }
}

/// What is stored stays as it is, and what comes is stored as is said now.
#[test]
fn compression_is_switched_on_and_off() {
    let dir = Dir::new();
    let mut last = 0;
    for (place, compression) in ["none", "s2", "none", "s2"].into_iter().enumerate() {
        let server = dir.serve();
        let mut client = server.client();
        let fields = format!("\"compression\":\"{compression}\"");
        if place == 0 {
            client.make_stream("S", "s.>", &fields);
        } else {
            check(&mut client, last, place as u64);
            let config = format!("{{\"name\":\"S\",\"subjects\":[\"s.>\"],{fields}}}");
            let info = client.api("STREAM.UPDATE.S", config);
            assert_eq!(info["config"]["compression"], compression);
        }
        fill(&mut client, last + 1, 5000);
        last += 5000;
        check(&mut client, last, place as u64);
        // Some are gone from blocks that are written anew, others for good.
        client.api("STREAM.PURGE.S", format!("{{\"filter\":\"s.{place}\"}}"));
        let kept = client.state("S")["messages"].as_u64().unwrap();
        assert!(kept < last, "{kept} of {last}");
        let end = [End::Stopped, End::Killed][place % 2];
        end.bring(server);
    }
    let (code, said) = run(&["verify", "--store", &dir.store()]);
    assert_eq!(code, Some(0), "{said}");
}
