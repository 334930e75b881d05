//! Streams whose messages are counters.
//!
//! A message says by how much its subject's counter changes, and is stored
//! with what that comes to. The value before is in the subject's last
//! message, so nothing else is kept of a counter. A copy of another counter's
//! message says what that has come to: it adds what is new of that, for which
//! the last message has the value that was added before.

use super::decimal::Number;
use super::expectations::Expectations;
use super::intake::Incoming;
use super::log_read::NeedBlock;
use super::rewritten::Rewritten;
use super::stream::Stream;
use midge_api::{ApiError, CounterSources};
use midge_proto::headers::{HeaderBlock, HeaderWriter, name};

const BODY_HEAD: &str = "{\"val\":\"";
const BODY_TAIL: &str = "\"}";

/// What a counter has come to.
struct Total {
    value: String,
    /// What other streams have added; handed on.
    sources: CounterSources,
}

/// A message with the value that it leads to.
pub(super) struct Counted {
    /// The value is its body, and kept nowhere else: it may be long.
    pub(super) message: Rewritten,
    sources: CounterSources,
}

impl Total {
    fn plus(self, increment: Number<'_>) -> Result<Total, ApiError> {
        let value = Number::read(self.value.as_bytes()).ok_or(ApiError::MESSAGE_COUNTER_BROKEN)?;
        Ok(Total {
            value: value.add(increment).ok_or(ApiError::MESSAGE_INCR_INVALID)?,
            sources: self.sources,
        })
    }
}

impl Counted {
    fn new(header: Vec<u8>, total: Total) -> Counted {
        let mut message = Rewritten::of(header, BODY_HEAD.as_bytes());
        for part in [&total.value, BODY_TAIL] {
            message.payload.extend_from_slice(part.as_bytes());
        }
        Counted {
            message,
            sources: total.sources,
        }
    }

    fn value(&self) -> &str {
        let body = self.message.payload.get(self.message.header_len..);
        body.and_then(value_of).unwrap_or_default()
    }

    /// What the counter has come to with it.
    fn total(&self) -> Total {
        Total {
            value: self.value().to_owned(),
            sources: self.sources.clone(),
        }
    }

    /// The field of a PubAck that tells it.
    pub(super) fn field(&self) -> String {
        format!(",\"val\":\"{}\"", self.value())
    }
}

impl Stream {
    /// Whether a message asks for what this stream does.
    pub(super) fn check_enabled(&self, asked: &Expectations<'_>) -> Result<(), ApiError> {
        if asked.batch_id.is_some() && !self.config.allow_atomic {
            return Err(ApiError::ATOMIC_PUBLISH_DISABLED);
        }
        match asked.increment {
            Some(increment) if Number::read(increment).is_none() => {
                Err(ApiError::MESSAGE_INCR_INVALID)
            }
            Some(_) if !self.config.allow_msg_counter => Err(ApiError::MESSAGE_INCR_DISABLED),
            _ => Ok(()),
        }
    }

    /// A message for a counter as it is to be stored. `so_far` is the
    /// last one of the same counter that is not stored yet.
    pub(super) fn count(
        &mut self,
        message: Incoming<'_>,
        so_far: Option<&Counted>,
    ) -> Result<Counted, ApiError> {
        let (header, body) = message.payload.split_at(message.header_len);
        let asked = Expectations::read(header);
        let increment = asked.increment.ok_or(ApiError::MESSAGE_INCR_MISSING)?;
        let increment = Number::read(increment).ok_or(ApiError::MESSAGE_INCR_INVALID)?;
        if !body.is_empty() {
            return Err(ApiError::MESSAGE_INCR_PAYLOAD);
        }
        if asked.is_conditional() || asked.rollup.is_some() {
            return Err(ApiError::MESSAGE_INCR_INVALID);
        }
        let before = match so_far {
            Some(counted) => counted.total(),
            None => self.total_of(message.subject)?,
        };
        let mut total = before.plus(increment)?;
        if !total.sources.is_empty() {
            let header = with_headers(header, None, &total.sources);
            return Ok(Counted::new(header, total));
        }
        let own = HeaderBlock::new(header).get(name::COUNTER_SOURCES);
        total.sources = own.and_then(CounterSources::read).unwrap_or_default();
        Ok(Counted::new(header.to_vec(), total))
    }

