//! `midge dlq`: looking at dead letters, sending them back, letting go of
//! them.

use super::redrive;
use super::remote::{QUESTION_TIMEOUT, Remote, WORK_TIMEOUT, array, ask, number};
use crate::arguments::Arguments;
use crate::command::{Action, Command};
use crate::failure::Failure;
use midge_api::JsonWriter;

/// Dead letters that are asked for at a time, the most that the server gives.
const PAGE: u64 = 1000;

/// Dead letters that are listed where nothing else is said: some screens.
const LISTED: u64 = 100;

/// What chooses among dead letters.
const FILTERS: &str = "  --stream NAME          that died in this stream
  --consumer NAME        that died with this consumer
  --subject SUBJECT      that were published to it, wildcards allowed
  --seq N                the one with this sequence as a dead letter
  --source-seq N         the one with this sequence in its stream
  --reason TEXT          what the reason begins with: max_deliver,
                         terminated, expired, discarded
  --older-than DURATION  that died before, as 1h
  --newer-than DURATION  that died since";
const FILTER_NAMES: &str = "stream consumer subject seq source-seq reason older-than newer-than";
const FILTER_FIELDS: &str = "stream consumer subject seq source-seq reason \
                             older-than=age_min_ms newer-than=age_max_ms dlq";

/// The stream that they are kept in.
const DLQ: &str = "  --dlq NAME             stream that they are kept in (default: DLQ)";

pub(crate) const COMMAND: Command = Command {
    name: "dlq",
    about: "dead letters: messages that no consumer could deal with",
    actions: &[
        Action {
            name: "ls",
            places: "",
            about: "list dead letters",
            options: &[
                FILTERS,
                DLQ,
                "  --limit N              at most so many, 0 for all (default: 100)
  --from-seq N           begin there",
            ],
            example: "midge dlq ls --stream ORDERS --newer-than 1d",
            run: list,
        },
        Action {
            name: "show",
            places: "SEQ",
            about: "what one says and how it died",
            options: &[DLQ],
            example: "midge dlq show 12",
            run: show,
        },
        Action {
            name: "redrive",
            places: "",
            about: "send back to the consumers they died with, or to their subjects",
            options: &[
                FILTERS,
                DLQ,
                "  --limit N              at most so many
  --dry-run              only count
  --rate N               so many a second, showing how it goes; Ctrl-C ends the
                         showing and not the redrive
  --died-max N           stop when so many died again (default: 10)
  --id N                 show that one, which goes on in the server
  --stop                 with --id: stop it",
            ],
            example: "midge dlq redrive --consumer billing --rate 100
midge dlq redrive --id 1 --stop",
            run: redrive::run,
        },
        Action {
            name: "drop",
            places: "",
            about: "delete for good",
            options: &[
                FILTERS,
                DLQ,
                "  --limit N              at most so many
  --dry-run              only count
  --all                  needed where nothing chooses among them",
            ],
            example: "midge dlq drop --reason expired --older-than 30d --dry-run",
            run: discard,
        },
        Action {
            name: "unpark",
            places: "STREAM CONSUMER",
            about: "let keys go on that wait behind a dead letter",
            options: &["  --source-seq N         the letter's sequence in its stream"],
            example: "midge dlq unpark ORDERS billing --source-seq 7",
            run: unpark,
        },
    ],
};

/// A request with what chooses among dead letters, open for more.
pub(crate) fn request(arguments: &Arguments) -> JsonWriter {
    let mut json = JsonWriter::new();
    json.open_object();
    arguments.write_fields(&mut json, FILTER_FIELDS);
    json
}

fn show(arguments: &Arguments) -> Result<(), Failure> {
    ask(arguments, "$MIDGE.API.DLQ.SHOW", request(arguments))
}

fn unpark(arguments: &Arguments) -> Result<(), Failure> {
    ask(arguments, "$MIDGE.API.DLQ.UNPARK", request(arguments))
}

fn discard(arguments: &Arguments) -> Result<(), Failure> {
    let wants_all = arguments.has("all");
    if arguments.has_any(FILTER_NAMES) == wants_all {
        return Err(Failure::usage(if wants_all {
            "--all goes without a filter"
        } else {
            "drop needs a filter, or --all to delete every dead letter"
        }));
    }
    let mut json = request(arguments);
    arguments.write_fields(&mut json, "limit dry-run all");
    json.close_object();
    let remote = Remote::connect(arguments)?;
    remote.show(&remote.ask("$MIDGE.API.DLQ.DROP", json, WORK_TIMEOUT)?)
}

/// Lists dead letters page by page.
fn list(arguments: &Arguments) -> Result<(), Failure> {
    let remote = Remote::connect(arguments)?;
    let mut from = arguments.number("from-seq").unwrap_or(0);
    let mut left = match arguments.number("limit") {
        Some(0) => u64::MAX,
        limit => limit.unwrap_or(LISTED),
    };
    loop {
        let mut json = request(arguments);
        json.uint_field("from_seq", from);
        json.uint_field("limit", left.min(PAGE));
        json.close_object();
        let answer = remote.ask("$MIDGE.API.DLQ.LIST", json, QUESTION_TIMEOUT)?;
        let letters = array(&answer.value, "letters").len() as u64;
        if letters == 0 && !arguments.has("json") {
            remote.tell("no dead letters")?;
        } else {
            remote.show(&answer)?;
        }
        left = left.saturating_sub(letters);
        let next = number(&answer.value, "next_seq");
        // A server that does not go on would be asked for ever.
        if next <= from {
            return Ok(());
        }
        from = next;
        if left == 0 {
            return remote.tell(&format!(
                "there are more: --from-seq {from} goes on, --limit 0 lists all"
            ));
        }
    }
}
