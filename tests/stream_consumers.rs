//! Consumers as a client meets them: pulling, pushing, acknowledging.

use crate::stream_util::{Dir, Message};
use crate::util::{Client, Server};

/// A server with a stream S on subjects s.>, which holds so many messages.
fn with_messages(dir: &Dir, count: u64) -> (Server, Client) {
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s.>", "");
    for seq in 1..=count {
        client.store("s.a", format!("m{seq}"));
    }
    (server, client)
}

fn bodies(messages: &[Message]) -> Vec<String> {
    messages.iter().map(Message::text).collect()
}

#[test]
fn a_message_is_pulled_and_acknowledged() {
    let dir = Dir::new();
    let (_server, mut client) = with_messages(&dir, 2);
    client.make_durable("S", "d", "");
    client.send("SUB _P 1\r\nPUB $JS.API.CONSUMER.MSG.NEXT.S.d _P 1\r\n1\r\n");
    let message = client.message();
    assert_eq!(
        (message.subject.as_str(), message.text().as_str()),
        ("s.a", "m1")
    );
    assert!(
        message.ack().starts_with("$JS.ACK.S.d.1.1.1."),
        "{message:?}"
    );
    assert_eq!(message.told(), (1, 1, 1, 1));
    // The answer to an ack that asks for one is empty.
    client.send(format!(
        "SUB _C 2\r\nPUB {} _C 4\r\n+ACK\r\n",
        message.ack()
    ));
    client.expect("MSG _C 2 0\r\n\r\n");
    let info = client.api("CONSUMER.INFO.S.d", "");
    assert_eq!(info["ack_floor"]["stream_seq"], 1);
    assert_eq!(info["num_ack_pending"], 0);
    assert_eq!(client.next("S", "d").text(), "m2");
    assert_eq!(client.next_now("S", "d"), None);
}

/// As a server in a domain would have it.
#[test]
fn an_ack_in_its_long_form_is_taken() {
    let dir = Dir::new();
    let (_server, mut client) = with_messages(&dir, 1);
    client.make_durable("S", "d", "");
    let ack = client.next("S", "d").ack().to_owned();
    for more in ["", ".token"] {
        let long = ack.replace("$JS.ACK.", "$JS.ACK.hub.hash.") + more;
        client.confirm(&long, "+ACK");
    }
    let info = client.api("CONSUMER.INFO.S.d", "");
    assert_eq!(info["ack_floor"]["stream_seq"], 1);
}

#[test]
fn what_is_not_acknowledged_in_time_comes_again() {
    let dir = Dir::new();
    let (_server, mut client) = with_messages(&dir, 1);
    client.make_durable("S", "d", "\"ack_wait\":100000000");
    assert_eq!(client.next("S", "d").told(), (1, 1, 1, 0));
    let again = client.next("S", "d");
    assert_eq!((again.text().as_str(), again.told()), ("m1", (2, 1, 2, 0)));
    client.confirm(again.ack(), "");
    assert_eq!(client.next_now("S", "d"), None);
}

#[test]
fn a_message_that_is_refused_comes_again_at_once() {
    let dir = Dir::new();
    let (_server, mut client) = with_messages(&dir, 2);
    client.make_durable("S", "d", "");
    let first = client.next("S", "d");
    client.confirm(first.ack(), "-NAK");
    assert_eq!(client.next("S", "d").told(), (2, 1, 2, 1));
    assert_eq!(client.next("S", "d").told(), (1, 2, 3, 0));
}

#[test]
fn a_refused_message_may_be_asked_to_wait() {
    let dir = Dir::new();
    let (_server, mut client) = with_messages(&dir, 2);
    client.make_durable("S", "d", "");
    let first = client.next("S", "d");
    client.confirm(first.ack(), "-NAK {\"delay\":200000000}");
    assert_eq!(client.next("S", "d").text(), "m2");
    assert_eq!(client.next("S", "d").told(), (2, 1, 3, 0));
}

#[test]
fn a_message_that_is_terminated_never_comes_again() {
    let dir = Dir::new();
    let (_server, mut client) = with_messages(&dir, 1);
    client.make_durable("S", "d", "\"ack_wait\":100000000");
    client.send("SUB $JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.S.d adv\r\n");
    let first = client.next("S", "d");
    client.publish(first.ack(), None, "", "+TERM it is broken");
    let advisory = client.message();
    assert_eq!(advisory.sid, "adv");
    assert_eq!(advisory.json()["reason"], "it is broken");
    assert_eq!(client.api("CONSUMER.INFO.S.d", "")["num_ack_pending"], 0);
    assert_eq!(client.next_now("S", "d"), None);
    assert_eq!(client.state("S")["messages"], 1);
}

