//! Dead letters where things go wrong around them.

use crate::dead_letters::{letters, ours, ours_error, refuse, work_queue};
use crate::stream_util::Dir;
use serde_json::json;

#[test]
fn a_redrive_ends_when_the_letters_are_deleted_under_it() {
    let dir = Dir::new();
    let (_server, mut client) = work_queue(
        &dir,
        "\"max_deliver\":1,\"metadata\":{\"midge.dead_letter\":\"bad.x\"}",
    );
    client.make_stream("BAD", "bad.>", "");
    for number in 0..3 {
        client.store("q.a", number.to_string());
        refuse(&mut client, "Q", "w", "");
    }
    let begun = ours(
        &mut client,
        "DLQ.REDRIVE",
        &json!({"dlq": "BAD", "rate": 10}),
    );
    client.api("STREAM.DELETE.BAD", "");
    let mut told = begun.clone();
    while told["state"] == "running" {
        told = ours(&mut client, "DLQ.REDRIVE", &json!({"id": begun["id"]}));
    }
    assert_eq!(told["state"], "stopped", "{told}");
}

#[test]
fn a_walk_that_finds_nothing_lets_others_have_their_turn() {
    let dir = Dir::new();
    let (server, mut client) = work_queue(&dir, "\"max_deliver\":1");
    for number in 0..3 {
        client.store("q.a", number.to_string());
        refuse(&mut client, "Q", "w", "");
    }
    let filter = json!({"reason": "no such", "dry_run": true});
    assert_eq!(ours(&mut client, "DLQ.REDRIVE", &filter)["matched"], 0);
    assert_eq!(server.client().sync(), "");
}

#[test]
fn nobody_gets_lines_of_the_protocol_into_a_letter() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("Q", "q.>", "\"retention\":\"workqueue\"");
    client.make_stream("T", "t.>", "");
    let refused = client.api_error(
        "CONSUMER.CREATE.Q.w",
        "{\"stream_name\":\"Q\",\"config\":{\"durable_name\":\"w\",\"ack_policy\":\"explicit\",\
         \"max_deliver\":1,\"metadata\":{\"midge.dead_letter\":\"t.x\\r\\nMSG fake 7 4\\r\\nEVIL\"}}}",
    );
    assert_eq!(refused, 10012);
    client.make_durable("Q", "w", "\"max_deliver\":1");
    client.store("q.a", "x");
    let mut watcher = server.client();
    watcher.send("SUB > 1\r\n");
    watcher.sync();
    // Line ends in a reason are told as blanks, or as JSON tells them.
    let message = client.next("Q", "w");
    client.confirm(message.ack(), "+TERM a\r\nMidge-Sequence: 99\r\n\r\nb");
    let letter = letters(&mut client, &json!({}));
    assert_eq!(letter[0]["source_seq"], 1);
    assert_eq!(
        letter[0]["reason"],
        "terminated: a  Midge-Sequence: 99    b"
    );
    // A letter that somebody forged does not get its subject on the wire.
    client.store_with(
        "$DLQ.Q.w.x",
        "Midge-Stream: Q\r\nMidge-Sequence: 7\r\nMidge-Subject: t.x 9 9\r\n",
        "forged",
    );
    let told = ours(&mut client, "DLQ.REDRIVE", &json!({"source_seq": 7}));
    assert_eq!(
        (told["redriven"].as_u64(), told["failed"].as_u64()),
        (Some(0), Some(1)),
        "{told}"
    );
    assert_eq!(client.state("T")["messages"], 0);
}

#[test]
fn a_letter_that_nobody_wants_is_not_lost() {
    let dir = Dir::new();
    let (_server, mut client) = work_queue(
        &dir,
        "\"max_deliver\":1,\"metadata\":{\"midge.dead_letter\":\"bad.x\"}",
    );
    // It keeps what a consumer wants, and has none.
    client.make_stream("BAD", "bad.>", "\"retention\":\"interest\"");
    client.store("q.a", "x");
    let message = client.next("Q", "w");
    client.publish(message.ack(), None, "", "-NAK");
    let info = client.api("CONSUMER.INFO.Q.w", "");
    assert_eq!(info["num_ack_pending"], 1, "it is still pending");
    client.make_durable("BAD", "reader", "");
    assert_eq!(client.next("BAD", "reader").text(), "x");
    assert_eq!(client.state("Q")["messages"], 0);
}

