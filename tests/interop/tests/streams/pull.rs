//! Pull consumers: asking for messages, and saying what became of them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::pull::{Config, MessagesErrorKind};
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer};
use async_nats::jetstream::{AckKind, Message};
use futures::StreamExt;
use futures::future::join_all;
use tokio::time::timeout;

use crate::harness::{self, PATIENCE};

use super::{
    consumer, context, durable, fetch, fetch_now, fill, next, numbers, orders, put, rest,
    sequences, started, take, texts, until,
};

const SHORT: Duration = Duration::from_millis(200);

/// What comes within a short while, which is nothing.
async fn nothing(consumer: &PullConsumer) {
    let batch = consumer.batch().max_messages(1).expires(SHORT);
    assert!(rest(batch.messages().await.unwrap()).await.is_empty());
}

fn delivered(message: &Message) -> i64 {
    message.info().unwrap().delivered
}

#[tokio::test]
async fn a_batch_comes_in_order() {
    let (_server, js) = started().await;
    let stream = orders(&js, 10).await;
    let reader = consumer(&stream, durable("reader")).await;
    let got = fetch(&reader, 10).await;
    assert_eq!(texts(&got), numbers(0..10));
    for (index, message) in (1..).zip(&got) {
        let info = message.info().unwrap();
        assert_eq!((info.stream, info.consumer), ("ORDERS", "reader"));
        assert_eq!(
            (info.stream_sequence, info.consumer_sequence),
            (index, index)
        );
        assert_eq!((info.delivered, info.pending), (1, 10 - index));
        assert_eq!(message.subject.as_str(), "orders.a");
    }
}

#[tokio::test]
async fn a_fetch_takes_what_there_is() {
    let (_server, js) = started().await;
    let stream = orders(&js, 3).await;
    let reader = consumer(&stream, durable("reader")).await;
    assert_eq!(texts(&fetch_now(&reader, 10).await), numbers(0..3));
    assert!(fetch_now(&reader, 10).await.is_empty());
}

#[tokio::test]
async fn a_batch_waits_for_messages_until_it_expires() {
    let (_server, js) = started().await;
    let stream = orders(&js, 0).await;
    let reader = consumer(&stream, durable("reader")).await;
    let waiting = tokio::spawn({
        let reader = reader.clone();
        async move { fetch(&reader, 1).await }
    });
    let _ = until(
        || reader.get_info(),
        |info| info.as_ref().unwrap().num_waiting == 1,
    )
    .await;
    put(&js, "orders.a", "late").await;
    assert_eq!(texts(&waiting.await.unwrap()), ["late"]);

    nothing(&reader).await;
    let _ = until(
        || reader.get_info(),
        |info| info.as_ref().unwrap().num_waiting == 0,
    )
    .await;
}

#[tokio::test]
async fn a_batch_may_limit_its_bytes() {
    let (_server, js) = started().await;
    let stream = orders(&js, 0).await;
    for _ in 0..5 {
        let ack = js.publish("orders.a", vec![0; 1000].into()).await.unwrap();
        ack.await.unwrap();
    }
    let reader = consumer(&stream, durable("reader")).await;
    let batch = reader
        .batch()
        .max_messages(5)
        .max_bytes(2500)
        .expires(PATIENCE);
    let mut batch = batch.messages().await.unwrap();
    let mut got = 0;
    while let Some(Ok(_)) = timeout(PATIENCE, batch.next()).await.unwrap() {
        got += 1;
    }
    assert_eq!(got, 2);
}

#[tokio::test]
async fn a_stream_of_messages_goes_on_over_many_requests() {
    let (_server, js) = started().await;
    let stream = orders(&js, 1000).await;
    let reader = consumer(&stream, durable("reader")).await;
    let mut messages = reader
        .stream()
        .max_messages_per_batch(50)
        .messages()
        .await
        .unwrap();
    let mut got = Vec::new();
    for _ in 0..1000 {
        let message = next(&mut messages).await;
        message.ack().await.unwrap();
        got.push(message);
    }
    assert_eq!(texts(&got), numbers(0..1000));
    fill(&js, "orders.a", 1000..1100).await;
    assert_eq!(texts(&take(&mut messages, 100).await), numbers(1000..1100));
}

