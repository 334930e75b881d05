//! Blocks that lie in the file compressed.

use crate::util::{TempDir, block, key, open_file, open_on, put, tables, to_be_compressed};
use bytes::Bytes;
use midge_engine::{Batch, Block, BlockKey, Write};
use midge_store::fault::FaultDisk;
use midge_store::{DamageKind, Store, recover, verify};
use redb::{ReadableDatabase, TableDefinition};

const BLOCKS: TableDefinition<'_, &[u8; 14], &[u8]> = TableDefinition::new("blocks");

/// Bytes of a group of a block.
const GROUP_LEN: usize = 16 << 10;

/// A block of some 65 000 bytes, as many messages of 230 B make one.
fn full(first: u64) -> (BlockKey, Bytes) {
    let key = key(1, first);
    (key, to_be_compressed(&block(key, &[200; 270], first as u8)))
}

fn commit(store: &Store, key: BlockKey, bytes: &Bytes) {
    let writes = put(key, bytes);
    store.commit(&Batch { writes }).expect("stored");
}

/// The parts of a block as they lie in the table.
fn stored(dir: &TempDir, first: u8) -> Vec<Vec<u8>> {
    let db = tables(&dir.file());
    let read = db.begin_read().unwrap();
    let table = read.open_table(BLOCKS).unwrap();
    let part = |part| [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, first, part, part];
    table
        .range::<&[u8; 14]>(&part(0)..=&part(255))
        .unwrap()
        .map(|entry| entry.unwrap().1.value().to_vec())
        .collect()
}

fn load(store: &Store, key: BlockKey) -> (Block, u64) {
    let loaded = store.load(key).expect("read").expect("there");
    (loaded.block, loaded.lost)
}

#[test]
fn a_block_comes_back_as_it_was_and_takes_less_room() {
    let dir = TempDir::new();
    let (store, _) = open_file(&dir.file()).expect("made");
    let (plain, plain_bytes) = (key(1, 1), block(key(1, 1), &[200; 270], 1));
    commit(&store, plain, &plain_bytes);
    let mut blocks = vec![(plain, plain_bytes)];
    blocks.push(full(2));
    // Half of it is noise, and more than one part.
    let long = key(1, 3);
    blocks.push((long, to_be_compressed(&block(long, &[200_000], 3))));
    // Too short to be worth it, and too long.
    let (short, huge) = (key(1, 4), key(1, 5));
    blocks.push((short, to_be_compressed(&block(short, &[100; 20], 4))));
    blocks.push((huge, to_be_compressed(&block(huge, &[5_000_000], 5))));
    for (key, bytes) in &blocks {
        commit(&store, *key, bytes);
        // From the journal, if it is there.
        assert_eq!(load(&store, *key).0.bytes(), bytes);
    }
    store.close().expect("closes");
    let lens: Vec<usize> = (1..=5)
        .map(|first| stored(&dir, first).iter().map(Vec::len).sum())
        .collect();
    let of = |place: usize| blocks[place].1.len();
    assert_eq!(lens[0], 2 + of(0));
    assert!(lens[1] < of(1) / 8, "{lens:?}");
    assert!(lens[2] > of(2) / 2 && lens[2] < of(2) / 10 * 8, "{lens:?}");
    assert_eq!(lens[3], 2 + of(3));
    assert!(lens[4] > of(4), "{lens:?}");
    let report = verify(&dir.file()).expect("looks");
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(
        report.bytes,
        blocks
            .iter()
            .map(|(_, bytes)| bytes.len() as u64)
            .sum::<u64>()
    );
    let (store, _) = open_file(&dir.file()).expect("opens");
    for (key, bytes) in &blocks {
        assert_eq!(
            (load(&store, *key).0.bytes(), load(&store, *key).1),
            (bytes, 0)
        );
    }
}

/// Whatever a block was before, nothing is left of it.
#[test]
fn a_block_is_written_over_and_removed_as_a_whole() {
    let dir = TempDir::new();
    let key = key(1, 1);
    let forms = [
        to_be_compressed(&block(key, &[200_000], 3)),
        block(key, &[300_000], 4),
        to_be_compressed(&block(key, &[200; 270], 5)),
        block(key, &[200; 10], 5),
    ];
    for from in &forms {
        for to in &forms {
            let (store, _) = open_file(&dir.file()).expect("opens");
            commit(&store, key, from);
            store.settle().expect("settles");
            commit(&store, key, to);
            store.settle().expect("settles");
            assert_eq!((load(&store, key).0.bytes(), load(&store, key).1), (to, 0));
            assert!(store.verify().expect("looks").is_sound());
            let writes = vec![Write::RemoveBlock(key)];
            store.commit(&Batch { writes }).expect("stored");
            store.close().expect("closes");
            assert_eq!(stored(&dir, 1).len(), 0);
        }
    }
}

