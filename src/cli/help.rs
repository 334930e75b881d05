//! The pages that `--help` shows.

use crate::command::{Action, Command, SHARED, option};

/// What the page of a command that talks to a server ends with.
const ENDS: &str = "
Exits with 0 if it is done; with 1 if the server refuses, something fails, is
not found or takes too long; with 2 if the command line makes no sense or
there is no server.
";

/// The program: what its commands are.
pub(crate) fn page(commands: &[&Command]) -> String {
    let mut out = String::from(
        "Usage: midge [COMMAND] [options]

midge, a NATS-compatible pub/sub server small enough for the edge. Without a
command it serves.

Commands:
",
    );
    for command in commands {
        push_entry(&mut out, command.name, command.about);
    }
    out.push_str("\nmidge COMMAND --help has the options of each.\n");
    out
}

/// A command with several actions: what they are.
pub(crate) fn command_page(command: &Command) -> String {
    let mut out = String::new();
    push(
        &mut out,
        &["Usage: midge ", command.name, " ACTION [options]\n\n"],
    );
    push(&mut out, &[command.about, "\n\nActions:\n"]);
    for action in command.actions {
        let mut call = action.name.to_owned();
        if !action.places.is_empty() {
            push(&mut call, &[" ", action.places]);
        }
        push_entry(&mut out, &call, action.about);
    }
    push(
        &mut out,
        &[
            "\nmidge ",
            command.name,
            " ACTION --help has the options of each.\n",
        ],
    );
    out.push_str("\nExamples:\n");
    for action in command.actions {
        push_lines(&mut out, action.example.lines().take(1));
    }
    out.push_str(ENDS);
    out
}

/// An action: all it takes.
pub(crate) fn action_page(command: &Command, action: &Action) -> String {
    let mut out = String::new();
    push(&mut out, &["Usage: midge ", command.name]);
    for word in [action.name, action.places, "[options]\n\n"] {
        if !word.is_empty() {
            push(&mut out, &[" ", word]);
        }
    }
    push(&mut out, &[action.about, "\n"]);
    let mut title = "\nOptions:\n";
    for block in action.options {
        push(&mut out, &[std::mem::take(&mut title), block, "\n"]);
    }
    if !action.is_local() {
        push_shared(&mut out, action);
    }
    out.push_str("\nExamples:\n");
    push_lines(&mut out, action.example.lines());
    if !action.is_local() {
        out.push_str(ENDS);
    }
    out
}

/// The shared options, but for those that mean something of its own here.
fn push_shared(out: &mut String, action: &Action) {
    out.push_str("\nOf all commands:\n");
    let own = |name: &str| {
        let lines = action.options.iter().flat_map(|block| block.lines());
        lines
            .filter_map(option)
            .any(|option| option.is_called(name))
    };
    let mut is_shown = true;
    for line in SHARED.iter().flat_map(|block| block.lines()) {
        if let Some(option) = option(line) {
            is_shown = !own(option.name);
        }
        if is_shown {
            push(out, &[line, "\n"]);
        }
    }
}

/// A name and what it stands for, on lines of their own if the name is long.
fn push_entry(out: &mut String, name: &str, about: &str) {
    // Most names are shorter.
    const WIDTH: usize = 18;
    push(out, &["  ", name]);
    if name.len() >= WIDTH {
        out.push_str("\n  ");
    }
    let blanks = match name.len() {
        len if len < WIDTH => WIDTH - len,
        _ => WIDTH,
    };
    out.extend(std::iter::repeat_n(' ', blanks));
    push(out, &[about, "\n"]);
}

fn push_lines<'a>(out: &mut String, lines: impl Iterator<Item = &'a str>) {
    for line in lines {
        push(out, &["  ", line, "\n"]);
    }
}

fn push(out: &mut String, parts: &[&str]) {
    for part in parts {
        out.push_str(part);
    }
}
