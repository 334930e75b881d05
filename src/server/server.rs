//! A server from the outside: started, asked, stopped.

use crate::config::{Config, ConfigError};
use crate::event_loop::{EventLoop, WAKER};
use midge_proto::TlsOffer;
#[cfg(feature = "streams")]
use midge_store::StoreError;
use mio::net::TcpListener;
use mio::{Poll, Waker};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A server that listens, and serves once it runs.
pub struct Server {
    event_loop: EventLoop,
    client_address: SocketAddr,
    http_address: Option<SocketAddr>,
    http_scheme: &'static str,
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
    reload: AtomicBool,
}

impl Handle {
    /// Asks the server to stop: it takes no more connections, writes what it
    /// has for its clients and returns from [`Server::run`]. Asked a second
    /// time it returns at once.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.wake();
    }

    /// Asks the server to read its configuration again: [`Config::reload`].
    pub fn reload(&self) {
        self.shared.reload.store(true, Ordering::Release);
        self.shared.wake();
    }
}

impl Shared {
    /// Gets the loop out of its sleep.
    pub(crate) fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            log::error!("cannot wake the event loop: {error}");
        }
    }

    pub(crate) fn take_reload_request(&self) -> bool {
        self.reload.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn take_stop_request(&self) -> bool {
        self.stop.swap(false, Ordering::AcqRel)
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
    /// A certificate or a key cannot be used; in words, with the file.
    Tls(String),
    /// A setting is out of its range.
    Config(ConfigError),
    /// The file with the streams can't be used.
    #[cfg(feature = "streams")]
    Store(StoreError),
}

impl From<io::Error> for StartError {
    fn from(source: io::Error) -> Self {
        StartError::EventLoop(source)
    }
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
            StartError::Tls(why) => f.write_str(why),
            StartError::Config(error) => error.fmt(f),
            #[cfg(feature = "streams")]
            StartError::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StartError::Host { source, .. }
            | StartError::Listen { source, .. }
            | StartError::EventLoop(source) => Some(source),
            StartError::Tls(_) => None,
            StartError::Config(error) => Some(error),
            #[cfg(feature = "streams")]
            StartError::Store(error) => Some(error),
        }
    }
}

/// An address as it was asked for: a name stays one, as a certificate may be
/// for that name only.
fn told(host: &str, address: SocketAddr) -> String {
    match host.is_empty() || host.parse::<IpAddr>().is_ok() {
        true => address.to_string(),
        false => format!("{host}:{}", address.port()),
    }
}

impl Server {
    /// Starts to listen. Clients can connect from now on and are served as
    /// soon as the server runs.
    ///
    /// # Errors
    /// [`StartError`] when a setting is out of range, an address is wrong or taken, or the system has no
    /// descriptors left.
    pub fn bind(config: Config) -> Result<Self, StartError> {
        config.check().map_err(StartError::Config)?;
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
            reload: AtomicBool::new(false),
        });
        let http_scheme = if config.https { "https" } else { "http" };
        let clients_told = told(&config.host, client_address);
        let http_told = config.http.as_ref().zip(http_address);
        let http_told = http_told.map(|(http, address)| told(&http.host, address));
        let event_loop = EventLoop::new(poll, clients, http, config, shared.clone())?;
        log::info!("Listening for client connections on {clients_told}");
        match event_loop.engine.info().tls {
            TlsOffer::None => {}
            TlsOffer::Available => log::info!("TLS available for client connections"),
            TlsOffer::Required => log::info!("TLS required for client connections"),
        }
        if let Some(address) = http_told {
            log::info!("Starting {http_scheme} monitor on {address}");
        }
        Ok(Server {
            event_loop,
            client_address,
            http_address,
            http_scheme,
            handle: Handle { shared },
        })
    }

    /// Where clients connect.
    pub fn client_address(&self) -> SocketAddr {
        self.client_address
    }

    /// What clients write before it in a URL: `nats`, or `tls`.
    pub fn client_scheme(&self) -> &'static str {
        match self.event_loop.engine.info().tls {
            TlsOffer::None => "nats",
            TlsOffer::Available | TlsOffer::Required => "tls",
        }
    }

    /// What is written before the monitoring pages' address: `http`, or `https`.
    pub fn http_scheme(&self) -> &'static str {
        self.http_scheme
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

/// Listens on the first of the host's addresses that can be had.
fn listen(host: &str, port: u16) -> Result<TcpListener, StartError> {
    let addresses = (host, port).to_socket_addrs();
    let no_host = |source| StartError::Host {
        host: host.into(),
        source,
    };
    let mut failure = None;
    for address in addresses.map_err(no_host)? {
        match TcpListener::bind(address) {
            Ok(listener) => return Ok(listener),
            Err(source) => {
                failure.get_or_insert(StartError::Listen { address, source });
            }
        }
    }
    let no_address = || no_host(io::Error::new(io::ErrorKind::NotFound, "no address"));
    Err(failure.unwrap_or_else(no_address))
}

fn local_address(listener: &TcpListener) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(StartError::EventLoop)
}
