//! Whose handshake goes on, and how much of a turn that may cost.
//!
//! A signature takes the tenth of a millisecond or a whole one, as much as a
//! thousand messages. So handshakes have a queue of their own, and of a turn
//! no more than a little: who is there already waits for one step at most.
//! Nothing is kept for a client before its first byte, and of those that have
//! begun there is a limit; the others wait for their turn, with their bytes in
//! their sockets, until their time is up.

use super::certificate::Certificate;
use super::layer::Expected;
use super::load::warn_of_end;
use super::options::HandshakeFirst;
use super::places::Places;
use super::session::Broken;
use super::{Acceptor, Layer, Session, load};
use crate::accept::HTTP_TIMEOUT;
use crate::config::Config;
use crate::connection::{Codec, Connection, Phase};
use crate::event_loop::{EventLoop, Timer};
use midge_engine::{CloseReason, ConnId, Time};
use ring::digest;
use rustls::Error;
use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// What a turn may spend on handshakes before it goes on: the step that
/// passes this is the last.
const TURN_MAX: Duration = Duration::from_micros(500);

/// Failed handshakes are logged this often at most: strangers must not be able
/// to fill the log.
const LOG_PAUSE: Duration = Duration::from_secs(1);

/// How often the certificate's end is looked at.
const LOOK_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// What a handshake begins with: the type of its record.
const HANDSHAKE_RECORD: u8 = 0x16;

/// Why there is no TLS with a client.
#[derive(Debug)]
pub(crate) enum Failure {
    Timeout,
    /// It talks in the clear.
    Clear,
    /// It hung up.
    Gone,
    TooLong,
    /// The certificate that it shows, or does not show.
    Certificate(Error),
    Protocol(Error),
    /// Its key is none of those that may be.
    NotPinned,
}

impl Failure {
    /// The reasons as they are counted.
    pub(crate) const REASONS: [&'static str; 5] =
        ["timeout", "clear", "gone", "certificate", "protocol"];

    fn reason(&self) -> usize {
        match self {
            Failure::Timeout => 0,
            Failure::Clear => 1,
            Failure::Gone => 2,
            Failure::Certificate(_) | Failure::NotPinned => 3,
            Failure::TooLong | Failure::Protocol(_) => 4,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::NoCertificatesPresented | Error::InvalidCertificate(_) => {
                Failure::Certificate(error)
            }
            error => Failure::Protocol(error),
        }
    }
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Gone => Failure::Gone,
            Broken::TooLong => Failure::TooLong,
            Broken::Tls(error) => Failure::from(error),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Timeout => f.write_str("it took too long"),
            Failure::Clear => f.write_str("the client talks in the clear"),
            Failure::Gone => f.write_str("the client hung up"),
            Failure::TooLong => f.write_str("it is too long"),
            Failure::NotPinned => f.write_str("the client's key is not a pinned one"),
            Failure::Certificate(error) | Failure::Protocol(error) => error.fmt(f),
        }
    }
}

/// How TLS is done here, and who is at it.
pub(crate) struct Handshakes {
    acceptor: Option<Acceptor>,
    pub(crate) timeout: Duration,
    first: HandshakeFirst,
    allow_non_tls: bool,
    https: bool,
    pinned: Vec<Vec<u8>>,
    /// Those with something to do.
    queue: VecDeque<ConnId>,
    /// Those that have begun, and those that may not yet.
    places: Places,
    pub(crate) done: u64,
    /// By their reasons.
    pub(crate) failed: [u64; Failure::REASONS.len()],
    look_due: Option<Time>,
    logged: Option<Time>,
    unlogged: u64,
}

impl Handshakes {
    /// Reads the certificates, if there are to be any.
    pub(crate) fn new(config: &Config) -> Result<Handshakes, String> {
        let acceptor = config.tls.as_ref().map(load).transpose()?;
        let tls = config.tls.clone().unwrap_or_default();
        let pinned: Option<Vec<_>> = tls.pinned_certs.iter().map(|hex| from_hex(hex)).collect();
        Ok(Handshakes {
            acceptor,
            timeout: tls.timeout,
            first: tls.first,
            allow_non_tls: config.allow_non_tls,
            https: config.https,
            pinned: pinned.ok_or("tls: a pinned certificate is 64 hex digits")?,
            queue: VecDeque::new(),
            places: Places::default(),
            done: 0,
            failed: Default::default(),
            look_due: None,
            logged: None,
            unlogged: 0,
        })
    }

