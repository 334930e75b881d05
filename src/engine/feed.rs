//! Between the router and the streams.
//!
//! What a published message meets besides sessions is done here, after the
//! sessions had it; what streams send goes out through the same router. A
//! message of the streams' own that meets a part of the server again waits
//! until that part is free, so that nothing is entered twice.

use crate::Time;
use crate::account::Sink;
use crate::accounts::ByAccount;
use crate::engine::Engine;
use crate::ids::AccountId;
use crate::outbox::Outbox;
use crate::publish::{Origin, Routed};
use crate::session::Session;
use crate::storage::{Batch, BlockKey};
use crate::streams::{
    Answer, Block, Incoming, Internal, StoredStreams, Streams, StreamsConfig, Tenant, Zones,
    is_addressed,
};
use bytes::Bytes;
use midge_api::{BackupError, Timestamp};
use midge_proto::encode::Decimal;
use midge_proto::{HeaderSize, Publish};

/// Messages of the streams' own that may wait for a part of the server in one
/// go; more are dropped, as nobody was promised them.
const INTERNAL_MAX: usize = 65_536;

/// What a message that is given to the streams costs beside its bytes, in
/// bytes of such messages.
const FED_COST: usize = 64;

/// A message that streams send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    /// The account that it is sent in.
    pub(crate) account: AccountId,
    /// The subject it shows.
    pub(crate) subject: &'a [u8],
    pub(crate) reply: Option<&'a [u8]>,
    /// Header block and body.
    pub(crate) payload: &'a [u8],
    pub(crate) header_len: usize,
}

impl Engine {
    /// Offers streams from now on, with what was stored before.
    pub fn enable_streams(
        &mut self,
        config: StreamsConfig,
        recovery: StoredStreams,
        now: Time,
        wall: Timestamp,
    ) {
        let tenants = ByAccount::new(&self.config.accounts, Tenant::new);
        self.config.info.domain.clone_from(&config.domain);
        let mut streams = Box::new(Streams::new(config, tenants));
        streams.wall = wall;
        streams.enable(self, recovery, now);
        self.config.info.jetstream = true;
        self.streams = Some(streams);
    }

    /// Whether streams are offered.
    pub fn has_streams(&self) -> bool {
        self.streams.is_some()
    }

    /// Streams that are stored and not served, as their accounts are not there
    /// or may have none: how many, by account.
    pub fn unserved_streams(&self) -> impl Iterator<Item = (&str, usize)> {
        let streams = self.streams.iter();
        let unserved = streams.flat_map(|streams| &streams.unserved);
        unserved.map(|(account, count)| (account.as_str(), *count))
    }

    /// How many streams are kept, and how many messages in them.
    pub fn stored_totals(&self) -> (usize, u64) {
        let Some(streams) = &self.streams else {
            return (0, 0);
        };
        let all = streams.streams.values();
        let total = all.map(|stream| stream.log.messages()).sum();
        (streams.streams.len(), total)
    }

    /// Tells what the wall clock says. Messages are stored with it; once a
    /// turn is enough.
    #[inline]
    pub fn set_wall(&mut self, wall: Timestamp) {
        if let Some(streams) = &mut self.streams {
            streams.wall = wall;
        }
    }

    /// Whether so much waits for the disk that those who were told
    /// [`crate::Flow::Hold`] have to go on waiting.
    pub fn is_congested(&self) -> bool {
        let streams = self.streams.as_ref();
        streams.is_some_and(|streams| streams.is_congested())
    }

    /// Whether so much has gathered for the next batch that it need not wait
    /// for more: a commit costs as much as some hundred messages.
    pub fn has_full_batch(&self) -> bool {
        let streams = self.streams.as_ref();
        streams.is_some_and(|streams| streams.has_full_batch())
    }

    /// What is to be written now, if anything. There are two batches on their
    /// way at most, which have to become durable in this order.
    pub fn take_batch(&mut self, now: Time) -> Option<Batch> {
        self.streams.as_mut()?.take_batch(now)
    }

    /// How many batches were taken and are not durable yet.
    pub fn batches_in_flight(&self) -> usize {
        let streams = self.streams.as_ref();
        streams.map_or(0, |streams| streams.batches_in_flight())
    }

    /// The oldest batch that was taken is durable.
    pub fn committed<O: Outbox>(&mut self, now: Time, out: &mut O) {
        self.with_streams(|streams, engine| streams.committed(engine, now, out));
        self.feed_internal(now, out);
        self.clean_up(out);
    }

    /// The batches that were taken could not be written, for want of room if the disk
    /// is full, and nothing can until [`Engine::recovered`].
    pub fn store_failed<O: Outbox>(&mut self, now: Time, is_full: bool, out: &mut O) {
        self.fail_backup(BackupError::Unavailable, out);
        self.with_streams(|streams, engine| {
            streams.is_disk_full |= is_full;
            streams.failed(engine, now, out);
        });
        self.feed_internal(now, out);
        self.clean_up(out);
    }

