//! What changes while sessions are there: who may enter, what they may do, and
//! how much they may take.
//!
//! Whoever would still be let in stays, with what is allowed now; all others
//! are told that they are not. No message is lost on the way: nothing of a
//! session that stays is touched but what it may no longer do.

use crate::account::Account;
use crate::accounts::{AccountConfig, Accounts};
use crate::auth::{Auth, User};
use crate::engine::{Engine, Timer};
use crate::ids::{AccountId, SubId};
use crate::limits::Limits;
use crate::order::in_order;
use crate::outbox::{CloseReason, Outbox};
use crate::permissions::Verdict;
use crate::session::{Bounds, Session};
use crate::{ConnId, Time};
use midge_proto::WireError;
use std::sync::Arc;

/// What a reload has done to sessions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Sessions that were closed.
    pub closed: usize,
    /// Subscriptions that are no longer allowed, of those that stay.
    pub unsubscribed: usize,
}

/// What becomes of a session.
enum Fate {
    /// It stays as it is, still to show who it is.
    Waits,
    /// It stays, as this user's or nobody's in particular.
    Stays(Option<Arc<User>>),
    Goes,
}

impl Engine {
    /// Goes by other rules from now on. The accounts have to be the same, but
    /// for what they may use, or new ones: [`Accounts::may_become`].
    pub fn reload<O: Outbox>(
        &mut self,
        now: Time,
        (limits, auth, accounts): (Limits, Auth, Accounts),
        out: &mut O,
    ) -> Reloaded {
        self.latest = now;
        let payload_before = self.config.limits.frame.max_payload;
        self.add_accounts(&accounts);
        for (id, account) in accounts.iter() {
            self.accounts[id].limits = account.limits;
        }
        self.config.info.max_payload = limits.frame.max_payload;
        self.config.info.headers = !limits.is_headerless;
        self.config.info.auth_required = auth.is_required();
        self.config.limits = limits;
        self.waiting = self.room.waiting(&self.config.limits);
        self.with_streams(|streams, engine| streams.set_limits(engine, &accounts));
        let imports = std::mem::take(&mut self.config.accounts.imports);
        let is_same = imports == accounts.imports;
        self.config.accounts = accounts;
        if !is_same {
            self.listen_for_imports();
        }
        self.door.mind(&auth);
        self.config.auth = auth;
        let mut done = self.reload_sessions(now, out);
        done.closed += self.close_surplus(out);
        if self.config.limits.frame.max_payload != payload_before {
            self.tell_all_info(out);
        }
        self.clean_up(out);
        done
    }

    /// Takes in accounts that were not there before.
    fn add_accounts(&mut self, accounts: &Accounts) {
        let hash_seed = self.config.hash_seed;
        let known = self.accounts().count();
        let make = |account: &AccountConfig| Account::new(account, hash_seed);
        self.accounts.extend(accounts, make);
        let added: Vec<AccountId> = self.accounts().skip(known).collect();
        self.listen_for_questions(&added);
    }

    fn reload_sessions<O: Outbox>(&mut self, now: Time, out: &mut O) -> Reloaded {
        let users = &self.config.auth.users;
        let order = in_order(users.len(), &|a, b| users[a].name.cmp(&users[b].name));
        let by_name: Vec<Arc<User>> = order.iter().map(|at| users[*at].clone()).collect();
        let all: Vec<ConnId> = self.sessions.iter().map(|session| session.conn).collect();
        let mut done = Reloaded::default();
        let mut staying = Vec::new();
        for conn in all {
            self.hurry_ping(now, conn);
            let Some(session) = self.sessions.get_mut(conn) else {
                continue;
            };
            if let Some(claim) = &mut session.verifying {
                // Word of what was right will come too late if it is no more.
                let user = claim.user.take();
                claim.user = user.and_then(|user| successor(&by_name, &user));
            }
            match self.config.auth.fate(session, &by_name) {
                Fate::Waits => {}
                Fate::Stays(user) => staying.push((conn, user)),
                Fate::Goes => {
                    self.refuse_entry(conn, WireError::AuthorizationViolation, out);
                    done.closed += 1;
                }
            }
        }
        // Those that go are taken off the old count, not off this one.
        self.door.forget_present();
        for (conn, user) in staying {
            done.unsubscribed += self.continue_as(conn, user, out);
        }
        done
    }

    /// There may be fewer connections than there are: the newest go. Returns how
    /// many those were.
    fn close_surplus<O: Outbox>(&mut self, out: &mut O) -> usize {
        let max = self.config.limits.max_connections;
        let surplus = self.sessions.len().saturating_sub(max);
        if surplus == 0 {
            return 0;
        }
        let all: Vec<&Session> = self.sessions.iter().collect();
        let newest = in_order(all.len(), &|a, b| all[b].client_id.cmp(&all[a].client_id));
        let newest = newest.into_iter().take(surplus);
        let going: Vec<ConnId> = newest.map(|at| all[at].conn).collect();
        for conn in going {
            self.tell_error(conn, WireError::MaximumConnections, out);
            self.close(conn, CloseReason::MaxConnectionsExceeded, out);
        }
        surplus
    }