    /// From now on clients see other certificates, and are held to other
    /// settings; those that are there keep what they have.
    pub(crate) fn adopt(&mut self, new: Handshakes) {
        self.acceptor = new.acceptor;
        self.timeout = new.timeout;
        self.first = new.first;
        self.pinned = new.pinned;
    }

    /// There is TLS.
    pub(crate) fn is_on(&self) -> bool {
        self.acceptor.is_some()
    }

    /// When the certificate ends, in seconds since 1970.
    pub(crate) fn not_after(&self) -> Option<i64> {
        self.acceptor
            .as_ref()
            .and_then(|acceptor| acceptor.not_after)
    }

    /// Somebody could go on.
    pub(crate) fn is_due(&self) -> bool {
        !self.queue.is_empty() || self.places.can_give()
    }

    /// Handshakes that have begun and are not over.
    pub(crate) fn in_progress(&self) -> usize {
        self.places.taken()
    }

    /// What a client may be that INFO was sent to.
    fn after_info(&self) -> Expected {
        match self.allow_non_tls {
            true => Expected::Either,
            false => Expected::Tls,
        }
    }

    /// A connection is gone, perhaps from its handshake.
    pub(crate) fn note_end(&mut self, connection: &Connection) {
        match &connection.transport.layer {
            Layer::Tls(session) if !session.is_open() => self.places.free(),
            Layer::Expected(_) => {
                self.places.forget(connection.id);
            }
            _ => {}
        }
    }

    /// Counts a failure, and logs it if that was not done just now.
    fn note_failure(&mut self, failure: &Failure, peer: Option<SocketAddr>, now: Time) {
        self.failed[failure.reason()] += 1;
        if matches!(failure, Failure::Gone) {
            return;
        }
        if self.logged.is_some_and(|then| now - then < LOG_PAUSE) {
            self.unlogged += 1;
            return;
        }
        let more = std::mem::take(&mut self.unlogged);
        self.logged = Some(now);
        let peer = peer.map_or_else(|| "a client".to_owned(), |peer| peer.to_string());
        match more {
            0 => log::warn!("no TLS with {peer}: {failure}"),
            _ => log::warn!("no TLS with {peer}: {failure}; and with {more} others"),
        }
    }
}

