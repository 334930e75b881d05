//! Making, changing and looking at streams.

use super::api::{PAGES_MAX, Streams, uint};
use super::info::StreamInfo;
use crate::Error;
use midge_api::{ApiError, StreamConfig, check_stream_name};
use midge_proto::JsonWriter;
use serde_json::Value;

/// What a purge removes. The default is everything.
///
/// ```
/// use midge_client::streams::Purge;
///
/// // All but the ten newest messages about one order.
/// let purge = Purge { subject: "orders.17".into(), keep: 10, ..Default::default() };
/// # let _ = purge;
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Purge {
    /// Only messages whose subject matches; empty is all.
    pub subject: String,
    /// Only messages before this sequence; zero is no bound. Not together
    /// with `keep`.
    pub before_seq: u64,
    /// All but so many of the newest ones.
    pub keep: u64,
}

impl Streams {
    /// Makes a stream. One that is there with the same configuration is as
    /// good as made. What is zero or empty in the configuration is up to the
    /// server: no limit, one copy, kept on disk.
    ///
    /// # Errors
    /// [`Error::Api`] with [`ApiError::STREAM_NAME_EXIST`] if there is another
    /// one of this name, [`ApiError::STREAM_SUBJECT_OVERLAP`] if another one
    /// stores one of its subjects, 10052 with an explanation for what else the
    /// server does not take; and what [`Streams::api`] has.
    pub fn create_stream(&self, config: &StreamConfig) -> Result<StreamInfo, Error> {
        self.set_stream("STREAM.CREATE.", config)
    }

    /// Changes a stream. The configuration is all of it: begin with that of
    /// [`stream_info`](Streams::stream_info).
    ///
    /// # Errors
    /// [`Error::Api`] with [`ApiError::STREAM_NOT_FOUND`], or 10052 with an
    /// explanation for what cannot be changed; and what [`Streams::api`] has.
    pub fn update_stream(&self, config: &StreamConfig) -> Result<StreamInfo, Error> {
        self.set_stream("STREAM.UPDATE.", config)
    }

    /// Makes a stream, or changes the one that is there.
    ///
    /// # Errors
    /// As [`create_stream`](Streams::create_stream) and
    /// [`update_stream`](Streams::update_stream).
    pub fn create_or_update_stream(&self, config: &StreamConfig) -> Result<StreamInfo, Error> {
        match self.create_stream(config) {
            Err(error) if is_refusal(&error, &ApiError::STREAM_NAME_EXIST) => {
                self.update_stream(config)
            }
            done => done,
        }
    }

    fn set_stream(&self, operation: &str, config: &StreamConfig) -> Result<StreamInfo, Error> {
        let operation = stream_operation(operation, &config.name)?;
        StreamInfo::read(self.ask(&operation, &config.to_json())?)
    }

    /// How a stream is set up, and what it holds.
    ///
    /// # Errors
    /// [`Error::Api`] with [`ApiError::STREAM_NOT_FOUND`]; and what
    /// [`Streams::api`] has.
    pub fn stream_info(&self, stream: &str) -> Result<StreamInfo, Error> {
        StreamInfo::read(self.ask(&stream_operation("STREAM.INFO.", stream)?, b"")?)
    }

    /// The same, with how many messages there are of each subject that matches
    /// the filter (`>` for all): [`StreamState::subjects`](super::StreamState).
    ///
    /// # Errors
    /// As [`stream_info`](Streams::stream_info).
    pub fn stream_info_with_subjects(
        &self,
        stream: &str,
        filter: &str,
    ) -> Result<StreamInfo, Error> {
        let operation = stream_operation("STREAM.INFO.", stream)?;
        let mut subjects = Vec::new();
        let mut pages = 0;
        loop {
            let mut request = JsonWriter::new();
            request.open_object();
            request.string_field("subjects_filter", filter);
            request.uint_field("offset", subjects.len() as u64);
            request.close_object();
            let answer = self.ask(&operation, &request.into_bytes())?;
            let total = uint(&answer, "total");
            let mut info = StreamInfo::read(answer)?;
            let is_last = info.state.subjects.is_empty();
            subjects.append(&mut info.state.subjects);
            pages += 1;
            if is_last || subjects.len() as u64 >= total || pages == PAGES_MAX {
                info.state.subjects = subjects;
                return Ok(info);
            }
        }
    }

    /// Removes a stream with everything in it.
    ///
    /// # Errors
    /// As [`stream_info`](Streams::stream_info).
    pub fn delete_stream(&self, stream: &str) -> Result<(), Error> {
        self.ask(&stream_operation("STREAM.DELETE.", stream)?, b"")?;
        Ok(())
    }

    /// Removes messages; how many.
    ///
    /// # Errors
    /// As [`stream_info`](Streams::stream_info).
    pub fn purge_stream(&self, stream: &str, purge: &Purge) -> Result<u64, Error> {
        let mut request = JsonWriter::new();
        request.open_object();
        request.string_unless_empty("filter", &purge.subject);
        request.uint_unless_zero("seq", purge.before_seq);
        request.uint_unless_zero("keep", purge.keep);
        request.close_object();
        let operation = stream_operation("STREAM.PURGE.", stream)?;
        let answer = self.ask(&operation, &request.into_bytes())?;
        Ok(uint(&answer, "purged"))
    }

    /// All streams, by name; with a subject those alone that store some of
    /// what it matches.
    ///
    /// # Errors
    /// What [`Streams::api`] has.
    pub fn stream_list(&self, subject: Option<&str>) -> Result<Vec<StreamInfo>, Error> {
        let mut found = Vec::new();
        let write = |request: &mut JsonWriter| write_subject(request, subject);
        self.pages("STREAM.LIST", "streams", &write, |item| {
            found.push(StreamInfo::read(item)?);
            Ok(())
        })?;
        Ok(found)
    }

    /// The names of all streams, or of those alone that store some of what the
    /// subject matches.
    ///
    /// # Errors
    /// What [`Streams::api`] has.
    pub fn stream_names(&self, subject: Option<&str>) -> Result<Vec<String>, Error> {
        let mut found = Vec::new();
        let write = |request: &mut JsonWriter| write_subject(request, subject);
        self.pages("STREAM.NAMES", "streams", &write, |item| {
            push_name(&mut found, item);
            Ok(())
        })?;
        Ok(found)
    }
}

fn write_subject(request: &mut JsonWriter, subject: Option<&str>) {
    if let Some(subject) = subject {
        request.string_field("subject", subject);
    }
}

pub(super) fn push_name(names: &mut Vec<String>, item: Value) {
    if let Value::String(name) = item {
        names.push(name);
    }
}

/// An operation on one stream. A name that is none is refused here: it would
/// be a part of another subject.
pub(super) fn stream_operation(operation: &str, stream: &str) -> Result<String, Error> {
    check_stream_name(stream)?;
    Ok(format!("{operation}{stream}"))
}

pub(super) fn is_refusal(error: &Error, refusal: &ApiError) -> bool {
    matches!(error, Error::Api(error) if error.err_code == refusal.err_code)
}
