//! A bucket: getting and setting keys.

use super::bucket_config::{BucketConfig, STREAM_PREFIX};
use super::entry::{DELETE, Entry, OPERATION, PURGE};
use super::key::{check_bucket, check_key};
use crate::streams::api::PREFIX_DEFAULT;
use crate::streams::management::is_refusal;
use crate::streams::{ApiError, StoredMessage, StreamInfo, Streams};
use crate::{Error, Headers, Publish};
use midge_proto::Timestamp;

/// A bucket of keys and their values. Clones are the same bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    pub(super) streams: Streams,
    name: String,
    pub(super) stream: String,
}

/// A bucket, as it was when the server was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// How it is set up.
    pub config: BucketConfig,
    /// When it was made.
    pub created: Timestamp,
    /// How many values it holds: those of the history, and marks of deleted
    /// keys, included.
    pub values: u64,
    /// How many bytes they take.
    pub bytes: u64,
    /// How many keys there are, deleted ones included.
    pub keys: u64,
}

impl Streams {
    /// Makes a bucket. One that is there with the same configuration is as
    /// good as made.
    ///
    /// # Errors
    /// [`Error::Key`] if this can be no name; [`Error::Api`] with
    /// [`ApiError::STREAM_NAME_EXIST`] if there is another one of this name;
    /// and what [`Streams::create_stream`] has.
    pub fn create_bucket(&self, config: &BucketConfig) -> Result<Bucket, Error> {
        self.create_stream(&config.to_stream()?)?;
        Ok(self.bucket_unseen(&config.name))
    }

    /// Changes a bucket, as far as that can be: not where it is kept.
    ///
    /// # Errors
    /// [`Error::Key`]; and what [`Streams::update_stream`] has.
    pub fn update_bucket(&self, config: &BucketConfig) -> Result<Bucket, Error> {
        self.update_stream(&config.to_stream()?)?;
        Ok(self.bucket_unseen(&config.name))
    }

    /// A bucket that is there already.
    ///
    /// # Errors
    /// [`Error::Key`]; [`Error::Api`] with [`ApiError::STREAM_NOT_FOUND`] if
    /// it is not there; and what [`Streams::api`] has.
    pub fn bucket(&self, name: &str) -> Result<Bucket, Error> {
        check_bucket(name)?;
        let bucket = self.bucket_unseen(name);
        self.stream_info(&bucket.stream)?;
        Ok(bucket)
    }

    /// Removes a bucket with everything in it.
    ///
    /// # Errors
    /// As [`bucket`](Streams::bucket).
    pub fn delete_bucket(&self, name: &str) -> Result<(), Error> {
        check_bucket(name)?;
        self.delete_stream(&format!("{STREAM_PREFIX}{name}"))
    }

    /// All buckets.
    ///
    /// # Errors
    /// What [`Streams::api`] has.
    pub fn bucket_list(&self) -> Result<Vec<Status>, Error> {
        let mut streams = self.stream_list(Some("$KV.>"))?;
        streams.retain(|stream| stream.config.name.starts_with(STREAM_PREFIX));
        Ok(streams.iter().map(Status::from_stream).collect())
    }

    fn bucket_unseen(&self, name: &str) -> Bucket {
        Bucket {
            streams: self.clone(),
            name: name.to_owned(),
            stream: format!("{STREAM_PREFIX}{name}"),
        }
    }
}

impl Status {
    fn from_stream(info: &StreamInfo) -> Status {
        Status {
            config: BucketConfig::from_stream(&info.config),
            created: info.created,
            values: info.state.messages,
            bytes: info.state.bytes,
            keys: info.state.num_subjects,
        }
    }
}

impl Bucket {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it is set up, and what it holds.
    ///
    /// # Errors
    /// What [`Streams::stream_info`] has.
    pub fn status(&self) -> Result<Status, Error> {
        let info = self.streams.stream_info(&self.stream)?;
        Ok(Status::from_stream(&info))
    }

    /// What the subjects of keys begin with.
    pub(super) fn prefix(&self) -> String {
        format!("$KV.{}.", self.name)
    }

    /// The value of a key; nothing if it has none, or was deleted.
    ///
    /// # Errors
    /// [`Error::Key`]; [`Error::Api`] with [`ApiError::STREAM_NOT_FOUND`] if
    /// the bucket is gone; and what [`Streams::api`] has.
    pub fn get(&self, key: &str) -> Result<Option<Entry>, Error> {
        Ok(self.last(key)?.filter(Entry::is_value))
    }

