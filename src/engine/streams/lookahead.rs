//! What a consumer has looked at before it is its turn.
//!
//! With an order key a message waits while another one of its key is out, and
//! messages of other keys flow past it. With priorities the most urgent of the
//! next messages is delivered first. Both look at messages ahead of the cursor
//! and keep those that have to wait among its picks, so that a restart finds
//! them again; what is known of them beyond that is read anew then.
//!
//! Keys are told apart by a hash. Two that share one wait for each other,
//! which is no harm.

use super::block::Record;
use super::filter::Filter;
use super::log::Log;
use super::log_read::{NeedBlock, Search};
use super::position::Cursor;
use crate::ids::Seq;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use midge_api::{ConsumerOptions, OrderKey};
use midge_proto::headers::HeaderBlock;
use std::collections::{BTreeMap, BTreeSet};

/// Messages that may wait behind their keys: they are written with the
/// cursor, a byte or two each. When there are more, nothing new is looked at
/// until some of their keys go on.
pub(crate) const HELD_MAX: usize = 65_536;

/// Messages of free keys that are looked at ahead. Keys take turns among so
/// many, so that one of which much waits does not keep others back.
const KEYS_AHEAD: usize = 64;

/// Messages among which the most urgent is found.
pub(crate) const PRIORITY_AHEAD: usize = 1024;

/// The most urgent level.
const LEVEL_MAX: u8 = 9;

/// What a look ahead has come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// This one is to be delivered.
    Ready(Seq),
    /// Others should have their turn first.
    Again,
    /// Everything there is waits for a key.
    Blocked,
    /// There is nothing left to look at that is durable.
    End,
}

/// A key with messages that are out or wait.
#[derive(Debug, Default)]
struct Key {
    /// Messages that are out: one, but for those that were before the
    /// consumer had an order.
    out: u32,
    ready: Option<Seq>,
    waiting: BTreeSet<Seq>,
}

/// A message that was looked at and is not out.
#[derive(Debug, Clone, Copy)]
struct Place {
    key: Option<u64>,
    level: u8,
    /// Its turn among the ready, if it is.
    ticket: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Lookahead {
    order_key: Option<OrderKey>,
    priority: Option<String>,
    keys: HashMap<u64, Key, FixedState>,
    /// The keys of messages that are out.
    out: HashMap<Seq, u64, FixedState>,
    places: HashMap<Seq, Place, FixedState>,
    /// The most urgent first, then by turn.
    ready: BTreeMap<(u8, u64), Seq>,
    next_ticket: u64,
    /// Picks that were not looked at yet.
    unseen: BTreeSet<Seq>,
    /// Those of them that were sent back, if there are keys. What is ready may be of
    /// their key and come after them, so it waits until they are looked at.
    returned: BTreeSet<Seq>,
    /// Messages that are out of which the key is not known yet.
    unread: BTreeSet<Seq>,
}

impl Lookahead {
    /// For a consumer with these options, if they need one.
    /// The seed keeps publishers from choosing keys that collide.
    pub(super) fn new(options: &ConsumerOptions, hash_seed: u64) -> Option<Box<Lookahead>> {
        if options.order_key.is_none() && options.priority.is_none() {
            return None;
        }
        let hasher = FixedState::with_seed(hash_seed);
        Some(Box::new(Lookahead {
            order_key: options.order_key.clone(),
            priority: options.priority.clone(),
            keys: HashMap::with_hasher(hasher.clone()),
            out: HashMap::with_hasher(hasher.clone()),
            places: HashMap::with_hasher(hasher),
            ready: BTreeMap::new(),
            next_ticket: 0,
            unseen: BTreeSet::new(),
            returned: BTreeSet::new(),
            unread: BTreeSet::new(),
        }))
    }

