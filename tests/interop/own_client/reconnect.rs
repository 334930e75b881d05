//! A server that is killed and comes back.

use std::thread;

use midge_client::{Client, Error, Event, Options};

use crate::core::until;
use crate::harness::{PATIENCE, Server, eventually, options};

on_both! {
    subscriptions_and_requests_go_on,
    what_is_published_meanwhile_is_kept,
    a_client_may_start_before_its_server,
    without_reconnecting_it_is_over,
}

fn subscriptions_and_requests_go_on(server: &mut Server) {
    let client = server.connect();
    let mut subscription = client.subscribe("a").unwrap();
    client.flush(PATIENCE).unwrap();
    server.kill();
    until(&client, |event| matches!(event, Event::Disconnected(_)));
    server.start_again();
    until(&client, |event| matches!(event, Event::Connected(_)));
    client.publish("a", "again").unwrap();
    assert_eq!(
        subscription.next_timeout(PATIENCE).unwrap().payload(),
        b"again"
    );
    let own = client.clone();
    let questions = client.subscribe("q").unwrap();
    let answering = thread::spawn(move || {
        let question = questions.take(1).next().unwrap();
        own.respond(&question, "yes").unwrap();
    });
    assert_eq!(client.request("q", "", None).unwrap().payload(), b"yes");
    answering.join().unwrap();
    assert_eq!(client.stats().reconnects, 1);
}

fn what_is_published_meanwhile_is_kept(server: &mut Server) {
    let client = server.connect_with(Options {
        buffer_bytes_max: 10_000,
        ..options()
    });
    let mut subscription = client.subscribe("a").unwrap();
    client.flush(PATIENCE).unwrap();
    server.kill();
    eventually("the break is seen", || !client.is_connected());
    let mut sent = 0;
    let error = loop {
        match client.publish("a", "0123456789") {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, Error::Full) && error.is_passing(),
        "{error}"
    );
    assert!(sent >= 100, "{sent}");
    server.start_again();
    for _ in 0..sent {
        subscription.next_timeout(PATIENCE).unwrap();
    }
}

fn a_client_may_start_before_its_server(server: &mut Server) {
    server.kill();
    let refused = Client::connect(&server.url(), options()).unwrap_err();
    assert!(matches!(refused, Error::Connect(_)) && refused.is_passing());
    let client = server.connect_with(Options {
        connects_later: true,
        ..options()
    });
    let mut subscription = client.subscribe("a").unwrap();
    client.publish("a", "early").unwrap();
    assert!(!client.is_connected());
    server.start_again();
    assert_eq!(
        subscription.next_timeout(PATIENCE).unwrap().payload(),
        b"early"
    );
}

fn without_reconnecting_it_is_over(server: &mut Server) {
    let client = server.connect_with(Options {
        reconnects: false,
        ..options()
    });
    let mut subscription = client.subscribe("a").unwrap();
    client.flush(PATIENCE).unwrap();
    server.kill();
    until(&client, |event| matches!(event, Event::Closed(Some(_))));
    assert!(subscription.next().is_none());
    assert!(matches!(client.publish("a", ""), Err(Error::Closed)));
}
