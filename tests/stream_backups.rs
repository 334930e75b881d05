//! Backups of one stream in nats-server's form, as its tools make and take
//! them.

use crate::stream_util::{Dir, End, Message};
use crate::util::{Client, Server};
use serde_json::{Value, json};

/// What a restore sends at once.
const PIECE: usize = 64 * 1024;

/// A backup that nats-server 2.15.1 has made: `ARCH`, 60 messages of which 1,
/// 2, 5, 6 and 7 are gone and that were followed by one that is, and a
/// consumer that has five of them, acknowledged two, and one twice.
const FOREIGN: &[u8] = include_bytes!("files/backup-2.15.1.s2");

/// Takes a backup: what was answered, the archive, and what ended it.
#[track_caller]
fn back_up(client: &mut Client, stream: &str, more: Value) -> (Value, Vec<u8>, Message) {
    let mut asked = more;
    asked["deliver_subject"] = "_S.1".into();
    client.send("SUB _S.1 snap\r\n");
    let answer = client.api(&format!("STREAM.SNAPSHOT.{stream}"), asked.to_string());
    let mut archive = Vec::new();
    loop {
        let part = client.message();
        if part.body.is_empty() {
            client.send("UNSUB snap\r\n");
            return (answer, archive, part);
        }
        archive.extend_from_slice(&part.body);
        if let Some(reply) = &part.reply {
            client.publish(reply, None, "", "");
        }
    }
}

/// Begins to restore; where the archive is to be sent.
#[track_caller]
fn begin(client: &mut Client, config: &Value) -> String {
    let name = config["name"].as_str().expect("a name");
    let asked = json!({"config": config, "state": {}}).to_string();
    let answer = client.api(&format!("STREAM.RESTORE.{name}"), asked);
    answer["deliver_subject"].as_str().expect("text").to_owned()
}

/// Restores; what was answered in the end.
#[track_caller]
fn restore(client: &mut Client, config: &Value, archive: &[u8]) -> Value {
    let to = begin(client, config);
    for piece in archive.chunks(PIECE) {
        let answer = client.ask(&to, piece);
        if !answer.body.is_empty() {
            assert_eq!(answer.json()["error"]["err_code"], 10062);
        }
    }
    client.ask(&to, "").json()
}

/// What a stream is, less what differs with the time of asking.
#[track_caller]
fn told(client: &mut Client, stream: &str) -> Value {
    let info = client.api(
        &format!("STREAM.INFO.{stream}"),
        "{\"deleted_details\":true}",
    );
    json!({"config": info["config"], "state": info["state"]})
}

#[track_caller]
fn told_consumer(client: &mut Client, stream: &str, consumer: &str) -> Value {
    let mut info = client.api(&format!("CONSUMER.INFO.{stream}.{consumer}"), "");
    for key in ["created", "ts"] {
        info.as_object_mut().expect("an object").remove(key);
    }
    for key in ["delivered", "ack_floor"] {
        info[key]
            .as_object_mut()
            .expect("an object")
            .remove("last_active");
    }
    info
}

#[track_caller]
fn messages(client: &mut Client, stream: &str, last: u64) -> Vec<Result<Value, u64>> {
    (1..=last).map(|seq| client.stored(stream, seq)).collect()
}

/// `S`, with a bit of everything: 40 messages, some of them gone.
fn fill(client: &mut Client) -> Value {
    let more = "\"metadata\":{\"team\":\"blue\"},\"max_msgs_per_subject\":9";
    client.make_stream("S", "s.>", more);
    for seq in 1..=38 {
        let body = format!("message {seq} ").repeat(seq * 100);
        client.store(&format!("s.{}", seq % 5), body);
    }
    client.store_with(
        "s.id",
        "Nats-Msg-Id: once\r\nShape: round\r\n",
        "with a header",
    );
    client.store("s.end", "");
    for seq in [1, 2, 17, 40] {
        client.api("STREAM.MSG.DELETE.S", format!("{{\"seq\":{seq}}}"));
    }
    let more = "\"ack_wait\":60000000000,\"metadata\":{\"midge.dead_letter\":\"on\"}";
    client.make_durable("S", "d", &format!("{more},\"max_deliver\":7"));
    for _ in 0..4 {
        let message = client.next("S", "d");
        match message.told() {
            (1, 4, ..) => client.confirm(message.ack(), "+ACK"),
            (1, 5, ..) => client.confirm(message.ack(), "-NAK"),
            _ => {}
        }
    }
    // What was refused came once more.
    assert_eq!(client.next("S", "d").sequence(), 6);
    client.make_durable("S", "late", "\"deliver_policy\":\"new\"");
    client.make_durable("S", "some", "\"filter_subject\":\"s.3\"");
    client.next("S", "some");
    client.api("STREAM.INFO.S", "")["config"].clone()
}

