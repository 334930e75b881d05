//! Messages that come later, and messages that go by themselves.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::kv::{self, Operation};
use async_nats::jetstream::stream::Config;

use super::{durable, next, on, put, started, until};

#[tokio::test]
async fn a_key_lives_as_long_as_it_was_given() {
    let (_server, js) = started().await;
    let config = kv::Config {
        bucket: "LOCKS".to_owned(),
        ..Default::default()
    };
    let locks = js.create_key_value(config).await.unwrap();
    // The client asks for markers itself only where the server tells its level.
    let mut config = locks.stream.cached_info().config.clone();
    config.subject_delete_marker_ttl = Some(Duration::from_secs(1));
    js.update_stream(config).await.unwrap();
    let mut changes = locks.watch_all().await.unwrap();
    let brief = Duration::from_secs(1);
    let created = locks.create_with_ttl("lock", "mine".into(), brief);
    created.await.unwrap();
    assert_eq!(next(&mut changes).await.operation, Operation::Put);
    let marker = next(&mut changes).await;
    assert_eq!(
        (marker.key.as_str(), marker.operation),
        ("lock", Operation::Purge)
    );
    assert_eq!(locks.get("lock").await.unwrap(), None);
    let created = locks.create_with_ttl("lock", "yours".into(), brief);
    created.await.unwrap();
    locks.purge_with_ttl("lock", brief).await.unwrap();
    let count = || async { locks.status().await.unwrap().values() };
    assert_eq!(until(count, |count| *count == 0).await, 0);
}

#[tokio::test]
async fn a_message_is_published_later() {
    let (_server, js) = started().await;
    let config = Config {
        allow_message_schedules: true,
        allow_message_ttl: true,
        ..on("JOBS", &["jobs.>"])
    };
    let stream = js.create_stream(config).await.unwrap();
    let mut config = durable("worker");
    config.filter_subject = "jobs.due".to_owned();
    let worker = stream.create_consumer(config).await.unwrap();
    let mut headers = HeaderMap::new();
    headers.insert(async_nats::header::NATS_SCHEDULE, "@every 1s");
    headers.insert(async_nats::header::NATS_SCHEDULE_TARGET, "jobs.due");
    headers.insert(async_nats::header::NATS_SCHEDULE_TTL, "5m");
    let published = js.publish_with_headers("jobs.later", headers, "work".into());
    published.await.unwrap().await.unwrap();
    let mut messages = worker.messages().await.unwrap();
    for _ in 0..2 {
        let message = next(&mut messages).await;
        let headers = message.headers.as_ref().unwrap();
        let scheduler = headers.get(async_nats::header::NATS_SCHEDULER);
        assert_eq!(scheduler.unwrap().as_str(), "jobs.later");
        assert_eq!(message.payload, "work");
        message.ack().await.unwrap();
    }
    // Another message takes the place of the schedule.
    put(&js, "jobs.later", "that was it").await;
}
