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

/// Why a command ends early.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    /// Empty if nobody is there to be told, or was told already.
    words: String,
}

impl Failure {
    /// The command line cannot be meant so, or leads nowhere.
    pub(crate) fn usage(words: impl Into<String>) -> Self {
        Failure {
            code: EXIT_USAGE,
            words: words.into(),
        }
    }

    /// It is not done.
    pub(crate) fn refused(words: impl Into<String>) -> Self {
        Failure {
            code: EXIT_FAILED,
            words: words.into(),
        }
    }

    /// It is not done, and that was said.
    pub(crate) fn told() -> Self {
        Failure::refused("")
    }

    /// Writing what was found out failed. Whoever hangs up has seen enough:
    /// that is no fault.
    pub(crate) fn write(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Failure {
                code: 0,
                words: String::new(),
            };
        }
        Failure::refused(format!("cannot write: {error}"))
    }

    /// The system has no thread for it.
    pub(crate) fn thread(error: &io::Error) -> Self {
        Failure::refused(format!("cannot start a thread: {error}"))
    }

    /// The same, with something that has to be known as well.
    pub(crate) fn but(mut self, words: &str) -> Self {
        self.words.push('\n');
        self.words.push_str(words);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

/// Ends a command: 0 for what was done.
pub(crate) fn finish(done: Result<(), Failure>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.words.is_empty() {
                output::warn(&failure.words);
            }
            ExitCode::from(failure.code)
        }
    }
}
