//! What can go wrong between a client and its server.

#[cfg(feature = "streams")]
use crate::streams::{ApiError, Failure};
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
    /// The client needs two threads, and the system gives none.
    Thread(io::Error),
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
    /// Nobody listens to this subject. For a message that is to be stored: no
    /// stream has this subject, or the server keeps no streams.
    NoResponders(String),
    /// The server refuses what was asked of a stream. `err_code` says which
    /// refusal it is; the constants of [`ApiError`] name them.
    #[cfg(feature = "streams")]
    Api(ApiError),
    /// The server ended a request for messages: with which number, and why.
    #[cfg(feature = "streams")]
    Status {
        /// In the manner of HTTP: 400, 409 …
        code: u16,
        /// The server's words.
        words: String,
    },
    /// Messages that a [`Publisher`](crate::streams::Publisher) was given and
    /// that are not known to be stored. Publish them again, or look.
    #[cfg(feature = "streams")]
    Unstored(Vec<Failure>),
    /// A key, or the name of a bucket, that cannot be one. Keys are made of
    /// letters, digits and `-/_=.`, without a dot at an end or two in a row;
    /// names of letters, digits, `-` and `_`.
    #[cfg(feature = "streams")]
    Key(String),
}

impl Error {
    /// Whether the same may succeed a little later, without anything being
    /// changed.
    pub fn is_passing(&self) -> bool {
        match self {
            Error::Connect(_)
            | Error::Thread(_)
            | Error::Io(_)
            | Error::Lost
            | Error::Full
            | Error::Hangup
            | Error::Timeout
            | Error::NoResponders(_) => true,
            #[cfg(feature = "streams")]
            Error::Api(error) => is_busy(error),
            #[cfg(feature = "streams")]
            Error::Status { words, .. } => STATUSES_PASSING.contains(&words.as_str()),
            #[cfg(feature = "streams")]
            Error::Unstored(failures) => failures.iter().all(|failed| failed.error.is_passing()),
            #[cfg(feature = "streams")]
            Error::Key(_) => false,
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

#[cfg(feature = "streams")]
impl Error {
    /// Whether an expectation did not hold: somebody else was first. Look
    /// again, and decide anew.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Error::Api(error) if CONFLICTS.contains(&error.err_code))
    }
}

/// The numbers of [`ApiError::stream_wrong_last_msg_id`],
/// [`ApiError::stream_wrong_last_sequence`] and the same without the sequence.
#[cfg(feature = "streams")]
const CONFLICTS: [u16; 3] = [10070, 10071, 10164];

/// A server that is too busy, or not ready, for any request.
#[cfg(feature = "streams")]
fn is_busy(error: &ApiError) -> bool {
    let busy = [
        ApiError::CLUSTER_NOT_AVAIL,
        ApiError::INSUFFICIENT_RESOURCES,
    ];
    error.code == 429 || busy.iter().any(|busy| busy.err_code == error.err_code)
}

/// What ends a request for messages and says nothing against the next one.
#[cfg(feature = "streams")]
const STATUSES_PASSING: [&str; 3] = [
    "Exceeded MaxWaiting",
    "Leadership Change",
    "Server Shutdown",
];

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, what, after): (_, &dyn fmt::Display, _) = match self {
            Error::Url(why) => ("not a server's address: ", why, "; write nats://host:4222"),
            Error::Option(why) => ("cannot connect so: ", why, ""),
            Error::Connect(error) => ("cannot connect: ", error, "; is a server there?"),
            Error::Thread(error) => ("cannot start a thread: ", error, ""),
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
            #[cfg(feature = "streams")]
            Error::Api(error) => ("the server refuses: ", error, ""),
            #[cfg(feature = "streams")]
            Error::Status { code, words } => {
                return write!(f, "the server sends no messages: {words} ({code})");
            }
            #[cfg(feature = "streams")]
            Error::Unstored(failures) => return write_failures(f, failures),
            #[cfg(feature = "streams")]
            Error::Key(key) => (
                "cannot be a key, or the name of a bucket: \"",
                key,
                "\"; take letters, digits, - and _, in keys also . / and =",
            ),
        };
        write!(f, "{before}{what}{after}")
    }
}

#[cfg(feature = "streams")]
fn write_failures(f: &mut fmt::Formatter<'_>, failures: &[Failure]) -> fmt::Result {
    write!(f, "{} messages may not be stored", failures.len())?;
    match failures.first() {
        Some(first) => write!(f, "; the first, number {}: {}", first.number, first.error),
        None => Ok(()),
    }
}

#[cfg(feature = "streams")]
impl From<ApiError> for Error {
    fn from(error: ApiError) -> Error {
        Error::Api(error)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Connect(error) | Error::Thread(error) | Error::Io(error) => Some(error),
            #[cfg(feature = "streams")]
            Error::Api(error) => Some(error),
            _ => None,
        }
    }
}