    /// A copy of a message of another counter, which is `subject` of the
    /// stream `origin`, as it is to be stored.
    pub(super) fn count_copied(
        &mut self,
        message: Incoming<'_>,
        origin: &str,
        subject: &[u8],
    ) -> Result<Counted, ApiError> {
        let header = &message.payload[..message.header_len];
        let asked = Expectations::read(header);
        asked.increment.ok_or(ApiError::MESSAGE_INCR_MISSING)?;
        let value = value_of(message.body()).ok_or(ApiError::MESSAGE_COUNTER_BROKEN)?;
        let mut before = self.total_of(message.subject)?;
        let subject = String::from_utf8_lossy(subject);
        let known = before.sources.replace(origin, &subject, value);
        let known = known.as_deref().unwrap_or_default().as_bytes();
        let known = Number::read(known).unwrap_or_default();
        let value = Number::read(value.as_bytes()).ok_or(ApiError::MESSAGE_COUNTER_BROKEN)?;
        let increment = value.less(known).ok_or(ApiError::MESSAGE_INCR_INVALID)?;
        let number = Number::read(increment.as_bytes()).ok_or(ApiError::MESSAGE_INCR_INVALID)?;
        let total = before.plus(number)?;
        let header = with_headers(header, Some(increment.as_bytes()), &total.sources);
        Ok(Counted::new(header, total))
    }

    /// What a counter has come to.
    fn total_of(&mut self, subject: &[u8]) -> Result<Total, ApiError> {
        let last = self.last_seq_of(subject)?;
        let none = Total {
            value: "0".to_owned(),
            sources: CounterSources::default(),
        };
        let record = match self.log.get(last) {
            Ok(record) => record,
            Err(NeedBlock(key)) => {
                self.missing = Some(key);
                return Err(ApiError::STREAM_EXPECTED_LAST_SEQ_PER_SUBJECT_NOT_READY);
            }
        };
        let Some(record) = record else {
            return Ok(none);
        };
        let value = value_of(record.body()).ok_or(ApiError::MESSAGE_COUNTER_BROKEN)?;
        let sources = match HeaderBlock::new(record.header()).get(name::COUNTER_SOURCES) {
            Some(told) if !told.is_empty() => {
                CounterSources::read(told).ok_or(ApiError::MESSAGE_COUNTER_BROKEN)?
            }
            _ => CounterSources::default(),
        };
        Ok(Total {
            value: value.to_owned(),
            sources,
        })
    }
}

/// The number in the body of a counter's message.
fn value_of(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?;
    let value = text.strip_prefix(BODY_HEAD)?.strip_suffix(BODY_TAIL)?;
    Number::read(value.as_bytes()).map(|_| value)
}

/// A header block with what came from other streams, and another increment.
fn with_headers(block: &[u8], increment: Option<&[u8]>, sources: &CounterSources) -> Vec<u8> {
    let sources = sources.to_json();
    let mut changed = Vec::with_capacity(block.len() + sources.len() + 32);
    let mut writer = HeaderWriter::new(&mut changed);
    let mut has_sources = false;
    for (key, value) in HeaderBlock::new(block) {
        let value = match increment {
            Some(increment) if key == name::INCR => increment,
            _ if key == name::COUNTER_SOURCES => {
                has_sources = true;
                &sources
            }
            _ => value,
        };
        writer = writer.header(key, value);
    }
    if !has_sources {
        writer = writer.header(name::COUNTER_SOURCES, &sources);
    }
    writer.finish();
    changed
}
