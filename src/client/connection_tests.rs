//! Connections that break, are drained, and are too slow.

use crate::fake_server::{Listener, PATIENCE, Peer, client, options};
use crate::{Client, Error, Event, Options, Publish, Until};
use std::thread;
use std::time::Duration;

fn quick() -> Options {
    Options {
        reconnect_wait: Duration::from_millis(1),
        ..options()
    }
}

/// A client that may still be without a connection.
fn trying(url: &str, options: Options) -> Client {
    let options = Options {
        connects_later: true,
        ..options
    };
    Client::connect(url, options).expect("it tries")
}

/// Waits for an event that is like the wanted one.
#[track_caller]
fn await_event(client: &Client, wanted: impl Fn(&Event) -> bool) -> Event {
    let events = client.events();
    loop {
        let event = events.next_timeout(PATIENCE).expect("the event comes");
        if wanted(&event) {
            return event;
        }
    }
}

fn say_message(peer: &mut Peer, sid: &str, body: &str) {
    peer.say(format!("MSG a {sid} {}\r\n{body}\r\n", body.len()));
}

#[test]
fn a_broken_connection_is_made_again_with_its_subscriptions() {
    let (listener, url) = Listener::new();
    let server = thread::spawn(move || {
        let mut peer = listener.accept();
        peer.greet();
        assert_eq!(peer.hear(), "SUB a 2");
        assert_eq!(peer.hear(), "SUB b g 3");
        say_message(&mut peer, "2", "before");
        drop(peer);
        let mut peer = listener.accept();
        peer.greet();
        let mut subs = [peer.hear(), peer.hear()];
        subs.sort();
        assert_eq!(subs, ["SUB a 2", "SUB b g 3"]);
        say_message(&mut peer, "2", "after");
        assert_eq!(peer.hear(), "PING");
        peer.say("PONG\r\n");
    });
    let client = Client::connect(&url, quick()).expect("connected");
    let mut a = client.subscribe("a").expect("subscribed");
    let _b = client.queue_subscribe("b", "g").expect("subscribed");
    for wanted in ["before", "after"] {
        let message = a.next_timeout(PATIENCE).expect(wanted);
        assert_eq!(message.payload(), wanted.as_bytes());
    }
    client.flush(PATIENCE).expect("the server is there");
    assert_eq!(client.stats().reconnects, 1);
    server.join().expect("no complaint");
}

#[test]
fn what_is_published_in_between_waits_for_a_connection() {
    let (listener, url) = Listener::new();
    let client = trying(
        &url,
        Options {
            buffer_bytes_max: 1000,
            ..quick()
        },
    );
    let mut sent = 0;
    let error = loop {
        match client.publish("a", &[b'x'; 40]) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Full), "{error}");
    assert!(sent > 5 && sent * 40 < 1000, "{sent}");
    let error = client.request("b", "", None).expect_err("no room");
    assert!(matches!(error, Error::Full), "{error}");
    // That takes no room.
    let _late = client.subscribe("late").expect("subscribed");
    let server = thread::spawn(move || {
        let mut peer = listener.accept();
        peer.greet();
        assert!(peer.hear().starts_with("SUB _INBOX."));
        assert_eq!(peer.hear(), "SUB late 2");
        for _ in 0..sent {
            assert_eq!(peer.hear(), "PUB a 40");
            assert_eq!(peer.hear().len(), 40);
        }
        assert_eq!(peer.hear(), "PING");
        peer.say("PONG\r\n");
    });
    client.flush(PATIENCE).expect("everything was taken");
    server.join().expect("no complaint");
    assert_eq!(client.stats().published, sent);
    assert_eq!(client.stats().reconnects, 0);
}

#[test]
fn the_next_server_is_tried() {
    let (nobody, dead) = Listener::new();
    drop(nobody);
    let (listener, url) = Listener::new();
    let server = thread::spawn(move || {
        drop(listener.accept());
        for _ in 0..2 {
            listener.accept().greet();
        }
    });
    let urls = format!("{dead},{url}");
    let error = Client::connect(&urls, quick()).expect_err("it hangs up");
    assert!(matches!(error, Error::Hangup | Error::Io(_)), "{error}");
    let client = Client::connect(&urls, quick()).expect("connected");
    await_event(
        &client,
        |event| matches!(event, Event::AttemptFailed(why) if why.contains("cannot connect")),
    );
    await_event(&client, |event| matches!(event, Event::Connected(_)));
    server.join().expect("no complaint");
}

