//! How messages that come are shown: for people, raw, or as JSON.

use super::message::push_body;
use super::table::push_clean;
use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::output::{self, Paint, push_painted};
use midge_client::Message;
use midge_client::streams::{JsonWriter, Metadata};
use std::time::{Duration, SystemTime};

/// The options that say how.
pub(crate) const OPTIONS: &str = "  --raw                  payloads alone, a line end behind each
  --timestamps           whole times, with --raw as well; all are UTC";

/// Gathered before it is written, so that a flood of small messages takes few
/// system calls.
const GATHERED_MAX: usize = 64 * 1024;

/// Where the time of the day stands in a time.
const CLOCK: std::ops::Range<usize> = 11..23;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    People,
    Raw,
    Json,
}

/// Shows messages, in the order in which they come.
pub(crate) struct Printer {
    form: Form,
    has_times: bool,
    has_colour: bool,
    count: u64,
    out: Vec<u8>,
}

impl Printer {
    pub(crate) fn new(arguments: &Arguments) -> Result<Printer, Failure> {
        let form = match (arguments.has("json"), arguments.has("raw")) {
            (false, false) => Form::People,
            (false, true) => Form::Raw,
            (true, false) => Form::Json,
            (true, true) => return Err(Failure::usage("--json goes without --raw")),
        };
        Ok(Printer {
            form,
            has_times: arguments.has("timestamps"),
            has_colour: output::has_colour(),
            count: 0,
            out: Vec::new(),
        })
    }

    /// Shows a message; with where it is in its stream, if it comes from one.
    pub(crate) fn show(
        &mut self,
        message: &Message,
        origin: Option<Metadata<'_>>,
    ) -> Result<(), Failure> {
        self.count += 1;
        let time = time(origin);
        match self.form {
            Form::People => self.push_for_people(message, origin, &time),
            Form::Json => push_json(&mut self.out, message, origin, &time),
            Form::Raw => {
                if self.has_times {
                    self.out.extend_from_slice(time.as_bytes());
                    self.out.push(b' ');
                }
                self.out.extend_from_slice(message.payload());
                self.out.push(b'\n');
            }
        }
        if self.out.len() < GATHERED_MAX {
            return Ok(());
        }
        self.flush()
    }

    /// Writes what was gathered. Called before every wait.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        if self.out.is_empty() {
            return Ok(());
        }
        let written = output::write(&self.out);
        self.out.clear();
        written
    }

    fn push_for_people(&mut self, message: &Message, origin: Option<Metadata<'_>>, time: &str) {
        let mut out = String::new();
        let clock = match self.has_times {
            true => time,
            false => time.get(CLOCK).unwrap_or(time),
        };
        let head = format!("[#{} {clock}] ", self.count);
        push_painted(&mut out, &head, Paint::Dim, self.has_colour);
        let mut subject = String::new();
        push_clean(&mut subject, message.subject());
        push_painted(&mut out, &subject, Paint::Bold, self.has_colour);
        if let Some(origin) = origin {
            out.push_str(&format!(" ({} {})", origin.stream, origin.stream_seq));
        } else if !message.reply().is_empty() {
            out.push_str(" (reply ");
            push_clean(&mut out, message.reply());
            out.push(')');
        }
        out.push('\n');
        push_body(&mut out, message.headers(), message.payload());
        self.out.extend_from_slice(out.as_bytes());
    }
}

/// When it was stored, or else now.
fn time(origin: Option<Metadata<'_>>) -> String {
    let stored = origin.and_then(|origin| u64::try_from(origin.time.0).ok());
    let time = match stored {
        Some(nanos) => SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos),
        None => SystemTime::now(),
    };
    humantime::format_rfc3339_millis(time).to_string()
}

fn push_json(out: &mut Vec<u8>, message: &Message, origin: Option<Metadata<'_>>, time: &str) {
    let mut json = JsonWriter::new();
    json.open_object();
    json.string_field("subject", message.subject());
    if let Some(origin) = origin {
        json.string_field("stream", origin.stream);
        json.uint_field("seq", origin.stream_seq);
    } else if !message.reply().is_empty() {
        json.string_field("reply", message.reply());
    }
    json.string_field("time", time);
    push_content(&mut json, message);
    json.close_object();
    out.extend_from_slice(&json.into_bytes());
    out.push(b'\n');
}

/// Appends what a message says to an object that is open.
pub(crate) fn push_content(json: &mut JsonWriter, message: &Message) {
    push_headers(json, message);
    match std::str::from_utf8(message.payload()) {
        Ok(text) => json.string_field("payload", text),
        Err(_) => {
            json.key("payload_base64");
            json.base64(message.payload());
        }
    }
}

/// All values of a name stand together, where it comes first.
fn push_headers(json: &mut JsonWriter, message: &Message) {
    let headers: Vec<(&[u8], &[u8])> = message.headers().into_iter().collect();
    if headers.is_empty() {
        return;
    }
    json.key("headers");
    json.open_object();
    for (place, (name, _)) in headers.iter().enumerate() {
        if headers.iter().take(place).any(|(before, _)| before == name) {
            continue;
        }
        json.key(&String::from_utf8_lossy(name));
        json.open_array();
        for (_, value) in headers.iter().filter(|(other, _)| other == name) {
            json.string(&String::from_utf8_lossy(value));
        }
        json.close_array();
    }
    json.close_object();
}
