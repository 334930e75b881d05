//! What the rows of streams and consumers hold.
//!
//! Numbers are those of [`varint`]; the first byte is the format, 1.
//!
//! | row | |
//! |---|---|
//! | stream | created (signed), last sequence, time of the last message (signed), next consumer id, messages lost to damage, length and bytes of the configuration (JSON), sequences to be removed (count, then each less the one before), sequence from which on messages may be held for consumers that are gone, or 0, removals under way (count; of each where it is, where it ends, how many are left, 1 if it is a purge, and 2 more if what follows is a subject and no filter, filters: count, length and bytes of each), length and bytes of the account's name, sequence before which all messages ask never to grow too old, what it copies (count; of each the number of the stream that is copied and how far) |
//! | consumer | created (signed), length and bytes of the configuration (JSON), 1 if its name was given to it |
//! | cursor | delivered (deliveries, sequence), ack floor (deliveries, sequence), sequences to start with (count, each less the one before), unacknowledged (count, then sequence less the one before, number of its first delivery, time of its last (signed)), redeliveries (count, then sequence less the one before, count), sequences settled ahead (count, each less the one before), how far it has looked, redrives (count, then sequence less the one before, count), parked keys (count, then sequence less the one before, key), attempts (count of messages; of each its sequence, their count, and of each attempt its number, time (signed), how long (signed), how it ended, client's number, length and bytes of the client's name and of the reason), until when its breaker has paused it (signed; 0 if it has not) |
//!
//! The row of a stream that is being restored is a single 2.
//!
//! A stream's row ends before the account if that is `$G` and nothing comes
//! behind it, and before what is zero, as do those of earlier versions. A cursor may end before the part about how far it has looked: earlier
//! versions did not write it.

use super::attempts::Attempts;
use super::consumer::Consumer;
use super::filter::Filter;
use super::position::{Cursor, Position};
use super::removal::Removal;
use super::stream::Stream;
use super::unacked::{Unacked, UnackedMap};
use super::varint::{self, Reader};
use crate::accounts::GLOBAL;
use crate::ids::{DeliverySeq, Seq, StreamId};
use crate::storage::{RowKey, Write};
use midge_api::json::Strictness;
use midge_api::metadata::Notes;
use midge_api::{ConsumerConfig, JsonWriter, StreamConfig, Timestamp};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

const FORMAT: u8 = 1;

/// The row of a stream that is being restored, of which there is nothing to be
/// known: what lies in its blocks is nobody's. To earlier versions the row is
/// a damaged one, so that they do not serve it either.
pub(crate) const HALF_STREAM: &[u8] = &[2];

impl Stream {
    /// Appends what has changed in it to `writes`.
    pub(super) fn take_writes(&mut self, writes: &mut Vec<Write>) {
        self.is_dirty = false;
        self.log.take_writes(writes);
        let is_volatile = self.is_volatile();
        for consumer in self.consumers.values_mut() {
            if std::mem::take(&mut consumer.is_dirty)
                && !is_volatile
                && !consumer.config.mem_storage
            {
                let key = RowKey::Cursor(self.id, consumer.id);
                writes.push(Write::PutRow(key, write_cursor(consumer)));
            }
        }
        if std::mem::take(&mut self.row_dirty) && !is_volatile {
            let row = write_stream(self);
            writes.push(Write::PutRow(RowKey::Stream(self.id), row));
        }
    }
}

/// A stream's row, read.
pub(crate) struct StreamRow {
    pub(crate) created: Timestamp,
    pub(crate) last: Seq,
    pub(crate) last_time: Timestamp,
    pub(crate) next_consumer: u32,
    pub(crate) lost: u64,
    pub(crate) config: StreamConfig,
    pub(crate) released: BTreeSet<Seq>,
    pub(crate) sweep: Option<Seq>,
    pub(crate) removals: VecDeque<Removal>,
    pub(crate) account: Arc<str>,
    pub(crate) aged_to: Seq,
    pub(crate) copied: Vec<(StreamId, Seq)>,
}

