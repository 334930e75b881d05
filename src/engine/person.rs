//! Verbs and words for people on a bare socket.
//!
//! A person needs no byte counts and deserves to be told what to type. None
//! of this reaches a client library: the verbs collide with nothing, and
//! hints go only to sessions without a CONNECT whose lines end as only typed
//! ones do.

use crate::engine::{Engine, Flow, Recovery};
use crate::outbox::{CloseReason, Outbox};
use crate::{ConnId, Time};
use midge_api::JsonWriter;
use midge_proto::{Fault, ParseError, Verb, WireError};

/// Mistyped lines before the connection is closed after all: by then it is
/// no person, or not one that reads.
const MISTAKES_MAX: u32 = 32;

/// Questions of one person that may wait for their answers; the oldest is
/// forgotten for the next.
const QUESTIONS_MAX: u64 = 16;

/// Where questions about stored messages go.
const WHY: &[u8] = b"$MIDGE.API.WHY";

const HELP: &str = "\
what you can type here:\r
  SUB <subject> <id>           listen; * stands for one word, > for the rest: SUB greet.> 1\r
  UNSUB <id>                   stop listening\r
  SEND <subject> <text>        publish a line of text: SEND greet.joe hello there\r
  ASK <subject> <text>         send a request and show the answer\r
  WHY <stream> <seq> [consumer]  what became of a stored message\r
  PUB <subject> [reply] <n>    publish n bytes, which follow on the next line (ends in CR LF)\r
  SUB <subject> <queue> <id>   share the messages with others of the same queue\r
  CONNECT {\"verbose\":false}    no more +OK; with \"user\" and \"pass\" to log in\r
  PING                         answered with PONG\r
everything a NATS client sends works too.\r
";

impl Engine {
    pub(crate) fn help<O: Outbox>(&mut self, conn: ConnId, out: &mut O) -> Flow {
        self.mark_person(conn);
        self.tell(conn, HELP.as_bytes(), out);
        self.settle(conn, out)
    }

    pub(crate) fn send<O: Outbox>(
        &mut self,
        now: Time,
        conn: ConnId,
        subject: &[u8],
        text: &[u8],
        out: &mut O,
    ) -> Flow {
        self.mark_person(conn);
        if let Some(hint) = self.hint_at_text(subject, text) {
            return self.refuse(conn, WireError::Hint(hint), out);
        }
        if !self.may_publish(now, conn, subject) {
            return self.refuse(conn, WireError::PublishViolation(subject), out);
        }
        self.confirm(conn, out);
        self.publish_text(now, conn, subject, None, text, out).1
    }

    pub(crate) fn ask<O: Outbox>(
        &mut self,
        now: Time,
        conn: ConnId,
        subject: &[u8],
        text: &[u8],
        out: &mut O,
    ) -> Flow {
        self.mark_person(conn);
        if let Some(hint) = self.hint_at_text(subject, text) {
            return self.refuse(conn, WireError::Hint(hint), out);
        }
        if !self.may_publish(now, conn, subject) {
            return self.refuse(conn, WireError::PublishViolation(subject), out);
        }
        let Some(session) = self.sessions.get_mut(conn) else {
            return Flow::Closed;
        };
        session.asked += 1;
        let account = session.account;
        let asked = session.asked;
        if asked > QUESTIONS_MAX {
            let oldest = format!("ask-{}", asked - QUESTIONS_MAX);
            if let Some(id) = self.subscription_of(conn, oldest.as_bytes()) {
                self.remove_subscription(conn, id);
            }
        }
        let inbox = format!("_INBOX.ask.{:016x}", self.rng.next());
        let sid = format!("ask-{asked}");
        if self.is_at_subscription_limit(conn) {
            return self.refuse(conn, WireError::MaximumSubscriptions, out);
        }
        if self.subscription_of(conn, sid.as_bytes()).is_some() {
            let hint = "a subscription of yours has the id that the answer would get; ASK again";
            return self.refuse(conn, WireError::Hint(hint), out);
        }
        let Some(id) = self.add_subscription(conn, inbox.as_bytes(), None, sid.as_bytes(), false)
        else {
            return Flow::Closed;
        };
        self.accounts[account].subs[id.index()].max = 1;
        let (receivers, flow) =
            self.publish_text(now, conn, subject, Some(inbox.as_bytes()), text, out);
        if receivers == 0 {
            self.remove_subscription(conn, id);
            let hint = "nobody listens there; someone has to SUB it and publish to the reply";
            return self.refuse(conn, WireError::Hint(hint), out);
        }
        match flow {
            Flow::Continue => self.confirm(conn, out),
            Flow::Stall | Flow::Hold | Flow::Verify | Flow::Closed => flow,
        }
    }

    /// A question about a stored message: a request like any other.
    pub(crate) fn ask_why<O: Outbox>(
        &mut self,
        now: Time,
        conn: ConnId,
        (stream, seq, consumer): (&[u8], u64, &[u8]),
        out: &mut O,
    ) -> Flow {
        if !self.has_streams() {
            self.mark_person(conn);
            return self.refuse(conn, WireError::Hint("no streams are kept here"), out);
        }
        let mut json = JsonWriter::new();
        json.open_object();
        json.string_field("stream", &String::from_utf8_lossy(stream));
        json.uint_field("seq", seq);
        json.string_field("consumer", &String::from_utf8_lossy(consumer));
        json.flag("text", true);
        json.close_object();
        self.ask(now, conn, WHY, &json.into_bytes(), out)
    }

    /// What is wrong with the arguments of SEND or ASK.
    fn hint_at_text(&self, subject: &[u8], text: &[u8]) -> Option<&'static str> {
        if !midge_proto::is_literal(subject) {
            return Some("that needs one subject without wildcards: SEND greet.joe hello");
        }
        (text.len() > self.config.limits.frame.max_payload)
            .then_some("the text is longer than max_payload")
    }

    fn mark_person(&mut self, conn: ConnId) {
        if let Some(session) = self.sessions.get_mut(conn) {
            session.is_person = !session.connected;
        }
    }

    /// Answers input that is no command. A program is told what nats-server
    /// would tell it and loses the connection; a person is told what to type
    /// instead and goes on with the next line.
    pub fn fault<O: Outbox>(&mut self, conn: ConnId, error: &ParseError, out: &mut O) -> Recovery {
        let Some(session) = self.sessions.get_mut(conn) else {
            return Recovery::Close;
        };
        if !session.authorized && !is_about_connect(error.fault) {
            self.refuse_entry(conn, WireError::AuthorizationViolation, out);
            return Recovery::Close;
        }
        let is_theirs = matches!(
            error.fault,
            Fault::Arguments(Verb::Send | Verb::Ask | Verb::Why)
        );
        session.is_person |= !session.connected && (error.is_typed || is_theirs);
        if let Some(hint) = hint(error.fault)
            && session.is_person
        {
            session.mistakes += 1;
            let goes_on = error.fault != Fault::PayloadUnterminated
                && session.authorized
                && session.mistakes < MISTAKES_MAX;
            self.tell_error(conn, WireError::Hint(hint), out);
            if let (true, Some(line_len)) = (goes_on, error.line_len) {
                return match self.settle(conn, out) {
                    Flow::Closed => Recovery::Close,
                    _ => Recovery::Skip(line_len),
                };
            }
        }
        let (message, reason) = verdict(error.fault);
        if let Some(message) = message {
            self.tell_error(conn, message, out);
        }
        self.close(conn, reason, out);
        Recovery::Close
    }
}

