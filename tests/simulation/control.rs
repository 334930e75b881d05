//! What clients ask of the stream API. Such a request is seen through to its
//! end before anything else is done; where the end is not heard of, the
//! server is asked what became of it.

use super::client::{CONSUMERS, STREAMS};
use super::model::{
    Acks, Buries, ConsumerModel, ConsumerSettings, Model, Policy, Presence, Retention, StreamModel,
    StreamSettings,
};
use super::told::Word;
use super::world::{CONTROL, World};
use crate::trace;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
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
        let body = stream_json(name, &settings);
        // From now on the new limits may take what the old ones leave.
        self.change_settings(name, &settings);
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
        let name = self.rng.pick(&STREAMS);
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
        let filter = format!("{name}.{}", self.rng.pick(&["a", "b", "d.*", "*", "c"]));
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
                    }
                }
            }
        };
        let was_there = stream.has(picked) && stream.settings.max_age_ms == 0;
        self.on_all(|model| mark(model, Presence::Maybe));
        match self.request(&subject, &body) {
            Ended::Done(_) => self.on_all(|model| mark(model, Presence::Gone)),
            Ended::Unknown => {}
            Ended::Refused(text) => assert!(choice > 3 && !was_there, "{text}"),
        }
    }

    fn stream_settings(&mut self) -> StreamSettings {
        let rng = &mut self.rng;
        let discard_new = rng.percent(20);
        let max_per_subject = rng.pick(&[-1, -1, -1, 1, 3]);
        StreamSettings {
            retention: rng.pick(&[
                Retention::Limits,
                Retention::Limits,
                Retention::Interest,
                Retention::WorkQueue,
            ]),
            discard_new,
            discard_new_per_subject: discard_new && max_per_subject > 0 && rng.percent(50),
            max_msgs: rng.pick(&[-1, -1, 5, 30]),
            max_bytes: rng.pick(&[-1, -1, -1, 1500]),
            max_per_subject,
            max_age_ms: rng.pick(&[0, 0, 0, 2_000, 60_000]),
            window_ms: rng.pick(&[500, 2_000]),
            is_memory: rng.percent(20),
            is_async: false,
        }
    }

    fn consumer_settings(
        &mut self,
        stream: &str,
        last: u64,
        is_interest: bool,
    ) -> ConsumerSettings {
        let rng = &mut self.rng;
        let acks = rng.pick(&[Acks::None, Acks::All, Acks::Explicit, Acks::Explicit]);
        let filters: &[&str] = rng.pick::<&[&str]>(&[
            &[],
            &[],
            &[],
            &["a"],
            &["a", "b"],
            &["d.*"],
            &["*"],
            &["b", "d.>"],
        ]);
        let mut policy = match rng.below(8) {
            0 => Policy::New,
            1 => Policy::Last,
            2 if !is_interest => Policy::LastPerSubject,
            3 => Policy::Start(1 + rng.below(last as usize + 2) as u64),
            _ => Policy::All,
        };
        if policy == Policy::LastPerSubject && filters.is_empty() {
            policy = Policy::All;
        }
        let max_deliver = if acks == Acks::None {
            -1
        } else {
            rng.pick(&[-1, -1, 1, 2, 4])
        };
        let backoff_ms = if max_deliver == 4 {
            vec![100, 300]
        } else {
            Vec::new()
        };
        let buries = if acks == Acks::None {
            Buries::Default
        } else {
            rng.pick(&[
                Buries::Default,
                Buries::Default,
                Buries::Default,
                Buries::Nothing,
                Buries::Terminated,
            ])
        };
        ConsumerSettings {
            acks,
            filters: filters
                .iter()
                .map(|filter| format!("{stream}.{filter}"))
                .collect(),
            is_push: rng.percent(30),
            max_deliver,
            max_ack_pending: if acks == Acks::None {
                -1
            } else {
                rng.pick(&[-1, 1, 3, 1000])
            },
            ack_wait_ms: rng.pick(&[100, 1000, 30_000]),
            backoff_ms,
            buries,
            is_memory: rng.percent(10),
            policy,
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

/// Where a new consumer stands.
fn start(stream: &StreamModel, incarnation: u64, settings: ConsumerSettings) -> ConsumerModel {
    let mut state = ConsumerModel {
        incarnation,
        settings,
        passed: 0,
        picks: BTreeSet::new(),
        deliveries: 0,
        unacked: BTreeMap::new(),
        ahead: BTreeSet::new(),
        may_overcount: !stream.is_exact(),
        terminated: BTreeSet::new(),
        dead: BTreeSet::new(),
        redriven: BTreeSet::new(),
    };
    let meant: Vec<(u64, String)> = stream
        .messages
        .iter()
        .filter(|(_, entry)| {
            entry.presence == Presence::Kept && state.matches(&entry.message.subject)
        })
        .map(|(seq, entry)| (*seq, entry.message.subject.clone()))
        .collect();
    match state.settings.policy {
        Policy::All => {}
        Policy::New => state.passed = stream.last,
        Policy::Start(seq) => state.passed = seq - 1,
        Policy::Last => state.passed = meant.last().map_or(stream.last, |(seq, _)| seq - 1),
        Policy::LastPerSubject => {
            let lasts: BTreeMap<&str, u64> = meant
                .iter()
                .map(|(seq, subject)| (subject.as_str(), *seq))
                .collect();
            state.picks = lasts.into_values().collect();
            state.passed = stream.last;
        }
    }
    state
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
            let was_exhausted = consumer.is_exhausted(seq);
            stream.settled(name, seq, was_exhausted);
        }
    }
    stream.sweep();
}

