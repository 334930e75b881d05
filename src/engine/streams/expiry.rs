//! What leaves a stream because its time has come.
//!
//! A stream's own limit takes the oldest first and stops at one that is young
//! enough. Messages that say themselves how long they live are found by their
//! blocks, which know when something is first due in them.

use super::consumer::duration;
use super::log_due::NEVER;
use super::log_read::NeedBlock;
use super::overflow::Dropped;
use super::stream::Stream;
use crate::Time;
use crate::ids::Seq;
use midge_api::{Nanos, Timestamp};
use std::time::Duration;

/// Bytes that are stored in one go, by schedules and in place of what has gone,
/// before others get their turn.
const LEFT_LEN_MAX: u64 = 1024 * 1024;

/// Where something is due later than this, the clock is looked at again after
/// it: it may have been set, or the machine may have slept.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

impl Stream {
    /// Removes what has lived its time. Returns when there is more to do.
    pub(crate) fn expire(&mut self, now: Time, wall: Timestamp) -> Result<Option<Time>, NeedBlock> {
        let aged = self.expire_aged(now, wall)?;
        self.is_aging = aged.is_some();
        let timed = self.expire_timed(now, wall)?;
        Ok(aged.into_iter().chain(timed).min())
    }

    /// Removes what is older than `max_age`.
    fn expire_aged(&mut self, now: Time, wall: Timestamp) -> Result<Option<Time>, NeedBlock> {
        let max_age = self.config.max_age;
        if max_age.0 <= 0 {
            return Ok(None);
        }
        for _ in 0..self.log.tuning.removals {
            if self.has_copied_enough() {
                break;
            }
            let Some(oldest) = self.oldest_aging() else {
                return Ok(None);
            };
            if let Some(record) = self.log.get(oldest)? {
                let is_timed = record.due.is_some() && self.config.allow_msg_schedules;
                if record.due == Some(NEVER)
                    || (is_timed && self.is_endless_schedule(record.header()))
                {
                    self.aged_to = oldest.next();
                    self.row_dirty = true;
                    continue;
                }
                let left = max_age.0.saturating_sub(wall.since(record.time).0);
                if left > 0 {
                    return Ok(Some(now + duration(Nanos(left))));
                }
            }
            self.drop_expired(oldest, wall)?;
        }
        Ok(Some(now))
    }

    /// The oldest message that may grow too old, as far as is known.
    fn oldest_aging(&self) -> Option<Seq> {
        let first = self.log.first();
        if self.log.messages() == 0 {
            None
        } else if self.aged_to <= first {
            Some(first)
        } else {
            self.log.next_live(self.aged_to)
        }
    }

    /// Removes the messages that have lived as long as they were to.
    fn expire_timed(&mut self, now: Time, wall: Timestamp) -> Result<Option<Time>, NeedBlock> {
        self.log.is_due_sooner = false;
        let mut left = self.log.tuning.removals;
        while let Some((block, due)) = self.log.due_by(wall)? {
            for (seq, due) in due {
                if left == 0 || self.has_copied_enough() || self.left_len > LEFT_LEN_MAX {
                    return Ok(Some(now));
                }
                if !self.goes_after_marker(seq, due, block)? {
                    left -= 1;
                    self.come_due(seq, due, wall)?;
                }
            }
            self.log.look_for_due(block);
            left = left.saturating_sub(1);
        }
        let next = self.log.next_due();
        Ok(next.map(|next| now + duration(next.since(wall)).min(LOOK_AGAIN)))
    }

    /// The time has come that a message says.
    fn come_due(&mut self, seq: Seq, due: Timestamp, wall: Timestamp) -> Result<(), NeedBlock> {
        let is_scheduled =
            self.config.allow_msg_schedules && self.publish_scheduled(seq, due, wall)?;
        if !is_scheduled {
            self.drop_expired(seq, wall)?;
        }
        Ok(())
    }

    /// Removes a message whose time has come.
    fn drop_expired(&mut self, seq: Seq, wall: Timestamp) -> Result<(), NeedBlock> {
        if self.keeps(Dropped::Expired) {
            self.copy_dropped(seq, Dropped::Expired)?;
        }
        let marked = self.marked_subject(seq)?;
        self.remove(seq)?;
        if let Some(subject) = marked {
            self.leave_marker(&subject, wall);
        }
        Ok(())
    }
}