    /// Begins anew with what the cursor knows.
    pub(super) fn restart(&mut self, cursor: &mut Cursor) {
        self.keys.clear();
        self.out.clear();
        self.places.clear();
        self.ready.clear();
        self.unseen.clone_from(&cursor.picks);
        self.returned.clear();
        if self.order_key.is_some() {
            let sent_back = cursor.redrives.keys().copied();
            self.returned
                .extend(sent_back.filter(|seq| cursor.picks.contains(seq)));
        }
        self.unread.clear();
        self.unread.extend(cursor.unacked.seqs());
        cursor.freed.clear();
        cursor.tells_freed = true;
        cursor.is_unordered = true;
    }

    /// A message is sent back: it is among the picks and was not before.
    pub(super) fn returned(&mut self, seq: Seq) {
        self.unseen.insert(seq);
        if self.order_key.is_some() {
            self.returned.insert(seq);
        }
    }

    /// Messages that wait, for their key or for their turn.
    pub(crate) fn held(&self) -> usize {
        self.places.len() + self.unseen.len()
    }

    /// Finds what is to be delivered next. `scanned` and the picks of the
    /// cursor move with what is looked at; what need not be delivered is taken
    /// off `pending`.
    pub(super) fn next(
        &mut self,
        cursor: &mut Cursor,
        pending: &mut u64,
        log: &Log,
        filter: &Filter,
    ) -> Result<Look, NeedBlock> {
        self.learn_out(cursor, log)?;
        let mut freed = std::mem::take(&mut cursor.freed);
        for seq in freed.drain(..) {
            self.unread.remove(&seq);
            if let Some(key) = self.out.remove(&seq) {
                self.free(key, cursor);
            }
        }
        cursor.freed = freed;
        let mut filled = self.fill(cursor, pending, log, filter);
        // A block that has to be read may hold something more urgent. Without
        // priorities what is ready need not wait for what was not sent back.
        if self.priority.is_some() {
            filled = Ok(filled?);
        }
        if !self.returned.is_empty() {
            return filled;
        }
        while let Some((turn, seq)) = self.ready.first_key_value() {
            let (turn, seq) = (*turn, *seq);
            if cursor.picks.contains(&seq) && log.get(seq)?.is_some() {
                return Ok(Look::Ready(seq));
            }
            self.ready.remove(&turn);
            self.drop_place(seq, cursor);
            self.lost(seq, cursor);
        }
        filled
    }

    /// A pick is gone, or damaged. If its key has waited for it, that goes on.
    fn lost(&mut self, seq: Seq, cursor: &mut Cursor) {
        cursor.picks.remove(&seq);
        if cursor.redrives.remove(&seq).is_some()
            && let Some(key) = cursor.parked.remove(seq)
        {
            self.promote(key, cursor);
        }
    }

    /// Finds out which keys are out.
    fn learn_out(&mut self, cursor: &Cursor, log: &Log) -> Result<(), NeedBlock> {
        while let Some(seq) = self.unread.first().copied() {
            if cursor.unacked.contains(seq)
                && let Some(record) = log.get(seq)?
                && let Some(key) = self.key_of(&record)
            {
                self.keys.entry(key).or_default().out += 1;
                self.out.insert(seq, key);
            }
            self.unread.pop_first();
        }
        Ok(())
    }

