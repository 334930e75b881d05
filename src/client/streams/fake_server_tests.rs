//! Streams of a server that says what a test tells it to: what real ones say
//! too seldom to be waited for.

use super::kv::{Update, WatchOptions};
use super::{End, Failure, FetchOptions, Ordered, OrderedOptions, PublisherOptions, PullOptions};
use crate::fake_server::{PATIENCE, Peer, client};
use crate::{Client, Error, Headers, Publish};
use std::io::Read;
use std::thread;
use std::time::Duration;

const NEXT: &str = "$JS.API.CONSUMER.MSG.NEXT.S.c";
const INFO: &str = "$JS.API.CONSUMER.INFO.S.c";
const NOT_FOUND: &str =
    r#"{"error":{"code":404,"err_code":10014,"description":"consumer not found"}}"#;

/// A message that the client has published.
struct Heard {
    subject: String,
    reply: String,
    body: String,
}

impl Peer {
    /// The next message of the client; answers pings on the way.
    fn heard(&mut self) -> Heard {
        loop {
            let line = self.hear();
            let words: Vec<&str> = line.split(' ').collect();
            let size: usize = match (words[0], words.len()) {
                ("PUB", 3..) | ("HPUB", 4..) => words[words.len() - 1].parse().expect("a size"),
                ("PING", _) => {
                    self.say("PONG\r\n");
                    continue;
                }
                ("SUB" | "UNSUB", _) => continue,
                _ => panic!("{line}"),
            };
            let mut body = vec![0; size + 2];
            self.0.read_exact(&mut body).expect("the body");
            return Heard {
                subject: words[1].into(),
                reply: words[2].into(),
                body: String::from_utf8_lossy(&body).trim_end().into(),
            };
        }
    }

    /// The same, which has to be for this subject.
    #[track_caller]
    fn asked_for(&mut self, subject: &str) -> Heard {
        let heard = self.heard();
        assert_eq!(heard.subject, subject, "{}", heard.body);
        heard
    }

    /// Sends a status: its words, and headers with a line end before each.
    fn status(&mut self, to: &str, sid: u64, words: &str) {
        let block = format!("NATS/1.0 {words}\r\n\r\n");
        let size = block.len();
        self.say(format!("HMSG {to} {sid} {size} {size}\r\n{block}\r\n"));
    }

    /// Delivers a message of a consumer.
    fn deliver(&mut self, sid: u64, seqs: (u64, u64), pending: u64) {
        let (stream_seq, consumer_seq) = seqs;
        let ack =
            format!("$JS.ACK.S.c.1.{stream_seq}.{consumer_seq}.1700000000000000000.{pending}");
        self.say(format!("MSG s.a {sid} {ack} 1\r\nx\r\n"));
    }
}

fn batch(request: &Heard) -> u64 {
    let json = midge_api::json::parse(&request.body).expect("JSON");
    json["batch"].as_u64().expect("a number")
}

fn quick() -> PullOptions {
    PullOptions {
        batch: 10,
        expires: Duration::from_secs(10),
        heartbeat: Duration::from_millis(50),
        threshold: None,
    }
}

fn patient() -> PullOptions {
    PullOptions {
        heartbeat: PATIENCE,
        expires: 2 * PATIENCE,
        ..quick()
    }
}

/// The first subscription of a client that has asked nothing before.
const SID: u64 = 2;

