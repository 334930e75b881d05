//! `midge reply`: answers to those who ask.

use super::connection::{complaint, connect_lasting, tell_events};
use super::payload::Payload;
use super::program;
use super::publish::{fill, headers};
use super::request::SERVICE_ERROR;
use super::table::push_clean;
use super::template::{Filling, GAPS, Template};
use crate::arguments::Arguments;
use crate::command::{Action, Command};
use crate::failure::Failure;
use crate::output::{print, print_json, warn};
use midge_api::JsonWriter;
use midge_client::{Client, Message, Publish, TIMEOUT_DEFAULT};
use std::time::Duration;

pub(crate) const COMMAND: Command = Command {
    name: "reply",
    about: "answer those who ask",
    actions: &[Action {
        name: "",
        places: "SUBJECT [PAYLOAD]",
        about: "Answer those who ask: with a PAYLOAD, with what they say, or with what a
program says. Without any of these the payload comes from stdin, at the
start. Tells on stdout whom it has answered.",
        options: &[
            "  --echo                 answer with the request
  --command TEXT         answer with what a program says: a shell starts it for
                         each request, one at a time, with the request as stdin
                         and the subject as MIDGE_SUBJECT
  --timeout DURATION     how long a program may take (default: 5s)
  --queue GROUP          one of a group answers
  --count N              end after so many answers
  --header NAME:VALUE... goes with each; may be there again and again",
            GAPS,
            "  {{request}}, {{subject}}
                         what was asked, and on which subject",
        ],
        example: "midge reply time.now '{{time}}'
midge reply 'echo.*' --echo --queue echoes
midge reply sort --command 'sort -n' --timeout 2s",
        run,
    }],
};

/// How long a program may take where nothing else is said: as long as those
/// who ask wait where nothing else is said.
const PROGRAM_TIMEOUT: Duration = TIMEOUT_DEFAULT;

/// The header that goes with [`SERVICE_ERROR`].
const ERROR_CODE: &str = "Nats-Service-Error-Code";

/// Where answers come from.
enum Answer {
    Payload(Payload),
    Echo,
    Program(String),
}

/// Somebody who answers.
struct Responder {
    client: Client,
    answer: Answer,
    headers: Vec<(String, Template)>,
    timeout: Duration,
    json: bool,
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let answer = answer(arguments)?;
    let headers = headers(arguments)?;
    let subject = arguments.text("subject").unwrap_or_default();
    let client = connect_lasting(arguments, TIMEOUT_DEFAULT)?;
    let subscription = match arguments.text("queue") {
        Some(group) => client.queue_subscribe(subject, group)?,
        None => client.subscribe(subject)?,
    };
    let count = arguments.number("count").filter(|count| *count > 0);
    if let Some(count) = count {
        subscription.unsubscribe_after(count)?;
    }
    client.flush(TIMEOUT_DEFAULT)?;
    complaint(&client)?;
    tell_events(&client)?;
    warn(&format!("answering {subject}"));
    let responder = Responder {
        client,
        answer,
        headers,
        timeout: arguments.duration("timeout").unwrap_or(PROGRAM_TIMEOUT),
        json: arguments.has("json"),
    };
    for (request, seq) in subscription.zip(1..) {
        responder.respond(seq, &request)?;
        if count == Some(seq) {
            return Ok(responder.client.flush(TIMEOUT_DEFAULT)?);
        }
    }
    Err(Failure::refused("the connection is closed"))
}

fn answer(arguments: &Arguments) -> Result<Answer, Failure> {
    let ways = ["payload", "echo", "command"];
    if ways.iter().filter(|way| arguments.has(way)).count() > 1 {
        return Err(Failure::usage(
            "a payload, --echo or --command: there is one answer",
        ));
    }
    if let Some(command) = arguments.text("command") {
        return Ok(Answer::Program(command.to_owned()));
    }
    if arguments.has("echo") {
        return Ok(Answer::Echo);
    }
    // The server's limit is not known yet; it is looked at when it is sent.
    Payload::given(arguments)?.read(0).map(Answer::Payload)
}

impl Responder {
    fn respond(&self, seq: u64, request: &Message) -> Result<(), Failure> {
        let filling = Filling {
            seq,
            request: Some(request),
        };
        let mut headers = fill(&self.headers, filling);
        let mut bytes = Vec::new();
        match &self.answer {
            Answer::Echo => bytes.extend_from_slice(request.payload()),
            Answer::Payload(payload) => payload.fill(&mut bytes, filling),
            Answer::Program(command) => {
                let bytes_max = self.client.info().payload_max_bytes;
                match program::run(command, request, self.timeout, bytes_max) {
                    Ok(said) => bytes = said,
                    Err(why) => {
                        warn(&format!("request {seq}: {why}"));
                        headers.add(SERVICE_ERROR, &why);
                        headers.add(ERROR_CODE, "500");
                    }
                }
            }
        }
        if request.reply().is_empty() {
            warn(&format!("request {seq} asks for no answer"));
        } else {
            let message = Publish::new(request.reply(), &bytes).headers(&headers);
            self.client.send(&message)?;
        }
        self.tell(seq, request, bytes.len() as u64)
    }

    fn tell(&self, seq: u64, request: &Message, bytes: u64) -> Result<(), Failure> {
        if self.json {
            let mut json = JsonWriter::new();
            json.open_object();
            json.uint_field("n", seq);
            json.string_field("subject", request.subject());
            json.uint_field("request_bytes", request.payload().len() as u64);
            json.uint_field("answer_bytes", bytes);
            json.close_object();
            return print_json(json);
        }
        let mut line = format!("[#{seq}] ");
        push_clean(&mut line, request.subject());
        let asked = request.payload().len();
        print(&format!("{line}: {asked} bytes asked, {bytes} answered"))
    }
}
