//! Messages of one key one after the other over any number of workers, and the urgent ones first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::ConnectOptions;
use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::stream::{Config, RetentionPolicy, Stream};
use async_nats::jetstream::{AckKind, Context, Message};
use futures::StreamExt;
use futures::future::join_all;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::harness::{PATIENCE, Server};

use super::letters::{
    done, is_idle, letters, midge, midge_restarts, midge_started, nothing_comes, one, refuse,
    stored, tries,
};
use super::{How, consumer, fetch, on, put, texts, until};

const KEYS: u64 = 12;
const JOBS: u64 = 240;

/// The stream `JOBS` with a consumer that has options.
async fn ordered(
    js: &Context,
    retention: RetentionPolicy,
    config: pull::Config,
) -> (Stream, PullConsumer) {
    let jobs = Config {
        retention,
        ..on("JOBS", &["jobs.>"])
    };
    let stream = js.create_stream(jobs).await.unwrap();
    let reader = consumer(&stream, config).await;
    (stream, reader)
}

/// What workers have in their hands and what they did, by key.
#[derive(Default)]
struct Crew {
    in_hand: BTreeSet<String>,
    overlaps: Vec<String>,
    done: BTreeMap<String, Vec<u64>>,
    naked: usize,
}

/// Numbers that look like chance.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn key_of(job: &Message) -> String {
    job.subject.split('.').nth(1).unwrap().to_owned()
}

/// One of a crew: works until all is done, or goes away with some jobs in its hands.
struct Worker {
    crew: Arc<Mutex<Crew>>,
    is_over: watch::Receiver<bool>,
    dice: Dice,
    leaves: bool,
}

impl Worker {
    async fn work(mut self, server_url: String) {
        let client = ConnectOptions::new()
            .reconnect_delay_callback(|_| Duration::from_millis(10))
            .retry_on_initial_connect()
            .connect(server_url)
            .await
            .unwrap();
        let js = ContextBuilder::new()
            .timeout(Duration::from_secs(1))
            .build(client);
        while !*self.is_over.borrow() {
            let Ok(reader) = js.get_consumer_from_stream("crew", "JOBS").await else {
                continue;
            };
            let reader: PullConsumer = reader;
            let batch = reader.batch().max_messages(1 + self.dice.below(6) as usize);
            let batch = batch.expires(Duration::from_millis(200)).messages();
            let Ok(mut batch) = batch.await else {
                continue;
            };
            let mut got = Vec::new();
            while let Ok(Some(Ok(job))) = timeout(Duration::from_secs(1), batch.next()).await {
                self.take(&job);
                got.push(job);
            }
            if self.leaves && got.len() > 2 {
                let mut crew = self.crew.lock().unwrap();
                got.iter().for_each(|job| {
                    crew.in_hand.remove(&key_of(job));
                });
                return;
            }
            for job in got {
                self.handle(job).await;
            }
        }
    }

    fn take(&self, job: &Message) {
        let mut crew = self.crew.lock().unwrap();
        if !crew.in_hand.insert(key_of(job)) {
            crew.overlaps.push(key_of(job));
        }
    }

    async fn handle(&mut self, job: Message) {
        sleep(Duration::from_micros(self.dice.below(5000))).await;
        let fails = self.dice.below(5) == 0;
        {
            let mut crew = self.crew.lock().unwrap();
            crew.in_hand.remove(&key_of(&job));
            if fails {
                crew.naked += 1;
            } else {
                let number = std::str::from_utf8(&job.payload).unwrap();
                let number = number.parse().unwrap();
                crew.done.entry(key_of(&job)).or_default().push(number);
            }
        }
        // What is lost while the server is away comes again.
        let _ = if fails {
            let delay = (self.dice.below(2) == 0).then_some(Duration::from_millis(20));
            job.ack_with(AckKind::Nak(delay)).await
        } else {
            job.double_ack().await
        };
    }
}

struct Shift {
    crew: Arc<Mutex<Crew>>,
    end: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
}

impl Shift {
    /// Four workers, one of whom may leave.
    fn begin(server: &Server, one_leaves: bool) -> Shift {
        let crew = Arc::new(Mutex::new(Crew::default()));
        let (end, is_over) = watch::channel(false);
        let worker = |number| Worker {
            crew: crew.clone(),
            is_over: is_over.clone(),
            dice: Dice(number),
            leaves: one_leaves && number == 0,
        };
        let workers = (0..4).map(|number| tokio::spawn(worker(number).work(server.url())));
        let workers = workers.collect();
        Shift { crew, end, workers }
    }

    fn done(&self) -> usize {
        self.crew.lock().unwrap().done.values().map(Vec::len).sum()
    }

