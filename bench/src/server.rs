//! A running server: started on a port of its own on the loopback interface,
//! waited for, and gone when dropped.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::guard;
use crate::peer::{Mode, Peer};
use crate::place::Folder;
use crate::proc;
use crate::wire::Dialect;

/// How long a server may take to come up.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same with a store that is not empty, and for ending when asked to.
const LONG_PATIENCE: Duration = Duration::from_secs(300);
/// How often it is tried meanwhile; the error of a measured start time.
const TRY_EVERY: Duration = Duration::from_micros(100);

/// A server under test.
pub(crate) struct Server {
    guard: Child,
    pid: u32,
    port: u16,
    dialect: Dialect,
    spawned: SystemTime,
    start_time: Duration,
    greeting: String,
    /// Its working directory and store.
    folder: Arc<Folder>,
}

impl Server {
    /// Starts the peer in a new folder and returns once it has said its first
    /// byte.
    pub(crate) fn start(peer: &Peer, mode: Mode) -> io::Result<Self> {
        let folder = Arc::new(peer.place().folder()?);
        Server::launch(peer, mode, folder, PATIENCE)
    }

    /// Starts the peer where it, or one like it, has run before.
    pub(crate) fn start_again(peer: &Peer, folder: Arc<Folder>) -> io::Result<Self> {
        Server::launch(peer, Mode::Streams, folder, LONG_PATIENCE)
    }

    fn launch(
        peer: &Peer,
        mode: Mode,
        folder: Arc<Folder>,
        patience: Duration,
    ) -> io::Result<Self> {
        let port = free_port()?;
        let log = log_file()?;
        let arguments = peer.arguments(port, mode, folder.path())?;
        let (guard, report) =
            guard::start(peer.program(), &arguments, folder.path(), log.try_clone()?)
                .map_err(|error| with_log(error, &log))?;
        // From here on dropping `server` stops the process.
        let mut server = Server {
            guard,
            pid: report.pid,
            port,
            dialect: peer.dialect(),
            spawned: report.spawned,
            start_time: Duration::ZERO,
            greeting: String::new(),
            folder,
        };
        let mut stream = server
            .wait_for_first_byte(patience)
            .map_err(|error| with_log(error, &log))?;
        server.greeting = read_line(&mut stream)?;
        Ok(server)
    }

    /// The process id of the server itself, not of its guard.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// The port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The protocol it speaks.
    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// From just before it was spawned until its first byte arrived.
    pub(crate) fn start_time(&self) -> Duration {
        self.start_time
    }

    /// How long ago that moment was.
    pub(crate) fn since_spawned(&self) -> Duration {
        // A clock that was set back meanwhile spoils one start time.
        self.spawned.elapsed().unwrap_or_default()
    }

    /// Where it runs.
    pub(crate) fn folder(&self) -> &Arc<Folder> {
        &self.folder
    }

    /// Asks it to end, and returns how long it took to.
    pub(crate) fn stop(self) -> io::Result<Duration> {
        let begun = Instant::now();
        let asked = Command::new("sh")
            .args(["-c", "kill -TERM \"$0\"", &self.pid.to_string()])
            .status()?;
        if !asked.success() {
            return Err(io::Error::other("the server could not be asked to end"));
        }
        while proc::is_alive(self.pid) {
            if begun.elapsed() > LONG_PATIENCE {
                return Err(io::Error::other("the server did not end when asked to"));
            }
            thread::sleep(TRY_EVERY);
        }
        Ok(begun.elapsed())
    }

    /// The first line it said, but for its first byte.
    pub(crate) fn greeting(&self) -> &str {
        &self.greeting
    }

    /// Connects until it works, and takes the first byte.
    fn wait_for_first_byte(&mut self, patience: Duration) -> io::Result<TcpStream> {
        let begun = Instant::now();
        while begun.elapsed() < patience {
            if let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
                stream.set_read_timeout(Some(patience))?;
                stream.write_all(self.dialect.probe())?;
                stream.read_exact(&mut [0])?;
                self.start_time = self.since_spawned();
                return Ok(stream);
            }
            if !proc::is_alive(self.pid) {
                return Err(io::Error::other("it ended at once"));
            }
            thread::sleep(TRY_EVERY);
        }
        Err(io::Error::other(format!(
            "nothing listens after {} s",
            patience.as_secs()
        )))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        guard::stop(&mut self.guard);
    }
}

/// A port that was free a moment ago. Another process could take it before
/// the server does, but the kernel hands out others first.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

/// A file for what the server says, already without a name, so that nothing
/// is left behind however this process ends.
fn log_file() -> io::Result<File> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("midge-bench-{}-{number}.log", std::process::id());
    let path = std::env::temp_dir().join(name);
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create_new(true)
        .open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// Adds the end of what the server said to the reason why it did not start.
fn with_log(error: io::Error, log: &File) -> io::Error {
    let mut text = vec![0; 4096];
    let length = log.metadata().map_or(0, |data| data.len());
    let from = length.saturating_sub(text.len() as u64);
    let count = log.read_at(&mut text, from).unwrap_or(0);
    let said = String::from_utf8_lossy(&text[..count]);
    io::Error::other(format!("{error}\n{}", said.trim_end()))
}

fn read_line(stream: &mut TcpStream) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte)? == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}
