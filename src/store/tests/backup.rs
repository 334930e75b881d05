//! A backup is one moment of the store, and what is not whole is refused.

use crate::util::{
    Model, Random, TempDir, all_keys, block, content, key, open_file, open_on, put, random_batch,
    seeds,
};
use midge_engine::{Batch, RowKey, StreamId, Write};
use midge_store::fault::FaultDisk;
use midge_store::{
    BackupError, BackupLook, Event, Partial, RestoreError, Store, StoreConfig, StoreError,
    StoreHandle, restore, verify,
};
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

/// Takes what is left of a backup in chunks.
fn take(store: &Store, len: usize) -> Vec<u8> {
    let mut backup = store.backup().expect("begins");
    let mut bytes = Vec::new();
    loop {
        let chunk = backup.next(len).expect("read");
        bytes.extend_from_slice(&chunk);
        if chunk.len() < len {
            assert!(backup.next(len).expect("read").is_empty());
            return bytes;
        }
    }
}

fn look(bytes: &[u8], step: usize) -> Result<midge_store::VerifyReport, BackupError> {
    let mut look = BackupLook::default();
    for piece in bytes.chunks(step) {
        look.look(piece, &mut Model::default())?;
    }
    look.finish()
}

/// What is in a store that was made of these bytes.
fn restored(dir: &TempDir, bytes: &[u8]) -> Model {
    let from = dir.path().join("backup");
    let to = dir.path().join("restored");
    let _ = std::fs::remove_file(&to);
    std::fs::write(&from, bytes).unwrap();
    let done = restore(&from, Some(&to), &mut Model::default(), &mut |_, _| {}).expect("restores");
    assert!(done.report.is_sound(), "{:?}", done.report);
    assert!(done.taken > 0);
    assert!(verify(&to).expect("looks").is_sound());
    let (store, rows) = open_file(&to).expect("opens");
    content(&store, rows, all_keys())
}

fn small() -> Vec<u8> {
    let dir = TempDir::new();
    let (store, _) = open_file(&dir.file()).expect("opens");
    let key = key(1, 1);
    let mut writes = put(key, &block(key, &[20, 30], 7));
    writes.push(Write::PutRow(RowKey::Stream(StreamId(1)), vec![5; 9]));
    store.commit(&Batch { writes }).expect("stored");
    take(&store, 1 << 20)
}

#[test]
fn a_backup_is_what_was_durable_when_it_began() {
    let dir = TempDir::new();
    for seed in seeds(6) {
        let disk = FaultDisk::new(seed);
        let (store, _) = open_on(&disk).expect("opens");
        let mut random = Random(seed);
        let mut model = Model::default();
        for _ in 0..1 + random.below(12) {
            let batch = random_batch(&mut random);
            store.commit(&batch).expect("stored");
            model.apply(&batch);
        }
        let mut backup = store.backup().expect("begins");
        let mut bytes = Vec::new();
        loop {
            let chunk = backup.next(1 + random.below(9000) as usize).expect("read");
            if chunk.is_empty() {
                break;
            }
            bytes.extend_from_slice(&chunk);
            if random.below(4) == 0 {
                store.commit(&random_batch(&mut random)).expect("stored");
            }
        }
        assert!(restored(&dir, &bytes) == model, "seed {seed}");
    }
}

#[test]
fn chunks_of_any_length_make_the_same_bytes() {
    let dir = TempDir::new();
    let (store, _) = open_file(&dir.file()).expect("opens");
    let long = key(2, 1);
    let mut writes = put(long, &block(long, &[200_000], 3));
    writes.extend(put(key(1, 1), &block(key(1, 1), &[10; 50], 4)));
    store.commit(&Batch { writes }).expect("stored");
    // The moment that it was made at, and with it the checksums, differ.
    let lens = [1, 7, 4096, 1 << 20].map(|len| take(&store, len).len());
    assert_eq!(lens, [lens[0]; 4]);
    let bytes = take(&store, 1000);
    for step in [1, 13, 70_000] {
        let report = look(&bytes, step).expect("whole");
        assert_eq!((report.records, report.blocks, report.rows), (51, 2, 2));
    }
    drop(store);
    let model = restored(&dir, &bytes);
    assert_eq!(model.blocks.len(), 2);
}

#[test]
fn every_flipped_bit_is_noticed() {
    let bytes = small();
    look(&bytes, 64).expect("whole");
    for bit in 0..8 * bytes.len() {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(look(&bytes, 1 << 20).is_err(), "bit {bit}");
    }
}

