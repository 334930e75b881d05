//! What the engine says to connections, and the trace of a run.

use midge_engine::{CloseReason, ConnId, Delivery, Outbox, Session};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::LazyLock;

/// Steps that are shown when a run fails, if nothing is said.
const STEPS: u64 = 300;

static STEPS_SHOWN: LazyLock<usize> =
    LazyLock::new(|| super::number("SIM_STEPS").unwrap_or(STEPS) as usize);

thread_local! {
    static TRACE: RefCell<VecDeque<String>> = const { RefCell::new(VecDeque::new()) };
}

pub(super) fn note(line: String) {
    TRACE.with_borrow_mut(|trace| {
        if trace.len() >= *STEPS_SHOWN {
            trace.pop_front();
        }
        trace.push_back(line);
    });
}

/// Takes the trace of this thread's run.
pub(super) fn take_trace() -> Vec<String> {
    TRACE.with_borrow_mut(|trace| trace.drain(..).collect())
}

/// Takes note of a step, for the trace of a run that fails.
#[macro_export]
macro_rules! trace {
    ($($part:tt)*) => { $crate::simulation::told::note(format!($($part)*)) };
}

/// A message that a connection was sent.
#[derive(Debug, Clone)]
pub(super) struct Word {
    pub(super) conn: usize,
    pub(super) subject: String,
    pub(super) sid: String,
    pub(super) reply: String,
    pub(super) header: String,
    pub(super) body: String,
}

impl Word {
    /// The number of a status, if it is one.
    pub(super) fn status(&self) -> Option<u16> {
        let rest = self.header.strip_prefix("NATS/1.0 ")?;
        rest.get(..3)?.parse().ok()
    }
}

/// Keeps messages in the order in which they were sent.
#[derive(Default)]
pub(super) struct Told {
    words: Vec<Word>,
}

impl Told {
    pub(super) fn take_words(&mut self) -> Vec<Word> {
        std::mem::take(&mut self.words)
    }
}

impl Outbox for Told {
    fn line(&mut self, conn: ConnId, line: &[u8]) -> usize {
        let text = String::from_utf8_lossy(line);
        assert!(!text.starts_with("-ERR"), "{text}");
        // That nobody listens is told by a message that comes as a line.
        if let Some(rest) = text.strip_prefix("HMSG ") {
            let mut parts = rest.split([' ', '\r']);
            self.words.push(Word {
                conn: conn.index as usize,
                subject: parts.next().unwrap_or_default().to_owned(),
                sid: parts.next().unwrap_or_default().to_owned(),
                reply: String::new(),
                header: "NATS/1.0 503\r\n\r\n".to_owned(),
                body: String::new(),
            });
        }
        0
    }

    fn deliver(&mut self, conn: ConnId, delivery: &Delivery<'_>) -> usize {
        let tail = delivery.tail.bytes();
        let end = tail.windows(2).position(|two| two == b"\r\n").unwrap();
        let line = std::str::from_utf8(&tail[..end]).unwrap();
        let mut parts: Vec<&str> = line.split(' ').filter(|part| !part.is_empty()).collect();
        let len: usize = parts.pop().unwrap().parse().unwrap();
        let header_len = if delivery.has_header {
            parts.pop().unwrap().parse().unwrap()
        } else {
            0
        };
        let payload = &tail[end + 2..];
        assert_eq!(payload.len(), len + 2, "the sizes fit");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        self.words.push(Word {
            conn: conn.index as usize,
            subject: text(delivery.subject),
            sid: text(delivery.sid),
            reply: parts.pop().unwrap_or_default().to_owned(),
            header: text(&payload[..header_len]),
            body: text(&payload[header_len..len]),
        });
        0
    }

    fn relieve_all(&mut self) {}

    fn relieve(&mut self, _: ConnId) -> usize {
        0
    }

    fn closed(&mut self, _: ConnId, _: &Session, reason: CloseReason) {
        assert_eq!(reason, CloseReason::ClientClosed);
    }
}
