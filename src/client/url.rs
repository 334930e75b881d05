//! Where a server is and who asks: `nats://[user:pass@]host[:4222]`, or
//! `tls://…`.

use crate::Error;

/// The port of a server that is named without one.
pub const PORT_DEFAULT: u16 = 4222;

/// A server's address taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Url {
    /// `host:port`, as it is shown.
    pub(crate) address: String,
    /// A name, or an IP address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) credentials: Credentials,
    /// It begins with `tls://`.
    pub(crate) wants_tls: bool,
}

/// What a client proves itself with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// Without a password it is a token.
    pub(crate) user: Option<String>,
    pub(crate) pass: Option<String>,
}

impl Url {
    /// Takes `host`, `host:port` and what has `nats://` or `tls://` before it.
    pub(crate) fn parse(text: &str) -> Result<Url, Error> {
        let (rest, wants_tls) = match text.strip_prefix("tls://") {
            Some(rest) => (rest, true),
            None => (text.strip_prefix("nats://").unwrap_or(text), false),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (who, place) = match split(rest, rest.rfind('@')) {
            Some((who, place)) => (Some(who), place),
            None => (None, rest),
        };
        if rest.contains("://") {
            return Err(Error::Url("only nats:// and tls:// are known"));
        }
        if rest.contains('/') {
            return Err(Error::Url("nothing can follow its port"));
        }
        // Only brackets tell the colons of an IPv6 address from the port's.
        let inside = place.strip_prefix('[');
        let (host, port) = match inside.and_then(|at| split(at, at.find(']'))) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or(port))),
            None => match split(place, place.rfind(':')) {
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            },
        };
        if host.is_empty() {
            return Err(Error::Url("it names no host"));
        }
        let port = match port {
            Some(digits) => digits
                .parse()
                .map_err(|_| Error::Url("its port is no port"))?,
            None => PORT_DEFAULT,
        };
        let (user, pass) = match who {
            None => (None, None),
            Some(who) => match split(who, who.find(':')) {
                Some((user, pass)) => (Some(user), Some(pass)),
                None => (Some(who), None),
            },
        };
        let credentials = Credentials {
            user: user.map(decode),
            pass: pass.map(decode),
        };
        Ok(Url {
            address: match inside {
                Some(_) => format!("[{host}]:{port}"),
                None => format!("{host}:{port}"),
            },
            host: host.to_owned(),
            port,
            credentials,
            wants_tls,
        })
    }
}

/// What is before and behind the byte at a place.
fn split(text: &str, at: Option<usize>) -> Option<(&str, &str)> {
    let at = at?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// `%40` is `@`; what is no such escape stays as it is.
fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digit = |at: usize| tail.get(at).and_then(|&byte| (byte as char).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> String {
        let url = Url::parse(text).expect(text);
        assert_eq!(url.credentials, Credentials::default(), "{text}");
        format!("{} {} {}", url.address, url.host, url.port)
    }

    #[test]
    fn scheme_and_port_may_be_left_out() {
        for text in [
            "localhost",
            "localhost:4222",
            "nats://localhost",
            "nats://localhost:4222/",
        ] {
            assert_eq!(place(text), "localhost:4222 localhost 4222", "{text}");
        }
        assert_eq!(place("10.0.0.1:14222"), "10.0.0.1:14222 10.0.0.1 14222");
        assert_eq!(place("nats://[::1]"), "[::1]:4222 ::1 4222");
        assert_eq!(place("[::1]:1"), "[::1]:1 ::1 1");
    }

    #[test]
    fn tls_is_asked_for() {
        for (text, wants_tls) in [("tls://h:1", true), ("nats://h", false), ("h", false)] {
            assert_eq!(Url::parse(text).expect(text).wants_tls, wants_tls, "{text}");
        }
    }

    #[test]
    fn credentials_stand_before_the_host() {
        let of = |text: &str| Url::parse(text).expect(text).credentials;
        let some = |text: &str| Some(text.to_owned());
        let (user, pass) = (some("joe"), some("a:b@c%"));
        assert_eq!(of("nats://joe:a:b%40c%@h"), Credentials { user, pass });
        let (user, pass) = (some("joe"), some("a@b"));
        assert_eq!(of("joe:a@b@h:1"), Credentials { user, pass });
        let (user, pass) = (some("token"), None);
        assert_eq!(of("nats://token@h"), Credentials { user, pass });
    }

    #[test]
    fn what_names_no_server_is_said() {
        for (text, why) in [
            ("", "names no host"),
            ("nats://", "names no host"),
            ("joe:secret@:4222", "names no host"),
            ("nats://joe:secret@h:port", "its port is no port"),
            ("h:65536", "its port is no port"),
            ("[::1]4222x", "its port is no port"),
            ("http://h", "only nats:// and tls://"),
            ("ws://h", "only nats:// and tls://"),
            ("nats://h:1/path", "nothing can follow its port"),
        ] {
            let said = Url::parse(text).expect_err(text).to_string();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
