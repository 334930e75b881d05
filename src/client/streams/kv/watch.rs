//! Keys as they are, as they were, and as they change.

use super::bucket::Bucket;
use super::entry::Entry;
use super::key::{check_filter, check_key};
use crate::Error;
use crate::deadline::Deadline;
use crate::streams::{Ordered, OrderedOptions, Start};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How often to look, while the first values come, whether they all have.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What a [`Watch`] tells before it tells of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WatchStart {
    /// The last change of each key.
    #[default]
    Values,
    /// All changes that are kept.
    History,
    /// Nothing.
    New,
}

/// What a [`Watch`] tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WatchOptions {
    /// What it begins with.
    pub start: WatchStart,
    /// Leave out that keys were deleted.
    pub ignores_deletes: bool,
    /// Leave values out.
    pub keys_only: bool,
}

/// What a [`Watch`] has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// A key was set, or deleted.
    Entry(Entry),
    /// All that was there when it began has been told. What comes from here on
    /// is new. This comes once.
    Current,
}

/// The changes of a bucket's keys, as they are made.
///
/// The iterator waits for each and survives broken connections, as
/// [`Ordered`] does and with the same end.
///
/// ```no_run
/// # use midge_client::streams::kv::{Update, WatchOptions};
/// # let client = midge_client::Client::connect("127.0.0.1", Default::default())?;
/// let lamps = client.streams().bucket("lamps")?;
/// for update in lamps.watch("hall.>", WatchOptions::default())? {
///     match update? {
///         Update::Entry(entry) => println!("{} is {:?}", entry.key, entry.value),
///         Update::Current => println!("that is how they are"),
///     }
/// }
/// # Ok::<(), midge_client::Error>(())
/// ```
#[derive(Debug)]
pub struct Watch {
    ordered: Ordered,
    prefix: String,
    ignores_deletes: bool,
    is_current: bool,
}

impl Bucket {
    /// Watches all keys that match a filter: a key in which tokens may be `*`,
    /// and the last one `>`.
    ///
    /// # Errors
    /// [`Error::Key`]; and what [`Streams::ordered`](crate::streams::Streams::ordered)
    /// has.
    pub fn watch(&self, filter: &str, options: WatchOptions) -> Result<Watch, Error> {
        check_filter(filter)?;
        let ordered = OrderedOptions {
            start: match options.start {
                WatchStart::Values => Start::LastPerSubject,
                WatchStart::History => Start::First,
                WatchStart::New => Start::New,
            },
            filters: vec![self.prefix() + filter],
            headers_only: options.keys_only,
            ..OrderedOptions::default()
        };
        Ok(Watch {
            ordered: self.streams.ordered(&self.stream, ordered)?,
            prefix: self.prefix(),
            ignores_deletes: options.ignores_deletes,
            is_current: false,
        })
    }

    /// The keys that have a value and match a filter, in alphabetical order;
    /// `>` is for all.
    ///
    /// # Errors
    /// As [`watch`](Bucket::watch); [`Error::Timeout`] if the server stops
    /// telling.
    pub fn keys(&self, filter: &str) -> Result<Vec<String>, Error> {
        let mut keys = BTreeSet::new();
        let options = WatchOptions {
            keys_only: true,
            ..WatchOptions::default()
        };
        self.each(filter, options, |entry| {
            // After a break a key may come a second time.
            match entry.is_value() {
                true => keys.insert(entry.key),
                false => keys.remove(&entry.key),
            };
        })?;
        Ok(keys.into_iter().collect())
    }

    /// What was done to a key, as far as it is kept; the oldest first.
    ///
    /// # Errors
    /// As [`keys`](Bucket::keys).
    pub fn history(&self, key: &str) -> Result<Vec<Entry>, Error> {
        check_key(key)?;
        let mut entries = Vec::new();
        let options = WatchOptions {
            start: WatchStart::History,
            ..WatchOptions::default()
        };
        self.each(key, options, |entry| entries.push(entry))?;
        Ok(entries)
    }

    /// All that there is now.
    fn each(
        &self,
        filter: &str,
        options: WatchOptions,
        mut take: impl FnMut(Entry),
    ) -> Result<(), Error> {
        let mut watch = self.watch(filter, options)?;
        loop {
            match watch.next_timeout(self.streams.timeout)? {
                Update::Entry(entry) => take(entry),
                Update::Current => return Ok(()),
            }
        }
    }
}

impl Watch {
    /// What is next; waits for it until the time is over.
    ///
    /// # Errors
    /// As [`Ordered::next_timeout`].
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Update, Error> {
        self.next_before(&Deadline::after(timeout))
    }

    fn next_before(&mut self, deadline: &Deadline) -> Result<Update, Error> {
        loop {
            if !self.is_current && self.ordered.pending() == 0 {
                self.is_current = true;
                return Ok(Update::Current);
            }
            // What was still to come may be removed meanwhile.
            let look = Instant::now().checked_add(LOOK_AGAIN);
            let look = look.filter(|_| !self.is_current);
            match self.ordered.next_before(&deadline.or(look)) {
                Ok(message) => {
                    let key = message.subject().strip_prefix(&self.prefix);
                    let entry = Entry::from_delivered(key.unwrap_or_default(), &message);
                    if entry.is_value() || !self.ignores_deletes {
                        return Ok(Update::Entry(entry));
                    }
                }
                Err(Error::Timeout) => {
                    deadline.left().ok_or(Error::Timeout)?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Iterator for Watch {
    type Item = Result<Update, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ordered.has_ended() {
            return None;
        }
        Some(self.next_before(&Deadline::never()))
    }
}
