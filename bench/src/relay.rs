//! The limit: a process which copies bytes between two sockets and parses
//! nothing. What a server reaches below it is the price of understanding.
//!
//! Connections are joined in pairs in the order in which they ask for it. Two
//! blocking threads serve a pair, one for each direction.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::thread;

/// The hidden subcommand that makes the executable a relay.
pub(crate) const SUBCOMMAND: &str = "relay";

/// What the relay says first, as a NATS server says INFO.
pub(crate) const GREETING: &[u8] = b"RELAY\n";
/// What a connection says to be joined to the next one that says it. A
/// connection that only looks whether the relay is up says nothing and takes
/// nobody's place.
pub(crate) const JOIN: &[u8] = b"JOIN\n";
/// The relay's answer to [`JOIN`].
pub(crate) const JOINED: &[u8] = b"OK\n";

const BUFFER: usize = 256 * 1024;

/// Listens on the port given as the only argument, and never returns.
pub(crate) fn run(args: &[OsString]) -> io::Result<()> {
    let port: u16 = args
        .first()
        .and_then(|port| port.to_str()?.parse().ok())
        .ok_or_else(|| io::Error::other("relay: no port given"))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let mut waiting: Option<TcpStream> = None;
    loop {
        let stream = listener.accept()?.0;
        if !wants_to_join(&stream) {
            continue;
        }
        match waiting.take() {
            None => waiting = Some(stream),
            Some(first) => join(first, stream)?,
        }
    }
}

fn wants_to_join(stream: &TcpStream) -> bool {
    let mut said = [0; JOIN.len()];
    greet(stream, &mut said).is_ok() && said == JOIN
}

fn greet(mut stream: &TcpStream, said: &mut [u8]) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.write_all(GREETING)?;
    stream.read_exact(said)?;
    stream.write_all(JOINED)
}

fn join(first: TcpStream, second: TcpStream) -> io::Result<()> {
    let (first_out, second_out) = (first.try_clone()?, second.try_clone()?);
    thread::spawn(move || copy(first, second_out));
    thread::spawn(move || copy(second, first_out));
    Ok(())
}

/// Copies until either side ends, then ends the other.
fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // The peer may be gone already; then there is nothing left to end.
    let _ = to.shutdown(Shutdown::Both);
}
