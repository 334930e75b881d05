//! What the server's log looks like, and where it goes.

use env_logger::Target;
use log::{Level, LevelFilter};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the last words of a server that cannot go on are logged for.
pub(crate) const FATAL: &str = "fatal";

/// Sends the log to a file, or else to stderr, one line each: process, time,
/// level, words. `RUST_LOG` overrides the level.
///
/// # Errors
/// A file that cannot be written, in words.
pub(crate) fn start(level: LevelFilter, file: Option<PathBuf>) -> Result<(), String> {
    let pid = std::process::id();
    let target = match file {
        None => Target::Stderr,
        Some(path) => {
            let log = LogFile::open(path.clone());
            let log = log.map_err(|error| format!("cannot log to {}: {error}", path.display()))?;
            Target::Pipe(Box::new(log))
        }
    };
    env_logger::Builder::new()
        .filter_level(level)
        // What it says at each event is for its own makers.
        .filter_module("mio", LevelFilter::Info)
        .parse_default_env()
        .target(target)
        .format(move |out, record| {
            let time = humantime::format_rfc3339_micros(std::time::SystemTime::now());
            let level = match record.level() {
                Level::Error if record.target() == FATAL => "FTL",
                Level::Error => "ERR",
                Level::Warn => "WRN",
                Level::Info => "INF",
                Level::Debug => "DBG",
                Level::Trace => "TRC",
            };
            writeln!(out, "[{pid}] {time} [{level}] {}", record.args())
        })
        .init();
    Ok(())
}

/// A file that is opened again when SIGUSR1 asks for it, after somebody has
/// moved the old one away.
struct LogFile {
    path: PathBuf,
    file: File,
    is_moved: Arc<AtomicBool>,
}

impl LogFile {
    fn open(path: PathBuf) -> io::Result<LogFile> {
        let is_moved = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGUSR1, is_moved.clone())?;
        Ok(LogFile {
            file: append(&path)?,
            path,
            is_moved,
        })
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // If it cannot be opened the old one is better than none.
        if self.is_moved.swap(false, Ordering::Relaxed)
            && let Ok(file) = append(&self.path)
        {
            self.file = file;
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
