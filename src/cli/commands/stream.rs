//! `midge stream`: making streams, looking at them, letting go of them.

use super::block::{write_facts, write_settings};
use super::confirm::{FORCE, confirm};
use super::remote::{Answer, QUESTION_TIMEOUT, Remote, WORK_TIMEOUT, nothing, number, string};
use super::settings::{self, Settings};
use super::stored;
use super::table::{cell, list_of};
use crate::arguments::Arguments;
use crate::command::{Action, Command};
use crate::failure::Failure;
use midge_api::{JsonWriter, is_valid_name};
use serde_json::Value;

/// How a stream is set up.
const SETTINGS: &str = "  --subjects SUBJECT...  what it stores, wildcards allowed; several with
                         commas, or again and again (default: its name)
  --retention limits|interest|workqueue
                         when messages go: by the limits; when all consumers
                         have acknowledged them; when one has (default: limits)
  --max-msgs N           so many messages at most; 0 is no limit, here and below
  --max-bytes SIZE       so many bytes at most, as 1GB
  --max-age DURATION     how long a message is kept, as 7d
  --max-msg-size SIZE    one message at most
  --max-per-subject N    so many messages of each subject at most
  --max-consumers N      so many consumers at most
  --discard old|new      what a full stream drops: the oldest messages, or those
                         that come (default: old)
  --discard-per-subject  with --discard new: where a subject is full as well
  --storage file|memory  where it is kept (default: file)
  --compression none|s2  s2: less room in the file for more of the processor's
                         time (default: none)
  --dupe-window DURATION how long a Nats-Msg-Id counts (default: 2m)
  --allow-direct         messages may be read without the API, which is faster
  --allow-rollup         a message may replace all before it
  --allow-msg-ttl        a message may say how long it lives, which is for good
  --allow-schedules      a message says when it is published, for good as well
  --marker-ttl DURATION  what is left so long where a subject's last message has
                         gone for its age: a marker
  --deny-delete          no message can be deleted, which is for good
  --deny-purge           nor purged, which is for good
  --persist-mode default|async
                         async: acknowledge before it is on the disk
  --first-seq SEQ        what to count from
  --overflow dead_letter|off
                         midge: keep what the limits drop as dead letters";
const FIELDS: &str = "retention max-msgs max-bytes max-age max-msg-size \
                      max-per-subject=max_msgs_per_subject max-consumers discard \
                      discard-per-subject=discard_new_per_subject storage compression \
                      dupe-window=duplicate_window allow-direct allow-rollup=allow_rollup_hdrs \
                      allow-msg-ttl allow-schedules=allow_msg_schedules \
                      marker-ttl=subject_delete_marker_ttl deny-delete deny-purge persist-mode first-seq";
const UNSET: &str = "  --no-allow-direct      not any more
  --no-allow-rollup      not any more";
const OURS: &str = "overflow";

/// What is shown of many streams.
const COLUMNS: &str = "name=config.name subjects=config.subjects messages=state.messages \
                       bytes=state.bytes last_at=state.last_ts consumers=state.consumer_count";
/// What is shown of one.
const STATE: &str = "messages bytes first_seq first_ts last_seq last_ts subjects=num_subjects \
                     deleted=num_deleted lost consumers=consumer_count";

