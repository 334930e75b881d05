//! Messages that cannot be processed: kept with their story, also when the server goes away.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use async_nats::ConnectOptions;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull, push};
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::object_store;
use async_nats::jetstream::stream::{Config, RetentionPolicy, Stream};
use async_nats::jetstream::{AckKind, kv};
use futures::StreamExt;
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::harness::{self, PATIENCE, Server};

use super::letters::{
    done, each, each_text, is_idle, jobs, letters, listed, metadata, midge, midge_restarts,
    midge_started, nothing_comes, one, refuse, say, stored, stream_names, tries,
};
use super::{
    How, consumer, context_of, durable, fetch, fill, next, on, put, refused, sequences, texts,
    until,
};

/// A worker with a name, on a client of its own.
async fn named(server: &Server, name: &str) -> PullConsumer {
    let options = ConnectOptions::new().name(name);
    let js = context_of(server.connect_with(options).await);
    js.get_consumer_from_stream("crew", "JOBS").await.unwrap()
}

fn advisory(message: &async_nats::Message) -> Value {
    serde_json::from_slice(&message.payload).unwrap()
}

#[tokio::test]
async fn a_poison_message_is_kept_with_its_story() {
    let Some((server, js)) = midge_started().await else {
        return;
    };
    let (stream, reader) = jobs(&js, tries("crew", 3, &[])).await;
    let subject = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.JOBS.crew";
    let mut advisories = js.client().subscribe(subject).await.unwrap();
    let mut headers = async_nats::HeaderMap::new();
    headers.append("Colour", "red");
    headers.append("Colour", "green");
    let sent = js.publish_with_headers("jobs.a", headers, "poison".into());
    sent.await.unwrap().await.unwrap();
    let names = ["anne", "bert", "carl"];
    let workers = join_all(names.map(|name| named(&server, name))).await;
    for (worker, count) in workers.iter().zip(1..) {
        let message = one(worker).await;
        assert_eq!(message.info().unwrap().delivered, count);
        refuse(&message).await;
    }
    letters(&js, json!({}), 1).await;
    let told = advisory(&harness::next(&mut advisories).await);
    assert_eq!(told["type"], "io.nats.jetstream.advisory.v1.max_deliver");
    assert_eq!(
        (told["stream_seq"].as_u64(), told["deliveries"].as_u64()),
        (Some(1), Some(3))
    );
    assert_eq!(stored(&stream).await, 0);
    assert!(is_idle(&reader).await);

    // What keeps it is a stream like any other.
    assert_eq!(stream_names(&js).await, ["DLQ", "JOBS"]);
    let dlq = js.get_stream("DLQ").await.unwrap();
    assert_eq!(dlq.cached_info().config.subjects, ["$DLQ.>"]);
    let undertaker = consumer(&dlq, durable("undertaker")).await;
    let letter = one(&undertaker).await;
    assert_eq!(letter.subject.as_str(), "$DLQ.JOBS.crew.jobs.a");
    assert_eq!(letter.payload, "poison");
    let headers = letter.headers.clone().unwrap();
    for (name, value) in [
        ("Midge-Stream", "JOBS"),
        ("Midge-Consumer", "crew"),
        ("Midge-Sequence", "1"),
        ("Midge-Subject", "jobs.a"),
        ("Midge-Deliveries", "3"),
        ("Midge-Reason", "max_deliver"),
    ] {
        assert_eq!(headers.get(name).map(|value| value.as_str()), Some(value));
    }
    let colours = headers.get_all("Colour").map(|value| value.as_str());
    assert!(colours.eq(["red", "green"]));
    let attempts: Vec<Value> = headers
        .get_all("Midge-Attempt")
        .map(|value| serde_json::from_str(value.as_str()).unwrap())
        .collect();
    assert_eq!(each(&attempts, "n"), [1, 2, 3]);
    assert_eq!(each_text(&attempts, "client"), names);
    assert_eq!(each_text(&attempts, "ended"), ["nak"; 3]);
    done(&letter).await;
    assert!(is_idle(&undertaker).await);
}

