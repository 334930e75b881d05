//! `midge kv watch`, and the keys of a bucket: what its stream has, in order.

use super::connection;
use super::kv::bucket;
use super::message::push_payload;
use super::table::push_clean;
use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::output;
use midge_client::streams::JsonWriter;
use midge_client::streams::kv::{Entry, Operation, Update, WatchOptions, WatchStart};

pub(crate) const OPTIONS: &str = "  --new                  only what changes from now on
  --history              all that is kept, from the first value on
  --count N              end after so many
  --raw                  the values and nothing else, a line each";

/// Everything in a bucket.
const ALL: &str = ">";

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let start = match (arguments.has("new"), arguments.has("history")) {
        (false, false) => WatchStart::Values,
        (true, false) => WatchStart::New,
        (false, true) => WatchStart::History,
        (true, true) => return Err(Failure::usage("--new goes without --history")),
    };
    let name = bucket(arguments)?;
    let client = connection::connect_lasting(arguments, connection::timeout(arguments))?;
    let options = WatchOptions {
        start,
        ..WatchOptions::default()
    };
    let key = arguments.text("key").unwrap_or(ALL);
    let watch = client.streams().bucket(name)?.watch(key, options)?;
    connection::tell_events(&client)?;
    let mut left = arguments.number("count").unwrap_or(u64::MAX);
    if left == 0 {
        return Ok(());
    }
    for update in watch {
        let Update::Entry(entry) = update? else {
            continue;
        };
        show(arguments, &entry)?;
        left -= 1;
        if left == 0 {
            break;
        }
    }
    Ok(())
}

fn show(arguments: &Arguments, entry: &Entry) -> Result<(), Failure> {
    if arguments.has("raw") {
        return match entry.is_value() {
            true => output::write(&[entry.value.as_slice(), b"\n"].concat()),
            false => Ok(()),
        };
    }
    if arguments.has("json") {
        return output::print_json(line(entry));
    }
    let mut out = format!("{} ", entry.revision);
    push_clean(&mut out, &entry.key);
    match entry.is_value() {
        true => {
            out.push_str(" = ");
            push_payload(&mut out, &entry.value);
        }
        false => out.push_str(" is deleted"),
    }
    output::print(&out)
}

/// A change for programs.
fn line(entry: &Entry) -> JsonWriter {
    let operation = match entry.operation {
        Operation::Put => "put",
        Operation::Delete => "del",
        Operation::Purge => "purge",
    };
    let mut json = JsonWriter::new();
    json.open_object();
    json.string_field("key", &entry.key);
    json.uint_field("revision", entry.revision);
    json.time_field("time", entry.created);
    json.string_field("operation", operation);
    match std::str::from_utf8(&entry.value) {
        Ok(text) => json.string_field("value", text),
        Err(_) => {
            json.key("value_base64");
            json.base64(&entry.value);
        }
    }
    json.close_object();
    json
}

/// Lists the keys of a bucket that have a value.
pub(super) fn list_keys(arguments: &Arguments) -> Result<(), Failure> {
    let name = bucket(arguments)?;
    let client = connection::connect(arguments)?;
    let keys = client.streams().bucket(name)?.keys(ALL)?;
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
