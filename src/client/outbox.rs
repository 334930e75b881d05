//! What waits to be sent.
//!
//! Whoever publishes appends here and goes on. A thread of its own writes what
//! has gathered, and rests for a moment afterwards, so that many small
//! messages become one write; whoever brings a lot, or waits for an answer,
//! writes by itself. One thread writes at a time. When the connection breaks
//! in the middle of a write, what the socket did not take whole is kept for
//! the next one.

use crate::deadline::Deadline;
use crate::sync::{lock, wait};
use crate::transport::{Broken, Transport};
use crate::{Error, Publish};
use midge_proto::encode::CRLF;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// From so many bytes on, who brings them writes them: it costs as much as
/// waking somebody else.
const WRITE_AT: usize = 32 * 1024;

/// Bytes that may wait while others are being written; who brings more waits.
const WAITING_MAX: usize = 1 << 20;

/// What a frame has beside its subjects, its queue group and its message, at
/// most.
pub(crate) const FRAME_EXTRA: usize = 64;

/// Buffers of this size are kept for the next round; larger ones are rare.
const KEPT_MAX: usize = 256 * 1024;

/// How long the writing thread rests for more to come: too short for anybody
/// to notice, long enough for some hundred messages.
const REST: Duration = Duration::from_micros(50);

#[derive(Debug)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    /// There is something for the writing thread.
    work: Condvar,
    /// Something was written.
    room: Condvar,
    /// How long publishers wait for a socket that takes nothing.
    timeout: Duration,
    /// Bytes that may wait while there is no connection.
    offline_max: usize,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// The other buffer, empty.
    spare: Vec<u8>,
    socket: Option<Arc<Transport>>,
    is_writing: bool,
    /// The writing thread sleeps and has to be woken.
    is_asleep: bool,
    /// Publishers that wait for room.
    is_crowded: bool,
    is_closed: bool,
    published: u64,
    published_bytes: u64,
}

impl Outbox {
    pub(crate) fn new(timeout: Duration, offline_max: usize) -> Self {
        Outbox {
            state: Mutex::default(),
            work: Condvar::new(),
            room: Condvar::new(),
            timeout,
            offline_max,
        }
    }

    /// Appends a frame of about `len` bytes.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Full`] without a connection, and
    /// [`Error::Timeout`] if the server takes nothing for too long.
    pub(crate) fn push(&self, len: usize, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
        let mut state = self.with_room(len)?;
        write(&mut state.waiting);
        self.wake(&mut state);
        Ok(())
    }

    /// Appends a message and counts it.
    ///
    /// # Errors
    /// As [`push`](Outbox::push).
    pub(crate) fn publish(&self, message: &Publish<'_>) -> Result<(), Error> {
        let len = message.len();
        let mut state = self.with_room(len + message.subject.len() + FRAME_EXTRA)?;
        message.write(&mut state.waiting);
        state.published += 1;
        state.published_bytes += len as u64;
        self.wake(&mut state);
        Ok(())
    }

    /// Messages that were published, and their bytes.
    pub(crate) fn published(&self) -> (u64, u64) {
        let state = lock(&self.state);
        (state.published, state.published_bytes)
    }