#[test]
fn a_client_that_is_dropped_has_sent_everything() {
    const MESSAGES: usize = 20_000;
    let (client, server) = client(|peer| {
        for _ in 0..MESSAGES {
            assert_eq!(peer.hear(), "PUB a 100");
            peer.hear();
        }
        assert_eq!(peer.hear(), "");
    });
    for _ in 0..MESSAGES {
        client.publish("a", &[b'x'; 100]).expect("published");
    }
    drop(client);
    server.join().expect("no complaint");
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let zero = Duration::ZERO;
    for options in [
        Options {
            timeout: zero,
            ..options()
        },
        Options {
            ping_interval: zero,
            ..options()
        },
        Options {
            reconnect_wait: zero,
            ..options()
        },
    ] {
        let error = Client::connect("127.0.0.1:1", options).expect_err("zero");
        assert!(matches!(error, Error::Option(_)), "{error}");
    }
}

#[test]
fn attempts_may_have_an_end() {
    for (reconnects, attempts_max) in [(false, None), (true, Some(2))] {
        let (listener, url) = Listener::new();
        let server = thread::spawn(move || {
            let mut peer = listener.accept();
            peer.greet();
            // Until the client has something to lose.
            peer.hear();
        });
        let options = Options {
            reconnects,
            attempts_max,
            ..quick()
        };
        let client = Client::connect(&url, options).expect("connected");
        let mut messages = client.subscribe("a").expect("subscribed");
        server.join().expect("no complaint");
        await_event(&client, |event| matches!(event, Event::Closed(Some(_))));
        assert!(matches!(
            messages.next_timeout(PATIENCE),
            Err(Error::Closed)
        ));
        assert!(matches!(client.publish("a", ""), Err(Error::Closed)));
        assert!(matches!(client.subscribe("a"), Err(Error::Closed)));
        assert!(matches!(client.flush(PATIENCE), Err(Error::Closed)));
        let error = client.request("a", "", None).expect_err("closed");
        assert!(matches!(error, Error::Closed), "{error}");
    }
}

#[test]
fn a_server_that_does_not_answer_is_let_go_of() {
    let (listener, url) = Listener::new();
    let server = thread::spawn(move || {
        let mut peer = listener.accept();
        peer.greet();
        for _ in 0..2 {
            assert_eq!(peer.hear(), "PING");
        }
        let mut other = listener.accept();
        other.greet();
        drop(peer);
    });
    let options = Options {
        ping_interval: Duration::from_millis(10),
        ..quick()
    };
    let client = Client::connect(&url, options).expect("connected");
    await_event(&client, |event| matches!(event, Event::Disconnected(_)));
    await_event(&client, |event| matches!(event, Event::Connected(_)));
    server.join().expect("no complaint");
}

#[test]
fn a_reader_that_is_too_slow_loses_messages_and_is_told() {
    let (listener, url) = Listener::new();
    let server = thread::spawn(move || {
        let mut peer = listener.accept();
        peer.greet();
        peer.hear();
        for number in 0..100 {
            say_message(&mut peer, "2", &format!("{number:100}"));
        }
        assert_eq!(peer.hear(), "PING");
        peer.say("PONG\r\n");
    });
    let options = Options {
        queue_bytes_max: 1000,
        ..quick()
    };
    let client = Client::connect(&url, options).expect("connected");
    let mut messages = client.subscribe("a").expect("subscribed");
    client.flush(PATIENCE).expect("all have come");
    let here = messages.len() as u64;
    assert!((5..=10).contains(&here), "{here}");
    assert_eq!(messages.dropped(), 100 - here);
    assert_eq!(client.stats().dropped, 100 - here);
    assert_eq!(client.stats().received, 100);
    await_event(&client, |event| *event == Event::Slow("a".into()));
    for number in 0..here {
        let message = messages.try_next().expect("it is here");
        assert_eq!(message.payload(), format!("{number:100}").as_bytes());
    }
    assert!(messages.is_empty());
    server.join().expect("no complaint");
}

#[test]
fn draining_takes_what_is_under_way() {
    let (client, server) = client(|peer| {
        assert_eq!(peer.hear(), "SUB a 2");
        assert_eq!(peer.hear(), "PUB b 2");
        assert_eq!(peer.hear(), "hi");
        assert_eq!(peer.hear(), "UNSUB 2");
        say_message(peer, "2", "under way");
        assert_eq!(peer.hear(), "PING");
        peer.say("PONG\r\n");
        assert_eq!(peer.hear(), "");
    });
    let messages = client.subscribe("a").expect("subscribed");
    client.publish("b", "hi").expect("published");
    client.drain(PATIENCE).expect("drained");
    let payloads: Vec<_> = messages.map(|message| message.payload().to_vec()).collect();
    assert_eq!(payloads, [b"under way"]);
    assert!(matches!(client.publish("b", ""), Err(Error::Closed)));
    server.join().expect("no complaint");
}

