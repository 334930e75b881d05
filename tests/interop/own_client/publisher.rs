//! Many messages on their way at a time.

use std::thread;
use std::time::Duration;

use midge_client::streams::{OrderedOptions, PublisherOptions, StreamConfig};
use midge_client::{Error, Headers, Publish};

use crate::harness::{PATIENCE, Server, eventually, stream};

on_both! {
    all_are_stored_in_order,
    threads_share_a_publisher,
    results_can_be_waited_for_in_any_order,
    failures_name_their_messages,
    nobody_answers_and_that_is_told,
    a_restart_loses_nothing_that_has_an_id,
    a_break_without_ids_is_a_failure,
    a_closed_client_settles_all,
}

fn all_are_stored_in_order(server: &mut Server) {
    let streams = server.streams();
    stream(&streams);
    let publisher = streams.publisher(PublisherOptions::default()).unwrap();
    for number in 1..=5000u32 {
        publisher
            .publish(&Publish::new("s.a", &number.to_le_bytes()))
            .unwrap();
    }
    publisher.flush(PATIENCE).unwrap();
    assert_eq!(streams.stream_info("S").unwrap().state.messages, 5000);
    let stored = streams.ordered("S", OrderedOptions::default()).unwrap();
    for (number, message) in (1..=5000u32).zip(stored) {
        assert_eq!(message.unwrap().payload(), number.to_le_bytes());
    }
}

fn threads_share_a_publisher(server: &mut Server) {
    let streams = server.streams();
    stream(&streams);
    let options = PublisherOptions {
        window_max: 10,
        ..Default::default()
    };
    let publisher = streams.publisher(options).unwrap();
    thread::scope(|scope| {
        for worker in 0..4 {
            let publisher = &publisher;
            scope.spawn(move || {
                for number in 0..500 {
                    let message = Publish::new("s.a", "x");
                    let pending = publisher.publish(&message).unwrap();
                    if (number + worker) % 3 == 0 {
                        pending.wait().unwrap();
                    }
                }
            });
        }
    });
    publisher.flush(PATIENCE).unwrap();
    assert_eq!(streams.stream_info("S").unwrap().state.messages, 2000);
}

fn results_can_be_waited_for_in_any_order(server: &mut Server) {
    let streams = server.streams();
    stream(&streams);
    let options = PublisherOptions {
        window_max: 16,
        ..Default::default()
    };
    let publisher = streams.publisher(options).unwrap();
    let message = Publish::new("s.a", "x");
    // More than the window has: results that nobody has asked for are no hindrance.
    let mut pending: Vec<_> = (0..100)
        .map(|_| publisher.publish(&message).unwrap())
        .collect();
    assert_eq!(pending.last().unwrap().number(), 100);
    while let Some(last) = pending.pop() {
        let number = last.number();
        let ack = last.wait().unwrap();
        assert_eq!((ack.seq, &*ack.stream), (number, "S"));
    }
}

fn failures_name_their_messages(server: &mut Server) {
    let streams = server.streams();
    stream(&streams);
    let publisher = streams.publisher(PublisherOptions::default()).unwrap();
    let wrong = Headers::new().expect_last_seq(77);
    for number in 1..=10 {
        let message = Publish::new("s.a", "x");
        let message = match number % 5 {
            0 => message.headers(&wrong),
            _ => message,
        };
        publisher.publish(&message).unwrap();
    }
    let error = publisher.flush(PATIENCE).unwrap_err();
    assert!(!error.is_passing(), "{error}");
    match error {
        Error::Unstored(failures) => {
            let numbers: Vec<u64> = failures.iter().map(|failure| failure.number).collect();
            assert_eq!(numbers, [5, 10]);
            assert_eq!(failures[0].subject, "s.a");
            assert!(matches!(&failures[0].error, Error::Api(error) if error.err_code == 10071));
        }
        other => panic!("{other}"),
    }
    publisher.flush(PATIENCE).expect("they are told once");
    let pending = publisher
        .publish(&Publish::new("s.a", "x").headers(&wrong))
        .unwrap();
    assert!(matches!(pending.wait(), Err(Error::Api(_))));
    publisher
        .flush(PATIENCE)
        .expect("somebody has waited for it");
}

