//! What the tests of streams share: a place for a store, and clients that ask
//! and are answered.

use crate::util::{Client, PATIENCE, Server};
use serde_json::Value;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// A directory of one's own that goes with the test.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("midge-test-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("a directory can be made");
        Dir(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The store in it.
    pub(crate) fn store(&self) -> String {
        self.0.join("store.redb").to_str().unwrap().to_owned()
    }

    /// A server on that store.
    pub(crate) fn serve(&self) -> Server {
        self.serve_with(&[])
    }

    pub(crate) fn serve_with(&self, args: &[&str]) -> Server {
        let store = self.store();
        let mut all = vec!["--store", &store];
        all.extend_from_slice(args);
        Server::start_with(&all)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The two ways in which a server ends. What it has promised holds after both.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    Stopped,
    Killed,
}

impl End {
    pub(crate) const BOTH: [End; 2] = [End::Stopped, End::Killed];

    pub(crate) fn bring(self, mut server: Server) {
        match self {
            End::Stopped => {
                server.signal("TERM");
                assert_eq!(server.wait().code(), Some(0), "{}", server.log());
            }
            End::Killed => {
                server.signal("KILL");
                server.wait();
            }
        }
    }
}

/// A MSG or HMSG.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) subject: String,
    pub(crate) sid: String,
    pub(crate) reply: Option<String>,
    pub(crate) header: String,
    pub(crate) body: Vec<u8>,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Message {
            subject,
            sid,
            reply,
            header,
            ..
        } = self;
        write!(
            f,
            "{subject} to {sid}, reply {reply:?}, {header:?} {:?}",
            self.text()
        )
    }
}

impl Message {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The subject to acknowledge it on.
    #[track_caller]
    pub(crate) fn ack(&self) -> &str {
        self.reply.as_deref().expect("it can be acknowledged")
    }