#[test]
fn a_stream_comes_back_from_its_backup_as_it_was() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    let config = fill(&mut client);
    let stream = told(&mut client, "S");
    let held = messages(&mut client, "S", 40);
    let consumers = ["d", "late", "some"].map(|name| told_consumer(&mut client, "S", name));
    let (answer, archive, end) = back_up(&mut client, "S", json!({}));
    // Who answers is not a part of the backup, what it needs is.
    let mut kept = config.clone();
    kept["metadata"] = json!({"team": "blue", "_nats.req.level": "0"});
    assert_eq!(answer["config"], kept);
    assert_eq!(answer["state"]["messages"], stream["state"]["messages"]);
    assert_eq!(end.header, "NATS/1.0 204\r\n\r\n");
    client.api("STREAM.DELETE.S", "");
    let restored = restore(&mut client, &config, &archive);
    assert_eq!(
        restored["type"],
        "io.nats.jetstream.api.v1.stream_create_response"
    );
    assert_eq!(restored["state"]["last_seq"], 40);
    let mut server = server;
    for end in [None, Some(End::Killed), Some(End::Stopped)] {
        if let Some(end) = end {
            end.bring(server);
            server = dir.serve();
            client = server.client();
        }
        assert_eq!(told(&mut client, "S"), stream, "{end:?}");
        assert_eq!(messages(&mut client, "S", 40), held);
        let back = ["d", "late", "some"].map(|name| told_consumer(&mut client, "S", name));
        assert_eq!(back, consumers);
    }
    let again = client
        .ask_with("s.id", "Nats-Msg-Id: once\r\n", "again")
        .json();
    assert_eq!(
        (&again["seq"], &again["duplicate"]),
        (&39.into(), &true.into())
    );
    assert_eq!(client.store("s.new", "more"), 41);
    assert_eq!(client.next("S", "late").sequence(), 41);
}

#[test]
fn a_backup_of_nats_server_is_taken() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    let config =
        json!({"name": "ARCH", "subjects": ["arch.>"], "metadata": {"_nats.ver": "2.15.1"}});
    let restored = restore(&mut client, &config, FOREIGN);
    assert!(restored["error"].is_null(), "{restored}");
    End::Killed.bring(server);
    let server = dir.serve();
    let mut client = server.client();
    let state = told(&mut client, "ARCH")["state"].clone();
    let wanted = [
        ("messages", 55),
        ("first_seq", 3),
        ("last_seq", 61),
        ("num_deleted", 4),
    ];
    for (key, number) in wanted {
        assert_eq!(state[key], number, "{key}");
    }
    assert_eq!(state["first_ts"], "2026-11-23T03:37:45.971829372Z");
    let message = client.stored("ARCH", 42).expect("it is there");
    assert_eq!(message["subject"], "arch.5");
    let consumer = told_consumer(&mut client, "ARCH", "work");
    assert_eq!(
        consumer["delivered"],
        json!({"consumer_seq": 6, "stream_seq": 10})
    );
    assert_eq!(consumer["num_ack_pending"], 3);
    assert_eq!(consumer["num_redelivered"], 1);
    // Those were due long ago.
    let seqs: Vec<u64> = (0..3)
        .map(|_| client.next("ARCH", "work").sequence())
        .collect();
    assert_eq!(seqs, [4, 9, 10]);
    assert_eq!(client.next("ARCH", "work").told().1, 11);
    assert_eq!(client.store("arch.new", "more"), 62);
}

