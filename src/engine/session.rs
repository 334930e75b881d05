//! One client's side of the conversation.

use crate::account::Account;
use crate::auth::User;
use crate::ids::{AccountId, SubId};
use crate::outbox::CloseReason;
use crate::permissions::Permissions;
use crate::replies::Replies;
use crate::{ConnId, Time};
use core::net::SocketAddr;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use midge_api::ConnectOptions;
use midge_proto::Publish;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

/// Messages and payload bytes of one session, seen from the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages from the client.
    pub in_msgs: u64,
    /// Payload bytes from the client.
    pub in_bytes: u64,
    /// Messages to the client.
    pub out_msgs: u64,
    /// Payload bytes to the client.
    pub out_bytes: u64,
}

impl Traffic {
    pub(crate) fn add(&mut self, other: Traffic) {
        self.in_msgs += other.in_msgs;
        self.in_bytes += other.in_bytes;
        self.out_msgs += other.out_msgs;
        self.out_bytes += other.out_bytes;
    }
}

/// A client between its connection and its end.
#[derive(Debug)]
pub struct Session {
    pub(crate) conn: ConnId,
    pub(crate) client_id: u64,
    pub(crate) peer: SocketAddr,
    pub(crate) options: ConnectOptions,
    /// CONNECT has been taken.
    pub(crate) connected: bool,
    /// Credentials have been taken, or none are needed.
    pub(crate) authorized: bool,
    /// A person types here: a line ended as only typed ones do, or began with
    /// a verb that is for people.
    pub(crate) is_person: bool,
    /// Lines that a person mistyped.
    pub(crate) mistakes: u32,
    /// The INFO that follows the first PING has been sent.
    pub(crate) second_info_sent: bool,
    /// The session is over as soon as the current command is; nothing more is
    /// sent to it.
    pub(crate) closing: bool,
    pub(crate) traffic: Traffic,
    pub(crate) started: Time,
    /// When the client last said something other than PONG.
    pub(crate) last_in: Time,
    pub(crate) pings_out: u32,
    pub(crate) ping_sent: Time,
    pub(crate) rtt: Option<Duration>,
    /// When a PONG last gave the round trip; until then it is a guess.
    pub(crate) rtt_measured: Option<Time>,
    /// When the ping timer is armed for.
    pub(crate) ping_due: Option<Time>,
    /// The user that the client's certificate names.
    pub(crate) certified: Option<Box<str>>,
    /// When the authentication timer is armed for.
    pub(crate) auth_due: Option<Time>,
    /// Counts the questions asked with ASK, to name their answers.
    pub(crate) asked: u64,
    pub(crate) account: AccountId,
    /// Where it is among those of its account.
    pub(crate) place: usize,
    /// What the client has to sign, if it has a key.
    pub(crate) nonce: Option<Box<str>>,
    /// Whose session it is, where there are users.
    pub(crate) user: Option<Arc<User>>,
    /// It is that user's because it has shown nothing.
    pub(crate) is_guest: bool,
    /// It is news that it has entered, and nobody was told yet.
    pub(crate) entry_untold: bool,
    /// It is waited for word of the credentials; what else has come waits, too.
    pub(crate) verifying: Option<Claim>,
    /// What its user may do, unless that is everything.
    pub(crate) bounds: Option<Box<Bounds>>,
    subs: HashTable<SubId>,
}

/// Who a client says it is.
#[derive(Debug)]
pub(crate) struct Claim {
    /// `None` for somebody that there is not, and that is looked at all the
    /// same.
    pub(crate) user: Option<Arc<User>>,
}

/// A session that may not do everything.
#[derive(Debug)]
pub(crate) struct Bounds {
    pub(crate) permissions: Arc<Permissions>,
    replies: Replies,
}

impl Bounds {
    /// Those of a user, if there are any.
    pub(crate) fn of(user: &User, hasher: &FixedState) -> Option<Box<Bounds>> {
        let permissions = user.permissions.as_ref()?;
        Some(Box::new(Bounds {
            permissions: permissions.clone(),
            replies: Replies::new(hasher),
        }))
    }

    /// Whether a message may be seen, by a subscription that matches more than
    /// may be if it is filtered. The answer that it asks for may be given then.
    // Few sessions have bounds, and this is much code in the midst of sending.
    #[inline(never)]
    pub(crate) fn can_receive(
        &mut self,
        publish: &Publish<'_>,
        is_filtered: bool,
        now: Time,
    ) -> bool {
        if is_filtered && !self.permissions.can_see(publish.subject) {
            return false;
        }
        if let Some(rules) = self.permissions.responses
            && let Some(reply) = publish.reply
        {
            self.replies.note(reply, rules, now);
        }
        true
    }

