//! The loop: one thread, everything that happens.
//!
//! A turn polls, reads who is readable, tells the engine what time it is, and
//! before it sleeps again writes what has gathered. Everything that a turn
//! does is bounded, so a flood on one connection costs the others a turn and
//! no more.

use crate::accept::{HTTP_TIMEOUT, Listener};
use crate::config::Config;
use crate::connection::{Codec, Phase};
use crate::connections::{Connections, client_name};
use crate::disk::{self, Disk};
use crate::helper::Helper;
use crate::identity::{entropy, server_info};
use crate::lame_duck::LameDuck;
use crate::memory::Memory;
use crate::monitor::{Monitor, World};
use crate::output_queue::Flushed;
use crate::receive::READ_MAX;
use crate::server::{Shared, StartError};
use crate::service_manager::ServiceManager;
use crate::signals::{self, SignalAction, Signals};
use crate::timestamp::Clock;
use crate::tls::Handshakes;
use crate::turn::{Part, TurnWatch};
use midge_engine::{CloseReason, ConnId, Engine, EngineConfig, Time, Timers};
use mio::event::Event;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const WAKER: Token = Token(0);
const CLIENTS: Token = Token(1);
const HTTP: Token = Token(2);
const SIGNALS: usize = 3;
/// Connections' tokens are their places in the table, from here on.
pub(crate) const FIRST_CONNECTION: usize = SIGNALS + signals::TOKENS;

/// Events taken from one poll; the rest come with the next.
const EVENTS_MAX: usize = 1024;

/// How long a closing connection may take to read our last words and close
/// its own side.
const LINGER: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A connection has rested long enough.
    Resume(ConnId),
    /// A connection has run out of time.
    Deadline(ConnId),
    AcceptRetry,
    /// The certificate may be about to expire.
    #[cfg(feature = "tls")]
    CertificateLook,
    LameDuck,
    StopFlush,
    /// The service manager wants to hear that the server is alive.
    Alive,
    /// The system account wants to hear how the server does.
    Statistics,
}

pub(crate) struct EventLoop {
    pub(crate) service_manager: Option<ServiceManager>,
    pub(crate) alive_due: Option<Time>,
    pub(crate) memory: Memory,
    pub(crate) poll: Poll,
    shared: Arc<Shared>,
    pub(crate) clients: Option<Listener>,
    pub(crate) http: Option<Listener>,
    signals: Option<Signals>,
    pub(crate) engine: Engine,
    pub(crate) disk: Option<Disk>,
    pub(crate) helper: Helper,
    pub(crate) connections: Connections,
    pub(crate) monitor: Monitor,
    pub(crate) clock: Clock,
    pub(crate) turn: TurnWatch,
    pub(crate) handshakes: Handshakes,
    /// Connections to be read from, in turn.
    pub(crate) readable: VecDeque<ConnId>,
    /// Connections that wait for the disk, in the order of coming.
    pub(crate) held: VecDeque<ConnId>,
    /// Connections to be read from after the others in this turn.
    pub(crate) feeders: Vec<ConnId>,
    pub(crate) read_buffer: Vec<u8>,
    /// This turn has made its monitoring page.
    pub(crate) http_answered: bool,
    /// What the input of one connection may cost in this turn.
    pub(crate) turn_share: u64,
    /// What it may give the streams.
    pub(crate) turn_fed: u64,
    /// Where the one that is being read has given them that.
    pub(crate) fed_until: u64,
    /// Somebody had more for the streams.
    pub(crate) is_feeding: bool,
    pub(crate) timers: Timers<Timer>,
    pub(crate) accept_retry_due: Option<Time>,
    /// As it is gone by now.
    pub(crate) config: Box<Config>,
    pub(crate) lame_duck: LameDuck,
    pub(crate) lame_duck_due: Option<Time>,
    pub(crate) statistics_due: Option<Time>,
    pub(crate) stop_due: Option<Time>,
    pub(crate) is_finished: bool,
}

/// What the engine is told at its start.
fn engine_config(config: &Config, address: SocketAddr) -> EngineConfig {
    EngineConfig {
        info: server_info(config, address),
        limits: config.limits.clone(),
        auth: config.auth.clone(),
        accounts: config.accounts.clone(),
        seed: entropy(),
        hash_seed: entropy(),
        word_key: [entropy(), entropy()],
    }
}

