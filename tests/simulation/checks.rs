//! What must hold when everything has come to rest.

use super::client::{CONSUMERS, STREAMS};
use super::consumers::{Acks, ConsumerModel};
use super::letters::DLQ;
use super::model::{Presence, StreamModel};
use super::world::{CONNS, CONTROL, World};
use crate::trace;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

impl World {
    /// Lets everything come to rest and compares it with the model.
    pub(super) fn check_quiet(&mut self) {
        if self.conns[CONTROL].id.is_none() {
            return;
        }
        trace!("check");
        self.end_errand();
        let had_faults = std::mem::replace(&mut self.has_faults, false);
        self.settle();
        let after_expiry = self.pulls.values().map(|pull| pull.ends).max();
        if let Some(ends) = after_expiry {
            let left = ends.saturating_sub(self.now);
            self.pass(left + Duration::from_millis(1));
            self.settle();
        }
        assert!(self.publishes.is_empty(), "publishes without an answer");
        // Where the consumer may deliver no more, one that does not wait
        // waits for acks all the same, as with nats-server.
        let model = &self.model;
        self.pulls.retain(|_, pull| {
            let consumer = &model.streams[&pull.stream].consumers[&pull.consumer];
            let may_deliver = consumer.settings.max_ack_pending < 0 || consumer.unacked.is_empty();
            // One whose bytes are used up to the last ends without a word.
            may_deliver && (pull.max_bytes == 0 || pull.got == 0)
        });
        let endless = self.pulls.iter().next();
        let endless = endless.map(|(number, pull)| (number, &pull.stream, &pull.consumer));
        assert_eq!(endless, None, "a pull without an end");
        for name in STREAMS.into_iter().chain([DLQ]) {
            self.check_stream(name);
        }
        self.check_extras();
        self.durable = self.model.clone();
        self.has_faults = had_faults;
    }

    fn check_stream(&mut self, name: &str) {
        let subject = format!("$JS.API.STREAM.INFO.{name}");
        let info = self.query(&subject, &Value::Null);
        // Meanwhile it may have been made, for messages that died.
        if !self.model.streams.contains_key(name) {
            return assert!(info.is_err(), "{name} is there");
        }
        // Time passes while messages are read: what comes of age meanwhile
        // may or may not be seen.
        let (mut found, mut info);
        loop {
            let letters = self.letters_heard;
            found = self.read_all(name);
            let wall = self.wall;
            self.model.age(wall);
            self.settle();
            info = self.query(&subject, &json!({"subjects_filter": ">"}));
            if letters == self.letters_heard {
                break;
            }
        }
        let info = info.unwrap_or_else(|error| panic!("{name}: {error}"));
        let state = &info["state"];
        let wall = self.wall;
        let stream = self.model.streams.get_mut(name).unwrap();
        resolve(name, stream, &found, wall);
        let messages: BTreeMap<u64, u64> = stream
            .kept()
            .map(|(seq, message)| (seq, message.size(stream.settings.is_memory)))
            .collect();
        let subjects: BTreeSet<String> = stream
            .kept()
            .map(|(_, message)| message.subject.clone())
            .collect();
        let number = |field: &str| state[field].as_u64().unwrap();
        if stream.settings.max_age_ms > 0 {
            return;
        }
        assert_eq!(
            number("messages"),
            messages.len() as u64,
            "messages of {name}"
        );
        assert_eq!(number("last_seq"), stream.last, "last of {name}");
        let empty = if stream.last == 0 { 0 } else { stream.last + 1 };
        let first = messages.keys().next().copied().unwrap_or(empty);
        assert_eq!(number("first_seq"), first, "first of {name}");
        if !stream.is_damaged {
            assert_eq!(
                number("bytes"),
                messages.values().sum::<u64>(),
                "bytes of {name}"
            );
            let told = state["num_subjects"].as_u64().unwrap_or(0);
            assert_eq!(told, subjects.len() as u64, "subjects of {name}");
        }
        check_limits(name, stream);
        let consumers: Vec<String> = stream.consumers.keys().cloned().collect();
        for consumer in consumers {
            self.check_consumer(name, &consumer);
        }
        for consumer in CONSUMERS {
            if !self.model.streams[name].consumers.contains_key(consumer) {
                let subject = format!("$JS.API.CONSUMER.INFO.{name}.{consumer}");
                assert!(
                    self.query(&subject, &Value::Null).is_err(),
                    "{consumer} is there"
                );
            }
        }
    }

