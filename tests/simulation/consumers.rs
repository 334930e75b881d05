//! What should be true of a consumer.

use super::model::{Message, Presence, StreamModel};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acks {
    None,
    All,
    Explicit,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct ConsumerSettings {
    pub(super) acks: Acks,
    pub(super) filters: Vec<String>,
    pub(super) is_push: bool,
    pub(super) max_deliver: i64,
    pub(super) max_ack_pending: i64,
    pub(super) ack_wait_ms: i64,
    pub(super) backoff_ms: Vec<i64>,
    pub(super) is_memory: bool,
    pub(super) policy: Policy,
    pub(super) buries: Buries,
    /// Of each of these keys one message is out at a time.
    pub(super) order: Option<OrderKey>,
    /// The key of a dead message waits.
    pub(super) parks: bool,
    /// Messages have levels of urgency.
    pub(super) has_levels: bool,
}

/// What the key of a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OrderKey {
    Subject,
    /// The second word of it.
    Word,
    /// The header `Colour`.
    Header,
}

impl OrderKey {
    pub(super) fn of(self, message: &Message) -> String {
        let found = match self {
            OrderKey::Subject => Some(message.subject.as_str()),
            OrderKey::Word => message.subject.split('.').nth(1),
            OrderKey::Header => {
                let mut lines = message.header.split("\r\n");
                lines.find_map(|line| line.strip_prefix("Colour: "))
            }
        };
        found.unwrap_or_default().to_owned()
    }
}

/// What becomes a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Buries {
    /// What was delivered as often as it may be, or was terminated, if there
    /// is such a limit: nothing is said about it.
    Default,
    Nothing,
    Terminated,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    All,
    New,
    Last,
    LastPerSubject,
    Start(u64),
}

#[derive(Debug, Clone)]
pub(super) struct ConsumerModel {
    pub(super) incarnation: u64,
    /// It was asked for, and may not be there yet.
    pub(super) is_starting: bool,
    pub(super) settings: ConsumerSettings,
    /// The highest sequence that it was given, or starts behind.
    pub(super) passed: u64,
    /// Messages before that, still to come.
    pub(super) picks: BTreeSet<u64>,
    /// Deliveries so far.
    pub(super) deliveries: u64,
    /// Not settled, with how often each was delivered.
    pub(super) unacked: BTreeMap<u64, u32>,
    /// Acknowledged after their delivery was forgotten in a power cut: they
    /// need not come, but may.
    pub(super) ahead: BTreeSet<u64>,
    /// Messages were on their way out while what lay before it was counted:
    /// the engine may have counted them, until it has come to the end.
    pub(super) may_overcount: bool,
    /// Messages that somebody has terminated, which is to end with a letter.
    pub(super) terminated: BTreeSet<u64>,
    /// Messages of which there is, or was, a letter.
    pub(super) dead: BTreeSet<u64>,
    /// Messages that were sent back to it from among the dead.
    pub(super) redriven: BTreeSet<u64>,
    /// Dead messages whose keys wait for them.
    pub(super) parked: BTreeMap<u64, String>,
    /// Those of them whose message was acknowledged, which a power cut may take
    /// back.
    pub(super) freed: BTreeSet<u64>,
}

impl ConsumerSettings {
    /// What was delivered as often as it may be becomes a letter.
    pub(super) fn buries_exhausted(&self) -> bool {
        self.buries == Buries::Default && self.max_deliver > 0
    }

    /// Its messages may overtake each other.
    pub(super) fn is_sorted(&self) -> bool {
        self.order.is_some() || self.has_levels
    }

    pub(super) fn key_of(&self, message: &Message) -> Option<String> {
        self.order.map(|order| order.of(message))
    }

    /// What is terminated becomes a letter.
    pub(super) fn buries_terminated(&self) -> bool {
        self.buries == Buries::Terminated || self.buries_exhausted()
    }
}

