//! The journal: what it spares, and what it brings back.

use crate::damage::Written;
use crate::util::{
    Model, Random, TempDir, all_keys, block, content, key, open_file, put, random_batch, seeds,
    tables_at, test_config,
};
use midge_engine::{Batch, ConsumerId, RowKey, StreamId, Write};
use midge_store::fault::FaultDisk;
use midge_store::{Store, StoreConfig, recover, verify};

/// Where the records begin.
const JOURNAL_AT: usize = 8192;

/// What the engine writes for one small message, in a block that has `count`.
fn message(stream: u32, count: usize) -> Batch {
    let key = key(stream, 1);
    let mut writes = put(key, &block(key, &vec![100; count], 7));
    let row = |key| Write::PutRow(key, count.to_le_bytes().to_vec());
    writes.push(row(RowKey::Stream(StreamId(stream))));
    writes.push(row(RowKey::Cursor(StreamId(stream), ConsumerId(1))));
    Batch { writes }
}

fn file_open(dir: &TempDir) -> (Store, Model) {
    open_file(&dir.file()).expect("opens")
}

/// A process that ends without a word leaves the file as it is.
fn crashed(dir: &TempDir) -> TempDir {
    let copy = TempDir::new();
    std::fs::copy(dir.file(), copy.file()).unwrap();
    copy
}

#[test]
fn a_small_batch_is_one_short_write_and_one_sync() {
    let dir = TempDir::new();
    let (store, _) = file_open(&dir);
    let mut model = Model::default();
    for count in 1..=60 {
        let before = store.stats();
        let batch = message(1, count);
        let commit = store.commit(&batch).expect("stored");
        model.apply(&batch);
        let after = store.stats();
        let calls = (after.writes - before.writes, after.syncs - before.syncs);
        assert_eq!(calls, (1, 1));
        // The first one writes zeros ahead. None writes the whole block, which
        // has 7 KB in the end; half of it is the summary.
        assert!(count == 1 || commit.written_bytes < 1200, "{commit:?}");
    }
    assert!(content(&store, model.clone(), [key(1, 1)]) == model);
    let copy = crashed(&dir);
    let (after, rows) = file_open(&copy);
    assert_eq!(
        (after.opened().replayed, after.opened().lost_batches),
        (60, 0)
    );
    assert!(!after.opened().was_repaired, "no walk");
    assert!(content(&after, rows, [key(1, 1)]) == model);
    drop(after);
    store.close().expect("closes");
    let (store, rows) = file_open(&dir);
    assert_eq!(store.opened().replayed, 0);
    assert!(content(&store, rows, [key(1, 1)]) == model);
}

#[test]
fn rounds_follow_one_another_in_the_same_room() {
    let dir = TempDir::new();
    let config = StoreConfig {
        journal_bytes: 16 << 10,
        ..StoreConfig::new(dir.file())
    };
    let store = Store::open(&config, &mut Model::default()).expect("made");
    let mut random = Random(7);
    let mut model = Model::default();
    for number in 0..400 {
        let batch = message(1 + random.below(3) as u32, 1 + number / 8);
        store.commit(&batch).expect("stored");
        model.apply(&batch);
        if number % 23 == 0 {
            let (copy, rows) = file_open(&crashed(&dir));
            assert!(content(&copy, rows, all_keys()) == model, "batch {number}");
            assert_eq!(copy.opened().lost_batches, 0, "batch {number}");
        }
    }
    let stats = store.stats();
    assert!(stats.journaled_bytes > 3 * (16 << 10), "{stats:?}");
    assert_eq!(tables_at(&dir.file()), 8192 + (16 << 10));
}

/// A store with ten batches in its journal.
fn with_records() -> TempDir {
    let dir = TempDir::new();
    let (store, _) = file_open(&dir);
    for count in 1..=10 {
        store.commit(&message(1, count)).expect("stored");
    }
    crashed(&dir)
}

#[test]
fn recovering_brings_the_journal_along() {
    let dir = with_records();
    let to = dir.path().join("recovered.redb");
    let recovered = recover(&dir.file(), &to).expect("recovers");
    assert!(recovered.is_complete, "{recovered:?}");
    assert_eq!(recovered.journaled, 10);
    assert_eq!((recovered.records, recovered.lost_records), (10, 0));
    let (store, rows) = open_file(&to).expect("opens");
    assert_eq!(rows.rows.len(), 3);
    assert!(store.verify().expect("looks").is_sound());
}

