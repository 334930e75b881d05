//! Messages that were published and wait for their answers, by number.
//!
//! A ring with a place for each: numbers are given in order, and a place is
//! free again once its message and all before it are settled. Places keep
//! their buffers, so that a message costs no allocation.

use super::pub_ack::PubAck;
use crate::Error;
use std::collections::HashMap;
use std::mem;
use std::time::{Duration, Instant};

/// A message that is not known to be stored.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failure {
    /// Which one: its publisher's first message is number 1.
    pub number: u64,
    /// What it was published to.
    pub subject: String,
    /// Why. After [`Error::Timeout`], [`Error::Lost`] and [`Error::Closed`]
    /// it may be stored all the same.
    pub error: Error,
}

#[derive(Debug)]
pub(super) struct Window {
    slots: Box<[Slot]>,
    /// The number of the oldest message that is not settled, or else `next`.
    first: u64,
    /// The number that the next message gets.
    next: u64,
    /// Failures that nobody waits for.
    failures: Vec<Failure>,
    /// What became of messages that somebody may wait for.
    results: HashMap<u64, Result<PubAck, Failure>>,
}

/// A place for a message.
#[derive(Debug, Default)]
struct Slot {
    number: u64,
    /// No answer has come.
    is_open: bool,
    /// Somebody may wait for the answer.
    is_awaited: bool,
    /// After this it counts as lost.
    deadline: Option<Instant>,
    /// How often it is sent again after that.
    retries: u32,
    subject: String,
    /// The frame, if it may be sent again.
    frame: Vec<u8>,
}

/// What is to be remembered of a message that was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent<'a> {
    pub(super) subject: &'a str,
    pub(super) deadline: Option<Instant>,
    pub(super) retries: u32,
}

impl Window {
    pub(super) fn new(size: usize) -> Self {
        Window {
            slots: (0..size.max(1)).map(|_| Slot::default()).collect(),
            first: 1,
            next: 1,
            failures: Vec::new(),
            results: HashMap::new(),
        }
    }

    fn slot(&mut self, number: u64) -> Option<&mut Slot> {
        let place = number % self.slots.len() as u64;
        self.slots.get_mut(usize::try_from(place).ok()?)
    }

    /// The number that the next message gets.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Messages that may be without an answer.
    pub(super) fn size(&self) -> usize {
        self.slots.len()
    }

    /// Places that are free.
    pub(super) fn room(&self) -> usize {
        let taken = usize::try_from(self.next - self.first).unwrap_or(usize::MAX);
        self.slots.len().saturating_sub(taken)
    }

    pub(super) fn is_settled(&self) -> bool {
        self.first == self.next
    }

    /// Takes the next message in; where its frame goes. There has to be room.
    pub(super) fn open(&mut self, sent: Sent<'_>) -> Option<&mut Vec<u8>> {
        let number = self.next;
        self.next += 1;
        let slot = self.slot(number)?;
        slot.number = number;
        (slot.is_open, slot.is_awaited) = (true, true);
        (slot.deadline, slot.retries) = (sent.deadline, sent.retries);
        slot.subject.clear();
        slot.subject.push_str(sent.subject);
        slot.frame.clear();
        Some(&mut slot.frame)
    }

    /// The subject of a message that waits for its answer.
    pub(super) fn subject(&mut self, number: u64) -> Option<&str> {
        let slot = self.slot(number)?;
        (slot.number == number && slot.is_open).then_some(slot.subject.as_str())
    }

    /// The answer came, or will not come.
    pub(super) fn settle(&mut self, number: u64, result: Result<PubAck, Error>) {
        let Some(slot) = self.slot(number) else {
            return;
        };
        if slot.number != number || !mem::take(&mut slot.is_open) {
            return;
        }
        let is_awaited = slot.is_awaited;
        let result = result.map_err(|error| Failure {
            number,
            subject: slot.subject.clone(),
            error,
        });
        if is_awaited {
            self.results.insert(number, result);
        } else if let Err(failure) = result {
            self.failures.push(failure);
        }
        while self.first < self.next {
            let first = self.first;
            if self.slot(first).is_some_and(|slot| slot.is_open) {
                break;
            }
            self.first += 1;
        }
    }

    /// Whether a message can be sent again; then it will be, once its time is
    /// over.
    pub(super) fn postpone(&mut self, number: u64, deadline: Instant) -> bool {
        let Some(slot) = self.slot(number) else {
            return false;
        };
        let can = slot.number == number && slot.is_open && slot.retries > 0;
        if can {
            slot.deadline = Some(deadline);
        }
        can
    }

    /// Answers to what was sent so far may be lost: if they are not here at
    /// this time they do not come any more.
    pub(super) fn hurry(&mut self, deadline: Instant) {
        for slot in self.slots.iter_mut().filter(|slot| slot.is_open) {
            slot.deadline = Some(slot.deadline.map_or(deadline, |old| old.min(deadline)));
        }
    }

