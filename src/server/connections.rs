//! All sockets, and the engine's way to them.

use crate::buffer_pool::BufferPool;
use crate::closed_ring::ClosedRing;
use crate::connection::{Codec, Connection, Phase};
use crate::output_queue::{Flushed, SHARE_MIN};
use crate::refusals::{self, Refusals};
use crate::trace::{self, TracedNames};
use midge_engine::{CloseReason, ConnId, Delivery, Outbox, Session, Time};
use midge_proto::encode::{self, MESSAGE_START_MAX};
use mio::net::TcpStream;
use slab::Slab;
use std::io;

/// The table of connections. Writing to one marks it dirty; the loop flushes
/// the dirty ones before it sleeps.
#[derive(Default)]
pub(crate) struct Connections {
    table: Slab<Connection>,
    next_generation: u32,
    /// How many of them are for monitoring.
    http_count: usize,
    dirty: Vec<ConnId>,
    /// To be dropped at the end of the turn.
    dead: Vec<ConnId>,
    /// Bytes queued since the start.
    queued: u64,
    /// What clients are called while each line is logged.
    pub(crate) traced: TracedNames,
    pub(crate) pool: BufferPool,
    pub(crate) closed_ring: ClosedRing,
    refusals: Refusals,
    /// The time of this turn.
    pub(crate) now: Time,
}

impl Connections {
    pub(crate) fn new(now: Time) -> Self {
        Connections {
            now,
            ..Connections::default()
        }
    }

    /// Gives a socket a place and an id that was never used before.
    pub(crate) fn insert(&mut self, stream: TcpStream, codec: Codec) -> ConnId {
        let entry = self.table.vacant_entry();
        let id = ConnId {
            index: entry.key() as u32,
            generation: self.next_generation,
        };
        self.next_generation = self.next_generation.wrapping_add(1);
        self.http_count += usize::from(matches!(codec, Codec::Http(_)));
        entry.insert(Connection::new(id, stream, codec));
        id
    }

