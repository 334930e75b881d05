//! The engine under a clock of the test's own: hours pass in no time, and
//! every run is the same.

#[cfg(feature = "streams")]
use midge_engine::Flow;
use midge_engine::{
    Accounts, Auth, CloseReason, ConnId, Delivery, Engine, EngineConfig, Limits, Outbox, Session,
    Time,
};
use midge_proto::{ParseLimits, Parsed, ServerInfo, encode, parse};
use std::collections::HashMap;
use std::time::Duration;

/// Remembers what each connection was sent.
#[derive(Default)]
pub(crate) struct Told {
    bytes: HashMap<ConnId, Vec<u8>>,
    closed: HashMap<ConnId, CloseReason>,
    /// Reads at once when asked to.
    relieved: Option<ConnId>,
    read: usize,
}

impl Outbox for Told {
    fn line(&mut self, conn: ConnId, line: &[u8]) -> usize {
        let bytes = self.bytes.entry(conn).or_default();
        bytes.extend_from_slice(line);
        bytes.len()
    }

    fn deliver(&mut self, conn: ConnId, delivery: &Delivery<'_>) -> usize {
        let bytes = self.bytes.entry(conn).or_default();
        encode::message_start(bytes, delivery.has_header, delivery.subject, delivery.sid);
        bytes.extend_from_slice(delivery.tail.bytes());
        bytes.len()
    }

    fn relieve_all(&mut self) {}

    fn relieve(&mut self, conn: ConnId) -> usize {
        let bytes = self.bytes.entry(conn).or_default();
        if self.relieved == Some(conn) {
            self.read += bytes.len();
            bytes.clear();
        }
        bytes.len()
    }

    fn closed(&mut self, conn: ConnId, _: &Session, reason: CloseReason) {
        assert!(self.closed.insert(conn, reason).is_none(), "closed once");
    }
}

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) told: Told,
    pub(crate) now: Time,
}

pub(crate) const JOE: ConnId = ConnId {
    index: 3,
    generation: 1,
};
const ANN: ConnId = ConnId {
    index: 4,
    generation: 2,
};

impl World {
    /// Streams, of which none is stored.
    #[cfg(feature = "streams")]
    pub(crate) fn enable_streams(&mut self) {
        let config = midge_engine::StreamsConfig {
            hash_seed: 1,
            server_name: "n".into(),
            server_id: "N".into(),
            domain: String::new(),
            strictness: midge_api::json::Strictness::Strict,
            limits: midge_api::ServerLimits::default(),
            tuning: Default::default(),
            zones: None,
        };
        let stored = midge_engine::StoredStreams::new(1);
        let wall = midge_api::Timestamp(1);
        self.engine.enable_streams(config, stored, self.now, wall);
    }

    pub(crate) fn new(limits: Limits, auth: Auth, seed: u64) -> Self {
        let info = ServerInfo::new("N".into(), "h".into(), 1);
        World {
            engine: Engine::new(EngineConfig {
                limits,
                auth,
                accounts: Accounts::default(),
                info,
                seed,
                hash_seed: 1,
                word_key: [1; 2],
            }),
            told: Told::default(),
            now: Time::default(),
        }
    }

    pub(crate) fn open(&mut self, conn: ConnId) {
        let peer = "127.0.0.1:9".parse().unwrap();
        self.engine.open(self.now, conn, peer, &mut self.told);
        let info = self.heard(conn);
        assert!(info.starts_with("INFO {"), "{info}");
    }

    pub(crate) fn say(&mut self, conn: ConnId, text: &str) {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let Ok(Parsed::Whole { command, used }) = parse(rest, &ParseLimits::default()) else {
                panic!("{text:?}");
            };
            self.engine
                .command(self.now, conn, &command, None, &mut self.told);
            rest = &rest[used..];
        }
    }

    pub(crate) fn heard(&mut self, conn: ConnId) -> String {
        String::from_utf8(self.told.bytes.remove(&conn).unwrap_or_default()).unwrap()
    }

    /// Lets time pass the way the loop does: from deadline to deadline.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(deadline) = self.engine.next_deadline() {
            if deadline > end {
                break;
            }
            self.now = deadline;
            self.engine.tick(self.now, &mut self.told);
        }
        self.now = end;
        self.engine.tick(self.now, &mut self.told);
    }
}

