//! Work shared by several workers, with the server gone in the middle.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_nats::ConnectOptions;
use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::stream::{Config, RetentionPolicy};
use futures::StreamExt;
use futures::future::join_all;
use tokio::time::{sleep, timeout};

use crate::harness::{PATIENCE, is_reference};

use super::{How, Restarts, consumer, durable, fill, on};

const JOBS: usize = 600;
const WORKERS: usize = 4;

/// What a crew of workers got, and what was confirmed to them.
#[derive(Default)]
struct Crew {
    seen: HashSet<u64>,
    /// And when they were.
    confirmed: HashMap<u64, Instant>,
    twice: Vec<u64>,
}

async fn work(server_url: String, crew: Arc<Mutex<Crew>>) {
    let client = ConnectOptions::new()
        .reconnect_delay_callback(|_| Duration::from_millis(10))
        .retry_on_initial_connect()
        .connect(server_url)
        .await
        .unwrap();
    let js = ContextBuilder::new()
        .timeout(Duration::from_secs(1))
        .build(client);
    // Whatever fails while the server is away is tried again, until nothing is left to do. What
    // was confirmed does not tell when that is: a job whose ack was kept while the answer was lost
    // never comes again.
    loop {
        let Ok(worker) = js.get_consumer_from_stream("crew", "JOBS").await else {
            continue;
        };
        let worker: PullConsumer = worker;
        let info = worker.cached_info();
        if (info.num_pending, info.num_ack_pending) == (0, 0) {
            return;
        }
        let asked = Instant::now();
        let batch = worker
            .batch()
            .max_messages(10)
            .expires(Duration::from_millis(500));
        let Ok(mut batch) = batch.messages().await else {
            continue;
        };
        while let Ok(Some(Ok(job))) = timeout(Duration::from_secs(1), batch.next()).await {
            let sequence = job.info().unwrap().stream_sequence;
            {
                let mut crew = crew.lock().unwrap();
                crew.seen.insert(sequence);
                // Of what was asked for earlier, a worker may still hold a job that another has
                // done since.
                if crew.confirmed.get(&sequence).is_some_and(|at| *at < asked) {
                    crew.twice.push(sequence);
                }
            }
            if job.double_ack().await.is_ok() {
                let now = Instant::now();
                crew.lock()
                    .unwrap()
                    .confirmed
                    .entry(sequence)
                    .or_insert(now);
            }
        }
    }
}

async fn every_job_is_done(how: Option<How>) {
    let mut at = Restarts::started().await;
    let config = Config {
        retention: RetentionPolicy::WorkQueue,
        ..on("JOBS", &["jobs"])
    };
    let mut stream = at.js.create_stream(config).await.unwrap();
    let ack_wait = Duration::from_secs(1);
    let reader = consumer(
        &stream,
        pull::Config {
            ack_wait,
            ..durable("crew")
        },
    )
    .await;
    fill(&at.js, "jobs", 0..JOBS).await;
    let crew = Arc::new(Mutex::new(Crew::default()));
    let workers = (0..WORKERS).map(|_| tokio::spawn(work(at.server.url(), crew.clone())));
    let workers: Vec<_> = workers.collect();

    if let Some(how) = how {
        for share in [1, 2] {
            while crew.lock().unwrap().confirmed.len() < share * JOBS / 4 {
                sleep(Duration::from_millis(2)).await;
            }
            at.restart(how).await;
        }
    }
    let all = timeout(2 * PATIENCE, join_all(workers))
        .await
        .expect("all jobs done");
    all.into_iter().for_each(|worker| worker.expect("no panic"));

    let (seen, confirmed) = {
        let crew = crew.lock().unwrap();
        (crew.seen.len(), crew.confirmed.len())
    };
    assert_eq!(seen, JOBS, "a job was lost");
    // Each worker may have missed the answer to one ack when the server went.
    let missed = if how.is_some() { 2 * WORKERS } else { 0 };
    assert!(confirmed + missed >= JOBS, "{confirmed} confirmed");
    // The original writes what its consumers did a moment later than it says so.
    if how.is_none() || !is_reference() {
        let twice = crew.lock().unwrap().twice.clone();
        assert!(twice.is_empty(), "confirmed jobs came again: {twice:?}");
    }
    let info = reader.get_info().await.unwrap();
    assert_eq!((info.num_pending, info.num_ack_pending), (0, 0));
    assert_eq!(stream.info().await.unwrap().state.messages, 0);
}

#[tokio::test]
async fn every_job_is_done_once() {
    every_job_is_done(None).await;
}

#[tokio::test]
async fn every_job_is_done_though_the_server_is_restarted() {
    every_job_is_done(Some(How::Stop)).await;
}

#[tokio::test]
async fn every_job_is_done_though_the_server_is_killed() {
    every_job_is_done(Some(How::Kill)).await;
}
