//! Dead letters: found by what is known of them, sent back, dropped.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::{PullConsumer, push};
use async_nats::jetstream::stream::Stream;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::harness;

use super::letters::{
    asked, done, each, is_idle, jobs, letters, listed, midge, midge_restarts, midge_started,
    nothing_comes, one, refuse, say, stored, tries,
};
use super::{How, consumer, fetch, fill, next, numbers, on, put, texts, until};

/// The stream `NEWS` with consumers that try once.
async fn news<const N: usize>(js: &Context, names: [&str; N]) -> (Stream, [PullConsumer; N]) {
    let stream = js.create_stream(on("NEWS", &["news.>"])).await.unwrap();
    let mut readers = Vec::new();
    for name in names {
        readers.push(consumer(&stream, tries(name, 1, &[])).await);
    }
    (stream, readers.try_into().unwrap())
}

async fn refuse_all(reader: &PullConsumer, count: usize) {
    for message in fetch(reader, count).await {
        refuse(&message).await;
    }
}

fn count(told: &Value, field: &str) -> u64 {
    told[field].as_u64().unwrap_or_else(|| panic!("{told}"))
}

#[tokio::test]
async fn a_letter_goes_back_to_the_consumer_it_died_with_and_to_no_other() {
    let Some((_server, js)) = midge_started().await else {
        return;
    };
    let (stream, [first, other]) = news(&js, ["first", "other"]).await;
    fill(&js, "news.a", 0..2).await;
    for message in fetch(&other, 2).await {
        done(&message).await;
    }
    refuse_all(&first, 1).await;
    letters(&js, json!({}), 1).await;
    let dry = midge(&js, "DLQ.REDRIVE", json!({"dry_run": true})).await;
    assert_eq!((count(&dry, "matched"), count(&dry, "redriven")), (1, 0));
    let told = midge(&js, "DLQ.REDRIVE", json!({"consumer": "first"})).await;
    assert_eq!(told["state"], "done");
    assert_eq!(
        (count(&told, "redriven"), count(&told, "to_consumer")),
        (1, 1)
    );
    assert!(listed(&js, json!({})).await.is_empty());
    // Before what is new, and counted anew.
    let got = fetch(&first, 2).await;
    assert_eq!(texts(&got), ["0", "1"]);
    for message in &got {
        assert_eq!(message.info().unwrap().delivered, 1);
        done(message).await;
    }
    nothing_comes(&first).await;
    nothing_comes(&other).await;
    assert_eq!(stored(&stream).await, 2);
    let floor = first.get_info().await.unwrap().ack_floor;
    assert_eq!(floor.stream_sequence, 2);
}

#[tokio::test]
async fn a_letter_whose_source_is_gone_is_published_again() {
    let Some((_server, js)) = midge_started().await else {
        return;
    };
    let (stream, reader) = jobs(&js, tries("crew", 1, &[])).await;
    let mut headers = HeaderMap::new();
    headers.insert("Colour", "red");
    headers.insert("Nats-Msg-Id", "7");
    let sent = js.publish_with_headers("jobs.a", headers, "poison".into());
    sent.await.unwrap().await.unwrap();
    refuse_all(&reader, 1).await;
    letters(&js, json!({}), 1).await;
    for redrives in ["1", "2"] {
        let told = midge(&js, "DLQ.REDRIVE", json!({})).await;
        assert_eq!(
            (count(&told, "to_subject"), count(&told, "to_consumer")),
            (1, 0)
        );
        let back = one(&reader).await;
        assert_eq!(
            (back.subject.as_str(), &back.payload[..]),
            ("jobs.a", &b"poison"[..])
        );
        let headers = back.headers.clone().unwrap();
        let header = |name: &str| headers.get(name).map(|value| value.as_str());
        assert_eq!(header("Colour"), Some("red"));
        assert_eq!(header("Midge-Redrives"), Some(redrives));
        for gone in ["Midge-Stream", "Midge-Reason", "Midge-Attempt"] {
            assert_eq!(header(gone), None);
        }
        refuse(&back).await;
        let found = letters(&js, json!({}), 1).await;
        assert_eq!(each(&found, "redrives"), [redrives.parse::<u64>().unwrap()]);
    }
    midge(&js, "DLQ.REDRIVE", json!({})).await;
    done(&one(&reader).await).await;
    assert_eq!(stored(&stream).await, 0);
    assert!(listed(&js, json!({})).await.is_empty());
}

