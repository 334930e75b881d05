//! What may be found where a store should be.

use crate::util::{Model, TempDir, block, content, key, open_file, put, tables};
use midge_engine::{Batch, RowKey, StreamId, Write};
use midge_store::{Store, StoreConfig, StoreError, compact, recover, verify};
use redb::{Database, TableDefinition};
use std::path::Path;

fn refusal(path: &Path) -> String {
    let before = std::fs::read(path).ok();
    let error = open_file(path).expect_err("refused");
    assert_eq!(std::fs::read(path).ok(), before, "left as it was");
    error.to_string()
}

#[test]
fn a_new_store_is_empty_and_keeps_what_it_is_given() {
    let dir = TempDir::new();
    let (store, rows) = open_file(&dir.file()).expect("made");
    assert!(rows == Model::default());
    let key = key(7, 1);
    let big = crate::util::block(key, &[1 << 20], 1);
    let batch = Batch {
        writes: put(key, &big),
    };
    let commit = store.commit(&batch).expect("stored");
    // A value of 1 MiB and a little would take 2 MiB.
    assert!(commit.written_bytes < (1 << 20) + (200 << 10), "{commit:?}");
    drop(store);
    let (store, rows) = open_file(&dir.file()).expect("opens");
    assert!(!store.opened().was_repaired);
    let mut model = Model::default();
    model.apply(&batch);
    assert!(content(&store, rows, [key]) == model);
}