impl EventLoop {
    pub(crate) fn new(
        poll: Poll,
        clients: TcpListener,
        http: Option<TcpListener>,
        config: Config,
        shared: Arc<Shared>,
    ) -> Result<Self, StartError> {
        let clock = Clock::start();
        let signals = if config.handle_signals {
            Some(Signals::install(poll.registry(), SIGNALS)?)
        } else {
            None
        };
        let handshakes = Handshakes::new(&config).map_err(StartError::Tls)?;
        // Both are the program's: one that embeds a server tells for itself.
        let manager = match config.handle_signals {
            true => ServiceManager::of_environment(),
            false => None,
        };
        let clients = Listener::register(&poll, clients, CLIENTS)?;
        let http = match http {
            Some(socket) => Some(Listener::register(&poll, socket, HTTP)?),
            None => None,
        };
        let http_address = http.as_ref().and_then(|http| http.socket.local_addr().ok());
        let mut engine = Engine::new(engine_config(&config, clients.socket.local_addr()?));
        engine.set_origin(clock.wall(Time::default()));
        let mut connections = Connections::new(clock.now());
        let disk = disk::open_configured(&config, &shared, &mut engine, &mut connections)?;
        Ok(EventLoop {
            poll,
            helper: Helper::new(shared.clone()),
            shared,
            clients: Some(clients),
            http,
            signals,
            engine,
            disk,
            connections,
            monitor: Monitor::new(clock, &config, http_address),
            clock,
            turn: TurnWatch::default(),
            handshakes,
            service_manager: manager,
            alive_due: None,
            memory: Memory::new(&config),
            readable: VecDeque::new(),
            held: VecDeque::new(),
            feeders: Vec::new(),
            read_buffer: vec![0; READ_MAX],
            http_answered: false,
            turn_share: 0,
            turn_fed: 0,
            fed_until: 0,
            is_feeding: false,
            timers: Timers::default(),
            accept_retry_due: None,
            lame_duck: LameDuck::new(config.lame_duck_grace, config.lame_duck_duration),
            config: Box::new(config),
            lame_duck_due: None,
            statistics_due: None,
            stop_due: None,
            is_finished: false,
        })
    }

    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        #[cfg(feature = "tls")]
        self.arm_certificate_look();
        self.tell_ready();
        while !self.is_finished {
            match self.poll.poll(&mut events, self.poll_timeout()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            self.connections.now = self.clock.now();
            self.turn.begin(self.connections.now);
            self.tell_wall();
            self.mind_memory();
            for event in &events {
                self.on_event(event);
            }
            self.accept_clients();
            self.accept_http();
            self.end_part(Part::Accept);
            self.read_readable();
            self.shake_hands();
            self.end_part(Part::Handshakes);
            self.completions();
            self.take_help();
            self.end_part(Part::Store);
            self.tick();
            self.end_part(Part::Timers);
            self.answer_question();
            self.tell_news();
            self.end_part(Part::Questions);
            self.before_sleep();
            self.end_part(Part::Write);
            self.end_turn();
        }
        self.close_store()?;
        log::info!("Server stopped");
        Ok(())
    }

    /// Says who has kept everybody waiting, if somebody has.
    fn end_turn(&mut self) {
        let Some(slow) = self.turn.end() else {
            return;
        };
        let reader = slow.connection.map(|(took, id)| {
            // One without a session has asked for a page, or is gone.
            let session = self.engine.session(id);
            let who = session.map_or_else(
                || "a monitoring page or a client that left".into(),
                client_name,
            );
            format!("; {} ms for {who}", took.as_millis())
        });
        log::warn!("{slow}{}", reader.unwrap_or_default());
    }

    /// What monitoring remembers, and what there is to be shown.
    pub(crate) fn look_around(&mut self) -> (&mut Monitor, World<'_>) {
        let world = World {
            engine: &self.engine,
            connections: &self.connections,
            disk: self.disk.as_ref(),
            turn: &self.turn,
            handshakes: &self.handshakes,
            memory: &self.memory,
        };
        (&mut self.monitor, world)
    }

    /// A part of the turn is over.
    pub(crate) fn end_part(&mut self, part: Part) {
        self.turn.end_part(part, self.clock.now());
    }

    /// A connection has been read from.
    pub(crate) fn end_read(&mut self, id: ConnId) {
        self.turn.end_read(id, self.clock.now());
    }

    /// How long the poll may sleep: not at all while something is left over
    /// from this turn, else until the next timer.
    fn poll_timeout(&self) -> Option<Duration> {
        let is_accepting = Listener::is_ready(&self.clients) || Listener::is_ready(&self.http);
        let is_asked = self.engine.has_questions() || self.engine.has_news();
        if !self.readable.is_empty() || is_accepting || is_asked || self.handshakes.is_due() {
            return Some(Duration::ZERO);
        }
        let deadlines = [self.engine.next_deadline(), self.timers.next_deadline()];
        let next = deadlines.into_iter().flatten().min()?;
        Some(next.since(self.clock.now()))
    }

    /// Takes note of an event; the work is done afterwards, in turn.
    fn on_event(&mut self, event: &Event) {
        match event.token() {
            WAKER => {
                if self.shared.take_stop_request() {
                    self.stop();
                }
                if self.shared.take_reload_request() {
                    self.reload();
                }
            }
            CLIENTS => Listener::ready(&mut self.clients),
            HTTP => Listener::ready(&mut self.http),
            Token(place) if place >= FIRST_CONNECTION => {
                self.on_connection_event(place - FIRST_CONNECTION, event);
            }
            _ => {
                let signals = self.signals.as_mut();
                match signals.and_then(|signals| signals.action(event)) {
                    Some(SignalAction::Stop) => self.stop(),
                    Some(SignalAction::LameDuck) => self.enter_lame_duck(),
                    Some(SignalAction::Reload) => self.reload(),
                    None => {}
                }
            }
        }
    }

