//! A backup that a client takes while the server runs.
//!
//! Owns who takes it, which chunk is next and how long a backup that nobody
//! asks for is kept: one at a time, because each keeps the store from using
//! again what is given up meanwhile. What is in it is the store's business,
//! which is asked through [`Maintenance`](crate::Maintenance).

use crate::Time;
use crate::engine::{Engine, Timer};
use crate::feed::Outgoing;
use crate::ids::AccountId;
use crate::maintenance::{Desk, Maintenance};
use crate::outbox::Outbox;
use crate::ways_back::ReplyTo;
use bytes::Bytes;
use midge_api::{ApiError, BACKUP_CHUNK, BackupError, BackupKind, BackupRequest, JsonWriter};
use midge_proto::headers::HeaderWriter;
use std::collections::VecDeque;
use std::time::Duration;

/// The longest chunk: two blocks, a millisecond's reading, and little beside
/// what may wait for a client.
const CHUNK_LEN_MAX: usize = 128 * 1024;

/// What the header of a chunk takes of the longest payload.
const HEADER_LEN: usize = 64;

/// Chunks that may be asked for before the first of them has come: each is
/// held once more on its way out.
const WAITING_MAX: usize = 4;

/// How long a backup is kept for one who asks for nothing: longer than a slow
/// client writes a chunk, or takes to come back.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// Numbers that every reader of JSON can hold.
const ID_BITS: u32 = 53;

/// The backup that is under way.
#[derive(Debug, Default)]
pub(crate) struct Backup {
    id: u64,
    chunk_len: usize,
    /// Where the answer goes, until it has begun.
    opener: Option<ReplyTo>,
    /// The chunk that is to be asked of the store next.
    next: u64,
    /// Where those go that were asked for, up to `next`.
    waiting: VecDeque<ReplyTo>,
    /// The chunk before those.
    last: Bytes,
    idle_due: Option<Time>,
}

impl Backup {
    /// The chunk that is to be answered next.
    fn first_waiting(&self) -> u64 {
        self.next - self.waiting.len() as u64
    }

    /// All of it was handed out.
    fn is_over(&self) -> bool {
        self.first_waiting() > 0 && self.last.is_empty()
    }
}

impl Engine {
    /// A request about a backup. Without somewhere to answer to there is
    /// nothing to do.
    pub(crate) fn ask_for_backup<O: Outbox>(
        &mut self,
        kind: BackupKind,
        body: &[u8],
        account: AccountId,
        reply: Option<&[u8]>,
        now: Time,
        out: &mut O,
    ) {
        let Some(reply) = reply else {
            return;
        };
        let to = ReplyTo::new(account, reply);
        let done = BackupRequest::from_json(body).and_then(|asked| match kind {
            _ if !self.config.accounts.is_operator(account) => Err(BackupError::NotTheirs),
            BackupKind::Begin => self.begin_backup(to),
            BackupKind::Next => self.next_chunk(asked, to, now, out),
            BackupKind::Stop => self.stop_backup(asked, &to, out),
        });
        if let Err(error) = done {
            self.answer(account, reply, &kind.refusal(&ApiError::from(error)), out);
        }
    }

    fn begin_backup(&mut self, reply: ReplyTo) -> Result<(), BackupError> {
        if self
            .desk
            .backup
            .as_ref()
            .is_some_and(|backup| !backup.is_over())
        {
            return Err(BackupError::OneUnderWay);
        }
        self.let_go_of_backup();
        let room = self
            .config
            .limits
            .frame
            .max_payload
            .saturating_sub(HEADER_LEN);
        let backup = Backup {
            id: self.rng.next() >> (u64::BITS - ID_BITS),
            chunk_len: room.clamp(1, CHUNK_LEN_MAX),
            opener: Some(reply),
            ..Backup::default()
        };
        self.desk
            .wishes
            .push_back(Maintenance::BeginBackup(backup.id));
        self.desk.backup = Some(backup);
        Ok(())
    }

    /// The store has begun the backup that it was asked for.
    pub fn backup_begun<O: Outbox>(&mut self, now: Time, id: u64, out: &mut O) {
        let Some(opener) = self.backup_of(id).and_then(|backup| backup.opener.take()) else {
            return;
        };
        self.keep_backup(now);
        let body = self.begun_json(id);
        self.answer(opener.account, &opener.subject, &body, out);
        self.feed_internal(now, out);
        self.clean_up(out);
    }

    fn begun_json(&self, id: u64) -> Vec<u8> {
        let stored = self.streams.iter().flat_map(|streams| {
            let streams = streams.streams.values();
            streams.filter(|stream| !stream.is_volatile())
        });
        let (mut streams, mut messages, mut bytes) = (0, 0, 0);
        for stream in stored {
            streams += 1;
            messages += stream.log.messages();
            bytes += stream.log.bytes();
        }
        let backup = self.desk.backup.as_ref();
        let mut json = JsonWriter::new();
        json.open_object();
        json.string_field("type", BackupKind::Begin.response_type());
        json.uint_field("id", id);
        json.string_field("server_name", &self.config.info.server_name);
        json.uint_field("streams", streams);
        json.uint_field("messages", messages);
        json.uint_field("bytes", bytes);
        json.uint_field(
            "chunk_bytes",
            backup.map_or(0, |backup| backup.chunk_len) as u64,
        );
        json.uint_field("idle_ms", IDLE_MAX.as_millis() as u64);
        json.close_object();
        json.into_bytes()
    }