    /// Reads all messages of a stream directly; returns their sequences.
    fn read_all(&mut self, name: &str) -> BTreeSet<u64> {
        let mut found = BTreeSet::new();
        let body = json!({"seq": 1, "batch": 10_000}).to_string();
        let words = self.ask(&format!("$JS.API.DIRECT.GET.{name}"), &body);
        for word in words.unwrap() {
            if let Some(status) = word.status() {
                assert!(matches!(status, 204 | 404), "{word:?}");
                continue;
            }
            let mut lines: Vec<&str> = word.header.split_inclusive("\r\n").collect();
            let own = lines
                .iter()
                .position(|line| line.starts_with("Nats-Stream:"))
                .unwrap();
            let field = |name: &str| {
                let line = lines.iter().find_map(|line| line.strip_prefix(name));
                line.unwrap_or_else(|| panic!("{name}")).trim().to_owned()
            };
            let seq: u64 = field("Nats-Sequence:").parse().unwrap();
            let subject = field("Nats-Subject:");
            lines.truncate(own);
            let header = if own > 1 {
                lines.concat() + "\r\n"
            } else {
                String::new()
            };
            self.check_content(name, seq, &header, &word.body, &subject);
            assert!(found.insert(seq), "{seq} twice");
        }
        found
    }

    fn check_consumer(&mut self, name: &str, consumer: &str) {
        let subject = format!("$JS.API.CONSUMER.INFO.{name}.{consumer}");
        let info = self.query(&subject, &Value::Null);
        let info = info.unwrap_or_else(|error| panic!("{name} {consumer}: {error}"));
        let stream = &self.model.streams[name];
        let state = &stream.consumers[consumer];
        let number = |value: &Value| value.as_u64().unwrap();
        let what = format!("of {name} {consumer}");
        assert_eq!(
            number(&info["delivered"]["consumer_seq"]),
            state.deliveries,
            "deliveries {what}"
        );
        let delivered = number(&info["delivered"]["stream_seq"]);
        let floor = number(&info["ack_floor"]["stream_seq"]);
        assert!(floor <= delivered, "the floor {what}");
        let waiting = |entry: &(&u64, &u32)| stream.has(*entry.0);
        let out: Vec<u64> = state
            .unacked
            .iter()
            .filter(waiting)
            .map(|(seq, _)| *seq)
            .collect();
        let surely: Vec<u64> = out
            .iter()
            .copied()
            .filter(|seq| !state.is_exhausted(*seq))
            .collect();
        // It does not sink for what was sent back from among the dead.
        let first = surely.iter().find(|seq| !state.redriven.contains(seq));
        if let Some(first) = first {
            assert!(
                floor < *first,
                "the floor {what} is {floor}, {first} is not acked"
            );
        }
        if stream.is_damaged {
            return;
        }
        let told = number(&info["num_ack_pending"]) as usize;
        let most = if stream.is_torn {
            usize::MAX
        } else {
            out.len()
        };
        assert!(
            (surely.len()..=most).contains(&told),
            "{told} not acked {what}, not {out:?}"
        );
        // What was delivered too often holds the floor back.
        let settings = &state.settings;
        let gives_up = settings.max_deliver > 0 && !settings.buries_exhausted();
        let may_rest = gives_up || settings.acks == Acks::None;
        let is_through = state.unacked.is_empty() && state.picks.is_empty();
        if is_through && !may_rest && !stream.is_torn {
            assert_eq!(floor, delivered, "the floor {what}");
        }
        let (told, pending) = (number(&info["num_pending"]), state.pending(stream));
        assert!(
            pending.contains(&told),
            "{told} pending {what}, not {pending:?}"
        );
    }

    /// Everybody reads and acknowledges until nothing is left; then
    /// everything is deleted.
    pub(super) fn finish(&mut self) {
        self.has_faults = false;
        self.end_errand();
        self.settle();
        for conn in 0..CONNS {
            if self.conns[conn].id.is_none() {
                self.open(conn);
            }
        }
        self.check_quiet();
        for _ in 0..600 {
            if self.is_drained() {
                break;
            }
            self.serve_all();
        }
        assert!(
            self.is_drained(),
            "messages are never delivered: {}",
            self.left_over()
        );
        self.check_quiet();
        let mut ticks = 0;
        while self.pass_to_next(Duration::from_secs(30 * 86_400)) {
            ticks += 1;
            assert!(ticks < 2000, "it does not go quiet");
        }
        for name in STREAMS.into_iter().chain([DLQ]) {
            self.delete_stream(name);
        }
        self.delete_extras();
        self.settle();
        assert_eq!(self.disk.len(), 0, "what nobody can reach is on the disk");
        assert_eq!(self.engine.streams_backlog(), 0);
    }

