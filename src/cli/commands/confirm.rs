//! Asking a person before something is gone for good.

use crate::arguments::Arguments;
use crate::failure::Failure;
use std::io::{self, BufRead, IsTerminal, Write};

/// The option that stands for the answer.
pub(crate) const FORCE: &str =
    "  --force                do not ask, which is needed where nobody can be asked";

/// Goes on if that is meant: with `--force`, or by the word of a person.
pub(crate) fn confirm(arguments: &Arguments, what: &str) -> Result<(), Failure> {
    if arguments.has("force") {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        let words = format!("{what}: nobody can be asked whether that is meant; --force does it");
        return Err(Failure::usage(words));
    }
    let _ = write!(io::stderr(), "{what}? yes or no: ");
    let mut answer = String::new();
    // What cannot be read is no yes.
    let _ = io::stdin().lock().read_line(&mut answer);
    match answer.trim() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::refused("nothing was done")),
    }
}
