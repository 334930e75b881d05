//! Taking messages from a consumer.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use midge_client::streams::{
    AckPolicy, ApiError, ConsumerConfig, End, FetchOptions, Messages, Nanos, PullOptions,
    StreamMessage,
};
use midge_client::{Error, Publish};

use crate::harness::{MOMENT, PATIENCE, Server, consumer, eventually, fill, stream};

on_both! {
    a_fetch_ends_and_says_how,
    a_fetch_is_bounded_in_bytes,
    messages_come_without_end,
    several_requests_are_under_way,
    unacknowledged_messages_hold_the_rest_back,
    a_deleted_consumer_ends_it,
    a_deleted_stream_ends_it,
    a_consumer_that_is_not_there_is_said,
    what_a_consumer_does_not_allow_is_said,
    messages_go_on_after_a_restart,
    an_ephemeral_that_a_restart_took_is_missed,
    two_share_a_consumer,
}

fn quick() -> PullOptions {
    PullOptions {
        expires: Duration::from_secs(2),
        heartbeat: Duration::from_millis(200),
        ..Default::default()
    }
}

fn fetch(batch: u64, expires: Option<Duration>) -> FetchOptions {
    FetchOptions {
        batch,
        expires,
        ..Default::default()
    }
}

#[track_caller]
fn take(messages: &mut Messages) -> StreamMessage {
    let message = messages.next_timeout(PATIENCE).expect("a message");
    message.ack().expect("sent");
    message
}

fn a_fetch_ends_and_says_how(server: &mut Server) {
    let streams = server.streams();
    stream(&streams);
    fill(&streams, 1..=10);
    let consumer = consumer(&streams, ConsumerConfig::durable("c"));
    let mut full = consumer.fetch(fetch(4, Some(PATIENCE))).unwrap();
    let seqs: Vec<u64> = full
        .by_ref()
        .map(|message| message.unwrap().metadata().stream_seq)
        .collect();
    assert_eq!((seqs, full.end()), (vec![1, 2, 3, 4], Some(End::Complete)));
    let mut rest = consumer.fetch(fetch(20, None)).unwrap();
    assert_eq!(rest.by_ref().filter(Result::is_ok).count(), 6);
    assert_eq!(rest.end(), Some(End::NoMessages));
    let mut none = consumer.fetch(fetch(1, None)).unwrap();
    assert!(none.next().is_none());
    assert_eq!(none.end(), Some(End::NoMessages));
    let mut waiting = consumer
        .fetch(fetch(3, Some(Duration::from_millis(300))))
        .unwrap();
    fill(&streams, 11..=11);
    let message = waiting.next().expect("one").unwrap();
    let metadata = message.metadata();
    assert_eq!((metadata.stream, metadata.consumer), ("S", "c"));
    assert_eq!((metadata.stream_seq, metadata.consumer_seq), (11, 11));
    assert_eq!((metadata.delivered, metadata.pending), (1, 0));
    assert!(metadata.time.is_set());
    assert_eq!(
        (message.subject(), message.payload()),
        ("s.11", &b"s.11"[..])
    );
    assert!(waiting.next().is_none());
    assert_eq!(waiting.end(), Some(End::Expired));
}

fn a_fetch_is_bounded_in_bytes(server: &mut Server) {
    let streams = server.streams();
    stream(&streams);
    for _ in 0..5 {
        streams.publish(&Publish::new("s.a", &[7; 1000])).unwrap();
    }
    let consumer = consumer(&streams, ConsumerConfig::durable("c"));
    let options = FetchOptions {
        batch: 10,
        bytes_max: 2500,
        expires: Some(PATIENCE),
    };
    let mut some = consumer.fetch(options).unwrap();
    assert_eq!(some.by_ref().filter(Result::is_ok).count(), 2);
    assert_eq!(some.end(), Some(End::Bytes));
}