fn stream_json(name: &str, settings: &StreamSettings) -> Value {
    json!({
        "name": name,
        "subjects": [format!("{name}.>")],
        "retention": match settings.retention {
            Retention::Limits => "limits",
            Retention::Interest => "interest",
            Retention::WorkQueue => "workqueue",
        },
        "discard": if settings.discard_new { "new" } else { "old" },
        "discard_new_per_subject": settings.discard_new_per_subject,
        "max_consumers": -1,
        "max_msgs": settings.max_msgs,
        "max_bytes": settings.max_bytes,
        "max_msgs_per_subject": settings.max_per_subject,
        "max_msg_size": -1,
        "max_age": settings.max_age_ms * 1_000_000,
        "duplicate_window": settings.window_ms * 1_000_000,
        "storage": if settings.is_memory { "memory" } else { "file" },
        "num_replicas": 1,
        "allow_direct": true,
        "allow_rollup_hdrs": true,
    })
}

fn consumer_json(stream: &str, name: &str, settings: &ConsumerSettings) -> Value {
    let mut config = json!({
        "name": name,
        "durable_name": name,
        "ack_policy": match settings.acks {
            Acks::None => "none",
            Acks::All => "all",
            Acks::Explicit => "explicit",
        },
        "deliver_policy": match settings.policy {
            Policy::All => "all",
            Policy::New => "new",
            Policy::Last => "last",
            Policy::LastPerSubject => "last_per_subject",
            Policy::Start(_) => "by_start_sequence",
        },
        "replay_policy": "instant",
        "ack_wait": settings.ack_wait_ms * 1_000_000,
        "max_deliver": settings.max_deliver,
        "max_ack_pending": settings.max_ack_pending,
        "mem_storage": settings.is_memory,
        "filter_subjects": settings.filters,
        "num_replicas": 0,
    });
    match settings.buries {
        Buries::Default => {}
        Buries::Nothing => config["metadata"] = json!({"midge.dead_letter": "off"}),
        Buries::Terminated => config["metadata"] = json!({"midge.dead_letter_on": "term"}),
    }
    if let Policy::Start(seq) = settings.policy {
        config["opt_start_seq"] = json!(seq);
    }
    if settings.is_push {
        config["deliver_subject"] = json!(format!("D.{stream}.{name}"));
    }
    if !settings.backoff_ms.is_empty() {
        let steps = settings.backoff_ms.iter().map(|step| step * 1_000_000);
        config["backoff"] = json!(steps.collect::<Vec<i64>>());
    }
    json!({"stream_name": stream, "config": config, "action": "create"})
}
