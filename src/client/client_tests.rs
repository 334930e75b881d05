//! The client against a server that says what a test tells it to.

use crate::fake_server::{INFO, Peer, client, options, serve};
use crate::{Client, Error, Event, Options};
use std::io::BufRead;
use std::net::TcpListener;
use std::time::Duration;

#[track_caller]
fn refusal(told: impl FnOnce(&mut Peer) + Send + 'static) -> String {
    let (url, thread) = serve(told);
    let error = Client::connect(&url, options()).expect_err("refused");
    thread.join().expect("the server has no complaint");
    error.to_string()
}

#[test]
fn a_request_is_answered() {
    let (client, thread) = client(|peer| {
        for number in 1..=2 {
            let (subject, reply, body) = peer.asked();
            assert_eq!((subject.as_str(), body.as_str()), ("greet", "joe"));
            assert!(reply.ends_with(&format!(".{number}")), "{reply}");
            peer.answer(&reply, "hello");
        }
    });
    for _ in 0..2 {
        let answer = client.request("greet", b"joe", None).expect("answered");
        assert_eq!(answer.payload(), b"hello");
        assert_eq!(answer.headers().status(), b"");
    }
    thread.join().expect("no complaint");
}

#[test]
fn a_client_says_who_it_is() {
    for (before, user, pass, wanted) in [
        ("", None, None, None),
        (
            "",
            Some("a\"b"),
            Some("c"),
            Some(r#""user":"a\"b","pass":"c"}"#),
        ),
        ("", Some("t"), None, Some(r#""auth_token":"t"}"#)),
        (
            "u:p@",
            Some("a"),
            Some("b"),
            Some(r#""user":"u","pass":"p"}"#),
        ),
    ] {
        let (url, thread) = serve(move |peer| {
            let connect = peer.greet();
            assert!(
                connect.starts_with("CONNECT {\"verbose\":false,"),
                "{connect}"
            );
            assert!(connect.contains(r#""name":"tester""#), "{connect}");
            match wanted {
                Some(end) => assert!(connect.ends_with(end), "{connect}"),
                None => assert!(!connect.contains("user"), "{connect}"),
            }
        });
        let options = Options {
            name: "tester".into(),
            user: user.map(str::to_owned),
            pass: pass.map(str::to_owned),
            ..options()
        };
        let url = url.replace("nats://", &format!("nats://{before}"));
        Client::connect(&url, options).expect("connected");
        thread.join().expect("no complaint");
    }
}

#[test]
fn pings_are_answered_while_it_waits() {
    let (client, thread) = client(|peer| {
        let (_, reply, _) = peer.asked();
        peer.say("PING\r\nINFO {}\r\n+OK\r\n");
        assert_eq!(peer.hear(), "PONG");
        peer.answer(&reply, "still here");
    });
    let answer = client.request("a", b"", None).expect("answered");
    assert_eq!(answer.payload(), b"still here");
    thread.join().expect("no complaint");
}

#[test]
fn an_answer_may_come_byte_by_byte() {
    let (client, thread) = client(|peer| {
        let (_, reply, _) = peer.asked();
        let frame = format!("PING\r\nHMSG {reply} 1 back 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n");
        for byte in frame.as_bytes() {
            peer.say([*byte]);
        }
        assert_eq!(peer.hear(), "PONG");
    });
    let answer = client.request("a", b"", None).expect("answered");
    assert_eq!(answer.payload(), b"hi");
    assert_eq!(answer.headers().get(b"A"), Some(&b"b"[..]));
    assert_eq!(answer.reply(), "back");
    thread.join().expect("no complaint");
}

#[test]
fn a_large_answer_comes_whole() {
    let body = "x".repeat(3_000_000);
    let wanted = body.clone();
    let (client, thread) = client(move |peer| {
        let (_, reply, _) = peer.asked();
        peer.answer(&reply, &body);
    });
    let answer = client.request("a", b"", None).expect("answered");
    assert!(answer.payload() == wanted.as_bytes());
    thread.join().expect("no complaint");
}

#[test]
fn an_error_of_the_server_is_an_event() {
    let (client, thread) = client(|peer| {
        let (_, reply, _) = peer.asked();
        peer.say("-ERR 'Permissions Violation for Publish to \"b\"'\r\n");
        peer.answer(&reply, "all the same");
    });
    let events = client.events();
    let answer = client.request("a", b"", None).expect("answered");
    assert_eq!(answer.payload(), b"all the same");
    let wanted = Event::ServerError("Permissions Violation for Publish to \"b\"".into());
    assert!(events.take(2).any(|event| event == wanted));
    thread.join().expect("no complaint");
}

#[test]
fn nobody_listening_is_said_at_once_and_harms_nothing() {
    let (client, thread) = client(|peer| {
        let (subject, reply, _) = peer.asked();
        let block = format!("NATS/1.0 503\r\nNats-Subject: {subject}\r\n\r\n");
        let size = block.len();
        peer.say(format!("HMSG {reply} 1 {size} {size}\r\n{block}\r\n"));
        let (_, reply, _) = peer.asked();
        peer.answer(&reply, "here");
    });
    let error = client.request("a", b"", None).expect_err("nobody");
    assert!(
        error.to_string().starts_with("nobody listens to a;"),
        "{error}"
    );
    let answer = client.request("b", b"", None).expect("answered");
    assert_eq!(answer.payload(), b"here");
    thread.join().expect("no complaint");
}

#[test]
fn waiting_ends_and_a_late_answer_is_nobody_elses() {
    let (client, thread) = client(|peer| {
        let (_, first, _) = peer.asked();
        // What dribbles in does not lengthen the wait.
        let (_, second, _) = loop {
            peer.say("+OK\r\n");
            peer.0.get_mut().set_nonblocking(true).expect("a socket");
            let is_silent = peer.0.fill_buf().is_err();
            peer.0.get_mut().set_nonblocking(false).expect("a socket");
            if !is_silent {
                break peer.asked();
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        peer.answer(&first, "late");
        peer.answer(&second, "in time");
    });
    let wait = Duration::from_millis(100);
    let error = client.request("a", b"", Some(wait)).expect_err("silence");
    assert!(matches!(error, Error::Timeout), "{error}");
    let answer = client.request("b", b"", None).expect("answered");
    assert_eq!(answer.payload(), b"in time");
    thread.join().expect("no complaint");
}

#[test]
fn a_closed_connection_is_said() {
    let (client, thread) = client(|peer| {
        peer.asked();
        peer.say("MSG half of");
    });
    let error = client.request("a", b"", None).expect_err("closed");
    assert!(matches!(error, Error::Lost), "{error}");
    thread.join().expect("no complaint");
}

#[test]
fn a_server_may_refuse_the_connection() {
    let said = refusal(|peer| {
        peer.say(INFO);
        peer.hear();
        peer.say("-ERR 'Authorization Violation'\r\n");
    });
    assert!(
        said.ends_with(" refuses: Authorization Violation"),
        "{said}"
    );
}

#[test]
#[cfg(not(feature = "tls"))]
fn tls_that_is_not_built_in_is_said() {
    let said = refusal(|peer| peer.say("INFO {\"tls_required\":true}\r\n"));
    assert!(said.starts_with("no safe connection: "), "{said}");
}

#[test]
#[cfg(feature = "tls")]
fn tls_that_the_server_does_not_have_is_said() {
    let (url, thread) = serve(|peer| peer.say(INFO));
    let url = url.replace("nats://", "tls://");
    let error = Client::connect(&url, options()).expect_err("not safe");
    let said = error.to_string();
    assert!(said.contains("the server offers none"), "{said}");
    thread.join().expect("no complaint");
}

#[test]
fn what_is_no_server_is_told_from_one() {
    for words in ["HTTP/1.0 400 Bad Request\r\n", "PING\r\nPONG\r\n"] {
        let said = refusal(move |peer| peer.say(words));
        assert!(said.contains("not a NATS server"), "{words}: {said}");
    }
    let said = refusal(|peer| peer.say("SSH-2.0-x"));
    assert!(said.contains("closed the connection"), "{said}");
}

#[test]
fn where_nobody_is_nobody_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    drop(listener);
    let error = Client::connect(&address, options()).expect_err("nobody");
    let said = error.to_string();
    assert!(said.starts_with("cannot connect: "), "{said}");
    // A server that takes the connection and stays silent.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let options = Options {
        timeout: Duration::from_millis(50),
        ..Options::default()
    };
    let error = Client::connect(&address, options).expect_err("silence");
    assert!(matches!(error, Error::Timeout), "{error}");
}

#[test]
fn only_subjects_can_be_published_to() {
    let (client, thread) = client(|peer| {
        assert_eq!(peer.hear(), "PUB a.b 2");
        assert_eq!(peer.hear(), "hi");
        let (_, reply, _) = peer.asked();
        peer.answer(&reply, "heard");
    });
    for subject in ["", "a b", "a.*", ">", "a..b", "a\r\nPUB b 0", "a\tb"] {
        let error = client.request(subject, b"", None).expect_err(subject);
        assert!(matches!(error, Error::Subject(_)), "{subject:?}: {error}");
        assert!(client.publish(subject, b"").is_err(), "{subject:?}");
    }
    client.publish("a.b", b"hi").expect("published");
    assert!(client.request("c", b"", None).is_ok());
    thread.join().expect("no complaint");
}
