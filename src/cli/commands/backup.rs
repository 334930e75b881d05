//! `midge backup`: a copy of all that a running server has stored.
//!
//! What comes is looked at while it is written, so that a copy which has its
//! name is one that can be restored. Until then it is called `.partial`.

use super::remote::{QUESTION_TIMEOUT, Remote, number};
use crate::arguments::Arguments;
use crate::command::{Action, Command};
use crate::failure::Failure;
use crate::output;
use crate::progress::{Count, Progress};
use crate::restore::describe;
use midge_api::{BACKUP_CHUNK, JsonWriter};
use midge_client::Error;
use midge_server::offline::{BackupCheck, BackupContent, BackupError, Partial, StoreError};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How long a chunk may take to come before it is asked for again, unless the
/// command line says it.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a chunk is asked for: an answer may get lost.
const TRIES_MAX: u32 = 3;

/// Of a server's name, what goes into the name of a file.
const NAME_LEN_MAX: usize = 24;

/// The file that is none.
const STDOUT: &str = "-";

pub(crate) const COMMAND: Command = Command {
    name: "backup",
    about: "copy all that a running server has stored to a file",
    actions: &[Action {
        name: "",
        places: "[FILE]",
        about: "Copies what a running server has on its disk at one moment: all that was
acknowledged before. Streams in memory are not in it. The file must not be
there yet; - is stdout; without one the server's name and the time make it.
midge restore makes a store of it.",
        options: &[],
        example: "midge backup monday.backup
midge backup - | ssh attic 'cat > monday.backup'
midge backup",
        run,
    }],
};

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let given = arguments.text("FILE");
    if given == Some(STDOUT) && io::stdout().is_terminal() {
        return Err(Failure::usage("a backup is nothing for a terminal"));
    }
    if let Some(file) = given.filter(|file| *file != STDOUT) {
        Partial::refuse_if_there(Path::new(file)).map_err(unmade)?;
    }
    let remote = Remote::connect(arguments)?;
    let is_json = arguments.has("json");
    if given == Some(STDOUT) {
        let content = copy(&remote, &mut io::stdout())?;
        let text = describe(Path::new("stdout"), &content, is_json);
        output::warn(&String::from_utf8_lossy(&text));
        return judge(&content);
    }
    let file = given.map_or_else(|| name(&remote.server_name()), PathBuf::from);
    let partial = Partial::make(&file).map_err(unmade)?;
    let content = copy(&remote, &mut partial.file())?;
    partial.finish().map_err(unmade)?;
    let text = describe(&file, &content, is_json);
    output::print(&String::from_utf8_lossy(&text))?;
    judge(&content)
}

fn unmade(error: StoreError) -> Failure {
    Failure::refused(error.to_string())
}

/// A copy of something damaged is a copy, and no reason to be content.
fn judge(content: &BackupContent) -> Result<(), Failure> {
    if content.verified.is_sound() {
        return Ok(());
    }
    Err(Failure::refused(
        "the server's store is damaged; so is the copy",
    ))
}

/// A file for one who does not say which.
fn name(server: &str) -> PathBuf {
    let mut name: String = server.chars().take(NAME_LEN_MAX).collect();
    name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    format!("{name}-{}.backup", now.replace([':', '-'], "")).into()
}

/// Has the server make a backup and writes it.
fn copy(remote: &Remote, out: &mut dyn Write) -> Result<BackupContent, Failure> {
    let mut json = JsonWriter::new();
    json.open_object();
    json.close_object();
    let begun = match remote.fetch("$MIDGE.API.BACKUP", json, QUESTION_TIMEOUT) {
        Err(Error::NoResponders(_)) => Err(Failure::refused(
            "the server knows no backup: it keeps no streams, or is no midge",
        )),
        Err(error) => Err(remote.lost(&error)),
        Ok(message) => remote.read(&message),
    }?;
    let id = number(&begun.value, "id");
    let copied = copy_chunks(remote, id, number(&begun.value, "bytes"), out);
    // Done with, either way. A server that does not hear it forgets by itself.
    let _ = remote.fetch("$MIDGE.API.BACKUP.STOP", request(id, None), CHUNK_TIMEOUT);
    copied
}

fn copy_chunks(
    remote: &Remote,
    id: u64,
    about: u64,
    out: &mut dyn Write,
) -> Result<BackupContent, Failure> {
    let mut progress = Progress::new("backup", about, Count::Bytes);
    let mut check = BackupCheck::default();
    let mut done = 0;
    for number in 0.. {
        let chunk = chunk(remote, id, number)?;
        if chunk.is_empty() {
            break;
        }
        check.look(&chunk).map_err(broken)?;
        out.write_all(&chunk).map_err(unwritten)?;
        done += chunk.len() as u64;
        progress.set(done, about);
    }
    // What stdout holds back may still find no room.
    out.flush().map_err(unwritten)?;
    check.finish().map_err(broken)
}

fn unwritten(error: io::Error) -> Failure {
    Failure::refused(format!("cannot write the backup: {error}"))
}

fn broken(error: BackupError) -> Failure {
    Failure::refused(format!("what came is no backup: {error}"))
}

/// Asks for a chunk, again if nothing comes.
fn chunk(remote: &Remote, id: u64, number: u64) -> Result<Vec<u8>, Failure> {
    let mut tries = 1;
    loop {
        match remote.fetch(
            "$MIDGE.API.BACKUP.NEXT",
            request(id, Some(number)),
            CHUNK_TIMEOUT,
        ) {
            Ok(message) if message.header(BACKUP_CHUNK) == Some(&number.to_string()) => {
                return Ok(message.payload().to_vec());
            }
            Ok(message) => {
                remote.read(&message)?;
                return Err(Failure::refused("the answer is no part of a backup"));
            }
            Err(Error::Timeout) if tries < TRIES_MAX => tries += 1,
            Err(error) => return Err(remote.lost(&error)),
        }
    }
}

fn request(id: u64, chunk: Option<u64>) -> JsonWriter {
    let mut json = JsonWriter::new();
    json.open_object();
    json.uint_field("id", id);
    if let Some(chunk) = chunk {
        json.uint_field("chunk", chunk);
    }
    json.close_object();
    json
}
