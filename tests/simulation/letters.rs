//! What clients check of dead letters, of which they hear when they are
//! stored: that is when a message is dead, and not before or after.

use super::consumers::{Acks, ConsumerModel};
use super::model::{Message, Presence, Retention, StreamModel, StreamSettings};
use super::told::Word;
use super::world::World;
use crate::trace;
use std::cell::Cell;

pub(super) const DLQ: &str = "DLQ";

/// How often a message was sent back, as it tells itself.
pub(super) fn redrives(block: &str) -> Option<u32> {
    let (_, rest) = block.split_once("Midge-Redrives:")?;
    rest.split("\r\n").next()?.trim().parse().ok()
}

/// What a letter's headers tell.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    pub(super) stream: String,
    pub(super) consumer: String,
    pub(super) seq: u64,
    pub(super) subject: String,
    deliveries: u32,
    pub(super) reason: String,
    pub(super) redrives: u32,
    /// The header block of the message, as it was.
    pub(super) header: String,
}

/// A header block without what was added to it among the dead.
pub(super) fn original(block: &str) -> String {
    let kept: String = block
        .split_inclusive("\r\n")
        .filter(|line| !line.starts_with("Midge-"))
        .collect();
    let is_bare = kept == "NATS/1.0\r\n\r\n";
    if is_bare { String::new() } else { kept }
}

impl Letter {
    pub(super) fn read(block: &str) -> Letter {
        let fact = |name: &str| {
            let line = block.split("\r\n").find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim().to_owned())
        };
        let sure = |name: &str| fact(name).unwrap_or_else(|| panic!("{name} {block:?}"));
        Letter {
            stream: sure("Midge-Stream:"),
            consumer: fact("Midge-Consumer:").unwrap_or_default(),
            seq: sure("Midge-Sequence:").parse().unwrap(),
            subject: sure("Midge-Subject:"),
            deliveries: sure("Midge-Deliveries:").parse().unwrap(),
            reason: sure("Midge-Reason:"),
            redrives: redrives(block).unwrap_or(0),
            header: original(block),
        }
    }
}

impl World {
    /// A dead letter was stored.
    pub(super) fn hear_letter(&mut self, word: &Word) {
        let letter = Letter::read(&word.header);
        trace!("a dead letter: {letter:?}");
        self.letters_heard += 1;
        let Letter {
            stream,
            consumer,
            seq,
            subject,
            ..
        } = &letter;
        let by = if consumer.is_empty() { "_" } else { consumer };
        assert_eq!(word.subject, format!("$DLQ.{stream}.{by}.{subject}"));
        let Some(source) = self.model.streams.get_mut(stream) else {
            panic!("there is no {stream}");
        };
        let Some(entry) = source.messages.get(seq).cloned() else {
            panic!("{seq} of {stream} is dead, which is not there");
        };
        assert_ne!(entry.presence, Presence::Lost, "{seq} was damaged");
        assert_eq!(entry.message.subject, *subject, "the subject of {seq}");
        assert_eq!(entry.message.body, word.body, "the body of {seq}");
        let header = original(&entry.message.header);
        assert_eq!(header, letter.header, "the header of {seq}");
        let was_redriven = redrives(&entry.message.header).unwrap_or(0);
        assert!(letter.redrives >= was_redriven, "the redrives of {seq}");
        if matches!(letter.reason.as_str(), "discarded" | "expired") {
            drop_from(source, &letter, self.wall);
            return self.store_letter(word);
        }
        let Some(state) = source.consumers.get_mut(consumer) else {
            panic!("{stream} has no {consumer}");
        };
        let is_confirmed = self.confirmed.contains(&(state.incarnation, *seq));
        assert!(!is_confirmed, "the ack of {seq} was confirmed");
        bury(state, &letter);
        if state.settings.parks
            && let Some(key) = state.settings.key_of(&entry.message)
        {
            state.freed.remove(seq);
            state.parked.insert(*seq, key);
        }
        source.settled(consumer, *seq, false);
        self.store_letter(word);
    }