    /// What was done to a key last: its value, or the mark that it was
    /// deleted.
    ///
    /// # Errors
    /// As [`get`](Bucket::get).
    pub fn last(&self, key: &str) -> Result<Option<Entry>, Error> {
        check_key(key)?;
        let subject = self.prefix() + key;
        let found = if_there(self.streams.get_last_message(&self.stream, &subject))?;
        Ok(found.map(|message| Entry::from_stored(key, message)))
    }

    /// What was done to a key at a revision; nothing if that was done to
    /// another one, or is not kept any more.
    ///
    /// # Errors
    /// As [`get`](Bucket::get).
    pub fn get_revision(&self, key: &str, revision: u64) -> Result<Option<Entry>, Error> {
        check_key(key)?;
        let subject = self.prefix() + key;
        let found = if_there(self.streams.get_message(&self.stream, revision))?;
        let found = found.filter(|message| message.subject == subject);
        Ok(found.map(|message| Entry::from_stored(key, message)))
    }

    /// Sets a key; the new revision.
    ///
    /// # Errors
    /// [`Error::Key`]; [`Error::NoResponders`] if the bucket is gone; and what
    /// [`Streams::publish`] has.
    pub fn put(&self, key: &str, value: &(impl AsRef<[u8]> + ?Sized)) -> Result<u64, Error> {
        self.publish(key, value.as_ref(), &Headers::new())
    }

    /// Sets a key that has no value, or was deleted; the new revision.
    ///
    /// # Errors
    /// One that [is a conflict](Error::is_conflict) if it has a value; and as
    /// [`put`](Bucket::put).
    pub fn create(&self, key: &str, value: &(impl AsRef<[u8]> + ?Sized)) -> Result<u64, Error> {
        let conflict = match self.update(key, value, 0) {
            Err(error) if error.is_conflict() => error,
            done => return done,
        };
        match self.last(key)? {
            Some(entry) if !entry.is_value() => self.update(key, value, entry.revision),
            _ => Err(conflict),
        }
    }

    /// Sets a key if its last revision, values and marks of deletion alike, is
    /// this one; the new revision.
    ///
    /// # Errors
    /// One that [is a conflict](Error::is_conflict) if it is another one; and
    /// as [`put`](Bucket::put).
    pub fn update(
        &self,
        key: &str,
        value: &(impl AsRef<[u8]> + ?Sized),
        revision: u64,
    ) -> Result<u64, Error> {
        let headers = Headers::new().expect_last_subject_seq(revision);
        self.publish(key, value.as_ref(), &headers)
    }

    /// Deletes a key, if its last revision is this one where one is given. Its
    /// history is kept. That it has no value is no error.
    ///
    /// # Errors
    /// As [`update`](Bucket::update).
    pub fn delete(&self, key: &str, revision: Option<u64>) -> Result<(), Error> {
        self.mark(key, Headers::new().with(OPERATION, DELETE), revision)
    }

    /// Deletes a key with its history, if its last revision is this one where
    /// one is given.
    ///
    /// # Errors
    /// As [`update`](Bucket::update).
    pub fn purge(&self, key: &str, revision: Option<u64>) -> Result<(), Error> {
        let headers = Headers::new().with(OPERATION, PURGE);
        self.mark(key, headers.with("Nats-Rollup", "sub"), revision)
    }

    fn mark(&self, key: &str, headers: Headers, revision: Option<u64>) -> Result<(), Error> {
        let headers = match revision {
            Some(revision) => headers.expect_last_subject_seq(revision),
            None => headers,
        };
        self.publish(key, b"", &headers).map(drop)
    }

    fn publish(&self, key: &str, value: &[u8], headers: &Headers) -> Result<u64, Error> {
        check_key(key)?;
        let mut subject = self.prefix() + key;
        if *self.streams.prefix != *PREFIX_DEFAULT {
            // What is imported under a prefix of its own is so as a whole.
            subject = format!("{}.{subject}", self.streams.prefix);
        }
        let message = Publish::new(&subject, value).headers(headers);
        Ok(self.streams.publish(&message)?.seq)
    }
}

/// That there is no such message is no error here.
fn if_there(found: Result<StoredMessage, Error>) -> Result<Option<StoredMessage>, Error> {
    match found {
        Ok(message) => Ok(Some(message)),
        Err(error) if is_refusal(&error, &ApiError::NO_MESSAGE_FOUND) => Ok(None),
        Err(error) => Err(error),
    }
}
