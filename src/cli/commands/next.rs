//! `midge consumer next`: taking messages as a worker does, and saying what
//! became of them.

use super::age::with_age;
use super::consumer::subject;
use super::message::push_message;
use super::printer::push_content;
use super::remote::{QUESTION_TIMEOUT, Remote, nothing};
use super::table::push_clean;
use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::output;
use midge_api::{AckSubject, JsonWriter};
use midge_client::{Message, Publish};
use serde_json::Value;
use std::time::{Duration, Instant};

pub(crate) const OPTIONS: &str = "  --count N              so many (default: 1)
  --wait DURATION        for so long if there are none; 0s does not wait
                         (default: 5s)
  --ack                  it is done and does not come again
  --nak REASON           it failed and comes again
  --delay DURATION       with --nak: not before
  --term REASON          it can never be done and does not come again
  --no-ack               leave it open: it comes again after --ack-wait, which
                         is what happens if nothing is said
  --raw                  payloads and nothing else, a line each";

/// How long to wait where nothing else is said.
const WAIT: Duration = Duration::from_secs(5);

/// What a server may be late by.
const GRACE: Duration = Duration::from_secs(5);

/// What a status of a pull request means.
const NO_MESSAGES: [u16; 2] = [404, 408];
const HEARTBEAT: u16 = 100;

/// Somebody who takes messages.
struct Worker<'a> {
    arguments: &'a Arguments,
    remote: Remote,
    /// What the consumer is, as the server says.
    consumer: Value,
    /// What becomes of each message, as it is said to the server; nothing if
    /// nothing is said.
    word: Vec<u8>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let pull = subject(arguments, "MSG.NEXT")?;
    let word = word(arguments)?;
    let remote = Remote::connect(arguments)?;
    // Says what is missing; the request for messages would not.
    let info = remote.ask(&subject(arguments, "INFO")?, nothing(), QUESTION_TIMEOUT)?;
    let worker = Worker {
        arguments,
        remote,
        consumer: info.value,
        word,
    };
    worker.take(&pull)
}

/// What the options say of a message.
fn word(arguments: &Arguments) -> Result<Vec<u8>, Failure> {
    let given = ["ack", "nak", "term", "no-ack"].map(|name| arguments.has(name));
    if given.iter().filter(|is| **is).count() > 1 {
        return Err(Failure::usage(
            "one of --ack, --nak, --term and --no-ack can be said",
        ));
    }
    if arguments.has("delay") && !arguments.has("nak") {
        return Err(Failure::usage("--delay goes with --nak"));
    }
    if arguments.has("nak") {
        let mut json = JsonWriter::new();
        json.open_object();
        arguments.write_fields(&mut json, "delay nak=reason");
        json.close_object();
        return Ok([b"-NAK ", json.into_bytes().as_slice()].concat());
    }
    if let Some(reason) = arguments.text("term") {
        return Ok([b"+TERM ", reason.as_bytes()].concat());
    }
    Ok(match arguments.has("ack") {
        true => b"+ACK".to_vec(),
        false => Vec::new(),
    })
}

impl Worker<'_> {
    /// Takes as many as are wanted, or come in time.
    fn take(&self, pull: &str) -> Result<(), Failure> {
        let client = self.remote.client();
        let count = self.arguments.number("count").unwrap_or(1).max(1);
        let wait = self.arguments.duration("wait").unwrap_or(WAIT);
        let mut json = JsonWriter::new();
        json.open_object();
        json.uint_field("batch", count);
        match u64::try_from(wait.as_nanos()) {
            Ok(0) => json.bool_field("no_wait", true),
            nanos => json.uint_field("expires", nanos.unwrap_or(u64::MAX)),
        }
        json.close_object();
        let inbox = client.new_inbox();
        let mut messages = client.subscribe(&inbox)?;
        client.send(&Publish::new(pull, &json.into_bytes()).reply(&inbox))?;
        let end = Instant::now() + wait + GRACE;
        let mut taken = 0;
        while taken < count {
            let left = end.saturating_duration_since(Instant::now());
            let message = messages.next_timeout(left)?;
            match message.status() {
                None => self.deal_with(&message, taken == 0)?,
                Some(HEARTBEAT) => continue,
                Some(status) if NO_MESSAGES.contains(&status) => break,
                Some(_) => {
                    let status = String::from_utf8_lossy(message.headers().status());
                    return Err(Failure::refused(format!("the server refuses: {status}")));
                }
            }
            taken += 1;
        }
        match taken {
            0 => Err(Failure::refused("no message is there")),
            _ => Ok(()),
        }
    }

    /// Shows a message, and says what became of it.
    fn deal_with(&self, message: &Message, is_first: bool) -> Result<(), Failure> {
        let Some(told) = AckSubject::parse(message.reply().as_bytes()) else {
            return Err(Failure::refused("a message came that tells no sequence"));
        };
        self.show(message, &told, is_first)?;
        let deliveries_max = self.consumer["config"]["max_deliver"].as_u64();
        let is_last = deliveries_max.is_some_and(|most| told.delivered >= most);
        if self.word.is_empty() {
            return match (self.arguments.has("no-ack"), is_last) {
                (true, _) => Ok(()),
                (_, false) => self.tell("not acknowledged: after --ack-wait it comes again"),
                (_, true) => self.tell("not acknowledged: after --ack-wait it is given up"),
            };
        }
        // With an answer: it is on the disk then.
        let timeout = Some(self.remote.timeout());
        let client = self.remote.client();
        client.request(message.reply(), &self.word, timeout)?;
        if self.arguments.has("ack") {
            return self.tell("acknowledged");
        }
        match is_last || self.arguments.has("term") {
            // What became of it does not hang on whether this is answered.
            true if self.remote.is_midge().unwrap_or(false) => {
                self.tell("it does not come again; midge dlq ls shows what is dead")
            }
            true => self.tell("it does not come again"),
            false => self.tell("it comes again"),
        }
    }

    fn show(&self, message: &Message, told: &AckSubject<'_>, first: bool) -> Result<(), Failure> {
        if self.arguments.has("raw") {
            return output::write(&[message.payload(), b"\n"].concat());
        }
        if self.arguments.has("json") {
            return output::print_json(line(message, told));
        }
        let mut head = String::new();
        if !first {
            head.push('\n');
        }
        let mut time = told.time.to_string();
        with_age(&mut time);
        head += &format!("{}, ", told.stream_seq);
        push_clean(&mut head, message.subject());
        head += &format!(", {time}, delivery {}", told.delivered);
        if let Some(most) = self.consumer["config"]["max_deliver"].as_u64() {
            head += &format!(" of {most}");
        }
        head += &format!(", {} more pending", told.pending);
        let mut out = String::new();
        push_message(&mut out, &head, message.headers(), message.payload());
        output::print(&out)
    }

    /// Says something about a message to a person.
    fn tell(&self, words: &str) -> Result<(), Failure> {
        match self.arguments.has("raw") {
            true => Ok(()),
            false => self.remote.tell(words),
        }
    }
}

/// A message for programs.
fn line(message: &Message, told: &AckSubject<'_>) -> JsonWriter {
    let mut json = JsonWriter::new();
    json.open_object();
    json.string_field("subject", message.subject());
    json.uint_field("seq", told.stream_seq);
    json.time_field("time", told.time);
    json.uint_field("delivered", told.delivered);
    json.uint_field("pending", told.pending);
    push_content(&mut json, message);
    json.close_object();
    json
}
