//! Dead letters, from the message that cannot be processed to its way back.

use crate::stream_util::{Dir, End, Message};
use crate::util::{Client, Server};
use serde_json::{Value, json};

/// A work queue `Q` on q.> with a durable `w`; `more` is the consumer's JSON.
pub(crate) fn work_queue(dir: &Dir, more: &str) -> (Server, Client) {
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("Q", "q.>", "\"retention\":\"workqueue\"");
    client.make_durable("Q", "w", more);
    (server, client)
}

/// Requests of ours, which are agreed to.
#[track_caller]
pub(crate) fn ours(client: &mut Client, words: &str, body: &Value) -> Value {
    let answer = client
        .ask(&format!("$MIDGE.API.{words}"), body.to_string())
        .json();
    assert!(answer["error"].is_null(), "{words} {body}: {answer}");
    answer
}

/// Requests of ours, which are refused.
#[track_caller]
pub(crate) fn ours_error(client: &mut Client, words: &str, body: &Value) -> u64 {
    let answer = client
        .ask(&format!("$MIDGE.API.{words}"), body.to_string())
        .json();
    let code = answer["error"]["err_code"].as_u64();
    code.unwrap_or_else(|| panic!("{words} {body}: {answer}"))
}

pub(crate) fn letters(client: &mut Client, filter: &Value) -> Vec<Value> {
    let list = ours(client, "DLQ.LIST", filter);
    list["letters"].as_array().unwrap().clone()
}

fn header<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    let start = format!("{name}: ");
    message
        .header
        .lines()
        .find_map(|line| line.strip_prefix(&start))
}

/// Refuses the next message with a reason.
#[track_caller]
pub(crate) fn refuse(client: &mut Client, stream: &str, consumer: &str, reason: &str) -> Message {
    let message = client.next(stream, consumer);
    client.confirm(message.ack(), &format!("-NAK {{\"reason\":\"{reason}\"}}"));
    message
}

#[test]
fn a_message_that_cannot_be_processed_is_kept_with_its_story() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.connect();
    client.send("CONNECT {\"verbose\":false,\"headers\":true,\"name\":\"worker-1\"}\r\n");
    client.sync();
    client.make_stream("Q", "q.>", "\"retention\":\"workqueue\"");
    client.make_durable("Q", "w", "\"max_deliver\":2");
    client.send("SUB $DLQ.> dead\r\nSUB $JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.Q.w adv\r\n");
    client.store_with("q.a", "Color: red\r\n", "poison");
    refuse(&mut client, "Q", "w", "no paper");
    let last = client.next("Q", "w");
    assert_eq!(last.told().0, 2);
    client.publish(last.ack(), None, "", "-NAK {\"reason\":\"still no paper\"}");
    // Who listens sees it at once, and the advisory is as ever.
    let shown = client.message();
    assert_eq!(
        (shown.sid.as_str(), shown.subject.as_str()),
        ("dead", "$DLQ.Q.w.q.a")
    );
    let advisory = client.message();
    assert_eq!(
        (
            advisory.sid.as_str(),
            advisory.json()["deliveries"].as_u64()
        ),
        ("adv", Some(2))
    );
    // The copy has everything.
    assert_eq!(shown.text(), "poison");
    for (name, value) in [
        ("Color", "red"),
        ("Midge-Stream", "Q"),
        ("Midge-Consumer", "w"),
        ("Midge-Sequence", "1"),
        ("Midge-Subject", "q.a"),
        ("Midge-Deliveries", "2"),
        ("Midge-Reason", "max_deliver"),
    ] {
        assert_eq!(
            header(&shown, name),
            Some(value),
            "{name}: {}",
            shown.header
        );
    }
    let attempts: Vec<Value> = shown
        .header
        .lines()
        .filter_map(|line| line.strip_prefix("Midge-Attempt: "))
        .map(|attempt| serde_json::from_str(attempt).expect(attempt))
        .collect();
    assert_eq!(attempts.len(), 2, "{}", shown.header);
    for (attempt, (number, reason)) in attempts
        .iter()
        .zip([(1, "no paper"), (2, "still no paper")])
    {
        assert_eq!(attempt["n"], number);
        assert_eq!(attempt["client"], "worker-1");
        assert!(attempt["client_id"].as_u64() > Some(0), "{attempt}");
        assert_eq!(attempt["ended"], "nak");
        assert_eq!(attempt["reason"], reason);
    }
    // The source is released, and what is dead is in its stream.
    client.send("UNSUB dead\r\nUNSUB adv\r\n");
    assert_eq!(client.state("Q")["messages"], 0);
    assert_eq!(client.state("DLQ")["messages"], 1);
    assert_eq!(client.api("CONSUMER.INFO.Q.w", "")["num_ack_pending"], 0);
    let shown = ours(&mut client, "DLQ.SHOW", &json!({"seq": 1}));
    assert_eq!(shown["letter"]["reason"], "max_deliver");
    assert_eq!(shown["attempts"].as_array().map(Vec::len), Some(2));
    assert_eq!(shown["data"], "cG9pc29u");
}

