//! The program's allocator: the system's, with a counter, by which a server
//! keeps below its ceiling on memory.

use cap::Cap;
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Bytes that are allocated now.
pub(crate) fn allocated() -> usize {
    ALLOCATOR.allocated()
}
