//! Streams: making, changing, listing, reading and emptying them.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::stream::{
    Config, ConsumerLimits, DirectGetErrorKind, DiscardPolicy, RetentionPolicy, StorageType,
};
use futures::TryStreamExt;

use crate::harness::Server;

use super::{consumer, context, durable, fetch, fill, on, orders, put, refused, started, texts};

#[tokio::test]
async fn a_new_stream_shows_its_configuration_with_defaults() {
    let (_server, js) = started().await;
    let stream = js.create_stream(on("ORDERS", &["orders.>"])).await.unwrap();
    let info = stream.cached_info();
    let config = &info.config;
    assert_eq!(config.name, "ORDERS");
    assert_eq!(config.subjects, ["orders.>"]);
    assert_eq!(config.retention, RetentionPolicy::Limits);
    assert_eq!(config.storage, StorageType::File);
    assert_eq!(config.discard, DiscardPolicy::Old);
    assert_eq!((config.max_messages, config.max_bytes), (-1, -1));
    assert_eq!(
        (config.max_messages_per_subject, config.max_message_size),
        (-1, -1)
    );
    assert_eq!((config.max_consumers, config.num_replicas), (-1, 1));
    assert_eq!(config.max_age, Duration::ZERO);
    assert_eq!(config.duplicate_window, Duration::from_secs(120));
    let state = &info.state;
    assert_eq!((state.messages, state.bytes), (0, 0));
    assert_eq!((state.first_sequence, state.last_sequence), (0, 0));
    assert_eq!(state.consumer_count, 0);
}

#[tokio::test]
async fn a_configuration_comes_back_as_it_was_given() {
    let (_server, js) = started().await;
    let given = Config {
        description: Some("everything at once".to_owned()),
        storage: StorageType::Memory,
        discard: DiscardPolicy::New,
        discard_new_per_subject: true,
        max_messages: 1000,
        max_bytes: 1_000_000,
        max_messages_per_subject: 10,
        max_message_size: 1000,
        max_consumers: 5,
        max_age: Duration::from_secs(3600),
        duplicate_window: Duration::from_secs(60),
        num_replicas: 1,
        deny_delete: true,
        deny_purge: true,
        allow_direct: true,
        first_sequence: Some(42),
        compression: Some(async_nats::jetstream::stream::Compression::S2),
        consumer_limits: Some(ConsumerLimits {
            inactive_threshold: Duration::from_secs(60),
            max_ack_pending: 10,
        }),
        metadata: HashMap::from([("owner".to_owned(), "tests".to_owned())]),
        ..on("FULL", &["a.*", "b.>"])
    };
    js.create_stream(given.clone()).await.unwrap();
    let stream = js.get_stream("FULL").await.unwrap();
    let mut config = stream.cached_info().config.clone();
    // The original adds what it needs of its own.
    config
        .metadata
        .retain(|name, _| !name.starts_with("_nats."));
    assert_eq!(config, given);
}

#[tokio::test]
async fn creating_the_same_stream_again_changes_nothing() {
    let (_server, js) = started().await;
    orders(&js, 1).await;
    let again = js.create_stream(on("ORDERS", &["orders.*"])).await.unwrap();
    assert_eq!(again.cached_info().state.messages, 1);
    let other = js.get_or_create_stream(on("ORDERS", &["orders.*"]));
    assert_eq!(other.await.unwrap().cached_info().state.messages, 1);
    let different = Config {
        max_messages: 5,
        ..on("ORDERS", &["orders.*"])
    };
    refused(js.create_stream(different).await, 10058);
}

#[tokio::test]
async fn an_impossible_configuration_is_refused() {
    let (_server, js) = started().await;
    orders(&js, 0).await;
    let bad = || on("BAD", &["bad.*"]);
    for (config, code) in [
        (on("BAD", &["orders.a"]), 10065),
        (on("BAD", &["x.*", "x.y"]), 10052),
        (on("BAD", &["a..b"]), 10052),
        (on("BAD", &["$JS.API.>"]), 10052),
        (
            Config {
                num_replicas: 3,
                ..bad()
            },
            10074,
        ),
        (
            Config {
                discard_new_per_subject: true,
                ..bad()
            },
            10052,
        ),
        (
            Config {
                max_age: Duration::from_millis(10),
                ..bad()
            },
            10052,
        ),
        (
            Config {
                allow_rollup: true,
                deny_purge: true,
                ..bad()
            },
            10052,
        ),
    ] {
        refused(js.create_stream(config).await, code);
    }
    refused(js.get_stream("BAD").await, 10059);
}

#[tokio::test]
async fn an_update_changes_what_may_change() {
    let (_server, js) = started().await;
    let mut stream = orders(&js, 5).await;
    let update = Config {
        max_messages: 3,
        ..on("ORDERS", &["orders.*", "bills.>"])
    };
    let info = js.update_stream(update).await.unwrap();
    assert_eq!(info.config.subjects, ["orders.*", "bills.>"]);
    let state = &stream.info().await.unwrap().state;
    assert_eq!((state.messages, state.first_sequence), (3, 3));
    assert_eq!(put(&js, "bills.new", "").await, 6);

    let update = Config {
        storage: StorageType::Memory,
        ..on("ORDERS", &["orders.*"])
    };
    refused(js.update_stream(update).await, 10052);
    refused(js.update_stream(on("NONE", &["none"])).await, 10059);
    let created = js
        .create_or_update_stream(on("NONE", &["none"]))
        .await
        .unwrap();
    assert_eq!(created.config.name, "NONE");
}