    /// Whether a message may be published there now.
    #[inline(never)]
    pub(crate) fn can_publish(&mut self, subject: &[u8], now: Time) -> bool {
        self.permissions.can_publish(subject) || self.replies.take(subject, now)
    }
}

impl Session {
    pub(crate) fn new(conn: ConnId, client_id: u64, peer: SocketAddr, now: Time) -> Self {
        Session {
            conn,
            client_id,
            peer,
            options: ConnectOptions::default(),
            connected: false,
            authorized: false,
            is_person: false,
            mistakes: 0,
            second_info_sent: false,
            closing: false,
            traffic: Traffic::default(),
            started: now,
            last_in: now,
            pings_out: 0,
            ping_sent: now,
            rtt: None,
            rtt_measured: None,
            ping_due: None,
            certified: None,
            auth_due: None,
            asked: 0,
            account: AccountId::GLOBAL,
            place: 0,
            nonce: None,
            user: None,
            is_guest: false,
            entry_untold: false,
            verifying: None,
            bounds: None,
            subs: HashTable::new(),
        }
    }

    /// The caller's id for the connection.
    pub fn conn(&self) -> ConnId {
        self.conn
    }

    /// The number that INFO told the client, never used twice.
    pub fn client_id(&self) -> u64 {
        self.client_id
    }

    /// What its user may do, unless that is everything.
    pub fn permissions(&self) -> Option<&Permissions> {
        self.bounds.as_ref().map(|bounds| &*bounds.permissions)
    }

    /// Whether its client may publish there.
    #[inline]
    pub(crate) fn may_publish(&mut self, now: Time, subject: &[u8]) -> bool {
        let bounds = self.bounds.as_mut();
        bounds.is_none_or(|bounds| bounds.can_publish(subject, now))
    }

    /// The account it is in.
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// Where the client comes from.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// What the client said of itself. The credentials are not kept.
    pub fn options(&self) -> &ConnectOptions {
        &self.options
    }

    /// The name of the user whose session it is, or that the client goes by;
    /// empty with a token, and with what may be one.
    pub fn user_name(&self) -> &str {
        match &self.user {
            Some(user) => &user.name,
            None if self.options.user_is_bare => "",
            None => &self.options.user,
        }
    }

    /// Whether nobody was told yet that it has entered, though somebody wants
    /// to know.
    pub fn is_entry_untold(&self) -> bool {
        self.entry_untold
    }

    /// Ends it for what waits for it, as soon as nobody is looking at the tables.
    #[cold]
    pub(crate) fn cut_as_slow(&mut self, doomed: &mut Vec<(ConnId, CloseReason)>) {
        self.closing = true;
        doomed.push((self.conn, CloseReason::SlowConsumerPendingBytes));
    }

    /// What has passed through.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// When the connection was opened.
    pub fn started(&self) -> Time {
        self.started
    }

    /// When the client last said something.
    pub fn last_activity(&self) -> Time {
        self.last_in
    }

    /// The round trip: of the last PING that was answered, or until then of
    /// INFO and CONNECT.
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// How many subscriptions the session has.
    pub fn subscription_count(&self) -> usize {
        self.subs.len()
    }

    pub(crate) fn subscription(
        &self,
        account: &Account,
        hasher: &FixedState,
        sid: &[u8],
    ) -> Option<SubId> {
        self.subs
            .find(hasher.hash_one(sid), |id| {
                *account.subs[id.index()].sid == *sid
            })
            .copied()
    }

    pub(crate) fn add_subscription(&mut self, account: &Account, hasher: &FixedState, id: SubId) {
        let hash = |id: &SubId| hasher.hash_one(&*account.subs[id.index()].sid);
        self.subs.insert_unique(hash(&id), id, hash);
    }

    pub(crate) fn remove_subscription(
        &mut self,
        account: &Account,
        hasher: &FixedState,
        id: SubId,
    ) {
        let hash = hasher.hash_one(&*account.subs[id.index()].sid);
        if let Ok(entry) = self.subs.find_entry(hash, |other| *other == id) {
            entry.remove();
        } else {
            debug_assert!(false, "a session knows its subscriptions");
        }
    }

    pub(crate) fn subscriptions(&self) -> impl Iterator<Item = SubId> + '_ {
        self.subs.iter().copied()
    }

    pub(crate) fn take_subscriptions(&mut self) -> HashTable<SubId> {
        std::mem::take(&mut self.subs)
    }
}