    /// Takes a connection out, its socket with it.
    pub(crate) fn remove(&mut self, id: ConnId) -> Option<Connection> {
        self.get_mut(id)?;
        let connection = self.table.remove(id.index as usize);
        self.http_count -= usize::from(matches!(connection.codec, Codec::Http(_)));
        Some(connection)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut Connection> {
        self.table
            .get_mut(id.index as usize)
            .filter(|connection| connection.id == id)
    }

    pub(crate) fn get(&self, id: ConnId) -> Option<&Connection> {
        self.table
            .get(id.index as usize)
            .filter(|connection| connection.id == id)
    }

    /// Whoever has this place now.
    pub(crate) fn at(&mut self, index: usize) -> Option<&mut Connection> {
        self.table.get_mut(index)
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn http_count(&self) -> usize {
        self.http_count
    }

    pub(crate) fn ids(&self) -> Vec<ConnId> {
        self.table
            .iter()
            .map(|(_, connection)| connection.id)
            .collect()
    }

    /// Bytes ever queued, for all connections together.
    #[inline]
    pub(crate) fn queued(&self) -> u64 {
        self.queued
    }

    /// The connections to be written to; they count as clean from now on.
    pub(crate) fn take_dirty(&mut self) -> Vec<ConnId> {
        std::mem::take(&mut self.dirty)
    }

    /// Gives the list back, to spare its allocation.
    pub(crate) fn recycle_dirty(&mut self, mut list: Vec<ConnId>) {
        if self.dirty.is_empty() {
            list.clear();
            self.dirty = list;
        }
    }

    #[inline]
    pub(crate) fn mark_dirty(&mut self, id: ConnId) {
        if let Some(connection) = self.get_mut(id)
            && !connection.is_dirty
        {
            connection.is_dirty = true;
            self.dirty.push(id);
        }
    }

    /// What each connection holds, but for those that are on their way out.
    pub(crate) fn held(&self) -> impl Iterator<Item = (usize, ConnId)> {
        let all = self.table.iter().map(|(_, connection)| connection);
        all.filter(|connection| connection.phase != Phase::Dead)
            .map(|connection| (connection.held(), connection.id))
    }

    /// Lets go of the monitoring connection that has waited longest for its next
    /// request, or for its first; false if all have an answer on its way.
    pub(crate) fn kill_idle_page(&mut self) -> bool {
        let all = self.table.iter().map(|(_, connection)| connection);
        let idle = all.filter(|connection| {
            let is_unasked = matches!(&connection.codec, Codec::Http(bytes) if bytes.is_empty());
            is_unasked && connection.phase == Phase::Open && connection.output.is_empty()
        });
        let oldest = idle.min_by_key(|connection| connection.deadline_due);
        let Some(id) = oldest.map(|connection| connection.id) else {
            return false;
        };
        self.kill(id);
        true
    }

    /// Lets go of a connection at the end of this turn.
    pub(crate) fn kill(&mut self, id: ConnId) {
        if let Some(connection) = self.get_mut(id)
            && connection.phase != Phase::Dead
        {
            connection.phase = Phase::Dead;
            self.dead.push(id);
        }
    }

    pub(crate) fn take_dead(&mut self) -> Vec<ConnId> {
        std::mem::take(&mut self.dead)
    }

    /// Writes what waits for a connection; `None` if it is gone, or nothing may
    /// be written yet.
    pub(crate) fn flush_one(&mut self, id: ConnId) -> Option<io::Result<Flushed>> {
        let connection = self
            .table
            .get_mut(id.index as usize)
            .filter(|connection| connection.id == id && connection.phase != Phase::Dead)?;
        connection.is_dirty = false;
        if connection.transport.layer.is_held() {
            return None;
        }
        let output = &mut connection.output;
        Some(connection.transport.flush(output, &mut self.pool))
    }

    /// Queues bytes for a connection.
    pub(crate) fn push(&mut self, id: ConnId, bytes: &[u8]) -> usize {
        let Some(connection) = self.table.get_mut(id.index as usize) else {
            return 0;
        };
        if connection.id != id || connection.phase != Phase::Open {
            return 0;
        }
        connection.output.push(bytes, &mut self.pool);
        self.queued += bytes.len() as u64;
        let pending = connection.output.len();
        self.mark_dirty(id);
        pending
    }
}

impl Outbox for Connections {
    fn line(&mut self, conn: ConnId, line: &[u8]) -> usize {
        if trace::is_on() {
            self.traced.sent_line(conn, line);
        }
        self.push(conn, line)
    }

    #[inline]
    fn deliver(&mut self, conn: ConnId, delivery: &Delivery<'_>) -> usize {
        let Some(connection) = self.table.get_mut(conn.index as usize) else {
            return 0;
        };
        if connection.id != conn || connection.phase != Phase::Open {
            return 0;
        }
        let output = &mut connection.output;
        let len_before = output.len();
        let Delivery {
            has_header,
            subject,
            sid,
            tail,
        } = *delivery;
        if trace::is_on() {
            // In parts, so that what is delivered need not lie in memory for this.
            self.traced
                .sent(conn, has_header, subject, sid, tail.bytes());
        }
        let is_copied = tail.bytes().len() < SHARE_MIN;
        let copied: &[u8] = if is_copied { tail.bytes() } else { b"" };
        let len_max = MESSAGE_START_MAX + subject.len() + sid.len() + copied.len();
        let buffer = output.tail(len_max, &mut self.pool);
        let buffered = buffer.len();
        encode::message_start(buffer, has_header, subject, sid);
        buffer.extend_from_slice(copied);
        let added = buffer.len() - buffered;
        output.appended(added);
        if !is_copied {
            output.push_shared(tail.share(), &mut self.pool);
        }
        let pending = output.len();
        self.queued += (pending - len_before) as u64;
        if !connection.is_dirty {
            connection.is_dirty = true;
            self.dirty.push(conn);
        }
        pending
    }

    #[cold]
    fn relieve(&mut self, conn: ConnId) -> usize {
        // It stays in the list of the dirty, where an error shows again and a
        // blocked socket is waited for.
        let _ = self.flush_one(conn);
        self.get(conn)
            .map_or(0, |connection| connection.output.len())
    }

    #[cold]
    fn relieve_all(&mut self) {
        let dirty = self.take_dirty();
        for id in &dirty {
            self.relieve(*id);
            if let Some(connection) = self.get_mut(*id) {
                connection.is_dirty = true;
            }
        }
        self.dirty = dirty;
    }

    fn closed(&mut self, conn: ConnId, session: &Session, reason: CloseReason) {
        let pending = self
            .get(conn)
            .map_or(0, |connection| connection.output.len());
        self.closed_ring.record(session, reason, self.now, pending);
        self.traced.forget(conn);
        self.log_end(session, reason);
        let Some(connection) = self.get_mut(conn) else {
            return;
        };
        match reason {
            // What waits for these can't be written, or has nobody to read it.
            CloseReason::SlowConsumerPendingBytes
            | CloseReason::SlowConsumerWriteDeadline
            | CloseReason::ReadError
            | CloseReason::WriteError
            | CloseReason::MemoryUsedUp => self.kill(conn),
            // There is nothing to say it in.
            _ if connection.transport.layer.is_held() => self.kill(conn),
            _ => {
                if connection.phase == Phase::Open {
                    let lingers = reason != CloseReason::ClientClosed;
                    connection.phase = Phase::Draining { lingers };
                }
                self.mark_dirty(conn);
            }
        }
    }
}

impl Connections {
    /// What ends by the client's doing is only of interest when one looks for
    /// it: strangers must not be able to fill the log.
    fn log_end(&mut self, session: &Session, reason: CloseReason) {
        let level = match reason {
            CloseReason::AuthenticationViolation
            | CloseReason::AuthenticationTimeout
            | CloseReason::AuthenticationThrottled => {
                return self.refusals.log(session, reason, self.now);
            }
            CloseReason::SlowConsumerPendingBytes
            | CloseReason::SlowConsumerWriteDeadline
            | CloseReason::MemoryUsedUp
            | CloseReason::StaleConnection => log::Level::Warn,
            _ => log::Level::Debug,
        };
        if log::log_enabled!(level) {
            log::log!(level, "{} closed: {reason}", client_name(session));
        }
    }
}

/// A client as the log calls it.
pub(crate) fn client_name(session: &Session) -> String {
    let (client, peer) = (session.client_id(), session.peer());
    let name = refusals::short(&session.options().name);
    format!("client {client} {peer} {name:?}")
}
