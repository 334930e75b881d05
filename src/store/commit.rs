//! Making batches durable: in the journal, or, if they are large, in redb's
//! tables at once.
//!
//! A commit of the tables takes all with it that is only in the journal, so
//! the order of the batches is kept whichever way each goes. Readers see a
//! batch once it is durable and not before.

use crate::changes::{Changes, Kept};
use crate::error::StoreError;
use crate::journal::Journal;
use crate::layout::{META, ROUND_ROW};
use crate::record::{self, Writer};
use crate::store::{Store, boxed, contain, len_of};
use crate::tables::Tables;
use bytes::Bytes;
use midge_engine::{Batch, BlockKey, Write};
use std::sync::{MutexGuard, PoisonError, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

/// A batch that takes more is committed to the tables at once. It would be
/// written twice otherwise, and what redb adds, some 80 KB in fifteen places
/// and a second sync, matters little beside it.
pub(crate) const JOURNALED_LEN_MAX: usize = 1 << 20;

/// Memory that changes which are only in the journal may take before a
/// checkpoint is due. A record of a few bytes may hold on to a block of
/// 40 KB, so the journal's length alone is no bound.
const HELD_MAX: usize = 4 << 20;

/// What may stay in the journal while nothing is written: a start reads it in
/// a millisecond, and who stores a message now and then spares the disk a
/// checkpoint for each.
const HELD_IDLE_MAX: usize = 256 << 10;

/// What a commit took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Commit {
    /// From taking the batch to being told that it is durable.
    pub duration: Duration,
    /// What the batch held: the bytes of its blocks and rows.
    pub batch_bytes: u64,
    /// What was written for it, a checkpoint included.
    pub written_bytes: u64,
}

impl Store {
    /// Makes a batch durable as a whole. After an error nothing is known:
    /// the store must be opened again to see whether the batch is there.
    pub fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        let too_long = |write: &&Write| crate::store::is_too_long(write);
        if let Some(Write::PutBlock(block)) = batch.writes.iter().find(too_long) {
            return Err(StoreError::TooLong {
                key: block.key(),
                len: block.bytes().len(),
            });
        }
        let begun = Instant::now();
        let written = self.source().written();
        // One that only has to wait for those before it.
        if !batch.writes.is_empty() {
            self.guarded(|journal| self.commit_with(journal, batch))?;
        }
        Ok(Commit {
            duration: begun.elapsed(),
            batch_bytes: batch.writes.iter().map(len_of).sum(),
            written_bytes: self.source().written() - written,
        })
    }

    /// Brings all that is only in the journal into the tables.
    pub fn settle(&self) -> Result<(), StoreError> {
        self.guarded(|journal| {
            self.checkpoint(journal, Changes::default())?;
            // Who has been idle need not hold on to blocks.
            journal.forget();
            Ok(())
        })
    }

    /// Whether little is held in memory for want of a checkpoint.
    pub(crate) fn is_settled(&self) -> bool {
        self.pending().held() <= HELD_IDLE_MAX
    }

    /// Sees that the tables hold everything.
    pub(crate) fn bring_in(&self) -> Result<(), StoreError> {
        if self.journal().is_broken || self.pending().is_empty() {
            return Ok(());
        }
        self.settle()
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is durable and not in the tables.
    pub(crate) fn pending(&self) -> RwLockReadGuard<'_, Changes> {
        self.pending.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, to be changed by who holds the journal, for a moment.
    fn pending_mut(&self) -> RwLockWriteGuard<'_, Changes> {
        self.pending.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something that may fail. After it has, nothing else is done:
    /// what the disk holds is only known from opening it again.
    fn guarded(
        &self,
        work: impl FnOnce(&mut Journal) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut journal = self.journal();
        if std::mem::replace(&mut journal.is_broken, true) {
            return Err(StoreError::after_failure(self.path(), "write to"));
        }
        work(&mut journal)?;
        journal.is_broken = false;
        Ok(())
    }

    fn commit_with(&self, journal: &mut Journal, batch: &Batch) -> Result<(), StoreError> {
        let pending = self.pending();
        let base = |key| base(&pending, journal, key);
        let len = record::len_about(batch, |key| base(key).map_or(0, Bytes::len));
        let changes = Changes::of(batch);
        if len > JOURNALED_LEN_MAX || pending.held() > HELD_MAX {
            drop(pending);
            return self.checkpoint(journal, changes);
        }
        let mut writer = Writer::new();
        writer.put(&changes, &pending, base);
        drop(pending);
        let record = writer.seal(journal.next_name());
        if !journal.has_room(record.len()) {
            return self.checkpoint(journal, changes);
        }
        journal.append(self.path(), &record)?;
        self.pending_mut().absorb(changes);
        Ok(())
    }

    /// Commits what is pending, and what is newer, to the tables.
    ///
    /// What the newer ones take away again is not written before: so a full disk
    /// can be emptied.
    ///
    /// Each such commit writes down which pages are free, or the whole file
    /// would have to be walked after a crash, and one flipped bit in it would
    /// keep redb from opening any of it.
    fn checkpoint(&self, journal: &mut Journal, newer: Changes) -> Result<(), StoreError> {
        let mut changes = self.pending().clone();
        changes.absorb(newer);
        contain(self.path(), "write to", || {
            let mut transaction = self.begin_write()?;
            transaction.set_quick_repair(true);
            // A round each time, and not only if this one has records: should
            // redb go back by a commit, what came after the one that is gone
            // must not be taken to follow on it without a gap.
            let mut meta = transaction.open_table(META).map_err(boxed)?;
            let round = journal.next_name().round + 1;
            let stored = round.to_le_bytes();
            meta.insert(&ROUND_ROW, &stored[..]).map_err(boxed)?;
            drop(meta);
            Tables::open(&transaction)?.apply(&changes).map_err(boxed)?;
            transaction.commit().map_err(boxed)
        })?;
        journal.remember(&changes);
        // The tables show it from here on.
        *self.pending_mut() = Changes::default();
        journal.next_round();
        Ok(())
    }
}

/// A block as it is durable, if that is in memory.
fn base<'a>(pending: &'a Changes, journal: &'a Journal, key: BlockKey) -> Option<&'a Bytes> {
    match pending.block(key) {
        Some(block) => block.map(Kept::bytes),
        None => journal.tail(key),
    }
}
