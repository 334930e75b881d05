//! One connection to a server.

use crate::frame::{self, Frame};
use crate::url::{Credentials, Url};
use crate::{Error, Message};
use midge_proto::api::JsonWriter;
use midge_proto::encode::{self, CRLF, Decimal, PING, PONG};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// How long a connection may take to come about, and an answer to come, where
/// nothing else is said: longer than a busy server takes, shorter than a
/// person's patience.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// Read at a time. Most answers fit; large ones take many.
const READ_SIZE: usize = 16 * 1024;

/// Addresses of a name that are tried, so that one which leads nowhere costs
/// a few timeouts at most.
const ADDRESSES_MAX: usize = 4;

/// The subscription of the inbox that answers come to.
const INBOX_SID: &[u8] = b"1";

/// How to connect.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the server's monitoring calls this client.
    pub name: String,
    /// How long connecting may take, and an answer for which nothing else is
    /// said.
    pub timeout: Duration,
    /// Who asks, if the URL does not say; without a password it is a token.
    pub user: Option<String>,
    /// With which password, if the URL does not say.
    pub pass: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            name: "midge-client".to_owned(),
            timeout: TIMEOUT_DEFAULT,
            user: None,
            pass: None,
        }
    }
}

/// A connection on which one thing is done at a time.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    address: String,
    timeout: Duration,
    /// What has come and was not read yet.
    input: Vec<u8>,
    /// What every reply subject begins with, up to its last dot.
    inbox: String,
    /// Requests so far; each has its own reply subject, so that a late answer
    /// is nobody else's.
    requests: u64,
}

impl Client {
    /// Connects to a server: `nats://[user:pass@]host[:4222]` or `host:port`.
    ///
    /// # Errors
    /// Any [`Error`] but that of a subject or of missing responders.
    pub fn connect(url: &str, options: Options) -> Result<Client, Error> {
        let url = Url::parse(url)?;
        let credentials = if url.credentials.user.is_some() {
            url.credentials
        } else {
            Credentials {
                user: options.user,
                pass: options.pass,
            }
        };
        let stream = open(&url.host, url.port, options.timeout).map_err(Error::Connect)?;
        // Who hashes with it, or asks it for a number, cannot foretell it.
        let random = RandomState::new().build_hasher().finish();
        let mut client = Client {
            stream,
            address: url.address,
            timeout: options.timeout,
            input: Vec::new(),
            inbox: format!("_INBOX.{random:016x}."),
            requests: 0,
        };
        client.introduce(&options.name, &credentials)?;
        Ok(client)
    }

    /// The server's: `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Publishes a message. The server does not say whether it was of use.
    ///
    /// # Errors
    /// [`Error::Subject`], [`Error::Io`].
    pub fn publish(&mut self, subject: &str, payload: &[u8]) -> Result<(), Error> {
        check(subject)?;
        self.send(Vec::new(), subject, None, payload)
    }

    /// Asks, and waits for the first answer; `timeout` is for this one alone.
    ///
    /// # Errors
    /// Any [`Error`] but those of a URL and of connecting. After a timeout or
    /// missing responders the client can be used further.
    pub fn request(
        &mut self,
        subject: &str,
        payload: &[u8],
        timeout: Option<Duration>,
    ) -> Result<Message, Error> {
        check(subject)?;
        let deadline = Deadline::after(timeout.unwrap_or(self.timeout));
        let mut out = Vec::new();
        if self.requests == 0 {
            for part in [b"SUB ", self.inbox.as_bytes(), b"* ", INBOX_SID, CRLF] {
                out.extend_from_slice(part);
            }
        }
        self.requests += 1;
        let mut reply = self.inbox.clone().into_bytes();
        reply.extend_from_slice(Decimal::from_u64(self.requests).as_bytes());
        self.send(out, subject, Some(&reply), payload)?;
        loop {
            let Frame::Message(message) = self.next(&deadline)? else {
                continue;
            };
            if message.subject() != reply {
                continue;
            }
            if message.is_no_responders() {
                return Err(Error::NoResponders(subject.to_owned()));
            }
            return Ok(message);
        }
    }

