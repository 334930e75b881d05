//! Locks that outlive a panic.
//!
//! A thread of the caller's that panics while it holds a lock of ours leaves
//! nothing half done: no step under a lock can fail midway. So a poisoned lock
//! is taken like any other.

use crate::deadline::Deadline;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for a change, until the deadline at most; `None` when that has passed.
pub(crate) fn wait<'a, T>(
    changed: &Condvar,
    guard: MutexGuard<'a, T>,
    deadline: &Deadline,
) -> Option<MutexGuard<'a, T>> {
    let left = deadline.left()?;
    let waited = changed.wait_timeout(guard, left);
    Some(waited.unwrap_or_else(PoisonError::into_inner).0)
}
