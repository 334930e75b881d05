//! The store, on real files and on a disk that fails as told.

// A test that meets what it does not expect should say so and stop.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod backup;
mod compressed;
mod damage;
mod failing;
mod handle;
mod journal;
mod kill;
mod measure;
mod open;
mod power;
mod readers;
mod util;
mod verify;