#[test]
fn what_is_no_whole_backup_leaves_no_stream() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    let config = json!({"name": "A", "subjects": ["a.>"]});
    let mut flipped = FOREIGN.to_vec();
    // A part of the checksum.
    flipped[15] ^= 4;
    // A tar, as servers before 2.15 sent it, in a chunk of its own.
    let old = b"\xff\x06\x00\x00S2sTwO\x01\x14\x00\x00\x46\x80\x0f\xe7PaxHeaders.0/met".to_vec();
    for (archive, why) in [
        (b"garbage".repeat(9), "s2: corrupt input"),
        (flipped, "s2: corrupt input, crc mismatch"),
        (FOREIGN[..1500].to_vec(), "s2: corrupt input"),
        (FOREIGN[..10].to_vec(), "EOF"),
        (Vec::new(), "EOF"),
        (
            old,
            "this is a backup of a nats-server before 2.15, which only nats-server reads",
        ),
    ] {
        let answer = restore(&mut client, &config, &archive);
        assert_eq!(
            answer["error"],
            json!({"code": 500, "err_code": 10062, "description": format!("restore failed: {why}")})
        );
        assert_eq!(
            answer["type"],
            "io.nats.jetstream.api.v1.stream_create_response"
        );
        assert_eq!(client.api_error("STREAM.INFO.A", ""), 10059);
    }
    // It is over then.
    let to = begin(&mut client, &config);
    client.ask(&to, "");
    assert!(client.ask(&to, "more").header.starts_with("NATS/1.0 503"));
}

/// A client that hears that its restore has failed sends no end of it.
#[test]
fn restores_that_failed_are_in_nobodys_way() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s.>", "");
    for number in 0..20 {
        client.store("s.a", format!("{number}"));
    }
    let (_, archive, _) = back_up(&mut client, "S", json!({}));
    client.api("STREAM.DELETE.S", "");
    let mut damaged = archive.clone();
    damaged[archive.len() / 2] ^= 1;
    let config = json!({"name": "S", "subjects": ["s.>"]});
    for _ in 0..40 {
        let to = begin(&mut client, &config);
        let answer = client.ask(&to, &damaged).json();
        assert_eq!(answer["error"]["err_code"], 10062, "{answer}");
    }
    assert_eq!(
        restore(&mut client, &config, &archive)["state"]["messages"],
        20
    );
}

#[test]
fn requests_are_refused_as_nats_server_does() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s.>", "");
    for (request, body, code) in [
        ("SNAPSHOT.S", "", 10003),
        ("SNAPSHOT.S", "{}", 10003),
        ("SNAPSHOT.S", "{\"jsck\":true}", 10015),
        ("SNAPSHOT.S", "{\"deliver_subject\":\"d.*\"}", 10015),
        ("SNAPSHOT.S", "{\"deliver_subject\":\"d\",\"foo\":1}", 10025),
        ("SNAPSHOT.S", "{", 10025),
        ("SNAPSHOT.NO", "{\"deliver_subject\":\"d\"}", 10059),
        ("RESTORE.S", "{\"config\":{\"name\":\"S\"}}", 10130),
        ("RESTORE.T", "{\"config\":{\"name\":\"S\"}}", 10056),
        ("RESTORE.T", "", 10003),
        ("RESTORE.T", "{}", 10003),
        ("RESTORE.T", "{\"config\":{\"foo\":1}}", 10025),
        ("RESTORE.T", "{\"config\":null,\"state\":{\"x\":1}}", 10025),
        ("RESTORE.T", "{\"config\":{},\"x\":1}", 10025),
        ("RESTORE.T", "{\"config\":{\"subjects\":[\"s.a\"]}}", 10065),
        ("RESTORE.T", "{\"config\":{\"subjects\":[\"t..\"]}}", 10052),
        ("RESTORE.T", "{\"config\":{\"num_replicas\":3}}", 10074),
    ] {
        let words = format!("STREAM.{request}");
        assert_eq!(client.api_error(&words, body), code, "{request} {body}");
    }
    let refused = client.ask("$JS.API.STREAM.RESTORE.T", "").json();
    assert_eq!(refused["deliver_subject"], "");
}

#[test]
fn who_was_first_keeps_the_name() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    let config = json!({"name": "A", "subjects": ["a.>"]});
    let [one, two, three] = [0; 3].map(|_| {
        let to = begin(&mut client, &config);
        assert!(client.ask(&to, FOREIGN).body.is_empty());
        to
    });
    assert!(client.ask(&one, "").json()["error"].is_null());
    assert_eq!(client.ask(&two, "").json()["error"]["err_code"], 10130);
    client.api("STREAM.DELETE.A", "");
    client.make_stream("B", "a.b", "");
    let error = client.ask(&three, "").json()["error"].clone();
    assert_eq!(
        error["description"],
        "restore failed: error adding stream: subjects overlap with an existing stream (10065)"
    );
    assert_eq!(client.api_error("STREAM.INFO.A", ""), 10059);
}