#[tokio::test]
async fn a_stream_of_messages_lives_on_heartbeats() {
    let (_server, js) = started().await;
    let stream = orders(&js, 0).await;
    let reader = consumer(&stream, durable("reader")).await;
    let messages = reader
        .stream()
        .expires(Duration::from_millis(1500))
        .heartbeat(SHORT);
    let mut messages = messages.messages().await.unwrap();
    // Missing two, the client would report it.
    assert!(timeout(8 * SHORT, messages.next()).await.is_err());
    put(&js, "orders.a", "late").await;
    assert_eq!(next(&mut messages).await.payload, "late");
}

#[tokio::test]
async fn a_stream_of_messages_ends_with_its_consumer() {
    let (_server, js) = started().await;
    let stream = orders(&js, 0).await;
    let reader = consumer(&stream, durable("reader")).await;
    let mut messages = reader.messages().await.unwrap();
    let first = tokio::spawn(async move { timeout(PATIENCE, messages.next()).await.unwrap() });
    let _ = until(
        || reader.get_info(),
        |info| info.as_ref().unwrap().num_waiting == 1,
    )
    .await;
    stream.delete_consumer("reader").await.unwrap();
    let error = first.await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.kind(), MessagesErrorKind::ConsumerDeleted);
}

#[tokio::test]
async fn requests_beyond_the_caps_of_a_consumer_are_refused() {
    let (_server, js) = started().await;
    let stream = orders(&js, 0).await;
    let capped = Config {
        max_batch: 5,
        ..durable("reader")
    };
    let reader = consumer(&stream, capped).await;
    let mut messages = reader
        .stream()
        .max_messages_per_batch(6)
        .messages()
        .await
        .unwrap();
    let error = timeout(PATIENCE, messages.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap_err();
    assert_eq!(error.kind(), MessagesErrorKind::RequestLimitExceeded);
}

#[tokio::test]
async fn workers_on_one_consumer_share_the_messages() {
    let (server, js) = started().await;
    let stream = orders(&js, 1000).await;
    let reader = consumer(&stream, durable("crew")).await;
    let work = || async {
        let js = context(&server).await;
        let worker: PullConsumer = js.get_consumer_from_stream("crew", "ORDERS").await.unwrap();
        let mut done = Vec::new();
        loop {
            let batch = worker
                .batch()
                .max_messages(20)
                .expires(SHORT)
                .messages()
                .await
                .unwrap();
            let got = rest(batch).await;
            if got.is_empty() {
                return done;
            }
            for message in &got {
                message.double_ack().await.unwrap();
            }
            done.extend(sequences(&got));
        }
    };
    let shares = join_all((0..4).map(|_| work())).await;
    let mut all = shares.concat();
    all.sort();
    assert!(all.into_iter().eq(1..=1000));
    let info = reader.get_info().await.unwrap();
    assert_eq!((info.num_pending, info.num_ack_pending), (0, 0));
    assert_eq!(info.ack_floor.stream_sequence, 1000);
}

#[tokio::test]
async fn the_floor_waits_for_the_first_unacknowledged() {
    let (_server, js) = started().await;
    let stream = orders(&js, 5).await;
    let reader = consumer(&stream, durable("reader")).await;
    let got = fetch(&reader, 5).await;
    for index in [0, 1, 3] {
        got[index].double_ack().await.unwrap();
    }
    let info = reader.get_info().await.unwrap();
    assert_eq!(
        (info.ack_floor.stream_sequence, info.num_ack_pending),
        (2, 2)
    );
    got[2].double_ack().await.unwrap();
    let info = reader.get_info().await.unwrap();
    assert_eq!(
        (info.ack_floor.stream_sequence, info.num_ack_pending),
        (4, 1)
    );
    assert_eq!(
        (
            info.delivered.stream_sequence,
            info.delivered.consumer_sequence
        ),
        (5, 5)
    );
}

#[tokio::test]
async fn an_unacknowledged_message_comes_again() {
    let (_server, js) = started().await;
    let stream = orders(&js, 2).await;
    let reader = consumer(
        &stream,
        Config {
            ack_wait: SHORT,
            ..durable("reader")
        },
    )
    .await;
    fetch(&reader, 2).await[1].double_ack().await.unwrap();
    let again = fetch(&reader, 1).await.remove(0);
    let info = again.info().unwrap();
    assert_eq!(
        (info.stream_sequence, info.consumer_sequence, info.delivered),
        (1, 3, 2)
    );
    assert_eq!(reader.get_info().await.unwrap().num_redelivered, 1);
    again.double_ack().await.unwrap();
    nothing(&reader).await;
}

#[tokio::test]
async fn a_refused_message_comes_again_at_once_or_later() {
    let (_server, js) = started().await;
    let stream = orders(&js, 2).await;
    let reader = consumer(&stream, durable("reader")).await;
    let got = fetch(&reader, 2).await;
    let started = Instant::now();
    got[0]
        .ack_with(AckKind::Nak(Some(2 * SHORT)))
        .await
        .unwrap();
    got[1].ack_with(AckKind::Nak(None)).await.unwrap();
    let again = fetch(&reader, 2).await;
    assert_eq!(sequences(&again), [2, 1]);
    assert!(again.iter().all(|message| delivered(message) == 2));
    assert!(started.elapsed() > SHORT);
}

#[tokio::test]
async fn work_in_progress_holds_off_the_redelivery() {
    let (_server, js) = started().await;
    let stream = orders(&js, 1).await;
    let wait = Duration::from_millis(500);
    let reader = consumer(
        &stream,
        Config {
            ack_wait: wait,
            ..durable("reader")
        },
    )
    .await;
    let message = fetch(&reader, 1).await.remove(0);
    for _ in 0..6 {
        nothing(&reader).await;
        message.double_ack_with(AckKind::Progress).await.unwrap();
    }
    assert_eq!(delivered(&fetch(&reader, 1).await[0]), 2);
}

#[tokio::test]
async fn a_terminated_message_never_comes_again() {
    let (_server, js) = started().await;
    let stream = orders(&js, 2).await;
    let reader = consumer(
        &stream,
        Config {
            ack_wait: SHORT,
            ..durable("reader")
        },
    )
    .await;
    fetch(&reader, 2).await[0]
        .double_ack_with(AckKind::Term)
        .await
        .unwrap();
    assert_eq!(sequences(&fetch(&reader, 1).await), [2]);
}

#[tokio::test]
async fn an_answer_may_ask_for_the_next_message() {
    let (_server, js) = started().await;
    let stream = orders(&js, 2).await;
    let reader = consumer(&stream, durable("reader")).await;
    let first = fetch(&reader, 1).await.remove(0);
    let client = js.client();
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.unwrap();
    let reply = first.reply.clone().unwrap();
    client
        .publish_with_reply(reply, inbox, "+NXT".into())
        .await
        .unwrap();
    assert_eq!(harness::next_text(&mut answers).await, "1");
    assert_eq!(
        reader.get_info().await.unwrap().ack_floor.stream_sequence,
        1
    );
}

#[tokio::test]
async fn one_acknowledgement_may_cover_all_before() {
    let (_server, js) = started().await;
    let stream = orders(&js, 5).await;
    let reader = consumer(
        &stream,
        Config {
            ack_policy: AckPolicy::All,
            ..durable("r")
        },
    )
    .await;
    fetch(&reader, 5).await[3].double_ack().await.unwrap();
    let info = reader.get_info().await.unwrap();
    assert_eq!(
        (info.ack_floor.stream_sequence, info.num_ack_pending),
        (4, 1)
    );
}

#[tokio::test]
async fn without_acknowledgements_delivered_is_done() {
    let (_server, js) = started().await;
    let stream = orders(&js, 5).await;
    let reader = consumer(
        &stream,
        Config {
            ack_policy: AckPolicy::None,
            ..durable("r")
        },
    )
    .await;
    assert_eq!(texts(&fetch(&reader, 5).await), numbers(0..5));
    let info = reader.get_info().await.unwrap();
    assert_eq!((info.num_ack_pending, info.num_pending), (0, 0));
    nothing(&reader).await;
}

#[tokio::test]
async fn a_message_is_given_up_after_its_last_delivery() {
    let (_server, js) = started().await;
    let stream = orders(&js, 1).await;
    let subject = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.ORDERS.reader";
    let mut advisories = js.client().subscribe(subject).await.unwrap();
    let backoff = vec![SHORT / 2, SHORT];
    let config = Config {
        backoff,
        max_deliver: 3,
        ..durable("reader")
    };
    let reader = consumer(&stream, config).await;
    let started = Instant::now();
    for count in 1..=3 {
        assert_eq!(delivered(&fetch(&reader, 1).await[0]), count);
    }
    assert!(started.elapsed() > SHORT);
    let waiting = tokio::spawn({
        let reader = reader.clone();
        async move { fetch(&reader, 1).await }
    });
    let advisory = harness::next_text(&mut advisories).await;
    for part in ["max_deliver", r#""stream_seq":1"#, r#""deliveries":3"#] {
        assert!(advisory.contains(part), "{advisory}");
    }
    put(&js, "orders.a", "next").await;
    assert_eq!(texts(&waiting.await.unwrap()), ["next"]);
    assert!(
        stream.get_raw_message(1).await.is_ok(),
        "it stays in the stream"
    );
}

#[tokio::test]
async fn no_more_is_out_than_may_be() {
    let (_server, js) = started().await;
    let stream = orders(&js, 10).await;
    let reader = consumer(
        &stream,
        Config {
            max_ack_pending: 3,
            ..durable("reader")
        },
    )
    .await;
    let got = fetch(&reader, 3).await;
    nothing(&reader).await;
    let info = reader.get_info().await.unwrap();
    assert_eq!((info.num_ack_pending, info.num_pending), (3, 7));
    got[1].double_ack().await.unwrap();
    assert_eq!(sequences(&fetch(&reader, 1).await), [4]);
}

#[tokio::test]
async fn a_deleted_message_is_not_delivered() {
    let (_server, js) = started().await;
    let stream = orders(&js, 5).await;
    let reader = consumer(&stream, durable("reader")).await;
    for sequence in [1, 3, 5] {
        stream.delete_message(sequence).await.unwrap();
    }
    assert_eq!(sequences(&fetch(&reader, 2).await), [2, 4]);
    stream.purge().await.unwrap();
    put(&js, "orders.a", "fresh").await;
    assert_eq!(sequences(&fetch(&reader, 1).await), [6]);
}

#[tokio::test]
async fn an_ordered_consumer_reads_all_in_order() {
    let (_server, js) = started().await;
    let stream = orders(&js, 1000).await;
    let config = async_nats::jetstream::consumer::pull::OrderedConfig::default();
    let reader = stream.create_consumer(config).await.unwrap();
    let mut messages = reader.messages().await.unwrap();
    assert_eq!(texts(&take(&mut messages, 1000).await), numbers(0..1000));
    let infos: Vec<_> = stream.consumer_names().collect().await;
    for name in infos {
        stream.delete_consumer(&name.unwrap()).await.unwrap();
    }
    fill(&js, "orders.a", 1000..1010).await;
    let got: BTreeSet<u64> = sequences(&take(&mut messages, 10).await)
        .into_iter()
        .collect();
    assert!(got.into_iter().eq(1001..=1010), "it finds itself another");
}
