//! `midge stream` and `midge consumer` against a real server.

use crate::cli_util::{command, done, done_json, refused, served};
use crate::util::Server;
use serde_json::Value;
use std::io::Write;
use std::process::Stdio;

#[test]
fn a_stream_is_made_changed_and_removed() {
    let (_dir, _server, url) = served();
    assert!(done(&url, "stream ls").starts_with("no streams"));
    let made = done(
        &url,
        "stream add ORDERS --subjects orders.>,returns --max-bytes 1GB --max-age 7d \
         --max-per-subject 5 --description 'all of them' --metadata owner=joe --discard new",
    );
    for line in [
        "subjects              orders.>, returns",
        "max_bytes             1 GB",
        "max_age               7d",
        "max_msgs_per_subject  5",
        "description           all of them",
        "owner                 joe",
        "discard               new",
    ] {
        assert!(made.contains(line), "{line}: {made}");
    }
    assert!(made.starts_with("ORDERS, made 20"), "{made}");
    // What is not named stays.
    let edited = done_json(
        &url,
        "stream edit ORDERS --max-age 1h --metadata owner= --overflow dead_letter \
         --allow-direct",
    );
    let config = &edited["config"];
    assert_eq!(config["max_age"], 3_600_000_000_000u64);
    assert_eq!(config["max_bytes"], 1 << 30);
    assert_eq!(config["metadata"]["midge.overflow"], "dead_letter");
    assert_eq!(config["metadata"]["owner"], serde_json::Value::Null);
    assert_eq!(config["allow_direct"], true);
    let edited = done_json(&url, "stream edit ORDERS --no-allow-direct --max-bytes 0");
    assert_eq!(edited["config"]["allow_direct"], false);
    assert_eq!(edited["config"]["max_bytes"], -1);
    let edited = done(
        &url,
        "stream edit ORDERS --discard old --allow-schedules --marker-ttl 2m --compression s2",
    );
    for line in [
        "compression                s2",
        "allow_msg_schedules        yes",
        "subject_delete_marker_ttl  2m",
    ] {
        assert!(edited.contains(line), "{line}: {edited}");
    }
    assert!(done(&url, "stream edit ORDERS").starts_with("ORDERS, made"));
    let listed = done(&url, "stream ls");
    assert!(listed.starts_with("NAME    SUBJECTS"), "{listed}");
    assert!(
        listed.contains("\nORDERS  orders.>, returns  0  "),
        "{listed}"
    );
    assert_eq!(
        done(&url, "stream ls --names --subject orders.new"),
        "ORDERS\n"
    );
    assert!(done(&url, "stream ls --subject other").starts_with("no streams"));
    refused(
        &url,
        "stream rm ORDERS",
        2,
        "delete ORDERS with 0 messages: nobody can be asked",
    );
    assert_eq!(
        done(&url, "stream rm ORDERS --force"),
        "ORDERS is deleted\n"
    );
    refused(
        &url,
        "stream rm ORDERS --force",
        1,
        "stream not found (10059)",
    );
}

#[test]
fn a_configuration_comes_from_a_file_and_from_stdin() {
    let (dir, _server, url) = served();
    done(&url, "stream add A --subjects a.> --max-msgs 7");
    let shown = done(&url, "stream info A --json");
    let file = dir.path().join("config.json");
    std::fs::write(&file, &shown).unwrap();
    let file = file.to_str().unwrap();
    let made = done_json(&url, &format!("stream add B --subjects b --config {file}"));
    assert_eq!(made["config"]["max_msgs"], 7);
    assert_eq!(made["config"]["subjects"], serde_json::json!(["b"]));
    let mut child = command(&url, "stream add C --subjects c --config -")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let config = b"{\"max_msgs\": 8}";
    child.stdin.take().unwrap().write_all(config).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&out.stdout).contains("max_msgs          8"));
    done(
        &url,
        "consumer add A c --filter a.b --backoff 1s,5s --max-deliver 3",
    );
    std::fs::write(file, done(&url, "consumer info A c --json")).unwrap();
    let made = done_json(&url, &format!("consumer add A d --config {file}"));
    assert_eq!(
        made["config"]["backoff"],
        serde_json::json!([1_000_000_000, 5_000_000_000u64])
    );
    assert_eq!(made["name"], "d");
    std::fs::write(file, "[]").unwrap();
    refused(
        &url,
        &format!("stream add D --config {file}"),
        2,
        "holds no JSON object",
    );
    std::fs::write(file, "{").unwrap();
    refused(
        &url,
        &format!("stream add D --config {file}"),
        2,
        "is no JSON",
    );
    refused(
        &url,
        "stream add D --config /none/such",
        2,
        "cannot read /none/such",
    );
}

