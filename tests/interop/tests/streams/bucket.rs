//! Buckets of keys and values.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::kv::{
    Config, CreateErrorKind, Entry, Operation, Store, UpdateErrorKind,
};
use futures::TryStreamExt;

use super::{How, Restarts, next, next_good, numbers, refused, started, take, until};

async fn bucket(js: &Context) -> Store {
    let config = Config {
        bucket: "CONFIG".to_owned(),
        history: 5,
        ..Default::default()
    };
    js.create_key_value(config).await.unwrap()
}

async fn put(kv: &Store, key: &str, value: &str) -> u64 {
    kv.put(key, value.to_owned().into()).await.unwrap()
}

fn told(entry: &Entry) -> (&str, &[u8], Operation) {
    (&entry.key, &entry.value, entry.operation)
}

#[tokio::test]
async fn a_value_is_put_and_got() {
    let (_server, js) = started().await;
    let kv = bucket(&js).await;
    assert_eq!(put(&kv, "colour", "red").await, 1);
    assert_eq!(put(&kv, "colour", "green").await, 2);
    assert_eq!(kv.get("colour").await.unwrap().unwrap(), "green");
    assert_eq!(kv.get("size").await.unwrap(), None);
    let entry = kv.entry("colour").await.unwrap().unwrap();
    assert_eq!((entry.bucket.as_str(), entry.revision), ("CONFIG", 2));
    assert_eq!(told(&entry), ("colour", &b"green"[..], Operation::Put));
    let old = kv.entry_for_revision("colour", 1).await.unwrap().unwrap();
    assert_eq!(old.value, "red");
    // A store tells the status of when it was looked up.
    let status = js
        .get_key_value("CONFIG")
        .await
        .unwrap()
        .status()
        .await
        .unwrap();
    assert_eq!(
        (status.bucket(), status.values(), status.history()),
        ("CONFIG", 2, 5)
    );
}

#[tokio::test]
async fn a_key_is_created_once() {
    let (_server, js) = started().await;
    let kv = bucket(&js).await;
    assert_eq!(kv.create("lock", "mine".into()).await.unwrap(), 1);
    let error = kv.create("lock", "yours".into()).await.unwrap_err();
    assert_eq!(error.kind(), CreateErrorKind::AlreadyExists);
    kv.delete("lock").await.unwrap();
    assert_eq!(kv.create("lock", "yours".into()).await.unwrap(), 3);
    kv.purge("lock").await.unwrap();
    assert_eq!(kv.create("lock", "theirs".into()).await.unwrap(), 5);
}

#[tokio::test]
async fn an_update_needs_the_right_revision() {
    let (_server, js) = started().await;
    let kv = bucket(&js).await;
    let first = put(&kv, "count", "1").await;
    let second = kv.update("count", "2".into(), first).await.unwrap();
    let error = kv.update("count", "3".into(), first).await.unwrap_err();
    assert_eq!(error.kind(), UpdateErrorKind::WrongLastRevision);
    assert!(
        kv.delete_expect_revision("count", Some(first))
            .await
            .is_err()
    );
    kv.delete_expect_revision("count", Some(second))
        .await
        .unwrap();
    assert_eq!(kv.get("count").await.unwrap(), None);
}

#[tokio::test]
async fn deletes_leave_a_past_and_purges_do_not() {
    let (_server, js) = started().await;
    let kv = bucket(&js).await;
    for text in numbers(0..2) {
        put(&kv, "key", &text).await;
    }
    kv.delete("key").await.unwrap();
    let history: Vec<Entry> = kv
        .history("key")
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    let history: Vec<_> = history.iter().map(told).collect();
    let expected = [
        ("key", &b"0"[..], Operation::Put),
        ("key", b"1", Operation::Put),
        ("key", b"", Operation::Delete),
    ];
    assert_eq!(history, expected);
    kv.purge("key").await.unwrap();
    let history: Vec<Entry> = kv
        .history("key")
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!(history[0].operation, Operation::Purge);
}

