//! How long the turns of the loop take, and whose fault a long one is.
//!
//! While a turn lasts nobody else is served, so its length is what everybody
//! waits for at most, and at times. The clock is read once for each part of a
//! turn and for each connection that is read from: both make system calls,
//! beside which that is little.

use midge_engine::{ConnId, Time};
use std::fmt;
use std::time::Duration;

/// A turn that takes longer is worth a warning. Turns are made to last a
/// millisecond or two under load.
const SLOW: Duration = Duration::from_millis(100);

/// How often there is such a warning at most; the rest is counted.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// Upper bounds of how long turns take, in microseconds.
pub(crate) const TURN_MICROS: [u64; 12] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 250_000, 1_000_000,
];

/// The parts of a turn, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Accept,
    Read,
    Handshakes,
    Store,
    Timers,
    Questions,
    Write,
}

const PARTS: [Part; 7] = [
    Part::Accept,
    Part::Read,
    Part::Handshakes,
    Part::Store,
    Part::Timers,
    Part::Questions,
    Part::Write,
];

impl Part {
    /// As metrics call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Part::Accept => "accept",
            Part::Read => "read",
            Part::Handshakes => "handshakes",
            Part::Store => "store",
            Part::Timers => "timers",
            Part::Questions => "questions",
            Part::Write => "write",
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Part::Accept => "taking in connections",
            Part::Read => "what clients sent",
            Part::Handshakes => "handshakes of TLS",
            Part::Store => "what the store had to tell",
            Part::Timers => "consumers and what was due",
            Part::Questions => "what was asked of the server",
            Part::Write => "writing to clients and the store",
        }
    }
}

/// Watches the turns.
#[derive(Debug, Default)]
pub(crate) struct TurnWatch {
    started: Time,
    /// When the clock was last read.
    last: Time,
    spent: [Duration; PARTS.len()],
    /// The connection that took most of this turn to read from, and how long.
    slowest: Option<(Duration, ConnId)>,
    /// How many turns took how long; one more than there are bounds.
    pub(crate) counts: [u64; TURN_MICROS.len() + 1],
    pub(crate) total: Duration,
    /// Slow turns by the part that took most of them.
    slow: [u64; PARTS.len()],
    /// The last warning.
    warned: Option<Time>,
    /// Slow turns since.
    unsaid: u64,
}

/// A turn that took long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SlowTurn {
    took: Duration,
    part: Part,
    part_took: Duration,
    pub(crate) connection: Option<(Duration, ConnId)>,
    unsaid: u64,
}

impl TurnWatch {
    /// A turn begins.
    #[inline]
    pub(crate) fn begin(&mut self, now: Time) {
        (self.started, self.last) = (now, now);
        self.spent = Default::default();
        self.slowest = None;
    }

    /// A part of it is over.
    #[inline]
    pub(crate) fn end_part(&mut self, part: Part, now: Time) {
        self.spent[part as usize] += now - self.last;
        self.last = now;
    }

    /// A connection has been read from, and what it brought has been done.
    #[inline]
    pub(crate) fn end_read(&mut self, id: ConnId, now: Time) {
        let took = now - self.last;
        if self.slowest.is_none_or(|(most, _)| took > most) {
            self.slowest = Some((took, id));
        }
        self.end_part(Part::Read, now);
    }

    /// The turn is over. Returns what there is to warn of.
    #[inline]
    pub(crate) fn end(&mut self) -> Option<SlowTurn> {
        let took = self.last - self.started;
        let micros = took.as_micros() as u64;
        let bucket = TURN_MICROS.partition_point(|bound| *bound < micros);
        self.counts[bucket] += 1;
        self.total += took;
        if took < SLOW { None } else { self.judge(took) }
    }

    #[cold]
    fn judge(&mut self, took: Duration) -> Option<SlowTurn> {
        let part = PARTS
            .into_iter()
            .max_by_key(|part| self.spent[*part as usize])?;
        self.slow[part as usize] += 1;
        if self
            .warned
            .is_some_and(|warned| self.last < warned + WARN_EVERY)
        {
            self.unsaid += 1;
            return None;
        }
        self.warned = Some(self.last);
        Some(SlowTurn {
            took,
            part,
            part_took: self.spent[part as usize],
            connection: self.slowest.filter(|_| part == Part::Read),
            unsaid: std::mem::take(&mut self.unsaid),
        })
    }

    /// Slow turns since the start, by the part that took most of them.
    pub(crate) fn slow(&self) -> impl Iterator<Item = (Part, u64)> {
        PARTS.into_iter().zip(self.slow)
    }
}

impl fmt::Display for SlowTurn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (took, part) = (self.took.as_millis(), self.part_took.as_millis());
        let what = self.part.in_words();
        write!(
            f,
            "everybody had to wait {took} ms for one turn, {part} ms of it for {what}"
        )?;
        if self.unsaid > 0 {
            write!(f, "; {} such turns since the last warning", self.unsaid)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::since_origin(Duration::from_millis(ms))
    }

    const CONN: ConnId = ConnId {
        index: 7,
        generation: 1,
    };

    #[test]
    fn a_slow_turn_names_who_took_most_of_it() {
        let mut watch = TurnWatch::default();
        watch.begin(at(0));
        watch.end_part(Part::Accept, at(1));
        watch.end_read(
            ConnId {
                index: 1,
                generation: 0,
            },
            at(11),
        );
        watch.end_read(CONN, at(131));
        watch.end_part(Part::Write, at(140));
        let slow = watch.end().expect("it took 140 ms");
        assert_eq!(slow.connection, Some((Duration::from_millis(120), CONN)));
        assert_eq!(
            slow.to_string(),
            "everybody had to wait 140 ms for one turn, 130 ms of it for what clients sent"
        );
        assert_eq!(watch.counts[10], 1);
    }

    #[test]
    fn warnings_are_rare_and_tell_how_many_there_were_not() {
        let mut watch = TurnWatch::default();
        let mut turn = |start: u64| {
            watch.begin(at(start));
            watch.end_part(Part::Timers, at(start + 100));
            watch.end()
        };
        assert_eq!(turn(0).expect("the first").connection, None);
        assert_eq!((turn(200), turn(9_000)), (None, None));
        assert_eq!(turn(10_001).expect("later").unsaid, 2);
        watch.begin(at(20_000));
        watch.end_part(Part::Timers, at(20_099));
        assert_eq!(watch.end(), None);
        let slow: Vec<u64> = watch.slow().map(|(_, count)| count).collect();
        assert_eq!(slow, [0, 0, 0, 0, 4, 0, 0]);
    }
}
