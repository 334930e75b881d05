//! Buckets of keys and values, also beside another client.

use std::thread;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use midge_client::Error;
use midge_client::streams::kv::{
    Bucket, BucketConfig, Entry, Operation, Update, Watch, WatchOptions, WatchStart,
};
use midge_client::streams::{ApiError, Storage};

use crate::harness::{MOMENT, PATIENCE, Server};

on_both! {
    a_value_is_got_as_it_was_set,
    revisions_decide_who_was_first,
    deleted_keys_have_no_value_but_a_history,
    keys_are_listed,
    buckets_are_made_listed_and_removed,
    a_watch_tells_what_there_is_and_what_changes,
    a_watch_tells_what_it_is_asked_for,
    a_watch_goes_on_after_a_restart,
    values_become_too_old,
    another_client_sees_the_same,
}

fn bucket(server: &Server, history: u32) -> Bucket {
    let config = BucketConfig {
        history,
        ..BucketConfig::new("lamps")
    };
    server.streams().create_bucket(&config).expect("made")
}

fn a_value_is_got_as_it_was_set(server: &mut Server) {
    let lamps = bucket(server, 1);
    assert_eq!(lamps.get("hall").unwrap(), None);
    assert_eq!(lamps.put("hall", b"\x00\xff").unwrap(), 1);
    assert_eq!(lamps.put("hall.colour", "").unwrap(), 2);
    let entry = lamps.get("hall").unwrap().expect("a value");
    assert_eq!(
        (entry.key.as_str(), entry.value.as_slice()),
        ("hall", &b"\x00\xff"[..])
    );
    assert_eq!((entry.revision, entry.operation), (1, Operation::Put));
    assert!(entry.created.is_set());
    assert_eq!(lamps.get("hall.colour").unwrap().unwrap().value, b"");
    for key in ["", "a b", "a..b", "*", "a.>", ".a", "ä"] {
        assert!(matches!(lamps.get(key), Err(Error::Key(_))), "{key}");
        assert!(matches!(lamps.put(key, "x"), Err(Error::Key(_))), "{key}");
    }
}

#[track_caller]
fn assert_conflict(done: Result<u64, Error>) {
    assert!(
        matches!(&done, Err(error) if error.is_conflict()),
        "{done:?}"
    );
}

fn revisions_decide_who_was_first(server: &mut Server) {
    let lamps = bucket(server, 5);
    let first = lamps.create("hall", "on").unwrap();
    assert_conflict(lamps.create("hall", "off"));
    let second = lamps.update("hall", "off", first).unwrap();
    assert_conflict(lamps.update("hall", "on", first));
    assert_conflict(lamps.delete("hall", Some(first)).map(|()| 0));
    lamps.delete("hall", Some(second)).unwrap();
    let again = lamps.create("hall", "again").unwrap();
    lamps.purge("hall", Some(again)).unwrap();
    lamps.create("hall", "once more").unwrap();
    assert_eq!(lamps.get("hall").unwrap().unwrap().value, b"once more");
    assert_eq!(
        lamps.history("hall").unwrap().len(),
        2,
        "the purge and what came then"
    );
}

fn deleted_keys_have_no_value_but_a_history(server: &mut Server) {
    let lamps = bucket(server, 3);
    for value in ["1", "2", "3"] {
        lamps.put("hall", value).unwrap();
    }
    lamps.put("door", "shut").unwrap();
    lamps.delete("hall", None).unwrap();
    assert_eq!(lamps.get("hall").unwrap(), None);
    let mark = lamps.last("hall").unwrap().expect("a mark");
    assert_eq!((mark.operation, mark.revision), (Operation::Delete, 5));
    let history = lamps.history("hall").unwrap();
    let seen: Vec<(u64, &[u8])> = history
        .iter()
        .map(|entry| (entry.revision, entry.value.as_slice()))
        .collect();
    assert_eq!(seen, [(2, &b"2"[..]), (3, b"3"), (5, b"")]);
    assert_eq!(lamps.get_revision("hall", 3).unwrap().unwrap().value, b"3");
    assert_eq!(lamps.get_revision("hall", 1).unwrap(), None);
    assert_eq!(
        lamps.get_revision("hall", 4).unwrap(),
        None,
        "another key's"
    );
    lamps.purge("hall", None).unwrap();
    let history = lamps.history("hall").unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!(history[0].operation, Operation::Purge);
    assert!(lamps.history("nothing").unwrap().is_empty());
}

