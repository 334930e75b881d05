//! Making, changing and looking at streams, consumers and stored messages.

use std::time::{Duration, SystemTime};

use midge_client::streams::{
    AckPolicy, ApiError, ConsumerConfig, DeliverPolicy, Nanos, Purge, Retention, Storage,
    StreamConfig, StreamsOptions, Timestamp,
};
use midge_client::{Error, Headers, Publish};

use crate::harness::{Server, stream};

on_both! {
    a_stream_is_made_with_what_a_server_fills_in,
    a_stream_is_changed,
    streams_are_listed,
    a_purge_removes_what_it_is_told,
    consumers_are_made_and_changed,
    a_consumer_pauses,
    stored_messages_are_looked_at,
    expectations_hold,
    what_is_not_there_is_said,
    names_make_no_other_subjects,
}

#[track_caller]
fn assert_api<T: std::fmt::Debug>(done: Result<T, Error>, wanted: u16) {
    match done {
        Err(Error::Api(error)) => assert_eq!(error.err_code, wanted, "{error}"),
        other => panic!("{other:?}"),
    }
}

fn a_stream_is_made_with_what_a_server_fills_in(server: &mut Server) {
    let streams = server.streams();
    let config = StreamConfig {
        name: "ORDERS".into(),
        subjects: vec!["orders.>".into()],
        ..Default::default()
    };
    let info = streams.create_stream(&config).unwrap();
    let made = &info.config;
    assert_eq!(
        (made.name.as_str(), &made.subjects),
        ("ORDERS", &config.subjects)
    );
    assert_eq!(
        (made.max_msgs, made.max_bytes, made.max_msgs_per_subject),
        (-1, -1, -1)
    );
    assert_eq!((made.num_replicas, made.storage), (1, Storage::File));
    assert_eq!(made.duplicate_window, Nanos::from_secs(120));
    assert!(info.created.is_set());
    assert_eq!(info.state.messages, 0);
    assert_eq!(streams.create_stream(&config).unwrap().config, info.config);
    let other = StreamConfig {
        max_msgs: 5,
        ..config.clone()
    };
    assert_api(
        streams.create_stream(&other),
        ApiError::STREAM_NAME_EXIST.err_code,
    );
    let overlap = StreamConfig {
        name: "OTHER".into(),
        ..config
    };
    assert_api(
        streams.create_stream(&overlap),
        ApiError::STREAM_SUBJECT_OVERLAP.err_code,
    );
    streams.delete_stream("ORDERS").unwrap();
    assert_api(
        streams.stream_info("ORDERS"),
        ApiError::STREAM_NOT_FOUND.err_code,
    );
}

fn a_stream_is_changed(server: &mut Server) {
    let streams = server.streams();
    let mut config = StreamConfig {
        name: "S".into(),
        subjects: vec!["s.>".into()],
        max_age: Duration::from_secs(3600).into(),
        ..Default::default()
    };
    assert_api(
        streams.update_stream(&config),
        ApiError::STREAM_NOT_FOUND.err_code,
    );
    streams.create_or_update_stream(&config).unwrap();
    config.max_msgs = 2;
    config.description = "short".into();
    let info = streams.create_or_update_stream(&config).unwrap();
    assert_eq!(
        (info.config.max_msgs, info.config.description.as_str()),
        (2, "short")
    );
    let mut shown = streams.stream_info("S").unwrap().config;
    assert_eq!(shown.max_age, Nanos::from_secs(3600));
    shown.max_msgs = 3;
    assert_eq!(streams.update_stream(&shown).unwrap().config, shown);
    shown.storage = Storage::Memory;
    assert!(matches!(streams.update_stream(&shown), Err(Error::Api(_))));
}

fn streams_are_listed(server: &mut Server) {
    let streams = server.streams();
    assert!(streams.stream_list(None).unwrap().is_empty());
    assert!(streams.stream_names(None).unwrap().is_empty());
    for number in 0..300 {
        let config = StreamConfig {
            name: format!("S{number}"),
            subjects: vec![format!("s.{number}")],
            storage: Storage::Memory,
            ..Default::default()
        };
        streams.create_stream(&config).unwrap();
    }
    let listed = streams.stream_list(None).unwrap();
    assert_eq!(listed.len(), 300, "more than a page");
    assert_eq!(streams.stream_names(None).unwrap().len(), 300);
    assert_eq!(streams.stream_names(Some("s.7")).unwrap(), ["S7"]);
    assert_eq!(streams.stream_list(Some("s.8")).unwrap().len(), 1);
}

