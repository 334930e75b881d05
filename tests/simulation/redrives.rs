//! Sending dead letters back, and dropping them.
//!
//! Such a request goes on while other things happen. What it has done is seen
//! at once: a letter is not there any more; and it must be where it went.

use super::letters::{DLQ, Letter, original, redrives};
use super::model::{Message, Presence};
use super::told::Word;
use super::world::{CONTROL, COPIES_SID, World};
use crate::trace;
use midge_engine::{AccountId, Seq};
use serde_json::{Value, json};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// A request that is under way.
#[derive(Debug)]
pub(super) struct Errand {
    number: u64,
    is_drop: bool,
    stream: String,
    consumer: String,
    source_seq: u64,
    reason: String,
    /// At most so many; 0 is all.
    limit: usize,
    rate: u64,
    is_dry: bool,
    /// What the server calls it.
    id: Option<u64>,
    /// The last durable letter when it began.
    end: u64,
    /// The last one that it may meet.
    reach: u64,
    /// Letters that are gone for it.
    done: Vec<u64>,
    to_subject: usize,
}

impl Errand {
    fn is_meant(&self, letter: &Letter) -> bool {
        let is = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
        is(&self.stream, &letter.stream)
            && is(&self.consumer, &letter.consumer)
            && (self.source_seq == 0 || self.source_seq == letter.seq)
            && letter.reason.starts_with(&self.reason)
    }

    fn body(&self) -> Value {
        let mut body = json!({"limit": self.limit, "dry_run": self.is_dry});
        if self.is_drop {
            body["all"] = json!(true);
        } else {
            body["rate"] = json!(self.rate);
        }
        for (key, value) in [
            ("stream", &self.stream),
            ("consumer", &self.consumer),
            ("reason", &self.reason),
        ] {
            if !value.is_empty() {
                body[key] = json!(value);
            }
        }
        if self.source_seq > 0 {
            body["source_seq"] = json!(self.source_seq);
        }
        body
    }
}

impl World {
    /// Sends letters back or drops them, or asks how far that is.
    pub(super) fn ask_about_letters(&mut self) {
        if self.conns[CONTROL].id.is_none() || self.reopens.is_some() {
            return;
        }
        if let Some(errand) = &self.errand {
            let (number, id) = (errand.number, errand.id);
            if let Some(id) = id {
                let stop = self.rng.percent(30);
                trace!("how far is redrive {id}, stop: {stop}");
                self.tell_about_letters("REDRIVE", number, &json!({"id": id, "stop": stop}));
            }
            return;
        }
        self.learn_of_letters();
        let Some(dlq) = self.model.streams.get(DLQ) else {
            return;
        };
        let is_clear = dlq.with(Presence::Maybe).next().is_none();
        let letters: Vec<Letter> = dlq
            .kept()
            .map(|(_, message)| Letter::read(&message.header))
            .collect();
        // What is not durable yet is not looked at.
        let durable = self.durable.stream(DLQ, dlq.incarnation);
        let end = durable.map_or(0, |dlq| dlq.last);
        if !is_clear || letters.is_empty() {
            return;
        }
        let errand = self.errand_about(&letters, end);
        let kind = if errand.is_drop { "DROP" } else { "REDRIVE" };
        trace!("{kind} {errand:?}");
        let (number, body) = (errand.number, errand.body());
        if !errand.is_drop {
            for name in super::client::STREAMS {
                let digit = &name[1..];
                self.say(CONTROL, &format!("SUB {name}.> {COPIES_SID}{digit}\r\n"));
            }
            self.listens_to_copies = true;
        }
        self.errand = Some(errand);
        self.tell_about_letters(kind, number, &body);
    }

