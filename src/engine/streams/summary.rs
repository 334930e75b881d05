//! What a block holds, in a few bytes.
//!
//! At the start the server reads the summaries and leaves the blocks where
//! they are. A summary names the block's subjects with how often each occurs
//! and where last, which is all that a block without deletes needs; how the
//! records follow one another, in runs of equal ones, comes behind that and
//! is only looked at where some are gone.
//!
//! A row holds, each a number of [`varint`] unless it says otherwise: format
//! (one byte, 1), flags (one byte; 1: some record has a message id, 2: something
//! is due at some time), last
//! sequence less the first, records, accounted bytes, time of the first
//! record (signed), time of the last less that (signed), subjects; for each
//! subject in the order of their bytes: how many bytes it shares with the one
//! before, length and bytes of the rest, records, place of the last of them;
//! then runs: records in it, places left out before each, subject by its
//! place in the list, payload length, 1 if it begins with a header block.

use super::block::{BLOCK_SEQS_MAX, Block, Record};
use super::log_due::NEVER;
use super::varint::{self, Reader};
use crate::ids::Seq;
use crate::storage::BlockKey;
use midge_api::Timestamp;
use midge_proto::headers;

const FORMAT: u8 = 1;
const HAS_MESSAGE_IDS: u8 = 1;
const HAS_DUES: u8 = 2;

/// What a stored message counts for in a stream's bytes beside itself, as in
/// nats-server's stores: clients' expectations of `max_bytes` rest on it.
const FILE_OVERHEAD: usize = 30;
const FILE_HEADER_OVERHEAD: usize = 4;
const MEMORY_OVERHEAD: usize = 16;

/// What a stored message counts for.
pub(crate) fn accounted_len(
    is_volatile: bool,
    subject_len: usize,
    payload_len: usize,
    has_header: bool,
) -> u64 {
    let overhead = match (is_volatile, has_header) {
        (true, _) => MEMORY_OVERHEAD,
        (false, false) => FILE_OVERHEAD,
        (false, true) => FILE_OVERHEAD + FILE_HEADER_OVERHEAD,
    };
    (overhead + subject_len + payload_len) as u64
}

/// The summary of a block, as its row is read.
#[derive(Debug)]
pub(crate) struct Summary<'a> {
    pub(crate) last: Seq,
    pub(crate) first_time: Timestamp,
    pub(crate) last_time: Timestamp,
    pub(crate) has_message_ids: bool,
    /// Something is due, or was.
    pub(crate) has_dues: bool,
    first: Seq,
    subject_count: usize,
    rest: Reader<'a>,
}

/// A subject of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SummarySubject {
    pub(crate) records: u32,
    pub(crate) last: Seq,
}

/// Makes the row for a block; `None` if it holds no record.
pub fn summarize(block: &Block) -> Option<Vec<u8>> {
    let first = block.key().first;
    let first_time = block.records().next()?.time;
    let last_time = block.get(block.last())?.time;
    let (runs, flags) = runs(block);
    let (subjects, places) = subjects(&runs);
    let (mut records, mut bytes) = (0, 0);
    for run in &runs {
        records += run.records;
        bytes +=
            run.records * accounted_len(false, run.subject.len(), run.payload_len, run.has_header);
    }
    let mut row = vec![FORMAT, flags];
    for number in [block.last().0 - first.0, records, bytes] {
        varint::put(&mut row, number);
    }
    varint::put_signed(&mut row, first_time.0);
    varint::put_signed(&mut row, last_time.0.wrapping_sub(first_time.0));
    write_subjects(&mut row, first, &subjects);
    for (run, place) in runs.iter().zip(places) {
        for number in [
            run.records,
            run.gap,
            place as u64,
            run.payload_len as u64,
            u64::from(run.has_header),
        ] {
            varint::put(&mut row, number);
        }
    }
    Some(row)
}

/// Records that follow one another and are alike.
struct Run<'a> {
    records: u64,
    last: Seq,
    /// Sequences left out before each.
    gap: u64,
    subject: &'a [u8],
    payload_len: usize,
    has_header: bool,
}