fn a_purge_removes_what_it_is_told(server: &mut Server) {
    let streams = server.streams();
    stream(&streams);
    for number in 1..=10 {
        let subject = format!("s.{}", number % 2);
        streams.publish(&Publish::new(&subject, "")).unwrap();
    }
    let info = streams.stream_info_with_subjects("S", ">").unwrap();
    let mut counts = info.state.subjects;
    counts.sort();
    assert_eq!(counts, [("s.0".to_owned(), 5), ("s.1".to_owned(), 5)]);
    for (purge, removed) in [
        (
            Purge {
                before_seq: 3,
                ..Default::default()
            },
            2,
        ),
        (
            Purge {
                subject: "s.0".into(),
                keep: 1,
                ..Default::default()
            },
            3,
        ),
        (
            Purge {
                subject: "s.0".into(),
                ..Default::default()
            },
            1,
        ),
        (Purge::default(), 4),
    ] {
        assert_eq!(
            streams.purge_stream("S", &purge).unwrap(),
            removed,
            "{purge:?}"
        );
    }
    assert_eq!(streams.stream_info("S").unwrap().state.messages, 0);
}

fn consumers_are_made_and_changed(server: &mut Server) {
    let streams = server.streams();
    stream(&streams);
    let mut config = ConsumerConfig {
        filter_subject: "s.a".into(),
        ack_wait: Duration::from_secs(5).into(),
        ..ConsumerConfig::durable("worker")
    };
    let info = streams.create_consumer("S", &config).unwrap();
    assert_eq!((info.stream.as_str(), info.name.as_str()), ("S", "worker"));
    assert_eq!(info.config.ack_policy, AckPolicy::Explicit);
    assert_eq!(info.config.max_ack_pending, 1000);
    assert_eq!(info.config.filter_subject, "s.a");
    streams
        .create_consumer("S", &config)
        .expect("the same again");
    config.max_deliver = 3;
    assert_api(streams.create_consumer("S", &config), 10148);
    assert_eq!(
        streams
            .update_consumer("S", &config)
            .unwrap()
            .config
            .max_deliver,
        3
    );
    config.filter_subject = String::new();
    config.filter_subjects = vec!["s.a".into(), "s.b".into()];
    let info = streams.create_or_update_consumer("S", &config).unwrap();
    assert_eq!(info.config.filter_subjects, ["s.a", "s.b"]);
    assert_api(
        streams.update_consumer("S", &ConsumerConfig::durable("none")),
        10149,
    );
    let nameless = ConsumerConfig {
        deliver_policy: DeliverPolicy::New,
        ..Default::default()
    };
    let nameless = streams.create_consumer("S", &nameless).unwrap().name;
    let mut names = streams.consumer_names("S").unwrap();
    names.sort();
    let mut wanted = [nameless, "worker".to_owned()];
    wanted.sort();
    assert_eq!(names, wanted);
    assert_eq!(streams.consumer_list("S").unwrap().len(), 2);
    streams.delete_consumer("S", "worker").unwrap();
    assert_api(
        streams.consumer_info("S", "worker"),
        ApiError::CONSUMER_NOT_FOUND.err_code,
    );
}

fn a_consumer_pauses(server: &mut Server) {
    let streams = server.streams();
    stream(&streams);
    streams
        .create_consumer("S", &ConsumerConfig::durable("c"))
        .unwrap();
    let until = Timestamp::from(SystemTime::now()).after(Nanos::from_secs(60));
    let pause = streams.pause_consumer("S", "c", Some(until)).unwrap();
    assert!(pause > Nanos::from_secs(50), "{pause:?}");
    assert!(streams.consumer_info("S", "c").unwrap().paused.is_some());
    assert_eq!(streams.pause_consumer("S", "c", None).unwrap(), Nanos::ZERO);
    assert_eq!(streams.consumer_info("S", "c").unwrap().paused, None);
}