#[test]
fn a_message_is_delivered_as_often_as_allowed_and_no_more() {
    let dir = Dir::new();
    let (_server, mut client) = with_messages(&dir, 1);
    client.make_durable("S", "d", "\"ack_wait\":50000000,\"max_deliver\":2");
    client.send("SUB $JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S.d adv\r\n");
    client.next("S", "d");
    client.next("S", "d");
    // Somebody has to wait for it, or it is not tried again.
    client.listen_for_pulls();
    client.pull("S", "d", "{\"batch\":1,\"expires\":15000000000}");
    let advisory = client.message();
    assert_eq!(advisory.sid, "adv");
    assert_eq!(advisory.json()["deliveries"], 2);
}

#[test]
fn work_in_progress_starts_the_clock_again() {
    let dir = Dir::new();
    let (_server, mut client) = with_messages(&dir, 1);
    client.make_durable("S", "d", "\"ack_wait\":2000000000");
    let first = client.next("S", "d");
    client.confirm(first.ack(), "+WPI");
    let info = client.api("CONSUMER.INFO.S.d", "");
    assert_eq!(info["num_ack_pending"], 1);
    client.confirm(first.ack(), "+ACK");
    assert_eq!(client.api("CONSUMER.INFO.S.d", "")["num_ack_pending"], 0);
}

#[test]
fn an_ack_can_ask_for_the_next_message() {
    let dir = Dir::new();
    let (_server, mut client) = with_messages(&dir, 2);
    client.make_durable("S", "d", "");
    let first = client.next("S", "d");
    let second = client.ask(first.ack(), "+NXT");
    assert_eq!(second.text(), "m2");
    let info = client.api("CONSUMER.INFO.S.d", "");
    assert_eq!(info["ack_floor"]["stream_seq"], 1);
}

#[test]
fn a_pull_that_finds_nothing_says_so_in_time() {
    let dir = Dir::new();
    let (_server, mut client) = with_messages(&dir, 1);
    client.make_durable("S", "d", "");
    client.listen_for_pulls();
    client.pull("S", "d", "{\"batch\":3,\"no_wait\":true}");
    assert_eq!(client.message().text(), "m1");
    client.expect("HMSG _P pull 28 28\r\nNATS/1.0 404 No Messages\r\n\r\n\r\n");
    client.pull("S", "d", "{\"batch\":3,\"expires\":100000000}");
    let late = client.message();
    assert_eq!(
        late.header,
        "NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 3\r\nNats-Pending-Bytes: 0\r\n\r\n"
    );
    // One that waits is served as soon as something comes.
    client.pull("S", "d", "{\"batch\":1,\"expires\":15000000000}");
    client.publish("s.b", None, "", "late");
    assert_eq!(client.message().text(), "late");
}

#[test]
fn a_consumer_sees_what_its_filter_means() {
    let dir = Dir::new();
    let (_server, mut client) = with_messages(&dir, 0);
    for subject in ["s.a", "s.b", "s.a", "s.c", "s.b"] {
        client.store(subject, subject);
    }
    client.make_durable("S", "d", "\"filter_subject\":\"s.b\"");
    assert_eq!(client.next("S", "d").told(), (1, 2, 1, 1));
    assert_eq!(client.next("S", "d").told(), (1, 5, 2, 0));
    assert_eq!(client.next_now("S", "d"), None);
}

#[test]
fn a_push_consumer_sends_while_somebody_listens() {
    let dir = Dir::new();
    let (server, mut client) = with_messages(&dir, 2);
    client.make_durable("S", "p", "\"deliver_subject\":\"to.me\"");
    // Nobody is there, so nothing is delivered.
    assert_eq!(
        client.api("CONSUMER.INFO.S.p", "")["delivered"]["consumer_seq"],
        0
    );
    client.send("SUB to.me 1\r\n");
    let got = [client.message(), client.message()];
    assert_eq!(bodies(&got), ["m1", "m2"]);
    assert_eq!(got[0].subject, "s.a");
    client.send("UNSUB 1\r\n");
    client.sync();
    let mut other = server.client();
    other.store("s.a", "m3");
    assert_eq!(other.api("CONSUMER.INFO.S.p", "")["num_pending"], 1);
    other.send("SUB to.me 9\r\n");
    assert_eq!(other.message().text(), "m3");
}

