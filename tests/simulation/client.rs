//! What clients do of their own accord: publish, pull, ack, come and go.

use super::model::Message;
use super::world::{CONNS, Held, PendingAck, PendingPublish, Pull, World};
use crate::trace;
use std::cell::Cell;
use std::time::Duration;

pub(super) const STREAMS: [&str; 3] = ["S0", "S1", "S2"];
pub(super) const CONSUMERS: [&str; 3] = ["C0", "C1", "C2"];
const TOKENS: [&str; 5] = ["a", "b", "c", "d.e", "d.f"];

/// What a publish is expected to come to.
#[derive(Debug, PartialEq)]
enum Expected {
    New,
    Duplicate(u64),
    Refused,
}

struct Draft {
    header: String,
    id: Option<String>,
    rollup: Option<bool>,
    expected: Expected,
}

impl World {
    pub(super) fn publish(&mut self) {
        let name = self.rng.pick(&STREAMS);
        let subject = format!("{name}.{}", self.rng.pick(&TOKENS));
        let number = self.number();
        let conn = self.rng.below(CONNS);
        let is_taken = self.model.streams.contains_key(name);
        if self.conns[conn].id.is_none() || (!is_taken && self.listens_to_copies) {
            return;
        }
        let len = self.rng.pick(&[0, 10, 40, 150]);
        let body = format!("{number}:{}", "x".repeat(len));
        let draft = self.draft(name, &subject);
        let has_reply = self.needs_answer(name, &draft) || self.rng.percent(85);
        let reply = if has_reply {
            format!("_I.{conn}.p{number}")
        } else {
            String::new()
        };
        trace!("publish {number} to {subject} {:?}", draft.header);
        let stream = self.model.streams.get(name);
        let expected = stream.map(|stream| match draft.expected {
            Expected::Duplicate(seq) => (stream.incarnation, seq, true),
            _ => (stream.incarnation, stream.last + 1, false),
        });
        let (incarnation, seq, is_duplicate) = expected.unwrap_or_default();
        let pending = PendingPublish {
            conn,
            stream: name.to_owned(),
            incarnation,
            seq,
            is_duplicate,
            is_wrong: false,
        };
        if has_reply {
            self.publishes.insert(number, pending);
        }
        self.refused = None;
        // Consumers get it in a later turn, when the model knows of it.
        let line = World::publish_line(&subject, &reply, &draft.header, &body);
        self.say(conn, &line);
        if let Some(text) = self.refused.take() {
            return self.check_refusal(name, &draft, &text, &subject);
        }
        let is_down = self.reopens.is_some();
        let wall = self.wall;
        let Some(stream) = self.model.streams.get_mut(name) else {
            assert!(!has_reply, "nobody takes it");
            return;
        };
        assert!(!is_down || stream.settings.is_memory, "the store is down");
        let asks_disk = draft.header.contains("Last-Subject-Sequence");
        if draft.expected == Expected::Refused {
            let waits = asks_disk && !self.loads.is_empty();
            let pending = self.publishes.get_mut(&number).filter(|_| waits);
            return pending.expect("it is accepted").is_wrong = true;
        }
        if is_duplicate {
            return;
        }
        let time = wall.max(stream.last_time);
        let before = stream.messages.get(&stream.last);
        let is_behind = before
            .map(|entry| &entry.message)
            .is_some_and(|before| before.may_wait.get() && before.time.get() == time);
        let may_wait = is_behind || asks_disk;
        let message = Message {
            subject: subject.clone(),
            header: draft.header,
            body,
            time: Cell::new(time),
            may_wait: Cell::new(may_wait),
        };
        assert_eq!(stream.append(message, draft.id.as_deref(), wall), seq);
        // What is not kept, as nobody wants it, replaces nothing.
        match draft.rollup.filter(|_| stream.has(seq)) {
            Some(true) => stream.roll_up(seq, None),
            Some(false) => stream.roll_up(seq, Some(&subject)),
            None => {}
        }
    }

    /// Whether a publish may be refused, which the answer alone tells.
    fn needs_answer(&self, name: &str, draft: &Draft) -> bool {
        let stream = self.model.streams.get(name);
        draft.expected == Expected::Refused
            || !draft.header.is_empty()
            || self.reopens.is_some()
            || stream.is_none_or(|stream| stream.settings.discard_new)
    }

