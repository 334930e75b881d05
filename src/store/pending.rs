//! What is durable and not in the tables.
//!
//! It lies in two layers: what has come since the last checkpoint began, and
//! below it what a checkpoint that is under way is bringing into the tables.
//! Readers look through both, then into the tables.

use crate::changes::{Changes, Kept};
use midge_engine::BlockKey;
use std::sync::Arc;

/// What is only in the journal.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// What no checkpoint has taken yet.
    pub(crate) fresh: Changes,
    /// What one is bringing into the tables.
    pub(crate) leaving: Option<Leaving>,
    /// What was found in the journal when the store was opened took so much, and
    /// may be what a full disk had no room for. The next checkpoint waits until it
    /// has to be made, or half of that has been taken away again.
    pub(crate) doubt: Option<usize>,
    /// That is so: a checkpoint is due, however little it brings.
    pub(crate) is_eased: bool,
}

/// What a checkpoint brings.
#[derive(Debug, Clone)]
pub(crate) struct Leaving {
    pub(crate) changes: Arc<Changes>,
    /// The round of the journal that comes on top of it.
    pub(crate) round: u64,
}

impl Pending {
    /// What was found in the journal.
    pub(crate) fn found(fresh: Changes) -> Self {
        Pending {
            doubt: (!fresh.is_empty()).then_some(fresh.held()),
            is_eased: false,
            fresh,
            leaving: None,
        }
    }

    /// What became of a block: its bytes, or that it is gone. Nothing if that
    /// is for the tables to say.
    pub(crate) fn block(&self, key: BlockKey) -> Option<Option<&Kept>> {
        let leaving = || self.leaving.as_ref()?.changes.block(key);
        self.fresh.block(key).or_else(leaving)
    }

    /// What it comes to.
    pub(crate) fn all(&self) -> Changes {
        let leaving = self.leaving.as_ref();
        let mut changes = leaving.map_or_else(Changes::default, |one| (*one.changes).clone());
        changes.absorb(self.fresh.clone());
        changes
    }

    /// Takes in what has become durable.
    pub(crate) fn absorb(&mut self, newer: Changes) {
        self.fresh.absorb(newer);
        if self
            .doubt
            .is_some_and(|found| self.fresh.held() < found / 2)
        {
            self.doubt = None;
            self.is_eased = true;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.leaving.is_none()
    }

    /// The memory that it takes, more or less.
    pub(crate) fn held(&self) -> usize {
        let leaving = self.leaving.as_ref();
        self.fresh.held() + leaving.map_or(0, |leaving| leaving.changes.held())
    }
}
