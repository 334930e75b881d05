//! What is said of a delivered message.

use std::time::{Duration, Instant};

use midge_client::Error;
use midge_client::streams::{AckPolicy, Consumer, ConsumerConfig, FetchOptions, StreamMessage};

use crate::harness::{PATIENCE, Server, consumer, eventually, fill, stream};

on_both! {
    a_confirmed_ack_is_taken_down,
    a_nak_brings_it_again_at_once_or_later,
    progress_keeps_it,
    what_is_terminated_does_not_come_again,
    one_ack_is_for_all_before,
    acks_of_a_consumer_that_is_gone_are_told_or_passed_over,
}

/// The stream, one message in it, and a consumer that waits for so long.
fn prepare(server: &Server, ack_wait: Duration) -> Consumer {
    let streams = server.streams();
    stream(&streams);
    fill(&streams, 1..=1);
    let config = ConsumerConfig {
        ack_wait: ack_wait.into(),
        ..ConsumerConfig::durable("c")
    };
    consumer(&streams, config)
}

#[track_caller]
fn next(consumer: &Consumer) -> StreamMessage {
    let options = FetchOptions {
        batch: 1,
        expires: Some(PATIENCE),
        ..Default::default()
    };
    let mut messages = consumer.fetch(options).expect("asked");
    messages.next().expect("in time").expect("a message")
}

fn nothing_comes(consumer: &Consumer, wait: Duration) -> bool {
    let options = FetchOptions {
        expires: Some(wait),
        ..Default::default()
    };
    consumer.fetch(options).unwrap().next().is_none()
}

fn a_confirmed_ack_is_taken_down(server: &mut Server) {
    let consumer = prepare(server, PATIENCE);
    let message = next(&consumer);
    assert_eq!(consumer.info().unwrap().num_ack_pending, 1);
    message.ack_confirmed(PATIENCE).unwrap();
    let info = consumer.info().unwrap();
    assert_eq!((info.num_ack_pending, info.ack_floor.stream_seq), (0, 1));
    // Saying so again does no harm.
    message.ack().unwrap();
    message.nak(None, None).unwrap();
    message.ack_confirmed(PATIENCE).unwrap();
    assert!(nothing_comes(&consumer, Duration::from_millis(100)));
}

fn a_nak_brings_it_again_at_once_or_later(server: &mut Server) {
    let consumer = prepare(server, PATIENCE);
    next(&consumer).nak(None, None).unwrap();
    let again = next(&consumer);
    assert_eq!(again.metadata().delivered, 2);
    again.nak(None, Some("the \"db\" is down")).unwrap();
    let again = next(&consumer);
    assert_eq!(again.metadata().delivered, 3);
    let said = Instant::now();
    let delay = Duration::from_millis(300);
    again.nak(Some(delay), Some("later")).unwrap();
    assert_eq!(next(&consumer).metadata().delivered, 4);
    assert!(said.elapsed() >= delay, "{:?}", said.elapsed());
}

fn progress_keeps_it(server: &mut Server) {
    let wait = Duration::from_millis(600);
    let consumer = prepare(server, wait);
    let message = next(&consumer);
    let until = Instant::now() + 2 * wait;
    while Instant::now() < until {
        message.in_progress().unwrap();
        assert!(nothing_comes(&consumer, wait / 10));
    }
    assert_eq!(
        next(&consumer).metadata().delivered,
        2,
        "without it comes again"
    );
}

fn what_is_terminated_does_not_come_again(server: &mut Server) {
    let consumer = prepare(server, Duration::from_millis(300));
    next(&consumer).term(Some("no such order")).unwrap();
    eventually("it is done", || {
        consumer.info().unwrap().num_ack_pending == 0
    });
    assert!(nothing_comes(&consumer, Duration::from_millis(500)));
}

fn one_ack_is_for_all_before(server: &mut Server) {
    let streams = server.streams();
    stream(&streams);
    fill(&streams, 1..=5);
    let config = ConsumerConfig {
        ack_policy: AckPolicy::All,
        ..ConsumerConfig::durable("c")
    };
    let consumer = consumer(&streams, config);
    let options = FetchOptions {
        batch: 4,
        ..Default::default()
    };
    let last = consumer.fetch(options).unwrap().last().unwrap().unwrap();
    last.ack_confirmed(PATIENCE).unwrap();
    assert_eq!(consumer.info().unwrap().ack_floor.stream_seq, 4);
}

fn acks_of_a_consumer_that_is_gone_are_told_or_passed_over(server: &mut Server) {
    let consumer = prepare(server, PATIENCE);
    let message = next(&consumer);
    server.streams().delete_consumer("S", "c").unwrap();
    message.ack().unwrap();
    let error = message
        .ack_confirmed(Duration::from_millis(300))
        .unwrap_err();
    assert!(
        matches!(error, Error::NoResponders(_) | Error::Timeout),
        "{error}"
    );
}
