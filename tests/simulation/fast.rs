//! Batches that are stored as they come: what their publishers were told to be
//! safe must be there, each message once and in its order, and nothing else.

use super::told::Word;
use super::world::{CONNS, World};
use crate::trace;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The stream that they go to.
pub(super) const STREAM: &str = "F";

/// Batches that are gone on with at a time.
const OPEN_MAX: usize = 4;

/// A batch as its publisher knows it.
#[derive(Debug, Default)]
struct Batch {
    conn: usize,
    allows_gaps: bool,
    flow: u64,
    last: u64,
    /// What was to be stored.
    sent: BTreeSet<u64>,
    /// What was refused.
    refused: BTreeSet<u64>,
    /// So far it was told to be safe.
    acked: u64,
    is_over: bool,
}

#[derive(Debug, Default)]
pub(super) struct Fast(BTreeMap<u64, Batch>);

impl World {
    /// Goes on with a batch, or begins one.
    pub(super) fn publish_fast(&mut self) {
        let open: Vec<u64> = self.fast.open().collect();
        let number = match open.len() < OPEN_MAX && self.rng.percent(20) || open.is_empty() {
            true => self.begin_fast(),
            false => Some(open[self.rng.below(open.len())]),
        };
        let Some(number) = number else {
            return;
        };
        for _ in 0..1 + self.rng.below(6) {
            let conn = self.fast.0[&number].conn;
            if self.conns[conn].id.is_none() || self.fast.0[&number].is_over {
                return;
            }
            self.send_fast(number);
        }
    }

    fn begin_fast(&mut self) -> Option<u64> {
        let conn = self.rng.below(CONNS);
        self.conns[conn].id?;
        let number = self.number();
        let batch = Batch {
            conn,
            allows_gaps: self.rng.percent(50),
            flow: self.rng.pick(&[1, 2, 5, 100]),
            ..Batch::default()
        };
        self.fast.0.insert(number, batch);
        Some(number)
    }

    fn send_fast(&mut self, number: u64) {
        let (is_gap, is_commit) = (self.rng.percent(3), self.rng.percent(8));
        let (is_end, is_ping) = (self.rng.percent(5), self.rng.percent(5));
        let len = self.rng.pick(&[0, 10, 150]);
        let Some(batch) = self.fast.0.get_mut(&number) else {
            return;
        };
        let mut place = batch.last + 1;
        let operation = match place {
            1 => u64::from(is_commit) * 2,
            _ if is_commit => 2,
            _ if is_end => 3,
            _ if is_ping => 4,
            _ => 1,
        };
        match operation {
            4 => place -= 1,
            _ if place > 1 && is_gap => place += 2,
            _ => {}
        }
        batch.last = place;
        if operation < 3 {
            batch.sent.insert(place);
        }
        batch.is_over = operation == 2 || operation == 3;
        let Batch { conn, flow, .. } = *batch;
        let mode = if batch.allows_gaps { "ok" } else { "fail" };
        trace!("fast batch {number} ({mode}): {place}, operation {operation}");
        let reply = format!("_I.{conn}.b{number}.{flow}.{mode}.{place}.{operation}.$FI");
        let header = format!("NATS/1.0\r\nN: {number}\r\nP: {place}\r\n\r\n");
        let body = "x".repeat(len);
        let line = World::publish_line("F.a", &reply, &header, &body);
        self.say(conn, &line);
    }

    /// Word of a batch. False if it is of something else.
    pub(super) fn hear_fast(&mut self, word: &Word) -> bool {
        let tokens: Vec<&str> = word.subject.split('.').collect();
        let ["_I", _, name, _, _, place, _, "$FI"] = tokens[..] else {
            return false;
        };
        let number: u64 = name[1..].parse().expect("a number");
        let place: u64 = place.parse().expect("a place");
        let batch = self.fast.0.get_mut(&number).expect("it was begun");
        let json: Value = serde_json::from_str(&word.body).expect("JSON");
        let seq = json["seq"].as_u64().expect("a number");
        let error = &json["error"]["description"];
        match json["type"].as_str() {
            Some("ack") => batch.acked = batch.acked.max(seq),
            Some("gap") => assert!(json["last_seq"].as_u64().is_some(), "{word:?}"),
            Some(_) => {
                batch.refused.insert(seq);
            }
            None if error.is_null() => {
                batch.acked = batch.acked.max(json["count"].as_u64().expect("a count"));
                batch.is_over = true;
            }
            None => {
                batch.refused.insert(place);
                batch.is_over = true;
            }
        }
        if let Some(text) = error.as_str() {
            let known = ["unavailable", "insufficient", "unknown", "too many"];
            let is_known = known.iter().any(|known| text.contains(known));
            assert!(is_known, "{number}: {text}");
        }
        true
    }
}

impl Fast {
    fn open(&self) -> impl Iterator<Item = u64> {
        let open = self.0.iter().filter(|(_, batch)| !batch.is_over);
        open.map(|(number, _)| *number)
    }

    /// Compares what there is, by batch and place, with what was told.
    pub(super) fn check(&self, stored: impl Iterator<Item = (u64, u64)>) {
        let mut found: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for (number, place) in stored {
            let batch = &self.0[&number];
            assert!(batch.sent.contains(&place), "{place} of {number} was sent");
            let places = found.entry(number).or_default();
            let is_next = places.last().is_none_or(|last| *last < place);
            assert!(is_next, "{place} of {number} comes once and in order");
            places.push(place);
        }
        for (number, batch) in &self.0 {
            let found = found.remove(number).unwrap_or_default();
            let promised = batch.sent.range(..=batch.acked);
            for place in promised.filter(|place| !batch.refused.contains(place)) {
                assert!(found.contains(place), "{place} of {number}: {batch:?}");
            }
        }
    }
}
