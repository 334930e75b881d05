//! What a server knows again after it was stopped, or killed.

use crate::stream_util::{Dir, End};
use midge_api::Timestamp;
use std::time::{Duration, SystemTime};

#[test]
fn messages_are_there_again() {
    for end in End::BOTH {
        let dir = Dir::new();
        let server = dir.serve();
        let mut client = server.client();
        client.make_stream("S", "s.>", "\"description\":\"kept\"");
        for number in 1..=200u64 {
            let headers = format!("Number: {number}\r\n");
            client.store_with(&format!("s.{}", number % 7), &headers, number.to_string());
        }
        let before = client.api("STREAM.INFO.S", "");
        end.bring(server);
        let server = dir.serve();
        let mut client = server.client();
        let after = client.api("STREAM.INFO.S", "");
        for part in ["config", "state", "created"] {
            assert_eq!(before[part], after[part], "{end:?}");
        }
        client.make_durable("S", "d", "");
        client.listen_for_pulls();
        client.pull("S", "d", "200");
        for number in 1..=200u64 {
            let message = client.message();
            assert_eq!(message.subject, format!("s.{}", number % 7));
            assert_eq!(
                message.header,
                format!("NATS/1.0\r\nNumber: {number}\r\n\r\n")
            );
            assert_eq!(
                (message.text(), message.sequence()),
                (number.to_string(), number)
            );
        }
        assert_eq!(client.store("s.0", "next"), 201, "{end:?}");
    }
}

#[test]
fn consumers_go_on_where_they_were() {
    for end in End::BOTH {
        let dir = Dir::new();
        let server = dir.serve();
        let mut client = server.client();
        client.make_stream("S", "s", "");
        for number in 1..=5 {
            client.store("s", format!("m{number}"));
        }
        client.make_durable("S", "d", "\"ack_wait\":500000000");
        let first = client.next("S", "d");
        client.next("S", "d");
        let third = client.next("S", "d");
        client.confirm(third.ack(), "");
        client.confirm(first.ack(), "");
        end.bring(server);
        let server = dir.serve();
        let mut client = server.client();
        let info = client.api("CONSUMER.INFO.S.d", "");
        assert_eq!(info["ack_floor"]["stream_seq"], 1, "{end:?}: {info}");
        assert_eq!(info["num_ack_pending"], 1, "{end:?}: {info}");
        assert_eq!(info["num_pending"], 2, "{end:?}: {info}");
        // What was confirmed never comes again; what was not comes, and it is
        // known how often it has come. Numbers of deliveries go on.
        let mut seen = Vec::new();
        for _ in 0..3 {
            let message = client.next("S", "d");
            let (deliveries, seq, number, _) = message.told();
            assert!(number > 3, "{end:?}: delivery {number} is a new one");
            seen.push((seq, deliveries));
            client.confirm(message.ack(), "");
        }
        seen.sort_unstable();
        assert_eq!(seen, [(2, 2), (4, 1), (5, 1)], "{end:?}");
        assert_eq!(client.next_now("S", "d"), None);
    }
}

/// One that begins with the last message of each subject goes on behind them,
/// also where the last of these has been deleted meanwhile.
#[test]
fn what_was_not_the_last_of_its_subject_does_not_come_after_a_restart() {
    for end in End::BOTH {
        let dir = Dir::new();
        let server = dir.serve();
        let mut client = server.client();
        client.make_stream("S", "s.>", "");
        for subject in ["s.a", "s.b", "s.b"] {
            client.store(subject, "old");
        }
        client.make_durable(
            "S",
            "d",
            "\"deliver_policy\":\"last_per_subject\",\"filter_subject\":\"s.*\"",
        );
        end.bring(server);
        let server = dir.serve();
        let mut client = server.client();
        client.api("STREAM.MSG.DELETE.S", "{\"seq\":3}");
        let first = client.next("S", "d");
        assert_eq!(first.sequence(), 1);
        client.confirm(first.ack(), "");
        end.bring(server);
        let server = dir.serve();
        let mut client = server.client();
        client.store("s.b", "new");
        assert_eq!(client.next("S", "d").sequence(), 4, "{end:?}");
    }
}

