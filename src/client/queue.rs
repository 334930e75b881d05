//! Messages between the thread that reads and whoever takes them.
//!
//! They lie behind one another in one buffer, and whoever takes them takes the
//! whole buffer at once: however many come, there is one lock for a run of
//! them and no allocation on the reading thread.

use crate::Error;
use crate::deadline::Deadline;
use crate::frame::Delivery;
use crate::message::{push_record, record_len};
use crate::sync::{lock, wait};
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard};

/// Buffers of this size are kept when they are empty; larger ones are rare.
const KEPT_MAX: usize = 256 * 1024;

#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct State {
    records: Vec<u8>,
    messages: usize,
    /// Messages that came for this subscription, dropped ones included.
    received: u64,
    /// How many of these came before this connection.
    received_before: u64,
    /// How many of these there may be before it ends.
    received_max: Option<u64>,
    dropped: u64,
    /// The one before was dropped as well, and that was told.
    is_slow: bool,
    /// Counts the connections that messages come from.
    connections: u64,
    /// Somebody waits, and has to be woken.
    is_awaited: bool,
    /// Nothing comes any more.
    has_ended: bool,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Took {
    Queued,
    /// The subscription had ended before.
    Ignored,
    /// There was no room; whether it is the first one of a run.
    Dropped {
        is_first: bool,
    },
}

/// A queue that the reading thread is putting messages in.
pub(crate) struct Feed<'a> {
    queue: &'a Queue,
    state: MutexGuard<'a, State>,
}

impl Queue {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Queue {
            state: Mutex::default(),
            arrived: Condvar::new(),
            bytes_max,
        }
    }

    pub(crate) fn feed(&self) -> Feed<'_> {
        Feed {
            queue: self,
            state: lock(&self.state),
        }
    }

    /// Waits for messages and takes all there are: a buffer of records, in
    /// exchange for an empty one, and how many. Who says how many connections
    /// it has seen is told of the next one: [`Error::Lost`].
    pub(crate) fn take(
        &self,
        taken: &mut Vec<u8>,
        deadline: &Deadline,
        mut seen: Option<&mut u64>,
    ) -> Result<usize, Error> {
        let mut state = lock(&self.state);
        while state.records.is_empty() {
            if state.has_ended {
                return Err(Error::Closed);
            }
            if let Some(seen) = seen.as_deref_mut()
                && mem::replace(seen, state.connections) != state.connections
            {
                return Err(Error::Lost);
            }
            state.is_awaited = true;
            state = wait(&self.arrived, state, deadline).ok_or(Error::Timeout)?;
        }
        taken.clear();
        if taken.capacity() > KEPT_MAX {
            *taken = Vec::new();
        }
        mem::swap(&mut state.records, taken);
        Ok(mem::take(&mut state.messages))
    }

    /// Nothing comes any more; what is here can still be taken.
    pub(crate) fn end(&self) {
        let mut state = lock(&self.state);
        state.has_ended = true;
        self.arrived.notify_all();
    }

    pub(crate) fn has_ended(&self) -> bool {
        lock(&self.state).has_ended
    }

    /// Ends it once so many messages have come in all. What the server has to
    /// be told: how many that are on this connection. `None` if so many have
    /// come already.
    pub(crate) fn end_after(&self, received_max: u64) -> Option<u64> {
        let mut state = lock(&self.state);
        state.received_max = Some(received_max);
        (received_max > state.received).then(|| received_max - state.received_before)
    }

    /// A new connection begins: how many more messages it takes there, if that
    /// has an end.
    pub(crate) fn begin(&self) -> Option<u64> {
        let mut state = lock(&self.state);
        state.received_before = state.received;
        state.connections += 1;
        self.arrived.notify_all();
        Some(state.received_max?.saturating_sub(state.received))
    }

    /// Messages that nobody has taken yet.
    pub(crate) fn len(&self) -> usize {
        lock(&self.state).messages
    }

    pub(crate) fn dropped(&self) -> u64 {
        lock(&self.state).dropped
    }
}