#[test]
fn an_edit_from_a_file_replaces_what_the_server_has() {
    let (dir, _server, url) = served();
    done(&url, "stream add A --subjects a --max-msgs 7");
    done(&url, "consumer add A c --max-deliver 3");
    let stream = dir.path().join("stream.json");
    let consumer = dir.path().join("consumer.json");
    std::fs::write(&stream, done(&url, "stream info A --json")).unwrap();
    std::fs::write(&consumer, done(&url, "consumer info A c --json")).unwrap();
    let edit_stream = format!("stream edit A --config {}", stream.display());
    let edit_consumer = format!("consumer edit A c --config {}", consumer.display());
    done(&url, "stream edit A --max-msgs 8");
    done(&url, "consumer edit A c --max-deliver 4");
    let edited = done_json(&url, &edit_stream);
    assert_eq!(edited["config"]["max_msgs"], 7);
    let edited = done_json(&url, &edit_consumer);
    assert_eq!(edited["config"]["max_deliver"], 3);
}

#[test]
fn a_question_without_an_answer_makes_no_midge() {
    let server = Server::start();
    let url = server.address.to_string();
    let args = "stream add S --overflow dead_letter --timeout 300ms";
    refused(&url, args, 1, "this server is no midge");
    let mut silent = server.client();
    silent.send("SUB $MIDGE.API.DLQ.SHOW 1\r\n");
    silent.sync();
    refused(&url, args, 1, "no answer");
}

#[test]
fn what_is_stored_is_shown() {
    let (_dir, server, url) = served();
    done(&url, "stream add ORDERS --subjects orders.>");
    assert_eq!(done(&url, "stream view ORDERS"), "no messages\n");
    let mut client = server.client();
    for number in 1..=12 {
        let subject = if number % 2 == 0 {
            "orders.new"
        } else {
            "orders.old"
        };
        client.store_with(subject, "Trace: 17\r\n", format!("number {number}"));
    }
    client.store("orders.odd", b"\xff\x00");
    let shown = done(&url, "stream get ORDERS 2");
    assert!(shown.starts_with("2, orders.new, 20"), "{shown}");
    assert!(shown.ends_with(" ago\nTrace: 17\n\nnumber 2\n"), "{shown}");
    assert_eq!(
        done(&url, "stream get ORDERS --last orders.old --raw"),
        "number 11"
    );
    assert!(done(&url, "stream get ORDERS 13").ends_with("\nno text, in base64: /wA=\n"));
    let answer = done_json(&url, "stream get ORDERS 2");
    assert_eq!(answer["message"]["seq"], 2);
    let page = done(
        &url,
        "stream view ORDERS --from-seq 3 --count 2 --subject orders.new",
    );
    assert!(page.starts_with("4, orders.new, "), "{page}");
    assert!(page.contains("\nnumber 4\n\n6, orders.new, "), "{page}");
    assert!(
        page.ends_with("\nnumber 6\n\nthere are more: --from-seq 7 goes on\n"),
        "{page}"
    );
    let all = done(
        &url,
        "stream view ORDERS --count 0 --subject orders.new --raw",
    );
    assert_eq!(all.lines().count(), 6, "{all}");
    assert_eq!(
        done(&url, "stream view ORDERS --since 1h --raw --count 1"),
        "number 1\n"
    );
    assert_eq!(done(&url, "stream view ORDERS --since 0s"), "no messages\n");
    assert_eq!(done(&url, "stream view ORDERS --json").lines().count(), 10);
}

#[test]
fn what_is_not_stored_is_not_shown() {
    let (_dir, server, url) = served();
    done(&url, "stream add ORDERS --subjects orders.>");
    server.client().store("orders.new", "number 1");
    refused(&url, "stream get ORDERS 77", 1, "no message found (10037)");
    refused(
        &url,
        "stream get ORDERS --last orders.x",
        1,
        "no message found (10037)",
    );
    refused(
        &url,
        "stream get ORDERS",
        2,
        "get takes a sequence, or --last",
    );
    refused(
        &url,
        "stream get ORDERS 1 --last x",
        2,
        "get takes a sequence, or --last",
    );
    refused(
        &url,
        "stream view ORDERS --since 1h --from-seq 1",
        2,
        "goes without --since",
    );
}

