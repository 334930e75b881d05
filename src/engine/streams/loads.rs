//! What comes from the disk, and who waits for it.
//!
//! Work that needs a block which is not in memory is put aside under the
//! block's key and goes on when it has been read. Blocks stay in memory until
//! others need the room.

use super::block::Block;
use super::log_read::NeedBlock;
use super::streams::{Job, Streams};
use crate::Time;
use crate::engine::Engine;
use crate::ids::StreamId;
use crate::outbox::Outbox;
use crate::storage::BlockKey;
use std::time::Duration;

/// A block that could not be read is asked for again after this.
pub(super) const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Requests that may wait for a block.
const PARKED_MAX: usize = 4096;

impl Streams {
    /// Puts a job aside until a block is there.
    pub(super) fn park(&mut self, need: NeedBlock, job: Job) {
        let NeedBlock(key) = need;
        if matches!(job, Job::Request(_)) {
            self.parked_requests += 1;
        }
        self.want(key);
        self.parked.entry(key).or_default().push(job);
    }

    /// Asks for a block.
    pub(super) fn want(&mut self, key: BlockKey) {
        if self.loading.insert(key) {
            self.wanted.push(key);
        }
    }

    /// Whether one more request may wait for the next batch.
    pub(super) fn has_room_to_wait(&self) -> bool {
        self.waiting_commit.len() < PARKED_MAX
    }

    /// Whether one more request may be put aside.
    pub(super) fn has_room_to_park(&self) -> bool {
        self.parked_requests < PARKED_MAX
    }

    /// The blocks to be read, since the last call.
    pub(crate) fn take_wanted(&mut self) -> Vec<BlockKey> {
        std::mem::take(&mut self.wanted)
    }

    /// A block was read; `None` if it is not there or cannot be read.
    pub(crate) fn loaded<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        now: Time,
        key: BlockKey,
        block: Option<Block>,
        out: &mut O,
    ) {
        if !self.loading.remove(&key) {
            return;
        }
        if let Some(stream) = self.streams.get_mut(&key.stream) {
            let lost = stream.log.lost;
            stream.log.adopt(block, key);
            if stream.log.lost > lost {
                stream.row_dirty = true;
                self.changed(key.stream);
                self.recount(key.stream);
            }
            self.arrived(key.stream);
        }
        let jobs = self.parked.remove(&key).unwrap_or_default();
        for job in jobs {
            if matches!(job, Job::Request(_)) {
                self.parked_requests -= 1;
            }
            self.run_job(engine, job, now, out);
        }
        // Who has waited for it takes its turn first: it may be larger than
        // all that is to be kept.
        if self.ready.is_empty() {
            self.shrink_cache();
        }
    }

    /// A block could not be read. Requests for it are refused; what the
    /// streams want for themselves they try again a little later.
    pub(crate) fn load_failed<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        now: Time,
        key: BlockKey,
        out: &mut O,
    ) {
        self.loading.remove(&key);
        for job in self.parked.remove(&key).unwrap_or_default() {
            if let Job::Request(request) = job {
                self.parked_requests -= 1;
                self.refuse(engine, &request, out);
            } else {
                self.failed_jobs.push(job);
                self.retry_due.get_or_insert(now + RETRY_PAUSE);
            }
        }
    }

    /// Tries again what failed for want of a block.
    pub(super) fn retry<O: Outbox>(&mut self, engine: &mut Engine, now: Time, out: &mut O) {
        if self.retry_due.take_if(|due| *due <= now).is_some() {
            for job in std::mem::take(&mut self.failed_jobs) {
                self.run_job(engine, job, now, out);
            }
        }
    }

    /// What could wait is due, now and from here on.
    pub(crate) fn hurry(&mut self) {
        self.config.tuning.commit_linger = Duration::ZERO;
        self.lingers_until = None;
        self.is_urgent |= !self.is_settled();
    }

    pub(super) fn run_job<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        job: Job,
        now: Time,
        out: &mut O,
    ) {
        match job {
            Job::Serve(stream, consumer) => self.make_ready(stream, consumer),
            Job::Advance(stream) => self.advance_later(stream),
            Job::Request(request) => self.handle(engine, *request, now, out),
            Job::Count(stream, consumer) => self.count(stream, consumer),
            Job::Recall(stream) => self.recall(stream),
            Job::Bury(stream, consumer) => self.bury_again(engine, stream, consumer, now, out),
            Job::Redrive(id) => self.step_redrive(engine, id, now, out),
            Job::Copy(stream) => self.copy_later(stream),
            Job::Publish(stream) => self.publish_waiting(engine, stream, out),
            Job::Snapshot(id) => self.step_snapshot(engine, id, now, out),
            Job::Restore(id) => self.step_restore(engine, id, now, out),
        }
    }

    /// Counts the blocks that came into a stream's memory.
    pub(super) fn arrived(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.is_volatile() {
            stream.log.take_arrived();
            return;
        }
        let arrived: Vec<BlockKey> = stream.log.take_arrived().collect();
        for key in arrived {
            let len = stream.log.resident_len(key.first);
            self.cache_len += len;
            self.cache.push_back((key, len));
        }
    }

    /// Lets go of the blocks that came in first, until the rest fits.
    pub(super) fn shrink_cache(&mut self) {
        let mut tries = self.cache.len();
        while self.cache_len > self.config.tuning.cache_len && tries > 0 {
            tries -= 1;
            let Some((key, len)) = self.cache.pop_front() else {
                return;
            };
            self.cache_len -= len;
            let Some(stream) = self.streams.get_mut(&key.stream) else {
                continue;
            };
            // What is still to be written stays, and is asked again.
            if stream.log.evict(key.first) == 0 {
                let len = stream.log.resident_len(key.first);
                if len > 0 {
                    self.cache_len += len;
                    self.cache.push_back((key, len));
                }
            }
        }
    }
}