    /// The store is open again and holds this.
    pub fn recovered<O: Outbox>(&mut self, now: Time, recovery: StoredStreams, out: &mut O) {
        self.with_streams(|streams, engine| streams.recovered(engine, recovery, now, out));
        self.clean_up(out);
    }

    /// Blocks that are to be read; each is to be answered with
    /// [`Engine::loaded`].
    pub fn take_wanted_blocks(&mut self) -> Vec<BlockKey> {
        match &mut self.streams {
            Some(streams) => streams.take_wanted(),
            None => Vec::new(),
        }
    }

    /// Whether a stream has messages in this block, as far as it knows.
    pub fn has_block(&self, key: BlockKey) -> bool {
        let streams = self.streams.as_ref();
        let stream = streams.and_then(|streams| streams.streams.get(&key.stream));
        stream.is_some_and(|stream| stream.log.has_block(key.first))
    }

    /// A block was read. `None` says that it is not there.
    pub fn loaded<O: Outbox>(
        &mut self,
        now: Time,
        key: BlockKey,
        block: Option<Block>,
        out: &mut O,
    ) {
        self.with_streams(|streams, engine| streams.loaded(engine, now, key, block, out));
        self.feed_internal(now, out);
        self.clean_up(out);
    }

    /// A block could not be read, which does not say that it is not there.
    /// Who waits for it asks again later.
    pub fn load_failed<O: Outbox>(&mut self, now: Time, key: BlockKey, out: &mut O) {
        self.with_streams(|streams, engine| streams.load_failed(engine, now, key, out));
        self.clean_up(out);
    }

    /// Whether somebody waits until it is known which time zones there are:
    /// [`Engine::zones_read`].
    pub fn wants_zones(&self) -> bool {
        let streams = self.streams.as_ref();
        streams.is_some_and(|streams| !streams.want_zones.is_empty())
    }

    /// Tells which time zones schedules may name.
    pub fn zones_read<O: Outbox>(&mut self, now: Time, zones: Zones, out: &mut O) {
        self.with_streams(|streams, engine| streams.zones_read(engine, zones, now, out));
        self.feed_internal(now, out);
        self.clean_up(out);
    }

    /// Lets the next batch have everything, also what could wait.
    pub fn hurry(&mut self) {
        if let Some(streams) = &mut self.streams {
            streams.hurry();
        }
    }

    /// Whether nothing is on its way to the disk or has to go there.
    pub fn is_settled(&self) -> bool {
        self.streams
            .as_ref()
            .is_none_or(|streams| streams.is_settled())
    }

    /// Work of the streams that waits: for a block, for a commit, or for its
    /// turn. None is left when nothing happens any more.
    pub fn streams_backlog(&self) -> usize {
        self.streams.as_ref().map_or(0, |streams| streams.backlog())
    }

    /// Runs something with the streams and the rest of the engine side by
    /// side.
    #[inline]
    pub(crate) fn with_streams(&mut self, run: impl FnOnce(&mut Streams, &mut Engine)) {
        if let Some(mut streams) = self.streams.take() {
            run(&mut streams, self);
            self.streams = Some(streams);
        }
    }

    /// Subscriptions have come or gone: push consumers may have to know.
    #[inline]
    pub(crate) fn interest_changed(&mut self) {
        if let Some(streams) = &mut self.streams {
            streams.interest_changed |= streams.push_consumers > 0;
        }
    }

    /// A client is gone: what it was called may still be asked.
    pub(crate) fn client_left(&mut self, session: &Session) {
        if let Some(streams) = &mut self.streams
            && session.traffic.out_msgs > 0
        {
            streams.departed.add(session);
        }
    }

    /// Tells everybody who waits for messages that the server stops.
    pub fn shut_down_streams<O: Outbox>(&mut self, out: &mut O) {
        self.close_desk(out);
        self.with_streams(|streams, engine| streams.shut_down(engine, out));
        self.clean_up(out);
    }

    /// Gives a published message to the parts of the server it has met.
    pub(crate) fn feed<O: Outbox>(
        &mut self,
        now: Time,
        origin: Origin,
        publish: &Publish<'_>,
        routed: &mut Routed,
        out: &mut O,
    ) {
        let message = Incoming {
            subject: publish.subject,
            payload: publish.payload,
            header_len: publish.header.map_or(0, |header| header.len),
        };
        let len = publish.subject.len() + publish.payload.len();
        self.fed += (len + FED_COST) as u64;
        self.with_streams(|streams, engine| {
            // What is met on the way goes to the engine's own list.
            std::mem::swap(&mut streams.hits, &mut engine.hits);
            for place in 0..streams.hits.len() {
                let sink = streams.hits[place];
                let is_taken =
                    streams.take_in(engine, now, sink, origin, message, publish.reply, out);
                routed.receivers += u64::from(is_taken);
            }
            routed.held |= streams.is_holding();
            streams.hits.clear();
        });
        self.hits.clear();
        if !self.internal.is_empty() {
            self.feed_internal(now, out);
        }
    }

