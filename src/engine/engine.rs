//! The engine: sessions and what they ask for.
//!
//! One call per event: a connection opens, a command arrives, time passes, a
//! connection is gone. Each does its work to the end and leaves nothing
//! half-done; what it has to say is in the [`Outbox`] when it returns.

use crate::account::{Account, GLOBAL};
use crate::auth::Auth;
use crate::ids::SubId;
use crate::limits::Limits;
use crate::outbox::{CloseReason, Outbox};
use crate::rng::Rng;
use crate::session::Session;
use crate::stats::{EngineStats, RouterStats};
use crate::timers::Timers;
use crate::{ConnId, Time};
use bytes::Bytes;
use core::net::SocketAddr;
use foldhash::fast::FixedState;
use midge_proto::{Command, ParseLimits, ServerInfo, WireError, encode};
use std::sync::Arc;
use std::time::Duration;

/// A fresh connection is pinged this soon, to learn its round trip early.
const FIRST_PING: Duration = Duration::from_secs(2);

/// Up to this part of [`FIRST_PING`] is added at random, so that clients that
/// came together are not pinged together.
const FIRST_PING_SPREAD: u32 = 5;

/// A round trip older than this is measured again even on a busy connection.
const RTT_AGE_MAX: Duration = Duration::from_secs(3600);

/// What an engine is made of.
pub struct EngineConfig {
    /// What a client may ask for.
    pub limits: Limits,
    /// Who may enter.
    pub auth: Auth,
    /// What INFO says; the engine fills in what differs by client.
    pub info: ServerInfo,
    /// Feeds every random choice. The same seed and the same calls give the
    /// same bytes.
    pub seed: u64,
}

/// Whether a connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// The next command may come.
    Continue,
    /// So much waits for a receiver that this publisher should rest a little
    /// before more is read from it.
    Stall,
    /// The session is over.
    Closed,
}

/// What to do after input that is no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// Go on after this many bytes.
    Skip(usize),
    /// The session is over.
    Close,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Ping(ConnId),
    Auth(ConnId),
}

/// The broker. See the module's head.
pub struct Engine {
    pub(crate) config: EngineConfig,
    pub(crate) sessions: Sessions,
    pub(crate) account: Account,
    pub(crate) sid_hasher: FixedState,
    pub(crate) rng: Rng,
    pub(crate) stats: EngineStats,
    pub(crate) max_fanout: u64,
    timers: Timers<Timer>,
    last_client_id: u64,
    /// Subscriptions that have had their last message.
    pub(crate) spent: Vec<SubId>,
    /// Sessions to end as soon as nobody is looking at the tables.
    pub(crate) doomed: Vec<(ConnId, CloseReason)>,
    /// The tail of a message whose line was not spelled as a MSG has it.
    pub(crate) respelled: Vec<u8>,
    /// The tail of a message without its header block.
    pub(crate) stripped: Vec<u8>,
    /// Bytes of a line being built.
    pub(crate) scratch: Vec<u8>,
    /// The queue groups a message has met; kept to spare an allocation.
    pub(crate) queue_names: Vec<Arc<[u8]>>,
}

impl Engine {
    /// An engine without sessions.
    pub fn new(config: EngineConfig) -> Self {
        let mut rng = Rng::new(config.seed);
        Engine {
            account: Account::new(GLOBAL, rng.next()),
            sid_hasher: FixedState::with_seed(rng.next()),
            rng,
            config,
            sessions: Sessions::default(),
            stats: EngineStats::default(),
            max_fanout: 0,
            timers: Timers::default(),
            last_client_id: 0,
            spent: Vec::new(),
            doomed: Vec::new(),
            respelled: Vec::new(),
            stripped: Vec::new(),
            scratch: Vec::new(),
            queue_names: Vec::new(),
        }
    }