    /// The state once a frame of this length may be appended.
    fn with_room(&self, len: usize) -> Result<MutexGuard<'_, State>, Error> {
        let state = lock(&self.state);
        let gathered = state.waiting.len() + len;
        if state.is_closed || state.socket.is_none() || gathered > WRITE_AT {
            self.make_room(state, len)
        } else {
            Ok(state)
        }
    }

    /// Something waits: if nobody is about to write it, somebody is woken.
    fn wake(&self, state: &mut State) {
        if state.is_asleep && !state.is_writing {
            state.is_asleep = false;
            self.work.notify_one();
        }
    }

    /// Waits until a frame of this length may be appended.
    #[cold]
    fn make_room<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        len: usize,
    ) -> Result<MutexGuard<'a, State>, Error> {
        let deadline = Deadline::after(self.timeout);
        loop {
            if state.is_closed {
                return Err(Error::Closed);
            }
            if state.socket.is_none() {
                let is_full = state.waiting.len() + len > self.offline_max;
                return if is_full { Err(Error::Full) } else { Ok(state) };
            }
            let gathered = state.waiting.len();
            let fits = gathered == 0 || gathered + len <= WAITING_MAX;
            if !state.is_writing && (gathered >= WRITE_AT / 2 || !fits) {
                state = self.write_once(state);
            } else if fits {
                return Ok(state);
            } else {
                state.is_crowded = true;
                state = wait(&self.room, state, &deadline).ok_or(Error::Timeout)?;
            }
        }
    }

    /// Writes what waits now, on the caller's thread, unless somebody else
    /// writes already and takes it along.
    pub(crate) fn flush(&self) {
        let state = lock(&self.state);
        if !state.is_writing {
            drop(self.write_once(state));
        }
    }

    /// Writes everything, waiting for whoever writes already, unless the
    /// socket takes nothing for too long.
    pub(crate) fn finish(&self) {
        let deadline = Deadline::after(self.timeout);
        let mut state = lock(&self.state);
        while state.socket.is_some() {
            if state.is_writing {
                state.is_crowded = true;
                match wait(&self.room, state, &deadline) {
                    Some(woken) => state = woken,
                    None => return,
                }
            } else if state.waiting.is_empty() {
                return;
            } else {
                state = self.write_once(state);
            }
        }
    }

    /// Appends a frame that belongs to the connection there is: without one it
    /// is not needed, because the next one begins with all that is in force.
    ///
    /// # Errors
    /// [`Error::Closed`], and [`Error::Timeout`] as in [`push`](Outbox::push).
    pub(crate) fn tell(&self, len: usize, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
        match self.push(len, write) {
            Err(Error::Full) => Ok(()),
            other => other,
        }
    }

    /// Appends a question to the server, without ever waiting: who asks waits
    /// for the answer, so there are no more of them than threads. Without a
    /// connection there is nobody to be asked.
    pub(crate) fn ask(&self, line: &[u8]) {
        self.append(line, usize::MAX);
    }

    /// Appends an answer to the server, without ever waiting. If more waits
    /// already than should, the connection has other troubles.
    pub(crate) fn answer(&self, line: &[u8]) {
        self.append(line, WAITING_MAX);
    }

    fn append(&self, line: &[u8], waiting_max: usize) {
        let mut state = lock(&self.state);
        if state.socket.is_some() && state.waiting.len() <= waiting_max {
            state.waiting.extend_from_slice(line);
            self.wake(&mut state);
        }
    }

    /// One round: writes everything that waits at its beginning.
    fn write_once<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let Some(socket) = state.socket.clone().filter(|_| !state.waiting.is_empty()) else {
            return state;
        };
        let spare = mem::take(&mut state.spare);
        let mut bytes = mem::replace(&mut state.waiting, spare);
        state.is_writing = true;
        drop(state);
        let done = socket.write(&bytes);
        let mut state = lock(&self.state);
        state.is_writing = false;
        match done {
            Ok(()) => bytes.clear(),
            Err(Broken { written, .. }) => {
                // Who reads finds out, and says so.
                socket.shut();
                keep_unsent(&mut bytes, written);
                let mut kept = Vec::new();
                keep_messages(&mut kept, &bytes, usize::MAX);
                kept.append(&mut state.waiting);
                state.waiting = kept;
                bytes.clear();
                if state
                    .socket
                    .as_ref()
                    .is_some_and(|now| Arc::ptr_eq(now, &socket))
                {
                    state.socket = None;
                }
            }
        }
        if bytes.capacity() <= KEPT_MAX {
            state.spare = bytes;
        }
        if mem::take(&mut state.is_crowded) {
            self.room.notify_all();
        }
        if !state.waiting.is_empty() && mem::take(&mut state.is_asleep) {
            self.work.notify_one();
        }
        state
    }

    /// The writing thread's turn: sleeps until there is something, or until
    /// the time is over, and writes. False once the outbox is closed.
    pub(crate) fn serve(&self, sleep: Duration) -> bool {
        let mut state = lock(&self.state);
        let deadline = Deadline::after(sleep);
        // Whoever writes wakes us if it leaves something.
        while !state.is_closed
            && (state.waiting.is_empty() || state.socket.is_none() || state.is_writing)
        {
            state.is_asleep = true;
            match wait(&self.work, state, &deadline) {
                Some(woken) => state = woken,
                None => return true,
            }
        }
        while !state.waiting.is_empty() && state.socket.is_some() && !state.is_writing {
            state = self.write_once(state);
            // More is likely to come at once, and nobody has to wake us then.
            let rest = Deadline::after(REST);
            match wait(&self.work, state, &rest) {
                Some(rested) => state = rested,
                None => return true,
            }
        }
        !state.is_closed
    }

    /// From now on everything goes to this connection: first what `prepare`
    /// makes, then the messages that have waited.
    /// What this server would not take is left out: it would end the
    /// connection, and the next one. Returns how many messages that are.
    pub(crate) fn connect(
        &self,
        socket: Arc<Transport>,
        payload_max: usize,
        prepare: impl FnOnce(&mut Vec<u8>),
    ) -> u64 {
        let mut state = lock(&self.state);
        let mut bytes = Vec::new();
        prepare(&mut bytes);
        let left_out = keep_messages(&mut bytes, &state.waiting, payload_max);
        state.waiting = bytes;
        state.socket = Some(socket);
        state.is_asleep = false;
        self.work.notify_one();
        left_out
    }

    /// There is no connection any more.
    pub(crate) fn disconnect(&self) {
        let mut state = lock(&self.state);
        if let Some(socket) = state.socket.take() {
            socket.shut();
        }
        self.room.notify_all();
    }

    /// Nothing is taken any more. What waits is not sent.
    pub(crate) fn close(&self) {
        self.disconnect();
        let mut state = lock(&self.state);
        state.is_closed = true;
        state.waiting = Vec::new();
        self.work.notify_all();
        self.room.notify_all();
    }
}