    fn errand_about(&mut self, letters: &[Letter], end: u64) -> Errand {
        let number = self.number();
        let rng = &mut self.rng;
        let like = letters[rng.below(letters.len())].clone();
        let is_drop = rng.percent(25);
        let mut errand = Errand {
            number,
            is_drop,
            stream: String::new(),
            consumer: String::new(),
            source_seq: 0,
            reason: String::new(),
            limit: rng.pick(&[0, 0, 1, 3]),
            rate: if is_drop { 0 } else { rng.pick(&[0, 0, 2, 50]) },
            is_dry: rng.percent(10),
            id: None,
            end,
            reach: if is_drop { u64::MAX } else { end },
            done: Vec::new(),
            to_subject: 0,
        };
        match rng.below(6) {
            0 | 1 => {}
            2 => errand.consumer = like.consumer,
            3 => {
                errand.stream = like.stream;
                errand.consumer = like.consumer;
            }
            4 => errand.source_seq = like.seq,
            _ => errand.reason = like.reason[..4].to_owned(),
        }
        errand
    }

    fn tell_about_letters(&mut self, kind: &str, number: u64, body: &Value) {
        let reply = format!("_I.{CONTROL}.d{number}");
        let subject = format!("$MIDGE.API.DLQ.{kind}");
        let line = World::publish_line(&subject, &reply, "", &body.to_string());
        self.say(CONTROL, &line);
    }

    /// Whether a message is in a stream of the engine's.
    fn is_there(&self, stream: &str, seq: u64) -> bool {
        let view = self
            .engine
            .streams()
            .and_then(|all| all.named(AccountId::GLOBAL, stream));
        view.is_some_and(|view| view.has(Seq(seq)))
    }

    /// What may be gone of the letters is, or is not.
    fn learn_of_letters(&mut self) {
        let Some(dlq) = self.model.streams.get(DLQ) else {
            return;
        };
        let doubtful: Vec<u64> = dlq.with(Presence::Maybe).map(|(seq, _)| seq).collect();
        for seq in doubtful {
            if !self.is_there(DLQ, seq)
                && let Some(dlq) = self.model.streams.get_mut(DLQ)
            {
                dlq.mark(seq, Presence::Gone);
            }
        }
    }

    /// Letters that the model has and the engine has not any more.
    fn missing_letters(&self) -> Vec<(u64, Rc<Message>)> {
        let (Some(errand), Some(dlq)) = (&self.errand, self.model.streams.get(DLQ)) else {
            return Vec::new();
        };
        let is_missing =
            |(seq, _): &(u64, &Rc<Message>)| *seq <= errand.reach && !self.is_there(DLQ, *seq);
        dlq.kept()
            .filter(is_missing)
            .map(|(seq, message)| (seq, Rc::clone(message)))
            .collect()
    }

    /// Finds out which letters were dropped or have gone back to their
    /// consumers, or whether one has.
    pub(super) fn find_sent_back(&mut self, one: Option<(&str, &str, u64)>) {
        for (at, message) in self.missing_letters() {
            let letter = Letter::read(&message.header);
            let of = (letter.stream.as_str(), letter.consumer.as_str(), letter.seq);
            if one.is_some_and(|one| one != of) {
                continue;
            }
            self.take_letter(at, &letter);
            if self.errand.as_ref().is_some_and(|errand| errand.is_drop) {
                self.unparked(&letter);
                continue;
            }
            trace!("letter {at} is back with its consumer: {of:?}");
            let source = self.model.streams.get(&letter.stream);
            let presence = source.and_then(|source| source.presence(letter.seq));
            // What others remove may be gone as soon as it is back.
            let is_removed = matches!(presence, Some(Presence::Maybe | Presence::Gone));
            assert!(
                is_removed || self.goes_to_consumer(&letter, &message),
                "letter {at} is gone and not back"
            );
            let Some(source) = self.model.streams.get_mut(&letter.stream) else {
                panic!("there is no {}", letter.stream);
            };
            source.sent_back(&letter.consumer, letter.seq);
            if let Some(state) = source.consumers.get(&letter.consumer) {
                let incarnation = state.incarnation;
                self.confirmed.remove(&(incarnation, letter.seq));
                // An ack that was for its last life says nothing of this one.
                self.acks.retain(|_, ack| {
                    (ack.held.consumer_incarnation, ack.held.seq) != (incarnation, letter.seq)
                });
            }
        }
    }

