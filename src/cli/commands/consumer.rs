//! `midge consumer`: making consumers, looking at them, letting them rest.

use super::block::{write_facts, write_settings};
use super::confirm::{FORCE, confirm};
use super::remote::{Answer, QUESTION_TIMEOUT, Remote, nothing};
use super::settings::{self, Settings};
use super::stream::checked;
use super::table::{cell, list_of};
use super::{age, next};
use crate::arguments::Arguments;
use crate::command::{Action, Command};
use crate::failure::Failure;
use crate::units::Period;
use midge_api::{JsonWriter, Timestamp};
use serde_json::Value;
use std::time::Duration;

/// How a consumer is set up.
const SETTINGS: &str =
    "  --filter SUBJECT...    what of the stream it gets, wildcards allowed; several
                         with commas, or again and again
  --deliver all|new|last|last_per_subject
                         what it begins with (default: all)
  --from-seq SEQ         it begins with this one
  --since DURATION       it begins with what was stored so long ago
  --ack explicit|all|none
                         what its readers acknowledge: each message, all up to
                         it, nothing (default: explicit)
  --ack-wait DURATION    after so long without it a message comes again
                         (default: 30s)
  --max-deliver N        so often at most, then it is a dead letter; 0 is no
                         limit, here and below
  --backoff DURATIONS    in place of --ack-wait, one after the other: 1s,5s,1m
  --max-ack-pending N    so many may be out at a time (default: 1000)
  --max-waiting N        so many readers may wait
  --headers-only         without what the messages say
  --replay instant|original
                         original: as far apart as they were stored
  --inactive DURATION    it is deleted when nobody asked for so long
  --push SUBJECT         it sends to this subject and is not asked
  --group NAME           with --push: to one of this queue group";
const FIELDS: &str = "deliver=deliver_policy from-seq=opt_start_seq ack=ack_policy ack-wait \
                      max-deliver max-ack-pending max-waiting headers-only replay=replay_policy \
                      inactive=inactive_threshold push=deliver_subject group=deliver_group";
const OUR_SETTINGS: &str =
    "  --dead-letter WHERE    midge: on, which it is with --max-deliver; off; or a
                         subject that a stream of yours keeps
  --dead-letter-on WHEN  midge: max_deliver,term or one of them
  --breaker N/TIME[/PAUSE] midge: pause when so many die in that time: 100/1m
  --order-key KEY        midge: one message of a key at a time: subject,
                         token:2, header:Customer
  --park-key             midge: a key waits while a message of it is dead
  --priority HEADER      midge: 9 before 0, as header:Urgency says";
const OURS: &str = "dead-letter dead-letter-on breaker=dead_letter_breaker order-key park-key \
                    priority";

/// What is shown of many consumers.
const COLUMNS: &str = "name filter=config.filter_subject pending=num_pending \
                       ack_pending=num_ack_pending redelivered=num_redelivered \
                       waiting=num_waiting delivered_at=delivered.last_active paused";
/// What is shown of one.
const STATE: &str = "pending=num_pending ack_pending=num_ack_pending \
                     redelivered=num_redelivered waiting=num_waiting \
                     delivered=delivered.stream_seq delivered_at=delivered.last_active \
                     acknowledged=ack_floor.stream_seq acknowledged_at=ack_floor.last_active \
                     paused pause_remaining";

