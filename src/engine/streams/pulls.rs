//! The pull requests that wait at a consumer.

use super::priority::Claim;
use crate::Time;
use std::collections::VecDeque;
use std::time::Duration;

/// A request for messages.
#[derive(Debug)]
pub(crate) struct Pull {
    /// Where messages and statuses go.
    pub(crate) reply: Box<[u8]>,
    /// Messages still wanted, as the request has it: less than one is one.
    pub(crate) wanted: i64,
    /// Messages it got.
    pub(crate) got: u64,
    /// Bytes it may still get, if it has set a bound: a positive one.
    pub(crate) bytes_left: i64,
    /// It ends when there is nothing to get.
    pub(crate) no_wait: bool,
    pub(crate) expires: Option<Time>,
    pub(crate) heartbeat: Option<Duration>,
    /// When it is to be told that nothing came.
    pub(crate) heartbeat_due: Option<Time>,
    /// It stands before all of a higher rank.
    pub(crate) rank: u8,
    /// What it says about its place, if its consumer cares.
    pub(crate) claim: Option<Box<Claim>>,
}

impl Pull {
    /// Whether it ends where nothing is left to deliver. One that has an
    /// expiry waits for its first message.
    pub(crate) fn is_done_when_dry(&self) -> bool {
        self.no_wait && (self.got > 0 || self.expires.is_none())
    }

    pub(crate) fn is_expired(&self, now: Time) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// When something is to be done about it, though nothing comes.
    fn due(&self) -> Option<Time> {
        [self.expires, self.heartbeat_due]
            .into_iter()
            .flatten()
            .min()
    }
}

/// Requests in the order of their turns: each gets a message and goes to the
/// end of those of its rank.
#[derive(Debug, Default)]
pub(crate) struct Pulls {
    queue: VecDeque<Pull>,
}

impl Pulls {
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn push(&mut self, pull: Pull) {
        if self.queue.back().is_none_or(|last| last.rank <= pull.rank) {
            return self.queue.push_back(pull);
        }
        let place = self.queue.partition_point(|one| one.rank <= pull.rank);
        self.queue.insert(place, pull);
    }

    /// The front one goes to the end without a message.
    pub(crate) fn cycle(&mut self) {
        if !self.queue.is_empty() {
            self.queue.rotate_left(1);
        }
    }

    /// Messages that all of them still want.
    pub(crate) fn wanted(&self) -> u64 {
        let wanted = self.queue.iter().map(|pull| pull.wanted.max(0));
        wanted.fold(0, |sum, wanted| sum.saturating_add(wanted.unsigned_abs()))
    }

    pub(crate) fn front_mut(&mut self) -> Option<&mut Pull> {
        self.queue.front_mut()
    }

    pub(crate) fn pop(&mut self) -> Option<Pull> {
        self.queue.pop_front()
    }

    /// The front one has got so many bytes.
    pub(crate) fn count_bytes(&mut self, size: i64) {
        if let Some(pull) = self.queue.front_mut()
            && pull.bytes_left > 0
        {
            pull.bytes_left -= size;
            if pull.bytes_left == 0 {
                pull.wanted = 1;
            }
        }
    }

    /// The front one has got a message. Returns it if that was its last.
    pub(crate) fn served(&mut self, now: Time) -> Option<Pull> {
        let is_alone = self.queue.len() == 1;
        let pull = self.queue.front_mut()?;
        pull.wanted = pull.wanted.saturating_sub(1);
        pull.got += 1;
        if pull.wanted <= 0 {
            return self.queue.pop_front();
        }
        pull.heartbeat_due = pull.heartbeat.map(|heartbeat| now + heartbeat);
        if !is_alone && let Some(pull) = self.queue.pop_front() {
            self.push(pull);
        }
        None
    }

    /// Takes out the requests that a test picks.
    pub(crate) fn take(&mut self, mut picked: impl FnMut(&Pull) -> bool) -> Vec<Pull> {
        if !self.queue.iter().any(&mut picked) {
            return Vec::new();
        }
        let mut taken = Vec::new();
        for _ in 0..self.queue.len() {
            if let Some(pull) = self.queue.pop_front() {
                if picked(&pull) {
                    taken.push(pull);
                } else {
                    self.queue.push_back(pull);
                }
            }
        }
        taken
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Pull> {
        self.queue.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Pull> {
        self.queue.iter_mut()
    }

    /// When one of them is due.
    pub(crate) fn due(&self) -> Option<Time> {
        self.queue.iter().filter_map(Pull::due).min()
    }
}
