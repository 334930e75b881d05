//! The `-ERR` lines, word for word.
//!
//! Clients decide by these texts whether to reconnect, give up or carry on,
//! so they are spelled in one place and never changed.

use std::fmt;

/// Something a client is told with `-ERR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireError<'a> {
    /// No such verb, or a payload longer than announced.
    UnknownProtocolOperation,
    /// The argument part of a line is over the limit.
    MaximumControlLine,
    /// The announced payload is over the limit.
    MaximumPayload,
    /// Credentials are missing or wrong.
    AuthorizationViolation,
    /// No credentials came in time.
    AuthenticationTimeout,
    /// Too many credentials wait to be looked at, or too many from there were
    /// wrong.
    Throttled,
    /// A client talks in the clear where TLS is required.
    TlsRequired,
    /// The server holds as many connections as it may.
    MaximumConnections,
    /// The account holds as many connections as it may.
    MaximumAccountConnections,
    /// Pings went unanswered.
    StaleConnection,
    /// CONNECT named a protocol other than 0 or 1.
    InvalidClientProtocol,
    /// CONNECT asked for no-responders without headers.
    NoRespondersNeedsHeaders,
    /// SUB with a malformed subject.
    InvalidSubject,
    /// A pedantic session published to a malformed or wildcard subject.
    InvalidPublishSubject,
    /// The connection holds as many subscriptions as it may.
    MaximumSubscriptions,
    /// The subject of a SUB has more tokens than allowed.
    TooManyTokens(&'a [u8]),
    /// A publish named a reply subject that is the server's own.
    ReplyViolation(&'a [u8]),
    /// A publish to a subject that is the server's own.
    PublishViolation(&'a [u8]),
    /// A subscription that the client may not make: its subject, and its queue
    /// group.
    SubscriptionViolation(&'a [u8], Option<&'a [u8]>),
    /// A subscription that the client may not have any more: its subject, its
    /// queue group and its name.
    SubscriptionRemoved(&'a [u8], Option<&'a [u8]>, &'a [u8]),
    /// Words for a person who typed the line.
    Hint(&'a str),
}

impl WireError<'_> {
    /// Whether the connection ends with this error.
    pub fn closes(&self) -> bool {
        !matches!(
            self,
            WireError::InvalidSubject
                | WireError::InvalidPublishSubject
                | WireError::MaximumSubscriptions
                | WireError::TooManyTokens(_)
                | WireError::ReplyViolation(_)
                | WireError::PublishViolation(_)
                | WireError::SubscriptionViolation(..)
                | WireError::SubscriptionRemoved(..)
                | WireError::Hint(_)
        )
    }
}

impl fmt::Display for WireError<'_> {
    /// The text between the quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            WireError::UnknownProtocolOperation => "Unknown Protocol Operation",
            WireError::MaximumControlLine => "maximum control line exceeded",
            WireError::MaximumPayload => "Maximum Payload Violation",
            WireError::AuthorizationViolation => "Authorization Violation",
            WireError::AuthenticationTimeout => "Authentication Timeout",
            WireError::Throttled => "Connection throttling is active. Please try again later.",
            WireError::TlsRequired => "Secure Connection - TLS Required",
            WireError::MaximumConnections => "maximum connections exceeded",
            WireError::MaximumAccountConnections => "maximum account active connections exceeded",
            WireError::StaleConnection => "Stale Connection",
            WireError::InvalidClientProtocol => "invalid client protocol",
            WireError::NoRespondersNeedsHeaders => "no responders requires headers support",
            WireError::InvalidSubject => "Invalid Subject",
            WireError::InvalidPublishSubject => "Invalid Publish Subject",
            WireError::MaximumSubscriptions => "maximum subscriptions exceeded",
            WireError::TooManyTokens(subject) => {
                let subject = String::from_utf8_lossy(subject);
                return write!(
                    f,
                    "Permissions Violation for Subscription to \"{subject}\", too many tokens"
                );
            }
            WireError::ReplyViolation(reply) => {
                let reply = String::from_utf8_lossy(reply);
                return write!(
                    f,
                    "Permissions Violation for Publish with Reply of \"{reply}\""
                );
            }
            WireError::PublishViolation(subject) => {
                let subject = String::from_utf8_lossy(subject);
                return write!(f, "Permissions Violation for Publish to \"{subject}\"");
            }
            WireError::SubscriptionViolation(subject, queue) => {
                let subject = String::from_utf8_lossy(subject);
                write!(f, "Permissions Violation for Subscription to \"{subject}\"")?;
                return match queue {
                    Some(queue) => {
                        write!(f, " using queue \"{}\"", String::from_utf8_lossy(queue))
                    }
                    None => Ok(()),
                };
            }
            WireError::SubscriptionRemoved(subject, queue, sid) => {
                WireError::SubscriptionViolation(subject, *queue).fmt(f)?;
                return write!(f, " (sid \"{}\")", String::from_utf8_lossy(sid));
            }
            WireError::Hint(text) => text,
        };
        f.write_str(text)
    }
}
