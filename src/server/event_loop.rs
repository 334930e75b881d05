//! The loop: one thread, everything that happens.
//!
//! A turn polls, reads who is readable, tells the engine what time it is, and
//! before it sleeps again writes what has gathered. Everything that a turn
//! does is bounded, so a flood on one connection costs the others a turn and
//! no more.

use crate::accept::{Accepted, accept_some};
use crate::config::Config;
use crate::connection::{Codec, Partial, Phase};
use crate::connections::Connections;
use crate::lame_duck::LameDuck;
use crate::monitor::Monitor;
use crate::output_queue::{Flushed, SHARE_MIN};
use crate::server::Shared;
use crate::signals::{self, Signals, Wish};
use crate::timestamp::Clock;
use bytes::Bytes;
use memchr::memchr;
use midge_engine::{CloseReason, ConnId, Engine, EngineConfig, Flow, Recovery, Time, Timers};
use midge_proto::{Command, Needed, ParseLimits, Parsed, ServerInfo, parse, parse_publish};
use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const WAKER: Token = Token(0);
const CLIENTS: Token = Token(1);
const HTTP: Token = Token(2);
const SIGNALS: usize = 3;
/// Connections' tokens are their places in the table, from here on.
const FIRST_CONNECTION: usize = SIGNALS + signals::TOKENS;

/// Events taken from one poll; the rest come with the next.
const EVENTS_MAX: usize = 1024;

/// Bytes read from one connection in one turn. Large enough to make system
/// calls and wake-ups cheap beside the parsing, small enough to stay in a
/// core's cache; measured, 256 KiB is where more brings nothing.
const READ_BUFFER: usize = 256 * 1024;

/// A frame that comes in pieces gets room for this much at first, and then for
/// twice what has come: an announcement alone takes no memory.
const FRAME_ROOM_MIN: usize = 64 * 1024;

/// Once this much has gathered for all connections together it is written
/// without waiting for the end of the turn: it bounds what a wide fan-out
/// holds in memory, and it is still in the cache.
const FLUSH_BYTES: usize = 1024 * 1024;

/// How long a publisher rests when a receiver of its messages has fallen far
/// behind.
const STALL: Duration = Duration::from_millis(5);

/// How long a closing connection may take to read our last words.
const LINGER: Duration = Duration::from_secs(1);

/// How long to wait before accepting again when the machine had no
/// descriptors left and none of ours has been closed since.
const ACCEPT_RETRY: Duration = Duration::from_millis(250);

/// How long a stopping server tries to write what it has.
const STOP_FLUSH: Duration = Duration::from_secs(2);

/// Monitoring connections at a time; further ones are turned away.
const HTTP_CONNECTIONS_MAX: usize = 64;

/// How long a monitoring connection may be silent.
const HTTP_IDLE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A connection has rested long enough.
    Resume(ConnId),
    /// A connection has run out of time.
    Deadline(ConnId),
    AcceptRetry,
    LameDuck,
    StopFlush,
}

/// A listening socket, and whether more may wait on it.
struct Listener {
    socket: TcpListener,
    token: Token,
    is_ready: bool,
}

pub(crate) struct EventLoop {
    poll: Poll,
    shared: Arc<Shared>,
    clients: Option<Listener>,
    http: Option<Listener>,
    signals: Option<Signals>,
    engine: Engine,
    connections: Connections,
    monitor: Monitor,
    clock: Clock,
    now: Time,
    /// Connections to be read from, in turn.
    readable: VecDeque<ConnId>,
    read_buffer: Vec<u8>,
    timers: Timers<Timer>,
    accept_retry_due: Option<Time>,
    accept_trouble_logged: bool,
    write_deadline: Duration,
    lame_duck: LameDuck,
    lame_duck_due: Option<Time>,
    stop_due: Option<Time>,
    is_finished: bool,
}