    /// Looks at more messages until enough are ready.
    fn fill(
        &mut self,
        cursor: &mut Cursor,
        pending: &mut u64,
        log: &Log,
        filter: &Filter,
    ) -> Result<Look, NeedBlock> {
        let wanted = if self.priority.is_some() {
            PRIORITY_AHEAD
        } else {
            KEYS_AHEAD
        };
        let mut budget = log.tuning.search;
        while self.ready.len() < wanted || !self.returned.is_empty() {
            if budget == 0 {
                return Ok(Look::Again);
            }
            budget -= 1;
            let unseen = self.returned.first().or(self.unseen.first());
            if let Some(seq) = unseen.copied() {
                if seq > log.durable() {
                    break;
                }
                if cursor.picks.contains(&seq) {
                    match log.get(seq)? {
                        Some(record) => self.place(seq, &record, cursor),
                        // Who removed it has taken it off what is pending.
                        None => self.lost(seq, cursor),
                    }
                }
                self.returned.remove(&seq);
                self.unseen.remove(&seq);
                continue;
            }
            let (from, end) = (cursor.next_seq(), log.durable());
            if from > end {
                break;
            }
            if cursor.picks.len() >= HELD_MAX {
                return Ok(Look::Blocked);
            }
            match log.next_match(from, end, filter)? {
                Search::Nothing => cursor.scanned = cursor.scanned.max(end),
                Search::Pause(seq) => {
                    cursor.scanned = cursor.scanned.max(seq.prev());
                    return Ok(Look::Again);
                }
                Search::Found(seq) => {
                    let record = log.get(seq)?;
                    // What was passed over was looked at.
                    let passed = u32::try_from(seq.0 - from.0).unwrap_or(u32::MAX);
                    budget = budget.saturating_sub(passed);
                    cursor.scanned = seq;
                    if cursor.ahead.remove(&seq) {
                        *pending = pending.saturating_sub(1);
                    } else if let Some(record) = record
                        && cursor.picks.insert(seq)
                    {
                        self.place(seq, &record, cursor);
                    }
                }
            }
        }
        Ok(if cursor.picks.is_empty() || !self.unseen.is_empty() {
            Look::End
        } else {
            Look::Blocked
        })
    }

    /// Gives a message its place: among the ready, or behind its key.
    fn place(&mut self, seq: Seq, record: &Record<'_>, cursor: &Cursor) {
        let place = Place {
            key: self.key_of(record),
            level: self.level_of(record),
            ticket: None,
        };
        self.places.insert(seq, place);
        let Some(key) = place.key else {
            return self.make_ready(seq);
        };
        let state = self.keys.entry(key).or_default();
        state.waiting.insert(seq);
        if let Some(ready) = state.ready
            && seq < ready
        {
            // One that was sent back comes before those after it.
            state.ready = None;
            state.waiting.insert(ready);
            if let Some(place) = self.places.get_mut(&ready)
                && let Some(ticket) = place.ticket.take()
            {
                self.ready.remove(&(LEVEL_MAX - place.level, ticket));
            }
        }
        self.promote(key, cursor);
    }

    fn make_ready(&mut self, seq: Seq) {
        if let Some(place) = self.places.get_mut(&seq) {
            place.ticket = Some(self.next_ticket);
            let turn = (LEVEL_MAX - place.level, self.next_ticket);
            self.ready.insert(turn, seq);
            self.next_ticket += 1;
        }
    }

    /// Lets the next message of a key have its turn, if none is out.
    fn promote(&mut self, key: u64, cursor: &Cursor) {
        let Some(state) = self.keys.get_mut(&key) else {
            return;
        };
        if state.out > 0 || state.ready.is_some() {
            return;
        }
        let is_parked = cursor.parked.holds(key);
        let may_go = |seq: &&Seq| !is_parked || cursor.redrives.contains_key(*seq);
        let next = state.waiting.iter().find(may_go).copied();
        if let Some(seq) = next {
            state.waiting.remove(&seq);
            state.ready = Some(seq);
            self.make_ready(seq);
        } else if state.waiting.is_empty() {
            self.keys.remove(&key);
        }
    }

    /// The message of a key that was out is not any more.
    fn free(&mut self, key: u64, cursor: &Cursor) {
        if let Some(state) = self.keys.get_mut(&key) {
            state.out = state.out.saturating_sub(1);
        }
        self.promote(key, cursor);
    }

    /// A key does not have to wait any longer.
    pub(super) fn unparked(&mut self, key: u64, cursor: &Cursor) {
        self.promote(key, cursor);
    }

