//! How a command ends: done, or why not.

use super::output;
use crate::EXIT_USAGE;
use midge_client::Error;
use std::fmt;
use std::io;
use std::process::ExitCode;

/// Exit code when the server refused, or something was not done or not there.
const EXIT_FAILED: u8 = 1;

/// Why a command ends early.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    /// Empty if nobody is there to be told.
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

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let words = error.to_string();
        match error {
            // That is how somebody wrote it.
            Error::Subject(_) | Error::Filter(_) | Error::Header(_) | Error::Key(_) => {
                Failure::usage(words)
            }
            _ => Failure::refused(words),
        }
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
