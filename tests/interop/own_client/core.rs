//! Messages that nobody keeps.

use std::thread;

use midge_client::{Client, Error, Event, Headers, Options, Publish, Until};

use crate::harness::{MOMENT, PATIENCE, Server, options};

on_both! {
    messages_reach_their_subscribers,
    headers_and_payloads_of_any_bytes_arrive,
    a_group_shares_its_messages,
    requests_are_answered,
    many_answer,
    a_subscription_ends_after_so_many,
    draining_leaves_nothing_behind,
    what_may_not_be_is_refused,
    a_user_needs_the_password,
}

fn messages_reach_their_subscribers(server: &mut Server) {
    let (publisher, subscriber) = (server.connect(), server.connect());
    let mut exact = subscriber.subscribe("a.b").unwrap();
    let mut wild = subscriber.subscribe("a.*").unwrap();
    let mut all = subscriber.subscribe(">").unwrap();
    subscriber.flush(PATIENCE).unwrap();
    for subject in ["a.b", "a.c", "d"] {
        publisher.publish(subject, subject).unwrap();
    }
    publisher.flush(PATIENCE).unwrap();
    assert_eq!(exact.next_timeout(PATIENCE).unwrap().subject(), "a.b");
    for subject in ["a.b", "a.c"] {
        assert_eq!(wild.next_timeout(PATIENCE).unwrap().subject(), subject);
    }
    for subject in ["a.b", "a.c", "d"] {
        let message = all.next_timeout(PATIENCE).unwrap();
        assert_eq!(message.payload(), subject.as_bytes());
    }
    assert!(matches!(exact.next_timeout(MOMENT), Err(Error::Timeout)));
    drop(wild);
    publisher.publish("a.b", "again").unwrap();
    assert_eq!(exact.next_timeout(PATIENCE).unwrap().payload(), b"again");
    assert_eq!(publisher.stats().published, 4);
    assert!(subscriber.stats().received >= 6);
}

fn headers_and_payloads_of_any_bytes_arrive(server: &mut Server) {
    let client = server.connect();
    let mut inbox = client.subscribe("in").unwrap();
    let payload: Vec<u8> = (0..100_000u32).map(|number| number as u8).collect();
    let headers = Headers::new()
        .with("A", "1")
        .with("a", "2")
        .with("A", "3 ä");
    let message = Publish::new("in", &payload).headers(&headers).reply("back");
    client.send(&message).unwrap();
    let got = inbox.next_timeout(PATIENCE).unwrap();
    assert_eq!((got.subject(), got.reply()), ("in", "back"));
    assert_eq!(got.payload(), payload);
    assert_eq!((got.header("A"), got.header("a")), (Some("1"), Some("2")));
    assert_eq!(got.headers().iter().count(), 3);
    let too_long = vec![0; client.info().payload_max_bytes + 1];
    let error = client.publish("in", &too_long).unwrap_err();
    assert!(matches!(error, Error::TooLong { .. }), "{error}");
}

fn a_group_shares_its_messages(server: &mut Server) {
    let client = server.connect();
    let mut members: Vec<_> = (0..3)
        .map(|_| client.queue_subscribe("work", "workers").unwrap())
        .collect();
    for number in 0..300 {
        client.publish("work", &number.to_string()).unwrap();
    }
    client.flush(PATIENCE).unwrap();
    let counts: Vec<usize> = members
        .iter_mut()
        .map(|member| std::iter::from_fn(|| member.try_next()).count())
        .collect();
    assert_eq!(counts.iter().sum::<usize>(), 300);
    assert!(counts.iter().all(|&count| count > 0), "{counts:?}");
}

fn requests_are_answered(server: &mut Server) {
    let client = server.connect();
    let answerer = server.connect();
    let questions = answerer.subscribe("double").unwrap();
    answerer.flush(PATIENCE).unwrap();
    let answering = thread::spawn(move || {
        for question in questions.take(40) {
            let number: u64 = std::str::from_utf8(question.payload())
                .unwrap()
                .parse()
                .unwrap();
            answerer
                .respond(&question, &(2 * number).to_string())
                .unwrap();
        }
        answerer.flush(PATIENCE).unwrap();
    });
    thread::scope(|scope| {
        for start in 0..4u64 {
            let client = &client;
            scope.spawn(move || {
                for number in start * 10..start * 10 + 10 {
                    let answer = client.request("double", &number.to_string(), None).unwrap();
                    assert_eq!(answer.payload(), (2 * number).to_string().as_bytes());
                }
            });
        }
    });
    answering.join().unwrap();
    let error = client.request("nobody", "", None).unwrap_err();
    assert!(matches!(error, Error::NoResponders(_)), "{error}");
    let _mute = client.subscribe("mute").unwrap();
    let error = client.request("mute", "", Some(MOMENT)).unwrap_err();
    assert!(matches!(error, Error::Timeout), "{error}");
}