pub(crate) const COMMAND: Command = Command {
    name: "consumer",
    about: "consumers: how far the readers of a stream have come",
    actions: &[
        Action {
            name: "ls",
            places: "STREAM",
            about: "list a stream's consumers",
            options: &["  --names                their names alone"],
            example: "midge consumer ls ORDERS",
            run: list,
        },
        Action {
            name: "add",
            places: "STREAM NAME",
            about: "make a consumer",
            options: &[SETTINGS, OUR_SETTINGS, settings::OPTIONS],
            example: "midge consumer add ORDERS packer --max-deliver 2 --ack-wait 1m
midge consumer add ORDERS billing --filter 'orders.paid.>' --order-key token:3",
            run: add,
        },
        Action {
            name: "info",
            places: "STREAM NAME",
            about: "how far a consumer has come and how it is set up",
            options: &[],
            example: "midge consumer info ORDERS packer",
            run: info,
        },
        Action {
            name: "edit",
            places: "STREAM NAME",
            about: "change what is named and nothing else",
            options: &[SETTINGS, OUR_SETTINGS, settings::OPTIONS],
            example: "midge consumer edit ORDERS packer --max-deliver 5",
            run: edit,
        },
        Action {
            name: "next",
            places: "STREAM NAME",
            about: "take messages, as a worker does, and say what became of them",
            options: &[next::OPTIONS],
            example: "midge consumer next ORDERS packer --ack
midge consumer next ORDERS packer --nak 'no box'
midge consumer next ORDERS packer --count 100 --wait 1s --raw --ack",
            run: next::run,
        },
        Action {
            name: "pause",
            places: "STREAM NAME",
            about: "let it deliver nothing for a while",
            options: &["  --for DURATION         for so long
  --until TIME           until then: 2026-12-01T08:00:00Z"],
            example: "midge consumer pause ORDERS packer --for 10m",
            run: pause,
        },
        Action {
            name: "resume",
            places: "STREAM NAME",
            about: "let it go on",
            options: &[],
            example: "midge consumer resume ORDERS packer",
            run: resume,
        },
        Action {
            name: "rm",
            places: "STREAM NAME",
            about: "delete a consumer; the stream keeps its messages",
            options: &[FORCE],
            example: "midge consumer rm ORDERS packer --force",
            run: remove,
        },
    ],
};

/// The subject of a request about the consumer that was named.
pub(crate) fn subject(arguments: &Arguments, operation: &str) -> Result<String, Failure> {
    let stream = checked(arguments, "stream")?;
    let name = checked(arguments, "name")?;
    Ok(format!("$JS.API.CONSUMER.{operation}.{stream}.{name}"))
}

fn list(arguments: &Arguments) -> Result<(), Failure> {
    let stream = checked(arguments, "stream")?;
    let remote = Remote::connect(arguments)?;
    let subject = format!("$JS.API.CONSUMER.LIST.{stream}");
    let consumers = remote.list(&subject, "consumers", None)?;
    if consumers.is_empty() {
        return remote.tell("no consumers; midge consumer add makes one");
    }
    let columns = if arguments.has("names") {
        None
    } else {
        Some(COLUMNS)
    };
    remote.tell(&list_of(&consumers, "name", columns))
}

fn add(arguments: &Arguments) -> Result<(), Failure> {
    subject(arguments, "CREATE")?;
    let mut settings = Settings::new();
    settings::set(&mut settings, "ack_policy", "explicit".into());
    settings::overlay(&mut settings, settings::from_file(arguments)?);
    let name = arguments.text("name");
    settings::set(&mut settings, "durable_name", name.into());
    let remote = Remote::connect(arguments)?;
    change(&mut settings, arguments, &remote)?;
    show(&remote, &send(&remote, arguments, &settings, "create")?)
}

fn edit(arguments: &Arguments) -> Result<(), Failure> {
    subject(arguments, "INFO")?;
    let remote = Remote::connect(arguments)?;
    let mut settings = settings::from_file(arguments)?;
    if settings.is_empty() {
        settings = settings::of(ask_info(arguments, &remote)?.value);
    }
    change(&mut settings, arguments, &remote)?;
    show(&remote, &send(&remote, arguments, &settings, "update")?)
}

/// Changes settings by all that was given.
fn change(settings: &mut Settings, arguments: &Arguments, remote: &Remote) -> Result<(), Failure> {
    if arguments.has("from-seq") && arguments.has("since") {
        return Err(Failure::usage("--from-seq goes without --since"));
    }
    settings::change(settings, arguments, FIELDS);
    settings::change(settings, arguments, "name");
    if let Some(since) = arguments.duration("since") {
        let time = age::ago(since).to_string();
        settings::set(settings, "opt_start_time", time.into());
    }
    for (name, policy) in [
        ("from-seq", "by_start_sequence"),
        ("since", "by_start_time"),
    ] {
        if arguments.has(name) {
            settings::set(settings, "deliver_policy", policy.into());
        }
    }
    let mut filters = settings::list(arguments, "filter");
    if !filters.is_empty() {
        let one = match filters.len() {
            1 => filters.swap_remove(0),
            _ => Value::Null,
        };
        settings::set(settings, "filter_subject", one);
        settings::set(settings, "filter_subjects", filters.into());
    }
    if arguments.has("backoff") {
        settings::set(settings, "backoff", backoff(arguments)?);
    }
    settings::change_metadata(settings, arguments, remote, OURS)
}

fn backoff(arguments: &Arguments) -> Result<Value, Failure> {
    let mut spans = Vec::new();
    for span in settings::list(arguments, "backoff") {
        let parsed = span.as_str().unwrap_or_default().parse::<Period>();
        let span: Duration = parsed
            .map_err(|error| Failure::usage(format!("backoff: {error}")))?
            .into();
        spans.push(Value::from(
            u64::try_from(span.as_nanos()).unwrap_or(u64::MAX),
        ));
    }
    Ok(spans.into())
}

fn send(
    remote: &Remote,
    arguments: &Arguments,
    settings: &Settings,
    action: &str,
) -> Result<Answer, Failure> {
    let mut json = JsonWriter::new();
    json.open_object();
    arguments.write_fields(&mut json, "stream=stream_name");
    json.key("config");
    settings::write_object(&mut json, settings);
    json.string_field("action", action);
    json.close_object();
    remote.ask(&subject(arguments, "CREATE")?, json, QUESTION_TIMEOUT)
}

fn ask_info(arguments: &Arguments, remote: &Remote) -> Result<Answer, Failure> {
    remote.ask(&subject(arguments, "INFO")?, nothing(), QUESTION_TIMEOUT)
}

fn info(arguments: &Arguments) -> Result<(), Failure> {
    subject(arguments, "INFO")?;
    let remote = Remote::connect(arguments)?;
    show(&remote, &ask_info(arguments, &remote)?)
}

fn show(remote: &Remote, answer: &Answer) -> Result<(), Failure> {
    let consumer = &answer.value;
    let mut out = String::new();
    for (before, column) in [
        ("", "name"),
        (" of ", "stream_name"),
        (", made ", "created"),
    ] {
        out.push_str(before);
        out.push_str(&cell(consumer, column));
    }
    out.push('\n');
    write_facts(&mut out, "has come to", consumer, STATE);
    let known = "name durable_name";
    write_settings(&mut out, "set up", consumer.get("config"), known);
    remote.show_as(answer, &out)
}

fn remove(arguments: &Arguments) -> Result<(), Failure> {
    let delete = subject(arguments, "DELETE")?;
    let (stream, name) = (checked(arguments, "stream")?, checked(arguments, "name")?);
    let remote = Remote::connect(arguments)?;
    confirm(arguments, &format!("delete {name} of {stream}"))?;
    let answer = remote.ask(&delete, nothing(), QUESTION_TIMEOUT)?;
    remote.show_as(&answer, &format!("{name} is deleted"))
}

fn pause(arguments: &Arguments) -> Result<(), Failure> {
    let until = match (arguments.text("until"), arguments.duration("for")) {
        (Some(text), None) => match Timestamp::parse(text) {
            Some(until) => until,
            None => {
                return Err(Failure::usage(format!(
                    "until: \"{text}\" is not a time; write 2026-12-01T08:00:00Z"
                )));
            }
        },
        (None, Some(span)) => age::hence(span),
        _ => return Err(Failure::usage("pause takes --for or --until")),
    };
    let mut json = JsonWriter::new();
    json.open_object();
    json.time_field("pause_until", until);
    json.close_object();
    set_pause(arguments, json)
}

fn resume(arguments: &Arguments) -> Result<(), Failure> {
    set_pause(arguments, nothing())
}

fn set_pause(arguments: &Arguments, json: JsonWriter) -> Result<(), Failure> {
    let subject = subject(arguments, "PAUSE")?;
    let remote = Remote::connect(arguments)?;
    let answer = remote.ask(&subject, json, QUESTION_TIMEOUT)?;
    let words = match answer.value.get("paused").and_then(Value::as_bool) {
        Some(true) => format!("it pauses until {}", cell(&answer.value, "pause_until")),
        _ => "it goes on".to_owned(),
    };
    remote.show_as(&answer, &words)
}
