//! Who published the last messages of a stream.
//!
//! Messages do not say who sent them. For those who ask why something is
//! there, the connections of the last ones are remembered, as runs: a stream
//! has few publishers at a time.

use crate::ConnId;
use crate::ids::Seq;
use std::collections::VecDeque;

/// Runs that are remembered.
const RUNS_MAX: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Publishers {
    /// From this message on, until the next run; nobody if the server itself.
    runs: VecDeque<(Seq, Option<ConnId>)>,
}

impl Publishers {
    #[inline]
    pub(crate) fn add(&mut self, seq: Seq, conn: Option<ConnId>) {
        if self.runs.back().is_some_and(|(_, last)| *last == conn) {
            return;
        }
        if self.runs.len() == RUNS_MAX {
            self.runs.pop_front();
        }
        self.runs.push_back((seq, conn));
    }

    /// The connection that published a message, if that is known.
    pub(crate) fn of(&self, seq: Seq) -> Option<ConnId> {
        let run = self.runs.iter().rev().find(|(first, _)| *first <= seq);
        run.and_then(|(_, conn)| *conn)
    }
}
