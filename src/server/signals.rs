//! Signals, as events of the loop.

use mio::event::Event;
use mio::net::UnixStream;
use mio::{Interest, Registry, Token};
use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR2};
use std::io::{self, Read};

/// What a signal asks of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignalAction {
    Stop,
    LameDuck,
    Reload,
}

const SIGNALS: [(i32, SignalAction); 4] = [
    (SIGINT, SignalAction::Stop),
    (SIGTERM, SignalAction::Stop),
    (SIGUSR2, SignalAction::LameDuck),
    (SIGHUP, SignalAction::Reload),
];

/// A socket pair for each signal, whose handler writes a byte.
#[derive(Debug)]
pub(crate) struct Signals {
    first_token: usize,
    receivers: Vec<UnixStream>,
    handlers: Vec<SigId>,
}

/// How many poll tokens the signals take.
pub(crate) const TOKENS: usize = SIGNALS.len();

impl Signals {
    /// Starts to catch signals; their events carry `first_token` and the
    /// [`TOKENS`] that follow.
    pub(crate) fn install(registry: &Registry, first_token: usize) -> io::Result<Self> {
        let mut signals = Signals {
            first_token,
            receivers: Vec::new(),
            handlers: Vec::new(),
        };
        for (offset, (signal, _)) in SIGNALS.iter().enumerate() {
            let (mut receiver, sender) = UnixStream::pair()?;
            let token = Token(first_token + offset);
            registry.register(&mut receiver, token, Interest::READABLE)?;
            let handler = signal_hook::low_level::pipe::register(*signal, sender)?;
            signals.handlers.push(handler);
            signals.receivers.push(receiver);
        }
        Ok(signals)
    }

    /// What the signal behind an event asks for, if it is one.
    pub(crate) fn action(&mut self, event: &Event) -> Option<SignalAction> {
        let offset = event.token().0.checked_sub(self.first_token)?;
        let receiver = self.receivers.get_mut(offset)?;
        let mut bytes = [0; 16];
        while receiver.read(&mut bytes).is_ok_and(|count| count > 0) {}
        SIGNALS.get(offset).map(|(_, action)| *action)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for handler in self.handlers.drain(..) {
            signal_hook::low_level::unregister(handler);
        }
    }
}
