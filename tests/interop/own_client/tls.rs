//! Connections that nobody else reads.

use std::thread;

use midge_client::{Client, Error, Options, Tls};

use crate::harness::{Kind, PATIENCE, Server, eventually, options};
use crate::keys::Keys;

/// Runs functions as tests, against each kind of server.
macro_rules! on_each {
    ($($name:ident,)*) => {$(
        mod $name {
            use crate::harness::Kind;

            #[test]
            fn midge() {
                super::$name(Kind::Midge);
            }

            #[test]
            fn nats_server() {
                super::$name(Kind::Reference);
            }
        }
    )*};
}

on_each! {
    what_is_said_arrives_whole_both_ways,
    a_broken_connection_is_as_safe_as_the_first,
    whom_nobody_vouches_for_is_not_talked_to,
    a_client_shows_its_own_certificate,
}

impl Keys {
    /// A server with these certificates and flags; nothing if this half is to be left out.
    fn serve(&self, kind: Kind, flags: &[&str]) -> Option<Server> {
        let binary = kind.binary()?;
        let own = self.flags();
        let all: Vec<&str> = own
            .iter()
            .map(String::as_str)
            .chain(flags.iter().copied())
            .collect();
        Some(Server::start(kind, &binary, &all))
    }

    fn trusting(&self) -> Tls {
        Tls {
            roots: Some(self.path("root.pem")),
            ..Tls::default()
        }
    }
}

fn with(tls: Tls) -> Options {
    Options {
        tls: Some(tls),
        ..options()
    }
}

fn what_is_said_arrives_whole_both_ways(kind: Kind) {
    const MESSAGES: u32 = 20_000;
    let keys = Keys::new();
    let Some(server) = keys.serve(kind, &["--tls"]) else {
        return;
    };
    let client = server.connect_with(with(keys.trusting()));
    let mut messages = client.subscribe("a").expect("subscribed");
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..MESSAGES {
                client
                    .publish("a", &number.to_le_bytes())
                    .expect("published");
            }
            client.publish("a", &vec![7; 1_000_000]).expect("published");
        });
        for number in 0..MESSAGES {
            let message = messages.next_timeout(PATIENCE).expect("it comes");
            assert_eq!(message.payload(), number.to_le_bytes());
        }
        let message = messages.next_timeout(PATIENCE).expect("it comes");
        assert_eq!(message.payload().len(), 1_000_000);
    });
    client.drain(PATIENCE).expect("drained");
}

fn a_broken_connection_is_as_safe_as_the_first(kind: Kind) {
    let keys = Keys::new();
    let Some(mut server) = keys.serve(kind, &["--tls"]) else {
        return;
    };
    let client = server.connect_with(with(keys.trusting()));
    let mut messages = client.subscribe("a").expect("subscribed");
    client.flush(PATIENCE).expect("flushed");
    server.kill();
    // What is written before that is noticed goes nowhere.
    eventually("the break is seen", || !client.is_connected());
    client.publish("a", "in between").expect("it waits");
    server.start_again();
    let message = messages.next_timeout(PATIENCE).expect("it comes");
    assert_eq!(message.payload(), b"in between");
}

fn whom_nobody_vouches_for_is_not_talked_to(kind: Kind) {
    let keys = Keys::new();
    let Some(server) = keys.serve(kind, &["--tls"]) else {
        return;
    };
    let strangers = Keys::new();
    let error = Client::connect(&server.url(), with(strangers.trusting())).expect_err("refused");
    assert!(matches!(error, Error::Tls(_)), "{error}");
}

fn a_client_shows_its_own_certificate(kind: Kind) {
    let keys = Keys::new();
    let Some(server) = keys.serve(kind, &["--tlsverify"]) else {
        return;
    };
    let error = Client::connect(&server.url(), with(keys.trusting())).expect_err("refused");
    assert!(matches!(error, Error::Tls(_) | Error::Io(_)), "{error}");
    let known = Tls {
        identity: Some((keys.path("client.pem"), keys.path("client.key"))),
        ..keys.trusting()
    };
    let client = server.connect_with(with(known));
    client.flush(PATIENCE).expect("flushed");
}

#[test]
fn nothing_goes_to_a_server_without_tls() {
    let Some(binary) = Kind::Midge.binary() else {
        return;
    };
    let server = Server::start(Kind::Midge, &binary, &[]);
    for (url, options) in [
        (server.url(), with(Keys::new().trusting())),
        (server.url().replace("nats://", "tls://"), options()),
    ] {
        let error = Client::connect(&url, options).expect_err("refused");
        assert!(matches!(error, Error::Tls(_)), "{error}");
    }
}