#[cfg(unix)]
#[test]
fn a_new_file_is_for_its_owner() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TempDir::new();
    drop(open_file(&dir.file()).expect("made"));
    let mode = std::fs::metadata(dir.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_is_no_store_is_refused_and_left_alone() {
    let dir = TempDir::new();
    assert!(refusal(dir.path()).ends_with("is not a midge store: it is a directory"));
    let text = dir.path().join("text");
    std::fs::write(&text, "a".repeat(10_000)).unwrap();
    assert!(refusal(&text).ends_with("is not a midge store: it does not begin like one"));
    std::fs::write(&text, "short").unwrap();
    assert!(refusal(&text).ends_with("is not a midge store: it does not begin like one"));
    let missing = dir.path().join("no/such/place");
    assert!(refusal(&missing).starts_with("cannot open "));
    let other = dir.path().join("other.redb");
    let db = Database::create(&other).unwrap();
    let write = db.begin_write().unwrap();
    write
        .open_table(TableDefinition::<u64, u64>::new("theirs"))
        .unwrap();
    write.commit().unwrap();
    drop(db);
    let error = open_file(&other).expect_err("refused").to_string();
    assert!(error.ends_with("is not a midge store: it is a bare redb file"));
}

#[test]
fn a_file_in_use_and_a_newer_one_are_refused() {
    let dir = TempDir::new();
    let (store, _) = open_file(&dir.file()).expect("made");
    let error = open_file(&dir.file()).expect_err("in use");
    assert!(matches!(error, StoreError::InUse(_)));
    assert!(error.to_string().ends_with("is in use by another process"));
    assert!(matches!(verify(&dir.file()), Err(StoreError::InUse(_))));
    let recovered = recover(&dir.file(), &dir.path().join("other.redb"));
    assert!(matches!(recovered, Err(StoreError::InUse(_))));
    drop(store);
    let db = tables(&dir.file());
    let write = db.begin_write().unwrap();
    let meta = TableDefinition::<&[u8; 14], &[u8]>::new("meta");
    write
        .open_table(meta)
        .unwrap()
        .insert(b"format\0\0\0\0\0\0\0\0", &99u64.to_le_bytes()[..])
        .unwrap();
    write.commit().unwrap();
    drop(db);
    let error = open_file(&dir.file()).expect_err("newer");
    assert!(matches!(error, StoreError::Newer { found: 99, .. }));
    assert!(error.to_string().contains("a newer midge is needed"));
}

/// What wrote format 1 compressed nothing, and what wrote format 2 had one round
/// in the journal.
#[test]
fn a_file_of_a_format_before_is_opened_and_brought_up_to_date() {
    for before in [1, 2] {
        brought_up_to_date(before);
    }
}

fn brought_up_to_date(from: u64) {
    let dir = TempDir::new();
    let (store, _) = open_file(&dir.file()).expect("made");
    let key = key(1, 1);
    let bytes = block(key, &[200_000], 7);
    let writes = put(key, &bytes);
    store.commit(&Batch { writes }).expect("stored");
    store.close().expect("closes");
    let format = || {
        let db = tables(&dir.file());
        let meta = TableDefinition::<&[u8; 14], &[u8]>::new("meta");
        let write = db.begin_write().unwrap();
        let mut table = write.open_table(meta).unwrap();
        let before = table
            .insert(b"format\0\0\0\0\0\0\0\0", &from.to_le_bytes()[..])
            .unwrap();
        let before = before.unwrap().value().to_vec();
        drop(table);
        write.commit().unwrap();
        before
    };
    assert_eq!(format(), 3u64.to_le_bytes());
    let (store, _) = open_file(&dir.file()).expect("opens");
    let loaded = store.load(key).expect("read").expect("there");
    assert_eq!(loaded.block.bytes(), &bytes);
    store.close().expect("closes");
    assert_eq!(format(), 3u64.to_le_bytes());
}

#[test]
fn a_file_whose_making_was_cut_short_is_made_again() {
    let dir = TempDir::new();
    for len in [1, 100, 4096, 8192] {
        std::fs::write(dir.file(), vec![0; len]).unwrap();
        drop(open_file(&dir.file()).expect("made"));
        std::fs::remove_file(dir.file()).unwrap();
    }
    // Its head was there already, and something of redb's part.
    drop(open_file(&dir.file()).expect("made"));
    let at = crate::util::tables_at(&dir.file()) as usize;
    let whole = std::fs::read(dir.file()).unwrap();
    for len in [8192, at, at + 100, at + (1 << 20)] {
        let mut begun = whole[..len.min(at)].to_vec();
        begun.resize(len, 0);
        std::fs::write(dir.file(), &begun).unwrap();
        drop(open_file(&dir.file()).expect("made"));
    }
    let mut almost = whole[..at].to_vec();
    almost.resize(at + (1 << 20), 0);
    almost[at + 900_000] = 1;
    std::fs::write(dir.file(), almost).unwrap();
    assert!(refusal(&dir.file()).contains("its tables do not begin like redb's"));
}

#[test]
fn a_file_that_was_cut_is_not_taken_for_a_new_one() {
    let dir = TempDir::new();
    let (store, _) = open_file(&dir.file()).expect("made");
    let key = key(1, 1);
    let writes = put(key, &crate::util::block(key, &[1000], 1));
    store.commit(&Batch { writes }).expect("stored");
    drop(store);
    let at = crate::util::tables_at(&dir.file()) as usize;
    let whole = std::fs::read(dir.file()).unwrap();
    for len in [at, at + 100_000] {
        let mut cut = whole[..at].to_vec();
        cut.resize(len, 0);
        std::fs::write(dir.file(), cut).unwrap();
        assert!(refusal(&dir.file()).contains("its tables are gone"));
    }
    std::fs::write(dir.file(), &whole[..100_000]).unwrap();
    assert!(refusal(&dir.file()).contains("it ends before its tables begin"));
    std::fs::write(dir.file(), vec![0; 100_000]).unwrap();
    assert!(refusal(&dir.file()).ends_with("its head is damaged"));
}

#[test]
fn a_row_under_an_unknown_key_is_left_alone() {
    let dir = TempDir::new();
    drop(open_file(&dir.file()).expect("made"));
    let db = tables(&dir.file());
    let write = db.begin_write().unwrap();
    let rows = TableDefinition::<&[u8; 14], &[u8]>::new("rows");
    let unknown = [0, 0, 0, 1, 77, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    write
        .open_table(rows)
        .unwrap()
        .insert(&unknown, &b"later"[..])
        .unwrap();
    write.commit().unwrap();
    drop(db);
    let (store, rows) = open_file(&dir.file()).expect("opens");
    assert_eq!((store.opened().unknown_rows, rows.rows.len()), (1, 0));
}

#[test]
fn compacting_gives_room_back() {
    let dir = TempDir::new();
    let (store, _) = open_file(&dir.file()).expect("made");
    let keys: Vec<_> = (0..100).map(|place| key(1, 1 + place * 10)).collect();
    for key in &keys {
        let bytes = crate::util::block(*key, &[60_000], 3);
        let writes = put(*key, &bytes);
        store.commit(&Batch { writes }).expect("stored");
    }
    let kept = Write::PutRow(RowKey::Stream(StreamId(2)), b"kept".to_vec());
    let writes = vec![Write::RemoveStream(StreamId(1)), kept];
    store.commit(&Batch { writes }).expect("stored");
    assert!(matches!(
        compact(&dir.file(), &mut |_, _| {}),
        Err(StoreError::InUse(_))
    ));
    store.close().expect("closes");
    let done = compact(&dir.file(), &mut |_, _| {}).expect("compacts");
    assert!(done.after <= done.before, "{done:?}");
    assert_eq!(done.after, std::fs::metadata(dir.file()).unwrap().len());
    let (store, rows) = open_file(&dir.file()).expect("opens");
    assert_eq!(rows.rows.len(), 1);
    assert!(store.load(keys[0]).expect("readable").is_none());
    assert!(matches!(
        compact(&dir.path().join("none"), &mut |_, _| {}),
        Err(StoreError::Io { .. })
    ));
}

#[test]
fn a_block_that_is_too_long_is_refused() {
    let dir = TempDir::new();
    let mut rows = Model::default();
    let store = Store::open(&StoreConfig::new(dir.file()), &mut rows).expect("made");
    let too_long = block(key(1, 1), &[midge_store::STORED_BLOCK_LEN_MAX], 0);
    let writes = put(key(1, 1), &too_long);
    let error = store.commit(&Batch { writes }).expect_err("too long");
    assert!(matches!(error, StoreError::TooLong { .. }));
    store.commit(&Batch::default()).expect("goes on");
}
