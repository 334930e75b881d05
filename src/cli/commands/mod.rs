//! The commands that talk to a server, and how one of them is run.
//!
//! A command is a file here with its declaration ([`command`]) and what its
//! actions do; [`COMMANDS`] has them all. What they share: [`arguments`] are
//! what was given, [`connection`] leads to the server, [`remote`] asks it in
//! JSON, [`output`] is stdout and stderr, [`failure`] makes the exit code.

mod acks;
mod age;
mod arguments;
mod backup;
mod bench;
mod block;
mod command;
mod completions;
mod confirm;
mod connection;
mod consumer;
mod dlq;
mod failure;
mod help;
mod kv;
mod kv_watch;
mod message;
mod next;
mod output;
mod pace;
mod payload;
mod printer;
mod program;
mod publish;
mod redrive;
mod remote;
mod replay;
mod request;
mod respond;
mod sampler;
mod screen;
mod settings;
mod show;
mod size;
mod spelling;
mod stored;
mod stream;
mod subscribe;
mod table;
mod template;
mod top;
mod why;

use arguments::{Arguments, take_action};
use command::Command;
use failure::{Failure, finish};
use spelling::nearest;
use std::process::ExitCode;

/// All of them, in the order in which they are shown.
const COMMANDS: [&Command; 13] = [
    &publish::COMMAND,
    &subscribe::COMMAND,
    &request::COMMAND,
    &respond::COMMAND,
    &stream::COMMAND,
    &consumer::COMMAND,
    &kv::COMMAND,
    &dlq::COMMAND,
    &why::COMMAND,
    &top::COMMAND,
    &bench::COMMAND,
    &backup::COMMAND,
    &completions::COMMAND,
];

/// Runs what the words ask for, unless that is one of the others that there
/// are, or no command.
pub(crate) fn run(words: &[&str], others: &[&'static str]) -> Option<ExitCode> {
    let (name, words) = words.split_first()?;
    if name.starts_with('-') || others.contains(name) {
        return None;
    }
    let words = words.iter().map(|&word| word.to_owned()).collect();
    let done = match COMMANDS.iter().find(|command| command.name == *name) {
        Some(command) => run_action(command, words),
        None => {
            let names = COMMANDS.iter().map(|command| command.name);
            let names = others.iter().copied().chain(names);
            let words = format!("there is no midge {name}") + &nearest(name, "", names);
            Err(Failure::usage(words).but("midge --help shows what there is"))
        }
    };
    Some(finish(done))
}

/// A line for each, for the page that has all commands.
pub(crate) fn list() -> String {
    let mut out = String::new();
    for command in COMMANDS {
        help::push_entry(&mut out, command.name, command.about);
    }
    out
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