fn nobody_answers_and_that_is_told(server: &mut Server) {
    let streams = server.streams();
    let options = PublisherOptions {
        window_max: 20,
        timeout: Some(Duration::from_millis(300)),
        ..Default::default()
    };
    let publisher = streams.publisher(options).unwrap();
    let error = publisher
        .publish(&Publish::new("none", ""))
        .unwrap()
        .wait()
        .unwrap_err();
    assert!(
        matches!(&error, Error::NoResponders(subject) if subject == "none"),
        "{error}"
    );
    let mute = StreamConfig {
        name: "MUTE".into(),
        subjects: vec!["mute".into()],
        no_ack: true,
        ..Default::default()
    };
    streams.create_stream(&mute).unwrap();
    let mut told = 0;
    for _ in 0..50 {
        match publisher.publish(&Publish::new("mute", "")) {
            Ok(_) => {}
            // Not silently, though nobody flushes.
            Err(Error::Unstored(failures)) => told += failures.len(),
            Err(error) => panic!("{error}"),
        }
    }
    match publisher.flush(PATIENCE) {
        Err(Error::Unstored(failures)) => {
            told += failures.len();
            assert!(
                failures
                    .iter()
                    .all(|failure| matches!(failure.error, Error::Timeout))
            );
        }
        other => panic!("{other:?}"),
    }
    // Where failures were told, the message was not sent.
    assert!((48..=50).contains(&told), "{told}");
}

fn a_restart_loses_nothing_that_has_an_id(server: &mut Server) {
    let streams = server.streams();
    stream(&streams);
    let options = PublisherOptions {
        window_max: 100,
        timeout: Some(Duration::from_secs(2)),
        retries: 5,
    };
    let publisher = streams.publisher(options).unwrap();
    let publishing = thread::spawn(move || {
        for number in 1..=3000 {
            let headers = Headers::new().message_id(&number.to_string());
            let message = Publish::new("s.a", "x").headers(&headers);
            while let Err(error) = publisher.publish(&message) {
                assert!(matches!(error, Error::Full), "{error}");
                thread::sleep(Duration::from_millis(1));
            }
        }
        publisher.flush(PATIENCE)
    });
    let watch = server.streams();
    eventually("some are stored", || {
        watch.stream_info("S").unwrap().state.messages > 200
    });
    server.kill();
    server.start_again();
    publishing.join().unwrap().expect("all are stored");
    let state = server.streams().stream_info("S").unwrap().state;
    assert!(state.messages >= 3000 - 200, "{state:?}");
    if server.kind == crate::harness::Kind::Midge {
        // The original forgets acknowledged messages of the last moment when it is killed.
        assert_eq!(state.messages, 3000);
    }
}

fn a_break_without_ids_is_a_failure(server: &mut Server) {
    let streams = server.streams();
    let mute = StreamConfig {
        name: "MUTE".into(),
        subjects: vec!["mute".into()],
        no_ack: true,
        ..Default::default()
    };
    streams.create_stream(&mute).unwrap();
    let publisher = streams.publisher(PublisherOptions::default()).unwrap();
    let pending = publisher.publish(&Publish::new("mute", "")).unwrap();
    streams.client().flush(PATIENCE).unwrap();
    server.kill();
    server.start_again();
    let told = std::time::Instant::now();
    assert!(matches!(pending.wait(), Err(Error::Timeout)));
    assert!(
        told.elapsed() < PATIENCE / 2,
        "sooner than its time is over"
    );
}

fn a_closed_client_settles_all(server: &mut Server) {
    let streams = server.streams();
    let publisher = streams.publisher(PublisherOptions::default()).unwrap();
    let _mute = streams.client().subscribe("mute").unwrap();
    let pending = publisher.publish(&Publish::new("mute", "")).unwrap();
    drop(publisher.publish(&Publish::new("mute", "")).unwrap());
    streams.client().close();
    assert!(matches!(pending.wait(), Err(Error::Closed)));
    match publisher.flush(PATIENCE) {
        Err(Error::Unstored(failures)) => {
            assert_eq!((failures.len(), failures[0].number), (1, 2));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        publisher.publish(&Publish::new("mute", "")),
        Err(Error::Closed)
    ));
}
