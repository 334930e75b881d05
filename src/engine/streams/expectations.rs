//! What a publisher asks of a stream by headers.

use super::lifetime::Lifetime;
use crate::ids::Seq;
use midge_api::ApiError;
use midge_proto::headers::{HeaderBlock, name};

/// Who may be replaced by a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rollup {
    Subject,
    All,
}

/// The `Nats-…` headers of a publish that a stream acts on.
#[derive(Debug, Default)]
pub(crate) struct Expectations<'a> {
    pub(crate) stream: Option<&'a [u8]>,
    pub(crate) last_seq: Option<&'a [u8]>,
    pub(crate) last_subject_seq: Option<&'a [u8]>,
    pub(crate) last_subject: Option<&'a [u8]>,
    /// The last message of that subject, where it was looked for before.
    pub(crate) last_known: Option<Seq>,
    pub(crate) last_msg_id: Option<&'a [u8]>,
    pub(crate) msg_id: Option<&'a [u8]>,
    pub(crate) rollup: Option<&'a [u8]>,
    /// How long the message is to live.
    pub(crate) ttl: Option<&'a [u8]>,
    /// What is to be added to a counter.
    pub(crate) increment: Option<&'a [u8]>,
    /// The batch it is part of.
    pub(crate) batch_id: Option<&'a [u8]>,
    /// It has to do with schedules.
    pub(crate) is_scheduling: bool,
    /// One of a feature that streams do not have.
    pub(crate) unsupported: Option<ApiError>,
}

impl<'a> Expectations<'a> {
    pub(crate) fn read(header: &'a [u8]) -> Self {
        let mut found = Expectations::default();
        for (key, value) in HeaderBlock::new(header).iter() {
            if !key.starts_with(b"Nats-") {
                continue;
            }
            let place = match key {
                _ if key == name::EXPECTED_STREAM => &mut found.stream,
                _ if key == name::EXPECTED_LAST_SEQ => &mut found.last_seq,
                _ if key == name::EXPECTED_LAST_SUBJECT_SEQ => &mut found.last_subject_seq,
                _ if key == name::EXPECTED_LAST_SUBJECT_SEQ_SUBJECT => &mut found.last_subject,
                _ if key == name::EXPECTED_LAST_MSG_ID => &mut found.last_msg_id,
                _ if key == name::MSG_ID => &mut found.msg_id,
                _ if key == name::ROLLUP => &mut found.rollup,
                _ if key == name::TTL => &mut found.ttl,
                _ if key == name::INCR => &mut found.increment,
                _ if key == name::BATCH_ID => &mut found.batch_id,
                _ if key.starts_with(name::SCHEDULE) => {
                    found.is_scheduling = true;
                    continue;
                }
                _ => {
                    if found.unsupported.is_none() {
                        found.unsupported = unsupported(key);
                    }
                    continue;
                }
            };
            // An empty header counts as none; of several the first counts.
            if place.is_none() && !value.is_empty() {
                *place = Some(value);
            }
        }
        found
    }

    /// Why the message cannot be stored, whatever the stream holds.
    pub(crate) fn check_features(&self, stream: &[u8], allows_ttl: bool) -> Result<(), ApiError> {
        if self.stream.is_some_and(|expected| expected != stream) {
            return Err(ApiError::STREAM_NOT_MATCH);
        }
        // One that cannot be read is told of last.
        let asks = |asked| asked != Lifetime::Unlimited;
        if !allows_ttl && self.lifetime().is_ok_and(asks) {
            return Err(ApiError::MESSAGE_TTL_DISABLED);
        }
        self.unsupported.clone().map_or(Ok(()), Err)
    }

    /// Whether it is stored only if the stream is as the publisher expects.
    pub(crate) fn is_conditional(&self) -> bool {
        let conditions = [
            self.stream,
            self.last_seq,
            self.last_subject_seq,
            self.last_subject,
            self.last_msg_id,
        ];
        conditions.iter().any(Option::is_some)
    }

    /// How long the message is to live.
    pub(crate) fn lifetime(&self) -> Result<Lifetime, ApiError> {
        let Some(value) = self.ttl else {
            return Ok(Lifetime::Unlimited);
        };
        Lifetime::read(value).ok_or(ApiError::MESSAGE_TTL_INVALID)
    }

    /// What the rollup header asks for.
    pub(crate) fn rollup(&self) -> Result<Option<Rollup>, ApiError> {
        let Some(value) = self.rollup else {
            return Ok(None);
        };
        if value.eq_ignore_ascii_case(b"sub") {
            Ok(Some(Rollup::Subject))
        } else if value.eq_ignore_ascii_case(b"all") {
            Ok(Some(Rollup::All))
        } else {
            let value = String::from_utf8_lossy(value);
            Err(ApiError::stream_rollup_failed(format!(
                "rollup value invalid: \"{value}\""
            )))
        }
    }
}

/// The refusal of a header that asks for what streams do not do. Storing the
/// message without it would be a promise not kept.
fn unsupported(name: &[u8]) -> Option<ApiError> {
    match name {
        b"Nats-Stream-Source" => Some(ApiError::MESSAGE_SOURCE_HDR_NOT_ALLOWED),
        _ => None,
    }
}

/// A sequence as a header says it: digits, and nothing but digits.
pub(crate) fn number(value: &[u8]) -> Option<u64> {
    if !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}