impl EventLoop {
    pub(crate) fn new(
        poll: Poll,
        clients: TcpListener,
        http: Option<TcpListener>,
        config: Config,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let clock = Clock::start();
        let signals = if config.handle_signals {
            Some(Signals::install(poll.registry(), SIGNALS)?)
        } else {
            None
        };
        let clients = Listener::register(&poll, clients, CLIENTS)?;
        let http = match http {
            Some(socket) => Some(Listener::register(&poll, socket, HTTP)?),
            None => None,
        };
        let http_address = http.as_ref().and_then(|http| http.socket.local_addr().ok());
        let monitor = Monitor::new(clock, &config, http_address);
        let engine = Engine::new(EngineConfig {
            info: server_info(&config, clients.socket.local_addr()?),
            limits: config.limits.clone(),
            auth: config.auth.clone(),
            seed: entropy(),
        });
        Ok(EventLoop {
            poll,
            shared,
            clients: Some(clients),
            http,
            signals,
            engine,
            connections: Connections::default(),
            monitor,
            now: clock.now(),
            clock,
            readable: VecDeque::new(),
            read_buffer: vec![0; READ_BUFFER],
            timers: Timers::default(),
            accept_retry_due: None,
            accept_trouble_logged: false,
            write_deadline: config.write_deadline,
            lame_duck: LameDuck::new(config.lame_duck_grace, config.lame_duck_duration),
            lame_duck_due: None,
            stop_due: None,
            is_finished: false,
        })
    }

    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !self.is_finished {
            match self.poll.poll(&mut events, self.poll_timeout()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            self.now = self.clock.now();
            self.connections.now = self.now;
            for event in &events {
                self.note(event);
            }
            self.accept_clients();
            self.accept_http();
            self.read_readable();
            self.tick();
            self.before_sleep();
        }
        log::info!("Server stopped");
        Ok(())
    }

    /// How long the poll may sleep: not at all while something is left over
    /// from this turn, else until the next timer.
    fn poll_timeout(&self) -> Option<Duration> {
        let is_ready = |listener: &Option<Listener>| {
            listener.as_ref().is_some_and(|listener| listener.is_ready)
        };
        if !self.readable.is_empty() || is_ready(&self.clients) || is_ready(&self.http) {
            return Some(Duration::ZERO);
        }
        let deadlines = [self.engine.next_deadline(), self.timers.next_deadline()];
        let next = deadlines.into_iter().flatten().min()?;
        Some(next.since(self.clock.now()))
    }

    /// Takes note of an event; the work is done afterwards, in turn.
    fn note(&mut self, event: &Event) {
        match event.token() {
            WAKER => {
                if self.shared.stop_requested() {
                    self.stop();
                }
            }
            CLIENTS => ready(&mut self.clients),
            HTTP => ready(&mut self.http),
            Token(place) if place >= FIRST_CONNECTION => {
                self.note_connection(place - FIRST_CONNECTION, event);
            }
            _ => {
                let wish = self
                    .signals
                    .as_mut()
                    .and_then(|signals| signals.wish(event));
                match wish {
                    Some(Wish::Stop) => self.stop(),
                    Some(Wish::LameDuck) => self.enter_lame_duck(),
                    Some(Wish::Reload) => log::info!("nothing to reload: no configuration file"),
                    None => {}
                }
            }
        }
    }

