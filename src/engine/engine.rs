//! The engine: sessions and what they ask for.
//!
//! One call per event: a connection opens, a command arrives, time passes, a
//! connection is gone. Each does its work to the end and leaves nothing
//! half-done; what it has to say is in the [`Outbox`] when it returns.

use crate::account::{Account, Sink, SubscriptionInfo};
use crate::accounts::{Accounts, ByAccount};
use crate::auth::Auth;
use crate::entry::Door;
use crate::ids::{AccountId, ConsumerId, StreamId, SubId};
use crate::limits::Limits;
#[cfg(feature = "streams")]
use crate::maintenance::Desk;
use crate::message_trace::Trace;
use crate::news::Untold;
use crate::outbox::{CloseReason, Outbox};
use crate::questions::Question;
use crate::rng::Rng;
use crate::room::{Room, Waiting};
use crate::session::Session;
use crate::sessions::Sessions;
use crate::stats::{EngineStats, RouterStats};
use crate::streams::{Internal, Streams};
use crate::timers::Timers;
use crate::trie::NodeId;
use crate::ways_back::WaysBack;
use crate::words::Words;
use crate::{ConnId, Time};
use bytes::Bytes;
use core::net::SocketAddr;
use foldhash::fast::FixedState;
use midge_proto::{Command, ParseLimits, ServerInfo, Timestamp, WireError, encode};
use std::cell::Cell;
use std::collections::VecDeque;

/// What an engine is made of.
pub struct EngineConfig {
    /// What a client may ask for.
    pub limits: Limits,
    /// Who may enter.
    pub auth: Auth,
    /// The accounts that clients are in.
    pub accounts: Accounts,
    /// What INFO says; the engine fills in what differs by client.
    pub info: ServerInfo,
    /// Feeds every random choice. The same seed and the same calls give the
    /// same bytes. What is chosen can be seen from outside, so it must not
    /// tell the other seed.
    pub seed: u64,
    /// Keeps clients from choosing names that collide in hash tables; nobody
    /// outside may learn it.
    pub hash_seed: u64,
    /// What subjects are made of that nobody may guess; nobody outside may
    /// learn it.
    pub word_key: [u64; 2],
}

/// Whether a connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// The next command may come.
    Continue,
    /// So much waits for a receiver that this publisher should rest a little
    /// before more is read from it.
    Stall,
    /// So much waits for the disk that nothing more should be read from this
    /// client until [`Engine::is_congested`] says otherwise.
    Hold,
    /// Nothing more should be read from this client until word of its
    /// credentials has come: [`Engine::verified`].
    Verify,
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
pub(crate) enum Timer {
    Ping(ConnId),
    Auth(ConnId),
    Stream(StreamId),
    Consumer(StreamId, ConsumerId),
    #[cfg(feature = "streams")]
    Batches(StreamId),
    #[cfg(feature = "streams")]
    FastBatches(StreamId),
    #[cfg(feature = "streams")]
    Backup,
}