    fn serve_all(&mut self) {
        for held in std::mem::take(&mut self.held) {
            self.acknowledge(held, "+ACK", true);
        }
        for name in STREAMS {
            for consumer in CONSUMERS {
                let Some(state) = self.consumer(name, consumer) else {
                    continue;
                };
                let (is_push, waits) = (state.settings.is_push, !state.parked.is_empty());
                if waits && self.rng.percent(20) {
                    self.unpark(name, consumer);
                } else if is_push {
                    let subject = format!("D.{name}.{consumer}");
                    let is_heard = self
                        .conns
                        .iter()
                        .any(|conn| conn.listens.contains(&subject));
                    if !is_heard {
                        self.listen(1, &subject);
                    }
                } else if !self
                    .pulls
                    .values()
                    .any(|pull| pull.stream == name && pull.consumer == consumer)
                {
                    self.pull_from(1, name, consumer, 50, 1000, 0);
                }
            }
        }
        let wait = self.rng.pick(&[10, 200, 2000]);
        self.pass(Duration::from_millis(wait));
    }

    fn consumer(&self, name: &str, consumer: &str) -> Option<&ConsumerModel> {
        self.model.streams.get(name)?.consumers.get(consumer)
    }

    fn is_drained(&self) -> bool {
        self.held.is_empty() && self.left_over().is_empty()
    }

    /// What consumers still have to get or to acknowledge.
    fn left_over(&self) -> String {
        let mut left = String::new();
        for (name, stream) in &self.model.streams {
            for (consumer, state) in &stream.consumers {
                let wanted = stream.kept().filter(|(seq, message)| {
                    state.matches(&message.subject) && state.surely_wants(*seq)
                });
                let wanted: Vec<u64> = wanted.map(|(seq, _)| seq).collect();
                if !wanted.is_empty() {
                    left += &format!("{name} {consumer} {wanted:?} ");
                }
            }
        }
        left
    }
}

/// Compares what was found with what should be there, and learns what was in
/// doubt.
fn resolve(name: &str, stream: &mut StreamModel, found: &BTreeSet<u64>, wall: i64) {
    let max_age = stream.settings.max_age_ms * 1_000_000;
    let mut gone = Vec::new();
    // A consumer that was removed, or a crash, has what nobody wants looked
    // for, and that may take long.
    stream.sweep();
    for (seq, entry) in &mut stream.messages {
        match (entry.presence, found.contains(seq)) {
            (Presence::Kept, is_there) => assert!(is_there, "{seq} of {name} is lost"),
            (Presence::Gone, is_there) => assert!(!is_there, "{seq} of {name} is still there"),
            // It may have come of age since it was found.
            (Presence::Maybe, true)
                if max_age > 0 && wall - entry.message.time.get() >= max_age =>
            {
                continue;
            }
            (Presence::Maybe, true) => {
                assert!(!entry.is_dropped, "{seq} of {name} was dropped");
                entry.presence = Presence::Kept;
                entry.must_tell = false;
            }
            (Presence::Maybe, false) => {
                assert!(!entry.must_tell, "{seq} of {name} is gone without a letter");
            }
            (Presence::Lost, is_there) => assert!(!is_there, "{seq} of {name} is damaged"),
        }
        if entry.presence != Presence::Kept {
            gone.push(*seq);
        }
    }
    for seq in gone {
        stream.messages.remove(&seq);
        for consumer in stream.consumers.values_mut() {
            consumer.unacked.remove(&seq);
            consumer.picks.remove(&seq);
        }
    }
}

fn check_limits(name: &str, stream: &StreamModel) {
    let settings = &stream.settings;
    if settings.discard_new {
        // What is stored stays when a limit is lowered.
        return;
    }
    let count = stream.kept().count() as i64;
    let bytes: u64 = stream
        .kept()
        .map(|(_, message)| message.size(stream.settings.is_memory))
        .sum();
    let mut of_subject: BTreeMap<&str, i64> = BTreeMap::new();
    for (_, message) in stream.kept() {
        *of_subject.entry(&message.subject).or_default() += 1;
    }
    // Where what is new is discarded, a limit that is lowered takes nothing.
    let may_exceed = settings.discard_new;
    assert!(
        may_exceed || settings.max_msgs < 0 || count <= settings.max_msgs,
        "{name} has {count}"
    );
    assert!(
        may_exceed || settings.max_bytes < 0 || bytes as i64 <= settings.max_bytes,
        "{name}: {bytes} bytes"
    );
    let most = of_subject.values().max().copied().unwrap_or(0);
    let max = settings.max_per_subject;
    assert!(max < 0 || most <= max, "{name} has {most} of one subject");
}