/// 32 bytes in hex, perhaps with colons.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.chars().filter(|char| *char != ':');
    let digits: Option<Vec<u8>> = digits
        .map(|char| char.to_digit(16).map(|digit| digit as u8))
        .collect();
    let bytes = digits?;
    (bytes.len() == 64).then(|| bytes.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

impl EventLoop {
    /// Begins with a client that has just connected.
    pub(crate) fn greet(&mut self, id: ConnId, peer: SocketAddr) {
        let (expected, within) = match self.handshakes.first {
            _ if !self.handshakes.is_on() => return self.open_session(id, peer),
            HandshakeFirst::Never => return self.inform_first(id, peer),
            HandshakeFirst::Always => (Expected::First, self.handshakes.timeout),
            HandshakeFirst::Within(time) => (Expected::FirstForNow, time),
        };
        self.expect(id, expected);
        self.arm_deadline(id, within);
    }

    /// Says INFO in the clear; the handshake is to follow.
    fn inform_first(&mut self, id: ConnId, peer: SocketAddr) {
        self.open_session(id, peer);
        // It leaves before anything else can be queued behind it, which is not
        // for the clear.
        self.connections.flush_one(id).transpose().ok();
        if self.engine.session(id).is_none() {
            return;
        }
        let expected = self.handshakes.after_info();
        self.expect(id, expected);
        if expected == Expected::Tls {
            self.arm_deadline(id, self.handshakes.timeout);
        }
    }

    fn expect(&mut self, id: ConnId, expected: Expected) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.transport.layer = Layer::Expected(expected);
        }
    }

    /// Begins with a connection for monitoring.
    pub(crate) fn expect_page_request(&mut self, id: ConnId) {
        if self.handshakes.https {
            self.expect(id, Expected::First);
            self.arm_deadline(id, self.handshakes.timeout);
        }
    }

    /// A connection whose handshake is not done has something to read. It
    /// counts as queued until that is looked at.
    pub(crate) fn queue_handshake(&mut self, id: ConnId) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.is_queued = true;
            self.handshakes.queue.push_back(id);
        }
    }

    /// Goes on with handshakes, as far as this turn allows.
    pub(crate) fn shake_hands(&mut self) {
        if !self.handshakes.is_due() {
            return;
        }
        while let Some(id) = self.handshakes.places.give() {
            self.begin_now(id);
            self.handshakes.queue.push_back(id);
        }
        let began = self.clock.now();
        for _ in 0..self.handshakes.queue.len() {
            if let Some(id) = self.handshakes.queue.pop_front() {
                self.shake(id);
            }
            if self.clock.now() - began >= TURN_MAX {
                break;
            }
        }
    }

    fn shake(&mut self, id: ConnId) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        connection.is_queued = false;
        if connection.phase != Phase::Open {
            return;
        }
        if let Layer::Expected(expected) = connection.transport.layer {
            let mut first = [0];
            let waiting_since = connection.transport.stream.peek(&mut first);
            match waiting_since {
                Ok(1..) if first == [HANDSHAKE_RECORD] => self.begin(id, expected),
                Ok(1..) => return self.go_on_in_the_clear(id, expected),
                Ok(0) => return self.fail(id, &Failure::Gone),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => return self.fail(id, &Failure::Gone),
            }
        }
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let read_closed = connection.read_closed;
        let transport = &mut connection.transport;
        let Layer::Tls(session) = &mut transport.layer else {
            return;
        };
        match session.shake(&mut transport.stream, &mut self.read_buffer) {
            Ok(true) => self.secured(id),
            Ok(false) if read_closed => self.queue_read(id),
            Ok(false) => {}
            Err(broken) => self.fail(id, &Failure::from(broken)),
        }
    }

    /// Begins a handshake, or has it wait.
    fn begin(&mut self, id: ConnId, expected: Expected) {
        // Its first byte has decided what it is, and its time runs even while
        // it waits.
        let decided = match expected {
            Expected::Tls | Expected::Either => Expected::Tls,
            Expected::First | Expected::FirstForNow => Expected::First,
        };
        if decided != expected {
            self.expect(id, decided);
            self.arm_deadline(id, self.handshakes.timeout);
        }
        if self.handshakes.places.take(id) {
            self.begin_now(id);
        } else if let Some(connection) = self.connections.get_mut(id) {
            connection.is_queued = true;
            if connection.read_closed {
                self.fail(id, &Failure::Gone);
            }
        }
    }

    /// Begins a handshake that there is a place for.
    fn begin_now(&mut self, id: ConnId) {
        if let Err(failure) = self.try_begin(id) {
            self.handshakes.places.free();
            self.fail(id, &failure);
        }
    }

    fn try_begin(&mut self, id: ConnId) -> Result<(), Failure> {
        let connection = self.connections.get_mut(id).ok_or(Failure::Gone)?;
        if connection.phase != Phase::Open {
            return Err(Failure::Gone);
        }
        let acceptor = self.handshakes.acceptor.as_ref().ok_or(Failure::Gone)?;
        let config = match connection.codec {
            Codec::Nats(_) => &acceptor.clients,
            Codec::Http(_) => &acceptor.pages,
        };
        let layer = &mut connection.transport.layer;
        let is_first = matches!(layer, Layer::Expected(Expected::First));
        *layer = Layer::Tls(Box::new(Session::new(config.clone(), is_first)?));
        Ok(())
    }

    /// A client has hung up. Who waits for a handshake is not read from, and
    /// would only be found out when its time is up.
    pub(crate) fn note_hang_up(&mut self, id: ConnId) {
        if self.handshakes.places.forget(id) {
            self.fail(id, &Failure::Gone);
        }
    }

    fn go_on_in_the_clear(&mut self, id: ConnId, expected: Expected) {
        if expected != Expected::Either {
            return self.fail(id, &Failure::Clear);
        }
        if let Some(connection) = self.connections.get_mut(id) {
            connection.transport.layer = Layer::Plain;
        }
        self.queue_read(id);
    }

    /// A handshake is done.
    fn secured(&mut self, id: ConnId) {
        self.handshakes.places.free();
        if !self.is_pinned(id) {
            return self.fail(id, &Failure::NotPinned);
        }
        self.handshakes.done += 1;
        let now = self.connections.now;
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if matches!(connection.codec, Codec::Http(_)) {
            self.arm_deadline(id, HTTP_TIMEOUT);
        } else {
            let peer = connection.transport.stream.peer_addr();
            self.timers
                .disarm(&mut connection.deadline_due, Timer::Deadline(id));
            match (self.engine.session(id), peer) {
                (None, Ok(peer)) => self.open_session(id, peer),
                (None, Err(_)) => return self.fail(id, &Failure::Gone),
                (Some(_), _) => {}
            }
            let names = self.names_of(id);
            self.engine.secured(now, id, &names);
        }
        // The client's next words may have come with its last of these.
        self.queue_read(id);
        self.connections.mark_dirty(id);
    }

    /// Whether a client's key may be, where only some may.
    fn is_pinned(&mut self, id: ConnId) -> bool {
        let pinned = &self.handshakes.pinned;
        let connection = self.connections.get_mut(id);
        let is_page = |connection: &Connection| matches!(connection.codec, Codec::Http(_));
        let Some(connection) = connection.filter(|connection| !is_page(connection)) else {
            return true;
        };
        let session = connection.transport.layer.session();
        let is_known = |seen: &Certificate<'_>| {
            let hash = digest::digest(&digest::SHA256, seen.public_key);
            pinned.iter().any(|pinned| pinned == hash.as_ref())
        };
        let seen = session.and_then(Session::certificate);
        pinned.is_empty() || seen.as_ref().is_some_and(is_known)
    }

    /// Whom a client's certificate is of, the name that counts most first.
    fn names_of(&self, id: ConnId) -> Vec<String> {
        let connection = self.connections.get(id);
        connection
            .and_then(|connection| connection.transport.layer.session())
            .and_then(Session::certificate)
            .map_or_else(Vec::new, |certificate| certificate.names())
    }

    /// The time for a handshake is up, or that for beginning by oneself.
    pub(crate) fn handshake_due(&mut self, id: ConnId) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let Layer::Expected(Expected::FirstForNow) = connection.transport.layer else {
            return self.fail(id, &Failure::Timeout);
        };
        connection.transport.layer = Layer::Plain;
        match connection.transport.stream.peer_addr() {
            Ok(peer) => self.inform_first(id, peer),
            Err(_) => self.fail(id, &Failure::Gone),
        }
    }

    pub(crate) fn arm_certificate_look(&mut self) {
        if self.handshakes.is_on() {
            let due = self.connections.now + LOOK_PAUSE;
            self.timers
                .arm(&mut self.handshakes.look_due, due, Timer::CertificateLook);
        }
    }

    /// Warns of a certificate that ends soon: a server may run for years.
    pub(crate) fn look_at_certificate(&mut self) {
        self.handshakes.look_due = None;
        let config = self.config.tls.as_ref();
        if let (Some(config), Some(end)) = (config, self.handshakes.not_after()) {
            warn_of_end(&config.cert_file, end);
        }
        self.arm_certificate_look();
    }

    /// There will be no TLS with this client, and nothing else.
    fn fail(&mut self, id: ConnId, failure: &Failure) {
        let now = self.connections.now;
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let transport = &mut connection.transport;
        let peer = transport.stream.peer_addr().ok();
        self.handshakes.note_failure(failure, peer, now);
        let said_nothing = matches!(transport.layer, Layer::Expected(Expected::Tls));
        if self.engine.session(id).is_none() {
            self.connections.kill(id);
        } else if said_nothing && matches!(failure, Failure::Clear | Failure::Timeout) {
            transport.layer = Layer::Plain;
            self.engine.refuse_clear(id, &mut self.connections);
        } else {
            self.close(id, CloseReason::TlsHandshake);
            self.connections.kill(id);
        }
    }
}