#[tokio::test]
async fn the_history_is_as_long_as_agreed() {
    let (_server, js) = started().await;
    let kv = bucket(&js).await;
    for text in numbers(0..8) {
        put(&kv, "key", &text).await;
    }
    let history: Vec<Entry> = kv
        .history("key")
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert!(history.iter().map(|entry| entry.revision).eq(4..=8));
    assert!(
        kv.history("other")
            .await
            .unwrap()
            .try_next()
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn keys_are_listed() {
    let (_server, js) = started().await;
    let kv = bucket(&js).await;
    let none: Vec<String> = kv.keys().await.unwrap().try_collect().await.unwrap();
    assert!(none.is_empty());
    for number in 0..500 {
        put(&kv, &format!("key.{number:03}"), "").await;
    }
    kv.delete("key.007").await.unwrap();
    let mut keys: Vec<String> = kv.keys().await.unwrap().try_collect().await.unwrap();
    keys.sort();
    let expected = (0..500)
        .filter(|&number| number != 7)
        .map(|number| format!("key.{number:03}"));
    assert!(keys.into_iter().eq(expected));
}

#[tokio::test]
async fn a_watcher_sees_changes() {
    let (_server, js) = started().await;
    let kv = bucket(&js).await;
    put(&kv, "a", "before").await;
    let mut all = kv.watch_all().await.unwrap();
    let mut one = kv.watch("a").await.unwrap();
    let mut wild = kv.watch_many(["b", "c.*"]).await.unwrap();
    put(&kv, "a", "1").await;
    put(&kv, "b", "2").await;
    kv.delete("a").await.unwrap();
    put(&kv, "c.x", "3").await;
    kv.purge("b").await.unwrap();
    let changes = take(&mut all, 5).await;
    let changes: Vec<_> = changes.iter().map(told).collect();
    let expected = [
        ("a", &b"1"[..], Operation::Put),
        ("b", b"2", Operation::Put),
        ("a", b"", Operation::Delete),
        ("c.x", b"3", Operation::Put),
        ("b", b"", Operation::Purge),
    ];
    assert_eq!(changes, expected);
    let changes: Vec<u64> = take(&mut one, 2)
        .await
        .iter()
        .map(|entry| entry.revision)
        .collect();
    assert_eq!(changes, [2, 4]);
    let changes: Vec<u64> = take(&mut wild, 3)
        .await
        .iter()
        .map(|entry| entry.revision)
        .collect();
    assert_eq!(changes, [3, 5, 6]);
}

#[tokio::test]
async fn a_watcher_may_see_what_was() {
    let (_server, js) = started().await;
    let kv = bucket(&js).await;
    for text in numbers(0..3) {
        put(&kv, "a", &text).await;
        put(&kv, "b", &text).await;
    }
    let mut last = kv.watch_with_history(">").await.unwrap();
    let got = take(&mut last, 2).await;
    assert!(got.iter().all(|entry| entry.value == "2"));
    assert!(!got[0].seen_current && got[1].seen_current);
    let mut from = kv.watch_all_from_revision(4).await.unwrap();
    let got: Vec<u64> = take(&mut from, 3)
        .await
        .iter()
        .map(|entry| entry.revision)
        .collect();
    assert_eq!(got, [4, 5, 6]);
}

#[tokio::test]
async fn values_expire_with_their_bucket() {
    let (_server, js) = started().await;
    let config = Config {
        bucket: "BRIEF".to_owned(),
        max_age: Duration::from_millis(300),
        ..Default::default()
    };
    let kv = js.create_key_value(config).await.unwrap();
    put(&kv, "key", "soon gone").await;
    assert!(kv.get("key").await.unwrap().is_some());
    let _ = until(|| kv.get("key"), |value| value.as_ref().unwrap().is_none()).await;
}

#[tokio::test]
async fn values_may_be_limited_in_size() {
    let (_server, js) = started().await;
    let config = Config {
        bucket: "SMALL".to_owned(),
        max_value_size: 10,
        ..Default::default()
    };
    let kv = js.create_key_value(config).await.unwrap();
    put(&kv, "key", "0123456789").await;
    assert!(kv.put("key", "0123456789!".into()).await.is_err());
}

#[tokio::test]
async fn a_bucket_is_found_changed_and_deleted() {
    let (_server, js) = started().await;
    let kv = bucket(&js).await;
    put(&kv, "key", "value").await;
    let found = js.get_key_value("CONFIG").await.unwrap();
    assert_eq!(found.get("key").await.unwrap().unwrap(), "value");
    let config = &found.stream.cached_info().config;
    assert_eq!(config.subjects, ["$KV.CONFIG.>"]);
    assert!(config.allow_rollup && config.deny_delete && config.allow_direct);
    let wider = Config {
        bucket: "CONFIG".to_owned(),
        history: 9,
        ..Default::default()
    };
    js.update_key_value(wider).await.unwrap();
    let wider = js.get_key_value("CONFIG").await.unwrap();
    assert_eq!(wider.status().await.unwrap().history(), 9);
    js.delete_key_value("CONFIG").await.unwrap();
    refused(js.get_key_value("CONFIG").await.map(|_| ()), 10059);
}

#[tokio::test]
async fn a_watch_and_a_bucket_survive_a_restart() {
    for how in [How::Stop, How::Kill] {
        let mut at = Restarts::started().await;
        let kv = bucket(&at.js).await;
        put(&kv, "a", "before").await;
        put(&kv, "gone", "").await;
        kv.delete("gone").await.unwrap();
        let mut changes = kv.watch_all().await.unwrap();
        put(&kv, "a", "now").await;
        assert_eq!(next(&mut changes).await.value, "now");
        at.restart(how).await;
        assert_eq!(kv.entry("a").await.unwrap().unwrap().revision, 4);
        assert_eq!(kv.get("gone").await.unwrap(), None);
        put(&kv, "b", "after").await;
        while next_good(&mut changes).await.key != "b" {}
        assert_eq!(kv.update("a", "again".into(), 4).await.unwrap(), 6);
    }
}