impl ConsumerModel {
    pub(super) fn matches(&self, subject: &str) -> bool {
        let filters = &self.settings.filters;
        filters.is_empty()
            || filters
                .iter()
                .any(|filter| midge_proto::matches(filter.as_bytes(), subject.as_bytes()))
    }

    /// It was delivered as often as it may be, and that was that.
    pub(super) fn is_exhausted(&self, seq: u64) -> bool {
        let max = self.settings.max_deliver;
        max > 0
            && !self.settings.buries_exhausted()
            && self
                .unacked
                .get(&seq)
                .is_some_and(|count| i64::from(*count) >= max)
    }

    pub(super) fn is_to_come(&self, seq: u64) -> bool {
        seq > self.passed || self.picks.contains(&seq)
    }

    /// Whether a message is to come before another one.
    pub(super) fn is_before(&self, seq: u64, other: u64) -> bool {
        if self.settings.is_sorted() {
            return self.settings.order.is_some() && self.is_to_come(seq) && seq < other;
        }
        if self.picks.contains(&other) {
            return seq < other && self.picks.contains(&seq);
        }
        self.picks.contains(&seq) || (seq > self.passed && seq < other)
    }

    /// The keys that wait for dead messages. What was sent back and is gone,
    /// or given up, is not waited for.
    pub(super) fn surely_parked(&self, stream: &StreamModel) -> impl Iterator<Item = &String> {
        let is_sure = |seq: u64| {
            let is_back = self.redriven.contains(&seq);
            let is_alive = stream.has(seq) && !self.is_exhausted(seq);
            !self.freed.contains(&seq) && (!is_back || is_alive)
        };
        let parked = self.parked.iter();
        let parked = parked.filter(move |(seq, _)| is_sure(**seq));
        parked.map(|(_, key)| key)
    }

    /// Not delivered, or not settled.
    pub(super) fn wants(&self, seq: u64) -> bool {
        self.is_to_come(seq) || self.unacked.contains_key(&seq)
    }

    pub(super) fn surely_wants(&self, seq: u64) -> bool {
        let is_done = self.is_exhausted(seq) || self.ahead.contains(&seq);
        self.wants(seq) && !is_done && !self.is_starting
    }

    /// Somebody terminates a message. True if that is to end with a letter,
    /// until which it is not settled.
    pub(super) fn terminate(&mut self, seq: u64) -> bool {
        let may_be_late = self.settings.acks == Acks::Explicit && self.is_to_come(seq);
        let is_meant =
            self.settings.buries_terminated() && (self.unacked.contains_key(&seq) || may_be_late);
        if is_meant {
            self.terminated.insert(seq);
        }
        // It means that message alone, whatever an ack would mean.
        is_meant || (self.settings.buries_terminated() && self.settings.acks == Acks::All)
    }

    /// Settles what an ack means; returns it with whether it had been
    /// delivered as often as may be.
    ///
    /// Where an ack means all before it, one below the floor is of a message
    /// that was sent back, and means that alone.
    pub(super) fn settle(&mut self, seq: u64, floor: u64) -> Vec<(u64, bool)> {
        let mut settled: Vec<u64> = Vec::new();
        // It is sent back already, and this is for its last life.
        if self.picks.contains(&seq) {
            return Vec::new();
        }
        if self.settings.acks == Acks::All && seq > floor {
            if seq <= self.passed {
                settled.extend(self.unacked.range(..=seq).map(|(seq, _)| *seq));
            }
        } else if self.unacked.contains_key(&seq) {
            settled.push(seq);
        }
        settled
            .into_iter()
            .map(|seq| {
                let was_exhausted = self.is_exhausted(seq);
                self.unacked.remove(&seq);
                self.freed.insert(seq);
                (seq, was_exhausted)
            })
            .collect()
    }