    /// A client has connected: it is greeted with INFO, and sent away again if
    /// there are `max_connections` already.
    pub fn open<O: Outbox>(
        &mut self,
        now: Time,
        conn: ConnId,
        peer: SocketAddr,
        out: &mut O,
    ) -> Flow {
        self.last_client_id += 1;
        self.stats.total_connections += 1;
        let mut session = Session::new(conn, self.last_client_id, peer, now);
        if self.config.auth.is_required() {
            let due = now + self.config.limits.auth_timeout;
            self.timers
                .arm(&mut session.auth_due, due, Timer::Auth(conn));
        } else {
            session.authorized = true;
        }
        let due = now + self.config.limits.ping_interval;
        self.timers
            .arm(&mut session.ping_due, due, Timer::Ping(conn));
        let is_full = self.sessions.len() >= self.config.limits.max_connections;
        self.sessions.insert(session);
        self.tell_info(conn, false, out);
        if is_full {
            self.tell_error(conn, WireError::MaximumConnections, out);
            return self.close(conn, CloseReason::MaxConnectionsExceeded, out);
        }
        self.settle(conn, out)
    }

    /// Does what a client asks; publishes may also go straight to
    /// [`Engine::publish`]. `owner` is the buffer that the command
    /// borrows from, if that may be kept for sharing a large payload.
    pub fn command<O: Outbox>(
        &mut self,
        now: Time,
        conn: ConnId,
        command: &Command<'_>,
        owner: Option<&Bytes>,
        out: &mut O,
    ) -> Flow {
        let Some(session) = self.sessions.get_mut(conn) else {
            return Flow::Closed;
        };
        if !session.authorized && !matches!(command, Command::Connect(_) | Command::Help) {
            return self.refuse_entry(conn, WireError::AuthorizationViolation, out);
        }
        if !matches!(command, Command::Pong) {
            session.last_in = now;
        }
        match *command {
            Command::Publish(ref publish) => self.publish(now, conn, publish, owner, out),
            Command::Subscribe {
                subject,
                queue,
                sid,
            } => self.subscribe(conn, subject, queue, sid, out),
            Command::Unsubscribe { sid, max } => self.unsubscribe(conn, sid, max, out),
            Command::Ping => self.ping(conn, out),
            Command::Pong => self.pong(now, conn),
            Command::Connect(json) => self.connect(now, conn, json, out),
            Command::Ignored => Flow::Continue,
            Command::Help => self.help(conn, out),
            Command::Send { subject, text } => self.send(conn, subject, text, out),
            Command::Ask { subject, text } => self.ask(conn, subject, text, out),
        }
    }

    fn connect<O: Outbox>(&mut self, now: Time, conn: ConnId, json: &[u8], out: &mut O) -> Flow {
        let Some(session) = self.sessions.get_mut(conn) else {
            return Flow::Closed;
        };
        let user_before = session.options.user.clone();
        let applied = session.options.apply(json);
        let options = &mut session.options;
        // The secrets are not kept, so a second CONNECT that shows none goes
        // by the first.
        let shows_none =
            options.pass.is_empty() && options.auth_token.is_empty() && options.user == user_before;
        let admitted = !options.asks_for_account
            && (self.config.auth.admits(options) || (session.connected && shows_none));
        options.pass = String::new();
        options.auth_token = String::new();
        if applied.is_err() {
            return self.close(conn, CloseReason::ProtocolViolation, out);
        }
        if !admitted {
            return self.refuse_entry(conn, WireError::AuthorizationViolation, out);
        }
        if !matches!(options.protocol, 0 | 1) {
            self.tell_error(conn, WireError::InvalidClientProtocol, out);
            return self.close(conn, CloseReason::BadClientProtocolVersion, out);
        }
        if options.no_responders && !options.headers {
            self.tell_error(conn, WireError::NoRespondersNeedsHeaders, out);
            return self.close(conn, CloseReason::NoRespondersRequiresHeaders, out);
        }
        session.authorized = true;
        self.timers.disarm(&mut session.auth_due, Timer::Auth(conn));
        if session.connected {
            // A second CONNECT starts the conversation over.
            self.drop_subscriptions(conn);
        } else {
            session.connected = true;
            session.is_person = false;
            session.rtt = Some(now - session.started);
            let spread = FIRST_PING / FIRST_PING_SPREAD;
            let extra = spread.mul_f64((self.rng.next() >> 11) as f64 / (1u64 << 53) as f64);
            let due = now + self.config.limits.ping_interval.min(FIRST_PING + extra);
            self.timers
                .arm(&mut session.ping_due, due, Timer::Ping(conn));
        }
        self.confirm(conn, out)
    }