fn keys_are_listed(server: &mut Server) {
    let lamps = bucket(server, 2);
    assert!(lamps.keys(">").unwrap().is_empty());
    for key in ["hall.b", "hall.a", "door", "gone"] {
        lamps.put(key, "x").unwrap();
        lamps.put(key, "y").unwrap();
    }
    lamps.delete("gone", None).unwrap();
    assert_eq!(lamps.keys(">").unwrap(), ["door", "hall.a", "hall.b"]);
    assert_eq!(lamps.keys("hall.*").unwrap(), ["hall.a", "hall.b"]);
    assert!(lamps.keys("none.>").unwrap().is_empty());
    assert!(matches!(lamps.keys("a b"), Err(Error::Key(_))));
}

fn buckets_are_made_listed_and_removed(server: &mut Server) {
    let streams = server.streams();
    assert!(streams.bucket_list().unwrap().is_empty());
    let config = BucketConfig {
        description: "in the hall".into(),
        history: 5,
        ttl: Some(Duration::from_secs(60)),
        bytes_max: Some(1 << 20),
        value_bytes_max: Some(100),
        storage: Storage::Memory,
        ..BucketConfig::new("lamps")
    };
    let lamps = streams.create_bucket(&config).unwrap();
    streams.create_bucket(&config).expect("the same again");
    lamps.put("hall", "on").unwrap();
    let status = lamps.status().unwrap();
    assert_eq!(status.config, config);
    assert_eq!((status.values, status.keys), (1, 1));
    assert!(matches!(lamps.put("hall", &[0; 101]), Err(Error::Api(_))));
    assert_eq!(streams.bucket_list().unwrap(), [status]);
    let other = BucketConfig::new("lamps");
    match streams.create_bucket(&other) {
        Err(Error::Api(error)) => {
            assert_eq!(error.err_code, ApiError::STREAM_NAME_EXIST.err_code);
        }
        refused => panic!("{refused:?}"),
    }
    let longer = BucketConfig {
        history: 9,
        ..config
    };
    let lamps = streams.update_bucket(&longer).unwrap();
    assert_eq!(lamps.status().unwrap().config.history, 9);
    assert_eq!(streams.bucket("lamps").unwrap().name(), "lamps");
    streams.delete_bucket("lamps").unwrap();
    assert!(matches!(streams.bucket("lamps"), Err(Error::Api(_))));
    assert!(matches!(lamps.get("hall"), Err(Error::Api(_))));
    assert!(matches!(lamps.put("hall", ""), Err(Error::NoResponders(_))));
    assert!(matches!(streams.bucket("a.b"), Err(Error::Key(_))));
}

#[track_caller]
fn entry(watch: &mut Watch) -> Entry {
    match watch.next_timeout(PATIENCE).expect("an update") {
        Update::Entry(entry) => entry,
        Update::Current => panic!("an entry, and not the end of the beginning"),
    }
}

#[track_caller]
fn current(watch: &mut Watch) {
    assert_eq!(
        watch.next_timeout(PATIENCE).expect("an update"),
        Update::Current
    );
}

fn a_watch_tells_what_there_is_and_what_changes(server: &mut Server) {
    let lamps = bucket(server, 5);
    let mut empty = lamps.watch(">", WatchOptions::default()).unwrap();
    current(&mut empty);
    for (key, value) in [("hall", "1"), ("door", "2"), ("hall", "3")] {
        lamps.put(key, value).unwrap();
    }
    let mut watch = lamps.watch(">", WatchOptions::default()).unwrap();
    let first = entry(&mut watch);
    assert_eq!((first.key.as_str(), first.delta), ("door", 1));
    let second = entry(&mut watch);
    assert_eq!(
        (second.key.as_str(), second.value.as_slice()),
        ("hall", &b"3"[..])
    );
    current(&mut watch);
    assert!(matches!(watch.next_timeout(MOMENT), Err(Error::Timeout)));
    lamps.delete("hall", None).unwrap();
    for _ in 0..3 {
        entry(&mut empty);
    }
    for watch in [&mut watch, &mut empty] {
        let deleted = entry(watch);
        assert_eq!((deleted.key.as_str(), deleted.revision), ("hall", 4));
        assert_eq!(deleted.operation, Operation::Delete);
    }
}