/// The records of a block, and the flags of its summary.
fn runs(block: &Block) -> (Vec<Run<'_>>, u8) {
    let mut runs: Vec<Run<'_>> = Vec::new();
    let mut flags = 0;
    let mut next = block.key().first.0;
    for record in block.records() {
        let gap = record.seq.0 - next;
        next = record.seq.0 + 1;
        let has_header = record.header_len > 0;
        match runs.last_mut() {
            Some(run)
                if run.gap == gap
                    && run.payload_len == record.payload.len()
                    && run.has_header == has_header
                    && run.subject == record.subject =>
            {
                run.records += 1;
                run.last = record.seq;
            }
            _ => runs.push(Run {
                records: 1,
                last: record.seq,
                gap,
                subject: record.subject,
                payload_len: record.payload.len(),
                has_header,
            }),
        }
        if has_header && flags & HAS_MESSAGE_IDS == 0 && has_message_id(&record) {
            flags |= HAS_MESSAGE_IDS;
        }
        if record.due.is_some_and(|due| due != NEVER) {
            flags |= HAS_DUES;
        }
    }
    (runs, flags)
}

fn has_message_id(record: &Record<'_>) -> bool {
    headers::HeaderBlock::new(record.header())
        .get(headers::name::MSG_ID)
        .is_some_and(|id| !id.is_empty())
}

