//! What the server's log looks like, and where it goes.

use log::{Level, LevelFilter, Log, Metadata, Record};
use midge_conf::{LogFormat, LogSettings};
use midge_proto::JsonWriter;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// What the last words of a server that cannot go on are logged for.
pub(crate) const FATAL: &str = "fatal";

/// The variable that goes before the level of the configuration.
const LEVEL_VARIABLE: &str = "RUST_LOG";

/// Where the log goes and how much of it, which may change.
pub(crate) struct Logging {
    place: Arc<Mutex<Place>>,
    /// Set when SIGUSR1 has asked for the file to be opened again.
    is_moved: Arc<AtomicBool>,
    /// The environment says how much.
    level: Option<LevelFilter>,
}

struct Place {
    is_json: bool,
    /// Else it goes to stderr.
    file: Option<LogFile>,
}

impl Logging {
    /// Sends the log to a file, or else to stderr, one line each: process,
    /// time, level, words; or the same as an object of JSON.
    ///
    /// # Errors
    /// A file that cannot be written, in words.
    pub(crate) fn start(level: LevelFilter, settings: &LogSettings) -> Result<Logging, String> {
        let is_moved = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGUSR1, is_moved.clone())
            .map_err(|error| format!("cannot catch SIGUSR1: {error}"))?;
        let named = std::env::var(LEVEL_VARIABLE).ok();
        let place = Arc::new(Mutex::new(Place::open(settings, &is_moved)?));
        let logger = Logger {
            pid: std::process::id(),
            place: place.clone(),
        };
        let logging = Logging {
            place,
            is_moved,
            level: named.and_then(|name| name.parse().ok()),
        };
        log::set_boxed_logger(Box::new(logger)).map_err(|error| error.to_string())?;
        log::set_max_level(logging.level.unwrap_or(level));
        Ok(logging)
    }

    /// Goes by other settings from now on.
    ///
    /// # Errors
    /// A file that cannot be written, in words; nothing has changed then.
    pub(crate) fn change(&self, level: LevelFilter, settings: &LogSettings) -> Result<(), String> {
        let new = Place::open(settings, &self.is_moved)?;
        *lock(&self.place) = new;
        log::set_max_level(self.level.unwrap_or(level));
        Ok(())
    }
}

impl Place {
    fn open(settings: &LogSettings, is_moved: &Arc<AtomicBool>) -> Result<Place, String> {
        let open = |path: &PathBuf| {
            let opened = LogFile::open(settings, path, is_moved.clone());
            opened.map_err(|error| format!("cannot log to {}: {error}", path.display()))
        };
        Ok(Place {
            is_json: settings.format == LogFormat::Json,
            file: settings.file.as_ref().map(open).transpose()?,
        })
    }
}

fn lock(place: &Mutex<Place>) -> MutexGuard<'_, Place> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Logger {
    pid: u32,
    place: Arc<Mutex<Place>>,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // What it says at each event is for its own makers.
        metadata.level() <= Level::Info || !metadata.target().starts_with("mio")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut place = lock(&self.place);
        let mut line = self.line(record, place.is_json);
        line.push(b'\n');
        // Where should it be said that nothing can be said?
        let _ = match &mut place.file {
            None => io::stderr().write_all(&line),
            Some(file) => file.append(&line),
        };
    }

    fn flush(&self) {}
}

impl Logger {
    fn line(&self, record: &Record<'_>, is_json: bool) -> Vec<u8> {
        let time = humantime::format_rfc3339_micros(SystemTime::now());
        let (short, long) = match record.level() {
            Level::Error if record.target() == FATAL => ("FTL", "fatal"),
            Level::Error => ("ERR", "error"),
            Level::Warn => ("WRN", "warn"),
            Level::Info => ("INF", "info"),
            Level::Debug => ("DBG", "debug"),
            Level::Trace => ("TRC", "trace"),
        };
        let (pid, words) = (self.pid, record.args());
        if !is_json {
            return format!("[{pid}] {time} [{short}] {words}").into_bytes();
        }
        let mut json = JsonWriter::new();
        json.open_object();
        json.key("time");
        json.display(&time);
        json.string_field("level", long);
        json.uint_field("pid", pid.into());
        json.key("message");
        json.display(words);
        json.close_object();
        json.into_bytes()
    }
}

