//! From the command line to what it asks for.
//!
//! Owns the words of the `midge` command: its options, what is printed, exit
//! codes. It is a package of its own so that it can be built for size; what it
//! calls is built for speed.

mod allocator;
#[cfg(feature = "streams")]
mod commands;
mod logging;
mod nats_server;
#[cfg(feature = "streams")]
mod progress;
#[cfg(feature = "streams")]
mod restore;
mod serve;
mod signs;
#[cfg(feature = "streams")]
mod store;
mod units;

#[cfg(feature = "streams")]
use argh::SubCommands;
use argh::{EarlyExit, FromArgs};
use std::io::{self, Write};
use std::process::ExitCode;

/// Exit code when the answer could not be written.
const EXIT_UNSAID: u8 = 1;

/// Exit code for a command line that cannot be understood, or that leads to no
/// server.
const EXIT_USAGE: u8 = 2;

#[cfg(feature = "streams")]
/// Exit code for a store in which something is damaged.
const EXIT_DAMAGE: u8 = 1;

/// midge, a NATS-compatible pub/sub server small enough for the edge.
/// Without a command it serves.
#[derive(FromArgs)]
struct Midge {
    #[argh(subcommand)]
    command: Command,
}

#[derive(FromArgs)]
#[argh(subcommand)]
#[allow(clippy::large_enum_variant)] // There is one, for a moment.
enum Command {
    Serve(serve::Serve),
    #[cfg(feature = "streams")]
    Verify(store::Verify),
    #[cfg(feature = "streams")]
    Compact(store::Compact),
    #[cfg(feature = "streams")]
    Recover(store::Recover),
    #[cfg(feature = "streams")]
    Restore(restore::Restore),
}

/// Runs what the arguments ask for; the first of them is the program's name.
pub fn run(args: Vec<String>) -> ExitCode {
    let program = args.first().cloned().unwrap_or_default();
    let mut args: Vec<&str> = args.iter().map(String::as_str).skip(1).collect();
    if nats_server::is_meant(&program) {
        return nats_server::run(&args);
    }
    match args.first() {
        Some(&("--version" | "-V" | "-v")) => {
            return say(
                concat!("midge ", env!("CARGO_PKG_VERSION")),
                ExitCode::SUCCESS,
            );
        }
        // The plain command starts a server, with or without options.
        None => args.insert(0, "serve"),
        Some(&"help") => {
            args.remove(0);
            args.push("--help");
        }
        Some(first) if first.starts_with('-') && !matches!(*first, "--help" | "-h") => {
            args.insert(0, "serve");
        }
        Some(_) => {}
    }
    #[cfg(feature = "streams")]
    if let Some(done) = commands::run(&args, &local_names()) {
        return done;
    }
    run_local(&args)
}

/// The commands that need no server.
#[cfg(feature = "streams")]
fn local_names() -> Vec<&'static str> {
    let commands = <Command as SubCommands>::COMMANDS;
    commands.iter().map(|command| command.name).collect()
}

/// What such a command says of itself.
#[cfg(feature = "streams")]
fn local_help(name: &str) -> String {
    match Midge::from_args(&["midge"], &[name, "--help"]) {
        Err(page) => page.output,
        Ok(_) => String::new(),
    }
}

/// Runs a command that needs no server.
fn run_local(args: &[&str]) -> ExitCode {
    match Midge::from_args(&["midge"], args) {
        Ok(Midge { command }) => match command {
            Command::Serve(serve) => serve.run(),
            #[cfg(feature = "streams")]
            Command::Verify(verify) => verify.run(),
            #[cfg(feature = "streams")]
            Command::Compact(compact) => compact.run(),
            #[cfg(feature = "streams")]
            Command::Recover(recover) => recover.run(),
            #[cfg(feature = "streams")]
            Command::Restore(restore) => restore.run(),
        },
        Err(EarlyExit {
            output,
            status: Ok(()),
        }) => {
            let page = output.trim_end();
            #[cfg(feature = "streams")]
            if matches!(args, ["--help" | "-h"]) {
                let page = format!("{page}\n{}", commands::list());
                return say(&page, ExitCode::SUCCESS);
            }
            say(page, ExitCode::SUCCESS)
        }
        Err(EarlyExit { output, .. }) => {
            complain(&format!(
                "{}\nrun midge --help for what there is",
                output.trim_end()
            ));
            ExitCode::from(EXIT_USAGE)
        }
    }
}

/// Writes a line to stdout and ends with this code. Whoever hangs up has seen
/// enough; what cannot be written for another reason was not said.
fn say(words: &str, code: ExitCode) -> ExitCode {
    let line = format!("{words}\n");
    let mut out = io::stdout().lock();
    match out.write_all(line.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(&format!("cannot write: {error}"));
            ExitCode::from(EXIT_UNSAID)
        }
        _ => code,
    }
}

/// Says something on stderr. If nobody reads that, nobody needs it.
fn complain(words: &str) {
    let _ = writeln!(io::stderr(), "{words}");
}
