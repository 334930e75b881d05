//! Making batches durable: in the journal, or, if they are large, in redb's
//! tables at once.
//!
//! A commit of the tables takes all with it that is only in the journal, so
//! the order of the batches is kept whichever way each goes. Readers see a
//! batch once it is durable and not before.
//!
//! A checkpoint takes as long as dozens of batches. So it may be made in two
//! steps, between which, and while the second lasts, others commit to the
//! journal: [`Store::begin_checkpoint`], [`Store::end_checkpoint`].

use crate::changes::{Changes, Kept};
use crate::error::StoreError;
use crate::journal::Journal;
use crate::layout::{META, ROUND_ROW};
use crate::pending::{Leaving, Pending};
use crate::record;
use crate::store::{Store, boxed, contain, len_of};
use crate::tables::Tables;
use midge_engine::{Batch, BlockKey, RowKey, Write};
use std::sync::{Arc, MutexGuard, PoisonError, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

/// A batch that takes more is committed to the tables at once. It would be
/// written twice otherwise, and what redb adds, some 80 KB in fifteen places
/// and a second sync, matters little beside it.
pub(crate) const JOURNALED_LEN_MAX: usize = 1 << 20;

/// Memory that changes which are only in the journal, and in no checkpoint that
/// is under way, may take before one has to be made. A record of a few bytes may
/// hold on to a block of 40 KB, so the journal's length alone is no bound.
const HELD_MAX: usize = 4 << 20;

/// What they take when it is worth it to begin one beside which others go on: with
/// half of the most each message cost the processor a twentieth more.
const HELD_WORTH_LEN: usize = HELD_MAX / 4 * 3;

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

    /// Whether so much is only in the journal that it is worth a checkpoint beside
    /// which others go on.
    pub(crate) fn is_checkpoint_due(&self) -> bool {
        let journal = self.journal();
        let pending = self.pending();
        let is_much = journal.is_worth_a_checkpoint() || pending.fresh.held() >= HELD_WORTH_LEN;
        (is_much && pending.doubt.is_none()) || pending.is_eased
    }

    /// Begins a checkpoint of what is only in the journal: from here on batches
    /// go to a new round. [`Store::end_checkpoint`] has to follow, on any thread.
    /// False if there is nothing to be brought into the tables, or another
    /// checkpoint is under way.
    pub fn begin_checkpoint(&self) -> bool {
        let mut journal = self.journal();
        let mut pending = self.pending_mut();
        if journal.is_broken || pending.leaving.is_some() || pending.fresh.is_empty() {
            return false;
        }
        // The room of the one before, if nobody has committed since.
        journal.end_round_before();
        pending.is_eased = false;
        let changes = Arc::new(std::mem::take(&mut pending.fresh));
        journal.begin_round(&changes);
        let round = journal.next_name().round;
        pending.leaving = Some(Leaving { changes, round });
        true
    }

    /// Brings what [`Store::begin_checkpoint`] has set aside into the tables,
    /// unless somebody did who could not wait. After an error the store must be
    /// opened again.
    pub fn end_checkpoint(&self) -> Result<(), StoreError> {
        self.end_checkpoint_with(self.tables())
    }

    /// The same, leaving the processor to others until somebody waits for it.
    pub(crate) fn end_checkpoint_aside(&self) -> Result<(), StoreError> {
        self.medium.leave_processor(true);
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = self.end_checkpoint_with(tables);
        self.medium.leave_processor(false);
        ended
    }

    fn end_checkpoint_with(&self, mut tables: MutexGuard<'_, bool>) -> Result<(), StoreError> {
        let Some(leaving) = self.pending().leaving.clone() else {
            return Ok(());
        };
        self.bring(&mut tables, &leaving.changes, leaving.round)?;
        // The tables show it from here on.
        let mut pending = self.pending_mut();
        pending.leaving = None;
        pending.doubt = None;
        Ok(())
    }

    /// Whether little is held in memory for want of a checkpoint. What was found when
    /// the store was opened does not count: on a disk that is still full, trying it
    /// would end the store again, which is open for who takes something away.
    pub(crate) fn is_settled(&self) -> bool {
        let pending = self.pending();
        pending.held() <= pending.doubt.unwrap_or(0) + HELD_IDLE_MAX
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

    /// Somebody waits for the checkpoint that is under way.
    pub(crate) fn hurry(&self) {
        self.medium.leave_processor(false);
    }

    /// Waits for whoever writes to the tables, who has the processor from here on.
    pub(crate) fn tables(&self) -> MutexGuard<'_, bool> {
        self.hurry();
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is durable and not in the tables.
    pub(crate) fn pending(&self) -> RwLockReadGuard<'_, Pending> {
        self.pending.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, to be changed for a moment by who holds the journal, or ends a
    /// checkpoint.
    fn pending_mut(&self) -> RwLockWriteGuard<'_, Pending> {
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
        if pending.leaving.is_none() {
            journal.end_round_before();
        }
        let len = record::len_about(batch, |key| {
            base(&pending, journal, key).map_or(0, |block| block.bytes().len())
        });
        let changes = Changes::of(batch);
        let held_max = match pending.doubt {
            // Of both layers that there were, and still to be journaled upon:
            // what takes something away has to come through.
            Some(_) => 2 * HELD_MAX + JOURNALED_LEN_MAX,
            None => HELD_MAX,
        };
        let is_late = pending.fresh.held() > held_max;
        if len > JOURNALED_LEN_MAX || is_late {
            drop(pending);
            return self.checkpoint(journal, changes);
        }
        let mut writer = journal.begin_record(len);
        writer.put(&changes, &pending.fresh, |key| base(&pending, journal, key));
        let is_leaving = pending.leaving.is_some();
        drop(pending);
        let record = writer.seal(journal.next_name());
        let spared = match Weight::of(batch) {
            Weight::Less => 0,
            Weight::Same => journal.room_to_make_room() / 2,
            Weight::More => journal.room_to_make_room(),
        };
        let has_room = |journal: &Journal| journal.has_room(record.len() + spared);
        if !has_room(journal) && is_leaving {
            self.end_checkpoint()?;
            journal.end_round_before();
        }
        if !has_room(journal) {
            return self.checkpoint(journal, changes);
        }
        journal.append(self.path(), record)?;
        self.pending_mut().absorb(changes);
        Ok(())
    }

    /// Commits what is pending, and what is newer, to the tables.
    ///
    /// What the newer ones take away again is not written before: so a full disk
    /// can be emptied.
    fn checkpoint(&self, journal: &mut Journal, newer: Changes) -> Result<(), StoreError> {
        let mut tables = self.tables();
        let mut changes = self.pending().all();
        changes.absorb(newer);
        self.bring(&mut tables, &changes, journal.next_name().round + 1)?;
        journal.remember(&changes);
        // The tables show it from here on.
        *self.pending_mut() = Pending::default();
        journal.next_round();
        Ok(())
    }

    /// Commits changes to the tables, which then wait for this round.
    ///
    /// Each such commit writes down which pages are free, or the whole file
    /// would have to be walked after a crash, and one flipped bit in it would
    /// keep redb from opening any of it.
    fn bring(
        &self,
        has_failed: &mut bool,
        changes: &Changes,
        round: u64,
    ) -> Result<(), StoreError> {
        if std::mem::replace(has_failed, true) {
            return Err(StoreError::after_failure(self.path(), "write to"));
        }
        contain(self.path(), "write to", || {
            let mut transaction = self.begin_write()?;
            transaction.set_quick_repair(true);
            // A round each time, and not only if this one has records: should
            // redb go back by a commit, what came after the one that is gone
            // must not be taken to follow on it without a gap.
            let mut meta = transaction.open_table(META).map_err(boxed)?;
            let stored = round.to_le_bytes();
            meta.insert(&ROUND_ROW, &stored[..]).map_err(boxed)?;
            drop(meta);
            let mut tables = Tables::open(&transaction)?;
            let pause = || self.medium.pause();
            tables.apply(changes, &pause).map_err(boxed)?;
            drop(tables);
            transaction.commit().map_err(boxed)
        })?;
        *has_failed = false;
        Ok(())
    }
}

/// What a batch does to what is stored.
enum Weight {
    /// It removes blocks, or messages of them, and puts none.
    Less,
    /// It puts none: consumers are acknowledged to, for example.
    Same,
    More,
}

impl Weight {
    fn of(batch: &Batch) -> Weight {
        let is_put = |write: &Write| matches!(write, Write::PutBlock(_));
        let is_removal = |write: &Write| match write {
            Write::RemoveBlock(_) | Write::RemoveStream(_) => true,
            Write::PutRow(key, _) => matches!(key, RowKey::Deletes(_)),
            Write::PutBlock(_) | Write::RemoveRow(_) => false,
        };
        if batch.writes.iter().any(is_put) {
            Weight::More
        } else if batch.writes.iter().any(is_removal) {
            Weight::Less
        } else {
            Weight::Same
        }
    }
}

/// A block as it is durable, if that is in memory.
fn base<'a>(pending: &'a Pending, journal: &'a Journal, key: BlockKey) -> Option<&'a Kept> {
    match pending.fresh.block(key) {
        Some(block) => block,
        None => journal.tail(key),
    }
}