    fn ping<O: Outbox>(&mut self, conn: ConnId, out: &mut O) -> Flow {
        self.tell(conn, encode::PONG, out);
        if let Some(session) = self.sessions.get_mut(conn)
            && session.connected
            && !session.second_info_sent
            && session.options.protocol >= 1
        {
            session.second_info_sent = true;
            self.tell_info(conn, true, out);
        }
        self.settle(conn, out)
    }

    fn pong(&mut self, now: Time, conn: ConnId) -> Flow {
        if let Some(session) = self.sessions.get_mut(conn) {
            if session.pings_out > 0 {
                session.rtt = Some(now - session.ping_sent);
                session.rtt_measured = Some(now);
            }
            session.pings_out = 0;
        }
        Flow::Continue
    }

    /// Does what has become due. Call it no later than
    /// [`Engine::next_deadline`].
    pub fn tick<O: Outbox>(&mut self, now: Time, out: &mut O) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Ping(conn) => self.ping_due(now, conn, out),
                Timer::Auth(conn) => {
                    if let Some(session) = self.sessions.get_mut(conn) {
                        session.auth_due = None;
                    }
                    self.refuse_entry(conn, WireError::AuthenticationTimeout, out);
                }
            }
        }
        self.clean_up(out);
    }

    /// When [`Engine::tick`] has something to do.
    pub fn next_deadline(&self) -> Option<Time> {
        self.timers.next_deadline()
    }

    fn ping_due<O: Outbox>(&mut self, now: Time, conn: ConnId, out: &mut O) {
        let interval = self.config.limits.ping_interval;
        let Some(session) = self.sessions.get_mut(conn) else {
            return;
        };
        session.ping_due = None;
        let wants_rtt = session
            .rtt_measured
            .is_none_or(|measured| now - measured > RTT_AGE_MAX);
        if now - session.last_in >= interval || wants_rtt {
            // A person does not answer pings. If the network is gone, TCP
            // will say so about the ping itself.
            if session.pings_out >= self.config.limits.ping_max && !session.is_person {
                self.tell_error(conn, WireError::StaleConnection, out);
                self.close(conn, CloseReason::StaleConnection, out);
                return;
            }
            session.pings_out += 1;
            session.ping_sent = now;
            self.tell(conn, encode::PING, out);
        }
        if let Some(session) = self.sessions.get_mut(conn) {
            let key = Timer::Ping(conn);
            self.timers.arm(&mut session.ping_due, now + interval, key);
        }
    }

    /// Tells the clients that can hear it that the server is about to leave.
    pub fn lame_duck<O: Outbox>(&mut self, out: &mut O) {
        self.config.info.lame_duck = true;
        let listeners: Vec<ConnId> = self
            .sessions
            .iter()
            .filter(|session| session.connected && session.options.protocol >= 1)
            .map(|session| session.conn)
            .collect();
        for conn in listeners {
            self.tell_info(conn, false, out);
        }
        self.clean_up(out);
    }

    /// Ends a session. Safe to call for one that is over already.
    pub fn close<O: Outbox>(&mut self, conn: ConnId, reason: CloseReason, out: &mut O) -> Flow {
        self.drop_subscriptions(conn);
        let Some(mut session) = self.sessions.remove(conn) else {
            return Flow::Closed;
        };
        self.timers.disarm(&mut session.ping_due, Timer::Ping(conn));
        self.timers.disarm(&mut session.auth_due, Timer::Auth(conn));
        match reason {
            CloseReason::SlowConsumerPendingBytes => self.stats.slow_consumers_pending += 1,
            CloseReason::SlowConsumerWriteDeadline => self.stats.slow_consumers_deadline += 1,
            CloseReason::StaleConnection => self.stats.stale_connections += 1,
            CloseReason::AuthenticationViolation | CloseReason::AuthenticationTimeout => {
                self.stats.auth_errors += 1;
            }
            _ => {}
        }
        out.closed(conn, &session, reason);
        Flow::Closed
    }

    fn drop_subscriptions(&mut self, conn: ConnId) {
        if let Some(session) = self.sessions.get_mut(conn) {
            for id in session.take_subscriptions() {
                self.account.unsubscribe(id);
            }
        }
    }

    /// What a frame of this session may measure. A client that still has to
    /// show credentials may send no payloads.
    pub fn frame_limits(&self, conn: ConnId) -> ParseLimits {
        let mut limits = self.config.limits.frame;
        if self
            .sessions
            .get(conn)
            .is_none_or(|session| !session.authorized)
        {
            limits.max_payload = 0;
        }
        limits
    }

    /// The configured limits.
    pub fn limits(&self) -> &Limits {
        &self.config.limits
    }

    /// What INFO says to everybody.
    pub fn info(&self) -> &ServerInfo {
        &self.config.info
    }

    /// A session by its connection.
    pub fn session(&self, conn: ConnId) -> Option<&Session> {
        self.sessions.get(conn)
    }

    /// All sessions, in no particular order.
    pub fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.sessions.iter()
    }

    /// How many sessions there are.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// The account that a session is in.
    pub fn account_name(&self) -> &'static str {
        self.account.name
    }

    /// Totals.
    pub fn stats(&self) -> &EngineStats {
        &self.stats
    }

    /// The router's totals.
    pub fn router_stats(&self) -> RouterStats {
        RouterStats {
            max_fanout: self.max_fanout,
            deliveries: self.stats.out_msgs,
            ..self.account.stats()
        }
    }

    /// Calls `each` with every subscription of a session.
    pub fn for_each_subscription(
        &self,
        session: &Session,
        mut each: impl FnMut(SubscriptionInfo<'_>),
    ) {
        for id in session.subscriptions() {
            let sub = &self.account.subs[id.index()];
            each(SubscriptionInfo {
                subject: &self.account.filter(id),
                queue: sub.queue.as_deref(),
                sid: &sub.sid,
                delivered: sub.delivered,
                max: sub.max,
            });
        }
    }

    // What follows is shared by the commands.

    /// Sends a line; the session is doomed if it reads too slowly for it.
    pub(crate) fn tell<O: Outbox>(&mut self, conn: ConnId, line: &[u8], out: &mut O) {
        let Some(session) = self.sessions.get_mut(conn) else {
            return;
        };
        if !session.closing && out.line(conn, line) > self.config.limits.max_pending {
            session.closing = true;
            self.doomed
                .push((conn, CloseReason::SlowConsumerPendingBytes));
        }
    }

    pub(crate) fn tell_error<O: Outbox>(
        &mut self,
        conn: ConnId,
        error: WireError<'_>,
        out: &mut O,
    ) {
        let mut line = std::mem::take(&mut self.scratch);
        line.clear();
        encode::error(&mut line, error);
        self.tell(conn, &line, out);
        self.scratch = line;
    }

    fn tell_info<O: Outbox>(&mut self, conn: ConnId, connect_info: bool, out: &mut O) {
        let Some(session) = self.sessions.get(conn) else {
            return;
        };
        let mut info = self.config.info.clone();
        info.client_id = session.client_id;
        info.client_ip = session.peer.ip().to_string();
        info.connect_info = connect_info;
        info.remote_account = connect_info.then(|| self.account.name.to_owned());
        let mut line = Vec::new();
        encode::info(&mut line, &info.to_json());
        self.tell(conn, &line, out);
    }

    /// Tells of an error that the session survives.
    pub(crate) fn refuse<O: Outbox>(
        &mut self,
        conn: ConnId,
        error: WireError<'_>,
        out: &mut O,
    ) -> Flow {
        debug_assert!(!error.closes());
        self.tell_error(conn, error, out);
        self.settle(conn, out)
    }

    /// Ends a session that may not enter.
    pub(crate) fn refuse_entry<O: Outbox>(
        &mut self,
        conn: ConnId,
        error: WireError<'_>,
        out: &mut O,
    ) -> Flow {
        let reason = match error {
            WireError::AuthenticationTimeout => CloseReason::AuthenticationTimeout,
            _ => CloseReason::AuthenticationViolation,
        };
        self.tell_error(conn, error, out);
        self.close(conn, reason, out)
    }

    /// `+OK`, for those who want it.
    pub(crate) fn confirm<O: Outbox>(&mut self, conn: ConnId, out: &mut O) -> Flow {
        if self
            .sessions
            .get(conn)
            .is_some_and(|session| session.options.verbose)
        {
            self.tell(conn, encode::OK, out);
        }
        self.settle(conn, out)
    }

    /// Ends a command: what it has spoiled is cleaned up.
    pub(crate) fn settle<O: Outbox>(&mut self, conn: ConnId, out: &mut O) -> Flow {
        self.clean_up(out);
        self.flow_of(conn)
    }

    #[inline]
    pub(crate) fn flow_of(&self, conn: ConnId) -> Flow {
        match self.sessions.get(conn) {
            Some(_) => Flow::Continue,
            None => Flow::Closed,
        }
    }

    /// Takes out spent subscriptions and doomed sessions.
    pub(crate) fn clean_up<O: Outbox>(&mut self, out: &mut O) {
        while let Some(id) = self.spent.pop() {
            let index = self.account.subs[id.index()].conn;
            if let Some(session) = self.sessions.at(index) {
                let conn = session.conn;
                self.remove_subscription(conn, id);
            }
        }
        while let Some((conn, reason)) = self.doomed.pop() {
            self.close(conn, reason, out);
        }
    }
}