/// Leaves the frames that were not written whole.
fn keep_unsent(bytes: &mut Vec<u8>, written: usize) {
    let mut start = 0;
    while let Some(frame) = frame(bytes.get(start..).unwrap_or_default()) {
        if start + frame.len > written {
            break;
        }
        start += frame.len;
    }
    bytes.drain(..start);
}

/// Appends the messages among the frames that are no longer than that; how
/// many are. The rest belonged to the connection before: subscriptions are made
/// anew, and pings were for that server.
fn keep_messages(out: &mut Vec<u8>, frames: &[u8], payload_max: usize) -> u64 {
    let mut rest = frames;
    let mut left_out = 0;
    while let Some(frame) = frame(rest) {
        let Some((bytes, after)) = rest.split_at_checked(frame.len) else {
            break;
        };
        match frame.payload {
            Some(payload) if payload > payload_max => left_out += 1,
            Some(_) => out.extend_from_slice(bytes),
            None => {}
        }
        rest = after;
    }
    left_out
}

/// How long a frame is, and the message in it, if it has one.
struct Frame {
    len: usize,
    payload: Option<usize>,
}

/// The first of some frames. They are ours, and so well-formed.
fn frame(frames: &[u8]) -> Option<Frame> {
    let end = memchr::memchr(b'\n', frames)? + 1;
    let line = frames.get(..end)?;
    if !line.starts_with(b"PUB ") && !line.starts_with(b"HPUB ") {
        return Some(Frame {
            len: end,
            payload: None,
        });
    }
    let size = line.trim_ascii_end().rsplit(|&byte| byte == b' ').next()?;
    let size: usize = std::str::from_utf8(size).ok()?.parse().ok()?;
    Some(Frame {
        len: end + size + CRLF.len(),
        payload: Some(size),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAMES: &[u8] = b"SUB a 1\r\nPUB a 4\r\n1\r\n2\r\nPING\r\nHPUB b r 12 14\r\nNATS/1.0\r\n\r\nhi\r\nUNSUB 1\r\n";

    #[test]
    fn only_messages_outlive_a_connection() {
        let mut kept = b"CONNECT\r\n".to_vec();
        assert_eq!(keep_messages(&mut kept, FRAMES, 14), 0);
        let wanted = b"CONNECT\r\nPUB a 4\r\n1\r\n2\r\nHPUB b r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n";
        assert_eq!(kept, wanted);
        let mut short = Vec::new();
        assert_eq!(keep_messages(&mut short, FRAMES, 13), 1);
        assert_eq!(short, b"PUB a 4\r\n1\r\n2\r\n");
    }

    #[test]
    fn what_was_not_sent_whole_is_sent_again() {
        let starts = [0, 9, 24, 30, 62, 71];
        for written in 0..=FRAMES.len() {
            let mut bytes = FRAMES.to_vec();
            keep_unsent(&mut bytes, written);
            let start = starts.iter().rev().find(|&&start| start <= written);
            assert_eq!(FRAMES.len() - bytes.len(), *start.unwrap(), "{written}");
        }
    }

    #[test]
    fn without_a_connection_so_much_waits() {
        let outbox = Outbox::new(Duration::from_secs(1), WRITE_AT + 10);
        let mut taken = 0;
        let error = loop {
            match outbox.push(10, |out| out.extend_from_slice(b"UNSUB 17\r\n")) {
                Ok(()) => taken += 10,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::Full), "{error}");
        assert_eq!(taken, (WRITE_AT + 10) / 10 * 10);
        outbox.close();
        let error = outbox.push(1, |_| {}).expect_err("closed");
        assert!(matches!(error, Error::Closed), "{error}");
    }
}
