//! Requests of the stream API, and what their answers have in common.

use crate::{Client, Error, Message, Publish};
use midge_api::{ApiError, json};
use midge_proto::JsonWriter;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// What the subjects of the API begin with, where nothing else is said.
pub(super) const PREFIX_DEFAULT: &str = "$JS.API";

/// Pages of one list, at most: more than a server has names, and an end to one
/// that repeats itself.
pub(super) const PAGES_MAX: usize = 10_000;

/// How to reach the stream API.
#[derive(Debug, Clone)]
pub struct StreamsOptions {
    /// What the subjects of the API begin with, without the last dot. An
    /// account that imports the API of another one may have it under a prefix
    /// of its own.
    pub prefix: String,
    /// How long answers may take; `None` is [`Options::timeout`](crate::Options::timeout).
    pub timeout: Option<Duration>,
}

impl Default for StreamsOptions {
    fn default() -> Self {
        StreamsOptions {
            prefix: PREFIX_DEFAULT.to_owned(),
            timeout: None,
        }
    }
}

impl StreamsOptions {
    /// The API of a domain, as leaf nodes of nats-server have them:
    /// `$JS.<domain>.API`.
    pub fn domain(domain: &str) -> StreamsOptions {
        StreamsOptions {
            prefix: format!("$JS.{domain}.API"),
            ..StreamsOptions::default()
        }
    }
}

/// The streams of a server: the handle that everything about them is done
/// with. See [`Client::streams`]. Clones are cheap.
#[derive(Debug, Clone)]
pub struct Streams {
    pub(super) client: Client,
    pub(super) prefix: Arc<str>,
    pub(super) timeout: Duration,
}

impl Client {
    /// The server's streams. Nothing is asked yet.
    pub fn streams(&self) -> Streams {
        self.streams_with(StreamsOptions::default())
    }

    /// The server's streams, reached in another way.
    pub fn streams_with(&self, options: StreamsOptions) -> Streams {
        let timeout = options.timeout.unwrap_or(self.shared().options.timeout);
        Streams {
            client: self.clone(),
            prefix: options.prefix.into(),
            timeout,
        }
    }
}

impl Streams {
    /// The client that asks.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Asks the API for something that this crate has no method for. The
    /// operation is what follows the prefix, such as `STREAM.INFO.ORDERS`; the
    /// payload of the answer is JSON, and not an error.
    ///
    /// # Errors
    /// [`Error::Api`]; [`Error::NoResponders`] if the server keeps no streams;
    /// and what [`Client::request`] has.
    pub fn api(&self, operation: &str, body: &[u8]) -> Result<Message, Error> {
        let (message, _) = self.exchange(operation, body)?;
        Ok(message)
    }

    pub(super) fn ask(&self, operation: &str, body: &[u8]) -> Result<Value, Error> {
        let (_, answer) = self.exchange(operation, body)?;
        Ok(answer)
    }

    fn exchange(&self, operation: &str, body: &[u8]) -> Result<(Message, Value), Error> {
        let subject = format!("{}.{operation}", self.prefix);
        let message = self
            .client
            .ask(&Publish::new(&subject, body), Some(self.timeout))?;
        let answer = parse(message.payload())?;
        Ok((message, answer))
    }

    /// Asks for all pages of a list. `write` adds to the request.
    pub(super) fn pages(
        &self,
        operation: &str,
        key: &str,
        write: &dyn Fn(&mut JsonWriter),
        mut each: impl FnMut(Value) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut offset = 0;
        for _ in 0..PAGES_MAX {
            let mut request = JsonWriter::new();
            request.open_object();
            request.uint_field("offset", offset);
            write(&mut request);
            request.close_object();
            let mut answer = self.ask(operation, &request.into_bytes())?;
            let total = uint(&answer, "total");
            let items = match answer.get_mut(key).map(Value::take) {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            };
            if items.is_empty() {
                return Ok(());
            }
            offset += items.len() as u64;
            items.into_iter().try_for_each(&mut each)?;
            if offset >= total {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Reads an answer; one that is an error becomes one.
pub(super) fn parse(body: &[u8]) -> Result<Value, Error> {
    let text = String::from_utf8_lossy(body);
    let answer = json::parse(&text).map_err(|_| Error::Protocol("an answer is no JSON"))?;
    match answer.get("error") {
        Some(error) => Err(Error::Api(api_error(error))),
        None => Ok(answer),
    }
}

fn api_error(error: &Value) -> ApiError {
    let number = |key| u16::try_from(uint(error, key)).unwrap_or(0);
    let description = text(error, "description").into();
    ApiError::new(number("code"), number("err_code"), description)
}

/// The number under a key; 0 if there is none.
pub(super) fn uint(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or_default()
}

/// The text under a key; empty if there is none.
pub(super) fn text(value: &Value, key: &str) -> String {
    let found = value.get(key).and_then(Value::as_str);
    found.unwrap_or_default().to_owned()
}
