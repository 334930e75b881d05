//! Clients that were not let in, as the log tells of them.
//!
//! Each is worth a line, until they come faster than anybody reads: strangers
//! must not be able to fill the log.

use midge_engine::{CloseReason, Session, Time};
use std::time::Duration;

/// Lines in one period; the rest is counted.
const LINES_MAX: u64 = 10;

/// How long a period is.
const PERIOD: Duration = Duration::from_secs(10);

/// How much of a name goes into the log, in characters.
const NAME_LOGGED_MAX: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// When the period began.
    since: Time,
    /// Clients in it.
    count: u64,
}

impl Refusals {
    pub(crate) fn log(&mut self, session: &Session, reason: CloseReason, now: Time) {
        if now.since(self.since) >= PERIOD {
            if self.count > LINES_MAX {
                log::warn!(
                    "clients not let in beside those: {}",
                    self.count - LINES_MAX
                );
            }
            *self = Refusals {
                since: now,
                count: 0,
            };
        }
        self.count += 1;
        if self.count <= LINES_MAX {
            let (client, peer) = (session.client_id(), session.peer());
            // The one it claims to be: it is nobody's session yet. A key that
            // does not begin as public ones do may be the secret half.
            let name = match session.options().nkey.as_str() {
                key if key.starts_with('U') => short(key),
                _ => short(session.user_name()),
            };
            log::warn!("client {client} {peer} not let in as {name:?}: {reason}");
        }
    }
}

/// The start of a name. It is to be quoted with escapes, so that it cannot
/// pass for a line of its own.
pub(crate) fn short(name: &str) -> String {
    name.chars().take(NAME_LOGGED_MAX).collect()
}