#[test]
fn one_subscription_can_be_drained_and_the_rest_goes_on() {
    let (client, server) = client(|peer| {
        assert_eq!(peer.hear(), "SUB a 2");
        assert_eq!(peer.hear(), "UNSUB 2");
        say_message(peer, "2", "under way");
        assert_eq!(peer.hear(), "PING");
        peer.say("PONG\r\n");
        let (_, reply, _) = peer.asked();
        peer.answer(&reply, "still here");
    });
    let messages = client.subscribe("a").expect("subscribed");
    messages.drain(PATIENCE).expect("drained");
    assert_eq!(messages.count(), 1);
    client.request("b", "", None).expect("answered");
    server.join().expect("no complaint");
}

#[test]
fn a_subscription_ends_after_so_many_over_connections() {
    let (listener, url) = Listener::new();
    let server = thread::spawn(move || {
        let mut peer = listener.accept();
        peer.greet();
        assert_eq!(peer.hear(), "SUB a 2");
        say_message(&mut peer, "2", "1");
        assert_eq!(peer.hear(), "UNSUB 2 3");
        drop(peer);
        let mut peer = listener.accept();
        peer.greet();
        assert_eq!(peer.hear(), "SUB a 2");
        assert_eq!(peer.hear(), "UNSUB 2 2");
        for body in ["2", "3", "4"] {
            say_message(&mut peer, "2", body);
        }
        assert_eq!(peer.hear(), "PING");
        peer.say("PONG\r\n");
    });
    let client = Client::connect(&url, quick()).expect("connected");
    let mut messages = client.subscribe("a").expect("subscribed");
    messages.next_timeout(PATIENCE).expect("the first");
    messages.unsubscribe_after(3).expect("said");
    let bodies: Vec<_> = messages.map(|message| message.payload().to_vec()).collect();
    assert_eq!(bodies, [b"2", b"3"]);
    client.flush(PATIENCE).expect("it goes on");
    server.join().expect("no complaint");
}

#[test]
fn dropping_a_subscription_ends_it() {
    let (client, server) = client(|peer| {
        assert_eq!(peer.hear(), "SUB a 2");
        assert_eq!(peer.hear(), "UNSUB 2");
        // It may be under way.
        say_message(peer, "2", "for nobody");
        let (_, reply, _) = peer.asked();
        peer.answer(&reply, "");
    });
    drop(client.subscribe("a").expect("subscribed"));
    for subject in ["", "a b", "a..b", "a.>.b"] {
        let error = client.subscribe(subject).expect_err(subject);
        assert!(matches!(error, Error::Filter(_)), "{error}");
    }
    assert!(client.queue_subscribe("a", "g h").is_err());
    client.request("b", "", None).expect("answered");
    server.join().expect("no complaint");
}

#[test]
fn many_answers_are_taken_until_it_is_enough() {
    let (client, server) = client(|peer| {
        for (sid, answers) in [("2", 3), ("3", 2)] {
            let sub = peer.hear();
            assert!(sub.ends_with(&format!(" {sid}")), "{sub}");
            assert!(peer.hear().starts_with("PUB q _INBOX."));
            peer.hear();
            for _ in 0..answers {
                say_message(peer, sid, "x");
            }
            assert_eq!(peer.hear(), format!("UNSUB {sid}"));
        }
        peer.hear();
        peer.hear();
        peer.hear();
        peer.say("HMSG a 4 16 16\r\nNATS/1.0 503\r\n\r\n\r\n");
        assert_eq!(peer.hear(), "UNSUB 4");
    });
    let until = Until {
        timeout: PATIENCE,
        stall: None,
        messages_max: Some(3),
    };
    let ask = |until| client.request_many(&Publish::new("q", ""), until);
    assert_eq!(ask(until).expect("asked").count(), 3);
    let quiet = Until {
        stall: Some(Duration::from_millis(300)),
        messages_max: None,
        ..until
    };
    assert_eq!(ask(quiet).expect("asked").count(), 2);
    assert_eq!(ask(until).expect("asked").count(), 0, "nobody listens");
    client.close();
    server.join().expect("no complaint");
}

