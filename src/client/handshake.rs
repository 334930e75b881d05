//! From a URL to a connection on which both sides know each other.

use crate::deadline::Deadline;
use crate::frame::{self, Frame};
use crate::info::ServerInfo;
use crate::transport::{Transport, is_passing};
use crate::url::{Credentials, Url};
use crate::{Error, Options};
use midge_proto::JsonWriter;
use midge_proto::encode::{CRLF, PING, PONG};
use std::io::ErrorKind;
use std::time::Duration;

/// Read at a time while making acquaintance.
const READ_SIZE: usize = 4096;

/// A connection that is ready for messages.
#[derive(Debug)]
pub(crate) struct Established {
    pub(crate) transport: Transport,
    pub(crate) info: ServerInfo,
    /// The server's: `host:port`.
    pub(crate) address: String,
    /// What has come already and was not read.
    pub(crate) rest: Vec<u8>,
}

/// Connects to a server and waits until it has agreed.
pub(crate) fn establish(url: &Url, options: &Options) -> Result<Established, Error> {
    let deadline = Deadline::after(options.timeout);
    let mut talk = Talk {
        transport: Transport::open(url, options.timeout, &deadline)?,
        deadline,
        input: Vec::new(),
        used: 0,
    };
    let mut info = greet(&mut talk, url, options)?;
    let mut out = Vec::new();
    write_connect(&mut out, options, &credentials(url, options));
    out.extend_from_slice(PING);
    talk.write(&out)?;
    loop {
        match talk.next()? {
            Frame::Pong => break,
            Frame::Ping => talk.write(PONG)?,
            Frame::Info(json) => info = ServerInfo::parse(json),
            Frame::Error(words) => return Err(refused(words)),
            Frame::Ok | Frame::Message(_) => {}
        }
    }
    let Talk {
        transport,
        mut input,
        used,
        ..
    } = talk;
    input.drain(..used);
    transport.wait_long().map_err(Error::Io)?;
    Ok(Established {
        transport,
        info,
        address: url.address.clone(),
        rest: input,
    })
}

/// Hears what the server says first, and has TLS begin where it should.
fn greet(talk: &mut Talk, url: &Url, options: &Options) -> Result<ServerInfo, Error> {
    let is_first = tls_is_first(options);
    if is_first {
        secure(talk, url, options)?;
    }
    let info = match talk.next()? {
        Frame::Info(json) => ServerInfo::parse(json),
        Frame::Error(words) => return Err(refused(words)),
        _ => return Err(Error::Protocol("it does not begin with INFO")),
    };
    let is_wanted = url.wants_tls || wants_tls(options);
    if is_wanted && !is_first && !info.wants_tls && !info.offers_tls {
        return Err(Error::Tls("the server offers none".to_owned()));
    }
    if (is_wanted || info.wants_tls) && !is_first {
        // Nothing may have been slipped in before it was safe.
        if talk.used < talk.input.len() {
            return Err(Error::Protocol("it goes on talking before TLS"));
        }
        secure(talk, url, options)?;
    }
    Ok(info)
}

#[cfg(feature = "tls")]
fn secure(talk: &mut Talk, url: &Url, options: &Options) -> Result<(), Error> {
    talk.transport.secure(&url.host, options, &talk.deadline)
}

#[cfg(not(feature = "tls"))]
fn secure(_: &mut Talk, _: &Url, _: &Options) -> Result<(), Error> {
    let why = "this program was built without it (feature tls of midge-client)";
    Err(Error::Tls(why.to_owned()))
}

#[cfg(feature = "tls")]
fn wants_tls(options: &Options) -> bool {
    options.tls.is_some()
}

#[cfg(feature = "tls")]
fn tls_is_first(options: &Options) -> bool {
    options.tls.as_ref().is_some_and(|tls| tls.is_first)
}

#[cfg(not(feature = "tls"))]
fn wants_tls(_: &Options) -> bool {
    false
}

#[cfg(not(feature = "tls"))]
fn tls_is_first(_: &Options) -> bool {
    false
}

fn refused(words: &[u8]) -> Error {
    Error::Refused(String::from_utf8_lossy(words).into_owned())
}

/// A connection on which one thing is said after the other.
struct Talk {
    transport: Transport,
    deadline: Deadline,
    input: Vec<u8>,
    /// Where what was not looked at begins.
    used: usize,
}