    /// A message that was ready is out now.
    pub(super) fn delivered(&mut self, seq: Seq) {
        let Some(place) = self.places.remove(&seq) else {
            return;
        };
        if let Some(ticket) = place.ticket {
            self.ready.remove(&(LEVEL_MAX - place.level, ticket));
        }
        if let Some(key) = place.key {
            let state = self.keys.entry(key).or_default();
            state.ready = None;
            state.out += 1;
            self.out.insert(seq, key);
        }
    }

    /// A message is gone.
    pub(super) fn removed(&mut self, seq: Seq, cursor: &Cursor) {
        self.returned.remove(&seq);
        self.unseen.remove(&seq);
        if let Some(place) = self.places.get(&seq)
            && let Some(ticket) = place.ticket
        {
            self.ready.remove(&(LEVEL_MAX - place.level, ticket));
        }
        self.drop_place(seq, cursor);
    }

    fn drop_place(&mut self, seq: Seq, cursor: &Cursor) {
        let Some(key) = self.places.remove(&seq).and_then(|place| place.key) else {
            return;
        };
        if let Some(state) = self.keys.get_mut(&key) {
            state.waiting.remove(&seq);
            if state.ready == Some(seq) {
                state.ready = None;
            }
        }
        self.promote(key, cursor);
    }

    /// The key of a message, if there are keys.
    pub(super) fn key_of(&self, record: &Record<'_>) -> Option<u64> {
        let key = match self.order_key.as_ref()? {
            OrderKey::Subject => record.subject,
            OrderKey::Token(place) => {
                let mut tokens = record.subject.split(|byte| *byte == b'.');
                tokens.nth(*place as usize - 1).unwrap_or_default()
            }
            OrderKey::Header(name) => header(record, name).unwrap_or_default(),
        };
        Some(stable_hash(key))
    }

    fn level_of(&self, record: &Record<'_>) -> u8 {
        let value = self.priority.as_ref().and_then(|name| header(record, name));
        match value.map(<[u8]>::trim_ascii) {
            Some([digit @ b'0'..=b'9']) => digit - b'0',
            _ => 0,
        }
    }
}

fn header<'a>(record: &Record<'a>, name: &str) -> Option<&'a [u8]> {
    if record.header_len == 0 {
        return None;
    }
    let header = record.payload.get(..record.header_len)?;
    HeaderBlock::new(header).get(name.as_bytes())
}

/// FNV-1a: parked keys are stored by it, so it must never change.
fn stable_hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::StreamId;
    use crate::streams::subjects::Subjects;
    use midge_api::Timestamp;

    #[test]
    fn what_is_sent_back_comes_before_the_rest_of_its_key() {
        let mut log = Log::new(StreamId(1), true, Subjects::new(7, false));
        for subject in ["a", "b", "b"] {
            log.append(Timestamp(1), subject.as_bytes(), b"", 0, false, None);
        }
        // One message is looked at in a turn.
        log.tuning.search = 1;
        let options = ConsumerOptions {
            order_key: Some(OrderKey::Subject),
            ..ConsumerOptions::default()
        };
        let mut lookahead = Lookahead::new(&options, 7).expect("it has an order");
        let mut cursor = Cursor::default();
        cursor.delivered.seq = Seq(2);
        let next = |lookahead: &mut Lookahead, cursor: &mut Cursor| loop {
            match lookahead.next(cursor, &mut 0, &log, &Filter::all()) {
                Ok(Look::Again) => {}
                look => return look.expect("all is in memory"),
            }
        };
        assert_eq!(next(&mut lookahead, &mut cursor), Look::Ready(Seq(3)));
        for seq in [Seq(1), Seq(2)] {
            cursor.picks.insert(seq);
            lookahead.returned(seq);
        }
        for seq in [Seq(1), Seq(2)] {
            assert_eq!(next(&mut lookahead, &mut cursor), Look::Ready(seq));
            cursor.picks.remove(&seq);
            lookahead.delivered(seq);
        }
        assert_eq!(next(&mut lookahead, &mut cursor), Look::Blocked);
    }
}
