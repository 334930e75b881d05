//! What makes room in a stream, what is refused instead, and who decides that a message is done.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, State, Stream};
use async_nats::jetstream::{AckKind, Context};

use super::{consumer, durable, fetch, fetch_now, fill, on, put, refused, started, texts, until};

async fn state(stream: &Stream) -> State {
    stream.get_info().await.unwrap().state
}

async fn empty(stream: &Stream) -> State {
    until(|| state(stream), |state| state.messages == 0).await
}

async fn try_put(
    js: &Context,
    subject: &str,
    size: usize,
) -> Result<u64, async_nats::jetstream::context::PublishError> {
    let ack = js.publish(subject.to_owned(), vec![0; size].into()).await?;
    Ok(ack.await?.sequence)
}

#[tokio::test]
async fn the_oldest_messages_make_room_for_new_ones() {
    let (_server, js) = started().await;
    let config = Config {
        max_messages: 10,
        ..on("CAPPED", &["capped"])
    };
    let stream = js.create_stream(config).await.unwrap();
    fill(&js, "capped", 0..25).await;
    let state = state(&stream).await;
    assert_eq!(
        (state.messages, state.first_sequence, state.last_sequence),
        (10, 16, 25)
    );
}

#[tokio::test]
async fn bytes_are_limited_too() {
    let (_server, js) = started().await;
    let config = Config {
        max_bytes: 10_000,
        ..on("CAPPED", &["capped"])
    };
    let stream = js.create_stream(config).await.unwrap();
    for _ in 0..20 {
        try_put(&js, "capped", 1000).await.unwrap();
    }
    let state = state(&stream).await;
    assert!(state.bytes <= 10_000);
    assert_eq!((state.messages, state.last_sequence), (9, 20));
}

#[tokio::test]
async fn a_full_stream_may_refuse_new_messages() {
    let (_server, js) = started().await;
    let config = Config {
        max_messages: 2,
        discard: DiscardPolicy::New,
        ..on("FULL", &["full"])
    };
    let stream = js.create_stream(config).await.unwrap();
    fill(&js, "full", 0..2).await;
    refused(try_put(&js, "full", 0).await, 10077);
    stream.delete_message(1).await.unwrap();
    assert_eq!(try_put(&js, "full", 0).await.unwrap(), 3);

    let config = Config {
        max_bytes: 2000,
        discard: DiscardPolicy::New,
        ..on("FAT", &["fat"])
    };
    js.create_stream(config).await.unwrap();
    try_put(&js, "fat", 1500).await.unwrap();
    refused(try_put(&js, "fat", 1000).await, 10077);
    try_put(&js, "fat", 100).await.unwrap();
}

#[tokio::test]
async fn each_subject_has_its_own_limit() {
    let (_server, js) = started().await;
    let config = Config {
        max_messages_per_subject: 2,
        ..on("LAST", &["last.*"])
    };
    let stream = js.create_stream(config).await.unwrap();
    fill(&js, "last.a", 0..5).await;
    fill(&js, "last.b", 0..1).await;
    let info = state(&stream).await;
    assert_eq!((info.messages, info.first_sequence), (3, 4));

    let once = Config {
        max_messages_per_subject: 1,
        discard: DiscardPolicy::New,
        discard_new_per_subject: true,
        ..on("ONCE", &["once.*"])
    };
    js.create_stream(once).await.unwrap();
    put(&js, "once.a", "").await;
    refused(try_put(&js, "once.a", 0).await, 10077);
    assert_eq!(put(&js, "once.b", "").await, 2);
}

#[tokio::test]
async fn large_messages_may_be_refused() {
    let (_server, js) = started().await;
    let config = Config {
        max_message_size: 100,
        ..on("SMALL", &["small"])
    };
    js.create_stream(config).await.unwrap();
    try_put(&js, "small", 100).await.unwrap();
    refused(try_put(&js, "small", 101).await, 10054);
}

