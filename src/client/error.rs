//! What can go wrong between a client and its server.

use std::fmt;
use std::io;

/// Why something was not done.
///
/// Which server it was is not repeated here: a client has one, and
/// [`Client::address`](crate::Client::address) names it.
#[derive(Debug)]
pub enum Error {
    /// A URL that names no server, and why it does not.
    Url(&'static str),
    /// No connection came about.
    Connect(io::Error),
    /// A message cannot be sent to this subject.
    Subject(String),
    /// The server said `-ERR`, with these words.
    Refused(String),
    /// What came is not the protocol: how so.
    Protocol(&'static str),
    /// The connection broke.
    Io(io::Error),
    /// The server closed the connection.
    Closed,
    /// Nothing came in time.
    Timeout,
    /// Nobody listens to this subject.
    NoResponders(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, what, after): (_, &dyn fmt::Display, _) = match self {
            Error::Url(why) => ("not a server's address: ", why, "; write nats://host:4222"),
            Error::Connect(error) => ("cannot connect: ", error, "; is a server there?"),
            Error::Subject(subject) => (
                "cannot publish to \"",
                subject,
                "\"; leave out blanks, wildcards and empty tokens",
            ),
            Error::Refused(words) => ("the server refuses: ", words, ""),
            Error::Protocol(why) => (
                "not a NATS server, or one this client is too small for: ",
                why,
                "",
            ),
            Error::Io(error) => ("the connection broke: ", error, "; try again"),
            Error::Closed => (
                "the server closed the connection",
                &"",
                "; its log says why",
            ),
            Error::Timeout => (
                "no answer in time",
                &"",
                "; what was asked for may still be done",
            ),
            Error::NoResponders(subject) => {
                ("nobody listens to ", subject, "; is it the right server?")
            }
        };
        write!(f, "{before}{what}{after}")
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Connect(error) | Error::Io(error) => Some(error),
            _ => None,
        }
    }
}
