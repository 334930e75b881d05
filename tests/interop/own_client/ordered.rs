//! A stream in order, for one reader.

use std::thread;
use std::time::{Duration, SystemTime};

use midge_client::streams::{ApiError, OrderedOptions, PullOptions, Start, Timestamp};
use midge_client::{Error, Publish};

use crate::harness::{MOMENT, PATIENCE, Server, eventually, fill, stream};

on_both! {
    all_comes_in_order,
    it_begins_where_it_is_told,
    it_goes_on_after_a_restart,
    it_goes_on_without_its_consumer,
    it_ends_with_its_stream,
    headers_can_do,
}

fn quick() -> PullOptions {
    PullOptions {
        batch: 50,
        expires: Duration::from_secs(2),
        heartbeat: Duration::from_millis(200),
        threshold: None,
    }
}

fn from(start: Start) -> OrderedOptions {
    OrderedOptions {
        start,
        pull: quick(),
        ..Default::default()
    }
}

fn all_comes_in_order(server: &mut Server) {
    let streams = server.streams();
    stream(&streams);
    fill(&streams, 1..=1000);
    let mut ordered = streams.ordered("S", from(Start::First)).unwrap();
    assert_eq!(ordered.initial(), 1000);
    for seq in 1..=1000 {
        let message = ordered.next_timeout(PATIENCE).unwrap();
        assert_eq!(message.metadata().stream_seq, seq);
        assert_eq!(message.metadata().pending, 1000 - seq);
    }
    assert!(matches!(ordered.next_timeout(MOMENT), Err(Error::Timeout)));
    fill(&streams, 1001..=1001);
    assert_eq!(ordered.next_timeout(PATIENCE).unwrap().subject(), "s.1001");
    drop(ordered);
    eventually("its consumer is gone", || {
        streams.consumer_names("S").unwrap().is_empty()
    });
}

fn it_begins_where_it_is_told(server: &mut Server) {
    let streams = server.streams();
    stream(&streams);
    fill(&streams, 1..=5);
    let later = Timestamp::from(SystemTime::now());
    fill(&streams, 1..=2);
    for (start, wanted) in [
        (Start::First, vec![1, 2, 3, 4, 5, 6, 7]),
        (Start::Last, vec![7]),
        (Start::LastPerSubject, vec![3, 4, 5, 6, 7]),
        (Start::Seq(6), vec![6, 7]),
        (Start::Time(later), vec![6, 7]),
        (Start::New, vec![]),
    ] {
        let mut ordered = streams.ordered("S", from(start)).unwrap();
        assert_eq!(ordered.initial(), wanted.len() as u64, "{start:?}");
        for seq in wanted {
            let message = ordered.next_timeout(PATIENCE).unwrap();
            assert_eq!(message.metadata().stream_seq, seq, "{start:?}");
        }
        assert!(matches!(ordered.next_timeout(MOMENT), Err(Error::Timeout)));
    }
    let some = OrderedOptions {
        filters: vec!["s.2".into(), "s.5".into()],
        ..from(Start::First)
    };
    let mut ordered = streams.ordered("S", some).unwrap();
    for seq in [2, 5, 7] {
        let message = ordered.next_timeout(PATIENCE).unwrap();
        assert_eq!(message.metadata().stream_seq, seq);
    }
}

fn it_goes_on_after_a_restart(server: &mut Server) {
    let streams = server.streams();
    stream(&streams);
    fill(&streams, 1..=200);
    let mut first = streams.ordered("S", from(Start::First)).unwrap();
    let mut new = streams.ordered("S", from(Start::New)).unwrap();
    for seq in 1..=70 {
        let message = first.next_timeout(PATIENCE).unwrap();
        assert_eq!(message.metadata().stream_seq, seq);
    }
    server.kill();
    let reading = thread::spawn(move || {
        for seq in 71..=201 {
            let message = first.next_timeout(PATIENCE).unwrap();
            assert_eq!(message.metadata().stream_seq, seq);
        }
        let message = new.next_timeout(PATIENCE).unwrap();
        assert_eq!(message.metadata().stream_seq, 201, "not lost in between");
    });
    server.start_again();
    fill(&server.streams(), 201..=201);
    reading.join().unwrap();
}

fn it_goes_on_without_its_consumer(server: &mut Server) {
    let streams = server.streams();
    stream(&streams);
    fill(&streams, 1..=3);
    let mut ordered = streams.ordered("S", from(Start::First)).unwrap();
    ordered.next_timeout(PATIENCE).unwrap();
    for name in streams.consumer_names("S").unwrap() {
        streams.delete_consumer("S", &name).unwrap();
    }
    fill(&streams, 4..=4);
    for seq in 2..=4 {
        let message = ordered.next_timeout(PATIENCE).unwrap();
        assert_eq!(message.metadata().stream_seq, seq);
    }
}

fn it_ends_with_its_stream(server: &mut Server) {
    let streams = server.streams();
    stream(&streams);
    let mut ordered = streams.ordered("S", from(Start::First)).unwrap();
    assert!(matches!(ordered.next_timeout(MOMENT), Err(Error::Timeout)));
    streams.delete_stream("S").unwrap();
    match ordered.next().expect("an error") {
        Err(Error::Api(error)) => {
            assert_eq!(error.err_code, ApiError::STREAM_NOT_FOUND.err_code);
        }
        other => panic!("{other:?}"),
    }
    assert!(ordered.next().is_none());
    assert!(matches!(
        streams.ordered("S", from(Start::First)),
        Err(Error::Api(_))
    ));
}

fn headers_can_do(server: &mut Server) {
    let streams = server.streams();
    stream(&streams);
    streams.publish(&Publish::new("s.a", "12345")).unwrap();
    let options = OrderedOptions {
        headers_only: true,
        ..from(Start::First)
    };
    let message = streams
        .ordered("S", options)
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(
        (message.payload(), message.header("Nats-Msg-Size")),
        (&b""[..], Some("5"))
    );
}