#[test]
fn a_backup_waits_for_its_acks_and_ends_when_none_comes() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s.>", "");
    for _ in 0..10 {
        client.store("s.a", [7; 1000]);
    }
    client.send("SUB $JS.EVENT.ADVISORY.STREAM.*.> adv\r\nSUB dl 1\r\nSUB _R 2\r\n");
    let asked = "{\"deliver_subject\":\"dl\",\"chunk_size\":1024,\"window_size\":2500}";
    client.publish("$JS.API.STREAM.SNAPSHOT.S", Some("_R"), "", asked);
    let begun = client.message();
    assert_eq!(begun.subject, "$JS.EVENT.ADVISORY.STREAM.SNAPSHOT_CREATE.S");
    let begun = begun.json();
    assert_eq!(begun["state"]["messages"], 10);
    assert_eq!(begun["client"]["kind"], "Client");
    assert_eq!(client.message().subject, "_R");
    let mut parts = vec![client.message(), client.message()];
    for (place, part) in parts.iter().enumerate() {
        assert_eq!(part.body.len(), 1024);
        let end = format!(".1024.{}", place + 1);
        assert!(part.ack().starts_with("$JS.SNAPSHOT.ACK.S.") && part.ack().ends_with(&end));
    }
    assert_eq!(client.sync(), "");
    client.publish(parts.remove(1).ack(), None, "", "");
    assert_eq!(client.message().body.len(), 1024);
    // Nothing more is acknowledged, and in a few seconds it is given up.
    let ended = client.message();
    assert_eq!(ended.header, "NATS/1.0 408 No Flow Response\r\n\r\n");
    let told = client.message();
    assert_eq!(
        told.subject,
        "$JS.EVENT.ADVISORY.STREAM.SNAPSHOT_COMPLETE.S"
    );
    assert_eq!(told.json()["error"], "no flow response");
}

/// Begins a backup of a stream of so many messages, to be sent in chunks of
/// which each waits for the ack of the one before; the first.
#[track_caller]
fn begin_backup(client: &mut Client, count: usize) -> Message {
    client.make_stream("S", "s.>", "");
    for _ in 0..count {
        client.store("s.a", [7; 1000]);
    }
    client.send("SUB dl 1\r\n");
    let asked = "{\"deliver_subject\":\"dl\",\"chunk_size\":1024,\"window_size\":1024}";
    client.api("STREAM.SNAPSHOT.S", asked);
    client.message()
}

#[test]
fn a_backup_ends_with_its_stream_or_its_reader() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    let part = begin_backup(&mut client, 10);
    client.api("STREAM.DELETE.S", "");
    client.publish(part.ack(), None, "", "");
    assert_eq!(
        client.message().header,
        "NATS/1.0 500 Stream Deleted\r\n\r\n"
    );
    // Nobody subscribes: it waits a little, as tools subscribe late.
    client.make_stream("S", "s.>", "");
    client.send("SUB $JS.EVENT.ADVISORY.STREAM.SNAPSHOT_COMPLETE.S adv\r\n");
    client.api("STREAM.SNAPSHOT.S", "{\"deliver_subject\":\"nobody\"}");
    assert_eq!(client.message().json()["error"], "no interest");
    client.api("STREAM.SNAPSHOT.S", "{\"deliver_subject\":\"later\"}");
    client.send("SUB later 2\r\n");
    let part = client.message();
    assert!(part.body.starts_with(b"\xff\x06\x00\x00S2sTwO"), "{part:?}");
}

/// `S` with this many messages, every third of them gone.
fn fill_many(client: &mut Client, count: usize) -> Value {
    client.make_stream("S", "s.>", "\"max_msgs_per_subject\":1");
    let mut frames = String::new();
    for number in 0..count {
        // A subject in three is written to again, and so its first is gone.
        let subject = if number % 3 == 0 {
            number / 6 * 6
        } else {
            number
        };
        frames += &format!("PUB s.{subject} 40\r\n{number:040}\r\n");
        if frames.len() > 1 << 20 {
            client.send(&frames);
            frames.clear();
        }
    }
    client.send(&frames);
    client.store("s.end", "");
    told(client, "S")["config"].clone()
}