#[tokio::test]
async fn streams_are_listed_and_found_by_subject() {
    let (_server, js) = started().await;
    for number in 0..300 {
        let config = Config {
            storage: StorageType::Memory,
            ..on(&format!("S{number:03}"), &[&format!("s.{number}")])
        };
        js.create_stream(config).await.unwrap();
    }
    let mut names: Vec<String> = js.stream_names().try_collect().await.unwrap();
    names.sort();
    let expected: Vec<String> = (0..300).map(|number| format!("S{number:03}")).collect();
    assert_eq!(names, expected);
    let infos: Vec<_> = js.streams().try_collect().await.unwrap();
    let mut names: Vec<String> = infos.into_iter().map(|info| info.config.name).collect();
    names.sort();
    assert_eq!(names, expected);
    assert_eq!(js.stream_by_subject("s.7").await.unwrap(), "S007");
    assert!(js.stream_by_subject("s.x").await.is_err());
}

#[tokio::test]
async fn a_deleted_stream_is_gone_with_its_messages() {
    let (_server, js) = started().await;
    orders(&js, 3).await;
    assert!(js.delete_stream("ORDERS").await.unwrap().success);
    refused(js.get_stream("ORDERS").await, 10059);
    refused(js.delete_stream("ORDERS").await, 10059);
    orders(&js, 0).await;
    assert_eq!(put(&js, "orders.a", "").await, 1);
}

#[tokio::test]
async fn the_state_tells_subjects_and_gaps_when_asked() {
    let (_server, js) = started().await;
    let mut stream = orders(&js, 4).await;
    fill(&js, "orders.b", 0..2).await;
    for sequence in [2, 3] {
        assert!(stream.delete_message(sequence).await.unwrap());
    }
    let subjects: HashMap<String, usize> = stream
        .info_with_subjects("orders.*")
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    let expected = [("orders.a".to_owned(), 2), ("orders.b".to_owned(), 2)];
    assert_eq!(subjects, HashMap::from(expected));
    let builder = stream.info_builder().with_deleted(true);
    let info = builder.fetch().await.unwrap().info;
    assert_eq!(info.state.deleted, Some(vec![2, 3]));
    assert_eq!(info.state.deleted_count, Some(2));
    assert_eq!(info.state.subjects_count, 2);
    assert_eq!(stream.info().await.unwrap().state.deleted, None);
}

#[tokio::test]
async fn hundreds_of_subjects_are_told() {
    let (_server, js) = started().await;
    let stream = js.create_stream(on("MANY", &["many.*"])).await.unwrap();
    for number in 0..500 {
        let ack = js
            .publish(format!("many.{number}"), "".into())
            .await
            .unwrap();
        ack.await.unwrap();
    }
    let subjects: Vec<(String, usize)> = stream
        .info_with_subjects(">")
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(subjects.len(), 500);
}

#[tokio::test]
async fn a_message_can_be_read_by_sequence_and_subject() {
    let (_server, js) = started().await;
    let stream = orders(&js, 2).await;
    let headers = HeaderMap::from_iter([("Colour".parse().unwrap(), "red".parse().unwrap())]);
    let ack = js.publish_with_headers("orders.b", headers, "body".into());
    ack.await.unwrap().await.unwrap();

    let message = stream.get_raw_message(3).await.unwrap();
    assert_eq!(
        (message.subject.as_str(), message.sequence),
        ("orders.b", 3)
    );
    assert_eq!(message.payload, "body");
    assert_eq!(message.headers.get("Colour").unwrap().as_str(), "red");
    let last = stream
        .get_last_raw_message_by_subject("orders.a")
        .await
        .unwrap();
    assert_eq!((last.sequence, &last.payload[..]), (2, &b"1"[..]));
    let first = stream
        .get_next_raw_message_by_subject("orders.*")
        .await
        .unwrap();
    assert_eq!(first.sequence, 1);
    let next = stream
        .get_first_raw_message_by_subject("orders.b", 2)
        .await
        .unwrap();
    assert_eq!(next.sequence, 3);
    refused(stream.get_raw_message(4).await, 10037);
    refused(
        stream.get_last_raw_message_by_subject("orders.c").await,
        10037,
    );
}

