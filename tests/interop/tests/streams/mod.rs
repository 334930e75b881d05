//! Streams, their consumers, and what is built on them, on a server with a store.

mod bucket;
mod consumer;
mod copies;
mod dead_letters;
mod groups;
mod key_order;
mod letters;
mod limits;
mod object;
mod publish;
mod pull;
mod push;
mod redrive;
mod restart;
mod stream;
mod timed;
mod work;

use std::fmt::Debug;
use std::future::Future;
use std::ops::Range;
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::consumer::pull::Batch;
use async_nats::jetstream::consumer::pull::Config as PullConfig;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::stream::{Config, Stream};
use async_nats::jetstream::{Context, ContextBuilder, Message};
use async_nats::{ConnectOptions, Event};
use futures::StreamExt;
use tokio::time::{sleep, timeout};

use crate::harness::{Events, PATIENCE, Server, is_reference};

/// A server that keeps streams, and a client of it.
async fn started() -> (Server, Context) {
    let server = Server::start_with_store().await;
    let js = context(&server).await;
    (server, js)
}

async fn context(server: &Server) -> Context {
    let options = ConnectOptions::new().reconnect_delay_callback(|_| Duration::from_millis(10));
    context_of(server.connect_with(options).await)
}

fn context_of(client: async_nats::Client) -> Context {
    ContextBuilder::new().timeout(PATIENCE).build(client)
}

/// A server whose restarts a client lives through.
struct Restarts {
    server: Server,
    events: Events,
    js: Context,
}

#[derive(Clone, Copy, PartialEq)]
enum How {
    Stop,
    Kill,
}

impl Restarts {
    async fn started() -> Restarts {
        let server = Server::start_with_store().await;
        let options = ConnectOptions::new().reconnect_delay_callback(|_| Duration::from_millis(10));
        let (options, mut events) = Events::of(options);
        let js = context_of(server.connect_with(options).await);
        events.until(Event::Connected).await;
        Restarts { server, events, js }
    }

    async fn restart(&mut self, how: How) {
        match how {
            How::Stop => {
                self.server.stop().await;
            }
            How::Kill => self.server.kill(),
        }
        self.server.start_again().await;
        self.events.until(Event::Connected).await;
    }
}

/// How a server may end without forgetting what consumers did, and what was deleted. The original
/// writes that a moment later than it says so, and a kill may cost it.
fn ends_that_keep_all() -> &'static [How] {
    if is_reference() {
        &[How::Stop]
    } else {
        &[How::Stop, How::Kill]
    }
}

/// A stream on some subjects.
fn on(name: &str, subjects: &[&str]) -> Config {
    Config {
        name: name.to_owned(),
        subjects: subjects.iter().map(ToString::to_string).collect(),
        ..Default::default()
    }
}

/// The stream `ORDERS` on `orders.*`, with as many messages on `orders.a`.
async fn orders(js: &Context, count: usize) -> Stream {
    let stream = js.create_stream(on("ORDERS", &["orders.*"])).await.unwrap();
    fill(js, "orders.a", 0..count).await;
    stream
}

/// Publishes numbers, many at a time, and waits for all to be stored.
async fn fill(js: &Context, subject: &str, numbers: Range<usize>) -> Vec<PublishAck> {
    let mut futures = Vec::new();
    for number in numbers {
        let text = number.to_string();
        futures.push(js.publish(subject.to_owned(), text.into()).await.unwrap());
    }
    let mut acks = Vec::new();
    for future in futures {
        acks.push(future.await.unwrap());
    }
    acks
}

async fn put(js: &Context, subject: &str, payload: &str) -> u64 {
    let ack = js.publish(subject.to_owned(), payload.to_owned().into());
    ack.await.unwrap().await.unwrap().sequence
}

fn durable(name: &str) -> PullConfig {
    PullConfig {
        durable_name: Some(name.to_owned()),
        ..Default::default()
    }
}

async fn consumer(stream: &Stream, config: PullConfig) -> PullConsumer {
    stream.create_consumer(config).await.unwrap()
}

/// Asks for messages until as many have come.
async fn fetch(consumer: &PullConsumer, count: usize) -> Vec<Message> {
    let mut got = Vec::new();
    while got.len() < count {
        let wanted = count - got.len();
        let batch = consumer.batch().max_messages(wanted).expires(PATIENCE);
        let mut batch = batch.messages().await.unwrap();
        while let Some(message) = timeout(PATIENCE, batch.next()).await.expect("in time") {
            got.push(message.unwrap());
        }
    }
    got
}

/// What is there at once.
async fn fetch_now(consumer: &PullConsumer, most: usize) -> Vec<Message> {
    let fetch = consumer.fetch().max_messages(most);
    rest(fetch.messages().await.unwrap()).await
}

async fn rest(mut batch: Batch) -> Vec<Message> {
    let mut got = Vec::new();
    while let Some(message) = timeout(PATIENCE, batch.next()).await.expect("in time") {
        got.push(message.unwrap());
    }
    got
}

/// The next item of a stream that fails neither to come nor to be good.
async fn next<S, T, E>(stream: &mut S) -> T
where
    S: futures::Stream<Item = Result<T, E>> + Unpin,
    E: Debug,
{
    let next = timeout(PATIENCE, stream.next()).await.expect("in time");
    next.expect("an open stream").expect("no error")
}

/// The next good item: what a client tells of the server's absence is no end.
async fn next_good<S, T, E>(stream: &mut S) -> T
where
    S: futures::Stream<Item = Result<T, E>> + Unpin,
{
    let good = async {
        loop {
            if let Ok(item) = stream.next().await.expect("an open stream") {
                return item;
            }
        }
    };
    timeout(PATIENCE, good).await.expect("in time")
}

async fn take<S, T, E>(stream: &mut S, count: usize) -> Vec<T>
where
    S: futures::Stream<Item = Result<T, E>> + Unpin,
    E: Debug,
{
    let mut got = Vec::new();
    while got.len() < count {
        got.push(next(stream).await);
    }
    got
}

fn sequences(messages: &[Message]) -> Vec<u64> {
    let sequence = |message: &Message| message.info().unwrap().stream_sequence;
    messages.iter().map(sequence).collect()
}

fn texts(messages: &[Message]) -> Vec<String> {
    let text = |message: &Message| String::from_utf8(message.payload.to_vec()).unwrap();
    messages.iter().map(text).collect()
}

fn numbers(range: Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// Asserts that the server refused with one of its codes, whatever the client makes of it.
fn refused<T, E: Debug>(result: Result<T, E>, code: u64) {
    match result {
        Ok(_) => panic!("not refused with {code}"),
        Err(error) => {
            let told = format!("{error:?}");
            // The client keeps the codes of most errors, and has names for some.
            let name = match code {
                10014 | 10059 => "kind: NotFound",
                10037 => "kind: NoMessageFound",
                10148 => "kind: AlreadyExists",
                10149 => "kind: DoesNotExist",
                _ => "ErrorCode",
            };
            let coded = told.contains(&format!("ErrorCode({code})"));
            assert!(
                coded || name != "ErrorCode" && told.contains(name),
                "{told}"
            );
        }
    }
}

/// Asks until the answer is what it should be, and gives it back.
async fn until<T, F, H>(mut ask: impl FnMut() -> F, mut holds: H) -> T
where
    F: Future<Output = T>,
    H: FnMut(&T) -> bool,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask().await;
        if holds(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "not in time");
        sleep(Duration::from_millis(5)).await;
    }
}