pub(crate) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn the_first_ping_comes_soon_and_then_every_two_minutes() {
    let mut world = World::new(Limits::default(), Auth::default(), 1);
    world.open(JOE);
    world.say(JOE, "CONNECT {\"verbose\":false}\r\n");
    world.pass(Duration::from_millis(1999));
    assert_eq!(world.heard(JOE), "");
    world.pass(Duration::from_millis(401));
    assert_eq!(world.heard(JOE), "PING\r\n");
    world.say(JOE, "PONG\r\n");
    world.pass(seconds(117));
    assert_eq!(world.heard(JOE), "");
    world.pass(seconds(3));
    assert_eq!(world.heard(JOE), "PING\r\n");
    world.say(JOE, "PONG\r\n");
    world.pass(seconds(600));
    assert_eq!(
        world.heard(JOE),
        "PING\r\nPING\r\n-ERR 'Stale Connection'\r\n"
    );
    assert_eq!(world.told.closed[&JOE], CloseReason::StaleConnection);
    assert_eq!(
        world.engine.next_deadline(),
        None,
        "nothing is left to wait for"
    );
}

#[test]
fn who_talks_is_not_pinged_but_for_the_round_trip_once_an_hour() {
    let mut world = World::new(Limits::default(), Auth::default(), 1);
    world.open(JOE);
    world.say(JOE, "CONNECT {\"verbose\":false}\r\n");
    world.pass(seconds(3));
    assert_eq!(world.heard(JOE), "PING\r\n");
    world.say(JOE, "PONG\r\n");
    let mut pings = 0;
    for _ in 0..2 * 60 {
        world.pass(seconds(60));
        world.say(JOE, "PUB a 0\r\n\r\n");
        if !world.heard(JOE).is_empty() {
            world.say(JOE, "PONG\r\n");
            pings += 1;
        }
    }
    assert_eq!(pings, 1, "in two hours");
    assert!(world.told.closed.is_empty());
}

#[test]
fn talking_does_not_replace_answering() {
    // A client that publishes but never answers a ping is cut all the same:
    // only PONG counts.
    let limits = Limits {
        ping_interval: seconds(1),
        ..Limits::default()
    };
    let mut world = World::new(limits, Auth::default(), 1);
    world.open(JOE);
    world.say(JOE, "CONNECT {\"verbose\":false}\r\n");
    for _ in 0..10 {
        world.pass(Duration::from_millis(500));
        world.say(JOE, "PUB a 0\r\n\r\n");
    }
    assert_eq!(
        world.told.closed.get(&JOE),
        Some(&CloseReason::StaleConnection)
    );
}

#[test]
fn a_client_without_connect_is_pinged_after_a_whole_interval() {
    let mut world = World::new(Limits::default(), Auth::default(), 1);
    world.open(JOE);
    world.pass(seconds(119));
    assert_eq!(world.heard(JOE), "");
    world.pass(seconds(1));
    assert_eq!(world.heard(JOE), "PING\r\n");
    world.pass(seconds(600));
    assert_eq!(world.told.closed[&JOE], CloseReason::StaleConnection);
}

#[test]
fn a_person_may_think_for_an_hour() {
    let mut world = World::new(Limits::default(), Auth::default(), 1);
    world.open(JOE);
    world.say(JOE, "HELP\r\n");
    world.pass(seconds(3600));
    assert!(world.told.closed.is_empty());
}

#[test]
fn credentials_have_two_seconds() {
    let auth = Auth::token("t".into());
    let mut world = World::new(Limits::default(), auth, 1);
    world.open(JOE);
    world.open(ANN);
    world.pass(Duration::from_millis(1999));
    world.say(ANN, "CONNECT {\"auth_token\":\"t\",\"verbose\":false}\r\n");
    assert_eq!(world.heard(JOE), "");
    world.pass(Duration::from_millis(2));
    assert_eq!(world.heard(JOE), "-ERR 'Authentication Timeout'\r\n");
    assert_eq!(world.told.closed[&JOE], CloseReason::AuthenticationTimeout);
    assert!(!world.told.closed.contains_key(&ANN));
    assert_eq!(world.engine.stats().auth_errors(), 1);
}

