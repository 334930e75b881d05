//! What clients check of everything they hear.

use super::consumers::{Acks, check_turn, take_delivery};
use super::model::Presence;
use super::told::Word;
use super::world::{CONTROL, COPIES_SID, Held, LETTERS_SID, Pull, World};
use crate::trace;
use serde_json::Value;

impl World {
    pub(super) fn hear_word(&mut self, word: Word) {
        if word.conn == CONTROL && word.sid == LETTERS_SID {
            return self.hear_letter(&word);
        }
        if word.conn == CONTROL && word.sid.starts_with(COPIES_SID) && word.sid.len() == 2 {
            return self.hear_copy(&word);
        }
        if word.reply.starts_with("$JS.ACK.") {
            return self.hear_delivery(&word);
        }
        if word.reply.starts_with("$JS.FC.") {
            let answer = World::publish_line(&word.reply, "", "", "");
            return self.say(word.conn, &answer);
        }
        if self.hear_fast(&word) {
            return;
        }
        let Some((kind, number)) = name_of(&word) else {
            assert!(word.status().is_some(), "nobody waits for {word:?}");
            return;
        };
        match kind {
            'p' => self.hear_pub_ack(number, &word),
            // The consumer is gone, which confirms nothing.
            'a' if word.status() == Some(503) => {
                self.acks.remove(&number);
            }
            'a' => self.hear_confirmation(number),
            'x' => self.hear_extra(number, &word),
            'f' => self.hear_pull_status(number, &word),
            'd' => self.hear_errand(number, &word),
            'u' => self.hear_unparked(number, &word),
            _ => self.replies.entry(number).or_default().push(word),
        }
    }

    /// The answer to a publish.
    fn hear_pub_ack(&mut self, number: u64, word: &Word) {
        let refusal = if word.status() == Some(503) {
            Some("no responders".to_owned())
        } else {
            let json: Value = serde_json::from_str(&word.body).unwrap();
            json.get("error")
                .map(|error| error["description"].to_string())
        };
        let pending = self.publishes.remove(&number);
        if refusal.is_some() {
            self.refused = refusal;
            return;
        }
        let Some(pending) = pending else { return };
        assert!(!pending.is_wrong, "publish {number} is accepted");
        let json: Value = serde_json::from_str(&word.body).unwrap();
        assert_eq!(json["stream"], pending.stream.as_str());
        assert_eq!(json["seq"].as_u64(), Some(pending.seq), "publish {number}");
        let is_duplicate = json["duplicate"].as_bool().unwrap_or(false);
        assert_eq!(is_duplicate, pending.is_duplicate, "publish {number}");
        let now = self.model.stream(&pending.stream, pending.incarnation);
        let Some(now) = now else { return };
        if now.settings.is_memory || now.settings.is_async {
            return;
        }
        let durable = self.durable.stream(&pending.stream, pending.incarnation);
        assert!(
            durable.is_some_and(|stream| stream.last >= pending.seq),
            "publish {number}: {} of {} is acknowledged before it is durable",
            pending.seq,
            pending.stream
        );
    }

    /// The answer to an ack.
    fn hear_confirmation(&mut self, number: u64) {
        let Some(pending) = self.acks.remove(&number) else {
            return;
        };
        let held = pending.held;
        self.confirmed.insert((held.consumer_incarnation, held.seq));
        let Some(now) = self.model.stream(&held.stream, held.incarnation) else {
            return;
        };
        let Some(consumer) = now.consumers.get(&held.consumer) else {
            return;
        };
        let is_memory = now.settings.is_memory || consumer.settings.is_memory;
        let model = if is_memory {
            &self.model
        } else {
            &self.durable
        };
        let Some(stream) = model.stream(&held.stream, held.incarnation) else {
            return;
        };
        let Some(consumer) = stream.consumers.get(&held.consumer) else {
            return;
        };
        if consumer.incarnation != held.consumer_incarnation || !stream.has(held.seq) {
            return;
        }
        assert!(
            !consumer.surely_wants(held.seq),
            "the ack of {} of {} by {} is confirmed, but would not survive",
            held.seq,
            held.stream,
            held.consumer
        );
    }

    fn hear_pull_status(&mut self, number: u64, word: &Word) {
        let Some(status) = word.status() else {
            panic!("{word:?} is no status");
        };
        if status == 100 {
            return;
        }
        if let Some(pull) = self.pulls.remove(&number) {
            trace!(
                "pull {number} ends with {} of {}: {status}",
                pull.got, pull.wanted
            );
            self.say(pull.conn, &format!("UNSUB {}\r\n", 1000 + number));
        }
    }

