//! Bits flip.

use crate::util::{
    Random, TempDir, all_keys, block, key, open_on, put, random_batch, seeds, summary,
};
use midge_engine::{Batch, Block, BlockKey, RowKey, StreamId, Write};
use midge_store::fault::FaultDisk;
use midge_store::{StoreError, recover, verify};
use std::collections::BTreeMap;

const FLIPS: u64 = 150;
/// Where the journal's records begin.
const JOURNAL_AT: usize = 8192;

/// Everything that was ever written under a key. After a crash redb takes a
/// damaged last commit for one that was cut short and goes back by one, so
/// what it finds may be older than the newest.
#[derive(Default)]
pub(crate) struct Written {
    rows: BTreeMap<(StreamId, RowKey), Vec<Vec<u8>>>,
    blocks: BTreeMap<BlockKey, Vec<Block>>,
}

impl Written {
    pub(crate) fn note(&mut self, batch: &Batch) {
        for write in &batch.writes {
            match write {
                Write::PutBlock(block) => {
                    let blocks = self.blocks.entry(block.key()).or_default();
                    blocks.push(block.clone());
                }
                Write::PutRow(key, value) => {
                    let place = (key.stream(), *key);
                    self.rows.entry(place).or_default().push(value.clone());
                }
                _ => {}
            }
        }
    }

    pub(crate) fn has_row(&self, place: &(StreamId, RowKey), value: &Vec<u8>) -> bool {
        // A summary is made anew from a block that may have lost records.
        matches!(place.1, RowKey::Summary(_))
            || self.rows.get(place).is_some_and(|all| all.contains(value))
    }

    pub(crate) fn has_records(&self, found: &Block) -> bool {
        let Some(all) = self.blocks.get(&found.key()) else {
            return found.present() == 0;
        };
        found.records().all(|record| {
            all.iter()
                .any(|block| block.get(record.seq) == Some(record))
        })
    }
}

/// Flips a bit somewhere, not in the zeros that make up most of a small file:
/// anywhere, or where redb's own pages begin.
fn flip(image: &mut [u8], random: &mut Random) -> usize {
    let at = loop {
        let at = random.below(image.len() as u64) as usize;
        if image[at] != 0 {
            break at;
        }
    };
    let at = match random.below(4) {
        0 => (at & !4095) + random.below(300) as usize,
        // What was stored last.
        1 => {
            let journal = tables_at(image) - JOURNAL_AT;
            JOURNAL_AT + random.below(journal as u64) as usize
        }
        _ => at,
    };
    image[at] ^= 1 << random.below(8);
    at
}

#[derive(Debug, Default)]
struct Tally {
    refused: u32,
    unreadable: u32,
    noticed: u32,
    unharmed: u32,
}

/// Opens a damaged image and reads all of it. Nothing may be there that was
/// never written.
fn read_all(what: &str, image: Vec<u8>, written: &Written, tally: &mut Tally) {
    let disk = FaultDisk::holding(1, image);
    let Ok((store, rows)) = open_on(&disk) else {
        tally.refused += 1;
        return;
    };
    let mut is_noticed = store.opened().damaged_rows > 0 || store.opened().unknown_rows > 0;
    for (place, value) in &rows.rows {
        assert!(written.has_row(place, value), "{what}: {place:?}");
    }
    let mut is_unreadable = false;
    for key in all_keys() {
        match store.load(key) {
            Err(_) => is_unreadable = true,
            Ok(None) => {}
            Ok(Some(loaded)) => {
                is_noticed |= loaded.lost > 0;
                assert!(written.has_records(&loaded.block), "{what}: {key:?}");
            }
        }
    }
    // Whatever these say, they say it.
    is_noticed |= !store.verify().is_ok_and(|report| report.is_sound());
    is_unreadable |= store.commit(&random_batch(&mut Random(1))).is_err();
    is_unreadable |= store.close().is_err();
    match (is_unreadable, is_noticed) {
        (true, _) => tally.unreadable += 1,
        (false, true) => tally.noticed += 1,
        (false, false) => tally.unharmed += 1,
    }
}

#[test]
fn nothing_is_read_that_was_never_written() {
    // What redb panics over is an error of ours, and not worth a backtrace.
    std::panic::set_hook(Box::new(|info| {
        let is_ours = std::thread::current()
            .name()
            .is_some_and(|name| name.contains("damage"));
        if !is_ours
            || info
                .location()
                .is_some_and(|at| at.file().contains("tests"))
        {
            eprintln!("{info}");
        }
    }));
    let mut tally = Tally::default();
    for seed in seeds(3) {
        let mut random = Random(seed);
        let disk = FaultDisk::new(seed);
        let (store, _) = open_on(&disk).expect("opens");
        let mut written = Written::default();
        for _ in 0..30 {
            let batch = random_batch(&mut random);
            store.commit(&batch).expect("stored");
            written.note(&batch);
        }
        // Both as a crash leaves it and as a clean stop does.
        let crashed = disk.image();
        store.close().expect("closes");
        let closed = disk.image();
        for number in 0..FLIPS {
            let mut image = if number % 2 == 0 { &crashed } else { &closed }.clone();
            let at = flip(&mut image, &mut random);
            let what = format!("seed {seed}, flip {number} at byte {at}");
            read_all(&what, image, &written, &mut tally);
        }
    }
    println!("{tally:?}");
    assert!(tally.noticed + tally.refused > 0, "flips hit something");
}

