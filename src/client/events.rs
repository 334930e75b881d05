//! What happens to a connection, for those who want to know.

use crate::Error;
use crate::deadline::Deadline;
use crate::sync::{lock, wait};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Events that wait for somebody to look at them. Who never does loses the
/// oldest ones.
const EVENTS_MAX: usize = 64;

/// Something that has happened to the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// There is a connection, to this server: `host:port`.
    Connected(String),
    /// The connection broke, and why. It is made again, unless that was
    /// turned off.
    Disconnected(String),
    /// An attempt to connect failed, and why. There will be another one.
    AttemptFailed(String),
    /// The server said `-ERR` with these words and went on, for example about
    /// permissions.
    ServerError(String),
    /// Messages for this subject are dropped, because nobody takes them from
    /// their subscription in time. Told once, until somebody does.
    Slow(String),
    /// So many messages that waited for a connection were longer than this
    /// server takes, and are gone.
    TooLong(u64),
    /// The server is about to leave.
    LameDuck,
    /// The client was closed, and for what reason, if not by its owner.
    Closed(Option<String>),
}

/// The events of a client, as they come; see [`Client::events`](crate::Client::events).
#[derive(Debug)]
pub struct Events(pub(crate) Arc<EventQueue>);

impl Events {
    /// The next event.
    ///
    /// # Errors
    /// [`Error::Timeout`] if none came in time; [`Error::Closed`] after
    /// [`Event::Closed`].
    pub fn next_timeout(&self, timeout: Duration) -> Result<Event, Error> {
        self.0.take(&Deadline::after(timeout))
    }
}

impl Iterator for Events {
    type Item = Event;

    /// Waits for the next event; ends after [`Event::Closed`].
    fn next(&mut self) -> Option<Event> {
        self.0.take(&Deadline::never()).ok()
    }
}

#[derive(Debug, Default)]
pub(crate) struct EventQueue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event>,
    is_closed: bool,
}

impl EventQueue {
    pub(crate) fn push(&self, event: Event) {
        let mut state = lock(&self.state);
        if state.is_closed {
            return;
        }
        state.is_closed = matches!(event, Event::Closed(_));
        if state.events.len() >= EVENTS_MAX {
            state.events.pop_front();
        }
        state.events.push_back(event);
        self.changed.notify_all();
    }

    fn take(&self, deadline: &Deadline) -> Result<Event, Error> {
        let mut state = lock(&self.state);
        loop {
            if let Some(event) = state.events.pop_front() {
                return Ok(event);
            }
            if state.is_closed {
                return Err(Error::Closed);
            }
            state = wait(&self.changed, state, deadline).ok_or(Error::Timeout)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_lost_and_the_last_is_last() {
        let events = Events(Arc::default());
        let short = Duration::from_millis(1);
        assert!(matches!(events.next_timeout(short), Err(Error::Timeout)));
        for number in 0..=EVENTS_MAX {
            events.0.push(Event::Slow(number.to_string()));
        }
        assert_eq!(events.next_timeout(short).unwrap(), Event::Slow("1".into()));
        events.0.push(Event::Closed(None));
        events.0.push(Event::LameDuck);
        assert_eq!(events.last(), Some(Event::Closed(None)));
    }
}