    /// Whether a refusal has a reason.
    fn check_refusal(&self, name: &str, draft: &Draft, text: &str, subject: &str) {
        trace!("refused: {text}");
        let Some(stream) = self.model.streams.get(name) else {
            return;
        };
        let settings = &stream.settings;
        let is_down = self.reopens.is_some() && !settings.is_memory;
        let is_transient = text.contains("temporarily unavailable") && !draft.header.is_empty()
            || text.contains("not ready");
        if is_down || draft.expected == Expected::Refused || is_transient {
            return;
        }
        assert!(settings.discard_new && text.contains("maximum"), "{text}");
        if !stream.is_exact() {
            return;
        }
        let count = stream.kept().count() as i64;
        let bytes: u64 = stream
            .kept()
            .map(|(_, message)| message.size(stream.settings.is_memory))
            .sum();
        let of_subject = stream
            .kept()
            .filter(|(_, message)| message.subject == subject);
        let of_subject = of_subject.count() as i64;
        let is_full = (settings.max_msgs > 0 && count >= settings.max_msgs)
            || (settings.max_bytes > 0 && bytes as i64 + 400 >= settings.max_bytes)
            || (settings.max_per_subject > 0 && of_subject >= settings.max_per_subject);
        assert!(
            is_full,
            "{text}: {count} messages, {bytes} bytes, {of_subject} of its subject"
        );
    }

    /// What a message asks of the stream.
    fn draft(&mut self, name: &str, subject: &str) -> Draft {
        let mut draft = Draft {
            header: String::new(),
            id: None,
            rollup: None,
            expected: Expected::New,
        };
        let choice = self.rng.below(20);
        let Some(stream) = self.model.streams.get(name) else {
            return draft;
        };
        let mut lines = String::new();
        match choice {
            0..=2 => {
                let id = format!("id{}", self.rng.below(12));
                let window = stream.settings.window_ms * 1_000_000;
                let known = stream.ids.iter().rev().find(|known| known.id == id);
                match known {
                    Some(known) => {
                        let is_known = stream.has(known.seq)
                            && !self.wall_stepped
                            && self.wall.saturating_sub(known.wall) < window;
                        if !is_known {
                            return draft;
                        }
                        draft.expected = Expected::Duplicate(known.seq);
                    }
                    None => draft.id = Some(id.clone()),
                }
                lines = format!("Nats-Msg-Id: {id}\r\n");
            }
            3 => {
                let is_right = self.rng.percent(60);
                let seq = if is_right {
                    stream.last
                } else {
                    stream.last + 3
                };
                lines = format!("Nats-Expected-Last-Sequence: {seq}\r\n");
                if !is_right {
                    draft.expected = Expected::Refused;
                }
            }
            // It may wait for the disk, and a full stream refuse it then.
            4 | 5 if stream.is_exact() && !stream.settings.discard_new => {
                let of_subject = stream
                    .kept()
                    .filter(|(_, message)| message.subject == subject);
                let last = of_subject.map(|(seq, _)| seq).last().unwrap_or(0);
                let is_right = self.rng.percent(70);
                let seq = if is_right { last } else { last + 1 };
                lines = format!("Nats-Expected-Last-Subject-Sequence: {seq}\r\n");
                if !is_right {
                    draft.expected = Expected::Refused;
                }
            }
            6 if !stream.settings.discard_new => {
                let all = self.rng.percent(40);
                lines = format!("Nats-Rollup: {}\r\n", if all { "all" } else { "sub" });
                draft.rollup = Some(all);
            }
            7 | 8 => lines = format!("Colour: {}\r\n", self.rng.pick(&["green", "red"])),
            9 => lines = format!("P: {}\r\n", self.rng.below(10)),
            _ => {}
        }
        if !lines.is_empty() {
            draft.header = format!("NATS/1.0\r\n{lines}\r\n");
        }
        draft
    }

    /// Asks a consumer for messages.
    pub(super) fn pull(&mut self) {
        let conn = 1 + self.rng.below(CONNS - 1);
        let (stream, consumer) = (self.rng.pick(&STREAMS), self.rng.pick(&CONSUMERS));
        let wanted = self.rng.pick(&[1, 1, 3, 20]);
        let expires = self.rng.pick(&[0, 50, 1000]);
        let max_bytes = self.rng.pick(&[0, 0, 0, 150, 2000]);
        self.pull_from(conn, stream, consumer, wanted, expires, max_bytes);
    }

    pub(super) fn pull_from(
        &mut self,
        conn: usize,
        stream: &str,
        consumer: &str,
        wanted: u64,
        expires: u64,
        max_bytes: u64,
    ) {
        let is_pull = self.model.streams.get(stream).is_some_and(|stream| {
            let consumer = stream.consumers.get(consumer);
            consumer.is_some_and(|consumer| !consumer.settings.is_push)
        });
        if !is_pull || self.conns[conn].id.is_none() {
            return;
        }
        let number = self.number();
        trace!(
            "pull {number} by {conn} from {stream} {consumer}: {wanted}, {expires} ms, {max_bytes} bytes"
        );
        let mut request = format!("{{\"batch\":{wanted},\"max_bytes\":{max_bytes}");
        if expires > 0 {
            request += &format!(",\"expires\":{}", expires * 1_000_000);
        }
        if expires == 0 || self.rng.percent(30) {
            request += ",\"no_wait\":true";
        }
        request += "}";
        let pull = Pull {
            conn,
            stream: stream.to_owned(),
            consumer: consumer.to_owned(),
            wanted,
            got: 0,
            max_bytes,
            ends: self.now + Duration::from_millis(expires),
        };
        self.pulls.insert(number, pull);
        let reply = format!("_P.{conn}.f{number}");
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
        let line = World::publish_line(&subject, &reply, "", &request);
        self.say(conn, &format!("SUB {reply} {}\r\n{line}", 1000 + number));
    }

