//! How streams and consumers are set up: by chance.

use super::consumers::{Acks, Buries, ConsumerSettings, OrderKey, Policy};
use super::model::{Retention, StreamSettings};
use super::world::World;
use serde_json::{Value, json};
use std::collections::BTreeMap;

impl World {
    pub(super) fn stream_settings(&mut self) -> StreamSettings {
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
            is_compressed: rng.percent(30),
            keeps_overflow: rng.percent(35),
        }
    }

    pub(super) fn consumer_settings(
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
        let order = if acks == Acks::Explicit {
            rng.pick(&[
                None,
                None,
                None,
                Some(OrderKey::Subject),
                Some(OrderKey::Word),
                Some(OrderKey::Header),
            ])
        } else {
            None
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
            order,
            parks: order.is_some() && rng.percent(40),
            has_levels: acks == Acks::Explicit && rng.percent(10),
            is_memory: rng.percent(10),
            policy,
        }
    }
}

pub(super) fn stream_json(name: &str, settings: &StreamSettings) -> Value {
    let overflow = if settings.keeps_overflow {
        "dead_letter"
    } else {
        "off"
    };
    json!({
        "metadata": {"midge.overflow": overflow},
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
        "compression": if settings.is_compressed { "s2" } else { "none" },
        "storage": if settings.is_memory { "memory" } else { "file" },
        "num_replicas": 1,
        "allow_direct": true,
        "allow_rollup_hdrs": true,
    })
}

/// What its metadata ask for.
fn options(settings: &ConsumerSettings) -> BTreeMap<&'static str, &'static str> {
    let mut options = BTreeMap::new();
    match settings.buries {
        Buries::Default => {}
        Buries::Nothing => {
            options.insert("midge.dead_letter", "off");
        }
        Buries::Terminated => {
            options.insert("midge.dead_letter_on", "term");
        }
    }
    let key = settings.order.map(|order| match order {
        OrderKey::Subject => "subject",
        OrderKey::Word => "token:2",
        OrderKey::Header => "header:Colour",
    });
    options.extend(key.map(|key| ("midge.order_key", key)));
    if settings.parks {
        options.insert("midge.park_key", "true");
    }
    if settings.has_levels {
        options.insert("midge.priority", "header:P");
    }
    options
}

pub(super) fn consumer_json(stream: &str, name: &str, settings: &ConsumerSettings) -> Value {
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
    let options = options(settings);
    if !options.is_empty() {
        config["metadata"] = json!(options);
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