#[test]
fn what_is_terminated_is_kept_with_the_reason() {
    for end in End::BOTH {
        let dir = Dir::new();
        let (server, mut client) = work_queue(&dir, "\"max_deliver\":5");
        client.store("q.a", "bad");
        let message = client.next("Q", "w");
        client.confirm(message.ack(), "+TERM no such customer");
        end.bring(server);
        let server = dir.serve();
        let mut client = server.client();
        let letters = letters(&mut client, &json!({}));
        assert_eq!(letters.len(), 1, "{end:?}");
        assert_eq!(letters[0]["reason"], "terminated: no such customer");
        assert_eq!(letters[0]["deliveries"], 1);
        assert_eq!(client.state("Q")["messages"], 0);
        assert_eq!(client.next_now("Q", "w"), None);
    }
}

#[test]
fn silence_and_a_client_that_went_away_end_a_delivery_too() {
    let dir = Dir::new();
    let (server, mut client) = work_queue(&dir, "\"max_deliver\":2,\"ack_wait\":100000000");
    client.store("q.a", "x");
    let mut gone = server.connect();
    gone.send("CONNECT {\"headers\":true,\"verbose\":false,\"name\":\"gone\"}\r\n");
    gone.next("Q", "w");
    drop(gone);
    client.next("Q", "w");
    client.send("SUB $DLQ.> dead\r\n");
    let letter = client.message();
    let attempts: Vec<&str> = letter
        .header
        .lines()
        .filter(|line| line.starts_with("Midge-Attempt"))
        .collect();
    assert!(
        attempts[0].contains("\"ended\":\"disconnect\""),
        "{attempts:?}"
    );
    assert!(attempts[0].contains("\"client\":\"gone\""), "{attempts:?}");
    assert!(
        attempts[1].contains("\"ended\":\"timeout\""),
        "{attempts:?}"
    );
}

