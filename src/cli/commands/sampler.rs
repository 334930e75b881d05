//! What `midge top` knows of a server: streams and consumers, and how fast
//! they go.
//!
//! A server with thousands of consumers is asked for a part of them at a time,
//! stream by stream, so that looking does not slow down what is looked at.

use super::age;
use super::remote::{QUESTION_TIMEOUT, Remote, number, string};
use super::settings::Settings;
use crate::arguments::Arguments;
use crate::failure::Failure;
use midge_api::{JsonWriter, Timestamp};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Pages of one list that are asked for: four thousand streams, and as many
/// consumers of a stream, are more than anybody looks at.
const PAGES_MAX: usize = 16;

/// Streams whose consumers one sample asks for, and consumers after which it
/// asks no more: some milliseconds of the server's time. What is left comes
/// next time.
const ASKED_MAX: usize = 256;
const CONSUMERS_MAX: usize = 4096;

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

/// What of a stream's state, and what of a consumer, is in a row: what it is
/// called there, and here.
const OF_STREAM: [(&str, &str); 4] = [
    ("messages", "messages"),
    ("bytes", "bytes"),
    ("last_seq", "last_seq"),
    ("consumer_count", "consumers"),
];
const OF_CONSUMER: [(&str, &str); 4] = [
    ("num_pending", "pending"),
    ("num_ack_pending", "ack_pending"),
    ("num_redelivered", "redelivered"),
    ("num_waiting", "waiting"),
];

/// What was measured. The rows are objects of what the tables show, in the
/// order of their names.
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

/// Rows by name, and when they were asked for.
#[derive(Debug, Default)]
struct Rows {
    at_us: u64,
    by_name: Settings,
}

/// Asks a server again and again.
#[derive(Debug)]
pub(crate) struct Sampler {
    remote: Remote,
    is_midge: bool,
    begin: Instant,
    streams: Rows,
    /// Of each stream, when its consumers were asked for and what they are.
    consumers: Vec<(String, Rows)>,
    /// The stream whose consumers were asked for last.
    asked_last: String,
    dead: Dead,
}

/// Dead letters.
#[derive(Debug, Default)]
struct Dead {
    /// Of each stream, of each of its consumers; nothing if they have too many
    /// subjects.
    counts: Option<Settings>,
    /// What `DLQ` was when they were counted.
    seen: Option<(u64, u64)>,
    at: Option<Instant>,
}

impl Sampler {
    pub(crate) fn connect(arguments: &Arguments) -> Result<Sampler, Failure> {
        let remote = Remote::connect_lasting(arguments)?;
        Ok(Sampler {
            is_midge: remote.is_midge()?,
            remote,
            begin: Instant::now(),
            streams: Rows::default(),
            consumers: Vec::new(),
            asked_last: String::new(),
            dead: Dead::default(),
        })
    }