#[test]
fn one_network_takes_half_of_the_time_for_proofs() {
    let hash = format!("$2a$11${}", "x".repeat(53));
    let auth = Auth::user("u".into(), hash);
    let mut world = World::new(Limits::default(), auth, 1);
    let ask = |world: &mut World, index: u32, peer: &str| {
        let conn = ConnId {
            index,
            generation: 1,
        };
        let peer = peer.parse().unwrap();
        world.engine.open(world.now, conn, peer, &mut world.told);
        world.say(conn, "CONNECT {\"user\":\"u\",\"pass\":\"p\"}\r\n");
        world.engine.is_verifying(conn)
    };
    for index in 0..16 {
        let peer = format!("[2001:db8::{index:x}]:9");
        assert!(ask(&mut world, index, &peer), "{index}");
    }
    assert!(!ask(&mut world, 16, "[2001:db8::ffff]:9"));
    assert!(ask(&mut world, 17, "[2001:db8:0:1::]:9"));
    // Who has gone is looked at all the same, and then there is time again.
    let gone = world.engine.take_challenge().unwrap().conn;
    let reason = CloseReason::ClientClosed;
    world.engine.close(gone, reason, &mut world.told);
    assert!(!ask(&mut world, 18, "[2001:db8::ffff]:9"));
    world
        .engine
        .verified(world.now, gone, false, &mut world.told);
    assert!(ask(&mut world, 19, "[2001:db8::ffff]:9"));
}

#[test]
fn an_id_of_the_past_reaches_nobody() {
    let mut world = World::new(Limits::default(), Auth::default(), 1);
    world.open(JOE);
    world
        .engine
        .close(JOE, CloseReason::ClientClosed, &mut world.told);
    let next = ConnId {
        generation: JOE.generation + 1,
        ..JOE
    };
    world.open(next);
    world.say(JOE, "SUB a 1\r\nPUB a 0\r\n\r\n");
    world
        .engine
        .close(JOE, CloseReason::ClientClosed, &mut world.told);
    assert_eq!(world.heard(next), "");
    assert_eq!(world.engine.session_count(), 1);
    assert_eq!(world.engine.router_stats().subscriptions, 0);
}

#[test]
fn a_reader_past_its_limit_is_cut_in_the_middle_of_a_fan_out() {
    let limits = Limits {
        max_pending: 2000,
        ..Limits::default()
    };
    // The largest message has room with its line.
    let most = limits.max_pending + limits.frame.max_control_line;
    let mut world = World::new(limits, Auth::default(), 1);
    world.open(JOE);
    world.open(ANN);
    for conn in [JOE, ANN] {
        world.say(
            conn,
            "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB a 1\r\nSUB a q 2\r\nSUB > 3\r\n",
        );
    }
    let mut ann_heard = 0;
    for _ in 0..100 {
        world.say(ANN, "PUB a 100\r\n0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\r\n");
        ann_heard += world.heard(ANN).matches("MSG a 1 100\r\n").count();
    }
    assert_eq!(ann_heard, 100);
    assert_eq!(
        world.told.closed[&JOE],
        CloseReason::SlowConsumerPendingBytes
    );
    assert_eq!(world.engine.stats().slow_consumers(), 1);
    assert_eq!(world.engine.router_stats().subscriptions, 3);
    assert!(
        world.heard(JOE).len() < most + 200,
        "nothing more after the cut"
    );
}

