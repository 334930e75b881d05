//! What clients ask of the stream API. Such a request is seen through to its
//! end before anything else is done; where the end is not heard of, the
//! server is asked what became of it.

use super::client::{CONSUMERS, STREAMS};
use super::consumers::{Policy, start};
use super::letters::DLQ;
use super::model::{Model, Presence, Retention, StreamModel, StreamSettings};
use super::settings::{consumer_json, stream_json};
use super::told::Word;
use super::world::{CONTROL, World};
use crate::trace;
use serde_json::{Value, json};
use std::time::Duration;

/// How a request ended.
#[derive(Debug)]
pub(super) enum Ended {
    Done(Value),
    Refused(String),
    /// The answer did not come, or says nothing.
    Unknown,
}

impl World {
    pub(super) fn ask(&mut self, subject: &str, body: &str) -> Option<Vec<Word>> {
        let number = self.number();
        self.replies.insert(number, Vec::new());
        let reply = format!("_I.{CONTROL}.r{number}");
        let line = World::publish_line(subject, &reply, "", body);
        let cuts = self.power_cuts;
        self.say(CONTROL, &line);
        for _ in 0..20_000 {
            if cuts != self.power_cuts {
                return None;
            }
            let is_answered = self
                .replies
                .get(&number)
                .is_some_and(|words| is_whole(words));
            if is_answered {
                return self.replies.remove(&number);
            }
            if self.has_faults && self.rng.in_thousand(5) {
                self.cut_power();
                continue;
            }
            let before = self.now;
            let happened = self.pass_to_next(Duration::from_secs(10));
            let is_told = self
                .replies
                .get(&number)
                .is_some_and(|words| !words.is_empty());
            assert!(
                happened || before != self.now || is_told,
                "{subject} {body} gets no answer: {} waits, settled: {}, in flight: {}",
                self.engine.streams_backlog(),
                self.engine.is_settled(),
                !self.in_flight.is_empty()
            );
        }
        panic!("{subject} {body} gets no answer for long");
    }

    pub(super) fn request(&mut self, subject: &str, body: &Value) -> Ended {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        trace!("request {subject} {body}");
        let Some(words) = self.ask(subject, &body) else {
            return Ended::Unknown;
        };
        let json: Value = serde_json::from_str(&words[0].body).unwrap_or_default();
        let ended = match json.get("error") {
            None => Ended::Done(json),
            Some(error) => {
                let text = error["description"].to_string();
                if text.contains("unavailable") || text.contains("insufficient resources") {
                    Ended::Unknown
                } else {
                    Ended::Refused(text)
                }
            }
        };
        if !matches!(ended, Ended::Done(_)) {
            trace!("it ends: {ended:?}");
        }
        ended
    }

    /// A request whose answer has to come, and to be good.
    pub(super) fn query(&mut self, subject: &str, body: &Value) -> Result<Value, String> {
        let had_faults = std::mem::replace(&mut self.has_faults, false);
        // What it tells is stored by then.
        self.settle();
        let ended = self.request(subject, body);
        self.has_faults = had_faults;
        match ended {
            Ended::Done(json) => Ok(json),
            Ended::Refused(text) => Err(text),
            Ended::Unknown => panic!("{subject} was not answered"),
        }
    }

    /// Changes what is known, and what is known to be stored.
    pub(super) fn on_all(&mut self, change: impl Fn(&mut Model)) {
        change(&mut self.model);
        change(&mut self.durable);
        for batch in &mut self.in_flight {
            change(&mut batch.model);
        }
    }

    pub(super) fn create_or_update_stream(&mut self) {
        let name = self.rng.pick(&STREAMS);
        let mut settings = self.stream_settings();
        let existing = self
            .model
            .streams
            .get(name)
            .map(|stream| stream.settings.clone());
        let Some(old) = existing else {
            return self.create_stream(name, settings);
        };
        if self.rng.percent(60) {
            return;
        }
        settings.is_memory = old.is_memory;
        settings.is_async = old.is_async;
        settings.retention = old.retention;
        settings.keeps_overflow = old.keeps_overflow;
        let body = stream_json(name, &settings);
        // From now on the new limits may take what the old ones leave.
        let mut either = settings.clone();
        if old.max_age_ms > 0 && (settings.max_age_ms == 0 || old.max_age_ms < settings.max_age_ms)
        {
            either.max_age_ms = old.max_age_ms;
        }
        self.change_settings(name, &either);
        let is_done = match self.request(&format!("$JS.API.STREAM.UPDATE.{name}"), &body) {
            Ended::Refused(_) => false,
            Ended::Done(_) => true,
            Ended::Unknown => {
                let info = self.query(&format!("$JS.API.STREAM.INFO.{name}"), &Value::Null);
                let Ok(info) = info else {
                    return assert!(old.is_memory, "{name} is gone");
                };
                let is = &info["config"];
                let fields = ["max_msgs", "max_bytes", "max_age", "discard"];
                fields.iter().all(|field| is[field] == body[field])
                    && is["max_msgs_per_subject"] == body["max_msgs_per_subject"]
                    && is["duplicate_window"] == body["duplicate_window"]
            }
        };
        if is_done {
            self.change_settings(name, &settings);
        } else {
            self.change_settings(name, &old);
        }
    }

