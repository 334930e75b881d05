//! Where a new consumer starts, and how much lies before it.

use super::filter::Filter;
use super::log::Log;
use super::log_read::{NeedBlock, Search};
use super::recall::count_by_subjects;
use super::request::{Held, Progress};
use crate::ids::Seq;
use midge_api::{ConsumerConfig, DeliverPolicy, Timestamp};
use std::collections::BTreeSet;

/// The start of a consumer.
pub(super) struct Start {
    /// Everything up to here is passed.
    pub(super) passed: Seq,
    /// The messages to begin with, before it goes on behind the stream's
    /// present end.
    pub(super) picks: BTreeSet<Seq>,
    /// How many messages it has to come.
    pub(super) pending: u64,
}

/// Finds the start. Work that has to be interrupted is kept in `progress`.
pub(super) fn find(
    config: &ConsumerConfig,
    filter: &Filter,
    log: &mut Log,
    progress: &mut Progress,
) -> Result<Start, Held> {
    let end = log.last();
    let from = match config.deliver_policy {
        DeliverPolicy::All => log.first(),
        DeliverPolicy::New => end.next(),
        // Without a last one, everything is still to come.
        DeliverPolicy::Last => last_match(log, filter)?.unwrap_or(if filter.is_all() {
            end.next()
        } else {
            log.first()
        }),
        DeliverPolicy::ByStartSequence => Seq(config.opt_start_seq).max(log.first()),
        DeliverPolicy::ByStartTime => {
            let since = log.first_since(config.opt_start_time.unwrap_or(Timestamp::UNSET))?;
            // The gap to the first that is meant is not walked again.
            match log.next_match(since, end, filter)? {
                Search::Found(seq) => seq,
                Search::Pause(_) | Search::Nothing => since,
            }
        }
        DeliverPolicy::LastPerSubject => return last_per_subject(log, filter),
    };
    let pending = count(log, filter, from, progress)?;
    Ok(Start {
        passed: from.prev(),
        picks: BTreeSet::new(),
        pending,
    })
}

/// The last message that the filter means.
fn last_match(log: &mut Log, filter: &Filter) -> Result<Option<Seq>, NeedBlock> {
    if filter.is_all() {
        return log.last_match(log.last(), filter);
    }
    let mut highest = None;
    for subject in subjects(log, filter) {
        highest = highest.max(log.last_of(&subject)?.map(|entry| entry.seq));
    }
    Ok(highest)
}

fn last_per_subject(log: &mut Log, filter: &Filter) -> Result<Start, Held> {
    let mut picks = BTreeSet::new();
    for subject in subjects(log, filter) {
        picks.extend(log.last_of(&subject)?.map(|entry| entry.seq));
    }
    let passed = match picks.first() {
        Some(first) => first.prev(),
        None => log.last().prev().max(log.first().prev()),
    };
    Ok(Start {
        passed,
        pending: picks.len() as u64,
        picks,
    })
}

fn subjects(log: &Log, filter: &Filter) -> Vec<Box<[u8]>> {
    log.subjects
        .iter()
        .filter(|subject| filter.matches(&subject.name))
        .map(|subject| subject.name.clone())
        .collect()
}

/// Counts what the filter means from `from` on. What is known of the subjects
/// mostly tells; else the messages are looked at.
fn count(log: &Log, filter: &Filter, from: Seq, progress: &mut Progress) -> Result<u64, Held> {
    if let Some(count) = count_by_subjects(log, filter, from) {
        return Ok(count);
    }
    let (mut at, mut count) = match *progress {
        Progress::Count { at, count } => (at, count),
        _ => (from, 0),
    };
    loop {
        match log.next_match(at, log.last(), filter) {
            Ok(Search::Found(seq)) => {
                count += 1;
                at = seq.next();
            }
            Ok(Search::Nothing) => return Ok(count),
            Ok(Search::Pause(seq)) => {
                *progress = Progress::Count { at: seq, count };
                return Err(Held::Again);
            }
            Err(need) => {
                *progress = Progress::Count { at, count };
                return Err(need.into());
            }
        }
    }
}
