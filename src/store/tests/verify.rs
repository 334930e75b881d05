//! A look at everything finds what is wrong and nothing else.

use crate::util::{TempDir, block, key, open_file, put, tables};
use midge_engine::{Batch, RowKey, Seq, StreamId, Write};
use midge_store::{Damage, DamageKind, verify};
use redb::{ReadableTable, TableDefinition};

const ROWS: TableDefinition<'_, &[u8; 14], &[u8]> = TableDefinition::new("rows");
const BLOCKS: TableDefinition<'_, &[u8; 14], &[u8]> = TableDefinition::new("blocks");

fn part(stream: u8, first: u8, part: u8) -> [u8; 14] {
    [0, 0, 0, stream, 0, 0, 0, 0, 0, 0, 0, first, 0, part]
}

fn summary(stream: u8, first: u8) -> [u8; 14] {
    [0, 0, 0, stream, 4, 0, 0, 0, 0, 0, 0, 0, first, 0]
}

/// Streams 1 to 3 with three blocks each, of which the second is long.
fn filled(dir: &TempDir) {
    let (store, _) = open_file(&dir.file()).expect("made");
    for stream in 1..=3 {
        let row = Write::PutRow(RowKey::Stream(StreamId(stream)), b"row".to_vec());
        store.commit(&Batch { writes: vec![row] }).expect("stored");
        for (first, lens) in [(1, vec![10; 5]), (10, vec![200_000]), (20, vec![30; 5])] {
            let key = key(stream, first);
            let writes = put(key, &block(key, &lens, 1));
            store.commit(&Batch { writes }).expect("stored");
        }
    }
    store.close().expect("closes");
}

fn spoil(dir: &TempDir, how: impl FnOnce(&redb::WriteTransaction)) {
    let db = tables(&dir.file());
    let write = db.begin_write().unwrap();
    how(&write);
    write.commit().unwrap();
}

fn damage(stream: u32, first: u64, last: u64, kind: DamageKind) -> Damage {
    Damage {
        stream: StreamId(stream),
        first: Seq(first),
        last: Seq(last),
        kind,
    }
}

#[test]
fn a_sound_store_is_called_sound() {
    let dir = TempDir::new();
    filled(&dir);
    let report = verify(&dir.file()).expect("looks");
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.rows, report.blocks, report.records), (12, 9, 33));
    assert_eq!(report.pages_are_sound, Some(true));
    let (store, _) = open_file(&dir.file()).expect("still opens");
    assert!(store.verify().expect("looks").is_sound());
}

#[test]
fn every_kind_of_damage_is_found() {
    let dir = TempDir::new();
    filled(&dir);
    spoil(&dir, |write| {
        let mut rows = write.open_table(ROWS).unwrap();
        let mut blocks = write.open_table(BLOCKS).unwrap();
        // A block gone from the middle, and one from the end.
        blocks
            .retain_in::<&[u8; 14], _>(&part(1, 10, 0)..=&part(1, 10, 9), |_, _| false)
            .unwrap();
        blocks.remove(&part(1, 20, 0)).unwrap();
        // Stream 2: a part gone, and a record hit.
        blocks.remove(&part(2, 10, 2)).unwrap();
        let mut bytes = blocks
            .get(&part(2, 20, 0))
            .unwrap()
            .unwrap()
            .value()
            .to_vec();
        let record = 24 + 6 + 30;
        bytes[2 + 24 + 2 * record + 40] ^= 1;
        blocks.insert(&part(2, 20, 0), &bytes[..]).unwrap();
        // Stream 3: no summary; another's summary; a row that is not whole.
        rows.remove(&summary(3, 1)).unwrap();
        let key = key(3, 20);
        let other = midge_engine::summarize(&midge_engine::Block::parse(key, block(key, &[1], 1)));
        let mut stored = other.unwrap();
        let crc = crc32c::crc32c_append(crc32c::crc32c(&summary(3, 20)), &stored);
        stored.extend(crc.to_le_bytes());
        rows.insert(&summary(3, 20), &stored[..]).unwrap();
        rows.insert(&[0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &b"no crc"[..])
            .unwrap();
        rows.insert(&[0, 0, 0, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0], &b""[..])
            .unwrap();
        // Stream 4 has a summary and no block at all.
        rows.insert(&summary(4, 5), &b""[..]).unwrap();
    });
    let report = verify(&dir.file()).expect("looks");
    let mut found = report.damage.clone();
    found.sort_by_key(|damage| (damage.stream, damage.first));
    let stream_row = RowKey::Stream(StreamId(3));
    let row = RowKey::Summary(key(4, 5));
    assert_eq!(
        found,
        [
            damage(1, 10, 10, DamageKind::BlockMissing),
            damage(1, 20, 20, DamageKind::BlockMissing),
            damage(2, 10, 10, DamageKind::MissingBytes),
            damage(2, 10, 10, DamageKind::Records(1)),
            damage(2, 22, 22, DamageKind::Records(1)),
            damage(3, 0, 0, DamageKind::Row(stream_row)),
            damage(3, 1, 5, DamageKind::SummaryMissing),
            damage(3, 20, 24, DamageKind::SummaryDiffers),
            damage(4, 5, 5, DamageKind::Row(row)),
            damage(4, 5, 5, DamageKind::BlockMissing),
            damage(9, 0, 0, DamageKind::UnknownRow),
        ]
    );
    assert_eq!((report.damaged, report.is_sound()), (11, false));
    assert_eq!(
        found[4].to_string(),
        "stream 2, sequence 22: a record is damaged"
    );
}
