//! What midge adds to streams: options that stand in metadata, and requests of its own.

use std::collections::HashMap;

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::stream::{Config, RetentionPolicy, Stream};
use async_nats::jetstream::{AckKind, Context, Message};
use futures::TryStreamExt;
use serde_json::Value;

use crate::harness::{Server, is_reference};

use super::{Restarts, consumer, durable, fetch, fetch_now, on, started, until};

/// A server with a store and a client of it, unless it does not have what midge adds.
pub(super) async fn midge_started() -> Option<(Server, Context)> {
    if is_reference() {
        return None;
    }
    Some(started().await)
}

/// The same with a client that lives through restarts.
pub(super) async fn midge_restarts() -> Option<Restarts> {
    if is_reference() {
        return None;
    }
    Some(Restarts::started().await)
}

/// What the server says to a request of midge's own, be it yes or no.
pub(super) async fn asked(js: &Context, words: &str, body: Value) -> Value {
    let subject = format!("$MIDGE.API.{words}");
    let client = js.client();
    let answer = client.request(subject, body.to_string().into()).await;
    let answer = answer.unwrap_or_else(|error| panic!("{words}: {error}"));
    serde_json::from_slice(&answer.payload).unwrap()
}

/// A request of midge's own, which is agreed to.
pub(super) async fn midge(js: &Context, words: &str, body: Value) -> Value {
    let answer = asked(js, words, body.clone()).await;
    assert!(answer.get("error").is_none(), "{words} {body}: {answer}");
    answer
}

/// The dead letters that a filter holds for.
pub(super) async fn listed(js: &Context, filter: Value) -> Vec<Value> {
    let list = midge(js, "DLQ.LIST", filter).await;
    list["letters"].as_array().unwrap().clone()
}

/// The same once there are as many.
pub(super) async fn letters(js: &Context, filter: Value, count: usize) -> Vec<Value> {
    let ask = || listed(js, filter.clone());
    until(ask, |found| found.len() == count).await
}

/// One field of each, as numbers.
pub(super) fn each(found: &[Value], field: &str) -> Vec<u64> {
    let number = |one: &Value| one[field].as_u64().unwrap();
    found.iter().map(number).collect()
}

/// One field of each, as texts.
pub(super) fn each_text<'a>(found: &'a [Value], field: &str) -> Vec<&'a str> {
    let text = |one: &'a Value| one[field].as_str().unwrap_or_default();
    found.iter().map(text).collect()
}

pub(super) fn metadata(entries: &[(&str, &str)]) -> HashMap<String, String> {
    let entry = |(key, value): &(&str, &str)| (format!("midge.{key}"), (*value).to_owned());
    entries.iter().map(entry).collect()
}

/// A durable consumer that tries as often, with options.
pub(super) fn tries(name: &str, max_deliver: i64, options: &[(&str, &str)]) -> pull::Config {
    pull::Config {
        max_deliver,
        metadata: metadata(options),
        ack_policy: AckPolicy::Explicit,
        ..durable(name)
    }
}

/// A work queue `JOBS` on jobs.> with a consumer.
pub(super) async fn jobs(js: &Context, config: pull::Config) -> (Stream, PullConsumer) {
    let queue = Config {
        retention: RetentionPolicy::WorkQueue,
        ..on("JOBS", &["jobs.>"])
    };
    let stream = js.create_stream(queue).await.unwrap();
    let reader = consumer(&stream, config).await;
    (stream, reader)
}

pub(super) async fn one(reader: &PullConsumer) -> Message {
    fetch(reader, 1).await.remove(0)
}

pub(super) async fn refuse(message: &Message) {
    message.ack_with(AckKind::Nak(None)).await.unwrap();
}

pub(super) async fn done(message: &Message) {
    message.double_ack().await.unwrap();
}

/// Says something about a message that the client has no word for. Answered once it is safe.
pub(super) async fn say(js: &Context, message: &Message, words: &str) {
    let reply = message.reply.clone().unwrap();
    let said = js.client().request(reply, words.to_owned().into()).await;
    said.unwrap();
}

/// What there is was either delivered or has to wait.
pub(super) async fn nothing_comes(reader: &PullConsumer) {
    let got = fetch_now(reader, 1).await;
    assert!(got.is_empty(), "{got:?}");
}

pub(super) async fn is_idle(reader: &PullConsumer) -> bool {
    let info = reader.get_info().await;
    info.is_ok_and(|info| (info.num_pending, info.num_ack_pending) == (0, 0))
}

pub(super) async fn stored(stream: &Stream) -> u64 {
    stream.get_info().await.unwrap().state.messages
}

pub(super) async fn stream_names(js: &Context) -> Vec<String> {
    let mut names: Vec<String> = js.stream_names().try_collect().await.unwrap();
    names.sort();
    names
}
