//! `midge dlq`: looking at dead letters, sending them back, letting go of
//! them.

use crate::options::{Action, Options};
use crate::redrive;
use crate::remote::{Failure, QUESTION_TIMEOUT, Remote, WORK_TIMEOUT, array, finish, number};
use argh::FromArgs;
use std::process::ExitCode;

/// Dead letters that are asked for at a time, the most that the server gives.
const PAGE: u64 = 1000;

/// Dead letters that are listed where nothing else is said: some screens.
const LISTED: u64 = 100;

/// dead letters: messages that no consumer could deal with
#[derive(FromArgs)]
#[argh(
    subcommand,
    name = "dlq",
    note = "What can be done:
  ls                        list dead letters
  show SEQ                  what one says and how it died
  redrive                   send back to the consumers they died with, or to
                            their subjects where those are gone
  drop                      delete for good
  unpark STREAM CONSUMER    let keys go on that wait behind a dead letter
Which of them (ls, redrive, drop):
  --stream, --consumer      where they died
  --subject                 what they were published to, wildcards allowed
  --seq, --source-seq       the sequence as a dead letter, or in its stream
                            (the latter with unpark as well)
  --reason                  what the reason begins with: max_deliver,
                            terminated, expired, discarded
  --older-than 1h, --newer-than 1d
  --limit                   at most so many, 0 for all (ls: 100)
  --dlq                     stream that they are kept in (default: DLQ)
How:
  --from-seq                ls: begin there
  --dry-run                 redrive, drop: only count
  --all                     drop: needed where no filter is given
  --rate                    redrive: so many a second, showing how it goes;
                            Ctrl-C ends the showing and not the redrive
  --died-max                redrive: stop when so many died again (10)
  --id, --stop              redrive: show that one, or stop it
  --json                    print the answers as they came
  --server                  nats://[user:pass@]host[:4222]
                            (default: $MIDGE_URL or 127.0.0.1:4222)
Exits with 0 if it is done, with 1 if the server refused or something was not
done, with 2 if there is no server or the command makes no sense.",
    example = "midge dlq ls --stream ORDERS --newer-than 1d
midge dlq show 12
midge dlq redrive --consumer billing --rate 100
midge dlq redrive --id 1 --stop
midge dlq drop --reason expired --older-than 30d --dry-run
midge dlq unpark ORDERS billing --source-seq 7"
)]
pub(crate) struct Dlq {
    /// what to do, and how
    #[argh(positional, greedy)]
    words: Vec<String>,
}

impl Dlq {
    pub(crate) fn run(self) -> ExitCode {
        match Options::parse(&self.words) {
            // That is a command of its own.
            Ok(options) if options.action == Action::Why => finish(Err(Failure::usage(
                "there is midge why, but no midge dlq why",
            ))),
            Ok(options) if options.has("help") => {
                crate::run(["midge", "dlq", "--help"].map(str::to_owned).into())
            }
            parsed => finish(parsed.and_then(|options| act(&options))),
        }
    }
}

/// Does what makes sense on the command line.
pub(crate) fn act(options: &Options) -> Result<(), Failure> {
    let wants_all = options.has("all");
    if options.action == Action::Drop && options.has_filter() == wants_all {
        return Err(Failure::usage(if wants_all {
            "--all goes without a filter"
        } else {
            "drop needs a filter, or --all to delete every dead letter"
        }));
    }
    let server = options.text("server").map(str::to_owned);
    let connect = || Remote::connect(server, options.has("json"));
    match options.action {
        Action::Ls => list(&mut connect()?, options),
        Action::Redrive => {
            redrive::check(options)?;
            redrive::run(&mut connect()?, options)
        }
        _ => {
            let mut json = options.request();
            json.close_object();
            let mut remote = connect()?;
            let timeout = match options.action {
                Action::Drop => WORK_TIMEOUT,
                _ => QUESTION_TIMEOUT,
            };
            let answer = remote.ask(options.subject, json, timeout)?;
            remote.show(&answer);
            Ok(())
        }
    }
}

/// Lists dead letters page by page.
fn list(remote: &mut Remote, options: &Options) -> Result<(), Failure> {
    let mut from = options.number("from-seq").unwrap_or(0);
    let mut left = match options.number("limit") {
        Some(0) => u64::MAX,
        limit => limit.unwrap_or(LISTED),
    };
    loop {
        let mut json = options.request();
        json.uint_field("from_seq", from);
        json.uint_field("limit", left.min(PAGE));
        json.close_object();
        let answer = remote.ask(options.subject, json, QUESTION_TIMEOUT)?;
        let letters = array(&answer.value, "letters").len() as u64;
        let is_seen = if letters == 0 && !options.has("json") {
            remote.tell("no dead letters")
        } else {
            remote.show(&answer)
        };
        left = left.saturating_sub(letters);
        let next = number(&answer.value, "next_seq");
        // A server that does not go on would be asked for ever.
        if next <= from || !is_seen {
            return Ok(());
        }
        from = next;
        if left == 0 {
            remote.tell(&format!(
                "there are more: --from-seq {from} goes on, --limit 0 lists all"
            ));
            return Ok(());
        }
    }
}
