//! Streams that do more than to store what comes: counters, batches of both
//! kinds, and a mirror and a source that copy others.
//!
//! Nothing is removed from these, so no model of them is needed: each must
//! hold what was acknowledged, and beside it nothing but what was sent, once
//! and as a whole.

use super::control::Ended;
use super::fast;
use super::told::Word;
use super::world::{CONNS, World};
use crate::trace;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Counters, batches, their origin, and what copies.
const EXTRAS: [&str; 6] = ["K", "A", "O", "M", "X", fast::STREAM];

/// What was sent.
#[derive(Debug, Default)]
pub(super) struct Extras {
    are_there: bool,
    /// Messages of each publish that is to be answered, and what it goes to.
    sent: BTreeMap<u64, (&'static str, u64)>,
    /// The last sequence of each that was acknowledged, by stream and number;
    /// and the value that a counter had then.
    acked: BTreeMap<(&'static str, u64), (u64, String)>,
    /// Streams of which something was lost to damage.
    damaged: BTreeSet<String>,
}

/// A message as it is stored.
#[derive(Debug, Clone, PartialEq)]
struct Stored {
    seq: u64,
    subject: String,
    header: String,
    body: String,
}

impl Stored {
    fn field(&self, name: &str) -> &str {
        let line = self.header.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {self:?}"))
            .trim()
    }

    fn number(&self) -> u64 {
        self.field("N:").parse().expect("a number")
    }
}

impl World {
    /// Some worlds have them.
    pub(super) fn create_extras(&mut self) {
        if !self.rng.percent(40) {
            return;
        }
        let had_faults = std::mem::replace(&mut self.has_faults, false);
        for (name, more) in [
            ("K", json!({"subjects": ["K.>"], "allow_msg_counter": true})),
            ("A", json!({"subjects": ["A.>"], "allow_atomic": true})),
            ("O", json!({"subjects": ["O.>"]})),
            ("M", json!({"mirror": {"name": "O"}})),
            (
                fast::STREAM,
                json!({"subjects": ["F.>"], "allow_batched": true}),
            ),
            (
                "X",
                json!({"sources": [{"name": "O", "filter_subject": "O.a"}, {"name": "A"}]}),
            ),
        ] {
            let mut config = json!({"name": name, "allow_direct": true});
            let fields = more.as_object().unwrap().clone();
            config.as_object_mut().unwrap().extend(fields);
            let made = self.request(&format!("$JS.API.STREAM.CREATE.{name}"), &config);
            assert!(matches!(made, Ended::Done(_)), "{name}: {made:?}");
        }
        self.has_faults = had_faults;
        self.extras.are_there = true;
    }

    pub(super) fn delete_extras(&mut self) {
        for name in EXTRAS {
            if self.extras.are_there {
                self.request(&format!("$JS.API.STREAM.DELETE.{name}"), &Value::Null);
            }
        }
        self.extras.are_there = false;
    }

    /// Something of these streams was damaged: what is left of it is checked
    /// with the others.
    pub(super) fn damage_extras(&mut self, name: &str) {
        self.extras.damaged.insert(name.to_owned());
    }

    /// Publishes to one of them.
    pub(super) fn publish_extra(&mut self) {
        let conn = self.rng.below(CONNS);
        if !self.extras.are_there || self.conns[conn].id.is_none() {
            return;
        }
        if self.rng.percent(25) {
            return self.publish_fast();
        }
        let number = self.number();
        let reply = format!("_I.{conn}.x{number}");
        let key = self.rng.pick(&["a", "b", "c"]);
        let header = format!("N: {number}\r\n");
        let frame = |header: &str| format!("NATS/1.0\r\n{header}\r\n");
        let len = self.rng.pick(&[0, 10, 150]);
        let body = "x".repeat(len);
        match self.rng.below(3) {
            0 => {
                let increment = self.rng.pick(&["1", "-7", "+99999999999999999999"]);
                trace!("count {number}: {increment} for {key}");
                self.extras.sent.insert(number, ("K", 1));
                let header = frame(&format!("{header}Nats-Incr: {increment}\r\n"));
                let line = World::publish_line(&format!("K.{key}"), &reply, &header, "");
                self.say(conn, &line);
            }
            1 => {
                trace!("original {number} of {key}");
                self.extras.sent.insert(number, ("O", 1));
                let line = World::publish_line(&format!("O.{key}"), &reply, &frame(&header), &body);
                self.say(conn, &line);
            }
            _ => self.publish_batch(conn, number, &reply, &body),
        }
    }

    fn publish_batch(&mut self, conn: usize, number: u64, reply: &str, body: &str) {
        let count = 1 + self.rng.below(5) as u64;
        let is_whole = self.rng.percent(85);
        trace!("batch {number} of {count}, whole: {is_whole}");
        if is_whole {
            self.extras.sent.insert(number, ("A", count));
        }
        for place in 1..=count {
            let is_last = place == count;
            if is_last && !is_whole {
                return;
            }
            let commit = if is_last {
                "Nats-Batch-Commit: 1\r\n"
            } else {
                ""
            };
            let header = format!(
                "NATS/1.0\r\nN: {number}\r\nNats-Batch-Id: b{number}\r\nNats-Batch-Sequence: {place}\r\n{commit}\r\n"
            );
            let reply = if is_last { reply } else { "" };
            let line = World::publish_line("A.a", reply, &header, body);
            self.say(conn, &line);
        }
    }

    /// The answer to such a publish.
    pub(super) fn hear_extra(&mut self, number: u64, word: &Word) {
        let json: Value = serde_json::from_str(&word.body).unwrap_or_default();
        if let Some(error) = json.get("error") {
            let text = error["description"].to_string();
            let is_transient = ["unavailable", "insufficient", "incomplete", "too many"]
                .iter()
                .any(|known| text.contains(known));
            return assert!(is_transient, "{number}: {text}");
        }
        let Some(&(stream, _)) = self.extras.sent.get(&number) else {
            return;
        };
        let seq = json["seq"].as_u64().unwrap_or_else(|| panic!("{word:?}"));
        let value = json["val"].as_str().unwrap_or_default().to_owned();
        self.extras.acked.insert((stream, number), (seq, value));
    }

    /// Compares what they hold with what was sent.
    pub(super) fn check_extras(&mut self) {
        if !self.extras.are_there {
            return;
        }
        let all: BTreeMap<&str, Vec<Stored>> = EXTRAS
            .into_iter()
            .map(|name| (name, self.read_extra(name)))
            .collect();
        // What was delivered meanwhile is to be stored as well.
        self.settle();
        let is_damaged = |name: &str| self.extras.damaged.contains(name);
        for name in ["K", "A", "O"] {
            if !is_damaged(name) {
                self.check_acked(name, &all[name]);
            }
        }
        if !is_damaged("K") {
            check_counters(&all["K"]);
        }
        if !is_damaged(fast::STREAM) {
            let stored = all[fast::STREAM].iter();
            let place = |message: &Stored| message.field("P:").parse().expect("a place");
            self.fast
                .check(stored.map(|message| (message.number(), place(message))));
        }
        if is_damaged("O") || is_damaged("M") || is_damaged("X") || is_damaged("A") {
            return;
        }
        assert_eq!(all["M"], all["O"], "the mirror is as its origin");
        for (origin, subject) in [("O", "O.a"), ("A", "A.a")] {
            let original = all[origin]
                .iter()
                .filter(|message| message.subject == subject);
            let original: Vec<u64> = original.map(|message| message.seq).collect();
            let copies = all["X"]
                .iter()
                .map(|message| message.field("Nats-Stream-Source:"));
            let copies = copies.filter_map(|told| told.strip_prefix(origin)?.split(' ').nth(1));
            let copies: Vec<u64> = copies.map(|seq| seq.parse().expect("a number")).collect();
            assert_eq!(copies, original, "copies of {origin}");
        }
    }

    /// Everything acknowledged is there, and nothing else twice or in part.
    fn check_acked(&self, name: &'static str, stored: &[Stored]) {
        let mut last: BTreeMap<u64, &Stored> = BTreeMap::new();
        let mut rest = stored;
        while let Some(first) = rest.first() {
            let number = first.number();
            let (stream, count) = self.extras.sent[&number];
            assert_eq!(stream, name);
            assert!(rest.len() as u64 >= count, "a part of {number}");
            let (whole, after) = rest.split_at(count as usize);
            for (place, message) in whole.iter().enumerate() {
                assert_eq!(message.number(), number, "a part of {number}");
                assert_eq!(message.seq, first.seq + place as u64);
            }
            let is_new = last.insert(number, &whole[whole.len() - 1]).is_none();
            assert!(is_new, "{number} twice");
            rest = after;
        }
        for ((stream, number), (seq, value)) in &self.extras.acked {
            if *stream == name {
                let message = last.get(number);
                let message = message.unwrap_or_else(|| panic!("{number} of {name} is lost"));
                assert_eq!(message.seq, *seq, "{number} of {name}");
                assert!(
                    message.body.contains(value.as_str()),
                    "{message:?}, not {value}"
                );
            }
        }
    }

    fn read_extra(&mut self, name: &str) -> Vec<Stored> {
        let body = json!({"seq": 1, "batch": 10_000}).to_string();
        let words = self.ask(&format!("$JS.API.DIRECT.GET.{name}"), &body);
        let mut all = Vec::new();
        for word in words.unwrap() {
            if word.status().is_some() {
                continue;
            }
            let field = |name: &str| {
                let line = word.header.lines().find_map(|line| line.strip_prefix(name));
                line.unwrap().trim().to_owned()
            };
            let own = word.header.find("Nats-Stream: ").unwrap();
            all.push(Stored {
                seq: field("Nats-Sequence:").parse().unwrap(),
                subject: field("Nats-Subject:"),
                header: word.header[..own].to_owned(),
                body: word.body.clone(),
            });
        }
        all
    }
}

/// Each value is the one before and what was added.
fn check_counters(stored: &[Stored]) {
    let mut values: BTreeMap<&str, i128> = BTreeMap::new();
    for message in stored {
        let value = values.entry(&message.subject).or_default();
        *value += message
            .field("Nats-Incr:")
            .parse::<i128>()
            .expect("a number");
        assert_eq!(
            message.body,
            format!("{{\"val\":\"{value}\"}}"),
            "{message:?}"
        );
    }
}
