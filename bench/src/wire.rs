//! The framing of the four things the generator talks to: a NATS server,
//! redis, beanstalkd, and the relay, which takes any bytes.
//!
//! Everything here only appends bytes to a buffer. All frames are made before
//! a measurement starts; during it they are written and compared, not built.

use crate::relay;

/// A request and the bytes that prove that it, and all before it, was handled.
#[derive(Clone, Copy)]
pub(crate) struct Exchange {
    /// What to send.
    pub(crate) request: &'static [u8],
    /// What to wait for.
    pub(crate) answer: &'static [u8],
}

/// One message as a subscription receives it, or as it is published.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a> {
    /// The subject, or channel.
    pub(crate) subject: &'a str,
    /// The subject for the answer, empty for none.
    pub(crate) reply: &'a str,
    /// The body.
    pub(crate) payload: &'a [u8],
}

/// The protocol of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// NATS core protocol.
    Nats,
    /// RESP2, as redis speaks it.
    Resp,
    /// What beanstalkd speaks. It has jobs, and nobody subscribes to them.
    Beanstalk,
    /// No protocol: what goes in comes out.
    Raw,
}

/// What a NATS server may send at any time, between any two messages; the
/// reference does so about two seconds into every connection.
pub(crate) const NATS_PING: &[u8] = b"PING\r\n";

/// Real clients ask for headers and no-responders too; protocol 0 only keeps
/// away the second INFO, which would arrive amid the messages.
const NATS_HELLO: Exchange = Exchange {
    request: b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\
        \"no_responders\":true,\"protocol\":0,\"lang\":\"bench\",\"version\":\"0\"}\r\nPING\r\n",
    answer: b"PONG\r\n",
};

const BEANSTALK_HELLO: Exchange = Exchange {
    request: b"list-tube-used\r\n",
    answer: b"USING default\r\n",
};

impl Dialect {
    /// Sent to a server that does not speak first, to see it alive.
    pub(crate) fn probe(self) -> &'static [u8] {
        match self {
            Dialect::Resp => b"PING\r\n",
            Dialect::Beanstalk => BEANSTALK_HELLO.request,
            Dialect::Nats | Dialect::Raw => b"",
        }
    }

    /// How a connection begins.
    pub(crate) fn hello(self) -> Exchange {
        match self {
            Dialect::Nats => NATS_HELLO,
            Dialect::Resp => Exchange {
                request: b"PING\r\n",
                answer: b"+PONG\r\n",
            },
            Dialect::Beanstalk => BEANSTALK_HELLO,
            Dialect::Raw => Exchange {
                request: relay::JOIN,
                answer: relay::JOINED,
            },
        }
    }

    /// Turns off the answers to publishes. A NATS server has none once
    /// `verbose` is off; redis would send four bytes for each.
    pub(crate) fn hush(self) -> &'static [u8] {
        match self {
            Dialect::Resp => b"CLIENT REPLY OFF\r\n",
            Dialect::Nats | Dialect::Beanstalk | Dialect::Raw => b"",
        }
    }

    /// Proves, on a connection that published, that the server has taken it
    /// all. The relay has no such thing.
    pub(crate) fn publisher_check(self) -> Option<Exchange> {
        match self {
            Dialect::Nats => Some(Exchange {
                request: b"PING\r\n",
                answer: b"PONG\r\n",
            }),
            Dialect::Resp => Some(Exchange {
                request: b"CLIENT REPLY ON\r\n",
                answer: b"+OK\r\n",
            }),
            Dialect::Beanstalk | Dialect::Raw => None,
        }
    }

    /// Proves, on a connection that subscribed, that nothing comes after what
    /// has come.
    pub(crate) fn subscriber_check(self) -> Option<Exchange> {
        match self {
            Dialect::Nats => self.publisher_check(),
            Dialect::Resp => Some(Exchange {
                request: b"PING\r\n",
                answer: b"*2\r\n$4\r\npong\r\n$0\r\n\r\n",
            }),
            Dialect::Beanstalk | Dialect::Raw => None,
        }
    }

    /// Appends the frame that subscribes; `queue` empty for a plain one.
    pub(crate) fn subscribe(self, out: &mut Vec<u8>, subject: &str, queue: &str, sid: usize) {
        match self {
            Dialect::Nats => {
                let space = if queue.is_empty() { "" } else { " " };
                let line = format!("SUB {subject}{space}{queue} {sid}\r\n");
                out.extend_from_slice(line.as_bytes());
            }
            Dialect::Resp => resp_array(out, &[b"SUBSCRIBE", subject.as_bytes()]),
            Dialect::Beanstalk | Dialect::Raw => {}
        }
    }

    /// Appends the frame that publishes the message.
    pub(crate) fn publish(self, out: &mut Vec<u8>, message: Message<'_>) {
        let Message {
            subject, payload, ..
        } = message;
        match self {
            Dialect::Nats | Dialect::Raw => nats_frame(out, &format!("PUB {subject}"), message),
            Dialect::Resp => resp_array(out, &[b"PUBLISH", subject.as_bytes(), payload]),
            Dialect::Beanstalk => beanstalk_put(out, payload),
        }
    }

    /// Appends the frame that has the message stored and acknowledged.
    pub(crate) fn store(self, out: &mut Vec<u8>, message: Message<'_>) {
        let Message {
            subject, payload, ..
        } = message;
        match self {
            Dialect::Resp => {
                resp_array(out, &[b"XADD", subject.as_bytes(), b"*", b"d", payload]);
            }
            Dialect::Nats | Dialect::Beanstalk | Dialect::Raw => self.publish(out, message),
        }
    }

    /// Appends the frame in which the subscription `sid` gets the message.
    pub(crate) fn deliver(self, out: &mut Vec<u8>, message: Message<'_>, sid: usize) {
        let Message {
            subject, payload, ..
        } = message;
        match self {
            Dialect::Nats => nats_frame(out, &format!("MSG {subject} {sid}"), message),
            Dialect::Resp => resp_array(out, &[b"message", subject.as_bytes(), payload]),
            Dialect::Beanstalk | Dialect::Raw => self.publish(out, message),
        }
    }
}

