//! How fast a consumer may deliver, and from when on.

use super::consumer::{Consumer, duration};
use super::effects::{Effects, Note};
use crate::Time;
use crate::ids::Seq;
use midge_api::{ReplayPolicy, Timestamp};
use std::time::Duration;

/// Bytes that a consumer with a rate may send before it is held to it, where
/// its stream does not say how long a message may be.
pub(super) const RATE_BURST: usize = 1024 * 1024;

impl Consumer {
    /// Lets a pause end by itself.
    pub(crate) fn time_pause(&mut self, now: Time, wall: Timestamp) {
        if let Some(until) = self.config.pause_until
            && until > wall
        {
            self.not_before = Some(now + duration(until.since(wall)));
            self.is_pausing = true;
        }
    }

    /// Takes note of the end of a pause.
    pub(super) fn end_pause(&mut self, wall: Timestamp, effects: &mut Effects) {
        if self.is_pausing && !self.is_paused(wall) {
            self.is_pausing = false;
            effects.notes.push(Note::Resumed);
        }
    }

    /// A longest message of its stream may always be sent at once.
    pub(super) fn set_rate_burst(&mut self, max_msg_size: i32) {
        let max = usize::try_from(max_msg_size).ok().filter(|max| *max > 0);
        self.rate_burst = max.unwrap_or(RATE_BURST);
    }

    /// The pace for what follows a message: by the stream's own, if that is
    /// replayed, and by the rate.
    pub(crate) fn pace(&mut self, seq: Seq, time: Timestamp, len: usize, now: Time) {
        if self.config.rate_limit_bps > 0 {
            let rate = u128::from(self.config.rate_limit_bps);
            let takes = |len: usize| {
                let nanos = len as u128 * 8 * 1_000_000_000 / rate;
                Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
            };
            let start = self.paid_until.filter(|at| *at > now).unwrap_or(now);
            let paid_until = start + takes(len);
            self.paid_until = Some(paid_until);
            let ahead = paid_until - now;
            if let Some(wait) = ahead.checked_sub(takes(self.rate_burst)) {
                self.not_before = Some(now + wait);
            }
        }
        if self.config.replay_policy == ReplayPolicy::Original && seq <= self.replay_until {
            self.replayed_time = Some(time);
        }
    }
}