#[tokio::test]
async fn silence_and_a_worker_that_went_away_are_told_apart() {
    let Some((server, js)) = midge_started().await else {
        return;
    };
    let config = pull::Config {
        ack_wait: Duration::from_millis(300),
        ..tries("crew", 2, &[])
    };
    let (_, reader) = jobs(&js, config).await;
    put(&js, "jobs.a", "").await;
    let gone = named(&server, "gone").await;
    drop((one(&gone).await, gone));
    one(&reader).await;
    letters(&js, json!({}), 1).await;
    let shown = midge(&js, "DLQ.SHOW", json!({"seq": 1})).await;
    let attempts = shown["attempts"].as_array().unwrap();
    assert_eq!(each_text(attempts, "ended"), ["disconnect", "timeout"]);
    assert_eq!(attempts[0]["client"], "gone");
    assert!(each(attempts, "after_ms").iter().all(|after| *after >= 300));
}

#[tokio::test]
async fn what_is_terminated_is_kept_with_the_reason() {
    let Some((_server, js)) = midge_started().await else {
        return;
    };
    let (stream, reader) = jobs(&js, tries("crew", 5, &[])).await;
    let subject = "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.JOBS.crew";
    let mut advisories = js.client().subscribe(subject).await.unwrap();
    fill(&js, "jobs.a", 0..2).await;
    let got = fetch(&reader, 2).await;
    // Both are answered when the letter is safe.
    got[0].double_ack_with(AckKind::Term).await.unwrap();
    assert_eq!(listed(&js, json!({})).await.len(), 1);
    say(&js, &got[1], "+TERM no such customer").await;
    let found = listed(&js, json!({})).await;
    assert_eq!(
        each_text(&found, "reason"),
        ["terminated", "terminated: no such customer"]
    );
    assert_eq!(each(&found, "deliveries"), [1, 1]);
    assert_eq!(stored(&stream).await, 0);
    assert!(is_idle(&reader).await);
    for reason in ["", "no such customer"] {
        let told = advisory(&harness::next(&mut advisories).await);
        assert_eq!(told["reason"].as_str().unwrap_or_default(), reason);
    }
}

#[tokio::test]
async fn a_consumer_says_what_it_wants_of_the_dead() {
    let Some((_server, js)) = midge_started().await else {
        return;
    };
    let stream = js.create_stream(on("NEWS", &["news.*"])).await.unwrap();
    js.create_stream(on("BAD", &["bad.>"])).await.unwrap();
    put(&js, "news.a", "poison").await;
    let off = [("dead_letter", "off")];
    let own = [("dead_letter", "bad.news")];
    let term = [("dead_letter_on", "term")];
    let subject = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.NEWS.*";
    let mut advisories = js.client().subscribe(subject).await.unwrap();
    for (name, options) in [("off", off), ("own", own), ("term", term)] {
        let config = pull::Config {
            ack_wait: Duration::from_millis(200),
            ..tries(name, 1, &options)
        };
        refuse(&one(&consumer(&stream, config).await).await).await;
    }
    let mut told = BTreeSet::new();
    // Without a letter that is told when somebody looks for more.
    for name in ["off", "own", "term"] {
        nothing_comes(&stream.get_consumer(name).await.unwrap()).await;
    }
    while told.len() < 3 {
        let advisory = advisory(&harness::next(&mut advisories).await);
        told.insert(advisory["consumer"].as_str().unwrap().to_owned());
    }
    assert_eq!(stream_names(&js).await, ["BAD", "NEWS"]);
    let found = letters(&js, json!({"dlq": "BAD"}), 1).await;
    assert_eq!(each_text(&found, "consumer"), ["own"]);

    put(&js, "news.a", "bad").await;
    let strict: PullConsumer = stream.get_consumer("term").await.unwrap();
    say(&js, &one(&strict).await, "+TERM").await;
    let found = letters(&js, json!({}), 1).await;
    assert_eq!(each_text(&found, "consumer"), ["term"]);
    let mistake = tries("x", 1, &[("dead_leter", "off")]);
    refused(stream.create_consumer(mistake).await, 10012);
}