#[test]
fn attempts_and_their_count_survive_a_restart() {
    for end in End::BOTH {
        let dir = Dir::new();
        let more = "\"max_deliver\":3,\"ack_wait\":500000000";
        let (server, mut client) = work_queue(&dir, more);
        client.store("q.a", "x");
        refuse(&mut client, "Q", "w", "first");
        refuse(&mut client, "Q", "w", "second");
        end.bring(server);
        let server = dir.serve();
        let mut client = server.client();
        let last = refuse(&mut client, "Q", "w", "third");
        assert_eq!(last.told().0, 3, "{end:?}");
        let shown = ours(&mut client, "DLQ.SHOW", &json!({"seq": 1}));
        let reasons: Vec<&str> = shown["attempts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|attempt| attempt["reason"].as_str().unwrap())
            .collect();
        assert_eq!(reasons, ["first", "second", "third"], "{end:?}");
    }
}

#[test]
fn a_consumer_says_what_it_wants_of_the_dead() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s.>", "");
    client.make_stream("BAD", "bad.>", "");
    let one_try = |options: Value| format!("\"max_deliver\":1,\"metadata\":{options}");
    client.make_durable("S", "off", &one_try(json!({"midge.dead_letter": "off"})));
    client.make_durable(
        "S",
        "own",
        &one_try(json!({"midge.dead_letter": "bad.letters"})),
    );
    client.make_durable(
        "S",
        "nowhere",
        &one_try(json!({"midge.dead_letter": "no.stream"})),
    );
    client.make_durable(
        "S",
        "term",
        &one_try(json!({"midge.dead_letter_on": "term"})),
    );
    client.make_durable("S", "endless", "");
    client.store("s.a", "x");
    for consumer in ["off", "own", "nowhere", "term"] {
        refuse(&mut client, "S", consumer, "");
    }
    let endless = client.next("S", "endless");
    client.confirm(endless.ack(), "+TERM");
    assert_eq!(client.state("BAD")["messages"], 1);
    let kept = letters(&mut client, &json!({}));
    let consumers: Vec<&str> = kept
        .iter()
        .map(|l| l["consumer"].as_str().unwrap())
        .collect();
    assert_eq!(
        consumers,
        ["nowhere"],
        "what nobody keeps elsewhere is kept in DLQ"
    );
    client.store("s.a", "y");
    let message = client.next("S", "term");
    client.confirm(message.ack(), "+TERM so be it");
    assert_eq!(letters(&mut client, &json!({"consumer": "term"})).len(), 1);
    let own = letters(&mut client, &json!({"dlq": "BAD"}));
    assert_eq!(own[0]["consumer"], "own");
    // A typing mistake is not taken for an option.
    let refused = client.api_error(
        "CONSUMER.CREATE.S.x",
        "{\"stream_name\":\"S\",\"config\":{\"durable_name\":\"x\",\"ack_policy\":\"explicit\",\
         \"metadata\":{\"midge.dead_leter\":\"off\"}}}",
    );
    assert_eq!(refused, 10012);
}

#[test]
fn the_dead_do_not_die_again_into_their_own_stream() {
    let dir = Dir::new();
    let (_server, mut client) = work_queue(&dir, "\"max_deliver\":1");
    client.store("q.a", "x");
    refuse(&mut client, "Q", "w", "");
    client.make_durable("DLQ", "undertaker", "\"max_deliver\":1");
    let letter = refuse(&mut client, "DLQ", "undertaker", "");
    assert_eq!(letter.subject, "$DLQ.Q.w.q.a");
    assert_eq!(client.next_now("DLQ", "undertaker"), None);
    assert_eq!(client.state("DLQ")["messages"], 1, "it is there, once");
}

#[test]
fn a_letter_goes_back_to_the_one_consumer_it_died_with() {
    for end in End::BOTH {
        let dir = Dir::new();
        let server = dir.serve();
        let mut client = server.client();
        client.make_stream("S", "s.>", "");
        client.make_durable("S", "a", "\"max_deliver\":1");
        client.make_durable("S", "b", "\"max_deliver\":1");
        client.store("s.x", "one");
        client.store("s.x", "two");
        refuse(&mut client, "S", "a", "");
        let done = client.next("S", "b");
        client.confirm(done.ack(), "");
        let dry = ours(
            &mut client,
            "DLQ.REDRIVE",
            &json!({"consumer": "a", "dry_run": true}),
        );
        assert_eq!(
            (dry["matched"].as_u64(), dry["redriven"].as_u64()),
            (Some(1), Some(0))
        );
        let done = ours(&mut client, "DLQ.REDRIVE", &json!({"consumer": "a"}));
        assert_eq!(done["state"], "done", "{done}");
        assert_eq!(
            (done["to_consumer"].as_u64(), done["to_subject"].as_u64()),
            (Some(1), Some(0))
        );
        assert_eq!(client.state("DLQ")["messages"], 0);
        assert_eq!(client.api("CONSUMER.INFO.S.a", "")["num_pending"], 2);
        end.bring(server);
        let server = dir.serve();
        let mut client = server.client();
        // It comes before what is new, and its deliveries are counted anew.
        let back = client.next("S", "a");
        assert_eq!((back.text().as_str(), back.told().0), ("one", 1), "{end:?}");
        client.confirm(back.ack(), "");
        let next = client.next("S", "a");
        assert_eq!(next.text(), "two");
        client.confirm(next.ack(), "");
        assert_eq!(client.next_now("S", "a"), None);
        assert_eq!(client.next("S", "b").text(), "two");
        assert_eq!(
            client.state("S")["messages"],
            2,
            "nothing was published again"
        );
        assert_eq!(
            client.api("CONSUMER.INFO.S.a", "")["ack_floor"]["stream_seq"],
            2
        );
    }
}

