//! The connections that ended last, for whoever asks why.

use midge_engine::{AccountId, CloseReason, Session, Time, Traffic};
use std::collections::VecDeque;

/// Connections remembered. Enough for a look back over a bad minute; at a few
/// hundred bytes each they weigh little.
const CLOSED_MAX: usize = 1000;

/// What is kept of each name that a client gave itself, in characters.
const TEXT_MAX: usize = 128;

/// What is kept of a connection that has ended.
#[derive(Debug)]
pub(crate) struct ClosedConnection {
    pub(crate) client_id: u64,
    pub(crate) account: AccountId,
    pub(crate) ip: String,
    pub(crate) port: u16,
    pub(crate) started: Time,
    pub(crate) last_activity: Time,
    pub(crate) stopped: Time,
    pub(crate) reason: CloseReason,
    pub(crate) traffic: Traffic,
    pub(crate) rtt: Option<std::time::Duration>,
    pub(crate) pending_bytes: usize,
    pub(crate) name: String,
    pub(crate) lang: String,
    pub(crate) version: String,
    pub(crate) user: String,
}

#[derive(Debug, Default)]
pub(crate) struct ClosedRing {
    ring: VecDeque<ClosedConnection>,
}

impl ClosedRing {
    pub(crate) fn record(
        &mut self,
        session: &Session,
        reason: CloseReason,
        stopped: Time,
        pending_bytes: usize,
    ) {
        if self.ring.len() == CLOSED_MAX {
            self.ring.pop_front();
        }
        let cut = |text: &str| text.chars().take(TEXT_MAX).collect();
        let options = session.options();
        self.ring.push_back(ClosedConnection {
            client_id: session.client_id(),
            account: session.account(),
            ip: session.peer().ip().to_string(),
            port: session.peer().port(),
            started: session.started(),
            last_activity: session.last_activity(),
            stopped,
            reason,
            traffic: session.traffic(),
            rtt: session.rtt(),
            pending_bytes,
            name: cut(&options.name),
            lang: cut(&options.lang),
            version: cut(&options.version),
            user: cut(session.user_name()),
        });
    }

    /// The connections, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &ClosedConnection> {
        self.ring.iter()
    }
}
