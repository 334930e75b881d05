//! Streams and consumers as monitoring sees them.
//!
//! Read-only, and never in need of the disk: the time of a message whose
//! block is not in memory is the time of that block's first one, which is
//! kept. What is told of a stream to its clients is in `api_streams`.

use super::api_consumers::info;
use super::api_streams::state_at;
use super::consumer::Consumer;
use super::log::Log;
use super::stream::Stream;
use super::streams::{Health, Streams};
use crate::engine::Engine;
use crate::ids::{AccountId, Seq};
use crate::stats::StreamsTotals;
use midge_api::json::Strictness;
use midge_api::{
    AccountInfo, ConsumerInfo, DLQ_STREAM, ServerLimits, StreamConfig, StreamState, Timestamp,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// Unacknowledged messages of a consumer that are looked at for the oldest
/// delivery. They are looked at in the order of their sequences, in which the
/// oldest comes early.
const UNACKED_LOOKS_MAX: usize = 1000;

/// Subjects of dead letters up to which they are counted by consumer.
const DLQ_SUBJECTS_MAX: usize = 10_000;

/// All streams.
#[derive(Clone, Copy)]
pub struct StreamsView<'a> {
    streams: &'a Streams,
}

/// A stream.
#[derive(Clone, Copy)]
pub struct StreamView<'a> {
    stream: &'a Stream,
    wall: Timestamp,
}

/// A consumer.
#[derive(Clone, Copy)]
pub struct ConsumerView<'a> {
    stream: &'a Stream,
    consumer: &'a Consumer,
    wall: Timestamp,
}

impl Engine {
    /// The streams, if they are offered.
    pub fn streams(&self) -> Option<StreamsView<'_>> {
        let streams = self.streams.as_deref()?;
        Some(StreamsView { streams })
    }

    /// What all streams may use together, and how requests are read, if streams
    /// are offered.
    pub fn stream_rules(&self) -> Option<(&ServerLimits, Strictness)> {
        let config = &self.streams.as_ref()?.config;
        Some((&config.limits, config.strictness))
    }

    /// What all streams come to, if they are offered.
    pub fn streams_totals(&self) -> Option<StreamsTotals> {
        self.streams().map(|streams| streams.totals())
    }
}

impl<'a> StreamsView<'a> {
    fn totals(self) -> StreamsTotals {
        let streams = self.streams;
        let mut totals = StreamsTotals {
            is_available: streams.health == Health::Good,
            streams: streams.streams.len() as u64,
            stored_total: streams.stored_total,
            redriven_total: streams.redrives.total,
            overflow_total: streams.overflow_total,
            overflow_lost_total: streams.overflow_lost_total,
            ..StreamsTotals::default()
        };
        for stream in self.letter_boxes() {
            totals.dead_letters += stream.log.messages();
        }
        for (_, tenant) in streams.tenants.iter() {
            totals.accounts += u64::from(tenant.limits.is_some());
            totals.api_total += tenant.api_total;
            totals.api_errors += tenant.api_errors;
        }
        for stream in streams.streams.values() {
            let reserved = u64::try_from(stream.config.max_bytes).unwrap_or(0);
            totals.consumers += stream.consumers.len() as u64;
            totals.messages += stream.log.messages();
            if stream.is_volatile() {
                totals.memory += stream.log.bytes();
                totals.reserved_memory += reserved;
            } else {
                totals.storage += stream.log.bytes();
                totals.reserved_storage += reserved;
            }
        }
        totals
    }

