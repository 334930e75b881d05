//! Buckets of keys and their values.
//!
//! A bucket is a stream of a certain form: each key is a subject, and its last
//! message is its value. Owns what that form is, as all NATS clients know it
//! (their ADR-8): names, headers, markers of what was deleted. What a bucket
//! does is what its stream does; nothing is kept here.
//!
//! ```no_run
//! use midge_client::streams::kv::BucketConfig;
//!
//! let client = midge_client::Client::connect("127.0.0.1", Default::default())?;
//! let lamps = client.streams().create_bucket(&BucketConfig {
//!     history: 5,
//!     ..BucketConfig::new("lamps")
//! })?;
//! let revision = lamps.put("hall.colour", "blue")?;
//! if let Some(entry) = lamps.get("hall.colour")? {
//!     assert_eq!(entry.revision, revision);
//! }
//! lamps.update("hall.colour", "red", revision)?;
//! # Ok::<(), midge_client::Error>(())
//! ```

mod bucket;
mod bucket_config;
mod entry;
mod key;
mod watch;

pub use bucket::{Bucket, Status};
pub use bucket_config::BucketConfig;
pub use entry::{Entry, Operation};
pub use key::{check_bucket, check_key};
pub use watch::{Update, Watch, WatchOptions, WatchStart};