#[tokio::test]
async fn what_a_push_consumer_cannot_process_is_kept() {
    let Some((_server, js)) = midge_started().await else {
        return;
    };
    let stream = js.create_stream(on("NEWS", &["news.*"])).await.unwrap();
    let config = push::Config {
        durable_name: Some("pushed".to_owned()),
        deliver_subject: "here".to_owned(),
        max_deliver: 2,
        ..Default::default()
    };
    let reader = stream.create_consumer(config).await.unwrap();
    let mut messages = reader.messages().await.unwrap();
    put(&js, "news.a", "poison").await;
    put(&js, "news.b", "good").await;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let message = next(&mut messages).await;
        match &message.payload[..] {
            b"poison" => refuse(&message).await,
            _ => done(&message).await,
        }
        seen.push(message);
    }
    let mut seen = texts(&seen);
    seen.sort();
    assert_eq!(seen, ["good", "poison", "poison"]);
    let found = letters(&js, json!({"consumer": "pushed"}), 1).await;
    assert_eq!(found[0]["subject"], "news.a");
    let info = reader.get_info().await.unwrap();
    assert_eq!((info.num_pending, info.num_ack_pending), (0, 0));
}

#[tokio::test]
async fn an_ack_for_all_settles_what_did_not_die() {
    let Some((_server, js)) = midge_started().await else {
        return;
    };
    let stream = js.create_stream(on("NEWS", &["news.*"])).await.unwrap();
    fill(&js, "news.a", 0..4).await;
    let config = pull::Config {
        ack_policy: AckPolicy::All,
        ..tries("reader", 2, &[])
    };
    let reader = consumer(&stream, config).await;
    let got = fetch(&reader, 3).await;
    refuse(&got[1]).await;
    let again = one(&reader).await;
    assert_eq!(sequences(std::slice::from_ref(&again)), [2]);
    refuse(&again).await;
    let found = letters(&js, json!({}), 1).await;
    assert_eq!(each(&found, "source_seq"), [2]);
    let pending = async || reader.get_info().await.unwrap().num_ack_pending;
    assert_eq!(pending().await, 2);
    done(&got[2]).await;
    assert_eq!(pending().await, 0);
    done(&one(&reader).await).await;
    let floor = reader.get_info().await.unwrap().ack_floor;
    assert_eq!(floor.stream_sequence, 4);
}

#[tokio::test]
async fn deliveries_are_counted_on_after_a_restart() {
    for how in [How::Stop, How::Kill] {
        let Some(mut at) = midge_restarts().await else {
            return;
        };
        // What was refused and not sent again before the end waits for its time after it.
        let config = pull::Config {
            ack_wait: Duration::from_millis(500),
            ..tries("crew", 3, &[])
        };
        let (stream, reader) = jobs(&at.js, config).await;
        put(&at.js, "jobs.a", "poison").await;
        for count in 1..=3 {
            let message = one(&reader).await;
            assert_eq!(message.info().unwrap().delivered, count);
            let reason = format!("-NAK {{\"reason\":\"reason {count}\"}}");
            say(&at.js, &message, &reason).await;
            at.restart(how).await;
        }
        let found = letters(&at.js, json!({}), 1).await;
        assert_eq!(each(&found, "deliveries"), [3]);
        let shown = midge(&at.js, "DLQ.SHOW", json!({"seq": 1})).await;
        assert_eq!(
            each_text(shown["attempts"].as_array().unwrap(), "reason"),
            ["reason 1", "reason 2", "reason 3"]
        );
        assert_eq!(stored(&stream).await, 0);
        nothing_comes(&reader).await;
    }
}

const JOBS: usize = 300;

/// Refuses every third and does the others, until it is told to end.
async fn work(server_url: String, is_over: watch::Receiver<bool>) {
    let client = ConnectOptions::new()
        .reconnect_delay_callback(|_| Duration::from_millis(10))
        .retry_on_initial_connect()
        .connect(server_url)
        .await
        .unwrap();
    let js = ContextBuilder::new()
        .timeout(Duration::from_secs(1))
        .build(client);
    while !*is_over.borrow() {
        let Ok(worker) = js.get_consumer_from_stream("crew", "JOBS").await else {
            continue;
        };
        let worker: PullConsumer = worker;
        let batch = worker.batch().max_messages(5);
        let batch = batch.expires(Duration::from_millis(300)).messages();
        let Ok(mut batch) = batch.await else {
            continue;
        };
        while let Ok(Some(Ok(job))) = timeout(Duration::from_secs(1), batch.next()).await {
            // What fails while the server is away comes again.
            let _ = if job.info().unwrap().stream_sequence % 3 == 0 {
                job.ack_with(AckKind::Nak(None)).await
            } else {
                job.double_ack().await
            };
        }
    }
}