#[test]
fn after_two_heartbeats_that_do_not_come_it_is_asked_again() {
    let (client, thread) = client(|peer| {
        let first = peer.asked_for(NEXT);
        assert_eq!(batch(&first), 10);
        assert!(
            first.body.contains("\"idle_heartbeat\":50000000"),
            "{}",
            first.body
        );
        peer.status(&first.reply, SID, "100 Idle Heartbeat");
        let info = peer.asked_for(INFO);
        peer.answer(&info.reply, r#"{"name":"c","config":{}}"#);
        let again = peer.asked_for(NEXT);
        assert_eq!((batch(&again), &again.reply), (10, &first.reply));
        peer.deliver(SID, (1, 1), 0);
        let info = peer.asked_for(INFO);
        peer.answer(&info.reply, NOT_FOUND);
    });
    let consumer = client.streams().consumer("S", "c").unwrap();
    let mut messages = consumer.messages(quick()).unwrap();
    assert_eq!(messages.next_timeout(PATIENCE).unwrap().payload(), b"x");
    let error = messages.next().unwrap().unwrap_err();
    assert!(
        matches!(&error, Error::Api(error) if error.err_code == 10014),
        "{error}"
    );
    assert!(messages.next().is_none());
    thread.join().unwrap();
}

#[test]
fn statuses_that_pass_are_lived_through() {
    let (client, thread) = client(|peer| {
        for status in [
            "409 Leadership Change\r\nNats-Pending-Messages: 10",
            "409 Server Shutdown\r\nNats-Pending-Messages: 10",
            "503",
        ] {
            let request = peer.asked_for(NEXT);
            assert_eq!(batch(&request), 10);
            peer.status(&request.reply, SID, status);
            if status == "503" {
                let info = peer.asked_for(INFO);
                peer.answer(&info.reply, r#"{"name":"c","config":{}}"#);
            }
        }
        let request = peer.asked_for(NEXT);
        for seq in 1..=4 {
            peer.deliver(SID, (seq, seq), 0);
        }
        // Six of ten were still to come, and do not.
        peer.status(
            &request.reply,
            SID,
            "408 Request Timeout\r\nNats-Pending-Messages: 6",
        );
        let request = peer.asked_for(NEXT);
        assert_eq!(batch(&request), 10);
        peer.status(&request.reply, SID, "409 Exceeded MaxRequestBatch of 5");
    });
    let consumer = client.streams().consumer("S", "c").unwrap();
    let mut messages = consumer.messages(patient()).unwrap();
    for seq in 1..=4 {
        let message = messages.next_timeout(PATIENCE).unwrap();
        assert_eq!(message.metadata().stream_seq, seq);
    }
    let error = messages.next_timeout(PATIENCE).unwrap_err();
    assert!(matches!(error, Error::Status { code: 409, .. }), "{error}");
    thread.join().unwrap();
}

#[test]
fn more_is_asked_for_at_the_threshold() {
    let (client, thread) = client(|peer| {
        assert_eq!(batch(&peer.asked_for(NEXT)), 10);
        for seq in 1..=5 {
            peer.deliver(SID, (seq, seq), 9);
        }
        let more = peer.asked_for(NEXT);
        assert_eq!(batch(&more), 5);
        for seq in 6..=10 {
            peer.deliver(SID, (seq, seq), 9);
        }
        assert_eq!(batch(&peer.asked_for(NEXT)), 5);
    });
    let consumer = client.streams().consumer("S", "c").unwrap();
    let mut messages = consumer.messages(patient()).unwrap();
    for _ in 0..10 {
        messages.next_timeout(PATIENCE).unwrap();
    }
    let short = messages.next_timeout(Duration::from_millis(1));
    assert!(matches!(short, Err(Error::Timeout)));
    thread.join().unwrap();
}

#[test]
fn a_fetch_passes_over_heartbeats_and_ends_as_it_is_told() {
    let (client, thread) = client(|peer| {
        let request = peer.asked_for(NEXT);
        peer.status(&request.reply, SID, "100 Idle Heartbeat");
        peer.deliver(SID, (1, 1), 0);
        peer.status(&request.reply, SID, "409 Message Size Exceeds MaxBytes");
        let request = peer.asked_for(NEXT);
        peer.say(format!("MSG {} 3 4\r\nwhat\r\n", request.reply));
    });
    let consumer = client.streams().consumer("S", "c").unwrap();
    let mut fetch = consumer.fetch(FetchOptions::default()).unwrap();
    assert!(fetch.next().unwrap().is_ok());
    assert!(fetch.next().is_none());
    assert_eq!(fetch.end(), Some(End::Bytes));
    let mut fetch = consumer.fetch(FetchOptions::default()).unwrap();
    assert!(matches!(fetch.next(), Some(Err(Error::Protocol(_)))));
    assert!(fetch.next().is_none());
    thread.join().unwrap();
}

/// A consumer is made for an ordered reader; its name and request.
fn begun(peer: &mut Peer, pending: u64) -> (Heard, Heard) {
    let create = peer.heard();
    assert!(
        create.subject.starts_with("$JS.API.CONSUMER.CREATE.S."),
        "{}",
        create.subject
    );
    peer.answer(
        &create.reply,
        &format!(r#"{{"name":"x","config":{{}},"num_pending":{pending}}}"#),
    );
    let request = peer.heard();
    assert!(
        request.subject.starts_with("$JS.API.CONSUMER.MSG.NEXT.S."),
        "{}",
        request.subject
    );
    (create, request)
}

fn ordered(client: &Client) -> Ordered {
    let options = OrderedOptions {
        pull: patient(),
        ..OrderedOptions::default()
    };
    client.streams().ordered("S", options).unwrap()
}

#[test]
fn a_gap_makes_an_ordered_reader_begin_behind_the_last_message() {
    let (client, thread) = client(|peer| {
        let (create, _) = begun(peer, 9);
        assert!(
            create.body.contains(r#""deliver_policy":"all""#),
            "{}",
            create.body
        );
        assert!(
            create.body.contains(r#""ack_policy":"none""#),
            "{}",
            create.body
        );
        peer.deliver(SID, (3, 1), 8);
        peer.deliver(SID, (7, 3), 6);
        let delete = peer.heard();
        assert!(delete.subject.starts_with("$JS.API.CONSUMER.DELETE.S."));
        let (create, request) = begun(peer, 8);
        assert!(
            create.body.contains(r#""opt_start_seq":4"#),
            "{}",
            create.body
        );
        peer.deliver(SID + 1, (5, 1), 7);
        // The last one is lost, and only a heartbeat knows.
        let beat = "100 Idle Heartbeat\r\nNats-Last-Consumer: 2\r\nNats-Last-Stream: 6";
        peer.status(&request.reply, SID + 1, beat);
        peer.heard();
        let (create, _) = begun(peer, 7);
        assert!(
            create.body.contains(r#""opt_start_seq":6"#),
            "{}",
            create.body
        );
        peer.deliver(SID + 2, (6, 1), 0);
    });
    let mut ordered = ordered(&client);
    assert_eq!(ordered.initial(), 9);
    for seq in [3, 5, 6] {
        let message = ordered.next_timeout(PATIENCE).unwrap();
        assert_eq!(message.metadata().stream_seq, seq);
    }
    assert_eq!(ordered.pending(), 0);
    thread.join().unwrap();
}

#[test]
fn a_watch_of_a_client_that_was_closed_says_so_and_ends() {
    let (client, thread) = client(|peer| {
        let info = peer.asked_for("$JS.API.STREAM.INFO.KV_lamps");
        peer.answer(&info.reply, r#"{"config":{"name":"KV_lamps"},"state":{}}"#);
        let create = peer.heard();
        peer.answer(&create.reply, r#"{"name":"x","config":{},"num_pending":0}"#);
    });
    let lamps = client.streams().bucket("lamps").unwrap();
    let mut watch = lamps.watch(">", WatchOptions::default()).unwrap();
    assert!(matches!(watch.next(), Some(Ok(Update::Current))));
    client.close();
    assert!(matches!(watch.next(), Some(Err(Error::Closed))));
    assert!(watch.next().is_none());
    thread.join().unwrap();
}

#[test]
fn who_only_looks_is_told_of_the_end_as_well() {
    let (client, thread) = client(|peer| {
        let request = peer.asked_for(NEXT);
        peer.deliver(SID, (1, 1), 0);
        peer.status(&request.reply, SID, "409 Consumer Deleted");
    });
    let consumer = client.streams().consumer("S", "c").unwrap();
    let mut messages = consumer.messages(patient()).unwrap();
    let mut came = 0;
    let error = loop {
        match messages.try_next() {
            Ok(message) => came += usize::from(message.is_some()),
            Err(error) => break error,
        }
        thread::yield_now();
    };
    assert_eq!(came, 1);
    assert!(!matches!(error, Error::Closed), "{error}");
    assert!(messages.next().is_none());
    thread.join().unwrap();
}

#[test]
fn a_message_with_an_id_is_sent_again_and_others_are_not() {
    let (client, thread) = client(|peer| {
        let first = peer.asked_for("s.a");
        let plain = peer.asked_for("s.b");
        assert_ne!(first.reply, plain.reply);
        // It waits a while for a server that is not ready.
        peer.status(&first.reply, SID, "503");
        let again = peer.asked_for("s.a");
        assert_eq!((&again.reply, &again.body), (&first.reply, &first.body));
        let last = peer.asked_for("s.a");
        assert_eq!(last.reply, first.reply);
        let ack = r#"{"stream":"S","seq":7,"duplicate": true}"#;
        peer.say(format!(
            "MSG {} {SID} {}\r\n{ack}\r\n",
            last.reply,
            ack.len()
        ));
    });
    let options = PublisherOptions {
        window_max: 4,
        timeout: Some(Duration::from_millis(400)),
        retries: 2,
    };
    let publisher = client.streams().publisher(options).unwrap();
    let headers = Headers::new().message_id("1");
    let message = Publish::new("s.a", "x").headers(&headers);
    let pending = publisher.publish(&message).unwrap();
    publisher.publish(&Publish::new("s.b", "y")).unwrap();
    let ack = pending.wait().unwrap();
    assert!(ack.is_duplicate && ack.seq == 7);
    match publisher.flush(PATIENCE) {
        Err(Error::Unstored(failures)) => {
            let [
                Failure {
                    number,
                    subject,
                    error,
                    ..
                },
            ] = failures.as_slice()
            else {
                panic!("{failures:?}");
            };
            assert_eq!((*number, subject.as_str()), (2, "s.b"));
            assert!(matches!(error, Error::Timeout), "{error}");
        }
        other => panic!("{other:?}"),
    }
    thread.join().unwrap();
}

#[test]
fn answers_that_are_none_are_errors() {
    let (client, thread) = client(|peer| {
        for answer in [
            "",
            "what",
            r#"{"config":7}"#,
            r#"{"config":{"max_msgs":"many"}}"#,
            "[]",
        ] {
            let (_, reply, _) = peer.asked();
            peer.answer(&reply, answer);
        }
    });
    let streams = client.streams();
    for _ in 0..4 {
        let error = streams.stream_info("S").unwrap_err();
        assert!(
            matches!(error, Error::Protocol(_) | Error::Api(_)),
            "{error}"
        );
    }
    let error = streams.publish(&Publish::new("s.a", "")).unwrap_err();
    assert!(matches!(error, Error::Protocol(_)), "{error}");
    thread.join().unwrap();
}
