//! One client connection: opened, greeted, subscribed, and asked whether all
//! is well. What flows over it during a measurement is not this file's matter.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::time::Duration;

use crate::wire::{Dialect, Exchange, NATS_PING};

/// How long a server may be silent, or refuse to take bytes, while something
/// is owed; afterwards the case has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// How much of the end of a server's output is kept: enough for any answer
/// and for the text of an error.
const KEPT: usize = 256;

/// A connection with its protocol. Shared references suffice for everything,
/// so one thread can write while another reads.
pub(crate) struct Connection {
    stream: TcpStream,
    dialect: Dialect,
}

impl Connection {
    /// Connects to the port on this machine and completes the handshake.
    pub(crate) fn open(port: u16, dialect: Dialect) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let connection = Connection { stream, dialect };
        connection.be_patient(PATIENCE)?;
        connection.exchange(dialect.hello())?;
        Ok(connection)
    }

    /// Subscribes, and returns once the server has done it.
    pub(crate) fn subscribe(&self, subject: &str, queue: &str, sid: usize) -> io::Result<()> {
        let mut frame = Vec::new();
        self.dialect.subscribe(&mut frame, subject, queue, sid);
        self.send(&frame)?;
        match self.dialect.subscriber_check() {
            Some(check) => self.exchange(check),
            None => Ok(()),
        }
    }

    /// Sets how long the server may be silent.
    pub(crate) fn be_patient(&self, patience: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(patience))
    }

    /// Sends the bytes, all of them.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.stream)
            .write_all(bytes)
            .map_err(|error| explained(error, "the server took no bytes for too long"))
    }

    /// Reads what there is; zero when the server has closed.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.stream)
            .read(buffer)
            .map_err(|error| explained(error, "the server was silent for too long"))
    }

    /// Sends a request and waits for its answer, passing over what the server
    /// had still to say before it.
    pub(crate) fn exchange(&self, exchange: Exchange) -> io::Result<()> {
        self.send(exchange.request)?;
        self.await_answer(exchange.answer)
    }

    /// Reads until the answer has come.
    pub(crate) fn await_answer(&self, answer: &[u8]) -> io::Result<()> {
        let mut seen = Vec::new();
        let mut chunk = [0; 16 * 1024];
        while !ends_with_answer(&seen, answer) {
            let count = self.receive(&mut chunk)?;
            if count == 0 {
                return Err(closed(&seen));
            }
            seen.extend_from_slice(&chunk[..count]);
            seen.drain(..seen.len().saturating_sub(KEPT));
            if seen.starts_with(b"-") || seen.windows(2).any(|pair| pair == b"\n-") {
                let text = seen.escape_ascii();
                return Err(io::Error::other(format!("the server says \"{text}\"")));
            }
        }
        Ok(())
    }

    /// Ends the connection in both directions, which also wakes a thread that
    /// is blocked on it.
    pub(crate) fn shut(&self) {
        // It may be closed already; that is as good.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// The answer is the last thing, but for a PING the server thought of.
fn ends_with_answer(seen: &[u8], answer: &[u8]) -> bool {
    seen.strip_suffix(NATS_PING)
        .unwrap_or(seen)
        .ends_with(answer)
}

/// The error for a connection which the server ended, with its last words.
fn closed(last: &[u8]) -> io::Error {
    let text = last.escape_ascii();
    io::Error::other(format!("the server closed the connection after \"{text}\""))
}

/// A timed out socket says "resource temporarily unavailable"; say what it
/// means here instead.
fn explained(error: io::Error, meaning: &str) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => io::Error::other(meaning.to_owned()),
        _ => error,
    }
}
