//! What lies between a socket and its connection.

use super::Session;

/// Nothing, TLS, or what may become TLS.
pub(crate) enum Layer {
    Plain,
    /// The client's first byte decides.
    Expected(Expected),
    Tls(Box<Session>),
}

/// What a connection that has not begun yet may turn out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// TLS: INFO has said so.
    Tls,
    /// Either: INFO has said so.
    Either,
    /// TLS, before INFO.
    First,
    /// TLS before INFO, for a while.
    FirstForNow,
}

impl Layer {
    /// There may be a handshake to do.
    #[inline]
    pub(crate) fn is_shaking(&self) -> bool {
        match self {
            Layer::Plain => false,
            Layer::Expected(_) => true,
            Layer::Tls(session) => !session.is_open(),
        }
    }

    /// What there is to say has to wait for the handshake.
    pub(crate) fn is_held(&self) -> bool {
        self.is_shaking() && !matches!(self, Layer::Expected(Expected::Either))
    }

    /// It is TLS, on its way or there.
    pub(crate) fn session(&self) -> Option<&Session> {
        match self {
            Layer::Tls(session) => Some(session),
            _ => None,
        }
    }

    /// Bytes that are kept beside the output queue.
    pub(crate) fn held(&self) -> usize {
        self.session().map_or(0, Session::held)
    }

    /// Gives back what [`Layer::held`] counts. The connection is over.
    pub(crate) fn forget_bytes(&mut self) {
        if let Layer::Tls(session) = self {
            session.forget_bytes();
        }
    }

    /// Something beside the output queue waits for the socket.
    #[inline]
    pub(crate) fn wants_flush(&self) -> bool {
        matches!(self, Layer::Tls(session) if session.wants_flush())
    }
}
