//! Requests that NATS has no subject for: `$MIDGE.API.>`.
//!
//! Looking after what is stored is not the engine's to do. It sees who asks,
//! hands the wish out once, and passes on what came of it; those who ask
//! meanwhile get the same answer. What nobody knows is answered as well:
//! silence would look like a server that is slow.

use crate::Time;
use crate::backup::Backup;
use crate::engine::Engine;
use crate::ids::{AccountId, StreamId};
use crate::outbox::Outbox;
use crate::ways_back::ReplyTo;
use midge_api::BackupError;
use std::collections::VecDeque;

/// The subjects of these requests.
pub(crate) const FILTER: &[u8] = b"$MIDGE.API.>";
const VERIFY: &[u8] = b"$MIDGE.API.VERIFY";

/// Requests that may wait for one answer.
const WAITING_MAX: usize = 64;

const UNKNOWN: &[u8] = b"{\"type\":\"io.midge.api.v1.error\",\"error\":{\"code\":404,\
    \"err_code\":20010,\"description\":\"no such request; there are $MIDGE.API.VERIFY, $MIDGE.API.WHY, \
    $MIDGE.API.BACKUP and its NEXT and STOP, and \
    $MIDGE.API.DLQ.LIST, SHOW, REDRIVE, DROP, UNPARK\"}}";
const NOT_THEIRS: &[u8] = b"{\"type\":\"io.midge.api.v1.verify_response\",\"error\":{\"code\":403,\
    \"description\":\"it is about the streams of all accounts: the system account may ask for it\"}}";
const TOO_MANY: &[u8] = b"{\"type\":\"io.midge.api.v1.verify_response\",\"error\":{\"code\":429,\
    \"description\":\"too many wait for the answer already\"}}";
const STOPPING: &[u8] = b"{\"type\":\"io.midge.api.v1.verify_response\",\"error\":{\"code\":503,\
    \"description\":\"the server stops\"}}";

/// Something that whoever holds the store is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maintenance {
    /// Look at everything that is stored. To be answered with
    /// [`Engine::maintained`].
    Verify,
    /// Begin a backup of this number. To be answered with
    /// [`Engine::backup_begun`].
    BeginBackup(u64),
    /// Read the next bytes of that backup, so many. To be answered with
    /// [`Engine::backup_chunk`].
    NextChunk(u64, usize),
    /// Let go of the backup, if there is one.
    EndBackup,
}

/// Who asked for what. One look at everything and one backup are done at a
/// time.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// Where the answer goes.
    waiting: Vec<ReplyTo>,
    /// A look at everything is asked for or under way.
    is_under_way: bool,
    /// Not handed out yet.
    pub(crate) wishes: VecDeque<Maintenance>,
    pub(crate) backup: Option<Backup>,
}

impl Engine {
    /// What is to be done next, if there is something.
    pub fn take_maintenance(&mut self) -> Option<Maintenance> {
        self.desk.wishes.pop_front()
    }

    /// What was asked for is done; this is the answer for all who wait.
    pub fn maintained<O: Outbox>(&mut self, now: Time, answer: &[u8], out: &mut O) {
        self.desk.is_under_way = false;
        for reply in std::mem::take(&mut self.desk.waiting) {
            self.answer(reply.account, &reply.subject, answer, out);
        }
        self.feed_internal(now, out);
        self.clean_up(out);
    }

    /// What a stream is called.
    pub fn stream_name(&self, id: StreamId) -> Option<&str> {
        let streams = &self.streams.as_ref()?.streams;
        streams.get(&id).map(|stream| stream.config.name.as_str())
    }

    /// A request. Without somewhere to answer to it is done all the same.
    pub(crate) fn ask_for_maintenance<O: Outbox>(
        &mut self,
        subject: &[u8],
        account: AccountId,
        reply: Option<&[u8]>,
        out: &mut O,
    ) {
        let refusal = if subject != VERIFY {
            UNKNOWN
        } else if !self.config.accounts.is_operator(account) {
            NOT_THEIRS
        } else if reply.is_some() && self.desk.waiting.len() >= WAITING_MAX {
            TOO_MANY
        } else {
            let reply = reply.map(|reply| ReplyTo::new(account, reply));
            self.desk.waiting.extend(reply);
            if !std::mem::replace(&mut self.desk.is_under_way, true) {
                self.desk.wishes.push_back(Maintenance::Verify);
            }
            return;
        };
        if let Some(reply) = reply {
            self.answer(account, reply, refusal, out);
        }
    }

    /// Nothing that is under way will be finished.
    pub(crate) fn close_desk<O: Outbox>(&mut self, out: &mut O) {
        self.fail_backup(BackupError::Stopping, out);
        for reply in std::mem::take(&mut self.desk.waiting) {
            self.answer(reply.account, &reply.subject, STOPPING, out);
        }
    }
}
