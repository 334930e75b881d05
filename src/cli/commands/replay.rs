//! The messages of a stream, in their order and without gaps.

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::output::warn;
use midge_client::streams::{
    Ordered, OrderedOptions, PullOptions, Start, StreamMessage, Timestamp,
};
use midge_client::{Client, Error};
use std::time::{Duration, SystemTime};

/// The options that say where to begin and end.
pub(crate) const OPTIONS: &str =
    "  --stream NAME          those that a stream has, and then those that come; only
                         those that match SUBJECT, if it is given. Begins with
                         the first, unless one of these is there:
  --from-seq SEQ         with this one
  --from-time TIME       with those since then: 2026-11-22T17:15:29Z
  --since DURATION       with those of so long, as 1h
  --last                 with the last one
  --last-per-subject     with the last one of each subject
  --new                  with those that come from now on
  --to-end               end with the last one that is there";
pub(crate) const NAMES: &str = "from-seq from-time since last last-per-subject new to-end";
const BEGINNINGS: [&str; 6] = [
    "from-seq",
    "from-time",
    "since",
    "last",
    "last-per-subject",
    "new",
];

/// Messages that are asked for at a time: even of the longest ones that many
/// servers take a subscription holds so many.
const BATCH: u64 = 60;

/// What a replay has.
pub(crate) enum Next {
    Message(StreamMessage),
    /// Nothing came in time.
    Nothing,
    /// Nothing more will come.
    End,
}

/// A replay under way.
pub(crate) struct Replay {
    messages: Ordered,
    /// Whether it ends with the last message that is there, and has.
    ends: bool,
    has_ended: bool,
}

impl Replay {
    /// Begins; a stream that is not there is told.
    pub(crate) fn open(client: &Client, arguments: &Arguments) -> Result<Replay, Failure> {
        let stream = arguments.text("stream").unwrap_or_default();
        let mut filters: Vec<String> = arguments.texts("subject").map(str::to_owned).collect();
        let start = start(arguments)?;
        if start == Start::LastPerSubject && filters.is_empty() {
            filters.push(">".to_owned());
        }
        let options = OrderedOptions {
            start,
            filters,
            pull: PullOptions {
                batch: BATCH,
                ..PullOptions::default()
            },
            ..OrderedOptions::default()
        };
        let messages = client.streams().ordered(stream, options);
        let messages = messages.map_err(|error| match error {
            Error::NoResponders(_) => Failure::refused("this server keeps no streams"),
            error => Failure::refused(format!("{stream}: {error}")),
        })?;
        warn(&format!("replaying {stream}"));
        let ends = arguments.has("to-end");
        Ok(Replay {
            has_ended: ends && messages.initial() == 0,
            ends,
            messages,
        })
    }

    /// The next message; waits for it that long.
    pub(crate) fn next(&mut self, wait: Duration) -> Result<Next, Failure> {
        if self.has_ended {
            return Ok(Next::End);
        }
        match self.messages.next_timeout(wait) {
            Ok(message) => {
                self.has_ended = self.ends && message.metadata().pending == 0;
                Ok(Next::Message(message))
            }
            Err(Error::Timeout) => Ok(Next::Nothing),
            Err(error) => Err(error.into()),
        }
    }
}

/// Where it is to begin.
fn start(arguments: &Arguments) -> Result<Start, Failure> {
    let given = BEGINNINGS.iter().filter(|name| arguments.has(name));
    if given.count() > 1 {
        return Err(Failure::usage("it can begin only in one way"));
    }
    if let Some(seq) = arguments.number("from-seq") {
        return Ok(Start::Seq(seq));
    }
    if let Some(time) = arguments.text("from-time") {
        return match Timestamp::parse(time) {
            Some(time) => Ok(Start::Time(time)),
            None => Err(Failure::usage(format!(
                "from-time: \"{time}\" is not a time; write 2026-11-22T17:15:29Z"
            ))),
        };
    }
    if let Some(age) = arguments.duration("since") {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let then = now.unwrap_or_default().saturating_sub(age);
        return Ok(Start::Time(Timestamp(then.as_nanos() as i64)));
    }
    Ok(match () {
        () if arguments.has("last") => Start::Last,
        () if arguments.has("last-per-subject") => Start::LastPerSubject,
        () if arguments.has("new") => Start::New,
        () => Start::First,
    })
}