async fn is_kept(stream: &Stream, sequence: u64) -> bool {
    stream.get_raw_message(sequence).await.is_ok()
}

#[tokio::test]
async fn a_message_is_in_its_queue_or_among_the_dead() {
    for how in [How::Stop, How::Kill] {
        let Some(mut at) = midge_restarts().await else {
            return;
        };
        // Each restart may cost one delivery, and what is good must not die of that.
        let config = pull::Config {
            ack_wait: Duration::from_secs(1),
            ..tries("crew", 5, &[])
        };
        let (stream, reader) = jobs(&at.js, config).await;
        fill(&at.js, "jobs.a", 0..JOBS).await;
        let (end, is_over) = watch::channel(false);
        let workers = (0..4).map(|_| tokio::spawn(work(at.server.url(), is_over.clone())));
        let workers: Vec<_> = workers.collect();
        let all = json!({"limit": 1000});
        for enough in [20, 60] {
            let some = |found: &Vec<Value>| found.len() >= enough;
            until(|| listed(&at.js, all.clone()), some).await;
            at.restart(how).await;
            for sequence in each(&listed(&at.js, all.clone()).await, "source_seq") {
                assert!(!is_kept(&stream, sequence).await, "{sequence} is in both");
            }
        }
        until(|| is_idle(&reader), |idle| *idle).await;
        end.send(true).unwrap();
        let ends = timeout(PATIENCE, join_all(workers)).await.expect("an end");
        ends.into_iter()
            .for_each(|worker| worker.expect("no panic"));
        let found = listed(&at.js, all).await;
        let mut dead = each(&found, "source_seq");
        dead.sort();
        assert!(dead.into_iter().eq((3..=JOBS as u64).step_by(3)));
        assert!(each(&found, "deliveries").iter().all(|count| *count == 5));
        assert_eq!(stored(&stream).await, 0);
    }
}

#[tokio::test]
async fn an_outage_does_not_empty_a_queue_into_the_dead() {
    let Some((_server, js)) = midge_started().await else {
        return;
    };
    let options = [("dead_letter_breaker", "3/1m")];
    let (stream, reader) = jobs(&js, tries("crew", 1, &options)).await;
    fill(&js, "jobs.a", 0..10).await;
    let subject = "$JS.EVENT.ADVISORY.CONSUMER.PAUSE.JOBS.crew";
    let mut advisories = js.client().subscribe(subject).await.unwrap();
    let mut events = js.client().subscribe("$MIDGE.EVENT.BREAKER.>").await;
    let events = events.as_mut().unwrap();
    for _ in 0..4 {
        refuse(&one(&reader).await).await;
    }
    let event = harness::next(events).await;
    assert_eq!(event.subject.as_str(), "$MIDGE.EVENT.BREAKER.JOBS.crew");
    assert_eq!(advisory(&event)["deaths"], 3);
    let paused = advisory(&harness::next(&mut advisories).await);
    assert_eq!(paused["paused"], true);
    letters(&js, json!({}), 4).await;
    let info = reader.get_info().await.unwrap();
    assert!(info.paused && info.pause_remaining > Some(Duration::from_secs(3600)));
    // One that waits all the time gets nothing, and goes on by itself.
    let mut messages = reader.messages().await.unwrap();
    let early = timeout(Duration::from_millis(200), messages.next()).await;
    assert!(early.is_err(), "{early:?}");

    assert!(!stream.resume_consumer("crew").await.unwrap().paused);
    for _ in 0..6 {
        done(&next(&mut messages).await).await;
    }
    assert!(is_idle(&reader).await);
    assert!(!reader.get_info().await.unwrap().paused);
}