/// One subscription, for monitoring.
#[derive(Debug, Clone, Copy)]
pub struct SubscriptionInfo<'a> {
    /// The filter.
    pub subject: &'a [u8],
    /// The queue group.
    pub queue: Option<&'a [u8]>,
    /// The client's name for it.
    pub sid: &'a [u8],
    /// Messages delivered.
    pub delivered: u64,
    /// It ends at this many; 0 for never.
    pub max: u64,
}

/// The sessions, by the caller's place for their connection.
#[derive(Default)]
pub(crate) struct Sessions {
    // Boxed, because the caller's table has places that are no sessions.
    places: Vec<Option<Box<Session>>>,
    len: usize,
}

impl Sessions {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The session at a place, whoever has it now.
    #[inline]
    pub(crate) fn at(&mut self, index: u32) -> Option<&mut Session> {
        self.places.get_mut(index as usize)?.as_deref_mut()
    }

    #[inline]
    pub(crate) fn get(&self, conn: ConnId) -> Option<&Session> {
        let session = self.places.get(conn.index as usize)?.as_deref()?;
        (session.conn == conn).then_some(session)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Session> {
        self.at(conn.index).filter(|session| session.conn == conn)
    }

    fn insert(&mut self, session: Session) {
        let index = session.conn.index as usize;
        if index >= self.places.len() {
            self.places.resize_with(index + 1, || None);
        }
        debug_assert!(self.places[index].is_none(), "the place is free");
        self.places[index] = Some(Box::new(session));
        self.len += 1;
    }

    fn remove(&mut self, conn: ConnId) -> Option<Box<Session>> {
        let place = self.places.get_mut(conn.index as usize)?;
        if place.as_ref()?.conn != conn {
            return None;
        }
        self.len -= 1;
        place.take()
    }

    fn iter(&self) -> impl Iterator<Item = &Session> {
        self.places.iter().flatten().map(|session| &**session)
    }
}
