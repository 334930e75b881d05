//! `midge restore`: looking at a backup, and making a store of it.

use crate::arguments::Arguments;
use crate::command::{Action, Command};
use crate::failure::Failure;
use crate::progress::Count;
use crate::store::{conclude, prepare, store, telling};
use midge_api::JsonWriter;
use midge_server::offline::{self, BackupContent, RestoreError, StoreError};
use std::path::Path;

pub(crate) const COMMAND: Command = Command {
    name: "restore",
    about: "make a store of what midge backup has written",
    actions: &[Action {
        name: "",
        places: "FILE",
        about: "Make a store of what midge backup has written to a file. All of the backup is
looked at first, and one that is not whole is refused. The store gets its name
when it is complete; one that is there is never touched.",
        options: &[
            "  -s, --store FILE       file to make; there must be none yet
                         (default: midge.redb)
  --check                only look at the backup
  --json                 print JSON
  --help                 show this

Exits with 0 if that is done, with 1 if it is refused or something in it is
damaged, with 2 if the backup cannot be read.",
        ],
        example: "midge restore monday.backup --check
midge restore monday.backup --store /var/lib/midge.redb",
        run,
    }],
};

fn run(arguments: &Arguments) -> Result<(), Failure> {
    prepare();
    let file = Path::new(arguments.text("file").unwrap_or_default());
    let store = store(arguments);
    let is_check = arguments.has("check");
    let to = (!is_check).then_some(store);
    let doing = if is_check { "check" } else { "restore" };
    let content =
        telling(doing, Count::Bytes, |told| offline::restore(file, to, told)).map_err(failure)?;
    let text = describe(to.unwrap_or(file), &content, arguments.has("json"));
    let words = String::from_utf8_lossy(&text);
    conclude(&words, content.verified.is_sound())
}

fn failure(error: RestoreError) -> Failure {
    let words = error.to_string();
    match error {
        RestoreError::Read(..) => Failure::usage(words),
        RestoreError::Store(StoreError::Exists(_)) => {
            Failure::refused(words).but("--store names another file to make")
        }
        _ => Failure::refused(words),
    }
}

/// What a backup holds, and what of it is damaged.
pub(crate) fn describe(file: &Path, content: &BackupContent, is_json: bool) -> Vec<u8> {
    let taken = humantime::format_rfc3339_seconds(content.taken).to_string();
    let file = file.display().to_string();
    if !is_json {
        return format!("{file}: of {taken}\n{}", content.verified).into_bytes();
    }
    let mut json = JsonWriter::new();
    json.open_object();
    json.string_field("file", &file);
    json.string_field("taken", &taken);
    json.key("found");
    json.raw(&content.verified.to_json());
    json.close_object();
    json.into_bytes()
}
