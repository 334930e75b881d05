//! Runs midge and every peer found on this machine in turn, in the same run,
//! and prints what each of them did and what it cost.
//!
//! This file only decides what the process is: the load generator itself, or
//! one of the small processes it starts from its own executable: the [`guard`]
//! which keeps a server, the sweeper of the [`place`] where servers store, and
//! the [`relay`] which is the limit.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod cases;
mod connection;
mod crowd;
mod figures;
mod flow;
mod footprint;
mod guard;
#[allow(dead_code)] // Merging is for `midge bench`.
#[path = "../../src/cli/commands/bench/histogram.rs"]
mod histogram;
mod ledger;
mod meter;
mod options;
mod own_client;
mod peer;
mod place;
mod proc;
mod relay;
mod rounds;
mod roundtrip;
mod server;
mod streams;
mod table;
mod throughput;
mod traffic;
mod wire;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;
use std::rc::Rc;

use cases::{Case, Counts, Scale};
use options::{Options, Request};
use peer::Kind;
use place::Place;
use table::Circumstances;

/// The load average below which the machine counts as left to us.
const QUIET: f64 = 0.5;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let outcome = match args.first().and_then(|first| first.to_str()) {
        Some(guard::SUBCOMMAND) => guard::run(&args[1..]).map(|()| true),
        Some(place::SUBCOMMAND) => place::run(&args[1..]).map(|()| true),
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
            for case in cases::all(Scale::Full, Counts::of(Scale::Full)) {
                println!("{:14} {}", case.name, case.title);
            }
            Ok(true)
        }
        Request::Run(options) => run(&options),
    }
}

fn run(options: &Options) -> io::Result<bool> {
    let scale = if options.quick {
        Scale::Quick
    } else {
        Scale::Full
    };
    let mut counts = Counts::of(scale);
    counts.messages = options.messages.unwrap_or(counts.messages);
    counts.stored = options.stored.unwrap_or(counts.stored);
    let cases = selected(cases::all(scale, counts), &options.only)?;

    let busy = proc::load_average()?;
    if busy > QUIET {
        eprintln!(
            "warning: load average {busy:.2}: this machine does other work, and figures will tell of it"
        );
    }
    let place = Rc::new(Place::new(&options.dir)?);
    let (mut peers, skipped) = peer::find(options, &place)?;
    for reason in skipped {
        eprintln!("skipped: {reason}");
    }
    let circumstances = Circumstances {
        versions: rounds::versions(&mut peers)?,
        busy,
        filesystem: place.filesystem(),
        sync: place.time_of_a_sync()?,
        duration: options.duration,
        rounds: options.rounds,
    };
    for peer in peers.iter().filter(|peer| !peer.has_streams()) {
        let name = peer.kind().name();
        if peer.kind() != Kind::Relay {
            eprintln!("skipped: {name} says that it has no streams, so it has no cases of storing");
        }
    }
    let results = rounds::play(&peers, &cases, options);
    println!("{}", table::preamble(&circumstances));
    print!("{}", table::render(&results, options.markdown));
    Ok(results.iter().all(|result| result.failures.is_empty()))
}

/// The cases named by `--only`, or all of them.
fn selected(cases: Vec<Case>, only: &[String]) -> io::Result<Vec<Case>> {
    for name in only {
        if !cases.iter().any(|case| named(case, name)) {
            return Err(io::Error::other(format!(
                "there is no case named {name}; --list shows them"
            )));
        }
    }
    Ok(cases
        .into_iter()
        .filter(|case| only.is_empty() || only.iter().any(|name| named(case, name)))
        .collect())
}

/// Whether it is this case that is called so, or one of those.
fn named(case: &Case, name: &str) -> bool {
    match name.strip_suffix('*') {
        Some(beginning) => case.name.starts_with(beginning),
        None => case.name == name,
    }
}
