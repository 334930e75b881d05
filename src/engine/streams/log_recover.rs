//! A log as it comes back from the disk: rows, no blocks.

use super::block_row::BlockRow;
use super::deletes::Deletes;
use super::log::{BlockMeta, Log};
use super::presence::Presence;
use super::subjects::{Entry, Subjects};
use super::summary::{Summary, accounted_len};
use crate::ids::Seq;
use crate::storage::BlockKey;
use std::ops::Range;

/// What a block says of one of its subjects.
struct Tally {
    name: Range<usize>,
    count: u64,
    first: Seq,
    last: Entry,
}

impl Tally {
    fn add(&mut self, entry: Entry) {
        if self.count == 0 {
            self.first = entry.seq;
        }
        self.count += 1;
        self.last = entry;
    }
}

/// The subjects of a block: their names, one behind the other, and a tally
/// for each.
fn read_subjects(summary: &mut Summary<'_>) -> Option<(Vec<u8>, Vec<Tally>)> {
    let mut names = Vec::new();
    let mut tallies = Vec::new();
    summary.subjects(|name, _| {
        let start = names.len();
        names.extend_from_slice(name);
        tallies.push(Tally {
            name: start..names.len(),
            count: 0,
            first: Seq(0),
            last: Entry {
                seq: Seq(0),
                size: 0,
            },
        });
    })?;
    Some((names, tallies))
}

/// What is left of a block.
struct Counted {
    /// The deletes, with the sequences that have no record.
    covered: Deletes,
    live: u64,
    bytes: u64,
}

/// Counts the live records of a block, for each subject as well. `None` if the
/// summary is not what it should be.
fn count_records(
    summary: &mut Summary<'_>,
    first: Seq,
    mut covered: Deletes,
    names: &[u8],
    tallies: &mut [Tally],
    subjects: &mut Subjects,
) -> Option<Counted> {
    let keeps_all = subjects.keeps_all();
    let (mut live, mut bytes, mut next) = (0, 0, first);
    summary.records(|seq, subject, payload_len, has_header| {
        // Sequences without a record are gone, whatever the deletes say.
        while next < seq {
            covered.add(next.0 - first.0);
            next = next.next();
        }
        next = seq.next();
        let Some(tally) = tallies.get_mut(subject) else {
            return;
        };
        if covered.contains(seq.0 - first.0) {
            return;
        }
        let size = accounted_len(false, tally.name.len(), payload_len, has_header);
        let entry = Entry {
            seq,
            size: u32::try_from(size).unwrap_or(u32::MAX),
        };
        live += 1;
        bytes += size;
        if keeps_all {
            subjects.add(&names[tally.name.clone()], entry);
        }
        tally.add(entry);
    })?;
    Some(Counted {
        covered,
        live,
        bytes,
    })
}

impl Log {
    /// Takes in a block by its summary; blocks come in the order of their
    /// keys. False if the summary is not what it should be.
    pub(crate) fn recover_block(
        &mut self,
        key: BlockKey,
        row: &[u8],
        row_beside: Option<BlockRow>,
    ) -> bool {
        let Some(mut summary) = Summary::read(key, row) else {
            return false;
        };
        // A block in which something is due has a row beside it.
        let lost = || match summary.has_dues {
            true => BlockRow::lost(),
            false => BlockRow::default(),
        };
        let BlockRow {
            deletes,
            due,
            put_off,
        } = row_beside.unwrap_or_else(lost);
        if self
            .blocks
            .back()
            .is_some_and(|before| before.last >= key.first)
        {
            return false;
        }
        let Some((names, mut tallies)) = read_subjects(&mut summary) else {
            return false;
        };
        let keeps_all = self.subjects.keeps_all();
        let counted = count_records(
            &mut summary,
            key.first,
            deletes,
            &names,
            &mut tallies,
            &mut self.subjects,
        );
        let Some(Counted {
            covered,
            live,
            bytes,
        }) = counted
        else {
            return false;
        };
        for tally in tallies.iter().filter(|tally| tally.count > 0 && !keeps_all) {
            let name = &names[tally.name.clone()];
            self.subjects
                .add_many(name, tally.count, tally.first, tally.last);
        }
        let hashes: Vec<u64> = tallies
            .iter()
            .map(|tally| self.subjects.hash(&names[tally.name.clone()]))
            .collect();
        self.messages += live;
        self.bytes += bytes;
        if summary.last > self.last {
            self.last = summary.last;
            self.last_time = summary.last_time;
        }
        self.blocks.push_back(BlockMeta {
            first: key.first,
            last: summary.last,
            live: live as u32,
            bytes,
            first_time: summary.first_time,
            last_time: summary.last_time,
            deletes: covered,
            presence: Presence::new(&hashes),
            has_message_ids: summary.has_message_ids,
            due,
            put_off: (!put_off.is_empty()).then(|| Box::new(put_off)),
            contents_dirty: false,
            deletes_dirty: false,
            is_stored: true,
            resident: None,
        });
        true
    }

    /// All blocks are there: finds the ends.
    pub(crate) fn recovered(&mut self) {
        let empty: Vec<Seq> = self
            .blocks
            .iter()
            .filter(|meta| meta.live == 0)
            .map(|meta| meta.first)
            .collect();
        self.forgotten.extend(empty);
        self.blocks.retain(|meta| meta.live > 0);
        let dues = self.blocks.iter();
        // Collected they would bring a sort with them.
        self.dues.clear();
        self.dues
            .extend(dues.filter_map(|meta| Some((meta.due?, meta.first))));
        let first = self
            .blocks
            .front()
            .and_then(|meta| meta.next_live(meta.first));
        self.first = first.unwrap_or(self.last.next());
        self.durable = self.last;
    }

    /// The blocks that hold message ids stored at `time` or later.
    pub(crate) fn blocks_with_ids_since(&self, time: midge_api::Timestamp) -> Vec<BlockKey> {
        self.blocks
            .iter()
            .filter(|meta| meta.has_message_ids && meta.last_time >= time)
            .map(|meta| self.key(meta))
            .collect()
    }
}