    /// Waits until all is done. `times` is how often a job may be done.
    async fn end(self, reader: &PullConsumer, is_exact: bool) {
        let all_done = until(|| is_idle(reader), |idle| *idle);
        timeout(2 * PATIENCE, all_done)
            .await
            .expect("all jobs done");
        self.end.send(true).unwrap();
        let ends = timeout(PATIENCE, join_all(self.workers)).await;
        let ends = ends.expect("all workers end");
        ends.into_iter()
            .for_each(|worker| worker.expect("no panic"));
        let crew = self.crew.lock().unwrap();
        assert!(crew.naked > 0);
        let mut all = BTreeSet::new();
        for (key, numbers) in &crew.done {
            let mut first = Vec::new();
            for number in numbers {
                let is_new = all.insert(*number);
                assert!(is_new || !is_exact, "{number} of {key} was done twice");
                first.extend(is_new.then_some(*number));
            }
            assert!(first.is_sorted(), "{key} is out of order: {numbers:?}");
        }
        assert!(all.into_iter().eq(0..JOBS), "a job was lost");
        if is_exact {
            assert!(crew.overlaps.is_empty(), "{:?}", crew.overlaps);
        }
    }
}

async fn publish(js: &Context, subject: impl Fn(u64) -> String) {
    let mut acks = Vec::new();
    for number in 0..JOBS {
        let sent = js.publish(subject(number), number.to_string().into());
        acks.push(sent.await.unwrap());
    }
    for ack in acks {
        ack.await.unwrap();
    }
}

#[tokio::test]
async fn workers_that_fail_and_go_away_keep_the_order_of_every_key() {
    for retention in [RetentionPolicy::Limits, RetentionPolicy::WorkQueue] {
        for by in ["subject", "token:2"] {
            let Some((server, js)) = midge_started().await else {
                return;
            };
            let config = pull::Config {
                ack_wait: Duration::from_secs(2),
                ..tries("crew", -1, &[("order_key", by)])
            };
            let (stream, reader) = ordered(&js, retention, config).await;
            let subject = |number| match by {
                "subject" => format!("jobs.{}", number % KEYS),
                // Of the same key under different subjects.
                _ => format!("jobs.{}.{number}", number % KEYS),
            };
            publish(&js, subject).await;
            Shift::begin(&server, true).end(&reader, true).await;
            let kept = match retention {
                RetentionPolicy::WorkQueue => 0,
                _ => JOBS,
            };
            assert_eq!(stored(&stream).await, kept);
            let info = reader.get_info().await.unwrap();
            assert_eq!(info.ack_floor.stream_sequence, JOBS);
        }
    }
}

#[tokio::test]
async fn order_holds_though_the_server_goes_away() {
    for how in [How::Stop, How::Kill] {
        let Some(mut at) = midge_restarts().await else {
            return;
        };
        let config = pull::Config {
            ack_wait: Duration::from_secs(1),
            ..tries("crew", -1, &[("order_key", "subject")])
        };
        let (stream, reader) = ordered(&at.js, RetentionPolicy::WorkQueue, config).await;
        publish(&at.js, |number| format!("jobs.{}", number % KEYS)).await;
        let shift = Shift::begin(&at.server, false);
        for share in [1, 2] {
            let part = share * JOBS as usize / 4;
            until(async || shift.done(), |done| *done >= part).await;
            at.restart(how).await;
        }
        shift.end(&reader, false).await;
        assert_eq!(stored(&stream).await, 0);
    }
}

#[tokio::test]
async fn a_failing_message_holds_back_its_own_key_only() {
    let Some((_server, js)) = midge_started().await else {
        return;
    };
    let config = tries("crew", -1, &[("order_key", "subject")]);
    let (_, reader) = ordered(&js, RetentionPolicy::Limits, config).await;
    for text in ["a1", "a2", "b1", "b2"] {
        put(&js, &format!("jobs.{}", &text[..1]), text).await;
    }
    let got = fetch(&reader, 2).await;
    assert_eq!(texts(&got), ["a1", "b1"]);
    nothing_comes(&reader).await;
    let later = AckKind::Nak(Some(Duration::from_millis(400)));
    got[0].ack_with(later).await.unwrap();
    done(&got[1]).await;
    for (text, count) in [("b2", 1), ("a1", 2), ("a2", 1)] {
        let message = one(&reader).await;
        assert_eq!(message.payload, text);
        assert_eq!(message.info().unwrap().delivered, count);
        done(&message).await;
    }
}

