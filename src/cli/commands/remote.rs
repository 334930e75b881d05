//! A running server that is asked for something in JSON: `$MIDGE.API` and
//! `$JS.API`.
//!
//! Owns what all such commands have in common: what an error answer means for
//! the exit code, and what is printed of an answer.

use super::connection;
use super::show::describe;
use super::table::cell;
use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::output;
use midge_api::{JsonWriter, json};
use midge_client::{Client, Error, Message};
use serde_json::Value;
use std::time::Duration;

/// How long the answer to a question may take: looking through a large stream
/// reads the disk.
pub(crate) const QUESTION_TIMEOUT: Duration = Duration::from_secs(30);

/// How long work may take that is answered when it is done: as long as a
/// million messages take on a slow disk.
pub(crate) const WORK_TIMEOUT: Duration = Duration::from_secs(600);

/// The error of a message that is not there.
pub(crate) const NO_MESSAGE_FOUND: u64 = 10037;

/// A request that midge answers, if only with an error, and nobody else.
const ANSWERED_BY_MIDGE: &str = "$MIDGE.API.DLQ.SHOW";

/// A server that answers.
#[derive(Debug)]
pub(crate) struct Remote {
    client: Client,
    /// What the command line gives answers, if it does.
    timeout: Option<Duration>,
    json: bool,
}

impl Remote {
    /// Connects to the server that the command line names.
    pub(crate) fn connect(arguments: &Arguments) -> Result<Remote, Failure> {
        Ok(Remote::new(arguments, connection::connect(arguments)?))
    }

    /// The same, over a connection that is made again when it breaks.
    pub(crate) fn connect_lasting(arguments: &Arguments) -> Result<Remote, Failure> {
        let client = connection::connect_lasting(arguments, connection::timeout(arguments))?;
        Ok(Remote::new(arguments, client))
    }

    fn new(arguments: &Arguments, client: Client) -> Remote {
        Remote {
            client,
            timeout: arguments.duration("timeout"),
            json: arguments.has("json"),
        }
    }

    /// Asks, and waits for so long unless the command line says how long; what
    /// is no error is an answer.
    pub(crate) fn ask(
        &self,
        subject: &str,
        request: JsonWriter,
        timeout: Duration,
    ) -> Result<Answer, Failure> {
        let message = self
            .fetch(subject, request, timeout)
            .map_err(|error| self.lost(&error))?;
        self.read(&message)
    }

    /// The same, for an answer that may be no JSON.
    pub(crate) fn fetch(
        &self,
        subject: &str,
        request: JsonWriter,
        timeout: Duration,
    ) -> Result<Message, Error> {
        let timeout = self.timeout.unwrap_or(timeout);
        self.client
            .request(subject, &request.into_bytes(), Some(timeout))
    }

    /// There was no answer.
    pub(crate) fn lost(&self, error: &Error) -> Failure {
        Failure::refused(format!("{}: {error}", self.client.address()))
    }

    /// What the server calls itself.
    pub(crate) fn server_name(&self) -> String {
        self.client.info().server_name.clone()
    }

    /// Reads an answer; one that says no is a failure.
    pub(crate) fn read(&self, message: &Message) -> Result<Answer, Failure> {
        self.agreed(parse(message)?)
    }

    /// Asks for something that may not be there, which is the error with this
    /// number.
    pub(crate) fn find(
        &self,
        subject: &str,
        request: JsonWriter,
        missing: u64,
    ) -> Result<Option<Answer>, Failure> {
        let message = self.fetch(subject, request, QUESTION_TIMEOUT);
        let answer = parse(&message.map_err(|error| self.lost(&error))?)?;
        if number(&answer.value["error"], "err_code") == missing {
            return Ok(None);
        }
        self.agreed(answer).map(Some)
    }

    /// Passes on what is no error.
    fn agreed(&self, answer: Answer) -> Result<Answer, Failure> {
        let Some(error) = answer.value.get("error") else {
            return Ok(answer);
        };
        if self.json {
            output::print(&answer.text)?;
        }
        let (words, code) = (cell(error, "description"), cell(error, "err_code"));
        Err(Failure::refused(format!("{words} ({code})")))
    }