/// Whether a line may have been meant as a CONNECT, the one thing that a
/// client without credentials may say.
fn is_about_connect(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::Arguments(Verb::Connect) | Fault::ControlLineTooLong
    )
}

/// What a program is told, if anything, and why its connection ends.
fn verdict(fault: Fault) -> (Option<WireError<'static>>, CloseReason) {
    match fault {
        Fault::UnknownVerb | Fault::PayloadUnterminated => (
            Some(WireError::UnknownProtocolOperation),
            CloseReason::ProtocolViolation,
        ),
        Fault::ControlLineTooLong => (
            Some(WireError::MaximumControlLine),
            CloseReason::MaxControlLineExceeded,
        ),
        Fault::PayloadTooLarge => (
            Some(WireError::MaximumPayload),
            CloseReason::MaxPayloadExceeded,
        ),
        Fault::Arguments(_) => (None, CloseReason::ProtocolViolation),
        Fault::ClientError => (None, CloseReason::ClientClosed),
    }
}

/// What a person is told to type instead.
fn hint(fault: Fault) -> Option<&'static str> {
    Some(match fault {
        Fault::UnknownVerb => "no such command; type HELP to see what there is",
        Fault::PayloadUnterminated => {
            "the bytes after PUB must end in CR LF, and nc types LF alone: use SEND <subject> <text>"
        }
        Fault::Arguments(Verb::Pub) => {
            "PUB takes <subject> [reply] <number of bytes>; SEND <subject> <text> needs no counting"
        }
        Fault::Arguments(Verb::Hpub) => "HPUB takes <subject> [reply] <header bytes> <total bytes>",
        Fault::Arguments(Verb::Sub) => {
            "SUB takes <subject> [queue] <id>, for example: SUB greet.> 1"
        }
        Fault::Arguments(Verb::Unsub) => "UNSUB takes <id> [messages], with the id given to SUB",
        Fault::Arguments(Verb::Send) => {
            "SEND takes <subject> <text>, for example: SEND greet.joe hello"
        }
        Fault::Arguments(Verb::Ask) => {
            "ASK takes <subject> <text>, for example: ASK time.now please"
        }
        Fault::Arguments(Verb::Why) => {
            "WHY takes <stream> <sequence> [consumer], for example: WHY ORDERS 7"
        }
        Fault::Arguments(Verb::Connect) => {
            "CONNECT takes a JSON object, for example: CONNECT {\"verbose\":false}"
        }
        Fault::Arguments(Verb::Info) => "INFO is for servers; type HELP to see what there is",
        Fault::ControlLineTooLong | Fault::PayloadTooLarge | Fault::ClientError => return None,
    })
}
