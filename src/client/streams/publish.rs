//! Publishing into streams, one message at a time.

use super::api::Streams;
use super::pub_ack::PubAck;
use crate::{Error, Headers, Publish};
use midge_proto::headers::name;

impl Streams {
    /// Publishes a message and waits until it is stored. For many messages a
    /// [`Publisher`](super::Publisher) is much faster: it does not wait for
    /// each.
    ///
    /// # Errors
    /// [`Error::NoResponders`] if no stream has the subject; [`Error::Api`] if
    /// it has and refuses the message, for example 10071 where an expectation
    /// of the headers does not hold. After [`Error::Timeout`] and
    /// [`Error::Lost`] nobody knows whether it is stored: with a
    /// [message id](Headers::message_id) it can be published again all the
    /// same. And what [`Client::ask`](crate::Client::ask) has.
    pub fn publish(&self, message: &Publish<'_>) -> Result<PubAck, Error> {
        let answer = self.client.ask(message, Some(self.timeout))?;
        PubAck::read(&answer, message.subject, &mut "".into())
    }
}

/// Headers that mean something to a stream.
///
/// ```
/// use midge_client::{Headers, Publish};
///
/// let headers = Headers::new().message_id("order-17-paid").expect_last_subject_seq(4);
/// let message = Publish::new("orders.17", "paid").headers(&headers);
/// # let _ = message;
/// ```
impl Headers {
    /// An id that no other message has: a second one with it, within the
    /// stream's `duplicate_window`, is not stored.
    #[must_use]
    pub fn message_id(self, id: &str) -> Self {
        self.with_bytes(name::MSG_ID, id)
    }

    /// Store it only in this stream.
    #[must_use]
    pub fn expect_stream(self, stream: &str) -> Self {
        self.with_bytes(name::EXPECTED_STREAM, stream)
    }

    /// Store it only behind this sequence of the stream.
    #[must_use]
    pub fn expect_last_seq(self, seq: u64) -> Self {
        self.with_bytes(name::EXPECTED_LAST_SEQ, &seq.to_string())
    }

    /// Store it only if the last message of its subject has this sequence;
    /// zero if there may be none.
    #[must_use]
    pub fn expect_last_subject_seq(self, seq: u64) -> Self {
        self.with_bytes(name::EXPECTED_LAST_SUBJECT_SEQ, &seq.to_string())
    }

    /// Store it only behind the message with this id.
    #[must_use]
    pub fn expect_last_message_id(self, id: &str) -> Self {
        self.with_bytes(name::EXPECTED_LAST_MSG_ID, id)
    }

    fn with_bytes(self, name: &'static [u8], value: &str) -> Self {
        // Names of ours are ASCII.
        self.with(std::str::from_utf8(name).unwrap_or_default(), value)
    }
}