fn many_answer(server: &mut Server) {
    let client = server.connect();
    let answering: Vec<_> = (0..3)
        .map(|_| {
            let own = server.connect();
            let mut questions = own.subscribe("who").unwrap();
            own.flush(PATIENCE).unwrap();
            thread::spawn(move || {
                let question = questions.next_timeout(PATIENCE).unwrap();
                own.respond(&question, "me").unwrap();
                own.flush(PATIENCE).unwrap();
            })
        })
        .collect();
    let until = Until {
        timeout: PATIENCE,
        stall: None,
        messages_max: Some(3),
    };
    let question = Publish::new("who", "");
    assert_eq!(client.request_many(&question, until).unwrap().count(), 3);
    answering
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    let nobody = client
        .request_many(&Publish::new("nobody", ""), until)
        .unwrap();
    assert_eq!(nobody.count(), 0, "and that is known at once");
}

fn a_subscription_ends_after_so_many(server: &mut Server) {
    let client = server.connect();
    let subscription = client.subscribe("a").unwrap();
    subscription.unsubscribe_after(3).unwrap();
    for _ in 0..5 {
        client.publish("a", "").unwrap();
    }
    assert_eq!(subscription.count(), 3);
}

fn draining_leaves_nothing_behind(server: &mut Server) {
    let (client, other) = (server.connect(), server.connect());
    let received = client.subscribe("in").unwrap();
    let mut sent = other.subscribe("out").unwrap();
    other.flush(PATIENCE).unwrap();
    client.flush(PATIENCE).unwrap();
    for _ in 0..1000 {
        other.publish("in", "x").unwrap();
        client.publish("out", "y").unwrap();
    }
    other.flush(PATIENCE).unwrap();
    client.drain(PATIENCE).unwrap();
    assert_eq!(received.count(), 1000);
    for _ in 0..1000 {
        sent.next_timeout(PATIENCE).unwrap();
    }
    assert!(matches!(client.publish("out", ""), Err(Error::Closed)));
}

fn what_may_not_be_is_refused(server: &mut Server) {
    let client = server.connect();
    for subject in ["", "a b", "a..b", "a.*", "a\r\nPING"] {
        assert!(
            matches!(client.publish(subject, ""), Err(Error::Subject(_))),
            "{subject:?}"
        );
    }
    for subject in ["", "a b", "a..b", ">.a"] {
        assert!(
            matches!(client.subscribe(subject), Err(Error::Filter(_))),
            "{subject:?}"
        );
    }
    assert!(client.is_connected());
    client.flush(PATIENCE).unwrap();
}

fn a_user_needs_the_password(server: &mut Server) {
    let binary = server.kind.binary().unwrap();
    let flags = ["--user", "alice", "--pass", "s3cr\"et"];
    let server = Server::start(server.kind, &binary, &flags);
    let with = |user: &str, pass: &str| Options {
        user: Some(user.into()),
        pass: Some(pass.into()),
        ..options()
    };
    let client = server.connect_with(with("alice", "s3cr\"et"));
    client.flush(PATIENCE).unwrap();
    let address = client.address();
    let in_url = Client::connect(&format!("nats://alice:s3cr%22et@{address}"), options());
    in_url
        .expect("the same in the URL")
        .flush(PATIENCE)
        .unwrap();
    for (user, pass) in [("alice", "wrong"), ("bob", "s3cr\"et"), ("", "")] {
        let refused = Client::connect(&server.url(), with(user, pass)).unwrap_err();
        assert!(matches!(refused, Error::Refused(_)), "{refused}");
    }
}

/// What has happened to a client, up to an event.
pub fn until(client: &Client, wanted: impl Fn(&Event) -> bool) {
    let events = client.events();
    while !wanted(&events.next_timeout(PATIENCE).expect("the event comes")) {}
}