pub(crate) fn write_stream(stream: &Stream) -> Vec<u8> {
    let mut row = Vec::with_capacity(stream.config_json.len() + 64);
    row.push(FORMAT);
    varint::put_signed(&mut row, stream.created.0);
    varint::put(&mut row, stream.log.last().0);
    varint::put_signed(&mut row, stream.log.last_time().0);
    varint::put(&mut row, u64::from(stream.next_consumer));
    varint::put(&mut row, stream.log.lost);
    varint::put_bytes(&mut row, &stream.config_json);
    put_seqs(&mut row, stream.released.len(), stream.released.iter());
    varint::put(&mut row, stream.sweep.map_or(0, |at| at.0));
    varint::put(&mut row, stream.removals.len() as u64);
    for removal in &stream.removals {
        let is_exact = removal.filter.literals().is_some();
        let kind = u64::from(removal.is_purge) | u64::from(is_exact) << 1;
        for number in [removal.at.0, removal.to.0, removal.left, kind] {
            varint::put(&mut row, number);
        }
        let filters = removal.filter.filters();
        varint::put(&mut row, filters.len() as u64);
        for filter in filters {
            varint::put_bytes(&mut row, filter);
        }
    }
    let copies = stream.copies.len() as u64;
    let (has_aged, has_copies) = (stream.aged_to.0 > 0, copies > 0);
    if *stream.account_name != *GLOBAL || has_aged || has_copies {
        varint::put_bytes(&mut row, stream.account_name.as_bytes());
    }
    if has_aged || has_copies {
        varint::put(&mut row, stream.aged_to.0);
    }
    if has_copies {
        varint::put(&mut row, copies);
    }
    for copying in &stream.copies {
        varint::put(&mut row, u64::from(copying.origin.0));
        varint::put(&mut row, copying.at.0);
    }
    row
}

pub(crate) fn read_stream(row: &[u8]) -> Option<StreamRow> {
    let mut reader = open(row)?;
    Some(StreamRow {
        created: Timestamp(reader.signed()?),
        last: Seq(reader.number()?),
        last_time: Timestamp(reader.signed()?),
        next_consumer: reader.small()?,
        lost: reader.number()?,
        config: StreamConfig::from_json(reader.bytes()?, Strictness::Strict)
            .ok()?
            .0,
        released: read_seqs(&mut reader)?,
        sweep: Some(Seq(reader.number()?)).filter(|at| at.0 > 0),
        removals: read_removals(&mut reader)?,
        account: read_account(&mut reader)?,
        aged_to: Seq(read_last(&mut reader)?),
        copied: read_copied(&mut reader)?,
    })
}

/// The account of a stream.
fn read_account(reader: &mut Reader<'_>) -> Option<Arc<str>> {
    if reader.is_empty() {
        return Some(GLOBAL.into());
    }
    std::str::from_utf8(reader.bytes()?).ok().map(Into::into)
}

/// A number that rows end before if it is zero.
fn read_last(reader: &mut Reader<'_>) -> Option<u64> {
    if reader.is_empty() {
        return Some(0);
    }
    reader.number()
}

/// How far it has come in what it copies.
fn read_copied(reader: &mut Reader<'_>) -> Option<Vec<(StreamId, Seq)>> {
    let mut copied = Vec::new();
    for _ in 0..read_last(reader)? {
        copied.push((StreamId(reader.small()?), Seq(reader.number()?)));
    }
    Some(copied)
}

fn read_removals(reader: &mut Reader<'_>) -> Option<VecDeque<Removal>> {
    let mut removals = VecDeque::new();
    for _ in 0..reader.number()? {
        let (at, to, left) = (reader.number()?, reader.number()?, reader.number()?);
        let kind = reader.number()?;
        let mut filters = Vec::new();
        for _ in 0..reader.number()? {
            filters.push(reader.bytes()?);
        }
        removals.push_back(Removal {
            at: Seq(at),
            to: Seq(to),
            filter: match (kind & 2, &filters[..]) {
                (2, [subject]) => Filter::exactly(subject),
                _ => Filter::new(filters),
            },
            left,
            removed: 0,
            is_purge: kind & 1 != 0,
        });
    }
    Some(removals)
}

pub(crate) fn write_consumer(consumer: &Consumer) -> Vec<u8> {
    let mut row = vec![FORMAT];
    varint::put_signed(&mut row, consumer.created.0);
    let mut json = JsonWriter::new();
    consumer.config.write_json(Notes::None, &mut json);
    varint::put_bytes(&mut row, &json.into_bytes());
    varint::put(&mut row, u64::from(consumer.is_unnamed));
    row
}

/// What a consumer is made of again.
pub(crate) struct ConsumerRow {
    pub(crate) created: Timestamp,
    pub(crate) config: ConsumerConfig,
    pub(crate) is_unnamed: bool,
}

pub(crate) fn read_consumer(row: &[u8]) -> Option<ConsumerRow> {
    let mut reader = open(row)?;
    Some(ConsumerRow {
        created: Timestamp(reader.signed()?),
        config: ConsumerConfig::from_json(reader.bytes()?).ok()?,
        is_unnamed: reader.number()? != 0,
    })
}

