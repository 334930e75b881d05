//! Many subscriptions on one connection: their subjects, and making them.

use std::io;
use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

use crate::connection::{Connection, PATIENCE};
use crate::wire::Dialect;

/// How long a server may take for all the subscriptions. A NATS server says
/// nothing until it is through, and on a busy machine 100 000 of them take the
/// slowest one a second.
const JOINING: Duration = Duration::from_secs(120);

/// The subject of the `n`th subscription. Two and three tokens, some shared
/// by many subjects and some by none, as fleets of devices have them.
pub(crate) fn subject(n: usize) -> String {
    if n.is_multiple_of(2) {
        format!("orders.{n}")
    } else {
        format!("site{}.sensor{}.temp", n / 1000, n % 1000)
    }
}

/// The id under which the `n`th subscription is made.
pub(crate) fn sid(n: usize) -> usize {
    n + 1
}

/// `count` of the numbers below `crowd`, at random, the same in every run:
/// every server gets the same ones.
pub(crate) fn at_random(crowd: usize, count: usize) -> Vec<usize> {
    // xorshift64; any odd-looking seed does.
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut draw = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % crowd as u64) as usize
    };
    (0..count).map(|_| draw()).collect()
}

/// The frames which make `count` subscriptions.
pub(crate) fn frames(dialect: Dialect, count: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for n in 0..count {
        dialect.subscribe(&mut out, &subject(n), "", sid(n));
    }
    out
}

/// Sends the frames and returns once the server has acted on all of them.
/// Reads meanwhile, since redis confirms each subscription and would hold
/// those bytes in memory.
pub(crate) fn join(connection: &Connection, dialect: Dialect, frames: &[u8]) -> io::Result<()> {
    let check = dialect
        .subscriber_check()
        .ok_or_else(|| io::Error::other("nothing to subscribe to"))?;
    connection.be_patient(JOINING)?;
    thread::scope(|scope| {
        let answered = scope.spawn(|| connection.await_answer(check.answer));
        let sent = connection
            .send(frames)
            .and_then(|()| connection.send(check.request));
        if sent.is_err() {
            connection.shut();
        }
        let answered = answered.join().unwrap_or_else(|panic| resume_unwind(panic));
        // If the server closed, its last words say more than our broken pipe.
        answered.and(sent)
    })?;
    connection.be_patient(PATIENCE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn subjects_are_distinct() {
        let subjects: HashSet<String> = (0..20_000).map(subject).collect();
        assert_eq!(subjects.len(), 20_000);
    }

    #[test]
    fn random_numbers_are_in_range_and_the_same_again() {
        let drawn = at_random(1000, 5000);
        assert!(drawn.iter().all(|n| *n < 1000));
        assert!(drawn.iter().collect::<HashSet<_>>().len() > 900);
        assert_eq!(drawn, at_random(1000, 5000));
    }
}