#[tokio::test]
async fn a_message_can_be_read_directly() {
    let (_server, js) = started().await;
    let config = Config {
        allow_direct: true,
        ..on("ORDERS", &["orders.*"])
    };
    let stream = js.create_stream(config).await.unwrap();
    fill(&js, "orders.a", 0..2).await;
    fill(&js, "orders.b", 2..4).await;
    let message = stream.direct_get(2).await.unwrap();
    assert_eq!(
        (message.subject.as_str(), message.sequence),
        ("orders.a", 2)
    );
    assert_eq!(message.payload, "1");
    assert_eq!(message.time, stream.get_raw_message(2).await.unwrap().time);
    let last = stream
        .direct_get_last_for_subject("orders.b")
        .await
        .unwrap();
    assert_eq!(last.sequence, 4);
    let first = stream
        .direct_get_first_for_subject("orders.b")
        .await
        .unwrap();
    assert_eq!(first.sequence, 3);
    let next = stream
        .direct_get_next_for_subject("orders.a", Some(2))
        .await
        .unwrap();
    assert_eq!(next.sequence, 2);
    for error in [
        stream.direct_get(5).await.unwrap_err(),
        stream
            .direct_get_last_for_subject("orders.c")
            .await
            .unwrap_err(),
        stream
            .direct_get_next_for_subject("orders.a", Some(3))
            .await
            .unwrap_err(),
    ] {
        assert_eq!(error.kind(), DirectGetErrorKind::NotFound);
    }
}

#[tokio::test]
async fn a_purge_may_be_partial() {
    let (_server, js) = started().await;
    let mut stream = orders(&js, 5).await;
    fill(&js, "orders.b", 5..10).await;
    assert_eq!(stream.purge().sequence(3).await.unwrap().purged, 2);
    assert_eq!(
        stream
            .purge()
            .filter("orders.a")
            .keep(1)
            .await
            .unwrap()
            .purged,
        2
    );
    assert_eq!(
        stream
            .purge()
            .filter("orders.b")
            .sequence(8)
            .await
            .unwrap()
            .purged,
        2
    );
    assert_eq!(stream.info().await.unwrap().state.first_sequence, 5);
    assert_eq!(stream.purge().keep(2).await.unwrap().purged, 2);
    assert_eq!(stream.purge().filter("orders.x").await.unwrap().purged, 0);
    assert_eq!(stream.purge().await.unwrap().purged, 2);
    let state = &stream.info().await.unwrap().state;
    assert_eq!((state.messages, state.bytes), (0, 0));
    assert_eq!((state.first_sequence, state.last_sequence), (11, 10));
}

#[tokio::test]
async fn a_sealed_stream_is_read_only() {
    let (_server, js) = started().await;
    let stream = orders(&js, 2).await;
    let sealed = Config {
        sealed: true,
        ..on("ORDERS", &["orders.*"])
    };
    js.update_stream(sealed).await.unwrap();
    let config = js
        .get_stream("ORDERS")
        .await
        .unwrap()
        .cached_info()
        .config
        .clone();
    assert!(config.sealed && config.deny_delete && config.deny_purge);
    refused(
        js.publish("orders.a", "".into()).await.unwrap().await,
        10109,
    );
    refused(stream.delete_message(1).await, 10109);
    refused(stream.purge().await, 10109);
    let reader = consumer(&stream, durable("reader")).await;
    assert_eq!(texts(&fetch(&reader, 2).await), ["0", "1"]);
}

#[tokio::test]
async fn deletes_and_purges_may_be_denied() {
    let (_server, js) = started().await;
    let config = Config {
        deny_delete: true,
        deny_purge: true,
        ..on("LEDGER", &["ledger"])
    };
    let stream = js.create_stream(config).await.unwrap();
    put(&js, "ledger", "entry").await;
    assert!(stream.delete_message(1).await.is_err());
    assert!(stream.purge().await.is_err());
    refused(js.update_stream(on("LEDGER", &["ledger"])).await, 10052);
    assert_eq!(stream.get_raw_message(1).await.unwrap().payload, "entry");
}

#[tokio::test]
async fn a_stream_may_start_at_any_sequence() {
    let (_server, js) = started().await;
    let config = Config {
        first_sequence: Some(1000),
        ..on("LATE", &["late"])
    };
    js.create_stream(config).await.unwrap();
    assert_eq!(put(&js, "late", "").await, 1000);
}

#[tokio::test]
async fn the_account_tells_what_is_in_use() {
    let (_server, js) = started().await;
    let stream = orders(&js, 10).await;
    let memory = Config {
        storage: StorageType::Memory,
        ..on("MEMORY", &["memory"])
    };
    js.create_stream(memory).await.unwrap();
    put(&js, "memory", "12345").await;
    consumer(&stream, durable("reader")).await;
    let account = js.query_account().await.unwrap();
    assert_eq!((account.streams, account.consumers), (2, 1));
    assert!(account.storage > 0 && account.memory > 5);
    assert!(account.requests.total > 0);
    assert_eq!(account.limits.max_streams, None, "no limit");
}

#[tokio::test]
async fn a_server_without_a_store_has_no_streams() {
    let server = Server::start().await;
    let js = context(&server).await;
    assert!(js.query_account().await.is_err());
    let error = js
        .create_stream(on("ORDERS", &["orders"]))
        .await
        .unwrap_err();
    assert_eq!(
        error.kind(),
        async_nats::jetstream::context::CreateStreamErrorKind::JetStreamUnavailable
    );
}

#[tokio::test]
async fn the_server_says_that_it_has_streams() {
    let (_server, js) = started().await;
    assert!(js.client().server_info().jetstream);
}