    /// Those at the places from `offset` to `end` when all are sorted by
    /// account and name.
    pub fn by_name(self, offset: usize, end: usize) -> Vec<StreamView<'a>> {
        let accounts = self.accounts();
        let all = accounts.flat_map(|(account, _)| self.of_account(account));
        all.take(end).skip(offset).collect()
    }

    /// The accounts that may have streams, and what they have.
    pub fn accounts(self) -> impl Iterator<Item = (AccountId, AccountInfo<'static>)> {
        let tenants = self.streams.tenants.iter();
        let allowed = tenants.filter(|(_, tenant)| tenant.limits.is_some());
        allowed.map(move |(id, _)| (id, self.streams.info_of_account(id)))
    }

    /// The streams of an account, by name.
    pub fn of_account(self, account: AccountId) -> impl Iterator<Item = StreamView<'a>> {
        let streams = self.streams.streams_of(account);
        streams.map(move |stream| self.view(stream))
    }

    /// How long the oldest dead letter has been dead, or one a little before
    /// it if its block is on the disk alone.
    pub fn oldest_dead_letter_age(self) -> Option<Duration> {
        let time = self
            .letter_boxes()
            .filter_map(|stream| stream.log.time_in_memory(stream.log.first()))
            .min()?;
        Some(super::consumer::duration(self.streams.wall.since(time)))
    }

    /// The streams that keep dead letters unless others are named.
    fn letter_boxes(self) -> impl Iterator<Item = &'a Stream> {
        let streams = self.streams;
        let accounts = streams.tenants.iter();
        accounts.filter_map(|(account, _)| streams.by_name(account, DLQ_STREAM))
    }

    /// How many dead letters there are of each consumer, by account, stream
    /// and name; `None` if they have so many subjects that counting takes
    /// long.
    pub fn dead_letters_by_consumer(self) -> Option<BTreeMap<[String; 3], u64>> {
        let mut counts = BTreeMap::new();
        let boxes = self.letter_boxes();
        let subjects: usize = boxes.map(|stream| stream.log.subjects.len()).sum();
        if subjects > DLQ_SUBJECTS_MAX {
            return None;
        }
        for stream in self.letter_boxes() {
            for subject in stream.log.subjects.iter() {
                let mut tokens = subject.name.split(|byte| *byte == b'.').skip(1);
                let mut token =
                    || String::from_utf8_lossy(tokens.next().unwrap_or_default()).into_owned();
                let key = [stream.account_name.to_string(), token(), token()];
                *counts.entry(key).or_insert(0) += subject.count;
            }
        }
        Some(counts)
    }

    /// The one of this name in an account.
    pub fn named(self, account: AccountId, name: &str) -> Option<StreamView<'a>> {
        let stream = self.streams.by_name(account, name)?;
        Some(self.view(stream))
    }

    fn view(self, stream: &'a Stream) -> StreamView<'a> {
        StreamView {
            stream,
            wall: self.streams.wall,
        }
    }
}

impl<'a> StreamView<'a> {
    /// Its name.
    pub fn name(self) -> &'a str {
        self.stream.name()
    }

    /// What its account is called.
    pub fn account_name(self) -> &'a str {
        &self.stream.account_name
    }

    /// How it is set up.
    pub fn config(self) -> &'a StreamConfig {
        &self.stream.config
    }

    /// When it was made.
    pub fn created(self) -> Timestamp {
        self.stream.created
    }

    /// What it holds. The time of the first message is that of one a little
    /// before it if its block is on the disk alone.
    pub fn state(self) -> StreamState {
        let log = &self.stream.log;
        let first = log.time_in_memory(log.first()).unwrap_or(Timestamp::UNSET);
        state_at(self.stream, first)
    }

    /// Whether a message is there, as far as is known without the disk.
    pub fn has(self, seq: Seq) -> bool {
        self.stream.log.is_live(seq)
    }

    /// Messages that were found damaged.
    pub fn lost(self) -> u64 {
        self.stream.log.lost
    }

    /// Its consumers, by name.
    pub fn consumers(self) -> impl Iterator<Item = ConsumerView<'a>> {
        let names = self.stream.consumers_by_name.keys();
        names.filter_map(move |name| self.consumer(name))
    }

    /// The consumer of this name.
    pub fn consumer(self, name: &str) -> Option<ConsumerView<'a>> {
        let consumer = self.stream.consumer(name)?;
        Some(ConsumerView {
            stream: self.stream,
            consumer,
            wall: self.wall,
        })
    }
}

