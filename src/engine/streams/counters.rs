//! Streams whose messages are counters.
//!
//! A message says by how much its subject's counter changes, and is stored
//! with what that comes to. The value before is in the subject's last
//! message, so nothing else is kept of a counter.

use super::decimal::Number;
use super::expectations::Expectations;
use super::intake::Incoming;
use super::log_read::NeedBlock;
use super::stream::Stream;
use midge_api::ApiError;
use midge_proto::headers::{HeaderBlock, HeaderWriter, name};

const BODY_HEAD: &str = "{\"val\":\"";
const BODY_TAIL: &str = "\"}";

/// What a counter has come to.
#[derive(Debug, Clone)]
pub(super) struct Total {
    value: String,
    /// What other streams have added, as their messages said it; handed on.
    sources: Option<Box<[u8]>>,
}

/// A message with the value that it leads to.
pub(super) struct Counted {
    pub(super) payload: Vec<u8>,
    pub(super) header_len: usize,
    pub(super) total: Total,
}

impl Total {
    /// The field of a PubAck that tells it.
    pub(super) fn field(&self) -> String {
        format!(",\"val\":\"{}\"", self.value)
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

    /// A message for a counter as it is to be stored. `so_far` is what the
    /// counter has come to by messages that are not stored yet.
    pub(super) fn count(
        &mut self,
        message: Incoming<'_>,
        so_far: Option<&Total>,
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
            Some(total) => total.clone(),
            None => self.total_of(message.subject)?,
        };
        let number = Number::read(before.value.as_bytes());
        let number = number.ok_or(ApiError::MESSAGE_COUNTER_BROKEN)?;
        let sum = number.add(increment);
        let mut total = Total {
            value: sum.ok_or(ApiError::MESSAGE_INCR_INVALID)?,
            sources: before.sources,
        };
        let own = HeaderBlock::new(header).get(name::COUNTER_SOURCES);
        let mut payload = Vec::with_capacity(message.payload.len() + total.value.len() + 16);
        match (&own, &total.sources) {
            (None, Some(sources)) => HeaderWriter::from_block(&mut payload, header)
                .header(name::COUNTER_SOURCES, sources)
                .finish(),
            _ => payload.extend_from_slice(header),
        }
        if let Some(own) = own {
            total.sources = Some(own.into());
        }
        let header_len = payload.len();
        for part in [BODY_HEAD, &total.value, BODY_TAIL] {
            payload.extend_from_slice(part.as_bytes());
        }
        Ok(Counted {
            payload,
            header_len,
            total,
        })
    }

    /// What a counter has come to.
    fn total_of(&mut self, subject: &[u8]) -> Result<Total, ApiError> {
        let last = self.last_seq_of(subject)?;
        let none = Total {
            value: "0".to_owned(),
            sources: None,
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
        let sources = HeaderBlock::new(record.header()).get(name::COUNTER_SOURCES);
        Ok(Total {
            value: value.to_owned(),
            sources: sources.map(Into::into),
        })
    }
}

/// The number in the body of a counter's message.
fn value_of(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?;
    let value = text.strip_prefix(BODY_HEAD)?.strip_suffix(BODY_TAIL)?;
    Number::read(value.as_bytes()).map(|_| value)
}
