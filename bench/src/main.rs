//! Runs midge and every peer found on this machine in turn, in the same run,
//! and prints what each of them did and what it cost.
//!
//! This file only decides what the process is: the load generator itself, or
//! one of the two small processes it starts from its own executable, the
//! [`guard`] which keeps a server and the [`relay`] which is the limit.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod cases;
mod connection;
mod crowd;
mod figures;
mod flow;
mod footprint;
mod guard;
mod histogram;
mod ledger;
mod meter;
mod options;
mod peer;
mod proc;
mod relay;
mod rounds;
mod roundtrip;
mod server;
mod table;
mod throughput;
mod traffic;
mod wire;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use cases::Case;
use options::{Options, Request};

/// The load average below which the machine counts as left to us.
const QUIET: f64 = 0.5;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let outcome = match args.first().and_then(|first| first.to_str()) {
        Some(guard::SUBCOMMAND) => guard::run(&args[1..]).map(|()| true),
        Some(relay::SUBCOMMAND) => relay::run(&args[1..]).map(|()| true),
        _ => answer(&args),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("midge-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does what the command line asks; `Ok(false)` says that some case failed.
fn answer(args: &[OsString]) -> io::Result<bool> {
    match options::parse(args).map_err(io::Error::other)? {
        Request::Help => {
            print!("{}", options::HELP);
            Ok(true)
        }
        Request::List => {
            for case in cases::all(cases::Scale::Full) {
                println!("{:12} {}", case.name, case.title);
            }
            Ok(true)
        }
        Request::Run(options) => run(&options),
    }
}

fn run(options: &Options) -> io::Result<bool> {
    let (peers, skipped) = peer::find(options)?;
    for reason in skipped {
        eprintln!("skipped: {reason}");
    }
    let scale = if options.quick {
        cases::Scale::Quick
    } else {
        cases::Scale::Full
    };
    let cases = selected(cases::all(scale), &options.only)?;

    let busy = proc::load_average()?;
    if busy > QUIET {
        eprintln!(
            "warning: load average {busy:.2}: this machine does other work, and figures will tell of it"
        );
    }
    let versions = rounds::versions(&peers)?;
    let results = rounds::play(&peers, &cases, options);
    println!("{}", table::preamble(&versions, busy, options));
    print!("{}", table::render(&results, options.markdown));
    Ok(results.iter().all(|result| result.failures.is_empty()))
}

/// The cases named by `--only`, or all of them.
fn selected(cases: Vec<Case>, only: &[String]) -> io::Result<Vec<Case>> {
    for name in only {
        if !cases.iter().any(|case| case.name == name) {
            return Err(io::Error::other(format!(
                "there is no case named {name}; --list shows them"
            )));
        }
    }
    Ok(cases
        .into_iter()
        .filter(|case| only.is_empty() || only.iter().any(|name| name == case.name))
        .collect())
}