#[tokio::test]
async fn old_messages_expire() {
    let (_server, js) = started().await;
    let config = Config {
        max_age: Duration::from_millis(300),
        ..on("BRIEF", &["brief"])
    };
    let stream = js.create_stream(config).await.unwrap();
    fill(&js, "brief", 0..5).await;
    assert_eq!(state(&stream).await.messages, 5);
    let state = empty(&stream).await;
    assert_eq!((state.first_sequence, state.last_sequence), (6, 5));
}

#[tokio::test]
async fn a_work_queue_forgets_what_was_acknowledged() {
    let (_server, js) = started().await;
    let config = Config {
        retention: RetentionPolicy::WorkQueue,
        ..on("JOBS", &["jobs"])
    };
    let stream = js.create_stream(config).await.unwrap();
    fill(&js, "jobs", 0..5).await;
    let worker = consumer(&stream, durable("worker")).await;
    let jobs = fetch(&worker, 5).await;
    for job in &jobs[1..] {
        job.double_ack().await.unwrap();
    }
    assert_eq!(state(&stream).await.messages, 1);
    jobs[0].double_ack_with(AckKind::Term).await.unwrap();
    empty(&stream).await;
}

#[tokio::test]
async fn a_work_queue_gives_each_subject_to_one_consumer() {
    let (_server, js) = started().await;
    let config = Config {
        retention: RetentionPolicy::WorkQueue,
        ..on("JOBS", &["jobs.*"])
    };
    let stream = js.create_stream(config).await.unwrap();
    let filtered = |name: &str, filter: &str| pull::Config {
        filter_subject: filter.to_owned(),
        ..durable(name)
    };
    consumer(&stream, filtered("a", "jobs.a")).await;
    consumer(&stream, filtered("b", "jobs.b")).await;
    refused(stream.create_consumer(filtered("c", "jobs.a")).await, 10100);
    refused(stream.create_consumer(durable("all")).await, 10099);
    let unacknowledged = pull::Config {
        ack_policy: AckPolicy::None,
        ..filtered("c", "jobs.c")
    };
    refused(stream.create_consumer(unacknowledged).await, 10084);
}

#[tokio::test]
async fn interest_keeps_a_message_until_all_have_acknowledged_it() {
    let (_server, js) = started().await;
    let config = Config {
        retention: RetentionPolicy::Interest,
        ..on("NEWS", &["news.*"])
    };
    let stream = js.create_stream(config).await.unwrap();
    assert_eq!(put(&js, "news.a", "nobody cares").await, 1);
    assert_eq!(state(&stream).await.messages, 0);

    let one = consumer(&stream, durable("one")).await;
    let two = consumer(&stream, durable("two")).await;
    fill(&js, "news.a", 0..3).await;
    for message in fetch(&one, 3).await {
        message.double_ack().await.unwrap();
    }
    assert_eq!(state(&stream).await.messages, 3);
    fetch(&two, 1).await[0].double_ack().await.unwrap();
    assert_eq!(state(&stream).await.messages, 2);
    stream.delete_consumer("two").await.unwrap();
    empty(&stream).await;
}

#[tokio::test]
async fn limits_count_for_work_queues_as_well() {
    let (_server, js) = started().await;
    let config = Config {
        retention: RetentionPolicy::WorkQueue,
        max_messages: 3,
        ..on("JOBS", &["jobs"])
    };
    let stream = js.create_stream(config).await.unwrap();
    fill(&js, "jobs", 0..5).await;
    let worker = consumer(&stream, durable("worker")).await;
    assert_eq!(texts(&fetch_now(&worker, 10).await), ["2", "3", "4"]);
}

#[tokio::test]
async fn the_number_of_consumers_is_limited() {
    let (_server, js) = started().await;
    let config = Config {
        max_consumers: 1,
        ..on("FEW", &["few"])
    };
    let stream = js.create_stream(config).await.unwrap();
    consumer(&stream, durable("one")).await;
    refused(stream.create_consumer(durable("two")).await, 10026);
    stream.delete_consumer("one").await.unwrap();
    consumer(&stream, durable("two")).await;
}
