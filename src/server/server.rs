//! A server from the outside: started, asked, stopped.

use crate::config::Config;
use crate::event_loop::{EventLoop, WAKER};
use mio::net::TcpListener;
use mio::{Poll, Waker};
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A server that listens, and serves once it runs.
pub struct Server {
    event_loop: EventLoop,
    client_address: SocketAddr,
    http_address: Option<SocketAddr>,
    handle: Handle,
}

/// Reaches a running server from another thread.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    waker: Waker,
    stop: AtomicBool,
}

impl Handle {
    /// Asks the server to stop: it takes no more connections, writes what it
    /// has for its clients and returns from [`Server::run`].
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Err(error) = self.shared.waker.wake() {
            log::error!("cannot wake the event loop: {error}");
        }
    }
}

impl Shared {
    pub(crate) fn stop_requested(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

/// Why a server could not start.
#[derive(Debug)]
pub enum StartError {
    /// The host is no address and no name that can be looked up.
    Host {
        /// As configured.
        host: String,
        /// What the look-up said.
        source: io::Error,
    },
    /// The address can't be listened on.
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The event loop can't be set up.
    EventLoop(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Host { host, source } => {
                write!(f, "cannot resolve host \"{host}\": {source}")
            }
            StartError::Listen { address, source } => {
                write!(f, "cannot listen on {address}: {source}")
            }
            StartError::EventLoop(source) => write!(f, "cannot set up the event loop: {source}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StartError::Host { source, .. }
            | StartError::Listen { source, .. }
            | StartError::EventLoop(source) => Some(source),
        }
    }
}

impl Server {
    /// Starts to listen. Clients can connect from now on and are served as
    /// soon as the server runs.
    ///
    /// # Errors
    /// [`StartError`] when an address is wrong or taken, or the system has no
    /// descriptors left.
    pub fn bind(config: Config) -> Result<Self, StartError> {
        let clients = listen(&config.host, config.port)?;
        let client_address = local_address(&clients)?;
        let http = match &config.http {
            Some(http) => Some(listen(&http.host, http.port)?),
            None => None,
        };
        let http_address = http.as_ref().map(local_address).transpose()?;
        let poll = Poll::new().map_err(StartError::EventLoop)?;
        let waker = Waker::new(poll.registry(), WAKER).map_err(StartError::EventLoop)?;
        let shared = Arc::new(Shared {
            waker,
            stop: AtomicBool::new(false),
        });
        let event_loop = EventLoop::new(poll, clients, http, config, shared.clone())
            .map_err(StartError::EventLoop)?;
        log::info!("Listening for client connections on {client_address}");
        if let Some(address) = http_address {
            log::info!("Starting http monitor on {address}");
        }
        Ok(Server {
            event_loop,
            client_address,
            http_address,
            handle: Handle { shared },
        })
    }

    /// Where clients connect.
    pub fn client_address(&self) -> SocketAddr {
        self.client_address
    }

    /// Where monitoring pages are served, if they are.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http_address
    }

    /// Reaches this server from another thread.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Serves until asked to stop, on this thread.
    ///
    /// # Errors
    /// Those of the system's poll, after which nothing can be served.
    pub fn run(self) -> io::Result<()> {
        log::info!("Server is ready");
        self.event_loop.run()
    }
}

fn listen(host: &str, port: u16) -> Result<TcpListener, StartError> {
    let resolved = (host, port).to_socket_addrs().and_then(|mut addresses| {
        addresses
            .next()
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no address"))
    });
    let address = resolved.map_err(|source| StartError::Host {
        host: host.into(),
        source,
    })?;
    TcpListener::bind(address).map_err(|source| StartError::Listen { address, source })
}

fn local_address(listener: &TcpListener) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(StartError::EventLoop)
}
