//! How far long work has come, for a person who waits for it.
//!
//! Owns the one bar that all commands draw. It appears on stderr, if that is
//! a terminal, and is wiped away at the end: what a command has to say comes
//! from the command. Pipes, files and programs see nothing of it.

use pbr::{ProgressBar, Units};
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// How often the bar is drawn at most: as often as an eye follows.
const DRAW_EVERY: Duration = Duration::from_millis(100);

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    /// Bytes, shown as KB, MB and so on.
    Bytes,
    /// Things, shown as their number.
    Things,
}

/// The bar, while the work goes on.
pub(crate) struct Progress {
    /// None where nobody would see it.
    bar: Option<ProgressBar<Terminal>>,
}

/// Where the bar is drawn. The library ends the program if it cannot write:
/// here a terminal that went away takes no more than the bar with it.
struct Terminal;

impl Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = io::stderr().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Progress {
    /// Begins with none done of `total`, which may be a guess.
    pub(crate) fn new(doing: &str, total: u64, count: Count) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let mut bar = ProgressBar::on(Terminal, total);
            bar.set_max_refresh_rate(Some(DRAW_EVERY));
            bar.message(&format!("{doing} "));
            bar.set_units(match count {
                Count::Bytes => Units::Bytes,
                Count::Things => Units::Default,
            });
            bar
        });
        Progress { bar }
    }

    /// Whether somebody sees it.
    pub(crate) fn is_shown(&self) -> bool {
        self.bar.is_some()
    }

    /// So much is done of so much; a guess at the total may be mended here.
    pub(crate) fn set(&mut self, done: u64, total: u64) {
        if let Some(bar) = &mut self.bar {
            bar.total = total.max(done);
            bar.set(done);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown() {
            // The line, from its beginning, wiped.
            let _ = io::stderr().write_all(b"\r\x1b[K");
        }
    }
}
