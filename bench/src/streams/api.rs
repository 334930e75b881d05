//! Making streams and consumers and asking what is in them: the requests of
//! which there are few, so that they may be slow.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::connection::{Connection, PATIENCE};
use crate::server::Server;
use crate::streams::scan::{Frame, Inbound, line_of, number, unexpected};
use crate::wire::Dialect;

/// The stream, the redis key, that everything goes to.
pub(crate) const STREAM: &str = "BENCH";
/// The consumer, the redis group, that everything is taken by.
pub(crate) const CONSUMER: &str = "taker";

/// How often a state is asked for until it is the expected one.
const ASK_EVERY: Duration = Duration::from_millis(1);

/// What differs between the streams that are made.
#[derive(Clone, Copy)]
pub(crate) struct Setup {
    /// Whether a message goes once it is acknowledged by a consumer.
    pub(crate) work_queue: bool,
    /// Whether publishes are acknowledged before they are on the disk.
    pub(crate) early: bool,
}

/// A connection for asking about a stream.
pub(crate) struct Api {
    stream: &'static str,
    /// Where the answers come.
    inbox: String,
    connection: Connection,
    inbound: Inbound,
}

impl Api {
    /// Connects.
    pub(crate) fn open(server: &Server) -> io::Result<Self> {
        Self::open_on(server, STREAM)
    }

    /// The same to ask about a stream of another name.
    pub(crate) fn open_on(server: &Server, stream: &'static str) -> io::Result<Self> {
        let inbox = format!("_INBOX.bench.api.{stream}");
        let connection = Connection::open(server.port(), server.dialect())?;
        if server.dialect() == Dialect::Nats {
            connection.subscribe(&inbox, "", 1)?;
        }
        Ok(Api {
            stream,
            inbox,
            connection,
            inbound: Inbound::new(),
        })
    }

    /// Sends a request to a NATS server and returns the answer, if it is none
    /// of failure.
    pub(crate) fn request(&mut self, what: &str, body: &str) -> io::Result<String> {
        self.request_to(&format!("$JS.API.{what}"), body)
    }

    /// The same with all of the subject given.
    pub(crate) fn request_to(&mut self, subject: &str, body: &str) -> io::Result<String> {
        let (inbox, length) = (&self.inbox, body.len());
        let frame = format!("PUB {subject} {inbox} {length}\r\n{body}\r\n");
        self.connection.send(frame.as_bytes())?;
        loop {
            while let Some(frame) = self.inbound.next()? {
                let Frame::Message { header, body, .. } = frame else {
                    continue;
                };
                let text = String::from_utf8_lossy(body).into_owned();
                if !header.is_empty() || text.contains("\"error\":") {
                    let said = [header, body].concat();
                    return Err(io::Error::other(format!(
                        "{subject}: {}",
                        unexpected(&said)
                    )));
                }
                return Ok(text);
            }
            self.inbound.fill(&self.connection)?;
        }
    }

    /// Makes the stream, where there is such a thing to be made.
    pub(crate) fn create_stream(&mut self, setup: Setup) -> io::Result<()> {
        let retention = if setup.work_queue {
            "workqueue"
        } else {
            "limits"
        };
        let early = if setup.early {
            ",\"persist_mode\":\"async\""
        } else {
            ""
        };
        let stream = self.stream;
        let subjects = subjects_of(stream);
        let config = format!(
            "{{\"name\":\"{stream}\",\"subjects\":[\"{subjects}.>\"],\"storage\":\"file\",\
             \"retention\":\"{retention}\",\"num_replicas\":1{early}}}"
        );
        self.request(&format!("STREAM.CREATE.{stream}"), &config)?;
        Ok(())
    }

    /// Makes the consumer, with more of its configuration given as JSON.
    pub(crate) fn create_consumer(&mut self, more: &str) -> io::Result<()> {
        let stream = self.stream;
        let body = format!(
            "{{\"stream_name\":\"{stream}\",\"config\":{{\"durable_name\":\"{CONSUMER}\",\
             \"deliver_policy\":\"all\",{more}}}}}"
        );
        self.request(&format!("CONSUMER.CREATE.{stream}.{CONSUMER}"), &body)?;
        Ok(())
    }

    /// Waits until nothing is left to be delivered to, or acknowledged by,
    /// the consumer, which must have been given `delivered` messages in all.
    pub(crate) fn await_consumed(&mut self, delivered: u64) -> io::Result<()> {
        self.await_settled(delivered, 0)
    }

    /// The same with so many left to be delivered.
    pub(crate) fn await_settled(&mut self, delivered: u64, pending: u64) -> io::Result<()> {
        let begun = Instant::now();
        loop {
            let info = self.consumer_info()?;
            let figure = |path: &[&str]| figure(&info, path);
            let left = [figure(&["num_pending"])?, figure(&["num_ack_pending"])?];
            if left == [pending, 0] {
                let said = figure(&["delivered", "consumer_seq"])?;
                return expect("delivered", said, delivered);
            }
            if begun.elapsed() > PATIENCE {
                return Err(io::Error::other(format!(
                    "acknowledged messages are still pending: {info}"
                )));
            }
            thread::sleep(ASK_EVERY);
        }
    }

