//! `midge kv`: buckets of keys and values, which are streams of a form that
//! all NATS clients know.

use super::confirm::{FORCE, confirm};
use super::kv_watch;
use super::message::push_payload;
use super::payload::Payload;
use super::remote::{
    Answer, NO_MESSAGE_FOUND, QUESTION_TIMEOUT, Remote, WORK_TIMEOUT, nothing, number, string,
};
use super::settings::{self, Settings};
use super::stored::{next, payload};
use super::table::{cell, write_table};
use crate::arguments::Arguments;
use crate::command::{Action, Command};
use crate::failure::Failure;
use crate::output;
use midge_api::{JsonWriter, json};
use midge_client::streams::kv::{check_bucket, check_key};
use midge_client::{Error, Headers, Publish};
use midge_proto::from_base64;
use midge_proto::headers::HeaderBlock;
use serde_json::Value;
use std::io::{self, IsTerminal};

/// What a bucket's stream is called, before the bucket's name.
const STREAM: &str = "KV_";

/// The header of what is no value, and what it says.
const OPERATION: &str = "KV-Operation";
const DELETE: &str = "DEL";
const PURGE: &str = "PURGE";

/// The longest time in which a repeated put is known for one: what all
/// clients set.
const DUPLICATE_WINDOW_MAX: u64 = 120_000_000_000;

/// How a bucket is set up.
const SETTINGS: &str =
    "  --history N            values of a key that are kept, up to 64 (default: 1)
  --ttl DURATION         how long a value is kept
  --max-value-size SIZE  one value at most
  --max-bytes SIZE       all of them at most
  --storage file|memory  where they are kept (default: file)
  --compression none|s2  s2: less room in the file (default: none)";
const FIELDS: &str = "history=max_msgs_per_subject ttl=max_age max-value-size=max_msg_size \
                      max-bytes storage compression";

/// What makes a bucket of a stream, where nothing else is said.
const DEFAULTS: &str = r#"{"discard":"new","allow_rollup_hdrs":true,"deny_delete":true,
    "allow_direct":true,"max_msgs_per_subject":1,"num_replicas":1}"#;

/// What is shown of many buckets, and of a key's past.
const COLUMNS: &str = "bucket values=of.state.messages bytes=of.state.bytes \
                       history=of.config.max_msgs_per_subject max_age=of.config.max_age \
                       last_at=of.state.last_ts";
const PAST: &str = "revision=message.seq time=message.time operation value";