#[test]
fn a_letter_whose_source_is_gone_is_published_again() {
    let dir = Dir::new();
    let (_server, mut client) = work_queue(&dir, "\"max_deliver\":1");
    client.store_with("q.a", "Nats-Msg-Id: 1\r\nColor: red\r\n", "x");
    refuse(&mut client, "Q", "w", "");
    let done = ours(&mut client, "DLQ.REDRIVE", &json!({}));
    assert_eq!(done["to_subject"], 1, "{done}");
    let back = client.next("Q", "w");
    assert_eq!((back.text().as_str(), back.sequence()), ("x", 2));
    assert_eq!(header(&back, "Color"), Some("red"));
    assert_eq!(header(&back, "Midge-Redrives"), Some("1"));
    assert_eq!(header(&back, "Midge-Stream"), None);
    assert_eq!(client.state("DLQ")["messages"], 0);
    // When it dies again, that is told.
    client.confirm(back.ack(), "-NAK");
    let again = letters(&mut client, &json!({}));
    assert_eq!(
        (
            again[0]["redrives"].as_u64(),
            again[0]["source_seq"].as_u64()
        ),
        (Some(1), Some(2))
    );
    // Without anybody to take it, it stays where it is.
    client.api("STREAM.DELETE.Q", "");
    let failed = ours(&mut client, "DLQ.REDRIVE", &json!({}));
    assert_eq!(
        (failed["failed"].as_u64(), failed["redriven"].as_u64()),
        (Some(1), Some(0))
    );
    assert!(failed["why"].as_str().unwrap().contains("q.a"), "{failed}");
    assert_eq!(client.state("DLQ")["messages"], 1);
}

#[test]
fn a_redrive_stops_when_what_it_sent_back_dies_again() {
    let dir = Dir::new();
    let (_server, mut client) = work_queue(&dir, "\"max_deliver\":1");
    for number in 0..20 {
        client.store("q.a", number.to_string());
        refuse(&mut client, "Q", "w", "");
    }
    let begun = ours(
        &mut client,
        "DLQ.REDRIVE",
        &json!({"rate": 50, "died_max": 2}),
    );
    assert_eq!(begun["state"], "running");
    let id = begun["id"].clone();
    let mut told = Value::Null;
    for _ in 0..20 {
        let message = client.next("Q", "w");
        client.confirm(message.ack(), "-NAK");
        told = ours(&mut client, "DLQ.REDRIVE", &json!({"id": id}));
        if told["died"].as_u64() >= Some(2) {
            break;
        }
    }
    while told["state"] == "running" {
        told = ours(&mut client, "DLQ.REDRIVE", &json!({"id": id}));
    }
    assert_eq!(told["state"], "stopped", "{told}");
    assert!(told["redriven"].as_u64() < Some(20), "{told}");
    let dead = client.state("DLQ")["messages"].as_u64().unwrap();
    let back = client.state("Q")["messages"].as_u64().unwrap();
    assert_eq!(dead + back, 20, "{told}");
}