    /// Fails unless the consumer has all of so many messages still to come.
    pub(crate) fn expect_pending(&mut self, count: u64) -> io::Result<()> {
        let info = self.consumer_info()?;
        expect("pending", figure(&info, &["num_pending"])?, count)
    }

    fn consumer_info(&mut self) -> io::Result<String> {
        let stream = self.stream;
        self.request(&format!("CONSUMER.INFO.{stream}.{CONSUMER}"), "")
    }

    /// Fails unless there are exactly that many streams.
    pub(crate) fn expect_streams(&mut self, count: u64) -> io::Result<()> {
        let names = self.request("STREAM.NAMES", "")?;
        let found = figure(&names, &["total"])?;
        if found == count {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "wrong: {count} streams were made, the server says {names}"
        )))
    }

    /// Fails unless exactly that many messages are stored.
    pub(crate) fn expect_stored(&mut self, server: &Server, count: u64) -> io::Result<()> {
        expect("stored", self.stored(server)?, count)
    }

    /// How many messages are stored.
    pub(crate) fn stored(&mut self, server: &Server) -> io::Result<u64> {
        match server.dialect() {
            Dialect::Nats => {
                let info = self.request(&format!("STREAM.INFO.{}", self.stream), "")?;
                figure(&info, &["state", "messages"])
            }
            Dialect::Resp => {
                let line = self.ask(&format!("XLEN {STREAM}"))?;
                let digits = line.strip_prefix(':').map(str::as_bytes);
                digits
                    .and_then(number)
                    .map(|count| count as u64)
                    .ok_or_else(|| unexpected(line.as_bytes()))
            }
            Dialect::Beanstalk => {
                let [ready, reserved] = ["ready", "reserved"];
                Ok(self.jobs(ready)? + self.jobs(reserved)?)
            }
            Dialect::Raw => Ok(0),
        }
    }

    /// Sends a line and returns the first line of the answer.
    pub(crate) fn ask(&mut self, line: &str) -> io::Result<String> {
        self.connection.send(format!("{line}\r\n").as_bytes())?;
        loop {
            if let Some((line, length)) = line_of(self.inbound.bytes()) {
                let text = String::from_utf8_lossy(line).into_owned();
                self.inbound.consume(length);
                return Ok(text);
            }
            self.inbound.fill(&self.connection)?;
        }
    }

    /// How many jobs of beanstalkd are in the state.
    fn jobs(&mut self, state: &str) -> io::Result<u64> {
        let said = self.ask("stats-tube default")?;
        let length = said.strip_prefix("OK ").map(str::as_bytes).and_then(number);
        let length = length.ok_or_else(|| unexpected(said.as_bytes()))? + 2;
        while self.inbound.bytes().len() < length {
            self.inbound.fill(&self.connection)?;
        }
        let text = String::from_utf8_lossy(&self.inbound.bytes()[..length]).into_owned();
        self.inbound.consume(length);
        let key = format!("current-jobs-{state}: ");
        let value = text.lines().find_map(|line| line.strip_prefix(&key));
        value
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| unexpected(text.as_bytes()))
    }
}

/// What the subjects of a stream begin with.
pub(crate) fn subjects_of(stream: &str) -> String {
    stream.to_lowercase()
}

/// A number in an answer: the keys lead to it from the outside.
fn figure(text: &str, path: &[&str]) -> io::Result<u64> {
    let mut rest = Some(text);
    for key in path {
        let key = format!("\"{key}\":");
        rest = rest.and_then(|rest| Some(rest.split_once(&key)?.1.trim_start()));
    }
    rest.and_then(leading)
        .ok_or_else(|| io::Error::other(format!("no {} in {text}", path.join("."))))
}

/// The number at the beginning.
fn leading(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text[..digits].parse().ok()
}

/// Every number in an answer that has the key.
pub(crate) fn figures(text: &str, key: &str) -> Vec<u64> {
    let key = format!("\"{key}\":");
    let values = text.split(&key).skip(1);
    values
        .filter_map(|rest| leading(rest.trim_start()))
        .collect()
}

fn expect(what: &str, found: u64, wanted: u64) -> io::Result<()> {
    if found == wanted {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "wrong: {wanted} messages were {what}, the server says {found}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_by_their_path() {
        let text = r#"{"config":{"x":1},"delivered":{"consumer_seq": 12,"stream_seq":3}}"#;
        assert_eq!(figure(text, &["delivered", "consumer_seq"]).unwrap(), 12);
        assert!(figure(text, &["delivered", "nothing"]).is_err());
        assert!(figure(text, &["config"]).is_err());
        let list = r#"{"list":[{"seq":1,"of":7},{"seq": 2,"of":x}],"next_seq":0}"#;
        assert_eq!(figures(list, "seq"), [1, 2]);
        assert_eq!(figures(list, "of"), [7]);
        assert!(figures(list, "last").is_empty());
    }
}
