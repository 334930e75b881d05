//! What a service manager is told: systemd, or what speaks its protocol.
//!
//! Owns the datagrams of `sd_notify(3)`: that the server is ready, what it is
//! doing, that it stops, and that it is alive where the manager wants to hear
//! that (`WatchdogSec=`). The last comes from the event loop itself, so that a
//! loop that hangs is seen and restarted. Everything goes to the socket that
//! the environment names; nothing is said where it names none.

use crate::event_loop::{EventLoop, Timer};
use std::env;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// A shorter watchdog would have the loop do little else.
const WATCHDOG_MIN: Duration = Duration::from_millis(100);

/// The way to the service manager.
#[derive(Debug)]
pub(crate) struct ServiceManager {
    socket: UnixDatagram,
    /// How often it wants to hear that the server is alive.
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// The one that has started this process, if it wants to be told.
    pub(crate) fn of_environment() -> Option<ServiceManager> {
        let address = env::var("NOTIFY_SOCKET").ok()?;
        match connect(&address) {
            Ok(socket) => Some(ServiceManager {
                socket,
                watchdog: watchdog(),
            }),
            Err(error) => {
                log::warn!("cannot tell the service manager at {address}: {error}");
                None
            }
        }
    }

    fn tell(&self, words: &str) {
        if let Err(error) = self.socket.send(words.as_bytes()) {
            log::debug!("cannot tell the service manager {words:?}: {error}");
        }
    }
}

fn connect(address: &str) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    // The loop must not wait for a manager that does not read.
    socket.set_nonblocking(true)?;
    match address.strip_prefix('@') {
        None => socket.connect(address)?,
        Some(name) => connect_abstract(&socket, name)?,
    }
    Ok(socket)
}

#[cfg(target_os = "linux")]
fn connect_abstract(socket: &UnixDatagram, name: &str) -> io::Result<()> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;
    socket.connect_addr(&SocketAddr::from_abstract_name(name)?)
}

#[cfg(not(target_os = "linux"))]
fn connect_abstract(_: &UnixDatagram, _: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Half of what the manager waits for a sign of life from this process.
fn watchdog() -> Option<Duration> {
    if let Ok(pid) = env::var("WATCHDOG_PID")
        && pid.parse() != Ok(std::process::id())
    {
        return None;
    }
    let micros = env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    Some((Duration::from_micros(micros) / 2).max(WATCHDOG_MIN))
}

impl EventLoop {
    /// Clients are accepted from now on.
    pub(crate) fn tell_ready(&mut self) {
        let Some(manager) = &self.service_manager else {
            return;
        };
        let clients = self.clients.as_ref();
        let address = clients.and_then(|clients| clients.socket.local_addr().ok());
        let at = address.map_or_else(String::new, |address| address.to_string());
        manager.tell(&format!("READY=1\nSTATUS=serving clients on {at}"));
        self.tell_alive();
    }

    /// The loop turns. Says so again before the manager loses patience.
    pub(crate) fn tell_alive(&mut self) {
        let manager = self.service_manager.as_ref();
        let Some((manager, every)) = manager.and_then(|it| Some((it, it.watchdog?))) else {
            return;
        };
        manager.tell("WATCHDOG=1");
        let due = self.connections.now + every;
        self.timers.arm(&mut self.alive_due, due, Timer::Alive);
    }

    /// What the server does instead of serving.
    pub(crate) fn tell_status(&self, status: &str) {
        if let Some(manager) = &self.service_manager {
            manager.tell(&format!("STATUS={status}"));
        }
    }

    /// The end has begun.
    pub(crate) fn tell_stopping(&self) {
        if let Some(manager) = &self.service_manager {
            manager.tell("STOPPING=1\nSTATUS=writing what waits for clients");
        }
    }
}