#[tokio::test]
async fn a_letter_nobody_takes_stays_where_it_is() {
    let Some((_server, js)) = midge_started().await else {
        return;
    };
    let (_, reader) = jobs(&js, tries("crew", 1, &[])).await;
    put(&js, "jobs.a", "poison").await;
    refuse_all(&reader, 1).await;
    letters(&js, json!({}), 1).await;
    js.delete_stream("JOBS").await.unwrap();
    let told = midge(&js, "DLQ.REDRIVE", json!({})).await;
    assert_eq!((count(&told, "failed"), count(&told, "redriven")), (1, 0));
    assert!(told["why"].as_str().unwrap().contains("jobs.a"), "{told}");
    assert_eq!(listed(&js, json!({})).await.len(), 1);
}

#[tokio::test]
async fn a_letter_of_a_push_consumer_goes_back_to_its_subscriber() {
    let Some((_server, js)) = midge_started().await else {
        return;
    };
    let (stream, []) = news(&js, []).await;
    let config = push::Config {
        durable_name: Some("pushed".to_owned()),
        deliver_subject: "here".to_owned(),
        max_deliver: 1,
        ..Default::default()
    };
    let reader = stream.create_consumer(config).await.unwrap();
    let mut messages = reader.messages().await.unwrap();
    put(&js, "news.a", "poison").await;
    refuse(&next(&mut messages).await).await;
    letters(&js, json!({}), 1).await;
    midge(&js, "DLQ.REDRIVE", json!({"consumer": "pushed"})).await;
    let back = next(&mut messages).await;
    assert_eq!(back.info().unwrap().delivered, 1);
    done(&back).await;
    let info = reader.get_info().await.unwrap();
    assert_eq!((info.num_pending, info.num_ack_pending), (0, 0));
}

#[tokio::test]
async fn all_that_died_in_an_outage_is_done_after_it() {
    let Some((_server, js)) = midge_started().await else {
        return;
    };
    let (stream, reader) = jobs(&js, tries("crew", 1, &[])).await;
    fill(&js, "jobs.a", 0..700).await;
    refuse_all(&reader, 700).await;
    letters(&js, json!({"limit": 1000}), 700).await;
    let told = midge(&js, "DLQ.REDRIVE", json!({})).await;
    assert_eq!(told["state"], "done");
    assert_eq!(
        (count(&told, "matched"), count(&told, "redriven")),
        (700, 700)
    );
    let got = fetch(&reader, 700).await;
    assert_eq!(texts(&got), numbers(0..700));
    for message in &got {
        done(message).await;
    }
    assert!(is_idle(&reader).await);
    assert_eq!(stored(&stream).await, 0);
    assert!(listed(&js, json!({})).await.is_empty());
}

#[tokio::test]
async fn a_redrive_keeps_its_rate_and_can_be_stopped() {
    let Some((_server, js)) = midge_started().await else {
        return;
    };
    let (stream, reader) = jobs(&js, tries("crew", 1, &[])).await;
    fill(&js, "jobs.a", 0..20).await;
    refuse_all(&reader, 20).await;
    letters(&js, json!({}), 20).await;
    let begun = midge(&js, "DLQ.REDRIVE", json!({"rate": 10})).await;
    assert_eq!(begun["state"], "running");
    let this = || midge(&js, "DLQ.REDRIVE", json!({"id": begun["id"]}));
    until(this, |told| count(told, "redriven") >= 3).await;
    let stopped = midge(&js, "DLQ.REDRIVE", json!({"id": begun["id"], "stop": true})).await;
    assert_eq!(stopped["state"], "stopped");
    let back = count(&stopped, "redriven");
    assert!((3..20).contains(&back), "{stopped}");
    // One that goes on would have sent another by then.
    sleep(Duration::from_millis(300)).await;
    assert_eq!(count(&this().await, "redriven"), back);
    assert_eq!(listed(&js, json!({})).await.len() as u64, 20 - back);
    assert_eq!(stored(&stream).await, back);
}

#[tokio::test]
async fn a_redrive_stops_when_what_it_sent_back_dies_again() {
    let Some((_server, js)) = midge_started().await else {
        return;
    };
    let (stream, reader) = jobs(&js, tries("crew", 1, &[])).await;
    fill(&js, "jobs.a", 0..40).await;
    refuse_all(&reader, 40).await;
    letters(&js, json!({}), 40).await;
    let begun = midge(&js, "DLQ.REDRIVE", json!({"rate": 20, "died_max": 3})).await;
    for _ in 0..3 {
        refuse(&one(&reader).await).await;
    }
    let this = || midge(&js, "DLQ.REDRIVE", json!({"id": begun["id"]}));
    let told = until(this, |told| told["state"] != "running").await;
    assert_eq!(
        (&told["state"], count(&told, "died")),
        (&json!("stopped"), 3)
    );
    assert!(
        told["why"].as_str().unwrap().contains("died again"),
        "{told}"
    );
    assert!(count(&told, "redriven") < 40, "{told}");
    let back = stored(&stream).await;
    assert_eq!(back, count(&told, "redriven") - 3);
    letters(&js, json!({}), 40 - back as usize).await;
}

