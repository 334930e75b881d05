//! Sessions and TLS: the server shakes hands, the engine is told what came of
//! it.

use crate::engine::{Engine, Flow, Timer};
use crate::outbox::{CloseReason, Outbox};
use crate::{ConnId, Time};
use midge_proto::WireError;

impl Engine {
    /// A connection is encrypted from now on. Time for credentials begins
    /// here: what the handshake took is not the client's.
    pub fn secured(&mut self, now: Time, conn: ConnId) {
        let due = now + self.config.limits.auth_timeout;
        if let Some(session) = self.sessions.get_mut(conn)
            && !session.authorized
        {
            let key = Timer::Auth(conn);
            self.timers.arm(&mut session.auth_due, due, key);
        }
    }

    /// Ends a session whose client talks in the clear, or says nothing, where
    /// TLS is required.
    pub fn refuse_clear<O: Outbox>(&mut self, conn: ConnId, out: &mut O) -> Flow {
        self.tell_error(conn, WireError::TlsRequired, out);
        self.close(conn, CloseReason::TlsHandshake, out)
    }
}