impl<'a> ConsumerView<'a> {
    /// What the account of its stream is called.
    pub fn account_name(self) -> &'a str {
        &self.stream.account_name
    }

    /// What its clients are told of it.
    pub fn info(self) -> ConsumerInfo<'a> {
        let is_bound = self.consumer.is_push() && self.consumer.is_bound;
        info(self.stream, self.consumer, self.wall, is_bound)
    }

    /// Deliveries ever, those after the first of a message included.
    pub fn delivered_total(self) -> u64 {
        self.consumer.cursor.delivered.delivery.0
    }

    /// Deliveries since the start that were not the first of their message.
    pub fn redelivered_total(self) -> u64 {
        self.consumer.redelivered_total
    }

    /// Messages acknowledged since the start.
    pub fn acked_total(self) -> u64 {
        self.consumer.acked_total
    }

    /// Messages that have died since the start: delivered as often as they
    /// may be, and terminated.
    pub fn dead_totals(self) -> (u64, u64) {
        let deaths = &self.consumer.deaths;
        (deaths.max_deliver_total, deaths.terminated_total)
    }

    /// Tries to store a dead letter since the start that were refused.
    pub fn burials_refused_total(self) -> u64 {
        self.consumer.deaths.refused_total
    }

    /// Dead letters that were sent back to it since the start.
    pub fn redriven_total(self) -> u64 {
        self.consumer.deaths.redriven_total
    }

    /// Keys that wait for a dead message.
    pub fn parked_keys(self) -> u64 {
        self.consumer.parked_keys() as u64
    }

    /// Messages that it has looked at and that wait for their key or for
    /// their turn.
    pub fn held(self) -> u64 {
        let lookahead = self.consumer.lookahead.as_ref();
        lookahead.map_or(0, |lookahead| lookahead.held() as u64)
    }

    /// Whether its breaker has paused it.
    pub fn is_tripped(self) -> bool {
        self.consumer.is_tripped(self.wall)
    }

    /// How long ago the oldest delivery was that is not acknowledged, if
    /// there is one.
    pub fn oldest_unacked_age(self) -> Option<Duration> {
        let unacked = self.consumer.cursor.unacked.values();
        let times = unacked.map(|unacked| unacked.delivered_at);
        let oldest = times.take(UNACKED_LOOKS_MAX).min()?;
        Some(self.since(oldest))
    }

    /// How long ago the oldest message was stored that was not delivered yet,
    /// or one a little before it if its block is on the disk alone; `None` if
    /// there is none, or if messages would have to be looked at to find it.
    pub fn oldest_undelivered_age(self) -> Option<Duration> {
        let consumer = self.consumer;
        if consumer.pending == 0 || consumer.counting.is_some() {
            return None;
        }
        let next = match consumer.cursor.picks.first() {
            Some(pick) => *pick,
            None if consumer.filter.is_all() => consumer.next_seq(),
            None => return None,
        };
        let time = self.stream.log.time_in_memory(next)?;
        Some(self.since(time))
    }

    fn since(self, time: Timestamp) -> Duration {
        super::consumer::duration(self.wall.since(time))
    }
}

impl Log {
    /// When the first message from `from` on was stored; of a block that is
    /// not in memory, when its first one was.
    fn time_in_memory(&self, from: Seq) -> Option<Timestamp> {
        let start = self.block_from(from);
        let blocks = self.blocks.range(start..).zip(start..);
        let mut live =
            blocks.filter_map(|(meta, index)| Some((meta, index, meta.next_live(from)?)));
        let (meta, index, seq) = live.next()?;
        match self.record(index, seq) {
            Ok(Some(record)) => Some(record.time),
            Ok(None) | Err(_) => Some(meta.first_time),
        }
    }
}
