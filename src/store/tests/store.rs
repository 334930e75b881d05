//! The store, on real files and on a disk that fails as told.

mod damage;
mod failing;
mod handle;
mod kill;
mod measure;
mod open;
mod power;
mod util;
mod verify;