    /// The key of a letter does not wait for it any longer.
    fn unparked(&mut self, letter: &Letter) {
        let source = self.model.streams.get_mut(&letter.stream);
        if let Some(source) = source
            && let Some(state) = source.consumers.get_mut(&letter.consumer)
        {
            state.parked.remove(&letter.seq);
        }
    }

    /// Lets keys of a consumer go on: one that waits, or all.
    pub(super) fn unpark(&mut self, stream: &str, consumer: &str) {
        let number = self.number();
        let is_one = self.rng.percent(50);
        if self.conns[CONTROL].id.is_none() || self.reopens.is_some() {
            return;
        }
        let Some(source) = self.model.streams.get_mut(stream) else {
            return;
        };
        let Some(state) = source.consumers.get(consumer) else {
            return;
        };
        let surely = state.surely_parked(source).count();
        let Some(state) = source.consumers.get_mut(consumer) else {
            return;
        };
        let mut body = json!({"stream": stream, "consumer": consumer});
        let mut count = surely as u64..=state.parked.len() as u64;
        let first = state.parked.keys().next().copied();
        if let Some(first) = first.filter(|_| is_one) {
            body["source_seq"] = json!(first);
            let is_sure = state.parked.len() == surely;
            state.parked.remove(&first);
            count = u64::from(is_sure)..=1;
        } else {
            state.parked.clear();
        }
        trace!("unpark {count:?} keys of {stream} {consumer}");
        self.unparks.insert(number, count);
        let reply = format!("_I.{CONTROL}.u{number}");
        let line = World::publish_line("$MIDGE.API.DLQ.UNPARK", &reply, "", &body.to_string());
        self.say(CONTROL, &line);
    }

    /// So many keys go on.
    pub(super) fn hear_unparked(&mut self, number: u64, word: &Word) {
        let Some(count) = self.unparks.remove(&number) else {
            return;
        };
        let told: Value = serde_json::from_str(&word.body).unwrap();
        if let Some(error) = told.get("error") {
            return assert_eq!(error["err_code"], 20009, "{error}");
        }
        let unparked = told["unparked"].as_u64().unwrap();
        assert!(
            count.contains(&unparked),
            "{unparked} keys have waited, not {count:?}"
        );
    }

    /// A letter is not among the dead any more, for an errand that means it.
    fn take_letter(&mut self, at: u64, letter: &Letter) {
        let Some(errand) = &mut self.errand else {
            panic!("letter {at} is gone");
        };
        assert!(errand.is_meant(letter), "letter {at} is not meant");
        assert!(!errand.is_dry, "that was to be tried only");
        errand.done.push(at);
        let is_within = errand.limit == 0 || errand.done.len() <= errand.limit;
        assert!(is_within, "more than are meant");
        if let Some(dlq) = self.model.streams.get_mut(DLQ) {
            dlq.mark(at, Presence::Gone);
        }
    }

    /// Whether the consumer that a message died with is there, and can have
    /// it again.
    fn goes_to_consumer(&self, letter: &Letter, message: &Message) -> bool {
        let view = self.engine.streams();
        let view = view.and_then(|all| all.named(AccountId::GLOBAL, &letter.stream));
        let has_consumer = view.is_some_and(|view| view.consumer(&letter.consumer).is_some());
        let Some(source) = self.model.streams.get(&letter.stream) else {
            return false;
        };
        let Some(state) = source.consumers.get(&letter.consumer) else {
            return false;
        };
        let Some(entry) = source.messages.get(&letter.seq) else {
            return false;
        };
        let is_same = entry.message.subject == letter.subject
            && entry.message.body == message.body
            && original(&entry.message.header) == letter.header;
        has_consumer
            && is_same
            && entry.presence != Presence::Lost
            && state.matches(&letter.subject)
            && self.is_there(&letter.stream, letter.seq)
    }

