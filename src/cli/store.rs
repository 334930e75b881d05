//! `midge verify`, `midge compact` and `midge recover`: looking after a store
//! that no server has open.

use crate::logging::Logging;
use crate::progress::{Count, Progress};
use crate::{EXIT_DAMAGE, EXIT_USAGE, say};
use argh::FromArgs;
use log::LevelFilter;
use midge_server::offline::{self, StoreError, Told};
use midge_server::{LogSettings, STORE_DEFAULT};
use std::path::PathBuf;
use std::process::ExitCode;

/// look at everything in a store, while no server has it open
#[derive(FromArgs)]
#[argh(
    subcommand,
    name = "verify",
    note = "Exits with 0 if all is as it was written, with 1 if something is damaged,
with 2 if it cannot be looked at. A running server looks at its own store
when it gets a request on $MIDGE.API.VERIFY.",
    example = "midge verify --store /var/lib/midge.redb"
)]
pub(crate) struct Verify {
    /// file to look at (default: midge.redb)
    #[argh(option, short = 's', default = "STORE_DEFAULT.into()")]
    store: PathBuf,

    /// print JSON
    #[argh(switch)]
    json: bool,
}

/// give the room that a store does not use back, while no server has it open
#[derive(FromArgs)]
#[argh(
    subcommand,
    name = "compact",
    note = "Exits with 0 if that is done, with 1 if damage is in the way, with 2 if the
store cannot be opened.",
    example = "midge compact --store /var/lib/midge.redb"
)]
pub(crate) struct Compact {
    /// file to make smaller (default: midge.redb)
    #[argh(option, short = 's', default = "STORE_DEFAULT.into()")]
    store: PathBuf,
}

/// copy what is whole in a damaged store to a new one
#[derive(FromArgs)]
#[argh(
    subcommand,
    name = "recover",
    note = "For a store that cannot be opened any more. The damaged file stays as it is.
Exits with 0 if everything could be found, with 1 if something was lost, with
2 if nothing could be done.",
    example = "midge recover --store midge.redb --to whole.redb"
)]
pub(crate) struct Recover {
    /// file to read (default: midge.redb)
    #[argh(option, short = 's', default = "STORE_DEFAULT.into()")]
    store: PathBuf,

    /// file to make; there must be none yet
    #[argh(option)]
    to: PathBuf,
}

impl Verify {
    pub(crate) fn run(self) -> ExitCode {
        prepare();
        let verified = match telling("verify", Count::Things, |told| {
            offline::verify(&self.store, told)
        }) {
            Ok(verified) => verified,
            Err(error) => return fail(&error),
        };
        let text = if self.json {
            String::from_utf8_lossy(&verified.to_json()).into_owned()
        } else {
            format!("{}: {verified}", self.store.display())
        };
        say(&text, code(verified.is_sound()))
    }
}

impl Compact {
    pub(crate) fn run(self) -> ExitCode {
        prepare();
        match telling("compact", Count::Things, |told| {
            offline::compact(&self.store, told)
        }) {
            Ok(done) => {
                let store = self.store.display();
                let (before, after) = (done.before, done.after);
                let words = format!("{store}: {before} bytes before, {after} bytes now");
                say(&words, ExitCode::SUCCESS)
            }
            Err(error) => fail(&error),
        }
    }
}

impl Recover {
    pub(crate) fn run(self) -> ExitCode {
        prepare();
        let recovered = match offline::recover(&self.store, &self.to) {
            Ok(recovered) => recovered,
            Err(error) => return fail(&error),
        };
        let words = format!("{}: {recovered}", self.to.display());
        say(&words, code(recovered.is_whole()))
    }
}

/// Damage is no error, and no success.
pub(crate) fn code(is_sound: bool) -> ExitCode {
    if is_sound {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_DAMAGE)
    }
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

fn fail(error: &StoreError) -> ExitCode {
    eprintln!("{error}");
    match error {
        StoreError::InUse(_) => {
            eprintln!(
                "stop the server that has it open first; a running server looks at its own \
                 store on a request to $MIDGE.API.VERIFY"
            );
            ExitCode::from(EXIT_USAGE)
        }
        StoreError::Damaged { .. } => ExitCode::from(EXIT_DAMAGE),
        _ => ExitCode::from(EXIT_USAGE),
    }
}
