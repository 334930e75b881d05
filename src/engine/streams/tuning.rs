//! How much the streams keep and do at a time.
//!
//! Nobody has to change these, but for the linger, which is the operator's; a test
//! makes them small, so that what is rare with some messages in a second happens all
//! the time.

use super::block::BLOCK_LEN_MAX;
use std::time::Duration;

/// See [`StreamsTuning::reopen_len`]. The store remembers blocks up to this
/// length, so as to journal what they grow by.
pub const REOPEN_LEN: usize = 40_000;

/// Sizes and step widths. The defaults are what they were measured for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamsTuning {
    /// Bytes of blocks of all streams in memory, beside those that are still
    /// to be written. Has to hold those that are worked on at a time.
    pub cache_len: usize,
    /// What may gather for the next batch, in bytes, before those who store are
    /// held back. As much may be on its way to the disk already, twice, and the
    /// store copies it.
    pub uncommitted_max: u64,
    /// A block is closed before it grows past this; at most
    /// [`BLOCK_LEN_MAX`].
    pub block_len: usize,
    /// A block that is shorter than this when it is written is written again
    /// with what comes next, instead of leaving many small ones behind: two
    /// thirds of a full one, so that not much of its place stays empty. What
    /// that costs is copying it; the store journals what it has grown by.
    pub reopen_len: usize,
    /// Bytes that are worth a batch. So many have to gather, while one is on its
    /// way to the disk, for the next one to be sent after it: that begins as
    /// soon as the other has ended; a small one had better grow meanwhile.
    pub full_batch_len: u64,
    /// How long a batch that is not full waits for more, from when something is
    /// first waited for.
    pub commit_linger: Duration,
    /// Messages looked at in one search before others get their turn.
    pub search: u32,
    /// Messages removed in one go, before others get their turn.
    pub removals: u64,
    /// Messages that a consumer delivers in one turn.
    pub deliveries: usize,
    /// Messages of a direct get's batch that are sent in one turn.
    pub batch: u64,
}

impl Default for StreamsTuning {
    fn default() -> Self {
        StreamsTuning {
            cache_len: 16 * 1024 * 1024,
            uncommitted_max: 8 * 1024 * 1024,
            block_len: BLOCK_LEN_MAX,
            reopen_len: REOPEN_LEN,
            full_batch_len: 112 * 1024,
            commit_linger: Duration::ZERO,
            search: 10_000,
            removals: 10_000,
            deliveries: 512,
            batch: 512,
        }
    }
}
