//! A terminal that is drawn on again and again, and what comes from it.
//!
//! Owns the ways in which such a thing can end: whatever happens, the terminal
//! is as it was before.

use super::sampler::Sample;
use crate::failure::Failure;
use crate::output;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGWINCH};
use std::io::{self, IsTerminal, Read};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Another screen, and no cursor on it; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// To the upper left; the rest of a line wiped; the rest of the screen.
const HOME: &str = "\x1b[H";
const WIPE_LINE: &str = "\x1b[K";
const WIPE: &str = "\x1b[J";

/// What a terminal is taken for that does not say.
const SIZE_DEFAULT: (usize, usize) = (24, 80);

/// Events that wait while one is drawn: a terminal that stands still holds up
/// the samples, which are large.
const WAITING_MAX: usize = 4;

/// Something that changes what is shown.
#[derive(Debug)]
pub(crate) enum Event {
    /// A key was pressed.
    Key(u8),
    /// The terminal has another size.
    Resized,
    /// Ctrl-C, or somebody else ends it.
    End,
    /// The server was looked at.
    Sample(Sample),
    /// It could not be, and why.
    Trouble(String),
}

/// What has happened and was not looked at yet. The library's channels do more
/// and are ten times as large.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    events: Mutex<Vec<Event>>,
    changed: Condvar,
}

impl Inbox {
    /// Adds one; waits while it is full.
    pub(crate) fn push(&self, event: Event) {
        let events = self.events.lock();
        let mut events = events.unwrap_or_else(PoisonError::into_inner);
        while events.len() >= WAITING_MAX {
            let waited = self.changed.wait(events);
            events = waited.unwrap_or_else(PoisonError::into_inner);
        }
        events.push(event);
        self.changed.notify_all();
    }

    /// The next one; waits for it.
    pub(crate) fn take(&self) -> Event {
        let events = self.events.lock();
        let mut events = events.unwrap_or_else(PoisonError::into_inner);
        loop {
            // There are few.
            if !events.is_empty() {
                self.changed.notify_all();
                return events.remove(0);
            }
            let waited = self.changed.wait(events);
            events = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A terminal in use. It is given back when this is dropped.
pub(crate) struct Screen {
    /// How stdin was; nothing if that is no terminal.
    before: Option<Termios>,
}

impl Screen {
    /// Takes the terminal; what comes from it goes to the inbox.
    pub(crate) fn open(events: &Arc<Inbox>) -> Result<Screen, Failure> {
        let ends = signals(&[SIGINT, SIGTERM, SIGHUP])?;
        pass_on(ends, |_| Event::End, events)?;
        pass_on(signals(&[SIGWINCH])?, |_| Event::Resized, events)?;
        let before = match io::stdin().is_terminal() {
            true => tcgetattr(io::stdin()).ok(),
            false => None,
        };
        let screen = Screen { before };
        if let Some(before) = &screen.before {
            let mut modes = before.clone();
            // Keys come at once and are not shown. Ctrl-C stays a signal.
            modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &modes);
            pass_on(Box::new(io::stdin()), Event::Key, events)?;
        }
        output::write(ENTER.as_bytes())?;
        Ok(screen)
    }

    /// Lines and columns.
    pub(crate) fn size(&self) -> (usize, usize) {
        match tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_row > 0 && size.ws_col > 0 => {
                (size.ws_row.into(), size.ws_col.into())
            }
            _ => SIZE_DEFAULT,
        }
    }

    /// Draws this over what was there, as much of it as fits.
    pub(crate) fn draw(&self, text: &str) -> Result<(), Failure> {
        let (lines, columns) = self.size();
        let mut out = HOME.to_owned();
        for (place, line) in text.lines().take(lines).enumerate() {
            // A line end behind the last one would move all of them.
            out.push_str(if place > 0 { "\r\n" } else { "" });
            out.extend(line.chars().take(columns));
            out.push_str(WIPE_LINE);
        }
        out.push_str(WIPE);
        output::write(out.as_bytes())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = output::write(LEAVE.as_bytes());
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// A socket that has a byte for each of these signals.
fn signals(signals: &[i32]) -> Result<Box<UnixStream>, Failure> {
    let failed = |error| Failure::refused(format!("cannot wait for signals: {error}"));
    let (receiver, sender) = UnixStream::pair().map_err(failed)?;
    for &signal in signals {
        let sender = sender.try_clone().map_err(failed)?;
        signal_hook::low_level::pipe::register(signal, sender).map_err(failed)?;
    }
    Ok(Box::new(receiver))
}

/// Makes events of bytes, on a thread that ends with the program.
fn pass_on(
    mut from: Box<dyn Read + Send>,
    event: fn(u8) -> Event,
    events: &Arc<Inbox>,
) -> Result<(), Failure> {
    let events = events.clone();
    let thread = std::thread::Builder::new().spawn(move || {
        let mut byte = [0];
        while from.read_exact(&mut byte).is_ok() {
            events.push(event(byte[0]));
        }
    });
    match thread {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::thread(&error)),
    }
}