/// The broker. See the module's head.
pub struct Engine {
    pub(crate) config: EngineConfig,
    pub(crate) sessions: Sessions,
    pub(crate) accounts: ByAccount<Account>,
    /// From services to those in other accounts who have asked them.
    pub(crate) ways_back: WaysBack,
    /// What their subjects end in.
    pub(crate) words: Words,
    /// What makes imports lead somewhere.
    pub(crate) import_subscriptions: Vec<(AccountId, SubId)>,
    pub(crate) sid_hasher: FixedState,
    pub(crate) rng: Rng,
    pub(crate) stats: EngineStats,
    pub(crate) max_fanout: u64,
    /// Subscriptions looked at since the start, whether they got something or
    /// not.
    pub(crate) visits: u64,
    pub(crate) fed: u64,
    pub(crate) room: Room,
    /// By the room and the limits there are.
    pub(crate) waiting: Waiting,
    pub(crate) timers: Timers<Timer>,
    /// Who is about to enter, and who has tried to.
    pub(crate) door: Door,
    last_client_id: u64,
    /// When something was last to be done.
    pub(crate) latest: Time,
    /// Subscriptions that have had their last message.
    pub(crate) spent: Vec<(AccountId, SubId)>,
    /// Sessions to end as soon as nobody is looking at the tables.
    pub(crate) doomed: Vec<(ConnId, CloseReason)>,
    /// The tail of a message whose line was not spelled as a MSG has it.
    pub(crate) respelled: Vec<u8>,
    /// The tail of a message without its header block.
    pub(crate) stripped: Vec<u8>,
    /// Bytes of a line being built.
    pub(crate) scratch: Vec<u8>,
    /// The queue groups a message has met: a node of the trie and the place
    /// there. Kept to spare an allocation.
    pub(crate) queue_groups: Vec<(NodeId, usize)>,
    /// The parts of the server that a message goes to.
    pub(crate) hits: Vec<Sink>,
    /// What clients ask of the server itself.
    pub(crate) questions: VecDeque<Question>,
    /// What is to be told in the system account.
    pub(crate) untold: Untold,
    /// The way of the message that is being routed, if it is to be told.
    pub(crate) trace: Option<Box<Trace>>,
    /// What the wall's clock said at the origin of time.
    pub(crate) origin: Timestamp,
    /// How often it was told who we are.
    pub(crate) answers: Cell<u64>,
    /// Messages of the streams' own that go to a part of the server.
    pub(crate) internal: VecDeque<Internal>,
    /// Who asked for something to be done with the store.
    #[cfg(feature = "streams")]
    pub(crate) desk: Desk,
    /// The streams, if there are any to be.
    pub(crate) streams: Option<Box<Streams>>,
}

