//! What the server's log looks like.

use log::{Level, LevelFilter};
use std::io::Write;

/// Sends the log to stderr, one line each: process, time, level, words.
/// `RUST_LOG` overrides the level.
pub(crate) fn start(level: LevelFilter) {
    let pid = std::process::id();
    env_logger::Builder::new()
        .filter_level(level)
        .parse_default_env()
        .format(move |out, record| {
            let time = humantime::format_rfc3339_micros(std::time::SystemTime::now());
            let level = match record.level() {
                Level::Error => "ERR",
                Level::Warn => "WRN",
                Level::Info => "INF",
                Level::Debug => "DBG",
                Level::Trace => "TRC",
            };
            writeln!(out, "[{pid}] {time} [{level}] {}", record.args())
        })
        .init();
}