    /// The connection.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// How long a short answer may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(midge_client::TIMEOUT_DEFAULT)
    }

    /// Shows an answer: as it came, or for people.
    pub(crate) fn show(&self, answer: &Answer) -> Result<(), Failure> {
        if self.json {
            output::print(&answer.text)
        } else {
            output::print(&describe(&answer.value))
        }
    }

    /// Shows an answer: as it came, or in these words for people.
    pub(crate) fn show_as(&self, answer: &Answer, words: &str) -> Result<(), Failure> {
        output::print(if self.json { &answer.text } else { words })
    }

    /// Shows an answer as it came, to programs alone.
    pub(crate) fn show_line(&self, answer: &Answer) -> Result<(), Failure> {
        match self.json {
            true => output::print(&answer.text),
            false => Ok(()),
        }
    }

    /// One page of a list, from an offset on; of streams alone that store some
    /// of a subject.
    pub(crate) fn page(
        &self,
        operation: &str,
        offset: usize,
        filter: Option<&str>,
    ) -> Result<Answer, Failure> {
        let mut json = JsonWriter::new();
        json.open_object();
        json.uint_field("offset", offset as u64);
        json.string_unless_empty("subject", filter.unwrap_or_default());
        json.close_object();
        self.ask(operation, json, QUESTION_TIMEOUT)
    }

    /// All of a list, which stands under a key of its pages. In JSON the pages
    /// are shown as they come.
    pub(crate) fn list(
        &self,
        operation: &str,
        key: &str,
        filter: Option<&str>,
    ) -> Result<Vec<Value>, Failure> {
        let mut all = Vec::new();
        loop {
            let mut answer = self.page(operation, all.len(), filter)?;
            if self.json {
                output::print(&answer.text)?;
            }
            let total = number(&answer.value, "total");
            let items = answer.value.get_mut(key).map(Value::take);
            let before = all.len();
            if let Some(Value::Array(items)) = items {
                all.extend(items);
            }
            // A server that does not go on would be asked for ever.
            if all.len() == before || all.len() as u64 >= total {
                return Ok(all);
            }
        }
    }

    /// Whether this server knows what is midge's own. Only an answer says so:
    /// a question that is lost says nothing.
    pub(crate) fn is_midge(&self) -> Result<bool, Failure> {
        match self.client.request(ANSWERED_BY_MIDGE, "{}", self.timeout) {
            Ok(_) => Ok(true),
            Err(Error::NoResponders(_)) => Ok(false),
            Err(error) => Err(self.lost(&error)),
        }
    }

    /// Says something to a person. Programs read JSON alone.
    pub(crate) fn tell(&self, words: &str) -> Result<(), Failure> {
        if self.json {
            return Ok(());
        }
        output::print(words)
    }
}

/// An empty request.
pub(crate) fn nothing() -> JsonWriter {
    let mut json = JsonWriter::new();
    json.open_object();
    json.close_object();
    json
}

/// Asks a question, closing it, and shows the answer.
pub(crate) fn ask(
    arguments: &Arguments,
    subject: &str,
    mut json: JsonWriter,
) -> Result<(), Failure> {
    json.close_object();
    let remote = Remote::connect(arguments)?;
    remote.show(&remote.ask(subject, json, QUESTION_TIMEOUT)?)
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    text: String,
    pub(crate) value: Value,
}

impl Answer {
    /// Whether this says the same as another one.
    pub(crate) fn repeats(&self, other: &Answer) -> bool {
        self.text == other.text
    }
}

fn parse(message: &Message) -> Result<Answer, Failure> {
    let text = String::from_utf8_lossy(message.payload()).into_owned();
    let value = json::parse(&text)
        .map_err(|_| Failure::refused("the answer is no JSON; is this a NATS server?"))?;
    Ok(Answer { text, value })
}

/// The string under a key; empty if there is none.
pub(crate) fn string<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The number under a key; 0 if there is none.
pub(crate) fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or_default()
}

/// The array under a key; empty if there is none.
pub(crate) fn array<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value
        .get(key)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}