#[tokio::test]
async fn a_key_may_be_a_header() {
    let Some((_server, js)) = midge_started().await else {
        return;
    };
    let config = tries("crew", -1, &[("order_key", "header:Order")]);
    let (_, reader) = ordered(&js, RetentionPolicy::Limits, config).await;
    for (order, text) in [("7", "1"), ("8", "2"), ("7", "3"), ("8", "4")] {
        with_header(&js, "jobs.a", ("Order", order), text).await;
    }
    for text in ["5", "6"] {
        put(&js, "jobs.a", text).await;
    }
    let got = fetch(&reader, 3).await;
    assert_eq!(
        texts(&got),
        ["1", "2", "5"],
        "those without it are of one key"
    );
    nothing_comes(&reader).await;
    done(&got[1]).await;
    assert_eq!(one(&reader).await.payload, "4");
}

async fn with_header(js: &Context, subject: &str, header: (&str, &str), text: &str) {
    let mut headers = HeaderMap::new();
    headers.insert(header.0, header.1);
    let sent = js.publish_with_headers(subject.to_owned(), headers, text.to_owned().into());
    sent.await.unwrap().await.unwrap();
}

/// Two keys, the first message of one of which is dead.
async fn parked(js: &Context) -> PullConsumer {
    let options = [("order_key", "subject"), ("park_key", "true")];
    let config = tries("crew", 1, &options);
    let (_, reader) = ordered(js, RetentionPolicy::Limits, config).await;
    for text in ["a1", "b1", "a2", "b2", "a3"] {
        put(js, &format!("jobs.{}", &text[..1]), text).await;
    }
    let first = one(&reader).await;
    assert_eq!(first.payload, "a1");
    refuse(&first).await;
    letters(js, json!({}), 1).await;
    all_of(&reader, &["b1", "b2"]).await;
    assert_eq!(reader.get_info().await.unwrap().num_pending, 2);
    reader
}

/// Does what there is.
async fn all_of(reader: &PullConsumer, wanted: &[&str]) {
    for text in wanted {
        let message = one(reader).await;
        assert_eq!(message.payload, *text);
        done(&message).await;
    }
    nothing_comes(reader).await;
}

#[tokio::test]
async fn a_key_waits_until_its_dead_message_is_sent_back_and_done() {
    for how in [None, Some(How::Stop), Some(How::Kill)] {
        let Some(mut at) = midge_restarts().await else {
            return;
        };
        let reader = parked(&at.js).await;
        if let Some(how) = how {
            at.restart(how).await;
            nothing_comes(&reader).await;
        }
        midge(&at.js, "DLQ.REDRIVE", json!({})).await;
        let back = one(&reader).await;
        assert_eq!(back.payload, "a1");
        nothing_comes(&reader).await;
        // It dies again, and its key waits on.
        refuse(&back).await;
        letters(&at.js, json!({}), 1).await;
        nothing_comes(&reader).await;
        midge(&at.js, "DLQ.REDRIVE", json!({})).await;
        all_of(&reader, &["a1", "a2", "a3"]).await;
        assert!(is_idle(&reader).await);
    }
}

#[tokio::test]
async fn a_key_goes_on_when_its_dead_message_is_dropped_or_it_is_told_to() {
    let unpark = json!({"stream": "JOBS", "consumer": "crew"});
    for (words, body, count) in [
        ("DLQ.DROP", json!({"source_seq": 1}), "dropped"),
        ("DLQ.UNPARK", unpark, "unparked"),
    ] {
        let Some((_server, js)) = midge_started().await else {
            return;
        };
        let reader = parked(&js).await;
        assert_eq!(midge(&js, words, body).await[count], 1);
        all_of(&reader, &["a2", "a3"]).await;
    }
}

#[tokio::test]
async fn the_urgent_come_first() {
    let Some((_server, js)) = midge_started().await else {
        return;
    };
    let config = tries("crew", -1, &[("priority", "header:Level")]);
    let (_, reader) = ordered(&js, RetentionPolicy::Limits, config).await;
    for (level, text) in [
        ("1", "1a"),
        ("9", "9a"),
        ("1", "1b"),
        ("much", "0"),
        ("9", "9b"),
    ] {
        with_header(&js, "jobs.a", ("Level", level), text).await;
    }
    let got = fetch(&reader, 3).await;
    assert_eq!(texts(&got), ["9a", "9b", "1a"]);
    // What comes later is more urgent than what has waited.
    with_header(&js, "jobs.a", ("Level", "7"), "7").await;
    let rest = fetch(&reader, 3).await;
    assert_eq!(texts(&rest), ["7", "1b", "0"]);
    for message in got.iter().chain(&rest) {
        done(message).await;
    }
    let info = reader.get_info().await.unwrap();
    assert_eq!((info.num_pending, info.ack_floor.stream_sequence), (0, 6));
}