impl Engine {
    /// An engine without sessions.
    pub fn new(config: EngineConfig) -> Self {
        let sid_hasher = FixedState::with_seed(config.hash_seed.rotate_left(1));
        let mut engine = Engine {
            accounts: ByAccount::new(&config.accounts, |account| {
                Account::new(account, config.hash_seed)
            }),
            ways_back: WaysBack::new(&sid_hasher),
            words: Words::new(config.word_key),
            import_subscriptions: Vec::new(),
            sid_hasher,
            rng: Rng::new(config.seed),
            door: Door::new(&config.auth),
            waiting: Room::BOUNDLESS.waiting(&config.limits),
            config,
            sessions: Sessions::default(),
            stats: EngineStats::default(),
            max_fanout: 0,
            visits: 0,
            fed: 0,
            room: Room::BOUNDLESS,
            timers: Timers::default(),
            last_client_id: 0,
            latest: Time::default(),
            spent: Vec::new(),
            doomed: Vec::new(),
            respelled: Vec::new(),
            stripped: Vec::new(),
            scratch: Vec::new(),
            queue_groups: Vec::new(),
            hits: Vec::new(),
            questions: VecDeque::new(),
            untold: Untold::default(),
            trace: None,
            origin: Timestamp::UNSET,
            answers: Cell::new(0),
            internal: VecDeque::new(),
            #[cfg(feature = "streams")]
            desk: Desk::default(),
            streams: None,
        };
        engine.listen_for_imports();
        let all: Vec<AccountId> = engine.accounts().collect();
        engine.listen_for_questions(&all);
        engine
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
        self.receive_guest(now, &mut session);
        self.accounts[session.account].join(&mut session);
        let due = now + self.config.limits.ping_interval;
        self.timers
            .arm(&mut session.ping_due, due, Timer::Ping(conn));
        let is_full =
            self.sessions.len() >= self.config.limits.max_connections || self.room.is_spent();
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
        if !session.authorized && !matches!(command, Command::Connect(_)) {
            return self.refuse_entry(conn, WireError::AuthorizationViolation, out);
        }
        if !matches!(command, Command::Pong) {
            session.last_in = now;
        }
        self.latest = now;
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
            Command::Send { subject, text } => self.send(now, conn, subject, text, out),
            Command::Ask { subject, text } => self.ask(now, conn, subject, text, out),
            Command::Why {
                stream,
                seq,
                consumer,
            } => self.ask_why(now, conn, (stream, seq, consumer), out),
        }
    }

    /// Does what has become due. Call it no later than
    /// [`Engine::next_deadline`].
    pub fn tick<O: Outbox>(&mut self, now: Time, out: &mut O) {
        self.latest = now;
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Ping(conn) => self.ping_due(now, conn, out),
                Timer::Auth(conn) => {
                    if let Some(session) = self.sessions.get_mut(conn) {
                        session.auth_due = None;
                    }
                    self.refuse_entry(conn, WireError::AuthenticationTimeout, out);
                }
                Timer::Stream(id) => self.with_streams(|streams, engine| {
                    streams.stream_due(engine, id, now, out);
                }),
                Timer::Consumer(stream, id) => self.with_streams(|streams, engine| {
                    streams.consumer_due(engine, stream, id, now, out);
                }),
                #[cfg(feature = "streams")]
                Timer::Batches(id) => self.with_streams(|streams, engine| {
                    streams.batches_due(engine, id, now, out);
                }),
                #[cfg(feature = "streams")]
                Timer::FastBatches(id) => self.with_streams(|streams, engine| {
                    streams.fast_due(engine, id, now);
                }),
                #[cfg(feature = "streams")]
                Timer::Backup => self.backup_due(now, out),
            }
        }
        self.with_streams(|streams, engine| streams.work(engine, now, out));
        self.feed_internal(now, out);
        self.clean_up(out);
    }

    /// When [`Engine::tick`] has something to do.
    pub fn next_deadline(&self) -> Option<Time> {
        let streams = self.streams.as_ref();
        if streams.is_some_and(|streams| streams.has_work()) {
            return Some(Time::default());
        }
        let batch = streams.and_then(|streams| streams.next_deadline());
        [self.timers.next_deadline(), batch]
            .into_iter()
            .flatten()
            .min()
    }

    /// Tells the clients that can hear it that the server is about to leave.
    pub fn lame_duck<O: Outbox>(&mut self, out: &mut O) {
        self.config.info.lame_duck = true;
        self.tell_all_info(out);
        self.clean_up(out);
    }

    /// Tells one client, if it can hear it, that it should look for another
    /// server.
    pub fn ask_to_leave<O: Outbox>(&mut self, conn: ConnId, out: &mut O) {
        let can_hear = |session: &Session| session.connected && session.options.protocol >= 1;
        if self.sessions.get(conn).is_some_and(can_hear) {
            let before = std::mem::replace(&mut self.config.info.lame_duck, true);
            self.tell_info(conn, false, out);
            self.config.info.lame_duck = before;
            self.clean_up(out);
        }
    }

    /// Says anew what everybody was told at first, to those who can hear it.
    pub(crate) fn tell_all_info<O: Outbox>(&mut self, out: &mut O) {
        let listeners: Vec<ConnId> = self
            .sessions
            .iter()
            .filter(|session| session.connected && session.options.protocol >= 1)
            .map(|session| session.conn)
            .collect();
        for conn in listeners {
            self.tell_info(conn, false, out);
        }
    }

    /// Ends a session. Safe to call for one that is over already.
    pub fn close<O: Outbox>(&mut self, conn: ConnId, reason: CloseReason, out: &mut O) -> Flow {
        self.drop_subscriptions(conn);
        let Some(mut session) = self.sessions.remove(conn) else {
            return Flow::Closed;
        };
        let is_slow = matches!(
            reason,
            CloseReason::SlowConsumerPendingBytes | CloseReason::SlowConsumerWriteDeadline
        );
        self.part(session.account, session.place);
        self.accounts[session.account].left(&session, is_slow);
        self.client_left(&session);
        self.door.left(&session);
        self.timers.disarm(&mut session.ping_due, Timer::Ping(conn));
        self.timers.disarm(&mut session.auth_due, Timer::Auth(conn));
        match reason {
            CloseReason::SlowConsumerPendingBytes => self.stats.slow_consumers_pending += 1,
            CloseReason::SlowConsumerWriteDeadline => self.stats.slow_consumers_deadline += 1,
            CloseReason::StaleConnection => self.stats.stale_connections += 1,
            CloseReason::AuthenticationViolation => self.stats.auth_violations += 1,
            CloseReason::AuthenticationTimeout => self.stats.auth_timeouts += 1,
            CloseReason::AuthenticationThrottled => self.stats.auth_throttled += 1,
            _ => {}
        }
        out.closed(conn, &session, reason);
        self.note_end(session, reason);
        Flow::Closed
    }

    pub(crate) fn drop_subscriptions(&mut self, conn: ConnId) {
        if let Some(session) = self.sessions.get_mut(conn) {
            let account = &mut self.accounts[session.account];
            for id in session.take_subscriptions() {
                account.unsubscribe(id);
            }
            self.interest_changed();
        }
    }

    /// What a frame of this session may measure. A client that still has to
    /// show credentials may send no payloads.
    pub fn frame_limits(&self, conn: ConnId) -> ParseLimits {
        let mut limits = self.config.limits.frame;
        limits.max_payload = match self.sessions.get(conn) {
            Some(session) if session.authorized => {
                let own = self.accounts[session.account].limits.max_payload;
                own.map_or(limits.max_payload, |own| own.min(limits.max_payload))
            }
            _ => 0,
        };
        limits
    }

    /// Tells how much memory there is left, where a ceiling is set.
    pub fn set_room(&mut self, room: Room) {
        self.room = room;
        self.waiting = room.waiting(&self.config.limits);
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

    /// Totals.
    pub fn stats(&self) -> &EngineStats {
        &self.stats
    }

    /// Bytes that clients have given the streams since the start, with what a
    /// message takes beside its bytes: what that has cost, also where nothing
    /// was stored.
    pub fn fed(&self) -> u64 {
        self.fed
    }

    /// Subscriptions looked at since the start: what routing has cost, also
    /// where nobody got anything.
    pub fn visits(&self) -> u64 {
        self.visits
    }

    /// The router's totals.
    pub fn router_stats(&self) -> RouterStats {
        let mut stats = RouterStats {
            max_fanout: self.max_fanout,
            deliveries: self.stats.out_msgs,
            ..RouterStats::default()
        };
        for (_, account) in self.accounts.iter() {
            account.add_stats(&mut stats);
        }
        stats
    }

    /// The subscriptions of a session, in no particular order.
    pub fn subscriptions<'a>(
        &'a self,
        session: &'a Session,
    ) -> impl Iterator<Item = SubscriptionInfo<'a>> {
        session.subscriptions().map(|id| SubscriptionInfo {
            account: &self.accounts[session.account],
            id,
        })
    }

    // What follows is shared by the commands.

    /// Sends a line; the session is doomed if it reads too slowly for it.
    pub(crate) fn tell<O: Outbox>(&mut self, conn: ConnId, line: &[u8], out: &mut O) {
        let Some(session) = self.sessions.get_mut(conn) else {
            return;
        };
        let max = self.waiting.max;
        if !session.closing && out.line(conn, line) > max && out.relieve(conn) > max {
            session.cut_as_slow(&mut self.doomed);
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

    pub(crate) fn tell_info<O: Outbox>(&mut self, conn: ConnId, connect_info: bool, out: &mut O) {
        let Some(session) = self.sessions.get(conn) else {
            return;
        };
        let mut info = self.config.info.clone();
        info.client_id = session.client_id;
        info.client_ip = session.peer.ip().to_string();
        info.nonce = session.nonce.clone();
        info.connect_info = connect_info;
        info.is_system_account = connect_info && session.account == AccountId::SYSTEM;
        info.remote_account = connect_info.then(|| self.accounts[session.account].name.to_string());
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
        while let Some((account, id)) = self.spent.pop() {
            let Sink::Session(index) = self.accounts[account].subs[id.index()].sink else {
                continue;
            };
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
