//! What should be true: streams and consumers as plain maps.
//!
//! The model is told of every command when the engine is, and of every
//! delivery when it arrives. It is cloned when a batch is taken, so that it
//! is known what a power cut leaves behind. Of a message that a limit allows
//! to go it only knows that it may be gone; all else is certain.

use super::consumers::{Acks, ConsumerModel};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) subject: String,
    /// The header block, empty if there is none.
    pub(super) header: String,
    pub(super) body: String,
    pub(super) time: Cell<i64>,
    /// It may be stored later than it was sent: it asks what only the disk may
    /// tell, or comes behind one that does. Until it is heard, the time is when
    /// it was sent.
    pub(super) may_wait: Cell<bool>,
}

impl Message {
    /// It is told when it was stored.
    pub(super) fn hear_time(&self, time: i64) {
        let waited = self.may_wait.take() && time >= self.time.get();
        if waited {
            self.time.set(time);
        }
        assert_eq!(time, self.time.get(), "the time of {self:?}");
    }

    /// What it counts for in a stream's bytes.
    pub(super) fn size(&self, is_memory: bool) -> u64 {
        let overhead = match (is_memory, self.header.is_empty()) {
            (true, _) => 16,
            (false, true) => 30,
            (false, false) => 34,
        };
        (overhead + self.subject.len() + self.header.len() + self.body.len()) as u64
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Kept,
    /// A rule allows it to be gone.
    Maybe,
    /// It was damaged. Limits may count it until that is noticed.
    Lost,
    /// It is gone, or will be as soon as its block has been read.
    Gone,
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) message: Rc<Message>,
    pub(super) presence: Presence,
    /// It goes for no other reason than that its consumers are through.
    pub(super) is_released: bool,
    /// If it is gone then for want of room or for its age, which has to end
    /// with a letter.
    pub(super) must_tell: bool,
    /// There is that letter.
    pub(super) is_dropped: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retention {
    Limits,
    Interest,
    WorkQueue,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct StreamSettings {
    pub(super) retention: Retention,
    pub(super) discard_new: bool,
    pub(super) discard_new_per_subject: bool,
    pub(super) max_msgs: i64,
    pub(super) max_bytes: i64,
    pub(super) max_per_subject: i64,
    pub(super) max_age_ms: i64,
    pub(super) window_ms: i64,
    pub(super) is_memory: bool,
    pub(super) is_async: bool,
    pub(super) is_compressed: bool,
    /// What it drops becomes a dead letter.
    pub(super) keeps_overflow: bool,
}

impl StreamSettings {
    /// What it drops becomes one for sure. Where it is in memory, that is as
    /// long as the disk works.
    fn surely_keeps(&self) -> bool {
        self.keeps_overflow && !self.is_memory
    }
}

/// A message id, with the wall clock's time when it was stored.
#[derive(Debug, Clone)]
pub(super) struct Id {
    pub(super) id: String,
    pub(super) seq: u64,
    pub(super) wall: i64,
}

#[derive(Debug, Clone)]
pub(super) struct StreamModel {
    /// Tells it from others of its name.
    pub(super) incarnation: u64,
    pub(super) settings: StreamSettings,
    pub(super) last: u64,
    pub(super) last_time: i64,
    pub(super) messages: BTreeMap<u64, Entry>,
    pub(super) consumers: BTreeMap<String, ConsumerModel>,
    pub(super) ids: Vec<Id>,
    /// Counts are not exact any more.
    pub(super) is_damaged: bool,
    /// A purge was given up on its way: consumers may wait for acks of what
    /// it has removed, until they are due.
    pub(super) is_torn: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    pub(super) streams: BTreeMap<String, StreamModel>,
}

impl Model {
    /// What is left when the memory is lost.
    pub(super) fn stored(&self) -> Model {
        let mut model = self.clone();
        model.streams.retain(|_, stream| !stream.settings.is_memory);
        for stream in model.streams.values_mut() {
            stream
                .consumers
                .retain(|_, consumer| !consumer.settings.is_memory);
            stream.sweep();
        }
        model
    }

    pub(super) fn stream(&self, name: &str, incarnation: u64) -> Option<&StreamModel> {
        self.streams
            .get(name)
            .filter(|stream| stream.incarnation == incarnation)
    }

    /// Messages that have come of age may be gone.
    pub(super) fn age(&mut self, wall: i64) {
        for stream in self.streams.values_mut() {
            let max = stream.settings.max_age_ms * 1_000_000;
            let is_queue = stream.settings.retention == Retention::WorkQueue;
            let must_tell = is_queue && stream.settings.surely_keeps();
            if max > 0 {
                for entry in stream.messages.values_mut() {
                    if wall - entry.message.time.get() >= max {
                        if entry.presence == Presence::Kept {
                            entry.presence = Presence::Maybe;
                            entry.must_tell = must_tell;
                        }
                        entry.must_tell &= must_tell;
                    }
                }
            }
        }
    }
}

impl StreamModel {
    pub(super) fn new(incarnation: u64, settings: StreamSettings) -> Self {
        StreamModel {
            incarnation,
            settings,
            last: 0,
            last_time: 0,
            messages: BTreeMap::new(),
            consumers: BTreeMap::new(),
            ids: Vec::new(),
            is_damaged: false,
            is_torn: false,
        }
    }

    pub(super) fn with(&self, presence: Presence) -> impl Iterator<Item = (u64, &Rc<Message>)> {
        self.messages
            .iter()
            .filter(move |(_, entry)| entry.presence == presence)
            .map(|(seq, entry)| (*seq, &entry.message))
    }

    pub(super) fn kept(&self) -> impl Iterator<Item = (u64, &Rc<Message>)> {
        self.with(Presence::Kept)
    }

    pub(super) fn has(&self, seq: u64) -> bool {
        self.presence(seq) == Some(Presence::Kept)
    }

    pub(super) fn presence(&self, seq: u64) -> Option<Presence> {
        self.messages.get(&seq).map(|entry| entry.presence)
    }

    pub(super) fn mark(&mut self, seq: u64, presence: Presence) {
        if let Some(entry) = self.messages.get_mut(&seq) {
            entry.presence = presence;
            entry.must_tell = false;
        }
    }

    /// Nothing about its messages is in doubt, or on its way out.
    pub(super) fn is_exact(&self) -> bool {
        !self.is_damaged
            && self
                .messages
                .values()
                .all(|entry| entry.presence == Presence::Kept)
    }

    pub(super) fn is_wanted(&self, subject: &str) -> bool {
        self.consumers
            .values()
            .any(|consumer| consumer.matches(subject))
    }

    /// Stores a message; returns its sequence.
    pub(super) fn append(&mut self, message: Message, id: Option<&str>, wall: i64) -> u64 {
        self.last += 1;
        let seq = self.last;
        self.last_time = message.time.get();
        if let Some(id) = id {
            self.ids.push(Id {
                id: id.to_owned(),
                seq,
                wall,
            });
        }
        if self.settings.retention == Retention::Interest && !self.is_wanted(&message.subject) {
            return seq;
        }
        let entry = Entry {
            message: Rc::new(message),
            presence: Presence::Kept,
            is_released: false,
            must_tell: false,
            is_dropped: false,
        };
        self.messages.insert(seq, entry);
        self.trim();
        seq
    }

    /// Lets the limits take what they may. What is on its way out counts until
    /// it is: its block may have to be read first.
    pub(super) fn trim(&mut self) {
        let settings = self.settings.clone();
        let (mut count, mut bytes) = (0, 0);
        let mut of_subject: BTreeMap<String, i64> = BTreeMap::new();
        for entry in self.messages.values_mut().rev() {
            let of_subject = of_subject.entry(entry.message.subject.clone()).or_default();
            *of_subject += 1;
            count += 1;
            bytes += entry.message.size(self.settings.is_memory) as i64;
            let is_over = (settings.max_msgs > 0 && count > settings.max_msgs)
                || (settings.max_bytes > 0 && bytes > settings.max_bytes)
                || (settings.max_per_subject > 0 && *of_subject > settings.max_per_subject);
            if is_over && entry.presence == Presence::Kept {
                entry.presence = Presence::Maybe;
                entry.must_tell = settings.surely_keeps();
            }
        }
        // What nobody wants may go before that.
        if settings.retention == Retention::Interest {
            let is_wanted = |seq: u64, subject: &str| {
                let mut consumers = self.consumers.values();
                consumers.any(|consumer| consumer.matches(subject) && consumer.surely_wants(seq))
            };
            for (seq, entry) in &mut self.messages {
                entry.must_tell &= is_wanted(*seq, &entry.message.subject);
            }
        }
    }

    /// Removes everything before `seq` of a subject, or of all.
    pub(super) fn roll_up(&mut self, seq: u64, subject: Option<&str>) {
        for (_, entry) in self.messages.range_mut(..seq) {
            let is_meant = subject.is_none_or(|subject| entry.message.subject == subject);
            if is_meant && entry.presence != Presence::Lost {
                entry.presence = Presence::Gone;
                entry.must_tell = false;
            }
        }
    }

    /// On an interest stream, what no consumer is left to want may go.
    pub(super) fn sweep(&mut self) {
        if self.settings.retention != Retention::Interest {
            return;
        }
        for (seq, entry) in &mut self.messages {
            let is_wanted = self.consumers.values().any(|consumer| {
                consumer.matches(&entry.message.subject) && consumer.surely_wants(*seq)
            });
            if !is_wanted {
                entry.must_tell = false;
                if entry.presence == Presence::Kept {
                    entry.presence = Presence::Maybe;
                }
            }
        }
    }

    /// A consumer may be through with a message that it was not seen to
    /// deliver.
    pub(super) fn settled_ahead(&mut self, name: &str, seq: u64) {
        let is_there = matches!(self.presence(seq), Some(Presence::Kept | Presence::Maybe));
        let is_held = is_there && self.settings.retention != Retention::Limits;
        let Some(consumer) = self.consumers.get_mut(name) else {
            return;
        };
        if consumer.settings.acks == Acks::Explicit && consumer.is_to_come(seq) {
            consumer.ahead.insert(seq);
            consumer.freed.insert(seq);
            if is_held {
                self.mark(seq, Presence::Maybe);
            }
        }
    }

    /// A message comes back to a consumer from among the dead.
    pub(super) fn sent_back(&mut self, consumer: &str, seq: u64) {
        let Some(state) = self.consumers.get_mut(consumer) else {
            return;
        };
        state.dead.remove(&seq);
        state.ahead.remove(&seq);
        state.redriven.insert(seq);
        if !state.wants(seq) {
            state.picks.insert(seq);
        }
        if let Some(entry) = self.messages.get_mut(&seq)
            && entry.is_released
        {
            entry.presence = Presence::Kept;
            entry.is_released = false;
        }
    }

    /// A consumer is through with a message.
    pub(super) fn settled(&mut self, consumer: &str, seq: u64, was_exhausted: bool) {
        let Some(entry) = self.messages.get(&seq) else {
            return;
        };
        let subject = &entry.message.subject;
        let presence = match self.settings.retention {
            Retention::Limits => return,
            Retention::WorkQueue if was_exhausted => Presence::Maybe,
            Retention::WorkQueue => Presence::Gone,
            Retention::Interest => {
                let others: Vec<_> = self
                    .consumers
                    .iter()
                    .filter(|(name, other)| *name != consumer && other.matches(subject))
                    .map(|(_, other)| other)
                    .collect();
                if others.iter().any(|other| other.wants(seq)) {
                    // Whether one that was delivered too often holds it is
                    // not promised.
                    if others.iter().any(|other| other.surely_wants(seq)) {
                        return;
                    }
                    Presence::Maybe
                } else if was_exhausted {
                    Presence::Maybe
                } else {
                    Presence::Gone
                }
            }
        };
        let was_kept = entry.presence == Presence::Kept;
        if let Some(entry) = self.messages.get_mut(&seq)
            && matches!(entry.presence, Presence::Kept | Presence::Maybe)
        {
            entry.presence = presence;
            entry.is_released = was_kept;
            entry.must_tell = false;
        }
    }
}