    fn change_settings(&mut self, name: &str, settings: &StreamSettings) {
        let wall = self.wall;
        self.on_all(|model| {
            if let Some(stream) = model.streams.get_mut(name) {
                if stream.settings.window_ms != settings.window_ms {
                    // Some ids were forgotten by the old window.
                    for id in &mut stream.ids {
                        id.wall = i64::MIN / 2;
                    }
                }
                stream.settings = settings.clone();
                stream.trim();
            }
            model.age(wall);
        });
    }

    fn create_stream(&mut self, name: &str, settings: StreamSettings) {
        let stream = StreamModel::new(self.number(), settings);
        let body = stream_json(name, &stream.settings);
        self.model.streams.insert(name.to_owned(), stream.clone());
        let ended = self.request(&format!("$JS.API.STREAM.CREATE.{name}"), &body);
        let exists = match ended {
            Ended::Done(_) => true,
            Ended::Refused(_) => false,
            Ended::Unknown => self
                .query(&format!("$JS.API.STREAM.INFO.{name}"), &Value::Null)
                .is_ok(),
        };
        self.on_all(|model| {
            if !exists {
                model.streams.remove(name);
            } else if !model.streams.contains_key(name) {
                model.streams.insert(name.to_owned(), stream.clone());
            }
        });
    }

    pub(super) fn delete_stream(&mut self, name: &str) {
        if !self.model.streams.contains_key(name) {
            return;
        }
        let ended = self.request(&format!("$JS.API.STREAM.DELETE.{name}"), &Value::Null);
        let is_gone = match ended {
            Ended::Done(_) => true,
            Ended::Refused(text) => panic!("{name} cannot be deleted: {text}"),
            Ended::Unknown => self
                .query(&format!("$JS.API.STREAM.INFO.{name}"), &Value::Null)
                .is_err(),
        };
        if is_gone {
            self.publishes.retain(|_, pending| pending.stream != name);
            self.pulls.retain(|_, pull| pull.stream != name);
            self.on_all(|model| {
                model.streams.remove(name);
            });
        }
    }

    pub(super) fn create_consumer(&mut self) {
        let (name, consumer) = (self.rng.pick(&STREAMS), self.rng.pick(&CONSUMERS));
        let incarnation = self.number();
        let Some(stream) = self.model.streams.get(name) else {
            return;
        };
        if stream.consumers.contains_key(consumer) {
            return;
        }
        let is_interest = stream.settings.retention == Retention::Interest;
        let last = stream.last;
        // Where the last messages may be gone, nobody knows where it starts.
        let is_certain = stream.is_exact() && stream.settings.max_age_ms == 0;
        let mut settings = self.consumer_settings(name, last, is_interest);
        if !is_certain && matches!(settings.policy, Policy::Last | Policy::LastPerSubject) {
            settings.policy = Policy::All;
        }
        let body = consumer_json(name, consumer, &settings);
        let state = start(&self.model.streams[name], incarnation, settings);
        let insert = |model: &mut Model| {
            if let Some(stream) = model.streams.get_mut(name) {
                stream
                    .consumers
                    .entry(consumer.to_owned())
                    .or_insert(state.clone());
            }
        };
        if is_interest {
            // What is on its way out may be held by a new consumer.
            self.on_all(|model| {
                let messages = model
                    .streams
                    .get_mut(name)
                    .map(|stream| &mut stream.messages);
                for entry in messages
                    .into_iter()
                    .flat_map(|messages| messages.values_mut())
                {
                    if entry.presence == Presence::Gone {
                        entry.presence = Presence::Maybe;
                    }
                }
            });
        }
        insert(&mut self.model);
        let subject = format!("$JS.API.CONSUMER.DURABLE.CREATE.{name}.{consumer}");
        let exists = match self.request(&subject, &body) {
            Ended::Done(_) => true,
            Ended::Refused(_) => false,
            Ended::Unknown => self
                .query(
                    &format!("$JS.API.CONSUMER.INFO.{name}.{consumer}"),
                    &Value::Null,
                )
                .is_ok(),
        };
        if exists {
            self.on_all(insert);
            // Time has passed, in which others may have come of age.
            let may_overcount = self
                .model
                .streams
                .get(name)
                .is_none_or(|stream| !stream.is_exact());
            self.on_all(|model| {
                let stream = model.streams.get_mut(name);
                if let Some(state) = stream.and_then(|stream| stream.consumers.get_mut(consumer)) {
                    state.may_overcount |= may_overcount;
                    state.is_starting = false;
                }
            });
        } else {
            self.on_all(|model| {
                if let Some(stream) = model.streams.get_mut(name) {
                    stream.consumers.remove(consumer);
                }
            });
        }
    }