#[test]
fn what_the_server_would_refuse_is_not_sent() {
    let (listener, url) = Listener::new();
    let server = thread::spawn(move || {
        let mut peer = listener.accept();
        peer.say("INFO {\"server_id\":\"fake\",\"max_payload\":2000}\r\n");
        peer.hear();
        peer.hear();
        peer.say("PONG\r\n");
        assert_eq!(peer.hear(), "PUB a 2000");
    });
    let client = Client::connect(&url, options()).expect("connected");
    let error = client.publish("a", &[0; 2001]).expect_err("too long");
    assert!(
        matches!(
            error,
            Error::TooLong {
                bytes: 2001,
                bytes_max: 2000
            }
        ),
        "{error}"
    );
    client.publish("a", &[b'\n'; 2000]).expect("published");
    server.join().expect("no complaint");
}

#[test]
fn what_waited_and_is_too_long_for_the_server_is_left_out() {
    let (listener, url) = Listener::new();
    let client = trying(&url, quick());
    client.publish("a", &[b'x'; 2001]).expect("it waits");
    client.publish("a", "short").expect("it waits");
    let server = thread::spawn(move || {
        let mut peer = listener.accept();
        peer.say("INFO {\"server_id\":\"fake\",\"max_payload\":2000}\r\n");
        peer.hear();
        peer.hear();
        peer.say("PONG\r\n");
        assert_eq!(peer.hear(), "PUB a 5");
    });
    server.join().expect("no complaint");
    await_event(&client, |event| *event == Event::TooLong(1));
}

#[test]
fn a_subscription_that_is_drained_is_not_made_again() {
    let (listener, url) = Listener::new();
    let (gone, is_gone) = std::sync::mpsc::channel();
    let server = thread::spawn(move || {
        let mut peer = listener.accept();
        peer.greet();
        assert_eq!(peer.hear(), "SUB a g 2");
        drop(peer);
        // Until it is drained, as far as that goes without a connection.
        is_gone.recv().expect("a word");
        let mut peer = listener.accept();
        peer.greet();
        assert_eq!(peer.hear(), "PING");
        peer.say("PONG\r\n");
        let (_, reply, _) = peer.asked();
        peer.answer(&reply, "");
    });
    let client = Client::connect(&url, quick()).expect("connected");
    let messages = client.queue_subscribe("a", "g").expect("subscribed");
    await_event(&client, |event| matches!(event, Event::Disconnected(_)));
    thread::scope(|scope| {
        scope.spawn(|| messages.drain(PATIENCE).expect("drained"));
        while !messages.is_leaving() {
            thread::yield_now();
        }
        gone.send(()).expect("it waits");
    });
    client.request("b", "", None).expect("answered");
    server.join().expect("no complaint");
}

#[test]
fn who_flushes_a_lot_keeps_the_connection() {
    let (client, server) = {
        let (listener, url) = Listener::new();
        let server = thread::spawn(move || {
            let mut peer = listener.accept();
            peer.greet();
            // Slow enough for several to be asked at a time.
            while peer.hear() == "PING" {
                thread::sleep(Duration::from_millis(1));
                peer.say("PONG\r\n");
            }
        });
        let options = Options {
            ping_interval: Duration::from_millis(200),
            ..quick()
        };
        (Client::connect(&url, options).expect("connected"), server)
    };
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..100 {
                    client.flush(PATIENCE).expect("flushed");
                }
            });
        }
    });
    drop(client);
    server.join().expect("no complaint");
}

#[test]
fn a_crowd_of_threads_publishes_and_nothing_is_lost() {
    const EACH: usize = 5000;
    let (client, server) = client(|peer| {
        let mut counts = [0; 4];
        for _ in 0..4 * EACH {
            let line = peer.hear();
            assert_eq!(line, "PUB a 100");
            let body = peer.hear();
            let (thread, number) = body.trim_end().split_once(' ').expect("two numbers");
            let count: &mut usize = &mut counts[thread.parse::<usize>().expect("a thread")];
            assert_eq!(number.parse(), Ok(*count), "each thread's are in order");
            *count += 1;
        }
        assert_eq!(peer.hear(), "PING");
        peer.say("PONG\r\n");
    });
    thread::scope(|scope| {
        for thread in 0..4 {
            let client = client.clone();
            scope.spawn(move || {
                for number in 0..EACH {
                    let body = format!("{:100}", format!("{thread} {number}"));
                    client.publish("a", &body).expect("published");
                }
            });
        }
    });
    client.flush(PATIENCE).expect("all are there");
    server.join().expect("no complaint");
}
