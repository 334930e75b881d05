//! Acks that reach a server which was killed before it had stored that it had
//! delivered their messages. Clients keep acks while they look for the server.

use crate::stream_util::{Dir, End};

/// Streams by how they let go of messages.
const RETENTIONS: [&str; 3] = [
    "\"retention\":\"limits\"",
    "\"retention\":\"workqueue\"",
    "\"retention\":\"interest\"",
];

#[test]
fn an_ack_of_a_forgotten_delivery_holds_once_it_is_confirmed() {
    for retention in RETENTIONS {
        let dir = Dir::new();
        let server = dir.serve();
        let mut client = server.client();
        client.make_stream("S", "s", retention);
        client.make_durable("S", "d", "");
        for number in 1..=5 {
            client.store("s", format!("m{number}"));
        }
        client.listen_for_pulls();
        client.pull("S", "d", "4");
        let got: Vec<_> = (0..4).map(|_| client.message()).collect();
        // Sooner than the cursor is stored, as nobody waits for it.
        End::Killed.bring(server);

        let server = dir.serve();
        let mut client = server.client();
        client.confirm(got[1].ack(), "");
        client.confirm(got[1].ack(), "+ACK");
        client.confirm(got[3].ack(), "+TERM broken");
        // It is delivered again whatever is said.
        client.confirm(got[2].ack(), "-NAK");
        End::Killed.bring(server);

        let server = dir.serve();
        let mut client = server.client();
        let again: Vec<String> = std::iter::from_fn(|| client.next_now("S", "d"))
            .map(|message| message.text())
            .collect();
        assert_eq!(again, ["m1", "m3", "m5"], "{retention}");
        let info = client.api("CONSUMER.INFO.S.d", "");
        assert_eq!(info["num_pending"], 0, "{retention}: {info}");
        assert_eq!(info["num_ack_pending"], 3, "{retention}: {info}");
        let kept = if retention.contains("limits") { 5 } else { 3 };
        assert_eq!(client.state("S")["messages"], kept, "{retention}");
    }
}

#[test]
fn an_ack_that_was_kept_asks_for_the_next_message() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s", "");
    client.make_durable("S", "d", "");
    for number in 1..=3 {
        client.store("s", format!("m{number}"));
    }
    let first = client.next("S", "d");
    End::Killed.bring(server);
    let server = dir.serve();
    let mut client = server.client();
    assert_eq!(client.ask(first.ack(), "+NXT").text(), "m2");
}

#[test]
fn an_ack_for_all_of_forgotten_deliveries_is_not_confirmed() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s", "");
    client.api(
        "CONSUMER.CREATE.S.d",
        r#"{"stream_name":"S","config":{"durable_name":"d","ack_policy":"all"}}"#,
    );
    for number in 1..=3 {
        client.store("s", format!("m{number}"));
    }
    client.next("S", "d");
    let second = client.next("S", "d");
    End::Killed.bring(server);
    let server = dir.serve();
    let mut client = server.client();
    client.send("SUB answers 1\r\n");
    client.publish(second.ack(), Some("answers"), "", "");
    client.sync();
    let first = server.client().next("S", "d").text();
    // Which messages were delivered with it is not known any more; unless, on a slow machine, the
    // cursor was stored after all.
    match first.as_str() {
        // An answer would come before that of anything stored later.
        "m1" => assert_eq!(client.store("s", "m4"), 4),
        _ => assert_eq!(first, "m3"),
    }
}
