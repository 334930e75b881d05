//! What can go wrong between a client and its server.

use std::fmt;
use std::io;

/// Why something was not done, and what to do about it.
///
/// Which server it was is not repeated here: a client has one, and
/// [`Client::address`](crate::Client::address) names it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A URL that names no server, and why it does not. Write another one.
    Url(&'static str),
    /// An option of the connection that cannot be met, and why.
    Option(&'static str),
    /// No connection came about. Try again, or look whether a server is there.
    Connect(io::Error),
    /// No connection came about because of TLS: what is wrong with it.
    Tls(String),
    /// Nothing can be sent to this subject. Choose another one.
    Subject(String),
    /// Nothing can subscribe to this subject, or to this queue group.
    Filter(String),
    /// A header whose name or value would break the block.
    Header(String),
    /// The message is longer than the server takes. Send less.
    TooLong {
        /// The message's length with its headers, in bytes.
        bytes: usize,
        /// What the server takes.
        bytes_max: usize,
    },
    /// The message asks for no answer, so it has nowhere to go.
    NoReply,
    /// The server said `-ERR`, with these words: change what it complains of.
    Refused(String),
    /// What came is not the protocol: how so.
    Protocol(&'static str),
    /// The connection broke. It is made again by itself, unless that was
    /// turned off; what was under way may be lost.
    Io(io::Error),
    /// The connection broke before the answer came; as [`Error::Io`].
    Lost,
    /// While there is no connection no more can wait for one
    /// ([`Options::buffer_bytes_max`](crate::Options::buffer_bytes_max)). Wait
    /// for [`Event::Connected`](crate::Event::Connected).
    Full,
    /// The server closed the connection while it was made. Its log says why.
    Hangup,
    /// The client was closed, or the subscription has ended.
    Closed,
    /// Nothing came in time. What was asked for may still be done.
    Timeout,
    /// Nobody listens to this subject.
    NoResponders(String),
}

impl Error {
    /// Whether the same may succeed a little later, without anything being
    /// changed.
    pub fn is_passing(&self) -> bool {
        match self {
            Error::Connect(_)
            | Error::Io(_)
            | Error::Lost
            | Error::Full
            | Error::Hangup
            | Error::Timeout
            | Error::NoResponders(_) => true,
            Error::Url(_)
            | Error::Option(_)
            | Error::Tls(_)
            | Error::Subject(_)
            | Error::Filter(_)
            | Error::Header(_)
            | Error::TooLong { .. }
            | Error::NoReply
            | Error::Refused(_)
            | Error::Protocol(_)
            | Error::Closed => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, what, after): (_, &dyn fmt::Display, _) = match self {
            Error::Url(why) => ("not a server's address: ", why, "; write nats://host:4222"),
            Error::Option(why) => ("cannot connect so: ", why, ""),
            Error::Connect(error) => ("cannot connect: ", error, "; is a server there?"),
            Error::Tls(why) => ("no safe connection: ", why, ""),
            Error::Subject(subject) => (
                "cannot publish to \"",
                subject,
                "\"; leave out blanks, wildcards and empty tokens",
            ),
            Error::Filter(subject) => (
                "cannot subscribe to \"",
                subject,
                "\"; leave out blanks and empty tokens, and let > be the last one",
            ),
            Error::Header(name) => (
                "cannot send the header \"",
                name,
                "\"; its name takes no blanks and colons, its value no line ends",
            ),
            Error::TooLong { bytes, bytes_max } => {
                return write!(
                    f,
                    "{bytes} bytes are too long; the server takes {bytes_max}"
                );
            }
            Error::NoReply => ("the message asks for no answer", &"", ""),
            Error::Refused(words) => ("the server refuses: ", words, ""),
            Error::Protocol(why) => (
                "not a NATS server, or one this client is too small for: ",
                why,
                "",
            ),
            Error::Io(error) => ("the connection broke: ", error, "; try again"),
            Error::Lost => ("the connection broke before the answer came", &"", ""),
            Error::Full => (
                "there is no connection, and no more can wait for one",
                &"",
                "; try again later",
            ),
            Error::Hangup => (
                "the server closed the connection",
                &"",
                "; its log says why",
            ),
            Error::Closed => ("the client was closed", &"", ""),
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