#[test]
fn a_hundred_thousand_messages_come_back_with_their_gaps() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    let config = fill_many(&mut client, 100_000);
    let stream = told(&mut client, "S");
    assert!(
        stream["state"]["num_deleted"].as_u64() > Some(15_000),
        "{}",
        stream["state"]["num_deleted"]
    );
    let asked = json!({"chunk_size": 10_000, "window_size": 50_000});
    let (_, archive, end) = back_up(&mut client, "S", asked);
    assert_eq!(end.header, "NATS/1.0 204\r\n\r\n");
    client.api("STREAM.DELETE.S", "");
    let restored = restore(&mut client, &config, &archive);
    assert!(restored["error"].is_null(), "{restored}");
    assert_eq!(told(&mut client, "S"), stream);
    End::Killed.bring(server);
    let server = dir.serve();
    let mut client = server.client();
    assert_eq!(told(&mut client, "S"), stream);
    let (_, again, _) = back_up(&mut client, "S", json!({}));
    // The time of the backup is in it.
    assert_eq!(again.len(), archive.len());
}

#[test]
fn a_server_that_is_killed_forgets_what_was_half_restored() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    let config = fill_many(&mut client, 30_000);
    let stream = told(&mut client, "S");
    let (_, archive, _) = back_up(&mut client, "S", json!({}));
    client.api("STREAM.DELETE.S", "");
    let to = begin(&mut client, &config);
    for piece in archive.chunks(PIECE).take(20) {
        assert!(client.ask(&to, piece).body.is_empty());
    }
    // What was sent is on the disk, as far as it fills blocks.
    client.make_stream("OTHER", "o", "");
    End::Killed.bring(server);
    let server = dir.serve();
    let mut client = server.client();
    assert_eq!(client.api("STREAM.NAMES", "")["streams"], json!(["OTHER"]));
    assert!(!server.log().contains("damaged"), "{}", server.log());
    let restored = restore(&mut client, &config, &archive);
    assert!(restored["error"].is_null(), "{restored}");
    End::Killed.bring(server);
    let server = dir.serve();
    assert!(!server.log().contains("damaged"), "{}", server.log());
    assert_eq!(told(&mut server.client(), "S"), stream);
}

#[test]
fn a_stream_in_memory_is_backed_up_as_well() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("M", "m.>", "\"storage\":\"memory\"");
    for number in 0..3 {
        client.store("m.a", number.to_string());
    }
    client.make_durable("M", "d", "");
    client.next("M", "d");
    let stream = told(&mut client, "M");
    let (_, archive, _) = back_up(&mut client, "M", json!({}));
    client.api("STREAM.DELETE.M", "");
    let restored = restore(&mut client, &stream["config"], &archive);
    assert_eq!(restored["state"], {
        let mut state = stream["state"].clone();
        state.as_object_mut().unwrap().remove("deleted");
        state
    });
    assert_eq!(told(&mut client, "M"), stream);
    assert_eq!(told_consumer(&mut client, "M", "d")["num_ack_pending"], 1);
    // Without its consumers. All of it is one message, after which nats-server
    // says no more.
    let (_, archive, end) = back_up(&mut client, "M", json!({"no_consumers": true}));
    client.api("STREAM.DELETE.M", "");
    restore(&mut client, &stream["config"], &archive);
    assert_eq!(end.header, "");
    assert_eq!(told(&mut client, "M")["state"]["consumer_count"], 0);
}

