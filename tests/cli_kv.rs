//! `midge kv` against a real server.

use crate::cli_util::{command, done, done_json, lasting_port, refused, run, serve_at, served};
use crate::stream_util::{Dir, End};
use crate::util::Server;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn a_bucket_is_made() {
    let (_dir, _server, url) = served();
    refused(
        &url,
        "kv put settings colour blue",
        1,
        "there is no bucket settings",
    );
    refused(
        &url,
        "kv get settings colour",
        1,
        "stream not found (10059)",
    );
    assert!(done(&url, "kv ls").starts_with("no buckets"));
    let made = done_json(
        &url,
        "kv add settings --history 3 --ttl 1m --max-value-size 1KB --compression s2",
    );
    for (key, wanted) in [
        ("name", json!("KV_settings")),
        ("subjects", json!(["$KV.settings.>"])),
        ("max_msgs_per_subject", json!(3)),
        ("max_age", json!(60_000_000_000u64)),
        ("duplicate_window", json!(60_000_000_000u64)),
        ("max_msg_size", json!(1024)),
        ("discard", json!("new")),
        ("compression", json!("s2")),
        ("allow_rollup_hdrs", json!(true)),
        ("deny_delete", json!(true)),
        ("allow_direct", json!(true)),
    ] {
        assert_eq!(made["config"][key], wanted, "{key}");
    }
}

#[test]
fn a_key_has_its_last_value() {
    let (_dir, _server, url) = served();
    done(&url, "kv add settings --history 3");
    assert!(done(&url, "kv ls settings").starts_with("no keys"));
    assert_eq!(done(&url, "kv put settings colour blue"), "revision 1\n");
    assert_eq!(
        done(&url, "kv put settings colour 'light blue'"),
        "revision 2\n"
    );
    assert_eq!(done(&url, "kv get settings colour"), "light blue\n");
    assert_eq!(done(&url, "kv get settings colour --raw"), "light blue");
    assert_eq!(done(&url, "kv get settings colour --revision 1"), "blue\n");
    let long = done(&url, "kv get settings colour --long");
    assert!(
        long.starts_with("revision 2, 20") && long.ends_with(" ago\nlight blue\n"),
        "{long}"
    );
    assert_eq!(
        done_json(&url, "kv get settings colour")["message"]["seq"],
        2
    );
    refused(
        &url,
        "kv put settings colour red --revision 1",
        1,
        "wrong last sequence: 2 (10071)",
    );
    assert_eq!(
        done(&url, "kv put settings lamp.hall on --revision 0"),
        "revision 3\n"
    );
    assert_eq!(done(&url, "kv ls settings"), "colour\nlamp.hall\n");
    let buckets = done(&url, "kv ls");
    assert!(buckets.starts_with("BUCKET    VALUES  BYTES"), "{buckets}");
    assert!(buckets.contains("\nsettings  3  "), "{buckets}");
}

#[test]
fn a_key_and_its_bucket_are_deleted() {
    let (_dir, _server, url) = served();
    done(&url, "kv add settings --history 3");
    done(&url, "kv put settings colour blue");
    done(&url, "kv put settings colour 'light blue'");
    done(&url, "kv put settings lamp.hall on");
    assert_eq!(done(&url, "kv del settings colour"), "colour is deleted\n");
    refused(&url, "kv get settings colour", 1, "settings has no colour");
    assert_eq!(done_json(&url, "kv ls settings"), json!(["lamp.hall"]));
    let past = done(&url, "kv history settings colour");
    assert_eq!(past.lines().count(), 4, "{past}");
    assert!(
        past.contains("put        light blue\n") && past.contains("del"),
        "{past}"
    );
    done(&url, "kv purge settings colour");
    assert_eq!(done(&url, "kv history settings colour").lines().count(), 2);
    assert_eq!(
        done(&url, "kv rm settings --force"),
        "settings is deleted\n"
    );
}

#[test]
fn what_is_no_key_or_bucket_is_refused() {
    let (_dir, _server, url) = served();
    done(&url, "kv add settings");
    done(&url, "kv put settings colour blue");
    done(&url, "kv put settings lamp.hall on");
    for (args, code, words) in [
        ("kv get settings other", 1, "settings has no other"),
        (
            "kv get settings lamp.hall --revision 1",
            1,
            "settings has no lamp.hall",
        ),
        (
            "kv history settings other",
            1,
            "nothing is known of that key",
        ),
        ("kv get settings a..b", 2, "\"a..b\" is no key"),
        ("kv put settings lamp.* on", 2, "\"lamp.*\" is no key"),
        ("kv get a.b colour", 2, "\"a.b\" is no bucket"),
        ("kv get ä colour", 2, "\"ä\" is no bucket"),
        ("kv watch settings a..b", 2, "a..b"),
        ("kv ls other", 1, "stream not found (10059)"),
        (
            "kv watch settings --new --history",
            2,
            "--new goes without --history",
        ),
        (
            "kv rm settings",
            2,
            "delete the bucket settings: nobody can be asked",
        ),
    ] {
        refused(&url, args, code, words);
    }
}

#[test]
fn a_value_comes_from_stdin_as_it_is() {
    let (_dir, _server, url) = served();
    done(&url, "kv add files");
    let mut child = command(&url, "kv put files bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"\xff\x00\n")
        .unwrap();
    assert!(child.wait().unwrap().success());
    let shown = command(&url, "kv get files bin --raw").output().unwrap();
    assert_eq!(shown.stdout, b"\xff\x00\n");
    assert_eq!(done(&url, "kv get files bin"), "no text, in base64: /wAK\n");
    let (code, out, _) = run(&url, "kv put files empty ''");
    assert_eq!((code, out.as_str()), (0, "revision 2\n"));
    assert_eq!(done(&url, "kv get files empty --raw"), "");
    let watched = done(&url, "kv watch files --count 2 --json");
    let values: Vec<Value> = watched
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(values[0]["value_base64"], "/wAK");
    assert_eq!(
        (&values[1]["key"], &values[1]["value"]),
        (&json!("empty"), &json!(""))
    );
}

#[test]
fn a_watch_waits_as_long_as_it_is_told() {
    let server = Server::start();
    let mut silent = server.client();
    silent.send("SUB $JS.API.> 1\r\n");
    silent.sync();
    let url = server.address.to_string();
    let start = Instant::now();
    refused(&url, "kv watch lamps --timeout 200ms", 1, "no answer");
    // Where nothing is said it is five.
    assert!(start.elapsed() < Duration::from_secs(4));
}

#[test]
fn a_watch_outlives_its_server() {
    let dir = Dir::new();
    let port = lasting_port();
    let server = serve_at(&dir, port);
    let url = server.address.to_string();
    done(&url, "kv add lamps");
    done(&url, "kv put lamps hall on");
    let mut watch = command(&url, "kv watch lamps")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut line = || lines.next().unwrap().unwrap();
    assert_eq!(line(), "1 hall = on");
    done(&url, "kv put lamps hall off");
    assert_eq!(line(), "2 hall = off");
    End::Killed.bring(server);
    let _server = serve_at(&dir, port);
    done(&url, "kv del lamps hall");
    assert_eq!(line(), "3 hall is deleted");
    watch.kill().unwrap();
    watch.wait().unwrap();
}