#[test]
fn a_deliver_group_shares_what_is_pushed() {
    let dir = Dir::new();
    let (server, mut client) = with_messages(&dir, 0);
    client.make_durable(
        "S",
        "g",
        "\"deliver_subject\":\"to.us\",\"deliver_group\":\"crew\"",
    );
    // One that is not of the group does not set it going.
    client.send("SUB to.us 1\r\n");
    client.store("s.a", "first");
    assert_eq!(client.api("CONSUMER.INFO.S.g", "")["num_pending"], 1);
    client.send("UNSUB 1\r\n");
    client.sync();
    let (mut a, mut b) = (server.client(), server.client());
    a.send("SUB to.us crew 2\r\n");
    b.send("SUB to.us crew 3\r\n");
    let early = a.sync() + &b.sync();
    for number in 0..60 {
        client.publish("s.a", None, "", format!("m{number}"));
    }
    client.sync();
    // Acks make room, and the confirmation says that nothing is on its way.
    while client.api("CONSUMER.INFO.S.g", "")["num_pending"] != 0 {}
    let (heard_a, heard_b) = (a.sync(), b.sync());
    let count = |text: &str| text.matches("$JS.ACK.S.g.").count();
    assert_eq!(count(&early) + count(&heard_a) + count(&heard_b), 61);
    assert!(count(&heard_a) > 0 && count(&heard_b) > 0);
    assert_eq!(client.sync(), "");
}

#[test]
fn no_more_is_delivered_than_may_be_unacknowledged() {
    let dir = Dir::new();
    let (_server, mut client) = with_messages(&dir, 5);
    client.make_durable("S", "d", "\"max_ack_pending\":2");
    client.listen_for_pulls();
    client.pull("S", "d", "5");
    let first = client.message();
    assert_eq!(client.message().text(), "m2");
    assert_eq!(client.sync(), "");
    client.publish(first.ack(), None, "", "");
    assert_eq!(client.message().text(), "m3");
}

#[test]
fn a_work_queue_lets_go_of_what_is_done() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("W", "w.>", "\"retention\":\"workqueue\"");
    client.make_durable("W", "d", "");
    for number in 1..=3 {
        client.store("w.x", format!("m{number}"));
    }
    let first = client.next("W", "d");
    client.confirm(first.ack(), "");
    let state = client.state("W");
    assert_eq!(
        (&state["messages"], &state["first_seq"]),
        (&2.into(), &2.into())
    );
    // Only one consumer may have it all.
    let second =
        "{\"stream_name\":\"W\",\"config\":{\"durable_name\":\"e\",\"ack_policy\":\"explicit\"}}";
    assert_eq!(client.api_error("CONSUMER.CREATE.W.e", second), 10099);
    for _ in 0..2 {
        let message = client.next("W", "d");
        client.confirm(message.ack(), "");
    }
    let state = client.state("W");
    assert_eq!(
        (&state["messages"], &state["last_seq"]),
        (&0.into(), &3.into())
    );
}

#[test]
fn an_interest_stream_keeps_what_a_consumer_still_wants() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("I", "i.>", "\"retention\":\"interest\"");
    assert_eq!(client.store("i.x", "nobody wants it"), 1);
    assert_eq!(client.state("I")["messages"], 0);
    client.make_durable("I", "a", "");
    client.make_durable("I", "b", "");
    assert_eq!(client.store("i.x", "both"), 2);
    for consumer in ["a", "b"] {
        assert_eq!(client.state("I")["messages"], 1);
        let message = client.next("I", consumer);
        assert_eq!(message.sequence(), 2);
        client.confirm(message.ack(), "");
    }
    assert_eq!(client.state("I")["messages"], 0);
}

#[test]
fn who_waits_is_told_when_the_consumer_goes() {
    let dir = Dir::new();
    let (server, mut client) = with_messages(&dir, 0);
    client.make_durable("S", "d", "");
    client.listen_for_pulls();
    client.pull("S", "d", "{\"batch\":1,\"expires\":15000000000}");
    client.sync();
    let mut other = server.client();
    other.api("CONSUMER.DELETE.S.d", "");
    client.expect("HMSG _P pull 33 33\r\nNATS/1.0 409 Consumer Deleted\r\n\r\n\r\n");
    client.send("PUB $JS.API.CONSUMER.MSG.NEXT.S.d _P 0\r\n\r\n");
    assert!(client.message().header.starts_with("NATS/1.0 503\r\n"));
}

#[test]
fn who_waits_is_told_when_the_server_stops() {
    let dir = Dir::new();
    let (mut server, mut client) = with_messages(&dir, 0);
    client.make_durable("S", "d", "");
    client.listen_for_pulls();
    client.pull("S", "d", "{\"batch\":7,\"expires\":15000000000}");
    client.sync();
    server.signal("TERM");
    client.expect_end(
        "HMSG _P pull 81 81\r\nNATS/1.0 409 Server Shutdown\r\n\
         Nats-Pending-Messages: 7\r\nNats-Pending-Bytes: 0\r\n\r\n\r\n",
    );
    assert_eq!(server.wait().code(), Some(0));
}
