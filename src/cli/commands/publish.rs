//! `midge pub`: messages from the command line or from stdin.

use super::acks::Acks;
use super::connection::{complaint, connect, timeout};
use super::pace::Pace;
use super::payload::{Payload, next_line};
use super::template::{Filling, GAPS, Template};
use crate::arguments::Arguments;
use crate::command::{Action, Command};
use crate::failure::Failure;
use crate::output;
use midge_api::JsonWriter;
use midge_client::{Client, Headers, Publish};
use std::io;

pub(crate) const COMMAND: Command = Command {
    name: "pub",
    about: "publish messages",
    actions: &[Action {
        name: "",
        places: "SUBJECT [PAYLOAD]",
        about: "Publish messages. Without a PAYLOAD, or where it is -, it comes from stdin.",
        options: &[
            "  --lines                a message for each line of stdin
  --count N              so many messages, 0 for no end (default: 1)
  --rate RATE            not faster than this: 100 (a second), 6/m, 1/h
  --header NAME:VALUE... goes with each; may be there again and again
  --reply SUBJECT        where answers go
  --ack                  wait until a stream has each, and show where; exits
                         with 1 if one is not stored
  --stream NAME          the same, and it has to be this stream
  --window N             messages that may be under way to it (default: 100,
                         with --rate 1)",
            GAPS,
        ],
        example: "midge pub greet.joe 'hello there'
midge pub orders.{{seq}} '{\"at\":\"{{time}}\"}' --count 100 --rate 10 --ack
tail -f app.log | midge pub log --lines
midge pub orders.new pears --header Nats-Msg-Id:{{ID}} --stream ORDERS",
        run,
    }],
};

/// Publishing, while it goes on.
struct Publisher {
    client: Client,
    subject: Template,
    headers: Vec<(String, Template)>,
    reply: Option<String>,
    /// Which one it has to be.
    stream: Option<String>,
    acks: Option<Acks>,
    pace: Pace,
    filling: Filling<'static>,
    bytes: u64,
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let payload = Payload::given(arguments)?;
    if arguments.has("lines") && arguments.has("count") {
        return Err(Failure::usage("--count goes without --lines"));
    }
    let wants_acks = arguments.has_any("ack stream");
    if wants_acks && arguments.has("reply") {
        return Err(Failure::usage(
            "--reply goes without --ack: it is where acks go",
        ));
    }
    let mut publisher = Publisher {
        subject: Template::new(arguments.text("subject").unwrap_or_default()),
        headers: headers(arguments)?,
        reply: arguments.text("reply").map(str::to_owned),
        stream: arguments.text("stream").map(str::to_owned),
        pace: Pace::parse(arguments.text("rate"))?,
        filling: Filling {
            seq: 0,
            request: None,
        },
        bytes: 0,
        client: connect(arguments)?,
        acks: None,
    };
    if wants_acks {
        publisher.acks = Some(Acks::new(&publisher.client, arguments)?);
    }
    match payload {
        Payload::Lines => publisher.publish_lines()?,
        payload => publisher.publish_often(arguments.number("count").unwrap_or(1), payload)?,
    }
    publisher.end(arguments)
}

/// The headers that are given, with gaps.
pub(crate) fn headers(arguments: &Arguments) -> Result<Vec<(String, Template)>, Failure> {
    let mut headers = Vec::new();
    for header in arguments.texts("header") {
        let Some((name, value)) = header.split_once(':') else {
            return Err(Failure::usage(format!(
                "header: \"{header}\" has no colon; write NAME:VALUE"
            )));
        };
        headers.push((name.trim().to_owned(), Template::new(value.trim())));
    }
    Ok(headers)
}

/// The headers with their gaps filled.
pub(crate) fn fill(headers: &[(String, Template)], filling: Filling<'_>) -> Headers {
    let mut filled = Headers::new();
    for (name, value) in headers {
        filled.add(name, &value.text(filling));
    }
    filled
}

impl Publisher {
    fn publish_lines(&mut self) -> Result<(), Failure> {
        let bytes_max = self.client.info().payload_max_bytes;
        let mut stdin = io::stdin().lock();
        let mut line = Vec::new();
        while next_line(&mut stdin, &mut line, bytes_max)? {
            self.publish(&line)?;
        }
        Ok(())
    }

    fn publish_often(&mut self, count: u64, payload: Payload) -> Result<(), Failure> {
        let payload = payload.read(self.client.info().payload_max_bytes)?;
        let mut bytes = Vec::new();
        let mut left = if count == 0 { u64::MAX } else { count };
        while left > 0 {
            left -= 1;
            bytes.clear();
            let seq = self.filling.seq + 1;
            payload.fill(&mut bytes, Filling { seq, request: None });
            self.publish(&bytes)?;
        }
        Ok(())
    }

    fn publish(&mut self, payload: &[u8]) -> Result<(), Failure> {
        self.pace.wait();
        self.filling.seq += 1;
        self.bytes += payload.len() as u64;
        let subject = self.subject.text(self.filling);
        let mut headers = fill(&self.headers, self.filling);
        if let Some(stream) = &self.stream {
            headers = headers.expect_stream(stream);
        }
        let mut message = Publish::new(&subject, payload).headers(&headers);
        if let Some(reply) = &self.reply {
            message = message.reply(reply);
        }
        match &mut self.acks {
            Some(acks) => acks.publish(&message),
            None => Ok(self.client.send(&message)?),
        }
    }

    /// Waits until the server has it all, and says how much that is.
    fn end(mut self, arguments: &Arguments) -> Result<(), Failure> {
        if let Some(acks) = &mut self.acks {
            acks.end()?;
        }
        self.client.flush(timeout(arguments))?;
        complaint(&self.client)?;
        let count = self.filling.seq;
        if arguments.has("json") {
            let mut json = JsonWriter::new();
            json.open_object();
            json.uint_field("published", count);
            json.uint_field("bytes", self.bytes);
            json.close_object();
            return output::print_json(json);
        }
        let plural = if count == 1 { "" } else { "s" };
        output::print(&format!(
            "{count} message{plural} published, {} bytes",
            self.bytes
        ))
    }
}
