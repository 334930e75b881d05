//! A message of a stream as a consumer delivers it, and what is said back.

use crate::{Client, Error, Message};
use midge_api::AckSubject;
use midge_proto::{JsonWriter, Nanos, Timestamp};
use std::ops::Deref;
use std::time::Duration;

/// A message that a consumer has delivered.
///
/// It is acknowledged by one of the methods here. Saying so a second time, or
/// after the consumer's `ack_wait`, is no error: the server passes over what
/// it does not wait for. A message of a consumer without acks takes them all
/// and nothing comes of it.
///
/// All but [`ack_confirmed`](StreamMessage::ack_confirmed) only send: an ack
/// that is lost with the connection leads to another delivery.
#[derive(Debug, Clone)]
pub struct StreamMessage {
    client: Client,
    message: Message,
}

/// Where a delivered message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata<'a> {
    /// The stream that has it.
    pub stream: &'a str,
    /// The consumer that delivers it.
    pub consumer: &'a str,
    /// How often it was delivered, this time included.
    pub delivered: u64,
    /// Its sequence in the stream.
    pub stream_seq: u64,
    /// The number of this delivery of the consumer.
    pub consumer_seq: u64,
    /// When it was stored.
    pub time: Timestamp,
    /// Messages that the consumer has still to deliver after this one.
    pub pending: u64,
}

impl Deref for StreamMessage {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

impl StreamMessage {
    /// A message that no consumer has delivered has no place here.
    pub(super) fn new(client: &Client, message: Message) -> Result<StreamMessage, Error> {
        if AckSubject::parse(message.reply().as_bytes()).is_none() {
            return Err(Error::Protocol("a delivery says not what it is"));
        }
        Ok(StreamMessage {
            client: client.clone(),
            message,
        })
    }

    /// Where it stands.
    pub fn metadata(&self) -> Metadata<'_> {
        let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
        match AckSubject::parse(self.reply().as_bytes()) {
            Some(told) => Metadata {
                stream: text(told.stream),
                consumer: text(told.consumer),
                delivered: told.delivered,
                stream_seq: told.stream_seq,
                consumer_seq: told.consumer_seq,
                time: told.time,
                pending: told.pending,
            },
            // There is no such message.
            None => Metadata {
                stream: "",
                consumer: "",
                delivered: 0,
                stream_seq: 0,
                consumer_seq: 0,
                time: Timestamp::UNSET,
                pending: 0,
            },
        }
    }

    /// It is done.
    ///
    /// # Errors
    /// What [`Client::publish`] has, here and below.
    pub fn ack(&self) -> Result<(), Error> {
        self.say(b"+ACK")
    }

    /// It is done, and waits until the server has taken that down: it will not
    /// be delivered again.
    ///
    /// # Errors
    /// [`Error::NoResponders`] if the consumer is gone; and what
    /// [`Client::request`] has.
    pub fn ack_confirmed(&self, timeout: Duration) -> Result<(), Error> {
        self.client.request(self.reply(), b"+ACK", Some(timeout))?;
        Ok(())
    }

    /// It is not done: deliver it again, at once or after a while. Midge keeps
    /// the reason with the failed delivery, nats-server passes over it.
    ///
    /// # Errors
    /// As [`ack`](StreamMessage::ack).
    pub fn nak(&self, delay: Option<Duration>, reason: Option<&str>) -> Result<(), Error> {
        self.say(&nak(delay, reason))
    }

    /// It takes longer: the consumer's `ack_wait` begins anew.
    ///
    /// # Errors
    /// As [`ack`](StreamMessage::ack).
    pub fn in_progress(&self) -> Result<(), Error> {
        self.say(b"+WPI")
    }

    /// It will never be done: do not deliver it again. The reason is in the
    /// server's advisory, and with midge in the dead letter.
    ///
    /// # Errors
    /// As [`ack`](StreamMessage::ack).
    pub fn term(&self, reason: Option<&str>) -> Result<(), Error> {
        match reason {
            None => self.say(b"+TERM"),
            Some(reason) => self.say(format!("+TERM {reason}").as_bytes()),
        }
    }

    fn say(&self, words: &[u8]) -> Result<(), Error> {
        self.client.publish(self.reply(), words)
    }
}

fn nak(delay: Option<Duration>, reason: Option<&str>) -> Vec<u8> {
    let mut words = b"-NAK".to_vec();
    if delay.is_none() && reason.is_none() {
        return words;
    }
    let mut json = JsonWriter::new();
    json.open_object();
    if let Some(delay) = delay {
        json.int_field("delay", Nanos::from(delay).0);
    }
    if let Some(reason) = reason {
        json.string_field("reason", reason);
    }
    json.close_object();
    words.push(b' ');
    words.append(&mut json.into_bytes());
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use midge_api::Ack;

    #[test]
    fn a_server_reads_what_a_nak_says() {
        for (delay, reason) in [
            (None, None),
            (Some(Duration::from_millis(500)), None),
            (None, Some("no \"db\"")),
            (Some(Duration::from_secs(1)), Some("later")),
        ] {
            let read = Ack::parse(&nak(delay, reason));
            let wanted = Ack::Nak {
                delay: delay.map(Nanos::from),
                reason: reason.map(str::to_owned),
            };
            assert_eq!(read, wanted);
        }
    }
}