    /// Measures once. While there is no connection it does not wait for one.
    pub(crate) fn sample(&mut self) -> Result<Sample, Failure> {
        let client = self.remote.client();
        let server = client.address().to_string();
        if !client.is_connected() {
            let words = format!("{server}: there is no connection");
            return Err(Failure::refused(words));
        }
        let (streams, streams_total) = self.pages("$JS.API.STREAM.LIST", "streams")?;
        self.take_streams(&streams);
        self.ask_consumers()?;
        let dlq = streams.iter().find(|stream| name_of(stream) == DLQ);
        let dlq = dlq.map_or(&Value::Null, |dlq| &dlq["state"]);
        if self.is_midge {
            self.count_dead(dlq)?;
        }
        let mut sample = Sample {
            server,
            streams_total,
            dead: self.is_midge.then(|| number(dlq, "messages")),
            ..Sample::default()
        };
        for (stream, row) in &self.streams.by_name {
            sample.consumers_total += number(row, "consumers");
            let row = self.show_stream(stream, row, &mut sample.consumers);
            sample.streams.push(row);
        }
        Ok(sample)
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

    fn now_us(&self) -> u64 {
        self.begin.elapsed().as_micros() as u64
    }

    fn take_streams(&mut self, streams: &[Value]) {
        let mut rows = Rows {
            at_us: self.now_us(),
            ..Rows::default()
        };
        for stream in streams {
            let (name, state) = (name_of(stream), &stream["state"]);
            let mut row = Settings::new();
            row.insert("stream".to_owned(), name.into());
            for (of, key) in OF_STREAM {
                set(&mut row, key, Some(number(state, of)));
            }
            let oldest = age_ms(string(state, "first_ts"));
            let oldest = oldest.filter(|_| number(state, "messages") > 0);
            set(&mut row, "oldest_ms", oldest);
            let rate = rows.rate(&self.streams, name, "last_seq", number(state, "last_seq"));
            set(&mut row, "in_per_s", rate);
            rows.by_name.insert(name.to_owned(), Value::Object(row));
        }
        self.streams = rows;
    }

    /// Asks for the consumers of some streams, beginning behind those of the
    /// last time.
    fn ask_consumers(&mut self) -> Result<(), Failure> {
        let streams = &self.streams.by_name;
        let has_some = |row: Option<&Value>| row.is_some_and(|row| number(row, "consumers") > 0);
        self.consumers
            .retain(|(name, _)| has_some(streams.get(name)));
        let mut names = Vec::new();
        for is_behind in [true, false] {
            for (name, row) in streams {
                if has_some(Some(row)) && (*name > self.asked_last) == is_behind {
                    names.push(name.clone());
                }
            }
        }
        let mut count = 0;
        for name in names.into_iter().take(ASKED_MAX) {
            let operation = format!("$JS.API.CONSUMER.LIST.{name}");
            let (items, _) = self.pages(&operation, "consumers")?;
            self.take_consumers(&name, &items);
            self.asked_last = name;
            count += items.len();
            if count >= CONSUMERS_MAX {
                break;
            }
        }
        Ok(())
    }

    fn take_consumers(&mut self, stream: &str, items: &[Value]) {
        let mut rows = Rows {
            at_us: self.now_us(),
            ..Rows::default()
        };
        let known = self.consumers.iter().position(|(name, _)| name == stream);
        let none = Rows::default();
        let before = known.map_or(&none, |place| &self.consumers[place].1);
        for item in items {
            let name = string(item, "name");
            let delivered = &item["delivered"];
            let count = number(delivered, "consumer_seq");
            let mut row = Settings::new();
            row.insert("stream".to_owned(), stream.into());
            row.insert("consumer".to_owned(), name.into());
            for (of, key) in OF_CONSUMER {
                set(&mut row, key, Some(number(item, of)));
            }
            set(&mut row, "delivered", Some(count));
            set(
                &mut row,
                "idle_ms",
                age_ms(string(delivered, "last_active")),
            );
            set(
                &mut row,
                "out_per_s",
                rows.rate(before, name, "delivered", count),
            );
            rows.by_name.insert(name.to_owned(), Value::Object(row));
        }
        match known {
            Some(place) => self.consumers[place].1 = rows,
            None => self.consumers.push((stream.to_owned(), rows)),
        }
    }

    /// Counts the dead letters of each consumer, if there are others than
    /// before and that was not just now.
    fn count_dead(&mut self, dlq: &Value) -> Result<(), Failure> {
        let seen = Some((number(dlq, "messages"), number(dlq, "last_seq")));
        let is_recent = |at: Instant| at.elapsed() < DLQ_EVERY;
        if self.dead.seen == seen || self.dead.at.is_some_and(is_recent) {
            return Ok(());
        }
        let counts = match number(dlq, "num_subjects") {
            0 => Some(Settings::new()),
            1..=DLQ_SUBJECTS_MAX => {
                let mut json = JsonWriter::new();
                json.open_object();
                json.string_field("subjects_filter", DLQ_SUBJECTS);
                json.close_object();
                let subject = "$JS.API.STREAM.INFO.DLQ";
                let info = self.remote.ask(subject, json, QUESTION_TIMEOUT)?;
                Some(by_consumer(&info.value["state"]["subjects"]))
            }
            _ => None,
        };
        self.dead = Dead {
            counts,
            seen,
            at: Some(Instant::now()),
        };
        Ok(())
    }

    /// The row of a stream with what its consumers add to it. Their rows are
    /// appended.
    fn show_stream(&self, stream: &str, row: &Value, out: &mut Vec<Value>) -> Value {
        let mut row = row.as_object().cloned().unwrap_or_default();
        let counts = self.dead.counts.as_ref().filter(|_| self.is_midge);
        let counts = counts.map(|counts| counts.get(stream).and_then(Value::as_object));
        let known = self.consumers.iter().find(|(name, _)| name == stream);
        let consumers = known.map(|(_, rows)| &rows.by_name);
        let mut sums = [0; 3];
        const SUMMED: [&str; 3] = ["out_per_s", "ack_pending", "redelivered"];
        for (name, consumer) in consumers.into_iter().flatten() {
            for (sum, key) in sums.iter_mut().zip(SUMMED) {
                *sum += number(consumer, key);
            }
            let mut consumer = consumer.as_object().cloned().unwrap_or_default();
            let dead = counts.map(|counts| counts.and_then(|counts| counts.get(name)?.as_u64()));
            set(&mut consumer, "dead", dead.map(Option::unwrap_or_default));
            out.push(Value::Object(consumer));
        }
        for (sum, key) in sums.into_iter().zip(SUMMED) {
            set(&mut row, key, Some(sum));
        }
        let dead = counts.map(|counts| {
            let all = counts.into_iter().flat_map(Settings::values);
            all.filter_map(Value::as_u64).sum()
        });
        set(&mut row, "dead", dead);
        Value::Object(row)
    }
}

impl Rows {
    /// How fast a count has grown since these were other ones, in ones a
    /// second. What is seen for the first time has no rate yet.
    fn rate(&self, before: &Rows, name: &str, key: &str, count: u64) -> Option<u64> {
        let known = before.by_name.get(name)?;
        let micros = u128::from(self.at_us.saturating_sub(before.at_us).max(1));
        let grown = u128::from(count.saturating_sub(number(known, key)));
        u64::try_from((grown * 1_000_000 + micros / 2) / micros).ok()
    }
}

fn name_of(stream: &Value) -> &str {
    string(&stream["config"], "name")
}

/// Sets a number, if there is one.
#[inline(never)]
fn set(row: &mut Settings, key: &str, value: Option<u64>) {
    if let Some(value) = value {
        row.insert(key.to_owned(), value.into());
    }
}

/// Adds up `$DLQ.<stream>.<consumer>.<subject>`.
fn by_consumer(subjects: &Value) -> Settings {
    let mut counts = Settings::new();
    for (subject, count) in subjects.as_object().into_iter().flatten() {
        let mut tokens = subject.split('.').skip(1);
        let mut token = || tokens.next().unwrap_or_default();
        let of_stream = counts
            .entry(token())
            .or_insert_with(|| Settings::new().into());
        if let Value::Object(of_stream) = of_stream {
            let consumer = token();
            let before = of_stream.get(consumer).and_then(Value::as_u64);
            let count = count.as_u64().unwrap_or_default();
            set(
                of_stream,
                consumer,
                Some(before.unwrap_or_default() + count),
            );
        }
    }
    counts
}

/// How long ago that was; nothing if it never was.
fn age_ms(time: &str) -> Option<u64> {
    let then = Timestamp::parse(time)?.get()?;
    let nanos = age::now().0.saturating_sub(then.0);
    Some(u64::try_from(nanos).unwrap_or_default() / 1_000_000)
}
