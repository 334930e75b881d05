//! PING and PONG: who is still there, and how far away.

use crate::engine::{Engine, Flow, Timer};
use crate::outbox::{CloseReason, Outbox};
use crate::{ConnId, Time};
use midge_proto::{WireError, encode};
use std::time::Duration;

/// A fresh connection is pinged this soon, to learn its round trip early.
const FIRST_PING: Duration = Duration::from_secs(2);

/// Up to this part of [`FIRST_PING`] is added at random, so that clients that
/// came together are not pinged together.
const FIRST_PING_SPREAD: u32 = 5;

/// A round trip older than this is measured again even on a busy connection.
const RTT_AGE_MAX: Duration = Duration::from_secs(3600);

impl Engine {
    /// A client has connected: it is pinged soon, to learn its round trip.
    pub(crate) fn arm_first_ping(&mut self, now: Time, conn: ConnId) {
        let spread = (FIRST_PING / FIRST_PING_SPREAD).as_micros() as usize;
        let extra = Duration::from_micros(self.rng.below(spread) as u64);
        let due = now + self.config.limits.ping_interval.min(FIRST_PING + extra);
        if let Some(session) = self.sessions.get_mut(conn) {
            self.timers
                .arm(&mut session.ping_due, due, Timer::Ping(conn));
        }
    }

    pub(crate) fn ping<O: Outbox>(&mut self, conn: ConnId, out: &mut O) -> Flow {
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

    pub(crate) fn pong(&mut self, now: Time, conn: ConnId) -> Flow {
        if let Some(session) = self.sessions.get_mut(conn) {
            if session.pings_out > 0 {
                session.rtt = Some(now - session.ping_sent);
                session.rtt_measured = Some(now);
            }
            session.pings_out = 0;
        }
        Flow::Continue
    }

    pub(crate) fn ping_due<O: Outbox>(&mut self, now: Time, conn: ConnId, out: &mut O) {
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
}
