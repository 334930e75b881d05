//! Looking at stored messages without a consumer.

use super::api::{Streams, text, uint};
use super::info::time;
use super::management::stream_operation;
use crate::{Error, HeaderBlock, Message, Publish};
use midge_api::ApiError;
use midge_proto::headers::{HeaderWriter, name};
use midge_proto::{JsonWriter, Timestamp, from_base64};
use serde_json::Value;

/// What the server adds to the headers of a message that it reads directly.
const ADDED: [&[u8]; 6] = [
    name::STREAM,
    name::SUBJECT,
    name::SEQUENCE,
    name::TIME_STAMP,
    name::NUM_PENDING,
    name::LAST_SEQUENCE,
];

/// A message as a stream keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredMessage {
    /// What it was published to.
    pub subject: String,
    /// Its sequence in the stream.
    pub seq: u64,
    /// When it was stored.
    pub time: Timestamp,
    /// What it says.
    pub payload: Vec<u8>,
    headers: Vec<u8>,
}

impl StoredMessage {
    /// Its headers; empty if it has none.
    pub fn headers(&self) -> HeaderBlock<'_> {
        HeaderBlock::new(&self.headers)
    }

    /// The first header of this name, upper and lower case apart, as text.
    /// `None` as well where its value is no UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.headers().get(name.as_bytes())?).ok()
    }

    /// A message that was read directly tells in its headers where it is from.
    fn from_direct(message: &Message) -> Result<StoredMessage, Error> {
        if let Some(code) = message.status() {
            let words = message.headers().status();
            let words = words.get(3..).unwrap_or_default().trim_ascii();
            return Err(match code {
                404 => Error::Api(ApiError::NO_MESSAGE_FOUND),
                _ => Error::Status {
                    code,
                    words: String::from_utf8_lossy(words).into_owned(),
                },
            });
        }
        let header = |name: &[u8]| {
            let value = message.headers().get(name);
            value.and_then(|value| std::str::from_utf8(value).ok())
        };
        let (Some(subject), Some(seq)) = (
            header(name::SUBJECT),
            header(name::SEQUENCE).and_then(|seq| seq.parse().ok()),
        ) else {
            return Err(Error::Protocol("a stored message has no sequence"));
        };
        Ok(StoredMessage {
            subject: subject.to_owned(),
            seq,
            time: header(name::TIME_STAMP)
                .and_then(Timestamp::parse)
                .unwrap_or_default(),
            headers: own_headers(message.headers()),
            payload: message.payload().to_vec(),
        })
    }

    fn from_answer(answer: &Value) -> Result<StoredMessage, Error> {
        let message = answer
            .get("message")
            .ok_or(Error::Protocol("an answer has no message"))?;
        let bytes =
            |key| from_base64(&text(message, key)).ok_or(Error::Protocol("a message is no base64"));
        Ok(StoredMessage {
            subject: text(message, "subject"),
            seq: uint(message, "seq"),
            time: time(message, "time"),
            headers: bytes("hdrs")?,
            payload: bytes("data")?,
        })
    }
}

/// The headers that a message was published with.
fn own_headers(block: HeaderBlock<'_>) -> Vec<u8> {
    let mut own = block
        .iter()
        .filter(|(name, _)| !ADDED.contains(name))
        .peekable();
    let mut out = Vec::new();
    if own.peek().is_some() {
        let mut writer = HeaderWriter::new(&mut out);
        for (name, value) in own {
            writer = writer.header(name, value);
        }
        writer.finish();
    }
    out
}

impl Streams {
    /// The message with this sequence.
    ///
    /// # Errors
    /// [`Error::Api`] with [`ApiError::NO_MESSAGE_FOUND`] or
    /// [`ApiError::STREAM_NOT_FOUND`]; and what [`Streams::api`] has.
    pub fn get_message(&self, stream: &str, seq: u64) -> Result<StoredMessage, Error> {
        let mut request = JsonWriter::new();
        request.open_object();
        request.uint_field("seq", seq);
        request.close_object();
        let body = request.into_bytes();
        match self.get_direct(&stream_operation("DIRECT.GET.", stream)?, &body) {
            Err(Error::NoResponders(_)) => self.get_indirect(stream, &body),
            done => done,
        }
    }

    /// The last message of a subject.
    ///
    /// # Errors
    /// As [`get_message`](Streams::get_message).
    pub fn get_last_message(&self, stream: &str, subject: &str) -> Result<StoredMessage, Error> {
        let operation = stream_operation("DIRECT.GET.", stream)?;
        match self.get_direct(&format!("{operation}.{subject}"), b"") {
            Err(Error::NoResponders(_)) => {
                let mut request = JsonWriter::new();
                request.open_object();
                request.string_field("last_by_subj", subject);
                request.close_object();
                self.get_indirect(stream, &request.into_bytes())
            }
            done => done,
        }
    }

    /// Reads a message as it is stored, if the stream allows that. Nobody
    /// answers if it does not, or if there is no such stream.
    fn get_direct(&self, operation: &str, body: &[u8]) -> Result<StoredMessage, Error> {
        let subject = format!("{}.{operation}", self.prefix);
        let request = Publish::new(&subject, body);
        StoredMessage::from_direct(&self.client.ask(&request, Some(self.timeout))?)
    }

    fn get_indirect(&self, stream: &str, body: &[u8]) -> Result<StoredMessage, Error> {
        let operation = stream_operation("STREAM.MSG.GET.", stream)?;
        StoredMessage::from_answer(&self.ask(&operation, body)?)
    }

    /// Removes one message. `erases` has its bytes overwritten on the server's
    /// disk, which takes longer.
    ///
    /// # Errors
    /// [`Error::Api`]: 10057 if there is no such message, or the stream
    /// denies it; [`ApiError::STREAM_NOT_FOUND`]; and what [`Streams::api`]
    /// has.
    pub fn delete_message(&self, stream: &str, seq: u64, erases: bool) -> Result<(), Error> {
        let mut request = JsonWriter::new();
        request.open_object();
        request.uint_field("seq", seq);
        request.flag("no_erase", !erases);
        request.close_object();
        let operation = stream_operation("STREAM.MSG.DELETE.", stream)?;
        self.ask(&operation, &request.into_bytes())?;
        Ok(())
    }
}