#[test]
fn a_terminated_message_stays_dead() {
    for end in End::BOTH {
        let dir = Dir::new();
        let server = dir.serve();
        let mut client = server.client();
        client.make_stream("S", "s", "");
        client.store("s", "poison");
        client.make_durable("S", "d", "\"ack_wait\":100000000");
        let poison = client.next("S", "d");
        client.confirm(poison.ack(), "+TERM");
        end.bring(server);
        let server = dir.serve();
        let mut client = server.client();
        client.store("s", "good");
        assert_eq!(client.next("S", "d").text(), "good", "{end:?}");
    }
}

#[test]
fn message_ids_are_known_again() {
    for end in End::BOTH {
        let dir = Dir::new();
        let server = dir.serve();
        let mut client = server.client();
        client.make_stream("S", "s", "");
        for number in 1..=50 {
            client.store_with("s", &format!("Nats-Msg-Id: id-{number}\r\n"), "x");
        }
        // Also of one that was deleted since.
        client.api("STREAM.MSG.DELETE.S", "{\"seq\":50}");
        end.bring(server);
        let server = dir.serve();
        let mut client = server.client();
        for number in [1, 25, 49] {
            let again = client.ask_with("s", &format!("Nats-Msg-Id: id-{number}\r\n"), "x");
            assert_eq!(
                again.text(),
                format!("{{\"stream\":\"S\",\"seq\":{number},\"duplicate\": true}}"),
                "{end:?}"
            );
        }
        assert_eq!(client.store_with("s", "Nats-Msg-Id: id-new\r\n", "x"), 51);
    }
}

#[test]
fn what_was_deleted_stays_away() {
    for end in End::BOTH {
        let dir = Dir::new();
        let server = dir.serve();
        let mut client = server.client();
        client.make_stream("S", "s.>", "");
        for number in 1..=20 {
            client.store(&format!("s.{}", number % 2), "x");
        }
        for seq in [1, 2, 7, 20] {
            client.api("STREAM.MSG.DELETE.S", format!("{{\"seq\":{seq}}}"));
        }
        client.api("STREAM.PURGE.S", "{\"filter\":\"s.1\",\"keep\":2}");
        let before = client.state("S");
        end.bring(server);
        let server = dir.serve();
        let mut client = server.client();
        assert_eq!(client.state("S"), before, "{end:?}");
        for seq in [1, 2, 7, 20, 3, 5, 15] {
            assert_eq!(client.stored("S", seq), Err(10037), "{end:?}: {seq}");
        }
        for seq in [4, 17, 18, 19] {
            assert!(client.stored("S", seq).is_ok(), "{end:?}: {seq}");
        }
        assert_eq!(client.store("s.1", "x"), 21, "{end:?}");
    }
}

#[test]
fn a_purged_stream_goes_on_counting() {
    for end in End::BOTH {
        let dir = Dir::new();
        let server = dir.serve();
        let mut client = server.client();
        client.make_stream("S", "s", "");
        client.make_stream("E", "e", "");
        for _ in 0..10 {
            client.store("s", "x");
            client.store("e", "x");
        }
        assert_eq!(client.api("STREAM.PURGE.S", "")["purged"], 10);
        // All of it by hand is the same.
        for seq in 1..=10 {
            client.api("STREAM.MSG.DELETE.E", format!("{{\"seq\":{seq}}}"));
        }
        end.bring(server);
        let server = dir.serve();
        let mut client = server.client();
        for (stream, subject) in [("S", "s"), ("E", "e")] {
            let state = client.state(stream);
            assert_eq!(
                (&state["messages"], &state["first_seq"], &state["last_seq"]),
                (&0.into(), &11.into(), &10.into()),
                "{end:?}"
            );
            assert_eq!(client.store(subject, "y"), 11, "{end:?}");
        }
    }
}

#[test]
fn streams_and_consumers_that_were_deleted_do_not_come_back() {
    for end in End::BOTH {
        let dir = Dir::new();
        let server = dir.serve();
        let mut client = server.client();
        for name in ["A", "B"] {
            client.make_stream(name, &format!("{name}.>"), "");
            client.store(&format!("{name}.x"), name);
            client.make_durable(name, "d", "");
            client.make_durable(name, "e", "");
        }
        client.api("STREAM.DELETE.A", "");
        client.api("CONSUMER.DELETE.B.d", "");
        end.bring(server);
        let server = dir.serve();
        let mut client = server.client();
        assert_eq!(
            client.api("STREAM.NAMES", "")["streams"],
            serde_json::json!(["B"])
        );
        assert_eq!(
            client.api("CONSUMER.NAMES.B", "")["consumers"],
            serde_json::json!(["e"])
        );
        client.make_stream("A", "A.>", "");
        assert_eq!(client.store("A.x", "new"), 1, "{end:?}");
    }
}