/// Everything after the words that differ between PUB and MSG.
fn nats_frame(out: &mut Vec<u8>, head: &str, message: Message<'_>) {
    let Message { reply, payload, .. } = message;
    let space = if reply.is_empty() { "" } else { " " };
    let line = format!("{head}{space}{reply} {}\r\n", payload.len());
    out.extend_from_slice(line.as_bytes());
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// Priority 0, no delay, an hour until it counts as abandoned.
fn beanstalk_put(out: &mut Vec<u8>, payload: &[u8]) {
    out.extend_from_slice(format!("put 0 0 3600 {}\r\n", payload.len()).as_bytes());
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// Appends a command, or message, of redis.
pub(crate) fn resp_array(out: &mut Vec<u8>, items: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", items.len()).as_bytes());
    for item in items {
        out.extend_from_slice(format!("${}\r\n", item.len()).as_bytes());
        out.extend_from_slice(item);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: Message<'_> = Message {
        subject: "a.b",
        reply: "",
        payload: b"hi",
    };

    fn made(make: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        make(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nats_frames() {
        let nats = Dialect::Nats;
        let asked = Message {
            reply: "r",
            ..MESSAGE
        };
        assert_eq!(
            made(|out| nats.publish(out, MESSAGE)),
            "PUB a.b 2\r\nhi\r\n"
        );
        assert_eq!(
            made(|out| nats.publish(out, asked)),
            "PUB a.b r 2\r\nhi\r\n"
        );
        assert_eq!(
            made(|out| nats.deliver(out, asked, 7)),
            "MSG a.b 7 r 2\r\nhi\r\n"
        );
        assert_eq!(
            made(|out| nats.subscribe(out, "a.b", "q", 7)),
            "SUB a.b q 7\r\n"
        );
        assert_eq!(
            made(|out| nats.subscribe(out, "a.b", "", 7)),
            "SUB a.b 7\r\n"
        );
    }

    #[test]
    fn resp_frames() {
        assert_eq!(
            made(|out| Dialect::Resp.deliver(out, MESSAGE, 7)),
            "*3\r\n$7\r\nmessage\r\n$3\r\na.b\r\n$2\r\nhi\r\n"
        );
    }

    #[test]
    fn frames_that_store() {
        assert_eq!(
            made(|out| Dialect::Resp.store(out, MESSAGE)),
            "*5\r\n$4\r\nXADD\r\n$3\r\na.b\r\n$1\r\n*\r\n$1\r\nd\r\n$2\r\nhi\r\n"
        );
        assert_eq!(
            made(|out| Dialect::Beanstalk.store(out, MESSAGE)),
            "put 0 0 3600 2\r\nhi\r\n"
        );
    }

    #[test]
    fn the_relay_delivers_what_was_published() {
        assert_eq!(
            made(|out| Dialect::Raw.publish(out, MESSAGE)),
            made(|out| Dialect::Raw.deliver(out, MESSAGE, 7))
        );
    }
}