#[test]
fn what_is_in_the_journal_is_verified_too() {
    let dir = with_records();
    let report = verify(&dir.file()).expect("looks");
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.rows, report.blocks, report.records), (3, 1, 10));
}

/// Whatever bit flips in the journal costs one batch, and that is told, unless
/// it is the last, which might have been cut short. What came later is there:
/// no sequence is given out again.
#[test]
fn a_flip_in_the_journal_costs_one_batch_and_is_told() {
    const BATCHES: usize = 25;
    let number_row = RowKey::Stream(StreamId(9));
    for seed in seeds(2) {
        let mut random = Random(seed ^ 99);
        let config = StoreConfig {
            journal_bytes: 4 << 20,
            ..test_config()
        };
        let disk = FaultDisk::new(seed);
        let open = |disk: &FaultDisk| {
            let mut rows = Model::default();
            let store = Store::open_with_backend(&config, disk.opener(), &mut rows);
            store.map(|store| (store, rows))
        };
        let (store, _) = open(&disk).expect("opens");
        let mut written = Written::default();
        for number in 0..BATCHES {
            let mut batch = random_batch(&mut random);
            batch
                .writes
                .push(Write::PutRow(number_row, vec![number as u8 + 1]));
            store.commit(&batch).expect("stored");
            written.note(&batch);
            // The power goes before it has ended.
            if seed % 2 == 0 && number == BATCHES / 2 {
                assert!(store.begin_checkpoint());
            }
        }
        let image = disk.image();
        let tables_at = u64::from_le_bytes(image[16..24].try_into().unwrap()) as usize;
        let journal = &image[JOURNAL_AT..tables_at];
        let end = journal.iter().rposition(|byte| *byte != 0).unwrap();
        for _ in 0..150 {
            let at = JOURNAL_AT + random.below(end as u64) as usize;
            let mut flipped = image.clone();
            flipped[at] ^= 1 << random.below(8);
            let what = format!("seed {seed}, byte {at}");
            let damaged = FaultDisk::holding(1, flipped);
            let (store, rows) = open(&damaged).unwrap_or_else(|error| panic!("{what}: {error}"));
            let opened = *store.opened();
            assert_eq!(opened.replayed, BATCHES as u64 - 1, "{what}");
            let last = rows.rows[&(StreamId(9), number_row)][0] as usize;
            assert_eq!(
                last as u64,
                BATCHES as u64 - 1 + opened.lost_batches,
                "{what}"
            );
            for (place, value) in &rows.rows {
                assert!(written.has_row(place, value), "{what}: {place:?}");
            }
            for key in all_keys() {
                if let Some(loaded) = store.load(key).expect("readable") {
                    assert!(written.has_records(&loaded.block), "{what}: {key:?}");
                }
            }
            // It is told once, and gone on from there.
            store.commit(&message(8, 1)).expect("goes on");
            store.commit(&message(8, 2)).expect("goes on");
            drop(store);
            let (store, _) = open(&damaged).expect("opens");
            assert_eq!(store.opened().lost_batches, 0, "{what}");
        }
    }
}

/// Should redb go back by a commit, then what was journaled behind it is not
/// lost as well.
#[test]
fn records_whose_ground_is_gone_are_taken_and_told() {
    let dir = with_records();
    let older = std::fs::read(dir.file()).unwrap();
    let (store, _) = file_open(&dir);
    store.settle().expect("settles");
    for count in 11..15 {
        store.commit(&message(1, count)).expect("stored");
    }
    let after = crashed(&dir);
    let mut mixed = std::fs::read(after.file()).unwrap();
    let at = tables_at(&after.file()) as usize;
    mixed.truncate(at);
    mixed.extend_from_slice(&older[at..]);
    std::fs::write(after.file(), mixed).unwrap();
    let (store, rows) = file_open(&after);
    assert!(store.opened().lost_batches > 0, "{:?}", store.opened());
    let count = &rows.rows[&(StreamId(1), RowKey::Stream(StreamId(1)))];
    assert_eq!(count[..], 14usize.to_le_bytes());
}
