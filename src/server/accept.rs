//! Taking in new connections.

use mio::net::{TcpListener, TcpStream};
use std::io;
use std::net::SocketAddr;

/// Connections taken in one turn of the loop, so that a rush of them does not
/// hold up those who are already here.
const ACCEPTS_MAX: usize = 64;

/// What came of a round of accepting.
#[derive(Debug)]
pub(crate) enum Accepted {
    /// Nobody waits any more.
    All,
    /// More may wait; try again next turn.
    More,
    /// The machine has no descriptor or memory for another; try again later.
    Exhausted(io::Error),
}

/// Hands each waiting connection to `take`.
pub(crate) fn accept_some(
    listener: &TcpListener,
    mut take: impl FnMut(TcpStream, SocketAddr),
) -> Accepted {
    for _ in 0..ACCEPTS_MAX {
        match listener.accept() {
            Ok((stream, peer)) => take(stream, peer),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => return Accepted::All,
                // The client gave up while it waited: take the next one.
                io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::Interrupted => {}
                _ => return Accepted::Exhausted(error),
            },
        }
    }
    Accepted::More
}
