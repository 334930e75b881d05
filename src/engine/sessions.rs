//! The sessions, found by connection.

use crate::ConnId;
use crate::session::Session;

/// The sessions, by the caller's place for their connection.
#[derive(Default)]
pub(crate) struct Sessions {
    // Boxed, because the caller's table has places that are no sessions.
    places: Vec<Option<Box<Session>>>,
    len: usize,
}

impl Sessions {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The session at a place, whoever has it now.
    #[inline]
    pub(crate) fn at(&mut self, index: u32) -> Option<&mut Session> {
        self.places.get_mut(index as usize)?.as_deref_mut()
    }

    #[inline]
    pub(crate) fn get(&self, conn: ConnId) -> Option<&Session> {
        let session = self.places.get(conn.index as usize)?.as_deref()?;
        (session.conn == conn).then_some(session)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Session> {
        self.at(conn.index).filter(|session| session.conn == conn)
    }

    pub(crate) fn insert(&mut self, session: Session) {
        let index = session.conn.index as usize;
        if index >= self.places.len() {
            self.places.resize_with(index + 1, || None);
        }
        debug_assert!(self.places[index].is_none(), "the place is free");
        self.places[index] = Some(Box::new(session));
        self.len += 1;
    }

    pub(crate) fn remove(&mut self, conn: ConnId) -> Option<Box<Session>> {
        let place = self.places.get_mut(conn.index as usize)?;
        if place.as_ref()?.conn != conn {
            return None;
        }
        self.len -= 1;
        place.take()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Session> {
        self.places.iter().flatten().map(|session| &**session)
    }
}
