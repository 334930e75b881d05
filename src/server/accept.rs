//! Taking in new connections.

use crate::connection::{Codec, Partial};
use crate::event_loop::{EventLoop, FIRST_CONNECTION, Timer};
use crate::receive::READ_MIN;
use midge_engine::{ConnId, Time};
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Poll, Token};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

/// Connections taken in one turn of the loop, so that a rush of them does not
/// hold up those who are already here.
const ACCEPTS_MAX: usize = 64;

/// How long to wait before accepting again when the machine had no
/// descriptors left and none of ours has been closed since.
const ACCEPT_RETRY: Duration = Duration::from_millis(250);

/// Sockets that may exist beside `max_connections`: those on their way out,
/// which have no session any more, and those for monitoring.
const SPARE_SOCKETS: usize = 1024;

/// Monitoring connections at a time. For a further one the longest idle of them
/// is let go.
const HTTP_CONNECTIONS_MAX: usize = 64;

/// What one hears that finds no place.
const TURNED_AWAY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// How long a monitoring connection may take for a request, from the end of
/// the one before, and how long for reading its answer.
pub(crate) const HTTP_TIMEOUT: Duration = Duration::from_secs(10);

/// A listening socket, and whether more may wait on it.
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    is_ready: bool,
    /// Accepting has failed since it last went well, and the log says so.
    is_in_trouble: bool,
}

/// What came of a round of accepting.
enum Accepted {
    /// Nobody waits any more.
    All,
    /// More may wait; try again next turn.
    More,
    /// The machine has no descriptor or memory for another; try again later.
    Exhausted(io::Error),
}

impl Listener {
    pub(crate) fn register(poll: &Poll, mut socket: TcpListener, token: Token) -> io::Result<Self> {
        poll.registry()
            .register(&mut socket, token, Interest::READABLE)?;
        Ok(Listener {
            socket,
            is_ready: false,
            is_in_trouble: false,
        })
    }

    /// Notes that connections may wait.
    pub(crate) fn ready(listener: &mut Option<Listener>) {
        if let Some(listener) = listener {
            listener.is_ready = true;
        }
    }

    pub(crate) fn is_ready(listener: &Option<Listener>) -> bool {
        listener.as_ref().is_some_and(|listener| listener.is_ready)
    }

    /// Hands each waiting connection to `take`.
    fn accept_some(&self, mut take: impl FnMut(TcpStream, SocketAddr)) -> Accepted {
        for _ in 0..ACCEPTS_MAX {
            match self.socket.accept() {
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

    /// Takes note of how a round went. Returns when to try again, if it has to
    /// be later.
    fn after(&mut self, accepted: Accepted, now: Time, open: usize) -> Option<Time> {
        self.is_ready = matches!(accepted, Accepted::More);
        match accepted {
            Accepted::More => None,
            Accepted::All => {
                self.is_in_trouble = false;
                None
            }
            Accepted::Exhausted(error) => {
                if !self.is_in_trouble {
                    log::error!("cannot accept with {open} connections open: {error}");
                    self.is_in_trouble = true;
                }
                Some(now + ACCEPT_RETRY)
            }
        }
    }
}

impl EventLoop {
    pub(crate) fn accept_clients(&mut self) {
        let Some(mut listener) = self.clients.take_if(|listener| listener.is_ready) else {
            return;
        };
        let accepted = listener.accept_some(|stream, peer| self.welcome_client(stream, peer));
        let retry = listener.after(accepted, self.connections.now, self.connections.len());
        self.clients = Some(listener);
        self.retry_accepting_at(retry);
    }

    pub(crate) fn accept_http(&mut self) {
        let Some(mut listener) = self.http.take_if(|listener| listener.is_ready) else {
            return;
        };
        let accepted = listener.accept_some(|stream, _| self.welcome_http(stream));
        let retry = listener.after(accepted, self.connections.now, self.connections.len());
        self.http = Some(listener);
        self.retry_accepting_at(retry);
    }

    fn retry_accepting_at(&mut self, retry: Option<Time>) {
        if let Some(due) = retry {
            self.timers
                .arm(&mut self.accept_retry_due, due, Timer::AcceptRetry);
        }
    }

    fn welcome_client(&mut self, stream: TcpStream, peer: SocketAddr) {
        let sockets_max = self
            .engine
            .limits()
            .max_connections
            .saturating_add(SPARE_SOCKETS);
        if self.connections.len() >= sockets_max {
            log::debug!("client {peer} turned away: {sockets_max} sockets are open");
            return;
        }
        let codec = Codec::Nats(Partial::default());
        if let Some(id) = self.adopt(stream, codec) {
            self.greet(id, peer);
        }
    }

    /// Opens a session, which says INFO.
    pub(crate) fn open_session(&mut self, id: ConnId, peer: SocketAddr) {
        self.give_nonce();
        let now = self.connections.now;
        self.engine.open(now, id, peer, &mut self.connections);
        self.listen_warily(id);
    }

    /// Reads little at once from who has to show first who it is: what comes
    /// with a CONNECT is kept until its credentials have been looked at.
    fn listen_warily(&mut self, id: ConnId) {
        if self.engine.info().auth_required
            && let Some(connection) = self.connections.get_mut(id)
        {
            connection.read_max = READ_MIN;
        }
    }

    fn welcome_http(&mut self, mut stream: TcpStream) {
        if self.connections.http_count() >= HTTP_CONNECTIONS_MAX
            && !self.connections.kill_idle_page()
        {
            log::debug!("monitoring connection turned away: {HTTP_CONNECTIONS_MAX} are open");
            if !self.config.https {
                // What it does not take at once it need not know.
                let _ = stream.write(TURNED_AWAY);
            }
            return;
        }
        if let Some(id) = self.adopt(stream, Codec::Http(Vec::new())) {
            self.arm_deadline(id, HTTP_TIMEOUT);
            self.expect_page_request(id);
        }
    }

    /// Puts a socket into the table and the poll.
    fn adopt(&mut self, stream: TcpStream, codec: Codec) -> Option<ConnId> {
        // Latency is what small messages are about; the loop itself gathers
        // what can be sent together.
        if let Err(error) = stream.set_nodelay(true) {
            log::debug!("cannot set nodelay: {error}");
        }
        let id = self.connections.insert(stream, codec);
        let connection = self.connections.get_mut(id)?;
        let token = Token(FIRST_CONNECTION + id.index as usize);
        let stream = connection.transport.stream();
        if let Err(error) = self
            .poll
            .registry()
            .register(stream, token, Interest::READABLE)
        {
            log::error!("cannot watch a new connection: {error}");
            self.connections.remove(id);
            return None;
        }
        Some(id)
    }
}
