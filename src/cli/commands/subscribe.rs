//! `midge sub`: messages as they come, or as a stream has them.

use super::connection::{complaint, connect_lasting, tell_events};
use super::printer::{self, Printer};
use super::replay::{self, Next, Replay};
use crate::arguments::Arguments;
use crate::command::{Action, Command};
use crate::failure::Failure;
use crate::output::warn;
use midge_client::{Client, Message, Subscription, TIMEOUT_DEFAULT};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

pub(crate) const COMMAND: Command = Command {
    name: "sub",
    about: "show messages as they come, or replay those of a stream",
    actions: &[Action {
        name: "",
        places: "[SUBJECT...]",
        about: "Show messages as they come: * stands for one token, > for all that follow.
A broken connection is made again.",
        options: &[
            "  --queue GROUP          share them with the others of a group
  --count N              end after so many",
            printer::OPTIONS,
            "  --timeout DURATION     end when nothing has come for so long; with --count
                         that is 1 as exit code",
            replay::OPTIONS,
        ],
        example: "midge sub 'greet.*'
midge sub jobs.new --queue workers --count 1 --timeout 10s --raw
midge sub --stream ORDERS --since 1h --to-end --json
midge sub 'orders.eu.>' 'orders.us.>' --stream ORDERS --new",
        run,
    }],
};

/// Messages of several subjects that wait to be shown. The subscriptions have
/// room for more.
const WAITING_MAX: usize = 64;

/// Where messages come from.
enum Source {
    Subjects(Receiver<Message>),
    Stream(Box<Replay>),
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut printer = Printer::new(arguments)?;
    let count = arguments.number("count").filter(|count| *count > 0);
    let is_replay = arguments.has("stream");
    if !is_replay && !arguments.has("subject") {
        return Err(Failure::usage("a subject is missing, or --stream"));
    }
    if !is_replay && arguments.has_any(replay::NAMES) {
        return Err(Failure::usage("where to begin goes with --stream"));
    }
    if is_replay && arguments.has("queue") {
        return Err(Failure::usage("--queue goes without --stream"));
    }
    let client = connect_lasting(arguments, TIMEOUT_DEFAULT)?;
    let mut source = if is_replay {
        Source::Stream(Box::new(Replay::open(&client, arguments)?))
    } else {
        Source::Subjects(listen(&client, arguments, count)?)
    };
    tell_events(&client)?;
    let idle = arguments.duration("timeout").unwrap_or(Duration::MAX);
    let mut left = count.unwrap_or(u64::MAX);
    while left > 0 && source.show_next(&mut printer, idle)? {
        left -= 1;
    }
    printer.flush()?;
    match count {
        Some(count) if left > 0 => Err(Failure::refused(format!(
            "{} of {count} messages came",
            count - left
        ))),
        _ => Ok(()),
    }
}

impl Source {
    /// Shows the next message, with all that were shown before if it does not
    /// come at once; false if there is none.
    fn show_next(&mut self, printer: &mut Printer, idle: Duration) -> Result<bool, Failure> {
        for wait in [Duration::ZERO, idle] {
            match self {
                Source::Stream(replay) => match replay.next(wait)? {
                    Next::Message(message) => {
                        printer.show(&message, Some(message.metadata()))?;
                        return Ok(true);
                    }
                    Next::Nothing => {}
                    Next::End => return Ok(false),
                },
                Source::Subjects(messages) => match messages.recv_timeout(wait) {
                    Ok(message) => {
                        printer.show(&message, None)?;
                        return Ok(true);
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => {
                        return Err(Failure::refused("the connection is closed"));
                    }
                },
            }
            printer.flush()?;
        }
        Ok(false)
    }
}

/// Subscribes to all subjects, each with a thread that hands on.
fn listen(
    client: &Client,
    arguments: &Arguments,
    count: Option<u64>,
) -> Result<Receiver<Message>, Failure> {
    let (sender, receiver) = sync_channel(WAITING_MAX);
    let is_alone = arguments.texts("subject").count() == 1;
    let mut subscriptions = Vec::new();
    for subject in arguments.texts("subject") {
        let subscription = match arguments.text("queue") {
            Some(group) => client.queue_subscribe(subject, group)?,
            None => client.subscribe(subject)?,
        };
        // The others of the group get what comes after that.
        if let Some(count) = count.filter(|_| is_alone) {
            subscription.unsubscribe_after(count)?;
        }
        subscriptions.push(subscription);
    }
    client.flush(TIMEOUT_DEFAULT)?;
    complaint(client)?;
    for subscription in subscriptions {
        warn(&format!("subscribed to {}", subscription.subject()));
        hand_on(subscription, sender.clone())?;
    }
    Ok(receiver)
}

fn hand_on(subscription: Subscription, sender: SyncSender<Message>) -> Result<(), Failure> {
    let run = move || {
        for message in subscription {
            if sender.send(message).is_err() {
                return;
            }
        }
    };
    match std::thread::Builder::new().spawn(run) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::thread(&error)),
    }
}
