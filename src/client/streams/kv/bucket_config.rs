//! How a bucket is set up, and the stream that makes.

use super::key::check_bucket;
use crate::Error;
use midge_api::{ApiError, Compression, Discard, Storage, StreamConfig};
use midge_proto::Nanos;
use std::time::Duration;

/// What the stream of a bucket is called, before the bucket's name.
pub(super) const STREAM_PREFIX: &str = "KV_";

/// Values of a key that are kept, at most: what all clients agree on.
const HISTORY_MAX: u32 = 64;

/// How long a repeated publish is known for one, at most.
const DUPLICATE_WINDOW_MAX: Duration = Duration::from_secs(120);

/// How a bucket is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketConfig {
    /// Its name: letters, digits, `-` and `_`.
    pub name: String,
    /// For people.
    pub description: String,
    /// Values of a key that are kept, the current one included; 1 to 64.
    pub history: u32,
    /// How long a value is kept; `None` is for ever.
    pub ttl: Option<Duration>,
    /// The bytes of the whole bucket, at most. What would be too much is
    /// refused.
    pub bytes_max: Option<u64>,
    /// The bytes of one value, headers included, at most.
    pub value_bytes_max: Option<u32>,
    /// Where it is kept.
    pub storage: Storage,
    /// How many servers keep a copy. Midge is one.
    pub replicas: u32,
    /// Whether what is kept is packed.
    pub is_compressed: bool,
}

impl BucketConfig {
    /// A bucket that keeps one value of each key, on disk and for ever.
    pub fn new(name: &str) -> BucketConfig {
        BucketConfig {
            name: name.to_owned(),
            description: String::new(),
            history: 1,
            ttl: None,
            bytes_max: None,
            value_bytes_max: None,
            storage: Storage::File,
            replicas: 1,
            is_compressed: false,
        }
    }

    /// The stream of the bucket.
    pub(super) fn to_stream(&self) -> Result<StreamConfig, Error> {
        check_bucket(&self.name)?;
        if !(1..=HISTORY_MAX).contains(&self.history) {
            let why = "a bucket keeps 1 to 64 values of a key";
            return Err(Error::Api(ApiError::stream_invalid_config(why)));
        }
        let ttl = self.ttl.unwrap_or_default();
        let window = match ttl {
            Duration::ZERO => DUPLICATE_WINDOW_MAX,
            ttl => ttl.min(DUPLICATE_WINDOW_MAX),
        };
        // What is more than can be said is as much as can be said.
        let bytes_max = |max| i64::try_from(max).unwrap_or(i64::MAX);
        let value_bytes_max = |max| i32::try_from(max).unwrap_or(i32::MAX);
        Ok(StreamConfig {
            name: format!("{STREAM_PREFIX}{}", self.name),
            description: self.description.clone(),
            subjects: vec![format!("$KV.{}.>", self.name)],
            max_msgs_per_subject: i64::from(self.history),
            max_age: Nanos::from(ttl),
            max_bytes: self.bytes_max.map_or(-1, bytes_max),
            max_msg_size: self.value_bytes_max.map_or(-1, value_bytes_max),
            max_msgs: -1,
            max_consumers: -1,
            discard: Discard::New,
            storage: self.storage,
            num_replicas: i64::from(self.replicas.max(1)),
            duplicate_window: Nanos::from(window),
            compression: match self.is_compressed {
                true => Compression::S2,
                false => Compression::None,
            },
            allow_rollup_hdrs: true,
            deny_delete: true,
            allow_direct: true,
            ..StreamConfig::default()
        })
    }

    /// The bucket of a stream.
    pub(super) fn from_stream(stream: &StreamConfig) -> BucketConfig {
        let name = stream.name.strip_prefix(STREAM_PREFIX);
        let ttl = Duration::from(stream.max_age);
        BucketConfig {
            name: name.unwrap_or(&stream.name).to_owned(),
            description: stream.description.clone(),
            history: u32::try_from(stream.max_msgs_per_subject).unwrap_or(1),
            ttl: (!ttl.is_zero()).then_some(ttl),
            bytes_max: u64::try_from(stream.max_bytes).ok(),
            value_bytes_max: u32::try_from(stream.max_msg_size).ok(),
            storage: stream.storage,
            replicas: u32::try_from(stream.num_replicas).unwrap_or(1),
            is_compressed: stream.compression != Compression::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_what_its_stream_says() {
        let config = BucketConfig {
            description: "in the hall".into(),
            history: 5,
            ttl: Some(Duration::from_secs(60)),
            bytes_max: Some(1 << 20),
            value_bytes_max: Some(1000),
            storage: Storage::Memory,
            replicas: 3,
            is_compressed: true,
            ..BucketConfig::new("lamps")
        };
        for config in [config, BucketConfig::new("a-b_C")] {
            let stream = config.to_stream().expect("it can be made");
            assert_eq!(BucketConfig::from_stream(&stream), config);
        }
    }

    #[test]
    fn a_limit_too_large_to_be_said_is_still_one() {
        let config = BucketConfig {
            bytes_max: Some(u64::MAX),
            value_bytes_max: Some(u32::MAX),
            ..BucketConfig::new("lamps")
        };
        let stream = config.to_stream().expect("it can be made");
        assert_eq!(
            (stream.max_bytes, stream.max_msg_size),
            (i64::MAX, i32::MAX)
        );
    }

    #[test]
    fn what_no_client_knows_is_refused() {
        for history in [0, 65] {
            let config = BucketConfig {
                history,
                ..BucketConfig::new("lamps")
            };
            assert!(
                matches!(config.to_stream(), Err(Error::Api(_))),
                "{history}"
            );
        }
        let wrong = BucketConfig::new("a.b").to_stream();
        assert!(matches!(wrong, Err(Error::Key(_))));
    }
}