/// A disk with one compressed block on it, which has been closed, and where the
/// block's first part lies.
fn one_block() -> (Vec<u8>, BlockKey, Bytes, usize) {
    let disk = FaultDisk::new(1);
    let (store, _) = open_on(&disk).expect("opens");
    let (key, bytes) = full(1);
    commit(&store, key, &bytes);
    store.close().expect("closes");
    let len = (bytes.len() as u32).to_le_bytes();
    let head = [&len[..], &crc32c::crc32c(&len).to_le_bytes()].concat();
    let image = disk.image();
    let places: Vec<usize> = (0..image.len())
        .filter(|at| image[*at..].starts_with(&head))
        .collect();
    assert_eq!(places.len(), 1, "it was written once");
    (image, key, bytes, places[0])
}

#[test]
fn a_flipped_bit_costs_nothing_and_is_told() {
    let (image, key, bytes, at) = one_block();
    for (number, place) in (at - 2..at + 300).enumerate() {
        let mut flipped = image.clone();
        flipped[place] ^= 1 << (number % 8);
        let disk = FaultDisk::holding(1, flipped);
        let (store, _) = open_on(&disk).expect("opens");
        let (block, lost) = load(&store, key);
        assert!(block.bytes() == &bytes && lost == 0, "byte {}", place - at);
        let report = store.verify().expect("looks");
        let kinds: Vec<DamageKind> = report.damage.iter().map(|damage| damage.kind).collect();
        // Nothing hangs on what stands before the head.
        let told = [DamageKind::FlippedBits(1)];
        let told = if place < at { &[][..] } else { &told };
        assert_eq!(kinds, told, "byte {}", place - at);
    }
}

#[test]
fn recovering_puts_a_flipped_bit_right_for_good() {
    let dir = TempDir::new();
    let (image, key, bytes, at) = one_block();
    let mut flipped = image;
    flipped[at + 100] ^= 4;
    std::fs::write(dir.file(), flipped).unwrap();
    let report = verify(&dir.file()).expect("looks");
    assert_eq!(report.damage[0].kind, DamageKind::FlippedBits(1));
    assert_eq!(
        report.damage[0].to_string(),
        "stream 1, sequences 1 to 270: a bit of a block has flipped, which is put right when it is read"
    );
    let to = dir.path().join("recovered");
    let recovered = recover(&dir.file(), &to).expect("recovers");
    assert_eq!((recovered.records, recovered.lost_records), (270, 0));
    let report = verify(&to).expect("looks");
    assert!(report.is_sound(), "{report:?}");
    let (store, _) = open_file(&to).expect("opens");
    assert_eq!(load(&store, key).0.bytes(), &bytes);
}

/// As much as a group, at most, and those that begin or end in it.
#[test]
fn more_damage_costs_a_group() {
    let (image, key, bytes, at) = one_block();
    let written = Block::parse(key, bytes.clone());
    let a_group = (270 * GROUP_LEN).div_ceil(bytes.len()) as u64;
    for place in 20..300 {
        let mut damaged = image.clone();
        for byte in &mut damaged[at + place..at + place + 8] {
            *byte ^= 0x5a;
        }
        let disk = FaultDisk::holding(1, damaged);
        let (store, _) = open_on(&disk).expect("opens");
        let (block, lost) = load(&store, key);
        assert!(lost > 0, "byte {place}");
        // It may hit the end of one and the beginning of the next.
        assert!(lost <= 2 * a_group + 2, "byte {place}: {lost}");
        for record in block.records() {
            assert_eq!(written.get(record.seq), Some(record));
        }
        assert!(!store.verify().expect("looks").is_sound());
    }
}

/// Growing, a block is journaled as what it grows by, whatever it lies as.
#[test]
fn a_compressed_block_goes_on_growing() {
    let disk = FaultDisk::new(1);
    let key = key(1, 1);
    let mut bytes = Bytes::new();
    for count in (20..100).step_by(20) {
        let (store, _) = open_on(&disk).expect("opens");
        assert_eq!(store.opened().lost_batches, 0);
        if count > 20 {
            assert_eq!(
                (load(&store, key).0.bytes(), load(&store, key).1),
                (&bytes, 0)
            );
        }
        bytes = to_be_compressed(&block(key, &vec![300; count], 1));
        commit(&store, key, &bytes);
        if count % 40 == 0 {
            store.settle().expect("settles");
            bytes = to_be_compressed(&block(key, &vec![300; count + 10], 1));
            commit(&store, key, &bytes);
        }
        drop(store);
    }
    let (store, _) = open_on(&disk).expect("opens");
    assert_eq!(
        (load(&store, key).0.bytes(), load(&store, key).1),
        (&bytes, 0)
    );
}
