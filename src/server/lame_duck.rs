//! Leaving: at once, or letting clients go a few at a time, so that they do
//! not all fall upon the next server together.

use crate::connection::Codec;
use crate::event_loop::{EventLoop, Timer};
use midge_engine::{CloseReason, ConnId};
use std::time::Duration;

/// Steps of lame duck mode are at least this far apart; with many clients each
/// step lets more than one go.
const STEP_MIN: Duration = Duration::from_millis(10);

/// How long a stopping server goes on writing what it has. nats-server's
/// launchers wait longer than this before they kill.
const STOP_FLUSH: Duration = Duration::from_secs(5);

/// The plan of a departure.
#[derive(Debug)]
pub(crate) struct LameDuck {
    grace: Duration,
    /// What is left of the time to spend.
    remaining: Duration,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Let this many go and come back after the pause.
    LetGo { count: usize, pause: Duration },
    /// Everybody has gone.
    Done,
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

    /// Chooses how many go now of those who are still here.
    fn step(&mut self, here: usize) -> Step {
        if here == 0 {
            return Step::Done;
        }
        let here = u32::try_from(here).unwrap_or(u32::MAX);
        let pause = (self.remaining / here).max(STEP_MIN);
        let steps_left = (self.remaining.as_nanos() / pause.as_nanos()).max(1);
        self.remaining = self.remaining.saturating_sub(pause);
        Step::LetGo {
            count: u128::from(here).div_ceil(steps_left) as usize,
            pause,
        }
    }
}

impl EventLoop {
    pub(crate) fn enter_lame_duck(&mut self) {
        if self.lame_duck_due.is_some() || self.stop_due.is_some() || self.clients.is_none() {
            return;
        }
        log::info!("Entering lame duck mode, stop accepting new clients");
        self.clients = None;
        self.tell_of_server("LAMEDUCK");
        self.tell_status("lame duck mode: clients are let go");
        self.engine.lame_duck(&mut self.connections);
        self.arm_lame_duck(self.lame_duck.grace());
    }

    fn arm_lame_duck(&mut self, pause: Duration) {
        let due = self.connections.now + pause;
        self.timers
            .arm(&mut self.lame_duck_due, due, Timer::LameDuck);
    }

    /// One step of lame duck mode.
    pub(crate) fn let_some_go(&mut self) {
        match self.lame_duck.step(self.engine.session_count()) {
            Step::LetGo { count, pause } => {
                let sessions = self.engine.sessions().take(count);
                let leaving: Vec<ConnId> = sessions.map(|session| session.conn()).collect();
                for id in leaving {
                    self.close(id, CloseReason::ServerShutdown);
                }
                self.arm_lame_duck(pause);
            }
            Step::Done => self.stop(),
        }
    }

    /// Takes no more connections, writes what there is and then ends. Asked a
    /// second time it ends at once.
    pub(crate) fn stop(&mut self) {
        if self.stop_due.is_some() {
            self.is_finished = true;
            return;
        }
        log::info!("Initiating Shutdown...");
        self.tell_stopping();
        self.clients = None;
        self.http = None;
        self.timers.disarm(&mut self.lame_duck_due, Timer::LameDuck);
        self.settle_store();
        self.tell_of_server("SHUTDOWN");
        for id in self.connections.ids() {
            self.close(id, CloseReason::ServerShutdown);
            // Pages can be asked for again; those on their way out may finish.
            if let Some(connection) = self.connections.get_mut(id)
                && (matches!(connection.codec, Codec::Http(_))
                    || connection.transport.layer.is_held())
            {
                self.connections.kill(id);
            }
        }
        let due = self.connections.now + STOP_FLUSH;
        self.timers.arm(&mut self.stop_due, due, Timer::StopFlush);
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
            let mut here = count;
            let mut spent = Duration::ZERO;
            while let Step::LetGo { count, pause } = duck.step(here) {
                here = here.saturating_sub(count);
                spent += pause;
            }
            assert!(
                spent <= Duration::from_millis(millis + 20),
                "{count}: {spent:?}"
            );
        }
    }
}