    /// The letter is a message of the stream of the dead, which is made when
    /// it is first needed.
    fn store_letter(&mut self, word: &Word) {
        let incarnation = self.number();
        let wall = self.wall;
        let dlq = self.model.streams.entry(DLQ.to_owned());
        let dlq = dlq.or_insert_with(|| StreamModel::new(incarnation, own_settings()));
        let message = Message {
            subject: word.subject.clone(),
            header: word.header.clone(),
            body: word.body.clone(),
            time: Cell::new(wall.max(dlq.last_time)),
            may_wait: Cell::new(false),
        };
        dlq.append(message, None, wall);
    }
}

/// The message has a right to die, and does.
fn bury(state: &mut ConsumerModel, letter: &Letter) {
    let seq = letter.seq;
    assert!(!state.dead.contains(&seq), "{seq} dies a second time");
    let settings = &state.settings;
    let is_terminated = letter.reason.starts_with("terminated");
    match state.unacked.remove(&seq) {
        Some(count) => {
            assert_eq!(letter.deliveries, count, "the deliveries of {seq}");
            if !is_terminated {
                assert_eq!(letter.reason, "max_deliver");
                assert!(settings.buries_exhausted(), "{seq} is not meant to die");
                let is_last = i64::from(count) >= settings.max_deliver;
                assert!(is_last, "{seq} may be delivered again");
            }
        }
        // Its delivery was forgotten with a power cut.
        None => {
            assert!(state.is_to_come(seq), "{seq} was settled");
            assert_eq!(settings.acks, Acks::Explicit);
            assert!(is_terminated, "{seq} was not delivered");
            state.ahead.insert(seq);
        }
    }
    if is_terminated {
        assert!(settings.buries_terminated(), "{seq} is not meant to die");
        let was_asked = state.terminated.remove(&seq);
        assert!(was_asked, "nobody has terminated {seq}");
    }
    state.dead.insert(seq);
    state.redriven.remove(&seq);
}

/// A stream drops a message for want of room or for its age, and nobody was
/// through with it.
fn drop_from(source: &mut StreamModel, letter: &Letter, wall: i64) {
    let (seq, settings) = (letter.seq, &source.settings);
    assert!(settings.keeps_overflow, "{seq} is not meant to be kept");
    let is_queue = settings.retention == Retention::WorkQueue;
    assert!(is_queue || letter.consumer.is_empty(), "nobody had {seq}");
    let Some(entry) = source.messages.get_mut(&seq) else {
        return;
    };
    assert!(!entry.is_dropped, "{seq} is dropped a second time");
    assert_ne!(entry.presence, Presence::Kept, "there is room for {seq}");
    let was_settled = entry.is_released && entry.presence == Presence::Gone;
    assert!(!was_settled, "{seq} was settled");
    if letter.reason == "expired" {
        let max_age = settings.max_age_ms * 1_000_000;
        let is_old = max_age > 0 && wall - entry.message.time.get() >= max_age;
        assert!(is_queue && is_old, "{seq} is not too old");
    }
    entry.presence = Presence::Gone;
    entry.must_tell = false;
    entry.is_dropped = true;
    let Some(state) = source.consumers.get(&letter.consumer) else {
        return;
    };
    let deliveries = state.unacked.get(&seq).copied().unwrap_or(0);
    let is_told = letter.deliveries == deliveries;
    assert!(
        is_told || state.is_exhausted(seq),
        "the deliveries of {seq}"
    );
}

/// What the stream of the dead is made with.
fn own_settings() -> StreamSettings {
    StreamSettings {
        retention: Retention::Limits,
        discard_new: false,
        discard_new_per_subject: false,
        max_msgs: -1,
        max_bytes: -1,
        max_per_subject: -1,
        max_age_ms: 0,
        window_ms: 120_000,
        is_memory: false,
        is_async: false,
        is_compressed: false,
        keeps_overflow: false,
    }
}
