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

#[test]
fn the_longest_headers_are_not_lost() {
    let dir = Dir::new();
    let (_server, mut client) = work_queue(&dir, "\"max_deliver\":1");
    let long = format!("Long: {}\r\n", "x".repeat(65_500));
    client.store_with("q.a", &long, "body");
    refuse(&mut client, "Q", "w", "");
    let shown = ours(&mut client, "DLQ.SHOW", &json!({"seq": 1}));
    assert_eq!(shown["data"], "Ym9keQ==");
    assert!(shown["hdrs"].as_str().unwrap().len() > 65_000);
    ours(&mut client, "DLQ.REDRIVE", &json!({}));
    // There is no room to tell how often it was sent back either.
    let back = client.next("Q", "w");
    assert_eq!(back.text(), "body");
    assert!(back.header.contains(&long));
}

#[test]
fn letters_can_lie_in_the_stream_they_come_from() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("W", "w.>", "\"retention\":\"workqueue\"");
    let options = json!({"midge.dead_letter": "w.dead"});
    let more = format!("\"max_deliver\":1,\"filter_subject\":\"w.in\",\"metadata\":{options}");
    client.make_durable("W", "c", &more);
    client.store("w.in", "x");
    let message = client.next("W", "c");
    client.confirm(message.ack(), "+TERM bad");
    assert_eq!(client.state("W")["messages"], 1);
    client.make_durable(
        "W",
        "dead",
        "\"max_deliver\":1,\"filter_subject\":\"w.dead\"",
    );
    let letter = client.next("W", "dead");
    assert_eq!(
        (letter.subject.as_str(), letter.text().as_str()),
        ("w.dead", "x")
    );
    // What dies there is kept as any other.
    client.confirm(letter.ack(), "+TERM again");
    assert_eq!(client.state("W")["messages"], 0);
    assert_eq!(letters(&mut client, &json!({}))[0]["subject"], "w.dead");
}

#[test]
fn a_letter_that_is_terminated_among_the_dead_stays_there() {
    let dir = Dir::new();
    let (_server, mut client) = work_queue(&dir, "\"max_deliver\":1");
    client.make_stream("DLQ", "$DLQ.>", "\"retention\":\"workqueue\"");
    client.store("q.a", "x");
    refuse(&mut client, "Q", "w", "");
    client.make_durable("DLQ", "repair", "\"max_deliver\":1");
    let letter = client.next("DLQ", "repair");
    client.confirm(letter.ack(), "+TERM beyond repair");
    assert_eq!(client.next_now("DLQ", "repair"), None);
    assert_eq!(letters(&mut client, &json!({})).len(), 1);
}

#[test]
fn a_letter_does_not_go_back_to_who_does_not_want_it_any_more() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s.>", "");
    client.make_durable("S", "d", "\"max_deliver\":1");
    client.store("s.a", "x");
    refuse(&mut client, "S", "d", "");
    client.make_durable("S", "d", "\"max_deliver\":1,\"filter_subject\":\"s.b\"");
    let told = ours(&mut client, "DLQ.REDRIVE", &json!({}));
    assert_eq!(
        (told["failed"].as_u64(), told["redriven"].as_u64()),
        (Some(1), Some(0)),
        "{told}"
    );
    assert_eq!(
        client.state("S")["messages"],
        1,
        "nothing was published again"
    );
    assert_eq!(letters(&mut client, &json!({})).len(), 1);
}

#[test]
fn a_message_larger_than_what_is_kept_in_memory_is_delivered() {
    let dir = Dir::new();
    let server = dir.serve_with(&["--max-payload", "33554432"]);
    let mut client = server.client();
    client.make_stream("X", "x.>", "");
    client.make_durable("X", "c", "");
    for len in [17 << 20, 20 << 20, 1000] {
        client.store("x.a", vec![b'x'; len]);
    }
    for len in [17 << 20, 20 << 20, 1000] {
        assert_eq!(client.next("X", "c").body.len(), len);
    }
}

#[test]
fn a_flood_of_questions_keeps_nobody_waiting() {
    let dir = Dir::new();
    let (server, mut client) = work_queue(&dir, "\"max_deliver\":1");
    for number in 0..500 {
        client.store("q.a", number.to_string());
        refuse(&mut client, "Q", "w", "");
    }
    let mut flooder = server.client();
    flooder.send("WHY Q 499\r\n".repeat(5000));
    let mut other = server.client();
    for _ in 0..5 {
        other.sync();
    }
    drop(flooder);
    // What nobody hears the answer to is not looked for.
    let begun = std::time::Instant::now();
    assert_eq!(letters(&mut other, &json!({})).len(), 100);
    assert!(
        begun.elapsed() < crate::util::PATIENCE / 2,
        "{:?}",
        begun.elapsed()
    );
}
