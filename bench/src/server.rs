//! A running server: started on a port of its own on the loopback interface,
//! waited for, and gone when dropped.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::guard;
use crate::peer::Peer;
use crate::proc;
use crate::wire::Dialect;

/// How long a server may take to come up.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is tried meanwhile; the error of a measured start time.
const TRY_EVERY: Duration = Duration::from_micros(100);

/// A server under test.
pub(crate) struct Server {
    guard: Child,
    pid: u32,
    port: u16,
    dialect: Dialect,
    start_time: Duration,
    greeting: String,
}

impl Server {
    /// Starts the peer and returns once it has said its first byte.
    pub(crate) fn start(peer: &Peer) -> io::Result<Self> {
        let port = free_port()?;
        let log = log_file()?;
        let (guard, report) = guard::start(peer.program(), &peer.arguments(port), log.try_clone()?)
            .map_err(|error| with_log(error, &log))?;
        // From here on dropping `server` stops the process.
        let mut server = Server {
            guard,
            pid: report.pid,
            port,
            dialect: peer.dialect(),
            start_time: Duration::ZERO,
            greeting: String::new(),
        };
        let mut stream = server
            .wait_for_first_byte(report.spawned)
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

    /// The first line it said, but for its first byte.
    pub(crate) fn greeting(&self) -> &str {
        &self.greeting
    }

    /// Connects until it works, and takes the first byte.
    fn wait_for_first_byte(&mut self, spawned: SystemTime) -> io::Result<TcpStream> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.write_all(self.dialect.probe())?;
                stream.read_exact(&mut [0])?;
                // A clock that was set back meanwhile spoils one start time.
                self.start_time = spawned.elapsed().unwrap_or_default();
                return Ok(stream);
            }
            if !proc::is_alive(self.pid) {
                return Err(io::Error::other("it ended at once"));
            }
            thread::sleep(TRY_EVERY);
        }
        Err(io::Error::other(format!(
            "nothing listens after {} s",
            PATIENCE.as_secs()
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
