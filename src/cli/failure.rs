//! How a command ends: done, or why not.

use crate::output;
use std::fmt;
use std::io;
use std::process::ExitCode;

/// Exit code for a command line that cannot be understood, or that leads to no
/// server.
pub(crate) const EXIT_USAGE: u8 = 2;

/// Exit code when the server refused, or something was not done or not there.
const EXIT_FAILED: u8 = 1;

/// Why a command ends early. In a box, since all that a command does may come to
/// it: what is handed on in so many places is a pointer.
#[derive(Debug)]
pub(crate) struct Failure(Box<Reason>);

#[derive(Debug)]
struct Reason {
    code: u8,
    /// Empty if nobody is there to be told, or was told already.
    words: String,
}

impl Failure {
    fn new(code: u8, words: String) -> Self {
        Failure(Box::new(Reason { code, words }))
    }

    /// The command line cannot be meant so, or leads nowhere.
    pub(crate) fn usage(words: impl Into<String>) -> Self {
        Failure::new(EXIT_USAGE, words.into())
    }

    /// It is not done.
    pub(crate) fn refused(words: impl Into<String>) -> Self {
        Failure::new(EXIT_FAILED, words.into())
    }

    /// It is not done, and that was said.
    pub(crate) fn told() -> Self {
        Failure::refused("")
    }

    /// Writing what was found out failed. Whoever hangs up has seen enough:
    /// that is no fault.
    pub(crate) fn write(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Failure::new(0, String::new());
        }
        Failure::refused(format!("cannot write: {error}"))
    }

    /// The system has no thread for it.
    pub(crate) fn thread(error: &io::Error) -> Self {
        Failure::refused(format!("cannot start a thread: {error}"))
    }

    /// The same, with something that has to be known as well.
    pub(crate) fn but(mut self, words: &str) -> Self {
        self.0.words.push('\n');
        self.0.words.push_str(words);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.words)
    }
}

/// Ends a command: 0 for what was done.
pub(crate) fn finish(done: Result<(), Failure>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.0.words.is_empty() {
                output::warn(&failure.0.words);
            }
            ExitCode::from(failure.0.code)
        }
    }
}