    /// Does something about a message in hand.
    pub(super) fn answer_one(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let place = self.rng.below(self.held.len());
        let keeps = self.rng.percent(15);
        let held = if keeps {
            self.held[place].clone()
        } else {
            self.held.swap_remove(place)
        };
        match self.rng.below(20) {
            0..=10 => self.acknowledge(held, "+ACK", true),
            11 | 12 => self.acknowledge(held, "-NAK", false),
            13 => self.acknowledge(held, "-NAK {\"reason\":\"no way\"}", false),
            14 => self.acknowledge(held, "-NAK {\"delay\":300000000}", false),
            15 => self.acknowledge(held, "+TERM", true),
            16 => self.acknowledge(held, "+TERM it is broken", true),
            17 => self.acknowledge(held, "+WPI", false),
            _ => {}
        }
    }

    pub(super) fn acknowledge(&mut self, held: Held, body: &str, settles: bool) {
        let is_current = self
            .model
            .stream(&held.stream, held.incarnation)
            .and_then(|stream| stream.consumers.get(&held.consumer))
            .is_some_and(|consumer| consumer.incarnation == held.consumer_incarnation);
        let conn = self.rng.below(CONNS);
        if !is_current || self.conns[conn].id.is_none() {
            return;
        }
        let number = self.number();
        let wants_answer = self.rng.percent(40);
        trace!(
            "{body} of {} {} {}, answer: {wants_answer}",
            held.stream, held.consumer, held.seq
        );
        let mut reply = String::new();
        if wants_answer {
            reply = format!("_I.{conn}.a{number}");
            if settles {
                let pending = PendingAck {
                    conn,
                    held: held.clone(),
                };
                self.acks.insert(number, pending);
            }
        }
        let is_down = self.reopens.is_some();
        let view = self
            .engine
            .streams()
            .and_then(|all| all.named(midge_engine::AccountId::GLOBAL, &held.stream));
        let view = view.and_then(|stream| stream.consumer(&held.consumer));
        let floor = view.map_or(0, |view| view.info().ack_floor.stream_seq);
        if settles
            && let Some(stream) = self.model.streams.get_mut(&held.stream)
            && (!is_down || stream.settings.is_memory)
            && let Some(consumer) = stream.consumers.get_mut(&held.consumer)
            && !(body.starts_with("+TERM") && consumer.terminate(held.seq))
        {
            let settled = consumer.settle(held.seq, floor);
            for (seq, was_exhausted) in settled {
                stream.settled(&held.consumer, seq, was_exhausted);
            }
            stream.settled_ahead(&held.consumer, held.seq);
        }
        let line = World::publish_line(&held.ack, &reply, "", body);
        self.say(conn, &line);
    }

    /// A client comes, goes, or turns to a push consumer or away from it.
    pub(super) fn move_client(&mut self) {
        let conn = 1 + self.rng.below(CONNS - 1);
        if self.conns[conn].id.is_none() {
            return self.open(conn);
        }
        if self.rng.percent(15) {
            return self.hang_up(conn);
        }
        let name = format!(
            "D.{}.{}",
            self.rng.pick(&STREAMS),
            self.rng.pick(&CONSUMERS)
        );
        self.listen(conn, &name);
    }

    pub(super) fn hear_no_pushes(&mut self) {
        for conn in 0..CONNS {
            for subject in self.conns[conn].listens.clone() {
                self.listen(conn, &subject);
            }
        }
    }

    /// Starts or ends to listen to a push consumer.
    pub(super) fn listen(&mut self, conn: usize, subject: &str) {
        let digits = subject.bytes().filter(u8::is_ascii_digit);
        let sid = digits.fold(1, |sid, digit| sid * 10 + u64::from(digit - b'0'));
        if self.conns[conn].listens.remove(subject) {
            self.say(conn, &format!("UNSUB {sid}\r\n"));
        } else if !self.conns.iter().any(|conn| conn.listens.contains(subject)) {
            self.conns[conn].listens.insert(subject.to_owned());
            self.say(conn, &format!("SUB {subject} {sid}\r\n"));
        }
    }
}