pub(crate) fn write_cursor(consumer: &Consumer) -> Vec<u8> {
    let cursor = &consumer.cursor;
    let mut row = vec![FORMAT];
    for position in [cursor.delivered, cursor.ack_floor] {
        varint::put(&mut row, position.delivery.0);
        varint::put(&mut row, position.seq.0);
    }
    put_seqs(&mut row, cursor.picks.len(), cursor.picks.iter());
    varint::put(&mut row, cursor.unacked.len() as u64);
    let (mut before, mut time) = (Seq(0), Timestamp(0));
    for (seq, unacked) in cursor.unacked.iter() {
        varint::put(&mut row, seq.0 - before.0);
        varint::put(&mut row, unacked.delivery.0);
        varint::put_signed(&mut row, unacked.delivered_at.0.wrapping_sub(time.0));
        (before, time) = (seq, unacked.delivered_at);
    }
    varint::put(&mut row, cursor.redeliveries.len() as u64);
    let mut before = Seq(0);
    for (seq, count) in &cursor.redeliveries {
        varint::put(&mut row, seq.0 - before.0);
        varint::put(&mut row, u64::from(*count));
        before = *seq;
    }
    put_seqs(&mut row, cursor.ahead.len(), cursor.ahead.iter());
    varint::put(&mut row, cursor.scanned.0);
    varint::put(&mut row, cursor.redrives.len() as u64);
    let mut before = Seq(0);
    for (seq, count) in &cursor.redrives {
        varint::put(&mut row, seq.0 - before.0);
        varint::put(&mut row, u64::from(*count));
        before = *seq;
    }
    varint::put(&mut row, cursor.parked.len() as u64);
    let mut before = Seq(0);
    for (seq, key) in cursor.parked.iter() {
        varint::put(&mut row, seq.0 - before.0);
        varint::put(&mut row, key);
        before = seq;
    }
    cursor.attempts.write(&mut row);
    varint::put_signed(&mut row, cursor.tripped_until.map_or(0, |until| until.0));
    row
}

pub(crate) fn read_cursor(row: &[u8]) -> Option<Cursor> {
    let mut reader = open(row)?;
    let mut position = || {
        Some(Position {
            delivery: DeliverySeq(reader.number()?),
            seq: Seq(reader.number()?),
        })
    };
    let (delivered, ack_floor) = (position()?, position()?);
    let picks = read_seqs(&mut reader)?;
    let mut unacked = UnackedMap::default();
    let (mut seq, mut time) = (0u64, Timestamp(0));
    for _ in 0..reader.number()? {
        seq = seq.checked_add(reader.number()?)?;
        let delivery = DeliverySeq(reader.number()?);
        time = Timestamp(time.0.wrapping_add(reader.signed()?));
        unacked.insert(Seq(seq), Unacked::stored(delivery, time));
    }
    let mut redeliveries = BTreeMap::new();
    let mut seq = 0u64;
    for _ in 0..reader.number()? {
        seq = seq.checked_add(reader.number()?)?;
        redeliveries.insert(Seq(seq), reader.small()?);
    }
    let mut cursor = Cursor {
        delivered,
        ack_floor,
        unacked,
        redeliveries,
        ahead: read_seqs(&mut reader)?,
        picks,
        ..Cursor::default()
    };
    if reader.is_empty() {
        return Some(cursor);
    }
    cursor.scanned = Seq(reader.number()?);
    let mut seq = 0u64;
    for _ in 0..reader.number()? {
        seq = seq.checked_add(reader.number()?)?;
        cursor.redrives.insert(Seq(seq), reader.small()?);
    }
    let mut seq = 0u64;
    for _ in 0..reader.number()? {
        seq = seq.checked_add(reader.number()?)?;
        cursor.parked.add(Seq(seq), reader.number()?);
    }
    cursor.attempts = Attempts::read(&mut reader)?;
    cursor.tripped_until = Some(Timestamp(reader.signed()?)).filter(|until| until.0 != 0);
    // What was passed over or sent back lies behind the rest.
    let first = cursor.picks.first().copied();
    let is_behind = first.is_some_and(|first| first <= delivered.seq);
    cursor.is_unordered = is_behind || !cursor.redrives.is_empty();
    Some(cursor)
}

fn open(row: &[u8]) -> Option<Reader<'_>> {
    let mut reader = Reader::new(row);
    (reader.byte()? == FORMAT).then_some(reader)
}

fn put_seqs<'a>(row: &mut Vec<u8>, len: usize, seqs: impl Iterator<Item = &'a Seq>) {
    varint::put(row, len as u64);
    let mut before = 0;
    for seq in seqs {
        varint::put(row, seq.0 - before);
        before = seq.0;
    }
}

fn read_seqs(reader: &mut Reader<'_>) -> Option<BTreeSet<Seq>> {
    let mut seqs = BTreeSet::new();
    let mut seq = 0u64;
    for _ in 0..reader.number()? {
        seq = seq.checked_add(reader.number()?)?;
        seqs.insert(Seq(seq));
    }
    Some(seqs)
}
