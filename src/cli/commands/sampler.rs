//! What `midge top` knows of a server: streams and consumers, and how fast
//! they go.
//!
//! A server with thousands of consumers is asked for a part of them at a time,
//! stream by stream, so that looking does not slow down what is looked at.

use super::age;
use super::arguments::Arguments;
use super::failure::Failure;
use super::remote::{QUESTION_TIMEOUT, Remote, number, string};
use midge_proto::api::{JsonWriter, Timestamp};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// What a server tells on a page of a list.
const PAGE: usize = 256;

/// Pages of one list that are asked for: four thousand streams, and as many
/// consumers of a stream, are more than anybody looks at.
const PAGES_MAX: usize = 16;

/// Pages of consumers that one sample asks for. What is left comes next time.
const CONSUMER_PAGES_MAX: usize = 16;

/// The error of a stream that is gone.
const STREAM_NOT_FOUND: u64 = 10059;

/// Where dead letters are kept, and their subjects.
const DLQ: &str = "DLQ";
const DLQ_SUBJECTS: &str = "$DLQ.>";

/// Dead letters of more subjects are not told apart by consumer: that answer
/// would be long.
const DLQ_SUBJECTS_MAX: u64 = 10_000;

/// How often they are looked at, if they change.
const DLQ_EVERY: Duration = Duration::from_secs(3);

/// What was measured. The rows are objects of what the tables show.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    pub(crate) server: String,
    pub(crate) streams: Vec<Value>,
    pub(crate) consumers: Vec<Value>,
    pub(crate) streams_total: u64,
    pub(crate) consumers_total: u64,
    /// Nothing where there are no dead letters to be had.
    pub(crate) dead: Option<u64>,
}

/// What a count was, and when.
#[derive(Debug, Clone, Copy)]
struct Counted {
    at: Instant,
    count: u64,
}

/// The consumers of a stream, when they were last asked for.
#[derive(Debug, Default)]
struct Consumers {
    rows: Vec<Map<String, Value>>,
    delivered: HashMap<String, Counted>,
}

/// Asks a server again and again.
#[derive(Debug)]
pub(crate) struct Sampler {
    remote: Remote,
    is_midge: bool,
    stored: HashMap<String, Counted>,
    consumers: BTreeMap<String, Consumers>,
    /// The stream whose consumers were asked for last.
    asked_last: String,
    dead: Dead,
}

/// Of each stream, of each of its consumers.
type DeadCounts = HashMap<String, HashMap<String, u64>>;

/// Dead letters of each stream and consumer.
#[derive(Debug, Default)]
struct Dead {
    /// Nothing if they have too many subjects.
    counts: Option<DeadCounts>,
    /// What `DLQ` was when they were counted.
    seen: Option<(u64, u64)>,
    at: Option<Instant>,
}

impl Sampler {
    pub(crate) fn connect(arguments: &Arguments) -> Result<Sampler, Failure> {
        let remote = Remote::connect_lasting(arguments)?;
        Ok(Sampler {
            is_midge: remote.is_midge(),
            remote,
            stored: HashMap::new(),
            consumers: BTreeMap::new(),
            asked_last: String::new(),
            dead: Dead::default(),
        })
    }

    /// Measures once. While there is no connection it does not wait for one.
    pub(crate) fn sample(&mut self) -> Result<Sample, Failure> {
        let client = self.remote.client();
        if !client.is_connected() {
            let words = format!("{}: there is no connection", client.address());
            return Err(Failure::refused(words));
        }
        let (streams, streams_total) = self.pages("$JS.API.STREAM.LIST", "streams")?;
        let at = Instant::now();
        let name = |stream: &Value| string(&stream["config"], "name").to_owned();
        let names: Vec<String> = streams.iter().map(name).collect();
        self.stored.retain(|name, _| names.contains(name));
        self.consumers.retain(|name, _| names.contains(name));
        self.ask_consumers(&streams)?;
        if self.is_midge {
            self.count_dead(streams.iter().find(|stream| name(stream) == DLQ))?;
        }
        let rows = streams.iter().map(|stream| self.stream_row(stream, at));
        let rows = rows.collect();
        let count = |stream: &Value| number(&stream["state"], "consumer_count");
        let dead = streams.iter().find(|stream| name(stream) == DLQ);
        let dead = dead.map_or(0, |stream| number(&stream["state"], "messages"));
        Ok(Sample {
            server: self.remote.client().address().to_string(),
            streams: rows,
            consumers: self.consumer_rows(),
            streams_total,
            consumers_total: streams.iter().map(count).sum(),
            dead: self.is_midge.then_some(dead),
        })
    }

