//! The thread for what takes long and has nothing to do with the disk:
//! passwords whose hash has to be computed, signatures, and configurations,
//! certificates and time zones that are read.
//!
//! It is started when there is something for it, so that whoever needs none of
//! this has no thread for it. What it is given is bounded by the engine.

use crate::config::Config;
use crate::connection::Connection;
use crate::event_loop::EventLoop;
use crate::identity;
use crate::reload::Fresh;
use crate::server::Shared;
use midge_engine::{Challenge, CloseReason, ConnId, Proof};
use ring::signature::{ED25519, UnparsedPublicKey};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// The loop's side of the thread.
pub(crate) struct Helper {
    desk: Arc<Desk>,
    is_started: bool,
}

/// Something for the thread to do.
pub(crate) enum Task {
    /// Look at a client's proof.
    Verify(Challenge),
    /// Read the configuration again, and what it names. This is the one gone
    /// by, as it is now.
    Reload(Box<Config>),
    /// Read the time zones that schedules may name.
    #[cfg(feature = "streams")]
    Zones,
}

/// What has come of something that the thread was given.
pub(crate) enum Done {
    /// Another configuration, or what is wrong with it.
    Read(Result<Box<Fresh>, String>),
    /// A client's proof holds, or not.
    Verified(ConnId, bool),
    /// The time zones there are.
    #[cfg(feature = "streams")]
    Zones(midge_engine::Zones),
}

/// Where work is laid down, and what has come of it.
struct Desk {
    piles: Mutex<Piles>,
    more: Condvar,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Piles {
    todo: VecDeque<Task>,
    done: Vec<Done>,
    is_closed: bool,
}

impl Helper {
    pub(crate) fn new(shared: Arc<Shared>) -> Helper {
        Helper {
            desk: Arc::new(Desk {
                piles: Mutex::default(),
                more: Condvar::new(),
                shared,
            }),
            is_started: false,
        }
    }

    /// Gives the thread something to do.
    ///
    /// # Errors
    /// There is no thread and none can be had.
    pub(crate) fn give(&mut self, task: Task) -> std::io::Result<()> {
        if !self.is_started {
            let desk = self.desk.clone();
            let named = thread::Builder::new().name("helper".to_owned());
            named.spawn(move || desk.work())?;
            self.is_started = true;
        }
        let todo = &mut self.desk.piles().todo;
        match task {
            Task::Verify(_) => todo.push_back(task),
            #[cfg(feature = "streams")]
            Task::Zones => todo.push_back(task),
            // An operator does not wait for strangers; who asks twice at once
            // is answered once.
            Task::Reload(_) if matches!(todo.front(), Some(Task::Reload(_))) => {}
            Task::Reload(_) => todo.push_front(task),
        }
        self.desk.more.notify_one();
        Ok(())
    }

    /// How much there is to be done.
    pub(crate) fn backlog(&self) -> usize {
        match self.is_started {
            true => self.desk.piles().todo.len(),
            false => 0,
        }
    }

    /// Nobody waits for word of this client any more.
    pub(crate) fn forget(&self, conn: ConnId) {
        if !self.is_started {
            return;
        }
        let mut piles = self.desk.piles();
        let is_its = |task: &Task| matches!(task, Task::Verify(it) if it.conn == conn);
        let before = piles.todo.len();
        piles.todo.retain(|task| !is_its(task));
        if piles.todo.len() < before {
            piles.done.push(Done::Verified(conn, false));
            self.desk.shared.wake();
        }
    }

    fn take_done(&self) -> Vec<Done> {
        match self.is_started {
            true => std::mem::take(&mut self.desk.piles().done),
            false => Vec::new(),
        }
    }
}

impl Drop for Helper {
    /// The thread ends after what it has in hand; nobody waits for it.
    fn drop(&mut self) {
        self.desk.piles().is_closed = true;
        self.desk.more.notify_one();
    }
}

impl Desk {
    fn piles(&self) -> MutexGuard<'_, Piles> {
        self.piles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(task) = self.next() {
            let done = match task {
                Task::Verify(Challenge { conn, proof }) => Done::Verified(conn, holds(&proof)),
                Task::Reload(config) => Done::Read(Fresh::read(*config)),
                #[cfg(feature = "streams")]
                Task::Zones => Done::Zones(crate::zones::read()),
            };
            self.piles().done.push(done);
            self.shared.wake();
        }
    }

    /// The next thing to do, once there is one; `None` at the end.
    fn next(&self) -> Option<Task> {
        let mut piles = self.piles();
        loop {
            if piles.is_closed {
                return None;
            }
            if let Some(task) = piles.todo.pop_front() {
                return Some(task);
            }
            let waited = self.more.wait(piles);
            piles = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn holds(proof: &Proof) -> bool {
    match proof {
        Proof::Password { shown, hash } => bcrypt::verify(shown, hash).unwrap_or(false),
        Proof::Signature {
            key,
            nonce,
            signature,
        } => {
            let key = UnparsedPublicKey::new(&ED25519, key);
            key.verify(nonce.as_bytes(), signature).is_ok()
        }
    }
}

/// A client that has hung up may still wait for word of its credentials, as it
/// may have said something behind them; but not where others wait behind it.
const HUNG_UP_MAX: usize = 4;

impl EventLoop {
    /// A client has hung up. Work for those who do not wait for it would keep
    /// others out.
    pub(crate) fn hung_up(&mut self, id: ConnId) {
        if self.engine.is_verifying(id) && self.helper.backlog() > HUNG_UP_MAX {
            self.close(id, CloseReason::ClientClosed);
        }
    }

    /// Gives the thread what the engine has for it.
    pub(crate) fn ask_for_help(&mut self) {
        while let Some(challenge) = self.engine.take_challenge() {
            let conn = challenge.conn;
            let has_hung_up = |it: &Connection| it.read_closed;
            let is_gone = self.connections.get(conn).is_none_or(has_hung_up);
            if is_gone && self.helper.backlog() > HUNG_UP_MAX {
                self.close(conn, CloseReason::ClientClosed);
                self.credentials_seen(conn, false);
                continue;
            }
            if let Err(error) = self.helper.give(Task::Verify(challenge)) {
                log::error!("cannot start the thread that looks at credentials: {error}");
                self.credentials_seen(conn, false);
            }
        }
    }

    /// Takes what the thread has done.
    pub(crate) fn take_help(&mut self) {
        for done in self.helper.take_done() {
            match done {
                Done::Verified(conn, is_proven) => self.credentials_seen(conn, is_proven),
                Done::Read(read) => self.reloaded(read),
                #[cfg(feature = "streams")]
                Done::Zones(zones) => self.zones_read(zones),
            }
        }
    }

    fn credentials_seen(&mut self, conn: ConnId, is_proven: bool) {
        let now = self.connections.now;
        self.engine
            .verified(now, conn, is_proven, &mut self.connections);
        self.release(conn);
    }

    /// Has the next client sign something, where that may be asked.
    pub(crate) fn give_nonce(&mut self) {
        if self.engine.wants_nonce()
            && let Some(nonce) = identity::nonce()
        {
            self.engine.set_nonce(nonce);
        }
    }
}