#[test]
fn messages_that_come_while_a_backup_is_made_are_not_in_it() {
    let dir = Dir::new();
    let server: Server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s.>", "");
    for number in 0..200 {
        client.store("s.a", format!("{number:01000}"));
    }
    client.send("SUB dl 1\r\n");
    let asked = "{\"deliver_subject\":\"dl\",\"chunk_size\":1024,\"window_size\":1024}";
    client.api("STREAM.SNAPSHOT.S", asked);
    let first = client.message();
    client.store("s.new", "later");
    client.api("STREAM.MSG.DELETE.S", "{\"seq\":200}");
    client.api("STREAM.MSG.DELETE.S", "{\"seq\":150}");
    let mut archive = first.body.clone();
    let mut part = first;
    while let Some(reply) = part.reply.take() {
        client.publish(&reply, None, "", "");
        part = client.message();
        archive.extend_from_slice(&part.body);
    }
    assert_eq!(client.message().header, "NATS/1.0 204\r\n\r\n");
    client.api("STREAM.DELETE.S", "");
    let config = json!({"name": "S", "subjects": ["s.>"]});
    let restored = restore(&mut client, &config, &archive);
    let state = &restored["state"];
    let numbers = ["messages", "last_seq"].map(|key| state[key].as_u64().unwrap());
    // The last sequence was given out, whether that message is there or not.
    assert_eq!(numbers, [198, 200]);
}

#[test]
fn what_lives_for_a_time_lives_no_longer_for_being_restored() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    let more = "\"allow_msg_ttl\":true,\"allow_msg_schedules\":true";
    client.make_stream("T", "t.>", more);
    client.store_with("t.short", "Nats-TTL: 3\r\n", "soon gone");
    client.store_with("t.long", "Nats-TTL: 1h\r\n", "stays");
    let schedule = "Nats-Schedule: @every 2s\r\nNats-Schedule-Target: t.fired\r\n";
    client.store_with("t.schedule", schedule, "again and again");
    let config = told(&mut client, "T")["config"].clone();
    let (_, archive, _) = back_up(&mut client, "T", json!({}));
    client.api("STREAM.DELETE.T", "");
    let restored = restore(&mut client, &config, &archive);
    assert_eq!(restored["state"]["messages"], 3);
    let last = json!({"last_by_subj": "t.fired"}).to_string();
    let deadline = std::time::Instant::now() + crate::util::PATIENCE;
    let gone = loop {
        let fired = client.ask("$JS.API.STREAM.MSG.GET.T", &last).json();
        let short = client.stored("T", 1);
        if fired["error"].is_null() && short.is_err() {
            break short;
        }
        assert!(std::time::Instant::now() < deadline, "{fired}");
        std::thread::yield_now();
    };
    assert_eq!(gone, Err(10037));
    assert!(client.stored("T", 2).is_ok());
}

#[test]
fn copies_go_on_where_they_were() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("O", "o.>", "");
    let all = "{\"name\":\"ALL\",\"sources\":[{\"name\":\"O\"}]}";
    client.api("STREAM.CREATE.ALL", all);
    for _ in 0..5 {
        client.store("o.a", "x");
    }
    client.wait_messages("ALL", 5);
    // First who copies, then what was copied.
    for stream in ["ALL", "O"] {
        let config = told(&mut client, stream)["config"].clone();
        let (_, archive, _) = back_up(&mut client, stream, json!({}));
        client.api(&format!("STREAM.DELETE.{stream}"), "");
        let restored = restore(&mut client, &config, &archive);
        assert!(restored["error"].is_null(), "{restored}");
        let count = client.store("o.a", "new");
        client.wait_messages("ALL", count);
        assert_eq!(told(&mut client, "ALL")["state"]["last_seq"], count);
    }
}

#[test]
fn a_flood_of_acks_is_one_turn() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    let part = begin_backup(&mut client, 50);
    client.sync();
    let flood = format!("PUB {} 0\r\n\r\n", part.ack()).repeat(40);
    client.send(flood + "PING\r\n");
    let mut parts = 0;
    let mut line = client.line();
    while line != "PONG" {
        assert!(line.starts_with("MSG dl "), "{line}");
        client.bytes(1026);
        parts += 1;
        line = client.line();
    }
    // As many as there were reads, not as many as there were acks.
    assert!(parts < 10, "{parts}");
}

