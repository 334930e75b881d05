//! What the tests of the command line share: running it to its end.

use crate::util::midge;
use std::process::{Command, Output, Stdio};

/// A command line for a server. There are blanks between its words; what
/// stands in single quotes is one word.
pub(crate) fn command(url: &str, args: &str) -> Command {
    let mut words: Vec<String> = Vec::new();
    for (place, part) in args.split('\'').enumerate() {
        if place % 2 == 1 {
            words.push(part.to_owned());
        } else if !args.contains('\'') {
            words.extend(part.split(' ').map(str::to_owned));
        } else {
            words.extend(part.split_ascii_whitespace().map(str::to_owned));
        }
    }
    let mut command = Command::new(midge());
    command.args(words).env("MIDGE_URL", url);
    command
}

/// How it ended, what it said, what it complained of.
#[track_caller]
pub(crate) fn run(url: &str, args: &str) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command(url, args).stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = status.code().expect("it ends by itself");
    (code, text(stdout), text(stderr))
}