#[test]
fn what_is_cut_short_or_goes_on_is_refused() {
    let bytes = small();
    for len in 0..bytes.len() {
        let refused = look(&bytes[..len], 100).expect_err("cut short");
        assert_eq!(refused, BackupError::CutShort(len as u64));
    }
    let longer = [&bytes[..], b"x"].concat();
    assert_eq!(
        look(&longer, 100),
        Err(BackupError::TooLong(bytes.len() as u64))
    );
    assert_eq!(look(b"something else", 3), Err(BackupError::NotABackup));
}

/// One that was made before blocks were compressed.
#[test]
fn a_backup_of_the_version_before_is_restored() {
    let mut bytes = small();
    let ends: Vec<usize> = [20]
        .into_iter()
        .chain(entries(&bytes).into_iter().map(|entry| entry.end))
        .collect();
    assert_eq!(bytes[7], b'2');
    bytes[7] = b'1';
    let (mut crc, mut at) = (0, 0);
    for end in ends {
        crc = crc32c::crc32c_append(crc, &bytes[at..end - 4]);
        bytes[end - 4..end].copy_from_slice(&crc.to_le_bytes());
        at = end;
    }
    let dir = TempDir::new();
    assert_eq!(restored(&dir, &bytes).blocks.len(), 1);
    for (version, error) in [(b'3', BackupError::Newer), (b'0', BackupError::Newer)] {
        let mut head = bytes[..20].to_vec();
        head[7] = version;
        let crc = crc32c::crc32c(&head[..16]);
        head[16..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(look(&head, 100), Err(error));
    }
}

/// Where the entries of a backup begin and end, from what `README.md` says.
fn entries(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut at = 20;
    let mut found = Vec::new();
    while at < bytes.len() {
        let key = match bytes[at] {
            1 | 2 => 14,
            _ => 0,
        };
        let len = &bytes[at + 1 + key..][..4];
        let len = u32::from_le_bytes(len.try_into().unwrap()) as usize;
        let end = at + 1 + key + 4 + len + 4;
        found.push(at..end);
        at = end;
    }
    found
}

#[test]
fn parts_that_are_missing_or_swapped_are_noticed() {
    let (bytes, other) = (small(), small());
    let entries = entries(&bytes);
    assert_eq!(entries.len(), 4, "two rows, a part, the end");
    for (place, entry) in entries.iter().enumerate() {
        let without = [&bytes[..entry.start], &bytes[entry.end..]].concat();
        assert!(look(&without, 1 << 20).is_err(), "without {place}");
        let twice = [&bytes[..entry.end], &bytes[entry.start..]].concat();
        assert!(look(&twice, 1 << 20).is_err(), "{place} twice");
        // The same from another backup; the last of them knows of all.
        let from_other = [&bytes[..entry.start], &other[entry.start..]].concat();
        assert!(
            look(&from_other, 1 << 20).is_err(),
            "the other's from {place}"
        );
    }
}

#[test]
fn damage_in_the_store_is_told_and_restored_with_the_rest() {
    let dir = TempDir::new();
    let (store, _) = open_file(&dir.file()).expect("opens");
    let key = key(1, 1);
    let mut damaged = block(key, &[40, 40, 40], 7).to_vec();
    damaged[24 + 80 + 40] ^= 1;
    let damaged = bytes::Bytes::from(damaged);
    store
        .commit(&Batch {
            writes: put(key, &damaged),
        })
        .expect("stored");
    let bytes = take(&store, 500);
    drop(store);
    let report = look(&bytes, 100).expect("what was written");
    assert_eq!((report.damaged, report.records), (1, 2));
    let (from, to) = (dir.path().join("backup"), dir.path().join("restored"));
    std::fs::write(&from, &bytes).unwrap();
    let done = restore(&from, Some(&to), &mut Model::default(), &mut |_, _| {}).expect("restores");
    assert_eq!(done.report, report);
    let (store, _) = open_file(&to).expect("opens");
    let loaded = store.load(key).expect("read").expect("there");
    assert_eq!(loaded.block.bytes(), &damaged);
}

#[test]
fn what_is_refused_leaves_nothing_and_what_is_there_stays() {
    let dir = TempDir::new();
    let (from, to) = (dir.path().join("backup"), dir.path().join("restored"));
    let run = |to: Option<&Path>| restore(&from, to, &mut Model::default(), &mut |_, _| {});
    assert!(matches!(run(Some(&to)), Err(RestoreError::Read(..))));
    let bytes = small();
    std::fs::write(&from, &bytes[..bytes.len() - 1]).unwrap();
    assert!(matches!(run(Some(&to)), Err(RestoreError::Backup(..))));
    std::fs::write(&from, &bytes).unwrap();
    run(None).expect("whole");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    std::fs::write(&to, "mine").unwrap();
    assert!(matches!(
        run(Some(&to)),
        Err(RestoreError::Store(StoreError::Exists(_)))
    ));
    assert_eq!(std::fs::read(&to).unwrap(), b"mine");
    // What an ended one has left behind is in nobody's way.
    std::fs::remove_file(&to).unwrap();
    std::fs::write(dir.path().join("restored.partial"), "half").unwrap();
    run(Some(&to)).expect("restores");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn of_two_files_with_one_name_the_second_is_refused() {
    let dir = TempDir::new();
    let (from, to) = (dir.path().join("backup"), dir.path().join("restored"));
    std::fs::write(&from, small()).unwrap();
    let one = Partial::make(&to).expect("made");
    one.file().write_all(b"half").unwrap();
    let other = restore(&from, Some(&to), &mut Model::default(), &mut |_, _| {});
    let is_in_use = matches!(other, Err(RestoreError::Store(StoreError::InUse(_))));
    assert!(is_in_use, "{other:?}");
    one.file().write_all(b" and half").unwrap();
    one.finish().expect("named");
    assert_eq!(std::fs::read(&to).unwrap(), b"half and half");
    let late = Partial::make(&to);
    assert!(matches!(late, Err(StoreError::Exists(_))), "{late:?}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn a_power_cut_while_a_backup_is_taken_costs_nothing() {
    let work = |disk: &FaultDisk, batches: &[Batch]| -> usize {
        let Ok((store, _)) = open_on(disk) else {
            return 0;
        };
        let Ok(mut backup) = store.backup() else {
            return 0;
        };
        for (number, batch) in batches.iter().enumerate() {
            let _ = backup.next(2000);
            if store.commit(batch).is_err() || (number % 3 == 2 && store.settle().is_err()) {
                return number;
            }
        }
        batches.len()
    };
    for seed in seeds(2) {
        let mut random = Random(seed);
        let batches: Vec<_> = (0..8).map(|_| random_batch(&mut random)).collect();
        let mut states = vec![Model::default()];
        for batch in &batches {
            let mut next = states[states.len() - 1].clone();
            next.apply(batch);
            states.push(next);
        }
        let whole = FaultDisk::new(seed);
        work(&whole, &batches);
        for cut in (0..whole.operations()).step_by(2) {
            let disk = FaultDisk::new(seed ^ (cut << 20));
            disk.cut_at(cut);
            let durable = work(&disk, &batches);
            disk.power_on();
            let (store, rows) = open_on(&disk).expect("opens");
            let found = content(&store, rows, all_keys());
            assert!(states[durable..].contains(&found), "seed {seed}, cut {cut}");
        }
    }
}

#[test]
fn the_threads_take_one_between_two_batches() {
    let dir = TempDir::new();
    let store = Store::open(&StoreConfig::new(dir.file()), &mut Model::default()).expect("opens");
    let (wake, woken) = channel();
    let handle = StoreHandle::start(store, Model::default, move || {
        let _ = wake.send(());
    })
    .expect("threads start");
    let batch = |first: u64| Batch {
        writes: put(key(1, first), &block(key(1, first), &[100], 9)),
    };
    let mut events = Vec::new();
    let mut committed = 0;
    let mut submitted = 0;
    let mut before = None;
    let mut bytes = Vec::new();
    let len = 300;
    let mut is_over = false;
    assert!(!handle.next_chunk(7, len), "there is none yet");
    while !is_over {
        if handle.submit(batch(1 + 10 * submitted)).is_ok() {
            submitted += 1;
            if submitted == 20 {
                assert!(handle.begin_backup(7));
            }
        }
        let _ = woken.recv_timeout(Duration::from_millis(1));
        handle.take_events(&mut events);
        for event in events.drain(..) {
            match event {
                Event::Committed(_) => committed += 1,
                Event::BackupBegun(7) => {
                    before = Some(committed);
                    assert!(handle.next_chunk(7, len));
                }
                Event::Chunk { id: 7, result } => {
                    let chunk = result.expect("read");
                    bytes.extend_from_slice(&chunk);
                    is_over = chunk.len() < len;
                    assert!(is_over || handle.next_chunk(7, len));
                }
                other => panic!("{other:?}"),
            }
        }
    }
    handle.end_backup();
    assert!(!handle.next_chunk(7, len), "it was let go of");
    drop(handle);
    let blocks = look(&bytes, 100).expect("whole").blocks;
    assert_eq!(Some(blocks), before, "those that were told before");
}