#[test]
fn consumers_are_counted_when_they_are_sent() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s.>", "");
    client.store("s.a", "one");
    // More than is sent at first.
    let more = format!("\"metadata\":{{\"k\":\"{}\"}}", "x".repeat(20_000));
    for number in 0..8 {
        client.make_durable("S", &format!("c{number}"), &more);
    }
    client.send("SUB dl 1\r\n");
    let asked = "{\"deliver_subject\":\"dl\",\"chunk_size\":1024,\"window_size\":1024}";
    // One is deleted while others are sent, and one that is made is told
    // instead; or none.
    for is_made in [true, false] {
        client.api("STREAM.SNAPSHOT.S", asked);
        let mut part = client.message();
        client.api("CONSUMER.DELETE.S.c7", "");
        if is_made {
            client.make_durable("S", "late", "");
        }
        let mut archive = Vec::new();
        while let Some(reply) = part.reply.take() {
            archive.extend_from_slice(&part.body);
            client.publish(&reply, None, "", "");
            part = client.message();
        }
        if !is_made {
            assert_eq!(part.header, "NATS/1.0 500 Consumer Deleted\r\n\r\n");
            return;
        }
        archive.extend_from_slice(&part.body);
        assert_eq!(client.message().header, "NATS/1.0 204\r\n\r\n");
        client.api("STREAM.DELETE.S", "");
        let config = json!({"name": "S", "subjects": ["s.>"]});
        assert_eq!(
            restore(&mut client, &config, &archive)["state"]["consumer_count"],
            8
        );
        client.api("CONSUMER.DELETE.S.late", "");
        client.make_durable("S", "c7", &more);
    }
}

#[test]
fn a_consumer_that_no_restore_would_take_is_not_backed_up() {
    const COUNT: usize = 140_000;
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s.>", "\"storage\":\"memory\"");
    client.make_durable("S", "lazy", "\"max_ack_pending\":-1");
    client.send("PUB s.a 0\r\n\r\n".repeat(COUNT));
    client.sync();
    let mut lazy = server.client();
    let asked = json!({"batch": COUNT, "no_wait": true}).to_string();
    lazy.send("SUB got 9\r\n");
    lazy.publish("$JS.API.CONSUMER.MSG.NEXT.S.lazy", Some("got"), "", asked);
    let mut unread = lazy.stream.try_clone().expect("a second handle");
    std::thread::spawn(move || std::io::copy(&mut unread, &mut std::io::sink()));
    let deadline = std::time::Instant::now() + crate::util::PATIENCE;
    while client.api("CONSUMER.INFO.S.lazy", "")["num_ack_pending"] != COUNT {
        assert!(std::time::Instant::now() < deadline);
        std::thread::yield_now();
    }
    let snapshot = |client: &mut Client, more: Value| {
        let mut asked = more;
        asked["deliver_subject"] = "dl".into();
        client
            .ask("$JS.API.STREAM.SNAPSHOT.S", asked.to_string())
            .json()
    };
    assert_eq!(
        snapshot(&mut client, json!({}))["error"]["description"],
        "snapshot failed: consumer \"lazy\" has too many unacknowledged messages"
    );
    let without = snapshot(&mut client, json!({"no_consumers": true}));
    assert!(without["error"].is_null(), "{without}");
}

/// A chunk of S2 that is 4 MiB of zeros.
const BOMB: &[u8] = b"\x00\x11\0\0\x2b\x63\xc8\x69\x80\x80\x80\x02\0\0\x01\x01\x1d\0\xf7\xff\x3e";

#[test]
fn what_expands_to_much_waits_its_turn_and_has_an_end() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    let config = json!({"name": "ARCH", "subjects": ["arch.>"]});
    // A few are read, whatever they are behind the end, and others are served
    // meanwhile.
    let to = begin(&mut client, &config);
    client.send("SUB r 1\r\n");
    client.publish(&to, Some("r"), "", FOREIGN);
    client.message();
    let few = [BOMB; 50].concat();
    client.publish(&to, Some("r"), "", few);
    assert_eq!(client.sync(), "", "it was answered first");
    assert_eq!(client.message().text(), "");
    // Who floods is refused, and told so.
    let frame = [format!("PUB {to} r 21\r\n").as_bytes(), BOMB, b"\r\n"].concat();
    let count = 40_000;
    let mut sender = client.stream.try_clone().expect("a second handle");
    let flood = std::thread::spawn(move || {
        use std::io::Write;
        sender.write_all(&frame.repeat(count)).expect("it is read");
    });
    let refused = loop {
        let answer = client.message();
        if !answer.body.is_empty() {
            break answer.json();
        }
    };
    assert_eq!(
        refused["error"]["description"],
        "restore failed: more was sent than is read; wait for the answers"
    );
    flood.join().expect("all was sent");
}
