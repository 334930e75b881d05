//! From the command line to what it asks for.
//!
//! Owns the words of the `midge` command: its options, what is printed, exit
//! codes. It is a package of its own so that it can be built for size; what it
//! calls is built for speed.
//!
//! A command is declared (`command`) in the file that has what its actions
//! do; `COMMANDS` has them all. What they share: `arguments` are what was
//! given, `output` is stdout and stderr, `failure` makes the exit code.

// Without streams there is `serve` alone, which needs little of this.
#![cfg_attr(not(feature = "streams"), allow(dead_code))]

mod allocator;
mod arguments;
mod command;
#[cfg(feature = "streams")]
mod commands;
mod failure;
mod help;
mod logging;
mod nats_server;
mod output;
mod program_pages;
#[cfg(feature = "streams")]
mod progress;
#[cfg(feature = "streams")]
mod restore;
mod serve;
mod signs;
mod spelling;
#[cfg(feature = "streams")]
mod store;
mod units;

use arguments::{Arguments, take_action};
use command::Command;
use failure::{Failure, finish};
use spelling::nearest;
use std::process::ExitCode;

/// All of them, in the order in which they are shown.
#[cfg(feature = "streams")]
const COMMANDS: &[&Command] = &[
    &serve::COMMAND,
    &store::VERIFY,
    &store::COMPACT,
    &store::RECOVER,
    &restore::COMMAND,
    &commands::publish::COMMAND,
    &commands::subscribe::COMMAND,
    &commands::request::COMMAND,
    &commands::respond::COMMAND,
    &commands::stream::COMMAND,
    &commands::consumer::COMMAND,
    &commands::kv::COMMAND,
    &commands::dlq::COMMAND,
    &commands::why::COMMAND,
    &commands::top::COMMAND,
    &commands::bench::COMMAND,
    &commands::backup::COMMAND,
    &commands::completions::COMMAND,
];

#[cfg(not(feature = "streams"))]
const COMMANDS: &[&Command] = &[&serve::COMMAND];

/// Runs what the arguments ask for; the first of them is the program's name.
pub fn run(args: Vec<String>) -> ExitCode {
    let program = args.first().cloned().unwrap_or_default();
    let mut args: Vec<&str> = args.iter().map(String::as_str).skip(1).collect();
    if nats_server::is_meant(&program) {
        return nats_server::run(&args);
    }
    match args.first() {
        Some(&("--version" | "-V" | "-v")) => {
            return finish(output::print(concat!("midge ", env!("CARGO_PKG_VERSION"))));
        }
        Some(&"help") => {
            args.remove(0);
            args.push("--help");
        }
        _ => {}
    }
    match args.first() {
        Some(&("--help" | "-h")) => return finish(output::print(&help::page(COMMANDS))),
        // The plain command starts a server, with or without options.
        None => args.insert(0, serve::COMMAND.name),
        Some(first) if first.starts_with('-') => args.insert(0, serve::COMMAND.name),
        Some(_) => {}
    }
    finish(run_command(&args))
}

fn run_command(words: &[&str]) -> Result<(), Failure> {
    let (&name, words) = words.split_first().unwrap_or((&"", words));
    let words = words.iter().map(|&word| word.to_owned()).collect();
    match COMMANDS.iter().find(|command| command.name == name) {
        Some(command) => run_action(command, words),
        None => {
            let names = COMMANDS.iter().map(|command| command.name);
            let words = format!("there is no midge {name}") + &nearest(name, "", names);
            Err(Failure::usage(words).but("midge --help shows what there is"))
        }
    }
}

fn run_action(command: &'static Command, mut words: Vec<String>) -> Result<(), Failure> {
    let mut wants_help = asks_for_help(&words);
    let action = match take_action(command, &mut words) {
        Ok(Some(action)) => action,
        _ if wants_help => return output::print(&help::command_page(command)),
        Ok(None) => {
            let mut words = format!("midge {} does one of these:", command.name);
            for action in command.actions {
                words.push(' ');
                words.push_str(action.name);
            }
            return Err(hint(Failure::usage(words), command, ""));
        }
        Err(failure) => return Err(hint(failure, command, "")),
    };
    wants_help |= asks_for_help(&words);
    if wants_help {
        return output::print(&help::action_page(command, action));
    }
    let arguments =
        Arguments::parse(action, &words).map_err(|failure| hint(failure, command, action.name))?;
    (action.run)(&arguments)
}

/// What stands behind `--` is somebody's message.
fn asks_for_help(words: &[String]) -> bool {
    let mut options = words.iter().take_while(|word| *word != "--");
    options.any(|word| word == "--help") || words.first().is_some_and(|word| word == "-h")
}

/// Who has mistyped something is told where to look.
fn hint(failure: Failure, command: &Command, action: &str) -> Failure {
    let blank = if action.is_empty() { "" } else { " " };
    let name = command.name;
    failure.but(&format!(
        "midge {name}{blank}{action} --help shows what there is"
    ))
}