fn a_watch_tells_what_it_is_asked_for(server: &mut Server) {
    let lamps = bucket(server, 5);
    for (key, value) in [
        ("hall.a", "1"),
        ("hall.a", "2"),
        ("hall.b", "3"),
        ("door", "4"),
    ] {
        lamps.put(key, value).unwrap();
    }
    lamps.delete("hall.b", None).unwrap();
    let history = WatchOptions {
        start: WatchStart::History,
        ..WatchOptions::default()
    };
    let mut watch = lamps.watch("hall.*", history).unwrap();
    let revisions: Vec<u64> = (0..4).map(|_| entry(&mut watch).revision).collect();
    assert_eq!(revisions, [1, 2, 3, 5]);
    current(&mut watch);
    let live = WatchOptions {
        ignores_deletes: true,
        ..WatchOptions::default()
    };
    let mut watch = lamps.watch("hall.*", live).unwrap();
    assert_eq!(entry(&mut watch).revision, 2);
    current(&mut watch);
    let new = WatchOptions {
        start: WatchStart::New,
        keys_only: true,
        ..WatchOptions::default()
    };
    let mut watch = lamps.watch(">", new).unwrap();
    current(&mut watch);
    lamps.put("door", "open").unwrap();
    let entry = entry(&mut watch);
    assert_eq!((entry.revision, entry.value.as_slice()), (6, &b""[..]));
}

fn a_watch_goes_on_after_a_restart(server: &mut Server) {
    let lamps = bucket(server, 1);
    lamps.put("hall", "1").unwrap();
    let mut watch = lamps.watch(">", WatchOptions::default()).unwrap();
    assert_eq!(entry(&mut watch).revision, 1);
    current(&mut watch);
    server.kill();
    let watching = thread::spawn(move || entry(&mut watch));
    server.start_again();
    let lamps = server.streams().bucket("lamps").unwrap();
    let revision = lamps.put("hall", "2").unwrap();
    assert_eq!(watching.join().unwrap().revision, revision);
}

fn values_become_too_old(server: &mut Server) {
    let config = BucketConfig {
        ttl: Some(Duration::from_millis(300)),
        ..BucketConfig::new("brief")
    };
    let brief = server.streams().create_bucket(&config).unwrap();
    brief.put("a", "x").unwrap();
    crate::harness::eventually("it is gone", || brief.get("a").unwrap().is_none());
    assert!(brief.keys(">").unwrap().is_empty());
}

fn another_client_sees_the_same(server: &mut Server) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let lamps = bucket(server, 5);
    lamps.put("hall", "ours").unwrap();
    lamps.put("gone", "x").unwrap();
    lamps.delete("gone", None).unwrap();
    runtime.block_on(async {
        let client = async_nats::connect(server.url()).await.unwrap();
        let other = async_nats::jetstream::new(client);
        let store = other.get_key_value("lamps").await.unwrap();
        assert_eq!(store.get("hall").await.unwrap().unwrap(), "ours");
        assert_eq!(store.get("gone").await.unwrap(), None);
        let mut keys: Vec<String> = store.keys().await.unwrap().try_collect().await.unwrap();
        keys.sort();
        assert_eq!(keys, ["hall"]);
        store.put("hall", "theirs".into()).await.unwrap();
        store.put("door", "shut".into()).await.unwrap();
        store.purge("door").await.unwrap();
        assert_eq!(store.history("hall").await.unwrap().count().await, 2);
        let config = async_nats::jetstream::kv::Config {
            bucket: "theirs".into(),
            history: 3,
            ..Default::default()
        };
        let theirs = other.create_key_value(config).await.unwrap();
        theirs.put("a", "b".into()).await.unwrap();
    });
    assert_eq!(lamps.get("hall").unwrap().unwrap().value, b"theirs");
    assert_eq!(
        lamps.last("door").unwrap().unwrap().operation,
        Operation::Purge
    );
    let theirs = server.streams().bucket("theirs").unwrap();
    assert_eq!(theirs.get("a").unwrap().unwrap().value, b"b");
    let config = BucketConfig {
        history: 3,
        ..BucketConfig::new("theirs")
    };
    assert_eq!(theirs.status().unwrap().config, config);
}
