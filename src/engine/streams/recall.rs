//! What has to be read from blocks after a restart: the message ids that are
//! still in their window, and what lies before consumers of which that can't
//! be told from the subjects.

use super::filter::Filter;
use super::log::Log;
use super::log_read::{NeedBlock, Search};
use super::stream::Stream;
use super::streams::{Job, Streams};
use crate::ids::{ConsumerId, Seq, StreamId};
use crate::storage::BlockKey;
use midge_api::{Nanos, Timestamp, midge_header};
use midge_proto::headers::{HeaderBlock, name};

/// A count of messages that is under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counting {
    /// Everything before this is counted.
    pub(crate) at: Seq,
    /// What comes after this is counted as it comes.
    pub(crate) end: Seq,
}

impl Streams {
    /// Finds out how much lies before each consumer of a stream.
    pub(super) fn recount(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let consumers: Vec<ConsumerId> = stream.consumers.keys().copied().collect();
        for consumer in consumers {
            self.recount_consumer(id, consumer);
        }
    }

    /// The same for one.
    pub(super) fn recount_consumer(&mut self, id: StreamId, consumer_id: ConsumerId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let Stream { log, consumers, .. } = &mut **stream;
        let Some(consumer) = consumers.get_mut(&consumer_id) else {
            return;
        };
        consumer.counting = None;
        consumer.cursor.picks.retain(|seq| log.is_live(*seq));
        let picked = consumer.cursor.picks.len() as u64;
        let behind = consumer
            .cursor
            .picks
            .last()
            .map_or(Seq(0), |last| last.next());
        let from = consumer.next_seq().max(behind);
        match count_by_subjects(log, &consumer.filter, from) {
            Some(count) => consumer.pending = picked + count,
            None => {
                consumer.pending = picked;
                consumer.counting = Some(Counting {
                    at: from,
                    end: log.last(),
                });
                self.count(id, consumer_id);
            }
        }
    }

    /// Takes the count for a consumer further.
    pub(super) fn count(&mut self, id: StreamId, consumer_id: ConsumerId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let Stream { log, consumers, .. } = &mut **stream;
        let Some(consumer) = consumers.get_mut(&consumer_id) else {
            return;
        };
        let Some(counting) = &mut consumer.counting else {
            return;
        };
        loop {
            match log.next_match(counting.at, counting.end, &consumer.filter) {
                Ok(Search::Found(seq)) => {
                    consumer.pending += 1;
                    counting.at = seq.next();
                }
                Ok(Search::Pause(seq)) => counting.at = seq,
                Ok(Search::Nothing) => break,
                Err(need) => return self.park(need, Job::Count(id, consumer_id)),
            }
        }
        consumer.counting = None;
        self.make_ready(id, consumer_id);
    }

    /// Reads the message ids of a stream that are still in their window.
    pub(super) fn recall_ids(&mut self, id: StreamId) {
        let wall = self.wall;
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let window = stream.config.duplicate_window;
        let since = wall.after(Nanos(-window.0));
        stream.recalling = stream.log.blocks_with_ids_since(since).into();
        self.recall(id);
    }

    /// Takes that further.
    pub(super) fn recall(&mut self, id: StreamId) {
        let wall = self.wall;
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let since = wall.after(Nanos(-stream.config.duplicate_window.0));
        while let Some(key) = stream.recalling.front().copied() {
            if let Err(need) = stream.recall_block(key, since) {
                return self.park(need, Job::Recall(id));
            }
            stream.recalling.pop_front();
        }
    }
}

impl Stream {
    fn recall_block(&mut self, key: BlockKey, since: Timestamp) -> Result<(), NeedBlock> {
        let mut at = key.first;
        while let Ok(Search::Found(seq)) = self.log.next_match(at, self.log.last(), &Filter::all())
        {
            let Some(record) = self.log.get(seq)? else {
                at = seq.next();
                continue;
            };
            if seq.0 >= key.first.0 + super::block::BLOCK_SEQS_MAX || !self.log.is_in(key, seq) {
                return Ok(());
            }
            if record.time >= since
                && record.header_len > 0
                && let Some(id) = HeaderBlock::new(record.header()).get(name::MSG_ID)
                && !id.is_empty()
                && !is_copy(record.header())
                && self.dedupe.get(id).is_none()
            {
                self.dedupe.add(id, seq, record.time);
            }
            at = seq.next();
        }
        Ok(())
    }
}

/// Whether this is the copy of a message, whose id was meant for another
/// stream, or for when it was new.
fn is_copy(header: &[u8]) -> bool {
    let headers = HeaderBlock::new(header);
    headers.get(midge_header::REDRIVES).is_some() || headers.get(midge_header::STREAM).is_some()
}

/// How many messages the filter means from `from` on, if what is known of the
/// subjects tells.
pub(super) fn count_by_subjects(log: &Log, filter: &Filter, from: Seq) -> Option<u64> {
    if filter.is_all() {
        return Some(log.count_from(from));
    }
    let mut count = 0;
    for subject in log.subjects.iter() {
        // Nothing from there on, or all of it; anything between is not known.
        if subject.last_is_exact && subject.last.seq < from {
            continue;
        }
        if !filter.matches(&subject.name) {
            continue;
        }
        if subject.first < from {
            return None;
        }
        count += subject.count;
    }
    Some(count)
}