    /// Says who this is and waits until the server has agreed.
    fn introduce(&mut self, name: &str, credentials: &Credentials) -> Result<(), Error> {
        let deadline = Deadline::after(self.timeout);
        // The server speaks first.
        match self.next(&deadline)? {
            Frame::Info { wants_tls: false } => {}
            Frame::Info { wants_tls: true } => return Err(Error::Protocol("it wants TLS")),
            _ => return Err(Error::Protocol("it does not begin with INFO")),
        }
        let mut json = JsonWriter::new();
        json.open_object();
        for (key, value) in [
            ("verbose", false),
            ("pedantic", false),
            ("headers", true),
            ("no_responders", true),
        ] {
            json.bool_field(key, value);
        }
        json.uint_field("protocol", 1);
        json.string_field("name", name);
        json.string_field("lang", "rust");
        json.string_field("version", env!("CARGO_PKG_VERSION"));
        match (&credentials.user, &credentials.pass) {
            (Some(user), Some(pass)) => {
                json.string_field("user", user);
                json.string_field("pass", pass);
            }
            (Some(token), None) => json.string_field("auth_token", token),
            (None, _) => {}
        }
        json.close_object();
        let mut out = b"CONNECT ".to_vec();
        for part in [&json.into_bytes(), CRLF, PING] {
            out.extend_from_slice(part);
        }
        self.write(&out)?;
        while self.next(&deadline)? != Frame::Pong {}
        Ok(())
    }

    /// Sends a message after what is to be sent before it.
    fn send(
        &mut self,
        mut out: Vec<u8>,
        subject: &str,
        reply: Option<&[u8]>,
        payload: &[u8],
    ) -> Result<(), Error> {
        for part in [b"PUB ", subject.as_bytes(), b" "] {
            out.extend_from_slice(part);
        }
        let size = Decimal::new(payload.len());
        encode::message_tail(&mut out, reply, None, size.as_bytes(), payload);
        self.write(&out)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.stream.write_all(bytes).map_err(Error::Io)
    }

    /// The next frame that says something. Pings are answered, and errors are
    /// errors.
    fn next(&mut self, deadline: &Deadline) -> Result<Frame, Error> {
        loop {
            match frame::parse(&self.input) {
                Ok(Some((frame, used))) => {
                    self.input.drain(..used);
                    match frame {
                        Frame::Ping => self.write(PONG)?,
                        Frame::Error(words) => return Err(Error::Refused(words)),
                        frame => return Ok(frame),
                    }
                }
                Ok(None) => self.fill(deadline)?,
                Err(why) => return Err(Error::Protocol(why)),
            }
        }
    }

    /// Reads some more.
    fn fill(&mut self, deadline: &Deadline) -> Result<(), Error> {
        let mut buffer = [0; READ_SIZE];
        loop {
            let left = deadline.left().ok_or(Error::Timeout)?;
            let read = self
                .stream
                .set_read_timeout(Some(left))
                .and_then(|()| self.stream.read(&mut buffer));
            match read {
                Ok(0) => return Err(Error::Closed),
                Ok(count) => {
                    let read = buffer.get(..count).unwrap_or_default();
                    self.input.extend_from_slice(read);
                    return Ok(());
                }
                // The deadline decides whether it is too late.
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(Error::Io(error)),
            }
        }
    }
}

/// When waiting ends.
struct Deadline {
    start: Instant,
    span: Duration,
}

impl Deadline {
    fn after(span: Duration) -> Self {
        Deadline {
            start: Instant::now(),
            span,
        }
    }

    /// How long is left, unless it has passed.
    fn left(&self) -> Option<Duration> {
        self.span
            .checked_sub(self.start.elapsed())
            .filter(|left| !left.is_zero())
    }
}

/// What is no subject could end the line and begin another one.
fn check(subject: &str) -> Result<(), Error> {
    let bytes = subject.as_bytes();
    if midge_proto::is_literal(bytes) && !midge_proto::has_blank(bytes) {
        Ok(())
    } else {
        Err(Error::Subject(subject.to_owned()))
    }
}

/// Connects to the first address of a host that answers.
fn open(host: &str, port: u16, timeout: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::from(ErrorKind::NotFound);
    for address in (host, port).to_socket_addrs()?.take(ADDRESSES_MAX) {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                // A server that does not read is not waited for for ever.
                stream.set_write_timeout(Some(timeout))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut
    )
}