pub(crate) const COMMAND: Command = Command {
    name: "stream",
    about: "streams: messages that the server keeps",
    actions: &[
        Action {
            name: "ls",
            places: "",
            about: "list streams",
            options: &["  --subject SUBJECT      those that store some of this
  --names                their names alone"],
            example: "midge stream ls --subject 'orders.>'",
            run: list,
        },
        Action {
            name: "add",
            places: "NAME",
            about: "make a stream",
            options: &[SETTINGS, settings::OPTIONS],
            example: "midge stream add ORDERS --subjects 'orders.>' --max-age 7d
midge stream add JOBS --subjects jobs.new,jobs.again --retention workqueue
midge stream info ORDERS --json | midge stream add COPY --config - --subjects copy",
            run: add,
        },
        Action {
            name: "info",
            places: "NAME",
            about: "what a stream holds and how it is set up",
            options: &[],
            example: "midge stream info ORDERS",
            run: info,
        },
        Action {
            name: "edit",
            places: "NAME",
            about: "change what is named and nothing else",
            options: &[SETTINGS, UNSET, settings::OPTIONS],
            example: "midge stream edit ORDERS --max-bytes 10GB
midge stream edit ORDERS --overflow dead_letter",
            run: edit,
        },
        Action {
            name: "rm",
            places: "NAME",
            about: "delete a stream with all that is in it, for good",
            options: &[FORCE],
            example: "midge stream rm ORDERS --force",
            run: remove,
        },
        Action {
            name: "purge",
            places: "NAME",
            about: "delete messages, for good",
            options: &[
                "  --subject SUBJECT      of this subject, wildcards allowed
  --keep N               but for so many of the newest
  --seq SEQ              before this sequence",
                FORCE,
            ],
            example: "midge stream purge ORDERS --subject orders.test --force",
            run: purge,
        },
        Action {
            name: "get",
            places: "NAME [SEQ]",
            about: "show a message",
            options: &["  --last SUBJECT         the last one of this subject
  --raw                  its payload and nothing else, as it is"],
            example: "midge stream get ORDERS 7
midge stream get ORDERS --last orders.new --raw",
            run: stored::get,
        },
        Action {
            name: "view",
            places: "NAME",
            about: "show messages one after the other",
            options: &["  --from-seq SEQ         begin there
  --since DURATION       begin with what was stored so long ago
  --subject SUBJECT      of this subject, wildcards allowed
  --count N              so many at most, 0 for all (default: 10)
  --raw                  their payloads and nothing else, a line each"],
            example: "midge stream view ORDERS --since 1h --count 100",
            run: stored::view,
        },
    ],
};

/// The subject of a request about the stream that was named.
pub(crate) fn subject(arguments: &Arguments, operation: &str) -> Result<String, Failure> {
    let name = checked(arguments, "name")?;
    Ok(format!("$JS.API.STREAM.{operation}.{name}"))
}

/// A name that was given and can be a part of a subject.
pub(crate) fn checked<'a>(arguments: &'a Arguments, place: &str) -> Result<&'a str, Failure> {
    let name = arguments.text(place).unwrap_or_default();
    if is_valid_name(name) {
        return Ok(name);
    }
    Err(Failure::usage(format!(
        "\"{name}\" is not a name; leave out blanks, dots, slashes, * and >"
    )))
}

fn list(arguments: &Arguments) -> Result<(), Failure> {
    let remote = Remote::connect(arguments)?;
    let streams = remote.list("$JS.API.STREAM.LIST", "streams", arguments.text("subject"))?;
    if streams.is_empty() {
        return remote.tell("no streams; midge stream add makes one");
    }
    let columns = if arguments.has("names") {
        None
    } else {
        Some(COLUMNS)
    };
    remote.tell(&list_of(&streams, "config.name", columns))
}

fn add(arguments: &Arguments) -> Result<(), Failure> {
    let subject = subject(arguments, "CREATE")?;
    let remote = Remote::connect(arguments)?;
    let mut settings = settings::from_file(arguments)?;
    change(&mut settings, arguments, &remote)?;
    show(&remote, &send(&remote, &subject, &settings)?)
}

fn edit(arguments: &Arguments) -> Result<(), Failure> {
    let subject = subject(arguments, "UPDATE")?;
    let remote = Remote::connect(arguments)?;
    let mut settings = settings::from_file(arguments)?;
    if settings.is_empty() {
        settings = settings::of(ask_info(arguments, &remote)?.value);
    }
    change(&mut settings, arguments, &remote)?;
    show(&remote, &send(&remote, &subject, &settings)?)
}

/// Changes settings by all that was given.
fn change(settings: &mut Settings, arguments: &Arguments, remote: &Remote) -> Result<(), Failure> {
    settings::change(settings, arguments, FIELDS);
    settings::change(settings, arguments, "name");
    settings::change_metadata(settings, arguments, remote, OURS)?;
    let subjects = settings::list(arguments, "subjects");
    if !subjects.is_empty() {
        settings::set(settings, "subjects", subjects.into());
    }
    for (name, field) in [
        ("no-allow-direct", "allow_direct"),
        ("no-allow-rollup", "allow_rollup_hdrs"),
    ] {
        if arguments.has(name) {
            settings::set(settings, field, false.into());
        }
    }
    Ok(())
}

fn send(remote: &Remote, subject: &str, settings: &Settings) -> Result<Answer, Failure> {
    let mut json = JsonWriter::new();
    settings::write_object(&mut json, settings);
    remote.ask(subject, json, QUESTION_TIMEOUT)
}

fn ask_info(arguments: &Arguments, remote: &Remote) -> Result<Answer, Failure> {
    remote.ask(&subject(arguments, "INFO")?, nothing(), QUESTION_TIMEOUT)
}

fn info(arguments: &Arguments) -> Result<(), Failure> {
    subject(arguments, "INFO")?;
    let remote = Remote::connect(arguments)?;
    show(&remote, &ask_info(arguments, &remote)?)
}

/// Shows a stream.
pub(crate) fn show(remote: &Remote, answer: &Answer) -> Result<(), Failure> {
    let stream = &answer.value;
    let mut out = String::new();
    out.push_str(&cell(stream, "config.name"));
    out.push_str(", made ");
    out.push_str(&cell(stream, "created"));
    out.push('\n');
    let state = stream.get("state").unwrap_or(&Value::Null);
    write_facts(&mut out, "holds", state, STATE);
    write_settings(&mut out, "set up", stream.get("config"), "name");
    remote.show_as(answer, &out)
}

fn remove(arguments: &Arguments) -> Result<(), Failure> {
    let delete = subject(arguments, "DELETE")?;
    let remote = Remote::connect(arguments)?;
    let info = ask_info(arguments, &remote)?.value;
    let name = string(&info["config"], "name");
    let messages = number(&info["state"], "messages");
    confirm(
        arguments,
        &format!("delete {name} with {messages} messages"),
    )?;
    let answer = remote.ask(&delete, nothing(), WORK_TIMEOUT)?;
    remote.show_as(&answer, &format!("{name} is deleted"))
}

fn purge(arguments: &Arguments) -> Result<(), Failure> {
    let purge = subject(arguments, "PURGE")?;
    if arguments.has("keep") && arguments.has("seq") {
        return Err(Failure::usage("--keep goes without --seq"));
    }
    let remote = Remote::connect(arguments)?;
    let name = checked(arguments, "name")?;
    let which = match arguments.has_any("subject keep seq") {
        true => "messages",
        false => "all messages",
    };
    confirm(arguments, &format!("delete {which} of {name}"))?;
    let mut json = JsonWriter::new();
    json.open_object();
    arguments.write_fields(&mut json, "subject=filter keep seq");
    json.close_object();
    let answer = remote.ask(&purge, json, WORK_TIMEOUT)?;
    let purged = number(&answer.value, "purged");
    remote.show_as(&answer, &format!("{purged} deleted"))
}