#[test]
fn a_changed_stream_stays_changed() {
    for end in End::BOTH {
        let dir = Dir::new();
        let server = dir.serve();
        let mut client = server.client();
        client.make_stream("S", "s", "");
        let config = "{\"name\":\"S\",\"subjects\":[\"s\",\"t\"],\"max_msgs\":2}";
        client.api("STREAM.UPDATE.S", config);
        client.make_durable("S", "d", "");
        client.make_durable("S", "d", "\"max_ack_pending\":7");
        end.bring(server);
        let server = dir.serve();
        let mut client = server.client();
        for _ in 0..3 {
            client.store("t", "x");
        }
        assert_eq!(client.state("S")["messages"], 2, "{end:?}");
        assert_eq!(
            client.api("CONSUMER.INFO.S.d", "")["config"]["max_ack_pending"],
            7
        );
    }
}

#[test]
fn a_work_queue_remembers_what_was_done() {
    for end in End::BOTH {
        let dir = Dir::new();
        let server = dir.serve();
        let mut client = server.client();
        client.make_stream("W", "w", "\"retention\":\"workqueue\"");
        client.make_durable("W", "d", "");
        for number in 1..=10 {
            client.store("w", format!("m{number}"));
        }
        for _ in 0..4 {
            let message = client.next("W", "d");
            client.confirm(message.ack(), "");
        }
        end.bring(server);
        let server = dir.serve();
        let mut client = server.client();
        let state = client.state("W");
        assert_eq!(
            (&state["messages"], &state["first_seq"]),
            (&6.into(), &5.into()),
            "{end:?}"
        );
        assert_eq!(client.next("W", "d").text(), "m5", "{end:?}");
    }
}

#[test]
fn a_stream_in_memory_is_gone_and_says_nothing_else() {
    for end in End::BOTH {
        let dir = Dir::new();
        let server = dir.serve();
        let mut client = server.client();
        client.make_stream("M", "m", "\"storage\":\"memory\"");
        assert_eq!(client.store("m", "x"), 1);
        client.make_stream("F", "f", "");
        end.bring(server);
        let server = dir.serve();
        let mut client = server.client();
        assert_eq!(
            client.api("STREAM.NAMES", "")["streams"],
            serde_json::json!(["F"]),
            "{end:?}"
        );
    }
}

#[test]
fn a_push_consumer_starts_again_when_its_listener_is_back() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s", "");
    client.make_durable("S", "p", "\"deliver_subject\":\"to.me\"");
    client.send("SUB to.me 1\r\n");
    client.publish("s", None, "", "one");
    let one = client.message();
    client.confirm(one.ack(), "");
    End::Killed.bring(server);
    let server = dir.serve();
    let mut client = server.client();
    client.store("s", "two");
    client.send("SUB to.me 1\r\n");
    let two = client.message();
    assert_eq!((two.text().as_str(), two.told()), ("two", (1, 2, 2, 0)));
}

#[test]
fn a_pause_ends_though_the_server_was_away_in_between() {
    for end in End::BOTH {
        let dir = Dir::new();
        let server = dir.serve();
        let mut client = server.client();
        client.make_stream("S", "s", "");
        client.make_durable("S", "d", "");
        client.store("s", "m");
        let soon = SystemTime::now() + Duration::from_secs(1);
        let soon = soon.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let until = Timestamp(i64::try_from(soon.as_nanos()).unwrap());
        let pause = format!("{{\"pause_until\":\"{until}\"}}");
        client.api("CONSUMER.PAUSE.S.d", &pause);
        assert!(client.next_now("S", "d").is_none(), "{end:?}");
        end.bring(server);
        let server = dir.serve();
        // Nothing else wakes the consumer.
        assert_eq!(server.client().next("S", "d").text(), "m", "{end:?}");
    }
}