#[test]
pub(crate) fn letters_are_found_by_what_is_known_of_them() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s.>", "");
    client.make_durable("S", "a", "\"max_deliver\":1");
    for subject in ["s.x", "s.y.z", "s.x"] {
        client.store(subject, subject);
    }
    refuse(&mut client, "S", "a", "");
    let second = client.next("S", "a");
    client.confirm(second.ack(), "+TERM wrong colour");
    refuse(&mut client, "S", "a", "");
    let mut count = |filter: Value| letters(&mut client, &filter).len();
    assert_eq!(count(json!({"stream": "S", "consumer": "a"})), 3);
    assert_eq!(count(json!({"stream": "T"})), 0);
    assert_eq!(count(json!({"subject": "s.*"})), 2);
    assert_eq!(count(json!({"reason": "terminated"})), 1);
    assert_eq!(count(json!({"source_seq": 3})), 1);
    assert_eq!(count(json!({"age_min_ms": 3_600_000})), 0);
    assert_eq!(count(json!({"age_max_ms": 3_600_000})), 3);
    let page = ours(&mut client, "DLQ.LIST", &json!({"limit": 2}));
    assert_eq!(page["letters"].as_array().map(Vec::len), Some(2));
    assert_eq!(page["total"], 3);
    let next = page["next_seq"].clone();
    let page = ours(
        &mut client,
        "DLQ.LIST",
        &json!({"limit": 2, "from_seq": next}),
    );
    assert_eq!(page["letters"].as_array().map(Vec::len), Some(1));
    assert_eq!(page["next_seq"], 0);
    for (words, body, code) in [
        ("DLQ.LIST", json!({"steam": "S"}), 20001),
        ("DLQ.LIST", json!({"dlq": "NONE"}), 20002),
        ("DLQ.SHOW", json!({"seq": 99}), 20003),
        ("DLQ.DROP", json!({}), 20004),
        ("DLQ.REDRIVE", json!({"id": 99}), 20006),
        ("WHY", json!({"stream": "NONE", "seq": 1}), 20007),
        (
            "WHY",
            json!({"stream": "S", "seq": 1, "consumer": "b"}),
            20008,
        ),
        ("DLQ.UNPARK", json!({"stream": "S", "consumer": "b"}), 20008),
        ("DLQ.LOST", json!({}), 20010),
    ] {
        assert_eq!(
            ours_error(&mut client, words, &body),
            code,
            "{words} {body}"
        );
    }
    let dropped = ours(
        &mut client,
        "DLQ.DROP",
        &json!({"subject": "s.x", "limit": 1}),
    );
    assert_eq!(dropped["dropped"], 1);
    assert_eq!(client.state("DLQ")["messages"], 2);
    let dropped = ours(&mut client, "DLQ.DROP", &json!({"all": true}));
    assert_eq!(dropped["dropped"], 2);
}

#[test]
fn an_outage_does_not_empty_a_queue_into_the_dead() {
    let dir = Dir::new();
    let options = json!({"midge.dead_letter_breaker": "3/1m"});
    let (server, mut client) =
        work_queue(&dir, &format!("\"max_deliver\":1,\"metadata\":{options}"));
    for number in 0..10 {
        client.store("q.a", number.to_string());
    }
    client.send("SUB $MIDGE.EVENT.BREAKER.> breaker\r\n");
    for _ in 0..4 {
        let message = client.next("Q", "w");
        client.publish(message.ack(), None, "", "-NAK");
    }
    let event = client.message();
    assert_eq!(event.subject, "$MIDGE.EVENT.BREAKER.Q.w");
    assert_eq!(event.json()["deaths"], 3);
    assert_eq!(client.next_now("Q", "w"), None, "it is paused");
    assert_eq!(client.api("CONSUMER.INFO.Q.w", "")["paused"], true);
    assert_eq!(client.state("DLQ")["messages"], 4);
    // What is on the disk is this and all before it.
    client.store("q.b", "after");
    End::Killed.bring(server);
    let server = dir.serve();
    let mut client = server.client();
    assert_eq!(client.next_now("Q", "w"), None, "also after a restart");
    client.api("CONSUMER.PAUSE.Q.w", "{}");
    assert_eq!(client.next("Q", "w").text(), "4");
}