    fn next_chunk<O: Outbox>(
        &mut self,
        asked: BackupRequest,
        reply: ReplyTo,
        now: Time,
        out: &mut O,
    ) -> Result<(), BackupError> {
        let backup = self
            .backup_of(asked.id)
            .filter(|backup| backup.opener.is_none());
        let backup = backup.ok_or(BackupError::NoSuchBackup)?;
        let first = backup.first_waiting();
        if asked.chunk.checked_add(1) == Some(first) {
            // The answer may have been lost.
            let last = backup.last.clone();
            self.send_chunk(&reply, asked.chunk, &last, out);
        } else if (first..backup.next).contains(&asked.chunk) {
            backup.waiting[(asked.chunk - first) as usize] = reply;
        } else if asked.chunk == backup.next && backup.waiting.len() < WAITING_MAX {
            backup.waiting.push_back(reply);
            backup.next += 1;
            let wish = Maintenance::NextChunk(backup.id, backup.chunk_len);
            self.desk.wishes.push_back(wish);
        } else {
            return Err(BackupError::OutOfTurn);
        }
        self.keep_backup(now);
        Ok(())
    }

    /// A chunk was read, or why it was not.
    pub fn backup_chunk<O: Outbox>(
        &mut self,
        now: Time,
        id: u64,
        result: Result<Bytes, String>,
        out: &mut O,
    ) {
        let Some(backup) = self.backup_of(id) else {
            return;
        };
        match result {
            Ok(chunk) => {
                let number = backup.first_waiting();
                if let Some(reply) = backup.waiting.pop_front() {
                    backup.last = chunk.clone();
                    self.keep_backup(now);
                    self.send_chunk(&reply, number, &chunk, out);
                }
            }
            Err(why) => self.fail_backup(BackupError::Failed(why), out),
        }
        self.feed_internal(now, out);
        self.clean_up(out);
    }

    fn send_chunk<O: Outbox>(&mut self, to: &ReplyTo, number: u64, chunk: &[u8], out: &mut O) {
        let mut payload = Vec::with_capacity(HEADER_LEN + chunk.len());
        HeaderWriter::new(&mut payload)
            .number(BACKUP_CHUNK.as_bytes(), number)
            .finish();
        let header_len = payload.len();
        payload.extend_from_slice(chunk);
        let message = Outgoing {
            account: to.account,
            subject: &to.subject,
            reply: None,
            payload: &payload,
            header_len,
        };
        self.send_out(&to.subject, &message, out);
    }

    fn stop_backup<O: Outbox>(
        &mut self,
        asked: BackupRequest,
        to: &ReplyTo,
        out: &mut O,
    ) -> Result<(), BackupError> {
        self.backup_of(asked.id).ok_or(BackupError::NoSuchBackup)?;
        self.fail_backup(BackupError::NoSuchBackup, out);
        let mut json = JsonWriter::new();
        json.open_object();
        json.string_field("type", BackupKind::Stop.response_type());
        json.uint_field("id", asked.id);
        json.close_object();
        self.answer(to.account, &to.subject, &json.into_bytes(), out);
        Ok(())
    }

    /// There is no backup any more; those who wait for it are told why.
    pub(crate) fn fail_backup<O: Outbox>(&mut self, error: BackupError, out: &mut O) {
        let Some(backup) = self.let_go_of_backup() else {
            return;
        };
        let error = ApiError::from(error);
        if let Some(reply) = backup.opener {
            self.answer(
                reply.account,
                &reply.subject,
                &BackupKind::Begin.refusal(&error),
                out,
            );
        }
        for reply in backup.waiting {
            self.answer(
                reply.account,
                &reply.subject,
                &BackupKind::Next.refusal(&error),
                out,
            );
        }
    }

    /// Nobody has asked for a while.
    pub(crate) fn backup_due<O: Outbox>(&mut self, now: Time, out: &mut O) {
        let Some(backup) = &mut self.desk.backup else {
            return;
        };
        backup.idle_due = None;
        // It is the disk that takes so long.
        if backup.waiting.is_empty() {
            self.fail_backup(BackupError::NoSuchBackup, out);
        } else {
            self.keep_backup(now);
        }
    }

    fn backup_of(&mut self, id: u64) -> Option<&mut Backup> {
        self.desk.backup.as_mut().filter(|backup| backup.id == id)
    }

    /// It was asked for: its time begins anew.
    fn keep_backup(&mut self, now: Time) {
        let Engine {
            timers,
            desk: Desk { backup, .. },
            ..
        } = self;
        if let Some(backup) = backup {
            timers.arm(&mut backup.idle_due, now + IDLE_MAX, Timer::Backup);
        }
    }

    fn let_go_of_backup(&mut self) -> Option<Backup> {
        let mut backup = self.desk.backup.take()?;
        self.timers.disarm(&mut backup.idle_due, Timer::Backup);
        self.desk.wishes.push_back(Maintenance::EndBackup);
        Some(backup)
    }
}
