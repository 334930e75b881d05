//! Who messages were delivered to.
//!
//! A delivery notes its connection, which costs nothing; who that was is
//! looked up when the delivery has failed. By then the client may be gone, so
//! the last ones that went are remembered.

use super::attempts::{CLIENT_LEN_MAX, cut};
use crate::ConnId;
use crate::session::Session;
use crate::sessions::Sessions;
use std::collections::VecDeque;

/// Clients that are gone and remembered. One that is forgotten shows without
/// its name.
const DEPARTED_MAX: usize = 1024;

#[derive(Debug)]
struct Client {
    conn: ConnId,
    id: u64,
    name: Box<str>,
}

/// The clients that went last.
#[derive(Debug, Default)]
pub(crate) struct Departed {
    clients: VecDeque<Client>,
}

impl Departed {
    /// A client that may have got messages is gone.
    pub(crate) fn add(&mut self, session: &Session) {
        if self.clients.len() == DEPARTED_MAX {
            self.clients.pop_front();
        }
        let mut name: Box<str> = session.options.name.as_str().into();
        cut(&mut name, CLIENT_LEN_MAX);
        self.clients.push_back(Client {
            conn: session.conn,
            id: session.client_id,
            name,
        });
    }
}

/// The clients there are, and those that went last.
#[derive(Clone, Copy)]
pub(crate) struct Clients<'a> {
    pub(crate) sessions: &'a Sessions,
    pub(crate) departed: &'a Departed,
}

impl<'a> Clients<'a> {
    pub(crate) fn is_gone(self, conn: ConnId) -> bool {
        self.sessions.get(conn).is_none()
    }

    /// The number that INFO told a client, and its name; 0 if it is not known
    /// any more.
    pub(crate) fn who(self, conn: ConnId) -> (u64, &'a str) {
        if let Some(session) = self.sessions.get(conn) {
            return (session.client_id, &session.options.name);
        }
        let mut clients = self.departed.clients.iter().rev();
        match clients.find(|client| client.conn == conn) {
            Some(client) => (client.id, &client.name),
            None => (0, ""),
        }
    }
}