fn stored_messages_are_looked_at(server: &mut Server) {
    let streams = server.streams();
    for (name, allow_direct) in [("D", true), ("I", false)] {
        let config = StreamConfig {
            name: name.into(),
            subjects: vec![format!("{name}.>")],
            allow_direct,
            ..Default::default()
        };
        streams.create_stream(&config).unwrap();
        let subject = format!("{name}.a");
        let headers = Headers::new().with("Unit", "celsius").message_id("1");
        let message = Publish::new(&subject, b"\x00\xff21.5").headers(&headers);
        let ack = streams.publish(&message).unwrap();
        assert_eq!((&*ack.stream, ack.seq, ack.is_duplicate), (name, 1, false));
        let other = format!("{name}.b");
        streams.publish(&Publish::new(&other, "")).unwrap();

        let stored = streams.get_message(name, 1).unwrap();
        assert_eq!((stored.subject.as_str(), stored.seq), (subject.as_str(), 1));
        assert_eq!(stored.payload, b"\x00\xff21.5");
        assert_eq!(stored.header("Unit"), Some("celsius"));
        assert_eq!(stored.headers().iter().count(), 2, "{stored:?}");
        assert!(stored.time.is_set());
        assert_eq!(streams.get_last_message(name, &subject).unwrap(), stored);
        let plain = streams.get_last_message(name, &other).unwrap();
        assert_eq!((plain.seq, plain.headers().iter().count()), (2, 0));

        streams.delete_message(name, 1, true).unwrap();
        streams.delete_message(name, 2, false).unwrap();
        for gone in [
            streams.get_message(name, 1),
            streams.get_last_message(name, &other),
        ] {
            assert_api(gone, ApiError::NO_MESSAGE_FOUND.err_code);
        }
        assert!(matches!(
            streams.delete_message(name, 1, true),
            Err(Error::Api(_))
        ));
    }
}

fn expectations_hold(server: &mut Server) {
    let streams = server.streams();
    stream(&streams);
    let publish = |headers: &Headers| streams.publish(&Publish::new("s.a", "x").headers(headers));
    let first = publish(
        &Headers::new()
            .message_id("a")
            .expect_stream("S")
            .expect_last_seq(0),
    );
    assert_eq!(first.unwrap().seq, 1);
    let again = publish(&Headers::new().message_id("a")).unwrap();
    assert!(again.is_duplicate && again.seq == 1);
    let second = Headers::new()
        .expect_last_subject_seq(1)
        .expect_last_message_id("a");
    assert_eq!(publish(&second).unwrap().seq, 2);
    assert_api(publish(&Headers::new().expect_last_seq(1)), 10071);
    assert_api(publish(&Headers::new().expect_last_subject_seq(0)), 10071);
    assert_api(publish(&Headers::new().expect_last_message_id("b")), 10070);
    assert_api(
        publish(&Headers::new().expect_stream("T")),
        ApiError::STREAM_NOT_MATCH.err_code,
    );
    assert_eq!(streams.stream_info("S").unwrap().state.messages, 2);
}

fn what_is_not_there_is_said(server: &mut Server) {
    let streams = server.streams();
    let error = streams.publish(&Publish::new("nowhere", "")).unwrap_err();
    assert!(matches!(error, Error::NoResponders(_)), "{error}");
    let not_found = ApiError::STREAM_NOT_FOUND.err_code;
    assert_api(streams.delete_stream("NONE"), not_found);
    assert_api(streams.purge_stream("NONE", &Purge::default()), not_found);
    assert_api(streams.get_message("NONE", 1), not_found);
    assert_api(streams.get_last_message("NONE", "a"), not_found);
    assert_api(streams.consumer_list("NONE"), not_found);
    assert_api(
        streams.create_consumer("NONE", &ConsumerConfig::durable("c")),
        not_found,
    );
    let answer = streams.api("INFO", b"").unwrap();
    assert!(answer.payload().starts_with(b"{\"type\":"));
    let elsewhere = streams
        .client()
        .streams_with(StreamsOptions::domain("moon"));
    let error = elsewhere.stream_names(None).unwrap_err();
    assert!(matches!(error, Error::NoResponders(_)), "{error}");
}

fn names_make_no_other_subjects(server: &mut Server) {
    let streams = server.streams();
    stream(&streams);
    for name in ["", "a.b", "*", ">", "a b", "a/b"] {
        for refused in [
            streams.stream_info(name).map(drop),
            streams.delete_stream(name),
            streams.consumer_info("S", name).map(drop),
            streams.consumer("S", name).map(drop),
            streams.consumer_info(name, "c").map(drop),
        ] {
            assert!(
                matches!(refused, Err(Error::Api(_))),
                "{name:?}: {refused:?}"
            );
        }
    }
    let retention = streams.stream_info("S").unwrap().config.retention;
    assert_eq!(retention, Retention::Limits);
}