    /// Messages whose time is over are sent again or settled; when to look
    /// again, which is at once if one was settled.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        timeout: Duration,
        send: impl Fn(&[u8]) -> Result<(), Error>,
    ) -> Option<Instant> {
        let mut earliest: Option<Instant> = None;
        for number in self.first..self.next {
            let Some(slot) = self.slot(number).filter(|slot| slot.is_open) else {
                continue;
            };
            let mut due = slot.deadline;
            if due.is_some_and(|due| due <= now) {
                let sent = if slot.retries == 0 {
                    Err(Error::Timeout)
                } else {
                    slot.retries -= 1;
                    send(&slot.frame)
                };
                // Too far off for the clock is never.
                slot.deadline = now.checked_add(timeout);
                due = slot.deadline;
                if let Err(error) = sent {
                    self.settle(number, Err(error));
                    // Somebody may have waited for that.
                    due = Some(now);
                }
            }
            earliest = earliest.into_iter().chain(due).min();
        }
        earliest
    }

    /// Nothing is answered any more.
    pub(super) fn close(&mut self) {
        for number in self.first..self.next {
            self.settle(number, Err(Error::Closed));
        }
    }

    /// What became of a message that somebody waits for.
    pub(super) fn take_result(&mut self, number: u64) -> Option<Result<PubAck, Error>> {
        let result = self.results.remove(&number)?;
        Some(result.map_err(|failure| failure.error))
    }

    /// Nobody waits for a message any more: a failure is everybody's.
    pub(super) fn forget(&mut self, number: u64) {
        match self.results.remove(&number) {
            Some(Err(failure)) => self.failures.push(failure),
            Some(Ok(_)) => {}
            None => {
                if let Some(slot) = self.slot(number).filter(|slot| slot.number == number) {
                    slot.is_awaited = false;
                }
            }
        }
    }

    pub(super) fn failures(&self) -> usize {
        self.failures.len()
    }

    pub(super) fn take_failures(&mut self) -> Vec<Failure> {
        mem::take(&mut self.failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(window: &mut Window, retries: u32) -> u64 {
        let number = window.next();
        let sent = Sent {
            subject: "s",
            deadline: Some(Instant::now()),
            retries,
        };
        let frame = window.open(sent).expect("room");
        frame.extend_from_slice(b"PUB");
        number
    }

    fn ack(seq: u64) -> Result<PubAck, Error> {
        Ok(PubAck {
            stream: "S".into(),
            seq,
            is_duplicate: false,
        })
    }

    #[test]
    fn places_are_free_once_all_before_are_settled() {
        let mut window = Window::new(2);
        let (one, two) = (open(&mut window, 0), open(&mut window, 0));
        assert_eq!((one, two, window.room()), (1, 2, 0));
        window.settle(two, ack(8));
        assert_eq!(window.room(), 0);
        assert_eq!(window.take_result(one).map(|r| r.is_ok()), None);
        assert_eq!(window.take_result(two).unwrap().unwrap().seq, 8);
        window.settle(one, ack(7));
        assert!(window.room() == 2 && window.is_settled());
        let three = open(&mut window, 0);
        window.settle(one, Err(Error::Timeout));
        assert_eq!(
            window.subject(three),
            Some("s"),
            "late answers are nobody's"
        );
        assert_eq!(window.take_result(one).unwrap().unwrap().seq, 7, "kept");
    }

    #[test]
    fn failures_that_nobody_waits_for_are_kept() {
        let mut window = Window::new(4);
        let numbers: Vec<u64> = (0..4).map(|_| open(&mut window, 0)).collect();
        window.forget(numbers[0]);
        window.settle(numbers[0], Err(Error::Lost));
        window.settle(numbers[1], Err(Error::Timeout));
        window.forget(numbers[1]);
        window.forget(numbers[2]);
        window.settle(numbers[2], ack(1));
        window.close();
        assert!(matches!(
            window.take_result(numbers[3]),
            Some(Err(Error::Closed))
        ));
        let failed: Vec<u64> = window.take_failures().iter().map(|f| f.number).collect();
        assert_eq!(failed, [1, 2]);
        assert_eq!(window.failures(), 0);
    }

    #[test]
    fn what_is_late_is_sent_again_as_often_as_it_may() {
        let mut window = Window::new(2);
        let (once, again) = (open(&mut window, 0), open(&mut window, 1));
        let later = Instant::now() + Duration::from_secs(9);
        assert!(!window.postpone(once, later) && window.postpone(again, later));
        window.hurry(Instant::now());
        let timeout = Duration::from_secs(5);
        let now = Instant::now();
        let sent = std::cell::Cell::new(0);
        let next = window.expire(now, timeout, |frame| {
            assert_eq!(frame, b"PUB");
            sent.set(sent.get() + 1);
            Ok(())
        });
        assert_eq!((sent.get(), next), (1, Some(now)), "one is settled");
        assert!(matches!(
            window.take_result(once),
            Some(Err(Error::Timeout))
        ));
        let due = window.expire(now, timeout, |_| panic!("not yet"));
        assert_eq!(due, Some(now + timeout));
        window.expire(now + timeout, timeout, |_| panic!("once"));
        assert_eq!(window.expire(now, timeout, |_| panic!("once")), None);
        assert!(matches!(
            window.take_result(again),
            Some(Err(Error::Timeout))
        ));
    }

    #[test]
    fn a_timeout_too_long_for_the_clock_is_none() {
        let mut window = Window::new(1);
        open(&mut window, 1);
        let now = Instant::now();
        window.hurry(now);
        let due = window.expire(now, Duration::MAX, |_| Ok(()));
        assert_eq!(due, None);
        assert!(!window.is_settled());
    }
}
