//! One binary for all tests of the whole server: raw sockets against the real
//! program, and the engine under a clock of the test's own.

// A test that meets what it does not expect should say so and stop.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[cfg(feature = "streams")]
mod account_api;
#[cfg(feature = "streams")]
mod account_room;
#[cfg(feature = "streams")]
mod account_streams;
mod accounts;
mod auth;
#[cfg(feature = "streams")]
mod backup;
#[cfg(feature = "streams")]
mod cli_bench;
#[cfg(feature = "streams")]
mod cli_dlq;
#[cfg(feature = "streams")]
mod cli_help;
#[cfg(feature = "streams")]
mod cli_kv;
#[cfg(feature = "streams")]
mod cli_messages;
#[cfg(feature = "streams")]
mod cli_streams;
#[cfg(feature = "streams")]
mod cli_top;
#[cfg(feature = "streams")]
mod cli_util;
mod configurations;
#[cfg(feature = "streams")]
mod coverage;
#[cfg(feature = "streams")]
mod crashes;
#[cfg(feature = "streams")]
mod crashes_dead;
#[cfg(feature = "streams")]
mod dead_letter_corners;
#[cfg(feature = "streams")]
mod dead_letters;
mod engine_clock;
#[cfg(feature = "streams")]
mod engine_clock_batches;
mod entry;
mod floods;
#[cfg(feature = "streams")]
mod full_disks;
mod headers;
mod hostile;
#[cfg(feature = "streams")]
mod key_order;
#[cfg(feature = "streams")]
mod lifetimes;
mod limits;
mod logs;
mod memory;
mod message_trace;
mod metrics_page;
mod monitoring;
#[cfg(feature = "streams")]
mod monitoring_streams;
mod nats_server;
mod parser_properties;
mod people;
mod permissions;
mod reload;
mod routing;
#[cfg(feature = "streams")]
mod schedules;
mod server_life;
#[cfg(feature = "streams")]
mod server_limits;
mod service;
#[cfg(feature = "streams")]
mod simulation;
mod slow_readers;
#[cfg(feature = "streams")]
mod store_files;
#[cfg(feature = "streams")]
mod stream_api;
#[cfg(feature = "streams")]
mod stream_attached;
#[cfg(feature = "streams")]
mod stream_backups;
#[cfg(feature = "streams")]
mod stream_batches;
#[cfg(feature = "streams")]
mod stream_compression;
#[cfg(feature = "streams")]
mod stream_consumers;
#[cfg(feature = "streams")]
mod stream_copies;
#[cfg(feature = "streams")]
mod stream_counters;
#[cfg(feature = "streams")]
mod stream_domain;
#[cfg(feature = "streams")]
mod stream_fast_batches;
#[cfg(feature = "streams")]
mod stream_features;
#[cfg(feature = "streams")]
mod stream_fields;
#[cfg(feature = "streams")]
mod stream_floods;
#[cfg(feature = "streams")]
mod stream_flow_acks;
#[cfg(feature = "streams")]
mod stream_late_acks;
#[cfg(feature = "streams")]
mod stream_levels;
#[cfg(feature = "streams")]
mod stream_linger;
#[cfg(feature = "streams")]
mod stream_pauses;
#[cfg(feature = "streams")]
mod stream_priority;
#[cfg(feature = "streams")]
mod stream_resets;
#[cfg(feature = "streams")]
mod stream_restarts;
#[cfg(feature = "streams")]
mod stream_subjects;
#[cfg(feature = "streams")]
mod stream_sums;
#[cfg(feature = "streams")]
mod stream_util;
#[cfg(feature = "streams")]
mod stream_words;
#[cfg(feature = "streams")]
mod streams;
mod system_events;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tls")]
mod tls_util;
// Some of it is for tests of streams alone.
#[cfg_attr(not(feature = "streams"), allow(dead_code))]
mod util;
mod wire;
#[cfg(not(feature = "streams"))]
mod without_streams;
