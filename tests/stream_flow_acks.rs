//! Consumers whose messages are acknowledged by answers to flow control
//! (`ack_policy: flow_control`), as with nats-server 2.14.0.

use crate::stream_util::{Dir, End, Message};
use crate::util::Client;
use serde_json::Value;

const POLICY: &str = "\"ack_policy\":\"flow_control\",\"deliver_subject\":\"d\"";

/// The next message, which may come after heartbeats.
#[track_caller]
fn next(receiver: &mut Client) -> Message {
    loop {
        let message = receiver.message();
        if !message.header.starts_with("NATS/1.0 100 Idle") {
            return message;
        }
    }
}

/// Messages, by their sequences, up to a question; and where its answer goes.
#[track_caller]
fn until_asked(receiver: &mut Client) -> (Vec<u64>, String) {
    let mut sequences = Vec::new();
    loop {
        let message = next(receiver);
        if message
            .header
            .starts_with("NATS/1.0 100 FlowControl Request")
        {
            let to = message.reply.expect("an answer goes somewhere");
            assert!(to.starts_with("$JS.FC.S.c."), "{to}");
            return (sequences, to);
        }
        sequences.push(message.sequence());
    }
}

fn answer(client: &mut Client, to: &str, headers: &str) {
    client.publish(to, None, headers, "");
}

/// Answers that all was processed up to a message.
fn acknowledge(client: &mut Client, to: &str, delivery: u64, seq: u64) {
    let headers = format!("Nats-Last-Consumer: {delivery}\r\nNats-Last-Stream: {seq}\r\n");
    answer(client, to, &headers);
}

fn receiver(server: &crate::util::Server) -> Client {
    let mut receiver = server.client();
    receiver.send("SUB d 1\r\nPING\r\n");
    receiver.expect("PONG\r\n");
    receiver
}

/// The floor, and messages that are out.
fn standing(client: &mut Client) -> (Value, Value) {
    let info = client.api("CONSUMER.INFO.S.c", "");
    (
        info["ack_floor"]["stream_seq"].clone(),
        info["num_ack_pending"].clone(),
    )
}

#[test]
fn answers_acknowledge_what_they_name() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s.>", "");
    for number in 1..=8 {
        client.store("s.x", format!("m{number}"));
    }
    let mut receiver = receiver(&server);
    client.make_durable("S", "c", &format!("{POLICY},\"max_ack_pending\":3"));
    // No more may be out: that is asked about at once.
    let (got, to) = until_asked(&mut receiver);
    assert_eq!(got, [1, 2, 3]);
    // Nobody takes acks of single messages.
    let status = client.ask("$JS.ACK.S.c.1.1.1.0.0", "");
    assert!(status.header.starts_with("NATS/1.0 503"), "{status:?}");
    answer(
        &mut receiver,
        "$JS.FC.S.c.77",
        "Nats-Last-Consumer: 3\r\nNats-Last-Stream: 3\r\n",
    );
    assert_eq!(standing(&mut client), (0.into(), 3.into()));
    acknowledge(&mut client, &to, 2, 2);
    let (got, to) = until_asked(&mut receiver);
    assert_eq!(got, [4, 5]);
    assert_eq!(standing(&mut client), (2.into(), 3.into()));
    // What it has not got it cannot have processed. It is asked again with a
    // heartbeat.
    answer(&mut client, &to, "Nats-Last-Stream: 5\r\n");
    let (got, to) = until_asked(&mut receiver);
    assert_eq!(got, [0; 0]);
    acknowledge(&mut client, &to, 9, 9);
    let (_, to) = until_asked(&mut receiver);
    assert_eq!(standing(&mut client), (2.into(), 3.into()));
    acknowledge(&mut client, &to, 5, 5);
    let (got, _) = until_asked(&mut receiver);
    assert_eq!(got, [6, 7, 8]);
    assert_eq!(standing(&mut client), (5.into(), 3.into()));
}

#[test]
fn what_is_acknowledged_by_flow_stays_so() {
    for end in End::BOTH {
        let dir = Dir::new();
        let server = dir.serve();
        let mut client = server.client();
        client.make_stream("S", "s.>", "\"retention\":\"workqueue\"");
        for number in 1..=4 {
            client.store("s.x", format!("m{number}"));
        }
        let mut listening = receiver(&server);
        client.make_durable("S", "c", POLICY);
        let (got, to) = until_asked(&mut listening);
        assert_eq!(got, [1, 2, 3, 4]);
        acknowledge(&mut client, &to, 3, 3);
        client.wait_messages("S", 1);
        // Stored after that, and in no earlier batch.
        client.store("s.x", "m5");
        end.bring(server);
        let server = dir.serve();
        let mut client = server.client();
        assert_eq!(client.state("S")["messages"], 2);
        assert_eq!(standing(&mut client).0, 3, "{end:?}");
        // What is out is never late: it comes again when it is asked for.
        client.api("CONSUMER.RESET.S.c", "");
        let mut listening = receiver(&server);
        let (got, to) = until_asked(&mut listening);
        assert_eq!(got, [4, 5]);
        acknowledge(&mut client, &to, 2, 5);
        client.wait_messages("S", 0);
    }
}

#[test]
fn a_consumer_that_is_sourcing_starts_over_when_it_is_asked_for_again() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s.>", "");
    for number in 1..=3 {
        client.store("s.x", format!("m{number}"));
    }
    let mut receiver = receiver(&server);
    let more = format!("{POLICY},\"sourcing\":true");
    client.make_durable("S", "c", &more);
    let (got, to) = until_asked(&mut receiver);
    assert_eq!(got, [1, 2, 3]);
    acknowledge(&mut client, &to, 1, 1);
    client.make_durable("S", "c", &more);
    let again = next(&mut receiver);
    assert_eq!((again.sequence(), again.told().2), (2, 1));
    let info = client.api("CONSUMER.INFO.S.c", "");
    assert_eq!(info["config"]["sourcing"], true);
    assert_eq!(info["config"]["idle_heartbeat"], 1_000_000_000);
    assert_eq!(info["config"]["flow_control"], true);
    assert!(info["config"]["ack_wait"].is_null());
}
