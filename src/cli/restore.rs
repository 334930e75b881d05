//! `midge restore`: looking at a backup, and making a store of it.

use crate::progress::Count;
use crate::store::{code, prepare, telling};
use crate::{EXIT_USAGE, say};
use argh::FromArgs;
use midge_api::JsonWriter;
use midge_server::STORE_DEFAULT;
use midge_server::offline::{self, BackupContent, RestoreError, StoreError};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Exit code when nothing was made.
const EXIT_REFUSED: u8 = 1;

/// make a store of what midge backup has written
#[derive(FromArgs)]
#[argh(
    subcommand,
    name = "restore",
    note = "All of the backup is looked at first, and one that is not whole is refused.
The store gets its name when it is complete; one that is there is never
touched. Exits with 0 if that is done, with 1 if it is refused or something
in it is damaged, with 2 if the backup cannot be read.",
    example = "midge restore monday.backup --check
midge restore monday.backup --store /var/lib/midge.redb"
)]
pub(crate) struct Restore {
    /// backup to read
    #[argh(positional)]
    file: PathBuf,

    /// file to make; there must be none yet (default: midge.redb)
    #[argh(option, short = 's', default = "STORE_DEFAULT.into()")]
    store: PathBuf,

    /// only look at the backup
    #[argh(switch)]
    check: bool,

    /// print JSON
    #[argh(switch)]
    json: bool,
}

impl Restore {
    pub(crate) fn run(self) -> ExitCode {
        prepare();
        let to = (!self.check).then_some(self.store.as_path());
        let doing = if self.check { "check" } else { "restore" };
        let content = telling(doing, Count::Bytes, |told| {
            offline::restore(&self.file, to, told)
        });
        match content {
            Ok(content) => {
                let text = describe(to.unwrap_or(&self.file), &content, self.json);
                let text = String::from_utf8_lossy(&text);
                say(&text, code(content.verified.is_sound()))
            }
            Err(error) => fail(&error),
        }
    }
}

fn fail(error: &RestoreError) -> ExitCode {
    eprintln!("{error}");
    match error {
        RestoreError::Read(..) => ExitCode::from(EXIT_USAGE),
        RestoreError::Store(StoreError::Exists(_)) => {
            eprintln!("--store names another file to make");
            ExitCode::from(EXIT_REFUSED)
        }
        _ => ExitCode::from(EXIT_REFUSED),
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
