//! `midge kv watch`, and the keys of a bucket: what its stream has, in order.

use super::arguments::Arguments;
use super::connection;
use super::failure::Failure;
use super::kv::{key_subject, operation_of, stream};
use super::message::push_payload;
use super::output;
use super::table::push_clean;
use midge_client::Client;
use midge_client::streams::{JsonWriter, Ordered, OrderedOptions, Start, StreamMessage};
use std::time::Duration;

pub(crate) const OPTIONS: &str = "  --new                  only what changes from now on
  --history              all that is kept, from the first value on
  --count N              end after so many
  --raw                  the values and nothing else, a line each";

/// Everything in a bucket.
const ALL: &str = ">";

/// How long a server may take to send the next key: longer than any disk.
const KEY_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let key = arguments.text("key").unwrap_or(ALL);
    let start = match (arguments.has("new"), arguments.has("history")) {
        (false, false) => Start::LastPerSubject,
        (true, false) => Start::New,
        (false, true) => Start::First,
        (true, true) => return Err(Failure::usage("--new goes without --history")),
    };
    let filter = key_subject(arguments, key)?;
    let client = connection::connect_lasting(arguments, connection::timeout(arguments))?;
    let messages = read(&client, arguments, filter, start, false)?;
    connection::tell_events(&client)?;
    let count = arguments.number("count").unwrap_or(u64::MAX);
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let prefix = key_subject(arguments, "")?;
    for message in messages.take(count) {
        let message = message?;
        let key = message.subject().strip_prefix(&prefix).unwrap_or_default();
        show(arguments, key, &message)?;
    }
    Ok(())
}

fn show(arguments: &Arguments, key: &str, message: &StreamMessage) -> Result<(), Failure> {
    let operation = operation_of(message.headers());
    if arguments.has("raw") {
        return match operation {
            "put" => output::write(&[message.payload(), b"\n"].concat()),
            _ => Ok(()),
        };
    }
    let told = message.metadata();
    if arguments.has("json") {
        let mut json = JsonWriter::new();
        json.open_object();
        json.string_field("key", key);
        json.uint_field("revision", told.stream_seq);
        json.time_field("time", told.time);
        json.string_field("operation", operation);
        match std::str::from_utf8(message.payload()) {
            Ok(text) => json.string_field("value", text),
            Err(_) => {
                json.key("value_base64");
                json.base64(message.payload());
            }
        }
        json.close_object();
        return output::print_json(json);
    }
    let mut out = format!("{} ", told.stream_seq);
    push_clean(&mut out, key);
    match operation {
        "put" => {
            out.push_str(" = ");
            push_payload(&mut out, message.payload());
        }
        _ => out.push_str(" is deleted"),
    }
    output::print(&out)
}

/// Lists the keys of a bucket that have a value.
pub(super) fn list_keys(arguments: &Arguments) -> Result<(), Failure> {
    let prefix = key_subject(arguments, "")?;
    let filter = key_subject(arguments, ALL)?;
    let client = connection::connect(arguments)?;
    let mut messages = read(&client, arguments, filter, Start::LastPerSubject, true)?;
    let mut keys = Vec::new();
    let mut left = messages.initial();
    while left > 0 {
        let message = messages.next_timeout(KEY_TIMEOUT)?;
        let key = message.subject().strip_prefix(&prefix).unwrap_or_default();
        if operation_of(message.headers()) == "put" {
            keys.push(key.to_owned());
        }
        left = message.metadata().pending;
    }
    keys.sort_unstable();
    if arguments.has("json") {
        let mut json = JsonWriter::new();
        json.open_array();
        keys.iter().for_each(|key| json.string(key));
        json.close_array();
        return output::print_json(json);
    }
    let mut out = String::new();
    for key in &keys {
        push_clean(&mut out, key);
        out.push('\n');
    }
    match keys.is_empty() {
        true => output::print("no keys; midge kv put sets one"),
        false => output::print(&out),
    }
}

fn read(
    client: &Client,
    arguments: &Arguments,
    filter: String,
    start: Start,
    headers_only: bool,
) -> Result<Ordered, Failure> {
    let options = OrderedOptions {
        start,
        filters: vec![filter],
        headers_only,
        ..OrderedOptions::default()
    };
    Ok(client.streams().ordered(&stream(arguments)?, options)?)
}
