//! Sessions and TLS: the server shakes hands, the engine is told what came of
//! it.

use crate::engine::{Engine, Flow, Timer};
use crate::outbox::{CloseReason, Outbox};
use crate::{ConnId, Time};
use midge_proto::WireError;

impl Engine {
    /// A connection is encrypted from now on. `names` are those of the
    /// client's certificate, the one that counts most first. Time for
    /// credentials begins here: what the handshake took is not the client's.
    pub fn secured(&mut self, now: Time, conn: ConnId, names: &[String]) {
        let auth = &self.config.auth;
        let Some(session) = self.sessions.get_mut(conn) else {
            return;
        };
        if auth.maps_certificates {
            let known = names.iter().find(|name| auth.find(name).is_some());
            session.certified = known.map(|name| name.as_str().into());
        }
        if !session.authorized {
            let due = now + self.config.limits.auth_timeout;
            self.timers
                .arm(&mut session.auth_due, due, Timer::Auth(conn));
        }
    }

    /// Whether INFO says that clients have to show a certificate.
    pub fn set_tls_verify(&mut self, verify: bool) {
        self.config.info.tls_verify = verify;
    }

    /// Ends a session whose client talks in the clear, or says nothing, where
    /// TLS is required.
    pub fn refuse_clear<O: Outbox>(&mut self, conn: ConnId, out: &mut O) -> Flow {
        self.tell_error(conn, WireError::TlsRequired, out);
        self.close(conn, CloseReason::TlsHandshake, out)
    }
}