impl Talk {
    fn next(&mut self) -> Result<Frame<'_>, Error> {
        loop {
            let rest = self.input.get(self.used..).unwrap_or_default();
            match frame::parse(rest) {
                Ok(Some((_, len))) => {
                    let start = self.used;
                    self.used += len;
                    // Looked at again, because a loop cannot lend it.
                    let frame = frame::parse(self.input.get(start..).unwrap_or_default());
                    return frame
                        .ok()
                        .flatten()
                        .map(|(frame, _)| frame)
                        .ok_or(Error::Protocol("an unknown line"));
                }
                Ok(None) => self.fill()?,
                Err(why) => return Err(Error::Protocol(why)),
            }
        }
    }

    fn fill(&mut self) -> Result<(), Error> {
        let mut buffer = [0; READ_SIZE];
        loop {
            let left = self.deadline.left().ok_or(Error::Timeout)?;
            match self.transport.read(&mut buffer, Some(left)) {
                Ok(0) => return Err(Error::Hangup),
                Ok(count) => {
                    let read = buffer.get(..count).unwrap_or_default();
                    self.input.extend_from_slice(read);
                    return Ok(());
                }
                // The deadline decides whether it is too late.
                Err(error) if is_passing(&error) => {}
                // Only TLS looks into what it reads.
                Err(error) if error.kind() == ErrorKind::InvalidData => {
                    return Err(Error::Tls(error.to_string()));
                }
                Err(error) => return Err(Error::Io(error)),
            }
        }
    }

    fn write(&self, bytes: &[u8]) -> Result<(), Error> {
        let done = self.transport.write(bytes);
        done.map_err(|broken| Error::Io(broken.error))
    }
}

/// Those of the URL, or else those of the options.
fn credentials(url: &Url, options: &Options) -> Credentials {
    if url.credentials.user.is_some() {
        return url.credentials.clone();
    }
    match &options.token {
        Some(token) => Credentials {
            user: Some(token.clone()),
            pass: None,
        },
        None => Credentials {
            user: options.user.clone(),
            pass: options.pass.clone(),
        },
    }
}

/// Appends the CONNECT line.
fn write_connect(out: &mut Vec<u8>, options: &Options, credentials: &Credentials) {
    let mut json = JsonWriter::new();
    json.open_object();
    for (key, value) in [
        ("verbose", false),
        ("pedantic", false),
        ("headers", true),
        ("no_responders", true),
        ("echo", options.has_echo),
    ] {
        json.bool_field(key, value);
    }
    json.uint_field("protocol", 1);
    json.string_field("name", &options.name);
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
    for part in [b"CONNECT ", &json.into_bytes()[..], CRLF] {
        out.extend_from_slice(part);
    }
}

/// How long to wait before the first attempt: up to the first pause, by
/// chance, of which `chance` has 16 bits.
pub(crate) fn stagger(options: &Options, chance: u64) -> Duration {
    options.reconnect_wait.mul_f64(share(chance))
}

fn share(chance: u64) -> f64 {
    (chance & 0xffff) as f64 / 65536.0
}

/// How long to wait after so many attempts in vain: twice as long each time,
/// and up to half of it left out by chance.
pub(crate) fn pause(options: &Options, attempts: u32, chance: u64) -> Duration {
    /// Doubling more often leads past any limit.
    const DOUBLINGS_MAX: u32 = 16;
    let doubled = options
        .reconnect_wait
        .saturating_mul(1 << attempts.min(DOUBLINGS_MAX));
    let full = doubled.min(options.reconnect_wait_max);
    let left_out = (full / 2).mul_f64(share(chance));
    full - left_out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_differ() {
        let options = Options {
            reconnect_wait: Duration::from_millis(100),
            reconnect_wait_max: Duration::from_secs(1),
            ..Options::default()
        };
        let millis = |attempts, chance| pause(&options, attempts, chance).as_millis();
        assert_eq!(millis(0, 0), 100);
        assert_eq!(millis(1, 0), 200);
        assert_eq!(millis(0, 0x8000), 75);
        assert_eq!(millis(4, 0), 1000);
        assert_eq!(millis(u32::MAX, 0x1_0000), 1000);
        assert!((500..=501).contains(&millis(9, 0xffff)));
        assert_eq!(stagger(&options, 0x8000), Duration::from_millis(50));
    }
}