    /// How many messages are still to come, if the stream's are certain: at
    /// least and at most.
    pub(super) fn pending(&self, stream: &StreamModel) -> RangeInclusive<u64> {
        let to_come = stream
            .kept()
            .filter(|(seq, message)| self.is_to_come(*seq) && self.matches(&message.subject));
        let (mut least, mut most) = (0, 0);
        for (seq, _) in to_come {
            most += 1;
            least += u64::from(!self.ahead.contains(&seq));
        }
        if self.may_overcount {
            most = u64::MAX;
        }
        least..=most
    }
}

/// Where a new consumer stands.
pub(super) fn start(
    stream: &StreamModel,
    incarnation: u64,
    settings: ConsumerSettings,
) -> ConsumerModel {
    let mut state = ConsumerModel {
        incarnation,
        is_starting: true,
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
        parked: BTreeMap::new(),
        freed: BTreeSet::new(),
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

/// A new message is the next one, and may be delivered.
pub(super) fn check_turn(model: &StreamModel, consumer: &str, seq: u64) {
    let state = &model.consumers[consumer];
    let key = |message: &Message| state.settings.key_of(message);
    let own_key = key(&model.messages[&seq].message);
    let skipped = model.kept().find(|(other, message)| {
        state.is_before(*other, seq)
            && !state.ahead.contains(other)
            && state.matches(&message.subject)
            && key(message) == own_key
    });
    let skipped = skipped.map(|(seq, _)| seq);
    assert!(state.is_to_come(seq), "{seq} comes a second time as new");
    assert!(!state.dead.contains(&seq), "{seq} is dead");
    assert!(!state.unacked.contains_key(&seq), "{seq} is out already");
    assert_eq!(skipped, None, "it was passed over");
    let out: Vec<u64> = state
        .unacked
        .keys()
        .copied()
        .filter(|other| !state.is_exhausted(*other) && model.has(*other))
        .collect();
    if let Some(own_key) = &own_key {
        let other = out
            .iter()
            .find(|other| key(&model.messages[other].message).as_ref() == Some(own_key));
        assert_eq!(other, None, "{seq} has the same key and is out");
        let mut parked = state.surely_parked(model);
        let is_parked = parked.any(|parked| parked == own_key);
        assert!(
            !is_parked || state.redriven.contains(&seq),
            "the key of {seq} waits for a dead message"
        );
    }
    let (out, max) = (out.len() as i64, state.settings.max_ack_pending);
    assert!(
        state.settings.acks == Acks::None || max < 0 || out < max,
        "{out} are out already"
    );
}

/// A consumer's state after a delivery.
pub(super) fn take_delivery(
    stream: &mut StreamModel,
    consumer: &str,
    seq: u64,
    deliveries: u64,
    delivery: u64,
) {
    let Some(state) = stream.consumers.get_mut(consumer) else {
        return;
    };
    assert_eq!(delivery, state.deliveries + 1, "deliveries are counted");
    state.deliveries = delivery;
    state.ahead.remove(&seq);
    let acks = state.settings.acks;
    let max = state.settings.max_deliver;
    assert!(
        max < 0 || acks == Acks::None || deliveries as i64 <= max,
        "too many deliveries"
    );
    if deliveries > 1 {
        let before = state.unacked.get(&seq).map(|count| u64::from(*count));
        assert_eq!(before, Some(deliveries - 1), "{seq} again");
    } else if !state.picks.remove(&seq) {
        if state.settings.is_sorted() {
            // It has overtaken these.
            let between = stream.messages.range(state.passed + 1..seq);
            let overtaken = between.filter(|(_, entry)| {
                entry.presence != Presence::Lost && state.matches(&entry.message.subject)
            });
            let overtaken: Vec<u64> = overtaken.map(|(seq, _)| *seq).collect();
            state.picks.extend(overtaken);
        }
        state.passed = seq;
    }
    if acks != Acks::None {
        state.unacked.insert(seq, deliveries as u32);
    }
}
