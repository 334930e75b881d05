//! `midge verify`, `midge compact` and `midge recover`: looking after a store
//! that no server has open.

use crate::arguments::Arguments;
use crate::command::{Action, Command};
use crate::failure::Failure;
use crate::logging::Logging;
use crate::output::print;
use crate::progress::{Count, Progress};
use log::LevelFilter;
use midge_conf::LogSettings;
use midge_server::STORE_DEFAULT;
use midge_server::offline::{self, StoreError, Told};
use std::path::Path;

pub(crate) const VERIFY: Command = Command {
    name: "verify",
    about: "look at everything in a store, while no server has it open",
    actions: &[Action {
        name: "",
        places: "",
        about: "Look at everything in a store, while no server has it open. A running server
looks at its own store when it gets a request on $MIDGE.API.VERIFY.",
        options: &[
            "  -s, --store FILE       file to look at (default: midge.redb)
  --json                 print JSON
  --help                 show this

Exits with 0 if all is as it was written, with 1 if something is damaged, with
2 if it cannot be looked at.",
        ],
        example: "midge verify --store /var/lib/midge.redb",
        run: verify,
    }],
};

pub(crate) const COMPACT: Command = Command {
    name: "compact",
    about: "give back the room that a store does not use, while nobody has it open",
    actions: &[Action {
        name: "",
        places: "",
        about: "Give the room that a store does not use back, while no server has it open.",
        options: &[
            "  -s, --store FILE       file to make smaller (default: midge.redb)
  --help                 show this

Exits with 0 if that is done, with 1 if damage is in the way, with 2 if the
store cannot be opened.",
        ],
        example: "midge compact --store /var/lib/midge.redb",
        run: compact,
    }],
};

pub(crate) const RECOVER: Command = Command {
    name: "recover",
    about: "copy what is whole in a damaged store to a new one",
    actions: &[Action {
        name: "",
        places: "",
        about: "Copy what is whole in a damaged store to a new one. For a store that cannot be
opened any more; the damaged file stays as it is.",
        options: &["  -s, --store FILE       file to read (default: midge.redb)
  --to FILE              file to make; there must be none yet
  --help                 show this

Exits with 0 if everything could be found, with 1 if something was lost, with
2 if nothing could be done."],
        example: "midge recover --store midge.redb --to whole.redb",
        run: recover,
    }],
};

fn verify(arguments: &Arguments) -> Result<(), Failure> {
    prepare();
    let store = store(arguments);
    let verified =
        telling("verify", Count::Things, |told| offline::verify(store, told)).map_err(failure)?;
    let words = match arguments.has("json") {
        true => String::from_utf8_lossy(&verified.to_json()).into_owned(),
        false => format!("{}: {verified}", store.display()),
    };
    conclude(&words, verified.is_sound())
}

fn compact(arguments: &Arguments) -> Result<(), Failure> {
    prepare();
    let store = store(arguments);
    let done = telling("compact", Count::Things, |told| {
        offline::compact(store, told)
    })
    .map_err(failure)?;
    let (before, after) = (done.before, done.after);
    print(&format!(
        "{}: {before} bytes before, {after} bytes now",
        store.display()
    ))
}

fn recover(arguments: &Arguments) -> Result<(), Failure> {
    let Some(to) = arguments.text("to") else {
        return Err(
            Failure::usage("--to is missing").but("midge recover --help shows what there is")
        );
    };
    prepare();
    let recovered = offline::recover(store(arguments), Path::new(to)).map_err(failure)?;
    conclude(&format!("{to}: {recovered}"), recovered.is_whole())
}

/// The file that a command is about.
pub(crate) fn store(arguments: &Arguments) -> &Path {
    Path::new(arguments.text("store").unwrap_or(STORE_DEFAULT))
}

/// Says what was found. Damage is no error, and no success: not even to whoever
/// hangs up before it is said.
pub(crate) fn conclude(words: &str, is_sound: bool) -> Result<(), Failure> {
    let said = print(words);
    if is_sound {
        return said;
    }
    let why = said.err().map(|failure| failure.to_string());
    Err(Failure::refused(why.unwrap_or_default()))
}

/// Errors of the store go to stderr. The storage engine panics over some pages
/// that contradict each other; the store makes errors of that, which say more
/// than where in the engine it was.
pub(crate) fn prepare() {
    // To stderr it always can.
    let _ = Logging::start(LevelFilter::Error, &LogSettings::default());
    std::panic::set_hook(Box::new(|_| {}));
}

/// Does long work with a bar that shows how it goes.
pub(crate) fn telling<T>(doing: &str, count: Count, work: impl FnOnce(Told<'_>) -> T) -> T {
    let mut progress = Progress::new(doing, 0, count);
    work(&mut |done, of| progress.set(done, of))
}

fn failure(error: StoreError) -> Failure {
    let words = error.to_string();
    match error {
        StoreError::InUse(_) => Failure::usage(words).but(
            "stop the server that has it open first; a running server looks at its own \
             store on a request to $MIDGE.API.VERIFY",
        ),
        StoreError::Damaged { .. } => Failure::refused(words),
        _ => Failure::usage(words),
    }
}