/// A file that is opened again when SIGUSR1 asks for it, after somebody has
/// moved the old one away, and that is moved away here once it is too long.
struct LogFile {
    path: PathBuf,
    file: File,
    is_moved: Arc<AtomicBool>,
    len: u64,
    len_max: u64,
    /// Files moved away that are kept; 0 for all.
    kept_max: usize,
}

impl LogFile {
    fn open(settings: &LogSettings, path: &Path, is_moved: Arc<AtomicBool>) -> io::Result<LogFile> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(LogFile {
            len: file.metadata()?.len(),
            file,
            path: path.to_owned(),
            is_moved,
            len_max: settings.len_max.unwrap_or(u64::MAX),
            kept_max: settings.kept_max,
        })
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        // If another cannot be had the old one is better than none.
        if self.is_moved.swap(false, Ordering::Relaxed) {
            let _ = self.reopen();
        } else if self.len > 0 && self.len + line.len() as u64 > self.len_max {
            let _ = self.rotate();
        }
        self.len += line.len() as u64;
        self.file.write_all(line)
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)?;
        self.len = self.file.metadata()?.len();
        Ok(())
    }

    /// Moves the file away under a name with the time, as nats-server does.
    fn rotate(&mut self) -> io::Result<()> {
        let time = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
        let time = time.trim_end_matches('Z').replace(['-', 'T', ':'], ".");
        debug_assert!(is_time(&time));
        let mut old = self.path.clone().into_os_string();
        let _ = write!(old, ".{time}");
        let moved = fs::rename(&self.path, &old);
        // It may be gone since it could not be opened the last time.
        self.reopen()?;
        moved?;
        if self.kept_max > 0 {
            self.forget_oldest()
        } else {
            Ok(())
        }
    }

    /// Removes those that were moved away longest ago.
    fn forget_oldest(&self) -> io::Result<()> {
        let folder = self
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let mut old: Vec<PathBuf> = fs::read_dir(folder.unwrap_or(Path::new(".")))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                let old = path.file_name().unwrap_or_default().to_string_lossy();
                let rest = old.strip_prefix(&*name);
                rest.and_then(|rest| rest.strip_prefix('.'))
                    .is_some_and(is_time)
            })
            .collect();
        while old.len() > self.kept_max {
            // Their names have the time in them.
            let oldest = (0..old.len()).min_by_key(|at| &old[*at]);
            fs::remove_file(old.swap_remove(oldest.unwrap_or_default()))?;
        }
        Ok(())
    }
}

/// Whether the name of a file that was moved away ends so: what else lies there
/// is somebody else's.
fn is_time(text: &str) -> bool {
    let shape = "0000.00.00.00.00.00.000000";
    let fits = |(byte, like): (u8, u8)| match like {
        b'0' => byte.is_ascii_digit(),
        _ => byte == like,
    };
    text.len() == shape.len() && text.bytes().zip(shape.bytes()).all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_moved_away_here_is_forgotten() {
        for (text, wanted) in [
            ("2026.11.23.01.49.17.123456", true),
            ("2026.11.23.01.49.17.123456.gz", false),
            ("2026-11-23.01.49.17.123456", false),
            ("2", false),
            ("2.old", false),
            ("", false),
        ] {
            assert_eq!(is_time(text), wanted, "{text}");
        }
    }

    #[test]
    fn a_log_that_was_lost_is_begun_again() {
        let folder = std::env::temp_dir().join(format!("midge-lost-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("log");
        let settings = LogSettings {
            len_max: Some(10),
            kept_max: 1,
            ..LogSettings::default()
        };
        let mut log = LogFile::open(&settings, &path, Arc::default()).unwrap();
        log.append(b"12345678").unwrap();
        // As if it had been moved away and another could not be opened.
        fs::remove_file(&path).unwrap();
        log.append(b"abcdefgh").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"abcdefgh");
        let _ = fs::remove_dir_all(&folder);
    }
}
