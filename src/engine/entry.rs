//! How a session comes to be somebody's: CONNECT, and what is found out about
//! the credentials in it.

use crate::auth::{Auth, Judgement, User};
use crate::engine::{Engine, Flow, Timer};
use crate::ids::AccountId;
use crate::outbox::{CloseReason, Outbox};
use crate::secret::Proof;
use crate::session::{Bounds, Claim, Session};
use crate::throttle::{Network, Throttle, network};
use crate::{ConnId, Time};
use midge_proto::{TlsOffer, WireError};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Proofs that are looked at or wait for it. With hashes of a tenth of a second
/// the last one waits three, which is about what clients have patience for;
/// further ones are refused, so that they come again when they may be served.
const CHALLENGES_MAX: usize = 32;

/// What one network may have of these, so that the rest is for the others.
const CHALLENGES_EACH: usize = CHALLENGES_MAX / 2;

/// Something to find out about a client's credentials. Whoever takes it has to
/// say what has come of it: [`Engine::verified`].
pub struct Challenge {
    /// Whose they are.
    pub conn: ConnId,
    /// What has to hold.
    pub proof: Proof,
}

/// Who is about to enter, who has tried to, and who is in.
pub(crate) struct Door {
    /// What is made of clients that have said nothing.
    guest: Judgement,
    wants_nonce: bool,
    /// To be taken and looked at.
    challenges: VecDeque<Challenge>,
    /// Those and the ones that have been taken: whose they are, and where from.
    under_way: Vec<(ConnId, Network)>,
    throttle: Throttle,
    /// Sessions of each user whose number is limited.
    present: BTreeMap<String, usize>,
    /// The next client's nonce.
    nonce: Option<Box<str>>,
}

impl Door {
    pub(crate) fn new(auth: &Auth) -> Self {
        Door {
            guest: auth.anonymous(),
            wants_nonce: auth.wants_nonce(),
            challenges: VecDeque::new(),
            under_way: Vec::new(),
            throttle: Throttle::default(),
            present: BTreeMap::new(),
            nonce: None,
        }
    }

    /// Goes by other rules. What they say to every client is found out once:
    /// there may be ten thousand users to look at.
    pub(crate) fn mind(&mut self, auth: &Auth) {
        self.guest = auth.anonymous();
        self.wants_nonce = auth.wants_nonce();
    }

    /// Whether one more proof from there can be looked at.
    fn has_time(&self, network: Network) -> bool {
        let is_near = |other: &&(ConnId, Network)| other.1 == network;
        self.under_way.len() < CHALLENGES_MAX
            && self.under_way.iter().filter(is_near).count() < CHALLENGES_EACH
    }

    /// Whether a user may have one more session.
    fn has_room(&self, user: &User) -> bool {
        let max = user.max_connections;
        max == 0
            || self
                .present
                .get(&user.name)
                .is_none_or(|count| *count < max)
    }

    /// Who is in is to be counted anew.
    pub(crate) fn forget_present(&mut self) {
        self.present.clear();
    }

    pub(crate) fn entered(&mut self, user: &User) {
        if user.max_connections > 0 {
            *self.present.entry(user.name.clone()).or_default() += 1;
        }
    }

    /// A session is over, or another user's from now on.
    pub(crate) fn left(&mut self, session: &Session) {
        let name = session.user.as_ref().map(|user| &user.name);
        if let Some(count) = name.and_then(|name| self.present.get_mut(name)) {
            *count = count.saturating_sub(1);
        }
    }
}

impl Engine {
    /// Whether clients get something to sign, and [`Engine::set_nonce`] has to
    /// be called before the next one.
    pub fn wants_nonce(&self) -> bool {
        self.door.wants_nonce
    }

    /// Gives what the next client has to sign: text that was never there
    /// before and that nobody could know. Without it no key can enter.
    pub fn set_nonce(&mut self, nonce: Box<str>) {
        self.door.nonce = Some(nonce);
    }

    /// The next of the proofs to be looked at.
    pub fn take_challenge(&mut self) -> Option<Challenge> {
        self.door.challenges.pop_front()
    }

    /// Whether word of this client's credentials is awaited.
    pub fn is_verifying(&self, conn: ConnId) -> bool {
        let session = self.sessions.get(conn);
        session.is_some_and(|session| session.verifying.is_some())
    }

    /// A client is here that has said nothing.
    pub(crate) fn receive_guest(&mut self, now: Time, session: &mut Session) {
        session.nonce = self.door.nonce.take();
        match &self.door.guest {
            Judgement::Anybody => session.authorized = true,
            Judgement::User(user) if !user.is_shut_out && self.door.has_room(user) => {
                let user = user.clone();
                session.authorized = true;
                session.is_guest = true;
                session.account = user.account;
                session.bounds = Bounds::of(&user, &self.sid_hasher);
                self.door.entered(&user);
                session.user = Some(user);
            }
            // It may be somebody else yet.
            // Time for that begins when the handshake is done, where there
            // has to be one.
            _ if self.config.info.tls == TlsOffer::Required => {}
            _ => {
                let due = now + self.config.limits.auth_timeout;
                let key = Timer::Auth(session.conn);
                self.timers.arm(&mut session.auth_due, due, key);
            }
        }
    }