fn messages_come_without_end(server: &mut Server) {
    let streams = server.streams();
    stream(&streams);
    fill(&streams, 1..=1000);
    let consumer = consumer(&streams, ConsumerConfig::durable("c"));
    let mut messages = consumer.messages(quick()).unwrap();
    for seq in 1..=1000 {
        assert_eq!(take(&mut messages).metadata().stream_seq, seq);
    }
    // Some requests expire and heartbeats come meanwhile.
    let until = Instant::now() + Duration::from_millis(2500);
    while Instant::now() < until {
        assert!(matches!(messages.next_timeout(MOMENT), Err(Error::Timeout)));
    }
    fill(&streams, 1001..=1001);
    assert_eq!(take(&mut messages).subject(), "s.1001");
    eventually("all acks are in", || {
        consumer.info().unwrap().num_ack_pending == 0
    });
    assert!(messages.is_empty());
    drop(messages);
    eventually("nothing is asked any more", || {
        // Whose inbox is gone is found out when there is a message for it, or it expires.
        consumer.info().unwrap().num_waiting == 0
    });
}

fn several_requests_are_under_way(server: &mut Server) {
    let streams = server.streams();
    stream(&streams);
    let consumer = consumer(&streams, ConsumerConfig::durable("c"));
    for (batch, threshold) in [
        (1, None),
        (2, Some(1)),
        (10, Some(9)),
        (7, Some(100)),
        (5, Some(0)),
    ] {
        let options = PullOptions {
            batch,
            threshold,
            ..quick()
        };
        let mut messages = consumer.messages(options).unwrap();
        fill(&streams, 1..=50);
        for number in 1..=50 {
            assert_eq!(take(&mut messages).subject(), format!("s.{number}"));
        }
    }
}

fn unacknowledged_messages_hold_the_rest_back(server: &mut Server) {
    let streams = server.streams();
    stream(&streams);
    fill(&streams, 1..=30);
    let config = ConsumerConfig {
        max_ack_pending: 10,
        ..ConsumerConfig::durable("c")
    };
    let consumer = consumer(&streams, config);
    let mut messages = consumer.messages(quick()).unwrap();
    let mut held: Vec<_> = (0..10)
        .map(|_| messages.next_timeout(PATIENCE).unwrap())
        .collect();
    assert!(matches!(messages.next_timeout(MOMENT), Err(Error::Timeout)));
    for _ in 10..30 {
        held.remove(0).ack().unwrap();
        held.push(messages.next_timeout(PATIENCE).unwrap());
    }
    assert_eq!(held.last().unwrap().metadata().stream_seq, 30);
}

