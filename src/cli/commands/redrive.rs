//! `midge dlq redrive`: sending dead letters back, at once or at a rate.
//!
//! The server does it; what happens here is that somebody watches. So nothing
//! is lost when the watcher goes away.

use super::dlq;
use super::remote::{Answer, QUESTION_TIMEOUT, Remote, WORK_TIMEOUT, number, string};
use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::progress::{Count, Progress};
use midge_api::JsonWriter;
use serde_json::Value;
use signal_hook::consts::SIGINT;
use std::io::{self, IsTerminal, Read};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// The request that starts one, asks for it and stops it.
const SUBJECT: &str = "$MIDGE.API.DLQ.REDRIVE";

/// What does not go with `--id`.
const OF_NEW_ONES: &str = "stream consumer subject seq source-seq reason older-than newer-than \
                           dlq limit rate died-max dry-run";

/// What a request says.
const FIELDS: &str = "limit rate died-max id stop dry-run";

/// How often a redrive under way is asked about: a person sees it move, and
/// the server does not notice.
const POLL_EVERY: Duration = Duration::from_millis(500);

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.has("id") && arguments.has_any(OF_NEW_ONES) {
        return Err(Failure::usage("--id goes with --stop and nothing else"));
    }
    if arguments.has("stop") && !arguments.has("id") {
        return Err(Failure::usage("--stop needs --id, which redrive told"));
    }
    let remote = &Remote::connect(arguments)?;
    let mut json = dlq::request(arguments);
    arguments.write_fields(&mut json, FIELDS);
    json.close_object();
    // What is watched can be left; what is waited for is ended by Ctrl-C.
    let is_watched = arguments.has("rate") || arguments.has("id");
    let interrupt = is_watched.then(catch_interrupt).flatten();
    let answer = remote.ask(SUBJECT, json, WORK_TIMEOUT)?;
    remote.show(&answer)?;
    // Instead of a line each time, where a person sees both.
    let bar = Some(Progress::new("redrive", 0, Count::Things))
        .filter(|bar| bar.is_shown() && io::stdout().is_terminal() && !arguments.has("json"));
    let end = follow(remote, answer, interrupt, bar)?.value;
    match string(&end, "state") {
        "done" if number(&end, "failed") == 0 => Ok(()),
        "stopped" if arguments.has("stop") => Ok(()),
        "running" => Err(Failure::refused(goes_on(&end))),
        "done" => Err(Failure::refused("some could not be sent back")),
        _ => Err(Failure::refused("it stopped before all were sent back")),
    }
}

/// Shows how a redrive goes until it ends, or Ctrl-C.
fn follow(
    remote: &Remote,
    mut last: Answer,
    mut interrupt: Option<UnixStream>,
    mut bar: Option<Progress>,
) -> Result<Answer, Failure> {
    while string(&last.value, "state") == "running" && !is_interrupted(&mut interrupt) {
        let mut json = JsonWriter::new();
        json.open_object();
        json.uint_field("id", number(&last.value, "id"));
        json.close_object();
        let answer = remote
            .ask(SUBJECT, json, QUESTION_TIMEOUT)
            // Nothing stopped but the looking.
            .map_err(|failure| failure.but(&goes_on(&last.value)))?;
        // Wiped before the last word.
        bar = bar.filter(|_| string(&answer.value, "state") == "running");
        if let Some(bar) = &mut bar {
            let [redriven, failed, matched] =
                ["redriven", "failed", "matched"].map(|key| number(&answer.value, key));
            bar.set(redriven + failed, matched);
        } else if !answer.repeats(&last) {
            remote.show(&answer)?;
        }
        last = answer;
    }
    Ok(last)
}

/// A socket that something can be read from after Ctrl-C. Without one Ctrl-C
/// ends this program as ever.
fn catch_interrupt() -> Option<UnixStream> {
    let (receiver, sender) = UnixStream::pair().ok()?;
    receiver.set_read_timeout(Some(POLL_EVERY)).ok()?;
    signal_hook::low_level::pipe::register(SIGINT, sender).ok()?;
    Some(receiver)
}

/// Waits a little; true as soon as there was a Ctrl-C.
fn is_interrupted(receiver: &mut Option<UnixStream>) -> bool {
    match receiver {
        Some(receiver) => receiver.read(&mut [0]).is_ok(),
        None => {
            std::thread::sleep(POLL_EVERY);
            false
        }
    }
}

fn goes_on(redrive: &Value) -> String {
    let id = number(redrive, "id");
    format!(
        "redrive {id} goes on in the server; midge dlq redrive --id {id} shows it, \
         with --stop it ends"
    )
}