#[tokio::test]
async fn what_a_stream_drops_can_be_kept() {
    let Some((_server, js)) = midge_started().await else {
        return;
    };
    let keep = || metadata(&[("overflow", "dead_letter")]);
    let log = Config {
        max_messages: 3,
        metadata: keep(),
        ..on("LOG", &["log.*"])
    };
    let plain = Config {
        max_messages: 3,
        ..on("PLAIN", &["plain.*"])
    };
    let late = Config {
        max_age: Duration::from_millis(500),
        retention: RetentionPolicy::WorkQueue,
        metadata: keep(),
        ..on("LATE", &["late.*"])
    };
    for config in [log, plain] {
        js.create_stream(config).await.unwrap();
    }
    fill(&js, "log.a", 0..10).await;
    fill(&js, "plain.a", 0..10).await;
    let found = letters(&js, json!({}), 7).await;
    assert!(each(&found, "source_seq").into_iter().eq(1..=7));
    assert_eq!(each_text(&found, "stream"), ["LOG"; 7]);
    assert_eq!(each_text(&found, "reason"), ["discarded"; 7]);
    let dlq = js.get_stream("DLQ").await.unwrap();
    assert_eq!(dlq.get_raw_message(7).await.unwrap().payload, "6");

    let late = js.create_stream(late).await.unwrap();
    let started = Instant::now();
    put(&js, "late.a", "nobody came").await;
    let found = letters(&js, json!({"stream": "LATE"}), 1).await;
    assert!(started.elapsed() >= Duration::from_millis(500));
    assert_eq!(found[0]["reason"], "expired");
    assert_eq!(stored(&late).await, 0);
}

#[tokio::test]
async fn buckets_leave_no_letters() {
    let Some((_server, js)) = midge_started().await else {
        return;
    };
    let bucket = kv::Config {
        bucket: "CONFIG".to_owned(),
        history: 1,
        max_age: Duration::from_secs(1),
        ..Default::default()
    };
    let values = js.create_key_value(bucket).await.unwrap();
    for number in ["1", "2", "3"] {
        values.put("colour", number.into()).await.unwrap();
    }
    values.delete("colour").await.unwrap();
    values.purge("colour").await.unwrap();
    let bucket = object_store::Config {
        bucket: "FILES".to_owned(),
        ..Default::default()
    };
    let files = js.create_object_store(bucket).await.unwrap();
    for size in [300_000, 200_000] {
        let data = vec![7; size];
        files.put("report", &mut &data[..]).await.unwrap();
    }
    files.delete("report").await.unwrap();
    let stream = js.get_stream("KV_CONFIG").await.unwrap();
    until(|| stored(&stream), |count| *count == 0).await;
    assert_eq!(stream_names(&js).await, ["KV_CONFIG", "OBJ_FILES"]);
}

#[tokio::test]
async fn why_tells_the_story_of_a_message() {
    let Some((_server, js)) = midge_started().await else {
        return;
    };
    let (_, reader) = jobs(&js, tries("crew", 2, &[])).await;
    put(&js, "jobs.a", "poison").await;
    put(&js, "jobs.b", "good").await;
    let why = async |seq: u64| midge(&js, "WHY", json!({"stream": "JOBS", "seq": seq})).await;
    let told = why(2).await;
    assert_eq!(
        (&told["state"], &told["subject"]),
        (&json!("stored"), &json!("jobs.b"))
    );
    assert_eq!(told["consumers"][0]["state"], "pending");
    refuse(&one(&reader).await).await;
    let again = one(&reader).await;
    let told = why(1).await;
    let crew = &told["consumers"][0];
    assert_eq!(
        (&crew["state"], &crew["deliveries"]),
        (&json!("delivered"), &json!(2))
    );
    assert_eq!(
        each_text(crew["attempts"].as_array().unwrap(), "ended"),
        ["nak"]
    );
    refuse(&again).await;
    letters(&js, json!({}), 1).await;
    let told = why(1).await;
    assert_eq!(told["state"], "removed");
    assert_eq!(told["consumers"][0]["state"], "dead");
    assert_eq!(told["dead_letters"][0]["reason"], "max_deliver");
    assert_eq!(why(9).await["state"], "never");
}