/// Changes a byte of a stored value where the pattern is found.
fn damage(disk: &FaultDisk, pattern: &[u8], at: usize) -> FaultDisk {
    let mut image = disk.image();
    let mut hits = 0;
    for start in 0..image.len() - pattern.len() {
        if image[start..].starts_with(pattern) {
            image[start + at] ^= 0x30;
            hits += 1;
        }
    }
    assert!(hits > 0, "the pattern is in the file");
    FaultDisk::holding(1, image)
}

/// A file as redb leaves it after a commit that was not written for a quick
/// start. None of ours are: this is for what redb may come to by itself.
fn not_closed(disk: &FaultDisk) -> FaultDisk {
    let mut image = disk.image();
    let at = tables_at(&image);
    // Of the flags: recovery is required, the commit had one phase.
    image[at + 9] = (image[at + 9] | 2) & !4;
    FaultDisk::holding(1, image)
}

fn tables_at(image: &[u8]) -> usize {
    u64::from_le_bytes(image[16..24].try_into().unwrap()) as usize
}

fn with_one_block() -> (FaultDisk, BlockKey, Vec<u8>) {
    let disk = FaultDisk::new(1);
    let (store, _) = open_on(&disk).expect("opens");
    let key = key(1, 1);
    let bytes = block(key, &[10, 20, 30], 0xab);
    let summary = summary(key, &bytes);
    let mut writes = put(key, &bytes);
    writes.push(Write::PutRow(
        RowKey::Stream(StreamId(1)),
        b"a stream's row".to_vec(),
    ));
    store.commit(&Batch { writes }).expect("stored");
    store.close().expect("closes");
    (disk, key, summary)
}

#[test]
fn a_damaged_summary_is_made_anew() {
    let (disk, key, summary) = with_one_block();
    let damaged = damage(&disk, &summary, 3);
    let (store, rows) = open_on(&damaged).expect("opens");
    let place = (StreamId(1), RowKey::Summary(key));
    assert_eq!(rows.rows.get(&place), Some(&summary));
    assert_eq!(rows.damaged, []);
    let opened = store.opened();
    assert_eq!((opened.damaged_rows, opened.remade_summaries), (1, 1));
}

/// One bit is found again by the checksum, wherever it is: also in the key,
/// under which another row would be looked for.
#[test]
fn a_row_with_a_flipped_bit_is_put_right() {
    let (disk, _, _) = with_one_block();
    let value = b"a stream's row";
    let image = disk.image();
    let at = (0..image.len())
        .rfind(|at| image[*at..].starts_with(value))
        .expect("it is there");
    let place = (StreamId(1), RowKey::Stream(StreamId(1)));
    for bit in 0..8 * value.len() {
        let mut flipped = image.clone();
        for start in 0..flipped.len() - value.len() {
            if image[start..].starts_with(value) {
                flipped[start + bit / 8] ^= 1 << (bit % 8);
            }
        }
        let damaged = FaultDisk::holding(1, flipped);
        let (store, rows) = open_on(&damaged).expect("opens");
        assert_eq!(rows.rows.get(&place).map(Vec::as_slice), Some(&value[..]));
        assert_eq!((store.opened().damaged_rows, rows.damaged.len()), (1, 0));
        store.rewrite_rows().expect("written anew");
        drop(store);
        let (store, _) = open_on(&damaged).expect("opens");
        assert_eq!(store.opened().damaged_rows, 0, "byte {at}, bit {bit}");
    }
}

/// What is newer in the journal counts, whatever row in the tables has a key
/// that seems to lie behind it.
#[test]
fn a_damaged_key_does_not_bring_older_rows_back() {
    let disk = FaultDisk::new(1);
    let row = |stream: u32, value: &[u8]| {
        let key = RowKey::Stream(StreamId(stream));
        Write::PutRow(key, value.to_vec())
    };
    let (store, _) = open_on(&disk).expect("opens");
    let writes = (1..=9).map(|stream| row(stream, b"older")).collect();
    store.commit(&Batch { writes }).expect("stored");
    store.close().expect("closes");
    let (store, _) = open_on(&disk).expect("opens");
    let writes = (1..=9).map(|stream| row(stream, b"newer")).collect();
    store.commit(&Batch { writes }).expect("stored");
    drop(store);
    let image = disk.image();
    // Row keys lie behind one another in their page.
    let keys = [0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4];
    let mut hits = 0;
    for at in tables_at(&image)..image.len() - keys.len() {
        if !image[at..].starts_with(&keys) {
            continue;
        }
        hits += 1;
        let mut flipped = image.clone();
        flipped[at] ^= 0x08;
        flipped[at + 5] ^= 0x02;
        let (_, rows) = open_on(&FaultDisk::holding(1, flipped)).expect("opens");
        for stream in 1..=9 {
            let place = (StreamId(stream), RowKey::Stream(StreamId(stream)));
            assert_eq!(rows.rows[&place], b"newer", "stream {stream}");
        }
    }
    assert!(hits > 0, "the keys are in the file");
}