    fn note_connection(&mut self, place: usize, event: &Event) {
        let Some(connection) = self.connections.at(place) else {
            return;
        };
        let id = connection.id;
        connection.read_closed |= event.is_read_closed();
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.queue_read(id);
        }
        if event.is_writable() {
            self.connections.mark_dirty(id);
        }
    }

    fn queue_read(&mut self, id: ConnId) {
        if let Some(connection) = self.connections.get_mut(id)
            && !connection.is_queued
        {
            connection.is_queued = true;
            self.readable.push_back(id);
        }
    }

    fn accept_clients(&mut self) {
        let Some(listener) = self.clients.take_if(|listener| listener.is_ready) else {
            return;
        };
        let accepted = accept_some(&listener.socket, |stream, peer| {
            self.welcome_client(stream, peer);
        });
        self.clients = Some(self.after_accept(listener, accepted));
    }

    fn accept_http(&mut self) {
        let Some(listener) = self.http.take_if(|listener| listener.is_ready) else {
            return;
        };
        let accepted = accept_some(&listener.socket, |stream, _| self.welcome_http(stream));
        self.http = Some(self.after_accept(listener, accepted));
    }

    fn after_accept(&mut self, mut listener: Listener, accepted: Accepted) -> Listener {
        listener.is_ready = matches!(accepted, Accepted::More);
        match accepted {
            Accepted::More => {}
            Accepted::All => self.accept_trouble_logged = false,
            Accepted::Exhausted(error) => {
                if !self.accept_trouble_logged {
                    let count = self.connections.len();
                    log::error!("cannot accept with {count} connections open: {error}");
                    self.accept_trouble_logged = true;
                }
                let due = self.now + ACCEPT_RETRY;
                self.timers
                    .arm(&mut self.accept_retry_due, due, Timer::AcceptRetry);
            }
        }
        listener
    }

    fn welcome_client(&mut self, stream: TcpStream, peer: SocketAddr) {
        let codec = Codec::Nats(Partial::default());
        if let Some(id) = self.adopt(stream, codec) {
            self.engine.open(self.now, id, peer, &mut self.connections);
        }
    }

    fn welcome_http(&mut self, stream: TcpStream) {
        if self.connections.http_count() >= HTTP_CONNECTIONS_MAX {
            log::warn!("monitoring connection turned away: {HTTP_CONNECTIONS_MAX} are open");
            return;
        }
        if let Some(id) = self.adopt(stream, Codec::Http(Vec::new())) {
            self.arm_deadline(id, HTTP_IDLE);
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
        let source = connection.transport.source();
        if let Err(error) = self
            .poll
            .registry()
            .register(source, token, Interest::READABLE)
        {
            log::error!("cannot watch a new connection: {error}");
            self.connections.remove(id);
            return None;
        }
        Some(id)
    }

    /// Gives each readable connection one read.
    fn read_readable(&mut self) {
        for _ in 0..self.readable.len() {
            let Some(id) = self.readable.pop_front() else {
                return;
            };
            self.read(id);
        }
    }

    fn read(&mut self, id: ConnId) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        connection.is_queued = false;
        let phase = connection.phase;
        // Resting and draining connections are read from when that is over.
        let is_resting = connection.resume_due.is_some();
        if is_resting || matches!(phase, Phase::Draining(_) | Phase::Dead) {
            return;
        }
        let mut buffer = std::mem::take(&mut self.read_buffer);
        let read = connection.transport.read(&mut buffer);
        // A short read has emptied the socket, unless the end is still to come.
        let may_have_more =
            connection.read_closed || matches!(read, Ok(Some(count)) if count == buffer.len());
        let is_http = matches!(connection.codec, Codec::Http(_));
        match (phase, read) {
            (_, Ok(None)) => {}
            (Phase::Open, Ok(Some(count @ 1..))) => {
                if is_http {
                    self.receive_http(id, &buffer[..count]);
                } else {
                    self.receive(id, &buffer[..count]);
                }
                if may_have_more {
                    self.queue_read(id);
                }
            }
            (Phase::Open, _) if is_http => self.connections.kill(id),
            (Phase::Open, Ok(Some(_))) => {
                self.engine
                    .close(id, CloseReason::ClientClosed, &mut self.connections);
            }
            (Phase::Open, Err(error)) => {
                log::debug!("cannot read from {id}: {error}");
                self.engine
                    .close(id, CloseReason::ReadError, &mut self.connections);
            }
            // What a lingering client still says is of no interest.
            (_, Ok(Some(1..))) if may_have_more => self.queue_read(id),
            (_, Ok(Some(1..))) => {}
            (_, Ok(Some(_)) | Err(_)) => self.connections.kill(id),
        }
        self.read_buffer = buffer;
    }

    /// Takes in bytes of a client: the engine gets every command that is
    /// whole, the connection keeps what is not.
    fn receive(&mut self, id: ConnId, data: &[u8]) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let Codec::Nats(partial) = &mut connection.codec else {
            return;
        };
        let mut partial = std::mem::take(partial);
        let mut limits = self.engine.frame_limits(id);
        let mut stalled = false;
        let mut rest = data;
        while !partial.bytes.is_empty() && !rest.is_empty() {
            rest = fill(&mut partial, rest);
            let bytes = std::mem::take(&mut partial.bytes);
            // A large frame that came in pieces has its buffer to itself,
            // which the receivers of its payload may share.
            let whole = if is_whole(&bytes, partial.needed) && bytes.len() >= SHARE_MIN {
                let owner = Bytes::from(bytes);
                self.obey(id, &owner, Some(&owner), &mut limits, &mut stalled)
            } else {
                let whole = self.obey(id, &bytes, None, &mut limits, &mut stalled);
                partial.bytes = bytes;
                whole
            };
            let Some(Leftover { used, needed }) = whole else {
                return;
            };
            partial.bytes.drain(..used.min(partial.bytes.len()));
            partial.needed = needed;
        }
        if !rest.is_empty() {
            let whole = self.obey(id, rest, None, &mut limits, &mut stalled);
            let Some(Leftover { used, needed }) = whole else {
                return;
            };
            partial.bytes = rest[used..].to_vec();
            partial.needed = needed;
        }
        if let Some(connection) = self.connections.get_mut(id) {
            connection.codec = Codec::Nats(partial);
            if stalled {
                let due = self.now + STALL;
                self.timers
                    .arm(&mut connection.resume_due, due, Timer::Resume(id));
            }
        }
    }

    /// Hands the engine every whole command at the front of `input`. `None`
    /// when the session is over.
    fn obey(
        &mut self,
        id: ConnId,
        input: &[u8],
        owner: Option<&Bytes>,
        limits: &mut ParseLimits,
        stalled: &mut bool,
    ) -> Option<Leftover> {
        let mut used = 0;
        while used < input.len() {
            let rest = &input[used..];
            let out = &mut self.connections;
            let flow = if let Some((publish, frame_len)) = parse_publish(rest, limits) {
                used += frame_len;
                self.engine.publish(self.now, id, &publish, owner, out)
            } else {
                match parse(rest, limits) {
                    Ok(Parsed::Whole {
                        command,
                        used: frame_len,
                    }) => {
                        used += frame_len;
                        let flow = self.engine.command(self.now, id, &command, owner, out);
                        if matches!(command, Command::Connect(_)) {
                            *limits = self.engine.frame_limits(id);
                        }
                        flow
                    }
                    Ok(Parsed::Partial(needed)) => return Some(Leftover { used, needed }),
                    Err(error) => match self.engine.fault(id, &error, out) {
                        Recovery::Skip(count) => {
                            used += count;
                            Flow::Continue
                        }
                        Recovery::Close => return None,
                    },
                }
            };
            match flow {
                Flow::Continue => {}
                Flow::Stall => *stalled = true,
                Flow::Closed => return None,
            }
            if self.connections.unflushed() >= FLUSH_BYTES {
                self.flush();
            }
        }
        Some(Leftover {
            used,
            needed: Needed::Line,
        })
    }

    fn receive_http(&mut self, id: ConnId, data: &[u8]) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let Codec::Http(received) = &mut connection.codec else {
            return;
        };
        let mut received = std::mem::take(received);
        received.extend_from_slice(data);
        let answer = self
            .monitor
            .answer(&mut received, &self.engine, &self.connections, self.now);
        self.connections.push(id, &answer.bytes);
        if let Some(connection) = self.connections.get_mut(id) {
            connection.codec = Codec::Http(received);
            if answer.ends {
                connection.phase = Phase::Draining(CloseReason::ClientClosed);
                self.connections.mark_dirty(id);
            }
        }
    }

    /// Does what is due.
    fn tick(&mut self) {
        self.engine.tick(self.now, &mut self.connections);
        while let Some(timer) = self.timers.pop_due(self.now) {
            match timer {
                Timer::Resume(id) => {
                    if let Some(connection) = self.connections.get_mut(id) {
                        connection.resume_due = None;
                        self.queue_read(id);
                    }
                }
                Timer::Deadline(id) => self.deadline_passed(id),
                Timer::AcceptRetry => {
                    self.accept_retry_due = None;
                    ready(&mut self.clients);
                    ready(&mut self.http);
                }
                Timer::LameDuck => {
                    self.lame_duck_due = None;
                    self.let_some_go();
                }
                Timer::StopFlush => {
                    self.stop_due = None;
                    let left = self.connections.len();
                    log::warn!("stopping with {left} connections that read too slowly");
                    self.is_finished = true;
                }
            }
        }
    }

    fn deadline_passed(&mut self, id: ConnId) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        connection.deadline_due = None;
        let is_client = matches!(connection.codec, Codec::Nats(_));
        if is_client && connection.phase == Phase::Open {
            let reason = CloseReason::SlowConsumerWriteDeadline;
            self.engine.close(id, reason, &mut self.connections);
        } else {
            self.connections.kill(id);
        }
    }

    /// What a turn ends with, in this order.
    fn before_sleep(&mut self) {
        self.flush();
        self.drop_dead();
        if self.stop_due.is_some() && self.connections.len() == 0 {
            self.is_finished = true;
        }
    }

    /// Writes to every connection that something has been queued for.
    fn flush(&mut self) {
        let dirty = self.connections.take_dirty();
        for id in &dirty {
            self.flush_one(*id);
        }
        self.connections.recycle_dirty(dirty);
    }

    fn flush_one(&mut self, id: ConnId) {
        match self.connections.flush_one(id) {
            None => {}
            Some(Ok(Flushed::All)) => self.all_written(id),
            Some(Ok(Flushed::Blocked { progress })) => self.write_blocked(id, progress),
            Some(Err(error)) => {
                log::debug!("cannot write to {id}: {error}");
                self.engine
                    .close(id, CloseReason::WriteError, &mut self.connections);
                self.connections.kill(id);
            }
        }
    }

    fn all_written(&mut self, id: ConnId) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let is_http = matches!(connection.codec, Codec::Http(_));
        match connection.phase {
            Phase::Open if is_http => self.arm_deadline(id, HTTP_IDLE),
            Phase::Open => {
                let key = Timer::Deadline(id);
                self.timers.disarm(&mut connection.deadline_due, key);
            }
            Phase::Draining(CloseReason::ClientClosed) => self.connections.kill(id),
            Phase::Draining(reason) => {
                connection.transport.shut_write();
                connection.phase = Phase::Lingering;
                let patience = match reason {
                    // Everybody goes at once; whoever reads has read by then.
                    CloseReason::ServerShutdown => Duration::ZERO,
                    _ => LINGER,
                };
                self.arm_deadline(id, patience);
                self.queue_read(id);
            }
            Phase::Lingering | Phase::Dead => {}
        }
    }

    /// The socket takes no more: wait until it does, but not forever.
    fn write_blocked(&mut self, id: ConnId, progress: bool) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if !connection.transport.wants_writable {
            connection.transport.wants_writable = true;
            let token = Token(FIRST_CONNECTION + id.index as usize);
            let both = Interest::READABLE | Interest::WRITABLE;
            let source = connection.transport.source();
            // From here on the poll reports both. It does so on edges only,
            // which makes the second one free until a write blocks again.
            if let Err(error) = self.poll.registry().reregister(source, token, both) {
                log::error!("cannot watch {id} for writing: {error}");
                self.engine
                    .close(id, CloseReason::WriteError, &mut self.connections);
                self.connections.kill(id);
                return;
            }
        }
        if progress || connection.deadline_due.is_none() {
            self.arm_deadline(id, self.write_deadline);
        }
    }

    fn arm_deadline(&mut self, id: ConnId, patience: Duration) {
        if let Some(connection) = self.connections.get_mut(id) {
            let due = self.now + patience;
            self.timers
                .arm(&mut connection.deadline_due, due, Timer::Deadline(id));
        }
    }

    fn drop_dead(&mut self) {
        for id in self.connections.take_dead() {
            // A session that died of its socket is over by now; this is for
            // one whose socket was dropped for another reason.
            self.engine
                .close(id, CloseReason::ClientClosed, &mut self.connections);
            let Some(mut connection) = self.connections.remove(id) else {
                continue;
            };
            self.timers
                .disarm(&mut connection.resume_due, Timer::Resume(id));
            self.timers
                .disarm(&mut connection.deadline_due, Timer::Deadline(id));
            if let Err(error) = self
                .poll
                .registry()
                .deregister(connection.transport.source())
            {
                log::debug!("cannot unwatch {id}: {error}");
            }
            // A descriptor has become free.
            if self.accept_retry_due.is_some() {
                self.timers
                    .disarm(&mut self.accept_retry_due, Timer::AcceptRetry);
                ready(&mut self.clients);
                ready(&mut self.http);
            }
        }
    }

    fn enter_lame_duck(&mut self) {
        if self.lame_duck_due.is_some() || self.stop_due.is_some() || self.clients.is_none() {
            return;
        }
        log::info!("Entering lame duck mode, stop accepting new clients");
        self.clients = None;
        self.engine.lame_duck(&mut self.connections);
        let due = self.now + self.lame_duck.grace();
        self.timers
            .arm(&mut self.lame_duck_due, due, Timer::LameDuck);
    }

    /// One step of lame duck mode.
    fn let_some_go(&mut self) {
        let sessions = self.engine.sessions().map(|session| session.conn());
        let step = self.lame_duck.step(sessions);
        for id in step.leaving {
            self.engine
                .close(id, CloseReason::ServerShutdown, &mut self.connections);
        }
        match step.pause {
            Some(pause) => {
                let due = self.now + pause;
                self.timers
                    .arm(&mut self.lame_duck_due, due, Timer::LameDuck);
            }
            None => self.stop(),
        }
    }

    /// Takes no more connections, writes what there is and then ends.
    fn stop(&mut self) {
        if self.stop_due.is_some() {
            // Asked twice: somebody is in a hurry.
            self.is_finished = true;
            return;
        }
        log::info!("Initiating Shutdown...");
        self.clients = None;
        self.http = None;
        self.timers.disarm(&mut self.lame_duck_due, Timer::LameDuck);
        for id in self.connections.ids() {
            self.engine
                .close(id, CloseReason::ServerShutdown, &mut self.connections);
            if let Some(connection) = self.connections.get_mut(id)
                && (connection.phase == Phase::Lingering
                    || matches!(connection.codec, Codec::Http(_)))
            {
                self.connections.kill(id);
            }
        }
        let due = self.now + STOP_FLUSH;
        self.timers.arm(&mut self.stop_due, due, Timer::StopFlush);
    }
}

