//! Where the engine's bytes go.

use crate::{ConnId, Session};
use bytes::Bytes;
use std::cell::OnceCell;
use std::fmt;

/// What the engine writes to: the server's output queues, or a test's.
///
/// Both writing methods return the bytes now waiting for that connection;
/// the engine cuts it when they pass its limit. A write for a connection that
/// is already gone is dropped and returns 0.
pub trait Outbox {
    /// Sends whole protocol lines.
    fn line(&mut self, conn: ConnId, line: &[u8]) -> usize;

    /// Sends a message.
    fn deliver(&mut self, conn: ConnId, delivery: &Delivery<'_>) -> usize;

    /// Writes now what the connection takes, as its limit is near; returns the
    /// bytes that still wait. Called seldom.
    fn relieve(&mut self, conn: ConnId) -> usize;

    /// Writes now what connections take, all of them, as one message has brought
    /// a good deal to many. Called seldom.
    fn relieve_all(&mut self);

    /// Says that the engine has let go of a session. What was written before
    /// may still be sent; nothing more will come.
    fn closed(&mut self, conn: ConnId, session: &Session, reason: CloseReason);
}

/// A message for one subscription.
#[derive(Debug)]
pub struct Delivery<'a> {
    /// It goes as HMSG.
    pub has_header: bool,
    /// The subject that was published to.
    pub subject: &'a [u8],
    /// The receiving subscription.
    pub sid: &'a [u8],
    /// The rest, the same for all receivers.
    pub tail: &'a Tail<'a>,
}

/// What follows the sid in a MSG or HMSG, on its way to any number of
/// receivers: reply, sizes, header block and body.
///
/// A small one is copied to each receiver; a large one is made shareable when
/// the first receiver asks, at most once.
#[derive(Debug)]
pub struct Tail<'a> {
    bytes: &'a [u8],
    /// The buffer that `bytes` lies in, if it can be shared as it is.
    owner: Option<&'a Bytes>,
    shared: OnceCell<Bytes>,
}

impl<'a> Tail<'a> {
    /// A tail that lies in `owner`, when that is given.
    #[inline]
    pub fn new(bytes: &'a [u8], owner: Option<&'a Bytes>) -> Self {
        Tail {
            bytes,
            owner,
            shared: OnceCell::new(),
        }
    }

    /// The bytes, to copy.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.bytes
    }

    /// The bytes, to keep.
    pub fn share(&self) -> Bytes {
        let shared = self.shared.get_or_init(|| match self.owner {
            Some(owner) => owner.slice_ref(self.bytes),
            None => Bytes::copy_from_slice(self.bytes),
        });
        shared.clone()
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The client hung up.
    ClientClosed,
    /// Reading from the socket failed.
    ReadError,
    /// Writing to the socket failed.
    WriteError,
    /// More waited for the client than `max_pending`.
    SlowConsumerPendingBytes,
    /// The client took nothing for the write deadline.
    SlowConsumerWriteDeadline,
    /// Pings went unanswered.
    StaleConnection,
    /// Wrong credentials, or none.
    AuthenticationViolation,
    /// No credentials in time.
    AuthenticationTimeout,
    /// Credentials that were not looked at, for there were too many.
    AuthenticationThrottled,
    /// The client broke the protocol.
    ProtocolViolation,
    /// A control line over the limit.
    MaxControlLineExceeded,
    /// A payload over the limit.
    MaxPayloadExceeded,
    /// The server holds as many connections as it may.
    MaxConnectionsExceeded,
    /// The client's account has as many connections as it may.
    MaxAccountConnectionsExceeded,
    /// The client asked for a protocol version that is not spoken.
    BadClientProtocolVersion,
    /// The client asked for no-responders without headers.
    NoRespondersRequiresHeaders,
    /// There was to be TLS, and none came about.
    TlsHandshake,
    /// It held the most when the memory that the server may use was used up.
    MemoryUsedUp,
    /// Somebody of the system account wanted it gone.
    Kicked,
    /// The server stops.
    ServerShutdown,
}

impl CloseReason {
    /// The words that nats-server's monitoring uses.
    pub fn as_str(self) -> &'static str {
        match self {
            CloseReason::ClientClosed => "Client Closed",
            CloseReason::ReadError => "Read Error",
            CloseReason::WriteError => "Write Error",
            CloseReason::SlowConsumerPendingBytes => "Slow Consumer (Pending Bytes)",
            CloseReason::SlowConsumerWriteDeadline => "Slow Consumer (Write Deadline)",
            CloseReason::StaleConnection => "Stale Connection",
            CloseReason::AuthenticationViolation => "Authentication Failure",
            CloseReason::AuthenticationTimeout => "Authentication Timeout",
            CloseReason::AuthenticationThrottled => "Authentication Throttled",
            CloseReason::ProtocolViolation => "Protocol Violation",
            CloseReason::MaxControlLineExceeded => "Maximum Control Line Exceeded",
            CloseReason::MaxPayloadExceeded => "Maximum Message Payload Exceeded",
            CloseReason::MaxConnectionsExceeded => "Maximum Connections Exceeded",
            CloseReason::MaxAccountConnectionsExceeded => "Maximum Account Connections Exceeded",
            CloseReason::BadClientProtocolVersion => "Bad Client Protocol Version",
            CloseReason::NoRespondersRequiresHeaders => "No Responders Requires Headers",
            CloseReason::TlsHandshake => "TLS Handshake Failure",
            CloseReason::MemoryUsedUp => "Memory Used Up",
            CloseReason::Kicked => "Kicked",
            CloseReason::ServerShutdown => "Server Shutdown",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