    /// An idle client is pinged after the new interval, if that ends sooner.
    fn hurry_ping(&mut self, now: Time, conn: ConnId) {
        let due = now + self.config.limits.ping_interval;
        if let Some(session) = self.sessions.get_mut(conn)
            && session.ping_due.is_some_and(|armed| armed > due)
        {
            self.timers
                .arm(&mut session.ping_due, due, Timer::Ping(conn));
        }
    }

    /// Replaces what a session may do, and takes from it what it no longer
    /// may; returns how many subscriptions that were.
    fn continue_as<O: Outbox>(
        &mut self,
        conn: ConnId,
        user: Option<Arc<User>>,
        out: &mut O,
    ) -> usize {
        let Some(session) = self.sessions.get_mut(conn) else {
            return 0;
        };
        if !session.authorized {
            session.authorized = true;
            self.timers.disarm(&mut session.auth_due, Timer::Auth(conn));
        }
        let permissions = user.as_ref().and_then(|user| user.permissions.clone());
        let before = session.bounds.as_ref().map(|bounds| &bounds.permissions);
        let is_same = permissions.as_ref() == before;
        session.bounds = match (session.bounds.take(), &user) {
            // Answers that are due may still be given.
            (Some(mut bounds), Some(_)) if permissions.is_some() => {
                bounds.permissions = permissions.unwrap_or_default();
                Some(bounds)
            }
            (_, Some(user)) => Bounds::of(user, &self.sid_hasher),
            (_, None) => None,
        };
        if let Some(user) = &user {
            self.door.entered(user);
        }
        session.user = user;
        if is_same {
            return 0;
        }
        self.judge_again(conn, out)
    }

    /// Judges the subscriptions of a session by what it may see now.
    fn judge_again<O: Outbox>(&mut self, conn: ConnId, out: &mut O) -> usize {
        let Some(session) = self.sessions.get(conn) else {
            return 0;
        };
        let all: Vec<SubId> = session.subscriptions().collect();
        let mut removed = 0;
        for id in all {
            let Some(session) = self.sessions.get(conn) else {
                break;
            };
            let account = &mut self.accounts[session.account];
            let filter = account.filter(id);
            let sub = &mut account.subs[id.index()];
            let verdict = match &session.bounds {
                Some(bounds) => bounds.permissions.judge(&filter, sub.queue.as_deref()),
                None => Verdict::Allowed,
            };
            sub.is_filtered = verdict == Verdict::Filtered;
            if verdict != Verdict::Denied {
                continue;
            }
            let (queue, sid) = (sub.queue.clone(), sub.sid.to_vec());
            let removal = WireError::SubscriptionRemoved(&filter, queue.as_deref(), &sid);
            self.tell_error(conn, removal, out);
            self.remove_subscription(conn, id);
            removed += 1;
        }
        removed
    }
}

impl Auth {
    /// What becomes of a session under these rules. Its secrets are not kept,
    /// so it stays its user's if that one's are what they were.
    fn fate(&self, session: &Session, by_name: &[Arc<User>]) -> Fate {
        let is_open = self.is_open() && self.no_auth_user.is_none() && !self.maps_certificates;
        if is_open && (self.users.is_empty() || session.user.is_none()) {
            return match session.account {
                crate::AccountId::GLOBAL => Fate::Stays(None),
                _ => Fate::Goes,
            };
        }
        let is_certified = |user: &User| session.certified.as_deref() == Some(&user.name);
        let user = match &session.user {
            Some(user) if self.maps_certificates && !is_certified(user) => None,
            Some(user) if !session.is_guest => successor(by_name, user),
            _ if self.maps_certificates => None,
            _ => {
                let name = self.no_auth_user.as_ref();
                name.and_then(|name| named(by_name, name).cloned())
            }
        };
        match user {
            Some(user) if user.account == session.account || !session.authorized => {
                Fate::Stays(Some(user))
            }
            _ if session.authorized => Fate::Goes,
            _ => Fate::Waits,
        }
    }
}

fn named<'a>(by_name: &'a [Arc<User>], name: &str) -> Option<&'a Arc<User>> {
    let at = by_name.binary_search_by(|user| user.name.as_str().cmp(name));
    by_name.get(at.ok()?)
}

/// The user that goes on where another was: of the same name, secret and
/// account.
fn successor(by_name: &[Arc<User>], user: &User) -> Option<Arc<User>> {
    let found = named(by_name, &user.name)?;
    let is_same = found.secret == user.secret
        && found.account == user.account
        && found.is_shut_out == user.is_shut_out;
    is_same.then(|| found.clone())
}