    /// A list, up to a number of pages, and how long all of it is. One of a
    /// stream that is gone meanwhile is empty.
    fn pages(&self, operation: &str, key: &str) -> Result<(Vec<Value>, u64), Failure> {
        let mut all = Vec::new();
        let mut total = 0;
        for _ in 0..PAGES_MAX {
            let mut json = JsonWriter::new();
            json.open_object();
            json.uint_field("offset", all.len() as u64);
            json.close_object();
            let Some(mut answer) = self.remote.find(operation, json, STREAM_NOT_FOUND)? else {
                break;
            };
            total = number(&answer.value, "total");
            let before = all.len();
            if let Some(Value::Array(items)) = answer.value.get_mut(key).map(Value::take) {
                all.extend(items);
            }
            if all.len() == before || all.len() as u64 >= total {
                break;
            }
        }
        Ok((all, total))
    }

    /// Asks for the consumers of some streams, beginning behind those of the
    /// last time.
    fn ask_consumers(&mut self, streams: &[Value]) -> Result<(), Failure> {
        let with_consumers = |stream: &&Value| number(&stream["state"], "consumer_count") > 0;
        let mut names: Vec<&str> = streams
            .iter()
            .filter(with_consumers)
            .map(|stream| string(&stream["config"], "name"))
            .collect();
        names.sort_unstable();
        self.consumers
            .retain(|name, _| names.binary_search(&name.as_str()).is_ok());
        let first = names.partition_point(|name| *name <= self.asked_last.as_str());
        names.rotate_left(first);
        let mut pages = 0;
        for name in names {
            if pages >= CONSUMER_PAGES_MAX {
                return Ok(());
            }
            let operation = format!("$JS.API.CONSUMER.LIST.{name}");
            let (items, _) = self.pages(&operation, "consumers")?;
            pages += 1 + items.len() / PAGE;
            let consumers = self.consumers.entry(name.to_owned()).or_default();
            consumers.take(name, &items);
            name.clone_into(&mut self.asked_last);
        }
        Ok(())
    }

    /// Counts the dead letters of each consumer, if there are others than
    /// before and that was not just now.
    fn count_dead(&mut self, dlq: Option<&Value>) -> Result<(), Failure> {
        let state = dlq.map_or(&Value::Null, |dlq| &dlq["state"]);
        let seen = (number(state, "messages"), number(state, "last_seq"));
        let is_recent = |at: Instant| at.elapsed() < DLQ_EVERY;
        if self.dead.seen == Some(seen) || self.dead.at.is_some_and(is_recent) {
            return Ok(());
        }
        let mut counts = Some(HashMap::new());
        if number(state, "num_subjects") > DLQ_SUBJECTS_MAX {
            counts = None;
        } else if dlq.is_some() {
            let mut json = JsonWriter::new();
            json.open_object();
            json.string_field("subjects_filter", DLQ_SUBJECTS);
            json.close_object();
            let info = self
                .remote
                .ask("$JS.API.STREAM.INFO.DLQ", json, QUESTION_TIMEOUT)?;
            counts = Some(by_consumer(&info.value["state"]["subjects"]));
        }
        self.dead = Dead {
            counts,
            seen: Some(seen),
            at: Some(Instant::now()),
        };
        Ok(())
    }

    /// Dead letters of a consumer; of a stream if none is named.
    fn dead_of(&self, stream: &str, consumer: Option<&str>) -> Option<u64> {
        let counts = self.dead.counts.as_ref().filter(|_| self.is_midge)?;
        let Some(counts) = counts.get(stream) else {
            return Some(0);
        };
        Some(match consumer {
            Some(consumer) => counts.get(consumer).copied().unwrap_or_default(),
            None => counts.values().sum(),
        })
    }