#[test]
fn a_reader_that_reads_is_not_cut_for_one_wide_message() {
    let limits = Limits {
        max_pending: 2000,
        ..Limits::default()
    };
    let mut world = World::new(limits, Auth::default(), 1);
    world.open(JOE);
    world.say(JOE, "CONNECT {\"verbose\":false}\r\n");
    for sid in 0..100 {
        world.say(JOE, &format!("SUB a {sid}\r\n"));
    }
    world.told.relieved = Some(JOE);
    let body = "x".repeat(100);
    world.say(JOE, &format!("PUB a 100\r\n{body}\r\n"));
    assert!(world.told.closed.is_empty());
    let read = world.told.read + world.heard(JOE).len();
    let all: usize = (0..100)
        .map(|sid| format!("MSG a {sid} 100\r\n{body}\r\n").len())
        .sum();
    assert_eq!(read, all);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = |seed| {
        let mut world = World::new(Limits::default(), Auth::default(), seed);
        world.open(JOE);
        world.say(JOE, "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n");
        for sid in 0..10 {
            world.say(JOE, &format!("SUB a q {sid}\r\n"));
        }
        for _ in 0..100 {
            world.say(JOE, "PUB a 0\r\n\r\n");
        }
        world.say(JOE, "ASK a b\n");
        world.pass(seconds(1000));
        world.heard(JOE)
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn a_year_of_clients_leaves_no_timer_behind() {
    let mut world = World::new(Limits::default(), Auth::default(), 1);
    for generation in 0..10_000 {
        let conn = ConnId {
            index: generation % 7,
            generation,
        };
        world.open(conn);
        world.say(conn, "CONNECT {\"verbose\":false}\r\n");
        world
            .engine
            .close(conn, CloseReason::ClientClosed, &mut world.told);
    }
    assert_eq!(world.engine.next_deadline(), None);
}

/// A disk that does not come back: who stores is held, whoever it is and
/// however small the messages are, and everybody else goes on.
#[cfg(feature = "streams")]
#[test]
fn who_stores_waits_for_a_slow_disk() {
    use midge_api::Timestamp;
    use midge_engine::{StoredStreams, StreamsConfig};
    for size in [0, 100, 100_000] {
        let mut world = World::new(Limits::default(), Auth::default(), 1);
        let config = StreamsConfig {
            hash_seed: 1,
            server_name: "n".into(),
            server_id: "N".into(),
            domain: String::new(),
            strictness: midge_api::json::Strictness::Strict,
            limits: midge_api::ServerLimits::default(),
            tuning: Default::default(),
            zones: None,
        };
        let stored = StoredStreams::new(1);
        world
            .engine
            .enable_streams(config, stored, world.now, Timestamp(1));
        world.open(JOE);
        world.open(ANN);
        let make = "{\"name\":\"S\",\"subjects\":[\"s\"]}";
        let len = make.len();
        world.say(
            JOE,
            &format!("PUB $JS.API.STREAM.CREATE.S {len}\r\n{make}\r\n"),
        );
        let batch = world.engine.take_batch(world.now).expect("a stream");
        assert!(!batch.writes.is_empty());
        let publish = |world: &mut World, conn, subject: &str| {
            let frame = format!("PUB {subject} {size}\r\n{}\r\n", "x".repeat(size));
            let Ok(Parsed::Whole { command, .. }) = parse(frame.as_bytes(), &Default::default())
            else {
                panic!("{frame:?}");
            };
            world
                .engine
                .command(world.now, conn, &command, None, &mut world.told)
        };
        let mut taken = 0;
        while publish(&mut world, JOE, "s") != Flow::Hold {
            taken += size + 64;
            assert!(taken < 20_000_000, "held after {taken} bytes at last");
        }
        assert!(world.engine.is_congested());
        assert_eq!(publish(&mut world, ANN, "s"), Flow::Hold);
        assert_eq!(publish(&mut world, ANN, "other"), Flow::Continue);
        // The disk is back, and what has gathered goes there.
        world.engine.committed(world.now, &mut world.told);
        assert!(world.engine.take_batch(world.now).is_some());
        assert!(!world.engine.is_congested());
        assert_eq!(publish(&mut world, JOE, "s"), Flow::Continue);
    }
}

/// A backup that nobody asks for is let go of, and one that is asked for now
/// and then is kept.
#[cfg(feature = "streams")]
#[test]
fn a_backup_is_kept_for_who_asks() {
    use midge_engine::Maintenance;
    let mut world = World::new(Limits::default(), Auth::default(), 1);
    world.enable_streams();
    world.open(JOE);
    world.say(JOE, "CONNECT {\"verbose\":false}\r\nSUB r 1\r\n");
    world.say(JOE, "PUB $MIDGE.API.BACKUP r 0\r\n\r\n");
    let wish = world.engine.take_maintenance();
    let Some(Maintenance::BeginBackup(id)) = wish else {
        panic!("{wish:?}");
    };
    assert_eq!(world.heard(JOE), "", "the store has not begun it");
    world.engine.backup_begun(world.now, id, &mut world.told);
    assert!(world.heard(JOE).contains(&format!("\"id\":{id},")));
    for chunk in 0..3 {
        world.pass(seconds(29));
        world.heard(JOE);
        let body = format!("{{\"id\":{id},\"chunk\":{chunk}}}");
        let len = body.len();
        world.say(
            JOE,
            &format!("PUB $MIDGE.API.BACKUP.NEXT r {len}\r\n{body}\r\n"),
        );
        let wish = world.engine.take_maintenance();
        assert!(matches!(wish, Some(Maintenance::NextChunk(..))), "{wish:?}");
        // A disk that takes long is waited for.
        world.pass(seconds(40));
        let read = Ok("abc".into());
        world
            .engine
            .backup_chunk(world.now, id, read, &mut world.told);
        assert!(world.heard(JOE).ends_with("abc\r\n"));
        assert_eq!(world.engine.take_maintenance(), None);
    }
    world.pass(seconds(31));
    assert_eq!(
        world.engine.take_maintenance(),
        Some(Maintenance::EndBackup)
    );
    world.heard(JOE);
    let body = format!("{{\"id\":{id},\"chunk\":3}}");
    let len = body.len();
    world.say(
        JOE,
        &format!("PUB $MIDGE.API.BACKUP.NEXT r {len}\r\n{body}\r\n"),
    );
    assert!(world.heard(JOE).contains("\"err_code\":20013"));
}

/// One message that is heard: its body.
#[cfg(feature = "streams")]
fn body_of(heard: &str) -> &str {
    heard.split("\r\n").nth(1).unwrap_or_default()
}

#[cfg(feature = "streams")]
#[test]
fn a_restore_is_kept_for_who_sends() {
    let mut world = World::new(Limits::default(), Auth::default(), 1);
    world.enable_streams();
    world.open(JOE);
    let connect = "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}";
    world.say(JOE, &format!("{connect}\r\nSUB r 1\r\n"));
    world.say(
        JOE,
        "SUB $JS.EVENT.ADVISORY.STREAM.RESTORE_COMPLETE.S 2\r\n",
    );
    let asked = "{\"config\":{\"name\":\"S\"}}";
    let len = asked.len();
    world.say(
        JOE,
        &format!("PUB $JS.API.STREAM.RESTORE.S r {len}\r\n{asked}\r\n"),
    );
    let begun = world.heard(JOE);
    let begun: serde_json::Value = serde_json::from_str(body_of(&begun)).expect("JSON");
    let to = begun["deliver_subject"].as_str().expect("text");
    let chunk = format!("PUB {to} r 10\r\ngarbage...\r\n");
    for _ in 0..3 {
        world.pass(seconds(59));
        world.heard(JOE);
        world.say(JOE, &chunk);
        world.pass(seconds(0));
        // It is wrong, and stays so until it is over.
        let heard = world.heard(JOE);
        assert!(heard.contains("\"err_code\":10062"), "{heard}");
    }
    world.pass(seconds(61));
    let heard = world.heard(JOE);
    assert!(
        heard.contains("ADVISORY.STREAM.RESTORE_COMPLETE.S 2"),
        "{heard}"
    );
    world.say(JOE, &chunk);
    let heard = world.heard(JOE);
    assert!(heard.contains("NATS/1.0 503"), "{heard}");
}

/// The streams listen in every account, which makes nobody there a listener.
#[cfg(feature = "streams")]
#[test]
fn what_nobody_listens_for_is_not_noted() {
    let mut world = World::new(Limits::default(), Auth::default(), 1);
    world.enable_streams();
    world.open(JOE);
    world.say(JOE, "CONNECT {\"verbose\":false}\r\nSUB $SYS.> 1\r\n");
    assert!(!world.engine.has_listeners());
    world
        .engine
        .close(JOE, CloseReason::ClientClosed, &mut world.told);
    assert!(!world.engine.has_news());
}

/// When the clock of [`streams_and_a_clock`] begins.
#[cfg(feature = "streams")]
const BEGIN: midge_api::Timestamp = midge_api::Timestamp(1_000_000_000);

/// Streams whose wall clock is set by hand, and a client that has just made one.
#[cfg(feature = "streams")]
fn streams_and_a_clock(config: &str) -> World {
    use midge_engine::{StoredStreams, StreamsConfig, Zones};
    use std::sync::Arc;
    let mut world = World::new(Limits::default(), Auth::default(), 1);
    let streams = StreamsConfig {
        hash_seed: 1,
        server_name: "n".into(),
        server_id: "N".into(),
        domain: String::new(),
        tuning: Default::default(),
        zones: Some(Arc::new(Zones::new(Vec::new()))),
        strictness: midge_api::json::Strictness::Strict,
        limits: midge_api::ServerLimits::default(),
    };
    let stored = StoredStreams::new(1);
    world
        .engine
        .enable_streams(streams, stored, world.now, BEGIN);
    world.open(JOE);
    world.say(JOE, "CONNECT {\"verbose\":false,\"headers\":true}\r\n");
    let body = format!("{{\"name\":\"S\",\"storage\":\"memory\",{config}}}");
    let len = body.len();
    world.say(
        JOE,
        &format!("PUB $JS.API.STREAM.CREATE.S {len}\r\n{body}\r\n"),
    );
    world
}

#[cfg(feature = "streams")]
#[test]
fn lifetimes_end_by_the_wall_clock_also_after_it_was_set() {
    let mut world = streams_and_a_clock("\"subjects\":[\"s\"],\"allow_msg_ttl\":true");
    let header = "NATS/1.0\r\nNats-TTL: 1h\r\n\r\n";
    let len = header.len();
    world.say(JOE, &format!("HPUB s {len} {len}\r\n{header}\r\n"));
    assert_eq!(world.engine.stored_totals(), (1, 1));
    // The wall clock stands still.
    world.pass(seconds(2 * 3600));
    assert_eq!(world.engine.stored_totals(), (1, 1));
    let hour = midge_api::Nanos::from_secs(3600);
    world.engine.set_wall(BEGIN.after(hour));
    world.pass(seconds(61));
    assert_eq!(world.engine.stored_totals(), (1, 0));
}

/// A marker and a message that came after it are overdue, and the message is
/// found first: its block holds something that was due before both.
#[cfg(feature = "streams")]
#[test]
fn a_marker_is_left_for_what_grew_too_old_together_with_one() {
    let mut world = streams_and_a_clock(
        "\"subjects\":[\"s.*\"],\"allow_msg_ttl\":true,\"allow_msg_schedules\":true,\
         \"subject_delete_marker_ttl\":2000000000",
    );
    let at = |secs| BEGIN.after(midge_api::Nanos::from_secs(secs));
    let publish = |world: &mut World, subject: &str, header: &str, body: &str| {
        let header = format!("NATS/1.0\r\n{header}\r\n");
        let (header_len, len) = (header.len(), header.len() + body.len());
        world.say(
            JOE,
            &format!("HPUB {subject} {header_len} {len}\r\n{header}{body}\r\n"),
        );
    };
    publish(&mut world, "s.a", "Nats-TTL: 2\r\n", "");
    world.engine.set_wall(at(2));
    world.pass(seconds(61));
    assert_eq!(world.engine.stored_totals(), (1, 1), "the marker");
    let half_a_block = "x".repeat(40_000);
    publish(&mut world, "s.b", "", &half_a_block);
    publish(&mut world, "s.b", "", &half_a_block);
    let schedule = format!(
        "Nats-Schedule: @at {}\r\nNats-Schedule-Target: s.c\r\n",
        at(3)
    );
    publish(&mut world, "s.schedule", &schedule, "");
    publish(&mut world, "s.a", "Nats-TTL: 2\r\n", "");
    assert_eq!(world.engine.stored_totals(), (1, 5));
    world.engine.set_wall(at(10));
    world.pass(seconds(61));
    let left = "both halves, what was scheduled and a marker";
    assert_eq!(world.engine.stored_totals(), (1, 4), "{left}");
    world.engine.set_wall(at(12));
    world.pass(seconds(61));
    assert_eq!(world.engine.stored_totals(), (1, 3), "the marker goes too");
}