    /// A message from a consumer.
    fn hear_delivery(&mut self, word: &Word) {
        let tokens: Vec<&str> = word.reply.split('.').collect();
        let [
            _,
            _,
            stream,
            consumer,
            deliveries,
            seq,
            delivery,
            time,
            pending,
        ] = tokens[..]
        else {
            panic!("{}", word.reply);
        };
        let number = |token: &str| token.parse::<u64>().unwrap();
        let (deliveries, seq, delivery) = (number(deliveries), number(seq), number(delivery));
        trace!("{stream} {consumer}: {seq}, delivery {delivery}, its {deliveries}.");
        self.check_content(stream, seq, &word.header, &word.body, &word.subject);
        self.count_for_pull(word);
        let Some(model) = self.model.streams.get_mut(stream) else {
            panic!("there is no {stream}");
        };
        let entry = model.messages[&seq].clone();
        entry.message.hear_time(number(time) as i64);
        assert!(!entry.is_dropped, "{seq} was dropped");
        let is_exact = model.is_exact() && deliveries == 1;
        let Some(state) = model.consumers.get(consumer) else {
            panic!("{stream} has no {consumer}");
        };
        let message = &entry.message;
        assert!(state.matches(&message.subject), "it is not meant for it");
        let is_confirmed = self.confirmed.contains(&(state.incarnation, seq));
        let is_dead = state.dead.contains(&seq);
        assert!(!is_confirmed || is_dead, "the ack of {seq} was confirmed");
        let held = Held {
            stream: stream.to_owned(),
            incarnation: model.incarnation,
            consumer: consumer.to_owned(),
            consumer_incarnation: state.incarnation,
            seq,
            ack: word.reply.clone(),
        };
        let acks = state.settings.acks;
        if deliveries == 1 {
            if state.dead.contains(&seq) {
                // It may have been sent back just now.
                self.find_sent_back(Some((stream, consumer, seq)));
            }
            check_turn(&self.model.streams[stream], consumer, seq);
        }
        let Some(model) = self.model.streams.get_mut(stream) else {
            return;
        };
        take_delivery(model, consumer, seq, deliveries, delivery);
        if is_exact {
            let left = model.consumers[consumer].pending(model);
            let told = number(pending);
            assert!(left.contains(&told), "{told} to come, not {left:?}");
        }
        if acks == Acks::None {
            model.settled(consumer, seq, false);
        } else {
            self.held.push(held);
        }
    }

    fn count_for_pull(&mut self, word: &Word) {
        let sid: u64 = word.sid.parse().unwrap();
        if sid < 1000 {
            return;
        }
        let number = sid - 1000;
        let Some(pull) = self.pulls.get_mut(&number) else {
            // It was given up.
            return;
        };
        pull.got += 1;
        assert!(pull.got <= pull.wanted, "more than the pull wants");
        if pull.got == pull.wanted {
            let Some(Pull { conn, .. }) = self.pulls.remove(&number) else {
                return;
            };
            self.say(conn, &format!("UNSUB {sid}\r\n"));
        }
    }

    /// A message that is shown is one that was stored, byte for byte, and is
    /// durable.
    pub(super) fn check_content(
        &self,
        name: &str,
        seq: u64,
        header: &str,
        body: &str,
        subject: &str,
    ) {
        let Some(stream) = self.model.streams.get(name) else {
            panic!("there is no {name}");
        };
        let Some(entry) = stream.messages.get(&seq) else {
            panic!("{seq} of {name} is shown, which is not there");
        };
        let message = &entry.message;
        assert_ne!(entry.presence, Presence::Lost, "{seq} was damaged");
        assert_eq!(message.subject, subject, "the subject of {seq}");
        assert_eq!(message.body, body, "the body of {seq}");
        assert_eq!(message.header, header, "the header of {seq}");
        if !stream.settings.is_memory {
            let durable = self.durable.stream(name, stream.incarnation);
            assert!(
                durable.is_some_and(|stream| stream.last >= seq),
                "{seq} of {name} is shown before it is durable"
            );
        }
    }
}

/// The kind and number of what an inbox subject was made for.
fn name_of(word: &Word) -> Option<(char, u64)> {
    let subject = word
        .subject
        .strip_prefix("_I.")
        .or_else(|| word.subject.strip_prefix("_P."))?;
    let name = subject.split_once('.')?.1;
    let kind = name.chars().next()?;
    Some((kind, name[1..].parse().ok()?))
}