#[test]
fn a_letter_that_cannot_be_stored_keeps_no_other_back() {
    let dir = Dir::new();
    let (_server, mut client) = work_queue(
        &dir,
        "\"max_deliver\":1,\"metadata\":{\"midge.dead_letter\":\"bad.x\"}",
    );
    client.make_stream("BAD", "bad.>", "\"max_msg_size\":600");
    client.store("q.a", "x".repeat(1000));
    client.store("q.a", "small");
    for _ in 0..2 {
        let message = client.next("Q", "w");
        client.publish(message.ack(), None, "", "-NAK");
    }
    client.make_durable("BAD", "reader", "");
    assert_eq!(client.next("BAD", "reader").text(), "small");
    assert_eq!(client.api("CONSUMER.INFO.Q.w", "")["num_ack_pending"], 1);
    // When there is room it is not forgotten.
    client.api(
        "STREAM.UPDATE.BAD",
        "{\"name\":\"BAD\",\"subjects\":[\"bad.>\"],\"max_msg_size\":-1}",
    );
    assert_eq!(client.next("BAD", "reader").text().len(), 1000);
}

#[test]
fn a_late_refusal_does_not_end_what_another_works_on() {
    let dir = Dir::new();
    let (_server, mut client) = work_queue(&dir, "\"max_deliver\":2,\"ack_wait\":200000000");
    client.store("q.a", "x");
    let first = client.next("Q", "w");
    let second = client.next("Q", "w");
    assert_eq!(second.told().0, 2);
    client.confirm(first.ack(), "-NAK");
    client.confirm(second.ack(), "");
    assert_eq!(letters(&mut client, &json!({})).len(), 0, "it was done");
    assert_eq!(client.state("Q")["messages"], 0);
}

#[test]
fn what_means_none_is_not_taken_for_all() {
    let dir = Dir::new();
    let (_server, mut client) = work_queue(&dir, "\"max_deliver\":1");
    client.store("q.a", "x");
    refuse(&mut client, "Q", "w", "");
    for (words, body, code) in [
        ("DLQ.DROP", json!({"stream": "Q", "seq": 0}), 20001),
        ("DLQ.REDRIVE", json!({"source_seq": 0}), 20001),
        ("DLQ.DROP", json!({"age_min_ms": 0}), 20004),
    ] {
        assert_eq!(ours_error(&mut client, words, &body), code, "{body}");
    }
    // A stream that lets nothing be deleted keeps its letters.
    client.api(
        "STREAM.UPDATE.DLQ",
        "{\"name\":\"DLQ\",\"subjects\":[\"$DLQ.>\"],\"allow_direct\":true,\"deny_delete\":true,\
         \"description\":\"messages that could not be processed\"}",
    );
    assert!(ours_error(&mut client, "DLQ.DROP", &json!({"all": true})) > 10000);
    assert!(ours_error(&mut client, "DLQ.REDRIVE", &json!({})) > 10000);
    assert_eq!(letters(&mut client, &json!({})).len(), 1);
}

#[test]
fn a_breaker_is_open_after_a_restart_too() {
    let dir = Dir::new();
    let options = json!({"midge.dead_letter_breaker": "1/1m"});
    let (server, mut client) =
        work_queue(&dir, &format!("\"max_deliver\":1,\"metadata\":{options}"));
    for number in 0..2 {
        client.store("q.a", number.to_string());
        refuse(&mut client, "Q", "w", "");
    }
    drop(server);
    let server = dir.serve_with(&["--http-port", "0"]);
    let (_, page) = server.get("/metrics");
    let open = "midge_consumer_breaker_open{stream=\"Q\",consumer=\"w\"} 1";
    assert!(page.contains(open), "{page}");
}