    /// Gives messages of the streams' own to the parts of the server they
    /// have met.
    pub(crate) fn feed_internal<O: Outbox>(&mut self, now: Time, out: &mut O) {
        for _ in 0..INTERNAL_MAX {
            let Some(internal) = self.internal.pop_front() else {
                return;
            };
            self.with_streams(|streams, engine| {
                let message = Incoming {
                    subject: &internal.subject,
                    payload: &internal.payload,
                    header_len: internal.header_len,
                };
                let reply = internal.reply.as_deref();
                streams.take_in(
                    engine,
                    now,
                    internal.sink,
                    internal.origin,
                    message,
                    reply,
                    out,
                );
            });
        }
    }

    /// Sends a message of the streams to whoever listens on `address`.
    pub(crate) fn send_out<O: Outbox>(
        &mut self,
        address: &[u8],
        message: &Outgoing<'_>,
        out: &mut O,
    ) -> Routed {
        let header_digits = (message.header_len > 0).then(|| Decimal::new(message.header_len));
        let size = Decimal::new(message.payload.len());
        let publish = Publish {
            subject: message.subject,
            reply: message.reply,
            header: header_digits.as_ref().map(|digits| HeaderSize {
                len: message.header_len,
                digits: digits.as_bytes(),
            }),
            payload: message.payload,
            size_digits: size.as_bytes(),
            tail: None,
        };
        self.publish_own(message.account, address, &publish, out)
    }

    /// Sends an answer that need not wait any longer.
    #[inline]
    pub(crate) fn send_answer<O: Outbox>(&mut self, answer: &Answer<'_>, out: &mut O) {
        let Answer {
            account,
            reply,
            payload,
            header_len,
            ..
        } = *answer;
        let Some(tail) = answer.tail else {
            return self.send_plain(account, reply, payload, header_len, out);
        };
        let publish = Publish {
            subject: reply,
            reply: None,
            header: None,
            payload,
            size_digits: tail.size_digits(),
            tail: Some(tail.bytes()),
        };
        self.publish_own(account, reply, &publish, out);
    }

    /// Sends a message of the server's own to whoever listens on `address`.
    fn publish_own<O: Outbox>(
        &mut self,
        account: AccountId,
        address: &[u8],
        publish: &Publish<'_>,
        out: &mut O,
    ) -> Routed {
        let mut routed = self.route(account, address, publish, None, None, out);
        if !self.hits.is_empty() {
            let origin = Origin {
                account,
                conn: None,
            };
            routed.add(self.reach_own(origin, address, publish, out));
        }
        routed
    }

    /// Puts a message aside for a part of the server; false if that has
    /// nothing to do with it, or there is no room.
    pub(crate) fn keep_internal(
        &mut self,
        sink: Sink,
        origin: Origin,
        publish: &Publish<'_>,
    ) -> bool {
        let is_addressed = sink == Sink::Api && is_addressed(publish.subject);
        if is_addressed || self.internal.len() >= INTERNAL_MAX {
            return false;
        }
        self.internal.push_back(Internal {
            origin,
            sink,
            subject: publish.subject.into(),
            reply: publish.reply.map(Into::into),
            payload: Bytes::copy_from_slice(publish.payload),
            header_len: publish.header.map_or(0, |header| header.len),
        });
        true
    }

    /// Shows a message to the clients that listen on its subject, and to no
    /// part of the server.
    pub(crate) fn show<O: Outbox>(&mut self, message: Outgoing<'_>, out: &mut O) {
        let waiting = self.internal.len();
        self.send_out(message.subject, &message, out);
        self.internal.truncate(waiting);
    }

    /// Sends an answer without headers.
    pub(crate) fn answer<O: Outbox>(
        &mut self,
        account: AccountId,
        reply: &[u8],
        body: &[u8],
        out: &mut O,
    ) {
        self.send_plain(account, reply, body, 0, out);
    }

    /// Sends a message that asks for no answer.
    pub(crate) fn send_plain<O: Outbox>(
        &mut self,
        account: AccountId,
        subject: &[u8],
        payload: &[u8],
        header_len: usize,
        out: &mut O,
    ) {
        let message = Outgoing {
            account,
            subject,
            reply: None,
            payload,
            header_len,
        };
        self.send_out(subject, &message, out);
    }

    /// Sends a message that is a header block alone.
    pub(crate) fn send_status<O: Outbox>(
        &mut self,
        account: AccountId,
        to: &[u8],
        reply: Option<&[u8]>,
        header: &[u8],
        out: &mut O,
    ) -> Routed {
        let message = Outgoing {
            account,
            subject: to,
            reply,
            payload: header,
            header_len: header.len(),
        };
        self.send_out(to, &message, out)
    }
}