    pub(crate) fn connect<O: Outbox>(
        &mut self,
        now: Time,
        conn: ConnId,
        json: &[u8],
        out: &mut O,
    ) -> Flow {
        let Some(session) = self.sessions.get_mut(conn) else {
            return Flow::Closed;
        };
        let options = &mut session.options;
        let (user, nkey) = (options.user.clone(), options.nkey.clone());
        let applied = options.apply(json);
        let is_same = options.user == user && options.nkey == nkey;
        let secrets = [&options.pass, &options.auth_token, &options.sig];
        let shows_none = secrets.iter().all(|secret| secret.is_empty());
        let judgement = if options.asks_for_account {
            Judgement::Nobody
        } else if session.connected && is_same && shows_none {
            // The secrets are not kept, so a second CONNECT that shows none
            // goes by the first.
            session
                .user
                .clone()
                .map_or(Judgement::Anybody, Judgement::User)
        } else if self.door.throttle.is_spent(session.peer.ip(), now) {
            options.forget_secrets();
            return self.refuse_entry(conn, WireError::Throttled, out);
        } else if self.config.auth.maps_certificates {
            let name = session.certified.as_deref();
            self.config.auth.certified(name)
        } else {
            session.is_guest = shows_none && options.user.is_empty() && options.nkey.is_empty();
            self.config.auth.judge(options, session.nonce.as_deref())
        };
        session.options.forget_secrets();
        if applied.is_err() {
            return self.close(conn, CloseReason::ProtocolViolation, out);
        }
        match judgement {
            Judgement::Anybody => self.enter(now, conn, None, out),
            Judgement::User(user) => self.enter(now, conn, Some(user), out),
            Judgement::Nobody => self.refuse_credentials(now, conn, out),
            Judgement::Unproven(user, proof) => self.challenge(conn, user, proof, out),
        }
    }

    /// Has a proof looked at.
    fn challenge<O: Outbox>(
        &mut self,
        conn: ConnId,
        user: Option<Arc<User>>,
        proof: Proof,
        out: &mut O,
    ) -> Flow {
        let Some(session) = self.sessions.get_mut(conn) else {
            return Flow::Closed;
        };
        // The client has done its part in time.
        self.timers.disarm(&mut session.auth_due, Timer::Auth(conn));
        let network = network(session.peer.ip());
        if !self.door.has_time(network) {
            return self.refuse_entry(conn, WireError::Throttled, out);
        }
        session.verifying = Some(Claim { user });
        self.door.under_way.push((conn, network));
        self.door.challenges.push_back(Challenge { conn, proof });
        Flow::Verify
    }

    /// Word of a client's credentials has come. The client may be gone.
    pub fn verified<O: Outbox>(
        &mut self,
        now: Time,
        conn: ConnId,
        is_proven: bool,
        out: &mut O,
    ) -> Flow {
        self.latest = now;
        let under_way = &mut self.door.under_way;
        if let Some(place) = under_way.iter().position(|(whose, _)| *whose == conn) {
            under_way.swap_remove(place);
        }
        let session = self.sessions.get_mut(conn);
        let Some(claim) = session.and_then(|session| session.verifying.take()) else {
            return self.flow_of(conn);
        };
        match claim.user {
            Some(user) if is_proven => self.enter(now, conn, Some(user), out),
            _ => self.refuse_credentials(now, conn, out),
        }
    }

    /// The credentials were right, or none are needed.
    fn enter<O: Outbox>(
        &mut self,
        now: Time,
        conn: ConnId,
        user: Option<Arc<User>>,
        out: &mut O,
    ) -> Flow {
        let Some(session) = self.sessions.get_mut(conn) else {
            return Flow::Closed;
        };
        self.door.left(session);
        session.user = None;
        session.bounds = None;
        if let Some(user) = user {
            if user.is_shut_out {
                return self.refuse_credentials(now, conn, out);
            }
            if !self.door.has_room(&user) {
                self.tell_error(conn, WireError::MaximumConnections, out);
                return self.close(conn, CloseReason::MaxConnectionsExceeded, out);
            }
            session.bounds = Bounds::of(&user, &self.sid_hasher);
            self.door.entered(&user);
            session.user = Some(user);
        }
        self.welcome(now, conn, out)
    }

    /// The client is who it says, or nobody in particular; is the rest of its
    /// CONNECT in order?
    fn welcome<O: Outbox>(&mut self, now: Time, conn: ConnId, out: &mut O) -> Flow {
        let Some(session) = self.sessions.get_mut(conn) else {
            return Flow::Closed;
        };
        session.options.headers &= !self.config.limits.is_headerless;
        let options = &session.options;
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
        let account = session
            .user
            .as_ref()
            .map_or(AccountId::GLOBAL, |user| user.account);
        let is_first = !std::mem::replace(&mut session.connected, true);
        let is_elsewhere = account != session.account;
        if is_first {
            session.is_person = false;
            session.rtt = Some(now - session.started);
        }
        if !is_first || is_elsewhere {
            // A second CONNECT starts the conversation over, and so does one
            // that leads elsewhere.
            self.drop_subscriptions(conn);
        }
        if is_first {
            self.arm_first_ping(now, conn);
        }
        if !self.enter_account(conn, account) {
            self.tell_error(conn, WireError::MaximumAccountConnections, out);
            return self.close(conn, CloseReason::MaxAccountConnectionsExceeded, out);
        }
        if is_first || is_elsewhere {
            self.note_entry(conn);
        }
        self.confirm(conn, out)
    }

    /// The credentials were wrong.
    fn refuse_credentials<O: Outbox>(&mut self, now: Time, conn: ConnId, out: &mut O) -> Flow {
        if let Some(session) = self.sessions.get(conn) {
            self.door.throttle.failed(session.peer.ip(), now);
        }
        self.refuse_entry(conn, WireError::AuthorizationViolation, out)
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
            WireError::Throttled => CloseReason::AuthenticationThrottled,
            _ => CloseReason::AuthenticationViolation,
        };
        self.tell_error(conn, error, out);
        self.close(conn, reason, out)
    }
}