#[tokio::test]
async fn what_is_sent_back_survives_a_kill() {
    let Some(mut at) = midge_restarts().await else {
        return;
    };
    let (_, [reader]) = news(&at.js, ["reader"]).await;
    fill(&at.js, "news.a", 0..10).await;
    refuse_all(&reader, 10).await;
    letters(&at.js, json!({}), 10).await;
    midge(&at.js, "DLQ.REDRIVE", json!({"limit": 6})).await;
    at.restart(How::Kill).await;
    let found = letters(&at.js, json!({}), 4).await;
    assert_eq!(each(&found, "source_seq"), [7, 8, 9, 10]);
    let info = reader.get_info().await.unwrap();
    assert_eq!((info.num_pending, info.num_ack_pending), (6, 0));
    let got = fetch(&reader, 6).await;
    assert_eq!(texts(&got), numbers(0..6));
    for message in &got {
        assert_eq!(message.info().unwrap().delivered, 1);
        done(message).await;
    }
    assert!(is_idle(&reader).await);
}

#[tokio::test]
async fn letters_are_found_and_dropped_by_what_is_known_of_them() {
    let Some((_server, js)) = midge_started().await else {
        return;
    };
    let (stream, [first, other]) = news(&js, ["first", "other"]).await;
    for subject in ["news.a", "news.b.c", "news.a"] {
        put(&js, subject, subject).await;
    }
    refuse_all(&first, 3).await;
    letters(&js, json!({}), 3).await;
    say(&js, &one(&other).await, "+TERM wrong colour").await;
    for (wanted, filter) in [
        (4, json!({})),
        (0, json!({"stream": "OTHER"})),
        (3, json!({"consumer": "first"})),
        (3, json!({"subject": "news.*"})),
        (2, json!({"source_seq": 1})),
        (1, json!({"source_seq": 1, "consumer": "other"})),
        (1, json!({"reason": "terminated: wrong"})),
        (0, json!({"age_min_ms": 3_600_000})),
        (4, json!({"age_max_ms": 3_600_000})),
    ] {
        let found = listed(&js, filter.clone()).await;
        assert_eq!(found.len(), wanted, "{filter}");
    }
    let page = midge(&js, "DLQ.LIST", json!({"limit": 3})).await;
    assert_eq!((count(&page, "total"), count(&page, "next_seq")), (4, 4));
    let page = midge(&js, "DLQ.LIST", json!({"limit": 3, "from_seq": 4})).await;
    assert_eq!(each(page["letters"].as_array().unwrap(), "seq"), [4]);
    assert_eq!(count(&page, "next_seq"), 0);
    for (code, words, body) in [
        (20001, "DLQ.LIST", json!({"steam": "NEWS"})),
        (20002, "DLQ.LIST", json!({"dlq": "NONE"})),
        (20003, "DLQ.SHOW", json!({"seq": 99})),
        (20004, "DLQ.DROP", json!({})),
        (20006, "DLQ.REDRIVE", json!({"id": 99})),
        (20007, "WHY", json!({"stream": "NONE", "seq": 1})),
        (
            20008,
            "DLQ.UNPARK",
            json!({"stream": "NEWS", "consumer": "none"}),
        ),
        (20010, "DLQ.LOST", json!({})),
    ] {
        let answer = asked(&js, words, body).await;
        assert_eq!(answer["error"]["err_code"], code, "{words}: {answer}");
    }
    let dropped = midge(&js, "DLQ.DROP", json!({"consumer": "first", "limit": 2})).await;
    assert_eq!(count(&dropped, "dropped"), 2);
    assert_eq!(each(&listed(&js, json!({})).await, "seq"), [3, 4]);
    let dropped = midge(&js, "DLQ.DROP", json!({"all": true})).await;
    assert_eq!(count(&dropped, "dropped"), 2);
    assert_eq!(stored(&js.get_stream("DLQ").await.unwrap()).await, 0);
    assert_eq!(stored(&stream).await, 3);
}

#[tokio::test]
async fn one_who_listens_to_the_dead_hears_of_them_at_once() {
    let Some((_server, js)) = midge_started().await else {
        return;
    };
    let (_, [reader]) = news(&js, ["reader"]).await;
    let mut dead = js.client().subscribe("$DLQ.NEWS.>").await.unwrap();
    put(&js, "news.a", "poison").await;
    refuse_all(&reader, 1).await;
    let letter = harness::next(&mut dead).await;
    assert_eq!(letter.subject.as_str(), "$DLQ.NEWS.reader.news.a");
    assert_eq!(letter.payload, "poison");
}
