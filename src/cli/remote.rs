//! A running server that is asked for something: `$MIDGE.API`.
//!
//! Owns what all such commands have in common: which server it is, what an
//! error answer means for the exit code, and what is printed of an answer.

use crate::EXIT_USAGE;
use crate::show::describe;
use crate::table::cell;
use midge_client::{Client, Options, TIMEOUT_DEFAULT};
use midge_proto::api::{JsonWriter, json};
use serde_json::Value;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

/// The variable that names the server where no option does.
const URL_VARIABLE: &str = "MIDGE_URL";
const URL_DEFAULT: &str = "127.0.0.1:4222";

/// What every request's subject begins with.
const PREFIX: &str = "$MIDGE.API.";

/// How long the answer to a question may take: looking through a large stream
/// reads the disk.
pub(crate) const QUESTION_TIMEOUT: Duration = Duration::from_secs(30);

/// How long work may take that is answered when it is done: as long as a
/// million messages take on a slow disk.
pub(crate) const WORK_TIMEOUT: Duration = Duration::from_secs(600);

/// Exit code when the server refused, or something was not done.
const EXIT_FAILED: u8 = 1;

/// Why a command ends early.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    words: String,
}

impl Failure {
    /// The command line cannot be meant so, or leads nowhere.
    pub(crate) fn usage(words: impl Into<String>) -> Self {
        Failure {
            code: EXIT_USAGE,
            words: words.into(),
        }
    }

    /// The server does not do it.
    pub(crate) fn refused(words: impl Into<String>) -> Self {
        Failure {
            code: EXIT_FAILED,
            words: words.into(),
        }
    }

    /// The same, with something that has to be known as well.
    pub(crate) fn but(mut self, words: &str) -> Self {
        self.words.push('\n');
        self.words.push_str(words);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

/// Ends a command: 0 for what was done.
pub(crate) fn finish(done: Result<(), Failure>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(&mut io::stderr(), &failure.words);
            ExitCode::from(failure.code)
        }
    }
}

/// Writes a line. Whoever hangs up has seen enough, which is said.
fn say(out: &mut dyn Write, words: &str) -> bool {
    out.write_all(words.as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .is_ok()
}

/// A server that answers.
#[derive(Debug)]
pub(crate) struct Remote {
    client: Client,
    json: bool,
}

impl Remote {
    /// Connects to the server that the option or the environment names.
    pub(crate) fn connect(server: Option<String>, json: bool) -> Result<Remote, Failure> {
        let url = server
            .or_else(|| std::env::var_os(URL_VARIABLE)?.into_string().ok())
            .unwrap_or_else(|| URL_DEFAULT.to_owned());
        let options = Options {
            name: "midge command line".to_owned(),
            timeout: TIMEOUT_DEFAULT,
            ..Options::default()
        };
        match Client::connect(&url, options) {
            Ok(client) => Ok(Remote { client, json }),
            Err(error) => {
                // What is before it may be a password.
                let place = url
                    .rsplit_once('@')
                    .map_or(url.as_str(), |(_, place)| place);
                Err(Failure::usage(format!(
                    "{place}: {error}\n--server or MIDGE_URL names another server"
                )))
            }
        }
    }

    /// Asks; what is no error is an answer.
    pub(crate) fn ask(
        &mut self,
        what: &str,
        request: JsonWriter,
        timeout: Duration,
    ) -> Result<Answer, Failure> {
        let message = self
            .client
            .request(
                &format!("{PREFIX}{what}"),
                &request.into_bytes(),
                Some(timeout),
            )
            .map_err(|error| Failure::refused(format!("{}: {error}", self.client.address())))?;
        let text = String::from_utf8_lossy(message.payload()).into_owned();
        let value = json::parse(&text)
            .map_err(|_| Failure::refused("the answer is no JSON; is this a midge server?"))?;
        if let Some(error) = value.get("error") {
            if self.json {
                say(&mut io::stdout(), &text);
            }
            let (words, code) = (cell(error, "description"), cell(error, "err_code"));
            return Err(Failure::refused(format!("{words} ({code})")));
        }
        Ok(Answer { text, value })
    }

    /// Shows an answer: as it came, or for people. False when nobody sees it.
    pub(crate) fn show(&self, answer: &Answer) -> bool {
        if self.json {
            say(&mut io::stdout(), &answer.text)
        } else {
            self.tell(&describe(&answer.value))
        }
    }

    /// Says something to a person. Programs read JSON alone.
    pub(crate) fn tell(&self, words: &str) -> bool {
        self.json || say(&mut io::stdout(), words.trim_end())
    }
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
