//! The `midge` command.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    // What is no text cannot be a flag of ours; it is refused like any other.
    let args = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned());
    midge_cli::run(args.collect())
}
