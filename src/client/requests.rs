//! Requests that wait for their answers.
//!
//! All answers come to one subscription, made with the first request; the last
//! token of the reply subject says whose it is, so that a late answer is
//! nobody else's.

use crate::deadline::Deadline;
use crate::frame::Delivery;
use crate::outbox::{FRAME_EXTRA, Outbox};
use crate::shared::write_sub;
use crate::sync::{lock, wait};
use crate::{Error, Message};
use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Condvar, Mutex};

/// The subscription that answers come to.
pub(crate) const MUX_SID: u64 = 1;

#[derive(Debug)]
pub(crate) struct Requests {
    /// What every reply subject begins with, up to its last dot.
    prefix: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Every connection begins with the subscription.
    is_wanted: bool,
    /// It was sent.
    is_subscribed: bool,
    is_closed: bool,
    /// Requests so far.
    count: u64,
    waiting: HashMap<u64, Arc<Slot>>,
}

/// Where one answer goes.
#[derive(Debug, Default)]
struct Slot {
    answer: Mutex<Option<Result<Message, Error>>>,
    arrived: Condvar,
}

impl Slot {
    fn fill(&self, answer: Result<Message, Error>) {
        *lock(&self.answer) = Some(answer);
        self.arrived.notify_all();
    }
}

/// A request that is about to be sent. It is forgotten with this.
#[derive(Debug)]
pub(crate) struct Ticket<'a> {
    requests: &'a Requests,
    number: u64,
    pub(crate) reply: String,
    slot: Arc<Slot>,
}

impl Requests {
    pub(crate) fn new(prefix: String) -> Self {
        Requests {
            prefix,
            state: Mutex::default(),
        }
    }

    /// Makes a place for an answer, and the subscription if there is none.
    pub(crate) fn open(&self, outbox: &Outbox) -> Result<Ticket<'_>, Error> {
        let slot = Arc::new(Slot::default());
        let mut state = lock(&self.state);
        if state.is_closed {
            return Err(Error::Closed);
        }
        state.is_wanted = true;
        let is_subscribed = state.is_subscribed;
        state.count += 1;
        let number = state.count;
        state.waiting.insert(number, slot.clone());
        drop(state);
        let ticket = Ticket {
            requests: self,
            number,
            reply: format!("{}{number}", self.prefix),
            slot,
        };
        if !is_subscribed {
            // Others may send it as well, each before its request; a server
            // passes over what it knows.
            outbox.tell(FRAME_EXTRA, |out| self.write_sub(out))?;
            lock(&self.state).is_subscribed = true;
        }
        Ok(ticket)
    }

    /// Appends the subscription, if there is one.
    pub(crate) fn write_subscription(&self, out: &mut Vec<u8>) {
        if lock(&self.state).is_wanted {
            self.write_sub(out);
        }
    }

    fn write_sub(&self, out: &mut Vec<u8>) {
        write_sub(out, &format!("{}*", self.prefix), None, MUX_SID);
    }

    /// An answer came. Nobody may wait for it any more.
    pub(crate) fn answer(&self, delivery: &Delivery<'_>) {
        let number = delivery.subject.strip_prefix(self.prefix.as_bytes());
        let number = number.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        let slot = number.and_then(|number: u64| lock(&self.state).waiting.remove(&number));
        if let Some(slot) = slot {
            slot.fill(Ok(Message::from_delivery(delivery)));
        }
    }

    /// The connection broke. What is under way gets no answer: who would give
    /// it does not know where to.
    pub(crate) fn lose(&self) {
        let waiting = mem::take(&mut lock(&self.state).waiting);
        for slot in waiting.into_values() {
            slot.fill(Err(Error::Lost));
        }
    }

    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.is_closed = true;
        let waiting = mem::take(&mut state.waiting);
        drop(state);
        for slot in waiting.into_values() {
            slot.fill(Err(Error::Closed));
        }
    }
}

impl Ticket<'_> {
    pub(crate) fn wait(&self, deadline: &Deadline) -> Result<Message, Error> {
        let mut answer = lock(&self.slot.answer);
        loop {
            if let Some(answer) = answer.take() {
                return answer;
            }
            answer = wait(&self.slot.arrived, answer, deadline).ok_or(Error::Timeout)?;
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        lock(&self.requests.state).waiting.remove(&self.number);
    }
}
