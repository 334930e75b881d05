//! A consumer to take messages from.

use super::api::Streams;
use super::consumers::consumer_operation;
use super::info::ConsumerInfo;
use crate::{Error, Publish, Subscription};
use midge_proto::{JsonWriter, Nanos};
use std::time::Duration;

/// A consumer that is asked for messages. Several clients may ask the same
/// one; each message goes to one of them.
#[derive(Debug, Clone)]
pub struct Consumer {
    pub(super) streams: Streams,
    stream: String,
    name: String,
    /// What requests for messages are sent to.
    subject: String,
}

/// What a request for messages says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) batch: u64,
    pub(super) bytes_max: u64,
    /// Nothing is not to wait.
    pub(super) expires: Option<Duration>,
    pub(super) heartbeat: Duration,
}

impl Streams {
    /// A consumer that is there already. The server is not asked yet, so one
    /// that is not there is found out when messages are asked for.
    ///
    /// # Errors
    /// [`Error::Api`] if these can be no names.
    pub fn consumer(&self, stream: &str, consumer: &str) -> Result<Consumer, Error> {
        let operation = consumer_operation("CONSUMER.MSG.NEXT.", stream, consumer)?;
        Ok(Consumer {
            streams: self.clone(),
            stream: stream.to_owned(),
            name: consumer.to_owned(),
            subject: format!("{}.{operation}", self.prefix),
        })
    }
}

impl Consumer {
    /// Its stream.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it is set up, and how far it has come.
    ///
    /// # Errors
    /// As [`Streams::consumer_info`].
    pub fn info(&self) -> Result<ConsumerInfo, Error> {
        self.streams.consumer_info(&self.stream, &self.name)
    }

    /// A place for messages to come to.
    pub(super) fn inbox(&self) -> Result<Subscription, Error> {
        let client = &self.streams.client;
        Ok(client
            .subscribe_bounded(&client.new_inbox())?
            .telling_breaks())
    }

    /// Asks for messages.
    pub(super) fn request(&self, inbox: &Subscription, request: Request) -> Result<(), Error> {
        let mut json = JsonWriter::new();
        json.open_object();
        json.uint_field("batch", request.batch.max(1));
        json.uint_unless_zero("max_bytes", request.bytes_max);
        match request.expires {
            Some(expires) => {
                json.int_field("expires", Nanos::from(expires).0.max(1));
                // Servers take no slower one.
                let heartbeat = request.heartbeat.min(expires / 2);
                json.int_unless_zero("idle_heartbeat", Nanos::from(heartbeat).0);
            }
            None => json.bool_field("no_wait", true),
        }
        json.close_object();
        let body = json.into_bytes();
        let request = Publish::new(&self.subject, &body).reply(inbox.subject());
        self.streams.client.send(&request)?;
        self.streams.client.shared().outbox.flush();
        Ok(())
    }

    /// Why nobody took a request: the server says whether the consumer is
    /// there.
    pub(super) fn unheard(&self) -> Error {
        match self.info() {
            Err(error) => error,
            Ok(_) => Error::NoResponders(self.subject.clone()),
        }
    }
}
