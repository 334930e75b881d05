//! The configuration of a stream or a consumer: what the server or a file has,
//! changed by what was given.

use super::remote::Remote;
use crate::arguments::Arguments;
use crate::failure::Failure;
use midge_api::{JsonWriter, json};
use serde_json::{Map, Value};

/// The options that all of these commands have.
pub(crate) const OPTIONS: &str = "  --description TEXT     what it is for
  --metadata KEY=VALUE... anything else to be kept with it; KEY= removes it
  --config FILE          a whole configuration in JSON, as info --json shows
                         it, to begin with; - is stdin";

/// What every key of midge's own begins with.
const OURS: &str = "midge.";

pub(crate) type Settings = Map<String, Value>;

/// What a file has, or nothing.
pub(crate) fn from_file(arguments: &Arguments) -> Result<Settings, Failure> {
    let Some(path) = arguments.text("config") else {
        return Ok(Settings::new());
    };
    let file = if path == "-" { "/dev/stdin" } else { path };
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| Failure::usage(format!("cannot read {path}: {error}")))?;
    match json::parse(&text) {
        Ok(value @ Value::Object(_)) => Ok(of(value)),
        Ok(_) => Err(Failure::usage(format!("{path} holds no JSON object"))),
        Err(error) => Err(Failure::usage(format!("{path} is no JSON: {error}"))),
    }
}

/// The configuration in an answer, or the object that is one itself.
pub(crate) fn of(mut value: Value) -> Settings {
    let config = value.get_mut("config").map(Value::take);
    match config.unwrap_or(value) {
        Value::Object(settings) => settings,
        _ => Settings::new(),
    }
}

/// Changes what was given: these fields, see [`Arguments::write_fields`]; and
/// the description.
pub(crate) fn change(settings: &mut Settings, arguments: &Arguments, fields: &str) {
    let mut json = JsonWriter::new();
    json.open_object();
    arguments.write_fields(&mut json, fields);
    arguments.write_fields(&mut json, "description");
    json.close_object();
    let text = String::from_utf8(json.into_bytes()).unwrap_or_default();
    if let Ok(Value::Object(given)) = json::parse(&text) {
        overlay(settings, given);
    }
}

/// Changes metadata: what was given as such, and options of midge's own, which
/// are named as [`Arguments::write_fields`] has it. A server that does not
/// know those would keep them and do nothing.
pub(crate) fn change_metadata(
    settings: &mut Settings,
    arguments: &Arguments,
    remote: &Remote,
    ours: &str,
) -> Result<(), Failure> {
    let mut metadata = match settings.get_mut("metadata").map(Value::take) {
        Some(Value::Object(metadata)) => metadata,
        _ => Settings::new(),
    };
    let mut has_ours = false;
    for entry in arguments.texts("metadata") {
        let Some((key, value)) = entry.split_once('=') else {
            return Err(Failure::usage(format!(
                "metadata: \"{entry}\" has no =; write key=value"
            )));
        };
        has_ours |= key.starts_with(OURS);
        let value = match value {
            "" => Value::Null,
            value => value.into(),
        };
        set(&mut metadata, key, value);
    }
    for field in ours.split_ascii_whitespace() {
        let (name, key) = field.split_once('=').unwrap_or((field, field));
        let Some(value) = arguments.text(name) else {
            continue;
        };
        has_ours = true;
        let value = if value.is_empty() { "true" } else { value };
        let key = OURS.to_owned() + &key.replace('-', "_");
        set(&mut metadata, &key, value.into());
    }
    if has_ours && !remote.is_midge()? {
        return Err(Failure::refused(
            "this server is no midge and would not do what the midge.… options say",
        ));
    }
    if !metadata.is_empty() {
        set(settings, "metadata", Value::Object(metadata));
    }
    Ok(())
}

/// Sets all of these.
pub(crate) fn overlay(settings: &mut Settings, others: Settings) {
    for (key, value) in others {
        set(settings, &key, value);
    }
}

/// Sets a value; null is none.
// Inlined it would be most of what makes a configuration.
#[inline(never)]
pub(crate) fn set(settings: &mut Settings, key: &str, value: Value) {
    settings.insert(key.to_owned(), value);
}

/// What was given again and again, or with commas.
pub(crate) fn list(arguments: &Arguments, name: &str) -> Vec<Value> {
    let words = arguments.texts(name).flat_map(|text| text.split(','));
    let words = words.map(str::trim).filter(|word| !word.is_empty());
    words.map(Value::from).collect()
}

/// Appends a value as JSON.
pub(crate) fn write(json: &mut JsonWriter, value: &Value) {
    match value {
        Value::Null => json.raw(b"null"),
        Value::Bool(is) => json.boolean(*is),
        Value::Number(number) => json.raw(number.to_string().as_bytes()),
        Value::String(text) => json.string(text),
        Value::Array(items) => {
            json.open_array();
            items.iter().for_each(|item| write(json, item));
            json.close_array();
        }
        Value::Object(settings) => write_object(json, settings),
    }
}

/// Appends an object as JSON, without what is null.
pub(crate) fn write_object(json: &mut JsonWriter, settings: &Settings) {
    json.open_object();
    for (key, value) in settings {
        if !value.is_null() {
            json.key(key);
            write(json, value);
        }
    }
    json.close_object();
}
