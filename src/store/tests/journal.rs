//! The journal: what it spares, what it brings back, and what may be found
//! where it should be.

use crate::util::{
    Model, Random, TempDir, all_keys, block, content, key, open_file, put, random_batch, seeds,
    test_config,
};
use midge_engine::{Batch, ConsumerId, RowKey, StreamId, Write};
use midge_store::fault::FaultDisk;
use midge_store::{Store, StoreConfig, StoreError, compact, recover, verify};

/// What the engine writes for one small message, in a block that has `count`.
fn message(stream: u32, count: usize) -> Batch {
    let key = key(stream, 1);
    let mut writes = put(key, &block(key, &vec![100; count], 7)).to_vec();
    let row = |key| Write::PutRow(key, count.to_le_bytes().to_vec());
    writes.push(row(RowKey::Stream(StreamId(stream))));
    writes.push(row(RowKey::Cursor(StreamId(stream), ConsumerId(1))));
    Batch { writes }
}

fn file_open(dir: &TempDir) -> (Store, Model) {
    open_file(&dir.file()).expect("opens")
}

/// A process that ends without a word leaves both files as they are.
fn crashed(dir: &TempDir) -> TempDir {
    let copy = TempDir::new();
    std::fs::copy(dir.file(), copy.file()).unwrap();
    std::fs::copy(dir.journal(), copy.journal()).unwrap();
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
        // The first one makes the journal and says so, the second its room.
        if count > 2 {
            let calls = (after.writes - before.writes, after.syncs - before.syncs);
            assert_eq!(calls, (1, 1));
            // Although the block has 7 KB in the end. Half of it is the
            // summary.
            assert!(commit.written_bytes < 1200, "{commit:?}");
        }
    }
    assert!(content(&store, model.clone(), [key(1, 1)]) == model);
    let copy = crashed(&dir);
    let (after, rows) = file_open(&copy);
    assert_eq!(
        (after.opened().replayed, after.opened().lost_batches),
        (59, 0)
    );
    assert!(!after.opened().was_repaired, "no walk");
    assert!(content(&after, rows, [key(1, 1)]) == model);
    drop(after);
    store.close().expect("closes");
    // The file alone is enough now.
    std::fs::remove_file(dir.journal()).unwrap();
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
    let mut longest = 0;
    for number in 0..400 {
        let batch = message(1 + random.below(3) as u32, 1 + number / 8);
        store.commit(&batch).expect("stored");
        model.apply(&batch);
        longest = longest.max(std::fs::metadata(dir.journal()).unwrap().len());
        if number % 23 == 0 {
            let (copy, rows) = file_open(&crashed(&dir));
            assert!(content(&copy, rows, all_keys()) == model, "batch {number}");
            assert_eq!(copy.opened().lost_batches, 0, "batch {number}");
        }
    }
    assert_eq!(longest, 16 << 10);
}

#[test]
fn a_file_from_before_the_journal_gets_one() {
    let dir = TempDir::new();
    drop(file_open(&dir));
    let db = redb::Database::open(dir.file()).unwrap();
    let write = db.begin_write().unwrap();
    let mut meta = write
        .open_table(redb::TableDefinition::<&str, u64>::new("meta"))
        .unwrap();
    for row in ["id", "round", "journal"] {
        meta.remove(row).unwrap();
    }
    meta.insert("format", 1).unwrap();
    drop(meta);
    write.commit().unwrap();
    drop(db);
    let (store, _) = file_open(&dir);
    for count in 1..5 {
        store.commit(&message(1, count)).expect("stored");
    }
    let (after, _) = file_open(&crashed(&dir));
    assert_eq!(after.opened().replayed, 3);
}

/// A store with something in its journal, and what the file holds without.
fn with_records() -> (TempDir, usize) {
    let dir = TempDir::new();
    let (store, _) = file_open(&dir);
    for count in 1..=10 {
        store.commit(&message(1, count)).expect("stored");
    }
    (crashed(&dir), 9)
}

fn refusal(dir: &TempDir) -> String {
    let error = open_file(&dir.file()).expect_err("refused");
    assert!(
        matches!(error, StoreError::JournalMissing { .. }),
        "{error}"
    );
    error.to_string()
}

#[test]
fn a_journal_that_may_hold_something_is_not_done_without() {
    let (dir, _) = with_records();
    let own = std::fs::read(dir.journal()).unwrap();
    std::fs::remove_file(dir.journal()).unwrap();
    assert!(refusal(&dir).contains("which is not there"));
    assert!(!dir.journal().exists(), "and none is made");
    std::fs::write(dir.journal(), "").unwrap();
    assert!(refusal(&dir).contains("which is empty"));
    std::fs::write(dir.journal(), vec![7; 9000]).unwrap();
    assert!(refusal(&dir).contains("which holds something else"));
    let (other, _) = with_records();
    std::fs::copy(other.journal(), dir.journal()).unwrap();
    assert!(refusal(&dir).contains("which belongs to another file"));
    assert!(verify(&dir.file()).is_err() && compact(&dir.file()).is_err());
    // What the file holds without it can be had, if that is what is wanted.
    let to = dir.path().join("recovered.redb");
    std::fs::remove_file(dir.journal()).unwrap();
    let recovered = recover(&dir.file(), &to).expect("recovers");
    assert_eq!((recovered.is_complete, recovered.records), (false, 1));
    std::fs::remove_file(to).unwrap();
    // And once it is back all is well.
    std::fs::write(dir.journal(), own).unwrap();
    assert_eq!(file_open(&dir).0.opened().replayed, 9);
}