    /// What the ack subject tells: deliveries of this message, its sequence,
    /// the delivery's number, and how many are to come.
    #[track_caller]
    pub(crate) fn told(&self) -> (u64, u64, u64, u64) {
        let tokens: Vec<&str> = self.ack().split('.').collect();
        let number = |place: usize| tokens[place].parse().expect("a number");
        (number(4), number(5), number(6), number(8))
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.told().1
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

impl Client {
    /// The next message, which has to come before anything else but a ping.
    #[track_caller]
    pub(crate) fn message(&mut self) -> Message {
        let mut line = self.line();
        while line == "PING" {
            self.send("PONG\r\n");
            line = self.line();
        }
        let words: Vec<&str> = line.split(' ').collect();
        let has_header = words[0] == "HMSG";
        assert!(has_header || words[0] == "MSG", "no message: {line}");
        let sizes = 1 + usize::from(has_header);
        let reply = (words.len() == 4 + sizes).then(|| words[3].to_owned());
        let size = |place: usize| words[place].parse::<usize>().expect("a size");
        let header_len = if has_header { size(words.len() - 2) } else { 0 };
        let payload = self.bytes(size(words.len() - 1));
        assert_eq!(self.bytes(2), b"\r\n");
        Message {
            subject: words[1].to_owned(),
            sid: words[2].to_owned(),
            reply,
            header: String::from_utf8_lossy(&payload[..header_len]).into_owned(),
            body: payload[header_len..].to_vec(),
        }
    }

    /// Sends a request and returns its answer, which has to come next.
    #[track_caller]
    pub(crate) fn ask(&mut self, subject: &str, body: impl AsRef<[u8]>) -> Message {
        self.ask_with(subject, "", body)
    }

    /// The same with headers, each with its line end.
    #[track_caller]
    pub(crate) fn ask_with(
        &mut self,
        subject: &str,
        headers: &str,
        body: impl AsRef<[u8]>,
    ) -> Message {
        // Nobody else's, so that many can ask at a time.
        let port = self.stream.local_addr().expect("it is connected").port();
        let inbox = format!("_A.{port}");
        self.send(format!("SUB {inbox} ask\r\nUNSUB ask 1\r\n"));
        self.publish(subject, Some(&inbox), headers, body);
        let answer = self.message();
        assert_eq!(answer.sid, "ask", "not the answer: {answer:?}");
        answer
    }

    pub(crate) fn publish(
        &mut self,
        subject: &str,
        reply: Option<&str>,
        headers: &str,
        body: impl AsRef<[u8]>,
    ) {
        let body = body.as_ref();
        let reply = reply.map(|reply| format!(" {reply}")).unwrap_or_default();
        let mut frame = if headers.is_empty() {
            format!("PUB {subject}{reply} {}\r\n", body.len())
        } else {
            let block = format!("NATS/1.0\r\n{headers}\r\n");
            let total = block.len() + body.len();
            format!("HPUB {subject}{reply} {} {total}\r\n{block}", block.len())
        }
        .into_bytes();
        frame.extend_from_slice(body);
        frame.extend_from_slice(b"\r\n");
        self.send(frame);
    }

    /// Asks the stream API, which agrees.
    #[track_caller]
    pub(crate) fn api(&mut self, words: &str, body: impl AsRef<[u8]>) -> Value {
        let answer = self.ask(&format!("$JS.API.{words}"), body).json();
        assert!(answer["error"].is_null(), "{words}: {answer}");
        answer
    }

    /// Asks the stream API, which refuses; returns its error code.
    #[track_caller]
    pub(crate) fn api_error(&mut self, words: &str, body: impl AsRef<[u8]>) -> u64 {
        let answer = self.ask(&format!("$JS.API.{words}"), body).json();
        let code = answer["error"]["err_code"].as_u64();
        code.unwrap_or_else(|| panic!("{words}: {answer}"))
    }

    /// Makes a stream of these subjects; `more` is further JSON.
    #[track_caller]
    pub(crate) fn make_stream(&mut self, name: &str, subject: &str, more: &str) {
        let more = if more.is_empty() {
            String::new()
        } else {
            format!(",{more}")
        };
        self.api(
            &format!("STREAM.CREATE.{name}"),
            format!("{{\"name\":\"{name}\",\"subjects\":[\"{subject}\"]{more}}}"),
        );
    }

    /// Makes a durable pull consumer that wants acks; `more` is further JSON.
    #[track_caller]
    pub(crate) fn make_durable(&mut self, stream: &str, name: &str, more: &str) {
        let more = if more.is_empty() {
            String::new()
        } else {
            format!(",{more}")
        };
        self.api(
            &format!("CONSUMER.CREATE.{stream}.{name}"),
            format!(
                "{{\"stream_name\":\"{stream}\",\"config\":{{\"durable_name\":\"{name}\",\
                 \"ack_policy\":\"explicit\"{more}}}}}"
            ),
        );
    }

    /// Publishes and returns the sequence of the PubAck.
    #[track_caller]
    pub(crate) fn store(&mut self, subject: &str, body: impl AsRef<[u8]>) -> u64 {
        self.store_with(subject, "", body)
    }

    #[track_caller]
    pub(crate) fn store_with(
        &mut self,
        subject: &str,
        headers: &str,
        body: impl AsRef<[u8]>,
    ) -> u64 {
        let ack = self.ask_with(subject, headers, body).json();
        ack["seq"]
            .as_u64()
            .filter(|seq| *seq > 0)
            .unwrap_or_else(|| panic!("{subject}: {ack}"))
    }

    /// Sends a pull request whose messages come to sid `pull`, which the
    /// client has to have.
    pub(crate) fn pull(&mut self, stream: &str, consumer: &str, body: &str) {
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
        self.publish(&subject, Some("_P"), "", body);
    }

    /// A client's inbox for pull requests.
    pub(crate) fn listen_for_pulls(&mut self) {
        self.send("SUB _P pull\r\n");
    }

    /// One message of a consumer.
    #[track_caller]
    pub(crate) fn next(&mut self, stream: &str, consumer: &str) -> Message {
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
        self.ask(&subject, "1")
    }

    /// What a consumer has at once; nothing if that is nothing.
    #[track_caller]
    pub(crate) fn next_now(&mut self, stream: &str, consumer: &str) -> Option<Message> {
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
        let message = self.ask(&subject, "{\"batch\":1,\"no_wait\":true}");
        if message.header.starts_with("NATS/1.0 404 No Messages\r\n") {
            return None;
        }
        assert!(message.reply.is_some(), "{message:?}");
        Some(message)
    }

    /// Acknowledges, and waits until that is confirmed.
    #[track_caller]
    pub(crate) fn confirm(&mut self, ack: &str, word: &str) {
        let answer = self.ask(ack, word);
        assert!(
            answer.body.is_empty() && answer.header.is_empty(),
            "{answer:?}"
        );
    }

    /// The state of a stream.
    #[track_caller]
    pub(crate) fn state(&mut self, stream: &str) -> Value {
        self.api(&format!("STREAM.INFO.{stream}"), "")["state"].clone()
    }

    /// Waits until a stream has so many messages.
    #[track_caller]
    pub(crate) fn wait_messages(&mut self, stream: &str, count: u64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let state = self.state(stream);
            if state["messages"] == count {
                return;
            }
            assert!(Instant::now() < deadline, "{stream} stays {state}");
            std::thread::yield_now();
        }
    }

    /// The message under a sequence, or the error code.
    #[track_caller]
    pub(crate) fn stored(&mut self, stream: &str, seq: u64) -> Result<Value, u64> {
        let answer = self
            .ask(
                &format!("$JS.API.STREAM.MSG.GET.{stream}"),
                format!("{{\"seq\":{seq}}}"),
            )
            .json();
        match answer["error"]["err_code"].as_u64() {
            Some(code) => Err(code),
            None => Ok(answer["message"].clone()),
        }
    }
}

/// As the stream API spells bytes.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let whole = part
            .iter()
            .fold(0u32, |whole, byte| whole << 8 | u32::from(*byte));
        let whole = whole << (8 * (3 - part.len()));
        for place in 0..4 {
            let digit = DIGITS[(whole >> (18 - 6 * place) & 63) as usize];
            text.push(if place > part.len() {
                '='
            } else {
                char::from(digit)
            });
        }
    }
    text
}