#[test]
fn what_a_stream_drops_can_be_kept() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    let keep = "\"metadata\":{\"midge.overflow\":\"dead_letter\"}";
    client.make_stream("L", "l.>", &format!("\"max_msgs\":2,{keep}"));
    client.make_stream("P", "p.>", &format!("\"max_msgs_per_subject\":1,{keep}"));
    for number in 0..3 {
        client.store("l.a", format!("l{number}"));
        client.store("p.a", format!("p{number}"));
    }
    client.make_stream(
        "W",
        "w.>",
        &format!("\"retention\":\"workqueue\",\"max_age\":300000000,{keep}"),
    );
    client.make_durable("W", "c", "");
    client.store("w.a", "late");
    // A letter is shown when it is on the disk.
    let begun = std::time::Instant::now();
    let mut kept = Vec::new();
    while kept.len() < 4 && begun.elapsed() < crate::util::PATIENCE {
        kept = letters(&mut client, &json!({}));
    }
    assert_eq!(client.state("W")["messages"], 0);
    let told: Vec<(&str, &str, u64)> = kept
        .iter()
        .map(|letter| {
            (
                letter["stream"].as_str().unwrap(),
                letter["reason"].as_str().unwrap(),
                letter["source_seq"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told.iter()
            .copied()
            .collect::<std::collections::BTreeSet<_>>(),
        [
            ("L", "discarded", 1),
            ("P", "discarded", 1),
            ("P", "discarded", 2),
            ("W", "expired", 1),
        ]
        .into(),
    );
    assert_eq!(kept.last().unwrap()["consumer"], "c");
    assert_eq!(client.state("L")["messages"], 2);
    assert_eq!(client.state("P")["messages"], 1);
}

#[test]
fn why_tells_the_story_of_a_message() {
    let dir = Dir::new();
    let (server, mut client) = work_queue(&dir, "\"max_deliver\":2");
    client.store("q.a", "x");
    client.store("q.b", "y");
    refuse(&mut client, "Q", "w", "no paper");
    let told = ours(&mut client, "WHY", &json!({"stream": "Q", "seq": 1}));
    assert_eq!(told["state"], "stored");
    assert_eq!(told["subject"], "q.a");
    assert!(told["publisher_id"].as_u64() > Some(0), "{told}");
    assert_eq!(told["consumers"][0]["state"], "redelivering");
    assert_eq!(told["consumers"][0]["attempts"][0]["reason"], "no paper");
    let second = ours(
        &mut client,
        "WHY",
        &json!({"stream": "Q", "seq": 2, "consumer": "w"}),
    );
    assert_eq!(second["consumers"][0]["state"], "pending");
    refuse(&mut client, "Q", "w", "no ink");
    let told = ours(&mut client, "WHY", &json!({"stream": "Q", "seq": 1}));
    assert_eq!(told["state"], "removed");
    assert_eq!(told["dead_letters"][0]["reason"], "max_deliver");
    let never = ours(&mut client, "WHY", &json!({"stream": "Q", "seq": 9}));
    assert_eq!(never["state"], "never");
    // The same for a person.
    let mut person = server.connect();
    person.send("WHY Q 1\n");
    let story = person.message().text();
    person.expect("+OK\r\n");
    assert!(story.contains("not in the stream any more"), "{story}");
    assert!(
        story.contains("max_deliver after 2 deliveries to w"),
        "{story}"
    );
    person.send("WHY NONE 1\n");
    assert_eq!(person.message().text(), "there is no such stream\r\n");
    person.expect("+OK\r\n");
    person.send("WHY Q\n");
    person.expect("-ERR 'WHY takes <stream> <sequence>");
}