pub(crate) const COMMAND: Command = Command {
    name: "kv",
    about: "buckets of keys and their values",
    actions: &[
        Action {
            name: "ls",
            places: "[BUCKET]",
            about: "list buckets, or the keys of one",
            options: &[],
            example: "midge kv ls settings",
            run: list,
        },
        Action {
            name: "add",
            places: "BUCKET",
            about: "make a bucket",
            options: &[SETTINGS, settings::OPTIONS],
            example: "midge kv add settings --history 5",
            run: add,
        },
        Action {
            name: "put",
            places: "BUCKET KEY [VALUE]",
            about: "set a key, to what comes from stdin if no value is given",
            options: &["  --revision N           if that is the last one; 0 if there is none"],
            example: "midge kv put settings colour blue
midge kv put settings logo < logo.png",
            run: put,
        },
        Action {
            name: "get",
            places: "BUCKET KEY",
            about: "show a value; exits with 1 if there is none",
            options: &["  --revision N           the one that was set then
  --raw                  as it is, without a line end
  --long                 with its revision and when it was set"],
            example: "midge kv get settings colour",
            run: get,
        },
        Action {
            name: "watch",
            places: "BUCKET [KEY]",
            about: "show values as they are and as they change; KEY takes wildcards",
            options: &[kv_watch::OPTIONS],
            example: "midge kv watch settings 'lamp.*'",
            run: kv_watch::run,
        },
        Action {
            name: "history",
            places: "BUCKET KEY",
            about: "show the values that a key had, as far as they are kept",
            options: &[],
            example: "midge kv history settings colour",
            run: history,
        },
        Action {
            name: "del",
            places: "BUCKET KEY",
            about: "delete a key; its history stays",
            options: &[],
            example: "midge kv del settings colour",
            run: |arguments| mark(arguments, DELETE),
        },
        Action {
            name: "purge",
            places: "BUCKET KEY",
            about: "delete a key with its history",
            options: &[],
            example: "midge kv purge settings colour",
            run: |arguments| mark(arguments, PURGE),
        },
        Action {
            name: "rm",
            places: "BUCKET",
            about: "delete a bucket with all that is in it, for good",
            options: &[FORCE],
            example: "midge kv rm settings --force",
            run: remove,
        },
    ],
};

/// The name of the bucket that was given; it can be a part of a subject.
pub(super) fn bucket(arguments: &Arguments) -> Result<&str, Failure> {
    let name = arguments.text("bucket").unwrap_or_default();
    match check_bucket(name) {
        Ok(()) => Ok(name),
        Err(_) => Err(Failure::usage(format!(
            "\"{name}\" is no bucket; write letters, digits, - and _"
        ))),
    }
}

/// The stream of the bucket that was given.
fn stream(arguments: &Arguments) -> Result<String, Failure> {
    Ok(format!("{STREAM}{}", bucket(arguments)?))
}

/// The subject of keys of the bucket that was given.
fn key_subject(arguments: &Arguments, key: &str) -> Result<String, Failure> {
    Ok(format!("$KV.{}.{key}", bucket(arguments)?))
}

/// The subject of the key that was given.
fn subject(arguments: &Arguments) -> Result<String, Failure> {
    let key = arguments.text("key").unwrap_or_default();
    if check_key(key).is_err() {
        return Err(Failure::usage(format!(
            "\"{key}\" is no key; write letters, digits, - / _ = and single dots"
        )));
    }
    key_subject(arguments, key)
}

fn list(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.has("bucket") {
        return kv_watch::list_keys(arguments);
    }
    let remote = Remote::connect(arguments)?;
    let streams = remote.list("$JS.API.STREAM.LIST", "streams", Some("$KV.>"))?;
    let mut buckets = Vec::new();
    for stream in streams {
        let name = string(&stream["config"], "name");
        if let Some(bucket) = name.strip_prefix(STREAM) {
            let mut row = Settings::new();
            settings::set(&mut row, "bucket", bucket.into());
            settings::set(&mut row, "of", stream);
            buckets.push(Value::Object(row));
        }
    }
    if buckets.is_empty() {
        return remote.tell("no buckets; midge kv add makes one");
    }
    let mut out = String::new();
    write_table(&mut out, &buckets, COLUMNS);
    remote.tell(&out)
}

fn add(arguments: &Arguments) -> Result<(), Failure> {
    let stream = stream(arguments)?;
    let remote = Remote::connect(arguments)?;
    let mut settings = match json::parse(DEFAULTS) {
        Ok(defaults) => settings::of(defaults),
        Err(_) => Settings::new(),
    };
    settings::overlay(&mut settings, settings::from_file(arguments)?);
    let subjects = vec![Value::from(key_subject(arguments, ">")?)];
    settings::set(&mut settings, "name", stream.as_str().into());
    settings::set(&mut settings, "subjects", subjects.into());
    settings::change(&mut settings, arguments, FIELDS);
    settings::change_metadata(&mut settings, arguments, &remote, "")?;
    if let Some(ttl) = arguments.number("ttl").filter(|ttl| *ttl > 0) {
        let window = ttl.min(DUPLICATE_WINDOW_MAX);
        settings::set(&mut settings, "duplicate_window", window.into());
    }
    let mut json = JsonWriter::new();
    settings::write_object(&mut json, &settings);
    let subject = format!("$JS.API.STREAM.CREATE.{stream}");
    let answer = remote.ask(&subject, json, QUESTION_TIMEOUT)?;
    remote.show_as(&answer, &format!("{} is made", bucket(arguments)?))
}

fn put(arguments: &Arguments) -> Result<(), Failure> {
    let subject = subject(arguments)?;
    let text = arguments.text("value");
    if text.is_none() && io::stdin().is_terminal() {
        return Err(Failure::usage("a value is missing"));
    }
    let mut headers = Headers::new();
    if let Some(revision) = arguments.number("revision") {
        headers.add("Nats-Expected-Last-Subject-Sequence", &revision.to_string());
    }
    let remote = Remote::connect(arguments)?;
    let read = match text {
        Some(text) => Payload::Bytes(text.into()),
        None => Payload::Stdin.read(remote.client().info().payload_max_bytes)?,
    };
    let value = match &read {
        Payload::Bytes(value) => value.as_slice(),
        _ => b"",
    };
    let answer = publish(&remote, arguments, &subject, &headers, value)?;
    let revision = number(&answer.value, "seq");
    remote.show_as(&answer, &format!("revision {revision}"))
}

/// Stores a message, and waits until it is.
fn publish(
    remote: &Remote,
    arguments: &Arguments,
    subject: &str,
    headers: &Headers,
    value: &[u8],
) -> Result<Answer, Failure> {
    let message = Publish::new(subject, value).headers(headers);
    match remote.client().ask(&message, Some(remote.timeout())) {
        Ok(answer) => remote.read(&answer),
        Err(Error::NoResponders(_)) => Err(Failure::refused(format!(
            "there is no bucket {}; midge kv add makes one",
            bucket(arguments)?
        ))),
        Err(error) => Err(remote.lost(&error)),
    }
}

fn get(arguments: &Arguments) -> Result<(), Failure> {
    let subject = subject(arguments)?;
    let mut json = JsonWriter::new();
    json.open_object();
    match arguments.number("revision") {
        Some(revision) => json.uint_field("seq", revision),
        None => json.string_field("last_by_subj", &subject),
    }
    json.close_object();
    let remote = Remote::connect(arguments)?;
    let asked = format!("$JS.API.STREAM.MSG.GET.{}", stream(arguments)?);
    let found = remote
        .find(&asked, json, NO_MESSAGE_FOUND)?
        .filter(|answer| {
            let message = &answer.value["message"];
            string(message, "subject") == subject && operation(message) == "put"
        });
    let Some(answer) = found else {
        let (bucket, key) = (
            bucket(arguments)?,
            arguments.text("key").unwrap_or_default(),
        );
        return Err(Failure::refused(format!("{bucket} has no {key}")));
    };
    let value = payload(&answer.value);
    if arguments.has("raw") {
        return output::write(&value);
    }
    let mut out = String::new();
    if arguments.has("long") {
        let message = &answer.value["message"];
        let (revision, time) = (cell(message, "seq"), cell(message, "time"));
        out = format!("revision {revision}, {time}\n");
    }
    push_payload(&mut out, &value);
    remote.show_as(&answer, &out)
}

/// What a stored message does to its key.
fn operation(message: &Value) -> &'static str {
    let block = from_base64(string(message, "hdrs")).unwrap_or_default();
    let headers = HeaderBlock::new(&block);
    match headers.get(OPERATION.as_bytes()) {
        Some(b"DEL") => return "del",
        Some(b"PURGE") => return "purge",
        _ => {}
    }
    // What the server leaves itself.
    match headers.get(b"Nats-Marker-Reason") {
        None => "put",
        Some(b"Purge") => "purge",
        Some(_) => "del",
    }
}

