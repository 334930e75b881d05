//! One binary for all tests of the whole server: raw sockets against the real
//! program, and the engine under a clock of the test's own.

// A test that meets what it does not expect should say so and stop.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod auth;
mod crashes;
mod engine_clock;
mod floods;
mod full_disks;
mod headers;
mod limits;
mod monitoring;
#[cfg(feature = "streams")]
mod monitoring_streams;
mod parser_properties;
mod people;
mod routing;
mod server_life;
mod simulation;
mod slow_readers;
mod store_files;
mod stream_consumers;
mod stream_floods;
mod stream_late_acks;
mod stream_restarts;
mod stream_util;
mod streams;
mod util;
mod wire;
#[cfg(not(feature = "streams"))]
mod without_streams;