#[test]
fn what_is_stored_is_purged() {
    let (_dir, server, url) = served();
    done(&url, "stream add ORDERS --subjects orders.>");
    let mut client = server.client();
    for number in 1..=13 {
        let subject = ["orders.new", "orders.old"][number % 2];
        client.store(subject, format!("number {number}"));
    }
    refused(
        &url,
        "stream purge ORDERS",
        2,
        "delete all messages of ORDERS: nobody",
    );
    refused(
        &url,
        "stream purge ORDERS --keep 1 --seq 2",
        2,
        "--keep goes without --seq",
    );
    for (purge, purged) in [
        ("--subject orders.new --keep 1", 5),
        ("--seq 4", 2),
        ("", 6),
    ] {
        let args = format!("stream purge ORDERS --force {purge}");
        assert_eq!(
            done(&url, args.trim_end()),
            format!("{purged} deleted\n"),
            "{purge}"
        );
    }
}

#[test]
fn a_message_dies_goes_back_and_is_acknowledged() {
    let (_dir, server, url) = served();
    done(
        &url,
        "stream add ORDERS --subjects orders.> --retention workqueue",
    );
    let made = done(&url, "consumer add ORDERS packer --max-deliver 2");
    assert!(made.starts_with("packer of ORDERS, made 20"), "{made}");
    assert!(made.contains("\n  max_deliver      2\n"), "{made}");
    let mut client = server.client();
    client.store("orders.new", "a box of pears");
    let next = |rest: &str| done(&url, &format!("consumer next ORDERS packer {rest}"));
    let shown = next("--nak 'no box'");
    assert!(shown.starts_with("1, orders.new, 20"), "{shown}");
    let end = " ago, delivery 1 of 2, 0 more pending\na box of pears\nit comes again\n";
    assert!(shown.ends_with(end), "{shown}");
    let shown = next("--nak 'still no box'");
    let end = "delivery 2 of 2, 0 more pending\na box of pears\n\
               it does not come again; midge dlq ls shows what is dead\n";
    assert!(shown.ends_with(end), "{shown}");
    refused(
        &url,
        "consumer next ORDERS packer --wait 0s",
        1,
        "no message is there",
    );
    let letters = done(&url, "dlq ls");
    assert!(
        letters.contains("orders.new  2           max_deliver"),
        "{letters}"
    );
    assert!(done(&url, "dlq show 1").contains("still no box"));
    done(&url, "dlq redrive --consumer packer");
    let shown = next("--ack --json");
    let told: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(told["payload"], "a box of pears");
    assert_eq!((&told["delivered"], &told["seq"]), (&1.into(), &2.into()));
    assert_eq!(
        done_json(&url, "stream info ORDERS")["state"]["messages"],
        0
    );
    client.store("orders.new", "pears without end");
    let shown = next("--term 'not for sale'");
    assert!(shown.contains("\nit does not come again"), "{shown}");
    assert!(done(&url, "dlq ls").contains("terminated: not for sale"));
}

#[test]
fn a_worker_takes_what_there_is() {
    let (_dir, server, url) = served();
    done(&url, "stream add S --subjects s");
    done(&url, "consumer add S c --ack-wait 1h");
    let mut client = server.client();
    for number in 1..=5 {
        client.store("s", format!("{number}"));
    }
    let left = done(&url, "consumer next S c");
    assert!(
        left.contains("\nnot acknowledged: after --ack-wait it comes again\n"),
        "{left}"
    );
    let raw = done(&url, "consumer next S c --raw --count 3 --ack");
    assert_eq!(raw, "2\n3\n4\n");
    // What is there is taken even if more was wanted.
    let rest = done(&url, "consumer next S c --raw --count 3 --no-ack --wait 0s");
    assert_eq!(rest, "5\n");
    let info = done_json(&url, "consumer info S c");
    assert_eq!(info["num_ack_pending"], 2);
    for (args, code, words) in [
        ("consumer next S d", 1, "consumer not found (10014)"),
        ("consumer next T c", 1, "stream not found (10059)"),
        (
            "consumer next S c --ack --no-ack",
            2,
            "one of --ack, --nak, --term",
        ),
        ("consumer next S c --delay 1s", 2, "--delay goes with --nak"),
        ("consumer next S c --nak", 2, "nak says nothing"),
        ("consumer next S a.b", 2, "\"a.b\" is not a name"),
    ] {
        refused(&url, args, code, words);
    }
}