    fn on_connection_event(&mut self, place: usize, event: &Event) {
        // A connection is dropped at the end of a turn, so its place cannot
        // have gone to another within this batch of events.
        let Some(connection) = self.connections.at(place) else {
            return;
        };
        let id = connection.id;
        connection.read_closed |= event.is_read_closed();
        if event.is_read_closed() {
            self.note_hang_up(id);
            self.hung_up(id);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.queue_read(id);
        }
        if event.is_writable() {
            self.connections.mark_dirty(id);
        }
    }

    /// Does what is due.
    fn tick(&mut self) {
        let now = self.connections.now;
        self.engine.tick(now, &mut self.connections);
        while let Some(timer) = self.timers.pop_due(now) {
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
                    Listener::ready(&mut self.clients);
                    Listener::ready(&mut self.http);
                }
                #[cfg(feature = "tls")]
                Timer::CertificateLook => self.look_at_certificate(),
                Timer::LameDuck => {
                    self.lame_duck_due = None;
                    self.let_some_go();
                }
                Timer::Alive => {
                    self.alive_due = None;
                    self.tell_alive();
                }
                Timer::Statistics => self.tell_statistics(),
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
        if connection.phase == Phase::Open && connection.transport.layer.is_held() {
            self.handshake_due(id);
            return;
        }
        let is_client = matches!(connection.codec, Codec::Nats(_));
        if !is_client || connection.phase != Phase::Open {
            self.connections.kill(id);
            return;
        }
        // The poll reports a socket only when a good part of its buffer is
        // free again. A reader that takes less than that in the time still
        // reads.
        match self.connections.flush_one(id) {
            Some(Ok(Flushed::All)) => self.all_written(id),
            Some(Ok(Flushed::Blocked { progress: true })) => {
                self.arm_deadline(id, self.config.write_deadline);
            }
            _ => self.close(id, CloseReason::SlowConsumerWriteDeadline),
        }
    }

    /// What a turn ends with, in this order.
    fn before_sleep(&mut self) {
        self.hand_to_store();
        self.ask_for_help();
        self.flush();
        self.drop_dead();
        if self.stop_due.is_some() && self.connections.len() == 0 {
            self.is_finished = true;
        }
    }

    /// Writes to every connection that something has been queued for.
    pub(crate) fn flush(&mut self) {
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
                self.close(id, CloseReason::WriteError);
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
            Phase::Open if is_http => {
                self.arm_deadline(id, HTTP_TIMEOUT);
                self.queue_read(id);
            }
            Phase::Open => {
                let key = Timer::Deadline(id);
                self.timers.disarm(&mut connection.deadline_due, key);
            }
            Phase::Draining { lingers: false } => self.connections.kill(id),
            Phase::Draining { lingers: true } => {
                connection.transport.shut_write();
                connection.phase = Phase::Lingering;
                self.arm_deadline(id, LINGER);
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
            let stream = connection.transport.stream();
            // From here on the poll reports both. It does so on edges only,
            // which makes the second one free until a write blocks again.
            if let Err(error) = self.poll.registry().reregister(stream, token, both) {
                log::error!("cannot watch {id} for writing: {error}");
                self.close(id, CloseReason::WriteError);
                self.connections.kill(id);
                return;
            }
        }
        // A session lives as long as its client reads at all. What is left of
        // one that is over, or a page, has to be read within the time.
        let is_session =
            connection.phase == Phase::Open && matches!(connection.codec, Codec::Nats(_));
        if connection.deadline_due.is_none() || (progress && is_session) {
            self.arm_deadline(id, self.config.write_deadline);
        }
    }

    pub(crate) fn arm_deadline(&mut self, id: ConnId, timeout: Duration) {
        let due = self.connections.now + timeout;
        if let Some(connection) = self.connections.get_mut(id) {
            self.timers
                .arm(&mut connection.deadline_due, due, Timer::Deadline(id));
        }
    }

    /// Ends a session; its socket follows when all is written.
    pub(crate) fn close(&mut self, id: ConnId, reason: CloseReason) {
        self.engine.close(id, reason, &mut self.connections);
    }

    fn drop_dead(&mut self) {
        for id in self.connections.take_dead() {
            debug_assert!(self.engine.session(id).is_none(), "its session is over");
            let Some(mut connection) = self.connections.remove(id) else {
                continue;
            };
            self.helper.forget(id);
            self.timers
                .disarm(&mut connection.resume_due, Timer::Resume(id));
            self.timers
                .disarm(&mut connection.deadline_due, Timer::Deadline(id));
            self.handshakes.note_end(&connection);
            let stream = connection.transport.stream();
            if let Err(error) = self.poll.registry().deregister(stream) {
                log::debug!("cannot unwatch {id}: {error}");
            }
            // A descriptor has become free.
            if self.accept_retry_due.is_some() {
                self.timers
                    .disarm(&mut self.accept_retry_due, Timer::AcceptRetry);
                Listener::ready(&mut self.clients);
                Listener::ready(&mut self.http);
            }
        }
    }
}