fn history(arguments: &Arguments) -> Result<(), Failure> {
    let subject = subject(arguments)?;
    let asked = format!("$JS.API.STREAM.MSG.GET.{}", stream(arguments)?);
    let remote = Remote::connect(arguments)?;
    let mut values = Vec::new();
    let mut seq = 1;
    while let Some(answer) = next(&remote, &asked, seq, &subject)? {
        let message = &answer.value["message"];
        let mut value = String::new();
        push_payload(&mut value, &payload(&answer.value));
        seq = number(message, "seq") + 1;
        remote.show_line(&answer)?;
        let mut row = Settings::new();
        settings::set(&mut row, "operation", operation(message).into());
        settings::set(&mut row, "value", value.trim_end().into());
        settings::set(&mut row, "message", message.clone());
        values.push(Value::Object(row));
    }
    if values.is_empty() {
        return Err(Failure::refused("nothing is known of that key"));
    }
    let mut out = String::new();
    write_table(&mut out, &values, PAST);
    remote.tell(&out)
}

/// Stores that a key has no value any more.
fn mark(arguments: &Arguments, operation: &str) -> Result<(), Failure> {
    let subject = subject(arguments)?;
    let mut headers = Headers::new().with(OPERATION, operation);
    if operation == PURGE {
        headers.add("Nats-Rollup", "sub");
    }
    let remote = Remote::connect(arguments)?;
    let answer = publish(&remote, arguments, &subject, &headers, b"")?;
    let key = arguments.text("key").unwrap_or_default();
    remote.show_as(&answer, &format!("{key} is deleted"))
}

fn remove(arguments: &Arguments) -> Result<(), Failure> {
    let stream = stream(arguments)?;
    let bucket = bucket(arguments)?;
    let remote = Remote::connect(arguments)?;
    confirm(arguments, &format!("delete the bucket {bucket}"))?;
    let delete = format!("$JS.API.STREAM.DELETE.{stream}");
    let answer = remote.ask(&delete, nothing(), WORK_TIMEOUT)?;
    remote.show_as(&answer, &format!("{bucket} is deleted"))
}
