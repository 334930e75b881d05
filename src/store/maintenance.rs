//! What is done to a file that no server has open.

use crate::config::StoreConfig;
use crate::error::StoreError;
use crate::store::{Store, boxed, contain};
use crate::verify::VerifyReport;
use midge_engine::{RowKey, RowSink};
use std::path::Path;

/// How often compacting goes over the file at most. Each pass moves what the
/// one before has made room for; more than a few find nothing.
const PASSES_MAX: usize = 8;

/// What compacting a file brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// The length of the file before.
    pub before: u64,
    /// And after.
    pub after: u64,
}

/// Is told how much of long work is done, and of how much.
pub type Told<'a> = &'a mut dyn FnMut(u64, u64);

/// Takes rows in and forgets them.
pub(crate) struct Nothing;

impl RowSink for Nothing {
    fn row(&mut self, _: RowKey, _: &[u8]) {}
    fn damaged(&mut self, _: RowKey) {}
}

/// Looks at everything in a store: pages, rows, blocks, records.
///
/// What is stored comes first, so that damage is named where it can be: of
/// pages redb says no more than that some are not sound. What is only in the
/// journal is brought into the tables before, in memory: the file stays as it is.
pub fn verify(path: &Path) -> Result<VerifyReport, StoreError> {
    verify_into(path, &mut Nothing, &mut |_, _| {})
}

/// The same, handing the rows to a sink, which may know more about them.
pub fn verify_into(
    path: &Path,
    sink: &mut dyn RowSink,
    told: Told<'_>,
) -> Result<VerifyReport, StoreError> {
    length(path)?;
    let mut store = match Store::open_aside(path, sink) {
        Err(StoreError::Damaged { what, .. }) => return Ok(unsound(what)),
        other => other?,
    };
    let stored = store.stored()?;
    // redb looks at the pages for as long again, and says nothing meanwhile.
    let mut report = match store.verify_telling(&mut |done| told(done, 2 * stored)) {
        Err(StoreError::Damaged { what, .. }) => return Ok(unsound(what)),
        other => other?,
    };
    let checked = contain(path, "verify", || {
        store.database_mut()?.check_integrity().map_err(boxed)
    });
    match checked {
        Err(StoreError::Damaged { .. }) => {
            report.pages_are_sound = Some(false);
            return Ok(report);
        }
        other => report.pages_are_sound = Some(other?),
    }
    told(2 * stored, 2 * stored);
    store.close()?;
    Ok(report)
}

fn unsound(what: String) -> VerifyReport {
    VerifyReport {
        pages_are_sound: Some(false),
        stopped_by: Some(what),
        ..VerifyReport::default()
    }
}

/// Gives back the room that a store does not use. What is told are passes over
/// the file: how far each has come redb does not say.
pub fn compact(path: &Path, told: Told<'_>) -> Result<Compacted, StoreError> {
    let before = length(path)?;
    let mut store = open_existing(path)?;
    for pass in 0..PASSES_MAX {
        told(pass as u64, PASSES_MAX as u64);
        let compacted = contain(path, "compact", || {
            store.database_mut()?.compact().map_err(boxed)
        })?;
        if !compacted {
            if store.pending().is_empty() {
                break;
            }
            // Not before: on a full disk there is room for what the journal holds
            // once the rest has been moved together.
            store.bring_in()?;
        }
    }
    store.close()?;
    Ok(Compacted {
        before,
        after: length(path)?,
    })
}

fn open_existing(path: &Path) -> Result<Store, StoreError> {
    length(path)?;
    Store::open(&StoreConfig::new(path), &mut Nothing)
}

fn length(path: &Path) -> Result<u64, StoreError> {
    match std::fs::metadata(path) {
        Ok(found) => Ok(found.len()),
        Err(source) => Err(StoreError::io(path, "open", source)),
    }
}