/// The subjects of a block in the order of their bytes, and the place among
/// them of that of each run.
fn subjects<'a>(runs: &[Run<'a>]) -> (Vec<(&'a [u8], SummarySubject)>, Vec<usize>) {
    let mut seen: Vec<(&[u8], SummarySubject)> = Vec::new();
    // There are few subjects beside the runs, as a rule, and so these are put
    // in order and not the runs: by their places among those seen.
    let mut order: Vec<u16> = Vec::new();
    let mut of_runs = Vec::with_capacity(runs.len());
    for run in runs {
        let found = order.binary_search_by(|at| seen[usize::from(*at)].0.cmp(run.subject));
        let place = found.unwrap_or_else(|place| {
            let (records, last) = (0, run.last);
            order.insert(place, seen.len() as u16);
            seen.push((run.subject, SummarySubject { records, last }));
            place
        });
        let at = usize::from(order[place]);
        let entry = &mut seen[at].1;
        entry.records += run.records as u32;
        entry.last = run.last;
        of_runs.push(at);
    }
    let mut places = vec![0; seen.len()];
    for (place, at) in order.iter().enumerate() {
        places[usize::from(*at)] = place;
    }
    let sorted = order.iter().map(|at| seen[usize::from(*at)]);
    let of_runs = of_runs.into_iter().map(|at| places[at]);
    (sorted.collect(), of_runs.collect())
}

fn write_subjects(row: &mut Vec<u8>, first: Seq, subjects: &[(&[u8], SummarySubject)]) {
    varint::put(row, subjects.len() as u64);
    let mut before: &[u8] = b"";
    for (subject, entry) in subjects {
        let shared = before
            .iter()
            .zip(*subject)
            .take_while(|(a, b)| a == b)
            .count();
        varint::put(row, shared as u64);
        varint::put_bytes(row, &subject[shared..]);
        varint::put(row, u64::from(entry.records));
        varint::put(row, entry.last.0 - first.0);
        before = subject;
    }
}

impl<'a> Summary<'a> {
    pub(crate) fn read(key: BlockKey, row: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(row);
        if reader.byte()? != FORMAT {
            return None;
        }
        let flags = reader.byte()?;
        let span = reader.number()?;
        if span >= BLOCK_SEQS_MAX {
            return None;
        }
        let last = Seq(key.first.0.checked_add(span)?);
        // How many records and bytes are for those who read the file.
        let (_records, _bytes) = (reader.small()?, reader.number()?);
        let first_time = Timestamp(reader.signed()?);
        let last_time = Timestamp(first_time.0.wrapping_add(reader.signed()?));
        let subject_count = reader.small()? as usize;
        Some(Summary {
            last,
            first_time,
            last_time,
            has_message_ids: flags & HAS_MESSAGE_IDS != 0,
            has_dues: flags & HAS_DUES != 0,
            first: key.first,
            subject_count,
            rest: reader,
        })
    }

    /// Tells of the subjects in the order of their bytes. `None` if the row
    /// is not what it should be.
    pub(crate) fn subjects(&mut self, mut each: impl FnMut(&[u8], SummarySubject)) -> Option<()> {
        let mut subject = Vec::new();
        for _ in 0..self.subject_count {
            let shared = usize::try_from(self.rest.number()?).ok()?;
            if shared > subject.len() {
                return None;
            }
            subject.truncate(shared);
            subject.extend_from_slice(self.rest.bytes()?);
            let records = self.rest.small()?;
            let last = Seq(self.first.0.checked_add(self.rest.number()?)?);
            each(&subject, SummarySubject { records, last });
        }
        self.subject_count = 0;
        Some(())
    }

    /// Tells of the records: sequence, place of the subject in the list, and
    /// the payload's length and whether it begins with a header block. To be
    /// called after [`Summary::subjects`].
    pub(crate) fn records(&mut self, mut each: impl FnMut(Seq, usize, usize, bool)) -> Option<()> {
        debug_assert_eq!(self.subject_count, 0, "the subjects come first");
        let mut next = self.first.0;
        while !self.rest.is_empty() {
            let count = self.rest.number()?;
            let gap = self.rest.number()?;
            let subject = usize::try_from(self.rest.number()?).ok()?;
            let payload_len = usize::try_from(self.rest.number()?).ok()?;
            let has_header = self.rest.number()? != 0;
            for _ in 0..count {
                let seq = next.checked_add(gap)?;
                if seq > self.last.0 {
                    return None;
                }
                each(Seq(seq), subject, payload_len, has_header);
                next = seq + 1;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::StreamId;
    use crate::streams::block::OpenBlock;
    use proptest::prelude::*;

    fn block(messages: &[(u8, u8, u8, bool)]) -> Block {
        let key = BlockKey {
            stream: StreamId(1),
            first: Seq(10),
        };
        let mut open = OpenBlock::new(key, 0, false);
        let mut seq = 10;
        for (gap, subject, len, has_header) in messages {
            seq += u64::from(*gap);
            open.append(&Record {
                seq: Seq(seq),
                time: Timestamp(1_000 + seq as i64),
                subject: format!("sub.{subject}").as_bytes(),
                payload: &vec![b'x'; usize::from(*len) + 4],
                header_len: if *has_header { 4 } else { 0 },
                due: has_header.then_some(Timestamp(7)),
            });
            seq += 1;
        }
        open.close()
    }

    proptest! {
        /// What the summary tells is what a walk over the block finds.
        #[test]
        fn a_summary_tells_what_the_block_holds(
            messages in prop::collection::vec((0..3u8, 0..5u8, 0..3u8, any::<bool>()), 1..200)
        ) {
            let block = block(&messages);
            let row = summarize(&block).expect("not empty");
            let mut summary = Summary::read(block.key(), &row).expect("whole");
            prop_assert_eq!(summary.last, block.last());
            let mut subjects = Vec::new();
            summary.subjects(|subject, entry| subjects.push((subject.to_vec(), entry))).expect("whole");
            for (subject, entry) in &subjects {
                let of_it: Vec<_> = block.records().filter(|r| r.subject == subject).collect();
                prop_assert_eq!(of_it.len() as u32, entry.records);
                prop_assert_eq!(of_it.last().map(|r| r.seq), Some(entry.last));
            }
            let mut told = Vec::new();
            summary.records(|seq, subject, len, has_header| {
                told.push((seq, subjects[subject].0.clone(), len, has_header));
            }).expect("whole");
            let held: Vec<_> = block.records()
                .map(|r| (r.seq, r.subject.to_vec(), r.payload.len(), r.header_len > 0))
                .collect();
            prop_assert_eq!(told, held);
        }

        #[test]
        fn noise_is_refused_without_a_panic(noise in prop::collection::vec(any::<u8>(), 0..300)) {
            let key = BlockKey { stream: StreamId(1), first: Seq(1) };
            let mut row = vec![FORMAT];
            row.extend(noise);
            if let Some(mut summary) = Summary::read(key, &row)
                && summary.subjects(|_, _| {}).is_some() {
                let _ = summary.records(|_, _, _, _| {});
            }
        }
    }
}