#[test]
fn a_damaged_row_is_reported_and_a_damaged_record_left_out() {
    let (disk, key, _) = with_one_block();
    let damaged = damage(&disk, b"a stream's row", 0);
    let (store, rows) = open_on(&damaged).expect("opens");
    assert_eq!(rows.damaged, [RowKey::Stream(StreamId(1))]);
    assert_eq!((store.opened().rows, store.opened().damaged_rows), (1, 1));
    drop(store);

    let damaged = damage(&disk, &[0xab; 20], 0);
    let (store, _) = open_on(&damaged).expect("opens");
    let loaded = store.load(key).expect("readable").expect("there");
    assert!(loaded.lost > 0);
    assert_eq!(loaded.block.present() + loaded.lost as usize, 3);
}

#[test]
fn what_is_whole_in_a_file_that_cannot_be_opened_is_got_out() {
    let disk = FaultDisk::new(1);
    let (store, _) = open_on(&disk).expect("opens");
    for first in [1, 10, 20] {
        let key = key(1, first);
        let writes = put(key, &block(key, &[100; 5], first as u8 | 0x80));
        store.commit(&Batch { writes }).expect("stored");
    }
    let big = key(2, 1);
    let writes = put(big, &block(big, &[300_000], 1));
    store.commit(&Batch { writes }).expect("stored");
    store.close().expect("closes");
    // A bit in the second block, and redb is told to look at everything.
    let damaged = damage(&disk, &[10 | 0x80; 100], 50);
    let damaged = not_closed(&damaged);
    let error = open_on(&damaged).expect_err("redb refuses all of it");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");

    let dir = TempDir::new();
    std::fs::write(dir.file(), damaged.image()).unwrap();
    let report = verify(&dir.file()).expect("says so");
    assert_eq!(
        (report.pages_are_sound, report.is_sound()),
        (Some(false), false)
    );
    let before = std::fs::read(dir.file()).unwrap();
    let to = dir.path().join("recovered.redb");
    let recovered = recover(&dir.file(), &to).expect("recovers");
    assert_eq!(std::fs::read(dir.file()).unwrap(), before, "left as it was");
    assert!(recovered.is_complete, "{recovered:?}");
    let counts = (recovered.blocks, recovered.records, recovered.lost_records);
    // The pattern is also in the record's neighbours.
    assert_eq!((counts.0, counts.1 + counts.2), (4, 16));
    assert!(counts.2 > 0 && counts.1 >= 11, "{recovered:?}");
    let (store, rows) = crate::util::open_file(&to).expect("opens");
    assert_eq!(rows.rows.len(), 4);
    assert_eq!(
        store.load(big).expect("readable").map(|loaded| loaded.lost),
        Some(0)
    );
    drop(store);
    let again = recover(&dir.file(), &to).expect_err("there is a file");
    assert!(again.to_string().contains("exists"), "{again}");
}

/// Whatever is flipped, what is got out was written once.
#[test]
fn recovering_makes_nothing_up() {
    let (mut tried, mut recovered) = (0, 0);
    for seed in seeds(2) {
        let mut random = Random(seed ^ 77);
        let disk = FaultDisk::new(seed);
        let (store, _) = open_on(&disk).expect("opens");
        let mut written = Written::default();
        for _ in 0..20 {
            let batch = random_batch(&mut random);
            store.commit(&batch).expect("stored");
            written.note(&batch);
        }
        let crashed = disk.image();
        for number in 0..25 {
            let mut image = crashed.clone();
            tried += 1;
            let at = flip(&mut image, &mut random);
            let dir = TempDir::new();
            std::fs::write(dir.file(), image).unwrap();
            let to = dir.path().join("recovered.redb");
            if recover(&dir.file(), &to).is_err() {
                continue;
            }
            recovered += 1;
            let what = format!("seed {seed}, flip {number} at byte {at}");
            let (store, rows) = crate::util::open_file(&to).expect("opens");
            for (place, value) in &rows.rows {
                assert!(written.has_row(place, value), "{what}: {place:?}");
            }
            for key in all_keys() {
                if let Some(loaded) = store.load(key).expect("readable") {
                    assert!(written.has_records(&loaded.block), "{what}: {key:?}");
                }
            }
        }
    }
    println!("{recovered} of {tried} files could be read");
    assert!(recovered * 2 > tried, "{recovered} of {tried}");
}
