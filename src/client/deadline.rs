//! When waiting ends.

use std::time::{Duration, Instant};

/// The end of a wait; one too far off for the clock never comes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    /// So long from now.
    pub(crate) fn after(span: Duration) -> Self {
        Deadline(Instant::now().checked_add(span))
    }

    /// Waiting goes on for ever.
    pub(crate) fn never() -> Self {
        Deadline(None)
    }

    /// This one, or another one if that is earlier.
    #[cfg(feature = "streams")]
    pub(crate) fn or(self, other: Option<Instant>) -> Self {
        Deadline(match (self.0, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        })
    }

    /// How long is left, unless it has passed.
    pub(crate) fn left(&self) -> Option<Duration> {
        match self.0 {
            None => Some(Duration::MAX),
            Some(end) => {
                Some(end.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
            }
        }
    }
}