fn a_deleted_consumer_ends_it(server: &mut Server) {
    let streams = server.streams();
    stream(&streams);
    let consumer = consumer(&streams, ConsumerConfig::durable("c"));
    let mut messages = consumer.messages(quick()).unwrap();
    assert!(matches!(messages.next_timeout(MOMENT), Err(Error::Timeout)));
    let mut waiting = consumer.fetch(fetch(1, Some(PATIENCE))).unwrap();
    streams.client().flush(PATIENCE).unwrap();
    eventually("both ask", || consumer.info().unwrap().num_waiting == 2);
    streams.delete_consumer("S", "c").unwrap();
    for told in [messages.next(), waiting.next()] {
        match told.expect("an error") {
            Err(Error::Api(error)) => {
                assert_eq!(error.err_code, ApiError::CONSUMER_NOT_FOUND.err_code);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(messages.next().is_none() && waiting.next().is_none());
    assert!(matches!(
        messages.next_timeout(PATIENCE),
        Err(Error::Closed)
    ));
}

fn a_deleted_stream_ends_it(server: &mut Server) {
    let streams = server.streams();
    stream(&streams);
    let consumer = consumer(&streams, ConsumerConfig::durable("c"));
    let mut messages = consumer.messages(quick()).unwrap();
    assert!(matches!(messages.next_timeout(MOMENT), Err(Error::Timeout)));
    streams.delete_stream("S").unwrap();
    let error = messages.next().expect("an error").unwrap_err();
    assert!(
        matches!(error, Error::Api(_)) && !error.is_passing(),
        "{error}"
    );
}

fn a_consumer_that_is_not_there_is_said(server: &mut Server) {
    let streams = server.streams();
    stream(&streams);
    for (stream, wanted) in [
        ("S", ApiError::CONSUMER_NOT_FOUND),
        ("T", ApiError::STREAM_NOT_FOUND),
    ] {
        let consumer = streams.consumer(stream, "none").unwrap();
        let fetched = consumer.fetch(FetchOptions::default()).unwrap().next();
        let pulled = consumer.messages(quick()).unwrap().next();
        for told in [fetched, pulled] {
            match told.expect("an error") {
                Err(Error::Api(error)) => assert_eq!(error.err_code, wanted.err_code),
                other => panic!("{other:?}"),
            }
        }
    }
}

fn what_a_consumer_does_not_allow_is_said(server: &mut Server) {
    let streams = server.streams();
    stream(&streams);
    let small = ConsumerConfig {
        max_batch: 5,
        ..ConsumerConfig::durable("small")
    };
    let consumer = consumer(&streams, small);
    let error = consumer
        .fetch(fetch(6, None))
        .unwrap()
        .next()
        .unwrap()
        .unwrap_err();
    assert!(matches!(error, Error::Status { code: 409, .. }), "{error}");
    assert!(!error.is_passing());
    let push = ConsumerConfig {
        deliver_subject: "to.here".into(),
        ..ConsumerConfig::durable("push")
    };
    streams.create_consumer("S", &push).unwrap();
    let push = streams.consumer("S", "push").unwrap();
    let error = push
        .fetch(fetch(1, None))
        .unwrap()
        .next()
        .unwrap()
        .unwrap_err();
    assert!(matches!(error, Error::Status { code: 409, .. }), "{error}");
}

fn messages_go_on_after_a_restart(server: &mut Server) {
    let streams = server.streams();
    stream(&streams);
    fill(&streams, 1..=10);
    let consumer = consumer(&streams, ConsumerConfig::durable("c"));
    let mut messages = consumer.messages(quick()).unwrap();
    for _ in 0..9 {
        let message = messages.next_timeout(PATIENCE).unwrap();
        message.ack_confirmed(PATIENCE).unwrap();
    }
    server.kill();
    let waiting = thread::spawn(move || {
        let mut seqs = Vec::new();
        while !seqs.contains(&11) {
            seqs.push(take(&mut messages).metadata().stream_seq);
        }
        seqs
    });
    server.start_again();
    fill(&server.streams(), 11..=11);
    let seqs = waiting.join().unwrap();
    assert!(seqs.contains(&10), "{seqs:?}");
}

fn an_ephemeral_that_a_restart_took_is_missed(server: &mut Server) {
    let streams = server.streams();
    stream(&streams);
    let config = ConsumerConfig {
        name: "brief".into(),
        ack_policy: AckPolicy::Explicit,
        mem_storage: true,
        inactive_threshold: Nanos::from_secs(60),
        ..Default::default()
    };
    let consumer = consumer(&streams, config);
    let mut messages = consumer.messages(quick()).unwrap();
    assert!(matches!(messages.next_timeout(MOMENT), Err(Error::Timeout)));
    server.kill();
    server.start_again();
    let mut own = server
        .streams()
        .consumer("S", "brief")
        .unwrap()
        .messages(quick())
        .unwrap();
    if server.streams().consumer_info("S", "brief").is_ok() {
        // It was kept after all.
        return;
    }
    for messages in [&mut messages, &mut own] {
        match messages.next_timeout(PATIENCE) {
            Err(Error::Api(error)) => {
                assert_eq!(error.err_code, ApiError::CONSUMER_NOT_FOUND.err_code);
            }
            other => panic!("{other:?}"),
        }
    }
}

fn two_share_a_consumer(server: &mut Server) {
    const ALL: usize = 500;
    let streams = server.streams();
    stream(&streams);
    consumer(&streams, ConsumerConfig::durable("c"));
    let taken = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..2 {
            let consumer = server.streams().consumer("S", "c").unwrap();
            let options = PullOptions {
                batch: 10,
                ..quick()
            };
            let mut messages = consumer.messages(options).unwrap();
            let taken = &taken;
            scope.spawn(move || {
                while taken.lock().unwrap().len() < ALL {
                    if let Ok(message) = messages.next_timeout(MOMENT) {
                        message.ack().unwrap();
                        taken.lock().unwrap().push(message.metadata().stream_seq);
                    }
                }
            });
        }
        fill(&streams, 1..=ALL as u64);
    });
    let mut seqs = taken.into_inner().unwrap();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=ALL as u64).collect::<Vec<_>>());
}