impl Listener {
    fn register(poll: &Poll, mut socket: TcpListener, token: Token) -> io::Result<Self> {
        poll.registry()
            .register(&mut socket, token, Interest::READABLE)?;
        Ok(Listener {
            socket,
            token,
            is_ready: false,
        })
    }
}

/// What [`EventLoop::obey`] has left of its input.
struct Leftover {
    used: usize,
    needed: Needed,
}

fn ready(listener: &mut Option<Listener>) {
    if let Some(listener) = listener {
        log::trace!("{:?} may have connections waiting", listener.token);
        listener.is_ready = true;
    }
}

/// Moves what the partial frame is missing from `data`, at most; returns the
/// rest.
fn fill<'a>(partial: &mut Partial, data: &'a [u8]) -> &'a [u8] {
    let have = partial.bytes.len();
    let wanted = match partial.needed {
        Needed::Line => memchr(b'\n', data).map_or(data.len(), |lf| lf + 1),
        Needed::Bytes(total) => {
            // Grows with what has come, not with what was announced.
            let room = total.min((have * 2).max(FRAME_ROOM_MIN));
            if partial.bytes.capacity() < room {
                partial.bytes.reserve_exact(room - have);
            }
            total.saturating_sub(have).min(data.len())
        }
    };
    partial.bytes.extend_from_slice(&data[..wanted]);
    &data[wanted..]
}

fn is_whole(bytes: &[u8], needed: Needed) -> bool {
    matches!(needed, Needed::Bytes(total) if bytes.len() >= total)
}

/// What INFO says of this server.
fn server_info(config: &Config, address: SocketAddr) -> ServerInfo {
    let server_id = server_id();
    ServerInfo {
        server_name: if config.name.is_empty() {
            server_id.clone()
        } else {
            config.name.clone()
        },
        server_id,
        version: crate::NATS_VERSION,
        proto: 1,
        host: config.host.clone(),
        port: address.port(),
        headers: true,
        auth_required: config.auth.is_required(),
        max_payload: config.limits.frame.max_payload,
        jetstream: false,
        client_id: 0,
        client_ip: String::new(),
        lame_duck: false,
        connect_info: false,
        remote_account: None,
    }
}

/// A name for this run, in the form that NATS tools expect: an N and 55
/// letters and digits of base 32.
fn server_id() -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut id = String::from("N");
    while id.len() < 56 {
        let letter = ALPHABET[(entropy() >> 59) as usize];
        id.push(char::from(letter));
    }
    id
}

/// A random number, from the source that seeds the standard hash maps.
fn entropy() -> u64 {
    RandomState::new().build_hasher().finish()
}