#[test]
fn a_consumer_is_made_paused_changed_and_removed() {
    let (_dir, _server, url) = served();
    done(&url, "stream add S --subjects s.>");
    assert!(done(&url, "consumer ls S").starts_with("no consumers"));
    let made = done_json(
        &url,
        "consumer add S c --filter s.a,s.b --deliver new --order-key token:2 --park-key \
         --dead-letter off --breaker 100/1m --priority header:Urgency --max-deliver 3 \
         --inactive 1h --max-ack-pending 7 --metadata a=b",
    );
    let config = &made["config"];
    assert_eq!(config["filter_subjects"], serde_json::json!(["s.a", "s.b"]));
    assert_eq!(config["deliver_policy"], "new");
    assert_eq!(config["inactive_threshold"], 3_600_000_000_000u64);
    assert_eq!(
        config["metadata"],
        serde_json::json!({
            "a": "b", "midge.order_key": "token:2", "midge.park_key": "true",
            "midge.dead_letter": "off", "midge.dead_letter_breaker": "100/1m",
            "midge.priority": "header:Urgency",
            "_nats.level": "4", "_nats.req.level": "0", "_nats.ver": "2.14.0",
        })
    );
    let made = done_json(&url, "consumer add S d --from-seq 3 --filter s.a");
    assert_eq!(made["config"]["deliver_policy"], "by_start_sequence");
    assert_eq!(made["config"]["filter_subject"], "s.a");
    let made = done_json(&url, "consumer add S e --since 1h");
    assert_eq!(made["config"]["deliver_policy"], "by_start_time");
    let edited = done_json(&url, "consumer edit S d --filter s.b --max-deliver 9");
    assert_eq!(edited["config"]["filter_subject"], "s.b");
    assert_eq!(edited["config"]["max_deliver"], 9);
    let paused = done(&url, "consumer pause S d --for 10m");
    assert!(paused.starts_with("it pauses until 20"), "{paused}");
    let listed = done(&url, "consumer ls S");
    let line = listed.lines().find(|line| line.starts_with("d ")).unwrap();
    assert!(line.ends_with("yes"), "{listed}");
    assert_eq!(done(&url, "consumer resume S d"), "it goes on\n");
    let until = done_json(&url, "consumer pause S d --until 2100-01-01T00:00:00Z");
    assert_eq!(until["pause_until"], "2100-01-01T00:00:00Z");
    assert_eq!(done(&url, "consumer ls S --names"), "c\nd\ne\n");
    assert_eq!(done(&url, "consumer rm S e --force"), "e is deleted\n");
}

#[test]
fn what_can_be_no_stream_or_consumer_is_refused() {
    let (_dir, _server, url) = served();
    done(&url, "stream add S --subjects s.>");
    done(&url, "consumer add S c --filter s.a");
    done(&url, "consumer add S d");
    for (args, code, words) in [
        ("consumer add S c", 1, "consumer already exists (10148)"),
        ("consumer add S f --order-key x", 1, "midge.order_key"),
        (
            "consumer add S f --metadata x",
            2,
            "\"x\" has no =; write key=value",
        ),
        (
            "consumer add S f --backoff 1s,soon",
            2,
            "\"soon\" is not a duration",
        ),
        (
            "consumer add S f --ack never",
            2,
            "\"never\" is not one of explicit, all, none",
        ),
        (
            "consumer add S f --from-seq 1 --since 1h",
            2,
            "goes without --since",
        ),
        (
            "consumer edit S f --max-deliver 1",
            1,
            "consumer not found (10014)",
        ),
        ("consumer pause S d", 2, "pause takes --for or --until"),
        (
            "consumer pause S d --until soon",
            2,
            "\"soon\" is not a time",
        ),
        ("consumer rm S d", 2, "delete d of S: nobody can be asked"),
        ("consumer ls T", 1, "stream not found (10059)"),
        (
            "stream add S --subjects other",
            1,
            "stream name already in use",
        ),
        ("stream add 'a b'", 2, "\"a b\" is not a name"),
        (
            "stream add T --overflow maybe",
            2,
            "\"maybe\" is not one of",
        ),
        (
            "stream add T --metadata midge.overflw=x",
            1,
            "midge.overflw",
        ),
    ] {
        refused(&url, args, code, words);
    }
}
