//! Making, changing and looking at consumers.

use super::api::Streams;
use super::info::{ConsumerInfo, nanos};
use super::management::{push_name, stream_operation};
use crate::Error;
use crate::outgoing::check_subject;
use midge_api::metadata::Notes;
use midge_api::{ConsumerAction, ConsumerConfig, check_consumer_name};
use midge_proto::{JsonWriter, Nanos, Timestamp};

impl Streams {
    /// Makes a consumer. One that is there with the same configuration is as
    /// good as made. What is zero or empty in the configuration is up to the
    /// server; [`ConsumerConfig::durable`] is a good beginning.
    ///
    /// # Errors
    /// [`Error::Api`]: 10148 if there is another one of this name,
    /// [`ApiError::STREAM_NOT_FOUND`](super::ApiError::STREAM_NOT_FOUND), and
    /// many more for what the server does not take; and what [`Streams::api`]
    /// has.
    pub fn create_consumer(
        &self,
        stream: &str,
        config: &ConsumerConfig,
    ) -> Result<ConsumerInfo, Error> {
        self.set_consumer(stream, config, ConsumerAction::Create)
    }

    /// Changes a consumer. The configuration is all of it: begin with that of
    /// [`consumer_info`](Streams::consumer_info).
    ///
    /// # Errors
    /// [`Error::Api`]: 10149 if there is none of this name; and what
    /// [`Streams::api`] has.
    pub fn update_consumer(
        &self,
        stream: &str,
        config: &ConsumerConfig,
    ) -> Result<ConsumerInfo, Error> {
        self.set_consumer(stream, config, ConsumerAction::Update)
    }

    /// Makes a consumer, or changes the one that is there.
    ///
    /// # Errors
    /// As [`create_consumer`](Streams::create_consumer).
    pub fn create_or_update_consumer(
        &self,
        stream: &str,
        config: &ConsumerConfig,
    ) -> Result<ConsumerInfo, Error> {
        self.set_consumer(stream, config, ConsumerAction::CreateOrUpdate)
    }

    pub(super) fn set_consumer(
        &self,
        stream: &str,
        config: &ConsumerConfig,
        action: ConsumerAction,
    ) -> Result<ConsumerInfo, Error> {
        let mut operation = stream_operation("CONSUMER.CREATE.", stream)?;
        let name = match config.name.as_str() {
            "" => config.durable_name.as_str(),
            name => name,
        };
        if !name.is_empty() {
            check_consumer_name(name)?;
            operation.push('.');
            operation.push_str(name);
            // One filter is a part of the subject, for permissions, if it can
            // be published to.
            let filter = config.filter_subject.as_str();
            if check_subject(filter).is_ok() {
                operation.push('.');
                operation.push_str(filter);
            }
        }
        let mut request = JsonWriter::new();
        request.open_object();
        request.string_field("stream_name", stream);
        request.key("config");
        config.write_json(Notes::None, &mut request);
        request.string_unless_empty("action", action.as_str());
        request.close_object();
        ConsumerInfo::read(self.ask(&operation, &request.into_bytes())?)
    }

    /// How a consumer is set up, and how far it has come.
    ///
    /// # Errors
    /// [`Error::Api`] with [`ApiError::CONSUMER_NOT_FOUND`](super::ApiError::CONSUMER_NOT_FOUND)
    /// or [`ApiError::STREAM_NOT_FOUND`](super::ApiError::STREAM_NOT_FOUND);
    /// and what [`Streams::api`] has.
    pub fn consumer_info(&self, stream: &str, consumer: &str) -> Result<ConsumerInfo, Error> {
        let operation = consumer_operation("CONSUMER.INFO.", stream, consumer)?;
        ConsumerInfo::read(self.ask(&operation, b"")?)
    }

    /// Removes a consumer.
    ///
    /// # Errors
    /// As [`consumer_info`](Streams::consumer_info).
    pub fn delete_consumer(&self, stream: &str, consumer: &str) -> Result<(), Error> {
        let operation = consumer_operation("CONSUMER.DELETE.", stream, consumer)?;
        self.ask(&operation, b"")?;
        Ok(())
    }

    /// Lets a consumer deliver nothing until then, or lets it go on: with
    /// `None`, or a time that has passed. How long it pauses.
    ///
    /// # Errors
    /// As [`consumer_info`](Streams::consumer_info).
    pub fn pause_consumer(
        &self,
        stream: &str,
        consumer: &str,
        until: Option<Timestamp>,
    ) -> Result<Nanos, Error> {
        let mut request = JsonWriter::new();
        request.open_object();
        if let Some(until) = until {
            request.time_field("pause_until", until);
        }
        request.close_object();
        let operation = consumer_operation("CONSUMER.PAUSE.", stream, consumer)?;
        let answer = self.ask(&operation, &request.into_bytes())?;
        Ok(nanos(&answer, "pause_remaining"))
    }

    /// All consumers of a stream, by name.
    ///
    /// # Errors
    /// [`Error::Api`] with [`ApiError::STREAM_NOT_FOUND`](super::ApiError::STREAM_NOT_FOUND);
    /// and what [`Streams::api`] has.
    pub fn consumer_list(&self, stream: &str) -> Result<Vec<ConsumerInfo>, Error> {
        let mut found = Vec::new();
        let operation = stream_operation("CONSUMER.LIST.", stream)?;
        self.pages(&operation, "consumers", &|_| {}, |item| {
            found.push(ConsumerInfo::read(item)?);
            Ok(())
        })?;
        Ok(found)
    }

    /// The names of all consumers of a stream.
    ///
    /// # Errors
    /// As [`consumer_list`](Streams::consumer_list).
    pub fn consumer_names(&self, stream: &str) -> Result<Vec<String>, Error> {
        let mut found = Vec::new();
        let operation = stream_operation("CONSUMER.NAMES.", stream)?;
        self.pages(&operation, "consumers", &|_| {}, |item| {
            push_name(&mut found, item);
            Ok(())
        })?;
        Ok(found)
    }
}

pub(super) fn consumer_operation(
    operation: &str,
    stream: &str,
    consumer: &str,
) -> Result<String, Error> {
    check_consumer_name(consumer)?;
    let operation = stream_operation(operation, stream)?;
    Ok(format!("{operation}.{consumer}"))
}