    fn consumer_rows(&self) -> Vec<Value> {
        let mut rows = Vec::new();
        for (stream, consumers) in &self.consumers {
            for row in &consumers.rows {
                let mut row = row.clone();
                let name = row.get("consumer").and_then(Value::as_str);
                if let Some(dead) = self.dead_of(stream, name) {
                    row.insert("dead".into(), dead.into());
                }
                rows.push(Value::Object(row));
            }
        }
        rows
    }

    fn stream_row(&mut self, stream: &Value, at: Instant) -> Value {
        let state = &stream["state"];
        let name = string(&stream["config"], "name");
        let consumers = self.consumers.get(name);
        let sum = |key: &str| -> u64 {
            let rows = consumers.into_iter().flat_map(|consumers| &consumers.rows);
            rows.filter_map(|row| row.get(key)?.as_u64()).sum()
        };
        let mut row = Map::new();
        row.insert("stream".into(), name.into());
        let count = number(state, "last_seq");
        if let Some(rate) = rate(&mut self.stored, name, Counted { at, count }) {
            row.insert("in_per_s".into(), rate.into());
            row.insert("out_per_s".into(), sum("out_per_s").into());
        }
        for key in ["messages", "bytes"] {
            row.insert(key.into(), number(state, key).into());
        }
        if number(state, "messages") > 0
            && let Some(age) = age_ms(string(state, "first_ts"))
        {
            row.insert("oldest_ms".into(), age.into());
        }
        row.insert("consumers".into(), number(state, "consumer_count").into());
        for key in ["ack_pending", "redelivered"] {
            row.insert(key.into(), sum(key).into());
        }
        if let Some(dead) = self.dead_of(name, None) {
            row.insert("dead".into(), dead.into());
        }
        Value::Object(row)
    }
}

impl Consumers {
    /// Takes what the server says now.
    fn take(&mut self, stream: &str, items: &[Value]) {
        let at = Instant::now();
        let mut before = std::mem::take(&mut self.delivered);
        self.rows.clear();
        for item in items {
            let name = string(item, "name");
            let count = number(&item["delivered"], "consumer_seq");
            let rate = rate(&mut before, name, Counted { at, count });
            if let Some(counted) = before.get(name) {
                self.delivered.insert(name.to_owned(), *counted);
            }
            let mut row = Map::new();
            row.insert("stream".into(), stream.into());
            row.insert("consumer".into(), name.into());
            if let Some(rate) = rate {
                row.insert("out_per_s".into(), rate.into());
            }
            for (key, of) in [
                ("pending", "num_pending"),
                ("ack_pending", "num_ack_pending"),
                ("redelivered", "num_redelivered"),
                ("waiting", "num_waiting"),
            ] {
                row.insert(key.into(), number(item, of).into());
            }
            if let Some(age) = age_ms(string(&item["delivered"], "last_active")) {
                row.insert("idle_ms".into(), age.into());
            }
            self.rows.push(row);
        }
    }
}

/// How fast a count grows, in ones a second; remembers it for the next time.
/// What is seen for the first time has no rate yet.
fn rate(known: &mut HashMap<String, Counted>, name: &str, now: Counted) -> Option<u64> {
    let before = known.insert(name.to_owned(), now)?;
    let micros = now.at.duration_since(before.at).as_micros().max(1);
    let grown = u128::from(now.count.saturating_sub(before.count));
    u64::try_from((grown * 1_000_000 + micros / 2) / micros).ok()
}

/// Adds up `$DLQ.<stream>.<consumer>.<subject>`.
fn by_consumer(subjects: &Value) -> DeadCounts {
    let mut counts = DeadCounts::new();
    for (subject, count) in subjects.as_object().into_iter().flatten() {
        let mut tokens = subject.split('.').skip(1);
        let mut token = || tokens.next().unwrap_or_default().to_owned();
        let of_stream = counts.entry(token()).or_default();
        *of_stream.entry(token()).or_default() += count.as_u64().unwrap_or_default();
    }
    counts
}

/// How long ago that was; nothing if it never was.
fn age_ms(time: &str) -> Option<u64> {
    let then = Timestamp::parse(time)?.get()?;
    let nanos = age::now().0.saturating_sub(then.0);
    Some(u64::try_from(nanos).unwrap_or_default() / 1_000_000)
}
