//! Letting clients go a few at a time, so that they do not all fall upon the
//! next server at once.

use midge_engine::ConnId;
use std::time::Duration;

/// Steps are at least this far apart; with many clients each step lets more
/// than one go.
const STEP_MIN: Duration = Duration::from_millis(10);

/// The plan of a departure.
#[derive(Debug)]
pub(crate) struct LameDuck {
    grace: Duration,
    /// What is left of the time to spend.
    remaining: Duration,
}

/// What to do now.
#[derive(Debug)]
pub(crate) struct Step {
    /// The clients to let go.
    pub(crate) leaving: Vec<ConnId>,
    /// When to come back; `None` when everybody has gone.
    pub(crate) pause: Option<Duration>,
}

impl LameDuck {
    /// Waits for `grace`, and is through `duration` after the start.
    pub(crate) fn new(grace: Duration, duration: Duration) -> Self {
        LameDuck {
            grace,
            remaining: duration.saturating_sub(grace),
        }
    }

    /// How long to wait before the first step.
    pub(crate) fn grace(&self) -> Duration {
        self.grace
    }

    /// Chooses who goes now of those who are still here.
    pub(crate) fn step(&mut self, sessions: impl Iterator<Item = ConnId>) -> Step {
        let mut leaving: Vec<ConnId> = sessions.collect();
        if leaving.is_empty() {
            return Step {
                leaving,
                pause: None,
            };
        }
        let count = leaving.len() as u32;
        let pause = (self.remaining / count).max(STEP_MIN);
        let steps_left = (self.remaining.as_nanos() / pause.as_nanos()).max(1);
        let batch = u128::from(count).div_ceil(steps_left) as usize;
        leaving.truncate(batch);
        self.remaining = self.remaining.saturating_sub(pause);
        Step {
            leaving,
            pause: Some(pause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_gone_when_the_time_is_up() {
        for (count, millis) in [(0, 1000), (1, 1000), (10, 1000), (5000, 1000), (7, 0)] {
            let mut duck =
                LameDuck::new(Duration::from_secs(1), Duration::from_millis(1000 + millis));
            let mut here: Vec<ConnId> = (0..count)
                .map(|index| ConnId {
                    index,
                    generation: 0,
                })
                .collect();
            let mut spent = Duration::ZERO;
            loop {
                let step = duck.step(here.iter().copied());
                here.retain(|id| !step.leaving.contains(id));
                match step.pause {
                    Some(pause) => spent += pause,
                    None => break,
                }
            }
            assert!(here.is_empty());
            assert!(
                spent <= Duration::from_millis(millis + 20),
                "{count}: {spent:?}"
            );
        }
    }
}