impl Feed<'_> {
    pub(crate) fn push(&mut self, delivery: &Delivery<'_>) -> Took {
        let state = &mut *self.state;
        if state.has_ended {
            return Took::Ignored;
        }
        state.received += 1;
        if state.received_max.is_some_and(|max| state.received >= max) {
            state.has_ended = true;
        }
        // One message is always taken, however long it is.
        let gathered = state.records.len();
        if gathered > 0 && gathered + record_len(delivery) > self.queue.bytes_max {
            state.dropped += 1;
            let is_first = !mem::replace(&mut state.is_slow, true);
            return Took::Dropped { is_first };
        }
        state.is_slow = false;
        state.messages += 1;
        push_record(&mut state.records, delivery);
        Took::Queued
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.state.has_ended
    }
}

impl Drop for Feed<'_> {
    fn drop(&mut self) {
        if mem::take(&mut self.state.is_awaited) {
            self.queue.arrived.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::read_record;
    use std::time::Duration;

    fn delivery(payload: &[u8]) -> Delivery<'_> {
        Delivery {
            sid: 1,
            subject: b"a",
            reply: b"",
            header: b"",
            payload,
        }
    }

    fn take(queue: &Queue) -> Result<usize, Error> {
        let mut taken = Vec::new();
        queue.take(&mut taken, &Deadline::after(Duration::from_millis(1)), None)
    }

    #[test]
    fn all_are_taken_at_once() {
        let queue = Queue::new(1000);
        assert!(matches!(take(&queue), Err(Error::Timeout)));
        for payload in [b"1", b"2"] {
            assert_eq!(queue.feed().push(&delivery(payload)), Took::Queued);
        }
        assert_eq!(queue.len(), 2);
        let mut taken = Vec::new();
        assert_eq!(queue.take(&mut taken, &Deadline::never(), None).unwrap(), 2);
        let (first, used) = read_record(&taken).unwrap();
        let (second, _) = read_record(&taken[used..]).unwrap();
        assert_eq!((first.payload(), second.payload()), (&b"1"[..], &b"2"[..]));
        queue.feed().push(&delivery(b"3"));
        queue.end();
        assert_eq!(take(&queue).unwrap(), 1, "what is here can still be taken");
        assert!(matches!(take(&queue), Err(Error::Closed)));
    }

    #[test]
    fn another_connection_is_told_after_the_messages_of_the_one_before() {
        let queue = Queue::new(1000);
        let (mut taken, mut seen) = (Vec::new(), 0);
        queue.feed().push(&delivery(b"1"));
        queue.begin();
        let now = Deadline::after(Duration::from_millis(1));
        assert_eq!(queue.take(&mut taken, &now, Some(&mut seen)).unwrap(), 1);
        let told = queue.take(&mut taken, &now, Some(&mut seen));
        assert!(matches!(told, Err(Error::Lost)));
        let told = queue.take(&mut taken, &now, Some(&mut seen));
        assert!(matches!(told, Err(Error::Timeout)), "once");
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let queue = Queue::new(40);
        let long = [0; 100];
        assert_eq!(queue.feed().push(&delivery(&long)), Took::Queued);
        for is_first in [true, false] {
            assert_eq!(
                queue.feed().push(&delivery(b"")),
                Took::Dropped { is_first }
            );
        }
        assert_eq!(queue.dropped(), 2);
        assert_eq!(take(&queue).unwrap(), 1);
        assert_eq!(queue.feed().push(&delivery(b"")), Took::Queued);
        queue.feed().push(&delivery(b""));
        let took = queue.feed().push(&delivery(b""));
        assert_eq!(took, Took::Dropped { is_first: true }, "a new run");
    }

    #[test]
    fn it_ends_after_so_many() {
        let queue = Queue::new(1000);
        queue.feed().push(&delivery(b""));
        assert_eq!(queue.begin(), None);
        queue.feed().push(&delivery(b""));
        assert_eq!(queue.end_after(2), None, "so many are here");
        assert_eq!(queue.end_after(4), Some(3), "of this connection");
        queue.feed().push(&delivery(b""));
        assert!(!queue.has_ended());
        assert_eq!(queue.begin(), Some(1));
        queue.feed().push(&delivery(b""));
        assert!(queue.has_ended());
        assert_eq!(queue.feed().push(&delivery(b"")), Took::Ignored);
        assert_eq!(queue.len(), 4);
    }
}