    /// A message is published; if it comes from among the dead, one is not
    /// there any more.
    pub(super) fn hear_copy(&mut self, word: &Word) {
        let Some(count) = redrives(&word.header) else {
            return;
        };
        let header = original(&word.header);
        let found = self.missing_letters().into_iter().find(|(_, message)| {
            let letter = Letter::read(&message.header);
            letter.subject == word.subject && letter.header == header && message.body == word.body
        });
        let Some((at, message)) = found else {
            panic!("a message is published again that is still dead: {word:?}");
        };
        trace!("letter {at} is published again");
        let letter = Letter::read(&message.header);
        assert_eq!(count, letter.redrives + 1);
        let is_consumers = self.goes_to_consumer(&letter, &message);
        assert!(!is_consumers, "letter {at} was to go to its consumer");
        self.take_letter(at, &letter);
        self.unparked(&letter);
        if let Some(errand) = &mut self.errand {
            errand.to_subject += 1;
        }
        let (name, wall) = (&word.subject[..2], self.wall);
        let Some(stream) = self.model.streams.get_mut(name) else {
            panic!("there is no {name}");
        };
        let message = Message {
            subject: word.subject.clone(),
            header: word.header.clone(),
            body: word.body.clone(),
            time: Cell::new(wall.max(stream.last_time)),
            may_wait: Cell::new(false),
        };
        stream.append(message, None, wall);
    }

    /// What is told of an errand.
    pub(super) fn hear_errand(&mut self, number: u64, word: &Word) {
        // What it tells of is done, and not yet known.
        self.find_sent_back(None);
        let Some(errand) = self.errand.take_if(|errand| errand.number == number) else {
            return;
        };
        trace!("{}", word.body);
        let told: Value = serde_json::from_str(&word.body).unwrap();
        if let Some(error) = told.get("error") {
            assert_eq!(error["err_code"], 20009, "{error}");
            return self.hear_no_copies();
        }
        let count = |field: &str| told[field].as_u64().unwrap() as usize;
        if errand.is_drop {
            assert_eq!(count("dropped"), errand.done.len());
        } else {
            assert_eq!(count("redriven"), errand.done.len());
            assert_eq!(count("to_subject"), errand.to_subject);
        }
        if told["state"] == "running" {
            let id = told["id"].as_u64();
            self.errand = Some(Errand { id, ..errand });
            return;
        }
        self.hear_no_copies();
        self.check_done(&errand, &told);
    }

    /// All is done that was to be, and what was told at the end is safe.
    fn check_done(&self, errand: &Errand, told: &Value) {
        let is_kept =
            |dlq: Option<&super::model::StreamModel>, seq: u64| dlq.is_some_and(|dlq| dlq.has(seq));
        if errand.rate == 0 {
            let durable = self.durable.streams.get(DLQ);
            let unsafe_one = errand.done.iter().find(|seq| is_kept(durable, **seq));
            assert_eq!(unsafe_one, None, "it is told before it is safe");
        }
        let is_all = errand.limit == 0 && !errand.is_dry && told["state"] != "stopped";
        let failed = told["failed"].as_u64().unwrap_or(0);
        let dlq = self.model.streams.get(DLQ);
        if is_all && let Some(dlq) = dlq {
            let left = dlq.kept().filter(|(seq, message)| {
                *seq <= errand.end && errand.is_meant(&Letter::read(&message.header))
            });
            let left: Vec<u64> = left.map(|(seq, _)| seq).collect();
            assert!(left.len() as u64 <= failed, "{left:?} are still dead");
        }
    }

    fn hear_no_copies(&mut self) {
        if std::mem::take(&mut self.listens_to_copies) {
            for name in super::client::STREAMS {
                let digit = &name[1..];
                self.say(CONTROL, &format!("UNSUB {COPIES_SID}{digit}\r\n"));
            }
        }
    }

    /// Nobody will answer.
    pub(super) fn forget_errand(&mut self) {
        self.errand = None;
        self.hear_no_copies();
    }

    /// Sees an errand through to its end, or stops it.
    pub(super) fn end_errand(&mut self) {
        let had_faults = std::mem::replace(&mut self.has_faults, false);
        for _ in 0..1000 {
            let Some(errand) = &self.errand else {
                self.has_faults = had_faults;
                return;
            };
            if let Some(id) = errand.id {
                let number = errand.number;
                self.tell_about_letters("REDRIVE", number, &json!({"id": id, "stop": true}));
            }
            self.pass(Duration::from_millis(100));
        }
        panic!("there is no end to {:?}", self.errand);
    }
}