    pub(super) fn delete_consumer(&mut self, name: &str, consumer: &str) {
        let Some(stream) = self.model.streams.get(name) else {
            return;
        };
        if !stream.consumers.contains_key(consumer) {
            return;
        }
        let subject = format!("$JS.API.CONSUMER.DELETE.{name}.{consumer}");
        let ended = self.request(&subject, &Value::Null);
        let is_gone = match ended {
            Ended::Done(_) => true,
            Ended::Refused(text) => panic!("{consumer} cannot be deleted: {text}"),
            Ended::Unknown => self
                .query(
                    &format!("$JS.API.CONSUMER.INFO.{name}.{consumer}"),
                    &Value::Null,
                )
                .is_err(),
        };
        if is_gone {
            self.pulls
                .retain(|_, pull| pull.stream != name || pull.consumer != consumer);
            self.on_all(|model| {
                if let Some(stream) = model.streams.get_mut(name) {
                    remove_consumer(stream, consumer);
                }
            });
        }
    }

    /// Removes some messages by request.
    pub(super) fn remove_messages(&mut self) {
        let mut name = self.rng.pick(&STREAMS);
        let mut filter = format!("{name}.{}", self.rng.pick(&["a", "b", "d.*", "*", "c"]));
        if self.errand.is_none() && self.rng.percent(15) {
            filter = format!("$DLQ.{name}.>");
            name = DLQ;
        }
        let Some(stream) = self.model.streams.get(name) else {
            return;
        };
        let (last, seqs): (u64, Vec<u64>) =
            (stream.last, stream.messages.keys().copied().collect());
        if seqs.is_empty() {
            return;
        }
        let choice = self.rng.below(8);
        let picked = self.rng.pick(&seqs);
        let mut body = json!({});
        let mut subject = format!("$JS.API.STREAM.PURGE.{name}");
        match choice {
            0 => {}
            1 => body = json!({"filter": filter}),
            2 => body = json!({"seq": picked}),
            3 => body = json!({"filter": filter, "seq": picked}),
            _ => {
                body = json!({"seq": picked});
                subject = format!("$JS.API.STREAM.MSG.DELETE.{name}");
            }
        }
        let is_meant = |seq: u64, of: &str| match choice {
            0 => seq <= last,
            1 => seq <= last && midge_proto::matches(filter.as_bytes(), of.as_bytes()),
            2 => seq < picked,
            3 => seq < picked && midge_proto::matches(filter.as_bytes(), of.as_bytes()),
            _ => seq == picked,
        };
        let mark = |model: &mut Model, presence: Presence| {
            if let Some(stream) = model.streams.get_mut(name) {
                for (seq, entry) in &mut stream.messages {
                    let is_open = matches!(entry.presence, Presence::Kept | Presence::Maybe);
                    if is_open && is_meant(*seq, &entry.message.subject) {
                        entry.presence = presence;
                        entry.must_tell = false;
                    }
                }
            }
        };
        let was_there = stream.has(picked) && stream.settings.max_age_ms == 0;
        self.on_all(|model| mark(model, Presence::Maybe));
        match self.request(&subject, &body) {
            Ended::Done(_) => self.on_all(|model| mark(model, Presence::Gone)),
            Ended::Unknown => self.on_all(|model| {
                if let Some(stream) = model.streams.get_mut(name) {
                    stream.is_torn = true;
                }
            }),
            Ended::Refused(text) => {
                // Until it was asked for it may have died.
                let stream = self.model.streams.get(name);
                let has_died =
                    stream.is_none_or(|stream| stream.presence(picked) == Some(Presence::Gone));
                assert!(choice > 3 && (!was_there || has_died), "{text}");
            }
        }
    }
}

fn is_whole(words: &[Word]) -> bool {
    let Some(last) = words.last() else {
        return false;
    };
    // A direct get ends with a status; everything else is one message.
    last.status().is_some() || !last.header.contains("Nats-Num-Pending")
}

/// A consumer is gone, and on an interest stream what only it wanted.
fn remove_consumer(stream: &mut StreamModel, name: &str) {
    let Some(consumer) = stream.consumers.remove(name) else {
        return;
    };
    if stream.settings.retention != Retention::Interest {
        return;
    }
    let seqs: Vec<u64> = stream.messages.keys().copied().collect();
    for seq in seqs {
        if consumer.wants(seq) {
            // What is kept in memory goes without the disk, and what it has
            // held goes with the next batch.
            let is_unsure = consumer.is_exhausted(seq) || consumer.settings.is_memory;
            stream.settled(name, seq, is_unsure);
        }
    }
    stream.sweep();
}