#[test]
fn a_foreign_journal_beside_a_file_that_was_closed_is_taken_over() {
    let (dir, _) = with_records();
    let (other, _) = with_records();
    let (store, _) = file_open(&dir);
    store.close().expect("closes");
    std::fs::copy(other.journal(), dir.journal()).unwrap();
    let (store, _) = file_open(&dir);
    for count in 11..15 {
        store.commit(&message(1, count)).expect("stored");
    }
    let (after, rows) = file_open(&crashed(&dir));
    assert_eq!(
        (after.opened().replayed, after.opened().lost_batches),
        (3, 0)
    );
    let count = &rows.rows[&(StreamId(1), RowKey::Stream(StreamId(1)))];
    assert_eq!(count[..], 14usize.to_le_bytes());
}

#[test]
fn recovering_brings_the_journal_along() {
    let (dir, journaled) = with_records();
    let to = dir.path().join("recovered.redb");
    let recovered = recover(&dir.file(), &to).expect("recovers");
    assert!(recovered.is_complete, "{recovered:?}");
    assert_eq!(recovered.journaled, journaled as u64);
    assert_eq!((recovered.records, recovered.lost_records), (10, 0));
    let (store, rows) = open_file(&to).expect("opens");
    assert_eq!(rows.rows.len(), 3);
    assert!(store.verify().expect("looks").is_sound());
}

#[test]
fn what_is_in_the_journal_is_verified_too() {
    let (dir, _) = with_records();
    let report = verify(&dir.file()).expect("looks");
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.rows, report.blocks, report.records), (3, 1, 10));
}

/// Whatever bit flips in the journal: what was before it is there, nothing
/// else is, and if something is missing that shows is said, unless it is the
/// last batch, which might have been cut short.
#[test]
fn a_flip_in_the_journal_costs_what_is_behind_it_and_is_told() {
    for seed in seeds(2) {
        let mut random = Random(seed ^ 99);
        let config = StoreConfig {
            journal_bytes: 1 << 20,
            ..test_config()
        };
        let disk = FaultDisk::new(seed);
        let open = |disk: &FaultDisk| {
            let mut rows = Model::default();
            let (store, journal) = (disk.opener(), disk.journal_opener());
            let store = Store::open_with_backend(&config, store, journal, &mut rows);
            store.map(|store| (store, rows))
        };
        let (store, _) = open(&disk).expect("opens");
        let mut states = Vec::new();
        let mut model = Model::default();
        let mut batches = 0;
        while batches < 25 {
            let batch = random_batch(&mut random);
            if batch.writes.iter().any(is_large) {
                continue;
            }
            store.commit(&batch).expect("stored");
            model.apply(&batch);
            states.push(model.clone());
            batches += 1;
        }
        let (image, journal) = (disk.image(), disk.journal());
        let end = journal.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        for _ in 0..150 {
            let at = random.below(end as u64) as usize;
            let mut flipped = journal.clone();
            flipped[at] ^= 1 << random.below(8);
            let what = format!("seed {seed}, byte {at}");
            let damaged = FaultDisk::holding(1, image.clone(), flipped);
            let (store, rows) = open(&damaged).unwrap_or_else(|error| panic!("{what}: {error}"));
            let opened = *store.opened();
            let (whole, lost) = (opened.replayed as usize, opened.lost_batches as usize);
            // The first batch went to the file.
            assert!(
                whole + lost == 24 || (whole, lost) == (23, 0),
                "{what}: {opened:?}"
            );
            assert!(content(&store, rows, all_keys()) == states[whole], "{what}");
            // It is told once, and gone on from there.
            store.commit(&message(9, 1)).expect("goes on");
            store.commit(&message(9, 2)).expect("goes on");
            drop(store);
            let (store, _) = open(&damaged).expect("opens");
            assert_eq!(store.opened().lost_batches, 0, "{what}");
        }
    }
}

fn is_large(write: &Write) -> bool {
    matches!(write, Write::PutBlock(_, bytes) if bytes.len() > 20_000)
}

#[test]
fn records_that_redb_has_forgotten_the_ground_of_are_not_applied() {
    let (dir, _) = with_records();
    let older = std::fs::read(dir.file()).unwrap();
    let (store, _) = file_open(&dir);
    // A large batch, and small ones that follow on it.
    let key = key(1, 500);
    let writes = put(key, &block(key, &[60_000], 1)).to_vec();
    store.commit(&Batch { writes }).expect("stored");
    for count in 11..15 {
        store.commit(&message(1, count)).expect("stored");
    }
    let after = crashed(&dir);
    std::fs::write(after.file(), older).unwrap();
    let (store, rows) = file_open(&after);
    assert!(store.opened().lost_batches >= 4, "{:?}", store.opened());
    let count = &rows.rows[&(StreamId(1), RowKey::Stream(StreamId(1)))];
    assert!(count[..] < 11usize.to_le_bytes()[..], "{count:?}");
}
